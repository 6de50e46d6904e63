//! What can be gone: a channel, or a component that channels need.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Channel;
use tieline_core::{ChannelIx, Snapshot};

/// A channel or a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Element {
    pub kind: ElementKind,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElementKind {
    Channel,
    Component,
}

impl Element {
    /// Every channel and component of a grid, channels first, each in the grid's order.
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let of = |kind: ElementKind, name: &str| Self {
            kind,
            name: name.to_owned(),
        };
        let channels = snapshot.channels.iter();
        let channels = channels.map(|channel| of(ElementKind::Channel, &channel.name));
        let components = snapshot.components.iter();
        let components = components.map(|component| of(ElementKind::Component, component));
        channels.chain(components).collect()
    }

    /// The channels that do not work without it.
    pub fn channels(&self, snapshot: &Snapshot) -> Vec<ChannelIx> {
        let channels = snapshot.channels.iter().zip((0..).map(ChannelIx));
        let out = channels.filter(|(channel, _)| self.takes_out(snapshot, channel));
        out.map(|(_, ix)| ix).collect()
    }

    /// Whether a channel of a grid does not work without it.
    pub(crate) fn takes_out(&self, snapshot: &Snapshot, channel: &Channel) -> bool {
        match self.kind {
            ElementKind::Channel => *channel.name == *self.name,
            ElementKind::Component => snapshot
                .component_named(&self.name)
                .is_some_and(|component| channel.components.contains(component)),
        }
    }
}

/// What is gone at once, in words.
pub(crate) fn named(gone: &[Element]) -> String {
    let names: Vec<&str> = gone.iter().map(|element| element.name.as_str()).collect();
    names.join(" + ")
}

//! What a rehearsal is told beside calls and grids: of what class each party is, which models were shown to stand in for
//! others, and the seed of what is drawn.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::receipts::Receipts;
use crate::traffic::Class;

/// Facts beside the calls.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// By party; who is not named is of the class that the traffic states, or of unknown class.
    pub classes: BTreeMap<Arc<str>, PartyClass>,
    /// Which models were shown to serve a pool as well as its others.
    pub receipts: Receipts,
    /// Of what is drawn: which attempts fail where a share of them does.
    pub seed: u64,
}

/// The class that is recorded of a party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartyClass {
    Enterprise,
    Startup,
    Academic,
    Agency,
    Consumer,
    /// Nothing is recorded, or what is recorded disagrees.
    #[default]
    Unknown,
}

impl From<Class> for PartyClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Academic => Self::Academic,
            Class::Agency => Self::Agency,
            Class::Consumer => Self::Consumer,
            Class::Enterprise => Self::Enterprise,
            Class::Startup => Self::Startup,
        }
    }
}

impl PartyClass {
    pub const ALL: [Self; 6] = [
        Self::Enterprise,
        Self::Startup,
        Self::Academic,
        Self::Agency,
        Self::Consumer,
        Self::Unknown,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Academic => "academic",
            Self::Agency => "agency",
            Self::Consumer => "consumer",
            Self::Enterprise => "enterprise",
            Self::Startup => "startup",
            Self::Unknown => "unknown",
        }
    }

    /// The class of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

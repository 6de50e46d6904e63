//! The fleet: what is known of each channel × model from the attempts so far: a breaker, a latency, the load, what it
//! takes at once, and what an operator has cut. Owned by the shell, changed only by [`Fleet::observe`] and the cuts, seen
//! by calls as a [`View`] of integers that is recorded with the decision.
//!
//! A *lane* is one model on one channel ([`lane`] says how it judges); an account that is spent closes all lanes of its
//! channel. Nothing here chooses: which lane a call takes is the plan's.

mod lane;
mod lanes;
mod peak;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::fault::FaultKind;
use crate::feature::{Feature, FeatureSet};
use crate::fleet::lane::Lane;
use crate::fleet::lanes::Lanes;
use crate::grid::{Candidate, ChannelIx, ComponentIx, ComponentSet, ModelIx, Snapshot};
use crate::id::CallId;
use crate::time::{Span, Tick};

/// The state of a breaker as a call sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Open because too many of its attempts fail, though others do not: better than nothing.
    Ailing,
    #[default]
    Closed,
    /// Open because it failed in a row: only probes go there.
    Open,
    /// Open, but the wait is over and no probe is under way: this call may be the probe.
    Probe,
}

/// One candidate in a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Further attempts there have used up their share; a call's first may go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barred: bool,
    /// Before this instant it is not to be dialled: its breaker waits, it asked to be left alone, or its account is spent.
    /// Absent: at once, or nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_at: Option<Tick>,
    /// It has as many attempts in flight as it seems to take.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full: bool,
    pub health: Health,
    /// Attempts in flight on the channel × model.
    pub in_flight: u32,
    /// What it has refused as such.
    #[serde(default, skip_serializing_if = "FeatureSet::is_empty")]
    pub lacks: FeatureSet,
    /// An operator has cut the channel, or a component that it depends on.
    pub out: bool,
    /// Time to first content in µs as the choice weighs it: the last peak, fading; absent until measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_us: Option<u32>,
}

/// What a call sees of the fleet: one row for each of its candidates, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct View {
    pub rows: ArrayVec<Row, ROWS_MAX>,
}

/// What happened to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whose attempt it is; a call tries a lane once.
    pub call: CallId,
    pub channel: ChannelIx,
    pub dialled_at: Tick,
    pub model: ModelIx,
    pub seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The attempt was dialled; `again` if it is not the call's first.
    Dial {
        again: bool,
    },
    /// First content after this many µs.
    Content {
        ttft_us: u32,
    },
    /// The attempt ended well.
    Done,
    /// The attempt ended because the caller left, or the call's own limit passed: no judgement on the channel.
    Leave,
    Fault(FaultKind, Option<Span>),
    /// The attempt that just ended has shown that the lane cannot do this.
    Lack(Feature),
}

/// An account whose reset nobody knows is tried again after this: somebody has to pay first.
const SPENT_PAUSE: Span = Span::from_s(15 * 60);
/// The furthest reset of an account that is believed: that of a limit by the month.
const SPENT_MAX: Span = Span::from_s(31 * 86_400);

pub use lane::CONSECUTIVE_MAX;

/// All lanes. A lane is one model on one channel.
#[derive(Debug, Default)]
pub struct Fleet {
    lanes: Lanes,
    out_channels: BTreeSet<ChannelIx>,
    out_components: ComponentSet,
    /// Channels whose account is spent, and until when nobody asks again.
    spent: BTreeMap<ChannelIx, Tick>,
}

// === impl Fleet ===

impl Fleet {
    /// The view of one call's candidates.
    pub fn view(&self, snapshot: &Snapshot, candidates: &[Candidate], now: Tick) -> View {
        View {
            rows: candidates
                .iter()
                .take(ROWS_MAX)
                .map(|candidate| self.row(snapshot, *candidate, now))
                .collect(),
        }
    }

    /// Take one fact about an attempt.
    pub fn observe(&mut self, observation: Observation, now: Tick) {
        let lane = self.lanes.of(observation.channel, observation.model);
        match observation.seen {
            Seen::Dial { again } => lane.dial(observation.call, again, now),
            Seen::Content { ttft_us } => lane.content(ttft_us, now),
            Seen::Done => {
                lane.land(now);
                lane.done(observation.dialled_at, now);
                self.spent.remove(&observation.channel);
            }
            Seen::Leave => {
                lane.land(now);
                lane.take_probe(observation.call);
            }
            Seen::Lack(feature) => lane.lack(feature, now),
            Seen::Fault(kind, wait) => {
                lane.land(now);
                lane.fault(observation.call, kind, wait, now);
                if kind == FaultKind::Spend {
                    let wait = wait.map_or(SPENT_PAUSE, |wait| wait.min(SPENT_MAX));
                    self.spent.insert(observation.channel, now.plus(wait));
                }
            }
        }
    }

    pub fn cut_channel(&mut self, channel: ChannelIx) {
        self.out_channels.insert(channel);
    }

    /// Put a channel back, as one of which nothing bad is known: an operator says that it serves.
    pub fn restore_channel(&mut self, channel: ChannelIx) {
        self.out_channels.remove(&channel);
        self.spent.remove(&channel);
        for lane in self.lanes.of_channel(channel) {
            lane.restore();
        }
    }

    pub fn cut_component(&mut self, component: ComponentIx) {
        self.out_components.insert(component);
    }

    pub fn restore_component(&mut self, component: ComponentIx) {
        self.out_components.remove(component);
    }

    /// Whether a channel is out, by itself or by a component.
    pub fn is_out(&self, snapshot: &Snapshot, channel: ChannelIx) -> bool {
        self.out_channels.contains(&channel)
            || snapshot
                .channel(channel)
                .is_some_and(|c| c.components.intersects(&self.out_components))
    }

    /// Smoothed time to first content of a lane in µs, once measured.
    pub fn ttft_us(&self, channel: ChannelIx, model: ModelIx) -> Option<u32> {
        self.lanes.get(channel, model)?.ttft_us()
    }

    /// A fleet for another grid: lanes, cuts and components of the same names move over, the rest begins anew.
    #[must_use]
    pub fn carry(&self, old: &Snapshot, new: &Snapshot) -> Self {
        let channel = |ix: ChannelIx| old.channel(ix).and_then(|c| new.channel_named(&c.name));
        let model = |ix: ModelIx| old.model(ix).and_then(|m| new.model_named(&m.name));
        let mut out_components = ComponentSet::default();
        for ix in self.out_components.iter() {
            let name = old.components.get(usize::from(ix.0));
            if let Some(moved) = name.and_then(|name| new.component_named(name)) {
                out_components.insert(moved);
            }
        }
        Self {
            lanes: self.lanes.moved(channel, model),
            out_channels: self.out_channels.iter().filter_map(|ix| channel(*ix)).collect(),
            out_components,
            spent: (self.spent.iter())
                .filter_map(|(ix, until)| Some((channel(*ix)?, *until)))
                .collect(),
        }
    }

    fn row(&self, snapshot: &Snapshot, candidate: Candidate, now: Tick) -> Row {
        let fresh;
        let lane = if let Some(lane) = self.lanes.get(candidate.channel, candidate.model) {
            lane
        } else {
            fresh = Lane::default();
            &fresh
        };
        let spent = self.spent.get(&candidate.channel).copied();
        Row {
            free_at: lane.free_at(now).max(spent.filter(|until| now < *until)),
            out: self.is_out(snapshot, candidate.channel),
            ..lane.row(now)
        }
    }
}

#[cfg(test)]
mod tests;

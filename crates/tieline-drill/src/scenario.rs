//! A scenario: timed events laid over traffic, checked against a grid by whoever read it. This module makes of it what the
//! driver plays: happenings on a [`Timeline`], other grids, and a transform of the traffic.
//!
//! Everything random is a counter-based draw ([`draw`]): hash(seed, entity, purpose, counter), so that an event more
//! leaves the draws of the others as they were. Refused: what the grid does not have, a selection that is empty, a share
//! of a capacity that nobody knows. Bounds: [`EVENTS_MAX`] events, [`INCIDENTS_MAX`] sampled incidents of one element,
//! those of [`Timeline`].

mod course;
mod draw;
mod grid;
mod lay;
mod load;
mod outages;
mod report;
mod steady;
mod surge;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Tick;

pub use self::course::{BINS_MAX, Course};
pub use self::grid::served_by;
pub use self::lay::{LayError, Laying, lay};
pub use self::load::{ChannelLoad, Load};
pub use self::outages::{GROUP_MAX, INCIDENTS_MAX, Outages, PRIORS, Prior};
pub use self::report::{EventReport, SCENARIO_V1, ScenarioReport, ScenariosReport, Staged, play_scenario};
pub use self::surge::{SurgeOver, Surged, surge};

use crate::elements::Element;
use crate::timeline::{Failure, Permille};

/// Events of one scenario; the longest that is shipped has nine. Each that changes the grid may double the intervals in
/// which it differs, and one grid takes up to a megabyte, so 512 MiB at most.
pub const EVENTS_MAX: usize = 256;

/// Largest factor, in thousandths: a thousand times.
pub const FACTOR_MAX: Permille = 1_000_000;

/// A scenario whose names hold in a grid and whose times are instants.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is assumed and not known, in sentences.
    pub assumed: Vec<String>,
    pub description: String,
    pub events: Vec<Event>,
    pub id: String,
    pub sources: Vec<Source>,
    /// The instant that its offsets count from.
    pub start: Tick,
    pub title: String,
}

/// Where a scenario's facts are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// The day on which it was read: `2026-11-28`.
    pub retrieved: String,
    pub says: String,
    pub url: String,
}

/// Something that happens from one instant until another, or to the end of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub from: Tick,
    /// What happens, in a few words.
    pub says: String,
    /// The first instant at which it is over.
    pub until: Option<Tick>,
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Answers take so much of their time, and so many attempts fail.
    Degraded {
        element: Element,
        errors: Permille,
        time: Permille,
    },
    /// The order of this index, of those handed to [`lay`], rules.
    Order(usize),
    Out {
        element: Element,
        how: Failure,
    },
    /// Outages drawn from a prior.
    Outages(Outages),
    /// Prices are multiplied.
    Price {
        of: ServedOf,
        times: Permille,
    },
    Quota {
        channel: Arc<str>,
        change: QuotaChange,
    },
    /// Calls are multiplied.
    Surge {
        of: CallsOf,
        seed: u64,
        times: Permille,
    },
    /// Channels no longer serve these models.
    Withdrawn(ServedOf),
}

/// Models on channels: those to which everything that is stated applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedOf {
    pub channel: Option<Arc<str>>,
    /// On channels that need it.
    pub component: Option<Arc<str>>,
    pub lab: Option<Arc<str>>,
    /// One of these; none is any.
    pub models: BTreeSet<Arc<str>>,
}

/// Calls: those to which everything that is stated applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallsOf {
    /// What they ask for: a pool or a model.
    pub ask: Option<Arc<str>>,
    pub parties: Option<BTreeSet<Arc<str>>>,
}

/// How the limits of a channel change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaChange {
    /// These take the place of those that it has; the others stay.
    Set(Allowance),
    /// Each is multiplied; where none is stated, the busiest minute of the traffic stands for it.
    Times(Permille),
}

/// What a channel may carry; absent is as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    pub concurrency: Option<u32>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
}

// === impl Event ===

impl Event {
    /// Whether any instant of `first..=last` lies in it.
    pub fn touches(&self, first: Tick, last: Tick) -> bool {
        self.from <= last && self.until.is_none_or(|until| until > first)
    }
}

// === impl ServedOf, CallsOf ===

impl fmt::Display for ServedOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<&str> = self.models.iter().map(|name| &**name).collect();
        let models = (!models.is_empty()).then(|| format!("models {}", models.join(", ")));
        let named = |kind: &str, name: &Option<Arc<str>>| Some(format!("{kind} {}", name.as_ref()?));
        let parts = [
            models,
            named("lab", &self.lab),
            named("channel", &self.channel),
            named("component", &self.component),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for CallsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.ask, &self.parties) {
            (None, None) => f.write_str("all calls"),
            (Some(ask), None) => write!(f, "calls for {ask}"),
            (None, Some(parties)) => write!(f, "calls of {}", whom(parties)),
            (Some(ask), Some(parties)) => write!(f, "calls of {} for {ask}", whom(parties)),
        }
    }
}

fn whom(parties: &BTreeSet<Arc<str>>) -> String {
    match parties.first() {
        Some(only) if parties.len() == 1 => only.to_string(),
        _ => format!("{} parties", parties.len()),
    }
}

/// `number` × `times` in thousandths, rounded half up.
pub(crate) fn scaled(number: u64, times: Permille) -> u64 {
    let exact = u128::from(number) * u128::from(times);
    u64::try_from((exact + 500) / 1_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_round_once_and_never_wrap() {
        assert_eq!(scaled(3, 500), 2);
        assert_eq!(scaled(10, 1_250), 13);
        assert_eq!(scaled(0, 3_000), 0);
        assert_eq!(scaled(u64::MAX, FACTOR_MAX), u64::MAX);
    }
}

//! Calls as compact inputs of a what-if: who asked for what, how large it was, what policy said of each candidate, how each
//! attempt ended, what was used. They come from a ledger ([`TrafficReader`]), from a trace of another system
//! ([`crate::trace`]), from a law of arrivals ([`crate::arrivals`]), or from the grid alone ([`Traffic::synthetic`]).
//!
//! Bounds: 64 bytes a call, at most [`CALLS_MAX`]; what calls share (party, ask, verdicts) is kept once. Failed attempts
//! are kept aside, for few calls have any.

mod build;
mod digest;
mod ledger;
mod notes;
mod rules;
mod structure;

use std::sync::Arc;

use tieline_core::record::Outcome;
use tieline_core::{Bucket, Criticality, Dialect, Fault, Ruling, Snapshot, Span, Tick, Usage};

pub(crate) use self::build::{Builder, KINDS_MAX, Unserved, flag, narrow, push};
pub(crate) use self::ledger::Reading;
pub use self::ledger::TrafficReader;
pub(crate) use self::notes::spelled;
pub use self::rules::{Rules, Rulings};
use crate::party::PartyView;

/// Calls of one what-if: 10 million × 64 bytes is 640 MB.
pub const CALLS_MAX: usize = 10_000_000;

/// What the traffic rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Arrivals drawn from a law that was fitted to traffic, or written.
    Drawn,
    /// Calls of a ledger.
    Recorded,
    /// No traffic: calls of assumed size, at an even pace, for each thing that each party may ask for.
    Steady,
    /// No traffic: one call of assumed size for each thing that each party may ask for.
    Structure,
    /// Calls of another system, mapped onto parties and pools.
    Trace,
}

/// The class of a party, where one is stated; reports divide by [`crate::PartyClass`], which has a word for none.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Academic,
    Agency,
    Consumer,
    Enterprise,
    Startup,
}

/// Calls, in order of arrival.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub basis: Basis,
    pub calls: Vec<TrafficCall>,
    /// Calls beyond [`CALLS_MAX`], and of a trace those that no group of the mapping takes or whose rows are wrong.
    pub left_out: u64,
    /// What is exact, modelled or assumed about it, in sentences; those of its basis stand in [`Traffic::notes`].
    pub remarks: Vec<String>,
    /// Entries that could not be used: halves of calls, and those of [`Self::unknown`].
    pub unreadable: u64,
    /// Entries of versions that this program does not read, or that are damaged.
    pub unknown: u64,
    /// What a reader should look at before the numbers: gaps, halves of calls; in sentences.
    pub warnings: Vec<String>,
    /// By party, as far as it is known.
    pub(crate) classes: Vec<Option<Class>>,
    pub(crate) failures: Vec<Box<[Failure]>>,
    pub(crate) kinds: Vec<Kind>,
    /// The (channel, model) pairs that calls met, by name.
    pub(crate) lanes: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) parties: Vec<Arc<str>>,
}

/// One call, 64 bytes; times saturate at 71 minutes, tokens at 4 billion.
#[derive(Clone, Copy, Debug)]
pub struct TrafficCall {
    pub(crate) at: Tick,
    /// Recorded cost; meaningful with [`COST_KNOWN`].
    pub(crate) cost_nano: u64,
    /// Input, output, cache read, cache write, reasoning; meaningful with [`USAGE_KNOWN`].
    pub(crate) tokens: [u32; 5],
    pub(crate) body_bytes: u32,
    /// Index into `failures`, or [`NONE`].
    pub(crate) failures: u32,
    /// Index into `kinds`.
    pub(crate) kind: u32,
    /// The stated output limit, or [`NONE`].
    pub(crate) output_max: u32,
    pub(crate) took_us: u32,
    pub(crate) ttft_us: u32,
    /// Index into `lanes` of the attempt that answered, or [`NO_LANE`].
    pub(crate) lane: u16,
    pub(crate) flags: u8,
    pub(crate) result: Outcome,
}

const _: () = assert!(
    size_of::<TrafficCall>() <= 64,
    "a call of a what-if is at most 64 bytes"
);

pub(crate) const NONE: u32 = u32::MAX;
pub(crate) const NO_LANE: u16 = u16::MAX;
pub(crate) const COST_KNOWN: u8 = 1;
pub(crate) const USAGE_KNOWN: u8 = 2;
pub(crate) const STREAMED: u8 = 4;

/// What many calls share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) ask: Asked,
    /// How much its calls matter by their key; absent, where only the pool says.
    pub(crate) criticality: Option<Criticality>,
    pub(crate) dialect: Dialect,
    /// What its calls say that they are for.
    pub(crate) end_use: Option<Arc<str>>,
    pub(crate) in_scope: bool,
    /// The limit of its key that refused the call, if one did: limits of keys stand in no ledger.
    pub(crate) key_denied: Option<Bucket>,
    /// Index into `parties`.
    pub(crate) party: u32,
    /// The ruling on each candidate that was judged, by lane.
    pub(crate) rulings: Vec<(u16, Ruling)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Model(Arc<str>),
    /// What no grid can serve: an unknown name, or an unreadable request.
    Nothing,
    Pool(Arc<str>),
}

/// A recorded attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) after: Span,
    pub(crate) fault: Fault,
    pub(crate) lane: u16,
    /// Time to first content, if content flowed before the fault.
    pub(crate) ttft: Option<Span>,
}

/// A span of time of which calls are taken, by when they began: from `since` on and before `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub since: Option<Tick>,
    pub until: Option<Tick>,
}

/// A grid with the parties that use it: where traffic that was not recorded there is judged.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'a> {
    pub snapshot: &'a Snapshot,
    /// None: everyone may use everything.
    pub parties: &'a [PartyView<'a>],
}

// === impl Window ===

impl Window {
    pub fn holds(self, at: Tick) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

// === impl Traffic ===

impl Traffic {
    pub(crate) const fn empty(basis: Basis) -> Self {
        Self {
            basis,
            calls: Vec::new(),
            left_out: 0,
            remarks: Vec::new(),
            unreadable: 0,
            unknown: 0,
            warnings: Vec::new(),
            classes: Vec::new(),
            failures: Vec::new(),
            kinds: Vec::new(),
            lanes: Vec::new(),
            parties: Vec::new(),
        }
    }

    /// The instants of the first and of the last call; none without calls.
    pub fn window(&self) -> Option<(Tick, Tick)> {
        Some((self.calls.first()?.at, self.calls.last()?.at))
    }

    /// The same with other calls, in order of arrival.
    pub(crate) fn with_calls(&self, calls: Vec<TrafficCall>) -> Self {
        Self {
            basis: self.basis,
            calls,
            classes: self.classes.clone(),
            failures: self.failures.clone(),
            kinds: self.kinds.clone(),
            lanes: self.lanes.clone(),
            left_out: self.left_out,
            parties: self.parties.clone(),
            remarks: self.remarks.clone(),
            unknown: self.unknown,
            unreadable: self.unreadable,
            warnings: self.warnings.clone(),
        }
    }

    /// The parties that calls came from, each with its class as far as that is known.
    pub fn parties(&self) -> impl Iterator<Item = (&Arc<str>, Option<Class>)> {
        self.parties.iter().zip(self.classes.iter().copied())
    }

    /// Whose a call is.
    pub fn party_of(&self, call: &TrafficCall) -> Option<&Arc<str>> {
        let kind = self.kinds.get(call.kind as usize)?;
        self.parties.get(kind.party as usize)
    }

    /// The pool or model that a call asks for; none if nothing could serve it.
    pub fn ask_of(&self, call: &TrafficCall) -> Option<&Arc<str>> {
        match &self.kinds.get(call.kind as usize)?.ask {
            Asked::Model(name) | Asked::Pool(name) => Some(name),
            Asked::Nothing => None,
        }
    }
}

// === impl TrafficCall ===

impl TrafficCall {
    /// When it began.
    pub const fn at(&self) -> Tick {
        self.at
    }

    /// What the call used, if that is known.
    pub fn usage(&self) -> Option<Usage> {
        let [input, output, cache_read, cache_write, reasoning] = self.tokens.map(u64::from);
        (self.flags & USAGE_KNOWN != 0).then_some(Usage {
            cache_read,
            cache_write,
            input,
            output,
            reasoning,
            ..Usage::default()
        })
    }

    /// What the call cost as recorded, in nano-dollars, if that is known.
    pub fn cost_nano(&self) -> Option<u64> {
        (self.flags & COST_KNOWN != 0).then_some(self.cost_nano)
    }

    /// How long its answer took, and its first content.
    pub fn times(&self) -> (Span, Span) {
        (Span(self.took_us.into()), Span(self.ttft_us.into()))
    }

    /// The limit of output tokens that the request states.
    pub const fn output_max(&self) -> Option<u32> {
        if self.output_max == NONE {
            return None;
        }
        Some(self.output_max)
    }

    pub const fn is_streamed(&self) -> bool {
        self.flags & STREAMED != 0
    }
}

// === impl Class ===

impl Class {
    pub const ALL: [Self; 5] = [
        Self::Academic,
        Self::Agency,
        Self::Consumer,
        Self::Enterprise,
        Self::Startup,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Academic => "academic",
            Self::Agency => "agency",
            Self::Consumer => "consumer",
            Self::Enterprise => "enterprise",
            Self::Startup => "startup",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

//! Pairs decisions with their outcomes while walking a ledger once.
//!
//! Bounds: only calls in flight are kept, at most [`CALLS_OPEN_MAX`]; beyond it the oldest is handed out without its
//! outcome. Untrusted bytes give a sentence, never a panic.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use tieline_core::CallId;
use tieline_core::record::{DECISION_V1, DecisionEntry, OUTCOME_V1, OutcomeEntry};

/// Decisions that wait for their outcomes: 131,072 × about 2 KiB of parsed entry is 256 MiB, and a gateway with 10,000
/// calls in flight holds a thirteenth of it.
pub const CALLS_OPEN_MAX: usize = 1 << 17;

/// A call as the ledger holds it.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Index of the decision's entry.
    pub(crate) index: u64,
    pub(crate) decision: Box<DecisionEntry>,
    pub(crate) outcome: Option<Box<OutcomeEntry>>,
}

/// What an entry gave.
#[derive(Debug)]
pub(crate) enum Taken {
    /// An entry that cannot be used, and why.
    Bad {
        call: Option<String>,
        /// Whether it is damaged, or of a version that this program does not read; else it is half of a call.
        is_unknown: bool,
        what: String,
    },
    /// A call whose outcome is here, or can no longer be waited for.
    Call(Pair),
    /// A decision whose outcome is still to come.
    Open,
    /// An entry of another type.
    Other,
}

#[derive(Debug)]
pub(crate) struct Pairs {
    open: BTreeMap<CallId, (u64, Box<DecisionEntry>)>,
    open_max: usize,
}

#[derive(Deserialize)]
struct Head<'e> {
    #[serde(borrow, default)]
    id: Option<Cow<'e, str>>,
    #[serde(borrow)]
    t: Cow<'e, str>,
}

impl Pairs {
    pub(crate) fn new() -> Self {
        Self::bounded(CALLS_OPEN_MAX)
    }

    fn bounded(open_max: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            open_max,
        }
    }

    pub(crate) fn take(&mut self, index: u64, bytes: &[u8]) -> Taken {
        let head: Head<'_> = match serde_json::from_slice(bytes) {
            Ok(head) => head,
            Err(error) => return unknown(None, format!("the entry cannot be read: {error}")),
        };
        let call = head.id.as_deref();
        match &*head.t {
            DECISION_V1 => match serde_json::from_slice(bytes) {
                Ok(decision) => self.decision(index, decision),
                Err(error) => unknown(call, format!("the decision cannot be read: {error}")),
            },
            OUTCOME_V1 => match serde_json::from_slice(bytes) {
                Ok(outcome) => self.outcome(outcome),
                Err(error) => unknown(call, format!("the outcome cannot be read: {error}")),
            },
            t if t.starts_with("tieline/decision/") || t.starts_with("tieline/outcome/") => unknown(
                call,
                format!("this program does not read entries of type `{}`", brief(t)),
            ),
            _ => Taken::Other,
        }
    }

    /// The decisions whose outcomes never came, in the order of the ledger.
    pub(crate) fn rest(&mut self) -> Vec<Pair> {
        let mut rest: Vec<_> = std::mem::take(&mut self.open).into_values().map(alone).collect();
        rest.sort_by_key(|pair| pair.index);
        rest
    }

    fn decision(&mut self, index: u64, decision: Box<DecisionEntry>) -> Taken {
        let call = decision.id;
        if let Some((first, _)) = self.open.get(&call) {
            let what = format!("a second decision of the call; the first is entry {first}");
            return half(Some(&call.to_string()), what);
        }
        self.open.insert(call, (index, decision));
        if self.open.len() <= self.open_max {
            return Taken::Open;
        }
        // Call ids sort by arrival.
        self.open
            .pop_first()
            .map_or(Taken::Open, |(_, oldest)| Taken::Call(alone(oldest)))
    }

    fn outcome(&mut self, outcome: Box<OutcomeEntry>) -> Taken {
        if let Some((index, decision)) = self.open.remove(&outcome.id) {
            return Taken::Call(Pair {
                index,
                decision,
                outcome: Some(outcome),
            });
        }
        let what = format!(
            "an outcome without its decision: that stands before the part that was read, fell into a gap, or lies more \
             than {} calls in flight back",
            self.open_max
        );
        half(Some(&outcome.id.to_string()), what)
    }
}

fn alone((index, decision): (u64, Box<DecisionEntry>)) -> Pair {
    Pair {
        index,
        decision,
        outcome: None,
    }
}

fn unknown(call: Option<&str>, what: String) -> Taken {
    Taken::Bad {
        call: call.map(brief),
        is_unknown: true,
        what,
    }
}

fn half(call: Option<&str>, what: String) -> Taken {
    Taken::Bad {
        call: call.map(brief),
        is_unknown: false,
        what,
    }
}

/// Text from an entry, for a message.
fn brief(text: &str) -> String {
    text.chars().take(80).collect()
}

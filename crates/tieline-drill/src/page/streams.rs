//! Who answers whom: calls, tokens and spend by lane, by what is asked and by the class of who asks, of one play. It is
//! what the one-line diagram shows as widths, and what concentration is made of.
//!
//! Bounds: a row for each channel × model × ask × class that has calls; a grid has 4,096 channels and a page folds what it
//! does not show.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::Candidate;

use crate::concentration::{Of, Way, way};
use crate::known::PartyClass;
use crate::laid::Laid;
use crate::rehearsal::Rehearsal;
use crate::seen::End;
use crate::tally::Fate;
use crate::traffic::{Asked, TrafficCall};

/// The calls of one play by who answers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub(super) rows: BTreeMap<Stream, Sum>,
    /// Calls that nobody answers, by what is asked and who asks.
    pub(super) unserved: BTreeMap<(usize, PartyClass), u64>,
    /// Calls answered whose tokens, or whose spend, are not known.
    pub(super) unknown: [u64; 2],
}

/// One stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stream {
    /// (channel, model) of the grid that the base is decided under.
    pub(super) way: Way,
    /// Index into [`asks`].
    pub(super) ask: usize,
    pub(super) class: PartyClass,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    /// In nano-dollars.
    pub(super) spend: u64,
}

/// What calls ask for, by name.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    pub(super) names: Vec<Arc<str>>,
    /// Of each kind of call.
    of_kind: Vec<Option<usize>>,
}

/// What is asked of calls that ask for nothing that there is; no name has spaces.
const NOTHING: &str = "nothing that is here";

impl Asks {
    pub(super) fn of(rehearsal: &Rehearsal<'_>) -> Self {
        let kinds = &rehearsal.traffic().kinds;
        let name = |asked: &Asked| match asked {
            Asked::Model(name) | Asked::Pool(name) => name.clone(),
            Asked::Nothing => NOTHING.into(),
        };
        let mut names: Vec<Arc<str>> = kinds.iter().map(|kind| name(&kind.ask)).collect();
        names.sort_unstable();
        names.dedup();
        let of_kind = kinds
            .iter()
            .map(|kind| names.binary_search(&name(&kind.ask)).ok())
            .collect();
        Self { names, of_kind }
    }

    pub(super) fn of_kind(&self, kind: usize) -> Option<usize> {
        self.of_kind.get(kind).copied().flatten()
    }
}

/// Counts streams call by call.
pub(crate) struct StreamCounter<'r, 't> {
    asks: Asks,
    rehearsal: &'r Rehearsal<'t>,
    streams: Streams,
}

impl<'r, 't> StreamCounter<'r, 't> {
    pub(crate) fn new(rehearsal: &'r Rehearsal<'t>) -> Self {
        Self {
            asks: Asks::of(rehearsal),
            rehearsal,
            streams: Streams::default(),
        }
    }

    /// The streams with nothing gone.
    pub(crate) fn before(mut self) -> Streams {
        let laid = self.rehearsal.laid();
        for (ix, call) in laid.traffic.calls.iter().enumerate() {
            let answered = self.rehearsal.answered(ix);
            let cost = answered.and_then(|by| laid.cost(0, call, by));
            self.count(call, answered, cost.map(|cost| cost.0));
        }
        self.streams
    }

    /// Count how a call of a play ended.
    pub(crate) fn see(&mut self, laid: &Laid<'_>, end: &End, fate: Fate) {
        let Some(call) = laid.traffic.calls.get(end.call) else {
            return;
        };
        let cost = end.by.and_then(|(grid, by)| laid.cost(grid, call, by));
        // What breaks off is no service.
        let answered = end.answered.filter(|_| !fate.is_unserved());
        let answered = answered.and_then(|lane| laid.candidate(0, lane));
        self.count(call, answered, cost.map(|cost| cost.0));
    }

    pub(crate) fn finish(self) -> Streams {
        self.streams
    }

    fn count(&mut self, call: &TrafficCall, answered: Option<Candidate>, cost: Option<u64>) {
        let kind = call.kind as usize;
        let Some(ask) = self.asks.of_kind(kind) else {
            return;
        };
        let party = self.rehearsal.traffic().kinds.get(kind).map(|kind| kind.party);
        let class = self.rehearsal.class(party.unwrap_or(u32::MAX) as usize);
        let Some(by) = answered else {
            *self.streams.unserved.entry((ask, class)).or_default() += 1;
            return;
        };
        let stream = Stream {
            way: way(by),
            ask,
            class,
        };
        let sum = self.streams.rows.entry(stream).or_default();
        sum.calls += 1;
        let [no_tokens, no_spend] = &mut self.streams.unknown;
        match call.usage() {
            Some(usage) => sum.tokens = sum.tokens.saturating_add(usage.total()),
            None => *no_tokens += 1,
        }
        match cost {
            Some(cost) => sum.spend = sum.spend.saturating_add(cost),
            None => *no_spend += 1,
        }
    }
}

impl Streams {
    /// Calls answered.
    pub(super) fn served(&self) -> u64 {
        self.rows.values().map(|sum| sum.calls).sum()
    }

    pub(super) fn weights(&self, of: Of) -> BTreeMap<Way, u64> {
        let mut weights: BTreeMap<Way, u64> = BTreeMap::new();
        for (stream, sum) in &self.rows {
            let own = match of {
                Of::Calls => sum.calls,
                Of::Tokens => sum.tokens,
                Of::Spend => sum.spend,
            };
            let weight = weights.entry(stream.way).or_default();
            *weight = weight.saturating_add(own);
        }
        weights
    }
}

//! An order laid over recorded traffic: the calls are decided again by the live core, once as policy ruled and once with
//! what the order rules on each party and candidate, strictest wins; the two ends of a call say what the order does to it.
//!
//! Bounds: those of [`Rehearsal`]; every party touched is reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Snapshot, Tick};

use crate::consequence::{CostChange, PartyRow};
use crate::known::Known;
use crate::rehearsal::{Base, Rehearsal};
use crate::tally::Tally;
use crate::timeline::{Happening, Timeline};
use crate::traffic::Traffic;

/// What an order does to recorded calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OrderReport {
    pub base: Base,
    /// Over the calls that are served with and without the order.
    pub cost_change_nano: CostChange,
    /// Calls that are served elsewhere and whose cost here or there is not known.
    pub cost_unknown_calls: u64,
    /// The parties that it touches, those that lose most first.
    pub parties: Vec<PartyRow>,
    pub tally: Tally,
}

/// Decide every call again under an order. `ruled` is what the order alone rules on a party's use of a candidate.
pub fn order(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    known: Known,
    ruled: &(dyn Fn(&str, Candidate) -> Ruling + Sync),
) -> OrderReport {
    let rehearsal = Rehearsal::new(snapshot, traffic, known);
    let mut timeline = Timeline::default();
    let order = timeline.order(Box::new(|party, channel, model| {
        match candidate_named(snapshot, channel, model) {
            Some(candidate) => ruled(party, candidate),
            None => Ruling::Allow,
        }
    }));
    // One happening is far from too many.
    let _ = timeline.at(Tick(0), Happening::Order(order));
    let (consequence, _) = rehearsal.play_for(&timeline, usize::MAX);
    OrderReport {
        base: rehearsal.base().clone(),
        cost_change_nano: consequence.cost_change_nano,
        cost_unknown_calls: consequence.cost_unknown_calls,
        parties: consequence.parties,
        tally: consequence.tally,
    }
}

/// A channel's model as a candidate of the grid.
pub fn candidate_named(snapshot: &Snapshot, channel: &str, model: &str) -> Option<Candidate> {
    let channel = snapshot.channel_named(channel)?;
    let model = snapshot.model(snapshot.model_named(model)?)?;
    model.candidates.iter().copied().find(|c| c.channel == channel)
}

/// The parties of traffic, each with the models and pools that it asked for and how often.
pub fn asked(traffic: &Traffic) -> BTreeMap<Arc<str>, u64> {
    let mut calls: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for call in &traffic.calls {
        let kind = traffic.kinds.get(call.kind as usize);
        let party = kind.and_then(|kind| traffic.parties.get(kind.party as usize));
        if let Some(party) = party {
            *calls.entry(party.clone()).or_default() += 1;
        }
    }
    calls
}

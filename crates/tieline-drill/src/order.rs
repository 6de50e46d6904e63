//! An order laid over recorded traffic: the calls are decided again by the live core, once as policy ruled and once with
//! what the order rules on each party and candidate, strictest wins; the two ends of a call say what the order does to it.
//!
//! Bounds: those of [`crate::n_minus_1`]; every party touched is reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Snapshot};

use crate::engine::{Cut, run};
use crate::laid::Laid;
use crate::n_minus_1::{Base, CostChange, Losses, PartyRow, Tally, base};
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
    ruled: &dyn Fn(&str, Candidate) -> Ruling,
) -> OrderReport {
    let before = Laid::new(snapshot, traffic);
    let (base, ends) = base(&before);
    let after = before.ordered(ruled);
    let mut losses = Losses::new(&after, &ends);
    run(&after, Cut::Nothing, &mut |end| losses.count(end));
    let totals = losses.totals();
    OrderReport {
        base,
        cost_change_nano: totals.cost_change_nano,
        cost_unknown_calls: totals.cost_unknown_calls,
        parties: totals.parties,
        tally: totals.tally,
    }
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

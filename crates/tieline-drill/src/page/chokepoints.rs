//! Chokepoints of the calls that were made: elements that every way needs which policy leaves open to a call. Exact, and
//! from the grid alone: whether there would be room elsewhere is another question.
//!
//! Bounds: a row for each element of the grid, and a set of its parties.

use std::collections::{BTreeMap, BTreeSet};

use tieline_core::Ruling;
use tieline_core::grid::{Candidate, Channel};

use crate::elements::{Element, ElementKind};
use crate::rehearsal::Rehearsal;

/// What hangs on single elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chokepoints {
    /// By element, what has no way without it; those with most calls first.
    pub(super) rows: Vec<Chokepoint>,
    /// Parties with calls that are served with nothing gone.
    pub(super) parties: u64,
    /// Of these, with calls that hang on one element.
    pub(super) parties_exposed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chokepoint {
    pub(super) calls: u64,
    pub(super) element: Element,
    pub(super) parties: u64,
}

/// What hangs on one element.
#[derive(Default)]
struct Stake {
    calls: u64,
    parties: BTreeSet<u32>,
}

impl Chokepoints {
    pub(super) fn of(rehearsal: &Rehearsal<'_>) -> Self {
        let (laid, traffic) = (rehearsal.laid(), rehearsal.traffic());
        let mut served = vec![0_u64; traffic.kinds.len()];
        for (ix, call) in traffic.calls.iter().enumerate() {
            let is_served = rehearsal.is_served(ix);
            if let (true, Some(count)) = (is_served, served.get_mut(call.kind as usize)) {
                *count += 1;
            }
        }
        let mut stakes: BTreeMap<Element, Stake> = BTreeMap::new();
        let (mut parties, mut exposed) = (BTreeSet::new(), BTreeSet::new());
        let kinds = traffic.kinds.iter().zip(&served).enumerate();
        for (ix, (kind, calls)) in kinds.filter(|(_, (_, calls))| **calls > 0) {
            parties.insert(kind.party);
            let grid = laid.grid(0);
            let ways = grid.candidates_of(ix).iter().zip(grid.rulings_of(ix));
            let open = ways.filter(|(_, ruling)| **ruling == Ruling::Allow);
            let open: Vec<Candidate> = open.map(|(way, _)| *way).collect();
            for element in needed_by_all(rehearsal, &open) {
                let stake = stakes.entry(element).or_default();
                stake.calls += calls;
                stake.parties.insert(kind.party);
                exposed.insert(kind.party);
            }
        }
        let rows = stakes.into_iter().map(|(element, stake)| Chokepoint {
            calls: stake.calls,
            element,
            parties: stake.parties.len() as u64,
        });
        let mut rows: Vec<Chokepoint> = rows.collect();
        rows.sort_by(|a, b| (b.calls, &a.element).cmp(&(a.calls, &b.element)));
        Self {
            rows,
            parties: parties.len() as u64,
            parties_exposed: exposed.len() as u64,
        }
    }

    pub(super) fn find(&self, kind: ElementKind, name: &str) -> Option<&Chokepoint> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.element.kind == kind && row.element.name == name)
    }
}

/// The elements that each of these ways needs.
fn needed_by_all(rehearsal: &Rehearsal<'_>, ways: &[Candidate]) -> Vec<Element> {
    let snapshot = rehearsal.snapshot();
    let channels: Vec<&Channel> = ways
        .iter()
        .filter_map(|way| snapshot.channel(way.channel))
        .collect();
    let Some((first, rest)) = channels.split_first() else {
        return Vec::new();
    };
    let own = rest.iter().all(|channel| channel.name == first.name);
    let own = own.then(|| Element {
        kind: ElementKind::Channel,
        name: first.name.to_string(),
    });
    let shared = first.components.iter();
    let shared = shared.filter(|ix| rest.iter().all(|channel| channel.components.contains(*ix)));
    let shared = shared.filter_map(|ix| snapshot.components.get(usize::from(ix.0)));
    own.into_iter()
        .chain(shared.map(|name| Element {
            kind: ElementKind::Component,
            name: name.to_string(),
        }))
        .collect()
}

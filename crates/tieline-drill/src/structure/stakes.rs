//! What hangs on each element: who answers, by which ways it could go on without them, and what is left of supply after
//! each loss. Structure alone: a way that is open carries all that comes to it; limits, breakers and time are for a drill.
//!
//! Bounds: one row for each kind of call and channel that answered it; elements that take out the same channels are
//! computed once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Ask, Ruling, Snapshot};

use super::SetRow;
use super::exposure::Elements;
use crate::concentration::{Concentration, IndexAfter, Of, Suppliers, Way, basis_points, way};
use crate::laid::Laid;
use crate::traffic::{Asked, Kind, Traffic, TrafficCall};

/// Calls that are alike.
#[derive(Clone, Debug)]
pub(super) struct Stake {
    calls: u64,
    spend_unknown: u64,
    tokens: u64,
    tokens_unknown: u64,
    /// Who answers, then who would in turn.
    ways: Vec<Candidate>,
    /// What they cost by each of the ways, and for how many that is not known.
    spend: Vec<(u64, u64)>,
}

/// All stakes.
pub(super) struct Stakes {
    /// What can be counted on this basis.
    pub(super) of: &'static [Of],
    pub(super) stakes: Vec<Stake>,
}

/// What is left after a loss.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) concentration: Vec<IndexAfter>,
    /// Calls that another channel answers, in basis points.
    pub(super) moved_bp: u32,
    /// Calls, tokens, spend for which no way is left, in basis points.
    pub(super) lost_bp: [Option<u32>; 3],
    /// Calls that are served and whose spend is not known then.
    pub(super) spend_unknown: u64,
}

/// Shares of the calls that are expected to be unserved, from the priors.
pub(super) struct Risks {
    /// With nothing else known.
    pub(super) unserved: f64,
    /// With each element out, less with it up.
    pub(super) rises: Vec<f64>,
}

/// A multiple of every number of models up to eight, so that a channel's share divides among its models exactly; beyond
/// eight the rounding is under one part in a hundred.
const SHARE_UNITS: u64 = 840;

impl Stakes {
    /// One call for each thing that each party may ask for.
    pub(super) fn assumed(asks: BTreeMap<Vec<Way>, (Vec<Candidate>, u64)>) -> Self {
        let stakes = asks.into_values().filter(|(ways, _)| !ways.is_empty());
        Self {
            of: &[Of::Calls],
            stakes: stakes.map(|(ways, calls)| Stake::new(ways, calls)).collect(),
        }
    }

    /// The stated shares of channels, each divided evenly among the models that the channel serves; what a channel does
    /// not serve goes to the model's other channels.
    pub(super) fn stated(snapshot: &Snapshot, shares: &BTreeMap<Arc<str>, u32>) -> Self {
        let mut stakes = Vec::new();
        for channel in &snapshot.channels {
            let share = shares.get(&channel.name).copied().map_or(0, u64::from);
            let calls = share * SHARE_UNITS / channel.served.len().max(1) as u64;
            for served in channel.served.iter().filter(|_| calls > 0) {
                let all = snapshot
                    .model(served.model)
                    .map_or(&[][..], |model| &model.candidates);
                let is_own = |one: &&Candidate| {
                    snapshot
                        .channel(one.channel)
                        .is_some_and(|other| other.name == channel.name)
                };
                let own = all.iter().filter(is_own).take(1);
                let others = all.iter().filter(|one| !is_own(one));
                stakes.push(Stake::new(own.chain(others).copied().collect(), calls));
            }
        }
        Self {
            of: &[Of::Calls],
            stakes,
        }
    }

    /// Recorded calls that a channel of this grid answered. Other ways are those that policy allowed when it was asked.
    pub(super) fn recorded(snapshot: &Snapshot, traffic: &Traffic) -> Self {
        let lanes = Laid::lanes_on(snapshot, traffic);
        let lane = |lane: u16| lanes.get(usize::from(lane)).copied().flatten();
        let mut stakes: BTreeMap<(u32, u16), Stake> = BTreeMap::new();
        for call in &traffic.calls {
            // A call that no channel of this grid answered has no supplier here.
            let Some(home) = lane(call.lane) else {
                continue;
            };
            let stake = stakes.entry((call.kind, call.lane)).or_insert_with(|| {
                let kind = traffic.kinds.get(call.kind as usize);
                let others = kind
                    .map(|kind| allowed(snapshot, kind, &lane))
                    .unwrap_or_default();
                let others = others.into_iter().filter(|other| *other != home);
                Stake::new(std::iter::once(home).chain(others).collect(), 0)
            });
            stake.add(snapshot, call);
        }
        Self {
            of: &[Of::Calls, Of::Tokens, Of::Spend],
            stakes: stakes.into_values().collect(),
        }
    }

    pub(super) fn spend_unknown(&self) -> u64 {
        self.stakes.iter().map(|stake| stake.spend_unknown).sum()
    }

    pub(super) fn tokens_unknown(&self) -> u64 {
        self.stakes.iter().map(|stake| stake.tokens_unknown).sum()
    }

    /// How concentrated supply is.
    pub(super) fn concentration(&self, suppliers: &[Suppliers; 4]) -> Vec<Concentration> {
        let of_each = self
            .of
            .iter()
            .flat_map(|of| suppliers.iter().map(move |by| (*of, by)));
        let now = of_each.map(|(of, by)| {
            let weights = self
                .stakes
                .iter()
                .filter_map(|stake| Some((way(*stake.ways.first()?), stake.at(of, 0))));
            by.sums(weights).concentration(of)
        });
        now.collect()
    }

    /// What is left when some channels are out.
    pub(super) fn without(
        &self,
        suppliers: &[Suppliers; 4],
        now: &[Concentration],
        is_out: &dyn Fn(u16) -> bool,
    ) -> Left {
        let open = |stake: &Stake| stake.ways.iter().position(|way| !is_out(way.channel.0));
        let places: Vec<Option<usize>> = self.stakes.iter().map(open).collect();
        let each = || self.stakes.iter().zip(&places);
        let mut concentration = Vec::new();
        for of in self.of {
            // Many stakes share a way: as many sums as there are ways, and not as there are stakes.
            let mut weights: BTreeMap<Way, u64> = BTreeMap::new();
            for (stake, place) in each() {
                if let Some((ix, candidate)) = place.and_then(|ix| Some((ix, stake.ways.get(ix)?))) {
                    let sum = weights.entry(way(*candidate)).or_default();
                    *sum = sum.saturating_add(stake.at(*of, ix));
                }
            }
            for by in suppliers {
                let before = now.iter().find(|row| row.of == *of && row.by == by.by());
                let sums = by.sums(weights.iter().map(|(way, weight)| (*way, *weight)));
                concentration.push(sums.after(*of, before.and_then(|row| row.hhi)));
            }
        }
        let share = |of: Of, wanted: &dyn Fn(&Option<usize>) -> bool| {
            let all: u128 = self.stakes.iter().map(|stake| u128::from(stake.at(of, 0))).sum();
            let met = || each().filter(|(_, place)| wanted(place)).map(|(stake, _)| stake);
            let part: u128 = met().map(|stake| u128::from(stake.at(of, 0))).sum();
            // Nothing known is not nothing.
            let is_known = part > 0 || met().all(|stake| stake.unknown(of) == 0);
            (all > 0 && is_known && self.of.contains(&of)).then(|| basis_points(part, all))
        };
        let unknown = each().filter_map(|(stake, place)| Some(stake.spend.get((*place)?)?.1));
        Left {
            concentration,
            moved_bp: share(Of::Calls, &|place| place.is_some_and(|place| place > 0)).unwrap_or_default(),
            lost_bp: [Of::Calls, Of::Tokens, Of::Spend].map(|of| share(of, &|place| place.is_none())),
            spend_unknown: unknown.sum(),
        }
    }

    /// How much of the calls is expected to be unserved, and what each element adds to that.
    pub(super) fn risks(
        &self,
        elements: &Elements<'_>,
        set_of: &mut dyn FnMut(&[Candidate]) -> Arc<SetRow>,
    ) -> Risks {
        let all: u64 = self.stakes.iter().map(|stake| stake.calls).sum();
        let mut risks = Risks {
            unserved: 0.0,
            rises: vec![0.0; usize::from(elements.len())],
        };
        for stake in self.stakes.iter().filter(|stake| stake.calls > 0) {
            let weight = ratio(stake.calls, all);
            let set = set_of(&stake.ways);
            let risk = &set.risk;
            risks.unserved += weight * risk.all_out;
            for (element, rise) in &risk.by_element {
                if let Some(sum) = risks.rises.get_mut(usize::from(*element)) {
                    *sum += weight * rise;
                }
            }
        }
        risks
    }
}

impl Stake {
    fn new(ways: Vec<Candidate>, calls: u64) -> Self {
        Self {
            calls,
            spend: vec![(0, 0); ways.len()],
            spend_unknown: 0,
            tokens: 0,
            tokens_unknown: 0,
            ways,
        }
    }

    fn add(&mut self, snapshot: &Snapshot, call: &TrafficCall) {
        self.calls += 1;
        match call.usage() {
            Some(usage) => self.tokens = self.tokens.saturating_add(usage.total()),
            None => self.tokens_unknown += 1,
        }
        for (ix, (candidate, spend)) in self.ways.iter().zip(&mut self.spend).enumerate() {
            // At home it cost what it cost.
            let cost = if ix == 0 {
                call.cost_nano()
            } else {
                cost(snapshot, *candidate, call)
            };
            match cost {
                Some(cost) => spend.0 = spend.0.saturating_add(cost),
                None => spend.1 += 1,
            }
        }
        self.spend_unknown += u64::from(call.cost_nano().is_none());
    }

    /// What it weighs on one of its ways.
    fn at(&self, of: Of, way: usize) -> u64 {
        match of {
            Of::Calls => self.calls,
            Of::Tokens => self.tokens,
            Of::Spend => self.spend.get(way).map_or(0, |spend| spend.0),
        }
    }

    /// Calls for which that is not known.
    const fn unknown(&self, of: Of) -> u64 {
        match of {
            Of::Calls => 0,
            Of::Tokens => self.tokens_unknown,
            Of::Spend => self.spend_unknown,
        }
    }
}

/// The ways of a kind of call that policy allowed when it was asked; what it was not asked about is not taken as allowed.
fn allowed(snapshot: &Snapshot, kind: &Kind, lane: &dyn Fn(u16) -> Option<Candidate>) -> Vec<Candidate> {
    let ask = match &kind.ask {
        Asked::Model(name) => snapshot.model_named(name).map(Ask::Model),
        Asked::Nothing => None,
        Asked::Pool(name) => snapshot.pool_named(name).map(Ask::Pool),
    };
    let candidates = ask.as_ref().and_then(|ask| snapshot.candidates(ask));
    let is_allowed = |candidate: &&Candidate| {
        let ruling = kind
            .rulings
            .iter()
            .find(|(of, _)| lane(*of).as_ref() == Some(*candidate));
        ruling.is_some_and(|(_, ruling)| *ruling == Ruling::Allow)
    };
    let candidates = candidates.map_or(&[][..], |(candidates, _)| candidates);
    candidates.iter().filter(is_allowed).copied().collect()
}

/// What a call costs at a candidate's price, in nano-dollars, if price and usage are known.
fn cost(snapshot: &Snapshot, candidate: Candidate, call: &TrafficCall) -> Option<u64> {
    let price = snapshot.served(candidate)?.price?;
    price.cost(&call.usage()?).map(|cost| cost.0)
}

/// A part of a whole.
#[expect(
    clippy::cast_precision_loss,
    reason = "a weight of a chance, good to fifteen digits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

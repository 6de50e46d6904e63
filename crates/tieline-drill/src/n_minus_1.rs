//! N-1: each channel and each component gone in turn, and what becomes of every recorded call. The calls are decided again
//! by the live core, once with nothing gone (the base) and once for each loss; the two ends of a call say what the loss
//! did to it.
//!
//! Bounds: 8 bytes a call for the base, the affected parties of one contingency at a time, [`PARTY_ROWS_MAX`] parties
//! reported of each. Contingencies that take out the same channels are run once.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::record::Outcome;
use tieline_core::{ChannelIx, ComponentIx, Nano, Snapshot};

use crate::concentration::{By, Weights, hhi_by, way};
use crate::engine::{Cut, End, run};
use crate::laid::Laid;
use crate::traffic::{Basis, Traffic, TrafficCall};

/// The schema of [`NMinus1Report`].
pub const N_MINUS_1_V1: &str = "tieline/drill-n-1/v1";

/// Parties reported of one contingency, those that lose most first: a page. All are counted.
pub const PARTY_ROWS_MAX: usize = 50;

/// What the loss of each element would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NMinus1Report {
    pub base: Base,
    pub basis: Basis,
    /// Worst first: by calls lost, held, degraded, moved; then channels before components, by name.
    pub contingencies: Vec<Contingency>,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// Always [`N_MINUS_1_V1`].
    pub schema: &'static str,
}

/// The same traffic with nothing gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Base {
    /// Of the calls that a channel answered in the record, those that the same channel and model answer here.
    pub as_recorded: u64,
    /// Calls that a channel answered in the record.
    pub answered_in_record: u64,
    pub calls: u64,
    /// Calls that get an answer.
    pub carried: u64,
    /// Index of concentration of the calls carried.
    pub hhi: HhiAfter,
    /// Calls refused although nothing is gone; no contingency counts them as lost.
    pub refused: u64,
    /// Calls with candidates that policy was not asked about when they were recorded; these were not used.
    pub unjudged: u64,
    /// Calls that ask for a pool or model that this grid does not have; they are among the refused.
    pub unmapped: u64,
}

/// The loss of one element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Contingency {
    /// The channels that it takes out.
    pub channels_out: Vec<String>,
    /// Over the calls that are served with and without the loss.
    pub cost_change_nano: CostChange,
    /// Calls that are served elsewhere and whose cost here or there is not known.
    pub cost_unknown_calls: u64,
    pub gone: Element,
    pub hhi_after: HhiAfter,
    /// The parties that it touches, those that lose most first.
    pub parties: Vec<PartyRow>,
    /// How many parties it touches.
    pub parties_touched: u64,
    pub tally: Tally,
}

/// A channel or a component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Element {
    pub kind: ElementKind,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ElementKind {
    Channel,
    Component,
}

/// What becomes of calls; the six add up to all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tally {
    /// Same model on the same channel.
    pub kept: u64,
    /// Same model on another channel.
    pub moved: u64,
    /// Another model.
    pub degraded: u64,
    /// Waiting for an officer.
    pub held: u64,
    /// Unserved.
    pub lost: u64,
    /// Unserved with nothing gone, too.
    pub refused_before: u64,
}

/// One party's calls under a contingency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartyRow {
    pub party: String,
    pub tally: Tally,
}

/// Indexes of concentration of calls; absent where nothing is carried or attributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HhiAfter {
    pub channel: Option<u32>,
    pub cloud: Option<u32>,
    pub lab: Option<u32>,
    pub region: Option<u32>,
}

/// A change in cost: a signed decimal string of nano-dollars, or `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum CostChange {
    Nano(i128),
    /// A call moved and its price or usage is not known, so the sum is not either.
    Unknown,
}

/// Run every single loss. `progress` is told how many runs are done, of how many.
pub fn n_minus_1(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    progress: &mut dyn FnMut(usize, usize),
) -> NMinus1Report {
    let laid = Laid::new(snapshot, traffic);
    let elements = elements(snapshot);
    let mut distinct: BTreeMap<Vec<ChannelIx>, Cut> = BTreeMap::new();
    for (_, cut, out) in &elements {
        distinct.entry(out.clone()).or_insert(*cut);
    }
    let total = distinct.len() + 1;
    let (base, ends) = base(&laid);
    progress(1, total);
    let mut results: BTreeMap<&Vec<ChannelIx>, Losses<'_>> = BTreeMap::new();
    for (done, (out, cut)) in (2..).zip(&distinct) {
        let mut losses = Losses::new(&laid, &ends);
        run(&laid, *cut, &mut |end| losses.count(end));
        results.insert(out, losses);
        progress(done, total);
    }
    let contingencies = elements.iter().filter_map(|(gone, _, out)| {
        let losses = results.get(out)?;
        Some(losses.contingency(gone.clone(), names(snapshot, out)))
    });
    let mut contingencies: Vec<_> = contingencies.collect();
    contingencies.sort_by(|a, b| {
        let weight = |c: &Contingency| c.tally.weight();
        weight(b).cmp(&weight(a)).then_with(|| a.gone.cmp(&b.gone))
    });
    NMinus1Report {
        notes: notes(&base, traffic),
        base,
        basis: traffic.basis,
        contingencies,
        schema: N_MINUS_1_V1,
    }
}

/// Every channel and component, the cut that takes it out, and the channels that are out then.
fn elements(snapshot: &Snapshot) -> Vec<(Element, Cut, Vec<ChannelIx>)> {
    let channels = snapshot.channels.iter().zip((0..).map(ChannelIx));
    let single = channels.clone().map(|(channel, ix)| {
        let gone = Element {
            kind: ElementKind::Channel,
            name: channel.name.to_string(),
        };
        (gone, Cut::Channel(ix), vec![ix])
    });
    let shared = snapshot
        .components
        .iter()
        .zip((0..).map(ComponentIx))
        .map(|(name, component)| {
            let gone = Element {
                kind: ElementKind::Component,
                name: name.to_string(),
            };
            let out = channels
                .clone()
                .filter(|(channel, _)| channel.components.contains(component));
            (gone, Cut::Component(component), out.map(|(_, ix)| ix).collect())
        });
    single.chain(shared).collect()
}

fn names(snapshot: &Snapshot, channels: &[ChannelIx]) -> Vec<String> {
    let named = channels.iter().filter_map(|ix| snapshot.channel(*ix));
    named.map(|channel| channel.name.to_string()).collect()
}

/// Who answers each call with nothing gone.
pub(crate) type Ends = Vec<Option<Candidate>>;

pub(crate) fn base(laid: &Laid<'_>) -> (Base, Ends) {
    let calls = &laid.traffic.calls;
    let mut ends: Ends = vec![None; calls.len()];
    run(laid, Cut::Nothing, &mut |end| {
        if let Some(place) = ends.get_mut(end.call) {
            *place = end.answered;
        }
    });
    let all = || calls.iter().zip(&ends);
    let tally = |of: &dyn Fn(&TrafficCall, Option<Candidate>) -> bool| {
        all().filter(|(call, end)| of(call, **end)).count() as u64
    };
    let answered = |call: &TrafficCall| matches!(call.result, Outcome::Served | Outcome::Broken);
    let mut weights = Weights::new();
    for candidate in ends.iter().flatten() {
        *weights.entry(way(*candidate)).or_default() += 1;
    }
    let recorded = laid.traffic.basis == Basis::Recorded;
    let base = Base {
        answered_in_record: tally(&|call, _| recorded && answered(call)),
        as_recorded: tally(&|call, end| {
            recorded && answered(call) && end.is_some() && laid.answered_by(call) == end
        }),
        calls: calls.len() as u64,
        carried: tally(&|_, end| end.is_some()),
        hhi: HhiAfter::of(&laid.snapshot, &weights),
        refused: tally(&|_, end| end.is_none()),
        unjudged: tally(&|call, _| laid.is_unjudged(call)),
        unmapped: tally(&|call, _| laid.is_unmapped(call)),
    };
    (base, ends)
}

// === counting one contingency ===

pub(crate) struct Losses<'l> {
    base: &'l Ends,
    cost: i128,
    cost_unknown: u64,
    laid: &'l Laid<'l>,
    parties: BTreeMap<u32, Tally>,
    tally: Tally,
    weights: Weights,
}

/// What was counted over all calls.
pub(crate) struct Totals {
    pub(crate) cost_change_nano: CostChange,
    pub(crate) cost_unknown_calls: u64,
    /// Those that lose most first.
    pub(crate) parties: Vec<PartyRow>,
    pub(crate) tally: Tally,
}

impl<'l> Losses<'l> {
    pub(crate) fn new(laid: &'l Laid<'l>, base: &'l Ends) -> Self {
        Self {
            base,
            cost: 0,
            cost_unknown: 0,
            laid,
            parties: BTreeMap::new(),
            tally: Tally::default(),
            weights: Weights::new(),
        }
    }

    pub(crate) fn count(&mut self, end: End) {
        let before = self.base.get(end.call).copied().flatten();
        if let Some(candidate) = end.answered {
            *self.weights.entry(way(candidate)).or_default() += 1;
        }
        let one = Tally::one(before, end);
        self.tally.add(&one);
        let Some(call) = self.laid.traffic.calls.get(end.call) else {
            return;
        };
        let kind = self.laid.traffic.kinds.get(call.kind as usize);
        let party = kind.map_or(u32::MAX, |kind| kind.party);
        self.parties.entry(party).or_default().add(&one);
        if let (Some(before), Some(after)) = (before, end.answered)
            && before != after
        {
            match (self.laid.cost(call, before), self.laid.cost(call, after)) {
                (Some(before), Some(after)) => self.cost += i128::from(after.0) - i128::from(before.0),
                _ => self.cost_unknown += 1,
            }
        }
    }

    fn contingency(&self, gone: Element, channels_out: Vec<String>) -> Contingency {
        let mut totals = self.totals();
        let parties_touched = totals.parties.len() as u64;
        totals.parties.truncate(PARTY_ROWS_MAX);
        Contingency {
            channels_out,
            cost_change_nano: totals.cost_change_nano,
            cost_unknown_calls: totals.cost_unknown_calls,
            gone,
            hhi_after: HhiAfter::of(&self.laid.snapshot, &self.weights),
            parties: totals.parties,
            parties_touched,
            tally: totals.tally,
        }
    }

    /// The sums, and every party that is touched.
    pub(crate) fn totals(&self) -> Totals {
        let touched = self.parties.iter().filter(|(_, tally)| tally.is_touched());
        let mut rows: Vec<PartyRow> = touched
            .map(|(party, tally)| PartyRow {
                party: self.laid.party(*party),
                tally: *tally,
            })
            .collect();
        rows.sort_by(|a, b| {
            let weights = b.tally.weight().cmp(&a.tally.weight());
            weights.then_with(|| a.party.cmp(&b.party))
        });
        Totals {
            cost_change_nano: if self.cost_unknown == 0 {
                CostChange::Nano(self.cost)
            } else {
                CostChange::Unknown
            },
            cost_unknown_calls: self.cost_unknown,
            parties: rows,
            tally: self.tally,
        }
    }
}

impl Tally {
    /// The tally of one call, from who answers it with nothing gone and how it ends.
    fn one(before: Option<Candidate>, end: End) -> Self {
        let mut one = Self::default();
        let field = match (before, end.answered) {
            (None, _) => &mut one.refused_before,
            (Some(before), Some(after)) if before.model != after.model => &mut one.degraded,
            (Some(before), Some(after)) if before.channel != after.channel => &mut one.moved,
            (Some(_), Some(_)) => &mut one.kept,
            (Some(_), None) if end.held => &mut one.held,
            (Some(_), None) => &mut one.lost,
        };
        *field = 1;
        one
    }

    fn add(&mut self, other: &Self) {
        self.kept += other.kept;
        self.moved += other.moved;
        self.degraded += other.degraded;
        self.held += other.held;
        self.lost += other.lost;
        self.refused_before += other.refused_before;
    }

    /// All calls.
    pub const fn calls(&self) -> u64 {
        self.kept + self.moved + self.degraded + self.held + self.lost + self.refused_before
    }

    /// Whether anything changes for anyone.
    pub const fn is_touched(&self) -> bool {
        self.moved + self.degraded + self.held + self.lost > 0
    }

    /// What a contingency is ranked by.
    const fn weight(&self) -> [u64; 4] {
        [self.lost, self.held, self.degraded, self.moved]
    }
}

impl HhiAfter {
    fn of(snapshot: &Snapshot, weights: &Weights) -> Self {
        Self {
            channel: hhi_by(snapshot, By::Channel, weights),
            cloud: hhi_by(snapshot, By::Cloud, weights),
            lab: hhi_by(snapshot, By::Lab, weights),
            region: hhi_by(snapshot, By::Region, weights),
        }
    }
}

impl Laid<'_> {
    /// What the call costs at a candidate's price, if price and usage are known.
    fn cost(&self, call: &TrafficCall, candidate: Candidate) -> Option<Nano> {
        let price = self.snapshot.served(candidate)?.price?;
        price.cost(&call.usage()?)
    }

    fn answered_by(&self, call: &TrafficCall) -> Option<Candidate> {
        self.lane(call.lane)
    }

    fn party(&self, ix: u32) -> String {
        let party = self.traffic.parties.get(ix as usize);
        party.map_or_else(String::new, ToString::to_string)
    }
}

impl Serialize for CostChange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nano(nano) => serializer.collect_str(nano),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

fn notes(base: &Base, traffic: &Traffic) -> Vec<String> {
    let mut notes = traffic.notes();
    let mut say = |condition: bool, note: &str| {
        if condition {
            notes.push(note.to_owned());
        }
    };
    say(
        base.as_recorded < base.answered_in_record,
        "With nothing gone, some calls are answered by another channel than in the record: the grid, or what an \
         operator had cut, was another then.",
    );
    say(
        base.unjudged > 0,
        "Some calls have candidates that policy was not asked about when they were recorded; these were not used.",
    );
    say(
        base.unmapped > 0,
        "Some calls ask for a pool or model that this grid does not have; they count as refused.",
    );
    notes
}

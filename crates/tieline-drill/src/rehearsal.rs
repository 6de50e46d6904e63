//! A rehearsal: recorded calls decided again with nothing gone (the base), and then under any number of timelines, each
//! compared with the base call by call.
//!
//! A timeline is played by [`Rehearsal::play`], which changes nothing here: plays may go on at once, and come out the same
//! in whichever order. Bounds: 8 bytes a call for the base; of one play some 50 bytes a party and the calls in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::record::Outcome;
use tieline_core::{Criticality, Nano, Snapshot};

use crate::concentration::{By, Weights, hhi_across, way};
use crate::consequence::{Consequence, Counter};
use crate::engine::play;
use crate::fill::Tightest;
use crate::known::{Known, PartyClass};
use crate::laid::{Laid, LaneIx};
use crate::page::{StreamCounter, Streams};
use crate::scenario::Surged;
use crate::seen::{End, How, Seen};
use crate::tally::{Fate, Tally};
use crate::timeline::Timeline;
use crate::times::{Quantiles, Times};
use crate::traffic::{Asked, Basis, Class, Traffic, TrafficCall};

/// The same traffic with nothing gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Base {
    /// Of the calls that a channel answered in the record, those that the same channel and model answer here.
    pub as_recorded: u64,
    /// Calls that a channel answered in the record.
    pub answered_in_record: u64,
    /// Attempts of all calls.
    pub attempts: u64,
    pub calls: u64,
    /// Calls that get an answer.
    pub carried: u64,
    /// What the calls cost whose cost is known, in nano-dollars.
    #[schemars(with = "String")]
    pub cost_nano: Nano,
    /// Calls that get an answer and whose cost is not known.
    pub cost_unknown_calls: u64,
    /// From a call's arrival to its first content; absent where nothing is carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_content: Option<Quantiles>,
    /// Calls by who answers them, those lanes that answer any.
    pub flows: Vec<Flow>,
    /// Index of concentration of the calls carried.
    pub hhi: HhiAfter,
    /// Calls refused although nothing is gone; no contingency counts them as lost.
    pub refused: u64,
    /// The limit of a channel that comes closest to its end; absent where none is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tightest: Option<Tightest>,
    /// Calls with candidates that policy was not asked about when they were recorded; these were not used.
    pub unjudged: u64,
    /// Calls that ask for a pool or model that this grid does not have; they are among the refused.
    pub unmapped: u64,
}

/// Calls that a model on a channel answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flow {
    pub calls: u64,
    pub channel: String,
    pub model: String,
}

/// Indexes of concentration of calls; absent where nothing is carried or attributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HhiAfter {
    pub channel: Option<u32>,
    pub cloud: Option<u32>,
    pub lab: Option<u32>,
    pub region: Option<u32>,
}

/// Recorded calls, the grid that they are decided under, and what becomes of them with nothing gone.
pub struct Rehearsal<'t> {
    base: Base,
    before: Vec<Before>,
    /// The lanes as candidates of the grid of the base.
    candidates: Vec<Option<Candidate>>,
    classes: Vec<PartyClass>,
    /// Whether it matters that calls of a kind are served, kind by kind.
    critical: Vec<bool>,
    /// Whether the base dials a channel, channel by channel.
    dialled: Vec<bool>,
    known: Known,
    laid: Laid<'t>,
    /// Calls answered, by lane.
    lanes: Vec<u64>,
    parties: Vec<PartyBefore>,
}

/// How a call ends with nothing gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// [`Before::REFUSED`], or the lane, with [`Before::BROKEN`] where its answer broke off.
    lane: u32,
    /// Saturates at 71 minutes.
    pub(crate) first_content_us: u32,
}

const _: () = assert!(size_of::<Before>() == 8, "the base is 8 bytes a call");

/// A party's calls with nothing gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartyBefore {
    pub(crate) refused: u32,
    pub(crate) served: u32,
}

impl<'t> Rehearsal<'t> {
    /// Decide every call again under `snapshot` with nothing gone.
    pub fn new(snapshot: &Arc<Snapshot>, traffic: &'t Traffic, known: Known) -> Self {
        let laid = Laid::new(snapshot, traffic);
        let class = |(party, stated): (&Arc<str>, Option<Class>)| {
            let known = known.classes.get(party).copied();
            known.or(stated.map(PartyClass::from)).unwrap_or_default()
        };
        let classes = traffic.parties().map(class).collect();
        let lanes = (0..).map(LaneIx).take(laid.lanes().len());
        let candidates = lanes.map(|lane| laid.candidate(0, lane)).collect();
        let critical = traffic.kinds.iter().map(|kind| {
            let of_pool = match &kind.ask {
                Asked::Pool(name) => snapshot.pool_named(name).and_then(|ix| snapshot.pool(ix)),
                Asked::Model(_) | Asked::Nothing => None,
            };
            let of_pool = of_pool
                .map_or(snapshot.settings, |pool| pool.settings)
                .criticality;
            kind.criticality.map_or(of_pool, |of_key| of_key.min(of_pool)) >= Criticality::Critical
        });
        let mut rehearsal = Self {
            base: Base::default(),
            before: Vec::new(),
            candidates,
            classes,
            critical: critical.collect(),
            dialled: Vec::new(),
            known,
            lanes: Vec::new(),
            parties: vec![PartyBefore::default(); traffic.parties.len()],
            laid,
        };
        rehearsal.carry();
        rehearsal
    }

    pub const fn base(&self) -> &Base {
        &self.base
    }

    /// The grid that the base is decided under.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.laid.grid(0).snapshot
    }

    pub fn basis(&self) -> Basis {
        self.laid.traffic.basis
    }

    pub const fn traffic(&self) -> &'t Traffic {
        self.laid.traffic
    }

    /// The traffic on another grid, too: once for many plays of timelines with that grid.
    pub(crate) fn laid_on(&self, grid: &Arc<Snapshot>) -> Laid<'t> {
        let mut laid = self.laid.clone();
        laid.lay(grid);
        laid
    }

    /// What becomes of the calls while the timeline plays.
    pub fn play(&self, timeline: &Timeline<'_>) -> Consequence {
        self.play_for(timeline, crate::consequence::PARTY_ROWS_MAX).0
    }

    /// The same with at most so many parties; and which channels of the grid of the base were dialled.
    pub(crate) fn play_for(&self, timeline: &Timeline<'_>, rows_max: usize) -> (Consequence, Vec<bool>) {
        self.play_watched(timeline, rows_max, &mut |_, _, _| {})
    }

    /// The same; `seen` is told how each call ends, on which lanes, and what becomes of it.
    pub(crate) fn play_watched(
        &self,
        timeline: &Timeline<'_>,
        rows_max: usize,
        seen: &mut dyn FnMut(&Laid<'_>, &End, Fate),
    ) -> (Consequence, Vec<bool>) {
        self.play_on(&self.laid, timeline, rows_max, seen)
    }

    /// The same over traffic that is laid on grids of the timeline; on those that are missing it is laid for this play.
    pub(crate) fn play_on(
        &self,
        laid: &Laid<'t>,
        timeline: &Timeline<'_>,
        rows_max: usize,
        seen: &mut dyn FnMut(&Laid<'_>, &End, Fate),
    ) -> (Consequence, Vec<bool>) {
        let own;
        let laid = if laid.has(timeline) {
            laid
        } else {
            let mut more = laid.clone();
            more.lay_all(timeline);
            own = more;
            &own
        };
        let mut counter = Counter::new(self, laid);
        let mut each = |end: &End| {
            if let Some(fate) = counter.count(end) {
                seen(laid, end, fate);
            }
        };
        let played = play(laid, timeline, self.known.seed, &mut each);
        let dialled = played.seen.dialled.clone();
        (counter.consequence(timeline, played, rows_max), dialled)
    }

    /// Who answers whom with nothing gone.
    pub fn streams(&self) -> Streams {
        StreamCounter::new(self).before()
    }

    /// Who answers whom while the timeline plays, beside what becomes of the calls.
    pub(crate) fn play_streams(&self, timeline: &Timeline<'_>, rows_max: usize) -> (Consequence, Streams) {
        let mut counter = StreamCounter::new(self);
        let (consequence, _) = self.play_watched(timeline, rows_max, &mut |laid, end, fate| {
            counter.see(laid, end, fate);
        });
        (consequence, counter.finish())
    }

    /// The consequence of nothing, which needs no play.
    pub(crate) fn nothing(&self) -> Consequence {
        Consequence::nothing(self)
    }

    /// The same calls with a surge among them: each call is compared with what becomes of the call that it is, or is a copy
    /// of, with nothing gone.
    pub fn surged<'s>(&self, surged: &'s Surged) -> Rehearsal<'s> {
        let laid = Laid::new(self.snapshot(), &surged.traffic);
        let origin = surged.origin.iter();
        let before: Vec<Before> = origin
            .map(|ix| self.before(*ix as usize).unwrap_or_default())
            .collect();
        let mut lanes = vec![0_u64; laid.lanes().len()];
        for lane in before.iter().filter_map(|before| before.lane()) {
            if let Some(count) = lanes.get_mut(lane.0 as usize) {
                *count += 1;
            }
        }
        let mut base = self.base.clone();
        (base.calls, base.carried, base.refused) = (0, 0, 0);
        (base.answered_in_record, base.as_recorded) = (0, 0);
        (base.unjudged, base.unmapped) = (0, 0);
        let mut rehearsal = Rehearsal {
            base,
            before,
            candidates: self.candidates.clone(),
            classes: self.classes.clone(),
            critical: self.critical.clone(),
            dialled: self.dialled.clone(),
            known: self.known.clone(),
            laid,
            lanes,
            parties: vec![PartyBefore::default(); self.parties.len()],
        };
        rehearsal.count();
        rehearsal
    }

    /// Take calls as refused with nothing gone, so that no play can be said to lose them.
    pub(crate) fn disregard(&mut self, is_out: impl Fn(usize, &TrafficCall) -> bool) {
        let traffic = self.laid.traffic;
        for ((ix, call), before) in traffic.calls.iter().enumerate().zip(&mut self.before) {
            if before.lane().is_none() || !is_out(ix, call) {
                continue;
            }
            *before = Before::default();
            self.base.carried -= 1;
            self.base.refused += 1;
            let kind = traffic.kinds.get(call.kind as usize);
            if let Some(party) = kind.and_then(|kind| self.parties.get_mut(kind.party as usize)) {
                party.served = party.served.saturating_sub(1);
                party.refused = party.refused.saturating_add(1);
            }
        }
    }

    /// Who answers a call with nothing gone, on the grid of the base.
    pub(crate) fn answered(&self, call: usize) -> Option<Candidate> {
        self.candidate(self.before(call)?.lane()?)
    }

    /// Whether the base dials the channel.
    pub(crate) fn dials(&self, channel: usize) -> bool {
        self.dialled.get(channel).copied().unwrap_or(true)
    }

    /// Whether a call is served with nothing gone.
    pub(crate) fn is_served(&self, call: usize) -> bool {
        self.before(call).and_then(Before::lane).is_some()
    }

    pub(crate) fn before(&self, call: usize) -> Option<Before> {
        self.before.get(call).copied()
    }

    pub(crate) fn candidate(&self, lane: LaneIx) -> Option<Candidate> {
        self.candidates.get(lane.0 as usize).copied().flatten()
    }

    /// Whether it matters that calls of a kind are served.
    pub(crate) fn is_critical(&self, kind: usize) -> bool {
        self.critical.get(kind).copied().unwrap_or(true)
    }

    pub(crate) fn class(&self, party: usize) -> PartyClass {
        self.classes.get(party).copied().unwrap_or_default()
    }

    pub(crate) fn parties(&self) -> &[PartyBefore] {
        &self.parties
    }

    /// Calls that a lane answers.
    pub(crate) fn answers(&self, lane: LaneIx) -> u64 {
        self.lanes.get(lane.0 as usize).copied().unwrap_or_default()
    }

    pub(crate) const fn known(&self) -> &Known {
        &self.known
    }

    pub(crate) const fn laid(&self) -> &Laid<'t> {
        &self.laid
    }

    /// Which channels the base dials, channel by channel.
    pub(crate) fn dialled(&self) -> &[bool] {
        &self.dialled
    }

    /// The play of nothing.
    fn carry(&mut self) {
        let (nothing, calls) = (Timeline::default(), self.laid.traffic.calls.len());
        let mut before = vec![Before::default(); calls];
        let (mut times, mut lanes) = (Times::default(), vec![0_u64; self.laid.lanes().len()]);
        let mut base = Base::default();
        let mut each = |end: &End| {
            let now = Before::of(end);
            if let (Some(lane), Some(call)) = (now.lane(), self.laid.traffic.calls.get(end.call)) {
                times.see(now.first_content_us);
                if let Some(count) = lanes.get_mut(lane.0 as usize) {
                    *count += 1;
                }
                match end.by.and_then(|(grid, by)| self.laid.cost(grid, call, by)) {
                    Some(cost) => base.cost_nano = Nano(base.cost_nano.0.saturating_add(cost.0)),
                    None => base.cost_unknown_calls += 1,
                }
            }
            if let Some(place) = before.get_mut(end.call) {
                *place = now;
            }
        };
        let Seen {
            attempts,
            dialled,
            fills,
        } = play(&self.laid, &nothing, self.known.seed, &mut each).seen;
        base.attempts = attempts;
        base.first_content = times.quantiles();
        base.hhi = HhiAfter::of(&self.laid, &lanes);
        base.tightest = fills.tightest(&self.laid);
        let answering = self
            .laid
            .lanes()
            .iter()
            .zip(&lanes)
            .filter(|(_, calls)| **calls > 0);
        let flows = answering.map(|(lane, calls)| Flow {
            calls: *calls,
            channel: lane.channel.to_string(),
            model: lane.model.to_string(),
        });
        base.flows = flows.collect();
        (self.before, self.dialled, self.base, self.lanes) = (before, dialled, base, lanes);
        self.count();
    }

    /// The numbers of the base that need every call.
    fn count(&mut self) {
        let traffic = self.laid.traffic;
        let is_recorded = traffic.basis == Basis::Recorded;
        self.base.calls = traffic.calls.len() as u64;
        for (call, before) in traffic.calls.iter().zip(&self.before) {
            let kind = traffic.kinds.get(call.kind as usize);
            let party = kind.and_then(|kind| self.parties.get_mut(kind.party as usize));
            let (of_all, of_party) = match before.lane() {
                Some(_) => (&mut self.base.carried, party.map(|party| &mut party.served)),
                None => (&mut self.base.refused, party.map(|party| &mut party.refused)),
            };
            *of_all += 1;
            if let Some(of_party) = of_party {
                *of_party = of_party.saturating_add(1);
            }
            if is_recorded && matches!(call.result, Outcome::Served | Outcome::Broken) {
                self.base.answered_in_record += 1;
                let recorded = LaneIx(call.lane.into());
                self.base.as_recorded += u64::from(before.lane() == Some(recorded));
            }
            self.base.unjudged += u64::from(self.laid.is_unjudged(call));
            self.base.unmapped += u64::from(self.laid.is_unmapped(call));
        }
    }
}

impl Default for Base {
    fn default() -> Self {
        Self {
            answered_in_record: 0,
            as_recorded: 0,
            attempts: 0,
            calls: 0,
            carried: 0,
            cost_nano: Nano(0),
            cost_unknown_calls: 0,
            first_content: None,
            flows: Vec::new(),
            hhi: HhiAfter::default(),
            refused: 0,
            tightest: None,
            unjudged: 0,
            unmapped: 0,
        }
    }
}

impl Base {
    /// What becomes of the calls where nothing changes.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            kept: self.carried,
            refused_before: self.refused,
            ..Tally::default()
        }
    }
}

impl Default for Before {
    fn default() -> Self {
        Self {
            first_content_us: 0,
            lane: Self::REFUSED,
        }
    }
}

impl Before {
    const BROKEN: u32 = 1 << 31;
    const REFUSED: u32 = u32::MAX;

    fn of(end: &End) -> Self {
        let Some(lane) = end.answered else {
            return Self::default();
        };
        let first_content = end.first_content.unwrap_or_default().0;
        let broken = if end.how == How::Broken { Self::BROKEN } else { 0 };
        Self {
            first_content_us: u32::try_from(first_content).unwrap_or(u32::MAX),
            lane: lane.0 | broken,
        }
    }

    pub(crate) fn lane(self) -> Option<LaneIx> {
        (self.lane != Self::REFUSED).then_some(LaneIx(self.lane & !Self::BROKEN))
    }

    pub(crate) fn is_broken(self) -> bool {
        self.lane != Self::REFUSED && self.lane & Self::BROKEN != 0
    }
}

impl HhiAfter {
    /// Of calls by lane. A lane belongs to the first grid that has it.
    pub(crate) fn of(laid: &Laid<'_>, calls: &[u64]) -> Self {
        let mut weights: Vec<Weights> = vec![BTreeMap::new(); laid.grids().len()];
        for (lane, calls) in (0..).map(LaneIx).zip(calls).filter(|(_, calls)| **calls > 0) {
            let mut grids = weights.iter_mut().enumerate();
            let found = grids.find_map(|(grid, of)| Some((of, laid.candidate(grid, lane)?)));
            if let Some((of, candidate)) = found {
                *of.entry(way(candidate)).or_default() += calls;
            }
        }
        let grids = laid.grids().iter().map(|grid| &*grid.snapshot);
        let all: Vec<(&Snapshot, Weights)> = grids.zip(weights).collect();
        Self {
            channel: hhi_across(&all, By::Channel),
            cloud: hhi_across(&all, By::Cloud),
            lab: hhi_across(&all, By::Lab),
            region: hhi_across(&all, By::Region),
        }
    }
}

impl std::fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

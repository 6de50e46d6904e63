//! The play of both halves, and what of it is compared with the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::Choice;
use tieline_core::record::Outcome;
use tieline_core::{Digest32, Nano, Rng, Ruling, Seed, Snapshot, Tick, Usage};

use super::noted::Noted;
use super::{
    CALLS_MIN, COST_BAR, Calibration, CostRow, DECISIONS_BAR, Decisions, Differs, LANES_MAX, NAMED_MAX,
    QuantileRow, SETTLED_AFTER, TTFT_BAR, TTFT_NOISE_US, TtftRow, Verdict, off,
};
use crate::archive::{Blobs, open_grid};
use crate::elements::{Element, ElementKind};
use crate::engine::play;
use crate::laid::{Laid, LaneIx};
use crate::seen::{End, How};
use crate::timeline::{Happening, Timeline};
use crate::traffic::{NO_LANE, Traffic, TrafficCall, narrow};

/// Of the play: it draws what callers and breakers draw.
const SEED: u64 = 0;

/// The grids that were in force, and what operators cut, as the calls show it.
pub(super) struct Grids {
    first: Arc<Snapshot>,
    timeline: Timeline<'static>,
}

impl Grids {
    /// The error says why calls cannot be played.
    pub(super) fn of(noted: &[Noted], traffic: &Traffic, blobs: &Blobs<'_>) -> Result<Self, String> {
        let mut known: BTreeMap<Digest32, Arc<Snapshot>> = BTreeMap::new();
        let mut open = |digest: Digest32| -> Result<Arc<Snapshot>, String> {
            if let Some(grid) = known.get(&digest) {
                return Ok(grid.clone());
            }
            let bytes = blobs(&digest).ok_or("a grid that its calls cite is not archived")?;
            let grid = Arc::new(open_grid(digest, &bytes).map_err(|error| format!("the grid {error}"))?);
            known.insert(digest, grid.clone());
            Ok(grid)
        };
        let mut timeline = Timeline::default();
        let mut cuts: BTreeMap<&Arc<str>, bool> = BTreeMap::new();
        let mut in_force: Option<Arc<Snapshot>> = None;
        let mut first = None;
        for noted in noted {
            let at = noted.call.at;
            if in_force.as_ref().is_none_or(|grid| grid.digest != noted.grid) {
                let grid = open(noted.grid)?;
                if first.is_none() {
                    first = Some(grid.clone());
                } else {
                    add(&mut timeline, at, Happening::Grid(grid.clone()))?;
                }
                in_force = Some(grid);
            }
            for (channel, is_cut) in seen_of(noted, traffic) {
                if cuts.insert(channel, is_cut).unwrap_or(false) != is_cut {
                    let element = Element {
                        kind: ElementKind::Channel,
                        name: channel.to_string(),
                    };
                    let happening = if is_cut {
                        Happening::Cut
                    } else {
                        Happening::Restore
                    };
                    add(&mut timeline, at, happening(element))?;
                }
            }
        }
        let first = first.ok_or("there is no call")?;
        Ok(Self { first, timeline })
    }
}

fn add(timeline: &mut Timeline<'_>, at: Tick, happening: Happening) -> Result<(), String> {
    let added = timeline.at(at, happening);
    added.map_err(|error| format!("reloads and cuts are {error}"))
}

/// The channels of which the record of a call says whether an operator had cut them.
fn seen_of<'t>(noted: &Noted, traffic: &'t Traffic) -> impl Iterator<Item = (&'t Arc<str>, bool)> {
    let kind = traffic.kinds.get(noted.call.kind as usize);
    let rows = kind.map_or(&[][..], |kind| kind.rulings.as_slice()).iter();
    let (cut, free) = (noted.rows_cut, noted.rows_free);
    rows.zip(0_u8..8).filter_map(move |((lane, _), ix)| {
        let bit = 1 << ix;
        let channel = traffic
            .lanes
            .get(usize::from(*lane))
            .map(|(channel, _)| channel)?;
        ((cut | free) & bit != 0).then_some((channel, cut & bit != 0))
    })
}

/// What the first half taught.
#[derive(Default)]
struct Learnt {
    lanes: BTreeMap<(u16, bool), OfLane>,
}

/// Of the answers of one lane, streamed or whole.
#[derive(Default)]
struct OfLane {
    answers: u64,
    output_tokens: u64,
    /// First content and end of each, µs.
    times: Vec<(u32, u32)>,
}

impl Learnt {
    fn of(calls: &[TrafficCall]) -> Self {
        let mut learnt = Self::default();
        for call in calls.iter().filter(|call| is_answered(call)) {
            let lane = learnt.lanes.entry(key(call)).or_default();
            lane.times.push((call.ttft_us, call.took_us));
            if let Some(usage) = call.usage() {
                lane.answers += 1;
                lane.output_tokens += usage.output;
            }
        }
        learnt
    }

    /// First content and end of one of the answers of the call's lane.
    fn time(&self, call: &TrafficCall, ix: usize) -> Option<(u32, u32)> {
        let times = &self.lanes.get(&key(call))?.times;
        let draw = Rng::new(Seed(ix as u64 ^ u64::from(call.lane) << 48)).draw();
        times
            .get(usize::try_from(draw % times.len() as u64).ok()?)
            .copied()
    }

    /// The call's usage, with an answer as long as those of its lane were; and of how many that is the mean.
    fn usage(&self, call: &TrafficCall) -> Option<(Usage, u64)> {
        let lane = self.lanes.get(&key(call)).filter(|lane| lane.answers > 0)?;
        let output = (lane.output_tokens + lane.answers / 2) / lane.answers;
        let usage = Usage {
            output,
            ..call.usage()?
        };
        Some((usage, lane.answers))
    }
}

fn is_answered(call: &TrafficCall) -> bool {
    call.result == Outcome::Served && call.lane != NO_LANE
}

fn key(call: &TrafficCall) -> (u16, bool) {
    (call.lane, call.is_streamed())
}

/// Learn, play and compare.
pub(super) fn calibrate(mut traffic: Traffic, noted: &[Noted], grids: &Grids) -> Calibration {
    let half = noted.len() / 2;
    let (first, second) = traffic.calls.split_at_mut(half);
    let learnt = Learnt::of(first);
    let mut is_learnt = vec![false; second.len()];
    for ((ix, call), is_learnt) in second.iter_mut().enumerate().zip(&mut is_learnt) {
        if is_answered(call)
            && let Some((ttft, took)) = learnt.time(call, ix)
        {
            (call.ttft_us, call.took_us, *is_learnt) = (ttft, took, true);
        }
    }
    let mut laid = Laid::new(&grids.first, &traffic);
    laid.lay_all(&grids.timeline);
    let mut ends: Vec<Option<End>> = vec![None; noted.len() - half];
    play(&laid, &grids.timeline, SEED, &mut |end| {
        let place = end.call.checked_sub(half).and_then(|ix| ends.get_mut(ix));
        if let Some(place) = place {
            *place = Some(*end);
        }
    });
    let mut judge = Judge::new(&laid, &learnt);
    let mut grid = 0;
    for (ix, noted) in noted.iter().enumerate() {
        if laid.grid(grid).snapshot.digest != noted.grid {
            grid = (laid.grids().iter())
                .position(|on| on.snapshot.digest == noted.grid)
                .unwrap_or(grid);
        }
        if let Some(place) = ix.checked_sub(half)
            && let (Some(Some(end)), Some(call)) = (ends.get(place), laid.traffic.calls.get(ix))
        {
            judge.take(noted, call, end, grid, is_learnt.get(place) == Some(&true));
        }
        judge.faults(noted);
    }
    judge.calibration(half as u64, ends.len() as u64)
}

/// What is compared, as it comes.
struct Judge<'c> {
    after_faults: u64,
    by_channel: u64,
    calls: u64,
    cost: Costs,
    cost_learnt: Costs,
    differences: Vec<Differs>,
    laid: &'c Laid<'c>,
    /// The last fault of each lane.
    last_fault: BTreeMap<u16, Tick>,
    learnt: &'c Learnt,
    not_told: u64,
    same: u64,
    /// First contents by lane: recorded and played, µs.
    ttft: BTreeMap<u16, (Vec<u32>, Vec<u32>)>,
}

#[derive(Default)]
struct Costs {
    calls: u64,
    predicted: u64,
    recorded: u64,
    /// By lane: calls, calls learnt from, and the squares of what single calls are off by.
    spread: BTreeMap<(u16, bool), (u64, u64, u128)>,
}

impl<'c> Judge<'c> {
    fn new(laid: &'c Laid<'c>, learnt: &'c Learnt) -> Self {
        Self {
            after_faults: 0,
            by_channel: 0,
            calls: 0,
            cost: Costs::default(),
            cost_learnt: Costs::default(),
            differences: Vec::new(),
            laid,
            last_fault: BTreeMap::new(),
            learnt,
            not_told: 0,
            same: 0,
            ttft: BTreeMap::new(),
        }
    }

    /// Compare one call; `grid` is the one that it was decided under.
    fn take(&mut self, noted: &Noted, call: &TrafficCall, end: &End, grid: usize, is_learnt: bool) {
        if !noted.is_told {
            self.not_told += 1;
            return;
        }
        if noted.is_troubled || self.is_after_fault(call) {
            self.after_faults += 1;
            return;
        }
        self.decision(noted, call, end, grid);
        if call.result != Outcome::Served || end.how != How::Served {
            return;
        }
        self.money(call, end);
        if let (true, Some(recorded), Some(played)) = (is_learnt, noted.first_content, end.first_content) {
            let (of_record, of_play) = self.ttft.entry(call.lane).or_default();
            of_record.push(recorded);
            of_play.push(narrow(played.0));
        }
    }

    fn decision(&mut self, noted: &Noted, call: &TrafficCall, end: &End, grid: usize) {
        let settings = self.laid.grid(grid).settings_of(call.kind as usize);
        let by_channel = settings.choice == Choice::InOrder;
        let recorded = (noted.first != NO_LANE).then(|| LaneIx(noted.first.into()));
        let name = |lane: LaneIx| {
            self.laid
                .lane_named(lane)
                .map(|lane| (&lane.model, &lane.channel))
        };
        let (one, other) = (recorded.and_then(name), end.first.and_then(name));
        let is_same = ending(noted, call) == end.how
            && match (one, other) {
                (Some((model, channel)), Some((as_model, as_channel))) => {
                    model == as_model && (!by_channel || channel == as_channel)
                }
                (None, None) => true,
                _ => false,
            };
        self.calls += 1;
        self.by_channel += u64::from(by_channel);
        self.same += u64::from(is_same);
        if !is_same && self.differences.len() < NAMED_MAX {
            let differs = Differs {
                call: noted.id.to_string(),
                played: said(end.how, other),
                recorded: said(ending(noted, call), one),
            };
            self.differences.push(differs);
        }
    }

    fn money(&mut self, call: &TrafficCall, end: &End) {
        let (Some(recorded), Some((grid, by))) = (call.cost_nano(), end.by) else {
            return;
        };
        if let Some(cost) = self.laid.cost(grid, call, by) {
            self.cost.add(recorded, cost, None);
        }
        let price = self
            .laid
            .grid(grid)
            .snapshot
            .served(by)
            .and_then(|served| served.price);
        if let Some((usage, of)) = self.learnt.usage(call)
            && let Some(cost) = price.and_then(|price| price.cost(&usage))
        {
            self.cost_learnt.add(recorded, cost, Some((key(call), of)));
        }
    }

    /// Whether a channel that the call may use failed shortly before.
    fn is_after_fault(&self, call: &TrafficCall) -> bool {
        let kind = self.laid.traffic.kinds.get(call.kind as usize);
        let rulings = kind.map_or(&[][..], |kind| kind.rulings.as_slice());
        let mut allowed = rulings.iter().filter(|(_, ruling)| *ruling == Ruling::Allow);
        allowed.any(|(lane, _)| {
            let last = self.last_fault.get(lane);
            last.is_some_and(|last| call.at <= last.plus(SETTLED_AFTER))
        })
    }

    /// Remember the faults of a call that are a channel's own.
    fn faults(&mut self, noted: &Noted) {
        let failures = self.laid.traffic.failures.get(noted.call.failures as usize);
        for failure in failures.map_or(&[][..], |failures| failures) {
            if !failure.fault.kind.is_callers() {
                let at = noted.call.at.plus(failure.after);
                let last = self.last_fault.entry(failure.lane).or_default();
                *last = (*last).max(at);
            }
        }
    }

    fn calibration(self, learnt_from: u64, calls: u64) -> Calibration {
        let ttft = self.ttft_rows();
        let decisions = Decisions {
            after_faults: self.after_faults,
            by_channel: self.by_channel,
            compared: self.calls,
            differences: self.differences,
            not_told: self.not_told,
            same: self.same,
            verdict: match self.same * 10_000 >= self.calls * DECISIONS_BAR {
                _ if self.calls < CALLS_MIN => Verdict::CannotBeJudged,
                true => Verdict::Passed,
                false => Verdict::Missed,
            },
        };
        let mut calibration = Calibration {
            calls,
            cost: self.cost.row(),
            cost_learnt: self.cost_learnt.row(),
            decisions,
            learnt_from,
            ttft,
            verdict: Verdict::Passed,
            why: Vec::new(),
        };
        calibration.judge();
        calibration
    }

    /// Of all calls, then of the lanes with most calls.
    fn ttft_rows(&self) -> Vec<TtftRow> {
        let (mut of_record, mut of_play) = (Vec::new(), Vec::new());
        let mut learnt_from = 0;
        let mut rows = Vec::with_capacity(self.ttft.len());
        for (lane, (recorded, played)) in &self.ttft {
            of_record.extend(recorded);
            of_play.extend(played);
            let of = |is_streamed| self.learnt.lanes.get(&(*lane, is_streamed));
            let from = [false, true].into_iter().filter_map(of);
            let from: usize = from.map(|lane| lane.times.len()).sum();
            learnt_from += from;
            let name = self.laid.lane_named(LaneIx((*lane).into()));
            rows.extend(row(
                name.map(|lane| (&*lane.channel, &*lane.model)),
                recorded,
                played,
                from,
            ));
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.calls));
        rows.truncate(LANES_MAX);
        row(None, &of_record, &of_play, learnt_from)
            .into_iter()
            .chain(rows)
            .collect()
    }
}

/// How a call ended in the record.
const fn ending(noted: &Noted, call: &TrafficCall) -> How {
    match call.result {
        Outcome::Served => How::Served,
        Outcome::Broken => How::Broken,
        _ if noted.is_held => How::Held,
        _ => How::Unserved,
    }
}

fn said(how: How, first: Option<(&Arc<str>, &Arc<str>)>) -> String {
    let how = match how {
        How::Broken => "broken off",
        How::Held => "held",
        How::Served => "served",
        How::Unserved => "unserved",
    };
    match first {
        Some((model, channel)) => format!("{how}, {model} on {channel} first"),
        None => format!("{how}, nobody asked"),
    }
}

impl Costs {
    /// `of`: by whose answers it was predicted, and by how many.
    fn add(&mut self, recorded: u64, predicted: Nano, of: Option<((u16, bool), u64)>) {
        self.calls += 1;
        self.recorded = self.recorded.saturating_add(recorded);
        self.predicted = self.predicted.saturating_add(predicted.0);
        if let Some((lane, from)) = of {
            let spread = self.spread.entry(lane).or_insert((0, from, 0));
            let off = u128::from(recorded.abs_diff(predicted.0));
            spread.0 += 1;
            spread.2 = spread.2.saturating_add(off.saturating_mul(off));
        }
    }

    /// None, where no cost is known.
    fn row(&self) -> Option<CostRow> {
        if self.calls == 0 {
            return None;
        }
        let off = off(self.predicted, self.recorded);
        let chance = (!self.spread.is_empty()).then(|| self.chance());
        let difference = self.predicted.abs_diff(self.recorded);
        Some(CostRow {
            calls: self.calls,
            chance_nano: chance.map(Nano),
            off,
            predicted_nano: Nano(self.predicted),
            recorded_nano: Nano(self.recorded),
            verdict: match chance {
                _ if off <= COST_BAR => Verdict::Passed,
                Some(chance) if difference <= chance => Verdict::CannotBeJudged,
                _ => Verdict::Missed,
            },
        })
    }

    /// Three standard errors of the difference: of the calls themselves, and of the means that they were predicted by.
    fn chance(&self) -> u64 {
        let variance = self.spread.values().fold(0_u128, |sum, (calls, from, squares)| {
            let own = squares.saturating_mul(u128::from(calls + from));
            sum.saturating_add(own / u128::from((*from).max(1)))
        });
        u64::try_from(variance.saturating_mul(9).isqrt()).unwrap_or(u64::MAX)
    }
}

/// None without calls.
fn row(lane: Option<(&str, &str)>, recorded: &[u32], played: &[u32], from: usize) -> Option<TtftRow> {
    let sorted = |times: &[u32]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times
    };
    let (recorded, played) = (sorted(recorded), sorted(played));
    let quantile = |percent| quantile((&recorded, &played), percent, from as u64);
    Some(TtftRow {
        calls: recorded.len() as u64,
        channel: lane.map(|(channel, _)| channel.to_owned()),
        model: lane.map(|(_, model)| model.to_owned()),
        p50: quantile(50)?,
        p90: quantile(90)?,
        p99: quantile(99)?,
    })
}

/// A quantile of both, and whether it is off by more than chance explains: the ranks that lie within three standard errors
/// of either hold times that do not overlap (order statistics, whatever the law of the times).
fn quantile((recorded, played): (&[u32], &[u32]), percent: u64, from: u64) -> Option<QuantileRow> {
    let calls = recorded.len() as u64;
    let rank = (calls * percent).div_ceil(100);
    let time = |times: &[u32], rank: u64| {
        let ix = usize::try_from(rank.checked_sub(1)?).ok()?;
        times.get(ix).copied().map(u64::from)
    };
    let (of_record, of_play) = (time(recorded, rank)?, time(played, rank)?);
    // Squares of standard errors of ranks, in hundredths: n p (1 - p), and of what was drawn of `from` times more.
    let square = calls * percent * (100 - percent);
    let ranks = |square: u64| (9 * square).isqrt().div_ceil(100);
    let range = |times: &[u32], width: u64| {
        let low = rank.checked_sub(width).and_then(|rank| time(times, rank));
        let high = time(times, rank + width);
        (low.unwrap_or(0), high.unwrap_or(u64::MAX))
    };
    let one = range(recorded, ranks(square));
    let other = range(played, ranks(square.saturating_mul(calls + from) / from.max(1)));
    let is_apart = one.1 < other.0 || other.1 < one.0;
    let off = off(of_play, of_record);
    Some(QuantileRow {
        off,
        predicted_us: of_play,
        recorded_us: of_record,
        verdict: match is_apart {
            _ if off <= TTFT_BAR || of_play.abs_diff(of_record) <= TTFT_NOISE_US => Verdict::Passed,
            false => Verdict::CannotBeJudged,
            true => Verdict::Missed,
        },
    })
}

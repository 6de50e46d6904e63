//! Which losses need not be decided call by call: a bound by flows. Calls are put together in classes (those that ask for
//! the same, under the same rulings, and matter as much); of each class the busiest minute of every five is set against
//! what the channels that are left can take.
//!
//! *The bound.* A call is refused for want of room only while every channel of its first surviving model is full. While
//! that has not happened to any class, only classes that share one of these channels put load on them. Let all of them ask
//! D of a resource of which a channel can take C in a minute: it alone could carry them C / D times, the least of its
//! resources counting. If the sum of that over the channels exceeds the number of limited resources, not all are full (for
//! one that is full carries C of some resource). Limits let through a minute's worth at once and refill within a minute, so
//! half of each counts, of a silent loss, whose calls come late and in a burst, a quarter, and of what a class that may be
//! shed sees the part below which it is not. A class without channels left, and one whose calls may spend all their
//! attempts on channels that are gone, is not screened.
//!
//! What is not in it: what it takes the breakers to find out. Until then calls fail before they move, their last attempt
//! goes to another failure domain, be it another model, and channels that just failed keep a share of further attempts
//! away. So a loss that is screened out is modelled, not exact. Bounds: [`demand`]'s, and [`SETS_MAX`] sets of channels.

mod demand;

use std::collections::BTreeMap;

use tieline_core::grid::Candidate;
use tieline_core::{ChannelIx, Criticality, ModelIx, ROWS_MAX, Ruling};

use self::demand::{Amounts, Demand, RESOURCES, burn_max, capacities};
use crate::consequence::{Consequence, Counter, Group};
use crate::contingency::{Assumed, Loss};
use crate::laid::{Laid, LaneIx};
use crate::rehearsal::Rehearsal;
use crate::tally::Fate;
use crate::traffic::{Asked, TrafficCall};

/// Different sets of channels that classes choose from. Each pair of them is compared once for a loss; beyond this nothing
/// is screened out.
const SETS_MAX: usize = 512;

/// Parts of the number of times that a channel could carry what is asked.
const PARTS: u128 = 1_000_000;

pub(crate) struct Screen<'r, 't> {
    assumed: Assumed,
    capacities: Vec<[Option<u64>; RESOURCES]>,
    classes: Vec<Class>,
    demand: Demand,
    groups: Vec<Group>,
    rehearsal: &'r Rehearsal<'t>,
}

/// Calls that are chosen for alike.
#[derive(Clone, Debug)]
struct Class {
    attempts_max: usize,
    calls: u64,
    candidates: Vec<(Candidate, Ruling)>,
    criticality: Criticality,
    /// The most attempts of one of its calls that fail in the record. Such calls may be served by any of their candidates.
    failures_max: usize,
}

/// What the bound says of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Calls may go unserved, or to another model for want of room.
    pub may_shed: bool,
    /// How near the channels that are left come to it, in thousandths; the higher, the nearer.
    pub tightness: u64,
}

/// Where a class goes, and how much of a limit it may see used.
type Chosen = (Vec<ChannelIx>, Criticality);

impl<'r, 't> Screen<'r, 't> {
    pub(crate) fn new(rehearsal: &'r Rehearsal<'t>, assumed: Assumed) -> Self {
        let (traffic, snapshot) = (rehearsal.traffic(), rehearsal.snapshot());
        let laid = rehearsal.laid();
        let mut index = BTreeMap::new();
        let mut classes = Vec::new();
        // Two classes a kind: of its calls without failures, and of those with.
        let of_kinds: Vec<(u32, u32)> = (0..traffic.kinds.len())
            .map(|kind| {
                let mut of = |fails| class_of(laid, kind, fails, &mut index, &mut classes);
                (of(false), of(true))
            })
            .collect();
        let class = |call: &TrafficCall| {
            let fails = traffic.failures.get(call.failures as usize).is_some();
            let (without, with) = *of_kinds.get(call.kind as usize)?;
            Some(if fails { with } else { without })
        };
        for call in &traffic.calls {
            let failures = traffic
                .failures
                .get(call.failures as usize)
                .map_or(0, |f| f.len());
            let of = class(call).and_then(|class| classes.get_mut(class as usize));
            if let Some(class) = of {
                class.calls += 1;
                class.failures_max = class.failures_max.max(failures);
            }
        }
        let injected = |call: &TrafficCall| {
            let kind = traffic.kinds.get(call.kind as usize)?;
            let Asked::Pool(name) = &kind.ask else { return None };
            let pool = snapshot.pool(snapshot.pool_named(name)?)?;
            let is_budgeted = pool.limits.has_budget();
            is_budgeted.then_some(pool.settings.output_tokens_max.into())
        };
        let derated = assumed.left(snapshot);
        let worth = derated.as_ref().unwrap_or(snapshot);
        Self {
            assumed,
            capacities: capacities(worth),
            demand: Demand::new(traffic, classes.len(), burn_max(snapshot), &class, &injected),
            classes,
            groups: groups(rehearsal),
            rehearsal,
        }
    }

    /// What the bound says of the loss of these channels.
    pub(crate) fn judge(&self, out: &[ChannelIx]) -> Judged {
        let certain = Judged {
            may_shed: true,
            tightness: u64::MAX,
        };
        let is_out = |channel: ChannelIx| out.contains(&channel);
        let mut classes = self.classes.iter().filter(|class| class.calls > 0);
        if classes.any(|class| self.may_run_out(class, &is_out)) {
            return certain;
        }
        let (sets, of_class) = self.sets(&is_out);
        if sets.len() > SETS_MAX {
            return certain;
        }
        let shares: Vec<Vec<usize>> = sets.iter().map(|set| sharing(set, &sets)).collect();
        let mut tightness = 0;
        for cells in &self.demand.0 {
            let mut asked = vec![Amounts::default(); sets.len()];
            for cell in cells {
                let set = of_class.get(cell.class as usize).copied().flatten();
                if let Some(sum) = set.and_then(|set| asked.get_mut(set)) {
                    add(sum, &cell.amounts);
                }
            }
            for ((set, shares), own) in sets.iter().zip(&shares).zip(&asked) {
                if own.iter().any(|amount| *amount > 0) {
                    let mut all = Amounts::default();
                    for other in shares.iter().filter_map(|other| asked.get(*other)) {
                        add(&mut all, other);
                    }
                    tightness = tightness.max(self.tightness(set, &all));
                }
            }
        }
        Judged {
            may_shed: tightness >= 1_000,
            tightness,
        }
    }

    /// What becomes of the calls if there is room: each goes to the first of its candidates that is left.
    pub(crate) fn consequence(&self, out: &[ChannelIx]) -> Consequence {
        let laid = self.rehearsal.laid();
        let mut counter = Counter::new(self.rehearsal, laid);
        for group in &self.groups {
            let before = self.rehearsal.candidate(group.lane);
            if before.is_none_or(|before| !out.contains(&before.channel)) {
                counter.count_group(group, Fate::Kept, None);
                continue;
            }
            let rulings = laid.grid(0).rulings_of(group.kind);
            let candidates = laid
                .grid(0)
                .candidates_of(group.kind)
                .iter()
                .zip(rulings)
                .zip(0..);
            let mut left = candidates.filter(|((candidate, _), _)| !out.contains(&candidate.channel));
            let next = left.clone().find(|((_, ruling), _)| **ruling == Ruling::Allow);
            match next {
                Some(((candidate, _), row)) => counter.count_moved(group, *candidate, row),
                None if left.any(|((_, ruling), _)| *ruling == Ruling::Hold) => {
                    counter.count_group(group, Fate::Held, None);
                }
                None => counter.count_group(group, Fate::Lost, None),
            }
        }
        counter.modelled()
    }

    /// Whether calls of the class may find nobody to serve them, however much room there is.
    fn may_run_out(&self, class: &Class, is_out: &dyn Fn(ChannelIx) -> bool) -> bool {
        let allowed = || {
            let candidates = class.candidates.iter();
            candidates.filter(|(_, ruling)| *ruling == Ruling::Allow)
        };
        let gone = allowed()
            .filter(|(candidate, _)| is_out(candidate.channel))
            .count();
        let wasted = if self.assumed.loss == Loss::Cut { 0 } else { gone };
        let may_be_spent = wasted > 0 && wasted + class.failures_max >= class.attempts_max;
        gone > 0 && (gone == allowed().count() || may_be_spent)
    }

    /// The sets of channels that the classes choose from, and which is whose.
    fn sets(&self, is_out: &dyn Fn(ChannelIx) -> bool) -> (Vec<Chosen>, Vec<Option<usize>>) {
        let mut index: BTreeMap<Chosen, usize> = BTreeMap::new();
        let mut sets = Vec::new();
        let of_class = self.classes.iter().map(|class| {
            let set = class.channels(is_out);
            (!set.is_empty()).then(|| {
                let chosen = (set, class.criticality);
                *index.entry(chosen).or_insert_with_key(|chosen| {
                    sets.push(chosen.clone());
                    sets.len() - 1
                })
            })
        });
        let of_class = of_class.collect();
        (sets, of_class)
    }

    /// How near the channels come to all being full, in thousandths.
    fn tightness(&self, (channels, criticality): &Chosen, asked: &Amounts) -> u64 {
        let (mut times, mut limited) = (0_u128, [false; RESOURCES]);
        for channel in channels {
            let capacity = self.capacities.get(usize::from(channel.0)).copied();
            let mut least: Option<u128> = None;
            let each = asked.iter().zip(capacity.unwrap_or_default()).zip(&mut limited);
            for ((asked, capacity), limited) in each {
                if let (Some(capacity), 1..) = (capacity, *asked) {
                    let carries = u128::from(capacity) * PARTS / u128::from(*asked);
                    least = Some(least.map_or(carries, |least| least.min(carries)));
                    *limited = true;
                }
            }
            match least {
                Some(carries) => times += carries,
                // A channel without a limit is never full.
                None => return 0,
            }
        }
        let resources = limited.iter().filter(|limited| **limited).count() as u128;
        // The part of a limit that a call sees free, halved for bursts, and once more where calls come late.
        let part = u128::from(criticality.shed_permille().unwrap_or(1_000));
        let part = match self.assumed.loss {
            Loss::Silent => part / 4,
            Loss::Cut | Loss::Errors | Loss::Refused => part / 2,
        };
        let tightness = (resources * PARTS * 1_000 * 1_000).checked_div(times * part);
        tightness.map_or(u64::MAX, |tightness| u64::try_from(tightness).unwrap_or(u64::MAX))
    }
}

impl Class {
    /// The channels that its calls may be put on while there is room: those of the first model that is left, or all that
    /// are left, of calls that have failed before.
    fn channels(&self, is_out: &dyn Fn(ChannelIx) -> bool) -> Vec<ChannelIx> {
        let allowed = self.candidates.iter();
        let left =
            allowed.filter(|(candidate, ruling)| *ruling == Ruling::Allow && !is_out(candidate.channel));
        let mut first: Option<ModelIx> = None;
        let mut channels: Vec<ChannelIx> = left
            .filter(|(candidate, _)| {
                let model = *first.get_or_insert(candidate.model);
                self.failures_max > 0 || model == candidate.model
            })
            .map(|(candidate, _)| candidate.channel)
            .collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }
}

/// The sets that share a channel with a set, itself among them.
fn sharing((channels, _): &Chosen, sets: &[Chosen]) -> Vec<usize> {
    let shares = |other: &Chosen| other.0.iter().any(|channel| channels.contains(channel));
    let all = sets.iter().enumerate();
    all.filter(|(_, other)| shares(other)).map(|(ix, _)| ix).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

type ClassIndex = BTreeMap<(Asked, Vec<Ruling>, Option<Criticality>, bool), u32>;

/// The class of the calls of a kind.
fn class_of(
    laid: &Laid<'_>,
    kind: usize,
    fails: bool,
    index: &mut ClassIndex,
    classes: &mut Vec<Class>,
) -> u32 {
    let grid = laid.grid(0);
    let Some(of) = laid.traffic.kinds.get(kind) else {
        return 0;
    };
    let rulings = grid.rulings_of(kind);
    let key = (of.ask.clone(), rulings.to_vec(), of.criticality, fails);
    *index.entry(key).or_insert_with(|| {
        let settings = grid.settings_of(kind);
        let candidates = grid.candidates_of(kind).iter().copied();
        classes.push(Class {
            attempts_max: settings.attempts_max.into(),
            calls: 0,
            candidates: candidates.zip(rulings.iter().copied()).collect(),
            criticality: of
                .criticality
                .map_or(settings.criticality, |of_key| of_key.min(settings.criticality)),
            failures_max: 0,
        });
        u32::try_from(classes.len() - 1).unwrap_or(u32::MAX)
    })
}

/// The calls served with nothing gone, by kind and lane, with what they would cost over each of their candidates.
fn groups(rehearsal: &Rehearsal<'_>) -> Vec<Group> {
    let (laid, traffic) = (rehearsal.laid(), rehearsal.traffic());
    let mut groups: BTreeMap<(u32, LaneIx), Group> = BTreeMap::new();
    for (ix, call) in traffic.calls.iter().enumerate() {
        let Some(lane) = rehearsal.before(ix).and_then(crate::rehearsal::Before::lane) else {
            continue;
        };
        let group = groups.entry((call.kind, lane)).or_insert_with(|| Group {
            calls: 0,
            costs: [Some(0); ROWS_MAX],
            kind: call.kind as usize,
            lane,
        });
        group.calls += 1;
        let before = rehearsal
            .candidate(lane)
            .and_then(|before| laid.cost(0, call, before));
        let candidates = laid.grid(0).candidates(call);
        for (sum, candidate) in group.costs.iter_mut().zip(candidates) {
            let change = before.zip(laid.cost(0, call, *candidate));
            let change = change.map(|(before, after)| i128::from(after.0) - i128::from(before.0));
            *sum = sum.zip(change).map(|(sum, change)| sum + change);
        }
    }
    groups.into_values().collect()
}

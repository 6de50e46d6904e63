//! What goes unserved while some channels are out, in each hour of the week: flows of calls through what is left.
//!
//! A channel carries as many calls an hour as its limits let through, calls being of the mean size of those that may come
//! to it; a day's limit is spread over the day as the demand is. What matters more is served first. A class that may use a
//! channel without limits is served, one without channels is not, and only the rest need a flow. What goes unserved with
//! nothing out is taken off: it is no outage's.
//!
//! Each set of channels that are out is solved once for each hour and kept. Bounds: [`CELLS_MAX`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tieline_core::grid::Channel;
use tieline_core::{QuotaModel, Snapshot};

use super::causes::Bits;
use super::demand::{Class, Demand as Asked, GROUPS, MICRO};
use crate::arrivals::week::HOURS;
use crate::flow::{AMOUNT_MAX, Demand, Link, Transport};

/// Numbers that are kept of solved flows: 2^23 of 16 bytes are 128 MiB. Sets of channels beyond what fits are solved anew
/// each time.
const CELLS_MAX: usize = 1 << 23;

/// Sets of channels that are kept at most: singles, pairs and some triples of sixteen causes.
const SETS_MAX: usize = 1 << 12;

const HOUR_US: u128 = 3_600_000_000;

/// What goes unserved in an hour, in millionths of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unserved {
    /// By class of party, then what is critical.
    pub(super) groups: [u64; GROUPS],
    /// By class of calls, those that lose.
    pub(super) classes: Vec<(u32, u64)>,
    pub(super) total: u64,
}

/// One set of channels that are out, hour by hour as it was asked.
pub(super) struct Set {
    gone: Bits,
    hours: Vec<OnceLock<Arc<Unserved>>>,
}

pub(super) struct Supply {
    /// With nothing out, by hour and class.
    base: Vec<OnceLock<Vec<u64>>>,
    demand: Arc<Asked>,
    /// The first hour of the week with the same demand.
    like: Vec<u16>,
    limits: Vec<Limits>,
    /// The same while something is out.
    limits_left: Vec<Limits>,
    sets: Mutex<BTreeMap<Bits, Arc<Set>>>,
    sets_max: usize,
    used: Vec<u16>,
}

/// Limits of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Limits {
    answer_per_minute: Option<u64>,
    burn: u64,
    in_flight: Option<u64>,
    prompt_per_minute: Option<u64>,
    requests_per_day: Option<u64>,
    requests_per_minute: Option<u64>,
    tokens_in_flight: Option<u64>,
    tokens_per_day: Option<u64>,
    tokens_per_minute: Option<u64>,
}

impl Supply {
    /// `left` is the grid with what it is worth while something is out.
    pub(super) fn new(snapshot: &Snapshot, left: &Snapshot, demand: Arc<Asked>, used: Vec<u16>) -> Self {
        let limits = |snapshot: &Snapshot| {
            let of = |ix: &u16| snapshot.channels.get(usize::from(*ix)).map(Limits::of);
            used.iter().map(|ix| of(ix).unwrap_or_default()).collect()
        };
        let cells = usize::from(HOURS) * (demand.classes.len() + 8);
        Self {
            base: (0..HOURS).map(|_| OnceLock::new()).collect(),
            like: like(&demand),
            limits: limits(snapshot),
            limits_left: limits(left),
            sets: Mutex::new(BTreeMap::new()),
            sets_max: (CELLS_MAX / cells.max(1)).clamp(1, SETS_MAX),
            demand,
            used,
        }
    }

    /// The set of channels that are out, to be asked for its hours.
    pub(super) fn set(&self, gone: &Bits) -> Arc<Set> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sets.get(gone) {
            return known.clone();
        }
        let set = Arc::new(Set {
            gone: gone.clone(),
            hours: (0..HOURS).map(|_| OnceLock::new()).collect(),
        });
        if sets.len() < self.sets_max {
            sets.insert(gone.clone(), set.clone());
        }
        set
    }

    /// What goes unserved in an hour of the week for what is out.
    pub(super) fn unserved(&self, set: &Set, hour: u16) -> Arc<Unserved> {
        let hour = self.like.get(usize::from(hour)).copied().unwrap_or_default();
        let Some(place) = set.hours.get(usize::from(hour)) else {
            return Arc::default();
        };
        place
            .get_or_init(|| Arc::new(self.compared(&set.gone, hour)))
            .clone()
    }

    /// What the demand of an hour of the week is together.
    pub(super) fn asked(&self, hour: u16) -> u64 {
        let rates = self.demand.classes.iter().map(|class| class.rate(hour));
        rates.fold(0, u64::saturating_add)
    }

    fn compared(&self, gone: &Bits, hour: u16) -> Unserved {
        if gone.iter().all(|word| *word == 0) {
            return Unserved::default();
        }
        let nothing: Bits = vec![0; gone.len()].into();
        let place = self.base.get(usize::from(hour));
        let base = place.map(|place| place.get_or_init(|| self.solved(&nothing, hour, &self.limits)));
        let shed = self.solved(gone, hour, &self.limits_left);
        let none = Vec::new();
        let more = self.beyond(base.unwrap_or(&none), &shed);
        let mut unserved = Unserved::default();
        for (ix, (class, more)) in self.demand.classes.iter().zip(more).enumerate() {
            if more == 0 {
                continue;
            }
            unserved.total = unserved.total.saturating_add(more);
            unserved
                .classes
                .push((u32::try_from(ix).unwrap_or(u32::MAX), more));
            for (sum, calls) in unserved.groups.iter_mut().zip(class.groups) {
                *sum = sum.saturating_add(part(more, calls, class.calls));
            }
        }
        unserved
    }

    /// What each class lacks beyond what it lacks with nothing out. Of classes of the same rank, flows may let another one
    /// go short for the same sum: only as much counts as they lack more together.
    fn beyond(&self, base: &[u64], shed: &[u64]) -> Vec<u64> {
        let base = base.iter().copied().chain(std::iter::repeat(0));
        let mut by_rank: BTreeMap<u8, [u64; 3]> = BTreeMap::new();
        let classes = self.demand.classes.iter().zip(shed.iter().copied().zip(base));
        let more: Vec<(u8, u64)> = classes
            .map(|(class, (now, before))| {
                let more = now.saturating_sub(before);
                let sums = by_rank.entry(class.rank).or_default();
                for (sum, one) in sums.iter_mut().zip([now, before, more]) {
                    *sum = sum.saturating_add(one);
                }
                (class.rank, more)
            })
            .collect();
        let counted = |(rank, more): (u8, u64)| {
            let [now, before, all] = by_rank.get(&rank).copied().unwrap_or_default();
            part(more, now.saturating_sub(before), all)
        };
        more.into_iter().map(counted).collect()
    }

    /// What each class does not get.
    fn solved(&self, gone: &Bits, hour: u16, limits: &[Limits]) -> Vec<u64> {
        let classes = &self.demand.classes;
        let capacity = self.capacities(gone, hour, limits);
        let mut shed = vec![0; classes.len()];
        // Classes with the same channels left are one in the flow.
        let mut alike: BTreeMap<(Vec<usize>, u8), Vec<usize>> = BTreeMap::new();
        for (ix, class) in classes.iter().enumerate() {
            let left: Vec<usize> = self.places(class).filter(|place| !is_in(gone, *place)).collect();
            if class.rate(hour) == 0 || left.iter().any(|place| capacity.get(*place) == Some(&None)) {
                continue;
            }
            if left.is_empty() {
                if let Some(shed) = shed.get_mut(ix) {
                    *shed = class.rate(hour);
                }
                continue;
            }
            alike.entry((left, class.rank)).or_default().push(ix);
        }
        for (members, unserved) in flow(&alike, classes, hour, capacity) {
            let asked: u64 = sum(members, classes, hour);
            for ix in members {
                let rate = classes.get(*ix).map_or(0, |class| class.rate(hour));
                if let Some(shed) = shed.get_mut(*ix) {
                    *shed = part(unserved, rate, asked);
                }
            }
        }
        shed
    }

    /// What each used channel carries in an hour, in millionths of calls; none where it has no limit.
    fn capacities(&self, gone: &Bits, hour: u16, limits: &[Limits]) -> Vec<Option<i64>> {
        let mut asked = vec![Mean::default(); limits.len()];
        let day = hour / 24 * 24..(hour / 24 + 1) * 24;
        for class in self.demand.classes.iter().filter(|class| class.calls > 0) {
            let of_day = day
                .clone()
                .fold(0_u64, |sum, hour| sum.saturating_add(class.rate(hour)));
            for place in self.places(class).filter(|place| !is_in(gone, *place)) {
                if let Some(mean) = asked.get_mut(place) {
                    mean.add(class, class.rate(hour), of_day);
                }
            }
        }
        limits
            .iter()
            .zip(&asked)
            .map(|(limits, asked)| limits.calls(asked))
            .collect()
    }

    /// The places of a class's channels among those used.
    fn places<'c>(&'c self, class: &'c Class) -> impl Iterator<Item = usize> + 'c {
        class
            .channels
            .iter()
            .filter_map(move |channel| self.used.binary_search(channel).ok())
    }
}

/// Whether a channel is among those that are out.
pub(super) fn is_in(gone: &Bits, place: usize) -> bool {
    gone.get(place / 64)
        .is_some_and(|word| word & (1 << (place % 64)) != 0)
}

fn sum(members: &[usize], classes: &[Class], hour: u16) -> u64 {
    let rates = members
        .iter()
        .filter_map(|ix| classes.get(*ix))
        .map(|class| class.rate(hour));
    rates.fold(0, u64::saturating_add)
}

/// The classes that are one in the flow, and what they do not get together. A problem that is too large for a flow, which
/// a grid and [`super::demand::CLASSES_MAX`] classes do not make, leaves all of them unserved.
fn flow<'a>(
    alike: &'a BTreeMap<(Vec<usize>, u8), Vec<usize>>,
    classes: &[Class],
    hour: u16,
    capacity: Vec<Option<i64>>,
) -> Vec<(&'a Vec<usize>, u64)> {
    let mut transport = Transport {
        capacity,
        ..Transport::default()
    };
    for ((left, rank), members) in alike {
        let class = transport.demand.len();
        let asked = i64::try_from(sum(members, classes, hour)).unwrap_or(i64::MAX);
        transport.demand.push(Demand {
            amount: asked.min(AMOUNT_MAX),
            rank: *rank,
        });
        let links = left.iter().map(|channel| Link {
            channel: *channel,
            class,
            cost: 0,
        });
        transport.links.extend(links);
    }
    if transport.demand.is_empty() {
        return Vec::new();
    }
    let shed = match transport.solve() {
        Ok(flows) => flows.shed,
        Err(_) => transport.demand.iter().map(|class| class.amount).collect(),
    };
    let shed = shed
        .into_iter()
        .map(|shed| u64::try_from(shed).unwrap_or_default());
    alike.values().zip(shed).collect()
}

/// A part of a whole of what is to be divided, rounded down.
fn part(what: u64, of: u64, whole: u64) -> u64 {
    let part = (u128::from(what) * u128::from(of)).checked_div(whole.into());
    u64::try_from(part.unwrap_or_default()).unwrap_or(u64::MAX)
}

/// The first hour with the same demand, in it and in its day, for each hour of the week.
fn like(demand: &Asked) -> Vec<u16> {
    let mut first = BTreeMap::new();
    let key = |hour: u16| {
        let day = hour / 24 * 24..(hour / 24 + 1) * 24;
        let of = |class: &Class| {
            (
                class.rate(hour),
                day.clone().map(|hour| u128::from(class.rate(hour))).sum(),
            )
        };
        demand.classes.iter().map(of).collect::<Vec<(u64, u128)>>()
    };
    (0..HOURS)
        .map(|hour| *first.entry(key(hour)).or_insert(hour))
        .collect()
}

/// Sums of what may come to a channel in an hour, each class weighted by its rate.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    answer: u128,
    of_day: u128,
    prompt: u128,
    rate: u128,
    took_us: u128,
}

impl Mean {
    fn add(&mut self, class: &Class, rate: u64, of_day: u64) {
        // Sums over a class divided by its calls; both fit: a rate is below 2^64, a size below 2^32.
        let of = |sum: u64| u128::from(rate) * u128::from(sum) / u128::from(class.calls.max(1));
        self.answer += of(class.size.answer);
        self.prompt += of(class.size.prompt);
        self.took_us += of(class.size.took_us);
        self.rate += u128::from(rate);
        self.of_day += u128::from(of_day);
    }
}

impl Class {
    pub(super) fn rate(&self, hour: u16) -> u64 {
        self.rates.get(usize::from(hour)).copied().unwrap_or_default()
    }
}

impl Limits {
    fn of(channel: &Channel) -> Self {
        let limits = &channel.limits;
        let mut of = Self {
            burn: 1,
            in_flight: limits.concurrency.map(u64::from),
            requests_per_day: limits.requests_per_day.map(u64::from),
            requests_per_minute: limits.requests_per_minute.map(u64::from),
            tokens_per_day: limits.tokens_per_day,
            tokens_per_minute: limits.tokens_per_minute,
            ..Self::default()
        };
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        if let Some(quota) = channel.quota.filter(|quota| quota.model != QuotaModel::Vertex) {
            of.answer_per_minute = quota.output_tokens_per_minute;
            of.burn = quota.output_burn.map_or(1, u64::from).max(1);
            of.prompt_per_minute = quota.input_tokens_per_minute;
            of.requests_per_minute = least(of.requests_per_minute, quota.requests_per_minute.map(u64::from));
            of.tokens_in_flight = quota.tokens_in_flight;
            of.tokens_per_minute = least(of.tokens_per_minute, quota.tokens_per_minute);
        }
        of
    }

    /// Millionths of calls an hour; none without a limit, or where nobody comes.
    fn calls(&self, asked: &Mean) -> Option<i64> {
        let tokens = asked.prompt + asked.answer * u128::from(self.burn);
        let plain = asked.prompt + asked.answer;
        let micro = u128::from(MICRO);
        // Calls = limit × rate / what the rate asks, for what flows; what is held turns over as calls end.
        let flowing = |limit: Option<u64>, asks: u128, times: u128| {
            let all = u128::from(limit?).saturating_mul(times).saturating_mul(micro);
            scaled(all, asked.rate, asks)
        };
        let held = |limit: Option<u64>, per_call: u128| {
            let all = u128::from(limit?).saturating_mul(HOUR_US).saturating_mul(micro);
            // A call of no length holds nothing.
            scaled(all, asked.rate, asked.took_us)
                .map(|calls| calls.checked_div(per_call).unwrap_or(u128::MAX))
        };
        let of_day = |limit: Option<u64>, per_call: u128| {
            let all = u128::from(limit?).saturating_mul(micro);
            scaled(all, asked.rate, asked.of_day)
                .map(|calls| calls.checked_div(per_call).unwrap_or(u128::MAX))
        };
        let per_call = |tokens: u128| tokens.checked_div(asked.rate).unwrap_or_default().max(1);
        let each = [
            flowing(self.requests_per_minute, asked.rate, 60),
            flowing(self.tokens_per_minute, tokens, 60),
            flowing(self.prompt_per_minute, asked.prompt, 60),
            flowing(self.answer_per_minute, asked.answer, 60),
            held(self.in_flight, 1),
            held(self.tokens_in_flight, per_call(plain)),
            of_day(self.requests_per_day, 1),
            of_day(self.tokens_per_day, per_call(plain)),
        ];
        let least = each.into_iter().flatten().min()?;
        Some(i64::try_from(least).unwrap_or(i64::MAX).min(AMOUNT_MAX))
    }
}

/// `all` × `part` / `whole`; none of nothing.
fn scaled(all: u128, part: u128, whole: u128) -> Option<u128> {
    if whole == 0 {
        return None;
    }
    // In two steps where the product does not fit.
    Some(
        all.checked_mul(part)
            .map_or_else(|| (all / whole).saturating_mul(part), |all| all / whole),
    )
}

#[cfg(test)]
mod tests;

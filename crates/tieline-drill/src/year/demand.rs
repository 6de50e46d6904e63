//! What calls ask in each hour of the week, as flows: calls that are alike in what may serve them are one class, with a
//! rate for each hour, the size of a call, and who its parties are.
//!
//! Rates are those of the time from the first call to the last, an hour at least; an hour of the week that it has less than
//! ten minutes of has their mean. Without recorded traffic one call an hour is assumed for each call of the traffic. Only
//! calls that are served with nothing gone count. Bounds: [`CLASSES_MAX`].

use std::collections::BTreeMap;

use tieline_core::{ChannelClaim, Criticality, Ruling, Span, Tick};

use crate::arrivals::week::{HOUR, HOURS, hour_of_week, watched};
use crate::known::PartyClass;
use crate::rehearsal::Rehearsal;
use crate::traffic::{Basis, NONE, Traffic, TrafficCall};

/// Classes of one year: half of the nodes that a problem of flows may have.
pub(super) const CLASSES_MAX: usize = 1 << 12;

/// What must be seen of an hour of the week to have a rate of its own, as for the law of arrivals.
const WATCHED_MIN: Span = Span::from_s(600);

/// Parts of a call: what a class asks in an hour is counted in millionths of a call.
pub(super) const MICRO: u64 = 1_000_000;

/// Party classes, then what is critical.
pub(super) const GROUPS: usize = 7;
pub(super) const CRITICAL: usize = 6;

/// Calls that are alike in what may serve them.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) calls: u64,
    /// Channels that policy allows, ascending.
    pub(super) channels: Vec<u16>,
    /// Calls by class of party, then those that are critical.
    pub(super) groups: [u64; GROUPS],
    /// Millionths of a call by hour of the week.
    pub(super) rates: Vec<u64>,
    /// Lower is served first.
    pub(super) rank: u8,
    pub(super) size: Size,
}

/// What calls are like, summed over a class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) answer: u64,
    pub(super) prompt: u64,
    pub(super) took_us: u64,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    pub(super) classes: Vec<Class>,
    /// Which hours of the week were watched; the others have the mean.
    pub(super) known_hours: u16,
    /// Of each class, the kinds of calls in it with their calls.
    pub(super) kinds: Vec<Vec<(usize, u64)>>,
}

impl Demand {
    pub(super) fn of(rehearsal: &Rehearsal<'_>) -> Self {
        let (traffic, grid) = (rehearsal.traffic(), rehearsal.laid().grid(0));
        let mut index: BTreeMap<(Vec<u16>, u8), usize> = BTreeMap::new();
        let mut classes: Vec<Class> = Vec::new();
        let of_kinds: Vec<Option<usize>> = (0..traffic.kinds.len())
            .map(|kind| {
                let channels = allowed(rehearsal, kind);
                let own = traffic.kinds.get(kind).and_then(|kind| kind.criticality);
                let of_pool = grid.settings_of(kind).criticality;
                let rank = rank(own.map_or(of_pool, |own| own.min(of_pool)));
                let class = || {
                    *index.entry((channels.clone(), rank)).or_insert_with(|| {
                        classes.push(Class::new(channels.clone(), rank));
                        classes.len() - 1
                    })
                };
                (!channels.is_empty()).then(class)
            })
            .collect();
        let watched = hours_watched(rehearsal);
        let mut hours: Vec<Vec<u64>> = vec![vec![0; usize::from(HOURS)]; classes.len()];
        let mut kinds: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); classes.len()];
        for (ix, call) in traffic.calls.iter().enumerate() {
            let kind = call.kind as usize;
            let served = rehearsal.is_served(ix);
            let Some(of) = of_kinds.get(kind).copied().flatten().filter(|_| served) else {
                continue;
            };
            if let (Some(class), Some(hours), Some(kinds)) =
                (classes.get_mut(of), hours.get_mut(of), kinds.get_mut(of))
            {
                class.add(rehearsal, kind, call);
                if let Some(count) = hours.get_mut(usize::from(hour_of_week(call.at))) {
                    *count += 1;
                }
                *kinds.entry(kind).or_default() += 1;
            }
        }
        for (class, hours) in classes.iter_mut().zip(&hours) {
            class.rates = rates(hours, &watched, traffic.basis);
        }
        let known = watched.iter().filter(|us| **us >= WATCHED_MIN.0).count();
        Self {
            classes,
            known_hours: u16::try_from(known).unwrap_or(HOURS),
            kinds: kinds
                .into_iter()
                .map(|kinds| kinds.into_iter().collect())
                .collect(),
        }
    }

    /// The channels that calls may use, ascending.
    pub(super) fn used(&self) -> Vec<u16> {
        let mut used: Vec<u16> = self
            .classes
            .iter()
            .filter(|class| class.calls > 0)
            .flat_map(|class| class.channels.iter().copied())
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }
}

impl Class {
    fn new(channels: Vec<u16>, rank: u8) -> Self {
        Self {
            calls: 0,
            channels,
            groups: [0; GROUPS],
            rates: Vec::new(),
            rank,
            size: Size::default(),
        }
    }

    fn add(&mut self, rehearsal: &Rehearsal<'_>, kind: usize, call: &TrafficCall) {
        self.calls += 1;
        let party = rehearsal
            .traffic()
            .kinds
            .get(kind)
            .map(|kind| kind.party as usize);
        let class = party.map_or(PartyClass::Unknown, |party| rehearsal.class(party));
        let place = PartyClass::ALL.iter().position(|one| *one == class);
        let critical = rehearsal.is_critical(kind).then_some(CRITICAL);
        for place in place.into_iter().chain(critical) {
            if let Some(count) = self.groups.get_mut(place) {
                *count += 1;
            }
        }
        let (prompt, answer) = if let Some(usage) = call.usage() {
            (usage.prompt(), usage.answer())
        } else {
            let stated = (call.output_max != NONE).then_some(u64::from(call.output_max));
            let answer = stated.unwrap_or(ChannelClaim::OUTPUT_ASSUMED);
            let claim = ChannelClaim::of_request(call.body_bytes.into(), answer);
            (claim.input, answer)
        };
        let size = &mut self.size;
        size.prompt = size.prompt.saturating_add(prompt);
        size.answer = size.answer.saturating_add(answer);
        size.took_us = size.took_us.saturating_add(call.took_us.into());
    }
}

const fn rank(criticality: Criticality) -> u8 {
    match criticality {
        Criticality::CriticalPlus => 0,
        Criticality::Critical => 1,
        Criticality::SheddablePlus => 2,
        Criticality::Sheddable => 3,
    }
}

/// The channels that policy allows for calls of a kind.
fn allowed(rehearsal: &Rehearsal<'_>, kind: usize) -> Vec<u16> {
    let grid = rehearsal.laid().grid(0);
    let candidates = grid.candidates_of(kind).iter().zip(grid.rulings_of(kind));
    let allowed = candidates.filter(|(_, ruling)| **ruling == Ruling::Allow);
    let mut channels: Vec<u16> = allowed.map(|(candidate, _)| candidate.channel.0).collect();
    channels.sort_unstable();
    channels.dedup();
    channels
}

/// The time in which calls were seen: from the first to the last, an hour at least. None without calls.
pub(super) fn seen(traffic: &Traffic) -> Option<(Tick, Tick)> {
    let (first, last) = traffic.window()?;
    Some((first, Tick(last.0.saturating_add(1)).max(first.plus(HOUR))))
}

/// How long each hour of the week was watched, in µs.
fn hours_watched(rehearsal: &Rehearsal<'_>) -> Vec<u64> {
    let traffic = rehearsal.traffic();
    let seen = seen(traffic).filter(|_| traffic.basis != Basis::Structure);
    let (from, until) = seen.unwrap_or_default();
    watched(from, until)
}

/// Millionths of calls an hour, hour by hour.
fn rates(hours: &[u64], watched: &[u64], basis: Basis) -> Vec<u64> {
    let calls: u64 = hours.iter().sum();
    let micro = u128::from(MICRO);
    if basis == Basis::Structure {
        return vec![calls.saturating_mul(MICRO); hours.len()];
    }
    let all: u128 = watched.iter().map(|us| u128::from(*us)).sum();
    let per_hour = |calls: u64, us: u128| {
        let rate = (u128::from(calls) * micro * u128::from(HOUR.0)).checked_div(us);
        rate.map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    };
    let mean = per_hour(calls, all);
    let each = hours.iter().zip(watched);
    each.map(|(calls, us)| {
        if *us < WATCHED_MIN.0 {
            mean
        } else {
            per_hour(*calls, (*us).into())
        }
    })
    .collect()
}

//! The worst episode of a year, decided call by call by the live core: the calls of the record's hours of the week are laid
//! at the hours of the episode, and the channels go out and come back when they did in that year. Beside it stands what
//! the flows made of the same time.
//!
//! Where the record has several clock hours of an hour of the week, one is drawn; where it has none, any hour is. Bounds:
//! [`EPISODE_HOURS_MAX`], [`EPISODE_CALLS_MAX`]; what is longer is cut off there, and says so.

use std::cmp::Reverse;

use tieline_core::{Span, Tick};

use super::Year;
use super::causes::Piece;
use super::demand::{MICRO, seen};
use super::run::{Drawn, Run, causes_of, drawn, gone, hours};
use super::supply::is_in;
use crate::arrivals::week::{HOUR, HOURS, hour_of_week};
use crate::consequence::Consequence;
use crate::elements::{Element, ElementKind};
use crate::rehearsal::Rehearsal;
use crate::scenario::draw::{Draws, Purpose};
use crate::timeline::{Happening, Timeline, TooMany};
use crate::traffic::{Basis, Traffic, TrafficCall};

/// Hours of an episode that are decided: a week has each hour once.
pub const EPISODE_HOURS_MAX: u64 = 168;

/// Calls of an episode that are decided: 2^18 of 64 bytes are 16 MiB, on as many threads as there are cores.
pub const EPISODE_CALLS_MAX: usize = 1 << 18;

/// Monday 2024-01-01 00:00 UTC: an instant that a week begins with.
const MONDAY: Tick = Tick(1_704_067_200_000_000);

/// An episode.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What was out in it, by number, with what would be served if that alone had not been; the most first.
    pub(super) causes: Vec<(usize, u64)>,
    /// None where there are too many calls.
    pub(super) decided: Option<Played>,
    /// The hour of the week that it began in.
    pub(super) hour: u16,
}

/// The beginning of an episode, decided call by call.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) consequence: Consequence,
    /// Calls that the flows expect in this time, and that they expect to be unserved; in millionths.
    pub(super) flow: (u64, u64),
    pub(super) seconds: u64,
}

/// Calls of the record, and the time in which they were seen.
struct Record<'t> {
    from: Tick,
    traffic: &'t Traffic,
    until: Tick,
}

pub(super) fn episode(year: &Year<'_, '_>, ix: usize, run: &Run) -> Option<Episode> {
    let worst = run.worst?;
    let drawn = drawn(year, ix);
    Some(Episode {
        causes: because(year, &drawn, &within(&drawn, worst.from, worst.until)),
        decided: played(year, ix, &drawn, worst.from, worst.until),
        hour: drawn.hour_at(worst.from),
    })
}

/// The pieces of a time.
fn within(drawn: &Drawn, from: u64, until: u64) -> Vec<Piece> {
    let pieces = drawn.pieces.iter();
    let pieces = pieces.filter(|piece| piece.from < until && piece.until > from);
    let cut = pieces.map(|piece| Piece {
        causes: piece.causes.clone(),
        from: piece.from.max(from),
        until: piece.until.min(until),
    });
    cut.collect()
}

fn played(year: &Year<'_, '_>, ix: usize, drawn: &Drawn, from: u64, until: u64) -> Option<Played> {
    let until = until.min(from.saturating_add(EPISODE_HOURS_MAX * 3_600));
    let record = Record::of(year.rehearsal.traffic())?;
    let of_run = Draws::for_number(year.options.seed, ix as u64);
    let (calls, until) = record.laid(drawn, of_run, from, until);
    if until <= from {
        return None;
    }
    let pieces = within(drawn, from, until);
    let timeline = timeline(year, drawn, &pieces).ok()?;
    let traffic = record.traffic.with_calls(calls);
    let rehearsal = Rehearsal::new(
        year.rehearsal.snapshot(),
        &traffic,
        year.rehearsal.known().clone(),
    );
    Some(Played {
        consequence: rehearsal.play(&timeline),
        flow: flow(year, drawn, &pieces),
        seconds: until - from,
    })
}

/// What is out in some pieces, with what would be served if it alone were not.
fn because(year: &Year<'_, '_>, drawn: &Drawn, pieces: &[Piece]) -> Vec<(usize, u64)> {
    let mut causes = causes_of(year, drawn, pieces);
    causes.sort_by_key(|(cause, calls)| (Reverse(*calls), *cause));
    causes
}

/// The instant at which a second of the year is laid: one of the same hour of the week.
fn instant(drawn: &Drawn, second: u64) -> Tick {
    let hours = Span(u64::from(drawn.first_hour) * HOUR.0);
    MONDAY.plus(hours).plus(Span::from_s(second))
}

/// What the flows expect: calls, and those unserved.
fn flow(year: &Year<'_, '_>, drawn: &Drawn, pieces: &[Piece]) -> (u64, u64) {
    let (mut asked, mut unserved) = (0_u128, 0_u128);
    for piece in pieces {
        let set = year.supply.set(&gone(year, piece.causes.iter().copied()));
        for (from, until) in hours(piece.from, piece.until) {
            let (hour, seconds) = (drawn.hour_at(from), u128::from(until - from));
            asked += u128::from(year.supply.asked(hour)) * seconds;
            unserved += u128::from(year.supply.unserved(&set, hour).total) * seconds;
        }
    }
    let calls = |sum: u128| u64::try_from(sum / 3_600).unwrap_or(u64::MAX);
    (calls(asked), calls(unserved))
}

/// What goes and comes back when, channel by channel.
fn timeline(year: &Year<'_, '_>, drawn: &Drawn, pieces: &[Piece]) -> Result<Timeline<'static>, TooMany> {
    let mut timeline = Timeline::default();
    let snapshot = year.rehearsal.snapshot();
    let start = pieces.first().map_or(0, |piece| piece.from);
    if let Some(left) = &year.left {
        timeline.at(instant(drawn, start), Happening::Grid(left.clone()))?;
    }
    let mut before = gone(year, std::iter::empty());
    for piece in pieces {
        let now = gone(year, piece.causes.iter().copied());
        for (place, channel) in year.used.iter().enumerate() {
            let (was, is) = (is_in(&before, place), is_in(&now, place));
            let Some(channel) = snapshot.channels.get(usize::from(*channel)).filter(|_| was != is) else {
                continue;
            };
            let element = Element {
                kind: ElementKind::Channel,
                name: channel.name.to_string(),
            };
            let loss = year.options.assumed.loss;
            let happening = if is {
                loss.takes(element)
            } else {
                loss.gives_back(element)
            };
            timeline.at(instant(drawn, piece.from), happening)?;
        }
        before = now;
    }
    Ok(timeline)
}

impl<'t> Record<'t> {
    /// None without calls.
    fn of(traffic: &'t Traffic) -> Option<Self> {
        let (from, until) = seen(traffic)?;
        Some(Self { from, traffic, until })
    }

    /// Calls laid at the hours from one second of the year until another, and until when there was room for them.
    fn laid(&self, drawn: &Drawn, draws: Draws, from: u64, until: u64) -> (Vec<TrafficCall>, u64) {
        let mut calls: Vec<TrafficCall> = Vec::new();
        for (begun, ended) in hours(from, until) {
            let before = calls.len();
            let hour = begun / 3_600;
            let at = instant(drawn, hour * 3_600);
            let within = instant(drawn, begun)..instant(drawn, ended);
            let place = draws.draw(Purpose::Copy, hour);
            self.of_hour(hour_of_week(at), place, &mut |call, offset| {
                let at = at.plus(offset);
                if within.contains(&at) && calls.len() <= EPISODE_CALLS_MAX {
                    calls.push(TrafficCall { at, ..*call });
                }
            });
            if calls.len() > EPISODE_CALLS_MAX {
                calls.truncate(before);
                // The first hour alone may be too many: then none is decided.
                return (calls, begun.max(from));
            }
        }
        (calls, until)
    }

    /// The calls of one hour of the record that was this hour of the week, with when they come in it.
    fn of_hour(&self, hour: u16, draw: u64, each: &mut dyn FnMut(&TrafficCall, Span)) {
        let calls = &self.traffic.calls;
        if self.traffic.basis == Basis::Structure {
            let apart = HOUR.0 / (calls.len() as u64).max(1);
            for (call, ix) in calls.iter().zip(0..) {
                each(call, Span(apart * ix + apart / 2));
            }
            return;
        }
        let from = self.begins(hour, draw);
        let of = |at: u64| calls.partition_point(|call| call.at.0 < at);
        let within = of(from)..of(from.saturating_add(HOUR.0));
        for call in calls.get(within).unwrap_or_default() {
            each(call, Span(call.at.0 - from));
        }
    }

    /// When an hour of the record begins that was this hour of the week; what was seen of it in part only is filled up
    /// with what comes before or after.
    fn begins(&self, hour: u16, draw: u64) -> u64 {
        let week = u64::from(HOURS);
        let (first, last) = (self.from.0 / HOUR.0, self.until.0.saturating_sub(1) / HOUR.0);
        let span = last.saturating_sub(first) + 1;
        let ahead = (u64::from(hour) + week - u64::from(hour_of_week(self.from))) % week;
        // Of the clock hours with this hour of the week, one; if there is none, one of all.
        let clock = if ahead < span {
            ahead + draw % ((span - ahead - 1) / week + 1) * week
        } else {
            draw % span
        };
        // The record is never shorter than an hour.
        let latest = self.until.0.saturating_sub(HOUR.0);
        ((first + clock) * HOUR.0).min(latest).max(self.from.0)
    }
}

/// Millionths of calls as whole calls, rounded.
pub(super) const fn whole(micro: u64) -> u64 {
    micro.saturating_add(MICRO / 2) / MICRO
}

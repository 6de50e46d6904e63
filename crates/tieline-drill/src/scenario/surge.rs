//! A surge: calls multiplied, as a transform of the traffic before anything is decided. A copy asks for what its original
//! asks for, is as large, and arrives within a minute after it; a factor below one leaves calls out.
//!
//! Bounds: those of a what-if ([`CALLS_MAX`]); copies beyond are counted as left out.

use tieline_core::{Span, Tick};

use super::draw::{Draws, Purpose};
use super::{CallsOf, scaled};
use crate::timeline::Permille;
use crate::traffic::{Asked, CALLS_MAX, Kind, Traffic};

/// How long after its original a copy arrives at most: a minute's limits meet the same load, and none meets it in one
/// instant.
const JITTER: Span = Span::from_s(60);

/// A surge with its instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurgeOver {
    pub from: Tick,
    pub of: CallsOf,
    pub seed: u64,
    pub times: Permille,
    pub until: Option<Tick>,
}

/// Traffic with a surge in it.
#[derive(Clone, Debug)]
pub struct Surged {
    /// Copies.
    pub added: u64,
    /// Calls left out.
    pub dropped: u64,
    /// The call of the traffic before that each call is, or is a copy of.
    pub origin: Vec<u32>,
    pub traffic: Traffic,
}

/// The traffic with the surges in it. What several surges mean, all of them multiply.
pub fn surge(traffic: &Traffic, surges: &[SurgeOver]) -> Surged {
    let meant: Vec<Vec<bool>> = surges.iter().map(|surge| kinds_of(traffic, &surge.of)).collect();
    let mut calls = Vec::with_capacity(traffic.calls.len());
    let (mut added, mut dropped, mut left_out) = (0, 0, 0);
    for (call, ix) in traffic.calls.iter().zip(0_u32..) {
        let over = surges.iter().zip(&meant).filter(|(surge, kinds)| {
            let is_meant = kinds.get(call.kind as usize).copied().unwrap_or_default();
            is_meant && surge.from <= call.at && surge.until.is_none_or(|until| call.at < until)
        });
        let (mut times, mut until, mut seed) = (1_000, None, 0);
        for (surge, _) in over {
            seed ^= surge.seed;
            times = u32::try_from(scaled(u64::from(times), surge.times)).unwrap_or(Permille::MAX);
            until = match (until, surge.until) {
                (Some(one), Some(other)) => Some(std::cmp::min::<Tick>(one, other)),
                (one, other) => one.or(other),
            };
        }
        let draws = Draws::for_number(seed, ix.into());
        let whole = times / 1_000 + u32::from(draws.chance(Purpose::Copy, 0, times % 1_000));
        dropped += u64::from(whole == 0);
        for copy in 0..whole {
            if copy > 0 && calls.len() >= CALLS_MAX {
                left_out += u64::from(whole - copy);
                break;
            }
            let mut one = *call;
            if copy > 0 {
                one.at = arrival(call.at, until, draws, copy);
                added += 1;
            }
            calls.push((one, ix));
        }
    }
    // Of one instant, originals and copies in the order of their originals.
    calls.sort_by_key(|(call, _)| call.at);
    let origin = calls.iter().map(|(_, ix)| *ix).collect();
    let mut traffic = traffic.with_calls(calls.into_iter().map(|(call, _)| call).collect());
    traffic.left_out += left_out;
    Surged {
        added,
        dropped,
        origin,
        traffic,
    }
}

fn arrival(at: Tick, until: Option<Tick>, draws: Draws, copy: u32) -> Tick {
    let room = until.map_or(JITTER, |until| until.since(at).min(JITTER));
    let late = draws.draw(Purpose::Jitter, copy.into()).checked_rem(room.0);
    at.plus(Span(late.unwrap_or_default()))
}

/// Which kinds of calls a selection means.
fn kinds_of(traffic: &Traffic, of: &CallsOf) -> Vec<bool> {
    let means = |kind: &Kind| {
        let asks = match (&of.ask, &kind.ask) {
            (None, _) => true,
            (Some(wanted), Asked::Model(name) | Asked::Pool(name)) => wanted == name,
            (Some(_), Asked::Nothing) => false,
        };
        let party = traffic.parties.get(kind.party as usize);
        let by = of
            .parties
            .as_ref()
            .is_none_or(|parties| party.is_some_and(|party| parties.contains(party)));
        asks && by
    };
    traffic.kinds.iter().map(means).collect()
}

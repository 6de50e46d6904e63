//! The load of a run: who asks for what and when, from a call a minute to bursts of 500 a second.
//!
//! Bounds: [`CALLS_MAX`] calls.

use tieline_core::{Span, Tick};

use super::dice::Dice;
use super::world::{Features, START};

/// Calls of one run: enough to open a breaker by its share of faults (20 ends in half a minute) on several channels.
const CALLS_MAX: u64 = 160;

/// A call that will arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) affinity: Option<u16>,
    pub(super) ask: Asked,
    pub(super) at: Tick,
    pub(super) body_bytes: u64,
    pub(super) deadline: Option<Span>,
    pub(super) entropy: u64,
    pub(super) key: u8,
    /// How long after its arrival the caller goes away.
    pub(super) leaves_after: Option<Span>,
    pub(super) output_tokens_max: Option<u32>,
    pub(super) patience: Option<Span>,
    pub(super) stream: bool,
}

/// What a call asks for, by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Model(u8),
    Nothing,
    Pool(u8),
    Unreadable,
}

pub(super) fn arrivals(seed: u64, features: &Features) -> Vec<Arrival> {
    let mut dice = Dice::new(seed, 1);
    let (mut at, mut arrivals) = (START, Vec::new());
    let calls = dice.spread(10, CALLS_MAX);
    while (arrivals.len() as u64) < calls {
        let gap_us = dice.pick(
            2_000,
            &[
                20_000, 200_000, 200_000, 1_000_000, 4_000_000, 15_000_000, 60_000_000,
            ],
        );
        // A phase: so many calls at this pace, then another pace.
        for _ in 0..dice.between(3, 60).min(calls - arrivals.len() as u64) {
            at = at.plus(Span(dice.below(2 * gap_us)));
            arrivals.push(arrival(&mut dice, features, at));
        }
        at = at.plus(dice.spread_ms(1, 60_000));
    }
    arrivals
}

fn arrival(dice: &mut Dice, features: &Features, at: Tick) -> Arrival {
    let leave = if features.leaving { 15 } else { 0 };
    let hurry = if features.hurry { 25 } else { 0 };
    Arrival {
        affinity: dice.perhaps(30, |dice| u16::try_from(dice.below(4)).unwrap_or_default()),
        ask: match dice.below(100) {
            0 => Asked::Nothing,
            1 => Asked::Unreadable,
            2..20 => Asked::Model(dice.small(0, features.models - 1)),
            _ => Asked::Pool(dice.small(0, features.pools - 1)),
        },
        at,
        body_bytes: dice.spread(40, 40_000),
        deadline: dice.perhaps(hurry, |dice| dice.spread_ms(200, 60_000)),
        entropy: dice.draw(),
        key: dice.small(0, features.keys - 1),
        leaves_after: dice.perhaps(leave, |dice| dice.spread_ms(1, 30_000)),
        output_tokens_max: dice.perhaps(60, |dice| u32::try_from(dice.spread(10, 4_000)).unwrap_or(10)),
        patience: dice.perhaps(hurry, |dice| dice.spread_ms(200, 60_000)),
        stream: dice.chance(75),
    }
}

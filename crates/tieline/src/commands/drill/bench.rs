//! `tieline drill bench`: how many whole calls a second the drill decides on one core, how long the losses of a day, one by
//! one and two by two, and the structure of a large grid take, and how much memory the calls of ten days. The world is made
//! from its size alone, so that two machines measure the same.

mod memory;
mod structure;
mod text;
mod world;

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;
use tieline_drill::{Assumed, BenchSize, Contingencies, ElementKind, Known, Pairs, Rehearsal, Timeline};

use self::memory::BenchMemory;
use self::structure::BenchStructure;
use self::world::World;
use super::losses::watched;
use crate::cli::{Bench, Cli};
use crate::output::{self, Result};

/// Plays of which the fastest counts: the rest is noise of the machine.
const PLAYS: usize = 5;

/// What the figures are to be, on two cores, of a day of a million calls, of ten million calls, and of a grid of 256
/// components, 64 channels and 1,000 parties.
const BARS: BenchBars = BenchBars {
    bytes_per_call_max: 64,
    calls_per_second_per_core_min: 400_000,
    memory_bytes_max: 1 << 30,
    n_1_ms_max: 2 * 60 * 1_000,
    n_2_ms_max: 15 * 60 * 1_000,
    structure_ms_max: 1_000,
};

/// `tieline drill bench`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchReport {
    /// Always `tieline/drill-bench/v1`.
    pub(super) schema: &'static str,
    /// Attempts of all calls with nothing gone.
    pub(super) attempts: u64,
    /// What the figures are to be on two cores, at the sizes that are measured if none is given.
    pub(super) bars: BenchBars,
    /// Bytes of a call as it is played.
    pub(super) bytes_per_call: u64,
    pub(super) calls: u64,
    /// Whole calls that one core decides in a second, from arrival to end, what becomes of each counted; the best of five
    /// plays with nothing gone.
    pub(super) calls_per_second_per_core: u64,
    /// Calls that are served with nothing gone.
    pub(super) carried: u64,
    pub(super) channels: u64,
    pub(super) components: u64,
    /// Memory for many calls that are streamed in; null without `--memory`.
    pub(super) memory: Option<BenchMemory>,
    /// The loss of each element in turn; null without `--n-1`.
    pub(super) n_1: Option<BenchLosses>,
    /// The loss of every two components at once; null without `--n-2`.
    pub(super) n_2: Option<BenchPairs>,
    /// Packs in force.
    pub(super) packs: u64,
    pub(super) parties: u64,
    /// Rules of these packs.
    pub(super) rules: u64,
    /// The analysis of a large grid at rest; null without `--structure`.
    pub(super) structure: Option<BenchStructure>,
}

/// What the figures are to be.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchBars {
    pub(super) bytes_per_call_max: u64,
    pub(super) calls_per_second_per_core_min: u64,
    /// Of ten million calls.
    pub(super) memory_bytes_max: u64,
    /// Of the components of a day of a million calls.
    pub(super) n_1_ms_max: u64,
    /// Of every two components of the same day.
    pub(super) n_2_ms_max: u64,
    /// Of each of the two grids of 256 components, 64 channels and 1,000 parties.
    pub(super) structure_ms_max: u64,
}

/// The loss of each element in turn.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchLosses {
    pub(super) channels: BenchPlays,
    pub(super) components: BenchPlays,
    pub(super) cores: u64,
}

/// What the losses of one kind of element took.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchPlays {
    pub(super) ms: u64,
    /// Elements that take out the same channels are one play.
    pub(super) plays: u64,
}

/// The loss of every two components at once.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchPairs {
    pub(super) cores: u64,
    /// From the calls and their base to the finished report, single losses included.
    pub(super) ms: u64,
    pub(super) pairs: u64,
    /// Of these, the pairs that take out no more than one of the two alone.
    pub(super) pairs_as_one: u64,
    /// Sets of channels for which every call was decided again, single losses that are as bad among them.
    pub(super) plays_exact: u64,
    /// Sets of channels that the screen by flows finds room for.
    pub(super) plays_modelled: u64,
}

pub(super) fn run(cli: &Cli, args: &Bench) -> Result<u8> {
    // First, so that nothing else of this process is in the peak.
    let memory = args.memory.map(memory::measured).transpose()?;
    let structure = args.structure.map(structure::measured).transpose()?;
    let world = World::new(BenchSize::of_day(args.calls))?;
    let traffic = world.traffic();
    let rehearsal = Rehearsal::new(&world.snapshot, &traffic, Known::default());
    let nothing = Timeline::default();
    let play = || {
        let begun = Instant::now();
        std::hint::black_box(rehearsal.play(&nothing));
        begun.elapsed().as_nanos().max(1)
    };
    let best = (0..PLAYS).map(|_| play()).min().unwrap_or(1);
    let a_second = traffic.calls.len() as u128 * 1_000_000_000 / best;
    let base = rehearsal.base();
    let report = BenchReport {
        schema: "tieline/drill-bench/v1",
        attempts: base.attempts,
        bars: BARS,
        bytes_per_call: size_of_val(traffic.calls.as_slice()) as u64 / base.calls.max(1),
        calls: base.calls,
        calls_per_second_per_core: u64::try_from(a_second).unwrap_or(u64::MAX),
        carried: base.carried,
        channels: world.snapshot.channels.len() as u64,
        components: world.snapshot.components.len() as u64,
        memory,
        n_1: args.n_1.then(|| losses(&rehearsal)),
        n_2: args.n_2.then(|| pairs(&rehearsal)),
        packs: World::PACKS as u64,
        parties: world.size.parties.into(),
        rules: world.rules,
        structure,
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(text::text(&report))?;
    }
    Ok(0)
}

/// The loss of each component, and of each channel, in turn.
fn losses(rehearsal: &Rehearsal<'_>) -> BenchLosses {
    let of = |kind| {
        let begun = Instant::now();
        let contingencies = Contingencies::single_of(rehearsal, Assumed::default(), kind);
        let plays = watched(contingencies.plays(), "decided", &|play| contingencies.play(play));
        BenchPlays {
            ms: ms(begun.elapsed()),
            plays: plays.len() as u64,
        }
    };
    BenchLosses {
        channels: of(ElementKind::Channel),
        components: of(ElementKind::Component),
        cores: cores(),
    }
}

/// The loss of every two components, as `drill n-2` goes about it.
fn pairs(rehearsal: &Rehearsal<'_>) -> BenchPairs {
    let begun = Instant::now();
    let pairs = Pairs::of(rehearsal, Assumed::default(), ElementKind::Component);
    let report = super::losses::paired(&pairs, &tieline_drill::Bars::default());
    BenchPairs {
        cores: cores(),
        ms: ms(begun.elapsed()),
        pairs: report.pairs,
        pairs_as_one: report.pairs_as_one,
        plays_exact: report.plays_exact,
        plays_modelled: report.plays_modelled,
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, usize::from) as u64
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! How much memory a drill of many calls takes that are streamed in: text is made in pieces and read as any trace is, so
//! only the calls stay; then come their base and as many losses at once as there are cores.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Ruling;
use tieline_core::Scope;
use tieline_core::grid::Candidate;
use tieline_drill::{
    Assumed, BenchSize, Contingencies, ElementKind, Known, Mapping, Onto, PartyView, Rehearsal, TraceOptions,
    TraceReader, Window, bench_lines, bench_party,
};

use super::super::{losses::watched, progress};
use super::{World, cores};
use crate::output::{Failure, Result};

/// Memory for many calls that are streamed in.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchMemory {
    /// Bytes of text that the calls came as.
    pub(in crate::commands::drill) bytes_streamed: u64,
    pub(in crate::commands::drill) calls: u64,
    /// Losses that were played at once.
    pub(in crate::commands::drill) losses: u64,
    /// The most memory that the process held until then; null where the system does not say.
    pub(in crate::commands::drill) peak_bytes: Option<u64>,
}

pub(super) fn measured(calls: usize) -> Result<BenchMemory> {
    let world = World::new(BenchSize::of_day(calls))?;
    let may = |party: u32| {
        let world = &world;
        move |candidate: Candidate| world.ruling(party, candidate) == Ruling::Allow
    };
    let allowed: Vec<_> = (0..world.size.parties).map(may).collect();
    let parties = (0..).zip(&allowed).map(|(ix, allowed)| PartyView {
        allowed,
        party: bench_party(ix),
        scope: Scope::All,
    });
    let parties: Vec<PartyView<'_>> = parties.collect();
    let mapping = Mapping::none();
    let mut reader = TraceReader::new(TraceOptions {
        mapping: &mapping,
        onto: Some(Onto {
            snapshot: &world.snapshot,
            parties: &parties,
        }),
        scale: None,
        seed: None,
        sort: false,
        window: Window::default(),
    });
    reader.file("calls.csv");
    let (bar, mut bytes_streamed) = (progress(calls as u64, "calls read"), 0);
    bench_lines(world.size, &world.snapshot, &mut |piece, lines| {
        bytes_streamed += piece.len() as u64;
        reader.feed(piece);
        bar.inc(lines);
    });
    bar.finish_and_clear();
    let traffic = reader
        .finish()
        .map_err(|problems| Failure::found(problems.to_string()))?;
    let rehearsal = Rehearsal::new(&world.snapshot, &traffic, Known::default());
    let losses = Contingencies::single_of(&rehearsal, Assumed::default(), ElementKind::Component);
    let at_once = usize::try_from(cores()).unwrap_or(1).min(losses.plays());
    let played = watched(at_once, "losses decided", &|play| losses.play(play));
    Ok(BenchMemory {
        bytes_streamed,
        calls: traffic.calls.len() as u64,
        losses: played.len() as u64,
        peak_bytes: peak_bytes(),
    })
}

/// The peak of this process's resident memory, where there is a `/proc`.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

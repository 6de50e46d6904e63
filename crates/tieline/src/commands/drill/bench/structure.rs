//! How long the analysis of a large grid at rest takes.

use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::{Scope, Snapshot};
use tieline_drill::{BenchNeeds, PartyView, bench_large, bench_may, bench_snapshot, structure};

use super::ms;
use crate::output::{Failure, Result};

/// The analysis of a large grid at rest, twice.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchStructure {
    pub(in crate::commands::drill) channels: u64,
    pub(in crate::commands::drill) components: u64,
    /// With components as grids have them: regions on clouds, clouds on identities.
    pub(in crate::commands::drill) layered_ms: u64,
    /// No two of them may use the same channels.
    pub(in crate::commands::drill) parties: u64,
    /// With each channel on 40 components at random.
    pub(in crate::commands::drill) random_ms: u64,
}

pub(super) fn measured(parties: u32) -> Result<BenchStructure> {
    let allowed: Vec<Box<dyn Fn(Candidate) -> bool>> = (0..parties).map(bench_may).collect();
    let views = (0..parties).zip(&allowed).map(|(ix, allowed)| PartyView {
        allowed: &**allowed,
        party: format!("p_{ix:06}").into(),
        scope: Scope::All,
    });
    let views: Vec<PartyView<'_>> = views.collect();
    let (layered, layered_ms) = timed(BenchNeeds::Layered, &views)?;
    let (_, random_ms) = timed(BenchNeeds::Random, &views)?;
    Ok(BenchStructure {
        channels: layered.channels.len() as u64,
        components: layered.components.len() as u64,
        layered_ms,
        parties: parties.into(),
        random_ms,
    })
}

fn timed(needs: BenchNeeds, views: &[PartyView<'_>]) -> Result<(Arc<Snapshot>, u64)> {
    let snapshot = bench_snapshot(bench_large(needs)).map_err(Failure::found)?;
    let begun = Instant::now();
    std::hint::black_box(structure(&snapshot, views, None));
    Ok((snapshot, ms(begun.elapsed())))
}

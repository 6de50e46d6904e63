//! Arguments of `tieline drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Drill {
    /// Decide every recorded call again; any difference is a finding (exit 1).
    #[command(after_help = "\
Examples:
  tieline drill replay                             each call under the grid it was decided by
  tieline drill replay --json                      each difference by call and field")]
    Replay,
    /// Take each channel and each component out in turn: calls kept, moved, degraded, lost, and what it costs.
    #[command(
        name = "n-1",
        after_help = "\
Examples:
  tieline drill n-1                                over the recorded calls, if there are any
  tieline drill n-1 --config plan.toml             what a configuration would make of it"
    )]
    NMinus1(NMinus1),
    /// Play random worlds around the live decision code, and audit every call of them; a broken law is a finding (exit 1).
    #[command(after_help = "\
Examples:
  tieline drill sim --seeds 1000                   a thousand worlds: faults, orders, reloads, crashes
  tieline drill sim --seed 7                       the world of one seed, with what its calls did if a law is broken

It reads no state folder and reaches no channel. A seed is a whole run: the same seed gives the same calls, and each is \
made twice.")]
    Sim(Sim),
}

#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// The first seed.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Runs, one for each seed from the first on; by default 100, or one where a seed is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) seeds: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct NMinus1 {
    /// A configuration to rehearse instead of the state folder's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

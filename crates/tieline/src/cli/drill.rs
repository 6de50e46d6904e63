//! Arguments of `tieline drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Drill {
    /// Decide every recorded call again; any difference is a finding (exit 1).
    #[command(after_help = "\
Examples:
  tieline drill replay                             each call under the grid it was decided by
  tieline drill replay --json                      each difference by call and field

It leaves a receipt in the ledger: digests of what was decided and of what came out. Where calls differ it leaves none, \
and the ledger as it is.")]
    Replay(Recorded),
    /// Take each channel and each component out in turn: calls kept, moved, degraded, lost, and what it costs.
    #[command(
        name = "n-1",
        after_help = "\
Examples:
  tieline drill n-1                                over the recorded calls, if there are any
  tieline drill n-1 --config plan.toml             what a configuration would make of it
  tieline drill n-1 --litellm config.yaml          over another gateway's configuration

It leaves a receipt in the ledger of the state folder, if there is one: digests of grid, traffic, options, engine and \
result. `tieline drill receipts` lists them."
    )]
    NMinus1(NMinus1),
    /// List the receipts of drills and pool tests, show one, or make a drill again and compare.
    #[command(after_help = "\
Examples:
  tieline drill receipts                           all, oldest first
  tieline drill receipts last                      the newest, with everything that it cites
  tieline drill receipts --check last              run it again on the same entries of the ledger

Exit code 0: the same came out; 1: something else did; 2: what it ran on is not here any more, so it cannot be made again.")]
    Receipts(Receipts),
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
    #[command(flatten)]
    pub(crate) foreign: Foreign,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
}

/// Another gateway's files, instead of the state folder's.
#[derive(Args, Debug)]
pub(crate) struct Foreign {
    /// LiteLLM's `config.yaml`; once more for the answer of its `GET /model/info`, if it keeps models in its database.
    /// Nothing of it is called, and no credential is read.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) litellm: Vec<PathBuf>,
    /// Write the configuration that it is taken to be, to correct it and go on with --config.
    #[arg(long, value_name = "FILE", requires = "litellm")]
    pub(crate) write_config: Option<PathBuf>,
}

/// Whether a run leaves a receipt.
#[derive(Args, Debug)]
pub(crate) struct Recorded {
    /// Leave no receipt in the ledger.
    #[arg(long)]
    pub(crate) no_receipt: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Receipts {
    /// Make a drill again from what it ran on, and compare the results.
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    pub(crate) check: Option<String>,
    /// Show one receipt; `last` is the newest.
    pub(crate) id: Option<String>,
}

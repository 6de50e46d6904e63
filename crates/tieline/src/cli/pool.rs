//! Arguments of `tieline pool`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Recorded;

#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// List the models of pools: what each takes less of than the first, and whether it was tested to stand in.
    #[command(after_help = "\
Examples:
  tieline pool list                                every pool of the state folder's configuration
  tieline pool list frontier                       one of them

It needs no server. A model is tested once `tieline pool test` recorded that it meets every case, and OUTDATED once the \
configuration means another by its name; a drill counts a call that moves to a model without a passing test as degraded.")]
    List(PoolList),
    /// Run cases against each model of a pool through the running gateway, and record which model may stand in.
    #[command(after_help = "\
Examples:
  tieline pool test --cases cases.toml             the pool that the file names
  tieline pool test --cases cases.toml --pool frontier --model gpt-6
  tieline pool test --cases cases.toml --key-file tests.key --url https://gateway.example --ca ca.pem

Each case asks each model by its own name, so that no other answers: as any call it passes admission and policy, costs \
what it costs, and is in the ledger. The key must be allowed to ask for the models; a key of a party of its own keeps the \
test's calls apart from others. Prompts and answers are kept nowhere and never shown; `tieline explain CALL` says how a \
call went. docs/pool-tests.md describes the file.

Exit code 0: every model met every case; 1: one did not, or was not answered for, or could not be recorded; 2: the cases \
are not in order, or no server runs.")]
    Test(PoolTest),
}

#[derive(Args, Debug)]
pub(crate) struct PoolList {
    /// The pool; by default all.
    pub(crate) pool: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PoolTest {
    /// Certificates of the authorities that the gateway's is signed by, in PEM form.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The file of cases.
    #[arg(long, value_name = "FILE")]
    pub(crate) cases: PathBuf,
    /// Calls in flight at one time, of all models together.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) concurrency: u32,
    /// A file with the key to ask with; by default that of the first party, as `up` or `serve` left it in the state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Test this model of the pool only; may be repeated.
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// The pool; by default the one that the file names, else the only one there is.
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    /// Seconds that a call may take, with what it waits for limits to free.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) timeout: u64,
    /// Where the gateway listens, if not where the running server says; with the name that its certificate has.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

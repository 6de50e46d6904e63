//! `tieline drill`: rehearsal over the recorded calls of a ledger, and in random worlds. One file a run; what several of
//! them share is here.

mod fit;
mod losses;
mod receipts;
mod replay;
mod sim;
mod traffic;

pub(super) use receipts::schemas;

use indicatif::ProgressBar;

use crate::cli::{Cli, Drill};
use crate::output::{self, Result};
use crate::{admin_client, folder};

pub(super) use self::traffic::{Trust, recorded};

pub(super) fn run(cli: &Cli, command: &Drill) -> Result<u8> {
    match command {
        Drill::Fit(args) => fit::run(cli, args),
        Drill::Replay(args) => replay::run(cli, args),
        Drill::NMinus1(args) => losses::run(cli, args),
        Drill::Receipts(args) => receipts::run(cli, args),
        Drill::Sim(args) => sim::run(cli, args),
    }
}

/// What a running server has queued becomes durable first, so that calls just made count.
fn flush(cli: &Cli) {
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
}

/// A bar of `length` steps; hidden where nobody watches.
fn progress(length: u64) -> ProgressBar {
    if output::is_terminal() {
        ProgressBar::new(length)
    } else {
        ProgressBar::hidden()
    }
}

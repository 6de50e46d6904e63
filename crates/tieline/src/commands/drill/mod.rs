//! `tieline drill`: rehearsal over the recorded calls of a ledger, and in random worlds. One file a run; what several of
//! them share is here.

pub(super) mod bench;
mod board;
mod cited;
mod directive;
pub(super) mod facts;
mod fit;
mod losses;
mod orders;
mod page;
mod plan;
mod receipts;
mod replay;
mod scenario;
mod shipped;
mod sim;
mod traffic;
mod year;

pub(super) use receipts::schemas;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Cli, Drill};
use crate::output::{self, Result};
use crate::{admin_client, folder};

pub(super) use self::board::BoardReport;
pub(super) use self::directive::DirectiveDrill;
pub(super) use self::shipped::ShippedReport;
pub(super) use self::traffic::{Trust, recorded};

pub(super) fn run(cli: &Cli, command: &Drill) -> Result<u8> {
    match command {
        Drill::Bench(args) => bench::run(cli, args),
        Drill::Board(args) => board::run(cli, args),
        Drill::Directive(args) => directive::run(cli, args),
        Drill::Fit(args) => fit::run(cli, args),
        Drill::Replay(args) => replay::run(cli, args),
        Drill::Scenario(args) => scenario::run(cli, args),
        Drill::NMinus1 { losses, page } => losses::one(cli, losses, page),
        Drill::NMinus2 { losses, page } => losses::two(cli, losses, page),
        Drill::Plan(args) => plan::run(cli, args),
        Drill::Receipts(args) => receipts::run(cli, args),
        Drill::Sim(args) => sim::run(cli, args),
        Drill::Year(args) => year::run(cli, args),
    }
}

/// What a running server has queued becomes durable first, so that calls just made count.
fn flush(cli: &Cli) {
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
}

/// Threads of a drill: a play needs one, and more than this many find no more work in a CI machine.
const THREADS_MAX: usize = 64;

/// Makes `count` things, each a function of its number, on as many threads as the machine has cores; they come in their
/// order, so the threads change nothing but the time.
fn in_parallel<T: Send>(count: usize, make: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(THREADS_MAX).min(count) {
            scope.spawn(|| {
                loop {
                    let ix = next.fetch_add(1, Ordering::Relaxed);
                    if ix >= count {
                        break;
                    }
                    let one = make(ix);
                    made.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((ix, one));
                }
            });
        }
    });
    let mut made = made
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    made.sort_by_key(|(ix, _)| *ix);
    made.into_iter().map(|(_, one)| one).collect()
}

/// A bar of `length` steps of what is counted, with the time that is left; hidden where nobody watches.
fn progress(length: u64, what: &'static str) -> ProgressBar {
    if output::is_terminal() {
        let bar = ProgressBar::new(length).with_message(what);
        match ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {elapsed} gone, about {eta} left") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    } else {
        ProgressBar::hidden()
    }
}

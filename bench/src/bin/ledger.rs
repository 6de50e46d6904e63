//! What the ledger costs: `cargo run --release -p tieline-bench --bin ledger [FOLDER]`.
//!
//! Entries are those of real calls of 1 KB, encoded as the gateway does, two a call. Printed are
//! - CPU per call at [`CALLS_PER_SECOND`], a decision and an outcome made, encoded, pushed and committed: the CPU of the
//!   ledger's thread, and what the calling thread takes more than for the same calls without a ledger (schedstat, kernel
//!   included);
//! - entries per second that are durable when the queue is kept full.
//!
//! The folder should be on the disk that the figures are meant for; what is made there is removed.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it prints figures for people"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tieline_bench::{SetUp, Whole, bodies, encode};
use tieline_core::{Call, Effect};
use tieline_ledger::{Log, PushError, Writer, WriterConfig, create_key};

const CALLS_PER_SECOND: u32 = 10_000;
const CALLS: u32 = 50_000;
/// Entries of the flood: five seconds at the least rate that is wanted.
const ENTRIES: usize = 400_000;
/// Different entries among those of the flood: more than a row holds, so that packing a row finds no entry twice.
const ENTRIES_DIFFERENT: usize = 4_096;
/// As the gateway gathers.
const LINGER: Duration = Duration::from_millis(10);
const ORIGIN: &str = "tieline.example/bench";

fn main() -> SetUp<()> {
    let base = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    sustained(&base)?;
    flood(&base)
}

fn sustained(base: &Path) -> SetUp<()> {
    let mut calls = Whole::same(bodies::openai_request("same", 1_024, false))?;
    // Caches are warm, and memory is there.
    for _ in 0..1_000 {
        calls.drive(&mut |_, _| {})?;
    }
    let without_ns = paced(&mut calls, &mut |_, _| {})?;
    let dir = tempfile::tempdir_in(base)?;
    let writer = open(dir.path())?;
    let ledger_before_ns = ledger_ns()?;
    let (mut bytes, mut refused) = (0, 0_u64);
    let with_ns = paced(&mut calls, &mut |call, effect| {
        let entry = encode(call, effect).unwrap_or_default();
        bytes += entry.len();
        refused += u64::from(writer.push(entry).is_err());
    })?;
    writer.flush()?;
    let ledger_ns = ledger_ns()? - ledger_before_ns;
    let per_call = |ns: u64| ns as f64 / 1e3 / f64::from(CALLS);
    let caller_us = per_call(with_ns.saturating_sub(without_ns));
    println!(
        "at {CALLS_PER_SECOND} calls/s: {:.2} µs CPU a call: {caller_us:.2} to make, encode and push, {:.2} on the ledger's \
         thread; {:.0} bytes a call, {} commits, {refused} refused",
        caller_us + per_call(ledger_ns),
        per_call(ledger_ns),
        bytes as f64 / f64::from(CALLS),
        writer.health().commits,
    );
    writer.close()?;
    Ok(())
}

/// Drives [`CALLS`] at their rate, some each millisecond; the CPU nanoseconds of this thread.
fn paced(calls: &mut Whole, record: &mut dyn FnMut(&Call, &Effect)) -> SetUp<u64> {
    let mut entries = 0;
    let before = thread_ns("/proc/thread-self")?;
    let begin = Instant::now();
    for number in 0..CALLS {
        if number % (CALLS_PER_SECOND / 1_000) == 0 {
            let due = begin + Duration::from_secs(1) / CALLS_PER_SECOND * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        calls.drive(&mut |call, effect| {
            entries += 1;
            record(call, effect);
        })?;
    }
    if entries != 2 * CALLS {
        return Err(format!("{CALLS} calls wrote {entries} entries").into());
    }
    Ok(thread_ns("/proc/thread-self")? - before)
}

fn flood(base: &Path) -> SetUp<()> {
    let mut calls = Whole::same(bodies::openai_request("same", 1_024, false))?;
    let mut entries = Vec::with_capacity(ENTRIES_DIFFERENT);
    while entries.len() < ENTRIES_DIFFERENT {
        calls.drive(&mut |call, effect| entries.extend(encode(call, effect)))?;
    }
    let dir = tempfile::tempdir_in(base)?;
    let writer = open(dir.path())?;
    let (begin, before_ns) = (Instant::now(), ledger_ns()?);
    for entry in entries.iter().cycle().take(ENTRIES) {
        while let Err(error) = writer.push(entry.clone()) {
            if !matches!(error, PushError::Full { .. }) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    writer.flush()?;
    let seconds = begin.elapsed().as_secs_f64();
    if writer.head().size != ENTRIES as u64 {
        return Err(format!("{} entries are durable, not {ENTRIES}", writer.head().size).into());
    }
    println!(
        "flood: {:.0} entries/s durable, {:.2} µs CPU an entry on the ledger's thread, {} commits",
        ENTRIES as f64 / seconds,
        (ledger_ns()? - before_ns) as f64 / 1e3 / ENTRIES as f64,
        writer.health().commits,
    );
    writer.close()?;
    Ok(())
}

fn open(dir: &Path) -> SetUp<Writer> {
    let log = Log::open(dir, ORIGIN, create_key(dir, ORIGIN, &[7; 32])?)?;
    let config = WriterConfig {
        linger: LINGER,
        ..WriterConfig::default()
    };
    let begin = Instant::now();
    let clock = move || u64::try_from(begin.elapsed().as_micros()).unwrap_or(0);
    let writer = Writer::spawn(log, config, clock)?;
    // The thread has its name and has committed once.
    writer.flush()?;
    Ok(writer)
}

/// CPU nanoseconds of the ledger's thread.
fn ledger_ns() -> SetUp<u64> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "ledger") {
            return thread_ns(&task);
        }
    }
    Err("there is no ledger's thread".into())
}

fn thread_ns(task: impl AsRef<Path>) -> SetUp<u64> {
    let text = fs::read_to_string(task.as_ref().join("schedstat"))?;
    let ran = text.split(' ').next().unwrap_or_default();
    Ok(ran.parse()?)
}

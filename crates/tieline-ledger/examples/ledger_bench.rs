//! Measures the ledger on this machine: `cargo run --release -p tieline-ledger --example ledger_bench [FOLDER [trickle]]`.
//!
//! Entries have 1 KB. Printed are wall time and the CPU time (schedstat, kernel included) of the ledger's thread or, where
//! there is none, of the process.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "it prints figures for people"
)]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tieline_ledger::merkle::leaf_hash;
use tieline_ledger::{Log, PushError, VerifyOptions, Writer, WriterConfig, create_key, verify};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ORIGIN: &str = "tieline.example/bench/log-1";
const ENTRIES: u64 = 400_000;

/// What a decision or an outcome takes.
const ENTRY_BYTES: usize = 1024;

fn main() -> Outcome<()> {
    let base = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base)?;
    create_key(dir.path(), ORIGIN, &[7; 32])?;
    if std::env::args().nth(2).is_none_or(|only| only != "trickle") {
        hashing();
        flood(dir.path())?;
        verification(dir.path())?;
    }
    for linger_us in [0, 1000, 5000, 10_000, 20_000] {
        let dir = tempfile::tempdir_in(dir.path())?;
        create_key(dir.path(), ORIGIN, &[7; 32])?;
        trickle(dir.path(), linger_us)?;
    }
    Ok(())
}

fn entry(index: u64) -> Vec<u8> {
    let head = format!(r#"{{"at":1750000000000000,"id":"call-{index:012}","t":"tieline/decision/v1","x":""#);
    format!(
        "{head}{}\"}}",
        "x".repeat((ENTRY_BYTES - 2).saturating_sub(head.len()))
    )
    .into_bytes()
}

fn hashing() {
    let bytes = entry(0);
    let start = Instant::now();
    for _ in 0..ENTRIES {
        black_box(leaf_hash(black_box(&bytes)));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "leaf hash of 1 KB       {:>10.0} ns  {:.0} MB/s",
        seconds * 1e9 / ENTRIES as f64,
        ENTRIES as f64 * 1.024e-3 / seconds
    );
}

/// As fast as the queue takes them.
fn flood(dir: &Path) -> Outcome<()> {
    let writer = open(dir, 0)?;
    let entries: Vec<Vec<u8>> = (0..ENTRIES).map(entry).collect();
    let (start, cpu) = (Instant::now(), cpu()?);
    for entry in entries {
        let mut waiting = entry;
        while let Err(error) = writer.push(waiting.clone()) {
            assert!(matches!(error, PushError::Full { .. }), "{error}");
            std::thread::sleep(Duration::from_micros(200));
            waiting = std::mem::take(&mut waiting);
        }
    }
    writer.flush()?;
    report("flood", start, cpu, ENTRIES, &writer)?;
    writer.close()?;
    Ok(())
}

/// Twenty entries every millisecond: 10,000 calls a second, as the gateway at saturation.
fn trickle(dir: &Path, linger_us: u64) -> Outcome<()> {
    let writer = open(dir, linger_us)?;
    let (start, cpu) = (Instant::now(), cpu()?);
    let count = 60_000;
    let mut pushing = Duration::ZERO;
    for first in (0..count).step_by(20) {
        let entries: Vec<Vec<u8>> = (first..first + 20).map(entry).collect();
        let begin = Instant::now();
        for entry in entries {
            writer.push(entry)?;
        }
        pushing += begin.elapsed();
        std::thread::sleep(Duration::from_millis(1));
    }
    writer.flush()?;
    report(
        &format!("trickle, linger {linger_us} µs"),
        start,
        cpu,
        count,
        &writer,
    )?;
    println!(
        "{:<24}{:>9.0} ns a push",
        "",
        pushing.as_secs_f64() * 1e9 / count as f64
    );
    writer.close()?;
    Ok(())
}

fn open(dir: &Path, linger_us: u64) -> Outcome<Arc<Writer>> {
    let signer = tieline_ledger::load_key(dir)?.ok_or("no key")?;
    let log = Log::open(dir, ORIGIN, signer)?;
    let config = WriterConfig {
        linger: Duration::from_micros(linger_us),
        ..WriterConfig::default()
    };
    let begin = Instant::now();
    let clock = move || u64::try_from(begin.elapsed().as_micros()).unwrap_or(0);
    let writer = Writer::spawn(log, config, clock)?;
    // The thread has its name and has committed once.
    writer.flush()?;
    Ok(Arc::new(writer))
}

fn report(name: &str, start: Instant, cpu_before: f64, count: u64, writer: &Writer) -> Outcome<()> {
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu()? - cpu_before);
    let commits = writer.health().commits;
    println!(
        "{name:<24}{:>9.0} entries/s durable, {:.2} µs CPU an entry, {commits} commits of {:.0}, {:.0} µs CPU a commit",
        count as f64 / seconds,
        cpu * 1e6 / count as f64,
        count as f64 / commits as f64,
        cpu * 1e6 / commits as f64,
    );
    Ok(())
}

fn verification(dir: &Path) -> Outcome<()> {
    for deep in [false, true] {
        let (start, cpu_before) = (Instant::now(), cpu()?);
        let report = verify(
            dir,
            &VerifyOptions {
                deep,
                ..VerifyOptions::default()
            },
            |_| {},
        )?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu()? - cpu_before);
        let megabytes = report.bytes as f64 / 1e6;
        println!(
            "verify {:<17}{:>9.0} MB/s, {:.0} MB per second of CPU ({} entries)",
            if deep { "deep" } else { "" },
            megabytes / seconds,
            megabytes / cpu,
            report.size
        );
    }
    Ok(())
}

/// CPU seconds of the ledger's thread if there is one, else of all threads.
fn cpu() -> Outcome<f64> {
    let mut nanoseconds = 0.0;
    let is_ledger =
        |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "ledger");
    let tasks = fs::read_dir("/proc/self/task")?.map(|task| Ok(task?.path()));
    let mut tasks = tasks.collect::<std::io::Result<Vec<PathBuf>>>()?;
    if tasks.iter().any(|task| is_ledger(task)) {
        tasks.retain(|task| is_ledger(task));
    }
    for task in tasks {
        let text = fs::read_to_string(task.join("schedstat"))?;
        nanoseconds += text.split(' ').next().unwrap_or("0").parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

//! Digests of drills over small recorded days, for the mutants of `cargo xtask mutants`: a defect of the core has to change
//! one of them. `drills write FILE SEEDS` records the days, one for each world of the simulator; `drills FILE` rehearses
//! them, and prints one line for each drill: its name and the SHA-256 of all its reports.
//!
//! The days are recorded by the core as it is, and rehearsed by the core that is built in.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use tieline_core::{Snapshot, Span, Tick};
use tieline_drill::{
    Assumed, Bars, Contingencies, Element, ElementKind, Failure, Happening, Known, Loss, Rehearsal, Replay,
    SimReport, Timeline, Traffic, TrafficReader, open_grid, recording, simulate,
};
use tieline_note::{Digest, jcs, sha256};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["write", file, seeds] => seeds
            .parse()
            .map_err(io::Error::other)
            .and_then(|seeds| write(file, seeds)),
        [file] => std::fs::read_to_string(file).and_then(|text| rehearse(&text)),
        _ => Err(io::Error::other("usage: drills write FILE SEEDS | drills FILE")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

/// A day on each line: its seed, its entries, and its grids.
fn write(file: &str, seeds: u64) -> io::Result<()> {
    let mut text = String::new();
    for (seed, day) in (0..seeds).filter_map(|seed| Some((seed, recording(seed)?))) {
        let texts = |bytes: &[Vec<u8>]| -> Vec<String> {
            let texts = bytes
                .iter()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            texts.collect()
        };
        let line = json!({ "entries": texts(&day.entries), "grids": texts(&day.grids), "seed": seed });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    std::fs::write(file, text)
}

/// A recorded day.
struct Day {
    entries: Vec<Vec<u8>>,
    first: Arc<Snapshot>,
    grids: BTreeMap<[u8; 32], Vec<u8>>,
    seed: u64,
}

impl Day {
    fn read(line: &str) -> io::Result<Self> {
        let line: Value = serde_json::from_str(line)?;
        let list = |name: &str| -> Vec<Vec<u8>> {
            let list = line.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|text| Some(text.as_str()?.as_bytes().to_vec()))
                .collect()
        };
        let grids = list("grids");
        let first = grids
            .first()
            .ok_or_else(|| io::Error::other("a day without a grid"))?;
        let first = open_grid(sha256(first).0, first).map_err(io::Error::other)?;
        Ok(Self {
            entries: list("entries"),
            first: Arc::new(first),
            grids: grids.into_iter().map(|bytes| (sha256(&bytes).0, bytes)).collect(),
            seed: line.get("seed").and_then(Value::as_u64).unwrap_or_default(),
        })
    }

    fn traffic(&self) -> Traffic {
        let mut reader = TrafficReader::new();
        for (index, entry) in (0..).zip(&self.entries) {
            reader.entry(index, entry);
        }
        reader.finish()
    }
}

/// The digest of a drill's report on a day.
type Drill = fn(&Day) -> io::Result<Digest>;

fn rehearse(text: &str) -> io::Result<()> {
    let days: Vec<Day> = text.lines().map(Day::read).collect::<io::Result<_>>()?;
    let drills: [(&str, Drill); 4] = [
        ("replay", replay),
        ("n-1", n_minus_1),
        ("scenario", scenario),
        ("sim", sim),
    ];
    for (name, drill) in drills {
        let digests: Vec<[u8; 32]> = days
            .iter()
            .map(|day| Ok(drill(day)?.0))
            .collect::<io::Result<_>>()?;
        writeln!(io::stdout(), "{name} {}", sha256(&digests.concat()))?;
    }
    Ok(())
}

fn digest(report: &impl Serialize) -> io::Result<Digest> {
    Ok(sha256(&jcs::to_vec(report).map_err(io::Error::other)?))
}

/// Every call again, from its record.
fn replay(day: &Day) -> io::Result<Digest> {
    let blobs = |digest: &[u8; 32]| day.grids.get(digest).cloned();
    let mut replay = Replay::new(&blobs);
    for (index, entry) in (0..).zip(&day.entries) {
        replay.entry(index, entry);
    }
    digest(&replay.finish())
}

/// Each channel and component gone in turn, without a word.
fn n_minus_1(day: &Day) -> io::Result<Digest> {
    let traffic = day.traffic();
    let rehearsal = Rehearsal::new(&day.first, &traffic, Known::default());
    let assumed = Assumed {
        loss: Loss::Silent,
        ..Assumed::default()
    };
    let contingencies = Contingencies::single(&rehearsal, assumed);
    let plays: Vec<_> = (0..contingencies.plays())
        .map(|play| contingencies.play(play))
        .collect();
    digest(&contingencies.n_minus_1(&plays, &Bars::default()))
}

/// One channel after the other goes and comes back, or is cut and restored, fails or slows down, while the grids of the day
/// follow each other.
fn scenario(day: &Day) -> io::Result<Digest> {
    let traffic = day.traffic();
    let rehearsal = Rehearsal::new(&day.first, &traffic, Known::default());
    let (from, until) = traffic.window().unwrap_or_default();
    let span = until.since(from).0;
    let at = |permille: u64| Tick(from.0.saturating_add(span / 1_000 * permille));
    let mut timeline = Timeline::default();
    let mut add = |at: Tick, happening: Happening| timeline.at(at, happening).map_err(io::Error::other);
    for (ix, channel) in (0..).zip(&day.first.channels) {
        let element = Element {
            kind: ElementKind::Channel,
            name: channel.name.to_string(),
        };
        let (begins, ends) = (at(100 + 90 * ix), at(250 + 90 * ix));
        let failure = [Failure::Errors, Failure::Refused, Failure::Silent];
        let kind = failure
            .get(usize::try_from(ix % 3).unwrap_or(0))
            .copied()
            .unwrap_or_default();
        add(begins, Happening::Out(element.clone(), kind))?;
        add(ends, Happening::Back(element.clone()))?;
        if ix % 4 == 1 {
            add(at(700), Happening::Cut(element.clone()))?;
            add(at(800), Happening::Restore(element))?;
        }
        let slow = Happening::Slow {
            channel: channel.name.clone(),
            time: 1_000 + 500 * u32::try_from(ix).unwrap_or(0),
        };
        add(at(850), slow)?;
        let failing = Happening::Failing {
            channel: channel.name.clone(),
            share: 300,
        };
        add(at(900), failing)?;
    }
    for (ix, (grid, bytes)) in (0..).zip(&day.grids) {
        let grid = open_grid(*grid, bytes).map_err(io::Error::other)?;
        add(at(400).plus(Span(ix)), Happening::Grid(Arc::new(grid)))?;
    }
    digest(&rehearsal.play(&timeline))
}

/// The world of the day again, with the auditor's findings.
fn sim(day: &Day) -> io::Result<Digest> {
    digest(&SimReport::of(day.seed, &[simulate(day.seed)]))
}

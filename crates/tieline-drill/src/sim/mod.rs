//! The simulator: random worlds around the real machines. From a seed it draws a grid, keys, rules, channels that fail in
//! every way the core knows, a load, and what happens meanwhile (orders, cuts, reloads, crashes, jumps of the clock, a
//! ledger that is full or stops), and plays all of it on an event heap with the live `Call`, `Fleet` and `Desk`
//! ([`shell`]). An auditor watches every call and knows the laws ([`auditor`]).
//!
//! Nothing here reads a clock, a socket or a random source: a seed is the whole run, and each run is made twice and must
//! come to the same bytes. What is left out: the wire, for an answer is marks here; continuing an answer elsewhere.
//!
//! Bounds: those of [`load`], [`world`] and [`shell`]; a run takes a few milliseconds.

mod auditor;
mod dice;
mod faults;
mod lanes;
mod ledger;
mod limits;
mod load;
mod records;
mod report;
mod shell;
mod trace;
mod truth;
mod watched;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use report::{Run, SIM_V1, SimReport, TallyReport, Violation};

use auditor::Finding;
use report::Tally;
use shell::Shell;
use tieline_note::jcs;
use trace::{Trace, since_start};
use world::World;

/// Make the run of a seed, twice, and say what was seen. A defect that panics is a finding as well.
pub fn simulate(seed: u64) -> Run {
    let clean = |digest, tally| Run {
        digest,
        seed,
        tally,
        violations: Vec::new(),
    };
    let first = played(seed, false);
    let again = played(seed, false);
    match (first, again) {
        (Ok(first), Ok(again)) if first.findings.is_empty() && first.tally == again.tally => {
            clean(first.tally.digest, first.tally.of)
        }
        (Ok(first), Ok(again)) if first.findings.is_empty() => {
            let says = format!("made twice, the run differs: {first:?} and {again:?}");
            Run {
                violations: vec![violation(seed, None, "twice", says, Vec::new())],
                ..clean(first.tally.digest, first.tally.of)
            }
        }
        (Ok(first), _) => Run {
            violations: told(seed),
            ..clean(first.tally.digest, first.tally.of)
        },
        (Err(says), _) => Run {
            violations: vec![violation(seed, None, "panic", says, Vec::new())],
            ..clean([0; 32], TallyReport::default())
        },
    }
}

/// What the world of a seed leaves in its ledger.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Decisions and outcomes, in the order in which they were written.
    pub entries: Vec<Vec<u8>>,
    /// The records of the grids that they cite.
    pub grids: Vec<Vec<u8>>,
}

/// Make the run of a seed once, and keep its ledger; none, where the seed makes no world.
pub fn recording(seed: u64) -> Option<Recording> {
    let world = World::draw(seed);
    let mut shell = Shell::new(&world, Trace::default())?;
    shell.ledger.keep();
    shell.run();
    let grids = world.grids.iter().map(|grid| jcs::to_vec(&*grid.record));
    Some(Recording {
        entries: shell.ledger.into_entries(),
        grids: grids.collect::<Result<_, _>>().ok()?,
    })
}

#[derive(Debug)]
struct Played {
    findings: Vec<Finding>,
    tally: Tally,
    trace: Trace,
}

/// One run; an error is a panic's message.
fn played(seed: u64, traced: bool) -> Result<Played, String> {
    let run = || {
        let world = World::draw(seed);
        let trace = if traced { Trace::kept() } else { Trace::default() };
        let mut shell = Shell::new(&world, trace)?;
        shell.run();
        Some(Played {
            findings: shell.auditor.findings,
            tally: shell.tally,
            trace: shell.trace,
        })
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Some(played)) => Ok(played),
        Ok(None) => Err("the generator made a grid that does not hold together".to_owned()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("a panic without words").to_owned())
        }
    }
}

/// The findings of a run, made once more with its events kept.
fn told(seed: u64) -> Vec<Violation> {
    let Ok(played) = played(seed, true) else {
        let says = "a panic that the runs before did not meet".to_owned();
        return vec![violation(seed, None, "twice", says, Vec::new())];
    };
    let each = played.findings.iter().map(|finding| {
        let says = format!("at {}: {}", since_start(finding.at), finding.says);
        let trace = played.trace.of(finding.call);
        violation(seed, finding.call, finding.law, says, trace)
    });
    each.collect()
}

fn violation(seed: u64, call: Option<u32>, law: &str, says: String, trace: Vec<String>) -> Violation {
    Violation {
        call,
        law: law.to_owned(),
        replay: format!("tieline drill sim --seed {seed}"),
        says,
        seed,
        trace,
    }
}

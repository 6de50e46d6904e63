//! What a simulation found, as a value and as text.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::record::{Hex32, Outcome};
use tieline_note::sha256_parts;

use crate::table::{count, plural};

/// The schema of the report.
pub const SIM_V1: &str = "tieline/drill-sim/v1";

/// Violations that a report spells out; each comes with its trace.
const VIOLATIONS_MAX: usize = 20;

/// What the runs of a simulation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SimReport {
    /// SHA-256 over the digests of all runs, in the order of their seeds: equal reports come from equal cores.
    pub digest: String,
    /// Seeds whose run broke a law.
    pub failed: u64,
    /// The first seed.
    pub first_seed: u64,
    /// Always [`SIM_V1`].
    pub schema: &'static str,
    /// Runs: the seeds from the first on.
    pub seeds: u64,
    /// What happened in all runs together.
    pub tally: TallyReport,
    /// The first broken laws.
    pub violations: Vec<Violation>,
}

/// Counts over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TallyReport {
    pub abandoned: u64,
    pub attempts: u64,
    pub broken: u64,
    pub calls: u64,
    pub crashes: u64,
    /// Cuts and restores.
    pub cuts: u64,
    /// Decisions that the ledger took.
    pub decisions: u64,
    pub events: u64,
    /// Decisions without outcome that a start after a crash closed.
    pub lost: u64,
    /// Changes of what is permitted.
    pub orders: u64,
    pub refused: u64,
    pub relayed: u64,
    pub reloads: u64,
    pub served: u64,
}

/// One broken law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Violation {
    /// The number of the call in its run, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u32>,
    /// Which law, by name.
    pub law: String,
    /// The command that makes the same run again.
    pub replay: String,
    /// What was seen.
    pub says: String,
    pub seed: u64,
    /// The last events of the call, oldest first.
    pub trace: Vec<String>,
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub(super) digest: [u8; 32],
    pub(super) seed: u64,
    pub(super) tally: TallyReport,
    pub(super) violations: Vec<Violation>,
}

/// Counts of one run, with the digest of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) digest: [u8; 32],
    pub(super) of: TallyReport,
}

impl Run {
    /// Whether no law was broken.
    pub const fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

impl SimReport {
    /// The report of runs in the order of their seeds.
    pub fn of(first_seed: u64, runs: &[Run]) -> Self {
        let digests: Vec<&[u8]> = runs.iter().map(|run| &run.digest[..]).collect();
        let violations = runs.iter().flat_map(|run| &run.violations);
        let mut tally = TallyReport::default();
        for run in runs {
            tally.add(&run.tally);
        }
        Self {
            digest: Hex32(sha256_parts(&digests).0).to_string(),
            failed: runs.iter().filter(|run| !run.is_clean()).count() as u64,
            first_seed,
            schema: SIM_V1,
            seeds: runs.len() as u64,
            tally,
            violations: violations.take(VIOLATIONS_MAX).cloned().collect(),
        }
    }

    /// Whether no law was broken.
    pub const fn holds(&self) -> bool {
        self.failed == 0
    }

    /// The report as lines for a terminal; `traced` with the last events of the first offending call.
    pub fn text(&self, traced: bool) -> String {
        let tally = &self.tally;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} from {} on: {} in {}, {} dialled.",
            plural(self.seeds, "seed"),
            self.first_seed,
            plural(tally.calls, "call"),
            plural(tally.events, "event"),
            plural(tally.attempts, "attempt"),
        );
        let ends = [
            ("served", tally.served),
            ("broken", tally.broken),
            ("relayed", tally.relayed),
            ("refused", tally.refused),
            ("abandoned", tally.abandoned),
            ("lost", tally.lost),
        ];
        let _ = writeln!(text, "Ends: {}.", listed(&ends));
        let around = [
            ("orders", tally.orders),
            ("cuts and restores", tally.cuts),
            ("reloads", tally.reloads),
            ("crashes", tally.crashes),
        ];
        let _ = writeln!(text, "Around them: {}.", listed(&around));
        let _ = writeln!(text, "Digest of all entries: {}.", self.digest);
        if self.holds() {
            text.push_str("Every law held.\n");
            return text;
        }
        let _ = writeln!(text, "A law was broken in {}.", plural(self.failed, "seed"));
        for (violation, ix) in self.violations.iter().zip(0..) {
            violation.write(&mut text, traced && ix == 0);
        }
        text
    }
}

impl Violation {
    fn write(&self, text: &mut String, traced: bool) {
        let call = self
            .call
            .map_or_else(String::new, |call| format!(", call {call}"));
        let _ = writeln!(text, "{}: {}{call}: {}", self.replay, self.law, self.says);
        for line in self.trace.iter().filter(|_| traced) {
            let _ = writeln!(text, "    {line}");
        }
    }
}

impl TallyReport {
    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.abandoned, other.abandoned),
            (&mut self.attempts, other.attempts),
            (&mut self.broken, other.broken),
            (&mut self.calls, other.calls),
            (&mut self.crashes, other.crashes),
            (&mut self.cuts, other.cuts),
            (&mut self.decisions, other.decisions),
            (&mut self.events, other.events),
            (&mut self.lost, other.lost),
            (&mut self.orders, other.orders),
            (&mut self.refused, other.refused),
            (&mut self.relayed, other.relayed),
            (&mut self.reloads, other.reloads),
            (&mut self.served, other.served),
        ];
        for (sum, one) in pairs {
            *sum += one;
        }
    }

    pub(super) fn ended(&mut self, result: Outcome) {
        let count = match result {
            Outcome::Abandoned => &mut self.abandoned,
            Outcome::Broken => &mut self.broken,
            Outcome::Lost => &mut self.lost,
            Outcome::Refused => &mut self.refused,
            Outcome::Relayed => &mut self.relayed,
            Outcome::Served => &mut self.served,
        };
        *count += 1;
    }
}

fn listed(counts: &[(&str, u64)]) -> String {
    let each = counts.iter().map(|(name, n)| format!("{} {name}", count(*n)));
    each.collect::<Vec<_>>().join(", ")
}

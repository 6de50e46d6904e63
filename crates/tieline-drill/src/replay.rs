//! Decides every call of a ledger again, from its recorded inputs and under the grid that it cites, and reports every
//! call whose records do not come out equal in every field. Before that, whether a what-if predicts
//! the second half of the calls from the first ([`crate::Calibration`]).
//!
//! Bounds: those of calibration, calls in flight ([`crate::CALLS_OPEN_MAX`]), a few open grids, the first
//! [`DIFFERENCES_MAX`] differences.

use std::fmt::Write as _;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Snapshot;
use tieline_core::call::{self, Difference};
use tieline_core::record::{DecisionEntry, Outcome, OutcomeEntry};

use crate::archive::{Archive, Blobs};
use crate::calibration::{Calibration, Calibrator};
use crate::difference::first_difference;
use crate::pairs::{Pair, Pairs, Taken};
use crate::table::{count, plural};

/// The schema of [`ReplayReport`].
pub const REPLAY_V1: &str = "tieline/drill-replay/v1";

/// Differences reported one by one; all are counted. 100 lines of a few hundred bytes are more than anyone reads.
pub const DIFFERENCES_MAX: usize = 100;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReplayReport {
    /// Whether the first half of the calls predicts the second.
    pub calibration: Calibration,
    /// Calls whose records came out equal in every field.
    pub agreed: u64,
    /// Decisions read: the calls.
    pub calls: u64,
    /// Of the calls, those without an outcome: in flight when the ledger was read. Their decisions were replayed.
    pub decisions_only: u64,
    /// The first differences.
    pub differences: Vec<DifferenceRow>,
    /// All differences, those left out of `differences` and entries that could not be read included.
    pub differ: u64,
    /// Different grids that the decisions cite.
    pub grids: u64,
    /// Of the calls, those whose process ended before them. Their decisions were replayed.
    pub lost: u64,
    /// Entries of other types.
    pub others: u64,
    /// Always [`REPLAY_V1`].
    pub schema: &'static str,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DifferenceRow {
    /// The call, if the entry names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Index of the entry in the ledger: of the decision, where a call differs.
    pub index: u64,
    /// What differs, in one sentence.
    pub what: String,
}

/// A replay under way: feed it every entry in order, then finish.
pub struct Replay<'a> {
    archive: Archive<'a>,
    blobs: &'a Blobs<'a>,
    calibrator: Calibrator,
    pairs: Pairs,
    report: ReplayReport,
}

/// Replay a ledger given as an iterator; an error of the iterator ends it.
pub fn replay<E>(
    entries: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
    blobs: &Blobs<'_>,
) -> Result<ReplayReport, E> {
    let mut replay = Replay::new(blobs);
    for entry in entries {
        let (index, bytes) = entry?;
        replay.entry(index, &bytes);
    }
    Ok(replay.finish())
}

// === impl Replay ===

impl<'a> Replay<'a> {
    pub fn new(blobs: &'a Blobs<'a>) -> Self {
        Self {
            archive: Archive::new(blobs),
            blobs,
            calibrator: Calibrator::new(),
            pairs: Pairs::new(),
            report: ReplayReport {
                calibration: Calibration::unjudged(0, 0, String::new()),
                agreed: 0,
                calls: 0,
                decisions_only: 0,
                differences: Vec::new(),
                differ: 0,
                grids: 0,
                lost: 0,
                others: 0,
                schema: REPLAY_V1,
            },
        }
    }

    /// Take the next entry of the ledger.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        match self.pairs.take(index, bytes) {
            Taken::Bad { call, what, .. } => self.differ(index, call, what),
            Taken::Call(pair) => self.call(&pair),
            Taken::Open => {}
            Taken::Other => self.report.others += 1,
        }
    }

    /// Decide the calls that have no outcome, and report.
    pub fn finish(mut self) -> ReplayReport {
        for pair in self.pairs.rest() {
            self.call(&pair);
        }
        self.report.grids = self.archive.seen();
        self.report.calibration = self.calibrator.finish(self.blobs);
        self.report
    }

    fn call(&mut self, pair: &Pair) {
        let outcome = pair.outcome.as_deref();
        self.calibrator.see(pair);
        self.report.calls += 1;
        match outcome.map(|outcome| outcome.result) {
            None => self.report.decisions_only += 1,
            Some(Outcome::Lost) => self.report.lost += 1,
            Some(_) => {}
        }
        let grid = self.archive.grid(pair.decision.grid.0);
        let agrees = grid
            .map_err(|error| format!("the grid {error}"))
            .and_then(|grid| decide(&grid, &pair.decision, outcome));
        match agrees {
            Ok(()) => self.report.agreed += 1,
            Err(what) => self.differ(pair.index, Some(pair.decision.id.to_string()), what),
        }
    }

    fn differ(&mut self, index: u64, call: Option<String>, what: String) {
        self.report.differ += 1;
        if self.report.differences.len() < DIFFERENCES_MAX {
            self.report.differences.push(DifferenceRow { call, index, what });
        }
    }
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

fn decide(
    grid: &Arc<Snapshot>,
    decision: &DecisionEntry,
    outcome: Option<&OutcomeEntry>,
) -> Result<(), String> {
    let Err(difference) = call::replay(grid, decision, outcome) else {
        return Ok(());
    };
    Err(match (&difference, outcome) {
        (
            Difference::Decision {
                replayed: Some(again),
            },
            _,
        ) => {
            format!("{difference}: {}", first_difference(decision, again))
        }
        (Difference::Outcome { replayed }, Some(outcome)) => {
            format!("{difference}: {}", first_difference(outcome, replayed))
        }
        (Difference::Decision { replayed: None }, _) => {
            format!("{difference}: the recorded inputs lead to none")
        }
        _ => difference.to_string(),
    })
}

// === impl ReplayReport ===

impl ReplayReport {
    /// Whether every call came out as it is recorded.
    pub const fn agrees(&self) -> bool {
        self.differ == 0
    }

    /// Whether history reproduced itself: nothing differs, and its first half does not fail to predict its second.
    pub fn reproduces(&self) -> bool {
        self.agrees() && !self.calibration.is_missed()
    }

    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        if self.calls == 0 && self.agrees() {
            return "No call is recorded yet: there is nothing to decide again.\n".to_owned();
        }
        let mut text = self.calibration.text();
        text.push('\n');
        let _ = write!(
            text,
            "{} decided again under {}: {} in every field",
            plural(self.calls, "call"),
            plural(self.grids, "grid"),
            if self.agrees() && self.calls > 0 {
                "all agree".to_owned()
            } else {
                format!("{} agree", count(self.agreed))
            }
        );
        let _ = match self.differ {
            0 => writeln!(text, "."),
            n => writeln!(text, "; {}.", plural(n, "difference")),
        };
        if self.decisions_only > 0 {
            let _ = writeln!(
                text,
                "{} had no outcome yet.",
                plural(self.decisions_only, "call")
            );
        }
        if self.lost > 0 {
            let _ = writeln!(
                text,
                "{} ended with the process that carried them.",
                plural(self.lost, "call")
            );
        }
        for row in &self.differences {
            let call = row
                .call
                .as_ref()
                .map_or_else(String::new, |call| format!(", call {call}"));
            let _ = writeln!(text, "entry {}{call}: {}", row.index, row.what);
        }
        let more = self.differ - self.differences.len() as u64;
        if more > 0 {
            let _ = writeln!(text, "… and {more} more.");
        }
        text
    }
}

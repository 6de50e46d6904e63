//! Many parties from one file: a JSON array, JSON Lines or CSV, all or none of them. Every problem is found in one run
//! and names its line, and its column where the file has columns.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;
use tieline_core::Tick;
use tieline_policy::{PartyFault, PartyProblem};

use super::csv;
use crate::state::PartyRow;

/// Parties of one import.
pub const IMPORT_PARTIES_MAX: usize = 10_000;

/// Bytes of one import: a record in JSON with twelve pieces of evidence of 200 bytes, names and owners takes some 4 KiB,
/// and 10,000 × 4 KiB are 40 MiB. As CSV a party is one line of a few hundred bytes.
pub const IMPORT_BYTES_MAX: usize = IMPORT_PARTIES_MAX * 4_096;

/// Problems that a refusal lists, beside their number: more than anybody mends in one go.
pub const PROBLEMS_SHOWN: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    Csv,
    /// An array of parties.
    Json,
    /// One party a line.
    JsonLines,
}

/// Parties as a file gave them, each by its line.
#[derive(Clone, Debug, Default)]
pub struct Import {
    pub(super) rows: Vec<(u64, PartyRow)>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImportProblem {
    /// The first is 1; 0 for a party that is not of this file.
    pub line: u64,
    pub column: String,
    pub says: String,
}

/// Why nothing was imported: the first problems by line, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ImportProblems {
    pub first: Vec<ImportProblem>,
    pub total: usize,
}

/// The line of each party.
#[derive(Debug)]
pub(super) struct Lines(BTreeMap<Arc<str>, Vec<u64>>);

impl Import {
    /// Read a file; `now` is when evidence was obtained that does not say.
    pub fn read(bytes: &[u8], format: ImportFormat, now: Tick) -> Result<Self, ImportProblems> {
        let mut problems = Vec::new();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let line = line_at(bytes, error.valid_up_to());
                let says = "the file is not UTF-8; save it as UTF-8".to_owned();
                return Err(ImportProblems::one(line, says));
            }
        };
        let rows = match format {
            ImportFormat::Csv => csv::read(text, now, &mut problems),
            ImportFormat::Json => json_array(text, &mut problems),
            ImportFormat::JsonLines => json_lines(text, &mut problems),
        };
        if problems.is_empty() && rows.is_empty() {
            return Err(ImportProblems::one(1, "the file holds no party".to_owned()));
        }
        if rows.len() > IMPORT_PARTIES_MAX {
            let says = format!(
                "the file holds {} parties, and {IMPORT_PARTIES_MAX} are imported in one go; split it",
                rows.len()
            );
            return Err(ImportProblems::one(1, says));
        }
        if problems.is_empty() {
            Ok(Self { rows })
        } else {
            Err(ImportProblems::new(problems))
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn into_rows(self) -> (Vec<PartyRow>, Lines) {
        let mut lines: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
        for (line, row) in &self.rows {
            lines.entry(row.record.id.clone()).or_default().push(*line);
        }
        let rows = self.rows.into_iter().map(|(_, row)| row).collect();
        (rows, Lines(lines))
    }
}

impl ImportFormat {
    /// By the end of a file's name.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// By the media type of a request.
    pub fn of_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        [Self::Csv, Self::Json, Self::JsonLines]
            .into_iter()
            .find(|format| format.media_type().eq_ignore_ascii_case(essence))
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
        }
    }
}

impl ImportProblems {
    fn new(mut problems: Vec<ImportProblem>) -> Self {
        problems.sort();
        problems.dedup();
        let total = problems.len();
        problems.truncate(PROBLEMS_SHOWN);
        Self {
            first: problems,
            total,
        }
    }

    fn one(line: u64, says: String) -> Self {
        let column = String::new();
        Self::new(vec![ImportProblem { line, column, says }])
    }
}

impl Lines {
    /// What is wrong with the records, by line. A second record with an id is at the second line that has it.
    pub(super) fn problems(&self, problems: Vec<PartyProblem>) -> ImportProblems {
        let placed = problems.into_iter().map(|problem| {
            let lines = self.0.get(&problem.party);
            let line = match problem.fault {
                PartyFault::DuplicateId => lines.and_then(|lines| lines.get(1)),
                _ => lines.and_then(|lines| lines.first()),
            };
            ImportProblem {
                line: line.copied().unwrap_or_default(),
                column: column(&problem.fault).to_owned(),
                says: problem.to_string(),
            }
        });
        ImportProblems::new(placed.collect())
    }
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}", self.line)?;
        } else {
            f.write_str("not of this file")?;
        }
        if !self.column.is_empty() {
            write!(f, ", {}", self.column)?;
        }
        write!(f, ": {}", self.says)
    }
}

impl fmt::Display for ImportProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.total == 1 { "problem" } else { "problems" };
        write!(f, "nothing was imported: {} {noun}", self.total)?;
        for problem in &self.first {
            write!(f, "\n{problem}")?;
        }
        if self.total > self.first.len() {
            write!(f, "\nand {} more", self.total - self.first.len())?;
        }
        Ok(())
    }
}

/// The column of a file in which a fault is mended.
const fn column(fault: &PartyFault) -> &'static str {
    match fault {
        PartyFault::Cycle
        | PartyFault::KindBelowKind { .. }
        | PartyFault::TooDeep
        | PartyFault::UnknownParent(_) => "parent",
        PartyFault::DuplicateId | PartyFault::Name(_) | PartyFault::TooManyParties(_) => "id",
        PartyFault::ExpiresBeforeObtained(_) => "expires",
        PartyFault::ObtainedInFuture(_) => "obtained",
        PartyFault::OwnersOfOther | PartyFault::SharesOverWhole(_) | PartyFault::TooManyOwners(_) => "owners",
        PartyFault::TooMuchEvidence(_) => "evidence",
        PartyFault::TooWeak { .. } => "evidence_kind",
    }
}

fn json_lines(text: &str, problems: &mut Vec<ImportProblem>) -> Vec<(u64, PartyRow)> {
    let mut rows = Vec::new();
    for (row, line) in text.lines().zip(1_u64..) {
        if !row.trim().is_empty() {
            rows.extend(json_row(row, line, problems));
        }
    }
    rows
}

fn json_array(text: &str, problems: &mut Vec<ImportProblem>) -> Vec<(u64, PartyRow)> {
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            let line = u64::try_from(error.line()).unwrap_or_default();
            problems.push(problem(line, &error));
            return Vec::new();
        }
    };
    let (mut rows, mut line, mut counted) = (Vec::new(), 1_u64, 0_usize);
    for raw in items {
        // Where the row stands in the text that it borrows from.
        let at = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
        line += line_at(text.as_bytes().get(counted..).unwrap_or_default(), at - counted) - 1;
        counted = at;
        rows.extend(json_row(raw.get(), line, problems));
    }
    rows
}

fn json_row(text: &str, line: u64, problems: &mut Vec<ImportProblem>) -> Option<(u64, PartyRow)> {
    match serde_json::from_str(text) {
        Ok(row) => Some((line, row)),
        Err(error) => {
            let below = u64::try_from(error.line()).unwrap_or(1).saturating_sub(1);
            problems.push(problem(line + below, &error));
            None
        }
    }
}

fn problem(line: u64, error: &serde_json::Error) -> ImportProblem {
    let text = error.to_string();
    // The place that it says is one within the row.
    let says = text.split(" at line ").next().unwrap_or_default();
    ImportProblem {
        line,
        column: format!("character {}", error.column()),
        says: says.to_owned(),
    }
}

/// The line on which the byte at `at` stands; the first is 1.
fn line_at(bytes: &[u8], at: usize) -> u64 {
    let before = bytes.get(..at).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n').count();
    u64::try_from(lines).unwrap_or(u64::MAX)
}

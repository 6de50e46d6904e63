//! What is wrong with a pack, with its place: every problem of one run, sorted, each with what to do about it.
//!
//! A pack is refused whole. At most [`PROBLEMS_MAX`] problems are kept; the last says how many more there are.

use std::fmt;
use std::sync::Arc;

/// Problems that one run reports. Nobody reads more at once, and a hostile file of a megabyte could else make as many
/// as it has bytes; 200 × about 300 bytes is 60 KB.
pub const PROBLEMS_MAX: usize = 200;

/// One problem of a pack, a set of packs, or a file of cases. The order is that of places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackProblem {
    /// The path within the pack; `<pack>/<path>` where several packs are looked at together.
    pub file: Arc<str>,
    /// Counts from 1.
    pub line: u32,
    /// In characters, from 1.
    pub col: u32,
    pub says: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for PackProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.col, self.says)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A text and the name under which problems cite it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sheet<'t> {
    pub(crate) path: &'t Arc<str>,
    pub(crate) text: &'t str,
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<PackProblem>,
    lost: usize,
}

// === impl Sheet ===

impl Sheet<'_> {
    /// A problem at a byte offset; one past the end is the end.
    pub(crate) fn problem(&self, offset: usize, says: impl Into<String>, help: Option<&str>) -> PackProblem {
        let (line, col) = place(self.text, offset);
        PackProblem {
            file: self.path.clone(),
            line,
            col,
            says: says.into(),
            help: help.map(str::to_owned),
        }
    }
}

/// Line and column of a byte offset, both from 1.
pub(crate) fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count();
    let col = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (count(line), count(col))
}

/// From a count of what comes before to a number from 1.
fn count(before: usize) -> u32 {
    u32::try_from(before).unwrap_or(u32::MAX - 1).saturating_add(1)
}

// === impl Problems ===

impl Problems {
    pub(crate) fn push(&mut self, problem: PackProblem) {
        if self.kept.len() < PROBLEMS_MAX {
            self.kept.push(problem);
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// In the order of places, without doubles.
    pub(crate) fn into_sorted(mut self) -> Vec<PackProblem> {
        self.kept.sort();
        self.kept.dedup();
        if let (true, Some(last)) = (self.lost > 0, self.kept.last().cloned()) {
            let says = format!("{} more problems are not shown", self.lost);
            self.kept.push(PackProblem {
                says,
                help: None,
                ..last
            });
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a\nbc", 3), (2, 2));
        assert_eq!(place("ä\nöx", 5), (2, 2));
        assert_eq!(place("ab", 99), (1, 3));
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_cut() {
        let path: Arc<str> = Arc::from("rules.cedar");
        let sheet = Sheet {
            path: &path,
            text: &"\n".repeat(PROBLEMS_MAX + 7),
        };
        let mut problems = Problems::default();
        for offset in 0..PROBLEMS_MAX + 7 {
            problems.push(sheet.problem(offset, "wrong", None));
        }
        let sorted = problems.into_sorted();
        assert_eq!(sorted.len(), PROBLEMS_MAX + 1);
        assert_eq!(
            sorted.last().map(|p| p.says.as_str()),
            Some("7 more problems are not shown")
        );
    }
}

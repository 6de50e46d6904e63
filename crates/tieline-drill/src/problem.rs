//! What is wrong with a file of somebody else, with its place and the line: a trace, a mapping, a law. Everything of
//! one run up to a limit, then a count.

use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Problems that one run shows; nobody reads more at once, and a file can have one on each of its lines.
pub const PROBLEMS_MAX: usize = 20;

/// Characters of a line that are shown.
const EXCERPT_CHARS_MAX: usize = 160;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: Arc<str>,
    /// From 1; 0 if it is the file's as a whole.
    pub line: u64,
    /// In characters, from 1; 0 if it is the line's as a whole.
    pub column: u64,
    pub says: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line, or the part of it around the column; empty if there is none to show.
    pub excerpt: String,
}

/// The mistakes of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    pub shown: Vec<Problem>,
    /// Beyond [`PROBLEMS_MAX`].
    pub more: u64,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn of_file(file: &Arc<str>, says: impl Into<String>) -> Self {
        Self {
            file: file.clone(),
            line: 0,
            column: 0,
            says: says.into(),
            hint: None,
            excerpt: String::new(),
        }
    }

    /// At a byte of a line.
    pub(crate) fn at(
        file: &Arc<str>,
        line: u64,
        text: &[u8],
        offset: usize,
        says: impl Into<String>,
    ) -> Self {
        let before = String::from_utf8_lossy(text.get(..offset).unwrap_or(text));
        let column = before.chars().count();
        Self {
            line,
            column: column as u64 + 1,
            excerpt: excerpt(text, column),
            ..Self::of_file(file, says)
        }
    }

    /// At a byte of a whole text.
    pub(crate) fn in_text(file: &Arc<str>, text: &str, offset: usize, says: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count();
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let whole = text.get(start..).and_then(|rest| rest.lines().next());
        Self::at(
            file,
            line as u64 + 1,
            whole.unwrap_or_default().as_bytes(),
            before.len() - start,
            says,
        )
    }

    /// At a line as a whole.
    pub(crate) fn of_line(file: &Arc<str>, line: u64, text: &[u8], says: impl Into<String>) -> Self {
        Self {
            column: 0,
            ..Self::at(file, line, text, 0, says)
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The line as far as it is shown: around a column, cut where it is long.
fn excerpt(text: &[u8], column: usize) -> String {
    // A few bytes a character; a line of a megabyte is not decoded whole for each of its mistakes.
    let bytes_max = (column + EXCERPT_CHARS_MAX) * 4;
    let text = String::from_utf8_lossy(text.get(..bytes_max).unwrap_or(text));
    let text = text.trim_end();
    let skipped = column.saturating_sub(EXCERPT_CHARS_MAX / 2);
    let shown = text.chars().skip(skipped).take(EXCERPT_CHARS_MAX);
    // What would steer a terminal is not text.
    let mut shown: String = shown
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if skipped > 0 {
        shown.insert(0, '…');
    }
    if text.chars().count() > skipped + EXCERPT_CHARS_MAX {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.says)?;
        if !self.excerpt.is_empty() {
            let number = self.line.to_string();
            write!(f, "\n  {number} | {}", self.excerpt)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

// === impl Problems ===

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.shown.len() < PROBLEMS_MAX {
            self.shown.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.shown.len() as u64 + self.more
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self {
            shown: vec![problem],
            more: 0,
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for problem in &self.shown {
            let _ = writeln!(text, "{problem}");
        }
        if self.more > 0 {
            let _ = writeln!(text, "… and {} more.", self.more);
        }
        f.write_str(text.trim_end())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Arc<str> {
        Arc::from("a.csv")
    }

    #[test]
    fn a_problem_shows_its_place_and_its_line() {
        let problem =
            Problem::at(&name(), 7, "é,x,3\r\n".as_bytes(), 3, "`x` is no number").hint("write a number");
        assert_eq!(
            problem.to_string(),
            "a.csv:7:3: `x` is no number\n  7 | é,x,3\n  hint: write a number"
        );
        let problem = Problem::in_text(&name(), "a = 1\nbc = 2\n", 8, "wrong");
        assert_eq!(problem.to_string(), "a.csv:2:3: wrong\n  2 | bc = 2");
        assert_eq!(
            Problem::of_file(&name(), "is empty").to_string(),
            "a.csv: is empty"
        );
    }

    #[test]
    fn long_lines_and_long_lists_are_cut() {
        let line = "ab".repeat(1_000_000);
        let problem = Problem::at(&name(), 1, line.as_bytes(), 1_000, "wrong");
        assert_eq!(problem.excerpt.chars().count(), EXCERPT_CHARS_MAX + 2);
        let mut problems = Problems::default();
        for n in 0..50 {
            problems.push(Problem::of_line(&name(), n, b"x", "wrong"));
        }
        assert_eq!((problems.count(), problems.shown.len()), (50, PROBLEMS_MAX));
        assert!(problems.to_string().ends_with("… and 30 more."));
    }

    #[test]
    fn places_beyond_the_text_are_its_end() {
        for offset in [0, 1, 5, 6, 999] {
            let _ = Problem::in_text(&name(), "é\nü", offset, "x").to_string();
            let _ = Problem::at(&name(), 1, &[0xff, 0xc3], offset, "x").to_string();
        }
    }
}

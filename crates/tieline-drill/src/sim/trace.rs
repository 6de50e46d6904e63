//! What happened in a run, as lines: kept only for a run that is to be read.
//!
//! Bounds: [`LINES_MAX`] lines of one call.

use tieline_core::{Span, Tick};

use super::world::START;

/// The last lines of a call that are shown: an attempt takes about twelve.
const LINES_MAX: usize = 40;

/// A line is cut after so many characters; a view of eight rows is longer.
const LINE_CHARS_MAX: usize = 320;

#[derive(Debug, Default)]
pub(super) struct Trace {
    is_kept: bool,
    /// Of which call, if of one.
    lines: Vec<(Option<u32>, String)>,
}

impl Trace {
    pub(super) fn kept() -> Self {
        Self {
            is_kept: true,
            lines: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, call: Option<u32>, at: Tick, says: impl FnOnce() -> String) {
        if self.is_kept {
            let says: String = says().chars().take(LINE_CHARS_MAX).collect();
            self.lines.push((call, format!("{} {says}", since_start(at))));
        }
    }

    /// The last lines of a call, with what happened around it; of no call, what happened last.
    pub(super) fn of(&self, call: Option<u32>) -> Vec<String> {
        let concerns = |of: &Option<u32>| call.is_none() || of.is_none() || *of == call;
        let begun = self
            .lines
            .iter()
            .position(|(of, _)| call.is_some() && *of == call)
            .unwrap_or_default();
        let lines = self.lines.iter().skip(begun).filter(|(of, _)| concerns(of));
        let mut last: Vec<String> = lines
            .rev()
            .take(LINES_MAX)
            .map(|(_, line)| line.clone())
            .collect();
        last.reverse();
        last
    }
}

/// An instant of a run, as seconds since its start.
pub(super) fn since_start(at: Tick) -> String {
    let Span(us) = at.since(START);
    format!("+{}.{:06}", us / 1_000_000, us % 1_000_000)
}

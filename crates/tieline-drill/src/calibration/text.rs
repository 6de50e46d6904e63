//! Calibration in words: the verdict with its reasons, and its figures.

use std::fmt::Write as _;

use super::{
    CALLS_MIN, COST_BAR, Calibration, CostRow, DECISIONS_BAR, QuantileRow, TTFT_BAR, TtftRow, Verdict,
};
use crate::table::{Side, count, plural, signed_usd, span, table, usd, wrapped};

/// Rows of channels × models on a terminal.
const ROWS_MAX: usize = 10;

/// Reasons there.
const WHY_MAX: usize = 5;

impl Calibration {
    /// Judge the whole by its parts: what is missed anywhere is missed; what cannot be judged of all calls cannot be.
    pub(super) fn judge(&mut self) {
        let mut why = Vec::new();
        let decisions = &self.decisions;
        match decisions.verdict {
            Verdict::Passed => {}
            Verdict::Missed => {
                let share = parts_down(decisions.same, decisions.compared);
                let says = format!(
                    "{share} of decisions agree, and the bar is {}",
                    parts(DECISIONS_BAR)
                );
                why.push((Verdict::Missed, says));
            }
            Verdict::CannotBeJudged => {
                let compared = plural(decisions.compared, "decision");
                let says = format!("{compared} can be compared, and {CALLS_MIN} are needed");
                why.push((Verdict::CannotBeJudged, says));
            }
        }
        let mut verdict = decisions.verdict;
        for (row, what) in [(&self.cost, "cost"), (&self.cost_learnt, LEARNT)] {
            let of_row = row.as_ref().map_or(Verdict::CannotBeJudged, |row| row.verdict);
            verdict = verdict.max(of_row);
            match row {
                None => why.push((of_row, format!("no {what} is known in record and play"))),
                Some(row) if of_row != Verdict::Passed => why.push((of_row, row.why(what))),
                Some(_) => {}
            }
        }
        if self.ttft.is_empty() {
            verdict = verdict.max(Verdict::CannotBeJudged);
            let says = "no time to first content is known of the same channel and model in both halves";
            why.push((Verdict::CannotBeJudged, says.to_owned()));
        }
        for row in &self.ttft {
            for (name, quantile) in row.quantiles() {
                let counts = row.channel.is_none() || quantile.verdict == Verdict::Missed;
                if counts && quantile.verdict != Verdict::Passed {
                    verdict = verdict.max(quantile.verdict);
                    why.push((quantile.verdict, row.why(name, quantile)));
                }
            }
        }
        // Misses before what is merely unknown.
        why.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        self.why = why.into_iter().map(|(_, why)| why).collect();
        self.verdict = verdict;
    }

    /// The verdict and its first reasons, as one sentence for a report.
    pub fn sentence(&self) -> String {
        let halves = format!(
            "the first half of the newest {} predicts the second",
            plural(self.learnt_from + self.calls, "recorded call")
        );
        match self.verdict {
            Verdict::Passed => format!("Calibrated: {halves}."),
            Verdict::CannotBeJudged => format!(
                "Not calibrated: whether {halves} cannot be judged: {}.",
                self.reasons(2)
            ),
            Verdict::Missed => format!("UNCALIBRATED: it is not so that {halves}: {}.", self.reasons(3)),
        }
    }

    /// The first reasons, and how many more there are.
    pub fn reasons(&self, max: usize) -> String {
        let shown: Vec<&str> = self.why.iter().take(max).map(String::as_str).collect();
        let mut text = shown.join("; ");
        if self.why.len() > max {
            let _ = write!(text, "; and {} more", self.why.len() - max);
        }
        text
    }

    /// As lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("Calibration: {}\n", self.verdict.name());
        let _ = writeln!(
            text,
            "  The newest {}: the first {} are learnt from, the other {} predicted.",
            plural(self.learnt_from + self.calls, "call"),
            count(self.learnt_from),
            count(self.calls)
        );
        for why in self.why.iter().take(WHY_MAX) {
            text.push_str(&wrapped(&format!("  - {why}"), 2));
        }
        let more = self.why.len().saturating_sub(WHY_MAX);
        if more > 0 {
            let _ = writeln!(text, "  … and {more} more.");
        }
        if self.decisions.compared == 0 {
            return text;
        }
        text.push('\n');
        let head = [
            ("", Side::Left),
            ("record", Side::Right),
            ("predicted", Side::Right),
            ("off", Side::Right),
            ("bar", Side::Right),
            ("", Side::Left),
        ];
        text.push_str(&table(&head, &self.rows()));
        text.push_str(&self.footnotes());
        text
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let decisions = &self.decisions;
        let mut rows = vec![vec![
            "decisions".to_owned(),
            count(decisions.compared),
            count(decisions.same),
            format!("agree {}", parts_down(decisions.same, decisions.compared)),
            format!(">= {}", parts(DECISIONS_BAR)),
            decisions.verdict.name().to_owned(),
        ]];
        for (row, what) in [(&self.cost, "cost"), (&self.cost_learnt, LEARNT)] {
            rows.extend(row.as_ref().map(|row| row.cells(what)));
        }
        for row in self.ttft.iter().take(ROWS_MAX + 1) {
            rows.extend(row.cells());
        }
        rows
    }

    fn footnotes(&self) -> String {
        let decisions = &self.decisions;
        let mut text = String::new();
        let more = self.ttft.len().saturating_sub(ROWS_MAX + 1);
        if more > 0 {
            let _ = writeln!(text, "… and {more} more, in --json.");
        }
        for row in &decisions.differences {
            let line = format!("call {}: {}; played: {}", row.call, row.recorded, row.played);
            text.push_str(&wrapped(&line, 2));
        }
        if decisions.after_faults + decisions.not_told > 0 {
            let line = format!(
                "Not compared: {} within a minute of a fault of a channel that they may use, for how long a breaker waits is \
                 drawn; {} that ended by what no drill is told of (the caller left, a budget, the process).",
                plural(decisions.after_faults, "call"),
                count(decisions.not_told)
            );
            text.push_str(&wrapped(&line, 2));
        }
        text
    }
}

const LEARNT: &str = "cost with answers as long as in the first half";

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::CannotBeJudged => "cannot be judged",
            Self::Missed => "missed",
            Self::Passed => "passed",
        }
    }
}

impl CostRow {
    fn why(&self, what: &str) -> String {
        let by = signed_usd(i128::from(self.predicted_nano.0) - i128::from(self.recorded_nano.0));
        let mut why = format!(
            "{what} is off by {} (${by}), and the bar is {}",
            parts(self.off),
            parts(COST_BAR)
        );
        if let (Verdict::CannotBeJudged, Some(chance)) = (self.verdict, self.chance_nano) {
            let _ = write!(why, "; of so few calls chance makes up to ${}", usd(chance.0));
        }
        why
    }

    fn cells(&self, what: &str) -> Vec<String> {
        vec![
            what.to_owned(),
            format!("${}", usd(self.recorded_nano.0)),
            format!("${}", usd(self.predicted_nano.0)),
            parts(self.off),
            format!("<= {}", parts(COST_BAR)),
            self.verdict.name().to_owned(),
        ]
    }
}

impl TtftRow {
    fn of(&self) -> String {
        match (&self.channel, &self.model) {
            (Some(channel), Some(model)) => format!(" of {model} on {channel}"),
            _ => String::new(),
        }
    }

    fn why(&self, name: &str, quantile: QuantileRow) -> String {
        let mut why = format!(
            "{name} of the time to first content{} is {} instead of {}, off by {}, and the bar is {}",
            self.of(),
            span(quantile.predicted_us),
            span(quantile.recorded_us),
            parts(quantile.off),
            parts(TTFT_BAR)
        );
        if quantile.verdict == Verdict::CannotBeJudged {
            let _ = write!(why, "; {} differ as much by chance", plural(self.calls, "call"));
        }
        why
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let cells = self.quantiles().map(|(name, quantile)| {
            vec![
                format!("first content{}, {name}", self.of()),
                span(quantile.recorded_us),
                span(quantile.predicted_us),
                parts(quantile.off),
                format!("<= {}", parts(TTFT_BAR)),
                quantile.verdict.name().to_owned(),
            ]
        });
        cells.into()
    }
}

/// Parts of 10,000 as per cent with two decimals.
fn parts(of_10_000: u64) -> String {
    format!("{}.{:02} %", count(of_10_000 / 100), of_10_000 % 100)
}

/// A share as per cent, rounded down.
fn parts_down(part: u64, of: u64) -> String {
    parts((part * 10_000).checked_div(of).unwrap_or(0))
}

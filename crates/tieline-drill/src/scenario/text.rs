//! The report on scenarios on a terminal of a hundred columns.

use std::fmt::Write as _;

use super::course::Course;
use super::report::{EventReport, ScenarioReport, ScenariosReport};
use crate::consequence::Return;
use crate::contingency::rows;
use crate::rehearsal::Base;
use crate::table::{Side, count, plural, span, table, wrapped};
use crate::tally::Tally;

/// Marks of a strip; with its name it fits a line.
const MARKS_MAX: usize = 72;

/// From none of a bin's calls to all of them.
const MARKS: [char; 9] = ['▁', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bin that no call arrives in.
const NO_CALL: char = '·';

impl ScenariosReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let calls = self.basis.counted(self.base.calls);
        let scenarios = plural(self.scenarios.len() as u64, "scenario");
        let lasting = span(self.until_us.saturating_sub(self.from_us));
        let mut text = wrapped(&format!("{scenarios} over {calls} in {lasting}."), 0);
        let _ = writeln!(
            text,
            "Where nothing happens, {} served and {} refused.\n",
            count(self.base.carried),
            count(self.base.refused)
        );
        let each = self.scenarios.iter();
        let each: Vec<_> = each
            .map(|one| rows::row(one.id.clone(), &one.consequence))
            .collect();
        text.push_str(&rows::consequences("scenario", &each));
        text.push('\n');
        text.push_str(rows::LEGEND);
        for scenario in &self.scenarios {
            text.push('\n');
            text.push_str(&scenario.text(&self.base));
        }
        // Of several, the sources would hide what they say.
        if let [only] = self.scenarios.as_slice() {
            text.push_str(&only.sources_text());
        } else {
            text.push_str("\nSources: --json, or each scenario alone.\n");
        }
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note, 0));
        }
        text
    }
}

impl ScenarioReport {
    fn text(&self, base: &Base) -> String {
        let mut text = wrapped(&format!("{}: {}", self.id, self.title), 2);
        if !self.set.is_empty() {
            let set: Vec<String> = self
                .set
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            text.push_str(&wrapped(&format!("  with {}", set.join(", ")), 2));
        }
        let events = self.events.iter().map(|event| event.row(self.start_us));
        let head = [
            ("  from", Side::Right),
            ("until", Side::Right),
            ("what", Side::Left),
        ];
        text.push_str(&table(&head, &events.collect::<Vec<_>>()));
        if self.calls_added + self.calls_left_out > 0 {
            let _ = writeln!(
                text,
                "  calls added {}, left out {}",
                count(self.calls_added),
                count(self.calls_left_out)
            );
        }
        text.push_str(&self.course.text());
        if self.consequence.tally.unserved() > 0 {
            text.push_str(&rows::losers("unserved", &self.consequence));
        } else if self.consequence.is_nothing() {
            text.push_str("  no call is answered otherwise\n");
        } else {
            text.push_str("  nobody loses service\n");
        }
        for returned in &self.consequence.returns {
            let was_used = base.flows.iter().any(|flow| flow.channel == returned.channel);
            text.push_str(&came_back(returned, was_used));
        }
        for note in &self.notes {
            text.push_str(&wrapped(&format!("  {note}"), 2));
        }
        for assumed in &self.assumed {
            text.push_str(&wrapped(&format!("  Assumed: {assumed}"), 2));
        }
        text
    }

    fn sources_text(&self) -> String {
        let sources = self.sources.iter();
        let lines = sources.map(|source| {
            let says = format!(
                "  Source: {} ({}, read on {})",
                source.says, source.url, source.retrieved
            );
            wrapped(&says, 2)
        });
        lines.collect()
    }
}

impl EventReport {
    fn row(&self, start_us: u64) -> Vec<String> {
        let at = |us: u64| match us.cmp(&start_us) {
            std::cmp::Ordering::Less => format!("-{}", short(start_us - us)),
            _ => format!("+{}", short(us - start_us)),
        };
        vec![
            format!("  {}", at(self.from_us)),
            self.until_us.map_or_else(|| "end".to_owned(), at),
            self.says.clone(),
        ]
    }
}

impl Course {
    /// Two strips: what share of each bin's calls is unserved, and what share is served elsewhere; those that have any.
    fn text(&self) -> String {
        let per_mark = self.bins.len().div_ceil(MARKS_MAX).max(1);
        let marks: Vec<Tally> = self.bins.chunks(per_mark).map(sum).collect();
        let width = short(self.width_us.saturating_mul(per_mark as u64));
        let mut text = String::new();
        let elsewhere: fn(&Tally) -> u64 = |tally| tally.moved + tally.degraded;
        for (name, of) in [
            ("unserved", Tally::unserved as fn(&Tally) -> u64),
            ("elsewhere", elsewhere),
        ] {
            if marks.iter().any(|tally| of(tally) > 0) {
                let strip: String = marks
                    .iter()
                    .map(|tally| mark(of(tally), tally.served_before()))
                    .collect();
                let _ = writeln!(text, "  {name:9}  {strip}");
            }
        }
        if !text.is_empty() {
            let _ = writeln!(
                text,
                "             each mark {width}; ▁ none of its calls, █ all, {NO_CALL} no call"
            );
        }
        text
    }
}

fn sum(bins: &[Tally]) -> Tally {
    let mut sum = Tally::default();
    for bin in bins {
        sum.add(bin);
    }
    sum
}

/// `part` of `whole` as a mark: any is more than none, and only all is full.
fn mark(part: u64, whole: u64) -> char {
    if whole == 0 {
        return NO_CALL;
    }
    let level = if part == 0 {
        0
    } else if part >= whole {
        8
    } else {
        (part * 8 / whole).clamp(2, 7)
    };
    let place = usize::try_from(level).unwrap_or_default();
    MARKS.get(place).copied().unwrap_or(NO_CALL)
}

/// `was_used` says whether it carries calls where nothing happens.
fn came_back(returned: &Return, was_used: bool) -> String {
    let used = match returned.longest_us {
        Some(longest) => format!("used again after {} at the latest", span(longest)),
        None if was_used => "not used again".to_owned(),
        None => "not used, and neither where nothing happens".to_owned(),
    };
    let unused = match returned.unused {
        0 => String::new(),
        _ if returned.longest_us.is_none() => String::new(),
        n => format!(", {} of {} times not at all", count(n), count(returned.times)),
    };
    wrapped(&format!("  {} came back: {used}{unused}", returned.channel), 4)
}

/// A length of time as a scenario writes it: `14h32m`.
fn short(us: u64) -> String {
    let seconds = us.div_ceil(1_000_000);
    let parts = [
        (seconds / 86_400, 'd'),
        (seconds / 3_600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let mut text = String::new();
    for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
        let _ = write!(text, "{number}{unit}");
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_scenarios_write_them() {
        let check = |s: u64, expected: &str| assert_eq!(short(s * 1_000_000), expected);
        check(0, "0s");
        check(52_320, "14h32m");
        check(90_061, "1d1h1m1s");
        check(3_600, "1h");
    }

    #[test]
    fn a_mark_says_none_some_or_all() {
        let marks: String = [(0, 0), (0, 9), (1, 1_000), (500, 1_000), (999, 1_000), (7, 7)]
            .into_iter()
            .map(|(part, whole)| mark(part, whole))
            .collect();
        assert_eq!(marks, "·▁▂▄▇█");
    }
}

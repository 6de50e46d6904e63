//! The report of a year on a terminal of a hundred columns.

use std::fmt::Write as _;

use super::report::{CauseKind, CauseRow, OutRow, WorstRow, YearReport};
use super::stats::Spread;
use crate::contingency::rows::heading;
use crate::structure::DowntimeBasis;
use crate::table::{Side, count, few, plural, table, wrapped};

/// Rows of each table; --json has all.
const ROWS_MAX: usize = 12;
/// What is named of an episode.
const OUT_MAX: usize = 3;

impl YearReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let years = plural(self.runs.into(), "year");
        let what = format!("{years} drawn from the priors, seed {}", self.seed);
        let mut text = heading(&what, &self.base, self.basis, self.loss);
        text.push_str(&self.summary());
        text.push_str(&self.by_class());
        text.push_str(&self.by_cause());
        text.push_str(&self.by_party());
        text.push_str(&self.worst_episodes());
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note, 0));
        }
        text
    }

    fn summary(&self) -> String {
        let head = [
            ("in a year", Side::Left),
            ("mean", Side::Right),
            ("1 of 2", Side::Right),
            ("9 of 10", Side::Right),
            ("19 of 20", Side::Right),
            ("99 of 100", Side::Right),
            ("worst 5 %", Side::Right),
            ("worst", Side::Right),
        ];
        let row = |name: &str, spread: &Spread| {
            let mut row = vec![name.to_owned(), spread.mean.short()];
            row.extend(spread.quantiles.iter().map(|quantile| quantile.value.short()));
            row.push(spread.worst.mean.short());
            row.push(spread.max.short());
            row
        };
        let rows = [
            row("loss-of-service hours", &self.hours),
            row("calls unserved", &self.unserved),
        ];
        let mut text = format!("\n{}\n", table(&head, &rows));
        let _ = writeln!(
            text,
            "Of {} calls a year, {} go unserved, in {} episodes.",
            self.calls.short(),
            self.unserved_share.percent(),
            self.episodes.short()
        );
        let _ = writeln!(
            text,
            "Without any loss: {} of {} ({} to {}).",
            plural(self.no_loss.years.into(), "year"),
            count(self.runs.into()),
            self.no_loss.low.percent(),
            self.no_loss.high.percent()
        );
        text
    }

    fn by_class(&self) -> String {
        let head = [
            ("class", Side::Left),
            ("calls a year", Side::Right),
            ("unserved", Side::Right),
            ("hours", Side::Right),
        ];
        let named = self.classes.iter().map(|class| {
            let name = class.class.map_or("", crate::known::PartyClass::name);
            (name, class)
        });
        let critical = self.critical.iter().map(|class| ("(critical)", class));
        let rows = named.chain(critical).map(|(name, class)| {
            vec![
                name.to_owned(),
                class.calls.short(),
                class.unserved.short(),
                class.hours.short(),
            ]
        });
        format!("\n{}", table(&head, &rows.collect::<Vec<_>>()))
    }

    fn by_cause(&self) -> String {
        let head = [
            ("what goes out", Side::Left),
            ("hours out", Side::Right),
            ("unserved meanwhile", Side::Right),
            ("because of it", Side::Right),
            ("prior", Side::Left),
        ];
        let shown: Vec<&CauseRow> = self.causes.iter().take(ROWS_MAX).collect();
        let rows = shown.iter().map(|cause| {
            let name = match cause.kind {
                CauseKind::CommonCause => format!("{} at once", cause.name),
                CauseKind::Channel | CauseKind::Component => cause.name.clone(),
            };
            let basis = match cause.prior.basis {
                DowntimeBasis::Assumed => "assumed",
                DowntimeBasis::Measured => "measured",
                DowntimeBasis::Stated => "stated",
            };
            vec![
                name,
                cause.hours_out.short(),
                cause.while_out.short(),
                cause.because.short(),
                basis.to_owned(),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        format!(
            "\n{}{}",
            table(&head, &rows),
            more(self.causes.len(), shown.len())
        )
    }

    fn by_party(&self) -> String {
        if self.parties.is_empty() {
            return String::new();
        }
        let shown = self.parties.iter().take(ROWS_MAX);
        let named: Vec<String> = shown
            .map(|row| format!("{} ({})", row.party, row.unserved.short()))
            .collect();
        let mut text = format!(
            "\n{}",
            wrapped(
                &format!("Calls unserved a year, by party: {}", few(&named, ROWS_MAX)),
                2
            )
        );
        if self.parties_losing > named.len() as u64 {
            let _ = writeln!(
                text,
                "  and of {} more",
                count(self.parties_losing - named.len() as u64)
            );
        }
        if !self.critical_parties.is_empty() {
            let named = few(&self.critical_parties, ROWS_MAX);
            text.push_str(&wrapped(&format!("With critical calls among them: {named}"), 2));
        }
        text
    }

    fn worst_episodes(&self) -> String {
        if self.worst.is_empty() {
            return String::new();
        }
        let head = [
            ("year", Side::Right),
            ("lasts h", Side::Right),
            ("decided h", Side::Right),
            ("calls", Side::Right),
            ("unserved", Side::Right),
            ("by flows", Side::Right),
            ("lost to", Side::Left),
        ];
        let rows = self.worst.iter().map(worst);
        format!(
            "\nThe worst episodes of the worst years, decided call by call\n{}",
            table(&head, &rows.collect::<Vec<_>>())
        )
    }
}

fn worst(row: &WorstRow) -> Vec<String> {
    let mut cells = vec![row.run.to_string(), row.hours.short()];
    match &row.decided {
        Some(decided) => cells.extend([
            decided.hours.short(),
            count(decided.tally.calls()),
            count(decided.tally.unserved()),
            count(decided.flow_unserved),
        ]),
        None => cells.extend(
            ["-", "-", "-"]
                .map(str::to_owned)
                .into_iter()
                .chain([row.unserved.short()]),
        ),
    }
    // What something was lost to, or all of it where any part alone would have been enough.
    let mut out: Vec<String> = row
        .out
        .iter()
        .filter(|out| out.because.value() > 0.0)
        .map(named)
        .collect();
    if out.is_empty() {
        out = row.out.iter().map(named).collect();
    }
    cells.push(few(&out, OUT_MAX));
    cells
}

fn named(out: &OutRow) -> String {
    out.name.clone()
}

fn more(all: usize, shown: usize) -> String {
    if all > shown {
        format!(
            "… and {} more; --json has all of them.\n",
            count((all - shown) as u64)
        )
    } else {
        String::new()
    }
}

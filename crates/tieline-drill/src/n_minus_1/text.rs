//! The N-1 report on a terminal.

use std::fmt::Write as _;

use super::{Base, Contingency, CostChange, ElementKind, NMinus1Report, Tally};
use crate::table::{Side, count, few, plural, table, usd};
use crate::traffic::Basis;

/// Contingencies whose parties are named, and parties named of each: they fit a screen together.
const WORST_MAX: usize = 5;
const PARTIES_MAX: usize = 5;
/// Elements named whose loss changes nothing.
const HARMLESS_MAX: usize = 12;

impl NMinus1Report {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = heading(&self.base, self.basis);
        text.push('\n');
        let head = [
            ("gone", Side::Left),
            ("", Side::Left),
            ("kept", Side::Right),
            ("moved", Side::Right),
            ("degraded", Side::Right),
            ("held", Side::Right),
            ("lost", Side::Right),
            ("cost change", Side::Right),
        ];
        let touching = self.contingencies.iter().filter(|c| c.tally.is_touched());
        let rows: Vec<_> = touching.map(row).collect();
        if !rows.is_empty() {
            text.push_str(&table(&head, &rows));
            text.push('\n');
        }
        let harmless = self.contingencies.iter().filter(|c| !c.tally.is_touched());
        let harmless: Vec<String> = harmless.map(|c| c.gone.name.clone()).collect();
        if !harmless.is_empty() {
            let names = few(&harmless, HARMLESS_MAX);
            let _ = writeln!(text, "Changes nothing, whichever of them is gone: {names}.\n");
        }
        text.push_str(
            "kept: same channel; moved: another channel of the same model; degraded: another model; held: waiting for \
             an\nofficer; lost: unserved. Cost change in USD, over the calls that are served either way.\n",
        );
        let losing = self
            .contingencies
            .iter()
            .filter(|c| c.tally.lost + c.tally.held > 0);
        let losing: Vec<_> = losing.take(WORST_MAX).map(who_loses).collect();
        if !losing.is_empty() {
            text.push_str("\nWho loses service\n");
            text.push_str(&losing.concat());
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

fn heading(base: &Base, basis: Basis) -> String {
    let calls = match basis {
        Basis::Drawn => plural(base.calls, "drawn call"),
        Basis::Recorded => plural(base.calls, "recorded call"),
        Basis::Structure => plural(base.calls, "assumed call"),
        Basis::Trace => format!("{} of a trace", plural(base.calls, "call")),
    };
    let mut text = format!(
        "Each channel and each component gone in turn, over {calls}.\nWith nothing gone, {} served and {} refused.\n",
        count(base.carried),
        count(base.refused)
    );
    if base.answered_in_record > 0 {
        let _ = writeln!(
            text,
            "{} of the {} that a channel answered in the record are answered by the same here.",
            count(base.as_recorded),
            count(base.answered_in_record)
        );
    }
    text
}

fn row(contingency: &Contingency) -> Vec<String> {
    let Tally {
        kept,
        moved,
        degraded,
        held,
        lost,
        ..
    } = contingency.tally;
    let number = |n: u64| if n == 0 { "-".to_owned() } else { count(n) };
    let mut row = vec![kind(contingency).to_owned(), contingency.gone.name.clone()];
    row.extend([kept, moved, degraded, held, lost].map(number));
    row.push(match contingency.cost_change_nano {
        CostChange::Unknown => "unknown".to_owned(),
        CostChange::Nano(0) => "-".to_owned(),
        CostChange::Nano(nano) => {
            let sign = if nano < 0 { '-' } else { '+' };
            format!(
                "{sign}{}",
                usd(u64::try_from(nano.unsigned_abs()).unwrap_or(u64::MAX))
            )
        }
    });
    row
}

fn kind(contingency: &Contingency) -> &'static str {
    match contingency.gone.kind {
        ElementKind::Channel => "channel",
        ElementKind::Component => "component",
    }
}

fn who_loses(contingency: &Contingency) -> String {
    let hit = contingency
        .parties
        .iter()
        .filter(|row| row.tally.lost + row.tally.held > 0);
    let parties: Vec<String> = hit
        .map(|row| {
            let without = row.tally.lost + row.tally.held;
            let served = row.tally.calls() - row.tally.refused_before;
            format!("{} ({} of {})", row.party, count(without), plural(served, "call"))
        })
        .collect();
    format!(
        "  without {} {}: {}\n",
        kind(contingency),
        contingency.gone.name,
        few(&parties, PARTIES_MAX)
    )
}

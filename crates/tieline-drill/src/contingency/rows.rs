//! Contingencies on a terminal of a hundred columns: a table by consequence, and of the worst who loses what.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::{Contingency, Loss};
use crate::consequence::{ClassRow, Consequence};
use crate::elements::named;
use crate::known::PartyClass;
use crate::rehearsal::Base;
use crate::table::{Side, count, few, plural, plural_parties, span, table as aligned, tenths, wrapped};
use crate::tally::Tally;
use crate::traffic::Basis;

/// Contingencies in the table; a screen and a half. `--json` has all.
const ROWS_MAX: usize = 60;
/// Contingencies whose parties are named, and parties named of each: they fit a screen together.
const WORST_MAX: usize = 5;
const PARTIES_MAX: usize = 5;

pub(crate) const LEGEND: &str = "\
kept: same channel; moved: another channel of the same model, or a model with a passing receipt;
degraded: another model; held: waiting for an officer; lost: unserved or broken off; losing: parties
with calls held or lost. Over the calls that are served either way: the change in cost in USD, and
that of the time to first content at the 90th percentile, which is modelled.\n";

/// What was rehearsed, and how it goes with nothing gone.
pub(crate) fn heading(what: &str, base: &Base, basis: Basis, loss: Loss) -> String {
    let calls = basis.counted(base.calls);
    let mut text = wrapped(&format!("{what}, {}, over {calls}.", loss.says()), 0);
    let _ = writeln!(
        text,
        "With nothing gone, {} served and {} refused.",
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

/// The table, and a blank line; nothing of nothing.
pub(crate) fn table(contingencies: &[&Contingency]) -> String {
    if contingencies.is_empty() {
        return String::new();
    }
    let shown = contingencies.iter().take(ROWS_MAX);
    let rows = shown.map(|one| row(named(&one.gone), &one.consequence));
    let mut text = consequences("gone", &rows.collect::<Vec<_>>());
    if contingencies.len() > ROWS_MAX {
        let more = (contingencies.len() - ROWS_MAX) as u64;
        let _ = writeln!(text, "… and {} more; --json has all of them.", count(more));
    }
    text.push('\n');
    text
}

/// Rows of consequences under their head.
pub(crate) fn consequences(of: &str, rows: &[Vec<String>]) -> String {
    let head = [
        (of, Side::Left),
        ("kept", Side::Right),
        ("moved", Side::Right),
        ("degraded", Side::Right),
        ("held", Side::Right),
        ("lost", Side::Right),
        ("losing", Side::Right),
        ("cost change", Side::Right),
        ("first content", Side::Right),
    ];
    aligned(&head, rows)
}

/// The row of a consequence, the name first.
pub(crate) fn row(name: String, consequence: &Consequence) -> Vec<String> {
    let number = |n: u64| if n == 0 { "-".to_owned() } else { count(n) };
    let Consequence {
        tally,
        parties_losing,
        ..
    } = *consequence;
    let Tally {
        kept,
        moved,
        degraded,
        held,
        lost,
        ..
    } = tally;
    let mut row = vec![name];
    row.extend([kept, moved, degraded, held, lost, parties_losing].map(number));
    row.push(consequence.cost_change_nano.cell());
    row.push(consequence.first_content.map_or_else(
        || "-".to_owned(),
        |times| signed_span(times.before.p90_us, times.after.p90_us),
    ));
    row
}

/// Of the worst that leave somebody unserved: who, by class, what was tight, and how it ends.
pub(crate) fn who_loses(contingencies: &[&Contingency]) -> String {
    let losing = contingencies
        .iter()
        .filter(|contingency| contingency.consequence.tally.unserved() > 0);
    let losing = losing.take(WORST_MAX);
    let losing: String = losing
        .map(|one| losers(&format!("without {}", named(&one.gone)), &one.consequence))
        .collect();
    if losing.is_empty() {
        return losing;
    }
    format!("\nWho loses service\n{losing}")
}

/// Who loses service by what is named, by class, what was tight, and how it ends.
pub(crate) fn losers(by: &str, consequence: &Consequence) -> String {
    let hit = consequence.parties.iter().filter(|row| row.tally.unserved() > 0);
    let parties: Vec<String> = hit
        .map(|row| {
            let (unserved, served) = (row.tally.unserved(), row.tally.served_before());
            format!(
                "{} ({} of {})",
                row.party,
                count(unserved),
                plural(served, "call")
            )
        })
        .collect();
    let mut text = wrapped(&format!("  {by}: {}", few(&parties, PARTIES_MAX)), 4);
    let classes: Vec<String> = consequence.classes.iter().filter_map(class).collect();
    let is_known = |row: &ClassRow| row.class != PartyClass::Unknown;
    if consequence.classes.iter().any(is_known) {
        text.push_str(&wrapped(&format!("    by class: {}", classes.join("; ")), 2));
    }
    let critical = &consequence.critical;
    if critical.parties_losing > 0 {
        let _ = writeln!(
            text,
            "    critical: {} of {}",
            plural(critical.calls_unserved, "call"),
            plural_parties(critical.parties_losing)
        );
    }
    if let Some(tightest) = consequence.tightest.as_ref().filter(|tight| tight.refusals > 0) {
        let _ = writeln!(
            text,
            "    tightest: {} of {}, {} used, {} refused",
            tightest.bucket_name(),
            tightest.channel,
            tenths(tightest.used_permille.min(1_000)),
            count(tightest.refusals)
        );
    }
    if let Some(longest) = consequence.recovery.longest_us {
        let recovery = &consequence.recovery;
        let _ = writeln!(
            text,
            "    worse off until {} after the loss: {}, and to the end: {}",
            span(longest),
            plural_parties(recovery.parties_recovered),
            plural_parties(recovery.parties_not)
        );
    }
    text
}

fn class(row: &ClassRow) -> Option<String> {
    (row.tally.unserved() > 0).then(|| {
        format!(
            "{} {} of {} ({} of {})",
            row.class.name(),
            count(row.parties_losing),
            plural_parties(row.parties),
            count(row.tally.unserved()),
            plural(row.tally.served_before(), "call")
        )
    })
}

/// From one time to another, with its sign.
fn signed_span(before: u64, after: u64) -> String {
    match after.cmp(&before) {
        Ordering::Equal => "-".to_owned(),
        Ordering::Greater => format!("+{}", span(after - before)),
        Ordering::Less => format!("-{}", span(before - after)),
    }
}

//! What each loss or each scenario does: a row each, the worst first.

use super::bars::{bar, legend};
use super::document::{cell, more, number, small, table, tagged, word};
use super::markup::{Markup, markup};
use super::words::{PerCent, Sure, dollars, or_dash};
use crate::consequence::{Consequence, CostChange};
use crate::table::{count, span};

/// Rows of a ranking: two screens, which is more than a board reads. 30 rows of 1,500 bytes are 45 kB.
pub(super) const ROWS_MAX: usize = 30;

/// One row.
pub(super) struct Row<'r> {
    pub(super) consequence: &'r Consequence,
    /// Under its name: what it is, what it takes out.
    pub(super) detail: String,
    pub(super) is_shown_above: bool,
    pub(super) name: String,
    pub(super) sure: Sure,
}

/// The table with its legend. `all` is how many there are.
pub(super) fn ranking(caption: &str, of: &'static str, rows: &[Row<'_>], all: usize) -> Markup {
    let columns = [
        word(of),
        number("unserved"),
        number("of calls"),
        number("degraded"),
        number("moved"),
        number("parties losing"),
        number("cost, USD"),
        number("first content, p90"),
        word("how sure"),
    ];
    let shown = rows.len();
    let rows = rows.iter().map(row).collect();
    markup(|m| {
        legend(m);
        m.append(table((caption, None), &columns, rows));
        more(m, all, shown, "");
        small(
            m,
            "Parties losing: parties with calls held or lost. Cost and time to first content: over the calls that are served \
             either way; both are modelled for calls that go elsewhere.",
        );
    })
}

fn row(row: &Row<'_>) -> Vec<Markup> {
    let consequence = row.consequence;
    let tally = consequence.tally;
    let unserved = tally.unserved();
    let name = markup(|m| {
        m.leaf("span", &[("class", &"what")], &row.name);
        if row.is_shown_above {
            m.leaf("span", &[("class", &"note")], "shown above");
        }
        if !row.detail.is_empty() {
            m.leaf("span", &[("class", &"detail")], &row.detail);
        }
        m.append(bar(&tally));
    });
    vec![
        name,
        if unserved > 0 {
            markup(|m| m.leaf("span", &[("class", &"hit")], count(unserved)))
        } else {
            cell("–")
        },
        cell(if unserved > 0 {
            PerCent(unserved, tally.served_before()).to_string()
        } else {
            "–".to_owned()
        }),
        cell(or_dash(tally.degraded)),
        cell(or_dash(tally.moved)),
        cell(or_dash(consequence.parties_losing)),
        cell(cost(consequence.cost_change_nano)),
        cell(later(consequence)),
        tagged(row.sure),
    ]
}

pub(super) fn cost(change: CostChange) -> String {
    match change {
        CostChange::Nano(0) => "–".to_owned(),
        CostChange::Nano(nano) => cents(nano),
        CostChange::Unknown => "unknown".to_owned(),
    }
}

fn cents(nano: i128) -> String {
    let sign = if nano < 0 { '−' } else { '+' };
    let amount = u64::try_from(nano.unsigned_abs()).unwrap_or(u64::MAX);
    format!("{sign}{}", dollars(amount))
}

/// How much later, or sooner, the first content of one call in ten comes at least.
fn later(consequence: &Consequence) -> String {
    let Some(times) = consequence.first_content else {
        return "–".to_owned();
    };
    let (before, after) = (times.before.p90_us, times.after.p90_us);
    match after.cmp(&before) {
        std::cmp::Ordering::Equal => "–".to_owned(),
        std::cmp::Ordering::Less => format!("−{}", span(before - after)),
        std::cmp::Ordering::Greater => format!("+{}", span(after - before)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_said_to_the_cent_and_never_as_nothing() {
        let check = |nano, text: &str| assert_eq!(cost(CostChange::Nano(nano)), text);
        check(0, "–");
        check(1, "+under 0.01");
        check(-5_000_000, "−0.01");
        check(1_709_868_500, "+1.71");
        check(-12_345_678_900_000_000, "−12,345,678.90");
        assert_eq!(cost(CostChange::Unknown), "unknown");
    }
}

//! The grid's report on a terminal, for a reader who sees it for the first time.

use std::fmt::Write as _;

use super::{AskWays, Chokepoints, ConcentrationBasis, GridReport, PartyGroup};
use crate::concentration::{Concentration, Of, Share};
use crate::table::{Side, count, few, percent, plural, table};

/// Names shown of a list of parties.
const PARTIES_MAX: usize = 4;
/// Suppliers shown of one concentration.
const SHARES_MAX: usize = 3;

impl GridReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        text.push_str("What each channel needs (it works only if all of these do)\n");
        text.push_str(&self.channel_table());
        text.push_str("\nWhat falls with each component\n");
        text.push_str(&self.component_table());
        text.push_str("\nChokepoints: what alone would leave a party with nothing\n");
        for group in &self.parties {
            text.push_str(&group_text(group));
        }
        text.push_str(match self.concentration_basis {
            ConcentrationBasis::Exact => "\nConcentration, from the recorded calls\n",
            ConcentrationBasis::Assumed => {
                "\nConcentration, assuming one call for each thing that each party may ask for\n"
            }
            ConcentrationBasis::Stated => {
                "\nConcentration, assuming the shares of calls that the configuration states\n"
            }
        });
        text.push_str(&self.concentration_table());
        text.push_str(
            "HHI: the sum of the squared shares in per cent; 10,000 is one supplier, above 1,800 counts as highly \
             concentrated.\nSuppliers: 10,000 / HHI, how many of equal size would give the same.\n",
        );
        let unknown = [
            ("Spend", self.spend_unknown_calls),
            ("Tokens", self.tokens_unknown_calls),
        ];
        for (what, calls) in unknown.into_iter().filter(|(_, calls)| *calls > 0) {
            let _ = writeln!(
                text,
                "{what} not known, and not counted: {}.",
                plural(calls, "call")
            );
        }
        text
    }

    fn channel_table(&self) -> String {
        let rows = self.channels.iter().map(|row| {
            vec![
                row.channel.clone(),
                row.models.join(", "),
                or_nothing(row.needs.join(", ")),
            ]
        });
        let head = [
            ("  channel", Side::Left),
            ("serves", Side::Left),
            ("needs", Side::Left),
        ];
        indented(&head, rows)
    }

    fn component_table(&self) -> String {
        let rows = self.components.iter().map(|row| {
            vec![
                row.component.clone(),
                or_nothing(row.channels.join(", ")),
                or_nothing(row.models_lost.join(", ")),
            ]
        });
        let head = [
            ("  component", Side::Left),
            ("channels", Side::Left),
            ("models that nothing else serves", Side::Left),
        ];
        indented(&head, rows)
    }

    fn concentration_table(&self) -> String {
        let rows = self.concentration.iter().map(|row| {
            vec![
                of_name(row.of).to_owned(),
                row.by.name().to_owned(),
                row.hhi
                    .map_or_else(|| "unknown".to_owned(), |hhi| count(hhi.into())),
                row.suppliers_hundredths
                    .map_or_else(|| "-".to_owned(), |n| format!("{}.{:02}", n / 100, n % 100)),
                largest(row),
            ]
        });
        let head = [
            ("  of", Side::Left),
            ("by", Side::Left),
            ("HHI", Side::Right),
            ("suppliers", Side::Right),
            ("largest", Side::Left),
        ];
        indented(&head, rows)
    }
}

fn indented(head: &[(&str, Side)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows
        .map(|mut row| {
            if let Some(first) = row.first_mut() {
                first.insert_str(0, "  ");
            }
            row
        })
        .collect();
    table(head, &rows)
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

const fn of_name(of: Of) -> &'static str {
    match of {
        Of::Calls => "calls",
        Of::Tokens => "tokens",
        Of::Spend => "spend",
    }
}

fn largest(row: &Concentration) -> String {
    let share = |share: &Share| format!("{} {}", share.name, percent(share.share_bp));
    let names: Vec<String> = row.shares.iter().map(share).collect();
    let mut text = few(&names, SHARES_MAX);
    if row.unattributed_bp > 0 {
        let joint = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{joint}{} states none", percent(row.unattributed_bp));
    }
    text
}

fn group_text(group: &PartyGroup) -> String {
    let mut text = format!("  {}\n", few(&group.parties, PARTIES_MAX));
    if group.asks.is_empty() {
        text.push_str("    may ask for nothing\n");
    }
    for ask in &group.asks {
        let _ = writeln!(text, "    {}: {}", ask.ask, ask_text(ask));
    }
    if group.asks.len() > 1 {
        let _ = writeln!(text, "    everything at once: {}", choke_text(&group.chokepoints));
    }
    text
}

fn ask_text(ask: &AskWays) -> String {
    match ask.ways.as_slice() {
        [] => "no way open; it is never served".to_owned(),
        ways => {
            let ways = plural(ways.len() as u64, "way");
            format!("{} ({ways})", choke_text(&ask.chokepoints))
        }
    }
}

fn choke_text(chokepoints: &Chokepoints) -> String {
    let channels = chokepoints.channels.iter().map(|name| format!("channel {name}"));
    let names: Vec<String> = channels.chain(chokepoints.components.iter().cloned()).collect();
    if names.is_empty() {
        "none: no single loss stops it".to_owned()
    } else {
        names.join(", ")
    }
}

//! The grid's report on a terminal, for a reader who sees it for the first time.

use std::fmt::Write as _;

use super::{
    AskWays, Chance, Chokepoints, ConcentrationBasis, CutPair, ElementRow, GridReport, Method, PartyGroup,
};
use crate::concentration::{Band, Concentration, IndexAfter, Share};
use crate::n_minus_1::{Element, ElementKind};
use crate::table::{Side, count, few, percent, plural, table};

/// Names shown of a list of parties.
const PARTIES_MAX: usize = 4;
/// Suppliers shown of one concentration.
const SHARES_MAX: usize = 3;
/// Pairs shown of one thing asked for.
const PAIRS_SHOWN: usize = 3;
/// Elements shown of one side of a pair.
const SIDE_MAX: usize = 3;
/// Elements shown of those that matter: a page.
const ELEMENTS_MAX: usize = 20;
/// Losses shown that concentrate supply.
const RISES_MAX: usize = 10;

impl GridReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        text.push_str("What each channel needs (it works only if all of these do)\n");
        text.push_str(&self.channel_table());
        text.push_str("\nWhat falls with each component\n");
        text.push_str(&self.component_table());
        text.push_str(
            "\nChokepoints: what alone would leave a party with nothing, and pairs that would where neither alone does\n",
        );
        for group in &self.parties {
            text.push_str(&group_text(group));
        }
        text.push_str(&self.elements_text());
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
        text.push_str(&self.rises_text());
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

    fn elements_text(&self) -> String {
        let mattering = self
            .elements
            .iter()
            .filter(|row| row.importance.as_ref().is_some_and(|i| i.birnbaum.value() > 0.0));
        let all = mattering.clone().count();
        let rows = mattering.take(ELEMENTS_MAX).filter_map(|row| {
            let importance = row.importance.as_ref()?;
            let lost = |bp: Option<u32>| bp.map_or_else(|| "-".to_owned(), percent);
            Some(vec![
                element_name(&row.element),
                lost(row.lost.calls_bp),
                lost(row.lost.spend_bp),
                percent(row.calls_moved_bp),
                row.downtime.out.percent(),
                importance.birnbaum.short(),
                importance.fussell_vesely.short(),
                importance.raw.short(),
            ])
        });
        let head = [
            ("  element", Side::Left),
            ("calls lost", Side::Right),
            ("spend lost", Side::Right),
            ("calls moved", Side::Right),
            ("is out", Side::Right),
            ("Birnbaum", Side::Right),
            ("Fussell-Vesely", Side::Right),
            ("RAW", Side::Right),
        ];
        let mut text = String::from("\nWhat hangs on each element, the most important first\n");
        text.push_str(&indented(&head, rows));
        if all > ELEMENTS_MAX {
            let _ = writeln!(text, "  and {} more", count((all - ELEMENTS_MAX) as u64));
        }
        text.push_str(
            "Lost: what no way would be left for. Moved: what another way would answer. Is out: the share of the time, by \
             priors\nthat are mostly assumed; --json gives each one's source. From these, of the calls expected to be \
             unserved: Birnbaum,\nthe share with the element out less that with it up; Fussell-Vesely, the part that would \
             be gone if it never failed; RAW,\nby what the share is multiplied while it is out.\n",
        );
        if let Some(unserved) = &self.unserved {
            let _ = writeln!(
                text,
                "Expected to be unserved: {} of the calls.",
                unserved.percent()
            );
        }
        text
    }

    /// The losses after which supply is more concentrated than the guidelines would let a merger make it.
    fn rises_text(&self) -> String {
        let all = self.elements.iter().flat_map(|row| {
            let flagged = row.concentration_after.iter().filter(|after| after.is_flagged);
            flagged.map(move |after| (row, after))
        });
        let mut all: Vec<(&ElementRow, &IndexAfter)> = all.collect();
        if all.is_empty() {
            return String::new();
        }
        all.sort_by_key(|(_, after)| std::cmp::Reverse(after.change));
        let rows = all.iter().take(RISES_MAX).map(|(row, after)| {
            vec![
                element_name(&row.element),
                after.of.name().to_owned(),
                after.by.name().to_owned(),
                after.hhi.map_or_else(|| "-".to_owned(), |hhi| count(hhi.into())),
                after.change.map_or_else(
                    || "-".to_owned(),
                    |change| format!("+{}", count(change.unsigned_abs())),
                ),
                after.largest.as_ref().map_or_else(String::new, share_text),
            ]
        });
        let head = [
            ("  without", Side::Left),
            ("of", Side::Left),
            ("by", Side::Left),
            ("HHI", Side::Right),
            ("change", Side::Right),
            ("largest", Side::Left),
        ];
        let mut text = String::from(
            "\nLosses that concentrate what is left: by over 100, and then above 1,800 or with one over 30 %\n",
        );
        text.push_str(&indented(&head, rows));
        if all.len() > RISES_MAX {
            let _ = writeln!(text, "  and {} more", count((all.len() - RISES_MAX) as u64));
        }
        text
    }

    fn concentration_table(&self) -> String {
        let rows = self.concentration.iter().map(|row| {
            vec![
                row.of.name().to_owned(),
                row.by.name().to_owned(),
                row.hhi
                    .map_or_else(|| "unknown".to_owned(), |hhi| count(hhi.into())),
                row.suppliers_hundredths
                    .map_or_else(|| "-".to_owned(), |n| format!("{}.{:02}", n / 100, n % 100)),
                row.band.map_or("-", Band::name).to_owned(),
                largest(row),
            ]
        });
        let head = [
            ("  of", Side::Left),
            ("by", Side::Left),
            ("HHI", Side::Right),
            ("suppliers", Side::Right),
            ("band", Side::Left),
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

fn largest(row: &Concentration) -> String {
    let names: Vec<String> = row.shares.iter().map(share_text).collect();
    let mut text = few(&names, SHARES_MAX);
    if row.unattributed_bp > 0 {
        let joint = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{joint}{} states none", percent(row.unattributed_bp));
    }
    text
}

fn share_text(share: &Share) -> String {
    format!("{} {}", share.name, percent(share.share_bp))
}

fn element_name(element: &Element) -> String {
    match element.kind {
        ElementKind::Channel => format!("channel {}", element.name),
        ElementKind::Component => element.name.clone(),
    }
}

fn group_text(group: &PartyGroup) -> String {
    let mut text = format!("  {}\n", few(&group.parties, PARTIES_MAX));
    if group.asks.is_empty() {
        text.push_str("    may ask for nothing\n");
    }
    for ask in &group.asks {
        text.push_str(&ask_text(ask));
    }
    if group.asks.len() > 1 {
        let _ = write!(text, "    everything at once: {}", choke_text(&group.chokepoints));
        if let Some(out) = &group.out {
            let _ = write!(text, "; out {}", chance_text(out));
        }
        text.push('\n');
        text.push_str(&pairs_text(&group.pairs, group.pairs_count));
    }
    text
}

fn ask_text(ask: &AskWays) -> String {
    let Some(out) = &ask.out else {
        return format!("    {}: no way open; it is never served\n", ask.ask);
    };
    let ways = plural(ask.ways.len() as u64, "way");
    let (alone, out) = (choke_text(&ask.chokepoints), chance_text(out));
    let pairs = pairs_text(&ask.pairs, ask.pairs_count);
    format!("    {}: {alone} ({ways}); out {out}\n{pairs}", ask.ask)
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

/// How much of the time, and what that comes to in a year.
fn chance_text(chance: &Chance) -> String {
    match (&chance.estimate, &chance.at_most, &chance.standard_error) {
        (Some(estimate), None, None) if chance.method == Method::Exact => {
            format!("{}, {}", estimate.percent(), estimate.a_year())
        }
        (Some(estimate), None, Some(error)) => {
            format!(
                "{} ± {} (drawn), {}",
                estimate.percent(),
                error.percent(),
                estimate.a_year()
            )
        }
        (_, Some(at_most), _) => format!("at most {}, {} (drawn)", at_most.percent(), at_most.a_year()),
        _ => "unknown".to_owned(),
    }
}

fn pairs_text(pairs: &[CutPair], all: u64) -> String {
    let mut text = String::new();
    let side = |side: &[Element]| {
        let names: Vec<String> = side.iter().map(element_name).collect();
        let of = if side.len() > 1 { "any of " } else { "" };
        format!("{of}{}", few(&names, SIDE_MAX))
    };
    let (mut shown, mut places) = (0, pairs.iter());
    for pair in places.by_ref().take(PAIRS_SHOWN) {
        let both = pair.both_out.percent();
        let _ = writeln!(
            text,
            "      {} with {}: {both}",
            side(&pair.first),
            side(&pair.second)
        );
        shown += (pair.first.len() * pair.second.len()) as u64;
    }
    if all > shown {
        let _ = writeln!(text, "      and {}", plural(all - shown, "more pair"));
    }
    text
}

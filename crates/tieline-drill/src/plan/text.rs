//! The plan on a terminal.

use std::fmt::Write as _;

use super::{Alone, Fix, OfferRow, PlanReport, Rest, RulesCost, Threat, Unsecured, Why};
use crate::contingency::rows::heading;
use crate::elements::named;
use crate::table::{Side, count, few, plural, plural_parties, table, usd, wrapped};

/// Rows of each table.
const ROWS_MAX: usize = 10;
/// Parties named of one loss.
const PARTIES_MAX: usize = 4;

impl PlanReport {
    /// The report as lines for a terminal.
    pub fn text(&self) -> String {
        let title = "What makes every critical party secure against the loss of any one element";
        let mut text = heading(title, &self.base, self.basis, self.loss);
        text.push('\n');
        if self.threats.is_empty() {
            text.push_str("Every critical party is secure already: nothing need be bought.\n");
        } else {
            text.push_str(&threats(&self.threats));
            text.push_str(&self.answer());
            if let Some(rules) = &self.rules {
                text.push_str(&rules_cost(rules));
            }
            text.push_str("\nEach offer alone\n");
            text.push_str(&offers(&self.offers));
            text.push_str(&self.sets());
        }
        for note in &self.notes {
            text.push('\n');
            text.push_str(&wrapped(note, 0));
        }
        text
    }

    fn answer(&self) -> String {
        if !self.fixes.is_empty() {
            return format!(
                "\nWhat serves, cheapest first; every loss of each was played\n{}",
                fixes(&self.fixes)
            );
        }
        let mut text = "\nNo offer and no two of them serve.\n".to_owned();
        text.push_str(&all_unsecured(&self.unsecured, self.unsecured_count));
        text.push_str(&self.rest.as_ref().map_or_else(String::new, rest));
        text
    }

    fn sets(&self) -> String {
        let sets = &self.sets;
        let mut line = format!(
            "{} and {} were looked at: {} without playing a call, {} failed when played",
            plural(sets.singles, "offer"),
            plural(sets.pairs, "pair"),
            count(sets.screened),
            count(sets.played_and_failed)
        );
        if sets.unfit > 0 {
            let _ = write!(line, ", {} the grid cannot hold", count(sets.unfit));
        }
        if sets.pairs_dearer > 0 {
            let _ = write!(
                line,
                "; {} cost no less than what serves alone, or hold it, and were not tried",
                plural(sets.pairs_dearer, "pair")
            );
        }
        format!("\n{}", wrapped(&format!("{line}."), 0))
    }
}

fn threats(threats: &[Threat]) -> String {
    let mut text = "Today, without any offer\n".to_owned();
    for threat in threats.iter().take(ROWS_MAX) {
        let line = format!(
            "  without {}: {} of {} unserved ({})",
            named(&threat.gone),
            plural(threat.calls, "critical call"),
            plural_parties(threat.parties_losing),
            few(&threat.parties, PARTIES_MAX)
        );
        text.push_str(&wrapped(&line, 4));
    }
    if threats.len() > ROWS_MAX {
        let _ = writeln!(
            text,
            "  … and {} more; --json has them.",
            threats.len() - ROWS_MAX
        );
    }
    text
}

fn fixes(fixes: &[Fix]) -> String {
    let head = [
        ("USD a month", Side::Right),
        ("offers", Side::Left),
        ("lead", Side::Right),
        ("calls cost", Side::Right),
        ("losses played", Side::Right),
    ];
    let rows = fixes.iter().take(ROWS_MAX).map(|fix| {
        vec![
            usd(fix.cost_nano_per_month.0),
            fix.offers.join(" + "),
            plural(fix.lead_days.into(), "day"),
            fix.base_cost_change_nano.cell(),
            count(fix.plays),
        ]
    });
    let mut text = table(&head, &rows.collect::<Vec<_>>());
    if fixes.len() > ROWS_MAX {
        let _ = writeln!(text, "… and {} more; --json has them.", fixes.len() - ROWS_MAX);
    }
    text
}

fn offers(offers: &[OfferRow]) -> String {
    let head = [
        ("offer", Side::Left),
        ("kind", Side::Left),
        ("USD a month", Side::Right),
        ("from", Side::Left),
        ("alone", Side::Left),
    ];
    let rows = offers.iter().map(|offer| {
        vec![
            offer.name.clone(),
            offer.kind.name().to_owned(),
            usd(offer.cost_nano_per_month.0),
            offer.date.clone(),
            offer.alone.says(),
        ]
    });
    table(&head, &rows.collect::<Vec<_>>())
}

impl Alone {
    /// In a few words.
    pub(crate) fn says(&self) -> String {
        match self {
            Alone::Fails { gone, parties: n } if gone.is_empty() => {
                format!("refuses calls of {} that are served today", plural_parties(*n))
            }
            Alone::Fails { gone, parties: n } => {
                format!("{} unserved without {}", plural_parties(*n), named(gone))
            }
            Alone::NotNeeded => "not needed".to_owned(),
            Alone::Screened { gone, party } => format!("no way left for {party} without {}", named(gone)),
            Alone::Serves => "serves".to_owned(),
            Alone::Unfit { says } => format!("does not fit: {says}"),
        }
    }
}

fn rest(rest: &Rest) -> String {
    if rest.is_secure {
        return "\nAll else is secure already.\n".to_owned();
    }
    if rest.fixes.is_empty() {
        let rows = all_unsecured(&rest.unsecured, rest.unsecured_count);
        return format!("\nNor does any serve for all else.\n{rows}");
    }
    let fixes = fixes(&rest.fixes);
    format!("\nFor all else, cheapest first; every loss of each was played\n{fixes}")
}

fn all_unsecured(rows: &[Unsecured], total: u64) -> String {
    let mut text = String::new();
    for row in rows.iter().take(ROWS_MAX) {
        text.push_str(&wrapped(&unsecured(row), 4));
    }
    let shown = rows.len().min(ROWS_MAX) as u64;
    if total > shown {
        let _ = writeln!(text, "  … and {} more; --json has them.", count(total - shown));
    }
    text
}

fn unsecured(row: &Unsecured) -> String {
    let why = row.why.says();
    format!(
        "  {} without {}, asking for {}: {why}",
        row.party,
        named(&row.gone),
        row.asks
    )
}

fn rules_cost(rules: &RulesCost) -> String {
    let says = match rules.cost_nano_per_month {
        Some(cost) => format!(
            "Modelled: the rules on offered channels cost {} USD a month here. They stand, and no plan goes around them.",
            usd(cost.0)
        ),
        None if rules.stands_between => {
            "Modelled: were there no rules on offered channels, an offer would serve. They \
                                         stand, and no plan goes around them."
                .to_owned()
        }
        None => "Modelled: without the rules on offered channels nothing would serve either.".to_owned(),
    };
    format!("\n{}", wrapped(&says, 0))
}

impl Why {
    /// Why, as the second half of a sentence.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Why::NoOffer => "neither the grid nor an offer has a way to it outside of what is gone",
            Why::NotEnough => {
                "the rules allow ways that are left, and no one or two offers suffice: limits, the attempts of a call, or it \
             takes more offers"
            }
            Why::Rules => "ways are left, and the rules deny each, or hold it for an officer",
        }
    }
}

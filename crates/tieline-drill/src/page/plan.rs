//! The page of a plan: what to buy so that no single loss leaves a critical party without service, what it costs, and where
//! nothing serves, who cannot be secured and why.

use super::document::{Column, Document, Figure, Section, cell, more, number, small, table, tagged, word};
use super::markup::{Markup, markup};
use super::sections::{Pictured, doubt, grid, supplied};
use super::sources::sources;
use super::streams::Streams;
use super::words::{Sure, dollars, noun, spoken_all};
use super::{Ground, Known, ranking};
use crate::elements::Element;
use crate::plan::{Fix, OfferRow, PlanReport, Threat, Unsecured};
use crate::table::{count, few};

/// Rows of each table: a screen.
const ROWS_MAX: usize = 24;
/// Parties named of one loss.
const PARTIES_MAX: usize = 6;

/// The page of a plan. `after` says who answers whom today, while something is gone.
pub fn plan_page(
    ground: Ground<'_>,
    report: &PlanReport,
    after: &dyn Fn(&[Element]) -> Option<Streams>,
) -> String {
    let known = Known::of(ground);
    let sure = Sure::of(ground.rehearsal.basis());
    let worst = report.threats.first();
    let streams = worst.and_then(|worst| after(&worst.gone));
    let pictured = worst.zip(streams.as_ref()).map(|(worst, after)| Pictured {
        after,
        gone: &worst.gone,
        is_lasting: true,
        says: format!("without {}, and without any offer", spoken_all(&worst.gone)),
        sure: Sure::Exact,
    });
    let sections = vec![
        bought(report, sure),
        threats(&report.threats, sure),
        offers(&report.offers, sure),
        grid(&known, pictured.as_ref()),
        supplied(&known, pictured.as_ref()),
        sources(&known, &report.notes, &[]),
    ];
    let document = Document {
        answer: answer(report),
        banner: ground.doubt.map(doubt),
        command: "drill plan",
        figures: figures(report, sure),
        lede: format!(
            "{} of a catalogue, alone and in pairs, each tried against the loss of every channel and component, {}, over {}.",
            crate::table::plural(report.offers.len() as u64, "offer"),
            report.loss.says(),
            ground.rehearsal.basis().counted(report.base.calls)
        ),
        sections,
    };
    document.html()
}

fn answer(report: &PlanReport) -> String {
    if report.threats.is_empty() {
        return "Every critical party is secure against any single loss already: nothing need be bought."
            .to_owned();
    }
    match report.fixes.first() {
        Some(fix) => format!(
            "{} {} every critical party secure against any single loss, for {} USD a month.",
            fix.offers.join(" and "),
            noun(fix.offers.len() as u64, "makes", "make"),
            dollars(fix.cost_nano_per_month.0)
        ),
        None => "No offer of the catalogue, and no two of them, make every critical party secure against any single loss."
            .to_owned(),
    }
}

pub(super) fn figures(report: &PlanReport, sure: Sure) -> Vec<Figure> {
    let threats = report.threats.len() as u64;
    let mut figures = vec![Figure {
        is_bad: threats > 0,
        says: format!(
            "{} critical calls unserved today",
            noun(threats, "loss leaves", "losses leave")
        ),
        sure,
        value: count(threats),
    }];
    if let Some(fix) = report.fixes.first() {
        figures.push(Figure {
            is_bad: false,
            says: "USD a month for the cheapest that serves".to_owned(),
            sure: Sure::Assumed,
            value: dollars(fix.cost_nano_per_month.0),
        });
        figures.push(Figure {
            is_bad: false,
            says: "until all of it is there".to_owned(),
            sure: Sure::Assumed,
            value: crate::table::plural(fix.lead_days.into(), "day"),
        });
    }
    if report.unsecured_count > 0 {
        figures.push(Figure {
            is_bad: true,
            says: "cases that nothing secures: a party, a loss, and what it asks for".to_owned(),
            sure,
            value: count(report.unsecured_count),
        });
    }
    figures
}

/// A table of at most [`ROWS_MAX`] rows.
fn cut_table<T>(
    m: &mut Markup,
    caption: &str,
    columns: &[Column],
    all: &[T],
    row: impl Fn(&T) -> Vec<Markup>,
) {
    let rows = all.iter().take(ROWS_MAX).map(row).collect();
    m.append(table((caption, None), columns, rows));
    more(m, all.len(), ROWS_MAX, "");
}

pub(super) fn bought(report: &PlanReport, sure: Sure) -> Section {
    let body = markup(|m| {
        if report.threats.is_empty() {
            small(m, "No loss leaves a critical call unserved.");
        } else if report.fixes.is_empty() {
            unsecured(
                m,
                "Who cannot be secured",
                &report.unsecured,
                report.unsecured_count,
            );
        } else {
            fixes(m, "What serves, cheapest first", &report.fixes, sure);
        }
        if let Some(rest) = &report.rest {
            m.leaf("h3", &[], "For all else");
            if rest.is_secure {
                small(m, "All else is secure already.");
            } else if rest.fixes.is_empty() {
                unsecured(
                    m,
                    "Nor does any offer serve for all else",
                    &rest.unsecured,
                    rest.unsecured_count,
                );
            } else {
                fixes(m, "What serves for all else, cheapest first", &rest.fixes, sure);
            }
        }
        if let Some(rules) = &report.rules {
            let says = match rules.cost_nano_per_month {
                Some(cost) => format!(
                    "Modelled: the rules on offered channels cost {} USD a month here.",
                    dollars(cost.0)
                ),
                None if rules.stands_between => {
                    "Modelled: without the rules on offered channels an offer would serve.".into()
                }
                None => {
                    "Modelled: without the rules on offered channels nothing would serve either.".to_owned()
                }
            };
            small(m, format!("{says} They stand, and no plan goes around them."));
        }
    });
    Section::new(
        "plan",
        "What to buy",
        "Every loss was played against each set that is shown, call by call. Prices are those of the catalogue.",
        body,
    )
}

fn fixes(m: &mut Markup, caption: &str, all: &[Fix], sure: Sure) {
    let columns = [
        word("offers"),
        number("USD a month"),
        number("lead"),
        number("calls cost, USD"),
        number("losses played"),
        word("how sure"),
    ];
    cut_table(m, caption, &columns, all, |fix| {
        vec![
            markup(|m| m.leaf("span", &[("class", &"what")], fix.offers.join(" + "))),
            cell(dollars(fix.cost_nano_per_month.0)),
            cell(crate::table::plural(fix.lead_days.into(), "day")),
            cell(ranking::cost(fix.base_cost_change_nano)),
            cell(count(fix.plays)),
            tagged(sure.and(fix.label.into())),
        ]
    });
    small(
        m,
        "Calls cost: what all calls cost more or less with the offers and nothing gone, over the time of the calls.",
    );
}

fn unsecured(m: &mut Markup, caption: &str, rows: &[Unsecured], total: u64) {
    let columns = [word("party"), word("without"), word("asks for"), word("why")];
    let shown = rows.iter().take(ROWS_MAX).map(|row| {
        vec![
            cell(&row.party),
            cell(spoken_all(&row.gone)),
            cell(&row.asks),
            cell(row.why.says()),
        ]
    });
    m.append(table((caption, None), &columns, shown.collect()));
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    more(m, total, rows.len().min(ROWS_MAX), "");
}

fn threats(all: &[Threat], sure: Sure) -> Section {
    let columns = [
        word("gone"),
        number("critical calls"),
        number("parties"),
        word("who"),
        word("how sure"),
    ];
    let body = markup(|m| {
        if all.is_empty() {
            return small(m, "None.");
        }
        cut_table(
            m,
            "Losses that leave critical calls unserved",
            &columns,
            all,
            |threat| {
                vec![
                    markup(|m| m.leaf("span", &[("class", &"what")], spoken_all(&threat.gone))),
                    cell(count(threat.calls)),
                    cell(count(threat.parties_losing)),
                    cell(few(&threat.parties, PARTIES_MAX)),
                    tagged(sure),
                ]
            },
        );
    });
    Section::new(
        "threats",
        "What threatens critical calls today",
        "Without any offer, the worst first.",
        body,
    )
}

pub(super) fn offers(all: &[OfferRow], sure: Sure) -> Section {
    let columns = [
        word("offer"),
        word("kind"),
        number("USD a month"),
        number("lead"),
        word("alone"),
        word("source"),
        word("how sure"),
    ];
    let body = markup(|m| {
        cut_table(m, "Offers of the catalogue, each alone", &columns, all, |offer| {
            vec![
                markup(|m| m.leaf("span", &[("class", &"what")], &offer.name)),
                cell(offer.kind.name()),
                cell(dollars(offer.cost_nano_per_month.0)),
                cell(crate::table::plural(offer.lead_days.into(), "day")),
                cell(offer.alone.says()),
                cell(format!("{}, {}", offer.source, offer.date)),
                tagged(sure),
            ]
        });
    });
    Section::new(
        "offers",
        "What is on offer",
        "Prices and lead times are those of the catalogue: assumed.",
        body,
    )
}

//! Who loses what: by class of party over the worst, and of the worst the parties by name.

use super::bars::bar;
use super::document::{captioned, cell, more, number, scrolling, table, word};
use super::markup::{Markup, markup};
use super::words::{PerCent, Sure, or_dash};
use crate::consequence::Consequence;
use crate::known::PartyClass;
use crate::table::count;

/// Losses side by side: with the class that is what a page of 1,120 pixels holds.
pub(super) const COLUMNS_MAX: usize = 6;
/// Parties by name: half of what a report has, for a board reads a dozen lines.
const PARTIES_MAX: usize = 20;

/// How many calls of each class go unserved, loss by loss.
pub(super) fn matrix(losses: &[(String, &Consequence)], sure: Sure) -> Markup {
    let classes: Vec<PartyClass> = PartyClass::ALL
        .into_iter()
        .filter(|class| {
            losses
                .iter()
                .any(|(_, one)| one.classes.iter().any(|row| row.class == *class))
        })
        .collect();
    markup(|m| {
        scrolling(m, "Calls unserved by class and loss", |m| {
            m.element("table", &[("class", &"matrix")], |m| {
                captioned(
                    m,
                    (
                        "Of the calls of each class that are served today, those that would not be",
                        Some(sure),
                    ),
                );
                m.element("thead", &[], |m| {
                    m.element("tr", &[], |m| {
                        m.leaf("th", &[("scope", &"col")], "class");
                        for (name, _) in losses {
                            m.leaf("th", &[("scope", &"col"), ("class", &"num")], name);
                        }
                    });
                });
                m.element("tbody", &[], |m| {
                    for class in classes {
                        m.element("tr", &[], |m| {
                            m.leaf("th", &[("scope", &"row")], class.name());
                            for (_, consequence) in losses {
                                share(m, class, consequence);
                            }
                        });
                    }
                });
            });
        });
    })
}

/// One cell: the darker, the more.
fn share(m: &mut Markup, class: PartyClass, consequence: &Consequence) {
    let row = consequence.classes.iter().find(|row| row.class == class);
    let tally = row.map(|row| row.tally).unwrap_or_default();
    let (unserved, served) = (tally.unserved(), tally.served_before());
    let heat = match (unserved * 100).checked_div(served) {
        _ if unserved == 0 => 0,
        None | Some(..5) => 1,
        Some(5..25) => 2,
        Some(25..60) => 3,
        Some(_) => 4,
    };
    m.element("td", &[("class", &format!("num heat{heat}"))], |m| {
        if unserved == 0 {
            return m.leaf("span", &[("class", &"none")], "–");
        }
        m.leaf("b", &[], PerCent(unserved, served));
        m.leaf("small", &[], format!(" {} of {}", count(unserved), count(served)));
    });
}

/// The classes of one loss, and its parties.
pub(super) fn of_one(name: &str, consequence: &Consequence, sure: Sure) -> Markup {
    let columns = [
        word("class"),
        number("parties"),
        number("losing"),
        number("lost"),
        number("held"),
        number("degraded"),
        number("moved"),
        number("kept"),
    ];
    let rows = consequence.classes.iter().map(|row| {
        let head = markup(|m| {
            m.leaf("span", &[("class", &"what")], row.class.name());
            m.append(bar(&row.tally));
        });
        let tally = row.tally;
        let numbers = [
            row.parties,
            row.parties_losing,
            tally.lost,
            tally.held,
            tally.degraded,
            tally.moved,
            tally.kept,
        ];
        std::iter::once(head)
            .chain(numbers.map(|n| cell(or_dash(n))))
            .collect()
    });
    markup(|m| {
        m.leaf("h3", &[], format!("By class, {name}"));
        m.append(table(
            ("Calls by class of party", Some(sure)),
            &columns,
            rows.collect(),
        ));
        parties(m, name, consequence, sure);
    })
}

fn parties(m: &mut Markup, name: &str, consequence: &Consequence, sure: Sure) {
    let losing = consequence.parties.iter().filter(|row| row.tally.unserved() > 0);
    let losing: Vec<_> = losing.take(PARTIES_MAX).collect();
    if losing.is_empty() {
        return;
    }
    let columns = [
        word("party"),
        word("class"),
        number("unserved"),
        number("of its calls"),
        number("degraded"),
    ];
    let rows = losing.iter().map(|row| {
        let (unserved, served) = (row.tally.unserved(), row.tally.served_before());
        vec![
            cell(&row.party),
            cell(row.class.name()),
            cell(count(unserved)),
            cell(PerCent(unserved, served)),
            cell(or_dash(row.tally.degraded)),
        ]
    });
    m.leaf("h3", &[], format!("Parties that lose service, {name}"));
    m.append(table(
        ("Those that lose most first", Some(sure)),
        &columns,
        rows.collect(),
    ));
    let all = usize::try_from(consequence.parties_losing).unwrap_or(usize::MAX);
    more(m, all, losing.len(), "parties");
}

//! Sections that several pages have: the grid before and after, who loses what, concentration.

use super::Known;
use super::classes::{self, COLUMNS_MAX};
use super::diagram::{Diagram, Laid, Moment, Source, draw};
use super::document::{Section, cell, more, number, scrolling, small, table, tag, word};
use super::markup::{Markup, markup};
use super::streams::Streams;
use super::supply::supply;
use super::words::{PerCent, Sure, spoken};
use crate::consequence::Consequence;
use crate::elements::Element;
use crate::table::count;

/// Chokepoints in the table: a screen.
const CHOKEPOINTS_MAX: usize = 20;

/// What the second picture shows.
pub(super) struct Pictured<'p> {
    pub(super) after: &'p Streams,
    pub(super) gone: &'p [Element],
    /// Whether it is gone from the first call to the last.
    pub(super) is_lasting: bool,
    /// As it reads after a comma: `without cloud aws`.
    pub(super) says: String,
    pub(super) sure: Sure,
}

/// What the banner says.
pub(super) fn doubt(doubt: &str) -> String {
    let (head, rest) = doubt.split_at(doubt.chars().next().map_or(0, char::len_utf8));
    format!(
        "{}{rest}. What follows rests on records that may have been changed, and proves nothing.",
        head.to_uppercase()
    )
}

/// The grid with its flows, before and after, and its chokepoints.
pub(super) fn grid(known: &Known<'_>, pictured: Option<&Pictured<'_>>) -> Section {
    let source = Source {
        after: pictured.map_or(&known.before, |pictured| pictured.after),
        asks: &known.asks,
        before: &known.before,
        chokepoints: &known.chokepoints,
        gone: pictured.map_or(&[], |pictured| pictured.gone),
        snapshot: known.ground.rehearsal.snapshot(),
    };
    let sure = Sure::of(known.ground.rehearsal.basis());
    let diagram = Diagram::of(&source);
    let laid = Laid::of(&diagram);
    let body = markup(|m| {
        picture(
            m,
            (&diagram, &laid),
            (Moment::Before, sure),
            "Today, with nothing gone",
            &served(&known.before),
        );
        if let Some(pictured) = pictured {
            let title = format!("The same calls, {}", pictured.says);
            let moment = if pictured.is_lasting {
                Moment::After
            } else {
                Moment::Through
            };
            picture(
                m,
                (&diagram, &laid),
                (moment, sure.and(pictured.sure)),
                &title,
                &served(pictured.after),
            );
        }
        key(m);
        chokepoints(m, known);
    });
    Section::new(
        "grid",
        "The grid",
        "Calls flow from labs over channels to what is asked and to those who ask. The width of a line is its share of the calls.",
        body,
    )
}

fn served(streams: &Streams) -> String {
    let served = streams.served();
    let unserved: u64 = streams.unserved.values().sum();
    format!(
        "{} calls served, {} unserved ({}).",
        count(served),
        count(unserved),
        PerCent(unserved, served + unserved)
    )
}

fn picture(m: &mut Markup, of: (&Diagram, &Laid), (moment, sure): (Moment, Sure), title: &str, says: &str) {
    m.element("figure", &[], |m| {
        m.element("figcaption", &[], |m| {
            m.leaf("b", &[], title);
            m.say(format!(" {says}"));
            m.own(" ");
            tag(m, sure);
            m.leaf("span", &[("class", &"hint")], " The picture scrolls sideways.");
        });
        scrolling(m, title, |m| m.append(draw(of, moment, title, says)));
    });
}

/// What the signs of the diagram mean.
fn key(m: &mut Markup) {
    let signs: [(&str, &str, &str); 5] = [
        ("flow", "M0 4H16V12H0Z", "calls as they flow today"),
        ("flow more", "M0 4H16V12H0Z", "more than today"),
        ("unserved", "M4 0H12V16H4Z", "unserved"),
        (
            "choke",
            "M8 2L14 8L8 14L2 8Z",
            "chokepoint: some calls have no way without it",
        ),
        (
            "open",
            "M3 3H13V13H3Z",
            "gone, or out for a time: its breaker is open",
        ),
    ];
    m.element("ul", &[("class", &"legend key")], |m| {
        for (class, d, says) in signs {
            m.element("li", &[], |m| {
                let attrs: &[(&'static str, &dyn std::fmt::Display)] = &[
                    ("class", &"grid"),
                    ("viewBox", &"0 0 16 16"),
                    ("width", &16),
                    ("height", &16),
                    ("aria-hidden", &"true"),
                ];
                m.element("svg", attrs, |m| m.empty("path", &[("class", &class), ("d", &d)]));
                m.say(says);
            });
        }
    });
}

fn chokepoints(m: &mut Markup, known: &Known<'_>) {
    let rows = &known.chokepoints.rows;
    m.leaf("h3", &[], "Chokepoints");
    if rows.is_empty() {
        return small(
            m,
            "No call hangs on one channel or component alone: each has another way that its party may use.",
        );
    }
    let served = known.before.served();
    let columns = [
        word("element"),
        number("parties"),
        number("calls without another way"),
        number("of calls"),
        word("how sure"),
    ];
    let sure = Sure::of(known.ground.rehearsal.basis());
    let cells = rows.iter().take(CHOKEPOINTS_MAX).map(|row| {
        vec![
            cell(spoken(&row.element)),
            cell(count(row.parties)),
            cell(count(row.calls)),
            cell(PerCent(row.calls, served)),
            super::document::tagged(sure),
        ]
    });
    m.append(table(
        ("Elements that calls cannot do without", None),
        &columns,
        cells.collect(),
    ));
    more(m, rows.len(), CHOKEPOINTS_MAX, "");
    small(
        m,
        "Read from the grid and the rules, call by call; whether other channels would have room is what the losses below say.",
    );
}

/// Who loses what. `losing` are the worst first.
pub(super) fn people(
    losing: &[(String, &Consequence)],
    worst: Option<(&str, &Consequence)>,
    sure: Sure,
) -> Section {
    let body = markup(|m| {
        if losing.is_empty() {
            small(m, "Nobody loses service.");
        } else if losing.len() > 1 {
            let shown: Vec<_> = losing
                .iter()
                .take(COLUMNS_MAX)
                .map(|(name, one)| (name.clone(), *one))
                .collect();
            m.append(classes::matrix(&shown, sure));
            more(m, losing.len(), shown.len(), "");
        }
        if let Some((name, consequence)) = worst.filter(|(_, one)| !one.is_nothing()) {
            m.append(classes::of_one(name, consequence, sure));
        }
    });
    Section::new(
        "people",
        "Who loses what",
        "By the class that is recorded of each party.",
        body,
    )
}

/// How concentrated supply is.
pub(super) fn supplied(known: &Known<'_>, pictured: Option<&Pictured<'_>>) -> Section {
    let snapshot = known.ground.rehearsal.snapshot();
    let sure = Sure::of(known.ground.rehearsal.basis());
    let after = pictured.map(|pictured| (pictured.says.as_str(), pictured.after));
    Section::new(
        "supply",
        "How concentrated supply is",
        "The fewer the suppliers, the nearer to 10,000; what is left after a loss may be more concentrated than before.",
        supply(
            snapshot,
            sure.and(if after.is_some() { Sure::Modelled } else { sure }),
            &known.before,
            after,
        ),
    )
}

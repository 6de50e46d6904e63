//! Concentration of supply: the index of calls, tokens and spend, by cloud, lab, region and channel, before and after.

use std::collections::BTreeMap;

use super::document::{cell, number, small, table, word};
use super::markup::{Markup, markup};
use super::px::Px;
use super::streams::Streams;
use super::words::Sure;
use crate::concentration::{Concentration, IndexAfter, Of, Suppliers, Way};
use crate::table::{count, percent};
use tieline_core::Snapshot;

/// The width of the axis from 0 to 10,000.
const AXIS: Px = Px::whole(200);
const MARGIN: Px = Px::whole(8);

/// The table. `after` is what it is compared with, in words.
pub(super) fn supply(
    snapshot: &Snapshot,
    sure: Sure,
    before: &Streams,
    after: Option<(&str, &Streams)>,
) -> Markup {
    let suppliers = Suppliers::all(snapshot);
    let mut rows = Vec::new();
    for of in [Of::Calls, Of::Tokens, Of::Spend] {
        let (before, after) = (before.weights(of), after.map(|(_, after)| after.weights(of)));
        for by in &suppliers {
            let sums = |weights: &BTreeMap<Way, u64>| by.sums(weights.iter().map(|(way, sum)| (*way, *sum)));
            let now = sums(&before).concentration(of);
            let then = after.as_ref().map(|after| sums(after).after(of, now.hhi));
            rows.push(row(&now, then.as_ref()));
        }
    }
    let mut columns = vec![
        word("of what, by what"),
        word("0 to 10,000"),
        number("before"),
        word("largest before"),
    ];
    if after.is_some() {
        columns.extend([number("after"), number("change"), word("largest after")]);
    }
    let caption = after.map_or_else(
        || "Index of concentration".to_owned(),
        |(name, _)| format!("Index of concentration, before and after: {name}"),
    );
    markup(|m| {
        m.append(table((&caption, Some(sure)), &columns, rows));
        small(
            m,
            "The Herfindahl-Hirschman index: the sum of squared shares in per cent; 10,000 is a single supplier. Marks on the \
             axis: 1,000 and 1,800, above which a market counts as highly concentrated (US merger guidelines of 2023; the \
             lower bound, 2010). Hollow: before; full: after. Clouds and regions as channels state them.",
        );
        for (what, unknown) in ["tokens", "spend"].into_iter().zip(before.unknown) {
            if unknown > 0 {
                small(
                    m,
                    format!(
                        "Left out of {what}: {} calls of which that is not known.",
                        count(unknown)
                    ),
                );
            }
        }
    })
}

fn row(now: &Concentration, then: Option<&IndexAfter>) -> Vec<Markup> {
    let largest = |share: Option<&crate::concentration::Share>| match share {
        Some(share) => format!("{} {}", share.name, percent(share.share_bp)),
        None => "–".to_owned(),
    };
    let index = |hhi: Option<u32>| hhi.map_or_else(|| "unknown".to_owned(), |hhi| count(hhi.into()));
    let mut cells = vec![
        cell(format!("{} by {}", now.of.name(), now.by.name())),
        axis(now.hhi, then.and_then(|then| then.hhi)),
        markup(|m| {
            m.say(index(now.hhi));
            if let Some(band) = now.band {
                m.leaf("small", &[], format!(" {}", band.name()));
            }
        }),
        cell(largest(now.shares.first())),
    ];
    if let Some(then) = then {
        let change = match then.change {
            None => "–".to_owned(),
            Some(0) => "0".to_owned(),
            Some(change) if change < 0 => format!("−{}", count(change.unsigned_abs())),
            Some(change) => format!("+{}", count(change.unsigned_abs())),
        };
        cells.push(cell(index(then.hhi)));
        cells.push(markup(|m| {
            let class = if then.is_flagged { "hit" } else { "none" };
            m.leaf("span", &[("class", &class)], change);
        }));
        cells.push(cell(largest(then.largest.as_ref())));
    }
    cells
}

/// Where an index stands on its axis.
pub(super) fn place(hhi: u32) -> Px {
    MARGIN + AXIS.share(hhi.into(), 10_000)
}

fn axis(before: Option<u32>, after: Option<u32>) -> Markup {
    markup(|m| {
        let width = AXIS + MARGIN + MARGIN;
        let view = format!("0 0 {width} 18");
        let attrs: &[(&str, &dyn std::fmt::Display)] = &[
            ("class", &"axis"),
            ("viewBox", &view),
            ("width", &width),
            ("height", &18),
            ("aria-hidden", &"true"),
        ];
        m.element("svg", attrs, |m| {
            let line = format!("M{MARGIN} 9H{}", MARGIN + AXIS);
            m.empty("path", &[("class", &"line"), ("d", &line)]);
            for mark in [1_000, 1_800] {
                m.empty(
                    "path",
                    &[("class", &"line"), ("d", &format!("M{} 5V13", place(mark)))],
                );
            }
            if let Some((from, to)) = before.zip(after).map(|(from, to)| (place(from), place(to))) {
                m.empty("path", &[("class", &"way"), ("d", &format!("M{from} 9H{to}"))]);
            }
            for (hhi, class) in [(after, "full"), (before, "hollow")] {
                if let Some(hhi) = hhi {
                    m.empty(
                        "circle",
                        &[("class", &class), ("cx", &place(hhi)), ("cy", &9), ("r", &5)],
                    );
                }
            }
        });
    })
}

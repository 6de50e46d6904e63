//! The pages of N-1 and N-2.

use std::collections::BTreeMap;

use super::document::{Document, Figure, Section};
use super::ranking::{ROWS_MAX, Row, ranking};
use super::sections::{Pictured, grid, people, supplied};
use super::sources::sources;
use super::streams::Streams;
use super::words::{Sure, spoken, spoken_all};
use super::{Ground, Known, answer};
use crate::bars::Miss;
use crate::contingency::{Contingency, Loss};
use crate::elements::{Element, named};
use crate::n_minus_1::NMinus1Report;
use crate::n_minus_2::NMinus2Report;
use crate::table::{count, few, tenths};

/// Elements named of those that change nothing.
const HARMLESS_MAX: usize = 24;
/// Elements or channels named of one row: two lines.
const NAMED_MAX: usize = 4;

/// What both reports say.
pub(super) struct Losses<'r> {
    bars_missed: &'r [Miss],
    command: &'static str,
    contingencies: &'r [Contingency],
    /// What was taken out in turn.
    each: String,
    loss: Loss,
    notes: &'r [String],
    /// What a bar's table is called.
    table: &'static str,
}

/// The contingency that a page shows before and after: the one that leaves most critical calls unserved, and among equals
/// the first of the report's order.
pub fn worst(contingencies: &[Contingency]) -> Option<&Contingency> {
    let critical = |one: &Contingency| one.consequence.critical.calls_unserved;
    contingencies.iter().reduce(|worst, one| {
        if critical(one) > critical(worst) {
            one
        } else {
            worst
        }
    })
}

/// The page of an N-1 report. `after` says who answers whom while something is gone.
pub fn n_minus_1_page(
    ground: Ground<'_>,
    report: &NMinus1Report,
    after: &dyn Fn(&[Element]) -> Option<Streams>,
) -> String {
    Losses::single(report).page(ground, after)
}

/// The page of an N-2 report.
pub fn n_minus_2_page(
    ground: Ground<'_>,
    report: &NMinus2Report,
    after: &dyn Fn(&[Element]) -> Option<Streams>,
) -> String {
    let losses = Losses {
        bars_missed: &report.bars_missed,
        command: "drill n-2",
        contingencies: &report.contingencies,
        each: format!(
            "Every pair of channels and components, {} in all, {} of which take out no more than one of the two alone,",
            count(report.pairs),
            count(report.pairs_as_one)
        ),
        loss: report.loss,
        notes: &report.notes,
        table: "n_2",
    };
    losses.page(ground, after)
}

impl<'r> Losses<'r> {
    pub(super) fn single(report: &'r NMinus1Report) -> Self {
        let elements = report.contingencies.len() as u64;
        Self {
            bars_missed: &report.bars_missed,
            command: "drill n-1",
            contingencies: &report.contingencies,
            each: format!("Each of {} channels and components", count(elements)),
            loss: report.loss,
            notes: &report.notes,
            table: "n_1",
        }
    }

    fn page(&self, ground: Ground<'_>, after: &dyn Fn(&[Element]) -> Option<Streams>) -> String {
        let known = Known::of(ground);
        let mut document = self.document(&known, after);
        document.sections.push(sources(&known, self.notes, &[]));
        document.html()
    }

    /// The page without what it rests on.
    pub(super) fn document(
        &self,
        known: &Known<'_>,
        after: &dyn Fn(&[Element]) -> Option<Streams>,
    ) -> Document {
        let worst = worst(self.contingencies);
        let streams = worst.and_then(|worst| after(&worst.gone));
        let pictured = worst.zip(streams.as_ref()).map(|(worst, after)| Pictured {
            after,
            gone: &worst.gone,
            is_lasting: true,
            says: format!("without {}", spoken_all(&worst.gone)),
            // Whatever its row is, the picture is of calls that were decided again.
            sure: Sure::Exact,
        });
        let mut sections = vec![grid(known, pictured.as_ref()), self.ranked(known, worst)];
        let losing: Vec<_> = (alike(self.contingencies).into_iter())
            .filter(|(one, _)| one.consequence.tally.unserved() > 0)
            .map(|(one, _)| (spoken_each(one), &one.consequence))
            .collect();
        let worst_named =
            worst.map(|worst| (format!("without {}", spoken_all(&worst.gone)), &worst.consequence));
        sections.push(people(
            &losing,
            worst_named.as_ref().map(|(name, one)| (name.as_str(), *one)),
            self.sure(known),
        ));
        sections.push(supplied(known, pictured.as_ref()));
        let ground = known.ground;
        let basis = ground.rehearsal.basis();
        Document {
            answer: Self::answer(known, worst),
            banner: ground.doubt.map(super::sections::doubt),
            command: self.command,
            figures: self.figures(known, worst),
            lede: format!(
                "{} taken out in turn, {}, over {}.",
                self.each,
                self.loss.says(),
                basis.counted(ground.rehearsal.base().calls)
            ),
            sections,
        }
    }

    fn answer(known: &Known<'_>, worst: Option<&Contingency>) -> String {
        let exposed = answer::exposed(known);
        let touching = worst.filter(|worst| !worst.consequence.is_nothing());
        let Some(worst) = touching else {
            return format!("No loss examined would change anything; {exposed}.");
        };
        let gone = spoken_all(&worst.gone);
        format!(
            "Loss of {gone} would {}; {exposed}.",
            answer::does(&worst.consequence, Some(known.critical))
        )
    }

    fn figures(&self, known: &Known<'_>, worst: Option<&Contingency>) -> Vec<Figure> {
        let all = self.contingencies.iter();
        let losing = all.filter(|one| one.consequence.tally.unserved() > 0).count();
        answer::figures(
            known,
            [
                "of calls are served with nothing gone",
                "losses would leave calls unserved",
            ],
            (losing, self.contingencies.len(), self.sure(known)),
            worst.map(|worst| (worst.consequence.tally, worst.label.into())),
        )
    }

    /// How sure the least sure of the rows is.
    fn sure(&self, known: &Known<'_>) -> Sure {
        let labels = self.contingencies.iter().map(|one| Sure::from(one.label));
        labels.fold(Sure::of(known.ground.rehearsal.basis()), Sure::and)
    }

    fn ranked(&self, known: &Known<'_>, worst: Option<&Contingency>) -> Section {
        let groups = alike(self.contingencies);
        let sure = Sure::of(known.ground.rehearsal.basis());
        let rows = groups.iter().take(ROWS_MAX).map(|(one, others)| Row {
            consequence: &one.consequence,
            detail: detail(one, others),
            is_shown_above: worst.is_some_and(|worst| worst.channels_out == one.channels_out),
            name: spoken_each(one),
            sure: sure.and(one.label.into()),
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let body = super::markup::markup(|m| {
            if !self.bars_missed.is_empty() {
                m.element("div", &[("class", &"bars"), ("role", &"note")], |m| {
                    self.missed(m);
                });
            }
            m.append(ranking(
                "Losses by consequence, the worst first",
                "gone",
                &rows,
                groups.len(),
            ));
            let harmless = self
                .contingencies
                .iter()
                .filter(|one| one.consequence.is_nothing());
            let harmless: Vec<String> = harmless.map(|one| named(&one.gone)).collect();
            if !harmless.is_empty() {
                let names = few(&harmless, HARMLESS_MAX);
                super::document::small(m, format!("Changes nothing, whichever of them is gone: {names}."));
            }
        });
        Section::new(
            "losses",
            "What each loss does",
            "Ranked by calls lost, then held, then answered by another model, then moved.",
            body,
        )
    }

    fn missed(&self, m: &mut super::markup::Markup) {
        let bars = self.bars_missed.len() as u64;
        m.leaf(
            "strong",
            &[],
            format!("Stated in [bars.{}] and missed: {}", self.table, count(bars)),
        );
        m.element("ul", &[], |m| {
            for miss in self.bars_missed.iter().take(HARMLESS_MAX) {
                let value = |number: u64| {
                    if miss.bar.contains("permille") {
                        tenths(number)
                    } else {
                        count(number)
                    }
                };
                let found = miss.found.map_or_else(|| "unknown".to_owned(), value);
                m.leaf(
                    "li",
                    &[],
                    format!(
                        "{}: {found}, at most {} – {}",
                        spoken_all(&miss.gone),
                        value(miss.max),
                        miss.bar
                    ),
                );
            }
        });
        super::document::more(m, self.bars_missed.len(), HARMLESS_MAX, "");
    }
}

/// Contingencies that change anything; those that take out the same channels are one, and do the same.
fn alike(contingencies: &[Contingency]) -> Vec<(&Contingency, Vec<&Contingency>)> {
    let mut groups: Vec<(&Contingency, Vec<&Contingency>)> = Vec::new();
    let mut places: BTreeMap<&[String], usize> = BTreeMap::new();
    for one in contingencies.iter().filter(|one| !one.consequence.is_nothing()) {
        let place = *places.entry(&one.channels_out).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, others)) => others.push(one),
            None => groups.push((one, Vec::new())),
        }
    }
    groups
}

fn spoken_each(one: &Contingency) -> String {
    let names: Vec<String> = one.gone.iter().map(spoken).collect();
    names.join(" + ")
}

/// What does the same, and which channels it takes out, where its name does not say.
fn detail(one: &Contingency, others: &[&Contingency]) -> String {
    let is_itself =
        matches!((one.gone.as_slice(), one.channels_out.as_slice()), ([gone], [out]) if gone.name == *out);
    let others: Vec<String> = others.iter().map(|other| spoken_each(other)).collect();
    let same = (!others.is_empty()).then(|| format!("the same as {}", few(&others, NAMED_MAX)));
    let takes = (!is_itself && !one.channels_out.is_empty())
        .then(|| format!("takes out {}", few(&one.channels_out, NAMED_MAX)));
    let parts: Vec<String> = same.into_iter().chain(takes).collect();
    parts.join("; ")
}

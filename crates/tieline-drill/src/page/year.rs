//! The page of a stochastic year: what service to expect to lose, how bad a bad year is, what it is lost to, and the priors
//! that all of it rests on.

use super::bars::bar;
use super::document::{Document, Figure as Tile, Section, cell, more, number, small, table, tagged, word};
use super::markup::{Markup, markup};
use super::sections::{doubt, grid, supplied};
use super::sources::sources;
use super::words::Sure;
use super::{Ground, Known};
use crate::contingency::Label;
use crate::structure::DowntimeBasis;
use crate::table::{count, few, plural};
use crate::year::{CauseKind, Spread, YearClass, YearReport};

/// Rows of each table, as on a terminal.
const ROWS_MAX: usize = 12;
/// What is named of an episode.
const OUT_MAX: usize = 4;

/// The page of a report on years.
pub fn year_page(ground: Ground<'_>, report: &YearReport) -> String {
    let known = Known::of(ground);
    let document = Document {
        answer: answer(report),
        banner: ground.doubt.map(doubt),
        command: "drill year",
        figures: figures(report),
        lede: format!(
            "{} of outages drawn from priors, over {}.",
            plural(report.runs.into(), "year"),
            ground.rehearsal.basis().counted(report.base.calls)
        ),
        sections: vec![
            spread(report),
            causes(report),
            people(report),
            episodes(report),
            grid(&known, None),
            supplied(&known, None),
            sources(&known, &report.notes, &[]),
        ],
    };
    document.html()
}

/// What was come by so is no surer than the calls that it rests on.
fn sure(report: &YearReport, label: Label) -> Sure {
    Sure::of(report.basis).and(label.into())
}

fn answer(report: &YearReport) -> String {
    if report.no_loss.years == report.runs {
        return format!(
            "In none of {} drawn is a call unserved.",
            plural(report.runs.into(), "year")
        );
    }
    let mut bad = report.unserved.quantiles.iter();
    let bad = bad.find(|quantile| quantile.of_100 >= 90 && quantile.value.value() > 0.0);
    let bad = bad.map_or_else(String::new, |bad| {
        let years = plural((100 - bad.of_100.min(100)).into(), "year");
        format!("; in {years} of 100, more than {} calls do", bad.value.short())
    });
    format!(
        "{} of calls a year go unserved, in {} h of the year on average{bad}.",
        report.unserved_share.mean.percent(),
        report.hours.mean.mean.short()
    )
}

pub(super) fn figures(report: &YearReport) -> Vec<Tile> {
    let tile = |value: String, says: &str, is_bad: bool| Tile {
        is_bad,
        says: says.to_owned(),
        sure: sure(report, Label::Modelled),
        value,
    };
    let is_lost = report.no_loss.years < report.runs;
    vec![
        tile(
            report.hours.mean.short(),
            "hours of a year with calls unserved",
            is_lost,
        ),
        tile(report.unserved.mean.short(), "calls of a year unserved", is_lost),
        tile(
            report.unserved.worst.mean.short(),
            "calls unserved in the worst 5 years of 100, on average",
            is_lost,
        ),
        tile(report.no_loss.share.percent(), "of years without any loss", false),
    ]
}

pub(super) fn spread(report: &YearReport) -> Section {
    let columns = [
        word("in a year"),
        number("mean"),
        number("middle year"),
        number("9 of 10 stay at or below"),
        number("19 of 20"),
        number("99 of 100"),
        number("the worst"),
        word("how sure"),
    ];
    let row = |name: &str, spread: &Spread| {
        let mut cells = vec![cell(name), cell(spread.mean.short())];
        cells.extend(
            spread
                .quantiles
                .iter()
                .map(|quantile| cell(quantile.value.short())),
        );
        cells.push(cell(spread.max.short()));
        cells.push(tagged(sure(report, spread.label)));
        cells
    };
    let rows = vec![
        row("hours with calls unserved", &report.hours),
        row("calls unserved", &report.unserved),
    ];
    let body = markup(|m| {
        m.append(table(("How good and bad years differ", None), &columns, rows));
        let no_loss = &report.no_loss;
        let says = format!(
            "After ±: half of the interval at 95 per cent. Without any loss: {} of {} ({} to {}).",
            plural(no_loss.years.into(), "year"),
            count(report.runs.into()),
            no_loss.low.percent(),
            no_loss.high.percent()
        );
        small(m, says);
    });
    Section::new("years", "What a year comes to", "", body)
}

pub(super) fn causes(report: &YearReport) -> Section {
    let all = &report.causes;
    let columns = [
        word("what goes out"),
        number("hours out a year"),
        number("calls unserved meanwhile"),
        number("because of it alone"),
        word("prior"),
        word("how sure"),
    ];
    let rows = all.iter().take(ROWS_MAX).map(|cause| {
        let name = markup(|m| {
            m.leaf("span", &[("class", &"what")], &cause.name);
            if cause.kind == CauseKind::CommonCause {
                m.leaf("span", &[("class", &"note")], "all at once");
            }
        });
        let prior = &cause.prior;
        let is_sure = match prior.basis {
            DowntimeBasis::Assumed => Sure::Assumed,
            DowntimeBasis::Measured | DowntimeBasis::Stated => sure(report, Label::Modelled),
        };
        let says = format!(
            "{} a year, {} on average: {}",
            prior.per_year.short(),
            plural(prior.minutes.into(), "minute"),
            prior.source
        );
        vec![
            name,
            cell(cause.hours_out.short()),
            cell(cause.while_out.short()),
            cell(cause.because.short()),
            cell(says),
            tagged(is_sure),
        ]
    });
    let body = markup(|m| {
        m.append(table(
            ("What costs most calls first", None),
            &columns,
            rows.collect(),
        ));
        more(m, all.len(), ROWS_MAX, "");
    });
    Section::new(
        "causes",
        "What it is lost to",
        "How often and how long things go out is what the priors say.",
        body,
    )
}

fn people(report: &YearReport) -> Section {
    let columns = [
        word("class"),
        number("calls a year"),
        number("unserved"),
        number("hours with calls unserved"),
        word("how sure"),
    ];
    let row = |name: &str, class: &YearClass| {
        vec![
            cell(name),
            cell(class.calls.short()),
            cell(class.unserved.short()),
            cell(class.hours.short()),
            tagged(sure(report, class.label)),
        ]
    };
    let named = report.classes.iter().map(|class| {
        let name = class.class.map_or("", crate::known::PartyClass::name);
        row(name, class)
    });
    let critical = report
        .critical
        .iter()
        .map(|class| row("critical, of all classes", class));
    let rows = named.chain(critical).collect();
    let body = markup(|m| {
        m.append(table(("Calls by class of party", None), &columns, rows));
        if !report.parties.is_empty() {
            parties(m, report);
        }
    });
    Section::new(
        "people",
        "Who loses what",
        "By the class that is recorded of each party.",
        body,
    )
}

fn parties(m: &mut Markup, report: &YearReport) {
    let columns = [
        word("party"),
        word("class"),
        number("calls unserved a year"),
        word("how sure"),
    ];
    let shown = report.parties.iter().take(ROWS_MAX);
    let rows = shown.map(|party| {
        vec![
            cell(&party.party),
            cell(party.class.name()),
            cell(party.unserved.short()),
            tagged(sure(report, party.label)),
        ]
    });
    m.leaf("h3", &[], "Parties that lose most");
    m.append(table(
        ("On average over the years", None),
        &columns,
        rows.collect(),
    ));
    let all = usize::try_from(report.parties_losing).unwrap_or(usize::MAX);
    more(m, all, report.parties.len().min(ROWS_MAX), "parties");
}

pub(super) fn episodes(report: &YearReport) -> Section {
    let all = &report.worst;
    let columns = [
        word("lost to"),
        number("lasts, h"),
        number("calls decided"),
        number("unserved"),
        number("by the flows"),
        word("how sure"),
    ];
    let rows = all.iter().take(ROWS_MAX).map(|row| {
        let out: Vec<String> = row.out.iter().map(|out| out.name.clone()).collect();
        let decided = row.decided.as_ref();
        let name = markup(|m| {
            m.leaf("span", &[("class", &"what")], few(&out, OUT_MAX));
            m.leaf("span", &[("class", &"detail")], format!("year {}", row.run));
            if let Some(decided) = decided {
                m.append(bar(&decided.tally));
            }
        });
        let of = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), count);
        vec![
            name,
            cell(row.hours.short()),
            cell(of(decided.map(|decided| decided.tally.calls()))),
            cell(of(decided.map(|decided| decided.tally.unserved()))),
            cell(decided.map_or_else(|| row.unserved.short(), |decided| count(decided.flow_unserved))),
            tagged(sure(
                report,
                decided.map_or(Label::Modelled, |decided| decided.label),
            )),
        ]
    });
    let body = markup(|m| {
        if all.is_empty() {
            return small(m, "There are none.");
        }
        m.append(table(
            ("The worst episodes of the worst years", None),
            &columns,
            rows.collect(),
        ));
        more(m, all.len(), ROWS_MAX, "");
    });
    Section::new(
        "episodes",
        "How bad it can be",
        "Decided call by call where there are not too many, beside what the flows made of the same time.",
        body,
    )
}

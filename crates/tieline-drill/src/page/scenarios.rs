//! The page of scenarios: the worst of them in the diagram, a row each, and each over time.

use tieline_core::Span;

use super::course::{LANES_MAX, course};
use super::document::{Document, Figure, Section, more, scrolling, small};
use super::markup::{Markup, markup};
use super::ranking::{ROWS_MAX, Row, ranking};
use super::sections::{Pictured, doubt, grid, people, supplied};
use super::sources::sources;
use super::streams::Streams;
use super::words::{Sure, between, minute};
use super::{Ground, Known, answer};
use crate::elements::Element;
use crate::scenario::{EventReport, ScenarioReport, ScenariosReport, Source};
use crate::table::{plural_parties, span};
use crate::traffic::spelled;

/// Scenarios whose course is shown: 40 pictures of 15 kB are 600 kB.
const COURSES_MAX: usize = 40;
/// Events that are listed of one scenario: three screens.
const EVENTS_MAX: usize = 60;

/// What a page shows of a scenario beside its report.
#[derive(Clone, Debug)]
pub struct ScenarioShown {
    pub id: String,
    /// What is out at some time.
    pub out: Vec<Element>,
    pub streams: Streams,
}

/// The page of a report on scenarios.
pub fn scenarios_page(ground: Ground<'_>, report: &ScenariosReport, shown: &[ScenarioShown]) -> String {
    let known = Known::of(ground);
    let basis = ground.rehearsal.basis();
    let sure = Sure::of(basis);
    let worst = report.scenarios.first();
    let of_worst = worst.and_then(|worst| shown.iter().find(|one| one.id == worst.id));
    let pictured = worst.zip(of_worst).map(|(worst, shown)| Pictured {
        after: &shown.streams,
        gone: &shown.out,
        is_lasting: false,
        says: format!("through “{}”", worst.title),
        sure: Sure::Modelled,
    });
    let losing = report
        .scenarios
        .iter()
        .filter(|one| one.consequence.tally.unserved() > 0);
    let losing: Vec<_> = losing.map(|one| (one.title.clone(), &one.consequence)).collect();
    let through = worst.map(|worst| (format!("through “{}”", worst.title), &worst.consequence));
    let mut notes = report.notes.clone();
    notes.extend(assumed(report));
    let cited = cited(report);
    let sections = vec![
        grid(&known, pictured.as_ref()),
        ranked(report, sure, pictured.is_some()),
        courses(report, sure),
        people(
            &losing,
            through.as_ref().map(|(name, one)| (name.as_str(), *one)),
            sure.and(Sure::Modelled),
        ),
        supplied(&known, pictured.as_ref()),
        sources(&known, &notes, &cited),
    ];
    let lasting = spelled(Span(report.until_us.saturating_sub(report.from_us)));
    let document = Document {
        answer: answer(&known, worst),
        banner: ground.doubt.map(doubt),
        command: "drill scenario",
        figures: figures(report, &known),
        lede: format!(
            "{} over {} in {lasting}, {}.",
            crate::table::plural(report.scenarios.len() as u64, "scenario"),
            basis.counted(report.base.calls),
            between(report.from_us, report.until_us)
        ),
        sections,
    };
    document.html()
}

/// What each scenario assumes.
pub(super) fn assumed(report: &ScenariosReport) -> impl Iterator<Item = String> {
    report.scenarios.iter().flat_map(|scenario| {
        let assumed = scenario.assumed.iter();
        let own = assumed.map(|says| format!("{} – assumed: {says}", scenario.title));
        let laid = scenario.notes.iter();
        own.chain(laid.map(|says| format!("{} – {says}", scenario.title)))
    })
}

/// Where the facts of each are from.
pub(super) fn cited(report: &ScenariosReport) -> Vec<(&str, &Source)> {
    let all = report.scenarios.iter();
    all.flat_map(|one| one.sources.iter().map(|source| (one.title.as_str(), source)))
        .collect()
}

fn answer(known: &Known<'_>, worst: Option<&ScenarioReport>) -> String {
    let exposed = answer::exposed(known);
    let Some(worst) = worst else {
        return format!("No scenario was played; {exposed}.");
    };
    // A surge makes other calls of these: shares of today's would mislead.
    let is_whole = worst.calls_added + worst.calls_left_out == 0;
    let does = answer::does(&worst.consequence, is_whole.then_some(known.critical));
    format!("“{}” would {does}; {exposed}.", worst.title)
}

fn figures(report: &ScenariosReport, known: &Known<'_>) -> Vec<Figure> {
    let all = report.scenarios.iter();
    let losing = all.filter(|one| one.consequence.tally.unserved() > 0).count();
    let worst = report.scenarios.first();
    answer::figures(
        known,
        [
            "of calls are served where nothing happens",
            "scenarios would leave calls unserved",
        ],
        (losing, report.scenarios.len(), Sure::Modelled),
        worst.map(|worst| (worst.consequence.tally, Sure::Modelled)),
    )
}

pub(super) fn ranked(report: &ScenariosReport, sure: Sure, is_pictured: bool) -> Section {
    let rows = report.scenarios.iter().enumerate().take(ROWS_MAX);
    let rows = rows.map(|(ix, one)| Row {
        consequence: &one.consequence,
        detail: recovery(one),
        is_shown_above: is_pictured && ix == 0,
        name: one.title.clone(),
        // What happens is from sources or assumed; the calls are decided by the live core.
        sure: sure.and(Sure::Modelled),
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let all = report.scenarios.len();
    Section::new(
        "scenarios",
        "What each scenario does",
        "Ranked by calls lost, then held, then answered by another model, then moved.",
        ranking(
            "Scenarios by consequence, the worst first",
            "scenario",
            &rows,
            all,
        ),
    )
}

/// How long it takes until all is well.
fn recovery(one: &ScenarioReport) -> String {
    let recovery = one.consequence.recovery;
    let mut parts = Vec::new();
    if let Some(longest) = recovery.longest_us {
        parts.push(format!(
            "well again {} after it began, at the latest",
            span(longest)
        ));
    }
    if recovery.parties_not > 0 {
        parts.push(format!(
            "{} not well again in this time",
            plural_parties(recovery.parties_not)
        ));
    }
    parts.join("; ")
}

/// Each scenario over time.
pub(super) fn courses(report: &ScenariosReport, sure: Sure) -> Section {
    let body = markup(|m| {
        super::bars::legend(m);
        for (ix, one) in report.scenarios.iter().take(COURSES_MAX).enumerate() {
            m.leaf("h3", &[], &one.title);
            if !one.description.is_empty() {
                small(m, &one.description);
            }
            m.element("figure", &[], |m| {
                m.element("figcaption", &[], |m| {
                    m.say(format!("Calls of each {} ", spelled(Span(one.course.width_us))));
                    super::document::tag(m, sure.and(Sure::Modelled));
                    m.leaf("span", &[("class", &"hint")], " The picture scrolls sideways.");
                });
                let title = format!("{} over time", one.title);
                scrolling(m, &title, |m| {
                    m.append(course(ix, &title, &one.course, &one.events));
                });
            });
            events(m, &one.events);
        }
        more(m, report.scenarios.len(), COURSES_MAX, "scenarios");
    });
    Section::new(
        "courses",
        "How each runs",
        "What becomes of the calls that arrive at each time, under a bar for each event.",
        body,
    )
}

fn events(m: &mut Markup, events: &[EventReport]) {
    m.element("ol", &[("class", &"events")], |m| {
        for event in events.iter().take(EVENTS_MAX) {
            m.element("li", &[], |m| {
                m.say(&event.says);
                let when = match event.until_us {
                    Some(until) => between(event.from_us, until),
                    None => format!("from {}", minute(event.from_us)),
                };
                m.leaf("time", &[], format!(", {when}"));
            });
        }
    });
    if events.len() > LANES_MAX {
        small(
            m,
            format!(
                "The picture has bars for the first {LANES_MAX} of {} events.",
                events.len()
            ),
        );
    }
    more(m, events.len(), EVENTS_MAX, "events");
}

//! The page of a whole rehearsal: what each loss does, the scenarios over time, what a year comes to, and what to buy.

use super::document::Section;
use super::losses::Losses;
use super::sources::sources;
use super::streams::Streams;
use super::words::Sure;
use super::{Ground, Known, plan, scenarios, year};
use crate::elements::Element;
use crate::n_minus_1::NMinus1Report;
use crate::plan::PlanReport;
use crate::scenario::ScenariosReport;
use crate::table::plural;
use crate::traffic::Basis;
use crate::year::YearReport;

/// The reports of a rehearsal.
#[derive(Clone, Copy, Debug)]
pub struct Rehearsed<'r> {
    pub losses: &'r NMinus1Report,
    pub plan: Option<&'r PlanReport>,
    /// With what the calls are that they are played over: calls at an even pace, where there are no others.
    pub scenarios: Option<(&'r ScenariosReport, Basis)>,
    pub year: &'r YearReport,
}

/// The page of all of them. `after` says who answers whom while something is gone.
pub fn board_page(
    ground: Ground<'_>,
    rehearsed: Rehearsed<'_>,
    after: &dyn Fn(&[Element]) -> Option<Streams>,
) -> String {
    let known = Known::of(ground);
    let sure = Sure::of(ground.rehearsal.basis());
    let mut document = Losses::single(rehearsed.losses).document(&known, after);
    document.command = "drill board";
    let (mut notes, mut cited) = (rehearsed.losses.notes.clone(), Vec::new());
    let add = |all: &[String], notes: &mut Vec<String>| {
        for note in all {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
    };
    if let Some((report, basis)) = rehearsed.scenarios {
        let sure = Sure::of(basis);
        let ranked = scenarios::ranked(report, sure, false);
        document.sections.push(Section {
            lede: format!(
                "{} Over {}, with every limit as it stands.",
                ranked.lede,
                basis.counted(report.base.calls)
            ),
            ..ranked
        });
        document.sections.push(scenarios::courses(report, sure));
        let own = report
            .notes
            .iter()
            .filter(|note| !rehearsed.losses.notes.contains(note));
        notes.extend(own.map(|note| format!("Scenarios – {note}")));
        notes.extend(scenarios::assumed(report));
        cited = scenarios::cited(report);
    }
    let years = rehearsed.year;
    document.figures.extend(year::figures(years).into_iter().take(1));
    document.sections.push(year::spread(years));
    document.sections.push(Section {
        title: "What the years are lost to".to_owned(),
        ..year::causes(years)
    });
    document.sections.push(Section {
        title: "How bad a year can be".to_owned(),
        ..year::episodes(years)
    });
    add(&years.notes, &mut notes);
    if let Some(report) = rehearsed.plan {
        document
            .figures
            .extend(plan::figures(report, sure).into_iter().skip(1));
        document.sections.push(plan::bought(report, sure));
        document.sections.push(plan::offers(&report.offers, sure));
        add(&report.notes, &mut notes);
    }
    let parts = [
        rehearsed
            .scenarios
            .map(|(report, _)| plural(report.scenarios.len() as u64, "scenario")),
        Some(format!("{} of outages", plural(years.runs.into(), "year"))),
        rehearsed
            .plan
            .map(|report| format!("{} to buy", plural(report.offers.len() as u64, "offer"))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    document.lede = format!("{} With them: {}.", document.lede, parts.join(", "));
    document.sections.push(sources(&known, &notes, &cited));
    document.html()
}

//! What scenarios do to traffic: one play each, compared with the same calls where nothing happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::course::Course;
use super::lay::{LayError, lay};
use super::load::Load;
use super::surge::surge;
use super::{Scenario, Source, What};
use crate::consequence::{Consequence, CostChange, PARTY_ROWS_MAX};
use crate::contingency::Assumed;
use crate::elements::Element;
use crate::laid::Laid;
use crate::n_minus_1::notes;
use crate::page::{ScenarioShown, StreamCounter};
use crate::rehearsal::{Base, Rehearsal};
use crate::seen::End;
use crate::timeline::Ordered;
use crate::traffic::Basis;

/// The schema of [`ScenariosReport`].
pub const SCENARIO_V1: &str = "tieline/drill-scenario/v1";

/// What several scenarios do to the same traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ScenariosReport {
    /// The same traffic where nothing happens.
    pub base: Base,
    pub basis: Basis,
    /// The first call: µs UTC.
    pub from_us: u64,
    /// What is modelled or assumed of all of them, in sentences.
    pub notes: Vec<String>,
    /// Worst first: by calls lost, held, degraded, moved; then by id.
    pub scenarios: Vec<ScenarioReport>,
    /// Always [`SCENARIO_V1`].
    pub schema: &'static str,
    /// The last call: µs UTC.
    pub until_us: u64,
}

/// What one scenario does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ScenarioReport {
    /// What the scenario assumes, in sentences.
    pub assumed: Vec<String>,
    /// Calls that a surge adds; each is compared with the call that it is a copy of.
    pub calls_added: u64,
    /// Calls that a surge leaves out.
    pub calls_left_out: u64,
    pub consequence: Consequence,
    /// What becomes of calls over time.
    pub course: Course,
    pub description: String,
    /// In the order of their beginnings.
    pub events: Vec<EventReport>,
    pub id: String,
    /// What laying it on this grid and this traffic assumes or leaves out, in sentences.
    pub notes: Vec<String>,
    /// The values of its parameters.
    pub set: BTreeMap<String, String>,
    pub sources: Vec<Source>,
    /// The instant that its offsets count from: µs UTC.
    pub start_us: u64,
    pub title: String,
}

/// An event, and when it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventReport {
    /// µs UTC.
    pub from_us: u64,
    pub says: String,
    /// The first instant at which it is over: µs UTC. Absent if it lasts to the end of the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
}

/// A scenario that is ready to be played.
pub struct Staged<'o> {
    /// What was left out by reading it, in sentences.
    pub notes: Vec<String>,
    /// What its events name by index.
    pub orders: Vec<Box<Ordered<'o>>>,
    pub scenario: Scenario,
    /// The values of its parameters.
    pub set: BTreeMap<String, String>,
}

impl ScenariosReport {
    /// The report of scenarios that were played over the calls of a rehearsal.
    pub fn new(rehearsal: &Rehearsal<'_>, mut scenarios: Vec<ScenarioReport>) -> Self {
        let weight = |one: &ScenarioReport| one.consequence.tally.weight();
        scenarios.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.id.cmp(&b.id)));
        let (base, traffic) = (rehearsal.base().clone(), rehearsal.traffic());
        let (first, last) = traffic.window().unwrap_or_default();
        Self {
            notes: notes(&base, traffic, Assumed::default()),
            base,
            basis: traffic.basis,
            from_us: first.0,
            scenarios,
            schema: SCENARIO_V1,
            until_us: last.0,
        }
    }
}

/// Play a scenario over the calls of a rehearsal.
pub fn play_scenario(
    rehearsal: &Rehearsal<'_>,
    load: &Load,
    staged: Staged<'_>,
) -> Result<ScenarioReport, LayError> {
    played(rehearsal, load, staged, None)
}

/// The same, and what a page shows of it beside its report.
pub fn play_scenario_shown(
    rehearsal: &Rehearsal<'_>,
    load: &Load,
    staged: Staged<'_>,
) -> Result<(ScenarioReport, ScenarioShown), LayError> {
    let out = staged
        .scenario
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Out { element, .. } => Some(element.clone()),
            _ => None,
        });
    let out: Vec<Element> = out.collect();
    let mut streams = StreamCounter::new(rehearsal);
    let report = played(rehearsal, load, staged, Some(&mut streams))?;
    let shown = ScenarioShown {
        id: report.id.clone(),
        out,
        streams: streams.finish(),
    };
    Ok((report, shown))
}

fn played(
    rehearsal: &Rehearsal<'_>,
    load: &Load,
    staged: Staged<'_>,
    mut streams: Option<&mut StreamCounter<'_, '_>>,
) -> Result<ScenarioReport, LayError> {
    let Staged {
        mut notes,
        orders,
        scenario,
        set,
    } = staged;
    let (first, last) = rehearsal.traffic().window().unwrap_or_default();
    let laying = lay(&scenario, rehearsal.snapshot(), load, orders, last)?;
    notes.extend(laying.notes);
    let surged = (!laying.surges.is_empty()).then(|| surge(rehearsal.traffic(), &laying.surges));
    let own = surged.as_ref().map(|surged| rehearsal.surged(surged));
    let mut course = Course::over(first, last);
    let played = own.as_ref().unwrap_or(rehearsal);
    let mut seen = |laid: &Laid<'_>, end: &End, fate| {
        if let Some(call) = laid.traffic.calls.get(end.call) {
            course.count(call.at, fate);
        }
        if let Some(streams) = streams.as_deref_mut() {
            streams.see(laid, end, fate);
        }
    };
    let (mut consequence, _) = played.play_watched(&laying.timeline, PARTY_ROWS_MAX, &mut seen);
    unpriced(rehearsal, &laying.unpriced, &mut consequence);
    if surged
        .as_ref()
        .is_some_and(|surged| surged.added + surged.dropped == 0)
    {
        notes.push("No call of the traffic is meant by the surge: it changes nothing.".to_owned());
    }
    let mut events: Vec<EventReport> = scenario
        .events
        .iter()
        .map(|event| EventReport {
            from_us: event.from.0,
            says: event.says.clone(),
            until_us: event.until.map(|until| until.0),
        })
        .collect();
    events.sort_by_key(|event| event.from_us);
    Ok(ScenarioReport {
        assumed: scenario.assumed,
        calls_added: surged.as_ref().map_or(0, |surged| surged.added),
        calls_left_out: surged.as_ref().map_or(0, |surged| surged.dropped),
        consequence,
        course,
        description: scenario.description,
        events,
        id: scenario.id,
        notes,
        set,
        sources: scenario.sources,
        start_us: scenario.start.0,
        title: scenario.title,
    })
}

/// What nobody knows the price of costs nobody knows how much more where prices change.
fn unpriced(
    rehearsal: &Rehearsal<'_>,
    unpriced: &BTreeSet<(Arc<str>, Arc<str>)>,
    consequence: &mut Consequence,
) {
    let flows = rehearsal.base().flows.iter();
    let of = flows.filter(|flow| {
        let is =
            |(channel, model): &(Arc<str>, Arc<str>)| **channel == *flow.channel && **model == *flow.model;
        unpriced.iter().any(is)
    });
    let calls: u64 = of.map(|flow| flow.calls).sum();
    if calls > 0 {
        consequence.cost_change_nano = CostChange::Unknown;
        consequence.cost_unknown_calls += calls;
    }
}

impl std::fmt::Debug for Staged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged")
            .field("scenario", &self.scenario)
            .finish_non_exhaustive()
    }
}

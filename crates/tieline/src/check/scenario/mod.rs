//! From a scenario as it was written to one that can be laid on a grid: parameters are filled in, times become instants,
//! and every name, selection and order of events is held against the grid and the traffic at hand. Every mistake of a
//! file is reported in one run, except that a text which is not TOML, or has a parameter without value, is not looked at
//! further.
//!
//! Contract. [`check_text`] is a function of its arguments; files of directives are asked for through a closure. What it
//! gives has instants in the order of cause, no two events on one thing at one time, and at least one event that touches
//! the traffic. Bounds: [`SCENARIO_BYTES_MAX`], 256 events.

mod event;
mod head;
mod names;
mod orders;
mod overlap;
mod parameters;
mod time;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tieline_core::{Snapshot, Tick};
use tieline_drill::{EVENTS_MAX, Load, PartyClass, Scenario};
use tieline_policy::Directive;

pub(crate) use self::orders::read as read_directive;
pub(crate) use self::parameters::names as parameter_names;

use crate::diagnose::{Code, Diagnostic, Report, Sink, Span};
use crate::raw;
use crate::raw::scenario::RawScenario;

/// Bytes of a scenario: 256 events of a full kilobyte, and directives whose text stands in it.
pub(crate) const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// What a scenario is laid on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// The folder that paths of directives start from.
    pub(crate) base: &'a Path,
    /// Ids of the licences that are recorded.
    pub(crate) licences: &'a BTreeSet<String>,
    pub(crate) load: &'a Load,
    /// Everybody who is known or calls, with their class if that is known.
    pub(crate) parties: &'a BTreeMap<Arc<str>, Option<PartyClass>>,
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<String>,
    pub(crate) snapshot: &'a Snapshot,
    /// The first and the last call of the traffic.
    pub(crate) window: (Tick, Tick),
}

/// What was chosen on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices<'a> {
    pub(crate) set: &'a BTreeMap<String, String>,
    /// Whether an event whose names are absent is left out with a note.
    pub(crate) skip_absent: bool,
    /// Takes the place of the scenario's own start.
    pub(crate) start: Option<&'a str>,
}

/// A scenario that can be laid on its ground.
#[derive(Clone, Debug)]
pub(crate) struct CheckedScenario {
    /// What was left out, and what lies beyond the traffic, in sentences.
    pub(crate) notes: Vec<String>,
    /// What its events name by index.
    pub(crate) orders: Vec<OrderSpec>,
    pub(crate) scenario: Scenario,
    /// The values of its parameters.
    pub(crate) set: BTreeMap<String, String>,
}

/// Something that rules while its event lasts.
#[derive(Clone, Debug)]
pub(crate) enum OrderSpec {
    Directive(Arc<Directive>),
    /// This licence is as if it had ended; of this party, or of everyone.
    Lapse {
        licence: String,
        party: Option<Arc<str>>,
    },
}

/// Check a text against its ground.
pub(crate) fn check_text(
    name: &str,
    text: &str,
    ground: Ground<'_>,
    choices: Choices<'_>,
) -> (Option<CheckedScenario>, Report) {
    let mut sink = Sink::default();
    let filled = parameters::filled(text, ground, choices, &mut sink);
    let Some((text, set)) = filled else {
        return (None, report(name, text, sink));
    };
    let checked = raw::parse_scenario(&text, &mut sink)
        .and_then(|raw| check(&raw, ground, choices, &mut sink))
        .filter(|_| !sink.has_errors());
    let checked = checked.map(|checked| CheckedScenario { set, ..checked });
    (checked, report(name, &text, sink))
}

fn report(name: &str, text: &str, sink: Sink) -> Report {
    let (diagnostics, left_off) = sink.into_sorted();
    Report::new(name, text, diagnostics, left_off)
}

fn check(
    raw: &RawScenario,
    ground: Ground<'_>,
    choices: Choices<'_>,
    sink: &mut Sink,
) -> Option<CheckedScenario> {
    let head = head::check(raw, sink);
    let clock = time::clock(raw, ground.window, choices.start, sink)?;
    let list = raw.event.as_ref().map_or(&[][..], |at| at.value.as_slice());
    if list.is_empty() && !raw.seen.contains(&"event") {
        let message = "the scenario has no event";
        sink.push(Diagnostic::error(Code::SelectionEmpty, message).hint("add one: `[[event]]`"));
    }
    if let Some(beyond) = list.get(EVENTS_MAX) {
        let message = format!("the scenario has {} events", list.len());
        let label = format!("a scenario has at most {EVENTS_MAX}");
        sink.push(Diagnostic::error(Code::TooMany, message).at(beyond.span, label));
        return None;
    }
    let mut events = event::Events::new(ground, choices, clock);
    for (at, number) in list.iter().zip(1..) {
        events.take(at, number, sink);
    }
    let event::Taken {
        events,
        mut notes,
        orders,
    } = events.finish(sink);
    overlap::check(&events, sink);
    window(&events, ground.window, clock.place, &mut notes, sink);
    let head = head?;
    Some(CheckedScenario {
        notes,
        orders,
        scenario: Scenario {
            assumed: head.assumed,
            description: head.description,
            events: events.into_iter().map(|placed| placed.event).collect(),
            id: head.id,
            sources: head.sources,
            start: clock.start,
            title: head.title,
        },
        set: BTreeMap::new(),
    })
}

/// Hold the events against the traffic: those beyond it are noted, and if all are, nothing would happen.
fn window(
    events: &[event::Placed],
    (first, last): (Tick, Tick),
    place: Option<Span>,
    notes: &mut Vec<String>,
    sink: &mut Sink,
) {
    let touches = |placed: &&event::Placed| placed.event.touches(first, last);
    let beyond = events.iter().filter(|placed| !touches(placed));
    let beyond: Vec<&event::Placed> = beyond.collect();
    let traffic = format!("the traffic is from {} to {}", first.rfc3339(), last.rfc3339());
    if let (Some(one), true) = (beyond.first(), beyond.len() == events.len()) {
        let message = "no event of the scenario touches the traffic";
        let span = place.unwrap_or(one.span);
        sink.push(
            Diagnostic::error(Code::ScenarioOutside, message)
                .at(span, "outside of it")
                .note(traffic)
                .hint("`--start \"first call\"` lays it at the beginning of the traffic"),
        );
        return;
    }
    for placed in beyond {
        notes.push(format!(
            "Event {} ({}) lies outside of the traffic, and changes nothing: {traffic}.",
            placed.number, placed.event.says
        ));
    }
    let after = events.iter().filter_map(|placed| placed.event.until).max();
    if let Some(until) = after.filter(|until| *until > last) {
        notes.push(format!(
            "The traffic ends at {}, before the last event does ({}): what comes after is not seen.",
            last.rfc3339(),
            until.rfc3339()
        ));
    }
}

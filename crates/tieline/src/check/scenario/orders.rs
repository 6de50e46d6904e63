//! Directives of a scenario: each is read and checked as any other, and the versions of one id follow on each other. The
//! scenario says when each is in force; its own `valid_to` ends it as long after its beginning as the text says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tieline_core::{Span as Length, Tick};
use tieline_drill::{Event, What};
use tieline_note::note;
use tieline_policy::{Directive, Order};

use super::OrderSpec;
use super::event::{Placed, Taken};
use super::names::Names;
use crate::check::kind;
use crate::diagnose::{Code, Diagnostic, Sink, Span};
use crate::raw::scenario::RawDirective;

/// A directive or revocation, and when the scenario has it come.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) from: Tick,
    pub(super) number: usize,
    pub(super) order: Order,
    pub(super) span: Span,
    pub(super) until: Option<Tick>,
}

/// Read what an event orders; none after a report. Its times come later.
pub(super) fn step(raw: &RawDirective, span: Span, number: usize, names: &mut Names<'_, '_>) -> Option<Step> {
    let (path, text, place) = match (&raw.file, &raw.text) {
        (Some(file), None) => {
            let path = names.ground.base.join(&file.value);
            let text = match (names.ground.read)(&path) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("the directive cannot be read: {}", kind(&error));
                    return names.complain(Code::FileUnreadable, &message, file.span, "this file");
                }
            };
            (file.value.clone(), text, file.span)
        }
        (None, Some(text)) => (format!("event {number}"), text.value.clone(), text.span),
        _ if raw.seen.is_empty() || (raw.file.is_some() && raw.text.is_some()) => {
            let message = "an event orders one directive";
            return names.complain(Code::EventBad, message, span, "wants one of `file` and `text`");
        }
        _ => return None,
    };
    let inner = note::peek(&text).map_or(text.as_str(), |(inner, _)| inner);
    let order = match Order::parse(&path, inner) {
        Ok(order) => order,
        Err(problems) => {
            let diagnostic = Diagnostic::error(Code::ScenarioDirective, "the directive cannot be used");
            let diagnostic = diagnostic.at(first_line(place), "has mistakes");
            let diagnostic = problems.iter().fold(diagnostic, |diagnostic, problem| {
                diagnostic.note(problem.to_string())
            });
            names.sink.push(diagnostic);
            return None;
        }
    };
    if let Order::Directive(directive) = &order {
        is_about(directive, place, names)?;
    }
    Some(Step {
        from: Tick(0),
        number,
        order,
        span,
        until: None,
    })
}

/// A directive in the file spans many lines; its first is enough.
const fn first_line(span: Span) -> Span {
    Span {
        start: span.start,
        end: if span.end > span.start + 3 {
            span.start + 3
        } else {
            span.end
        },
    }
}

/// Whether the grid has anything that the directive names.
fn is_about(directive: &Directive, span: Span, names: &mut Names<'_, '_>) -> Option<()> {
    let (scope, snapshot) = (&directive.scope, names.ground.snapshot);
    let has_model = scope
        .models
        .iter()
        .any(|model| snapshot.model_named(model).is_some());
    let has_lab = scope.labs.iter().any(|lab| snapshot.labs.contains(lab));
    if has_model || has_lab || scope.training_flop_min.is_some() {
        return Some(());
    }
    let models: Vec<Arc<str>> = snapshot.models.iter().map(|model| model.name.clone()).collect();
    let named: Vec<&str> = scope
        .models
        .iter()
        .chain(&scope.labs)
        .map(|name| &**name)
        .collect();
    let is = format!(
        "nothing here is what the directive `{}` names: {}",
        directive.id,
        named.join(", ")
    );
    names.not_here(
        Code::ScenarioAbsent,
        is,
        first_line(span),
        "not here",
        None,
        &models,
    )
}

/// From steps to events: a version ends when the next begins, or when it is revoked.
pub(super) fn series(steps: Vec<Step>, taken: &mut Taken, sink: &mut Sink) {
    let mut by_id: BTreeMap<Arc<str>, Vec<Step>> = BTreeMap::new();
    for step in steps {
        by_id.entry(step.order.id().clone()).or_default().push(step);
    }
    for (id, mut steps) in by_id {
        steps.sort_by_key(|step| (step.from, step.number));
        let (mut last, mut current): (Option<Step>, Option<Placed>) = (None, None);
        for step in steps {
            if let Some(last) = &last {
                follows(&id, last, &step, sink);
            }
            let mut ended = current.take();
            let is_in_force = ended
                .as_ref()
                .is_some_and(|placed| placed.event.until.is_none_or(|until| until > step.from));
            if let Some(placed) = ended.as_mut().filter(|_| is_in_force) {
                placed.event.until = Some(step.from);
            }
            taken.events.extend(ended);
            match &step.order {
                Order::Directive(directive) => current = Some(placed(&step, directive, taken)),
                Order::Revocation(_) => revoked(&id, &step, is_in_force, sink),
            }
            last = Some(step);
        }
        taken.events.extend(current);
    }
}

/// Report a revocation that ends nothing, or has an end of its own.
fn revoked(id: &str, step: &Step, is_in_force: bool, sink: &mut Sink) {
    if !is_in_force {
        let message = format!("`{id}` is revoked and not in force then");
        sink.push(
            Diagnostic::error(Code::ScenarioDirective, message)
                .at(step.span, "ends nothing")
                .hint("let an earlier event bring the directive into force"),
        );
    }
    if step.until.is_some() {
        let message = "a revocation has no end";
        sink.push(Diagnostic::error(Code::EventBad, message).at(step.span, "leave out `for` and `until`"));
    }
}

/// Report a step that cannot follow on the one before.
fn follows(id: &str, last: &Step, step: &Step, sink: &mut Sink) {
    let (old, new) = (last.order.version(), step.order.version());
    if new <= old {
        let message = format!("version {new} of `{id}` comes after version {old}");
        sink.push(
            Diagnostic::error(Code::ScenarioDirective, message)
                .at(step.span, "not a greater version")
                .also(last.span, "the one before"),
        );
    } else if last.from == step.from {
        let message = format!("two versions of `{id}` come at the same instant");
        sink.push(
            Diagnostic::error(Code::EventsOverlap, message)
                .at(step.span, "at the same time")
                .also(last.span, "as this one"),
        );
    }
}

fn placed(step: &Step, directive: &Arc<Directive>, taken: &mut Taken) -> Placed {
    let lasts = directive.valid_to.map(|to| to.since(directive.valid_from));
    let until = step
        .until
        .or_else(|| lasts.map(|Length(us)| step.from.plus(Length(us))));
    taken.orders.push(OrderSpec::Directive(directive.clone()));
    Placed {
        event: Event {
            from: step.from,
            says: format!("directive {}", directive.label()),
            until,
            what: What::Order(taken.orders.len() - 1),
        },
        number: step.number,
        span: step.span,
        things: Vec::new(),
    }
}

/// The text of a file of a directive.
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    let bytes = crate::check::read_start(path, tieline_note::note::NOTE_BYTES_MAX as u64)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

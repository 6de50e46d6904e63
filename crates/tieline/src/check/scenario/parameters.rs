//! Parameters: what may be chosen with `--set`. Each `${name}` of the text is replaced before the text is read, so that a
//! mistake in what was chosen is shown where it stands. A value cannot end the text that it stands in.

use std::collections::BTreeMap;

use tieline_drill::By;

use super::{Choices, Ground};
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw;
use crate::raw::At;
use crate::raw::scenario::{RawParameter, RawParameterOf, RawScenario};

/// The word for the one that carries most calls.
const LARGEST: &str = "largest";

/// Bytes of a value: a list of a few names.
const VALUE_BYTES_MAX: usize = 1_024;

/// The text with every parameter in its place, and the values; none after a report.
pub(super) fn filled<'t>(
    text: &'t str,
    ground: Ground<'_>,
    choices: Choices<'_>,
    sink: &mut Sink,
) -> Option<(std::borrow::Cow<'t, str>, BTreeMap<String, String>)> {
    // What is wrong elsewhere is reported once the text is whole.
    let mut unheard = Sink::default();
    let Some(raw) = raw::parse_scenario(text, &mut unheard) else {
        *sink = unheard;
        return None;
    };
    let (mut values, mut said) = (BTreeMap::new(), BTreeMap::new());
    for (name, parameter) in entries(&raw) {
        if let Some(value) = value(name, parameter, ground, choices, sink) {
            let is_list = parameter.list.as_ref().is_some_and(|at| at.value);
            let text = value.clone();
            values.insert(name.value.as_str(), Value { is_list, text });
            said.insert(name.value.clone(), value);
        }
    }
    let out = replaced(text, &values, sink);
    if sink.has_errors() {
        None
    } else {
        Some((out, said))
    }
}

/// The names of the parameters that a text has; none where it cannot be read.
pub(crate) fn names(text: &str) -> Vec<String> {
    let raw = raw::parse_scenario(text, &mut Sink::default());
    raw.iter()
        .flat_map(entries)
        .map(|(name, _)| name.value.clone())
        .collect()
}

fn entries(raw: &RawScenario) -> impl Iterator<Item = (&At<String>, &RawParameter)> {
    raw.parameters.iter().flat_map(|at| at.value.iter())
}

/// The value of a parameter; none after a report.
fn value(
    name: &At<String>,
    parameter: &RawParameter,
    ground: Ground<'_>,
    choices: Choices<'_>,
    sink: &mut Sink,
) -> Option<String> {
    let (chosen, span) = match (choices.set.get(&name.value), &parameter.default) {
        (Some(chosen), _) => (chosen, name.span),
        (None, Some(default)) => (&default.value, default.span),
        (None, None) => {
            let message = format!("the parameter `{}` has no value", shown(&name.value));
            let hint = format!("give one: `--set {}=…`", shown(&name.value));
            let says = parameter.says.as_ref().map(|says| says.value.clone());
            let diagnostic = Diagnostic::error(Code::ParameterBad, message).at(name.span, "wants a value");
            let diagnostic = diagnostic.hint(hint);
            sink.push(says.into_iter().fold(diagnostic, Diagnostic::note));
            return None;
        }
    };
    let ends_text = |c: char| matches!(c, '"' | '\'' | '\\' | '$') || c.is_control();
    if chosen.is_empty() || chosen.len() > VALUE_BYTES_MAX || chosen.contains(ends_text) {
        let message = format!(
            "`{}` cannot be the value of `{}`",
            shown(chosen),
            shown(&name.value)
        );
        let label = format!("wants 1 to {VALUE_BYTES_MAX} bytes without quotes, `\\`, `$` and line breaks");
        sink.push(Diagnostic::error(Code::ParameterBad, message).at(span, label));
        return None;
    }
    match parameter.of.as_ref().filter(|_| chosen == LARGEST) {
        Some(of) => largest(of.value, ground, name, span, sink),
        None => Some(chosen.clone()),
    }
}

fn largest(
    of: RawParameterOf,
    ground: Ground<'_>,
    name: &At<String>,
    span: Span,
    sink: &mut Sink,
) -> Option<String> {
    let (load, snapshot) = (ground.load, ground.snapshot);
    let found = match of {
        RawParameterOf::Channel => load.largest(snapshot, By::Channel),
        RawParameterOf::Cloud => load.largest(snapshot, By::Cloud),
        RawParameterOf::Lab => load.largest(snapshot, By::Lab),
        RawParameterOf::Model => load.largest_model(snapshot),
        RawParameterOf::Party => load.largest_party().map(str::to_owned),
        RawParameterOf::Region => load.largest(snapshot, By::Region),
    };
    if found.is_none() {
        let message = format!(
            "nothing is the largest `{}`: no call of the traffic is answered by one",
            name.value
        );
        let hint = format!("give one: `--set {}=…`", name.value);
        sink.push(
            Diagnostic::error(Code::ParameterBad, message)
                .at(span, "means nothing here")
                .hint(hint),
        );
    }
    found
}

/// What stands for a parameter.
struct Value {
    is_list: bool,
    text: String,
}

impl Value {
    /// As it stands in the text. A list is a list where a text in quotes holds nothing else, and words elsewhere.
    fn between(&self, before: &str, behind: &str) -> String {
        if !self.is_list {
            return self.text.clone();
        }
        let names: Vec<&str> = self.text.split(',').map(str::trim).collect();
        let is_alone = before.ends_with('"') && behind.starts_with('"');
        names.join(if is_alone { "\", \"" } else { ", " })
    }
}

/// Every `${name}` replaced; one that is no parameter is reported.
fn replaced<'t>(text: &'t str, values: &BTreeMap<&str, Value>, sink: &mut Sink) -> std::borrow::Cow<'t, str> {
    let (mut out, mut rest, mut at) = (String::new(), text, 0);
    while let Some((before, after)) = rest.split_once("${") {
        let start = at + before.len();
        let Some((name, behind)) = after.split_once('}') else {
            break;
        };
        let span = Span::from(start..start + name.len() + 3);
        out.push_str(before);
        match values.get(name) {
            Some(value) => out.push_str(&value.between(before, behind)),
            // A parameter whose value was refused is reported already.
            None if sink.has_errors() => {}
            None => {
                let message = format!("there is no parameter `{}`", shown(name));
                let near = raw::nearest(name, values.keys().copied());
                let diagnostic = Diagnostic::error(Code::ParameterBad, message).at(span, "unknown parameter");
                sink.push(match near {
                    Some(near) => diagnostic.did_you_mean(Some(near)),
                    None => diagnostic.hint(format!("add it: `[parameters.{}]`", shown(name))),
                });
            }
        }
        (rest, at) = (behind, span.end);
    }
    if at == 0 {
        return text.into();
    }
    out.push_str(rest);
    out.into()
}

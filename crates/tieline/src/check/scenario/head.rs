//! What a scenario says about itself: its id and title, its sources, what it assumes.

use tieline_drill::Source;

use crate::check::value;
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::At;
use crate::raw::scenario::{RawScenario, RawSource};

/// Bytes of an id: it names files and stands in reports.
const ID_BYTES_MAX: usize = 64;

/// A scenario without its events.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) assumed: Vec<String>,
    pub(super) description: String,
    pub(super) id: String,
    pub(super) sources: Vec<Source>,
    pub(super) title: String,
}

/// What stands before the events; none after a report.
pub(super) fn check(raw: &RawScenario, sink: &mut Sink) -> Option<Head> {
    for (key, hint) in [
        ("id", "a short name: `id = \"one-cloud-gone\"`"),
        ("title", "one line: `title = \"One cloud is gone\"`"),
    ] {
        if !raw.seen.contains(&key) {
            let message = format!("the scenario has no `{key}`");
            sink.push(Diagnostic::error(Code::KeyMissing, message).hint(hint));
        }
    }
    let is_short = |id: &str| {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_fit)
    };
    if let Some(id) = raw.id.as_ref().filter(|id| !is_short(&id.value)) {
        let message = format!("`{}` cannot be the id of a scenario", shown(&id.value));
        let label = format!("wants 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` and `.`");
        sink.push(Diagnostic::error(Code::ScenarioBad, message).at(id.span, label));
    }
    let sources = raw.sources.as_ref().map_or(&[][..], |at| at.value.as_slice());
    let sources = sources.iter().filter_map(|at| source(at, sink)).collect();
    let assumed = raw.assumed.as_ref().map_or(&[][..], |at| at.value.as_slice());
    let text = |at: &At<String>| at.value.trim().to_owned();
    Some(Head {
        assumed: assumed.iter().map(text).collect(),
        description: raw.description.as_ref().map_or_else(String::new, text),
        id: raw.id.as_ref().map(text)?,
        sources,
        title: raw.title.as_ref().map(text)?,
    })
}

fn source(at: &At<RawSource>, sink: &mut Sink) -> Option<Source> {
    let source = &at.value;
    for key in ["url", "says", "retrieved"] {
        if !source.seen.contains(&key) {
            let message = format!("a source has no `{key}`");
            sink.push(
                Diagnostic::error(Code::KeyMissing, message)
                    .at(at.span, format!("wants `{key}`"))
                    .hint("a source says where it can be read, what it says, and on which day it was read"),
            );
        }
    }
    let url = source.url.as_ref().filter(|url| is_address(url, sink));
    let day = source.retrieved.as_ref().filter(|day| is_day(day, sink));
    Some(Source {
        retrieved: day?.value.clone(),
        says: source.says.as_ref()?.value.trim().to_owned(),
        url: url?.value.clone(),
    })
}

fn is_address(url: &At<String>, sink: &mut Sink) -> bool {
    let is_url = ["https://", "http://"].iter().any(|scheme| {
        let rest = url.value.strip_prefix(scheme);
        rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
        })
    });
    if !is_url {
        let message = format!("`{}` is no address that can be opened", shown(&url.value));
        sink.push(Diagnostic::error(Code::ScenarioBad, message).at(url.span, "wants `https://…`"));
    }
    is_url
}

fn is_day(day: &At<String>, sink: &mut Sink) -> bool {
    let is_day = value::is_day(&day.value);
    if !is_day {
        let message = format!("`{}` is not a day", shown(&day.value));
        sink.push(
            Diagnostic::error(Code::ScenarioBad, message)
                .at(day.span, "wants year, month and day")
                .hint("for example `2026-11-28`"),
        );
    }
    is_day
}

//! Components: what channels depend on, and what those need in turn. Any component may be named without an entry of its
//! own, so a misspelling makes a second component and hides a chokepoint; names that look like one are warned about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::grid::COMPONENTS_MAX;

use super::{grid, value};
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::shape::{RawChannel, RawComponent};
use crate::raw::{At, Entries, distance};

/// The kinds that the documentation names. Others are allowed, unless they are nearly one of these.
pub(super) const KINDS: &[&str] = &[
    "account", "cloud", "dns", "edge", "identity", "lab", "licence", "machine", "network", "payment",
    "region",
];

/// Names shorter than this differ by one letter too often: `us` and `uk`.
const UNLIKE_LEN_MIN: usize = 5;

/// Check the entries and every mention.
pub(super) fn check(
    raw: Option<&Entries<RawComponent>>,
    channels: &Entries<RawChannel>,
    sink: &mut Sink,
) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let none = Entries::default();
    let raw = raw.unwrap_or(&none);
    let entries = entries(raw, sink);
    let mentions = mentions(raw, channels);
    if let Some((name, at)) = mentions.iter().nth(COMPONENTS_MAX) {
        let message = format!("the grid has {} components", mentions.len());
        let diagnostic =
            Diagnostic::error(Code::TooMany, message).at(at.first, format!("a grid holds {COMPONENTS_MAX}"));
        sink.push(diagnostic.note(format!("`{}` is one of those beyond", shown(name))));
        return entries;
    }
    unlike(&mentions, sink);
    unused(raw, channels, &entries, sink);
    entries
}

fn entries(raw: &Entries<RawComponent>, sink: &mut Sink) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let mut out = BTreeMap::new();
    for (name, entry) in raw.iter() {
        let component = value::component(name, sink);
        if !entry.seen.contains(&"needs") {
            grid::missing(
                name,
                "needs",
                "list what it does not work without: `needs = [\"cloud:aws\"]`",
                sink,
            );
        }
        let list = entry.needs.as_ref().map_or(&[][..], |at| at.value.as_slice());
        grid::listed_twice(list, sink);
        let needs: Vec<Arc<str>> = list.iter().filter_map(|at| value::component(at, sink)).collect();
        if let Some(component) = component {
            out.insert(component, needs);
        }
    }
    out
}

/// Where a component is first named, and how often it is.
struct Mention {
    first: Span,
    count: usize,
}

fn mentions<'a>(
    raw: &'a Entries<RawComponent>,
    channels: &'a Entries<RawChannel>,
) -> BTreeMap<&'a str, Mention> {
    let of_channels = channels
        .iter()
        .filter_map(|(_, channel)| channel.components.as_ref());
    let of_needs = raw.iter().filter_map(|(_, entry)| entry.needs.as_ref());
    let lists = of_channels.chain(of_needs).flat_map(|list| &list.value);
    let mut out: BTreeMap<&str, Mention> = BTreeMap::new();
    for At { span, value } in raw.iter().map(|(name, _)| name).chain(lists) {
        out.entry(value)
            .or_insert(Mention {
                first: *span,
                count: 0,
            })
            .count += 1;
    }
    out
}

/// Warn about kinds and names that are one letter away from another.
fn unlike(mentions: &BTreeMap<&str, Mention>, sink: &mut Sink) {
    for (name, mention) in mentions.iter().filter(|(_, mention)| mention.count == 1) {
        let Some((kind, own)) = name.split_once(':') else {
            continue;
        };
        let near_kind = KINDS
            .iter()
            .find(|known| kind.len() > 3 && distance(kind, known) == Some(1));
        let near = match near_kind {
            Some(known) if !KINDS.contains(&kind) => Some(format!("{known}:{own}")),
            _ => near_name(name, kind, own, mentions),
        };
        if let Some(near) = near {
            sink.push(
                Diagnostic::warning(Code::ComponentUnlike, format!("`{}` is named once", shown(name)))
                    .at(mention.first, "a misspelling?")
                    .did_you_mean(Some(&near)),
            );
        }
    }
}

/// Another component of the same kind, named more often, whose letters differ in one place. Digits tell places apart.
fn near_name(name: &str, kind: &str, own: &str, mentions: &BTreeMap<&str, Mention>) -> Option<String> {
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    mentions
        .iter()
        .filter(|(other, mention)| **other != name && mention.count > 1)
        .filter(|(other, _)| {
            other.split_once(':').is_some_and(|(other_kind, other_own)| {
                other_kind == kind
                    && own.len() >= UNLIKE_LEN_MIN
                    && distance(own, other_own).is_some_and(|distance| distance <= 1)
                    && letters(own) != letters(other_own)
            })
        })
        .map(|(other, _)| (*other).to_owned())
        .next()
}

/// Warn about entries that no channel reaches.
fn unused(
    raw: &Entries<RawComponent>,
    channels: &Entries<RawChannel>,
    entries: &BTreeMap<Arc<str>, Vec<Arc<str>>>,
    sink: &mut Sink,
) {
    let lists = channels
        .iter()
        .filter_map(|(_, channel)| channel.components.as_ref());
    let mut open: Vec<&str> = lists
        .flat_map(|list| &list.value)
        .map(|at| at.value.as_str())
        .collect();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    // Each name is expanded once: at most the 256 components of a grid.
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(entries.get(name).into_iter().flatten().map(|need| &**need));
        }
    }
    for (name, _) in raw
        .iter()
        .filter(|(name, _)| !reached.contains(name.value.as_str()))
    {
        sink.push(
            Diagnostic::warning(
                Code::ComponentUnused,
                format!("no channel depends on `{}`", shown(&name.value)),
            )
            .at(name.span, "changes nothing")
            .hint("name it in the `components` of a channel, or remove the entry"),
        );
    }
}

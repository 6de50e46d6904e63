//! A catalogue for `tieline drill plan`, checked against the configuration whose grid it would change: every mistake of
//! the file in one run, with its place.
//!
//! Refuses what the grid does not have (models, channels, components that neither file declares), names that the grid has
//! already, and offers without a cost, a source or a day. Bounds: [`OFFERS_MAX`](tieline_drill::OFFERS_MAX) offers,
//! and [`CATALOGUE_BYTES_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tieline_core::grid::ChannelRecord;
use tieline_core::{GridRecord, Limits, Nano, Quota};
use tieline_drill::{Catalogue, Change, OFFERS_MAX, Offer, OfferKind, Raise};

use super::grid::{Names, listed_twice, missing, names_in, unknown};
use super::limits::limits;
use super::{FileKind, channel, text_of, value};
use crate::diagnose::{Code, Diagnostic, Report, Sink, Span, shown};
use crate::raw::catalogue::{RawCatalogue, RawOffer, RawOfferKind, RawRaise};
use crate::raw::{self, At, Entries, nearest};

/// Bytes of a catalogue: 32 offers at 8 KiB each.
const CATALOGUE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a source: a URL with room to spare.
const SOURCE_BYTES_MAX: usize = 512;

/// Ten years: whoever has to wait longer has not been made an offer.
const LEAD_DAYS_MAX: u64 = 3_650;

const CATALOGUE: FileKind = FileKind {
    bytes_max: CATALOGUE_BYTES_MAX,
    if_absent: "give the path of another; `examples/plan-catalogue.toml` of the source is one",
    if_folder: "name the file in it, such as `catalogue.toml`",
    name: "catalogue",
};

/// Read and check a catalogue. `config` is the text that `grid` was made of: list prices stand in it alone.
pub(crate) fn load(path: &Path, config: &str, grid: &GridRecord) -> Result<Catalogue, Report> {
    let name = path.display().to_string();
    let refused = |diagnostic: Box<Diagnostic>| Report::new(&name, "", vec![*diagnostic], 0);
    let text = text_of(path, &CATALOGUE).map_err(refused)?;
    check_text(&name, &text, config, grid)
}

/// Check a text.
pub(super) fn check_text(
    name: &str,
    text: &str,
    config: &str,
    grid: &GridRecord,
) -> Result<Catalogue, Report> {
    let mut sink = Sink::default();
    // The configuration was checked before: what is said of it here was said there.
    let config = raw::parse(config, &mut Sink::default()).unwrap_or_default();
    let names = names_in(&config, &mut Sink::default());
    let checked = raw::parse_catalogue(text, &mut sink).map(|raw| catalogue(&raw, &names, grid, &mut sink));
    let is_good = !sink.has_errors();
    let (diagnostics, left_off) = sink.into_sorted();
    match checked {
        Some(catalogue) if is_good => Ok(catalogue),
        _ => Err(Report::new(name, text, diagnostics, left_off)),
    }
}

fn catalogue(raw: &RawCatalogue, names: &Names<'_>, grid: &GridRecord, sink: &mut Sink) -> Catalogue {
    let known = components_of(grid);
    let components = components(raw, &known, sink);
    let known: BTreeSet<Arc<str>> = known.into_iter().chain(components.keys().cloned()).collect();
    for (_, entry) in raw.components.iter().flat_map(|at| at.value.iter()) {
        let needs = entry.needs.as_ref().map_or(&[][..], |at| &at.value);
        unknown_components(needs, &known, sink);
    }
    let none = Entries::default();
    let raw_offers = raw.offers.as_ref().map_or(&none, |at| &at.value);
    if raw_offers.0.is_empty() && !raw.seen.contains(&"offers") {
        let diagnostic = Diagnostic::error(Code::KeyMissing, "the catalogue has no offer");
        sink.push(diagnostic.hint("add `[offers.<name>]` with `cost_per_month` and `channel` or `raise`"));
    }
    if let Some((name, _)) = raw_offers.0.get(OFFERS_MAX) {
        let message = format!("the catalogue has {} offers", raw_offers.0.len());
        sink.push(
            Diagnostic::error(Code::TooMany, message)
                .at(name.span, format!("a catalogue holds {OFFERS_MAX}"))
                .hint("each pair of offers is played: split the file, or leave out what is dearer and no better"),
        );
    }
    let world = Known {
        components: &known,
        grid,
        names,
    };
    let mut offers = Vec::new();
    let mut places = Vec::new();
    for (name, raw) in raw_offers.iter() {
        if let Some(offer) = offer(name, raw, &world, sink) {
            offers.push(offer);
            places.push(name.span);
        }
    }
    let catalogue = Catalogue { components, offers };
    if !sink.has_errors() {
        for (ix, place) in places.into_iter().enumerate() {
            if let Err(says) = catalogue.with(grid, &[ix]) {
                let message = format!("the grid cannot hold the offer: {says}");
                sink.push(Diagnostic::error(Code::OfferBad, message).at(place, "does not fit"));
            }
        }
    }
    catalogue
}

/// What offers are held against.
struct Known<'a> {
    components: &'a BTreeSet<Arc<str>>,
    grid: &'a GridRecord,
    names: &'a Names<'a>,
}

// === components ===

fn components_of(grid: &GridRecord) -> BTreeSet<Arc<str>> {
    let of_channels = grid.channels.iter().flat_map(|channel| &channel.components);
    let entries = grid.components.iter();
    let of_entries = entries.flat_map(|(name, needs)| std::iter::once(name).chain(needs));
    of_channels.chain(of_entries).cloned().collect()
}

fn components(
    raw: &RawCatalogue,
    known: &BTreeSet<Arc<str>>,
    sink: &mut Sink,
) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let mut out = BTreeMap::new();
    for (name, entry) in raw.components.iter().flat_map(|at| at.value.iter()) {
        let component = value::component(name, sink);
        if known.contains(name.value.as_str()) {
            let message = format!("the grid has `{}` already", shown(&name.value));
            sink.push(
                Diagnostic::error(Code::NameTwice, message)
                    .at(name.span, "stands in the configuration")
                    .hint("remove the entry here: what it needs is said there"),
            );
        }
        if !entry.seen.contains(&"needs") {
            missing(
                name,
                "needs",
                "list what it does not work without; nothing is `needs = []`",
                sink,
            );
        }
        let needs = entry.needs.as_ref().map_or(&[][..], |at| &at.value);
        listed_twice(needs, sink);
        let needs = needs.iter().filter_map(|at| value::component(at, sink)).collect();
        out.extend(component.map(|component| (component, needs)));
    }
    out
}

/// A misspelt component would hide that an offer falls together with what it is to replace.
fn unknown_components(listed: &[At<String>], known: &BTreeSet<Arc<str>>, sink: &mut Sink) {
    for at in listed.iter().filter(|at| !known.contains(at.value.as_str())) {
        let near = nearest(&at.value, known.iter().map(|name| &**name));
        let message = format!(
            "neither the grid nor the catalogue has a component `{}`",
            shown(&at.value)
        );
        let diagnostic = Diagnostic::error(Code::ComponentBad, message).at(at.span, "unknown component");
        sink.push(diagnostic.did_you_mean(near).hint(format!(
            "if the offer brings it, add `[components.\"{}\"]` with `needs` to the catalogue",
            shown(&at.value)
        )));
    }
}

// === offers ===

fn offer(name: &At<String>, raw: &RawOffer, known: &Known<'_>, sink: &mut Sink) -> Option<Offer> {
    for (key, hint) in [
        (
            "cost_per_month",
            "USD, whether used or not: `cost_per_month = \"2500.00\"`; what costs nothing says \"0\"",
        ),
        (
            "lead_days",
            "days from the order to the first call: `lead_days = 30`",
        ),
        (
            "source",
            "where the offer is from: a quotation, a URL, an estimate",
        ),
        ("date", "the day of the source: `date = \"2026-11-20\"`"),
    ] {
        if !raw.seen.contains(&key) {
            missing(name, key, hint, sink);
        }
    }
    let cost = raw.cost_per_month.as_ref().and_then(|at| cost(at, sink));
    let lead_days = raw.lead_days.as_ref();
    let lead_days = lead_days.map(|at| value::number(Some(at), "lead_days", 0, 0, LEAD_DAYS_MAX, sink));
    let source = raw.source.as_ref().and_then(|at| source(at, sink));
    let date = raw.date.as_ref().and_then(|at| day(at, sink));
    let own_name = value::name(name, "offer", sink);
    let change = change(name, raw, known, sink);
    let is_raise = matches!(change, Some(Change::Raise(_)));
    Some(Offer {
        change: change?,
        cost_nano_per_month: cost?,
        date: date?,
        kind: match raw.kind.as_ref().map(|at| at.value) {
            Some(RawOfferKind::Quota) => OfferKind::Quota,
            Some(RawOfferKind::SelfHosted) => OfferKind::SelfHosted,
            Some(RawOfferKind::Standby) => OfferKind::Standby,
            None if is_raise => OfferKind::Quota,
            Some(RawOfferKind::Contract) | None => OfferKind::Contract,
        },
        lead_days: u32::try_from(lead_days?).unwrap_or(u32::MAX),
        name: own_name?,
        source: source?,
    })
}

fn bad(span: Span, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::OfferBad, message).at(span, label)
}

fn cost(at: &At<String>, sink: &mut Sink) -> Option<Nano> {
    let cost = Nano::from_usd(&at.value);
    if cost.is_err() {
        let hint = if at.value.starts_with('-') {
            "a cost cannot be negative; what saves money elsewhere is an offer of its own there"
        } else {
            "a decimal number with at most 9 decimals and without currency or separators, such as \"2500.00\""
        };
        let message = format!("`{}` is not an amount of money", shown(&at.value));
        sink.push(bad(at.span, message, "wants USD a month").hint(hint));
    }
    cost.ok()
}

fn source(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    let is_said = !at.value.trim().is_empty() && at.value.len() <= SOURCE_BYTES_MAX;
    if !is_said || at.value.chars().any(char::is_control) {
        let label = format!("wants 1 to {SOURCE_BYTES_MAX} bytes in one line");
        sink.push(bad(at.span, "the source of the offer says nothing", label));
        return None;
    }
    Some(Arc::from(at.value.as_str()))
}

fn day(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    if value::is_day(&at.value) {
        return Some(Arc::from(at.value.as_str()));
    }
    let message = format!("`{}` is not a day", shown(&at.value));
    sink.push(bad(at.span, message, "wants year, month and day").hint("such as \"2026-11-20\""));
    None
}

fn change(name: &At<String>, raw: &RawOffer, known: &Known<'_>, sink: &mut Sink) -> Option<Change> {
    match (raw.seen.contains(&"channel"), raw.seen.contains(&"raise")) {
        (true, false) => {
            let raw = &raw.channel.as_ref()?.value;
            if known
                .grid
                .channels
                .iter()
                .any(|channel| *channel.name == *name.value)
            {
                let message = format!("the grid has a channel `{}` already", shown(&name.value));
                let diagnostic = Diagnostic::error(Code::NameTwice, message);
                sink.push(
                    diagnostic
                        .at(name.span, "stands in the configuration")
                        .hint("give the offer another name, or offer a `raise` of that channel"),
                );
            }
            let listed = raw.components.as_ref().map_or(&[][..], |at| &at.value);
            unknown_components(listed, known.components, sink);
            let record: ChannelRecord = channel::offered(name, raw, known.names, sink)?;
            Some(Change::Channel(Box::new(record)))
        }
        (false, true) => Some(Change::Raise(Box::new(raise(raw.raise.as_ref()?, known, sink)?))),
        (is_both, _) => {
            let label = if is_both {
                "more than one stated"
            } else {
                "none stated"
            };
            let message = "an offer adds a channel, or raises one's limits";
            sink.push(bad(name.span, message, label).hint("one of `channel = { … }` and `raise = { … }`"));
            None
        }
    }
}

fn raise(at: &At<RawRaise>, known: &Known<'_>, sink: &mut Sink) -> Option<Raise> {
    let raw = &at.value;
    let Some(named) = &raw.channel else {
        if !raw.seen.contains(&"channel") {
            let diagnostic = Diagnostic::error(Code::KeyMissing, "the raise has no `channel`");
            sink.push(
                diagnostic
                    .at(at.span, "of which channel?")
                    .hint("name one of the grid"),
            );
        }
        return None;
    };
    let channels = || known.grid.channels.iter();
    let Some(channel) = channels().find(|channel| *channel.name == *named.value) else {
        let names = channels().map(|channel| &*channel.name);
        unknown(Code::OfferBad, "channel", named, names, sink);
        return None;
    };
    let limits = raw.limits.as_ref().map(|at| &at.value);
    let limits = limits.map_or_else(Limits::default, |raw| limits!(raw, sink));
    let quota = super::limits::quota(raw.quota.as_ref(), sink);
    let (raises, idle) = raises(channel, &limits, quota.as_ref());
    for key in idle {
        let message = format!("`{key}` of `{}` is not raised", shown(&named.value));
        sink.push(bad(at.span, message, "not above what the channel states").hint(
            "state what the limit would be, above what it is; a limit that is not stated does not bind",
        ));
    }
    if let (Some(to), Some(place)) = (&quota, &raw.quota)
        && channel.quota.is_some_and(|of| of.model != to.model)
    {
        let message = "the quota counts by other rules than the channel's";
        sink.push(bad(place.span, message, "another `model`").hint("a raise keeps the rules"));
    }
    if raises == 0 {
        let message = format!("nothing of `{}` is raised", shown(&named.value));
        sink.push(bad(at.span, message, "raises nothing").hint("add `limits` or `quota`"));
    }
    Some(Raise {
        channel: channel.name.clone(),
        limits,
        quota,
    })
}

type Pick = fn(&Quota) -> Option<u64>;

/// How many limits are raised, and the names of those that are stated and are not.
fn raises(channel: &ChannelRecord, limits: &Limits, quota: Option<&Quota>) -> (usize, Vec<&'static str>) {
    let wide = |limit: Option<u32>| limit.map(u64::from);
    let of = &channel.limits;
    let mut all = vec![
        (
            "limits.concurrency",
            wide(of.concurrency),
            wide(limits.concurrency),
        ),
        (
            "limits.requests_per_day",
            wide(of.requests_per_day),
            wide(limits.requests_per_day),
        ),
        (
            "limits.requests_per_minute",
            wide(of.requests_per_minute),
            wide(limits.requests_per_minute),
        ),
        ("limits.tokens_per_day", of.tokens_per_day, limits.tokens_per_day),
        (
            "limits.tokens_per_minute",
            of.tokens_per_minute,
            limits.tokens_per_minute,
        ),
    ];
    if let Some(to) = quota {
        let of = channel.quota.as_ref();
        let own = |pick: Pick| (of.and_then(pick), pick(to));
        let picks: [(&'static str, Pick); 5] = [
            ("quota.input_tokens_per_minute", |quota| {
                quota.input_tokens_per_minute
            }),
            ("quota.output_tokens_per_minute", |quota| {
                quota.output_tokens_per_minute
            }),
            ("quota.requests_per_minute", |quota| {
                quota.requests_per_minute.map(u64::from)
            }),
            ("quota.tokens_in_flight", |quota| quota.tokens_in_flight),
            ("quota.tokens_per_minute", |quota| quota.tokens_per_minute),
        ];
        all.extend(picks.into_iter().map(|(key, pick)| {
            let (of, to) = own(pick);
            (key, of, to)
        }));
    }
    let stated = || all.iter().filter(|(_, _, to)| to.is_some());
    let idle = |of: Option<u64>, to: Option<u64>| of.is_none() || to <= of;
    let idle: Vec<_> = stated()
        .filter(|(_, of, to)| idle(*of, *to))
        .map(|(key, ..)| *key)
        .collect();
    (stated().count(), idle)
}

#[cfg(test)]
mod tests;

//! Labs, models, channels and pools: the references between them, and the record that decisions cite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::grid::{
    CHANNELS_MAX, Choice, GRID_V1, LabRecord, Modality, ModelRecord, PoolRecord, RecordMode, Resume,
    Settings, UnknownPrice, Weights,
};
use tieline_core::{GridRecord, Price, ROWS_MAX};

use super::checked::ChannelWiring;
use super::price::Lists;
use super::{World, channel, components, limits, price, value};
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::shape::{
    RawChoice, RawConfig, RawDefaults, RawLab, RawModality, RawModel, RawPool, RawRecord, RawResume,
    RawUnknownPrice, RawWeights,
};
use crate::raw::{At, Entries, List, nearest};

/// Labs, models and pools of one grid, as many as channels: their indexes fit 16 bits and a reload stays below a second.
const NAMES_MAX: usize = CHANNELS_MAX;

/// Far beyond any answer: a mistyped limit is found all the same.
const OUTPUT_TOKENS_MAX: u64 = 10_000_000;

/// An hour: no call, and no part of one, is waited for longer.
const CALL_MS_MAX: u64 = 3_600_000;

/// What the rest of the check looks names up in. It holds every name that the file has, also of entries with mistakes,
/// so that one mistake is not reported twice.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) labs: BTreeSet<&'a str>,
    /// With whether the model has a list price, and the price if it is in order.
    pub(super) models: BTreeMap<&'a str, ListPrice>,
    pub(super) prices: Lists<'a>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct ListPrice {
    pub(super) is_stated: bool,
    pub(super) price: Option<Price>,
}

/// The names of a configuration that was checked, with their list prices.
pub(super) fn names_in<'a>(raw: &'a RawConfig, sink: &mut Sink) -> Names<'a> {
    let mut names = Names::default();
    if let Some(at) = &raw.labs {
        names.labs = names_of(&at.value);
    }
    if let Some(at) = &raw.models {
        models(&at.value, &mut names, sink);
    }
    let lists = raw.prices.as_ref().map(|at| &at.value);
    names.prices = price::lists(lists, &names.models, sink).0;
    names
}

/// Check the grid: the record, a wiring for each channel, and the assumed weights.
pub(super) fn check(
    raw: &RawConfig,
    world: World<'_>,
    sink: &mut Sink,
) -> (GridRecord, Vec<ChannelWiring>, BTreeMap<Arc<str>, u32>) {
    let no_labs = Entries::default();
    let no_models = Entries::default();
    let no_channels = Entries::default();
    let no_pools = Entries::default();
    let raw_labs = raw.labs.as_ref().map_or(&no_labs, |at| &at.value);
    let raw_models = raw.models.as_ref().map_or(&no_models, |at| &at.value);
    let raw_channels = raw.channels.as_ref().map_or(&no_channels, |at| &at.value);
    let raw_pools = raw.pool.as_ref().map_or(&no_pools, |at| &at.value);
    let mut names = Names {
        labs: names_of(raw_labs),
        models: BTreeMap::new(),
        prices: Lists::new(),
    };
    let labs = labs(raw_labs, sink);
    let models = models(raw_models, &mut names, sink);
    let lists = raw.prices.as_ref().map(|at| &at.value);
    let (lists, prices) = price::lists(lists, &names.models, sink);
    names.prices = lists;
    let channels = channel::check(raw_channels, &names, world, sink);
    let settings = defaults(raw.defaults.as_ref().map(|at| &at.value), sink);
    let pools = pools(raw_pools, raw_models, &settings, sink);
    candidates(raw_pools, raw_models, &channels.served, sink);
    let components = components::check(raw.components.as_ref().map(|at| &at.value), raw_channels, sink);
    if raw_channels.0.is_empty() && !raw.seen.contains(&"channels") {
        sink.push(
            Diagnostic::warning(
                Code::KeyMissing,
                "the configuration has no channel, so nothing can be served",
            )
            .hint("add `[channels.<name>]` with `provider` and `models`"),
        );
    }
    let record = GridRecord {
        channels: channels.records,
        components,
        labs,
        models,
        pools,
        prices,
        settings,
        t: GRID_V1.into(),
    };
    (record, channels.wirings, channels.weights)
}

/// The names of a table.
fn names_of<T>(entries: &Entries<T>) -> BTreeSet<&str> {
    entries.iter().map(|(name, _)| name.value.as_str()).collect()
}

/// Report a table with more entries than a grid holds.
pub(super) fn too_many<T>(entries: &Entries<T>, what: &str, limit: usize, sink: &mut Sink) {
    if let Some((name, _)) = entries.0.get(limit) {
        let message = format!("the configuration has {} {what}", entries.0.len());
        sink.push(Diagnostic::error(Code::TooMany, message).at(name.span, format!("a grid holds {limit}")));
    }
}

/// A name that nothing in the file has.
pub(super) fn unknown<'a>(
    code: Code,
    what: &str,
    at: &At<String>,
    known: impl Iterator<Item = &'a str>,
    sink: &mut Sink,
) {
    let near = if sink.is_full() {
        None
    } else {
        nearest(&at.value, known)
    };
    let diagnostic = Diagnostic::error(code, format!("there is no {what} `{}`", shown(&at.value)))
        .at(at.span, format!("unknown {what}"));
    sink.push(match near {
        Some(_) => diagnostic.did_you_mean(near),
        None => diagnostic.hint(format!("add `[{what}s.{}]`", key_of(&at.value))),
    });
}

/// A name as a TOML key: quoted unless it can stand bare.
fn key_of(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_bare {
        name.to_owned()
    } else {
        format!("\"{}\"", shown(name))
    }
}

/// A key that a table must have and does not.
pub(super) fn missing(name: &At<String>, key: &str, hint: &str, sink: &mut Sink) {
    sink.push(
        Diagnostic::error(
            Code::KeyMissing,
            format!("`{}` has no `{key}`", shown(&name.value)),
        )
        .at(name.span, format!("wants `{key}`"))
        .hint(hint),
    );
}

// === labs and models ===

fn labs(raw: &Entries<RawLab>, sink: &mut Sink) -> Vec<LabRecord> {
    too_many(raw, "labs", NAMES_MAX, sink);
    raw.iter()
        .filter_map(|(name, lab)| {
            let jurisdiction = lab
                .jurisdiction
                .as_ref()
                .and_then(|at| value::jurisdiction(at, sink));
            Some(LabRecord {
                jurisdiction,
                name: value::name(name, "lab", sink)?,
            })
        })
        .collect()
}

fn models<'a>(raw: &'a Entries<RawModel>, names: &mut Names<'a>, sink: &mut Sink) -> Vec<ModelRecord> {
    too_many(raw, "models", NAMES_MAX, sink);
    raw.iter()
        .filter_map(|(name, model)| self::model(name, model, names, sink))
        .collect()
}

fn model<'a>(
    name: &'a At<String>,
    raw: &RawModel,
    names: &mut Names<'a>,
    sink: &mut Sink,
) -> Option<ModelRecord> {
    let price = raw
        .price
        .as_ref()
        .and_then(|at| price::price(&at.value, at.span, sink));
    names.models.insert(
        &name.value,
        ListPrice {
            is_stated: raw.seen.contains(&"price"),
            price,
        },
    );
    let context = raw.context.as_ref();
    let context_tokens = value::number_if_stated(context, "context", 1_000_000_000, sink);
    let training_flop = raw.training_flop.as_ref().and_then(|at| value::flop(at, sink));
    let modalities = raw.modalities.as_ref().map(|at| modalities(at, sink));
    let licence = raw
        .licence
        .as_ref()
        .and_then(|at| value::name(at, "licence", sink));
    let checked_name = value::name(name, "model", sink);
    if !raw.seen.contains(&"lab") {
        missing(name, "lab", "name who made it, and add `[labs.<name>]`", sink);
    }
    let lab = raw.lab.as_ref()?;
    if !names.labs.contains(lab.value.as_str()) {
        unknown(Code::LabUnknown, "lab", lab, names.labs.iter().copied(), sink);
    }
    Some(ModelRecord {
        context_tokens: context_tokens.and_then(|n| u32::try_from(n).ok()),
        lab: Arc::from(lab.value.as_str()),
        licence,
        modalities,
        name: checked_name?,
        tools: raw.tools.as_ref().map(|at| at.value),
        training_flop,
        weights: match raw.weights.as_ref().map(|at| at.value) {
            Some(RawWeights::Closed) => Weights::Closed,
            Some(RawWeights::Open) => Weights::Open,
            Some(RawWeights::Unknown) | None => Weights::Unknown,
        },
    })
}

/// What a model reads, in an order that is not that of the file, so that it makes no other grid.
fn modalities(raw: &At<List<RawModality>>, sink: &mut Sink) -> Vec<Modality> {
    if raw.value.is_empty() {
        let diagnostic = Diagnostic::error(Code::OutOfRange, "`modalities` is empty");
        sink.push(diagnostic.at(raw.span, "wants what the model reads, or leave it out"));
    }
    let modality = |at: &At<RawModality>| match at.value {
        RawModality::Audio => Modality::Audio,
        RawModality::Files => Modality::Files,
        RawModality::Images => Modality::Images,
        RawModality::Text => Modality::Text,
        RawModality::Video => Modality::Video,
    };
    let named = |at: &At<RawModality>| At {
        span: at.span,
        value: modality(at).name().to_owned(),
    };
    listed_twice(&raw.value.iter().map(named).collect::<Vec<_>>(), sink);
    let distinct: BTreeSet<Modality> = raw.value.iter().map(modality).collect();
    distinct.into_iter().collect()
}

// === settings and pools ===

/// The settings of a table over `base`; the two tables have the same keys.
macro_rules! settings {
    ($raw:expr, $base:expr, $sink:expr) => {{
        let (raw, base): (_, &Settings) = ($raw, $base);
        let hold_ms = held(raw.hold_ms.as_ref(), "hold_ms", base.hold_ms, 60_000, $sink);
        let hold_tokens = held(
            raw.hold_tokens.as_ref(),
            "hold_tokens",
            base.hold_tokens,
            10_000,
            $sink,
        );
        let mut ms = |at: &Option<At<u64>>, key: &str, default: u32, max: u64| {
            let stated = value::number(at.as_ref(), key, u64::from(default), 1, max, $sink);
            u32::try_from(stated).unwrap_or(default)
        };
        let settings = Settings {
            attempts_max: u8::try_from(ms(
                &raw.attempts_max,
                "attempts_max",
                u32::from(base.attempts_max),
                ROWS_MAX as u64,
            ))
            .unwrap_or(base.attempts_max),
            call_ms: ms(&raw.call_ms, "call_ms", base.call_ms, CALL_MS_MAX),
            choice: raw.choice.as_ref().map_or(base.choice, |at| choice(at.value)),
            connect_ms: ms(&raw.connect_ms, "connect_ms", base.connect_ms, CALL_MS_MAX / 6),
            criticality: (raw.criticality.as_ref())
                .map_or(base.criticality, |at| limits::criticality(at.value)),
            first_content_ms: ms(
                &raw.first_content_ms,
                "first_content_ms",
                base.first_content_ms,
                CALL_MS_MAX,
            ),
            head_ms: ms(&raw.head_ms, "head_ms", base.head_ms, CALL_MS_MAX),
            hold_ms,
            hold_tokens,
            idle_ms: ms(&raw.idle_ms, "idle_ms", base.idle_ms, CALL_MS_MAX),
            output_tokens_max: ms(
                &raw.output_tokens_max,
                "output_tokens_max",
                base.output_tokens_max,
                OUTPUT_TOKENS_MAX,
            ),
            record: raw.record.as_ref().map_or(base.record, |at| record(at.value)),
            resume: raw.resume.as_ref().map_or(base.resume, |at| resume(at.value)),
            unknown_price: raw
                .unknown_price
                .as_ref()
                .map_or(base.unknown_price, |at| unknown_price(at.value)),
            whole_ms: ms(&raw.whole_ms, "whole_ms", base.whole_ms, CALL_MS_MAX),
        };
        for (at, key) in [
            (&raw.connect_ms, "connect_ms"),
            (&raw.first_content_ms, "first_content_ms"),
            (&raw.head_ms, "head_ms"),
            (&raw.idle_ms, "idle_ms"),
            (&raw.whole_ms, "whole_ms"),
        ] {
            beyond_the_call(at.as_ref(), key, settings.call_ms, $sink);
        }
        settings
    }};
}

fn defaults(raw: Option<&RawDefaults>, sink: &mut Sink) -> Settings {
    let base = Settings::default();
    match raw {
        Some(raw) => settings!(raw, &base, sink),
        None => base,
    }
}

const fn record(raw: RawRecord) -> RecordMode {
    match raw {
        RawRecord::Async => RecordMode::Async,
        RawRecord::Strict => RecordMode::Strict,
    }
}

/// A part of an answer that is kept back; none is 0.
fn held(at: Option<&At<u64>>, key: &str, default: u32, max: u64, sink: &mut Sink) -> u32 {
    let stated = value::number(at, key, u64::from(default), 0, max, sink);
    u32::try_from(stated).unwrap_or(default)
}

const fn choice(raw: RawChoice) -> Choice {
    match raw {
        RawChoice::Balanced => Choice::Balanced,
        RawChoice::InOrder => Choice::InOrder,
    }
}

const fn resume(raw: RawResume) -> Resume {
    match raw {
        RawResume::Off => Resume::Off,
        RawResume::Pool => Resume::Pool,
        RawResume::SameModel => Resume::SameModel,
    }
}

const fn unknown_price(raw: RawUnknownPrice) -> UnknownPrice {
    match raw {
        RawUnknownPrice::Hold => UnknownPrice::Hold,
        RawUnknownPrice::Record => UnknownPrice::Record,
        RawUnknownPrice::Refuse => UnknownPrice::Refuse,
    }
}

/// A wait that is stated and longer than the call never ends by itself.
fn beyond_the_call(at: Option<&At<u64>>, key: &str, call_ms: u32, sink: &mut Sink) {
    let Some(at) = at.filter(|at| at.value > u64::from(call_ms) && at.value <= CALL_MS_MAX) else {
        return;
    };
    sink.push(
        Diagnostic::warning(Code::SettingIdle, format!("`{key}` can never take effect"))
            .at(at.span, format!("the whole call has {call_ms} ms"))
            .hint(format!("lower `{key}`, or raise `call_ms`")),
    );
}

fn pools(
    raw: &Entries<RawPool>,
    models: &Entries<RawModel>,
    base: &Settings,
    sink: &mut Sink,
) -> Vec<PoolRecord> {
    too_many(raw, "pools", NAMES_MAX, sink);
    let places: BTreeMap<&str, Span> = models
        .iter()
        .map(|(name, _)| (name.value.as_str(), name.span))
        .collect();
    raw.iter()
        .filter_map(|(name, pool)| {
            if let Some(model) = places.get(name.value.as_str()) {
                sink.push(
                    Diagnostic::error(
                        Code::NameShared,
                        format!("`{}` is a pool and a model", shown(&name.value)),
                    )
                    .at(name.span, "the pool")
                    .also(*model, "the model")
                    .hint("rename the pool: `model` in a request must mean one thing"),
                );
            }
            let settings = settings!(pool, base, sink);
            let checked_name = value::name(name, "pool", sink);
            let limits = limits::of_pool(pool.limits.as_ref(), sink);
            let models = pool_models(name, pool, &places, sink);
            Some(PoolRecord {
                limits,
                models,
                name: checked_name?,
                settings,
            })
        })
        .collect()
}

fn pool_models(
    name: &At<String>,
    raw: &RawPool,
    places: &BTreeMap<&str, Span>,
    sink: &mut Sink,
) -> Vec<Arc<str>> {
    let Some(list) = raw.models.as_ref() else {
        if !raw.seen.contains(&"models") {
            missing(
                name,
                "models",
                "list the models that may stand in for each other, most wanted first",
                sink,
            );
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        sink.push(
            Diagnostic::error(
                Code::PoolEmpty,
                format!("the pool `{}` has no models", shown(&name.value)),
            )
            .at(list.span, "empty")
            .hint("list the models that may stand in for each other, most wanted first"),
        );
    }
    for model in &list.value {
        if !places.contains_key(model.value.as_str()) {
            unknown(Code::ModelUnknown, "model", model, places.keys().copied(), sink);
        }
    }
    listed_twice(&list.value, sink);
    list.value.iter().map(|at| Arc::from(at.value.as_str())).collect()
}

/// Report each value of a list that stands in it before.
pub(super) fn listed_twice(list: &[At<String>], sink: &mut Sink) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for at in list {
        if let Some(first) = seen.get(at.value.as_str()) {
            sink.push(
                Diagnostic::error(
                    Code::ListedTwice,
                    format!("`{}` is listed twice", shown(&at.value)),
                )
                .at(at.span, "here again")
                .also(*first, "here first"),
            );
        } else {
            seen.insert(&at.value, at.span);
        }
    }
}

/// Count the candidates of each model and pool: a call sees at most [`ROWS_MAX`], and without any it cannot be served.
fn candidates(
    pools: &Entries<RawPool>,
    models: &Entries<RawModel>,
    served: &BTreeMap<&str, usize>,
    sink: &mut Sink,
) {
    let count = |model: &str| served.get(model).copied().unwrap_or(0);
    for (name, _) in models.iter() {
        match count(&name.value) {
            0 => sink.push(
                Diagnostic::warning(
                    Code::ModelUnserved,
                    format!("no channel serves `{}`", shown(&name.value)),
                )
                .at(name.span, "cannot be reached")
                .hint("add it to the `models` of a channel"),
            ),
            n if n > ROWS_MAX => sink.push(too_many_candidates(name, "model", n)),
            _ => {}
        }
    }
    for (name, pool) in pools.iter() {
        let models = pool.models.as_ref().map_or(&[][..], |at| at.value.as_slice());
        let total: usize = models.iter().map(|at| count(&at.value)).sum();
        if total > ROWS_MAX {
            sink.push(too_many_candidates(name, "pool", total));
        }
    }
}

fn too_many_candidates(name: &At<String>, what: &str, count: usize) -> Diagnostic {
    Diagnostic::error(
        Code::CandidatesTooMany,
        format!(
            "the {what} `{}` has {count} candidates, and a call sees {ROWS_MAX}",
            shown(&name.value)
        ),
    )
    .at(name.span, format!("{count} models on channels"))
    .hint("take models or channels away, or split it")
}

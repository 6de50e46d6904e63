//! Channels: what decisions depend on goes into the record, how to reach them into the wiring.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tieline_core::grid::{CHANNELS_MAX, ChannelRecord, ServedRecord};
use tieline_core::{Dialect, Limits, Price};

use super::checked::{ChannelWiring, CredentialSource, Endpoint};
use super::grid::{Names, missing, too_many, unknown};
use super::limits::limits;
use super::provider::{self, Provider, UrlDefault};
use super::{World, kind, price, value};
use crate::diagnose::{Code, Diagnostic, Sink, Span, looks_secret, shown};
use crate::raw::shape::{RawChannel, RawCredentialTable, RawDialect, RawPrice, RawServed, RawServedTable};
use crate::raw::{At, Entries, nearest, quoted};

/// Connections kept to one channel: a few streams for each of the calls that one machine carries.
const CONNECTIONS_MAX_DEFAULT: u64 = 256;

/// The channels of a grid.
#[derive(Default)]
pub(super) struct Channels<'a> {
    pub(super) records: Vec<ChannelRecord>,
    /// How many channels serve each model, by the model's name.
    pub(super) served: BTreeMap<&'a str, usize>,
    pub(super) weights: BTreeMap<Arc<str>, u32>,
    pub(super) wirings: Vec<ChannelWiring>,
}

pub(super) fn check<'a>(
    raw: &'a Entries<RawChannel>,
    names: &Names<'_>,
    world: World<'_>,
    sink: &mut Sink,
) -> Channels<'a> {
    too_many(raw, "channels", CHANNELS_MAX, sink);
    let mut out = Channels::default();
    for (name, channel) in raw.iter() {
        for (model, _) in channel.models.iter().flat_map(|at| at.value.iter()) {
            *out.served.entry(model.value.as_str()).or_default() += 1;
        }
        let Some((record, wiring)) = self::channel(name, channel, names, world, sink) else {
            continue;
        };
        if let Some(at) = &channel.weight {
            let weight = value::number(Some(at), "weight", 1, 1, 1_000_000, sink);
            out.weights
                .insert(record.name.clone(), u32::try_from(weight).unwrap_or(u32::MAX));
        }
        out.records.push(record);
        out.wirings.push(wiring);
    }
    out
}

/// One channel; none after an error that leaves nothing to go on with.
fn channel(
    at: &At<String>,
    raw: &RawChannel,
    names: &Names<'_>,
    world: World<'_>,
    sink: &mut Sink,
) -> Option<(ChannelRecord, ChannelWiring)> {
    let name = value::name(at, "channel", sink);
    let provider = self::provider(at, raw, sink);
    let record = record(at, raw, names, sink);
    let connections_max = value::number(
        raw.connections_max.as_ref(),
        "connections_max",
        CONNECTIONS_MAX_DEFAULT,
        1,
        65_536,
        sink,
    );
    let ca = ca(raw, world, sink);
    let credential = credential(at, raw, provider.as_ref(), world, sink);
    let provider = provider?;
    let dialect = dialect(raw, &provider, sink)?;
    let endpoint = endpoint(at, raw, &provider, sink);
    if let Some(endpoint) = &endpoint {
        exposed(at, raw, endpoint, &credential, sink);
        own_listener(at, raw, endpoint, world, sink);
    }
    if !provider.is_carried {
        uncarried(raw, &provider, sink);
    }
    let name = name?;
    let wiring = ChannelWiring {
        ca,
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        credential,
        dialect,
        endpoint: endpoint?,
        is_carried: provider.is_carried,
        name: name.clone(),
        provider: provider.name,
    };
    Some((record(name, dialect, provider.name), wiring))
}

/// A channel that is offered: what decisions depend on, without the means to reach it.
pub(super) fn offered(
    at: &At<String>,
    raw: &RawChannel,
    names: &Names<'_>,
    sink: &mut Sink,
) -> Option<ChannelRecord> {
    let name = value::name(at, "channel", sink);
    let provider = self::provider(at, raw, sink);
    let record = record(at, raw, names, sink);
    let provider = provider?;
    let dialect = dialect(raw, &provider, sink)?;
    Some(record(name?, dialect, provider.name))
}

/// What decisions depend on, but for its name, dialect and provider.
fn record(
    at: &At<String>,
    raw: &RawChannel,
    names: &Names<'_>,
    sink: &mut Sink,
) -> impl FnOnce(Arc<str>, Dialect, &'static str) -> ChannelRecord + use<> {
    let models = served(at, raw, names, sink);
    let listed = raw.components.as_ref().map_or(&[][..], |at| at.value.as_slice());
    super::grid::listed_twice(listed, sink);
    let components: Vec<Arc<str>> = listed
        .iter()
        .filter_map(|at| value::component(at, sink))
        .collect();
    let region = raw.region.as_ref().map(|at| value::name(at, "region", sink));
    let [operator_jurisdiction, region_country] = [&raw.operator_jurisdiction, &raw.region_country]
        .map(|at| at.as_ref().and_then(|at| value::jurisdiction(at, sink)));
    let limits = raw.limits.as_ref().map(|at| &at.value);
    let limits = limits.map_or_else(Limits::default, |raw| limits!(raw, sink));
    let quota = super::limits::quota(raw.quota.as_ref(), sink);
    let media = raw.media_tokens_max.as_ref();
    let media_tokens_max = value::number_if_stated(media, "media_tokens_max", 100_000_000, sink);
    move |name, dialect, provider| ChannelRecord {
        components,
        dialect,
        limits,
        media_tokens_max: media_tokens_max.and_then(|n| u32::try_from(n).ok()),
        models,
        name,
        operator_jurisdiction,
        provider: provider.into(),
        quota,
        region: region.flatten(),
        region_country,
    }
}

// === provider, dialect, place ===

fn provider(at: &At<String>, raw: &RawChannel, sink: &mut Sink) -> Option<Provider> {
    let Some(stated) = &raw.provider else {
        if !raw.seen.contains(&"provider") {
            missing(
                at,
                "provider",
                &format!("one of {}", quoted(&provider::names())),
                sink,
            );
        }
        return None;
    };
    let found = provider::find(&stated.value);
    if found.is_none() {
        let diagnostic = Diagnostic::error(
            Code::ProviderUnknown,
            format!("there is no provider `{}`", shown(&stated.value)),
        )
        .at(stated.span, "unknown provider")
        .did_you_mean(nearest(&stated.value, provider::names()));
        sink.push(diagnostic.hint(format!(
            "one of {}; the compatible ones take any server of that dialect",
            quoted(&provider::names())
        )));
    }
    found
}

fn dialect(raw: &RawChannel, provider: &Provider, sink: &mut Sink) -> Option<Dialect> {
    let usual = provider.dialects.first().copied();
    let Some(stated) = &raw.dialect else {
        return if raw.seen.contains(&"dialect") {
            None
        } else {
            usual
        };
    };
    let dialect = match stated.value {
        RawDialect::OpenaiChat => Dialect::OpenaiChat,
        RawDialect::AnthropicMessages => Dialect::AnthropicMessages,
    };
    if provider.dialects.contains(&dialect) {
        return Some(dialect);
    }
    let spoken: Vec<&str> = provider.dialects.iter().map(|dialect| dialect.name()).collect();
    sink.push(
        Diagnostic::error(
            Code::DialectWrong,
            format!("`{}` does not speak `{}`", provider.name, dialect.name()),
        )
        .at(stated.span, format!("speaks {}", quoted(&spoken)))
        .hint("leave `dialect` out: tieline translates between what the application and the channel speak"),
    );
    None
}

fn endpoint(at: &At<String>, raw: &RawChannel, provider: &Provider, sink: &mut Sink) -> Option<Endpoint> {
    if let Some(stated) = &raw.url {
        return value::url(stated, sink);
    }
    if raw.seen.contains(&"url") {
        return None;
    }
    match (provider.url, &raw.region) {
        (UrlDefault::Fixed(url), _) => value::endpoint(url).ok(),
        (UrlDefault::OfRegion(url), Some(region)) => {
            let is_label = region
                .value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let endpoint = value::endpoint(&url.replace("{}", &region.value))
                .ok()
                .filter(|_| is_label);
            if endpoint.is_none() {
                sink.push(
                    Diagnostic::error(
                        Code::UrlBad,
                        format!("no URL follows from the region `{}`", shown(&region.value)),
                    )
                    .at(region.span, "wants letters, digits and `-`")
                    .hint("correct the region, or state `url`"),
                );
            }
            endpoint
        }
        (UrlDefault::OfRegion(_), None) => {
            if !raw.seen.contains(&"region") {
                missing(
                    at,
                    "region",
                    "the URL follows from it: `region = \"us-east-1\"`",
                    sink,
                );
            }
            None
        }
        (UrlDefault::Needed(example), _) => {
            missing(
                at,
                "url",
                &format!("say where it listens: `url = \"{example}\"`"),
                sink,
            );
            None
        }
    }
}

fn uncarried(raw: &RawChannel, provider: &Provider, sink: &mut Sink) {
    let place = raw.provider.as_ref().map_or(Span::default(), |at| at.span);
    sink.push(
        Diagnostic::warning(
            Code::ProviderUncarried,
            format!("this version cannot carry calls over `{}`", provider.name),
        )
        .at(place, "counts in `grid` and `drill` only"),
    );
}

/// Warn where a credential would be readable on the way.
fn exposed(
    at: &At<String>,
    raw: &RawChannel,
    endpoint: &Endpoint,
    credential: &CredentialSource,
    sink: &mut Sink,
) {
    if endpoint.tls || endpoint.is_loopback() || *credential == CredentialSource::None {
        return;
    }
    let place = raw.url.as_ref().map_or(at.span, |url| url.span);
    sink.push(
        Diagnostic::warning(
            Code::CredentialExposed,
            format!(
                "the credential of `{}` crosses the network in clear text",
                shown(&at.value)
            ),
        )
        .at(place, "not `https://`")
        .hint("use `https://`, or a server on this machine"),
    );
}

/// A channel that is this gateway's own listener would carry a call in circles until its time is up.
fn own_listener(at: &At<String>, raw: &RawChannel, endpoint: &Endpoint, world: World<'_>, sink: &mut Sink) {
    let is_own = |address: &SocketAddr| {
        let is_here = address.ip().is_loopback() || address.ip().is_unspecified();
        address.port() == endpoint.port && is_here && endpoint.is_loopback()
    };
    let Some(address) = world.listeners.iter().find(|address| is_own(address)) else {
        return;
    };
    let place = raw.url.as_ref().map_or(at.span, |url| url.span);
    sink.push(
        Diagnostic::error(
            Code::ChannelLoops,
            format!("`{}` is this gateway itself", shown(&at.value)),
        )
        .at(place, format!("tieline listens on {address}"))
        .hint("give one of the two another port: `url` of the channel, or `listen` under `[gateway]`"),
    );
}

fn ca(raw: &RawChannel, world: World<'_>, sink: &mut Sink) -> Option<PathBuf> {
    let stated = raw.tls.as_ref()?.value.ca.as_ref()?;
    let path = value::path(world.base, &stated.value);
    match world.read(&path) {
        Ok(bytes) if super::gateway::holds(&bytes, "CERTIFICATE") => {}
        Ok(_) => sink.push(
            Diagnostic::error(
                Code::TlsBad,
                format!("`{}` holds no certificate", shown(&stated.value)),
            )
            .at(stated.span, "wants PEM: `-----BEGIN CERTIFICATE-----`"),
        ),
        Err(error) => sink.push(
            Diagnostic::error(
                Code::FileUnreadable,
                format!("`{}` cannot be read", shown(&stated.value)),
            )
            .at(stated.span, kind(&error)),
        ),
    }
    Some(path)
}

// === models ===

fn served(at: &At<String>, raw: &RawChannel, names: &Names<'_>, sink: &mut Sink) -> Vec<ServedRecord> {
    let Some(models) = &raw.models else {
        if !raw.seen.contains(&"models") {
            missing(
                at,
                "models",
                "say what it serves: `models = { \"<model>\" = \"<its name there>\" }`",
                sink,
            );
        }
        return Vec::new();
    };
    if models.value.0.is_empty() {
        sink.push(
            Diagnostic::warning(
                Code::ModelUnserved,
                format!("the channel `{}` serves no model", shown(&at.value)),
            )
            .at(models.span, "empty")
            .hint("write `models = { \"<model>\" = \"<its name there>\" }`"),
        );
    }
    models
        .value
        .iter()
        .filter_map(|(model, raw)| served_one(model, raw, names, sink))
        .collect()
}

fn served_one(
    model: &At<String>,
    raw: &RawServed,
    names: &Names<'_>,
    sink: &mut Sink,
) -> Option<ServedRecord> {
    if !names.models.contains_key(model.value.as_str()) {
        unknown(
            Code::ModelUnknown,
            "model",
            model,
            names.models.keys().copied(),
            sink,
        );
    }
    let (name, (price, price_list), version) = match raw {
        RawServed::Name(name) => (value::name_there(name, sink)?, (None, None), None),
        RawServed::Table(table) => {
            let price = served_price(model, table, names, sink);
            (
                table.name.as_ref().map_or_else(
                    || Some(Arc::from(model.value.as_str())),
                    |at| value::name_there(at, sink),
                )?,
                price,
                table
                    .version
                    .as_ref()
                    .and_then(|at| value::name(at, "version", sink)),
            )
        }
    };
    Some(ServedRecord {
        model: Arc::from(model.value.as_str()),
        name,
        price,
        price_list,
        version,
    })
}

fn served_price(
    model: &At<String>,
    raw: &RawServedTable,
    names: &Names<'_>,
    sink: &mut Sink,
) -> (Option<Price>, Option<Arc<str>>) {
    match raw.price.as_ref().map(|at| (&at.value, at.span)) {
        None => (None, None),
        Some((RawPrice::Table(table), place)) => (price::price(table, place, sink), None),
        Some((RawPrice::Word(word), _)) => price::named(model, word, names, sink),
    }
}

// === credentials ===

fn credential(
    at: &At<String>,
    raw: &RawChannel,
    provider: Option<&Provider>,
    world: World<'_>,
    sink: &mut Sink,
) -> CredentialSource {
    let Some(stated) = &raw.credential else {
        let env = provider.and_then(|provider| provider.credential_env);
        if let Some(env) = env.filter(|_| !raw.seen.contains(&"credential")) {
            let hint = format!("say where its key is found: `credential = {{ env = \"{env}\" }}`");
            missing(at, "credential", &hint, sink);
        }
        return CredentialSource::None;
    };
    let table = &stated.value.0;
    let seen: BTreeSet<&str> = table.seen.iter().copied().collect();
    if seen.len() != 1 {
        let label = if seen.is_empty() {
            "none stated"
        } else {
            "more than one stated"
        };
        sink.push(
            Diagnostic::error(Code::CredentialBad, "a credential is found in exactly one place")
                .at(stated.span, label)
                .hint("one of `env`, `file`, `command` or `none = true`"),
        );
        return CredentialSource::None;
    }
    source(at, table, world, sink).unwrap_or(CredentialSource::None)
}

/// The one source that the table states.
fn source(
    at: &At<String>,
    table: &RawCredentialTable,
    world: World<'_>,
    sink: &mut Sink,
) -> Option<CredentialSource> {
    if let Some(none) = &table.none {
        if !none.value {
            sink.push(
                Diagnostic::error(Code::CredentialBad, "`none = false` says nothing")
                    .at(none.span, "wants `true`")
                    .hint("one of `env`, `file`, `command` or `none = true`"),
            );
        }
        return Some(CredentialSource::None);
    }
    if let Some(env) = &table.env {
        return env_source(at, env, world, sink);
    }
    if let Some(file) = &table.file {
        return file_source(at, file, world, sink);
    }
    let command = table.command.as_ref()?;
    if command.value.trim().is_empty() {
        sink.push(
            Diagnostic::error(Code::CredentialBad, "the command is empty").at(command.span, "prints nothing"),
        );
        return None;
    }
    Some(CredentialSource::Command(command.value.clone()))
}

fn env_source(
    at: &At<String>,
    env: &At<String>,
    world: World<'_>,
    sink: &mut Sink,
) -> Option<CredentialSource> {
    let is_variable = |text: &str| {
        text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if looks_secret(&env.value) || (!is_variable(&env.value) && env.value.len() >= 16) {
        sink.push(
            Diagnostic::error(
                Code::SecretInFile,
                "`env` wants the name of a variable, not the secret itself",
            )
            .at(env.span, "shown as `*`")
            .secret()
            .hint("set the variable in the environment, and name it here: `env = \"NAME\"`")
            .hint("whoever could read this file may have the secret: replace it"),
        );
        return None;
    }
    if !is_variable(&env.value) {
        let message = format!(
            "`{}` cannot be the name of an environment variable",
            shown(&env.value)
        );
        let hint = env.value.strip_prefix('$').map_or_else(
            || "letters, digits and `_`, not starting with a digit".to_owned(),
            |name| format!("without the `$`: `{}`", shown(name)),
        );
        sink.push(
            Diagnostic::error(Code::CredentialBad, message)
                .at(env.span, "wants a name")
                .hint(hint),
        );
        return None;
    }
    if (world.env)(&env.value).is_none_or(|value| value.trim().is_empty()) {
        sink.push(
            Diagnostic::warning(
                Code::CredentialMissing,
                format!("the variable `{}` is not set", shown(&env.value)),
            )
            .at(env.span, format!("`{}` will be refused", shown(&at.value)))
            .hint(format!(
                "`export {}=...` before `tieline serve`",
                shown(&env.value)
            )),
        );
    }
    Some(CredentialSource::Env(env.value.clone()))
}

fn file_source(
    at: &At<String>,
    file: &At<String>,
    world: World<'_>,
    sink: &mut Sink,
) -> Option<CredentialSource> {
    if looks_secret(&file.value) {
        sink.push(
            Diagnostic::error(Code::SecretInFile, "`file` wants a path, not the secret itself")
                .at(file.span, "shown as `*`")
                .secret()
                .hint("write the secret into a file that only this user can read, and name the file here"),
        );
        return None;
    }
    let path = value::path(world.base, &file.value);
    let problem = match world.read(&path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Some("it is empty".to_owned()),
        Ok(_) => None,
        Err(error) => Some(kind(&error)),
    };
    if let Some(problem) = problem {
        sink.push(
            Diagnostic::warning(
                Code::CredentialMissing,
                format!("the file `{}` cannot be used", shown(&file.value)),
            )
            .at(file.span, problem)
            .hint(format!(
                "until it can, `{}` will be refused and the other channels carry its load",
                shown(&at.value)
            )),
        );
    }
    Some(CredentialSource::File(path))
}

//! The tables of a scenario file. The comments on the fields are the text of the scenario reference.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{At, Entries, List, Read, raw_choice, raw_table, read_fields, wrong_type};
use crate::diagnose::Sink;

/// Read the tables of a document.
pub(super) fn read(table: &DeTable<'_>, sink: &mut Sink) -> RawScenario {
    read_fields(table, sink)
}

/// A length of time or an instant, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawTime(pub(crate) String);

/// A decimal number, as it was written: a float would not be exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawDecimal(pub(crate) String);

raw_table! {
    /// Timed events that are laid over traffic. In every text, `${name}` stands for the value of a parameter.
    RawScenario {
        /// A short name: letters, digits, `-`, `_` and `.`.
        id: String,
        /// One line.
        title: String,
        /// What it is about, in a few sentences.
        description: String,
        /// Where its facts are from.
        sources: List<RawSource>,
        /// What is assumed and not known: a sentence each.
        assumed: List<String>,
        /// What may be chosen with `--set NAME=VALUE`, by name.
        parameters: Entries<RawParameter>,
        /// When offset 0 is: `first call` (the default), a time after the first call such as `2h`, or an instant such as
        /// `2025-10-20T06:48:00Z`.
        start: RawTime,
        /// What happens: one to 256.
        event: List<RawEvent>,
    }

    RawSource {
        /// Where it can be read.
        url: String,
        /// What it says that the scenario uses.
        says: String,
        /// The day on which it was read, such as `2026-11-28`.
        retrieved: String,
    }

    RawParameter {
        /// Its value where none is given; `largest` is the one that carries most calls where nothing happens. Without a
        /// default, one must be given.
        default: String,
        /// Whether it is several names with commas between. `["${name}"]` is a list of them.
        list: bool,
        /// What `largest` means: the largest of these. A cloud or region is named without its kind, such as `aws`.
        of: RawParameterOf,
        /// What it is for.
        says: String,
    }

    /// One thing that happens: when, for how long, and exactly one of the tables below.
    RawEvent {
        /// When it begins: a time after the start, such as `0s` or `2h52m`, or an instant. Default: at the start.
        at: RawTime,
        /// How long it lasts. Without `for` and `until` it lasts to the end of the traffic.
        span as "for": RawTime,
        /// When it ends: a time after the start, or an instant.
        until: RawTime,
        /// Whether the event is left out, with a note, where the grid does not have what it names. Default false: then that
        /// is an error, unless `--skip-absent` is given.
        optional: bool,
        /// A channel or component fails.
        out: RawOut,
        /// A channel, or every channel that needs a component, is slow or fails now and then.
        degraded: RawDegraded,
        /// Prices are multiplied.
        price: RawPriceChange,
        /// The limits of a channel change.
        quota: RawQuotaChange,
        /// A directive is in force, or is amended or revoked.
        directive: RawDirective,
        /// A party's licence counts no longer.
        licence_expires: RawLicence,
        /// Channels no longer serve models.
        withdrawn: RawServedOf,
        /// Calls are multiplied.
        surge: RawSurge,
        /// Outages are drawn from a prior.
        outages: RawOutages,
    }

    /// One of `channel` and `component`.
    RawOut {
        /// A channel of the grid.
        channel: String,
        /// A component of the grid, such as `cloud:aws`: every channel that needs it fails.
        component: String,
        /// How it shows itself. Default `refused`.
        how: RawHow,
    }

    /// One of `channel` and `component`; `time`, `errors` or both.
    RawDegraded {
        /// A channel of the grid.
        channel: String,
        /// A component of the grid: every channel that needs it.
        component: String,
        /// How much longer answers take: `2` is twice as long.
        time: RawDecimal,
        /// The share of attempts that fail, 0 to 1.
        errors: RawDecimal,
    }

    /// Whatever matches all of `channel`, `component`, `lab` and `models` that are stated; at least one is.
    RawPriceChange {
        /// A channel of the grid.
        channel: String,
        /// Channels that need this component.
        component: String,
        /// Models of this lab.
        lab: String,
        /// Models of the grid: any of these.
        models: List<String>,
        /// The factor: `3` is three times the price.
        times: RawDecimal,
    }

    /// Whatever matches all of `channel`, `component`, `lab` and `models` that are stated; at least one is.
    RawServedOf {
        /// A channel of the grid.
        channel: String,
        /// Channels that need this component.
        component: String,
        /// Models of this lab.
        lab: String,
        /// Models of the grid: any of these.
        models: List<String>,
    }

    /// Either `times`, or new numbers; what is not named stays.
    RawQuotaChange {
        /// A channel of the grid.
        channel: String,
        /// The factor of every limit that the channel states. Where it states none, its busiest minute stands for it.
        times: RawDecimal,
        /// Calls in flight.
        concurrency: u64,
        /// Requests in a minute.
        requests_per_minute: u64,
        /// Tokens in a minute, of prompts and answers together.
        tokens_per_minute: u64,
    }

    /// One of `file` and `text`. A later event with a greater version of the same id amends it, a revocation ends it.
    RawDirective {
        /// A directive or revocation, signed or not; the path is relative to the folder of the scenario.
        file: String,
        /// Its text.
        text: String,
    }

    RawLicence {
        /// The id of the licence, as `tieline licence list` shows it.
        licence: String,
        /// Whose: a party's id. Default: everyone's.
        party: String,
    }

    /// Calls that match all of `class`, `party` and `pool` that are stated; without any, all calls.
    RawSurge {
        /// Parties of this class.
        class: RawClass,
        /// A party's id.
        party: String,
        /// What is asked for: a pool, or a model.
        pool: String,
        /// The factor: `2` is twice as many calls, `0.5` half.
        times: RawDecimal,
        /// What the draws come from. Default 1.
        seed: u64,
    }

    /// Incidents of each element of a group, one after the other, and incidents that strike the whole group.
    RawOutages {
        /// Components and channels of the grid.
        group: List<String>,
        /// How long incidents last, and how often they come where the prior says.
        prior: RawPrior,
        /// Incidents of one element in a year. Default: what the prior says, if it does.
        per_year: RawDecimal,
        /// The share of incidents that strike the whole group at once, 0 to 1. Default 0.
        beta: RawDecimal,
        /// The share of incidents that take the element out, 0 to 1; in the others some attempts fail. Default 0.1.
        hard: RawDecimal,
        /// The share of attempts that fail in an incident that takes nothing out. Default 0.25.
        errors: RawDecimal,
        /// What the draws come from. Default 1.
        seed: u64,
    }
}

raw_choice! {
    /// What a parameter's `largest` is the largest of.
    RawParameterOf { Channel "channel", Cloud "cloud", Lab "lab", Model "model", Party "party",
        Region "region", }

    /// How what is out shows itself.
    RawHow {
        /// Connections are refused, at once.
        Refused "refused",
        /// Answers have status 503.
        Errors "errors",
        /// Nothing answers until a limit of time passes.
        Silent "silent",
    }

    RawClass { Academic "academic", Agency "agency", Consumer "consumer", Enterprise "enterprise", Startup "startup", }

    RawPrior {
        /// 74.8 a year, median 73 min (incidents of impact minor and above, 2023-07 to 2025-01).
        Anthropic "anthropic",
        /// Median 141 min; `per_year` is needed.
        Aws "aws",
        /// Median 344 min; `per_year` is needed.
        Azure "azure",
        /// Median 111 min; `per_year` is needed.
        Gcp "gcp",
        /// 78.8 a year, median 81 min (incidents of impact minor and above, 2023-07 to 2025-01).
        Openai "openai",
    }
}

// === impl Read ===

impl Read for RawTime {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(Self(text.as_ref().to_owned())),
            DeValue::Datetime(at) => Some(Self(at.to_string())),
            _ => wrong_type(value, key, "a time", Some("for example `\"2h52m\"`"), sink),
        }
    }
}

impl Read for RawDecimal {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(Self(text.as_ref().to_owned())),
            DeValue::Integer(integer) => Some(Self(integer.as_str().to_owned())),
            DeValue::Float(float) => Some(Self(float.as_str().to_owned())),
            _ => wrong_type(value, key, "a number", Some("for example `0.5`"), sink),
        }
    }
}

// === impl JsonSchema ===

impl JsonSchema for RawTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RawTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl JsonSchema for RawDecimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RawDecimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}

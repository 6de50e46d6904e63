//! The grid as it is archived: names, not indexes; checked, not raw. Its canonical JSON is stored once per version under
//! its SHA-256, and every decision cites that digest, so that history replays across reloads.
//!
//! It holds what decisions depend on and nothing else: no endpoint, no credential.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::desk::{Criticality, Limits, Quota};
use crate::price::Price;
use crate::subject::Dialect;

/// The type tag of version 1.
pub const GRID_V1: &str = "tieline/grid/v1";

/// All labs, models, channels, components and pools of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridRecord {
    pub channels: Vec<ChannelRecord>,
    /// Components that depend on others, such as a region on its cloud. A component that only channels name needs no
    /// entry here.
    #[serde(default)]
    pub components: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    pub labs: Vec<LabRecord>,
    pub models: Vec<ModelRecord>,
    pub pools: Vec<PoolRecord>,
    /// Where prices are from, by the name of their list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<Arc<str>, PriceListRecord>,
    /// Settings of calls that name a model and not a pool.
    pub settings: Settings,
    /// Always [`GRID_V1`].
    pub t: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabRecord {
    /// ISO 3166-1 alpha-2 code of the law that it is under, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Arc<str>>,
    pub name: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Context window in tokens, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u32>,
    pub lab: Arc<str>,
    /// Under which its weights are given, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<Arc<str>>,
    /// What it reads, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<Modality>>,
    pub name: Arc<str>,
    /// Whether it calls tools, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Training compute in FLOP as a decimal string (it passes 2^53), if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_flop: Option<Arc<str>>,
    pub weights: Weights,
}

/// What a model can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Audio,
    Files,
    Images,
    Text,
    Video,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    Closed,
    Open,
    #[default]
    Unknown,
}

impl Modality {
    /// The name in configurations, records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Files => "files",
            Self::Images => "images",
            Self::Text => "text",
            Self::Video => "video",
        }
    }
}

impl Weights {
    /// The name in configurations, records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRecord {
    /// What it depends on directly, such as `cloud:aws`, `region:aws/us-east-1`, `lab:anthropic`.
    pub components: Vec<Arc<str>>,
    pub dialect: Dialect,
    pub limits: Limits,
    /// Input tokens that one picture, sound or document of a request can be counted as, at most, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_tokens_max: Option<u32>,
    pub models: Vec<ServedRecord>,
    pub name: Arc<str>,
    /// ISO 3166-1 alpha-2 code of the law that its operator is under, if stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_jurisdiction: Option<Arc<str>>,
    pub provider: Arc<str>,
    /// What its operator allows, by the operator's own rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Arc<str>>,
    /// ISO 3166-1 alpha-2 code of the country in which it processes calls, if stated. A region's name does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_country: Option<Arc<str>>,
}

/// A model on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedRecord {
    pub model: Arc<str>,
    /// What the channel calls it.
    pub name: Arc<str>,
    /// What the channel charges; absent is unknown, never zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The list that the price is from, if it is from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_list: Option<Arc<str>>,
    /// Which version of the model it is, if somebody said so: names on channels need not tell, and no decision depends
    /// on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Arc<str>>,
}

/// Where a list of prices is from, and of which day it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceListRecord {
    /// `2026-11-20`.
    pub date: Arc<str>,
    pub source: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRecord {
    /// Limits of all calls that ask for the pool together.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// The models that may stand in for each other, most wanted first.
    pub models: Vec<Arc<str>>,
    pub name: Arc<str>,
    pub settings: Settings,
}

/// Per-call settings of a pool; the names are those of `tieline.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Attempts of one call, over all channels; 1 to [`crate::ROWS_MAX`].
    pub attempts_max: u8,
    /// The whole call, in ms.
    pub call_ms: u32,
    /// Which of the channels of one model is asked. A record that does not say is from before there was a choice.
    #[serde(default = "Choice::recorded", skip_serializing_if = "Choice::is_recorded")]
    pub choice: Choice,
    /// To open a connection, in ms.
    pub connect_ms: u32,
    /// How much its calls matter when not all can be served.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub criticality: Criticality,
    /// From the dial to the first content of a stream, in ms. A status line or a `message_start` is not content.
    pub first_content_ms: u32,
    /// From the dial to the status line of a stream, in ms.
    pub head_ms: u32,
    /// How long the first part of a stream is kept back, in ms, so that an answer cut within it is begun anew unseen; 0 is
    /// not at all. Ends with `hold_tokens`, if that is given too.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub hold_ms: u32,
    /// How much of a stream is kept back, in content events, of which most channels send one a token; 0 is nothing.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub hold_tokens: u32,
    /// Between two content events, in ms.
    pub idle_ms: u32,
    /// The output limit of a request that states none, where a budget is in force: without any limit there is no bound of
    /// what the call can cost.
    #[serde(
        default = "output_tokens_max_default",
        skip_serializing_if = "is_output_tokens_max_default"
    )]
    pub output_tokens_max: u32,
    pub record: RecordMode,
    pub resume: Resume,
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub unknown_price: UnknownPrice,
    /// From the dial to the end of an answer that is not streamed, in ms. Servers send such an answer's status line when
    /// the whole of it is made, so neither `head_ms` nor `first_content_ms` says anything of it.
    pub whole_ms: u32,
}

/// Which of the channels that serve one model is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The cheaper, by latency and load, of two drawn at random; the one that has the prompt in its cache before others.
    Balanced,
    /// The first in the order of the configuration.
    InOrder,
}

impl Choice {
    const fn recorded() -> Self {
        Self::InOrder
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    const fn is_recorded(&self) -> bool {
        matches!(self, Self::InOrder)
    }
}

/// When an answer may leave relative to its decision's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordMode {
    /// The entry is queued; a crash may lose the last few milliseconds of entries.
    Async,
    /// No byte of an answer leaves before the decision's entry is durable.
    Strict,
}

/// What happens when an answer breaks off after content was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// The stream ends with the dialect's error event.
    Off,
    /// Another model of the pool may continue.
    Pool,
    /// Another channel of the same model may continue.
    SameModel,
}

/// What happens to a candidate whose price is unknown. While a budget is in force, none is tried, for nobody could say
/// what it may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// It is held for an officer.
    Hold,
    /// It is served, and its cost is recorded as unknown.
    #[default]
    Record,
    /// It is passed over.
    Refuse,
}

/// Some twelve pages of text; at 15 USD per million tokens, 12 cents.
const OUTPUT_TOKENS_MAX: u32 = 8_192;

const fn output_tokens_max_default() -> u32 {
    OUTPUT_TOKENS_MAX
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` gives a reference"
)]
const fn is_output_tokens_max_default(tokens: &u32) -> bool {
    *tokens == OUTPUT_TOKENS_MAX
}

impl Default for Settings {
    /// Call 10 minutes, connect 2 s, first content 20 s (a busy channel queues that long), idle 15 s, three attempts:
    /// 3 × 20 s of waiting stays below the minute after which interactive callers give up. An answer in one piece: 120 s,
    /// for 4,000 tokens at 33 a second.
    fn default() -> Self {
        Self {
            attempts_max: 3,
            call_ms: 600_000,
            choice: Choice::Balanced,
            connect_ms: 2_000,
            criticality: Criticality::CriticalPlus,
            first_content_ms: 20_000,
            head_ms: 20_000,
            hold_ms: 0,
            hold_tokens: 0,
            idle_ms: 15_000,
            output_tokens_max: OUTPUT_TOKENS_MAX,
            record: RecordMode::Async,
            resume: Resume::Off,
            unknown_price: UnknownPrice::Record,
            whole_ms: 120_000,
        }
    }
}

//! The law of some traffic: what a group of calls is like. The same object is printed as JSON and written as TOML.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Dialect;

use super::distribution::Distribution;
use super::family::{Family, Renewal};
use super::week::Rates;
use crate::traffic::{Basis, Class};

/// The schema of [`Law`], in JSON and in TOML.
pub const LAW_V1: &str = "tieline/drill-fit/v1";

/// Groups of a law: at some 3 KB of text each, 3 MB.
pub(crate) const GROUPS_MAX: usize = 1_000;

/// What calls are like.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Law {
    /// Always [`LAW_V1`].
    pub schema: &'static str,
    /// What it was fitted to.
    pub basis: Basis,
    /// Calls that it was fitted to.
    pub calls: u64,
    /// The first second of the traffic, RFC 3339.
    pub from: String,
    /// Those with most calls first.
    pub groups: Vec<GroupLaw>,
    /// Calls that are in no group: they asked for nothing that a grid could serve, or their key might not.
    pub left_out: u64,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// The first second after the traffic.
    pub until: String,
}

/// What the calls of some parties for one thing are like.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct GroupLaw {
    pub arrivals: ArrivalLaw,
    /// Bytes of a request for each token of its prompt.
    pub bytes_per_token: f64,
    /// Of the prompt; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<ShareLaw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<ShareLaw>,
    /// Calls that it was fitted to.
    pub calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    #[schemars(with = "String")]
    pub dialect: Dialect,
    /// What is asked for, if that is a model; else `pool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Time of an answer after its first content, for each token of it.
    pub ms_per_output_token: Distribution,
    /// The limit of output that a call states, for those that do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_max: Option<ShareLaw>,
    /// Tokens of an answer, reasoning among them; unknown if no call's usage is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<Distribution>,
    /// Which party a call is of: relative weights.
    pub parties: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Tokens of a prompt, cached ones among them; unknown if no call's usage is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<Distribution>,
    /// Of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ShareLaw>,
    /// The part of the calls whose answers are streamed.
    pub stream: f64,
    /// Time to the first content of an answer that is streamed.
    pub ttft_ms: Distribution,
}

/// When calls come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrivalLaw {
    /// Standard deviation of inter-arrival times over their mean, once rates are taken out.
    pub cv: f64,
    pub family: Family,
    /// Hour of the week (UTC, from Monday 00:00 = 0 to 167) and calls an hour; an hour that was watched for less than
    /// ten minutes has no row, and `per_hour` calls.
    pub hours: Vec<(u16, f64)>,
    /// Calls an hour over the whole window.
    pub per_hour: f64,
    /// Of the family; 1 for `exponential`.
    pub shape: f64,
}

/// Something that only some calls have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareLaw {
    /// The part of the calls that have it.
    pub calls: f64,
    /// How much of it these have: a part between 0 and 1, or a number of tokens.
    pub size: Distribution,
}

// === impl ArrivalLaw ===

impl ArrivalLaw {
    pub(crate) fn rates(&self) -> Rates {
        Rates::new(&self.hours, self.per_hour)
    }

    pub(crate) fn renewal(&self) -> Renewal {
        Renewal::new(self.family, self.shape)
    }
}

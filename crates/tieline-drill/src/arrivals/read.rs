//! Reads a law from TOML. Hostile files are refused with the place and the line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::Dialect;
use toml::Spanned;

use super::distribution::Distribution;
use super::law::{ArrivalLaw, GROUPS_MAX, GroupLaw, LAW_V1, Law, ShareLaw};
use super::week::{HOURS, WINDOW_MAX};
use crate::instant;
use crate::problem::{Problem, Problems};
use crate::traffic::{Basis, Class};

/// Bytes of a law: a thousand groups at 3 KB are 3 MB, and 100,000 parties another 2 MB.
pub const LAW_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLaw {
    schema: Spanned<String>,
    #[serde(default = "drawn")]
    basis: Basis,
    #[serde(default)]
    calls: u64,
    from: Spanned<String>,
    groups: Vec<Spanned<RawGroup>>,
    #[serde(default)]
    left_out: u64,
    #[serde(default)]
    notes: Vec<String>,
    until: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    arrivals: ArrivalLaw,
    #[serde(default = "bytes_per_token")]
    bytes_per_token: f64,
    cache_read: Option<ShareLaw>,
    cache_write: Option<ShareLaw>,
    #[serde(default)]
    calls: u64,
    class: Option<Class>,
    #[serde(default = "openai_chat")]
    dialect: Dialect,
    model: Option<String>,
    #[serde(default = "ms_per_output_token")]
    ms_per_output_token: Distribution,
    output_max: Option<ShareLaw>,
    output_tokens: Option<Distribution>,
    parties: BTreeMap<String, u64>,
    pool: Option<String>,
    prompt_tokens: Option<Distribution>,
    reasoning: Option<ShareLaw>,
    #[serde(default = "one")]
    stream: f64,
    #[serde(default = "ttft_ms")]
    ttft_ms: Distribution,
}

/// Whether a text says of itself that it is a law.
pub fn is_law(text: &str) -> bool {
    let head = text.lines().take(50);
    head.map(str::trim_start)
        .any(|line| line.starts_with("schema") && line.contains(LAW_V1))
}

// === impl Law ===

impl Law {
    /// The law that a file holds; `file` is the name that problems cite.
    ///
    /// # Errors
    /// What is wrong with it, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let file: Arc<str> = file.into();
        if text.len() > LAW_BYTES_MAX {
            return Err(Problem::of_file(&file, format!("is longer than {LAW_BYTES_MAX} bytes")).into());
        }
        let raw: RawLaw = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let says: Vec<&str> = error.message().split_whitespace().collect();
            Problem::in_text(&file, text, offset, says.join(" "))
        })?;
        let mut problems = Problems::default();
        let mut wrong = |offset: usize, says: String| {
            problems.push(Problem::in_text(&file, text, offset, says));
        };
        if raw.schema.get_ref() != LAW_V1 {
            let says = format!("`schema` is `{}`; `{LAW_V1}` is expected", raw.schema.get_ref());
            wrong(raw.schema.span().start, says);
        }
        let instants = [&raw.from, &raw.until].map(|field| {
            let read = instant::parse(field.get_ref());
            if let Err(why) = &read {
                wrong(field.span().start, format!("`{}`: {why}", field.get_ref()));
            }
            read.unwrap_or_default()
        });
        let [from, until] = instants;
        if until <= from || until.since(from) > WINDOW_MAX {
            let says = "`until` is not after `from`, or more than twenty years after it".to_owned();
            wrong(raw.until.span().start, says);
        }
        if raw.groups.is_empty() || raw.groups.len() > GROUPS_MAX {
            wrong(
                0,
                format!(
                    "a law has 1 to {GROUPS_MAX} groups, this has {}",
                    raw.groups.len()
                ),
            );
        }
        for group in &raw.groups {
            group.get_ref().check(&mut |says| wrong(group.span().start, says));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            schema: LAW_V1,
            basis: raw.basis,
            calls: raw.calls,
            from: raw.from.into_inner(),
            groups: raw
                .groups
                .into_iter()
                .map(|group| group.into_inner().into())
                .collect(),
            left_out: raw.left_out,
            notes: raw.notes,
            until: raw.until.into_inner(),
        })
    }
}

impl RawGroup {
    fn check(&self, wrong: &mut dyn FnMut(String)) {
        if self.pool.is_some() == self.model.is_some() {
            wrong("a group asks for a `pool` or for a `model`: one of the two".to_owned());
        }
        if self
            .parties
            .values()
            .fold(0, |sum: u64, weight| sum.saturating_add(*weight))
            == 0
        {
            wrong("`parties` names nobody with a weight above 0".to_owned());
        }
        let mut part = |name: &str, part: f64| {
            if !(0.0..=1.0).contains(&part) {
                wrong(format!("`{name}` is {part}; a part is between 0 and 1"));
            }
        };
        part("stream", self.stream);
        for (name, share) in [
            ("cache_read", &self.cache_read),
            ("cache_write", &self.cache_write),
            ("output_max", &self.output_max),
            ("reasoning", &self.reasoning),
        ] {
            if let Some(share) = share {
                part(&format!("{name}.calls"), share.calls);
            }
        }
        if !(self.bytes_per_token.is_finite() && self.bytes_per_token >= 0.0) {
            wrong(format!(
                "`bytes_per_token` is {}, which is no size",
                self.bytes_per_token
            ));
        }
        let arrivals = &self.arrivals;
        let is_rate = |rate: f64| rate.is_finite() && rate >= 0.0;
        if !is_rate(arrivals.per_hour) || !arrivals.hours.iter().all(|(_, rate)| is_rate(*rate)) {
            wrong("`arrivals` has a rate that is no number from 0 on".to_owned());
        }
        let hours = arrivals.hours.iter().zip(arrivals.hours.iter().skip(1));
        let rises = hours.fold(true, |so_far, (a, b)| so_far && a.0 < b.0);
        if !rises || arrivals.hours.iter().any(|(hour, _)| *hour >= HOURS) {
            wrong(
                "`arrivals.hours` is not a list of hours of the week, 0 to 167, each once and in order"
                    .to_owned(),
            );
        }
        if !is_rate(arrivals.cv) {
            wrong(format!(
                "`arrivals.cv` is {}, which is no number from 0 on",
                arrivals.cv
            ));
        }
        if !(arrivals.shape.is_finite() && arrivals.shape > 0.0) {
            wrong(format!("`arrivals.shape` is {}; it is above 0", arrivals.shape));
        }
    }
}

impl From<RawGroup> for GroupLaw {
    fn from(raw: RawGroup) -> Self {
        Self {
            arrivals: raw.arrivals,
            bytes_per_token: raw.bytes_per_token,
            cache_read: raw.cache_read,
            cache_write: raw.cache_write,
            calls: raw.calls,
            class: raw.class,
            dialect: raw.dialect,
            model: raw.model,
            ms_per_output_token: raw.ms_per_output_token,
            output_max: raw.output_max,
            output_tokens: raw.output_tokens,
            parties: raw.parties,
            pool: raw.pool,
            prompt_tokens: raw.prompt_tokens,
            reasoning: raw.reasoning,
            stream: raw.stream,
            ttft_ms: raw.ttft_ms,
        }
    }
}

const fn drawn() -> Basis {
    Basis::Drawn
}

const fn openai_chat() -> Dialect {
    Dialect::OpenaiChat
}

const fn one() -> f64 {
    1.0
}

const fn bytes_per_token() -> f64 {
    super::fit::BYTES_PER_TOKEN
}

const fn ms_per_output_token() -> Distribution {
    Distribution::constant(super::fit::MS_PER_TOKEN_ASSUMED)
}

const fn ttft_ms() -> Distribution {
    Distribution::constant(super::fit::TTFT_MS_ASSUMED)
}

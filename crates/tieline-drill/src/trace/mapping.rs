//! The mapping: a small TOML that says whose the calls of a trace are, what they ask for, and what the trace does not
//! say of them. Everything in it is optional; what it leaves open and the trace does not say is an error or an
//! assumption that is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::{Dialect, Span, Tick};
use toml::Spanned;
use toml::value::Datetime;

use super::calls::Column;
use crate::arrivals::{Distribution, real, whole};
use crate::instant;
use crate::problem::{Problem, Problems};
use crate::traffic::Class;

/// Bytes of a mapping: ten thousand groups of a hundred bytes.
pub const MAPPING_BYTES_MAX: usize = 1 << 20;

/// Groups of a mapping; each line of a trace may look through all of them.
const GROUPS_MAX: usize = 10_000;

/// How long a block stays in a prompt cache after it was used, where the mapping does not say: five minutes, the shortest
/// lifetime that labs offer.
const CACHE_LIFETIME: Span = Span::from_s(300);

/// A day: no cache of prompts keeps longer.
const CACHE_MINUTES_MAX: f64 = 1_440.0;

/// The format of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Azure's `TIMESTAMP,ContextTokens,GeneratedTokens`.
    Azure,
    /// A CSV of one's own.
    Calls,
    /// Mooncake's JSON Lines.
    Mooncake,
    /// A client series of ServeGen.
    Servegen,
}

/// How a trace becomes traffic.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    pub(super) cache_lifetime: Span,
    pub(super) columns: BTreeMap<String, Column>,
    pub(super) defaults: Settings,
    /// By default the beginning of a file says which.
    pub(super) format: Option<Format>,
    pub(super) groups: Vec<Group>,
    pub(super) ignored: Vec<String>,
    /// Whether a line that is wrong is left out, and does not refuse the file.
    pub(super) leaves_out: bool,
    pub(super) name: Option<Arc<str>>,
    pub(super) seed: u64,
    /// Where the trace's time begins.
    pub(super) start: Option<Tick>,
}

/// Calls that belong together: which of the trace's they are, and what they become.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) chosen: Chosen,
    pub(super) settings: Settings,
    pub(super) share: f64,
}

/// Which calls a group takes; what is empty takes any. Groups that choose alike share what they choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) asks: Vec<String>,
    pub(super) classes: Vec<Class>,
    pub(super) files: Vec<String>,
    pub(super) parties: Vec<String>,
}

/// What is said of calls; what the trace says itself counts for more, but for party, class and what is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) ask: Option<Asks>,
    pub(super) class: Option<Class>,
    pub(super) dialect: Option<Dialect>,
    pub(super) ms_per_output_token: Option<Distribution>,
    pub(super) output_max: Option<u32>,
    pub(super) output_tokens: Option<Distribution>,
    pub(super) party: Option<Arc<str>>,
    pub(super) prompt_tokens: Option<Distribution>,
    pub(super) stream: Option<f64>,
    pub(super) ttft_ms: Option<Distribution>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Model(Arc<str>),
    Pool(Arc<str>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    bad_rows: Option<Spanned<String>>,
    cache_minutes: Option<Spanned<f64>>,
    #[serde(default)]
    columns: BTreeMap<String, Spanned<String>>,
    defaults: Option<Spanned<RawGroup>>,
    format: Option<Format>,
    #[serde(default)]
    groups: Vec<Spanned<RawGroup>>,
    #[serde(default)]
    ignore: Vec<String>,
    seed: Option<u64>,
    start: Option<Spanned<Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    class: Option<Class>,
    dialect: Option<Dialect>,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    from_ask: Vec<String>,
    #[serde(default)]
    from_class: Vec<Class>,
    #[serde(default)]
    from_party: Vec<String>,
    model: Option<String>,
    ms_per_output_token: Option<Distribution>,
    output_max: Option<u32>,
    output_tokens: Option<Distribution>,
    party: Option<String>,
    pool: Option<String>,
    prompt_tokens: Option<Distribution>,
    share: Option<f64>,
    stream: Option<f64>,
    ttft_ms: Option<Distribution>,
}

// === impl Mapping ===

impl Mapping {
    /// The mapping that says nothing.
    pub fn none() -> Self {
        Self {
            cache_lifetime: CACHE_LIFETIME,
            ..Self::default()
        }
    }

    /// The mapping that a file holds; `file` is the name that problems cite.
    ///
    /// # Errors
    /// What is wrong with it, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let file: Arc<str> = file.into();
        if text.len() > MAPPING_BYTES_MAX {
            return Err(Problem::of_file(&file, format!("is longer than {MAPPING_BYTES_MAX} bytes")).into());
        }
        let raw: RawMapping = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let says: Vec<&str> = error.message().split_whitespace().collect();
            Problem::in_text(&file, text, offset, says.join(" "))
        })?;
        let mut problems = Problems::default();
        let mapping = raw.check(&file, &mut |offset, says| {
            problems.push(Problem::in_text(&file, text, offset, says));
        });
        if problems.is_empty() {
            Ok(mapping)
        } else {
            Err(problems)
        }
    }
}

// === impl RawMapping ===

impl RawMapping {
    fn check(mut self, name: &Arc<str>, wrong: &mut dyn FnMut(usize, String)) -> Mapping {
        let leaves_out = self.leaves_out(wrong);
        let start = self.start.as_ref().and_then(|start| {
            let read = instant::parse(&start.get_ref().to_string());
            read.map_err(|why| wrong(start.span().start, format!("`start`: {why}")))
                .ok()
        });
        let columns = known(std::mem::take(&mut self.columns), wrong);
        let cache_lifetime = self.cache_minutes.map_or(CACHE_LIFETIME, |minutes| {
            if !(0.0..=CACHE_MINUTES_MAX).contains(minutes.get_ref()) {
                wrong(
                    minutes.span().start,
                    "`cache_minutes` is not between 0 and 1440".to_owned(),
                );
            }
            Span(whole(minutes.get_ref() * real(60_000_000)))
        });
        if self.groups.len() > GROUPS_MAX {
            wrong(
                0,
                format!(
                    "a mapping has at most {GROUPS_MAX} groups, this has {}",
                    self.groups.len()
                ),
            );
        }
        let defaults = self.defaults.map(|defaults| {
            let place = defaults.span().start;
            let group = defaults.into_inner().check(&mut |says| wrong(place, says));
            if group.chosen != Chosen::default() || group.is_shared {
                wrong(
                    place,
                    "`[defaults]` are for all calls: they choose none, and have no `share`".to_owned(),
                );
            }
            group.group.settings
        });
        let groups = self.groups.into_iter().map(|group| {
            let place = group.span().start;
            group.into_inner().check(&mut |says| wrong(place, says)).group
        });
        Mapping {
            groups: groups.collect(),
            cache_lifetime,
            columns,
            defaults: defaults.unwrap_or_default(),
            format: self.format,
            ignored: self.ignore,
            leaves_out,
            name: Some(name.clone()),
            seed: self.seed.unwrap_or_default(),
            start,
        }
    }

    fn leaves_out(&self, wrong: &mut dyn FnMut(usize, String)) -> bool {
        match self
            .bad_rows
            .as_ref()
            .map(|word| (word.get_ref().as_str(), word.span().start))
        {
            None | Some(("refuse", _)) => false,
            Some(("leave_out", _)) => true,
            Some((word, place)) => {
                wrong(
                    place,
                    format!("`bad_rows` is `{word}`; it is `refuse` or `leave_out`"),
                );
                false
            }
        }
    }
}

/// What the columns of a file mean.
fn known(
    columns: BTreeMap<String, Spanned<String>>,
    wrong: &mut dyn FnMut(usize, String),
) -> BTreeMap<String, Column> {
    let mut known = BTreeMap::new();
    for (theirs, ours) in columns {
        if let Some(column) = Column::named(ours.get_ref()) {
            known.insert(theirs, column);
        } else {
            let says = format!("`{}` is no column that is known", ours.get_ref());
            wrong(ours.span().start, says);
        }
    }
    known
}

/// A group, and whether it states a share.
struct CheckedGroup {
    chosen: Chosen,
    group: Group,
    is_shared: bool,
}

impl RawGroup {
    fn check(self, wrong: &mut dyn FnMut(String)) -> CheckedGroup {
        if self.pool.is_some() && self.model.is_some() {
            wrong("a group asks for a `pool` or for a `model`, not for both".to_owned());
        }
        let share = self.share.unwrap_or(1.0);
        if !(share.is_finite() && share > 0.0) {
            wrong(format!("`share` is {share}; it is a number above 0"));
        }
        if self.stream.is_some_and(|stream| !(0.0..=1.0).contains(&stream)) {
            wrong("`stream` is a part of the calls, between 0 and 1".to_owned());
        }
        if self.output_max == Some(u32::MAX) || self.output_max == Some(0) {
            wrong("`output_max` is a count of tokens above 0".to_owned());
        }
        let texts = [&self.party, &self.pool, &self.model];
        if texts.into_iter().flatten().any(|text| text.trim().is_empty()) {
            wrong("a name is empty".to_owned());
        }
        let chosen = Chosen {
            asks: self.from_ask,
            classes: self.from_class,
            files: self.files,
            parties: self.from_party,
        };
        let ask = match (self.pool, self.model) {
            (Some(pool), _) => Some(Asks::Pool(pool.as_str().into())),
            (None, model) => model.map(|model| Asks::Model(model.as_str().into())),
        };
        CheckedGroup {
            is_shared: self.share.is_some(),
            chosen: chosen.clone(),
            group: Group {
                chosen,
                settings: Settings {
                    ask,
                    class: self.class,
                    dialect: self.dialect,
                    ms_per_output_token: self.ms_per_output_token,
                    output_max: self.output_max,
                    output_tokens: self.output_tokens,
                    party: self.party.map(|party| party.as_str().into()),
                    prompt_tokens: self.prompt_tokens,
                    stream: self.stream,
                    ttft_ms: self.ttft_ms,
                },
                share,
            },
        }
    }
}

// === impl Settings ===

impl Settings {
    /// These, and the others where these say nothing.
    pub(super) fn or(&self, others: &Self) -> Self {
        Self {
            ask: self.ask.clone().or_else(|| others.ask.clone()),
            class: self.class.or(others.class),
            dialect: self.dialect.or(others.dialect),
            ms_per_output_token: self
                .ms_per_output_token
                .clone()
                .or_else(|| others.ms_per_output_token.clone()),
            output_max: self.output_max.or(others.output_max),
            output_tokens: self
                .output_tokens
                .clone()
                .or_else(|| others.output_tokens.clone()),
            party: self.party.clone().or_else(|| others.party.clone()),
            prompt_tokens: self
                .prompt_tokens
                .clone()
                .or_else(|| others.prompt_tokens.clone()),
            stream: self.stream.or(others.stream),
            ttft_ms: self.ttft_ms.clone().or_else(|| others.ttft_ms.clone()),
        }
    }
}

impl Chosen {
    /// Whether a file's calls may be among them.
    pub(super) fn has_file(&self, file: &str) -> bool {
        self.files.is_empty() || self.files.iter().any(|known| known == file)
    }

    /// Whether a call of such a file is one of them.
    pub(super) fn has_call(&self, party: Option<&str>, ask: Option<&str>, class: Option<Class>) -> bool {
        let has = |known: &[String], name: Option<&str>| {
            known.is_empty() || name.is_some_and(|name| known.iter().any(|known| known == name))
        };
        has(&self.parties, party)
            && has(&self.asks, ask)
            && (self.classes.is_empty() || class.is_some_and(|class| self.classes.contains(&class)))
    }
}

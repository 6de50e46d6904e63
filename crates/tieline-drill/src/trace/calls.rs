//! The CSV of one's own: a header of known names in any order, one call a line. Only a time and the tokens of prompt and
//! answer are required; what a line leaves empty is unknown.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tieline_core::{Dialect, Nano, Span, Tick};

use super::fields::{Fields, NoFields};
use super::lines::LINE_BYTES_MAX;
use super::row::{Row, RowAsk, Wrong};
use crate::instant;
use crate::traffic::Class;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Ask,
    At,
    AtMs,
    AtS,
    AtUs,
    CacheReadTokens,
    CacheWriteTokens,
    Channel,
    Class,
    CompletionTokens,
    CostNano,
    CostUsd,
    Dialect,
    InputTokens,
    Model,
    OutputMax,
    OutputTokens,
    Party,
    Pool,
    PromptTokens,
    ReasoningTokens,
    ServedModel,
    Stream,
    TookMs,
    TtftMs,
}

/// Every column by its name in the header.
const COLUMNS: [(&str, Column); 25] = [
    ("ask", Column::Ask),
    ("at", Column::At),
    ("at_ms", Column::AtMs),
    ("at_s", Column::AtS),
    ("at_us", Column::AtUs),
    ("cache_read_tokens", Column::CacheReadTokens),
    ("cache_write_tokens", Column::CacheWriteTokens),
    ("channel", Column::Channel),
    ("class", Column::Class),
    ("completion_tokens", Column::CompletionTokens),
    ("cost_nano", Column::CostNano),
    ("cost_usd", Column::CostUsd),
    ("dialect", Column::Dialect),
    ("input_tokens", Column::InputTokens),
    ("model", Column::Model),
    ("output_max", Column::OutputMax),
    ("output_tokens", Column::OutputTokens),
    ("party", Column::Party),
    ("pool", Column::Pool),
    ("prompt_tokens", Column::PromptTokens),
    ("reasoning_tokens", Column::ReasoningTokens),
    ("served_model", Column::ServedModel),
    ("stream", Column::Stream),
    ("took_ms", Column::TookMs),
    ("ttft_ms", Column::TtftMs),
];

/// Of each of these a header has exactly one, at most one if the last is false.
const ONE_OF: [(&str, &[Column], bool); 5] = [
    (
        "the time: `at`, `at_s`, `at_ms` or `at_us`",
        &[Column::At, Column::AtMs, Column::AtS, Column::AtUs],
        true,
    ),
    (
        "the tokens of the prompt: `input_tokens` or `prompt_tokens`",
        &[Column::InputTokens, Column::PromptTokens],
        true,
    ),
    (
        "the tokens of the answer: `output_tokens` or `completion_tokens`",
        &[Column::OutputTokens, Column::CompletionTokens],
        true,
    ),
    (
        "what is asked for: `ask`, `pool` or `model`",
        &[Column::Ask, Column::Model, Column::Pool],
        false,
    ),
    (
        "the cost: `cost_usd` or `cost_nano`",
        &[Column::CostNano, Column::CostUsd],
        false,
    ),
];

/// Reads calls, once its header is known.
#[derive(Debug)]
pub(super) struct Calls {
    columns: Vec<Option<Column>>,
    fields: Fields,
    /// Lines of a record whose quotes have not ended, and the number of the first.
    open: Option<(u64, Vec<u8>)>,
}

impl Column {
    pub(super) fn named(name: &str) -> Option<Self> {
        COLUMNS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, column)| *column)
    }
}

impl Calls {
    pub(super) fn of(columns: Vec<Option<Column>>) -> Self {
        Self {
            columns,
            fields: Fields::default(),
            open: None,
        }
    }

    /// From a header; `renamed` are names of the file by ours, `ignored` those that mean nothing here (`*`: any other).
    pub(super) fn with_header(
        header: &[u8],
        renamed: &BTreeMap<String, Column>,
        ignored: &[String],
    ) -> Result<Self, Vec<Wrong>> {
        let mut calls = Self::of(Vec::new());
        if let Err(NoFields::Stray(at) | NoFields::Open(at)) = calls.fields.split(header) {
            return Err(vec![Wrong::at(
                at,
                "the header has a quote that does not end where a field does",
            )]);
        }
        let mut wrong = Vec::new();
        for ix in 0..calls.fields.len() {
            let name = calls.fields.text(header, ix);
            let place = calls.fields.start(ix);
            let is_ignored = |name: &str| ignored.iter().any(|known| known == name || known == "*");
            let column = renamed.get(&*name).copied().or_else(|| Column::named(&name));
            if column.is_none() && !is_ignored(&name) {
                wrong.push(
                    Wrong::at(place, format!("`{}` is no column that is known", shown(&name)))
                        .hint("give its meaning under [columns] of the mapping, or list it under `ignore`"),
                );
            }
            if column.is_some() && calls.columns.contains(&column) {
                wrong.push(Wrong::at(
                    place,
                    format!("`{}` is a second column of that meaning", shown(&name)),
                ));
            }
            calls.columns.push(column);
        }
        for (what, columns, is_required) in ONE_OF {
            let found = columns
                .iter()
                .filter(|column| calls.columns.contains(&Some(**column)))
                .count();
            if found > 1 || (is_required && found == 0) {
                let says = format!(
                    "there is {} column for {what}",
                    if found == 0 { "no" } else { "more than one" }
                );
                wrong.push(Wrong::line(says));
            }
        }
        if wrong.is_empty() { Ok(calls) } else { Err(wrong) }
    }

    /// Take a line; the record that it completes.
    pub(super) fn record<'l>(&mut self, number: u64, line: &'l [u8]) -> Result<Option<Cow<'l, [u8]>>, Wrong> {
        let (first, record, split) = match self.open.take() {
            None => (number, Cow::Borrowed(line), self.fields.split(line)),
            Some((first, mut open)) => {
                open.push(b'\n');
                open.extend_from_slice(line);
                let split = self.fields.go_on(&open);
                (first, Cow::Owned(open), split)
            }
        };
        match split {
            Ok(()) => Ok(Some(record)),
            Err(NoFields::Stray(at)) => Err(Wrong::at(at, "a quote ends before its field does")),
            Err(NoFields::Open(at)) if record.len() > LINE_BYTES_MAX => {
                Err(Wrong::at(at, "the quote does not end within a megabyte"))
            }
            Err(NoFields::Open(_)) => {
                self.open = Some((first, record.into_owned()));
                Ok(None)
            }
        }
    }

    /// Whether a record goes on with the next line.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The record that the file broke off in.
    pub(super) fn rest(&mut self) -> Option<(u64, Vec<u8>)> {
        self.open.take()
    }

    /// Hand the call of the record that was split last to `each`.
    pub(super) fn row<T>(&self, record: &[u8], each: impl FnOnce(&Row<'_>) -> T) -> Result<T, Wrong> {
        if self.fields.len() != self.columns.len() {
            let (found, expected) = (self.fields.len(), self.columns.len());
            return Err(Wrong::line(format!(
                "the line has {found} fields, the header {expected}"
            )));
        }
        let mut cells = Cells::default();
        for (ix, column) in self.columns.iter().enumerate() {
            if let Some(column) = column {
                let text = self.fields.text(record, ix);
                let place = self.fields.start(ix);
                cells.take(*column, text, place)?;
            }
        }
        let row = cells.row()?;
        Ok(each(&row))
    }
}

/// The values of a record.
#[derive(Default)]
struct Cells<'r> {
    answer: Option<(u64, bool)>,
    ask: Option<(Column, Cow<'r, str>)>,
    at: Option<Tick>,
    cache_read: u32,
    cache_write: u32,
    channel: Option<Cow<'r, str>>,
    class: Option<Class>,
    cost: Option<Nano>,
    dialect: Option<Dialect>,
    output_max: Option<u32>,
    party: Option<Cow<'r, str>>,
    prompt: Option<(u64, bool)>,
    reasoning: u32,
    served: Option<Cow<'r, str>>,
    stream: Option<bool>,
    took: Option<Span>,
    ttft: Option<Span>,
}

impl<'r> Cells<'r> {
    fn take(&mut self, column: Column, text: Cow<'r, str>, place: usize) -> Result<(), Wrong> {
        if text.is_empty() {
            return Ok(());
        }
        let tokens = || tokens(&text, place);
        match column {
            Column::Ask | Column::Model | Column::Pool => self.ask = Some((column, text)),
            Column::At => {
                let at = instant::parse(&text);
                self.at = Some(at.map_err(|why| Wrong::at(place, format!("`{}`: {why}", shown(&text))))?);
            }
            Column::AtMs => self.at = Some(since_epoch(&text, 3, place)?),
            Column::AtS => self.at = Some(since_epoch(&text, 6, place)?),
            Column::AtUs => self.at = Some(since_epoch(&text, 0, place)?),
            Column::CacheReadTokens => self.cache_read = tokens()?,
            Column::CacheWriteTokens => self.cache_write = tokens()?,
            Column::Channel => self.channel = Some(text),
            Column::Class => self.class = Some(class(&text, place)?),
            Column::CompletionTokens => self.answer = Some((tokens()?.into(), true)),
            Column::CostNano => self.cost = Some(cost(text.parse().ok().map(Nano), &text, place)?),
            Column::CostUsd => self.cost = Some(cost(instant::decimal(&text, 9).map(Nano), &text, place)?),
            Column::Dialect => self.dialect = Some(dialect(&text, place)?),
            Column::InputTokens => self.prompt = Some((tokens()?.into(), false)),
            Column::OutputMax => self.output_max = Some(tokens()?),
            Column::OutputTokens => self.answer = Some((tokens()?.into(), false)),
            Column::Party => self.party = Some(text),
            Column::PromptTokens => self.prompt = Some((tokens()?.into(), true)),
            Column::ReasoningTokens => self.reasoning = tokens()?,
            Column::ServedModel => self.served = Some(text),
            Column::Stream => self.stream = Some(yes_or_no(&text, place)?),
            Column::TookMs => self.took = Some(millis(&text, place)?),
            Column::TtftMs => self.ttft = Some(millis(&text, place)?),
        }
        Ok(())
    }

    fn row(&self) -> Result<Row<'_>, Wrong> {
        let missing =
            |what: &str| Wrong::line(format!("{what} is missing; only what is optional may be empty"));
        let (cache_read, cache_write) = (self.cache_read, self.cache_write);
        let (prompt, has_cache) = self.prompt.ok_or_else(|| missing("the size of the prompt"))?;
        let (answer, has_reasoning) = self.answer.ok_or_else(|| missing("the size of the answer"))?;
        let cached = u64::from(cache_read) + u64::from(cache_write);
        let less = |all: u64, part: u64, is_in: bool, says: &str| {
            let rest = if is_in { all.checked_sub(part) } else { Some(all) };
            let rest = rest.ok_or_else(|| Wrong::line(says.to_owned()))?;
            // Both were read as 32 bits.
            Ok::<u32, Wrong>(u32::try_from(rest).unwrap_or(u32::MAX))
        };
        let input = less(
            prompt,
            cached,
            has_cache,
            "more tokens are cached than the prompt has",
        )?;
        let says = "more tokens are reasoning than the answer has";
        let output = less(answer, self.reasoning.into(), has_reasoning, says)?;
        if self.took.zip(self.ttft).is_some_and(|(took, ttft)| ttft > took) {
            return Err(Wrong::line(
                "the first content comes after the end (`ttft_ms` is above `took_ms`)",
            ));
        }
        Ok(Row {
            ask: self.ask.as_ref().map(|(column, name)| match column {
                Column::Model => RowAsk::Model(name),
                Column::Pool => RowAsk::Pool(name),
                _ => RowAsk::Either(name),
            }),
            at: self.at.ok_or_else(|| missing("the time"))?,
            channel: self.channel.as_deref(),
            class: self.class,
            cost: self.cost,
            dialect: self.dialect,
            output_max: self.output_max,
            party: self.party.as_deref(),
            served: self.served.as_deref(),
            stream: self.stream,
            tokens: Some([input, output, cache_read, cache_write, self.reasoning]),
            took: self.took,
            ttft: self.ttft,
        })
    }
}

/// A count of tokens; `12.0` is what some tools make of 12.
pub(super) fn tokens(text: &str, place: usize) -> Result<u32, Wrong> {
    let whole = text.split_once('.').map_or(text, |(whole, zeros)| {
        if zeros.bytes().all(|b| b == b'0') && !zeros.is_empty() {
            whole
        } else {
            text
        }
    });
    let wrong = |why: &str| Wrong::at(place, format!("`{}` is no count of tokens: {why}", shown(text)));
    if whole.starts_with('-') {
        return Err(wrong("it is negative"));
    }
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("it is no whole number"));
    }
    let count = whole.parse().ok().filter(|count| *count < u32::MAX);
    count.ok_or_else(|| wrong("it is above 4,294,967,294"))
}

/// An instant as a number since 1970, in units of so many decimals above a microsecond.
pub(super) fn since_epoch(text: &str, places: usize, place: usize) -> Result<Tick, Wrong> {
    let wrong = |why: &str| Wrong::at(place, format!("`{}` is no time: {why}", shown(text)));
    if text.starts_with('-') {
        return Err(wrong("it is negative"));
    }
    instant::decimal(text, places)
        .map(Tick)
        .ok_or_else(|| wrong("it is no number from 0 on, or too large"))
}

fn millis(text: &str, place: usize) -> Result<Span, Wrong> {
    instant::millis(text).ok_or_else(|| {
        let why = if text.starts_with('-') {
            "it is negative"
        } else {
            "it is no number"
        };
        Wrong::at(place, format!("`{}` are no milliseconds: {why}", shown(text)))
    })
}

fn cost(read: Option<Nano>, text: &str, place: usize) -> Result<Nano, Wrong> {
    read.ok_or_else(|| {
        let says = format!(
            "`{}` is no amount: a decimal number from 0 on is expected",
            shown(text)
        );
        Wrong::at(place, says).hint("leave it empty if it is unknown; `cost_nano` has no decimals")
    })
}

fn class(text: &str, place: usize) -> Result<Class, Wrong> {
    Class::named(text).ok_or_else(|| {
        Wrong::at(place, format!("`{}` is no class", shown(text)))
            .hint("classes are academic, agency, consumer, enterprise, startup")
    })
}

fn dialect(text: &str, place: usize) -> Result<Dialect, Wrong> {
    match text {
        "anthropic_messages" => Ok(Dialect::AnthropicMessages),
        "openai_chat" => Ok(Dialect::OpenaiChat),
        _ => Err(Wrong::at(place, format!("`{}` is no dialect", shown(text)))
            .hint("dialects are openai_chat and anthropic_messages")),
    }
}

fn yes_or_no(text: &str, place: usize) -> Result<bool, Wrong> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match (is(["true", "yes", "1", "t"]), is(["false", "no", "0", "f"])) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Wrong::at(
            place,
            format!("`{}` is neither true nor false", shown(text)),
        )),
    }
}

/// A value as a message quotes it.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

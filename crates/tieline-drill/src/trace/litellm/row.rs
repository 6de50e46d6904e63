//! One row of `LiteLLM_SpendLogs` (their `schema.prisma`; `litellm/proxy/spend_tracking/spend_tracking_utils.py` writes
//! it): from the cells of a CSV or the members of an object to a call, or to why it is none.
//!
//! Of what a row says only numbers, times and names of models are kept; prompts, answers, addresses, errors and
//! tracebacks are never looked at. `prompt_tokens` hold what was read from and written to a cache, `completion_tokens`
//! the reasoning, as LiteLLM sums them up for every provider; how many are in `metadata.usage_object`, older rows have
//! them in `metadata.additional_usage_values`. A spend of 0 for tokens that were used is a price that LiteLLM did not
//! know.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tieline_core::{Span, Tick};

use super::LeftOut;
use crate::instant;

/// What is read of a row; the rest of its columns is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    ApiBase,
    ApiKey,
    CacheHit,
    CallType,
    CompletionTokens,
    DurationMs,
    EndTime,
    FirstTime,
    Group,
    Metadata,
    Model,
    ModelId,
    PromptTokens,
    Provider,
    RequestId,
    Spend,
    StartTime,
    Status,
    Team,
    User,
}

/// By their names without `_` and in lower case, for tools that export a table have habits.
const COLUMNS: [(&str, Column); COLUMNS_LEN] = [
    ("apibase", Column::ApiBase),
    ("apikey", Column::ApiKey),
    ("cachehit", Column::CacheHit),
    ("calltype", Column::CallType),
    ("completiontokens", Column::CompletionTokens),
    ("requestdurationms", Column::DurationMs),
    ("endtime", Column::EndTime),
    ("completionstarttime", Column::FirstTime),
    ("modelgroup", Column::Group),
    ("metadata", Column::Metadata),
    ("model", Column::Model),
    ("modelid", Column::ModelId),
    ("prompttokens", Column::PromptTokens),
    ("customllmprovider", Column::Provider),
    ("requestid", Column::RequestId),
    ("spend", Column::Spend),
    ("starttime", Column::StartTime),
    ("status", Column::Status),
    ("teamid", Column::Team),
    ("user", Column::User),
];

const COLUMNS_LEN: usize = 20;

impl Column {
    pub(super) fn named(name: &str) -> Option<Self> {
        let folded: String = name.chars().filter(|c| *c != '_').collect();
        let found = COLUMNS
            .iter()
            .find(|(known, _)| folded.eq_ignore_ascii_case(known));
        found.map(|(_, column)| *column)
    }
}

/// The cells of a row.
#[derive(Debug)]
pub(super) struct Cells<'r> {
    cells: [Cow<'r, str>; COLUMNS_LEN],
}

impl Default for Cells<'_> {
    fn default() -> Self {
        Self {
            cells: std::array::from_fn(|_| Cow::Borrowed("")),
        }
    }
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'r> {
    pub(super) api_base: &'r str,
    /// What was asked for.
    pub(super) ask: &'r str,
    pub(super) at: Tick,
    pub(super) cost_nano: Option<u64>,
    pub(super) is_streamed: bool,
    pub(super) model: &'r str,
    pub(super) model_id: &'r str,
    /// Whose it is: the kind of the name, and the name.
    pub(super) party: (PartyKind, &'r str),
    pub(super) provider: &'r str,
    /// Input, output, cache read, cache write, reasoning: disjoint.
    pub(super) tokens: [u32; 5],
    pub(super) took: Span,
    pub(super) ttft: Span,
}

/// What a party's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartyKind {
    Team,
    User,
    /// A key, by the digest that LiteLLM stores of it.
    Key,
    /// Nobody is named.
    Nobody,
}

impl PartyKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::User => "user",
            Self::Key => "key",
            Self::Nobody => "nobody",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    additional_usage_values: Option<Usage>,
    error_information: Option<ErrorInformation>,
    status: Option<String>,
    usage_object: Option<Usage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    completion_tokens_details: Option<Details>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorInformation {
    error_class: Option<String>,
    /// A status, as a number or in quotes.
    error_code: Option<Box<RawValue>>,
}

// === impl Cells ===

impl<'r> Cells<'r> {
    pub(super) fn put(&mut self, column: Column, text: Cow<'r, str>) {
        if let Some(cell) = self.cells.get_mut(column as usize) {
            *cell = text;
        }
    }

    fn get(&self, column: Column) -> &str {
        self.cells.get(column as usize).map_or("", |cell| cell.trim())
    }

    /// What no other row of the table has; empty if it is not there.
    pub(super) fn request_id(&self) -> &str {
        self.get(Column::RequestId)
    }

    /// The members of an object; none if it is no JSON.
    pub(super) fn of_json(row: &'r [u8]) -> Option<Self> {
        let mut cells = Self::default();
        let members: Members<'_> = serde_json::from_slice(row).ok()?;
        for (name, value) in members.0 {
            if let Some(column) = Column::named(&name) {
                cells.put(column, text_of(value));
            }
        }
        Some(cells)
    }

    /// The call, or why the row is none.
    pub(super) fn call(&self) -> Result<Call<'_>, LeftOut> {
        let metadata = self.metadata();
        let ask = [Column::Group, Column::Model].map(|column| self.get(column));
        let ask = ask.into_iter().find(|name| !name.is_empty());
        let is_no_call = NO_CALLS
            .iter()
            .any(|word| self.get(Column::CallType).contains(word));
        let Some(ask) = ask.filter(|_| !is_no_call && self.get(Column::ApiKey) != HEALTH_CHECK) else {
            return Err(LeftOut::NoCall);
        };
        let status = metadata
            .status
            .as_deref()
            .filter(|_| self.get(Column::Status).is_empty());
        if status.unwrap_or_else(|| self.get(Column::Status)) == "failure" {
            return Err(failure(metadata.error_information, self.get(Column::ModelId)));
        }
        if self.get(Column::CacheHit).eq_ignore_ascii_case("true") || self.get(Column::CacheHit) == "t" {
            return Err(LeftOut::FromCache);
        }
        let (at, took) = self.times()?;
        let first = instant::parse(self.get(Column::FirstTime)).ok();
        let ttft = first
            .map(|first| first.since(at))
            .filter(|ttft| ttft.0 > 0 && *ttft < took);
        let tokens = self.tokens(&metadata)?;
        let is_used = tokens.iter().any(|count| *count > 0);
        let cost = decimal(self.get(Column::Spend), 9);
        Ok(Call {
            api_base: self.get(Column::ApiBase),
            ask,
            at,
            cost_nano: cost.filter(|nano| *nano > 0 || !is_used),
            is_streamed: ttft.is_some(),
            model: self.get(Column::Model),
            model_id: self.get(Column::ModelId),
            party: self.party(),
            provider: self.get(Column::Provider),
            tokens,
            took,
            ttft: ttft.unwrap_or(took),
        })
    }

    fn metadata(&self) -> Metadata {
        serde_json::from_str(self.get(Column::Metadata)).unwrap_or_default()
    }

    /// When it began, and how long it took.
    fn times(&self) -> Result<(Tick, Span), LeftOut> {
        let at = instant::parse(self.get(Column::StartTime)).map_err(|_| LeftOut::Unreadable)?;
        let ended = instant::parse(self.get(Column::EndTime)).ok();
        let took = match (ended, decimal(self.get(Column::DurationMs), 3)) {
            (Some(ended), _) if ended >= at => ended.since(at),
            (None, Some(us)) => Span(us),
            _ => return Err(LeftOut::Unreadable),
        };
        // A call keeps its length in 32 bits of microseconds: 71 minutes, and a gateway lets none take as long.
        if took.0 >= u64::from(u32::MAX) {
            return Err(LeftOut::Unreadable);
        }
        Ok((at, took))
    }

    fn tokens(&self, metadata: &Metadata) -> Result<[u32; 5], LeftOut> {
        let count = |column| {
            let text = self.get(column);
            if text.is_empty() {
                return Ok(0);
            }
            decimal(text, 0).ok_or(LeftOut::Unreadable)
        };
        let (prompt, answer) = (count(Column::PromptTokens)?, count(Column::CompletionTokens)?);
        let usage = metadata
            .usage_object
            .as_ref()
            .or(metadata.additional_usage_values.as_ref());
        let details = usage.and_then(|usage| usage.prompt_tokens_details.as_ref());
        let cached = details.and_then(|details| details.cached_tokens);
        let read = usage
            .and_then(|usage| usage.cache_read_input_tokens)
            .or(cached)
            .unwrap_or(0);
        let written = usage
            .and_then(|usage| usage.cache_creation_input_tokens)
            .unwrap_or(0);
        let details = usage.and_then(|usage| usage.completion_tokens_details.as_ref());
        let reasoning = details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        // Parts that are more than the whole are no parts of it.
        let (read, written) = match prompt.checked_sub(read.saturating_add(written)) {
            Some(_) => (read, written),
            None => (0, 0),
        };
        let reasoning = if reasoning <= answer { reasoning } else { 0 };
        let counts = [
            prompt - read - written,
            answer - reasoning,
            read,
            written,
            reasoning,
        ];
        // No call has as many: it is a mistake of whoever wrote it, and a wrong number if it is cut.
        if counts.iter().any(|count| *count >= u64::from(u32::MAX)) {
            return Err(LeftOut::Unreadable);
        }
        Ok(counts.map(|count| u32::try_from(count).unwrap_or_default()))
    }

    fn party(&self) -> (PartyKind, &str) {
        let stated = [
            (PartyKind::Team, self.get(Column::Team)),
            (PartyKind::User, self.get(Column::User)),
            (PartyKind::Key, self.get(Column::ApiKey)),
        ];
        let is_nobody = |name: &str| matches!(name, "" | "None" | "null" | "default_user_id");
        let found = stated.into_iter().find(|(_, name)| !is_nobody(name));
        found.unwrap_or((PartyKind::Nobody, ""))
    }
}

/// Parts of call types that are no calls of a model: files, batches and what is asked about them, tools of other servers.
const NO_CALLS: [&str; 5] = ["batch", "create_file", "file_", "list_", "mcp"];

/// The key that LiteLLM's own checks of its deployments use.
const HEALTH_CHECK: &str = "litellm-internal-health-check";

/// Why a call failed: LiteLLM itself refused it, or what was asked is at fault, or whoever was asked.
fn failure(error: Option<ErrorInformation>, model_id: &str) -> LeftOut {
    let error = error.unwrap_or_default();
    let code = error
        .error_code
        .map_or_else(String::new, |code| code.get().trim_matches('"').to_owned());
    let class = error.error_class.unwrap_or_default();
    let by_itself = ["Budget", "ProxyException", "HTTPException"]
        .iter()
        .any(|word| class.contains(word));
    if by_itself || (model_id.is_empty() && matches!(code.as_str(), "401" | "403" | "429")) {
        return LeftOut::Refused;
    }
    match code.as_str() {
        "400" | "404" | "413" | "415" | "422" => LeftOut::FailedByCaller,
        _ => LeftOut::Failed,
    }
}

/// The members of an object, of which each is a text until it is needed.
struct Members<'r>(Vec<(Cow<'r, str>, &'r RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A value as a cell would have it: a text without its quotes, nothing for null.
fn text_of(value: &RawValue) -> Cow<'_, str> {
    let text = value.get();
    if text == "null" {
        return Cow::Borrowed("");
    }
    if text.starts_with('"') {
        return serde_json::from_str(text).map_or(Cow::Borrowed(""), Cow::Owned);
    }
    Cow::Borrowed(text)
}

/// A number that is not negative, such as `12`, `12.0` or `1.25e-05`, times 10^`places`, to the nearest whole number.
pub(super) fn decimal(text: &str, places: i32) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // What is beyond 30 digits is below anything that counts.
    let fraction: String = fraction
        .chars()
        .take(30_usize.saturating_sub(whole.len()))
        .collect();
    let digits = [whole, &fraction].concat();
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 64)?;
    let scale = exponent + places - i32::try_from(fraction.len()).ok()?;
    let digits: u128 = digits.parse().ok()?;
    let value = match u32::try_from(scale) {
        Ok(up) => digits.checked_mul(10_u128.checked_pow(up)?)?,
        Err(_) => match 10_u128.checked_pow(scale.unsigned_abs()) {
            Some(unit) => (digits + unit / 2) / unit,
            None => 0,
        },
    };
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let check = |text: &str, places: i32, expected: Option<u64>| {
            assert_eq!(decimal(text, places), expected, "{text}");
        };
        check("12", 0, Some(12));
        check("12.0", 0, Some(12));
        check("0.0000425", 9, Some(42_500));
        check("4.25e-05", 9, Some(42_500));
        check("1.2345678901234567e-05", 9, Some(12_346));
        check("0.1234567890123456789012345678901234", 9, Some(123_456_789));
        for bad in ["", "-1", "x", "1e999", "1,5", "NaN"] {
            check(bad, 0, None);
        }
    }

    fn row(members: &str) -> String {
        format!(
            r#"{{"startTime":"2026-03-02T09:00:00.000Z","endTime":"2026-03-02T09:00:02.500Z","model_group":"chat",{members}}}"#
        )
    }

    #[test]
    fn a_row_is_a_call_or_says_why_it_is_none() {
        let check = |members: &str, expected: LeftOut| {
            let row = row(members);
            let cells = Cells::of_json(row.as_bytes()).unwrap();
            assert_eq!(cells.call().unwrap_err(), expected, "{members}");
        };
        check(r#""model_group":"","model":null"#, LeftOut::NoCall);
        check(r#""call_type":"call_mcp_tool""#, LeftOut::NoCall);
        check(r#""cache_hit":"True""#, LeftOut::FromCache);
        check(r#""startTime":"yesterday""#, LeftOut::Unreadable);
        check(r#""endTime":"2026-03-02T08:00:00Z""#, LeftOut::Unreadable);
        check(r#""prompt_tokens":-3"#, LeftOut::Unreadable);
        check(r#""prompt_tokens":4294967295"#, LeftOut::Unreadable);
        check(r#""prompt_tokens":99999999999999"#, LeftOut::Unreadable);
        check(r#""endTime":"2026-03-02T10:11:35Z""#, LeftOut::Unreadable);
        let failed = |code: &str, class: &str, id: &str| {
            format!(
                r#""model_id":"{id}","metadata":{{"status":"failure","error_information":{{"error_code":{code},"error_class":"{class}","traceback":"t"}}}}"#
            )
        };
        check(
            &failed("\"503\"", "ServiceUnavailableError", "m"),
            LeftOut::Failed,
        );
        check(&failed("429", "RateLimitError", "m"), LeftOut::Failed);
        check(&failed("429", "RateLimitError", ""), LeftOut::Refused);
        check(&failed("400", "BudgetExceededError", ""), LeftOut::Refused);
        check(
            &failed("\"400\"", "ContextWindowExceededError", "m"),
            LeftOut::FailedByCaller,
        );
        check(r#""status":"failure""#, LeftOut::Failed);
    }

    #[test]
    fn usage_is_taken_apart() {
        let check = |members: &str, tokens: [u32; 5], cost: Option<u64>| {
            let row = row(members);
            let cells = Cells::of_json(row.as_bytes()).unwrap();
            let call = cells.call().unwrap();
            assert_eq!((call.tokens, call.cost_nano), (tokens, cost), "{members}");
        };
        check(
            r#""prompt_tokens":100,"completion_tokens":"20","spend":0.00045"#,
            [100, 20, 0, 0, 0],
            Some(450_000),
        );
        check(
            r#""prompt_tokens":100,"completion_tokens":20,"spend":0.0"#,
            [100, 20, 0, 0, 0],
            None,
        );
        check(
            r#""prompt_tokens":0,"completion_tokens":0,"spend":0.0"#,
            [0; 5],
            Some(0),
        );
        check(
            r#""prompt_tokens":100,"completion_tokens":20,"metadata":"{\"usage_object\":{\"prompt_tokens_details\":{\"cached_tokens\":60},\"completion_tokens_details\":{\"reasoning_tokens\":8}}}""#,
            [40, 12, 60, 0, 8],
            None,
        );
        check(
            r#""prompt_tokens":100,"completion_tokens":20,"metadata":{"additional_usage_values":{"cache_read_input_tokens":30,"cache_creation_input_tokens":50}}"#,
            [20, 20, 30, 50, 0],
            None,
        );
        check(
            r#""prompt_tokens":10,"completion_tokens":20,"metadata":{"usage_object":{"cache_read_input_tokens":30}}"#,
            [10, 20, 0, 0, 0],
            None,
        );
    }

    #[test]
    fn parties_and_times_are_told() {
        let row = row(
            r#""user":"ana@northwind.example","api_key":"88dc","completionStartTime":"2026-03-02 09:00:00.400","team_id":"","request_duration_ms":7"#,
        );
        let cells = Cells::of_json(row.as_bytes()).unwrap();
        let call = cells.call().unwrap();
        assert_eq!(call.party, (PartyKind::User, "ana@northwind.example"));
        assert_eq!(
            (call.took.0, call.ttft.0, call.is_streamed),
            (2_500_000, 400_000, true)
        );
    }
}

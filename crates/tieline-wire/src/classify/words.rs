//! What an error says, in whatever envelope: OpenAI's and Anthropic's `error`, Google's `google.rpc.Status`, Bedrock's
//! `message` under a name in a header, FastAPI's `detail`, a proxy's page.

use std::borrow::Cow;

use serde_json::Value;

use super::BODY_BYTES_MAX;

/// The words of one error.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `error.code` as text (llama.cpp and others send a number), or the innermost code.
    pub(super) code: String,
    /// Anthropic's `error.details.error_code`, Azure's `error.innererror.code`, Google's `reason`.
    pub(super) detail: String,
    /// The `type` of an error, Google's `status`.
    pub(super) kind: String,
    /// The message, in lower case, with plain apostrophes.
    pub(super) message: String,
    /// Amazon's name of the error: `ThrottlingException`.
    pub(super) name: String,
    /// The parameter that is at fault.
    pub(super) param: String,
    /// Google's ids of the quotas that are used up, joined.
    pub(super) quotas: String,
    /// Google's `retryDelay`.
    pub(super) retry_delay: String,
    /// A code that is an HTTP status.
    pub(super) status: Option<u16>,
    /// Google's reason why an answer with a status of 200 holds none: `promptFeedback.blockReason`, or the reason for which
    /// the first candidate ended.
    pub(super) stopped: String,
}

impl Words {
    pub(super) fn read<'h>(header: &dyn Fn(&str) -> Option<&'h str>, body: &[u8]) -> Self {
        let head = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        let named = ["x-amzn-errortype", ":exception-type", ":error-code"]
            .iter()
            .find_map(|name| header(name));
        let Ok(value) = serde_json::from_slice::<Value>(head) else {
            return Self {
                message: folded(&String::from_utf8_lossy(head)),
                name: named.map(amazon_name).unwrap_or_default(),
                ..Self::default()
            };
        };
        // Google wraps its error in an array when it streams.
        let value = value.get(0).unwrap_or(&value);
        let error = value.get("error").filter(|e| e.is_object()).unwrap_or(value);
        let code = text(error.get("code"));
        let name = named.or_else(|| value.get("__type").and_then(Value::as_str));
        let mut words = Self {
            detail: text(
                error
                    .pointer("/details/error_code")
                    .or_else(|| error.pointer("/innererror/code")),
            ),
            kind: text(error.get("type").or_else(|| error.get("status"))),
            message: message(value, error),
            name: name.map(amazon_name).unwrap_or_default(),
            param: text(error.get("param")),
            status: code.parse().ok(),
            code,
            ..Self::default()
        };
        words.read_google(value, error);
        words
    }

    /// The details of a `google.rpc.Status`, and what a blocked answer says.
    fn read_google(&mut self, value: &Value, error: &Value) {
        let details = error.get("details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            if let Some(Value::String(reason)) = detail.get("reason") {
                self.detail.clone_from(reason);
            }
            if let Some(Value::String(delay)) = detail.get("retryDelay") {
                self.retry_delay.clone_from(delay);
            }
            let violations = detail.get("violations").and_then(Value::as_array);
            for violation in violations.into_iter().flatten() {
                self.quotas.push_str(&text(violation.get("quotaId")));
                self.quotas.push(' ');
            }
        }
        let stopped = value
            .pointer("/promptFeedback/blockReason")
            .or_else(|| value.pointer("/candidates/0/finishReason"));
        self.stopped = text(stopped);
    }

    pub(super) fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|phrase| self.message.contains(phrase))
    }

    /// Whether any word stands for the error.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        let said = [&self.kind, &self.code, &self.detail, &self.name];
        said.iter().any(|word| words.contains(&word.as_str()))
    }

    /// Whether a quota of a whole day is used up.
    pub(super) fn is_daily_quota(&self) -> bool {
        self.quotas.contains("PerDay")
    }
}

/// `ThrottlingException:http://internal.amazon.com/…`, `com.amazon.coral.service#ThrottlingException`, and, in a frame,
/// `throttlingException`.
fn amazon_name(text: &str) -> String {
    let name = text.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().trim();
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The sentence, and what another provider said that a broker hands on (OpenRouter's `metadata.raw`).
fn message(value: &Value, error: &Value) -> String {
    let said = ["message", "Message"].iter().find_map(|name| error.get(name));
    let said = said
        .or_else(|| value.get("error"))
        .or_else(|| value.get("detail"));
    let said = match said {
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        Some(other) => Cow::Owned(other.to_string()),
        None => Cow::Borrowed(""),
    };
    let mut said = folded(&said);
    if let Some(Value::String(raw)) = error.pointer("/metadata/raw") {
        said.push(' ');
        said.push_str(&folded(raw));
    }
    said
}

fn folded(text: &str) -> String {
    text.to_lowercase().replace('\u{2019}', "'")
}

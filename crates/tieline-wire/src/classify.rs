//! Whose fault a channel's error is, as one pure function of its status, headers and body. The evidence is that of the
//! providers' documentation and of recorded bodies; the words looked for in messages are those that no code stands for.
//!
//! Contract: never fails; a body that is no JSON is judged by its status. Bodies are read up to [`BODY_BYTES_MAX`].

use std::borrow::Cow;

use serde_json::Value;
use tieline_core::{Fault, FaultKind, Phase};

use crate::provider::Provider;

/// As much of an error body as is looked at: the longest recorded one is 6 KiB; a page of HTML is known by its start.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What a channel may ask us to wait at most: a day. Longer is a mistake or a spent account.
const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Classifies the head and body of a reply whose status is not 2xx. `header` gives a header's value by its name in lower
/// case.
pub fn classify<'h>(
    provider: Provider,
    status: u16,
    header: &dyn Fn(&str) -> Option<&'h str>,
    body: &[u8],
) -> Fault {
    let words = Words::read(body);
    let kind = by_provider(provider, status, &words).unwrap_or_else(|| kind(status, &words));
    let wait_ms = match kind {
        FaultKind::NotReady | FaultKind::Overload | FaultKind::Rate | FaultKind::Transient => {
            retry_after_ms(header)
        }
        _ => None,
    };
    Fault::new(kind, Phase::Head)
        .with_status(status)
        .with_retry_after_ms(wait_ms)
}

/// Classifies an error that came in a reply with a status of 2xx: an event of a stream, or a body.
pub(crate) fn in_stream(data: &[u8]) -> FaultKind {
    let words = Words::read(data);
    if let Some(evidence) = ALWAYS.iter().find(|e| words.prove(e)) {
        return evidence.kind;
    }
    match words.kind.as_ref() {
        "rate_limit_error" | "rate_limit_exceeded" | "requests" | "tokens" => FaultKind::Rate,
        "invalid_request_error" => by_request(400, &words).unwrap_or(FaultKind::Client),
        "authentication_error" | "permission_error" | "not_found_error" => FaultKind::Auth,
        _ => match words.status {
            Some(status @ 400..=599) => kind(status, &words),
            _ => FaultKind::Transient,
        },
    }
}

/// What an error body says, in whatever envelope.
#[derive(Debug, Default)]
struct Words {
    /// `error.code` as text (llama.cpp and others send a number), or the innermost code.
    code: String,
    /// Anthropic's `error.details.error_code`, Azure's `error.innererror.code`.
    detail: String,
    kind: String,
    /// The message, in lower case.
    message: String,
    /// A code that is an HTTP status.
    status: Option<u16>,
}

impl Words {
    fn read(body: &[u8]) -> Self {
        let head = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        let Ok(value) = serde_json::from_slice::<Value>(head) else {
            return Self {
                message: String::from_utf8_lossy(head).to_ascii_lowercase(),
                ..Self::default()
            };
        };
        // Google wraps its error in an array when it streams.
        let value = value.get(0).unwrap_or(&value);
        let error = value.get("error").filter(|e| e.is_object()).unwrap_or(value);
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let code = text(error.get("code"));
        let message = error
            .get("message")
            .or_else(|| value.get("error"))
            .or_else(|| value.get("detail"));
        let message = match message {
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(other) => Cow::Owned(other.to_string()),
            None => Cow::Borrowed(""),
        };
        let detail = error
            .pointer("/details/error_code")
            .or_else(|| error.pointer("/innererror/code"));
        Self {
            status: code.parse().ok(),
            code,
            detail: text(detail),
            kind: text(error.get("type").or_else(|| error.get("status"))),
            message: message.to_lowercase(),
        }
    }

    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|phrase| self.message.contains(phrase))
    }

    fn prove(&self, evidence: &Evidence) -> bool {
        let said = [&self.kind, &self.code, &self.detail];
        said.iter().any(|word| evidence.words.contains(&word.as_str())) || self.says(evidence.phrases)
    }
}

/// Evidence for a fault: any of the words as type, code or detail, or any of the phrases in the message.
struct Evidence {
    kind: FaultKind,
    phrases: &'static [&'static str],
    words: &'static [&'static str],
}

/// Evidence that holds whatever the status.
const ALWAYS: &[Evidence] = &[
    Evidence {
        kind: FaultKind::Spend,
        phrases: &[
            "credit balance is too low",
            "insufficient balance",
            "insufficient credits",
            "specified api usage limits",
            "spend limit",
            "used all available credits",
        ],
        words: &[
            "billing_error",
            "billing_hard_limit_reached",
            "credit_balance_exhausted",
            "enforced_spend_limit_reached",
            "insufficient_quota",
            "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "project_spend_limit_exceeded",
            "quota_exceeded",
        ],
    },
    Evidence {
        kind: FaultKind::Legal,
        phrases: &[],
        words: &["unsupported_country_region_territory"],
    },
    Evidence {
        kind: FaultKind::Content,
        phrases: &[
            "content management policy",
            "output blocked by content filtering policy",
        ],
        words: &[
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "ResponsibleAIPolicyViolation",
        ],
    },
    Evidence {
        kind: FaultKind::NotReady,
        phrases: &[
            "is currently loading",
            "loading model",
            "model is loading",
            "warming up",
        ],
        words: &["model_not_ready", "ModelNotReadyException"],
    },
    Evidence {
        kind: FaultKind::Overload,
        phrases: &[],
        words: &[
            "engine_overloaded",
            "engine_overloaded_error",
            "overloaded_error",
            "service_unavailable_error",
        ],
    },
];

/// Evidence in a refusal of the request (400, 403, 404, 413, 422), the more particular first.
const REQUEST: &[Evidence] = &[
    Evidence {
        kind: FaultKind::Context,
        phrases: &[
            "context window",
            "exceed context limit",
            "exceeds the available context size",
            "maximum context length",
            "maximum prompt length",
            "prompt is too long",
        ],
        words: &[
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
        ],
    },
    Evidence {
        kind: FaultKind::Auth,
        phrases: &[
            "api key not valid",
            "incorrect api key",
            "invalid api key",
            "organization has been disabled",
        ],
        words: &[
            "DeploymentNotFound",
            "invalid_api_key",
            "invalid_model",
            "model_decommissioned",
            "model_not_found",
        ],
    },
    Evidence {
        kind: FaultKind::Incapable,
        phrases: &[
            "cannot be specified together",
            "does not support",
            "extra inputs are not permitted",
            "invalid schema for function",
            "is deprecated",
            "isn't supported",
            "not supported",
            "prefill",
            "requires --jinja",
            "unsupported parameter",
            "unsupported value",
        ],
        words: &[
            "invalid_function_parameters",
            "unsupported_parameter",
            "unsupported_value",
        ],
    },
];

/// What a provider means by a status that others use for something else.
fn by_provider(provider: Provider, status: u16, words: &Words) -> Option<FaultKind> {
    match (provider, status) {
        // More tokens in one request than the account may send in a minute: no wait helps, another channel may.
        (Provider::Groq, 413) if words.says(&["tokens per minute"]) => Some(FaultKind::Incapable),
        (Provider::Mistral, 429) if words.says(&["capacity exceeded"]) => Some(FaultKind::Overload),
        (Provider::Openrouter, 403) if words.says(&["flagged", "moderation"]) => Some(FaultKind::Content),
        (Provider::Xai, 403) if words.says(&["usage guidelines"]) => Some(FaultKind::Content),
        _ => None,
    }
}

fn kind(status: u16, words: &Words) -> FaultKind {
    // A server in trouble says all kinds of things; what it says about the request counts in a refusal only.
    let always = ALWAYS.iter().find(|e| words.prove(e)).map(|e| e.kind);
    match always {
        Some(FaultKind::Content | FaultKind::Legal) if status >= 500 => {}
        Some(kind) => return kind,
        None => {}
    }
    if matches!(status, 400 | 403 | 404 | 413 | 422)
        && let Some(kind) = by_request(status, words)
    {
        return kind;
    }
    by_status(status, words)
}

fn by_request(status: u16, words: &Words) -> Option<FaultKind> {
    // A legal block stops the party everywhere, so phrases prove it only together with the status that such a block has.
    if status == 403
        && words.says(&[
            "country, region, or territory",
            "embargo",
            "export control",
            "sanction",
        ])
    {
        return Some(FaultKind::Legal);
    }
    if words.says(&[
        "in the region",
        "in this region",
        "in your region",
        "in your country",
    ]) && words.says(&[
        "isn't available",
        "not available",
        "not offered",
        "not supported",
        "unavailable",
    ]) {
        return Some(FaultKind::Region);
    }
    let evidence = REQUEST.iter().find(|e| words.prove(e)).map(|e| e.kind);
    let no_model = words.message.contains("model")
        && words.says(&[
            "does not exist",
            "invalid model",
            "is not a valid model",
            "not found",
            "unknown model",
        ]);
    match evidence {
        None | Some(FaultKind::Incapable) if no_model => Some(FaultKind::Auth),
        other => other,
    }
}

fn by_status(status: u16, words: &Words) -> FaultKind {
    match status {
        402 => FaultKind::Spend,
        // What is not found is the caller's if it names what callers name; otherwise the endpoint or the model is wrong.
        404 if words.says(&["container", "conversation", "file-", "file_"]) => FaultKind::Client,
        401 | 403 | 404 | 405 | 407 => FaultKind::Auth,
        408 | 409 | 424 | 425 => FaultKind::Transient,
        429 if words.says(&["at capacity", "high demand", "overloaded", "resource exhausted"]) => {
            FaultKind::Overload
        }
        429 => FaultKind::Rate,
        451 => FaultKind::Legal,
        400..=499 => FaultKind::Client,
        503 | 529 => FaultKind::Overload,
        500 if words.says(&["overloaded"]) => FaultKind::Overload,
        500..=599 => FaultKind::Transient,
        // A redirect, or a status that no reply of a model has.
        _ => FaultKind::Garbage,
    }
}

/// The wait that the channel asks for, in ms: `retry-after-ms`, `retry-after` (seconds, or a date to be read against the
/// reply's own `date`, for there is no clock here), or the reset of whichever limit of OpenAI's says that nothing remains.
fn retry_after_ms<'h>(header: &dyn Fn(&str) -> Option<&'h str>) -> Option<u64> {
    let exact = header("retry-after-ms").and_then(|v| number_ms(v, 1.0));
    let plain = || {
        let value = header("retry-after")?;
        number_ms(value, 1_000.0).or_else(|| {
            let until_s = http_date_s(value)?;
            Some(
                until_s
                    .saturating_sub(http_date_s(header("date")?)?)
                    .saturating_mul(1_000),
            )
        })
    };
    let reset = |what: [&str; 2]| {
        let [remaining, reset] = what;
        (header(remaining)?.trim() == "0")
            .then(|| duration_ms(header(reset)?))
            .flatten()
    };
    let resets = || {
        let requests = reset(["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]);
        requests.max(reset([
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ]))
    };
    exact
        .or_else(plain)
        .or_else(resets)
        .map(|ms| ms.min(RETRY_AFTER_MS_MAX))
}

/// A decimal number of `unit_ms`, rounded up to whole ms.
fn number_ms(text: &str, unit_ms: f64) -> Option<u64> {
    let value: f64 = text.trim().parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "finite, not negative, saturates"
    )]
    Some((value * unit_ms).ceil() as u64)
}

/// A duration as Go writes it: `6m0s`, `1.5s`, `20ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let unit_ms = match unit {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        sum_ms = sum_ms.saturating_add(number_ms(number, unit_ms)?);
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(sum_ms)
}

/// Seconds since 1970 of a date as HTTP writes it (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date_s(text: &str) -> Option<u64> {
    let mut words = text.trim().split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|d| (1..=31).contains(d))?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = words.next()?;
    let month = months.iter().position(|m| *m == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|y| (1970..=9999).contains(y))?;
    let mut time = words.next()?.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March, so that the leap day is the last (Howard Hinnant's days_from_civil).
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date_s("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_s("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date_s(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, ms) in [
            ("6m0s", Some(360_000)),
            ("1.5s", Some(1_500)),
            ("20ms", Some(20)),
            ("1h2m3s", Some(3_723_000)),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
        for bad in ["", "6", "s", "6x", "-1s"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }
}

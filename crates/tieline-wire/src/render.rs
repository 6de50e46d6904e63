//! What we write ourselves: problems and lists of models, in the caller's dialect, as its SDKs expect them.
//!
//! Contract: a problem's body has the dialect's envelope with all its fields, the stable code and the call's id; its
//! headers tell SDKs whether to try again (both official ones obey `x-should-retry` before all else, then
//! `retry-after-ms`, then `retry-after`). Nothing of a channel's reply is shown unless [`relay_error`] was asked to.

use std::borrow::Cow;
use std::io::Write as _;

use bytes::Bytes;
use serde_json::Value;
use smallvec::SmallVec;
use tieline_core::{CallId, Code, Dialect, Problem, Retry, Tick};

use crate::convert;
use crate::frame::sse;
use crate::json::quote_into;

/// Headers of a rendered reply; the types of header values that occur are few and short.
pub type Headers = SmallVec<[(&'static str, Cow<'static, str>); 6]>;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub body: Bytes,
    /// Names in lower case. `content-length` and `x-tieline-call` are the server's to add.
    pub headers: Headers,
    pub status: u16,
}

/// Models listed at most: 20,000 names of 100 bytes are a reply of 4 MB.
const MODELS_MAX: usize = 20_000;

/// As much of a channel's error as is relayed.
const RELAY_BYTES_MAX: usize = 64 * 1024;

/// Writes a problem as an error reply of `dialect`.
pub fn render(dialect: Dialect, problem: &Problem, call: CallId) -> Rendered {
    let status = status(dialect, problem.code);
    let mut headers = error_headers(dialect, call);
    headers.push(("x-tieline-error", Cow::Borrowed(problem.code.number())));
    match problem.retry {
        Retry::After(span) => {
            headers.push(("retry-after", span.as_s_ceil().to_string().into()));
            headers.push(("retry-after-ms", span.as_ms_ceil().to_string().into()));
            headers.push(("x-should-retry", Cow::Borrowed("true")));
        }
        Retry::Free => headers.push(("x-should-retry", Cow::Borrowed("true"))),
        Retry::Never => headers.push(("x-should-retry", Cow::Borrowed("false"))),
    }
    if problem.code == Code::BodyEncoded {
        // What would be accepted (RFC 9110, section 12.5.3).
        headers.push(("accept-encoding", Cow::Borrowed("identity")));
    }
    Rendered {
        body: Bytes::from(envelope(dialect, problem, call)),
        headers,
        status,
    }
}

/// Writes a problem as the event that ends a stream of `dialect`.
pub fn render_in_stream(dialect: Dialect, problem: &Problem, call: CallId) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(match dialect {
        Dialect::AnthropicMessages => b"event: error\ndata: ".as_slice(),
        Dialect::OpenaiChat => b"data: ",
    });
    out.extend_from_slice(&envelope(dialect, problem, call));
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// As [`relay_error`], of an error that came as the event of a stream whose head said 200: none of the answer has left yet,
/// so the caller gets the status that the error would have had as a reply.
pub fn relay_error_event(near: Dialect, far: Dialect, frame: &[u8], call: CallId) -> Rendered {
    let data = sse::event(frame, true).map_or_else(Bytes::new, |event| Bytes::from(event.data.into_owned()));
    relay_error(near, far, 400, &data, call)
}

/// Hands on a channel's own error reply, for the faults that are the caller's. Between equal dialects the body is the
/// channel's, byte for byte; otherwise its message goes into the caller's envelope. A body that is not an error of the
/// channel's dialect (a proxy's page) is not shown: a plain error takes its place.
pub fn relay_error(near: Dialect, far: Dialect, status: u16, body: &Bytes, call: CallId) -> Rendered {
    let mut headers = error_headers(near, call);
    // The request itself is at fault; without a word SDKs would send it again for a 408, 409 or 429.
    headers.push(("x-should-retry", Cow::Borrowed("false")));
    let head = body.get(..RELAY_BYTES_MAX).unwrap_or(body);
    let value: Value = serde_json::from_slice(head).unwrap_or_default();
    let error = value.get("error").filter(|e| e.is_object());
    if near == far && error.is_some() {
        return Rendered {
            body: body.clone(),
            headers,
            status,
        };
    }
    let text = |name: &str| error.and_then(|e| e.get(name)).and_then(Value::as_str);
    let said = convert::error_body(far, head).map(|(_, says)| says);
    let message = said
        .as_deref()
        .unwrap_or("The channel refused the request without saying why.");
    let lower = message.to_ascii_lowercase();
    let is_context = text("code") == Some("context_length_exceeded")
        || ["prompt is too long", "maximum context length", "context window"]
            .iter()
            .any(|p| lower.contains(p));
    let code = match near {
        _ if is_context => Some("context_length_exceeded"),
        Dialect::AnthropicMessages => None,
        Dialect::OpenaiChat => text("code"),
    };
    let words = Words {
        call,
        code,
        kind: kind(near, status),
        message,
        number: None,
        param: text("param").filter(|_| near == far),
    };
    Rendered {
        body: Bytes::from(words.write(near)),
        headers,
        status,
    }
}

/// The list of models that a key may ask for, in the order given. `created_s` is seconds since 1970.
pub fn models_list(dialect: Dialect, names: &[&str], created_s: u64) -> Bytes {
    let mut out = Vec::with_capacity(64 + names.len().min(MODELS_MAX) * 100);
    let names = names.get(..MODELS_MAX).unwrap_or(names);
    out.extend_from_slice(match dialect {
        Dialect::OpenaiChat => b"{\"object\":\"list\",\"data\":[".as_slice(),
        Dialect::AnthropicMessages => b"{\"data\":[",
    });
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        card_into(dialect, name, created_s, &mut out);
    }
    out.push(b']');
    if dialect == Dialect::AnthropicMessages {
        out.extend_from_slice(b",\"has_more\":false,\"first_id\":");
        quote_or_null(names.first().copied(), &mut out);
        out.extend_from_slice(b",\"last_id\":");
        quote_or_null(names.last().copied(), &mut out);
    }
    out.push(b'}');
    Bytes::from(out)
}

/// One model or pool, as it stands in the list.
pub fn model_card(dialect: Dialect, name: &str, created_s: u64) -> Bytes {
    let mut out = Vec::with_capacity(128);
    card_into(dialect, name, created_s, &mut out);
    Bytes::from(out)
}

fn card_into(dialect: Dialect, name: &str, created_s: u64, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = match dialect {
        Dialect::OpenaiChat => {
            out.extend_from_slice(b"{\"id\":");
            quote_into(name, out);
            write!(
                out,
                ",\"object\":\"model\",\"created\":{created_s},\"owned_by\":\"tieline\"}}"
            )
        }
        Dialect::AnthropicMessages => {
            out.extend_from_slice(b"{\"type\":\"model\",\"id\":");
            quote_into(name, out);
            out.extend_from_slice(b",\"display_name\":");
            quote_into(name, out);
            write!(
                out,
                ",\"created_at\":\"{}\"}}",
                Tick(created_s.saturating_mul(1_000_000)).rfc3339()
            )
        }
    };
}

/// What goes into an error's envelope.
struct Words<'a> {
    call: CallId,
    code: Option<&'a str>,
    kind: &'a str,
    message: &'a str,
    number: Option<&'a str>,
    param: Option<&'a str>,
}

impl Words<'_> {
    fn write(&self, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let call = self.call.text();
        let call = std::str::from_utf8(&call).unwrap_or_default();
        match dialect {
            // All four fields of the error must be there, if only as null.
            Dialect::OpenaiChat => {
                out.extend_from_slice(b"{\"error\":{\"message\":");
                quote_into(self.message, &mut out);
                out.extend_from_slice(b",\"type\":");
                quote_into(self.kind, &mut out);
                out.extend_from_slice(b",\"param\":");
                quote_or_null(self.param, &mut out);
                out.extend_from_slice(b",\"code\":");
                quote_or_null(self.code, &mut out);
                if let Some(number) = self.number {
                    out.extend_from_slice(b",\"number\":");
                    quote_into(number, &mut out);
                }
                out.extend_from_slice(b"},\"request_id\":");
            }
            Dialect::AnthropicMessages => {
                out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
                quote_into(self.kind, &mut out);
                out.extend_from_slice(b",\"message\":");
                quote_into(self.message, &mut out);
                if let Some(code) = self.code {
                    out.extend_from_slice(b",\"details\":{\"error_code\":");
                    quote_into(code, &mut out);
                    if let Some(number) = self.number {
                        out.extend_from_slice(b",\"number\":");
                        quote_into(number, &mut out);
                    }
                    out.push(b'}');
                }
                out.extend_from_slice(b"},\"request_id\":");
            }
        }
        quote_into(call, &mut out);
        out.push(b'}');
        out
    }
}

fn envelope(dialect: Dialect, problem: &Problem, call: CallId) -> Vec<u8> {
    let words = Words {
        call,
        code: Some(problem.code.name()),
        kind: kind(dialect, status(dialect, problem.code)),
        message: &problem.says,
        number: Some(problem.code.number()),
        param: None,
    };
    words.write(dialect)
}

/// The headers that every error has. Each SDK reads the request's id from its own.
fn error_headers(dialect: Dialect, call: CallId) -> Headers {
    let id = match dialect {
        Dialect::AnthropicMessages => "request-id",
        Dialect::OpenaiChat => "x-request-id",
    };
    SmallVec::from_iter([
        ("content-type", Cow::Borrowed("application/json")),
        (id, call.to_string().into()),
    ])
}

/// Anthropic has a status of its own for what others call 503.
const fn status(dialect: Dialect, code: Code) -> u16 {
    match (dialect, code.status()) {
        (Dialect::AnthropicMessages, 503) => 529,
        (_, status) => status,
    }
}

/// The dialect's `type` of an error with this status.
const fn kind(dialect: Dialect, status: u16) -> &'static str {
    match dialect {
        Dialect::AnthropicMessages => match status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        },
        Dialect::OpenaiChat => match status {
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        },
    }
}

fn quote_or_null(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => quote_into(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

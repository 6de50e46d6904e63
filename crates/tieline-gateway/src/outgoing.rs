//! Between the caller's request and the channel's: what goes over the wire of an attempt, and which headers come back.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use smallvec::SmallVec;
use tieline_core::call::Loss as CoreLoss;
use tieline_core::{CallId, Dialect, Method, Problem, Remaining, Rooms, Tick};
use tieline_wire::resume::{self, Announce, Continuation, Delivered};
use tieline_wire::{Exchange, Far, Head, Loss, LossKind, Outgoing, Rendered};

use crate::answer::Answer;
use crate::config::ChannelWiring;
use crate::connector::{Outbound, Slices};

/// The caller's request, as every attempt reads it.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) began: Tick,
    pub(crate) body: Bytes,
    pub(crate) dialect: Dialect,
    pub(crate) head: Option<Head>,
    pub(crate) headers: HeaderMap,
    pub(crate) stream: bool,
}

/// Reads a channel's answer, or the rest of one that another channel began.
#[derive(Debug)]
pub(crate) enum Reader {
    Continuation(Box<Continuation>),
    Exchange(Box<Exchange>),
}

/// Bytes of the `x-tieline-loss` header: common stacks take 8 KiB for all headers together.
const LOSS_HEADER_MAX: usize = 2_048;

/// Headers of distributed tracing, passed on as they came (W3C Trace Context).
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

impl Near {
    /// The request for a channel, the reader of its answer, and what translation lost.
    pub(crate) fn outgoing(
        &self,
        wiring: &ChannelWiring,
        model_name: &str,
        output_tokens_injected: Option<u32>,
    ) -> Result<(Outbound, Reader, Vec<Loss>), Problem> {
        let head = self.head.as_ref().ok_or_else(internal)?;
        let far = far(wiring, model_name, output_tokens_injected);
        let (outgoing, exchange) = tieline_wire::prepare(self.dialect, &self.body, head, &far)?;
        let (request, loss) = self.outbound(wiring, outgoing)?;
        let exchange = exchange.dated(self.began.0 / 1_000_000);
        Ok((request, Reader::Exchange(Box::new(exchange)), loss))
    }

    /// As [`Near::outgoing`], for the rest of an answer of which `delivered` has left.
    pub(crate) fn going_on(
        &self,
        wiring: &ChannelWiring,
        model_name: &str,
        output_tokens_injected: Option<u32>,
        (method, delivered, announce): (Method, &mut Delivered, Option<Announce<'_>>),
    ) -> Result<(Outbound, Reader, Vec<Loss>), Problem> {
        let head = self.head.as_ref().ok_or_else(internal)?;
        let far = far(wiring, model_name, output_tokens_injected);
        let (outgoing, rest) = resume::prepare(method, &self.body, head, &far, delivered, announce)?;
        let (request, loss) = self.outbound(wiring, outgoing)?;
        Ok((request, Reader::Continuation(Box::new(rest)), loss))
    }

    fn outbound(&self, wiring: &ChannelWiring, outgoing: Outgoing) -> Result<(Outbound, Vec<Loss>), Problem> {
        let path = match tieline_wire::url_path(&wiring.endpoint.base, &outgoing.path) {
            Cow::Borrowed(_) => outgoing.path,
            Cow::Owned(path) => Cow::Owned(path),
        };
        let mut headers = SmallVec::new();
        for (name, value) in outgoing.headers {
            let value = match value {
                Cow::Borrowed(value) => HeaderValue::from_static(value),
                Cow::Owned(value) => HeaderValue::try_from(value).map_err(|_| internal())?,
            };
            headers.push((HeaderName::from_static(name), value));
        }
        self.forward(wiring.dialect, &mut headers);
        let request = Outbound {
            body: Slices::new(outgoing.body),
            headers,
            path,
        };
        Ok((request, outgoing.loss))
    }

    /// The caller's headers that a channel may see.
    fn forward(&self, far: Dialect, headers: &mut SmallVec<[(HeaderName, HeaderValue); 6]>) {
        for name in self.headers.keys() {
            if tieline_wire::forwards(self.dialect, far, name.as_str())
                || TRACE_HEADERS.contains(&name.as_str())
            {
                headers.retain(|(known, _)| known != name);
                // A header may stand there in several lines, which are one list (RFC 9110, 5.3).
                for value in self.headers.get_all(name) {
                    headers.push((name.clone(), value.clone()));
                }
            }
        }
    }
}

pub(crate) const fn far<'a>(
    wiring: &ChannelWiring,
    model_name: &'a str,
    output_tokens_injected: Option<u32>,
) -> Far<'a> {
    Far {
        dialect: wiring.dialect,
        model_name,
        output_tokens_injected,
        provider: wiring.provider,
    }
}

const fn internal() -> Problem {
    Problem::plain(tieline_core::Code::Internal)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The names under which a dialect says what is left: of requests, then of tokens; the limit, what is left of it, and when
/// it is whole again. Anthropic names what is limited first, OpenAI last.
fn room_names(dialect: Dialect) -> &'static [[HeaderName; 3]; 2] {
    const fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }
    static ANTHROPIC: [[HeaderName; 3]; 2] = [
        [
            name("anthropic-ratelimit-requests-limit"),
            name("anthropic-ratelimit-requests-remaining"),
            name("anthropic-ratelimit-requests-reset"),
        ],
        [
            name("anthropic-ratelimit-tokens-limit"),
            name("anthropic-ratelimit-tokens-remaining"),
            name("anthropic-ratelimit-tokens-reset"),
        ],
    ];
    static OPENAI: [[HeaderName; 3]; 2] = [
        [
            name("x-ratelimit-limit-requests"),
            name("x-ratelimit-remaining-requests"),
            name("x-ratelimit-reset-requests"),
        ],
        [
            name("x-ratelimit-limit-tokens"),
            name("x-ratelimit-remaining-tokens"),
            name("x-ratelimit-reset-tokens"),
        ],
    ];
    match dialect {
        Dialect::AnthropicMessages => &ANTHROPIC,
        Dialect::OpenaiChat => &OPENAI,
    }
}

/// Headers that an answer may get here: its call, channel, model and a ticket, and six on what is left.
pub(crate) const STAMPS_MAX: usize = 10;

/// Bytes of the values of six headers: four numbers of at most 20 digits, and two spans or instants of at most 24 bytes.
const ROOM_BYTES: usize = 128;

/// What is left to those who pay for the call, as the caller's dialect says it; nothing where nothing is limited. The
/// values are parts of one text, for each call has them.
pub(crate) fn room_headers(dialect: Dialect, rooms: &Rooms, now: Tick, headers: &mut HeaderMap) {
    let rooms = [rooms.requests, rooms.tokens];
    if rooms.iter().all(Option::is_none) {
        return;
    }
    let (mut text, mut parts) = (Vec::with_capacity(ROOM_BYTES), ArrayVec::<_, 6>::new());
    for (names, room) in room_names(dialect).iter().zip(rooms) {
        let Some(room) = room else { continue };
        let [limit, left, reset] = names;
        let mut digits = itoa::Buffer::new();
        for (name, number) in [(limit, room.limit), (left, room.left)] {
            let start = text.len();
            text.extend_from_slice(digits.format(number).as_bytes());
            parts.push((name, start..text.len()));
        }
        let start = text.len();
        // Anthropic dates the reset, OpenAI says it as a span.
        match dialect {
            Dialect::AnthropicMessages => text.extend_from_slice(room.reset_at.rfc3339().as_bytes()),
            Dialect::OpenaiChat => {
                let span = room.reset_at.since(now).as_ms_ceil();
                text.extend_from_slice(digits.format(span).as_bytes());
                text.extend_from_slice(b"ms");
            }
        }
        parts.push((reset, start..text.len()));
    }
    let text = Bytes::from(text);
    for (name, range) in parts {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
            headers.insert(name.clone(), value);
        }
    }
}

/// What a channel's rate-limit headers say is left, in either dialect's names; none if they say nothing.
pub(crate) fn remaining(headers: &HeaderMap) -> Option<Remaining> {
    // Most answers say nothing of it, and looking for eight names costs more than looking at the few that are there.
    let is_limit = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-ratelimit-") || name.starts_with("anthropic-ratelimit-")
    };
    if !headers.keys().any(is_limit) {
        return None;
    }
    let count = |names: [&str; 2]| {
        let mut values = names
            .iter()
            .filter_map(|name| headers.get(*name)?.to_str().ok()?.parse().ok());
        values.next()
    };
    let left = Remaining {
        input_tokens: count([
            "anthropic-ratelimit-input-tokens-remaining",
            "x-ratelimit-remaining-input-tokens",
        ]),
        output_tokens: count([
            "anthropic-ratelimit-output-tokens-remaining",
            "x-ratelimit-remaining-output-tokens",
        ]),
        requests: count([
            "anthropic-ratelimit-requests-remaining",
            "x-ratelimit-remaining-requests",
        ]),
        tokens: count([
            "anthropic-ratelimit-tokens-remaining",
            "x-ratelimit-remaining-tokens",
        ]),
    };
    (left != Remaining::default()).then_some(left)
}

/// Keep the reply headers that the caller may see.
pub(crate) fn keep_headers(from: &HeaderMap, to: &mut HeaderMap) {
    // Once, with what else an answer gets.
    to.reserve(from.len() + STAMPS_MAX);
    for (name, value) in from {
        if tieline_wire::returns(name.as_str()) {
            to.insert(name.clone(), value.clone());
        }
    }
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    value
        .get(..17)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether a body is compressed, or says so.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| !is_plain(value))
}

/// Losses as the core records them.
pub(crate) fn losses(losses: &[Loss]) -> Arc<[CoreLoss]> {
    let core = |loss: &Loss| CoreLoss {
        path: Cow::Owned(loss.path.clone()),
        why: Cow::Owned(format!("{}: {}", kind_name(loss.kind), loss.why)),
    };
    losses.iter().map(core).collect()
}

/// `x-tieline-loss`: what translation could not carry, as `kind path` separated by commas.
pub(crate) fn loss_header(losses: &[Loss], headers: &mut HeaderMap) {
    let name = HeaderName::from_static("x-tieline-loss");
    let mut text = headers
        .get(&name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    for loss in losses {
        let item = format!("{} {}", kind_name(loss.kind), loss.path);
        if text.len() + item.len() + 2 > LOSS_HEADER_MAX {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&item);
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(name, value);
    }
}

const fn kind_name(kind: LossKind) -> &'static str {
    match kind {
        LossKind::Added => "added",
        LossKind::Changed => "changed",
        LossKind::Dropped => "dropped",
        LossKind::More => "more",
        LossKind::Moved => "moved",
    }
}

/// A problem of a request that became no call; the id stands in the reply alone.
pub(crate) fn refusal(dialect: Dialect, problem: &Problem, id: CallId) -> Response<Answer> {
    let mut response = rendered(tieline_wire::render(dialect, problem, id));
    insert(response.headers_mut(), "x-tieline-call", &id.to_string());
    response
}

/// A reply that the wire has written.
pub(crate) fn rendered(rendered: Rendered) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(rendered.body));
    if let Ok(status) = http::StatusCode::from_u16(rendered.status) {
        *response.status_mut() = status;
    }
    for (name, value) in rendered.headers {
        insert(response.headers_mut(), name, &value);
    }
    response
}

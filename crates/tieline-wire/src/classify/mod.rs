//! Whose fault a channel's error is, as one pure function of its status, headers and body. The evidence is that of the
//! providers' documentation and of recorded bodies; the words looked for in messages are those that no code stands for.
//!
//! Contract: never fails; a body that is no JSON is judged by its status. Bodies are read up to [`BODY_BYTES_MAX`]. What a
//! server in trouble says (5xx) proves neither a refusal of content nor a legal block; a legal block is proved by its own
//! code, by the status 451, or by phrases together with the status that such a block has, never by phrases alone.

mod channel;
mod evidence;
mod feature;
mod wait;
mod words;

use tieline_core::{Fault, FaultKind, Phase};

pub use self::channel::ChannelKind;
use self::evidence::{
    ALWAYS, BLOCKED, REQUEST, is_bedrock_legal, is_legal, is_no_model, is_regional, proven,
};
use self::words::Words;

/// As much of an error body as is looked at: the longest recorded one is 6 KiB; a page of HTML is known by its start.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Classifies how an attempt failed. `status` is that of the reply, if one came; `header` gives a header by its name in
/// lower case, of the reply or, where each event has headers of its own, of the event; `body` is the reply's body, or the
/// data of the event.
///
/// In [`Phase::Body`] the head said that an answer follows, so the error is what the body or the event says.
pub fn classify<'h>(
    channel: ChannelKind,
    phase: Phase,
    status: Option<u16>,
    header: &dyn Fn(&str) -> Option<&'h str>,
    body: &[u8],
) -> Fault {
    let words = Words::read(header, body);
    let refusal = status.filter(|status| !(200..=299).contains(status));
    let kind = match (phase, refusal) {
        (Phase::Connect, _) => FaultKind::Connect,
        (Phase::Head | Phase::Body, Some(status)) => of_reply(channel, status, &words),
        // The connection ended where a reply or the rest of one should have come.
        (Phase::Head | Phase::Body, None) if body.is_empty() => FaultKind::Reset,
        (Phase::Head | Phase::Body, None) => of_answer(channel, &words),
    };
    let feature = (kind == FaultKind::Incapable)
        .then(|| feature::of(&words))
        .flatten();
    let fault = Fault::new(kind, phase)
        .with_feature(feature)
        .with_retry_after_ms(wait::wait_ms(channel, kind, header, &words));
    match status {
        Some(status) => fault.with_status(status),
        None => fault,
    }
}

/// Classifies an error that came in a reply with a status of 2xx: an event of a stream, or a body.
pub(crate) fn in_stream(data: &[u8]) -> FaultKind {
    of_answer(ChannelKind::OpenaiCompatible, &Words::read(&|_| None, data))
}

fn of_answer(channel: ChannelKind, words: &Words) -> FaultKind {
    if BLOCKED.contains(&words.stopped.as_str()) {
        return FaultKind::Content;
    }
    if let Some(kind) = of_amazon(words) {
        return kind;
    }
    if let Some(status @ 400..=599) = words.status {
        return of_reply(channel, status, words);
    }
    if let Some(kind) = proven(ALWAYS, words) {
        return kind;
    }
    match words.kind.as_str() {
        "rate_limit_error" | "rate_limit_exceeded" | "requests" | "tokens" => FaultKind::Rate,
        "invalid_request_error" => of_request(400, words).unwrap_or(FaultKind::Client),
        "authentication_error" | "permission_error" | "not_found_error" => FaultKind::Auth,
        _ => FaultKind::Transient,
    }
}

fn of_reply(channel: ChannelKind, status: u16, words: &Words) -> FaultKind {
    // A server in trouble says all kinds of things; what it says about the request counts in a refusal only.
    match of_channel(channel, status, words).or_else(|| proven(ALWAYS, words)) {
        Some(FaultKind::Content | FaultKind::Legal) if status >= 500 => {}
        Some(kind) => return kind,
        None => {}
    }
    if matches!(status, 400 | 403 | 404 | 413 | 422)
        && let Some(kind) = of_request(status, words)
    {
        return kind;
    }
    of_status(status, words)
}

/// What a channel means by a status that others use for something else.
fn of_channel(channel: ChannelKind, status: u16, words: &Words) -> Option<FaultKind> {
    match (channel, status) {
        (ChannelKind::Bedrock, _) => of_amazon(words),
        (ChannelKind::Gemini | ChannelKind::Vertex, 429) => Some(of_google_limit(words)),
        // More tokens in one request than the account may send in a minute: no wait helps, another channel may.
        (ChannelKind::Groq, 413) if words.says(&["tokens per minute"]) => Some(FaultKind::Incapable),
        (ChannelKind::Mistral, 429) if words.says(&["capacity exceeded"]) => Some(FaultKind::Overload),
        (ChannelKind::Openrouter, 403) if words.says(&["flagged", "moderation"]) => Some(FaultKind::Content),
        (ChannelKind::Xai, 403) if words.says(&["usage guidelines"]) => Some(FaultKind::Content),
        _ => None,
    }
}

/// Amazon names its errors; the status says less, for it sends 400 and 424 for all kinds of things.
fn of_amazon(words: &Words) -> Option<FaultKind> {
    Some(match words.name.as_str() {
        "AccessDeniedException" => of_request(403, words).unwrap_or(FaultKind::Auth),
        "InternalServerException"
        | "ModelErrorException"
        | "ModelStreamErrorException"
        | "ModelTimeoutException" => FaultKind::Transient,
        "ModelNotReadyException" => FaultKind::NotReady,
        "ResourceNotFoundException" => of_request(404, words).unwrap_or(FaultKind::Auth),
        "ServiceQuotaExceededException" => FaultKind::Spend,
        "ServiceUnavailableException" => FaultKind::Overload,
        "ThrottlingException" if words.says(&["per day"]) => FaultKind::Spend,
        "ThrottlingException" => FaultKind::Rate,
        "ExpiredTokenException"
        | "FTUFormNotFilled"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "UnrecognizedClientException" => FaultKind::Auth,
        "ValidationException" if is_bedrock_legal(words) => FaultKind::Legal,
        "ValidationException" => of_request(400, words).unwrap_or(FaultKind::Client),
        _ => return None,
    })
}

/// Google says `RESOURCE_EXHAUSTED` of a rate, of a spent day, of a quota that is zero, and of machines that are busy.
fn of_google_limit(words: &Words) -> FaultKind {
    let is_busy = words.says(&["no capacity available", "resource exhausted"]);
    if words.is_any(&["MODEL_CAPACITY_EXHAUSTED"]) || is_busy {
        FaultKind::Overload
    } else if words.is_daily_quota()
        || words.is_any(&["quota_exceeded"])
        || words.says(&["limit: 0,", "per_day"])
    {
        FaultKind::Spend
    } else {
        FaultKind::Rate
    }
}

fn of_request(status: u16, words: &Words) -> Option<FaultKind> {
    if is_legal(status, words) {
        return Some(FaultKind::Legal);
    }
    if is_regional(words) {
        return Some(FaultKind::Region);
    }
    match proven(REQUEST, words) {
        None | Some(FaultKind::Incapable) if is_no_model(words) => Some(FaultKind::Auth),
        other => other,
    }
}

fn of_status(status: u16, words: &Words) -> FaultKind {
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

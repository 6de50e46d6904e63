//! What scripted channels say: the one answer that every channel of a run gives, and the ways to spoil it. An act is made
//! when a request is seen, in the dialect of the channel that sees it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tieline_core::Dialect;
use tieline_core::grid::Settings;
use tieline_testkit::{Act, Answer, Cut, Gate, Seen, Stop, Usage, canned};

/// The answer, as it is streamed. Every channel says it, as the same model does at temperature 0.
pub(super) const PIECES: [&str; 8] = [
    "One line ",
    "is cut, ",
    "and the ",
    "next one ",
    "carries ",
    "the load ",
    "as if ",
    "nothing had happened.",
];

/// The tokens that each answer reports: 12 and 8 are 28 µUSD at the prices of the catalogue's own grid.
pub(super) const USAGE: Usage = Usage {
    input: 12,
    cached: 0,
    output: 8,
};

/// What a channel knows when it is asked.
#[derive(Debug)]
pub(super) struct Cue<'a> {
    /// The dialect of the channel.
    pub(super) far: Dialect,
    /// Opens when the caller has the first content, or when the scenario says.
    pub(super) gate: &'a Gate,
    /// How often this channel was asked before.
    pub(super) nth: u64,
    /// How many channels were asked before this one was first.
    pub(super) role: usize,
    pub(super) seen: &'a Seen,
    pub(super) settings: &'a Settings,
    pub(super) stream: bool,
}

/// The whole answer.
pub(super) fn text() -> String {
    PIECES.concat()
}

/// The answer that nothing spoils; what an assistant's last message already says of it is not said again.
pub(super) fn good(cue: &Cue<'_>) -> Act {
    let said = prefilled(cue.seen).unwrap_or_default();
    let rest = text().strip_prefix(said.as_str()).map(str::to_owned);
    match rest.filter(|rest| !said.is_empty() && !rest.is_empty()) {
        Some(rest) => give(cue, &answer(vec![rest])),
        None => give(cue, &plain()),
    }
}

/// This answer, whole or streamed, in the channel's dialect.
pub(super) fn give(cue: &Cue<'_>, answer: &Answer) -> Act {
    match (cue.far, cue.stream) {
        (Dialect::OpenaiChat, false) => Act::json(answer.openai_json()),
        (Dialect::AnthropicMessages, false) => Act::json(answer.anthropic_json()),
        (_, true) => Act::stream(events(cue.far, answer)),
    }
}

pub(super) fn plain() -> Answer {
    answer(PIECES.map(str::to_owned).to_vec())
}

pub(super) fn answer(text: Vec<String>) -> Answer {
    Answer {
        text,
        usage: USAGE,
        ..Answer::default()
    }
}

/// The answer of a model that refuses, or whose filter does.
pub(super) fn refusal() -> Answer {
    Answer {
        stop: Stop::Filter,
        ..answer(Vec::new())
    }
}

/// The events of the answer that nothing spoils.
pub(super) fn frames(cue: &Cue<'_>) -> Vec<Bytes> {
    events(cue.far, &plain())
}

pub(super) fn events(far: Dialect, answer: &Answer) -> Vec<Bytes> {
    match far {
        Dialect::OpenaiChat => answer.openai_stream(true),
        Dialect::AnthropicMessages => answer.anthropic_stream(),
    }
}

/// The place of a piece of content among the events: after the role, or after the message, its block and a ping.
pub(super) const fn content_at(far: Dialect, piece: usize) -> usize {
    match far {
        Dialect::OpenaiChat => 1 + piece,
        Dialect::AnthropicMessages => 3 + piece,
    }
}

/// The place of the event that says how the answer stopped, usage included where the dialect puts it there.
pub(super) const fn stop_at(far: Dialect) -> usize {
    match far {
        Dialect::OpenaiChat => content_at(far, PIECES.len()),
        // Before it, the block ends.
        Dialect::AnthropicMessages => content_at(far, PIECES.len()) + 1,
    }
}

/// A stream that goes on after its first content only when the caller has that.
pub(super) fn gated(cue: &Cue<'_>, frames: Vec<Bytes>) -> Act {
    Act::stream(frames).gate_before_frame(content_at(cue.far, 1), cue.gate)
}

/// The stream ends before this piece of content, which is not the first.
pub(super) fn cut(cue: &Cue<'_>, piece: usize, how: Cut) -> Act {
    gated(cue, frames(cue)).cut_before_frame(content_at(cue.far, piece), how)
}

/// The stream up to this piece of content, and then `event`, well framed to its end.
pub(super) fn replaced(cue: &Cue<'_>, piece: usize, event: Bytes) -> Act {
    let mut frames = frames(cue);
    frames.truncate(content_at(cue.far, piece));
    frames.push(event);
    if piece > 1 {
        gated(cue, frames)
    } else {
        Act::stream(frames)
    }
}

/// The providers' own errors, by dialect.
pub(super) fn error(cue: &Cue<'_>, openai: canned::Canned, anthropic: canned::Canned) -> canned::Canned {
    match cue.far {
        Dialect::OpenaiChat => openai,
        Dialect::AnthropicMessages => anthropic,
    }
}

pub(super) fn rate_limit(cue: &Cue<'_>) -> canned::Canned {
    error(cue, canned::OPENAI_RATE_LIMIT, canned::ANTHROPIC_RATE_LIMIT)
}

pub(super) fn server_error(cue: &Cue<'_>) -> canned::Canned {
    error(cue, canned::OPENAI_SERVER_ERROR, canned::ANTHROPIC_SERVER_ERROR)
}

pub(super) fn overloaded(cue: &Cue<'_>) -> canned::Canned {
    error(cue, canned::OPENAI_OVERLOADED, canned::ANTHROPIC_OVERLOADED)
}

pub(super) fn spent(cue: &Cue<'_>) -> canned::Canned {
    error(cue, canned::OPENAI_QUOTA, canned::ANTHROPIC_SPEND_LIMIT)
}

pub(super) fn bad_key(cue: &Cue<'_>) -> canned::Canned {
    error(cue, canned::OPENAI_KEY, canned::ANTHROPIC_KEY)
}

pub(super) fn too_long(cue: &Cue<'_>) -> canned::Canned {
    error(
        cue,
        canned::OPENAI_CONTEXT_LENGTH,
        canned::ANTHROPIC_CONTEXT_LENGTH,
    )
}

/// An error's body under another status, without the headers that its provider sends.
pub(super) fn bare(error: canned::Canned, status: u16) -> Act {
    Act::status(status).body(error.body)
}

/// The model takes no prefilled answer.
pub(super) fn no_prefill(cue: &Cue<'_>) -> Act {
    const OPENAI: &str = r#"{"error":{"message":"This model does not support assistant message prefill. The conversation must end with a user message.","type":"invalid_request_error","param":"messages","code":null}}"#;
    match cue.far {
        Dialect::OpenaiChat => Act::status(400).body(OPENAI),
        Dialect::AnthropicMessages => canned::ANTHROPIC_PREFILL.act(),
    }
}

pub(super) fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// What an assistant has said already: the answer is to be gone on with.
fn prefilled(seen: &Seen) -> Option<String> {
    let request = seen.json()?;
    let messages = request.get("messages")?.as_array()?;
    let is_assistants = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("assistant");
    let content = messages.iter().rev().find(is_assistants)?.get("content")?;
    let block = content.pointer("/0/text").unwrap_or(content);
    block.as_str().map(str::to_owned)
}

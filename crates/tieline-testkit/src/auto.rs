//! The act of a channel that works: it looks at the path and at `"stream": true` and answers in that dialect.
//!
//! Contract: `POST …/chat/completions`, `POST …/messages`, `POST …/messages/count_tokens`, `GET …/models`, `HEAD`;
//! anything else is 404, a body that is no JSON object is 400, each in the dialect of the path.
//! The same request at the same place of the same script gives the same bytes.

use serde_json::Value;

use crate::act::Act;
use crate::answer::{Answer, CREATED_S, Stop, ToolCall, Usage, quote};
use crate::canned;
use crate::seen::Seen;

/// The two API dialects that the scripted channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// What a working channel says.
#[derive(Debug, Clone)]
pub struct Auto {
    /// Content chunks of a stream; a text shorter than this is repeated until it has as many characters.
    pub chunks: usize,
    /// `None` echoes the text of the last user message.
    pub text: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    /// `None` counts a token for every 4 bytes of the request's body and one for each content chunk.
    pub usage: Option<Usage>,
    /// Where there are tool calls, [`Stop::End`] becomes [`Stop::Tool`].
    pub stop: Stop,
    /// `None` repeats the model of the request.
    pub model: Option<String>,
}

impl Default for Auto {
    fn default() -> Self {
        Self {
            chunks: 3,
            text: None,
            tool_calls: Vec::new(),
            usage: None,
            stop: Stop::End,
            model: None,
        }
    }
}

impl Auto {
    /// Says this, whatever it is asked: tells channels apart in a test.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        Self {
            text: Some(text.to_owned()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn chunks(mut self, chunks: usize) -> Self {
        self.chunks = chunks;
        self
    }

    #[must_use]
    pub fn tool_call(mut self, call: ToolCall) -> Self {
        self.tool_calls.push(call);
        self
    }

    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// The answer to this request in the terms of neither dialect; `id` gets the dialect's prefix.
    pub fn answer(&self, seen: &Seen, request: &Value, dialect: Dialect) -> Answer {
        let said = self.text.clone().unwrap_or_else(|| last_user_text(request));
        let text = match self.stop {
            Stop::Filter | Stop::Refuse(_) => Vec::new(),
            _ => cut_text(&said, self.chunks),
        };
        let counted = Usage {
            input: (seen.body.len() as u64).div_ceil(4),
            cached: 0,
            output: (text.len() as u64).max(1),
        };
        let asked = request.get("model").and_then(Value::as_str).unwrap_or("scripted");
        let prefix = match dialect {
            Dialect::OpenAi => "chatcmpl-",
            Dialect::Anthropic => "msg_",
        };
        let is_tool = self.stop == Stop::End && !self.tool_calls.is_empty();
        Answer {
            id: format!("{prefix}{:08}", seen.index),
            model: self.model.clone().unwrap_or_else(|| asked.to_owned()),
            text,
            tool_calls: self.tool_calls.clone(),
            usage: self.usage.unwrap_or(counted),
            stop: if is_tool { Stop::Tool } else { self.stop.clone() },
        }
    }

    fn act(&self, seen: &Seen) -> Act {
        let path = seen.route();
        match seen.method.as_str() {
            "HEAD" => Act::status(200).header("content-length", "0"),
            "GET" if path.ends_with("/models") => models(seen, self.model.as_deref().unwrap_or("scripted")),
            "POST" if path.ends_with("/messages/count_tokens") => {
                Act::json(format!(r#"{{"input_tokens":{}}}"#, seen.body.len().div_ceil(4)))
            }
            "POST" if path.ends_with("/messages") => self.post(seen, Dialect::Anthropic),
            "POST" if path.ends_with("/chat/completions") => self.post(seen, Dialect::OpenAi),
            _ => not_found(seen),
        }
    }

    fn post(&self, seen: &Seen, dialect: Dialect) -> Act {
        let Some(request) = seen.json().filter(Value::is_object) else {
            return match dialect {
                Dialect::OpenAi => canned::OPENAI_INVALID_REQUEST.act(),
                Dialect::Anthropic => canned::ANTHROPIC_INVALID_REQUEST.act(),
            };
        };
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
        let is_stream = is_true(request.get("stream"));
        let include_usage = is_true(request.pointer("/stream_options/include_usage"));
        let answer = self.answer(seen, &request, dialect);
        match (dialect, is_stream) {
            (Dialect::OpenAi, false) => Act::json(answer.openai_json()),
            (Dialect::OpenAi, true) => Act::stream(answer.openai_stream(include_usage)),
            (Dialect::Anthropic, false) => Act::json(answer.anthropic_json()),
            (Dialect::Anthropic, true) => Act::stream(answer.anthropic_stream()),
        }
    }
}

impl From<Auto> for Act {
    fn from(auto: Auto) -> Self {
        Self::from_call(move |seen| auto.act(seen))
    }
}

/// The list shape is Anthropic's where the request carries `anthropic-version`.
fn models(seen: &Seen, model: &str) -> Act {
    let id = quote(model);
    Act::json(match seen.header("anthropic-version") {
        Some(_) => format!(
            r#"{{"data":[{{"type":"model","id":{id},"display_name":{id},"created_at":"2026-01-01T00:00:00Z"}}],"has_more":false,"first_id":{id},"last_id":{id}}}"#
        ),
        None => format!(
            r#"{{"object":"list","data":[{{"id":{id},"object":"model","created":{CREATED_S},"owned_by":"scripted"}}]}}"#
        ),
    })
}

fn not_found(seen: &Seen) -> Act {
    let words = quote(&format!("no such endpoint: {} {}", seen.method, seen.route()));
    Act::status(404).body(format!(
        r#"{{"error":{{"message":{words},"type":"invalid_request_error","param":null,"code":"unknown_url"}}}}"#
    ))
}

/// The text of the last message with role `user`, both for string content and for text parts.
fn last_user_text(request: &Value) -> String {
    let messages = request
        .get("messages")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let is_user = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    let content = messages
        .iter()
        .rev()
        .find(is_user)
        .and_then(|message| message.get("content"));
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// Exactly `count` pieces of nearly the same number of characters, none empty.
fn cut_text(text: &str, count: usize) -> Vec<String> {
    let seed = if text.is_empty() { "." } else { text };
    let length = seed.chars().count();
    let characters: Vec<char> = seed.chars().cycle().take(length.max(count)).collect();
    let mut left = characters.as_slice();
    let mut pieces = Vec::with_capacity(count);
    for remaining in (1..=count).rev() {
        let (piece, rest) = left.split_at(left.len() / remaining);
        pieces.push(piece.iter().collect());
        left = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::cut_text;

    #[test]
    fn text_is_cut_into_as_many_pieces_as_asked_for() {
        assert_eq!(cut_text("abcdefg", 3), ["ab", "cd", "efg"]);
        assert_eq!(cut_text("äö", 5), ["ä", "ö", "ä", "ö", "ä"]);
        assert_eq!(cut_text("", 2), [".", "."]);
        assert_eq!(cut_text("whole", 1), ["whole"]);
        assert!(cut_text("none", 0).is_empty());
    }
}

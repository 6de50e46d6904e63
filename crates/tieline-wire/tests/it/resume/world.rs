//! Streams as channels send them, and a caller whose answer breaks off.

use bytes::Bytes;
use serde_json::{Value, json};
use tieline_core::{Dialect, FaultKind};
use tieline_wire::dialect::StreamReader;
use tieline_wire::frame::sse::{self, Frames};
use tieline_wire::model::{Event, Kind, Losses};
use tieline_wire::resume::{self, Announce, Continuation, Delivered, Method};
use tieline_wire::{Far, Head, Out, Provider, prepare, scan};

use Dialect::{AnthropicMessages as Anthropic, OpenaiChat as Openai};

/// The frames of an answer.
pub(super) fn frames(dialect: Dialect, id: &str, model: &str, pieces: &[&str]) -> Vec<String> {
    let mut frames = Vec::new();
    match dialect {
        Anthropic => {
            let mut push = |value: Value| {
                let kind = value["type"].as_str().unwrap();
                frames.push(format!("event: {kind}\ndata: {value}\n\n"));
            };
            push(
                json!({"type":"message_start","message":{"id":id,"type":"message","role":"assistant","model":model,
                "content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}),
            );
            push(json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}));
            for piece in pieces {
                push(
                    json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":piece}}),
                );
            }
            push(json!({"type":"content_block_stop","index":0}));
            push(
                json!({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},
                "usage":{"output_tokens":20}}),
            );
            push(json!({"type":"message_stop"}));
        }
        Openai => {
            let mut push = |choices: Value, usage: Value| {
                let value = json!({"id":id,"object":"chat.completion.chunk","created":7,"model":model,
                    "choices":choices,"usage":usage});
                frames.push(format!("data: {value}\n\n"));
            };
            push(
                json!([{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]),
                Value::Null,
            );
            for piece in pieces {
                push(
                    json!([{"index":0,"delta":{"content":piece},"finish_reason":null}]),
                    Value::Null,
                );
            }
            push(
                json!([{"index":0,"delta":{},"finish_reason":"stop"}]),
                Value::Null,
            );
            push(
                json!([]),
                json!({"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}),
            );
            frames.push("data: [DONE]\n\n".to_owned());
        }
    }
    frames
}

/// What the caller reads of a stream in its dialect.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) calls: usize,
    pub(super) done: bool,
    pub(super) id: String,
    pub(super) model: String,
    pub(super) starts: usize,
    pub(super) stops: usize,
    pub(super) text: String,
}

/// Reads a stream with the crate's own reader, and asserts what every stream keeps.
pub(super) fn see(dialect: Dialect, bytes: &[u8]) -> Seen {
    let (mut frames, mut reader) = (Frames::default(), StreamReader::new(dialect));
    let (mut seen, mut open) = (Seen::default(), Vec::new());
    let bytes = Bytes::copy_from_slice(bytes);
    frames.feed(&bytes, |cut| {
        let frame = cut.bytes(&bytes).unwrap();
        let Some(event) = sse::event(frame, false) else {
            return true;
        };
        assert!(!seen.done, "nothing follows the end");
        let mut events = Vec::new();
        reader
            .read(&event.data, &mut events, &mut Losses::default())
            .unwrap();
        for event in events {
            match event {
                Event::Start { id, model } => {
                    seen.starts += 1;
                    (seen.id, seen.model) = (id, model);
                }
                Event::Open { at, kind } => {
                    assert!(dialect == Openai || open.is_empty(), "one block at a time");
                    seen.calls += usize::from(matches!(kind, Kind::Call { .. }));
                    open.push(at);
                }
                Event::Close { at } => open.retain(|o| *o != at),
                Event::Text { delta, at } => {
                    assert!(open.contains(&at));
                    seen.text += &delta;
                }
                Event::Stop(_) => seen.stops += 1,
                Event::Done => seen.done = true,
                _ => {}
            }
        }
        true
    });
    assert!(frames.rest().is_empty(), "whole events only");
    seen
}

/// The indices of blocks as Anthropic's dialect has them: dense, each begun and ended once.
pub(super) fn blocks(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    let words = events.filter_map(|event| match event["type"].as_str().unwrap() {
        "content_block_start" => Some(format!(
            "{}+{}",
            event["index"],
            event["content_block"]["type"].as_str().unwrap()
        )),
        "content_block_stop" => Some(format!("{}-", event["index"])),
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

// === a call ===

/// A call whose answer breaks off.
pub(super) struct World {
    pub(super) body: Bytes,
    pub(super) delivered: Delivered,
    pub(super) head: Head,
    pub(super) near: Dialect,
    pub(super) out: Out,
    /// What the caller got.
    pub(super) got: Vec<u8>,
}

pub(super) fn request(near: Dialect, fields: &str) -> Bytes {
    let body = format!(
        r#"{{"model":"pool",{fields}"max_tokens":100,"stream":true,"messages":[{{"role":"user","content":"a"}}]}}"#
    );
    assert!(near == Openai || near == Anthropic);
    Bytes::from(body)
}

pub(super) const fn far(dialect: Dialect, model_name: &str) -> Far<'_> {
    let provider = match dialect {
        Anthropic => Provider::Anthropic,
        Openai => Provider::Vllm,
    };
    Far {
        dialect,
        model_name,
        output_tokens_injected: None,
        provider,
    }
}

impl World {
    pub(super) fn new(near: Dialect, fields: &str) -> Self {
        let body = request(near, fields);
        let head = scan(near, &body).unwrap();
        Self {
            delivered: Delivered::new(near, &head),
            got: Vec::new(),
            out: Out::default(),
            body,
            head,
            near,
        }
    }

    pub(super) fn take_out(&mut self) {
        self.delivered.note(&self.out);
        for bytes in self.out.bytes.drain(..) {
            self.got.extend_from_slice(&bytes);
        }
    }

    /// The first attempt, of which these frames come before the connection breaks.
    pub(super) fn broken(mut self, dialect: Dialect, frames: &[String]) -> Self {
        let (_, mut exchange) = prepare(self.near, &self.body, &self.head, &far(dialect, "one")).unwrap();
        exchange.feed(Bytes::from(frames.concat()), &mut self.out);
        self.take_out();
        self.out.clear();
        exchange.end(&mut self.out);
        self.take_out();
        self.out.clear();
        self
    }

    pub(super) fn resume(&mut self, method: Method, dialect: Dialect) -> (Value, Continuation) {
        let announce = Announce {
            channel: "b\n\nx",
            model: "two",
        };
        let (outgoing, continuation) = resume::prepare(
            method,
            &self.body,
            &self.head,
            &far(dialect, "two"),
            &mut self.delivered,
            Some(announce),
        )
        .unwrap();
        let body = outgoing.body.concat();
        assert_eq!(body.len() as u64, outgoing.body_len);
        (serde_json::from_slice(&body).unwrap(), continuation)
    }

    /// Feeds the frames in pieces of `size` bytes, and the end.
    pub(super) fn feed(
        &mut self,
        continuation: &mut Continuation,
        frames: &[String],
        size: usize,
    ) -> Option<FaultKind> {
        for chunk in frames.concat().as_bytes().chunks(size) {
            continuation.feed(&Bytes::copy_from_slice(chunk), &self.delivered, &mut self.out);
            self.take_out();
            if let Some(fault) = self.out.fault {
                return Some(fault.kind);
            }
            self.out.clear();
        }
        continuation.end(&self.delivered, &mut self.out);
        self.take_out();
        self.out.fault.map(|fault| fault.kind)
    }
}

/// What a channel answers to the request for the rest of `whole`, of which the caller has `text`.
pub(super) fn rest(method: Method, whole: &str, text: &str) -> String {
    match method {
        Method::Repeat => whole.to_owned(),
        Method::Prefill | Method::Instruct => whole.strip_prefix(text.trim_end()).unwrap().to_owned(),
    }
}

/// The frames of an answer up to and with `n` of its texts.
pub(super) fn begun(dialect: Dialect, texts: &[&str], n: usize) -> Vec<String> {
    let opening = if dialect == Anthropic { 2 } else { 1 };
    frames(dialect, "x", "one", texts)[..opening + n].to_vec()
}

/// A text as a stream of pieces of `n` characters.
pub(super) fn pieces_of(text: &str, n: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(n).map(|chunk| chunk.iter().collect()).collect()
}

pub(super) fn strs(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

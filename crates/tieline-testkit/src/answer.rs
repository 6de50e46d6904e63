//! Well-formed answers in both dialects from one small description.
//!
//! Shapes follow OpenAI's Chat Completions and Anthropic's Messages (version 2023-06-01) as recorded from the
//! providers, members in the order in which they send them. Each frame of a stream is one whole event.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;

/// What a model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub id: String,
    pub model: String,
    /// One content chunk each when streamed, joined when not.
    pub text: Vec<String>,
    pub tool_calls: Vec<ToolCall>,
    pub usage: Usage,
    pub stop: Stop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text in fragments as streamed, joined when not. Anthropic's buffered shape has an object in its place:
    /// arguments that are no JSON object become an empty one there.
    pub arguments: Vec<String>,
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The whole prompt, the cached part of it included.
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `stop`, `end_turn`.
    End,
    /// `length`, `max_tokens`.
    Length,
    /// `tool_calls`, `tool_use`.
    Tool,
    /// `stop`, `stop_sequence` with the sequence.
    Sequence(String),
    /// The provider's filter: `content_filter`, `refusal`.
    Filter,
    /// The model's own words of refusal: `message.refusal` with `stop`; `refusal` with `stop_details`.
    Refuse(String),
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            id: "answer-1".to_owned(),
            model: "scripted".to_owned(),
            text: vec!["Hello".to_owned(), " there".to_owned(), ".".to_owned()],
            tool_calls: Vec::new(),
            usage: Usage {
                input: 12,
                cached: 0,
                output: 3,
            },
            stop: Stop::End,
        }
    }
}

// === OpenAI ===

impl Answer {
    /// A `chat.completion` object.
    pub fn openai_json(&self) -> Bytes {
        let text = self.text.concat();
        let has_text = !self.text.is_empty();
        let content = if has_text { quote(&text) } else { "null".to_owned() };
        let refusal = if let Stop::Refuse(words) = &self.stop {
            quote(words)
        } else {
            "null".to_owned()
        };
        let mut message =
            format!(r#""role":"assistant","content":{content},"refusal":{refusal},"annotations":[]"#);
        if !self.tool_calls.is_empty() {
            let calls: Vec<String> = self.tool_calls.iter().map(ToolCall::openai).collect();
            let _ = write!(message, r#","tool_calls":[{}]"#, calls.join(","));
        }
        Bytes::from(format!(
            r#"{{"id":{},"object":"chat.completion","created":{CREATED_S},"model":{},"choices":[{{"index":0,"message":{{{message}}},"logprobs":null,"finish_reason":"{}"}}],"usage":{},"service_tier":"default","system_fingerprint":null}}"#,
            quote(&self.id),
            quote(&self.model),
            self.stop.openai(),
            self.usage.openai(),
        ))
    }

    /// The events of a chat completion stream, `[DONE]` included; the usage event only where it was asked for
    /// (`stream_options.include_usage`).
    pub fn openai_stream(&self, include_usage: bool) -> Vec<Bytes> {
        let mut deltas = vec![r#"{"role":"assistant","content":"","refusal":null}"#.to_owned()];
        deltas.extend(
            self.text
                .iter()
                .map(|piece| format!(r#"{{"content":{}}}"#, quote(piece))),
        );
        if let Stop::Refuse(words) = &self.stop {
            deltas.push(format!(r#"{{"refusal":{}}}"#, quote(words)));
        }
        for (index, call) in self.tool_calls.iter().enumerate() {
            deltas.push(format!(
                r#"{{"tool_calls":[{{"index":{index},"id":{},"type":"function","function":{{"name":{},"arguments":""}}}}]}}"#,
                quote(&call.id),
                quote(&call.name),
            ));
            deltas.extend(call.arguments.iter().map(|fragment| {
                format!(
                    r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":{}}}}}]}}"#,
                    quote(fragment)
                )
            }));
        }
        let choice = |delta: &str, finish: &str| {
            format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#)
        };
        // Every event but the last carries "usage":null once usage is asked for.
        let no_usage = if include_usage { r#","usage":null"# } else { "" };
        let mut frames: Vec<Bytes> = deltas
            .iter()
            .map(|delta| self.openai_event(&choice(delta, "null"), no_usage))
            .collect();
        let finish = format!("\"{}\"", self.stop.openai());
        frames.push(self.openai_event(&choice("{}", &finish), no_usage));
        if include_usage {
            frames.push(self.openai_event("", &format!(r#","usage":{}"#, self.usage.openai())));
        }
        frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        frames
    }

    fn openai_event(&self, choice: &str, usage: &str) -> Bytes {
        Bytes::from(format!(
            "data: {{\"id\":{},\"object\":\"chat.completion.chunk\",\"created\":{CREATED_S},\"model\":{},\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{choice}]{usage}}}\n\n",
            quote(&self.id),
            quote(&self.model),
        ))
    }
}

impl ToolCall {
    fn openai(&self) -> String {
        format!(
            r#"{{"id":{},"type":"function","function":{{"name":{},"arguments":{}}}}}"#,
            quote(&self.id),
            quote(&self.name),
            quote(&self.arguments.concat()),
        )
    }
}

impl Usage {
    fn openai(self) -> String {
        format!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
            self.input,
            self.output,
            self.input.saturating_add(self.output),
            self.cached,
        )
    }
}

impl Stop {
    fn openai(&self) -> &'static str {
        match self {
            Self::End | Self::Sequence(_) | Self::Refuse(_) => "stop",
            Self::Length => "length",
            Self::Tool => "tool_calls",
            Self::Filter => "content_filter",
        }
    }
}

// === Anthropic ===

impl Answer {
    /// A `message` object.
    pub fn anthropic_json(&self) -> Bytes {
        let mut blocks = Vec::new();
        if !self.text.is_empty() {
            blocks.push(format!(
                r#"{{"type":"text","text":{}}}"#,
                quote(&self.text.concat())
            ));
        }
        blocks.extend(self.tool_calls.iter().map(ToolCall::anthropic));
        Bytes::from(format!(
            r#"{{"model":{},"id":{},"type":"message","role":"assistant","content":[{}],{},"usage":{}}}"#,
            quote(&self.model),
            quote(&self.id),
            blocks.join(","),
            self.stop.anthropic(),
            self.usage.anthropic(self.usage.output),
        ))
    }

    /// The events of a message stream, from `message_start` (with one `ping` after the first block begins) to
    /// `message_stop`.
    pub fn anthropic_stream(&self) -> Vec<Bytes> {
        let mut frames = vec![anthropic_event(
            "message_start",
            &format!(
                r#""message":{{"model":{},"id":{},"type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{}}}"#,
                quote(&self.model),
                quote(&self.id),
                self.usage.anthropic(1),
            ),
        )];
        let texts = (!self.text.is_empty()).then(|| {
            let deltas = self
                .text
                .iter()
                .map(|piece| format!(r#"{{"type":"text_delta","text":{}}}"#, quote(piece)));
            (
                r#"{"type":"text","text":""}"#.to_owned(),
                deltas.collect::<Vec<_>>(),
            )
        });
        let blocks = texts
            .into_iter()
            .chain(self.tool_calls.iter().map(ToolCall::anthropic_block));
        for (index, (block, deltas)) in blocks.enumerate() {
            frames.push(anthropic_event(
                "content_block_start",
                &format!(r#""index":{index},"content_block":{block}"#),
            ));
            if index == 0 {
                frames.push(Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"));
            }
            frames.extend(deltas.iter().map(|delta| {
                anthropic_event(
                    "content_block_delta",
                    &format!(r#""index":{index},"delta":{delta}"#),
                )
            }));
            frames.push(anthropic_event(
                "content_block_stop",
                &format!(r#""index":{index}"#),
            ));
        }
        frames.push(anthropic_event(
            "message_delta",
            &format!(
                r#""delta":{{{}}},"usage":{}"#,
                self.stop.anthropic(),
                self.usage.anthropic(self.usage.output)
            ),
        ));
        frames.push(Bytes::from_static(
            b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ));
        frames
    }
}

impl ToolCall {
    fn anthropic(&self) -> String {
        let text = self.arguments.concat();
        let input = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
        let input = if input.is_some() { text.trim() } else { "{}" };
        format!(
            r#"{{"type":"tool_use","id":{},"name":{},"input":{input}}}"#,
            quote(&self.id),
            quote(&self.name)
        )
    }

    /// The block as it starts, and its deltas.
    fn anthropic_block(&self) -> (String, Vec<String>) {
        let block = format!(
            r#"{{"type":"tool_use","id":{},"name":{},"input":{{}}}}"#,
            quote(&self.id),
            quote(&self.name)
        );
        // The provider always opens with an empty fragment, which is the only one of a call without arguments.
        let fragments = std::iter::once("").chain(self.arguments.iter().map(String::as_str));
        let delta = |text: &str| format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quote(text));
        (block, fragments.map(delta).collect())
    }
}

impl Usage {
    fn anthropic(self, output: u64) -> String {
        format!(
            r#"{{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{},"output_tokens":{output}}}"#,
            self.input.saturating_sub(self.cached),
            self.cached,
        )
    }
}

impl Stop {
    /// The members `stop_reason`, `stop_sequence` and, for a refusal, `stop_details`.
    fn anthropic(&self) -> String {
        let (reason, sequence) = match self {
            Self::End => ("end_turn", None),
            Self::Length => ("max_tokens", None),
            Self::Tool => ("tool_use", None),
            Self::Sequence(sequence) => ("stop_sequence", Some(sequence)),
            Self::Filter | Self::Refuse(_) => ("refusal", None),
        };
        let sequence = sequence.map_or_else(|| "null".to_owned(), |sequence| quote(sequence));
        let details = match self {
            Self::Refuse(words) => format!(
                r#","stop_details":{{"type":"refusal","category":null,"explanation":{}}}"#,
                quote(words)
            ),
            _ => String::new(),
        };
        format!(r#""stop_reason":"{reason}","stop_sequence":{sequence}{details}"#)
    }
}

fn anthropic_event(name: &str, members: &str) -> Bytes {
    Bytes::from(format!(
        "event: {name}\ndata: {{\"type\":\"{name}\",{members}}}\n\n"
    ))
}

/// A JSON string.
pub(crate) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// 2026-01-01T00:00:00Z in seconds; fixed, so that the same script gives the same bytes.
pub(crate) const CREATED_S: u64 = 1_767_225_600;

//! The shapes of Anthropic Messages on the wire. Input types know the fields that we carry and nothing else: all other
//! fields are remembered by name and reported. Output types hold what the official SDKs require.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tieline_core::{Stop, Usage};

use crate::dialect::object::{Count, StrOr, wire_object};
use crate::model::{Number, Raw};

wire_object! {
    /// The request.
    Request {
        max_tokens: u64 = "max_tokens",
        messages: Vec<Message> = "messages",
        metadata: Metadata = "metadata",
        model: String = "model",
        output_config: OutputConfig = "output_config",
        service_tier: String = "service_tier",
        stop_sequences: Vec<String> = "stop_sequences",
        stream: bool = "stream",
        system: StrOr<Vec<Block>> = "system",
        temperature: Number = "temperature",
        thinking: Thinking = "thinking",
        tool_choice: ToolChoice = "tool_choice",
        tools: Vec<Tool> = "tools",
        top_k: u64 = "top_k",
        top_p: Number = "top_p",
    }
}

wire_object! {
    Metadata {
        user_id: String = "user_id",
    }
}

wire_object! {
    OutputConfig {
        effort: String = "effort",
        format: OutputFormat = "format",
    }
}

wire_object! {
    OutputFormat {
        kind: String = "type",
        schema: Raw = "schema",
    }
}

wire_object! {
    Thinking {
        budget_tokens: u64 = "budget_tokens",
        kind: String = "type",
    }
}

wire_object! {
    ToolChoice {
        disable_parallel_tool_use: bool = "disable_parallel_tool_use",
        kind: String = "type",
        name: String = "name",
    }
}

wire_object! {
    Tool {
        description: String = "description",
        input_schema: Raw = "input_schema",
        kind: String = "type",
        name: String = "name",
        strict: bool = "strict",
    }
}

wire_object! {
    Message {
        content: StrOr<Vec<Block>> = "content",
        role: String = "role",
    }
}

wire_object! {
    /// A block of a message or of an answer; which fields count depends on `kind`. What has another shape in another
    /// kind of block stays raw until the kind is known.
    Block {
        citations: Raw = "citations",
        content: Raw = "content",
        data: IgnoredAny = "data",
        id: String = "id",
        input: Raw = "input",
        is_error: bool = "is_error",
        kind: String = "type",
        name: String = "name",
        signature: String = "signature",
        source: Raw = "source",
        text: String = "text",
        thinking: String = "thinking",
        tool_use_id: String = "tool_use_id",
    }
}

wire_object! {
    Source {
        data: String = "data",
        kind: String = "type",
        media_type: String = "media_type",
        url: String = "url",
    }
}

wire_object! {
    /// An answer, whole or as `message_start` has it.
    Reply {
        content: Vec<Block> = "content",
        error: ReplyError = "error",
        id: String = "id",
        kind: String = "type",
        model: String = "model",
        role: String = "role",
        stop_details: StopDetails = "stop_details",
        stop_reason: String = "stop_reason",
        stop_sequence: String = "stop_sequence",
        usage: ReplyUsage = "usage",
    }
}

wire_object! {
    StopDetails {
        category: String = "category",
        explanation: String = "explanation",
        kind: String = "type",
    }
}

/// An error is not translated field by field.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ReplyError {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) message: Option<String>,
}

wire_object! {
    ReplyUsage {
        cache_creation: IgnoredAny = "cache_creation",
        cache_creation_input_tokens: Count = "cache_creation_input_tokens",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        input_tokens: Count = "input_tokens",
        output_tokens: Count = "output_tokens",
        output_tokens_details: OutputDetails = "output_tokens_details",
    }
}

wire_object! {
    OutputDetails {
        thinking_tokens: Count = "thinking_tokens",
    }
}

wire_object! {
    /// The data of one server-sent event; which fields count depends on `kind`.
    Event {
        content_block: Block = "content_block",
        delta: Delta = "delta",
        error: ReplyError = "error",
        index: u64 = "index",
        kind: String = "type",
        message: Raw = "message",
        request_id: IgnoredAny = "request_id",
        usage: ReplyUsage = "usage",
    }
}

wire_object! {
    Delta {
        kind: String = "type",
        partial_json: String = "partial_json",
        signature: IgnoredAny = "signature",
        stop_details: StopDetails = "stop_details",
        stop_reason: String = "stop_reason",
        stop_sequence: String = "stop_sequence",
        text: String = "text",
        thinking: String = "thinking",
    }
}

// === output: requests ===

#[derive(Debug, Serialize)]
pub(crate) struct OutRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<OutText<'a>>,
    pub(crate) messages: Vec<OutMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<OutTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<OutChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<Cow<'a, Number>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<OutThinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_config: Option<OutConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<OutMetadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum OutText<'a> {
    Blocks(Vec<OutBlock<'a>>),
    Text(&'a str),
}

#[derive(Debug, Serialize)]
pub(crate) struct OutMessage<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Vec<OutBlock<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutBlock<'a> {
    Image {
        source: OutSource<'a>,
    },
    Text {
        text: Cow<'a, str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<OutText<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Raw,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutSource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

#[derive(Debug, Serialize)]
pub(crate) struct OutTool<'a> {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    pub(crate) input_schema: Cow<'a, Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutChoice {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disable_parallel_tool_use: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutThinking {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<OutFormat<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutFormat<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) schema: &'a Raw,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutMetadata<'a> {
    pub(crate) user_id: &'a str,
}

// === output: answers ===

/// A whole answer, or the empty one of `message_start`.
#[derive(Debug, Serialize)]
pub(crate) struct OutReply<'a> {
    pub(crate) id: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) role: &'static str,
    pub(crate) model: &'a str,
    pub(crate) content: Vec<OutBlock<'a>>,
    pub(crate) stop_reason: Option<&'static str>,
    pub(crate) stop_sequence: Option<&'a str>,
    pub(crate) usage: OutUsage,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutEvent<'a> {
    ContentBlockDelta { index: u32, delta: OutDelta<'a> },
    ContentBlockStart { index: u32, content_block: OutStart<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: OutEnd<'a>, usage: OutUsage },
    MessageStart { message: OutReply<'a> },
    MessageStop,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutDelta<'a> {
    InputJsonDelta { partial_json: &'a str },
    TextDelta { text: &'a str },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutStart<'a> {
    Text {
        text: &'static str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: OutEmpty,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct OutEmpty {}

#[derive(Debug, Serialize)]
pub(crate) struct OutEnd<'a> {
    pub(crate) stop_reason: &'static str,
    pub(crate) stop_sequence: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OutUsage {
    pub(crate) input_tokens: u64,
    pub(crate) cache_creation_input_tokens: u64,
    pub(crate) cache_read_input_tokens: u64,
    pub(crate) output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_tokens_details: Option<OutOutputDetails>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OutOutputDetails {
    pub(crate) thinking_tokens: u64,
}

impl OutEvent<'_> {
    /// The name on the `event:` line, without which the official SDKs skip the event.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStart { .. } => "message_start",
            Self::MessageStop => "message_stop",
        }
    }
}

// === conventions ===

/// The counters as the last event that had them said; a stream raises some and leaves out others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Tally {
    /// Takes over what `usage` has, leaving in it what nobody carries.
    pub(crate) fn take(&mut self, usage: &mut ReplyUsage) {
        let details = usage.output_tokens_details.as_mut();
        let thinking = details.and_then(|details| details.thinking_tokens.take());
        for (slot, field) in [
            (&mut self.cache_read, usage.cache_read_input_tokens.take()),
            (&mut self.cache_write, usage.cache_creation_input_tokens.take()),
            (&mut self.input, usage.input_tokens.take()),
            (&mut self.output, usage.output_tokens.take()),
            (&mut self.thinking, thinking),
        ] {
            if let Some(count) = field {
                *slot = Some(count.0);
            }
        }
    }

    /// The counters made disjoint: Anthropic counts the cache beside the input and thinking within the output.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let reasoning = self.thinking.unwrap_or(0);
        Some(Usage {
            cache_read: self.cache_read.unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            input: self.input?,
            output: self.output?.saturating_sub(reasoning),
            reasoning,
            ..Usage::default()
        })
    }
}

impl From<Usage> for OutUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage
                .prompt()
                .saturating_sub(usage.cache_read)
                .saturating_sub(usage.cache_write),
            cache_creation_input_tokens: usage.cache_write,
            cache_read_input_tokens: usage.cache_read,
            output_tokens: usage.answer(),
            output_tokens_details: (usage.reasoning > 0).then_some(OutOutputDetails {
                thinking_tokens: usage.reasoning,
            }),
        }
    }
}

/// The canonical stop reason of a `stop_reason`.
pub(crate) fn stop_of(stop_reason: &str) -> Stop {
    match stop_reason {
        "end_turn" => Stop::End,
        "stop_sequence" => Stop::Sequence,
        "max_tokens" => Stop::Length,
        "model_context_window_exceeded" => Stop::Context,
        "tool_use" => Stop::Tool,
        "refusal" => Stop::Refusal,
        "pause_turn" => Stop::Pause,
        _ => Stop::Other,
    }
}

/// The `stop_reason` of a canonical stop reason.
pub(crate) const fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Other => "end_turn",
        Stop::Sequence => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::Context => "model_context_window_exceeded",
        Stop::Tool => "tool_use",
        Stop::Refusal => "refusal",
        Stop::Pause => "pause_turn",
    }
}

//! The shapes of Chat Completions on the wire. Input types know the fields that we carry, the defaults that mean nothing
//! when they disappear, and nothing else: all other fields are remembered by name and reported. Output types hold what
//! the official SDKs require.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tieline_core::{Stop, Usage};

use crate::dialect::object::{Count, StrOr, wire_object};
use crate::model::{Number, Raw};

wire_object! {
    /// The request.
    Request {
        choices: u64 = "n",
        effort: String = "reasoning_effort",
        frequency_penalty: Number = "frequency_penalty",
        functions: IgnoredAny = "functions",
        logprobs: bool = "logprobs",
        max_completion_tokens: u64 = "max_completion_tokens",
        max_tokens: u64 = "max_tokens",
        messages: Vec<Message> = "messages",
        modalities: Vec<String> = "modalities",
        model: String = "model",
        parallel_tool_calls: bool = "parallel_tool_calls",
        presence_penalty: Number = "presence_penalty",
        response_format: ResponseFormat = "response_format",
        safety_identifier: String = "safety_identifier",
        seed: Number = "seed",
        service_tier: String = "service_tier",
        stop: StrOr<Vec<String>> = "stop",
        store: bool = "store",
        stream: bool = "stream",
        stream_options: StreamOptions = "stream_options",
        temperature: Number = "temperature",
        tool_choice: StrOr<ToolChoice> = "tool_choice",
        tools: Vec<Tool> = "tools",
        top_p: Number = "top_p",
        user: String = "user",
    }
}

wire_object! {
    StreamOptions {
        include_usage: bool = "include_usage",
    }
}

wire_object! {
    /// One message of a request, or the message of an answer, or the delta of a stream.
    Message {
        annotations: Vec<IgnoredAny> = "annotations",
        audio: IgnoredAny = "audio",
        content: StrOr<Vec<ContentPart>> = "content",
        function_call: IgnoredAny = "function_call",
        reasoning: String = "reasoning",
        reasoning_content: String = "reasoning_content",
        refusal: String = "refusal",
        role: String = "role",
        tool_call_id: String = "tool_call_id",
        tool_calls: Vec<ToolCall> = "tool_calls",
    }
}

wire_object! {
    /// A part of a message; which fields count depends on `kind`.
    ContentPart {
        image_url: StrOr<ImageUrl> = "image_url",
        kind: String = "type",
        refusal: String = "refusal",
        text: String = "text",
        /// Mistral's reasoning: a list of text parts.
        thinking: StrOr<Vec<ThinkingPart>> = "thinking",
    }
}

/// Reasoning is reported as a whole.
#[derive(Debug, Deserialize)]
pub(crate) struct ThinkingPart {
    pub(crate) text: Option<String>,
}

wire_object! {
    ImageUrl {
        detail: String = "detail",
        url: String = "url",
    }
}

wire_object! {
    /// A call, whole or a fragment of a stream.
    ToolCall {
        custom: CustomCall = "custom",
        function: FunctionCall = "function",
        id: String = "id",
        index: u64 = "index",
        kind: String = "type",
    }
}

wire_object! {
    FunctionCall {
        /// The text of an object; some servers send the object itself.
        arguments: Raw = "arguments",
        name: String = "name",
    }
}

wire_object! {
    CustomCall {
        input: String = "input",
        name: String = "name",
    }
}

wire_object! {
    Tool {
        function: Function = "function",
        kind: String = "type",
    }
}

wire_object! {
    Function {
        description: String = "description",
        name: String = "name",
        parameters: Raw = "parameters",
        strict: bool = "strict",
    }
}

wire_object! {
    ToolChoice {
        allowed_tools: AllowedTools = "allowed_tools",
        function: FunctionName = "function",
        kind: String = "type",
    }
}

wire_object! {
    AllowedTools {
        mode: String = "mode",
        tools: Vec<AllowedTool> = "tools",
    }
}

wire_object! {
    AllowedTool {
        function: FunctionName = "function",
        kind: String = "type",
    }
}

wire_object! {
    FunctionName {
        name: String = "name",
    }
}

wire_object! {
    ResponseFormat {
        json_schema: JsonSchema = "json_schema",
        kind: String = "type",
    }
}

wire_object! {
    JsonSchema {
        description: String = "description",
        name: String = "name",
        schema: Raw = "schema",
        strict: bool = "strict",
    }
}

wire_object! {
    /// An answer, whole or one chunk of a stream.
    Reply {
        choices: Vec<ReplyChoice> = "choices",
        created: IgnoredAny = "created",
        error: StrOr<ReplyError> = "error",
        id: String = "id",
        model: String = "model",
        object: String = "object",
        /// Random padding of OpenAI's streams; no loss to anyone.
        obfuscation: IgnoredAny = "obfuscation",
        service_tier: IgnoredAny = "service_tier",
        system_fingerprint: IgnoredAny = "system_fingerprint",
        usage: ReplyUsage = "usage",
        /// Groq repeats the usage here.
        x_groq: XGroq = "x_groq",
    }
}

wire_object! {
    ReplyChoice {
        delta: Message = "delta",
        finish_reason: String = "finish_reason",
        index: u64 = "index",
        logprobs: IgnoredAny = "logprobs",
        message: Message = "message",
    }
}

/// An error is not translated field by field.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ReplyError {
    /// A string, or a number where llama.cpp answers.
    pub(crate) code: Option<Raw>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) message: Option<String>,
}

wire_object! {
    ReplyUsage {
        completion_tokens: Count = "completion_tokens",
        completion_tokens_details: CompletionDetails = "completion_tokens_details",
        prompt_tokens: Count = "prompt_tokens",
        prompt_tokens_details: PromptDetails = "prompt_tokens_details",
        total_tokens: Count = "total_tokens",
    }
}

wire_object! {
    PromptDetails {
        cache_write_tokens: Count = "cache_write_tokens",
        cached_tokens: Count = "cached_tokens",
    }
}

wire_object! {
    CompletionDetails {
        reasoning_tokens: Count = "reasoning_tokens",
    }
}

wire_object! {
    XGroq {
        id: IgnoredAny = "id",
        usage: ReplyUsage = "usage",
    }
}

// === output: requests ===

#[derive(Debug, Serialize)]
pub(crate) struct OutRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: Vec<OutMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frequency_penalty: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) presence_penalty: Option<&'a Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<&'a Number>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<OutTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<OutChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<OutFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<OutStreamOptions>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutStreamOptions {
    pub(crate) include_usage: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutMessage<'a> {
    pub(crate) role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<&'a str>,
    pub(crate) content: OutContent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<OutCall<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum OutContent<'a> {
    Null,
    Parts(Vec<OutPart<'a>>),
    Text(std::borrow::Cow<'a, str>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutPart<'a> {
    ImageUrl { image_url: OutImageUrl<'a> },
    Text { text: std::borrow::Cow<'a, str> },
}

#[derive(Debug, Serialize)]
pub(crate) struct OutImageUrl<'a> {
    pub(crate) url: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutCall<'a> {
    pub(crate) id: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: OutFunctionCall<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutFunctionCall<'a> {
    pub(crate) name: std::borrow::Cow<'a, str>,
    pub(crate) arguments: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutTool<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: OutFunction<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutFunction<'a> {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<&'a Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum OutChoice {
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: OutFunctionName,
    },
    Word(&'static str),
}

#[derive(Debug, Serialize)]
pub(crate) struct OutFunctionName {
    pub(crate) name: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: OutSchema<'a> },
}

#[derive(Debug, Serialize)]
pub(crate) struct OutSchema<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
    pub(crate) schema: &'a Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

// === output: answers ===

#[derive(Debug, Serialize)]
pub(crate) struct OutReply<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) choices: [OutReplyChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<OutUsage>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutReplyChoice<'a> {
    pub(crate) index: u32,
    pub(crate) message: OutReplyMessage<'a>,
    pub(crate) logprobs: (),
    pub(crate) finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutReplyMessage<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Option<String>,
    pub(crate) refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<OutCall<'a>>,
}

/// One chunk. `usage` is absent, null (a later chunk has it) or there.
#[derive(Debug, Serialize)]
pub(crate) struct OutChunk<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) choices: &'a [OutChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[expect(
        clippy::option_option,
        reason = "absent, null and there are three things on the wire"
    )]
    pub(crate) usage: Option<Option<OutUsage>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutChunkChoice<'a> {
    pub(crate) index: u32,
    pub(crate) delta: OutDelta<'a>,
    pub(crate) logprobs: (),
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct OutDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<[OutCallDelta<'a>; 1]>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutCallDelta<'a> {
    pub(crate) index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    pub(crate) function: OutFunctionDelta<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutFunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) arguments: &'a str,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OutUsage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) total_tokens: u64,
    pub(crate) prompt_tokens_details: OutPromptDetails,
    pub(crate) completion_tokens_details: OutCompletionDetails,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OutPromptDetails {
    pub(crate) cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_write_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OutCompletionDetails {
    pub(crate) reasoning_tokens: u64,
}

// === conventions ===

impl ReplyUsage {
    /// The counters made disjoint. OpenAI counts cached tokens within the prompt and reasoning within the completion;
    /// xAI counts reasoning beside the completion, which shows in the total.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let prompt = self.prompt_tokens?.0;
        let completion = self.completion_tokens?.0;
        let details = self.prompt_tokens_details.as_ref();
        let cache_read = details.and_then(|d| d.cached_tokens).unwrap_or_default().0;
        let cache_write = details.and_then(|d| d.cache_write_tokens).unwrap_or_default().0;
        let reasoning = self
            .completion_tokens_details
            .as_ref()
            .and_then(|d| d.reasoning_tokens)
            .unwrap_or_default()
            .0;
        let beside = prompt.saturating_add(completion).saturating_add(reasoning);
        let is_beside = reasoning > 0 && self.total_tokens.is_some_and(|total| total.0 == beside);
        Some(Usage {
            cache_read,
            cache_write,
            input: prompt.saturating_sub(cache_read).saturating_sub(cache_write),
            output: if is_beside {
                completion
            } else {
                completion.saturating_sub(reasoning)
            },
            reasoning,
            ..Usage::default()
        })
    }
}

impl From<Usage> for OutUsage {
    fn from(usage: Usage) -> Self {
        let (prompt, completion) = (usage.prompt(), usage.answer());
        Self {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt.saturating_add(completion),
            prompt_tokens_details: OutPromptDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: (usage.cache_write > 0).then_some(usage.cache_write),
            },
            completion_tokens_details: OutCompletionDetails {
                reasoning_tokens: usage.reasoning,
            },
        }
    }
}

/// The canonical stop reason of a `finish_reason`.
pub(crate) fn stop_of(finish_reason: &str) -> Stop {
    match finish_reason {
        "stop" => Stop::End,
        "length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::Tool,
        "content_filter" => Stop::Refusal,
        _ => Stop::Other,
    }
}

/// The `finish_reason` of a canonical stop reason; only values that the specification lists.
pub(crate) const fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence | Stop::Pause | Stop::Other => "stop",
        Stop::Length | Stop::Context => "length",
        Stop::Tool => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

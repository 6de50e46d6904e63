//! The canonical model to Chat Completions: requests and whole answers.
//!
//! Instructions become one `system` message (its texts joined by a blank line: every compatible server takes a string,
//! and some chat templates take nothing else). The results of a turn become `tool` messages; what else the turn holds,
//! and the images of the results, follows in a `user` message.

use std::borrow::Cow;

use serde_json::Value;
use tieline_core::Problem;

use super::wire::{
    OutCall, OutChoice, OutContent, OutFormat, OutFunction, OutFunctionCall, OutFunctionName, OutImageUrl,
    OutMessage, OutPart, OutReply, OutReplyChoice, OutReplyMessage, OutRequest, OutSchema, OutStreamOptions,
    OutTool, finish_reason,
};
use crate::dialect::object::impossible;
use crate::dialect::{LimitField, Reply, Target};
use crate::model::answer::settle;
use crate::model::name::answer_id;
use crate::model::{
    Answer, Ask, Choice, Image, ImageSource, Losses, Names, Part, Place, Raw, Role, Shape, Text, Tool,
    ToolCall, ToolResult, Turn,
};

/// Tool names that OpenAI takes.
const NAME_CHARS_MAX: usize = 64;

/// Stop sequences that OpenAI takes.
const STOPS_MAX: usize = 4;

/// The longest `user` that OpenAI takes.
const USER_CHARS_MAX: usize = 64;

/// The name of a schema that has none; the dialect requires one.
const SCHEMA_NAME: &str = "response";

/// A block that Claude Code puts before its instructions for Anthropic's own accounting. It changes with each version
/// and would spoil the prefix cache of every other channel.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

/// Writes a request.
pub fn ask(target: &Target, ask: &Ask, names: &mut Names, losses: &mut Losses) -> Result<Vec<u8>, Problem> {
    let tools: Vec<_> = ask
        .tools
        .iter()
        .map(|tool| write_tool(tool, names, losses))
        .collect();
    let has_tools = !tools.is_empty();
    let mut messages: Vec<OutMessage<'_>> = system(&ask.system, losses).into_iter().collect();
    for turn in &ask.turns {
        write_turn(turn, &mut messages, names, losses);
    }
    if messages.iter().all(|message| message.role == "system") {
        return Err(impossible(
            Place::ROOT.key("messages"),
            "nothing is left that the dialect can carry",
        ));
    }
    if let Some(last) = ask.turns.last().filter(|turn| turn.role == Role::Assistant) {
        losses.changed(
            last.at,
            "the dialect answers anew and does not continue a prefilled answer",
        );
    }
    let out = OutRequest {
        model: &target.model,
        messages,
        max_completion_tokens: ask
            .output_tokens_max
            .filter(|_| target.limit_field == LimitField::MaxCompletionTokens),
        max_tokens: ask
            .output_tokens_max
            .filter(|_| target.limit_field == LimitField::MaxTokens),
        temperature: ask.sampling.temperature.as_ref(),
        top_p: ask.sampling.top_p.as_ref(),
        frequency_penalty: ask.sampling.frequency_penalty.as_ref(),
        presence_penalty: ask.sampling.presence_penalty.as_ref(),
        seed: ask.sampling.seed.as_ref(),
        stop: stops(ask, losses),
        tools,
        tool_choice: choice(ask, has_tools, names, losses),
        parallel_tool_calls: ask.parallel.filter(|_| has_tools),
        response_format: format(&ask.shape, losses),
        reasoning_effort: effort(target, ask, losses),
        user: user(ask, losses),
        stream: ask.stream.then_some(true),
        // Without it a stream says nothing about usage, and nobody could be billed.
        stream_options: (ask.stream && target.has_stream_options)
            .then_some(OutStreamOptions { include_usage: true }),
    };
    if ask.sampling.top_k.is_some() {
        losses.dropped(Place::ROOT.key("top_k"), "no counterpart");
    }
    Ok(serde_json::to_vec(&out).unwrap_or_default())
}

/// Writes an answer that arrived whole.
pub fn answer(reply: &Reply, answer: &Answer, losses: &mut Losses) -> Vec<u8> {
    let mut content: Option<String> = None;
    let mut refusal = answer.halt.says.clone();
    let mut tool_calls = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text(text) => {
                if !tool_calls.is_empty() {
                    losses.moved(text.at, "the dialect has text before calls");
                }
                content.get_or_insert_default().push_str(&text.text);
            }
            Part::Refusal(text) => refusal.get_or_insert_default().push_str(&text.text),
            Part::Call(call) => {
                let name = Cow::Borrowed(reply.names.near(&call.name));
                tool_calls.push(write_call(call, name));
            }
            Part::Thought(thought) => losses.dropped(thought.at, "the dialect has no place for reasoning"),
            Part::Image(image) => losses.dropped(image.at, "an answer holds text only"),
            Part::Result(result) => losses.dropped(result.at, "an answer holds no results"),
        }
    }
    if answer.halt.sequence.is_some() {
        losses.dropped(Place::ROOT.key("stop_sequence"), "no counterpart");
    }
    let stop = settle(answer.halt.stop, !tool_calls.is_empty());
    let out = OutReply {
        id: &answer_id(&answer.id, "msg_", "chatcmpl-"),
        object: "chat.completion",
        created: reply.created_unix_s,
        model: &reply.model,
        choices: [OutReplyChoice {
            index: 0,
            message: OutReplyMessage {
                role: "assistant",
                content,
                refusal,
                tool_calls,
            },
            logprobs: (),
            finish_reason: finish_reason(stop),
        }],
        usage: answer.usage.map(Into::into),
    };
    serde_json::to_vec(&out).unwrap_or_default()
}

// === requests ===

fn system<'a>(texts: &'a [Text], losses: &mut Losses) -> Option<OutMessage<'a>> {
    let mut kept = Vec::new();
    for text in texts {
        if text.text.starts_with(BILLING_HEADER) {
            losses.dropped(text.at, "meant for Anthropic alone");
        } else {
            kept.push(text.text.as_str());
        }
    }
    let content = match kept.as_slice() {
        [] => return None,
        [one] => Cow::Borrowed(*one),
        many => Cow::Owned(many.join("\n\n")),
    };
    Some(message("system", OutContent::Text(content)))
}

fn message<'a>(role: &'static str, content: OutContent<'a>) -> OutMessage<'a> {
    OutMessage {
        role,
        tool_call_id: None,
        content,
        refusal: None,
        tool_calls: Vec::new(),
    }
}

fn write_turn<'a>(turn: &'a Turn, out: &mut Vec<OutMessage<'a>>, names: &mut Names, losses: &mut Losses) {
    match turn.role {
        Role::Assistant => out.extend(assistant(turn, names, losses)),
        Role::System => out.extend(plain("system", out_parts(&turn.parts, losses))),
        Role::User => {
            let mut rest = Vec::new();
            for part in &turn.parts {
                if let Part::Result(result) = part {
                    out.push(write_result(result, &mut rest, losses));
                }
            }
            rest.extend(out_parts(&turn.parts, losses));
            out.extend(plain("user", rest));
        }
    }
}

/// A message of parts; a single text is written as a string, which every server takes.
fn plain<'a>(role: &'static str, mut parts: Vec<OutPart<'a>>) -> Option<OutMessage<'a>> {
    let last = parts.pop()?;
    let content = match last {
        OutPart::Text { text } if parts.is_empty() => OutContent::Text(text),
        last => {
            parts.push(last);
            OutContent::Parts(parts)
        }
    };
    Some(message(role, content))
}

fn assistant<'a>(turn: &'a Turn, names: &mut Names, losses: &mut Losses) -> Option<OutMessage<'a>> {
    let mut texts: Vec<&str> = Vec::new();
    let mut out = message("assistant", OutContent::Null);
    for part in &turn.parts {
        match part {
            Part::Text(text) => {
                if !out.tool_calls.is_empty() {
                    losses.moved(text.at, "the dialect has text before calls");
                }
                texts.push(&text.text);
            }
            Part::Call(call) => {
                let name = Cow::Owned(names.far(&call.name, NAME_CHARS_MAX));
                out.tool_calls.push(write_call(call, name));
            }
            Part::Refusal(text) => out.refusal = Some(&text.text),
            Part::Thought(thought) => losses.dropped(thought.at, "the dialect has no place for reasoning"),
            Part::Image(image) => losses.dropped(image.at, "the dialect has images in user messages only"),
            Part::Result(result) => losses.dropped(result.at, "a result belongs to the user's turn"),
        }
    }
    match texts.as_slice() {
        [] if out.tool_calls.is_empty() && out.refusal.is_none() => return None,
        [] => {}
        [one] => out.content = OutContent::Text(Cow::Borrowed(*one)),
        many => out.content = OutContent::Text(Cow::Owned(many.concat())),
    }
    Some(out)
}

fn write_call<'a>(call: &'a ToolCall, name: Cow<'a, str>) -> OutCall<'a> {
    let arguments = if call.arguments.trim().is_empty() {
        "{}"
    } else {
        call.arguments.as_str()
    };
    OutCall {
        id: &call.id,
        kind: "function",
        function: OutFunctionCall { name, arguments },
    }
}

/// One `tool` message; images move into `rest`, each after a line that says whose it is.
fn write_result<'a>(
    result: &'a ToolResult,
    rest: &mut Vec<OutPart<'a>>,
    losses: &mut Losses,
) -> OutMessage<'a> {
    if result.is_error {
        losses.dropped(
            result.at.key("is_error"),
            "the dialect has results without a verdict",
        );
    }
    let mut texts = Vec::new();
    for part in &result.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => texts.push(text.text.as_str()),
            Part::Image(image) => {
                losses.moved(
                    image.at,
                    "a result holds text only; the image follows in a user message",
                );
                rest.push(OutPart::Text {
                    text: Cow::Owned(format!("Image of tool result {}:", result.call)),
                });
                rest.push(write_image(image));
            }
            Part::Thought(thought) => losses.dropped(thought.at, "a result holds text only"),
            Part::Call(_) | Part::Result(_) => losses.dropped(result.at, "a result holds text only"),
        }
    }
    let content = match texts.as_slice() {
        [] => OutContent::Text(Cow::Borrowed("")),
        [one] => OutContent::Text(Cow::Borrowed(*one)),
        many => OutContent::Parts(
            many.iter()
                .map(|text| OutPart::Text {
                    text: Cow::Borrowed(*text),
                })
                .collect(),
        ),
    };
    OutMessage {
        tool_call_id: Some(&result.call),
        ..message("tool", content)
    }
}

/// The texts and images of a turn of a user or of the system.
fn out_parts<'a>(parts: &'a [Part], losses: &mut Losses) -> Vec<OutPart<'a>> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                out.push(OutPart::Text {
                    text: Cow::Borrowed(text.text.as_str()),
                });
            }
            Part::Image(image) => out.push(write_image(image)),
            Part::Thought(thought) => losses.dropped(thought.at, "the dialect has no place for reasoning"),
            Part::Call(call) => losses.dropped(call.at, "a call belongs to the assistant's turn"),
            Part::Result(_) => {}
        }
    }
    out
}

fn write_image(image: &Image) -> OutPart<'_> {
    let url = match &image.source {
        ImageSource::Url(url) => Cow::Borrowed(url.as_str()),
        ImageSource::Bytes { data, media_type } => Cow::Owned(format!("data:{media_type};base64,{data}")),
    };
    OutPart::ImageUrl {
        image_url: OutImageUrl {
            url,
            detail: image.detail.as_deref(),
        },
    }
}

fn write_tool<'a>(tool: &'a Tool, names: &mut Names, losses: &mut Losses) -> OutTool<'a> {
    let function = OutFunction {
        name: names.far(&tool.name, NAME_CHARS_MAX),
        description: tool.description.as_deref(),
        parameters: tool.parameters.as_ref(),
        strict: strict(
            tool.strict,
            tool.parameters.as_ref(),
            tool.at.key("strict"),
            losses,
        ),
    };
    OutTool {
        kind: "function",
        function,
    }
}

fn choice(ask: &Ask, has_tools: bool, names: &mut Names, losses: &mut Losses) -> Option<OutChoice> {
    let choice = ask.choice.as_ref()?;
    if !has_tools {
        losses.dropped(Place::ROOT.key("tool_choice"), "no tools are left to choose from");
        return None;
    }
    Some(match choice {
        Choice::Auto => OutChoice::Word("auto"),
        Choice::None => OutChoice::Word("none"),
        Choice::Required => OutChoice::Word("required"),
        Choice::Named(name) => OutChoice::Named {
            kind: "function",
            function: OutFunctionName {
                name: names.far(name, NAME_CHARS_MAX),
            },
        },
    })
}

fn stops<'a>(ask: &'a Ask, losses: &mut Losses) -> &'a [String] {
    for i in STOPS_MAX..ask.stops.len() {
        losses.dropped(
            Place::ROOT.key("stop_sequences").index(i),
            "the dialect takes four",
        );
    }
    ask.stops.get(..STOPS_MAX).unwrap_or(&ask.stops)
}

fn format<'a>(shape: &'a Shape, losses: &mut Losses) -> Option<OutFormat<'a>> {
    match shape {
        Shape::Free => None,
        Shape::Json => Some(OutFormat::JsonObject),
        Shape::Schema {
            description,
            name,
            schema,
            strict: wanted,
        } => {
            let at = Place::ROOT.key("output_config").key("format").key("schema");
            Some(OutFormat::JsonSchema {
                json_schema: OutSchema {
                    name: name.as_deref().unwrap_or(SCHEMA_NAME),
                    description: description.as_deref(),
                    schema,
                    strict: strict(*wanted, Some(schema), at, losses),
                },
            })
        }
    }
}

fn effort(target: &Target, ask: &Ask, losses: &mut Losses) -> Option<&'static str> {
    let effort = ask.effort?;
    if target.has_effort {
        return Some(effort.name());
    }
    losses.dropped(
        Place::ROOT.key("output_config").key("effort"),
        "the model takes no level of effort",
    );
    None
}

fn user<'a>(ask: &'a Ask, losses: &mut Losses) -> Option<&'a str> {
    let user = ask.user.as_deref()?;
    if user.len() <= USER_CHARS_MAX {
        return Some(user);
    }
    losses.dropped(
        Place::ROOT.key("metadata").key("user_id"),
        "longer than the dialect takes",
    );
    None
}

/// OpenAI's strict mode refuses a schema in which an object is open or a property is optional, which Anthropic's allows;
/// then the schema is sent as guidance, and the report says so.
fn strict(wanted: Option<bool>, schema: Option<&Raw>, at: Place, losses: &mut Losses) -> Option<bool> {
    if wanted != Some(true) {
        return wanted;
    }
    let is_closed = schema
        .and_then(|schema| schema.read::<Value>().ok())
        .is_some_and(|schema| is_closed(&schema));
    if !is_closed {
        losses.changed(
            at,
            "not enforced: the dialect enforces only closed schemas without optional properties",
        );
    }
    Some(is_closed)
}

/// Whether every object in the schema closes itself and requires all of its properties. Depth is bounded by the reader
/// of the value, which refuses more than 128 levels.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Array(list) => list.iter().all(is_closed),
        Value::Object(fields) => {
            let is_object = fields.get("type").is_some_and(|kind| {
                kind == "object"
                    || kind
                        .as_array()
                        .is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
            });
            let required = fields.get("required").and_then(Value::as_array);
            let is_named = |name: &String| required.is_some_and(|list| list.iter().any(|item| item == name));
            let properties = fields.get("properties").and_then(Value::as_object);
            let all_required = properties.is_none_or(|properties| properties.keys().all(is_named));
            let is_shut = fields.get("additionalProperties") == Some(&Value::Bool(false));
            (!is_object || (all_required && is_shut)) && fields.values().all(is_closed)
        }
        _ => true,
    }
}

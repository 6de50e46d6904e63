//! The canonical model to Anthropic Messages: requests and whole answers.
//!
//! The dialect wants turns to alternate, the first to be the user's, all results of parallel calls at the head of one
//! user message, and no text without a character that is not blank. Instructions in mid-conversation, which not every
//! model and version takes, are folded into the user's turn between `<system>` tags.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tieline_core::{Problem, Stop};

use super::wire::{
    OutBlock, OutChoice, OutConfig, OutFormat, OutMessage, OutMetadata, OutReply, OutRequest, OutSource,
    OutText, OutThinking, OutTool, OutUsage, stop_reason,
};
use crate::dialect::object::impossible;
use crate::dialect::{Reply, Target};
use crate::model::answer::settle;
use crate::model::name::{answer_id, plain_id};
use crate::model::{
    Answer, Ask, Choice, Effort, Image, ImageSource, Losses, Names, Number, Part, Place, Raw, Role, Shape,
    Text, Tool, ToolCall, ToolResult, Turn,
};

/// Tool names that Anthropic takes.
const NAME_CHARS_MAX: usize = 128;

/// The temperature at which Anthropic's scale ends; OpenAI's ends at 2.
const TEMPERATURE_MAX: f64 = 1.0;

/// The longest `user_id` that Anthropic takes.
const USER_CHARS_MAX: usize = 256;

/// What stands in for a user's turn where the conversation starts without one.
const FIRST_TURN: &str = ".";

/// The key under which arguments that are no JSON object are kept.
const RAW_ARGUMENTS: &str = "raw_arguments";

/// The schema of a tool without arguments.
const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// Writes a request.
pub fn ask(target: &Target, ask: &Ask, names: &mut Names, losses: &mut Losses) -> Result<Vec<u8>, Problem> {
    let root = Place::ROOT;
    let tools: Vec<_> = ask
        .tools
        .iter()
        .map(|tool| write_tool(tool, names, losses))
        .collect();
    let messages = messages(ask, names, losses)?;
    let tool_choice = choice(ask, !tools.is_empty(), names, losses);
    if ask.output_tokens_max.is_none() {
        losses.added(
            root.key("max_tokens"),
            "the dialect requires a limit; a default is sent",
        );
    }
    for (key, value) in [
        ("frequency_penalty", ask.sampling.frequency_penalty.as_ref()),
        ("presence_penalty", ask.sampling.presence_penalty.as_ref()),
        ("seed", ask.sampling.seed.as_ref()),
    ] {
        if value.is_some_and(|value| key == "seed" || value.value() != 0.0) {
            losses.dropped(root.key(key), "no counterpart");
        }
    }
    let (temperature, top_p, top_k) = sampling(target, ask, losses);
    let (thinking, effort) = effort(target, ask, losses);
    let format = format(&ask.shape, losses);
    let out = OutRequest {
        model: &target.model,
        max_tokens: ask.output_tokens_max.unwrap_or(target.output_tokens_default),
        system: system(&ask.system, losses),
        messages,
        tools,
        tool_choice,
        temperature,
        top_p,
        top_k,
        stop_sequences: stops(ask, losses),
        thinking,
        output_config: (effort.is_some() || format.is_some()).then_some(OutConfig { effort, format }),
        metadata: user(ask, losses),
        stream: ask.stream.then_some(true),
    };
    Ok(serde_json::to_vec(&out).unwrap_or_default())
}

/// Writes an answer that arrived whole.
pub fn answer(reply: &Reply, answer: &Answer, losses: &mut Losses) -> Vec<u8> {
    let mut content = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                content.push(OutBlock::Text {
                    text: Cow::Borrowed(text.text.as_str()),
                });
            }
            Part::Call(call) => {
                let name = Cow::Borrowed(reply.names.near(&call.name));
                content.push(write_call(call, name, losses));
            }
            Part::Thought(thought) => match &thought.signature {
                Some(signature) => content.push(OutBlock::Thinking {
                    thinking: &thought.text,
                    signature,
                }),
                None => losses.dropped(thought.at, "reasoning without a signature could not be sent back"),
            },
            Part::Image(image) => losses.dropped(image.at, "an answer holds text only"),
            Part::Result(result) => losses.dropped(result.at, "an answer holds no results"),
        }
    }
    let stop = settle(answer.halt.stop, answer.calls() > 0);
    if answer.usage.is_none() {
        losses.added(
            Place::ROOT.key("usage"),
            "the dialect requires it and the channel does not say",
        );
    }
    let out = OutReply {
        id: &answer_id(&answer.id, "chatcmpl-", "msg_"),
        kind: "message",
        role: "assistant",
        model: &reply.model,
        content,
        stop_reason: Some(stop_reason(stop)),
        stop_sequence: answer.halt.sequence.as_deref().filter(|_| stop == Stop::Sequence),
        usage: OutUsage::from(answer.usage.unwrap_or_default()),
    };
    serde_json::to_vec(&out).unwrap_or_default()
}

// === messages ===

fn messages<'a>(
    ask: &'a Ask,
    names: &mut Names,
    losses: &mut Losses,
) -> Result<Vec<OutMessage<'a>>, Problem> {
    let mut out: Vec<OutMessage<'a>> = Vec::new();
    for turn in &ask.turns {
        let (role, blocks) = write_turn(turn, names, losses);
        if blocks.is_empty() {
            continue;
        }
        match out.last_mut().filter(|last| last.role == role) {
            Some(last) => last.content.extend(blocks),
            None => out.push(OutMessage {
                role,
                content: blocks,
            }),
        }
    }
    let at = Place::ROOT.key("messages");
    if out.is_empty() {
        return Err(impossible(at, "nothing is left that the dialect can carry"));
    }
    if out.first().is_some_and(|first| first.role == "assistant") {
        losses.added(
            at.index(0),
            "the dialect starts with the user's turn; a dot is sent",
        );
        let content = vec![OutBlock::Text {
            text: Cow::Borrowed(FIRST_TURN),
        }];
        out.insert(
            0,
            OutMessage {
                role: "user",
                content,
            },
        );
    }
    for message in &mut out {
        // Stable: results keep their order, and so does the rest.
        message
            .content
            .sort_by_key(|block| !matches!(block, OutBlock::ToolResult { .. }));
    }
    if let Some(last) = out.last_mut().filter(|last| last.role == "assistant") {
        let turn_at = ask.turns.last().map_or(at, |turn| turn.at);
        losses.changed(
            turn_at,
            "the dialect continues a last answer instead of answering anew",
        );
        if let Some(OutBlock::Text { text }) = last.content.last_mut() {
            // The API refuses a prefill that ends in white space.
            *text = Cow::Owned(text.trim_end().to_owned());
        }
    }
    Ok(out)
}

fn write_turn<'a>(
    turn: &'a Turn,
    names: &mut Names,
    losses: &mut Losses,
) -> (&'static str, Vec<OutBlock<'a>>) {
    let mut out = Vec::new();
    let is_assistant = turn.role == Role::Assistant;
    for part in &turn.parts {
        match part {
            Part::Text(text) if turn.role == Role::System => {
                losses.moved(
                    turn.at,
                    "instructions in mid-conversation are folded into the user's turn",
                );
                out.push(OutBlock::Text {
                    text: Cow::Owned(format!("<system>\n{}\n</system>", text.text)),
                });
            }
            Part::Text(text) => out.extend(write_text(text, losses)),
            Part::Refusal(text) => {
                losses.changed(text.at, "carried as text");
                out.extend(write_text(text, losses));
            }
            Part::Image(image) if !is_assistant => out.push(write_image(image, losses)),
            Part::Image(image) => losses.dropped(image.at, "the dialect has images in user messages only"),
            Part::Call(call) if is_assistant => {
                let name = Cow::Owned(names.far(&call.name, NAME_CHARS_MAX));
                out.push(write_call(call, name, losses));
            }
            Part::Call(call) => losses.dropped(call.at, "a call belongs to the assistant's turn"),
            Part::Result(result) if !is_assistant => out.push(write_result(result, losses)),
            Part::Result(result) => losses.dropped(result.at, "a result belongs to the user's turn"),
            Part::Thought(thought) => match &thought.signature {
                Some(signature) if is_assistant => {
                    out.push(OutBlock::Thinking {
                        thinking: &thought.text,
                        signature,
                    });
                }
                _ => losses.dropped(thought.at, "reasoning without a signature could not be sent back"),
            },
        }
    }
    (if is_assistant { "assistant" } else { "user" }, out)
}

fn write_text<'a>(text: &'a Text, losses: &mut Losses) -> Option<OutBlock<'a>> {
    if text.text.trim().is_empty() {
        losses.dropped(text.at, "the dialect refuses blank text");
        return None;
    }
    Some(OutBlock::Text {
        text: Cow::Borrowed(text.text.as_str()),
    })
}

fn write_call<'a>(call: &'a ToolCall, name: Cow<'a, str>, losses: &mut Losses) -> OutBlock<'a> {
    OutBlock::ToolUse {
        id: plain_id(&call.id),
        name,
        input: input(call, losses),
    }
}

/// The arguments as the object that the dialect requires. Models do write broken JSON, and are cut off in the middle of
/// it: then the text is kept whole under one key, so that the conversation can go on.
fn input(call: &ToolCall, losses: &mut Losses) -> Raw {
    let text = call.arguments.trim();
    let text = if text.is_empty() { "{}" } else { text };
    if let Some(raw) = Raw::parse(text).filter(Raw::is_object) {
        return raw;
    }
    losses.changed(
        call.at,
        "arguments that are no JSON object are kept as text under raw_arguments",
    );
    Raw::of(&json!({ RAW_ARGUMENTS: call.arguments }))
}

fn write_result<'a>(result: &'a ToolResult, losses: &mut Losses) -> OutBlock<'a> {
    let mut blocks = Vec::new();
    for part in &result.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => blocks.extend(write_text(text, losses)),
            Part::Image(image) => blocks.push(write_image(image, losses)),
            Part::Thought(thought) => losses.dropped(thought.at, "a result holds texts and images only"),
            Part::Call(_) | Part::Result(_) => {
                losses.dropped(result.at, "a result holds texts and images only");
            }
        }
    }
    OutBlock::ToolResult {
        tool_use_id: plain_id(&result.call),
        content: (!blocks.is_empty()).then_some(OutText::Blocks(blocks)),
        is_error: result.is_error,
    }
}

fn write_image<'a>(image: &'a Image, losses: &mut Losses) -> OutBlock<'a> {
    if image.detail.is_some() {
        losses.dropped(image.at.key("image_url").key("detail"), "no counterpart");
    }
    let source = match &image.source {
        ImageSource::Url(url) => OutSource::Url { url },
        ImageSource::Bytes { data, media_type } => OutSource::Base64 { media_type, data },
    };
    OutBlock::Image { source }
}

// === the rest of a request ===

fn system<'a>(texts: &'a [Text], losses: &mut Losses) -> Option<OutText<'a>> {
    let blocks: Vec<_> = texts.iter().filter_map(|text| write_text(text, losses)).collect();
    match (texts, blocks.len()) {
        (_, 0) => None,
        ([only], 1) => Some(OutText::Text(&only.text)),
        _ => Some(OutText::Blocks(blocks)),
    }
}

fn write_tool<'a>(tool: &'a Tool, names: &mut Names, losses: &mut Losses) -> OutTool<'a> {
    OutTool {
        name: names.far(&tool.name, NAME_CHARS_MAX),
        description: tool.description.as_deref(),
        input_schema: schema(tool, losses),
        strict: tool.strict,
    }
}

/// As much of a schema as says whether it is one of an object.
#[derive(Deserialize)]
struct SchemaHead {
    #[serde(rename = "type")]
    kind: Option<IgnoredAny>,
}

/// The dialect requires `type: "object"`; OpenAI lets a schema leave it out, and a tool leave out the schema.
fn schema<'a>(tool: &'a Tool, losses: &mut Losses) -> Cow<'a, Raw> {
    let Some(schema) = &tool.parameters else {
        return Cow::Owned(empty_schema());
    };
    let has_type = schema.read::<SchemaHead>().is_ok_and(|head| head.kind.is_some());
    if has_type {
        return Cow::Borrowed(schema);
    }
    let rest = schema.get().trim_start_matches('{').trim_start();
    let with = if rest.starts_with('}') {
        return Cow::Owned(empty_schema());
    } else {
        format!("{{\"type\":\"object\",{rest}")
    };
    if let Some(schema) = Raw::parse(with) {
        return Cow::Owned(schema);
    }
    losses.dropped(
        tool.at.key("function").key("parameters"),
        "not a schema of an object",
    );
    Cow::Owned(empty_schema())
}

fn choice(ask: &Ask, has_tools: bool, names: &mut Names, losses: &mut Losses) -> Option<OutChoice> {
    let root = Place::ROOT;
    if !has_tools {
        if ask.choice.is_some() {
            losses.dropped(root.key("tool_choice"), "no tools are left to choose from");
        }
        if ask.parallel == Some(false) {
            losses.dropped(root.key("parallel_tool_calls"), "no tools are left to call");
        }
        return None;
    }
    let is_serial = ask.parallel == Some(false);
    let (kind, name) = match &ask.choice {
        None if !is_serial => return None,
        None | Some(Choice::Auto) => ("auto", None),
        Some(Choice::None) => {
            return Some(OutChoice {
                kind: "none",
                name: None,
                disable_parallel_tool_use: false,
            });
        }
        Some(Choice::Required) => ("any", None),
        Some(Choice::Named(name)) => ("tool", Some(names.far(name, NAME_CHARS_MAX))),
    };
    Some(OutChoice {
        kind,
        name,
        disable_parallel_tool_use: is_serial,
    })
}

type OutSampling<'a> = (Option<Cow<'a, Number>>, Option<&'a Number>, Option<u64>);

fn sampling<'a>(target: &Target, ask: &'a Ask, losses: &mut Losses) -> OutSampling<'a> {
    let root = Place::ROOT;
    let sampling = &ask.sampling;
    if !target.has_sampling {
        for (key, is_set) in [
            ("temperature", sampling.temperature.is_some()),
            ("top_p", sampling.top_p.is_some()),
            ("top_k", sampling.top_k.is_some()),
        ] {
            if is_set {
                losses.dropped(root.key(key), "the model takes no sampling parameters");
            }
        }
        return (None, None, None);
    }
    let temperature = sampling.temperature.as_ref().map(|number| {
        if number.value() <= TEMPERATURE_MAX {
            return Cow::Borrowed(number);
        }
        losses.changed(
            root.key("temperature"),
            "clamped to 1, where the dialect's scale ends",
        );
        Number::parse("1").map_or(Cow::Borrowed(number), Cow::Owned)
    });
    // Claude refuses both at once from 4.5 on; a `top_p` of 1 cuts nothing off and can be left out.
    #[expect(clippy::float_cmp, reason = "exactly one is what the documentation calls off")]
    let is_idle = |top_p: &&Number| temperature.is_some() && top_p.value() == 1.0;
    if sampling.top_p.as_ref().is_some_and(|top_p| is_idle(&top_p)) {
        losses.dropped(
            root.key("top_p"),
            "1 is off, and the dialect takes temperature or top_p",
        );
    }
    let top_p = sampling.top_p.as_ref().filter(|top_p| !is_idle(top_p));
    (temperature, top_p, sampling.top_k)
}

fn stops<'a>(ask: &'a Ask, losses: &mut Losses) -> Vec<&'a str> {
    let mut stops = Vec::new();
    for (i, stop) in ask.stops.iter().enumerate() {
        if stop.trim().is_empty() {
            losses.dropped(
                Place::ROOT.key("stop").index(i),
                "the dialect refuses blank stop sequences",
            );
        } else {
            stops.push(stop.as_str());
        }
    }
    stops
}

fn effort(target: &Target, ask: &Ask, losses: &mut Losses) -> (Option<OutThinking>, Option<&'static str>) {
    let at = Place::ROOT.key("reasoning_effort");
    match ask.effort {
        None => (None, None),
        Some(Effort::None) => (Some(OutThinking { kind: "disabled" }), None),
        Some(_) if !target.has_effort => {
            losses.dropped(at, "the model takes no level of effort");
            (None, None)
        }
        Some(Effort::Minimal) => {
            losses.changed(at, "low is the dialect's lowest level");
            (None, Some(Effort::Low.name()))
        }
        Some(effort) => (None, Some(effort.name())),
    }
}

fn format<'a>(shape: &'a Shape, losses: &mut Losses) -> Option<OutFormat<'a>> {
    let at = Place::ROOT.key("response_format");
    match shape {
        Shape::Free => None,
        Shape::Json => {
            losses.dropped(
                at,
                "the dialect has no JSON without a schema; the prompt has to ask for it",
            );
            None
        }
        Shape::Schema {
            description,
            name,
            schema,
            strict,
        } => {
            let at = at.key("json_schema");
            if name.is_some() {
                losses.dropped(at.key("name"), "no counterpart");
            }
            if description.is_some() {
                losses.dropped(at.key("description"), "no counterpart");
            }
            if *strict == Some(false) {
                losses.changed(at.key("strict"), "the dialect always enforces the schema");
            }
            Some(OutFormat {
                kind: "json_schema",
                schema,
            })
        }
    }
}

fn user<'a>(ask: &'a Ask, losses: &mut Losses) -> Option<OutMetadata<'a>> {
    let user_id = ask.user.as_deref()?;
    if user_id.len() <= USER_CHARS_MAX {
        return Some(OutMetadata { user_id });
    }
    losses.dropped(Place::ROOT.key("user"), "longer than the dialect takes");
    None
}

fn empty_schema() -> Raw {
    Raw::parse(EMPTY_SCHEMA).unwrap_or_else(|| Raw::of(&json!({ "type": "object" })))
}

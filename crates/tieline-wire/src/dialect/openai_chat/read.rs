//! Chat Completions to the canonical model: requests and whole answers.
//!
//! A field is carried by being taken out of its wire struct; what is left is reported. Defaults that change nothing
//! when they disappear (`n: 1`, `store: false`, …) are taken and forgotten.

use tieline_core::{FaultKind, Problem, Stop};

use super::wire;
use super::wire::{
    AllowedTools, ContentPart, ImageUrl, Message, Reply, ReplyError, Request, ResponseFormat, ToolChoice,
    stop_of,
};
use crate::dialect::fault_of;
use crate::dialect::object::{StrOr, impossible, missing, problem, wrong};
use crate::model::{
    Answer, Ask, Choice, Effort, Halt, Image, ImageSource, Losses, Part, Place, Raw, Role, Sampling, Shape,
    Text, Thought, Tool, ToolCall, ToolResult, Turn,
};

/// Reads a request.
pub fn ask(body: &[u8], losses: &mut Losses) -> Result<Ask, Problem> {
    let mut wire: Request = serde_json::from_slice(body).map_err(|e| problem(&e))?;
    let at = Place::ROOT;
    refuse(&wire)?;
    let mut ask = Ask {
        effort: effort(&mut wire)?,
        model: wire.model.take().ok_or_else(|| missing(at.key("model")))?,
        output_tokens_max: output_tokens_max(&mut wire, losses),
        parallel: wire.parallel_tool_calls.take(),
        sampling: Sampling {
            frequency_penalty: wire.frequency_penalty.take(),
            presence_penalty: wire.presence_penalty.take(),
            seed: wire.seed.take(),
            temperature: wire.temperature.take(),
            top_k: None,
            top_p: wire.top_p.take(),
        },
        stops: match wire.stop.take() {
            None => Vec::new(),
            Some(StrOr::Str(stop)) => vec![stop],
            Some(StrOr::Other(stops)) => stops,
        },
        stream: wire.stream.take().unwrap_or(false),
        user: wire.user.take().or_else(|| wire.safety_identifier.take()),
        ..Ask::default()
    };
    if let Some(mut options) = wire.stream_options.take() {
        ask.include_usage = options.include_usage.take().unwrap_or(false);
        options.report(at.key("stream_options"), losses);
    }
    if let Some(format) = wire.response_format.take() {
        ask.shape = shape(format, at.key("response_format"), losses)?;
    }
    for (i, tool) in wire.tools.take().unwrap_or_default().into_iter().enumerate() {
        ask.tools
            .extend(read_tool(tool, at.key("tools").index(i), losses)?);
    }
    if let Some(choice) = wire.tool_choice.take() {
        read_choice(choice, &mut ask, at.key("tool_choice"), losses)?;
    }
    let messages = wire.messages.take().ok_or_else(|| missing(at.key("messages")))?;
    for (i, message) in messages.into_iter().enumerate() {
        read_message(message, &mut ask, at.key("messages").index(i), losses)?;
    }
    forget_defaults(&mut wire);
    wire.report(at, losses);
    Ok(ask)
}

/// Reads an answer that arrived whole.
pub fn answer(body: &[u8], losses: &mut Losses) -> Result<Answer, FaultKind> {
    let mut wire: Reply = serde_json::from_slice(body).map_err(|_| FaultKind::Garbage)?;
    let at = Place::ROOT;
    if let Some(error) = wire.error.take() {
        return Err(read_error(error).0);
    }
    let mut choices = wire.choices.take().unwrap_or_default().into_iter().enumerate();
    let (_, mut choice) = choices.next().ok_or(FaultKind::Garbage)?;
    for (i, _) in choices {
        losses.dropped(at.key("choices").index(i), "only one choice is carried");
    }
    let at_choice = at.key("choices").index(0);
    let at_message = at_choice.key("message");
    let mut message = choice.message.take().ok_or(FaultKind::Garbage)?;
    let mut stop = choice
        .finish_reason
        .take()
        .map_or(Stop::Other, |reason| stop_of(&reason));
    let (mut parts, refused) = answer_parts(&mut message, at_message, losses);
    if refused && matches!(stop, Stop::End | Stop::Other) {
        stop = Stop::Refusal;
    }
    let at_calls = at_message.key("tool_calls");
    for (i, call) in message
        .tool_calls
        .take()
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let call = read_call(call, i, at_calls, losses);
        match (call.name.is_empty(), call.arguments.is_empty()) {
            (false, _) => parts.push(Part::Call(call)),
            (true, true) => losses.dropped(call.at, "a call without a name"),
            (true, false) => return Err(FaultKind::Garbage),
        }
    }
    message.role = None;
    message.annotations = message.annotations.filter(|list| !list.is_empty());
    message.report(at_message, losses);
    choice.index = None;
    choice.report(at_choice, losses);
    let usage = read_usage(&mut wire, losses);
    let answer = Answer {
        halt: Halt::plain(stop),
        id: wire.id.take().unwrap_or_default(),
        model: wire.model.take().unwrap_or_default(),
        parts,
        usage,
    };
    forget_envelope(&mut wire);
    wire.report(at, losses);
    Ok(answer)
}

/// What an error object means, and what it says.
pub(super) fn read_error(error: StrOr<ReplyError>) -> (FaultKind, String) {
    match error {
        StrOr::Str(says) => (fault_of("", "", &says), says),
        StrOr::Other(mut error) => {
            let kind = error.kind.take().unwrap_or_default();
            let code = error
                .code
                .take()
                .and_then(|code| code.read::<String>().ok())
                .unwrap_or_default();
            let says = error.message.take().unwrap_or_default();
            (fault_of(&kind, &code, &says), says)
        }
    }
}

/// The usage of an answer or chunk, wherever it stands.
pub(super) fn read_usage(wire: &mut Reply, losses: &mut Losses) -> Option<tieline_core::Usage> {
    let groq = wire.x_groq.take().and_then(|mut groq| {
        let usage = groq.usage.take();
        groq.report(Place::ROOT.key("x_groq"), losses);
        usage
    });
    let place = Place::ROOT.key("usage");
    let mut found = wire.usage.take().or(groq)?;
    let usage = found.usage()?;
    found.prompt_tokens = None;
    found.completion_tokens = None;
    found.total_tokens = None;
    if let Some(mut details) = found.prompt_tokens_details.take() {
        details.cached_tokens = None;
        details.cache_write_tokens = None;
        details.report(place.key("prompt_tokens_details"), losses);
    }
    if let Some(mut details) = found.completion_tokens_details.take() {
        details.reasoning_tokens = None;
        details.report(place.key("completion_tokens_details"), losses);
    }
    found.report(place, losses);
    Some(usage)
}

/// Drops what every answer has and no other dialect needs: the kind of object, its date, random padding.
pub(super) fn forget_envelope(wire: &mut Reply) {
    wire.object = None;
    wire.created = None;
    wire.obfuscation = None;
}

/// Reasoning, text and refusal of one message or delta, as (reasoning, text, refusal) parts in that order.
pub(super) fn answer_parts(message: &mut Message, at: Place, losses: &mut Losses) -> (Vec<Part>, bool) {
    let mut parts = Vec::new();
    for (key, text) in [
        ("reasoning_content", message.reasoning_content.take()),
        ("reasoning", message.reasoning.take()),
    ] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            parts.push(Part::Thought(Thought {
                at: at.key(key),
                signature: None,
                text,
            }));
        }
    }
    let at_content = at.key("content");
    match message.content.take() {
        Some(StrOr::Str(text)) => push_text(&mut parts, text, at_content),
        Some(StrOr::Other(list)) => {
            for (i, part) in list.into_iter().enumerate() {
                // An image in an answer has no place in either dialect's text.
                if let Ok(Some(part)) = read_part(part, at_content.index(i), losses) {
                    parts.push(part);
                }
            }
        }
        None => {}
    }
    let refusal = message.refusal.take().filter(|text| !text.is_empty());
    let refused = refusal.is_some() || parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    parts.extend(refusal.map(|text| {
        Part::Refusal(Text {
            at: at.key("refusal"),
            text,
        })
    }));
    (parts, refused)
}

// === requests ===

/// What changes the meaning of the whole request and exists in no other dialect.
fn refuse(wire: &Request) -> Result<(), Problem> {
    let at = Place::ROOT;
    if wire.choices.is_some_and(|n| n != 1) {
        return Err(impossible(
            at.key("n"),
            "the channel's dialect gives one answer per request",
        ));
    }
    if wire.functions.is_some() {
        return Err(impossible(
            at.key("functions"),
            "it is the form that `tools` replaced",
        ));
    }
    if wire
        .modalities
        .as_ref()
        .is_some_and(|list| list.iter().any(|m| m != "text"))
    {
        return Err(impossible(
            at.key("modalities"),
            "the channel's dialect answers with text only",
        ));
    }
    Ok(())
}

/// Takes the values that say what would be so without them.
fn forget_defaults(wire: &mut Request) {
    wire.choices = None;
    wire.modalities = None;
    wire.logprobs = wire.logprobs.filter(|on| *on);
    wire.store = wire.store.filter(|on| *on);
    wire.service_tier = wire.service_tier.take().filter(|tier| tier != "auto");
}

fn effort(wire: &mut Request) -> Result<Option<Effort>, Problem> {
    let Some(name) = wire.effort.take() else {
        return Ok(None);
    };
    let parsed = Effort::parse(&name);
    let expected = "one of none, minimal, low, medium, high, xhigh, max";
    parsed
        .map(Some)
        .ok_or_else(|| wrong(Place::ROOT.key("reasoning_effort"), expected))
}

/// `max_completion_tokens`, or the field that it replaced.
fn output_tokens_max(wire: &mut Request, losses: &mut Losses) -> Option<u64> {
    let old = wire.max_tokens.take();
    let new = wire.max_completion_tokens.take();
    if old.is_some() && new.is_some() && old != new {
        losses.dropped(Place::ROOT.key("max_tokens"), "max_completion_tokens replaces it");
    }
    new.or(old)
}

fn shape(mut format: ResponseFormat, at: Place, losses: &mut Losses) -> Result<Shape, Problem> {
    let kind = format.kind.take().ok_or_else(|| missing(at.key("type")))?;
    let shape = match kind.as_str() {
        "text" => Shape::Free,
        "json_object" => Shape::Json,
        "json_schema" => {
            let at_schema = at.key("json_schema");
            let mut inner = format.json_schema.take().ok_or_else(|| missing(at_schema))?;
            let shape = Shape::Schema {
                description: inner.description.take(),
                name: inner.name.take(),
                schema: inner
                    .schema
                    .take()
                    .ok_or_else(|| missing(at_schema.key("schema")))?,
                strict: inner.strict.take(),
            };
            inner.report(at_schema, losses);
            shape
        }
        _ => return Err(impossible(at.key("type"), "the form of answer is not known")),
    };
    format.report(at, losses);
    Ok(shape)
}

fn read_tool(mut tool: wire::Tool, at: Place, losses: &mut Losses) -> Result<Option<Tool>, Problem> {
    if tool.kind.take().is_some_and(|kind| kind != "function") {
        losses.dropped(at, "only function tools are carried");
        return Ok(None);
    }
    let at_function = at.key("function");
    let mut function = tool.function.take().ok_or_else(|| missing(at_function))?;
    let read = Tool {
        at,
        description: function.description.take(),
        name: function
            .name
            .take()
            .ok_or_else(|| missing(at_function.key("name")))?,
        parameters: function.parameters.take(),
        strict: function.strict.take(),
    };
    function.report(at_function, losses);
    tool.report(at, losses);
    if read.parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(wrong(at_function.key("parameters"), "an object"));
    }
    Ok(Some(read))
}

fn read_choice(
    choice: StrOr<ToolChoice>,
    ask: &mut Ask,
    at: Place,
    losses: &mut Losses,
) -> Result<(), Problem> {
    let expected = "none, auto, required or an object that names a function";
    let mut choice = match choice {
        StrOr::Str(word) => {
            ask.choice = Some(choice_word(&word).ok_or_else(|| wrong(at, expected))?);
            return Ok(());
        }
        StrOr::Other(choice) => choice,
    };
    match choice.kind.take().as_deref() {
        Some("function") | None => {
            let mut function = choice
                .function
                .take()
                .ok_or_else(|| missing(at.key("function")))?;
            let name = function
                .name
                .take()
                .ok_or_else(|| missing(at.key("function").key("name")))?;
            function.report(at.key("function"), losses);
            ask.choice = Some(Choice::Named(name));
        }
        Some("allowed_tools") => {
            let allowed = choice
                .allowed_tools
                .take()
                .ok_or_else(|| missing(at.key("allowed_tools")))?;
            allow(allowed, ask, at.key("allowed_tools"), losses)?;
        }
        Some(_) => losses.dropped(at, "only a choice of functions is carried"),
    }
    choice.report(at, losses);
    Ok(())
}

/// Leaves only the tools that the choice allows: the same restriction, said in a way that every dialect has.
fn allow(mut allowed: AllowedTools, ask: &mut Ask, at: Place, losses: &mut Losses) -> Result<(), Problem> {
    let mode = allowed.mode.take().unwrap_or_else(|| "auto".to_owned());
    ask.choice = Some(choice_word(&mode).ok_or_else(|| wrong(at.key("mode"), "auto or required"))?);
    let mut names = Vec::new();
    for (i, mut tool) in allowed.tools.take().unwrap_or_default().into_iter().enumerate() {
        let at = at.key("tools").index(i);
        if let Some(mut function) = tool.function.take() {
            names.extend(function.name.take());
            function.report(at.key("function"), losses);
        }
        tool.kind = None;
        tool.report(at, losses);
    }
    names.sort_unstable();
    ask.tools.retain(|tool| names.binary_search(&tool.name).is_ok());
    allowed.report(at, losses);
    Ok(())
}

fn choice_word(word: &str) -> Option<Choice> {
    match word {
        "auto" => Some(Choice::Auto),
        "none" => Some(Choice::None),
        "required" => Some(Choice::Required),
        _ => None,
    }
}

// === messages ===

fn read_message(mut message: Message, ask: &mut Ask, at: Place, losses: &mut Losses) -> Result<(), Problem> {
    let role = message.role.take().ok_or_else(|| missing(at.key("role")))?;
    let (role, parts) = match role.as_str() {
        "system" | "developer" => {
            let parts = read_content(&mut message, at, losses)?;
            if ask.turns.is_empty() {
                for part in parts {
                    match part {
                        Part::Text(text) => ask.system.push(text),
                        _ => losses.dropped(at.key("content"), "instructions hold text only"),
                    }
                }
                message.report(at, losses);
                return Ok(());
            }
            (Role::System, parts)
        }
        "user" => (Role::User, read_content(&mut message, at, losses)?),
        "assistant" => (Role::Assistant, read_assistant(&mut message, at, losses)),
        "tool" => {
            let result = ToolResult {
                at,
                call: message
                    .tool_call_id
                    .take()
                    .ok_or_else(|| missing(at.key("tool_call_id")))?,
                is_error: false,
                parts: read_content(&mut message, at, losses)?,
            };
            (Role::User, vec![Part::Result(result)])
        }
        "function" => return Err(impossible(at.key("role"), "it is the form that `tool` replaced")),
        _ => {
            return Err(wrong(
                at.key("role"),
                "developer, system, user, assistant or tool",
            ));
        }
    };
    message.report(at, losses);
    ask.turns.push(Turn { at, parts, role });
    Ok(())
}

fn read_assistant(message: &mut Message, at: Place, losses: &mut Losses) -> Vec<Part> {
    let (mut parts, _) = answer_parts(message, at, losses);
    for (i, call) in message
        .tool_calls
        .take()
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        parts.push(Part::Call(read_call(call, i, at.key("tool_calls"), losses)));
    }
    parts
}

fn read_content(message: &mut Message, at: Place, losses: &mut Losses) -> Result<Vec<Part>, Problem> {
    let at = at.key("content");
    let mut parts = Vec::new();
    match message.content.take() {
        Some(StrOr::Str(text)) => push_text(&mut parts, text, at),
        Some(StrOr::Other(list)) => {
            for (i, part) in list.into_iter().enumerate() {
                parts.extend(read_part(part, at.index(i), losses)?);
            }
        }
        None => {}
    }
    Ok(parts)
}

/// An empty text says nothing, and Anthropic refuses it.
fn push_text(parts: &mut Vec<Part>, text: String, at: Place) {
    if !text.is_empty() {
        parts.push(Part::Text(Text { at, text }));
    }
}

fn read_part(mut part: ContentPart, at: Place, losses: &mut Losses) -> Result<Option<Part>, Problem> {
    let read = match part.kind.take().as_deref() {
        Some("text") | None => {
            let text = part.text.take().ok_or_else(|| missing(at.key("text")))?;
            (!text.is_empty()).then_some(Part::Text(Text { at, text }))
        }
        Some("refusal") => {
            let text = part.refusal.take().ok_or_else(|| missing(at.key("refusal")))?;
            (!text.is_empty()).then_some(Part::Refusal(Text { at, text }))
        }
        Some("image_url") => {
            let url = part
                .image_url
                .take()
                .ok_or_else(|| missing(at.key("image_url")))?;
            read_image(url, at, losses)?
        }
        Some("thinking") => {
            let text = match part.thinking.take() {
                Some(StrOr::Str(text)) => text,
                Some(StrOr::Other(list)) => list.into_iter().filter_map(|t| t.text).collect(),
                None => String::new(),
            };
            Some(Part::Thought(Thought {
                at,
                signature: None,
                text,
            }))
        }
        Some(_) => {
            losses.dropped(at, "only texts and images are carried");
            return Ok(None);
        }
    };
    part.report(at, losses);
    Ok(read)
}

fn read_image(url: StrOr<ImageUrl>, at: Place, losses: &mut Losses) -> Result<Option<Part>, Problem> {
    let at_url = at.key("image_url");
    let (url, detail) = match url {
        StrOr::Str(url) => (url, None),
        StrOr::Other(mut image) => {
            let url = image.url.take().ok_or_else(|| missing(at_url.key("url")))?;
            let detail = image.detail.take().filter(|detail| detail != "auto");
            image.report(at_url, losses);
            (url, detail)
        }
    };
    let source = match url.strip_prefix("data:") {
        None => ImageSource::Url(url),
        Some(rest) => match rest.split_once(";base64,") {
            Some((media_type, data)) => ImageSource::Bytes {
                data: data.to_owned(),
                media_type: media_type.to_owned(),
            },
            None => return Err(wrong(at_url.key("url"), "an http(s) URL or a base64 data URL")),
        },
    };
    Ok(Some(Part::Image(Image { at, detail, source })))
}

fn read_call(mut call: wire::ToolCall, i: usize, at: Place, losses: &mut Losses) -> ToolCall {
    let at = at.index(i);
    let id = call.id.take().unwrap_or_default();
    let mut read = ToolCall {
        arguments: String::new(),
        at,
        id,
        name: String::new(),
    };
    if let Some(mut function) = call.function.take() {
        read.name = function.name.take().unwrap_or_default();
        read.arguments = arguments(function.arguments.take());
        function.report(at.key("function"), losses);
    } else if let Some(mut custom) = call.custom.take() {
        read.name = custom.name.take().unwrap_or_default();
        read.arguments = serde_json::json!({ "input": custom.input.take().unwrap_or_default() }).to_string();
        custom.report(at.key("custom"), losses);
        losses.changed(at.key("custom"), "carried as a function with one text argument");
    }
    if read.id.is_empty() {
        read.id = format!("call_{i}");
    }
    call.kind = None;
    call.index = None;
    call.report(at, losses);
    read
}

/// The arguments as text, also from a server that sends the object itself where the dialect has its text.
pub(super) fn arguments(arguments: Option<Raw>) -> String {
    let Some(raw) = arguments else {
        return String::new();
    };
    raw.read::<String>().unwrap_or_else(|_| raw.get().to_owned())
}

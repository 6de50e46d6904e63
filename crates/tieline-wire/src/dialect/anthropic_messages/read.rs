//! Anthropic Messages to the canonical model: requests and whole answers.
//!
//! A field is carried by being taken out of its wire struct; what is left is reported. Blocks that only Anthropic has
//! (documents, server tools, search results) are reported as lost, each by its place.

use tieline_core::{FaultKind, Problem, Stop};

use super::wire;
use super::wire::{
    Block, Message, OutputConfig, Reply, ReplyError, ReplyUsage, Request, Source, StopDetails, Tally,
    Thinking, ToolChoice, stop_of,
};
use crate::dialect::fault_of;
use crate::dialect::object;
use crate::dialect::object::{StrOr, missing, wrong};
use crate::model::{
    Answer, Ask, Choice, Effort, Halt, Image, ImageSource, Losses, Part, Place, Raw, Role, Sampling, Shape,
    Text, Thought, Tool, ToolCall, ToolResult, Turn,
};

/// Thinking budgets up to here are a low effort, up to the next a medium one; beyond it, high (the ranges that clients
/// use for the levels on models that only know budgets).
const BUDGET_LOW_TOKENS: u64 = 4096;
const BUDGET_MEDIUM_TOKENS: u64 = 16_384;

/// Reads a request.
pub fn ask(body: &[u8], losses: &mut Losses) -> Result<Ask, Problem> {
    let mut wire: Request = serde_json::from_slice(body).map_err(|e| object::problem(&e))?;
    let at = Place::ROOT;
    let mut ask = Ask {
        // An Anthropic stream always says its usage.
        include_usage: true,
        model: wire.model.take().ok_or_else(|| missing(at.key("model")))?,
        output_tokens_max: Some(
            wire.max_tokens
                .take()
                .ok_or_else(|| missing(at.key("max_tokens")))?,
        ),
        sampling: Sampling {
            temperature: wire.temperature.take(),
            top_k: wire.top_k.take(),
            top_p: wire.top_p.take(),
            ..Sampling::default()
        },
        stops: wire.stop_sequences.take().unwrap_or_default(),
        stream: wire.stream.take().unwrap_or(false),
        ..Ask::default()
    };
    if let Some(mut metadata) = wire.metadata.take() {
        ask.user = metadata.user_id.take();
        metadata.report(at.key("metadata"), losses);
    }
    read_config(wire.output_config.take(), &mut ask, losses)?;
    if let Some(thinking) = wire.thinking.take() {
        read_thinking(thinking, &mut ask, at.key("thinking"), losses);
    }
    read_system(wire.system.take(), &mut ask, losses)?;
    for (i, tool) in wire.tools.take().unwrap_or_default().into_iter().enumerate() {
        ask.tools
            .extend(read_tool(tool, at.key("tools").index(i), losses)?);
    }
    if let Some(choice) = wire.tool_choice.take() {
        read_choice(choice, &mut ask, at.key("tool_choice"), losses)?;
    }
    let messages = wire.messages.take().ok_or_else(|| missing(at.key("messages")))?;
    for (i, message) in messages.into_iter().enumerate() {
        ask.turns
            .push(read_message(message, at.key("messages").index(i), losses)?);
    }
    wire.service_tier = wire.service_tier.take().filter(|tier| tier != "auto");
    wire.report(at, losses);
    Ok(ask)
}

/// Reads an answer that arrived whole.
pub fn answer(body: &[u8], losses: &mut Losses) -> Result<Answer, FaultKind> {
    let mut wire: Reply = serde_json::from_slice(body).map_err(|_| FaultKind::Garbage)?;
    if let Some(error) = wire.error.take() {
        return Err(read_error(error).0);
    }
    let blocks = wire.content.take().ok_or(FaultKind::Garbage)?;
    let at = Place::ROOT.key("content");
    let mut parts = Vec::new();
    for (i, block) in blocks.into_iter().enumerate() {
        parts.extend(read_block(block, at.index(i), losses).map_err(|_| FaultKind::Garbage)?);
    }
    let mut tally = Tally::default();
    if let Some(usage) = wire.usage.take() {
        read_usage(usage, &mut tally, losses);
    }
    let halt = read_halt(
        wire.stop_reason.take().as_deref(),
        wire.stop_sequence.take(),
        wire.stop_details.take(),
        losses,
    );
    let answer = Answer {
        halt,
        id: wire.id.take().unwrap_or_default(),
        model: wire.model.take().unwrap_or_default(),
        parts,
        usage: tally.usage(),
    };
    wire.kind = None;
    wire.role = None;
    wire.report(Place::ROOT, losses);
    Ok(answer)
}

/// What an error object means, and what it says.
pub(super) fn read_error(mut error: ReplyError) -> (FaultKind, String) {
    let kind = error.kind.take().unwrap_or_default();
    let says = error.message.take().unwrap_or_default();
    (fault_of(&kind, "", &says), says)
}

/// Adds what an event or answer says about usage.
pub(super) fn read_usage(mut usage: ReplyUsage, tally: &mut Tally, losses: &mut Losses) {
    let at = Place::ROOT.key("usage");
    tally.take(&mut usage);
    if let Some(details) = usage.output_tokens_details.take() {
        details.report(at.key("output_tokens_details"), losses);
    }
    usage.report(at, losses);
}

/// How an answer stopped. Without a reason the answer is whole (its body was), but nobody says why it ended.
pub(super) fn read_halt(
    reason: Option<&str>,
    sequence: Option<String>,
    details: Option<StopDetails>,
    losses: &mut Losses,
) -> Halt {
    let mut says = None;
    if let Some(mut details) = details {
        says = details.explanation.take();
        details.kind = None;
        details.report(Place::ROOT.key("stop_details"), losses);
    }
    Halt {
        says,
        sequence,
        stop: reason.map_or(Stop::Other, stop_of),
    }
}

// === requests ===

fn read_config(config: Option<OutputConfig>, ask: &mut Ask, losses: &mut Losses) -> Result<(), Problem> {
    let Some(mut config) = config else { return Ok(()) };
    let at = Place::ROOT.key("output_config");
    if let Some(name) = config.effort.take() {
        let effort = Effort::parse(&name).filter(|effort| *effort >= Effort::Low);
        ask.effort =
            Some(effort.ok_or_else(|| wrong(at.key("effort"), "one of low, medium, high, xhigh, max"))?);
    }
    if let Some(mut format) = config.format.take() {
        let at = at.key("format");
        if format.kind.take().is_some_and(|kind| kind == "json_schema") {
            let schema = format.schema.take().ok_or_else(|| missing(at.key("schema")))?;
            ask.shape = Shape::Schema {
                description: None,
                name: None,
                schema,
                strict: Some(true),
            };
        } else {
            return Err(wrong(at.key("type"), "json_schema"));
        }
        format.report(at, losses);
    }
    config.report(at, losses);
    Ok(())
}

/// Thinking is on or off, adaptive or within a budget; the other dialects only have a level of effort.
fn read_thinking(mut thinking: Thinking, ask: &mut Ask, at: Place, losses: &mut Losses) {
    let budget = thinking.budget_tokens.take();
    match thinking.kind.take().as_deref() {
        Some("disabled") => {
            if ask.effort.replace(Effort::None).is_some() {
                losses.dropped(
                    Place::ROOT.key("output_config").key("effort"),
                    "thinking is disabled",
                );
            }
        }
        Some("enabled") => {
            losses.changed(at.key("budget_tokens"), "carried as a level of effort");
            ask.effort = ask.effort.or(Some(match budget.unwrap_or(0) {
                0..=BUDGET_LOW_TOKENS => Effort::Low,
                tokens if tokens <= BUDGET_MEDIUM_TOKENS => Effort::Medium,
                _ => Effort::High,
            }));
        }
        // With a level of effort, adaptive is what the level means.
        Some("adaptive") if ask.effort.is_some() => {}
        _ => losses.dropped(at, "no counterpart"),
    }
    thinking.report(at, losses);
}

fn read_system(system: Option<StrOr<Vec<Block>>>, ask: &mut Ask, losses: &mut Losses) -> Result<(), Problem> {
    let at = Place::ROOT.key("system");
    match system {
        None => {}
        Some(StrOr::Str(text)) if text.is_empty() => {}
        Some(StrOr::Str(text)) => ask.system.push(Text { at, text }),
        Some(StrOr::Other(blocks)) => {
            for (i, block) in blocks.into_iter().enumerate() {
                match read_block(block, at.index(i), losses)? {
                    Some(Part::Text(text)) => ask.system.push(text),
                    Some(_) => return Err(wrong(at.index(i), "a text block")),
                    None => {}
                }
            }
        }
    }
    Ok(())
}

fn read_tool(mut tool: wire::Tool, at: Place, losses: &mut Losses) -> Result<Option<Tool>, Problem> {
    if tool.kind.take().is_some_and(|kind| kind != "custom") {
        losses.dropped(at, "a tool that only Anthropic runs");
        return Ok(None);
    }
    let read = Tool {
        at,
        description: tool.description.take(),
        name: tool.name.take().ok_or_else(|| missing(at.key("name")))?,
        parameters: Some(
            tool.input_schema
                .take()
                .ok_or_else(|| missing(at.key("input_schema")))?,
        ),
        strict: tool.strict.take(),
    };
    tool.report(at, losses);
    if read.parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(wrong(at.key("input_schema"), "an object"));
    }
    Ok(Some(read))
}

fn read_choice(mut choice: ToolChoice, ask: &mut Ask, at: Place, losses: &mut Losses) -> Result<(), Problem> {
    ask.choice = Some(match choice.kind.take().as_deref() {
        Some("auto") => Choice::Auto,
        Some("any") => Choice::Required,
        Some("none") => Choice::None,
        Some("tool") => Choice::Named(choice.name.take().ok_or_else(|| missing(at.key("name")))?),
        _ => return Err(wrong(at.key("type"), "auto, any, tool or none")),
    });
    ask.parallel = choice.disable_parallel_tool_use.take().map(|disabled| !disabled);
    choice.report(at, losses);
    Ok(())
}

// === messages ===

fn read_message(mut message: Message, at: Place, losses: &mut Losses) -> Result<Turn, Problem> {
    let role = match message
        .role
        .take()
        .ok_or_else(|| missing(at.key("role")))?
        .as_str()
    {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(wrong(at.key("role"), "user, assistant or system")),
    };
    let at_content = at.key("content");
    let content = message.content.take().ok_or_else(|| missing(at_content))?;
    message.report(at, losses);
    Ok(Turn {
        at,
        parts: read_content(content, at_content, losses)?,
        role,
    })
}

fn read_content(content: StrOr<Vec<Block>>, at: Place, losses: &mut Losses) -> Result<Vec<Part>, Problem> {
    match content {
        StrOr::Str(text) if text.is_empty() => Ok(Vec::new()),
        StrOr::Str(text) => Ok(vec![Part::Text(Text { at, text })]),
        StrOr::Other(blocks) => {
            let mut parts = Vec::new();
            for (i, block) in blocks.into_iter().enumerate() {
                parts.extend(read_block(block, at.index(i), losses)?);
            }
            Ok(parts)
        }
    }
}

fn read_block(mut block: Block, at: Place, losses: &mut Losses) -> Result<Option<Part>, Problem> {
    let kind = block.kind.take().ok_or_else(|| missing(at.key("type")))?;
    let part = match kind.as_str() {
        "text" => {
            let text = block.text.take().ok_or_else(|| missing(at.key("text")))?;
            block.citations = block
                .citations
                .filter(|list| !matches!(list.get(), "[]" | "null"));
            (!text.is_empty()).then_some(Part::Text(Text { at, text }))
        }
        "image" => read_image(&mut block, at, losses)?,
        "thinking" => Some(Part::Thought(Thought {
            at,
            signature: block.signature.take(),
            text: block.thinking.take().unwrap_or_default(),
        })),
        "tool_use" => Some(Part::Call(ToolCall {
            arguments: block
                .input
                .take()
                .map(|input| input.get().to_owned())
                .unwrap_or_default(),
            at,
            id: block.id.take().ok_or_else(|| missing(at.key("id")))?,
            name: block.name.take().ok_or_else(|| missing(at.key("name")))?,
        })),
        "tool_result" => Some(Part::Result(ToolResult {
            at,
            call: block
                .tool_use_id
                .take()
                .ok_or_else(|| missing(at.key("tool_use_id")))?,
            is_error: block.is_error.take().unwrap_or(false),
            parts: read_result(block.content.take(), at.key("content"), losses)?,
        })),
        _ => {
            losses.dropped(at, "a kind of block that only Anthropic has");
            return Ok(None);
        }
    };
    block.report(at, losses);
    Ok(part)
}

fn read_image(block: &mut Block, at: Place, losses: &mut Losses) -> Result<Option<Part>, Problem> {
    let at_source = at.key("source");
    let raw = block.source.take().ok_or_else(|| missing(at_source))?;
    let mut source: Source = raw.read().map_err(|_| wrong(at_source, "an object"))?;
    let read = match source.kind.take().as_deref() {
        Some("base64") => ImageSource::Bytes {
            data: source.data.take().ok_or_else(|| missing(at_source.key("data")))?,
            media_type: source
                .media_type
                .take()
                .ok_or_else(|| missing(at_source.key("media_type")))?,
        },
        Some("url") => ImageSource::Url(source.url.take().ok_or_else(|| missing(at_source.key("url")))?),
        _ => {
            losses.dropped(at, "an image that only Anthropic can fetch");
            return Ok(None);
        }
    };
    source.report(at_source, losses);
    Ok(Some(Part::Image(Image {
        at,
        detail: None,
        source: read,
    })))
}

/// Texts and images of a result. What else a result may hold is reported by its place.
fn read_result(content: Option<Raw>, at: Place, losses: &mut Losses) -> Result<Vec<Part>, Problem> {
    let Some(raw) = content else { return Ok(Vec::new()) };
    let content: StrOr<Vec<Block>> = raw
        .read()
        .map_err(|_| wrong(at, "a string or a list of blocks"))?;
    let parts = read_flat(content, at, losses)?;
    Ok(parts)
}

/// The blocks of a result, which hold no results themselves, so that nesting ends here.
fn read_flat(content: StrOr<Vec<Block>>, at: Place, losses: &mut Losses) -> Result<Vec<Part>, Problem> {
    let blocks = match content {
        StrOr::Str(text) if text.is_empty() => return Ok(Vec::new()),
        StrOr::Str(text) => return Ok(vec![Part::Text(Text { at, text })]),
        StrOr::Other(blocks) => blocks,
    };
    let mut parts = Vec::new();
    for (i, block) in blocks.into_iter().enumerate() {
        match block.kind.as_deref() {
            Some("text" | "image") => parts.extend(read_block(block, at.index(i), losses)?),
            _ => losses.dropped(at.index(i), "a result holds texts and images only"),
        }
    }
    Ok(parts)
}

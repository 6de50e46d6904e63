//! What the tap reads in Anthropic Messages: the events of a stream, told apart by their `type` and not by the `event`
//! line (the two agree, and the line is missing in some recordings), and whole messages.

use std::ops::Range;

use tieline_core::Stop;

use super::tap::{Facts, RawUsage};
use crate::json::{Bad, Cursor, Text};

/// What stands in an event, whatever the order of its keys.
#[derive(Default)]
struct Seen<'a> {
    block: Option<Text<'a>>,
    block_text: bool,
    content: Facts,
    delta_text: Option<Range<usize>>,
    error: bool,
    has_content: bool,
    kind: Option<Text<'a>>,
    stop: Option<Text<'a>>,
    usage: Option<RawUsage>,
}

pub(super) fn read(data: &[u8]) -> Result<Facts, Bad> {
    let mut cursor = Cursor::new(data);
    let mut seen = Seen::default();
    cursor.object(|cursor, key| field(cursor, key, &mut seen))?;
    cursor.end()?;
    Ok(facts(seen))
}

fn field<'a>(cursor: &mut Cursor<'a>, key: Text<'a>, seen: &mut Seen<'a>) -> Result<(), Bad> {
    match key.raw {
        b"content" => {
            seen.has_content = cursor.peek() == Some(b'[');
            cursor.array_or_skip(|cursor| whole_block(cursor, &mut seen.content))
        }
        b"content_block" => cursor.object_or_skip(|cursor, key| {
            match key.raw {
                b"type" => seen.block = cursor.text_or_skip()?,
                b"text" => seen.block_text = cursor.text_or_skip()?.is_some_and(|t| !t.is_empty()),
                _ => cursor.skip()?,
            }
            Ok(())
        }),
        b"delta" => cursor.object_or_skip(|cursor, key| {
            match key.raw {
                b"content" | b"partial_json" | b"text" | b"thinking" => {
                    if let Some(text) = cursor.text_or_skip()?.filter(|t| !t.is_empty()) {
                        seen.delta_text = Some(cursor.span_of(text));
                    }
                }
                b"stop_reason" => seen.stop = cursor.text_or_skip()?,
                _ => cursor.skip()?,
            }
            Ok(())
        }),
        b"error" => {
            seen.error = cursor.peek() == Some(b'{');
            cursor.skip()
        }
        b"message" => cursor.object_or_skip(|cursor, key| {
            if key.raw == b"usage" {
                seen.usage = usage(cursor)?;
                Ok(())
            } else {
                cursor.skip()
            }
        }),
        b"stop_reason" => {
            seen.stop = cursor.text_or_skip()?;
            Ok(())
        }
        b"type" => {
            seen.kind = cursor.text_or_skip()?;
            Ok(())
        }
        b"usage" => {
            seen.usage = usage(cursor)?;
            Ok(())
        }
        _ => cursor.skip(),
    }
}

fn facts(seen: Seen<'_>) -> Facts {
    let mut facts = Facts::default();
    let Some(kind) = seen.kind else {
        facts.error = seen.error;
        return facts;
    };
    facts.answer = true;
    match kind.raw {
        b"message_start" => facts.usage = seen.usage,
        b"content_block_start" => {
            if let Some(block) = seen.block {
                begin(block, &mut facts);
            }
            facts.content = u32::from(seen.block_text);
        }
        b"content_block_delta" => {
            facts.content = u32::from(seen.delta_text.is_some());
            facts.content_at = seen.delta_text;
        }
        b"message_delta" => {
            facts.usage = seen.usage;
            facts.stop = seen.stop.map(stop_of);
        }
        b"message_stop" => facts.done = true,
        b"message" => {
            facts = seen.content;
            facts.answer = seen.has_content;
            facts.usage = seen.usage;
            facts.stop = seen.stop.map(stop_of);
        }
        b"error" => {
            facts.answer = false;
            facts.error = true;
        }
        b"ping" | b"content_block_stop" => {}
        // Unknown types are allowed for by the API's versioning policy; they prove nothing about the stream.
        _ => facts.answer = false,
    }
    facts
}

/// A block of a whole message.
fn whole_block(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Result<(), Bad> {
    cursor.object_or_skip(|cursor, key| {
        if key.raw == b"type" {
            if let Some(block) = cursor.text_or_skip()? {
                begin(block, facts);
                facts.content += 1;
            }
            Ok(())
        } else {
            cursor.skip()
        }
    })
}

fn begin(block: Text<'_>, facts: &mut Facts) {
    match block.raw {
        b"thinking" | b"redacted_thinking" => facts.thought_begins = true,
        b"tool_use" | b"server_tool_use" | b"mcp_tool_use" => facts.tools_begun += 1,
        _ => {}
    }
}

fn usage(cursor: &mut Cursor<'_>) -> Result<Option<RawUsage>, Bad> {
    if cursor.peek() != Some(b'{') {
        return cursor.skip().map(|()| None);
    }
    let mut usage = RawUsage::default();
    cursor.object(|cursor, key| {
        match key.raw {
            b"cache_creation_input_tokens" => usage.cache_write = cursor.count_or_skip()?,
            b"cache_read_input_tokens" => usage.cache_read = cursor.count_or_skip()?,
            b"input_tokens" => usage.input = cursor.count_or_skip()?,
            b"output_tokens" => usage.output = cursor.count_or_skip()?,
            b"output_tokens_details" => cursor.object_or_skip(|cursor, key| {
                if key.raw == b"thinking_tokens" {
                    usage.reasoning = cursor.count_or_skip()?;
                    Ok(())
                } else {
                    cursor.skip()
                }
            })?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    Ok((usage.input.is_some() || usage.output.is_some()).then_some(usage))
}

fn stop_of(reason: Text<'_>) -> Stop {
    match reason.raw {
        b"end_turn" => Stop::End,
        b"stop_sequence" => Stop::Sequence,
        b"max_tokens" => Stop::Length,
        b"model_context_window_exceeded" => Stop::Context,
        b"tool_use" => Stop::Tool,
        b"refusal" => Stop::Refusal,
        b"pause_turn" => Stop::Pause,
        _ => Stop::Other,
    }
}

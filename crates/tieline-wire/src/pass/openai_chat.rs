//! What the tap reads in OpenAI Chat Completions: chunks of a stream (`delta`) and whole answers (`message`), as OpenAI,
//! Azure, Groq, DeepSeek, Mistral, xAI, llama.cpp and vLLM send them.

use tieline_core::Stop;

use super::tap::{Facts, RawUsage};
use crate::json::{Bad, Cursor, Text};

pub(super) fn read(data: &[u8]) -> Result<Facts, Bad> {
    let mut cursor = Cursor::new(data);
    let mut facts = Facts::default();
    let mut choices = 0_u32;
    // Groq repeats `usage` inside `x_groq`; the outer one is the documented one and wins.
    let mut inner_usage = None;
    cursor.object(|cursor, key| {
        match key.raw {
            b"choices" if cursor.peek() == Some(b'[') => {
                facts.answer = true;
                return cursor.array(|cursor| {
                    choices += 1;
                    choice(cursor, &mut facts)
                });
            }
            b"error" => facts.error |= truthy(cursor)?,
            b"obfuscation" => {
                let text = cursor.text_or_skip()?;
                facts.padding = text.map(|t| cursor.span_of(t));
            }
            b"usage" => facts.usage = usage(cursor)?,
            b"x_groq" => cursor.object_or_skip(|cursor, key| {
                if key.raw == b"usage" {
                    inner_usage = usage(cursor)?;
                    Ok(())
                } else {
                    cursor.skip()
                }
            })?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    facts.usage = facts.usage.or(inner_usage);
    facts.usage_only = choices == 0 && facts.answer && facts.usage.is_some();
    Ok(facts)
}

fn choice(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Result<(), Bad> {
    let mut index = 0;
    let mut stop = None;
    let mut tools = 0;
    cursor.object_or_skip(|cursor, key| {
        match key.raw {
            b"delta" | b"message" => {
                cursor.object_or_skip(|cursor, key| delta(cursor, key, facts, &mut tools))?;
            }
            b"finish_reason" => stop = cursor.text_or_skip()?,
            b"index" => index = cursor.count_or_skip()?.unwrap_or(0),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    // Calls of different choices are told apart by turning their bits.
    facts.tools_met |= tools.rotate_left(u32::try_from(index % 8).unwrap_or(0) * 8);
    let bit = 1 << (index % 64);
    facts.choices_met |= bit;
    if stop.is_some_and(|reason| !reason.is_empty()) {
        facts.choices_over |= bit;
    }
    match stop {
        // OpenRouter and Mistral end a choice so when the model behind them failed.
        Some(reason) if reason.is("error") => facts.error = true,
        Some(reason) if index == 0 && !reason.is_empty() => facts.stop = Some(stop_of(reason)),
        _ => {}
    }
    Ok(())
}

fn delta(cursor: &mut Cursor<'_>, key: Text<'_>, facts: &mut Facts, tools: &mut u64) -> Result<(), Bad> {
    match key.raw {
        b"content" if cursor.peek() == Some(b'[') => cursor.array(|cursor| part(cursor, facts)),
        b"content" | b"refusal" => {
            if flows(cursor, facts)? {
                facts.thought_ends = true;
            }
            Ok(())
        }
        b"reasoning_content" | b"reasoning" => {
            if flows(cursor, facts)? {
                facts.thought_flows = true;
            }
            Ok(())
        }
        b"tool_calls" => {
            let mut position = 0;
            cursor.array_or_skip(|cursor| {
                call(cursor, facts, tools, position)?;
                position += 1;
                Ok(())
            })
        }
        // The form before tools: one call, without an index.
        b"function_call" if cursor.peek() == Some(b'{') => {
            *tools |= 1 << 63;
            facts.thought_ends = true;
            function(cursor, facts)
        }
        b"audio" if cursor.peek() == Some(b'{') => {
            facts.content += 1;
            cursor.skip()
        }
        _ => cursor.skip(),
    }
}

/// Mistral's content parts.
fn part(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Result<(), Bad> {
    let mut thinking = false;
    cursor.object_or_skip(|cursor, key| {
        if key.raw == b"type" {
            thinking = cursor.text_or_skip()?.is_some_and(|t| t.is("thinking"));
            Ok(())
        } else {
            cursor.skip()
        }
    })?;
    facts.content += 1;
    facts.thought_flows |= thinking;
    facts.thought_ends |= !thinking;
    Ok(())
}

/// A call or a fragment of one. A whole answer's calls have no index; there the position tells them apart.
fn call(cursor: &mut Cursor<'_>, facts: &mut Facts, tools: &mut u64, position: u64) -> Result<(), Bad> {
    let mut index = position;
    cursor.object_or_skip(|cursor, key| {
        if key.raw == b"index" {
            index = cursor.count_or_skip()?.unwrap_or(position);
            Ok(())
        } else if matches!(key.raw, b"function" | b"custom") {
            function(cursor, facts)
        } else {
            cursor.skip()
        }
    })?;
    *tools |= 1 << (index % 63);
    facts.thought_ends = true;
    Ok(())
}

fn function(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Result<(), Bad> {
    cursor.object_or_skip(|cursor, key| {
        if matches!(key.raw, b"arguments" | b"input") {
            flows(cursor, facts).map(|_| ())
        } else {
            cursor.skip()
        }
    })
}

/// Reads a text that counts as a content event unless it is empty.
fn flows(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Result<bool, Bad> {
    match cursor.text_or_skip()? {
        Some(text) if !text.is_empty() => {
            facts.content += 1;
            facts.content_at = Some(cursor.span_of(text));
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn usage(cursor: &mut Cursor<'_>) -> Result<Option<RawUsage>, Bad> {
    if cursor.peek() != Some(b'{') {
        return cursor.skip().map(|()| None);
    }
    let mut usage = RawUsage::default();
    let mut cache_hit = None;
    cursor.object(|cursor, key| {
        match key.raw {
            b"completion_tokens" => usage.output = cursor.count_or_skip()?,
            b"prompt_tokens" => usage.input = cursor.count_or_skip()?,
            b"total_tokens" => usage.total = cursor.count_or_skip()?,
            // DeepSeek's and Moonshot's names for what is now in the details.
            b"prompt_cache_hit_tokens" | b"cached_tokens" => cache_hit = cursor.count_or_skip()?,
            b"prompt_tokens_details" => cursor.object_or_skip(|cursor, key| {
                match key.raw {
                    b"audio_tokens" => usage.audio = cursor.count_or_skip()?,
                    b"image_tokens" => usage.image = cursor.count_or_skip()?,
                    b"cached_tokens" => usage.cache_read = cursor.count_or_skip()?,
                    b"cache_write_tokens" => usage.cache_write = cursor.count_or_skip()?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            b"completion_tokens_details" => cursor.object_or_skip(|cursor, key| {
                match key.raw {
                    b"audio_tokens" => usage.audio_output = cursor.count_or_skip()?,
                    b"reasoning_tokens" => usage.reasoning = cursor.count_or_skip()?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    usage.cache_read = usage.cache_read.or(cache_hit);
    // An object without a single counter says nothing.
    Ok((usage.input.is_some() || usage.output.is_some()).then_some(usage))
}

/// Whether a value counts as an error in the SDKs: anything but `null`, `false`, zero and the empty string.
fn truthy(cursor: &mut Cursor<'_>) -> Result<bool, Bad> {
    Ok(match cursor.peek() {
        Some(b'{' | b'[' | b't') => cursor.skip().map(|()| true)?,
        Some(b'"') => !cursor.text()?.is_empty(),
        Some(b'-' | b'0'..=b'9') => cursor.count_or_skip()? != Some(0),
        _ => cursor.skip().map(|()| false)?,
    })
}

fn stop_of(reason: Text<'_>) -> Stop {
    match reason.raw {
        b"stop" => Stop::End,
        b"length" => Stop::Length,
        b"model_length" => Stop::Context,
        b"tool_calls" | b"function_call" => Stop::Tool,
        b"content_filter" => Stop::Refusal,
        _ => Stop::Other,
    }
}

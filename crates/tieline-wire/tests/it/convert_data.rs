//! Recorded replies of real channels, streamed across the dialects: the text, the calls, the stop and the usage that come
//! out are those that the source says, judged by a reading of the source that shares no code with the translation.

use serde_json::Value;
use tieline_core::{Dialect, Mark, Usage};
use tieline_wire::convert;

use crate::convert_golden::{bridge, context, events, other};
use crate::data;

/// What an answer says, whatever the dialect.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Name and arguments of each call.
    pub(crate) calls: Vec<(String, Value)>,
    pub(crate) stop: String,
    pub(crate) text: String,
}

#[test]
fn recorded_streams_say_the_same_in_the_other_dialect() {
    let mut whole = 0;
    for recording in data::recordings() {
        let near = other(recording.dialect);
        let out = bridge(&context(near, recording.dialect), &recording.events);
        if recording.name.contains("spliced-message-start") {
            assert!(out.fault.is_some() && !out.complete, "{}", recording.name);
            continue;
        }
        assert!(
            out.complete,
            "{}: {:?} {:?}",
            recording.name, out.fault, out.fault_says
        );
        let sse = String::from_utf8(out.bytes).unwrap();
        let (source, usage) = match recording.dialect {
            Dialect::AnthropicMessages => said_by_anthropic(&recording.events),
            Dialect::OpenaiChat => said_by_openai(&recording.events),
        };
        let (target, written) = match near {
            Dialect::AnthropicMessages => said_by_anthropic(&events(&sse)),
            Dialect::OpenaiChat => said_by_openai(&events(&sse)),
        };
        assert_eq!(source, target, "{}", recording.name);
        let marked = out.marks.iter().rev().find_map(|mark| match mark {
            Mark::Usage(usage) => Some(*usage),
            _ => None,
        });
        assert_eq!(marked, usage, "{}", recording.name);
        // A dialect that requires usage gets zeros where nobody knows it.
        assert_eq!(
            written.filter(|usage| usage.total() > 0),
            usage,
            "{}",
            recording.name
        );
        whole += 1;
    }
    println!("{whole} recorded streams");
}

#[test]
fn a_recorded_stream_whose_calls_start_at_one_says_the_same() {
    let Some(folder) = data::folder() else { return };
    let path = "wire/recorded/openai-compatible/chat--anthropic-fallback-tool-call.sse";
    let source = events(&std::fs::read_to_string(folder.join(path)).unwrap());
    let out = bridge(&context(Dialect::AnthropicMessages, Dialect::OpenaiChat), &source);
    assert!(out.complete, "{:?}", out.fault);
    let target = events(std::str::from_utf8(&out.bytes).unwrap());
    let said = said_by_openai(&source).0;
    assert_eq!(said.calls.len(), 1);
    assert_eq!(said_by_anthropic(&target).0, said);
}

#[test]
fn recorded_answers_say_the_same_in_the_other_dialect() {
    for (name, dialect, body) in data::answers() {
        let out = convert::response(&context(other(dialect), dialect), &body);
        let out = out.unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let source = said_whole(dialect, &serde_json::from_slice(&body).unwrap());
        let target = said_whole(other(dialect), &serde_json::from_slice(&out.body).unwrap());
        assert_eq!(source, target, "{name}");
    }
}

/// A whole answer, read plainly.
pub(crate) fn said_whole(dialect: Dialect, body: &Value) -> Said {
    let mut said = Said::default();
    match dialect {
        Dialect::AnthropicMessages => {
            for block in body["content"].as_array().unwrap() {
                match block["type"].as_str() {
                    Some("text") => said.text += block["text"].as_str().unwrap(),
                    Some("tool_use") => said.calls.push((text(&block["name"]), block["input"].clone())),
                    _ => {}
                }
            }
            said.stop = plain_stop(&text(&body["stop_reason"]), &said);
        }
        Dialect::OpenaiChat => {
            let message = &body["choices"][0]["message"];
            said.text = content(&message["content"]);
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let function = &call["function"];
                said.calls
                    .push((text(&function["name"]), arguments(&text(&function["arguments"]))));
            }
            said.stop = plain_stop(&text(&body["choices"][0]["finish_reason"]), &said);
        }
    }
    said
}

pub(crate) fn said_by_openai(events: &[String]) -> (Said, Option<Usage>) {
    let mut said = Said::default();
    let mut calls: Vec<(u64, String, String)> = Vec::new();
    let mut usage = None;
    for event in events.iter().filter(|event| *event != "[DONE]") {
        let chunk: Value = serde_json::from_str(event).unwrap();
        let choice = &chunk["choices"][0];
        said.text += &content(&choice["delta"]["content"]);
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap_or(0);
            let slot = calls
                .iter()
                .position(|known| known.0 == index)
                .unwrap_or_else(|| {
                    calls.push((index, String::new(), String::new()));
                    calls.len() - 1
                });
            calls[slot].1 += &text(&call["function"]["name"]);
            calls[slot].2 += &text(&call["function"]["arguments"]);
        }
        if let Some(stop) = choice["finish_reason"].as_str() {
            stop.clone_into(&mut said.stop);
        }
        if chunk["usage"].is_object() {
            usage = Some(openai_usage(&chunk["usage"]));
        }
    }
    said.calls = calls
        .into_iter()
        .map(|(_, name, text)| (name, arguments(&text)))
        .collect();
    said.stop = plain_stop(&said.stop, &said);
    (said, usage)
}

pub(crate) fn said_by_anthropic(events: &[String]) -> (Said, Option<Usage>) {
    let mut said = Said::default();
    let mut counts = serde_json::Map::new();
    let mut json: Option<(String, String)> = None;
    for event in events {
        let event: Value = serde_json::from_str(event).unwrap();
        let usage = if event["type"] == "message_start" {
            &event["message"]["usage"]
        } else {
            &event["usage"]
        };
        counts.extend(usage.as_object().cloned().unwrap_or_default());
        let (block, delta) = (&event["content_block"], &event["delta"]);
        match event["type"].as_str().unwrap() {
            "content_block_start" if block["type"] == "tool_use" => {
                json = Some((
                    text(&block["name"]),
                    if block["input"] == serde_json::json!({}) {
                        String::new()
                    } else {
                        block["input"].to_string()
                    },
                ));
            }
            "content_block_delta" if delta["type"] == "text_delta" => said.text += &text(&delta["text"]),
            "content_block_delta" if delta["type"] == "input_json_delta" => {
                if let Some((_, json)) = &mut json {
                    *json += &text(&delta["partial_json"]);
                }
            }
            "content_block_stop" => said
                .calls
                .extend(json.take().map(|(name, text)| (name, arguments(&text)))),
            "message_delta" => said.stop = text(&delta["stop_reason"]),
            // One recording holds several answers in a row; the first ends here.
            "message_stop" => break,
            _ => {}
        }
    }
    said.stop = plain_stop(&said.stop, &said);
    (said, Some(anthropic_usage(&Value::Object(counts))))
}

/// The reasons of both dialects in the words of the poorer one; a call makes an ordinary end a tool's.
fn plain_stop(stop: &str, said: &Said) -> String {
    let plain = match stop {
        "end_turn" | "stop_sequence" | "stop" | "pause_turn" | "compaction" => "stop",
        "max_tokens" | "length" | "model_context_window_exceeded" => "length",
        "tool_use" | "tool_calls" => "tool_calls",
        "refusal" | "content_filter" => "content_filter",
        other => other,
    };
    match plain {
        "stop" if !said.calls.is_empty() => "tool_calls".to_owned(),
        "tool_calls" if said.calls.is_empty() => "stop".to_owned(),
        plain => plain.to_owned(),
    }
}

fn openai_usage(usage: &Value) -> Usage {
    let n = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let (prompt, completion, total) = (n("/prompt_tokens"), n("/completion_tokens"), n("/total_tokens"));
    let cache_read = n("/prompt_tokens_details/cached_tokens");
    let cache_write = n("/prompt_tokens_details/cache_write_tokens");
    let reasoning = n("/completion_tokens_details/reasoning_tokens");
    let answer = total - prompt;
    let output = if answer == completion {
        completion - reasoning
    } else {
        completion
    };
    Usage {
        cache_read,
        cache_write,
        input: prompt - cache_read - cache_write,
        output,
        reasoning,
        ..Usage::default()
    }
}

fn anthropic_usage(usage: &Value) -> Usage {
    let n = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let reasoning = n("/output_tokens_details/thinking_tokens");
    Usage {
        cache_read: n("/cache_read_input_tokens"),
        cache_write: n("/cache_creation_input_tokens"),
        input: n("/input_tokens"),
        output: n("/output_tokens") - reasoning,
        reasoning,
        ..Usage::default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Content as a string, or as Mistral's list of parts.
fn content(value: &Value) -> String {
    let parts = value.as_array().into_iter().flatten();
    text(value) + &parts.map(|part| text(&part["text"])).collect::<String>()
}

/// Arguments as a value: empty ones are an empty object, broken ones stay text.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::default());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

//! Streams and answers between equal dialects: bytes pass, marks are right, the bad ones end with the right fault.
//!
//! Long file: one table of streams for each dialect, and the helpers that all of them share.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use tieline_core::{Dialect, Fault, FaultKind, Mark, Stop, Usage};
use tieline_wire::{Exchange, Far, Out, Provider, prepare, scan};

use crate::data::{self, Recording};
use crate::sse::split;

pub(crate) const OPENAI: Dialect = Dialect::OpenaiChat;
pub(crate) const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

pub(crate) fn exchange(dialect: Dialect, body: &'static str) -> Exchange {
    between(dialect, dialect, body)
}

pub(crate) fn between(near: Dialect, far: Dialect, body: &'static str) -> Exchange {
    let body = Bytes::from_static(body.as_bytes());
    let head = scan(near, &body).unwrap();
    let provider = if far == OPENAI {
        Provider::Openai
    } else {
        Provider::Anthropic
    };
    prepare(
        near,
        &body,
        &head,
        &Far {
            dialect: far,
            model_name: "m",
            output_tokens_injected: None,
            provider,
        },
    )
    .unwrap()
    .1
}

/// The caller asks for usage, so nothing is left out.
pub(crate) const ASKS: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
pub(crate) const ASKS_NOT: &str = r#"{"model":"m","stream":true}"#;

/// Everything that a stream yields, marks folded.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Yield {
    pub(crate) bytes: Vec<u8>,
    pub(crate) complete: bool,
    content: u32,
    error: Vec<u8>,
    pub(crate) fault: Option<FaultKind>,
    stop: Option<Stop>,
    thoughts: u32,
    tools: u32,
    pub(crate) usage: Option<Usage>,
}

impl Yield {
    fn take(&mut self, out: &Out) {
        out.bytes.iter().for_each(|b| self.bytes.extend_from_slice(b));
        self.complete |= out.complete;
        self.error.extend_from_slice(&out.error);
        assert!(self.fault.is_none() || out.fault.is_none(), "one fault at most");
        self.fault = self.fault.or(out.fault.map(|f: Fault| f.kind));
        for mark in &out.marks {
            match *mark {
                Mark::Content(n) => self.content += n,
                Mark::Stop(stop) => self.stop = Some(stop),
                Mark::Thinking => self.thoughts += 1,
                Mark::Tool => self.tools += 1,
                Mark::Usage(usage) => self.usage = Some(usage),
            }
        }
    }
}

pub(crate) fn run<'a>(
    dialect: Dialect,
    request: &'static str,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Yield {
    drive(exchange(dialect, request), chunks)
}

pub(crate) fn drive<'a>(mut exchange: Exchange, chunks: impl IntoIterator<Item = &'a [u8]>) -> Yield {
    let mut out = Out::default();
    let mut all = Yield::default();
    for chunk in chunks {
        out.clear();
        exchange.feed(Bytes::copy_from_slice(chunk), &mut out);
        assert!(out.bytes.iter().all(|b| !b.is_empty()));
        all.take(&out);
    }
    out.clear();
    exchange.end(&mut out);
    all.take(&out);
    all
}

pub(crate) fn openai(stream: &str) -> Yield {
    run(OPENAI, ASKS, [stream.as_bytes()])
}

pub(crate) fn anthropic(stream: &str) -> Yield {
    run(ANTHROPIC, ASKS, [stream.as_bytes()])
}

// === recorded streams ===

/// What the last events of a recording say, read by other means than ours: the expected usage and stop.
fn expected(recording: &Recording) -> (Option<Usage>, Option<String>) {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let mut usage = None;
    let mut stop = None;
    let mut input = Value::Null;
    for event in &recording.events {
        let event: Value = serde_json::from_str(event).unwrap();
        if recording.dialect == OPENAI {
            if let Some(reason) = event["choices"][0]["finish_reason"].as_str() {
                stop = Some(reason.to_owned());
            }
            let said = if event["usage"].is_object() {
                &event["usage"]
            } else {
                &event["x_groq"]["usage"]
            };
            if said.is_object() {
                let cached = count(&said["prompt_tokens_details"]["cached_tokens"]);
                let reasoning = count(&said["completion_tokens_details"]["reasoning_tokens"]);
                // All that was generated, whichever way reasoning is counted.
                let generated = count(&said["total_tokens"]) - count(&said["prompt_tokens"]);
                usage = Some(Usage {
                    cache_read: cached,
                    cache_write: 0,
                    input: count(&said["prompt_tokens"]) - cached,
                    output: generated - reasoning,
                    reasoning,
                    ..Usage::default()
                });
            }
        } else {
            if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                stop = Some(reason.to_owned());
            }
            if event["type"] == "message_start" {
                input = event["message"]["usage"].clone();
            }
            if event["type"] == "message_delta" {
                let said = |name: &str| {
                    let last = &event["usage"][name];
                    count(if last.is_null() { &input[name] } else { last })
                };
                let reasoning = count(&event["usage"]["output_tokens_details"]["thinking_tokens"]);
                usage = Some(Usage {
                    cache_read: said("cache_read_input_tokens"),
                    cache_write: said("cache_creation_input_tokens"),
                    input: said("input_tokens"),
                    output: said("output_tokens") - reasoning,
                    reasoning,
                    ..Usage::default()
                });
            }
        }
    }
    (usage, stop)
}

/// The content events of a recording, counted by other means than ours.
fn contents(recording: &Recording) -> u32 {
    let full = |value: &Value| u32::from(value.as_str().is_some_and(|text| !text.is_empty()));
    let mut sum = 0;
    for event in &recording.events {
        let event: Value = serde_json::from_str(event).unwrap();
        let delta = if recording.dialect == OPENAI {
            &event["choices"][0]["delta"]
        } else {
            &event["delta"]
        };
        for name in [
            "content",
            "refusal",
            "reasoning",
            "reasoning_content",
            "text",
            "partial_json",
            "thinking",
        ] {
            sum += full(&delta[name]);
        }
        sum += full(&event["content_block"]["text"]);
        sum += delta["content"]
            .as_array()
            .map_or(0, |parts| u32::try_from(parts.len()).unwrap());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            sum += full(&call["function"]["arguments"]);
        }
    }
    sum
}

fn stop_of(reason: &str) -> Stop {
    match reason {
        "end_turn" | "stop" => Stop::End,
        "length" | "max_tokens" => Stop::Length,
        "tool_calls" | "tool_use" => Stop::Tool,
        "content_filter" | "refusal" => Stop::Refusal,
        "pause_turn" => Stop::Pause,
        other => panic!("the table does not know {other}"),
    }
}

#[test]
fn recorded_streams_pass_and_say_what_they_say() {
    for recording in data::recordings() {
        let name = &recording.name;
        let stream = recording.stream();
        let (usage, stop) = expected(&recording);
        let all = run(recording.dialect, ASKS, [stream.as_ref()]);
        assert_eq!(all.bytes, stream, "{name}");
        assert_eq!((all.complete, all.fault), (true, None), "{name}");
        assert_eq!(all.usage, usage, "{name}");
        assert_eq!(all.content, contents(&recording), "{name}");
        assert_eq!(all.stop, stop.as_deref().map(stop_of), "{name}");
        let calls = recording.events.iter().any(|e| {
            e.contains("\"tool_calls\":[")
                || e.contains("tool_use\",\"id\"")
                || e.contains("\"type\":\"server_tool_use\"")
        });
        assert_eq!(all.tools > 0, calls, "{name}");
        if recording.dialect == OPENAI {
            let thinks = [
                "\"reasoning_content\":\"",
                "\"reasoning\":\"",
                "\"type\":\"thinking\"",
            ];
            let thinks = recording
                .events
                .iter()
                .any(|e| thinks.iter().any(|t| e.contains(t)));
            assert_eq!(all.thoughts > 0, thinks, "{name}");
        }
        for size in [1, 7, 100] {
            assert_eq!(
                run(recording.dialect, ASKS, stream.chunks(size)),
                all,
                "{name} in chunks of {size}"
            );
        }
    }
}

/// Removing the last events of a recording takes its completeness.
#[test]
fn recorded_streams_that_are_cut_are_not_complete() {
    for recording in data::recordings() {
        let ends = |event: &String| {
            event.contains("\"finish_reason\":\"")
                || (event.contains("\"stop_reason\":\"") && event.contains("message_delta"))
        };
        let Some(end) = recording.events.iter().position(ends) else {
            continue;
        };
        let events = recording.events[..end].to_vec();
        let cut = Recording {
            dialect: recording.dialect,
            events,
            name: recording.name,
        };
        let mut stream = cut.stream().to_vec();
        if cut.dialect == OPENAI {
            stream.truncate(stream.len() - "data: [DONE]\n\n".len());
        }
        let all = run(cut.dialect, ASKS, [stream.as_slice()]);
        assert_eq!(
            (all.complete, all.fault),
            (false, Some(FaultKind::Reset)),
            "{}",
            cut.name
        );
        assert_eq!(all.bytes, stream, "{}", cut.name);
    }
}

#[test]
fn recorded_answers_pass_and_say_what_they_say() {
    let answers = data::answers();
    for (name, dialect, body) in &answers {
        let answer: Value = serde_json::from_slice(body).unwrap();
        let whole = exchange(*dialect, r#"{"model":"m"}"#)
            .buffered(body)
            .unwrap_or_else(|f| panic!("{name}: {f:?}"));
        assert_eq!(whole.body.as_ptr(), body.as_ptr(), "{name}");
        let reason = if *dialect == OPENAI {
            &answer["choices"][0]["finish_reason"]
        } else {
            &answer["stop_reason"]
        };
        let stop = Mark::Stop(stop_of(reason.as_str().unwrap()));
        assert!(whole.marks.contains(&stop), "{name}: {:?}", whole.marks);
        assert!(
            whole
                .marks
                .iter()
                .any(|m| matches!(m, Mark::Usage(u) if u.total() > 0)),
            "{name}"
        );
    }
    assert!(answers.is_empty() || answers.len() > 20);
}

/// Requests that both dialects can express.
pub(crate) const CHAT: &str = r#"{"model":"p","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const MESSAGES: &str =
    r#"{"model":"p","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;

/// Across dialects the marks are those of the verbatim path, the end is the caller's dialect's, and splits change
/// nothing.
#[test]
fn recorded_streams_cross_over() {
    for recording in data::recordings() {
        let name = &recording.name;
        let (near, request, end) = match recording.dialect {
            Dialect::AnthropicMessages => (OPENAI, CHAT, "data: [DONE]\n\n"),
            Dialect::OpenaiChat => (
                ANTHROPIC,
                MESSAGES,
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ),
        };
        let stream = recording.stream();
        let cross = || between(near, recording.dialect, request);
        let all = drive(cross(), [stream.as_ref()]);
        let same = run(recording.dialect, ASKS, [stream.as_ref()]);
        // Two answers spliced into each other cannot be told apart by a translator; verbatim, the caller decides.
        if name.contains("spliced") {
            assert_eq!(
                (all.complete, all.fault),
                (false, Some(FaultKind::Garbage)),
                "{name}"
            );
            continue;
        }
        assert_eq!((all.complete, all.fault), (true, None), "{name}");
        assert!(all.bytes.ends_with(end.as_bytes()), "{name}");
        assert_eq!(
            (all.content, all.stop, all.usage),
            (same.content, same.stop, same.usage),
            "{name}"
        );
        assert_eq!(drive(cross(), stream.chunks(61)), all, "{name}");
        // One recording is several answers in a row.
        let stops = ["\"stop_reason\":\"", "\"finish_reason\":\""];
        let text = std::str::from_utf8(&stream).unwrap();
        let stop = stops.iter().filter_map(|s| text.find(s)).min().unwrap();
        let cut = drive(cross(), [&stream[..stop]]);
        assert!(!cut.complete && cut.fault == Some(FaultKind::Reset), "{name}");
        assert!(!cut.bytes.ends_with(end.as_bytes()), "{name}");
    }
}

#[test]
fn errors_cross_over_as_faults() {
    let error = "data: {\"error\":{\"type\":\"insufficient_quota\",\"message\":\"x\"}}\n\n";
    let stream = format!("{TEXT}{error}");
    let all = drive(between(ANTHROPIC, OPENAI, MESSAGES), [stream.as_bytes()]);
    assert_eq!((all.fault, all.complete), (Some(FaultKind::Spend), false));
    // In the channel's dialect: what of it the caller sees is decided elsewhere.
    assert_eq!(all.error, error.as_bytes());
    for (body, expected) in [
        ("<html>", FaultKind::Garbage),
        ("{}", FaultKind::Garbage),
        (
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            FaultKind::NotReady,
        ),
    ] {
        let result = between(ANTHROPIC, OPENAI, MESSAGES).buffered(&Bytes::from_static(body.as_bytes()));
        assert_eq!(result.err(), Some(expected), "{body}");
    }
}

#[test]
fn a_translated_answer_is_dated() {
    let body = Bytes::from_static(
        br#"{"type":"message","id":"msg_1","model":"m","role":"assistant","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#,
    );
    let mut exchange = between(OPENAI, ANTHROPIC, CHAT).dated(1_781_284_860);
    let answer: Value = serde_json::from_slice(&exchange.buffered(&body).unwrap().body).unwrap();
    assert_eq!(answer["created"], 1_781_284_860);
    assert_eq!(answer["choices"][0]["message"]["content"], "hi");
}

// === shapes that servers send ===

pub(crate) const TEXT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"usage\":null}\n\n";
pub(crate) const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
pub(crate) const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,\"total_tokens\":14}}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";
pub(crate) const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn the_usage_chunk_that_nobody_asked_for_is_left_out() {
    let stream = [TEXT, STOP, USAGE, DONE].concat();
    let kept = [TEXT, STOP, DONE].concat();
    for size in 1..stream.len() {
        let all = run(OPENAI, ASKS_NOT, stream.as_bytes().chunks(size));
        assert_eq!(String::from_utf8(all.bytes).unwrap(), kept);
        assert_eq!(all.usage.map(|u| (u.input, u.output)), Some((9, 5)));
    }
    let all = run(OPENAI, ASKS, [stream.as_bytes()]);
    assert_eq!(all.bytes, stream.as_bytes());
    // A usage chunk that is first, and Azure's first chunk, which has no choices and no usage.
    let azure =
        "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"prompt_filter_results\":[]}\n\n";
    let all = run(
        OPENAI,
        ASKS_NOT,
        [[USAGE, azure, TEXT, STOP, DONE].concat().as_bytes()],
    );
    assert_eq!(all.bytes, [azure, TEXT, STOP, DONE].concat().as_bytes());
    // Usage on the chunk that stops is part of it.
    let both = STOP.replace(
        "}]}",
        "}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
    );
    let both = [both.as_str(), DONE].concat();
    let all = run(OPENAI, ASKS_NOT, [both.as_bytes()]);
    assert_eq!(
        (all.bytes.as_slice(), all.usage.is_some()),
        (both.as_bytes(), true)
    );
}

#[test]
fn completeness_needs_a_reason_or_the_terminator() {
    for (stream, complete, fault) in [
        (vec![TEXT, STOP], true, None),
        (vec![TEXT, DONE], true, None),
        (vec![TEXT], false, Some(FaultKind::Reset)),
        (vec![], false, Some(FaultKind::Garbage)),
        (vec!["<html>"], false, Some(FaultKind::Garbage)),
        (vec!["data: <html>\n\n"], false, Some(FaultKind::Garbage)),
        (vec!["data: {}\n\n"], false, Some(FaultKind::Garbage)),
        (vec![": ping\n\n", "data: {oops\n\n", TEXT, STOP], true, None),
        // The reason of another choice is not this one's, and half an event is none.
        (
            vec![
                TEXT,
                "data: {\"choices\":[{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n",
            ],
            false,
            Some(FaultKind::Reset),
        ),
        (vec![TEXT, STOP.trim_end()], false, Some(FaultKind::Reset)),
        (
            vec![
                TEXT,
                "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"\"}]}\n\n",
            ],
            false,
            Some(FaultKind::Reset),
        ),
    ] {
        let all = openai(&stream.concat());
        assert_eq!((all.complete, all.fault), (complete, fault), "{stream:?}");
    }
    let all = openai(&[TEXT, STOP, "data: [DONE]\n"].concat());
    assert_eq!(
        all.bytes,
        [TEXT, STOP, "data: [DONE]\n"].concat().as_bytes(),
        "the tail of a complete stream passes"
    );
    let all = openai(&[TEXT, "data: {\"cho"].concat());
    assert_eq!(all.bytes, TEXT.as_bytes(), "half an event does not");
}

#[test]
fn a_choice_that_ends_does_not_make_another_whole() {
    let chunk = |index: u8, delta: &str, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let text = r#"{"content":"x"}"#;
    let half = [
        chunk(0, text, "null"),
        chunk(1, text, "null"),
        chunk(0, "{}", "\"stop\""),
        chunk(1, text, "null"),
    ]
    .concat();
    let all = openai(&half);
    assert_eq!((all.complete, all.fault), (false, Some(FaultKind::Reset)));
    let all = openai(&[half, chunk(1, "{}", "\"length\"")].concat());
    assert_eq!((all.complete, all.fault), (true, None), "both ended");
}

#[test]
fn errors_within_a_stream_are_faults() {
    let event = |error: &str| format!("data: {{\"error\":{error}}}\n\n");
    for (error, expected) in [
        (
            r#"{"message":"The server had an error","type":"server_error","param":null,"code":null}"#,
            FaultKind::Transient,
        ),
        (
            r#"{"code":503,"message":"Loading model","type":"unavailable_error"}"#,
            FaultKind::NotReady,
        ),
        (
            r#"{"code":500,"message":"x","type":"server_error"}"#,
            FaultKind::Transient,
        ),
        (r#"{"code":429,"message":"slow down"}"#, FaultKind::Rate),
        (r#"{"message":"x","type":"insufficient_quota"}"#, FaultKind::Spend),
        (
            r#"{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}"#,
            FaultKind::Context,
        ),
        (
            r#"{"message":"x","type":"invalid_request_error","code":null}"#,
            FaultKind::Client,
        ),
        (r#""it broke""#, FaultKind::Transient),
    ] {
        let stream = [TEXT, &event(error), TEXT, STOP].concat();
        for size in [1, 30, 10_000] {
            let all = run(OPENAI, ASKS, stream.as_bytes().chunks(size));
            assert_eq!((all.fault, all.complete), (Some(expected), false), "{error}");
            assert_eq!(all.bytes, TEXT.as_bytes(), "{error}");
            assert_eq!(all.error, event(error).as_bytes(), "{error}");
        }
    }
    for no_error in ["null", "false", "\"\"", "0"] {
        let stream = [TEXT, "data: {\"choices\":[],\"error\":", no_error, "}\n\n", STOP].concat();
        assert_eq!(openai(&stream).fault, None, "{no_error}");
    }
    let failed = STOP.replace("\"stop\"", "\"error\"");
    assert_eq!(
        openai(&[TEXT, &failed].concat()).fault,
        Some(FaultKind::Transient)
    );
    // After the stop nothing takes the answer back.
    let all = openai(&[TEXT, STOP, &event("{}")].concat());
    assert_eq!((all.fault, all.complete), (None, true));
}

#[test]
fn anthropic_errors_within_a_stream_are_faults() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    for (error, expected) in [
        ("overloaded_error", FaultKind::Overload),
        ("api_error", FaultKind::Transient),
        ("rate_limit_error", FaultKind::Rate),
        ("invalid_request_error", FaultKind::Client),
        ("something_new", FaultKind::Transient),
    ] {
        let event = format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{error}\",\"message\":\"m\"}}}}\n\n"
        );
        let all = anthropic(&[start, &event].concat());
        assert_eq!((all.fault, all.complete), (Some(expected), false), "{error}");
        assert_eq!(
            (all.bytes.as_slice(), all.error.as_slice()),
            (start.as_bytes(), event.as_bytes())
        );
        assert_eq!(
            all.usage.map(|u| (u.input, u.output)),
            Some((3, 1)),
            "usage so far"
        );
    }
}

#[test]
fn calls_are_counted_once_each() {
    let delta = |delta: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    let call = |rest: &str| delta(&format!("{{\"tool_calls\":[{{{rest}}}]}}"));
    let stream = [
        delta(r#"{"role":"assistant","content":""}"#),
        call(r#""index":1,"id":"a","type":"function","function":{"name":"f","arguments":""}"#),
        call(r#""index":2,"id":"b","type":"function","function":{"name":"g","arguments":"{"}"#),
        call(r#""index":1,"id":null,"type":"function","function":{"name":"","arguments":"{\"x\":1}"}"#),
        call(r#""index":2,"function":{"arguments":"}"}"#),
        STOP.replace("\"stop\"", "\"tool_calls\""),
    ];
    let all = openai(&stream.concat());
    assert_eq!((all.tools, all.content, all.stop), (2, 3, Some(Stop::Tool)));
}

#[test]
fn thinking_begins_once_until_it_ends() {
    let delta = |delta: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    let stream = [
        delta(r#"{"reasoning_content":"a","content":null}"#),
        delta(r#"{"reasoning_content":"b","content":""}"#),
        delta(r#"{"content":"c","reasoning_content":null}"#),
        delta(r#"{"reasoning":"d"}"#),
        delta(r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"e"}]}]}"#),
        delta(r#"{"content":[{"type":"text","text":"f"}]}"#),
        STOP.to_owned(),
    ];
    let all = openai(&stream.concat());
    assert_eq!((all.thoughts, all.content), (2, 6));
}

#[test]
fn sound_and_pictures_are_counted_apart() {
    let said = r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":10,"audio_tokens":20,"image_tokens":30},"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":15}}"#;
    let usage = openai(&format!("data: {{\"choices\":[],\"usage\":{said}}}\n\n{DONE}")).usage;
    let expected = Usage {
        audio: 20,
        audio_output: 15,
        cache_read: 10,
        cache_write: 0,
        image: 30,
        input: 40,
        output: 30,
        reasoning: 5,
    };
    assert_eq!(usage, Some(expected));
    assert_eq!((expected.prompt(), expected.answer()), (100, 50));
}

#[test]
fn usage_is_disjoint_however_it_is_counted() {
    let usage = |said: &str| openai(&format!("data: {{\"choices\":[],\"usage\":{said}}}\n\n{DONE}")).usage;
    let expected = |cache_read, input, output, reasoning| {
        Some(Usage {
            cache_read,
            cache_write: 0,
            input,
            output,
            reasoning,
            ..Usage::default()
        })
    };
    assert_eq!(
        usage(
            r#"{"prompt_tokens":10,"completion_tokens":8,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":5}}"#
        ),
        expected(4, 6, 3, 5)
    );
    // xAI counts reasoning beside the answer; its total shows it.
    assert_eq!(
        usage(
            r#"{"prompt_tokens":10,"completion_tokens":8,"total_tokens":23,"completion_tokens_details":{"reasoning_tokens":5}}"#
        ),
        expected(0, 10, 8, 5)
    );
    assert_eq!(
        usage(
            r#"{"prompt_tokens":10,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":5}}"#
        ),
        expected(0, 10, 1, 5)
    );
    assert_eq!(
        usage(
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":9,"prompt_tokens_details":null}"#
        ),
        expected(9, 1, 1, 0)
    );
    assert_eq!(
        usage(r#"{"prompt_tokens":2,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#),
        expected(9, 0, 1, 0)
    );
    assert_eq!(usage("{}"), None, "an empty object is not a usage of zero");
    assert_eq!(usage("null"), None);
}

#[test]
fn an_event_over_the_limit_ends_the_stream() {
    let mut exchange = exchange(OPENAI, ASKS);
    let mut out = Out::default();
    exchange.feed(Bytes::from_static(TEXT.as_bytes()), &mut out);
    exchange.feed(Bytes::from_static(b"data: "), &mut out);
    let piece = Bytes::from(vec![b'x'; 4 * 1024 * 1024]);
    for _ in 0..4 {
        exchange.feed(piece.clone(), &mut out);
    }
    assert_eq!(out.bytes.concat(), TEXT.as_bytes());
    assert_eq!(out.fault.map(|f| f.kind), Some(FaultKind::Garbage));
}

// === laws ===

fn fixture() -> impl Strategy<Value = (Dialect, String)> {
    let openai = prop::sample::select(vec![
        TEXT,
        STOP,
        USAGE,
        ": keep-alive\n\n",
        "data: {broken\n\n",
        "data: {\"choices\":[{\"delta\":{\"reasoning\":\"é😀\"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\r\r",
        "event: x\ndata: {\"choices\":\ndata: []}\n\n",
        "data: {\"error\":{\"type\":\"server_error\"}}\n\n",
        DONE,
    ]);
    let anthropic = prop::sample::select(vec![
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\"}}\r\n\r\n",
        "event: content_block_delta\ndata: {\"delta\":{\"text\":\"é\"},\"type\":\"content_block_delta\"}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "event: new\ndata: {\"type\":\"new\"}\n\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n",
    ]);
    prop_oneof![
        prop::collection::vec(openai, 0..12).prop_map(|list| (OPENAI, list.concat())),
        prop::collection::vec(anthropic, 0..12).prop_map(|list| (ANTHROPIC, list.concat())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Pass identity and split invariance: what comes out, with the error event, is what went in up to there, and no
    /// way of cutting the stream changes what is yielded.
    #[test]
    fn any_split_yields_the_same(
        (dialect, stream) in fixture(), asks: bool,
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let request = if asks { ASKS } else { ASKS_NOT };
        let bytes = stream.as_bytes();
        let whole = run(dialect, request, [bytes]);
        if asks || dialect == ANTHROPIC {
            // Left out is what is no JSON, and added a terminator that did not come.
            let said = stream.replace("data: {broken\n\n", "");
            let passed = [whole.bytes.as_slice(), &whole.error].concat();
            let ends = if dialect == OPENAI { DONE } else { MESSAGE_STOP };
            let is_added = whole.complete && !said.contains(ends);
            let passed = passed.strip_suffix(ends.as_bytes()).filter(|_| is_added).unwrap_or(&passed);
            prop_assert!(said.as_bytes().starts_with(passed));
            if whole.error.is_empty() {
                prop_assert_eq!(passed, said.as_bytes());
            }
        }
        prop_assert_eq!(&run(dialect, request, split(bytes, &at)), &whole);
        prop_assert_eq!(&run(dialect, request, bytes.chunks(1)), &whole);
    }

    /// The tap knows most events by the one before; that must say what reading each for itself says.
    #[test]
    fn each_event_is_read_as_if_it_were_alone(
        anthropic: bool,
        texts in prop::collection::vec((any::<u8>(), "[a\"\\\\n{}é]{0,4}", "[a-z\"\\\\]{0,3}", any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let events: Vec<Vec<u8>> = texts
            .iter()
            .map(|(kind, text, pad, at, byte)| {
                let mut event = if anthropic {
                    format!(r#"data: {{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#)
                } else if kind % 2 == 0 {
                    format!(r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"obfuscation":"{pad}"}}"#)
                } else {
                    format!(r#"data: {{"obfuscation":"{pad}","choices":[{{"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{text}"}}}}]}}}}]}}"#)
                }
                .into_bytes();
                // One event in eight has one byte wrong.
                if kind / 2 % 8 == 0 {
                    let at = 6 + at.index(event.len() - 6);
                    event[at] = if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
                }
                event.extend_from_slice(b"\n\n");
                event
            })
            .collect();
        let dialect = if anthropic { ANTHROPIC } else { OPENAI };
        // Each after one that has no content, so that the dialect is known.
        let begin: &[u8] = if anthropic {
            b"data: {\"type\":\"message_start\"}\n\n"
        } else {
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"
        };
        let alone: Vec<Yield> = events.iter().map(|e| run(dialect, ASKS, [begin, e.as_slice()])).collect();
        let bad = |fault: Option<FaultKind>| fault.is_some_and(|f| f != FaultKind::Reset);
        // A fault within ends the stream, and nothing is one once it is complete.
        let end = alone.iter().position(|y| bad(y.fault) || y.complete).map_or(alone.len(), |at| at + 1);
        let all = std::iter::once(begin).chain(events[..end].iter().map(Vec::as_slice));
        let together = run(dialect, ASKS, all);
        prop_assert_eq!(together.content, alone[..end].iter().map(|y| y.content).sum::<u32>());
        prop_assert_eq!(together.stop, alone[end - 1].stop);
        prop_assert_eq!(bad(together.fault), bad(alone[end - 1].fault));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        tieline_wire::fuzz::fuzz_sse(&bytes);
        tieline_wire::fuzz::fuzz_tap(&bytes);
        tieline_wire::fuzz::fuzz_buffered(&bytes);
        tieline_wire::fuzz::fuzz_classify(&bytes);
        tieline_wire::fuzz::fuzz_exchange(&bytes);
    }
}

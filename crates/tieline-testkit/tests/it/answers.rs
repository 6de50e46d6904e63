//! Canned answers and errors: they parse, and they carry what clients of the dialect read.

use std::io::Write as _;

use serde_json::{Value, json};
use tieline_testkit::{Act, Answer, Auto, Dialect, Stop, ToolCall, Usage, canned};

use crate::client::{HELLO, HELLO_STREAM, chat, connect, post, read_response, start};

fn rich() -> Answer {
    Answer {
        id: "id-1".to_owned(),
        model: "model \"quoted\"\n".to_owned(),
        text: vec!["Grüße,\n".to_owned(), "\u{1F50C}\u{0}\"".to_owned()],
        tool_calls: vec![
            ToolCall {
                id: "call_a".to_owned(),
                name: "weather".to_owned(),
                arguments: vec!["{\"city\":\"".to_owned(), "Köln\"}".to_owned()],
            },
            ToolCall {
                id: "call_b".to_owned(),
                name: "now".to_owned(),
                arguments: Vec::new(),
            },
        ],
        usage: Usage {
            input: 100,
            cached: 40,
            output: 7,
        },
        stop: Stop::Tool,
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// The `data` of each event with its `event` name, where it has one.
fn events(frames: &[bytes::Bytes]) -> Vec<(String, String)> {
    frames
        .iter()
        .map(|frame| {
            let text = std::str::from_utf8(frame).unwrap();
            let lines = text
                .strip_suffix("\n\n")
                .expect("an event ends with an empty line");
            let field = |name: &str| {
                lines
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
            };
            (field("event: ").to_owned(), field("data: ").to_owned())
        })
        .collect()
}

#[test]
fn an_openai_answer_carries_its_keys() {
    let answer = parse(&rich().openai_json());
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "model \"quoted\"\n");
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "Grüße,\n\u{1F50C}\u{0}\"");
    assert_eq!(choice["message"]["refusal"], Value::Null);
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0],
        json!({"id": "call_a", "type": "function",
            "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}})
    );
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(100), &json!(7))
    );
    assert_eq!(
        (
            &usage["total_tokens"],
            &usage["prompt_tokens_details"]["cached_tokens"]
        ),
        (&json!(107), &json!(40))
    );
}

#[test]
fn an_openai_stream_adds_up_to_the_answer() {
    let whole = parse(&rich().openai_json());
    for include_usage in [false, true] {
        let mut events = events(&rich().openai_stream(include_usage));
        assert_eq!(events.pop().unwrap(), (String::new(), "[DONE]".to_owned()));
        let mut chunks: Vec<Value> = events.iter().map(|(_, data)| parse(data.as_bytes())).collect();
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == "id-1")
        );
        if include_usage {
            let last = chunks.pop().unwrap();
            assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
        }
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk.get("usage").is_some() == include_usage)
        );
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        let text: String = deltas
            .iter()
            .filter_map(|delta| delta["content"].as_str())
            .collect();
        assert_eq!(text, whole["choices"][0]["message"]["content"]);
        let arguments: String = deltas
            .iter()
            .map(|delta| &delta["tool_calls"][0])
            .filter(|call| call["index"] == 0)
            .filter_map(|call| call["function"]["arguments"].as_str())
            .collect();
        assert_eq!(arguments, "{\"city\":\"Köln\"}");
        assert_eq!(
            chunks.last().unwrap()["choices"][0]["finish_reason"],
            "tool_calls"
        );
    }
}

#[test]
fn an_anthropic_answer_carries_its_keys() {
    let answer = parse(&rich().anthropic_json());
    assert_eq!(
        (&answer["type"], &answer["role"]),
        (&json!("message"), &json!("assistant"))
    );
    assert_eq!(
        answer["content"],
        json!([
            {"type": "text", "text": "Grüße,\n\u{1F50C}\u{0}\""},
            {"type": "tool_use", "id": "call_a", "name": "weather", "input": {"city": "Köln"}},
            {"type": "tool_use", "id": "call_b", "name": "now", "input": {}},
        ])
    );
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("tool_use"), &Value::Null)
    );
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["cache_read_input_tokens"]),
        (&json!(60), &json!(40))
    );
    assert_eq!(usage["output_tokens"], 7);
}

#[test]
fn an_anthropic_stream_adds_up_to_the_answer() {
    let whole = parse(&rich().anthropic_json());
    let events = events(&rich().anthropic_stream());
    let mut blocks: Vec<Value> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let mut open = None;
    for (name, data) in &events {
        let event = parse(data.as_bytes());
        assert_eq!(event["type"], *name, "the name of an event is its type");
        match name.as_str() {
            "content_block_start" => {
                assert_eq!((open, event["index"].as_u64()), (None, Some(blocks.len() as u64)));
                open = event["index"].as_u64();
                blocks.push(event["content_block"].clone());
                texts.push(String::new());
            }
            "content_block_delta" => {
                assert_eq!(event["index"].as_u64(), open);
                let delta = &event["delta"];
                let piece = delta["text"].as_str().or(delta["partial_json"].as_str()).unwrap();
                texts.last_mut().unwrap().push_str(piece);
            }
            "content_block_stop" => assert_eq!(event["index"].as_u64(), open.take()),
            _ => {}
        }
    }
    for (block, text) in blocks.iter_mut().zip(texts) {
        match block["type"].as_str().unwrap() {
            "text" => block["text"] = json!(text),
            _ if text.is_empty() => {}
            _ => block["input"] = parse(text.as_bytes()),
        }
    }
    assert_eq!(json!(blocks), whole["content"]);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
    let delta = parse(events[events.len() - 2].1.as_bytes());
    assert_eq!(
        (&delta["delta"]["stop_reason"], &delta["usage"]),
        (&json!("tool_use"), &whole["usage"])
    );
}

#[test]
fn every_stop_has_its_word_in_both_dialects() {
    let check = |stop: Stop, openai: &str, anthropic: &str| {
        let answer = Answer {
            stop,
            ..Answer::default()
        };
        assert_eq!(
            parse(&answer.openai_json())["choices"][0]["finish_reason"],
            openai
        );
        assert_eq!(parse(&answer.anthropic_json())["stop_reason"], anthropic);
    };
    check(Stop::End, "stop", "end_turn");
    check(Stop::Length, "length", "max_tokens");
    check(Stop::Tool, "tool_calls", "tool_use");
    check(Stop::Sequence("###".to_owned()), "stop", "stop_sequence");
    check(Stop::Filter, "content_filter", "refusal");
    check(Stop::Refuse("I will not.".to_owned()), "stop", "refusal");
    let sequence = Answer {
        stop: Stop::Sequence("###".to_owned()),
        ..Answer::default()
    };
    assert_eq!(parse(&sequence.anthropic_json())["stop_sequence"], "###");
}

#[test]
fn a_refusal_has_no_content_but_words_where_the_dialect_has_a_place_for_them() {
    let channel = start(Act::from(
        Auto::default().stop(Stop::Refuse("I will not.".to_owned())),
    ));
    let mut stream = connect(&channel);
    let mut ask = |path: &str, body: &str| {
        stream.write_all(&post(path, body)).unwrap();
        read_response(&mut stream).1
    };
    let openai = parse(&ask("/v1/chat/completions", HELLO));
    assert_eq!(openai["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(openai["choices"][0]["message"]["refusal"], "I will not.");
    let anthropic = parse(&ask("/v1/messages", HELLO));
    assert_eq!(anthropic["content"], json!([]));
    assert_eq!(anthropic["stop_details"]["explanation"], "I will not.");
    let stream = String::from_utf8(ask("/v1/messages", HELLO_STREAM)).unwrap();
    assert!(!stream.contains("content_block"), "{stream}");
    assert!(stream.contains(r#""stop_reason":"refusal""#), "{stream}");
    let stream = String::from_utf8(ask("/v1/chat/completions", HELLO_STREAM)).unwrap();
    assert!(stream.contains(r#"{"refusal":"I will not."}"#), "{stream}");
}

#[test]
fn the_default_act_answers_in_the_dialect_of_the_path() {
    let channel = start(Auto::default().chunks(5));
    let mut stream = connect(&channel);
    let mut ask = |request: &[u8]| {
        stream.write_all(request).unwrap();
        read_response(&mut stream)
    };
    let (_, body) = ask(&chat(HELLO));
    let answer = parse(&body);
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello, tie line");
    assert_eq!(answer["model"], "m");
    let (head, body) = ask(&chat(HELLO_STREAM));
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert_eq!(text.matches(r#"{"content":""#).count(), 5, "{text}");
    assert!(
        text.ends_with("data: [DONE]\n\n") && !text.contains("\"usage\""),
        "{text}"
    );
    let with_usage = HELLO_STREAM.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
    assert!(
        String::from_utf8(ask(&chat(&with_usage)).1)
            .unwrap()
            .contains(r#""usage":{"prompt_tokens""#)
    );
    let (_, body) = ask(&post("/v1/messages?beta=true", HELLO));
    assert_eq!(parse(&body)["content"][0]["text"], "Hello, tie line");
    let parts =
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"in parts"}]}],"stream":false}"#;
    assert_eq!(
        parse(&ask(&post("/v1/messages", parts)).1)["content"][0]["text"],
        "in parts"
    );
    let text = String::from_utf8(ask(&post("/v1/messages", HELLO_STREAM)).1).unwrap();
    assert_eq!(text.matches("text_delta").count(), 5, "{text}");
    assert!(text.starts_with("event: message_start\n"), "{text}");
    assert!(
        parse(&ask(&post("/v1/messages/count_tokens", HELLO)).1)["input_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(
        parse(&ask(b"GET /v1/models HTTP/1.1\r\n\r\n").1)["object"],
        "list"
    );
    let listed = parse(&ask(b"GET /v1/models HTTP/1.1\r\nanthropic-version: 2023-06-01\r\n\r\n").1);
    assert_eq!(
        (&listed["has_more"], &listed["data"][0]["type"]),
        (&json!(false), &json!("model"))
    );
    assert!(ask(&post("/v1/other", "{}")).0.starts_with("HTTP/1.1 404 "));
    let (head, body) = ask(&post("/v1/messages", "[1]"));
    assert!(head.starts_with("HTTP/1.1 400 "));
    assert_eq!(parse(&body)["error"]["type"], "invalid_request_error");
}

#[test]
fn canned_errors_carry_the_keys_of_their_dialect() {
    let channel = start(Act::auto());
    let mut stream = connect(&channel);
    for error in canned::ALL {
        channel.push(error.act());
        stream.write_all(&chat(HELLO)).unwrap();
        let (head, body) = read_response(&mut stream);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {} ", error.status)),
            "{}: {head}",
            error.name
        );
        for (name, value) in error.headers {
            assert!(
                head.contains(&format!("\r\n{name}: {value}\r\n")),
                "{}: {head}",
                error.name
            );
        }
        let body = parse(&body);
        assert!(body["error"]["message"].is_string(), "{}", error.name);
        assert!(body["error"].get("type").is_some(), "{}", error.name);
        match error.dialect {
            Dialect::OpenAi => assert!(body["error"].get("code").is_some(), "{}", error.name),
            Dialect::Anthropic => assert_eq!(body["type"], "error", "{}", error.name),
        }
        let event = &events(&[error.frame()])[0];
        assert_eq!(parse(event.1.as_bytes()), body, "{}", error.name);
    }
    let mut names: Vec<&str> = canned::ALL.iter().map(|error| error.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), canned::ALL.len(), "names tell errors apart");
}

//! How answers end: what may follow a stream's stop, and what a whole answer must say to be one.

use bytes::Bytes;
use tieline_core::{Dialect, FaultKind};

use crate::stream::{
    ANTHROPIC, ASKS, ASKS_NOT, CHAT, DONE, MESSAGE_STOP, MESSAGES, OPENAI, STOP, TEXT, USAGE, anthropic,
    between, drive, exchange, openai, run,
};

/// A request of either dialect.
const ASKS_MESSAGES: &str = r#"{"model":"m","stream":true,"max_tokens":9,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"a"}]}"#;

/// What follows the last blank line goes to the caller only if it is an event but for that line.
#[test]
fn half_an_event_after_the_stop_is_left_out() {
    // The terminator that is missing is added, after the blank line of what passes.
    let done = "data: [DONE]";
    let with =
        |rest: &str, passes: bool, terminator: &str| match (passes, rest.contains(terminator.trim_end())) {
            (true, true) => rest.to_owned(),
            (true, false) => format!("{rest}\n\n{terminator}"),
            (false, _) => terminator.to_owned(),
        };
    for (rest, asks, passes, has_usage) in [
        (done, ASKS, true, false),
        ("data: [DONE]\n", ASKS, true, false),
        ("data: [DO", ASKS, false, false),
        (
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"comp",
            ASKS,
            false,
            false,
        ),
        (USAGE.trim_end(), ASKS, true, true),
        (USAGE.trim_end(), ASKS_NOT, false, true),
        ("da", ASKS, false, false),
        ("event: x\n", ASKS, false, false),
    ] {
        let stream = [TEXT, STOP, rest].concat();
        let all = run(OPENAI, asks, [stream.as_bytes()]);
        assert_eq!((all.complete, all.fault), (true, None), "{rest}");
        let expected = [TEXT, STOP, &with(rest, passes, "data: [DONE]\n\n")].concat();
        assert_eq!(String::from_utf8(all.bytes).unwrap(), expected, "{rest}");
        assert_eq!(all.usage.is_some(), has_usage, "{rest}");
    }
    let stop = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n";
    for (rest, passes) in [
        ("event: message_stop\ndata: {\"type\":\"message_stop\"}", true),
        ("event: message_stop\ndata: {\"type\":\"mess", false),
        ("event: message_stop\n", false),
    ] {
        let all = anthropic(&[stop, rest].concat());
        let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let expected = [stop, &with(rest, passes, end)].concat();
        assert_eq!(
            (all.complete, String::from_utf8(all.bytes).unwrap()),
            (true, expected)
        );
    }
}

#[test]
fn an_event_that_is_no_json_is_left_out_unless_content_may_stand_in_it() {
    let holds = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\n\n";
    for (bad, fault) in [
        ("data: proxy: timed out\n\n", None),
        ("data: {oops\n\n", None),
        ("data: {\"choices\":[],\"usage\":{\n\n", None),
        (holds, Some(FaultKind::Garbage)),
    ] {
        for far in [OPENAI, ANTHROPIC] {
            let stream = [TEXT, bad, TEXT, STOP, DONE].concat();
            let all = drive(between(far, OPENAI, ASKS_MESSAGES), [stream.as_bytes()]);
            assert_eq!((all.fault, all.complete), (fault, fault.is_none()), "{bad}");
            if far == OPENAI && fault.is_none() {
                assert_eq!(all.bytes, [TEXT, TEXT, STOP, DONE].concat().as_bytes(), "{bad}");
            }
        }
    }
    // After the end there is no answer left to have a hole.
    let all = openai(&[TEXT, STOP, holds, DONE].concat());
    assert_eq!((all.fault, all.complete), (None, true));
    assert_eq!(all.bytes, [TEXT, STOP, DONE].concat().as_bytes());
    // JSON of an unknown shape is not ours to judge.
    let all = openai(&[TEXT, "data: []\n\n", STOP, DONE].concat());
    assert_eq!(all.bytes, [TEXT, "data: []\n\n", STOP, DONE].concat().as_bytes());
}

#[test]
fn a_whole_answer_is_terminated_though_its_channel_does_not() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    let stop = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n";
    let all = anthropic(&[start, stop].concat());
    assert_eq!(all.bytes, [start, stop, MESSAGE_STOP].concat().as_bytes());
    let all = openai(&[TEXT, STOP].concat());
    assert_eq!(all.bytes, [TEXT, STOP, DONE].concat().as_bytes());
    // The last event, here the usage, lacks its blank line.
    let all = openai(&[TEXT, STOP, USAGE.trim_end()].concat());
    assert_eq!(all.bytes, [TEXT, STOP, USAGE, DONE].concat().as_bytes());
    // What is not whole is not terminated.
    assert_eq!(openai(TEXT).bytes, TEXT.as_bytes());
}

/// Whether a whole answer of `far` is one, asked for in `near`.
fn read(far: Dialect, near: Dialect, body: &str) -> Result<(), FaultKind> {
    let ask = match near {
        Dialect::AnthropicMessages => MESSAGES,
        Dialect::OpenaiChat => CHAT,
    };
    let result = between(near, far, ask).buffered(&Bytes::copy_from_slice(body.as_bytes()));
    result.map(|_| ())
}

#[test]
fn a_whole_answer_without_content_and_without_an_end_is_garbage() {
    let openai =
        |choices: &str| format!("{{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{choices}]}}");
    let anthropic = |rest: &str| format!("{{\"type\":\"message\",\"role\":\"assistant\"{rest}}}");
    let message = "\"message\":{\"role\":\"assistant\",\"content\":";
    let bad = [
        (OPENAI, openai("")),
        (OPENAI, openai("{}")),
        (
            OPENAI,
            openai(&format!("{{\"index\":0,{message}\"\"}},\"finish_reason\":null}}")),
        ),
        (OPENAI, openai(&format!("{{\"index\":0,{message}null}}}}"))),
        (ANTHROPIC, anthropic("")),
        (ANTHROPIC, anthropic(",\"stop_reason\":\"end_turn\"")),
        (
            ANTHROPIC,
            anthropic(",\"content\":null,\"stop_reason\":\"end_turn\""),
        ),
        (ANTHROPIC, anthropic(",\"content\":[],\"stop_reason\":null")),
        (ANTHROPIC, anthropic(",\"content\":[]")),
    ];
    let call =
        "{\"index\":0,\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}";
    let good = [
        (
            OPENAI,
            openai(&format!(
                "{{\"index\":0,{message}\"\"}},\"finish_reason\":\"stop\"}}"
            )),
        ),
        (
            OPENAI,
            openai(&format!(
                "{{\"index\":1,{message}\"\"}},\"finish_reason\":\"stop\"}}"
            )),
        ),
        (
            OPENAI,
            openai(&format!(
                "{{\"index\":0,{message}\"a\"}},\"finish_reason\":null}}"
            )),
        ),
        (OPENAI, openai(call)),
        (
            ANTHROPIC,
            anthropic(",\"content\":[],\"stop_reason\":\"end_turn\""),
        ),
        (
            ANTHROPIC,
            anthropic(",\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"stop_reason\":null"),
        ),
    ];
    for (dialect, body) in bad {
        for near in [OPENAI, ANTHROPIC] {
            assert_eq!(
                read(dialect, near, &body),
                Err(FaultKind::Garbage),
                "{near:?}: {body}"
            );
        }
    }
    for (dialect, body) in good {
        assert_eq!(read(dialect, dialect, &body), Ok(()), "{body}");
    }
}

#[test]
fn whole_answers_are_judged() {
    for (dialect, body, expected) in [
        (OPENAI, r#"{"choices":[{"finish_reason":"stop"}]}"#, None),
        (OPENAI, r#"{"choices":[]}"#, Some(FaultKind::Garbage)),
        (
            OPENAI,
            r#"{"error":{"message":"x","type":"server_error"}}"#,
            Some(FaultKind::Transient),
        ),
        (
            OPENAI,
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            Some(FaultKind::NotReady),
        ),
        (OPENAI, r#"{"choices":[]"#, Some(FaultKind::Garbage)),
        (
            OPENAI,
            r#"{"choices":[{"finish_reason":"stop"}]}x"#,
            Some(FaultKind::Garbage),
        ),
        (OPENAI, r#"{"choices":[]}x"#, Some(FaultKind::Garbage)),
        (OPENAI, r#"{"choices":{}}"#, Some(FaultKind::Garbage)),
        (OPENAI, "{}", Some(FaultKind::Garbage)),
        (OPENAI, "[]", Some(FaultKind::Garbage)),
        (OPENAI, "", Some(FaultKind::Garbage)),
        (OPENAI, "<html>", Some(FaultKind::Garbage)),
        (
            ANTHROPIC,
            r#"{"type":"message","content":[],"stop_reason":"end_turn"}"#,
            None,
        ),
        (
            ANTHROPIC,
            r#"{"type":"message","content":[]}"#,
            Some(FaultKind::Garbage),
        ),
        (ANTHROPIC, r#"{"type":"message"}"#, Some(FaultKind::Garbage)),
        (
            ANTHROPIC,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
            Some(FaultKind::Overload),
        ),
        (ANTHROPIC, r#"{"choices":[]}"#, Some(FaultKind::Garbage)),
    ] {
        let body = Bytes::from_static(body.as_bytes());
        let result = exchange(dialect, r#"{"model":"m"}"#).buffered(&body);
        assert_eq!(result.err(), expected, "{body:?}");
    }
}

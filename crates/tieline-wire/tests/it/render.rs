//! What we write ourselves, whole.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::Value;
use tieline_core::{CallId, Code, Dialect, Problem, Retry, Span, Tick};
use tieline_wire::{Rendered, models_list, relay_error, render, render_in_stream};

const DIALECTS: [Dialect; 2] = [Dialect::OpenaiChat, Dialect::AnthropicMessages];

fn call() -> CallId {
    CallId::new(Tick(1_781_284_860_000_000), 7)
}

fn text(rendered: &Rendered) -> String {
    let mut out = format!("{}\n", rendered.status);
    for (name, value) in &rendered.headers {
        writeln!(out, "{name}: {value}").unwrap();
    }
    writeln!(out, "\n{}", std::str::from_utf8(&rendered.body).unwrap()).unwrap();
    out
}

#[test]
fn every_error_in_both_dialects() {
    for dialect in DIALECTS {
        let mut out = String::new();
        for code in Code::ALL {
            let rendered = render(dialect, &Problem::plain(*code), call());
            let body: Value = serde_json::from_slice(&rendered.body).unwrap();
            for field in ["message", "type"] {
                assert!(body["error"][field].is_string(), "{code:?}");
            }
            writeln!(out, "{}", text(&rendered)).unwrap();
        }
        insta::assert_snapshot!(format!("errors_{}", dialect.name()), out);
    }
}

#[test]
fn a_wait_is_told_in_every_way_that_sdks_read() {
    let problem = Problem::new(Code::RequestLimit, "The key may send 60 requests a minute.")
        .with_retry(Retry::After(Span(1_500_500)));
    let rendered = render(Dialect::OpenaiChat, &problem, call());
    let header = |name: &str| {
        rendered
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_ref())
    };
    assert_eq!(header("retry-after"), Some("2"));
    assert_eq!(header("retry-after-ms"), Some("1501"));
    assert_eq!(header("x-should-retry"), Some("true"));
    let free = render(
        Dialect::OpenaiChat,
        &Problem::plain(Code::Draining).with_retry(Retry::Free),
        call(),
    );
    assert!(
        free.headers
            .iter()
            .any(|(n, v)| *n == "x-should-retry" && v == "true")
    );
    assert!(free.headers.iter().all(|(n, _)| *n != "retry-after"));
}

#[test]
fn errors_within_a_stream() {
    let problem = Problem::new(Code::AnswerCut, "The \"answer\"\nbroke off.");
    insta::assert_snapshot!(
        "errors_in_stream",
        DIALECTS
            .map(|d| String::from_utf8(render_in_stream(d, &problem, call()).to_vec()).unwrap())
            .concat()
    );
}

#[test]
fn a_channel_s_own_error_is_relayed() {
    let openai = Bytes::from_static(br#"{"error":{"message":"[] is too short - 'messages'","type":"invalid_request_error","param":"messages","code":"x"} }"#);
    let anthropic = Bytes::from_static(br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_1"}"#);
    let page = Bytes::from_static(b"<html>secret internals</html>");
    let mut out = String::new();
    for near in DIALECTS {
        for (far, body) in [
            (Dialect::OpenaiChat, &openai),
            (Dialect::AnthropicMessages, &anthropic),
            (near, &page),
        ] {
            let rendered = relay_error(near, far, 400, body, call());
            if near == far && *body != page {
                assert_eq!(rendered.body, body);
            }
            writeln!(out, "{} from {}: {}", near.name(), far.name(), text(&rendered)).unwrap();
        }
    }
    assert!(!out.contains("secret"));
    insta::assert_snapshot!("errors_relayed", out);
}

#[test]
fn lists_of_models() {
    let mut out = String::new();
    for dialect in DIALECTS {
        for names in [&["frontier", "a\"b"][..], &[]] {
            let list = models_list(dialect, names, 1_781_284_860);
            let value: Value = serde_json::from_slice(&list).unwrap();
            assert_eq!(value["data"].as_array().unwrap().len(), names.len());
            writeln!(out, "{}", std::str::from_utf8(&list).unwrap()).unwrap();
        }
    }
    insta::assert_snapshot!("models", out);
}

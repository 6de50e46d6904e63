//! Every fixture of one dialect, translated to the other, as a golden: the output, what was lost, and the marks. The
//! snapshots are the specification of the translation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tieline_core::{Dialect, Mark};
use tieline_wire::Loss;
use tieline_wire::convert::{self, BridgeOut, Context, StreamBridge};
use tieline_wire::model::Names;

pub(crate) const DIALECTS: [Dialect; 2] = [Dialect::AnthropicMessages, Dialect::OpenaiChat];

#[test]
fn requests() {
    for dialect in DIALECTS {
        for (name, body) in fixtures(dialect, "requests") {
            let far = other(dialect);
            let text = match convert::request(dialect, far, body.as_bytes(), model(far)) {
                Ok((out, _, loss)) => page(&pretty(&out), &loss, &[]),
                Err(problem) => format!(
                    "{} {}\n{}\n",
                    problem.code.number(),
                    problem.code.name(),
                    problem.says
                ),
            };
            insta::assert_snapshot!(format!("request_{}_{name}", dialect.name()), text);
        }
    }
}

#[test]
fn responses() {
    for dialect in DIALECTS {
        for (name, body) in fixtures(dialect, "responses") {
            let text = match convert::response(&context(other(dialect), dialect), body.as_bytes()) {
                Ok(out) => page(&pretty(&out.body), &out.loss, &out.marks),
                Err(fault) => format!("fault {fault:?}\n"),
            };
            insta::assert_snapshot!(format!("response_{}_{name}", dialect.name()), text);
        }
    }
}

#[test]
fn streams() {
    for dialect in DIALECTS {
        for (name, body) in fixtures(dialect, "streams") {
            let out = bridge(&context(other(dialect), dialect), &events(&body));
            let mut text = page(
                std::str::from_utf8(&out.bytes).unwrap().trim_end(),
                &out.loss,
                &out.marks,
            );
            let _ = write!(
                text,
                "== end ==\ncomplete {}, fault {:?}",
                out.complete, out.fault
            );
            let _ = writeln!(
                text,
                "{}",
                out.fault_says.map(|says| format!(": {says}")).unwrap_or_default()
            );
            insta::assert_snapshot!(format!("stream_{}_{name}", dialect.name()), text);
        }
    }
}

#[test]
fn an_openai_stream_has_usage_only_if_it_was_asked_for() {
    let context = Context {
        include_usage: false,
        ..context(Dialect::OpenaiChat, Dialect::AnthropicMessages)
    };
    let body = fixture(Dialect::AnthropicMessages, "streams", "text.sse");
    let out = bridge(&context, &events(&body));
    let text = String::from_utf8(out.bytes).unwrap();
    assert!(
        out.complete && text.contains("\"finish_reason\":\"stop\"") && !text.contains("usage"),
        "{text}"
    );
    assert!(
        out.marks.iter().any(|mark| matches!(mark, Mark::Usage(_))),
        "the core learns it all the same"
    );
}

#[test]
fn the_answer_is_named_by_the_name_that_was_asked_or_the_channels() {
    let body = br#"{"model":"gpt-6","messages":[{"role":"user","content":"Hi"}]}"#;
    let shown = |far: &str| {
        let (near, target) = (Dialect::OpenaiChat, Dialect::AnthropicMessages);
        convert::request(near, target, body, far).unwrap().1.model_shown
    };
    assert_eq!(shown("gpt-6"), "gpt-6");
    assert_eq!(shown("claude-sonnet-5"), "claude-sonnet-5");
}

#[test]
fn error_bodies_are_read_in_the_shapes_that_servers_send() {
    let read = |body: &str| convert::error_body(Dialect::OpenaiChat, body.as_bytes());
    let pair = |kind: &str, says: &str| Some((kind.to_owned(), says.to_owned()));
    assert_eq!(
        read(r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#),
        pair("unavailable_error", "Loading model")
    );
    assert_eq!(
        read(
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#
        ),
        pair("overloaded_error", "Overloaded")
    );
    assert_eq!(
        read(r#"{"error":"model not found"}"#),
        pair("error", "model not found")
    );
    assert_eq!(read(r#"{"detail":"Not Found"}"#), pair("error", "Not Found"));
    assert_eq!(read(r#"{"detail":[{"msg":"x"}]}"#), None);
    assert_eq!(read("<html>502</html>"), None);
}

#[test]
fn what_a_channel_is_known_to_lack_is_not_sent_and_reported() {
    use tieline_wire::dialect::{LimitField, Target};
    let body = br#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"temperature":0.5,
        "top_p":0.5,"reasoning_effort":"high"}"#;
    let mut target = Target::new(Dialect::AnthropicMessages, "claude-opus-5");
    target.has_sampling = false;
    target.has_effort = false;
    let (out, _, loss) = convert::request_for(Dialect::OpenaiChat, &target, body).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        !out.contains("temperature") && !out.contains("top_p") && !out.contains("effort"),
        "{out}"
    );
    let paths: Vec<_> = loss.iter().map(|loss| loss.path.as_str()).collect();
    assert_eq!(paths, ["temperature", "top_p", "reasoning_effort"]);

    let body = br#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let mut target = Target::new(Dialect::OpenaiChat, "gpt-6");
    assert_eq!(target.limit_field, LimitField::MaxCompletionTokens);
    target.has_stream_options = false;
    let (out, _, _) = convert::request_for(Dialect::AnthropicMessages, &target, body).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("\"max_completion_tokens\":5") && !out.contains("stream_options"),
        "{out}"
    );
    assert_eq!(
        Target::new(Dialect::OpenaiChat, "gpt-oss-20b").limit_field,
        LimitField::MaxTokens
    );
    assert_eq!(
        Target::new(Dialect::OpenaiChat, "o3-mini").limit_field,
        LimitField::MaxCompletionTokens
    );
}

// === shared with the other tests of the translation ===

pub(crate) fn other(dialect: Dialect) -> Dialect {
    match dialect {
        Dialect::AnthropicMessages => Dialect::OpenaiChat,
        Dialect::OpenaiChat => Dialect::AnthropicMessages,
    }
}

pub(crate) fn context(near: Dialect, far: Dialect) -> Context {
    let mut names = Names::default();
    // A tool whose name the channel would not take, so that the answer has to call it by its own.
    let long = "get_the_weather_of_a_city_with_a_name_that_is_far_longer_than_openai_takes";
    assert_ne!(names.far(long, 64), long);
    Context {
        created_unix_s: 1_770_000_000,
        far,
        include_usage: true,
        model_asked: "asked".to_owned(),
        model_shown: "shown".to_owned(),
        names,
        near,
        stream: true,
    }
}

pub(crate) fn bridge(context: &Context, events: &[String]) -> BridgeOut {
    let mut bridge = StreamBridge::new(context);
    let mut out = BridgeOut::default();
    for data in events {
        bridge.feed_event(None, data.as_bytes(), &mut out);
    }
    bridge.end(&mut out);
    out
}

/// The data of the events of a stream.
pub(crate) fn events(sse: &str) -> Vec<String> {
    sse.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn fixtures(dialect: Dialect, kind: &str) -> Vec<(String, String)> {
    let mut paths: Vec<_> = std::fs::read_dir(folder(dialect, kind))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures of {kind}");
    let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (stem(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

pub(crate) fn fixture(dialect: Dialect, kind: &str, name: &str) -> String {
    std::fs::read_to_string(folder(dialect, kind).join(name)).unwrap()
}

fn folder(dialect: Dialect, kind: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    root.join("fixtures").join(dialect.name()).join(kind)
}

const fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::AnthropicMessages => "claude-sonnet-5",
        Dialect::OpenaiChat => "local-model",
    }
}

fn page(body: &str, loss: &[Loss], marks: &[Mark]) -> String {
    let mut text = format!("{body}\n== loss ==\n");
    for loss in loss {
        let _ = writeln!(text, "{loss}");
    }
    if !marks.is_empty() {
        text.push_str("== marks ==\n");
        for mark in marks {
            let _ = writeln!(text, "{mark:?}");
        }
    }
    text
}

/// JSON text with line breaks, its tokens untouched, so that a golden shows the digits and the order that were written.
fn pretty(json: &[u8]) -> String {
    let mut out = String::new();
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for c in std::str::from_utf8(json).unwrap().chars() {
        let opens = !in_string && matches!(c, '{' | '[');
        let closes = !in_string && matches!(c, '}' | ']');
        let parts = !in_string && c == ',';
        let is_space = !in_string && c.is_ascii_whitespace();
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        depth = (depth + usize::from(opens)) - usize::from(closes);
        let line = format!("\n{}", "  ".repeat(depth));
        if closes {
            let is_empty = out.trim_end().ends_with(['{', '[']);
            out.truncate(if is_empty { out.trim_end().len() } else { out.len() });
            out.push_str(if is_empty { "" } else { &line });
        }
        if !is_space {
            out.push(c);
        }
        if !in_string && c == ':' {
            out.push(' ');
        }
        if opens || parts {
            out.push_str(&line);
        }
    }
    out
}

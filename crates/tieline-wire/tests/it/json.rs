//! The scan: agrees with serde_json on what is JSON, and refuses what two readers might read differently.

use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;
use tieline_core::{Code, Dialect, Feature};
use tieline_wire::json::{DEPTH_MAX, check};
use tieline_wire::{Head, scan};

const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

fn head(dialect: Dialect, body: &str) -> Head {
    scan(dialect, &Bytes::copy_from_slice(body.as_bytes())).unwrap_or_else(|p| panic!("{body}: {p:?}"))
}

fn code(body: &[u8]) -> Code {
    scan(OPENAI, &Bytes::copy_from_slice(body))
        .expect_err("refused")
        .code
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

#[test]
fn the_fields_that_we_read_are_found() {
    let body = r#" { "messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}}]}],
        "mod\u0065l" : "g\u0070t\n", "stream":true, "max_tokens":5, "max_completion_tokens": 7, "n": 2,
        "tools":[{}], "stream_options": {"include_usage": true, "x": 1} } "#;
    let head = head(OPENAI, body);
    assert_eq!(head.model, "gpt\n");
    assert!(head.stream && head.include_usage && head.tools && head.images && !head.audio && !head.files);
    assert_eq!((head.output_tokens_max, head.answers), (Some(7), 2));
}

#[test]
fn an_anthropic_request_is_read() {
    let body = r#"{"model":"claude","max_tokens":1e3,"n":9,"stream_options":7,"max_completion_tokens":"x","messages":[
        {"role":"user","content":[{"type":"tool_result","content":[{"type":"image"}]},{"type":"document"}]}]}"#;
    let head = head(ANTHROPIC, body);
    assert_eq!((head.output_tokens_max, head.answers), (Some(1000), 1));
    assert!(head.images && head.files && !head.tools && !head.stream);
}

/// A body without its braces, model and messages, and the features that a request with it uses.
#[test]
fn the_features_that_a_request_uses_are_found() {
    let user = r#"{"role":"user","content":"a"}"#;
    let check = |dialect, messages: &str, fields: &str, expected: &str| {
        let body = format!(r#"{{{fields}"model":"m","messages":[{messages}]}}"#);
        let features = head(dialect, &body).features;
        let names: Vec<&str> = features.iter().map(Feature::name).collect();
        assert_eq!(names.join(" "), expected, "{body}");
    };
    for (fields, expected) in [
        ("", ""),
        (r#""temperature":0,"#, "sampling"),
        (r#""temperature":null,"top_p":null,"#, ""),
        (r#""temperature":1,"temperature":null,"#, "sampling"),
        (r#""top_\u0070":0.5,"#, "sampling"),
        (
            r#""seed":1,"stop":["x"],"logprobs":true,"n":2,"#,
            "logprobs sampling several_answers stop",
        ),
        (r#""response_format":{"type":"text"},"#, ""),
        (
            r#""response_format":{"type":"json_object"},"stream":true,"#,
            "streaming structured",
        ),
        (
            r#""response_format":{"json_schema":{"type":"text"},"type":"json_schema"},"#,
            "structured",
        ),
        (r#""reasoning_effort":"low","tools":[{}],"#, "effort tools"),
        (
            r#""tools":[],"output_config":{"effort":"low"},"stop_sequences":["x"],"#,
            "",
        ),
        (r#""thinking":{"type":"disabled"},"#, ""),
        (r#""thinking":7,"#, "thinking"),
    ] {
        check(OPENAI, user, fields, expected);
    }
    for (fields, expected) in [
        (r#""output_config":{"effort":"low"},"#, "effort"),
        (
            r#""output_config":{"format":{"type":"json_schema"},"effort":null},"#,
            "structured",
        ),
        (r#""output_config":"x","seed":1,"reasoning_effort":"low","#, ""),
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024},"stop_sequences":["x"],"#,
            "stop thinking",
        ),
        (r#""thinking":{"type":"disabled"},"top_k":5,"#, "sampling"),
    ] {
        check(ANTHROPIC, user, fields, expected);
    }
    let assistant = r#"{"role":"assistant","content":"a"}"#;
    let picture = r#"{"content":[{"type":"image"}],"role":"user"}"#;
    for dialect in [OPENAI, ANTHROPIC] {
        check(dialect, &format!("{user},{assistant}"), "", "prefill");
        check(dialect, &format!("{assistant},{picture}"), "", "images");
        check(dialect, &format!("{assistant},7"), "", "");
        check(dialect, "", "", "");
    }
}

#[test]
fn absent_and_null_are_the_same() {
    let head = head(
        OPENAI,
        r#"{"model":"m","stream":null,"max_tokens":null,"n":null,"stream_options":null,"tools":null}"#,
    );
    assert!(!head.stream && !head.tools);
    assert_eq!((head.output_tokens_max, head.answers), (None, 1));
}

#[test]
fn bad_bodies_are_refused() {
    for (body, expected) in [
        ("", Code::BodyNotJson),
        ("[]", Code::BodyNotJson),
        ("null", Code::BodyNotJson),
        (r#"{"model":"m"} x"#, Code::BodyNotJson),
        (r#"{"model":"m"}{}"#, Code::BodyNotJson),
        (r#"{"model":"m",}"#, Code::BodyNotJson),
        (r#"{"model":"m""#, Code::BodyNotJson),
        (r#"{"model":"m","x":01}"#, Code::BodyNotJson),
        (r#"{"model":"m","x":1.}"#, Code::BodyNotJson),
        (r#"{"model":"m","x":+1}"#, Code::BodyNotJson),
        (r#"{"model":"m","x":NaN}"#, Code::BodyNotJson),
        (r#"{"model":"m","x":"\x"}"#, Code::BodyNotJson),
        (r#"{"model":"m","x":"\u12g4"}"#, Code::BodyNotJson),
        ("{\"model\":\"m\",\"x\":\"\n\"}", Code::BodyNotJson),
        ("\u{feff}{\"model\":\"m\"}", Code::BodyNotJson),
        ("{}", Code::FieldMissing),
        (r#"{"messages":[]}"#, Code::FieldMissing),
        (r#"{"model":null}"#, Code::FieldWrong),
        (r#"{"model":["m"]}"#, Code::FieldWrong),
        (r#"{"model":"\ud800"}"#, Code::FieldWrong),
        (r#"{"model":"m","stream":"true"}"#, Code::FieldWrong),
        (r#"{"model":"m","stream":1}"#, Code::FieldWrong),
        (r#"{"model":"m","max_tokens":-1}"#, Code::FieldWrong),
        (r#"{"model":"m","max_tokens":1.5}"#, Code::FieldWrong),
        (r#"{"model":"m","max_tokens":"9"}"#, Code::FieldWrong),
        (r#"{"model":"m","stream_options":[]}"#, Code::FieldWrong),
        (r#"{"model":"a","model":"b"}"#, Code::KeyTwice),
        (r#"{"model":"a","mod\u0065l":"b"}"#, Code::KeyTwice),
        (r#"{"stream":true,"model":"a","stream":false}"#, Code::KeyTwice),
        (r#"{"model":"a","max_tokens":1,"max_tokens":2}"#, Code::KeyTwice),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}"#,
            Code::KeyTwice,
        ),
        (r#"{"model":"a","Model":"b"}"#, Code::FieldWrong),
        (r#"{"model":"a","\u004dODEL":"b"}"#, Code::FieldWrong),
        (r#"{"model":"a","ſtream":true}"#, Code::FieldWrong),
        ("{\"model\":\"a\",\"max_to\u{212a}ens\":1}", Code::FieldWrong),
    ] {
        assert_eq!(code(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn the_byte_is_named() {
    let says = |body: &[u8]| {
        scan(OPENAI, &Bytes::copy_from_slice(body))
            .expect_err("refused")
            .says
    };
    assert_eq!(
        says(b"{\"model\": tru}"),
        "The request body is not one valid JSON object at byte 10."
    );
    assert_eq!(
        says(b"{\"model\":\"\xff\"}"),
        "The request body is not valid UTF-8 at byte 10."
    );
    assert_eq!(
        says(b"{\"model\":\"m\"} x"),
        "The request body is not one valid JSON object at byte 14."
    );
}

#[test]
fn utf8_is_checked_everywhere() {
    for bad in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ] {
        let mut body = b"{\"model\":\"m\",\"x\":\"".to_vec();
        body.extend_from_slice(bad);
        body.extend_from_slice(b"\"}");
        assert_eq!(code(&body), Code::BodyNotUtf8, "{bad:?}");
    }
}

#[test]
fn what_we_do_not_read_may_be_anything() {
    let body = r#"{"model":"m","x":1,"x":2,"y":"\ud800","z":1e999,"messages":"no","tools":{"a":[]},"metadata":{"model":1}}"#;
    assert_eq!(head(OPENAI, body).model, "m");
}

#[test]
fn depth_128_is_read_and_129_is_not() {
    let nested = |levels: usize, open: &str, close: &str| {
        // The document itself is one level.
        let inner = levels - 1;
        format!(
            r#"{{"model":"m","x":{}1{}}}"#,
            open.repeat(inner),
            close.repeat(inner)
        )
    };
    let limit = DEPTH_MAX as usize;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        assert_eq!(head(OPENAI, &nested(limit, open, close)).model, "m");
        assert_eq!(code(nested(limit + 1, open, close).as_bytes()), Code::BodyTooDeep);
    }
    // Levels that the reader walks itself count as well.
    let parts = format!(
        r#"{{"model":"m","messages":[{{"content":[{{"type":{}0{}}}]}}]}}"#,
        "[".repeat(124),
        "]".repeat(124)
    );
    assert_eq!(code(parts.as_bytes()), Code::BodyTooDeep);
    let million = "[".repeat(1_000_000);
    assert_eq!(code(format!(r#"{{"x":{million}"#).as_bytes()), Code::BodyTooDeep);
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[\"\\\\\u{0}-\u{1f}a-z/é😀]{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(".{0,12}", inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn json_is_accepted(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(check(text.as_bytes()), Ok(()));
    }

    #[test]
    fn mutated_json_is_judged_as_serde_json_judges_it(
        value in value(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        for (at, byte, kind) in edits {
            // Half of the new bytes are ones that mean something.
            let byte = if byte < 128 { byte } else { b"{}[]\",:\\ 0-.eEtn/u\n"[usize::from(byte) % 20 % 19] };
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => { bytes.remove(at); }
                _ => {}
            }
        }
        prop_assert_eq!(check(&bytes).is_ok(), is_json(&bytes), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn token_soup_is_judged_as_serde_json_judges_it(soup in "([\\[\\]{},:]|\"[a\\\\\"u0]{0,3}\"|-?[0-9.eE+]{1,5}|true|null|nul| ){0,12}") {
        prop_assert_eq!(check(soup.as_bytes()).is_ok(), is_json(soup.as_bytes()), "{}", soup);
    }

    #[test]
    fn the_model_is_what_serde_json_reads(model: String, escape: bool, before in value(), after in value()) {
        let mut quoted = serde_json::to_string(&model).unwrap();
        if escape {
            let units: String = model.encode_utf16().fold(String::new(), |mut text, unit| {
                write!(text, "\\u{unit:04x}").unwrap();
                text
            });
            quoted = format!("\"{units}\"");
        }
        let body = format!("{{\"before\":{before},\"model\" : {quoted},\"after\":{after}}}");
        prop_assert_eq!(head(OPENAI, &body).model, model);
    }

    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        tieline_wire::fuzz::fuzz_scan(&bytes);
        prop_assert_eq!(check(&bytes).is_ok(), is_json(&bytes));
    }
}

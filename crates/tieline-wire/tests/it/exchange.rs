//! Requests between equal dialects: nothing but the declared splices changes.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tieline_core::{Dialect, Mark};
use tieline_wire::{Far, Provider, prepare, scan};

fn send(dialect: Dialect, provider: Provider, model_name: &str, body: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let head = scan(dialect, &body).unwrap();
    let (outgoing, exchange) = prepare(
        dialect,
        &body,
        &head,
        &Far {
            dialect,
            model_name,
            output_tokens_injected: None,
            provider,
        },
    )
    .unwrap();
    assert_eq!(exchange.is_stream(), head.stream);
    assert!(outgoing.loss.is_empty());
    let sent = outgoing.body.concat();
    assert_eq!(sent.len() as u64, outgoing.body_len);
    String::from_utf8(sent).unwrap()
}

fn openai(model_name: &str, body: &str) -> String {
    send(Dialect::OpenaiChat, Provider::Openai, model_name, body)
}

#[test]
fn a_request_that_needs_no_edit_is_the_same_buffer() {
    let body = Bytes::from_static(b"{ \"model\" : \"m\" , \"x\": [1.0, 1e2] }\n");
    let head = scan(Dialect::OpenaiChat, &body).unwrap();
    let far = Far {
        dialect: Dialect::OpenaiChat,
        model_name: "m",
        output_tokens_injected: None,
        provider: Provider::Openai,
    };
    let (outgoing, _) = prepare(Dialect::OpenaiChat, &body, &head, &far).unwrap();
    assert_eq!(outgoing.body.len(), 1);
    assert_eq!(outgoing.body[0].as_ptr(), body.as_ptr());
}

#[test]
fn an_output_limit_is_written_where_the_request_states_none() {
    let check = |near: Dialect, far: (Dialect, Provider), body: &str, expected: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let head = scan(near, &body).unwrap();
        let far = Far {
            dialect: far.0,
            model_name: "m",
            output_tokens_injected: Some(77),
            provider: far.1,
        };
        let (outgoing, _) = prepare(near, &body, &head, &far).unwrap();
        let sent: Vec<u8> = outgoing.body.iter().flat_map(|piece| piece.to_vec()).collect();
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains(expected), "{sent}");
        assert_eq!(
            sent.matches("_tokens").count(),
            expected.matches("_tokens").count(),
            "{sent}"
        );
    };
    let (openai, anthropic) = (Dialect::OpenaiChat, Dialect::AnthropicMessages);
    let plain = (openai, Provider::OpenaiCompatible);
    let own = (openai, Provider::Openai);
    let messages = (anthropic, Provider::Anthropic);
    let open = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    check(openai, plain, open, r#"{"max_tokens":77,"model":"m""#);
    check(openai, own, open, r#"{"max_completion_tokens":77,"model":"m""#);
    check(openai, messages, open, r#""max_tokens":77"#);
    check(anthropic, messages, open, r#"{"max_tokens":77,"model":"m""#);
    check(anthropic, own, open, r#""max_completion_tokens":77"#);
    let null = r#"{"max_tokens": null ,"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    check(openai, plain, null, r#"{"max_tokens": 77 ,"model":"m""#);
    check(anthropic, messages, null, r#"{"max_tokens": 77 ,"model":"m""#);
    let stated = r#"{"max_tokens":5,"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    check(openai, plain, stated, r#"{"max_tokens":5,"model":"m""#);
    check(openai, messages, stated, r#""max_tokens":5"#);
}

#[test]
fn a_long_prompt_is_not_copied() {
    let body = Bytes::from(format!(
        r#"{{"messages":"{}","model":"pool","stream":true}}"#,
        "x".repeat(200_000)
    ));
    let head = scan(Dialect::OpenaiChat, &body).unwrap();
    let far = Far {
        dialect: Dialect::OpenaiChat,
        model_name: "gpt",
        output_tokens_injected: None,
        provider: Provider::Openai,
    };
    let (outgoing, _) = prepare(Dialect::OpenaiChat, &body, &head, &far).unwrap();
    let shared: usize = outgoing
        .body
        .iter()
        .filter(|p| body.as_ptr_range().contains(&p.as_ptr()))
        .map(Bytes::len)
        .sum();
    assert_eq!(shared, body.len() - "\"pool\"".len());
}

#[test]
fn the_declared_splices_are_made() {
    for (body, expected) in [
        (r#"{"model":"pool"}"#, r#"{"model":"gpt"}"#),
        (
            r#"{"model":"pool","stream":false}"#,
            r#"{"model":"gpt","stream":false}"#,
        ),
        (
            r#" {"stream":true, "model":"pool"}"#,
            r#" {"stream_options":{"include_usage":true},"stream":true, "model":"gpt"}"#,
        ),
        (
            r#"{"model":"pool","stream":true,"stream_options":null}"#,
            r#"{"model":"gpt","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{ },"model":"pool","stream":true}"#,
            r#"{"stream_options":{"include_usage":true },"model":"gpt","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_obfuscation":false},"model":"pool","stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"gpt","stream":true}"#,
        ),
        (
            r#"{"model":"pool","stream_options":{"include_usage": false},"stream":true}"#,
            r#"{"model":"gpt","stream_options":{"include_usage": true},"stream":true}"#,
        ),
        (
            r#"{"model":"pool","stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"model":"gpt","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(openai("gpt", body), expected);
    }
    // Neither Anthropic's dialect nor Mistral has the option.
    let body = r#"{"model":"pool","stream":true}"#;
    assert_eq!(
        send(Dialect::AnthropicMessages, Provider::Anthropic, "c", body),
        r#"{"model":"c","stream":true}"#
    );
    assert_eq!(
        send(Dialect::OpenaiChat, Provider::Mistral, "c", body),
        r#"{"model":"c","stream":true}"#
    );
}

#[test]
fn a_name_is_quoted() {
    let sent: Value = serde_json::from_str(&openai("C:\\m\"x\"\n.gguf", r#"{"model":"pool"}"#)).unwrap();
    assert_eq!(sent["model"], "C:\\m\"x\"\n.gguf");
}

#[test]
fn each_provider_gets_its_path_and_headers() {
    let body = Bytes::from_static(b"{\"model\":\"m\"}");
    for provider in Provider::ALL {
        for &dialect in provider.dialects() {
            let head = scan(dialect, &body).unwrap();
            let far = Far {
                dialect,
                model_name: "m",
                output_tokens_injected: None,
                provider: *provider,
            };
            let (outgoing, _) = prepare(dialect, &body, &head, &far).unwrap();
            let has = |name: &str| outgoing.headers.iter().any(|(n, _)| *n == name);
            assert!(has("content-type") && has("accept-encoding"), "{provider:?}");
            assert_eq!(
                has("anthropic-version"),
                dialect == Dialect::AnthropicMessages,
                "{provider:?}"
            );
            let end = if has("anthropic-version") {
                "/messages"
            } else {
                "/chat/completions"
            };
            assert!(outgoing.path.ends_with(end), "{provider:?}");
        }
    }
}

fn spaces() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,3}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Splice locality: outside the edits every byte is the same, and the result scans to the head that was meant.
    #[test]
    fn a_splice_is_local(
        filler in "[a-z\\\\\"é😀]{0,20}", model: String, model_name: String, spaces in spaces(), stream: bool,
        options in prop::sample::select(vec!["", "null", "{}", r#"{"a":[{}]}"#, r#"{"include_usage":false}"#, r#"{"a":1,"include_usage":true}"#]),
        last: bool,
    ) {
        let mut fields = vec![
            format!("\"filler\"{spaces}:{}", json!(filler)),
            format!("{spaces}\"model\"{spaces}:{spaces}{}{spaces}", json!(model)),
            format!("\"stream\":{stream}"),
        ];
        if !options.is_empty() {
            fields.push(format!("\"stream_options\":{spaces}{options}{spaces}"));
        }
        if last {
            fields.reverse();
        }
        let body = format!("{spaces}{{{}}}{spaces}", fields.join(","));
        let sent = openai(&model_name, &body);
        let head = scan(Dialect::OpenaiChat, &Bytes::from(sent.clone())).unwrap();
        prop_assert_eq!(&head.model, &model_name);
        prop_assert_eq!(head.stream, stream);
        if stream {
            prop_assert!(head.include_usage);
        }
        // Undoing the edits in the text gives the body again.
        let field = |name: &str| format!("\"model\"{spaces}:{spaces}{}", json!(name));
        let mut undone = sent.replacen(&field(&model_name), &field(&model), 1);
        if stream && options != r#"{"a":1,"include_usage":true}"# {
            let options_at = format!("\"stream_options\":{spaces}");
            undone = match options {
                "" => undone.replacen("\"stream_options\":{\"include_usage\":true},", "", 1),
                "null" => undone.replacen(&format!("{options_at}{{\"include_usage\":true}}"), &format!("{options_at}null"), 1),
                "{}" => undone.replacen(&format!("{options_at}{{\"include_usage\":true}}"), &format!("{options_at}{{}}"), 1),
                r#"{"include_usage":false}"# => undone.replacen("\"include_usage\":true", "\"include_usage\":false", 1),
                _ => undone.replacen(&format!("{options_at}{{\"include_usage\":true,"), &format!("{options_at}{{"), 1),
            };
        }
        prop_assert_eq!(undone, body);
    }
}

/// Whether the outcome of an answer with this `usage` says what was used.
fn is_counted(usage: &str) -> bool {
    let body = format!(
        r#"{{"choices":[{{"index":0,"message":{{"content":"x"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
    );
    let request = Bytes::from_static(br#"{"model":"m"}"#);
    let head = scan(Dialect::OpenaiChat, &request).unwrap();
    let far = Far {
        dialect: Dialect::OpenaiChat,
        model_name: "m",
        output_tokens_injected: None,
        provider: Provider::Openai,
    };
    let (_, mut exchange) = prepare(Dialect::OpenaiChat, &request, &head, &far).unwrap();
    let marks = exchange.buffered(&Bytes::from(body)).unwrap().marks;
    marks.iter().any(|mark| matches!(mark, Mark::Usage(_)))
}

/// A count that no record can hold is no count: the outcome of its call could not be written.
#[test]
fn usage_beyond_what_json_holds_is_unknown() {
    let usage = |output: u64| is_counted(&format!(r#"{{"prompt_tokens":1,"completion_tokens":{output}}}"#));
    assert!(usage((1 << 53) - 1));
    assert!(!usage(1 << 53));
}

#[test]
fn usage_of_one_side_alone_is_unknown_and_not_zero_for_the_other() {
    for usage in [
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1e999,"completion_tokens":1}"#,
        r#"{"prompt_tokens":null,"completion_tokens":1}"#,
        r#"{"completion_tokens":1}"#,
        r#"{"prompt_tokens":7}"#,
    ] {
        assert!(!is_counted(usage), "{usage}");
    }
    assert!(is_counted(r#"{"prompt_tokens":0,"completion_tokens":1}"#));
}

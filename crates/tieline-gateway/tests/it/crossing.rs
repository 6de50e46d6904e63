//! Caller and channel speak different dialects: the answer is the channel's in the caller's words, and what could not be
//! carried is said.

use serde_json::{Value, json};
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_testkit::{Auto, Channel, ToolCall};

use crate::caller::{Ask, events, is_terminated, said_in};
use crate::house::{self, Plan};
use crate::ledger::ended;

const PAIRS: [(Dialect, Dialect); 2] = [(OpenaiChat, AnthropicMessages), (AnthropicMessages, OpenaiChat)];

fn tool_call() -> ToolCall {
    ToolCall {
        id: "call_1".into(),
        name: "weather".into(),
        arguments: vec!["{\"city\":".into(), "\"Turku\"}".into()],
    }
}

fn with_tool(near: Dialect, stream: bool) -> Ask {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let body = match near {
        OpenaiChat => json!({
            "model": "chat", "stream": stream,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": schema}}],
        }),
        AnthropicMessages => json!({
            "model": "chat", "stream": stream, "max_tokens": 99, "system": "Be brief.",
            "messages": [{"role": "user", "content": "Weather?"}],
            "tools": [{"name": "weather", "input_schema": schema}],
        }),
    };
    match near {
        OpenaiChat => Ask::chat(body.to_string()),
        AnthropicMessages => Ask::messages(body.to_string()),
    }
}

/// Name and arguments of the one tool call of a whole answer.
fn tool_of(near: Dialect, answer: &Value) -> (String, Value) {
    match near {
        OpenaiChat => {
            let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
            let arguments = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
            (call["name"].as_str().unwrap().into(), arguments)
        }
        AnthropicMessages => {
            let blocks = answer["content"].as_array().unwrap();
            let block = blocks.iter().find(|block| block["type"] == "tool_use").unwrap();
            (block["name"].as_str().unwrap().into(), block["input"].clone())
        }
    }
}

/// The same of a stream.
fn tool_in(near: Dialect, bytes: &[u8]) -> (String, Value) {
    let (mut name, mut arguments) = (String::new(), String::new());
    for (_, data) in events(bytes) {
        let Ok(event) = serde_json::from_str::<Value>(&data) else {
            continue;
        };
        let (begun, more) = match near {
            OpenaiChat => {
                let call = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
                (call["name"].clone(), call["arguments"].clone())
            }
            AnthropicMessages => (
                event["content_block"]["name"].clone(),
                event["delta"]["partial_json"].clone(),
            ),
        };
        name.push_str(begun.as_str().unwrap_or_default());
        arguments.push_str(more.as_str().unwrap_or_default());
    }
    (name, serde_json::from_str(&arguments).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_crosses_both_ways() {
    for (near, far) in PAIRS {
        let channel = Channel::start(Auto::saying("From afar")).unwrap();
        let house = Plan::new(vec![house::way("a", far, &channel)]).start().await;
        let reply = house.ask(Ask::plain(near, false)).await;
        assert_eq!(reply.said(), "From afar");
        let answer = reply.json();
        if near == OpenaiChat {
            assert_eq!(answer["object"], "chat.completion");
            assert_eq!(answer["choices"][0]["finish_reason"], "stop");
            let created = answer["created"].as_u64().unwrap();
            assert!(created > 1_700_000_000, "an answer is dated: {created}");
        } else {
            assert_eq!(
                (&answer["type"], &answer["stop_reason"]),
                (&json!("message"), &json!("end_turn"))
            );
        }
        let seen = &channel.seen()[0];
        let sent = seen.json().unwrap();
        assert_eq!(sent["model"], "a/m1");
        let path = if far == OpenaiChat {
            "/v1/chat/completions"
        } else {
            "/v1/messages"
        };
        assert_eq!(seen.path, path);
        // The caller's unknown member has no place in the other dialect.
        let header = reply.header("x-tieline-loss").unwrap_or_default().to_owned();
        assert!(header.contains("dropped x_unknown"), "{header}");
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Served, None));
        let lost: Vec<&str> = outcome.loss.iter().map(|loss| &*loss.path).collect();
        assert!(lost.contains(&"x_unknown"), "{lost:?}");
        assert!(outcome.usage.is_some_and(|usage| usage.output > 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_crosses_both_ways_and_is_terminated_in_the_caller_s_dialect() {
    for (near, far) in PAIRS {
        let channel = Channel::start(Auto::saying("From afar").chunks(4)).unwrap();
        let house = Plan::new(vec![house::way("a", far, &channel)]).start().await;
        let reply = house.ask(Ask::plain(near, true)).await;
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert_eq!(said_in(&reply.bytes()), "From afar");
        assert!(is_terminated(near, &reply.bytes()), "{}", reply.text());
        if near == OpenaiChat {
            let first: Value = serde_json::from_str(&events(&reply.bytes())[0].1).unwrap();
            assert!(first["created"].as_u64().unwrap() > 1_700_000_000, "{first}");
        }
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Served, None));
        assert_eq!(outcome.attempts[0].content_events, 4);
        assert!(outcome.usage.is_some_and(|usage| usage.output > 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_call_crosses_both_ways_whole_and_streamed() {
    for (near, far) in PAIRS {
        let channel = Channel::start(Auto::default().tool_call(tool_call())).unwrap();
        let house = Plan::new(vec![house::way("a", far, &channel)]).start().await;
        let expected = ("weather".to_owned(), json!({"city": "Turku"}));
        let whole = house.ask(with_tool(near, false)).await;
        assert_eq!(tool_of(near, &whole.json()), expected);
        let stream = house.ask(with_tool(near, true)).await;
        assert_eq!(tool_in(near, &stream.bytes()), expected);
        assert!(is_terminated(near, &stream.bytes()));
        let sent = channel.seen()[0].json().unwrap();
        let tool = match far {
            OpenaiChat => &sent["tools"][0]["function"]["name"],
            AnthropicMessages => &sent["tools"][0]["name"],
        };
        assert_eq!(tool, "weather");
        let book = house.stop().await;
        assert_eq!(book.results(), [Outcome::Served; 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_dialect_can_carry_is_the_caller_s_to_change() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::anthropic("a", &channel)]).start().await;
    let reply = house
        .ask(Ask::chat(r#"{"model":"chat","messages":"not a list"}"#))
        .await;
    let (status, kind, code) = reply.problem(OpenaiChat);
    assert_eq!(
        (status, kind.as_str()),
        (400, "invalid_request_error"),
        "{}",
        reply.text()
    );
    assert_eq!(code.as_deref(), Some("translation_impossible"));
    assert!(reply.text().contains("column 39"), "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(channel.seen_count(), 0);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Refused]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_dialect_takes_over_before_the_first_byte() {
    for (near, far) in PAIRS {
        for stream in [false, true] {
            let dead = Channel::start(tieline_testkit::Act::refuse()).unwrap();
            let other = Channel::start(Auto::saying("From afar")).unwrap();
            let ways = vec![house::way("a", near, &dead), house::way("b", far, &other)];
            let house = Plan::new(ways).start().await;
            let reply = house.ask(Ask::plain(near, stream)).await;
            assert_eq!(reply.said(), "From afar");
            assert_eq!(reply.header("x-tieline-channel"), Some("b"));
            let book = house.stop().await;
            let (_, outcome) = book.only();
            let reset = Some(tieline_core::FaultKind::Reset);
            assert_eq!(crate::ledger::attempts(outcome), [("a", reset), ("b", None)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_s_refusal_of_the_request_is_told_in_the_caller_s_dialect() {
    use tieline_testkit::canned;
    for (near, error) in [
        (AnthropicMessages, canned::OPENAI_CONTEXT_LENGTH),
        (OpenaiChat, canned::ANTHROPIC_CONTEXT_LENGTH),
        (AnthropicMessages, canned::OPENAI_CONTENT_FILTER),
        (OpenaiChat, canned::ANTHROPIC_INVALID_REQUEST),
    ] {
        let far = if near == OpenaiChat {
            AnthropicMessages
        } else {
            OpenaiChat
        };
        let channel = Channel::start(error.act()).unwrap();
        let house = Plan::new(vec![house::way("a", far, &channel)]).start().await;
        let reply = house.ask(Ask::plain(near, false)).await;
        let (status, kind, _) = reply.problem(near);
        assert_eq!(
            (status, kind.as_str()),
            (400, "invalid_request_error"),
            "{}",
            reply.text()
        );
        let said: Value = serde_json::from_str(error.body).unwrap();
        assert_eq!(reply.json()["error"]["message"], said["error"]["message"]);
        let book = house.stop().await;
        assert_eq!(ended(book.only().1), (Outcome::Relayed, None));
    }
}

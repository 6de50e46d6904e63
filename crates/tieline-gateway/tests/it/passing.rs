//! Caller and channel speak the same dialect: the bytes are the caller's and the channel's.

use std::time::Duration;

use tieline_core::record::Outcome;
use tieline_core::{Dialect, Usage};
use tieline_testkit::{Act, Answer, Auto, Channel};

use crate::caller::{Ask, CHAT, CHAT_STREAM, Caller, End, MESSAGES, MESSAGES_STREAM, is_terminated};
use crate::house::{self, CREDENTIAL, LIMIT, Plan, far_name, key};
use crate::ledger::{attempts, ended};

const DIALECTS: [Dialect; 2] = [Dialect::OpenaiChat, Dialect::AnthropicMessages];

/// A whole answer with members that nobody reads and spaces where none are needed.
fn whole(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => {
            r#"{ "id":"c-1","object":"chat.completion","created":1,"model":"far", "x":[1.50,"\u00e9"],"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#
        }
        Dialect::AnthropicMessages => {
            r#"{ "id":"msg-1","type":"message","role":"assistant","model":"far", "x":[1.50,"\u00e9"],"content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":2}}"#
        }
    }
}

fn frames(dialect: Dialect, include_usage: bool) -> Vec<bytes::Bytes> {
    let answer = Answer::default();
    match dialect {
        Dialect::OpenaiChat => answer.openai_stream(include_usage),
        Dialect::AnthropicMessages => answer.anthropic_stream(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_passes_byte_for_byte_and_only_the_model_s_name_is_spliced_into_the_request() {
    for dialect in DIALECTS {
        let channel = Channel::start(Act::json(whole(dialect))).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let reply = house.ask(Ask::plain(dialect, false)).await;
        assert_eq!((reply.status(), reply.text()), (200, whole(dialect).to_owned()));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-tieline-channel"), Some("a"));
        assert_eq!(reply.header("x-tieline-loss"), None);
        let seen = channel.seen();
        let sent = match dialect {
            Dialect::OpenaiChat => CHAT,
            Dialect::AnthropicMessages => MESSAGES,
        };
        let expected = sent.replace("\"chat\"", &format!("\"{}\"", far_name("a")));
        assert_eq!(std::str::from_utf8(&seen[0].body).unwrap(), expected);
        let path = match dialect {
            Dialect::OpenaiChat => "/v1/chat/completions",
            Dialect::AnthropicMessages => "/v1/messages",
        };
        assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", path));
        let call = reply.call();
        let book = house.stop().await;
        let (decision, outcome) = book.only();
        assert_eq!(decision.id, call);
        assert_eq!(decision.intake.body_bytes, sent.len() as u64);
        assert_eq!(ended(outcome), (Outcome::Served, None));
        let usage = Usage {
            input: 9,
            output: 2,
            ..Usage::default()
        };
        assert_eq!(outcome.usage, Some(usage));
        assert_eq!(outcome.cost_nano.map(|nano| nano.0), Some(9 * 1_000 + 2 * 2_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_passes_byte_for_byte_and_ends_as_the_channel_ended_it() {
    for dialect in DIALECTS {
        let channel = Channel::start(Act::stream(frames(dialect, false))).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let reply = house.ask(Ask::plain(dialect, true)).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert_eq!(reply.bytes(), frames(dialect, false).concat());
        let seen = channel.seen();
        let sent = match dialect {
            // Usage is asked for on the caller's behalf, at the front of the object.
            Dialect::OpenaiChat => {
                CHAT_STREAM.replacen('{', "{\"stream_options\":{\"include_usage\":true},", 1)
            }
            Dialect::AnthropicMessages => MESSAGES_STREAM.to_owned(),
        };
        let expected = sent.replace("\"chat\"", &format!("\"{}\"", far_name("a")));
        assert_eq!(std::str::from_utf8(&seen[0].body).unwrap(), expected);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Served, None));
        assert_eq!(outcome.attempts[0].content_events, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_the_caller_did_not_ask_for_is_metered_and_taken_out_again() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let without = house.ask(Ask::chat(CHAT_STREAM)).await;
    let asked = CHAT_STREAM.replacen('{', "{\"stream_options\":{\"include_usage\":true},", 1);
    let with = house.ask(Ask::chat(asked)).await;
    assert!(!without.text().contains("prompt_tokens"), "{}", without.text());
    assert!(with.text().contains("prompt_tokens"), "{}", with.text());
    for reply in [&without, &with] {
        assert!(is_terminated(Dialect::OpenaiChat, &reply.bytes()));
        assert_eq!(reply.said(), "Hello there");
    }
    let book = house.stop().await;
    for outcome in book.outcomes.values() {
        assert_eq!(outcome.usage.unwrap().output, 3, "{outcome:?}");
        assert!(outcome.cost_nano.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_many_pieces_is_the_same_answer() {
    for dialect in DIALECTS {
        let stream = Act::stream(frames(dialect, false)).drip(7, Duration::from_micros(50));
        let points: Vec<usize> = (1..40).map(|n| n * 11).collect();
        let buffered = Act::json(whole(dialect)).split_at_bytes(&points, Some(Duration::from_micros(50)));
        let channel = Channel::start(tieline_testkit::Script::new().then(stream).then(buffered)).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let streamed = house.ask(Ask::plain(dialect, true)).await;
        assert_eq!(streamed.bytes(), frames(dialect, false).concat());
        // Whatever the splits, each piece that the caller gets ends at the end of an event.
        for chunk in &streamed.chunks {
            assert!(chunk.ends_with(b"\n"), "{chunk:?}");
        }
        let reply = house.ask(Ask::plain(dialect, false)).await;
        assert_eq!(reply.text(), whole(dialect));
        let book = house.stop().await;
        assert_eq!(book.results(), [Outcome::Served; 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_in_pieces_is_the_same_request() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut caller = crate::caller::Caller::connect(house.listen).await;
    let ask = Ask::chat(CHAT);
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", ask.head());
    caller.send_raw(head.as_bytes()).await;
    for piece in ask.body.chunks(9) {
        let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        caller.send_raw(&framed).await;
        tokio::task::yield_now().await;
    }
    caller.send_raw(b"0\r\n\r\n").await;
    assert_eq!(caller.reply().await.said(), "Hello there");
    // The connection serves another call.
    caller.send(&ask).await;
    assert_eq!(caller.reply().await.said(), "Hello there");
    let seen = channel.seen();
    assert_eq!(seen[0].body, seen[1].body);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_leaves_while_the_channel_still_speaks() {
    for dialect in DIALECTS {
        let gate = tieline_testkit::Gate::new();
        let all = frames(dialect, false);
        let act = Act::stream(all.clone()).gate_before_frame(all.len() - 1, &gate);
        let channel = Channel::start(act).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let mut caller = crate::caller::Caller::connect(house.listen).await;
        caller.send(&Ask::plain(dialect, true)).await;
        assert_eq!(caller.head().await.status, 200);
        let expected = all[..all.len() - 1].concat();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend_from_slice(&caller.chunk().await.unwrap());
        }
        assert_eq!(got, expected);
        assert!(gate.wait_reached(1, LIMIT).await);
        gate.open();
        let (rest, end) = caller.rest().await;
        assert_eq!((rest.concat(), end), (all[all.len() - 1].to_vec(), End::Framed));
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_declared_headers_go_through_and_the_caller_s_key_stays_here() {
    let (trace, state) = (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "vendor=1",
    );
    for dialect in DIALECTS {
        let act = Act::json(whole(dialect))
            .header("x-request-id", "req-9")
            .header("set-cookie", "a=b")
            .header("x-ratelimit-remaining-requests", "7");
        let channel = Channel::start(act).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let ask = Ask::plain(dialect, false)
            .header("traceparent", trace)
            .header("tracestate", state)
            .header("tracestate", "other=2")
            .header("anthropic-beta", "beta-1")
            .header("anthropic-beta", "beta-2")
            .header("openai-beta", "beta-3")
            .header("cookie", "secret=1")
            .header("accept-encoding", "gzip")
            .header("x-forwarded-for", "10.0.0.1");
        let reply = house.ask(ask).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.header("x-request-id"), Some("req-9"));
        for name in ["set-cookie", "x-ratelimit-remaining-requests"] {
            assert_eq!(reply.header(name), None, "{name}");
        }
        let seen = &channel.seen()[0];
        let all = |name: &str| -> Vec<String> {
            let of = seen
                .headers
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name));
            of.map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(all("traceparent"), [trace]);
        assert_eq!(all("tracestate"), [state, "other=2"]);
        assert_eq!(all("accept-encoding"), ["identity"]);
        for name in ["cookie", "x-forwarded-for"] {
            assert_eq!(all(name), Vec::<String>::new(), "{name}");
        }
        let bearer = format!("Bearer {CREDENTIAL}");
        match dialect {
            Dialect::OpenaiChat => {
                assert_eq!(all("authorization"), [bearer]);
                assert_eq!(all("openai-beta"), ["beta-3"]);
                assert_eq!(all("anthropic-beta"), Vec::<String>::new());
            }
            Dialect::AnthropicMessages => {
                assert_eq!(all("x-api-key"), [CREDENTIAL]);
                assert_eq!(all("authorization"), Vec::<String>::new());
                assert_eq!(all("anthropic-version"), ["2023-06-01"]);
                assert_eq!(all("anthropic-beta"), ["beta-1", "beta-2"]);
            }
        }
        let said = format!("{:?}", seen.headers);
        assert!(!said.contains(&key(house::ALLOWED)), "{said}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_models_is_what_the_key_may_ask_for() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &channel).models(&["m1", "m2"])]);
    plan.models = vec!["m1", "m2"];
    let house = plan.start().await;
    let list = |number| Ask::get("/v1/models").key(number);
    let ids = |reply: crate::caller::Reply| -> Vec<String> {
        let json = reply.json();
        let data = json["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(house.ask(list(house::ALLOWED)).await), ["chat", "m1", "m2"]);
    let scoped = list(house::SCOPED).header("anthropic-version", "2023-06-01");
    assert_eq!(ids(house.ask(scoped).await), ["m2"]);
    assert_eq!(house.ask(Ask::get("/v1/models")).await.status(), 401);
    assert_eq!(channel.seen_count(), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_model_is_shown_as_it_stands_in_the_list() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &channel).models(&["m1", "m2"])]);
    plan.models = vec!["m1", "m2"];
    let house = plan.start().await;
    let one = |name: &str, number| Ask::get(&format!("/v1/models/{name}")).key(number);
    let anthropic = |ask: Ask| ask.header("anthropic-version", "2023-06-01");
    let list = house.ask(Ask::get("/v1/models").key(house::ALLOWED)).await.json();
    for (ix, name) in ["chat", "m1", "%6d2"].into_iter().enumerate() {
        let mut card = house.ask(one(name, house::ALLOWED)).await.json();
        let mut listed = list["data"][ix].clone();
        assert_eq!(card["object"], "model");
        // The second of the request is the only thing that may differ.
        (card["created"], listed["created"]) = (0.into(), 0.into());
        assert_eq!(card, listed);
    }
    let card = house.ask(anthropic(one("m2", house::SCOPED))).await.json();
    assert_eq!(
        (&card["type"], &card["id"], &card["display_name"]),
        (&"model".into(), &"m2".into(), &"m2".into())
    );
    // Of what the key may not ask for, no more is said than of what there is not.
    for ask in [
        one("m1", house::SCOPED),
        one("m9", house::ALLOWED),
        one("%ff", house::ALLOWED),
    ] {
        for (dialect, ask) in [
            (Dialect::OpenaiChat, ask.clone()),
            (Dialect::AnthropicMessages, anthropic(ask)),
        ] {
            let reply = house.ask(ask).await;
            let (status, _, code) = reply.problem(dialect);
            assert_eq!((status, code.as_deref()), (404, Some("pool_unknown")));
        }
    }
    assert_eq!(house.ask(Ask::get("/v1/models/m1")).await.status(), 401);
    assert_eq!(channel.seen_count(), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_what_get_answers_without_the_content() {
    let house = Plan::new(Vec::new()).start().await;
    let mut caller = Caller::connect(house.listen).await;
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/v1/models",
        "/v1/models/chat",
        "/v1/models/m9",
    ] {
        let mut replies = Vec::new();
        // On one connection: a byte of content after the head would be the next answer's.
        for method in ["HEAD", "GET", "HEAD"] {
            caller.send(&Ask::new(method, path, "").key(house::ALLOWED)).await;
            let reply = caller.reply_to(method).await;
            assert_eq!(reply.bytes().is_empty(), method == "HEAD", "{method} {path}");
            replies.push(reply);
        }
        for reply in &replies {
            assert_eq!(reply.status(), replies[1].status(), "{path}");
            for header in ["content-type", "content-length"] {
                assert_eq!(reply.header(header), replies[1].header(header), "{path} {header}");
            }
        }
    }
    drop(caller);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_may_be_asked_for_by_its_own_name() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let reply = house.ask(Ask::chat(CHAT.replace("\"chat\"", "\"m1\""))).await;
    assert_eq!(reply.said(), "Hello there");
    let book = house.stop().await;
    let (decision, outcome) = book.only();
    let asked = tieline_core::record::AskRecord::Model("m1".into());
    assert_eq!(decision.intake.ask, asked);
    assert_eq!(attempts(outcome), [("a", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_and_answers_pass_whole() {
    let text = "x".repeat(6 << 20);
    let answer = Answer {
        text: vec![text.clone()],
        ..Answer::default()
    };
    let channel = Channel::start(Act::json(answer.openai_json())).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let body = format!(r#"{{"model":"chat","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let reply = house.ask(Ask::chat(&body)).await;
    assert!(reply.bytes() == answer.openai_json(), "the answer passes");
    let expected = body.replacen("\"chat\"", "\"a/m1\"", 1);
    assert!(channel.seen()[0].body == expected, "the request passes");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_a_channel_serves_call_after_call() {
    let script = tieline_testkit::Script::new()
        .then(Act::auto())
        .then(tieline_testkit::canned::OPENAI_INVALID_REQUEST.act());
    let channel = Channel::start(script).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    for n in 0..6 {
        house.ask(Ask::plain(Dialect::OpenaiChat, n % 2 == 1)).await;
        house.quiet().await;
    }
    assert_eq!((channel.seen_count(), channel.accepted_count()), (6, 1));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_asks_first_is_told_to_go_on_only_if_its_key_is_known() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    for (number, status) in [(house::ALLOWED, 100), (99, 401)] {
        let ask = Ask::chat(CHAT).key(number).header("expect", "100-continue");
        let mut caller = crate::caller::Caller::connect(house.listen).await;
        let head = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
        caller.send_raw(head.as_bytes()).await;
        assert_eq!(caller.head().await.status, status);
        if status == 100 {
            caller.send_raw(&ask.body).await;
            assert_eq!(caller.reply().await.said(), "Hello there");
        }
    }
    house.stop().await;
}

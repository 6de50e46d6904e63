//! Requests that cannot be served: a clear error in the caller's dialect, a record where the key is valid, no panic.

use tieline_core::Code;
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::{AskRecord, Outcome};
use tieline_testkit::{Auto, Channel};

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, Plan};
use crate::ledger::ended;

const DIALECTS: [Dialect; 2] = [OpenaiChat, AnthropicMessages];

/// The body is refused with `code`, and recorded.
async fn refused(dialect: Dialect, body: &[u8], code: Code) -> Reply {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
    let reply = house.ask(Ask::post(dialect, body).key(house::ALLOWED)).await;
    let (status, _, found) = reply.problem(dialect);
    assert_eq!(
        (status, found.as_deref()),
        (code.status(), Some(code.name())),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("x-tieline-error"), Some(code.number()));
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    // The next call on the same gateway is none the worse.
    assert_eq!(house.ask(Ask::plain(dialect, false)).await.status(), 200);
    assert_eq!(channel.seen_count(), 1);
    let call = reply.call();
    let book = house.stop().await;
    let (decision, outcome) = book.call(call);
    assert_eq!(decision.code, Some(code));
    assert_eq!(ended(outcome), (Outcome::Refused, Some(code)));
    assert!(outcome.attempts.is_empty());
    if !matches!(code, Code::PoolUnknown) {
        assert_eq!(decision.intake.ask, AskRecord::Unreadable(code));
    }
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_json_is_refused_with_the_place() {
    for dialect in DIALECTS {
        for body in [
            "",
            "hello",
            "{\"model\":\"chat\"",
            "{\"model\":\"chat\",}",
            "[1]",
            "{\"model\":\"chat\"} x",
            "nul",
        ] {
            refused(dialect, body.as_bytes(), Code::BodyNotJson).await;
        }
        let reply = refused(dialect, b"{\"model\":\"chat\",]", Code::BodyNotJson).await;
        assert!(reply.text().contains("16"), "the byte is named: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_refused_with_what_to_do() {
    for dialect in DIALECTS {
        let channel = Channel::start(Auto::default()).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        for coding in ["gzip", "zstd", "identity, br", "GZIP"] {
            let mut ask = Ask::plain(dialect, false).header("content-encoding", coding);
            ask.body = b"\x1f\x8b\x08\x00".to_vec();
            let reply = house.ask(ask).await;
            let (status, kind, code) = reply.problem(dialect);
            assert_eq!(
                (status, kind.as_str(), code.as_deref()),
                (415, "invalid_request_error", Some("body_encoded")),
                "{coding}"
            );
            assert!(
                reply.text().contains("without `content-encoding`"),
                "{}",
                reply.text()
            );
            assert_eq!(reply.header("accept-encoding"), Some("identity"));
            assert_eq!(reply.header("x-should-retry"), Some("false"));
        }
        for coding in ["identity", "", "Identity"] {
            let ask = Ask::plain(dialect, false).header("content-encoding", coding);
            assert_eq!(house.ask(ask).await.status(), 200, "{coding}");
        }
        let book = house.stop().await;
        let asks = book
            .decisions
            .values()
            .map(|decision| decision.intake.ask.clone());
        let refused = asks.filter(|ask| *ask == AskRecord::Unreadable(Code::BodyEncoded));
        assert_eq!((refused.count(), book.decisions.len()), (4, 7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_utf8_is_refused() {
    for dialect in DIALECTS {
        refused(dialect, b"{\"model\":\"chat\",\"x\":\"\xff\"}", Code::BodyNotUtf8).await;
        refused(dialect, b"\xfe\xff", Code::BodyNotUtf8).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_129_levels_deep_is_refused_and_one_128_deep_is_not() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"model":"chat","messages":[{{"role":"user","content":"Hi"}}],"x":{open}{close}}}"#)
    };
    for dialect in DIALECTS {
        refused(dialect, nested(129).as_bytes(), Code::BodyTooDeep).await;
        refused(dialect, nested(100_000).as_bytes(), Code::BodyTooDeep).await;
    }
    let channel = Channel::start(tieline_testkit::Act::json(
        tieline_testkit::Answer::default().openai_json(),
    ))
    .unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    assert_eq!(house.ask(Ask::chat(nested(128))).await.status(), 200);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_models_in_one_request_are_refused() {
    for dialect in DIALECTS {
        let body = br#"{"model":"chat","messages":[],"model":"m1"}"#;
        let reply = refused(dialect, body, Code::KeyTwice).await;
        assert!(reply.text().contains("model"), "{}", reply.text());
        refused(dialect, br#"{"model":"chat","mod\u0065l":"m1"}"#, Code::KeyTwice).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_missing_or_no_text_is_refused() {
    for dialect in DIALECTS {
        refused(dialect, br#"{"messages":[]}"#, Code::FieldMissing).await;
        refused(dialect, br#"{"model":7}"#, Code::FieldWrong).await;
        refused(dialect, br#"{"model":"chat","stream":"yes"}"#, Code::FieldWrong).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_pool_is_named_and_prose_in_its_place_is_not_recorded() {
    for dialect in DIALECTS {
        let reply = refused(dialect, br#"{"model":"gpt-0"}"#, Code::PoolUnknown).await;
        assert!(reply.text().contains("gpt-0"), "{}", reply.text());
        refused(
            dialect,
            br#"{"model":"my password is hunter2"}"#,
            Code::PoolUnknown,
        )
        .await;
    }
    let house = Plan::new(Vec::new()).start().await;
    house
        .ask(Ask::chat(r#"{"model":"my password is hunter2"}"#))
        .await;
    let book = house.stop().await;
    assert_eq!(book.only().0.intake.ask, AskRecord::Unknown(None));
    assert!(!format!("{:?}", book.entries).contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_missing_wrong_or_revoked_are_refused_and_leave_no_record() {
    for dialect in DIALECTS {
        let channel = Channel::start(Auto::default()).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let plain = || Ask::plain(dialect, false);
        let mut keyless = plain();
        keyless
            .headers
            .retain(|(name, _)| name != "authorization" && name != "x-api-key");
        let admin = plain().key(house::OPERATOR);
        let cases = [
            (keyless.clone(), Code::KeyMissing),
            (keyless.header("authorization", "Basic abc"), Code::KeyMissing),
            (plain().key(99), Code::KeyUnknown),
            (admin, Code::KeyUnknown),
            (plain().key(house::REVOKED), Code::KeyRevoked),
        ];
        for (ask, code) in cases {
            let reply = house.ask(ask).await;
            let (status, kind, found) = reply.problem(dialect);
            assert_eq!((status, found.as_deref()), (401, Some(code.name())));
            if dialect == AnthropicMessages {
                assert_eq!(kind, "authentication_error");
            }
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            reply.call();
        }
        assert_eq!(channel.accepted_count(), 0);
        let metrics = house.admin(house::READER, "GET", "/metrics", "").await.text();
        assert!(metrics.contains("tieline_unauthenticated_total 5"), "{metrics}");
        let book = house.stop().await;
        assert!(book.decisions.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_asks_only_for_what_its_scope_names() {
    for dialect in DIALECTS {
        let channel = Channel::start(Auto::default()).unwrap();
        let mut plan = Plan::new(vec![house::way("a", dialect, &channel).models(&["m1", "m2"])]);
        plan.models = vec!["m1", "m2"];
        let house = plan.start().await;
        let reply = house.ask(Ask::plain(dialect, false).key(house::SCOPED)).await;
        let (status, kind, code) = reply.problem(dialect);
        assert_eq!(
            (status, kind.as_str(), code.as_deref()),
            (403, "permission_error", Some("pool_forbidden"))
        );
        assert_eq!(channel.accepted_count(), 0);
        let mut named = Ask::plain(dialect, false).key(house::SCOPED);
        named.body = String::from_utf8(named.body)
            .unwrap()
            .replace("\"chat\"", "\"m2\"")
            .into_bytes();
        assert_eq!(house.ask(named).await.status(), 200);
        let call = reply.call();
        let book = house.stop().await;
        let (decision, outcome) = book.call(call);
        assert!(!decision.intake.in_scope);
        assert_eq!(ended(outcome), (Outcome::Refused, Some(Code::PoolForbidden)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_do_not_exist_are_told_so() {
    let house = Plan::new(Vec::new()).start().await;
    for (method, path, status) in [
        ("POST", "/", 405),
        ("GET", "/v1", 404),
        ("HEAD", "/v1/messages", 405),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/messages", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/admin/v1/status", 404),
        ("GET", "/metrics", 404),
    ] {
        let dialect = if path.contains("messages") {
            AnthropicMessages
        } else {
            OpenaiChat
        };
        let ask = Ask::new(method, path, "").key(house::ALLOWED);
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask).await;
        let reply = caller.reply_to(method).await;
        assert_eq!(reply.status(), status, "{method} {path}");
        if method != "HEAD" {
            reply.problem(dialect);
        }
        assert_eq!(reply.header("allow").is_some(), status == 405, "{method} {path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(house.ask(Ask::get(path)).await.status(), 200);
    }
    let book = house.stop().await;
    assert!(book.decisions.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_request_end_the_connection_and_nothing_else() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let noise = [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/chat/completions HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot frames at all, and more than nine bytes of them",
    ];
    for bytes in noise {
        let mut caller = Caller::connect(house.listen).await;
        caller.send_raw(bytes).await;
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut caller.stream, &mut rest);
        let _ = tokio::time::timeout(house::LIMIT, read)
            .await
            .expect("the connection ends");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    house.stop().await;
}

//! Every limit: of bodies, heads, times, connections, calls, keys and channels.

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::call::Why;
use tieline_core::record::{AskRecord, Outcome};
use tieline_core::{Bucket, Code, Criticality, Limits, Quota, QuotaModel};
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller, End};
use crate::house::{self, LIMIT, Plan};
use crate::ledger::{attempts, ended};

const TIGHT: u8 = 20;
const SHEDDABLE: u8 = 21;
const CRITICAL: u8 = 22;

fn channel() -> Channel {
    Channel::start(Auto::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_announced_too_large_is_refused_unread() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let channel = channel();
        let plan = Plan::new(vec![house::way("a", dialect, &channel)]);
        let house = plan
            .gateway(|gateway| gateway.body_bytes_max = 1_000)
            .start()
            .await;
        let mut caller = Caller::connect(house.listen).await;
        let head = format!(
            "{}content-length: 1001\r\n\r\n",
            Ask::plain(dialect, false).head()
        );
        caller.send_raw(head.as_bytes()).await;
        let reply = caller.reply().await;
        let (status, _, code) = reply.problem(dialect);
        assert_eq!((status, code.as_deref()), (413, Some("body_too_large")));
        assert!(reply.text().contains("1000 bytes"), "{}", reply.text());
        let book = house.stop().await;
        let (decision, outcome) = book.only();
        assert_eq!(decision.intake.ask, AskRecord::Unreadable(Code::BodyTooLarge));
        assert_eq!(ended(outcome), (Outcome::Refused, Some(Code::BodyTooLarge)));
        assert_eq!(channel.accepted_count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_grows_too_large_in_chunks_is_refused() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| gateway.body_bytes_max = 1_000)
        .start()
        .await;
    let mut caller = Caller::connect(house.listen).await;
    let head = format!(
        "{}transfer-encoding: chunked\r\n\r\n",
        Ask::plain(OpenaiChat, false).head()
    );
    caller.send_raw(head.as_bytes()).await;
    for _ in 0..3 {
        caller
            .send_raw(format!("190\r\n{}\r\n", "x".repeat(400)).as_bytes())
            .await;
    }
    assert_eq!(caller.reply().await.problem(OpenaiChat).0, 413);
    let book = house.stop().await;
    assert_eq!(ended(book.only().1), (Outcome::Refused, Some(Code::BodyTooLarge)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_just_the_limit_is_taken() {
    let channel = channel();
    let ask = Ask::plain(OpenaiChat, false);
    let limit = ask.body.len();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| gateway.body_bytes_max = limit)
        .start()
        .await;
    assert_eq!(house.ask(ask.clone()).await.status(), 200);
    let mut longer = ask;
    longer.body.push(b' ');
    assert_eq!(house.ask(longer).await.status(), 413);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_too_slowly_is_refused() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.gateway(|gateway| gateway.body_ms = 200).start().await;
    let mut caller = Caller::connect(house.listen).await;
    let head = format!(
        "{}content-length: 100\r\n\r\n{{",
        Ask::plain(OpenaiChat, false).head()
    );
    caller.send_raw(head.as_bytes()).await;
    let reply = caller.reply().await;
    let (status, _, code) = reply.problem(OpenaiChat);
    assert_eq!((status, code.as_deref()), (408, Some("body_timeout")));
    let book = house.stop().await;
    assert_eq!(ended(book.only().1), (Outcome::Refused, Some(Code::BodyTimeout)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_over_the_limit_is_refused() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| gateway.header_bytes_max = 16 << 10)
        .start()
        .await;
    let mut caller = Caller::connect(house.listen).await;
    let ask = Ask::plain(OpenaiChat, false).header("x-long", &"x".repeat(20 << 10));
    caller.send(&ask).await;
    assert_eq!(caller.head().await.status, 431);
    // What fits is served, whatever one header has.
    let ask = Ask::plain(OpenaiChat, false).header("x-long", &"x".repeat(12 << 10));
    assert_eq!(house.ask(ask).await.status(), 200);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_no_head_in_time_is_disconnected() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.gateway(|gateway| gateway.header_ms = 200).start().await;
    // Nothing at all, a part of a head, the first bytes of the preface of HTTP/2, and a served call and then nothing.
    for begun in [
        "",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n",
        "PRI * HT",
    ] {
        let mut caller = Caller::connect(house.listen).await;
        caller.send_raw(begun.as_bytes()).await;
        if begun.starts_with("POST") {
            // hyper may say 408 first.
            let mut rest = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut caller.stream, &mut rest);
            let read = tokio::time::timeout(LIMIT, read).await.unwrap();
            assert!(read.is_ok() && !rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
        } else {
            assert_eq!(caller.closed().await, End::Fin, "after {begun:?}");
        }
    }
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert_eq!(caller.reply().await.status(), 200);
    assert_eq!(caller.closed().await, End::Fin);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_may_be_in_flight_are_refused_and_free_when_one_ends() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let gate = Gate::new();
        let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
        let plan = Plan::new(vec![house::way("a", dialect, &channel)]);
        let house = plan.gateway(|gateway| gateway.calls_max = 2).start().await;
        let mut callers = Vec::new();
        for n in 1..=2 {
            let mut caller = Caller::connect(house.listen).await;
            caller.send(&Ask::plain(dialect, false)).await;
            assert!(gate.wait_reached(n, LIMIT).await);
            callers.push(caller);
        }
        let reply = house.ask(Ask::plain(dialect, false)).await;
        let (_, _, code) = reply.problem(dialect);
        let unavailable = if dialect == OpenaiChat { 503 } else { 529 };
        assert_eq!(
            (reply.status(), code.as_deref()),
            (unavailable, Some("gateway_overloaded"))
        );
        assert_eq!(reply.header("retry-after"), Some("1"));
        gate.open();
        for caller in &mut callers {
            assert_eq!(caller.reply().await.status(), 200);
        }
        house.quiet().await;
        assert_eq!(house.ask(Ask::plain(dialect, false)).await.status(), 200);
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_body_is_still_coming_counts_as_in_flight() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.gateway(|gateway| gateway.calls_max = 1).start().await;
    let ask = Ask::plain(OpenaiChat, false);
    let mut slow = Caller::connect(house.listen).await;
    let head = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
    slow.send_raw(head.as_bytes()).await;
    house
        .wait_status("the call is counted", |status| status["calls_in_flight"] == 1)
        .await;
    let reply = house.ask(ask.clone()).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("gateway_overloaded"));
    slow.send_raw(&ask.body).await;
    assert_eq!(slow.reply().await.status(), 200);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_connections_wait_until_one_ends() {
    let channel = channel();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.gateway(|gateway| gateway.connections_max = 1).start().await;
    let mut first = Caller::connect(house.listen).await;
    first.send(&Ask::plain(OpenaiChat, false)).await;
    assert_eq!(first.reply().await.status(), 200);
    let mut second = Caller::connect(house.listen).await;
    second.send(&Ask::plain(OpenaiChat, false)).await;
    // The first connection still serves while the second waits in the kernel's queue.
    first.send(&Ask::plain(OpenaiChat, false)).await;
    assert_eq!(first.reply().await.status(), 200);
    assert_eq!(channel.seen_count(), 2);
    drop(first);
    assert_eq!(second.reply().await.status(), 200);
    // The limit is reached, and a stop ends all the same.
    house.stop_now().await;
}

// === keys ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_its_requests_per_minute_and_no_more() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let channel = channel();
        let limits = Limits {
            requests_per_minute: Some(2),
            ..Limits::default()
        };
        let house = Plan::new(vec![house::way("a", dialect, &channel)])
            .key(TIGHT, limits)
            .start()
            .await;
        for _ in 0..2 {
            assert_eq!(
                house.ask(Ask::plain(dialect, false).key(TIGHT)).await.status(),
                200
            );
        }
        let reply = house.ask(Ask::plain(dialect, false).key(TIGHT)).await;
        let (status, kind, code) = reply.problem(dialect);
        assert_eq!(
            (status, kind.as_str(), code.as_deref()),
            (429, "rate_limit_error", Some("request_limit"))
        );
        // One request frees each 30 s.
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(
            house.ask(Ask::plain(dialect, false)).await.status(),
            200,
            "another key has its own"
        );
        let call = reply.call();
        let book = house.stop().await;
        assert_eq!(
            ended(book.call(call).1),
            (Outcome::Refused, Some(Code::RequestLimit))
        );
        assert_eq!(channel.seen_count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_s_tokens_are_reserved_and_what_was_not_used_is_given_back() {
    let channel = channel();
    let limits = Limits {
        tokens_per_minute: Some(1_500),
        ..Limits::default()
    };
    let house = Plan::new(vec![house::openai("a", &channel)])
        .key(TIGHT, limits)
        .start()
        .await;
    // Each call reserves over 1,024 tokens and uses a few: without settling the second would be refused.
    for _ in 0..5 {
        assert_eq!(
            house.ask(Ask::plain(OpenaiChat, false).key(TIGHT)).await.status(),
            200
        );
    }
    let ask = Ask::chat(r#"{"model":"chat","max_tokens":2000,"messages":[{"role":"user","content":"x"}]}"#);
    let reply = house.ask(ask.key(TIGHT)).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("token_limit"));
    assert_eq!(
        reply.header("x-should-retry"),
        Some("false"),
        "no wait makes it fit"
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_its_calls_in_flight_and_one_frees_when_one_ends() {
    let gate = Gate::new();
    let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let limits = Limits {
        concurrency: Some(1),
        ..Limits::default()
    };
    let house = Plan::new(vec![house::openai("a", &channel)])
        .key(TIGHT, limits)
        .start()
        .await;
    let ask = || Ask::plain(OpenaiChat, false).key(TIGHT);
    let mut first = Caller::connect(house.listen).await;
    first.send(&ask()).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    let reply = house.ask(ask()).await;
    assert_eq!(
        (reply.status(), reply.problem(OpenaiChat).2.as_deref()),
        (429, Some("concurrency_limit"))
    );
    assert_eq!(reply.header("x-should-retry"), Some("true"));
    gate.open();
    assert_eq!(first.reply().await.status(), 200);
    house.quiet().await;
    assert_eq!(house.ask(ask()).await.status(), 200);
    // One who left frees the place, too.
    channel.set_default(Act::silent());
    let mut second = Caller::connect(house.listen).await;
    second.send(&ask()).await;
    channel.wait_seen(3, LIMIT).await.unwrap();
    drop(second);
    house.quiet().await;
    channel.set_default(Act::auto());
    assert_eq!(house.ask(ask()).await.status(), 200);
    house.stop().await;
}

// === channels ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_at_its_limit_is_passed_over_without_a_dial() {
    let (first, second) = (
        channel(),
        Channel::start(Auto::saying("From the second")).unwrap(),
    );
    let mut tight = house::openai("a", &first);
    tight.limits.requests_per_minute = Some(1);
    let house = Plan::new(vec![tight, house::openai("b", &second)]).start().await;
    assert_eq!(
        house.ask(Ask::plain(OpenaiChat, false)).await.said(),
        "Hello there"
    );
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.said(), "From the second");
    assert_eq!(first.seen_count(), 1);
    let call = reply.call();
    let book = house.stop().await;
    let (decision, outcome) = book.call(call);
    assert_eq!(decision.plan[0].limited, Some(Bucket::RequestsPerMinute));
    assert_eq!(
        (decision.plan[0].why, decision.plan[1].why),
        (Why::Limited, Why::Chosen)
    );
    assert_eq!(attempts(outcome), [("b", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_says_that_nothing_is_left_is_passed_over_without_a_dial() {
    let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":
        {"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,
        "total_tokens":2}}"#;
    for (left, answers, why, dials) in [
        ("0", "b", Why::Limited, 1),
        ("1", "a", Why::Chosen, 2),
        ("x", "a", Why::Chosen, 2),
    ] {
        let spent = Act::json(answer).header("x-ratelimit-remaining-requests", left);
        let (first, second) = (Channel::start(spent).unwrap(), channel());
        let mut wide = house::openai("a", &first);
        wide.quota = Some(Quota {
            input_tokens_per_minute: None,
            model: QuotaModel::Openai,
            output_burn: None,
            output_tokens_per_minute: None,
            requests_per_minute: Some(6),
            tokens_in_flight: None,
            tokens_per_minute: None,
        });
        let house = Plan::new(vec![wide, house::openai("b", &second)]).start().await;
        assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.said(), "Hi");
        let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
        assert_eq!(reply.status(), 200);
        let call = reply.call();
        let book = house.stop().await;
        let (decision, outcome) = book.call(call);
        assert_eq!(decision.plan[0].why, why, "{left} left");
        assert_eq!(attempts(outcome), [(answers, None)], "{left} left");
        assert_eq!(first.seen_count(), dials, "{left} left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_channel_runs_short_the_calls_that_matter_least_are_shed_first() {
    let key = |criticality| Limits {
        criticality: Some(criticality),
        ..Limits::default()
    };
    let channel = channel();
    let mut tight = house::openai("a", &channel);
    tight.limits.requests_per_minute = Some(10);
    let house = Plan::new(vec![tight])
        .key(SHEDDABLE, key(Criticality::Sheddable))
        .key(CRITICAL, key(Criticality::CriticalPlus))
        .start()
        .await;
    // Eight of ten may go to anyone; how far the bucket has refilled meanwhile is the machine's to say.
    let mut served_first = 0;
    let shed = loop {
        let reply = house.ask(Ask::plain(OpenaiChat, false).key(SHEDDABLE)).await;
        if reply.status() != 200 {
            break reply;
        }
        served_first += 1;
        assert!(served_first < 100, "nothing is shed");
    };
    assert!(served_first >= 8, "{served_first}");
    assert_eq!(shed.problem(OpenaiChat).0, 429);
    assert_eq!(channel.seen_count(), served_first, "what is shed is not dialled");
    let served = house.ask(Ask::plain(OpenaiChat, false).key(CRITICAL)).await;
    assert_eq!(served.status(), 200);
    let (shed, served) = (shed.call(), served.call());
    let book = house.stop().await;
    let (decision, outcome) = book.call(shed);
    assert_eq!(decision.plan[0].why, Why::Shed);
    assert_eq!(decision.plan[0].limited, Some(Bucket::RequestsPerMinute));
    assert_eq!(
        ended(outcome),
        (Outcome::Refused, Some(Code::ChannelsBusy)),
        "and its record says why"
    );
    assert_eq!(book.call(served).0.plan[0].why, Why::Chosen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_channel_s_limit_is_used_up_the_caller_is_told_how_long() {
    let channel = channel();
    let mut tight = house::openai("a", &channel);
    tight.limits.requests_per_minute = Some(1);
    let house = Plan::new(vec![tight]).start().await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    let (status, _, code) = reply.problem(OpenaiChat);
    assert_eq!((status, code.as_deref()), (429, Some("channels_busy")));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(channel.seen_count(), 1);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_s_place_is_free_again_after_every_kind_of_end() {
    let dialect = Dialect::OpenaiChat;
    let channel = channel();
    let mut tight = house::openai("a", &channel);
    tight.limits.concurrency = Some(1);
    let house = Plan::new(vec![tight])
        .settings(|settings| settings.idle_ms = 200)
        .start()
        .await;
    let acts = [
        Act::auto(),
        Act::refuse(),
        Act::status(500),
        Act::json("garbage"),
        tieline_testkit::canned::OPENAI_INVALID_REQUEST.act(),
        Act::auto().cut_at_body_byte(10, tieline_testkit::Cut::Reset),
    ];
    for act in acts {
        for stream in [false, true] {
            channel.push(act.clone());
            house.ask(Ask::plain(dialect, stream)).await;
            house.quiet().await;
            let reply = house.ask(Ask::plain(dialect, stream)).await;
            assert_eq!(reply.status(), 200, "after {act:?}: {reply:?}");
            house.quiet().await;
        }
    }
    house.stop().await;
}

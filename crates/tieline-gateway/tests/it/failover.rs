//! What fails before the first byte is tried on the next channel, and the caller sees one clean answer.

use std::time::Duration;

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_core::{Code, FaultKind, Phase};
use tieline_testkit::{Accept, Act, Answer, Auto, Channel, Cut, Script, canned};

use crate::caller::{Ask, is_terminated};
use crate::house::{self, Plan};
use crate::ledger::{attempts, ended};

/// `act` on the first channel makes a fault of `kind` in `phase`; the second channel answers.
async fn fails_over(dialect: Dialect, stream: bool, act: Act, kind: FaultKind, phase: Phase) {
    let first = Channel::start(act).unwrap();
    fails_over_from(&first, dialect, stream, kind, phase).await;
}

async fn fails_over_from(first: &Channel, dialect: Dialect, stream: bool, kind: FaultKind, phase: Phase) {
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let ways = vec![house::way("a", dialect, first), house::way("b", dialect, &second)];
    let plan = Plan::new(ways).settings(|settings| {
        settings.head_ms = 300;
        settings.first_content_ms = 600;
        settings.whole_ms = 600;
    });
    let house = plan.start().await;
    let reply = house.ask(Ask::plain(dialect, stream)).await;
    assert_eq!(reply.said(), "From the second");
    assert_eq!(reply.header("x-tieline-channel"), Some("b"));
    if stream {
        assert!(is_terminated(dialect, &reply.bytes()), "{}", reply.text());
        assert_eq!(
            reply.text().matches("From the second").count(),
            0,
            "it came in pieces"
        );
    }
    assert_eq!(second.seen_count(), 1);
    let call = reply.call();
    let book = house.stop().await;
    let (decision, outcome) = book.only();
    assert_eq!((decision.id, ended(outcome)), (call, (Outcome::Served, None)));
    assert_eq!(attempts(outcome), [("a", Some(kind)), ("b", None)]);
    assert_eq!(outcome.attempts[0].fault.unwrap().phase, phase);
    assert_eq!(outcome.attempts[0].content_events, 0);
}

/// A stream from a channel that speaks `far` fails in its body; a second channel that speaks the caller's dialect answers.
async fn fails_over_between(first: &Channel, near: Dialect, far: Dialect, kind: FaultKind) {
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let ways = vec![house::way("a", far, first), house::way("b", near, &second)];
    let house = Plan::new(ways).start().await;
    let reply = house.ask(Ask::plain(near, true)).await;
    assert_eq!(reply.said(), "From the second");
    assert!(is_terminated(near, &reply.bytes()), "{}", reply.text());
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(ended(outcome), (Outcome::Served, None));
    assert_eq!(attempts(outcome), [("a", Some(kind)), ("b", None)]);
    assert_eq!(outcome.attempts[0].content_events, 0);
}

/// Both dialects, whole and streamed.
async fn fails_over_always(act: impl Fn(Dialect, bool) -> Act, kind: FaultKind, phase: Phase) {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            fails_over(dialect, stream, act(dialect, stream), kind, phase).await;
        }
    }
}

fn frames(dialect: Dialect) -> Vec<bytes::Bytes> {
    match dialect {
        OpenaiChat => Answer::default().openai_stream(true),
        AnthropicMessages => Answer::default().anthropic_stream(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_fails_over() {
    for stream in [false, true] {
        let first = Channel::start(Auto::default()).unwrap();
        first.stop().unwrap();
        fails_over_from(&first, OpenaiChat, stream, FaultKind::Connect, Phase::Connect).await;
        assert_eq!(first.seen_count(), 0);
    }
}

/// The first channel cannot be connected to; the pool waits less for it than the defaults say.
async fn connect_limit_is_the_pool_s(first: house::Way) {
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let ways = vec![first, house::openai("b", &second)];
    let mut plan = Plan::new(ways).settings(|settings| settings.connect_ms = 60_000);
    plan.pool = Some(tieline_core::grid::Settings {
        connect_ms: 200,
        ..plan.settings
    });
    let house = plan.start().await;
    let reply = house.ask(Ask::plain(OpenaiChat, true)).await;
    assert_eq!(reply.said(), "From the second");
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(attempts(outcome), [("a", Some(FaultKind::Connect)), ("b", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_no_connection_is_given_the_pool_s_time() {
    // The kernel completes no more connections than fit into the queue of a listener who accepts none.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&here.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue of the listener fills up");
    }
    let idle = Channel::start(Auto::default()).unwrap();
    let mut way = house::openai("a", &idle);
    way.address = address.to_string();
    connect_limit_is_the_pool_s(way).await;
    drop(queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_handshake_that_does_not_end_is_given_the_pool_s_time() {
    let silent = Channel::start(Auto::default()).unwrap();
    silent.set_accept(Accept::Silence);
    let mut way = house::openai("a", &silent);
    way.tls = true;
    connect_limit_is_the_pool_s(way).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_at_once_fails_over() {
    let first = Channel::start(Auto::default()).unwrap();
    first.set_accept(Accept::Reset);
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let ways = vec![house::openai("a", &first), house::openai("b", &second)];
    let house = Plan::new(ways).start().await;
    assert_eq!(
        house.ask(Ask::plain(OpenaiChat, false)).await.said(),
        "From the second"
    );
    assert_eq!(first.seen_count(), 0);
    let book = house.stop().await;
    let kind = attempts(book.only().1)[0].1;
    // Whether the reset meets the connection or the request on it is a race of the kernel's.
    assert!(
        matches!(kind, Some(FaultKind::Connect | FaultKind::Reset)),
        "{kind:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_before_the_head_fails_over() {
    fails_over_always(|_, _| Act::refuse(), FaultKind::Reset, Phase::Head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_fails_over() {
    fails_over(OpenaiChat, true, Act::silent(), FaultKind::Timeout, Phase::Head).await;
    fails_over(
        AnthropicMessages,
        true,
        Act::silent(),
        FaultKind::Timeout,
        Phase::Head,
    )
    .await;
    // Of a whole answer the head comes with the body.
    fails_over(OpenaiChat, false, Act::silent(), FaultKind::Timeout, Phase::Body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_never_reads_fails_over() {
    let first = Channel::start(Auto::default()).unwrap();
    first.set_accept(Accept::Silence);
    fails_over_from(&first, OpenaiChat, true, FaultKind::Timeout, Phase::Head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_fails_over_with_and_without_a_wait() {
    for stream in [false, true] {
        let spent = canned::OPENAI_RATE_LIMIT.act();
        fails_over(OpenaiChat, stream, spent, FaultKind::Rate, Phase::Head).await;
        let bare = Act::status(429).body(canned::OPENAI_RATE_LIMIT.body);
        fails_over(OpenaiChat, stream, bare, FaultKind::Rate, Phase::Head).await;
        let spent = canned::ANTHROPIC_RATE_LIMIT.act();
        fails_over(AnthropicMessages, stream, spent, FaultKind::Rate, Phase::Head).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_server_fail_over() {
    let cases = [
        (
            OpenaiChat,
            canned::OPENAI_SERVER_ERROR.act(),
            FaultKind::Transient,
        ),
        (OpenaiChat, canned::OPENAI_OVERLOADED.act(), FaultKind::Overload),
        (OpenaiChat, canned::LLAMA_LOADING.act(), FaultKind::NotReady),
        (OpenaiChat, canned::OPENAI_QUOTA.act(), FaultKind::Spend),
        (OpenaiChat, canned::OPENAI_KEY.act(), FaultKind::Auth),
        (OpenaiChat, canned::OPENAI_MODEL.act(), FaultKind::Auth),
        (
            AnthropicMessages,
            canned::ANTHROPIC_SERVER_ERROR.act(),
            FaultKind::Transient,
        ),
        (
            AnthropicMessages,
            canned::ANTHROPIC_OVERLOADED.act(),
            FaultKind::Overload,
        ),
        (
            AnthropicMessages,
            canned::ANTHROPIC_SPEND_LIMIT.act(),
            FaultKind::Spend,
        ),
        (
            OpenaiChat,
            Act::status(502).content_type("text/html").body("<html>"),
            FaultKind::Transient,
        ),
    ];
    for (dialect, act, kind) in cases {
        for stream in [false, true] {
            fails_over(dialect, stream, act.clone(), kind, Phase::Head).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_of_any_length_is_judged_by_its_status() {
    let page = Act::status(500)
        .content_type("text/html")
        .body(vec![b'x'; 300_000]);
    fails_over(OpenaiChat, false, page, FaultKind::Transient, Phase::Head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_that_is_cut_in_mid_body_fails_over() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for cut in [Cut::Reset, Cut::Close] {
            let act = Act::auto().cut_at_body_byte(40, cut);
            fails_over(dialect, false, act, FaultKind::Reset, Phase::Body).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_before_its_first_content_fails_over() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for cut in [Cut::Reset, Cut::Close] {
            let act = Act::stream(frames(dialect)).cut_before_frame(1, cut);
            fails_over(dialect, true, act, FaultKind::Reset, Phase::Body).await;
        }
        // Not one event: nothing of the dialect was seen.
        let empty = Act::stream(frames(dialect)).cut_before_frame(0, Cut::Close);
        fails_over(dialect, true, empty, FaultKind::Garbage, Phase::Body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_speaks_and_says_nothing_fails_over() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let act = Act::stream(frames(dialect)).cut_before_frame(1, Cut::Silence);
        fails_over(dialect, true, act, FaultKind::Timeout, Phase::Body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_only_pings_fails_over() {
    let start = frames(AnthropicMessages)[0].clone();
    let ping = bytes::Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
    let mut act = Act::stream([start]);
    for _ in 0..200 {
        act = act.wait(Duration::from_millis(20)).body(ping.clone());
    }
    fails_over(AnthropicMessages, true, act, FaultKind::Timeout, Phase::Body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_fails_over() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for body in ["", "not json", "[]", "{}", "{\"choices\":", "null"] {
            fails_over(dialect, false, Act::json(body), FaultKind::Garbage, Phase::Body).await;
        }
        let noise = Act::stream(["\u{0}\u{1}noise\n\n", "more\n\n"]);
        fails_over(dialect, true, noise, FaultKind::Garbage, Phase::Body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_http_fail_over() {
    let act = Act::raw("SSH-2.0-OpenSSH_9.9\r\n").close();
    fails_over(OpenaiChat, false, act, FaultKind::Reset, Phase::Head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_wrong_type_fails_over() {
    let page = Act::status(200)
        .content_type("text/html")
        .body("<html>hello</html>");
    fails_over(OpenaiChat, false, page.clone(), FaultKind::Garbage, Phase::Body).await;
    fails_over(OpenaiChat, true, page, FaultKind::Garbage, Phase::Head).await;
    // A stream where none was asked for, and the other way round.
    let stream = Act::stream(frames(OpenaiChat));
    fails_over(OpenaiChat, false, stream, FaultKind::Garbage, Phase::Head).await;
    let whole = Act::json(Answer::default().openai_json());
    fails_over(OpenaiChat, true, whole, FaultKind::Garbage, Phase::Head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_compressed_against_our_word_fails_over() {
    fails_over(
        OpenaiChat,
        false,
        Act::json("\u{1f}\u{8b}junk").claim_gzip(),
        FaultKind::Garbage,
        Phase::Body,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_fails_over_at_the_limit() {
    let endless = Act::json(vec![b' '; 33 << 20]);
    fails_over(OpenaiChat, false, endless, FaultKind::Garbage, Phase::Body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let elsewhere = Channel::start(Auto::saying("From elsewhere")).unwrap();
    for status in [301, 307] {
        let act = Act::status(status).header("location", &format!("{}/v1/chat/completions", elsewhere.url()));
        let first = Channel::start(act).unwrap();
        let second = Channel::start(Auto::saying("From the second")).unwrap();
        let ways = vec![house::openai("a", &first), house::openai("b", &second)];
        let house = Plan::new(ways).start().await;
        assert_eq!(
            house.ask(Ask::plain(OpenaiChat, false)).await.said(),
            "From the second"
        );
        assert_eq!(elsewhere.accepted_count(), 0);
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_without_an_answer_fails_over() {
    let nothing = Act::status(204);
    fails_over(OpenaiChat, false, nothing, FaultKind::Garbage, Phase::Body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_event_before_content_fails_over() {
    let openai = canned::OPENAI_SERVER_ERROR.frame();
    fails_over(
        OpenaiChat,
        true,
        Act::stream([openai]),
        FaultKind::Transient,
        Phase::Body,
    )
    .await;
    let anthropic = [
        frames(AnthropicMessages)[0].clone(),
        canned::ANTHROPIC_OVERLOADED.frame(),
    ];
    fails_over(
        AnthropicMessages,
        true,
        Act::stream(anthropic),
        FaultKind::Overload,
        Phase::Body,
    )
    .await;
}

/// Whether the kernel hands over content and error in one piece or in two must not decide what the caller gets; of one
/// piece, nothing has left yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_and_error_in_one_piece_fail_over() {
    for near in [OpenaiChat, AnthropicMessages] {
        for far in [OpenaiChat, AnthropicMessages] {
            let (after_content, error) = match far {
                OpenaiChat => (2, canned::OPENAI_SERVER_ERROR.frame()),
                AnthropicMessages => (4, canned::ANTHROPIC_SERVER_ERROR.frame()),
            };
            let mut all = frames(far);
            all.truncate(after_content);
            all.push(error);
            let first = Channel::start(Act::stream([all.concat()])).unwrap();
            fails_over_between(&first, near, far, FaultKind::Transient).await;
        }
    }
}

/// An event may be longer than what is held back: it is released as it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_first_event_is_no_fault() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let text = "long ".repeat(300_000);
        let channel = Channel::start(Auto::saying(&text).chunks(1)).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let reply = house.ask(Ask::plain(dialect, true)).await;
        assert!(reply.said() == text, "{} bytes", reply.said().len());
        assert_eq!(ended(house.stop().await.only().1), (Outcome::Served, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_died_while_idle_costs_nothing() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    channel.kill().unwrap();
    channel.resume().unwrap();
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 2]);
}

// === nothing is left to try ===

struct Nothing {
    code: Code,
    kinds: Vec<Option<FaultKind>>,
    retry_after_ms: Option<u64>,
    should_retry: &'static str,
    status: u16,
}

async fn nothing_left(dialect: Dialect, acts: [Act; 2], expected: Nothing) {
    for stream in [false, true] {
        let [a, b] = acts.clone().map(|act| Channel::start(act).unwrap());
        let house = Plan::new(vec![house::way("a", dialect, &a), house::way("b", dialect, &b)])
            .start()
            .await;
        let reply = house.ask(Ask::plain(dialect, stream)).await;
        let (status, _, code) = reply.problem(dialect);
        assert_eq!(
            (status, code.as_deref()),
            (expected.status, Some(expected.code.name()))
        );
        assert_eq!(reply.header("x-should-retry"), Some(expected.should_retry));
        let wait = reply.header("retry-after-ms").map(|ms| ms.parse().unwrap());
        assert_eq!(wait, expected.retry_after_ms);
        assert_eq!(reply.header("x-tieline-channel"), None);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Refused, Some(expected.code)));
        let kinds: Vec<_> = attempts(outcome).into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds[..2], expected.kinds);
        // One of the two may be asked once more.
        assert!(kinds.len() <= 3, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_channel_fails_the_caller_is_told_in_its_dialect() {
    for (dialect, error) in [
        (OpenaiChat, canned::OPENAI_SERVER_ERROR),
        (AnthropicMessages, canned::ANTHROPIC_SERVER_ERROR),
    ] {
        let expected = Nothing {
            code: Code::ChannelsFailed,
            kinds: vec![Some(FaultKind::Transient), Some(FaultKind::Reset)],
            retry_after_ms: None,
            // All attempts are spent: the caller's own would only multiply them.
            should_retry: "false",
            status: 502,
        };
        nothing_left(dialect, [error.act(), Act::refuse()], expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_channel_is_at_its_limit_the_caller_is_told_how_long() {
    let rate = canned::OPENAI_RATE_LIMIT.act();
    let expected = Nothing {
        code: Code::ChannelsBusy,
        kinds: vec![Some(FaultKind::Rate); 2],
        retry_after_ms: Some(1_500),
        should_retry: "true",
        status: 429,
    };
    nothing_left(OpenaiChat, [rate.clone(), rate], expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_every_channel_talks_nonsense_the_answer_is_called_unreadable() {
    let expected = Nothing {
        code: Code::AnswerUnreadable,
        kinds: vec![Some(FaultKind::Garbage); 2],
        retry_after_ms: None,
        should_retry: "true",
        status: 502,
    };
    let noise = || Act::status(200).content_type("text/html").body("<html>");
    nothing_left(AnthropicMessages, [noise(), noise()], expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_attempts_are_made_than_the_pool_says() {
    let channels = ["a", "b", "c"].map(|_| Channel::start(Act::refuse()).unwrap());
    let ways = ["a", "b", "c"].into_iter().zip(&channels);
    let ways = ways.map(|(name, channel)| house::openai(name, channel)).collect();
    let house = Plan::new(ways)
        .settings(|settings| settings.attempts_max = 2)
        .start()
        .await;
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.status(), 502);
    assert_eq!(channels[2].accepted_count(), 0);
    let book = house.stop().await;
    let reset = Some(FaultKind::Reset);
    assert_eq!(attempts(book.only().1), [("a", reset), ("b", reset)]);
}

// === what is not routed around ===

async fn relayed(error: canned::Canned) {
    let dialect = match error.dialect {
        tieline_testkit::Dialect::OpenAi => OpenaiChat,
        tieline_testkit::Dialect::Anthropic => AnthropicMessages,
    };
    for stream in [false, true] {
        let first = Channel::start(error.act()).unwrap();
        let second = Channel::start(Auto::default()).unwrap();
        let ways = vec![
            house::way("a", dialect, &first),
            house::way("b", dialect, &second),
        ];
        let house = Plan::new(ways).start().await;
        let reply = house.ask(Ask::plain(dialect, stream)).await;
        assert_eq!(
            (reply.status(), reply.text()),
            (error.status, error.body.to_owned()),
            "{}",
            error.name
        );
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(second.accepted_count(), 0);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Relayed, None));
        assert_eq!(outcome.cost_nano.map(|nano| nano.0), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_caller_got_wrong_is_relayed_word_for_word() {
    relayed(canned::OPENAI_INVALID_REQUEST).await;
    relayed(canned::OPENAI_CONTEXT_LENGTH).await;
    relayed(canned::ANTHROPIC_INVALID_REQUEST).await;
    relayed(canned::ANTHROPIC_CONTEXT_LENGTH).await;
}

/// Some channels judge a request only after the head of their answer has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_caller_got_wrong_is_relayed_from_an_event_too() {
    for (error, far) in [
        (canned::OPENAI_INVALID_REQUEST, OpenaiChat),
        (canned::ANTHROPIC_INVALID_REQUEST, AnthropicMessages),
    ] {
        for near in [OpenaiChat, AnthropicMessages] {
            let first = Channel::start(Act::stream([error.frame()])).unwrap();
            let second = Channel::start(Auto::default()).unwrap();
            let ways = vec![house::way("a", far, &first), house::way("b", near, &second)];
            let house = Plan::new(ways).start().await;
            let reply = house.ask(Ask::plain(near, true)).await;
            let body: serde_json::Value = serde_json::from_str(error.body).unwrap();
            let said = body["error"]["message"].as_str().unwrap();
            assert_eq!(reply.status(), 400, "{}", reply.text());
            assert!(reply.text().contains(said), "{}", reply.text());
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(second.accepted_count(), 0);
            let book = house.stop().await;
            assert_eq!(ended(book.only().1), (Outcome::Relayed, None));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_content_is_not_routed_around() {
    relayed(canned::OPENAI_CONTENT_FILTER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_block_never_fails_over() {
    for stream in [false, true] {
        let first = Channel::start(canned::OPENAI_REGION.act()).unwrap();
        let second = Channel::start(Auto::default()).unwrap();
        let house = Plan::new(vec![house::openai("a", &first), house::openai("b", &second)])
            .start()
            .await;
        let reply = house.ask(Ask::plain(OpenaiChat, stream)).await;
        let (status, _, code) = reply.problem(OpenaiChat);
        assert_eq!((status, code.as_deref()), (403, Some("held")));
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert!(reply.header("x-tieline-ticket").is_some());
        assert_eq!(second.accepted_count(), 0);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Refused, Some(Code::Held)));
        assert_eq!(attempts(outcome), [("a", Some(FaultKind::Legal))]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_channel_can_do_is_relayed_in_the_words_of_the_last() {
    let first = Channel::start(canned::ANTHROPIC_PREFILL.act()).unwrap();
    let second = Channel::start(canned::ANTHROPIC_PREFILL.act()).unwrap();
    let ways = vec![house::anthropic("a", &first), house::anthropic("b", &second)];
    let house = Plan::new(ways).start().await;
    let reply = house.ask(Ask::plain(AnthropicMessages, false)).await;
    assert_eq!(
        (reply.status(), reply.text().as_str()),
        (400, canned::ANTHROPIC_PREFILL.body)
    );
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(ended(outcome), (Outcome::Relayed, None));
    let incapable = Some(FaultKind::Incapable);
    assert_eq!(attempts(outcome), [("a", incapable), ("b", incapable)]);
}

// === breakers ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_channel_is_left_alone_after_five_faults() {
    let dead = Channel::start(Act::refuse()).unwrap();
    let other = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &dead), house::openai("b", &other)])
        .start()
        .await;
    let mut caller = crate::caller::Caller::connect(house.listen).await;
    let began = std::time::Instant::now();
    for _ in 0..30 {
        caller.send(&Ask::plain(OpenaiChat, false)).await;
        assert_eq!(caller.reply().await.said(), "Hello there");
    }
    // A probe follows the first second, and each one that fails doubles the wait.
    let probes = 1 + began.elapsed().as_secs();
    let dialled = dead.seen_count();
    assert!(
        (5..=5 + probes).contains(&dialled),
        "{dialled} of at most 5 and {probes} probes"
    );
    let status = house.status().await;
    let state = status["channels"][0]["state"].as_str().unwrap();
    assert!(state == "open" || state == "probe", "{status}");
    drop(caller);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 30]);
    let tried = book.outcomes.values().flat_map(|outcome| &outcome.attempts);
    let tried = tried.filter(|attempt| &*attempt.channel == "a").count();
    assert_eq!(tried as u64, dialled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_came_back_is_found_by_a_probe() {
    let mut script = Script::new();
    for _ in 0..5 {
        script = script.then(Act::refuse());
    }
    let first = Channel::start(script).unwrap();
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let house = Plan::new(vec![house::openai("a", &first), house::openai("b", &second)])
        .start()
        .await;
    for _ in 0..5 {
        assert_eq!(
            house.ask(Ask::plain(OpenaiChat, false)).await.said(),
            "From the second"
        );
    }
    house
        .wait_status("the wait for a probe ends", |status| {
            status["channels"][0]["state"] == "probe"
        })
        .await;
    assert_eq!(
        house.ask(Ask::plain(OpenaiChat, false)).await.said(),
        "Hello there"
    );
    assert_eq!(house.status().await["channels"][0]["state"], "closed");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_channel_gets_five_attempts_when_it_dies_and_probes_until_it_serves() {
    let only = Channel::start(Act::refuse()).unwrap();
    let house = Plan::new(vec![house::openai("a", &only)]).start().await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&503) {
        statuses.push(house.ask(Ask::plain(OpenaiChat, false)).await.status());
        assert!(statuses.len() < 9, "{statuses:?}");
    }
    // Two attempts a call: the third finds the breaker open, and may be a probe by the time that it has waited.
    assert!(only.seen_count() <= 5 + 2, "{}", only.seen_count());
    // A call that comes near the end of the breaker's wait is the probe, and the next wait is twice as long.
    let mut refused = house.ask(Ask::plain(OpenaiChat, false)).await;
    for _ in 0..4 {
        if refused.problem(OpenaiChat).2.as_deref() != Some("channels_failed") {
            break;
        }
        refused = house.ask(Ask::plain(OpenaiChat, false)).await;
    }
    assert_eq!(refused.problem(OpenaiChat).2.as_deref(), Some("no_channel"));
    assert!(refused.header("retry-after").is_some());
    only.set_default(Act::auto());
    house
        .wait_status("the wait for a probe ends", |status| {
            status["channels"][0]["state"] == "probe"
        })
        .await;
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.said(), "Hello there");
    house.stop().await;
}

//! An answer that breaks off after content was delivered ends with the dialect's error event and never with a terminator
//! that the channel did not send.

use serde_json::Value;
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_core::{Code, FaultKind};
use tieline_testkit::{Act, Answer, Auto, Channel, Cut, Gate, canned};

use crate::caller::{Ask, Caller, End, Reply, events, is_terminated, said_in};
use crate::house::{self, Plan};
use crate::ledger::{attempts, ended};

const DIALECTS: [Dialect; 2] = [OpenaiChat, AnthropicMessages];

fn frames(dialect: Dialect) -> Vec<bytes::Bytes> {
    match dialect {
        OpenaiChat => Answer::default().openai_stream(true),
        AnthropicMessages => Answer::default().anthropic_stream(),
    }
}

/// The frame after the first content.
fn after_content(dialect: Dialect) -> usize {
    match dialect {
        OpenaiChat => 2,
        AnthropicMessages => 4,
    }
}

/// The last event is the dialect's error, with this code.
pub(crate) fn assert_broken(near: Dialect, reply: &Reply, code: Code) {
    assert_eq!((reply.status(), reply.end), (200, End::Framed));
    let bytes = reply.bytes();
    assert!(!is_terminated(near, &bytes), "{}", reply.text());
    let (name, data) = events(&bytes).pop().unwrap();
    let error: Value = serde_json::from_str(&data).unwrap();
    let found = match near {
        OpenaiChat => {
            assert_eq!(name, None);
            &error["error"]["code"]
        }
        AnthropicMessages => {
            assert_eq!(name.as_deref(), Some("error"));
            assert_eq!(error["type"], "error");
            &error["error"]["details"]["error_code"]
        }
    };
    assert_eq!(found, code.name(), "{data}");
}

/// `act` breaks after the first content, which the caller has by then; a second channel stands by and is not asked.
async fn breaks(near: Dialect, far: Dialect, act: Act, kind: FaultKind) {
    let gate = Gate::new();
    let first = Channel::start(act.gate_before_frame(after_content(far), &gate)).unwrap();
    let second = Channel::start(Auto::default()).unwrap();
    let ways = vec![house::way("a", far, &first), house::way("b", near, &second)];
    let house = Plan::new(ways)
        .settings(|settings| settings.idle_ms = 300)
        .start()
        .await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(near, true)).await;
    let head = caller.head().await;
    gate.open();
    let (chunks, end) = caller.rest().await;
    let reply = Reply { chunks, end, head };
    assert_broken(near, &reply, Code::AnswerCut);
    let told = events(&reply.bytes());
    assert_eq!(said_in(&reply.bytes()), "Hello", "{told:?}");
    assert_eq!(second.accepted_count(), 0);
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::AnswerCut)));
    assert_eq!(attempts(outcome), [("a", Some(kind))]);
    assert_eq!(outcome.attempts[0].content_events, 1);
}

async fn breaks_in_every_pair(act: impl Fn(Dialect) -> Act, kind: FaultKind) {
    for near in DIALECTS {
        for far in DIALECTS {
            breaks(near, far, act(far), kind).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_after_content_ends_with_an_error_event() {
    let act = |far| Act::stream(frames(far)).cut_before_frame(after_content(far), Cut::Reset);
    breaks_in_every_pair(act, FaultKind::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_closed_after_content_ends_with_an_error_event() {
    let act = |far| Act::stream(frames(far)).cut_before_frame(after_content(far), Cut::Close);
    breaks_in_every_pair(act, FaultKind::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_event_never_reaches_the_caller() {
    let act = |far| Act::stream(frames(far)).half_frame(after_content(far), Cut::Close);
    breaks_in_every_pair(act, FaultKind::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_falls_silent_is_ended_by_the_idle_limit() {
    let act = |far| Act::stream(frames(far)).cut_before_frame(after_content(far), Cut::Silence);
    breaks_in_every_pair(act, FaultKind::Timeout).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_event_within_the_answer_is_ours_in_the_caller_s_dialect() {
    let act = |far| {
        let mut all = frames(far);
        all.truncate(after_content(far));
        all.push(match far {
            OpenaiChat => canned::OPENAI_SERVER_ERROR.frame(),
            AnthropicMessages => canned::ANTHROPIC_SERVER_ERROR.frame(),
        });
        Act::stream(all)
    };
    breaks_in_every_pair(act, FaultKind::Transient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_over_the_limit_is_garbage() {
    let far = OpenaiChat;
    let act = Act::stream(frames(far)).oversize_frame(after_content(far), 9 << 20);
    breaks(far, far, act, FaultKind::Garbage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_s_own_limit_ends_a_stream_that_never_ends() {
    for near in DIALECTS {
        let all = frames(near);
        let mut act = Act::stream(all[..after_content(near)].to_vec());
        for _ in 0..400 {
            act = act
                .wait(std::time::Duration::from_millis(10))
                .body(all[after_content(near)].clone());
        }
        let channel = Channel::start(act).unwrap();
        let plan = Plan::new(vec![house::way("a", near, &channel)]);
        let house = plan.settings(|settings| settings.call_ms = 400).start().await;
        let reply = house.ask(Ask::plain(near, true)).await;
        assert_broken(near, &reply, Code::CallTimeout);
        channel.wait_ended(1, house::LIMIT).await.unwrap();
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::CallTimeout)));
        assert_eq!(attempts(outcome), [("a", None)], "no judgement on the channel");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_s_own_limit_refuses_before_the_first_byte() {
    for stream in [false, true] {
        let channel = Channel::start(Act::silent()).unwrap();
        let plan = Plan::new(vec![house::openai("a", &channel)]);
        let house = plan.settings(|settings| settings.call_ms = 250).start().await;
        let reply = house.ask(Ask::plain(OpenaiChat, stream)).await;
        let (status, _, code) = reply.problem(OpenaiChat);
        assert_eq!((status, code.as_deref()), (504, Some("call_timeout")));
        let book = house.stop().await;
        assert_eq!(ended(book.only().1), (Outcome::Refused, Some(Code::CallTimeout)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_connection_does_after_the_terminator_takes_nothing_back() {
    for near in DIALECTS {
        for cut in [Cut::Reset, Cut::Close, Cut::Silence] {
            let all = frames(near);
            let act = Act::stream(all.clone()).cut_before_frame(all.len(), cut);
            let channel = Channel::start(act).unwrap();
            let plan = Plan::new(vec![house::way("a", near, &channel)]);
            let house = plan.settings(|settings| settings.idle_ms = 300).start().await;
            let reply = house.ask(Ask::plain(near, true)).await;
            assert!(is_terminated(near, &reply.bytes()), "{cut:?}: {}", reply.text());
            assert_eq!(reply.said(), "Hello there.");
            let book = house.stop().await;
            let (_, outcome) = book.only();
            assert_eq!(ended(outcome), (Outcome::Served, None), "{cut:?}");
            assert_eq!(attempts(outcome), [("a", None)]);
        }
    }
}

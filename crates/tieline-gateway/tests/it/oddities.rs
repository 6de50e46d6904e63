//! Flaws of a stream that an application does not notice, and those that it must.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::FaultKind;
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Answer, Auto, Channel, Cut, Step};

use crate::caller::{Ask, is_terminated};
use crate::house::{self, Plan};
use crate::ledger::{attempts, ended};

const DIALECTS: [Dialect; 2] = [OpenaiChat, AnthropicMessages];

fn frames(dialect: Dialect) -> Vec<Bytes> {
    match dialect {
        OpenaiChat => Answer::default().openai_stream(true),
        AnthropicMessages => Answer::default().anthropic_stream(),
    }
}

const fn first_content(dialect: Dialect) -> usize {
    match dialect {
        OpenaiChat => 1,
        AnthropicMessages => 3,
    }
}

/// `act` on a channel that speaks `far`; the caller gets the whole answer, by `kind` from the second channel.
async fn is_whole(near: Dialect, far: Dialect, act: Act, kind: Option<FaultKind>) {
    let first = Channel::start(act).unwrap();
    let second = Channel::start(Auto::saying("Hello there.")).unwrap();
    let ways = vec![house::way("a", far, &first), house::way("b", near, &second)];
    let house = Plan::new(ways).start().await;
    let reply = house.ask(Ask::plain(near, true)).await;
    assert_eq!(reply.said(), "Hello there.");
    assert!(is_terminated(near, &reply.bytes()), "{}", reply.text());
    let book = house.stop().await;
    let (_, outcome) = book.only();
    assert_eq!(ended(outcome), (Outcome::Served, None));
    match kind {
        None => assert_eq!(attempts(outcome), [("a", None)]),
        Some(kind) => assert_eq!(attempts(outcome), [("a", Some(kind)), ("b", None)]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_no_json_is_left_out() {
    for near in DIALECTS {
        for far in DIALECTS {
            for place in [first_content(far), first_content(far) + 1] {
                let noise = Step::Frame(Bytes::from_static(b"data: proxy: timed out\n\n"));
                let act = Act::stream(frames(far)).before_frame(place, noise);
                is_whole(near, far, act, None).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_cannot_be_read_fails_over() {
    for near in DIALECTS {
        for far in DIALECTS {
            let act = Act::stream(frames(far)).malform_frame(first_content(far));
            is_whole(near, far, act, Some(FaultKind::Garbage)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_compressed_against_our_word_fails_over() {
    for dialect in DIALECTS {
        let act = Act::stream(frames(dialect)).claim_gzip();
        is_whole(dialect, dialect, act, Some(FaultKind::Garbage)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_without_terminator_is_finished_at_once_with_its_usage() {
    for near in DIALECTS {
        for cut in [Cut::Close, Cut::Reset, Cut::Silence] {
            let all = frames(near);
            let act = Act::stream(all.clone()).cut_before_frame(all.len() - 1, cut);
            let channel = Channel::start(act).unwrap();
            let plan = Plan::new(vec![house::way("a", near, &channel)]);
            let house = plan.settings(|settings| settings.idle_ms = 60_000).start().await;
            let began = Instant::now();
            let reply = house.ask(Ask::plain(near, true)).await;
            // Seconds, and not the limit of silence.
            assert!(began.elapsed() < Duration::from_secs(15), "{cut:?}");
            assert_eq!(reply.said(), "Hello there.");
            assert!(is_terminated(near, &reply.bytes()), "{cut:?}: {}", reply.text());
            let book = house.stop().await;
            let (_, outcome) = book.only();
            assert_eq!(ended(outcome), (Outcome::Served, None), "{cut:?}");
            assert!(outcome.usage.is_some_and(|usage| usage.output == 3), "{cut:?}");
        }
    }
}

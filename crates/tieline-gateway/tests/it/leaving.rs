//! A caller who leaves ends the attempt on the channel at once, and the ledger says that it left.

use tieline_core::Dialect::{AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Answer, Auto, Channel, End, Gate};

use crate::caller::{Ask, Caller};
use crate::house::{self, LIMIT, Plan};
use crate::ledger::{attempts, ended};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_before_the_head_cancels_the_attempt() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            let gate = Gate::new();
            let first = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
            let second = Channel::start(Auto::default()).unwrap();
            let ways = vec![
                house::way("a", dialect, &first),
                house::way("b", dialect, &second),
            ];
            let house = Plan::new(ways).start().await;
            let mut caller = Caller::connect(house.listen).await;
            caller.send(&Ask::plain(dialect, stream)).await;
            assert!(gate.wait_reached(1, LIMIT).await);
            drop(caller);
            let seen = first.wait_ended(1, LIMIT).await.unwrap();
            assert_eq!(seen[0].end, Some(End::ClientGone));
            assert_eq!(second.accepted_count(), 0);
            let book = house.stop().await;
            let (_, outcome) = book.only();
            assert_eq!(ended(outcome), (Outcome::Abandoned, None));
            assert_eq!(attempts(outcome), [("a", None)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_in_mid_stream_cancels_the_attempt() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let gate = Gate::new();
        let frames = match dialect {
            OpenaiChat => Answer::default().openai_stream(true),
            AnthropicMessages => Answer::default().anthropic_stream(),
        };
        let act = Act::stream(frames).gate_before_frame(4, &gate);
        let channel = Channel::start(act).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(dialect, true)).await;
        assert_eq!(caller.head().await.status, 200);
        caller.chunk().await.unwrap();
        assert!(gate.wait_reached(1, LIMIT).await);
        drop(caller);
        let seen = channel.wait_ended(1, LIMIT).await.unwrap();
        assert_eq!(seen[0].end, Some(End::ClientGone));
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Abandoned, None));
        assert!(outcome.attempts[0].content_events > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_in_mid_body_of_a_whole_answer_cancels_the_attempt() {
    let gate = Gate::new();
    let body = Answer::default().openai_json();
    let (head, tail) = body.split_at(20);
    let act = Act::status(200)
        .body(head.to_vec())
        .gate(&gate)
        .body(tail.to_vec());
    let channel = Channel::start(act).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    drop(caller);
    let seen = channel.wait_ended(1, LIMIT).await.unwrap();
    assert_eq!(seen[0].end, Some(End::ClientGone));
    let book = house.stop().await;
    assert_eq!(ended(book.only().1), (Outcome::Abandoned, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_after_the_terminator_was_served() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let gate = Gate::new();
        let frames = match dialect {
            OpenaiChat => Answer::default().openai_stream(true),
            AnthropicMessages => Answer::default().anthropic_stream(),
        };
        let act = Act::stream(frames.clone()).gate_before_frame(frames.len(), &gate);
        let channel = Channel::start(act).unwrap();
        let house = Plan::new(vec![house::way("a", dialect, &channel)]).start().await;
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(dialect, true)).await;
        caller.head().await;
        let mut got = Vec::new();
        while !crate::caller::is_terminated(dialect, &got) {
            got.extend_from_slice(&caller.chunk().await.unwrap());
        }
        // SDKs close here, whether or not the body's framing has ended.
        drop(caller);
        channel.wait_ended(1, LIMIT).await.unwrap();
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Served, None));
        assert!(outcome.usage.is_some_and(|usage| usage.output == 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_in_mid_request_leaves_nothing() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut caller = Caller::connect(house.listen).await;
    let ask = Ask::plain(OpenaiChat, false);
    let head = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
    caller.send_raw(head.as_bytes()).await;
    caller.send_raw(&ask.body[..10]).await;
    drop(caller);
    let book = house.stop().await;
    assert_eq!((channel.accepted_count(), book.decisions.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_reads_slowly_holds_the_channel_back_and_loses_nothing() {
    // More than all socket buffers on the way hold: 64 MB in events of 16 KB.
    let text = "x".repeat(16 << 10);
    let answer = Answer {
        text: vec![text; 2_000],
        ..Answer::default()
    };
    let frames = answer.openai_stream(false);
    let expected = frames.concat();
    let channel = Channel::start(Act::stream(frames)).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, true)).await;
    caller.head().await;
    caller.chunk().await.unwrap();
    // The channel cannot have sent everything while nobody reads.
    assert_eq!(channel.seen()[0].end, None);
    let (rest, _) = caller.rest().await;
    let got: usize = rest.iter().map(bytes::Bytes::len).sum();
    assert!(
        expected.ends_with(&rest.concat()),
        "{got} of {} bytes",
        expected.len()
    );
    let book = house.stop().await;
    assert_eq!(ended(book.only().1), (Outcome::Served, None));
}

//! A caller who takes nothing, or little, of what there is for it: its call ends when it must all the same.

use std::time::Duration;

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_core::{CallId, Code};
use tieline_testkit::{Act, Answer, Channel};
use tokio::net::TcpSocket;

use crate::broken::assert_broken;
use crate::caller::{Ask, CHAT_STREAM, Caller, End, Head, Reply};
use crate::directives::{GERMANS, applied, letter, send, signed};
use crate::house::{self, House, LIMIT, Plan};
use crate::ledger::{attempts, ended};
use crate::transport::{plain_h2, post, read};

/// More than all socket buffers on the way hold, where the caller's is small: 20 MB in events of 16 KB.
fn long(dialect: Dialect) -> Act {
    let answer = Answer {
        text: vec!["x".repeat(16 << 10); 1_200],
        ..Answer::default()
    };
    Act::stream(match dialect {
        OpenaiChat => answer.openai_stream(true),
        AnthropicMessages => answer.anthropic_stream(),
    })
}

/// A caller for whom the kernel keeps little.
async fn narrow(house: &House) -> Caller {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    Caller::over(socket.connect(house.listen).await.unwrap())
}

/// Reads a piece now and then, so that there is always more.
async fn sip(caller: &mut Caller, head: Head) -> Reply {
    let mut chunks = Vec::new();
    loop {
        match caller.chunk().await {
            Ok(chunk) => chunks.push(chunk),
            Err(end) => return Reply { chunks, end, head },
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_reads_nothing_holds_its_call_no_longer_than_the_limit() {
    for (near, far) in [
        (OpenaiChat, OpenaiChat),
        (OpenaiChat, AnthropicMessages),
        (AnthropicMessages, AnthropicMessages),
    ] {
        let channel = Channel::start(long(far)).unwrap();
        let plan = Plan::new(vec![house::way("a", far, &channel)]);
        let house = plan.settings(|settings| settings.call_ms = 1_000).start().await;
        let mut caller = narrow(&house).await;
        caller.send(&Ask::plain(near, true)).await;
        let head = caller.head().await;
        let seen = channel.wait_ended(1, LIMIT).await.unwrap();
        assert_eq!(seen[0].end, Some(tieline_testkit::End::ClientGone));
        house.quiet().await;
        // Whoever reads on all the same is told.
        let (chunks, end) = caller.rest().await;
        assert_broken(near, &Reply { chunks, end, head }, Code::CallTimeout);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::CallTimeout)));
        assert_eq!(attempts(outcome), [("a", None)], "no judgement on the channel");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_of_a_connection_that_is_not_read_ends_at_its_limit() {
    let channel = Channel::start(long(OpenaiChat)).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.settings(|settings| settings.call_ms = 1_000).start().await;
    let mut sender = plain_h2(&house).await;
    let response = sender.send_request(post(CHAT_STREAM)).await.unwrap();
    let call: CallId = response.headers()["x-tieline-call"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    house.quiet().await;
    let text = String::from_utf8(read(response).await).unwrap();
    assert!(text.contains("call_timeout") && !text.contains("[DONE]"));
    let book = house.stop().await;
    let outcome = &book.outcomes[&call];
    assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::CallTimeout)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_ends_an_answer_of_which_there_is_always_more() {
    for near in [OpenaiChat, AnthropicMessages] {
        let channel = Channel::start(long(near)).unwrap();
        let plan = Plan::new(vec![house::way("a", near, &channel)]);
        let house = plan.settings(|settings| settings.call_ms = 500).start().await;
        let mut caller = narrow(&house).await;
        caller.send(&Ask::plain(near, true)).await;
        let head = caller.head().await;
        assert_broken(near, &sip(&mut caller, head).await, Code::CallTimeout);
        let book = house.stop().await;
        let (_, outcome) = book.only();
        assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::CallTimeout)));
        assert_eq!(attempts(outcome), [("a", None)], "no judgement on the channel");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_ends_an_answer_of_which_there_is_always_more() {
    for says in ["cut", "drain 1"] {
        let channel = Channel::start(long(OpenaiChat)).unwrap();
        let house = crate::directives::plan(&channel).start().await;
        let mut caller = narrow(&house).await;
        caller.send(&Ask::plain(OpenaiChat, true)).await;
        let head = caller.head().await;
        applied(&send(&house, &signed(&letter("us-1", 1, says, GERMANS))).await);
        let reply = sip(&mut caller, head).await;
        assert_eq!(reply.end, End::Framed);
        assert!(reply.text().contains("A licence is required."), "{says}");
        let book = house.stop().await;
        assert_eq!(
            ended(book.only().1),
            (Outcome::Broken, Some(Code::Denied)),
            "{says}"
        );
    }
}

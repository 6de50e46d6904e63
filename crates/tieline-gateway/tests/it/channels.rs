//! Connections to channels: what a channel says on one is that call's answer and nobody else's.

use tieline_core::Dialect::OpenaiChat;
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Answer, Auto, Channel, Framing, Script, Step};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::caller::Ask;
use crate::house::{self, Plan};

fn body(text: &str) -> Vec<u8> {
    let answer = Answer {
        text: vec![text.into()],
        ..Answer::default()
    };
    answer.openai_json().to_vec()
}

fn answer(head: &str, text: &str) -> Vec<u8> {
    let body = body(text);
    let head = format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// Two calls: the first is answered by `first` with "first", the second by a channel that works.
async fn then_another(first: Act) -> Channel {
    let channel = Channel::start(Script::new().then(first)).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    for said in ["first", "Hello there"] {
        assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.said(), said);
        house.quiet().await;
    }
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 2]);
    channel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_an_answer_are_not_the_next_call_s_answer() {
    let both = [answer("", "first"), answer("", "not asked for")].concat();
    assert_eq!(then_another(Act::raw(both).silence()).await.accepted_count(), 2);
    // Of chunks, too.
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let first = body("first");
    chunked.extend_from_slice(format!("{:x}\r\n", first.len()).as_bytes());
    chunked.extend_from_slice(&first);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    chunked.extend_from_slice(&answer("", "not asked for"));
    assert_eq!(
        then_another(Act::raw(chunked).silence()).await.accepted_count(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_framed_twice_is_read_by_its_chunks_and_ends_its_connection() {
    let first = body("first");
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!(
        "{head}{:x}\r\n{}\r\n0\r\n\r\n",
        first.len(),
        String::from_utf8(first).unwrap()
    );
    assert_eq!(then_another(Act::raw(chunk).silence()).await.accepted_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_the_answer_is_passed_over() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
    let act = Act::raw([early.as_bytes(), &answer("", "first")].concat());
    then_another(act).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_asks_for_the_end_of_its_connection_gets_it() {
    let act = Act::raw(answer("connection: close\r\n", "first")).close();
    assert_eq!(then_another(act).await.accepted_count(), 2);
    let head = Step::Head {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        framing: Framing::UntilClose,
    };
    let act = Act::steps(vec![head, Step::Frame(body("first").into())]);
    assert_eq!(then_another(act).await.accepted_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_answers_before_it_has_read_all_leaves_no_half_request_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let mut kept = Vec::new();
        for said in ["first", "second"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 1_000];
            let count = stream.read(&mut some).await.unwrap();
            assert!(some[..count].starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n"));
            stream.write_all(&answer("", said)).await.unwrap();
            kept.push(stream);
        }
        kept
    });
    let channel = Channel::start(Auto::default()).unwrap();
    let mut way = house::openai("a", &channel);
    way.address = address;
    let house = Plan::new(vec![way]).start().await;
    // More than the sockets' buffers hold.
    let long = "x".repeat(12 << 20);
    let long = format!(r#"{{"model":"chat","messages":[{{"role":"user","content":"{long}"}}]}}"#);
    assert_eq!(house.ask(Ask::chat(long)).await.said(), "first");
    house.quiet().await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.said(), "second");
    drop(serving.await.unwrap());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_given_up() {
    let endless = format!("HTTP/1.1 200 OK\r\nx-long: {}", "x".repeat(1 << 20));
    let channel = Channel::start(Act::raw(endless).silence()).unwrap();
    let second = Channel::start(Auto::saying("From the second")).unwrap();
    let ways = vec![house::openai("a", &channel), house::openai("b", &second)];
    let house = Plan::new(ways).start().await;
    assert_eq!(
        house.ask(Ask::plain(OpenaiChat, false)).await.said(),
        "From the second"
    );
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_kept_up_to_the_channel_s_number() {
    let gate = tieline_testkit::Gate::new();
    let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    // As many as the house's wiring keeps, and six more.
    let listen = house.listen;
    let calls: Vec<_> = (0..70)
        .map(|_| {
            tokio::spawn(async move {
                let mut caller = crate::caller::Caller::connect(listen).await;
                caller.send(&Ask::plain(OpenaiChat, false)).await;
                assert_eq!(caller.reply().await.status(), 200);
            })
        })
        .collect();
    assert!(gate.wait_reached(70, house::LIMIT).await);
    gate.open();
    for call in calls {
        call.await.unwrap();
    }
    let waiting = tokio::task::spawn_blocking(move || {
        assert!(
            channel.wait_open_blocking(64, house::LIMIT),
            "{} are open",
            channel.open_count()
        );
        channel
    });
    let channel = waiting.await.unwrap();
    assert_eq!(channel.accepted_count(), 70);
    house.stop().await;
}

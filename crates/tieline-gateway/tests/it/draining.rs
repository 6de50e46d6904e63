//! A stop lets calls in flight end, refuses new ones, and has a limit.

use tempfile::TempDir;
use tieline_core::Dialect::{AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_gateway::StartError;
use tieline_testkit::{Act, Answer, Auto, Channel, End as ChannelEnd, Gate};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::caller::{Ask, Caller, End, is_terminated};
use crate::house::{self, House, LIMIT, Plan};
use crate::ledger::{Book, ended};

/// A stop under way.
struct Stopping {
    dir: TempDir,
    task: JoinHandle<Result<(), StartError>>,
}

impl Stopping {
    fn begin(house: &mut House) -> Self {
        let started = house.take_started();
        Self {
            dir: house.dir.take().unwrap(),
            task: tokio::spawn(started.stop()),
        }
    }

    async fn end(self) -> Book {
        let stopped = tokio::time::timeout(LIMIT, self.task).await.expect("a stop ends");
        stopped.unwrap().unwrap();
        let book = Book::read(self.dir);
        book.audit();
        book
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_calls_in_flight_end_and_takes_no_new_ones() {
    for stream in [false, true] {
        let gate = Gate::new();
        let act = Act::auto().gate_before_frame(usize::from(stream) * 3, &gate);
        let channel = Channel::start(tieline_testkit::Script::new().then(act)).unwrap();
        let mut house = Plan::new(vec![house::openai("a", &channel)])
            .gateway(|g| g.drain_ms = 20_000)
            .start()
            .await;
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(OpenaiChat, stream)).await;
        assert!(gate.wait_reached(1, LIMIT).await);
        // A connection that began a request before the stop, and sends the rest of it afterwards.
        let mut late = Caller::connect(house.listen).await;
        let ask = Ask::plain(AnthropicMessages, false);
        late.send_raw(ask.head().as_bytes()).await;
        // The gateway has read that much once it has answered another on a third connection.
        assert_eq!(house.ask(Ask::get("/healthz")).await.status(), 200);
        let stopping = Stopping::begin(&mut house);
        let refused = async {
            while TcpStream::connect(house.listen).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, refused)
            .await
            .expect("new connections are refused");
        let rest = format!("content-length: {}\r\n\r\n", ask.body.len());
        late.send_raw(rest.as_bytes()).await;
        late.send_raw(&ask.body).await;
        let reply = late.reply().await;
        let (status, _, code) = reply.problem(AnthropicMessages);
        assert_eq!((status, code.as_deref()), (529, Some("draining")));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.header("connection"), Some("close"));
        gate.open();
        let reply = caller.reply().await;
        assert_eq!(reply.said(), "Hello there");
        let book = stopping.end().await;
        assert_eq!(ended(book.only().1), (Outcome::Served, None));
        assert_eq!(book.of_type("tieline/stop/v1").len(), 1);
        assert_eq!(book.entries.last().unwrap()["t"], "tieline/stop/v1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_hangs_is_cut_by_the_limit_and_recorded() {
    for stream in [false, true] {
        let frames = Answer::default().openai_stream(true);
        let act = if stream {
            Act::stream(frames[..3].to_vec()).silence()
        } else {
            Act::silent()
        };
        let channel = Channel::start(act).unwrap();
        let mut house = Plan::new(vec![house::openai("a", &channel)])
            .gateway(|g| g.drain_ms = 200)
            .start()
            .await;
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(OpenaiChat, stream)).await;
        channel.wait_seen(1, LIMIT).await.unwrap();
        if stream {
            caller.head().await;
            caller.chunk().await.unwrap();
        }
        let book = Stopping::begin(&mut house).end().await;
        assert_eq!(ended(book.only().1), (Outcome::Abandoned, None));
        assert_eq!(book.entries.last().unwrap()["t"], "tieline/stop/v1");
        if stream {
            let (rest, end) = caller.rest().await;
            assert_ne!(end, End::Framed, "what was cut does not look whole");
            assert!(!is_terminated(
                OpenaiChat,
                &[b"data: {}\n\n", &*rest.concat()].concat()
            ));
        } else {
            caller.closed().await;
        }
        let seen = channel.wait_ended(1, LIMIT).await.unwrap();
        assert_eq!(seen[0].end, Some(ChannelEnd::ClientGone));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_delay_a_stop() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut house = Plan::new(vec![house::openai("a", &channel)])
        .gateway(|g| g.drain_ms = 600_000)
        .start()
        .await;
    // One that was served, one that said nothing, one with half a head, each of the public and of the admin listener.
    let mut served = Caller::connect(house.listen).await;
    served.send(&Ask::plain(OpenaiChat, false)).await;
    assert_eq!(served.reply().await.status(), 200);
    let silent = Caller::connect(house.listen).await;
    let mut admin = Caller::connect(house.admin).await;
    admin.send(&Ask::get("/healthz")).await;
    assert_eq!(admin.reply().await.status(), 200);
    let admin_silent = Caller::connect(house.admin).await;
    let book = Stopping::begin(&mut house).end().await;
    assert_eq!(book.results(), [Outcome::Served]);
    assert_eq!(served.closed().await, End::Fin);
    drop((silent, admin, admin_silent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_head_on_either_listener_delays_a_stop_by_the_limit_at_most() {
    let mut house = Plan::new(Vec::new()).gateway(|g| g.drain_ms = 200).start().await;
    let mut public = Caller::connect(house.listen).await;
    public.send_raw(b"GET /healthz HTTP/1.1\r\nhost:").await;
    let mut admin = Caller::connect(house.admin).await;
    admin.send_raw(b"GET /healthz HTTP/1.1\r\nhost:").await;
    assert_eq!(house.ask(Ask::get("/healthz")).await.status(), 200);
    Stopping::begin(&mut house).end().await;
    drop((public, admin));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_free_for_the_next_process_once_a_stop_has_ended() {
    let mut house = Plan::new(Vec::new()).start().await;
    let second = tieline_gateway::Lock::take(house.path()).unwrap_err().to_string();
    assert!(second.contains(&std::process::id().to_string()), "{second}");
    let silent = Caller::connect(house.listen).await;
    let book = Stopping::begin(&mut house).end().await;
    tieline_gateway::Lock::take(book.path()).expect("no task of the old gateway holds the folder");
    drop(silent);
}

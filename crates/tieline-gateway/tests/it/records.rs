//! The ledger under stress: full, slow, crashed.

use std::path::Path;

use rusqlite::Connection;
use tieline_core::Dialect::OpenaiChat;
use tieline_core::grid::RecordMode;
use tieline_core::record::Outcome;
use tieline_gateway::OnFull;
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller};
use crate::house::{self, LIMIT, OPERATOR, Plan, READER};
use crate::ledger::{Book, ended};

/// While this lives, the writer of the ledger waits for the file. It waits for a few seconds, then it stops for good.
struct Jam(Connection);

impl Jam {
    fn new(dir: &Path) -> Self {
        let file = Connection::open(dir.join("ledger.db")).unwrap();
        file.busy_timeout(LIMIT).unwrap();
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(file)
    }

    fn lift(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

async fn flush(house: &house::House) {
    assert_eq!(
        house.admin(READER, "POST", "/admin/v1/flush", "").await.status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_refuses_calls_and_nothing_is_dialled() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| {
            gateway.ledger.on_full = OnFull::Refuse;
            gateway.ledger.queue_entries_max = 6;
        })
        .start()
        .await;
    // What the start recorded may still wait in the short queue.
    flush(&house).await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    flush(&house).await;
    let jam = Jam::new(house.path());
    let mut served = 1;
    let refused = loop {
        let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
        if reply.status() != 200 {
            break reply;
        }
        served += 1;
        assert!(served < 100, "the queue fills up");
    };
    let (status, _, code) = refused.problem(OpenaiChat);
    assert_eq!((status, code.as_deref()), (503, Some("ledger_full")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("x-should-retry"), Some("true"));
    assert_eq!(channel.seen_count(), served);
    jam.lift();
    flush(&house).await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    let book = house.stop().await;
    assert_eq!(
        book.decisions.len() as u64,
        served + 1,
        "a call that was not recorded was not made"
    );
    assert!(book.results().iter().all(|result| *result == Outcome::Served));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_call_that_a_full_ledger_refused_leaves_the_key_s_record_to_be_archived() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| gateway.ledger.queue_entries_max = 4)
        .start()
        .await;
    flush(&house).await;
    let jam = Jam::new(house.path());
    // Operations are owed their entries, so they fill the queue and past it.
    for _ in 0..6 {
        house.cut("a").await;
        house.restore("a").await;
    }
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    let (status, _, code) = reply.problem(OpenaiChat);
    assert_eq!((status, code.as_deref()), (503, Some("ledger_full")));
    assert_eq!(reply.header("x-should-retry"), Some("true"));
    jam.lift();
    flush(&house).await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    let metrics = house.admin(READER, "GET", "/metrics", "").await.text();
    assert!(metrics.contains("tieline_unauthenticated_total 0"), "{metrics}");
    // The audit looks for the party's record.
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ledger_that_may_have_gaps_serves_and_counts_what_is_missing() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let mut house = plan
        .gateway(|gateway| {
            gateway.ledger.on_full = OnFull::Gap;
            gateway.ledger.queue_entries_max = 6;
        })
        .start()
        .await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    flush(&house).await;
    let jam = Jam::new(house.path());
    for _ in 0..20 {
        assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    }
    jam.lift();
    flush(&house).await;
    house.quiet().await;
    house.take_started().stop().await.unwrap();
    let book = Book::read(house.dir.take().unwrap());
    let gaps = book.of_type("tieline/gap/v1");
    let lost: u64 = gaps.iter().map(|gap| gap["lost"].as_u64().unwrap()).sum();
    assert!(lost > 0, "{gaps:?}");
    assert_eq!(book.decisions.len() as u64 + lost, 21);
    assert_eq!(book.orphans.len() as u64, lost, "an outcome is kept of each call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_answer_does_not_leave_before_its_decision_is_durable() {
    for stream in [false, true] {
        let channel = Channel::start(Auto::default()).unwrap();
        let plan = Plan::new(vec![house::openai("a", &channel)]);
        let house = plan
            .settings(|settings| settings.record = RecordMode::Strict)
            .start()
            .await;
        assert_eq!(
            house.ask(Ask::plain(OpenaiChat, stream)).await.said(),
            "Hello there"
        );
        flush(&house).await;
        let jam = Jam::new(house.path());
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(OpenaiChat, stream)).await;
        let seen = channel.wait_ended(2, LIMIT).await.unwrap();
        assert_eq!(
            seen[1].end,
            Some(tieline_testkit::End::Complete),
            "the channel has said all"
        );
        // That nothing comes cannot be waited for otherwise.
        let mut byte = [0];
        let peek = tokio::time::timeout(
            std::time::Duration::from_millis(200),
            caller.stream.peek(&mut byte),
        );
        assert!(peek.await.is_err(), "a byte left before the decision was durable");
        jam.lift();
        assert_eq!(caller.reply().await.said(), "Hello there");
        let book = house.stop().await;
        assert_eq!(book.results(), [Outcome::Served; 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_before_the_decision_is_durable_is_recorded_as_gone() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .settings(|settings| settings.record = RecordMode::Strict)
        .start()
        .await;
    flush(&house).await;
    let jam = Jam::new(house.path());
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, true)).await;
    channel.wait_ended(1, LIMIT).await.unwrap();
    drop(caller);
    house.quiet().await;
    jam.lift();
    let book = house.stop().await;
    assert_eq!(ended(book.only().1), (Outcome::Abandoned, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_a_crash_left_open_are_closed_as_lost_at_the_next_start() {
    let gate = Gate::new();
    let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.clone().start().await;
    let mut callers = Vec::new();
    for n in 1..=5 {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(OpenaiChat, false)).await;
        assert!(gate.wait_reached(n, LIMIT).await);
        callers.push(caller);
    }
    flush(&house).await;
    // What a crash at this moment leaves: the files as they stand.
    let left = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(house.path()).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), left.path().join(name)).unwrap();
        }
    }
    gate.open();
    for caller in &mut callers {
        assert_eq!(caller.reply().await.status(), 200);
    }
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 5]);

    // A queue shorter than what is owed is no obstacle.
    let plan = plan.gateway(|gateway| gateway.ledger.queue_entries_max = 4);
    let house = plan.start_in(left).await.unwrap();
    // While what is owed stands in the queue, it has no room for a call.
    flush(&house).await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    let book = house.stop().await;
    let lost = book
        .results()
        .into_iter()
        .filter(|result| *result == Outcome::Lost)
        .count();
    assert_eq!((lost, book.decisions.len()), (5, 6));
    for outcome in book
        .outcomes
        .values()
        .filter(|outcome| outcome.result == Outcome::Lost)
    {
        assert_eq!(
            (outcome.usage, outcome.cost_nano),
            (None, None),
            "unknown is not zero"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_the_ledger_ended() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.clone().start().await;
    house.ask(Ask::plain(OpenaiChat, false)).await;
    let book = house.stop().await;
    let before = book.entries.clone();
    let house = plan.start_in(book.dir).await.unwrap();
    house.ask(Ask::plain(OpenaiChat, false)).await;
    let book = house.stop().await;
    assert_eq!(book.entries[..before.len()], before);
    assert_eq!(book.results(), [Outcome::Served; 2]);
    let activations = book.of_type("tieline/activation/v1");
    assert_eq!(activations[0]["body"]["epoch"], activations[1]["body"]["epoch"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_stopped_is_told_by_readiness_and_serves_nothing() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    flush(&house).await;
    // The file is jammed for longer than the writer waits.
    let jam = Jam::new(house.path());
    house.cut("b-that-is-not-there").await;
    assert_eq!(house.ask(Ask::plain(OpenaiChat, false)).await.status(), 200);
    house
        .wait_status("the writer gives up", |status| {
            !status["ledger"]["stopped"].is_null()
        })
        .await;
    jam.lift();
    assert_eq!(house.ask(Ask::get("/readyz")).await.status(), 503);
    assert_eq!(house.ask(Ask::get("/healthz")).await.status(), 200);
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("ledger_full"));
    assert_eq!(channel.seen_count(), 1);
    assert_eq!(
        house
            .admin(OPERATOR, "POST", "/admin/v1/cut", r#"{"name":"a"}"#)
            .await
            .status(),
        503
    );
    assert!(
        house.take_started().stop().await.is_err(),
        "a stop says that not all was written"
    );
    let book = Book::read(house.dir.take().unwrap());
    book.audit();
    assert!(book.decisions.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_call_whose_ledger_stops_is_refused_then_and_not_at_its_limit() {
    for stream in [false, true] {
        let channel = Channel::start(Auto::default()).unwrap();
        let plan = Plan::new(vec![house::openai("a", &channel)]).settings(|settings| {
            settings.record = RecordMode::Strict;
            settings.call_ms = 600_000;
        });
        let mut house = plan.start().await;
        flush(&house).await;
        let jam = Jam::new(house.path());
        let reply = house.ask(Ask::plain(OpenaiChat, stream)).await;
        let (status, _, code) = reply.problem(OpenaiChat);
        assert_eq!((status, code.as_deref()), (503, Some("ledger_full")));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(channel.seen_count(), 1);
        jam.lift();
        house.quiet().await;
        assert!(house.take_started().stop().await.is_err());
        let book = Book::read(house.dir.take().unwrap());
        book.audit();
        assert!(book.decisions.is_empty());
    }
}

//! A configuration is checked, then swapped whole, or the old one stays and it is said why.

use std::process::Command;

use tieline_core::Dialect::OpenaiChat;
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller};
use crate::house::{self, House, LIMIT, OPERATOR, Plan, READER};
use crate::ledger::attempts;

fn saying(text: &str) -> Channel {
    Channel::start(Auto::saying(text)).unwrap()
}

async fn said(house: &House) -> String {
    house.ask(Ask::plain(OpenaiChat, false)).await.said()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_grid_holds_for_the_next_call_and_both_are_archived() {
    let (a, b) = (saying("From a"), saying("From b"));
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    assert_eq!(said(&house).await, "From a");
    let before = house.status().await;
    house
        .reload(|plan| plan.ways = vec![house::openai("b", &b)])
        .unwrap();
    assert_eq!(said(&house).await, "From b");
    let after = house.status().await;
    assert_ne!(before["grid"], after["grid"]);
    assert_eq!(before["epoch"], after["epoch"], "the rules are the same");
    let book = house.stop().await;
    let grids: Vec<_> = book.decisions.values().map(|decision| decision.grid).collect();
    assert_ne!(grids[0], grids[1]);
    assert_eq!(book.of_type("tieline/activation/v1").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_configuration_keeps_the_old_one_and_says_why() {
    let a = saying("From a");
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    let before = house.status().await;
    let why = house.reload(|plan| plan.broken = Some("tieline.toml:3:1: no such thing".into()));
    assert_eq!(why, Err("tieline.toml:3:1: no such thing".into()));
    let reply = house.admin(OPERATOR, "POST", "/admin/v1/reload", "").await;
    assert_eq!(reply.status(), 422);
    assert!(reply.text().contains("tieline.toml:3:1"), "{}", reply.text());
    // One that reads well and does not hold together: its grid names a model that it does not have.
    let why = house.reload(|plan| {
        plan.broken = None;
        plan.ways[0].models = vec!["m9"];
    });
    assert!(why.unwrap_err().contains("m9"));
    // A certificate authority that is not there.
    let why = house.reload(|plan| {
        plan.ways[0].models = vec!["m1"];
        plan.ways[0].ca = Some("/nowhere/ca.pem".into());
    });
    assert!(why.unwrap_err().contains("/nowhere/ca.pem"));
    assert_eq!(said(&house).await, "From a");
    let after = house.status().await;
    assert_eq!(
        (&before["grid"], &before["epoch"]),
        (&after["grid"], &after["epoch"])
    );
    let metrics = house.admin(READER, "GET", "/metrics", "").await.text();
    assert!(
        metrics.contains("tieline_reloads_total{result=\"kept\"} 4"),
        "{metrics}"
    );
    let book = house.stop().await;
    assert_eq!(
        book.of_type("tieline/activation/v1").len(),
        1,
        "what never held was not activated"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_ends_in_the_grid_that_it_began_in() {
    let gate = Gate::new();
    let a = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let b = saying("From b");
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    // The new grid has the old channel at another index, and another before it.
    house
        .reload(|plan| plan.ways = vec![house::openai("b", &b), house::openai("a", &a)])
        .unwrap();
    let status = house.status().await;
    let load = |name: &str| {
        let channels = status["channels"].as_array().unwrap().iter();
        channels
            .filter(|channel| channel["name"] == name)
            .map(|c| c["in_flight"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((load("a"), load("b")), (1, 0), "the load moved with its channel");
    gate.open();
    assert_eq!(caller.reply().await.said(), "Hello there");
    let book = house.stop().await;
    assert_eq!(attempts(book.only().1), [("a", None)]);
}

/// While a call is in flight on a channel that takes one at a time, the grid changes and changes back; then the channel
/// must be free.
async fn frees_across(change: impl FnOnce(&mut Plan)) {
    let gate = Gate::new();
    let a = Channel::start(tieline_testkit::Script::new().then(Act::auto().gate_before_head(&gate))).unwrap();
    let mut tight = house::openai("a", &a);
    tight.limits.concurrency = Some(1);
    let mut plan = Plan::new(vec![tight.models(&["m1", "m2"])]);
    plan.models = vec!["m1", "m2"];
    let house = plan.clone().start().await;
    let ask = || Ask::chat(r#"{"model":"m1","messages":[{"role":"user","content":"Hello there"}]}"#);
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&ask()).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    house.reload(change).unwrap();
    gate.open();
    assert_eq!(caller.reply().await.said(), "Hello there");
    house.quiet().await;
    house.reload(|now| *now = plan).unwrap();
    house.quiet().await;
    assert_eq!(
        house.ask(ask()).await.said(),
        "Hello there",
        "the channel's one place is free"
    );
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_stops_serving_the_model_of_a_call_in_flight_is_freed_by_its_end() {
    frees_across(|plan| plan.ways[0].models = vec!["m2"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_is_removed_during_a_call_is_free_when_it_returns() {
    frees_across(|plan| plan.ways.clear()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_whose_limits_change_during_a_call_is_freed_by_its_end() {
    frees_across(|plan| plan.ways[0].limits.tokens_per_minute = Some(1_000_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_outlives_a_reload_that_drops_the_channel_and_one_that_brings_it_back() {
    let (a, b) = (saying("From a"), saying("From b"));
    let mut ways = vec![house::openai("a", &a), house::openai("b", &b)];
    ways[0].components = vec!["region:north/1"];
    ways[1].components = vec!["cloud:south"];
    for name in ["a", "region:north/1"] {
        let house = Plan::new(ways.clone()).start().await;
        assert_eq!(house.cut(name).await.status(), 200);
        let without = ways[1..].to_vec();
        house.reload(|plan| plan.ways = without).unwrap();
        assert_eq!(said(&house).await, "From b");
        house.reload(|plan| plan.ways.clone_from(&ways)).unwrap();
        assert_eq!(said(&house).await, "From b", "{name} is still cut");
        assert_eq!(house.restore(name).await.json()["changed"], true);
        assert_eq!(said(&house).await, "From a");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_read_again() {
    let (a, b) = (saying("From a"), saying("From b"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tieline.toml");
    std::fs::write(&file, "one").unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &a)]);
    plan.watched = vec![file.clone()];
    let house = plan.start().await;
    let before = house.status().await["grid"].clone();
    house.plan.lock().unwrap().ways = vec![house::openai("b", &b)];
    std::fs::write(&file, "another").unwrap();
    house
        .wait_status("the grid is swapped", |status| status["grid"] != before)
        .await;
    assert_eq!(said(&house).await, "From b");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reads_the_configuration_again() {
    let (a, b) = (saying("From a"), saying("From b"));
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    // A call's answer means that the tasks run, and one of them has the signal's handler.
    assert_eq!(said(&house).await, "From a");
    let before = house.status().await["grid"].clone();
    house.plan.lock().unwrap().ways = vec![house::openai("b", &b)];
    let pid = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    house
        .wait_status("the grid is swapped", |status| status["grid"] != before)
        .await;
    assert_eq!(said(&house).await, "From b");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_body_comes_slowly_begins_in_the_grid_of_its_last_byte() {
    let (a, b) = (saying("From a"), saying("From b"));
    let house = Plan::new(vec![house::openai("a", &a)]).start().await;
    let ask = Ask::plain(OpenaiChat, false);
    let mut slow = Caller::connect(house.listen).await;
    let head = format!("{}content-length: {}\r\n\r\n", ask.head(), ask.body.len());
    slow.send_raw(head.as_bytes()).await;
    house
        .wait_status("the call is counted", |status| status["calls_in_flight"] == 1)
        .await;
    house
        .reload(|plan| plan.ways = vec![house::openai("b", &b)])
        .unwrap();
    slow.send_raw(&ask.body).await;
    assert_eq!(slow.reply().await.said(), "From b");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_call() {
    let (a, b) = (saying("Hello there"), saying("Hello there"));
    let house = Plan::new(vec![house::openai("a", &a), house::openai("b", &b)])
        .start()
        .await;
    let listen = house.listen;
    let calls = (0..4).map(|_| {
        tokio::spawn(async move {
            let mut caller = Caller::connect(listen).await;
            for n in 0..25 {
                let ask = Ask::plain(OpenaiChat, n % 2 == 0);
                caller.send(&ask).await;
                assert_eq!(caller.reply().await.said(), "Hello there");
            }
        })
    });
    let calls: Vec<_> = calls.collect();
    let grids = [
        vec![house::openai("a", &a)],
        vec![house::openai("b", &b), house::openai("a", &a)],
        vec![house::openai("a", &a), house::openai("b", &b)],
    ];
    for n in 0..12 {
        house.reload(|plan| plan.ways.clone_from(&grids[n % 3])).unwrap();
        tokio::task::yield_now().await;
    }
    for call in calls {
        call.await.unwrap();
    }
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 100]);
}

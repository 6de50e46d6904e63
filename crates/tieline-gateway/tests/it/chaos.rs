//! Many callers of both dialects against channels that misbehave at random, while the grid changes under them. Whatever
//! happens, each caller gets one clean end, loads return to zero, and the ledger keeps its laws.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::FaultKind;
use tieline_core::grid::RecordMode;
use tieline_testkit::{Act, Channel, Cut, canned};

use crate::caller::{Ask, Caller, End, Reply, events, is_terminated};
use crate::house::{self, Plan};

const CALLERS: usize = 6;
const CALLS: usize = 40;

fn act() -> impl Strategy<Value = Act> {
    let cut = prop_oneof![Just(Cut::Reset), Just(Cut::Close)];
    let error = prop::sample::select(canned::ALL).prop_map(|error| error.act());
    prop_oneof![
        6 => Just(Act::auto()),
        1 => Just(Act::refuse()),
        1 => Just(Act::silent()),
        2 => error,
        1 => Just(Act::json("garbage")),
        1 => (1..400_usize, cut.clone()).prop_map(|(byte, cut)| Act::auto().cut_at_body_byte(byte, cut)),
        1 => (1..600_usize, cut).prop_map(|(byte, cut)| Act::auto().cut_at_byte(byte, cut)),
        1 => (0..4_u64).prop_map(|ms| {
            let dripping = Act::auto().drip(17, Duration::from_micros(20));
            dripping.wait_before_frame(0, Duration::from_millis(ms))
        }),
        1 => Just(Act::raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")),
    ]
}

/// What one caller asks, and whether it stays.
#[derive(Clone, Debug)]
struct Errand {
    dialect: Dialect,
    leaves: Option<u8>,
    stream: bool,
}

fn errand() -> impl Strategy<Value = Errand> {
    let dialect = prop_oneof![Just(OpenaiChat), Just(AnthropicMessages)];
    (dialect, any::<bool>(), prop::option::weighted(0.2, 0..3_u8)).prop_map(|(dialect, stream, leaves)| {
        Errand {
            dialect,
            leaves,
            stream,
        }
    })
}

/// Samples from a fixed seed: the same acts and errands in each run; only their timing is the machine's.
fn samples<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// An answer that is whole, or says in its dialect that it is not.
fn assert_clean(errand: &Errand, reply: &Reply) {
    assert_eq!(reply.end, End::Framed, "{errand:?} {reply:?}");
    reply.call();
    if reply.status() != 200 {
        let json = reply.json();
        assert!(json["error"]["message"].is_string(), "{errand:?} {reply:?}");
    } else if errand.stream {
        let bytes = reply.bytes();
        let (name, data) = events(&bytes).pop().unwrap();
        let is_error = match errand.dialect {
            OpenaiChat => data.starts_with("{\"error\":"),
            AnthropicMessages => name.as_deref() == Some("error"),
        };
        // A stream may end without its terminator where the channel had said how it stopped.
        let is_stopped =
            reply.text().contains("\"finish_reason\":\"stop\"") || reply.text().contains("end_turn");
        assert!(
            is_error || is_stopped || is_terminated(errand.dialect, &bytes),
            "{errand:?} {}",
            reply.text()
        );
    } else {
        assert_eq!(reply.said(), "Hello there");
    }
}

async fn run(listen: std::net::SocketAddr, errands: Vec<Errand>) {
    let mut caller = Caller::connect(listen).await;
    for errand in errands {
        caller.send(&Ask::plain(errand.dialect, errand.stream)).await;
        match errand.leaves {
            None => {
                let reply = caller.reply().await;
                assert_clean(&errand, &reply);
                if reply.header("connection") != Some("close") {
                    continue;
                }
            }
            Some(0) => {}
            Some(chunks) => {
                caller.head().await;
                for _ in 1..chunks {
                    if caller.chunk().await.is_err() {
                        break;
                    }
                }
            }
        }
        caller = Caller::connect(listen).await;
    }
}

async fn storm(record: RecordMode) {
    let channels = [(); 3].map(|()| Channel::start(Act::auto()).unwrap());
    for (act, n) in samples(&act(), 240).into_iter().zip(0..) {
        channels[n % 3].push(act);
    }
    let ways = vec![
        house::openai("a", &channels[0]),
        house::anthropic("b", &channels[1]),
        house::openai("c", &channels[2]),
    ];
    let plan = Plan::new(ways.clone()).settings(|settings| {
        settings.head_ms = 150;
        settings.first_content_ms = 250;
        settings.whole_ms = 250;
        settings.idle_ms = 150;
        settings.record = record;
    });
    let house = plan.start().await;
    let errands = samples(&errand(), CALLERS * CALLS);
    let callers: Vec<_> = errands
        .chunks(CALLS)
        .map(|errands| tokio::spawn(run(house.listen, errands.to_vec())))
        .collect();
    let grids = [
        ways.clone(),
        vec![ways[2].clone(), ways[0].clone()],
        vec![ways[1].clone()],
        vec![ways[1].clone(), ways[2].clone().models(&[]), ways[0].clone()],
    ];
    let mut turn = 0;
    while callers.iter().any(|caller| !caller.is_finished()) {
        house
            .reload(|plan| plan.ways.clone_from(&grids[turn % grids.len()]))
            .unwrap();
        house.cut("b").await;
        house.restore("b").await;
        turn += 1;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    house.reload(|plan| plan.ways = ways).unwrap();
    let book = house.stop().await;
    // Callers who left in time may have left no record, the others one each.
    let stayed = errands.iter().filter(|errand| errand.leaves != Some(0)).count();
    assert!(
        (stayed..=errands.len()).contains(&book.decisions.len()),
        "{}",
        book.decisions.len()
    );
    let attempts = book.outcomes.values().flat_map(|outcome| &outcome.attempts);
    let connected =
        attempts.filter(|attempt| attempt.fault.is_none_or(|fault| fault.kind != FaultKind::Connect));
    let seen: u64 = channels.iter().map(Channel::seen_count).sum();
    assert!(
        seen <= connected.count() as u64,
        "no channel was asked without a record"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_leaves_every_caller_with_one_clean_end_and_the_ledger_whole() {
    storm(RecordMode::Async).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_under_strict_records_is_no_other() {
    storm(RecordMode::Strict).await;
}

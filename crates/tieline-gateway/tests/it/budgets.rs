//! Budgets and limits of keys, parties and pools, as callers meet them.

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_core::{Code, Limits, Nano};
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller};
use crate::house::{self, LIMIT, OPERATOR, Plan};
use crate::ledger::ended;

const TIGHT: u8 = 20;

/// Output tokens that each call of these tests asks for at most.
const OUTPUT: u64 = 1_000;

fn ask() -> Ask {
    Ask::chat(r#"{"model":"chat","max_tokens":1000,"messages":[{"role":"user","content":"x"}]}"#).key(TIGHT)
}

/// What one such call can cost at the prices of the house, 1 USD and 2 USD per million tokens.
fn bound() -> Nano {
    Nano((ask().body.len() as u64 + 1_024) * 1_000 + OUTPUT * 2_000)
}

/// One attempt a call, so that one bill is all that a call can cost.
fn plan(channel: &Channel) -> Plan {
    Plan::new(vec![house::openai("a", channel)]).settings(|settings| settings.attempts_max = 1)
}

fn day(nano: u64) -> Limits {
    Limits {
        nano_per_day: Some(Nano(nano)),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_calls_against_a_budget_for_10_exactly_10_are_charged() {
    let gate = Gate::new();
    let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let plan = plan(&channel).key(TIGHT, day(10 * bound().0));
    let house = plan.start().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask()).await;
        callers.spawn(async move { caller.reply().await });
    }
    // Whoever is refused is refused while the ten are in flight: none of them has settled.
    assert!(gate.wait_reached(10, LIMIT).await);
    let mut refused = 0;
    while refused < 190 {
        let reply = tokio::time::timeout(LIMIT, callers.join_next()).await;
        let reply = reply.expect("the others are refused").unwrap().unwrap();
        let (status, _, code) = reply.problem(OpenaiChat);
        assert_eq!((status, code.as_deref()), (429, Some("budget_limit")));
        let says = reply.text();
        assert!(says.contains("the key's budget of the day"), "{says}");
        refused += 1;
    }
    gate.open();
    while let Some(reply) = callers.join_next().await {
        assert_eq!(reply.unwrap().status(), 200);
    }
    let book = house.stop().await;
    let calls: Vec<_> = book.calls().collect();
    assert_eq!(calls.len(), 200);
    let reserved = calls
        .iter()
        .filter(|(decision, _)| decision.reserved_nano == Some(bound()));
    assert_eq!(reserved.count(), 10);
    let charged: Vec<Nano> = calls
        .iter()
        .filter_map(|(_, outcome)| outcome.charged_nano)
        .collect();
    assert_eq!(charged.len(), 10);
    for (_, outcome) in calls.iter().filter(|(_, outcome)| outcome.charged_nano.is_some()) {
        assert_eq!(ended(outcome), (Outcome::Served, None));
        assert_eq!(
            outcome.charged_nano, outcome.cost_nano,
            "the answer said what it used"
        );
    }
    assert_eq!(channel.seen_count(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_never_spends_more_than_its_budget() {
    let channel = Channel::start(Auto::default()).unwrap();
    let budget = 3 * bound().0;
    let plan = plan(&channel).key(TIGHT, day(budget));
    let house = plan.start().await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask()).await;
        callers.push(tokio::spawn(async move { caller.reply().await }));
    }
    for caller in callers {
        let status = caller.await.unwrap().status();
        assert!(status == 200 || status == 429, "{status}");
    }
    let book = house.stop().await;
    let charged: u64 = book
        .calls()
        .filter_map(|(_, outcome)| outcome.charged_nano)
        .map(|nano| nano.0)
        .sum();
    assert!(charged > 0 && charged <= budget, "{charged} of {budget}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_output_limit_gets_the_pool_s() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&channel).settings(|s| s.output_tokens_max = 321);
    plan.pool_limits = day(1_000_000_000);
    let house = plan.start().await;
    let open = Ask::chat(r#"{"model":"chat","messages":[{"role":"user","content":"x"}]}"#);
    assert_eq!(house.ask(open).await.status(), 200);
    // No pool, no budget.
    let free = Ask::chat(r#"{"model":"m1","messages":[{"role":"user","content":"x"}]}"#);
    assert_eq!(house.ask(free).await.status(), 200);
    house.stop().await;
    let seen = channel.seen();
    let body = |n: usize| String::from_utf8_lossy(&seen[n].body).into_owned();
    assert!(body(0).contains(r#""max_tokens":321"#), "{}", body(0));
    assert!(!body(1).contains("max_tokens"), "{}", body(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_is_limited_over_all_its_keys_at_once_and_from_the_next_call_on() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = plan(&channel).key(TIGHT, Limits::default());
    let house = plan.start().await;
    let body = r#"{"limits":{"requests_per_minute":2},"party":"p_1"}"#;
    let reply = house
        .admin(OPERATOR, "POST", "/admin/v1/parties/limits", body)
        .await;
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let plain = || Ask::plain(OpenaiChat, false);
    assert_eq!(house.ask(plain()).await.status(), 200);
    assert_eq!(house.ask(plain().key(TIGHT)).await.status(), 200);
    for key in [house::ALLOWED, TIGHT] {
        let reply = house.ask(plain().key(key)).await;
        assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("request_limit"));
        assert!(
            reply
                .text()
                .contains("The party's requests per minute are used up until 20"),
            "{}",
            reply.text()
        );
    }
    let unknown = r#"{"limits":{},"party":"p_9"}"#;
    let reply = house
        .admin(OPERATOR, "POST", "/admin/v1/parties/limits", unknown)
        .await;
    assert_eq!(reply.status(), 404);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_and_refusals_say_what_is_left_in_the_caller_s_dialect() {
    let check = |dialect: Dialect| async move {
        let channel = Channel::start(Auto::default()).unwrap();
        let limits = Limits {
            requests_per_minute: Some(2),
            tokens_per_minute: Some(100_000),
            ..Limits::default()
        };
        let mut plan = Plan::new(vec![house::way("a", dialect, &channel)]);
        plan.pool_limits = limits;
        let house = plan.start().await;
        let mut replies = Vec::new();
        for _ in 0..3 {
            replies.push(house.ask(Ask::plain(dialect, false)).await);
        }
        house.stop().await;
        replies
    };
    let left = |replies: &[crate::caller::Reply], name: &str| -> Vec<String> {
        let header = |reply: &crate::caller::Reply| reply.header(name).unwrap_or("none").to_owned();
        replies.iter().map(header).collect()
    };
    let openai = check(OpenaiChat).await;
    assert_eq!(left(&openai, "x-ratelimit-limit-requests"), ["2", "2", "2"]);
    assert_eq!(left(&openai, "x-ratelimit-remaining-requests"), ["1", "0", "0"]);
    assert_eq!(left(&openai, "x-ratelimit-limit-tokens"), ["100000"; 3]);
    assert!(
        openai[2]
            .header("x-ratelimit-reset-requests")
            .unwrap()
            .ends_with("ms")
    );
    assert_eq!(openai[2].status(), 429);
    let anthropic = check(AnthropicMessages).await;
    assert_eq!(
        left(&anthropic, "anthropic-ratelimit-requests-remaining"),
        ["1", "0", "0"]
    );
    let reset = anthropic[2].header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(reset.starts_with("20") && reset.ends_with('Z'), "{reset}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_s_budget_outlives_a_reload() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&channel);
    plan.pool_limits = day(bound().0 + 1_000);
    let house = plan.start().await;
    let ask = || {
        let mut ask = ask();
        ask = ask.key(house::ALLOWED);
        ask
    };
    assert_eq!(house.ask(ask()).await.status(), 200);
    house.quiet().await;
    house
        .reload(|plan| {
            plan.settings.idle_ms += 1;
            plan.aliases.insert(0, ("another", vec![house::MODEL]));
        })
        .unwrap();
    let reply = house.ask(ask()).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("budget_limit"));
    let call = reply.call();
    let book = house.stop().await;
    assert_eq!(
        ended(book.call(call).1),
        (Outcome::Refused, Some(Code::BudgetLimit))
    );
}

// === after a crash ===

/// What a crash at this moment leaves: the files as they stand.
fn image(dir: &std::path::Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        let name = file.file_name();
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), left.path().join(name)).unwrap();
        }
    }
    left
}

/// How many of `count` calls at once are admitted while none of them ends.
async fn admitted(house: &house::House, gate: &Gate, count: u64) -> u64 {
    let mut callers = Vec::new();
    for _ in 0..count {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask()).await;
        callers.push(tokio::spawn(async move { caller.reply().await.status() }));
    }
    let settled = |status: &serde_json::Value| {
        let in_flight = status["channels"][0]["in_flight"].as_u64();
        status["calls_in_flight"].as_u64() == in_flight
    };
    house.wait_status("all are admitted or refused", settled).await;
    gate.open();
    let mut served = 0;
    for caller in callers {
        served += u64::from(caller.await.unwrap() == 200);
    }
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_charged_and_leaves_nothing_reserved() {
    let gate = Gate::new();
    let held = tieline_testkit::Script::new().then(Act::auto());
    let channel = Channel::start(held.otherwise(Act::auto().gate_before_head(&gate))).unwrap();
    let plan = plan(&channel).key(TIGHT, day(7 * bound().0));
    let house = plan.clone().start().await;
    assert_eq!(house.ask(ask()).await.status(), 200);
    house.quiet().await;
    let mut callers = Vec::new();
    for n in 1..=5 {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask()).await;
        // Nobody flushes the ledger: a request leaves when its decision is durable.
        assert!(gate.wait_reached(n, LIMIT).await);
        callers.push(caller);
    }
    let left = image(house.path());
    gate.open();
    for caller in &mut callers {
        assert_eq!(caller.reply().await.status(), 200);
    }
    let whole = house.stop().await;
    let cost = whole.call_at(0).1.charged_nano.unwrap();

    // Of 7, 5 are lost and count as reserved; the one that ended counts what it cost.
    let gate = Gate::new();
    channel.set_default(Act::auto().gate_before_head(&gate));
    let house = plan.clone().start_in(left).await.unwrap();
    assert_eq!(admitted(&house, &gate, 10).await, 1);
    let book = house.stop().await;
    let lost = book
        .results()
        .iter()
        .filter(|result| **result == Outcome::Lost)
        .count();
    let charged: u64 = book
        .calls()
        .filter_map(|(_, outcome)| outcome.charged_nano)
        .map(|nano| nano.0)
        .sum();
    assert_eq!((lost, charged), (5, 2 * cost.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_counting_where_the_ledger_ended() {
    let channel = Channel::start(Auto::default()).unwrap();
    let limits = Limits {
        nano_per_month: Some(Nano(bound().0 + 1_000)),
        requests_per_day: Some(3),
        ..Limits::default()
    };
    let plan = plan(&channel).key(TIGHT, limits);
    let house = plan.clone().start().await;
    assert_eq!(house.ask(ask()).await.status(), 200);
    assert_eq!(
        house.ask(ask()).await.status(),
        429,
        "what the first cost is no more there"
    );
    let book = house.stop().await;
    let house = plan.start_in(book.dir).await.unwrap();
    let reply = house.ask(ask()).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("budget_limit"));
    assert!(
        reply.text().contains("budget of the month is used up until"),
        "{}",
        reply.text()
    );
    // One request of the three is used: the refused ones took none.
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("2"));
    house.stop().await;
}

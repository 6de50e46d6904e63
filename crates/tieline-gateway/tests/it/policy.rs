//! Policy at the gate: who is denied or held reaches no channel, and each attempt is judged under the rules of its moment.

use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::call::{Fact, Why};
use tieline_core::record::{Outcome, OutcomeEntry};
use tieline_core::{Code, FaultKind, Ruling};
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller};
use crate::house::{self, DENIED, HELD, House, LIMIT, Plan, licensed_pack, strict_pack};
use crate::ledger::{attempts, ended};

async fn refused(dialect: Dialect, stream: bool, key: u8, code: Code, rule: &str) {
    let channels = [(); 2].map(|()| Channel::start(Auto::default()).unwrap());
    let ways = vec![
        house::openai("a", &channels[0]),
        house::anthropic("b", &channels[1]),
    ];
    let house = Plan::new(ways).start().await;
    let reply = house.ask(Ask::plain(dialect, stream).key(key)).await;
    let (status, kind, found) = reply.problem(dialect);
    assert_eq!(
        (status, kind.as_str(), found.as_deref()),
        (403, "permission_error", Some(code.name()))
    );
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert!(reply.text().contains(rule), "{}", reply.text());
    for channel in &channels {
        assert_eq!(channel.accepted_count(), 0, "no channel sees a byte");
    }
    let call = reply.call();
    let book = house.stop().await;
    let (decision, outcome) = book.only();
    assert_eq!((decision.id, decision.code), (call, Some(code)));
    let why = if code == Code::Held {
        Why::Held
    } else {
        Why::Denied
    };
    assert!(
        decision.plan.iter().all(|row| row.why == why),
        "{:?}",
        decision.plan
    );
    assert_eq!(ended(outcome), (Outcome::Refused, Some(code)));
    assert!(outcome.attempts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_a_rule_denies_gets_403_and_no_channel_sees_a_byte() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            refused(
                dialect,
                stream,
                DENIED,
                Code::Denied,
                "demo/blocked-jurisdictions",
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_of_whom_too_little_is_known_is_held() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            refused(dialect, stream, HELD, Code::Held, "demo/jurisdiction-unknown").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_rule_that_permits_nothing_is_permitted() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &channel)]);
    plan.packs = Vec::new();
    let house = plan.start().await;
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.problem(OpenaiChat).0, 403);
    assert_eq!(channel.accepted_count(), 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_s_new_facts_hold_for_its_next_call() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let ask = || Ask::plain(OpenaiChat, false).key(HELD);
    assert_eq!(house.ask(ask()).await.status(), 403);
    let party = serde_json::to_string(&house::party("p_3", Some("DE"))).unwrap();
    let put = house
        .admin(house::OFFICER, "POST", "/admin/v1/parties", &party)
        .await;
    assert_eq!(put.status(), 200, "{}", put.text());
    assert_eq!(house.ask(ask()).await.status(), 200);
    let book = house.stop().await;
    let digests: Vec<_> = book
        .decisions
        .values()
        .map(|call| call.intake.party_digest)
        .collect();
    assert_ne!(
        digests[0], digests[1],
        "each decision cites the record of its time"
    );
}

/// A plan whose party has a licence for so many calls.
fn licensed(channel: &Channel, calls: u64) -> Plan {
    let body = serde_json::json!({
        "authority": "a", "id": "l-1", "issuer": "i", "kind": "trial", "parties": [{ "id": "p_1" }],
        "quantity": { "calls": calls }, "t": "tieline/licence/v1", "valid_from": 1,
    });
    let mut plan = Plan::new(vec![house::openai("a", channel)]);
    plan.packs = vec![licensed_pack()];
    plan.licences.push(tieline_gateway::LicenceRow {
        body: body.to_string(),
        id: "l-1".into(),
        revoked_us: None,
    });
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counted_licence_serves_as_many_calls_as_it_says_across_restarts() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = licensed(&channel, 5);
    let house = plan.clone().start().await;
    let ask = || Ask::plain(OpenaiChat, false);
    for _ in 0..3 {
        assert_eq!(house.ask(ask()).await.status(), 200);
    }
    let book = house.stop().await;
    let first = book.decisions.values().next().unwrap();
    let consumed = first.inputs.iter().find_map(|step| match &step.fact {
        Fact::Verdicts(verdicts) => Some(verdicts[0].0.consumes.clone()),
        _ => None,
    });
    assert_eq!(consumed.as_deref(), Some(&[std::sync::Arc::from("l-1")][..]));
    let house = plan.start_in(book.dir).await.unwrap();
    // Two units are left for eight calls at once.
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let listen = house.listen;
        callers.spawn(async move {
            let mut caller = Caller::connect(listen).await;
            caller.send(&Ask::plain(OpenaiChat, false)).await;
            caller.reply().await
        });
    }
    let replies = callers.join_all().await;
    let count = |status| replies.iter().filter(|reply| reply.status() == status).count();
    assert_eq!((count(200), count(403)), (2, 6));
    let refused = replies.iter().find(|reply| reply.status() == 403).unwrap();
    assert!(refused.text().contains("default/no-permit"), "{}", refused.text());
    house.stop().await;
}

/// The call's first attempt waits at a gate on channel `a`, then fails; `b` stands by.
struct Waiting {
    caller: Caller,
    gate: Gate,
    house: House,
    second: Channel,
    _first: Channel,
}

async fn waiting() -> Waiting {
    let gate = Gate::new();
    // A fault after which this channel is not asked again.
    let first = Channel::start(Act::status(401).gate_before_head(&gate)).unwrap();
    let second = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &first), house::openai("b", &second)]);
    let house = plan.start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    Waiting {
        caller,
        gate,
        house,
        second,
        _first: first,
    }
}

impl Waiting {
    /// Let the first attempt fail; the second channel must not be dialled.
    async fn not_dialled(mut self) -> OutcomeEntry {
        self.gate.open();
        let reply = self.caller.reply().await;
        assert_eq!(reply.status(), 502, "{reply:?}");
        assert_eq!(
            self.second.accepted_count(),
            0,
            "the second channel is not dialled"
        );
        let book = self.house.stop().await;
        let (decision, outcome) = book.only();
        assert_eq!(decision.plan[1].why, Why::Standby, "it was allowed at first");
        assert_eq!(attempts(outcome), [("a", Some(FaultKind::Auth))]);
        outcome.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_is_judged_under_the_rules_of_its_own_moment() {
    let waiting = waiting().await;
    waiting
        .house
        .reload(|plan| plan.packs = vec![strict_pack()])
        .unwrap();
    let outcome = waiting.not_dialled().await;
    assert_eq!(outcome.attempts[0].epoch, 1);
    let verdicts = outcome.inputs.iter().find_map(|step| match &step.fact {
        Fact::Verdicts(verdicts) => Some(verdicts),
        _ => None,
    });
    let verdict = &verdicts.unwrap()[0].0;
    assert_eq!((verdict.ruling, verdict.epoch), (Ruling::Deny, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_a_reload_removed_is_not_dialled() {
    let waiting = waiting().await;
    waiting.house.reload(|plan| drop(plan.ways.pop())).unwrap();
    waiting.not_dialled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_was_cut_meanwhile_is_not_dialled() {
    let waiting = waiting().await;
    assert_eq!(waiting.house.cut("b").await.status(), 200);
    waiting.not_dialled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_says_what_it_is_for_in_the_operator_s_words() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut agency = house::party("p_1", Some("DE"));
    for piece in &mut agency.record.evidence {
        if let tieline_policy::FactValue::Class(class) = &mut piece.value {
            *class = tieline_policy::Class::Agency;
        }
    }
    let agency = serde_json::to_string(&agency).unwrap();
    assert_eq!(
        house
            .admin(house::OFFICER, "POST", "/admin/v1/parties", &agency)
            .await
            .status(),
        200
    );
    let ask = |stated: &str| Ask::plain(OpenaiChat, false).header("x-tieline-end-use", stated);
    let code = |reply: &crate::caller::Reply| reply.problem(OpenaiChat).2;
    let silent = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(code(&silent).as_deref(), Some("held"));
    assert!(silent.text().contains("demo/agency-end-use"), "{}", silent.text());
    let served = house.ask(ask("research")).await;
    assert_eq!(served.status(), 200, "{}", served.text());
    let other = house.ask(ask("targeting of somebody")).await;
    assert_eq!(
        (other.status(), code(&other).as_deref()),
        (400, Some("field_wrong"))
    );
    assert!(other.text().contains("research, translation"), "{}", other.text());
    let book = house.stop().await;
    let stated: Vec<_> = book
        .decisions
        .values()
        .map(|decision| decision.intake.end_use.as_deref())
        .collect();
    assert_eq!(stated, [None, Some("research"), None]);
    assert!(book.says("research") && !book.says("targeting"));
}

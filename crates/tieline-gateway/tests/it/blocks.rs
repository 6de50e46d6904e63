//! Legal blocks: what one channel refuses to a party on legal grounds is held for it over every channel, until an officer
//! says otherwise.

use serde_json::{Value, json};
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::record::Outcome;
use tieline_core::{Code, FaultKind};
use tieline_testkit::{Act, Auto, Channel, Gate, Script, canned};

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, ALLOWED, AUDITOR, HELD, House, LIMIT, OFFICER, POOL, Plan};
use crate::identity;
use crate::ledger::{Book, attempts, ended};

const RULE: &str = "default/legal-block";

/// Another key of the allowed party.
const OTHER_KEY: u8 = 9;

/// A channel that refuses once, and serves from then on.
fn refusing() -> Channel {
    Channel::start(
        Script::new()
            .then(canned::OPENAI_REGION.act())
            .otherwise(Auto::default()),
    )
    .unwrap()
}

fn plan(first: &Channel, second: &Channel) -> Plan {
    let ways = vec![
        house::openai("a", first).models(&["m1", "m2"]),
        house::openai("b", second).models(&["m1", "m2"]),
    ];
    let mut plan = Plan::new(ways).key(OTHER_KEY, tieline_core::Limits::default());
    plan.models = vec!["m1", "m2"];
    plan.aliases = vec![("first", vec!["m1"]), ("second", vec!["m2"])];
    plan
}

/// A plain request for the model that is refused, and for no other.
fn for_first(dialect: Dialect, stream: bool) -> Ask {
    for_pool(dialect, stream, "first")
}

/// A plain request for another pool.
fn for_pool(dialect: Dialect, stream: bool, pool: &str) -> Ask {
    let mut ask = Ask::plain(dialect, stream);
    let body = String::from_utf8(ask.body).unwrap();
    ask.body = body
        .replace(&format!("\"{POOL}\""), &format!("\"{pool}\""))
        .into_bytes();
    ask
}

/// The ticket of a call that the block holds.
fn ticket(reply: &Reply, dialect: Dialect) -> String {
    let (status, _, code) = reply.problem(dialect);
    assert_eq!((status, code.as_deref()), (403, Some("held")), "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    let ticket = reply.header("x-tieline-ticket").unwrap().to_owned();
    assert!(reply.text().contains(&ticket), "{}", reply.text());
    ticket
}

async fn dispose(house: &House, said: Value) -> Reply {
    let path = "/admin/v1/holds/dispose";
    house.admin(OFFICER, "POST", path, &said.to_string()).await
}

fn dialled(first: &Channel, second: &Channel) -> (u64, u64) {
    (first.seen_count(), second.seen_count())
}

/// Where the party `p_3` is becomes known, so that nothing holds it.
async fn settle_the_other_party(house: &House) {
    let evidence = json!([{ "issuer": "r", "kind": "registration", "value": { "jurisdiction": "FR" } }]);
    let edit = json!({ "id": "p_3", "evidence": evidence }).to_string();
    let edited = house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit)
        .await;
    assert_eq!(edited.status(), 200, "{}", edited.text());
}

async fn check(dialect: Dialect, stream: bool) {
    let (first, second) = (refusing(), Channel::start(Auto::default()).unwrap());
    let plan = plan(&first, &second);
    let house = plan.clone().start().await;
    settle_the_other_party(&house).await;
    let ask = || for_first(dialect, stream);
    let ticket_of = |reply: &Reply| ticket(reply, dialect);

    let quoted = ticket_of(&house.ask(ask()).await);
    assert_eq!(dialled(&first, &second), (1, 0));
    // The block is on record before the call that met it is answered.
    let list = house
        .admin(AUDITOR, "GET", "/admin/v1/holds?open=true", "")
        .await
        .json();
    let hold = &list["holds"][0];
    assert_eq!(
        (&hold["ticket"], &hold["party"], &hold["model"], &hold["rules"]),
        (&json!(quoted), &json!("p_1"), &json!("m1"), &json!([RULE]))
    );
    assert_eq!(
        (&hold["refusal"]["channel"], &hold["refusal"]["status"]),
        (&json!("a"), &json!(403))
    );

    // The party is held with every key, also where the channel is out, and what the rule says is what was said to it.
    let held = house.ask(ask()).await;
    assert_eq!(ticket_of(&held), quoted);
    assert!(
        held.text().contains(RULE) && held.text().contains("channel a, status 403"),
        "{}",
        held.text()
    );
    assert_eq!(ticket_of(&house.ask(ask().key(OTHER_KEY)).await), quoted);
    assert_eq!(house.cut("a").await.status(), 200);
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    assert_eq!(house.restore("a").await.status(), 200);
    assert_eq!(dialled(&first, &second), (1, 0));
    // Another party, another model, and the permitted model of a pool are served.
    assert_eq!(house.ask(ask().key(HELD)).await.status(), 200);
    assert_eq!(house.ask(for_pool(dialect, stream, "second")).await.status(), 200);
    let other = house.ask(Ask::plain(dialect, stream)).await;
    assert_eq!(
        (other.status(), other.header("x-tieline-model")),
        (200, Some("m2"))
    );
    // A reload changes nothing, and neither does a refusal of the officer's, nor a restart.
    house.reload(|plan| plan.settings.attempts_max = 2).unwrap();
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    let no = json!({ "ticket": quoted, "grant": false, "reason": "It stands." });
    assert_eq!(dispose(&house, no).await.status(), 200);
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    let before = dialled(&first, &second);
    let book = house.stop().await;
    told(&book, &quoted);
    let house = plan.start_in(book.dir).await.unwrap();
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    assert_eq!(dialled(&first, &second), before);

    // A grant ends it for good, until a channel refuses again.
    let mut yes =
        json!({ "ticket": quoted, "grant": true, "reason": "Licence seen.", "until": u64::MAX / 4_096 });
    assert_eq!(
        dispose(&house, yes.clone()).await.status(),
        422,
        "a block has no date"
    );
    yes["until"] = Value::Null;
    assert_eq!(dispose(&house, yes.clone()).await.status(), 409, "it was refused");
    yes["again"] = true.into();
    assert_eq!(dispose(&house, yes).await.status(), 200);
    assert_eq!(house.ask(ask()).await.status(), 200);
    first.push(canned::OPENAI_REGION.act());
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    assert_eq!(ticket_of(&house.ask(ask()).await), quoted);
    let book = house.stop().await;
    assert_eq!(book.of_type("tieline/legal-block/v1").len(), 2);
}

/// The ledger has the block, with the channel that refused, and the call that met it as refused.
fn told(book: &Book, ticket: &str) {
    let told = book.of_type("tieline/legal-block/v1");
    let [told] = told.as_slice() else {
        panic!("{told:?}");
    };
    let (decision, outcome) = book.call_at(0);
    let body = &told["body"];
    assert_eq!(
        (&body["call"], &body["party"], &body["model"], &body["channel"]),
        (&json!(decision.id), &json!("p_1"), &json!("m1"), &json!("a"))
    );
    assert_eq!((&body["ticket"], &body["status"]), (&json!(ticket), &json!(403)));
    assert_eq!(outcome.result, Outcome::Refused);
    assert_eq!(attempts(outcome), [("a", Some(FaultKind::Legal))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_block_holds_over_every_channel_until_an_officer_ends_it() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            check(dialect, stream).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_refusal_in_mid_answer_ends_the_stream_and_is_a_block() {
    let begun = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}"#;
    for dialect in [OpenaiChat, AnthropicMessages] {
        let frames = [
            format!("{begun}\n\n").into_bytes(),
            canned::OPENAI_REGION.frame().into(),
        ];
        let gate = Gate::new();
        let first = Channel::start(Act::stream(frames).gate_before_frame(1, &gate)).unwrap();
        let second = Channel::start(Auto::default()).unwrap();
        let plan =
            plan(&first, &second).settings(|settings| settings.resume = tieline_core::grid::Resume::Pool);
        let house = plan.start().await;
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&for_first(dialect, true)).await;
        let head = caller.head().await;
        gate.open();
        let (chunks, end) = caller.rest().await;
        let broken = Reply { chunks, end, head };
        assert_eq!(broken.said(), "Hel");
        assert!(broken.text().contains("\"held\""), "{}", broken.text());
        let quoted = ticket(&house.ask(for_first(dialect, false)).await, dialect);
        assert!(broken.text().contains(&quoted), "{}", broken.text());
        assert_eq!(dialled(&first, &second), (1, 0));
        drop(caller);
        let book = house.stop().await;
        let (_, outcome) = book.call_at(0);
        assert_eq!(ended(outcome), (Outcome::Broken, Some(Code::Held)));
        assert_eq!(attempts(outcome), [("a", Some(FaultKind::Legal))]);
    }
}

/// A call that is at its first channel when another call of the party meets the refusal tries no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_way_does_not_retry_around_a_block() {
    let signers = identity::Signers::new();
    let header = json!({ "alg": "EdDSA", "kid": "ed", "typ": "JWT" });
    let person = signers.token(&header, &identity::claims(&json!({})));
    for token in [None, Some(&person)] {
        let gate = Gate::new();
        let first = Channel::start(
            Script::new()
                .then(Act::status(500).gate_before_head(&gate))
                .then(canned::OPENAI_REGION.act()),
        )
        .unwrap();
        let second = Channel::start(Auto::default()).unwrap();
        let mut plan = plan(&first, &second);
        plan.identity.issuers = vec![identity::issuer(&signers)];
        let house = plan.start().await;
        let ask = || match token {
            Some(token) => for_first(OpenaiChat, false).header(identity::HEADER, token),
            None => for_first(OpenaiChat, false),
        };
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&ask()).await;
        first.wait_seen(1, LIMIT).await.unwrap();
        let quoted = ticket(&house.ask(ask()).await, OpenaiChat);
        gate.open();
        assert_eq!(ticket(&caller.reply().await, OpenaiChat), quoted);
        // Who calls in the party's name is held as the party is.
        assert_eq!(ticket(&house.ask(ask()).await, OpenaiChat), quoted);
        assert_eq!(
            ticket(&house.ask(for_first(OpenaiChat, false)).await, OpenaiChat),
            quoted
        );
        assert_eq!(dialled(&first, &second), (2, 0));
        drop(caller);
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_a_refusal_together_make_one_block() {
    let gate = Gate::new();
    let act = canned::OPENAI_REGION.act().gate_before_head(&gate);
    let first = Channel::start(Script::new().otherwise(act)).unwrap();
    let second = Channel::start(Auto::default()).unwrap();
    let house = plan(&first, &second).start().await;
    let mut callers = Vec::new();
    for _ in 0..5 {
        let mut caller = Caller::connect(house.listen).await;
        caller.send(&Ask::plain(OpenaiChat, false).key(ALLOWED)).await;
        callers.push(caller);
    }
    first.wait_seen(5, LIMIT).await.unwrap();
    gate.open();
    for caller in &mut callers {
        ticket(&caller.reply().await, OpenaiChat);
    }
    drop(callers);
    let book = house.stop().await;
    assert_eq!(book.of_type("tieline/legal-block/v1").len(), 1);
    let state = tieline_gateway::State::open(book.dir.path()).unwrap();
    let holds = state.holds().unwrap();
    assert_eq!(holds.iter().map(|hold| hold.calls).collect::<Vec<_>>(), [5]);
}

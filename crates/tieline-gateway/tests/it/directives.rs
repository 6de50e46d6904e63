//! Directives on a gateway that serves: in force for exactly those they name, at once, for what is under way too; and what
//! is refused leaves everything as it was.

use std::time::Duration;

use tieline_core::Code;
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_core::call::Fact;
use tieline_core::record::Outcome;
use tieline_note::Signer;
use tieline_note::note;
use tieline_policy::Signers;
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, ALLOWED, HELD, House, LIMIT, OFFICER, Plan, READER, key};
use crate::ledger::ended;
use crate::transport::by_tls;

fn signer(number: u8) -> Signer {
    Signer::new(&format!("tieline.example/officer-{number}"), &[number; 32]).unwrap()
}

/// Whom a directive is about in these tests: the party of [`ALLOWED`] is in Germany, of that of [`HELD`] nothing is known.
pub(crate) const GERMANS: &str =
    "condition = 'principal has jurisdiction && principal.jurisdiction == Country::\"DE\"'";

/// Version 1 of a directive on the house's model.
pub(crate) fn letter(id: &str, version: u32, in_flight: &str, who: &str) -> String {
    format!(
        "t = \"tieline/directive/v1\"\nid = \"{id}\"\nversion = {version}\nissuer = \"An authority\"\n\
         authority = \"15 CFR 744.22\"\ntitle = \"A letter\"\nreason = \"A licence is required.\"\n\
         issued = 2026-01-01T00:00:00Z\nvalid_from = 2026-01-01T00:00:00Z\neffect = \"deny\"\n\
         in_flight = \"{in_flight}\"\n[scope]\nmodels = [\"m1\"]\n[who]\n{who}\n"
    )
}

pub(crate) fn revocation(id: &str, version: u32) -> String {
    format!(
        "t = \"tieline/revocation/v1\"\nid = \"{id}\"\nversion = {version}\nissuer = \"An authority\"\n\
         issued = 2026-01-02T00:00:00Z\nreason = \"Withdrawn.\"\n"
    )
}

pub(crate) fn signed(text: &str) -> String {
    note::sign(text, &signer(1)).unwrap()
}

pub(crate) fn plan(channel: &Channel) -> Plan {
    let mut plan = Plan::new(vec![house::openai("a", channel)]);
    plan.signers = Some(Signers::new(vec![signer(1).verifier().clone()], 1).unwrap());
    plan
}

pub(crate) async fn send(house: &House, note: &str) -> Reply {
    let body = serde_json::json!({ "note": note }).to_string();
    house.admin(OFFICER, "POST", "/admin/v1/directives", &body).await
}

#[track_caller]
pub(crate) fn applied(reply: &Reply) -> u64 {
    assert_eq!(reply.status(), 200, "{}", reply.text());
    reply.json()["epoch"].as_u64().unwrap()
}

pub(crate) async fn code(house: &House, key: u8, dialect: Dialect) -> Option<String> {
    let reply = house.ask(Ask::plain(dialect, false).key(key)).await;
    if reply.status() == 200 {
        return None;
    }
    reply.problem(dialect).2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directive_is_in_force_from_its_return_on_and_a_revocation_gives_everything_back() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await, None);
    let first = applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    let seen = channel.seen_count();
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            let reply = house.ask(Ask::plain(dialect, stream)).await;
            assert_eq!(reply.problem(dialect).2.as_deref(), Some("denied"));
            for part in ["A licence is required.", "directive/us-1@1", "15 CFR 744.22"] {
                assert!(reply.text().contains(part), "{}", reply.text());
            }
        }
    }
    assert_eq!(channel.seen_count(), seen, "no channel sees a byte");
    let last = applied(&send(&house, &signed(&revocation("us-1", 2))).await);
    assert!(last > first);
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await, None);
    let book = house.stop().await;
    let done: Vec<_> = book
        .of_type("tieline/directive/v1")
        .iter()
        .map(|entry| entry["body"]["done"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(done, ["apply", "revoke"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_by_no_fact_is_held_for_the_fact_that_is_missing() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    let reply = house.ask(Ask::plain(OpenaiChat, false).key(HELD)).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("held"));
    // Once it is known that it is elsewhere, it is served, and without any reload.
    let party = serde_json::to_string(&house::party("p_3", Some("FR"))).unwrap();
    assert_eq!(
        house
            .admin(OFFICER, "POST", "/admin/v1/parties", &party)
            .await
            .status(),
        200
    );
    assert_eq!(code(&house, HELD, OpenaiChat).await, None);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_names_everybody_below_whoever_moves_there() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    let group = house::party("p_9", Some("FR"));
    let put = |party: tieline_gateway::PartyRow| serde_json::to_string(&party).unwrap();
    assert_eq!(
        house
            .admin(OFFICER, "POST", "/admin/v1/parties", &put(group))
            .await
            .status(),
        200
    );
    let who = "parties = [\"p_9\", \"p_misspelt\"]";
    let reply = send(&house, &signed(&letter("us-1", 1, "finish", who))).await;
    applied(&reply);
    assert_eq!(reply.json()["strangers"][0], "us-1@1: party p_misspelt");
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await, None);
    let mut below = house::party("p_1", Some("DE"));
    below.record.parent = Some("p_9".into());
    assert_eq!(
        house
            .admin(OFFICER, "POST", "/admin/v1/parties", &put(below))
            .await
            .status(),
        200
    );
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    house.stop().await;
}

/// A stream of which the first content has reached the caller; the rest waits at the gate.
async fn streaming(house: &House, gate: &Gate, dialect: Dialect) -> Caller {
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(dialect, true)).await;
    assert_eq!(caller.head().await.status, 200);
    assert!(gate.wait_reached(1, LIMIT).await);
    caller
}

async fn in_flight(dialect: Dialect, says: &str, opens: bool) -> (Outcome, Option<Code>, bool) {
    let gate = Gate::new();
    let channel = Channel::start(Act::from(Auto::default().chunks(3)).gate_before_frame(3, &gate)).unwrap();
    let house = plan(&channel).start().await;
    let mut caller = streaming(&house, &gate, dialect).await;
    applied(&send(&house, &signed(&letter("us-1", 1, says, GERMANS))).await);
    if opens {
        gate.open();
    }
    let (pieces, _) = caller.rest().await;
    let text = String::from_utf8(pieces.concat()).unwrap();
    gate.open();
    let book = house.stop().await;
    let (_, outcome) = book.only();
    let (result, code) = ended(outcome);
    let is_ordered = outcome.attempts[0].is_ordered;
    let recorded = outcome
        .inputs
        .iter()
        .any(|step| matches!(step.fact, Fact::Ordered(_)));
    assert_eq!(is_ordered, recorded);
    assert_eq!(is_ordered, text.contains("A licence is required."), "{text}");
    (result, code, is_ordered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_under_way_do_as_the_directive_says() {
    for dialect in [OpenaiChat, AnthropicMessages] {
        let cut = (Outcome::Broken, Some(Code::Denied), true);
        assert_eq!(in_flight(dialect, "cut", false).await, cut);
        // The channel never goes on: what ends the answer is the time to drain.
        assert_eq!(in_flight(dialect, "drain 1", false).await, cut);
        assert_eq!(
            in_flight(dialect, "finish", true).await,
            (Outcome::Served, None, false)
        );
        assert_eq!(
            in_flight(dialect, "drain 60", true).await,
            (Outcome::Served, None, false)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_had_nothing_yet_goes_to_a_model_that_is_permitted() {
    let gate = Gate::new();
    let slow = Channel::start(Act::from(Auto::saying("m1")).gate_before_head(&gate)).unwrap();
    let other = Channel::start(Auto::saying("m2").chunks(1)).unwrap();
    let mut plan = plan(&slow);
    plan.models = vec!["m1", "m2"];
    let mut second = house::openai("b", &other);
    second.models = vec!["m2"];
    plan.ways.push(second);
    let house = plan.start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, LIMIT).await);
    applied(&send(&house, &signed(&letter("us-1", 1, "cut", GERMANS))).await);
    let reply = caller.reply().await;
    assert_eq!((reply.status(), reply.said().as_str()), (200, "m2"));
    assert_eq!(reply.header("x-tieline-model"), Some("m2"));
    gate.open();
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_scope_is_dialled_after_apply_returned() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    nothing_leaves(&channel, house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_scope_leaves_by_tls_after_apply_returned() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&channel);
    plan.ways = vec![by_tls(house::openai("a", &channel), &channel).await];
    nothing_leaves(&channel, plan.start().await).await;
}

/// Orders and revocations under load: from the return of each order on, the channel sees nothing.
async fn nothing_leaves(channel: &Channel, house: House) {
    let listen = house.listen;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut loops = Vec::new();
    for _ in 0..8 {
        let stop = stop.clone();
        loops.push(tokio::spawn(async move {
            let mut caller = Caller::connect(listen).await;
            let (mut served, mut denied) = (0, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                caller.send(&Ask::plain(OpenaiChat, false)).await;
                match caller.reply().await.status() {
                    200 => served += 1,
                    _ => denied += 1,
                }
            }
            (served, denied)
        }));
    }
    for round in 0..6_u32 {
        let before = channel.seen_count();
        let until = tokio::time::Instant::now() + LIMIT;
        while channel.seen_count() < before + 20 {
            assert!(tokio::time::Instant::now() < until, "the load stands still");
            tokio::task::yield_now().await;
        }
        let (first, last) = (2 * round + 1, 2 * round + 2);
        applied(&send(&house, &signed(&letter("us-1", first, "finish", GERMANS))).await);
        let returned = std::time::Instant::now();
        // The loops are all refused by now and again; each refusal proves that its loop came round.
        for _ in 0..20 {
            assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
        }
        let late = channel
            .seen()
            .into_iter()
            .filter(|seen| seen.arrived > returned + ARRIVAL)
            .count();
        assert_eq!(late, 0, "dialled after apply returned");
        applied(&send(&house, &signed(&revocation("us-1", last))).await);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in loops {
        let (served, denied) = task.await.unwrap();
        assert!(served > 0 && denied > 0, "{served} {denied}");
    }
    house.stop().await;
}

/// From the last byte that the gateway wrote to the channel's own note of it: another thread on a busy machine.
const ARRIVAL: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_leaves_what_was_in_force() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&channel);
    let keys = [1, 2, 3].map(|number| signer(number).verifier().clone());
    plan.signers = Some(Signers::new(keys.to_vec(), 2).unwrap());
    let house = plan.start().await;
    let two = |text: &str| note::cosign(&note::sign(text, &signer(1)).unwrap(), &signer(2)).unwrap();
    applied(&send(&house, &two(&letter("us-1", 5, "finish", GERMANS))).await);
    let good = letter("us-2", 1, "finish", "parties = [\"p_3\"]");
    let wrong = two(&good).replace("p_3", "p_2");
    let stranger = note::cosign(&signed(&good), &signer(9)).unwrap();
    let twice = note::cosign(&signed(&good), &signer(1)).unwrap_or_else(|_| signed(&good));
    let cases: [(&str, String, u16); 10] = [
        ("no note", good.clone(), 422),
        ("one signature of two", signed(&good), 422),
        ("one signer twice", twice, 422),
        ("a signer whom nobody configured", stranger, 422),
        ("a text that was changed", wrong, 422),
        (
            "a version that was there",
            two(&letter("us-1", 5, "finish", GERMANS)),
            422,
        ),
        ("nothing to revoke", two(&revocation("us-7", 1)), 422),
        (
            "an unknown country",
            two(&good.replace("parties = [\"p_3\"]", &GERMANS.replace("DE", "XX"))),
            422,
        ),
        (
            "issued tomorrow",
            two(&good.replace("issued = 2026", "issued = 2999")),
            422,
        ),
        ("nothing", String::new(), 422),
    ];
    let epoch = house.status().await["epoch"].as_u64().unwrap();
    for (what, note, status) in cases {
        let reply = send(&house, &note).await;
        assert_eq!(reply.status(), status, "{what}: {}", reply.text());
    }
    assert_eq!(house.status().await["epoch"].as_u64(), Some(epoch));
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    let reader = house
        .admin(READER, "POST", "/admin/v1/directives", r#"{"note":""}"#)
        .await;
    assert_eq!(reader.status(), 403);
    assert!(!reader.text().contains(&key(READER)));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_nobody_orders_anything() {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = plan(&channel);
    plan.signers = None;
    let house = plan.start().await;
    let reply = send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await;
    assert_eq!(reply.status(), 409);
    assert!(reply.text().contains("[policy.orders]"), "{}", reply.text());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directive_outlives_the_process_and_the_configuration() {
    let channel = Channel::start(Auto::default()).unwrap();
    let first = plan(&channel);
    let again = first.clone();
    let house = first.start().await;
    applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    house.reload(|_| {}).unwrap();
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    // Even without the keys that signed it: who takes them away does not end what they signed.
    house.reload(|plan| plan.signers = None).unwrap();
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    let epoch = house.status().await["epoch"].as_u64().unwrap();
    let book = house.stop().await;
    let house = again.start_in(book.dir).await.unwrap();
    assert_eq!(house.status().await["epoch"].as_u64(), Some(epoch));
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_directive_is_named_nowhere() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    let text =
        letter("secret-name", 1, "finish", GERMANS).replace("effect =", "disclosure = \"sealed\"\neffect =");
    applied(&send(&house, &signed(&text)).await);
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("denied"));
    assert_eq!(
        send(&house, &signed(&revocation("secret-name", 2)))
            .await
            .status(),
        200
    );
    for part in ["secret-name", "licence", "744.22"] {
        assert!(!reply.text().contains(part), "{}", reply.text());
    }
    let book = house.stop().await;
    for part in ["secret-name", "A licence is required"] {
        assert!(!book.says(part), "{part}");
    }
    assert!(book.says("sealed/"));
    assert_eq!(book.of_type("tieline/directive/v1").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_nobody_adopted_does_not_enforce() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    let changed = house::strict_pack();
    let error = house
        .reload_unadopted(|plan| plan.packs = vec![changed])
        .unwrap_err();
    for part in ["demo", "another text of it was adopted", "policy adopt"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(
        code(&house, ALLOWED, OpenaiChat).await,
        None,
        "the old one stays in force"
    );
    house.reload(|_| {}).unwrap();
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    house.stop().await;
}

/// The letter, valid from `seconds` after the second that is under way.
fn later(seconds: i64, version: u32, in_flight: &str) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let from = at.strftime("valid_from = %Y-%m-%dT%H:%M:%SZ").to_string();
    let text = letter("us-1", version, in_flight, GERMANS);
    let dated = text.replace("valid_from = 2026-01-01T00:00:00Z", &from);
    assert_ne!(dated, text);
    dated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directive_that_begins_by_its_date_reaches_answers_under_way() {
    let gate = Gate::new();
    let channel = Channel::start(Act::from(Auto::default().chunks(3)).gate_before_frame(3, &gate)).unwrap();
    let house = plan(&channel).start().await;
    let mut caller = streaming(&house, &gate, OpenaiChat).await;
    applied(&send(&house, &signed(&later(3, 1, "cut"))).await);
    let (pieces, _) = tokio::time::timeout(LIMIT, caller.rest()).await.unwrap();
    let text = String::from_utf8(pieces.concat()).unwrap();
    assert!(text.contains("A licence is required."), "{text}");
    gate.open();
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amendment_that_begins_later_leaves_no_gap() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    let first = applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    let hold = |seconds, version| {
        signed(&later(seconds, version, "finish").replace("effect = \"deny\"", "effect = \"hold\""))
    };
    let reply = send(&house, &hold(4, 2)).await;
    let pending = applied(&reply);
    assert_eq!(reply.json()["in_force"], serde_json::json!(["us-1@1", "us-1@2"]));
    assert!(pending > first);
    // Nobody does anything: the later version begins, and at no instant nothing stands there.
    let switched = async {
        let mut denied = 0;
        loop {
            match code(&house, ALLOWED, OpenaiChat).await.as_deref() {
                Some("denied") => denied += 1,
                Some("held") => return denied,
                other => panic!("{other:?}"),
            }
        }
    };
    let denied = tokio::time::timeout(LIMIT, switched).await.unwrap();
    assert!(denied > 0);
    let status = house
        .wait_status("the switch is an activation", |status| {
            status["epoch"].as_u64() > Some(pending)
        })
        .await;
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("held"));
    assert_eq!(channel.seen_count(), 0);
    let book = house.stop().await;
    let told: Vec<_> = (book.of_type("tieline/directive/v1").iter())
        .map(|entry| (entry["body"]["done"].clone(), entry["body"]["version"].clone()))
        .collect();
    let expected = [("apply", 1), ("amend", 2), ("end", 1)];
    assert_eq!(
        told,
        expected.map(|(done, version)| (done.into(), version.into()))
    );
    let activation = book.of_type("tieline/activation/v1").pop().unwrap();
    assert_eq!(activation["body"]["epoch"], status["epoch"]);
    assert!(book.of_type("tieline/undone/v1").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amendment_that_waits_outlives_the_process_and_is_revoked_with_the_rest() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = plan(&channel);
    let house = plan.clone().start().await;
    applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    let pending = applied(&send(&house, &signed(&later(3600, 2, "finish"))).await);
    let book = house.stop().await;
    let house = plan.start_in(book.dir).await.unwrap();
    assert_eq!(house.status().await["epoch"].as_u64(), Some(pending));
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    house.reload(|_| {}).unwrap();
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await.as_deref(), Some("denied"));
    applied(&send(&house, &signed(&revocation("us-1", 3))).await);
    assert_eq!(code(&house, ALLOWED, OpenaiChat).await, None);
    house.stop().await;
}

/// A letter that asks for the licence `l-1`.
fn asking(version: u32, in_flight: &str) -> String {
    letter("us-1", version, in_flight, GERMANS).replace(
        "effect = \"deny\"",
        "effect = \"require\"\nrequire.licences = [\"l-1\"]",
    )
}

/// An answer under way when a directive comes that asks for a licence of one call, which is spent or is not: whether the
/// answer is cut, and how many calls the licence covered in the end.
async fn asked_for_a_licence(is_spent: bool, in_flight: &str) -> (Outcome, bool, u64) {
    let gate = Gate::new();
    let channel = Channel::start(Act::from(Auto::default().chunks(3)).gate_before_frame(3, &gate)).unwrap();
    let house = plan(&channel).start().await;
    let licence = crate::terms::licence("l-1", "quantity.calls = 1");
    assert_eq!(
        crate::terms::add(&house, crate::terms::LICENCES, &licence)
            .await
            .status(),
        200
    );
    let mut others = Vec::new();
    if is_spent {
        applied(&send(&house, &signed(&asking(1, "finish"))).await);
        others.push(streaming(&house, &gate, OpenaiChat).await);
        applied(&send(&house, &signed(&revocation("us-1", 2))).await);
    }
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, true)).await;
    assert_eq!(caller.head().await.status, 200);
    applied(&send(&house, &signed(&asking(3, in_flight))).await);
    if in_flight != "cut" || !is_spent {
        gate.open();
    }
    let (pieces, _) = tokio::time::timeout(LIMIT, caller.rest()).await.unwrap();
    let text = String::from_utf8(pieces.concat()).unwrap();
    gate.open();
    assert_eq!(
        code(&house, ALLOWED, OpenaiChat).await.as_deref(),
        Some("denied"),
        "it is spent"
    );
    let list = house
        .admin(house::AUDITOR, "GET", crate::terms::LICENCES, "")
        .await
        .json();
    for mut other in others {
        other.rest().await;
    }
    let book = house.stop().await;
    let (_, outcome) = book.call_at(usize::from(is_spent));
    let (result, _) = ended(outcome);
    let is_told = text.contains("A licence is required.");
    (result, is_told, list["licences"][0]["used"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_under_way_takes_the_licence_that_an_order_asks_for_or_does_as_the_order_says() {
    assert_eq!(
        asked_for_a_licence(false, "cut").await,
        (Outcome::Served, false, 1)
    );
    assert_eq!(asked_for_a_licence(true, "cut").await, (Outcome::Broken, true, 1));
    assert_eq!(
        asked_for_a_licence(true, "finish").await,
        (Outcome::Served, false, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_come_together_are_all_in_force() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = plan(&channel).start().await;
    let note = |id: &str, round: u32| signed(&letter(id, round, "finish", GERMANS));
    for round in 1..=10 {
        let [a, b, c, d] = ["us-1", "us-2", "us-3", "us-4"].map(|id| note(id, round));
        let replies = tokio::join!(
            send(&house, &a),
            send(&house, &b),
            send(&house, &c),
            send(&house, &d)
        );
        let replies = [replies.0, replies.1, replies.2, replies.3];
        let last = replies.iter().max_by_key(|reply| applied(reply)).unwrap();
        let mut in_force = last.json()["in_force"].as_array().unwrap().clone();
        in_force.retain(|label| label.as_str().unwrap().ends_with(&format!("@{round}")));
        assert_eq!(in_force.len(), 4, "{}", last.text());
    }
    house.stop().await;
}

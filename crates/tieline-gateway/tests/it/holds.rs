//! The queue of holds: a held call has a ticket, an officer disposes of it, and the caller's next call works.

use serde_json::{Value, json};
use tieline_core::Dialect::{self, AnthropicMessages, OpenaiChat};
use tieline_note::{Signer, note};
use tieline_policy::Signers;
use tieline_testkit::{Auto, Channel};

use crate::caller::{Ask, Reply};
use crate::house::{self, AUDITOR, HELD, House, LIMIT, OFFICER, Plan, READER};

const HOLDS: &str = "/admin/v1/holds";

fn plan() -> (Channel, Plan) {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    (channel, plan)
}

async fn ask(house: &House, dialect: Dialect, stream: bool) -> Reply {
    house.ask(Ask::plain(dialect, stream).key(HELD)).await
}

/// The ticket of a held call.
async fn ticket(house: &House) -> String {
    let reply = ask(house, OpenaiChat, false).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("held"));
    reply.header("x-tieline-ticket").unwrap().to_owned()
}

/// The holds, once `fits` is true of them.
async fn holds(house: &House, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let found = async {
        loop {
            let list = house.admin(AUDITOR, "GET", HOLDS, "").await.json();
            let holds = list["holds"].as_array().unwrap().clone();
            if fits(&holds) {
                return holds;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, found)
        .await
        .expect("the holds are written")
}

async fn dispose(house: &House, said: Value) -> Reply {
    let path = "/admin/v1/holds/dispose";
    house.admin(OFFICER, "POST", path, &said.to_string()).await
}

fn soon() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u64::try_from(now.as_micros()).unwrap() + 60_000_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_hold_lets_the_next_call_through_and_a_refused_one_does_not() {
    let (_channel, plan) = plan();
    let house = plan.start().await;
    let first = ticket(&house).await;
    for dialect in [OpenaiChat, AnthropicMessages] {
        for stream in [false, true] {
            let reply = ask(&house, dialect, stream).await;
            assert_eq!(
                reply.header("x-tieline-ticket"),
                Some(&*first),
                "repeated calls share it"
            );
            assert!(reply.text().contains(&first), "{}", reply.text());
        }
    }
    let waiting = holds(&house, |holds| {
        holds.first().is_some_and(|hold| hold["calls"] == 5)
    })
    .await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (&waiting[0]["party"], &waiting[0]["model"], &waiting[0]["rules"]),
        (&json!("p_3"), &json!("m1"), &json!(["demo/jurisdiction-unknown"]))
    );
    let refused = dispose(
        &house,
        json!({ "ticket": first, "grant": false, "reason": "No." }),
    )
    .await;
    assert_eq!(refused.status(), 200, "{}", refused.text());
    let open = house.admin(AUDITOR, "GET", "/admin/v1/holds?open=true", "").await;
    assert_eq!(open.json()["holds"], json!([]));
    assert_eq!(ticket(&house).await, first);
    let granted = json!({ "ticket": first, "grant": true, "reason": "A Secret Reason", "until": soon() });
    assert_eq!(
        dispose(&house, granted.clone()).await.status(),
        409,
        "it was refused"
    );
    let mut again = granted;
    again["again"] = true.into();
    assert_eq!(dispose(&house, again.clone()).await.status(), 200);
    assert_eq!(ask(&house, OpenaiChat, false).await.status(), 200);
    again["grant"] = false.into();
    again["until"] = Value::Null;
    assert_eq!(
        dispose(&house, again).await.status(),
        200,
        "a grant can be taken back"
    );
    assert_eq!(ticket(&house).await, first);
    let book = house.stop().await;
    let said: Vec<&Value> = book
        .of_type("tieline/disposition/v1")
        .into_iter()
        .map(|entry| &entry["body"])
        .collect();
    let grants: Vec<&Value> = said.iter().map(|body| &body["grant"]).collect();
    assert_eq!(grants, [&json!(false), &json!(true), &json!(false)]);
    assert_eq!(
        (&said[0]["admin"], &said[0]["ticket"]),
        (&json!("a_officer"), &json!(first))
    );
    assert!(!book.says("A Secret Reason"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disposition_without_reason_end_or_ticket_is_refused() {
    let (_channel, plan) = plan();
    let house = plan.start().await;
    let ticket = ticket(&house).await;
    holds(&house, |holds| !holds.is_empty()).await;
    let year = 367 * 86_400 * 1_000_000;
    for (said, expected) in [
        (json!({ "ticket": ticket, "grant": true }), 422),
        (json!({ "ticket": ticket, "grant": true, "reason": " " }), 422),
        (
            json!({ "ticket": ticket, "grant": true, "reason": "r", "until": 5 }),
            422,
        ),
        (
            json!({ "ticket": ticket, "grant": true, "reason": "r", "until": soon() + year }),
            422,
        ),
        (
            json!({ "ticket": ticket, "grant": false, "reason": "r", "until": soon() }),
            422,
        ),
        (json!({ "ticket": "h_0", "grant": false, "reason": "r" }), 404),
    ] {
        let reply = dispose(&house, said).await;
        assert_eq!(reply.status(), expected, "{}", reply.text());
    }
    let path = "/admin/v1/holds/dispose";
    for key in [AUDITOR, READER] {
        let said = json!({ "ticket": ticket, "grant": true, "reason": "r" }).to_string();
        assert_eq!(house.admin(key, "POST", path, &said).await.status(), 403);
    }
    let open = holds(&house, |_| true).await;
    assert!(open[0].get("disposition").is_none());
    let book = house.stop().await;
    assert!(book.of_type("tieline/disposition/v1").is_empty());
}

fn signer() -> Signer {
    Signer::new("tieline.example/officer", &[1; 32]).unwrap()
}

/// A sealed directive on the house's model, on whoever is not known to be in France.
fn letter(effect: &str) -> String {
    let text = format!(
        "t = \"tieline/directive/v1\"\nid = \"secret-name\"\nversion = 1\nissuer = \"An authority\"\n\
         authority = \"15 CFR 744.22\"\ntitle = \"A letter\"\nreason = \"A licence is required.\"\n\
         issued = 2026-01-01T00:00:00Z\nvalid_from = 2026-01-01T00:00:00Z\neffect = \"{effect}\"\n\
         in_flight = \"finish\"\ndisclosure = \"sealed\"\n[scope]\nmodels = [\"m1\"]\n[who]\n\
         condition = 'principal has headquarters && principal.headquarters == Country::\"DE\"'\n"
    );
    note::sign(&text, &signer()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_directive_that_holds_for_want_of_facts_is_cleared_unnamed() {
    let (_channel, mut plan) = plan();
    plan.signers = Some(Signers::new(vec![signer().verifier().clone()], 1).unwrap());
    let house = plan.start().await;
    let body = json!({ "note": letter("deny") }).to_string();
    let applied = house.admin(OFFICER, "POST", "/admin/v1/directives", &body).await;
    assert_eq!(applied.status(), 200, "{}", applied.text());
    let party = |country: &str| {
        let evidence = json!([
            { "issuer": "r", "kind": "registration", "value": { "jurisdiction": "FR" } },
        ]);
        let mut edit = json!({ "id": "p_3", "evidence": evidence });
        if !country.is_empty() {
            let piece =
                json!({ "issuer": "r", "kind": "registration", "value": { "headquarters": country } });
            edit["evidence"].as_array_mut().unwrap().push(piece);
        }
        edit.to_string()
    };
    let edited = house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &party(""))
        .await;
    assert_eq!(edited.status(), 200, "{}", edited.text());
    let ticket = ticket(&house).await;
    let waiting = holds(&house, |holds| !holds.is_empty()).await;
    let rules = waiting[0]["rules"].as_array().unwrap();
    assert!(
        rules.len() == 1 && rules[0].as_str().unwrap().starts_with("sealed/"),
        "{rules:?}"
    );
    let granted = dispose(
        &house,
        json!({ "ticket": ticket, "grant": true, "reason": "Reviewed." }),
    )
    .await;
    assert_eq!(granted.status(), 200, "{}", granted.text());
    assert_eq!(ask(&house, OpenaiChat, false).await.status(), 200);
    // Once it is known to be inside, it is denied, whatever the officer said of the hold.
    let edited = house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &party("DE"))
        .await;
    assert_eq!(edited.status(), 200, "{}", edited.text());
    let denied = ask(&house, OpenaiChat, false).await;
    assert_eq!(denied.problem(OpenaiChat).2.as_deref(), Some("denied"));
    assert!(denied.header("x-tieline-ticket").is_none());
    for text in [denied.text(), granted.text(), json!(waiting).to_string()] {
        assert!(!text.contains("secret-name"), "{text}");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_that_wait_at_the_stop_are_written_and_a_grant_outlives_the_process() {
    let (_channel, plan) = plan();
    let again = plan.clone();
    let house = plan.start().await;
    let ticket = ticket(&house).await;
    let book = house.stop().await;
    let state = tieline_gateway::State::open(book.dir.path()).unwrap();
    assert_eq!(state.holds().unwrap()[0].ticket, ticket);
    drop(state);
    let house = again.clone().start_in(book.dir).await.unwrap();
    let said = json!({ "ticket": ticket, "grant": true, "reason": "Reviewed." });
    assert_eq!(dispose(&house, said).await.status(), 200);
    let book = house.stop().await;
    let house = again.start_in(book.dir).await.unwrap();
    assert_eq!(ask(&house, OpenaiChat, false).await.status(), 200);
    house.stop().await;
}

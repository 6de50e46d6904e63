//! Licences and statements through the admin listener: what is recorded counts for the next call, and what is revoked for
//! none.

use serde_json::{Value, json};
use tieline_core::Dialect::OpenaiChat;
use tieline_note::{Signer, note};
use tieline_testkit::{Act, Auto, Channel, Gate};

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, ALLOWED, AUDITOR, House, OFFICER, OPERATOR, Plan, READER};

pub(crate) const LICENCES: &str = "/admin/v1/licences";
pub(crate) const STATEMENTS: &str = "/admin/v1/statements";

pub(crate) fn licence(id: &str, more: &str) -> String {
    format!(
        "t = \"tieline/licence/v1\"\nid = \"{id}\"\nkind = \"trial\"\nissuer = \"An authority\"\n\
         authority = \"15 CFR 748\"\nvalid_from = 2026-01-01T00:00:00Z\n{more}\n[[parties]]\nid = \"p_1\"\n"
    )
}

/// The statement that the house's strict pack asks for.
pub(crate) fn statement(version: u32) -> String {
    let (from, to) = term();
    format!(
        "t = \"tieline/statement/v1\"\nid = \"s-1\"\nkind = \"nobody\"\nversion = {version}\nparty = \"p_1\"\n\
         valid_from = {from}\nvalid_to = {to}\n[signer]\nname = \"Erika Mustermann\"\nrole = \"Provost\"\n\
         [institution]\nname = \"A university\"\n[project]\npurpose = \"Teaching.\"\n"
    )
}

/// The month that is under way, and some.
fn term() -> (String, String) {
    let now = jiff::Timestamp::now();
    let from = now - jiff::SignedDuration::from_hours(24);
    let to = now + jiff::SignedDuration::from_hours(24 * 30);
    let date = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    (date(from), date(to))
}

async fn house(pack: tieline_policy::Pack) -> (Channel, House) {
    let channel = Channel::start(Auto::default()).unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &channel)]);
    plan.packs = vec![pack];
    plan.statement_keys = vec![signer(1).verifier().clone()];
    (channel, plan.start().await)
}

pub(crate) fn signer(number: u8) -> Signer {
    Signer::new(&format!("tieline.example/party-{number}"), &[number; 32]).unwrap()
}

async fn status(house: &House) -> u16 {
    house
        .ask(Ask::plain(OpenaiChat, false).key(ALLOWED))
        .await
        .status()
}

pub(crate) async fn add(house: &House, path: &str, text: &str) -> Reply {
    let body = json!({ "text": text }).to_string();
    house.admin(OFFICER, "POST", path, &body).await
}

pub(crate) async fn revoke(house: &House, path: &str, id: &str) -> Reply {
    let body = json!({ "id": id }).to_string();
    house
        .admin(OPERATOR, "POST", &format!("{path}/revoke"), &body)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_licence_counts_for_the_next_call_until_it_is_spent_or_revoked() {
    let (_channel, house) = house(house::licensed_pack()).await;
    assert_eq!(status(&house).await, 403);
    let counted = add(&house, LICENCES, &licence("l-1", "quantity.calls = 2")).await;
    assert_eq!(counted.status(), 200, "{}", counted.text());
    assert_eq!(
        (&counted.json()["changed"], &counted.json()["strangers"]),
        (&json!(true), &json!([]))
    );
    assert_eq!((status(&house).await, status(&house).await), (200, 200));
    assert_eq!(status(&house).await, 403, "it is spent");
    let list = house.admin(AUDITOR, "GET", LICENCES, "").await.json();
    let line = &list["licences"][0];
    assert_eq!((&line["used"], &line["in_force"]), (&json!(2), &json!(false)));
    assert_eq!(add(&house, LICENCES, &licence("l-2", "")).await.status(), 200);
    assert_eq!(status(&house).await, 200);
    for expected in [true, false] {
        assert_eq!(revoke(&house, LICENCES, "l-2").await.json()["changed"], expected);
    }
    assert_eq!(status(&house).await, 403);
    let book = house.stop().await;
    let done: Vec<&Value> = book
        .of_type("tieline/operator/v1")
        .into_iter()
        .map(|entry| &entry["body"])
        .collect();
    let digest = counted.json()["digest"].as_str().unwrap().to_owned();
    assert_eq!(done.len(), 3);
    assert_eq!(
        done[0],
        &json!({ "admin": "a_officer", "done": "licence-add", "name": format!("l-1 {digest}") })
    );
    assert_eq!(done[2]["done"], "licence-revoke");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_licence_is_said_and_changes_nothing() {
    let (_channel, house) = house(house::licensed_pack()).await;
    assert_eq!(add(&house, LICENCES, &licence("l-1", "")).await.status(), 200);
    let stranger = licence("l-2", "").replace("p_1", "p_77");
    assert_eq!(
        add(&house, LICENCES, &stranger).await.json()["strangers"],
        json!(["p_77"])
    );
    let again = add(&house, LICENCES, &licence("l-1", "")).await;
    assert_eq!((again.status(), &again.json()["changed"]), (200, &json!(false)));
    for (text, expected, part) in [
        (licence("l-1", "quantity.calls = 2"), 409, "another id"),
        (
            licence("l-3", "valid_to = 2026-01-02T00:00:00Z"),
            422,
            "has ended",
        ),
        (
            licence("l-3", "colour = 1\nquantity.calls = 0"),
            422,
            "licence:7:1",
        ),
        (
            licence("l-3", "colour = 1\nquantity.calls = 0"),
            422,
            "licence:8:",
        ),
    ] {
        let reply = add(&house, LICENCES, &text).await;
        assert_eq!(reply.status(), expected, "{}", reply.text());
        assert!(reply.text().contains(part), "{}", reply.text());
    }
    assert_eq!(revoke(&house, LICENCES, "l-9").await.status(), 404);
    assert_eq!(house.admin(READER, "GET", LICENCES, "").await.status(), 403);
    let list = house.admin(AUDITOR, "GET", LICENCES, "").await.json();
    assert_eq!(list["licences"].as_array().unwrap().len(), 2);
    let book = house.stop().await;
    assert_eq!(book.of_type("tieline/operator/v1").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_signed_by_a_known_key_or_recorded_by_an_officer() {
    let (_channel, house) = house(house::strict_pack()).await;
    assert_eq!(status(&house).await, 403);
    let stranger = note::sign(&statement(1), &signer(2)).unwrap();
    let refused = add(&house, STATEMENTS, &stranger).await;
    assert_eq!(refused.status(), 422, "{}", refused.text());
    let signed = add(
        &house,
        STATEMENTS,
        &note::sign(&statement(1), &signer(1)).unwrap(),
    )
    .await;
    assert_eq!(signed.status(), 200, "{}", signed.text());
    assert_eq!(status(&house).await, 200);
    assert_eq!(revoke(&house, STATEMENTS, "s-1").await.json()["changed"], true);
    assert_eq!(status(&house).await, 403);
    let same = add(&house, STATEMENTS, &statement(1)).await;
    assert_eq!(same.status(), 409, "{}", same.text());
    let recorded = add(&house, STATEMENTS, &statement(2)).await;
    assert_eq!(recorded.status(), 200, "{}", recorded.text());
    assert_eq!(status(&house).await, 200);
    let list = house.admin(AUDITOR, "GET", STATEMENTS, "").await.json();
    let line = &list["statements"][0];
    assert_eq!(
        (&line["statement"]["recorded_by"], &line["in_force"]),
        (&json!("a_officer"), &json!(true))
    );
    let book = house.stop().await;
    let done: Vec<&Value> = book
        .of_type("tieline/operator/v1")
        .into_iter()
        .map(|entry| &entry["body"]["done"])
        .collect();
    assert_eq!(done, ["statement-add", "statement-revoke", "statement-add"]);
    assert!(!book.says("Mustermann"), "the ledger holds no name");
}

/// What becomes of a licence while a call waits for its first attempt to fail.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Ends,
    Nothing,
    Revoked,
    /// By another call; this one has its own.
    Spent,
}

/// The next attempt of a call that rests on a licence: the call's status, and how many requests the next channel saw.
async fn next_attempt(loss: Loss) -> (u16, u64) {
    let gate = Gate::new();
    let first = Channel::start(Act::status(500).gate_before_head(&gate)).unwrap();
    let other = Channel::start(Auto::default()).unwrap();
    let mut plan = Plan::new(vec![house::openai("a", &first), house::openai("b", &other)]);
    plan.packs = vec![house::licensed_pack()];
    let house = plan.start().await;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let more = match loss {
        Loss::Ends => until.strftime("valid_to = %Y-%m-%dT%H:%M:%SZ").to_string(),
        Loss::Spent => "quantity.calls = 1".to_owned(),
        Loss::Nothing | Loss::Revoked => String::new(),
    };
    assert_eq!(add(&house, LICENCES, &licence("l-1", &more)).await.status(), 200);
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, house::LIMIT).await);
    match loss {
        Loss::Nothing => {}
        Loss::Revoked => assert_eq!(revoke(&house, LICENCES, "l-1").await.status(), 200),
        Loss::Spent => assert_eq!(status(&house).await, 403),
        Loss::Ends => {
            let is_over = async {
                loop {
                    let list = house.admin(AUDITOR, "GET", LICENCES, "").await.json();
                    if list["licences"][0]["in_force"] == false {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(house::LIMIT, is_over).await.unwrap();
        }
    }
    gate.open();
    let reply = caller.reply().await;
    house.stop().await;
    (reply.status(), other.seen_count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_licence_that_ends_or_is_revoked_counts_for_no_further_attempt() {
    assert_eq!(next_attempt(Loss::Nothing).await, (200, 1));
    assert_eq!(next_attempt(Loss::Spent).await, (200, 1));
    for loss in [Loss::Ends, Loss::Revoked] {
        let (status, seen) = next_attempt(loss).await;
        assert_eq!(seen, 0, "{loss:?}");
        assert_ne!(status, 200, "{loss:?}");
    }
}

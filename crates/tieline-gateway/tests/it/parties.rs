//! Parties through the admin listener: what is known of them decides the next call, and a change is whole or not at all.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tieline_core::Dialect::OpenaiChat;
use tieline_testkit::{Auto, Channel};

use crate::caller::Ask;
use crate::house::{self, ALLOWED, AUDITOR, DENIED, HELD, House, LIMIT, OFFICER, OPERATOR, Plan, READER};

const PARTIES: &str = "/admin/v1/parties";

async fn house() -> (Channel, House) {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    (channel, house)
}

async fn status(house: &House, key: u8) -> u16 {
    house.ask(Ask::plain(OpenaiChat, false).key(key)).await.status()
}

async fn shown(house: &House, id: &str) -> Value {
    let reply = house
        .admin(READER, "GET", &format!("/admin/v1/party?id={id}"), "")
        .await;
    assert_eq!(reply.status(), 200, "{}", reply.text());
    reply.json()
}

fn jurisdiction(code: &str) -> Value {
    json!([{ "issuer": "registrar", "kind": "registration", "value": { "jurisdiction": code } }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_decides_the_next_call_and_so_does_its_end() {
    let (_channel, house) = house().await;
    assert_eq!(status(&house, HELD).await, 403);
    let edit = json!({ "id": "p_3", "evidence": jurisdiction("DE") }).to_string();
    let edited = house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit)
        .await;
    assert_eq!(edited.json(), json!({ "count": 1, "id": "p_3" }));
    assert_eq!(status(&house, HELD).await, 200);
    let expiry = json!({ "id": "p_3", "fact": "jurisdiction" }).to_string();
    for expected in [200, 422] {
        let expired = house
            .admin(OPERATOR, "POST", "/admin/v1/parties/expire", &expiry)
            .await;
        assert_eq!(expired.status(), expected, "{}", expired.text());
    }
    assert_eq!(status(&house, HELD).await, 403);
    let party = shown(&house, "p_3").await;
    assert_eq!(party["facts"]["jurisdiction"], Value::Null);
    let kept = party["evidence"].as_array().unwrap();
    assert!(
        kept.iter()
            .any(|piece| piece["fact"] == "jurisdiction" && piece["in_force"] == false),
        "what expired is kept: {party}"
    );
    let book = house.stop().await;
    let done: Vec<&Value> = book
        .of_type("tieline/operator/v1")
        .into_iter()
        .map(|entry| &entry["body"])
        .collect();
    let entry = |admin: &str, done: &str| json!({"admin": admin, "count": 1, "done": done, "name": "p_3"});
    assert_eq!(
        done,
        [
            &entry("a_officer", "party-change"),
            &entry("a_operator", "party-expire")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_that_expires_by_itself_is_missing_from_then_on() {
    let (_channel, house) = house().await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let until = u64::try_from((now + Duration::from_secs(2)).as_micros()).unwrap();
    let mut evidence = jurisdiction("DE");
    evidence[0]["expires"] = until.into();
    let edit = json!({ "id": "p_3", "evidence": evidence }).to_string();
    let edited = house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit)
        .await;
    assert_eq!(edited.status(), 200, "{}", edited.text());
    assert_eq!(status(&house, HELD).await, 200);
    let held = async {
        while status(&house, HELD).await == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, held).await.unwrap();
    let book = house.stop().await;
    let mut calls = book.decisions.values();
    assert!(calls.all(|call| call.code.is_some() || call.at.0 < until));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_ten_thousand_with_one_bad_line_changes_nothing() {
    let (_channel, house) = house().await;
    let file = |bad: &str| {
        let mut text = String::from("id,jurisdiction,evidence_kind,issuer,parent\n");
        for n in 4..=9_999 {
            writeln!(text, "p_{n},FR,registration,registrar,").unwrap();
        }
        text.push_str(bad);
        text
    };
    let import = async |body: &str| {
        house
            .admin_as(OFFICER, "/admin/v1/parties/import", "text/csv", body)
            .await
    };
    let refused = import(&file(
        "p_1,BY,registration,registrar,\np_10000,FRANCE,registration,registrar,p_nobody\n",
    ))
    .await;
    assert_eq!(refused.status(), 422);
    let says = refused.text();
    assert!(
        says.contains("1 problem\\nline 9999, jurisdiction: `FRANCE`"),
        "{says}"
    );
    assert_eq!(
        house.admin(READER, "GET", PARTIES, "").await.json()["parties"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(status(&house, ALLOWED).await, 200, "p_1 is where it was");
    let refused = import(&file("p_10000,FR,registration,registrar,p_nobody\n")).await;
    assert!(
        refused.text().contains("line 9998, parent:"),
        "{}",
        refused.text()
    );
    let done = import(&file(
        "p_1,BY,registration,registrar,\np_10000,FR,registration,registrar,p_1\n",
    ))
    .await;
    assert_eq!(done.json(), json!({ "count": 9_998 }), "{}", done.text());
    assert_eq!(status(&house, ALLOWED).await, 403, "p_1 is in Minsk");
    let page = house
        .admin(READER, "GET", &format!("{PARTIES}?after=p_9998&limit=1"), "")
        .await
        .json();
    assert_eq!(
        (&page["parties"][0]["id"], &page["next"]),
        (&json!("p_9999"), &json!("p_9999"))
    );
    let book = house.stop().await;
    let imports = book.of_type("tieline/operator/v1");
    assert_eq!(
        imports[0]["body"],
        json!({"admin": "a_officer", "count": 9_998, "done": "party-import", "name": "parties"})
    );
    assert_eq!(imports.len(), 1, "what was refused was not done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_is_named_and_counted() {
    let (_channel, house) = house().await;
    let bad = (0..150).fold(String::from("id,class,owners\n"), |text, n| {
        text + &format!("x_{n},company,a:900;b:\n")
    });
    let cases = [
        ("text/csv", bad.as_str(), "300 problems", "and 200 more"),
        (
            "text/csv",
            "id,colour\nx,red\n",
            "colour",
            "there is no such column",
        ),
        ("text/csv", "id\nx\nx\n", "line 3, id", "two records"),
        ("text/csv", "id,owners\nx,a:600;b:600\n", "line 2, owners", "1200"),
        (
            "text/csv",
            "id,person_class\nx,us_person\n",
            "line 2, evidence_kind",
            "employer_assertion",
        ),
        (
            "text/csv",
            "id,jurisdiction,expires\nx,DE,2020-01-01\n",
            "line 2, expires",
            "expires no later",
        ),
        (
            "text/csv",
            "id,jurisdiction\nx\n",
            "line 2",
            "1 cells, and the head has 2",
        ),
        ("text/csv", "", "line 1", "no party"),
        ("application/json", "[{},\n\n{\"name\":1}]", "line 1", "line 3"),
        ("application/json", "{", "line 1", "nothing was imported"),
        (
            "application/x-ndjson",
            "\n{\"x\":1}\n",
            "line 2",
            "unknown field `x`",
        ),
    ];
    for (media_type, body, one, other) in cases {
        let reply = house
            .admin_as(OFFICER, "/admin/v1/parties/import", media_type, body)
            .await;
        assert_eq!(reply.status(), 422, "{body}");
        let says = reply.text();
        assert!(says.contains(one) && says.contains(other), "{body}: {says}");
    }
    let odd = house
        .admin_as(OFFICER, "/admin/v1/parties/import", "text/plain", "id\n")
        .await;
    assert_eq!(odd.status(), 415);
    let book = house.stop().await;
    assert!(book.of_type("tieline/operator/v1").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_may_be_larger_than_other_requests() {
    let (_channel, house) = house().await;
    let name = "x".repeat(3 << 20);
    let body = json!({ "name": name, "record": { "id": "p_4", "kind": "person" } }).to_string();
    let import = "/admin/v1/parties/import";
    let done = house
        .admin_as(OFFICER, import, "application/x-ndjson", &body)
        .await;
    assert_eq!(done.json(), json!({ "count": 1 }));
    let array = format!("[\n{body}\n]");
    let done = house.admin_as(OFFICER, import, "application/json", &array).await;
    assert_eq!(done.json(), json!({ "count": 1 }));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_below_a_changed_party_are_resolved_again_and_nobody_else() {
    let (_channel, house) = house().await;
    // p_3 has no place of its own: it takes that of the organisation above it.
    for (edit, held, denied) in [
        (
            json!({ "id": "p_9", "new": true, "evidence": jurisdiction("DE") }),
            403,
            403,
        ),
        (json!({ "id": "p_3", "kind": "unit", "parent": "p_9" }), 200, 403),
        (json!({ "id": "p_9", "evidence": jurisdiction("BY") }), 403, 403),
        (json!({ "id": "p_9", "evidence": jurisdiction("FR") }), 200, 403),
        (json!({ "id": "p_2", "evidence": jurisdiction("FR") }), 200, 200),
    ] {
        let reply = house
            .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit.to_string())
            .await;
        assert_eq!(reply.status(), 200, "{}", reply.text());
        assert_eq!(
            (status(&house, HELD).await, status(&house, DENIED).await),
            (held, denied),
            "{edit}"
        );
        assert_eq!(status(&house, ALLOWED).await, 200);
    }
    for (edit, expected) in [
        (json!({ "id": "p_9", "new": true }), 409),
        (json!({ "id": "p_10" }), 404),
        (json!({ "id": "p_9", "parent": "p_3" }), 422),
        (json!({ "id": "p_9", "colour": "red" }), 422),
    ] {
        let reply = house
            .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit.to_string())
            .await;
        assert_eq!(reply.status(), expected, "{}", reply.text());
    }
    let book = house.stop().await;
    let mut cited: Vec<_> = book
        .decisions
        .values()
        .filter(|call| &*call.intake.party == "p_1")
        .map(|call| call.intake.party_digest)
        .collect();
    cited.dedup();
    assert_eq!(cited.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_says_what_is_unknown_and_what_disagrees() {
    let (_channel, house) = house().await;
    let other = json!([{ "issuer": "a court", "kind": "registration", "value": { "jurisdiction": "FR" } }]);
    let edit = json!({ "id": "p_1", "evidence": other }).to_string();
    house
        .admin(OFFICER, "POST", "/admin/v1/parties/edit", &edit)
        .await;
    let list = house.admin(AUDITOR, "GET", PARTIES, "").await.json();
    let line = &list["parties"][0];
    assert_eq!(
        (&line["id"], &line["flags"]),
        (&json!("p_1"), &json!(["jurisdiction"]))
    );
    assert!(
        line["missing"]
            .as_array()
            .unwrap()
            .contains(&json!("headquarters"))
    );
    let party = shown(&house, "p_1").await;
    assert_eq!(
        party["flags"][0]["values"],
        json!([{"jurisdiction": "DE"}, {"jurisdiction": "FR"}])
    );
    assert_eq!(party["digest"].as_str().unwrap().len(), 64);
    for (path, expected) in [
        ("/admin/v1/party?id=p_77", 404),
        ("/admin/v1/party", 400),
        ("/admin/v1/parties?limit=0", 400),
        ("/admin/v1/parties?limit=10001", 400),
    ] {
        let reply = house.admin(AUDITOR, "GET", path, "").await;
        assert_eq!(reply.status(), expected, "{path}");
    }
    house.stop().await;
}

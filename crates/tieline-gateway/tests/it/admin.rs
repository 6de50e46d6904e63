//! The admin listener: cuts, keys, roles, metrics, and the log as outsiders see it.

use std::collections::BTreeSet;

use serde_json::json;
use tieline_core::Dialect::OpenaiChat;
use tieline_core::call::Why;
use tieline_core::record::Outcome;
use tieline_testkit::{Act, Auto, Channel};

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, AUDITOR, House, OFFICER, OPERATOR, Plan, READER, key};
use crate::ledger::attempts;

struct Two {
    a: Channel,
    b: Channel,
    house: House,
}

async fn two() -> Two {
    let a = Channel::start(Auto::saying("From a")).unwrap();
    let b = Channel::start(Auto::saying("From b")).unwrap();
    let mut ways = vec![house::openai("a", &a), house::openai("b", &b)];
    ways[0].components = vec!["region:north/1"];
    ways[1].components = vec!["cloud:south"];
    let house = Plan::new(ways).start().await;
    Two { a, b, house }
}

async fn said(house: &House) -> String {
    house.ask(Ask::plain(OpenaiChat, false)).await.said()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_holds_for_the_next_call_until_it_is_restored() {
    let Two { a, b, house } = two().await;
    assert_eq!(said(&house).await, "From a");
    let cut = house.cut("a").await;
    assert_eq!(
        cut.json(),
        json!({"changed": true, "kind": "channel", "name": "a", "process": false})
    );
    assert_eq!(said(&house).await, "From b");
    assert_eq!(
        house.cut("a").await.json()["changed"],
        false,
        "a second cut changes nothing"
    );
    assert_eq!(house.cut("b").await.status(), 200);
    let reply = house.ask(Ask::plain(OpenaiChat, false)).await;
    let (status, _, code) = reply.problem(OpenaiChat);
    assert_eq!((status, code.as_deref()), (503, Some("no_channel")));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(house.restore("a").await.status(), 200);
    assert_eq!(said(&house).await, "From a");
    assert_eq!((a.seen_count(), b.seen_count()), (2, 1));
    let book = house.stop().await;
    let done: Vec<_> = book
        .of_type("tieline/operator/v1")
        .into_iter()
        .map(|entry| &entry["body"])
        .collect();
    let operation = |done: &str, name: &str| json!({"admin": "a_operator", "done": done, "name": name});
    assert_eq!(
        done,
        [
            &operation("cut", "a"),
            &operation("cut", "b"),
            &operation("restore", "a")
        ]
    );
    let refused = book
        .outcomes
        .values()
        .find(|outcome| outcome.result == Outcome::Refused)
        .unwrap();
    let plan = &book.decisions[&refused.id].plan;
    assert!(plan.iter().all(|row| row.why == Why::Out), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_is_cut_takes_everything_that_depends_on_it() {
    let Two { house, a: _a, b: _b } = two().await;
    // Channel a stands in a region of the cloud.
    assert_eq!(house.cut("cloud:north").await.json()["kind"], "component");
    assert_eq!(said(&house).await, "From b");
    let status = house.status().await;
    assert_eq!(
        (&status["channels"][0]["out"], &status["channels"][1]["out"]),
        (&json!(true), &json!(false))
    );
    house.restore("cloud:north").await;
    assert_eq!(said(&house).await, "From a");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_outlives_a_restart() {
    let Two { a, b, house } = two().await;
    house.cut("a").await;
    let plan = house.plan.lock().unwrap().clone();
    let book = house.stop().await;
    let house = plan.start_in(book.dir).await.unwrap();
    assert_eq!(said(&house).await, "From b");
    assert_eq!(house.status().await["out"][0]["name"], "a");
    assert_eq!((a.seen_count(), b.seen_count()), (0, 1));
    let book = house.stop().await;
    assert_eq!(book.of_type("tieline/start/v1").len(), 2);
    assert_eq!(book.of_type("tieline/stop/v1").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_of_nothing_says_what_there_is() {
    let Two { house, a: _a, b: _b } = two().await;
    let reply = house.cut("c").await;
    assert_eq!(reply.status(), 404);
    for known in ["a, b", "cloud:north", "cloud:south", "region:north/1"] {
        assert!(reply.text().contains(known), "{}", reply.text());
    }
    let book = house.stop().await;
    assert!(book.of_type("tieline/operator/v1").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_ends_well_on_a_channel_that_is_cut() {
    let gate = tieline_testkit::Gate::new();
    let channel = Channel::start(Act::auto().gate_before_head(&gate)).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    assert!(gate.wait_reached(1, house::LIMIT).await);
    house.cut("a").await;
    gate.open();
    assert_eq!(caller.reply().await.status(), 200);
    let book = house.stop().await;
    assert_eq!(attempts(book.only().1), [("a", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_it_may_and_nothing_else() {
    let Two { house, a: _a, b: _b } = two().await;
    let party = r#"{"name":"Nine","record":{"id":"p_9","kind":"organisation"}}"#;
    let operations = [
        (
            "GET",
            "/admin/v1/status",
            "",
            vec![OPERATOR, OFFICER, AUDITOR, READER],
        ),
        (
            "GET",
            "/admin/v1/keys",
            "",
            vec![OPERATOR, OFFICER, AUDITOR, READER],
        ),
        ("GET", "/metrics", "", vec![OPERATOR, OFFICER, AUDITOR, READER]),
        (
            "POST",
            "/admin/v1/flush",
            "",
            vec![OPERATOR, OFFICER, AUDITOR, READER],
        ),
        ("POST", "/admin/v1/cut", r#"{"name":"a"}"#, vec![OPERATOR]),
        ("POST", "/admin/v1/restore", r#"{"name":"a"}"#, vec![OPERATOR]),
        ("POST", "/admin/v1/reload", "", vec![OPERATOR]),
        ("POST", "/admin/v1/keys", r#"{"party":"p_1"}"#, vec![OPERATOR]),
        ("POST", "/admin/v1/keys/revoke", r#"{"id":"k_4"}"#, vec![OPERATOR]),
        ("POST", "/admin/v1/parties", party, vec![OPERATOR, OFFICER]),
        ("GET", "/tile/entries/000.p/1", "", vec![AUDITOR]),
    ];
    for (method, path, body, roles) in operations {
        for role in [READER, AUDITOR, OFFICER, OPERATOR] {
            let reply = house.admin(role, method, path, body).await;
            let expected = if roles.contains(&role) { 200 } else { 403 };
            assert_eq!(
                reply.status(),
                expected,
                "{role} {method} {path}: {}",
                String::from_utf8_lossy(&reply.bytes())
            );
        }
        // A party's key, no key, and one that nobody has.
        for number in [house::ALLOWED, 199] {
            let reply = house.admin(number, method, path, body).await;
            assert_eq!(reply.status(), 401, "{method} {path}");
        }
        let keyless = Ask::new(method, path, body).header("content-type", "application/json");
        let mut caller = Caller::connect(house.admin).await;
        caller.send(&keyless).await;
        assert_eq!(caller.reply().await.status(), 401, "{method} {path}");
    }
    let book = house.stop().await;
    for entry in book.of_type("tieline/operator/v1") {
        assert!(
            matches!(entry["body"]["admin"].as_str(), Some("a_operator" | "a_officer")),
            "{entry}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_works_at_once_and_ends_at_once() {
    let Two { house, a: _a, b: _b } = two().await;
    let made = house
        .admin(
            OPERATOR,
            "POST",
            "/admin/v1/keys",
            r#"{"party":"p_1","scope":["chat"]}"#,
        )
        .await;
    let (id, secret) = (
        made.json()["id"].clone(),
        made.json()["key"].as_str().unwrap().to_owned(),
    );
    let mut ask = Ask::plain(OpenaiChat, false);
    ask.headers.retain(|(name, _)| name != "authorization");
    let ask = ask.header("authorization", &format!("Bearer {secret}"));
    assert_eq!(house.ask(ask.clone()).await.said(), "From a");
    let list = house.admin(READER, "GET", "/admin/v1/keys", "").await.text();
    assert!(
        list.contains(id.as_str().unwrap()) && !list.contains(&secret),
        "{list}"
    );
    let revoke = json!({ "id": id }).to_string();
    let gone = house
        .admin(OPERATOR, "POST", "/admin/v1/keys/revoke", &revoke)
        .await;
    assert_eq!(gone.json()["changed"], true);
    let reply = house.ask(ask).await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("key_revoked"));
    let unknown = house
        .admin(OPERATOR, "POST", "/admin/v1/keys", r#"{"party":"p_99"}"#)
        .await;
    assert_eq!(unknown.status(), 404);
    let unknown = house
        .admin(OPERATOR, "POST", "/admin/v1/keys/revoke", r#"{"id":"k_99"}"#)
        .await;
    assert_eq!(unknown.status(), 404);
    let book = house.stop().await;
    let done = book
        .of_type("tieline/operator/v1")
        .into_iter()
        .map(|entry| entry["body"]["done"].clone());
    assert_eq!(done.collect::<Vec<_>>(), ["key-add", "key-revoke"]);
    assert!(!format!("{:?}", book.entries).contains(&secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_bodies_of_the_admin_listener_are_refused_and_change_nothing() {
    let Two { house, a: _a, b: _b } = two().await;
    for body in ["", "{", "{}", r#"{"name":7}"#, r#"{"name":"a","more":1}"#] {
        let reply = house.admin(OPERATOR, "POST", "/admin/v1/cut", body).await;
        assert!((400..500).contains(&reply.status()), "{body}: {reply:?}");
    }
    assert_eq!(said(&house).await, "From a");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_of_the_log_are_everyone_s_and_its_entries_the_auditor_s() {
    let Two { house, a: _a, b: _b } = two().await;
    said(&house).await;
    let size = house.admin(READER, "POST", "/admin/v1/flush", "").await.json()["size"]
        .as_u64()
        .unwrap();
    let open = async |path: &str| -> Reply {
        let mut caller = Caller::connect(house.admin).await;
        caller.send(&Ask::get(path)).await;
        caller.reply().await
    };
    let checkpoint = open("/checkpoint").await.text();
    assert_eq!(
        checkpoint.lines().take(2).collect::<Vec<_>>(),
        ["tieline.example/it", &size.to_string()]
    );
    let file = house.path().join("ledger.db");
    let away = house.path().join("away.db");
    std::fs::rename(&file, &away).unwrap();
    let none = open(&format!("/tile/0/000.p/{size}")).await;
    std::fs::rename(&away, &file).unwrap();
    assert_eq!(none.status(), 500);
    assert!(
        !none.text().contains("ledger.db"),
        "no path is told: {}",
        none.text()
    );
    let tile = open(&format!("/tile/0/000.p/{size}")).await;
    assert_eq!((tile.status(), tile.bytes().len() as u64), (200, 32 * size));
    assert_eq!(open("/tile/0/001").await.status(), 404);
    assert_eq!(open("/tile/nonsense").await.status(), 404);
    // Whoever asks without a key asks a file that is open already.
    std::fs::rename(&file, &away).unwrap();
    let again = open(&format!("/tile/0/000.p/{size}")).await;
    std::fs::rename(&away, &file).unwrap();
    assert_eq!((again.status(), again.bytes()), (200, tile.bytes()));
    let bundle = format!("/tile/entries/000.p/{size}");
    for path in [
        bundle.clone(),
        bundle.replace("entries", "%65ntries"),
        bundle.replace("/000", "%2F000"),
        format!("/tile//entries/000.p/{size}"),
    ] {
        let reply = open(&path).await;
        assert!([401, 404].contains(&reply.status()), "{path}: {reply:?}");
        let text = String::from_utf8_lossy(&reply.bytes()).into_owned();
        assert!(!text.contains("tieline/decision"), "{path}: {text}");
    }
    let reply = house.admin(AUDITOR, "GET", &bundle, "").await;
    assert!(String::from_utf8_lossy(&reply.bytes()).contains("tieline/decision/v1"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_can_be_parsed_and_their_labels_come_from_no_request() {
    let Two { a, house, b: _b } = two().await;
    for n in 0..5 {
        house
            .ask(Ask::chat(format!(r#"{{"model":"made-up-{n}"}}"#)).header("x-made-up", "made-up"))
            .await;
        house.ask(Ask::get(&format!("/made-up-{n}"))).await;
    }
    a.push(Act::status(500));
    for _ in 0..3 {
        said(&house).await;
    }
    house.quiet().await;
    let reply = house.admin(READER, "GET", "/metrics", "").await;
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = reply.text();
    assert!(text.ends_with("# EOF\n") && !text.contains("made-up"), "{text}");
    let mut names = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.starts_with("tieline_"), "{line}");
        assert!(names.insert(series.to_owned()), "twice: {series}");
        for label in rest
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty())
        {
            let (label, value) = label.split_once('=').unwrap();
            if label != "le" {
                labels.insert(format!("{label}={value}"));
            }
        }
    }
    let has = |line: &str| {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    };
    has(r#"tieline_calls_total{code="none",dialect="openai_chat",outcome="served"} 3"#);
    has(r#"tieline_calls_total{code="pool_unknown",dialect="openai_chat",outcome="refused"} 5"#);
    has(r#"tieline_attempts_total{channel="a",fault="transient"} 1"#);
    has(r#"tieline_attempts_total{channel="a",fault="none"} 2"#);
    has(r#"tieline_attempts_total{channel="b",fault="none"} 1"#);
    has("tieline_calls_in_flight 0");
    has("tieline_ledger_stopped 0");
    let closed = |label: &String| {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.trim_matches('"');
        match name {
            "channel" => ["a", "b", ""].contains(&value),
            "code" => value == "none" || tieline_core::Code::ALL.iter().any(|code| code.name() == value),
            "dialect" => ["openai_chat", "anthropic_messages"].contains(&value),
            "outcome" | "fault" | "kind" | "result" => value.len() < 20,
            _ => false,
        }
    };
    assert!(labels.iter().all(closed), "{labels:?}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_s_health_needs_no_key_and_the_public_one_has_no_admin() {
    let Two { house, a: _a, b: _b } = two().await;
    for path in ["/healthz", "/readyz"] {
        let mut caller = Caller::connect(house.admin).await;
        caller.send(&Ask::get(path)).await;
        assert_eq!(caller.reply().await.status(), 200);
    }
    let ask = Ask::get("/admin/v1/status").header("authorization", &format!("Bearer {}", key(OPERATOR)));
    assert_eq!(house.ask(ask).await.status(), 404);
    house.stop().await;
}

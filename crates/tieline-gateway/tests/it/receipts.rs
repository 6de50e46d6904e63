//! Receipts through the admin listener: what is recorded is in the ledger with whose key did it, and nothing else is.

use serde_json::{Value, json};
use tieline_note::{jcs, sha256};
use tieline_testkit::{Auto, Channel};

use crate::house::{self, AUDITOR, House, MODEL, OFFICER, POOL, Plan, READER};

const RECEIPTS: &str = "/admin/v1/receipts";
const RECEIPT_V1: &str = "tieline/receipt/v1";

async fn house() -> (Channel, House) {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    (channel, house)
}

/// A test of the house's model in its pool, under the grid in force.
async fn pool_test(house: &House) -> Value {
    let grid = house.status().await["grid"].clone();
    json!({
        "by": "a_somebody_else", "cases": "1".repeat(64), "channels": ["a"], "failed": ["sum"], "grid": grid,
        "kind": "pool_test", "model": MODEL, "passed": 2, "pool": POOL, "total": 3,
    })
}

fn drill(grid: &Value) -> Value {
    json!({
        "command": "n-1", "engine": { "digest": "2".repeat(64), "version": "0.1.0" }, "grid": grid, "kind": "drill",
        "result": "3".repeat(64), "seed": "18446744073709551615",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_names_whose_key_recorded_it() {
    let (_channel, house) = house().await;
    let test = pool_test(&house).await;
    let mut ids = Vec::new();
    for (number, receipt) in [(OFFICER, &test), (AUDITOR, &drill(&test["grid"]))] {
        let body = json!({ "receipt": receipt }).to_string();
        let reply = house.admin(number, "POST", RECEIPTS, &body).await;
        assert_eq!(reply.status(), 200, "{}", reply.text());
        ids.push(reply.json()["id"].clone());
    }
    let body = json!({ "receipt": test }).to_string();
    let refused = house.admin(READER, "POST", RECEIPTS, &body).await;
    assert_eq!(refused.status(), 403);
    let book = house.stop().await;
    let entries = book.of_type(RECEIPT_V1);
    assert_eq!(entries.len(), 2);
    for (entry, id) in entries.iter().zip(&ids) {
        assert_eq!(&entry["id"], id);
        let by = entry["body"]["by"].as_str().unwrap();
        assert!(by.starts_with('a') && by != "a_somebody_else", "{by}");
    }
    assert_eq!(entries[0]["body"]["failed"], json!(["sum"]));
    assert_eq!(entries[1]["body"]["seed"], "18446744073709551615");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_receipt_of_this_grid_is_refused() {
    let (_channel, house) = house().await;
    let test = pool_test(&house).await;
    let with = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        json!({ "receipt": changed })
    };
    let other = "4".repeat(64);
    let drill = drill(&test["grid"]);
    for (status, says, body) in [
        (409, "test again", with(&test, "grid", json!(other))),
        (422, "no pool `pub`", with(&test, "pool", json!("pub"))),
        (422, "no model `m9`", with(&test, "model", json!("m9"))),
        (422, "do not add up", with(&test, "passed", json!(3))),
        (
            422,
            "`failed` wants",
            with(&test, "failed", json!(["What is it?"])),
        ),
        (422, "unknown field", with(&test, "answer", json!("Paris"))),
        (422, "not archived here", with(&drill, "grid", json!(other))),
        (422, "`command` wants", with(&drill, "command", json!(""))),
        (
            422,
            "not the record whose digest",
            json!({ "receipt": drill, "grid": "{}" }),
        ),
    ] {
        let reply = house.admin(OFFICER, "POST", RECEIPTS, &body.to_string()).await;
        let text = reply.text();
        assert!(
            reply.status() == status && text.contains(says),
            "{says}: {} {text}",
            reply.status()
        );
    }
    let book = house.stop().await;
    assert!(book.of_type(RECEIPT_V1).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grid_that_comes_with_its_receipt_is_archived() {
    let (_channel, house) = house().await;
    let record = json!({
        "channels": [], "labs": [{ "name": "lab-b" }], "models": [{ "lab": "lab-b", "name": "m2", "weights": "open" }],
        "pools": [], "settings": tieline_core::grid::Settings::default(), "t": "tieline/grid/v1",
    });
    let text = String::from_utf8(jcs::to_vec(&record).unwrap()).unwrap();
    let digest = sha256(text.as_bytes());
    let receipt = drill(&json!(digest.to_string()));
    let unread = text.replace("\"labs\"", "\"laboratories\"");
    let odd = drill(&json!(sha256(unread.as_bytes()).to_string()));
    for (status, body) in [
        (422, json!({ "receipt": odd, "grid": unread })),
        (200, json!({ "receipt": receipt, "grid": text })),
        // From here on the ledger has it.
        (200, json!({ "receipt": receipt })),
    ] {
        let reply = house.admin(AUDITOR, "POST", RECEIPTS, &body.to_string()).await;
        assert_eq!(reply.status(), status, "{}", reply.text());
    }
    let book = house.stop().await;
    assert_eq!(book.of_type(RECEIPT_V1).len(), 2);
    assert_eq!(book.blob(&digest), Some(text.into_bytes()));
}

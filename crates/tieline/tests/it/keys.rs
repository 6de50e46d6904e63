//! `tieline keys`, with a server and without.

use serde_json::Value;

use crate::folder::Folder;

#[test]
fn keys_of_a_running_server() {
    let mut folder = Folder::new();
    let server = folder.serve();
    folder.run(&["keys", "list"]);
    folder.run(&["keys", "add"]);
    let added = folder.json(&[
        "keys",
        "add",
        "--allow",
        "chat",
        "--requests-per-minute",
        "1",
        "--concurrency",
        "2",
    ]);
    let (id, key) = (added["id"].as_str().unwrap(), added["key"].as_str().unwrap());
    server.chat_with(key).must_be(200);
    server.chat_with(key).must_be(429);
    let other = folder.json(&["keys", "add", "--allow", "m1"]);
    server.chat_with(other["key"].as_str().unwrap()).must_be(403);
    let refused = folder.run(&["keys", "add", "--allow", "chat", "--allow", "m9"]);
    assert_eq!(refused.status.code(), Some(2), "a key for what no grid has");
    folder.run(&["keys", "revoke", id]);
    server.chat_with(key).must_be(401);
    folder.run(&["keys", "revoke", id]);
    folder.run(&["keys", "revoke", id, "--json"]);
    folder.run(&["keys", "revoke", "k_nothing"]);
    folder.run(&["keys", "add", "--party", "p_nobody"]);
    let list = folder.text(&["--dir", ".", "--json", "keys", "list"]);
    assert!(!list.contains("tl_"), "a list shows no secret");
    let rows: Vec<Value> = list
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let row = rows.iter().find(|row| row["id"] == id).unwrap();
    assert_eq!(row["scope"], serde_json::json!(["chat"]));
    assert!(row["revoked_us"].is_u64());
    assert_eq!(rows.iter().filter(|row| row["revoked_us"].is_null()).count(), 3);
    server.stop();
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    assert!(
        !ledger.contains(key) && !ledger.contains(key.strip_prefix("tl_").unwrap()),
        "the ledger holds no secret"
    );
    assert!(
        ledger.contains(r#""done":"key-revoke""#) && ledger.contains(id),
        "what is done to keys is recorded"
    );
    folder.check("keys_of_a_running_server");
}

#[test]
fn keys_of_a_stopped_server() {
    let mut folder = Folder::new();
    folder.serve().stop();
    folder.run(&["keys", "list"]);
    folder.run(&["keys", "add", "--allow", "chat", "--allow", "m1"]);
    let refused = folder.run(&["keys", "add", "--allow", "m9"]);
    assert_eq!(refused.status.code(), Some(2), "a key for what no grid has");
    let added = folder.json(&["keys", "add"]);
    let revoked = folder.json(&["keys", "add"]);
    folder.run(&["keys", "revoke", revoked["id"].as_str().unwrap()]);
    folder.run(&["keys", "revoke", revoked["id"].as_str().unwrap()]);
    folder.run(&["keys", "revoke", "k_nothing"]);
    folder.run(&["keys", "add", "--party", "p_nobody"]);
    let server = folder.serve();
    server.chat_with(added["key"].as_str().unwrap()).must_be(200);
    server.chat_with(revoked["key"].as_str().unwrap()).must_be(401);
    server.stop();
    folder.check("keys_of_a_stopped_server");
}

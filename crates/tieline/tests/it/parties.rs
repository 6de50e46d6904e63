//! `tieline party`, with a server and without.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::folder::Folder;

#[test]
fn facts_of_a_running_server() {
    let mut folder = Folder::demo();
    let server = folder.serve();
    let id = folder.first_party();
    server.chat_with(&server.key).must_be(403);
    let said = ["--evidence-kind", "registration", "--issuer", "HRB 1234"];
    let change = [
        &[
            "party",
            "change",
            &id,
            "--jurisdiction",
            "DE",
            "--class",
            "enterprise",
        ],
        &said[..],
    ]
    .concat();
    folder.run(&change);
    server.chat_with(&server.key).must_be(200);
    folder.run(&["party", "list"]);
    let shown = folder.json(&["party", "show", &id]);
    assert_eq!(shown["facts"]["jurisdiction"], "DE");
    assert_eq!(shown["evidence"][0]["issuer"], "HRB 1234");
    folder.run(&["party", "show", &id]);
    folder.run(&["party", "expire", &id, "jurisdiction", "--issuer", "nobody"]);
    folder.run(&["party", "expire", &id, "jurisdiction"]);
    server.chat_with(&server.key).must_be(403);
    folder.run(&["party", "change", &id, "--jurisdiction", "Germany"]);
    folder.run(&["party", "change", &id]);
    folder.run(&["party", "expire", &id, "shoe-size"]);
    folder.run(&["party", "add", "--id", &id, "--name", "Another"]);
    folder.run(&["party", "show", "p_nobody"]);
    let added = folder.json(&[
        "party",
        "add",
        "--name",
        "A Secret Name",
        "--kind",
        "unit",
        "--parent",
        &id,
        "--end-use",
        "-",
    ]);
    assert_eq!((&added["done"], &added["count"]), (&json!("added"), &json!(1)));
    server.stop();
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    assert!(ledger.contains(r#""done":"party-change""#) && ledger.contains(&id));
    assert!(!ledger.contains("A Secret Name"), "the ledger holds no name");
    folder.check("facts_of_a_running_server");
}

#[test]
fn facts_of_a_stopped_server() {
    let mut folder = Folder::demo();
    folder.serve().stop();
    let id = folder.first_party();
    folder.run(&[
        "party",
        "change",
        &id,
        "--jurisdiction",
        "DE",
        "--class",
        "enterprise",
        "--owner",
        "p_up:500",
    ]);
    folder.run(&[
        "party",
        "add",
        "--id",
        "p_up",
        "--name",
        "Above",
        "--listed",
        "us-ofac-sdn",
        "--json",
    ]);
    folder.run(&["party", "change", &id, "--listed", "-", "--parent", "p_none"]);
    folder.run(&["party", "change", &id, "--listed", "-"]);
    let shown = folder.json(&["party", "show", &id]);
    assert_eq!(
        shown["facts"]["listed"],
        json!(["us-bis-affiliate", "us-ofac-owned"]),
        "what follows from its owner"
    );
    folder.run(&["party", "expire", &id, "listed", "--json"]);
    let server = folder.serve();
    server.chat_with(&server.key).must_be(200);
    server.stop();
    folder.check("facts_of_a_stopped_server");
}

#[test]
fn an_import_is_whole_or_nothing() {
    let mut folder = Folder::demo();
    let server = folder.serve();
    let id = folder.first_party();
    let mut good = String::from("id,name,class,jurisdiction,evidence_kind,issuer\n");
    writeln!(good, "{id},The first,enterprise,DE,registration,registrar").unwrap();
    folder.write("good.csv", &good);
    folder.write(
        "bad.csv",
        &format!("{good}p_2,\"Two, quoted\",,Germany,registration,\np_3\n"),
    );
    let row = json!({ "name": "Three", "record": { "id": "p_3", "kind": "person", "parent": "p_9" } });
    folder.write("rows.jsonl", &format!("{row}\n"));
    folder.write(
        "rows.json",
        &json!([{ "name": "Nine", "record": { "id": "p_9", "kind": "unit" } }]).to_string(),
    );
    folder.write("rows.txt", "");
    for file in ["bad.csv", "rows.jsonl", "rows.txt", "none.csv"] {
        let refused = folder.run(&["party", "import", file]);
        assert_eq!(refused.status.code(), Some(2), "{file}");
    }
    server.chat_with(&server.key).must_be(403);
    folder.run(&["party", "import", "good.csv"]);
    server.chat_with(&server.key).must_be(200);
    folder.run(&["party", "import", "rows.json"]);
    server.stop();
    folder.run(&["party", "import", "bad.csv"]);
    folder.run(&["party", "import", "rows.jsonl", "--json"]);
    let list = folder.text(&["--dir", ".", "--json", "party", "list"]);
    let ids: Vec<Value> = list
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].take())
        .collect();
    assert_eq!(ids.len(), 3);
    folder.check("an_import_is_whole_or_nothing");
}

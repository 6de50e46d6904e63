//! Calls over real sockets, and what commands say of them afterwards.

use serde_json::Value;
use tieline_testkit::{Act, Gate, Script};

use crate::folder::{Folder, LIMIT};
use crate::http;

#[test]
fn from_a_call_to_its_proof() {
    let mut folder = Folder::new();
    let server = folder.serve();
    assert_eq!(http::get(&server.gateway, "/readyz").status, 200);
    let chat = server.chat().must_be(200);
    assert_eq!(chat.json()["object"], "chat.completion");
    let messages = server.messages().must_be(200);
    assert_eq!(messages.json()["type"], "message");
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (2, 0));
    folder.run(&["explain", "last"]);
    assert_eq!(folder.json(&["explain", "last"])["call"], messages.call());
    assert_eq!(
        folder.json(&["explain", &chat.call().to_uppercase()])["call"],
        chat.call()
    );
    folder.run(&["explain", chat.call()]);
    folder.run(&["explain", "01arz3ndektsv4rrffq69g5fav"]);
    folder.run(&["ledger", "tail"]);
    folder.run(&["ledger", "show", "2"]);
    folder.run(&["ledger", "show", "1..3"]);
    folder.run(&["ledger", "show", "99"]);
    folder.run(&["ledger", "verify"]);
    folder.run(&["ledger", "key"]);
    server.stop();
    folder.run(&["ledger", "tail", "-n", "3"]);
    folder.check("from_a_call_to_its_proof");
}

#[test]
fn rows_are_json_lines() {
    let folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    let rows = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    let rows: Vec<Value> = rows
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let types: Vec<&str> = rows
        .iter()
        .map(|row| row["entry"]["t"].as_str().unwrap())
        .collect();
    let kinds =
        ["activation", "start", "decision", "outcome", "stop"].map(|kind| format!("tieline/{kind}/v1"));
    assert_eq!(types, kinds);
    let indices: Vec<u64> = rows.iter().map(|row| row["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!(folder.json(&["ledger", "show", "2"])["entry"], rows[2]["entry"]);
}

#[test]
fn what_is_kept_elsewhere() {
    let mut folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    // Before it explains, it has the server write what it holds.
    folder.json(&["explain", "last"]);
    let verified = folder.json(&["ledger", "verify", "--deep"]);
    assert_eq!(
        (&verified["ok"], &verified["ledger"]["size"]),
        (&true.into(), &4.into())
    );
    assert!(
        verified["ledger"]["blobs"].as_u64() >= Some(3),
        "grid, pack and epoch: {verified}"
    );
    for args in [
        &["ledger", "key", "--json"][..],
        &["ledger", "export", "public"],
        &["ledger", "export", "public", "--json"],
        &["ledger", "backup", "copy.db"],
        &["ledger", "backup", "copy.db"],
        &["ledger", "backup", "second.db", "--json"],
        &["ledger", "backup", "no/such/folder/copy.db"],
        &["ledger", "export", "copy.db"],
    ] {
        folder.run(args);
    }
    let exported = folder.read("public/checkpoint");
    assert_eq!(exported.lines().nth(1), Some("4"));
    assert!(folder.at("public/tile/0/000.p/4").is_file());
    assert!(folder.at("public/tile/entries/000.p/4").is_file());
    server.chat().must_be(200);
    server.stop();
    // The ledger has grown: both that were kept are continued by it.
    let key = folder.text(&["--dir", ".", "ledger", "key"]);
    folder.run(&[
        "ledger",
        "verify",
        "--against",
        "copy.db.checkpoint",
        "--key",
        key.trim(),
    ]);
    folder.run(&["ledger", "verify", "--against", "public/checkpoint", "--json"]);
    folder.check("what_is_kept_elsewhere");
}

#[test]
fn a_folder_that_is_only_read_explains_as_well() {
    let folder = Folder::new();
    let server = folder.serve();
    let first = server.chat().must_be(200);
    server.chat().must_be(200);
    server.stop();
    let explained = |call: &str| folder.json(&["explain", call]);
    let (one, last) = (explained(first.call()), explained("last"));
    assert_ne!(one, last);
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(folder.at(name));
    }
    // Where a folder has the file's name nobody can write the file, whoever runs the tests.
    std::fs::create_dir(folder.at("index.db")).unwrap();
    assert_eq!((explained(first.call()), explained("last")), (one, last));
    let missing = folder.fails(&["explain", "01arz3ndektsv4rrffq69g5fav"]);
    assert!(missing.contains("the ledger has no call"), "{missing}");
}

#[test]
fn the_demo_pack_holds_a_party_without_facts() {
    let mut folder = Folder::new();
    folder.edit("tieline.toml", "packs/open", "packs/demo");
    let server = folder.serve();
    let held = server.chat().must_be(403);
    assert_eq!(held.json()["error"]["code"], "held", "{}", held.body);
    server.messages().must_be(403);
    assert_eq!(folder.left.seen_count() + folder.right.seen_count(), 0);
    let output = folder.run(&["explain", held.call()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("demo/jurisdiction-unknown") && said.contains("demo/agency-end-use"),
        "{said}"
    );
    for remedy in [
        "rule demo/agency-end-use: State the end use of the call",
        "rule demo/jurisdiction-unknown: Ask the compliance office",
    ] {
        assert_eq!(said.matches(remedy).count(), 1, "{said}");
    }
    folder.run(&["ledger", "tail", "-n", "4"]);
    folder.run(&["grid"]);
    folder.run(&["drill", "replay"]);
    server.stop();
    folder.check("the_demo_pack_holds");
}

#[test]
fn the_second_channel_takes_over() {
    let mut folder = Folder::with(Script::new().otherwise(Act::status(503)), Script::new());
    // Which of the two would be asked a third time is up to chance.
    folder.edit("tieline.toml", "[pool.chat]", "[pool.chat]\nattempts_max = 2");
    let server = folder.serve();
    let reply = server.chat().must_be(200);
    assert_eq!(reply.json()["object"], "chat.completion");
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (1, 1));
    folder.run(&["explain", "last"]);
    folder.right.set_default(Act::status(503));
    let failed = server.chat().must_be(502);
    assert_eq!(
        failed.header("x-tieline-error"),
        failed.json()["error"]["number"].as_str().unwrap()
    );
    folder.run(&["explain", "last"]);
    folder.run(&["explain", failed.header("x-tieline-error")]);
    server.stop();
    folder.check("the_second_channel_takes_over");
}

#[test]
fn a_call_in_flight_is_explained_and_one_cut_off_is_lost() {
    let gate = Gate::new();
    let held = Script::new().then(Act::auto().gate_before_head(&gate));
    let mut folder = Folder::with(held, Script::new());
    let server = folder.serve();
    std::thread::scope(|scope| {
        let (gateway, key) = (server.gateway.clone(), server.key.clone());
        let caller = scope.spawn(move || {
            let body = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}]}"#;
            let authorization = format!("Bearer {key}");
            // The server dies under this call: all there is to see is that it ends.
            let send = || {
                http::post(
                    &gateway,
                    "/v1/chat/completions",
                    &[("authorization", &authorization)],
                    body,
                )
            };
            let _ = std::panic::catch_unwind(send);
        });
        assert!(gate.wait_reached_blocking(1, LIMIT));
        folder.run(&["explain", "last"]);
        assert_eq!(folder.json(&["explain", "last"])["outcome"], Value::Null);
        server.kill();
        caller.join().unwrap();
    });
    folder
        .said
        .note("killed; nothing runs, though server.json is still there");
    assert!(folder.at("server.json").exists());
    folder.run(&["explain", "last"]);
    folder.run(&["ledger", "verify"]);
    folder.run(&["drill", "replay"]);
    let server = folder.serve();
    folder.said.note("started again");
    folder.run(&["explain", "last"]);
    server.chat().must_be(200);
    folder.run(&["drill", "replay"]);
    folder.run(&["drill", "replay", "--json"]);
    server.stop();
    folder.run(&["ledger", "verify"]);
    folder.check("in_flight_and_lost");
}

#[test]
fn a_budget_survives_a_kill_in_mid_call() {
    let gate = Gate::new();
    let held = Script::new().then(Act::auto().gate_before_head(&gate));
    let folder = Folder::with(held, Script::new());
    let body = |output: u32| {
        format!(r#"{{"model":"chat","max_tokens":{output},"messages":[{{"role":"user","content":"hi"}}]}}"#)
    };
    // Of three attempts two may be billed by the dearer: 1 + 2 × 3 USD for a million tokens of input, 2 + 2 × 6 for output.
    let bound = (body(1_000).len() as u64 + 1_024) * 7_000 + 1_000 * 14_000;
    let budget = 2 * bound - 1;
    let server = folder.serve();
    let usd = format!("{}.{:09}", budget / 1_000_000_000, budget % 1_000_000_000);
    let added = folder.json(&["keys", "add", "--budget-per-day", &usd]);
    let authorization = format!("Bearer {}", added["key"].as_str().unwrap());
    let chat = |gateway: &str, output: u32| {
        let headers = [("authorization", authorization.as_str())];
        http::post(gateway, "/v1/chat/completions", &headers, &body(output))
    };
    std::thread::scope(|scope| {
        let gateway = server.gateway.clone();
        // The server dies under this call: all there is to see is that it ends.
        let caller = scope.spawn(move || {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chat(&gateway, 1_000)));
        });
        assert!(gate.wait_reached_blocking(1, LIMIT));
        server.kill();
        caller.join().unwrap();
    });
    let server = folder.serve();
    let refused = chat(&server.gateway, 1_000).must_be(429);
    assert!(
        refused
            .body
            .contains("The key's budget of the day is used up until"),
        "{}",
        refused.body
    );
    // What is left is there to be used, also once what was reserved is settled.
    for _ in 0..3 {
        chat(&server.gateway, 1).must_be(200);
    }
    server.stop();
    let replayed = folder.text(&["--dir", ".", "drill", "replay"]);
    assert!(replayed.contains("all agree in every field"), "{replayed}");
}

#[test]
fn usage_adds_up_to_the_ledger() {
    let mut folder = Folder::new();
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.messages().must_be(200);
    let other = folder.json(&["keys", "add", "--allow", "m1"]);
    server.chat_with(other["key"].as_str().unwrap()).must_be(403);
    server.stop();
    let mut cost = 0;
    for row in folder
        .text(&["--dir", ".", "--json", "ledger", "show", "0.."])
        .lines()
    {
        let entry: Value = serde_json::from_str(row).unwrap();
        if let Some(nano) = entry["entry"]["cost_nano"].as_str() {
            cost += nano.parse::<u64>().unwrap();
        }
    }
    assert!(cost > 0);
    for by in ["party", "key", "model", "channel", "day"] {
        let report = folder.json(&["usage", "--by", by]);
        assert_eq!(report["total"]["cost_nano"], cost.to_string());
        let rows = report["rows"].as_array().unwrap();
        let sum: u64 = rows
            .iter()
            .map(|row| row["sum"]["cost_nano"].as_str().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!((sum, rows.len()), (cost, 1), "by {by}");
        assert_eq!(
            (&report["refused"], &report["total"]["calls"]),
            (&Value::from(1), &Value::from(4))
        );
    }
    folder.run(&["usage", "--by", "model", "--by", "channel"]);
    folder.run(&["usage", "--by", "model", "--by", "channel", "--csv"]);
    folder.run(&["usage", "--by", "model", "--to", "2001-01-01"]);
    folder.run(&["usage", "--from", "tomorrow"]);
    folder.check("usage");
}

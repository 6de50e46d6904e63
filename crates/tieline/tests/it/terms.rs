//! `tieline licence`, `statement` and `hold`, with a server and without.

use std::time::Instant;

use serde_json::json;
use tieline_gateway::{HoldRow, LegalRefusal, State};

use crate::folder::{Folder, LIMIT};

/// The one hold, once so many calls of it are written.
fn held(folder: &Folder, calls: u64) -> HoldRow {
    let until = Instant::now() + LIMIT;
    loop {
        let holds = State::read(folder.path()).unwrap().holds().unwrap();
        if let Some(hold) = holds.into_iter().find(|hold| hold.calls == calls) {
            return hold;
        }
        assert!(Instant::now() < until, "the hold is written");
        std::thread::yield_now();
    }
}

fn licence(party: &str) -> String {
    format!(
        "t = \"tieline/licence/v1\"\nid = \"annex-a-1\"\nkind = \"annex-a-clearance\"\nissuer = \"Counsel\"\n\
         authority = \"Company AI use policy, annex A\"\nconditions = [\"Reports once a month.\"]\n\
         valid_from = 2026-01-01\nquantity = {{ calls = 1 }}\nscope = {{ models = [\"m1\"] }}\n\
         [[parties]]\nid = \"{party}\"\nwith_members = true\n"
    )
}

/// The statement that `statement new` writes, for this party.
fn statement(folder: &mut Folder, party: &str) {
    folder.run(&["statement", "new", "s.toml"]);
    // Commands run in the folder.
    folder.edit("s.toml", "p_0123456789abcdef", party);
}

#[test]
fn holds_of_a_running_server() {
    let mut folder = Folder::demo();
    let server = folder.serve();
    server.chat_with(&server.key).must_be(403);
    let ticket = held(&folder, 1).ticket;
    folder.run(&["hold", "list"]);
    folder.run(&["hold", "dispose", &ticket, "--grant"]);
    folder.run(&[
        "hold",
        "dispose",
        &ticket,
        "--grant",
        "--reason",
        "Registration seen.",
    ]);
    server.chat_with(&server.key).must_be(200);
    folder.run(&["hold", "list", "--open"]);
    folder.run(&["hold", "dispose", &ticket, "--refuse", "--reason", "Withdrawn."]);
    folder.run(&[
        "hold",
        "dispose",
        &ticket,
        "--refuse",
        "--reason",
        "Withdrawn.",
        "--again",
    ]);
    server.chat_with(&server.key).must_be(403);
    held(&folder, 2);
    folder.run(&["hold", "show", &ticket, "--json"]);
    folder.run(&["hold", "show", "h_nothing"]);
    server.stop();
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    assert!(ledger.contains("tieline/disposition/v1") && ledger.contains(&ticket));
    assert!(!ledger.contains("Registration seen."));
    folder.check("holds_of_a_running_server");
}

#[test]
fn terms_of_a_running_server() {
    let mut folder = Folder::demo();
    let server = folder.serve();
    let id = folder.first_party();
    let said = ["--evidence-kind", "registration", "--issuer", "HRB 1234"];
    let facts = [
        "party",
        "change",
        &id,
        "--jurisdiction",
        "BY",
        "--class",
        "enterprise",
    ];
    folder.run(&[&facts[..], &said[..]].concat());
    folder.write("licence.toml", &licence(&id));
    folder.run(&["licence", "add", "licence.toml"]);
    server.chat_with(&server.key).must_be(200);
    server.chat_with(&server.key).must_be(403);
    let bad = licence(&id).replace("calls = 1", "calls = -1");
    folder.write("bad.toml", &bad.replace("scope =", "colour = 1\nscope ="));
    folder.run(&["licence", "add", "bad.toml"]);
    folder.run(&["licence", "add", "licence.toml", "--json"]);

    statement(&mut folder, &id);
    folder.run(&["directive", "key", "dean.key", "--name", "example.org/dean"]);
    folder.run(&[
        "statement",
        "sign",
        "s.toml",
        "--key",
        "dean.key",
        "--out",
        "s.signed",
    ]);
    folder.run(&["statement", "add", "s.signed"]);
    folder.run(&["statement", "add", "s.toml"]);
    folder.run(&["statement", "show", "example-end-use-2026"]);
    folder.run(&["statement", "revoke", "example-end-use-2026"]);
    folder.run(&["statement", "list"]);
    server.stop();
    folder.run(&["licence", "show", "annex-a-1"]);
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    for part in ["licence-add", "statement-revoke"] {
        assert!(ledger.contains(part), "{part}");
    }
    assert!(!ledger.contains("A. Dean"));
    folder.check("terms_of_a_running_server");
}

#[test]
fn holds_and_terms_of_a_stopped_server() {
    let mut folder = Folder::demo();
    folder.serve().stop();
    let id = folder.first_party();
    let hold = HoldRow {
        calls: 3,
        disposition: None,
        model: "m1".into(),
        opened_us: 1_781_284_860_000_000,
        party: id.clone(),
        refusal: None,
        rules: vec!["demo/agency-end-use".into(), "demo/jurisdiction-unknown".into()],
        ticket: "h_0123456789abcdef".into(),
    };
    State::open(folder.path()).unwrap().put_hold(&hold).unwrap();
    folder.run(&["hold", "show", "h_0123456789abcdef"]);
    let dispose = [
        "hold",
        "dispose",
        "h_0123456789abcdef",
        "--grant",
        "--reason",
        "Seen.",
    ];
    folder.run(&[&dispose[..], &["--until", "2026-06-12"]].concat());
    folder.run(&[&dispose[..], &["--json"]].concat());
    folder.run(&["hold", "list", "--json"]);
    folder.write("licence.toml", &licence("p_nobody"));
    folder.run(&["licence", "add", "licence.toml"]);
    folder.run(&["licence", "list", "--json"]);
    folder.run(&["licence", "revoke", "annex-a-1"]);
    folder.run(&["licence", "revoke", "annex-a-1", "--json"]);
    folder.run(&["licence", "list"]);
    statement(&mut folder, &id);
    folder.run(&["statement", "sign", "s.toml", "--key", "dean.key"]);
    let dean = folder.signing_key("dean");
    folder.trust("statements", &[dean], "");
    folder.run(&[
        "statement",
        "sign",
        "s.toml",
        "--key",
        "dean.key",
        "--out",
        "s.signed",
    ]);
    folder.run(&["statement", "add", "s.signed"]);
    folder.run(&["statement", "list"]);
    let shown = folder.json(&["statement", "show", "example-end-use-2026"]);
    assert_eq!(shown["statement"]["signers"], json!(["example.org/dean"]));
    assert_eq!(shown["statement"].get("recorded_by"), None);
    let server = folder.serve();
    server.chat_with(&server.key).must_be(200);
    server.stop();
    folder.check("holds_and_terms_of_a_stopped_server");
}

#[test]
fn a_legal_block_is_shown_and_ended() {
    let mut folder = Folder::demo();
    folder.serve().stop();
    let id = folder.first_party();
    let hold = HoldRow {
        calls: 1,
        disposition: None,
        model: "m1".into(),
        opened_us: 1_781_284_860_000_000,
        party: id.clone(),
        refusal: Some(LegalRefusal {
            at_us: 1_781_284_860_000_000,
            channel: "a".into(),
            status: Some(403),
        }),
        rules: vec!["default/legal-block".into()],
        ticket: "h_0123456789abcdef".into(),
    };
    State::open(folder.path()).unwrap().put_hold(&hold).unwrap();
    folder.run(&["hold", "show", "h_0123456789abcdef"]);
    folder.run(&["party", "show", &id]);
    let dispose = [
        "hold",
        "dispose",
        "h_0123456789abcdef",
        "--grant",
        "--reason",
        "Seen.",
    ];
    folder.run(&[&dispose[..], &["--until", "2026-12-31"]].concat());
    folder.run(&dispose);
    folder.run(&["party", "show", &id]);
    folder.check("a_legal_block_is_shown_and_ended");
}

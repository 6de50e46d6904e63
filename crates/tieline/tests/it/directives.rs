//! `tieline directive` and `tieline policy adopt`, with a server and without.

use serde_json::Value;

use crate::folder::Folder;
use crate::transcript::text;

/// The demo pack, an officer's key that is trusted and one that is not, and a letter that is filled in.
fn ready(signatures_min: u32) -> Folder {
    let mut folder = Folder::demo();
    let trusted = ["officer", "counsel"].map(|name| folder.signing_key(name));
    folder.signing_key("stranger");
    folder.trust(
        "orders",
        &trusted,
        &format!("signatures_min = {signatures_min}\n"),
    );
    folder.run(&["directive", "new", "letter.toml"]);
    folder.edit("letter.toml", "\"model-name\"", "\"m1\"");
    folder
}

/// The id of the party that `serve` made, which is put in Germany.
fn in_germany(folder: &mut Folder) -> String {
    let id = folder.first_party();
    let change = [
        "party",
        "change",
        &id,
        "--jurisdiction",
        "DE",
        "--class",
        "enterprise",
    ];
    assert!(folder.run(&change).status.success());
    id
}

/// Into the file `two`.
fn both_sign(folder: &mut Folder, file: &str) {
    folder.run(&["directive", "sign", file, "--key", "officer.key", "--out", "one"]);
    folder.run(&["directive", "sign", "one", "--key", "counsel.key", "--out", "two"]);
}

#[test]
fn a_letter_from_the_first_word_to_the_last() {
    let mut folder = ready(2);
    let server = folder.serve();
    in_germany(&mut folder);
    server.chat_with(&server.key).must_be(200);
    folder.run(&["directive", "list"]);
    folder.run(&["directive", "rehearse", "letter.toml"]);
    folder.run(&[
        "directive",
        "sign",
        "letter.toml",
        "--key",
        "officer.key",
        "--out",
        "one",
    ]);
    folder.run(&["directive", "verify", "one"]);
    folder.run(&["directive", "apply", "one"]);
    folder.run(&[
        "directive",
        "sign",
        "one",
        "--key",
        "officer.key",
        "--out",
        "twice",
    ]);
    folder.run(&[
        "directive",
        "sign",
        "one",
        "--key",
        "stranger.key",
        "--out",
        "strange",
    ]);
    folder.run(&["directive", "apply", "strange"]);
    folder.run(&["directive", "sign", "one", "--key", "counsel.key", "--out", "two"]);
    folder.run(&["directive", "verify", "two"]);
    server.chat_with(&server.key).must_be(200);
    let applied = folder.json(&["directive", "apply", "two"]);
    assert!(applied["took_us"].as_u64().unwrap() < 1_000_000, "{applied}");
    server.chat_with(&server.key).must_be(403);
    folder.run(&["explain", "last"]);
    folder.run(&["directive", "apply", "two"]);
    folder.run(&["directive", "amend", "two"]);
    folder.edit("letter.toml", "version = 1 ", "version = 2 ");
    folder.edit("letter.toml", "effect = \"deny\"", "effect = \"hold\"");
    both_sign(&mut folder, "letter.toml");
    assert!(folder.run(&["directive", "amend", "two"]).status.success());
    server.chat_with(&server.key).must_be(403);
    folder.run(&["directive", "new", "end.toml", "--revoke", "example-2026-1"]);
    folder.edit("end.toml", "version = 2 ", "version = 3 ");
    both_sign(&mut folder, "end.toml");
    folder.run(&["directive", "apply", "two"]);
    assert!(folder.run(&["directive", "revoke", "two"]).status.success());
    server.chat_with(&server.key).must_be(200);
    folder.run(&["directive", "list"]);
    folder.run(&["directive", "show", "example-2026-1@7"]);
    let shown = folder.json(&["directive", "show", "example-2026-1"]);
    assert_eq!(shown["version"], 2);
    assert!(shown["revoked_us"].is_u64(), "{shown}");
    server.stop();
    folder.run(&["ledger", "verify", "--deep"]);
    let replay: Value = folder.json(&["drill", "replay"]);
    assert_eq!(replay["agreed"], replay["calls"]);
    folder.check("directives");
}

#[test]
fn without_a_server_the_next_start_finds_it() {
    let mut folder = ready(1);
    let server = folder.serve();
    in_germany(&mut folder);
    server.stop();
    folder.run(&[
        "directive",
        "sign",
        "letter.toml",
        "--key",
        "officer.key",
        "--out",
        "one",
    ]);
    let letter = folder.read("letter.toml");
    let set = letter.replace(
        "principal.jurisdiction != Country::\"US\"",
        "principal.jurisdiction in CountryGroup::\"none/such\"",
    );
    assert_ne!(set, letter);
    folder.write("set.toml", &set);
    folder.run(&[
        "directive",
        "sign",
        "set.toml",
        "--key",
        "officer.key",
        "--out",
        "two",
    ]);
    folder.run(&["directive", "apply", "two"]);
    folder.run(&["directive", "apply", "one"]);
    folder.run(&["directive", "apply", "one"]);
    let server = folder.serve();
    server.chat_with(&server.key).must_be(403);
    server.stop();
    folder.run(&["directive", "new", "end.toml", "--revoke", "example-2026-1"]);
    folder.run(&[
        "directive",
        "sign",
        "end.toml",
        "--key",
        "officer.key",
        "--out",
        "one",
    ]);
    folder.run(&["directive", "revoke", "one"]);
    let server = folder.serve();
    server.chat_with(&server.key).must_be(200);
    server.stop();
    folder.check("directives_offline");
}

#[test]
fn what_is_wrong_with_a_letter_is_said_with_its_place() {
    let mut folder = ready(1);
    let good = folder.read("letter.toml");
    let mistakes: [(&str, &str); 6] = [
        ("Country::\"US\"", "Country::\"UK\""),
        ("principal has jurisdiction && ", ""),
        ("models = [\"m1\"]", "models = []"),
        ("effect = \"deny\"", "effect = \"allow\""),
        ("in_flight = \"finish\"", "in_flight = \"drain soon\""),
        ("id = \"example-2026-1\"", "id = \"../x\""),
    ];
    for ((from, to), number) in mistakes.into_iter().zip(1..) {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let file = format!("bad-{number}.toml");
        folder.write(&file, &bad);
        let output = folder.run(&["directive", "sign", &file, "--key", "officer.key"]);
        assert_eq!(output.status.code(), Some(2), "{to}");
        assert!(text(&output.stdout).is_empty(), "{to}");
    }
    folder.run(&["directive", "sign", "letter.toml", "--key", "tieline.toml"]);
    folder.run(&["directive", "key", "officer.key", "--name", "example.org/officer"]);
    folder.run(&["directive", "new", "letter.toml"]);
    folder.run(&["directive", "apply", "letter.toml"]);
    folder.check("directives_wrong");
}

#[test]
fn a_pack_enforces_once_it_is_adopted() {
    let mut folder = Folder::new();
    assert_eq!(folder.run(&["serve"]).status.code(), Some(2));
    folder.run(&[
        "policy",
        "adopt",
        "packs/none",
        "--officer",
        "A. Officer",
        "--entity",
        "Example GmbH",
    ]);
    let adopt = [
        "policy",
        "adopt",
        "packs/open",
        "--officer",
        "A. Officer",
        "--entity",
        "Example GmbH",
    ];
    folder.run(&adopt);
    folder.run(&adopt);
    let server = folder.start(&["--dir", ".", "serve", "--ready-file", "ready.json"]);
    server.chat_with(&server.key).must_be(200);
    let rules = folder.read("packs/open/rules.cedar");
    folder.write("packs/open/rules.cedar", &format!("{rules}\n// Another text.\n"));
    server.wait_said("another text of it was adopted", 1);
    server.chat_with(&server.key).must_be(200);
    folder.run(&adopt);
    server.stop();
    folder.check("adoption");
}

/// The letter was in force for one call of three, and for that one alone both sides of a comparison know it.
#[test]
fn past_calls_are_ruled_under_the_directives_of_their_time() {
    let mut folder = ready(1);
    let server = folder.serve();
    in_germany(&mut folder);
    server.chat_with(&server.key).must_be(200);
    let sign = [
        "directive",
        "sign",
        "letter.toml",
        "--key",
        "officer.key",
        "--out",
        "one",
    ];
    folder.run(&sign);
    assert!(folder.run(&["directive", "apply", "one"]).status.success());
    server.chat_with(&server.key).must_be(403);
    folder.run(&["directive", "new", "end.toml", "--revoke", "example-2026-1"]);
    folder.run(&[
        "directive",
        "sign",
        "end.toml",
        "--key",
        "officer.key",
        "--out",
        "end",
    ]);
    assert!(folder.run(&["directive", "revoke", "end"]).status.success());
    server.chat_with(&server.key).must_be(200);
    server.stop();
    let against =
        |new: &str| folder.json(&["policy", "diff", "then", new, "--against", "."])["calls"].clone();
    let same = against("tieline.toml");
    let counts =
        |calls: &Value| ["ruled", "differ", "not_reproduced", "unruled"].map(|name| calls[name].as_u64());
    assert_eq!(counts(&same), [Some(3), Some(0), Some(0), Some(0)], "{same:#}");
    folder.write(
        "packs/next/pack.toml",
        &folder
            .read("packs/demo/pack.toml")
            .replace("\"KP\"", "\"DE\", \"KP\""),
    );
    folder.write("packs/next/rules.cedar", &folder.read("packs/demo/rules.cedar"));
    folder.write(
        "next.toml",
        &folder.read("tieline.toml").replace("packs/demo", "packs/next"),
    );
    let next = against("next.toml");
    assert_eq!(counts(&next)[0], Some(3), "{next:#}");
    let groups = next["groups"].as_array().unwrap();
    let of = |ruling: &str| {
        let groups = groups.iter().filter(|group| group["from"]["ruling"] == ruling);
        groups.map(|group| group["calls"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((of("allow"), of("deny")), (2, 1), "{next:#}");
    let refused = groups
        .iter()
        .find(|group| group["from"]["ruling"] == "deny")
        .unwrap();
    for side in ["from", "to"] {
        let rules = refused[side]["rules"].as_array().unwrap();
        let names_letter = |rule: &Value| rule.as_str().unwrap().contains("example-2026-1");
        assert!(rules.iter().any(names_letter), "{refused:#}");
    }
}

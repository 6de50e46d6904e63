//! Receipts of drills: what a run leaves in the ledger, with a server and without, and what making it again finds.

use serde_json::Value;
use tieline_testkit::{Act, Auto, Script, Usage};

use crate::damage;
use crate::folder::{Folder, tieline};
use crate::transcript::text;

/// Usage that does not depend on how long ports and ids are.
fn counted() -> Script {
    let usage = Usage {
        cached: 0,
        input: 1_000,
        output: 500,
    };
    Script::new().otherwise(Act::from(Auto::default().usage(usage)))
}

/// The receipts in the ledger, as `drill receipts --json` prints them.
fn rows(folder: &Folder) -> Vec<Value> {
    let said = folder.text(&["--dir", ".", "--json", "drill", "receipts"]);
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Run a drill beside the transcript, which its result does not belong to; what it says beside that result.
#[track_caller]
fn drilled(folder: &Folder, args: &[&str]) -> String {
    let output = tieline()
        .current_dir(folder.path())
        .args(["--dir", ".", "drill"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[track_caller]
fn recorded(folder: &Folder, args: &[&str]) {
    let said = drilled(folder, args);
    assert!(said.starts_with("receipt "), "{said}");
}

#[track_caller]
fn checked(folder: &mut Folder, code: i32) {
    let output = folder.run(&["drill", "receipts", "--check", "last"]);
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_drill_is_made_again_from_its_receipt() {
    let mut folder = Folder::with(counted(), counted());
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
        server.messages().must_be(200);
    }
    folder.said.note("nothing yet");
    folder.run(&["drill", "receipts"]);
    folder.run(&["drill", "receipts", "last"]);
    folder.said.note("with a server");
    recorded(&folder, &["n-1"]);
    folder.run(&["drill", "receipts", "last"]);
    checked(&mut folder, 0);
    recorded(&folder, &["replay"]);
    folder.run(&["drill", "receipts", "last", "--json"]);
    server.chat().must_be(200);
    server.stop();
    folder
        .said
        .note("without one, and with one call more than was drilled");
    folder.run(&["drill", "receipts", "--check", "last", "--json"]);
    folder.run(&["drill", "receipts"]);
    assert_eq!(drilled(&folder, &["replay", "--no-receipt"]), "");
    assert_eq!(drilled(&folder, &["n-1", "--no-receipt"]), "");
    assert_eq!(rows(&folder).len(), 2);
    recorded(&folder, &["replay"]);
    recorded(&folder, &["n-1", "--json"]);
    let made = rows(&folder);
    let result = |ix: usize| made[ix]["receipt"]["result"].as_str().unwrap().to_owned();
    assert_ne!(result(0), result(3), "there is one call more than at the first");
    for row in &made {
        let checked = folder.json(&["drill", "receipts", "--check", row["id"].as_str().unwrap()]);
        assert_eq!(
            (&checked["same"], &checked["same_engine"]),
            (&true.into(), &true.into()),
            "{row}"
        );
        assert!(row["receipt"]["by"].as_str().unwrap().starts_with("a_"));
    }
    folder.run(&["drill", "receipts", "01hv3zq8x2r9k4n7w5t0c6m1ye"]);
    folder.run(&["ledger", "verify", "--deep"]);
    folder.check("receipts_of_drills");
}

#[test]
fn the_same_drill_has_the_same_bytes() {
    let folder = Folder::with(counted(), counted());
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    recorded(&folder, &["n-1"]);
    recorded(&folder, &["n-1"]);
    let made = rows(&folder);
    let body = |ix: usize| {
        let mut body = made[ix]["receipt"].clone();
        // The second one had the first's receipt to read.
        for part in ["ledger", "traffic"] {
            assert!(body.as_object_mut().unwrap().remove(part).is_some());
        }
        body.to_string()
    };
    assert_eq!(body(0), body(1));
}

#[test]
fn a_year_is_drawn_again_from_its_receipt() {
    let mut folder = Folder::with(counted(), counted());
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.stop();
    let args = [
        "year",
        "--runs",
        "30",
        "--seed",
        "9",
        "--common",
        "0.25",
        "--survivors",
        "0.5",
    ];
    recorded(&folder, &args);
    recorded(&folder, &["year", "--runs", "30", "--seed", "10"]);
    for row in &rows(&folder) {
        let checked = folder.json(&["drill", "receipts", "--check", row["id"].as_str().unwrap()]);
        assert_eq!(checked["same"], true, "{row}");
    }
    let made = rows(&folder);
    assert_eq!(made[0]["receipt"]["seed"], "9");
    assert_ne!(made[0]["receipt"]["result"], made[1]["receipt"]["result"]);
    folder.write(
        "priors.toml",
        "[channel]\nper_year = \"20\"\nminutes = 60\nsource = \"our own log\"\n",
    );
    recorded(&folder, &["year", "--runs", "30", "--priors", "priors.toml"]);
    folder.said.note("no ledger holds a file of priors");
    checked(&mut folder, 2);
    folder.check("receipts_of_years");
}

#[test]
fn a_drill_of_a_configuration_is_made_again_when_that_is_gone() {
    let mut folder = Folder::new();
    folder.serve().stop();
    let plan = folder
        .read("tieline.toml")
        .replace("[channels.right]", "[channels.other]");
    folder.write("plan.toml", &plan);
    recorded(&folder, &["n-1", "--config", "plan.toml"]);
    std::fs::remove_file(folder.at("plan.toml")).unwrap();
    folder.run(&["drill", "receipts", "last"]);
    checked(&mut folder, 0);
    folder.run(&["ledger", "verify", "--deep"]);
    folder
        .said
        .note("without calls, it rests on who may ask for what");
    recorded(&folder, &["n-1"]);
    let made = rows(&folder);
    assert_eq!(made[1]["receipt"]["traffic"]["basis"], "structure");
    assert_eq!(made[1]["receipt"]["policy"]["packs"].as_array().unwrap().len(), 1);
    checked(&mut folder, 0);
    folder.run(&["keys", "add", "--allow", "m1"]);
    checked(&mut folder, 2);
    folder.edit("tieline.toml", "[channels.right]", "[channels.other]");
    checked(&mut folder, 2);
    folder.check("receipts_of_configurations");
}

#[test]
fn a_result_that_is_another_is_a_finding() {
    let mut folder = Folder::with(counted(), counted());
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    recorded(&folder, &["n-1"]);
    folder.said.note("one digit of the receipt's result is another");
    let change = |digit: u8| if digit == b'0' { b'1' } else { b'0' };
    damage::change(&folder.at("ledger.db"), "\"result\":\"", change);
    checked(&mut folder, 1);
    folder.check("a_result_that_is_another");
}

#[test]
fn a_ledger_that_was_another_then_makes_nothing_again() {
    let mut folder = Folder::with(counted(), counted());
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    recorded(&folder, &["replay"]);
    folder
        .said
        .note("one digit of what it cites of the ledger is another");
    let change = |digit: u8| if digit == b'0' { b'1' } else { b'0' };
    damage::change(&folder.at("ledger.db"), "\"root\":\"", change);
    checked(&mut folder, 2);
    folder.said.note("it cites more than there is");
    damage::change(&folder.at("ledger.db"), "\"ledger\":{\"entries\":", |_| b'9');
    checked(&mut folder, 2);
    folder.check("a_ledger_that_was_another");
}

#[test]
fn a_folder_that_takes_no_receipt_is_a_note() {
    let mut folder = Folder::with(counted(), counted());
    assert_eq!(
        drilled(&folder, &["n-1"]),
        "no receipt: there is no ledger in .\n"
    );
    assert_eq!(folder.run(&["drill", "receipts"]).status.code(), Some(2));
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    folder.said.note("a ledger that nobody can sign here");
    std::fs::rename(folder.at("log.key"), folder.at("elsewhere.key")).unwrap();
    let said = drilled(&folder, &["replay"]);
    assert_eq!(said, "no receipt: there is no log.key to sign the ledger with\n");
    // A server has the folder, and no key of its is at hand.
    std::fs::rename(folder.at("elsewhere.key"), folder.at("log.key")).unwrap();
    let server = folder.serve();
    std::fs::remove_file(folder.at("admin.key")).unwrap();
    let said = drilled(&folder, &["replay"]);
    assert!(
        said.starts_with("no receipt: cannot read the admin key"),
        "{said}"
    );
    server.stop();
    // Nobody's key, and nobody's name.
    recorded(&folder, &["replay", "--json"]);
    let made = rows(&folder);
    assert_eq!((made.len(), made[0]["receipt"].get("by")), (1, None));
    folder.run(&["ledger", "verify"]);
    folder.check("folders_without_receipts");
}

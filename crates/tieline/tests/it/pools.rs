//! `tieline pool`: cases against the models of a pool, over a real gateway and scripted channels.

use serde_json::Value;
use tieline_testkit::{Act, Auto, Channel, Script, Seen, ToolCall, canned, fixtures};

use crate::folder::{Folder, tieline};
use crate::transcript::text;

/// What no report and no ledger may have: it stands in every prompt, and in every answer.
const ASKED: &str = "quagga-4711";
const SAID: &str = "xylocarp-7431";

/// `m1` is the pool's first model, on the channel `left`; `m2` on the channel `right`, in the other dialect; `referee` is
/// in no pool.
fn grid(left: &Channel, right: &Channel) -> String {
    format!(
        r#"[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[labs.acme]

[models.m1]
lab = "acme"
weights = "closed"
context = 200000
modalities = ["text", "images"]
tools = true

[models.m2]
lab = "acme"
weights = "open"
context = 8192
modalities = ["text"]
licence = "apache-2.0"

[models.referee]
lab = "acme"

[pool.chat]
models = ["m1", "m2"]

[pool.small]
models = ["m2"]

[policy]
packs = ["packs/open"]
enforce = ["company"]

[channels.left]
provider = "openai_compatible"
url = "{}"
models = {{ m1 = {{ name = "left-m1" }}, referee = {{ name = "left-referee" }} }}

[channels.right]
provider = "anthropic_compatible"
url = "{}"
models = {{ m2 = {{ name = "right-m2" }} }}
"#,
        left.url(),
        right.url()
    )
}

const CASES: &str = r#"pool = "chat"

[[case]]
name = "words"
prompt = "quagga-4711: words"
expect.text = { contains = ["alpha"], regex = '(?i)omega' }

[[case]]
name = "exact"
prompt = "quagga-4711: exact"
expect.text.equals = "xylocarp-7431"

[[case]]
name = "json"
prompt = "quagga-4711: json"
expect.json_schema.schema = { type = "object", required = ["total"], properties = { total = { type = "integer" } } }

[[case]]
name = "tool"
prompt = "quagga-4711: tool"
tools = [{ name = "get_weather" }]
expect.tool = { name = "get_weather", arguments = { city = "Paris" } }

[[case]]
name = "judged"
prompt = "quagga-4711: judged"
expect.judge = { model = "referee", rubric = "It is right." }
"#;

/// What is asked about: the word behind the last `quagga-4711: `.
fn topic(seen: &Seen) -> String {
    let body = text(&seen.body);
    let topic = body.rsplit("quagga-4711: ").next().unwrap();
    topic.chars().take_while(char::is_ascii_lowercase).collect()
}

fn weather(city: &str) -> Auto {
    let call = ToolCall {
        arguments: vec![format!(r#"{{"city":"{city}","note":"{SAID}"}}"#)],
        id: "call_1".to_owned(),
        name: "get_weather".to_owned(),
    };
    Auto::saying("").tool_call(call)
}

/// A channel that does well by every case.
fn able(seen: &Seen) -> Act {
    let model = seen.json().unwrap()["model"].clone();
    if model == "left-referee" {
        // The answer to be judged comes as data.
        let passes = text(&seen.body).contains("xylocarp-7431 is right");
        return Auto::saying(if passes { "PASS" } else { "**FAIL**" }).into();
    }
    match topic(seen).as_str() {
        "words" => Auto::saying("alpha, xylocarp-7431, Omega").into(),
        "exact" => Auto::saying(" xylocarp-7431\n").into(),
        "json" => Auto::saying(r#"{"total":12,"of":"xylocarp-7431"}"#).into(),
        "tool" => weather("Paris").into(),
        _ => Auto::saying("xylocarp-7431 is right").into(),
    }
}

/// A channel that fails each case in its own way.
fn unable(seen: &Seen) -> Act {
    match topic(seen).as_str() {
        "words" => Auto::saying("beta, xylocarp-7431").into(),
        "exact" => Auto::saying("It is xylocarp-7431").into(),
        "json" => Auto::saying(r#"{"total":"xylocarp-7431"}"#).into(),
        "tool" => weather("London").into(),
        _ => Auto::saying("xylocarp-7431 is wrong").into(),
    }
}

fn house(left: fn(&Seen) -> Act, right: fn(&Seen) -> Act) -> Folder {
    let script = |act: fn(&Seen) -> Act| Script::new().otherwise(Act::from_call(act));
    let folder = Folder::with(script(left), script(right));
    folder.write("tieline.toml", &grid(&folder.left, &folder.right));
    folder.write("cases.toml", CASES);
    folder
}

/// Nothing that was asked or said is in the ledger, nor in what commands printed.
#[track_caller]
fn is_discreet(folder: &Folder, printed: &str) {
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    assert!(ledger.contains("tieline/receipt/v1") || printed.is_empty());
    for secret in [ASKED, SAID] {
        assert!(!ledger.contains(secret) && !printed.contains(secret), "{secret}");
    }
}

fn tested(folder: &Folder, args: &[&str]) -> (Option<i32>, Value, String) {
    let all = ["--dir", ".", "pool", "test", "--json", "--cases", "cases.toml"];
    let output = tieline()
        .current_dir(folder.path())
        .args(all)
        .args(args)
        .output()
        .unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    crate::schema::check(args, &out);
    (output.status.code(), report, out + &err)
}

#[test]
fn models_that_meet_every_case_have_passing_receipts() {
    let mut folder = house(able, able);
    let server = folder.serve();
    folder.run(&["pool", "list"]);
    assert_eq!(
        folder
            .run(&["pool", "test", "--cases", "cases.toml"])
            .status
            .code(),
        Some(0)
    );
    folder.run(&["pool", "list"]);
    folder.run(&["pool", "list", "chat", "--json"]);
    folder.run(&["pool", "list", "chart"]);
    folder.run(&["drill", "receipts"]);
    folder.run(&["drill", "receipts", "last"]);
    folder.run(&["drill", "receipts", "--check", "last"]);
    server.stop();
    is_discreet(&folder, "");
    folder.run(&["ledger", "verify", "--deep"]);
    folder.check("pool_tests_that_pass");
}

#[test]
fn each_expectation_fails_in_its_own_words() {
    let mut folder = house(able, unable);
    let server = folder.serve();
    let output = folder.run(&["pool", "test", "--cases", "cases.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let (code, report, printed) = tested(&folder, &["--model", "m2", "--concurrency", "1"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        report["held_against"], "m1",
        "the pool's first, also where it is not tested"
    );
    let m2 = &report["models"][0];
    assert_eq!(
        (&m2["passed"], &m2["failed"], &m2["unanswered"]),
        (&0.into(), &5.into(), &0.into())
    );
    assert!(
        m2["receipt"].is_string(),
        "a model that fails has a receipt that says so"
    );
    assert_eq!(m2["channels"], serde_json::json!(["right"]));
    is_discreet(
        &folder,
        &(printed + &text(&output.stdout) + &text(&output.stderr)),
    );
    folder.run(&["pool", "list", "chat"]);
    folder.run(&["drill", "receipts", "last"]);
    folder.said.note("mended: the newest receipt counts");
    folder.right.set_default(Act::from_call(able));
    assert_eq!(tested(&folder, &["--model", "m2"]).0, Some(0));
    folder.run(&["pool", "list", "chat"]);
    server.stop();
    folder.check("pool_tests_that_fail");
}

#[test]
fn what_was_not_answered_has_no_receipt() {
    let mut folder = house(able, |_| canned::ANTHROPIC_OVERLOADED.act());
    let server = folder.serve();
    let (code, report, _) = tested(&folder, &[]);
    assert_eq!(code, Some(1));
    let [m1, m2] = [&report["models"][0], &report["models"][1]];
    assert_eq!((&m1["ok"], &m2["ok"]), (&true.into(), &false.into()));
    assert!(m1["receipt"].is_string() && m2["receipt"].is_null());
    assert_eq!(m2["unanswered"], 5);
    for case in m2["cases"].as_array().unwrap() {
        assert_eq!(case["verdict"], "none");
        assert!(case["why"].as_str().unwrap().starts_with("TL5"), "{case}");
    }
    folder
        .said
        .note("a channel that refuses the request itself: the model fails");
    folder.right.set_default(canned::ANTHROPIC_INVALID_REQUEST.act());
    let output = folder.run(&["pool", "test", "--cases", "cases.toml", "--pool", "small"]);
    assert_eq!(output.status.code(), Some(1));
    folder
        .said
        .note("a judge that says neither of its words: nobody judged");
    let mumble = |seen: &Seen| match seen.json().unwrap()["model"].as_str() {
        Some("left-referee") => Auto::saying("It depends.").into(),
        _ => able(seen),
    };
    folder.left.set_default(Act::from_call(mumble));
    let output = folder.run(&["pool", "test", "--cases", "cases.toml", "--model", "m1"]);
    assert_eq!(output.status.code(), Some(1));
    server.stop();
    folder.check("pool_tests_without_answers");
}

#[test]
fn what_a_test_needs_is_said() {
    let mut folder = house(able, able);
    let test = ["pool", "test", "--cases", "cases.toml"];
    folder.said.note("no server");
    assert_eq!(folder.run(&test).status.code(), Some(2));
    let server = folder.serve();
    for more in [
        &["--pool", "none"][..],
        &["--model", "referee"],
        &["--key-file", "none.key"],
        &["--url", "ftp://127.0.0.1"],
        &["--concurrency", "0"],
    ] {
        assert_eq!(
            folder.run(&[&test[..], more].concat()).status.code(),
            Some(2),
            "{more:?}"
        );
    }
    folder.said.note("a key that may ask for pools alone");
    let key = folder.json(&["keys", "add", "--allow", "chat"]);
    folder.write("pools.key", key["key"].as_str().unwrap());
    assert_eq!(
        folder
            .run(&[&test[..], &["--key-file", "pools.key"]].concat())
            .status
            .code(),
        Some(2)
    );
    folder.said.note("a pool and a judge that the grid does not have");
    folder.edit("cases.toml", "pool = \"chat\"", "pool = \"chta\"");
    assert_eq!(folder.run(&test).status.code(), Some(2));
    folder.edit("cases.toml", "model = \"referee\"", "model = \"refree\"");
    folder.edit("cases.toml", "pool = \"chta\"\n", "");
    assert_eq!(folder.run(&test).status.code(), Some(2));
    assert_eq!(
        folder
            .run(&[&test[..], &["--pool", "chat"]].concat())
            .status
            .code(),
        Some(2)
    );
    folder.said.note("a file with a mistake");
    folder.edit("cases.toml", "contains = [\"alpha\"]", "contains = \"alpha\"");
    assert_eq!(folder.run(&test).status.code(), Some(2));
    let (left, right) = (folder.left.seen_count(), folder.right.seen_count());
    assert_eq!((left, right), (0, 0), "nothing was asked");
    server.stop();
    folder.check("pool_tests_that_cannot_begin");
}

#[test]
fn a_model_asked_for_alone_and_no_receipt_wanted() {
    let folder = house(able, able);
    let server = folder.serve();
    let (code, report, _) = tested(&folder, &["--model", "m2", "--no-receipt"]);
    assert_eq!((code, &report["ok"]), (Some(0), &true.into()));
    assert_eq!(report["models"].as_array().unwrap().len(), 1);
    assert!(report["models"][0]["receipt"].is_null());
    // Its own model by its own name, and no other; the judge aside.
    let asked = |channel: &Channel| -> Vec<Value> {
        let seen = channel.seen();
        let mut models: Vec<Value> = seen
            .iter()
            .map(|seen| seen.json().unwrap()["model"].clone())
            .collect();
        models.sort_by_key(ToString::to_string);
        models.dedup();
        models
    };
    assert_eq!(
        (asked(&folder.left), asked(&folder.right)),
        (vec!["left-referee".into()], vec!["right-m2".into()])
    );
    server.stop();
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    assert!(!ledger.contains("tieline/receipt/v1"));
}

/// Calls that the loss of the channel `left` moves to another model, and how many of them count as degraded.
#[track_caller]
fn moved_and_degraded(folder: &Folder) -> (u64, u64) {
    let report = folder.json(&["drill", "n-1", "--no-receipt"]);
    let all = report["contingencies"].as_array().unwrap();
    let is_of_left = |row: &&Value| row["channels_out"] == serde_json::json!(["left"]);
    let lost = all
        .iter()
        .find(is_of_left)
        .unwrap_or_else(|| panic!("{report:#}"));
    let tally = &lost["consequence"]["tally"];
    (
        tally["moved"].as_u64().unwrap(),
        tally["degraded"].as_u64().unwrap(),
    )
}

#[test]
fn a_drill_believes_the_receipts_of_what_is_still_the_same() {
    let folder = house(able, able);
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    assert_eq!(moved_and_degraded(&folder), (0, 3), "never tested");
    folder.right.set_default(Act::from_call(unable));
    assert_eq!(tested(&folder, &["--model", "m2"]).0, Some(1));
    assert_eq!(moved_and_degraded(&folder), (0, 3), "tested, and failed");
    folder.right.set_default(Act::from_call(able));
    assert_eq!(tested(&folder, &["--model", "m2", "--pool", "small"]).0, Some(0));
    assert_eq!(moved_and_degraded(&folder), (0, 3), "passed in another pool");
    assert_eq!(tested(&folder, &["--model", "m2"]).0, Some(0));
    assert_eq!(moved_and_degraded(&folder), (3, 0), "passed");
    server.stop();
    let listed = |text: &str| {
        folder
            .text(&["--dir", ".", "pool", "list", "chat"])
            .contains(text)
    };
    assert!(listed("passes 5 of 5"));
    folder.edit("tieline.toml", "right-m2", "right-m2-turbo");
    assert_eq!(
        moved_and_degraded(&folder),
        (0, 3),
        "another model by the same name"
    );
    assert!(listed("OUTDATED 5 of 5"));
    folder.edit("tieline.toml", "right-m2-turbo", "right-m2");
    folder.edit("tieline.toml", "context = 8192", "context = 4096");
    assert_eq!(moved_and_degraded(&folder), (0, 3), "stated otherwise");
    folder.edit("tieline.toml", "context = 4096", "context = 8192");
    assert_eq!(moved_and_degraded(&folder), (3, 0), "as it was tested");
}

/// The receipts in a ledger.
fn receipts(folder: &Folder) -> usize {
    let ledger = folder.text(&["--dir", ".", "--json", "ledger", "show", "0.."]);
    ledger.matches("tieline/receipt/v1").count()
}

#[test]
fn a_test_that_is_interrupted_records_nothing() {
    let folder = house(able, |_| Act::silent());
    let server = folder.serve();
    let mut test = tieline()
        .current_dir(folder.path())
        .args(["--dir", ".", "pool", "test", "--cases", "cases.toml"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    folder
        .right
        .wait_seen_blocking(1, std::time::Duration::from_secs(20))
        .unwrap();
    test.kill().unwrap();
    test.wait().unwrap();
    server.stop();
    assert_eq!(receipts(&folder), 0);
}

#[test]
fn a_model_that_never_answers_ends_within_the_limit() {
    let folder = house(able, |_| Act::silent());
    let server = folder.serve();
    let (code, report, _) = tested(&folder, &["--model", "m2", "--timeout", "1"]);
    assert_eq!(
        (code, &report["models"][0]["unanswered"]),
        (Some(1), &5.into()),
        "{report:#}"
    );
    server.stop();
    assert_eq!(receipts(&folder), 0);
}

#[test]
fn a_gateway_that_says_when_is_asked_again() {
    let folder = house(able, able);
    let server = folder.serve();
    let key = folder.json(&["keys", "add", "--requests-per-minute", "60"]);
    folder.write("slow.key", key["key"].as_str().unwrap());
    // A key with room for one call a second: the calls of five cases wait their turn.
    let (code, report, _) = tested(
        &folder,
        &["--pool", "small", "--key-file", "slow.key", "--concurrency", "1"],
    );
    assert_eq!((code, &report["ok"]), (Some(0), &true.into()), "{report:#}");
    server.stop();
}

/// The gateway's certificates of tests, which are for `localhost`.
fn certificates() -> std::path::PathBuf {
    fixtures::workspace_dir().join("crates/tieline-gateway/tests/it/data")
}

#[test]
fn a_gateway_that_speaks_tls_is_asked_by_the_name_of_its_certificate() {
    let folder = house(able, able);
    let at = |name: &str| certificates().join(name).display().to_string();
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        at("server.pem"),
        at("server.key.pem")
    );
    folder.edit("tieline.toml", "[labs.acme]", &format!("{tls}\n[labs.acme]"));
    let server = folder.serve();
    assert!(
        server.gateway.starts_with("https://127.0.0.1:"),
        "{}",
        server.gateway
    );
    let (code, report, _) = tested(&folder, &["--model", "m1", "--timeout", "20"]);
    assert_eq!(code, Some(1));
    let why = report["models"][0]["cases"][0]["why"].as_str().unwrap();
    assert!(why.contains("certificate"), "{why}");
    let url = server.gateway.replace("127.0.0.1", "localhost");
    let ca = at("authority.pem");
    let (code, report, _) = tested(&folder, &["--model", "m1", "--url", &url, "--ca", &ca]);
    assert_eq!((code, &report["ok"]), (Some(0), &true.into()), "{report:#}");
    server.stop();
}

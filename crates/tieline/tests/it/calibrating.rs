//! The gate before every rehearsal of recorded calls: what does not predict itself is not published.

use std::time::Duration;

use tieline_testkit::Act;

use crate::folder::{Folder, Server};

/// Calls of each half: enough to be judged.
const HALF: usize = 220;

/// Calls at a time: below what would make the channel seem full.
const AT_ONCE: usize = 4;

/// So many calls of the pool, a few at a time.
fn chat(server: &Server, calls: usize) {
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                for _ in 0..calls / AT_ONCE {
                    server.chat().must_be(200);
                }
            });
        }
    });
}

/// Nothing comes out, and why is said; or all of it, and every report says so.
#[track_caller]
fn refused_unless_asked(folder: &mut Folder, args: &[&str]) {
    let refused = folder.run(args);
    assert_eq!(refused.status.code(), Some(1), "{args:?}");
    assert!(refused.stdout.is_empty(), "{args:?}");
    let says = String::from_utf8(refused.stderr).unwrap();
    for said in [
        "do not predict themselves",
        "p50 of the time to first content",
        "tieline drill replay",
        "--uncalibrated",
    ] {
        assert!(says.contains(said), "{args:?}: {says}");
    }
    let asked = folder.run(&[args, &["--uncalibrated"]].concat());
    let (says, warns) = (String::from_utf8(asked.stdout).unwrap(), asked.stderr);
    assert!(
        asked.status.code() != Some(2),
        "{args:?}: {}",
        String::from_utf8_lossy(&warns)
    );
    let says = says.replace('\n', " ");
    assert!(says.contains("UNCALIBRATED: it is not so"), "{args:?}: {says}");
}

#[test]
fn nothing_is_published_of_calls_that_do_not_predict_themselves() {
    let mut folder = Folder::new();
    folder.edit(
        "tieline.toml",
        "models = [\"m1\"]",
        "models = [\"m1\"]\nchoice = \"in_order\"",
    );
    folder.write("offers.toml", OFFERS);
    folder.text(&["directive", "new", "letter.toml"]);
    folder.edit("letter.toml", "\"model-name\"", "\"m1\"");
    let server = folder.serve();
    chat(&server, HALF);
    // From here on every answer is late.
    folder
        .left
        .set_default(Act::auto().wait_before_head(Duration::from_millis(40)));
    chat(&server, HALF);
    server.stop();
    let report = folder.run(&["drill", "replay", "--json"]);
    assert_eq!(report.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let calibration = &report["calibration"];
    assert_eq!(calibration["verdict"], "missed", "{calibration}");
    assert_eq!(calibration["decisions"]["verdict"], "passed", "{calibration}");
    assert_eq!(calibration["cost"]["off"], 0, "{calibration}");
    assert_eq!(
        calibration["ttft"][0]["p50"]["verdict"], "missed",
        "{calibration}"
    );
    assert_eq!(
        (&report["differ"], &report["agreed"]),
        (&0.into(), &(2 * HALF).into())
    );
    let text = String::from_utf8(folder.run(&["drill", "replay", "--no-receipt"]).stdout).unwrap();
    assert!(
        text.starts_with("Calibration: missed\n"),
        "it is printed first: {text}"
    );
    for args in [
        &["drill", "n-1"][..],
        &["drill", "n-2"],
        &["drill", "year", "--runs", "2"],
        &["drill", "scenario", "price-times-3"],
        &["drill", "directive", "letter.toml"],
        &["drill", "plan", "--catalogue", "offers.toml"],
    ] {
        refused_unless_asked(&mut folder, args);
    }
    folder.run(&["drill", "n-1", "--uncalibrated"]);
    let receipt = folder.json(&["drill", "receipts", "last"]);
    assert_eq!(receipt["receipt"]["arguments"]["uncalibrated"], "true");
    assert_eq!(
        folder.json(&["drill", "receipts", "--check", "last"])["same"],
        true
    );
    // What rests on no recorded call needs no calibration, and a law is no what-if.
    for args in [
        &["drill", "n-1", "--config", "tieline.toml"][..],
        &["drill", "fit"],
    ] {
        assert_eq!(folder.run(args).status.code(), Some(0), "{args:?}");
    }
}

const OFFERS: &str = r#"
[offers.more]
cost_per_month = "1.00"
lead_days = 1
source = "made up"
date = "2026-11-20"
[offers.more.channel]
provider = "openai-compatible"
components = ["cloud:west"]
models = { m1 = { price = "list" } }
"#;

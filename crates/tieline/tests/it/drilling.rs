//! `tieline drill` and `tieline grid`, on recorded calls and on a configuration alone.

use serde_json::Value;
use tieline_testkit::{Act, Auto, Script, Usage, fixtures};

use crate::damage;
use crate::folder::{Folder, empty, run};
use crate::transcript::{Transcript, text};

/// Usage that does not depend on how long ports and ids are.
fn counted() -> Script {
    let usage = Usage {
        cached: 0,
        input: 1_000,
        output: 500,
    };
    Script::new().otherwise(Act::from(Auto::default().usage(usage)))
}

#[test]
fn on_recorded_calls() {
    let mut folder = Folder::with(counted(), counted());
    folder.said.note("before any server: a configuration alone");
    folder.run(&["grid"]);
    folder.run(&["drill", "n-1"]);
    let server = folder.serve();
    folder.said.note("a server without calls");
    folder.run(&["drill", "replay"]);
    folder.run(&["explain", "last"]);
    for _ in 0..3 {
        server.chat().must_be(200);
        server.messages().must_be(200);
    }
    folder.said.note("six calls");
    for args in [
        &["drill", "replay"][..],
        &["drill", "replay", "--json"],
        &["drill", "n-1"],
        &["drill", "n-1", "--json"],
        &["grid"],
        &["grid", "--json"],
    ] {
        assert_eq!(folder.run(args).status.code(), Some(0), "{args:?}");
    }
    server.stop();
    folder.said.note("stopped: the same");
    folder.run(&["drill", "replay"]);
    folder.said.note("how it is gone, and what the rest is worth");
    folder.run(&["drill", "n-1", "--how", "cut", "--survivors", "0.5"]);
    assert_eq!(
        folder.run(&["drill", "n-1", "--survivors", "1.5"]).status.code(),
        Some(2)
    );
    folder.check("drills");
}

#[test]
fn a_bar_that_is_missed_is_a_finding() {
    let mut folder = Folder::with(counted(), counted());
    let bars = "[bars.n_1]\nlost_permille_max = 1000\ncritical_parties_lost_max = 1\n\n[policy]";
    folder.edit("tieline.toml", "[policy]", bars);
    assert_eq!(folder.run(&["drill", "n-1"]).status.code(), Some(0));
    folder.edit(
        "tieline.toml",
        "lost_permille_max = 1000",
        "lost_permille_max = 0",
    );
    folder.edit(
        "tieline.toml",
        "critical_parties_lost_max = 1",
        "critical_parties_lost_max = 0",
    );
    assert_eq!(folder.run(&["drill", "n-1"]).status.code(), Some(1));
    let output = folder.run(&["drill", "n-1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let missed = report["bars_missed"].as_array().unwrap();
    assert_eq!(missed[0]["bar"], "critical_parties_lost_max");
    assert_eq!(missed.last().unwrap()["bar"], "lost_permille_max");
    folder.edit(
        "tieline.toml",
        "lost_permille_max = 0",
        "lost_permille_max = 1001",
    );
    assert_eq!(folder.run(&["drill", "n-1"]).status.code(), Some(2));
    folder.check("bars");
}

#[test]
fn the_drill_is_measured() {
    let (dir, mut said) = (empty(), Transcript::default());
    for args in [
        &["drill", "bench", "--calls", "300", "--n-1", "--json"][..],
        &["drill", "bench", "--calls", "300"],
    ] {
        let output = run(&mut said, dir.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
    for refused in [["--calls", "0"], ["--memory", "0"], ["--structure", "0"]] {
        let args = [&["drill", "bench"][..], &refused].concat();
        assert_eq!(
            run(&mut said, dir.path(), &args).status.code(),
            Some(2),
            "{args:?}"
        );
    }
}

#[test]
fn everything_that_has_a_bar_is_measured() {
    let (dir, mut said) = (empty(), Transcript::default());
    let args = "drill bench --calls 40 --n-1 --n-2 --structure 3 --memory 500";
    let args: Vec<&str> = args.split(' ').collect();
    let output = run(&mut said, dir.path(), &[&args[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["n_2"]["pairs"], 40 * 39 / 2);
    assert_eq!(report["structure"]["components"], 256);
    assert_eq!(report["structure"]["parties"], 3);
    assert_eq!(report["memory"]["calls"], 500);
    let peak = report["memory"]["peak_bytes"].as_u64();
    assert_eq!(peak.is_some(), cfg!(target_os = "linux"));
    assert!(peak.is_none_or(|peak| peak > 1 << 20), "{peak:?}");
    let output = run(&mut said, dir.path(), &args);
    let said = text(&output.stdout);
    // Each figure comes with its bar.
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(said.lines().all(|line| line.contains("(bar")), "{said}");
}

#[test]
fn on_a_configuration_alone() {
    let (dir, mut said) = (empty(), Transcript::default());
    std::fs::copy(
        fixtures::workspace_dir().join("examples/public-grid.toml"),
        dir.path().join("public-grid.toml"),
    )
    .unwrap();
    for args in [
        &["check", "public-grid.toml", "--json"][..],
        &["grid", "--config", "public-grid.toml"],
        &["grid", "--config", "public-grid.toml", "--json"],
        &["grid", "versions", "--config", "public-grid.toml"],
        &["grid", "versions", "--config", "public-grid.toml", "--json"],
        &["drill", "n-1", "--config", "public-grid.toml", "--json"],
        &["drill", "n-2", "--config", "public-grid.toml", "--json"],
    ] {
        let mut beside = Transcript::default();
        // The figures of the example change with the example; that it runs and keeps its schemas does not.
        let code = run(&mut beside, dir.path(), args).status.code();
        assert_eq!(code, Some(0), "{args:?}");
    }
    run(&mut said, dir.path(), &["grid", "--config", "nothing.toml"]);
    run(
        &mut said,
        dir.path(),
        &["drill", "n-1", "--config", "nothing.toml"],
    );
    said.check("drills_without_a_configuration", dir.path());
}

/// What can be bought for the folder's grid.
pub(crate) const OFFERS: &str = r#"
[components."cloud:third"]
needs = []

[offers.third]
cost_per_month = "120.00"
lead_days = 7
source = "a test"
date = "2026-11-20"
[offers.third.channel]
provider = "openai-compatible"
components = ["cloud:third"]
models = { m1 = { price = "list" } }
"#;

#[test]
fn plans_of_the_shipped_example() {
    let (dir, mut said) = (empty(), Transcript::default());
    for name in ["plan-grid.toml", "plan-catalogue.toml"] {
        let from = fixtures::workspace_dir().join("examples").join(name);
        std::fs::copy(from, dir.path().join(name)).unwrap();
    }
    let plan = [
        "drill",
        "plan",
        "--config",
        "plan-grid.toml",
        "--catalogue",
        "plan-catalogue.toml",
    ];
    for more in [&[][..], &["--pairs"], &["--json"]] {
        let args = [&plan[..], more].concat();
        assert_eq!(run(&mut said, dir.path(), &args).status.code(), Some(0));
    }
    let html = [&plan[..], &["--html", "plan.html"]].concat();
    run(&mut Transcript::default(), dir.path(), &html);
    let page = std::fs::read_to_string(dir.path().join("plan.html")).unwrap();
    assert!(
        page.contains("make every critical party secure against any single loss, for 2,200.00 USD a month.")
    );
    let path = dir.path().join("plan-catalogue.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"mistral-small\" =", "\"mistral-smal\" =")).unwrap();
    assert_eq!(run(&mut said, dir.path(), &plan).status.code(), Some(2));
    std::fs::remove_file(path).unwrap();
    assert_eq!(run(&mut said, dir.path(), &plan).status.code(), Some(2));
    said.check("plans_of_the_example", dir.path());
}

#[test]
fn plans_over_recorded_calls() {
    let mut folder = Folder::with(counted(), counted());
    // Which of two channels is drawn depends on the ids of calls.
    let in_order = "[pool.chat]\nchoice = \"in_order\"\n";
    folder.edit("tieline.toml", "[pool.chat]\n", in_order);
    let server = folder.serve();
    for _ in 0..3 {
        server.chat().must_be(200);
    }
    server.stop();
    std::fs::write(folder.dir.path().join("offers.toml"), OFFERS).unwrap();
    let plan = ["drill", "plan", "--catalogue", "offers.toml"];
    assert_eq!(folder.run(&plan).status.code(), Some(0));
    folder.run(&["drill", "receipts"]);
    folder.run(&["drill", "receipts", "--check", "last"]);
    folder.said.note("the rules let nobody on the offered channel");
    folder.edit(
        "packs/open/rules.cedar",
        "permit (principal, action == Action::\"call\", resource);",
        "permit (principal, action == Action::\"call\", resource) unless { context.channel in Component::\"cloud:third\" };",
    );
    let output = folder.run(&plan);
    assert_eq!(output.status.code(), Some(1));
    let report = folder.run(&[
        "drill",
        "plan",
        "--catalogue",
        "offers.toml",
        "--json",
        "--no-receipt",
    ]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(
        report["fixes"],
        serde_json::json!([]),
        "what a rule forbids is never offered"
    );
    assert_eq!(report["unsecured"][0]["why"], "rules");
    assert_eq!(report["rules"]["stands_between"], true);
    folder.check("plans");
}

#[test]
fn versions_of_models_over_a_reload() {
    let mut folder = Folder::with(counted(), counted());
    folder.edit("tieline.toml", "\"left-m1\"", "\"left-m1-20260101\"");
    folder.edit("tieline.toml", "\"right-m1\"", "\"right-m1@20260101\"");
    let server = folder.serve();
    server.chat().must_be(200);
    folder.edit("tieline.toml", "left-m1-20260101", "left-m1-20260601");
    server.wait_said("the configuration was reloaded", 1);
    server.chat().must_be(200);
    server.stop();
    // The server has left before this, so it is configured and was never in force.
    folder.edit(
        "tieline.toml",
        "name = \"right-m1@20260101\"",
        "version = \"2026-06-01\", name = \"right-m1\"",
    );
    let report = folder.json(&["grid", "versions"]);
    let (grids, versions) = (&report["grids"], &report["models"][0]["versions"]);
    assert_eq!((grids, &report["unreadable"]), (&2.into(), &0.into()));
    let row = |ix: usize| -> Vec<(Value, Value, bool, bool)> {
        let rows = versions[ix]["channels"].as_array().unwrap().iter();
        let row = |row: &Value| {
            let (since, until) = (row["since_us"].is_u64(), row["until_us"].is_u64());
            (row["channel"].clone(), row["name"].clone(), since, until)
        };
        rows.map(row).collect()
    };
    assert_eq!(versions[0]["version"], "2026-06-01");
    assert_eq!(
        row(0),
        [
            ("left".into(), "left-m1-20260601".into(), true, false),
            ("right".into(), "right-m1".into(), false, false)
        ]
    );
    assert_eq!(versions[1]["version"], "2026-01-01");
    assert_eq!(
        row(1),
        [
            ("left".into(), "left-m1-20260101".into(), true, true),
            ("right".into(), "right-m1@20260101".into(), true, false)
        ]
    );
    assert_eq!(folder.run(&["grid", "versions"]).status.code(), Some(0));
}

#[test]
fn priors_of_ones_own() {
    let mut folder = Folder::new();
    let out = |report: &Value, name: &str| {
        let rows = report["elements"].as_array().unwrap();
        let row = rows.iter().find(|row| row["element"]["name"] == name).unwrap();
        row["downtime"].clone()
    };
    folder.write(
        "priors.toml",
        "[cloud]\nper_year = \"2\"\nminutes = 60\nsource = \"ours\"\n\
         [\"cloud:east\"]\nper_year = \"0.5\"\nminutes = 525960\nsource = \"a bad year\"\n\
         [\"channel:left\"]\nper_year = \"0.001\"\nminutes = 1\nsource = \"hope\"\n",
    );
    let report = folder.json(&["grid", "--priors", "priors.toml"]);
    let of = |name: &str| {
        let downtime = out(&report, name);
        (downtime["out"].clone(), downtime["source"].clone())
    };
    assert_eq!(of("cloud:east"), ("5.000e-1".into(), "a bad year".into()));
    assert_eq!(of("cloud:west"), ("2.282e-4".into(), "ours".into()));
    assert_eq!(of("left"), ("1.901e-9".into(), "hope".into()));
    assert_eq!(out(&report, "right")["basis"], "assumed");
    for wrong in [
        "[\"cloud:eest\"]\nper_year = \"1\"\nminutes = 60\nsource = \"x\"\n",
        "[cloud]\nper_year = \"0\"\nminutes = 60\nsource = \"x\"\n",
        "[cloud]\nper_year = \"one\"\nminutes = 60\nsource = \"x\"\n",
        "[cloud]\nper_year = \"9\"\nminutes = 525960\nsource = \"x\"\n",
        "[cloud]\nper_year = \"1\"\nhours = 60\nsource = \"x\"\n",
        "[cloud]\nper_year = \"1\"\nminutes = 60\n",
        "[cloud\n",
        "[cloud]\nper_year = \"1\"\nminutes = 60\nsource = \" \"\n",
        "[cloud]\nper_year = \"1\"\nminutes = 60\nsource = \"two\\nlines\"\n",
        &format!(
            "[cloud]\nper_year = \"1\"\nminutes = 60\nsource = \"{}\"\n",
            "x".repeat(257)
        ),
    ] {
        folder.write("wrong.toml", wrong);
        assert_eq!(
            folder.run(&["grid", "--priors", "wrong.toml"]).status.code(),
            Some(2),
            "{wrong}"
        );
    }
    assert_eq!(
        folder.run(&["grid", "--priors", "nowhere.toml"]).status.code(),
        Some(2)
    );
    // A device has no end, and no length.
    assert_eq!(
        folder.run(&["grid", "--priors", "/dev/zero"]).status.code(),
        Some(2)
    );
    assert_eq!(
        folder
            .run(&["grid", "--priors", "wrong.toml", "versions"])
            .status
            .code(),
        Some(2)
    );
    folder.check("priors");
}

#[test]
fn a_changed_record_does_not_replay() {
    let mut folder = Folder::with(counted(), counted());
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    assert_eq!(folder.run(&["drill", "replay"]).status.code(), Some(0));
    folder.said.note("a number in the decision is another");
    damage::change(&folder.at("ledger.db"), r#""reserved_tokens":"#, |digit| {
        if digit == b'9' { b'8' } else { digit + 1 }
    });
    let output = folder.run(&["drill", "replay"]);
    assert_eq!(output.status.code(), Some(1));
    let output = folder.run(&["drill", "replay", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agreed"], 0);
    assert_eq!(folder.run(&["ledger", "verify"]).status.code(), Some(1));
    folder.check("a_changed_record");
}

#[test]
fn a_year_is_drawn() {
    let mut folder = Folder::with(counted(), counted());
    folder.said.note("a configuration alone");
    assert_eq!(
        folder.run(&["drill", "year", "--runs", "20"]).status.code(),
        Some(0)
    );
    let args = ["drill", "year", "--runs", "20", "--seed", "5", "--json"];
    let output = folder.run(&args);
    assert_eq!(output.status.code(), Some(0));
    let again = folder.text(&[&["--dir", "."][..], &args].concat());
    assert_eq!(text(&output.stdout), again, "the same seed, the same bytes");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["schema"], &report["seed"]),
        (&"tieline/drill-year/v1".into(), &"5".into())
    );
    folder.said.note("what it does not take");
    std::fs::write(
        folder.path().join("bad.toml"),
        "[\"cloud:nowhere\"]\nper_year = \"1\"\nminutes = 5\nsource = \"x\"\n",
    )
    .unwrap();
    let bad = folder.path().join("bad.toml").display().to_string();
    for args in [
        &["--runs", "0"][..],
        &["--runs", "10001"],
        &["--common", "1.5"],
        &["--common", "half"],
        &["--survivors", "0"],
        &["--priors", &bad],
        &["--priors", "missing.toml"],
    ] {
        let args: Vec<&str> = ["drill", "year"].iter().chain(args).copied().collect();
        assert_eq!(folder.run(&args).status.code(), Some(2), "{args:?}");
    }
    folder.said.note("outages as somebody knows them");
    let known = "[\"channel:left\"]\nper_year = \"200\"\nminutes = 60\nsource = \"our own log\"\n";
    std::fs::write(folder.path().join("priors.toml"), known).unwrap();
    let args = [
        "drill",
        "year",
        "--runs",
        "20",
        "--priors",
        "priors.toml",
        "--common",
        "0",
    ];
    assert_eq!(folder.run(&args).status.code(), Some(0));
    folder.check("a_year");
}

#[test]
fn endpoints_that_anybody_may_run_have_no_operator_in_common() {
    let folder = Folder::with(counted(), counted());
    let common = |provider: &str| {
        let channel = |name: &str| {
            format!(
                "[channels.{name}]\nprovider = \"{provider}\"\nurl = \"https://{name}.example/v1\"\n\
                 credential = {{ none = true }}\nmodels = {{ x = {{ price = \"list\" }} }}\n"
            )
        };
        let config = format!(
            "[labs.m]\n[models.x]\nlab = \"m\"\nweights = \"open\"\nprice = {{ input = \"0.20\", output = \"0.60\" }}\n{}{}",
            channel("a"),
            channel("b"),
        );
        std::fs::write(folder.path().join("two.toml"), config).unwrap();
        let args = [
            "drill",
            "year",
            "--runs",
            "20",
            "--no-receipt",
            "--config",
            "two.toml",
        ];
        let report = folder.json(&args);
        let causes = report["causes"].as_array().unwrap();
        assert!(causes.len() >= 2, "{report}");
        causes.iter().any(|cause| cause["kind"] == "common_cause")
    };
    for provider in [
        "openai-compatible",
        "openai_compatible",
        "anthropic-compatible",
        "llamacpp",
        "ollama",
        "vllm",
    ] {
        assert!(!common(provider), "{provider}");
    }
    assert!(common("openrouter"));
}

#[test]
fn a_year_of_the_public_picture() {
    let grid = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/public-grid.toml");
    let folder = Folder::with(counted(), counted());
    let args = ["drill", "year", "--runs", "300", "--no-receipt", "--config", grid];
    let report = folder.json(&args);
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let causes = report["causes"].as_array().unwrap();
    assert!(causes.len() > 50, "{}", causes.len());
    let region = causes
        .iter()
        .find(|cause| cause["name"] == "region:aws/us-east-1")
        .unwrap();
    let (found, prior) = (number(&region["hours_out"]), 238.0 / 60.0);
    // 300 outages whose lengths scatter by 1.33 of their mean.
    assert!(
        (found - prior).abs() < prior * 3.0 * (1.0 + 1.33 * 1.33_f64).sqrt() / 300_f64.sqrt(),
        "{region}"
    );
    assert_eq!(region["channels_out"], serde_json::json!(["bedrock-virginia"]));
}

//! `tieline check`.

use serde_json::Value;

use crate::folder::Folder;

#[test]
fn good_and_bad_configurations() {
    let mut folder = Folder::new();
    assert_eq!(folder.run(&["check"]).status.code(), Some(0));
    assert_eq!(folder.run(&["check", "--json"]).status.code(), Some(0));
    let good = folder.read("tieline.toml");
    let bad = good
        .replace("models = [\"m1\"]", "models = [\"m2\"]")
        .replace("openai_compatible", "openai-compatable")
        .replace("[gateway]", "[gateway]\ncolour = \"green\"");
    folder.write("bad.toml", &bad);
    assert_eq!(folder.run(&["check", "bad.toml"]).status.code(), Some(2));
    let output = folder.run(&["check", "bad.toml", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"], report["findings"].as_array().unwrap().len());
    folder.write("broken.toml", &good.replace("[gateway]", "[gateway"));
    assert_eq!(folder.run(&["check", "broken.toml"]).status.code(), Some(2));
    assert_eq!(folder.run(&["check", "missing.toml"]).status.code(), Some(2));
    assert_eq!(folder.run(&["check", "packs"]).status.code(), Some(2));
    // Other commands that read a configuration say the same.
    for args in [
        ["grid", "--config", "bad.toml"],
        ["serve", "--config", "broken.toml"],
    ] {
        assert_eq!(folder.run(&args).status.code(), Some(2));
    }
    folder.check("check");
}

#[test]
fn a_warning_does_not_fail() {
    let mut folder = Folder::new();
    let from = "components = [\"cloud:east\", \"lab:acme\"]\n";
    let to = format!("{from}credential = {{ env = \"NO_SUCH_VARIABLE_OF_TIELINE\" }}\n");
    folder.edit("tieline.toml", from, &to);
    assert_eq!(folder.run(&["check"]).status.code(), Some(0));
    assert_eq!(folder.run(&["check", "--json"]).status.code(), Some(0));
    folder.check("check_warning");
}

#[test]
fn a_pack_is_checked_too() {
    let mut folder = Folder::new();
    let rules = folder.read("packs/open/rules.cedar");
    folder.write("packs/open/rules.cedar", &rules.replace("action ==", "action ="));
    assert_eq!(folder.run(&["check"]).status.code(), Some(2));
    let output = folder.run(&["check", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(folder.run(&["grid"]).status.code(), Some(2));
    assert_eq!(folder.run(&["serve"]).status.code(), Some(2));
    folder.check("check_pack");
}

#[test]
fn what_a_number_means() {
    let mut folder = Folder::new();
    for args in [["explain", "TL5001"], ["explain", "tl0122"]] {
        assert_eq!(folder.run(&args).status.code(), Some(0));
        assert_eq!(folder.run(&[args[0], args[1], "--json"]).status.code(), Some(0));
    }
    folder.check("what_a_number_means");
}

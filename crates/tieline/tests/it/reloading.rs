//! SIGHUP, a changed file and a restart: what is served, and that the record replays across all of them.

use nix::sys::signal::Signal;

use crate::folder::Folder;

const SWAPPED: &str = "the configuration was reloaded";
const KEPT: &str = "the configuration was not reloaded";

#[test]
fn a_broken_file_keeps_serving_and_a_good_one_swaps() {
    let mut folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    folder.write("next.toml", &folder.read("tieline.toml"));
    folder.edit("tieline.toml", "models = [\"m1\"]", "models = [\"m2\"]");
    server.signal(Signal::SIGHUP);
    server.wait_said(KEPT, 1);
    server.wait_said("TL0122", 1);
    server.chat().must_be(200);
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (2, 0));
    assert_eq!(server.said(SWAPPED), 0);
    // The second channel before the first: models of the pool are asked in the order of the file.
    let good = folder.read("next.toml").replace(
        "models = { m1 = { name = \"left-m1\", price = \"list\" } }",
        "models = { m2 = { name = \"left-m2\", price = \"list\" } }",
    );
    let models = "[models.m2]\nlab = \"acme\"\nweights = \"open\"\nprice = { input = \"1\", output = \"2\" }\n\n[pool.chat]";
    let good = good
        .replace("[pool.chat]", models)
        .replace("models = [\"m1\"]", "models = [\"m1\", \"m2\"]");
    folder.write("tieline.toml", &good);
    server.signal(Signal::SIGHUP);
    server.wait_said(SWAPPED, 1);
    server.chat().must_be(200);
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (2, 1));
    folder.run(&["explain", "last"]);
    // A pack that does not compile is no configuration either; the rules that were checked stay in force.
    folder.edit("packs/open/rules.cedar", "action ==", "action =");
    let kept = server.said(KEPT);
    server.signal(Signal::SIGHUP);
    server.wait_said(KEPT, kept + 1);
    server.chat().must_be(200);
    folder.run(&["drill", "replay"]);
    server.stop();
    folder.check("reload");
}

/// Some editors empty a file before they write it anew.
#[test]
fn an_emptied_file_takes_nothing_away() {
    let folder = Folder::new();
    let server = folder.serve();
    let good = folder.read("tieline.toml");
    folder.write("tieline.toml", "");
    server.signal(Signal::SIGHUP);
    server.wait_said(KEPT, 1);
    server.wait_said("names no channel", 1);
    server.chat().must_be(200);
    folder.write("tieline.toml", &good);
    server.signal(Signal::SIGHUP);
    server.chat().must_be(200);
    server.stop();
}

#[test]
fn what_only_a_start_reads_is_named() {
    let folder = Folder::new();
    let server = folder.serve();
    folder.edit(
        "tieline.toml",
        "[gateway]\n",
        "[gateway]\nthreads = 2\nheader_ms = 9000\ndrain_ms = 9000\n",
    );
    server.signal(Signal::SIGHUP);
    server.wait_said(SWAPPED, 1);
    server.wait_said("header_ms, threads", 1);
    server.stop();
}

#[test]
fn that_nothing_is_permitted_is_said_at_the_start() {
    let folder = Folder::new();
    let config = folder.read("tieline.toml");
    folder.edit("tieline.toml", "packs = [\"packs/open\"]\n", "");
    let server = folder.serve();
    server.wait_said("no rule in force permits anything", 1);
    server.chat().must_be(403);
    folder.write("tieline.toml", &config);
    server.signal(Signal::SIGHUP);
    server.wait_said(SWAPPED, 1);
    server.chat().must_be(200);
    assert_eq!(server.said("no rule in force permits anything"), 1);
    server.stop();
}

#[test]
fn a_restart_continues_the_ledger() {
    let mut folder = Folder::new();
    let server = folder.serve();
    server.chat().must_be(200);
    server.stop();
    folder.text(&["--dir", ".", "ledger", "backup", "first.db"]);
    let key = folder.text(&["--dir", ".", "ledger", "key"]);
    // Another grid and another pack: each call is decided again under its own.
    folder.edit("tieline.toml", "packs/open", "packs/demo");
    folder.edit(
        "tieline.toml",
        "price = { input = \"1\", output = \"2\" }",
        "price = { input = \"9\", output = \"9\" }",
    );
    let server = folder.serve();
    server.chat().must_be(403);
    folder.edit("tieline.toml", "packs/demo", "packs/open");
    server.signal(Signal::SIGHUP);
    server.wait_said(SWAPPED, 1);
    server.chat().must_be(200);
    server.stop();
    assert_eq!(folder.text(&["--dir", ".", "ledger", "key"]), key);
    // How often a changed file is read is not this test's: it counts no entries.
    let verified = folder.json(&["ledger", "verify", "--against", "first.db.checkpoint"]);
    assert_eq!(
        (&verified["ok"], &verified["ledger"]["against_size"]),
        (&true.into(), &5.into())
    );
    assert_eq!(folder.run(&["drill", "replay"]).status.code(), Some(0));
    let report = folder.json(&["drill", "replay"]);
    assert_eq!(
        (&report["calls"], &report["agreed"], &report["differ"]),
        (&3.into(), &3.into(), &0.into())
    );
    assert_eq!(report["grids"], 2);
    let keys = folder.text(&["--dir", ".", "--json", "keys", "list"]);
    assert_eq!(keys.lines().count(), 1, "a second start makes no second key");
    folder.check("a_restart_continues_the_ledger");
}

#[test]
fn a_changed_file_is_noticed_without_a_signal() {
    let folder = Folder::new();
    let server = folder.serve();
    folder.edit(
        "tieline.toml",
        "[pool.chat]",
        "[pool.other]\nmodels = [\"m1\"]\n\n[pool.chat]",
    );
    server.wait_said(SWAPPED, 1);
    server.chat().must_be(200);
    server.stop();
}

/// Where keys are trusted with packs, one that is not signed by enough of them is no configuration: what was in force
/// stays in force.
#[test]
fn a_pack_without_enough_signatures_keeps_what_was_in_force() {
    let mut folder = Folder::new();
    let key = |name: &str| {
        let (file, name) = (format!("{name}.key"), format!("example.org/{name}"));
        let made = folder.json(&["directive", "key", &file, "--name", &name]);
        made["vkey"].as_str().unwrap().to_owned()
    };
    let trusted = [key("ada"), key("ben")];
    key("mallory");
    let server = folder.serve();
    let settings = format!("[policy]\ntrusted_keys = {trusted:?}\nsignatures_min = 2");
    folder.edit("tieline.toml", "[policy]", &settings);
    let mut kept = 0;
    let mut keeps = |because: &str| {
        kept += 1;
        let said = server.said(because);
        server.signal(Signal::SIGHUP);
        server.wait_said(KEPT, kept);
        server.wait_said(because, said + 1);
        server.chat().must_be(200);
    };
    keeps("packs/open/pack.sig:1:1: the pack is not signed, and 2 of the trusted keys must have signed it");
    let sign = |folder: &mut Folder, key: &str| {
        let signed = folder.run(&["policy", "sign", "packs/open", "--key", &format!("{key}.key")]);
        assert!(signed.status.success(), "{signed:?}");
    };
    sign(&mut folder, "ada");
    sign(&mut folder, "mallory");
    keeps(
        "of 2 signatures by trusted keys the pack has 1, of example.org/ada; nobody trusts the keys of example.org/mallory",
    );
    assert_eq!(folder.run(&["policy", "check"]).status.code(), Some(2));
    let draft = folder.run(&["policy", "check", "packs/open"]);
    assert_eq!(draft.status.code(), Some(0), "a pack that is at work on");
    sign(&mut folder, "ben");
    let checked = folder.json(&["policy", "check"]);
    assert_eq!(
        checked["packs"][0]["signed_by"],
        serde_json::json!(["example.org/ada", "example.org/ben"])
    );
    server.signal(Signal::SIGHUP);
    server.wait_said(SWAPPED, 1);
    server.chat().must_be(200);
    let rules = folder.read("packs/open/rules.cedar");
    folder.edit("packs/open/rules.cedar", "Known callers", "All callers");
    keeps("this one was changed after it was signed");
    let again = folder.fails(&["policy", "sign", "packs/open", "--key", "ben.key"]);
    assert!(again.contains("remove the file"), "{again}");
    folder.write("packs/open/rules.cedar", &rules);
    let bent = folder
        .read("packs/open/pack.sig")
        .replacen("/ben ", "/ben AAAA", 1);
    folder.write("packs/open/pack.sig", &bent);
    server.signal(Signal::SIGHUP);
    server.wait_said(KEPT, 4);
    server.chat().must_be(200);
    server.stop();
}

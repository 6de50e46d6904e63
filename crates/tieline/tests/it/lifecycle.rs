//! How a server starts, who else may use its folder and ports, and how it ends.

use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;
use tieline_testkit::{Act, Gate, Script};

use crate::folder::{Folder, LIMIT};
use crate::http;

#[test]
fn one_server_for_a_folder() {
    let mut folder = Folder::new();
    let server = folder.serve();
    assert_eq!(folder.run(&["serve"]).status.code(), Some(2));
    server.chat().must_be(200);
    server.stop();
    folder.check("one_server_for_a_folder");
}

#[test]
fn a_port_in_use() {
    let mut folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(
        folder.run(&["serve", "--listen", &address]).status.code(),
        Some(2)
    );
    assert_eq!(folder.run(&["serve", "--admin", &address]).status.code(), Some(2));
    assert!(!folder.at("server.json").exists());
    // Nothing half-started is left: the next start is the first.
    folder.serve().stop();
    folder.run(&["ledger", "tail"]);
    folder.run(&["ledger", "verify"]);
    folder.check("a_port_in_use");
}

#[test]
fn a_ready_file_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let server = folder.serve();
    for name in [
        "ready.json",
        "party.key",
        "admin.key",
        "log.key",
        "state.db",
        "server.json",
    ] {
        let mode = std::fs::metadata(folder.at(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    server.stop();
    assert!(!folder.at("server.json").exists());
}

#[test]
fn a_mask_that_shows_everything_shows_nothing_of_a_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let files = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect()
    };
    let before = files();
    let unmasked = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tieline")]);
        command.args(args).current_dir(folder.path());
        command
    };
    let who = ["--officer", "An officer", "--entity", "Example GmbH"];
    let args = [&["--dir", ".", "policy", "adopt", "packs/open"][..], &who].concat();
    assert!(unmasked(&args).output().unwrap().status.success());
    let args = ["--dir", ".", "serve", "--ready-file", "ready.json"];
    let server = folder.start_by(&mut unmasked(&args));
    server.chat().must_be(200);
    for args in [&["explain", "last"][..], &["ledger", "backup", "copy.db"]] {
        let output = unmasked(&[&["--dir", "."], args].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let fresh: Vec<_> = files()
        .into_iter()
        .filter(|path| !before.contains(path))
        .collect();
    for name in [
        "ledger.db",
        "ledger.db-wal",
        "index.db",
        "state.db",
        "lock",
        "copy.db",
        "copy.db.checkpoint",
    ] {
        assert!(fresh.contains(&folder.at(name)), "{name} is not in {fresh:?}");
    }
    for path in &fresh {
        assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
    }
    server.stop();
}

#[test]
fn sigterm_drains() {
    let gate = Gate::new();
    let held = Script::new().then(Act::auto().gate_before_head(&gate));
    let mut folder = Folder::with(held, Script::new());
    let server = folder.serve();
    let (gateway, key) = (server.gateway.clone(), server.key.clone());
    let caller = std::thread::spawn(move || {
        let body = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}]}"#;
        let authorization = format!("Bearer {key}");
        http::post(
            &gateway,
            "/v1/chat/completions",
            &[("authorization", &authorization)],
            body,
        )
    });
    assert!(gate.wait_reached_blocking(1, LIMIT));
    server.signal(Signal::SIGTERM);
    server.wait_said("draining", 1);
    gate.open();
    caller.join().unwrap().must_be(200);
    let (status, said) = server.wait();
    assert!(status.success(), "{status}: {said}");
    assert!(!said.contains('\u{1b}'), "no colour where nobody looks: {said:?}");
    folder.run(&["ledger", "tail"]);
    folder.run(&["ledger", "verify"]);
    folder.run(&["drill", "replay"]);
    folder.check("sigterm_drains");
}

#[test]
fn a_call_that_does_not_end_ends_with_the_server() {
    let gate = Gate::new();
    let held = Script::new().then(Act::auto().gate_before_head(&gate));
    let folder = Folder::with(held, Script::new());
    folder.edit("tieline.toml", "[gateway]\n", "[gateway]\ndrain_ms = 50\n");
    let server = folder.serve();
    let (gateway, key) = (server.gateway.clone(), server.key.clone());
    let caller = std::thread::spawn(move || {
        let body = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}]}"#;
        let authorization = format!("Bearer {key}");
        let send = || {
            http::post(
                &gateway,
                "/v1/chat/completions",
                &[("authorization", &authorization)],
                body,
            )
        };
        // An answer or a closed connection: the ledger says which call it was.
        let _ = std::panic::catch_unwind(send);
    });
    assert!(gate.wait_reached_blocking(1, LIMIT));
    server.stop();
    caller.join().unwrap();
    let report = folder.json(&["explain", "last"]);
    assert_ne!(
        report["outcome"],
        serde_json::Value::Null,
        "a ledger that was closed leaves no call open"
    );
    assert_eq!(folder.json(&["ledger", "verify"])["ok"], true);
    let replayed = folder.json(&["drill", "replay"]);
    assert_eq!((&replayed["calls"], &replayed["differ"]), (&1.into(), &0.into()));
}

#[test]
fn sigint_is_no_failure() {
    let folder = Folder::new();
    let server = folder.serve();
    server.signal(Signal::SIGINT);
    let (status, said) = server.wait();
    assert!(status.success(), "{status}: {said}");
}

#[test]
fn the_second_signal_ends_the_drain() {
    let gate = Gate::new();
    let held = Script::new().then(Act::auto().gate_before_head(&gate));
    let folder = Folder::with(held, Script::new());
    folder.edit("tieline.toml", "[gateway]\n", "[gateway]\ndrain_ms = 600000\n");
    let server = folder.serve();
    std::thread::scope(|scope| {
        // An answer or a closed connection: the ledger says which call it was.
        let caller = scope.spawn(|| std::panic::catch_unwind(|| server.chat()).is_ok());
        assert!(gate.wait_reached_blocking(1, LIMIT));
        server.signal(Signal::SIGTERM);
        server.wait_said("draining", 1);
        server.signal(Signal::SIGINT);
        server.wait_said("second signal", 1);
        let _ = caller.join().unwrap();
    });
    let (status, said) = server.wait();
    assert!(status.success(), "{status}: {said}");
    assert_ne!(
        folder.json(&["explain", "last"])["outcome"],
        serde_json::Value::Null
    );
    assert_eq!(folder.json(&["ledger", "verify"])["ok"], true);
}

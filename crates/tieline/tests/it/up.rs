//! What `tieline up` says when it cannot: a model file that is none, nothing set up and no network. And how it cares for
//! the model servers that it has.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::folder::{Folder, Server, empty, tieline};
use crate::ollama::Ollama;
use crate::transcript::Transcript;

/// In a folder of its own, with a cache and a search path of its own.
fn up(said: &mut Transcript, dir: &std::path::Path, args: &[&str]) -> Output {
    let output = tieline()
        .current_dir(dir)
        .arg("up")
        .args(args)
        .env("HOME", dir)
        .env("XDG_CACHE_HOME", dir.join("cache"))
        .env("PATH", dir.join("bin"))
        .output()
        .unwrap();
    said.say(&format!("tieline up {}", args.join(" ")), &output);
    output
}

#[test]
fn a_model_file_that_is_none() {
    let (dir, mut said) = (empty(), Transcript::default());
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("notes.gguf", b"# Notes on models\n");
    write("empty.gguf", b"");
    write("old.gguf", b"GGUF\x01\0\0\0\0\0\0\0\0\0\0\0");
    // Version 3, one tensor, no metadata, and then the download broke off.
    write(
        "truncated.gguf",
        b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0",
    );
    std::fs::create_dir(dir.path().join("folder.gguf")).unwrap();
    for file in [
        "notes.gguf",
        "empty.gguf",
        "old.gguf",
        "truncated.gguf",
        "folder.gguf",
        "missing.gguf",
    ] {
        let output = up(&mut said, dir.path(), &["--model-file", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
    }
    assert!(!dir.path().join("tieline-data/tieline.toml").exists());
    said.check("a_model_file_that_is_none", dir.path());
}

#[test]
fn nothing_set_up_and_nothing_to_set_it_up_with() {
    let (dir, mut said) = (empty(), Transcript::default());
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    assert_eq!(up(&mut said, dir.path(), &["--offline"]).status.code(), Some(2));
    assert_eq!(up(&mut said, dir.path(), &[]).status.code(), Some(2));
    // An old Python is no Python.
    let python = bin.join("python3");
    std::fs::write(
        &python,
        "#!/bin/sh\nprintf \"venv\\n3.6.0\\n/nowhere/python3\\n\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(up(&mut said, dir.path(), &[]).status.code(), Some(2));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{nobody}");
    assert_eq!(
        up(&mut said, dir.path(), &["--ollama", &url]).status.code(),
        Some(2)
    );
    assert_eq!(
        up(&mut said, dir.path(), &["--ollama", "nonsense"]).status.code(),
        Some(2)
    );
    said.check("nothing_set_up", dir.path());
}

/// `tieline up` in front of a model server of our own.
fn started(folder: &Folder, ollama: &Ollama) -> Server {
    folder.start(&[
        "--dir",
        "house",
        "up",
        "--ollama",
        &ollama.url,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--ready-file",
        "ready.json",
    ])
}

/// What is out, by the server's own account.
fn outs(folder: &Folder) -> Value {
    let ready: Value = serde_json::from_str(&folder.read("ready.json")).unwrap();
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let authorization = format!("Bearer {}", text("admin_key"));
    let headers = [("authorization", authorization.as_str())];
    let status = crate::http::get_with(&text("admin"), "/admin/v1/status", &headers).must_be(200);
    let rows = status.json()["channels"].as_array().unwrap().clone();
    let out = |row: &Value| row["out"].as_bool().unwrap().then(|| row["name"].clone());
    rows.iter().filter_map(out).collect()
}

#[test]
fn a_restored_channel_is_in_once_its_model_is_loaded() {
    let (folder, ollama) = (Folder::new(), Ollama::start());
    let server = started(&folder, &ollama);
    let said = folder.text(&["--dir", "house", "cut", "local-a"]);
    assert!(said.contains("its model server was stopped"), "{said}");
    assert_eq!(outs(&folder), serde_json::json!(["local-a"]));
    ollama.loads(true);
    std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            let args = ["--dir", "house", "restore", "local-a"];
            tieline().current_dir(folder.path()).args(args).output().unwrap()
        });
        ollama.wait_put_off(3);
        assert_eq!(outs(&folder), serde_json::json!(["local-a"]), "it still loads");
        server.chat().must_be(200);
        ollama.loads(false);
        let restored = restoring.join().unwrap();
        let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(restored.status.success(), "{restored:?}");
        assert!(
            said(&restored.stderr).contains("waiting until the model server of local-a"),
            "{restored:?}"
        );
        assert!(
            said(&restored.stdout).contains("is back in, and its model server answers"),
            "{restored:?}"
        );
    });
    assert_eq!(outs(&folder), serde_json::json!([]));
    server.chat().must_be(200);
    // Nothing to wait for, nothing to say.
    let again = folder.text(&["--dir", "house", "restore", "local-a"]);
    assert!(again.contains("was not out"), "{again}");
    server.stop();
}

#[test]
fn a_channel_whose_restoring_is_given_up_stays_out() {
    let (folder, ollama) = (Folder::new(), Ollama::start());
    let server = started(&folder, &ollama);
    folder.text(&["--dir", "house", "cut", "local-a"]);
    ollama.loads(true);
    std::thread::scope(|scope| {
        let restoring = scope.spawn(|| {
            let args = ["--dir", "house", "restore", "local-a"];
            tieline().current_dir(folder.path()).args(args).output().unwrap()
        });
        ollama.wait_put_off(1);
        folder.text(&["--dir", "house", "cut", "local-a"]);
        let restored = restoring.join().unwrap();
        let said = String::from_utf8(restored.stderr).unwrap();
        assert_eq!(restored.status.code(), Some(1), "{said}");
        assert!(
            said.contains("local-a stays out") && said.contains("it is cut"),
            "{said}"
        );
    });
    assert_eq!(outs(&folder), serde_json::json!(["local-a"]));
    server.stop();
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let (folder, ollama) = (Folder::new(), Ollama::start());
    // Written by the first run.
    started(&folder, &ollama).stop();
    folder.edit(
        "house/tieline.toml",
        "[gateway]\n",
        "[gateway]\ndrain_ms = 600000\n",
    );
    let server = started(&folder, &ollama);
    ollama.holds(true);
    std::thread::scope(|scope| {
        // An answer or a closed connection: the ledger says which call it was.
        let caller = scope.spawn(|| std::panic::catch_unwind(|| server.chat()).is_ok());
        ollama.wait_held(1);
        server.signal(Signal::SIGINT);
        server.wait_said("draining", 1);
        server.signal(Signal::SIGINT);
        let _ = caller.join().unwrap();
    });
    let (status, said) = server.wait();
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("second signal"), "{said}");
    let explained = folder.text(&["--dir", "house", "explain", "last"]);
    assert!(
        explained.contains("the caller went away, or a shutdown cut it off"),
        "{explained}"
    );
    folder.text(&["--dir", "house", "ledger", "verify"]);
}

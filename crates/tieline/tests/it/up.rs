//! What `tieline up` says when it cannot: a model file that is none, nothing set up and no network.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use crate::folder::{empty, tieline};
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

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
};

use serde_json::json;

use super::*;

fn options(folder: &Path) -> Options {
    Options {
        model_file: None,
        ollama: None,
        cache_folder: folder.join("cache"),
        offline: true,
        search_path: OsString::new(),
    }
}

/// An executable file of that name, and the folder that it is in as a search path.
fn program(folder: &Path, name: &str, script: &str) -> OsString {
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    bin.into_os_string()
}

/// The shortest file that passes the check: one tensor, no metadata.
fn small_gguf(path: &Path) {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    for number in [1_u64, 0, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"t\0\0\0\0\0\0\0\0");
    bytes.extend(0_u64.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(32) + 4, 0);
    fs::write(path, bytes).unwrap();
}

fn find(options: &Options) -> Result<ModelSource, SetupError> {
    find_or_set_up(options, &mut |_| ())
}

/// Answers `count` connections with this JSON and returns the URL.
fn serve(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let _read = socket.read(&mut head).unwrap();
        socket.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn model_file_is_served_by_llama_server() {
    let folder = tempfile::tempdir().unwrap();
    let model_file = folder.path().join("My Model (v2).GGUF");
    small_gguf(&model_file);
    let found = find(&Options {
        model_file: Some(model_file),
        search_path: program(folder.path(), "llama-server", "exit 0"),
        ..options(folder.path())
    })
    .unwrap();
    assert_eq!(found.name(), "my-model--v2-");
    let launch = found.launch(Path::new("/usr/bin/tieline"));
    assert!(launch.guarded);
    let shown = format!("{launch:#?}").replace(
        &fs::canonicalize(folder.path()).unwrap().display().to_string(),
        "DIR",
    );
    let threads = format!("\"{}\"", threads());
    insta::assert_snapshot!(shown.replace(
        &format!("\"--threads\",\n        {threads}"),
        "\"--threads\",\n        N"
    ));
    assert!(
        !options(folder.path()).cache_folder.exists(),
        "nothing needed to be set up"
    );
}

#[test]
fn bad_model_file_is_refused_before_anything_is_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, "<html>not found</html>").unwrap();
    let error = find(&Options {
        model_file: Some(path),
        offline: false,
        ..options(folder.path())
    })
    .unwrap_err();
    assert!(
        error.to_string().contains("is not a GGUF file: it begins with"),
        "{error}"
    );
    assert!(error.hint().contains("--model-file"));
    assert!(!options(folder.path()).cache_folder.exists());
}

#[test]
fn program_must_be_executable_and_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let search_path = program(folder.path(), "llama-server", "");
    assert!(find_program("llama-server", &search_path).is_some());
    assert!(
        find_program("bin", folder.path().as_os_str()).is_none(),
        "a folder"
    );
    fs::set_permissions(
        folder.path().join("bin/llama-server"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    assert!(find_program("llama-server", &search_path).is_none());
    assert!(
        find_program("Cargo.toml", OsStr::new("")).is_none(),
        "the current folder"
    );
}

#[test]
fn ollama_serves_what_can_chat() {
    let tags = json!({"models": [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": "all-minilm:latest", "details": {"family": "bert"}},
        {"name": "llama3.2:1b", "details": {"family": "llama"}},
        {"name": "smollm2:135m", "details": {"family": "llama"}},
    ]});
    let folder = tempfile::tempdir().unwrap();
    let url = serve("200 OK", &tags.to_string());
    let found = find(&Options {
        ollama: Some(format!("{url}/")),
        ..options(folder.path())
    })
    .unwrap();
    assert_eq!(
        found,
        ModelSource::Ollama {
            target: url.replace("http://", ""),
            name: "llama3.2:1b".to_owned()
        }
    );
    let launch = found.launch(Path::new("/usr/bin/tieline"));
    assert_eq!(launch.program, Path::new("/usr/bin/tieline"));
    assert_eq!(launch.args[..4], ["relay", "--port", "{port}", "--to"]);
}

#[test]
fn ollama_that_cannot_serve_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |url: &str| {
        find(&Options {
            ollama: Some(url.to_owned()),
            ..options(folder.path())
        })
        .unwrap_err()
    };
    let closed = format!(
        "http://{}",
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    );
    assert!(matches!(ask(&closed), SetupError::Ollama { .. }));
    for url in [
        "https://127.0.0.1",
        "localhost:11434",
        "http://a:b@host",
        "http://host/v1",
        "",
    ] {
        assert!(
            ask(url).to_string().contains("is not of the form http://HOST"),
            "{url}"
        );
    }
    assert!(
        ask(&serve("404 Not Found", ""))
            .to_string()
            .contains("answers 404")
    );
    assert!(ask(&serve("200 OK", "hello")).to_string().contains("is not JSON"));
    for tags in [
        r#"{"models":[]}"#,
        "{}",
        r#"{"models":[{"name":7},{"name":"x-embed"}]}"#,
        "[1]",
    ] {
        let error = ask(&serve("200 OK", tags));
        assert!(matches!(error, SetupError::OllamaEmpty { .. }), "{tags}: {error}");
        assert!(error.hint().contains("ollama pull"));
    }
}

#[test]
fn cache_folder_follows_xdg() {
    let with = |xdg: Option<&str>, home: Option<&str>| {
        let pick = move |name: &str| match name {
            "XDG_CACHE_HOME" => xdg.map(OsString::from),
            "HOME" => home.map(OsString::from),
            _ => None,
        };
        cache_folder(pick)
    };
    assert_eq!(with(Some("/x"), Some("/h")), Some(PathBuf::from("/x/tieline")));
    assert_eq!(
        with(Some("x"), Some("/h")),
        Some(PathBuf::from("/h/.cache/tieline"))
    );
    assert_eq!(with(None, Some("/h")), Some(PathBuf::from("/h/.cache/tieline")));
    assert_eq!(with(Some(""), None), None);
}

#[test]
fn digest_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "abc").unwrap();
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(check_digest(&path, abc).is_ok());
    let error = check_digest(&path, MODEL_SHA256).unwrap_err();
    assert!(
        matches!(&error, SetupError::Digest { found, .. } if found == abc),
        "{error}"
    );
}

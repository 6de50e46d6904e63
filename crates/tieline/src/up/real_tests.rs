//! The set-up and the servers with the real engine and the real model. They take a download of 130 MB the first time,
//! so they run only where `TIELINE_MODEL_TESTS` is `1`, and say so elsewhere.
//!
//! The snapshots hold the shapes of what the engine answers, oddities included: a new engine version that changes them
//! is seen here before the dialect readers meet it.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    gguf,
    model::{self, ModelSource, Options},
    supervise::{ChildState, ChildStatus, Limits, Supervisor},
};

const LIMIT: Duration = Duration::from_mins(2);

fn wanted() -> bool {
    let wanted = std::env::var_os("TIELINE_MODEL_TESTS").is_some_and(|value| value == "1");
    if !wanted {
        println!("skipped: set TIELINE_MODEL_TESTS=1 to fetch and run the real model");
    }
    wanted
}

fn options() -> Options {
    Options {
        model_file: None,
        ollama: None,
        cache_folder: model::cache_folder(|name| std::env::var_os(name)).unwrap(),
        offline: false,
        search_path: std::env::var_os("PATH").unwrap(),
    }
}

fn set_up() -> ModelSource {
    let begun = Instant::now();
    let found = model::find_or_set_up(&options(), &mut |progress| println!("{progress:?}")).unwrap();
    println!(
        "set up in {} ms: {}",
        begun.elapsed().as_millis(),
        found.describe()
    );
    found
}

/// Sends one request on a connection of its own; returns the status and the body.
fn post(url: &str, path: &str, body: &Value) -> (u16, String) {
    let mut socket = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    (
        status,
        if chunked {
            join_chunks(body)
        } else {
            body.to_owned()
        },
    )
}

fn join_chunks(mut body: &str) -> String {
    let mut joined = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return joined;
        }
        let (chunk, rest) = rest.split_at(size);
        joined += chunk;
        body = rest.strip_prefix("\r\n").unwrap();
    }
}

/// The value with texts and numbers replaced by their kinds; what names a kind of thing stays.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => json!("text"),
        Value::Number(number) if number.is_f64() => json!("float"),
        Value::Number(_) => json!("integer"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let kept = matches!(
                    key.as_str(),
                    "type" | "role" | "object" | "finish_reason" | "stop_reason" | "code"
                );
                (
                    key.clone(),
                    if kept && !value.is_object() {
                        value.clone()
                    } else {
                        shape(value)
                    },
                )
            })
            .collect(),
        other => other.clone(),
    }
}

/// Each line of a stream, its data as a shape; a line like the one before is counted instead.
fn stream_shape(body: &str) -> String {
    let mut out = String::new();
    let mut last = (String::new(), 0);
    for event in body.split("\n\n").filter(|event| !event.is_empty()) {
        let mut lines = String::new();
        for line in event.lines() {
            let shown = line
                .strip_prefix("data: ")
                .and_then(|data| serde_json::from_str(data).ok());
            let shown = shown.map_or_else(
                || line.to_owned(),
                |value: Value| format!("data: {}", shape(&value)),
            );
            let _infallible = writeln!(lines, "{shown}");
        }
        if lines == last.0 {
            last.1 += 1;
        } else {
            out += &counted(&last);
            last = (lines, 1);
        }
    }
    out + &counted(&last)
}

fn counted((lines, times): &(String, usize)) -> String {
    let note = if *times > 1 { "(and more like it)\n" } else { "" };
    format!("{lines}{note}")
}

async fn ready(supervisor: &Supervisor, name: &str) -> ChildStatus {
    let mut changes = supervisor.watch(name).unwrap();
    let found = tokio::time::timeout(
        LIMIT,
        changes.wait_for(|status| status.state == ChildState::Ready),
    )
    .await;
    found.unwrap().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_model_answers_in_both_dialects() {
    if !wanted() {
        return;
    }
    let found = set_up();
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path(), Limits::default());
    let begun = Instant::now();
    for name in ["local-a", "local-b"] {
        supervisor
            .start(name, found.launch(Path::new("tieline")), None)
            .unwrap();
    }
    supervisor.all_ready(LIMIT).await.unwrap();
    println!("both servers ready in {} ms", begun.elapsed().as_millis());
    let url = supervisor.status()[0].url.clone();
    let shapes = tokio::task::spawn_blocking(move || exchanges(&url))
        .await
        .unwrap();
    insta::assert_snapshot!("shapes", shapes);

    let first = supervisor.status()[1].clone();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(first.pid.unwrap()).unwrap());
    let begun = Instant::now();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut changes = supervisor.watch("local-b").unwrap();
    changes
        .wait_for(|status| matches!(status.state, ChildState::Down { .. }))
        .await
        .unwrap();
    assert_ne!(ready(&supervisor, "local-b").await.pid, first.pid);
    println!("ready {} ms after SIGKILL", begun.elapsed().as_millis());
    let begun = Instant::now();
    supervisor.stop("local-b").await.unwrap();
    println!("cut in {} ms", begun.elapsed().as_millis());
    supervisor.shutdown().await;
    assert!(TcpStream::connect(first.url.trim_start_matches("http://")).is_err());
    let log = std::fs::read_to_string(folder.path().join("local-a.log")).unwrap();
    assert!(!log.contains(QUESTION), "prompts do not belong in logs");
}

const QUESTION: &str = "Name three colours of the rainbow.";

fn exchanges(url: &str) -> String {
    let long = "word ".repeat(5_000);
    let ask = |text: &str| json!([{"role": "user", "content": text}]);
    let with = |messages: Value, more: Value| {
        let mut body = json!({"model": "any", "max_tokens": 8, "temperature": 0, "messages": messages});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        ("/v1/chat/completions", with(ask(QUESTION), json!({}))),
        (
            "/v1/chat/completions",
            with(ask(QUESTION), json!({"stream": true})),
        ),
        (
            "/v1/chat/completions",
            with(
                ask(QUESTION),
                json!({"stream": true, "stream_options": {"include_usage": true}}),
            ),
        ),
        ("/v1/chat/completions", with(ask(&long), json!({"stream": true}))),
        ("/v1/chat/completions", json!({"model": "any"})),
        ("/v1/messages", with(ask(QUESTION), json!({}))),
        ("/v1/messages", with(ask(QUESTION), json!({"stream": true}))),
        (
            "/v1/messages",
            with(ask(QUESTION), json!({"max_tokens": 200, "stop_sequences": ["e"]})),
        ),
        ("/v1/messages", with(ask(&long), json!({"stream": true}))),
        ("/v1/messages", json!({"model": "any"})),
        (
            "/v1/messages/count_tokens",
            json!({"model": "any", "messages": ask(QUESTION)}),
        ),
        ("/v1/none", json!({})),
    ];
    let mut out = String::new();
    for (path, body) in cases {
        let (status, answer) = post(url, path, &body);
        let shown = serde_json::from_str(&answer).map_or_else(
            |_| stream_shape(&answer),
            |value: Value| format!("{}\n", shape(&value)),
        );
        let mut asked = body.clone();
        asked["messages"] = json!(body["messages"].as_array().map_or(0, Vec::len));
        let long = if body.to_string().len() > long.len() {
            " (long prompt)"
        } else {
            ""
        };
        let _infallible = writeln!(out, "POST {path} {asked}{long}\n{status}\n{shown}");
    }
    out
}

/// While it loads, the engine holds the interpreter's lock; the end of the pipe must end it all the same.
#[test]
fn real_server_ends_with_its_pipe_even_while_it_loads() {
    if !wanted() {
        return;
    }
    let launch = set_up().launch(Path::new("tieline"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let args = launch.args.iter().map(|arg| {
        if arg == "{port}" {
            port.clone().into()
        } else {
            arg.clone()
        }
    });
    let mut child = Command::new(&launch.program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(begun.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    drop(child.stdin.take());
    println!(
        "ended with {} after {} ms",
        child.wait().unwrap(),
        begun.elapsed().as_millis()
    );
}

#[test]
fn real_model_file_is_whole_and_no_prefix_of_it_is() {
    if !wanted() {
        return;
    }
    let ModelSource::Packaged { model_file, .. } = set_up() else {
        panic!("another source was found")
    };
    let info = gguf::check(&model_file).unwrap();
    assert_eq!(
        (
            info.tensors,
            info.architecture.as_deref(),
            info.context_tokens,
            info.file_bytes
        ),
        (272, Some("llama"), Some(8192), 98_362_432)
    );
    let options = Options {
        model_file: Some(model_file.clone()),
        search_path: std::ffi::OsString::new(),
        ..options()
    };
    let named = model::find_or_set_up(&options, &mut |_| ()).unwrap();
    assert!(
        matches!(&named, ModelSource::Packaged { name, .. } if name == "smollm2-135m-instruct.q4_1"),
        "{named:?}"
    );
    let bytes = std::fs::read(&model_file).unwrap();
    for len in [
        0,
        3,
        4,
        23,
        24,
        1_000,
        100_000,
        1_700_000,
        50_000_000,
        bytes.len() - 1,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short.gguf");
        std::fs::write(&path, &bytes[..len]).unwrap();
        println!("{}", gguf::check(&path).unwrap_err().problem);
    }
}

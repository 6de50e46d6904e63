//! A model server of somebody else's, as `tieline up --ollama` finds one. It can be told that it loads its model (503 to
//! who asks for its health), and it can hold calls.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::folder::LIMIT;

#[derive(Debug)]
pub(crate) struct Ollama {
    state: Arc<Shared>,
    pub(crate) url: String,
}

#[derive(Debug, Default)]
struct Shared {
    changed: Condvar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Health questions that were answered with "not yet".
    put_off: usize,
    /// Calls that are held.
    held: usize,
    holds: bool,
    loads: bool,
}

impl Ollama {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Shared>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { state, url }
    }

    /// From here on it loads, or has loaded.
    pub(crate) fn loads(&self, loads: bool) {
        self.change(|state| {
            state.loads = loads;
            state.put_off = 0;
        });
    }

    /// From here on it holds calls, or lets them go.
    pub(crate) fn holds(&self, holds: bool) {
        self.change(|state| state.holds = holds);
    }

    #[track_caller]
    pub(crate) fn wait_put_off(&self, count: usize) {
        self.wait(|state| state.put_off >= count);
    }

    #[track_caller]
    pub(crate) fn wait_held(&self, count: usize) {
        self.wait(|state| state.held >= count);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.state.lock().unwrap());
        self.state.changed.notify_all();
    }

    #[track_caller]
    fn wait(&self, fits: impl Fn(&State) -> bool) {
        let until = Instant::now() + LIMIT;
        let mut state = self.state.state.lock().unwrap();
        while !fits(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{state:?}");
            state = self.state.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.holds(false);
    }
}

/// Requests of one connection, until its end.
fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 || header == "\r\n" {
                break;
            }
            if let Some(text) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let (status, body) = answer(&line, shared);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        if stream.write_all((head + body).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(line: &str, shared: &Shared) -> (&'static str, &'static str) {
    let mut state = shared.state.lock().unwrap();
    match line.split(' ').nth(1).unwrap_or_default() {
        "/api/version" if state.loads => {
            state.put_off += 1;
            shared.changed.notify_all();
            ("503 Service Unavailable", "{}")
        }
        "/api/version" => ("200 OK", r#"{"version":"1"}"#),
        "/api/tags" => (
            "200 OK",
            r#"{"models":[{"name":"small:latest","model":"small:latest"}]}"#,
        ),
        _ => {
            state.held += 1;
            shared.changed.notify_all();
            while state.holds {
                state = shared.changed.wait(state).unwrap();
            }
            (
                "200 OK",
                r#"{"id":"c","object":"chat.completion","created":1,"model":"small:latest","choices":[{"index":0,"message":{"role":"assistant","content":"A line."},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
            )
        }
    }
}

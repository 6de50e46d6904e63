//! Commands that change a running server go through its admin API, with the operator's key.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tieline_gateway::admin_connector;
use tieline_note::Digest;

use crate::folder::{self, Server};
use crate::output::{Failure, Result};

/// An operation waits at most so long: a cut stops a process, which may take five seconds.
const WAIT: Duration = Duration::from_secs(30);

/// The longest reply that is read: 10,000 keys of 300 bytes are 3 MB.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// To load a model again: what the supervisor waits for one, and some.
pub(crate) const LOAD_WAIT: Duration = Duration::from_secs(200);

/// Send a request to the server of a state folder.
pub(crate) fn send(
    dir: &Path,
    server: &Server,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value> {
    send_within(WAIT, dir, server, method, path, body)
}

/// As [`send`], with as much patience as the operation needs.
pub(crate) fn send_within(
    wait: Duration,
    dir: &Path,
    server: &Server,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value> {
    let text = body.map_or_else(String::new, Value::to_string);
    let content = ("application/json", text.into_bytes());
    run(wait, dir, server, method, path, content)
}

/// Send a request whose body is not an object: its media type and its bytes.
pub(crate) fn send_content(
    wait: Duration,
    dir: &Path,
    server: &Server,
    path: &str,
    content: (&str, Vec<u8>),
) -> Result<Value> {
    run(wait, dir, server, "POST", path, content)
}

fn run(
    wait: Duration,
    dir: &Path,
    server: &Server,
    method: &str,
    path: &str,
    content: (&str, Vec<u8>),
) -> Result<Value> {
    let key = folder::admin_key(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::found(error.to_string()))?;
    let url = format!("{}{path}", server.admin);
    runtime.block_on(async {
        let exchange = exchange(&url, server.admin_certificate, method, &key, content);
        let exchange = tokio::time::timeout(wait, exchange);
        exchange
            .await
            .map_err(|_| Failure::found(format!("{url} did not answer in {} s", wait.as_secs())))?
    })
}

async fn exchange(
    url: &str,
    pin: Option<Digest>,
    method: &str,
    key: &str,
    content: (&str, Vec<u8>),
) -> Result<Value> {
    let failed = |error: &dyn std::fmt::Display| Failure::found(format!("cannot reach {url}: {error}"));
    let (media_type, bytes) = content;
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", media_type)
        .body(Full::new(Bytes::from(bytes)))
        .map_err(|error| failed(&error))?;
    let connector = admin_connector(pin).map_err(|error| failed(&error))?;
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let response = client.request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), REPLY_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| failed(&error))?;
    let value: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(value);
    }
    let says = value
        .pointer("/error/message")
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    // What the caller got wrong is said in full; of what went wrong in the server, the status is a trace.
    if status.is_client_error() {
        Err(Failure::input(says))
    } else {
        Err(Failure::found(format!("{says} (status {})", status.as_u16())))
    }
}

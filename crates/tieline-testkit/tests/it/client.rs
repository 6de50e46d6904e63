//! A client that sees bytes: what came, in which pieces it was read, and whether FIN or RST ended it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tieline_testkit::{Act, Channel, Script};

/// Far beyond any wait of a passing test.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How the server ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Fin,
    Rst,
}

pub(crate) fn start(script: impl Into<Script>) -> Channel {
    Channel::start(script).unwrap()
}

pub(crate) fn connect(channel: &Channel) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], channel.port()))).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn chat(body: &str) -> Vec<u8> {
    post("/v1/chat/completions", body)
}

pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends one request on a connection of its own and reads to its end.
pub(crate) fn once(channel: &Channel, request: &[u8]) -> (Vec<u8>, Ending) {
    let mut stream = connect(channel);
    stream.write_all(request).unwrap();
    read_to_end(&mut stream)
}

/// What the channel answers to a chat request under this act, which ends the connection.
pub(crate) fn answer_to_chat(act: Act) -> (Vec<u8>, Ending) {
    once(&start(act), &chat(HELLO))
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Ending) {
    let mut all = Vec::new();
    let mut piece = vec![0; 65_536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (all, Ending::Fin),
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, Ending::Rst),
            Err(error) => panic!("after {} bytes: {error}", all.len()),
        }
    }
}

/// Reads exactly one response and gives its head and its body without chunk framing.
pub(crate) fn read_response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim().to_owned())
    };
    let mut body = Vec::new();
    if let Some(length) = value("content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).unwrap();
    } else if value("transfer-encoding").as_deref() == Some("chunked") {
        while let Some(chunk) = read_chunk(stream) {
            body.extend_from_slice(&chunk);
        }
    }
    (head, body)
}

fn read_chunk(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).unwrap();
    assert!(chunk.ends_with(b"\r\n"), "a chunk ends with CRLF");
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

/// The whole answer of an act, as one connection's bytes; the request asks to close.
pub(crate) fn wire_bytes(act: Act) -> Vec<u8> {
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{HELLO_STREAM}",
        HELLO_STREAM.len()
    );
    let (bytes, ending) = once(&start(act), request.as_bytes());
    assert_eq!(ending, Ending::Fin);
    bytes
}

pub(crate) const HELLO: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello, tie line"}]}"#;
pub(crate) const HELLO_STREAM: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello, tie line"}]}"#;

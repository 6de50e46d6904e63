//! The origin of benchmarks: a chat completion of fixed bytes at the least CPU per call.
//!
//! `scripted_channel --listen 127.0.0.1:PORT [--chunks 50] [--bytes 1024]` answers every request with the same
//! completion of about `--bytes` bytes; a request whose body has `"stream":true` gets `--chunks` content events, each
//! in a write of its own. It looks for the end of the head, Content-Length and that member, and at nothing else: it
//! is not for tests of behaviour, which the library's `Channel` serves.
//! Bounds: a request of [`REQUEST_BYTES_MAX`]; a request with a chunked body ends its connection.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem::Finder;
use tieline_testkit::{Answer, Usage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let origin = Rc::new(Origin::new(&options));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(options.listen).await?;
        writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let origin = Rc::clone(&origin);
            // A connection that fails concerns its client alone.
            tokio::task::spawn_local(async move { origin.serve(stream).await.ok() });
        }
    })
}

struct Options {
    listen: SocketAddr,
    chunks: usize,
    bytes: usize,
}

/// Prebuilt answers and searchers.
struct Origin {
    whole: Bytes,
    /// The first holds the head of the response, too; the last also what ends it.
    stream: Vec<Bytes>,
    head_end: Finder<'static>,
    stream_member: Finder<'static>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            chunks: 50,
            bytes: 1024,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let wrong = |error: &dyn std::fmt::Display| format!("{word} {value}: {error}");
            match word.as_str() {
                "--listen" => options.listen = value.parse().map_err(|error| wrong(&error))?,
                "--chunks" => options.chunks = value.parse().map_err(|error| wrong(&error))?,
                "--bytes" => options.bytes = value.parse().map_err(|error| wrong(&error))?,
                _ => {
                    return Err(format!(
                        "unknown option {word}; there are --listen --chunks --bytes"
                    ));
                }
            }
        }
        Ok(options)
    }
}

impl Origin {
    fn new(options: &Options) -> Self {
        let frame = |length: usize| Answer {
            id: "chatcmpl-00000000".to_owned(),
            model: "scripted".to_owned(),
            text: vec!["x".repeat(length)],
            usage: Usage {
                input: 256,
                cached: 0,
                output: 256,
            },
            ..Answer::default()
        };
        let empty_bytes = frame(0).openai_json().len();
        let whole = frame(options.bytes.saturating_sub(empty_bytes)).openai_json();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            whole.len()
        );
        Self {
            whole: Bytes::from([head.as_bytes(), &whole].concat()),
            stream: stream_writes(options.chunks),
            head_end: Finder::new(b"\r\n\r\n"),
            stream_member: Finder::new(br#""stream":true"#),
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            let (head_bytes, body_bytes) = loop {
                if let Some(end) = self.head_end.find(&buffer) {
                    break (end + 4, body_length(buffer.get(..end).unwrap_or_default())?);
                }
                if !fill(&mut stream, &mut buffer).await? {
                    return Ok(());
                }
            };
            let total = head_bytes.saturating_add(body_bytes);
            if total > REQUEST_BYTES_MAX {
                return Err(io::Error::other("request over the limit"));
            }
            while buffer.len() < total {
                if !fill(&mut stream, &mut buffer).await? {
                    return Ok(());
                }
            }
            let is_stream = self
                .stream_member
                .find(buffer.get(head_bytes..total).unwrap_or_default())
                .is_some();
            if buffer.len() == total {
                buffer.clear();
            } else {
                buffer.advance(total);
            }
            if is_stream {
                for piece in &self.stream {
                    stream.write_all(piece).await?;
                    // Streams take turns, as those of a real channel do: whoever reads has no second piece to find
                    // behind the first unless it is slower than all of them together.
                    tokio::task::yield_now().await;
                }
            } else {
                stream.write_all(&self.whole).await?;
            }
        }
    }
}

/// One write per content event: the role event goes with the head before the first, the end with the last.
fn stream_writes(chunks: usize) -> Vec<Bytes> {
    let answer = Answer {
        id: "chatcmpl-00000000".to_owned(),
        model: "scripted".to_owned(),
        text: vec![" token".to_owned(); chunks],
        ..Answer::default()
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let frames = answer.openai_stream(true);
    let last = frames.len().saturating_sub(1);
    // The role event and, behind the content, finish, usage and [DONE].
    let content = 1..=chunks;
    let mut writes: Vec<Vec<u8>> = Vec::with_capacity(chunks);
    let mut pending = head.as_bytes().to_vec();
    for (place, frame) in frames.iter().enumerate() {
        pending.extend_from_slice(format!("{:x}\r\n", frame.len()).as_bytes());
        pending.extend_from_slice(frame);
        pending.extend_from_slice(b"\r\n");
        if content.contains(&place) && place != chunks || place == last {
            writes.push(std::mem::take(&mut pending));
        }
    }
    if let Some(end) = writes.last_mut() {
        end.extend_from_slice(b"0\r\n\r\n");
    }
    writes.into_iter().map(Bytes::from).collect()
}

/// False when the client has closed.
async fn fill(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<bool> {
    buffer.reserve(READ_BYTES);
    Ok(stream.read_buf(buffer).await? > 0)
}

/// The Content-Length of a head; 0 where there is none.
fn body_length(head: &[u8]) -> io::Result<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        let name = line.get(..15).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length:") {
            let value = std::str::from_utf8(line.get(15..).unwrap_or_default()).unwrap_or_default();
            return value
                .trim()
                .parse()
                .map_err(|_| io::Error::other("content-length"));
        }
        if name.eq_ignore_ascii_case(b"transfer-encodi") {
            return Err(io::Error::other("a chunked request body"));
        }
    }
    Ok(0)
}

/// 16 KiB: an ordinary request in one read.
const READ_BYTES: usize = 16 * 1024;
/// 16 MiB: the largest prompt of any scenario is 200 KB.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_large_and_in_as_many_writes_as_asked_for() {
        for chunks in [1, 2, 50] {
            let origin = Origin::new(&Options {
                chunks,
                ..Options::parse([].into_iter()).unwrap()
            });
            assert_eq!(origin.stream.len(), chunks);
            let text = String::from_utf8(origin.stream.concat()).unwrap();
            assert_eq!(text.matches(r#"{"content":" token"}"#).count(), chunks);
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
            assert!(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
            let body_bytes = origin.whole.len() - origin.head_end.find(&origin.whole).unwrap() - 4;
            assert_eq!(body_bytes, 1024);
        }
    }

    #[test]
    fn the_length_of_a_body_is_found_or_refused() {
        assert_eq!(body_length(b"GET / HTTP/1.1\r\nhost: x").unwrap(), 0);
        assert_eq!(body_length(b"POST / HTTP/1.1\r\nContent-Length: 12").unwrap(), 12);
        assert!(body_length(b"POST / HTTP/1.1\r\ncontent-length: x").is_err());
        assert!(body_length(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked").is_err());
    }
}

//! Reads HTTP/1.1 requests from bytes that arrive in any pieces. Pure: no sockets, no clock.
//!
//! Contract: feed bytes, take requests; the same bytes give the same requests however they are split. Refused with
//! a status: a malformed head, two framings at once (RFC 9112 section 6.3), a head or a body over its limit.
//! Bounds: at most [`Limits::head_bytes_max`] of head and [`Limits::body_bytes_max`] of body are ever held.

use std::mem;

use bytes::{Bytes, BytesMut};

/// Bounds of what one request may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Request line and headers together; trailers of a chunked body, too.
    pub head_bytes_max: usize,
    /// The body after its transfer coding is taken off.
    pub body_bytes_max: usize,
}

/// One request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// The request target as it came: path and query.
    pub target: String,
    /// In order of arrival, names as sent; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whether the client wants the connection to stay open after the answer.
    pub keep_alive: bool,
}

/// Why a request was refused; the connection has to close, as its framing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    #[error("request head over the limit")]
    HeadTooLarge,
    #[error("request body over the limit")]
    BodyTooLarge,
}

/// The state between two reads.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    buffer: BytesMut,
    state: State,
    continue_wanted: bool,
}

#[derive(Debug)]
enum State {
    Head,
    Length {
        head: Request,
        length: usize,
    },
    Chunked {
        head: Request,
        body: BytesMut,
        part: Part,
    },
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Size,
    Data { left: usize },
    DataEnd,
    Trailers { seen_bytes: usize },
}

enum Framing {
    Length(usize),
    Chunked,
}

impl RequestReader {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            state: State::Head,
            continue_wanted: false,
        }
    }

    /// Adds bytes as they came from the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole request, or `None` while bytes are missing.
    pub fn next_request(&mut self) -> Result<Option<Request>, Refusal> {
        loop {
            match mem::replace(&mut self.state, State::Head) {
                State::Head => match self.head()? {
                    Some(state) => self.state = state,
                    None => return Ok(None),
                },
                State::Length { mut head, length } => {
                    if self.buffer.len() < length {
                        self.state = State::Length { head, length };
                        return Ok(None);
                    }
                    head.body = self.buffer.split_to(length).freeze();
                    return Ok(Some(head));
                }
                State::Chunked {
                    mut head,
                    mut body,
                    part,
                } => match self.chunked(&mut body, part)? {
                    Chunks::Done => {
                        head.body = body.freeze();
                        return Ok(Some(head));
                    }
                    Chunks::Next(part) => self.state = State::Chunked { head, body, part },
                    Chunks::Starved => {
                        self.state = State::Chunked { head, body, part };
                        return Ok(None);
                    }
                },
            }
        }
    }

    /// Whether no byte of a next request has come yet.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty() && matches!(self.state, State::Head)
    }

    /// Bytes held that belong to no finished request.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the head just read asks for `100 Continue`; answers true once per request.
    pub fn take_continue(&mut self) -> bool {
        mem::take(&mut self.continue_wanted)
    }

    /// Where a socket may read into; grows by at most [`READ_BYTES`] at a time.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    fn head(&mut self) -> Result<Option<State>, Refusal> {
        let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut slots);
        let status = parsed.parse(&self.buffer).map_err(|error| match error {
            httparse::Error::TooManyHeaders => Refusal::HeadTooLarge,
            _ => Refusal::Malformed("head"),
        })?;
        let httparse::Status::Complete(used) = status else {
            if self.buffer.len() > self.limits.head_bytes_max {
                return Err(Refusal::HeadTooLarge);
            }
            return Ok(None);
        };
        if used > self.limits.head_bytes_max {
            return Err(Refusal::HeadTooLarge);
        }
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| {
                (
                    header.name.to_owned(),
                    String::from_utf8_lossy(header.value).into_owned(),
                )
            })
            .collect();
        let head = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            keep_alive: wants_keep_alive(parsed.version, &headers),
            headers,
            body: Bytes::new(),
        };
        let framing = framing(&head.headers)?;
        self.continue_wanted =
            header(&head.headers, "expect").any(|value| value.eq_ignore_ascii_case("100-continue"));
        let _ = self.buffer.split_to(used);
        match framing {
            Framing::Length(length) if length > self.limits.body_bytes_max => Err(Refusal::BodyTooLarge),
            Framing::Length(length) => Ok(Some(State::Length { head, length })),
            Framing::Chunked => Ok(Some(State::Chunked {
                head,
                body: BytesMut::new(),
                part: Part::Size,
            })),
        }
    }

    /// One step through a chunked body (RFC 9112 section 7.1).
    fn chunked(&mut self, body: &mut BytesMut, part: Part) -> Result<Chunks, Refusal> {
        match part {
            Part::Size => self.chunk_size(body.len()),
            Part::Data { left } => {
                let take = left.min(self.buffer.len());
                if take == 0 {
                    return Ok(Chunks::Starved);
                }
                body.extend_from_slice(&self.buffer.split_to(take));
                let left = left - take;
                Ok(Chunks::Next(if left == 0 {
                    Part::DataEnd
                } else {
                    Part::Data { left }
                }))
            }
            Part::DataEnd => match self.buffer.get(..2) {
                None => Ok(Chunks::Starved),
                Some(b"\r\n") => {
                    let _ = self.buffer.split_to(2);
                    Ok(Chunks::Next(Part::Size))
                }
                Some(_) => Err(Refusal::Malformed("chunk without its end")),
            },
            Part::Trailers { seen_bytes } => self.trailer(seen_bytes),
        }
    }

    fn chunk_size(&mut self, held_bytes: usize) -> Result<Chunks, Refusal> {
        match httparse::parse_chunk_size(&self.buffer) {
            Err(_) => Err(Refusal::Malformed("chunk size")),
            Ok(httparse::Status::Partial) if self.buffer.len() > CHUNK_LINE_BYTES_MAX => {
                Err(Refusal::Malformed("chunk line over the limit"))
            }
            Ok(httparse::Status::Partial) => Ok(Chunks::Starved),
            Ok(httparse::Status::Complete((used, _))) if used > CHUNK_LINE_BYTES_MAX => {
                Err(Refusal::Malformed("chunk line over the limit"))
            }
            Ok(httparse::Status::Complete((used, size))) => {
                let size = usize::try_from(size).map_err(|_| Refusal::BodyTooLarge)?;
                if size > self.limits.body_bytes_max.saturating_sub(held_bytes) {
                    return Err(Refusal::BodyTooLarge);
                }
                let _ = self.buffer.split_to(used);
                Ok(Chunks::Next(if size == 0 {
                    Part::Trailers { seen_bytes: 0 }
                } else {
                    Part::Data { left: size }
                }))
            }
        }
    }

    /// Reads and drops one trailer line; the empty one ends the body.
    fn trailer(&mut self, seen_bytes: usize) -> Result<Chunks, Refusal> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            let over = self.buffer.len() + seen_bytes > self.limits.head_bytes_max;
            return if over {
                Err(Refusal::HeadTooLarge)
            } else {
                Ok(Chunks::Starved)
            };
        };
        let line = self.buffer.split_to(end + 1);
        let seen_bytes = seen_bytes + line.len();
        if seen_bytes > self.limits.head_bytes_max {
            return Err(Refusal::HeadTooLarge);
        }
        let is_last = matches!(&line[..], b"\r\n" | b"\n");
        Ok(if is_last {
            Chunks::Done
        } else {
            Chunks::Next(Part::Trailers { seen_bytes })
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
        }
    }
}

impl Refusal {
    /// The HTTP status that says so (RFC 9110 section 15.5, RFC 6585 section 5).
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
        }
    }
}

enum Chunks {
    Next(Part),
    Starved,
    Done,
}

fn header<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn wants_keep_alive(version: Option<u8>, headers: &[(String, String)]) -> bool {
    let says = |token: &str| {
        header(headers, "connection")
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if version == Some(1) {
        !says("close")
    } else {
        says("keep-alive")
    }
}

fn framing(headers: &[(String, String)]) -> Result<Framing, Refusal> {
    let mut codings = header(headers, "transfer-encoding");
    let mut lengths = header(headers, "content-length");
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(Refusal::Malformed("both transfer-encoding and content-length")),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
            Ok(Framing::Chunked)
        }
        (Some(_), None) => Err(Refusal::Malformed("transfer-encoding other than chunked")),
        (None, Some(first)) => {
            if lengths.any(|other| other != first) {
                return Err(Refusal::Malformed("two different content-lengths"));
            }
            if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::Malformed("content-length"));
            }
            // Only digits, so the one way to fail is a number beyond every limit.
            first
                .parse()
                .map(Framing::Length)
                .map_err(|_| Refusal::BodyTooLarge)
        }
        (None, None) => Ok(Framing::Length(0)),
    }
}

/// 64 KiB: twice what the most talkative SDK sends with a full set of beta headers and traces.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// 64 MiB: a prompt of 10 million tokens at four bytes each is 40 MB, and images come on top.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// 128 headers × at most 512 bytes each is what fits into [`HEAD_BYTES_MAX`].
const HEADERS_MAX: usize = 128;
/// 16 hexadecimal digits, CRLF, and room for an extension nobody reads.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// One socket read: 16 KiB holds a whole ordinary request.
const READ_BYTES: usize = 16 * 1024;

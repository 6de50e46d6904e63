//! The head of an answer: status, headers, and how its body is framed (RFC 9112, sections 4 to 6).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;

use super::Malformed;
use super::body::Framing;

/// Bytes of a head: common servers send at most 8 KiB for all headers together, some proxies 32.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Headers of a head; those of the large providers are fewer than 40.
const HEADERS_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) framing: Framing,
    pub(super) headers: HeaderMap,
    /// Whether the connection may be used again once the body has ended.
    pub(super) is_reusable: bool,
    pub(super) status: StatusCode,
}

/// Takes a head from the front of `buffer`; `None` while bytes of it are missing.
pub(super) fn parse(buffer: &mut BytesMut) -> Result<Option<Head>, Malformed> {
    loop {
        let Some((length, status, version, spans)) = scan(buffer)? else {
            return if buffer.len() > HEAD_BYTES_MAX {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        if length > HEAD_BYTES_MAX {
            return Err(Malformed);
        }
        let bytes = buffer.split_to(length).freeze();
        match status.as_u16() {
            // Nothing was asked that would switch protocols.
            101 => return Err(Malformed),
            // Informational; the answer follows.
            100..200 => {}
            _ => return head(&bytes, status, version, &spans).map(Some),
        }
    }
}

type Spans = SmallVec<[(Range<usize>, Range<usize>); 24]>;

/// Length, status, minor version, and where names and values stand.
fn scan(buffer: &[u8]) -> Result<Option<(usize, StatusCode, u8, Spans)>, Malformed> {
    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, buffer, &mut slots)
        .map_err(|_| Malformed)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Malformed)?;
    let span = |part: &[u8]| {
        let start = (part.as_ptr() as usize).wrapping_sub(buffer.as_ptr() as usize);
        start..start.wrapping_add(part.len())
    };
    let spans = response
        .headers
        .iter()
        .map(|header| (span(header.name.as_bytes()), span(header.value)));
    Ok(Some((
        length,
        status,
        response.version.unwrap_or(0),
        spans.collect(),
    )))
}

fn head(bytes: &Bytes, status: StatusCode, version: u8, spans: &Spans) -> Result<Head, Malformed> {
    let mut headers = HeaderMap::with_capacity(spans.len());
    for (name, value) in spans {
        let name = bytes.get(name.clone()).ok_or(Malformed)?;
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed)?;
        let value = value.start..value.end.min(bytes.len());
        let value = HeaderValue::from_maybe_shared(bytes.slice(value)).map_err(|_| Malformed)?;
        headers.try_append(name, value).map_err(|_| Malformed)?;
    }
    let closes = || tokens(&headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("close"));
    let mut is_reusable = version == 1 && !closes();
    let framing = framing(status, &headers, version, &mut is_reusable)?;
    Ok(Head {
        framing,
        headers,
        is_reusable,
        status,
    })
}

/// How the body is framed (RFC 9112, section 6.3). Two ways at once is how requests are smuggled: such an answer is
/// read by its chunks, and its connection not used again.
fn framing(
    status: StatusCode,
    headers: &HeaderMap,
    version: u8,
    is_reusable: &mut bool,
) -> Result<Framing, Malformed> {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Framing::length(0));
    }
    let mut codings = tokens(headers, &header::TRANSFER_ENCODING);
    if let Some(coding) = codings.next() {
        // Only chunks were asked for.
        if version != 1 || !coding.eq_ignore_ascii_case("chunked") || codings.next().is_some() {
            return Err(Malformed);
        }
        *is_reusable &= !headers.contains_key(header::CONTENT_LENGTH);
        return Ok(Framing::chunked());
    }
    let mut lengths = tokens(headers, &header::CONTENT_LENGTH).map(length);
    let Some(first) = lengths.next() else {
        if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Malformed);
        }
        *is_reusable = false;
        return Ok(Framing::Close);
    };
    let first = first?;
    if lengths.all(|other| other == Ok(first)) {
        Ok(Framing::length(first))
    } else {
        Err(Malformed)
    }
}

/// The members of a list header that may come several times. A value that is no text is one empty member.
fn tokens<'h>(headers: &'h HeaderMap, name: &'h HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or(""));
    values.flat_map(|value| value.split(',').map(str::trim))
}

fn length(text: &str) -> Result<u64, Malformed> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        text.parse().map_err(|_| Malformed)
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "it reads better where it is called")]
    fn check(text: &str, expected: Result<Option<(u16, Framing, bool)>, Malformed>) {
        let mut buffer = BytesMut::from(text);
        let found = parse(&mut buffer);
        let found = found.map(|head| head.map(|head| (head.status.as_u16(), head.framing, head.is_reusable)));
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn heads_say_how_their_bodies_are_framed() {
        let length = |length, again| Ok(Some((200, Framing::length(length), again)));
        check("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n", length(12, true));
        check(
            "HTTP/1.1 200\r\nContent-Length: 12\r\nconnection: Keep-Alive, CLOSE\r\n\r\n",
            length(12, false),
        );
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\n",
            length(5, true),
        );
        check("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", length(5, false));
        check(
            "HTTP/1.1 204 No Content\r\n\r\n",
            Ok(Some((204, Framing::length(0), true))),
        );
        let chunked = |again| Ok(Some((200, Framing::chunked(), again)));
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n",
            chunked(true),
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            chunked(false),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", Ok(Some((200, Framing::Close, false))));
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n",
            length(1, true),
        );
    }

    #[test]
    fn what_is_missing_is_waited_for_and_what_is_wrong_refused() {
        check("", Ok(None));
        check("HTTP/1.1 200 OK\r\ncontent-le", Ok(None));
        check("HTTP/1.1 100 Continue\r\n\r\n", Ok(None));
        for text in [
            "SMTP 220\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        ] {
            check(text, Err(Malformed));
        }
        check(
            &format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX)),
            Err(Malformed),
        );
        check(
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1)),
            Err(Malformed),
        );
    }
}

//! A caller that notes what it sees and when: status, headers, first byte, first content, the longest gap, how it ended,
//! and what an application would make of the bytes.
//!
//! Bounds: an answer of at most [`BODY_BYTES_MAX`], and a call of at most the time that it is given.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tieline_core::Dialect;

/// Four times the longest answer of the catalogue, which is an event of 9 MB.
const BODY_BYTES_MAX: usize = 36 << 20;

/// A call to be made.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) dialect: Dialect,
    pub(super) key: String,
    pub(super) listen: SocketAddr,
    /// A call that lasts longer hangs.
    pub(super) longest: Duration,
    pub(super) manner: Manner,
    pub(super) pool: String,
    pub(super) stream: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Leaves once it has content.
    Leaves,
    /// Stops reading for so long once it has content.
    Pauses(Duration),
    Reads,
}

/// How an answer ended, as its connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The body's framing broke.
    Cut,
    Framed,
    /// It did not end in time.
    Hung,
    /// The caller left.
    Left,
    /// No answer at all.
    NoAnswer,
}

/// What the caller saw.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) asked: Instant,
    pub(super) body: BytesMut,
    pub(super) end: End,
    pub(super) first_byte: Option<Duration>,
    pub(super) first_content: Option<Duration>,
    pub(super) gap_max: Duration,
    pub(super) headers: http::HeaderMap,
    pub(super) status: u16,
    pub(super) total: Duration,
}

/// What an application makes of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The code of an error, in the place where the dialect has it.
    pub(super) code: Option<String>,
    /// Events, or a body, that are no JSON.
    pub(super) malformed: usize,
    pub(super) stop: Option<String>,
    pub(super) terminated: bool,
    pub(super) text: String,
}

/// Make a call. `on_content` runs once, when the first content is there.
pub(super) async fn call<F>(ask: &Ask, on_content: impl FnOnce() -> F) -> Got
where
    F: Future<Output = ()>,
{
    let mut got = Got::new(Instant::now());
    let reading = answer(ask, &mut got, on_content);
    if let Ok(end) = tokio::time::timeout(ask.longest, reading).await {
        got.end = end;
    }
    got.total = got.asked.elapsed();
    got
}

async fn answer<F>(ask: &Ask, got: &mut Got, on_content: impl FnOnce() -> F) -> End
where
    F: Future<Output = ()>,
{
    let client = Client::builder(TokioExecutor::new()).build_http();
    let Ok(response) = client.request(request(ask)).await else {
        return End::NoAnswer;
    };
    got.status = response.status().as_u16();
    got.headers = response.headers().clone();
    let mut body = response.into_body();
    let mut on_content = Some(on_content);
    let mut last = got.asked.elapsed();
    // Events before this byte were looked at for content.
    let mut looked_at = 0;
    loop {
        let Some(frame) = next(&mut body).await else {
            return End::Framed;
        };
        let Ok(data) = frame else { return End::Cut };
        let now = got.asked.elapsed();
        if got.first_byte.is_some() {
            got.gap_max = got.gap_max.max(now.saturating_sub(last));
        }
        got.first_byte = got.first_byte.or(Some(now));
        last = now;
        got.body.extend_from_slice(&data);
        if got.body.len() > BODY_BYTES_MAX {
            return End::Cut;
        }
        if got.first_content.is_none() && has_content(ask.dialect, &got.body, &mut looked_at) {
            got.first_content = Some(now);
            if let Some(on_content) = on_content.take() {
                on_content().await;
            }
            match ask.manner {
                Manner::Leaves => return End::Left,
                Manner::Pauses(time) => tokio::time::sleep(time).await,
                Manner::Reads => {}
            }
        }
    }
}

async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

fn request(ask: &Ask) -> http::Request<Full<Bytes>> {
    let (messages, model, stream) = (
        json!([{ "role": "user", "content": "What is a tie line?" }]),
        &ask.pool,
        ask.stream,
    );
    let (path, name, key, body) = match ask.dialect {
        Dialect::OpenaiChat => {
            let mut body = json!({ "messages": messages, "model": model, "stream": stream });
            if let Some(body) = body.as_object_mut().filter(|_| stream) {
                body.insert("stream_options".to_owned(), json!({ "include_usage": true }));
            }
            let key = format!("Bearer {}", ask.key);
            ("/v1/chat/completions", "authorization", key, body)
        }
        Dialect::AnthropicMessages => {
            let body = json!({ "max_tokens": 64, "messages": messages, "model": model, "stream": stream });
            ("/v1/messages", "x-api-key", ask.key.clone(), body)
        }
    };
    let mut request = http::Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = http::Method::POST;
    if let Ok(uri) = format!("http://{}{path}", ask.listen).parse() {
        *request.uri_mut() = uri;
    }
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(http::header::CONTENT_TYPE, json);
    if let Ok(value) = http::HeaderValue::from_str(&key) {
        request.headers_mut().insert(name, value);
    }
    request
}

// === reading ===

impl Got {
    /// A caller that left before it had anything.
    pub(super) fn left(asked: Instant) -> Self {
        Self {
            end: End::Left,
            total: asked.elapsed(),
            ..Self::new(asked)
        }
    }

    fn new(asked: Instant) -> Self {
        Self {
            asked,
            body: BytesMut::new(),
            end: End::Hung,
            first_byte: None,
            first_content: None,
            gap_max: Duration::ZERO,
            headers: http::HeaderMap::new(),
            status: 0,
            total: Duration::ZERO,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What an application makes of it.
    pub(super) fn reading(&self, dialect: Dialect) -> Reading {
        let is_stream = self
            .header("content-type")
            .is_some_and(|value| value.starts_with("text/event-stream"));
        let mut reading = Reading::default();
        if is_stream {
            for event in events(&self.body) {
                reading.event(dialect, &event);
            }
        } else {
            reading.whole(dialect, &self.body);
        }
        reading
    }
}

impl Reading {
    fn event(&mut self, dialect: Dialect, event: &Event<'_>) {
        if event.data == "[DONE]" {
            self.terminated = dialect == Dialect::OpenaiChat;
            return;
        }
        let Ok(value) = serde_json::from_str::<Value>(event.data) else {
            self.malformed += 1;
            return;
        };
        // Nothing may follow the end of an answer, but what says it again.
        self.text.push_str(content(dialect, &value));
        self.error(dialect, &value);
        let stop = match dialect {
            Dialect::OpenaiChat => "/choices/0/finish_reason",
            Dialect::AnthropicMessages => "/delta/stop_reason",
        };
        self.stop = self.stop.take().or_else(|| text_at(&value, stop));
        self.terminated |= dialect == Dialect::AnthropicMessages && event.name == Some("message_stop");
    }

    fn whole(&mut self, dialect: Dialect, body: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            self.malformed += 1;
            return;
        };
        self.error(dialect, &value);
        let (text, stop) = match dialect {
            Dialect::OpenaiChat => ("/choices/0/message/content", "/choices/0/finish_reason"),
            Dialect::AnthropicMessages => ("/content/0/text", "/stop_reason"),
        };
        self.text = text_at(&value, text).unwrap_or_default();
        self.stop = text_at(&value, stop);
        self.terminated = self.stop.is_some();
    }

    /// An error in the dialect's own envelope; one in another is none that its SDK would know.
    fn error(&mut self, dialect: Dialect, value: &Value) {
        let Some(error) = value.get("error").filter(|error| error.is_object()) else {
            return;
        };
        let is_own = match dialect {
            Dialect::OpenaiChat => value.get("type").is_none() && error.get("message").is_some(),
            Dialect::AnthropicMessages => value.get("type").and_then(Value::as_str) == Some("error"),
        };
        let place = match dialect {
            Dialect::OpenaiChat => "/code",
            Dialect::AnthropicMessages => "/details/error_code",
        };
        let named = text_at(error, place).or_else(|| text_at(error, "/type"));
        self.code = named.filter(|_| is_own);
    }
}

struct Event<'a> {
    data: &'a str,
    name: Option<&'a str>,
}

/// The whole events of a stream that have data.
fn events<'a>(bytes: &'a [u8]) -> Vec<Event<'a>> {
    let text = std::str::from_utf8(bytes).unwrap_or("data: not UTF-8");
    let event = |block: &'a str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Some(Event {
            data: field("data: ")?,
            name: field("event: "),
        })
    };
    text.split("\n\n").filter_map(event).collect()
}

fn content(dialect: Dialect, value: &Value) -> &str {
    let place = match dialect {
        Dialect::OpenaiChat => "/choices/0/delta/content",
        Dialect::AnthropicMessages => "/delta/text",
    };
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn has_content(dialect: Dialect, body: &[u8], looked_at: &mut usize) -> bool {
    let new = body.get(*looked_at..).unwrap_or_default();
    let Some(end) = new.windows(2).rposition(|pair| pair == b"\n\n") else {
        return false;
    };
    *looked_at += end + 2;
    let whole = new.get(..end + 2).unwrap_or_default();
    events(whole).iter().any(|event| {
        let value = serde_json::from_str::<Value>(event.data).unwrap_or_default();
        !content(dialect, &value).is_empty()
    })
}

fn text_at(value: &Value, place: &str) -> Option<String> {
    value.pointer(place).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, body: &str, expected: &Reading) {
        let mut reading = Reading::default();
        for event in events(body.as_bytes()) {
            reading.event(dialect, &event);
        }
        assert_eq!(&reading, expected, "{body}");
    }

    #[test]
    fn an_application_sees_text_stop_and_error() {
        let whole = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let expected = Reading {
            stop: Some("stop".into()),
            terminated: true,
            text: "a".into(),
            ..Reading::default()
        };
        check(Dialect::OpenaiChat, whole, &expected);
        let broken = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\",\"details\":{\"error_code\":\"answer_cut\"}}}\n\n";
        let expected = Reading {
            code: Some("answer_cut".into()),
            ..Reading::default()
        };
        check(Dialect::AnthropicMessages, broken, &expected);
        let bad = "data: {\"choi\n\n";
        let expected = Reading {
            malformed: 1,
            ..Reading::default()
        };
        check(Dialect::OpenaiChat, bad, &expected);
    }
}

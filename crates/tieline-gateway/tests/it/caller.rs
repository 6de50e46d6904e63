//! A caller that sees bytes: heads, chunks as they come, and how the connection ended.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::Value;
use tieline_core::{CallId, Dialect};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{ALLOWED, LIMIT, key};

/// A request to be.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) method: String,
    pub(crate) path: String,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// FIN before the body's framing was whole.
    Fin,
    /// The body came whole.
    Framed,
    Rst,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) end: End,
    pub(crate) head: Head,
}

#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) status: u16,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Caller<S = TcpStream> {
    buffer: BytesMut,
    framing: Framing,
    pub(crate) stream: S,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunked,
    Length(usize),
}

/// A plain request of each dialect, with members that nobody reads and spaces where none are needed.
pub(crate) const CHAT: &str = r#"{ "model" : "chat", "x_unknown":[1, 2.50e1 ,{"deep":null}],"messages":[{"role":"user","content":"Hello there"}]}"#;
pub(crate) const CHAT_STREAM: &str =
    r#"{"messages":[{"role":"user","content":"Hello there"}],"stream":true,"model":"chat"}"#;
pub(crate) const MESSAGES: &str = r#"{ "model" : "chat","max_tokens":64, "x_unknown":true,"messages":[{"role":"user","content":"Hello there"}]}"#;
pub(crate) const MESSAGES_STREAM: &str =
    r#"{"max_tokens":64,"messages":[{"role":"user","content":"Hello there"}],"stream":true,"model":"chat"}"#;

impl Ask {
    pub(crate) fn new(method: &str, path: &str, body: impl AsRef<[u8]>) -> Self {
        Self {
            body: body.as_ref().to_vec(),
            headers: vec![("host".into(), "gateway.example".into())],
            method: method.into(),
            path: path.into(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path, "")
    }

    /// A chat completion under the key that may do everything.
    pub(crate) fn chat(body: impl AsRef<[u8]>) -> Self {
        Self::post(Dialect::OpenaiChat, body).key(ALLOWED)
    }

    pub(crate) fn messages(body: impl AsRef<[u8]>) -> Self {
        Self::post(Dialect::AnthropicMessages, body).key(ALLOWED)
    }

    /// The plain request of a dialect.
    pub(crate) fn plain(dialect: Dialect, stream: bool) -> Self {
        match (dialect, stream) {
            (Dialect::OpenaiChat, false) => Self::chat(CHAT),
            (Dialect::OpenaiChat, true) => Self::chat(CHAT_STREAM),
            (Dialect::AnthropicMessages, false) => Self::messages(MESSAGES),
            (Dialect::AnthropicMessages, true) => Self::messages(MESSAGES_STREAM),
        }
    }

    pub(crate) fn post(dialect: Dialect, body: impl AsRef<[u8]>) -> Self {
        let path = match dialect {
            Dialect::OpenaiChat => "/v1/chat/completions",
            Dialect::AnthropicMessages => "/v1/messages",
        };
        Self::new("POST", path, body).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With the key of this number, in the place where the dialect's SDK puts it.
    pub(crate) fn key(mut self, number: u8) -> Self {
        self.headers
            .retain(|(name, _)| name != "authorization" && name != "x-api-key");
        if self.path.ends_with("/messages") {
            self.header("x-api-key", &key(number))
        } else {
            self.header("authorization", &format!("Bearer {}", key(number)))
        }
    }

    /// The same to another path.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// The head alone, without the headers of framing.
    pub(crate) fn head(&self) -> String {
        let lines = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        format!(
            "{} {} HTTP/1.1\r\n{}",
            self.method,
            self.path,
            lines.collect::<String>()
        )
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = self.head();
        if self.method != "GET" {
            head = format!("{head}content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Caller<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            buffer: BytesMut::new(),
            framing: Framing::Length(0),
            stream,
        }
    }

    pub(crate) async fn send(&mut self, ask: &Ask) {
        self.send_raw(&ask.bytes()).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> Head {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            let more = self.more().await;
            assert_eq!(more, None, "in the head: {:?}", self.buffer);
        };
        let text = self.buffer.split_to(end + 4);
        let text = std::str::from_utf8(&text).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let head = Head {
            headers: headers.collect(),
            status,
        };
        self.framing = match head.header("transfer-encoding") {
            Some("chunked") => Framing::Chunked,
            _ => Framing::Length(head.header("content-length").map_or(0, |n| n.parse().unwrap())),
        };
        head
    }

    /// The next piece of the body, or how it ended.
    pub(crate) async fn chunk(&mut self) -> Result<Bytes, End> {
        match self.framing {
            Framing::Length(0) => Err(End::Framed),
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    self.more_or_end().await?;
                }
                let piece = self.buffer.split_to(left.min(self.buffer.len())).freeze();
                self.framing = Framing::Length(left - piece.len());
                Ok(piece)
            }
            Framing::Chunked => {
                let line = loop {
                    match find(&self.buffer, b"\r\n") {
                        Some(end) => break end,
                        None => self.more_or_end().await?,
                    }
                };
                let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                while self.buffer.len() < line + 2 + size + 2 {
                    self.more_or_end().await?;
                }
                self.buffer.advance(line + 2);
                let piece = self.buffer.split_to(size).freeze();
                self.buffer.advance(2);
                if size == 0 {
                    self.framing = Framing::Length(0);
                    return Err(End::Framed);
                }
                Ok(piece)
            }
        }
    }

    /// The rest of the body.
    pub(crate) async fn rest(&mut self) -> (Vec<Bytes>, End) {
        let mut chunks = Vec::new();
        loop {
            match self.chunk().await {
                Ok(chunk) => chunks.push(chunk),
                Err(end) => return (chunks, end),
            }
        }
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let (chunks, end) = self.rest().await;
        Reply { chunks, end, head }
    }

    /// The answer to a method, HEAD's without a body whatever its length says.
    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        let head = self.head().await;
        if method == "HEAD" {
            self.framing = Framing::Length(0);
        }
        let (chunks, end) = self.rest().await;
        Reply { chunks, end, head }
    }

    /// Wait until the other side ends the connection; anything that it still says is a failure.
    pub(crate) async fn closed(&mut self) -> End {
        let end = self.more().await.expect("nothing more comes");
        assert!(self.buffer.is_empty(), "{:?}", self.buffer);
        end
    }

    async fn more_or_end(&mut self) -> Result<(), End> {
        self.more().await.map_or(Ok(()), Err)
    }

    /// Read once; `Some` if the connection ended.
    async fn more(&mut self) -> Option<End> {
        let read = tokio::time::timeout(LIMIT, self.stream.read_buf(&mut self.buffer))
            .await
            .unwrap_or_else(|_| panic!("nothing came; before: {:?}", self.buffer));
        match read {
            Ok(0) => Some(End::Fin),
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Some(End::Rst),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        assert_eq!(self.end, End::Framed, "{self:?}");
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        let bytes = self.bytes();
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The call that the answer names.
    pub(crate) fn call(&self) -> CallId {
        let id = self.header("x-tieline-call");
        id.unwrap_or_else(|| panic!("no call in {self:?}"))
            .parse()
            .unwrap()
    }

    /// What the answer says, in either dialect.
    pub(crate) fn said(&self) -> String {
        assert_eq!(self.status(), 200, "{self:?}");
        if self.header("content-type") == Some("text/event-stream") {
            return said_in(&self.bytes());
        }
        let json = self.json();
        let openai = json.pointer("/choices/0/message/content");
        let anthropic = json.pointer("/content/0/text");
        openai.or(anthropic).unwrap().as_str().unwrap().to_owned()
    }

    /// Status, `type` and `code` of an error in the envelope of `dialect`.
    pub(crate) fn problem(&self, dialect: Dialect) -> (u16, String, Option<String>) {
        let json = self.json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let error = &json["error"];
        assert!(
            error["message"].as_str().is_some_and(|says| !says.is_empty()),
            "{json}"
        );
        match dialect {
            Dialect::AnthropicMessages => assert_eq!(json["type"], "error", "{json}"),
            Dialect::OpenaiChat => {
                assert!(json.get("type").is_none(), "{json}");
                assert!(error.get("param").is_some(), "{json}");
            }
        }
        let code = match dialect {
            Dialect::AnthropicMessages => &error["details"]["error_code"],
            Dialect::OpenaiChat => &error["code"],
        };
        (self.status(), text(&error["type"]).unwrap(), text(code))
    }
}

/// The events of a stream: name and data.
pub(crate) fn events(bytes: &[u8]) -> Vec<(Option<String>, String)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let event = |block: &str| {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        (
            field("event: "),
            field("data: ").unwrap_or_else(|| panic!("no data in {block:?}")),
        )
    };
    text.split("\n\n")
        .filter(|block| !block.is_empty())
        .map(event)
        .collect()
}

/// The text of a stream in either dialect.
pub(crate) fn said_in(bytes: &[u8]) -> String {
    let piece = |(_, data): &(Option<String>, String)| {
        let json: Value = serde_json::from_str(data).ok()?;
        let openai = json.pointer("/choices/0/delta/content");
        let anthropic = json.pointer("/delta/text");
        openai.or(anthropic)?.as_str().map(str::to_owned)
    };
    events(bytes).iter().filter_map(piece).collect()
}

/// Whether the stream ended with the dialect's terminator.
pub(crate) fn is_terminated(dialect: Dialect, bytes: &[u8]) -> bool {
    let last = events(bytes).pop();
    match dialect {
        Dialect::OpenaiChat => last.is_some_and(|(_, data)| data == "[DONE]"),
        Dialect::AnthropicMessages => last.is_some_and(|(name, _)| name.as_deref() == Some("message_stop")),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

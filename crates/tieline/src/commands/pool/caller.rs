//! Asking through the gateway, as any application does: one answer in one piece, in the dialect `openai_chat`.
//!
//! What comes back is an answer to be judged, a refusal that is the model's own, or no answer at all, with why; whatever
//! text there was goes no further than the answer. Bounds: [`ANSWER_BYTES_MAX`], a limit of time for each call with all
//! that it waits for, and [`TRIES_MAX`] tries where the gateway says when to come back.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tieline_core::Code;
use tokio::time::Instant;

use crate::cases::{Answer, Called};
use crate::output::{Failure, Result};

/// The longest answer: a million tokens, with their escapes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Tries of one call: the first, and two more once limits have freed.
const TRIES_MAX: u32 = 3;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One that asks with a key.
#[derive(Debug)]
pub(super) struct Caller {
    http: Http,
    key: String,
    url: String,
    within: Duration,
}

/// What came of a call.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its id, if the gateway took it.
    pub(super) call: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) got: Got,
    /// The model that answered, as the gateway says.
    pub(super) model: Option<String>,
}

#[derive(Debug)]
pub(super) enum Got {
    Answer(Answer),
    /// Nothing to judge, and why.
    Nothing(String),
    /// The model's channels refused the request as such, or none could be sent it.
    Refused(String),
}

impl Caller {
    pub(super) fn new(url: &str, ca: Option<&Path>, key: String, within: Duration) -> Result<Self> {
        let failed = |says: String| Failure::input(says);
        let tls = tieline_gateway::client_config(ca).map_err(failed)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let url = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
        let parsed: Option<http::Uri> = url.parse().ok();
        let fits = |uri: &http::Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some()
                && uri.query().is_none()
        };
        if !parsed.as_ref().is_some_and(fits) {
            return Err(failed(format!("`{url}` is no address of a gateway"))
                .with_hint("write it like http://127.0.0.1:8080"));
        }
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            key,
            url,
            within,
        })
    }

    /// Ask, and ask again where the gateway says when.
    pub(super) async fn ask(&self, request: &Value) -> Reply {
        let until = Instant::now() + self.within;
        let mut tries = 1;
        loop {
            let reply = tokio::time::timeout_at(until, self.once(request)).await;
            let Ok((reply, wait)) = reply else {
                return Reply::nothing(format!("no answer in {} s", self.within.as_secs()));
            };
            match wait {
                Some(wait) if tries < TRIES_MAX && Instant::now() + wait < until => {
                    tries += 1;
                    tokio::time::sleep(wait).await;
                }
                _ => return reply,
            }
        }
    }

    /// One try; with it, how long to wait for another.
    async fn once(&self, request: &Value) -> (Reply, Option<Duration>) {
        let nothing = |says: String| (Reply::nothing(says), None);
        let request = match self.request(request) {
            Ok(request) => request,
            Err(error) => return nothing(error.to_string()),
        };
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => return nothing(format!("cannot reach {}: {}", self.url, root_cause(&error))),
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let got = match body {
            Ok(body) => got(head.status, &head.headers, &body.to_bytes()),
            Err(_) => Got::Nothing("the answer broke off, or is too long".to_owned()),
        };
        let reply = Reply {
            call: header(&head.headers, "x-tieline-call"),
            channel: header(&head.headers, "x-tieline-channel"),
            got,
            model: header(&head.headers, "x-tieline-model"),
        };
        let may_come_back = matches!(head.status.as_u16(), 429 | 503 | 529);
        let wait = header(&head.headers, "retry-after").filter(|_| may_come_back);
        let wait = wait.and_then(|seconds| seconds.parse().ok());
        (reply, wait.map(Duration::from_secs))
    }

    fn request(&self, body: &Value) -> http::Result<http::Request<Full<Bytes>>> {
        http::Request::post(&self.url)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
    }
}

impl Reply {
    fn nothing(says: String) -> Self {
        Self {
            call: None,
            channel: None,
            got: Got::Nothing(says),
            model: None,
        }
    }
}

fn got(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Got {
    if status.is_success() {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let answer = answer(&value).map(Got::Answer);
        return answer.unwrap_or_else(|| Got::Nothing("the answer is none of the dialect".to_owned()));
    }
    let number = header(headers, "x-tieline-error");
    let code = number.and_then(|number| Code::ALL.iter().find(|code| code.number() == number));
    match code {
        // It could be sent to none of the model's channels as it stands.
        Some(code @ Code::TranslationImpossible) => Got::Refused(says(*code)),
        Some(code) => Got::Nothing(says(*code)),
        // What a channel says of the request itself is passed on; the rest is of its key, its load or its health.
        None if matches!(status.as_u16(), 400 | 413 | 415 | 422) => Got::Refused(format!(
            "a channel refused the request with status {}",
            status.as_u16()
        )),
        None => Got::Nothing(format!("status {}", status.as_u16())),
    }
}

/// The gateway's own words, without those about the call at hand.
fn says(code: Code) -> String {
    let title = code.title().trim_end_matches('.');
    format!("{}: {title}", code.number())
}

/// The first answer of a `chat.completion`.
fn answer(value: &Value) -> Option<Answer> {
    let choice = value.pointer("/choices/0")?;
    let message = choice.get("message")?;
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let called = |call: &Value| {
        let text = |name: &str| {
            call.pointer(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Called {
            arguments: text("/function/arguments"),
            name: text("/function/name"),
        }
    };
    Some(Answer {
        is_cut: choice.get("finish_reason").and_then(Value::as_str) == Some("length"),
        text: message
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        tools: calls.into_iter().flatten().map(called).collect(),
    })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What lies under an error: the client's own says only that it could not connect.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

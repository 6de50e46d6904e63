//! Steady load: each party calls one named model and the pool, over and over, and what it got is counted by when it asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The least time between two calls of one loop: a hundred a second each is load, and leaves the machine room.
const PACE: Duration = Duration::from_millis(10);

/// The longest that a call may take, on a slow machine with a real model.
const CALL_MAX: Duration = Duration::from_mins(1);

/// An answer is a few hundred bytes; an error no more.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Calls that are remembered: ten loops for a minute at their pace are 60,000, of 80 bytes each.
const CALLS_MAX: usize = 200_000;

pub(super) type Http = Client<HttpConnector, Full<Bytes>>;

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The first of the models that the letter names.
    First,
    /// The second, if it names two.
    Second,
    Pool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Denied,
    /// Anything else than an answer or a rule's refusal.
    Failed(String),
    /// Why, as the caller was told.
    Held(Arc<str>),
    /// By this model.
    Served(Arc<str>),
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) ask: Ask,
    pub(super) asked: Instant,
    pub(super) got: Got,
    /// Index of the party.
    pub(super) party: usize,
}

/// Loops that call until they are told to stop.
#[derive(Debug)]
pub(super) struct Load {
    records: Arc<Mutex<Vec<Record>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// An answer that is read piece by piece, so that it is in flight for as long as it lasts.
#[derive(Debug)]
pub(super) struct Stream {
    task: JoinHandle<StreamEnd>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// It ended with an error event, or broke.
    Cut,
    /// It came to its own end.
    Finished,
    /// It was under way when it was looked at.
    Running,
}

pub(super) fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

impl Load {
    /// One loop for each party and each thing to ask for. `asks` gives the name of each.
    pub(super) fn start(gateway: &str, keys: &[String], asks: &[(Ask, String)]) -> Self {
        let records = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (party, key) in keys.iter().enumerate() {
            for (ask, name) in asks {
                let call = Call {
                    key: key.clone(),
                    model: name.clone(),
                    url: format!("{gateway}/v1/chat/completions"),
                };
                let (ask, records, stop) = (*ask, records.clone(), stop.clone());
                tasks.push(tokio::spawn(calls(call, party, ask, records, stop)));
            }
        }
        Self { records, stop, tasks }
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Wait until every loop has the answers to `count` calls that it began after `since`; false if that takes too long.
    pub(super) async fn wait_each(&self, count: usize, since: Instant, limit: Duration) -> bool {
        let loops = self.tasks.len();
        let enough = || {
            let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            let mut counts: Vec<((usize, u8), usize)> = Vec::new();
            for record in records.iter().rev().take_while(|r| r.asked + CALL_MAX > since) {
                if record.asked < since {
                    continue;
                }
                let of = (record.party, record.ask as u8);
                match counts.iter_mut().find(|(known, _)| *known == of) {
                    Some((_, n)) => *n += 1,
                    None => counts.push((of, 1)),
                }
            }
            counts.len() == loops && counts.iter().all(|(_, n)| *n >= count)
        };
        let until = Instant::now() + limit;
        let mut ticks = tokio::time::interval(PACE);
        while !enough() {
            if Instant::now() > until {
                return false;
            }
            ticks.tick().await;
        }
        true
    }

    pub(super) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

struct Call {
    key: String,
    model: String,
    url: String,
}

async fn calls(call: Call, party: usize, ask: Ask, records: Arc<Mutex<Vec<Record>>>, stop: Arc<AtomicBool>) {
    let http = client();
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let asked = Instant::now();
        let got = tokio::time::timeout(CALL_MAX, once(&http, &call)).await;
        let got = got.unwrap_or_else(|_| Got::Failed("no answer in a minute".to_owned()));
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < CALLS_MAX {
            records.push(Record {
                ask,
                asked,
                got,
                party,
            });
        }
    }
}

async fn once(http: &Http, call: &Call) -> Got {
    let response = match http.request(request(call, false)).await {
        Ok(response) => response,
        Err(error) => return Got::Failed(error.to_string()),
    };
    let served = response.headers().get("x-tieline-model");
    let served = served.and_then(|value| value.to_str().ok()).map(Arc::from);
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    if status.is_success() {
        return Got::Served(served.unwrap_or_else(|| "unknown".into()));
    }
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let says = |name: &str| value.pointer(name).and_then(Value::as_str).unwrap_or_default();
    match says("/error/code") {
        "denied" => Got::Denied,
        "held" => Got::Held(says("/error/message").into()),
        other => Got::Failed(format!("{status} {other}")),
    }
}

fn request(call: &Call, stream: bool) -> http::Request<Full<Bytes>> {
    let tokens = if stream { 512 } else { 4 };
    let body = json!({
        "max_tokens": tokens,
        "messages": [{ "content": "Count upwards, a number a line.", "role": "user" }],
        "model": call.model,
        "stream": stream,
    });
    let mut request = http::Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = call.url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    if let Ok(value) = http::HeaderValue::from_str(&format!("Bearer {}", call.key)) {
        headers.insert("authorization", value);
    }
    request
}

impl Stream {
    /// Open a long answer, and come back once its first piece is there.
    pub(super) async fn open(gateway: &str, key: &str, model: &str) -> Option<Self> {
        let call = Call {
            key: key.to_owned(),
            model: model.to_owned(),
            url: format!("{gateway}/v1/chat/completions"),
        };
        let response = client().request(request(&call, true)).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let mut body = response.into_body();
        body.frame().await?.ok()?;
        let task = tokio::spawn(async move {
            let mut last = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return StreamEnd::Cut };
                if let Ok(data) = frame.into_data() {
                    last = data.to_vec();
                }
            }
            if String::from_utf8_lossy(&last).contains("[DONE]") {
                StreamEnd::Finished
            } else {
                StreamEnd::Cut
            }
        });
        Some(Self { task })
    }

    /// How it ended within `limit`; what has not is left.
    pub(super) async fn end(mut self, limit: Duration) -> StreamEnd {
        if let Ok(end) = tokio::time::timeout(limit, &mut self.task).await {
            return end.unwrap_or(StreamEnd::Cut);
        }
        self.task.abort();
        StreamEnd::Running
    }
}

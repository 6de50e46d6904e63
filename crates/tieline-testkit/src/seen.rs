//! What the channel saw: one record per request, from its arrival to the end of its answer.
//!
//! Bounds: the newest [`SEEN_MAX`] records and [`SEEN_BYTES_MAX`] of bodies are kept; older ones are dropped, but
//! still counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::request::Request;

/// One request and what became of its answer.
#[derive(Debug, Clone)]
pub struct Seen {
    /// 0 for the first request of the channel's life.
    pub index: u64,
    /// 0 for the first connection of the channel's life.
    pub connection: u64,
    pub method: String,
    /// The request target: path and query as they came.
    pub path: String,
    /// Names as sent, in order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When the last byte of the request was read.
    pub arrived: Instant,
    /// The status that was to be sent; `None` while the answer is not planned, or where it is no HTTP.
    pub status: Option<u16>,
    /// Bytes of the answer that the socket took, head included.
    pub sent_bytes: u64,
    /// `None` while the answer is under way.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Every byte was written; the connection may serve another request.
    Complete,
    /// The script closed the connection in good order (FIN).
    Close,
    /// The script reset the connection (RST).
    Reset,
    /// The client closed or reset the connection before the script came to its end.
    ClientGone,
    /// The channel was killed or dropped.
    Killed,
}

/// A wait that ended before enough calls were seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saw {saw} of {wanted} within {limit:?}: {lines}")]
pub struct TooFew {
    pub saw: u64,
    pub wanted: u64,
    pub limit: Duration,
    /// One fragment per call that is kept, for the message of a failed test.
    pub lines: String,
}

impl Seen {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The body as JSON; `None` where it is not.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn new(index: u64, connection: u64, request: Request, arrived: Instant) -> Self {
        let Request {
            method,
            target,
            headers,
            body,
            ..
        } = request;
        Self {
            index,
            connection,
            method,
            path: target,
            headers,
            body,
            arrived,
            status: None,
            sent_bytes: 0,
            end: None,
        }
    }
}

/// The channel's memory.
#[derive(Debug, Default)]
pub(crate) struct Log {
    kept: VecDeque<Seen>,
    kept_bytes: usize,
    arrived: u64,
    ended: u64,
    pub(crate) accepted_count: u64,
    pub(crate) open_count: u64,
}

impl Log {
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    pub(crate) fn list(&self) -> Vec<Seen> {
        self.kept.iter().cloned().collect()
    }

    pub(crate) fn lines(&self) -> String {
        let line = |seen: &Seen| {
            format!(
                "{} {} -> {:?} {:?}",
                seen.method, seen.path, seen.status, seen.end
            )
        };
        self.kept.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    /// Counts a new connection and gives its number.
    pub(crate) fn open(&mut self) -> u64 {
        let number = self.accepted_count;
        self.accepted_count += 1;
        self.open_count += 1;
        number
    }

    /// Records a request and gives its record back.
    pub(crate) fn arrive(&mut self, connection: u64, request: Request, arrived: Instant) -> Seen {
        let seen = Seen::new(self.arrived, connection, request, arrived);
        self.arrived += 1;
        self.kept_bytes += seen.body.len();
        self.kept.push_back(seen.clone());
        while self.kept.len() > SEEN_MAX || (self.kept_bytes > SEEN_BYTES_MAX && self.kept.len() > 1) {
            let dropped = self.kept.pop_front().map_or(0, |old| old.body.len());
            self.kept_bytes -= dropped;
        }
        seen
    }

    pub(crate) fn plan(&mut self, index: u64, status: Option<u16>) {
        if let Some(seen) = self.find(index) {
            seen.status = status;
        }
    }

    /// Records how an answer ended, and gives its record back if it is kept.
    pub(crate) fn end(&mut self, index: u64, end: End, sent_bytes: u64) -> Option<&Seen> {
        self.ended += 1;
        let seen = self.find(index)?;
        seen.end = Some(end);
        seen.sent_bytes = sent_bytes;
        Some(seen)
    }

    fn find(&mut self, index: u64) -> Option<&mut Seen> {
        let first = self.kept.front()?.index;
        let place = usize::try_from(index.checked_sub(first)?).ok()?;
        self.kept.get_mut(place)
    }
}

/// 4,096 records × about 4 KiB of head and body are 16 MiB.
const SEEN_MAX: usize = 4_096;
/// 128 MiB of bodies: two of the largest that the reader takes.
const SEEN_BYTES_MAX: usize = 128 * 1024 * 1024;

//! What was done with each request, as JSON Lines: a line when it is asked, and one when its answer has ended.
//!
//! Bounds: the last [`CALLS_MAX`] calls are remembered, for how often each has asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::Value;
use tieline_testkit::{End, Seen};

#[derive(Debug)]
pub(crate) struct Journal {
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    /// Of each call, how often it was asked.
    asked: BTreeMap<u64, usize>,
    failure: Option<io::Error>,
    file: BufWriter<File>,
}

/// Three minutes of 300 calls/s: no call lasts that long.
pub(crate) const CALLS_MAX: usize = 65_536;

impl Journal {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let book = Book {
            asked: BTreeMap::new(),
            failure: None,
            file: BufWriter::new(File::create(path)?),
        };
        Ok(Self {
            book: Mutex::new(book),
        })
    }

    /// How often the call was asked before, over all channels; this time is counted.
    pub(crate) fn nth(&self, call: u64) -> usize {
        let mut book = self.book();
        let count = book.asked.entry(call).or_default();
        *count += 1;
        let nth = *count - 1;
        while book.asked.len() > CALLS_MAX {
            book.asked.pop_first();
        }
        nth
    }

    pub(crate) fn asked(&self, channel: &str, seen: &Seen, mut fields: BTreeMap<&'static str, Value>) {
        fields.insert("t", "asked".into());
        self.write(channel, seen, fields);
    }

    pub(crate) fn ended(&self, channel: &str, seen: &Seen) {
        let end = match seen.end {
            Some(End::Complete) => "complete",
            Some(End::Close) => "close",
            Some(End::Reset) => "reset",
            Some(End::ClientGone) => "client_gone",
            Some(End::Killed) => "killed",
            None => "under_way",
        };
        let fields = BTreeMap::from([("end", end.into()), ("t", "ended".into())]);
        self.write(channel, seen, fields);
    }

    /// Whether all of it was written.
    pub(crate) fn close(&self) -> io::Result<()> {
        let mut book = self.book();
        match book.failure.take() {
            Some(failure) => Err(failure),
            None => book.file.flush(),
        }
    }

    fn write(&self, channel: &str, seen: &Seen, mut fields: BTreeMap<&'static str, Value>) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_us = now.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        fields.insert("at", now_us.into());
        fields.insert("channel", channel.into());
        fields.insert("seen", seen.index.into());
        let line = serde_json::to_string(&fields).unwrap_or_default();
        let mut book = self.book();
        if let Err(error) = writeln!(book.file, "{line}") {
            book.failure.get_or_insert(error);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

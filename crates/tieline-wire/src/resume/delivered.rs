//! What the caller has of an answer, read from the very bytes that leave for it: they are in its dialect, whether they
//! passed through or were translated.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use tieline_core::{Dialect, Feature, Mark, Usage};

use crate::dialect::StreamReader;
use crate::frame::sse::{self, Frames};
use crate::json::Head;
use crate::model::{Event, Kind, Losses};
use crate::pass::Out;

/// Text of an answer that is kept to be continued. 64,000 tokens of four bytes are 256 KiB, more than most models answer;
/// 1,000 such calls at once are 256 MiB, and only of pools that allow it.
pub const DELIVERED_BYTES_MAX: usize = 256 * 1024;

/// Why an answer is not continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The caller did not ask for a stream: nothing was delivered that could be continued.
    Buffered,
    /// A call of a tool has begun.
    Call,
    /// More text than [`DELIVERED_BYTES_MAX`].
    Long,
    /// The model has begun to refuse.
    Refusal,
    /// Several answers to one request.
    Several,
    /// The answer said how it stopped.
    Stopped,
    /// The caller wants JSON.
    Structured,
    /// The model has begun to think.
    Thinking,
    /// What was delivered cannot be read.
    Unreadable,
}

impl Bar {
    /// The name in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Call => "call",
            Self::Long => "long",
            Self::Refusal => "refusal",
            Self::Several => "several",
            Self::Stopped => "stopped",
            Self::Structured => "structured",
            Self::Thinking => "thinking",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What the caller has. It holds text of the answer, and shows none.
pub struct Delivered {
    bar: Option<Bar>,
    begun: bool,
    /// Events of text.
    contents: u64,
    /// `created` of the first chunk, in a dialect that dates its answers.
    created_unix_s: u64,
    events: Vec<Event>,
    frames: Frames,
    id: String,
    losses: Losses,
    model: String,
    near: Dialect,
    /// The number of the block that comes next, and of the one that is open.
    next: u32,
    open: Option<u32>,
    reader: StreamReader,
    started: bool,
    text: String,
    /// Of the attempts before, and of the present one so far.
    usage_before: Option<Usage>,
    usage_now: Option<Usage>,
}

impl Delivered {
    /// For the answer to the request that was scanned as `head`.
    pub fn new(near: Dialect, head: &Head) -> Self {
        let bar = match head {
            _ if !head.stream => Some(Bar::Buffered),
            _ if head.answers > 1 => Some(Bar::Several),
            _ if head.features.contains(Feature::Structured) => Some(Bar::Structured),
            _ => None,
        };
        Self {
            bar,
            begun: false,
            contents: 0,
            created_unix_s: 0,
            events: Vec::new(),
            frames: Frames::default(),
            id: String::new(),
            losses: Losses::default(),
            model: String::new(),
            near,
            next: 0,
            open: None,
            reader: StreamReader::new(near),
            started: false,
            text: String::new(),
            usage_before: None,
            usage_now: None,
        }
    }

    /// Takes what an exchange or a continuation yields for the caller, before the caller of this takes it out.
    pub fn note(&mut self, out: &Out) {
        for mark in &out.marks {
            match mark {
                Mark::Thinking => self.bar_by(Bar::Thinking),
                Mark::Tool => self.bar_by(Bar::Call),
                Mark::Usage(usage) => self.usage_now = Some(*usage),
                Mark::Content(_) | Mark::Stop(_) => {}
            }
        }
        for bytes in &out.bytes {
            self.read(bytes);
        }
    }

    /// Whether the answer may be continued.
    ///
    /// # Errors
    /// Why not.
    pub const fn may_resume(&self) -> Result<(), Bar> {
        match self.bar {
            Some(bar) => Err(bar),
            None => Ok(()),
        }
    }

    pub(super) const fn near(&self) -> Dialect {
        self.near
    }

    pub(super) const fn contents(&self) -> u64 {
        self.contents
    }

    pub(super) const fn created_unix_s(&self) -> u64 {
        self.created_unix_s
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    pub(super) const fn open(&self) -> Option<u32> {
        self.open
    }

    pub(super) const fn is_started(&self) -> bool {
        self.started
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text as it is sent to be continued: Anthropic refuses white space at the end of an assistant's turn, and
    /// templates of other servers cut it off, so that none is sent to anybody and all models write it once more.
    pub(super) fn sent(&self) -> &str {
        self.text.trim_end()
    }

    pub(super) const fn usage_before(&self) -> Option<Usage> {
        self.usage_before
    }

    pub(super) fn begin_attempt(&mut self) {
        if let Some(now) = self.usage_now.take() {
            self.usage_before = Some(self.usage_before.map_or(now, |before| before.plus(&now)));
        }
    }

    /// The text is of no use any more.
    fn bar_by(&mut self, bar: Bar) {
        self.bar.get_or_insert(bar);
        self.text = String::new();
    }

    fn read(&mut self, bytes: &Bytes) {
        if self.bar.is_some() {
            return;
        }
        let mut frames = std::mem::take(&mut self.frames);
        frames.feed(bytes, |cut| {
            match cut.bytes(bytes) {
                Some(frame) => self.read_frame(frame),
                None => self.bar_by(Bar::Unreadable),
            }
            self.bar.is_none()
        });
        self.frames = frames;
    }

    fn read_frame(&mut self, frame: &[u8]) {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let Some(event) = sse::event(frame, is_first) else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        let read = self.reader.read(&event.data, &mut events, &mut self.losses);
        for step in events.drain(..) {
            self.step(step, &event.data);
        }
        self.events = events;
        if read.is_err() {
            self.bar_by(Bar::Unreadable);
        }
    }

    fn step(&mut self, event: Event, data: &[u8]) {
        match event {
            Event::Start { id, model } => {
                self.started = true;
                (self.id, self.model) = (id, model);
                self.created_unix_s = created(data);
            }
            Event::Open { at, kind } => {
                self.next = self.next.max(at.saturating_add(1));
                match kind {
                    Kind::Call { .. } => self.bar_by(Bar::Call),
                    Kind::Refusal => self.bar_by(Bar::Refusal),
                    Kind::Text => self.open = Some(at),
                    Kind::Thought(_) => self.bar_by(Bar::Thinking),
                }
            }
            Event::Text { delta, .. } if self.text.len() + delta.len() > DELIVERED_BYTES_MAX => {
                self.bar_by(Bar::Long);
            }
            Event::Text { delta, .. } => {
                self.contents += 1;
                self.text.push_str(&delta);
            }
            Event::Close { .. } => self.open = None,
            Event::Stop(_) | Event::Done => self.bar_by(Bar::Stopped),
            Event::Fault { .. } => self.bar_by(Bar::Unreadable),
            Event::Args { .. } | Event::Ping | Event::Thought { .. } | Event::Usage(_) => {}
        }
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivered")
            .field("bar", &self.bar)
            .field("near", &self.near)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// When the answer began, if its first event says so.
fn created(data: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Dated {
        created: Option<u64>,
    }
    serde_json::from_slice(data).map_or(0, |dated: Dated| dated.created.unwrap_or(0))
}

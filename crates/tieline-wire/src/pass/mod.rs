//! The verbatim path: a stream or a body goes through as it came, while a tap reads a copy for marks.
//!
//! Contract: bytes leave only at the ends of events, so that an error event can be written between any two of them; the
//! one event that may be left out is the usage chunk that the caller did not ask for; nothing else is changed. An event
//! that the tap cannot read passes all the same. No text is kept.

mod anthropic_messages;
mod openai_chat;
mod tap;

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;
use tieline_core::{Dialect, Fault, FaultKind, Mark, Phase};

pub(crate) use tap::{Tap, Told};

use crate::frame::sse::{self, Cut, Frames};

/// What one feeding yields; the caller empties it ([`Out::clear`]) and uses it again.
#[derive(Debug, Default)]
pub struct Out {
    /// What the application gets, in its dialect: whole events only.
    pub bytes: Vec<Bytes>,
    /// The answer said how it stopped, or the stream's terminator was seen. A stream that ends without is truncated.
    pub complete: bool,
    /// The event that reported `fault`, as the channel sent it; empty if the fault is of another kind. It is not among
    /// `bytes`: whether the application sees these words or ours is not decided here.
    pub error: Bytes,
    /// The stream is over: an error event, garbage, an event over the limit, or an end that came too early. What
    /// follows is not read.
    pub fault: Option<Fault>,
    pub marks: Vec<Mark>,
}

impl Out {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.complete = false;
        self.error = Bytes::new();
        self.fault = None;
        self.marks.clear();
    }

    pub(crate) fn fail(&mut self, kind: FaultKind, error: Bytes) {
        self.error = error;
        self.fault = Some(Fault::new(kind, Phase::Body));
    }
}

/// A stream on the verbatim path.
#[derive(Debug)]
pub(crate) struct Pass {
    failed: bool,
    frames: Frames,
    /// The caller did not ask for the usage chunk, so it is left out.
    strip_usage: bool,
    tap: Tap,
}

impl Pass {
    pub(crate) fn new(dialect: Dialect, strip_usage: bool) -> Self {
        Self {
            failed: false,
            frames: Frames::default(),
            strip_usage,
            tap: Tap::new(dialect),
        }
    }

    pub(crate) fn feed(&mut self, chunk: Bytes, out: &mut Out) {
        if self.failed {
            return;
        }
        let Self {
            failed,
            frames,
            strip_usage,
            tap,
        } = self;
        // The part of the chunk that passes and has not been handed out.
        let mut run: Range<usize> = 0..0;
        frames.feed(&chunk, |cut| {
            let told = match &cut {
                Cut::Joined(frame) => read(tap, frame, out),
                Cut::Oversize => Told::Fault(FaultKind::Garbage),
                Cut::Within(range) => read(tap, chunk.get(range.clone()).unwrap_or_default(), out),
            };
            match (told, cut) {
                (Told::Fault(kind), cut) => {
                    let error = match cut {
                        Cut::Joined(frame) => frame,
                        Cut::Oversize => Bytes::new(),
                        Cut::Within(range) => chunk.slice(range),
                    };
                    out.fail(kind, error);
                    *failed = true;
                }
                (Told::UsageOnly, _) if *strip_usage => {}
                (_, Cut::Joined(frame)) => out.bytes.push(frame),
                (_, Cut::Within(range)) if range.start == run.end => run.end = range.end,
                (_, Cut::Within(range)) => {
                    let run = std::mem::replace(&mut run, range);
                    if !run.is_empty() {
                        out.bytes.push(chunk.slice(run));
                    }
                }
                (_, Cut::Oversize) => {}
            }
            !*failed
        });
        if run.len() == chunk.len() && !run.is_empty() {
            out.bytes.push(chunk);
        } else if !run.is_empty() {
            out.bytes.push(chunk.slice(run));
        }
        self.tap.flush(&mut out.marks);
        out.complete = self.tap.is_complete();
    }

    pub(crate) fn end(&mut self, out: &mut Out) {
        if self.failed {
            return;
        }
        self.failed = true;
        let rest = self.frames.rest();
        if self.tap.is_complete() {
            out.complete = true;
            if !rest.is_empty() {
                out.bytes.push(rest);
            }
        } else {
            out.fail(self.tap.cut_fault(), Bytes::new());
        }
    }
}

/// The marks of a whole answer with a status of 2xx.
pub(crate) fn buffered(dialect: Dialect, body: &[u8]) -> Result<SmallVec<[Mark; 4]>, FaultKind> {
    Tap::new(dialect).whole(body)
}

fn read(tap: &mut Tap, frame: &[u8], out: &mut Out) -> Told {
    sse::event(frame).map_or(Told::Pass, |event| tap.event(&event, &mut out.marks))
}

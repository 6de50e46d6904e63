//! The verbatim path: a stream or a body goes through as it came, while a tap reads a copy for marks.
//!
//! Contract: bytes leave only at the ends of events, so that an error event can be written between any two of them. Left
//! out are the usage chunk that the caller did not ask for, and what is no JSON and no piece of the answer; where a piece
//! of it may stand in such an event, the stream is at fault. Added is the terminator of an answer that said how it stopped
//! and whose channel sent none. Nothing else is changed, and no text is kept.

mod anthropic_messages;
mod broken;
mod openai_chat;
mod tap;

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;
use tieline_core::{Dialect, Fault, FaultKind, Mark, Phase};

pub(crate) use tap::{Tap, Told};

use crate::frame::sse::{self, Cut, Event, Frames};
use crate::model::Loss;

/// What one feeding yields; the caller empties it ([`Out::clear`]) and uses it again.
#[derive(Debug, Default)]
pub struct Out {
    /// What the application gets, in its dialect: whole events only.
    pub bytes: Vec<Bytes>,
    /// The answer said how it stopped, or the stream's terminator was seen. A stream that ends without is truncated.
    pub complete: bool,
    /// The event that reported `fault`, as the channel sent it, in the channel's dialect; empty if the fault is of another
    /// kind. It is not among `bytes`: whether the application sees these words or ours is not decided here.
    pub error: Bytes,
    /// The stream is over: an error event, garbage, an event over the limit, or an end that came too early. What
    /// follows is not read.
    pub fault: Option<Fault>,
    /// What the translation of this part could not carry.
    pub loss: Vec<Loss>,
    pub marks: Vec<Mark>,
}

impl Out {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.complete = false;
        self.error = Bytes::new();
        self.fault = None;
        self.loss.clear();
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
    /// The event before was left out, and what follows it may be the rest of its end.
    dropped: bool,
    failed: bool,
    frames: Frames,
    reader: Reader,
    /// The caller did not ask for the usage chunk, so it is left out.
    strip_usage: bool,
}

/// Reads the frames of a stream in turn.
#[derive(Debug)]
pub(crate) struct Reader {
    begun: bool,
    pub(crate) tap: Tap,
}

impl Reader {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            begun: false,
            tap: Tap::new(dialect),
        }
    }

    /// The event of a frame, if it has one, and what the tap says about it.
    pub(crate) fn read<'f>(&mut self, frame: &'f [u8], marks: &mut Vec<Mark>) -> Option<(Event<'f>, Told)> {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let event = sse::event(frame, is_first)?;
        let told = self.tap.event(&event, marks);
        Some((event, told))
    }
}

impl Pass {
    pub(crate) fn new(dialect: Dialect, strip_usage: bool) -> Self {
        let (frames, reader) = (Frames::default(), Reader::new(dialect));
        Self {
            dropped: false,
            failed: false,
            frames,
            reader,
            strip_usage,
        }
    }

    pub(crate) fn feed(&mut self, chunk: Bytes, out: &mut Out) {
        if self.failed {
            return;
        }
        let Self {
            dropped,
            failed,
            frames,
            reader,
            strip_usage,
        } = self;
        // The part of the chunk that passes and has not been handed out.
        let mut run: Range<usize> = 0..0;
        frames.feed(&chunk, |cut| {
            let told = match cut.bytes(&chunk) {
                Some(frame) => match reader.read(frame, &mut out.marks) {
                    Some((_, Told::UsageOnly)) if *strip_usage => {
                        *dropped = true;
                        return true;
                    }
                    Some((_, Told::Noise)) => {
                        *dropped = true;
                        return true;
                    }
                    // Blank lines after an event that was left out go with it.
                    None if *dropped && frame.iter().all(|b| matches!(b, b'\n' | b'\r')) => return true,
                    told => told.map_or(Told::Pass, |(_, told)| told),
                },
                None => Told::Fault(FaultKind::Garbage),
            };
            *dropped = false;
            if let Told::Fault(kind) = told {
                out.fail(kind, cut.into_bytes(&chunk));
                *failed = true;
                return false;
            }
            match cut {
                Cut::Within(range) if range.start == run.end => run.end = range.end,
                Cut::Within(range) => hand_out(&chunk, std::mem::replace(&mut run, range), out),
                Cut::Joined(frame) => out.bytes.push(frame),
                Cut::Oversize => {}
            }
            true
        });
        if run.len() == chunk.len() && !run.is_empty() {
            out.bytes.push(chunk);
        } else {
            hand_out(&chunk, run, out);
        }
        self.reader.tap.flush(&mut out.marks);
        out.complete = self.reader.tap.is_complete();
    }

    pub(crate) fn end(&mut self, out: &mut Out) {
        if self.failed {
            return;
        }
        self.failed = true;
        let rest = self.frames.rest();
        if self.reader.tap.is_complete() {
            out.complete = true;
            let is_last = self.passes_last(&rest, out);
            let terminator = self.reader.tap.terminator();
            if is_last {
                out.bytes.push(rest);
                if !terminator.is_empty() {
                    // What came last lacks the blank line that ends it.
                    out.bytes.push(Bytes::from_static(b"\n\n"));
                }
            }
            if !terminator.is_empty() {
                out.bytes.push(Bytes::from_static(terminator));
            }
        } else {
            out.fail(self.reader.tap.cut_fault(), Bytes::new());
        }
    }
}

impl Pass {
    /// Whether what follows the last blank line is an event that lacks only its own. Half an event is none: SDKs that read
    /// it all the same would fail on a whole answer.
    fn passes_last(&mut self, rest: &[u8], out: &mut Out) -> bool {
        let event = sse::event(rest, false).filter(|event| self.reader.tap.is_whole(&event.data));
        let Some(event) = event else {
            return false;
        };
        let told = self.reader.tap.event(&event, &mut out.marks);
        self.reader.tap.flush(&mut out.marks);
        !(told == Told::UsageOnly && self.strip_usage)
    }
}

/// The marks of a whole answer with a status of 2xx.
pub(crate) fn buffered(dialect: Dialect, body: &[u8]) -> Result<SmallVec<[Mark; 4]>, FaultKind> {
    Tap::new(dialect).whole(body)
}

fn hand_out(chunk: &Bytes, run: Range<usize>, out: &mut Out) {
    if !run.is_empty() {
        out.bytes.push(chunk.slice(run));
    }
}

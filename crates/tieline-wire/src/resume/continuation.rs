//! The stream of the channel that continues an answer, on its way to the caller.

use bytes::Bytes;
use tieline_core::{FaultKind, Usage};

use super::Method;
use super::delivered::Delivered;
use super::seam::{Before, Seam, Step};
use crate::dialect::anthropic_messages::stream::RESUMED_AT;
use crate::dialect::{Reply, StreamReader, StreamWriter};
use crate::exchange::Far;
use crate::frame::sse::Frames;
use crate::json::Head;
use crate::model::{Event, Halt, Kind, Losses, Names};
use crate::pass::{self, Out, Told};

/// Blocks that the caller has open or had, beside text: as many as the writers take.
const BLOCKS_MAX: usize = 512;

/// The longest name that is told in the stream.
const NAME_CHARS_MAX: usize = 128;

/// Who continues the answer, for a comment in the stream: readers of server-sent events pass over it, people find it.
#[derive(Clone, Copy, Debug)]
pub struct Announce<'a> {
    pub channel: &'a str,
    pub model: &'a str,
}

/// Where a continuation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splice {
    /// It was to repeat the answer and gave another one. Nothing of it was written; its fault says nothing of the
    /// channel's health.
    Abandoned,
    /// What came so far is known, or may be.
    Held,
    /// New text flows.
    Through,
}

/// Reads the channel's stream and writes what is new of it. Used as an exchange is, beside the [`Delivered`] that it goes
/// on with: feed it, note what it yields.
#[derive(Debug)]
pub struct Continuation {
    /// Goes before the first bytes that are written.
    announcement: Vec<u8>,
    complete: bool,
    events: Vec<Event>,
    failed: bool,
    frames: Frames,
    halt: Option<Halt>,
    losses: Losses,
    reader: pass::Reader,
    seam: Seam,
    /// The start of the answer is still to be written.
    starts: bool,
    stream: StreamReader,
    usage: Option<Usage>,
    usage_before: Option<Usage>,
    writer: Blocks,
}

impl Continuation {
    pub(super) fn new(
        method: Method,
        echoes: bool,
        names: Names,
        far: &Far<'_>,
        head: &Head,
        delivered: &Delivered,
    ) -> Self {
        let model = if delivered.is_started() {
            delivered.model()
        } else {
            far.model_name
        };
        let reply = Reply {
            created_unix_s: delivered.created_unix_s(),
            include_usage: head.include_usage,
            model: model.to_owned(),
            names,
        };
        Self {
            announcement: Vec::new(),
            complete: false,
            events: Vec::new(),
            failed: false,
            frames: Frames::default(),
            halt: None,
            losses: Losses::default(),
            reader: pass::Reader::new(far.dialect),
            seam: Seam::new(method, echoes, before(delivered)),
            starts: !delivered.is_started(),
            stream: StreamReader::new(far.dialect),
            usage: None,
            usage_before: delivered.usage_before(),
            writer: Blocks::new(reply, delivered),
        }
    }

    pub(super) fn announcing(mut self, who: Option<Announce<'_>>) -> Self {
        if let Some(Announce { channel, model }) = who {
            let (model, channel) = (plain(model), plain(channel));
            let line = format!(": tieline resumed model={model} channel={channel}\n\n");
            self.announcement = line.into_bytes();
        }
        self
    }

    pub const fn splice(&self) -> Splice {
        if self.seam.is_abandoned() {
            Splice::Abandoned
        } else if self.seam.is_through() {
            Splice::Through
        } else {
            Splice::Held
        }
    }

    /// Takes a chunk of the stream, split anywhere.
    pub fn feed(&mut self, chunk: &Bytes, delivered: &Delivered, out: &mut Out) {
        out.complete = self.complete;
        if self.failed || self.complete {
            return;
        }
        let mut bytes = Vec::new();
        let mut frames = std::mem::take(&mut self.frames);
        frames.feed(chunk, |cut| {
            match cut.bytes(chunk) {
                Some(frame) => self.frame(frame, delivered, &mut bytes, out),
                None => self.fail(FaultKind::Garbage, Bytes::new(), out),
            }
            !self.failed
        });
        self.frames = frames;
        self.reader.tap.flush(&mut out.marks);
        self.hand_out(bytes, out);
    }

    /// Takes the end of the stream. One that was not complete ends with a fault, as an exchange's does.
    pub fn end(&mut self, delivered: &Delivered, out: &mut Out) {
        out.complete = self.complete;
        if self.failed || self.complete {
            return;
        }
        let mut bytes = Vec::new();
        if self.halt.is_some() {
            self.finish(&mut bytes);
        } else {
            // What was held back is part of the answer, and the next attempt goes on from it.
            if !self.seam.is_repeating() {
                let _ = self.settle(delivered, &mut bytes);
            }
            self.fail(self.reader.tap.cut_fault(), Bytes::new(), out);
        }
        self.hand_out(bytes, out);
    }

    fn frame(&mut self, frame: &[u8], delivered: &Delivered, bytes: &mut Vec<u8>, out: &mut Out) {
        let event = match self.reader.read(frame, &mut out.marks) {
            None | Some((_, Told::Noise)) => return,
            Some((_, Told::Fault(kind))) => {
                return self.fail(kind, Bytes::copy_from_slice(frame), out);
            }
            Some((event, _)) => event,
        };
        if event.data.is_empty() || self.complete {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let mut read = self.stream.read(&event.data, &mut events, &mut self.losses);
        for step in events.drain(..) {
            if let Err(kind) = self.step(step, delivered, bytes) {
                read = Err(kind);
                break;
            }
        }
        events.clear();
        self.events = events;
        if let Err(kind) = read {
            self.fail(kind, Bytes::new(), out);
        }
    }

    fn step(&mut self, event: Event, delivered: &Delivered, bytes: &mut Vec<u8>) -> Result<(), FaultKind> {
        match event {
            Event::Start { .. } if !self.starts => {}
            Event::Start { .. } => {
                self.starts = false;
                self.writer.pass(event, bytes, &mut self.losses)?;
            }
            Event::Text { at, delta } if !self.writer.is_passed(at) => {
                let step = self.seam.feed(before(delivered), delta);
                self.join(step, at, bytes)?;
            }
            // A block of text is opened when there is something to write to it.
            Event::Open { kind: Kind::Text, .. } | Event::Ping => {}
            // Nothing of a thought is written, so that text before and after it is one.
            Event::Open {
                at,
                kind: Kind::Thought(_),
            } => self.writer.hide(at, event, bytes, &mut self.losses)?,
            Event::Open { at, .. } => {
                self.settle(delivered, bytes)?;
                self.writer.open(at, event, bytes, &mut self.losses)?;
            }
            Event::Close { at } => {
                if !self.writer.is_passed(at) && !self.seam.is_repeating() {
                    self.settle(delivered, bytes)?;
                }
                self.writer.close(at, bytes, &mut self.losses)?;
            }
            Event::Text { .. } | Event::Args { .. } | Event::Thought { .. } => {
                self.writer.pass(event, bytes, &mut self.losses)?;
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Stop(halt) => {
                self.settle(delivered, bytes)?;
                self.halt = Some(halt);
            }
            // A terminator without a stop reason ends nothing.
            Event::Done if self.halt.is_none() => return Err(FaultKind::Reset),
            Event::Done => self.finish(bytes),
            Event::Fault { kind, .. } => return Err(kind),
        }
        Ok(())
    }

    /// Writes what waited at the seam, for something else than text comes next.
    fn settle(&mut self, delivered: &Delivered, bytes: &mut Vec<u8>) -> Result<(), FaultKind> {
        let step = self.seam.settle(before(delivered));
        let at = self.writer.text_at();
        self.join(step, at, bytes)
    }

    fn join(&mut self, step: Step, at: u32, bytes: &mut Vec<u8>) -> Result<(), FaultKind> {
        match step {
            // Not the fault of anybody: the channel cannot give the same answer twice.
            Step::Abandoned => Err(FaultKind::Incapable),
            Step::Held => {
                self.writer.note_text(at);
                Ok(())
            }
            Step::Text(delta) => self.writer.text(at, delta, bytes, &mut self.losses),
        }
    }

    /// The end of the answer. The caller is told the tokens of all attempts, as far as channels said them: all were asked
    /// for and are billed. Where the last channel does not say, the sum is not known and not told.
    fn finish(&mut self, bytes: &mut Vec<u8>) {
        let Some(halt) = self.halt.take() else { return };
        let usage = self
            .usage
            .map(|now| self.usage_before.map_or(now, |before| before.plus(&now)));
        self.writer.finish(&halt, usage, bytes, &mut self.losses);
        self.complete = true;
    }

    fn fail(&mut self, kind: FaultKind, error: Bytes, out: &mut Out) {
        if self.complete {
            return;
        }
        self.failed = true;
        out.fail(kind, error);
    }

    fn hand_out(&mut self, bytes: Vec<u8>, out: &mut Out) {
        out.complete = self.complete;
        if !bytes.is_empty() {
            let announcement = std::mem::take(&mut self.announcement);
            if !announcement.is_empty() {
                out.bytes.push(Bytes::from(announcement));
            }
            out.bytes.push(Bytes::from(bytes));
        }
        self.losses.drain_new(&mut out.loss);
    }
}

fn before(delivered: &Delivered) -> Before<'_> {
    Before {
        sent: delivered.sent(),
        text: delivered.text(),
    }
}

/// A name as it may stand in a comment line: nothing that could end the line.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(NAME_CHARS_MAX)
        .collect()
}

/// The caller's blocks. Those of text are opened when their first new text comes; the first of them goes on with the one
/// that the caller has open.
#[derive(Debug)]
struct Blocks {
    /// The block of the channel that is written to the one which the caller had open.
    joined: Option<u32>,
    /// Whether that one is still open.
    is_open: bool,
    /// Blocks of other kinds, which are written as they come.
    passed: Vec<u32>,
    /// The block of text that the channel wrote to last, and whether the caller has one for it.
    text: Option<(u32, bool)>,
    writer: StreamWriter,
}

impl Blocks {
    fn new(reply: Reply, delivered: &Delivered) -> Self {
        let open = delivered.open();
        let writer = if delivered.is_started() {
            StreamWriter::resumed(delivered.near(), reply, delivered.id(), delivered.next(), open)
        } else {
            StreamWriter::new(delivered.near(), reply)
        };
        Self {
            joined: None,
            is_open: open.is_some(),
            passed: Vec::new(),
            text: None,
            writer,
        }
    }

    fn is_passed(&self, at: u32) -> bool {
        self.passed.contains(&at)
    }

    fn text_at(&self) -> u32 {
        self.text.map_or(0, |(at, _)| at)
    }

    /// Text came for this block, of which nothing is written yet.
    fn note_text(&mut self, at: u32) {
        if self.text.is_none_or(|(text, _)| text != at) {
            self.text = Some((at, false));
        }
    }

    fn text(
        &mut self,
        at: u32,
        delta: String,
        out: &mut Vec<u8>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        if at == RESUMED_AT {
            return Err(FaultKind::Garbage);
        }
        self.note_text(at);
        if self.text == Some((at, false)) {
            self.text = Some((at, true));
            if self.is_open {
                self.joined = Some(at);
            } else {
                self.joined = None;
                let kind = Kind::Text;
                self.writer.write(Event::Open { at, kind }, out, losses)?;
            }
        }
        let at = self.target(at);
        self.writer.write(Event::Text { at, delta }, out, losses)
    }

    /// A block of which nothing is written.
    fn hide(
        &mut self,
        at: u32,
        event: Event,
        out: &mut Vec<u8>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        self.claim(at)?;
        self.writer.write(event, out, losses)
    }

    /// A block of another kind than text.
    fn open(
        &mut self,
        at: u32,
        event: Event,
        out: &mut Vec<u8>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        self.claim(at)?;
        if std::mem::take(&mut self.is_open) {
            self.joined = None;
            self.writer.write(Event::Close { at: RESUMED_AT }, out, losses)?;
        }
        self.writer.write(event, out, losses)
    }

    /// Take a number for a block that is passed on; the one of the caller's own block is not the channel's to use.
    fn claim(&mut self, at: u32) -> Result<(), FaultKind> {
        if self.passed.len() >= BLOCKS_MAX || at == RESUMED_AT {
            return Err(FaultKind::Garbage);
        }
        self.passed.push(at);
        Ok(())
    }

    fn close(&mut self, at: u32, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        if self.is_passed(at) {
            return self.writer.write(Event::Close { at }, out, losses);
        }
        // A block of which nothing was new was never opened, and the one that the caller has open waits for more.
        if self.text.take_if(|text| *text == (at, true)).is_some() {
            let target = self.target(at);
            self.is_open &= target != RESUMED_AT;
            self.writer.write(Event::Close { at: target }, out, losses)?;
        }
        Ok(())
    }

    fn pass(&mut self, event: Event, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        self.writer.write(event, out, losses)
    }

    fn finish(&mut self, halt: &Halt, usage: Option<Usage>, out: &mut Vec<u8>, losses: &mut Losses) {
        self.writer.finish(halt, usage, out, losses);
    }

    fn target(&self, at: u32) -> u32 {
        if self.joined == Some(at) { RESUMED_AT } else { at }
    }
}

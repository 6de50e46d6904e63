//! What the channel does with one request: a list of steps, and faults laid over it.
//!
//! An act is built in three layers. *Steps* make up the answer (head, frames, waits). *Edits* address frames of an
//! answer, also of one that is only made when the request is seen: "half of frame 3, then reset". *Wire faults*
//! address bytes of the finished answer: "reset after byte 120". Building one never fails; an edit that names a
//! frame the answer does not have answers 500 and says so, so that no fault is silently left out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::auto::Auto;
use crate::gate::Gate;
use crate::seen::Seen;

/// One thing the channel does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Status line and headers, in one write. Content-Length or Transfer-Encoding come from the framing.
    Head {
        status: u16,
        headers: Vec<(String, String)>,
        framing: Framing,
    },
    /// A piece of the body, in one write; one chunk where the framing is chunked. Never empty on the wire.
    Frame(Bytes),
    /// Bytes put on the wire as they are, in one write, outside of any framing.
    Raw(Bytes),
    Wait(Duration),
    /// Stops until the test lets it through.
    Gate(Gate),
    /// RST: the client sees its connection reset.
    Reset,
    /// FIN without what would properly end the body.
    Close,
    /// Holds the connection open and writes nothing more, until the client leaves or the channel is killed.
    Silence,
}

/// How the end of a body is told (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Content-Length is the sum of all frames, unless the headers claim another.
    Length,
    /// Each frame is one chunk; the last chunk follows the last step.
    Chunked,
    /// The connection closes after the last step.
    UntilClose,
}

/// What ends an answer early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// RST. Exact while the bytes before it fit into the client's receive window (64 KiB on loopback do).
    Reset,
    /// FIN.
    Close,
    /// Nothing, for ever.
    Silence,
}

/// What the channel does with one request.
#[derive(Debug, Clone)]
pub struct Act {
    pub(crate) source: Source,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) before_head: Vec<Step>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) wire: Vec<Wire>,
}

#[derive(Clone)]
pub(crate) enum Source {
    Steps(Vec<Step>),
    Call(Arc<dyn Fn(&Seen) -> Act + Send + Sync>),
}

#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Before(usize, Step),
    Duplicate(usize),
    Half(usize, Cut),
    Malform(usize),
    Pad(usize, usize),
    Drop(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Wire {
    CutAt {
        byte: usize,
        cut: Cut,
    },
    CutBodyAt {
        byte: usize,
        cut: Cut,
    },
    Split {
        points: Vec<usize>,
        pause: Option<Duration>,
    },
    Drip {
        bytes: usize,
        every: Duration,
    },
}

// === Act: where answers come from ===

impl Act {
    /// Answers each dialect rightly, as [`Auto::default`] does.
    #[must_use]
    pub fn auto() -> Self {
        Auto::default().into()
    }

    /// Makes the answer when the request is seen.
    pub fn from_call(answer: impl Fn(&Seen) -> Self + Send + Sync + 'static) -> Self {
        Self::with_source(Source::Call(Arc::new(answer)))
    }

    /// The steps as they are; nothing is added but the end of a chunked body.
    #[must_use]
    pub fn steps(steps: Vec<Step>) -> Self {
        Self::with_source(Source::Steps(steps))
    }

    /// A JSON answer with a Content-Length; the body follows with [`Act::body`] or [`Act::pieces`].
    #[must_use]
    pub fn status(status: u16) -> Self {
        let headers = vec![header("content-type", "application/json")];
        Self::steps(vec![Step::Head {
            status,
            headers,
            framing: Framing::Length,
        }])
    }

    /// A 200 with a JSON body.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::status(200).body(body)
    }

    /// A 200 with `text/event-stream`, one chunk per frame.
    pub fn stream<F: Into<Bytes>>(frames: impl IntoIterator<Item = F>) -> Self {
        let headers = vec![
            header("content-type", "text/event-stream"),
            header("cache-control", "no-cache"),
        ];
        Self::steps(vec![Step::Head {
            status: 200,
            headers,
            framing: Framing::Chunked,
        }])
        .frames(frames)
    }

    /// Bytes that need not be HTTP at all.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::steps(vec![Step::Raw(bytes.into())])
    }

    /// Resets the connection once the request is read, before any byte of an answer.
    #[must_use]
    pub fn refuse() -> Self {
        Self::steps(vec![Step::Reset])
    }

    /// Reads the request and says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::steps(vec![Step::Silence])
    }

    fn with_source(source: Source) -> Self {
        Self {
            source,
            status: None,
            headers: Vec::new(),
            before_head: Vec::new(),
            edits: Vec::new(),
            wire: Vec::new(),
        }
    }
}

// === Act: more steps ===

impl Act {
    /// Adds a step at the end. An answer that is made when the request is seen takes it after its last frame.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        match &mut self.source {
            Source::Steps(steps) => steps.push(step),
            Source::Call(_) => self.edits.push(Edit::Before(usize::MAX, step)),
        }
        self
    }

    /// Adds a piece of the body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.step(Step::Frame(body.into()))
    }

    /// Adds a piece of the body for each frame.
    #[must_use]
    pub fn frames<F: Into<Bytes>>(self, frames: impl IntoIterator<Item = F>) -> Self {
        frames
            .into_iter()
            .fold(self, |act, frame| act.step(Step::Frame(frame.into())))
    }

    /// Adds the body in pieces that begin at the given offsets, with a pause between two. Offsets outside of the
    /// body, and those given twice, make no piece.
    #[must_use]
    pub fn pieces(mut self, body: impl Into<Bytes>, points: &[usize], pause: Option<Duration>) -> Self {
        for (place, piece) in split(body.into(), points).into_iter().enumerate() {
            if let Some(pause) = pause.filter(|_| place > 0) {
                self = self.wait(pause);
            }
            self = self.body(piece);
        }
        self
    }

    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.step(Step::Wait(time))
    }

    #[must_use]
    pub fn gate(self, gate: &Gate) -> Self {
        self.step(Step::Gate(gate.clone()))
    }

    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    #[must_use]
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    #[must_use]
    pub fn silence(self) -> Self {
        self.step(Step::Silence)
    }
}

// === Act: head ===

impl Act {
    /// Sets a header, in place of one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(header(name, value));
        self
    }

    #[must_use]
    pub fn content_type(self, value: &str) -> Self {
        self.header("content-type", value)
    }

    /// Claims gzip and sends the same bytes.
    #[must_use]
    pub fn claim_gzip(self) -> Self {
        self.header("content-encoding", "gzip")
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub fn wait_before_head(mut self, time: Duration) -> Self {
        self.before_head.push(Step::Wait(time));
        self
    }

    #[must_use]
    pub fn gate_before_head(mut self, gate: &Gate) -> Self {
        self.before_head.push(Step::Gate(gate.clone()));
        self
    }
}

// === Act: faults on frames, counted from 0 in the answer without edits ===

impl Act {
    /// Puts a step before frame `frame`; the count of all frames means after the last.
    #[must_use]
    pub fn before_frame(mut self, frame: usize, step: Step) -> Self {
        self.edits.push(Edit::Before(frame, step));
        self
    }

    #[must_use]
    pub fn gate_before_frame(self, frame: usize, gate: &Gate) -> Self {
        self.before_frame(frame, Step::Gate(gate.clone()))
    }

    #[must_use]
    pub fn wait_before_frame(self, frame: usize, time: Duration) -> Self {
        self.before_frame(frame, Step::Wait(time))
    }

    /// Ends the answer before this frame.
    #[must_use]
    pub fn cut_before_frame(self, frame: usize, cut: Cut) -> Self {
        self.before_frame(frame, cut.step())
    }

    /// Sends the first half of this frame, whole in its HTTP framing, and then ends.
    #[must_use]
    pub fn half_frame(mut self, frame: usize, cut: Cut) -> Self {
        self.edits.push(Edit::Half(frame, cut));
        self
    }

    /// Sends this frame twice.
    #[must_use]
    pub fn duplicate_frame(mut self, frame: usize) -> Self {
        self.edits.push(Edit::Duplicate(frame));
        self
    }

    /// Leaves this frame out.
    #[must_use]
    pub fn drop_frame(mut self, frame: usize) -> Self {
        self.edits.push(Edit::Drop(frame));
        self
    }

    /// Breaks the JSON of this event and leaves the event's framing whole.
    #[must_use]
    pub fn malform_frame(mut self, frame: usize) -> Self {
        self.edits.push(Edit::Malform(frame));
        self
    }

    /// Adds an unknown member of `bytes` bytes to the JSON of this event.
    #[must_use]
    pub fn oversize_frame(mut self, frame: usize, bytes: usize) -> Self {
        self.edits.push(Edit::Pad(frame, bytes));
        self
    }
}

// === Act: faults on bytes ===

impl Act {
    /// Ends the answer after exactly `byte` bytes, the head included; after the last one if there are fewer.
    #[must_use]
    pub fn cut_at_byte(mut self, byte: usize, cut: Cut) -> Self {
        self.wire.push(Wire::CutAt { byte, cut });
        self
    }

    /// As [`Act::cut_at_byte`], counted from the end of the head; chunk framing counts.
    #[must_use]
    pub fn cut_at_body_byte(mut self, byte: usize, cut: Cut) -> Self {
        self.wire.push(Wire::CutBodyAt { byte, cut });
        self
    }

    /// Breaks writes at these bytes of the answer (head included), with a pause at each.
    #[must_use]
    pub fn split_at_bytes(mut self, points: &[usize], pause: Option<Duration>) -> Self {
        self.wire.push(Wire::Split {
            points: points.to_vec(),
            pause,
        });
        self
    }

    /// Sends what follows the head `bytes` bytes at a time, one write each, with a pause after each.
    #[must_use]
    pub fn drip(mut self, bytes: usize, every: Duration) -> Self {
        self.wire.push(Wire::Drip {
            bytes: bytes.max(1),
            every,
        });
        self
    }
}

impl Cut {
    pub(crate) fn step(self) -> Step {
        match self {
            Self::Reset => Step::Reset,
            Self::Close => Step::Close,
            Self::Silence => Step::Silence,
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => f.debug_tuple("Steps").field(steps).finish(),
            Self::Call(_) => f.write_str("Call(fn)"),
        }
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The pieces of `body` that begin at 0 and at each point inside of it.
pub(crate) fn split(mut body: Bytes, points: &[usize]) -> Vec<Bytes> {
    let mut points: Vec<usize> = points
        .iter()
        .copied()
        .filter(|at| *at > 0 && *at < body.len())
        .collect();
    points.sort_unstable();
    points.dedup();
    let mut pieces = Vec::with_capacity(points.len() + 1);
    let mut start = 0;
    for at in points {
        pieces.push(body.split_to(at - start));
        start = at;
    }
    pieces.push(body);
    pieces
}

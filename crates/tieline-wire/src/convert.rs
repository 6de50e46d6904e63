//! The path between dialects: a request, an answer or a stream goes through the canonical model, and what could not be
//! carried is reported.
//!
//! [`request`] yields the body for the channel and a [`Context`]; [`response`] or a [`StreamBridge`] turns what the channel
//! answers back with it. The end of a stream is written once, when the source has said all it says: at its own
//! terminator, or at the end of its bytes if it said how the answer stopped. A stream that breaks off before that is
//! never ended here, so that no caller takes half an answer for a whole one.

use serde::Deserialize;
use smallvec::SmallVec;
use tieline_core::{Dialect, FaultKind, Mark, Problem, Usage};

use crate::dialect::object::StrOr;
use crate::dialect::{self, Reply, StreamReader, StreamWriter, Target};
use crate::model::answer::settle;
use crate::model::{Event, Halt, Kind, Loss, Losses, Names, Raw};

/// What the way back needs to know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Seconds since 1970 for `created` in an OpenAI answer; the shell knows the time, this crate does not.
    pub created_unix_s: u64,
    pub far: Dialect,
    /// Whether the caller of a stream asked for its usage.
    pub include_usage: bool,
    /// What the request named in `model`.
    pub model_asked: String,
    /// What the answer names in `model`: the name asked if the channel was asked by the same, or else the channel's
    /// name of the model, for an answer from another model than the one asked says so.
    pub model_shown: String,
    /// Tools whose names the channel's dialect does not take.
    pub names: Names,
    pub near: Dialect,
    pub stream: bool,
}

/// An answer in the caller's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    pub body: Vec<u8>,
    pub loss: Vec<Loss>,
    pub marks: SmallVec<[Mark; 4]>,
}

/// Turns a channel's stream into the caller's, one server-sent event at a time.
#[derive(Debug)]
pub struct StreamBridge {
    calls: usize,
    events: Vec<Event>,
    halt: Option<Halt>,
    is_over: bool,
    losses: Losses,
    reader: StreamReader,
    usage: Option<Usage>,
    writer: StreamWriter,
}

/// What came of the events fed so far. The caller of the bridge takes from it what it likes and clears it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BridgeOut {
    /// Whole server-sent events in the caller's dialect.
    pub bytes: Vec<u8>,
    /// The end of the answer is written.
    pub complete: bool,
    /// The stream is over and not whole; nothing of the fault is written to `bytes`.
    pub fault: Option<FaultKind>,
    /// What the channel itself said about the fault.
    pub fault_says: Option<String>,
    pub loss: Vec<Loss>,
    pub marks: Vec<Mark>,
}

/// A request for the channel, with what the way back needs and what got lost.
///
/// # Errors
/// A [`Problem`] if the body is not what its dialect allows, or asks for what the other dialect cannot be asked.
pub fn request(
    near: Dialect,
    far: Dialect,
    body: &[u8],
    far_model_name: &str,
) -> Result<(Vec<u8>, Context, Vec<Loss>), Problem> {
    request_for(near, &Target::new(far, far_model_name), body)
}

/// The same for a channel of which more is known than its dialect.
///
/// # Errors
/// As [`request`].
pub fn request_for(
    near: Dialect,
    target: &Target,
    body: &[u8],
) -> Result<(Vec<u8>, Context, Vec<Loss>), Problem> {
    let mut losses = Losses::default();
    let mut names = Names::default();
    let ask = dialect::read_ask(near, body, &mut losses)?;
    let body = dialect::write_ask(target, &ask, &mut names, &mut losses)?;
    let context = Context {
        created_unix_s: 0,
        far: target.dialect,
        include_usage: ask.include_usage,
        model_shown: target.model.clone(),
        model_asked: ask.model,
        names,
        near,
        stream: ask.stream,
    };
    Ok((body, context, losses.into_vec()))
}

/// A whole answer of the channel, for the caller.
///
/// # Errors
/// [`FaultKind::Garbage`] if it is no answer of its dialect, or what it says if it is an error.
pub fn response(ctx: &Context, body: &[u8]) -> Result<Converted, FaultKind> {
    let mut losses = Losses::default();
    let answer = dialect::read_answer(ctx.far, body, &mut losses)?;
    let body = dialect::write_answer(ctx.near, &ctx.reply(), &answer, &mut losses);
    let mut marks = SmallVec::new();
    answer.marks(|mark| marks.push(mark));
    Ok(Converted {
        body,
        loss: losses.into_vec(),
        marks,
    })
}

/// The kind and the sentence of an error body: in the envelope of either dialect, for servers mix them, or in the
/// shapes that common frameworks answer with. `None` if there is no sentence in it.
pub fn error_body(far: Dialect, body: &[u8]) -> Option<(String, String)> {
    // Both dialects nest the same two fields under the same name.
    let (Dialect::AnthropicMessages | Dialect::OpenaiChat) = far;
    let wire: ErrorBody = serde_json::from_slice(body).ok()?;
    let kind = |kind: Option<String>| kind.unwrap_or_else(|| "error".to_owned());
    match wire.error {
        Some(StrOr::Str(says)) => Some((kind(None), says)),
        Some(StrOr::Other(error)) => Some((kind(error.kind), error.message?)),
        None => {
            let detail = wire.detail.and_then(|detail| detail.read::<String>().ok());
            Some((kind(None), wire.message.or(detail)?))
        }
    }
}

/// An error is not translated field by field: what is read here goes into an error of our own.
#[derive(Deserialize)]
struct ErrorBody {
    detail: Option<Raw>,
    error: Option<StrOr<ErrorInner>>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct ErrorInner {
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

// === impl Context ===

impl Context {
    fn reply(&self) -> Reply {
        Reply {
            created_unix_s: self.created_unix_s,
            include_usage: self.include_usage,
            model: self.model_shown.clone(),
            names: self.names.clone(),
        }
    }
}

// === impl StreamBridge ===

impl StreamBridge {
    pub fn new(ctx: &Context) -> Self {
        Self {
            calls: 0,
            events: Vec::new(),
            halt: None,
            is_over: false,
            losses: Losses::default(),
            reader: StreamReader::new(ctx.far),
            usage: None,
            writer: StreamWriter::new(ctx.near, ctx.reply()),
        }
    }

    /// One server-sent event of the channel. The event's name is not needed: both dialects say the kind in the data.
    /// Events after the end or a fault are ignored.
    pub fn feed_event(&mut self, _name: Option<&str>, data: &[u8], out: &mut BridgeOut) {
        if self.is_over || data.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let mut fault = self.reader.read(data, &mut events, &mut self.losses).err();
        for event in events.drain(..) {
            if self.is_over {
                break;
            }
            if let Err(kind) = self.step(event, out) {
                fault = Some(kind);
                break;
            }
        }
        events.clear();
        self.events = events;
        if let Some(kind) = fault.filter(|_| !self.is_over) {
            self.fail(kind, out);
        }
        self.losses.drain_new(&mut out.loss);
    }

    /// The channel's bytes are over.
    pub fn end(&mut self, out: &mut BridgeOut) {
        if !self.is_over {
            if self.halt.is_some() {
                self.finish(out);
            } else {
                self.fail(FaultKind::Reset, out);
            }
        }
        self.losses.drain_new(&mut out.loss);
    }

    fn step(&mut self, event: Event, out: &mut BridgeOut) -> Result<(), FaultKind> {
        match &event {
            Event::Text { .. } | Event::Args { .. } => push_content(&mut out.marks),
            Event::Open {
                kind: Kind::Call { .. },
                ..
            } => {
                self.calls = self.calls.saturating_add(1);
                out.marks.push(Mark::Tool);
            }
            Event::Open {
                kind: Kind::Thought(_),
                ..
            } => out.marks.push(Mark::Thinking),
            Event::Usage(usage) => {
                self.usage = Some(*usage);
                out.marks.push(Mark::Usage(*usage));
            }
            Event::Stop(halt) => {
                out.marks.push(Mark::Stop(settle(halt.stop, self.calls > 0)));
                self.halt = Some(halt.clone());
            }
            Event::Fault { kind, says } => {
                out.fault_says = Some(says.clone());
                return Err(*kind);
            }
            Event::Done => {
                // A terminator without a stop reason ends nothing: the answer was cut off and padded.
                if self.halt.is_none() {
                    return Err(FaultKind::Reset);
                }
                self.finish(out);
                return Ok(());
            }
            Event::Close { .. }
            | Event::Open { .. }
            | Event::Ping
            | Event::Start { .. }
            | Event::Thought { .. } => {}
        }
        self.writer.write(event, &mut out.bytes, &mut self.losses)
    }

    fn finish(&mut self, out: &mut BridgeOut) {
        self.is_over = true;
        if let Some(halt) = &self.halt {
            self.writer
                .finish(halt, self.usage, &mut out.bytes, &mut self.losses);
            out.complete = true;
        }
    }

    fn fail(&mut self, kind: FaultKind, out: &mut BridgeOut) {
        self.is_over = true;
        out.fault = Some(kind);
    }
}

fn push_content(marks: &mut Vec<Mark>) {
    if let Some(Mark::Content(n)) = marks.last_mut() {
        *n = n.saturating_add(1);
    } else {
        marks.push(Mark::Content(1));
    }
}

//! One attempt, seen as bytes: the request as a channel gets it ([`prepare`]), and the reader of its answer
//! ([`Exchange`]) that yields what the caller gets. Between equal dialects both are the bytes themselves but for the
//! declared splices; otherwise [`crate::convert`] translates.
//!
//! The splices: `model` becomes the channel's name of it; a stream of OpenAI's dialect whose caller does not ask for
//! usage gets `stream_options.include_usage`, and the chunk that this adds is taken out again on the way back; a request
//! without an output limit gets the one that [`Far`] says.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use tieline_core::{Dialect, FaultKind, Mark, Problem};

use crate::convert::{self, BridgeOut, Context, StreamBridge};
use crate::dialect::{LimitField, Target};
use crate::frame::sse::Frames;
use crate::json::{Edits, Head, PIECES, StreamOptions, joined, quote_into};
use crate::model::{Loss, Names};
use crate::pass::{self, Out, Pass, Told};
use crate::provider::Provider;

/// The channel's side of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Far<'a> {
    pub dialect: Dialect,
    /// The model's name at the channel.
    pub model_name: &'a str,
    /// The output limit for a request that states none.
    pub output_tokens_injected: Option<u32>,
    pub provider: Provider,
}

/// A request as the channel gets it, but for host and credential.
#[derive(Debug)]
pub struct Outgoing {
    /// The body in pieces; without edits, the caller's own bytes.
    pub body: SmallVec<[Bytes; PIECES]>,
    pub body_len: u64,
    /// Names in lower case. A request header of the caller that [`crate::forwards`] lets through takes the place of one
    /// of the same name.
    pub headers: SmallVec<[(&'static str, Cow<'static, str>); 4]>,
    /// What the translation could not carry.
    pub loss: Vec<Loss>,
    /// To be joined to the endpoint with [`crate::url_path`].
    pub path: Cow<'static, str>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Buffered {
    /// In the caller's dialect.
    pub body: Bytes,
    pub loss: Vec<Loss>,
    pub marks: SmallVec<[Mark; 4]>,
}

/// Reads the channel's answer and writes the caller's.
#[derive(Debug)]
pub struct Exchange {
    mode: Mode,
    near: Dialect,
    stream: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and an attempt has one"
)]
#[derive(Debug)]
enum Mode {
    Pass(Pass),
    Translate {
        context: Box<Context>,
        stream: Option<Box<Bridge>>,
    },
}

/// A stream on its way between dialects.
#[derive(Debug)]
struct Bridge {
    failed: bool,
    frames: Frames,
    reader: pass::Reader,
    told: BridgeOut,
    translator: StreamBridge,
}

/// Prepares the attempt of a call, whose `body` was scanned as `head`, on the channel `far`.
///
/// # Errors
/// `TranslationImpossible` if the request cannot be expressed in the channel's dialect, `FieldMissing` and `FieldWrong` if
/// it is not what its own dialect allows (between equal dialects that is left to the channel).
pub fn prepare(
    near: Dialect,
    body: &Bytes,
    head: &Head,
    far: &Far<'_>,
) -> Result<(Outgoing, Exchange), Problem> {
    let (mode, pieces, body_len, loss) = if near == far.dialect {
        let (pieces, body_len) = splice(near, body, head, far);
        let strip_usage = near == Dialect::OpenaiChat && !head.include_usage;
        (
            Mode::Pass(Pass::new(near, strip_usage)),
            pieces,
            body_len,
            Vec::new(),
        )
    } else {
        let limited = limited(near, body, head, far);
        let (body, context, loss) = convert::request_for(near, &target(far), &limited)?;
        let body_len = body.len() as u64;
        let mode = Mode::Translate {
            context: Box::new(context),
            stream: None,
        };
        (mode, smallvec![Bytes::from(body)], body_len, loss)
    };
    let outgoing = Outgoing {
        body: pieces,
        body_len,
        headers: headers(far.dialect),
        loss,
        path: Cow::Borrowed(far.provider.path(far.dialect)),
    };
    Ok((
        outgoing,
        Exchange {
            mode,
            near,
            stream: head.stream,
        },
    ))
}

// === impl Exchange ===

impl Exchange {
    /// Gives the time of the answer, in seconds since 1970, for a dialect that dates its answers and a channel whose
    /// dialect does not. Without it they are dated 0.
    #[must_use]
    pub fn dated(mut self, created_s: u64) -> Self {
        if let Mode::Translate { context, .. } = &mut self.mode {
            context.created_unix_s = created_s;
        }
        self
    }

    /// The tools that were renamed for the channel.
    pub(crate) fn into_names(self) -> Names {
        match self.mode {
            Mode::Pass(_) => Names::default(),
            Mode::Translate { context, .. } => context.names,
        }
    }

    /// Whether the caller asked for a stream.
    pub const fn is_stream(&self) -> bool {
        self.stream
    }

    /// Takes a whole answer with a status of 2xx.
    ///
    /// # Errors
    /// `Garbage` if it is not an answer of the channel's dialect, or the fault that the body reports.
    pub fn buffered(&mut self, body: &Bytes) -> Result<Buffered, FaultKind> {
        match &self.mode {
            Mode::Pass(_) => {
                let marks = pass::buffered(self.near, body)?;
                Ok(Buffered {
                    body: body.clone(),
                    loss: Vec::new(),
                    marks,
                })
            }
            Mode::Translate { context, .. } => {
                let marks = pass::buffered(context.far, body)?;
                let answer = convert::response(context, body)?;
                Ok(Buffered {
                    body: Bytes::from(answer.body),
                    loss: answer.loss,
                    marks,
                })
            }
        }
    }

    /// Takes a chunk of a streamed answer, split anywhere.
    pub fn feed(&mut self, chunk: Bytes, out: &mut Out) {
        match &mut self.mode {
            Mode::Pass(pass) => pass.feed(chunk, out),
            Mode::Translate { context, stream } => {
                stream
                    .get_or_insert_with(|| Box::new(Bridge::new(context)))
                    .feed(&chunk, out);
            }
        }
    }

    /// Takes the end of the channel's stream. A stream that was not complete ends with a fault: `Reset`, or `Garbage` if
    /// no event of it was understood.
    pub fn end(&mut self, out: &mut Out) {
        match &mut self.mode {
            Mode::Pass(pass) => pass.end(out),
            Mode::Translate { context, stream } => {
                stream
                    .get_or_insert_with(|| Box::new(Bridge::new(context)))
                    .end(out);
            }
        }
    }
}

// === impl Bridge ===

impl Bridge {
    fn new(context: &Context) -> Self {
        Self {
            failed: false,
            frames: Frames::default(),
            reader: pass::Reader::new(context.far),
            told: BridgeOut::default(),
            translator: StreamBridge::new(context),
        }
    }

    /// Marks are the tap's, as on the verbatim path; bytes and completeness are the translator's.
    fn feed(&mut self, chunk: &Bytes, out: &mut Out) {
        if self.failed {
            return;
        }
        let Self {
            failed,
            frames,
            reader,
            told,
            translator,
        } = self;
        frames.feed(chunk, |cut| {
            let Some(frame) = cut.bytes(chunk) else {
                out.fail(FaultKind::Garbage, Bytes::new());
                *failed = true;
                return false;
            };
            match reader.read(frame, &mut out.marks) {
                Some((_, Told::Fault(kind))) => {
                    out.fail(kind, Bytes::copy_from_slice(frame));
                    *failed = true;
                }
                None | Some((_, Told::Noise)) => {}
                Some((event, _)) => {
                    let name = event.name.and_then(|name| std::str::from_utf8(name).ok());
                    translator.feed_event(name, &event.data, told);
                    *failed = told.fault.is_some();
                }
            }
            !*failed
        });
        self.reader.tap.flush(&mut out.marks);
        self.hand_out(out);
    }

    fn end(&mut self, out: &mut Out) {
        if self.failed {
            return;
        }
        self.translator.end(&mut self.told);
        if self.told.fault == Some(FaultKind::Reset) {
            self.told.fault = Some(self.reader.tap.cut_fault());
        }
        self.failed = true;
        self.hand_out(out);
    }

    fn hand_out(&mut self, out: &mut Out) {
        if !self.told.bytes.is_empty() {
            out.bytes.push(Bytes::from(std::mem::take(&mut self.told.bytes)));
        }
        out.complete = self.told.complete;
        out.loss.append(&mut self.told.loss);
        if let Some(kind) = self.told.fault.take() {
            out.fail(kind, Bytes::new());
        }
        self.told.fault_says = None;
        self.told.marks.clear();
    }
}

/// What is known of the channel for the writer of its request.
fn target(far: &Far<'_>) -> Target {
    let mut target = Target::new(far.dialect, far.model_name);
    target.has_stream_options = far.provider.takes_stream_options();
    // A deployment's name says nothing about the model behind it, and all models that Azure serves know the new field.
    if matches!(far.provider, Provider::Azure | Provider::Openai) {
        target.limit_field = LimitField::MaxCompletionTokens;
    }
    target
}

/// The caller's request with its output limit, for the translation.
fn limited(near: Dialect, body: &Bytes, head: &Head, far: &Far<'_>) -> Bytes {
    let mut edits = Edits::default();
    limit(LimitField::MaxCompletionTokens, near, head, far, &mut edits);
    let (pieces, _) = edits.apply(body);
    joined(&pieces)
}

/// Write the injected output limit into a request that states none, or states `null`.
fn limit(field: LimitField, near: Dialect, head: &Head, far: &Far<'_>, edits: &mut Edits) {
    let Some(tokens) = far
        .output_tokens_injected
        .filter(|_| head.output_tokens_max.is_none())
    else {
        return;
    };
    let is_new = near == Dialect::OpenaiChat && field == LimitField::MaxCompletionTokens;
    let [of_new, of_old] = &head.null_limits;
    let (name, null) = if is_new {
        ("max_completion_tokens", of_new)
    } else {
        ("max_tokens", of_old)
    };
    if let Some(span) = null {
        edits.replace(span.clone(), tokens.to_string().into_bytes());
    } else {
        let at = head.open_at;
        edits.replace(at..at, format!("\"{name}\":{tokens},").into_bytes());
    }
}

fn splice(near: Dialect, body: &Bytes, head: &Head, far: &Far<'_>) -> (SmallVec<[Bytes; PIECES]>, u64) {
    let mut edits = Edits::default();
    if head.model != far.model_name {
        let mut name = Vec::with_capacity(far.model_name.len() + 2);
        quote_into(far.model_name, &mut name);
        edits.replace(head.model_span.clone(), name);
    }
    limit(target(far).limit_field, near, head, far, &mut edits);
    let ask = near == Dialect::OpenaiChat && head.stream && !head.include_usage;
    if ask && far.provider.takes_stream_options() {
        match &head.stream_options {
            StreamOptions::Absent => {
                let at = head.open_at;
                edits.replace(at..at, b"\"stream_options\":{\"include_usage\":true},".as_slice());
            }
            StreamOptions::Flag(span) => edits.replace(span.clone(), b"true".as_slice()),
            StreamOptions::Object { at, empty: true } => {
                edits.replace(*at..*at, b"\"include_usage\":true".as_slice());
            }
            StreamOptions::Object { at, empty: false } => {
                edits.replace(*at..*at, b"\"include_usage\":true,".as_slice());
            }
            StreamOptions::Value(span) => edits.replace(span.clone(), b"{\"include_usage\":true}".as_slice()),
        }
    }
    edits.apply(body)
}

/// Answers are asked for uncompressed: the tap reads them as they pass.
fn headers(far: Dialect) -> SmallVec<[(&'static str, Cow<'static, str>); 4]> {
    let json = ("content-type", Cow::Borrowed("application/json"));
    let plain = ("accept-encoding", Cow::Borrowed("identity"));
    match far {
        Dialect::AnthropicMessages => {
            smallvec![json, plain, ("anthropic-version", Cow::Borrowed("2023-06-01"))]
        }
        Dialect::OpenaiChat => smallvec![json, plain],
    }
}

//! One attempt, seen as bytes: the request as a channel gets it ([`prepare`]), and the reader of its answer
//! ([`Exchange`]) that yields what the caller gets. Between equal dialects both are the bytes themselves but for the
//! declared splices; otherwise [`crate::convert`] translates.
//!
//! The splices: `model` becomes the channel's name of it; a stream of OpenAI's dialect whose caller does not ask for
//! usage gets `stream_options.include_usage`, and the chunk that this adds is taken out again on the way back.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use tieline_core::{Dialect, FaultKind, Mark, Problem};

use crate::json::{Edits, Head, PIECES, StreamOptions, quote_into};
use crate::model::Loss;
use crate::pass::{self, Out, Pass};
use crate::provider::Provider;

/// The channel's side of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Far<'a> {
    pub dialect: Dialect,
    /// The model's name at the channel.
    pub model_name: &'a str,
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

#[derive(Debug)]
enum Mode {
    Pass(Pass),
}

/// Prepares the attempt of a call, whose `body` was scanned as `head`, on the channel `far`.
///
/// # Errors
/// `TranslationImpossible` if the request cannot be expressed in the channel's dialect.
pub fn prepare(
    near: Dialect,
    body: &Bytes,
    head: &Head,
    far: &Far<'_>,
) -> Result<(Outgoing, Exchange), Problem> {
    if near != far.dialect {
        return Err(Problem::plain(tieline_core::Code::TranslationImpossible));
    }
    let (body, body_len) = splice(near, body, head, far);
    let outgoing = Outgoing {
        body,
        body_len,
        headers: headers(far.dialect),
        loss: Vec::new(),
        path: Cow::Borrowed(far.provider.path(far.dialect)),
    };
    let strip_usage = near == Dialect::OpenaiChat && !head.include_usage;
    let exchange = Exchange {
        mode: Mode::Pass(Pass::new(near, strip_usage)),
        near,
        stream: head.stream,
    };
    Ok((outgoing, exchange))
}

impl Exchange {
    /// Whether the caller asked for a stream.
    pub const fn is_stream(&self) -> bool {
        self.stream
    }

    /// Takes a whole answer with a status of 2xx.
    ///
    /// # Errors
    /// `Garbage` if it is not an answer of the channel's dialect, or the fault that the body reports.
    pub fn buffered(&mut self, body: &Bytes) -> Result<Buffered, FaultKind> {
        match &mut self.mode {
            Mode::Pass(_) => {
                let marks = pass::buffered(self.near, body)?;
                Ok(Buffered {
                    body: body.clone(),
                    loss: Vec::new(),
                    marks,
                })
            }
        }
    }

    /// Takes a chunk of a streamed answer, split anywhere.
    pub fn feed(&mut self, chunk: Bytes, out: &mut Out) {
        match &mut self.mode {
            Mode::Pass(pass) => pass.feed(chunk, out),
        }
    }

    /// Takes the end of the channel's stream. A stream that was not complete ends with a fault: `Reset`, or `Garbage` if
    /// no event of it was understood.
    pub fn end(&mut self, out: &mut Out) {
        match &mut self.mode {
            Mode::Pass(pass) => pass.end(out),
        }
    }
}

fn splice(near: Dialect, body: &Bytes, head: &Head, far: &Far<'_>) -> (SmallVec<[Bytes; PIECES]>, u64) {
    let mut edits = Edits::default();
    if head.model != far.model_name {
        let mut name = Vec::with_capacity(far.model_name.len() + 2);
        quote_into(far.model_name, &mut name);
        edits.replace(head.model_span.clone(), name);
    }
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

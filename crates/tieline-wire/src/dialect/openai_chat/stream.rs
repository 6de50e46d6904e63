//! Chat Completions as a stream: server-sent events without names, ended by `data: [DONE]`.
//!
//! The reader joins call fragments by `index` alone, which may start at 1, skip and interleave; an id or name only counts
//! where it is not empty; a chunk without choices is no content whatever else it holds. The writer sends the role first,
//! the finish chunk after all content, usage only if the caller asked, and `[DONE]` last.

use serde::Serialize;
use tieline_core::{FaultKind, Stop, Usage};

use super::read::{answer_parts, arguments, forget_envelope, read_error, read_usage};
use super::wire::{
    self, Message, OutCallDelta, OutChunk, OutChunkChoice, OutDelta, OutFunctionDelta, finish_reason, stop_of,
};
use crate::dialect::Reply;
use crate::model::answer::settle;
use crate::model::name::answer_id;
use crate::model::{Event, Halt, Kind, Losses, Part, Place};

/// Calls in one answer. OpenAI takes 128 tools; two calls of each are more than any model makes, and 256 entries of
/// under 200 bytes are 50 KiB.
const CALLS_MAX: usize = 256;

/// Bytes of arguments that wait for their call's name. Every known server sends the name first, so that a chunk's worth
/// is generous.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Reads chunks.
#[derive(Debug, Default)]
pub struct Reader {
    /// Open and announced calls, by their `index`.
    calls: Vec<Call>,
    /// The number of the next block.
    next: u32,
    /// The open run of text, refusal or reasoning: OpenAI does not say where one ends.
    run: Option<(Run, u32)>,
    refused: bool,
    started: bool,
    stopped: bool,
}

/// Writes chunks.
#[derive(Debug)]
pub struct Writer {
    /// Block and the index of its call here, and whether it had arguments.
    calls: Vec<(u32, u32, bool)>,
    id: String,
    /// Blocks of refusal.
    refusals: Vec<u32>,
    reply: Reply,
}

#[derive(Debug)]
struct Call {
    /// The block, once it is opened: when its name is known.
    at: Option<u32>,
    id: String,
    index: u64,
    name: String,
    /// Arguments that came before the name.
    waiting: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Refusal,
    Text,
    Thought,
}

// === impl Reader ===

impl Reader {
    pub fn read(
        &mut self,
        data: &[u8],
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        if data.trim_ascii() == b"[DONE]" {
            events.push(Event::Done);
            return Ok(());
        }
        let mut chunk: wire::Reply = serde_json::from_slice(data).map_err(|_| FaultKind::Garbage)?;
        if let Some(error) = chunk.error.take() {
            let (kind, says) = read_error(error);
            events.push(Event::Fault { kind, says });
            return Ok(());
        }
        let choices = chunk.choices.take().unwrap_or_default();
        let id = chunk.id.take().unwrap_or_default();
        let model = chunk.model.take().unwrap_or_default();
        // Azure's first chunk has neither choices nor a name.
        if !self.started && !choices.is_empty() {
            self.started = true;
            events.push(Event::Start { id, model });
        }
        for (i, mut choice) in choices.into_iter().enumerate() {
            let at = Place::ROOT.key("choices").index(i);
            if choice.index.take().unwrap_or(0) != 0 {
                losses.dropped(at, "only one choice is carried");
                continue;
            }
            if let Some(delta) = choice.delta.take().or_else(|| choice.message.take()) {
                self.read_delta(delta, at.key("delta"), events, losses)?;
            }
            if let Some(reason) = choice.finish_reason.take().filter(|reason| !reason.is_empty()) {
                self.stop(&reason, at.key("delta").key("tool_calls"), events, losses)?;
            }
            choice.report(at, losses);
        }
        if let Some(usage) = read_usage(&mut chunk, losses) {
            events.push(Event::Usage(usage));
        }
        forget_envelope(&mut chunk);
        chunk.report(Place::ROOT, losses);
        Ok(())
    }

    fn read_delta(
        &mut self,
        mut delta: Message,
        at: Place,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let (parts, refused) = answer_parts(&mut delta, at, losses);
        self.refused |= refused;
        for part in parts {
            match part {
                Part::Text(text) => {
                    let at = self.run(Run::Text, Kind::Text, events);
                    events.push(Event::Text { at, delta: text.text });
                }
                Part::Refusal(text) => {
                    let at = self.run(Run::Refusal, Kind::Refusal, events);
                    events.push(Event::Text { at, delta: text.text });
                }
                Part::Thought(thought) => {
                    let at = self.run(Run::Thought, Kind::Thought(thought.at), events);
                    events.push(Event::Thought {
                        at,
                        delta: thought.text,
                    });
                }
                Part::Image(image) => losses.dropped(image.at, "an answer holds text only"),
                Part::Call(_) | Part::Result(_) => {}
            }
        }
        for (i, call) in delta
            .tool_calls
            .take()
            .unwrap_or_default()
            .into_iter()
            .enumerate()
        {
            self.read_call(call, i, at.key("tool_calls").index(i), events, losses)?;
        }
        delta.role = None;
        delta.annotations = delta.annotations.filter(|list| !list.is_empty());
        delta.report(at, losses);
        Ok(())
    }

    fn read_call(
        &mut self,
        mut fragment: wire::ToolCall,
        i: usize,
        at: Place,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let index = fragment
            .index
            .take()
            .unwrap_or_else(|| u64::try_from(i).unwrap_or(0));
        let id = fragment.id.take().unwrap_or_default();
        let mut name = String::new();
        let mut delta = String::new();
        if let Some(mut function) = fragment.function.take() {
            name = function.name.take().unwrap_or_default();
            delta = arguments(function.arguments.take());
            function.report(at.key("function"), losses);
        }
        fragment.kind = None;
        fragment.report(at, losses);
        let slot = self
            .calls
            .iter()
            .position(|call| call.index == index && !call.is_replaced_by(&id));
        let slot = match slot {
            Some(slot) => slot,
            None if self.calls.len() >= CALLS_MAX => return Err(FaultKind::Garbage),
            None => {
                self.calls.push(Call::new(index));
                self.calls.len().saturating_sub(1)
            }
        };
        self.end_run(events);
        let next = &mut self.next;
        let Some(call) = self.calls.get_mut(slot) else {
            return Ok(());
        };
        call.learn(id, name);
        call.grow(delta, next, events)
    }

    /// The block that the run of this kind writes to; opens one if the last run was another.
    fn run(&mut self, run: Run, kind: Kind, events: &mut Vec<Event>) -> u32 {
        if let Some((_, at)) = self.run.filter(|(open, _)| *open == run) {
            return at;
        }
        self.end_run(events);
        let at = self.next;
        self.next = self.next.saturating_add(1);
        self.run = Some((run, at));
        events.push(Event::Open { at, kind });
        at
    }

    fn end_run(&mut self, events: &mut Vec<Event>) {
        if let Some((_, at)) = self.run.take() {
            events.push(Event::Close { at });
        }
    }

    fn stop(
        &mut self,
        reason: &str,
        at_calls: Place,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        self.end_run(events);
        for call in &self.calls {
            match call.at {
                Some(at) => events.push(Event::Close { at }),
                None if call.waiting.is_empty() => losses.dropped(at_calls, "a call without a name"),
                None => return Err(FaultKind::Garbage),
            }
        }
        let stop = match stop_of(reason) {
            Stop::End | Stop::Other if self.refused => Stop::Refusal,
            stop => stop,
        };
        events.push(Event::Stop(Halt::plain(stop)));
        Ok(())
    }
}

// === impl Call ===

impl Call {
    fn new(index: u64) -> Self {
        Self {
            at: None,
            id: String::new(),
            index,
            name: String::new(),
            waiting: String::new(),
        }
    }

    /// Whether a fragment with this id begins another call: some servers give every whole call the index 0.
    fn is_replaced_by(&self, id: &str) -> bool {
        !id.is_empty() && !self.id.is_empty() && self.id != id
    }

    /// Later fragments repeat fields, often empty; the first that says something counts.
    fn learn(&mut self, id: String, name: String) {
        if self.id.is_empty() {
            self.id = id;
        }
        if self.name.is_empty() {
            self.name = name;
        }
    }

    fn grow(&mut self, delta: String, next: &mut u32, events: &mut Vec<Event>) -> Result<(), FaultKind> {
        if !self.name.is_empty() {
            self.open(next, events);
        }
        match self.at {
            Some(at) if !delta.is_empty() => events.push(Event::Args { at, delta }),
            Some(_) => {}
            None if self.waiting.len().saturating_add(delta.len()) > WAITING_BYTES_MAX => {
                return Err(FaultKind::Garbage);
            }
            None => self.waiting.push_str(&delta),
        }
        Ok(())
    }

    fn open(&mut self, next: &mut u32, events: &mut Vec<Event>) {
        if self.at.is_some() {
            return;
        }
        let at = *next;
        *next = next.saturating_add(1);
        self.at = Some(at);
        let id = if self.id.is_empty() {
            format!("call_{at}")
        } else {
            self.id.clone()
        };
        events.push(Event::Open {
            at,
            kind: Kind::Call {
                id,
                name: self.name.clone(),
            },
        });
        if !self.waiting.is_empty() {
            events.push(Event::Args {
                at,
                delta: std::mem::take(&mut self.waiting),
            });
        }
    }
}

// === impl Writer ===

impl Writer {
    pub fn new(reply: Reply) -> Self {
        Self {
            calls: Vec::new(),
            id: String::new(),
            refusals: Vec::new(),
            reply,
        }
    }

    /// A writer that goes on with an answer that another began.
    pub(crate) fn resumed(reply: Reply, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::new(reply)
        }
    }

    pub fn write(&mut self, event: Event, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        match event {
            Event::Start { id, .. } => {
                self.id = answer_id(&id, "msg_", "chatcmpl-");
                let delta = OutDelta {
                    role: Some("assistant"),
                    content: Some(""),
                    ..OutDelta::default()
                };
                self.chunk(delta, None, out);
            }
            Event::Open { at, kind } => return self.open(at, kind, out, losses),
            Event::Text { at, delta } if self.refusals.contains(&at) => {
                self.chunk(
                    OutDelta {
                        refusal: Some(&delta),
                        ..OutDelta::default()
                    },
                    None,
                    out,
                );
            }
            Event::Text { delta, .. } => {
                self.chunk(
                    OutDelta {
                        content: Some(&delta),
                        ..OutDelta::default()
                    },
                    None,
                    out,
                );
            }
            Event::Args { at, delta } => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.0 == at) {
                    call.2 = true;
                    let index = call.1;
                    self.arguments(index, &delta, out);
                }
            }
            Event::Close { at } => {
                // A call without arguments has an empty object here, not an empty text.
                if let Some((_, index, false)) = self.calls.iter().find(|call| call.0 == at).copied() {
                    self.arguments(index, "{}", out);
                }
            }
            Event::Thought { .. }
            | Event::Done
            | Event::Fault { .. }
            | Event::Ping
            | Event::Stop(_)
            | Event::Usage(_) => {}
        }
        Ok(())
    }

    pub fn finish(&mut self, halt: &Halt, usage: Option<Usage>, out: &mut Vec<u8>, losses: &mut Losses) {
        if halt.sequence.is_some() {
            losses.dropped(Place::ROOT.key("stop_sequence"), "no counterpart");
        }
        if let Some(says) = &halt.says {
            self.chunk(
                OutDelta {
                    refusal: Some(says),
                    ..OutDelta::default()
                },
                None,
                out,
            );
        }
        let stop = settle(halt.stop, !self.calls.is_empty());
        self.chunk(OutDelta::default(), Some(finish_reason(stop)), out);
        if let Some(usage) = usage.filter(|_| self.reply.include_usage) {
            let chunk = OutChunk {
                id: &self.id,
                object: "chat.completion.chunk",
                created: self.reply.created_unix_s,
                model: &self.reply.model,
                choices: &[],
                usage: Some(Some(usage.into())),
            };
            frame(&chunk, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn open(&mut self, at: u32, kind: Kind, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        match kind {
            Kind::Text => {}
            Kind::Refusal if self.refusals.len() >= CALLS_MAX => return Err(FaultKind::Garbage),
            Kind::Refusal => self.refusals.push(at),
            Kind::Thought(place) => losses.dropped(place, "the dialect has no place for reasoning"),
            Kind::Call { .. } if self.calls.len() >= CALLS_MAX => return Err(FaultKind::Garbage),
            Kind::Call { id, name } => {
                let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.push((at, index, false));
                let call = OutCallDelta {
                    index,
                    id: Some(&id),
                    kind: Some("function"),
                    function: OutFunctionDelta {
                        name: Some(self.reply.names.near(&name)),
                        arguments: "",
                    },
                };
                self.chunk(
                    OutDelta {
                        tool_calls: Some([call]),
                        ..OutDelta::default()
                    },
                    None,
                    out,
                );
            }
        }
        Ok(())
    }

    fn arguments(&self, index: u32, arguments: &str, out: &mut Vec<u8>) {
        let function = OutFunctionDelta {
            name: None,
            arguments,
        };
        let call = OutCallDelta {
            index,
            id: None,
            kind: None,
            function,
        };
        self.chunk(
            OutDelta {
                tool_calls: Some([call]),
                ..OutDelta::default()
            },
            None,
            out,
        );
    }

    fn chunk(&self, delta: OutDelta<'_>, finish_reason: Option<&'static str>, out: &mut Vec<u8>) {
        let chunk = OutChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.reply.created_unix_s,
            model: &self.reply.model,
            choices: &[OutChunkChoice {
                index: 0,
                delta,
                logprobs: (),
                finish_reason,
            }],
            usage: self.reply.include_usage.then_some(None),
        };
        frame(&chunk, out);
    }
}

fn frame(chunk: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    // Writing our own structs to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, chunk);
    out.extend_from_slice(b"\n\n");
}

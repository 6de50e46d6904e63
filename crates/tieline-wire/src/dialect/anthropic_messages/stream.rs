//! Anthropic Messages as a stream: named server-sent events from `message_start` to `message_stop`.
//!
//! The reader takes usage as cumulative (the last count of each kind stands) and ignores a repeated `message_start`; one
//! of another message after content has come is no answer any more. The writer keeps block indices dense and one block
//! open at a time: fragments of other blocks wait until the open one is closed, or is a call whose arguments are
//! complete JSON, so that the usual case, calls one after the other, streams without delay.

use tieline_core::{FaultKind, Stop, Usage};

use super::read::{read_error, read_halt, read_usage};
use super::wire::{
    Block, Delta, Event as WireEvent, OutDelta, OutEmpty, OutEnd, OutEvent, OutReply, OutStart, OutUsage,
    Reply as WireReply, Tally, stop_reason,
};
use crate::dialect::Reply;
use crate::model::answer::settle;
use crate::model::name::{answer_id, plain_id};
use crate::model::{Event, Halt, Kind, Losses, Place, Raw};

/// Bytes of fragments that wait for their block's turn, of one answer. Arguments of all parallel calls together are at
/// most a few hundred KiB (128,000 output tokens of four bytes are 512 KiB); eight times that is no honest answer.
const PARKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Blocks that wait, and closed calls that are remembered: as many as the OpenAI reader announces, and as many again.
const BLOCKS_MAX: usize = 512;

/// The block that was open when an answer broke off. No channel numbers a block so: it would be the last of four thousand
/// million.
pub(crate) const RESUMED_AT: u32 = u32::MAX;

/// Reads events.
#[derive(Debug, Default)]
pub struct Reader {
    /// The open block, its kind here, and whether it grew.
    open: Option<Open>,
    /// Whether any block was opened.
    has_content: bool,
    /// The id of the message, once it started.
    id: Option<String>,
    tally: Tally,
}

/// Writes events.
#[derive(Debug)]
pub struct Writer {
    active: Option<Active>,
    calls: usize,
    /// Calls that were closed because their arguments were complete.
    early: Vec<u32>,
    /// The index of the next block.
    next: u32,
    parked: Vec<Parked>,
    parked_bytes: usize,
    reply: Reply,
}

#[derive(Debug)]
struct Open {
    at: u32,
    grew: bool,
    /// Arguments that came whole with the block's start.
    input: Option<String>,
    /// Whether the block is carried at all.
    is_carried: bool,
}

#[derive(Debug)]
struct Active {
    at: u32,
    /// How far the arguments are, if it is a call.
    balance: Option<Balance>,
    index: u32,
}

#[derive(Debug)]
struct Parked {
    at: u32,
    data: String,
    is_closed: bool,
    kind: Kind,
}

/// Follows JSON text just far enough to know when an object is complete.
#[derive(Debug, Default)]
struct Balance {
    depth: u32,
    in_string: bool,
    is_complete: bool,
    is_escaped: bool,
}

// === impl Reader ===

impl Reader {
    pub fn read(
        &mut self,
        data: &[u8],
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let mut event: WireEvent = serde_json::from_slice(data).map_err(|_| FaultKind::Garbage)?;
        let kind = event.kind.take().unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.start(&mut event, events, losses)?,
            "content_block_start" => self.open(&mut event, events, losses)?,
            "content_block_delta" => self.grow(&mut event, events, losses)?,
            "content_block_stop" => self.close(events),
            "message_delta" => self.end(&mut event, events, losses),
            "message_stop" => events.push(Event::Done),
            "ping" => {
                events.push(Event::Ping);
                return Ok(());
            }
            "error" => {
                let (kind, says) = read_error(event.error.take().unwrap_or_default());
                events.push(Event::Fault { kind, says });
                return Ok(());
            }
            _ => {
                losses.unknown(Place::ROOT.key("event"), &kind);
                return Ok(());
            }
        }
        event.index = None;
        event.report(Place::ROOT, losses);
        Ok(())
    }

    fn start(
        &mut self,
        event: &mut WireEvent,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let raw = event.message.take().ok_or(FaultKind::Garbage)?;
        let mut message: WireReply = raw.read().map_err(|_| FaultKind::Garbage)?;
        let id = message.id.take().unwrap_or_default();
        if let Some(known) = &self.id {
            // Some proxies repeat the start. Another message in the middle of this one is a spliced stream, whose
            // first half the caller already has.
            return if *known == id || !self.has_content {
                Ok(())
            } else {
                Err(FaultKind::Garbage)
            };
        }
        self.id = Some(id.clone());
        events.push(Event::Start {
            id,
            model: message.model.take().unwrap_or_default(),
        });
        if let Some(usage) = message.usage.take() {
            self.read_usage(usage, events, losses);
        }
        message.kind = None;
        message.role = None;
        message.content = message.content.filter(|blocks| !blocks.is_empty());
        message.report(Place::ROOT.key("message"), losses);
        Ok(())
    }

    fn open(
        &mut self,
        event: &mut WireEvent,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let index = event.index.take().unwrap_or(0);
        let mut block = event.content_block.take().ok_or(FaultKind::Garbage)?;
        let at = u32::try_from(index).map_err(|_| FaultKind::Garbage)?;
        // Blocks do not overlap in this dialect; what a server left open ends here.
        self.close(events);
        self.has_content = true;
        let place = Place::ROOT
            .key("content")
            .index(usize::try_from(index).unwrap_or(0));
        let mut open = Open {
            at,
            grew: false,
            input: None,
            is_carried: true,
        };
        let first = match block.kind.take().as_deref() {
            Some("text") => {
                events.push(Event::Open { at, kind: Kind::Text });
                let text = block.text.take().filter(|text| !text.is_empty());
                text.map(|delta| Event::Text { at, delta })
            }
            Some("tool_use") => {
                open.input = whole_input(&mut block);
                let id = block.id.take().unwrap_or_default();
                let name = block.name.take().unwrap_or_default();
                events.push(Event::Open {
                    at,
                    kind: Kind::Call { id, name },
                });
                None
            }
            Some("thinking") => {
                events.push(Event::Open {
                    at,
                    kind: Kind::Thought(place),
                });
                block.signature = None;
                block
                    .thinking
                    .take()
                    .filter(|text| !text.is_empty())
                    .map(|delta| Event::Thought { at, delta })
            }
            Some(_) | None => {
                losses.dropped(place, "a kind of block that only Anthropic has");
                open.is_carried = false;
                self.open = Some(open);
                return Ok(());
            }
        };
        events.extend(first);
        block.citations = block
            .citations
            .filter(|list| !matches!(list.get(), "[]" | "null"));
        block.report(place, losses);
        self.open = Some(open);
        Ok(())
    }

    fn grow(
        &mut self,
        event: &mut WireEvent,
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        let mut delta = event.delta.take().ok_or(FaultKind::Garbage)?;
        let Some(open) = self.open.as_mut() else {
            return Err(FaultKind::Garbage);
        };
        if !open.is_carried {
            return Ok(());
        }
        let at = open.at;
        let kind = delta.kind.take().unwrap_or_default();
        match kind.as_str() {
            "text_delta" => push_grown(delta.text.take(), |delta| Event::Text { at, delta }, events),
            "thinking_delta" => {
                push_grown(
                    delta.thinking.take(),
                    |delta| Event::Thought { at, delta },
                    events,
                );
            }
            "input_json_delta" => {
                let text = delta.partial_json.take().filter(|text| !text.is_empty());
                open.grew |= text.is_some();
                push_grown(text, |delta| Event::Args { at, delta }, events);
            }
            "signature_delta" => delta.signature = None,
            _ => losses.unknown(place_of(at), &kind),
        }
        delta.report(place_of(at), losses);
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        let Some(open) = self.open.take().filter(|open| open.is_carried) else {
            return;
        };
        if let Some(delta) = open.input.filter(|_| !open.grew) {
            events.push(Event::Args { at: open.at, delta });
        }
        events.push(Event::Close { at: open.at });
    }

    fn end(&mut self, event: &mut WireEvent, events: &mut Vec<Event>, losses: &mut Losses) {
        if let Some(usage) = event.usage.take() {
            self.read_usage(usage, events, losses);
        }
        let mut delta: Delta = event.delta.take().unwrap_or_default();
        if let Some(reason) = delta.stop_reason.take() {
            self.close(events);
            let (sequence, details) = (delta.stop_sequence.take(), delta.stop_details.take());
            events.push(Event::Stop(read_halt(Some(&reason), sequence, details, losses)));
        }
        delta.report(Place::ROOT.key("delta"), losses);
    }

    fn read_usage(&mut self, usage: super::wire::ReplyUsage, events: &mut Vec<Event>, losses: &mut Losses) {
        read_usage(usage, &mut self.tally, losses);
        events.extend(self.tally.usage().map(Event::Usage));
    }
}

/// Anthropic starts a call with `{}` and sends the arguments in deltas; some imitators send them whole at the start.
fn whole_input(block: &mut Block) -> Option<String> {
    let input: Raw = block.input.take().filter(Raw::is_object)?;
    let is_empty = input
        .get()
        .bytes()
        .all(|b| b.is_ascii_whitespace() || matches!(b, b'{' | b'}'));
    (!is_empty).then(|| input.get().to_owned())
}

fn push_grown(text: Option<String>, event: impl FnOnce(String) -> Event, events: &mut Vec<Event>) {
    events.extend(text.filter(|text| !text.is_empty()).map(event));
}

fn place_of(at: u32) -> Place {
    Place::ROOT
        .key("content")
        .index(usize::try_from(at).unwrap_or(usize::MAX))
}

// === impl Writer ===

impl Writer {
    pub fn new(reply: Reply) -> Self {
        Self {
            active: None,
            calls: 0,
            early: Vec::new(),
            next: 0,
            parked: Vec::new(),
            parked_bytes: 0,
            reply,
        }
    }

    /// A writer that goes on with a message that another began: its next block has this index, and the block `open`, if
    /// there is one, is written to as the block [`RESUMED_AT`].
    pub(crate) fn resumed(reply: Reply, next: u32, open: Option<u32>) -> Self {
        Self {
            active: open.map(|index| Active {
                at: RESUMED_AT,
                balance: None,
                index,
            }),
            next,
            ..Self::new(reply)
        }
    }

    pub fn write(&mut self, event: Event, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        match event {
            Event::Start { id, .. } => self.start(&id, out),
            Event::Open { at, kind } => return self.open(at, kind, out, losses),
            Event::Text { at, delta } | Event::Args { at, delta } => return self.grow(at, &delta, out),
            Event::Close { at } => self.close(at, out),
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
        // Whatever the source left open or unsaid, nothing waits any longer.
        self.stop_active(out);
        for parked in &mut self.parked {
            parked.is_closed = true;
        }
        self.promote(out);
        if usage.is_none() {
            losses.added(
                Place::ROOT.key("usage"),
                "the dialect requires it and the channel does not say",
            );
        }
        let stop = settle(halt.stop, self.calls > 0);
        let stop_sequence = halt.sequence.as_deref().filter(|_| stop == Stop::Sequence);
        let delta = OutEnd {
            stop_reason: stop_reason(stop),
            stop_sequence,
        };
        frame(
            &OutEvent::MessageDelta {
                delta,
                usage: usage.unwrap_or_default().into(),
            },
            out,
        );
        frame(&OutEvent::MessageStop, out);
    }

    fn start(&self, id: &str, out: &mut Vec<u8>) {
        let message = OutReply {
            id: &answer_id(id, "chatcmpl-", "msg_"),
            kind: "message",
            role: "assistant",
            model: &self.reply.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            // The source says it at the end, and so does `message_delta`, whose counts replace these.
            usage: OutUsage::from(Usage::default()),
        };
        frame(&OutEvent::MessageStart { message }, out);
    }

    fn open(&mut self, at: u32, kind: Kind, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        if let Kind::Thought(place) = kind {
            losses.dropped(place, "reasoning without a signature could not be sent back");
            return Ok(());
        }
        if self.parked.len() >= BLOCKS_MAX {
            return Err(FaultKind::Garbage);
        }
        self.parked.push(Parked {
            at,
            data: String::new(),
            is_closed: false,
            kind,
        });
        self.yield_active(out)?;
        Ok(())
    }

    fn grow(&mut self, at: u32, delta: &str, out: &mut Vec<u8>) -> Result<(), FaultKind> {
        if let Some(active) = self.active.as_mut().filter(|active| active.at == at) {
            let delta_out = if let Some(balance) = active.balance.as_mut() {
                balance.feed(delta);
                OutDelta::InputJsonDelta { partial_json: delta }
            } else {
                OutDelta::TextDelta { text: delta }
            };
            frame(
                &OutEvent::ContentBlockDelta {
                    index: active.index,
                    delta: delta_out,
                },
                out,
            );
            return self.yield_active(out);
        }
        if let Some(parked) = self.parked.iter_mut().find(|parked| parked.at == at) {
            self.parked_bytes = self.parked_bytes.saturating_add(delta.len());
            if self.parked_bytes > PARKED_BYTES_MAX {
                return Err(FaultKind::Garbage);
            }
            parked.data.push_str(delta);
            return Ok(());
        }
        // More after complete JSON: white space means nothing, anything else would never have been JSON.
        let is_late = self.early.contains(&at) && !delta.trim().is_empty();
        if is_late { Err(FaultKind::Garbage) } else { Ok(()) }
    }

    fn close(&mut self, at: u32, out: &mut Vec<u8>) {
        if self.active.as_ref().is_some_and(|active| active.at == at) {
            self.stop_active(out);
            self.promote(out);
        } else if let Some(parked) = self.parked.iter_mut().find(|parked| parked.at == at) {
            parked.is_closed = true;
        }
    }

    /// Lets the next block begin if the active one is a call that is complete, or if there is none.
    fn yield_active(&mut self, out: &mut Vec<u8>) -> Result<(), FaultKind> {
        while !self.parked.is_empty() {
            match &self.active {
                None => self.promote(out),
                Some(Active {
                    at,
                    balance: Some(balance),
                    ..
                }) if balance.is_complete => {
                    if self.early.len() >= BLOCKS_MAX {
                        return Err(FaultKind::Garbage);
                    }
                    self.early.push(*at);
                    self.stop_active(out);
                }
                Some(_) => break,
            }
        }
        Ok(())
    }

    /// Writes the waiting blocks in their order, until one is still growing.
    fn promote(&mut self, out: &mut Vec<u8>) {
        while self.active.is_none() && !self.parked.is_empty() {
            let parked = self.parked.remove(0);
            self.parked_bytes = self.parked_bytes.saturating_sub(parked.data.len());
            let is_closed = parked.is_closed;
            self.begin(parked, out);
            if is_closed {
                self.stop_active(out);
            }
        }
    }

    fn begin(&mut self, parked: Parked, out: &mut Vec<u8>) {
        let Parked { at, data, kind, .. } = parked;
        let index = self.next;
        self.next = self.next.saturating_add(1);
        let mut balance = None;
        let (start, delta) = match &kind {
            Kind::Call { id, name } => {
                self.calls = self.calls.saturating_add(1);
                balance.get_or_insert_with(Balance::default).feed(&data);
                let id = plain_id(id);
                let name = self.reply.names.near(name);
                let content_block = OutStart::ToolUse {
                    id: &id,
                    name,
                    input: OutEmpty {},
                };
                frame(&OutEvent::ContentBlockStart { index, content_block }, out);
                (None, OutDelta::InputJsonDelta { partial_json: &data })
            }
            Kind::Refusal | Kind::Text | Kind::Thought(_) => (
                Some(OutStart::Text { text: "" }),
                OutDelta::TextDelta { text: &data },
            ),
        };
        if let Some(content_block) = start {
            frame(&OutEvent::ContentBlockStart { index, content_block }, out);
        }
        if !data.is_empty() {
            frame(&OutEvent::ContentBlockDelta { index, delta }, out);
        }
        self.active = Some(Active { at, balance, index });
    }

    fn stop_active(&mut self, out: &mut Vec<u8>) {
        if let Some(active) = self.active.take() {
            frame(&OutEvent::ContentBlockStop { index: active.index }, out);
        }
    }
}

// === impl Balance ===

impl Balance {
    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

fn frame(event: &OutEvent<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.name().as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // Writing our own structs to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, event);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_complete_at_its_own_brace() {
        let is_complete = |text: &str| {
            let mut balance = Balance::default();
            balance.feed(text);
            balance.is_complete
        };
        assert!(is_complete(r#"{"a":"}\"}","b":[{}]}"#));
        assert!(!is_complete(r#"{"a":"}\"}","b":[{}]"#));
        assert!(!is_complete(""));
    }
}

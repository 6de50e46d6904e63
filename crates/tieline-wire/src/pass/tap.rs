//! The tap: what a stream's events or a whole body say about the answer, as text-free marks. It tolerates what real
//! servers send (unknown events, repeated starts, usage in odd places) and judges only what it understands.

use std::ops::Range;

use smallvec::SmallVec;
use tieline_core::{Dialect, FaultKind, Mark, Stop, Usage};

use super::{anthropic_messages, broken, openai_chat};
use crate::classify;
use crate::frame::sse::Event;
use crate::json::{self, Bad, Cursor};

/// What the tap says about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The channel reports an error, or an event in which content may stand cannot be read.
    Fault(FaultKind),
    /// The event is no JSON, and nothing of the answer stands in it.
    Noise,
    Pass,
    /// The event carries usage and nothing else.
    UsageOnly,
}

/// What one event or body says, dialect put aside.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each named where it is read"
)]
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// It has what every answer of its kind has: `choices`, or a known `type`.
    pub(super) answer: bool,
    /// A bit for each choice that is met here, and for each that ends here, by its index modulo 64, in a dialect that has
    /// choices.
    pub(super) choices_met: u64,
    pub(super) choices_over: u64,
    /// Content events: deltas of text, thinking or arguments that are not empty.
    pub(super) content: u32,
    /// Where the text of the last content event stands, without its quotes.
    pub(super) content_at: Option<Range<usize>>,
    /// The terminator.
    pub(super) done: bool,
    pub(super) error: bool,
    /// Where a text stands that means nothing and changes with every event (OpenAI's `obfuscation`).
    pub(super) padding: Option<Range<usize>>,
    pub(super) stop: Option<Stop>,
    /// A thinking block begins here.
    pub(super) thought_begins: bool,
    /// Thinking flows, in a dialect that does not say where it begins.
    pub(super) thought_flows: bool,
    /// Text or arguments flow, which ends thinking in such a dialect.
    pub(super) thought_ends: bool,
    /// A bit for each tool call that is met, by its index modulo 64, in a dialect that does not say where one begins.
    pub(super) tools_met: u64,
    /// Tool calls that begin here.
    pub(super) tools_begun: u32,
    pub(super) usage: Option<RawUsage>,
    pub(super) usage_only: bool,
}

impl Facts {
    /// A whole answer that has neither content nor an end is none: no model was asked, or none finished. An empty answer
    /// that says how it stopped is one.
    const fn is_empty(&self) -> bool {
        let ends = self.stop.is_some() || self.choices_over != 0;
        let says = self.content > 0 || self.tools_begun > 0 || self.tools_met != 0 || self.thought_begins;
        !ends && !says
    }
}

/// Usage as the dialect counts it; what was not said stays `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RawUsage {
    pub(super) audio: Option<u64>,
    pub(super) audio_output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) image: Option<u64>,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) reasoning: Option<u64>,
    pub(super) total: Option<u64>,
}

/// Reads one answer.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each named where it is read"
)]
#[derive(Debug)]
pub(crate) struct Tap {
    choices_met: u64,
    choices_over: u64,
    complete: bool,
    content: u32,
    dialect: Dialect,
    /// An event was understood.
    parsed: bool,
    template: Template,
    /// The terminator was seen.
    terminated: bool,
    thinking: bool,
    tools: u64,
    usage: RawUsage,
    usage_changed: bool,
}

impl Tap {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            choices_met: 0,
            choices_over: 0,
            complete: false,
            content: 0,
            dialect,
            parsed: false,
            template: Template::default(),
            terminated: false,
            thinking: false,
            tools: 0,
            usage: RawUsage::default(),
            usage_changed: false,
        }
    }

    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The fault of a stream that ends here without being complete.
    pub(crate) const fn cut_fault(&self) -> FaultKind {
        if self.parsed {
            FaultKind::Reset
        } else {
            FaultKind::Garbage
        }
    }

    /// Whether an event's data can be read to its end.
    pub(crate) fn is_whole(&self, data: &[u8]) -> bool {
        data == b"[DONE]" || self.facts(data).is_ok()
    }

    /// Reads one event. Content and usage are told by [`Tap::flush`].
    pub(crate) fn event(&mut self, event: &Event<'_>, marks: &mut Vec<Mark>) -> Told {
        let data = event.data.as_ref();
        if data == b"[DONE]" {
            // The end of an answer; where nothing of one was understood, it is the end of nothing.
            self.complete |= self.parsed;
            self.terminated = true;
            return Told::Pass;
        }
        if self.template.fits(data) {
            let facts = self.template.facts();
            self.note(&facts, marks);
            return Told::Pass;
        }
        let Ok(facts) = self.facts(data) else {
            return self.unreadable(event);
        };
        self.template.learn(data, &facts);
        if facts.error || (event.name == Some(b"error") && !facts.answer) {
            // What comes after the stop cannot take the answer back.
            if self.complete {
                return Told::Pass;
            }
            return Told::Fault(classify::in_stream(data));
        }
        self.parsed |= facts.answer;
        self.terminated |= facts.done;
        self.choices_met |= facts.choices_met;
        self.choices_over |= facts.choices_over;
        // One choice of several that ended does not make the others whole.
        let stops = facts.stop.is_some() || facts.choices_over != 0;
        self.complete |= facts.done || (stops && self.choices_met & !self.choices_over == 0);
        self.note(&facts, marks);
        if facts.usage_only {
            Told::UsageOnly
        } else {
            Told::Pass
        }
    }

    /// What an application would be lost with: SDKs fail on an event that is no JSON. Where a piece of the answer may stand
    /// in it, an answer without it would have a hole that nobody sees.
    fn unreadable(&self, event: &Event<'_>) -> Told {
        // Valid JSON of a shape that is not ours to judge.
        if !matches!(json::check(&event.data), Err(Bad::Form { .. })) {
            return Told::Pass;
        }
        if self.complete || !broken::may_hold_content(self.dialect, event) {
            Told::Noise
        } else {
            Told::Fault(FaultKind::Garbage)
        }
    }

    /// What is missing at the end of a whole answer whose channel did not send it.
    pub(crate) const fn terminator(&self) -> &'static [u8] {
        match self.dialect {
            _ if self.terminated => b"",
            Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            Dialect::OpenaiChat => b"data: [DONE]\n\n",
        }
    }

    /// Tells what has gathered.
    pub(crate) fn flush(&mut self, marks: &mut Vec<Mark>) {
        self.flush_content(marks);
        if self.usage.is_whole() && std::mem::take(&mut self.usage_changed) {
            marks.push(Mark::Usage(self.usage.disjoint(self.dialect)));
        }
    }

    /// Reads a whole answer.
    pub(super) fn whole(mut self, body: &[u8]) -> Result<SmallVec<[Mark; 4]>, FaultKind> {
        let facts = self.facts(body).map_err(|_| FaultKind::Garbage)?;
        if facts.error {
            return Err(classify::in_stream(body));
        }
        if !facts.answer || facts.is_empty() {
            return Err(FaultKind::Garbage);
        }
        let mut marks = Vec::new();
        self.note(&facts, &mut marks);
        self.flush(&mut marks);
        Ok(SmallVec::from_vec(marks))
    }

    fn facts(&self, data: &[u8]) -> Result<Facts, Bad> {
        match self.dialect {
            Dialect::AnthropicMessages => anthropic_messages::read(data),
            Dialect::OpenaiChat => openai_chat::read(data),
        }
    }

    fn note(&mut self, facts: &Facts, marks: &mut Vec<Mark>) {
        if facts.thought_begins || (facts.thought_flows && !self.thinking) {
            self.flush_content(marks);
            marks.push(Mark::Thinking);
        }
        self.thinking = (self.thinking || facts.thought_flows) && !facts.thought_ends;
        let begun = facts.tools_begun + (facts.tools_met & !self.tools).count_ones();
        self.tools |= facts.tools_met;
        if begun > 0 {
            self.flush_content(marks);
            marks.extend((0..begun).map(|_| Mark::Tool));
        }
        self.content = self.content.saturating_add(facts.content);
        if let Some(stop) = facts.stop {
            self.flush_content(marks);
            marks.push(Mark::Stop(stop));
        }
        if let Some(usage) = facts.usage.filter(RawUsage::is_exact) {
            let merged = self.usage.merge(usage);
            self.usage_changed |= merged != self.usage;
            self.usage = merged;
        }
    }

    fn flush_content(&mut self, marks: &mut Vec<Mark>) {
        if self.content > 0 {
            marks.push(Mark::Content(std::mem::take(&mut self.content)));
        }
    }
}

/// The content event before, to know the next by. Nearly all events of a stream are equal but for one text, and then say
/// the same: between equal bytes stands another string at the place of a string. Checking that costs a tenth of reading.
#[derive(Debug, Default)]
struct Template {
    bytes: Vec<u8>,
    content_at: Range<usize>,
    /// Empty if there is none.
    padding: Range<usize>,
    thought_ends: bool,
    thought_flows: bool,
    tools_met: u64,
}

/// Longer events are not remembered: the usual ones are 200 to 800 bytes, and each stream keeps one.
const TEMPLATE_BYTES_MAX: usize = 2_048;

impl Template {
    /// Whether `data` is the event before with other texts in it, which are not empty.
    fn fits(&self, data: &[u8]) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        let (first, second) = if self.padding.start < self.content_at.start && !self.padding.is_empty() {
            (&self.padding, &self.content_at)
        } else {
            (&self.content_at, &self.padding)
        };
        let Some((at, rest)) = self.text(0, first, data) else {
            return false;
        };
        let second = if second.is_empty() {
            Some((at, rest))
        } else {
            self.text(at, second, rest)
        };
        second.is_some_and(|(at, rest)| self.bytes.get(at..) == Some(rest))
    }

    /// Passes the bytes up to a text and the text; yields where it goes on in the template and in `data`.
    fn text<'d>(&self, at: usize, slot: &Range<usize>, data: &'d [u8]) -> Option<(usize, &'d [u8])> {
        let rest = data.strip_prefix(self.bytes.get(at..slot.start)?)?;
        let mut cursor = Cursor::new(rest);
        cursor.text_body().ok()?;
        if cursor.at() == 0 {
            None
        } else {
            Some((slot.end, rest.get(cursor.at()..)?))
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            answer: true,
            content: 1,
            thought_ends: self.thought_ends,
            thought_flows: self.thought_flows,
            tools_met: self.tools_met,
            ..Facts::default()
        }
    }

    /// Remembers an event that tells of one content event and nothing else.
    fn learn(&mut self, data: &[u8], facts: &Facts) {
        let more = facts.done
            || facts.error
            || facts.stop.is_some()
            || facts.thought_begins
            || facts.tools_begun > 0
            || facts.usage.is_some();
        let Some(content_at) = facts.content_at.clone() else {
            return;
        };
        if more || !facts.answer || facts.content != 1 || data.len() > TEMPLATE_BYTES_MAX {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(data);
        self.content_at = content_at;
        self.padding = facts.padding.clone().unwrap_or_default();
        self.thought_ends = facts.thought_ends;
        self.thought_flows = facts.thought_flows;
        self.tools_met = facts.tools_met;
    }
}

/// The largest count that every JSON reader holds (RFC 8259, section 6), and so the largest that can be recorded. A channel
/// that reports more reports nothing.
const COUNT_MAX: u64 = (1 << 53) - 1;

impl RawUsage {
    /// Whether both sides of the call were counted. One alone would be recorded with a zero for the other, and priced so.
    fn is_whole(&self) -> bool {
        self.input.is_some() && self.output.is_some()
    }

    fn is_exact(&self) -> bool {
        [
            self.audio,
            self.audio_output,
            self.cache_read,
            self.cache_write,
            self.image,
            self.input,
            self.output,
            self.reasoning,
            self.total,
        ]
        .iter()
        .flatten()
        .all(|count| *count <= COUNT_MAX)
    }

    /// What was said last counts, field by field.
    fn merge(self, later: Self) -> Self {
        Self {
            audio: later.audio.or(self.audio),
            audio_output: later.audio_output.or(self.audio_output),
            cache_read: later.cache_read.or(self.cache_read),
            cache_write: later.cache_write.or(self.cache_write),
            image: later.image.or(self.image),
            input: later.input.or(self.input),
            output: later.output.or(self.output),
            reasoning: later.reasoning.or(self.reasoning),
            total: later.total.or(self.total),
        }
    }

    /// Disjoint counters. OpenAI counts sound, pictures and cached tokens within the prompt, Anthropic beside it; both count reasoning
    /// within the answer, except servers (xAI) whose own total shows that they count it beside.
    fn disjoint(self, dialect: Dialect) -> Usage {
        let [cache_read, cache_write, input, output, reasoning] = [
            self.cache_read,
            self.cache_write,
            self.input,
            self.output,
            self.reasoning,
        ]
        .map(Option::unwrap_or_default);
        let [audio, audio_output, image] =
            [self.audio, self.audio_output, self.image].map(Option::unwrap_or_default);
        let beside = reasoning > output
            || (reasoning > 0
                && self
                    .total
                    .is_some_and(|total| total == input.saturating_add(output).saturating_add(reasoning)));
        let apart = [cache_read, cache_write, audio, image];
        Usage {
            audio,
            audio_output,
            cache_read,
            cache_write,
            image,
            input: match dialect {
                Dialect::AnthropicMessages => input,
                Dialect::OpenaiChat => apart.into_iter().fold(input, u64::saturating_sub),
            },
            output: if beside {
                output
            } else {
                output.saturating_sub(reasoning)
            }
            .saturating_sub(audio_output),
            reasoning,
        }
    }
}

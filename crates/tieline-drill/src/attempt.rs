//! The attempt under way of a call, as its channel lets it come: silence, a fault, or first content and then an end. What
//! it will be is the [`World`](crate::world::World)'s to say; here is when each piece of it is due.
//!
//! Bounds: one answer, of two pieces; and of which of a call's rows were dialled, a bit each.

use tieline_core::{ChannelClaim, Fault, Phase, Span, Tick};

use crate::laid::Answer;

/// What the channel does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// First content, of an answer that goes on.
    Content,
    End,
    Fault(Fault),
}

#[derive(Default)]
pub(crate) struct Attempt {
    /// What the channel was asked for.
    pub(crate) claim: ChannelClaim,
    /// The row that was dialled first.
    pub(crate) first: Option<u8>,
    /// It has brought content.
    pub(crate) is_answering: bool,
    /// What comes after the first content, of an answer that has not begun.
    rest: Option<(Span, Act)>,
    /// The row that was dialled last.
    pub(crate) row: u8,
    /// What comes of it next, and when; nothing, where the channel stays silent.
    script: Option<(Tick, Act)>,
    /// The rows that were dialled, as bits.
    tried: u8,
}

impl Attempt {
    /// The row is dialled. How often it was tried before: once, or more.
    pub(crate) fn dial(&mut self, row: u8) -> u8 {
        self.first.get_or_insert(row);
        let bit = 1 << (row % 8);
        let tries = u8::from(self.tried & bit != 0);
        (self.is_answering, self.row, self.tried) = (false, row, self.tried | bit);
        tries
    }

    /// The channel that was dialled answers.
    pub(crate) fn answer(&mut self, answer: &Answer, now: Tick) {
        let due = now.plus(answer.ttft.unwrap_or(answer.took));
        let end = answer.fault.map_or(Act::End, Act::Fault);
        if let (None, Some(_)) = (answer.ttft, answer.fault) {
            self.script = Some((due, end));
            return;
        }
        let rest = answer.took.0.saturating_sub(answer.ttft.unwrap_or_default().0);
        (self.rest, self.script) = (Some((Span(rest), end)), Some((due, Act::Content)));
    }

    /// What it brings at this instant, if it is what was waited for.
    pub(crate) fn bring(&mut self, at: Tick) -> Option<Act> {
        let (_, act) = self.script.take_if(|(due, _)| *due <= at)?;
        if let Act::Content = act {
            self.is_answering = true;
            self.script = self.rest.take().map(|(after, act)| (at.plus(after), act));
        }
        Some(act)
    }

    /// When it brings something next.
    pub(crate) fn due(&self) -> Option<Tick> {
        self.script.map(|(due, _)| due)
    }

    /// Nothing more comes of it. What it had come to.
    pub(crate) fn stop(&mut self) -> Phase {
        self.script = None;
        if self.is_answering {
            Phase::Body
        } else {
            Phase::Head
        }
    }
}

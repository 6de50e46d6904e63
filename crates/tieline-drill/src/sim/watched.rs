//! What the auditor knows of one call: what was asked of it, told to it, and what it did.

use std::sync::Arc;

use tieline_core::call::{Reply, WakeFor};
use tieline_core::grid::{RecordMode, Resume, Settings};
use tieline_core::{Claim, Fault, FaultKind, Input, Mark, Method, Nano, Phase, Snapshot, Span, Tick, Usage};

use super::lanes::{End, Lane};

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing seen")]
pub(super) struct Watched {
    /// What was asked of the desk, and not answered yet.
    pub(super) asked: Option<Asking>,
    pub(super) attempts: Vec<Try>,
    /// What came is more than text, or said how it stops: nobody may go on with it.
    pub(super) bars_resume: bool,
    pub(super) began: Tick,
    /// Whether one who pays has a budget.
    pub(super) budgeted: bool,
    pub(super) candidates: Vec<Lane>,
    /// The last fact that it was told.
    pub(super) cause: Cause,
    /// And when it was told.
    pub(super) cause_at: Tick,
    pub(super) closes: u32,
    pub(super) decision: Option<Vec<u8>>,
    pub(super) decisions: u32,
    /// Rows of which the desk said that a limit is used up.
    pub(super) denied: u8,
    pub(super) durable: bool,
    pub(super) grid: Arc<Snapshot>,
    /// Granted on a channel and not settled.
    pub(super) held_channel: Option<(u8, u64)>,
    pub(super) charged: Option<Nano>,
    pub(super) held_key: Option<Claim>,
    pub(super) in_scope: bool,
    /// When it last saw the fleet. What changed while its decision became durable, it could not see.
    pub(super) looked_at: Option<Tick>,
    /// Its time, by the pool and by the caller.
    pub(super) limit: Span,
    /// Nothing more may be tried, whatever else is there.
    pub(super) final_fault: Option<FaultKind>,
    /// After an overflow of a context: that which must be larger.
    pub(super) outgrown: Option<u32>,
    pub(super) party: u8,
    pub(super) patience: Option<Span>,
    pub(super) released: bool,
    pub(super) reply: Option<Reply>,
    pub(super) seen_out: u8,
    pub(super) settings: Settings,
    pub(super) stream: bool,
    pub(super) taken: bool,
    pub(super) waits: Waits,
    /// Why it wants to be woken next.
    pub(super) wake: Option<WakeFor>,
    /// The answer under way ended well.
    pub(super) whole: bool,
}

/// A reservation that the desk was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asking {
    Channel(u8, u64),
    Key(Claim),
}

#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) all: Span,
    pub(super) count: u32,
    pub(super) until: Option<Tick>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) content_at: Option<Tick>,
    pub(super) dialled_at: Tick,
    pub(super) end: Option<End>,
    /// How it is to go on with an answer that broke off.
    pub(super) method: Option<Method>,
    pub(super) opened: bool,
    pub(super) progress_at: Tick,
    /// The channel refused it, so that unknown usage is nothing.
    pub(super) refused: bool,
    pub(super) row: u8,
    pub(super) usage: Option<Usage>,
}

/// What an attempt's end follows from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    End,
    Fault(Fault),
    Ordered,
    Other,
    Timer,
    Whole,
}

impl Watched {
    pub(super) fn lane(&self, row: u8) -> Option<Lane> {
        self.candidates.get(usize::from(row)).copied()
    }

    pub(super) fn strict(&self) -> bool {
        self.settings.record == RecordMode::Strict
    }

    /// What a next attempt may not do for the answer of which a part has left, if anything; `method` is how it is asked.
    pub(super) fn bar(&self, row: u8, method: Option<Method>) -> Option<String> {
        let first = self.attempts.iter().find(|attempt| attempt.content_at.is_some());
        let model = |row: u8| self.lane(row).map(|(_, model)| model);
        let is_same = first.is_some_and(|first| model(first.row) == model(row));
        match method {
            None if self.released => Some("a part of another answer has left".to_owned()),
            None => None,
            Some(_) if !self.released => Some("nothing has left that could be gone on with".to_owned()),
            Some(_) if !self.stream || self.bars_resume => Some("the answer is more than text".to_owned()),
            Some(_) => match self.settings.resume {
                Resume::Off => Some("the pool does not want it gone on with".to_owned()),
                Resume::SameModel if !is_same => Some("another model may not go on with it".to_owned()),
                Resume::Pool | Resume::SameModel => None,
            },
        }
    }

    /// Usage of the attempt that answered, or of all that gave a part of an answer.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.attempts.iter().all(|attempt| attempt.method.is_none()) {
            return self.attempts.last().and_then(|attempt| attempt.usage);
        }
        let mut sum = Usage::default();
        for attempt in self
            .attempts
            .iter()
            .filter(|attempt| attempt.content_at.is_some())
        {
            sum = sum.plus(&attempt.usage?);
        }
        Some(sum)
    }

    /// The attempt that is under way.
    pub(super) fn under_way(&self) -> Option<&Try> {
        self.attempts.last().filter(|attempt| attempt.end.is_none())
    }

    /// Take note of a fact that the call is about to be told.
    pub(super) fn told(&mut self, input: &Input, now: Tick) {
        self.cause_at = now;
        self.cause = match input {
            Input::End { complete: false } => Cause::End,
            Input::End { complete: true } | Input::Durable => Cause::Whole,
            Input::Fault(fault) => Cause::Fault(*fault),
            Input::Ordered(_) => Cause::Ordered,
            Input::Timer => Cause::Timer,
            _ => Cause::Other,
        };
        if matches!(input, Input::Durable) {
            self.durable = true;
        }
        let under_way = self.attempts.last_mut().filter(|attempt| attempt.end.is_none());
        let Some(attempt) = under_way.filter(|_| !self.whole) else {
            return;
        };
        match input {
            Input::Opened { .. } => attempt.opened = true,
            Input::End { complete: true } => self.whole = true,
            Input::Mark(mark) => {
                attempt.progress_at = now;
                self.bars_resume |= matches!(mark, Mark::Stop(_) | Mark::Thinking | Mark::Tool);
                if let Mark::Usage(usage) = mark {
                    attempt.usage = Some(*usage);
                }
                let begins = matches!(mark, Mark::Content(1..) | Mark::Thinking | Mark::Tool);
                if begins && attempt.content_at.is_none() {
                    attempt.content_at = Some(now);
                }
            }
            _ => {}
        }
    }

    /// The end of the call's time.
    pub(super) fn over_at(&self) -> Tick {
        let patience = self.patience.filter(|_| !self.released);
        self.began
            .plus(patience.map_or(self.limit, |patience| patience.min(self.limit)))
    }

    /// When the attempt under way has to have come further, whatever the call's time.
    pub(super) fn stage_over_at(&self) -> Option<Tick> {
        let attempt = self.under_way().filter(|_| !self.whole)?;
        let after = |since: Tick, ms: u32| since.plus(Span::from_ms(ms.into()));
        let settings = &self.settings;
        Some(match (self.stream, attempt.content_at) {
            (false, _) => after(attempt.dialled_at, settings.whole_ms),
            (true, Some(_)) => after(attempt.progress_at, settings.idle_ms),
            (true, None) if attempt.opened => after(attempt.dialled_at, settings.first_content_ms),
            (true, None) => after(
                attempt.dialled_at,
                settings.first_content_ms.min(settings.head_ms),
            ),
        })
    }

    /// How the attempt under way ended, now that it is settled, and whether the channel refused it.
    pub(super) fn end_of_attempt(&self) -> (End, bool) {
        let fault = |fault: Fault| {
            let wait = fault.retry_after_ms.map(Span::from_ms);
            let content = self
                .attempts
                .last()
                .is_some_and(|attempt| attempt.content_at.is_some());
            let worked = match fault.kind {
                FaultKind::Timeout => true,
                FaultKind::Reset => fault.phase == Phase::Body,
                _ => false,
            };
            (End::Fault(fault.kind, wait), !worked && !content)
        };
        match self.cause {
            Cause::Whole if self.whole => (End::Done, false),
            Cause::End => fault(Fault::new(FaultKind::Reset, Phase::Body)),
            Cause::Fault(of) => fault(of),
            // After the call's own limit nothing else that passed with it is anybody's fault.
            Cause::Timer if self.over_at() <= self.cause_at => (End::Left, false),
            // Which limit passed, the call says; that it said so in time is checked whenever it waits.
            Cause::Timer if self.wake != Some(WakeFor::CallLimit) => {
                fault(Fault::new(FaultKind::Timeout, Phase::Body))
            }
            Cause::Ordered | Cause::Other | Cause::Timer | Cause::Whole => (End::Left, false),
        }
    }
}

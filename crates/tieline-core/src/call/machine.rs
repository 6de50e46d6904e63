//! The transitions of a [`Call`].
//!
//! admit → judge → look → reserve for the key → reserve on the channel → record → attempt → done, and from a failed
//! attempt back to judge. Control flow is here; the choice among candidates is in [`super::plan`].

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::plan::Turn;
use super::step::{Fact, Judged, Loss};
use super::{
    Attempt, AttemptEnd, Call, Effect, Ending, Input, Reply, Reservation, Stage, WakeFor, Why, limited,
};
use crate::desk::DeskReply;
use crate::fault::{Fault, FaultKind, Phase, TimeLimit};
use crate::fleet::{Health, Observation, Row, Seen, View};
use crate::grid::{RecordMode, Settings};
use crate::mark::Mark;
use crate::money::Nano;
use crate::problem::{Code, Problem, Retry};
use crate::subject::Ask;
use crate::time::{Span, Tick};
use crate::verdict::{Ruling, Verdict};

impl Call {
    /// Feed one fact from the world; then drain [`Call::poll`]. Facts that the stage does not wait for are ignored: an
    /// attempt that was cancelled may still report.
    pub fn handle(&mut self, input: Input, now: Tick) {
        self.now = self.now.max(now);
        match (self.stage, input) {
            (Stage::Done | Stage::Record { .. }, Input::Desk(reply)) => self.desk_late(reply),
            (Stage::Done, _) => {}
            (Stage::Record { .. }, Input::ClientGone) => self.gone_before_recorded(),
            (_, Input::ClientGone) => self.client_gone(),
            (_, Input::Loss(losses)) => self.lost(&losses),
            (Stage::Judge { rows }, Input::Verdicts(verdicts)) => self.judged(rows, verdicts),
            (Stage::Look { kept }, Input::View(view)) => self.looked(kept, view),
            (Stage::ReserveKey, Input::Desk(reply)) => self.key_reserved(reply),
            (Stage::ReserveChannel { row }, Input::Desk(reply)) => self.channel_reserved(row, reply),
            (Stage::Record { row }, Input::Recorded { taken }) => self.recorded(row, taken),
            (_, Input::Durable) => self.durable(),
            (_, Input::NotDurable) => self.not_durable(),
            (_, Input::Timer) => self.timer(),
            (Stage::Attempt, Input::Ordered(verdict)) => self.ordered(verdict),
            // The answer is whole; nothing that its connection does afterwards matters.
            (Stage::Attempt, _) if self.end_waits => {}
            (Stage::Attempt, Input::Opened { status }) => self.opened(status),
            (Stage::Attempt, Input::Mark(mark)) => self.mark(mark),
            (Stage::Attempt, Input::Fault(fault)) => {
                self.step(Fact::Fault(fault));
                self.attempt_failed(fault);
            }
            (Stage::Attempt, Input::End { complete }) => self.end(complete),
            _ => {}
        }
    }

    /// Refuse what needs no candidate to be refused, else ask for verdicts.
    pub(super) fn admit(&mut self) {
        let problem = match &self.intake.ask {
            Ask::Unreadable(code) => Some(Problem::plain(*code)),
            Ask::Unknown(name) => Some(unknown_name(name.as_deref())),
            Ask::Model(_) | Ask::Pool(_) if !self.in_scope => Some(Problem::plain(Code::PoolForbidden)),
            Ask::Model(_) | Ask::Pool(_) if self.candidates.is_empty() => {
                Some(Problem::plain(Code::NoChannel))
            }
            Ask::Model(_) | Ask::Pool(_) => None,
        };
        match problem {
            Some(problem) => self.refuse(problem),
            None => self.ask_for_verdicts(),
        }
    }

    pub(super) fn ask_for_verdicts(&mut self) {
        let rows = self.plan.open();
        self.stage = Stage::Judge { rows };
        self.emit(Effect::Judge { rows });
    }

    fn judged(&mut self, rows: u8, verdicts: ArrayVec<Arc<Verdict>, { crate::ROWS_MAX }>) {
        self.plan.judge(rows, &verdicts);
        self.step(Fact::Verdicts(verdicts.into_iter().map(Judged).collect()));
        if self.plan.any_allowed() {
            self.stage = Stage::Look { kept: None };
            self.emit(Effect::Look);
        } else {
            self.plan.look_at_verdicts();
            self.refuse_for_want_of_candidates();
        }
    }

    fn looked(&mut self, kept: Option<u8>, view: Box<View>) {
        let again = !self.attempts.is_empty();
        self.plan.see(&view);
        if self.released {
            self.keep_what_can_resume();
        }
        self.plan
            .look(again, self.intake.features, self.rng.draw(), self.now);
        self.step(Fact::View(view));
        if let Some(row) = kept {
            if self.plan.is_ready(row) {
                self.plan.mark(row, Why::Chosen);
                return self.dial(row);
            }
            // Rules may have changed as well since the others were judged.
            self.release_channel(Some(row));
            return self.ask_for_verdicts();
        }
        if self.reserved_key.is_some() {
            return self.try_next();
        }
        if self.choose().is_none() {
            return self.wait_or_refuse();
        }
        self.stage = Stage::ReserveKey;
        self.claim = self.claim();
        self.emit(Effect::ReserveKey { claim: self.claim });
    }

    fn key_reserved(&mut self, reply: DeskReply) {
        self.step(Fact::Desk(reply));
        match limited::problem(reply, self.now) {
            None => {
                self.reserved_key = Some(self.claim);
                self.try_next();
            }
            Some(problem) => self.refuse(problem),
        }
    }

    fn try_next(&mut self) {
        match self.choose() {
            Some(row) => {
                self.stage = Stage::ReserveChannel { row };
                self.emit(Effect::ReserveChannel {
                    row,
                    tokens: self.tokens_estimate(),
                });
            }
            None => self.wait_or_refuse(),
        }
    }

    fn choose(&self) -> Option<u8> {
        self.plan.choose(&Turn {
            affinity: self.intake.affinity,
            candidates: &self.candidates,
            choice: self.settings.choice,
            is_last: self.attempts.len() + 1 >= usize::from(self.settings.attempts_max),
            snapshot: &self.snapshot,
        })
    }

    fn channel_reserved(&mut self, row: u8, reply: DeskReply) {
        self.step(Fact::Desk(reply));
        match reply {
            DeskReply::Denied {
                bucket,
                free_at,
                shed,
                ..
            } => {
                self.plan.limit(row, bucket, free_at, shed);
                self.try_next();
            }
            DeskReply::Granted => {
                self.reserved_channel = Some(self.tokens_estimate());
                self.plan.mark(row, Why::Chosen);
                if self.decided_at.is_some() {
                    self.dial(row);
                } else {
                    self.record(Some(row));
                }
            }
        }
    }

    /// The decision is made: hand over its entry.
    fn record(&mut self, row: Option<u8>) {
        self.decided_at = Some((self.now, self.steps.as_slice().len()));
        self.stage = Stage::Record { row };
        self.emit(Effect::Record {
            strict: self.waits_for_durable(),
        });
    }

    /// Whether anything waits until the decision's entry is durable: the answer, or under a budget the request itself.
    fn waits_for_durable(&self) -> bool {
        self.settings.record == RecordMode::Strict || self.is_budgeted()
    }

    fn recorded(&mut self, row: Option<u8>, taken: bool) {
        if !taken {
            // Nothing can be recorded, so nothing is served, and no outcome is written for a decision that is not there.
            self.release_channel(row);
            self.settle_key();
            let problem = ledger_full();
            self.stage = Stage::Done;
            self.ended = Some((self.now, Ending::Refused(problem.clone())));
            return self.emit(Effect::Reply(Reply::Refuse(problem)));
        }
        self.step(Fact::Recorded);
        if self.gone {
            self.release_channel(row);
            return self.finish(Ending::Abandoned);
        }
        match (row, self.ended.take()) {
            // A crash must not lose money: what was reserved is known to the ledger before it can be spent.
            (Some(row), _) if self.is_budgeted() && !self.durable => self.stage = Stage::Durable { row },
            (Some(row), _) => self.dial(row),
            (None, Some((_, Ending::Refused(problem)))) => self.finish(Ending::Refused(problem)),
            (None, _) => self.finish(Ending::Refused(Problem::plain(Code::Internal))),
        }
    }

    fn dial(&mut self, row: u8) {
        let planned = self.plan.rows.get(usize::from(row));
        let verdict = planned.and_then(|row| row.verdict.clone());
        let seen = planned.and_then(|row| row.seen);
        let again = !self.attempts.is_empty();
        // What an attempt brought that the caller never had bars nothing.
        self.bars_resume &= self.released;
        self.hold_is_over = false;
        let method = self.released.then(|| self.method(row)).flatten();
        let attempt = Attempt {
            content_events: 0,
            dialled_at: self.now,
            ended: None,
            first_content_at: None,
            first_content_max: self.first_content_max(seen),
            last_progress_at: self.now,
            method,
            opened: None,
            reserved: self.reserved_channel.take().unwrap_or_default(),
            row,
            stop: None,
            usage: None,
            verdict,
        };
        let ix = u8::try_from(self.attempts.len()).unwrap_or(u8::MAX);
        if self.attempts.try_push(attempt).is_err() {
            return self.refuse(Problem::plain(Code::ChannelsFailed));
        }
        self.stage = Stage::Attempt;
        self.observe(row, Seen::Dial { again });
        self.emit(Effect::Dial {
            attempt: ix,
            method,
            row,
        });
    }

    /// A call that probes a lane which has failed does not stake all its time on it.
    fn first_content_max(&self, seen: Option<Row>) -> Span {
        let limit = Span::from_ms(self.settings.first_content_ms.into());
        match seen.filter(|seen| seen.health == Health::Probe) {
            Some(seen) => {
                let usual = Span(u64::from(seen.ttft_us.unwrap_or_default()).saturating_mul(PROBE_PATIENCE));
                limit.min(usual.max(PROBE_WAIT_MIN))
            }
            None => limit,
        }
    }

    fn opened(&mut self, status: u16) {
        let Some(attempt) = self
            .attempts
            .last_mut()
            .filter(|attempt| attempt.opened.is_none())
        else {
            return;
        };
        attempt.opened = Some(status);
        self.step(Fact::Opened { status });
    }

    fn mark(&mut self, mark: Mark) {
        let now = self.now;
        let Some(attempt) = self.attempts.last_mut() else {
            return;
        };
        attempt.last_progress_at = now;
        match mark {
            Mark::Content(events) => attempt.content_events += u64::from(events),
            Mark::Stop(stop) => attempt.stop = Some(stop),
            Mark::Usage(usage) => attempt.usage = Some(usage),
            Mark::Thinking | Mark::Tool => {}
        }
        let bars = !self.bars_resume && matches!(mark, Mark::Thinking | Mark::Tool);
        self.bars_resume |= bars || matches!(mark, Mark::Stop(_));
        // A thinking block or a tool call is an answer begun: what follows belongs to this channel.
        let begins = matches!(mark, Mark::Content(1..) | Mark::Thinking | Mark::Tool);
        if begins && attempt.first_content_at.is_none() {
            self.step(Fact::Mark(mark));
            self.first_content();
        } else {
            self.steps.merge(now, mark, bars);
            self.release_if_ready();
        }
    }

    fn first_content(&mut self) {
        let now = self.now;
        let Some(attempt) = self.attempts.last_mut() else {
            return;
        };
        attempt.first_content_at = Some(now);
        let (row, waited) = (attempt.row, now.since(attempt.dialled_at));
        self.observe(
            row,
            Seen::Content {
                ttft_us: u32::try_from(waited.0).unwrap_or(u32::MAX),
            },
        );
        self.release_if_ready();
    }

    fn durable(&mut self) {
        if std::mem::replace(&mut self.durable, true) {
            return;
        }
        self.step(Fact::Durable);
        if let Stage::Durable { row } = self.stage {
            // While the ledger wrote, the lane may have been cut, or be probed by another call.
            self.stage = Stage::Look { kept: Some(row) };
            return self.emit(Effect::Look);
        }
        self.release_if_ready();
        if std::mem::take(&mut self.end_waits) {
            self.complete();
        }
    }

    /// Nothing of the answer has left, and nothing ever may: waiting for the call's limit would help nobody. No judgement
    /// on the channel.
    fn not_durable(&mut self) {
        let is_waited_for = self.waits_for_durable() && self.decided_at.is_some();
        if self.durable || !is_waited_for || matches!(self.stage, Stage::Record { .. }) {
            return;
        }
        self.step(Fact::NotDurable);
        self.leave_attempt();
        self.expect_desk_late();
        self.refuse(ledger_full());
    }

    /// An answer is released at its first content, or once the part to be kept back has come, and under
    /// `record = "strict"` not before its decision is durable.
    fn release_if_ready(&mut self) {
        if self.released {
            return;
        }
        let content = self
            .attempts
            .last()
            .is_some_and(|a| a.ended.is_none() && self.has_been_held(a));
        let strict = self.settings.record == RecordMode::Strict;
        if self.stage == Stage::Attempt && content && (self.durable || !strict) {
            self.release();
        }
    }

    fn release(&mut self) {
        self.released = true;
        self.answered = self.attempts.last().map(|attempt| attempt.row);
        self.emit(Effect::Release);
    }

    /// Whether the part of an answer that the pool keeps back has come.
    fn has_been_held(&self, attempt: &Attempt) -> bool {
        let Some(since) = attempt.first_content_at else {
            return false;
        };
        let Settings {
            hold_ms, hold_tokens, ..
        } = self.settings;
        let is_enough = hold_tokens > 0 && attempt.content_events >= u64::from(hold_tokens);
        let is_long = hold_ms > 0 && self.now.since(since) >= Span::from_ms(hold_ms.into());
        (hold_ms == 0 && hold_tokens == 0) || is_enough || is_long
    }

    /// The answer's bytes ended.
    fn end(&mut self, complete: bool) {
        if !complete {
            let fault = Fault::new(FaultKind::Reset, Phase::Body);
            self.step(Fact::End { complete });
            return self.attempt_failed(fault);
        }
        self.step(Fact::End { complete });
        if self.settings.record == RecordMode::Strict && !self.durable {
            self.end_waits = true;
        } else {
            self.complete();
        }
    }

    /// The answer is whole, and may leave.
    fn complete(&mut self) {
        if !self.released {
            self.release();
        }
        self.close_attempt(AttemptEnd::Done);
        self.finish(Ending::Served);
    }

    fn attempt_failed(&mut self, fault: Fault) {
        let row = self.attempts.last().map_or(0, |attempt| attempt.row);
        self.close_attempt(AttemptEnd::Fault(fault));
        if self.released {
            return self.resume_or_break(fault, row);
        }
        match fault.kind {
            FaultKind::Context => self.keep_larger(row),
            FaultKind::Legal => return self.finish(Ending::Refused(legal_block())),
            kind if kind.is_callers() => return self.finish(Ending::Relayed),
            _ => {}
        }
        if self.plan.open() == 0 && fault.kind == FaultKind::Context {
            return self.finish(Ending::Relayed);
        }
        if self.is_spent() || self.plan.open() == 0 {
            return self.refuse_for_want_of_candidates();
        }
        self.ask_for_verdicts();
    }

    pub(super) fn is_spent(&self) -> bool {
        self.attempts.len() >= usize::from(self.settings.attempts_max)
    }

    /// A request that overflowed one context fits into a larger one only; of what is unknown nobody knows that it is.
    pub(super) fn keep_larger(&mut self, row: u8) {
        let tokens = |row: usize| {
            let candidate = self.candidates.get(row)?;
            self.snapshot.model(candidate.model)?.context_tokens
        };
        let small = tokens(usize::from(row));
        let fits: u8 = (0..self.candidates.len())
            .filter(|row| small.is_some() && tokens(*row) > small)
            .fold(0, |bits, row| bits | 1 << row);
        self.plan.keep(|row| fits & (1 << row) != 0);
    }

    /// An order stops the attempt. What has left cannot be taken back, so an answer under way ends with why; a call that
    /// has had nothing yet is judged anew, and may be served by what the order does not name.
    fn ordered(&mut self, verdict: Arc<Verdict>) {
        if verdict.ruling == Ruling::Allow {
            return;
        }
        let problem = verdict_problem(&verdict);
        self.step(Fact::Ordered(Judged(verdict.clone())));
        self.end_waits = false;
        let attempt = u8::try_from(self.attempts.len().saturating_sub(1)).unwrap_or(u8::MAX);
        self.emit(Effect::Cancel { attempt });
        let row = self.attempts.last().map(|attempt| attempt.row);
        self.close_attempt(AttemptEnd::Ordered);
        if self.released {
            return self.finish(Ending::Broken(problem));
        }
        if let Some(row) = row {
            self.plan.order(row, verdict);
        }
        if self.is_spent() || self.plan.open() == 0 {
            return self.refuse(problem);
        }
        self.ask_for_verdicts();
    }

    fn timer(&mut self) {
        let Some(mut why) = self.due() else { return };
        self.step(Fact::Timer);
        if why == WakeFor::Release {
            self.hold_is_over = true;
            self.release_if_ready();
            // After a long sleep another limit has passed as well.
            match self.due() {
                Some(next) => why = next,
                None => return,
            }
        }
        let attempt = u8::try_from(self.attempts.len().saturating_sub(1)).unwrap_or(u8::MAX);
        if self.stage == Stage::Attempt {
            self.emit(Effect::Cancel { attempt });
        }
        let limit = match why {
            WakeFor::Again | WakeFor::Release => return self.ask_for_verdicts(),
            WakeFor::CallLimit => return self.call_limit(),
            WakeFor::Head => TimeLimit::Head,
            WakeFor::FirstContent => TimeLimit::FirstContent,
            WakeFor::Idle => TimeLimit::Idle,
            WakeFor::Whole => TimeLimit::Whole,
        };
        self.attempt_failed(Fault::timeout(limit));
    }

    /// Which deadline has passed. Whoever was not looked after until the call's own limit blames no channel for it: the
    /// caller may have read nothing all the while.
    fn due(&self) -> Option<WakeFor> {
        let (at, why) = self.deadline()?;
        let is_over = self.limit() <= self.now;
        (at <= self.now).then_some(if is_over { WakeFor::CallLimit } else { why })
    }

    fn call_limit(&mut self) {
        self.close_attempt(AttemptEnd::Left);
        self.expect_desk_late();
        let problem = Problem::plain(Code::CallTimeout).with_retry(Retry::Free);
        if self.released {
            self.finish(Ending::Broken(problem));
        } else {
            self.refuse(problem);
        }
    }

    fn client_gone(&mut self) {
        self.step(Fact::ClientGone);
        self.leave_attempt();
        self.expect_desk_late();
        self.finish(Ending::Abandoned);
    }

    /// Stop the attempt under way, if one is, for a reason that is not the channel's.
    fn leave_attempt(&mut self) {
        if self.stage == Stage::Attempt {
            let attempt = u8::try_from(self.attempts.len().saturating_sub(1)).unwrap_or(u8::MAX);
            self.emit(Effect::Cancel { attempt });
        }
        self.close_attempt(AttemptEnd::Left);
    }

    /// The ledger may or may not have the decision: its answer says whether an outcome follows.
    fn gone_before_recorded(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            self.step(Fact::ClientGone);
        }
    }

    /// Give back what was reserved for an attempt that is not made.
    fn release_channel(&mut self, row: Option<u8>) {
        if let (Some(row), Some(reserved)) = (row, self.reserved_channel.take()) {
            self.emit(Effect::SettleChannel {
                row,
                reserved,
                used: Some(crate::Usage::default()),
            });
        }
    }

    /// The call ends while the desk is being asked: its reply is still to come.
    fn expect_desk_late(&mut self) {
        self.late = match self.stage {
            Stage::ReserveChannel { row } => Some(Reservation::Channel { row }),
            Stage::ReserveKey => Some(Reservation::Key),
            _ => None,
        };
    }

    /// Give back what was granted to a call that has no use for it any more.
    fn desk_late(&mut self, reply: DeskReply) {
        let (reserved, used) = (self.tokens_estimate(), Some(crate::Usage::default()));
        match self.late.take() {
            Some(_) if reply != DeskReply::Granted => {}
            Some(Reservation::Channel { row }) => self.emit(Effect::SettleChannel { row, reserved, used }),
            Some(Reservation::Key) => self.emit(Effect::SettleKey {
                charged: Nano(0),
                claim: self.claim,
                used,
            }),
            None => {}
        }
    }

    /// Settle and report the attempt under way, if one is.
    fn close_attempt(&mut self, end: AttemptEnd) {
        let now = self.now;
        let Some(attempt) = self.attempts.last_mut().filter(|attempt| attempt.ended.is_none()) else {
            return;
        };
        attempt.ended = Some((now, end));
        let (row, reserved) = (attempt.row, attempt.reserved);
        let used = if attempt.may_have_used() {
            attempt.usage
        } else {
            Some(attempt.usage.unwrap_or_default())
        };
        let seen = match end {
            AttemptEnd::Done => Seen::Done,
            AttemptEnd::Left | AttemptEnd::Ordered => Seen::Leave,
            AttemptEnd::Fault(fault) => Seen::Fault(fault.kind, fault.retry_after_ms.map(Span::from_ms)),
        };
        let again_at = match end {
            AttemptEnd::Fault(fault) => self.again_at(fault),
            AttemptEnd::Done | AttemptEnd::Left | AttemptEnd::Ordered => None,
        };
        self.plan.tried(row, again_at);
        self.observe(row, seen);
        if let AttemptEnd::Fault(Fault {
            kind: FaultKind::Incapable,
            feature: Some(feature),
            ..
        }) = end
        {
            self.observe(row, Seen::Lack(feature));
        }
        self.emit(Effect::SettleChannel { row, reserved, used });
    }

    /// End the call with a problem; one that was not decided yet is recorded as a refusal first.
    pub(super) fn refuse(&mut self, problem: Problem) {
        if self.released {
            return self.finish(Ending::Broken(problem));
        }
        if self.decided_at.is_some() {
            return self.finish(Ending::Refused(problem));
        }
        self.ended = Some((self.now, Ending::Refused(problem)));
        self.record(None);
    }

    pub(super) fn finish(&mut self, ending: Ending) {
        if let Stage::Durable { row } | Stage::Look { kept: Some(row) } = self.stage {
            self.release_channel(Some(row));
        }
        self.settle_key();
        let reply = match &ending {
            Ending::Abandoned => None,
            Ending::Broken(problem) => Some(Reply::Break(problem.clone())),
            Ending::Refused(problem) => Some(Reply::Refuse(problem.clone())),
            Ending::Relayed => Some(Reply::Relay),
            Ending::Served => Some(Reply::Finish),
        };
        if let Some(reply) = reply {
            self.emit(Effect::Reply(reply));
        }
        self.stage = Stage::Done;
        self.ended = Some((self.now, ending));
        // A caller who left before there was a decision left nothing to account for but the gap itself.
        if self.decided_at.is_some() {
            self.emit(Effect::Close);
        }
    }

    /// Keep what a translation could not carry: once each, though several attempts lose the same, and within the bound,
    /// so that no request can make its own outcome too long to be written.
    fn lost(&mut self, losses: &[Loss]) {
        let mut bytes: usize = self.losses.iter().map(loss_bytes).sum();
        let known = self.losses.len();
        for loss in losses {
            bytes += loss_bytes(loss);
            if bytes <= LOSS_BYTES_MAX && !self.losses.contains(loss) {
                self.losses.push(loss.clone());
            }
        }
        let new = self.losses.get(known..).unwrap_or_default();
        if !new.is_empty() {
            let new = new.into();
            self.step(Fact::Loss(new));
        }
    }

    fn settle_key(&mut self) {
        let Some(claim) = self.reserved_key else { return };
        let used = match self.attempts.last() {
            _ if self.is_put_together() => self.usage(),
            Some(attempt) if attempt.may_have_used() => attempt.usage,
            _ => Some(crate::Usage::default()),
        };
        let charged = self.charged();
        self.emit(Effect::SettleKey { charged, claim, used });
    }

    fn observe(&mut self, row: u8, seen: Seen) {
        let Some(candidate) = self.candidate(row) else {
            return;
        };
        let dialled_at = self
            .attempts
            .last()
            .map_or(self.now, |attempt| attempt.dialled_at);
        self.emit(Effect::Observe(Observation {
            call: self.intake.call,
            channel: candidate.channel,
            dialled_at,
            model: candidate.model,
            seen,
        }));
    }

    fn step(&mut self, fact: Fact) {
        self.steps.push(self.now, fact);
    }

    fn emit(&mut self, effect: Effect) {
        // The bound is twice what one input can give; a shell that drains never meets it.
        let overflow = self.effects.try_push(effect).is_err();
        debug_assert!(!overflow, "effects were not drained");
    }
}

/// A probe has three times the lane's usual time to first content, and 5 s at least.
const PROBE_PATIENCE: u64 = 3;
const PROBE_WAIT_MIN: Span = Span::from_s(5);

/// Bytes of losses in one outcome, where each stands twice (as an input and in the report): 2 × 12 KiB leave room in the
/// 65,535 bytes of an entry for eight attempts of 2 KiB.
const LOSS_BYTES_MAX: usize = 12 << 10;

/// A loss in JSON, with its two keys and what escaping its path may add.
fn loss_bytes(loss: &Loss) -> usize {
    2 * loss.path.len() + loss.why.len() + 32
}

pub(super) const fn answer_cut() -> Problem {
    Problem::plain(Code::AnswerCut).with_retry(Retry::Free)
}

/// No other channel is a way around what one refuses on legal grounds: an officer decides.
pub(super) fn legal_block() -> Problem {
    let says = "The channel refuses this model to you on legal grounds; the call is held over every channel until an \
                officer has decided.";
    Problem::new(Code::Held, says)
}

const fn ledger_full() -> Problem {
    Problem::plain(Code::LedgerFull).with_retry(Retry::After(Span::from_s(1)))
}

fn unknown_name(name: Option<&str>) -> Problem {
    match name {
        Some(name) => Problem::new(
            Code::PoolUnknown,
            format!("`{name}` is neither a pool nor a model of this grid."),
        ),
        None => Problem::plain(Code::PoolUnknown),
    }
}

pub(super) fn verdict_problem(verdict: &Verdict) -> Problem {
    let code = if verdict.ruling == Ruling::Hold {
        Code::Held
    } else {
        Code::Denied
    };
    let Some(rule) = verdict.rules.first() else {
        return Problem::plain(code);
    };
    // A rule that withholds its reason has none here, and a confidential one is not even named.
    let says = match (rule.is_sealed(), rule.reason.is_empty()) {
        (true, _) => "A rule that may not be disclosed stands against the call.".to_owned(),
        (false, true) => format!("The rule {} stands against the call.", rule.id),
        (false, false) => format!("{} (rule {}; {})", rule.reason, rule.id, rule.citation),
    };
    Problem::new(code, says)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, reason: &str, citation: &str, expected: &'static str) {
        let verdict = |ruling| Verdict {
            consumes: Arc::default(),
            epoch: 1,
            obligations: Arc::default(),
            ruling,
            rules: Arc::new([crate::Rule {
                citation: citation.into(),
                id: id.into(),
                reason: reason.into(),
            }]),
            valid_until: None,
        };
        for (ruling, code) in [(Ruling::Deny, Code::Denied), (Ruling::Hold, Code::Held)] {
            assert_eq!(verdict_problem(&verdict(ruling)), Problem::new(code, expected));
        }
    }

    #[test]
    fn a_caller_is_told_what_the_rule_discloses() {
        let public = "It is so. (rule p/r; 15 CFR 744)";
        check("p/r", "It is so.", "15 CFR 744", public);
        check("p/r", "", "", "The rule p/r stands against the call.");
        let sealed = "A rule that may not be disclosed stands against the call.";
        check("sealed/00112233445566ff", "", "", sealed);
        // Even if somebody filled in what should be empty.
        check("sealed/00112233445566ff", "Order 7.", "Order 7", sealed);
    }
}

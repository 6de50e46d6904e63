//! One call, from intake to outcome, as a state machine without IO.
//!
//! Contract: [`Call::new`], then after every [`Call::handle`] drain [`Call::poll`] until it yields `None`; wake the call at
//! [`Call::deadline`] with [`Input::Timer`] if nothing else happens. The machine never asks the world anything: what it
//! needs (verdicts, a view, reservations) it requests by an [`Effect`] and gets by an [`Input`], and every input that
//! changed its state is kept as a [`Step`], so that [`replay`] makes the same decision again.
//!
//! Bounds: at most [`ROWS_MAX`] candidates and attempts; at most [`MARKS_MAX`] recorded marks of an attempt.

mod bound;
mod limited;
mod machine;
mod plan;
mod replay;
mod resume;
mod step;
#[cfg(test)]
mod tests;
mod wait;
mod want;

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::ROWS_MAX;
use crate::desk::{Claim, DeskReply};
use crate::entropy::{Rng, Seed};
use crate::fault::{Fault, FaultKind};
use crate::fleet::{Observation, View};
use crate::grid::{Candidate, Settings, Snapshot};
use crate::mark::{Mark, Stop, Usage};
use crate::money::Nano;
use crate::problem::{Code, Problem};
use crate::resume::Method;
use crate::subject::Intake;
use crate::time::{Span, Tick};
use crate::verdict::Verdict;

pub use plan::{Plan, Why};
pub use replay::{Difference, replay};
pub use step::{Buffers, Fact, Judged, Loss, MARKS_MAX, Step};

/// Steps of a call that one attempt serves: verdicts, view, two reservations, recorded, opened, three marks, the end; and
/// two more. Room for them is made at once: a step is some hundred bytes, and moving them costs more than making them.
const STEPS_USUAL: usize = 12;

/// A fact from the world.
#[derive(Clone, Debug)]
pub enum Input {
    /// The caller went away.
    ClientGone,
    /// The reply to [`Effect::ReserveKey`] or [`Effect::ReserveChannel`].
    Desk(DeskReply),
    /// The decision's entry is durable (asked for by `record = "strict"` and by budgets).
    Durable,
    /// The attempt's answer ended; `complete` if its terminator or stop reason was seen.
    End { complete: bool },
    /// The attempt failed.
    Fault(Fault),
    /// What translating the request or the answer could not carry.
    Loss(Arc<[Loss]>),
    /// A text-free fact about the answer.
    Mark(Mark),
    /// The decision's entry, which `record = "strict"` waits for, will never be durable: the ledger stopped.
    NotDurable,
    /// The channel answered with a success status.
    Opened { status: u16 },
    /// An order that came into force refuses the attempt under way, and has it stopped: this is the verdict.
    Ordered(Arc<Verdict>),
    /// The reply to [`Effect::Record`]: whether the ledger took the decision's entry.
    Recorded { taken: bool },
    /// The deadline passed.
    Timer,
    /// The reply to [`Effect::Judge`]: one verdict for each row asked for, in order.
    Verdicts(ArrayVec<Arc<Verdict>, ROWS_MAX>),
    /// The reply to [`Effect::Look`]; [`Call::place`] has room for it.
    View(Box<View>),
}

/// What the shell must do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Stop the attempt and close its connection.
    Cancel { attempt: u8 },
    /// The call is over: write [`Call::outcome_entry`].
    Close,
    /// Send the request to the candidate of `row`; with a method, ask it for the rest of an answer that broke off.
    Dial {
        attempt: u8,
        method: Option<Method>,
        row: u8,
    },
    /// Judge the candidates of the rows whose bits are set, under the epoch current at this moment.
    Judge { rows: u8 },
    /// Read the fleet's view of [`Call::candidates`].
    Look,
    /// Tell the fleet.
    Observe(Observation),
    /// Write [`Call::decision_entry`]; answer with [`Input::Recorded`] at once (the ledger's queue takes it or is full),
    /// and if `strict` with [`Input::Durable`] or [`Input::NotDurable`] later.
    Record { strict: bool },
    /// From here on the attempt's bytes, those held back first, go to the caller as they come.
    Release,
    /// The caller gets this, and nothing after it.
    Reply(Reply),
    /// Reserve one request and `tokens` on the channel of `row`.
    ReserveChannel { row: u8, tokens: u64 },
    /// Reserve one request and the claim for the key and everybody else who pays.
    ReserveKey { claim: Claim },
    SettleChannel {
        row: u8,
        reserved: u64,
        used: Option<Usage>,
    },
    SettleKey {
        charged: Nano,
        claim: Claim,
        used: Option<Usage>,
    },
}

/// How the caller's answer ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The stream that is under way ends with the dialect's error event.
    Break(Problem),
    /// The answer is whole.
    Finish,
    /// Nothing was sent yet: an error in the caller's dialect.
    Refuse(Problem),
    /// Nothing was sent yet: the channel's own error reply, for the request is at fault.
    Relay,
}

/// Why a call wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeFor {
    /// A candidate may be asked then, or be asked again.
    Again,
    CallLimit,
    FirstContent,
    Head,
    Idle,
    /// The part of an answer that the pool keeps back has been kept for long enough.
    Release,
    /// The whole of an answer that is not streamed.
    Whole,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The caller went away.
    Abandoned,
    /// Content was delivered, then the answer broke off.
    Broken(Problem),
    Refused(Problem),
    /// The caller got the channel's own error.
    Relayed,
    Served,
}

/// One request of an application.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one latch that several stages share"
)]
#[derive(Debug)]
pub struct Call {
    /// Whose answer the caller got first.
    answered: Option<u8>,
    pub(crate) attempts: ArrayVec<Attempt, ROWS_MAX>,
    /// What came of the answer is such that no other attempt can go on with it.
    bars_resume: bool,
    pub(crate) began: Tick,
    pub(crate) candidates: ArrayVec<Candidate, ROWS_MAX>,
    /// What was asked of everybody who pays.
    claim: Claim,
    /// Steps before this index led to the decision.
    pub(crate) decided_at: Option<(Tick, usize)>,
    /// An answer that was to be repeated came out differently.
    differs: bool,
    durable: bool,
    effects: ArrayVec<Effect, EFFECTS_MAX>,
    /// The answer ended well, but its decision is not durable yet.
    end_waits: bool,
    pub(crate) ended: Option<(Tick, Ending)>,
    /// The caller went away while the ledger was asked.
    gone: bool,
    /// The attempt's first part was kept back for as long as the pool wants.
    hold_is_over: bool,
    pub(crate) in_scope: bool,
    pub(crate) intake: Intake,
    pub(crate) losses: Vec<Loss>,
    /// A reservation that the desk was asked for when the call ended: if it is granted after all, it is given back.
    late: Option<Reservation>,
    now: Tick,
    pub(crate) plan: Plan,
    released: bool,
    rng: Rng,
    /// What everybody who pays granted.
    pub(crate) reserved_key: Option<Claim>,
    /// Tokens reserved on the channel of the attempt to come.
    reserved_channel: Option<u64>,
    pub(crate) seed: Seed,
    settings: Settings,
    pub(crate) snapshot: Arc<Snapshot>,
    stage: Stage,
    pub(crate) steps: step::Steps,
    /// How long it has waited for a candidate in all, and how often.
    waited: Span,
    waits: u8,
}

/// One try on one channel.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) content_events: u64,
    pub(crate) dialled_at: Tick,
    pub(crate) ended: Option<(Tick, AttemptEnd)>,
    pub(crate) first_content_at: Option<Tick>,
    /// How long its first content may take: the pool's limit, less for a probe.
    first_content_max: Span,
    pub(crate) last_progress_at: Tick,
    /// How it is to go on with an answer that broke off, if it is.
    pub(crate) method: Option<Method>,
    pub(crate) opened: Option<u16>,
    pub(crate) reserved: u64,
    pub(crate) row: u8,
    pub(crate) stop: Option<Stop>,
    pub(crate) usage: Option<Usage>,
    pub(crate) verdict: Option<Arc<Verdict>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    Done,
    Fault(Fault),
    /// The caller left, or the call's own limit passed.
    Left,
    /// An order stopped it.
    Ordered,
}

impl Attempt {
    /// Whether the channel may have worked on the attempt, so that unknown usage is unknown and not nothing: content came,
    /// or it ended without the channel having refused it. A caller who leaves early has not spent nothing.
    fn may_have_used(&self) -> bool {
        let unrefused = match self.ended {
            Some((_, AttemptEnd::Done | AttemptEnd::Left | AttemptEnd::Ordered)) => true,
            Some((_, AttemptEnd::Fault(fault))) => fault.may_have_used(),
            None => false,
        };
        unrefused || self.first_content_at.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// An attempt is under way.
    Attempt,
    Done,
    /// The decision's entry is to be durable before the attempt on `row`.
    Durable {
        row: u8,
    },
    Judge {
        rows: u8,
    },
    /// `kept` is the row on which a reservation stands already.
    Look {
        kept: Option<u8>,
    },
    /// The decision's entry was handed over; then the attempt on `row` follows.
    Record {
        row: Option<u8>,
    },
    ReserveChannel {
        row: u8,
    },
    ReserveKey,
    /// No candidate can be asked yet, and one soon can.
    Wait {
        until: Tick,
    },
}

#[derive(Clone, Copy, Debug)]
enum Reservation {
    Channel { row: u8 },
    Key,
}

/// Effects of one `handle`: an attempt's end gives four (observe, settle, cancel, judge), a call's end six; twice that.
const EFFECTS_MAX: usize = 12;

/// Whether the key's scope has what is asked for; what the grid does not know is refused for that.
fn is_in_scope(snapshot: &Snapshot, intake: &Intake) -> bool {
    let name = snapshot.ask_name(&intake.ask);
    name.is_none_or(|name| intake.subject.scope.allows(name))
}

impl Call {
    /// Start a call. Nothing happens until effects are polled.
    pub fn new(snapshot: Arc<Snapshot>, intake: Intake, seed: Seed, now: Tick) -> Self {
        Self::with_buffers(snapshot, intake, seed, now, Buffers::default())
    }

    /// As [`Call::new`], with the buffers of an ended call ([`Call::take_buffers`]), so that a warm shell allocates
    /// nothing for a decision.
    pub fn with_buffers(
        snapshot: Arc<Snapshot>,
        intake: Intake,
        seed: Seed,
        now: Tick,
        buffers: Buffers,
    ) -> Self {
        let (candidates, settings) = match snapshot.candidates(&intake.ask) {
            Some((candidates, settings)) => (candidates.iter().copied().collect(), *settings),
            None => (ArrayVec::new(), snapshot.settings),
        };
        let in_scope = is_in_scope(&snapshot, &intake);
        let mut call = Self {
            answered: None,
            attempts: ArrayVec::new(),
            bars_resume: false,
            began: now,
            plan: Plan::new(candidates.len()),
            candidates,
            claim: Claim::default(),
            decided_at: None,
            differs: false,
            durable: false,
            effects: ArrayVec::new(),
            end_waits: false,
            ended: None,
            gone: false,
            hold_is_over: false,
            in_scope,
            intake,
            late: None,
            losses: Vec::new(),
            now,
            released: false,
            rng: Rng::new(seed),
            reserved_channel: None,
            reserved_key: None,
            seed,
            settings,
            snapshot,
            stage: Stage::Done,
            steps: step::Steps::new(buffers, STEPS_USUAL),
            waited: Span::default(),
            waits: 0,
        };
        call.price_rows();
        call.admit();
        call
    }

    /// As [`Call::with_buffers`] in the place of an ended call and with its buffers: a call is some 4 KiB, and to move one
    /// costs a good part of what it takes to decide it.
    pub fn renew(&mut self, snapshot: Arc<Snapshot>, intake: Intake, seed: Seed, now: Tick) {
        // Every field by its name, so that none of the ended call's is forgotten here.
        let Self {
            answered,
            attempts,
            bars_resume,
            began,
            candidates,
            claim,
            decided_at,
            differs,
            durable,
            effects,
            end_waits,
            ended,
            gone,
            hold_is_over,
            in_scope,
            intake: of,
            late,
            losses,
            now: at,
            plan,
            released,
            reserved_channel,
            reserved_key,
            rng,
            seed: drawn,
            settings,
            snapshot: on,
            stage,
            steps,
            waited,
            waits,
        } = self;
        candidates.clear();
        *settings = match snapshot.candidates(&intake.ask) {
            Some((of_ask, settings)) => {
                candidates.extend(of_ask.iter().copied());
                *settings
            }
            None => snapshot.settings,
        };
        *in_scope = is_in_scope(&snapshot, &intake);
        plan.renew(candidates.len());
        (*answered, *claim, *decided_at, *ended) = (None, Claim::default(), None, None);
        (*late, *reserved_channel, *reserved_key) = (None, None, None);
        attempts.clear();
        effects.clear();
        losses.clear();
        for latch in [
            bars_resume,
            differs,
            durable,
            end_waits,
            gone,
            hold_is_over,
            released,
        ] {
            *latch = false;
        }
        (*began, *at, *waited, *waits) = (now, now, Span::default(), 0);
        (*rng, *drawn, *stage) = (Rng::new(seed), seed, Stage::Done);
        (*of, *on) = (intake, snapshot);
        steps.renew(STEPS_USUAL);
        self.price_rows();
        self.admit();
    }

    /// The next thing the shell must do, if any.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_at(0)
    }

    /// When to wake this call if nothing else happens, and why. A call that waits for [`Input::Recorded`] needs no wake:
    /// the answer comes at once.
    pub fn deadline(&self) -> Option<(Tick, WakeFor)> {
        if matches!(self.stage, Stage::Done | Stage::Record { .. }) {
            return None;
        }
        let call = (self.limit(), WakeFor::CallLimit);
        let stage = match (self.stage, self.attempts.last()) {
            (Stage::Attempt, Some(attempt)) if !self.end_waits => Some(self.attempt_deadline(attempt)),
            (Stage::Wait { until }, _) => Some((until, WakeFor::Again)),
            _ => None,
        };
        Some(stage.filter(|(at, _)| *at < call.0).unwrap_or(call))
    }

    /// The end of the call's time: the pool's limit, or the caller's own; who waits for a first byte no longer than that
    /// has left by then.
    pub fn limit(&self) -> Tick {
        let patience = self.intake.patience.filter(|_| !self.released);
        let caller = [self.intake.deadline, patience].into_iter().flatten().min();
        let whole = Span::from_ms(self.settings.call_ms.into());
        self.began.plus(caller.map_or(whole, |caller| caller.min(whole)))
    }

    /// The candidates, row by row.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub fn candidate(&self, row: u8) -> Option<Candidate> {
        self.candidates.get(usize::from(row)).copied()
    }

    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub fn is_over(&self) -> bool {
        self.stage == Stage::Done
    }

    /// How it ended, once it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ended.as_ref().map(|(_, ending)| ending)
    }

    /// The candidate whose answer the caller got or is getting; the first, if others went on with it.
    pub fn answered_by(&self) -> Option<Candidate> {
        self.answered.and_then(|row| self.candidate(row))
    }

    /// The candidate that an officer could open, and what holds it, if that is why the call was refused.
    pub fn held(&self) -> Option<(Candidate, &Arc<Verdict>)> {
        let (Ending::Broken(problem) | Ending::Refused(problem)) = self.ending()? else {
            return None;
        };
        let (row, verdict) = self.plan.first_hold()?;
        (problem.code == Code::Held).then_some((self.candidate(row)?, verdict))
    }

    /// The candidate that a channel refused on legal grounds, and the refusal, if that is how the call ended.
    pub fn blocked(&self) -> Option<(Candidate, Fault)> {
        let (Ending::Broken(problem) | Ending::Refused(problem)) = self.ending()? else {
            return None;
        };
        let attempt = self.attempts.last().filter(|_| problem.code == Code::Held)?;
        match attempt.ended? {
            (_, AttemptEnd::Fault(fault)) if fault.kind == FaultKind::Legal => {
                Some((self.candidate(attempt.row)?, fault))
            }
            _ => None,
        }
    }

    /// How many attempts were dialled.
    pub fn attempts(&self) -> usize {
        self.attempts.len()
    }

    /// The number of the attempt that is under way, if one is.
    pub fn attempt_under_way(&self) -> Option<usize> {
        (self.stage == Stage::Attempt).then(|| self.attempts.len().saturating_sub(1))
    }

    /// A view where the call has room for one, for [`Input::View`].
    pub fn place(&mut self, view: View) -> Box<View> {
        let mut place = self.steps.view();
        *place = view;
        place
    }

    /// Give the buffers of an ended call back for another call; none are left here.
    pub fn take_buffers(&mut self) -> Buffers {
        self.steps.take_buffers()
    }

    fn attempt_deadline(&self, attempt: &Attempt) -> (Tick, WakeFor) {
        let ms = |ms: u32| Span::from_ms(ms.into());
        if !self.intake.stream {
            return (
                attempt.dialled_at.plus(ms(self.settings.whole_ms)),
                WakeFor::Whole,
            );
        }
        if let Some(since) = attempt.first_content_at {
            let idle = attempt.last_progress_at.plus(ms(self.settings.idle_ms));
            let release = since.plus(ms(self.settings.hold_ms));
            let is_kept = !self.released && !self.hold_is_over && self.settings.hold_ms > 0;
            return if is_kept && release < idle {
                (release, WakeFor::Release)
            } else {
                (idle, WakeFor::Idle)
            };
        }
        let first_content = attempt.dialled_at.plus(attempt.first_content_max);
        let head = attempt.dialled_at.plus(ms(self.settings.head_ms));
        if attempt.opened.is_none() && head < first_content {
            (head, WakeFor::Head)
        } else {
            (first_content, WakeFor::FirstContent)
        }
    }
}

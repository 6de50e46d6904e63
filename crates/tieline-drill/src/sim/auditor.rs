//! The auditor: watches every call of a run, what it is told and what it does, and says which law was broken. It keeps its
//! own account of everything and asks the machines nothing, so that a defect of theirs cannot hide itself.
//!
//! Laws, by name: *ends* (one decision, one outcome, one reply), *bounded* (no wait beyond its limits), *policy* (nothing
//! sent to what is forbidden), *cut* (nothing dialled that is out), *breaker*, *rest*, *retries* and *attempts* (what is
//! dialled, when and how often), *final* (nothing after a fault that settles the matter), *silence* (nothing after a
//! refusal, no second answer after the first byte), *strict* (no byte before the decision is durable), *reservations*
//! (reserved is settled or outstanding), *money*, *willing* (no refusal, and no panic, while something could serve),
//! *replay* (decided again, the same), *scope*.
//!
//! Bounds: [`FINDINGS_MAX`] findings of a run.

use std::collections::BTreeMap;

use tieline_core::call::{Reply, WakeFor};
use tieline_core::{
    Call, Claim, Code, DeskReply, Effect, FaultKind, Health, Input, Method, Ruling, Span, Tick, Usage, View,
};

use super::lanes::{End, Lane, Lanes};
use super::limits::{Desks, Owner};
use super::records::has_price;
use super::truth::Truth;
use super::watched::{Asking, Cause, Try, Watched};

/// The first tells the story; what follows from it, a few more.
const FINDINGS_MAX: usize = 8;

/// Attempts of one call on one candidate.
const TRIES_MAX: usize = 2;

/// Waits of one call for candidates: so often, and so long in all.
const WAITS_MAX: u32 = 4;
const WAIT_MAX: Span = Span::from_s(2);

#[derive(Debug, Default)]
pub(super) struct Auditor {
    pub(super) calls: BTreeMap<u32, Watched>,
    pub(super) desks: Desks,
    pub(super) findings: Vec<Finding>,
    pub(super) lanes: Lanes,
    /// Lanes are judged only where a view is acted on at the instant in which it was taken.
    pub(super) slow: bool,
}

/// A law that was broken.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) at: Tick,
    pub(super) call: Option<u32>,
    pub(super) law: &'static str,
    pub(super) says: String,
}

impl Auditor {
    pub(super) fn find(&mut self, law: &'static str, call: Option<u32>, at: Tick, says: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            let says = says.into();
            self.findings.push(Finding { at, call, law, says });
        }
    }

    /// A call is about to be told a fact.
    pub(super) fn told(&mut self, no: u32, input: &Input, now: Tick) {
        let Some(call) = self.calls.get_mut(&no) else {
            return;
        };
        match input {
            Input::Desk(reply) => match (reply, call.asked.take()) {
                (DeskReply::Granted, Some(Asking::Channel(row, tokens))) => {
                    call.held_channel = Some((row, tokens));
                }
                (DeskReply::Granted, Some(Asking::Key(claim))) => call.held_key = Some(claim),
                (DeskReply::Denied { .. }, Some(Asking::Channel(row, _))) => call.denied |= 1 << row,
                _ => {}
            },
            Input::Recorded { taken } => call.taken = *taken,
            _ => {}
        }
        call.told(input, now);
    }

    /// A call does something.
    pub(super) fn did(&mut self, no: u32, effect: &Effect, truth: &Truth<'_>, now: Tick) {
        let Some(mut call) = self.calls.remove(&no) else {
            return;
        };
        if let Some(reply) = &call.reply {
            let is_owed = matches!(
                effect,
                Effect::Close | Effect::SettleKey { .. } | Effect::SettleChannel { .. }
            );
            if !is_owed {
                let says = format!("after {reply:?} came {effect:?}");
                self.find("silence", Some(no), now, says);
            }
        }
        match effect {
            Effect::Close => call.closes += 1,
            Effect::Dial { method, row, .. } => {
                self.dialled(no, &mut call, (*row, *method), truth, now);
            }
            Effect::Record { .. } => call.decisions += 1,
            Effect::Release => self.released(no, &mut call, now),
            Effect::Reply(reply) => self.replied(no, &mut call, reply, truth, now),
            Effect::ReserveChannel { row, tokens } => call.asked = Some(Asking::Channel(*row, *tokens)),
            Effect::ReserveKey { claim } => call.asked = Some(Asking::Key(*claim)),
            Effect::SettleChannel { row, reserved, used } => {
                self.channel_settled(no, &mut call, (*row, *reserved), used.as_ref(), truth, now);
            }
            Effect::SettleKey { charged, claim, used } => {
                call.charged = Some(*charged);
                self.key_settled(no, &mut call, *claim, used.as_ref(), now);
            }
            Effect::Cancel { .. } | Effect::Judge { .. } | Effect::Look | Effect::Observe(_) => {}
        }
        self.calls.insert(no, call);
    }

    // === attempts ===

    fn dialled(
        &mut self,
        no: u32,
        call: &mut Watched,
        (row, method): (u8, Option<Method>),
        truth: &Truth<'_>,
        now: Tick,
    ) {
        let Some(lane) = call.lane(row) else {
            return self.find("attempts", Some(no), now, format!("there is no row {row}"));
        };
        let blind = self.slow || call.looked_at != Some(now);
        let again = !call.attempts.is_empty();
        for (law, says) in Self::objections(call, row, method) {
            self.find(law, Some(no), now, format!("dialled {}: {says}", name(lane)));
        }
        if !blind && truth.is_out(lane) {
            let says = format!("dialled {}: it is out by now", name(lane));
            self.find("cut", Some(no), now, says);
        }
        if !blind && let Some((law, says)) = self.lanes.objection(lane, again, now) {
            self.find(law, Some(no), now, format!("dialled {}: {says}", name(lane)));
        }
        if !blind
            && self.lanes.is_ailing(lane, now)
            && let Some(other) = self.could_serve(call, truth, now)
        {
            let says = format!("dialled {}, which ails, though {other} could serve", name(lane));
            self.find("willing", Some(no), now, says);
        }
        if truth.has(lane) {
            self.lanes.dial(lane, no, again, now);
        }
        call.whole = false;
        call.bars_resume &= call.released;
        call.waits.until = None;
        call.attempts.push(Try {
            content_at: None,
            dialled_at: now,
            end: None,
            method,
            opened: false,
            progress_at: now,
            refused: false,
            row,
            usage: None,
        });
    }

    /// What is wrong with dialling a row, as far as the call itself goes.
    fn objections(call: &Watched, row: u8, method: Option<Method>) -> Vec<(&'static str, String)> {
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        let on_row = call.attempts.iter().filter(|attempt| attempt.row == row).count();
        if call.attempts.len() >= usize::from(call.settings.attempts_max) {
            let says = format!("{} attempts are spent", call.attempts.len());
            wrong.push(("attempts", says));
        }
        if on_row >= TRIES_MAX {
            wrong.push(("attempts", format!("it was tried {on_row} times")));
        }
        if call.under_way().is_some() {
            wrong.push(("attempts", "another attempt is under way".to_owned()));
        }
        if let Some(says) = call.bar(row, method) {
            wrong.push(("silence", says));
        }
        if let Some(kind) = call.final_fault {
            wrong.push(("final", format!("a fault `{}` settles the matter", kind.name())));
        }
        if call.seen_out & (1 << row) != 0 {
            wrong.push(("cut", "it is out".to_owned()));
        }
        if !call.in_scope {
            wrong.push(("scope", "the key may not ask for this".to_owned()));
        }
        if call.held_channel.is_none_or(|(of, _)| of != row) {
            wrong.push(("reservations", "nothing is reserved on it".to_owned()));
        }
        if call.budgeted && !call.durable {
            let says = "a budget pays for it, and the decision is not durable";
            wrong.push(("strict", says.to_owned()));
        }
        if call.decisions == 0 || !call.taken {
            wrong.push(("ends", "no decision is recorded".to_owned()));
        }
        if let Some(small) = call.outgrown {
            let context = call.lane(row).and_then(|(_, model)| {
                let ix = call.grid.model_named(&format!("m{model}"))?;
                call.grid.model(ix)?.context_tokens
            });
            if context.is_none_or(|context| context <= small) {
                let says = format!("the request overflowed a context of {small}");
                wrong.push(("final", says));
            }
        }
        wrong
    }

    /// The request of the attempt under way leaves.
    pub(super) fn sent(&mut self, no: u32, lane: Lane, truth: &Truth<'_>, now: Tick) {
        let Some(call) = self.calls.get(&no) else { return };
        let ruling = truth.ruling(call.party, lane);
        if ruling != Ruling::Allow {
            let says = format!("sent to {}, which is {ruling:?} for o{}", name(lane), call.party);
            self.find("policy", Some(no), now, says);
        }
    }

    /// A view was taken for a call.
    pub(super) fn looked(&mut self, no: u32, view: &View, truth: &Truth<'_>, now: Tick) {
        let Some(call) = self.calls.get_mut(&no) else {
            return;
        };
        call.looked_at = Some(now);
        let (mut out, mut wrong) = (0, None);
        for ((lane, row), ix) in call.candidates.iter().zip(&view.rows).zip(0_u8..) {
            out |= u8::from(truth.is_out(*lane)) << ix;
            let in_flight = self.lanes.in_flight(*lane);
            if row.in_flight != in_flight && truth.serves(*lane) {
                let says = format!(
                    "{} seems to have {} attempts in flight",
                    name(*lane),
                    row.in_flight
                );
                wrong = Some(format!("{says}, and has {in_flight}"));
            }
        }
        call.seen_out = out;
        let rows = call.candidates.iter().zip(&view.rows);
        let mut served = rows.filter(|(lane, _)| truth.serves(**lane));
        let unlike = served.find(|(lane, row)| (row.health == Health::Closed) == self.lanes.is_open(**lane));
        let unlike = unlike.map(|(lane, row)| {
            let is = if self.lanes.is_open(*lane) {
                "open"
            } else {
                "closed"
            };
            let seems = row.health;
            format!("the breaker of {} seems {seems:?}, and is {is}", name(*lane))
        });
        if let Some(says) = wrong {
            self.find("reservations", Some(no), now, says);
        }
        if let Some(says) = unlike {
            self.find("breaker", Some(no), now, says);
        }
    }

    // === answers ===

    fn released(&mut self, no: u32, call: &mut Watched, now: Tick) {
        if std::mem::replace(&mut call.released, true) {
            self.find("silence", Some(no), now, "released twice");
        }
        if call.strict() && !call.durable {
            self.find(
                "strict",
                Some(no),
                now,
                "released before the decision was durable",
            );
        }
        let begun = call
            .under_way()
            .is_some_and(|attempt| attempt.content_at.is_some());
        if !begun && !call.whole {
            self.find("silence", Some(no), now, "released without an answer");
        }
    }

    fn replied(&mut self, no: u32, call: &mut Watched, reply: &Reply, truth: &Truth<'_>, now: Tick) {
        let wrong = match reply {
            Reply::Finish if !call.whole || !call.released => Some("an answer that is not whole ends well"),
            Reply::Break(_) if !call.released => Some("an answer breaks off that never began"),
            Reply::Refuse(_) | Reply::Relay if call.released => Some("refused after part of an answer"),
            _ => None,
        };
        if let Some(says) = wrong {
            self.find("silence", Some(no), now, says);
        }
        if let Reply::Refuse(problem) = reply
            && matches!(problem.code, Code::NoChannel | Code::ChannelsFailed)
            && !self.slow
            && let Some(lane) = self.could_serve(call, truth, now)
        {
            let says = format!("refused with `{}` though {lane} could serve", problem.code.name());
            self.find("willing", Some(no), now, says);
        }
        call.reply = Some(reply.clone());
    }

    /// A candidate that nothing stands against.
    fn could_serve(&self, call: &Watched, truth: &Truth<'_>, now: Tick) -> Option<String> {
        let again = !call.attempts.is_empty();
        let spent = call.attempts.len() >= usize::from(call.settings.attempts_max);
        if spent || call.outgrown.is_some() || call.final_fault.is_some() || !call.in_scope {
            return None;
        }
        let mut rows = (0_u8..).zip(&call.candidates);
        let free = rows.find(|(row, lane)| {
            call.attempts.iter().all(|attempt| attempt.row != *row)
                && call.denied & (1 << row) == 0
                && truth.ruling(call.party, **lane) == Ruling::Allow
                && !truth.is_out(**lane)
                && self.lanes.is_ready(**lane, again, now)
                && (!call.budgeted || has_price(&call.grid, **lane))
        });
        free.map(|(_, lane)| name(*lane))
    }

    // === reservations ===

    fn channel_settled(
        &mut self,
        no: u32,
        call: &mut Watched,
        (row, reserved): (u8, u64),
        used: Option<&Usage>,
        truth: &Truth<'_>,
        now: Tick,
    ) {
        if call.held_channel.take() != Some((row, reserved)) {
            let says = format!("{reserved} tokens of row {row} are settled, which were not reserved");
            self.find("reservations", Some(no), now, says);
        }
        let mut right = Some(Usage::default());
        if call.under_way().is_some() {
            let (end, refused) = call.end_of_attempt();
            if let End::Fault(kind, _) = end {
                Self::faulted(call, kind);
            }
            let lane = call.lane(row);
            if let Some(attempt) = call.attempts.last_mut() {
                attempt.end = Some(end);
                attempt.refused = refused;
                right = attempt.usage.or(refused.then(Usage::default));
                if let Some(lane) = lane.filter(|lane| truth.has(*lane)) {
                    self.lanes.end(lane, no, attempt.dialled_at, end, now);
                }
            }
        }
        if used.copied() != right {
            let says = format!("row {row} is settled with {used:?} where {right:?} was used");
            self.find("reservations", Some(no), now, says);
        }
    }

    /// What a fault settles for the rest of the call.
    fn faulted(call: &mut Watched, kind: FaultKind) {
        match kind {
            // What a channel says against the rest of an answer is no fault of the caller's.
            FaultKind::Client if call.released => {}
            FaultKind::Client | FaultKind::Content | FaultKind::Legal => call.final_fault = Some(kind),
            FaultKind::Context => {
                let model = call.attempts.last().and_then(|attempt| call.lane(attempt.row));
                let ix = model.and_then(|(_, model)| call.grid.model_named(&format!("m{model}")));
                let context = ix.and_then(|ix| call.grid.model(ix)?.context_tokens);
                // Larger than what nobody knows is nothing.
                call.outgrown = Some(context.unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }

    fn key_settled(&mut self, no: u32, call: &mut Watched, claim: Claim, used: Option<&Usage>, now: Tick) {
        if call.held_key.take() != Some(claim) {
            let says = format!("{claim:?} of the key is settled, which was not reserved");
            self.find("reservations", Some(no), now, says);
        }
        let last = call.attempts.last();
        let is_put_together = call.attempts.iter().any(|attempt| attempt.method.is_some());
        let right = last.filter(|_| !is_put_together).map_or_else(
            || call.usage().or_else(|| last.is_none().then(Usage::default)),
            |attempt| attempt.usage.or(attempt.refused.then(Usage::default)),
        );
        if used.copied() != right {
            let says = format!("the key is settled with {used:?} where {right:?} was used");
            self.find("reservations", Some(no), now, says);
        }
    }

    /// What the desk said, and what it has in flight then.
    pub(super) fn desk(&mut self, no: u32, owner: Owner, wrong: Option<String>, in_flight: u32, now: Tick) {
        let right = self.desks.in_flight(owner);
        if let Some(says) = wrong {
            self.find("reservations", Some(no), now, says);
        }
        if in_flight != right {
            let says = format!("the desk counts {in_flight} in flight for {owner:?}, and there are {right}");
            self.find("reservations", Some(no), now, says);
        }
    }

    // === time ===

    /// A call has been served and waits.
    pub(super) fn waits(&mut self, no: u32, machine: &Call, answers_due: bool, now: Tick) {
        let Some(mut call) = self.calls.remove(&no) else {
            return;
        };
        let deadline = machine.deadline();
        call.wake = deadline.map(|(_, why)| why);
        if matches!(call.cause, Cause::Ordered) && call.under_way().is_some() {
            self.find(
                "policy",
                Some(no),
                now,
                "an order stops its attempt, and it goes on",
            );
        }
        match deadline {
            None if !answers_due => self.find("bounded", Some(no), now, "it waits for nothing, for ever"),
            None => {}
            Some((at, why)) => {
                let over_at = call.over_at();
                let stage = call.stage_over_at().unwrap_or(over_at);
                if at > over_at.min(stage) {
                    let says = format!(
                        "its wait ({why:?}) ends {} ms late",
                        at.since(over_at.min(stage)).as_ms_ceil()
                    );
                    self.find("bounded", Some(no), now, says);
                }
                // Where the clock jumped ahead, other facts may come before the timer.
                let was_woken = matches!(call.cause, Cause::Timer) && call.cause_at == now;
                if now >= over_at && !answers_due && was_woken {
                    self.find("bounded", Some(no), now, "its time is over and it goes on");
                }
                if why == WakeFor::Again && call.waits.until != Some(at) {
                    call.waits.count += 1;
                    call.waits.all = Span(call.waits.all.0 + at.since(now).0);
                    call.waits.until = Some(at);
                    if call.waits.count > WAITS_MAX || call.waits.all > WAIT_MAX {
                        let says = format!("it waits {} times for candidates", call.waits.count);
                        self.find("bounded", Some(no), now, says);
                    }
                }
            }
        }
        self.calls.insert(no, call);
    }

    /// The ledger will never have the decision of a call, and nothing of its answer has left.
    pub(super) fn not_durable(&mut self, no: u32, is_over: bool, now: Tick) {
        let waited = self
            .calls
            .get(&no)
            .is_some_and(|call| (call.strict() || call.budgeted) && !call.durable && call.decisions > 0);
        if waited && !is_over {
            self.find("bounded", Some(no), now, "it waits for what will never be");
        }
    }
}

pub(super) fn name((channel, model): Lane) -> String {
    format!("c{channel}·m{model}")
}

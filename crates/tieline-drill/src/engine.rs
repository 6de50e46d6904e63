//! The driver of a what-if: feeds the live core ([`Call`], [`Fleet`], [`Desk`]) with recorded calls under a cut, and with
//! answers as they were recorded ([`Laid`]). It decides nothing itself. Limits of channels, breakers and load evolve anew;
//! the limits of keys stand in no ledger, so they refuse whom they refused.
//!
//! Bounds: calls in flight, as many as the recorded timing lets overlap, and one event for each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tieline_core::call::{Ending, Step, WakeFor};
use tieline_core::grid::Candidate;
use tieline_core::{
    Call, ChannelIx, Code, ComponentIx, Desk, Effect, Fault, Fleet, Input, Mark, Seed, Span, Tick,
};

use crate::laid::{Answer, Laid};
use crate::traffic::TrafficCall;

/// What is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Channel(ChannelIx),
    Component(ComponentIx),
    Nothing,
}

/// How a call ended under a cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// Whose answer the caller got, or part of it.
    pub(crate) answered: Option<Candidate>,
    /// Index of the call.
    pub(crate) call: usize,
    /// Refused until an officer decides.
    pub(crate) held: bool,
}

/// Decide every call again with `cut` gone from the first to the last; `each` gets every call once.
pub(crate) fn run(laid: &Laid<'_>, cut: Cut, each: &mut dyn FnMut(End)) {
    let mut fleet = Fleet::default();
    match cut {
        Cut::Channel(ix) => fleet.cut_channel(ix),
        Cut::Component(ix) => fleet.cut_component(ix),
        Cut::Nothing => {}
    }
    let mut run = Run {
        desk: Desk::default(),
        each,
        events: BinaryHeap::new(),
        fleet,
        flights: Vec::new(),
        free: Vec::new(),
        laid,
        order: 0,
        spare: Vec::new(),
    };
    for (ix, record) in laid.traffic.calls.iter().enumerate() {
        run.advance(Some(record.at));
        run.arrive(ix, *record);
    }
    run.advance(None);
}

struct Run<'l, 't> {
    desk: Desk,
    each: &'l mut dyn FnMut(End),
    /// When, in which order, and to which flight the next event comes.
    events: BinaryHeap<Reverse<(Tick, u64, usize)>>,
    fleet: Fleet,
    flights: Vec<Option<Flight>>,
    /// Slots of `flights` that are empty.
    free: Vec<usize>,
    laid: &'l Laid<'t>,
    order: u64,
    /// Step buffers of calls that are over.
    spare: Vec<Vec<Step>>,
}

/// A call between two events.
struct Flight {
    call: Call,
    ix: usize,
    next: Next,
    record: TrafficCall,
}

#[derive(Clone, Copy)]
enum Next {
    Content(Answer),
    End,
    Fault(Fault),
    Wake,
}

impl Run<'_, '_> {
    fn arrive(&mut self, ix: usize, record: TrafficCall) {
        let Some(intake) = self.laid.intake(&record, ix) else {
            return (self.each)(End {
                answered: None,
                call: ix,
                held: false,
            });
        };
        let steps = self.spare.pop().unwrap_or_default();
        let seed = Seed(ix as u64);
        let call = Call::with_steps(self.laid.snapshot.clone(), intake, seed, record.at, steps);
        let mut flight = Flight {
            call,
            ix,
            next: Next::Wake,
            record,
        };
        let due = self.serve(&mut flight, record.at);
        self.park(flight, due);
    }

    /// Let every event before `until` happen.
    fn advance(&mut self, until: Option<Tick>) {
        while let Some(Reverse((at, _, slot))) = self.events.peek().copied() {
            if until.is_some_and(|until| at >= until) {
                return;
            }
            self.events.pop();
            if let Some(mut flight) = self.flights.get_mut(slot).and_then(Option::take) {
                self.free.push(slot);
                let due = self.happen(&mut flight, at);
                self.park(flight, due);
            }
        }
    }

    /// The flight's next event; returns when the one after it is due.
    fn happen(&mut self, flight: &mut Flight, at: Tick) -> Option<Tick> {
        match flight.next {
            Next::Wake => flight.call.handle(Input::Timer, at),
            Next::Fault(fault) => flight.call.handle(Input::Fault(fault), at),
            Next::Content(answer) => {
                flight.call.handle(Input::Mark(Mark::Content(1)), at);
                self.serve(flight, at);
                flight.next = answer.fault.map_or(Next::End, Next::Fault);
                let rest = answer.took.0.saturating_sub(answer.ttft.unwrap_or_default().0);
                return limited(flight, at.plus(Span(rest)));
            }
            Next::End => {
                if let Some(usage) = flight.record.usage() {
                    flight.call.handle(Input::Mark(Mark::Usage(usage)), at);
                    self.serve(flight, at);
                }
                flight.call.handle(Input::End { complete: true }, at);
            }
        }
        self.serve(flight, at)
    }

    /// Give the call what it asks for; returns when its next event is due.
    fn serve(&mut self, flight: &mut Flight, now: Tick) -> Option<Tick> {
        let (mut due, mut durable) = (None, false);
        loop {
            let Some(effect) = flight.call.poll() else {
                if !std::mem::take(&mut durable) {
                    break;
                }
                flight.call.handle(Input::Durable, now);
                continue;
            };
            durable |= effect == Effect::Record { strict: true };
            if let Effect::Dial { row, .. } = effect
                && let Some(candidate) = flight.call.candidate(row)
            {
                let answer = self.laid.answer(&flight.record, candidate);
                due = Some(now.plus(answer.ttft.unwrap_or(answer.took)));
                flight.next = match (answer.ttft, answer.fault) {
                    (None, Some(fault)) => Next::Fault(fault),
                    _ => Next::Content(answer),
                };
            }
            if let Some(input) = self.reply(flight, &effect, now) {
                flight.call.handle(input, now);
            }
        }
        match due {
            Some(due) => limited(flight, due),
            None => flight.call.deadline().map(|(at, _)| {
                flight.next = Next::Wake;
                at
            }),
        }
    }

    /// The world's reply to one effect, if it wants one.
    fn reply(&mut self, flight: &Flight, effect: &Effect, now: Tick) -> Option<Input> {
        let laid = self.laid;
        let on = |row| {
            let candidate = flight.call.candidate(row)?;
            Some((
                candidate.channel,
                laid.snapshot.channel(candidate.channel)?.terms(),
            ))
        };
        match *effect {
            Effect::Judge { rows } => Some(Input::Verdicts(laid.verdicts(&flight.record, rows))),
            Effect::Look => {
                let view = self.fleet.view(&laid.snapshot, flight.call.candidates(), now);
                Some(Input::View(view))
            }
            Effect::ReserveKey { .. } => Some(Input::Desk(laid.key_reply(&flight.record))),
            Effect::ReserveChannel { row, .. } => {
                let ((channel, terms), claim) = (on(row)?, flight.call.channel_claim());
                let asker = flight.call.asker();
                let reply = self.desk.reserve_channel(channel, &terms, asker, &claim, now);
                Some(Input::Desk(reply))
            }
            Effect::Record { .. } => Some(Input::Recorded { taken: true }),
            // A recorded answer met its limit of time for the head; when, is not recorded.
            Effect::Dial { .. } => Some(Input::Opened { status: 200 }),
            Effect::Observe(observation) => {
                self.fleet.observe(observation, now);
                None
            }
            Effect::SettleChannel { row, used, .. } => {
                let ((channel, terms), claim) = (on(row)?, flight.call.channel_claim());
                let asker = flight.call.asker();
                self.desk
                    .settle_channel(channel, &terms, asker, &claim, used.as_ref(), now);
                None
            }
            Effect::Cancel { .. }
            | Effect::Close
            | Effect::Release
            | Effect::Reply(_)
            | Effect::SettleKey { .. } => None,
        }
    }

    /// Keep the flight until its next event, or hand out how it ended.
    fn park(&mut self, flight: Flight, due: Option<Tick>) {
        if let Some(due) = due.filter(|_| !flight.call.is_over()) {
            let slot = self.free.pop().unwrap_or(self.flights.len());
            self.order += 1;
            self.events.push(Reverse((due, self.order, slot)));
            match self.flights.get_mut(slot) {
                Some(place) => *place = Some(flight),
                None => self.flights.push(Some(flight)),
            }
            return;
        }
        let held =
            matches!(flight.call.ending(), Some(Ending::Refused(problem)) if problem.code == Code::Held);
        (self.each)(End {
            answered: flight.call.answered_by(),
            call: flight.ix,
            held,
        });
        self.spare.push(flight.call.into_steps());
    }
}

/// When the scripted event is due, unless a limit of time comes first. The idle limit is left out: what flowed between
/// first content and end is not recorded in detail, and it did flow.
fn limited(flight: &mut Flight, due: Tick) -> Option<Tick> {
    match flight.call.deadline() {
        Some((at, why)) if at < due && why != WakeFor::Idle => {
            flight.next = Next::Wake;
            Some(at)
        }
        Some(_) => Some(due),
        None => None,
    }
}

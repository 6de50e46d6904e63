//! The driver of a what-if: feeds the live core (`Call` and the [`Board`] of fleet and desk) with recorded calls while a
//! timeline plays, and with answers of the [`World`]. It decides nothing itself. Limits of channels, breakers and load
//! evolve anew; the limits of keys stand in no ledger, so they refuse whom they refused.
//!
//! It stays small enough to be read in one sitting, for what it did by itself would not be the core's. What the channels
//! answer is in `world.rs` and `attempt.rs`, what is told of a play in `seen.rs`, where calls stay in `flights.rs`.
//! Bounds: calls in flight, as many as the recorded timing lets overlap, and two events for each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tieline_core::call::WakeFor;
use tieline_core::{Board, Effect, Fault, FaultKind, Input, Mark, Seed, Snapshot, Span, Tick};

use crate::attempt::Act;
use crate::flights::{Arrival, Flight, Flights};
use crate::laid::Laid;
use crate::seen::{End, Played, Seen};
use crate::timeline::Timeline;
use crate::traffic::TrafficCall;
use crate::world::{Dial, World};

/// Between the seeds of two plays' calls: the golden ratio in 64 bits, so that no two plays share those of many calls.
const SEEDS_APART: u64 = 0x9E37_79B9_7F4A_7C15;

/// Decide every call again while the timeline plays; `each` gets every call once.
pub(crate) fn play<'w>(
    laid: &'w Laid<'w>,
    timeline: &'w Timeline<'w>,
    seed: u64,
    each: &mut dyn FnMut(&End),
) -> Played<'w> {
    let (world, board) = World::new(laid, timeline, seed);
    let live = Live {
        seen: Seen::new(laid, board.snapshot.channels.len()),
        board,
        each,
        laid,
        seed,
        world,
    };
    let mut run = Run {
        events: BinaryHeap::new(),
        flights: Flights::default(),
        live,
        order: 0,
    };
    for (ix, record) in laid.traffic.calls.iter().enumerate() {
        run.advance(Some(record.at));
        run.arrive(ix, record);
    }
    run.advance(None);
    let Live { seen, world, .. } = run.live;
    Played { seen, world }
}

struct Run<'r, 'w> {
    /// When, in which order, and to which flight the next event comes; a flight that waits for another is not told.
    events: BinaryHeap<Reverse<(Tick, u64, usize)>>,
    flights: Flights<'w>,
    live: Live<'r, 'w>,
    order: u64,
}

/// What the calls share.
struct Live<'r, 'w> {
    board: Board,
    each: &'r mut dyn FnMut(&End),
    laid: &'w Laid<'w>,
    seed: u64,
    seen: Seen,
    world: World<'w>,
}

impl<'w> Run<'_, 'w> {
    /// Let every event before `until` happen, and everything that happens to the world up to it.
    fn advance(&mut self, until: Option<Tick>) {
        loop {
            let event = self.events.peek().map(|Reverse((at, ..))| *at);
            let event = event.filter(|at| until.is_none_or(|until| *at < until));
            let turn = self.live.world.next_at();
            // The world turns before what happens in it at the same instant.
            match turn.filter(|at| event.or(until).is_some_and(|limit| *at <= limit)) {
                Some(at) => self.turn(at),
                None if event.is_some() => self.happen(),
                None => return,
            }
        }
    }

    fn arrive(&mut self, ix: usize, record: &'w TrafficCall) {
        let live = &mut self.live;
        let grid = live.world.grid();
        // What a call draws (backoff, how long a breaker waits for it) is its own in each play of another seed.
        let draw = (ix as u64).wrapping_add(live.seed.wrapping_mul(SEEDS_APART));
        let Some(intake) = live.laid.intake(grid, record, draw) else {
            return (live.each)(&End::unserved(ix));
        };
        let snapshot = live.laid.grid(grid).snapshot.clone();
        let begun = self.flights.begin(Arrival {
            grid,
            intake,
            ix,
            record,
            seed: Seed(draw),
            snapshot,
        });
        let Some((slot, flight)) = begun else { return };
        live.serve(flight, record.at);
        self.rest(slot);
    }

    /// The next event.
    fn happen(&mut self) {
        let Some(Reverse((at, order, slot))) = self.events.pop() else {
            return;
        };
        if let Some(flight) = self.flights.get(slot)
            && flight.event == order
        {
            self.live.happen(flight, at);
            self.rest(slot);
        }
    }

    /// The next thing that happens to the world. Attempts on what goes out by it are lost at that instant.
    fn turn(&mut self, at: Tick) {
        let Live { world, board, .. } = &mut self.live;
        if !world.turn(board) {
            return;
        }
        for slot in 0..self.flights.slots() {
            if let Some(flight) = self.flights.get(slot)
                && self.live.strike(flight, at)
            {
                self.rest(slot);
            }
        }
    }

    /// Wait for the flight's next event, or hand out how it ended.
    fn rest(&mut self, slot: usize) {
        let Some(flight) = self.flights.get(slot) else {
            return;
        };
        if let Some(due) = due(flight) {
            self.order += 1;
            flight.event = self.order;
            return self.events.push(Reverse((due, self.order, slot)));
        }
        (self.live.each)(&End::of(flight, self.live.laid));
        self.flights.end(slot);
    }
}

impl Live<'_, '_> {
    /// The flight's next event.
    fn happen(&mut self, flight: &mut Flight<'_>, at: Tick) {
        match flight.attempt.bring(at) {
            None => {
                if flight.attempt.is_answering {
                    // What flowed between first content and end is not recorded in detail, and it did flow.
                    flight.call.handle(Input::Mark(Mark::Content(0)), at);
                }
                flight.call.handle(Input::Timer, at);
            }
            Some(Act::Fault(fault)) => flight.call.handle(Input::Fault(fault), at),
            Some(Act::Content) => {
                flight.call.handle(Input::Mark(Mark::Content(1)), at);
                if let Some(candidate) = flight.call.candidate(flight.attempt.row) {
                    self.world.answered(flight.grid, candidate.channel, at);
                }
            }
            Some(Act::End) => {
                if let Some(usage) = flight.record.usage() {
                    flight.call.handle(Input::Mark(Mark::Usage(usage)), at);
                    self.serve(flight, at);
                }
                flight.call.handle(Input::End { complete: true }, at);
            }
        }
        self.serve(flight, at);
    }

    /// Break the attempt under way off, if its channel went out at this instant.
    fn strike(&mut self, flight: &mut Flight<'_>, at: Tick) -> bool {
        let candidate = flight.call.candidate(flight.attempt.row);
        let is_hit = flight.call.attempt_under_way().is_some()
            && candidate.is_some_and(|candidate| self.world.went_out(flight.grid, candidate.channel, at));
        if is_hit {
            let fault = Fault::new(FaultKind::Reset, flight.attempt.stop());
            flight.call.handle(Input::Fault(fault), at);
            self.serve(flight, at);
        }
        is_hit
    }

    /// Give the call what it asks for.
    fn serve(&mut self, flight: &mut Flight<'_>, now: Tick) {
        loop {
            let mut is_strict = false;
            while let Some(effect) = flight.call.poll() {
                is_strict |= matches!(effect, Effect::Record { strict: true });
                if let Some(input) = self.reply(flight, &effect, now) {
                    flight.call.handle(input, now);
                }
            }
            if !is_strict {
                return;
            }
            flight.call.handle(Input::Durable, now);
        }
    }

    /// The world's reply to one effect, if it wants one.
    fn reply(&mut self, flight: &mut Flight<'_>, effect: &Effect, now: Tick) -> Option<Input> {
        let (laid, board) = (self.laid, &mut self.board);
        let of: &Snapshot = &laid.grid(flight.grid).snapshot;
        match *effect {
            Effect::Judge { rows } => {
                let verdicts = self.world.verdicts(flight.grid, flight.record, rows);
                Some(Input::Verdicts(verdicts))
            }
            Effect::Look => {
                let view = board.view(of, flight.call.candidates(), now);
                Some(Input::View(flight.call.place(view)))
            }
            Effect::ReserveKey { .. } => Some(Input::Desk(laid.key_reply(flight.record))),
            Effect::ReserveChannel { row, .. } => {
                let (candidate, asker) = (flight.call.candidate(row)?, flight.call.asker());
                let claim = flight.call.channel_claim();
                flight.attempt.claim = board.estimated(of, candidate, asker.party, claim);
                let reply = board.reserve(of, candidate, asker, &flight.attempt.claim, now);
                self.seen
                    .fills
                    .see(board, (flight.grid, of), candidate, &reply, now);
                Some(Input::Desk(reply))
            }
            Effect::Record { .. } => Some(Input::Recorded { taken: true }),
            Effect::Dial { row, .. } => self.dial(flight, row, now),
            Effect::Observe(observation) => {
                board.observe(of, observation, now);
                None
            }
            Effect::SettleChannel { row, used, .. } => {
                let (candidate, asker) = (flight.call.candidate(row)?, flight.call.asker());
                board.settle(of, candidate, asker, &flight.attempt.claim, used.as_ref(), now);
                None
            }
            Effect::Release => {
                flight.first_content = Some(now.since(flight.record.at));
                None
            }
            Effect::Cancel { .. } => {
                flight.attempt.stop();
                None
            }
            Effect::Close | Effect::Reply(_) | Effect::SettleKey { .. } => None,
        }
    }

    fn dial(&mut self, flight: &mut Flight<'_>, row: u8, now: Tick) -> Option<Input> {
        let tries = flight.attempt.dial(row);
        let candidate = flight.call.candidate(row);
        self.seen.dial(candidate);
        let answer = self.world.dialled(&Dial {
            call: flight.ix,
            candidate: candidate?,
            grid: flight.grid,
            record: flight.record,
            tries,
        })?;
        flight.attempt.answer(&answer, now);
        // A recorded answer met its limit of time for the head; when, is not recorded.
        Some(Input::Opened { status: 200 })
    }
}

/// When the flight's next event comes; none, if it is over. An answer that flows meets no limit between two pieces of it.
fn due(flight: &Flight<'_>) -> Option<Tick> {
    let (at, why) = flight.call.deadline()?;
    let Some(due) = flight.attempt.due() else {
        return Some(at);
    };
    let whole = Span::from_ms(flight.call.settings().call_ms.into());
    let call = flight.record.at.plus(whole);
    Some(due.min(if why == WakeFor::Idle { call } else { at }))
}

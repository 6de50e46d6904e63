//! The driver of a what-if: feeds the live core ([`Call`] and the [`Board`] of fleet and desk) with recorded calls while a
//! timeline plays, and with answers of the [`World`]. It decides nothing itself. Limits of channels, breakers and load
//! evolve anew; the limits of keys stand in no ledger, so they refuse whom they refused.
//!
//! Bounds: calls in flight, as many as the recorded timing lets overlap, and two events for each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tieline_core::call::{Ending, Step, WakeFor};
use tieline_core::grid::Candidate;
use tieline_core::{
    Board, Call, ChannelClaim, Code, Effect, Fault, FaultKind, Input, Mark, Phase, Seed, Snapshot, Span, Tick,
};

use crate::fill::Fills;
use crate::laid::{Answer, Laid, LaneIx};
use crate::timeline::Timeline;
use crate::traffic::TrafficCall;
use crate::world::{Dial, World};

/// Between the seeds of two plays' calls: the golden ratio in 64 bits, so that no two plays share those of many calls.
const SEEDS_APART: u64 = 0x9E37_79B9_7F4A_7C15;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Whose answer the caller got, or part of it.
    pub(crate) answered: Option<LaneIx>,
    /// The same on the grid that the call was decided under.
    pub(crate) by: Option<(usize, Candidate)>,
    /// Index of the call.
    pub(crate) call: usize,
    /// Who was dialled first.
    pub(crate) first: Option<LaneIx>,
    /// From its arrival to the first content that the caller got.
    pub(crate) first_content: Option<Span>,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The caller has part of an answer.
    Broken,
    /// Refused until an officer decides.
    Held,
    Served,
    Unserved,
}

/// What a run saw beside the ends of calls.
pub(crate) struct Played<'w> {
    pub(crate) attempts: u64,
    /// Whether a channel was dialled, by its index on the grid of the calls that dialled it: of use where all grids of the
    /// timeline have the same channels.
    pub(crate) dialled: Vec<bool>,
    pub(crate) fills: Fills,
    pub(crate) world: World<'w>,
}

/// Decide every call again while the timeline plays; `each` gets every call once.
pub(crate) fn play<'w>(
    laid: &'w Laid<'w>,
    timeline: &'w Timeline<'w>,
    seed: u64,
    each: &mut dyn FnMut(&End),
) -> Played<'w> {
    let (world, board) = World::new(laid, timeline, seed);
    let live = Live {
        attempts: 0,
        dialled: vec![false; board.snapshot.channels.len()],
        board,
        each,
        fills: Fills::new(laid),
        laid,
        seed,
        world,
    };
    let mut run = Run {
        events: BinaryHeap::new(),
        flights: Vec::new(),
        free: Vec::new(),
        live,
        order: 0,
        spare: Vec::new(),
    };
    for (ix, record) in laid.traffic.calls.iter().enumerate() {
        run.advance(Some(record.at));
        run.arrive(ix, record);
    }
    run.advance(None);
    let Live {
        attempts,
        dialled,
        fills,
        world,
        ..
    } = run.live;
    Played {
        attempts,
        dialled,
        fills,
        world,
    }
}

struct Run<'r, 'w> {
    /// When, in which order, and to which flight the next event comes; a flight that waits for another is not told.
    events: BinaryHeap<Reverse<(Tick, u64, usize)>>,
    flights: Vec<Option<Flight<'w>>>,
    /// Slots of `flights` that are empty.
    free: Vec<usize>,
    live: Live<'r, 'w>,
    order: u64,
    /// Step buffers of calls that are over.
    spare: Vec<Vec<Step>>,
}

/// What the calls share.
struct Live<'r, 'w> {
    attempts: u64,
    board: Board,
    dialled: Vec<bool>,
    each: &'r mut dyn FnMut(&End),
    fills: Fills,
    laid: &'w Laid<'w>,
    seed: u64,
    world: World<'w>,
}

/// A call between two events.
struct Flight<'w> {
    call: Call,
    /// What the channel was asked for.
    claim: ChannelClaim,
    /// The number of the event that it waits for.
    event: u64,
    /// The row that was dialled first.
    first: Option<u8>,
    first_content: Option<Span>,
    grid: usize,
    /// The attempt under way has brought content.
    is_answering: bool,
    ix: usize,
    record: &'w TrafficCall,
    /// The row that was dialled last.
    row: u8,
    /// What comes of the attempt under way, and when; nothing, where the channel stays silent.
    script: Option<(Tick, Act)>,
    /// The rows that were dialled, as bits.
    tried: u8,
}

#[derive(Clone, Copy)]
enum Act {
    Content(Answer),
    End,
    Fault(Fault),
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
            return (live.each)(&End {
                answered: None,
                by: None,
                call: ix,
                first: None,
                first_content: None,
                how: How::Unserved,
            });
        };
        let snapshot = live.laid.grid(grid).snapshot.clone();
        let steps = self.spare.pop().unwrap_or_default();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        let Some(place) = self.flights.get_mut(slot) else {
            return;
        };
        // Made where it stays: a call is some 4 KiB, and to move it costs as much as to decide.
        let flight = place.insert(Flight {
            call: Call::with_steps(snapshot, intake, Seed(draw), record.at, steps),
            claim: ChannelClaim::default(),
            event: 0,
            first: None,
            first_content: None,
            grid,
            is_answering: false,
            ix,
            record,
            row: 0,
            script: None,
            tried: 0,
        });
        live.serve(flight, record.at);
        self.rest(slot);
    }

    /// The next event.
    fn happen(&mut self) {
        let Some(Reverse((at, order, slot))) = self.events.pop() else {
            return;
        };
        if let Some(Some(flight)) = self.flights.get_mut(slot)
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
        for slot in 0..self.flights.len() {
            if let Some(Some(flight)) = self.flights.get_mut(slot)
                && self.live.strike(flight, at)
            {
                self.rest(slot);
            }
        }
    }

    /// Wait for the flight's next event, or hand out how it ended.
    fn rest(&mut self, slot: usize) {
        let Some(place) = self.flights.get_mut(slot) else {
            return;
        };
        let Some(flight) = place else { return };
        if let Some(due) = flight.due() {
            self.order += 1;
            flight.event = self.order;
            return self.events.push(Reverse((due, self.order, slot)));
        }
        let end = self.live.end(flight);
        (self.live.each)(&end);
        self.spare.push(flight.call.take_steps());
        *place = None;
        self.free.push(slot);
    }
}

impl Live<'_, '_> {
    /// The flight's next event.
    fn happen(&mut self, flight: &mut Flight<'_>, at: Tick) {
        match flight.script.take_if(|(due, _)| *due <= at) {
            None => {
                if flight.is_answering {
                    // What flowed between first content and end is not recorded in detail, and it did flow.
                    flight.call.handle(Input::Mark(Mark::Content(0)), at);
                }
                flight.call.handle(Input::Timer, at);
            }
            Some((_, Act::Fault(fault))) => flight.call.handle(Input::Fault(fault), at),
            Some((_, Act::Content(answer))) => {
                flight.call.handle(Input::Mark(Mark::Content(1)), at);
                let rest = answer.took.0.saturating_sub(answer.ttft.unwrap_or_default().0);
                let act = answer.fault.map_or(Act::End, Act::Fault);
                (flight.is_answering, flight.script) = (true, Some((at.plus(Span(rest)), act)));
                if let Some(candidate) = flight.call.candidate(flight.row) {
                    self.world.answered(flight.grid, candidate.channel, at);
                }
            }
            Some((_, Act::End)) => {
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
        let candidate = flight.call.candidate(flight.row);
        let is_hit = flight.call.attempt_under_way().is_some()
            && candidate.is_some_and(|candidate| self.world.went_out(flight.grid, candidate.channel, at));
        if is_hit {
            let phase = if flight.is_answering {
                Phase::Body
            } else {
                Phase::Head
            };
            flight.script = None;
            let fault = Fault::new(FaultKind::Reset, phase);
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
            Effect::Look => Some(Input::View(board.view(of, flight.call.candidates(), now))),
            Effect::ReserveKey { .. } => Some(Input::Desk(laid.key_reply(flight.record))),
            Effect::ReserveChannel { row, .. } => {
                let (candidate, asker) = (flight.call.candidate(row)?, flight.call.asker());
                let claim = flight.call.channel_claim();
                flight.claim = board.estimated(of, candidate, asker.party, claim);
                let reply = board.reserve(of, candidate, asker, &flight.claim, now);
                self.fills.see(board, (flight.grid, of), candidate, &reply, now);
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
                board.settle(of, candidate, asker, &flight.claim, used.as_ref(), now);
                None
            }
            Effect::Release => {
                flight.first_content = Some(now.since(flight.record.at));
                None
            }
            Effect::Cancel { .. } => {
                flight.script = None;
                None
            }
            Effect::Close | Effect::Reply(_) | Effect::SettleKey { .. } => None,
        }
    }

    fn dial(&mut self, flight: &mut Flight<'_>, row: u8, now: Tick) -> Option<Input> {
        self.attempts += 1;
        let bit = 1 << (row % 8);
        let tries = u8::from(flight.tried & bit != 0);
        (flight.is_answering, flight.row, flight.tried) = (false, row, flight.tried | bit);
        flight.first.get_or_insert(row);
        let candidate = flight.call.candidate(row)?;
        if let Some(dialled) = self.dialled.get_mut(usize::from(candidate.channel.0)) {
            *dialled = true;
        }
        let answer = self.world.dialled(&Dial {
            call: flight.ix,
            candidate,
            grid: flight.grid,
            record: flight.record,
            tries,
        })?;
        let due = now.plus(answer.ttft.unwrap_or(answer.took));
        let act = match (answer.ttft, answer.fault) {
            (None, Some(fault)) => Act::Fault(fault),
            _ => Act::Content(answer),
        };
        flight.script = Some((due, act));
        // A recorded answer met its limit of time for the head; when, is not recorded.
        Some(Input::Opened { status: 200 })
    }

    fn end(&self, flight: &Flight<'_>) -> End {
        let answered = flight.call.answered_by();
        let first = flight.first.and_then(|row| flight.call.candidate(row));
        let lane = |candidate| self.laid.grid(flight.grid).lane(candidate);
        let how = match flight.call.ending() {
            Some(Ending::Served) => How::Served,
            Some(Ending::Refused(problem)) if problem.code == Code::Held => How::Held,
            _ if answered.is_some() => How::Broken,
            _ => How::Unserved,
        };
        End {
            answered: answered.and_then(lane),
            by: answered.map(|candidate| (flight.grid, candidate)),
            call: flight.ix,
            first: first.and_then(lane),
            first_content: flight.first_content,
            how,
        }
    }
}

impl Flight<'_> {
    /// When its next event comes; none, if it is over. An answer that flows meets no limit between two pieces of it.
    fn due(&self) -> Option<Tick> {
        let (at, why) = self.call.deadline()?;
        let Some((due, _)) = self.script else {
            return Some(at);
        };
        let call = self
            .record
            .at
            .plus(Span::from_ms(self.call.settings().call_ms.into()));
        Some(due.min(if why == WakeFor::Idle { call } else { at }))
    }
}

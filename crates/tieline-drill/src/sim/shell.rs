//! The shell of a run: an event heap in place of sockets and a clock, around the real `Call`, `Fleet` and `Desk`. It does
//! what the gateway's drive loop does, in its order: effects are drained and answered at once, a request passes a gate in
//! the moment in which it leaves, orders reach attempts under way, a reload moves the board, a crash forgets every call.
//!
//! Bounds: [`EVENTS_MAX`] events, and the calls of the load.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use arrayvec::ArrayVec;
use tieline_core::grid::Candidate;
use tieline_core::record::Outcome;
use tieline_core::{
    Ask, Board, Call, CallId, Claim, Code, DeskReply, Dialect, Effect, FeatureSet, Input, Intake, Limits,
    Nano, ROWS_MAX, Ruling, Seed, Span, Tick, Usage, Verdict,
};

use super::auditor::Auditor;
use super::dice::Dice;
use super::faults::{Act, Script};
use super::lanes::Lanes;
use super::ledger::Ledger;
use super::limits::{Desks, Owner};
use super::load::{Arrival, Asked};
use super::report::Tally;
use super::trace::Trace;
use super::truth::{Truth, lane};
use super::watched::{Cause, Waits, Watched};
use super::world::{InFlight, Order, Part, Turn, World, number};

/// 160 calls of 8 attempts with 12 acts, three wakes each: 46,080; more is a loop.
const EVENTS_MAX: u64 = 100_000;

/// How long the gateway takes to answer a call's question, in a world in which it is slow.
const ANSWER_MS: (u64, u64) = (1, 50);

/// One run under way.
#[derive(Debug)]
pub(super) struct Shell<'w> {
    pub(super) auditor: Auditor,
    board: Board,
    dice: Dice,
    events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    flights: BTreeMap<u32, Flight>,
    pub(super) ledger: Ledger,
    now: Tick,
    order: u64,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
    truth: Truth<'w>,
    world: &'w World,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Act { call: u32, attempt: usize },
    Answer { call: u32 },
    Arrive { call: u32 },
    Drained { call: u32, attempt: usize },
    Durable { call: u32, kept: bool },
    Leave { call: u32 },
    Turn(usize),
    Wake { call: u32 },
}

/// A call and what the shell keeps for it.
#[derive(Debug)]
struct Flight {
    /// Answers to its questions, in order; in a slow world each waits for its event.
    answers: VecDeque<Input>,
    armed: Option<Tick>,
    call: Call,
    /// Under which the verdicts on the attempt under way were made.
    generation: u64,
    /// Facts that are told at once, whatever the world.
    urgent: VecDeque<Input>,
    no: u32,
    party: u8,
    row: Option<u8>,
    script: Script,
}

// === impl Shell ===

impl<'w> Shell<'w> {
    /// A run at its start; `None` if the world has no grid.
    pub(super) fn new(world: &'w World, trace: Trace) -> Option<Self> {
        let truth = Truth::new(world)?;
        let mut shell = Self {
            auditor: Auditor {
                slow: world.features.slow,
                ..Auditor::default()
            },
            board: Board::new(truth.snapshot.clone(), Vec::new()),
            dice: Dice::new(world.seed, 7),
            events: BinaryHeap::new(),
            flights: BTreeMap::new(),
            ledger: Ledger::default(),
            now: Tick(0),
            order: 0,
            tally: Tally::default(),
            trace,
            truth,
            world,
        };
        for (arrival, call) in world.arrivals.iter().zip(0..) {
            shell.push(arrival.at, Event::Arrive { call });
        }
        for ((at, _), ix) in world.turns.iter().zip(0..) {
            shell.push(*at, Event::Turn(ix));
        }
        Some(shell)
    }

    /// Let everything happen.
    pub(super) fn run(&mut self) {
        while let Some(Reverse((due, _, event))) = self.events.pop() {
            // Where the clock jumped ahead, what was due meanwhile happens late.
            self.now = self.now.max(due);
            self.tally.of.events += 1;
            if self.tally.of.events > EVENTS_MAX {
                self.auditor
                    .find("bounded", None, self.now, "the run does not end");
                break;
            }
            self.happen(event);
        }
        for no in self.flights.keys().copied().collect::<Vec<_>>() {
            self.auditor
                .find("bounded", Some(no), self.now, "nothing happens to it any more");
        }
        self.ledger.crash(self.now);
        for says in self.ledger.unpaired() {
            self.auditor.find("ends", None, self.now, says);
        }
        self.tally.digest = self.ledger.digest();
    }

    fn push(&mut self, at: Tick, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { call } => self.arrive(call),
            Event::Turn(ix) => {
                if let Some((_, turn)) = self.world.turns.get(ix) {
                    self.trace
                        .note(None, self.now, || format!("the world turns: {turn:?}"));
                    self.turn(turn);
                }
            }
            Event::Act { call, attempt } => self.with(call, |shell, flight| shell.act(flight, attempt)),
            Event::Answer { call } => self.with(call, |shell, flight| {
                if let Some(answer) = flight.answers.pop_front() {
                    shell.feed(flight, answer);
                }
            }),
            Event::Drained { call, attempt } => self.with(call, |shell, flight| {
                if flight.call.attempt_under_way() == Some(attempt) {
                    shell.reconsider(flight, InFlight::Cut);
                }
            }),
            Event::Durable { call, kept } => self.with(call, |shell, flight| {
                shell.feed(flight, if kept { Input::Durable } else { Input::NotDurable });
                if !kept {
                    let is_over = flight.call.is_over();
                    shell.auditor.not_durable(flight.no, is_over, shell.now);
                }
            }),
            Event::Leave { call } => self.with(call, |shell, flight| shell.feed(flight, Input::ClientGone)),
            Event::Wake { call } => self.with(call, |shell, flight| {
                flight.armed = flight.armed.filter(|at| *at > shell.now);
                if flight.call.deadline().is_some_and(|(at, _)| at <= shell.now) {
                    shell.feed(flight, Input::Timer);
                }
            }),
        }
    }

    /// Do something with a call that is not over yet, and see how it waits afterwards.
    fn with(&mut self, no: u32, what: impl FnOnce(&mut Self, &mut Flight)) {
        let Some(mut flight) = self.flights.remove(&no) else {
            return;
        };
        what(self, &mut flight);
        self.rest(flight);
    }

    /// Keep a call until something happens to it, or let it go.
    fn rest(&mut self, mut flight: Flight) {
        let now = self.now;
        if flight.call.is_over() && flight.answers.is_empty() {
            self.late(&mut flight);
            self.auditor.over(flight.no, &flight.call, now);
            self.trace.note(Some(flight.no), now, || "over".to_owned());
            return;
        }
        if !flight.call.is_over() {
            let answers_due = !flight.answers.is_empty();
            self.auditor.waits(flight.no, &flight.call, answers_due, now);
        }
        if let Some((at, _)) = flight.call.deadline()
            && flight.armed.is_none_or(|armed| at < armed)
        {
            flight.armed = Some(at);
            self.push(at, Event::Wake { call: flight.no });
        }
        self.flights.insert(flight.no, flight);
    }

    /// What an attempt that was cancelled still reports moves nothing.
    fn late(&mut self, flight: &mut Flight) {
        let rest = flight.script.drain(..).map(|(_, act)| input(act));
        for input in rest.chain([Input::Timer, Input::Durable]) {
            flight.call.handle(input, self.now);
            if let Some(effect) = flight.call.poll() {
                let says = format!("after its end: {effect:?}");
                self.auditor.find("silence", Some(flight.no), self.now, says);
            }
        }
    }

    // === a call ===

    fn arrive(&mut self, no: u32) {
        let arrival = usize::try_from(no)
            .ok()
            .and_then(|ix| self.world.arrivals.get(ix));
        let Some(arrival) = arrival.copied() else { return };
        let Some(intake) = self.intake(no, &arrival) else {
            return;
        };
        let snapshot = self.truth.snapshot.clone();
        let party = number(&intake.subject.party);
        self.tally.of.calls += 1;
        let call = Call::new(snapshot, intake, Seed(arrival.entropy), self.now);
        self.auditor.calls.insert(no, watched(&call, &arrival, self.now));
        self.trace
            .note(Some(no), self.now, || format!("arrives: {arrival:?}"));
        if let Some(after) = arrival.leaves_after {
            self.push(self.now.plus(after), Event::Leave { call: no });
        }
        let mut flight = Flight {
            answers: VecDeque::new(),
            armed: None,
            call,
            generation: self.truth.generation,
            no,
            party,
            row: None,
            script: Script::new(),
            urgent: VecDeque::new(),
        };
        self.serve(&mut flight);
        self.rest(flight);
    }

    fn intake(&self, no: u32, arrival: &Arrival) -> Option<Intake> {
        let snapshot = &self.truth.snapshot;
        let ask = match arrival.ask {
            Asked::Model(ix) => snapshot.resolve(&format!("m{ix}")),
            Asked::Nothing => snapshot.resolve("nothing"),
            Asked::Pool(ix) => snapshot.resolve(&format!("p{ix}")),
            Asked::Unreadable => Ask::Unreadable(Code::BodyNotJson),
        };
        let subject = self.world.subjects.get(usize::from(arrival.key))?.clone();
        Some(Intake {
            affinity: arrival.affinity,
            answers: 1,
            ask,
            body_bytes: arrival.body_bytes,
            call: CallId::new(self.now, (u128::from(arrival.entropy) << 16) | u128::from(no)),
            deadline: arrival.deadline,
            dialect: Dialect::OpenaiChat,
            end_use: None,
            features: FeatureSet::default(),
            is_budgeted: subject.has_budget(),
            is_deterministic: false,
            media: 0,
            output_tokens_max: arrival.output_tokens_max,
            patience: arrival.patience,
            prefill: 0,
            stream: arrival.stream,
            subject,
        })
    }

    fn feed(&mut self, flight: &mut Flight, input: Input) {
        self.tell(flight, input);
        self.serve(flight);
    }

    fn tell(&mut self, flight: &mut Flight, input: Input) {
        self.trace
            .note(Some(flight.no), self.now, || format!("<- {input:?}"));
        self.auditor.told(flight.no, &input, self.now);
        flight.call.handle(input, self.now);
    }

    /// Do what the call asks for, and answer it.
    fn serve(&mut self, flight: &mut Flight) {
        loop {
            let due = flight.answers.len();
            while let Some(effect) = flight.call.poll() {
                self.trace
                    .note(Some(flight.no), self.now, || format!("-> {effect:?}"));
                self.auditor.did(flight.no, &effect, &self.truth, self.now);
                self.effect(flight, &effect);
            }
            if let Some(input) = flight.urgent.pop_front() {
                self.tell(flight, input);
                continue;
            }
            if self.world.features.slow {
                for _ in due..flight.answers.len() {
                    let after = self.dice.spread_ms(ANSWER_MS.0, ANSWER_MS.1);
                    self.push(self.now.plus(after), Event::Answer { call: flight.no });
                }
                return;
            }
            match flight.answers.pop_front() {
                Some(answer) => self.tell(flight, answer),
                None => return,
            }
        }
    }

    fn effect(&mut self, flight: &mut Flight, effect: &Effect) {
        match *effect {
            Effect::Judge { rows } => {
                flight.generation = self.truth.generation;
                let verdicts = self.verdicts(flight, rows);
                flight.answers.push_back(Input::Verdicts(verdicts));
            }
            Effect::Look => {
                let (snapshot, candidates) = (flight.call.snapshot(), flight.call.candidates());
                let view = self.board.view(snapshot, candidates, self.now);
                self.auditor.looked(flight.no, &view, &self.truth, self.now);
                flight.answers.push_back(Input::View(Box::new(view)));
            }
            Effect::ReserveKey { claim } => self.reserve_key(flight, &claim),
            Effect::ReserveChannel { row, tokens } => self.reserve_channel(flight, row, tokens),
            Effect::SettleKey { charged, claim, used } => {
                self.settle_key(flight, &claim, charged, used.as_ref());
            }
            Effect::SettleChannel { row, reserved, used } => {
                self.settle_channel(flight, row, reserved, used.as_ref());
            }
            Effect::Record { strict } => self.record(flight, strict),
            Effect::Dial { row, .. } => self.dial(flight, row),
            Effect::Observe(observation) => {
                self.board.observe(flight.call.snapshot(), observation, self.now);
            }
            Effect::Cancel { .. } => {
                // Most often its connection is closed; at times something was on its way already.
                if self.dice.chance(70) {
                    flight.script.clear();
                }
            }
            Effect::Close => self.close(flight),
            Effect::Release | Effect::Reply(_) => {}
        }
    }

    fn verdicts(&self, flight: &Flight, rows: u8) -> ArrayVec<Arc<Verdict>, ROWS_MAX> {
        let each = (0_u8..).zip(flight.call.candidates());
        let asked = each.filter(|(row, _)| rows & (1 << row) != 0);
        asked
            .map(|(_, candidate)| {
                let lane = lane(flight.call.snapshot(), *candidate);
                self.truth.verdict(flight.party, lane)
            })
            .collect()
    }

    // === an attempt ===

    fn dial(&mut self, flight: &mut Flight, row: u8) {
        self.tally.of.attempts += 1;
        flight.row = Some(row);
        flight.script.clear();
        let Some(candidate) = flight.call.candidate(row) else {
            return;
        };
        let lane = lane(flight.call.snapshot(), candidate);
        // The gate: what was judged before a change does not leave unless it is still allowed.
        if flight.generation != self.truth.generation {
            flight.generation = self.truth.generation;
            let verdict = self.truth.verdict(flight.party, lane);
            if verdict.ruling != Ruling::Allow {
                return flight.urgent.push_back(Input::Ordered(verdict));
            }
        }
        self.auditor.sent(flight.no, lane, &self.truth, self.now);
        let mood = self.world.moods.get(usize::from(lane.0));
        let stream = flight.call.intake().stream;
        flight.script = mood.map_or_else(Script::new, |moods| {
            moods.at(self.now).script(&mut self.dice, stream)
        });
        self.next_act(flight);
    }

    fn next_act(&mut self, flight: &Flight) {
        if let Some((after, _)) = flight.script.front() {
            let attempt = flight.call.attempts().saturating_sub(1);
            self.push(
                self.now.plus(*after),
                Event::Act {
                    call: flight.no,
                    attempt,
                },
            );
        }
    }

    fn act(&mut self, flight: &mut Flight, attempt: usize) {
        if flight.call.attempts().saturating_sub(1) != attempt {
            return;
        }
        let Some((_, act)) = flight.script.pop_front() else {
            return;
        };
        if flight.call.attempt_under_way() == Some(attempt) {
            self.next_act(flight);
            return self.feed(flight, input(act));
        }
        // It was cancelled, and this was on its way.
        flight.call.handle(input(act), self.now);
        self.serve(flight);
    }

    /// What is permitted changed: what becomes of the attempt under way.
    fn reconsider(&mut self, flight: &mut Flight, in_flight: InFlight) {
        flight.generation = self.truth.generation;
        let candidate = flight.row.and_then(|row| flight.call.candidate(row));
        let (Some(candidate), Some(attempt)) = (candidate, flight.call.attempt_under_way()) else {
            return;
        };
        let lane = lane(flight.call.snapshot(), candidate);
        let verdict = self.truth.verdict(flight.party, lane);
        match in_flight {
            _ if verdict.ruling == Ruling::Allow => {}
            InFlight::Cut => self.feed(flight, Input::Ordered(verdict)),
            InFlight::Drain(span) => {
                let call = flight.no;
                self.push(self.now.plus(span), Event::Drained { call, attempt });
            }
            InFlight::Finish => {}
        }
    }

    // === the desk ===

    fn reserve_key(&mut self, flight: &mut Flight, claim: &Claim) {
        let (snapshot, intake) = (flight.call.snapshot(), flight.call.intake());
        let reply = self.board.reserve_for(snapshot, intake, claim);
        let owners = self.payers(intake);
        let wrong = self.auditor.desks.replied(&owners, claim, &reply, self.now);
        let in_flight = self.board.desk.key_in_flight(intake.subject.desk_ix);
        let owner = Owner::Key(number(&intake.subject.key));
        self.auditor.desk(flight.no, owner, wrong, in_flight, self.now);
        flight.answers.push_back(Input::Desk(reply));
    }

    fn settle_key(&mut self, flight: &Flight, claim: &Claim, charged: Nano, used: Option<&Usage>) {
        let (snapshot, intake, now) = (flight.call.snapshot(), flight.call.intake(), self.now);
        self.board.settle_for(snapshot, intake, claim, charged, used, now);
        let owners = self.payers(intake);
        let total = used.map(Usage::total);
        self.auditor.desks.settled(&owners, claim, charged, total, now);
        let in_flight = self.board.desk.key_in_flight(intake.subject.desk_ix);
        let owner = Owner::Key(number(&intake.subject.key));
        self.auditor.desk(flight.no, owner, None, in_flight, now);
    }

    /// Who pays for a call, by what limits: the key, its party, and the pool as it is in the grid in force.
    fn payers(&self, intake: &Intake) -> Vec<(Owner, Limits)> {
        let subject = &intake.subject;
        let mut payers = vec![
            (Owner::Key(number(&subject.key)), subject.limits),
            (Owner::Party(number(&subject.party)), subject.party_limits),
        ];
        if let Ask::Pool(ix) = intake.ask
            && let Some(pool) = self.truth.snapshot.pool(ix)
        {
            payers.push((Owner::Pool(number(&pool.name)), pool.limits));
        }
        payers
    }

    fn reserve_channel(&mut self, flight: &mut Flight, row: u8, tokens: u64) {
        let Some(candidate) = flight.call.candidate(row) else {
            return;
        };
        let snapshot = flight.call.snapshot();
        let (asker, claim) = (flight.call.asker(), flight.call.channel_claim());
        let reply = self.board.reserve(snapshot, candidate, asker, &claim, self.now);
        if let Some((owner, limits, in_flight)) = self.channel(flight, candidate, true) {
            let claim = on_channel(tokens, self.now);
            let wrong = self
                .auditor
                .desks
                .replied(&[(owner, limits)], &claim, &reply, self.now);
            self.auditor.desk(flight.no, owner, wrong, in_flight, self.now);
        } else if reply != DeskReply::Granted {
            let says = "a channel that is gone has no limit";
            self.auditor.find("reservations", Some(flight.no), self.now, says);
        }
        flight.answers.push_back(Input::Desk(reply));
    }

    fn settle_channel(&mut self, flight: &Flight, row: u8, reserved: u64, used: Option<&Usage>) {
        let Some(candidate) = flight.call.candidate(row) else {
            return;
        };
        let (snapshot, now) = (flight.call.snapshot(), self.now);
        let (asker, claim) = (flight.call.asker(), flight.call.channel_claim());
        self.board.settle(snapshot, candidate, asker, &claim, used, now);
        if let Some((owner, limits, in_flight)) = self.channel(flight, candidate, false) {
            let total = used.map(Usage::total);
            let claim = on_channel(reserved, now);
            self.auditor
                .desks
                .settled(&[(owner, limits)], &claim, Nano(0), total, now);
            self.auditor.desk(flight.no, owner, None, in_flight, now);
        }
    }

    /// The channel of a candidate in the grid in force: whose limits, which, and what the desk has in flight there. `None`
    /// if the grid has it no more, or, where it has to, does not serve the model on it.
    fn channel(&self, flight: &Flight, candidate: Candidate, served: bool) -> Option<(Owner, Limits, u32)> {
        let lane = lane(flight.call.snapshot(), candidate);
        if served && !self.truth.serves(lane) {
            return None;
        }
        let mut records = self.truth.snapshot.record.channels.iter();
        let record = records.find(|record| number(&record.name) == lane.0)?;
        let ix = self.truth.snapshot.channel_named(&record.name)?;
        Some((
            Owner::Channel(lane.0),
            record.limits,
            self.board.desk.channel_in_flight(ix),
        ))
    }

    // === the ledger ===

    fn record(&mut self, flight: &mut Flight, strict: bool) {
        let entry = flight.call.decision_entry();
        let bytes = self.auditor.decided(flight.no, &entry, self.now);
        let durable_at = self.ledger.decision(entry.id, &bytes, self.now);
        if let Some((at, kept)) = durable_at.filter(|_| strict) {
            let call = flight.no;
            self.push(at, Event::Durable { call, kept });
        }
        let taken = durable_at.is_some();
        self.tally.of.decisions += u64::from(taken);
        self.tell(flight, Input::Recorded { taken });
    }

    fn close(&mut self, flight: &Flight) {
        let entry = flight.call.outcome_entry();
        let bytes = self.auditor.closed(flight.no, &entry, self.now);
        self.ledger.outcome(entry.id, &bytes, self.now);
        self.tally.of.ended(entry.result);
        if entry.result == Outcome::Lost {
            let says = "a call that ended is recorded as lost";
            self.auditor.find("ends", Some(flight.no), self.now, says);
        }
    }

    // === the world ===

    fn turn(&mut self, turn: &Turn) {
        match turn {
            Turn::Crash => self.crash(),
            Turn::Cut(part, is_cut) => self.cut(part, *is_cut),
            Turn::Jump(span) => self.now = self.now.plus(*span),
            Turn::Ledger(mood) => self.ledger.set_mood(*mood),
            Turn::Order(order) => self.order(order),
            Turn::Reload(grid) => self.reload(*grid),
        }
    }

    /// The process ends and another starts: it knows the grid, the rules and the cuts, and no call.
    fn crash(&mut self) {
        self.tally.of.crashes += 1;
        self.flights.clear();
        self.auditor.calls.clear();
        self.auditor.lanes = Lanes::default();
        self.auditor.desks = Desks::default();
        self.tally.of.lost += self.ledger.crash(self.now);
        self.board = Board::new(self.truth.snapshot.clone(), Vec::new());
        for part in self.truth.cut.clone() {
            self.apply(&part, true);
        }
    }

    fn reload(&mut self, grid: usize) {
        let Some(snapshot) = self.world.grids.get(grid) else {
            return;
        };
        self.tally.of.reloads += 1;
        let before = std::mem::replace(&mut self.truth.snapshot, snapshot.clone());
        self.truth.grid = grid;
        self.board.carry(snapshot.clone(), Vec::new());
        let truth = &self.truth;
        self.auditor
            .lanes
            .keep(|lane| truth.has(lane), |channel| truth.has_channel(channel));
        self.auditor.desks.keep(|channel| truth.has_channel(channel));
        // What the grid before did not name could not be cut in it.
        for part in self.truth.cut.clone() {
            let known = match &part {
                Part::Channel(ix) => before.channel_named(&format!("c{ix}")).is_some(),
                Part::Component(name) => before.component_named(name).is_some(),
            };
            if !known {
                self.apply(&part, true);
            }
        }
    }

    fn cut(&mut self, part: &Part, is_cut: bool) {
        self.tally.of.cuts += 1;
        if is_cut {
            self.truth.cut.insert(part.clone());
        } else {
            self.truth.cut.remove(part);
        }
        self.apply(part, is_cut);
    }

    fn apply(&mut self, part: &Part, is_cut: bool) {
        let (board, snapshot) = (&mut self.board, &self.truth.snapshot);
        match part {
            Part::Channel(channel) => {
                let Some(ix) = snapshot.channel_named(&format!("c{channel}")) else {
                    return;
                };
                if is_cut {
                    board.fleet.cut_channel(ix);
                } else {
                    board.fleet.restore_channel(ix);
                    self.auditor.lanes.restore(*channel);
                }
            }
            Part::Component(name) => {
                let Some(ix) = snapshot.component_named(name) else {
                    return;
                };
                if is_cut {
                    board.fleet.cut_component(ix);
                } else {
                    board.fleet.restore_component(ix);
                }
            }
        }
    }

    fn order(&mut self, order: &Order) {
        self.tally.of.orders += 1;
        self.truth.order(order);
        for no in self.flights.keys().copied().collect::<Vec<_>>() {
            self.with(no, |shell, flight| {
                if flight.call.attempt_under_way().is_some() {
                    shell.reconsider(flight, order.in_flight);
                }
            });
        }
    }
}

/// A claim on a channel, which limits no money.
const fn on_channel(tokens: u64, at: Tick) -> Claim {
    Claim {
        at,
        nano: Nano(0),
        tokens,
    }
}

fn input(act: Act) -> Input {
    match act {
        Act::End { complete } => Input::End { complete },
        Act::Fault(fault) => Input::Fault(fault),
        Act::Mark(mark) => Input::Mark(mark),
        Act::Opened => Input::Opened { status: 200 },
    }
}

/// A call as the auditor meets it.
fn watched(call: &Call, arrival: &Arrival, now: Tick) -> Watched {
    let (intake, settings, grid) = (call.intake(), *call.settings(), call.snapshot().clone());
    let whole = Span::from_ms(settings.call_ms.into());
    let name = grid.ask_name(&intake.ask);
    let of_pool = match intake.ask {
        Ask::Pool(ix) => grid.pool(ix),
        _ => None,
    };
    Watched {
        asked: None,
        attempts: Vec::new(),
        bars_resume: false,
        began: now,
        budgeted: intake.subject.has_budget() || of_pool.is_some_and(|pool| pool.limits.has_budget()),
        candidates: call.candidates().iter().map(|c| lane(&grid, *c)).collect(),
        cause: Cause::Other,
        cause_at: now,
        charged: None,
        closes: 0,
        decision: None,
        decisions: 0,
        denied: 0,
        durable: false,
        final_fault: None,
        held_channel: None,
        held_key: None,
        in_scope: name.is_some_and(|name| intake.subject.scope.allows(name)),
        limit: arrival.deadline.map_or(whole, |deadline| deadline.min(whole)),
        looked_at: None,
        outgrown: None,
        party: number(&intake.subject.party),
        patience: arrival.patience,
        released: false,
        reply: None,
        seen_out: 0,
        settings,
        stream: arrival.stream,
        taken: false,
        waits: Waits::default(),
        wake: None,
        whole: false,
        grid,
    }
}

//! A small live gateway without sockets: the real `Call`, `Fleet` and `Desk`, calls one after the other, channels that
//! answer by a script.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{
    Call, CallId, Desk, DeskReply, Dialect, Effect, Fault, FaultKind, Fleet, GridRecord, Input, Intake,
    Limits, Mark, Ruling, Scope, Seed, Snapshot, Span, Stop, Subject, Tick, Usage, Verdict,
};

use crate::grids::Ledger;
use crate::random::START;

pub(crate) struct Live {
    arrivals: u64,
    desk: Desk,
    pub(crate) fleet: Fleet,
    ledger: Ledger,
    now: Tick,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// How one call goes.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Denied channels and held channels.
    pub(crate) denied: Vec<&'static str>,
    pub(crate) faults: BTreeMap<&'static str, FaultKind>,
    pub(crate) first_content: Span,
    /// Between arrivals; longer than three failed attempts and an answer.
    pub(crate) gap: Span,
    pub(crate) held: Vec<&'static str>,
    pub(crate) party: &'static str,
    pub(crate) usage: Option<Usage>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            denied: Vec::new(),
            faults: BTreeMap::new(),
            first_content: Span::from_ms(200),
            gap: Span::from_s(2),
            held: Vec::new(),
            party: "p1",
            usage: Some(Usage {
                input: 1_000,
                output: 100,
                ..Usage::default()
            }),
        }
    }
}

impl Script {
    pub(crate) fn failing(mut self, channel: &'static str, kind: FaultKind) -> Self {
        self.faults.insert(channel, kind);
        self
    }

    pub(crate) fn by(mut self, party: &'static str) -> Self {
        self.party = party;
        self
    }
}

impl Live {
    pub(crate) fn new(record: &GridRecord) -> Self {
        let mut ledger = Ledger::default();
        Self {
            arrivals: 0,
            desk: Desk::default(),
            fleet: Fleet::default(),
            snapshot: ledger.archive(record),
            ledger,
            now: START,
        }
    }

    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Calls are decided under another grid from here on.
    pub(crate) fn reload(&mut self, record: &GridRecord) {
        self.snapshot = self.ledger.archive(record);
        self.fleet = Fleet::default();
    }

    /// Carry one call to its end, and record it; returns who answered.
    pub(crate) fn call(&mut self, ask: &str, script: &Script) -> Option<(Arc<str>, Arc<str>)> {
        // The same chance as a drill's: how long a breaker waits for a probe is drawn from the call's id.
        let draw = self.arrivals;
        self.arrivals += 1;
        self.now = START.plus(Span(self.arrivals * script.gap.0));
        let intake = Intake {
            affinity: None,
            answers: 1,
            ask: self.snapshot.resolve(ask),
            body_bytes: 4_000,
            call: CallId::new(self.now, draw.into()),
            deadline: None,
            dialect: Dialect::OpenaiChat,
            end_use: None,
            features: tieline_core::FeatureSet::EMPTY,
            is_budgeted: false,
            is_deterministic: false,
            media: 0,
            output_tokens_max: None,
            patience: None,
            prefill: 0,
            stream: true,
            subject: Arc::new(Subject {
                desk_ix: 0,
                key: "k".into(),
                lapse: None,
                limits: Limits::default(),
                party: script.party.into(),
                party_desk_ix: 0,
                party_digest: [0; 32],
                party_limits: Limits::default(),
                posture: 0,
                scope: Scope::All,
            }),
        };
        let mut call = Call::new(self.snapshot.clone(), intake, Seed(draw), self.now);
        while let Some(effect) = call.poll() {
            self.serve(&mut call, &effect, script);
        }
        assert!(call.is_over());
        let by = call.answered_by()?;
        Some(self.names(by))
    }

    fn names(&self, candidate: Candidate) -> (Arc<str>, Arc<str>) {
        let channel = self.snapshot.channel(candidate.channel).unwrap().name.clone();
        (
            channel,
            self.snapshot.model(candidate.model).unwrap().name.clone(),
        )
    }

    fn serve(&mut self, call: &mut Call, effect: &Effect, script: &Script) {
        let limits = |row: u8| {
            let channel = call.candidate(row).unwrap().channel;
            (channel, self.snapshot.channel(channel).unwrap().limits)
        };
        let input = match *effect {
            Effect::Judge { rows } => {
                let asked = call
                    .candidates()
                    .iter()
                    .zip(0..)
                    .filter(|(_, ix)| rows & (1 << ix) != 0);
                let verdicts = asked.map(|(c, _)| self.verdict(*c, script)).collect();
                Input::Verdicts(verdicts)
            }
            Effect::Look => {
                let view = self.fleet.view(&self.snapshot, call.candidates(), self.now);
                Input::View(Box::new(view))
            }
            Effect::ReserveKey { .. } => Input::Desk(DeskReply::Granted),
            Effect::ReserveChannel { row, .. } => {
                let (channel, limits) = limits(row);
                Input::Desk(self.desk.reserve_channel(
                    channel,
                    &terms(&limits),
                    call.asker(),
                    &call.channel_claim(),
                    self.now,
                ))
            }
            Effect::SettleChannel { row, used, .. } => {
                let (channel, limits) = limits(row);
                return self.desk.settle_channel(
                    channel,
                    &terms(&limits),
                    call.asker(),
                    &call.channel_claim(),
                    used.as_ref(),
                    self.now,
                );
            }
            Effect::Observe(observation) => return self.fleet.observe(observation, self.now),
            Effect::Record { .. } => {
                self.ledger.decision(&call.decision_entry());
                Input::Recorded { taken: true }
            }
            Effect::Close => return self.ledger.outcome(&call.outcome_entry()),
            Effect::Dial { row, .. } => return self.dial(call, row, script),
            _ => return,
        };
        call.handle(input, self.now);
    }

    fn verdict(&self, candidate: Candidate, script: &Script) -> Arc<Verdict> {
        let (channel, _) = self.names(candidate);
        let ruling = match &*channel {
            name if script.denied.contains(&name) => Ruling::Deny,
            name if script.held.contains(&name) => Ruling::Hold,
            _ => Ruling::Allow,
        };
        Arc::new(Verdict {
            consumes: Arc::default(),
            ruling,
            epoch: 1,
            obligations: Arc::default(),
            rules: Arc::new([]),
            valid_until: None,
        })
    }

    /// A fault after 50 ms, or first content, by default after 200 ms, and the end 700 ms later.
    fn dial(&mut self, call: &mut Call, row: u8, script: &Script) {
        let (channel, _) = self.names(call.candidate(row).unwrap());
        call.handle(Input::Opened { status: 200 }, self.now);
        if let Some(kind) = script.faults.get(&*channel) {
            self.now = self.now.plus(Span::from_ms(50));
            let fault = Fault::new(*kind, tieline_core::Phase::Head);
            return call.handle(Input::Fault(fault), self.now);
        }
        self.now = self.now.plus(script.first_content);
        self.feed(call, Input::Mark(Mark::Content(3)), script);
        self.now = self.now.plus(Span::from_ms(700));
        if let Some(usage) = script.usage {
            self.feed(call, Input::Mark(Mark::Usage(usage)), script);
        }
        self.feed(call, Input::Mark(Mark::Stop(Stop::End)), script);
        call.handle(Input::End { complete: true }, self.now);
    }

    fn feed(&mut self, call: &mut Call, input: Input, script: &Script) {
        call.handle(input, self.now);
        while let Some(effect) = call.poll() {
            self.serve(call, &effect, script);
        }
    }
}

fn terms(limits: &Limits) -> tieline_core::Terms<'_> {
    tieline_core::Terms { limits, quota: None }
}

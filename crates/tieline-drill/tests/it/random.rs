//! Random ledgers: each call is driven by the real machine through a random world and random facts, under one of two grids
//! (a reload lies between), and recorded as the gateway would record it.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::call::Loss;
use tieline_core::grid::{RecordMode, Settings};
use tieline_core::record::OutcomeEntry;
use tieline_core::{
    Ask, Bucket, BucketOwner, Call, CallId, Code, DeskReply, Dialect, Effect, Fault, FaultKind, GridRecord,
    Health, Input, Intake, Limits, Mark, ROWS_MAX, Row, Rule, Ruling, Scope, Seed, Snapshot, Span, Stop,
    Subject, Tick, Usage, Verdict, View,
};

use crate::grids::{Ledger, pool, small_grid};

pub(crate) const START: Tick = Tick(1_781_284_860_000_000);

/// Everything about one call that chance decides.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    acts: Vec<Act>,
    ask: usize,
    body_bytes: u64,
    denied: [Option<DeskReply>; ROWS_MAX],
    health: [Health; ROWS_MAX],
    key_denied: Option<DeskReply>,
    ledger_takes: bool,
    out: [bool; ROWS_MAX],
    output_max: Option<u32>,
    rulings: [Ruling; ROWS_MAX],
    seed: u64,
    /// How the record ends: with the outcome, without it, or as lost.
    ending: Ending,
    stream: bool,
    wait_us: u64,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Lost,
    Open,
    Recorded,
}

#[derive(Clone, Debug)]
enum Act {
    /// Give the answer that was asked for longest ago.
    Answer,
    Input(Input),
    Wait(u64),
    /// Sleep until the deadline.
    Wake,
}

/// The names that calls ask for; the last two are not in the grid.
const ASKS: [&str; 7] = [
    "frontier",
    "sonnet-only",
    "cheap",
    "sonnet",
    "strict",
    "gpt-9",
    "no such thing",
];

/// The grid of the first half, or with other prices, order and settings, of the second.
pub(crate) fn grid_version(second: bool) -> GridRecord {
    let mut record = small_grid();
    let mut strict = pool("strict", &["gpt", "sonnet"]);
    strict.settings = Settings {
        attempts_max: 2,
        call_ms: 30_000,
        record: RecordMode::Strict,
        ..crate::grids::in_order()
    };
    record.pools.push(strict);
    for channel in &mut record.channels {
        channel.components.push("power:all".into());
    }
    if second {
        record.channels.swap(0, 2);
        record.channels[1].models[0].price = None;
        record.pools[0].settings.first_content_ms = 2_000;
    }
    record
}

pub(crate) fn fates(max: usize) -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(fate(), 1..max)
}

fn fate() -> impl Strategy<Value = Fate> {
    let denied = (any::<bool>(), 1_u64..100).prop_map(|(told, s)| DeskReply::Denied {
        bucket: Bucket::TokensPerMinute,
        free_at: told.then(|| START.plus(Span::from_s(s))),
        in_flight: false,
        owner: BucketOwner::Channel,
        shed: false,
    });
    let rows = (
        prop::array::uniform8(prop_oneof![8 => Just(None), 1 => denied.clone().prop_map(Some)]),
        prop::array::uniform8(prop_oneof![
            4 => Just(Health::Closed),
            1 => Just(Health::Ailing),
            1 => Just(Health::Open),
            1 => Just(Health::Probe),
        ]),
        prop::array::uniform8(prop::bool::weighted(0.1)),
        prop::array::uniform8(
            prop_oneof![8 => Just(Ruling::Allow), 1 => Just(Ruling::Hold), 1 => Just(Ruling::Deny)],
        ),
    );
    let key = prop_oneof![12 => Just(None), 1 => denied.prop_map(Some)];
    let ending = prop_oneof![10 => Just(Ending::Recorded), 1 => Just(Ending::Open), 1 => Just(Ending::Lost)];
    let request = (
        0..ASKS.len(),
        0_u64..100_000,
        prop::option::of(0_u32..5_000),
        any::<bool>(),
        any::<u64>(),
    );
    (
        rows,
        key,
        ending,
        request,
        prop::bool::weighted(0.95),
        0_u64..3_000_000,
        acts(),
    )
        .prop_map(
            |((denied, health, out, rulings), key_denied, ending, request, ledger_takes, wait_us, acts)| {
                let (ask, body_bytes, output_max, stream, seed) = request;
                Fate {
                    acts,
                    ask,
                    body_bytes,
                    denied,
                    health,
                    key_denied,
                    ledger_takes,
                    out,
                    output_max,
                    rulings,
                    seed,
                    ending,
                    stream,
                    wait_us,
                }
            },
        )
}

const FAULTS: [FaultKind; 8] = [
    FaultKind::Client,
    FaultKind::Connect,
    FaultKind::Garbage,
    FaultKind::Legal,
    FaultKind::Overload,
    FaultKind::Rate,
    FaultKind::Reset,
    FaultKind::Transient,
];

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let usage = (0_u64..9, 0_u64..9).prop_map(|(input, output)| Usage {
        input,
        output,
        ..Usage::default()
    });
    let mark = prop_oneof![
        6 => (0_u32..4).prop_map(Mark::Content),
        1 => Just(Mark::Tool),
        1 => Just(Mark::Thinking),
        2 => usage.prop_map(Mark::Usage),
        1 => Just(Mark::Stop(Stop::End)),
    ];
    let fault = (0..FAULTS.len(), prop::option::of(400_u16..600)).prop_map(|(ix, status)| {
        let mut fault = Fault::new(FAULTS[ix], tieline_core::Phase::Head);
        fault.status = status;
        fault
    });
    let loss = Loss {
        path: "messages[0].cache_control".into(),
        why: "the dialect has no such field".into(),
    };
    let input = prop_oneof![
        8 => mark.prop_map(Input::Mark),
        2 => Just(Input::Opened { status: 200 }),
        3 => Just(Input::End { complete: true }),
        1 => Just(Input::End { complete: false }),
        3 => fault.prop_map(Input::Fault),
        2 => Just(Input::Durable),
        1 => Just(Input::ClientGone),
        1 => Just(Input::Timer),
        1 => Just(Input::Loss(Arc::new([loss]))),
    ];
    let act = prop_oneof![
        5 => Just(Act::Answer),
        9 => input.prop_map(Act::Input),
        3 => (0_u64..9_000_000).prop_map(Act::Wait),
        1 => Just(Act::Wake),
    ];
    prop::collection::vec(act, 0..40)
}

/// Record all calls, the second half of them under the second grid; entries in order of time.
pub(crate) fn record(fates: &[Fate]) -> Ledger {
    let mut ledger = Ledger::default();
    let grids = [false, true].map(|second| ledger.archive(&grid_version(second)));
    let mut dated: Vec<(Tick, Vec<u8>)> = Vec::new();
    let mut now = START;
    for (ix, fate) in fates.iter().enumerate() {
        now = now.plus(Span(fate.wait_us));
        let grid = &grids[usize::from(ix >= fates.len() / 2)];
        let mut one = Ledger::default();
        Recording::new(grid, fate, ix, now).run(&mut one);
        let at = |entry: &Vec<u8>| {
            let value: serde_json::Value = serde_json::from_slice(entry).unwrap();
            Tick(value["at"].as_u64().unwrap())
        };
        dated.extend(one.entries.into_iter().map(|entry| (at(&entry), entry)));
    }
    dated.sort_by_key(|(at, _)| *at);
    ledger.entries = dated.into_iter().map(|(_, entry)| entry).collect();
    ledger
        .entries
        .push(br#"{"at":1,"id":"x","t":"tieline/activation/v1"}"#.to_vec());
    ledger
}

struct Recording<'f> {
    answers: VecDeque<Input>,
    call: Call,
    fate: &'f Fate,
    now: Tick,
    stands: bool,
}

impl<'f> Recording<'f> {
    fn new(grid: &Arc<Snapshot>, fate: &'f Fate, ix: usize, now: Tick) -> Self {
        let ask = if fate.body_bytes % 40 == 7 {
            Ask::Unreadable(Code::BodyNotJson)
        } else {
            grid.resolve(ASKS[fate.ask])
        };
        let intake = Intake {
            affinity: None,
            answers: 1,
            ask,
            body_bytes: fate.body_bytes,
            call: CallId::new(now, ix as u128),
            deadline: None,
            dialect: Dialect::AnthropicMessages,
            end_use: None,
            features: tieline_core::FeatureSet::EMPTY,
            is_budgeted: false,
            is_deterministic: false,
            media: 0,
            output_tokens_max: fate.output_max,
            patience: None,
            prefill: 0,
            stream: fate.stream,
            subject: Arc::new(Subject {
                desk_ix: 0,
                key: "k".into(),
                lapse: None,
                limits: Limits::default(),
                party: ["p1", "p2", "p3"][ix % 3].into(),
                party_desk_ix: 0,
                party_digest: [9; 32],
                party_limits: Limits::default(),
                posture: 2,
                scope: if fate.seed.is_multiple_of(16) {
                    Scope::Names(Arc::new(["cheap".into()]))
                } else {
                    Scope::All
                },
            }),
        };
        Self {
            answers: VecDeque::new(),
            call: Call::new(grid.clone(), intake, Seed(fate.seed), now),
            fate,
            now,
            stands: false,
        }
    }

    fn run(mut self, ledger: &mut Ledger) {
        self.drain(ledger);
        for act in self.fate.acts.clone() {
            self.act(act, ledger);
        }
        for _ in 0..60 {
            self.act(Act::Answer, ledger);
            if self.answers.is_empty() {
                self.act(Act::Wake, ledger);
            }
        }
        assert!(self.call.is_over());
    }

    fn act(&mut self, act: Act, ledger: &mut Ledger) {
        let input = match act {
            Act::Answer => self.answers.pop_front(),
            Act::Input(input) => Some(input),
            Act::Wait(us) => {
                self.now = self.now.plus(Span(us));
                None
            }
            Act::Wake => self.call.deadline().map(|(at, _)| {
                self.now = self.now.max(at);
                Input::Timer
            }),
        };
        if let Some(input) = input {
            self.call.handle(input, self.now);
            self.drain(ledger);
        }
    }

    fn drain(&mut self, ledger: &mut Ledger) {
        while let Some(effect) = self.call.poll() {
            let fate = self.fate;
            let granted = |denied: Option<DeskReply>| Input::Desk(denied.unwrap_or(DeskReply::Granted));
            let answer = match effect {
                Effect::Judge { rows } => {
                    let asked = (0..self.call.candidates().len()).filter(|ix| rows & (1 << ix) != 0);
                    Input::Verdicts(asked.map(|ix| verdict(fate.rulings[ix])).collect())
                }
                Effect::Look => Input::View(Box::new(self.view())),
                Effect::ReserveKey { .. } => granted(fate.key_denied),
                Effect::ReserveChannel { row, .. } => granted(fate.denied[usize::from(row)]),
                Effect::Record { .. } => {
                    self.stands = fate.ledger_takes;
                    if self.stands {
                        ledger.decision(&self.call.decision_entry());
                    }
                    Input::Recorded { taken: self.stands }
                }
                Effect::Close => {
                    assert!(self.stands);
                    match fate.ending {
                        Ending::Lost => {
                            ledger.outcome(&OutcomeEntry::lost(self.call.intake().call, self.now));
                        }
                        Ending::Open => {}
                        Ending::Recorded => ledger.outcome(&self.call.outcome_entry()),
                    }
                    continue;
                }
                _ => continue,
            };
            self.answers.push_back(answer);
        }
    }

    fn view(&self) -> View {
        let rows = (0..self.call.candidates().len()).map(|ix| Row {
            health: self.fate.health[ix],
            in_flight: 1,
            out: self.fate.out[ix],
            ttft_us: (ix > 0).then_some(900),
            ..Row::default()
        });
        View { rows: rows.collect() }
    }
}

fn verdict(ruling: Ruling) -> Arc<Verdict> {
    Arc::new(Verdict {
        consumes: Arc::default(),
        ruling,
        epoch: 12,
        obligations: Arc::default(),
        rules: Arc::new([Rule {
            citation: "company policy 7".into(),
            id: "company/seven".into(),
            reason: "Seven is enough".into(),
        }]),
        valid_until: Some(START.plus(Span::from_s(86_400))),
    })
}

//! Failover never widens access: over random grids, rules, directives and parties, and whatever faults, limits and open
//! breakers come, a call is only ever dialled where the verdict of that moment is allow. The real call, fleet, desk and
//! judge, driven as the gateway drives them, with an activation at any point between.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tieline_core::grid::{
    Candidate, ChannelRecord, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::{
    Call, CallId, Desk, Dialect, Effect, Fault, FaultKind, Fleet, GridRecord, Health, Input, Intake, Limits,
    Mark, Phase, ROWS_MAX, Ruling, Scope, Seed, Snapshot, Span, Subject, Tick, Verdict,
};
use tieline_policy::{
    Action, EndUseIx, Epoch, Judge, Lineage, Order, Overlay, Pack, PartyFacts, Postures, Question, RegionIx,
    Source, Status, Targets,
};

const START: Tick = Tick(1_781_284_860_000_000);
const COUNTRIES: [&str; 3] = ["CN", "DE", "US"];
const MODELS: [&str; 3] = ["m0", "m1", "m2"];
const PROVIDERS: [&str; 2] = ["anthropic", "openai"];
const CALLS: u64 = 12;

/// Everything that chance decides.
#[derive(Clone, Debug)]
struct Fate {
    channels: Vec<Way>,
    directive: (u8, usize),
    /// What becomes of each dial, over and over.
    ends: Vec<End>,
    party: (Option<usize>, Option<bool>),
    rules: Vec<(usize, usize, bool)>,
    /// Between which steps the directive comes into force, or goes.
    swaps: Vec<bool>,
}

/// A channel: the models that it serves, its country, its operator's, its provider, and its limit of requests.
#[derive(Clone, Debug)]
struct Way {
    country: Option<usize>,
    limit: Option<u32>,
    models: u8,
    operator: Option<usize>,
    provider: usize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Fault(usize),
    /// It says something, then fails.
    Late(usize),
    Served,
    /// Nothing comes until a limit passes.
    Silence,
}

const FAULTS: [FaultKind; 6] = [
    FaultKind::Connect,
    FaultKind::Garbage,
    FaultKind::Overload,
    FaultKind::Rate,
    FaultKind::Reset,
    FaultKind::Transient,
];

fn fates() -> impl Strategy<Value = Fate> {
    let country = || prop::option::weighted(0.8, 0..COUNTRIES.len());
    let limit = prop::option::weighted(0.2, 1_u32..4);
    let way = (1_u8..8, country(), country(), 0..PROVIDERS.len(), limit).prop_map(
        |(models, country, operator, provider, limit)| Way {
            country,
            limit,
            models,
            operator,
            provider,
        },
    );
    let faults = prop_oneof![4 => (0..FAULTS.len()).prop_map(End::Fault), 1 => Just(End::Silence)];
    let mixed = prop_oneof![
        3 => Just(End::Served),
        3 => (0..FAULTS.len()).prop_map(End::Fault),
        1 => (0..FAULTS.len()).prop_map(End::Late),
        1 => Just(End::Silence),
    ];
    // In some worlds everything fails, so that every breaker opens.
    let ends = prop_oneof![
        prop::collection::vec(faults, 1..9),
        prop::collection::vec(mixed, 1..9)
    ];
    let rules = prop::collection::vec((0..6_usize, 0..COUNTRIES.len(), any::<bool>()), 0..4);
    let party = (country(), prop::option::of(any::<bool>()));
    let channels = prop::collection::vec(way, 1..7);
    let swaps = prop::collection::vec(prop::bool::weighted(0.3), 1..9);
    (channels, (1_u8..8, 0..4_usize), ends, party, rules, swaps).prop_map(
        |(mut channels, directive, ends, party, rules, swaps)| {
            // No more ways than a call may have.
            let mut ways = 0;
            channels.retain(|way| {
                ways += way.models.count_ones() as usize;
                ways <= ROWS_MAX
            });
            Fate {
                channels,
                directive,
                ends,
                party,
                rules,
                swaps,
            }
        },
    )
}

fn named(mask: u8) -> impl Iterator<Item = &'static str> {
    let named = MODELS.into_iter().enumerate();
    named
        .filter(move |(ix, _)| mask & (1 << ix) != 0)
        .map(|(_, name)| name)
}

impl Fate {
    fn grid(&self) -> Snapshot {
        let code = |ix: Option<usize>| ix.map(|ix| Arc::from(COUNTRIES[ix]));
        let served = |name: &'static str| ServedRecord {
            price_list: None,
            model: name.into(),
            name: name.into(),
            price: None,
            version: None,
        };
        let channel = |(way, ix): (&Way, usize)| ChannelRecord {
            components: Vec::new(),
            dialect: Dialect::OpenaiChat,
            limits: Limits {
                requests_per_minute: way.limit,
                ..Limits::default()
            },
            media_tokens_max: None,
            quota: None,
            models: named(way.models).map(served).collect(),
            name: format!("c{ix}").into(),
            operator_jurisdiction: code(way.operator),
            provider: PROVIDERS[way.provider].into(),
            region: Some(format!("r{ix}").into()),
            region_country: code(way.country),
        };
        let model = |name: &'static str| ModelRecord {
            lab: "lab".into(),
            name: name.into(),
            weights: Weights::Closed,
            ..ModelRecord::default()
        };
        let settings = Settings {
            attempts_max: 8,
            ..Settings::default()
        };
        let record = GridRecord {
            channels: self.channels.iter().zip(0..).map(channel).collect(),
            components: [].into(),
            labs: vec![LabRecord {
                jurisdiction: Some("US".into()),
                name: "lab".into(),
            }],
            models: MODELS.into_iter().map(model).collect(),
            pools: vec![PoolRecord {
                limits: Limits::default(),
                models: MODELS.into_iter().map(Arc::from).collect(),
                name: "pool".into(),
                settings,
            }],
            settings,
            prices: std::collections::BTreeMap::new(),
            t: GRID_V1.into(),
        };
        Snapshot::build(Arc::new(record), [7; 32]).unwrap()
    }

    fn pack(&self) -> Pack {
        let manifest = "id = \"random\"\nversion = \"1\"\ntitle = \"T\"\nstatus = \"company\"\nvalid_from = 2026-01-01\n\
                        recorded_at = 2026-01-01\nnotice = \"This is not legal advice.\"\ncovers = []\ndoes_not_cover = []\n";
        let mut rules =
            "@id(\"all\") @citation(\"c\") @reason(\"R.\") permit (principal, action, resource);\n"
                .to_owned();
        for (ix, (kind, value, holds)) in self.rules.iter().enumerate() {
            let (country, provider) = (COUNTRIES[*value], PROVIDERS[*value % 2]);
            let when = match kind {
                0 => {
                    format!("context has region_country && context.region_country == Country::\"{country}\"")
                }
                1 => format!("context has region && context.region == \"r{value}\""),
                2 => format!("context.channel.provider == \"{provider}\""),
                3 => format!(
                    "context.channel has operator_jurisdiction && \
                     context.channel.operator_jurisdiction == Country::\"{country}\""
                ),
                4 => "!(context has region_country)".to_owned(),
                _ => {
                    format!("principal has jurisdiction && principal.jurisdiction == Country::\"{country}\"")
                }
            };
            let effect = if *holds { "@effect(\"hold\") " } else { "" };
            writeln!(
                rules,
                "@id(\"r{ix}\") @citation(\"c\") @reason(\"R.\") {effect}forbid (principal, action, resource) \
                 when {{ {when} }};"
            )
            .unwrap();
        }
        let source = |path: &str, text: &str| Source {
            path: path.into(),
            text: text.into(),
        };
        Pack::parse(&[source("pack.toml", manifest), source("rules.cedar", &rules)]).unwrap()
    }

    fn party(&self) -> PartyFacts {
        let (jurisdiction, is_person) = self.party;
        let mut facts = serde_json::Map::new();
        if let Some(ix) = jurisdiction {
            facts.insert("jurisdiction".into(), COUNTRIES[ix].into());
        }
        if let Some(is_person) = is_person {
            let kind = if is_person { "person" } else { "organisation" };
            facts.insert("kind".into(), kind.into());
        }
        serde_json::from_value(facts.into()).unwrap()
    }

    fn overlay(&self, epoch: &Epoch) -> Overlay {
        let (models, who) = self.directive;
        let models: Vec<String> = named(models).map(|name| format!("{name:?}")).collect();
        let who = match who {
            0 => "who.parties = [\"p_1\"]",
            1 => "who.parties = [\"p_2\"]",
            2 => "who.condition = 'principal has jurisdiction && principal.jurisdiction == Country::\"DE\"'",
            _ => "who.condition = 'context has region_country && context.region_country == Country::\"US\"'",
        };
        let text = format!(
            "t = \"tieline/directive/v1\"\nid = \"d\"\nversion = 1\nissuer = \"I\"\nauthority = \"A\"\ntitle = \"T\"\n\
             reason = \"R.\"\nissued = 2026-01-01T00:00:00Z\nvalid_from = 2026-01-01T00:00:00Z\neffect = \"deny\"\n\
             in_flight = \"finish\"\nscope.models = [{}]\n{who}\n",
            models.join(", ")
        );
        let Order::Directive(directive) = Order::parse("order.toml", &text).unwrap() else {
            panic!("it is a directive");
        };
        let lineage: Lineage = Arc::new(|party| vec![Arc::from(party)]);
        Overlay::build(2, vec![directive], epoch, lineage).unwrap()
    }
}

/// What came of all runs, so that a test that tries nothing fails.
#[derive(Debug, Default)]
struct Seen {
    dials: Cell<usize>,
    /// Dials over open breakers, since no closed one was left.
    panics: Cell<usize>,
    /// Candidates that were passed over at a dial, because they are refused.
    spared: Cell<usize>,
}

struct World<'f> {
    desk: Desk,
    dials: usize,
    fate: &'f Fate,
    fleet: Fleet,
    grid: Arc<Snapshot>,
    judges: [Judge; 2],
    laid: bool,
    now: Tick,
    posture: u32,
    seen: &'f Seen,
    steps: usize,
}

impl<'f> World<'f> {
    fn new(fate: &'f Fate, seen: &'f Seen) -> Self {
        let grid = Arc::new(fate.grid());
        let epoch = Arc::new(Epoch::build(1, vec![fate.pack()], &[Status::Company]).unwrap());
        let postures = Arc::new(Postures::new());
        let posture = postures.intern(&fate.party()).unwrap();
        let targets = Arc::new(Targets::of_grid(&grid, &[]).unwrap());
        let base = Judge::new(epoch.clone(), targets, postures);
        let laid = base.with_overlay(Arc::new(fate.overlay(&epoch)));
        Self {
            desk: Desk::default(),
            dials: 0,
            fate,
            fleet: Fleet::default(),
            grid,
            judges: [base, laid],
            laid: false,
            now: START,
            posture,
            seen,
            steps: 0,
        }
    }

    fn verdict(&self, candidate: Candidate) -> Arc<Verdict> {
        let question = Question {
            action: Action::Call,
            channel: candidate.channel,
            end_use: EndUseIx::UNSTATED,
            model: candidate.model,
            posture: self.posture,
            region: RegionIx::OWN,
        };
        self.judges[usize::from(self.laid)].verdict(question, "p_1", self.now)
    }

    /// One call, from its arrival to its end.
    fn call(&mut self, n: u64) {
        let intake = Intake {
            affinity: None,
            answers: 1,
            ask: self.grid.resolve("pool"),
            body_bytes: 100,
            call: CallId::new(self.now, u128::from(n)),
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
            stream: n.is_multiple_of(2),
            subject: Arc::new(Subject {
                desk_ix: 0,
                key: "k".into(),
                lapse: None,
                limits: Limits::default(),
                party: "p_1".into(),
                party_desk_ix: 0,
                party_digest: [9; 32],
                party_limits: Limits::default(),
                posture: self.posture,
                scope: Scope::All,
            }),
        };
        let mut call = Call::new(self.grid.clone(), intake, Seed(n), self.now);
        let mut end = self.drain(&mut call);
        for _ in 0..200 {
            if call.is_over() {
                return;
            }
            self.step();
            end = if let Some(end) = end {
                self.end(&mut call, end)
            } else {
                let (at, _) = call.deadline().expect("a call that waits has a deadline");
                self.now = self.now.max(at);
                self.feed(&mut call, Input::Timer)
            };
        }
        panic!("the call does not end");
    }

    /// Time passes, and an order may come or go.
    fn step(&mut self) {
        self.now = self.now.plus(Span(20_000));
        self.steps += 1;
        let swaps = &self.fate.swaps;
        self.laid ^= swaps[self.steps % swaps.len()];
    }

    fn end(&mut self, call: &mut Call, end: End) -> Option<End> {
        match end {
            End::Silence => None,
            End::Fault(ix) => self.feed(call, Input::Fault(Fault::new(FAULTS[ix], Phase::Head))),
            End::Late(ix) => {
                let _ = self.feed(call, Input::Opened { status: 200 });
                let _ = self.feed(call, Input::Mark(Mark::Content(1)));
                self.feed(call, Input::Fault(Fault::new(FAULTS[ix], Phase::Body)))
            }
            End::Served => {
                let _ = self.feed(call, Input::Opened { status: 200 });
                let _ = self.feed(call, Input::Mark(Mark::Content(1)));
                self.feed(call, Input::End { complete: true })
            }
        }
    }

    fn feed(&mut self, call: &mut Call, input: Input) -> Option<End> {
        call.handle(input, self.now);
        self.drain(call)
    }

    /// Every effect, as the gateway does them; what becomes of the dial if there was one.
    fn drain(&mut self, call: &mut Call) -> Option<End> {
        let mut end = None;
        while let Some(effect) = call.poll() {
            let limits = |row: u8| {
                let channel = call.candidate(row).unwrap().channel;
                (channel, self.grid.channel(channel).unwrap().limits)
            };
            let input = match effect {
                Effect::Judge { rows } => {
                    let asked = call.candidates().iter().zip(0_u8..);
                    let asked = asked.filter(|(_, row)| rows & (1 << row) != 0);
                    Input::Verdicts(asked.map(|(candidate, _)| self.verdict(*candidate)).collect())
                }
                Effect::Look => {
                    let view = self.fleet.view(&self.grid, call.candidates(), self.now);
                    Input::View(Box::new(view))
                }
                Effect::ReserveKey { claim } => {
                    let payers = call.intake().subject.payers(None);
                    Input::Desk(self.desk.reserve(&payers, &claim))
                }
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
                Effect::Record { .. } => Input::Recorded { taken: true },
                Effect::Dial { row, .. } => {
                    end = Some(self.dialled(call, row));
                    continue;
                }
                Effect::Observe(observation) => {
                    self.fleet.observe(observation, self.now);
                    continue;
                }
                Effect::SettleChannel { row, used, .. } => {
                    let (channel, limits) = limits(row);
                    self.desk.settle_channel(
                        channel,
                        &terms(&limits),
                        call.asker(),
                        &call.channel_claim(),
                        used.as_ref(),
                        self.now,
                    );
                    continue;
                }
                Effect::SettleKey { charged, claim, used } => {
                    let payers = call.intake().subject.payers(None);
                    self.desk
                        .settle(&payers, &claim, charged, used.as_ref(), self.now);
                    continue;
                }
                Effect::Cancel { .. } | Effect::Close | Effect::Release | Effect::Reply(_) => continue,
            };
            call.handle(input, self.now);
        }
        end
    }

    /// The law.
    fn dialled(&mut self, call: &Call, row: u8) -> End {
        let candidate = call.candidate(row).unwrap();
        let verdict = self.verdict(candidate);
        assert_eq!(
            verdict.ruling,
            Ruling::Allow,
            "{candidate:?} is dialled against {verdict:?}"
        );
        let count = |counter: &Cell<usize>, more: usize| counter.set(counter.get() + more);
        count(&self.seen.dials, 1);
        let refused = |one: &&Candidate| self.verdict(**one).ruling != Ruling::Allow;
        count(
            &self.seen.spared,
            call.candidates().iter().filter(refused).count(),
        );
        let view = self.fleet.view(&self.grid, &[candidate], self.now);
        count(
            &self.seen.panics,
            usize::from(view.rows[0].health == Health::Open),
        );
        self.dials += 1;
        self.fate.ends[self.dials % self.fate.ends.len()]
    }
}

#[test]
fn failover_never_widens_access() {
    let seen = Seen::default();
    let config = Config {
        cases: 128,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&fates(), |fate| {
            let mut world = World::new(&fate, &seen);
            for n in 0..CALLS {
                world.call(n);
            }
            Ok(())
        })
        .unwrap();
    let counts = [&seen.dials, &seen.panics, &seen.spared].map(Cell::get);
    assert!(
        counts.iter().all(|count| *count > 20),
        "dials, panics, spared: {counts:?}"
    );
}

fn terms(limits: &Limits) -> tieline_core::Terms<'_> {
    tieline_core::Terms { limits, quota: None }
}

//! A grid, a party, a judge, a fleet and a desk, and the shell's part of a call with all waiting left out.

use std::sync::Arc;

use arrayvec::ArrayVec;
use tieline_core::grid::{
    ChannelRecord, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::{
    Call, CallId, Desk, Dialect, Effect, Fleet, GridRecord, Input, Intake, Limits, Price, ROWS_MAX, Scope,
    Seed, Snapshot, Subject, Tick,
};
use tieline_policy::{
    Action, EndUseIx, Epoch, Judge, Pack, PartyFacts, Postures, Question, RegionIx, Source, Status, Targets,
};

/// The first instant of every run.
pub(crate) const NOW: Tick = Tick(1_781_284_860_000_000);

/// What a gateway shares among calls.
#[derive(Debug)]
pub struct World {
    pub desk: Desk,
    pub fleet: Fleet,
    pub judge: Judge,
    pub snapshot: Arc<Snapshot>,
    subject: Arc<Subject>,
    /// Steps of the call before, to be used again.
    buffers: tieline_core::call::Buffers,
    calls: u64,
}

/// What a set-up can fail with; the bodies and packs are fixed, so it does not.
pub type SetUp<T> = Result<T, Box<dyn std::error::Error>>;

impl World {
    /// Pool `same` is model `m` on channels `a` and `b` of OpenAI's dialect, pool `cross` is model `n` on channel `c` of
    /// Anthropic's. The demo pack enforces; the key has limits that do not bind.
    pub fn new() -> SetUp<Self> {
        let record = serde_json::to_vec(&grid())?;
        let snapshot = Snapshot::build(Arc::new(grid()), tieline_note::sha256(&record).0)?;
        let file = |path: &str, text: &str| Source {
            path: path.into(),
            text: text.into(),
        };
        let pack = Pack::parse(&[
            file("pack.toml", include_str!("../../packs/demo/pack.toml")),
            file("rules.cedar", include_str!("../../packs/demo/rules.cedar")),
        ]);
        let problems = |problems: Vec<tieline_policy::PackProblem>| format!("{problems:?}");
        let epoch = Epoch::build(1, vec![pack.map_err(problems)?], &[Status::Company]).map_err(problems)?;
        let postures = Arc::new(Postures::new());
        let facts: PartyFacts = serde_json::from_str(r#"{"class":"enterprise","jurisdiction":"DE"}"#)?;
        let posture = postures.intern(&facts)?;
        let targets = Arc::new(Targets::of_grid(&snapshot, &[])?);
        let limits = Limits {
            requests_per_minute: Some(u32::MAX),
            ..Limits::default()
        };
        let subject = Subject {
            desk_ix: 0,
            key: "k_bench".into(),
            lapse: None,
            limits,
            party: "p_bench".into(),
            party_desk_ix: 0,
            party_digest: [1; 32],
            party_limits: Limits::default(),
            posture,
            scope: Scope::All,
        };
        Ok(Self {
            calls: 0,
            desk: Desk::default(),
            fleet: Fleet::default(),
            judge: Judge::new(Arc::new(epoch), targets, postures),
            snapshot: Arc::new(snapshot),
            buffers: tieline_core::call::Buffers::default(),
            subject: Arc::new(subject),
        })
    }

    /// A call for `model`, driven until the core dials or refuses.
    pub fn decide(&mut self, model: &str, body_bytes: u64, is_stream: bool) -> Call {
        self.calls += 1;
        let intake = Intake {
            affinity: None,
            answers: 1,
            ask: self.snapshot.resolve(model),
            body_bytes,
            call: CallId::new(NOW, self.calls.into()),
            deadline: None,
            dialect: Dialect::OpenaiChat,
            end_use: None,
            features: tieline_core::FeatureSet::EMPTY,
            is_budgeted: false,
            is_deterministic: false,
            media: 0,
            output_tokens_max: Some(256),
            patience: None,
            prefill: 0,
            stream: is_stream,
            subject: self.subject.clone(),
        };
        let buffers = std::mem::take(&mut self.buffers);
        let (snapshot, seed) = (self.snapshot.clone(), Seed(self.calls));
        let mut call = Call::with_buffers(snapshot, intake, seed, self.now(), buffers);
        self.drain(&mut call, &mut |_, _| {});
        call
    }

    /// Give a call's buffers back.
    pub fn end(&mut self, mut call: Call) {
        self.buffers = call.take_buffers();
    }

    pub fn feed(&mut self, call: &mut Call, input: Input, record: &mut dyn FnMut(&Call, &Effect)) {
        call.handle(input, self.now());
        self.drain(call, record);
    }

    /// Do every effect; `record` sees those that write entries.
    pub fn drain(&mut self, call: &mut Call, record: &mut dyn FnMut(&Call, &Effect)) {
        let now = self.now();
        while let Some(effect) = call.poll() {
            match effect {
                Effect::Judge { rows } => {
                    let mut verdicts = ArrayVec::<_, ROWS_MAX>::new();
                    for (candidate, row) in call.candidates().iter().zip(0_u8..) {
                        if rows & (1 << row) != 0 {
                            let question = Question {
                                action: Action::Call,
                                channel: candidate.channel,
                                end_use: EndUseIx::UNSTATED,
                                model: candidate.model,
                                posture: self.subject.posture,
                                region: RegionIx::OWN,
                            };
                            let _ = verdicts.try_push(self.judge.verdict(question, &self.subject.party, now));
                        }
                    }
                    call.handle(Input::Verdicts(verdicts), now);
                }
                Effect::Look => {
                    let view = self.fleet.view(&self.snapshot, call.candidates(), now);
                    let view = call.place(view);
                    call.handle(Input::View(view), now);
                }
                Effect::ReserveKey { claim } => {
                    let reply = self.desk.reserve(&self.subject.payers(None), &claim);
                    call.handle(Input::Desk(reply), now);
                }
                Effect::ReserveChannel { row, .. } => {
                    let candidate = call.candidate(row);
                    let channel =
                        candidate.and_then(|at| Some((at, self.snapshot.channel(at.channel)?.terms())));
                    if let Some((candidate, terms)) = channel {
                        let (asker, claim) = (call.asker(), call.channel_claim());
                        let reply = self
                            .desk
                            .reserve_channel(candidate.channel, &terms, asker, &claim, now);
                        call.handle(Input::Desk(reply), now);
                    }
                }
                Effect::Record { .. } => {
                    record(call, &effect);
                    call.handle(Input::Recorded { taken: true }, now);
                }
                Effect::Observe(observation) => self.fleet.observe(observation, now),
                Effect::SettleChannel { row, used, .. } => {
                    let candidate = call.candidate(row);
                    let channel =
                        candidate.and_then(|at| Some((at, self.snapshot.channel(at.channel)?.terms())));
                    if let Some((candidate, terms)) = channel {
                        let (asker, claim) = (call.asker(), call.channel_claim());
                        self.desk.settle_channel(
                            candidate.channel,
                            &terms,
                            asker,
                            &claim,
                            used.as_ref(),
                            now,
                        );
                    }
                }
                Effect::SettleKey { charged, claim, used } => {
                    let payers = self.subject.payers(None);
                    self.desk.settle(&payers, &claim, charged, used.as_ref(), now);
                }
                Effect::Close => record(call, &effect),
                Effect::Cancel { .. } | Effect::Dial { .. } | Effect::Release | Effect::Reply(_) => {}
            }
        }
    }

    /// A millisecond for each call.
    fn now(&self) -> Tick {
        Tick(NOW.0 + self.calls * 1_000)
    }
}

fn grid() -> GridRecord {
    let model = |name: &str| ModelRecord {
        context_tokens: Some(128_000),
        lab: "lab".into(),
        name: name.into(),
        training_flop: Some("3e24".into()),
        weights: Weights::Open,
        ..ModelRecord::default()
    };
    let channel = |name: &str, dialect, model: &str, components: &[&str]| ChannelRecord {
        components: components.iter().map(|&component| component.into()).collect(),
        dialect,
        limits: Limits {
            requests_per_minute: Some(u32::MAX),
            ..Limits::default()
        },
        media_tokens_max: None,
        quota: None,
        models: vec![ServedRecord {
            price_list: None,
            model: model.into(),
            name: format!("far-{model}").into(),
            price: Some(Price::default()),
            version: None,
        }],
        name: name.into(),
        operator_jurisdiction: None,
        provider: if dialect == Dialect::OpenaiChat {
            "openai_compatible".into()
        } else {
            "anthropic_compatible".into()
        },
        region: Some("eu-central-1".into()),
        region_country: None,
    };
    let pool = |name: &str, model: &str| PoolRecord {
        limits: Limits::default(),
        models: vec![model.into()],
        name: name.into(),
        settings: Settings::default(),
    };
    GridRecord {
        channels: vec![
            channel("a", Dialect::OpenaiChat, "m", &["cloud:one", "region:one/east"]),
            channel("b", Dialect::OpenaiChat, "m", &["cloud:two", "region:two/east"]),
            channel(
                "c",
                Dialect::AnthropicMessages,
                "n",
                &["cloud:two", "region:two/west"],
            ),
        ],
        labs: vec![LabRecord {
            jurisdiction: Some("FR".into()),
            name: "lab".into(),
        }],
        models: vec![model("m"), model("n")],
        pools: vec![pool("same", "m"), pool("cross", "n")],
        prices: std::collections::BTreeMap::new(),
        t: GRID_V1.into(),
        ..GridRecord::default()
    }
}

//! Tests of the call: a scripted world answers what the call asks, scripts of words feed it facts, and what it did is
//! compared as words. Whatever a script does, the call must keep the laws of [`World::check_laws`], its replay included.

mod cases;
mod choice;
mod laws;
mod money;
mod resume;

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::desk::{Bucket, Limits};
use crate::fault::{FaultKind, Phase};
use crate::fleet::{Health, Row};
use crate::grid::tests::two_channels_record;
use crate::grid::{ChannelRecord, GridRecord, ModelRecord, PoolRecord, RecordMode, ServedRecord};
use crate::id::CallId;
use crate::problem::{Code, Retry};
use crate::record::{DecisionEntry, Outcome, OutcomeEntry};
use crate::subject::{Ask, Dialect, Scope, Subject};
use crate::verdict::{Rule, Ruling};

const START: Tick = Tick(1_781_284_860_000_000);

/// How the world answers a call, and what it saw of it.
struct World {
    /// Answers that were asked for and not given yet, for scripts in which the world is slow.
    answers: VecDeque<Input>,
    call: Call,
    channel_limits: [Option<DeskReply>; ROWS_MAX],
    decision: Option<DecisionEntry>,
    health: [Health; ROWS_MAX],
    key_limit: Option<DeskReply>,
    ledger_takes: bool,
    now: Tick,
    out: [bool; ROWS_MAX],
    /// What the fleet says of each candidate beside its health and whether it is out.
    rows: [Row; ROWS_MAX],
    rulings: [Ruling; ROWS_MAX],
    seen: Vec<Effect>,
    slow: bool,
    words: Vec<String>,
}

/// Pool `p`: model `m` on channels `a` and `b`, then model `n` on channel `c`.
fn three_channels(settings: Settings) -> Arc<Snapshot> {
    let mut record: GridRecord = two_channels_record();
    record.models.push(ModelRecord {
        name: "n".into(),
        ..record.models[0].clone()
    });
    record.channels.push(ChannelRecord {
        components: vec!["cloud:west".into()],
        dialect: Dialect::OpenaiChat,
        limits: Limits::default(),
        media_tokens_max: None,
        quota: None,
        models: vec![ServedRecord {
            price_list: None,
            model: "n".into(),
            name: "n".into(),
            price: None,
            version: None,
        }],
        name: "c".into(),
        provider: "openai-compatible".into(),
        region: None,
        operator_jurisdiction: None,
        region_country: None,
    });
    record.pools = vec![PoolRecord {
        limits: Limits::default(),
        models: vec!["m".into(), "n".into()],
        name: "p".into(),
        settings,
    }];
    Arc::new(Snapshot::build(Arc::new(record), [7; 32]).unwrap())
}

fn intake(ask: Ask, scope: Scope) -> Intake {
    Intake {
        affinity: None,
        answers: 1,
        ask,
        body_bytes: 400,
        call: CallId::new(START, 1),
        deadline: None,
        dialect: Dialect::OpenaiChat,
        end_use: None,
        features: crate::FeatureSet::EMPTY,
        is_budgeted: false,
        is_deterministic: false,
        media: 0,
        output_tokens_max: Some(100),
        patience: None,
        prefill: 0,
        stream: true,
        subject: Arc::new(Subject {
            desk_ix: 0,
            key: "k1".into(),
            lapse: None,
            limits: Limits::default(),
            party: "p1".into(),
            party_desk_ix: 0,
            party_digest: [1; 32],
            party_limits: Limits::default(),
            posture: 3,
            scope,
        }),
    }
}

fn verdict(ruling: Ruling) -> Arc<Verdict> {
    let rules: Arc<[Rule]> = match ruling {
        Ruling::Allow => Arc::new([]),
        Ruling::Hold | Ruling::Deny => Arc::new([Rule {
            citation: "15 CFR 744".into(),
            id: "pack/rule".into(),
            reason: "It is so".into(),
        }]),
    };
    Arc::new(Verdict {
        consumes: Arc::default(),
        ruling,
        epoch: 4,
        obligations: Arc::default(),
        rules,
        valid_until: None,
    })
}

const fn limited(bucket: Bucket, free_at: Option<Tick>) -> DeskReply {
    DeskReply::Denied {
        bucket,
        free_at,
        in_flight: false,
        owner: crate::BucketOwner::Key,
        shed: false,
    }
}

const DEFAULTS: Settings = Settings {
    attempts_max: 3,
    call_ms: 60_000,
    choice: crate::grid::Choice::Balanced,
    connect_ms: 2_000,
    criticality: crate::Criticality::CriticalPlus,
    first_content_ms: 20_000,
    head_ms: 10_000,
    hold_ms: 0,
    hold_tokens: 0,
    idle_ms: 15_000,
    output_tokens_max: 50,
    record: RecordMode::Async,
    resume: crate::grid::Resume::Off,
    unknown_price: crate::grid::UnknownPrice::Record,
    whole_ms: 30_000,
};

const ROW: Row = Row {
    barred: false,
    free_at: None,
    full: false,
    health: Health::Closed,
    in_flight: 2,
    lacks: crate::FeatureSet::EMPTY,
    out: false,
    ttft_us: Some(1_500),
};

const STRICT: Settings = Settings {
    record: RecordMode::Strict,
    ..DEFAULTS
};

// === impl World ===

impl World {
    fn new(settings: Settings) -> Self {
        Self::asking(settings, Ask::Pool(crate::PoolIx(0)), Scope::All)
    }

    fn asking(settings: Settings, ask: Ask, scope: Scope) -> Self {
        let call = Call::new(
            three_channels(settings),
            intake(ask, scope),
            Seed(0xdead_beef_0000_0001),
            START,
        );
        Self {
            answers: VecDeque::new(),
            call,
            channel_limits: [None; ROWS_MAX],
            decision: None,
            health: [Health::Closed; ROWS_MAX],
            key_limit: None,
            ledger_takes: true,
            now: START,
            out: [false; ROWS_MAX],
            rows: [ROW; ROWS_MAX],
            rulings: [Ruling::Allow; ROWS_MAX],
            seen: Vec::new(),
            slow: false,
            words: Vec::new(),
        }
    }

    /// Run a script of words, after the call's first questions are answered.
    fn run(mut self, script: &str) -> Self {
        self.settle();
        for line in script.split(',').map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "wait" => self.now = self.now.plus(Span::from_ms(rest.parse().unwrap())),
                "wake" => {
                    self.now = self.call.deadline().unwrap().0;
                    self.feed(Input::Timer);
                }
                _ => self.feed(input(word, rest)),
            }
        }
        self
    }

    fn feed(&mut self, input: Input) {
        self.call.handle(input, self.now);
        self.settle();
    }

    /// Drain the effects; give the answers at once unless the world is slow.
    fn settle(&mut self) {
        loop {
            let before = self.seen.len();
            while let Some(effect) = self.call.poll() {
                self.see(&effect);
                self.seen.push(effect);
            }
            assert!(
                self.seen.len() - before <= EFFECTS_MAX,
                "one input gave too many effects"
            );
            match self.answers.pop_front() {
                Some(answer) if !self.slow => self.call.handle(answer, self.now),
                Some(answer) => return self.answers.push_front(answer),
                None => return,
            }
        }
    }

    fn see(&mut self, effect: &Effect) {
        self.words.push(word(effect));
        self.learn(effect);
        let answer = match effect {
            Effect::Judge { rows } => Input::Verdicts(
                (0..ROWS_MAX)
                    .filter(|ix| rows & (1 << ix) != 0)
                    .map(|ix| verdict(self.rulings[ix]))
                    .collect(),
            ),
            Effect::Look => Input::View(Box::new(self.view())),
            Effect::ReserveKey { .. } => Input::Desk(self.key_limit.unwrap_or(DeskReply::Granted)),
            Effect::ReserveChannel { row, .. } => {
                Input::Desk(self.channel_limits[usize::from(*row)].unwrap_or(DeskReply::Granted))
            }
            Effect::Record { .. } => {
                self.decision = Some(self.call.decision_entry());
                Input::Recorded {
                    taken: self.ledger_takes,
                }
            }
            _ => return,
        };
        self.answers.push_back(answer);
    }

    /// The fleet keeps what a lane lacks.
    fn learn(&mut self, effect: &Effect) {
        if let Effect::Observe(Observation {
            channel,
            model,
            seen: crate::Seen::Lack(feature),
            ..
        }) = effect
        {
            let lane = (*channel, *model);
            let rows = self.call.candidates().iter().zip(&mut self.rows);
            for (_, row) in rows.filter(|(candidate, _)| (candidate.channel, candidate.model) == lane) {
                row.lacks.insert(*feature);
            }
        }
    }

    fn view(&self) -> View {
        let rows = self
            .health
            .iter()
            .zip(self.out)
            .take(self.call.candidates().len());
        View {
            rows: rows
                .zip(self.rows)
                .map(|((health, out), row)| Row {
                    free_at: row.free_at.filter(|at| self.now < *at),
                    health: *health,
                    out,
                    ..row
                })
                .collect(),
        }
    }

    /// What the call did since the script began, without the questions that lead to the first dial.
    fn after_dial(&self) -> String {
        let start = self.words.iter().position(|w| w.starts_with("dial")).unwrap();
        self.words[start..].join(" ")
    }

    fn outcome(&self) -> OutcomeEntry {
        self.call.outcome_entry()
    }

    fn refusal(&self) -> &Problem {
        match self.call.ending() {
            Some(Ending::Refused(problem) | Ending::Broken(problem)) => problem,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn count(&self, of: impl Fn(&Effect) -> bool) -> usize {
        self.seen.iter().filter(|effect| of(effect)).count()
    }

    fn position(&self, of: impl Fn(&Effect) -> bool) -> Option<usize> {
        self.seen.iter().position(of)
    }

    /// What holds of every call that is over.
    fn check_laws(&self) {
        assert!(self.call.is_over());
        let replies = self.count(|e| matches!(e, Effect::Reply(_)));
        let abandoned = self.call.ending() == Some(&Ending::Abandoned);
        assert_eq!(
            replies,
            usize::from(!abandoned),
            "one reply unless the caller left"
        );
        let recorded = self.position(|e| matches!(e, Effect::Record { .. }));
        let closes = self.count(|e| matches!(e, Effect::Close));
        let stands = recorded.is_some() && self.ledger_takes;
        assert_eq!(
            closes,
            usize::from(stands),
            "one outcome for each decision that stands"
        );
        assert!(self.count(|e| matches!(e, Effect::Record { .. })) <= 1);
        let dial = self.position(|e| matches!(e, Effect::Dial { .. }));
        assert!(dial.is_none_or(|dial| recorded.is_some_and(|record| record < dial)));
        self.check_reservations();
        self.check_steps();
        if stands {
            self.check_replay();
            self.check_money();
            self.check_recount();
        }
    }

    /// Every granted reservation is settled exactly once, with what was reserved.
    fn check_reservations(&self) {
        let key_granted = self.key_limit.is_none();
        let asked = self.count(|e| matches!(e, Effect::ReserveKey { .. }));
        let settled = self.count(|e| matches!(e, Effect::SettleKey { claim, .. } if claim.tokens == 200));
        assert_eq!(
            settled,
            if key_granted { asked } else { 0 },
            "the key's reservation"
        );
        for row in 0_u8..8 {
            let granted = self.channel_limits[usize::from(row)].is_none();
            let asked = self.count(|e| matches!(e, Effect::ReserveChannel { row: r, .. } if *r == row));
            let settled =
                self.count(|e| matches!(e, Effect::SettleChannel { row: r, reserved: 200, .. } if *r == row));
            assert_eq!(
                settled,
                if granted { asked } else { 0 },
                "the reservation on row {row}"
            );
        }
    }

    /// A recount from the ledger counts the tokens that were settled.
    fn check_recount(&self) {
        let settled = self.seen.iter().find_map(|effect| match effect {
            Effect::SettleKey { used, .. } => Some(used),
            _ => None,
        });
        if let Some(used) = settled {
            assert_eq!(self.outcome().used(), *used, "a recount after a restart");
        }
    }

    fn check_steps(&self) {
        let mut marks = 0;
        for step in self.call.steps.as_slice() {
            match step.fact {
                Fact::Mark(_) => marks += 1,
                Fact::Verdicts(_) => marks = 0,
                _ => {}
            }
            assert!(marks <= MARKS_MAX, "an attempt recorded {marks} marks");
        }
    }

    /// What the budgets are charged is within what was reserved, and never less than what the outcome says that it cost.
    fn check_money(&self) {
        let outcome = self.outcome();
        let reserved = self.decision.as_ref().and_then(|decision| decision.reserved_nano);
        let Some((reserved, charged)) = reserved.zip(outcome.charged_nano) else {
            return assert_eq!(reserved, outcome.charged_nano);
        };
        let overrun = outcome.usage.map_or(0, |usage| usage.output * 2_000);
        assert!(charged.0 <= reserved.0 + overrun, "{charged} of {reserved}");
        assert!(
            outcome.cost_nano.is_none_or(|cost| cost <= charged),
            "{outcome:?}"
        );
    }

    /// The records, written and read again, replay to themselves.
    fn check_replay(&self) {
        let again = |json: String| serde_json::from_str::<DecisionEntry>(&json).unwrap();
        let decision = again(serde_json::to_string(self.decision.as_ref().unwrap()).unwrap());
        let json = serde_json::to_string(&self.outcome()).unwrap();
        let outcome: OutcomeEntry = serde_json::from_str(&json).unwrap();
        if let Err(difference) = replay(self.call.snapshot(), &decision, Some(&outcome)) {
            panic!("{difference:#?}\n{:#?}", self.call.steps.as_slice());
        }
    }
}

fn input(word: &str, rest: &str) -> Input {
    match word {
        "content" => Input::Mark(Mark::Content(rest.parse().unwrap_or(1))),
        "cut" => Input::End { complete: false },
        "durable" => Input::Durable,
        "end" => Input::End { complete: true },
        "fault" => Input::Fault(fault(rest)),
        "gone" => Input::ClientGone,
        "lost" => Input::NotDurable,
        "opened" => Input::Opened { status: 200 },
        "ordered" => Input::Ordered(verdict(match rest {
            "hold" => Ruling::Hold,
            "allow" => Ruling::Allow,
            _ => Ruling::Deny,
        })),
        "stop" => Input::Mark(Mark::Stop(Stop::End)),
        "thinking" => Input::Mark(Mark::Thinking),
        "tool" => Input::Mark(Mark::Tool),
        "timer" => Input::Timer,
        "usage" => Input::Mark(Mark::Usage(used(rest.parse().unwrap()))),
        other => panic!("no such word: {other}"),
    }
}

fn used(output: u64) -> Usage {
    Usage {
        input: 10,
        output,
        ..Usage::default()
    }
}

fn fault(name: &str) -> Fault {
    let kind = FAULTS.iter().find(|kind| kind.name() == name).unwrap();
    Fault::new(*kind, Phase::Head)
}

const FAULTS: [FaultKind; 17] = [
    FaultKind::Auth,
    FaultKind::Client,
    FaultKind::Connect,
    FaultKind::Content,
    FaultKind::Context,
    FaultKind::Differs,
    FaultKind::Garbage,
    FaultKind::Incapable,
    FaultKind::Legal,
    FaultKind::NotReady,
    FaultKind::Overload,
    FaultKind::Rate,
    FaultKind::Region,
    FaultKind::Reset,
    FaultKind::Spend,
    FaultKind::Timeout,
    FaultKind::Transient,
];

fn word(effect: &Effect) -> String {
    let used = |used: &Option<Usage>| used.map_or("?".into(), |used| used.total().to_string());
    match effect {
        Effect::Cancel { attempt } => format!("cancel-{attempt}"),
        Effect::Close => "close".into(),
        Effect::Dial {
            attempt,
            method: None,
            row,
        } => format!("dial-{attempt}-row{row}"),
        Effect::Dial {
            attempt,
            method: Some(method),
            row,
        } => format!("dial-{attempt}-row{row}-{}", method.name()),
        Effect::Judge { rows } => format!("judge-{rows:03b}"),
        Effect::Look => "look".into(),
        Effect::Observe(Observation { seen, .. }) => match seen {
            crate::Seen::Dial { .. } => "saw-dial".into(),
            crate::Seen::Content { ttft_us } => format!("saw-content-{}ms", ttft_us / 1_000),
            crate::Seen::Done => "saw-done".into(),
            crate::Seen::Lack(feature) => format!("saw-lack-{}", feature.name()),
            crate::Seen::Leave => "saw-leave".into(),
            crate::Seen::Fault(kind, _) => format!("saw-{}", kind.name()),
        },
        Effect::Record { strict } => (if *strict { "record-strict" } else { "record" }).into(),
        Effect::Release => "release".into(),
        Effect::Reply(Reply::Break(problem)) => format!("break-{}", problem.code.name()),
        Effect::Reply(Reply::Finish) => "finish".into(),
        Effect::Reply(Reply::Refuse(problem)) => format!("refuse-{}", problem.code.name()),
        Effect::Reply(Reply::Relay) => "relay".into(),
        Effect::ReserveChannel { row, .. } => format!("ask-row{row}"),
        Effect::ReserveKey { .. } => "ask-key".into(),
        Effect::SettleChannel { row, used: u, .. } => format!("settle-row{row}-{}", used(u)),
        Effect::SettleKey { used: u, .. } => format!("settle-key-{}", used(u)),
    }
}

/// Run a script in a world that allows everything; compare all that follows the first dial; check the laws if it ended.
#[track_caller]
fn check(settings: Settings, script: &str, expected: &str) {
    let world = World::new(settings).run(script);
    assert_eq!(world.after_dial(), expected, "after: {script}");
    if world.call.is_over() {
        world.check_laws();
    }
}

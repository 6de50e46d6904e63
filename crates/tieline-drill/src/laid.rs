//! Traffic laid on a grid: the names that calls were recorded with are resolved once, then any number of cuts is run.
//!
//! A candidate that answered or failed in the record does so again, after the same time. One that the record did not try
//! answers with the recorded usage and timing: that is modelled, not known. A fault that blames the request meets the call
//! on every candidate, a legal block on every channel of the model. Policy says what it said; what it was not asked is
//! not taken as allowed.

use std::sync::Arc;

use arrayvec::ArrayVec;
use tieline_core::grid::Candidate;
use tieline_core::{
    Ask, BucketOwner, CallId, DeskReply, Fault, FaultKind, Intake, Limits, ROWS_MAX, Ruling, Scope, Snapshot,
    Span, Subject, Verdict,
};

use crate::traffic::{Asked, Failure, Kind, NONE, STREAMED, Traffic, TrafficCall};

pub(crate) struct Laid<'t> {
    kinds: Vec<KindOnGrid>,
    /// The lanes of the traffic as candidates of this grid.
    lanes: Vec<Option<Candidate>>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) traffic: &'t Traffic,
}

struct KindOnGrid {
    ask: Ask,
    key_reply: DeskReply,
    subject: Arc<Subject>,
    /// A candidate of this grid that policy was not asked about when the call was recorded.
    unjudged: bool,
    verdicts: ArrayVec<Arc<Verdict>, ROWS_MAX>,
}

/// What a candidate does when it is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) fault: Option<Fault>,
    pub(crate) took: Span,
    /// Time to first content; absent if the attempt failed before any.
    pub(crate) ttft: Option<Span>,
}

impl<'t> Laid<'t> {
    pub(crate) fn new(snapshot: &Arc<Snapshot>, traffic: &'t Traffic) -> Self {
        let lanes = Self::lanes_on(snapshot, traffic);
        let kinds = traffic
            .kinds
            .iter()
            .map(|kind| kind_on_grid(snapshot, traffic, kind, &lanes));
        Self {
            kinds: kinds.collect(),
            lanes,
            snapshot: snapshot.clone(),
            traffic,
        }
    }

    /// The same traffic where an order rules, too; the strictest ruling wins.
    pub(crate) fn ordered(&self, ruled: &dyn Fn(&str, Candidate) -> Ruling) -> Self {
        let kinds = self.kinds.iter().map(|kind| {
            let candidates = self.snapshot.candidates(&kind.ask);
            let candidates = candidates.map_or(&[][..], |(candidates, _)| candidates);
            let verdicts = kind.verdicts.iter().zip(candidates).map(|(before, candidate)| {
                match ruled(&kind.subject.party, *candidate) {
                    ruling if ruling > before.ruling => verdict(ruling),
                    _ => before.clone(),
                }
            });
            KindOnGrid {
                ask: kind.ask.clone(),
                key_reply: kind.key_reply,
                subject: kind.subject.clone(),
                unjudged: kind.unjudged,
                verdicts: verdicts.collect(),
            }
        });
        Self {
            kinds: kinds.collect(),
            lanes: self.lanes.clone(),
            snapshot: self.snapshot.clone(),
            traffic: self.traffic,
        }
    }

    /// The lanes of the traffic as candidates of a grid; those that it does not have are `None`.
    pub(crate) fn lanes_on(snapshot: &Snapshot, traffic: &Traffic) -> Vec<Option<Candidate>> {
        let lanes = traffic.lanes.iter().map(|(channel, model)| {
            let (channel, model) = (snapshot.channel_named(channel)?, snapshot.model_named(model)?);
            let candidates = &snapshot.model(model)?.candidates;
            candidates.iter().copied().find(|c| c.channel == channel)
        });
        lanes.collect()
    }

    pub(crate) fn lane(&self, lane: u16) -> Option<Candidate> {
        self.lanes.get(usize::from(lane)).copied().flatten()
    }

    /// Whether what the call asks for is not in this grid.
    pub(crate) fn is_unmapped(&self, call: &TrafficCall) -> bool {
        let recorded = self.traffic.kinds.get(call.kind as usize);
        let missing = self.kind(call).is_none_or(|kind| kind.ask == Ask::Unknown(None));
        missing && recorded.is_some_and(|kind| kind.ask != Asked::Nothing)
    }

    /// Whether this grid has a candidate for the call that policy was not asked about.
    pub(crate) fn is_unjudged(&self, call: &TrafficCall) -> bool {
        self.kind(call).is_some_and(|kind| kind.unjudged)
    }

    pub(crate) fn intake(&self, call: &TrafficCall, ix: usize) -> Option<Intake> {
        let (kind, shared) = (self.kind(call)?, self.traffic.kinds.get(call.kind as usize)?);
        Some(Intake {
            affinity: None,
            answers: 1,
            ask: kind.ask.clone(),
            body_bytes: u64::from(call.body_bytes),
            call: CallId::new(call.at, ix as u128),
            deadline: None,
            dialect: shared.dialect,
            // Policy says what it said: rulings were recorded with it. How long callers would have waited is left out.
            end_use: None,
            features: tieline_core::FeatureSet::EMPTY,
            is_budgeted: false,
            is_deterministic: false,
            media: 0,
            output_tokens_max: (call.output_max != NONE).then_some(call.output_max),
            patience: None,
            prefill: 0,
            stream: call.flags & STREAMED != 0,
            subject: kind.subject.clone(),
        })
    }

    /// The verdicts on the rows whose bits are set.
    pub(crate) fn verdicts(&self, call: &TrafficCall, rows: u8) -> ArrayVec<Arc<Verdict>, ROWS_MAX> {
        let all = self.kind(call).map_or(&[][..], |kind| kind.verdicts.as_slice());
        let asked = all.iter().zip(0_u8..).filter(|(_, ix)| rows & (1 << ix) != 0);
        asked.map(|(verdict, _)| verdict.clone()).collect()
    }

    pub(crate) fn key_reply(&self, call: &TrafficCall) -> DeskReply {
        self.kind(call).map_or(DeskReply::Granted, |kind| kind.key_reply)
    }

    /// What `candidate` does with this call.
    pub(crate) fn answer(&self, call: &TrafficCall, candidate: Candidate) -> Answer {
        let failures = self.traffic.failures.get(call.failures as usize);
        let failures = failures.map_or(&[][..], |failures| failures);
        let lane = |failure: &Failure| self.lane(failure.lane);
        let own = failures.iter().find(|failure| lane(failure) == Some(candidate));
        let everyones = || {
            failures.iter().find(|failure| {
                let same_model = lane(failure).is_some_and(|c| c.model == candidate.model);
                failure.fault.kind.is_callers() || (failure.fault.kind == FaultKind::Legal && same_model)
            })
        };
        match own.or_else(everyones) {
            Some(failure) => Answer {
                fault: Some(failure.fault),
                took: failure.after,
                ttft: failure.ttft,
            },
            None => Answer {
                fault: None,
                took: Span(call.took_us.into()),
                ttft: Some(Span(call.ttft_us.into())),
            },
        }
    }

    fn kind(&self, call: &TrafficCall) -> Option<&KindOnGrid> {
        self.kinds.get(call.kind as usize)
    }
}

fn kind_on_grid(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    kind: &Kind,
    lanes: &[Option<Candidate>],
) -> KindOnGrid {
    let ask = match &kind.ask {
        Asked::Model(name) => snapshot.model_named(name).map(Ask::Model),
        Asked::Nothing => None,
        Asked::Pool(name) => Some(snapshot.resolve(name)).filter(|ask| matches!(ask, Ask::Pool(_))),
    };
    let ask = ask.unwrap_or(Ask::Unknown(None));
    let candidates = snapshot
        .candidates(&ask)
        .map_or(&[][..], |(candidates, _)| candidates);
    let recorded = |candidate: &Candidate| {
        let of_lane = |lane: &u16| lanes.get(usize::from(*lane)).copied().flatten();
        let found = kind
            .rulings
            .iter()
            .find(|(lane, _)| of_lane(lane).as_ref() == Some(candidate));
        found.map(|(_, ruling)| *ruling)
    };
    let rulings: Vec<Option<Ruling>> = candidates.iter().map(recorded).collect();
    let party = traffic
        .parties
        .get(kind.party as usize)
        .cloned()
        .unwrap_or_else(|| "".into());
    let scope = if kind.in_scope {
        Scope::All
    } else {
        Scope::Names(Arc::new([]))
    };
    KindOnGrid {
        ask,
        key_reply: kind
            .key_denied
            .map_or(DeskReply::Granted, |bucket| DeskReply::Denied {
                bucket,
                free_at: None,
                in_flight: false,
                owner: BucketOwner::Key,
                shed: false,
            }),
        subject: Arc::new(Subject {
            desk_ix: 0,
            key: "".into(),
            lapse: None,
            limits: Limits::default(),
            party,
            party_desk_ix: kind.party,
            party_digest: [0; 32],
            party_limits: Limits::default(),
            posture: 0,
            scope,
        }),
        unjudged: !kind.rulings.is_empty() && rulings.contains(&None),
        // What policy was not asked about is not taken as allowed.
        verdicts: rulings
            .into_iter()
            .take(ROWS_MAX)
            .map(|ruling| verdict(ruling.unwrap_or(Ruling::Deny)))
            .collect(),
    }
}

fn verdict(ruling: Ruling) -> Arc<Verdict> {
    Arc::new(Verdict {
        consumes: Arc::default(),
        ruling,
        epoch: 0,
        obligations: Arc::default(),
        rules: Arc::new([]),
        valid_until: None,
    })
}

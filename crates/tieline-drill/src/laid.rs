//! Traffic laid on grids: the names that calls were recorded with are resolved once on each grid, then any number of
//! timelines is played.
//!
//! A candidate that answered or failed in the record does so again, after the same time. One that the record did not try
//! answers with the recorded usage and timing: that is modelled, not known. A fault that blames the request meets the call
//! on every candidate, a legal block on every channel of the model. Policy says what it said; what it was not asked is
//! not taken as allowed.
//!
//! Bounds: some 400 bytes for each kind of call on each grid, and of those as many as a timeline may have.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;
use tieline_core::grid::{Candidate, Settings};
use tieline_core::{
    Ask, BucketOwner, CallId, DeskReply, Fault, FaultKind, Intake, Limits, Nano, ROWS_MAX, Ruling, Scope,
    Snapshot, Span, Subject,
};

use crate::timeline::Timeline;
use crate::traffic::{Asked, Failure, Kind, NO_LANE, NONE, STREAMED, Traffic, TrafficCall};

#[derive(Clone)]
pub(crate) struct Laid<'t> {
    grids: Vec<OnGrid>,
    /// Every channel × model that the traffic met or a grid serves, by name, those of the traffic first and under its
    /// numbers.
    lanes: Vec<Lane>,
    lane_ix: BTreeMap<(Arc<str>, Arc<str>), LaneIx>,
    pub(crate) traffic: &'t Traffic,
}

/// A model on a channel, by name: the same on every grid.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) channel: Arc<str>,
    pub(crate) model: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneIx(pub(crate) u32);

/// The traffic on one grid.
#[derive(Clone)]
pub(crate) struct OnGrid {
    kinds: Vec<KindOnGrid>,
    /// The lane of each model that a channel serves, channel by channel.
    served: Vec<Vec<LaneIx>>,
    pub(crate) snapshot: Arc<Snapshot>,
}

#[derive(Clone)]
struct KindOnGrid {
    ask: Ask,
    /// On each candidate, in their order.
    rulings: Rulings,
    subject: Arc<Subject>,
    /// A candidate of this grid that policy was not asked about when the call was recorded.
    unjudged: bool,
}

/// What is ruled on each candidate of a call, in their order.
pub(crate) type Rulings = ArrayVec<Ruling, ROWS_MAX>;

/// What a candidate does when it is dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) fault: Option<Fault>,
    pub(crate) took: Span,
    /// Time to first content; absent if the attempt failed before any.
    pub(crate) ttft: Option<Span>,
}

impl std::fmt::Debug for Laid<'_> {
    /// Not the calls: there may be millions.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let grids = self.grids.len();
        f.debug_struct("Laid")
            .field("grids", &grids)
            .finish_non_exhaustive()
    }
}

impl<'t> Laid<'t> {
    pub(crate) fn new(snapshot: &Arc<Snapshot>, traffic: &'t Traffic) -> Self {
        let mut laid = Self {
            grids: Vec::new(),
            lanes: Vec::new(),
            lane_ix: BTreeMap::new(),
            traffic,
        };
        for (channel, model) in &traffic.lanes {
            laid.lane(channel, model);
        }
        laid.lay(snapshot);
        laid
    }

    /// Whether every grid of a timeline is laid.
    pub(crate) fn has(&self, timeline: &Timeline<'_>) -> bool {
        timeline.grids().all(|grid| self.grid_of(grid).is_some())
    }

    /// Lay the traffic on the grids of a timeline as well.
    pub(crate) fn lay_all(&mut self, timeline: &Timeline<'_>) {
        for grid in timeline.grids() {
            self.lay(grid);
        }
    }

    pub(crate) fn lay(&mut self, snapshot: &Arc<Snapshot>) {
        if self.grid_of(snapshot).is_some() {
            return;
        }
        let mut served = Vec::with_capacity(snapshot.channels.len());
        for channel in &snapshot.channels {
            let models = channel.served.iter().map(|served| {
                let model = snapshot.model(served.model).map(|model| model.name.clone());
                self.lane(&channel.name, &model.unwrap_or_else(|| "".into()))
            });
            served.push(models.collect());
        }
        let mut grid = OnGrid {
            kinds: Vec::new(),
            served,
            snapshot: snapshot.clone(),
        };
        let kinds = self.traffic.kinds.iter().zip(0..);
        let kinds = kinds.map(|(kind, ix)| {
            let subject = self.subject_of(ix);
            kind_on_grid(
                &grid,
                kind,
                subject.unwrap_or_else(|| subject_of(self.traffic, kind)),
            )
        });
        grid.kinds = kinds.collect();
        self.grids.push(grid);
    }

    /// The subject of a kind as the first grid has it, so that all share it.
    fn subject_of(&self, kind: usize) -> Option<Arc<Subject>> {
        Some(self.grids.first()?.kinds.get(kind)?.subject.clone())
    }

    /// The number of a lane, a new one if it has none yet.
    fn lane(&mut self, channel: &Arc<str>, model: &Arc<str>) -> LaneIx {
        let name = (channel.clone(), model.clone());
        if let Some(ix) = self.lane_ix.get(&name) {
            return *ix;
        }
        // The number by which the traffic says that no lane answered stays nobody's.
        if self.lanes.len() == usize::from(NO_LANE) {
            self.lanes.push(Lane {
                channel: "".into(),
                model: "".into(),
            });
        }
        let ix = LaneIx(u32::try_from(self.lanes.len()).unwrap_or(u32::MAX));
        self.lanes.push(Lane {
            channel: channel.clone(),
            model: model.clone(),
        });
        self.lane_ix.insert(name, ix);
        ix
    }

    pub(crate) fn grids(&self) -> &[OnGrid] {
        &self.grids
    }

    /// The grid at `ix`; the first, where there is none, for there always is a first.
    pub(crate) fn grid(&self, ix: usize) -> &OnGrid {
        #[expect(clippy::indexing_slicing, reason = "`new` lays the first grid")]
        self.grids.get(ix).unwrap_or(&self.grids[0])
    }

    /// Which of the grids it is.
    pub(crate) fn grid_of(&self, snapshot: &Snapshot) -> Option<usize> {
        let same = |grid: &OnGrid| grid.snapshot.digest == snapshot.digest;
        self.grids.iter().position(same)
    }

    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub(crate) fn lane_named(&self, lane: LaneIx) -> Option<&Lane> {
        self.lanes.get(usize::try_from(lane.0).ok()?)
    }

    /// A lane as a candidate of a grid, if that has it.
    pub(crate) fn candidate(&self, grid: usize, lane: LaneIx) -> Option<Candidate> {
        let (snapshot, lane) = (&self.grid(grid).snapshot, self.lane_named(lane)?);
        let model = snapshot.model_named(&lane.model)?;
        let channel = snapshot.channel_named(&lane.channel)?;
        let candidates = &snapshot.model(model)?.candidates;
        candidates.iter().copied().find(|c| c.channel == channel)
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

    /// Whether what the call asks for is not in the first grid.
    pub(crate) fn is_unmapped(&self, call: &TrafficCall) -> bool {
        let recorded = self.traffic.kinds.get(call.kind as usize);
        let kind = self.grid(0).kind(call);
        let missing = kind.is_none_or(|kind| kind.ask == Ask::Unknown(None));
        missing && recorded.is_some_and(|kind| kind.ask != Asked::Nothing)
    }

    /// Whether the first grid has a candidate for the call that policy was not asked about.
    pub(crate) fn is_unjudged(&self, call: &TrafficCall) -> bool {
        self.grid(0).kind(call).is_some_and(|kind| kind.unjudged)
    }

    /// A call as it comes in; `draw` is what its id has of chance, of which breakers draw how long they wait.
    pub(crate) fn intake(&self, grid: usize, call: &TrafficCall, draw: u64) -> Option<Intake> {
        let kind = self.grid(grid).kind(call)?;
        let shared = self.traffic.kinds.get(call.kind as usize)?;
        Some(Intake {
            affinity: None,
            answers: 1,
            ask: kind.ask.clone(),
            body_bytes: u64::from(call.body_bytes),
            call: CallId::new(call.at, draw.into()),
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

    /// Limits of keys stand in no ledger: they refuse whom they refused.
    pub(crate) fn key_reply(&self, call: &TrafficCall) -> DeskReply {
        let kind = self.traffic.kinds.get(call.kind as usize);
        kind.and_then(|kind| kind.key_denied)
            .map_or(DeskReply::Granted, |bucket| DeskReply::Denied {
                bucket,
                free_at: None,
                in_flight: false,
                owner: BucketOwner::Key,
                shed: false,
            })
    }

    /// What a lane does with this call, as far as the record says.
    pub(crate) fn answer(&self, call: &TrafficCall, lane: LaneIx) -> Answer {
        let failures = self.traffic.failures.get(call.failures as usize);
        let failures = failures.map_or(&[][..], |failures| failures);
        let own = failures
            .iter()
            .find(|failure| LaneIx(failure.lane.into()) == lane);
        match own.or_else(|| self.everyones(failures, lane)) {
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

    /// A recorded failure on another lane that this one would have had as well.
    fn everyones<'f>(&self, failures: &'f [Failure], lane: LaneIx) -> Option<&'f Failure> {
        let model = |lane: LaneIx| self.lane_named(lane).map(|lane| &lane.model);
        failures.iter().find(|failure| {
            let same_model = || model(LaneIx(failure.lane.into())) == model(lane);
            failure.fault.kind.is_callers() || (failure.fault.kind == FaultKind::Legal && same_model())
        })
    }

    /// What the call costs over a candidate of a grid, if price and usage are known.
    pub(crate) fn cost(&self, grid: usize, call: &TrafficCall, candidate: Candidate) -> Option<Nano> {
        let price = self.grid(grid).snapshot.served(candidate)?.price?;
        price.cost(&call.usage()?)
    }

    pub(crate) fn party(&self, ix: u32) -> String {
        let party = self.traffic.parties.get(ix as usize);
        party.map_or_else(String::new, ToString::to_string)
    }
}

impl OnGrid {
    fn kind(&self, call: &TrafficCall) -> Option<&KindOnGrid> {
        self.kinds.get(call.kind as usize)
    }

    /// What policy said of the candidates of a call.
    pub(crate) fn rulings(&self, call: &TrafficCall) -> &[Ruling] {
        self.rulings_of(call.kind as usize)
    }

    pub(crate) fn rulings_of(&self, kind: usize) -> &[Ruling] {
        self.kinds.get(kind).map_or(&[], |kind| &kind.rulings)
    }

    /// The candidates of a call, in their order.
    pub(crate) fn candidates(&self, call: &TrafficCall) -> &[Candidate] {
        self.candidates_of(call.kind as usize)
    }

    pub(crate) fn candidates_of(&self, kind: usize) -> &[Candidate] {
        let asked = self.kinds.get(kind);
        let asked = asked.and_then(|kind| self.snapshot.candidates(&kind.ask));
        asked.map_or(&[], |(candidates, _)| candidates)
    }

    /// The settings of the calls of a kind.
    pub(crate) fn settings_of(&self, kind: usize) -> Settings {
        let asked = self.kinds.get(kind);
        let asked = asked.and_then(|kind| self.snapshot.candidates(&kind.ask));
        asked.map_or(self.snapshot.settings, |(_, settings)| *settings)
    }

    pub(crate) fn lane(&self, candidate: Candidate) -> Option<LaneIx> {
        let served = self.served.get(usize::from(candidate.channel.0))?;
        served.get(usize::from(candidate.served)).copied()
    }
}

fn kind_on_grid(grid: &OnGrid, kind: &Kind, subject: Arc<Subject>) -> KindOnGrid {
    let snapshot = &grid.snapshot;
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
        let lane = grid.lane(*candidate)?;
        let mut rulings = kind.rulings.iter();
        let found = rulings.find(|(of, _)| *of != NO_LANE && LaneIx((*of).into()) == lane);
        found.map(|(_, ruling)| *ruling)
    };
    let rulings: ArrayVec<Option<Ruling>, ROWS_MAX> =
        candidates.iter().take(ROWS_MAX).map(recorded).collect();
    KindOnGrid {
        ask,
        subject,
        unjudged: !kind.rulings.is_empty() && rulings.contains(&None),
        // What policy was not asked about is not taken as allowed.
        rulings: rulings
            .into_iter()
            .map(|ruling| ruling.unwrap_or(Ruling::Deny))
            .collect(),
    }
}

fn subject_of(traffic: &Traffic, kind: &Kind) -> Arc<Subject> {
    let party = traffic.parties.get(kind.party as usize).cloned();
    let scope = if kind.in_scope {
        Scope::All
    } else {
        Scope::Names(Arc::new([]))
    };
    Arc::new(Subject {
        desk_ix: 0,
        key: "".into(),
        lapse: None,
        limits: Limits {
            criticality: kind.criticality,
            ..Limits::default()
        },
        party: party.unwrap_or_else(|| "".into()),
        party_desk_ix: kind.party,
        party_digest: [0; 32],
        party_limits: Limits::default(),
        posture: 0,
        scope,
    })
}

//! The shared state of decisions: one fleet and one desk, indexed for one grid. A reload moves them to the next grid;
//! a call that began before it still speaks in the old grid's indexes, and is understood by name.

use std::sync::Arc;

use crate::desk::{Asker, Bucket, ChannelClaim, Claim, Desk, DeskReply, Limits, Remaining, Rooms};
use crate::fleet::{Fleet, Health, Observation, Row, View};
use crate::grid::{Candidate, ChannelIx, ModelIx, PoolIx, Snapshot};
use crate::mark::Usage;
use crate::money::Nano;
use crate::subject::{Ask, Intake};
use crate::time::Tick;

#[derive(Debug)]
pub struct Board {
    pub desk: Desk,
    pub fleet: Fleet,
    pub snapshot: Arc<Snapshot>,
    /// Channels that cannot be carried, whatever an operator restores.
    uncarried: Vec<ChannelIx>,
}

impl Board {
    pub fn new(snapshot: Arc<Snapshot>, uncarried: Vec<ChannelIx>) -> Self {
        let mut board = Self {
            desk: Desk::default(),
            fleet: Fleet::default(),
            snapshot,
            uncarried,
        };
        board.hold_out_uncarried();
        board
    }

    /// Move to another grid: what has the same name keeps its state.
    pub fn carry(&mut self, snapshot: Arc<Snapshot>, uncarried: Vec<ChannelIx>) {
        for channel in std::mem::take(&mut self.uncarried) {
            self.fleet.restore_channel(channel);
        }
        self.fleet = self.fleet.carry(&self.snapshot, &snapshot);
        self.desk.carry(&self.snapshot, &snapshot);
        self.snapshot = snapshot;
        self.uncarried = uncarried;
        self.hold_out_uncarried();
    }

    pub fn hold_out_uncarried(&mut self) {
        for channel in &self.uncarried {
            self.fleet.cut_channel(*channel);
        }
    }

    pub fn view(&self, of: &Snapshot, candidates: &[Candidate], now: Tick) -> View {
        if of.digest == self.snapshot.digest {
            return self.fleet.view(&self.snapshot, candidates, now);
        }
        // What the grid no longer has is out.
        let gone = Row {
            health: Health::Open,
            out: true,
            ..Row::default()
        };
        let row = |candidate: &Candidate| {
            let here = self.place(of, *candidate)?;
            self.fleet
                .view(&self.snapshot, &[here], now)
                .rows
                .first()
                .copied()
        };
        View {
            rows: candidates
                .iter()
                .map(|candidate| row(candidate).unwrap_or(gone))
                .collect(),
        }
    }

    pub fn observe(&mut self, of: &Snapshot, observation: Observation, now: Tick) {
        // An attempt's end is owed to its lane even if the channel no longer serves the model.
        let moved = |channel, model| Observation {
            channel,
            model,
            ..observation
        };
        let channel = self.channel(of, observation.channel);
        if let (Some(channel), Some(model)) = (channel, self.model(of, observation.model)) {
            self.fleet.observe(moved(channel, model), now);
        }
    }

    pub fn reserve(
        &mut self,
        of: &Snapshot,
        candidate: Candidate,
        asker: Asker,
        claim: &ChannelClaim,
        now: Tick,
    ) -> DeskReply {
        let here = self.place(of, candidate);
        let limits = here.and_then(|here| self.snapshot.channel(here.channel));
        match (here, limits) {
            (Some(here), Some(limits)) => {
                self.desk
                    .reserve_channel(here.channel, &limits.terms(), asker, claim, now)
            }
            // A channel that is gone has no limit to keep; the view says that it is out.
            _ => DeskReply::Granted,
        }
    }

    pub fn settle(
        &mut self,
        of: &Snapshot,
        candidate: Candidate,
        asker: Asker,
        claim: &ChannelClaim,
        used: Option<&Usage>,
        now: Tick,
    ) {
        // A limit is the channel's, whichever models it serves by now.
        let Some(channel) = self.channel(of, candidate.channel) else {
            return;
        };
        let model = self.model(of, candidate.model);
        if let Some((model, used)) = model.zip(used).filter(|(_, used)| used.answer() > 0) {
            self.desk.had_output(asker.party, model, used.answer());
        }
        let Some(here) = self.snapshot.channel(channel) else {
            return;
        };
        self.desk
            .settle_channel(channel, &here.terms(), asker, claim, used, now);
    }

    /// The claim with the output that the party's calls of the model had lately.
    pub fn estimated(
        &self,
        of: &Snapshot,
        candidate: Candidate,
        party: u32,
        claim: ChannelClaim,
    ) -> ChannelClaim {
        match self.model(of, candidate.model) {
            Some(model) => self.desk.estimated(party, model, claim),
            None => claim,
        }
    }

    /// The fullest limit of a candidate's channel, and how much of it is used, in thousandths; none where it has no limit.
    pub fn fill(&self, of: &Snapshot, candidate: Candidate, now: Tick) -> Option<(Bucket, u64)> {
        let channel = self.channel(of, candidate.channel)?;
        let terms = self.snapshot.channel(channel)?.terms();
        self.desk.channel_fill(channel, &terms, now)
    }

    /// A channel's response headers said what is left.
    pub fn told(&mut self, of: &Snapshot, candidate: Candidate, left: &Remaining, now: Tick) {
        let channel = self.channel(of, candidate.channel);
        let quota = channel.and_then(|channel| Some((channel, self.snapshot.channel(channel)?.quota?)));
        if let Some((channel, quota)) = quota {
            self.desk.correct_channel(channel, &quota, left, now);
        }
    }

    /// Reserve for everybody who pays for a call.
    pub fn reserve_for(&mut self, of: &Snapshot, intake: &Intake, claim: &Claim) -> DeskReply {
        let pool = pool(&self.snapshot, of, intake);
        self.desk.reserve(&intake.subject.payers(pool), claim)
    }

    pub fn settle_for(
        &mut self,
        of: &Snapshot,
        intake: &Intake,
        claim: &Claim,
        charged: Nano,
        used: Option<&Usage>,
        now: Tick,
    ) {
        let pool = pool(&self.snapshot, of, intake);
        self.desk
            .settle(&intake.subject.payers(pool), claim, charged, used, now);
    }

    /// What is left to those who pay for a call.
    pub fn rooms(&self, of: &Snapshot, intake: &Intake, now: Tick) -> Rooms {
        let pool = pool(&self.snapshot, of, intake);
        self.desk.rooms(&intake.subject.payers(pool), now)
    }

    /// A channel of another grid in this one, by its name.
    fn channel(&self, of: &Snapshot, channel: ChannelIx) -> Option<ChannelIx> {
        if of.digest == self.snapshot.digest {
            return Some(channel);
        }
        self.snapshot.channel_named(&of.channel(channel)?.name)
    }

    /// A model of another grid in this one, by its name.
    fn model(&self, of: &Snapshot, model: ModelIx) -> Option<ModelIx> {
        if of.digest == self.snapshot.digest {
            return Some(model);
        }
        self.snapshot.model_named(&of.model(model)?.name)
    }

    /// A candidate of another grid in this one, by its names.
    fn place(&self, of: &Snapshot, candidate: Candidate) -> Option<Candidate> {
        place(of, &self.snapshot, candidate)
    }
}

/// The pool that a call asks for, in the grid `here`, with the limits that it has there.
fn pool<'a>(here: &'a Snapshot, of: &Snapshot, intake: &Intake) -> Option<(PoolIx, &'a Limits)> {
    let Ask::Pool(ix) = intake.ask else { return None };
    let ix = if of.digest == here.digest {
        ix
    } else {
        here.pool_named(&of.pool(ix)?.name)?
    };
    Some((ix, &here.pool(ix)?.limits))
}

/// The candidate of `of` in `to`, by its names; itself if they are one grid.
pub fn place(of: &Snapshot, to: &Snapshot, candidate: Candidate) -> Option<Candidate> {
    if of.digest == to.digest {
        return Some(candidate);
    }
    let channel = to.channel_named(&of.channel(candidate.channel)?.name)?;
    let model = to.model_named(&of.model(candidate.model)?.name)?;
    let served = to
        .channel(channel)?
        .served
        .iter()
        .position(|served| served.model == model)?;
    Some(Candidate {
        channel,
        model,
        served: u16::try_from(served).ok()?,
    })
}

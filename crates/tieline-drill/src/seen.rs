//! What a play shows to whoever asked for it: how each call ended, and what was dialled and filled on the way. It only
//! looks on. Bounds: a byte a channel, and what [`Fills`] holds.

use tieline_core::call::Ending;
use tieline_core::grid::Candidate;
use tieline_core::{Code, Span};

use crate::fill::Fills;
use crate::flights::Flight;
use crate::laid::{Laid, LaneIx};
use crate::world::World;

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

/// What happened on the way to the ends of the calls.
pub(crate) struct Seen {
    pub(crate) attempts: u64,
    /// Whether a channel was dialled, by its index on the grid of the calls that dialled it: of use where all grids of the
    /// timeline have the same channels.
    pub(crate) dialled: Vec<bool>,
    pub(crate) fills: Fills,
}

/// What a play leaves beside the ends of calls.
pub(crate) struct Played<'w> {
    pub(crate) seen: Seen,
    pub(crate) world: World<'w>,
}

impl End {
    /// Of a flight that is over.
    pub(crate) fn of(flight: &Flight<'_>, laid: &Laid<'_>) -> Self {
        let (call, grid) = (&flight.call, flight.grid);
        let lane = |candidate| laid.grid(grid).lane(candidate);
        let answered = call.answered_by();
        let first = flight.attempt.first.and_then(|row| call.candidate(row));
        let how = match call.ending() {
            Some(Ending::Served) => How::Served,
            Some(Ending::Refused(problem)) if problem.code == Code::Held => How::Held,
            _ if answered.is_some() => How::Broken,
            _ => How::Unserved,
        };
        Self {
            answered: answered.and_then(lane),
            by: answered.map(|candidate| (grid, candidate)),
            call: flight.ix,
            first: first.and_then(lane),
            first_content: flight.first_content,
            how,
        }
    }

    /// Of a call that never was one on the grid.
    pub(crate) const fn unserved(call: usize) -> Self {
        Self {
            answered: None,
            by: None,
            call,
            first: None,
            first_content: None,
            how: How::Unserved,
        }
    }
}

impl Seen {
    pub(crate) fn new(laid: &Laid<'_>, channels: usize) -> Self {
        Self {
            attempts: 0,
            dialled: vec![false; channels],
            fills: Fills::new(laid),
        }
    }

    pub(crate) fn dial(&mut self, candidate: Option<Candidate>) {
        self.attempts += 1;
        let channel = candidate.map(|candidate| usize::from(candidate.channel.0));
        if let Some(dialled) = channel.and_then(|channel| self.dialled.get_mut(channel)) {
            *dialled = true;
        }
    }
}

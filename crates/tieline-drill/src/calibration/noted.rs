//! What calibration keeps of each recorded call: the call as traffic has it, and what the record says of its decision.

use std::collections::{BTreeMap, VecDeque};

use tieline_core::call::Why;
use tieline_core::record::{Outcome, PlanRecord};
use tieline_core::{CallId, Code, Digest32};

use super::{CALIBRATED_MAX, CALLS_MIN, Calibration, play};
use crate::archive::Blobs;
use crate::pairs::Pair;
use crate::traffic::{Basis, Builder, Failure, NO_LANE, NONE, Reading, Traffic, TrafficCall, narrow};

/// Keeps the newest calls of a ledger, in the order in which they ended, and plays them at the end.
#[derive(Debug)]
pub(crate) struct Calibrator {
    builder: Builder<'static>,
    noted: VecDeque<Noted>,
}

/// A recorded call.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) call: TrafficCall,
    pub(super) failures: Option<Box<[Failure]>>,
    /// The lane that was dialled first, or [`NO_LANE`].
    pub(super) first: u16,
    /// From its arrival to its first content, µs.
    pub(super) first_content: Option<u32>,
    pub(super) grid: Digest32,
    pub(super) id: CallId,
    pub(super) is_held: bool,
    /// Whether it ended by what a drill is told of.
    pub(super) is_told: bool,
    /// A channel that it may use waited or rested.
    pub(super) is_troubled: bool,
    /// Rows of its plan that an operator had cut, as bits; and those that were surely not cut.
    pub(super) rows_cut: u8,
    pub(super) rows_free: u8,
}

impl Calibrator {
    pub(crate) fn new() -> Self {
        Self {
            builder: Builder::new(Basis::Recorded, None),
            noted: VecDeque::new(),
        }
    }

    /// Take the next call of the ledger.
    pub(crate) fn see(&mut self, pair: &Pair) {
        // How much calls matter by their key is not in the ledger, and what is found is to follow from the ledger alone.
        let criticality = BTreeMap::new();
        let mut call = Reading {
            builder: &mut self.builder,
            criticality: &criticality,
        }
        .call(pair);
        // Kept with the call, so that they go when it goes.
        let failures = (call.failures != NONE).then(|| self.builder.traffic.failures.pop());
        call.failures = NONE;
        let (decision, outcome) = (&*pair.decision, pair.outcome.as_deref());
        let attempts = outcome.map_or(&[][..], |outcome| outcome.attempts.as_slice());
        let first = attempts.first();
        let first = first.map(|attempt| self.builder.lane(&attempt.channel, &attempt.model));
        let content = attempts.last().filter(|_| call.lane != NO_LANE);
        let content = content.and_then(|last| Some(last.dialled_at.plus(last.ttft_us?)));
        let code = outcome.and_then(|outcome| outcome.code);
        let rows = |of: fn(Why) -> bool| bits(&decision.plan, of);
        let noted = Noted {
            failures: failures.flatten(),
            first: first.unwrap_or(NO_LANE),
            first_content: content.map(|at| narrow(at.since(decision.began).0)),
            grid: decision.grid.0,
            id: decision.id,
            is_held: code == Some(Code::Held),
            is_told: is_told(call.result, code),
            is_troubled: rows(is_trouble) != 0,
            rows_cut: rows(|why| why == Why::Out),
            rows_free: rows(|why| is_trouble(why) || is_ready(why)),
            call,
        };
        self.noted.push_back(noted);
        if self.noted.len() > CALIBRATED_MAX {
            self.noted.pop_front();
        }
    }

    /// Play what was seen.
    pub(crate) fn finish(self, blobs: &Blobs<'_>) -> Calibration {
        let mut noted = Vec::from(self.noted);
        noted.sort_by_key(|noted| noted.call.at);
        let half = noted.len() / 2;
        let (learnt_from, calls) = (half as u64, (noted.len() - half) as u64);
        if learnt_from < CALLS_MIN {
            let why = format!("the halves have {learnt_from} and {calls} calls, and each needs {CALLS_MIN}");
            return Calibration::unjudged(learnt_from, calls, why);
        }
        let traffic = traffic(self.builder.traffic, &mut noted);
        match play::Grids::of(&noted, &traffic, blobs) {
            Ok(grids) => play::calibrate(traffic, &noted, &grids),
            Err(why) => Calibration::unjudged(learnt_from, calls, why),
        }
    }
}

/// The calls as traffic, each with its failures again.
fn traffic(shared: Traffic, noted: &mut [Noted]) -> Traffic {
    let mut traffic = shared;
    for noted in noted {
        if let Some(failures) = noted.failures.take() {
            noted.call.failures = narrow(traffic.failures.len() as u64);
            traffic.failures.push(failures);
        }
        traffic.calls.push(noted.call);
    }
    traffic
}

fn bits(plan: &[PlanRecord], of: fn(Why) -> bool) -> u8 {
    let rows = plan.iter().zip(0_u8..8).filter(|(row, _)| of(row.why));
    rows.fold(0, |bits, (_, ix)| bits | 1 << ix)
}

/// What comes of faults: when it passes is drawn.
const fn is_trouble(why: Why) -> bool {
    matches!(
        why,
        Why::Again | Why::Ailing | Why::Barred | Why::Open | Why::Resting | Why::Tried
    )
}

const fn is_ready(why: Why) -> bool {
    matches!(
        why,
        Why::Chosen | Why::Full | Why::Lacking | Why::Limited | Why::Shed | Why::Standby
    )
}

/// Whether a drill knows what made the call end as it did. It knows neither callers that leave, nor budgets, nor what the
/// process that carried the call had to do.
fn is_told(result: Outcome, code: Option<Code>) -> bool {
    let is_untold = code.is_some_and(|code| {
        matches!(
            code,
            Code::BudgetLimit
                | Code::Draining
                | Code::Internal
                | Code::KeySetMissing
                | Code::LedgerFull
                | Code::Overloaded
                | Code::PriceUnknown
                | Code::TranslationImpossible
        )
    });
    !is_untold && !matches!(result, Outcome::Abandoned | Outcome::Lost)
}

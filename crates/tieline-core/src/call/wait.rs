//! What a call waits for when no candidate can be asked: the first that soon can, be it that a breaker's wait ends, that a
//! limit frees, or that the channel which failed may be asked again.
//!
//! Bounds: [`WAIT_MAX`] and a third of the time that is left, in at most [`WAITS_MAX`] looks.

use super::{Call, Stage};
use crate::fault::Fault;
use crate::time::{Span, Tick};

/// Waiting of one call for its candidates, in all: longer, and the caller had better know. At most a third of the time
/// that is left, so that there is time to answer.
const WAIT_MAX: Span = Span::from_s(2);
const WAIT_SHARE: u64 = 3;

/// Looks at candidates that cannot be asked yet: 25 + 50 + 100 + 200 ms at least, and four more views in the decision's
/// entry, of at most 1 KB each with their verdicts.
const WAITS_MAX: u8 = 4;
const WAIT_MIN: Span = Span::from_ms(25);

/// The longest backoff before the first further attempt on a channel; doubled with each.
const BACKOFF_FIRST: Span = Span::from_ms(250);
const BACKOFF_MAX: Span = Span::from_s(8);

impl Call {
    /// No candidate can be asked: wait for the first that soon can, or say why none will.
    pub(super) fn wait_or_refuse(&mut self) {
        let Some(until) = self.wait_until() else {
            return self.refuse_for_want_of_candidates();
        };
        self.waits += 1;
        self.waited = Span(self.waited.0.saturating_add(until.since(self.now).0));
        self.stage = Stage::Wait { until };
    }

    /// When to look again, if that is soon enough.
    fn wait_until(&self) -> Option<Tick> {
        if self.waits >= WAITS_MAX {
            return None;
        }
        let pause = Span(WAIT_MIN.0 << self.waits);
        let soon = self.plan.next_at(self.now)?.max(self.now.plus(pause));
        // Of a probe under way nobody knows when it ends: the last look is not spent on it where another is known to be
        // free by then.
        let is_last = self.waits + 1 == WAITS_MAX;
        let known = self.plan.known_at(self.now).filter(|_| is_last);
        let left = self.limit().since(self.now);
        let most = WAIT_MAX.min(Span(left.0 / WAIT_SHARE));
        let fits = |until: &Tick| Span(self.waited.0.saturating_add(until.since(self.now).0)) <= most;
        [known.map(|at| at.max(soon)), Some(soon)]
            .into_iter()
            .flatten()
            .find(fits)
    }

    /// From when on the row of an attempt that failed may be asked again: after a backoff with full jitter (Brooker,
    /// "Exponential Backoff and Jitter", 2015), and not before the channel said.
    pub(super) fn again_at(&mut self, fault: Fault) -> Option<Tick> {
        let doublings = u32::try_from(self.attempts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let most = BACKOFF_FIRST
            .0
            .checked_shl(doublings)
            .map_or(BACKOFF_MAX.0, |us| us.min(BACKOFF_MAX.0));
        let backoff = Span(self.rng.draw() % (most + 1));
        let asked = Span::from_ms(fault.retry_after_ms.unwrap_or_default());
        fault.kind.passes().then(|| self.now.plus(backoff.max(asked)))
    }
}

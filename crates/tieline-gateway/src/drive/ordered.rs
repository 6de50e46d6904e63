//! A call under way when what is permitted changes: it is judged again, and does as the order says.
//!
//! A request that has not left is held to the new verdict at once. One that has is in flight: the order says whether it may
//! finish, gets a time to drain, or is cut. What drains is judged once more at the end of its time, for the order may have
//! been revoked meanwhile.
//!
//! Judged again means by the party's facts as they are, and by what is left of its licences: a directive that asks for one
//! of which no call is left finds it missing, and a call that finds one takes it.

use std::sync::Arc;
use std::task::{Context, Poll};

use tieline_core::{Input, Ruling, Verdict};
use tieline_policy::InFlight;

use super::Drive;
use crate::shared::Facing;

impl Drive {
    /// Whether an order or the call's limit stops the answer though there may be more of it: a channel that is faster than
    /// the caller always has more, and is never waited for.
    pub(super) fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        if self.shared.orders.generation() != self.generation && self.poll_orders(cx).is_ready() {
            return true;
        }
        if self.drained.is_some_and(|until| until <= self.now) {
            self.drain_is_over();
            return true;
        }
        // What is whole may be taken to its end.
        let is_over = !self.is_whole && self.call.limit() <= self.now && !self.call.is_over();
        if is_over {
            self.feed(Input::Timer);
        }
        is_over && self.call.is_over()
    }

    /// Look whether what is permitted changed since the attempt under way was judged.
    pub(super) fn poll_orders(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = self.listener.poll(&self.shared.orders, cx);
        let generation = self.shared.orders.generation();
        if generation == self.generation {
            return Poll::Pending;
        }
        if self.row.is_none() {
            // What waits to be sent for the first time meets its gate with the generation that it was judged under.
            return Poll::Pending;
        }
        self.listener.reset();
        // A request that has not left yet meets its gate with the generation that it was judged under.
        self.generation = generation;
        self.wake();
        if let Some(row) = self.row.filter(|_| self.is_attempting()) {
            self.reconsider(row);
        }
        Poll::Ready(())
    }

    /// Whether a request that has not left is allowed by what is in force; if not, the core is told.
    pub(super) fn is_still_allowed(&mut self, row: u8) -> bool {
        self.generation = self.shared.orders.generation();
        self.wake();
        let Some(verdict) = self.verdict_on(row) else {
            return true;
        };
        let is_allowed = verdict.ruling == Ruling::Allow;
        if !is_allowed {
            self.feed(Input::Ordered(verdict));
        }
        is_allowed
    }

    /// The time to drain has passed.
    pub(super) fn drain_is_over(&mut self) {
        self.drained = None;
        if let Some(row) = self.row.filter(|_| self.is_attempting())
            && let Some(verdict) = self.verdict_on(row)
        {
            self.stop(verdict);
        }
    }

    /// What an order that came into force does with the attempt under way.
    fn reconsider(&mut self, row: u8) {
        let Some(candidate) = self.call.candidate(row) else {
            return;
        };
        let current = self.shared.live.load();
        let facing = Facing::call(&self.shared, &self.live, self.call.intake(), self.facts, self.now);
        // What is in force may ask for a licence of which the call has no unit yet.
        let units = (&mut self.units, row);
        let (verdict, says) = current.in_flight(candidate, &facing, units);
        if verdict.ruling == Ruling::Allow {
            self.units.keep(row);
        }
        match says {
            None | Some(InFlight::Finish) => self.drained = None,
            Some(InFlight::Drain(span)) => {
                let until = self.now.plus(span);
                self.drained = Some(self.drained.map_or(until, |before| before.min(until)));
            }
            Some(InFlight::Cut) => self.stop(verdict),
        }
    }

    fn stop(&mut self, verdict: Arc<Verdict>) {
        if verdict.ruling != Ruling::Allow {
            self.incoming = None;
            self.feed(Input::Ordered(verdict));
        }
    }

    /// By what is in force.
    fn verdict_on(&mut self, row: u8) -> Option<Arc<Verdict>> {
        let candidate = self.call.candidate(row)?;
        let current = self.shared.live.load();
        let facing = Facing::call(&self.shared, &self.live, self.call.intake(), self.facts, self.now);
        // What is in force may ask for licences that the first verdict did not rest on.
        let units = (&mut self.units, row);
        let verdict = current.covered(candidate, &facing, units);
        if verdict.ruling == Ruling::Allow {
            self.units.keep(row);
        }
        Some(verdict)
    }
}

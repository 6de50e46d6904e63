//! One lane: a model on a channel.
//!
//! *Breaker.* Five hurting faults in a row open it, and so does a window in which fewer than four of five attempts end
//! well (after linkerd's unified breaker). It waits 1 s, doubled at each failed probe up to 16 s (a longer cap would leave
//! a recovered channel unused), each wait shortened by up to half, so that processes do not probe in step. Then one call at
//! a time may probe, and how that call ends decides; an attempt that was under way when the breaker opened decides
//! nothing. A row of faults ends with an answer, with a fault that is the caller's (the channel read the request and
//! judged it), and with [`ROW_IDLE_MAX`] without any attempt. A used-up limit, an overload or a refusal of another kind
//! neither lengthens nor ends it; an overload counts in the window.
//!
//! *Rest.* A channel that says when to come back is left alone until then; one that says 429 and no time, for
//! [`RATE_PAUSE`].
//!
//! *Load.* An overload cuts what the lane takes at once to seven tenths, which grows by a hundredth every 10 s without
//! another (additive increase, multiplicative decrease). A lane that failed twice in a row takes no more than would open
//! its breaker.

use super::peak::Peak;
use super::window::Window;
use super::{Health, Row};
use crate::entropy::{Rng, Seed};
use crate::fault::FaultKind;
use crate::feature::{Feature, FeatureSet};
use crate::id::CallId;
use crate::time::{Span, Tick};

/// Consecutive hurting faults that open a breaker.
pub const CONSECUTIVE_MAX: u16 = 5;
/// A lane with so many faults in a row takes only as many attempts as it needs to open.
const SUSPECT_FROM: u16 = 2;
/// How long a lane may lie idle within a row of faults. Above [`OPEN_MAX`]: where calls come more rarely than that, each
/// would be a probe, and an open breaker would spare none of them a fault.
pub(super) const ROW_IDLE_MAX: Span = Span::from_s(30);
pub(super) const OPEN_FIRST: Span = Span::from_s(1);
pub(super) const OPEN_MAX: Span = Span::from_s(16);
/// A channel's own Retry-After is believed up to a day.
const RETRY_AFTER_MAX: Span = Span::from_s(86_400);
/// The rest after a 429 that says no time.
pub(super) const RATE_PAUSE: Span = Span::from_s(1);
/// A probe that never reported back stops blocking others after the longest wait for first content.
const PROBE_MAX: Span = Span::from_s(60);
/// What a fault weighs in the latency of a lane, so that equals that serve are preferred.
const FAULT_US: u32 = 5_000_000;

/// How long a refusal of a feature is believed.
const LACKS_FOR: Span = Span::from_s(3_600);

/// A lane takes this many at once however often it was overloaded.
const LIMIT_MIN: u32 = 2;
/// The pace at which a limit grows, and after which nothing is left of it.
const LIMIT_STEP: Span = Span::from_s(10);
const LIMIT_MAX_AGE: Span = Span::from_s(600);
/// Overloads within this are one: a burst of calls meets the same trouble.
const LIMIT_PAUSE: Span = Span::from_s(1);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    consecutive: u16,
    in_flight: u32,
    /// What it has refused as such, and when it last did.
    lacks: FeatureSet,
    lacks_at: Tick,
    /// When the last attempt ended.
    landed_at: Tick,
    limit: Option<Limit>,
    open: Option<Open>,
    peak: Peak,
    /// The channel asked to be left alone until then.
    rest_until: Tick,
    ttft_us: Option<u32>,
    window: Window,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Opened by its window, not by faults in a row.
    is_ailing: bool,
    probe: Option<Probe>,
    since: Tick,
    until: Tick,
    wait: Span,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    call: CallId,
    since: Tick,
}

/// What a lane took at once when it was last overloaded, and when that was.
#[derive(Clone, Copy, Debug)]
struct Limit {
    at: Tick,
    in_flight: u32,
}

// === impl Lane ===

impl Lane {
    /// What a call sees of the lane; where it may be dialled and when is for the fleet to add.
    pub(super) fn row(&self, now: Tick) -> Row {
        Row {
            barred: self.window.is_barred(now),
            free_at: None,
            full: self.is_full(now),
            health: self.health(now),
            in_flight: self.in_flight,
            lacks: if now.since(self.lacks_at) < LACKS_FOR {
                self.lacks
            } else {
                FeatureSet::EMPTY
            },
            out: false,
            ttft_us: self.peak.at(now),
        }
    }

    pub(super) const fn ttft_us(&self) -> Option<u32> {
        self.ttft_us
    }

    pub(super) fn health(&self, now: Tick) -> Health {
        match self.open {
            None => Health::Closed,
            Some(open) if now >= open.until && !open.is_probed(now) => Health::Probe,
            Some(open) if open.is_ailing => Health::Ailing,
            Some(_) => Health::Open,
        }
    }

    /// When it may be dialled, if that is known and not yet. The wait of one that is ailing is advice, not a bar.
    pub(super) fn free_at(&self, now: Tick) -> Option<Tick> {
        let open = self
            .open
            .filter(|open| !open.is_ailing)
            .map_or(Tick(0), |open| open.until);
        Some(open.max(self.rest_until)).filter(|at| now < *at)
    }

    pub(super) fn dial(&mut self, call: CallId, again: bool, now: Tick) {
        if self.in_flight == 0 && now.since(self.landed_at) >= ROW_IDLE_MAX {
            self.consecutive = 0;
        }
        self.in_flight = self.in_flight.saturating_add(1);
        self.window.dialled(again, now);
        if let Some(open) = &mut self.open
            && now >= open.until
            && !open.is_probed(now)
        {
            open.probe = Some(Probe { call, since: now });
        }
    }

    pub(super) fn land(&mut self, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.landed_at = now;
    }

    /// An answer came whole. One that began before the breaker opened says nothing about what was dialled since.
    pub(super) fn done(&mut self, dialled_at: Tick, now: Tick) {
        self.consecutive = 0;
        self.window.ended(true, now);
        if self.open.is_some_and(|open| dialled_at >= open.since) {
            self.open = None;
            self.window.forget_ends();
        }
    }

    /// Whether the attempt of `call` was the probe, which it is no more.
    pub(super) fn take_probe(&mut self, call: CallId) -> bool {
        let probe = self.open.as_mut().map(|open| &mut open.probe);
        probe.is_some_and(|probe| probe.take_if(|probe| probe.call == call).is_some())
    }

    /// The smoothed value has weight 1/8, as TCP smooths round trips (RFC 6298).
    pub(super) fn content(&mut self, ttft_us: u32, now: Tick) {
        self.peak.take(ttft_us, now);
        self.ttft_us = Some(match self.ttft_us {
            None => ttft_us,
            Some(old) => {
                let smoothed = (u64::from(old) * 7 + u64::from(ttft_us)) / 8;
                u32::try_from(smoothed).unwrap_or(u32::MAX)
            }
        });
    }

    /// What a lane refused is not asked of it again for a while: models and servers learn.
    pub(super) fn lack(&mut self, feature: Feature, now: Tick) {
        if now.since(self.lacks_at) >= LACKS_FOR {
            self.lacks = FeatureSet::EMPTY;
        }
        self.lacks.insert(feature);
        self.lacks_at = now;
    }

    pub(super) fn fault(&mut self, call: CallId, kind: FaultKind, wait: Option<Span>, now: Tick) {
        let was_probe = self.take_probe(call);
        if kind.is_callers() {
            self.consecutive = 0;
            return;
        }
        // What a spent account has to wait concerns the whole channel, and is the fleet's.
        let rest = match (kind, wait) {
            (FaultKind::Spend, _) => Span::default(),
            (FaultKind::Rate, None) => RATE_PAUSE,
            (_, wait) => wait.unwrap_or_default().min(RETRY_AFTER_MAX),
        };
        self.rest_until = self.rest_until.max(now.plus(rest));
        if kind.ails() {
            self.window.ended(false, now);
            self.peak.take(FAULT_US, now);
        }
        if kind == FaultKind::Overload {
            self.overloaded(now);
        }
        match &mut self.open {
            // A probe that meets any fault of the channel's, a rate limit included, has not shown health.
            Some(open) if was_probe => {
                open.wait = Span(open.wait.0.saturating_mul(2)).min(OPEN_MAX);
                open.until = now.plus(jittered(open.wait, call));
            }
            None => self.open_if_due(call, kind, now),
            Some(_) => {}
        }
    }

    /// Nothing bad is known of it any more.
    pub(super) fn restore(&mut self) {
        *self = Self {
            in_flight: self.in_flight,
            landed_at: self.landed_at,
            ttft_us: self.ttft_us,
            ..Self::default()
        };
    }

    fn open_if_due(&mut self, call: CallId, kind: FaultKind, now: Tick) {
        if kind.hurts() {
            self.consecutive = self.consecutive.saturating_add(1);
        }
        let is_dead = kind.hurts() && self.consecutive >= CONSECUTIVE_MAX;
        if is_dead || (kind.ails() && self.window.is_ailing(now)) {
            self.open = Some(Open {
                is_ailing: !is_dead,
                probe: None,
                since: now,
                until: now.plus(jittered(OPEN_FIRST, call)),
                wait: OPEN_FIRST,
            });
        }
    }

    fn is_full(&self, now: Tick) -> bool {
        let limited = self.limit.and_then(|limit| limit.at(now));
        let suspect = (self.consecutive >= SUSPECT_FROM && self.open.is_none())
            .then(|| u32::from(CONSECUTIVE_MAX.saturating_sub(self.consecutive)));
        [limited, suspect]
            .into_iter()
            .flatten()
            .any(|limit| self.in_flight >= limit)
    }

    /// The attempt that was overloaded has landed, so it is one more than are in flight.
    fn overloaded(&mut self, now: Tick) {
        if self.limit.is_some_and(|limit| now.since(limit.at) < LIMIT_PAUSE) {
            return;
        }
        let took = u64::from(self.in_flight) + 1;
        let in_flight = u32::try_from(took * 7 / 10).unwrap_or(u32::MAX).max(LIMIT_MIN);
        self.limit = Some(Limit { at: now, in_flight });
    }
}

// === impl Open ===

impl Open {
    /// Whether a probe is under way that may still report back.
    fn is_probed(&self, now: Tick) -> bool {
        self.probe.is_some_and(|probe| now.since(probe.since) < PROBE_MAX)
    }
}

// === impl Limit ===

impl Limit {
    fn at(self, now: Tick) -> Option<u32> {
        let age = now.since(self.at);
        let step = u64::from(self.in_flight / 100).max(1);
        let grown = u64::from(self.in_flight) + step * (age.0 / LIMIT_STEP.0);
        (age < LIMIT_MAX_AGE).then(|| u32::try_from(grown).unwrap_or(u32::MAX))
    }
}

/// A wait shortened by up to half. What the call's id is, no channel knows; equal histories wait equally long.
pub(super) fn jittered(wait: Span, call: CallId) -> Span {
    let [high, low] = call.halves();
    let draw = Rng::new(Seed(high ^ low)).draw();
    Span(wait.0 - draw % (wait.0 / 2 + 1))
}

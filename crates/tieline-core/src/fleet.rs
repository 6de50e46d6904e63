//! The fleet: what is known of each channel × model from the attempts so far: a breaker, a latency, the load, and what an
//! operator has cut. Owned by the shell, changed only by [`Fleet::observe`] and the cuts, seen by calls as a [`View`] of
//! integers that is recorded with the decision.
//!
//! The breaker: five hurting faults in a row open it for 1 s, doubled at each failed probe up to 16 s (a longer cap
//! would leave a recovered channel unused). While open, one call at a time may probe after the wait, and how that call ends
//! decides; an attempt that was under way when the breaker opened decides nothing.
//!
//! A row ends with an answer, with a fault that is the caller's (the channel read the request and judged it), and with
//! [`ROW_IDLE_MAX`] without any attempt. A used-up limit, an overload or a refusal of another kind neither lengthens nor
//! ends it.

use std::collections::{BTreeMap, BTreeSet};

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::fault::FaultKind;
use crate::grid::{Candidate, ChannelIx, ComponentIx, ComponentSet, ModelIx, Snapshot};
use crate::id::CallId;
use crate::time::{Span, Tick};

/// The state of a breaker as a call sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Closed,
    Open,
    /// Open, but the wait is over and no probe is under way: this call may be the probe.
    Probe,
}

/// One candidate in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub health: Health,
    /// Attempts in flight on the channel × model.
    pub in_flight: u32,
    /// An operator has cut the channel, or a component that it depends on.
    pub out: bool,
    /// Smoothed time to first content in µs; absent until measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_us: Option<u32>,
}

/// What a call sees of the fleet: one row for each of its candidates, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct View {
    pub rows: ArrayVec<Row, ROWS_MAX>,
}

/// What happened to an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whose attempt it is; a call tries a lane once.
    pub call: CallId,
    pub channel: ChannelIx,
    pub dialled_at: Tick,
    pub model: ModelIx,
    pub seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The attempt was dialled.
    Dial,
    /// First content after this many µs.
    Content {
        ttft_us: u32,
    },
    /// The attempt ended well.
    Done,
    /// The attempt ended because the caller left, or the call's own limit passed: no judgement on the channel.
    Leave,
    Fault(FaultKind, Option<Span>),
}

/// Consecutive hurting faults that open a breaker.
pub const CONSECUTIVE_MAX: u16 = 5;
/// How long a lane may lie idle within a row of faults. Above [`OPEN_MAX`]: where calls come more rarely than that, each
/// would be a probe, and an open breaker would spare none of them a fault.
const ROW_IDLE_MAX: Span = Span::from_s(30);
const OPEN_FIRST: Span = Span::from_s(1);
const OPEN_MAX: Span = Span::from_s(16);
/// A channel's own Retry-After is a floor of the wait, believed up to a day.
const RETRY_AFTER_MAX: Span = Span::from_s(86_400);
/// A probe that never reported back stops blocking others after the longest wait for first content.
const PROBE_MAX: Span = Span::from_s(60);

/// All lanes. A lane is one model on one channel.
#[derive(Debug, Default)]
pub struct Fleet {
    /// At most channels × models of one grid: 4,096 channels with a few models each, 128 bytes a lane.
    lanes: BTreeMap<(ChannelIx, ModelIx), Lane>,
    out_channels: BTreeSet<ChannelIx>,
    out_components: ComponentSet,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    consecutive: u16,
    in_flight: u32,
    /// When the last attempt ended.
    landed_at: Tick,
    open: Option<Open>,
    ttft_us: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
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

// === impl Fleet ===

impl Fleet {
    /// The view of one call's candidates.
    pub fn view(&self, snapshot: &Snapshot, candidates: &[Candidate], now: Tick) -> View {
        View {
            rows: candidates
                .iter()
                .take(ROWS_MAX)
                .map(|candidate| self.row(snapshot, *candidate, now))
                .collect(),
        }
    }

    /// Take one fact about an attempt.
    pub fn observe(&mut self, observation: Observation, now: Tick) {
        let lane = self
            .lanes
            .entry((observation.channel, observation.model))
            .or_default();
        match observation.seen {
            Seen::Dial => lane.dial(observation.call, now),
            Seen::Content { ttft_us } => lane.content(ttft_us),
            Seen::Done => {
                lane.land(now);
                lane.done(observation.dialled_at);
            }
            Seen::Leave => {
                lane.land(now);
                lane.take_probe(observation.call);
            }
            Seen::Fault(kind, retry_after) => {
                lane.land(now);
                let was_probe = lane.take_probe(observation.call);
                lane.fault(kind, retry_after, was_probe, now);
            }
        }
    }

    pub fn cut_channel(&mut self, channel: ChannelIx) {
        self.out_channels.insert(channel);
    }

    pub fn restore_channel(&mut self, channel: ChannelIx) {
        self.out_channels.remove(&channel);
    }

    pub fn cut_component(&mut self, component: ComponentIx) {
        self.out_components.insert(component);
    }

    pub fn restore_component(&mut self, component: ComponentIx) {
        self.out_components.remove(component);
    }

    /// Whether a channel is out, by itself or by a component.
    pub fn is_out(&self, snapshot: &Snapshot, channel: ChannelIx) -> bool {
        self.out_channels.contains(&channel)
            || snapshot
                .channel(channel)
                .is_some_and(|c| c.components.intersects(&self.out_components))
    }

    /// A fleet for another grid: lanes, cuts and components of the same names move over, the rest begins anew.
    #[must_use]
    pub fn carry(&self, old: &Snapshot, new: &Snapshot) -> Self {
        let channel = |ix: ChannelIx| old.channel(ix).and_then(|c| new.channel_named(&c.name));
        let model = |ix: ModelIx| old.model(ix).and_then(|m| new.model_named(&m.name));
        let lanes = self
            .lanes
            .iter()
            .filter_map(|((c, m), lane)| Some(((channel(*c)?, model(*m)?), *lane)));
        let mut out_components = ComponentSet::default();
        for ix in self.out_components.iter() {
            let name = old.components.get(usize::from(ix.0));
            if let Some(moved) = name.and_then(|name| new.component_named(name)) {
                out_components.insert(moved);
            }
        }
        Self {
            lanes: lanes.collect(),
            out_channels: self.out_channels.iter().filter_map(|ix| channel(*ix)).collect(),
            out_components,
        }
    }

    fn row(&self, snapshot: &Snapshot, candidate: Candidate, now: Tick) -> Row {
        let lane = self
            .lanes
            .get(&(candidate.channel, candidate.model))
            .copied()
            .unwrap_or_default();
        Row {
            health: lane.health(now),
            in_flight: lane.in_flight,
            out: self.is_out(snapshot, candidate.channel),
            ttft_us: lane.ttft_us,
        }
    }
}

// === impl Lane ===

impl Lane {
    fn health(&self, now: Tick) -> Health {
        match self.open {
            None => Health::Closed,
            Some(open) if now < open.until => Health::Open,
            Some(open) if open.is_probed(now) => Health::Open,
            Some(_) => Health::Probe,
        }
    }

    fn dial(&mut self, call: CallId, now: Tick) {
        if self.in_flight == 0 && now.since(self.landed_at) >= ROW_IDLE_MAX {
            self.consecutive = 0;
        }
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(open) = &mut self.open
            && now >= open.until
            && !open.is_probed(now)
        {
            open.probe = Some(Probe { call, since: now });
        }
    }

    fn land(&mut self, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.landed_at = now;
    }

    /// An answer came whole. One that began before the breaker opened says nothing about what was dialled since.
    fn done(&mut self, dialled_at: Tick) {
        self.consecutive = 0;
        self.open = self.open.filter(|open| dialled_at < open.since);
    }

    /// Whether the attempt of `call` was the probe, which it is no more.
    fn take_probe(&mut self, call: CallId) -> bool {
        let probe = self.open.as_mut().map(|open| &mut open.probe);
        probe.is_some_and(|probe| probe.take_if(|probe| probe.call == call).is_some())
    }

    /// Exponential smoothing with weight 1/8, as TCP smooths round trips (RFC 6298).
    fn content(&mut self, ttft_us: u32) {
        self.ttft_us = Some(match self.ttft_us {
            None => ttft_us,
            Some(old) => {
                let smoothed = (u64::from(old) * 7 + u64::from(ttft_us)) / 8;
                u32::try_from(smoothed).unwrap_or(u32::MAX)
            }
        });
    }

    fn fault(&mut self, kind: FaultKind, retry_after: Option<Span>, was_probe: bool, now: Tick) {
        let retry_after = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        if kind.is_callers() {
            self.consecutive = 0;
            return;
        }
        match &mut self.open {
            // A probe that meets any fault of the channel's, a rate limit included, has not shown health.
            Some(open) if was_probe => {
                open.wait = Span(open.wait.0.saturating_mul(2)).min(OPEN_MAX);
                open.until = now.plus(open.wait.max(retry_after));
            }
            None if kind.hurts() => {
                self.consecutive = self.consecutive.saturating_add(1);
                if self.consecutive >= CONSECUTIVE_MAX {
                    self.open = Some(Open {
                        probe: None,
                        since: now,
                        until: now.plus(OPEN_FIRST.max(retry_after)),
                        wait: OPEN_FIRST,
                    });
                }
            }
            Some(_) | None => {}
        }
    }
}

// === impl Open ===

impl Open {
    /// Whether a probe is under way that may still report back.
    fn is_probed(&self, now: Tick) -> bool {
        self.probe.is_some_and(|probe| now.since(probe.since) < PROBE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::tests::two_channels;

    const START: Tick = Tick(1_781_284_860_000_000);

    struct Bench {
        fleet: Fleet,
        snapshot: Snapshot,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                fleet: Fleet::default(),
                snapshot: two_channels(),
            }
        }

        fn see(&mut self, seen: Seen, at: Tick) {
            self.see_of(0, at, seen, at);
        }

        /// What the attempt of call `n` met, which was dialled at `dialled_at`.
        fn see_of(&mut self, n: u128, dialled_at: Tick, seen: Seen, at: Tick) {
            self.fleet.observe(
                Observation {
                    call: CallId::new(START, n),
                    channel: ChannelIx(0),
                    dialled_at,
                    model: ModelIx(0),
                    seen,
                },
                at,
            );
        }

        fn fail(&mut self, times: u16, at: Tick) {
            for _ in 0..times {
                self.see(Seen::Dial, at);
                self.see(Seen::Fault(FaultKind::Transient, None), at);
            }
        }

        fn health(&self, at: Tick) -> Health {
            let candidates = &self.snapshot.models[0].candidates;
            self.fleet.view(&self.snapshot, candidates, at).rows[0].health
        }
    }

    #[test]
    fn five_hurting_faults_in_a_row_open_and_one_probe_closes() {
        let mut bench = Bench::new();
        bench.fail(CONSECUTIVE_MAX - 1, START);
        assert_eq!(bench.health(START), Health::Closed);
        bench.fail(1, START);
        assert_eq!(bench.health(START), Health::Open);
        let after = START.plus(Span::from_s(1));
        assert_eq!(bench.health(after), Health::Probe);
        bench.see(Seen::Dial, after);
        assert_eq!(bench.health(after), Health::Open, "one probe at a time");
        bench.see(Seen::Done, after);
        assert_eq!(bench.health(after), Health::Closed);
    }

    #[test]
    fn a_failed_probe_doubles_the_wait_up_to_the_cap() {
        let mut bench = Bench::new();
        bench.fail(CONSECUTIVE_MAX, START);
        let mut now = START;
        for wait_s in [1, 2, 4, 8, 16, 16] {
            let opens = now.plus(Span::from_s(wait_s));
            assert_eq!(bench.health(Tick(opens.0 - 1)), Health::Open);
            assert_eq!(bench.health(opens), Health::Probe, "after {wait_s} s");
            now = opens;
            bench.fail(1, now);
        }
    }

    #[test]
    fn a_429_fails_the_probe_but_never_opens() {
        let mut bench = Bench::new();
        for _ in 0..20 {
            bench.see(Seen::Dial, START);
            bench.see(Seen::Fault(FaultKind::Rate, None), START);
        }
        assert_eq!(bench.health(START), Health::Closed);
        bench.fail(CONSECUTIVE_MAX, START);
        let probe = START.plus(Span::from_s(1));
        bench.see(Seen::Dial, probe);
        bench.see(Seen::Fault(FaultKind::Rate, Some(Span::from_s(5))), probe);
        assert_eq!(bench.health(probe.plus(Span::from_s(4))), Health::Open);
        assert_eq!(bench.health(probe.plus(Span::from_s(5))), Health::Probe);
    }

    #[test]
    fn a_cut_component_takes_out_what_depends_on_it_and_nothing_else() {
        let mut bench = Bench::new();
        let snapshot = bench.snapshot.clone();
        let component = snapshot.component_named("cloud:north").unwrap();
        bench.fleet.cut_component(component);
        assert!(
            bench.fleet.is_out(&snapshot, ChannelIx(0)),
            "by way of its region"
        );
        assert!(!bench.fleet.is_out(&snapshot, ChannelIx(1)));
        let carried = bench.fleet.carry(&snapshot, &snapshot);
        assert!(carried.is_out(&snapshot, ChannelIx(0)));
        bench.fleet.restore_component(component);
        assert!(!bench.fleet.is_out(&snapshot, ChannelIx(0)));
    }

    #[test]
    fn load_returns_to_zero() {
        let mut bench = Bench::new();
        for seen in [Seen::Done, Seen::Leave, Seen::Fault(FaultKind::Client, None)] {
            bench.see(Seen::Dial, START);
            bench.see(seen, START);
        }
        assert_eq!(bench.fleet.lanes[&(ChannelIx(0), ModelIx(0))].in_flight, 0);
    }

    #[test]
    fn what_the_caller_got_wrong_and_an_idle_lane_end_a_row() {
        let client = Seen::Fault(FaultKind::Client, None);
        let mut bench = Bench::new();
        bench.fail(CONSECUTIVE_MAX - 1, START);
        bench.see(Seen::Dial, START);
        bench.see(client, START);
        bench.fail(CONSECUTIVE_MAX - 1, START);
        assert_eq!(bench.health(START), Health::Closed);
        let later = START.plus(ROW_IDLE_MAX);
        bench.fail(CONSECUTIVE_MAX - 1, later);
        assert_eq!(bench.health(later), Health::Closed);
        // A lane with an attempt in flight is not idle, however long that takes.
        let mut bench = Bench::new();
        bench.fail(CONSECUTIVE_MAX - 1, START);
        bench.see_of(7, START, Seen::Dial, START);
        bench.fail(1, later);
        assert_eq!(bench.health(later), Health::Open);
        // A used-up limit ends no row.
        let mut bench = Bench::new();
        bench.fail(CONSECUTIVE_MAX - 1, START);
        bench.see(Seen::Dial, START);
        bench.see(Seen::Fault(FaultKind::Rate, None), START);
        bench.fail(1, START);
        assert_eq!(bench.health(START), Health::Open);
    }

    #[test]
    fn only_the_probe_s_own_end_decides() {
        let ends = [
            Seen::Leave,
            Seen::Done,
            Seen::Fault(FaultKind::Client, None),
            Seen::Fault(FaultKind::Transient, None),
        ];
        for seen in ends {
            let mut bench = Bench::new();
            bench.see_of(1, START, Seen::Dial, START);
            let opens = START.plus(Span::from_ms(1));
            bench.fail(CONSECUTIVE_MAX, opens);
            let probe = opens.plus(Span::from_s(1));
            bench.see_of(2, probe, Seen::Dial, probe);
            bench.see_of(1, START, seen, probe);
            assert_eq!(bench.health(probe), Health::Open, "{seen:?} of another call");
            bench.see_of(2, probe, Seen::Leave, probe);
            assert_eq!(bench.health(probe), Health::Probe, "{seen:?} of another call");
        }
    }

    mod laws {
        use proptest::prelude::*;

        use super::*;

        #[derive(Clone, Copy, Debug)]
        enum Act {
            Dial,
            /// The end of one of those in flight.
            End(usize, usize),
            Wait(u64),
        }

        const ENDS: [Seen; 8] = [
            Seen::Done,
            Seen::Leave,
            Seen::Fault(FaultKind::Client, None),
            Seen::Fault(FaultKind::Incapable, None),
            Seen::Fault(FaultKind::Overload, None),
            Seen::Fault(FaultKind::Rate, Some(Span::from_s(3))),
            Seen::Fault(FaultKind::Timeout, None),
            Seen::Fault(FaultKind::Transient, None),
        ];

        fn acts() -> impl Strategy<Value = Vec<Act>> {
            let end = prop_oneof![1 => 0..ENDS.len(), 2 => 6..ENDS.len()];
            let act = prop_oneof![
                4 => Just(Act::Dial),
                4 => (any::<usize>(), end).prop_map(|(which, end)| Act::End(which, end)),
                2 => prop_oneof![0..1_500_u64, Just(16_000), Just(30_000), Just(60_000)].prop_map(Act::Wait),
            ];
            prop::collection::vec(act, 0..120)
        }

        /// A call and when it was dialled.
        type Flight = (u128, Tick);

        /// Since when, until when, the wait in seconds, and the probe.
        type Opened = (Tick, Tick, u64, Option<Flight>);

        /// What the documentation says of one lane, told from its whole history.
        #[derive(Debug, Default)]
        struct Model {
            flying: Vec<Flight>,
            landed_at: Tick,
            open: Option<Opened>,
            row: u16,
        }

        impl Model {
            fn health(&self, now: Tick) -> Health {
                match self.open {
                    None => Health::Closed,
                    Some((_, until, ..)) if now < until => Health::Open,
                    Some((.., Some((_, since)))) if now < since.plus(Span::from_s(60)) => Health::Open,
                    Some(_) => Health::Probe,
                }
            }

            fn dial(&mut self, n: u128, now: Tick) {
                if self.flying.is_empty() && now >= self.landed_at.plus(Span::from_s(30)) {
                    self.row = 0;
                }
                if self.health(now) == Health::Probe
                    && let Some((.., probe)) = &mut self.open
                {
                    *probe = Some((n, now));
                }
                self.flying.push((n, now));
            }

            fn end(&mut self, (n, dialled_at): Flight, seen: Seen, now: Tick) {
                self.landed_at = now;
                let mut was_probe = false;
                if let Some((.., probe)) = &mut self.open
                    && probe.is_some_and(|(call, _)| call == n)
                {
                    (*probe, was_probe) = (None, true);
                }
                match (seen, &mut self.open) {
                    (Seen::Done, open) => {
                        self.row = 0;
                        if open.is_some_and(|(since, ..)| dialled_at >= since) {
                            *open = None;
                        }
                    }
                    (Seen::Fault(kind, _), _) if kind.is_callers() => self.row = 0,
                    (Seen::Fault(_, after), Some((_, until, wait_s, _))) if was_probe => {
                        *wait_s = (*wait_s * 2).min(16);
                        *until = now.plus(Span::from_s(*wait_s).max(after.unwrap_or_default()));
                    }
                    (Seen::Fault(kind, _), None) if kind.hurts() => {
                        self.row += 1;
                        if self.row == 5 {
                            self.open = Some((now, now.plus(Span::from_s(1)), 1, None));
                        }
                    }
                    _ => {}
                }
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

            #[test]
            fn a_lane_is_what_its_history_says(acts in acts()) {
                let (mut bench, mut model) = (Bench::new(), Model::default());
                let (mut now, mut calls) = (START, 0);
                for act in acts {
                    match act {
                        Act::Wait(ms) => now = now.plus(Span::from_ms(ms)),
                        Act::Dial => {
                            calls += 1;
                            model.dial(calls, now);
                            bench.see_of(calls, now, Seen::Dial, now);
                        }
                        Act::End(..) if model.flying.is_empty() => {}
                        Act::End(which, end) => {
                            let call = model.flying.swap_remove(which % model.flying.len());
                            model.end(call, ENDS[end], now);
                            bench.see_of(call.0, call.1, ENDS[end], now);
                        }
                    }
                    prop_assert_eq!(bench.health(now), model.health(now));
                    let lane = bench.fleet.lanes.get(&(ChannelIx(0), ModelIx(0)));
                    prop_assert_eq!(lane.map_or(0, |lane| lane.in_flight as usize), model.flying.len());
                }
            }
        }
    }
}

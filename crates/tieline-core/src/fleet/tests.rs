use super::lane::{OPEN_MAX, RATE_PAUSE, ROW_IDLE_MAX};
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
            self.see(Seen::Dial { again: false }, at);
            self.see(Seen::Fault(FaultKind::Transient, None), at);
        }
    }

    fn row(&self, at: Tick) -> Row {
        let candidates = &self.snapshot.models[0].candidates;
        self.fleet.view(&self.snapshot, candidates, at).rows[0]
    }

    fn health(&self, at: Tick) -> Health {
        self.row(at).health
    }

    fn free_at(&self, at: Tick) -> Option<Tick> {
        self.row(at).free_at
    }

    /// So many attempts are begun, and none has ended.
    fn dial(&mut self, times: u128, at: Tick) {
        for n in 0..times {
            self.see_of(1_000 + n, at, Seen::Dial { again: false }, at);
        }
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
    bench.see(Seen::Dial { again: false }, after);
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
        let half = now.plus(Span::from_ms(wait_s * 500 - 1));
        assert_eq!(
            bench.health(half),
            Health::Open,
            "half of {wait_s} s is waited at least"
        );
        assert!(
            bench
                .free_at(half)
                .is_some_and(|at| at <= now.plus(Span::from_s(wait_s)))
        );
        let opens = now.plus(Span::from_s(wait_s));
        assert_eq!(bench.health(opens), Health::Probe, "after {wait_s} s");
        assert_eq!(bench.free_at(opens), None);
        now = opens;
        bench.fail(1, now);
    }
}

#[test]
fn a_429_fails_the_probe_but_never_opens() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.see(Seen::Dial { again: false }, START);
        bench.see(Seen::Fault(FaultKind::Rate, None), START);
    }
    assert_eq!(bench.health(START), Health::Closed);
    bench.fail(CONSECUTIVE_MAX, START);
    let probe = START.plus(Span::from_s(1));
    bench.see(Seen::Dial { again: false }, probe);
    bench.see(Seen::Fault(FaultKind::Rate, Some(Span::from_s(5))), probe);
    assert_eq!(bench.health(probe), Health::Open);
    let asked = probe.plus(Span::from_s(5));
    assert_eq!(bench.free_at(probe.plus(Span::from_s(4))), Some(asked));
    assert_eq!((bench.health(asked), bench.free_at(asked)), (Health::Probe, None));
}

#[test]
fn what_asks_to_be_left_alone_is() {
    let rest = |kind, wait: Option<u64>| {
        let mut bench = Bench::new();
        bench.see(Seen::Dial { again: false }, START);
        bench.see(Seen::Fault(kind, wait.map(Span::from_s)), START);
        bench.free_at(START).map(|at| at.since(START))
    };
    assert_eq!(rest(FaultKind::Rate, Some(7)), Some(Span::from_s(7)));
    assert_eq!(rest(FaultKind::Rate, None), Some(RATE_PAUSE));
    assert_eq!(rest(FaultKind::Overload, Some(7)), Some(Span::from_s(7)));
    assert_eq!(rest(FaultKind::Overload, None), None);
    assert_eq!(rest(FaultKind::Rate, Some(9_999_999)), Some(Span::from_s(86_400)));
}

#[test]
fn a_spent_account_closes_all_lanes_of_its_channel_until_its_reset() {
    let mut bench = Bench::new();
    bench.see(Seen::Fault(FaultKind::Spend, None), START);
    let other = Candidate {
        model: ModelIx(7),
        ..bench.snapshot.models[0].candidates[0]
    };
    let other = |bench: &Bench, at| bench.fleet.view(&bench.snapshot, &[other], at).rows[0].free_at;
    let later = START.plus(SPENT_PAUSE);
    assert_eq!(
        (bench.free_at(START), other(&bench, START)),
        (Some(later), Some(later))
    );
    assert_eq!(
        (bench.free_at(later), bench.health(later)),
        (None, Health::Closed)
    );
    let month = Span::from_s(20 * 86_400);
    bench.see(Seen::Fault(FaultKind::Spend, Some(month)), START);
    assert_eq!(bench.free_at(later), Some(START.plus(month)));
    let carried = bench.fleet.carry(&bench.snapshot, &bench.snapshot);
    assert_eq!(carried.spent, bench.fleet.spent);
    // Somebody paid, and says so.
    bench.fleet.restore_channel(ChannelIx(0));
    assert_eq!(bench.free_at(START), None);
}

#[test]
fn a_lane_that_an_operator_puts_back_begins_anew() {
    let mut bench = Bench::new();
    bench.dial(2, START);
    bench.fail(CONSECUTIVE_MAX, START);
    bench.fleet.restore_channel(ChannelIx(0));
    assert_eq!(bench.health(START), Health::Closed);
    assert_eq!(bench.row(START).in_flight, 2);
}

#[test]
fn an_ailing_lane_is_open_but_not_dead_and_closes_by_its_probe() {
    let mut bench = Bench::new();
    for n in 0..24 {
        bench.see(Seen::Dial { again: false }, START);
        let fault = Seen::Fault(FaultKind::Overload, None);
        bench.see(if n < 8 { Seen::Done } else { fault }, START);
    }
    assert_eq!(bench.health(START), Health::Ailing);
    assert_eq!(bench.free_at(START), None, "its wait bars nobody");
    let probe = START.plus(Span::from_s(1));
    assert_eq!(bench.health(probe), Health::Probe);
    bench.see(Seen::Dial { again: false }, probe);
    assert_eq!(bench.health(probe), Health::Ailing);
    bench.see(Seen::Done, probe);
    assert_eq!(bench.health(probe), Health::Closed);
    bench.see(Seen::Fault(FaultKind::Overload, None), probe);
    assert_eq!(
        bench.health(probe),
        Health::Closed,
        "what was before does not count again"
    );
}

#[test]
fn an_overload_cuts_what_a_lane_takes_at_once() {
    let mut bench = Bench::new();
    bench.dial(100, START);
    assert!(!bench.row(START).full);
    for _ in 0..10 {
        bench.see_of(1, START, Seen::Fault(FaultKind::Overload, None), START);
    }
    // A burst of overloads is one: 70 of the 100 that were in flight at the first.
    assert_eq!(bench.row(START).in_flight, 90);
    assert!(bench.row(START).full);
    for _ in 0..21 {
        bench.see_of(1, START, Seen::Leave, START);
    }
    assert!(!bench.row(START).full, "69 are in flight");
    bench.dial(1, START);
    assert!(bench.row(START).full);
    assert!(
        !bench.row(START.plus(Span::from_s(10))).full,
        "one more fits every 10 s"
    );
    assert!(!bench.row(START.plus(Span::from_s(600))).full);
}

#[test]
fn a_suspect_takes_no_more_than_would_open_it() {
    let mut bench = Bench::new();
    bench.dial(3, START);
    bench.fail(1, START);
    assert!(!bench.row(START).full, "one fault is no row");
    bench.fail(1, START);
    assert!(bench.row(START).full, "three in flight and two faults are five");
    bench.see_of(1_000, START, Seen::Leave, START);
    assert!(!bench.row(START).full);
    bench.see_of(1_001, START, Seen::Done, START);
    bench.dial(50, START);
    assert!(!bench.row(START).full, "it serves again");
}

#[test]
fn further_attempts_on_a_lane_that_fails_are_barred_beyond_their_share() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        assert!(!bench.row(START).barred);
        bench.see(Seen::Dial { again: true }, START);
        bench.see(Seen::Fault(FaultKind::Overload, None), START);
    }
    assert!(bench.row(START).barred);
    assert!(!bench.row(START.plus(Span::from_s(12))).barred);
}

#[test]
fn a_dead_lane_is_used_again_within_twenty_seconds_of_its_recovery() {
    let mut bench = Bench::new();
    let mut now = START;
    bench.fail(CONSECUTIVE_MAX, now);
    // Dead for an hour, with a call each 100 ms: only probes go there.
    let (mut probes, recovered) = (0, START.plus(Span::from_s(3_600)));
    while now < recovered {
        now = now.plus(Span::from_ms(100));
        if bench.health(now) == Health::Probe {
            probes += 1;
            bench.fail(1, now);
        }
    }
    assert!((3_600 / 16..3_600 / 8 + 5).contains(&probes), "{probes}");
    while bench.health(now) != Health::Probe {
        now = now.plus(Span::from_ms(100));
    }
    assert!(now.since(recovered) <= OPEN_MAX.max(Span::from_s(20)), "{now:?}");
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
        bench.see(Seen::Dial { again: false }, START);
        bench.see(seen, START);
    }
    assert_eq!(bench.row(START).in_flight, 0);
}

#[test]
fn what_the_caller_got_wrong_and_an_idle_lane_end_a_row() {
    let client = Seen::Fault(FaultKind::Client, None);
    let mut bench = Bench::new();
    bench.fail(CONSECUTIVE_MAX - 1, START);
    bench.see(Seen::Dial { again: false }, START);
    bench.see(client, START);
    bench.fail(CONSECUTIVE_MAX - 1, START);
    assert_eq!(bench.health(START), Health::Closed);
    let later = START.plus(ROW_IDLE_MAX);
    bench.fail(CONSECUTIVE_MAX - 1, later);
    assert_eq!(bench.health(later), Health::Closed);
    // A lane with an attempt in flight is not idle, however long that takes.
    let mut bench = Bench::new();
    bench.fail(CONSECUTIVE_MAX - 1, START);
    bench.see_of(7, START, Seen::Dial { again: false }, START);
    bench.fail(1, later);
    assert_eq!(bench.health(later), Health::Open);
    // A used-up limit ends no row.
    let mut bench = Bench::new();
    bench.fail(CONSECUTIVE_MAX - 1, START);
    bench.see(Seen::Dial { again: false }, START);
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
        bench.see_of(1, START, Seen::Dial { again: false }, START);
        let opens = START.plus(Span::from_ms(1));
        bench.fail(CONSECUTIVE_MAX, opens);
        let probe = opens.plus(Span::from_s(1));
        bench.see_of(2, probe, Seen::Dial { again: false }, probe);
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

    /// How an attempt ended, and when.
    type Landed = (Tick, bool);

    /// What the documentation says of one lane, told from its whole history.
    #[derive(Debug, Default)]
    struct Model {
        flying: Vec<Flight>,
        /// Opened by its share of faults.
        is_ailing: bool,
        landed: Vec<Landed>,
        landed_at: Tick,
        open: Option<Opened>,
        row: u16,
    }

    impl Model {
        fn health(&self, now: Tick) -> Health {
            match self.open {
                None => Health::Closed,
                Some((_, until, ..)) if now < until => self.shut(),
                Some((.., Some((_, since)))) if now < since.plus(Span::from_s(60)) => self.shut(),
                Some(_) => Health::Probe,
            }
        }

        fn shut(&self) -> Health {
            if self.is_ailing {
                Health::Ailing
            } else {
                Health::Open
            }
        }

        /// Fewer than four of five of at least twenty ended well, in ten buckets of 3 s.
        fn ails(&self, now: Tick) -> bool {
            let bucket = |at: Tick| at.0 / 3_000_000;
            let recent = self
                .landed
                .iter()
                .filter(|(at, _)| bucket(*at) + 10 > bucket(now));
            let (good, bad): (Vec<_>, Vec<_>) = recent.map(|(_, good)| *good).partition(|good| *good);
            good.len() + bad.len() >= 20 && good.len() * 5 < (good.len() + bad.len()) * 4
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
            let call = CallId::new(START, n);
            let opened = move |wait_s: u64| now.plus(lane::jittered(Span::from_s(wait_s), call));
            match seen {
                Seen::Done => {
                    self.row = 0;
                    self.landed.push((now, true));
                    if self.open.is_some_and(|(since, ..)| dialled_at >= since) {
                        self.open = None;
                        self.landed.clear();
                    }
                }
                Seen::Fault(kind, _) if kind.is_callers() => self.row = 0,
                Seen::Fault(kind, _) => {
                    let hurts = kind.hurts();
                    let counts = hurts || kind == FaultKind::Overload;
                    if counts {
                        self.landed.push((now, false));
                    }
                    if let Some((_, until, wait_s, _)) = &mut self.open {
                        if was_probe {
                            *wait_s = (*wait_s * 2).min(16);
                            *until = opened(*wait_s);
                        }
                        return;
                    }
                    self.row += u16::from(hurts);
                    let is_dead = hurts && self.row >= 5;
                    if is_dead || (counts && self.ails(now)) {
                        self.open = Some((now, opened(1), 1, None));
                        self.is_ailing = !is_dead;
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
                        bench.see_of(calls, now, Seen::Dial { again: false }, now);
                    }
                    Act::End(..) if model.flying.is_empty() => {}
                    Act::End(which, end) => {
                        let call = model.flying.swap_remove(which % model.flying.len());
                        model.end(call, ENDS[end], now);
                        bench.see_of(call.0, call.1, ENDS[end], now);
                    }
                }
                prop_assert_eq!(bench.health(now), model.health(now));
                prop_assert_eq!(bench.row(now).in_flight as usize, model.flying.len());
            }
        }
    }
}

//! What a call keeps whatever happens: random worlds, quick or slow to answer, and random facts in any order.

use proptest::prelude::*;

use super::*;
use crate::grid::{Resume, UnknownPrice};

#[derive(Clone, Debug)]
enum Act {
    /// Give the answer that was asked for longest ago.
    Answer,
    Input(Input),
    /// Let this many ms pass.
    Wait(u64),
    /// Sleep until the deadline.
    Wake,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let inputs = prop_oneof![
        6 => Just(Input::Mark(Mark::Content(2))),
        1 => Just(Input::Mark(Mark::Content(0))),
        2 => prop_oneof![Just(Mark::Tool), Just(Mark::Thinking)].prop_map(Input::Mark),
        2 => (0_u64..3).prop_map(|n| Input::Mark(Mark::Usage(used(n)))),
        1 => prop_oneof![Just(Stop::End), Just(Stop::Tool)].prop_map(|stop| Input::Mark(Mark::Stop(stop))),
        2 => Just(Input::Opened { status: 200 }),
        2 => Just(Input::End { complete: true }),
        1 => Just(Input::End { complete: false }),
        3 => (0..FAULTS.len()).prop_map(|ix| Input::Fault(Fault::new(FAULTS[ix], Phase::Body))),
        2 => Just(Input::Durable),
        1 => Just(Input::NotDurable),
        1 => prop_oneof![Just(Ruling::Allow), Just(Ruling::Hold), Just(Ruling::Deny)]
            .prop_map(|ruling| Input::Ordered(verdict(ruling))),
        1 => Just(Input::ClientGone),
        1 => Just(Input::Timer),
        1 => Just(Input::Loss(Arc::new([Loss { path: "messages[0]".into(), why: "no such field".into() }]))),
    ];
    let act = prop_oneof![
        4 => Just(Act::Answer),
        8 => inputs.prop_map(Act::Input),
        3 => (0_u64..12_000).prop_map(Act::Wait),
        1 => Just(Act::Wake),
    ];
    prop::collection::vec(act, 0..60)
}

/// What the fleet says of a candidate beside its health.
fn row() -> impl Strategy<Value = Row> {
    (
        any::<[bool; 2]>(),
        prop::option::weighted(0.2, 0_u64..4_000),
        0_u32..9,
    )
        .prop_map(|([barred, full], free_ms, in_flight)| Row {
            barred,
            free_at: free_ms.map(|ms| START.plus(Span::from_ms(ms))),
            full,
            in_flight,
            ..ROW
        })
}

fn settings() -> impl Strategy<Value = Settings> {
    let unknown_price = prop_oneof![
        Just(UnknownPrice::Hold),
        Just(UnknownPrice::Record),
        Just(UnknownPrice::Refuse)
    ];
    let call_ms = prop_oneof![Just(5_000_u32), Just(60_000)];
    let resume = prop_oneof![Just(Resume::Off), Just(Resume::SameModel), Just(Resume::Pool)];
    let hold = (
        prop_oneof![Just(0_u32), Just(700)],
        prop_oneof![Just(0_u32), Just(4)],
    );
    (1_u8..5, any::<bool>(), call_ms, unknown_price, resume, hold).prop_map(
        |(attempts_max, strict, call_ms, unknown_price, resume, (hold_ms, hold_tokens))| Settings {
            attempts_max,
            call_ms,
            hold_ms,
            hold_tokens,
            resume,
            unknown_price,
            ..if strict { STRICT } else { DEFAULTS }
        },
    )
}

fn worlds() -> impl Strategy<Value = World> {
    let ruling = prop_oneof![6 => Just(Ruling::Allow), 1 => Just(Ruling::Hold), 1 => Just(Ruling::Deny)];
    let health = prop_oneof![
        4 => Just(Health::Closed),
        1 => Just(Health::Ailing),
        1 => Just(Health::Open),
        1 => Just(Health::Probe),
    ];
    let denied = Some(limited(
        Bucket::RequestsPerMinute,
        Some(START.plus(Span::from_s(5))),
    ));
    let limit = || prop_oneof![8 => Just(None), 1 => Just(denied)];
    let rows = (
        prop::array::uniform3(ruling),
        prop::array::uniform3(health),
        prop::array::uniform3(prop::bool::weighted(0.1)),
        prop::array::uniform3(limit()),
        prop::array::uniform3(row()),
    );
    (
        settings(),
        rows,
        limit(),
        prop::bool::weighted(0.9),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(
                settings,
                (rulings, health, out, limits, rows),
                key_limit,
                ledger_takes,
                slow,
                pool,
                stream,
                is_budgeted,
            )| {
                let ask = if pool {
                    Ask::Pool(crate::PoolIx(0))
                } else {
                    Ask::Model(crate::ModelIx(0))
                };
                let mut world = World::asking(settings, ask, Scope::All);
                world.rulings[..3].copy_from_slice(&rulings);
                world.health[..3].copy_from_slice(&health);
                world.out[..3].copy_from_slice(&out);
                world.rows[..3].copy_from_slice(&rows);
                world.channel_limits[..3].copy_from_slice(&limits);
                world.key_limit = key_limit;
                world.ledger_takes = ledger_takes;
                world.slow = slow;
                world.call.intake.stream = stream;
                world.call.intake.is_budgeted = is_budgeted;
                world.call.price_rows();
                world
            },
        )
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("rulings", &&self.rulings[..3])
            .field("health", &&self.health[..3])
            .field("out", &&self.out[..3])
            .field("rows", &&self.rows[..3])
            .field("channel_limits", &&self.channel_limits[..3])
            .field("key_limit", &self.key_limit)
            .field("ledger_takes", &self.ledger_takes)
            .field("slow", &self.slow)
            .field("settings", self.call.settings())
            .finish_non_exhaustive()
    }
}

impl World {
    fn act(&mut self, act: Act) {
        match act {
            Act::Answer => {
                if let Some(answer) = self.answers.pop_front() {
                    self.feed(answer);
                }
            }
            Act::Input(input) => self.feed(input),
            Act::Wait(ms) => self.now = self.now.plus(Span::from_ms(ms)),
            Act::Wake => {
                if let Some((at, _)) = self.call.deadline() {
                    self.now = self.now.max(at);
                    self.feed(Input::Timer);
                }
            }
        }
    }

    /// Let whatever is still open come to its end: answers are given, timers fire.
    fn finish(&mut self) {
        for _ in 0..100 {
            self.act(Act::Answer);
            if self.answers.is_empty() {
                self.act(Act::Wake);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_call_keeps_the_laws(mut world in worlds(), acts in acts()) {
        world.settle();
        for act in acts {
            world.act(act);
        }
        world.finish();
        world.check_laws();
    }

    /// A call in the place of another has nothing of it.
    #[test]
    fn a_renewed_call_is_a_new_one(
        mut world in worlds(),
        acts in acts(),
        settings in settings(),
        pool in any::<bool>(),
        seed in any::<u64>(),
    ) {
        world.settle();
        for act in acts {
            world.act(act);
        }
        world.finish();
        let ask = if pool { Ask::Pool(crate::PoolIx(0)) } else { Ask::Unknown(None) };
        let (snapshot, now) = (three_channels(settings), world.now);
        let of = || intake(ask.clone(), Scope::All);
        world.call.renew(snapshot.clone(), of(), Seed(seed), now);
        let new = Call::new(snapshot, of(), Seed(seed), now);
        prop_assert_eq!(format!("{:?}", world.call), format!("{new:?}"));
    }

    /// Under `strict`, no byte of the answer before the entry is durable; under a budget, no byte of the request.
    #[test]
    fn strict_never_releases_early(mut world in worlds(), acts in acts()) {
        world.settle();
        let mut durable = false;
        for act in acts {
            durable |= matches!(act, Act::Input(Input::Durable));
            world.act(act);
            let released = world.count(|e| matches!(e, Effect::Release)) > 0;
            let strict = world.call.settings().record == RecordMode::Strict;
            prop_assert!(!strict || !released || durable);
            let dialled = world.count(|e| matches!(e, Effect::Dial { .. })) > 0;
            prop_assert!(!world.call.is_budgeted() || !dialled || durable, "a crash would lose it");
        }
    }
}

//! Which candidate a call takes, when it takes one again, and what it waits for.

use super::*;
use crate::fault::TimeLimit;

/// Like [`three_channels`], with channels of one model only, each in a cloud of its own but for those named alike.
fn equals(clouds: &[&str], settings: Settings) -> Arc<Snapshot> {
    let mut record = two_channels_record();
    let template = record.channels[0].clone();
    record.channels = (clouds.iter().zip('a'..))
        .map(|(cloud, name)| ChannelRecord {
            components: vec![format!("cloud:{cloud}").into(), "lab:l".into()],
            name: name.to_string().into(),
            ..template.clone()
        })
        .collect();
    record.pools = vec![PoolRecord {
        limits: Limits::default(),
        models: vec!["m".into()],
        name: "p".into(),
        settings,
    }];
    Arc::new(Snapshot::build(Arc::new(record), [7; 32]).unwrap())
}

impl World {
    fn of(snapshot: Arc<Snapshot>, seed: u64, change: impl FnOnce(&mut Intake)) -> Self {
        let mut world = Self::new(DEFAULTS);
        let mut intake = intake(Ask::Pool(crate::PoolIx(0)), Scope::All);
        change(&mut intake);
        world.call = Call::new(snapshot, intake, Seed(seed), START);
        world
    }

    fn dials(&self) -> Vec<u8> {
        let dials = self.seen.iter().filter_map(|effect| match effect {
            Effect::Dial { row, .. } => Some(*row),
            _ => None,
        });
        dials.collect()
    }

    fn whys(&self) -> Vec<Why> {
        let plan = &self.decision.as_ref().unwrap().plan;
        plan.iter().map(|row| row.why).collect()
    }
}

/// The one channel of its pool.
fn alone(settings: Settings) -> World {
    World::of(equals(&["x"], settings), 1, |_| {})
}

// === equals ===

#[test]
fn of_two_equals_the_cheaper_is_taken_and_the_first_where_they_cost_the_same() {
    let first = |change: fn(&mut World)| {
        let mut world = World::of(equals(&["x", "y"], DEFAULTS), 1, |_| {});
        change(&mut world);
        world.run("").dials()
    };
    assert_eq!(first(|_| {}), [0]);
    assert_eq!(first(|w| w.rows[0].ttft_us = Some(1_501)), [1]);
    assert_eq!(first(|w| w.rows[0].in_flight = 3), [1]);
    assert_eq!(first(|w| w.rows[1].ttft_us = None), [0], "nobody measured it");
    assert_eq!(first(|w| w.rows[0].full = true), [1]);
    // Whose breaker waits for a probe gets one, whatever it costs.
    assert_eq!(
        first(|w| (w.rows[1].ttft_us, w.health[1]) = (Some(9_000_000), Health::Probe)),
        [1]
    );
    // Another model is no equal, however fast.
    let mut world = World::new(DEFAULTS);
    (world.rows[0].ttft_us, world.rows[1].ttft_us) = (Some(9_000_000), Some(9_000_000));
    assert_eq!(world.run("").dials(), [0]);
}

#[test]
fn a_pool_may_want_its_channels_in_order() {
    let in_order = Settings {
        choice: crate::grid::Choice::InOrder,
        ..DEFAULTS
    };
    let mut world = World::of(equals(&["x", "x", "y"], in_order), 1, |_| {});
    world.rows[0].in_flight = 90;
    let world = world.run("fault garbage, fault garbage");
    assert_eq!(
        world.dials(),
        [0, 2, 1],
        "but first of all outside of what failed"
    );
}

#[test]
fn among_many_equals_load_spreads_and_the_dearest_gets_none() {
    let snapshot = equals(&["a", "b", "c", "d"], DEFAULTS);
    let mut taken = [0; 4];
    for seed in 0..4_000 {
        let mut world = World::of(snapshot.clone(), seed * 0x9e37_79b9, |_| {});
        world.rows[2].in_flight = 9;
        taken[usize::from(world.run("").dials()[0])] += 1;
    }
    // Two of four are drawn; of the three that cost the same the earlier of a pair wins.
    assert_eq!(taken[2], 0, "{taken:?}");
    assert!(
        taken[0] > 1_800 && taken[1] > 1_100 && taken[3] > 500,
        "{taken:?}"
    );
}

#[test]
fn a_prompt_stays_where_its_cache_is_unless_that_costs_twice_as_much() {
    let snapshot = equals(&["a", "b", "c", "d"], DEFAULTS);
    let home = |prompt: u16, seed, change: &dyn Fn(&mut World)| {
        let mut world = World::of(snapshot.clone(), seed, |intake| intake.affinity = Some(prompt));
        change(&mut world);
        world.run("").dials()[0]
    };
    let mut homes = [0; 4];
    for prompt in 0..400 {
        let at = home(prompt, 1, &|_| {});
        homes[usize::from(at)] += 1;
        for seed in 2..6 {
            assert_eq!(home(prompt, seed, &|_| {}), at, "whatever chance says");
        }
        let dear = |by: u32| move |world: &mut World| world.rows[usize::from(at)].ttft_us = Some(1_500 * by);
        assert_eq!(home(prompt, 7, &dear(2)), at);
        assert_ne!(home(prompt, 7, &dear(3)), at);
    }
    assert!(homes.iter().all(|count| (60..140).contains(count)), "{homes:?}");
}

// === failure domains ===

#[test]
fn what_shares_a_cloud_with_what_failed_comes_last() {
    // b is in the cloud of a; every channel depends on the lab, which tells none apart.
    let snapshot = equals(&["x", "x", "y", "z"], DEFAULTS);
    let world = World::of(snapshot, 1, |_| {});
    let world = run_from(world, 0, "fault reset, fault reset");
    let dials = world.dials();
    assert_eq!(dials[0], 0);
    assert!(dials[1] >= 2 && dials[2] >= 2, "{dials:?}");
}

#[test]
fn the_last_attempt_leaves_the_failure_domain_even_for_another_model() {
    let mut record = two_channels_record();
    let (a, mut b, mut c) = (
        record.channels[0].clone(),
        record.channels[0].clone(),
        record.channels[1].clone(),
    );
    b.name = "b".into();
    record.models.push(ModelRecord {
        name: "n".into(),
        ..record.models[0].clone()
    });
    c.name = "c".into();
    c.models[0].model = "n".into();
    record.channels = vec![a, b, c];
    record.pools[0].models = vec!["m".into(), "n".into()];
    let dials = |attempts_max| {
        record.clone().pools[0].settings = DEFAULTS;
        let mut record = record.clone();
        record.pools[0].settings = Settings {
            attempts_max,
            ..DEFAULTS
        };
        let snapshot = Arc::new(Snapshot::build(Arc::new(record), [7; 32]).unwrap());
        World::of(snapshot, 1, |_| {})
            .run("fault reset, fault reset, fault reset")
            .dials()
    };
    assert_eq!(
        dials(2),
        [0, 2],
        "the first model's other channel would fail alike"
    );
    assert_eq!(dials(3), [0, 1, 2]);
}

/// Run in a world in which `row` is the cheapest.
fn run_from(mut world: World, row: usize, script: &str) -> World {
    for (ix, other) in world.rows.iter_mut().enumerate() {
        other.in_flight = u32::from(ix != row);
    }
    for (ix, health) in world.health.iter_mut().enumerate() {
        // The draw of two may leave it out; a probe never is.
        *health = if ix == row { Health::Probe } else { Health::Closed };
    }
    world.settle();
    world.health[row] = Health::Closed;
    world.run(script)
}

// === the same channel again ===

#[test]
fn the_only_channel_is_asked_again_after_a_backoff() {
    for kind in FAULTS {
        let world = alone(DEFAULTS).run(&format!("fault {}", kind.name()));
        let waits = world
            .call
            .deadline()
            .is_some_and(|(_, why)| why == WakeFor::Again);
        assert_eq!(waits, kind.passes(), "{kind:?}");
        if waits {
            let wait = world.call.deadline().unwrap().0.since(START);
            assert!(
                (Span::from_ms(25)..=Span::from_ms(250)).contains(&wait),
                "{wait:?}"
            );
            let world = world.run("wake, content, end");
            assert_eq!(world.dials(), [0, 0]);
            assert_eq!(world.outcome().result, Outcome::Served);
            world.check_laws();
        }
    }
}

#[test]
fn a_channel_is_asked_twice_at_most_and_the_answer_says_not_to_multiply_it() {
    let world = alone(DEFAULTS).run("fault transient, wake, fault transient");
    assert_eq!(world.dials(), [0, 0]);
    assert_eq!(world.refusal().code, Code::ChannelsFailed);
    world.check_laws();
    let three = World::new(DEFAULTS).run("fault transient, fault transient, fault transient");
    assert_eq!(three.refusal().retry, Retry::Never, "three attempts are spent");
    let two = Settings {
        attempts_max: 1,
        ..DEFAULTS
    };
    let world = alone(two).run("fault transient");
    assert_eq!((world.dials(), world.refusal().retry), (vec![0], Retry::Never));
    world.check_laws();
}

#[test]
fn a_short_retry_after_is_waited_for_and_a_long_one_is_told() {
    let rate = |ms| {
        let mut world = alone(DEFAULTS).run("");
        world.rows[0].free_at = Some(START.plus(Span::from_ms(ms)));
        world.feed(Input::Fault(fault("rate").with_retry_after_ms(Some(ms))));
        world
    };
    let world = rate(1_500);
    assert_eq!(
        world.call.deadline(),
        Some((START.plus(Span::from_ms(1_500)), WakeFor::Again))
    );
    let world = world.run("wake, content, end");
    assert_eq!(world.dials(), [0, 0]);
    world.check_laws();
    let world = rate(2_500);
    assert_eq!(world.refusal().code, Code::ChannelsBusy);
    assert_eq!(world.refusal().retry, Retry::After(Span::from_ms(2_500)));
    world.check_laws();
    // Where another can serve, nobody waits.
    let mut world = World::new(DEFAULTS).run("");
    world.feed(Input::Fault(fault("rate").with_retry_after_ms(Some(300))));
    assert_eq!(world.dials(), [0, 1]);
}

#[test]
fn further_attempts_respect_a_lane_s_share_and_a_call_s_first_need_not() {
    let mut world = World::new(DEFAULTS);
    for row in &mut world.rows {
        row.barred = true;
    }
    let world = world.run("fault reset");
    assert_eq!(world.dials(), [0]);
    assert_eq!(world.refusal().code, Code::ChannelsFailed);
    assert_eq!(world.refusal().retry, Retry::Never);
    world.check_laws();
}

// === waiting ===

#[test]
fn a_dead_channel_gets_probes_alone_and_its_callers_wait_a_little() {
    let mut world = alone(DEFAULTS);
    world.health[0] = Health::Open;
    world.rows[0].free_at = Some(START.plus(Span::from_ms(700)));
    let mut world = world.run("");
    assert_eq!(
        world.call.deadline(),
        Some((START.plus(Span::from_ms(700)), WakeFor::Again))
    );
    assert!(world.dials().is_empty());
    // Another call is the probe by then; nobody can tell how long it takes.
    world.rows[0].free_at = None;
    let mut world = world.run("wake");
    let (at, why) = world.call.deadline().unwrap();
    assert_eq!((at.since(world.now), why), (Span::from_ms(50), WakeFor::Again));
    world.health[0] = Health::Closed;
    let world = world.run("wake, content, end");
    assert_eq!(world.outcome().result, Outcome::Served);
    assert_eq!(world.whys(), [Why::Chosen]);
    world.check_laws();
}

#[test]
fn a_probe_that_takes_long_does_not_hide_a_channel_that_is_known_to_be_free_soon() {
    let mut world = World::new(DEFAULTS);
    world.rulings[2] = Ruling::Deny;
    // A probe is under way at the first; the second asked to be left alone.
    world.health[0] = Health::Open;
    let free_at = START.plus(Span::from_ms(700));
    world.rows[1].free_at = Some(free_at);
    let mut world = world.run("wake, wake, wake");
    assert_eq!(world.call.deadline(), Some((free_at, WakeFor::Again)));
    world.rows[1].free_at = None;
    let world = world.run("wake, content, end");
    assert_eq!(world.dials(), [1]);
    assert_eq!(world.outcome().result, Outcome::Served);
    world.check_laws();
}

#[test]
fn a_wait_that_is_too_long_is_told_at_once() {
    let refused = |change: fn(&mut World)| {
        let mut world = alone(DEFAULTS);
        world.health[0] = Health::Open;
        change(&mut world);
        let world = world.run("");
        world.check_laws();
        (world.refusal().code, world.refusal().retry)
    };
    let after = |s| Retry::After(Span::from_s(s));
    let long = refused(|w| w.rows[0].free_at = Some(START.plus(Span::from_s(9))));
    assert_eq!(long, (Code::NoChannel, after(9)));
    let short = refused(|w| {
        w.rows[0].free_at = Some(START.plus(Span::from_ms(1_500)));
        w.call.intake.deadline = Some(Span::from_s(3));
    });
    // A third of the time that is left would be one second.
    assert_eq!(short, (Code::NoChannel, Retry::After(Span::from_ms(1_500))));
    let spent = refused(|w| {
        w.health[0] = Health::Closed;
        w.rows[0].free_at = Some(START.plus(Span::from_s(900)));
    });
    assert_eq!(spent, (Code::NoChannel, after(900)));
}

#[test]
fn looks_at_what_nobody_can_tell_of_have_an_end() {
    let mut world = alone(DEFAULTS);
    world.health[0] = Health::Open;
    let world = world.run("wake, wake, wake, wake");
    assert_eq!(world.now.since(START), Span::from_ms(25 + 50 + 100 + 200));
    assert_eq!(world.refusal().code, Code::NoChannel);
    world.check_laws();
}

#[test]
fn what_waits_can_be_left_and_is_bound_by_the_call_s_own_time() {
    let mut world = alone(DEFAULTS);
    world.health[0] = Health::Open;
    let world = world.run("gone");
    assert_eq!(world.call.ending(), Some(&Ending::Abandoned));
    world.check_laws();
    // Who has no time to wait is told at once.
    let mut world = alone(DEFAULTS);
    world.call.intake.deadline = Some(Span::from_ms(60));
    let world = world.run("fault transient");
    assert_eq!(world.refusal().code, Code::ChannelsFailed);
    world.check_laws();
}

#[test]
fn each_look_is_judged_anew() {
    let mut world = alone(DEFAULTS);
    world.health[0] = Health::Open;
    let mut world = world.run("");
    world.rulings[0] = Ruling::Deny;
    world.health[0] = Health::Closed;
    let world = world.run("wake");
    assert_eq!((world.dials(), world.refusal().code), (vec![], Code::Denied));
    world.check_laws();
}

// === limits of time ===

#[test]
fn a_limit_that_passed_is_named() {
    let limit = |script: &str| {
        let world = World::new(DEFAULTS).run(script);
        world.call.attempts[0].ended.unwrap().1
    };
    let timeout = |limit| AttemptEnd::Fault(Fault::timeout(limit));
    assert_eq!(limit("wake"), timeout(TimeLimit::Head));
    assert_eq!(limit("opened, wake"), timeout(TimeLimit::FirstContent));
    assert_eq!(limit("opened, content, wake"), timeout(TimeLimit::Idle));
    let mut world = World::new(DEFAULTS);
    world.call.intake.stream = false;
    let world = world.run("wake");
    assert_eq!(world.call.attempts[0].ended.unwrap().1, timeout(TimeLimit::Whole));
}

#[test]
fn the_callers_own_limits_bind() {
    let due = |deadline: Option<u64>, patience: Option<u64>, script: &str| {
        let mut world = World::new(DEFAULTS);
        world.call.intake.deadline = deadline.map(Span::from_s);
        world.call.intake.patience = patience.map(Span::from_s);
        let world = world.run(script);
        world.check_replay_of_intake();
        world
            .call
            .deadline()
            .map(|(at, why)| (at.since(START).0 / 1_000_000, why))
            .unwrap()
    };
    assert_eq!(due(Some(4), None, ""), (4, WakeFor::CallLimit));
    assert_eq!(due(None, Some(5), ""), (5, WakeFor::CallLimit));
    assert_eq!(
        due(None, Some(5), "content"),
        (15, WakeFor::Idle),
        "it has had its first byte"
    );
    assert_eq!(due(Some(900), Some(900), "content"), (15, WakeFor::Idle));
    assert_eq!(due(Some(8), Some(5), "content"), (8, WakeFor::CallLimit));
}

impl World {
    fn check_replay_of_intake(&self) {
        let record = &self.decision.as_ref().unwrap().intake;
        assert_eq!(record.deadline_us, self.call.intake.deadline);
        assert_eq!(record.patience_us, self.call.intake.patience);
    }
}

#[test]
fn a_probe_does_not_stake_all_the_time_of_its_call() {
    let due = |ttft_us, first_content_ms| {
        let mut world = alone(Settings {
            first_content_ms,
            head_ms: 60_000,
            ..DEFAULTS
        });
        world.health[0] = Health::Probe;
        world.rows[0].ttft_us = ttft_us;
        let world = world.run("opened");
        world.call.deadline().unwrap().0.since(START)
    };
    assert_eq!(due(None, 20_000), Span::from_s(5));
    assert_eq!(due(Some(4_000_000), 20_000), Span::from_s(12));
    assert_eq!(due(Some(4_000_000), 9_000), Span::from_s(9));
    assert_eq!(due(Some(1_000), 2_000), Span::from_s(2));
}

// === what a request needs ===

#[test]
fn an_overflow_goes_to_a_larger_context_alone() {
    let sizes = |sizes: [Option<u32>; 2], script: &str| {
        let mut record = GridRecord::clone(&three_channels(DEFAULTS).record);
        for (model, tokens) in record.models.iter_mut().zip(sizes) {
            model.context_tokens = tokens;
        }
        let snapshot = Arc::new(Snapshot::build(Arc::new(record), [7; 32]).unwrap());
        let world = World::of(snapshot, 1, |_| {}).run(script);
        if world.call.is_over() {
            world.check_laws();
        }
        (world.dials(), world.call.ending().cloned())
    };
    let larger = [Some(4_096), Some(8_192)];
    assert_eq!(
        sizes(larger, "fault context"),
        (vec![0, 2], None),
        "not b, which has the same model"
    );
    assert_eq!(
        sizes(larger, "fault context, fault context").1,
        Some(Ending::Relayed)
    );
    // What fails otherwise leaves the one that is still untried, and that is too small.
    let broken = sizes(larger, "fault context, fault garbage").1;
    assert!(matches!(broken, Some(Ending::Refused(problem)) if problem.code == Code::ChannelsFailed));
    for same in [
        [Some(8_192); 2],
        [None, Some(8_192)],
        [Some(4_096), None],
        [Some(8_192), Some(4_096)],
    ] {
        assert_eq!(
            sizes(same, "fault context"),
            (vec![0], Some(Ending::Relayed)),
            "{same:?}"
        );
    }
}

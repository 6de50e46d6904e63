//! What a timeline does to recorded calls: hand-made cases on the small grid, and laws over random ledgers.

use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::grid::GridRecord as Record;
use tieline_core::receipt::{PoolTestReceipt, RECEIPT_V1, Receipt, ReceiptEntry};
use tieline_core::record::Hex32;
use tieline_core::{CallId, FaultKind, Ruling, Snapshot, Span, Tick};
use tieline_drill::{
    Consequence, CostChange, Element, ElementKind, Failure, Happening, Known, Rehearsal, Tally, Timeline,
    Traffic,
};

use crate::grids::{Ledger, small_grid};
use crate::live::{Live, Script};
use crate::random::{START, fates, grid_version, record};

const FAILURES: [Failure; 3] = [Failure::Errors, Failure::Refused, Failure::Silent];

fn element(name: &str) -> Element {
    let kind = if name.contains(':') {
        ElementKind::Component
    } else {
        ElementKind::Channel
    };
    Element {
        kind,
        name: name.to_owned(),
    }
}

fn timeline<'o>(happenings: impl IntoIterator<Item = (Tick, Happening)>) -> Timeline<'o> {
    let mut timeline = Timeline::default();
    for (at, happening) in happenings {
        timeline.at(at, happening).unwrap();
    }
    timeline
}

/// When the n-th call of [`minute`] arrives.
fn at(call: u64) -> Tick {
    START.plus(Span::from_s(2 * (call + 1)))
}

/// A moment after the n-th call arrived: its answer has not begun, or has.
fn during(call: u64, ms: u64) -> Tick {
    at(call).plus(Span::from_ms(ms))
}

/// Thirty calls, two seconds apart, each with its first content after 200 ms and its end after 900 ms.
fn minute(record: &Record, ask: &str) -> (Arc<Snapshot>, Ledger) {
    let mut live = Live::new(record);
    for _ in 0..30 {
        live.call(ask, &Script::default()).unwrap();
    }
    (live.snapshot.clone(), live.into_ledger())
}

fn tally(kept: u64, moved: u64, degraded: u64, held: u64, lost: u64) -> Tally {
    Tally {
        degraded,
        held,
        kept,
        lost,
        moved,
        refused_before: 0,
    }
}

/// What a timeline does to the minute of calls.
fn play(happenings: impl IntoIterator<Item = (Tick, Happening)>) -> Consequence {
    let (snapshot, ledger) = minute(&small_grid(), "sonnet-only");
    let traffic = ledger.traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    assert_eq!(rehearsal.base().as_recorded, 30);
    rehearsal.play(&timeline(happenings))
}

#[test]
fn nothing_changes_where_nothing_happens() {
    let consequence = play([]);
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
    assert_eq!(consequence.attempts, Some(30));
    assert_eq!(consequence.cost_change_nano, CostChange::Nano(0));
    assert!(consequence.flows.is_empty());
    // Slow and failing nothing, out what nobody dials, and back what was never out: nothing, either.
    let channel: Arc<str> = "direct".into();
    let same = play([
        (
            at(0),
            Happening::Slow {
                channel: channel.clone(),
                time: 1_000,
            },
        ),
        (at(0), Happening::Failing { channel, share: 0 }),
        (at(0), Happening::Out(element("openai"), Failure::Silent)),
        (at(0), Happening::Out(element("no such channel"), Failure::Silent)),
        (at(5), Happening::Back(element("direct"))),
        (at(5), Happening::Restore(element("region:spare"))),
    ]);
    assert_eq!(same.tally, consequence.tally);
    assert_eq!(same.first_content, consequence.first_content);
}

#[test]
fn an_element_that_is_out_is_found_out_by_calls_and_used_again_when_it_is_back() {
    for failure in [Failure::Errors, Failure::Refused] {
        let consequence = play([
            (at(10), Happening::Out(element("direct"), failure)),
            (at(20), Happening::Back(element("direct"))),
        ]);
        let Tally {
            kept, moved, lost, ..
        } = consequence.tally;
        assert_eq!(lost, 0, "{failure:?}");
        assert!((10..20).contains(&moved), "{failure:?}: {moved} moved");
        assert_eq!(kept + moved, 30);
        let attempts = consequence.attempts.unwrap();
        assert!(attempts > 30, "{failure:?}: the first that dial it fail");
        assert!(attempts <= 40, "{failure:?}: its breaker opens");
        let [back] = &consequence.returns[..] else {
            panic!("{failure:?}")
        };
        assert_eq!((&*back.channel, back.times, back.unused), ("direct", 1, 0));
        assert!(back.longest_us.unwrap() < 20_000_000, "{failure:?}: {back:?}");
        assert_eq!(consequence.recovery.parties_not, 0, "nobody is worse off");
    }
}

#[test]
fn what_stays_out_is_not_used_again() {
    let consequence = play([
        (at(0), Happening::Out(element("direct"), Failure::Refused)),
        (
            at(0),
            Happening::Out(element("edge:cloudflare"), Failure::Refused),
        ),
        // The channel is still out, for what it needs is.
        (at(10), Happening::Back(element("direct"))),
    ]);
    assert!(consequence.returns.is_empty());
    let direct = consequence
        .flows
        .iter()
        .find(|flow| flow.channel == "direct")
        .unwrap();
    assert_eq!((direct.before, direct.after), (30, 0));
}

#[test]
fn a_silent_channel_costs_the_limit_of_time() {
    let consequence = play([(at(0), Happening::Out(element("direct"), Failure::Silent))]);
    assert_eq!(consequence.tally.lost, 0);
    assert!(consequence.tally.moved > 20, "{:?}", consequence.tally);
    let times = consequence.first_content.unwrap();
    assert!(
        times.after.p99_us >= 20_000_000,
        "the limit of 20 s for the head passes: {times:?}"
    );
    assert!(times.before.p99_us < 300_000);
}

#[test]
fn an_attempt_under_way_is_lost_with_its_channel() {
    // Before its first content another channel answers; after it the answer breaks off.
    for (ms, expected) in [(100, (1, 0)), (500, (0, 1))] {
        let consequence = play([
            (
                during(10, ms),
                Happening::Out(element("direct"), Failure::Refused),
            ),
            (during(10, ms + 1), Happening::Back(element("direct"))),
        ]);
        let Tally { moved, lost, .. } = consequence.tally;
        assert_eq!((moved, lost), expected, "{ms} ms after its arrival");
        assert_eq!(consequence.parties_losing, expected.1);
        assert_eq!(
            consequence.critical.calls_unserved, expected.1,
            "calls are critical unless somebody says not"
        );
        let recovery = consequence.recovery;
        assert_eq!(
            (recovery.parties_recovered, recovery.parties_not),
            (expected.1, 0)
        );
    }
    // A channel that nobody waits for breaks nothing.
    let consequence = play([(
        during(10, 500),
        Happening::Out(element("vertex"), Failure::Refused),
    )]);
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
}

#[test]
fn a_cut_holds_until_it_is_restored_and_costs_no_attempt() {
    let consequence = play([
        (at(10), Happening::Cut(element("cloud:aws"))),
        // A channel is restored that the component still cuts.
        (at(15), Happening::Restore(element("direct"))),
        (at(20), Happening::Restore(element("cloud:aws"))),
    ]);
    assert_eq!(consequence.tally, tally(20, 10, 0, 0, 0));
    assert_eq!(consequence.attempts, Some(30));
}

#[test]
fn what_is_slow_takes_its_time() {
    let slow = |time| Happening::Slow {
        channel: "direct".into(),
        time,
    };
    let consequence = play([(at(0), slow(3_000))]);
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
    let times = consequence.first_content.unwrap();
    let (before, after) = (times.before.p50_us, times.after.p50_us);
    assert!((2_900..3_100).contains(&(after * 1_000 / before)), "{times:?}");
    // Beyond the limit for the first content, it is as if it did not answer.
    let consequence = play([(at(0), slow(101_000))]);
    assert_eq!(consequence.tally.lost, 0);
    assert!(consequence.tally.moved > 20);
}

#[test]
fn a_share_of_attempts_fails_and_more_of_them_the_larger_it_is() {
    let (snapshot, ledger) = minute(&small_grid(), "sonnet-only");
    let traffic = ledger.traffic();
    let of = |seed, share| {
        let known = Known {
            seed,
            ..Known::default()
        };
        let rehearsal = Rehearsal::new(&snapshot, &traffic, known);
        let failing = Happening::Failing {
            channel: "direct".into(),
            share,
        };
        rehearsal.play(&timeline([(at(0), failing)])).tally
    };
    assert_eq!(of(1, 1_000).kept, 0);
    let shares = [0, 100, 200, 300].map(|share| of(1, share).moved);
    assert_eq!(shares[0], 0);
    assert!(
        shares.is_sorted(),
        "one that fails at a lower share fails at a higher: {shares:?}"
    );
    assert!((3..18).contains(&shares[3]), "{shares:?}");
    assert_eq!(of(1, 300), of(1, 300));
    assert!((2..8).any(|seed| of(seed, 300) != of(1, 300)), "the seed draws");
}

#[test]
fn another_grid_has_other_prices_quotas_and_models() {
    let (snapshot, ledger) = minute(&small_grid(), "frontier");
    let traffic = ledger.traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let mut other = ledger.clone();
    let mut with = |change: &dyn Fn(&mut Record)| {
        let mut record = small_grid();
        change(&mut record);
        Happening::Grid(other.archive(&record))
    };
    let cost = i128::from(rehearsal.base().cost_nano.0);
    let dearer = with(&|record| {
        for channel in &mut record.channels {
            for served in &mut channel.models {
                let price = served.price.as_mut();
                if let Some(price) = price {
                    (price.input.0, price.output.0) = (price.input.0 * 3, price.output.0 * 3);
                }
            }
        }
    });
    let consequence = rehearsal.play(&timeline([(at(15), dearer)]));
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
    assert_eq!(
        consequence.cost_change_nano,
        CostChange::Nano(cost),
        "half the calls, twice as much more"
    );
    let withdrawn = with(&|record| {
        record
            .channels
            .retain(|channel| !channel.models.iter().any(|served| &*served.model == "sonnet"));
    });
    let same = Happening::Grid(snapshot.clone());
    let consequence = rehearsal.play(&timeline([(at(10), withdrawn), (at(20), same)]));
    assert_eq!(consequence.tally, tally(20, 0, 10, 0, 0));
    assert_eq!(
        consequence.cost_change_nano,
        CostChange::Unknown,
        "the other model has no price"
    );
    let narrow = with(&|record| {
        for channel in &mut record.channels {
            channel.limits.requests_per_minute = (&*channel.name != "openai").then_some(2);
        }
    });
    let consequence = rehearsal.play(&timeline([(at(0), narrow)]));
    assert!(consequence.tally.degraded > 10, "{:?}", consequence.tally);
    let tightest = consequence.tightest.unwrap();
    assert_eq!(tightest.used_permille, 1_000);
    assert!(tightest.refusals > 10);
}

#[test]
fn a_cut_of_what_only_a_later_grid_has_holds_there() {
    let mut record = small_grid();
    record.channels.retain(|channel| &*channel.name != "direct");
    let (snapshot, mut ledger) = minute(&record, "sonnet-only");
    let traffic = ledger.traffic();
    let with = ledger.archive(&small_grid());
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let happenings = [
        (at(0), Happening::Cut(element("direct"))),
        (at(1), Happening::Grid(with)),
        (at(20), Happening::Restore(element("direct"))),
    ];
    let consequence = rehearsal.play(&timeline(happenings));
    // Policy was never asked about it: it stays unused even then.
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
}

#[test]
fn an_order_rules_from_its_instant_until_it_is_revoked() {
    let (snapshot, ledger) = minute(&small_grid(), "frontier");
    let traffic = ledger.traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let mut timeline = Timeline::default();
    let held = timeline.order(Box::new(|party, _, model| match (party, model) {
        ("p1", "sonnet") => Ruling::Hold,
        _ => Ruling::Allow,
    }));
    let denied = timeline.order(Box::new(|_, channel, _| match channel {
        "openai" => Ruling::Deny,
        _ => Ruling::Allow,
    }));
    timeline.at(at(10), Happening::Order(held)).unwrap();
    timeline.at(at(15), Happening::Order(denied)).unwrap();
    timeline.at(at(20), Happening::Revoke(held)).unwrap();
    timeline.at(at(25), Happening::Revoke(denied)).unwrap();
    // An answer under way is not stopped.
    timeline.at(during(27, 500), Happening::Order(held)).unwrap();
    timeline.at(at(28), Happening::Revoke(held)).unwrap();
    let consequence = rehearsal.play(&timeline);
    assert_eq!(consequence.tally, tally(20, 0, 5, 5, 0));
}

/// A receipt of a pool test that every case passed, as the ledger has it.
fn passed(pool: &str, model: &str) -> Vec<u8> {
    let receipt = Receipt::PoolTest(PoolTestReceipt {
        by: None,
        cases: Hex32([1; 32]),
        channels: vec!["openai".into()],
        failed: Vec::new(),
        grid: Hex32([2; 32]),
        judges: Vec::new(),
        model: model.into(),
        passed: 3,
        pool: pool.into(),
        total: 3,
    });
    let entry = ReceiptEntry {
        at: START,
        body: receipt,
        id: CallId::new(START, 7),
        t: RECEIPT_V1.into(),
    };
    serde_json::to_vec(&entry).unwrap()
}

#[test]
fn a_model_with_a_receipt_stands_in() {
    let (snapshot, ledger) = minute(&small_grid(), "frontier");
    let traffic = ledger.traffic();
    let tally_with = |pool: &str| {
        let mut known = Known::default();
        known.receipts.entry(0, &passed(pool, "gpt"));
        let rehearsal = Rehearsal::new(&snapshot, &traffic, known);
        rehearsal
            .play(&timeline([(at(0), Happening::Cut(element("lab:anthropic")))]))
            .tally
    };
    assert_eq!(tally_with("frontier"), tally(0, 30, 0, 0, 0));
    assert_eq!(tally_with("another"), tally(0, 0, 30, 0, 0));
}

/// What is kept back of an answer, and a limit of the call that passes while it flows, end as they did.
#[test]
fn limits_of_time_within_an_answer_are_met_again() {
    let mut record = small_grid();
    record.pools[1].settings.hold_ms = 300;
    let (snapshot, ledger) = minute(&record, "sonnet-only");
    let traffic = ledger.traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let consequence = rehearsal.play(&timeline([]));
    assert_eq!(consequence.tally, tally(30, 0, 0, 0, 0));
    // The first content is released 300 ms after it came, 200 ms after the dial.
    let times = rehearsal.base().first_content.unwrap();
    assert!((500_000..520_000).contains(&times.p50_us), "{times:?}");
    let slow = Happening::Slow {
        channel: "direct".into(),
        time: 50_000,
    };
    record.pools[1].settings.call_ms = 30_000;
    let mut ledger = ledger.clone();
    let snapshot = ledger.archive(&record);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let consequence = rehearsal.play(&timeline([(at(0), slow)]));
    assert_eq!(consequence.tally.kept, 0);
    assert_eq!(
        consequence.tally.lost, 30,
        "an answer of 45 s is cut off by the limit of 30 s"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_out_from_first_to_last_answers_nothing(
        fates in fates(16),
        second in any::<bool>(),
        which in any::<prop::sample::Index>(),
        failure in 0..3_usize,
    ) {
        let mut ledger = record(&fates);
        let snapshot = ledger.archive(&grid_version(second));
        let traffic = ledger.traffic();
        let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
        let elements = Element::all(&snapshot);
        let gone = which.get(&elements).clone();
        let out: Vec<_> = gone.channels(&snapshot);
        let consequence =
            rehearsal.play(&timeline([(Tick(0), Happening::Out(gone.clone(), FAILURES[failure]))]));
        let tally = consequence.tally;
        prop_assert_eq!(tally.calls(), rehearsal.base().calls);
        prop_assert_eq!(tally.refused_before, rehearsal.base().refused);
        for channel in out {
            let name = &snapshot.channel(channel).unwrap().name;
            let before = rehearsal.base().flows.iter().filter(|flow| *flow.channel == **name);
            let changes = consequence.flows.iter().filter(|flow| *flow.channel == **name);
            prop_assert!(changes.clone().all(|flow| flow.after == 0), "{} answers", name);
            prop_assert!(before.count() <= changes.count(), "{} answers as before", name);
        }
        let mut again = timeline([(Tick(0), Happening::Out(gone, FAILURES[failure]))]);
        prop_assert_eq!(&rehearsal.play(&again), &consequence, "the same inputs, the same end");
        again.at(Tick(0), Happening::Grid(snapshot.clone())).unwrap();
        prop_assert_eq!(&rehearsal.play(&again), &consequence, "the grid in force changes nothing");
    }
}

#[test]
fn faults_of_the_record_come_again_where_they_came() {
    let mut live = Live::new(&small_grid());
    for call in 0..10 {
        let script = Script::default();
        let script = if call % 3 == 0 {
            script.failing("direct", FaultKind::Garbage)
        } else {
            script
        };
        live.call("sonnet-only", &script).unwrap();
    }
    let snapshot = live.snapshot.clone();
    let traffic: Traffic = live.into_ledger().traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    assert_eq!(rehearsal.base().as_recorded, 10);
    assert_eq!(rehearsal.base().attempts, 14);
    let out = timeline([(Tick(0), Happening::Out(element("bedrock"), Failure::Refused))]);
    let consequence = rehearsal.play(&out);
    assert_eq!(consequence.tally, tally(6, 4, 0, 0, 0));
    assert_eq!(consequence.attempts, Some(18));
}

//! Scenarios: what becomes of calls while one plays, and what a surge makes of the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{Ruling, Span};
use tieline_drill::{
    Allowance, Assumed, Bars, CallsOf, Contingencies, CostChange, Event, Failure, Known, Load, Ordered,
    QuotaChange, Rehearsal, ScenarioReport, ScenariosReport, ServedOf, Staged, SurgeOver, Traffic, What,
    play_scenario, surge, under_order, under_order_text,
};

use crate::scenario::{START, channel, component, event, grid, scenario};

// === plays ===

/// Every loss of the small grid is felt by somebody: each party asks for each pool, for an hour.
fn hour() -> Traffic {
    let view = |party: &'static str| tieline_drill::PartyView {
        allowed: &|_| true,
        party: party.into(),
        scope: tieline_core::Scope::Names(Arc::new([
            "cheap".into(),
            "frontier".into(),
            "sonnet-only".into(),
        ])),
    };
    let parties = [view("one"), view("two")];
    Traffic::steady(&grid(), &parties, START, Span::from_s(3_600), Span::from_s(60))
}

fn played(traffic: &Traffic, events: Vec<Event>, orders: Vec<Box<Ordered<'_>>>) -> ScenarioReport {
    let rehearsal = Rehearsal::new(&grid(), traffic, Known::default());
    let staged = Staged {
        notes: Vec::new(),
        orders,
        scenario: scenario(events),
        set: BTreeMap::new(),
    };
    play_scenario(&rehearsal, &Load::of(&rehearsal), staged).unwrap()
}

fn only(what: What) -> ScenarioReport {
    played(&hour(), vec![event(0, None, what)], Vec::new())
}

#[test]
fn an_outage_loses_calls_while_it_lasts_and_no_longer() {
    let out = |element| What::Out {
        element,
        how: Failure::Refused,
    };
    let report = played(
        &hour(),
        vec![event(600, Some(1_800), out(channel("own")))],
        Vec::new(),
    );
    let tally = report.consequence.tally;
    assert_eq!(
        (tally.lost, tally.kept, tally.calls()),
        (40, 320, 360),
        "a call a minute of each party"
    );
    let (width, from) = (report.course.width_us, report.course.from_us);
    assert_eq!(
        (width, from, report.course.bins.len()),
        (15_000_000, START.0, 240)
    );
    for (bin, ix) in report.course.bins.iter().zip(0_u64..) {
        let is_out = (600..1_800).contains(&(ix * 15));
        assert_eq!(
            bin.lost > 0,
            is_out && bin.calls() > 0 && bin.lost == bin.calls().min(1),
            "bin {ix}"
        );
    }
    let summed = report.course.bins.iter().fold([0; 6], |sum, bin| {
        let each = [
            bin.kept,
            bin.moved,
            bin.degraded,
            bin.held,
            bin.lost,
            bin.refused_before,
        ];
        std::array::from_fn(|ix| sum[ix] + each[ix])
    });
    assert_eq!(
        summed,
        [
            tally.kept,
            tally.moved,
            tally.degraded,
            tally.held,
            tally.lost,
            tally.refused_before
        ]
    );
    assert_eq!(report.consequence.recovery.parties_recovered, 2);
    let back: Vec<&str> = report
        .consequence
        .returns
        .iter()
        .map(|one| one.channel.as_str())
        .collect();
    assert_eq!(back, ["own"]);
}

#[test]
fn a_price_moves_nobody_and_costs_more() {
    let before = Rehearsal::new(&grid(), &hour(), Known::default())
        .base()
        .cost_nano
        .0;
    let report = only(What::Price {
        of: ServedOf {
            models: BTreeSet::from(["sonnet".into(), "small".into()]),
            ..ServedOf::default()
        },
        times: 3_000,
    });
    assert!(report.consequence.is_nothing());
    assert_eq!(
        report.consequence.cost_change_nano,
        CostChange::Nano(2 * i128::from(before))
    );
    assert_eq!(report.notes, Vec::<String>::new());
}

#[test]
fn three_times_an_unknown_price_is_unknown() {
    let gpt = || ServedOf {
        lab: Some("openai".into()),
        ..ServedOf::default()
    };
    let view = tieline_drill::PartyView {
        allowed: &|_| true,
        party: "one".into(),
        scope: tieline_core::Scope::Names(Arc::new(["gpt".into()])),
    };
    let asks = Traffic::steady(&grid(), &[view], START, Span::from_s(60), Span::from_s(10));
    let price = || What::Price {
        of: gpt(),
        times: 3_000,
    };
    let report = played(&asks, vec![event(0, None, price())], Vec::new());
    assert_eq!(report.consequence.cost_change_nano, CostChange::Unknown);
    assert_eq!(report.consequence.cost_unknown_calls, 6);
    assert!(
        report.notes[0].starts_with("The price of gpt on openai is not known"),
        "{:?}",
        report.notes
    );
    // Where no call goes there, its price changes nothing.
    let report = only(price());
    assert_eq!(report.consequence.cost_change_nano, CostChange::Nano(0));
}

#[test]
fn what_is_withdrawn_moves_or_degrades_what_it_carried() {
    let report = only(What::Withdrawn(ServedOf {
        models: BTreeSet::from(["sonnet".into()]),
        ..ServedOf::default()
    }));
    let tally = report.consequence.tally;
    assert_eq!((tally.degraded, tally.lost, tally.kept), (120, 120, 120));
}

#[test]
fn an_order_holds_while_it_is_in_force() {
    let order = |party: &str, _: &str, model: &str| {
        if party == "one" && model == "small" {
            Ruling::Hold
        } else {
            Ruling::Allow
        }
    };
    let orders: Vec<Box<Ordered<'_>>> = vec![Box::new(order)];
    let report = played(&hour(), vec![event(0, Some(1_800), What::Order(0))], orders);
    assert_eq!(report.consequence.tally.held, 30);
    assert_eq!(report.consequence.parties_losing, 1);
}

#[test]
fn an_order_makes_worse_what_it_leaves_one_way_to() {
    let traffic = hour();
    let losses = |traffic: &Traffic| {
        let rehearsal = Rehearsal::new(&grid(), traffic, Known::default());
        let all = Contingencies::single(&rehearsal, Assumed::default());
        let plays: Vec<_> = (0..all.plays()).map(|play| all.play(play)).collect();
        all.n_minus_1(&plays, &Bars::default())
    };
    // Only the cloud that carries two of its three channels is left to one of the two parties.
    let order = |party: &str, channel: &str, _: &str| {
        if party == "two" && channel == "vertex" {
            Ruling::Deny
        } else {
            Ruling::Allow
        }
    };
    let compared = under_order(&losses(&traffic), &losses(&traffic.under(&order)));
    let worse: Vec<(&str, u64, u64)> = compared
        .iter()
        .filter(|loss| loss.is_worse())
        .map(|loss| {
            (
                loss.gone[0].name.as_str(),
                loss.without.unserved,
                loss.under.unserved,
            )
        })
        .collect();
    // The pool of sonnet alone, a call a minute; the other pool falls back to another lab.
    assert_eq!(worse, [("cloud:aws", 0, 60)]);
    assert_eq!(compared[0].under.parties_losing, 1);
    insta::assert_snapshot!(under_order_text(&compared));
    // An order that rules nothing makes nothing worse.
    let same = under_order(
        &losses(&traffic),
        &losses(&traffic.under(&|_: &str, _: &str, _: &str| Ruling::Allow)),
    );
    assert!(same.iter().all(|loss| loss.under == loss.without));
}

#[test]
fn a_surge_is_compared_with_what_its_originals_got() {
    let surge = |times| What::Surge {
        of: CallsOf {
            ask: Some("cheap".into()),
            parties: None,
        },
        seed: 1,
        times,
    };
    let report = only(surge(3_000));
    assert_eq!((report.calls_added, report.calls_left_out), (240, 0));
    assert_eq!(report.consequence.tally.calls(), 600);
    assert!(report.consequence.is_nothing(), "nothing limits this channel");
    // With a limit, the surge is what loses calls.
    let quota = What::Quota {
        channel: "own".into(),
        change: QuotaChange::Set(Allowance {
            requests_per_minute: Some(3),
            ..Allowance::default()
        }),
    };
    let calm = only(quota.clone());
    assert!(calm.consequence.is_nothing(), "{:?}", calm.consequence.tally);
    let both = played(
        &hour(),
        vec![event(0, None, surge(3_000)), event(0, None, quota)],
        Vec::new(),
    );
    assert!(both.consequence.tally.lost > 100, "{:?}", both.consequence.tally);
    let tightest = both.consequence.tightest.unwrap();
    assert_eq!(tightest.channel, "own");
    // A factor below one leaves calls out, and they are not counted as lost.
    let fewer = only(surge(1));
    assert!(
        fewer.calls_left_out > 110 && fewer.consequence.is_nothing(),
        "{}",
        fewer.calls_left_out
    );
}

#[test]
fn several_scenarios_are_ranked_and_read_well() {
    let (base, traffic) = (grid(), hour());
    let rehearsal = Rehearsal::new(&base, &traffic, Known::default());
    let load = Load::of(&rehearsal);
    let report = |id: &str, events: Vec<Event>| {
        let mut scenario = scenario(events);
        scenario.id = id.to_owned();
        scenario.title = format!("The title of {id}");
        scenario.assumed = vec!["That it is so.".to_owned()];
        let staged = Staged {
            notes: vec!["A note.".to_owned()],
            orders: Vec::new(),
            scenario,
            set: BTreeMap::from([("cloud".to_owned(), "aws".to_owned())]),
        };
        play_scenario(&rehearsal, &load, staged).unwrap()
    };
    let named = |says: &str, event: Event| Event {
        says: says.to_owned(),
        ..event
    };
    let out = |element| What::Out {
        element,
        how: Failure::Errors,
    };
    let reports = vec![
        report(
            "calm",
            vec![named("nothing much", event(0, None, out(channel("unused"))))],
        ),
        report(
            "dark",
            vec![
                named(
                    "out: lab:anthropic",
                    event(600, Some(1_200), out(component("lab:anthropic"))),
                ),
                named(
                    "degraded: own",
                    event(
                        2_400,
                        None,
                        What::Degraded {
                            element: channel("own"),
                            errors: 500,
                            time: 2_000,
                        },
                    ),
                ),
            ],
        ),
    ];
    let report = ScenariosReport::new(&rehearsal, reports);
    assert_eq!(report.scenarios[0].id, "dark");
    insta::assert_snapshot!(report.text());
}

// === surges ===

/// One call a second and party, two parties, for ten minutes.
fn steady() -> Traffic {
    let base = grid();
    let view = |party: &'static str| tieline_drill::PartyView {
        allowed: &|_| true,
        party: party.into(),
        scope: tieline_core::Scope::Names(Arc::new(["cheap".into()])),
    };
    Traffic::steady(
        &base,
        &[view("one"), view("two")],
        START,
        Span::from_s(600),
        Span::from_s(1),
    )
}

fn surged(from_s: u64, until_s: Option<u64>, of: CallsOf, times: u32) -> SurgeOver {
    let at = |s| START.plus(Span::from_s(s));
    SurgeOver {
        from: at(from_s),
        of,
        seed: 1,
        times,
        until: until_s.map(at),
    }
}

fn by(party: &str) -> CallsOf {
    CallsOf {
        ask: None,
        parties: Some(BTreeSet::from([Arc::from(party)])),
    }
}

#[test]
fn a_surge_multiplies_whom_it_means_while_it_lasts() {
    let before = steady();
    assert_eq!(before.calls.len(), 1_200);
    let after = surge(&before, &[surged(60, Some(360), by("one"), 3_000)]);
    assert_eq!((after.added, after.dropped), (600, 0));
    assert_eq!(after.traffic.calls.len(), 1_800);
    assert!(
        after.traffic.window() <= Some((START, START.plus(Span::from_s(600)))),
        "copies stay within the surge"
    );
    // A factor between two whole numbers is met on average, below one calls are left out.
    let some = surge(&before, &[surged(0, None, CallsOf::default(), 1_250)]);
    assert!((250..350).contains(&some.added), "{}", some.added);
    let fewer = surge(&before, &[surged(0, None, by("two"), 500)]);
    assert!((250..350).contains(&fewer.dropped), "{}", fewer.dropped);
    assert_eq!(fewer.traffic.calls.len() as u64 + fewer.dropped, 1_200);
    let nobody = CallsOf {
        ask: Some("frontier".into()),
        parties: None,
    };
    assert_eq!(surge(&before, &[surged(0, None, nobody, 9_000)]).added, 0);
}

#[test]
fn what_a_surge_does_to_one_party_does_not_depend_on_another_surge() {
    let before = steady();
    let copies = |surges: &[SurgeOver]| {
        let after = surge(&before, surges);
        let ones = after.origin.iter().filter(|ix| *ix % 2 == 0).copied();
        ones.collect::<Vec<u32>>()
    };
    let one = surged(0, None, by("one"), 1_700);
    let two = surged(0, None, by("two"), 2_300);
    let (alone, both) = (copies(std::slice::from_ref(&one)), copies(&[one, two]));
    let count = |of: &[u32], ix: u32| of.iter().filter(|other| **other == ix).count();
    for ix in (0..1_200).step_by(2) {
        assert_eq!(count(&alone, ix), count(&both, ix), "call {ix}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_call_of_a_surge_has_its_original(times in 0_u32..4_000, seed in any::<u64>(), from in 0_u64..700) {
        let before = steady();
        let after = surge(&before, &[SurgeOver { seed, ..surged(from, Some(from + 100), by("one"), times) }]);
        prop_assert_eq!(after.origin.len(), after.traffic.calls.len());
        let kept: BTreeSet<u32> = after.origin.iter().copied().collect();
        prop_assert_eq!(kept.len() as u64 + after.dropped, 1_200);
        prop_assert_eq!(after.traffic.calls.len() as u64, 1_200 + after.added - after.dropped);
        prop_assert_eq!(surge(&before, &[]).origin, (0..1_200).collect::<Vec<u32>>());
    }
}

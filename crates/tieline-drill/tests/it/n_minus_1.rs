//! What each loss does, against the laws of counting, against hand-made cases, and against a live gateway that really
//! loses the element.

use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{FaultKind, GridRecord, Snapshot};
use tieline_drill::{
    Assumed, Bars, Basis, Contingencies, Contingency, CostChange, ElementKind, Known, Loss, NMinus1Report,
    PartyView, Rehearsal, Tally, Traffic,
};

use crate::grids::{Ledger, small_grid};
use crate::live::{Live, Script};
use crate::random::{fates, grid_version, record};

/// Each element cut in turn.
fn run(snapshot: &Arc<Snapshot>, traffic: &Traffic) -> NMinus1Report {
    run_with(snapshot, traffic, Loss::Cut, Known::default())
}

fn run_with(snapshot: &Arc<Snapshot>, traffic: &Traffic, loss: Loss, known: Known) -> NMinus1Report {
    let rehearsal = Rehearsal::new(snapshot, traffic, known);
    let assumed = Assumed {
        loss,
        ..Assumed::default()
    };
    let contingencies = Contingencies::single(&rehearsal, assumed);
    let plays: Vec<_> = (0..contingencies.plays())
        .map(|play| contingencies.play(play))
        .collect();
    contingencies.n_minus_1(&plays, &Bars::default())
}

fn without<'r>(report: &'r NMinus1Report, name: &str) -> &'r Contingency {
    report
        .contingencies
        .iter()
        .find(|c| c.gone[0].name == name)
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_counted_once_whatever_the_ledger(fates in fates(16), second in any::<bool>()) {
        let mut ledger = record(&fates);
        let snapshot = ledger.archive(&grid_version(second));
        let traffic = ledger.traffic();
        prop_assert_eq!(traffic.unreadable, 0);
        let report = run(&snapshot, &traffic);
        let base = &report.base;
        prop_assert_eq!(base.carried + base.refused, base.calls);
        prop_assert_eq!(report.contingencies.len(), snapshot.channels.len() + snapshot.components.len());
        for contingency in &report.contingencies {
            let tally = contingency.consequence.tally;
            prop_assert_eq!(tally.calls(), base.calls, "{:?}", contingency);
            prop_assert_eq!(tally.refused_before, base.refused);
            let parties: u64 = contingency.consequence.parties.iter().map(|row| row.tally.lost).sum();
            prop_assert_eq!(parties, tally.lost, "every lost call has a party");
        }
        for name in ["unused", "region:spare", "cloud:other"] {
            let tally = without(&report, name).consequence.tally;
            prop_assert_eq!(tally.kept, base.carried, "nothing used {}", name);
            prop_assert!(!tally.is_touched());
        }
        let dark = without(&report, "power:all");
        prop_assert_eq!(
            dark.consequence.tally.lost + dark.consequence.tally.held,
            base.carried,
            "nothing is left without it"
        );
        prop_assert_eq!(dark.consequence.hhi_after.channel, None);
    }

    /// The prediction for each loss is what a live gateway does that really loses the element, call by call.
    #[test]
    fn a_prediction_comes_true(calls in prop::collection::vec((0..3_usize, prop::bool::weighted(0.3)), 1..25)) {
        let (base, ledger, snapshot) = lived(&calls, None);
        let report = run(&snapshot, &ledger.traffic());
        prop_assert_eq!(report.base.as_recorded, report.base.answered_in_record);
        prop_assert_eq!(report.base.carried, calls.len() as u64);
        for contingency in &report.contingencies {
            let (cut, _, _) = lived(&calls, Some(contingency));
            let mut tally = Tally::default();
            let mut change = CostChange::Nano(0);
            for (before, after) in base.iter().zip(&cut) {
                let (Some(before), after) = (before, after) else { panic!("the base carries everything") };
                *match after {
                    None => &mut tally.lost,
                    Some(after) if after.model != before.model => &mut tally.degraded,
                    Some(after) if after.channel != before.channel => &mut tally.moved,
                    Some(_) => &mut tally.kept,
                } += 1;
                let costs = after.as_ref().and_then(|after| Some((before.cost?, after.cost?)));
                change = match (after, change, costs) {
                    (None, change, _) => change,
                    (_, CostChange::Nano(sum), Some((before, after))) => {
                        CostChange::Nano(sum + i128::from(after) - i128::from(before))
                    }
                    _ => CostChange::Unknown,
                };
            }
            prop_assert_eq!(contingency.consequence.tally, tally, "without {:?}", contingency.gone);
            prop_assert_eq!(contingency.consequence.cost_change_nano, change, "without {:?}", contingency.gone);
        }
    }
}

struct Answered {
    channel: Arc<str>,
    cost: Option<u64>,
    model: Arc<str>,
}

/// Who answers each call in a gateway that never had, or never lost, an element; and what it recorded.
fn lived(
    calls: &[(usize, bool)],
    gone: Option<&Contingency>,
) -> (Vec<Option<Answered>>, Ledger, Arc<Snapshot>) {
    let mut live = Live::new(&small_grid());
    match gone.map(|contingency| &contingency.gone[0]) {
        Some(gone) if gone.kind == ElementKind::Channel => {
            let channel = live.snapshot.channel_named(&gone.name).unwrap();
            live.fleet.cut_channel(channel);
        }
        Some(gone) => {
            let component = live.snapshot.component_named(&gone.name).unwrap();
            live.fleet.cut_component(component);
        }
        None => {}
    }
    let snapshot = live.snapshot.clone();
    let answered = calls.iter().map(|(ask, fails)| {
        let script = Script::default();
        let script = if *fails {
            script.failing("direct", FaultKind::Transient)
        } else {
            script
        };
        let usage = script.usage.unwrap();
        let (channel, model) = live.call(["frontier", "sonnet-only", "cheap"][*ask], &script)?;
        let ix = snapshot.model_named(&model).unwrap();
        let candidates = &snapshot.model(ix).unwrap().candidates;
        let on_channel = |c: &&_| {
            *snapshot
                .channel(tieline_core::grid::Candidate::clone(c).channel)
                .unwrap()
                .name
                == *channel
        };
        let price = snapshot
            .served(*candidates.iter().find(on_channel).unwrap())
            .unwrap()
            .price;
        Some(Answered {
            channel,
            cost: price.and_then(|price| price.cost(&usage)).map(|nano| nano.0),
            model,
        })
    });
    (answered.collect(), live.into_ledger(), snapshot)
}

/// Parties with different needs on the small grid.
fn office() -> (Arc<Snapshot>, Ledger) {
    let mut live = Live::new(&small_grid());
    for _ in 0..3 {
        live.call("frontier", &Script::default().by("agency"));
    }
    live.call(
        "frontier",
        &Script::default()
            .by("agency")
            .failing("direct", FaultKind::Overload),
    );
    for _ in 0..2 {
        live.call("sonnet-only", &Script::default().by("startup"));
    }
    live.call("cheap", &Script::default().by("startup"));
    // A party that policy keeps off every channel of the first cloud, and holds on the second lab.
    let careful = Script {
        denied: vec!["direct", "bedrock"],
        held: vec!["openai"],
        ..Script::default().by("careful")
    };
    live.call("frontier", &careful);
    live.call("sonnet-only", &careful);
    live.call("gpt-9", &Script::default().by("agency"));
    (live.snapshot.clone(), live.into_ledger())
}

#[test]
fn an_office_in_words_and_in_json() {
    let (snapshot, ledger) = office();
    let report = run(&snapshot, &ledger.traffic());
    insta::assert_snapshot!("office_text", report.text());
    insta::assert_snapshot!("office_json", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn a_party_that_is_held_elsewhere_waits_and_is_not_lost() {
    let (snapshot, ledger) = office();
    let report = run(&snapshot, &ledger.traffic());
    let vertex = without(&report, "vertex");
    assert_eq!(
        (vertex.consequence.tally.held, vertex.consequence.tally.lost),
        (1, 1)
    );
    assert_eq!(vertex.consequence.parties[0].party, "careful");
}

#[test]
fn a_channel_limit_binds_the_survivors() {
    let mut record: GridRecord = small_grid();
    let bedrock = record
        .channels
        .iter_mut()
        .find(|channel| &*channel.name == "bedrock")
        .unwrap();
    bedrock.limits.requests_per_day = Some(2);
    let mut live = Live::new(&record);
    for _ in 0..5 {
        live.call("sonnet-only", &Script::default());
    }
    let snapshot = live.snapshot.clone();
    let report = run(&snapshot, &live.into_ledger().traffic());
    let edge = without(&report, "edge:cloudflare").consequence.tally;
    assert_eq!(
        (edge.moved, edge.lost),
        (2, 3),
        "the rest exceeds the quota of the only channel left"
    );
}

#[test]
fn a_breaker_that_opened_keeps_calls_away_in_the_what_if_too() {
    let mut live = Live::new(&small_grid());
    for call in 0..10 {
        let script = Script {
            gap: tieline_core::Span::from_s(1),
            ..Script::default()
        };
        let fails = call < 5;
        let script = if fails {
            script.failing("direct", FaultKind::Transient)
        } else {
            script
        };
        live.call("sonnet-only", &script);
    }
    let snapshot = live.snapshot.clone();
    let report = run(&snapshot, &live.into_ledger().traffic());
    assert_eq!(report.base.as_recorded, 10);
    // Five failed over; the sixth came after at most a second, and probed.
    assert_eq!(without(&report, "bedrock").consequence.tally.moved, 5);
    assert_eq!(without(&report, "direct").consequence.tally.moved, 5);
}

#[test]
fn without_traffic_the_structure_is_asked() {
    let snapshot = Ledger::default().archive(&small_grid());
    let report = run(&snapshot, &Traffic::synthetic(&snapshot, &[]));
    assert_eq!(report.basis, Basis::Structure);
    insta::assert_snapshot!("structure_text", report.text());

    let own = snapshot.channel_named("own").unwrap();
    let barred = PartyView {
        allowed: &|candidate| candidate.channel != own,
        party: "barred".into(),
        scope: tieline_core::Scope::Names(Arc::new(["cheap".into(), "sonnet".into()])),
    };
    let report = run(&snapshot, &Traffic::synthetic(&snapshot, &[barred]));
    assert_eq!(
        (report.base.carried, report.base.refused),
        (1, 1),
        "cheap is never served"
    );
}

#[test]
fn calls_that_the_grid_no_longer_knows_are_said() {
    let (_, mut ledger) = office();
    let traffic = ledger.traffic();
    let mut record = small_grid();
    record.pools.retain(|pool| &*pool.name != "cheap");
    let extra = crate::grids::channel("new", &[], &[("gpt", Some(1))]);
    record.channels.push(extra);
    let report = run(&ledger.archive(&record), &traffic);
    assert_eq!((report.base.unmapped, report.base.unjudged), (1, 5));
    assert_eq!(
        without(&report, "lab:anthropic").consequence.tally.degraded,
        4,
        "the new channel was never judged"
    );
    assert!(report.text().contains("policy was not asked"));
}

#[test]
fn an_empty_ledger_is_no_error() {
    let snapshot = Ledger::default().archive(&small_grid());
    let report = run(&snapshot, &Ledger::default().traffic());
    assert_eq!(report.base.calls, 0);
    assert!(
        report
            .contingencies
            .iter()
            .all(|c| c.consequence.tally == Tally::default())
    );
}

#[test]
fn elements_that_take_out_the_same_channels_are_played_once() {
    let snapshot = Ledger::default().archive(&small_grid());
    let traffic = Traffic::synthetic(&snapshot, &[]);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let contingencies = Contingencies::single(&rehearsal, Assumed::default());
    let elements = snapshot.channels.len() + snapshot.components.len();
    assert!(contingencies.plays() < elements);
}

//! The grid at rest: goldens on the small grid, chokepoints against brute force on random grids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::grid::{GRID_V1, Settings};
use tieline_core::{FaultKind, GridRecord, Scope};
use tieline_drill::{
    AskWays, By, CutPair, Element, ElementKind, GridReport, Of, PAIRS_MAX, PartyView, hhi, structure,
    structure_with_shares,
};

use crate::grids::{Ledger, channel, component, lab, model, pool, small_grid};
use crate::live::{Live, Script};

#[test]
fn a_grid_in_words_and_in_json() {
    let snapshot = Ledger::default().archive(&small_grid());
    let vertex = snapshot.channel_named("vertex").unwrap();
    let parties = [
        PartyView {
            allowed: &|_| true,
            party: "agency".into(),
            scope: Scope::All,
        },
        PartyView {
            allowed: &|_| true,
            party: "bureau".into(),
            scope: Scope::All,
        },
        PartyView {
            allowed: &|candidate| candidate.channel == vertex,
            party: "careful".into(),
            scope: Scope::Names(Arc::new(["frontier".into(), "cheap".into()])),
        },
        PartyView {
            allowed: &|_| true,
            party: "nobody".into(),
            scope: Scope::Names(Arc::new([])),
        },
    ];
    let report = structure(&snapshot, &parties, None);
    insta::assert_snapshot!("grid_text", report.text());
    assert_eq!(
        report,
        structure(&snapshot, &parties, None),
        "the same grid gives the same report"
    );
    insta::assert_snapshot!("grid_json", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn recorded_traffic_gives_exact_concentration() {
    let mut live = Live::new(&small_grid());
    for _ in 0..3 {
        live.call("frontier", &Script::default());
    }
    live.call("frontier", &Script::default().failing("direct", FaultKind::Rate));
    live.call("cheap", &Script::default());
    let unknown = Script {
        usage: None,
        ..Script::default()
    };
    live.call("sonnet-only", &unknown);
    let snapshot = live.snapshot.clone();
    let traffic = live.into_ledger().traffic();
    let report = structure(&snapshot, &[], Some(&traffic));
    insta::assert_snapshot!("traffic_text", report.text());
    let empty = structure(&snapshot, &[], Some(&Ledger::default().traffic()));
    assert_eq!(
        empty,
        structure(&snapshot, &[], None),
        "an empty ledger is no traffic"
    );
}

#[test]
fn stated_shares_are_the_basis_where_nothing_is_recorded() {
    let snapshot = Ledger::default().archive(&small_grid());
    let shares: BTreeMap<Arc<str>, u32> = [("vertex".into(), 3), ("direct".into(), 1)].into();
    let report = structure_with_shares(&snapshot, &[], None, &shares);
    let by_channel = report
        .concentration
        .iter()
        .find(|c| c.by == By::Channel && c.of == Of::Calls)
        .unwrap();
    // 75 % and 25 %: 5,625 + 625.
    assert_eq!(by_channel.hhi, Some(6_250));
    assert!(
        report
            .text()
            .contains("the shares of calls that the configuration states")
    );
}

/// A random grid: components that depend on each other at will, channels on some of them, two models, two pools.
fn grids() -> impl Strategy<Value = GridRecord> {
    let arrows = prop::collection::vec((0..10_usize, 0..10_usize), 0..12);
    let channels = prop::collection::vec((prop::collection::vec(0..10_usize, 0..4), 0..3_usize), 1..5);
    (arrows, channels, any::<bool>()).prop_map(|(arrows, channels, both)| {
        let name = |ix: &usize| format!("c:{ix}");
        let mut components: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for (from, to) in arrows {
            let (from, needs) = component(&name(&from), &[&name(&to)]);
            components.entry(from).or_default().extend(needs);
        }
        let channels = channels.iter().enumerate().map(|(ix, (needs, serves))| {
            let needs: Vec<String> = needs.iter().map(name).collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            let models: &[(&str, Option<u64>)] =
                [&[("m", None)][..], &[("n", None)], &[("m", None), ("n", None)]][*serves];
            channel(&format!("ch{ix}"), &needs, models)
        });
        GridRecord {
            channels: channels.collect(),
            components,
            labs: vec![lab("l")],
            models: vec![model("m", "l"), model("n", "l")],
            pools: vec![
                pool("p", if both { &["m", "n"] } else { &["m"] }),
                pool("q", &["n"]),
            ],
            settings: Settings::default(),
            prices: std::collections::BTreeMap::new(),
            t: GRID_V1.into(),
        }
    })
}

/// Whether a channel needs `gone`, by walking the record's arrows.
fn needs(record: &GridRecord, channel: &str, gone: &str) -> bool {
    let direct = &record
        .channels
        .iter()
        .find(|c| &*c.name == channel)
        .unwrap()
        .components;
    let mut reached: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut open: Vec<Arc<str>> = direct.clone();
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(record.components.get(&name).cloned().unwrap_or_default());
        }
    }
    reached.contains(gone)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn chokepoints_are_what_brute_force_finds(
        record in grids(),
        barred in prop::array::uniform4(prop::bool::weighted(0.2)),
    ) {
        let snapshot = Ledger::default().archive(&record);
        let view = PartyView {
            allowed: &|candidate| !barred[usize::from(candidate.channel.0)],
            party: "p1".into(),
            scope: Scope::All,
        };
        let report = structure(&snapshot, &[view], None);
        let group = &report.parties[0];
        // Every way that is open, by brute force from the record.
        let ways = |ask: &str| -> Vec<String> {
            let models = &record.pools.iter().find(|p| &*p.name == ask).unwrap().models;
            let open = record.channels.iter().zip(barred).filter(|(_, barred)| !barred);
            let open = open.filter(|(c, _)| c.models.iter().any(|served| models.contains(&served.model)));
            open.map(|(c, _)| c.name.to_string()).collect()
        };
        let all: Vec<Arc<str>> = snapshot.components.clone();
        let choke = |ways: &[String]| -> (Vec<String>, Vec<String>) {
            let stops = |dead: &dyn Fn(&str) -> bool| !ways.is_empty() && ways.iter().all(|way| dead(way));
            let components = all.iter().filter(|gone| stops(&|way| needs(&record, way, gone)));
            let channels = record.channels.iter().filter(|gone| stops(&|way| way == &*gone.name));
            (
                components.map(ToString::to_string).collect(),
                channels.map(|channel| channel.name.to_string()).collect(),
            )
        };
        let found = |c: &tieline_drill::Chokepoints| {
            let (mut components, mut channels) = (c.components.clone(), c.channels.clone());
            components.sort();
            channels.sort();
            (components, channels)
        };
        let mut everything = Vec::new();
        for ask in ["p", "q"] {
            let ways = ways(ask);
            let row = group.asks.iter().find(|row| row.ask == ask).unwrap();
            prop_assert_eq!(found(&row.chokepoints), choke(&ways), "{}", ask);
            everything.extend(ways);
        }
        // A model that no pool holds may be asked for by name.
        for row in group.asks.iter().filter(|row| row.ask != "p" && row.ask != "q") {
            everything.extend(row.ways.iter().map(|way| way.channel.clone()));
        }
        prop_assert_eq!(found(&group.chokepoints), choke(&everything));
    }
    #[test]
    fn pairs_are_what_brute_force_finds(record in grids(), barred in prop::array::uniform4(prop::bool::weighted(0.2))) {
        let report = looked_at(&record, barred);
        let group = &report.parties[0];
        let elements = elements(&record, &report);
        let check = |pairs: &[CutPair], count: u64, ways: &BTreeSet<String>| {
            let stops = |gone: &[&Element]| ways.iter().all(|way| gone.iter().any(|gone| takes_out(&record, way, gone)));
            let singles: Vec<&Element> = elements.iter().filter(|one| stops(&[one])).collect();
            let mut expected = BTreeSet::new();
            for (ix, one) in elements.iter().enumerate().filter(|_| !ways.is_empty()) {
                for other in &elements[ix + 1..] {
                    let minimal = !singles.contains(&one) && !singles.contains(&other);
                    if minimal && stops(&[one, other]) {
                        expected.insert([one.clone(), other.clone()]);
                    }
                }
            }
            let mut ours = BTreeSet::new();
            for pair in pairs {
                for (one, other) in pair.first.iter().flat_map(|one| pair.second.iter().map(move |other| (one, other))) {
                    let mut pair = [one.clone(), other.clone()];
                    pair.sort_by_key(|one| elements.iter().position(|other| one == other));
                    assert!(ours.insert(pair), "a pair is named once");
                }
            }
            assert!(ours.is_subset(&expected), "{ours:?} {expected:?}");
            assert_eq!(count, expected.len() as u64);
            assert!(pairs.len() == PAIRS_MAX || ours == expected);
            assert!(pairs.windows(2).all(|two| two[0].both_out.value() >= two[1].both_out.value()));
        };
        for ask in &group.asks {
            check(&ask.pairs, ask.pairs_count, &ways(ask));
        }
        let all = group.asks.iter().flat_map(ways).collect();
        check(&group.pairs, group.pairs_count, &all);
    }

    #[test]
    fn what_a_loss_leaves_is_what_brute_force_finds(
        record in grids(),
        barred in prop::array::uniform4(prop::bool::weighted(0.2)),
    ) {
        let report = looked_at(&record, barred);
        let asks = &report.parties[0].asks;
        let served: Vec<&AskWays> = asks.iter().filter(|ask| !ask.ways.is_empty()).collect();
        // What answers each thing asked for, with an element gone or with nothing gone.
        let answers = |gone: Option<&Element>| -> Vec<Option<String>> {
            let open = |way: &&tieline_drill::Way| gone.is_none_or(|gone| !takes_out(&record, &way.channel, gone));
            served.iter().map(|ask| Some(ask.ways.iter().find(open)?.channel.clone())).collect()
        };
        let index = |answers: &[Option<String>]| {
            let mut weights: BTreeMap<&str, u128> = BTreeMap::new();
            for channel in answers.iter().flatten() {
                *weights.entry(channel).or_default() += 1;
            }
            hhi(weights.into_values())
        };
        let now = answers(None);
        for row in &report.elements {
            let then = answers(Some(&row.element));
            let bp = |count: usize| u32::try_from((count * 10_000 + served.len() / 2) / served.len()).unwrap();
            let lost = then.iter().filter(|answer| answer.is_none()).count();
            let moved = now.iter().zip(&then).filter(|(now, then)| then.is_some() && now != then).count();
            if !served.is_empty() {
                prop_assert_eq!((row.lost.calls_bp, row.calls_moved_bp), (Some(bp(lost)), bp(moved)), "{:?}", row.element);
            }
            let by_channel = row.concentration_after.iter().find(|after| after.by == By::Channel).unwrap();
            prop_assert_eq!(by_channel.hhi, index(&then));
            let change = index(&then).zip(index(&now)).map(|(then, now)| i64::from(then) - i64::from(now));
            prop_assert_eq!(by_channel.change, change);
            let out = record.channels.iter().filter(|channel| takes_out(&record, &channel.name, &row.element));
            prop_assert_eq!(&row.channels_out, &out.map(|channel| channel.name.to_string()).collect::<Vec<_>>());
        }
    }
}

/// The report for one party that is barred from some channels.
fn looked_at(record: &GridRecord, barred: [bool; 4]) -> GridReport {
    let snapshot = Ledger::default().archive(record);
    let view = PartyView {
        allowed: &|candidate| !barred[usize::from(candidate.channel.0)],
        party: "p1".into(),
        scope: Scope::All,
    };
    structure(&snapshot, &[view], None)
}

/// Every component and channel.
fn elements(record: &GridRecord, report: &GridReport) -> Vec<Element> {
    let components = report.components.iter().map(|row| Element {
        kind: ElementKind::Component,
        name: row.component.clone(),
    });
    let channels = record.channels.iter().map(|channel| Element {
        kind: ElementKind::Channel,
        name: channel.name.to_string(),
    });
    components.chain(channels).collect()
}

/// Whether a channel is out when an element is, by walking the record's arrows.
fn takes_out(record: &GridRecord, channel: &str, gone: &Element) -> bool {
    match gone.kind {
        ElementKind::Channel => gone.name == channel,
        ElementKind::Component => needs(record, channel, &gone.name),
    }
}

fn ways(ask: &AskWays) -> BTreeSet<String> {
    ask.ways.iter().map(|way| way.channel.clone()).collect()
}

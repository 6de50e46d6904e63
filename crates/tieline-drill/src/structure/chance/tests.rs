//! Chances against enumeration of every combination of elements.

use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::Snapshot;
use tieline_core::grid::{ChannelRecord, GRID_V1, GridRecord, Settings};
use tieline_core::{Dialect, Limits};

use super::super::downtime::{Downtime, DowntimeBasis, Downtimes};
use super::*;

/// Channels, each by the components that it needs, with how often each component is out in a thousand.
fn snapshot(channels: &[Vec<usize>]) -> Snapshot {
    let channel = |(ix, needs): (usize, &Vec<usize>)| ChannelRecord {
        components: needs.iter().map(|need| format!("c:{need}").into()).collect(),
        dialect: Dialect::OpenaiChat,
        limits: Limits::default(),
        media_tokens_max: None,
        models: Vec::new(),
        name: format!("ch{ix}").into(),
        operator_jurisdiction: None,
        provider: "p".into(),
        quota: None,
        region: None,
        region_country: None,
    };
    let record = GridRecord {
        channels: channels.iter().enumerate().map(channel).collect(),
        settings: Settings::default(),
        t: GRID_V1.into(),
        ..GridRecord::default()
    };
    Snapshot::build(Arc::new(record), [0; 32]).unwrap()
}

fn priors(snapshot: &Snapshot, permille: &[u32]) -> Downtimes {
    let mut priors = Downtimes::default();
    let components = snapshot.components.iter().map(ToString::to_string);
    let channels = snapshot
        .channels
        .iter()
        .map(|channel| format!("channel:{}", channel.name));
    for (name, permille) in components.chain(channels).zip(permille) {
        let prior = Downtime {
            basis: DowntimeBasis::Stated,
            minutes: 525_960,
            per_1000_years: *permille,
            source: "test".into(),
        };
        assert!(priors.state(&name, prior));
    }
    priors
}

/// Over every combination of elements: how much of the time all channels are out, with `fixed` out or up if it is given.
fn enumerated(elements: &Elements<'_>, channels: &[u16], fixed: Option<(u16, bool)>) -> f64 {
    let count = elements.len();
    let all = (0_u32..1 << count).filter(|set| fixed.is_none_or(|(ix, out)| (set & (1 << ix) != 0) == out));
    let all_out = all.filter(|set| {
        channels
            .iter()
            .all(|channel| (0..count).any(|ix| set & (1 << ix) != 0 && elements.takes_out(ix, *channel)))
    });
    let chance = |set: u32| -> f64 {
        let each = (0..count).filter(|ix| fixed.is_none_or(|(fixed, _)| fixed != *ix));
        each.map(|ix| {
            if set & (1 << ix) == 0 {
                1.0 - elements.out_of(ix)
            } else {
                elements.out_of(ix)
            }
        })
        .product()
    };
    all_out.map(chance).sum()
}

fn close(ours: f64, expected: f64) -> bool {
    (ours - expected).abs() <= 1e-12 + expected.abs() * 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn chances_and_importance_are_what_enumeration_finds(
        channels in prop::collection::vec(prop::collection::vec(0..6_usize, 0..4), 1..6),
        permille in prop::collection::vec(1_u32..500, 11),
    ) {
        let snapshot = snapshot(&channels);
        let priors = priors(&snapshot, &permille);
        let elements = Elements::new(&snapshot, &priors);
        let set: Vec<u16> = (0..).take(channels.len()).collect();
        let exposure = elements.exposure(&set);
        let expected = enumerated(&elements, &set, None);
        let risk = Risk::of(&elements, &exposure);
        prop_assert!(close(risk.all_out, expected), "{} {expected}", risk.all_out);
        for element in 0..elements.len() {
            let with = |out| enumerated(&elements, &set, Some((element, out)));
            let ours = risk.by_element.iter().find(|(ix, _)| *ix == element).map_or(0.0, |(_, rise)| *rise);
            prop_assert!(close(ours, with(true) - with(false)), "{element}: {ours}");
        }
        let mut chances = Chances::new(&elements);
        let split = chances.by_conditioning(&exposure).unwrap();
        prop_assert!(close(split, expected), "{split} {expected}");
    }

    #[test]
    fn draws_come_near_the_exact_chance(
        channels in prop::collection::vec(prop::collection::vec(0..6_usize, 0..4), 1..5),
        permille in prop::collection::vec(1_u32..300, 10),
    ) {
        let snapshot = snapshot(&channels);
        let priors = priors(&snapshot, &permille);
        let elements = Elements::new(&snapshot, &priors);
        let set: Vec<u16> = (0..).take(channels.len()).collect();
        let exposure = elements.exposure(&set);
        let exact = Risk::of(&elements, &exposure).all_out;
        let mut chances = Chances::new(&elements);
        let drawn = chances.by_drawing(&exposure);
        if let Some(error) = &drawn.standard_error {
            let estimate = drawn.estimate.unwrap().value();
            // Six standard errors: one false alarm in 500 million.
            prop_assert!((estimate - exact).abs() <= 6.0 * error.value() + 1e-4, "{estimate} {exact}");
        } else {
            prop_assert!(drawn.at_most.unwrap().value() >= exact * 0.2, "{exact}");
        }
    }
}

#[test]
fn what_was_never_drawn_has_a_bound_and_is_not_zero() {
    let drawn = |alone, hits| serde_json::to_value(super::drawn(alone, hits)).unwrap();
    assert_eq!(
        drawn(0.0, 0),
        serde_json::json!({ "at_most": "2.289e-5", "method": "drawn" })
    );
    assert_eq!(
        drawn(0.001, 0),
        serde_json::json!({ "at_most": "1.023e-3", "estimate": "1.000e-3", "method": "drawn" })
    );
    assert_eq!(
        drawn(0.0, 1_311),
        serde_json::json!({ "estimate": "1.000e-2", "method": "drawn", "standard_error": "2.749e-4" })
    );
}

#[test]
fn large_sets_are_answered_too() {
    // 100 channels in pairs on 50 components: more than a word of bits, more sets than can be tabulated.
    let channels: Vec<Vec<usize>> = (0..100).map(|ix| vec![ix / 2, 50 + ix % 7]).collect();
    let snapshot = snapshot(&channels);
    let elements = Elements::new(&snapshot, &Downtimes::default());
    let mut chances = Chances::new(&elements);
    let set = |count: u16| elements.exposure(&(0..count).collect::<Vec<_>>());
    let none = Risk::default();
    assert!(chances.all_out(&set(0), &none).is_none());
    let chance = chances.all_out(&set(100), &none).unwrap();
    assert_eq!((chance.method, chance.estimate), (Method::Drawn, None));
    // Fewer, of which it is known exactly: too small to be drawn, and not zero.
    let chance = chances.all_out(&set(12), &none).unwrap();
    assert_eq!(chance.method, Method::Exact);
    assert!(chance.estimate.unwrap().value() > 0.0);
}

//! Laws of arrivals: what is drawn from one has it for its law, and what is fitted to real traffic draws traffic like it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use tieline_core::{Dialect, Span, Tick};
use tieline_drill::{
    ArrivalLaw, Basis, Class, Distribution, Drawing, Family, GroupLaw, Known, LAW_V1, Law, LawError, Mapping,
    Onto, Rehearsal, ShareLaw, Traffic, Window,
};

use crate::data::{self, real};
use crate::traces::{mapping, one_pool, read, sum};

const MONDAY: Tick = Tick(1_780_272_000_000_000);

fn drawing(seed: u64, hours: u64) -> Drawing {
    Drawing {
        scale: 1.0,
        seed,
        window: Window {
            since: Some(MONDAY),
            until: Some(MONDAY.plus(Span::from_s(hours * 3_600))),
        },
    }
}

fn group(family: Family, shape: f64, per_hour: f64, median: f64, sigma: f64) -> GroupLaw {
    let clamped = |median: f64| Distribution::Lognormal {
        max: 100_000.0,
        median,
        min: 1.0,
        sigma,
    };
    GroupLaw {
        // Twice as busy by day as by night.
        arrivals: ArrivalLaw {
            cv: 0.0,
            family,
            hours: (0..168)
                .map(|hour| {
                    (
                        hour,
                        per_hour * if (8..20).contains(&(hour % 24)) { 4.0 } else { 2.0 } / 3.0,
                    )
                })
                .collect(),
            per_hour,
            shape,
        },
        bytes_per_token: 4.5,
        cache_read: Some(ShareLaw {
            calls: 0.4,
            size: Distribution::Constant { value: 0.75 },
        }),
        cache_write: None,
        calls: 1,
        class: Some(Class::Startup),
        dialect: Dialect::AnthropicMessages,
        model: None,
        ms_per_output_token: clamped(12.0),
        output_max: Some(ShareLaw {
            calls: 0.3,
            size: Distribution::Constant { value: 200_000.0 },
        }),
        output_tokens: Some(clamped(median / 2.0)),
        parties: BTreeMap::from([("p".to_owned(), 1)]),
        pool: Some("frontier".to_owned()),
        prompt_tokens: Some(clamped(median)),
        reasoning: Some(ShareLaw {
            calls: 0.5,
            size: Distribution::Constant { value: 0.5 },
        }),
        stream: 0.8,
        ttft_ms: clamped(400.0),
    }
}

fn law(groups: Vec<GroupLaw>) -> Law {
    Law {
        schema: LAW_V1,
        basis: Basis::Recorded,
        calls: 1,
        from: "2026-06-01T00:00:00Z".to_owned(),
        groups,
        left_out: 0,
        notes: Vec::new(),
        until: "2026-06-08T00:00:00Z".to_owned(),
    }
}

fn near(what: &str, found: f64, expected: f64, error: f64) {
    assert!(
        (found / expected - 1.0).abs() <= error,
        "{what}: {found} is not {expected} ± {} %",
        error * 100.0
    );
}

fn median(distribution: &Distribution) -> f64 {
    match distribution {
        Distribution::Constant { value } => *value,
        Distribution::Lognormal { median, .. } => *median,
        Distribution::Quantiles { quantiles } => {
            quantiles.iter().find(|(permille, _)| *permille == 500).unwrap().1
        }
    }
}

/// Rates within their sampling error, shapes within 6 % (of dense bursts 15 %), sizes within 8 %, parts within 2 % of all.
fn same(fitted: &GroupLaw, law: &GroupLaw, calls: u64) {
    let n = real(calls);
    // The variance of a count of a renewal process is that of Poisson times the squared cv.
    near(
        "rate",
        fitted.arrivals.per_hour,
        law.arrivals.per_hour,
        4.0 * fitted.arrivals.cv.max(1.0) / n.sqrt(),
    );
    if law.arrivals.family == Family::Exponential {
        // One law in some hundred is taken for a gamma of almost the same shape.
        near("cv", fitted.arrivals.cv, 1.0, 0.05);
    } else {
        assert_eq!(fitted.arrivals.family, law.arrivals.family);
        // Of the densest bursts many gaps are shorter than a microsecond, and nobody knows how much.
        let error = if law.arrivals.shape < 0.25 { 0.15 } else { 0.06 };
        near("shape", fitted.arrivals.shape, law.arrivals.shape, error);
    }
    let day = |arrivals: &ArrivalLaw| {
        let by_day = arrivals
            .hours
            .iter()
            .filter(|(hour, _)| (8..20).contains(&(hour % 24)));
        by_day.map(|(_, rate)| rate).sum::<f64>() / arrivals.hours.iter().map(|(_, rate)| rate).sum::<f64>()
    };
    near("share of the day", day(&fitted.arrivals), day(&law.arrivals), 0.1);
    for (what, fitted, law) in [
        (
            "prompt",
            fitted.prompt_tokens.as_ref().unwrap(),
            law.prompt_tokens.as_ref().unwrap(),
        ),
        (
            "output",
            fitted.output_tokens.as_ref().unwrap(),
            law.output_tokens.as_ref().unwrap(),
        ),
        ("ttft", &fitted.ttft_ms, &law.ttft_ms),
        ("per token", &fitted.ms_per_output_token, &law.ms_per_output_token),
    ] {
        near(what, median(fitted), median(law), 0.08);
    }
    for (what, fitted, law) in [
        ("cache", &fitted.cache_read, &law.cache_read),
        ("limit", &fitted.output_max, &law.output_max),
        ("reasoning", &fitted.reasoning, &law.reasoning),
    ] {
        let (fitted, law) = (fitted.as_ref().unwrap(), law.as_ref().unwrap());
        assert!(
            (fitted.calls - law.calls).abs() < 0.02,
            "{what}: {}",
            fitted.calls
        );
        near(what, median(&fitted.size), median(&law.size), 0.03);
    }
    assert!((fitted.stream - law.stream).abs() < 0.02, "{}", fitted.stream);
    near("bytes", fitted.bytes_per_token, law.bytes_per_token, 0.01);
    let names = |group: &GroupLaw| {
        (
            group.class,
            group.dialect,
            group.pool.clone(),
            group.model.clone(),
        )
    };
    assert_eq!(names(fitted), names(law));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_drawn_from_a_law_has_it(
        (family, shape) in prop_oneof![
            Just((Family::Exponential, 1.0)),
            (0.15..0.7_f64).prop_map(|shape| (Family::Gamma, shape)),
            (1.5..6.0_f64).prop_map(|shape| (Family::Gamma, shape)),
            (0.4..0.8_f64).prop_map(|shape| (Family::Weibull, shape)),
        ],
        seed in any::<u64>(),
        median in 300.0..3_000.0_f64,
        sigma in 0.3..1.2_f64,
    ) {
        let law = law(vec![group(family, shape, 60.0, median, sigma)]);
        let traffic = law.draw(None, &drawing(seed, 168)).unwrap();
        let fitted = Law::fit(&traffic).unwrap();
        prop_assert_eq!(fitted.groups.len(), 1);
        same(&fitted.groups[0], &law.groups[0], traffic.calls.len() as u64);
        // Written and read, it is the same law; and the same traffic again.
        let again = Law::parse("law.toml", &fitted.to_toml()).unwrap();
        prop_assert_eq!(&again, &fitted);
        prop_assert_eq!(law.draw(None, &drawing(seed, 168)).unwrap().digest(), traffic.digest());
    }
}

#[test]
fn a_law_is_fitted_to_real_traffic_and_draws_as_much() {
    let Some(path) = data::traffic("azure_2023_conv.csv") else {
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let traffic = read(&one_pool(), &Mapping::none(), &[("conv.csv", &bytes)], |_| {}).unwrap();
    let law = Law::fit(&traffic).unwrap();
    let mut drawn: Vec<Traffic> = Vec::new();
    for seed in 0..4 {
        let drawing = Drawing {
            scale: 1.0,
            seed,
            window: Window::default(),
        };
        drawn.push(law.draw(None, &drawing).unwrap());
    }
    let mean = |of: &dyn Fn(&Traffic) -> u64| real(drawn.iter().map(of).sum::<u64>()) / 4.0;
    near("calls", mean(&|t| t.calls.len() as u64), 19_366.0, 0.02);
    near(
        "prompt",
        mean(&|t| sum(t, |usage| usage.input)),
        22_361_870.0,
        0.03,
    );
    near(
        "answer",
        mean(&|t| sum(t, |usage| usage.output)),
        4_088_665.0,
        0.03,
    );
}

#[test]
fn those_who_ask_often_have_a_group_of_their_own() {
    let mut calls = String::from("at_s,party,prompt_tokens,output_tokens\n");
    for second in 0..2_000 {
        let party = match second % 10 {
            0..5 => "often".to_owned(),
            5..8 => "also".to_owned(),
            _ => format!("rare {}", second % 70),
        };
        writeln!(calls, "{second},{party},{},7", 10 + second % 5).unwrap();
    }
    let traffic = read(
        &one_pool(),
        &Mapping::none(),
        &[("c.csv", calls.as_bytes())],
        |_| {},
    )
    .unwrap();
    let law = Law::fit(&traffic).unwrap();
    let sizes: Vec<(u64, usize)> = law
        .groups
        .iter()
        .map(|group| (group.calls, group.parties.len()))
        .collect();
    assert_eq!(sizes, [(1_000, 1), (600, 1), (400, 14)]);
    assert_eq!(law.calls, 2_000);
    insta::assert_snapshot!("law_toml", law.to_toml());
    let drawn = law.draw(None, &drawing(1, 1)).unwrap();
    assert_eq!(drawn.parties().count(), 16);
}

/// A clock that ticks in seconds makes no law of bursts or of regularity.
#[test]
fn a_coarse_clock_does_not_change_the_law() {
    let law = law(vec![group(Family::Gamma, 0.6, 3_600.0, 500.0, 1.0)]);
    let fine = law.draw(None, &drawing(4, 6)).unwrap();
    let mut calls = String::from("at_s,prompt_tokens,output_tokens\n");
    for call in &fine.calls {
        writeln!(calls, "{},1,1", call.at().0 / 3_000_000 * 3).unwrap();
    }
    let coarse = read(
        &one_pool(),
        &Mapping::none(),
        &[("c.csv", calls.as_bytes())],
        |_| {},
    )
    .unwrap();
    let cv = |traffic: &Traffic| Law::fit(traffic).unwrap().groups[0].arrivals.cv;
    near("cv", cv(&fine), 1.29, 0.05);
    assert!((0.95..1.3).contains(&cv(&coarse)), "{}", cv(&coarse));
}

#[test]
fn a_law_is_drawn_at_a_scale_for_a_window_on_a_grid() {
    let snapshot = one_pool();
    let law = law(vec![group(Family::Exponential, 1.0, 600.0, 500.0, 1.0)]);
    let onto = Onto {
        snapshot: &snapshot,
        parties: &[],
    };
    let at = |scale: f64| {
        let drawing = Drawing {
            scale,
            ..drawing(5, 24)
        };
        law.draw(Some(onto), &drawing).unwrap()
    };
    let (one, three) = (at(1.0), at(3.0));
    near("calls", real(one.calls.len()), 14_400.0, 0.03);
    near("three times", real(three.calls.len()), 43_200.0, 0.03);
    assert!(one.calls.is_sorted_by_key(tieline_drill::TrafficCall::at));
    let last = one.calls.last().unwrap().at();
    assert!(one.calls[0].at() >= MONDAY && last < MONDAY.plus(Span::from_s(86_400)));
    let rehearsal = Rehearsal::new(&snapshot, &one, Known::default());
    // But for the few answers that take longer than a call may.
    near(
        "carried",
        real(rehearsal.base().carried),
        real(one.calls.len()),
        0.005,
    );
    assert_eq!(rehearsal.basis(), Basis::Drawn);
    assert_eq!(one.parties().next(), Some((&"p".into(), Some(Class::Startup))));
    insta::assert_snapshot!("law_notes", one.notes().join("\n"));
}

/// Another group in the law leaves the calls of the others as they were.
#[test]
fn groups_do_not_disturb_each_other() {
    let own = group(Family::Weibull, 0.5, 60.0, 500.0, 1.0);
    let other = GroupLaw {
        parties: BTreeMap::from([("q".to_owned(), 1)]),
        ..group(Family::Gamma, 0.3, 90.0, 900.0, 0.4)
    };
    let calls = |groups: Vec<GroupLaw>| {
        let traffic = law(groups).draw(None, &drawing(9, 48)).unwrap();
        let of_p = traffic
            .calls
            .iter()
            .filter(|call| &**traffic.party_of(call).unwrap() == "p");
        let calls: Vec<_> = of_p.map(|call| (call.at(), call.usage(), call.times())).collect();
        calls
    };
    let alone = calls(vec![own.clone()]);
    assert!(alone.len() > 1_000);
    assert_eq!(calls(vec![other, own]), alone);
}

#[test]
fn what_is_unknown_stays_unknown() {
    let mut unsized_group = group(Family::Exponential, 1.0, 60.0, 500.0, 1.0);
    unsized_group.prompt_tokens = None;
    let law = law(vec![unsized_group]);
    let traffic = law.draw(None, &drawing(1, 10)).unwrap();
    assert!(traffic.calls.iter().all(|call| call.usage().is_none()));
    let fitted = Law::fit(&traffic).unwrap();
    assert_eq!(
        (&fitted.groups[0].prompt_tokens, &fitted.groups[0].output_tokens),
        (&None, &None)
    );
}

#[test]
fn laws_that_cannot_be_drawn_say_why() {
    let snapshot = one_pool();
    let onto = Onto {
        snapshot: &snapshot,
        parties: &[],
    };
    let check = |group: GroupLaw, drawing: &Drawing, expected: &str| {
        let error = law(vec![group]).draw(Some(onto), drawing).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    let fine = || group(Family::Exponential, 1.0, 60.0, 500.0, 1.0);
    let week = drawing(1, 168);
    let scaled = |scale: f64| Drawing { scale, ..week };
    check(fine(), &scaled(0.0), "no number above 0");
    check(fine(), &scaled(f64::NAN), "no number above 0");
    check(
        fine(),
        &scaled(1e6),
        "10,080,000,000 calls would be drawn; at most 10,000,000 are",
    );
    check(fine(), &drawing(1, 24 * 366 * 21), "a law is for at most 20");
    check(fine(), &drawing(1, 0), "there is no call");
    let pool = Some("backwater".to_owned());
    check(GroupLaw { pool, ..fine() }, &week, "no pool or model `backwater`");
    let quiet = ArrivalLaw {
        hours: Vec::new(),
        per_hour: 0.0,
        ..fine().arrivals
    };
    check(
        GroupLaw {
            arrivals: quiet,
            ..fine()
        },
        &week,
        "there is no call",
    );
    let empty = read(&snapshot, &mapping(""), &[], |_| {}).unwrap_err();
    assert!(empty.to_string().contains("no call is left"), "{empty}");
    let long = "at_s,prompt_tokens,output_tokens\n0,1,1\n700000000,1,1\n";
    let long = read(&snapshot, &mapping(""), &[("c", long.as_bytes())], |_| {}).unwrap();
    assert!(matches!(Law::fit(&long), Err(LawError::TooLong { .. })));
}

#[test]
fn every_mistake_of_a_law_is_shown_with_its_line() {
    let whole = law(vec![group(Family::Gamma, 0.5, 60.0, 500.0, 1.0)]).to_toml();
    assert!(Law::parse("law.toml", &whole).is_ok());
    let mut said = String::new();
    for (from, to) in [
        ("tieline/drill-fit/v1", "tieline/drill-fit/v2"),
        ("2026-06-08", "2026-05-08"),
        ("2026-06-01", "a day in June"),
        ("stream = 0.8", "stream = 1.8"),
        ("calls = 0.4", "calls = -0.4"),
        ("shape = 0.5", "shape = 0.0"),
        ("family = \"gamma\"", "family = \"normal\""),
        ("per_hour = 60.0", "per_hour = inf"),
        ("[0, 40.0], [1, 40.0]", "[1, 40.0], [1, 40.0]"),
        ("[0, 40.0], [1, 40.0]", "[0, 40.0], [168, 40.0]"),
        ("pool = \"frontier\"", "pool = \"frontier\"\nmodel = \"gpt\""),
        ("pool = \"frontier\"", ""),
        ("\"p\" = 1", ""),
        ("bytes_per_token = 4.5", "bytes_per_token = nan"),
        ("median = 500.0", "median = 0.0"),
        ("sigma = 1.0", "sigma = -1.0"),
        ("dialect", "accent"),
        ("[[groups]]", "[[groups"),
    ] {
        let broken = whole.replacen(from, to, 1);
        assert_ne!(broken, whole, "{from}");
        let problems = Law::parse("law.toml", &broken).unwrap_err();
        writeln!(said, "{from} -> {to}\n{problems}\n").unwrap();
    }
    insta::assert_snapshot!("law_mistakes", said);
}

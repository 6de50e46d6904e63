//! The plan against brute force on small random grids, and hand-made cases of each reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::grid::GRID_V1;
use tieline_core::{GridRecord, Limits, Nano, Ruling, Snapshot};
use tieline_drill::{
    Alone, Assumed, Catalogue, Change, Known, Loss, Offer, OfferKind, PlanReport, PlanSearch, Raise, Traffic,
    Why,
};

use crate::grids::{Ledger, channel, in_order, lab, model, pool};
use crate::live::{Live, Script};

const CLOUDS: [&str; 3] = ["cloud:a", "cloud:b", "cloud:c"];
const MODELS: [&str; 3] = ["x", "y", "z"];

fn grid(channels: Vec<tieline_core::grid::ChannelRecord>) -> GridRecord {
    GridRecord {
        channels,
        components: BTreeMap::new(),
        labs: vec![lab("one")],
        models: MODELS.map(|name| model(name, "one")).to_vec(),
        pools: vec![pool("xy", &["x", "y"]), pool("z-only", &["z"])],
        prices: BTreeMap::new(),
        settings: in_order(),
        t: GRID_V1.into(),
    }
}

fn offer(name: &str, usd: u64, change: Change) -> Offer {
    Offer {
        change,
        cost_nano_per_month: Nano(usd * 1_000_000_000),
        date: "2026-11-20".into(),
        kind: OfferKind::Contract,
        lead_days: 7,
        name: name.into(),
        source: "a test".into(),
    }
}

fn offered(name: &str, usd: u64, components: &[&str], models: &[&str]) -> Offer {
    let models: Vec<_> = models.iter().map(|name| (*name, Some(1))).collect();
    offer(
        name,
        usd,
        Change::Channel(Box::new(channel(name, components, &models))),
    )
}

/// As the command does it.
fn planned(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    catalogue: &Catalogue,
    loss: Loss,
    all: bool,
) -> PlanReport {
    let assumed = Assumed {
        loss,
        ..Assumed::default()
    };
    let search = PlanSearch::new(snapshot, traffic, Known::default(), assumed, catalogue);
    let today = search.today();
    let plays: Vec<_> = (0..today.plays()).map(|play| today.play(play)).collect();
    let threats = search.threats(&plays);
    if threats.is_empty() {
        return search.report(threats, &[], &[], 0);
    }
    let attempt =
        |sets: &[Vec<usize>]| -> Vec<_> { sets.iter().map(|set| search.attempt(set, &threats)).collect() };
    let singles = attempt(&search.singles());
    let (pairs, left_out) = search.pairs(&singles, all);
    let pairs = attempt(&pairs);
    search.report(threats, &singles, &pairs, left_out)
}

/// A way of the random world: which models on which cloud.
type Way = (usize, Vec<usize>);

fn ways(max: usize) -> impl Strategy<Value = Vec<Way>> {
    let models = prop::sample::subsequence(vec![0, 1, 2], 1..=2);
    prop::collection::vec((0..CLOUDS.len(), models), 1..=max)
}

/// Whether the ways leave each pool served that `today` serves, whatever one channel or cloud is gone. Each comes with
/// whether the rules allow it.
fn is_secure(ways: &[(&Way, bool)], today: &[(&Way, bool)]) -> bool {
    let serves = |way: &Way, pool: usize| way.1.iter().any(|model| (*model == 2) == (pool == 1));
    let carried = |ways: &[(&Way, bool)], pool, gone: &dyn Fn(usize, &Way) -> bool| {
        let mut ways = ways.iter().enumerate();
        ways.any(|(ix, (way, allowed))| *allowed && serves(way, pool) && !gone(ix, way))
    };
    (0..2)
        .filter(|pool| carried(today, *pool, &|_, _| false))
        .all(|pool| {
            let each_channel = (0..ways.len()).all(|lost| carried(ways, pool, &|ix, _| ix == lost));
            let each_cloud = (0..CLOUDS.len()).all(|cloud| carried(ways, pool, &|_, way| way.0 == cloud));
            each_channel && each_cloud
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// What is printed is what brute force over all singles and pairs finds, in its order; with `--pairs` all of it, else
    /// at least the cheapest.
    #[test]
    fn the_plan_is_the_cheapest(
        have in ways(3),
        offers in prop::collection::vec((ways(1), 1_u64..9, prop::bool::weighted(0.8)), 1..5),
    ) {
        let names = ["p", "q", "r"];
        let channel_of = |name: &str, (cloud, models): &Way| {
            let models: Vec<_> = models.iter().map(|ix| (MODELS[*ix], Some(1))).collect();
            channel(name, &[CLOUDS[*cloud]], &models)
        };
        let record = grid(have.iter().zip(names).map(|(way, name)| channel_of(name, way)).collect());
        let mut ledger = Ledger::default();
        let snapshot = ledger.archive(&record);
        let catalogue = Catalogue {
            components: BTreeMap::new(),
            offers: offers.iter().enumerate().map(|(ix, (way, usd, _))| {
                let name = format!("offer-{ix}");
                offer(&name, *usd, Change::Channel(Box::new(channel_of(&name, &way[0]))))
            }).collect(),
        };
        let mut traffic = Traffic::synthetic(&snapshot, &[]);
        traffic.judge(&catalogue.lanes(), &|_, _, channel, _| {
            let ix: usize = channel.trim_start_matches("offer-").parse().unwrap();
            if offers[ix].2 { Ruling::Allow } else { Ruling::Deny }
        });
        let today: Vec<(&Way, bool)> = have.iter().map(|way| (way, true)).collect();
        let serves = |set: &[usize]| {
            let more = set.iter().map(|ix| (&offers[*ix].0[0], offers[*ix].2));
            let ways: Vec<_> = today.iter().copied().chain(more).collect();
            is_secure(&ways, &today)
        };
        let cost = |set: &[usize]| set.iter().map(|ix| offers[*ix].1).sum::<u64>();
        let mut all: Vec<Vec<usize>> = (0..offers.len()).map(|ix| vec![ix]).collect();
        all.extend((0..offers.len()).flat_map(|a| (a + 1..offers.len()).map(move |b| vec![a, b])));
        let least = all.iter().filter(|set| serves(set)).map(|set| cost(set)).min();
        for every in [false, true] {
            let report = planned(&snapshot, &traffic, &catalogue, Loss::Cut, every);
            prop_assert_eq!(report.threats.is_empty(), is_secure(&today, &today));
            if report.threats.is_empty() {
                prop_assert!(report.fixes.is_empty());
                continue;
            }
            let first = report.fixes.first().map(|fix| fix.cost_nano_per_month.0 / 1_000_000_000);
            prop_assert_eq!(first, least, "{}", report.text());
            prop_assert_eq!(report.is_good(), least.is_some());
            prop_assert_eq!(report.unsecured.is_empty(), least.is_some());
            let costs: Vec<_> = report.fixes.iter().map(|fix| fix.cost_nano_per_month).collect();
            prop_assert!(costs.is_sorted());
            let mut found: Vec<Vec<usize>> = report.fixes.iter().map(|fix| {
                fix.offers.iter().map(|name| name.trim_start_matches("offer-").parse().unwrap()).collect()
            }).collect();
            found.sort();
            let minimal = |set: &&Vec<usize>| serves(set) && (set.len() == 1 || !set.iter().any(|ix| serves(&[*ix])));
            let mut expected: Vec<Vec<usize>> = all.iter().filter(minimal).cloned().collect();
            if !every {
                let single = expected.iter().filter(|set| set.len() == 1).map(|set| cost(set)).min();
                expected.retain(|set| set.len() == 1 || single.is_none_or(|single| cost(set) < single));
            }
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}

/// Forty calls in a minute for `z` over a channel without a limit, with a small one behind it.
fn crowded(offers: Vec<Offer>) -> PlanReport {
    let mut small = channel("small", &["cloud:b"], &[("z", Some(1))]);
    small.limits = Limits {
        requests_per_minute: Some(2),
        ..Limits::default()
    };
    let mut live = Live::new(&grid(vec![
        channel("large", &["cloud:a"], &[("z", Some(1))]),
        small,
    ]));
    for _ in 0..40 {
        live.call("z-only", &Script::default().by("agency")).unwrap();
    }
    let snapshot = live.snapshot.clone();
    let mut traffic = live.into_ledger().traffic();
    let catalogue = Catalogue {
        components: BTreeMap::new(),
        offers,
    };
    traffic.judge(&catalogue.lanes(), &|party, end_use, _, _| {
        assert_eq!((party, end_use), ("agency", None));
        Ruling::Allow
    });
    planned(&snapshot, &traffic, &catalogue, Loss::Refused, false)
}

fn raised(requests_per_minute: u32) -> Offer {
    let raise = Raise {
        channel: "small".into(),
        limits: Limits {
            requests_per_minute: Some(requests_per_minute),
            ..Limits::default()
        },
        quota: None,
    };
    offer("more", 10, Change::Raise(Box::new(raise)))
}

#[test]
fn a_raise_serves_if_it_is_large_enough() {
    let enough = crowded(vec![raised(1_000)]);
    assert!(!enough.threats.is_empty());
    assert_eq!(enough.offers[0].alone, Alone::Serves, "{}", enough.text());
    let too_small = crowded(vec![raised(3)]);
    assert!(matches!(&too_small.offers[0].alone, Alone::Fails { gone, .. } if !gone.is_empty()));
    assert!(!too_small.is_good());
    assert!(too_small.unsecured.iter().all(|row| row.why == Why::NotEnough));
}

#[test]
fn recorded_calls_use_an_offered_channel_if_the_rules_allow_it() {
    let report = crowded(vec![offered("third", 5, &["cloud:c"], &["z"]), raised(1_000)]);
    let fixes: Vec<_> = report.fixes.iter().map(|fix| fix.offers.join("+")).collect();
    assert_eq!(fixes, ["third", "more"], "{}", report.text());
}

/// `x` and `z` on one cloud, and what can be bought.
fn reasons(offers: Vec<Offer>, ruling: Ruling) -> PlanReport {
    let mut ledger = Ledger::default();
    let snapshot = ledger.archive(&grid(vec![channel(
        "only",
        &["cloud:a"],
        &[("x", Some(1)), ("z", Some(1))],
    )]));
    let catalogue = Catalogue {
        components: BTreeMap::from([("cloud:new".into(), vec!["cloud:a".into()])]),
        offers,
    };
    let mut traffic = Traffic::synthetic(&snapshot, &[]);
    traffic.judge(&catalogue.lanes(), &|_, _, _, _| ruling);
    planned(&snapshot, &traffic, &catalogue, Loss::Cut, false)
}

#[test]
fn what_cannot_be_secured_says_why() {
    let both = || offered("both", 5, &["cloud:b"], &["x", "z"]);
    let why = |report: &PlanReport| {
        let mut why: Vec<_> = report
            .unsecured
            .iter()
            .map(|row| (row.asks.clone(), row.why))
            .collect();
        why.sort();
        why.dedup();
        why
    };
    assert_eq!(why(&reasons(vec![both()], Ruling::Allow)), []);
    let of = |why| ["xy", "z-only"].map(|asks| (asks.to_owned(), why));
    for ruling in [Ruling::Deny, Ruling::Hold] {
        let report = reasons(vec![both()], ruling);
        assert_eq!(why(&report), of(Why::Rules), "{}", report.text());
        assert!(report.fixes.is_empty(), "what a rule forbids is never offered");
    }
    let half = reasons(vec![offered("half", 5, &["cloud:b"], &["x"])], Ruling::Allow);
    assert_eq!(
        why(&half),
        [("z-only".to_owned(), Why::NoOffer)],
        "{}",
        half.text()
    );
    // What the catalogue says that a component needs counts.
    let hidden = reasons(
        vec![offered("hidden", 5, &["cloud:new"], &["x", "z"])],
        Ruling::Allow,
    );
    assert!(matches!(&hidden.offers[0].alone, Alone::Screened { gone, .. } if gone[0].name == "cloud:a"));
    insta::assert_snapshot!("plan_unsecured", half.text());
}

#[test]
fn a_rule_has_a_price_and_no_way_around() {
    let offers = || vec![offered("both", 5, &["cloud:b"], &["x", "z"])];
    let mut with = reasons(offers(), Ruling::Deny);
    let without = reasons(offers(), Ruling::Allow);
    with.price_rules(&without);
    assert!(with.fixes.is_empty() && !with.is_good());
    assert!(with.rules.unwrap().stands_between);
    let mut free = without.clone();
    free.price_rules(&without);
    assert_eq!(free.rules.unwrap().cost_nano_per_month, Some(Nano(0)));
}

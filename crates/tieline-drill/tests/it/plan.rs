//! The plan against brute force on small random grids, and hand-made cases of each reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::grid::{ChannelRecord, GRID_V1};
use tieline_core::{GridRecord, Limits, Nano, Ruling, Snapshot, Span};
use tieline_drill::{
    Alone, Assumed, Catalogue, Change, Known, Loss, Offer, OfferKind, PlanReport, PlanSearch, Raise, Traffic,
    Why,
};

use crate::grids::{Ledger, channel, in_order, lab, model, pool};
use crate::live::{Live, Script};

const CLOUDS: [&str; 3] = ["cloud:a", "cloud:b", "cloud:c"];
const MODELS: [&str; 3] = ["x", "y", "z"];

fn grid(channels: Vec<ChannelRecord>) -> GridRecord {
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

pub(crate) fn offered(name: &str, usd: u64, components: &[&str], models: &[&str]) -> Offer {
    let models: Vec<_> = models.iter().map(|name| (*name, Some(1))).collect();
    offer(
        name,
        usd,
        Change::Channel(Box::new(channel(name, components, &models))),
    )
}

/// As the command does it.
pub(crate) fn planned(
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
    let mut report = searched(&search, all);
    if let Some(rest) = search.rest(&report.threats).filter(|_| report.fixes.is_empty()) {
        report.add_rest(searched(&rest, all));
    }
    report
}

fn searched(search: &PlanSearch<'_>, all: bool) -> PlanReport {
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

fn serves_pool(way: &Way, pool: usize) -> bool {
    way.1.iter().any(|model| (*model == 2) == (pool == 1))
}

/// Whether the ways leave each pool served that `today` serves, whatever one channel or cloud is gone. Each comes with
/// whether the rules allow it.
fn is_secure(ways: &[(&Way, bool)], today: &[(&Way, bool)]) -> bool {
    (0..2).all(|pool| is_secure_for(pool, ways, today))
}

fn is_secure_for(pool: usize, ways: &[(&Way, bool)], today: &[(&Way, bool)]) -> bool {
    let carried = |ways: &[(&Way, bool)], pool, gone: &dyn Fn(usize, &Way) -> bool| {
        let mut ways = ways.iter().enumerate();
        ways.any(|(ix, (way, allowed))| *allowed && serves_pool(way, pool) && !gone(ix, way))
    };
    let each_channel = (0..ways.len()).all(|lost| carried(ways, pool, &|ix, _| ix == lost));
    let each_cloud = (0..CLOUDS.len()).all(|cloud| carried(ways, pool, &|_, way| way.0 == cloud));
    !carried(today, pool, &|_, _| false) || each_channel && each_cloud
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
        let with = |set: &[usize]| -> Vec<(&Way, bool)> {
            let more = set.iter().map(|ix| (&offers[*ix].0[0], offers[*ix].2));
            today.iter().copied().chain(more).collect()
        };
        let serves = |set: &[usize]| is_secure(&with(set), &today);
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
            // Where nothing serves both pools: what serves the one that all offers together secure.
            let everything = with(&(0..offers.len()).collect::<Vec<_>>());
            let asked = |pool: &usize| today.iter().any(|way| serves_pool(way.0, *pool));
            let able: Vec<_> = (0..2).filter(asked).filter(|pool| is_secure_for(*pool, &everything, &today)).collect();
            let is_split = least.is_none() && able.len() == 1 && (0..2).all(|pool| asked(&pool));
            prop_assert_eq!(report.rest.is_some(), is_split, "{}", report.text());
            if let (Some(rest), [pool]) = (&report.rest, able.as_slice()) {
                prop_assert_eq!(rest.is_secure, is_secure_for(*pool, &today, &today));
                let of_rest = all.iter().filter(|set| is_secure_for(*pool, &with(set), &today));
                let least = of_rest.map(|set| cost(set)).min().filter(|_| !rest.is_secure);
                let first = rest.fixes.first().map(|fix| fix.cost_nano_per_month.0 / 1_000_000_000);
                prop_assert_eq!(first, least, "{}", report.text());
            }
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

/// Calls for `z` within a blink over `channels`, with what can be bought. They were recorded where there was room for all.
fn at_once(calls: u64, channels: Vec<ChannelRecord>, offers: Vec<Offer>) -> PlanReport {
    let mut roomy = grid(channels.clone());
    for channel in &mut roomy.channels {
        channel.limits = Limits::default();
    }
    let mut live = Live::new(&roomy);
    let script = Script {
        gap: Span::from_ms(1),
        ..Script::default().by("agency")
    };
    for _ in 0..calls {
        live.call("z-only", &script).unwrap();
    }
    let mut ledger = live.into_ledger();
    let snapshot = ledger.archive(&grid(channels));
    let mut traffic = ledger.traffic();
    let catalogue = Catalogue {
        components: BTreeMap::new(),
        offers,
    };
    traffic.judge(&catalogue.lanes(), &|_, _, _, _| Ruling::Allow);
    planned(&snapshot, &traffic, &catalogue, Loss::Cut, false)
}

fn limited(name: &str, cloud: &str, requests_per_minute: u32) -> ChannelRecord {
    let mut channel = channel(name, &[cloud], &[("z", Some(1))]);
    channel.limits.requests_per_minute = Some(requests_per_minute);
    channel
}

/// What is refused for want of room today is not an offer's to secure, even where the offer serves it with nothing gone.
#[test]
fn an_offer_secures_what_is_served_today_and_need_not_more() {
    let offers = || {
        vec![offer(
            "second",
            5,
            Change::Channel(Box::new(limited("second", "cloud:b", 30))),
        )]
    };
    let report = at_once(40, vec![limited("first", "cloud:a", 30)], offers());
    assert!(report.base.refused > 0, "{}", report.text());
    assert_eq!(report.offers[0].alone, Alone::Serves, "{}", report.text());
}

/// A channel with a limit, or a raise of the one of that place.
#[derive(Clone, Debug)]
enum Room {
    Channel(usize, u32),
    Raise(usize, u32),
}

/// Limits are even tens and the calls five over: within a blink a limit may come back by one, and never by five.
const CALLS: u32 = 25;

fn tens() -> impl Strategy<Value = u32> {
    (1_u32..4).prop_map(|n| n * 10)
}

/// Whether what is left has room for all calls, whatever one channel or cloud is gone; one on cloud 0 has no limit.
fn has_room(limited: &[(usize, u32)]) -> bool {
    let left = |is_left: &dyn Fn(usize, usize) -> bool| {
        let all = limited.iter().enumerate();
        let left = all.filter(|(ix, (cloud, _))| is_left(*ix, *cloud));
        left.map(|(_, (_, limit))| limit).sum::<u32>() >= CALLS
    };
    // Without another channel or cloud, the one that has no limit carries everything.
    left(&|_, _| true) && left(&|_, cloud| cloud != 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The same where there is a way for everybody, and the question is whether there is room.
    #[test]
    fn the_plan_is_the_cheapest_that_has_room(
        have in prop::collection::vec((0..CLOUDS.len(), tens()), 1..=2),
        offers in prop::collection::vec((prop_oneof![
            (0..CLOUDS.len(), tens()).prop_map(|(cloud, limit)| Room::Channel(cloud, limit)),
            (0..2_usize, tens()).prop_map(|(place, limit)| Room::Raise(place, limit)),
        ], 1_u64..9), 1..5),
    ) {
        let names = ["p", "q"];
        let mut channels = vec![channel("large", &[CLOUDS[0]], &[("z", Some(1))])];
        channels.extend(have.iter().zip(names).map(|((cloud, limit), name)| limited(name, CLOUDS[*cloud], *limit)));
        let priced: Vec<Offer> = offers.iter().enumerate().map(|(ix, (room, usd))| {
            let name = format!("offer-{ix}");
            let change = match room {
                Room::Channel(cloud, limit) => Change::Channel(Box::new(limited(&name, CLOUDS[*cloud], *limit))),
                Room::Raise(place, limit) => Change::Raise(Box::new(Raise {
                    channel: names[place % have.len()].into(),
                    limits: Limits { requests_per_minute: Some(*limit), ..Limits::default() },
                    quota: None,
                })),
            };
            offer(&name, *usd, change)
        }).collect();
        let serves = |set: &[usize]| {
            let mut all = have.clone();
            for ix in set {
                match offers[*ix].0 {
                    Room::Channel(cloud, limit) => all.push((cloud, limit)),
                    Room::Raise(place, limit) => {
                        let place = &mut all[place % have.len()].1;
                        *place = (*place).max(limit);
                    }
                }
            }
            has_room(&all)
        };
        let report = at_once(CALLS.into(), channels, priced);
        prop_assert_eq!(report.threats.is_empty(), has_room(&have), "{}", report.text());
        if !report.threats.is_empty() {
            let pairs = (0..offers.len()).flat_map(|a| (a + 1..offers.len()).map(move |b| vec![a, b]));
            let all = (0..offers.len()).map(|ix| vec![ix]).chain(pairs).filter(|set| serves(set));
            let least = all.map(|set| set.iter().map(|ix| offers[*ix].1).sum::<u64>()).min();
            let first = report.fixes.first().map(|fix| fix.cost_nano_per_month.0 / 1_000_000_000);
            prop_assert_eq!(first, least, "{}", report.text());
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
    assert!(
        half.rest
            .as_ref()
            .is_some_and(|rest| rest.fixes[0].offers == ["half"])
    );
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

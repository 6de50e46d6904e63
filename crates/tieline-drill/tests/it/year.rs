//! Stochastic years against closed forms, against structure, and against every set of channels counted by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{GridRecord, Quota, QuotaModel, Snapshot};
use tieline_drill::{
    Assumed, CauseKind, Downtime, DowntimeBasis, Downtimes, Known, Label, Loss, RUNS_MAX, Rehearsal, Traffic,
    Year, YearError, YearOptions, YearReport, structure_given,
};

use crate::data;
use crate::grids::{Ledger, channel, in_order, lab, model, pool, small_grid};
use crate::traces::{mapping, read};

const HOURS_OF_YEAR: f64 = 8_766.0;

fn options(runs: u32) -> YearOptions {
    YearOptions {
        assumed: Assumed::default(),
        common: 0,
        runs,
        seed: 7,
    }
}

/// How often and how long, in the words of a file of priors.
fn prior(per_1000_years: u32, minutes: u32) -> Downtime {
    Downtime {
        basis: DowntimeBasis::Stated,
        minutes,
        per_1000_years,
        source: "test".into(),
    }
}

fn downtimes(rows: &[(&str, u32, u32)]) -> Downtimes {
    let mut downtimes = Downtimes::default();
    for (name, per_1000_years, minutes) in rows {
        assert!(downtimes.state(name, prior(*per_1000_years, *minutes)), "{name}");
    }
    downtimes
}

/// One model on some channels, each with what it needs, and one pool of it.
fn grid(channels: &[(&str, &[&str])]) -> GridRecord {
    GridRecord {
        channels: channels
            .iter()
            .map(|(name, needs)| channel(name, needs, &[("m", Some(1))]))
            .collect(),
        components: BTreeMap::new(),
        labs: vec![lab("open")],
        models: vec![model("m", "open")],
        pools: vec![pool("p", &["m"])],
        settings: in_order(),
        ..small_grid()
    }
}

fn opened(record: &GridRecord) -> Arc<Snapshot> {
    Ledger::default().archive(record)
}

fn reported(record: &GridRecord, downtimes: &Downtimes, options: YearOptions) -> YearReport {
    let snapshot = opened(record);
    let traffic = Traffic::synthetic(&snapshot, &[]);
    of_traffic(&snapshot, &traffic, downtimes, options).unwrap()
}

fn of_traffic(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    downtimes: &Downtimes,
    options: YearOptions,
) -> Result<YearReport, YearError> {
    drawn(snapshot, traffic, downtimes, options, usize::MAX)
}

/// With so many of the worst episodes decided.
fn drawn(
    snapshot: &Arc<Snapshot>,
    traffic: &Traffic,
    downtimes: &Downtimes,
    options: YearOptions,
    episodes: usize,
) -> Result<YearReport, YearError> {
    let rehearsal = Rehearsal::new(snapshot, traffic, Known::default());
    let year = Year::new(&rehearsal, downtimes, options)?;
    // Backwards, as threads might.
    let mut runs: Vec<_> = (0..year.runs()).rev().map(|ix| year.run(ix)).collect();
    runs.reverse();
    let years = year.gather(runs);
    let episodes = (0..year.episodes(&years).min(episodes))
        .map(|ix| year.episode(&years, ix))
        .collect();
    Ok(year.report(&years, episodes))
}

/// Whether a mean over years is what it should be: within twice the interval that it states, which one in 11,000 misses.
fn agrees(found: &tieline_drill::Mean, expected: f64) {
    let half = found.half_width.as_ref().unwrap().value();
    assert!(half > 0.0, "nothing was drawn");
    let error = (found.mean.value() - expected).abs();
    assert!(error < 2.0 * half, "{found:?} and not {expected}");
}

#[test]
fn one_channel_is_out_as_long_as_its_prior_says() {
    let record = grid(&[("a", &[])]);
    for (per_1000_years, minutes) in [(10_400, 141), (200_000, 30), (2_000, 6_000), (5_000, 43_200)] {
        let report = reported(
            &record,
            &downtimes(&[("channel:a", per_1000_years, minutes)]),
            options(600),
        );
        let expected = f64::from(per_1000_years) / 1_000.0 * f64::from(minutes) / 60.0;
        agrees(&report.hours.mean, expected);
        // One call an hour.
        agrees(&report.unserved.mean, expected);
        assert_eq!(report.hours.label, Label::Modelled);
    }
}

#[test]
fn two_channels_are_out_at_once_as_chance_has_it() {
    let record = grid(&[("a", &[]), ("b", &[])]);
    let priors = downtimes(&[("channel:a", 20_000, 4_000), ("channel:b", 50_000, 1_500)]);
    let report = reported(&record, &priors, options(1_500));
    let out = |rate: f64, minutes: f64| rate * minutes / 60.0 / HOURS_OF_YEAR;
    agrees(
        &report.hours.mean,
        out(20.0, 4_000.0) * out(50.0, 1_500.0) * HOURS_OF_YEAR,
    );
    // Each is needed for the loss, so all of it is because of each.
    for cause in &report.causes {
        assert_eq!(cause.because, report.unserved.mean.mean, "{}", cause.name);
        assert_eq!(cause.while_out, report.unserved.mean.mean, "{}", cause.name);
    }
}

#[test]
fn years_agree_with_what_structure_expects() {
    for record in [
        small_grid(),
        grid(&[("a", &["region:x"]), ("b", &["region:y"]), ("c", &["region:x"])]),
    ] {
        let snapshot = opened(&record);
        let traffic = Traffic::synthetic(&snapshot, &[]);
        let priors = downtimes(
            &[
                ("channel", 30_000, 700),
                ("region", 12_000, 900),
                ("lab", 3_000, 3_000),
            ]
            .iter()
            .copied()
            .filter(|(name, ..)| {
                *name == "channel"
                    || record
                        .channels
                        .iter()
                        .any(|c| c.components.iter().any(|component| component.starts_with(name)))
            })
            .collect::<Vec<_>>(),
        );
        let given = tieline_drill::Given {
            downtimes: &priors,
            shares: &BTreeMap::new(),
            traffic: None,
        };
        let expected = structure_given(&snapshot, &[], &given).unserved.unwrap().value();
        let report = of_traffic(&snapshot, &traffic, &priors, options(600)).unwrap();
        agrees(&report.unserved_share, expected);
    }
}

#[test]
fn a_common_cause_takes_both_and_leaves_each_as_long_out() {
    let mut record = grid(&[("a", &[]), ("b", &[])]);
    for channel in &mut record.channels {
        channel.provider = "openai".into();
    }
    let priors = downtimes(&[("channel", 20_000, 600)]);
    let share = |common| {
        let options = YearOptions {
            common,
            ..options(800)
        };
        reported(&record, &priors, options)
    };
    let apart = share(0);
    assert!(apart.causes.iter().all(|cause| cause.kind == CauseKind::Channel));
    let half = share(500);
    let common = half
        .causes
        .iter()
        .find(|cause| cause.kind == CauseKind::CommonCause)
        .unwrap();
    assert_eq!(common.channels_out, ["a", "b"]);
    // Half of 200 hours, and what the other halves have in common by chance.
    let own = 100.0 / HOURS_OF_YEAR;
    let expected = own + (1.0 - own) * own * own;
    agrees(&half.hours.mean, expected * HOURS_OF_YEAR);
    agrees(&share(1_000).hours.mean, 200.0);
    // Endpoints that anybody may run have no operator in common.
    let others = reported(
        &grid(&[("a", &[]), ("b", &[])]),
        &priors,
        YearOptions {
            common: 500,
            ..options(10)
        },
    );
    assert!(others.causes.iter().all(|cause| cause.kind == CauseKind::Channel));
}

#[test]
fn what_does_not_fit_through_what_is_left_is_unserved() {
    // A hundred pools of the same channels ask a hundred calls an hour; `a` carries all, `b` what its quota says.
    let check = |per_minute, survivors, lost_an_hour: f64| {
        let mut record = grid(&[("a", &[]), ("b", &[])]);
        let names: Vec<String> = (0..100).map(|ix| format!("p{ix:02}")).collect();
        record.pools = names.iter().map(|name| pool(name, &["m"])).collect();
        record.channels[1].quota = Some(Quota {
            input_tokens_per_minute: None,
            model: QuotaModel::Openai,
            output_burn: None,
            output_tokens_per_minute: None,
            requests_per_minute: Some(per_minute),
            tokens_in_flight: None,
            tokens_per_minute: None,
        });
        let options = YearOptions {
            assumed: Assumed {
                survivors,
                ..Assumed::default()
            },
            ..options(400)
        };
        let priors = downtimes(&[("channel:a", 50_000, 600), ("channel:b", 1, 1)]);
        let snapshot = opened(&record);
        let traffic = Traffic::synthetic(&snapshot, &[]);
        let report = drawn(&snapshot, &traffic, &priors, options, 1).unwrap();
        if lost_an_hour > 0.0 {
            agrees(&report.unserved.mean, 500.0 * lost_an_hour);
        } else {
            assert_eq!(report.no_loss.years, 400);
            assert!(report.no_loss.low.value() < 1.0, "never certain");
        }
    };
    check(1, 1_000, 40.0);
    check(2, 1_000, 0.0);
    check(2, 500, 40.0);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let report = |seed| {
        let options = YearOptions { seed, ..options(40) };
        serde_json::to_string(&reported(&small_grid(), &Downtimes::default(), options)).unwrap()
    };
    assert_eq!(report(3), report(3));
    assert_ne!(report(3), report(4));
}

#[test]
fn another_channel_leaves_the_outages_of_all_others() {
    let out = |record: &GridRecord| -> BTreeMap<String, String> {
        let options = YearOptions {
            common: 500,
            ..options(50)
        };
        let report = reported(record, &Downtimes::default(), options);
        report
            .causes
            .into_iter()
            .map(|cause| (cause.name, format!("{:?}", cause.hours_out)))
            .collect()
    };
    let (before, mut more) = (small_grid(), small_grid());
    let another = channel(
        "another",
        &["region:spare", "edge:cloudflare"],
        &[("sonnet", Some(2))],
    );
    more.channels.insert(0, another);
    let (before, after) = (out(&before), out(&more));
    assert!(before.len() > 10, "{before:?}");
    for (name, hours) in &before {
        assert_eq!(after.get(name), Some(hours), "{name}");
    }
    let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert_eq!(new, ["another", "region:spare"]);
}

#[test]
fn a_record_is_as_many_calls_an_hour_as_it_was_seen_for() {
    let check = |calls: &[u32], per_year: f64, known, are_even: bool| {
        let record = grid(&[("a", &[])]);
        let snapshot = opened(&record);
        let rows: String =
            calls
                .iter()
                .fold("at,prompt_tokens,output_tokens\n".to_owned(), |rows, second| {
                    format!(
                        "{rows}2026-06-01T{:02}:{:02}:{:02}Z,9,9\n",
                        second / 3_600,
                        second / 60 % 60,
                        second % 60
                    )
                });
        let mapping = mapping("");
        let traffic = read(&snapshot, &mapping, &[("calls.csv", rows.as_bytes())], |_| {}).unwrap();
        let priors = downtimes(&[("channel:a", 10_000, 240)]);
        let report = of_traffic(&snapshot, &traffic, &priors, options(20)).unwrap();
        let found = report.calls.value();
        assert!(
            (found / per_year - 1.0).abs() < 0.01,
            "{found} and not {per_year}"
        );
        assert_eq!(report.hours_of_week_known, known);
        for row in report.worst.iter().filter(|_| are_even) {
            let decided = row.decided.as_ref().unwrap();
            let (exact, flow) = (decided.tally.calls(), decided.flow_calls);
            // Ends of the episode cut hours, and hours of the record differ.
            assert!(
                exact.abs_diff(flow) * 10 < flow + 20,
                "{exact} calls, {flow} by flows"
            );
        }
    };
    let every = |seconds: u32, from: u32, until: u32| -> Vec<u32> {
        (from..until).step_by(seconds as usize).collect()
    };
    // Half an hour of one clock hour, and half of the next.
    check(&every(30, 1_800, 5_400), 120.0 * HOURS_OF_YEAR, 2, true);
    // Two hours and a minute that is too short to say anything.
    check(&every(60, 0, 7_260), 60.0 * HOURS_OF_YEAR, 2, true);
    // What is seen for less than an hour counts for an hour.
    check(&every(20, 0, 1_200), 60.0 * HOURS_OF_YEAR, 1, false);
    check(&[5], HOURS_OF_YEAR, 1, false);
}

#[test]
fn years_over_a_real_hour_of_calls() {
    let Some(path) = data::traffic("azure_2023_conv.csv") else {
        return;
    };
    let record = grid(&[("a", &["region:x"]), ("b", &["region:x"])]);
    let snapshot = opened(&record);
    let file = std::fs::read(path).unwrap();
    let mapping = mapping("");
    let traffic = read(&snapshot, &mapping, &[("azure.csv", &file)], |_| {}).unwrap();
    let priors = downtimes(&[("region", 1_000, 238), ("channel", 7_700, 137)]);
    let report = drawn(&snapshot, &traffic, &priors, options(300), 2).unwrap();
    // 19,366 calls in less than an hour.
    let calls = 19_366.0 * HOURS_OF_YEAR;
    assert!(
        (report.calls.value() / calls - 1.0).abs() < 0.06,
        "{:?}",
        report.calls
    );
    let both = 7.7 * 137.0 / 60.0;
    agrees(&report.hours.mean, 238.0 / 60.0 + both * both / HOURS_OF_YEAR);
    for row in &report.worst {
        let decided = row.decided.as_ref().unwrap();
        let (exact, flow) = (decided.tally.unserved(), decided.flow_unserved);
        assert!(
            exact.abs_diff(flow) * 10 < flow,
            "{exact} unserved, {flow} by flows"
        );
        assert!(decided.tally.calls() <= tieline_drill::EPISODE_CALLS_MAX as u64);
    }
    assert!(
        report
            .worst
            .iter()
            .any(|row| row.decided.as_ref().unwrap().hours.value() < row.hours.value())
    );
}

#[test]
fn more_years_begin_with_the_same_years() {
    let snapshot = opened(&small_grid());
    let traffic = Traffic::synthetic(&snapshot, &[]);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let year = |runs| Year::new(&rehearsal, &Downtimes::default(), options(runs)).unwrap();
    assert_eq!(year(3).run(2), year(300).run(2));
}

#[test]
fn an_episode_decided_call_by_call_is_near_its_flows() {
    let record = grid(&[("a", &[])]);
    for loss in [Loss::Cut, Loss::Errors, Loss::Refused, Loss::Silent] {
        let options = YearOptions {
            assumed: Assumed {
                loss,
                ..Assumed::default()
            },
            ..options(30)
        };
        let report = reported(&record, &downtimes(&[("channel:a", 10_000, 600)]), options);
        assert_eq!(report.worst.len(), 20);
        assert!(
            report
                .worst
                .is_sorted_by(|a, b| a.unserved_year.value() >= b.unserved_year.value())
        );
        for row in &report.worst {
            let decided = row.decided.as_ref().unwrap();
            assert_eq!(decided.label, Label::Exact);
            let (exact, flow) = (decided.tally.unserved(), decided.flow_unserved);
            // One call an hour, and no other way: what the ends of the episode cut off is at most one.
            assert!(exact.abs_diff(flow) <= 1, "{loss:?} {row:?}");
            let out: Vec<&str> = row.out.iter().map(|out| out.name.as_str()).collect();
            assert_eq!(out, ["a"]);
            assert_eq!(row.out[0].because, row.unserved);
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let snapshot = opened(&small_grid());
    let traffic = Traffic::synthetic(&snapshot, &[]);
    let check = |downtimes: &Downtimes, options, expected: YearError| {
        let found = of_traffic(&snapshot, &traffic, downtimes, options).unwrap_err();
        assert_eq!(found, expected);
        assert!(!found.to_string().is_empty());
    };
    let none = Downtimes::default();
    check(&none, options(0), YearError::Runs(0));
    check(&none, options(RUNS_MAX + 1), YearError::Runs(RUNS_MAX + 1));
    let beyond = YearOptions {
        common: 1_001,
        ..options(1)
    };
    check(&none, beyond, YearError::Common(1_001));
    let often = downtimes(&[("channel:direct", 10_001_000, 1)]);
    check(
        &often,
        options(1),
        YearError::TooOften("direct".to_owned(), 10_001_000),
    );
    let mut empty = traffic.clone();
    empty.calls.clear();
    let found = of_traffic(&snapshot, &empty, &none, options(1));
    assert_eq!(found.unwrap_err(), YearError::NothingServed);
}

#[test]
fn a_year_in_words_and_in_json() {
    let mut report = reported(
        &small_grid(),
        &Downtimes::default(),
        YearOptions {
            common: 500,
            ..options(200)
        },
    );
    insta::assert_snapshot!("year_text", report.text());
    report.causes.truncate(2);
    report.worst.truncate(2);
    insta::assert_snapshot!("year_json", serde_json::to_string_pretty(&report).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Small grids without limits: the expected share is the sum over all sets of elements that may be out.
    #[test]
    fn expectation_is_that_of_every_set_counted(
        channels in prop::collection::vec(prop::collection::btree_set(0_usize..4, 0..3), 1..4),
        rates in prop::collection::vec((5_000_u32..60_000, 100_u32..2_000), 7),
    ) {
        let names: Vec<String> = (0..4).map(|ix| format!("k{ix}:x")).collect();
        let needs: Vec<Vec<&str>> = channels
            .iter()
            .map(|set| set.iter().map(|ix| names[*ix].as_str()).collect())
            .collect();
        let labels = ["a", "b", "c"];
        let rows: Vec<(&str, &[&str])> = labels.iter().copied().zip(needs.iter().map(Vec::as_slice)).collect();
        let own: Vec<String> = labels.iter().map(|name| format!("channel:{name}")).collect();
        let used = |ix: usize| channels.iter().any(|set| set.contains(&ix));
        // Elements: the components that are used, then the channels; each with the channels that it takes out, as bits.
        let mut elements: Vec<(&str, u32)> = Vec::new();
        for (ix, name) in names.iter().enumerate().filter(|(ix, _)| used(*ix)) {
            let bits = channels.iter().enumerate().filter(|(_, set)| set.contains(&ix));
            elements.push((name, bits.map(|(channel, _)| 1 << channel).sum()));
        }
        for (channel, name) in own.iter().enumerate().take(channels.len()) {
            elements.push((name, 1 << channel));
        }
        let priors: Vec<(&str, u32, u32)> = elements
            .iter()
            .zip(&rates)
            .map(|((name, _), (rate, minutes))| (*name, *rate, *minutes))
            .collect();
        let all = (1_u32 << channels.len()) - 1;
        let mut expected = 0.0;
        for set in 0_u32..1 << elements.len() {
            let (mut chance, mut gone) = (1.0, 0);
            for (ix, (_, bits)) in elements.iter().enumerate() {
                let (_, rate, minutes) = priors[ix];
                let out = prior(rate, minutes).out();
                let is_out = set & (1 << ix) != 0;
                chance *= if is_out { out } else { 1.0 - out };
                gone |= if is_out { *bits } else { 0 };
            }
            expected += if gone == all { chance } else { 0.0 };
        }
        let report = reported(&grid(&rows), &downtimes(&priors), options(300));
        let mean = &report.unserved_share;
        let half = mean.half_width.as_ref().unwrap().value();
        // Five standard errors, and what a rare loss that was never met may be: three in the hours of all years.
        let rare = 3.0 * 20.0 / (300.0 * HOURS_OF_YEAR);
        prop_assert!((mean.mean.value() - expected).abs() < 2.6 * half + rare, "{mean:?} and not {expected}");
    }
}

//! N-2 against the play of every pair, call by call.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tieline_core::{Ruling, Snapshot, Span, Tick};
use tieline_drill::{
    Assumed, Bars, BenchSize, Consequence, Element, Failure, Happening, Known, Label, Loss, NMinus2Report,
    Pairs, Rehearsal, Timeline, Traffic, bench_grid, bench_snapshot, bench_traffic,
};

use crate::grids::small_grid;
use crate::live::{Live, Script};

const LOSSES: [Loss; 4] = [Loss::Cut, Loss::Errors, Loss::Refused, Loss::Silent];

fn report(rehearsal: &Rehearsal<'_>, assumed: Assumed, worst: usize) -> NMinus2Report {
    let pairs = Pairs::new(rehearsal, assumed);
    let singles: Vec<_> = (0..pairs.singles()).map(|ix| pairs.single(ix)).collect();
    let judged: Vec<_> = (0..pairs.plays()).map(|ix| pairs.judge(ix)).collect();
    let plan = pairs.plan(&singles, &judged, worst);
    let chosen = (0..plan.chosen()).map(|ix| pairs.play(&plan, ix)).collect();
    pairs.n_minus_2(&plan, &singles, chosen, &Bars::default())
}

/// What the loss of several elements does, played on its own.
fn play(rehearsal: &Rehearsal<'_>, gone: &[Element], loss: Loss) -> Consequence {
    let mut timeline = Timeline::default();
    for element in gone.iter().cloned() {
        let happening = match loss {
            Loss::Cut => Happening::Cut(element),
            Loss::Errors => Happening::Out(element, Failure::Errors),
            Loss::Refused => Happening::Out(element, Failure::Refused),
            Loss::Silent => Happening::Out(element, Failure::Silent),
        };
        timeline.at(Tick(0), happening).unwrap();
    }
    rehearsal.play(&timeline)
}

/// Rows that say exact are the play of their own. Rows that are modelled lose nobody, and where nobody has to find out what
/// is gone, they move to another model whom the play moves there.
fn holds(rehearsal: &Rehearsal<'_>, loss: Loss, report: &NMinus2Report) -> Result<(), TestCaseError> {
    let mut plays: BTreeMap<&[String], Consequence> = BTreeMap::new();
    for row in &report.contingencies {
        let truth = plays
            .entry(&row.channels_out)
            .or_insert_with(|| play(rehearsal, &row.gone, loss));
        let truth = &*truth;
        if row.label == Label::Exact {
            prop_assert_eq!(&row.consequence, truth, "{:?}", row.gone);
            continue;
        }
        let (modelled, truth) = (row.consequence.tally, truth.tally);
        prop_assert_eq!(modelled.calls(), truth.calls());
        prop_assert_eq!(truth.unserved(), 0, "{:?} was screened out", row.gone);
        prop_assert_eq!(modelled.unserved(), 0, "{:?}", row.gone);
        if loss == Loss::Cut {
            prop_assert_eq!(modelled.degraded, truth.degraded, "{:?}", row.gone);
        }
    }
    Ok(())
}

fn dense(size: BenchSize) -> (Arc<Snapshot>, Traffic) {
    let snapshot = bench_snapshot(bench_grid(size)).unwrap();
    // Some parties may use only some channels.
    let ruled = |party: u32, channel: &str, _: &str| match (party % 7, channel.len() % 2) {
        (0, 0) => Ruling::Deny,
        (1, 1) => Ruling::Hold,
        _ => Ruling::Allow,
    };
    let traffic = bench_traffic(size, &snapshot, &ruled);
    (snapshot, traffic)
}

/// What is screened out of the pairs of such a world sheds nothing.
fn screened(size: BenchSize, loss: Loss) -> Result<(), TestCaseError> {
    let (snapshot, traffic) = dense(size);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let assumed = Assumed {
        loss,
        ..Assumed::default()
    };
    let mut report = report(&rehearsal, assumed, 0);
    report.contingencies.retain(|row| row.label == Label::Modelled);
    holds(&rehearsal, loss, &report)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn what_is_screened_out_sheds_nothing(
        worth in 500_u64..8_000,
        calls in 100_usize..200,
        parties in 1_u32..20,
        loss in 0..4_usize,
        minutes in 1_u64..20,
    ) {
        let size = BenchSize { calls, channels: 8, parties, span: Span::from_s(60 * minutes), worth };
        screened(size, LOSSES[loss])?;
    }
}

/// Parties of whom some calls are refused with nothing gone.
#[test]
fn what_was_refused_before_is_in_the_sums_of_flows() {
    let size = BenchSize {
        calls: 140,
        channels: 8,
        parties: 3,
        span: Span::from_s(60),
        worth: 7_053,
    };
    screened(size, Loss::Cut).unwrap();
}

#[test]
fn every_pair_has_its_row_or_is_counted() {
    let mut live = Live::new(&small_grid());
    for call in 0..12 {
        live.call(["frontier", "sonnet-only", "cheap"][call % 3], &Script::default());
    }
    let snapshot = live.snapshot.clone();
    let traffic = live.into_ledger().traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    for loss in LOSSES {
        let assumed = Assumed {
            loss,
            ..Assumed::default()
        };
        let all = report(&rehearsal, assumed, usize::MAX);
        let elements = snapshot.channels.len() + snapshot.components.len();
        assert_eq!(all.pairs, (elements * (elements - 1) / 2) as u64);
        assert_eq!(all.contingencies.len() as u64, all.pairs - all.pairs_as_one);
        assert_eq!(all.plays_modelled, 0);
        holds(&rehearsal, loss, &all).unwrap();
        let few = report(&rehearsal, assumed, 0);
        assert!(few.plays_modelled > 0, "there is room for twelve calls: {loss:?}");
        holds(&rehearsal, loss, &few).unwrap();
        let rank = |report: &NMinus2Report| {
            report
                .contingencies
                .iter()
                .map(|c| c.consequence.tally.lost)
                .collect::<Vec<_>>()
        };
        assert!(rank(&few).is_sorted_by(|a, b| a >= b));
        assert_eq!(rank(&few), rank(&all), "what loses calls is never only modelled");
    }
}

#[test]
fn a_pair_in_words_and_in_json() {
    let mut live = Live::new(&small_grid());
    for call in 0..6 {
        let by = if call % 2 == 0 { "agency" } else { "startup" };
        live.call(
            ["frontier", "sonnet-only", "cheap"][call % 3],
            &Script::default().by(by),
        );
    }
    let snapshot = live.snapshot.clone();
    let traffic = live.into_ledger().traffic();
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let report = report(&rehearsal, Assumed::default(), 0);
    insta::assert_snapshot!("pairs_text", report.text());
    let row = |label| {
        report
            .contingencies
            .iter()
            .find(|row| row.label == label)
            .unwrap()
    };
    let rows = [row(Label::Exact), row(Label::Modelled)];
    insta::assert_snapshot!("pairs_json", serde_json::to_string_pretty(&rows).unwrap());
}

/// A screen that finds room for nobody, or for everybody, would pass the law above.
#[test]
fn a_screen_tells_room_from_none() {
    let rows = |worth| {
        let size = BenchSize {
            calls: 400,
            channels: 8,
            parties: 20,
            span: Span::from_s(600),
            worth,
        };
        let (snapshot, traffic) = dense(size);
        let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
        let report = report(&rehearsal, Assumed::default(), 0);
        (report.plays_exact, report.plays_modelled)
    };
    let (roomy, tight) = (rows(40_000), rows(2_000));
    assert!(roomy.1 > 20, "{roomy:?}");
    assert_eq!(tight.1, 0, "{tight:?}");
}

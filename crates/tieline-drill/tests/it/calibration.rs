//! Whether the first half of a ledger predicts the second: ledgers of the live machines that it does predict, and such that
//! were changed, or changed by themselves.

use serde_json::Value;
use tieline_core::record::OUTCOME_V1;
use tieline_core::{FaultKind, Span, Usage};
use tieline_drill::{Calibration, CalibrationVerdict as Verdict};
use tieline_note::jcs;

use crate::grids::{Ledger, small_grid};
use crate::live::{Live, Script};
use crate::random::grid_version;

const CALLS: u64 = 600;

/// A number below `below` that looks like chance, the same for the same call.
fn chance(call: u64, below: u64) -> u64 {
    (call.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % below
}

/// The n-th call as it goes where nothing changes: first content after 200 to 400 ms, answers of 50 to 150 tokens.
fn usual(call: u64) -> Script {
    Script {
        first_content: Span::from_ms(200 + chance(call, 200)),
        gap: Span::from_s(5),
        usage: Some(Usage {
            input: 1_000,
            output: 50 + chance(call + 7, 100),
            ..Usage::default()
        }),
        ..Script::default()
    }
}

fn is_late(call: u64) -> bool {
    call >= CALLS / 2
}

/// Calls of two pools in turn.
fn ledger(script: impl Fn(u64) -> Script) -> Ledger {
    let mut live = Live::new(&small_grid());
    for call in 0..CALLS {
        live.call(pool(call), &script(call));
    }
    live.into_ledger()
}

fn pool(call: u64) -> &'static str {
    if call.is_multiple_of(3) {
        "cheap"
    } else {
        "frontier"
    }
}

fn calibration(ledger: &Ledger) -> Calibration {
    ledger.replay().calibration
}

/// Change every outcome of the second half.
fn tampered(change: impl Fn(&mut Value)) -> Calibration {
    let mut ledger = ledger(usual);
    let half = ledger.entries.len() / 2;
    for entry in &mut ledger.entries[half..] {
        let mut value: Value = serde_json::from_slice(entry).unwrap();
        if value["t"] == OUTCOME_V1 {
            change(&mut value);
            *entry = jcs::to_vec(&value).unwrap();
        }
    }
    calibration(&ledger)
}

#[track_caller]
fn missed(calibration: &Calibration, expected: &str) {
    assert_eq!(calibration.verdict, Verdict::Missed, "{}", calibration.text());
    assert!(calibration.why[0].contains(expected), "{:?}", calibration.why);
}

#[test]
fn a_steady_ledger_predicts_itself() {
    let report = ledger(usual).replay();
    let found = &report.calibration;
    let decisions = &found.decisions;
    assert_eq!((found.learnt_from, found.calls), (300, 300));
    assert_eq!(
        (decisions.compared, decisions.same, decisions.by_channel),
        (300, 300, 300)
    );
    assert_eq!(found.cost.as_ref().unwrap().off, 0);
    let learnt = found.cost_learnt.as_ref().unwrap();
    assert_ne!(learnt.verdict, Verdict::Missed);
    assert!(learnt.off > 0, "lengths are predicted, not known");
    assert_eq!(found.ttft.len(), 3, "all, and two lanes");
    assert!(!found.is_missed() && report.reproduces(), "{}", report.text());
    insta::assert_snapshot!("calibration_of_a_steady_ledger", report.text());
}

#[test]
fn answers_that_all_take_alike_pass() {
    let alike = |_| Script {
        gap: Span::from_s(5),
        ..Script::default()
    };
    let found = calibration(&ledger(alike));
    assert_eq!(
        (found.verdict, found.why.len()),
        (Verdict::Passed, 0),
        "{}",
        found.text()
    );
    assert_eq!(
        found.sentence(),
        "Calibrated: the first half of the newest 600 recorded calls predicts the second."
    );
}

#[test]
fn what_became_slower_is_missed() {
    let slower = |call| Script {
        first_content: Span(usual(call).first_content.0 * if is_late(call) { 3 } else { 1 }),
        ..usual(call)
    };
    let found = calibration(&ledger(slower));
    missed(&found, "p50 of the time to first content is ");
    assert_eq!(found.decisions.verdict, Verdict::Passed);
    let report = ledger(slower).replay();
    assert!(report.agrees() && !report.reproduces());
    insta::assert_snapshot!("calibration_of_a_slower_half", report.text());
}

#[test]
fn answers_that_became_longer_are_missed() {
    let longer = |call| {
        let mut script = usual(call);
        if let Some(usage) = script.usage.as_mut().filter(|_| is_late(call)) {
            usage.output *= 4;
        }
        script
    };
    let found = calibration(&ledger(longer));
    missed(
        &found,
        "cost with answers as long as in the first half is off by ",
    );
    assert_eq!(
        found.cost.unwrap().verdict,
        Verdict::Passed,
        "who answers, and at which price, is as it was"
    );
}

#[test]
fn a_cost_that_no_price_gives_is_missed() {
    let found = tampered(|outcome| {
        if let Some(cost) = outcome["cost_nano"].as_str() {
            let cost: u64 = cost.parse().unwrap();
            outcome["cost_nano"] = (cost + cost / 50).to_string().into();
        }
    });
    missed(&found, "cost is off by 1.9");
}

#[test]
fn a_choice_that_the_engine_does_not_make_is_missed() {
    let found = tampered(|outcome| {
        if outcome["attempts"][0]["channel"] == "direct" && outcome["usage"]["output"] == 77 {
            outcome["attempts"][0]["channel"] = "vertex".into();
        }
    });
    missed(&found, "of decisions agree, and the bar is 99.90 %");
    let differs = &found.decisions.differences[0];
    assert_eq!(
        (&*differs.recorded, &*differs.played),
        ("served, sonnet on vertex first", "served, sonnet on direct first")
    );
}

#[test]
fn what_follows_a_fault_is_not_compared() {
    let outage = |call| {
        let script = usual(call);
        if (400..440).contains(&call) {
            return script.failing("direct", FaultKind::Transient);
        }
        script
    };
    let found = calibration(&ledger(outage));
    let decisions = &found.decisions;
    assert!((30..60).contains(&decisions.after_faults), "{decisions:?}");
    assert_eq!(decisions.compared + decisions.after_faults, 300);
    assert_eq!(decisions.same, decisions.compared, "{}", found.text());
}

#[test]
fn grids_and_cuts_are_those_of_the_record() {
    let mut live = Live::new(&grid_version(false));
    for call in 0..CALLS {
        if call == 350 {
            live.reload(&grid_version(true));
        }
        let direct = live.snapshot.channel_named("direct").unwrap();
        match call {
            360 => live.fleet.cut_channel(direct),
            500 => live.fleet.restore_channel(direct),
            _ => {}
        }
        live.call(pool(call), &usual(call));
    }
    let found = calibration(&live.into_ledger());
    assert_eq!(found.decisions.same, 300, "{}", found.text());
    assert_eq!(found.cost.unwrap().off, 0);
}

#[test]
fn held_calls_and_callers_that_leave() {
    let held = |call| {
        let mut script = usual(call);
        if call % 10 == 1 {
            script.held = vec!["direct", "bedrock", "vertex", "openai"];
        }
        script
    };
    let found = calibration(&ledger(held));
    assert_eq!(found.decisions.same, 300, "{}", found.text());
    let found = tampered(|outcome| {
        if outcome["usage"]["output"] == 77 {
            outcome["result"] = "abandoned".into();
        }
    });
    assert!(
        (1..20).contains(&found.decisions.not_told),
        "{:?}",
        found.decisions
    );
    assert_ne!(found.verdict, Verdict::Missed);
}

#[test]
fn few_calls_cannot_be_judged() {
    let mut live = Live::new(&small_grid());
    for call in 0..399 {
        live.call("frontier", &usual(call));
    }
    let report = live.into_ledger().replay();
    let found = &report.calibration;
    assert_eq!(found.verdict, Verdict::CannotBeJudged);
    assert!(report.reproduces());
    assert_eq!(
        found.sentence(),
        "Not calibrated: whether the first half of the newest 399 recorded calls predicts the second cannot be judged: the \
         halves have 199 and 200 calls, and each needs 200."
    );
}

#[test]
fn a_grid_that_is_gone_cannot_be_judged() {
    let mut ledger = ledger(usual);
    ledger.blobs.clear();
    let found = calibration(&ledger);
    assert_eq!(
        (found.verdict, &*found.why[0]),
        (
            Verdict::CannotBeJudged,
            "a grid that its calls cite is not archived"
        )
    );
}

#[test]
fn what_a_drill_reads_is_calibrated_alike() {
    let ledger = ledger(usual);
    let mut reader = tieline_drill::TrafficReader::within(tieline_drill::Window {
        since: None,
        until: Some(crate::random::START.plus(Span::from_s(60))),
    })
    .calibrating();
    for (index, entry) in (0..).zip(&ledger.entries) {
        reader.entry(index, entry);
    }
    let blobs = |digest: &[u8; 32]| ledger.blobs.get(digest).cloned();
    let (traffic, found) = reader.finish_calibrated(&blobs);
    assert_eq!(found.unwrap(), calibration(&ledger), "whatever the window");
    assert_eq!(traffic.calls.len(), 11);
}

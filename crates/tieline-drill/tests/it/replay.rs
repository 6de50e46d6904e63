//! History reproduces itself, and what was tampered with does not.

use proptest::prelude::*;
use serde_json::Value;
use tieline_core::record::{DECISION_V1, OUTCOME_V1};
use tieline_note::jcs;

use crate::grids::Ledger;
use crate::live::{Live, Script};
use crate::random::{fates, record};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_recorded_call_agrees_across_reloads(fates in fates(12)) {
        let report = record(&fates).replay();
        prop_assert!(report.agrees(), "{}", report.text());
        prop_assert_eq!(report.agreed, report.calls);
        prop_assert_eq!(report.others, 1);
    }

    #[test]
    fn hostile_entries_are_differences_and_never_a_panic(
        entries in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                "\\{\"at\":1,\"id\":\"[a-z]{1,4}\",\"t\":\"tieline/(decision|outcome|stop)/v[12]\"\\}".prop_map(String::into_bytes),
            ],
            0..20,
        ),
    ) {
        let ledger = Ledger { entries, ..Ledger::default() };
        let report = ledger.replay();
        prop_assert_eq!(report.differ + report.others, ledger.entries.len() as u64);
        prop_assert_eq!(ledger.traffic().unreadable, report.differ);
    }
}

/// Three calls: one that failed over, one served at once, one refused.
fn three_calls() -> Ledger {
    let mut live = Live::new(&crate::random::grid_version(false));
    live.call(
        "frontier",
        &Script::default().failing("direct", tieline_core::FaultKind::Overload),
    );
    live.call("cheap", &Script::default());
    live.call("gpt-9", &Script::default());
    live.into_ledger()
}

#[test]
fn a_sound_ledger_in_words() {
    let report = three_calls().replay();
    assert_eq!(
        report.text(),
        "Calibration: cannot be judged\n  The newest 3 calls: the first 1 are learnt from, the other 2 predicted.\n  - the halves have 1 and 2 \
         calls, and each needs 200\n\n3 calls decided again under 1 grid: all agree in every field.\n"
    );
    assert_eq!(
        (report.calls, report.grids, report.lost, report.decisions_only),
        (3, 1, 0, 0)
    );
}

/// Change one field of the first entry of a type, and replay.
fn tampered(t: &str, change: impl Fn(&mut Value)) -> tieline_drill::ReplayReport {
    let mut ledger = three_calls();
    let entry = ledger
        .entries
        .iter_mut()
        .find(|entry| String::from_utf8_lossy(entry).contains(t))
        .unwrap();
    let mut value: Value = serde_json::from_slice(entry).unwrap();
    change(&mut value);
    *entry = jcs::to_vec(&value).unwrap();
    ledger.replay()
}

#[test]
fn a_tampered_field_is_named() {
    let check = |t: &str, path: &str, to: Value, expected: &str| {
        let report = tampered(t, |entry| *entry.pointer_mut(path).unwrap() = to.clone());
        assert_eq!((report.differ, report.agreed), (1, 2), "{path}");
        let row = &report.differences[0];
        assert_eq!(row.index, 0, "{path}");
        assert!(row.what.contains(expected), "{path}: {}", row.what);
    };
    check(
        DECISION_V1,
        "/plan/0/why",
        "held".into(),
        "`plan[0].why` is \"held\" in the record and \"chosen\" when decided again",
    );
    check(
        DECISION_V1,
        "/reserved_tokens",
        1.into(),
        "`reserved_tokens` is 1 in the record and ",
    );
    check(
        DECISION_V1,
        "/intake/body_bytes",
        40_000.into(),
        "`reserved_tokens`",
    );
    check(DECISION_V1, "/intake/ask/pool", "cheap".into(), "`plan[");
    check(
        DECISION_V1,
        "/intake/ask/pool",
        "nope".into(),
        "the grid has no pool `nope`",
    );
    check(
        DECISION_V1,
        "/inputs/0/fact/verdicts/0/ruling",
        "deny".into(),
        "`plan[0].why`",
    );
    check(
        OUTCOME_V1,
        "/cost_nano",
        "1".into(),
        "the outcome differs: `cost_nano`",
    );
    check(
        OUTCOME_V1,
        "/attempts/0/channel",
        "vertex".into(),
        "`attempts[0].channel`",
    );
    check(
        OUTCOME_V1,
        "/attempts/1/ttft_us",
        3.into(),
        "`attempts[1].ttft_us`",
    );
    check(OUTCOME_V1, "/result", "broken".into(), "`result`");
    check(OUTCOME_V1, "/usage/output", 5.into(), "`usage.output`");
}

#[test]
fn what_cannot_be_decided_again_says_why() {
    let mut ledger = three_calls();
    ledger.blobs.clear();
    let report = ledger.replay();
    assert_eq!(report.differ, 3);
    let grid = &report.differences[0].what;
    assert!(
        grid.starts_with("the grid ") && grid.ends_with(" is not archived"),
        "{grid}"
    );

    let mut ledger = three_calls();
    for blob in ledger.blobs.values_mut() {
        blob.push(b' ');
    }
    let what = &ledger.replay().differences[0].what;
    assert!(what.contains("is archived with other content"), "{what}");

    let mut ledger = three_calls();
    ledger.entries.remove(0);
    let report = ledger.replay();
    assert_eq!((report.calls, report.agreed, report.differ), (2, 2, 1));
    assert!(
        report.differences[0]
            .what
            .starts_with("an outcome without its decision")
    );

    let mut ledger = three_calls();
    ledger.entries.insert(1, ledger.entries[0].clone());
    let report = ledger.replay();
    assert_eq!(
        report.differences[0].what,
        "a second decision of the call; the first is entry 0"
    );

    let mut ledger = three_calls();
    let last = ledger.entries.len() - 1;
    ledger.entries.remove(last);
    let report = ledger.replay();
    assert_eq!((report.calls, report.decisions_only, report.differ), (3, 1, 0));
    assert!(report.text().contains("1 call had no outcome yet."));
}

#[test]
fn a_decision_of_a_version_to_come_is_not_passed_over() {
    let report = tampered(DECISION_V1, |entry| entry["t"] = "tieline/decision/v2".into());
    let what: Vec<_> = report.differences.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(
        what[0],
        "this program does not read entries of type `tieline/decision/v2`"
    );
    assert_eq!(
        (what.len(), report.agreed),
        (2, 2),
        "its outcome has no decision either"
    );
}

#[test]
fn a_report_with_differences_in_words() {
    let report = tampered(OUTCOME_V1, |entry| entry["result"] = "broken".into());
    let text = report.text();
    let expected =
        "3 calls decided again under 1 grid: 2 agree in every field; 1 difference.\nentry 0, call ";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.ends_with("`result` is \"broken\" in the record and \"served\" when decided again\n"),
        "{text}"
    );
}

#[test]
fn differences_are_all_counted_and_the_first_are_shown() {
    let ledger = Ledger {
        entries: vec![b"{}".to_vec(); tieline_drill::DIFFERENCES_MAX + 5],
        ..Ledger::default()
    };
    let report = ledger.replay();
    assert_eq!(report.differ, 105);
    assert_eq!(report.differences.len(), tieline_drill::DIFFERENCES_MAX);
    assert!(report.text().ends_with("… and 5 more.\n"));
}

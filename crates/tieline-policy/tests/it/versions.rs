//! Versions of one directive: the earlier holds until the later begins, and so it is rebuilt.

use std::sync::Arc;

use tieline_core::{Ruling, Tick};
use tieline_policy::{Directive, Epoch, Overlay};

use crate::directives::{
    DENY, LETTER, directive, judge, lay, letter, lineage, open_epoch, posture, question,
};
use crate::support::demo_epoch;

/// A version of the letter that begins so many seconds after it came, and ends so many after.
fn version(version: u32, from_s: u64, to_s: Option<u64>, effect: &str) -> Arc<Directive> {
    let time = |s: u64| format!("2026-06-12T21:{:02}:{:02}Z", 21 + s / 60, s % 60);
    let to = to_s.map_or_else(String::new, |s| format!("valid_to = {}\n", time(s)));
    let text = letter(version, &to)
        .replace(
            "valid_from = 2026-06-12T21:21:00Z",
            &format!("valid_from = {}", time(from_s)),
        )
        .replace("effect = \"deny\"", effect);
    directive(&text)
}

#[test]
fn of_two_versions_the_earlier_holds_until_the_later_begins() {
    let hold = "effect = \"hold\"";
    let germans = r#"{"kind":"unit","jurisdiction":"DE"}"#;
    // Versions; then instants, the version that rules by then, and until when the verdict holds.
    let check = |versions: &[Arc<Directive>], expected: &[(u64, Option<u32>, Option<u64>)]| {
        let mut any_order = versions.to_vec();
        any_order.reverse();
        let laid = lay(&judge(open_epoch()), 2, &any_order);
        let question = question(posture(&laid, germans), 2);
        for (s, version, until_s) in expected {
            let at = |s: u64| Tick(LETTER.0 + s * 1_000_000);
            let verdict = laid.verdict(question, "p", at(*s));
            let rules: Vec<&str> = verdict.rules.iter().map(|rule| &*rule.id).collect();
            let rule = version.map(|version| format!("directive/us-bis-2026-06-12@{version}"));
            let is_refused = verdict.ruling != Ruling::Allow;
            assert_eq!(
                is_refused.then_some(rules),
                rule.as_deref().map(|rule| vec![rule]),
                "{s}"
            );
            assert_eq!(verdict.valid_until, until_s.map(at), "{s}");
        }
    };
    let deny = version(1, 0, None, DENY);
    let later = version(2, 60, None, hold);
    check(
        &[deny.clone(), later.clone()],
        &[
            (0, Some(1), Some(60)),
            (59, Some(1), Some(60)),
            (60, Some(2), None),
        ],
    );
    check(
        &[deny.clone(), later.clone(), version(3, 90, Some(120), DENY)],
        &[
            (59, Some(1), Some(60)),
            (60, Some(2), Some(90)),
            (90, Some(3), Some(120)),
            (120, None, None),
        ],
    );
    // What has an end of its own keeps it.
    check(
        &[version(1, 0, Some(30), DENY), later],
        &[(0, Some(1), Some(30)), (30, None, Some(60)), (60, Some(2), None)],
    );
    let of_itself = Overlay::build(2, vec![deny], &open_epoch(), lineage()).unwrap();
    assert_eq!(of_itself.directives()[0].valid_to, None);
}

#[test]
fn an_overlay_is_rebuilt_from_its_record() {
    let signer = tieline_note::Signer::new("officer", &[1; 32]).unwrap();
    let later = letter(2, "").replace("valid_from = 2026-06-12T21:21", "valid_from = 2026-06-12T22:21");
    let notes: Vec<Arc<str>> = [letter(1, ""), letter(1, "").replace("us-bis", "us-doc"), later]
        .iter()
        .map(|text| Arc::from(tieline_note::note::sign(text, &signer).unwrap()))
        .collect();
    let directives: Vec<Arc<Directive>> = notes
        .iter()
        .map(|note| {
            tieline_policy::SignedOrder::from_archive(note)
                .unwrap()
                .directive()
                .unwrap()
                .clone()
        })
        .collect();
    let epoch = open_epoch();
    let overlay = Overlay::build(9, directives, &epoch, lineage()).unwrap();
    let json = String::from_utf8(tieline_note::jcs::to_vec(overlay.record()).unwrap()).unwrap();
    let record: tieline_policy::OverlayRecord = serde_json::from_str(&json).unwrap();
    let again = Overlay::from_record(&record, &notes, &epoch, lineage()).unwrap();
    assert_eq!((again.digest(), again.number()), (overlay.digest(), Some(9)));
    let labels = |overlay: &Overlay| {
        overlay
            .directives()
            .iter()
            .map(|one| one.label())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        labels(&again),
        [
            "us-bis-2026-06-12@1",
            "us-bis-2026-06-12@2",
            "us-doc-2026-06-12@1"
        ]
        .map(Arc::from)
    );
    let ends = |overlay: &Overlay| overlay.directives()[0].valid_to;
    assert_eq!(
        (ends(&again), ends(&overlay)),
        (ends(&overlay), Some(Tick(LETTER.0 + 3_600_000_000)))
    );
    let fails = |record: &tieline_policy::OverlayRecord, notes: &[Arc<str>], epoch: &Epoch| {
        Overlay::from_record(record, notes, epoch, lineage()).unwrap_err()[0]
            .says
            .clone()
    };
    assert!(fails(&record, &notes[..1], &epoch).contains("is missing"));
    assert!(fails(&record, &notes, &demo_epoch()).contains("this is another"));
    let mut other = record.clone();
    other.t = "tieline/overlay/v2".into();
    assert!(fails(&other, &notes, &epoch).contains("this version reads"));
    assert!(
        serde_json::from_str::<tieline_policy::OverlayRecord>(&json.replace("\"number\"", "\"n\"")).is_err()
    );
}

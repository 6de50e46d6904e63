//! Orders as texts and as notes: what is refused, where, and why; and whose signatures count.

use tieline_core::{Span, Tick};
use tieline_note::note::{NOTE_BYTES_MAX, Signer, cosign, sign};
use tieline_policy::{
    Disclosure, Effect, InFlight, Order, OrderError, SIGNERS_MAX, SignedOrder, Signers, fuzz_order,
};

use crate::directives::{directive, letter};
use crate::support::JUNE_12;

const REVOCATION: &str = "t = \"tieline/revocation/v1\"\nid = \"us-bis-2026-06-12\"\nversion = 3\nissuer = \"BIS\"\n\
                          issued = 2026-06-30T16:00:00Z\nreason = \"Withdrawn.\"\n";

fn signer(n: u8) -> Signer {
    Signer::new(&format!("officer-{n}"), &[n; 32]).unwrap()
}

fn signers(count: u8, threshold: usize) -> Signers {
    Signers::new(
        (1..=count).map(|n| signer(n).verifier().clone()).collect(),
        threshold,
    )
    .unwrap()
}

/// Every problem of a text, one a line.
fn problems(text: &str) -> String {
    let problems = Order::parse("o", text)
        .map(|order| format!("{order:?}"))
        .unwrap_err();
    let lines: Vec<String> = problems.iter().map(|problem| format!("{problem}\n")).collect();
    lines.concat()
}

/// A change of the letter, and how its problems begin.
fn check(from: &str, to: &str, expected: &[&str]) {
    let text = letter(1, "").replace(from, to);
    assert_ne!(text, letter(1, ""), "{from}");
    let found = problems(&text);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{found}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected}\n{found}");
    }
}

#[test]
fn an_order_is_read_as_it_is_written() {
    let all = "valid_to = 2026-07-01\ndisclosure = \"code\"\nnote = \"By telephone first.\"\n\
               exempt.groups = [\"partners\"]\nexempt.parties = [\"acme\"]\n";
    let found = directive(&letter(7, all));
    assert_eq!(&*found.label(), "us-bis-2026-06-12@7");
    assert_eq!(
        (&found.effect, found.disclosure),
        (&Effect::Deny, Disclosure::Code)
    );
    assert_eq!(found.in_flight, InFlight::Drain(Span::from_s(30)));
    assert_eq!(found.in_flight.to_string(), "drain 30");
    // A day without a time is the last day on which it holds.
    assert_eq!(found.valid_to, Some(Tick(JUNE_12.0 + 20 * 86_400_000_000)));
    assert_eq!(found.valid_from, Tick(JUNE_12.0 + 76_860_000_000));
    assert!(
        found
            .who
            .as_ref()
            .unwrap()
            .condition
            .as_ref()
            .unwrap()
            .text
            .contains("us_person")
    );
    assert!(found.exempt.as_ref().unwrap().groups.contains("partners"));
    assert_eq!(found.digest, tieline_note::sha256(letter(7, all).as_bytes()));
    let Ok(Order::Revocation(found)) = Order::parse("o", REVOCATION) else {
        panic!()
    };
    assert_eq!(
        (&*found.id, found.version, &*found.reason),
        ("us-bis-2026-06-12", 3, "Withdrawn.")
    );
}

#[test]
fn a_wrong_field_is_refused_at_its_place() {
    check(
        "id = \"us-bis",
        "id = \"US bis",
        &["o:2:6: `US bis-2026-06-12` is no id of an order"],
    );
    check(
        "version = 1",
        "version = 0",
        &["o:3:11: `version` is no number from 1"],
    );
    check(
        "version = 1",
        "version = \"1\"",
        &["o:3:11: `version` is no number from 1"],
    );
    check("title = \"Two models\"\n", "", &["o:1:1: `title` is missing"]);
    check("remedy", "remdey", &["o:8:1: unknown key `remdey`"]);
    check("\"deny\"", "\"refuse\"", &["o:11:10: unknown effect `refuse`"]);
    check("\"deny\"", "\"require\"", &["o:1:1: `require` is missing"]);
    check(
        "\"deny\"",
        "\"require\"\nrequire.licences = []",
        &["o:12:20: `licences` is empty"],
    );
    check(
        "\"deny\"",
        "\"hold\"\nrequire.licences = [\"x\"]",
        &["o:12:1: `require` stands beside another"],
    );
    check(
        "\"drain 30\"",
        "\"drain\"",
        &["o:12:13: `drain` does not say what becomes"],
    );
    check(
        "\"drain 30\"",
        "\"drain 86401\"",
        &["o:12:13: `drain 86401` does not say"],
    );
    check(
        "in_flight",
        "disclosure = \"secret\"\nin_flight",
        &["o:12:14: unknown disclosure `secret`"],
    );
    check(
        "t = \"tieline/directive/v1\"",
        "t = \"tieline/directive/v2\"",
        &["o:1:5: `tieline/directive/v2` is no type"],
    );
    check(
        "t = \"tieline/directive/v1\"",
        "t = 1",
        &["o:1:5: `t` is of type integer"],
    );
}

#[test]
fn lists_tables_and_dates_are_checked_in_their_places() {
    check(
        "[\"small-1\", \"frontier-1\"]",
        "[]",
        &["o:13:16: `models` is empty"],
    );
    check(
        "[\"small-1\", \"frontier-1\"]",
        "[\"a\", \"a\"]",
        &["o:13:22: `a` stands twice in `models`"],
    );
    check(
        "[\"small-1\", \"frontier-1\"]",
        "[\"a\", 3, \" b\"]",
        &["o:13:22: a value of type integer", "o:13:25: a name is empty"],
    );
    check(
        "scope.models = [\"small-1\", \"frontier-1\"]",
        "scope = {}",
        &["o:13:9: the scope is empty"],
    );
    check(
        "scope.models = [\"small-1\", \"frontier-1\"]",
        "scope.training_flop_min = \"many\"",
        &["o:13:27: `many` is no number"],
    );
    check(
        "who.condition",
        "exempt = {}\nwho.condition",
        &["o:14:10: `exempt` selects nobody"],
    );
    check(
        "valid_from = ",
        "valid_to = 2026-06-11\nvalid_from = ",
        &[
            "o:9:10: `issued` does not lie before `valid_to`",
            "o:10:12: `valid_to` does not lie after `valid_from`",
        ],
    );
    check(
        "2026-06-12T21:21:00Z\neffect",
        "\"soon\"\neffect",
        &["o:10:14: `valid_from` is of type string"],
    );
    check(
        "2026-06-12T21:21:00Z\neffect",
        "2026-06-12T21:21:00\neffect",
        &["o:10:14: `valid_from`: a date with a time needs an offset"],
    );
    check("title", "title = \"x\"\ntitle", &["o:7:1: duplicate key"]);
    let both = letter(1, "")
        .replace("\"deny\"", "\"no\"")
        .replace("version = 1", "version = -1");
    assert_eq!(problems(&both).lines().count(), 2);
    assert!(problems(&REVOCATION.replace("reason", "cause")).contains("o:6:1: unknown key `cause`"));
}

#[test]
fn a_condition_is_checked_as_a_rule_is() {
    let with = |condition: &str, expected: &[&str]| {
        let whole = letter(1, "");
        let (from, _) = whole.split_once("who.condition = ").unwrap();
        let found = problems(&format!("{from}who.condition = {condition}\n"));
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{found}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{expected}\n{found}");
        }
    };
    let jurisdiction = |rest: &str| format!("'principal has jurisdiction && principal.jurisdiction {rest}'");
    with(
        &jurisdiction("== Country::\"EU\""),
        &["o:14:74: `EU` is no country code"],
    );
    with(
        &jurisdiction("in CountryGroup::\"D5\""),
        &["o:14:74: `D5` is no name of a set"],
    );
    with(&jurisdiction("== \"US\""), &["o:14:48: the types"]);
    with(
        "'principal.jurisdiction == Country::\"US\"'",
        &["o:14:18: unable to guarantee safety"],
    );
    with(
        "'principal has jurisdicton'",
        &["o:14:32: nothing has an attribute"],
    );
    with(
        "'principal has kin || principal has class'",
        &["o:14:32: nothing has an attribute `kin`"],
    );
    with(
        "'principal == Party::\"acme\"'",
        &["o:14:31: a condition cannot name a party"],
    );
    with(
        "'principal in Grup::\"a\"'",
        &["o:14:18: the condition names an unknown type"],
    );
    with("'principal.kind ='", &["o:14:34: the expression ends too early"]);
    with(
        "'''\ntrue &&\n  principal.kin\n'''",
        &["o:16:13: nothing has an attribute `kin`"],
    );
    with("\"principal \\u0068as kin\"", &["o:14:17: nothing has"]);
    with("'1'", &["o:14:18: "]);
    with("'false'", &["o:14:"]);
    with("''", &["o:14:17: `condition` is empty"]);
    with("3", &["o:14:17: `condition` is of type integer"]);
    with(
        "'true } unless { false'",
        &["o:14:18: this is more than one expression"],
    );
    with(
        "'true }; permit (principal, action, resource) when { true'",
        &["o:14:18: a condition is one expression"],
    );
    let deep = format!("'{}true{}'", "(".repeat(40), ")".repeat(40));
    with(&deep, &["o:14:18: a condition is longer than"]);
}

#[test]
fn a_text_that_no_note_can_carry_is_refused_before_it_is_signed() {
    assert!(
        problems(&letter(1, "").replace('\n', "\r\n"))
            .starts_with("o:1:27: the order holds a tab, a carriage return")
    );
    assert!(problems(&format!("{}#\ttab\n", letter(1, ""))).contains("holds a tab"));
    assert!(problems(letter(1, "").trim_end()).contains("the last line does not end"));
    let huge = format!("{}#{}\n", letter(1, ""), "x".repeat(NOTE_BYTES_MAX));
    assert!(problems(&huge).contains("is longer than 1000000 bytes"));
    assert!(problems("").contains("the last line does not end"));
    assert!(problems("\n").contains("`t` is missing"));
}

#[test]
fn enough_distinct_officers_sign_and_nobody_else_counts() {
    let text = letter(1, "");
    let one = sign(&text, &signer(1)).unwrap();
    let two = cosign(&one, &signer(2)).unwrap();
    let opened = SignedOrder::open(two.as_bytes(), &signers(3, 2)).unwrap();
    assert_eq!(opened.signers, ["officer-1", "officer-2"]);
    assert_eq!(
        (&*opened.text, opened.digest),
        (&*two, tieline_note::sha256(two.as_bytes()))
    );
    assert_eq!(opened.directive().unwrap().digest, opened.digest);
    assert!(opened.revocation().is_none());
    let few = |note: &str, signers: &Signers| match SignedOrder::open(note.as_bytes(), signers) {
        Err(OrderError::TooFew {
            found,
            needed,
            unknown,
        }) => (found.join(" "), needed, unknown.join(" ")),
        other => panic!("{other:?}"),
    };
    assert_eq!(few(&one, &signers(3, 2)), ("officer-1".into(), 2, String::new()));
    // A stranger's signature is named, and does not count.
    let stranger = cosign(&one, &signer(9)).unwrap();
    assert_eq!(
        few(&stranger, &signers(3, 2)),
        ("officer-1".into(), 2, "officer-9".into())
    );
    let others = Signers::new(vec![signer(3).verifier().clone()], 1).unwrap();
    assert_eq!(few(&one, &others), (String::new(), 1, "officer-1".into()));
}

#[test]
fn signatures_that_are_wrong_or_doubled_do_not_count() {
    let note = sign(&letter(1, ""), &signer(1)).unwrap();
    let refuse = |note: &[u8], signers: &Signers, expected: &str| {
        let error = SignedOrder::open(note, signers).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    let all = signers(3, 1);
    // One letter was changed after it was signed.
    refuse(
        note.replace("Two models", "Ten models").as_bytes(),
        &all,
        "officer-1",
    );
    // The same line twice is one officer.
    let line = note.lines().last().unwrap();
    refuse(
        format!("{note}{line}\n").as_bytes(),
        &signers(3, 2),
        "of the 2 signatures that an order needs, it has 1",
    );
    refuse(letter(1, "").as_bytes(), &all, "not a signed note");
    refuse(note.replace('\n', "\r\n").as_bytes(), &all, "not a signed note");
    refuse(b"", &all, "not a signed note");
    refuse(b"\xff\xfe", &all, "UTF-8");
    refuse(&vec![b'x'; NOTE_BYTES_MAX + 1], &all, "more than 1000000");
    let wrong = sign("t = 1\n", &signer(1)).unwrap();
    refuse(wrong.as_bytes(), &all, "order:1:5: `t` is of type integer");
}

#[test]
fn who_may_sign_is_checked_itself() {
    let key = |n| signer(n).verifier().clone();
    let refuse = |keys: Vec<tieline_note::Verifier>, threshold, expected: &str| {
        let error = Signers::new(keys, threshold).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    };
    refuse(vec![key(1)], 0, "0 of 1 cannot be demanded");
    refuse(vec![key(1)], 2, "2 of 1 cannot be demanded");
    refuse(vec![], 0, "0 of 0");
    refuse(vec![key(1), key(2), key(1)], 2, "`officer-1` stands there twice");
    let alias = Signer::new("somebody-else", &[1; 32]).unwrap().verifier().clone();
    refuse(vec![key(1), alias], 2, "`somebody-else` stands there twice");
    let many = (0..=SIGNERS_MAX).map(|n| key(u8::try_from(n).unwrap())).collect();
    refuse(many, 2, "33 are given, and 32 are the limit");
}

#[test]
fn an_order_counts_upwards_and_in_time() {
    let check = |text: &str, now: Tick, in_force, last, expected: &str| {
        let found = Order::parse("o", text).unwrap().check(now, in_force, last);
        match found {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => assert!(
                !expected.is_empty() && error.to_string().contains(expected),
                "{error}"
            ),
        }
    };
    let issued = Tick(JUNE_12.0 + 76_860_000_000);
    let before = Tick(issued.0 - 1);
    check(&letter(1, ""), issued, None, None, "");
    check(
        &letter(1, ""),
        before,
        None,
        None,
        "was issued after this instant",
    );
    check(&letter(2, ""), issued, Some(1), Some(1), "");
    check(
        &letter(1, ""),
        issued,
        Some(1),
        Some(1),
        "has been at version 1, and the order is version 1",
    );
    check(&letter(2, ""), issued, None, Some(3), "has been at version 3");
    let over = letter(1, "valid_to = 2026-06-12T22:00:00Z\n");
    check(
        &over,
        Tick(JUNE_12.0 + 79_200_000_000),
        None,
        None,
        "lies in the past",
    );
    let july = Tick(JUNE_12.0 + 30 * 86_400_000_000);
    check(REVOCATION, july, Some(2), Some(2), "");
    check(REVOCATION, july, Some(3), Some(3), "has been at version 3");
    check(
        REVOCATION,
        july,
        None,
        Some(2),
        "no directive `us-bis-2026-06-12` in force",
    );
    check(
        REVOCATION,
        issued,
        Some(2),
        Some(2),
        "was issued after this instant",
    );
}

#[test]
fn the_entry_point_of_fuzzing_takes_anything() {
    let note = sign(&letter(1, ""), &signer(1)).unwrap();
    for data in [
        note.as_bytes(),
        letter(1, "").as_bytes(),
        REVOCATION.as_bytes(),
        b"",
        b"\n\n",
        b"\xff",
    ] {
        fuzz_order(data);
    }
}

//! Coverage by hand: seven parties under the demo pack, whose rules fit on two screens.

use tieline_core::grid::Weights;
use tieline_policy::{Consumer, CoverageError, Facts, PartyFacts, Tally, Use, coverage, share_permille};

use crate::support::{JUNE_12, call, demo, demo_epoch, epoch, model, pack, rule};

fn tally(parties: u64, calls: u64, spend_nano: u128) -> Tally {
    Tally {
        parties,
        calls,
        spend_nano,
    }
}

/// 0: an open model. 1: a closed one of known, small compute. 2: a closed one that needs a statement.
fn questions() -> Vec<Facts> {
    let of = |model| Facts {
        model,
        ..call(PartyFacts::default())
    };
    vec![
        of(model("open-1", Weights::Open, None)),
        of(model("small-1", Weights::Closed, Some("3e24"))),
        of(model("frontier-1", Weights::Closed, Some("2.1e26"))),
    ]
}

fn consumer(facts: &str, uses: &[(usize, u64, u128)]) -> Consumer {
    let of = |(question, calls, spend_nano): &(usize, u64, u128)| Use {
        calls: *calls,
        question: *question,
        spend_nano: *spend_nano,
    };
    Consumer {
        facts: serde_json::from_str(facts).unwrap(),
        uses: uses.iter().map(of).collect(),
    }
}

fn consumers() -> Vec<Consumer> {
    vec![
        // Allowed: decidable.
        consumer(
            r#"{"class":"enterprise","jurisdiction":"DE"}"#,
            &[(0, 100, 1_000)],
        ),
        // Denied for a fact that is known, and nothing that is missing would lift it.
        consumer(r#"{"class":"enterprise","jurisdiction":"BY"}"#, &[(0, 10, 100)]),
        // Class and jurisdiction are missing: two rules hold, each for its own.
        consumer("{}", &[(0, 20, 200)]),
        // Denied for want of a jurisdiction, which is known to have expired.
        consumer(
            r#"{"class":"enterprise","expires":{"jurisdiction":5},"jurisdiction":"DE"}"#,
            &[(1, 7, 70)],
        ),
        // One use is open, the other waits for a statement.
        consumer(
            r#"{"class":"enterprise","jurisdiction":"DE"}"#,
            &[(1, 3, 30), (2, 4, 40)],
        ),
        // An agency that does not say what a call is for: no fact about the party would help.
        consumer(r#"{"class":"agency","jurisdiction":"DE"}"#, &[(0, 5, 50)]),
        // The same for one whose jurisdiction is missing: to know it would not open the door.
        consumer(r#"{"class":"agency"}"#, &[(0, 1, 10)]),
    ]
}

#[test]
fn what_is_decidable_and_what_would_help() {
    let found = coverage(&demo_epoch(), &consumers(), &questions(), JUNE_12).unwrap();
    assert_eq!(found.whole, tally(7, 150, 1_500));
    assert_eq!(found.decidable, tally(4, 119, 1_190));
    assert_eq!(found.packs["demo"], found.decidable);
    assert_eq!(found.packs["default"], found.whole);
    let rows: Vec<(String, Tally, Tally)> = found
        .missing
        .iter()
        .map(|row| (row.fact.to_string(), row.alone, row.waiting))
        .collect();
    let expected = [
        ("jurisdiction", tally(1, 7, 70), tally(2, 27, 270)),
        ("statements/end-use", tally(1, 4, 40), tally(1, 4, 40)),
        ("class", tally(0, 0, 0), tally(1, 20, 200)),
    ];
    assert_eq!(
        rows,
        expected.map(|(fact, alone, waiting)| (fact.to_owned(), alone, waiting))
    );
    assert_eq!(share_permille(119, 150), Some(793));
    assert_eq!(share_permille(0, 0), None);
}

#[test]
fn an_expired_fact_is_a_missing_one_here_too() {
    let found = coverage(&demo_epoch(), &consumers(), &questions(), JUNE_12).unwrap();
    let mut later = consumers();
    later[3].facts.expires.clear();
    let without = coverage(&demo_epoch(), &later, &questions(), JUNE_12).unwrap();
    assert_eq!(without.decidable.parties, found.decidable.parties + 1);
    assert_eq!(without.decidable.calls, found.decidable.calls + 7);
}

#[test]
fn each_pack_counts_for_itself_and_a_party_without_calls_is_judged_on_all() {
    let body = "(principal, action, resource) unless { principal has headquarters && \
                !(principal.headquarters in CountryGroup::\"places/far\") }";
    let far = "[sets.far]\ntitle = \"Far\"\ncountries = [\"AQ\"]\n";
    let places = pack("places", far, &rule("near", "@effect(\"hold\") forbid", body)).unwrap();
    let epoch = epoch(1, vec![demo(), places]);
    let known = consumer(r#"{"class":"enterprise","jurisdiction":"DE"}"#, &[(0, 1, 1)]);
    let found = coverage(&epoch, &[known], &questions(), JUNE_12).unwrap();
    assert_eq!(
        (found.packs["demo"], found.packs["places"]),
        (tally(1, 1, 1), tally(0, 0, 0))
    );
    assert_eq!(found.decidable, tally(0, 0, 0));
    assert_eq!(
        (found.missing[0].fact.to_string(), found.missing[0].alone),
        ("headquarters".into(), tally(1, 1, 1))
    );
    // Without a use, the question about the frontier model counts too, and it waits for a statement.
    let idle = consumer(
        r#"{"class":"enterprise","jurisdiction":"DE","headquarters":"DE"}"#,
        &[],
    );
    let found = coverage(&epoch, &[idle], &questions(), JUNE_12).unwrap();
    assert_eq!((found.whole, found.decidable), (tally(1, 0, 0), tally(0, 0, 0)));
    assert_eq!(found.missing[0].fact.to_string(), "statements/end-use");
}

#[test]
fn a_default_that_no_permit_lifts_waits_for_what_the_permits_read() {
    let permit = rule(
        "base",
        "permit",
        "(principal, action, resource) when { principal has kind && principal.kind == Kind::\"unit\" }",
    );
    let epoch = epoch(1, vec![pack("p", "", &permit).unwrap()]);
    let found = coverage(&epoch, &[consumer("{}", &[(0, 9, 0)])], &questions(), JUNE_12).unwrap();
    assert_eq!(found.packs["default"], tally(0, 0, 0));
    assert_eq!(found.packs["p"], tally(1, 9, 0));
    assert_eq!(
        (found.missing[0].fact.to_string(), found.missing[0].alone),
        ("kind".into(), tally(1, 9, 0))
    );
    let person = consumer(r#"{"kind":"person"}"#, &[(0, 9, 0)]);
    let found = coverage(&epoch, &[person], &questions(), JUNE_12).unwrap();
    assert_eq!((found.decidable, found.missing.len()), (found.whole, 0));
}

#[test]
fn a_question_that_does_not_exist_is_an_error() {
    let lost = consumer("{}", &[(3, 1, 1)]);
    let error = CoverageError {
        question: 3,
        questions: 3,
    };
    assert_eq!(
        coverage(&demo_epoch(), &[lost], &questions(), JUNE_12),
        Err(error)
    );
    let none = coverage(&demo_epoch(), &[], &questions(), JUNE_12).unwrap();
    assert_eq!(none.whole, Tally::default());
}

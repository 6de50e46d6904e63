//! Licences, statements and clearances: read from files, and what follows from them for parties.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::{Ruling, Tick};
use tieline_note::{Signer, Verifier, note};
use tieline_policy::{
    Clearance, Epoch, EvidenceKind, FactName, Grant, Kind, Licence, Names, PackProblem, PartyFacts,
    PartyRecord, Quantity, Registry, Statement, TermFault, TermScope, Terms,
};

use crate::support::{JUNE_12, call, epoch, pack, rule, set};

const LICENCE: &str = r#"t = "tieline/licence/v1"
id = "d-100"
kind = "bis-licence"
issuer = "US Department of Commerce, Bureau of Industry and Security"
authority = "15 CFR Part 748"
conditions = ["No onward transfer."]
quantity = { calls = 1000 }
valid_from = 2026-06-12
valid_to = 2027-06-11
[scope]
models = ["open-1"]
[[parties]]
id = "acme"
with_members = true
[[parties]]
id = "other"
"#;

const STATEMENT: &str = r#"t = "tieline/statement/v1"
id = "u-1"
kind = "academic-end-use"
version = 1
party = "acme"
valid_from = 2026-06-12
valid_to = 2027-06-11
signer = { name = "A. Dean", role = "Dean of Research" }
institution = { name = "University", ror = "05a28rw58" }
project = { purpose = "Study of languages.", field = "linguistics", publication = "intended" }
persons = { count = 12, classes = ["nationality_group:A5", "us_person"] }
scope = { models = ["open-1"], end_uses = ["research"] }
[undertakings]
no_diversion_to = ["us-ear/d5"]
no_military_or_surveillance = true
no_onward_transfer = true
"#;

fn path() -> Arc<str> {
    Arc::from("paper.toml")
}

fn licence(text: &str) -> Result<Licence, Vec<PackProblem>> {
    Licence::read(&path(), text)
}

fn recorded(text: &str) -> Result<Statement, Vec<PackProblem>> {
    Statement::open(&path(), text, &[], Some("officer-1"))
}

fn lines<T: std::fmt::Debug>(result: Result<T, Vec<PackProblem>>) -> String {
    let lines: Vec<String> = result.unwrap_err().iter().map(|p| format!("  {p}")).collect();
    lines.join("\n")
}

#[test]
fn papers_are_read_and_kept() {
    let licence = licence(LICENCE).unwrap();
    let text = serde_json::to_string(&licence).unwrap();
    assert_eq!(serde_json::from_str::<Licence>(&text).unwrap(), licence);
    assert_eq!(licence.quantity, Some(Quantity { calls: 1_000 }));
    assert_eq!(licence.valid_from, JUNE_12);
    assert_eq!(licence.valid_to, Some(Tick(JUNE_12.0 + 365 * DAY)));
    let revoked = Licence {
        revoked: Some(JUNE_12),
        ..licence.clone()
    };
    assert_eq!(revoked.digest(), licence.digest());
    let other = Licence {
        note: Some("n".into()),
        ..licence.clone()
    };
    assert_ne!(other.digest(), licence.digest());
    let statement = recorded(STATEMENT).unwrap();
    let text = serde_json::to_string(&statement).unwrap();
    assert_eq!(serde_json::from_str::<Statement>(&text).unwrap(), statement);
    assert_eq!(statement.recorded_by.as_deref(), Some("officer-1"));
    assert_eq!(statement.persons.unwrap().count, 12);
}

const DAY: u64 = 86_400_000_000;

#[test]
fn papers_with_mistakes_are_refused_with_every_place() {
    let bad_licence = |from: &str, to: &str| lines(licence(&LICENCE.replace(from, to)));
    let bad_statement = |from: &str, to: &str| lines(recorded(&STATEMENT.replace(from, to)));
    let table = [
        ("not a licence", bad_licence("licence/v1", "licence/v2")),
        ("nobody", bad_licence("[[parties]]", "[[party]]")),
        ("ends before it begins", bad_licence("2027-06-11", "2026-06-11")),
        ("nothing counted", bad_licence("calls = 1000", "calls = 0")),
        ("many mistakes", bad_licence("\"d-100\"", "7\nowner = 1")),
        ("twice the same party", bad_licence("\"other\"", "\"acme\"")),
        ("an empty scope", bad_licence("[\"open-1\"]", "[]")),
        (
            "no country",
            bad_licence("models = [\"open-1\"]", "places = [\"XX\"]"),
        ),
        ("no signer", bad_statement("signer", "author")),
        ("too long", bad_statement("2027-06-11", "2027-06-12")),
        ("no end", bad_statement("valid_to = 2027-06-11\n", "")),
        (
            "a promise not made",
            bad_statement("onward_transfer = true", "onward_transfer = false"),
        ),
        (
            "a promise left out",
            bad_statement("no_onward_transfer = true", ""),
        ),
        ("no undertakings", bad_statement("[undertakings]", "[promises]")),
        ("no set", bad_statement("us-ear/d5", "D:5")),
        ("no register", bad_statement("05a28rw58", "05A28RW58")),
        ("no publication", bad_statement("\"intended\"", "\"yes\"")),
        ("no version", bad_statement("version = 1", "version = \"1\"")),
        ("not TOML", lines(recorded("t = "))),
    ];
    let text = table.map(|(name, problems)| format!("{name}:\n{problems}"));
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_statement_lasts_twelve_months_and_not_a_day_more() {
    let check = |from: &str, to: &str, fits: bool| {
        let text = STATEMENT.replace("2026-06-12", from).replace("2027-06-11", to);
        assert_eq!(recorded(&text).is_ok(), fits, "{from} {to}");
    };
    check("2026-06-12", "2027-06-11", true);
    check("2026-06-12", "2027-06-12", false);
    check("2027-03-01", "2028-02-29", true);
    check("2027-03-01", "2028-03-01", false);
    check("2028-02-29", "2029-02-28", true);
    check("2028-02-29", "2029-03-01", false);
    check("2026-06-12T10:00:00Z", "2027-06-12T10:00:00Z", true);
    check("2026-06-12T10:00:00Z", "2027-06-12T10:00:01Z", false);
}

#[test]
fn a_statement_is_signed_or_an_officer_answers_for_it() {
    let signer = Signer::new("dean", &[7; 32]).unwrap();
    let stranger = Signer::new("stranger", &[8; 32]).unwrap();
    let keys: Vec<Verifier> = vec![signer.verifier().clone()];
    let letter = note::sign(STATEMENT, &signer).unwrap();
    let open = |file: &str, officer| Statement::open(&path(), file, &keys, officer);
    let statement = open(&letter, None).unwrap();
    assert_eq!((statement.signers.len(), &*statement.signers[0]), (1, "dean"));
    assert_eq!(statement.signature.as_deref(), Some(&*letter));
    assert_eq!(open(STATEMENT, Some("officer-1")).unwrap().signers.len(), 0);
    let table = [
        ("unsigned", lines(open(STATEMENT, None))),
        (
            "another's key",
            lines(open(
                &note::sign(STATEMENT, &stranger).unwrap(),
                Some("officer-1"),
            )),
        ),
        (
            "changed",
            lines(open(&letter.replace("12,", "13,"), Some("officer-1"))),
        ),
        ("too long", lines(open(&"#\n".repeat(40_000), Some("officer-1")))),
    ];
    let text = table.map(|(name, problems)| format!("{name}:\n{problems}"));
    insta::assert_snapshot!(text.join("\n"));
}

fn record(id: &str, kind: Kind, parent: Option<&str>) -> PartyRecord {
    PartyRecord {
        evidence: Vec::new(),
        groups: Names::default(),
        id: id.into(),
        kind,
        owners: Vec::new(),
        parent: parent.map(Arc::from),
    }
}

/// An organisation with a service, and one apart.
fn registry(terms: Terms) -> Registry {
    let records = vec![
        record("acme", Kind::Organisation, None),
        record("acme-bot", Kind::Service, Some("acme")),
        record("other", Kind::Organisation, None),
        record("other-bot", Kind::Service, Some("other")),
    ];
    Registry::new(JUNE_12, records)
        .unwrap()
        .with_terms(Arc::new(terms))
}

fn facts(registry: &Registry, id: &str) -> PartyFacts {
    registry.resolve_party(id).unwrap().facts
}

/// Denies without a licence of BIS, and holds without an academic statement; for cases, everything else is permitted.
fn ruled() -> Epoch {
    let all = "(principal, action, resource)";
    let rules = [
        rule("all", "permit", all),
        rule(
            "deny",
            "forbid",
            &format!("{all} unless {{ principal.licences.contains(\"bis-licence\") }}"),
        ),
        rule(
            "hold",
            "@effect(\"hold\") forbid",
            &format!("{all} unless {{ principal.statements.contains(\"academic-end-use\") }}"),
        ),
    ];
    epoch(1, vec![pack("p", "", &rules.concat()).unwrap()])
}

fn ruling(epoch: &Epoch, party: PartyFacts, now: Tick) -> Ruling {
    let mut asked = call(party);
    asked.end_use = Some("research".into());
    epoch.judge(&asked, now).ruling
}

#[test]
fn a_licence_reaches_whom_it_names_while_it_lasts() {
    let epoch = ruled();
    let terms =
        |licence: Licence| Terms::new(vec![licence], vec![recorded(STATEMENT).unwrap()], Vec::new()).unwrap();
    let given = licence(LICENCE).unwrap();
    let of = |licence: &Licence, id| facts(&registry(terms(licence.clone())), id);
    let acme = of(&given, "acme");
    assert!(acme.holds_licence("bis-licence") && acme.holds_licence("d-100"));
    assert_eq!(acme.counted, set(&["d-100"]));
    assert_eq!(ruling(&epoch, acme.clone(), JUNE_12), Ruling::Allow);
    let mut asked = call(acme.clone());
    asked.end_use = Some("research".into());
    assert_eq!(&*epoch.judge(&asked, JUNE_12).consumes, [Arc::from("d-100")]);
    // Those below have the licence of the first, but a statement speaks for its party alone.
    assert_eq!(ruling(&epoch, of(&given, "acme-bot"), JUNE_12), Ruling::Hold);
    assert_eq!(ruling(&epoch, of(&given, "other"), JUNE_12), Ruling::Hold);
    assert_eq!(ruling(&epoch, of(&given, "other-bot"), JUNE_12), Ruling::Deny);
    // Not a moment before or after, in or out of its scope.
    let end = Tick(JUNE_12.0 + 365 * DAY);
    assert_eq!(ruling(&epoch, acme.clone(), Tick(JUNE_12.0 - 1)), Ruling::Deny);
    assert_eq!(ruling(&epoch, acme.clone(), Tick(end.0 - 1)), Ruling::Allow);
    assert_eq!(ruling(&epoch, acme.clone(), end), Ruling::Deny);
    let valid_until = |now| epoch.judge(&asked, now).valid_until;
    assert_eq!(valid_until(Tick(JUNE_12.0 - 1)), Some(JUNE_12));
    assert_eq!(valid_until(JUNE_12), Some(end));
    let mut other = call(acme);
    other.model.name = "open-2".into();
    assert_eq!(epoch.judge(&other, JUNE_12).ruling, Ruling::Deny);
    // Revoked, it is worth nothing from that instant on.
    let revoked = Licence {
        revoked: Some(Tick(JUNE_12.0 + DAY)),
        ..given
    };
    let acme = of(&revoked, "acme");
    assert_eq!(
        ruling(&epoch, acme.clone(), Tick(JUNE_12.0 + DAY - 1)),
        Ruling::Allow
    );
    assert_eq!(ruling(&epoch, acme, Tick(JUNE_12.0 + DAY)), Ruling::Deny);
}

#[test]
fn the_facts_name_the_paper_and_the_evidence_says_whose_it_is() {
    let terms = Terms::new(
        vec![licence(LICENCE).unwrap()],
        vec![recorded(STATEMENT).unwrap()],
        Vec::new(),
    );
    let registry = registry(terms.unwrap());
    let evidence = registry.term_evidence("acme");
    let kinds: Vec<_> = evidence
        .iter()
        .map(|piece| (piece.kind, &*piece.issuer))
        .collect();
    assert_eq!(
        kinds,
        [
            (
                EvidenceKind::SignedLicence,
                "US Department of Commerce, Bureau of Industry and Security"
            ),
            (EvidenceKind::SignedStatement, "officer-1"),
        ]
    );
    let facts = facts(&registry, "acme");
    for piece in &evidence {
        let limits = &facts.limits[&piece.value.fact()];
        assert_eq!(limits.first().and_then(|limit| limit.digest), piece.digest);
        assert!(piece.digest.is_some());
    }
    // Changing a party leaves the terms in place.
    let amended = registry
        .amend(
            JUNE_12,
            vec![record("new", Kind::Organisation, None)],
            &BTreeSet::new(),
        )
        .unwrap();
    assert_eq!(amended.term_evidence("acme"), evidence);
}

#[test]
fn an_officers_clearance_ends_when_it_ends() {
    let epoch = ruled();
    let grant = |model: Option<&str>, until| Grant {
        clearance: Clearance {
            model: model.map(Arc::from),
            rule: "p/hold".into(),
            ticket: "t-1".into(),
        },
        party: "acme".into(),
        until,
    };
    let with = |grants: Vec<Grant>, id: &str| {
        let terms = Terms::new(vec![licence(LICENCE).unwrap()], Vec::new(), grants);
        facts(&registry(terms.unwrap()), id)
    };
    let until = Tick(JUNE_12.0 + DAY);
    let acme = with(vec![grant(None, Some(until))], "acme");
    assert_eq!(ruling(&epoch, acme.clone(), JUNE_12), Ruling::Allow);
    assert_eq!(ruling(&epoch, acme, until), Ruling::Hold);
    let cases = [
        (vec![], "acme", Ruling::Hold),
        (vec![grant(None, None)], "acme", Ruling::Allow),
        (vec![grant(None, None)], "acme-bot", Ruling::Hold),
        (vec![grant(Some("open-1"), None)], "acme", Ruling::Allow),
        (vec![grant(Some("open-2"), None)], "acme", Ruling::Hold),
        (vec![grant(None, Some(JUNE_12))], "acme", Ruling::Hold),
    ];
    for (grants, id, expected) in cases {
        assert_eq!(ruling(&epoch, with(grants, id), JUNE_12), expected);
    }
    // The first end of a ticket counts.
    let both = with(
        vec![grant(None, None), grant(Some("open-1"), Some(until))],
        "acme",
    );
    assert_eq!(ruling(&epoch, both, until), Ruling::Hold);
}

#[test]
fn terms_that_do_not_hold_together_are_refused() {
    let licence = licence(LICENCE).unwrap();
    let statement = recorded(STATEMENT).unwrap();
    let unproven = Statement {
        id: "u-2".into(),
        recorded_by: None,
        ..statement.clone()
    };
    let backward = Licence {
        id: "d-101".into(),
        valid_to: Some(JUNE_12),
        ..licence.clone()
    };
    let problems = Terms::new(
        vec![licence.clone(), licence, backward],
        vec![statement.clone(), statement, unproven],
        Vec::new(),
    )
    .unwrap_err();
    let found: Vec<_> = problems.iter().map(|one| (&*one.id, one.fault.clone())).collect();
    assert_eq!(
        found,
        [
            ("d-100", TermFault::Duplicate),
            ("d-101", TermFault::EndsBeforeBegin),
            ("u-1", TermFault::Duplicate),
            ("u-2", TermFault::Unproven),
        ]
    );
}

/// Terms of one party around `JUNE_12`, with scopes around the model `open-1` and the end use `research`.
fn any_terms() -> impl Strategy<Value = (Vec<Licence>, Vec<Statement>)> {
    let scope = (
        subsequence(vec!["open-1", "open-2"], 0..=2),
        subsequence(vec!["research", "support"], 0..=2),
    )
        .prop_map(|(models, end_uses)| TermScope {
            end_uses: set(&end_uses),
            models: set(&models),
            ..TermScope::default()
        });
    let time = (0..6_u64, 1..6_u64, proptest::option::of(0..8_u64));
    let one = (scope, time, any::<bool>(), select(vec!["acme", "other"])).boxed();
    let at = |n: u64| Tick(JUNE_12.0 + n);
    let licences = proptest::collection::vec(one.clone(), 0..4).prop_map(move |all| {
        let make =
            |(n, (scope, (from, len, revoked), counted, party)): (usize, (TermScope, _, bool, &str))| {
                let (from, len, revoked): (u64, u64, Option<u64>) = (from, len, revoked);
                let mut licence = licence(&LICENCE.replace("d-100", &format!("d-{n}"))).unwrap();
                licence.parties.retain(|one| &*one.id == party);
                licence.quantity = counted.then_some(Quantity { calls: 1 });
                licence.revoked = revoked.map(at);
                licence.scope = scope;
                (licence.valid_from, licence.valid_to) = (at(from), Some(at(from + len)));
                licence
            };
        all.into_iter().enumerate().map(make).collect()
    });
    let statements = proptest::collection::vec(one, 0..4).prop_map(move |all| {
        let make = |(n, (scope, (from, len, revoked), _, party)): (usize, (TermScope, _, bool, &str))| {
            let (from, len, revoked): (u64, u64, Option<u64>) = (from, len, revoked);
            let mut statement = recorded(&STATEMENT.replace("u-1", &format!("u-{n}"))).unwrap();
            statement.party = party.into();
            statement.revoked = revoked.map(at);
            statement.scope = scope;
            (statement.valid_from, statement.valid_to) = (at(from), at(from + len));
            statement
        };
        all.into_iter().enumerate().map(make).collect()
    });
    (licences, statements)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_paper_that_does_not_count_changes_nothing((licences, statements) in any_terms(), now in 0..12_u64,
                                                   research in any::<bool>()) {
        let epoch = ruled();
        let now = Tick(JUNE_12.0 + now);
        let end_use = if research { "research" } else { "targeting" };
        let counts = |from: Tick, to: Option<Tick>, revoked: Option<Tick>, scope: &TermScope| {
            from <= now && to.is_none_or(|to| to > now) && revoked.is_none_or(|at| at > now)
                && (scope.models.is_empty() || scope.models.contains("open-1"))
                && (scope.end_uses.is_empty() || scope.end_uses.contains(end_use))
        };
        let judge = |licences: Vec<Licence>, statements: Vec<Statement>| {
            let registry = registry(Terms::new(licences, statements, Vec::new()).unwrap());
            let mut asked = call(facts(&registry, "acme"));
            asked.end_use = Some(end_use.into());
            epoch.judge(&asked, now)
        };
        let all = judge(licences.clone(), statements.clone());
        let mut left = (licences, statements);
        left.0.retain(|one| &*one.parties[0].id == "acme" && counts(one.valid_from, one.valid_to, one.revoked, &one.scope));
        left.1.retain(|one| &*one.party == "acme" && counts(one.valid_from, Some(one.valid_to), one.revoked, &one.scope));
        let expected = match (left.0.is_empty(), left.1.is_empty()) {
            (true, _) => Ruling::Deny,
            (false, true) => Ruling::Hold,
            (false, false) => Ruling::Allow,
        };
        prop_assert_eq!(all.ruling, expected);
        // A licence that is not counted is used before one that is.
        let is_free = left.0.iter().any(|one| one.quantity.is_none());
        prop_assert_eq!(all.consumes.len(), usize::from(!left.0.is_empty() && !is_free));
        let few = judge(left.0, left.1);
        prop_assert_eq!((few.ruling, few.rules, few.consumes), (all.ruling, all.rules, all.consumes));
    }

    #[test]
    fn one_more_paper_makes_no_verdict_stricter((licences, statements) in any_terms(), now in 0..12_u64) {
        let epoch = ruled();
        let now = Tick(JUNE_12.0 + now);
        let judge = |licences: &[Licence], statements: &[Statement]| {
            let terms = Terms::new(licences.to_vec(), statements.to_vec(), Vec::new()).unwrap();
            ruling(&epoch, facts(&registry(terms), "acme"), now)
        };
        let all = judge(&licences, &statements);
        for n in 0..licences.len() {
            prop_assert!(judge(&licences[..n], &statements) >= all);
        }
        for n in 0..statements.len() {
            prop_assert!(judge(&licences, &statements[..n]) >= all);
        }
    }
}

#[test]
fn a_fact_in_the_record_itself_is_under_no_term() {
    let epoch = ruled();
    let evidence = serde_json::from_str(
        r#"{"expires":1781222400000100,"issuer":"operator","kind":"signed_licence","obtained":1,"value":{"licence":"bis-licence"}}"#,
    );
    let mut acme = record("acme", Kind::Organisation, None);
    acme.evidence.push(evidence.unwrap());
    let scoped = licence(
        &LICENCE
            .replace("d-100", "bis-licence")
            .replace("\"open-1\"", "\"open-2\""),
    )
    .unwrap();
    let terms = Terms::new(vec![scoped], vec![recorded(STATEMENT).unwrap()], Vec::new()).unwrap();
    let registry = Registry::new(JUNE_12, vec![acme])
        .unwrap()
        .with_terms(Arc::new(terms));
    let facts = facts(&registry, "acme");
    assert_eq!(facts.limits[&FactName::Licence("bis-licence".into())].len(), 2);
    assert_eq!(ruling(&epoch, facts.clone(), JUNE_12), Ruling::Allow);
    assert_eq!(ruling(&epoch, facts, Tick(JUNE_12.0 + 100)), Ruling::Deny);
}

#[test]
fn a_new_term_touches_those_whom_it_reaches_and_nobody_else() {
    let terms = |licences: &[&str]| {
        let licences = licences.iter().map(|text| licence(text).unwrap());
        Terms::new(licences.collect(), Vec::new(), Vec::new()).unwrap()
    };
    let first = registry(terms(&[LICENCE]));
    let same = first.clone().with_terms(Arc::new(terms(&[LICENCE])));
    let apart = format!(
        "t = \"tieline/licence/v1\"\nid = \"e-1\"\nissuer = \"i\"\nauthority = \"a\"\nvalid_from = 2026-06-12\n{}",
        "[[parties]]\nid = \"acme\"\n"
    );
    let more = first.clone().with_terms(Arc::new(terms(&[LICENCE, &apart])));
    for (id, expected) in [
        ("acme", false),
        ("acme-bot", false),
        ("other", true),
        ("other-bot", true),
    ] {
        assert!(same.is_same_for(&first, id), "{id}");
        assert_eq!(more.is_same_for(&first, id), expected, "{id}");
    }
}

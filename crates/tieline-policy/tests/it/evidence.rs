//! From records to verdicts: what the tree passes down, what is refused, and the laws that hold for any evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tieline_core::{Ruling, Tick, Verdict};
use tieline_policy::{
    ALTERNATIVES_MAX, Evidence, EvidenceKind, FactName, FactValue, Kind, Names, Owned, Ownership, Parent,
    PartyFacts, PartyRecord, Registry, Resolved, Share, Test, WORLDS_MAX,
};

use crate::support::{JUNE_12, any_tick, call, demo_epoch};

/// Before any tick of [`any_tick`], after any `obtained`.
const RECORDED: Tick = Tick(JUNE_12.0 - 1);

fn value(text: &str) -> FactValue {
    serde_json::from_str(text).unwrap()
}

fn piece(kind: EvidenceKind, text: &str) -> Evidence {
    Evidence {
        digest: None,
        expires: None,
        issuer: Arc::from("issuer"),
        kind,
        obtained: Tick(1),
        value: value(text),
    }
}

fn record(id: &str, kind: Kind, parent: Option<&str>, evidence: Vec<Evidence>) -> PartyRecord {
    PartyRecord {
        evidence,
        groups: Names::default(),
        id: Arc::from(id),
        kind,
        owners: Vec::new(),
        parent: parent.map(Arc::from),
    }
}

/// What the evidence about an organisation comes to.
fn alone(evidence: Vec<Evidence>) -> Resolved {
    let registry = Registry::new(RECORDED, vec![record("o", Kind::Organisation, None, evidence)]);
    registry.unwrap().resolve_party("o").unwrap()
}

fn judge(facts: PartyFacts, now: Tick) -> Verdict {
    demo_epoch().judge(&call(facts), now)
}

/// An organisation, a unit of it and a person in that, with evidence for each.
fn tree(evidence: &[(usize, Evidence)]) -> Vec<PartyRecord> {
    let of = |at: usize| {
        let own = evidence.iter().filter(|(whose, _)| *whose == at);
        own.map(|(_, piece)| piece.clone()).collect()
    };
    vec![
        record("o", Kind::Organisation, None, of(0)),
        record("u", Kind::Unit, Some("o"), of(1)),
        record("p", Kind::Person, Some("u"), of(2)),
    ]
}

fn person(evidence: &[(usize, Evidence)]) -> Resolved {
    let registry = Registry::new(RECORDED, tree(evidence)).unwrap();
    registry.resolve_party("p").unwrap()
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let values = vec![
        // The strict ones are neither first nor last in any order.
        r#"{"jurisdiction":"AT"}"#,
        r#"{"jurisdiction":"BY"}"#,
        r#"{"jurisdiction":"FR"}"#,
        r#"{"jurisdiction":"SY"}"#,
        r#"{"jurisdiction":"TW"}"#,
        r#"{"headquarters":"DE"}"#,
        r#"{"headquarters":"BY"}"#,
        r#"{"class":"academic"}"#,
        r#"{"class":"agency"}"#,
        r#"{"class":"startup"}"#,
        r#"{"listed":[]}"#,
        r#"{"listed":["x"]}"#,
        r#"{"statement":"end-use"}"#,
        r#"{"licence":"annex-a-clearance"}"#,
    ];
    let kind = select(EvidenceKind::ALL.to_vec());
    (
        select(values),
        kind,
        option::of(any_tick()),
        select(vec!["a", "b"]),
    )
        .prop_map(|(text, kind, expires, issuer)| {
            let mut piece = piece(kind, text);
            piece.kind = kind.max(piece.value.kind_min());
            piece.expires = expires;
            piece.issuer = Arc::from(issuer);
            piece
        })
}

/// How many worlds there are at `now`.
fn worlds(facts: &PartyFacts, now: Tick) -> usize {
    let mut values: BTreeMap<FactName, usize> = BTreeMap::new();
    for other in facts.at(now).also {
        *values.entry(other.value.fact()).or_insert(1) += 1;
    }
    values.values().product()
}

#[test]
fn what_comes_with_a_call_is_laid_beside_what_its_party_has() {
    let employer = |text| piece(EvidenceKind::EmployerAssertion, text);
    let tree = tree(&[
        (0, employer(r#"{"jurisdiction":"DE"}"#)),
        (1, employer(r#"{"end_uses":["chat"]}"#)),
    ]);
    let registry = Registry::new(RECORDED, tree).unwrap();
    let below = |evidence| record("u", Kind::Person, Some("u"), evidence);
    let brought = vec![
        Evidence {
            expires: Some(JUNE_12),
            ..employer(r#"{"person_class":["us_person"]}"#)
        },
        employer(r#"{"jurisdiction":"FR"}"#),
    ];
    let facts = registry.resolve_below("u", &below(brought)).unwrap().facts;
    let expected = r#"{"also":[{"value":{"jurisdiction":"FR"}}],"end_uses":["chat"],
        "expires":{"person_class":1781222400000000},"jurisdiction":"DE","kind":"person","person_class":["us_person"]}"#;
    assert_eq!(
        facts,
        serde_json::from_str(&expected.replace("1781222400000000", &JUNE_12.0.to_string())).unwrap()
    );
    assert_eq!(facts.at(JUNE_12).person_class, None);
    assert!(facts.lasting_until(JUNE_12).expires.is_empty());
    assert!(registry.resolve_below("nobody", &below(Vec::new())).is_none());
}

/// What a call from a country comes to for an organisation with this evidence.
fn called_from(country: &str, evidence: Vec<Evidence>) -> Resolved {
    let records = vec![record("o", Kind::Organisation, None, evidence)];
    let address = piece(
        EvidenceKind::GeoIp,
        &format!("{{\"jurisdiction\":\"{country}\"}}"),
    );
    let below = record("o", Kind::Organisation, Some("o"), vec![address]);
    let registry = Registry::new(RECORDED, records).unwrap();
    registry.resolve_below("o", &below).unwrap()
}

/// What rules make of a place: that nobody knows it, that it is refused, or nothing.
fn of_place(facts: PartyFacts) -> Option<&'static str> {
    let rules = judge(facts, RECORDED).rules;
    let of_place = ["blocked-jurisdictions", "jurisdiction-unknown"];
    (of_place.into_iter()).find(|name| rules.iter().any(|rule| rule.id.ends_with(name)))
}

#[test]
fn an_address_places_whoever_nothing_else_does() {
    let Resolved { facts, flags } = called_from("DE", Vec::new());
    let expected = r#"{"jurisdiction":"DE","kind":"organisation"}"#;
    assert_eq!(facts, serde_json::from_str(expected).unwrap());
    assert_eq!(flags, []);
    assert_eq!(of_place(facts), None);
    assert_eq!(of_place(alone(Vec::new()).facts), Some("jurisdiction-unknown"));
    let from_minsk = called_from("BY", Vec::new()).facts;
    assert_eq!(of_place(from_minsk), Some("blocked-jurisdictions"));
}

#[test]
fn an_address_replaces_nothing_and_is_judged_beside_it() {
    let known = || vec![piece(EvidenceKind::Registration, r#"{"jurisdiction":"DE"}"#)];
    let Resolved { facts, flags } = called_from("BY", known());
    // The stronger is the fact, the weaker another world; where one of them is refused, so is the call.
    let expected = r#"{"also":[{"value":{"jurisdiction":"BY"}}],"jurisdiction":"DE","kind":"organisation"}"#;
    assert_eq!(facts, serde_json::from_str(expected).unwrap());
    let [flag] = &flags[..] else { panic!("{flags:?}") };
    let kinds: Vec<EvidenceKind> = flag.from.iter().map(|origin| origin.kind).collect();
    assert_eq!(flag.fact, FactName::Jurisdiction);
    assert_eq!(kinds, [EvidenceKind::GeoIp, EvidenceKind::Registration]);
    assert_eq!(judge(facts, RECORDED).ruling, Ruling::Deny);
    assert_eq!(of_place(called_from("FR", known()).facts), None);
    // A record that is refused is not outweighed by an address that would not be, however weak the record.
    let refused = vec![piece(EvidenceKind::SelfDeclared, r#"{"jurisdiction":"BY"}"#)];
    assert_eq!(
        of_place(called_from("DE", refused).facts),
        Some("blocked-jurisdictions")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_comes_with_a_call_never_loosens_what_is_known(
        evidence in proptest::collection::vec((0..3_usize, any_evidence()), 0..6),
        brought in proptest::collection::vec(any_evidence(), 0..3),
        now in any_tick(),
    ) {
        let registry = Registry::new(RECORDED, tree(&evidence)).unwrap();
        let alone = registry.resolve_party("p").unwrap().facts;
        // What was missing may be what a rule asks for, and so may one more licence or statement.
        let known = alone.at(now).names();
        let brought = brought.into_iter().filter(|piece| match piece.value {
            FactValue::Licence(_) | FactValue::Statement(_) => false,
            _ => known.contains(&piece.value.fact()),
        });
        let below = record("p", Kind::Person, Some("p"), brought.collect());
        let with = registry.resolve_below("p", &below).unwrap().facts;
        let (before, after) = (judge(alone, now).ruling, judge(with.clone(), now).ruling);
        if worlds(&with, now) <= WORLDS_MAX {
            prop_assert!(after >= before);
        } else {
            prop_assert_ne!(after, Ruling::Allow);
        }
    }

    #[test]
    fn the_order_of_records_and_evidence_does_not_matter(
        (evidence, shuffled) in proptest::collection::vec((0..3_usize, any_evidence()), 0..12)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let mut records = tree(&shuffled);
        records.reverse();
        let one = Registry::new(RECORDED, tree(&evidence)).unwrap().resolve();
        let other = Registry::new(RECORDED, records).unwrap().resolve();
        prop_assert_eq!(&one, &other);
        for (id, resolved) in &one {
            prop_assert_eq!(resolved.facts.digest(), other[id].facts.digest());
            let text = serde_json::to_string(&resolved.facts).unwrap();
            prop_assert_eq!(&serde_json::from_str::<PartyFacts>(&text).unwrap(), &resolved.facts);
        }
    }

    #[test]
    fn contradiction_never_makes_a_verdict_more_permissive(
        evidence in proptest::collection::vec(any_evidence(), 1..12),
        more in any_evidence(),
        now in any_tick(),
    ) {
        let contradicts = |piece: &Evidence| {
            piece.holds(now) && piece.value != more.value && piece.value.fact() == more.value.fact()
        };
        prop_assume!(evidence.iter().any(contradicts));
        let before = judge(alone(evidence.clone()).facts, now);
        let mut all = evidence;
        all.push(more);
        let after = alone(all).facts;
        let verdict = judge(after.clone(), now);
        if worlds(&after, now) <= WORLDS_MAX {
            prop_assert!(verdict.ruling >= before.ruling, "{before:?} {verdict:?}");
            // And what forbade still does.
            let ids: BTreeSet<_> = verdict.rules.iter().map(|rule| &rule.id).collect();
            let forbids = before.ruling != Ruling::Allow;
            prop_assert!(!forbids || before.rules.iter().all(|rule| ids.contains(&rule.id)));
        } else {
            prop_assert_ne!(verdict.ruling, Ruling::Allow);
        }
    }

    #[test]
    fn less_evidence_opens_no_door_unless_it_ends_a_contradiction_or_lets_a_place_in(
        evidence in proptest::collection::vec((0..3_usize, any_evidence()), 1..7),
        now in any_tick(),
    ) {
        let before = judge(person(&evidence).facts, now);
        prop_assume!(before.ruling != Ruling::Allow);
        for at in 0..evidence.len() {
            let mut less = evidence.clone();
            let (whose, gone) = less.remove(at);
            // Whoever states no place is where those above are: that is meant, and why evidence should expire instead.
            let is_place = gone.value.fact() == FactName::Jurisdiction;
            let is_excused = less.iter().any(|(other, piece)| {
                let is_same = piece.value.fact() == gone.value.fact();
                is_same && (piece.value != gone.value || (is_place && *other < whose))
            });
            let after = judge(person(&less).facts, now);
            prop_assert!(after.ruling != Ruling::Allow || is_excused, "without {gone:?}");
        }
    }

    #[test]
    fn a_verdict_holds_until_the_first_evidence_ends(
        evidence in proptest::collection::vec(any_evidence(), 0..8),
        now in any_tick(),
    ) {
        let facts = alone(evidence).facts;
        let verdict = judge(facts.clone(), now);
        let also = facts.also.iter().filter_map(|other| other.expires);
        let first = facts.expires.values().copied().chain(also).filter(|at| *at > now).min();
        prop_assert_eq!(verdict.valid_until, first);
        let last = first.map_or(Tick(JUNE_12.0 + 20), |end| Tick(end.0 - 1));
        prop_assert_eq!(judge(facts, last), verdict);
    }
}

#[test]
fn weak_evidence_overrides_nothing_and_yet_is_judged() {
    let strong = piece(EvidenceKind::Registration, r#"{"jurisdiction":"DE"}"#);
    let weak = piece(EvidenceKind::GeoIp, r#"{"jurisdiction":"BY"}"#);
    let class = piece(EvidenceKind::Registration, r#"{"class":"enterprise"}"#);
    let open = alone(vec![strong.clone(), class.clone()]);
    assert!(open.flags.is_empty());
    assert_eq!(judge(open.facts, JUNE_12).ruling, Ruling::Allow);
    let both = alone(vec![weak, class, strong]);
    assert_eq!(
        both.facts
            .jurisdiction
            .as_ref()
            .map(tieline_policy::Country::code),
        Some("DE")
    );
    let verdict = judge(both.facts, JUNE_12);
    assert_eq!(verdict.ruling, Ruling::Deny);
    assert_eq!(&*verdict.rules[0].id, "demo/blocked-jurisdictions");
    let flag = &both.flags[0];
    assert_eq!(flag.fact, FactName::Jurisdiction);
    assert_eq!(
        flag.values,
        [
            value(r#"{"jurisdiction":"BY"}"#),
            value(r#"{"jurisdiction":"DE"}"#)
        ]
    );
    let kinds: Vec<_> = flag.from.iter().map(|origin| origin.kind).collect();
    assert_eq!(kinds, [EvidenceKind::GeoIp, EvidenceKind::Registration]);
}

#[test]
fn nobody_talks_himself_out_of_a_denial_or_into_an_allow() {
    let class = piece(EvidenceKind::Registration, r#"{"class":"enterprise"}"#);
    let mut evidence = vec![
        class,
        piece(EvidenceKind::Registration, r#"{"jurisdiction":"BY"}"#),
    ];
    for code in ["DE", "FR", "IT", "ES", "PT", "NL", "BE", "LU", "AT"] {
        let text = format!("{{\"jurisdiction\":\"{code}\"}}");
        let mut claim = piece(EvidenceKind::SelfDeclared, &text);
        claim.expires = Some(Tick(JUNE_12.0 + 5));
        evidence.push(claim);
    }
    let denied = alone(evidence.clone());
    assert_eq!(denied.facts.also.len(), ALTERNATIVES_MAX);
    assert_eq!(judge(denied.facts, JUNE_12).ruling, Ruling::Deny);
    // All of them harmless, and still nobody knows.
    evidence.remove(1);
    let held = judge(alone(evidence).facts, JUNE_12);
    let ids: Vec<&str> = held.rules.iter().map(|rule| &*rule.id).collect();
    assert_eq!(held.ruling, Ruling::Hold);
    assert_eq!(ids, ["demo/jurisdiction-unknown", "default/contradictory-facts"]);
}

#[test]
fn expired_evidence_asserts_nothing_and_does_not_let_the_parents_place_in() {
    let mut gone = piece(EvidenceKind::Registration, r#"{"jurisdiction":"BY"}"#);
    gone.expires = Some(RECORDED);
    let parent = piece(EvidenceKind::Registration, r#"{"jurisdiction":"DE"}"#);
    let resolved = person(&[(0, parent.clone()), (2, gone)]);
    assert_eq!(resolved.facts.jurisdiction, None);
    assert!(resolved.flags.is_empty());
    // What is weak does not count as stating a place: the parent's is laid beside it.
    let weak = piece(EvidenceKind::SelfDeclared, r#"{"jurisdiction":"FR"}"#);
    let resolved = person(&[(0, parent), (2, weak)]);
    assert_eq!(resolved.facts.also.len(), 1);
    assert_eq!(resolved.flags.len(), 1);
}

#[test]
fn the_longest_evidence_for_a_value_counts() {
    let mut short = piece(EvidenceKind::GeoIp, r#"{"jurisdiction":"DE"}"#);
    let mut long = piece(EvidenceKind::Registration, r#"{"jurisdiction":"DE"}"#);
    short.expires = Some(Tick(JUNE_12.0 + 1));
    long.expires = Some(Tick(JUNE_12.0 + 2));
    let until = |evidence| {
        alone(evidence)
            .facts
            .expires
            .get(&FactName::Jurisdiction)
            .copied()
    };
    assert_eq!(until(vec![short.clone(), long.clone()]), long.expires);
    short.expires = None;
    assert_eq!(until(vec![long, short]), None);
}

/// Group `g` owns company `o`; `u`, `p` and `s` are a unit of it, a person in that and her service.
fn house() -> Vec<PartyRecord> {
    let strong = |text| piece(EvidenceKind::SignedLicence, text);
    let mut group = record(
        "g",
        Kind::Organisation,
        None,
        vec![
            strong(r#"{"parent_headquarters":"CN"}"#),
            strong(r#"{"headquarters":"HK"}"#),
            strong(r#"{"class":"agency"}"#),
            strong(r#"{"data_centre":"SG"}"#),
            strong(r#"{"listed":[]}"#),
        ],
    );
    group.groups = crate::support::set(&["partners"]).into();
    let mut company = record(
        "o",
        Kind::Organisation,
        Some("g"),
        vec![
            strong(r#"{"headquarters":"DE"}"#),
            strong(r#"{"class":"enterprise"}"#),
            strong(r#"{"listed":[]}"#),
            strong(r#"{"jurisdiction":"DE"}"#),
            strong(r#"{"end_uses":["translation"]}"#),
            strong(r#"{"licence":"l"}"#),
            strong(r#"{"statement":"end-use"}"#),
        ],
    );
    company.groups = crate::support::set(&["pilots"]).into();
    company.owners = vec![Share {
        owner: Arc::from("g"),
        permille: Some(1_000),
    }];
    let unit = record(
        "u",
        Kind::Unit,
        Some("o"),
        vec![strong(r#"{"jurisdiction":"FR"}"#)],
    );
    let person = record(
        "p",
        Kind::Person,
        Some("u"),
        vec![strong(r#"{"person_class":["us_person"]}"#)],
    );
    let service = record("s", Kind::Service, Some("p"), Vec::new());
    vec![group, company, unit, person, service]
}

#[test]
fn the_tree_passes_down_what_it_should_and_nothing_else() {
    let registry = Registry::new(RECORDED, house()).unwrap();
    let facts: BTreeMap<_, _> = registry
        .resolve()
        .into_iter()
        .map(|(id, resolved)| {
            assert_eq!(registry.resolve_party(&id), Some(resolved.clone()));
            assert!(resolved.flags.is_empty(), "{id}");
            (id, resolved.facts)
        })
        .collect();
    insta::assert_json_snapshot!(facts);
    assert_eq!(registry.owners("s"), registry.owners("o"));
    assert_eq!(registry.owners("o").len(), 1);
    assert!(registry.owners("nobody").is_empty());
    let (holdings, controls): (Vec<_>, Vec<_>) =
        (registry.holdings().collect(), registry.controls().collect());
    let ownership = Ownership::new(&holdings, &controls).unwrap();
    let owned = ownership.aggregate(&crate::support::set(&["g"]), Test::MoreThanHalf);
    assert_eq!(owned[&Arc::from("o")], Owned::Yes);
    // Nobody has established that the group has no parent.
    assert_eq!(ownership.ultimate_parent("o"), Parent::Unknown);
}

#[test]
fn every_problem_of_every_record_is_reported_at_once() {
    let mut bad = piece(EvidenceKind::SelfDeclared, r#"{"licence":"l"}"#);
    bad.obtained = Tick(RECORDED.0 + 1);
    bad.expires = Some(bad.obtained);
    let mut records = house();
    records[3].evidence.push(bad);
    records[4].owners.push(Share {
        owner: Arc::from("x"),
        permille: Some(1_001),
    });
    records.push(record("o", Kind::Organisation, None, Vec::new()));
    records.push(record("orphan", Kind::Person, Some("nobody"), Vec::new()));
    records.push(record("below-person", Kind::Organisation, Some("p"), Vec::new()));
    records.push(record("", Kind::Organisation, None, Vec::new()));
    for (id, parent) in [
        ("circle-a", "circle-b"),
        ("circle-b", "circle-a"),
        ("hangs-on", "circle-a"),
    ] {
        records.push(record(id, Kind::Unit, Some(parent), Vec::new()));
    }
    let mut above = "u".to_owned();
    for depth in 4..=18 {
        let id = format!("deep-{depth}");
        records.push(record(&id, Kind::Unit, Some(&above), Vec::new()));
        above = id;
    }
    let many = vec![piece(EvidenceKind::GeoIp, r#"{"jurisdiction":"DE"}"#); 65];
    records.push(record("talkative", Kind::Organisation, None, many));
    let problems = Registry::new(RECORDED, records).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn an_amendment_is_taken_whole_or_not_at_all() {
    let registry = Registry::new(RECORDED, house()).unwrap();
    let moved = record("u", Kind::Unit, Some("g"), Vec::new());
    let orphan = record("x", Kind::Service, Some("nobody"), Vec::new());
    assert_eq!(
        registry
            .amend(RECORDED, vec![moved.clone(), orphan], &BTreeSet::new())
            .unwrap_err()
            .len(),
        1
    );
    assert_eq!(
        registry
            .amend(RECORDED, Vec::new(), &crate::support::set(&["p"]))
            .unwrap_err()
            .len(),
        1
    );
    assert_eq!(registry.record("u").unwrap().parent.as_deref(), Some("o"));
    let amended = registry
        .amend(RECORDED, vec![moved], &crate::support::set(&["s"]))
        .unwrap();
    assert_eq!(amended.records().count(), 4);
    let facts = amended.resolve_party("p").unwrap().facts;
    assert_eq!(facts.class, Some(tieline_policy::Class::Agency));
}

#[test]
fn records_of_the_first_version_are_read() {
    let text = r#"{"id":"o","kind":"organisation","evidence":[{"kind":"registration","issuer":"HRB","obtained":1,
        "value":{"jurisdiction":"DE"}}]}"#;
    let read: PartyRecord = serde_json::from_str(text).unwrap();
    let mut expected = piece(EvidenceKind::Registration, r#"{"jurisdiction":"DE"}"#);
    expected.issuer = Arc::from("HRB");
    assert_eq!(read, record("o", Kind::Organisation, None, vec![expected]));
    let facts: PartyFacts = serde_json::from_str(r#"{"jurisdiction":"DE"}"#).unwrap();
    assert_eq!(serde_json::to_string(&facts).unwrap(), r#"{"jurisdiction":"DE"}"#);
}

//! What ownership comes to among the facts of a party: codes, doubts, and where the topmost organisation sits.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Tick;
use tieline_policy::{FactName, FactValue, PartyFacts, PartyRecord, Registry, Resolved};

/// An organisation: what it is listed on if it was screened, and its owners.
fn organisation(id: &str, listed: Option<&str>, owners: &str) -> PartyRecord {
    let evidence = listed.map_or_else(String::new, |listed| {
        format!(
            r#"{{"issuer":"screening","kind":"registration","obtained":1,"value":{{"listed":[{listed}]}}}}"#
        )
    });
    let text =
        format!(r#"{{"id":"{id}","kind":"organisation","evidence":[{evidence}],"owners":[{owners}]}}"#);
    serde_json::from_str(&text).unwrap()
}

fn share(owner: &str, permille: Option<u16>) -> String {
    match permille {
        Some(permille) => format!(r#"{{"owner":"{owner}","permille":{permille}}}"#),
        None => format!(r#"{{"owner":"{owner}"}}"#),
    }
}

fn resolve(records: Vec<PartyRecord>, id: &str) -> Resolved {
    let registry = Registry::new(Tick(10), records).unwrap();
    registry.resolve_party(id).unwrap()
}

fn codes(facts: &PartyFacts) -> Vec<&str> {
    let listed = facts.listed.as_ref().unwrap();
    listed.iter().map(AsRef::as_ref).collect()
}

/// What `x`, screened and clear itself, is found on.
#[track_caller]
fn check(others: &[PartyRecord], owners: &[String], expected: &[&str]) -> Resolved {
    let mut records = others.to_vec();
    records.push(organisation("x", Some(""), &owners.join(",")));
    let found = resolve(records, "x");
    assert_eq!(codes(&found.facts), expected, "{owners:?}");
    let is_doubtful = expected.iter().any(|code| code.ends_with("-unknown"));
    assert_eq!(
        found.flags.iter().any(|flag| flag.fact == FactName::Listed),
        is_doubtful
    );
    found
}

#[test]
fn listed_owners_are_added_up() {
    let sdn = |id| organisation(id, Some(r#""us-ofac-sdn""#), "");
    let entity = |id| organisation(id, Some(r#""us-bis-entity-list""#), "");
    let clear = |id| organisation(id, Some(""), "");
    let both = ["us-bis-affiliate", "us-ofac-owned"];
    let world = [sdn("a"), entity("b"), clear("c"), sdn("d")];
    check(&world, &[share("a", Some(500)), share("c", Some(500))], &both);
    check(&world, &[share("a", Some(499)), share("c", Some(501))], &[]);
    check(
        &world,
        &[
            share("a", Some(250)),
            share("d", Some(250)),
            share("c", Some(500)),
        ],
        &both,
    );
    // A blocked owner and one on the entity list are half of it together under the affiliates rule alone.
    check(
        &world,
        &[
            share("a", Some(250)),
            share("b", Some(250)),
            share("c", Some(500)),
        ],
        &["us-bis-affiliate"],
    );
    let between = organisation("m", Some(""), &share("a", Some(600)));
    let world = [sdn("a"), clear("c"), between];
    check(&world, &[share("m", Some(600)), share("c", Some(400))], &both);
    let majority = organisation("a", Some(r#""anthropic-unsupported""#), "");
    let world = [majority, clear("c")];
    check(&world, &[share("a", Some(500)), share("c", Some(500))], &[]);
    check(
        &world,
        &[share("a", Some(501)), share("c", Some(499))],
        &["anthropic-majority"],
    );
}

#[test]
fn owners_whom_nobody_knows_are_a_doubt() {
    let every = [
        "anthropic-majority-unknown",
        "us-bis-affiliate-unknown",
        "us-ofac-owned-unknown",
    ];
    let legal = ["us-bis-affiliate-unknown", "us-ofac-owned-unknown"];
    let sdn = || organisation("a", Some(r#""us-ofac-sdn""#), "");
    let clear = || organisation("c", Some(""), "");
    let world = [sdn(), clear(), organisation("nobody-screened", None, "")];
    check(
        &world,
        &[share("outsider", Some(501)), share("c", Some(499))],
        &every,
    );
    check(
        &world,
        &[share("nobody-screened", Some(501)), share("c", Some(499))],
        &every,
    );
    check(
        &world,
        &[share("outsider", Some(500)), share("c", Some(500))],
        &legal,
    );
    check(
        &world,
        &[share("outsider", Some(499)), share("c", Some(501))],
        &[],
    );
    check(&world, &[share("a", None), share("c", Some(400))], &legal);
    check(&world, &[share("a", None), share("c", Some(501))], &[]);
    // A listed owner, and owners whom nobody named.
    check(&world, &[share("a", Some(300))], &legal);
    check(&world, &[share("a", Some(300)), share("c", Some(600))], &[]);
    check(&world, &[share("c", Some(300))], &[]);
    check(&world, &[], &[]);
}

#[test]
fn what_nobody_screened_stays_unscreened() {
    let records = |owner| {
        vec![
            organisation("a", Some(r#""us-ofac-sdn""#), ""),
            organisation("x", None, &share(owner, Some(900))),
        ]
    };
    let found = resolve(records("a"), "x").facts;
    assert_eq!(found.listed, None, "a code is no screening");
    let others: Vec<&FactValue> = found.also.iter().map(|other| &other.value).collect();
    let codes: BTreeSet<Arc<str>> = ["us-bis-affiliate", "us-ofac-owned"].map(Arc::from).into();
    assert_eq!(others, [&FactValue::Listed(codes.into())]);
    let found = resolve(records("outsider"), "x").facts;
    assert!(found.listed.is_none() && found.also.is_empty(), "{found:?}");
}

#[test]
fn a_conclusion_lasts_no_longer_than_what_it_rests_on() {
    let mut owner = organisation("c", Some(""), "");
    owner.evidence[0].expires = Some(Tick(50));
    let between = organisation("m", Some(""), &share("c", Some(1_000)));
    let found = check(&[owner.clone(), between], &[share("m", Some(1_000))], &[]).facts;
    assert_eq!(found.expires.get(&FactName::Listed), Some(&Tick(50)));
    assert!(found.at(Tick(49)).listed.is_some());
    assert!(found.at(Tick(50)).listed.is_none(), "missing, not clear");
    owner.evidence[0].expires = Some(Tick(9));
    let unknown = [
        "anthropic-majority-unknown",
        "us-bis-affiliate-unknown",
        "us-ofac-owned-unknown",
    ];
    check(&[owner], &[share("c", Some(1_000))], &unknown);
}

#[test]
fn units_and_people_have_what_follows_for_their_organisation() {
    let mut records = vec![
        organisation("a", Some(r#""us-ofac-sdn""#), ""),
        organisation("x", Some(""), &share("a", Some(900))),
    ];
    let unit = r#"{"id":"u","kind":"unit","parent":"x"}"#;
    records.push(serde_json::from_str(unit).unwrap());
    assert_eq!(
        codes(&resolve(records, "u").facts),
        ["us-bis-affiliate", "us-ofac-owned"]
    );
}

#[test]
fn the_topmost_headquarters_forbid_and_never_permit() {
    let located = |id: &str, parent: Option<&str>, place: &str, fact: &str| {
        let parent = parent.map_or_else(String::new, |parent| format!(r#","parent":"{parent}""#));
        let text = format!(
            r#"{{"id":"{id}","kind":"organisation"{parent},"evidence":[
                {{"issuer":"r","kind":"registration","obtained":1,"value":{{"{fact}":"{place}"}}}}]}}"#
        );
        serde_json::from_str::<PartyRecord>(&text).unwrap()
    };
    let sub = located("sub", Some("mid"), "DE", "headquarters");
    let mid = located("mid", Some("top"), "FR", "headquarters");
    let top = located("top", None, "CN", "headquarters");
    let found = resolve(vec![sub.clone(), mid.clone(), top.clone()], "sub").facts;
    assert_eq!(
        found.parent_headquarters, None,
        "nobody established that it is the last"
    );
    let others: Vec<String> = found
        .also
        .iter()
        .map(|other| serde_json::to_string(&other.value).unwrap())
        .collect();
    assert_eq!(others, [r#"{"parent_headquarters":"CN"}"#]);
    let said = located("top", None, "US", "parent_headquarters");
    let found = resolve(vec![sub, mid, said], "sub").facts;
    assert_eq!(found.parent_headquarters.unwrap().to_string(), "US");
    assert!(found.also.is_empty());
    // An owner of more than half controls where no organisation stands above.
    let mut owned = organisation("x", None, &share("top", Some(501)));
    let found = resolve(vec![owned.clone(), top.clone()], "x").facts;
    assert_eq!(found.also.len(), 1);
    owned.owners[0].permille = Some(500);
    assert!(resolve(vec![owned, top], "x").facts.also.is_empty());
}

#[test]
fn a_change_of_an_owner_is_a_change_of_what_it_owns() {
    let records = vec![
        organisation("a", Some(""), ""),
        organisation("b", Some(""), ""),
        organisation("x", Some(""), &share("a", Some(900))),
    ];
    let before = Registry::new(Tick(10), records).unwrap();
    let now_listed = organisation("a", Some(r#""us-ofac-sdn""#), "");
    let after = before
        .amend(Tick(11), vec![now_listed], &BTreeSet::new())
        .unwrap();
    let same: Vec<bool> = ["a", "b", "x"]
        .iter()
        .map(|id| after.is_same_for(&before, id))
        .collect();
    assert_eq!(same, [false, true, false]);
}

//! An archived pack is the pack: the same digest, the same verdicts.

use std::sync::LazyLock;

use proptest::prelude::*;
use tieline_policy::{Epoch, Facts, Pack, PackArchive, PartyFacts};

use crate::support::{DEMO, any_facts, any_party, any_tick, demo, demo_epoch, epoch, sources};

fn rebuilt() -> Pack {
    let text = serde_json::to_string(demo().archive()).unwrap();
    let archive: PackArchive = serde_json::from_str(&text).unwrap();
    Pack::from_archive(&archive).unwrap()
}

/// The demo epoch, from nothing but what is archived.
static REBUILT: LazyLock<Epoch> = LazyLock::new(|| {
    let record = serde_json::from_str(&serde_json::to_string(demo_epoch().record()).unwrap()).unwrap();
    let other = crate::support::pack("other", "", "").unwrap();
    Epoch::from_record(&record, &[other.archive().clone(), rebuilt().archive().clone()]).unwrap()
});

#[test]
fn the_digest_is_of_what_decides() {
    let digest = demo().digest();
    assert_eq!(rebuilt().digest(), digest);
    let mut reversed = sources(&DEMO);
    reversed.reverse();
    assert_eq!(Pack::parse(&reversed).unwrap().digest(), digest);
    assert_eq!(
        Pack::parse(&sources(&DEMO[..2])).unwrap().digest(),
        digest,
        "cases are no part of it"
    );
    let longer = format!("{}\n// a comment", DEMO[1].1);
    let edited = Pack::parse(&sources(&[DEMO[0], ("rules.cedar", &longer)])).unwrap();
    assert_ne!(edited.digest(), digest, "an edit of the rules is");
}

#[test]
fn an_archive_of_another_type_is_refused() {
    let mut archive = demo().archive().clone();
    archive.t = "tieline/pack/v9".into();
    let problems = Pack::from_archive(&archive).unwrap_err();
    assert!(problems[0].says.contains("tieline/pack/v9"), "{problems:?}");
}

#[test]
fn an_epoch_is_rebuilt_from_all_of_its_packs_or_not_at_all() {
    assert_eq!(REBUILT.digest(), demo_epoch().digest());
    let problems = Epoch::from_record(demo_epoch().record(), &[]).unwrap_err();
    assert!(
        problems[0].says.contains(&demo().digest().to_string()),
        "{problems:?}"
    );
}

#[test]
fn an_epoch_cites_its_packs_in_any_order() {
    let other = || crate::support::pack("other", "", "").unwrap();
    let one = epoch(2, vec![demo(), other()]);
    assert_eq!(one.digest(), epoch(2, vec![other(), demo()]).digest());
    assert_ne!(one.digest(), epoch(3, vec![demo(), other()]).digest());
    assert!(one.record().packs.contains(&demo().digest()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_rebuilt_pack_gives_the_same_verdicts(facts in any_facts(), now in any_tick()) {
        let recorded: Facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
        let verdict = demo_epoch().judge(&facts, now);
        prop_assert_eq!(REBUILT.judge(&recorded, now), verdict);
    }

    #[test]
    fn equal_facts_have_equal_digests(a in any_party(), b in any_party()) {
        let again: PartyFacts = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        prop_assert_eq!(again.digest().unwrap(), a.digest().unwrap());
        prop_assert_eq!(a == b, a.digest().unwrap() == b.digest().unwrap());
    }
}

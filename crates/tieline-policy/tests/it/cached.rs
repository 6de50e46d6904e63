//! The cache agrees with the engine, always: across postures, instants in any order, and epochs.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::select;
use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Ruling, Tick};
use tieline_policy::{Action, EndUseIx, Epoch, Judge, PartyFacts, Postures, Question, RegionIx, Targets};

use crate::support::{
    JUNE_12, any_party, any_tick, channel, demo, demo_epoch, epoch, manifest, model, rule, sources,
};

fn targets() -> Targets {
    let models = vec![
        model("open-1", Weights::Open, None),
        model("small-1", Weights::Closed, Some("3e24")),
        model("frontier-1", Weights::Closed, Some("2.1e26")),
    ];
    let channels = vec![channel("local-a", None), channel("east", Some("us-east-1"))];
    let regions = [Arc::from("us-east-1"), Arc::from("eu-central-1")];
    Targets::new(
        models,
        channels,
        &regions,
        &[Arc::from("translation"), Arc::from("targeting")],
    )
    .unwrap()
}

/// Denies `us-east-1` for a few microseconds after midnight.
fn timed() -> tieline_policy::Pack {
    let manifest = manifest("timed", "valid_to = 2026-06-12T00:00:00.000005Z").replace(
        "valid_from = 2026-01-01",
        "valid_from = 2026-06-12T00:00:00.000002Z",
    );
    let body = "(principal, action, resource) when { context has region && context.region == \"us-east-1\" }";
    let rules = rule("east", "forbid", body);
    tieline_policy::Pack::parse(&sources(&[("pack.toml", &manifest), ("rules.cedar", &rules)])).unwrap()
}

static TIMED: LazyLock<Arc<Epoch>> = LazyLock::new(|| Arc::new(epoch(2, vec![demo(), timed()])));

fn question(posture: u32, model: u16, channel: u16, region: RegionIx, end_use: EndUseIx) -> Question {
    let (channel, model) = (ChannelIx(channel), ModelIx(model));
    Question {
        action: Action::Call,
        channel,
        end_use,
        model,
        posture,
        region,
    }
}

fn agrees(judge: &Judge, question: Question, now: Tick) -> Result<(), TestCaseError> {
    let facts = judge.facts(question, now).unwrap();
    prop_assert_eq!(
        &*judge.verdict(question, "p", now),
        &judge.epoch().judge(&facts, now)
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cached_verdict_is_the_verdict(
        parties in proptest::collection::vec(any_party(), 1..4),
        asked in proptest::collection::vec((0..4_usize, 0..3_u16, 0..2_u16, 0..3_usize, 0..3_usize, any_tick()), 1..60),
    ) {
        let postures = Arc::new(Postures::new());
        let numbers: Vec<u32> = parties.iter().map(|facts| postures.intern(facts).unwrap()).collect();
        let targets = Arc::new(targets());
        let judges: Vec<Judge> = [TIMED.clone(), demo_epoch()]
            .map(|epoch| Judge::new(epoch, targets.clone(), postures.clone()))
            .into();
        let regions = [RegionIx::OWN, targets.region("us-east-1").unwrap(), targets.region("eu-central-1").unwrap()];
        let uses = [EndUseIx::UNSTATED, targets.end_use("translation").unwrap(), targets.end_use("targeting").unwrap()];
        // Each question comes twice, so that the second may be answered from the cache; then under another epoch.
        for judge in &judges {
            for (party, model, channel, region, end_use, now) in &asked {
                let posture = numbers[party % numbers.len()];
                let question = question(posture, *model, *channel, regions[*region], uses[*end_use]);
                agrees(judge, question, *now)?;
                agrees(judge, question, *now)?;
            }
            prop_assert!(judge.misses() < 2 * asked.len() as u64);
        }
    }

    #[test]
    fn threads_see_the_same(party in any_party(), now in any_tick(), model in select(vec![0, 1, 2_u16])) {
        let judge = judge_of(&TIMED, &party);
        let question = question(0, model, 1, RegionIx::OWN, EndUseIx::UNSTATED);
        let expected = judge.verdict(question, "p", now);
        std::thread::scope(|scope| {
            let ask = || (0..50).all(|_| judge.verdict(question, "p", now) == expected);
            let threads = [scope.spawn(ask), scope.spawn(ask)];
            prop_assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
            Ok(())
        })?;
    }
}

fn judge_of(epoch: &Arc<Epoch>, party: &PartyFacts) -> Judge {
    let postures = Arc::new(Postures::new());
    assert_eq!(postures.intern(party), Ok(0));
    Judge::new(epoch.clone(), Arc::new(targets()), postures)
}

#[test]
fn a_verdict_is_made_once_and_again_when_it_ends() {
    let party = serde_json::from_str(r#"{"class":"enterprise","jurisdiction":"DE"}"#).unwrap();
    let judge = judge_of(&TIMED, &party);
    let east = question(0, 0, 1, RegionIx::OWN, EndUseIx::UNSTATED);
    let at = |us: u64| judge.verdict(east, "p", Tick(JUNE_12.0 + us)).ruling;
    assert_eq!((at(0), at(1), judge.misses()), (Ruling::Allow, Ruling::Allow, 1));
    assert_eq!((at(2), at(4), judge.misses()), (Ruling::Deny, Ruling::Deny, 2));
    assert_eq!(
        (at(5), at(900), judge.misses()),
        (Ruling::Allow, Ruling::Allow, 3)
    );
    assert_eq!(judge.verdicts(), 1);
}

#[test]
fn what_the_tables_do_not_have_is_held() {
    let judge = judge_of(&demo_epoch(), &PartyFacts::default());
    let at = |posture, model, channel| {
        let verdict = judge.verdict(
            question(posture, model, channel, RegionIx::OWN, EndUseIx::UNSTATED),
            "p",
            JUNE_12,
        );
        (verdict.ruling, verdict.rules[0].id.to_string())
    };
    let held = (Ruling::Hold, "default/unreadable-facts".to_owned());
    assert_eq!(at(9, 0, 0), held);
    assert_eq!(at(0, 9, 0), held);
    assert_eq!(at(0, 0, 9), held);
    assert!(judge.targets().end_use("no such use").is_none());
}

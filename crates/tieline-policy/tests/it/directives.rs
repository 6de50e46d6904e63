//! Directives from text to verdict: the letter of June 12 with its amendment and withdrawal, and the laws of overlays.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Ruling, Span, Tick};
use tieline_policy::{
    Action, Directive, EndUseIx, Epoch, InFlight, Judge, Lineage, Order, Overlay, PartyFacts, Postures,
    Question, RegionIx, Standing, Targets,
};

use crate::support::{JUNE_12, any_party, any_tick, channel, demo, demo_epoch, epoch, model, pack, rule};

/// 2026-06-12T21:21:00Z, when the letter came.
const LETTER: Tick = Tick(JUNE_12.0 + 76_860_000_000);

/// Whom the letter means: persons who are not US persons, and everything else that is not of the United States. What is
/// not known is meant, too, so that it is held until somebody says.
const FOREIGN: &str = r#"'''
    if principal has kind && principal.kind == Kind::"person"
    then !(principal has person_class && principal.person_class.contains("us_person"))
    else !(principal has jurisdiction && principal.jurisdiction == Country::"US")
'''"#;

pub(crate) fn letter(version: u32, more: &str) -> String {
    format!(
        "t = \"tieline/directive/v1\"\nid = \"us-bis-2026-06-12\"\nversion = {version}\n\
         issuer = \"US Department of Commerce, Bureau of Industry and Security\"\n\
         authority = \"15 CFR 744.22; 50 USC 4817(b)(1)\"\ntitle = \"Two models\"\n\
         reason = \"A licence is needed for any release to a foreign person.\"\n\
         remedy = \"Ask for a licence.\"\nissued = 2026-06-12T21:21:00Z\nvalid_from = 2026-06-12T21:21:00Z\n\
         effect = \"deny\"\nin_flight = \"drain 30\"\nscope.models = [\"small-1\", \"frontier-1\"]\n\
         who.condition = {FOREIGN}\n{more}"
    )
}

pub(crate) fn directive(text: &str) -> Arc<Directive> {
    match Order::parse("order.toml", text) {
        Ok(Order::Directive(directive)) => directive,
        other => panic!("{other:?} of {text}"),
    }
}

/// `p.a.b` is below `p.a`, which is below `p`.
fn lineage() -> Lineage {
    Arc::new(|party| {
        let ends = party.match_indices('.').map(|(at, _)| at).chain([party.len()]);
        ends.filter_map(|end| party.get(..end).map(Arc::from)).collect()
    })
}

fn targets() -> Arc<Targets> {
    let models = vec![
        model("open-1", Weights::Open, None),
        model("small-1", Weights::Closed, Some("3e24")),
        model("frontier-1", Weights::Closed, Some("2.1e26")),
    ];
    let channels = vec![channel("local-a", None), channel("east", Some("us-east-1"))];
    Arc::new(Targets::new(models, channels, &[], &[Arc::from("translation")]).unwrap())
}

fn question(posture: u32, model: u16) -> Question {
    Question {
        action: Action::Call,
        channel: ChannelIx(0),
        end_use: EndUseIx::UNSTATED,
        model: ModelIx(model),
        posture,
        region: RegionIx::OWN,
    }
}

/// A judge whose packs permit everything.
fn open_epoch() -> Arc<Epoch> {
    let far = "[sets.far]\ncountries = [\"AQ\", \"BV\"]\n[sets.doubtful]\ncountries = [\"TF\"]\nunverified = \"x\"\n";
    let all = rule("all", "permit", "(principal, action, resource)");
    Arc::new(epoch(1, vec![pack("base", far, &all).unwrap()]))
}

fn judge(epoch: Arc<Epoch>) -> Judge {
    Judge::new(epoch, targets(), Arc::new(Postures::new()))
}

fn lay(judge: &Judge, number: u64, directives: &[Arc<Directive>]) -> Judge {
    let overlay = Overlay::build(number, directives.to_vec(), judge.epoch(), lineage()).unwrap();
    judge.with_overlay(Arc::new(overlay))
}

fn posture(judge: &Judge, facts: &str) -> u32 {
    let facts: PartyFacts = serde_json::from_str(facts).unwrap();
    judge.postures().intern(&facts).unwrap()
}

fn undetermined(names: &[&str]) -> Standing {
    Standing::Undetermined(
        names
            .iter()
            .map(|name| (*name).to_owned().try_into().unwrap())
            .collect(),
    )
}

/// Standing, ruling and rules of a party under the letter.
fn check(judge: &Judge, party: &str, facts: &str, expected: &Standing, ruling: Ruling) {
    let question = question(posture(judge, facts), 2);
    let found = judge.standings(question, party, LETTER);
    assert_eq!(&found.last().unwrap().1, expected, "{party} {facts}");
    let verdict = judge.verdict(question, party, LETTER);
    assert_eq!(
        (verdict.ruling, verdict.epoch),
        (ruling, judge.number()),
        "{party} {facts}"
    );
}

#[test]
fn the_letter_meets_those_it_names_and_holds_those_it_cannot_tell() {
    let base = judge(open_epoch());
    let laid = lay(&base, 2, &[directive(&letter(1, ""))]);
    let (outside, inside) = (&Standing::Outside, &Standing::Inside);
    let us = r#"{"kind":"organisation","jurisdiction":"US"}"#;
    check(&laid, "us", us, outside, Ruling::Allow);
    check(
        &laid,
        "de",
        r#"{"kind":"organisation","jurisdiction":"DE"}"#,
        inside,
        Ruling::Deny,
    );
    let us_person = r#"{"kind":"person","person_class":["us_person"],"jurisdiction":"DE"}"#;
    check(&laid, "p1", us_person, outside, Ruling::Allow);
    let foreign = r#"{"kind":"person","person_class":["nationality_group:A5"],"jurisdiction":"US"}"#;
    check(&laid, "p2", foreign, inside, Ruling::Deny);
    check(
        &laid,
        "p3",
        r#"{"kind":"person"}"#,
        &undetermined(&["person_class"]),
        Ruling::Hold,
    );
    let unit = r#"{"kind":"unit"}"#;
    check(&laid, "u", unit, &undetermined(&["jurisdiction"]), Ruling::Hold);
    check(
        &laid,
        "x",
        "{}",
        &undetermined(&["jurisdiction", "kind", "person_class"]),
        Ruling::Hold,
    );
    // Whatever its kind, it is a foreigner; and whatever its kind, it is none.
    let both = r#"{"person_class":[],"jurisdiction":"DE"}"#;
    check(&laid, "y", both, inside, Ruling::Deny);
    let neither = r#"{"person_class":["us_person"],"jurisdiction":"US"}"#;
    check(&laid, "z", neither, outside, Ruling::Allow);
    // Evidence says both: the strictest world counts.
    let doubted = r#"{"also":[{"value":{"jurisdiction":"DE"}}],"kind":"organisation","jurisdiction":"US"}"#;
    check(&laid, "d", doubted, inside, Ruling::Deny);
    // An expired fact is a missing one.
    let expired = r#"{"kind":"organisation","jurisdiction":"US","expires":{"jurisdiction":5}}"#;
    check(
        &laid,
        "e",
        expired,
        &undetermined(&["jurisdiction"]),
        Ruling::Hold,
    );
    // Another model is as free as before.
    let free = question(posture(&laid, "{}"), 0);
    assert_eq!(laid.verdict(free, "x", LETTER).ruling, Ruling::Allow);
    assert_eq!(laid.verdict(free, "x", LETTER).epoch, 2);
}

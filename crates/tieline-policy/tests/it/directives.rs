//! Directives from text to verdict: the letter of June 12 with its amendment and withdrawal, and the laws of overlays.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::grid::Weights;
use tieline_core::{ChannelIx, ModelIx, Ruling, Span, Tick};
use tieline_policy::{
    Action, Directive, EndUseIx, Epoch, InFlight, Judge, Lineage, Order, Overlay, PartyFacts, Postures,
    Question, RegionIx, Registry, STRANGERS_MAX, Standing, Targets,
};

use crate::support::{JUNE_12, any_party, any_tick, channel, demo, demo_epoch, epoch, model, pack, rule};

/// 2026-06-12T21:21:00Z, when the letter came.
pub(crate) const LETTER: Tick = Tick(JUNE_12.0 + 76_860_000_000);

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
    let order = Order::parse("order.toml", text).unwrap();
    let found = match order {
        Order::Directive(directive) => Some(directive),
        Order::Revocation(_) => None,
    };
    found.unwrap()
}

/// `p.a.b` is below `p.a`, which is below `p`.
pub(crate) fn lineage() -> Lineage {
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

/// A house that recorded no party.
fn nobody() -> Registry {
    Registry::new(LETTER, Vec::new()).unwrap()
}

pub(crate) fn question(posture: u32, model: u16) -> Question {
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
pub(crate) fn open_epoch() -> Arc<Epoch> {
    let far = "[sets.far]\ncountries = [\"AQ\", \"BV\"]\n[sets.doubtful]\ncountries = [\"TF\"]\nunverified = \"x\"\n";
    let all = rule("all", "permit", "(principal, action, resource)");
    Arc::new(epoch(1, vec![pack("base", far, &all).unwrap()]))
}

pub(crate) fn judge(epoch: Arc<Epoch>) -> Judge {
    Judge::new(epoch, targets(), Arc::new(Postures::new()))
}

pub(crate) fn lay(judge: &Judge, number: u64, directives: &[Arc<Directive>]) -> Judge {
    let overlay = Overlay::build(number, directives.to_vec(), judge.epoch(), lineage()).unwrap();
    judge.with_overlay(Arc::new(overlay))
}

pub(crate) fn posture(judge: &Judge, facts: &str) -> u32 {
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

#[test]
fn an_amendment_spares_named_partners_and_those_below_them() {
    let more = "exempt.parties = [\"acme\"]\nexempt.groups = [\"partners\"]\n\
                exempt.condition = 'principal has class && principal.class == Class::\"academic\"'\n";
    let laid = lay(&judge(open_epoch()), 3, &[directive(&letter(2, more))]);
    let (exempt, inside) = (&Standing::Exempt, &Standing::Inside);
    let foreign = r#"{"class":"enterprise","kind":"organisation","jurisdiction":"DE"}"#;
    check(&laid, "acme", foreign, exempt, Ruling::Allow);
    check(&laid, "acme.research.alice", foreign, exempt, Ruling::Allow);
    check(&laid, "acme-too", foreign, inside, Ruling::Deny);
    let partner = r#"{"class":"enterprise","groups":["partners"],"kind":"organisation","jurisdiction":"DE"}"#;
    check(&laid, "p", partner, exempt, Ruling::Allow);
    let academic = r#"{"class":"academic","kind":"organisation","jurisdiction":"DE"}"#;
    check(&laid, "uni", academic, exempt, Ruling::Allow);
    // Of what is spared by name nothing has to be known; of the others the exemption waits for a fact, too.
    check(&laid, "acme.bob", "{}", exempt, Ruling::Allow);
    let of_no_class = r#"{"kind":"organisation","jurisdiction":"DE"}"#;
    check(&laid, "x", of_no_class, &undetermined(&["class"]), Ruling::Hold);
    let us = r#"{"kind":"organisation","jurisdiction":"US"}"#;
    check(&laid, "us", us, &Standing::Outside, Ruling::Allow);
}

#[test]
fn parties_and_groups_are_named_without_facts() {
    let text = letter(1, "").replace(
        &format!("who.condition = {FOREIGN}"),
        "who.parties = [\"evil\"]\nwho.groups = [\"watched\"]",
    );
    let laid = lay(&judge(open_epoch()), 2, &[directive(&text)]);
    check(&laid, "evil", "{}", &Standing::Inside, Ruling::Deny);
    check(&laid, "evil.lab", "{}", &Standing::Inside, Ruling::Deny);
    check(&laid, "good", "{}", &Standing::Outside, Ruling::Allow);
    check(
        &laid,
        "w",
        r#"{"groups":["watched"]}"#,
        &Standing::Inside,
        Ruling::Deny,
    );
    // Nobody named is everybody meant.
    let everybody = letter(1, "").replace(&format!("who.condition = {FOREIGN}\n"), "");
    let laid = lay(&judge(open_epoch()), 2, &[directive(&everybody)]);
    check(
        &laid,
        "good",
        r#"{"jurisdiction":"US"}"#,
        &Standing::Inside,
        Ruling::Deny,
    );
}

/// A directive about everybody whose condition, effect or scope is another.
fn about(id: &str, scope: &str, effect: &str, who: &str) -> Arc<Directive> {
    let text = letter(1, "")
        .replace("us-bis-2026-06-12", id)
        .replace("scope.models = [\"small-1\", \"frontier-1\"]", scope)
        .replace("effect = \"deny\"", effect)
        .replace(&format!("who.condition = {FOREIGN}"), who);
    directive(&text)
}

const FRONTIER: &str = "scope.models = [\"frontier-1\"]";
pub(crate) const DENY: &str = "effect = \"deny\"";

#[test]
fn a_required_paper_exempts_and_a_counted_one_is_used() {
    let require =
        "effect = \"require\"\nrequire.licences = [\"l-1\", \"l-2\"]\nrequire.statements = [\"end-use\"]";
    let laid = lay(&judge(open_epoch()), 2, &[about("d", FRONTIER, require, "")]);
    check(&laid, "p", "{}", &Standing::Inside, Ruling::Deny);
    check(
        &laid,
        "p",
        r#"{"licences":["l-9"]}"#,
        &Standing::Inside,
        Ruling::Deny,
    );
    check(
        &laid,
        "p",
        r#"{"licences":["l-2"]}"#,
        &Standing::Exempt,
        Ruling::Allow,
    );
    check(
        &laid,
        "p",
        r#"{"statements":["end-use"]}"#,
        &Standing::Exempt,
        Ruling::Allow,
    );
    let elsewhere = r#"{"licences":["l-2"],"limits":{"licences/l-2":[{"scope":{"models":["small-1"]}}]}}"#;
    check(&laid, "p", elsewhere, &Standing::Inside, Ruling::Deny);
    let ended = r#"{"licences":["l-2"],"expires":{"licences/l-2":5}}"#;
    check(&laid, "p", ended, &Standing::Inside, Ruling::Deny);
    let counted = question(
        posture(&laid, r#"{"counted":["l-1","l-2"],"licences":["l-1","l-2"]}"#),
        2,
    );
    let verdict = laid.verdict(counted, "p", LETTER);
    assert_eq!(
        (verdict.ruling, &*verdict.consumes),
        (Ruling::Allow, &["l-1".into()][..])
    );
    let spent = laid.verdict_without(counted, "p", LETTER, &["l-1".into()]);
    assert_eq!(
        (spent.ruling, &*spent.consumes),
        (Ruling::Allow, &["l-2".into()][..])
    );
    let none = laid.verdict_without(counted, "p", LETTER, &["l-1".into(), "l-2".into()]);
    assert_eq!((none.ruling, none.epoch), (Ruling::Deny, 2));
    let in_flight = |spent: &[&str]| {
        let spent: Vec<Arc<str>> = spent.iter().map(|id| Arc::from(*id)).collect();
        laid.in_flight(counted, "p", LETTER, &spent)
    };
    let drains = Some(InFlight::Drain(Span::from_s(30)));
    assert_eq!((in_flight(&[]), in_flight(&["l-1"])), (None, None));
    assert_eq!(in_flight(&["l-1", "l-2"]), drains);
}

#[test]
fn an_officer_clears_a_hold_and_never_a_denial() {
    let laid = lay(&judge(open_epoch()), 2, &[directive(&letter(1, ""))]);
    let rule = "directive/us-bis-2026-06-12@1";
    let cleared =
        |more: &str| format!(r#"{{"cleared":[{{"rule":"{rule}","ticket":"t"}}],"kind":"unit"{more}}}"#);
    check(
        &laid,
        "p",
        &cleared(""),
        &undetermined(&["jurisdiction"]),
        Ruling::Allow,
    );
    let foreign = r#","jurisdiction":"DE""#;
    check(&laid, "p", &cleared(foreign), &Standing::Inside, Ruling::Deny);
    let over = r#","expires":{"clearances/t":7}"#;
    check(
        &laid,
        "p",
        &cleared(over),
        &undetermined(&["jurisdiction"]),
        Ruling::Hold,
    );
    let other = cleared("").replace("\"ticket\"", "\"model\":\"small-1\",\"ticket\"");
    check(&laid, "p", &other, &undetermined(&["jurisdiction"]), Ruling::Hold);
}

#[test]
fn scopes_reach_models_labs_and_compute() {
    let epoch = open_epoch();
    let rulings = |scope: &str| {
        let laid = lay(&judge(epoch.clone()), 2, &[about("d", scope, DENY, "")]);
        let posture = posture(&laid, "{}");
        [0, 1, 2].map(|model| laid.verdict(question(posture, model), "p", LETTER).ruling)
    };
    let (allow, hold, deny) = (Ruling::Allow, Ruling::Hold, Ruling::Deny);
    assert_eq!(rulings(FRONTIER), [allow, allow, deny]);
    assert_eq!(rulings("scope.labs = [\"lab-a\"]"), [deny, deny, deny]);
    assert_eq!(rulings("scope.labs = [\"lab-b\"]"), [allow, allow, allow]);
    // What the first was trained with is not known.
    assert_eq!(rulings("scope.training_flop_min = \"1e26\""), [hold, allow, deny]);
    assert_eq!(
        rulings("scope.training_flop_min = \"2.1e26\""),
        [hold, allow, deny]
    );
    assert_eq!(
        rulings("scope.training_flop_min = \"2.2e26\""),
        [hold, allow, allow]
    );
    let union = "scope.training_flop_min = \"1e26\"\nscope.models = [\"open-1\"]";
    assert_eq!(rulings(union), [deny, allow, deny]);
    let strangers = about(
        "d",
        "scope.labs = [\"lab-b\"]\nscope.models = [\"small-1\", \"smal-1\"]",
        DENY,
        "",
    );
    let overlay = Overlay::build(2, vec![strangers], &epoch, lineage()).unwrap();
    assert_eq!(
        overlay.strangers(&targets(), &nobody()),
        ["d@1: model smal-1", "d@1: lab lab-b"]
    );
    let many: Vec<String> = (0..200).map(|n| format!("p-{n:03}")).collect();
    let unknown = about("d", FRONTIER, DENY, &format!("who.parties = {many:?}"));
    let overlay = Overlay::build(2, vec![unknown], &epoch, lineage()).unwrap();
    let strangers = overlay.strangers(&targets(), &nobody());
    assert_eq!(
        (strangers.len(), &*strangers[0]),
        (STRANGERS_MAX, "d@1: party p-000")
    );
}

/// The standing of `{}` and a few facts more under one condition.
fn stands(who: &str, facts: &str, expected: &Standing) {
    let who = format!("who.condition = '{who}'");
    let laid = lay(&judge(open_epoch()), 2, &[about("d", FRONTIER, DENY, &who)]);
    let found = laid.standings(question(posture(&laid, facts), 2), "p", LETTER);
    assert_eq!(&found, &[("d@1".into(), expected.clone())], "{who} {facts}");
}

#[test]
fn what_is_missing_is_tried_together_and_only_what_matters_is_named() {
    let set = r#"principal has headquarters && principal.headquarters in CountryGroup::"base/far""#;
    stands(set, "{}", &undetermined(&["headquarters"]));
    stands(set, r#"{"headquarters":"BV"}"#, &Standing::Inside);
    stands(set, r#"{"headquarters":"DE"}"#, &Standing::Outside);
    // Two facts that open the door only together, and one that is read and does not matter.
    let both = r#"!(principal has class && principal.class == Class::"agency" && principal has listed &&
        !principal.listed.contains("sdn") && (principal has kind || !(principal has kind)))"#;
    stands(
        &both.replace('\n', " "),
        "{}",
        &undetermined(&["class", "listed"]),
    );
    stands(
        &both.replace('\n', " "),
        r#"{"class":"consumer"}"#,
        &Standing::Inside,
    );
    // One fact against another.
    let moved = "principal has headquarters && principal has jurisdiction && principal.headquarters != principal.jurisdiction";
    stands(moved, "{}", &undetermined(&["headquarters", "jurisdiction"]));
    stands(
        moved,
        r#"{"headquarters":"DE"}"#,
        &undetermined(&["jurisdiction"]),
    );
    stands(
        moved,
        r#"{"headquarters":"DE","jurisdiction":"DE"}"#,
        &Standing::Outside,
    );
    let mixed = "principal has headquarters && principal has jurisdiction &&
        (if principal has kind then principal.headquarters else principal.headquarters) == principal.jurisdiction";
    stands(
        &mixed.replace('\n', " "),
        r#"{"headquarters":"DE"}"#,
        &undetermined(&["jurisdiction"]),
    );
    // A word that the condition does not name.
    let unlisted = r#"principal has end_uses && !(["translation"].containsAll(principal.end_uses))"#;
    stands(unlisted, "{}", &undetermined(&["end_uses"]));
    stands(
        "principal has listed && !(principal.listed.isEmpty())",
        "{}",
        &undetermined(&["listed"]),
    );
}

#[test]
fn what_the_call_the_model_or_the_channel_does_not_say_is_missing_too() {
    let purpose = r#"context has end_use && context.end_use == "targeting""#;
    stands(purpose, "{}", &undetermined(&[]));
    stands(
        r#"context.channel has region_country && context.channel.region_country == Country::"DE""#,
        "{}",
        &undetermined(&[]),
    );
    stands(
        "resource has training_eflop && resource.training_eflop > 210000000",
        "{}",
        &Standing::Outside,
    );
    // A paper that the party does not have is known not to be there.
    stands(r#"!principal.licences.contains("l")"#, "{}", &Standing::Inside);
    // A condition that fails says nothing.
    let overflow = "resource has training_eflop && resource.training_eflop + 9223372036854775807 > 0";
    stands(overflow, "{}", &undetermined(&[]));
    // More assignments than are tried.
    let places = [
        "data_centre",
        "headquarters",
        "jurisdiction",
        "parent_headquarters",
    ];
    let many: Vec<String> = ["AQ", "CN", "IR", "KP"]
        .iter()
        .zip(places)
        .map(|(code, name)| format!("!(principal has {name} && principal.{name} != Country::\"{code}\")"))
        .collect();
    stands(&many.join(" || "), "{}", &undetermined(&places));
    stands(&many.join(" || "), r#"{"jurisdiction":"IR"}"#, &Standing::Inside);
    let three = ["data_centre", "headquarters", "parent_headquarters"];
    stands(
        &many.join(" || "),
        r#"{"jurisdiction":"DE"}"#,
        &undetermined(&three),
    );
}

#[test]
fn more_contradictions_than_are_judged_are_undetermined() {
    let also: Vec<String> = ["BY", "CN", "CU", "FR", "IR", "KP", "RU", "SY"]
        .map(|code| format!(r#"{{"value":{{"jurisdiction":"{code}"}}}}"#))
        .into();
    let facts = format!(r#"{{"also":[{}],"jurisdiction":"US"}}"#, also.join(","));
    let who = r#"principal has jurisdiction && principal.jurisdiction == Country::"AQ""#;
    stands(who, &facts, &undetermined(&["jurisdiction"]));
    stands(r#"principal in Group::"g""#, &facts, &Standing::Outside);
}

#[test]
fn refusals_compose_and_calls_in_flight_follow_the_strictest() {
    let base = judge(Arc::new(epoch(1, vec![demo()])));
    let hold = about("a-hold", FRONTIER, "effect = \"hold\"", "");
    let deny = about("z-deny", FRONTIER, DENY, "");
    let facts = r#"{"class":"enterprise","jurisdiction":"DE"}"#;
    let rules = |directives: &[Arc<Directive>]| {
        let laid = lay(&base, 2, directives);
        let verdict = laid.verdict(question(posture(&laid, facts), 2), "p", LETTER);
        let ids: Vec<String> = verdict.rules.iter().map(|rule| rule.id.to_string()).collect();
        (verdict.ruling, ids.join(" "))
    };
    let own = rules(&[]);
    assert_eq!(own.0, Ruling::Hold, "{own:?}");
    let expected = format!("directive/z-deny@1 {} directive/a-hold@1", own.1);
    let mut sorted: Vec<&str> = expected.split(' ').skip(1).collect();
    sorted.sort_unstable();
    let expected = format!("directive/z-deny@1 {}", sorted.join(" "));
    assert_eq!(rules(&[hold.clone(), deny.clone()]), (Ruling::Deny, expected));
    let in_flight = |what: &[&str]| {
        let directives: Vec<Arc<Directive>> = (what.iter().zip(0..))
            .map(|(what, n)| {
                directive(
                    &letter(1, "")
                        .replace("drain 30", what)
                        .replace("us-bis", &format!("d{n}")),
                )
            })
            .collect();
        let laid = lay(&base, 2, &directives);
        let at =
            |facts: &str, model| laid.in_flight(question(posture(&laid, facts), model), "p", LETTER, &[]);
        assert_eq!(at(facts, 0), None);
        assert_eq!(
            at(r#"{"class":"enterprise","kind":"unit","jurisdiction":"US"}"#, 2),
            None
        );
        assert_eq!(at("{}", 2), at(facts, 2));
        at(facts, 2)
    };
    let drain = |s| Some(InFlight::Drain(Span::from_s(s)));
    assert_eq!(in_flight(&["finish"]), Some(InFlight::Finish));
    assert_eq!(in_flight(&["finish", "drain 30", "drain 20"]), drain(20));
    assert_eq!(in_flight(&["drain 20", "cut", "finish"]), Some(InFlight::Cut));
}

#[test]
fn a_directive_says_no_more_than_it_discloses() {
    let base = judge(open_epoch());
    let rule = |disclosure: &str, facts: &str| {
        let directive = directive(&letter(1, &format!("disclosure = \"{disclosure}\"\n")));
        let laid = lay(&base, 2, std::slice::from_ref(&directive));
        let verdict = laid.verdict(question(posture(&laid, facts), 2), "p", LETTER);
        let [rule] = &*verdict.rules else {
            panic!("{verdict:?}")
        };
        assert_eq!(
            laid.overlay().directive(&rule.id).unwrap().label(),
            directive.label()
        );
        let hex = directive.digest.to_string();
        let id = rule.id.replace(hex.get(..16).unwrap(), "HEX");
        (id, rule.citation.to_string(), rule.reason.to_string())
    };
    let de = r#"{"kind":"organisation","jurisdiction":"DE"}"#;
    let (id, citation, reason) = rule("public", de);
    assert_eq!(id, "directive/us-bis-2026-06-12@1");
    assert_eq!(citation, "15 CFR 744.22; 50 USC 4817(b)(1)");
    assert_eq!(reason, "A licence is needed for any release to a foreign person.");
    let (_, _, reason) = rule("public", r#"{"kind":"unit"}"#);
    assert!(
        reason.ends_with("not known for want of jurisdiction, so an officer has to decide."),
        "{reason}"
    );
    for facts in [de, "{}"] {
        let code = (
            "directive/us-bis-2026-06-12@1".to_owned(),
            String::new(),
            String::new(),
        );
        assert_eq!(rule("code", facts), code);
        assert_eq!(
            rule("sealed", facts),
            ("sealed/HEX".to_owned(), String::new(), String::new())
        );
    }
}

#[test]
fn a_directive_holds_from_its_first_instant_to_its_last() {
    let from = JUNE_12.0 + 100_000_000;
    let text = letter(1, "valid_to = 2026-06-12T21:23:20Z\n")
        .replace("issued = 2026-06-12T21:21:00Z", "issued = 2026-06-11T21:21:00Z")
        .replace(
            "valid_from = 2026-06-12T21:21:00Z",
            "valid_from = 2026-06-12T00:01:40Z",
        );
    let to = LETTER.0 + 140_000_000;
    let laid = lay(&judge(open_epoch()), 2, &[directive(&text)]);
    let question = question(posture(&laid, r#"{"kind":"unit","jurisdiction":"DE"}"#), 2);
    let at = |us: u64| {
        let verdict = laid.verdict(question, "p", Tick(us));
        (verdict.ruling, verdict.valid_until.map(|until| until.0))
    };
    for _ in 0..2 {
        assert_eq!(at(from - 1), (Ruling::Allow, Some(from)));
        assert_eq!(at(from), (Ruling::Deny, Some(to)));
        assert_eq!(at(to - 1), (Ruling::Deny, Some(to)));
        assert_eq!(at(to), (Ruling::Allow, None));
    }
    assert_eq!(laid.standings(question, "p", Tick(to))[0].1, Standing::Outside);
}

#[test]
fn an_activation_leaves_base_verdicts_and_puts_its_number_in() {
    let base = judge(open_epoch());
    let posture = posture(&base, "{}");
    let free = question(posture, 0);
    assert_eq!((base.verdict(free, "p", LETTER).epoch, base.misses()), (1, 1));
    let laid = lay(&base, 7, &[directive(&letter(1, ""))]);
    for _ in 0..2 {
        assert_eq!((laid.verdict(free, "p", LETTER).epoch, laid.misses()), (7, 1));
        assert_eq!((base.verdict(free, "p", LETTER).epoch, base.misses()), (1, 1));
    }
    assert!(Arc::ptr_eq(
        &base.verdict(free, "p", LETTER),
        &base.verdict(free, "q", LETTER)
    ));
    // What it touches is made from the base verdict, once.
    let touched = question(posture, 2);
    laid.verdict(touched, "p", LETTER);
    assert_eq!(laid.misses(), 3);
    assert!(Arc::ptr_eq(
        &laid.verdict(touched, "p", LETTER),
        &laid.verdict(touched, "q", LETTER)
    ));
    assert_eq!((laid.misses(), laid.number(), laid.verdicts()), (3, 7, 3));
    let revoked = lay(&laid, 8, &[]);
    assert_eq!(
        (revoked.verdict(touched, "p", LETTER).ruling, revoked.misses()),
        (Ruling::Allow, 2)
    );
    assert_eq!(base.with_overlay(Arc::new(Overlay::none())).number(), 1);
}

#[test]
fn what_an_overlay_cannot_be_built_of() {
    let epoch = open_epoch();
    let check = |directives: Vec<Arc<Directive>>, expected: &str| {
        let problems = Overlay::build(2, directives, &epoch, lineage()).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(all.join("\n").contains(expected), "{expected}: {all:?}");
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| about(&format!("d-{n}"), FRONTIER, DENY, ""))
            .collect::<Vec<_>>()
    };
    assert!(Overlay::build(2, many(tieline_policy::DIRECTIVES_MAX), &epoch, lineage()).is_ok());
    check(
        many(tieline_policy::DIRECTIVES_MAX + 1),
        "65 directives would be in force",
    );
    check(
        vec![directive(&letter(1, "")), directive(&letter(2, ""))],
        "two versions of the directive `us-bis",
    );
    let named = |set: &str, effect| {
        let who = format!(
            "who.condition = 'principal has jurisdiction && principal.jurisdiction in CountryGroup::\"base/{set}\"'"
        );
        about("d", FRONTIER, effect, &who)
    };
    check(
        vec![named("near", DENY)],
        "order.toml:14:18: the packs in force have no set `base/near`",
    );
    check(
        vec![named("doubtful", DENY)],
        "the set `base/doubtful` is unverified",
    );
    let hold = "effect = \"hold\"";
    assert!(Overlay::build(2, vec![named("doubtful", hold)], &epoch, lineage()).is_ok());
}

fn any_directive(n: usize) -> impl Strategy<Value = Arc<Directive>> {
    let effects = vec![
        DENY,
        "effect = \"hold\"",
        "effect = \"require\"\nrequire.licences = [\"annex-a-clearance\"]",
        "effect = \"require\"\nrequire.statements = [\"end-use\"]",
    ];
    let scopes = vec![
        FRONTIER,
        "scope.models = [\"open-1\", \"small-1\"]",
        "scope.labs = [\"lab-a\"]",
        "scope.training_flop_min = \"1e26\"",
    ];
    let selectors = vec![
        "condition = 'if principal has jurisdiction then principal.jurisdiction == Country::\"BY\" else true'",
        "condition = 'principal has headquarters && principal.headquarters in Country::\"UA\"'",
        "condition = 'principal has class && [Class::\"agency\", Class::\"startup\"].contains(principal.class)'",
        "condition = 'context has end_use && context.end_use == \"translation\"'",
        "groups = [\"partners\"]",
        "parties = [\"a\", \"b.x\"]",
    ];
    let dates = vec!["2026-06-11T00:00:00Z", "2026-06-12T00:00:00.000003Z"];
    let exempt = subsequence(selectors.clone(), 0..2);
    (
        select(effects),
        select(scopes),
        subsequence(selectors, 0..3),
        exempt,
        select(dates),
    )
        .prop_map(move |(effect, scope, who, exempt, from)| {
            let table = |name: &str, lines: &[&str]| {
                let mut keys = std::collections::BTreeMap::new();
                for line in lines {
                    let (key, value) = line.split_once(" = ").unwrap();
                    keys.insert(key, value);
                }
                let lines: Vec<String> = keys
                    .iter()
                    .map(|(key, value)| format!("{name}.{key} = {value}\n"))
                    .collect();
                lines.concat()
            };
            let text = letter(1, &table("exempt", &exempt))
                .replace("us-bis-2026-06-12", &format!("d-{n}"))
                .replace("scope.models = [\"small-1\", \"frontier-1\"]", scope)
                .replace(DENY, effect)
                .replace(&format!("who.condition = {FOREIGN}\n"), &table("who", &who))
                .replace("issued = 2026-06-12T21:21:00Z", "issued = 2026-06-01T00:00:00Z")
                .replace(
                    "valid_from = 2026-06-12T21:21:00Z",
                    &format!("valid_from = {from}"),
                );
            directive(&text)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn directives_only_make_stricter_in_any_order_and_their_end_restores(
        directives in (any_directive(0), any_directive(1), any_directive(2)),
        parties in proptest::collection::vec((any_party(), select(vec!["a", "a.y", "b", "b.x"])), 1..4),
        ticks in proptest::collection::vec(any_tick(), 1..4),
    ) {
        let directives = [directives.0, directives.1, directives.2];
        let base = judge(demo_epoch());
        let laid = lay(&base, 2, &directives);
        let turned = lay(&base, 2, &[directives[2].clone(), directives[0].clone(), directives[1].clone()]);
        let less = lay(&base, 2, &directives[..2]);
        let after = lay(&laid, 1, &[]);
        for (facts, party) in &parties {
            let posture = base.postures().intern(facts).unwrap();
            for (model, now) in ticks.iter().flat_map(|now| [0, 1, 2].map(|model| (model, *now))) {
                let question = question(posture, model);
                let before = base.verdict(question, party, now);
                let with = laid.verdict(question, party, now);
                prop_assert!(with.ruling >= before.ruling);
                prop_assert!(with.ruling >= less.verdict(question, party, now).ruling);
                prop_assert_eq!(&turned.verdict(question, party, now), &with);
                prop_assert_eq!(&after.verdict(question, party, now), &before);
                // From the cache it is the same, and it holds for as long as it says.
                prop_assert_eq!(&laid.verdict(question, party, now), &with);
                let last = with.valid_until.map_or(now, |until| Tick(until.0 - 1));
                let fresh = lay(&base, 2, &directives);
                prop_assert_eq!(&fresh.verdict(question, party, last).rules, &with.rules);
                let refuses = laid.standings(question, party, now).iter().any(|(_, standing)| standing.refuses());
                prop_assert_eq!(refuses, laid.in_flight(question, party, now, &[]).is_some());
                prop_assert!(!refuses || with.ruling != Ruling::Allow);
            }
        }
    }
}

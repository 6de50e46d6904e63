//! Guards held against Cedar: over random facts, for every rule that is shipped and for rules of every form that a guard
//! reads, what a guard says is what Cedar finds, and a verdict with guards is the verdict without.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::{Ruling, Tick};

use super::*;
use crate::engine::Epoch;
use crate::facts::{Class, Kind};
use crate::pack::{Pack, PackRule, Source, Status};
use crate::probe::Probe;
use crate::representative::{Reads, Sets};

/// Rules of every form, in one pack: those of law use few.
const FORMS: &str = r#"
forbid (principal in Group::"partners", action, resource);
forbid (principal, action, resource == Model::"m-1");
forbid (principal, action, resource in Model::"m-1") unless { principal in Group::"partners" };
forbid (principal, action, resource in Lab::"anthropic")
  when { resource == Model::"m-1" || Model::"m-2" == resource };
forbid (principal is Party, action == Action::"call", resource is Model) when { principal has class };
forbid (principal, action in [Action::"call"], resource) when { !(resource in Lab::"openai") };
forbid (principal, action, resource) when { context.channel in Component::"cloud:aws" };
forbid (principal, action, resource) when { !(context.channel == Channel::"c-1") };
forbid (principal, action, resource) when { context.channel in [Component::"cloud:aws", Component::"edge:x"] };
forbid (principal, action, resource) when { context.channel has region && context.channel.region like "us-*" };
forbid (principal, action, resource) when { context.channel.provider == "bedrock" && context.channel has cloud };
forbid (principal, action, resource)
  when { context has region && context.channel has region && context.region != context.channel.region };
forbid (principal, action, resource) when { principal has jurisdiction && Country::"DE" != principal.jurisdiction };
forbid (principal, action, resource) when { principal has jurisdiction && principal.jurisdiction in Country::"UA" };
forbid (principal, action, resource)
  when { principal has jurisdiction &&
    principal.jurisdiction in [CountryGroup::"forms/east", CountryGroup::"forms/west"] };
forbid (principal, action, resource)
  when { principal has jurisdiction && [Country::"DE", Country::"UA-43"].contains(principal.jurisdiction) };
forbid (principal, action, resource)
  when { principal has jurisdiction && principal has headquarters &&
    principal.jurisdiction == principal.headquarters };
forbid (principal, action, resource)
  when { if principal has kind then principal.kind == Kind::"person" else principal has data_centre };
forbid (principal, action, resource)
  when { principal has person_class && principal.person_class.containsAll(["us_person", "other"]) };
forbid (principal, action, resource)
  when { principal has end_uses && ["research", "other"].containsAny(principal.end_uses) };
forbid (principal, action, resource) when { principal has listed && !principal.listed.isEmpty() };
forbid (principal, action, resource)
  when { principal has end_uses && context has end_use && principal.end_uses.contains(context.end_use) };
forbid (principal, action, resource)
  when { resource has training_eflop &&
    resource.training_eflop > 100000 } unless { resource.training_eflop >= 100000000 };
forbid (principal, action, resource) when { resource has training_eflop && 100000 < resource.training_eflop };
forbid (principal, action, resource)
  when { resource has lab_jurisdiction &&
    resource.lab_jurisdiction in CountryGroup::"forms/east" } when { resource.lab != Lab::"openai" };
forbid (principal, action, resource) when { principal.licences == principal.statements };
permit (principal, action, resource) when { true };
permit (principal, action, resource) unless { false || principal.statements.contains("end-use") };
"#;

/// Rules of which an evaluation can fail.
const FALLIBLE: &str = r#"
forbid (principal, action, resource)
  when { principal has class && principal.class == Class::"agency" && resource has training_eflop &&
    resource.training_eflop * 9223372036854775807 > 0 };
forbid (principal, action, resource)
  when { resource has training_eflop && resource.training_eflop + 9223372036854775807 > 0 &&
    principal has class };
"#;

struct World {
    countries: Vec<Country>,
    epoch: Epoch,
    labs: Vec<Arc<str>>,
    numbers: Vec<i64>,
    /// The same without guards.
    plain: Epoch,
    probes: Vec<(Tick, Probe)>,
    texts: Vec<Arc<str>>,
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: Arc::from(path),
        text: Arc::from(text),
    }
}

/// A pack of bare rules, each with what a rule needs.
fn pack(id: &str, rules: &str) -> Pack {
    let annotated =
        |(rule, n): (&str, usize)| format!("@id(\"r{n}\") @citation(\"C\") @reason(\"R.\") {rule}\n");
    let rules: String = rules
        .trim()
        .split_inclusive(';')
        .zip(0..)
        .map(annotated)
        .collect();
    let manifest = format!(
        "id = \"{id}\"\nversion = \"1\"\ntitle = \"T\"\nstatus = \"company\"\nvalid_from = 2026-01-01\n\
         recorded_at = 2026-01-01\nnotice = \"Not legal advice.\"\ncovers = []\ndoes_not_cover = []\n\
         [sets.east]\ncountries = [\"DE\", \"UA-43\"]\n[sets.west]\ncountries = [\"US\", \"UA\"]\n"
    );
    Pack::parse(&[source("pack.toml", &manifest), source("rules.cedar", &rules)]).unwrap()
}

fn shipped() -> Vec<Pack> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let folders = std::fs::read_dir(root)
        .unwrap()
        .map(|folder| folder.unwrap().path());
    let pack = |folder: std::path::PathBuf| {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let sources = files.map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            source(&name, &std::fs::read_to_string(path).unwrap())
        });
        Pack::parse(&sources.collect::<Vec<_>>()).unwrap()
    };
    folders.map(pack).collect()
}

fn world(packs: &[Pack]) -> World {
    let build = || Epoch::build(1, packs.to_vec(), &Status::ALL).unwrap();
    let epoch = build();
    let rules: Vec<&PackRule> = epoch.rules().iter().collect();
    let begins: Vec<Tick> = epoch.begins().collect();
    let mut reads = Reads::default();
    for at in &begins {
        reads.extend(&Reads::of(&rules, &Sets::at(packs, *at)));
    }
    let subdivisions = ["UA-43", "UA-09", "DE-BY"].map(|code| Country::parse(code).unwrap());
    let around = reads
        .numbers
        .iter()
        .flat_map(|n| [n - 1, *n, n.saturating_add(1)]);
    World {
        countries: reads.countries.iter().cloned().chain(subdivisions).collect(),
        labs: reads
            .named(Type::Lab)
            .cloned()
            .chain([Arc::from("elsewhere")])
            .collect(),
        numbers: around.filter(|n| *n >= 0).collect(),
        plain: build().without_guards(),
        probes: begins
            .iter()
            .map(|at| (*at, Probe::new(packs, &rules, *at)))
            .collect(),
        texts: reads.texts.iter().cloned().chain([Arc::from("other")]).collect(),
        epoch,
    }
}

static SHIPPED: LazyLock<World> = LazyLock::new(|| world(&shipped()));
static ODD: LazyLock<World> = LazyLock::new(|| world(&[pack("forms", FORMS), pack("fallible", FALLIBLE)]));

fn any_party(world: &'static World) -> impl Strategy<Value = PartyFacts> {
    let country = || option::of(select(world.countries.clone()));
    let texts =
        || subsequence(world.texts.clone(), 0..=world.texts.len().min(4)).prop_map(BTreeSet::from_iter);
    let groups = subsequence(vec![Arc::from("partners"), Arc::from("pilots")], 0..=2);
    let places = (country(), country(), country(), country());
    let sets = (
        option::of(texts()),
        option::of(texts()),
        option::of(texts()),
        texts(),
        texts(),
    );
    let kinds = (
        option::of(select(Class::ALL.to_vec())),
        option::of(select(Kind::ALL.to_vec())),
    );
    (places, sets, kinds, groups).prop_map(|(places, sets, (class, kind), groups)| {
        let licences: BTreeSet<Arc<str>> = sets.3;
        // A licence with an id of its own is asked for by its kind.
        let kinds = licences.first().map(|id| (id.clone(), Arc::from("bis-licence")));
        PartyFacts {
            class,
            data_centre: places.0,
            end_uses: sets.0,
            groups: groups.into_iter().collect(),
            headquarters: places.1,
            jurisdiction: places.2,
            kind,
            licence_kinds: kinds.into_iter().collect::<BTreeMap<_, _>>(),
            licences,
            listed: sets.1,
            parent_headquarters: places.3,
            person_class: sets.2,
            statements: sets.4,
            ..PartyFacts::default()
        }
    })
}

fn any_facts(world: &'static World) -> impl Strategy<Value = Facts> {
    let country = || option::of(select(world.countries.clone()));
    let weights = select(vec![Weights::Closed, Weights::Open, Weights::Unknown]);
    let flop = option::of(select(world.numbers.clone()));
    let name = select(vec!["m-1", "m-2"]);
    let model = (select(world.labs.clone()), country(), name, flop, weights).prop_map(
        |(lab, lab_jurisdiction, name, flop, weights)| ModelFacts {
            lab,
            lab_jurisdiction,
            name: Arc::from(name),
            training_flop: flop.map(|units| Arc::from(format!("{units}e18"))),
            weights,
        },
    );
    let region = || option::of(select(vec![Arc::from("us-east-1"), Arc::from("eu-west-1")]));
    let components = subsequence(vec!["cloud:aws", "edge:x"], 0..=2);
    let names = (select(vec!["c-1", "c-2"]), select(vec!["bedrock", "openai"]));
    let channel = (components, names, country(), region(), country()).prop_map(
        |(components, (name, provider), operator_jurisdiction, region, region_country)| ChannelFacts {
            components: components.into_iter().map(Arc::from).collect(),
            name: Arc::from(name),
            operator_jurisdiction,
            provider: Arc::from(provider),
            region,
            region_country,
        },
    );
    let end_use = option::of(select(world.texts.clone()));
    (any_party(world), model, channel, end_use, region(), any::<bool>()).prop_map(
        |(party, model, channel, end_use, region, is_own)| Facts {
            action: Action::Call,
            end_use,
            region: if is_own { channel.region.clone() } else { region },
            model,
            party,
            channel,
        },
    )
}

fn check(world: &World, facts: &Facts, era: usize) {
    let (now, probe) = &world.probes[era % world.probes.len()];
    let (with, without) = (world.epoch.judge(facts, *now), world.plain.judge(facts, *now));
    assert_eq!(with, without);
    let found = probe.ask(facts, *now).unwrap();
    let countries = world.epoch.countries(*now).unwrap();
    let known = Known::new(facts, countries);
    for (ix, rule) in world.epoch.rules().iter().enumerate() {
        let cedar = (!found.fails.contains(&ix)).then(|| found.applies.contains(&ix));
        if let Some(says) = rule.guard.says(&known) {
            assert_eq!(Some(says), cedar, "{} of {facts:?}", rule.rule.id);
        }
    }
}

#[test]
fn every_shipped_rule_has_a_guard_and_none_that_can_fail() {
    for rule in SHIPPED.epoch.rules() {
        assert!(rule.guard.is_there(), "{}", rule.rule.id);
    }
    for rule in ODD.epoch.rules() {
        assert_eq!(
            rule.guard.is_there(),
            rule.rule.id.starts_with("forms/"),
            "{}",
            rule.rule.id
        );
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_holds_though_one_of_its_conditions_is_false() {
    let text = r#"{"channel":{"name":"c-1","provider":"p"},"model":{"lab":"l","name":"m","training_flop":"2e18",
        "weights":"closed"},"party":{"jurisdiction":"DE"}}"#;
    let verdict = ODD
        .epoch
        .judge(&serde_json::from_str(text).unwrap(), Tick(1_781_222_400_000_000));
    // The second condition is false, and comes after the sum that overflows.
    let failed = verdict.rules.iter().find(|rule| &*rule.id == "fallible/r1");
    assert!(verdict.ruling >= Ruling::Hold && failed.is_some(), "{verdict:?}");
}

#[test]
fn a_rule_with_too_many_operators_has_no_guard() {
    let rule = |count: usize| {
        let conditions = vec!["principal has class"; count].join(" && ");
        let text = format!("forbid (principal, action, resource) when {{ {conditions} }};");
        pack("long", &text).rules()[0].guard.is_there()
    };
    // Each takes one `has` and two bytes of `&&`; brackets are two.
    assert!(rule(60) && !rule(70));
}

#[test]
fn attributes_are_those_of_the_schema() {
    let names: BTreeSet<_> = Attribute::ALL
        .iter()
        .map(|(owner, name, _, _)| (owner, name))
        .collect();
    assert_eq!(names.len(), Attribute::ALL.len());
    for (_, name, fact, shape) in &Attribute::ALL {
        assert!(crate::schema::is_attribute(name), "{name}");
        assert_eq!(fact.shape(), *shape);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn guards_of_shipped_rules_say_what_cedar_finds(facts in any_facts(&SHIPPED), era in 0_usize..64) {
        check(&SHIPPED, &facts, era);
    }

    #[test]
    fn guards_of_every_form_say_what_cedar_finds(facts in any_facts(&ODD), era in 0_usize..64) {
        check(&ODD, &facts, era);
    }
}

//! Packs from snippets, and random facts that the demo pack and its relatives tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tieline_core::Tick;
use tieline_core::grid::Weights;
use tieline_policy::{
    Action, Alternative, ChannelFacts, Class, Country, Epoch, FactName, FactValue, Facts, ModelFacts, Pack,
    PackProblem, PartyFacts, Source, Status,
};

/// 2026-06-12T00:00:00Z.
pub(crate) const JUNE_12: Tick = Tick(1_781_222_400_000_000);

pub(crate) const DEMO: [(&str, &str); 3] = [
    ("pack.toml", include_str!("../../../../packs/demo/pack.toml")),
    ("rules.cedar", include_str!("../../../../packs/demo/rules.cedar")),
    ("cases.toml", include_str!("../../../../packs/demo/cases.toml")),
];

pub(crate) fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files
        .iter()
        .map(|(path, text)| Source {
            path: Arc::from(*path),
            text: Arc::from(*text),
        })
        .collect()
}

pub(crate) fn demo() -> Pack {
    static DEMO_PACK: LazyLock<Pack> = LazyLock::new(|| Pack::parse(&sources(&DEMO)).unwrap());
    DEMO_PACK.clone()
}

/// The demo pack alone, as epoch 1.
pub(crate) fn demo_epoch() -> Arc<Epoch> {
    static DEMO_EPOCH: LazyLock<Arc<Epoch>> = LazyLock::new(|| Arc::new(epoch(1, vec![demo()])));
    DEMO_EPOCH.clone()
}

/// A `pack.toml` that is in order.
pub(crate) fn manifest(id: &str, more: &str) -> String {
    format!(
        "id = \"{id}\"\nversion = \"1\"\ntitle = \"T\"\nstatus = \"company\"\nvalid_from = 2026-01-01\n\
         recorded_at = 2026-01-01\nnotice = \"Not legal advice.\"\ncovers = []\ndoes_not_cover = []\n{more}"
    )
}

/// A rule with all that it needs.
pub(crate) fn rule(id: &str, effect: &str, body: &str) -> String {
    format!("@id(\"{id}\") @citation(\"C {id}\") @reason(\"R {id}.\") {effect}\n{body};\n")
}

pub(crate) fn pack(id: &str, more: &str, rules: &str) -> Result<Pack, Vec<PackProblem>> {
    Pack::parse(&sources(&[
        ("pack.toml", &manifest(id, more)),
        ("rules.cedar", rules),
    ]))
}

pub(crate) fn epoch(number: u64, packs: Vec<Pack>) -> Epoch {
    Epoch::build(number, packs, &[Status::Company, Status::InForce]).unwrap()
}

pub(crate) fn set(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

pub(crate) fn model(name: &str, weights: Weights, flop: Option<&str>) -> ModelFacts {
    ModelFacts {
        lab: Arc::from("lab-a"),
        lab_jurisdiction: Country::parse("US").ok(),
        name: Arc::from(name),
        training_flop: flop.map(Arc::from),
        weights,
    }
}

pub(crate) fn channel(name: &str, region: Option<&str>) -> ChannelFacts {
    ChannelFacts {
        components: set(&["cloud:aws"]),
        name: Arc::from(name),
        operator_jurisdiction: Country::parse("US").ok(),
        provider: Arc::from("bedrock"),
        region: region.map(Arc::from),
        region_country: None,
    }
}

/// A call of a party with the plainest model and channel.
pub(crate) fn call(party: PartyFacts) -> Facts {
    Facts {
        action: Action::Call,
        channel: channel("local-a", None),
        end_use: None,
        model: model("open-1", Weights::Open, None),
        party,
        region: None,
    }
}

pub(crate) fn any_model() -> impl Strategy<Value = ModelFacts> {
    let weights = select(vec![Weights::Open, Weights::Closed, Weights::Unknown]);
    let flop = select(vec![None, Some("3e24"), Some("2.1e26"), Some("unknown")]);
    (weights, flop).prop_map(|(weights, flop)| model(&format!("{weights:?}-{flop:?}"), weights, flop))
}

pub(crate) fn any_channel() -> impl Strategy<Value = ChannelFacts> {
    select(vec![None, Some("us-east-1"), Some("eu-central-1")])
        .prop_map(|region| channel(region.unwrap_or("local-a"), region))
}

pub(crate) fn any_end_use() -> impl Strategy<Value = Option<Arc<str>>> {
    select(vec![None, Some("translation"), Some("targeting")]).prop_map(|name| name.map(Arc::from))
}

/// Instants around [`JUNE_12`], close enough to the expiries of [`any_party`] to fall between them.
pub(crate) fn any_tick() -> impl Strategy<Value = Tick> {
    (0..8_u64).prop_map(|n| Tick(JUNE_12.0 + n))
}

pub(crate) fn any_party() -> impl Strategy<Value = PartyFacts> {
    let country = || option::of(select(vec!["DE", "BY", "UA", "UA-43"]));
    let names = |all: &'static [&'static str]| subsequence(all.to_vec(), 0..=all.len());
    let class = option::of(select(Class::ALL.to_vec()));
    let expiring = select(vec![
        "jurisdiction",
        "class",
        "statements/end-use",
        "licences/annex-a-clearance",
    ]);
    let expires = proptest::collection::btree_map(expiring, any_tick(), 0..3);
    let licences = names(&["annex-a-clearance"]);
    let statements = names(&["end-use", "other"]);
    let also =
        (select(vec!["DE", "BY", "UA"]), option::of(any_tick())).prop_map(|(code, expires)| Alternative {
            expires,
            value: FactValue::Jurisdiction(Country::parse(code).unwrap()),
        });
    (
        proptest::collection::btree_set(also, 0..2),
        class,
        country(),
        country(),
        licences,
        statements,
        names(&["partners"]),
        expires,
    )
        .prop_map(
            |(also, class, headquarters, jurisdiction, licences, statements, groups, expires)| PartyFacts {
                also,
                class,
                expires: expires
                    .into_iter()
                    .map(|(name, at)| (FactName::try_from(name.to_owned()).unwrap(), at))
                    .collect::<BTreeMap<_, _>>(),
                groups: set(&groups),
                headquarters: headquarters.map(|code| Country::parse(code).unwrap()),
                jurisdiction: jurisdiction.map(|code| Country::parse(code).unwrap()),
                licences: set(&licences),
                statements: set(&statements),
                ..PartyFacts::default()
            },
        )
}

pub(crate) fn any_facts() -> impl Strategy<Value = Facts> {
    (any_party(), any_model(), any_channel(), any_end_use()).prop_map(|(party, model, channel, end_use)| {
        Facts {
            action: Action::Call,
            end_use,
            model,
            party,
            region: channel.region.clone(),
            channel,
        }
    })
}

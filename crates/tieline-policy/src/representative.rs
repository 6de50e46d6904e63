//! Representative facts: what a rule reads, and the values of it that the rule can tell apart. One country stands for all
//! that are in the same of its sets, and one word that it does not name stands for all others.
//!
//! Contract. A value stands for others only as far as a rule names things. Of a rule that compares two facts with each
//! other, [`Reads::compares`] says so, and two countries stand for each sort; whoever needs more adds what is known. Who
//! searches with these says that it searched. Bounds: those of the packs' reader; a rule of 8 KiB names at most a few
//! hundred things, and beyond [`WORDS_MAX`] words not every subset of them is a value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::Policy;
use serde_json::Value;
use tieline_core::{Ruling, Tick};

use crate::alternative::FactValue;
use crate::country::Country;
use crate::facts::{Class, FactName, Kind, PartyFacts};
use crate::names::Names;
use crate::pack::{Pack, PackRule};
use crate::schema::Type;

/// Words of which every subset is a value: 32 values of one fact. Of more words there are none, each and all.
pub(crate) const WORDS_MAX: usize = 5;

/// Operators that compare two values, as the JSON of policies names them.
const COMPARING: [&str; 10] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "contains",
    "containsAll",
    "containsAny",
    "in",
];

/// The members of all sets at one instant, by their full names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets(pub(crate) BTreeMap<String, BTreeSet<Country>>);

/// What a rule reads, and can tell apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) attributes: BTreeSet<String>,
    /// Whether a fact is compared with another.
    pub(crate) compares: bool,
    pub(crate) countries: BTreeSet<Country>,
    /// Entities that are named, by type and id.
    pub(crate) entities: BTreeSet<(String, Arc<str>)>,
    pub(crate) numbers: BTreeSet<i64>,
    /// Licences and statements that are asked for.
    pub(crate) papers: BTreeSet<FactValue>,
    pub(crate) ruling: Option<Ruling>,
    pub(crate) texts: BTreeSet<Arc<str>>,
}

// === impl Sets ===

impl Sets {
    /// Those of the packs that hold at `now`.
    pub(crate) fn at(packs: &[Pack], now: Tick) -> Self {
        let holds = |pack: &&Pack| {
            let manifest = pack.manifest();
            manifest.valid_from <= now && manifest.valid_to.is_none_or(|end| now < end)
        };
        let manifests = packs.iter().filter(holds).map(Pack::manifest);
        Self(manifests.flat_map(|manifest| manifest.sets_at(now)).collect())
    }
}

// === impl Reads ===

impl Reads {
    pub(crate) fn new(rule: &PackRule, sets: &Sets) -> Self {
        Self {
            ruling: Some(rule.ruling),
            ..Self::of_policy(&rule.policy, &rule.sets, sets)
        }
    }

    /// What a policy reads that names the sets of these names.
    pub(crate) fn of_policy(policy: &Policy, set_names: &[Arc<str>], sets: &Sets) -> Self {
        Self::together(&[(policy, set_names)], sets)
    }

    /// What several rules read, and can tell apart together.
    pub(crate) fn of(rules: &[&PackRule], sets: &Sets) -> Self {
        let policies: Vec<_> = rules.iter().map(|rule| (&rule.policy, &*rule.sets)).collect();
        Self::together(&policies, sets)
    }

    fn together(policies: &[(&Policy, &[Arc<str>])], sets: &Sets) -> Self {
        let mut reads = Self::default();
        for (policy, _) in policies {
            reads.extend(&Self::walked(policy));
        }
        let used: BTreeSet<&Arc<str>> = policies.iter().flat_map(|(_, names)| *names).collect();
        let places: Vec<&BTreeSet<Country>> = used.iter().filter_map(|name| sets.0.get(&***name)).collect();
        // Two facts are equal or not: to tell that apart takes two of each sort.
        let each = if reads.compares { 2 } else { 1 };
        reads
            .countries
            .extend(representatives(&places, &reads.countries, each));
        let outside: Vec<Country> = Country::all()
            .filter(|code| !reads.countries.contains(code) && !places.iter().any(|set| set.contains(code)))
            .take(each)
            .collect();
        reads.countries.extend(outside);
        reads
    }

    /// What a policy names, without countries that stand for others.
    fn walked(policy: &Policy) -> Self {
        let mut reads = Self::default();
        // A policy that has no JSON form reads nothing that we know of; none is known that has none.
        let json = policy.to_json().unwrap_or_default();
        reads.walk(json.get("conditions").unwrap_or(&Value::Null));
        let literals = policy.entity_literals().into_iter();
        reads.entities = literals
            .map(|uid| {
                (
                    uid.type_name().to_string(),
                    Arc::from(AsRef::<str>::as_ref(uid.id())),
                )
            })
            .collect();
        if reads.attributes.contains("licences") {
            reads
                .papers
                .extend(reads.texts.iter().cloned().map(FactValue::Licence));
        }
        if reads.attributes.contains("statements") {
            reads
                .papers
                .extend(reads.texts.iter().cloned().map(FactValue::Statement));
        }
        reads
    }

    /// Adds what another rule reads; the ruling stays.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.attributes.extend(other.attributes.iter().cloned());
        self.compares |= other.compares;
        self.countries.extend(other.countries.iter().cloned());
        self.entities.extend(other.entities.iter().cloned());
        self.numbers.extend(&other.numbers);
        self.papers.extend(other.papers.iter().cloned());
        self.texts.extend(other.texts.iter().cloned());
    }

    /// The ids of named entities of one type.
    pub(crate) fn named(&self, of: Type) -> impl Iterator<Item = &Arc<str>> {
        let entities = self.entities.iter().filter(move |(name, _)| name == of.name());
        entities.map(|(_, id)| id)
    }

    /// Each fact of a party that is read, and `party` with each value of it that is told apart.
    pub(crate) fn parties(&self, party: &PartyFacts) -> Vec<(FactName, Vec<PartyFacts>)> {
        let with = |value: FactValue| {
            let mut party = party.clone();
            party.set(value);
            party
        };
        let fields = self
            .attributes
            .iter()
            .filter_map(|name| FactName::try_from(name.clone()).ok())
            .map(|fact| {
                let values = if fact == FactName::Kind {
                    let of = |kind| PartyFacts {
                        kind: Some(kind),
                        ..party.clone()
                    };
                    Kind::ALL.into_iter().map(of).collect()
                } else {
                    self.values(&fact).into_iter().map(with).collect()
                };
                (fact, values)
            });
        let papers = self.papers.iter().cloned();
        let papers = papers.map(|value| (value.fact(), vec![with(value)]));
        fields.chain(papers).collect()
    }

    /// As [`Reads::parties`], of the facts that `party` has not.
    pub(crate) fn absent(&self, party: &PartyFacts) -> Vec<(FactName, Vec<PartyFacts>)> {
        let known = party.names();
        let mut out = self.parties(party);
        out.retain(|(fact, _)| !known.contains(fact));
        out
    }

    /// Collects from the JSON of a policy's conditions, which is as deep as the pack's reader lets a rule be.
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|one| self.walk(one)),
            Value::Object(members) => {
                for (name, member) in members {
                    let side = |side| member.get(side).is_some_and(has_access);
                    self.compares |= COMPARING.contains(&&**name) && side("left") && side("right");
                    match member {
                        Value::String(text) if name == "attr" => {
                            self.attributes.insert(text.clone());
                        }
                        Value::String(text) if name == "id" => self.countries.extend(Country::parse(text)),
                        Value::String(text) if name == "Value" => {
                            self.texts.insert(Arc::from(&**text));
                        }
                        Value::Number(number) if name == "Value" => self.numbers.extend(number.as_i64()),
                        Value::Array(pattern) if name == "pattern" => {
                            let literals = pattern.iter().filter_map(|part| part.get("Literal")?.as_str());
                            self.texts.insert(literals.collect::<String>().into());
                        }
                        other => self.walk(other),
                    }
                }
            }
            _ => {}
        }
    }

    /// The values of a fact that are told apart; a kind is no value of evidence and has none here.
    pub(crate) fn values(&self, fact: &FactName) -> Vec<FactValue> {
        let countries = |of: fn(Country) -> FactValue| self.countries.iter().cloned().map(of).collect();
        let texts = |of: fn(Names) -> FactValue| {
            let subsets = self.subsets().into_iter();
            subsets.map(|words| of(words.into())).collect()
        };
        match fact {
            FactName::Class => Class::ALL.into_iter().map(FactValue::Class).collect(),
            FactName::DataCentre => countries(FactValue::DataCentre),
            FactName::EndUses => texts(FactValue::EndUses),
            FactName::Headquarters => countries(FactValue::Headquarters),
            FactName::Jurisdiction => countries(FactValue::Jurisdiction),
            FactName::Listed => texts(FactValue::Listed),
            FactName::ParentHeadquarters => countries(FactValue::ParentHeadquarters),
            FactName::PersonClass => texts(FactValue::PersonClass),
            FactName::Clearance(_) | FactName::Kind | FactName::Licence(_) | FactName::Statement(_) => {
                Vec::new()
            }
        }
    }

    fn subsets(&self) -> BTreeSet<BTreeSet<Arc<str>>> {
        if self.texts.len() > WORDS_MAX {
            let each = self.texts.iter().map(|text| BTreeSet::from([text.clone()]));
            return each.chain([BTreeSet::new(), self.texts.clone()]).collect();
        }
        let mut out = BTreeSet::from([BTreeSet::new()]);
        for text in &self.texts {
            let with = |set: &BTreeSet<Arc<str>>| set.iter().cloned().chain([text.clone()]).collect();
            let more: Vec<BTreeSet<Arc<str>>> = out.iter().map(with).collect();
            out.extend(more);
        }
        out
    }
}

/// Whether an expression reads an attribute.
fn has_access(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_access),
        Value::Object(members) => members
            .iter()
            .any(|(name, member)| name == "." || has_access(member)),
        _ => false,
    }
}

/// Up to `each` countries for each combination of sets, which are none that are `named` by themselves.
fn representatives(sets: &[&BTreeSet<Country>], named: &BTreeSet<Country>, each: usize) -> Vec<Country> {
    let mut by_sets: BTreeMap<Vec<bool>, BTreeSet<&Country>> = BTreeMap::new();
    let codes = sets.iter().copied().flatten();
    for code in codes.filter(|code| !named.contains(code)) {
        let combination = sets.iter().map(|set| set.contains(code)).collect();
        let found = by_sets.entry(combination).or_default();
        if found.len() < each {
            found.insert(code);
        }
    }
    by_sets.into_values().flatten().cloned().collect()
}

/// The pack of a rule's full id.
pub(crate) fn pack_of(rule_id: &str) -> &str {
    rule_id.split('/').next().unwrap_or_default()
}

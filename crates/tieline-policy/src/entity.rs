//! Facts as Cedar entities, built from values and never parsed from text. Models and channels are prepared once per
//! grid, a party for each verdict that is made. An absent fact is an absent attribute, and `unknown` weights are absent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression as Value};
use tieline_core::grid::Weights;

use crate::country::Country;
use crate::facts::{Action, ChannelFacts, Facts, ModelFacts, PartyFacts};
use crate::limits::Subject;
use crate::schema::{Type, uid};
use crate::slice::Known;

/// Facts that Cedar could not take. No facts are known to cause it; a verdict is then a hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the facts cannot be read by rules: {0}")]
pub struct FactsError(String);

/// An entity, and the countries that its attributes name: rules ask in which sets those are.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    countries: Vec<Country>,
    entity: Entity,
}

/// All that one evaluation reads besides the party.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) action: Action,
    pub(crate) channel: &'a Prepared,
    pub(crate) channel_facts: &'a ChannelFacts,
    pub(crate) end_use: Option<&'a str>,
    pub(crate) model: &'a Prepared,
    pub(crate) model_facts: &'a ModelFacts,
    pub(crate) region: Option<&'a str>,
}

impl Prepared {
    pub(crate) fn of_party(facts: &PartyFacts) -> Result<Self, FactsError> {
        let mut attributes = Attributes::default();
        attributes.put(
            "class",
            facts.class.map(|class| entity(Type::Class, class.name())),
        );
        attributes.country("data_centre", facts.data_centre.as_ref());
        attributes.put("end_uses", facts.end_uses.as_ref().map(texts));
        attributes.country("headquarters", facts.headquarters.as_ref());
        attributes.country("jurisdiction", facts.jurisdiction.as_ref());
        attributes.put("kind", facts.kind.map(|kind| entity(Type::Kind, kind.name())));
        attributes.put("licences", Some(texts(facts.licence_names())));
        attributes.put("listed", facts.listed.as_ref().map(texts));
        attributes.country("parent_headquarters", facts.parent_headquarters.as_ref());
        attributes.put("person_class", facts.person_class.as_ref().map(texts));
        attributes.put("statements", Some(texts(&facts.statements)));
        let groups = facts.groups.iter().map(|name| uid(Type::Group, name)).collect();
        let countries = facts.countries().cloned().collect();
        attributes.build(uid(Type::Party, "caller"), groups, countries)
    }

    pub(crate) fn of_model(facts: &ModelFacts) -> Result<Self, FactsError> {
        let weights = match facts.weights {
            Weights::Closed => Some("closed"),
            Weights::Open => Some("open"),
            Weights::Unknown => None,
        };
        let lab = uid(Type::Lab, &facts.lab);
        let mut attributes = Attributes::default();
        attributes.put("lab", Some(Value::new_entity_uid(lab.clone())));
        attributes.country("lab_jurisdiction", facts.lab_jurisdiction.as_ref());
        attributes.put("training_eflop", facts.training_eflop().map(Value::new_long));
        attributes.put("weights", weights.map(|name| entity(Type::Weights, name)));
        let countries = facts.lab_jurisdiction.iter().cloned().collect();
        attributes.build(uid(Type::Model, &facts.name), HashSet::from([lab]), countries)
    }

    pub(crate) fn of_channel(facts: &ChannelFacts) -> Result<Self, FactsError> {
        let mut attributes = Attributes::default();
        attributes.put("cloud", facts.cloud().map(text));
        attributes.country("operator_jurisdiction", facts.operator_jurisdiction.as_ref());
        attributes.put("provider", Some(text(&facts.provider)));
        attributes.put("region", facts.region.as_deref().map(text));
        attributes.country("region_country", facts.region_country.as_ref());
        let components = facts
            .components
            .iter()
            .map(|name| uid(Type::Component, name))
            .collect();
        let countries = [&facts.operator_jurisdiction, &facts.region_country];
        let countries = countries.into_iter().flatten().cloned().collect();
        attributes.build(uid(Type::Channel, &facts.name), components, countries)
    }
}

impl<'a> Asked<'a> {
    pub(crate) fn of(facts: &'a Facts, channel: &'a Prepared, model: &'a Prepared) -> Self {
        Self {
            action: facts.action,
            channel,
            channel_facts: &facts.channel,
            end_use: facts.end_use.as_deref(),
            model,
            model_facts: &facts.model,
            region: facts.region.as_deref(),
        }
    }

    /// What scopes are held against.
    pub(crate) fn subject(&self) -> Subject<'a> {
        Subject {
            end_use: self.end_use,
            lab: &self.model_facts.lab,
            model: &self.model_facts.name,
            region: self.region,
            region_country: self.channel_facts.country_at(self.region),
        }
    }

    /// The same as guards of rules read it, for a party.
    pub(crate) fn known(&self, party: &'a PartyFacts, countries: &'a Countries) -> Known<'a> {
        Known {
            action: self.action,
            channel: self.channel_facts,
            countries,
            end_use: self.end_use,
            model: self.model_facts,
            party,
            region: self.region,
            region_country: self.subject().region_country,
            training_eflop: self.model_facts.training_eflop(),
        }
    }

    /// The request of a party, and the entities that it names.
    pub(crate) fn request(
        &self,
        party: &Prepared,
        countries: &Countries,
    ) -> Result<(Request, Entities), FactsError> {
        let channel = self.channel.entity.uid();
        let mut context = vec![("channel".to_owned(), Value::new_entity_uid(channel))];
        context.extend(self.end_use.map(|name| ("end_use".to_owned(), text(name))));
        context.extend(self.region.map(|name| ("region".to_owned(), text(name))));
        let country = self.subject().region_country;
        context.extend(country.map(|c| ("region_country".to_owned(), entity(Type::Country, c.code()))));
        let context = Context::from_pairs(context).map_err(|e| FactsError(e.to_string()))?;
        let request = Request::new(
            party.entity.uid(),
            uid(Type::Action, self.action.name()),
            self.model.entity.uid(),
            context,
            None,
        )
        .map_err(|e| FactsError(e.to_string()))?;
        let named = [party, self.model, self.channel];
        let codes: BTreeSet<&Country> = named.iter().flat_map(|one| &one.countries).collect();
        let places = codes.into_iter().filter_map(|code| countries.entity(code));
        let all = named.iter().map(|one| one.entity.clone()).chain(places);
        let entities = Entities::from_entities(all, None).map_err(|e| FactsError(e.to_string()))?;
        Ok((request, entities))
    }
}

/// The sets of one era.
#[derive(Clone, Debug, Default)]
pub(crate) struct Countries(BTreeMap<Country, Place>);

/// A country that is in a set.
#[derive(Clone, Debug)]
struct Place {
    entity: Entity,
    parents: HashSet<EntityUid>,
}

impl Countries {
    /// From sets with their full names. A subdivision is in every set of its country.
    pub(crate) fn new(sets: &[(String, &BTreeSet<Country>)]) -> Self {
        let named: BTreeSet<&Country> = sets.iter().flat_map(|(_, countries)| *countries).collect();
        let place = |country: &Country| {
            let whole = country.whole();
            let holds = |set: &BTreeSet<Country>| {
                set.contains(country) || whole.as_ref().is_some_and(|whole| set.contains(whole))
            };
            let groups = sets
                .iter()
                .filter(|(_, set)| holds(set))
                .map(|(name, _)| uid(Type::CountryGroup, name));
            Place::new(country, groups.chain(whole_uid(country)).collect())
        };
        Self(
            named
                .into_iter()
                .map(|country| (country.clone(), place(country)))
                .collect(),
        )
    }

    /// Whether a country, or the one that it is part of, is in a set.
    pub(crate) fn are_in(&self, country: &Country, set: &EntityUid) -> bool {
        let holds = |code: &Country| self.0.get(code).map(|place| place.parents.contains(set));
        // A subdivision that is in a set itself has those of its country as well.
        holds(country)
            .or_else(|| holds(&country.whole()?))
            .unwrap_or(false)
    }

    /// A country needs an entity if it is in a set or part of another country.
    fn entity(&self, country: &Country) -> Option<Entity> {
        if let Some(place) = self.0.get(country) {
            return Some(place.entity.clone());
        }
        let whole = country.whole()?;
        let groups = self
            .0
            .get(&whole)
            .into_iter()
            .flat_map(|place| place.parents.iter().cloned());
        Some(Place::new(country, groups.chain(whole_uid(country)).collect()).entity)
    }
}

impl Place {
    fn new(country: &Country, parents: HashSet<EntityUid>) -> Self {
        Self {
            entity: Entity::new_no_attrs(uid(Type::Country, country.code()), parents.clone()),
            parents,
        }
    }
}

fn whole_uid(country: &Country) -> Option<EntityUid> {
    country.whole().map(|whole| uid(Type::Country, whole.code()))
}

#[derive(Default)]
struct Attributes(HashMap<String, Value>);

impl Attributes {
    fn put(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn country(&mut self, name: &str, country: Option<&Country>) {
        self.put(name, country.map(|c| entity(Type::Country, c.code())));
    }

    fn build(
        self,
        uid: EntityUid,
        parents: HashSet<EntityUid>,
        countries: Vec<Country>,
    ) -> Result<Prepared, FactsError> {
        let entity = Entity::new(uid, self.0, parents).map_err(|e| FactsError(e.to_string()))?;
        Ok(Prepared { countries, entity })
    }
}

fn entity(of: Type, id: &str) -> Value {
    Value::new_entity_uid(uid(of, id))
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a Arc<str>>) -> Value {
    Value::new_set(values.into_iter().map(|value| text(value)))
}

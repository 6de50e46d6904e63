//! Slicing: a rule that cannot apply to the facts is not evaluated. A [`Guard`] is the skeleton of a rule, kept beside it:
//! its scope and conditions as far as they are decided by looking a fact up (is it there, is it this word, is the country
//! in that set), and "unknown" for all else.
//!
//! Contract. [`Guard::rules_out`] is true only if Cedar, asked, would say without an error that the rule does not apply.
//! Three-valued logic (Kleene's) makes that so, provided that no part of the rule can fail: a rule with an operation that
//! can (arithmetic, a function of an extension, a tag) or that is not known here has no guard, and is always evaluated. So
//! is one whose tree could be too deep. That an attribute is read only where it is there is what the validator proved of
//! every rule. Whether a rule applies to a call is for Cedar alone to say: a guard that finds so is believed only of facts
//! that are supposed, one value after the other, to see whether a missing one matters.

use std::cmp::Ordering;
use std::sync::Arc;

use cedar_policy::{EntityUid, Policy};
use serde_json::Value as Json;
use tieline_core::grid::Weights;

use crate::country::Country;
use crate::entity::Countries;
use crate::facts::{Action, ChannelFacts, Facts, ModelFacts, PartyFacts};
use crate::schema::{Type, uid};

/// Operators of a rule that has a guard. A tree is no deeper than the operators that are written, and at 2 KiB of stack
/// for each level, which Cedar's own writer takes in a build without optimisation, 192 are 384 KiB of a thread's 2 MiB.
/// The longest shipped rule has 91.
pub(crate) const OPERATORS_MAX: usize = 192;

/// What decides cheaply that a rule cannot apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard(Option<Arc<Node>>);

/// The facts of one question, as rules read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) action: Action,
    pub(crate) channel: &'a ChannelFacts,
    pub(crate) countries: &'a Countries,
    pub(crate) end_use: Option<&'a str>,
    pub(crate) model: &'a ModelFacts,
    pub(crate) party: &'a PartyFacts,
    pub(crate) region: Option<&'a str>,
    pub(crate) region_country: Option<&'a Country>,
    /// Of the model; reading it takes parsing a number.
    pub(crate) training_eflop: Option<i64>,
}

/// A condition, as far as it is decided here.
#[derive(Debug)]
enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Const(bool),
    /// A country is in a set of a pack.
    InSet(Attribute, EntityUid),
    /// The party, the model or the channel is in a thing of this name, or is the thing.
    Is(Thing, Arc<str>),
    /// Condition, consequence, alternative.
    If(Box<[Node; 3]>),
    Has(Attribute),
    /// The fact, which is a set, has one of these words.
    HasAny(Attribute, Box<[Arc<str>]>),
    Not(Box<Node>),
    /// The fact is one of these words.
    OneOf(Attribute, Box<[Arc<str>]>),
    /// How the fact, which is a number, compares with this one.
    Orders(Attribute, i64, &'static [Ordering]),
    Unknown,
}

/// Whatever rules may ask of by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Action,
    Component,
    Group,
    Lab,
    Model,
}

/// A fact that rules may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    CallChannel,
    CallEndUse,
    CallRegion,
    CallRegionCountry,
    ChannelCloud,
    ChannelOperatorJurisdiction,
    ChannelProvider,
    ChannelRegion,
    ChannelRegionCountry,
    ModelLab,
    ModelLabJurisdiction,
    ModelTrainingEflop,
    ModelWeights,
    PartyClass,
    PartyDataCentre,
    PartyEndUses,
    PartyHeadquarters,
    PartyJurisdiction,
    PartyKind,
    PartyLicences,
    PartyListed,
    PartyParentHeadquarters,
    PartyPersonClass,
    PartyStatements,
}

/// What sort of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// An entity of a type: its name.
    Entity(&'static str),
    Number,
    Text,
    Texts,
}

/// A fact's value, borrowed.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Country(&'a Country),
    Number(i64),
    Text(&'a str),
    /// A set; [`Known::holds_word`] looks into it.
    Texts,
}

// === impl Guard ===

impl Guard {
    /// The guard of a policy that the validator has accepted; `operators` is how many its text has.
    pub(crate) fn new(policy: &Policy, operators: usize) -> Self {
        let node = || {
            let json = policy.to_json().ok()?;
            let scope = ["principal", "action", "resource"].map(|variable| scope(variable, &json));
            let conditions = json.get("conditions")?.as_array()?.iter().map(condition);
            let all = scope.into_iter().map(Some).chain(conditions);
            Some(Node::All(all.collect::<Option<_>>()?))
        };
        Self((operators <= OPERATORS_MAX).then(node).flatten().map(Arc::new))
    }

    /// Whether the rule certainly does not apply.
    pub(crate) fn rules_out(&self, known: &Known<'_>) -> bool {
        let node = self.0.as_ref();
        node.is_some_and(|node| node.holds(known) == Some(false))
    }

    /// Whether the rule applies, where looking facts up is enough to say: for facts that are only supposed.
    pub(crate) fn says(&self, known: &Known<'_>) -> Option<bool> {
        self.0.as_ref()?.holds(known)
    }

    #[cfg(test)]
    pub(crate) const fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

// === reading a policy's JSON ===

/// A constraint on the scope. None of them can fail, so that one that is not known here is only unknown.
fn scope(variable: &str, policy: &Json) -> Node {
    let read = || {
        let constraint = policy.get(variable)?;
        let is_in = match constraint.get("op")?.as_str()? {
            "All" => return Some(Node::Const(true)),
            "==" => false,
            "in" => true,
            _ => return None,
        };
        thing(variable, constraint.get("entity")?, is_in)
    };
    read().unwrap_or(Node::Unknown)
}

/// A `when` or an `unless`; `None` if it can fail.
fn condition(value: &Json) -> Option<Node> {
    let body = node(value.get("body")?)?;
    match value.get("kind")?.as_str()? {
        "when" => Some(body),
        "unless" => Some(Node::Not(Box::new(body))),
        _ => None,
    }
}

/// An expression; `None` if it can fail. As deep as [`OPERATORS_MAX`].
fn node(value: &Json) -> Option<Node> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (name, args) = members.iter().next()?;
    let pair = || Some((args.get("left")?, args.get("right")?));
    let both = || {
        let (left, right) = pair()?;
        Some([node(left)?, node(right)?].into())
    };
    // Both sides can be evaluated; what is not known of it is unknown.
    let known = |found: Option<Node>| {
        let (left, right) = pair()?;
        node(left)?;
        node(right)?;
        Some(found.unwrap_or(Node::Unknown))
    };
    match name.as_str() {
        "!" => Some(Node::Not(Box::new(node(args.get("arg")?)?))),
        "!=" => known(pair().and_then(equal).map(|same| Node::Not(Box::new(same)))),
        "&&" => both().map(Node::All),
        "." => attribute(value).map(|_| Node::Unknown),
        "<" => known(pair().and_then(|sides| orders(sides, &[Ordering::Less]))),
        "<=" => known(pair().and_then(|sides| orders(sides, &[Ordering::Less, Ordering::Equal]))),
        "==" => known(pair().and_then(equal)),
        ">" => known(pair().and_then(|sides| orders(sides, &[Ordering::Greater]))),
        ">=" => known(pair().and_then(|sides| orders(sides, &[Ordering::Greater, Ordering::Equal]))),
        "Set" => {
            args.as_array()?.iter().map(node).collect::<Option<Vec<_>>>()?;
            Some(Node::Unknown)
        }
        "Value" => Some(args.as_bool().map_or(Node::Unknown, Node::Const)),
        "Var" => Some(Node::Unknown),
        "contains" => known(pair().and_then(contains)),
        "containsAll" => known(pair().and_then(contains_all)),
        "containsAny" => known(pair().and_then(contains_any)),
        "has" => has(args),
        "if-then-else" => {
            let part = |part| node(args.get(part)?);
            Some(Node::If(Box::new([part("if")?, part("then")?, part("else")?])))
        }
        "in" => known(pair().and_then(within)),
        "isEmpty" => node(args.get("arg")?).map(|_| Node::Unknown),
        "is" | "like" => node(args.get("left")?).map(|_| Node::Unknown),
        "||" => both().map(Node::Any),
        _ => None,
    }
}

/// `principal.class`, `context.channel.region`.
fn attribute(value: &Json) -> Option<Attribute> {
    let access = value.get(".")?;
    Attribute::find(owner(access.get("left")?)?, access.get("attr")?.as_str()?)
}

/// What has attributes: a variable, or the channel of the context.
fn owner(value: &Json) -> Option<&'static str> {
    let name = match value.get("Var").and_then(Json::as_str) {
        Some(name) => name,
        None if attribute(value)? == Attribute::CallChannel => "channel",
        None => return None,
    };
    ["channel", "context", "principal", "resource"]
        .into_iter()
        .find(|known| *known == name)
}

fn has(args: &Json) -> Option<Node> {
    let owner = owner(args.get("left")?)?;
    Some(Node::Has(Attribute::find(owner, args.get("attr")?.as_str()?)?))
}

fn equal((left, right): (&Json, &Json)) -> Option<Node> {
    let of = |one, other| {
        let fact = attribute(one)?;
        Some(Node::OneOf(fact, [literal(other, fact.shape())?].into()))
    };
    let is = |one: &Json, other| thing(one.get("Var")?.as_str()?, entity(other)?, false);
    let either = of(left, right).or_else(|| of(right, left));
    either.or_else(|| is(left, right)).or_else(|| is(right, left))
}

fn orders((left, right): (&Json, &Json), holds: &'static [Ordering]) -> Option<Node> {
    // The number stands on the right; what stands on the left is left to Cedar.
    let fact = attribute(left)?;
    let number = right.get("Value")?.as_i64()?;
    (fact.shape() == Shape::Number).then_some(Node::Orders(fact, number, holds))
}

fn contains((set, one): (&Json, &Json)) -> Option<Node> {
    if let Some(fact) = attribute(set).filter(|fact| fact.shape() == Shape::Texts) {
        return Some(Node::HasAny(fact, [literal(one, Shape::Text)?].into()));
    }
    let fact = attribute(one)?;
    Some(Node::OneOf(fact, literals(set, fact.shape())?))
}

fn contains_any((set, words): (&Json, &Json)) -> Option<Node> {
    let of = |one, other| {
        let fact = attribute(one).filter(|fact| fact.shape() == Shape::Texts)?;
        Some(Node::HasAny(fact, literals(other, Shape::Text)?))
    };
    of(set, words).or_else(|| of(words, set))
}

fn contains_all((set, words): (&Json, &Json)) -> Option<Node> {
    let fact = attribute(set).filter(|fact| fact.shape() == Shape::Texts)?;
    let words = literals(words, Shape::Text)?.into_iter();
    let each = words.map(|word| Node::HasAny(fact, [word].into()));
    Some(Node::All(each.collect()))
}

/// `x in y`, or in one of several.
fn within((left, right): (&Json, &Json)) -> Option<Node> {
    if let Some(places) = right.get("Set") {
        let each = places.as_array()?.iter().map(|place| within((left, place)));
        return Some(Node::Any(each.collect::<Option<_>>()?));
    }
    let (of, id) = type_and_id(entity(right)?)?;
    let fact = attribute(left);
    match fact {
        Some(Attribute::CallChannel) if of == Type::Component.name() => {
            Some(Node::Is(Thing::Component, Arc::from(id)))
        }
        Some(fact) if fact.shape() == Shape::Entity(Type::Country.name()) => {
            (of == Type::CountryGroup.name()).then(|| Node::InSet(fact, uid(Type::CountryGroup, id)))
        }
        Some(_) => None,
        None => thing(left.get("Var")?.as_str()?, entity(right)?, true),
    }
}

/// A thing that a variable is, or is in. An action and a model are in themselves.
fn thing(variable: &str, entity: &Json, is_in: bool) -> Option<Node> {
    let (of, id) = type_and_id(entity)?;
    let things = [
        ("action", Type::Action, Thing::Action, true),
        ("principal", Type::Group, Thing::Group, is_in),
        ("resource", Type::Lab, Thing::Lab, is_in),
        ("resource", Type::Model, Thing::Model, true),
    ];
    let fits =
        |(asks, kind, _, can): &(&str, Type, Thing, bool)| *asks == variable && kind.name() == of && *can;
    let found = things.into_iter().find(fits);
    found.map(|(_, _, thing, _)| Node::Is(thing, Arc::from(id)))
}

fn entity(value: &Json) -> Option<&Json> {
    value.get("Value")?.get("__entity")
}

fn type_and_id(entity: &Json) -> Option<(&str, &str)> {
    let entity = entity.get("__entity").unwrap_or(entity);
    Some((entity.get("type")?.as_str()?, entity.get("id")?.as_str()?))
}

/// A word that stands in the rule, if it is of the shape.
fn literal(value: &Json, shape: Shape) -> Option<Arc<str>> {
    match shape {
        Shape::Entity(name) => type_and_id(entity(value)?)
            .filter(|(of, _)| *of == name)
            .map(|(_, id)| Arc::from(id)),
        Shape::Text => value.get("Value")?.as_str().map(Arc::from),
        Shape::Number | Shape::Texts => None,
    }
}

fn literals(value: &Json, shape: Shape) -> Option<Box<[Arc<str>]>> {
    let each = value.get("Set")?.as_array()?.iter();
    each.map(|one| literal(one, shape)).collect()
}

// === impl Node ===

impl Node {
    /// Whether it holds; `None` if that is not known here.
    fn holds(&self, known: &Known<'_>) -> Option<bool> {
        match self {
            Self::All(each) => decide(each, known, false),
            Self::Any(each) => decide(each, known, true),
            Self::Const(holds) => Some(*holds),
            Self::Has(fact) => Some(known.value(*fact).is_some()),
            Self::HasAny(fact, words) => {
                known.value(*fact)?;
                Some(words.iter().any(|word| known.holds_word(*fact, word)))
            }
            Self::If(parts) => {
                let [condition, then, other] = &**parts;
                match condition.holds(known) {
                    Some(true) => then.holds(known),
                    Some(false) => other.holds(known),
                    None => then.holds(known).filter(|one| other.holds(known) == Some(*one)),
                }
            }
            Self::InSet(fact, set) => match known.value(*fact)? {
                Value::Country(country) => Some(known.countries.are_in(country, set)),
                Value::Number(_) | Value::Text(_) | Value::Texts => None,
            },
            Self::Is(thing, name) => Some(known.is(*thing, name)),
            Self::Not(inner) => inner.holds(known).map(|holds| !holds),
            Self::OneOf(fact, words) => match known.value(*fact)? {
                Value::Country(country) => Some(words.iter().any(|word| &**word == country.code())),
                Value::Text(text) => Some(words.iter().any(|word| &**word == text)),
                Value::Number(_) | Value::Texts => None,
            },
            Self::Orders(fact, number, holds) => match known.value(*fact)? {
                Value::Number(value) => Some(holds.contains(&value.cmp(number))),
                Value::Country(_) | Value::Text(_) | Value::Texts => None,
            },
            Self::Unknown => None,
        }
    }
}

/// `decisive` if one part is that; its opposite if all are; else unknown.
fn decide(parts: &[Node], known: &Known<'_>, decisive: bool) -> Option<bool> {
    let mut all_known = true;
    for part in parts {
        match part.holds(known) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!decisive)
}

// === impl Known ===

impl<'a> Known<'a> {
    pub(crate) fn new(facts: &'a Facts, countries: &'a Countries) -> Self {
        Self {
            action: facts.action,
            channel: &facts.channel,
            countries,
            end_use: facts.end_use.as_deref(),
            model: &facts.model,
            party: &facts.party,
            region: facts.region.as_deref(),
            region_country: facts.channel.country_at(facts.region.as_deref()),
            training_eflop: facts.model.training_eflop(),
        }
    }

    /// A fact as entities have it; `None` where it is missing.
    fn value(&self, fact: Attribute) -> Option<Value<'a>> {
        let country = |code: &'a Option<Country>| code.as_ref().map(Value::Country);
        let text = |text: &'a Option<Arc<str>>| text.as_deref().map(Value::Text);
        let (party, channel, model) = (self.party, self.channel, self.model);
        match fact {
            Attribute::CallChannel => Some(Value::Text(&channel.name)),
            Attribute::CallEndUse => self.end_use.map(Value::Text),
            Attribute::CallRegion => self.region.map(Value::Text),
            Attribute::CallRegionCountry => self.region_country.map(Value::Country),
            Attribute::ChannelCloud => channel.cloud().map(Value::Text),
            Attribute::ChannelOperatorJurisdiction => country(&channel.operator_jurisdiction),
            Attribute::ChannelProvider => Some(Value::Text(&channel.provider)),
            Attribute::ChannelRegion => text(&channel.region),
            Attribute::ChannelRegionCountry => country(&channel.region_country),
            Attribute::ModelLab => Some(Value::Text(&model.lab)),
            Attribute::ModelLabJurisdiction => country(&model.lab_jurisdiction),
            Attribute::ModelTrainingEflop => self.training_eflop.map(Value::Number),
            Attribute::ModelWeights => match model.weights {
                Weights::Closed => Some(Value::Text("closed")),
                Weights::Open => Some(Value::Text("open")),
                Weights::Unknown => None,
            },
            Attribute::PartyClass => party.class.map(|class| Value::Text(class.name())),
            Attribute::PartyDataCentre => country(&party.data_centre),
            Attribute::PartyEndUses => party.end_uses.as_ref().map(|_| Value::Texts),
            Attribute::PartyHeadquarters => country(&party.headquarters),
            Attribute::PartyJurisdiction => country(&party.jurisdiction),
            Attribute::PartyKind => party.kind.map(|kind| Value::Text(kind.name())),
            Attribute::PartyLicences | Attribute::PartyStatements => Some(Value::Texts),
            Attribute::PartyListed => party.listed.as_ref().map(|_| Value::Texts),
            Attribute::PartyParentHeadquarters => country(&party.parent_headquarters),
            Attribute::PartyPersonClass => party.person_class.as_ref().map(|_| Value::Texts),
        }
    }

    fn holds_word(&self, fact: Attribute, word: &str) -> bool {
        let set = match fact {
            Attribute::PartyEndUses => self.party.end_uses.as_ref(),
            Attribute::PartyLicences => return self.party.licence_names().any(|name| **name == *word),
            Attribute::PartyListed => self.party.listed.as_ref(),
            Attribute::PartyPersonClass => self.party.person_class.as_ref(),
            Attribute::PartyStatements => Some(&self.party.statements),
            _ => None,
        };
        set.is_some_and(|set| set.contains(word))
    }

    fn is(&self, thing: Thing, name: &str) -> bool {
        match thing {
            Thing::Action => self.action.name() == name,
            Thing::Component => self.channel.components.contains(name),
            Thing::Group => self.party.groups.contains(name),
            Thing::Lab => &*self.model.lab == name,
            Thing::Model => &*self.model.name == name,
        }
    }
}

// === impl Attribute ===

impl Attribute {
    const ALL: [(&'static str, &'static str, Self, Shape); 24] = {
        const CHANNEL: Shape = Shape::Entity("Channel");
        const COUNTRY: Shape = Shape::Entity("Country");
        [
            ("channel", "cloud", Self::ChannelCloud, Shape::Text),
            (
                "channel",
                "operator_jurisdiction",
                Self::ChannelOperatorJurisdiction,
                COUNTRY,
            ),
            ("channel", "provider", Self::ChannelProvider, Shape::Text),
            ("channel", "region", Self::ChannelRegion, Shape::Text),
            ("channel", "region_country", Self::ChannelRegionCountry, COUNTRY),
            ("context", "channel", Self::CallChannel, CHANNEL),
            ("context", "end_use", Self::CallEndUse, Shape::Text),
            ("context", "region", Self::CallRegion, Shape::Text),
            ("context", "region_country", Self::CallRegionCountry, COUNTRY),
            ("principal", "class", Self::PartyClass, Shape::Entity("Class")),
            ("principal", "data_centre", Self::PartyDataCentre, COUNTRY),
            ("principal", "end_uses", Self::PartyEndUses, Shape::Texts),
            ("principal", "headquarters", Self::PartyHeadquarters, COUNTRY),
            ("principal", "jurisdiction", Self::PartyJurisdiction, COUNTRY),
            ("principal", "kind", Self::PartyKind, Shape::Entity("Kind")),
            ("principal", "licences", Self::PartyLicences, Shape::Texts),
            ("principal", "listed", Self::PartyListed, Shape::Texts),
            (
                "principal",
                "parent_headquarters",
                Self::PartyParentHeadquarters,
                COUNTRY,
            ),
            ("principal", "person_class", Self::PartyPersonClass, Shape::Texts),
            ("principal", "statements", Self::PartyStatements, Shape::Texts),
            ("resource", "lab", Self::ModelLab, Shape::Entity("Lab")),
            (
                "resource",
                "lab_jurisdiction",
                Self::ModelLabJurisdiction,
                COUNTRY,
            ),
            (
                "resource",
                "training_eflop",
                Self::ModelTrainingEflop,
                Shape::Number,
            ),
            (
                "resource",
                "weights",
                Self::ModelWeights,
                Shape::Entity("Weights"),
            ),
        ]
    };

    fn find(owner: &str, name: &str) -> Option<Self> {
        let found = Self::ALL
            .iter()
            .find(|(of, known, _, _)| *of == owner && *known == name);
        found.map(|(_, _, fact, _)| *fact)
    }

    fn shape(self) -> Shape {
        let found = Self::ALL.iter().find(|(_, _, fact, _)| *fact == self);
        // The table has every attribute, as a test makes sure; a number compares with no word.
        found.map_or(Shape::Number, |(_, _, _, shape)| *shape)
    }
}

#[cfg(test)]
mod tests;

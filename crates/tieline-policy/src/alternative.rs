//! Values of facts, and what follows when evidence asserts two: the worlds in which a party may be.
//!
//! Most facts have no order of strictness (no country is stricter than another), so a contradicted fact keeps every value
//! that is asserted: one in its own field, the others in [`PartyFacts::also`]. Every combination is a world; each is
//! judged, and the strictest verdict wins. Up to [`WORLDS_MAX`] worlds, one more value can therefore only make a verdict
//! stricter. Beyond, the call is never allowed: the fields as they stand are judged (so that what stands in them and
//! forbids still does), then the same without any contradicted fact, and the engine holds at least.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;

use crate::country::Country;
use crate::facts::{Class, FactName, PartyFacts};
use crate::names::Names;

/// Worlds that one verdict judges: three facts in doubt between two values, or one between eight. A verdict that costs
/// 20 µs then costs 160 µs, and only for a party whose evidence is contradictory.
pub const WORLDS_MAX: usize = 8;

/// Alternatives that a resolved party keeps. Eight of them are at least nine worlds, which is beyond [`WORLDS_MAX`]
/// already; more would be memory (some 60 bytes each) that changes nothing.
pub const ALTERNATIVES_MAX: usize = 8;

/// A fact with its value, as evidence asserts it: `{"jurisdiction":"DE"}`, `{"statement":"end-use"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactValue {
    Class(Class),
    DataCentre(Country),
    EndUses(Names),
    Headquarters(Country),
    Jurisdiction(Country),
    /// The id of a licence that is held.
    Licence(Arc<str>),
    Listed(Names),
    ParentHeadquarters(Country),
    PersonClass(Names),
    /// The kind of a statement that is in force.
    Statement(Arc<str>),
}

/// One more value that evidence asserts of a fact, and when that ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Tick>,
    pub value: FactValue,
}

/// What may be true of a party, without alternatives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Worlds {
    /// More than [`WORLDS_MAX`] would have to be judged: no verdict may allow.
    pub(crate) are_too_many: bool,
    pub(crate) each: BTreeSet<PartyFacts>,
}

impl FactValue {
    /// The fact that this is a value of.
    pub fn fact(&self) -> FactName {
        match self {
            Self::Class(_) => FactName::Class,
            Self::DataCentre(_) => FactName::DataCentre,
            Self::EndUses(_) => FactName::EndUses,
            Self::Headquarters(_) => FactName::Headquarters,
            Self::Jurisdiction(_) => FactName::Jurisdiction,
            Self::Licence(id) => FactName::Licence(id.clone()),
            Self::Listed(_) => FactName::Listed,
            Self::ParentHeadquarters(_) => FactName::ParentHeadquarters,
            Self::PersonClass(_) => FactName::PersonClass,
            Self::Statement(kind) => FactName::Statement(kind.clone()),
        }
    }

    /// Bytes of its text, for the bounds on what is kept of a party.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Class(class) => class.name().len(),
            Self::DataCentre(code)
            | Self::Headquarters(code)
            | Self::Jurisdiction(code)
            | Self::ParentHeadquarters(code) => code.code().len(),
            Self::EndUses(names) | Self::Listed(names) | Self::PersonClass(names) => {
                names.iter().map(|name| name.len()).sum()
            }
            Self::Licence(name) | Self::Statement(name) => name.len(),
        }
    }
}

impl PartyFacts {
    /// Makes a value the fact's only one in its field; a licence or statement is added to those there are.
    pub fn set(&mut self, value: FactValue) {
        match value {
            FactValue::Class(class) => self.class = Some(class),
            FactValue::DataCentre(code) => self.data_centre = Some(code),
            FactValue::EndUses(names) => self.end_uses = Some(names.into()),
            FactValue::Headquarters(code) => self.headquarters = Some(code),
            FactValue::Jurisdiction(code) => self.jurisdiction = Some(code),
            FactValue::Licence(id) => drop(self.licences.insert(id)),
            FactValue::Listed(names) => self.listed = Some(names.into()),
            FactValue::ParentHeadquarters(code) => self.parent_headquarters = Some(code),
            FactValue::PersonClass(names) => self.person_class = Some(names.into()),
            FactValue::Statement(kind) => drop(self.statements.insert(kind)),
        }
    }

    /// Every combination of the values that are asserted at `now`.
    pub(crate) fn worlds(&self, now: Tick) -> Worlds {
        let mut base = self.at(now);
        let mut by_fact: BTreeMap<FactName, Vec<FactValue>> = BTreeMap::new();
        for other in std::mem::take(&mut base.also) {
            by_fact.entry(other.value.fact()).or_default().push(other.value);
        }
        base.expires.clear();
        let mut each = BTreeSet::from([base.clone()]);
        for values in by_fact.values() {
            let varied = |world: &PartyFacts| {
                let with = |value: &FactValue| {
                    let mut world = world.clone();
                    world.set(value.clone());
                    world
                };
                values.iter().map(with).collect::<Vec<_>>()
            };
            let more: Vec<PartyFacts> = each.iter().flat_map(varied).collect();
            each.extend(more);
            if each.len() > WORLDS_MAX {
                let mut without = base.clone();
                for name in by_fact.keys() {
                    without.forget(name);
                }
                return Worlds {
                    are_too_many: true,
                    each: BTreeSet::from([base, without]),
                };
            }
        }
        Worlds {
            are_too_many: false,
            each,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> PartyFacts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_combination_is_a_world_until_its_value_ends() {
        let text = r#"{"also":[{"value":{"class":"agency"}},{"expires":100,"value":{"jurisdiction":"CN"}}],
            "class":"startup","expires":{"class":200},"jurisdiction":"DE"}"#;
        let both = facts(text);
        let each = |now| both.worlds(Tick(now)).each;
        assert_eq!(each(0).len(), 4);
        let expected = [
            facts(r#"{"class":"agency","jurisdiction":"DE"}"#),
            facts(r#"{"class":"startup","jurisdiction":"DE"}"#),
        ];
        assert_eq!(each(100), BTreeSet::from(expected));
        // The other value is left when the first ends: the fact is not missing.
        assert_eq!(
            each(200),
            BTreeSet::from([facts(r#"{"class":"agency","jurisdiction":"DE"}"#)])
        );
        assert_eq!(
            both.expiries_around(Tick(150)),
            (Some(Tick(100)), Some(Tick(200)))
        );
        assert_eq!(
            serde_json::to_string(&both).unwrap(),
            text.replace(['\n', ' '], "")
        );
    }

    #[test]
    fn too_many_worlds_are_two_that_cannot_be_allowed() {
        let codes = ["BY", "CN", "CU", "FR", "IR", "KP", "RU", "SY"];
        let mut many = facts(r#"{"class":"agency","jurisdiction":"DE"}"#);
        for code in codes {
            let value = FactValue::Jurisdiction(Country::parse(code).unwrap());
            many.also.insert(Alternative { expires: None, value });
            let worlds = many.worlds(Tick(0));
            assert_eq!(worlds.are_too_many, many.also.len() == 8);
            let expected = if worlds.are_too_many {
                2
            } else {
                many.also.len() + 1
            };
            assert_eq!(worlds.each.len(), expected);
        }
        assert!(
            many.worlds(Tick(0))
                .each
                .contains(&facts(r#"{"class":"agency"}"#))
        );
    }

    #[test]
    fn a_forgotten_fact_has_no_alternatives() {
        let mut both = facts(r#"{"also":[{"value":{"jurisdiction":"CN"}}],"jurisdiction":"DE"}"#);
        both.forget(&FactName::Jurisdiction);
        assert_eq!(both, PartyFacts::default());
    }
}

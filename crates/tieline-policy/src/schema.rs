//! The one Cedar schema: what a rule may read, and what it may name. Packs are validated against it in strict mode, so a
//! misspelt attribute, an unguarded optional fact or an unknown class is an error when a pack is read, never at a call.

use std::str::FromStr;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema, Validator};

/// The schema's text, for people who write packs.
pub const SCHEMA_TEXT: &str = include_str!("schema.cedarschema");

/// The entity types that code builds entities of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    Action,
    Channel,
    Class,
    Component,
    Country,
    CountryGroup,
    Group,
    Kind,
    Lab,
    Model,
    Party,
    Weights,
}

/// The validator over [`SCHEMA_TEXT`].
pub(crate) fn validator() -> &'static Validator {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        #[expect(
            clippy::expect_used,
            reason = "the text is embedded, and a test below reads it"
        )]
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA_TEXT).expect("the embedded schema is sound");
        Validator::new(schema)
    });
    &VALIDATOR
}

/// Whether anything has an attribute of this name. Cedar takes `has` with another name as false, which hides a misspelt
/// one beside an `||`.
pub(crate) fn is_attribute(name: &str) -> bool {
    let declares = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with("?:"))
    };
    SCHEMA_TEXT.lines().any(declares)
}

/// `Type::"id"`, without parsing.
pub(crate) fn uid(of: Type, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.type_name(), EntityId::new(id))
}

impl Type {
    /// In the order of the enum, so that a discriminant indexes it.
    pub(crate) const ALL: [Self; 12] = [
        Self::Action,
        Self::Channel,
        Self::Class,
        Self::Component,
        Self::Country,
        Self::CountryGroup,
        Self::Group,
        Self::Kind,
        Self::Lab,
        Self::Model,
        Self::Party,
        Self::Weights,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Action => "Action",
            Self::Channel => "Channel",
            Self::Class => "Class",
            Self::Component => "Component",
            Self::Country => "Country",
            Self::CountryGroup => "CountryGroup",
            Self::Group => "Group",
            Self::Kind => "Kind",
            Self::Lab => "Lab",
            Self::Model => "Model",
            Self::Party => "Party",
            Self::Weights => "Weights",
        }
    }

    /// Cedar parses a type name from text; each is parsed once and shared.
    fn type_name(self) -> EntityTypeName {
        static NAMES: LazyLock<Vec<EntityTypeName>> = LazyLock::new(|| {
            Type::ALL
                .iter()
                .filter_map(|t| EntityTypeName::from_str(t.name()).ok())
                .collect()
        });
        #[expect(clippy::expect_used, reason = "a test parses every name of the enum above")]
        NAMES
            .get(self as usize)
            .expect("every type name is an identifier")
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_schema_is_sound() {
        assert_eq!(validator().schema().actions().count(), 1);
    }

    #[test]
    fn attributes_are_those_that_are_declared() {
        for name in [
            "jurisdiction",
            "licences",
            "lab",
            "training_eflop",
            "end_use",
            "region_country",
        ] {
            assert!(is_attribute(name), "{name}");
        }
        for name in ["", "jurisdicton", "entity", "has", "Country"] {
            assert!(!is_attribute(name), "{name}");
        }
    }

    #[test]
    fn every_type_has_its_own_name() {
        for of in Type::ALL {
            assert_eq!(uid(of, "x").type_name().to_string(), of.name());
        }
    }
}

//! Schemas of the policy library's types about parties: that library knows no JSON Schema, and tests hold both to the
//! same members.
#![expect(dead_code, reason = "only the schemas are used")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// A party as it is recorded.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PartyRecord")]
pub(crate) struct RecordSchema {
    evidence: Option<Vec<EvidenceSchema>>,
    /// The operator's lists on which it stands.
    groups: Option<Vec<String>>,
    /// Opaque.
    id: String,
    kind: KindSchema,
    /// Who owns it; only an organisation has owners.
    owners: Option<Vec<ShareSchema>>,
    /// The party above it.
    parent: Option<String>,
}

/// What somebody asserted about a party.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Evidence")]
pub(crate) struct EvidenceSchema {
    /// SHA-256 of the document that it was read from.
    digest: Option<String>,
    /// µs UTC; from this instant on it asserts nothing.
    expires: Option<u64>,
    /// Who asserts it.
    issuer: String,
    kind: EvidenceKindSchema,
    /// µs UTC.
    obtained: u64,
    value: FactValueSchema,
}

/// One member, named after the fact: `{"jurisdiction":"DE"}`, `{"statement":"end-use"}`.
#[derive(JsonSchema)]
#[schemars(rename = "FactValue")]
pub(crate) struct FactValueSchema(BTreeMap<String, serde_json::Value>);

/// A share in an organisation.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Share")]
pub(crate) struct ShareSchema {
    /// A party, or an entity that is none.
    owner: String,
    /// 0 to 1,000; absent for a share of unknown size.
    permille: Option<u16>,
}

/// Kinds of parties.
#[derive(JsonSchema)]
#[schemars(rename = "Kind", rename_all = "snake_case")]
pub(crate) enum KindSchema {
    Organisation,
    Person,
    Service,
    Unit,
}

/// Kinds of evidence, from weak to strong.
#[derive(JsonSchema)]
#[schemars(rename = "EvidenceKind", rename_all = "snake_case")]
pub(crate) enum EvidenceKindSchema {
    SelfDeclared,
    GeoIp,
    Registration,
    PaymentCountry,
    WorkloadIdentity,
    SignedStatement,
    EmployerAssertion,
    ProofedIdentity,
    SignedLicence,
}

/// Evidence about one fact that disagrees.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "RedFlag")]
pub(crate) struct RedFlagSchema {
    fact: String,
    /// Everyone who asserts one of the values, weakest first.
    from: Vec<OriginSchema>,
    values: Vec<FactValueSchema>,
}

/// Where a value comes from.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Origin")]
struct OriginSchema {
    issuer: String,
    kind: EvidenceKindSchema,
    /// The party whose record holds it.
    party: String,
    value: FactValueSchema,
}

#[cfg(test)]
mod tests {
    use tieline_policy::{Evidence, EvidenceKind, Kind, Origin, PartyRecord, RedFlag, Share};

    use super::super::openapi::tests::{fields, properties};
    use super::*;

    #[test]
    fn schemas_have_the_members_of_their_types() {
        assert_eq!(properties::<RecordSchema>(), fields::<PartyRecord>());
        assert_eq!(properties::<EvidenceSchema>(), fields::<Evidence>());
        assert_eq!(properties::<ShareSchema>(), fields::<Share>());
        assert_eq!(properties::<RedFlagSchema>(), fields::<RedFlag>());
        assert_eq!(properties::<OriginSchema>(), fields::<Origin>());
    }

    #[test]
    fn schemas_have_the_words_of_their_types() {
        let kinds = schemars::schema_for!(KindSchema).to_value().to_string();
        for kind in Kind::ALL {
            assert!(kinds.contains(&format!("\"{}\"", kind.name())), "{kinds}");
        }
        let kinds = schemars::schema_for!(EvidenceKindSchema).to_value().to_string();
        for kind in EvidenceKind::ALL {
            assert!(kinds.contains(&format!("\"{}\"", kind.name())), "{kinds}");
        }
    }
}

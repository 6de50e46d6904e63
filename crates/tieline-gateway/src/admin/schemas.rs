//! Schemas of types about parties and receipts that stand in libraries below: these know no JSON Schema, and tests hold
//! both to the same members.
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

/// What a test of a pool or a drill came to.
#[derive(JsonSchema)]
#[schemars(tag = "kind", rename = "Receipt", rename_all = "snake_case")]
pub(crate) enum ReceiptSchema {
    Drill(DrillSchema),
    PoolTest(PoolTestSchema),
}

/// A drill: the same inputs give the same result. Digests are SHA-256 in hexadecimal.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "DrillReceipt")]
pub(crate) struct DrillSchema {
    /// Its options by name; a file by its digest.
    arguments: Option<BTreeMap<String, String>>,
    /// The id of the admin key that recorded it.
    by: Option<String>,
    /// Such as `n-1`.
    command: String,
    engine: EngineSchema,
    /// Of the canonical grid record; absent for a replay.
    grid: Option<String>,
    ledger: Option<LedgerCitedSchema>,
    policy: Option<PolicyCitedSchema>,
    /// Of the report's canonical JSON.
    result: String,
    scenario: Option<String>,
    /// A decimal number of 64 bits.
    seed: Option<String>,
    traffic: Option<TrafficCitedSchema>,
}

/// The code that ran.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "EngineCited")]
pub(crate) struct EngineSchema {
    /// Of the source that decides and drills.
    digest: String,
    version: String,
}

/// The first entries of a ledger.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "LedgerCited")]
pub(crate) struct LedgerCitedSchema {
    entries: u64,
    /// The Merkle root over them.
    root: String,
}

/// The rules that were asked.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PolicyCited")]
pub(crate) struct PolicyCitedSchema {
    directives: Option<String>,
    epoch: String,
    packs: Vec<String>,
}

/// The calls that were decided.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "TrafficCited")]
pub(crate) struct TrafficCitedSchema {
    basis: BasisSchema,
    digest: String,
}

/// Where calls come from.
#[derive(JsonSchema)]
#[schemars(rename = "TrafficBasis", rename_all = "snake_case")]
pub(crate) enum BasisSchema {
    Ledger,
    Structure,
    Trace,
}

/// Cases that a model of a pool met or did not.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PoolTestReceipt")]
pub(crate) struct PoolTestSchema {
    /// The id of the admin key that recorded it.
    by: Option<String>,
    /// SHA-256 of the canonical JSON of the cases.
    cases: String,
    /// The channels that answered.
    channels: Vec<String>,
    /// Names of the cases that it failed.
    failed: Vec<String>,
    /// SHA-256 of the grid in force.
    grid: String,
    /// Models that judged answers.
    judges: Option<Vec<String>>,
    model: String,
    passed: u32,
    pool: String,
    /// `passed`, and as many as `failed` has.
    total: u32,
}

#[cfg(test)]
mod tests {
    use tieline_core::receipt::{
        DrillReceipt, EngineCited, LedgerCited, PolicyCited, PoolTestReceipt, TrafficBasis, TrafficCited,
    };
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
        assert_eq!(properties::<DrillSchema>(), fields::<DrillReceipt>());
        assert_eq!(properties::<EngineSchema>(), fields::<EngineCited>());
        assert_eq!(properties::<LedgerCitedSchema>(), fields::<LedgerCited>());
        assert_eq!(properties::<PolicyCitedSchema>(), fields::<PolicyCited>());
        assert_eq!(properties::<PoolTestSchema>(), fields::<PoolTestReceipt>());
        assert_eq!(properties::<TrafficCitedSchema>(), fields::<TrafficCited>());
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
        let bases = schemars::schema_for!(BasisSchema).to_value().to_string();
        for basis in [TrafficBasis::Ledger, TrafficBasis::Structure, TrafficBasis::Trace] {
            let word = serde_json::to_string(&basis).unwrap();
            assert!(bases.contains(&word), "{bases}");
        }
    }
}

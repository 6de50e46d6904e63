//! Evidence: what somebody asserted about a party, who, when, until when, and how strong it is.
//!
//! The ladder orders kinds of evidence, weakest first. Strength decides which of two contradictory values is shown as the
//! fact; it never silences the other, since the most restrictive wins whatever asserts it ([`crate::Registry`] says how).
//! Facts that only ever open doors have a least kind, below which evidence is refused: a party cannot declare itself
//! licensed. The ladder follows the order of practice in identity proofing (NIST SP 800-63A for proofed identities).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_note::Digest;

use crate::alternative::FactValue;

/// Kinds of evidence, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// The party says so, and nothing else does.
    SelfDeclared,
    /// The address that calls came from.
    GeoIp,
    /// A register of companies, or a legal entity identifier (ISO 17442).
    Registration,
    /// Where the party's bills are paid.
    PaymentCountry,
    /// A workload's certificate (mutual TLS, SPIFFE) that is mapped to an organisation.
    WorkloadIdentity,
    /// A signed end-use statement.
    SignedStatement,
    /// A claim by the identity provider of the party's employer.
    EmployerAssertion,
    /// A claim about a person whose identity was proofed at IAL2 or above.
    ProofedIdentity,
    /// A signed licence, or the scope of a directive.
    SignedLicence,
}

/// One assertion about a party. At most 104 bytes beside its texts, which parties share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// SHA-256 of the document, token or record that it was read from, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// From this instant on it asserts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Tick>,
    /// Who asserts it.
    pub issuer: Arc<str>,
    pub kind: EvidenceKind,
    pub obtained: Tick,
    pub value: FactValue,
}

impl EvidenceKind {
    /// From weak to strong.
    pub const ALL: [Self; 9] = [
        Self::SelfDeclared,
        Self::GeoIp,
        Self::Registration,
        Self::PaymentCountry,
        Self::WorkloadIdentity,
        Self::SignedStatement,
        Self::EmployerAssertion,
        Self::ProofedIdentity,
        Self::SignedLicence,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SelfDeclared => "self_declared",
            Self::GeoIp => "geo_ip",
            Self::Registration => "registration",
            Self::PaymentCountry => "payment_country",
            Self::WorkloadIdentity => "workload_identity",
            Self::SignedStatement => "signed_statement",
            Self::EmployerAssertion => "employer_assertion",
            Self::ProofedIdentity => "proofed_identity",
            Self::SignedLicence => "signed_licence",
        }
    }

    /// Whether it is a hint that cannot replace what an ancestor's evidence says of a place.
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::SelfDeclared | Self::GeoIp)
    }
}

impl FactValue {
    /// The weakest kind of evidence that establishes such a fact.
    pub const fn kind_min(&self) -> EvidenceKind {
        match self {
            Self::Licence(_) => EvidenceKind::SignedLicence,
            Self::Statement(_) => EvidenceKind::SignedStatement,
            // A class of nationality is for an employer to assert, so that nobody has to keep nationalities.
            Self::PersonClass(_) => EvidenceKind::EmployerAssertion,
            Self::Class(_)
            | Self::DataCentre(_)
            | Self::EndUses(_)
            | Self::Headquarters(_)
            | Self::Jurisdiction(_)
            | Self::Listed(_)
            | Self::ParentHeadquarters(_) => EvidenceKind::SelfDeclared,
        }
    }
}

impl Evidence {
    /// Whether it asserts its value at `now`.
    pub fn holds(&self, now: Tick) -> bool {
        self.expires.is_none_or(|at| at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_is_in_order_and_every_rung_has_its_word() {
        assert!(EvidenceKind::ALL.is_sorted());
        for kind in EvidenceKind::ALL {
            let text = format!("\"{}\"", kind.name());
            assert_eq!(serde_json::from_str::<EvidenceKind>(&text).unwrap(), kind);
            assert_eq!(kind.is_weak(), kind < EvidenceKind::Registration);
        }
    }

    #[test]
    fn evidence_stays_within_what_a_party_may_take() {
        assert!(size_of::<Evidence>() <= 104, "{}", size_of::<Evidence>());
    }
}

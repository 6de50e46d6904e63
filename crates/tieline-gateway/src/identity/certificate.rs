//! A workload's certificate: what a connection's verified client certificate says, and what the operator has it assert.
//!
//! Who signed it was settled in the handshake. Here its names are compared with the operator's patterns: a SPIFFE id (the
//! only URI of the certificate, as X.509-SVID wants), or a DNS name. Every pattern that matches asserts its facts, until
//! the certificate expires; a certificate that matches none asserts nothing. Its subject is never read.
//! Bounds: [`NAMES_MAX`].

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Tick;
use tieline_note::{Digest, sha256};
use tieline_policy::{Evidence, EvidenceKind, FactValue};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::claims::ClaimFact;

/// Names of a certificate: a server of many names has a hundred, a workload one or two.
const NAMES_MAX: usize = 128;

/// What certificates with certain names assert, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// Values by fact, each of [`ClaimFact::suits_workload`].
    pub facts: Vec<(ClaimFact, Vec<String>)>,
    /// What the operator calls it; evidence names it as its issuer.
    pub name: String,
    pub names: NamePattern,
    /// The parties with whose keys, and with those of whom below, the certificate may come; empty for any.
    pub parties: BTreeSet<Arc<str>>,
}

/// Which names a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// A name, or `*.` and the rest of one: any one label.
    Dns(String),
    /// A SPIFFE id, or the beginning of ids, which ends in `/*`.
    Spiffe(String),
}

/// The verified certificate of a connection.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    pub(super) digest: Digest,
    dns: Vec<String>,
    /// From this instant on it asserts nothing.
    pub(super) expires: Tick,
    issued: Tick,
    spiffe: Option<String>,
}

/// A rule with the values of its facts.
#[derive(Debug)]
pub(super) struct Rule {
    facts: Vec<FactValue>,
    issuer: Arc<str>,
    names: NamePattern,
    pub(super) parties: BTreeSet<Arc<str>>,
}

impl NamePattern {
    /// What is wrong with a pattern, if anything is.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Dns(pattern) => {
                let name = pattern.strip_prefix("*.").unwrap_or(pattern);
                let is_label = |label: &str| {
                    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
                    (1..=63).contains(&label.len()) && label.bytes().all(fits)
                };
                let is_name = name.len() <= 253 && name.split('.').all(is_label);
                // One label would be every name of a top-level domain.
                let is_wide = pattern.len() != name.len() && !name.contains('.');
                if is_name && !is_wide {
                    Ok(())
                } else {
                    Err("wants a DNS name, perhaps with `*.` before at least two labels")
                }
            }
            Self::Spiffe(pattern) => {
                let id = pattern.strip_suffix("/*").unwrap_or(pattern);
                let is_id = is_spiffe_id(id) && (id.len() == pattern.len() || pattern.ends_with("/*"));
                if is_id {
                    Ok(())
                } else {
                    Err("wants `spiffe://TRUST-DOMAIN/PATH`, perhaps with `/*` at the end")
                }
            }
        }
    }

    fn matches(&self, certificate: &ClientCertificate) -> bool {
        match self {
            Self::Dns(pattern) => certificate.dns.iter().any(|name| is_dns(pattern, name)),
            Self::Spiffe(pattern) => certificate.spiffe.as_ref().is_some_and(|id| {
                pattern.strip_suffix('*').map_or(id == pattern, |begin| {
                    id.strip_prefix(begin).is_some_and(|rest| !rest.is_empty())
                })
            }),
        }
    }
}

impl Rule {
    pub(super) fn new(settings: CertificateRule) -> Result<Self, String> {
        let named = |why: &str| format!("the certificates `{}`: {why}", settings.name);
        settings.names.check().map_err(named)?;
        let mut facts = Vec::new();
        for (fact, codes) in &settings.facts {
            let codes = codes.iter().map(String::as_str).collect();
            let values = fact.values(&codes).filter(|_| fact.suits_workload());
            facts.extend(values.ok_or_else(|| named(&format!("no value of the fact `{}`", fact.name())))?);
        }
        Ok(Self {
            facts,
            issuer: format!("certificate:{}", settings.name).into(),
            names: settings.names,
            parties: settings.parties,
        })
    }

    pub(super) fn matches(&self, certificate: &ClientCertificate) -> bool {
        self.names.matches(certificate)
    }

    pub(super) fn evidence<'a>(
        &'a self,
        certificate: &'a ClientCertificate,
    ) -> impl Iterator<Item = Evidence> + 'a {
        self.facts.iter().map(|value| Evidence {
            digest: Some(certificate.digest),
            expires: Some(certificate.expires),
            issuer: self.issuer.clone(),
            kind: EvidenceKind::WorkloadIdentity,
            obtained: certificate.issued,
            value: value.clone(),
        })
    }
}

impl ClientCertificate {
    /// A certificate in DER form; none if it cannot be read, or has too many names.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let found = certificate.get_extension::<SubjectAltName>().ok()?;
        let names = found.map_or_else(Vec::new, |(_, names)| names.0);
        if names.len() > NAMES_MAX {
            return None;
        }
        let (mut dns, mut uris) = (Vec::new(), Vec::new());
        for name in &names {
            match name {
                GeneralName::DnsName(name) => dns.push(name.as_str().to_ascii_lowercase()),
                GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.as_str().to_owned()),
                _ => {}
            }
        }
        let spiffe = match uris.as_slice() {
            [id] if is_spiffe_id(id) => Some(id.clone()),
            _ => None,
        };
        let validity = certificate.validity();
        Some(Self {
            digest: sha256(der),
            dns,
            // The last second is whole.
            expires: tick(validity.not_after)?.plus(tieline_core::Span::from_s(1)),
            issued: tick(validity.not_before)?,
            spiffe,
        })
    }
}

fn tick(time: Time) -> Option<Tick> {
    time.to_unix_duration().as_secs().checked_mul(1_000_000).map(Tick)
}

/// A trust domain and perhaps a path of segments that mean themselves (SPIFFE-ID, 2).
fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else {
        return false;
    };
    let (domain, path) = rest.find('/').map_or((rest, None), |at| {
        let (domain, path) = rest.split_at(at);
        (domain, path.strip_prefix('/'))
    });
    let is_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let is_segment = |segment: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(fits)
    };
    text.len() <= 2_048
        && (1..=255).contains(&domain.len())
        && domain.bytes().all(is_domain)
        && path.is_none_or(|path| path.split('/').all(is_segment))
}

fn is_dns(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(pattern),
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(label, above)| !label.is_empty() && above.eq_ignore_ascii_case(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &NamePattern, uris: &str, dns: &[&str], expected: bool) {
        assert_eq!(pattern.check(), Ok(()));
        let certificate = ClientCertificate {
            digest: sha256(b""),
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            expires: Tick(1),
            issued: Tick(0),
            spiffe: is_spiffe_id(uris).then(|| uris.to_owned()),
        };
        assert_eq!(
            pattern.matches(&certificate),
            expected,
            "{pattern:?} {uris} {dns:?}"
        );
    }

    #[test]
    fn a_spiffe_pattern_is_an_id_or_what_is_below_one() {
        let below = NamePattern::Spiffe("spiffe://acme.example/ns/*".into());
        check(&below, "spiffe://acme.example/ns/batch", &[], true);
        check(&below, "spiffe://acme.example/ns/batch/sa/x", &[], true);
        for other in [
            "spiffe://acme.example/ns",
            "spiffe://acme.example/ns/",
            "spiffe://acme.example/nsx/batch",
            "spiffe://acme.example/ns/../admin",
            "spiffe://acme.example/ns/%2e%2e/admin",
            "spiffe://acme.example.evil/ns/batch",
            "https://acme.example/ns/batch",
            "",
        ] {
            check(&below, other, &["acme.example"], false);
        }
        let one = NamePattern::Spiffe("spiffe://acme.example/ns/batch".into());
        check(&one, "spiffe://acme.example/ns/batch", &[], true);
        check(&one, "spiffe://acme.example/ns/batch/sa", &[], false);
    }

    #[test]
    fn a_dns_pattern_is_a_name_or_any_one_label_below() {
        let below = NamePattern::Dns("*.batch.acme.example".into());
        check(&below, "", &["a.batch.acme.example"], true);
        check(&below, "", &["x.example", "A.Batch.acme.example"], true);
        check(&below, "", &["batch.acme.example"], false);
        check(&below, "", &["a.b.batch.acme.example"], false);
        check(&below, "", &["a.batch.acme.example.evil.example"], false);
        let one = NamePattern::Dns("batch.acme.example".into());
        check(&one, "", &["BATCH.acme.example"], true);
        check(&one, "", &["a.batch.acme.example"], false);
    }

    #[test]
    fn patterns_that_say_nothing_or_everything_are_refused() {
        for text in [
            "",
            "spiffe://",
            "spiffe:///ns",
            "spiffe://*",
            "spiffe://A.example/x",
            "spiffe://a/b/",
            "spiffe://a/*/b",
            "https://a/b",
        ] {
            assert!(NamePattern::Spiffe(text.into()).check().is_err(), "{text}");
        }
        for text in [
            "",
            "*",
            "*.",
            "*.example",
            "a..b",
            "a.*.example",
            "a b",
            "*.*.example",
        ] {
            assert!(NamePattern::Dns(text.into()).check().is_err(), "{text}");
        }
    }
}

//! What clients' certificates assert: one pattern each, which names somebody, and values of facts that a workload may
//! have. Bound: [`CERTIFICATES_MAX`].

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_gateway::{CertificateRule, ClaimFact, NamePattern};

use super::value;
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::At;
use crate::raw::shape::{RawCertificate, RawCertificateFacts, RawConfig};

/// Patterns that each call of a connection with a certificate is compared with: 256 × some 20 ns are 5 µs.
const CERTIFICATES_MAX: usize = 256;

pub(super) fn check(raw: &RawConfig, sink: &mut Sink) -> Vec<CertificateRule> {
    let Some(at) = &raw.certificates else {
        return Vec::new();
    };
    let tls = raw.gateway.as_ref().and_then(|at| at.value.tls.as_ref());
    if !tls.is_some_and(|at| at.value.seen.contains(&"client_ca")) {
        sink.push(
            Diagnostic::warning(Code::SettingIdle, "`[certificates]` has no certificate to read")
                .at(at.span, "no client is asked for one")
                .hint("name the authorities that sign them: `client_ca` of `tls` under `[gateway]`"),
        );
    }
    if at.value.iter().count() > CERTIFICATES_MAX {
        sink.push(
            bad(format!("more than {CERTIFICATES_MAX} patterns are named"))
                .at(at.span, "each is compared with each certificate")
                .hint("name wider patterns"),
        );
    }
    let rules = at.value.iter();
    rules.filter_map(|(name, raw)| rule(name, raw, sink)).collect()
}

fn bad(says: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::CertificateBad, says)
}

fn rule(name: &At<String>, raw: &RawCertificate, sink: &mut Sink) -> Option<CertificateRule> {
    let (at, names) = match (&raw.spiffe, &raw.dns) {
        (Some(at), None) => (at, NamePattern::Spiffe(at.value.clone())),
        (None, Some(at)) => (at, NamePattern::Dns(at.value.to_ascii_lowercase())),
        (Some(_), Some(at)) => {
            sink.push(
                bad(format!("`{}` has two patterns", shown(&name.value)))
                    .at(at.span, "`spiffe` is there as well")
                    .hint("give each a table of its own"),
            );
            return None;
        }
        (None, None) => {
            if !raw.seen.iter().any(|key| ["spiffe", "dns"].contains(key)) {
                sink.push(
                    bad(format!("`{}` has no pattern", shown(&name.value)))
                        .at(name.span, "wants `spiffe` or `dns`")
                        .hint("for example `spiffe = \"spiffe://acme.example/ns/*\"`"),
                );
            }
            return None;
        }
    };
    if let Err(why) = names.check() {
        sink.push(bad(format!("`{}` is no pattern of names", shown(&at.value))).at(at.span, why));
    }
    let facts = facts(raw.facts.as_ref().map(|at| &at.value), sink);
    let parties: BTreeSet<Arc<str>> = (raw.parties.iter().flat_map(|at| &at.value))
        .map(|at| Arc::from(at.value.as_str()))
        .collect();
    if facts.is_empty() && parties.is_empty() && raw.facts.is_none() {
        sink.push(
            Diagnostic::warning(
                Code::SettingIdle,
                format!("`{}` asserts nothing and limits nobody", shown(&name.value)),
            )
            .at(name.span, "has no effect")
            .hint("say what its certificates assert: `facts = { jurisdiction = \"DE\" }`"),
        );
    }
    Some(CertificateRule {
        facts,
        name: name.value.clone(),
        names,
        parties,
    })
}

fn facts(raw: Option<&RawCertificateFacts>, sink: &mut Sink) -> Vec<(ClaimFact, Vec<String>)> {
    let Some(raw) = raw else { return Vec::new() };
    let end_uses = raw.end_uses.as_ref().map(|at| at.value.iter().collect());
    let rows = [
        (ClaimFact::Class, raw.class.as_ref().map(|at| vec![at])),
        (ClaimFact::EndUses, end_uses),
        (
            ClaimFact::Jurisdiction,
            raw.jurisdiction.as_ref().map(|at| vec![at]),
        ),
    ];
    let mut out = Vec::new();
    for (fact, values) in rows {
        let Some(values) = values else { continue };
        let place = (Code::CertificateBad, "what the certificate would assert");
        out.push((fact, value::of_fact(fact, values, place, sink)));
    }
    out
}

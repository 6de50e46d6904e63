//! Whose tokens about end users are believed: issuer and audience pinned, keys that can be read, claims that are no
//! person's identity, and maps that lead to values of their facts.

use std::collections::BTreeMap;

use http::HeaderName;
use tieline_gateway::{ClaimFact, Identity, KeyUrl, REFRESH_S, REFRESH_S_MIN};

use super::checked::{ClaimSettings, IssuerSettings, KeySource};
use super::{World, gateway, kind, value};
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::shape::{RawClaimMaps, RawClaims, RawIdentity};
use crate::raw::{At, Entries};

/// The header that carries a token unless another is named.
const HEADER: &str = "x-tieline-identity";

/// A day: a key that an issuer withdraws is believed no longer than that.
const REFRESH_S_MAX: u64 = 86_400;

/// Headers that carry the key, or that the connection itself needs.
const HEADERS_TAKEN: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "transfer-encoding",
    "x-api-key",
];

/// Claims that say who a person is (OpenID Connect Core, 5.1), which no fact may hold.
const IDENTIFYING: [&str; 14] = [
    "address",
    "birthdate",
    "email",
    "family_name",
    "given_name",
    "jti",
    "middle_name",
    "name",
    "nickname",
    "oid",
    "phone_number",
    "preferred_username",
    "sub",
    "upn",
];

pub(super) fn check(
    raw: Option<&At<Entries<RawIdentity>>>,
    world: World<'_>,
    sink: &mut Sink,
) -> Vec<IssuerSettings> {
    let mut out: Vec<IssuerSettings> = Vec::new();
    let mut known: Vec<&At<String>> = Vec::new();
    for (name, raw) in raw.into_iter().flat_map(|at| at.value.iter()) {
        if let Some(issuer) = &raw.issuer {
            match known.iter().find(|other| other.value == issuer.value) {
                Some(other) => sink.push(
                    bad(format!(
                        "the issuer `{}` is described twice",
                        shown(&issuer.value)
                    ))
                    .at(issuer.span, "again here")
                    .also(other.span, "first here"),
                ),
                None => known.push(issuer),
            }
        }
        let settings = IssuerSettings {
            audience: pinned(name, raw, "audience", raw.audience.as_ref(), sink),
            claims: claims(raw, sink),
            header: header(raw.header.as_ref(), sink),
            issuer: pinned(name, raw, "issuer", raw.issuer.as_ref(), sink),
            jwks: key_set(name, raw, world, sink),
            proofed: raw.proofed.as_ref().is_some_and(|at| at.value),
        };
        out.push(settings);
    }
    out
}

fn bad(says: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::IdentityBad, says)
}

/// A text that must be there.
fn pinned(
    name: &At<String>,
    raw: &RawIdentity,
    key: &'static str,
    at: Option<&At<String>>,
    sink: &mut Sink,
) -> String {
    match at {
        Some(at) if at.value.is_empty() => {
            sink.push(bad(format!("`{key}` is empty")).at(at.span, "would pin nothing"));
        }
        Some(at) => return at.value.clone(),
        None if raw.seen.contains(&key) => {}
        None => sink.push(
            Diagnostic::error(
                Code::KeyMissing,
                format!("the issuer `{}` has no `{key}`", shown(&name.value)),
            )
            .at(name.span, format!("wants `{key}`"))
            .hint(
                "`issuer`, `audience` and `jwks` say whose tokens are believed, for whom, and by which keys",
            ),
        ),
    }
    String::new()
}

fn header(at: Option<&At<String>>, sink: &mut Sink) -> String {
    let Some(at) = at else { return HEADER.to_owned() };
    let name = at.value.to_ascii_lowercase();
    let problem = if HeaderName::try_from(name.as_str()).is_err() {
        "no header can have this name"
    } else if HEADERS_TAKEN.contains(&name.as_str()) {
        "this header has another meaning"
    } else {
        return name;
    };
    sink.push(
        bad(format!("`{}` cannot carry tokens", shown(&at.value)))
            .at(at.span, problem)
            .hint(format!("leave it out for `{HEADER}`")),
    );
    name
}

/// A key set that can be used: in a file, which is looked at, or at a URL, which is not asked here.
fn key_set(name: &At<String>, raw: &RawIdentity, world: World<'_>, sink: &mut Sink) -> KeySource {
    let text = pinned(name, raw, "jwks", raw.jwks.as_ref(), sink);
    if text.contains("://") {
        return KeySource::Url(key_url(raw, text, world, sink));
    }
    for (at, key) in [
        (raw.refresh_s.as_ref().map(|at| at.span), "refresh_s"),
        (raw.jwks_ca.as_ref().map(|at| at.span), "jwks_ca"),
    ] {
        if let Some(span) = at {
            sink.push(
                Diagnostic::warning(Code::SettingIdle, format!("`{key}` has no effect on a file"))
                    .at(span, "only a URL is fetched")
                    .hint("a file is read again when it changes"),
            );
        }
    }
    let path = value::path(world.base, &text);
    let Some(at) = raw.jwks.as_ref().filter(|_| !text.is_empty()) else {
        return KeySource::File(path);
    };
    match world.read(&path) {
        Ok(bytes) => {
            if let Err(why) = Identity::check_keys(&bytes) {
                sink.push(bad(format!("the key set `{}` cannot be used", shown(&text))).at(at.span, why));
            }
        }
        Err(error) => sink.push(
            Diagnostic::error(Code::FileUnreadable, format!("`{}` cannot be read", shown(&text)))
                .at(at.span, kind(&error))
                .hint("the path is relative to the folder of this file"),
        ),
    }
    KeySource::File(path)
}

fn key_url(raw: &RawIdentity, url: String, world: World<'_>, sink: &mut Sink) -> KeyUrl {
    if let (Err(why), Some(at)) = (KeyUrl::check(&url), &raw.jwks) {
        let has_secret = url.contains('@');
        let diagnostic = bad("the key set cannot be fetched from this URL")
            .at(at.span, why)
            .hint("for example `https://login.example.org/.well-known/jwks.json`, or the path of a file");
        sink.push(if has_secret {
            diagnostic.secret()
        } else {
            diagnostic
        });
    }
    let refresh_s = value::number(
        raw.refresh_s.as_ref(),
        "refresh_s",
        REFRESH_S,
        REFRESH_S_MIN,
        REFRESH_S_MAX,
        sink,
    );
    KeyUrl {
        ca: gateway::pem(raw.jwks_ca.as_ref(), "CERTIFICATE", "certificate", world, sink),
        refresh_s,
        url,
    }
}

fn claims(raw: &RawIdentity, sink: &mut Sink) -> Vec<ClaimSettings> {
    let (no_claims, no_maps) = (RawClaims::default(), RawClaimMaps::default());
    let claims = raw.claims.as_ref().map_or(&no_claims, |at| &at.value);
    let maps = raw.map.as_ref().map_or(&no_maps, |at| &at.value);
    let rows = [
        (ClaimFact::Class, &claims.class, &maps.class),
        (ClaimFact::EndUses, &claims.end_uses, &maps.end_uses),
        (ClaimFact::Jurisdiction, &claims.jurisdiction, &maps.jurisdiction),
        (ClaimFact::PersonClass, &claims.person_class, &maps.person_class),
    ];
    let mut out = Vec::new();
    for (fact, claim, map) in rows {
        let Some(claim) = claim else {
            if let Some(map) = map {
                sink.push(
                    Diagnostic::warning(
                        Code::SettingIdle,
                        format!("the map of `{}` has no claim", fact.name()),
                    )
                    .at(map.span, "nothing is mapped")
                    .hint(format!(
                        "name the claim: `claims = {{ {} = \"...\" }}`",
                        fact.name()
                    )),
                );
            }
            continue;
        };
        let leaf = claim.value.rsplit('/').next().unwrap_or_default();
        if claim.value.is_empty() || IDENTIFYING.contains(&leaf.to_ascii_lowercase().as_str()) {
            sink.push(
                bad(format!(
                    "the claim `{}` cannot be a fact",
                    shown(&claim.value)
                ))
                .at(claim.span, "says who a person is")
                .hint("facts are classes and codes: name a claim of groups or roles, or have the issuer add one"),
            );
        }
        out.push(ClaimSettings {
            claim: claim.value.clone(),
            fact,
            map: mapped(fact, map.as_ref(), sink),
        });
    }
    out
}

fn mapped(
    fact: ClaimFact,
    map: Option<&At<Entries<Vec<At<String>>>>>,
    sink: &mut Sink,
) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    for (from, to) in map.into_iter().flat_map(|at| at.value.iter()) {
        let place = (Code::IdentityBad, "what the claim would stand for");
        let values = value::of_fact(fact, to, place, sink);
        out.insert(from.value.clone(), values);
    }
    out
}

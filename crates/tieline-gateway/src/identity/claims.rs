//! From the claims of a token to evidence: the operator names the claim of each fact, and what its values stand for.
//!
//! A claim that is absent asserts nothing. A value that cannot be read as a place or a class refuses the token, for what is
//! unknown must not leave a more favourable fact standing. Of classes of persons and end uses, values that the operator did
//! not map are nobody's fact. Only codes become facts: no address of mail and no name passes.
//! Bounds: [`VALUES_MAX`] values of a claim, [`CODES_MAX`] of a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tieline_policy::{Class, Country, FactValue, Names};

use super::token::TokenFault;

/// A fact, and the claim that asserts it.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    /// The name of a claim, or a JSON Pointer (RFC 6901), which begins with `/`.
    pub claim: String,
    pub fact: ClaimFact,
    /// What values of the claim stand for; empty for values that are the fact's own.
    pub map: BTreeMap<String, Vec<String>>,
}

/// The facts that a token may assert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimFact {
    Class,
    EndUses,
    Jurisdiction,
    PersonClass,
}

/// Values of one claim: the groups of an employee in a large directory.
const VALUES_MAX: usize = 256;

/// Codes of one fact, and bytes of one. Every pack that ships knows fewer than sixteen.
const CODES_MAX: usize = 16;
const CODE_BYTES_MAX: usize = 64;

impl ClaimFact {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::EndUses => "end_uses",
            Self::Jurisdiction => "jurisdiction",
            Self::PersonClass => "person_class",
        }
    }
}

impl ClaimRule {
    /// The values of the fact that a token asserts.
    pub(super) fn values(&self, claims: &Value) -> Result<Vec<FactValue>, TokenFault> {
        let fault = TokenFault::Claim(self.fact.name());
        let claim = if self.claim.starts_with('/') {
            claims.pointer(&self.claim)
        } else {
            claims.get(&self.claim)
        };
        let texts = texts(claim).ok_or(fault)?;
        let is_set = matches!(self.fact, ClaimFact::EndUses | ClaimFact::PersonClass);
        let mut codes: BTreeSet<&str> = BTreeSet::new();
        for text in texts {
            match self.map.get(text) {
                Some(mapped) => codes.extend(mapped.iter().map(String::as_str)),
                None if is_set && !self.map.is_empty() => {}
                None => drop(codes.insert(text)),
            }
        }
        if codes.len() > CODES_MAX {
            return Err(fault);
        }
        self.fact.values(&codes).ok_or(fault)
    }
}

impl ClaimFact {
    /// Whether a workload's certificate may assert it: of persons, only their employer asserts classes.
    pub const fn suits_workload(self) -> bool {
        !matches!(self, Self::PersonClass)
    }

    /// Whether a code can be a value of the fact.
    pub fn takes(self, code: &str) -> bool {
        self.values(&BTreeSet::from([code])).is_some()
    }

    /// Codes as values of the fact; none if one of them is none.
    pub(super) fn values(self, codes: &BTreeSet<&str>) -> Option<Vec<FactValue>> {
        let set = || -> Option<Names> {
            codes
                .iter()
                .map(|code| is_code(code).then(|| Arc::from(*code)))
                .collect()
        };
        let one = |code: &&str| match self {
            // Whoever calls with the key of an organisation is no consumer, to whom fewer rules apply.
            Self::Class => Class::ALL
                .into_iter()
                .filter(|class| *class != Class::Consumer)
                .find(|class| class.name() == *code)
                .map(FactValue::Class),
            _ => Country::parse(code).ok().map(FactValue::Jurisdiction),
        };
        match self {
            _ if codes.is_empty() => Some(Vec::new()),
            Self::EndUses => Some(vec![FactValue::EndUses(set()?)]),
            Self::PersonClass => Some(vec![FactValue::PersonClass(set()?)]),
            Self::Class | Self::Jurisdiction => codes.iter().map(one).collect(),
        }
    }
}

/// The texts of a claim; none if it has others than texts and truth values.
fn texts(claim: Option<&Value>) -> Option<Vec<&str>> {
    let text = |value| match value {
        &Value::Bool(true) => Some("true"),
        &Value::Bool(false) => Some("false"),
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    match claim {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(all)) if all.len() <= VALUES_MAX => all.iter().map(text).collect(),
        Some(one) => Some(vec![text(one)?]),
    }
}

/// Whether a text is written as a code: never as an address of mail or a name with spaces.
fn is_code(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte);
    (1..=CODE_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fact: ClaimFact, claim: &str, map: &[(&str, &str)], claims: &str, expected: &str) {
        let entry = |(from, to): &(&str, &str)| ((*from).to_owned(), vec![(*to).to_owned()]);
        let rule = ClaimRule {
            claim: claim.into(),
            fact,
            map: map.iter().map(entry).collect(),
        };
        let found = rule.values(&serde_json::from_str(claims).unwrap());
        let found = found.map_or("refused".into(), |values| serde_json::to_string(&values).unwrap());
        assert_eq!(found, expected, "{claims}");
    }

    #[test]
    fn classes_and_uses_become_facts_where_they_are_codes() {
        let map: &[(&str, &str)] = &[("us", "us_person"), ("deutschland", "DE")];
        check(
            ClaimFact::PersonClass,
            "p",
            map,
            r#"{"p":"us"}"#,
            "[{\"person_class\":[\"us_person\"]}]",
        );
        check(
            ClaimFact::PersonClass,
            "p",
            map,
            r#"{"p":["us","staff"]}"#,
            "[{\"person_class\":[\"us_person\"]}]",
        );
        check(ClaimFact::PersonClass, "p", map, r#"{"p":["staff"]}"#, "[]");
        check(
            ClaimFact::PersonClass,
            "/a/b",
            &[],
            r#"{"a":{"b":"x:A5"}}"#,
            "[{\"person_class\":[\"x:A5\"]}]",
        );
        check(
            ClaimFact::PersonClass,
            "p",
            &[],
            r#"{"p":"a@example.org"}"#,
            "refused",
        );
        check(ClaimFact::PersonClass, "p", &[], r#"{"p":"A Name"}"#, "refused");
        check(ClaimFact::PersonClass, "p", &[], r#"{"p":7}"#, "refused");
        check(ClaimFact::PersonClass, "p", &[], r#"{"p":{"q":1}}"#, "refused");
        check(
            ClaimFact::EndUses,
            "p",
            &[],
            r#"{"p":["a","b"]}"#,
            "[{\"end_uses\":[\"a\",\"b\"]}]",
        );
        check(ClaimFact::EndUses, "p", &[], r#"{"q":1}"#, "[]");
    }

    #[test]
    fn a_place_or_class_that_cannot_be_read_refuses_the_token() {
        let map: &[(&str, &str)] = &[("us", "us_person"), ("deutschland", "DE")];
        check(
            ClaimFact::Jurisdiction,
            "p",
            map,
            r#"{"p":"deutschland"}"#,
            "[{\"jurisdiction\":\"DE\"}]",
        );
        check(
            ClaimFact::Jurisdiction,
            "p",
            map,
            r#"{"p":"FR"}"#,
            "[{\"jurisdiction\":\"FR\"}]",
        );
        check(ClaimFact::Jurisdiction, "p", map, r#"{"p":"Belarus"}"#, "refused");
        check(
            ClaimFact::Class,
            "p",
            &[],
            r#"{"p":"academic"}"#,
            "[{\"class\":\"academic\"}]",
        );
        check(ClaimFact::Class, "p", &[], r#"{"p":"consumer"}"#, "refused");
    }
}

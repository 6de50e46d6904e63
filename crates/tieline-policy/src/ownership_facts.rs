//! What ownership comes to among the facts of an organisation: the codes in `listed` that packs read.
//!
//! A screening finds a name on a list; nobody's screening finds that listed owners hold half of it together. That follows
//! from the recorded shares, for each of [`OWNERSHIP_RULES`]: the code where owners on its lists hold enough, and the code
//! with `-unknown` where they might: an owner whom nobody screened, a share of unknown size, or a listed owner beside
//! owners whom nobody named. Nothing is said of an organisation without recorded owners: for that, packs ask for a signed
//! review.
//!
//! Two laws. What follows never makes a party that nobody screened look screened: beside an absent `listed` a code is
//! an alternative, judged besides, and never in place of it. And a conclusion lasts no longer than the screening of
//! any owner that it rests on: from then on `listed` is missing.
//!
//! Bounded by [`crate::HOLDINGS_MAX`]; beyond it, whatever has owners is unknown under every rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tieline_core::Tick;

use crate::alternative::{Alternative, FactValue};
use crate::facts::{FactName, PartyFacts};
use crate::ownership::{Holding, Owned, Ownership, Test};
use crate::registry::RedFlag;

/// How shares of listed owners become a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnershipRule {
    /// What an organisation is found on that such owners hold; an owner that is itself found on it counts as listed.
    pub code: &'static str,
    pub lists: &'static [&'static str],
    pub test: Test,
    /// What it is found on if that is not known.
    pub unknown: &'static str,
}

/// The rules of the packs that ship. OFAC's 50 percent rule; the affiliates rule of BIS (15 CFR 744.11, 744.21, and 744.8
/// for blocked persons, of whom it names some programmes and this takes all); the terms of Anthropic of 2025-09-05.
pub const OWNERSHIP_RULES: [OwnershipRule; 3] = [
    OwnershipRule {
        code: "us-ofac-owned",
        lists: &["us-ofac-sdn"],
        test: Test::AtLeastHalf,
        unknown: "us-ofac-owned-unknown",
    },
    OwnershipRule {
        code: "us-bis-affiliate",
        lists: &[
            "us-bis-entity-list",
            "us-bis-military-end-user-list",
            "us-ofac-sdn",
        ],
        test: Test::AtLeastHalf,
        unknown: "us-bis-affiliate-unknown",
    },
    OwnershipRule {
        code: "anthropic-majority",
        lists: &["anthropic-unsupported"],
        test: Test::MoreThanHalf,
        unknown: "anthropic-majority-unknown",
    },
];

/// What a screening of an owner found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screening {
    /// When the first piece of it expires.
    pub(crate) expires: Option<Tick>,
    pub(crate) lists: BTreeSet<Arc<str>>,
}

/// By organisation; those of whom nothing follows are absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnershipFacts(BTreeMap<Arc<str>, Conclusion>);

/// What follows for one organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conclusion {
    codes: BTreeSet<Arc<str>>,
    /// When the first screening that it rests on expires.
    expires: Option<Tick>,
    unknown: BTreeSet<Arc<str>>,
}

impl OwnershipFacts {
    /// What the holdings come to; `screening` says what is known of an owner, and nothing of one whom nobody screened.
    pub(crate) fn new(holdings: &[Holding], screening: impl Fn(&str) -> Option<Screening>) -> Self {
        if holdings.is_empty() {
            return Self::default();
        }
        let owners: BTreeSet<&Arc<str>> = holdings.iter().map(|holding| &holding.owner).collect();
        let screened: BTreeMap<&Arc<str>, Screening> = (owners.iter())
            .filter_map(|owner| Some((*owner, screening(owner)?)))
            .collect();
        let mut out: BTreeMap<Arc<str>, Conclusion> = BTreeMap::new();
        for (owned, expires) in expiries(holdings, &screened) {
            out.entry(owned.clone()).or_default().expires = Some(expires);
        }
        let Ok(graph) = Ownership::new(holdings, &[]) else {
            for holding in holdings {
                let unknown = &mut out.entry(holding.owned.clone()).or_default().unknown;
                unknown.extend(OWNERSHIP_RULES.iter().map(|rule| Arc::from(rule.unknown)));
            }
            return Self(out);
        };
        let held: BTreeSet<&Arc<str>> = holdings.iter().map(|holding| &holding.owned).collect();
        for rule in OWNERSHIP_RULES {
            let listed: BTreeSet<Arc<str>> = (screened.iter())
                .filter(|(_, screening)| screening.lists.iter().any(|list| rule.is_on(list)))
                .map(|(owner, _)| (*owner).clone())
                .collect();
            let unscreened = owners.iter().filter(|owner| !screened.contains_key(**owner));
            let suspects = listed.iter().chain(unscreened.copied()).cloned().collect();
            let found = graph.aggregate(&listed, rule.test);
            let possible = graph.aggregate(&suspects, rule.test);
            let undisclosed = graph.suspected(&listed, rule.test);
            for owned in &held {
                // Who is listed needs no owner for it; who is unscreened is not owned by that.
                if listed.contains(*owned) {
                    continue;
                }
                let may = possible.get(*owned).is_some_and(|owned| *owned != Owned::No)
                    && (screened.contains_key(owned) || !owners.contains(owned));
                if found.get(*owned) == Some(&Owned::Yes) {
                    let entry = out.entry((*owned).clone()).or_default();
                    entry.codes.insert(Arc::from(rule.code));
                } else if may || undisclosed.contains(*owned) {
                    let entry = out.entry((*owned).clone()).or_default();
                    entry.unknown.insert(Arc::from(rule.unknown));
                }
            }
        }
        Self(out)
    }

    pub(crate) fn of(&self, organisation: &str) -> Option<&Conclusion> {
        self.0.get(organisation)
    }
}

impl OwnershipRule {
    fn is_on(&self, list: &str) -> bool {
        list == self.code || self.lists.contains(&list)
    }
}

impl Conclusion {
    /// Writes what follows beside what evidence says.
    pub(crate) fn lay(&self, facts: &mut PartyFacts, flags: &mut Vec<RedFlag>) {
        let Some(listed) = &mut facts.listed else {
            // That nobody screened it stays so: no code may look like a screening. Unknown owners add nothing to that.
            if !self.codes.is_empty() {
                let value = FactValue::Listed(self.codes.clone().into());
                facts.also.insert(Alternative { expires: None, value });
            }
            return;
        };
        let codes = || self.codes.iter().chain(&self.unknown).cloned();
        listed.extend(codes());
        if let Some(until) = self.expires {
            let name = FactName::Listed;
            let before = facts.expires.get(&name).copied();
            facts
                .expires
                .insert(name, before.map_or(until, |at| at.min(until)));
        }
        facts.also = std::mem::take(&mut facts.also)
            .into_iter()
            .map(|mut other| {
                if let FactValue::Listed(names) = &mut other.value {
                    names.extend(codes());
                    let until = [other.expires, self.expires].into_iter().flatten().min();
                    other.expires = until;
                }
                other
            })
            .collect();
        if !self.unknown.is_empty() {
            flags.push(RedFlag {
                fact: FactName::Listed,
                from: Vec::new(),
                values: vec![FactValue::Listed(self.unknown.clone().into())],
            });
        }
    }
}

/// For each that is owned, when the first screening expires of an owner, or of an owner's owner.
fn expiries<'a>(
    holdings: &'a [Holding],
    screened: &BTreeMap<&'a Arc<str>, Screening>,
) -> BTreeMap<&'a Arc<str>, Tick> {
    let mut below: BTreeMap<&Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
    for holding in holdings {
        below.entry(&holding.owner).or_default().push(&holding.owned);
    }
    let mut by_expiry: Vec<(Tick, &Arc<str>)> = (screened.iter())
        .filter_map(|(owner, screening)| Some((screening.expires?, *owner)))
        .collect();
    by_expiry.sort();
    let mut out = BTreeMap::new();
    for (expires, owner) in by_expiry {
        let mut queue = vec![owner];
        while let Some(next) = queue.pop() {
            for owned in below.get(next).into_iter().flatten() {
                // The earliest comes first, so that each is reached once.
                if !out.contains_key(owned) {
                    out.insert(*owned, expires);
                    queue.push(owned);
                }
            }
        }
    }
    out
}

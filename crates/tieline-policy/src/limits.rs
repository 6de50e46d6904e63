//! Facts that count for some questions and not for others: a licence or statement with a scope, a licence that is counted,
//! a rule that an officer cleared for a party, and a model that a channel refused to it on legal grounds.
//!
//! A scope only ever takes a fact away: outside of it the paper is a missing fact, and what a question does not say (its
//! end use, its place) is outside of every scope that asks for it. Each scope has an end of its own, so that of two
//! papers of one name the longer does not lend its time to the other.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::{Rule, Ruling, Tick, Verdict};
use tieline_note::Digest;

use crate::country::Country;
use crate::facts::{FactName, PartyFacts};

/// Counted licences of one party that are judged. Which of them a verdict rests on takes one evaluation each, so that
/// eight make a verdict of 100 µs one of 900 µs; those beyond, by id, count as missing.
pub const COUNTED_MAX: usize = 8;

/// What a licence or statement is about. An empty set restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TermScope {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub end_uses: BTreeSet<Arc<str>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labs: BTreeSet<Arc<str>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<Arc<str>>,
    /// Where a call may be processed: codes of countries (`DE`) or names of regions (`eu-central-1`).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub places: BTreeSet<Arc<str>>,
}

/// One scope within which a licence or statement counts, and from when to when.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Of the licence or statement whose scope it is, so that a decision names what it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Tick>,
    /// The first instant at which it counts; absent for always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Tick>,
    #[serde(default, skip_serializing_if = "TermScope::is_unrestricted")]
    pub scope: TermScope,
}

/// An officer's disposition of a hold: this rule no longer holds the party. It clears holds and never a denial, and none
/// of the engine's own rules. Its end stands among the party's expiries, as `clearances/<ticket>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clearance {
    /// The only model for which it counts; absent for every model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// The rule's id, as the verdict named it.
    pub rule: Arc<str>,
    /// The ticket that was disposed of.
    pub ticket: Arc<str>,
}

/// A legal refusal by a channel: it holds the party on the model over every channel, whatever the packs say, until an
/// officer ends it. No clearance reaches it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The channel that refused.
    pub channel: Arc<str>,
    pub model: Arc<str>,
    /// The HTTP status of the refusal; absent for one that came in a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The ticket by which an officer ends it.
    pub ticket: Arc<str>,
}

/// What a scope is held against: one question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) end_use: Option<&'a str>,
    pub(crate) lab: &'a str,
    pub(crate) model: &'a str,
    pub(crate) region: Option<&'a str>,
    pub(crate) region_country: Option<&'a Country>,
}

impl TermScope {
    pub fn is_unrestricted(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn admits(&self, subject: &Subject<'_>) -> bool {
        let holds = |set: &BTreeSet<Arc<str>>, name: Option<&str>| {
            set.is_empty() || name.is_some_and(|name| set.contains(name))
        };
        let whole = subject.region_country.and_then(Country::whole);
        let country = subject.region_country.map(Country::code);
        let is_in_place = holds(&self.places, subject.region)
            || country.is_some_and(|code| self.places.contains(code))
            || whole.is_some_and(|whole| self.places.contains(whole.code()));
        holds(&self.end_uses, subject.end_use)
            && holds(&self.labs, Some(subject.lab))
            && holds(&self.models, Some(subject.model))
            && is_in_place
    }

    /// Every text, for the bounds on what is kept of a party.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        [&self.end_uses, &self.labs, &self.models, &self.places]
            .into_iter()
            .flatten()
    }
}

impl Limit {
    pub(crate) fn holds(&self, now: Tick) -> bool {
        self.from.is_none_or(|at| at <= now) && self.expires.is_none_or(|at| at > now)
    }
}

impl PartyFacts {
    /// The facts that count for one question at `now`.
    pub(crate) fn for_question(&self, subject: &Subject<'_>, now: Tick) -> Cow<'_, Self> {
        let has_expired = self.expiries_around(now).0.is_some();
        if !has_expired && self.limits.is_empty() && self.counted.len() <= COUNTED_MAX {
            return Cow::Borrowed(self);
        }
        let mut left = self.at(now);
        let limits = left.limits.iter();
        let outside: Vec<FactName> = limits
            .filter(|(_, limits)| !limits.iter().any(|limit| limit.scope.admits(subject)))
            .map(|(name, _)| name.clone())
            .collect();
        let surplus: Vec<FactName> = (left.counted.iter().skip(COUNTED_MAX))
            .map(|id| FactName::Licence(id.clone()))
            .collect();
        for name in outside.iter().chain(&surplus) {
            left.forget(name);
        }
        Cow::Owned(left)
    }

    /// The same without these licences.
    #[must_use]
    pub fn without_licences(&self, ids: &[Arc<str>]) -> Self {
        let mut left = self.clone();
        for id in ids {
            left.forget(&FactName::Licence(id.clone()));
        }
        left
    }

    /// Whether the party holds a licence that rules ask for by this name: by its id, or as one of that kind.
    pub fn holds_licence(&self, name: &str) -> bool {
        self.licences.contains(name) || self.licence_names().any(|held| &**held == name)
    }

    /// Every name by which rules may ask for its licences.
    pub(crate) fn licence_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let kinds = self.licences.iter().filter_map(|id| self.licence_kinds.get(id));
        self.licences.iter().chain(kinds)
    }

    /// Whether an officer cleared a rule for the party on this model. These are the clearances that there are, so ask it
    /// of the facts at an instant.
    pub fn clears(&self, rule: &str, model: &str) -> bool {
        self.cleared
            .iter()
            .any(|one| &*one.rule == rule && one.model.as_deref().is_none_or(|only| only == model))
    }

    /// The legal block that stands against the party on this model.
    pub fn block(&self, model: &str) -> Option<&Block> {
        self.blocked.iter().find(|block| &*block.model == model)
    }

    /// A copy to take counted licences away from, if it holds any.
    pub(crate) fn clone_if_counted(&self) -> Option<Self> {
        self.counted_held().next().map(|_| self.clone())
    }

    /// Counted licences that the party holds.
    pub(crate) fn counted_held(&self) -> impl DoubleEndedIterator<Item = &Arc<str>> {
        self.counted.iter().filter(|id| self.licences.contains(*id))
    }
}

// === impl Block ===

impl Block {
    /// The verdict with the block laid over it: a hold at least. A denial stays one, and names the block as well.
    #[must_use]
    pub fn over(&self, mut verdict: Verdict) -> Verdict {
        if verdict.rules.iter().any(|rule| &*rule.id == Rule::LEGAL_BLOCK) {
            return verdict;
        }
        let rule = self.rule();
        verdict.rules = match verdict.ruling {
            // The permits of an allow, and the licences that it rests on, do not determine the hold.
            Ruling::Allow => {
                verdict.consumes = Arc::default();
                Arc::from([rule])
            }
            // Callers are told the first rule: a block is what an officer has to end first.
            Ruling::Hold => std::iter::once(rule)
                .chain(verdict.rules.iter().cloned())
                .collect(),
            Ruling::Deny => verdict.rules.iter().cloned().chain([rule]).collect(),
        };
        verdict.ruling = verdict.ruling.max(Ruling::Hold);
        verdict
    }

    fn rule(&self) -> Rule {
        let status = self
            .status
            .map_or_else(String::new, |status| format!(", status {status}"));
        Rule {
            citation: Arc::from(format!("legal refusal by the channel {}{status}", self.channel)),
            id: Arc::from(Rule::LEGAL_BLOCK),
            reason: Arc::from(
                "A channel refused this model to the party on legal grounds, so it is held over every channel until an \
                 officer has decided.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>(
        end_use: Option<&'a str>,
        region: Option<&'a str>,
        country: Option<&'a Country>,
    ) -> Subject<'a> {
        Subject {
            end_use,
            lab: "lab-a",
            model: "frontier",
            region,
            region_country: country,
        }
    }

    fn admits(scope: &str, subject: &Subject<'_>) -> bool {
        let scope: TermScope = serde_json::from_str(scope).unwrap();
        scope.admits(subject)
    }

    #[test]
    fn what_a_question_does_not_say_is_outside() {
        let mars = Country::parse("FR-75").unwrap();
        let full = subject(Some("research"), Some("eu-west-3"), Some(&mars));
        let bare = subject(None, None, None);
        for (scope, expected) in [
            ("{}", (true, true)),
            (r#"{"models":["frontier","small"]}"#, (true, true)),
            (r#"{"models":["small"]}"#, (false, false)),
            (r#"{"labs":["lab-a"]}"#, (true, true)),
            (r#"{"labs":["lab-b"],"models":["frontier"]}"#, (false, false)),
            (r#"{"end_uses":["research"]}"#, (true, false)),
            (r#"{"end_uses":["teaching"]}"#, (false, false)),
            (r#"{"places":["FR"]}"#, (true, false)),
            (r#"{"places":["FR-75"]}"#, (true, false)),
            (r#"{"places":["eu-west-3"]}"#, (true, false)),
            (r#"{"places":["DE"]}"#, (false, false)),
        ] {
            assert_eq!((admits(scope, &full), admits(scope, &bare)), expected, "{scope}");
        }
    }

    #[test]
    fn each_scope_ends_by_itself() {
        let text = r#"{"expires":{"licences/l":200},"licences":["l"],"limits":{"licences/l":[
            {"expires":100,"scope":{"models":["frontier"]}},{"expires":200,"scope":{"models":["small"]}}]}}"#;
        let facts: PartyFacts = serde_json::from_str(text).unwrap();
        let asked = subject(None, None, None);
        let counts = |now| !facts.for_question(&asked, Tick(now)).licences.is_empty();
        assert!(counts(99));
        assert!(!counts(100));
        assert_eq!(facts.at(Tick(150)).licences.len(), 1);
        assert_eq!(facts.at(Tick(200)), PartyFacts::default());
        assert_eq!(
            facts.expiries_around(Tick(100)),
            (Some(Tick(100)), Some(Tick(200)))
        );
    }

    #[test]
    fn more_counted_licences_than_are_judged_count_as_missing() {
        let ids: Vec<Arc<str>> = (0..=COUNTED_MAX).map(|n| Arc::from(format!("l{n}"))).collect();
        let facts = PartyFacts {
            counted: ids.iter().cloned().collect(),
            licences: ids.iter().cloned().collect(),
            ..PartyFacts::default()
        };
        let left = facts.for_question(&subject(None, None, None), Tick(0));
        assert_eq!(left.licences.len(), COUNTED_MAX);
        assert!(!left.licences.contains("l8"));
        assert_eq!(facts.without_licences(&ids), PartyFacts::default());
    }
}

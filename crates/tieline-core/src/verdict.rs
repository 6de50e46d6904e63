//! The answer of policy to "may this party use this model over this channel": allow, hold or deny, with the rules that
//! determined it. Policy (floor 1) makes verdicts, the core obeys and records them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Tick;

/// The three rulings, ordered by strictness: deny beats hold beats allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    Allow,
    Hold,
    Deny,
}

/// A rule that determined a verdict: as much of it as the caller and the record need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The source it follows, such as `15 CFR 744.22`. Empty where the rule's disclosure withholds it.
    pub citation: Arc<str>,
    /// The rule's id within the epoch, such as `company/eligible-parties`. The id of a confidential rule is
    /// [`Rule::SEALED`] and a part of a digest.
    pub id: Arc<str>,
    /// A sentence for the caller, empty as the citation.
    pub reason: Arc<str>,
}

impl Rule {
    /// How the id of a confidential rule begins: it tells two such rules apart, and nothing else about them.
    pub const SEALED: &str = "sealed/";

    /// The id of the rule that a channel's legal refusal makes: it holds the party on the model over every channel.
    pub const LEGAL_BLOCK: &str = "default/legal-block";

    /// Whether even the rule's id is withheld from callers.
    pub fn is_sealed(&self) -> bool {
        self.id.starts_with(Self::SEALED)
    }
}

/// The verdict on one candidate. Machines pass it as `Arc<Verdict>`: a cached verdict costs a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Ids of counted licences without which it would be stricter. A call that is allowed uses one unit of each.
    pub consumes: Arc<[Arc<str>]>,
    /// The activation of packs and directives under which it was judged.
    pub epoch: u64,
    /// Rules that oblige whoever calls or serves, whatever the ruling.
    pub obligations: Arc<[Rule]>,
    pub ruling: Ruling,
    /// The rules that determined it: those that forbid, or the permits of an allow.
    pub rules: Arc<[Rule]>,
    /// When it must be judged anew: a licence or a statement expires, a rule begins.
    pub valid_until: Option<Tick>,
}

//! The whole chain behind one verdict: every rule of every status that applies or could not be evaluated, and what one
//! missing fact would change. For officers; a caller sees no more than the verdict.
//!
//! Contract. The verdict is that of [`Epoch::judge`]; rules that do not enforce are shown beside it and never change it.
//! The values that are tried for a missing fact are those that the rules of the verdict tell apart, one fact at a time.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tieline_core::{Ruling, Tick, Verdict};

use crate::coverage::Survey;
use crate::directive::Standing;
use crate::engine::{Epoch, Judged};
use crate::facts::{FactName, Facts, PartyFacts};
use crate::overlay::{Laid, Overlay};
use crate::pack::{PackRule, Status};
use crate::probe::Probe;
use crate::representative::pack_of;
use crate::targets::Targets;

/// Why a verdict is what it is.
#[derive(Clone, Debug)]
pub struct Chain {
    /// For each missing fact that rules of the verdict read, what would follow if it were known.
    pub deciding: Vec<Deciding>,
    /// Where the question stands under each directive, by its `<id>@<version>`.
    pub directives: Vec<(Arc<str>, Standing)>,
    /// Rules that apply or fail, those that enforce first, then strictest first, then by id.
    pub rules: Vec<ChainRule>,
    pub verdict: Verdict,
}

/// A rule that has something to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainRule {
    pub citation: Arc<str>,
    /// Whether it is in force; others would rule so if their status enforced.
    pub enforced: bool,
    pub id: Arc<str>,
    /// It states a duty, and neither allows nor forbids.
    pub obliges: bool,
    pub reason: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Arc<str>>,
    /// What it rules.
    pub ruling: Ruling,
    pub stands: Stands,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unverified: Option<Arc<str>>,
}

/// How a rule stands to the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    Applies,
    /// It would hold, and an officer cleared it for the party.
    Cleared,
    /// It could not be evaluated, which holds.
    Fails,
}

/// A missing fact, and what would follow from values of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    pub fact: FactName,
    /// Values that lead to a less strict ruling, each standing for all that rules do not tell apart from it.
    pub opens: Vec<Opening>,
}

/// A value of a missing fact, and the ruling with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    pub ruling: Ruling,
    pub value: Value,
}

/// The chain behind the verdict on `facts` at `now`.
pub fn chain(epoch: &Epoch, facts: &Facts, now: Tick) -> Chain {
    let verdict = epoch.judge(facts, now);
    Chain {
        deciding: deciding(epoch, facts, &verdict, now, &|facts| epoch.judge(facts, now)),
        directives: Vec::new(),
        rules: rules(epoch, facts, now),
        verdict,
    }
}

/// The same for a party of this id under directives.
pub fn chain_under(
    overlay: &Arc<Overlay>,
    epoch: &Epoch,
    targets: &Targets,
    party: &str,
    facts: &Facts,
    now: Tick,
) -> Chain {
    let mut chain = chain(epoch, facts, now);
    let Some(laid) = Laid::new(overlay.clone(), epoch, targets) else {
        return chain;
    };
    let listed = laid.listed(party);
    let under = |facts: &Facts| {
        let base = Judged {
            from: Tick(0),
            verdict: epoch.judge(facts, now),
        };
        laid.combine(&base, facts, &facts.party, listed, epoch, now)
            .verdict
    };
    chain.deciding = deciding(epoch, facts, &chain.verdict, now, &under);
    chain.verdict = under(facts);
    let standings = laid.standings(facts, &facts.party, listed, epoch, now);
    chain.directives = standings
        .map(|(_, label, standing)| (label.clone(), standing))
        .collect();
    chain
}

fn rules(epoch: &Epoch, facts: &Facts, now: Tick) -> Vec<ChainRule> {
    let holds = |pack: &&crate::Pack| {
        let manifest = pack.manifest();
        manifest.valid_from <= now && manifest.valid_to.is_none_or(|end| now < end)
    };
    let packs = epoch.packs().iter().filter(holds);
    let all: Vec<(Status, &PackRule)> = packs
        .flat_map(|pack| pack.rules().iter().map(|rule| (pack.manifest().status, rule)))
        .collect();
    let listed: Vec<&PackRule> = all.iter().map(|(_, rule)| *rule).collect();
    // Facts that cannot be read make a verdict of their own, which says so.
    let found = Probe::new(epoch.packs(), &listed, now)
        .ask(facts, now)
        .unwrap_or_default();
    let enforce = &epoch.record().enforce;
    let party = facts.party.at(now);
    let clears = |rule: &PackRule| {
        let ids = [&rule.told.id, &rule.rule.id];
        rule.ruling == Ruling::Hold && ids.iter().any(|id| party.clears(id, &facts.model.name))
    };
    let mut out: Vec<ChainRule> = all
        .iter()
        .enumerate()
        .filter(|(ix, _)| found.applies.contains(ix) || found.fails.contains(ix))
        .map(|(ix, (status, rule))| ChainRule {
            citation: rule.rule.citation.clone(),
            enforced: enforce.contains(status),
            id: rule.rule.id.clone(),
            obliges: rule.obliges,
            reason: rule.rule.reason.clone(),
            remedy: rule.remedy.clone(),
            ruling: rule.ruling,
            stands: match () {
                () if clears(rule) => Stands::Cleared,
                () if found.applies.contains(&ix) => Stands::Applies,
                () => Stands::Fails,
            },
            status: *status,
            title: rule.title.clone(),
            unverified: rule.unverified.clone(),
        })
        .collect();
    out.sort_by(|a, b| {
        let rank = |rule: &ChainRule| (!rule.enforced, std::cmp::Reverse(rule.ruling));
        rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id))
    });
    out
}

/// `base` is what the rules say, `judge` what they and directives do.
fn deciding(
    epoch: &Epoch,
    facts: &Facts,
    base: &Verdict,
    now: Tick,
    judge: &dyn Fn(&Facts) -> Verdict,
) -> Vec<Deciding> {
    if base.ruling == Ruling::Allow {
        return Vec::new();
    }
    let ruling = judge(facts).ruling;
    let party = facts.party.at(now);
    let mut out: Vec<Deciding> = Vec::new();
    for (fact, candidates) in Survey::new(epoch, now).candidates(base, &party) {
        let mut opens: Vec<Opening> = candidates
            .into_iter()
            .filter_map(|candidate| {
                let value = value(&candidate, &fact);
                let next = judge(&Facts {
                    party: candidate,
                    ..facts.clone()
                });
                (next.ruling < ruling).then_some(Opening {
                    ruling: next.ruling,
                    value,
                })
            })
            .collect();
        opens.sort_by_key(|opening| opening.ruling);
        out.push(Deciding { fact, opens });
    }
    out.sort_by(|a, b| {
        let rank = |one: &Deciding| one.opens.first().map_or(Ruling::Deny, |opening| opening.ruling);
        rank(a).cmp(&rank(b)).then_with(|| a.fact.cmp(&b.fact))
    });
    out
}

/// The value of one fact as JSON; a licence or statement is its id.
fn value(facts: &PartyFacts, fact: &FactName) -> Value {
    match fact {
        FactName::Clearance(id) | FactName::Licence(id) | FactName::Statement(id) => {
            Value::String(id.to_string())
        }
        other => {
            let mut all = serde_json::to_value(facts).unwrap_or_default();
            all.get_mut(other.to_string()).map_or(Value::Null, Value::take)
        }
    }
}

impl ChainRule {
    /// The id of its pack.
    pub fn pack(&self) -> &str {
        pack_of(&self.id)
    }
}

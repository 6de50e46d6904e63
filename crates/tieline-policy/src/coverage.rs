//! Coverage: how much of the traffic policy can decide with the facts there are, and which facts to look for first.
//!
//! A call is *decidable* unless it is refused for want of a fact, which is defined by counterfactuals alone:
//! - A rule of a verdict *waits* for an absent fact if some value of that fact takes the rule out of the verdict. The
//!   values tried are those that the rule can tell apart: one country for each combination of the sets that it names,
//!   the countries that it names, one that is in none of these, every class and kind, and for facts that are sets of
//!   words none, each and all of the words in the rule.
//! - A licence or statement that a party does not have is not unknown. It counts as missing for a rule that holds, which
//!   waits for the paper; a denial that only a licence would lift is decided.
//! - A call is undecidable if it is not allowed and each of the strictest rules against it waits for a fact: were one of
//!   them not waiting, no fact that is missing would open the door. Under one pack, the same is asked of its rules alone.
//! - A fact would decide a call *alone* if every rule that waits for anything waits for it.
//!
//! One fact is changed at a time: a rule that two missing facts satisfy only together is taken as decided, which errs
//! towards less to look for, never towards more access; nothing here is a verdict. Equal facts and questions are judged
//! once. The cost is one verdict, and for one that is not allowed some ten to a hundred more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tieline_core::{Ruling, Tick, Verdict};

use crate::engine::{Epoch, NO_PERMIT, OWN_PACK};
use crate::facts::{FactName, Facts, PartyFacts};
use crate::representative::{Reads, Sets, pack_of};

/// A party, and what it asks for.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub facts: PartyFacts,
    /// A party without any is judged on every question, with no weight but its own.
    pub uses: Vec<Use>,
}

/// How much a party asked one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub calls: u64,
    /// The place of the question in the list of questions.
    pub question: usize,
    /// In billionths of the grid's currency.
    pub spend_nano: u128,
}

/// Parties, calls and spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tally {
    pub parties: u64,
    pub calls: u64,
    pub spend_nano: u128,
}

/// What can be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// What is decidable. A party is if all that it asks is.
    pub decidable: Tally,
    /// What is decidable as far as one pack goes, by its id; the engine's own default is [`OWN_PACK`].
    pub packs: BTreeMap<Arc<str>, Tally>,
    /// Facts that undecidable calls wait for, the most helpful first.
    pub missing: Vec<Missing>,
    pub whole: Tally,
}

/// A fact that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What this fact alone would make decidable. A party counts if no use of it would stay undecidable.
    pub alone: Tally,
    pub fact: FactName,
    /// What waits for it, alone or among others.
    pub waiting: Tally,
}

/// A use of a question that is not in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {questions} questions, and a party uses number {question}")]
pub struct CoverageError {
    pub question: usize,
    pub questions: usize,
}

/// How much of what `consumers` ask is decidable at `now`. The party in each of `questions` is ignored.
pub fn coverage(
    epoch: &Epoch,
    consumers: &[Consumer],
    questions: &[Facts],
    now: Tick,
) -> Result<Coverage, CoverageError> {
    let survey = Survey::new(epoch, now);
    let mut known: BTreeMap<(PartyFacts, usize), Waits> = BTreeMap::new();
    let mut out = Coverage {
        decidable: Tally::default(),
        packs: survey
            .packs
            .iter()
            .map(|id| (id.clone(), Tally::default()))
            .collect(),
        missing: Vec::new(),
        whole: Tally::default(),
    };
    let mut missing: BTreeMap<FactName, Missing> = BTreeMap::new();
    for consumer in consumers {
        let facts = consumer.facts.at(now);
        let all = (0..questions.len()).map(|question| Use {
            calls: 0,
            question,
            spend_nano: 0,
        });
        let mut uses = consumer.uses.clone();
        if uses.is_empty() {
            uses.extend(all);
        }
        let mut asked = Vec::with_capacity(uses.len());
        for one in uses {
            let question = questions.get(one.question).ok_or(CoverageError {
                question: one.question,
                questions: questions.len(),
            })?;
            let waits = known
                .entry((facts.clone(), one.question))
                .or_insert_with(|| survey.waits(question, &facts));
            asked.push((one, waits.clone()));
        }
        out.count(&asked, &mut missing);
    }
    out.missing = missing.into_values().collect();
    out.missing.sort_by(|a, b| {
        let rank = |one: &Missing| (one.alone, one.waiting);
        rank(b).cmp(&rank(a)).then_with(|| a.fact.cmp(&b.fact))
    });
    Ok(out)
}

/// `part` of `whole` in thousandths, rounded down so that it claims no more than there is; `None` of nothing.
pub fn share_permille(part: u128, whole: u128) -> Option<u16> {
    u16::try_from(part.saturating_mul(1_000).checked_div(whole)?).ok()
}

/// What one question of one party waits for.
#[derive(Clone, Debug, Default)]
struct Waits {
    /// Facts that would decide it alone.
    alone: BTreeSet<FactName>,
    /// Whether no fact would change the outcome.
    decided: bool,
    /// All facts that it waits for.
    facts: BTreeSet<FactName>,
    /// Packs whose rules alone could not decide it.
    packs: BTreeSet<Arc<str>>,
}

impl Coverage {
    /// Adds one party.
    fn count(&mut self, asked: &[(Use, Waits)], missing: &mut BTreeMap<FactName, Missing>) {
        self.whole.add(asked, |_| true, true);
        self.decidable.add(
            asked,
            |waits| waits.decided,
            asked.iter().all(|(_, waits)| waits.decided),
        );
        for (id, tally) in &mut self.packs {
            let decides = |waits: &Waits| !waits.packs.contains(id);
            tally.add(asked, decides, asked.iter().all(|(_, waits)| decides(waits)));
        }
        let open = || {
            asked
                .iter()
                .map(|(_, waits)| waits)
                .filter(|waits| !waits.decided)
        };
        let facts: BTreeSet<&FactName> = open().flat_map(|waits| &waits.facts).collect();
        for fact in facts {
            let row = missing.entry(fact.clone()).or_insert_with(|| Missing {
                alone: Tally::default(),
                fact: fact.clone(),
                waiting: Tally::default(),
            });
            let waits_for = |waits: &Waits| !waits.decided && waits.facts.contains(fact);
            let alone = |waits: &Waits| !waits.decided && waits.alone.contains(fact);
            row.waiting.add(asked, waits_for, true);
            row.alone.add(asked, alone, open().all(alone));
        }
    }
}

impl Tally {
    fn add(&mut self, asked: &[(Use, Waits)], counts: impl Fn(&Waits) -> bool, party: bool) {
        self.parties = self.parties.saturating_add(u64::from(party));
        for (one, _) in asked.iter().filter(|(_, waits)| counts(waits)) {
            self.calls = self.calls.saturating_add(one.calls);
            self.spend_nano = self.spend_nano.saturating_add(one.spend_nano);
        }
    }
}

pub(crate) struct Survey<'a> {
    epoch: &'a Epoch,
    now: Tick,
    packs: BTreeSet<Arc<str>>,
    /// By the id of a rule.
    reads: BTreeMap<Arc<str>, Reads>,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(epoch: &'a Epoch, now: Tick) -> Self {
        let mut reads = BTreeMap::new();
        let mut permits = Reads {
            ruling: Some(Ruling::Deny),
            ..Reads::default()
        };
        let mut packs = BTreeSet::from([Arc::from(OWN_PACK)]);
        let sets = Sets::at(epoch.packs(), now);
        for rule in epoch.rules().iter().filter(|rule| !rule.obliges) {
            let one = Reads::new(rule, &sets);
            if rule.ruling == Ruling::Allow {
                permits.extend(&one);
            }
            packs.insert(Arc::from(pack_of(&rule.told.id)));
            reads.insert(rule.told.id.clone(), one);
        }
        reads.insert(Arc::from(format!("{OWN_PACK}/{NO_PERMIT}")), permits);
        Self {
            epoch,
            now,
            packs,
            reads,
        }
    }

    fn verdict(&self, question: &Facts, party: PartyFacts) -> Verdict {
        let facts = Facts {
            party,
            ..question.clone()
        };
        self.epoch.judge(&facts, self.now)
    }

    fn waits(&self, question: &Facts, party: &PartyFacts) -> Waits {
        let verdict = self.verdict(question, party.clone());
        if verdict.ruling == Ruling::Allow {
            return Waits {
                decided: true,
                ..Waits::default()
            };
        }
        // For each rule, the facts that it waits for.
        let mut waiting: BTreeMap<&Arc<str>, BTreeSet<FactName>> = verdict
            .rules
            .iter()
            .map(|rule| (&rule.id, BTreeSet::new()))
            .collect();
        for (fact, candidates) in self.candidates(&verdict, party) {
            for candidate in candidates {
                let other = self.verdict(question, candidate);
                for (id, facts) in &mut waiting {
                    let is_gone = other.rules.iter().all(|rule| rule.id != **id);
                    if is_gone && self.can_wait(id, &fact, verdict.ruling) {
                        facts.insert(fact.clone());
                    }
                }
            }
        }
        let decides = |ids: &BTreeMap<&Arc<str>, BTreeSet<FactName>>| {
            let strictest = ids.keys().map(|id| self.tier(id, verdict.ruling)).max();
            let mut rows = ids
                .iter()
                .filter(|(id, _)| Some(self.tier(id, verdict.ruling)) == strictest);
            rows.any(|(_, facts)| facts.is_empty())
        };
        let mut packs = BTreeSet::new();
        for pack in &self.packs {
            let mut own = waiting.clone();
            own.retain(|id, _| pack_of(id) == &**pack);
            if !own.is_empty() && !decides(&own) {
                packs.insert(pack.clone());
            }
        }
        let facts: BTreeSet<FactName> = waiting.values().flatten().cloned().collect();
        let wants = || waiting.values().filter(|facts| !facts.is_empty());
        let alone = facts
            .iter()
            .filter(|fact| wants().all(|facts| facts.contains(*fact)));
        Waits {
            alone: alone.cloned().collect(),
            decided: decides(&waiting),
            packs,
            facts,
        }
    }

    /// How strict a rule of a verdict is: never less than a hold, since it forbids, nor more than the verdict, since a
    /// rule that could not be evaluated only holds.
    fn tier(&self, id: &str, verdict: Ruling) -> Ruling {
        let ruling = self.reads.get(id).and_then(|reads| reads.ruling);
        ruling.unwrap_or(Ruling::Hold).max(Ruling::Hold).min(verdict)
    }

    /// Whether the want of a paper is the want of a fact: only to a rule that holds.
    fn can_wait(&self, id: &str, fact: &FactName, verdict: Ruling) -> bool {
        let is_paper = matches!(fact, FactName::Licence(_) | FactName::Statement(_));
        !is_paper || self.tier(id, verdict) == Ruling::Hold
    }

    /// Each absent fact that a rule of the verdict reads, and the party with each value of it that the rules tell apart.
    pub(crate) fn candidates(
        &self,
        verdict: &Verdict,
        party: &PartyFacts,
    ) -> Vec<(FactName, Vec<PartyFacts>)> {
        let mut all = Reads::default();
        for reads in verdict.rules.iter().filter_map(|rule| self.reads.get(&rule.id)) {
            all.extend(reads);
        }
        all.absent(party)
    }
}

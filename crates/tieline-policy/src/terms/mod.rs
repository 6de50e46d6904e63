//! Terms: licences, signed statements, officers' clearances and channels' legal blocks, and the facts that follow from
//! them for each party.
//!
//! Contract. A term that is not yet valid, has expired or was revoked asserts nothing; outside of its scope it counts for
//! nothing. What follows from a term stands in the party's facts with the term's digest, so that a decision names every
//! paper that it could rest on. Nothing here reads a clock: a revocation is an instant like an expiry.

mod licence;
mod read;
mod statement;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;

pub use licence::{LICENCE_V1, Licence, Quantity, TermParty};
pub use statement::{
    Institution, PROMISE_KINDS, Persons, Project, Publication, STATEMENT_MAX, STATEMENT_V1, Statement,
    StatementSigner, Undertakings,
};

use crate::alternative::FactValue;
use crate::evidence::{Evidence, EvidenceKind};
use crate::facts::{FactName, PartyFacts};
use crate::limits::{Block, Clearance, Limit};

/// Licences, statements, clearances and blocks of one registry: two for each of its parties. 262,144 × about 1 KB is 256
/// MB, which is the least that so many papers take.
pub const TERMS_MAX: usize = 2 * crate::PARTIES_MAX;

/// Licences, statements and clearances that were checked together.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// By party and model: of each pair, one block.
    blocks: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Block>>,
    by_party: BTreeMap<Arc<str>, Vec<Ix>>,
    grants: Vec<Grant>,
    licences: Vec<Licence>,
    statements: Vec<Statement>,
}

/// An officer's clearance, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub clearance: Clearance,
    pub party: Arc<str>,
    /// The first instant at which it counts no more; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Tick>,
}

/// What is wrong with terms as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("term `{id}`: {fault}")]
pub struct TermProblem {
    pub id: Arc<str>,
    pub fault: TermFault,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TermFault {
    #[error(
        "two licences or two statements have this id; give one of them another, or keep the last version only"
    )]
    Duplicate,
    #[error("it ends no later than it begins; correct one of the dates")]
    EndsBeforeBegin,
    #[error("it is one of {0} terms, and {TERMS_MAX} are the limit; take out those that have ended")]
    TooMany(usize),
    #[error("it is neither signed nor recorded by an officer; have it signed, or have an officer record it")]
    Unproven,
}

#[derive(Clone, Copy, Debug)]
enum Ix {
    Grant(usize),
    Licence(usize),
    Statement(usize),
}

/// A term, to be compared with another.
#[derive(Debug, PartialEq, Eq)]
enum Term<'a> {
    Grant(Option<&'a Grant>),
    Licence(Option<&'a Licence>),
    Statement(Option<&'a Statement>),
}

/// What one licence or statement asserts of a party.
#[derive(Clone, Debug)]
pub(crate) struct Paper {
    pub(crate) evidence: Evidence,
    is_counted: bool,
    /// The name by which rules ask for a licence, if that is not its id.
    kind: Option<Arc<str>>,
    limit: Limit,
}

// === impl Terms ===

impl Terms {
    /// Checks terms together; on failure, all problems, by id.
    pub fn new(
        licences: Vec<Licence>,
        statements: Vec<Statement>,
        grants: Vec<Grant>,
    ) -> Result<Self, Vec<TermProblem>> {
        let mut problems = BTreeSet::new();
        let mut report = |id: &Arc<str>, fault| {
            problems.insert(TermProblem {
                id: id.clone(),
                fault,
            })
        };
        let len = licences.len() + statements.len() + grants.len();
        if len > TERMS_MAX {
            report(&Arc::from(""), TermFault::TooMany(len));
        }
        let mut by_party: BTreeMap<Arc<str>, Vec<Ix>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for (licence, ix) in licences.iter().zip(0..) {
            if !ids.insert(&licence.id) {
                report(&licence.id, TermFault::Duplicate);
            }
            if licence.valid_to.is_some_and(|to| to <= licence.valid_from) {
                report(&licence.id, TermFault::EndsBeforeBegin);
            }
            for party in &licence.parties {
                by_party
                    .entry(party.id.clone())
                    .or_default()
                    .push(Ix::Licence(ix));
            }
        }
        let mut ids = BTreeSet::new();
        for (statement, ix) in statements.iter().zip(0..) {
            if !ids.insert(&statement.id) {
                report(&statement.id, TermFault::Duplicate);
            }
            if statement.valid_to <= statement.valid_from {
                report(&statement.id, TermFault::EndsBeforeBegin);
            }
            if !statement.is_proven() {
                report(&statement.id, TermFault::Unproven);
            }
            by_party
                .entry(statement.party.clone())
                .or_default()
                .push(Ix::Statement(ix));
        }
        for (grant, ix) in grants.iter().zip(0..) {
            by_party
                .entry(grant.party.clone())
                .or_default()
                .push(Ix::Grant(ix));
        }
        if problems.is_empty() {
            return Ok(Self {
                blocks: BTreeMap::new(),
                by_party,
                grants,
                licences,
                statements,
            });
        }
        Err(problems.into_iter().collect())
    }

    /// The same with a party blocked on one more model.
    #[must_use]
    pub fn with_block(mut self, party: Arc<str>, block: Block) -> Self {
        self.blocks
            .entry(party)
            .or_default()
            .insert(block.model.clone(), block);
        self
    }

    /// The legal block that stands against a party on a model.
    pub fn block(&self, party: &str, model: &str) -> Option<&Block> {
        self.blocks.get(party)?.get(model)
    }

    pub fn licences(&self) -> &[Licence] {
        &self.licences
    }

    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether a party is named by the same terms; false says nothing.
    pub(crate) fn is_same_for(&self, other: &Self, id: &str) -> bool {
        self.blocks.get(id) == other.blocks.get(id) && self.naming(id).eq(other.naming(id))
    }

    fn naming<'a>(&'a self, id: &str) -> impl Iterator<Item = Term<'a>> {
        let all = self.by_party.get(id).into_iter().flatten();
        all.map(|ix| match *ix {
            Ix::Grant(ix) => Term::Grant(self.grants.get(ix)),
            Ix::Licence(ix) => Term::Licence(self.licences.get(ix)),
            Ix::Statement(ix) => Term::Statement(self.statements.get(ix)),
        })
    }

    /// The papers of a party, whose own id is the first of `line` and whose ancestors follow, that have not ended at
    /// `recorded`.
    pub(crate) fn papers<'a>(&self, line: impl Iterator<Item = &'a Arc<str>>, recorded: Tick) -> Vec<Paper> {
        let mut out = Vec::new();
        for (id, depth) in line.zip(0_usize..) {
            for ix in self.by_party.get(id).into_iter().flatten() {
                let paper = match *ix {
                    Ix::Licence(ix) => self.licences.get(ix).and_then(|licence| {
                        let names = |party: &TermParty| party.id == *id && (depth == 0 || party.with_members);
                        licence
                            .parties
                            .iter()
                            .any(names)
                            .then(|| Paper::of_licence(licence))
                    }),
                    Ix::Statement(ix) if depth == 0 => self.statements.get(ix).map(Paper::of_statement),
                    Ix::Grant(_) | Ix::Statement(_) => None,
                };
                out.extend(paper.filter(|paper| paper.evidence.holds(recorded)));
            }
        }
        out
    }

    /// Writes the clearances and the blocks of a party into its facts. They are its own: those below it ask for theirs,
    /// and are refused for themselves.
    pub(crate) fn clear(&self, party: &str, recorded: Tick, facts: &mut PartyFacts) {
        let blocks = self.blocks.get(party).into_iter().flatten();
        facts.blocked.extend(blocks.map(|(_, block)| block.clone()));
        for ix in self.by_party.get(party).into_iter().flatten() {
            let Ix::Grant(ix) = *ix else { continue };
            let Some(grant) = self.grants.get(ix) else {
                continue;
            };
            if grant.until.is_some_and(|until| until <= recorded) {
                continue;
            }
            let name = FactName::Clearance(grant.clearance.ticket.clone());
            facts.cleared.insert(grant.clearance.clone());
            // One ticket with two ends is no longer good than until the first.
            let until = [facts.expires.get(&name).copied(), grant.until];
            if let Some(until) = until.into_iter().flatten().min() {
                facts.expires.insert(name, until);
            }
        }
    }
}

// === impl Paper ===

impl Paper {
    fn of_licence(licence: &Licence) -> Self {
        let expires = earlier(licence.valid_to, licence.revoked);
        Self {
            evidence: Evidence {
                digest: licence.digest(),
                expires,
                issuer: licence.issuer.clone(),
                kind: EvidenceKind::SignedLicence,
                obtained: licence.valid_from,
                value: FactValue::Licence(licence.id.clone()),
            },
            is_counted: licence.quantity.is_some(),
            kind: (licence.kind != licence.id).then(|| licence.kind.clone()),
            limit: Limit {
                digest: licence.digest(),
                expires,
                from: Some(licence.valid_from),
                scope: licence.scope.clone(),
            },
        }
    }

    fn of_statement(statement: &Statement) -> Self {
        let expires = earlier(Some(statement.valid_to), statement.revoked);
        Self {
            evidence: Evidence {
                digest: statement.digest(),
                expires,
                issuer: statement.vouched_by(),
                kind: EvidenceKind::SignedStatement,
                obtained: statement.valid_from,
                value: FactValue::Statement(statement.kind.clone()),
            },
            is_counted: false,
            kind: None,
            limit: Limit {
                digest: statement.digest(),
                expires,
                from: Some(statement.valid_from),
                scope: statement.scope.clone(),
            },
        }
    }
}

/// Limits what papers established: to their scopes and times, beside `own`, which is evidence of the same facts that is
/// under no term.
pub(crate) fn limit(facts: &mut PartyFacts, papers: &[Paper], own: &[&Evidence]) {
    for paper in papers {
        let name = paper.evidence.value.fact();
        facts.limits.entry(name).or_default().insert(paper.limit.clone());
        if let FactValue::Licence(id) = &paper.evidence.value {
            if paper.is_counted {
                facts.counted.insert(id.clone());
            }
            let kind = paper.kind.iter().map(|kind| (id.clone(), kind.clone()));
            facts.licence_kinds.extend(kind);
        }
    }
    for piece in own {
        if let Some(limits) = facts.limits.get_mut(&piece.value.fact()) {
            limits.insert(Limit {
                digest: piece.digest,
                expires: piece.expires,
                ..Limit::default()
            });
        }
    }
}

fn earlier(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    one.into_iter().chain(other).min()
}

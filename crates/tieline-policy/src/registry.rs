//! The registry: parties as a tree, the evidence about each, and what it comes to.
//!
//! [`Registry::new`] takes all records or none: every problem of every party is found in one run, and what was in force
//! stays so. [`Registry::resolve`] is a pure function of the records, and blind to their order.
//!
//! What a party takes from those above it, and why:
//! - *Jurisdiction and data centre* are places where something is. A unit in Lyon of a company in Berlin is in Lyon: the
//!   nearest ancestor that states a place is asked only if the party does not. Weak evidence (an address, its own word)
//!   does not count as stating, and is laid beside the ancestor's. Expired evidence does count: when "we are in Minsk"
//!   runs out, the place is unknown and not the parent's. So let evidence expire rather than remove it.
//! - *Headquarters, class, listed, owners* are facts of an organisation. Those below it have those of the nearest
//!   organisation; what evidence asserts of them in person is laid beside it, and never replaces it. An organisation
//!   has its own: a subsidiary's headquarters are not its parent's.
//! - *Parent headquarters* are the same for a whole tree, so all organisations above are asked, and must agree.
//! - *Groups* are lists of the operator's; one that names an organisation names its units, people and services, but not
//!   its subsidiaries.
//! - *Person class, end uses, licences, statements* are never inherited: nationality is a person's, a declaration binds
//!   whoever made it, a licence reaches those whom its scope names.
//!
//! Where unexpired evidence disagrees, the strongest is the fact (equally strong: the smallest value), all others are
//! alternatives that the engine judges too, and a [`RedFlag`] names the values and their sources. Weak evidence overrides
//! nothing, and yet is judged: the most restrictive wins.
//!
//! Licences, statements and clearances may also come as [`Terms`], whose evidence is laid beside the record's own. A
//! licence there may reach those below the party that it names; a statement speaks for its party alone.
//!
//! What follows from recorded owners is laid beside the evidence: codes in `listed` ([`crate::OWNERSHIP_RULES`]), and where
//! the topmost organisation has its headquarters, if no evidence says it of the ultimate parent.
//!
//! Memory: a record takes some 200 bytes and each piece of evidence up to 104 beside texts and sets of them, which
//! equal records share, so nine facts with one piece each are 1.2 KB, and the party stays within 2 KiB. Its posture is
//! shared with all that have equal facts; where every posture is distinct it is 1.2 KB more, and a host of many such
//! parties keeps their records on disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;

use crate::alternative::{ALTERNATIVES_MAX, Alternative, FactValue};
use crate::evidence::{Evidence, EvidenceKind};
use crate::facts::{FactName, Kind, PartyFacts};
use crate::names::Names;
use crate::ownership::{Control, Holding};
use crate::ownership_facts::{Conclusion, OwnershipFacts, Screening};
use crate::terms::{self, Paper, Terms};
use crate::texts::Texts;

/// Parties of one registry, as many as there can be postures.
pub const PARTIES_MAX: usize = crate::POSTURES_MAX;

/// Parties on the way from a root, both ends included. Ministries with five levels of units, a person and her service
/// need eight.
pub const DEPTH_MAX: usize = 16;

/// Pieces of evidence about one party: each of its eleven kinds of facts from five sources. 64 × 104 bytes are 6.7 KB.
pub const EVIDENCE_MAX: usize = 64;

/// Owners of one party. Two hundred of half a percent each.
pub const OWNERS_MAX: usize = 200;

/// A party as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyRecord {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The operator's lists on which it stands.
    #[serde(default, skip_serializing_if = "names_are_none")]
    pub groups: Names,
    pub id: Arc<str>,
    pub kind: Kind,
    /// Who owns it; only an organisation has owners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<str>>,
}

/// A share in an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// A party, or an entity that is none.
    pub owner: Arc<str>,
    /// 0 to 1,000; absent for a share of unknown size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permille: Option<u16>,
}

/// Parties whose records were checked together.
#[derive(Clone, Debug)]
pub struct Registry {
    ownership: Arc<OwnershipFacts>,
    recorded: Tick,
    records: BTreeMap<Arc<str>, Arc<PartyRecord>>,
    terms: Arc<Terms>,
}

/// What the evidence about a party comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub facts: PartyFacts,
    /// Contradictions, by fact.
    pub flags: Vec<RedFlag>,
}

/// Unexpired evidence about one fact that disagrees, or owners whom nobody knows enough about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedFlag {
    pub fact: FactName,
    /// Everyone who asserts one of the values, weakest first; nobody where it follows from owners.
    pub from: Vec<Origin>,
    /// Ascending.
    pub values: Vec<FactValue>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub kind: EvidenceKind,
    pub issuer: Arc<str>,
    /// The party whose record holds it: the one judged, or one above it.
    pub party: Arc<str>,
    pub value: FactValue,
}

/// What is wrong with the record of a party.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("party `{party}`: {fault}")]
pub struct PartyProblem {
    pub party: Arc<str>,
    pub fault: PartyFault,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PartyFault {
    #[error("it is its own ancestor; give one party of the circle another parent")]
    Cycle,
    #[error("two records have this id; give one of them another")]
    DuplicateId,
    #[error("the evidence for `{0}` expires no later than it was obtained; correct one of the dates")]
    ExpiresBeforeObtained(FactName),
    #[error("kind {child} cannot be below kind {parent}; choose a parent of another kind")]
    KindBelowKind {
        child: &'static str,
        parent: &'static str,
    },
    #[error("an id and an issuer take 1 to {TEXT_BYTES_MAX} bytes; `{0}` does not")]
    Name(Arc<str>),
    #[error("the evidence for `{0}` was obtained later than it is recorded; correct the date")]
    ObtainedInFuture(FactName),
    #[error("only an organisation has owners; record them for the organisation above")]
    OwnersOfOther,
    #[error("its owners hold {0} of 1000 permille; correct the shares")]
    SharesOverWhole(u32),
    #[error("it is more than {DEPTH_MAX} levels below its root; leave out units between")]
    TooDeep,
    #[error(
        "it has {0} pieces of evidence, and {EVIDENCE_MAX} are the limit; remove those that have expired"
    )]
    TooMuchEvidence(usize),
    #[error("it has {0} owners, and {OWNERS_MAX} are the limit; join the smallest into one of unknown share")]
    TooManyOwners(usize),
    #[error("it is one of {0} parties, and {PARTIES_MAX} are the limit; use several gateways")]
    TooManyParties(usize),
    #[error(
        "evidence of kind {kind} cannot establish `{fact}`; at least {kind_min} is needed",
        kind = kind.name(), kind_min = kind_min.name()
    )]
    TooWeak {
        fact: FactName,
        kind: EvidenceKind,
        kind_min: EvidenceKind,
    },
    #[error("its parent `{0}` does not exist; record the parent in the same run, or correct the id")]
    UnknownParent(Arc<str>),
}

/// Bytes of an id and of an issuer, such as the URL of an identity provider.
const TEXT_BYTES_MAX: usize = 256;

/// How a fact passes down the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descent {
    /// From the nearest that states it, if need be.
    NearestStated,
    /// From the nearest organisation.
    Organisation,
    /// Not at all.
    Own,
    /// From every organisation above.
    Tree,
}

/// What stands behind one value.
#[derive(Debug)]
struct Support {
    expires: Option<Tick>,
    from: BTreeSet<Origin>,
    kind: EvidenceKind,
}

// === impl Registry ===

impl Registry {
    /// Checks records that were entered up to `recorded`. On failure, all problems, by party.
    pub fn new(recorded: Tick, records: Vec<PartyRecord>) -> Result<Self, Vec<PartyProblem>> {
        Self::build(recorded, Texts::share_all(records).collect())
    }

    fn build(recorded: Tick, records: Vec<Arc<PartyRecord>>) -> Result<Self, Vec<PartyProblem>> {
        let mut problems = Vec::new();
        let mut report = |party: &Arc<str>, fault| {
            problems.push(PartyProblem {
                party: party.clone(),
                fault,
            });
        };
        let len = records.len();
        let mut by_id: BTreeMap<Arc<str>, Arc<PartyRecord>> = BTreeMap::new();
        for record in records {
            check_alone(&record, recorded, |fault| report(&record.id, fault));
            if by_id.contains_key(&record.id) {
                report(&record.id, PartyFault::DuplicateId);
            } else {
                by_id.insert(record.id.clone(), record);
            }
        }
        if len > PARTIES_MAX
            && let Some(last) = by_id.keys().next_back()
        {
            report(last, PartyFault::TooManyParties(len));
        }
        check_tree(&by_id, &mut report);
        if problems.is_empty() {
            let built = Self {
                ownership: Arc::default(),
                recorded,
                records: by_id,
                terms: Arc::default(),
            };
            return Ok(built.with_ownership());
        }
        problems.sort();
        problems.dedup();
        Err(problems)
    }

    /// The same registry with some records changed or added and others taken out; it is left as it is on failure. A
    /// party that others are below cannot be taken out alone.
    pub fn amend(
        &self,
        recorded: Tick,
        changed: Vec<PartyRecord>,
        removed: &BTreeSet<Arc<str>>,
    ) -> Result<Self, Vec<PartyProblem>> {
        let ids: BTreeSet<Arc<str>> = changed.iter().map(|record| record.id.clone()).collect();
        let kept = self
            .records
            .values()
            .filter(|record| !ids.contains(&record.id) && !removed.contains(&record.id));
        let all = kept.cloned().chain(Texts::share_all(changed)).collect();
        let next = Self::build(recorded, all)?;
        Ok(next.with_terms(self.terms.clone()))
    }

    /// The same parties under these licences, statements and clearances, and no others. Terms of a party that is not
    /// recorded wait until it is.
    #[must_use]
    pub fn with_terms(self, terms: Arc<Terms>) -> Self {
        Self { terms, ..self }
    }

    pub const fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The evidence that follows from terms for one party, for whoever explains its facts.
    pub fn term_evidence(&self, id: &str) -> Vec<Evidence> {
        let papers = self.papers(id).into_iter();
        papers.map(|paper| paper.evidence).collect()
    }

    fn papers(&self, id: &str) -> Vec<Paper> {
        let line = self.line(id).map(|record| &record.id);
        self.terms.papers(line, self.recorded)
    }

    /// What the evidence comes to, for every party. Evidence that had expired when the records were entered asserts
    /// nothing; what expires later is in [`PartyFacts::expires`].
    pub fn resolve(&self) -> BTreeMap<Arc<str>, Resolved> {
        let resolved = |record: &Arc<PartyRecord>| (record.id.clone(), self.resolved(record));
        self.records.values().map(resolved).collect()
    }

    /// The same for one party.
    pub fn resolve_party(&self, id: &str) -> Option<Resolved> {
        Some(self.resolved(self.records.get(id)?))
    }

    /// What one party's facts are for a call that brings evidence of its own, such as a token about its end user. `below`
    /// is that end user: recorded nowhere, named by nobody. Its evidence is laid beside what the key's party has, inherited
    /// or not, so that where the two disagree both are judged, and the stricter wins; its kind takes the place of the
    /// party's. What the party holds (licences, statements, clearances) still counts, for the call is the party's.
    pub fn resolve_below(&self, party: &str, below: &PartyRecord) -> Option<Resolved> {
        let own = self.records.get(party)?;
        let both = PartyRecord {
            evidence: own.evidence.iter().chain(&below.evidence).cloned().collect(),
            ..PartyRecord::clone(own)
        };
        let mut resolved = self.resolved(&both);
        resolved.facts.kind = Some(below.kind);
        resolved.facts.groups.extend(below.groups.iter().cloned());
        Some(resolved)
    }

    /// Who owns the nearest organisation at or above a party.
    pub fn owners(&self, id: &str) -> &[Share] {
        self.line(id)
            .find(|record| record.kind == Kind::Organisation)
            .map_or(&[], |record| &record.owners)
    }

    /// Every recorded share, for [`crate::Ownership`].
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        self.records.values().flat_map(|record| {
            record.owners.iter().map(|share| Holding {
                owner: share.owner.clone(),
                owned: record.id.clone(),
                permille: share.permille,
            })
        })
    }

    /// Who controls whom as far as the tree says: the organisation above. That nobody controls the topmost is not
    /// established by its having no parent here, so nothing is said of it.
    pub fn controls(&self) -> impl Iterator<Item = Control> {
        let organisations = (self.records.values()).filter(|record| record.kind == Kind::Organisation);
        organisations
            .filter(|record| record.parent.is_some())
            .map(|record| Control {
                child: record.id.clone(),
                parent: record.parent.clone(),
            })
    }

    pub fn record(&self, id: &str) -> Option<&PartyRecord> {
        self.records.get(id).map(|record| &**record)
    }

    /// The ids of a party and of those above it, nearest first: what an [`crate::Overlay`] asks for.
    pub fn lineage(&self, id: &str) -> Vec<Arc<str>> {
        self.line(id).map(|record| record.id.clone()).collect()
    }

    /// The same as an overlay keeps it, for as long as it lives.
    pub fn into_lineage(self: Arc<Self>) -> crate::Lineage {
        Arc::new(move |party| self.lineage(party))
    }

    /// By id.
    pub fn records(&self) -> impl Iterator<Item = &PartyRecord> {
        self.records.values().map(|record| &**record)
    }

    /// Whether a party's facts follow from the same records here and there: those of the party and of all above it are
    /// not just equal but the same, as [`Registry::amend`] keeps what is not changed; terms are the same; and what
    /// follows from ownership is equal. Whatever else facts follow from must be compared here too. False says nothing.
    pub fn is_same_for(&self, other: &Self, id: &str) -> bool {
        let has_same_terms = Arc::ptr_eq(&self.terms, &other.terms)
            || self
                .line(id)
                .all(|record| self.terms.is_same_for(&other.terms, &record.id));
        if !has_same_terms
            || self.conclusion(id) != other.conclusion(id)
            || self.parent_headquarters(id) != other.parent_headquarters(id)
        {
            return false;
        }
        let mut id = Some(id);
        for _ in 0..=DEPTH_MAX {
            let Some(here) = id else { return true };
            match (self.records.get(here), other.records.get(here)) {
                (Some(one), Some(another)) if Arc::ptr_eq(one, another) => id = one.parent.as_deref(),
                (None, None) => return true,
                _ => return false,
            }
        }
        false
    }

    pub const fn recorded(&self) -> Tick {
        self.recorded
    }

    /// A party and those above it, nearest first.
    fn line<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a PartyRecord> {
        self.line_from(self.record(id))
    }

    fn line_from<'a>(&'a self, first: Option<&'a PartyRecord>) -> impl Iterator<Item = &'a PartyRecord> {
        let above = |record: &&'a PartyRecord| self.record(record.parent.as_ref()?);
        std::iter::successors(first, above).take(DEPTH_MAX)
    }

    /// The evidence that counts for one way of descent, with the party whose it is.
    fn gather<'a>(&'a self, record: &'a PartyRecord, descent: Descent) -> Vec<(&'a Arc<str>, &'a Evidence)> {
        let mut out = Vec::new();
        // By place: whether it is stated already.
        let mut stated = BTreeSet::new();
        for (from, depth) in self.line_from(Some(record)).zip(0_usize..) {
            let mut places = Vec::new();
            // What comes with a call states no place: that of an ancestor counts beside it.
            let recorded = self.record(&from.id).map_or(0, |record| record.evidence.len());
            for (piece, nth) in from.evidence.iter().zip(0_usize..) {
                let fact = piece.value.fact();
                if Descent::of(&fact) != descent || stated.contains(&fact) {
                    continue;
                }
                let counts = descent != Descent::Tree || depth == 0 || from.kind == Kind::Organisation;
                if counts && piece.holds(self.recorded) {
                    out.push((&from.id, piece));
                }
                if descent == Descent::NearestStated && !piece.kind.is_weak() && nth < recorded {
                    places.push(fact);
                }
            }
            stated.extend(places);
            let ends = match descent {
                Descent::Own => true,
                Descent::Organisation => from.kind == Kind::Organisation,
                Descent::NearestStated | Descent::Tree => false,
            };
            if ends {
                break;
            }
        }
        out
    }

    fn resolved(&self, record: &PartyRecord) -> Resolved {
        let mut by_fact: BTreeMap<FactName, BTreeMap<&FactValue, Support>> = BTreeMap::new();
        for descent in Descent::ALL {
            for (party, piece) in self.gather(record, descent) {
                let values = by_fact.entry(piece.value.fact()).or_default();
                values
                    .entry(&piece.value)
                    .and_modify(|support| support.add(party, piece))
                    .or_insert_with(|| Support::new(party, piece));
            }
        }
        let papers = self.papers(&record.id);
        for paper in &papers {
            let piece = &paper.evidence;
            let values = by_fact.entry(piece.value.fact()).or_default();
            values
                .entry(&piece.value)
                .and_modify(|support| support.add(&record.id, piece))
                .or_insert_with(|| Support::new(&record.id, piece));
        }
        let mut facts = PartyFacts {
            groups: self.groups(&record.id),
            kind: Some(record.kind),
            ..PartyFacts::default()
        };
        let mut flags = by_fact
            .into_iter()
            .filter_map(|(name, values)| settle(&mut facts, name, &values))
            .collect::<Vec<_>>();
        if let Some(conclusion) = self.conclusion(&record.id) {
            conclusion.lay(&mut facts, &mut flags);
        }
        if facts.parent_headquarters.is_none() {
            facts.also.extend(self.parent_headquarters(&record.id));
        }
        bound(&mut facts, &flags);
        let own = record.evidence.iter().filter(|piece| piece.holds(self.recorded));
        terms::limit(&mut facts, &papers, &own.collect::<Vec<_>>());
        self.terms.clear(&record.id, self.recorded, &mut facts);
        Resolved { facts, flags }
    }

    /// What ownership comes to for the nearest organisation at or above a party.
    fn conclusion(&self, id: &str) -> Option<&Conclusion> {
        self.ownership.of(&self.organisation(id)?.id)
    }

    fn organisation(&self, id: &str) -> Option<&PartyRecord> {
        self.line(id).find(|record| record.kind == Kind::Organisation)
    }

    /// Where the organisation at the end of what is known of control has its headquarters. That nobody controls that one
    /// is not established, so this can forbid and never permit: it is laid beside a fact that stays missing.
    fn parent_headquarters(&self, id: &str) -> Vec<Alternative> {
        let Some(own) = self.organisation(id) else {
            return Vec::new();
        };
        let (mut top, mut seen) = (own, BTreeSet::from([&own.id]));
        while let Some(above) = self.controller(top) {
            if !seen.insert(&above.id) {
                break;
            }
            top = above;
        }
        if top.id == own.id {
            return Vec::new();
        }
        let in_force = top.evidence.iter().filter(|piece| piece.holds(self.recorded));
        let alternative = |piece: &Evidence| match &piece.value {
            FactValue::Headquarters(place) => Some(Alternative {
                expires: piece.expires,
                value: FactValue::ParentHeadquarters(place.clone()),
            }),
            _ => None,
        };
        in_force.filter_map(alternative).collect()
    }

    /// The organisation above, else the one party that is known to own more than half.
    fn controller(&self, record: &PartyRecord) -> Option<&PartyRecord> {
        let owner = || {
            let mut owners = record.owners.iter();
            owners.find(|share| share.permille.is_some_and(|permille| permille > 500))
        };
        let above = match &record.parent {
            Some(parent) => self.record(parent),
            None => self.record(&owner()?.owner),
        };
        above.filter(|above| above.kind == Kind::Organisation)
    }

    fn with_ownership(self) -> Self {
        let holdings: Vec<Holding> = self.holdings().collect();
        let ownership = OwnershipFacts::new(&holdings, |owner| self.screening(owner));
        Self {
            ownership: Arc::new(ownership),
            ..self
        }
    }

    /// What a party's screening found; none if nobody screened it, or it is no party.
    fn screening(&self, id: &str) -> Option<Screening> {
        let gathered = self.gather(self.record(id)?, Descent::Organisation);
        let mut out = None;
        for (_, piece) in gathered {
            if let FactValue::Listed(lists) = &piece.value {
                let screening: &mut Screening = out.get_or_insert_default();
                screening.lists.extend(lists.iter().cloned());
                screening.expires = [screening.expires, piece.expires].into_iter().flatten().min();
            }
        }
        out
    }

    fn groups(&self, id: &str) -> BTreeSet<Arc<str>> {
        let mut out = BTreeSet::new();
        for record in self.line(id) {
            out.extend(record.groups.iter().cloned());
            if record.kind == Kind::Organisation {
                break;
            }
        }
        out
    }
}

/// As serde asks for it.
fn names_are_none(names: &Names) -> bool {
    names.is_empty()
}

/// Writes one fact, and says if its values disagree.
fn settle(facts: &mut PartyFacts, name: FactName, values: &BTreeMap<&FactValue, Support>) -> Option<RedFlag> {
    let (first, support) = values
        .iter()
        .max_by_key(|(value, support)| (support.kind, Reverse(**value)))?;
    facts.set((*first).clone());
    facts.expires.extend(support.expires.map(|at| (name.clone(), at)));
    let others = values.iter().filter(|(value, _)| *value != first);
    facts.also.extend(others.map(|(value, support)| Alternative {
        expires: support.expires,
        value: (*value).clone(),
    }));
    (values.len() > 1).then(|| {
        let from: BTreeSet<Origin> = values.values().flat_map(|s| s.from.iter().cloned()).collect();
        RedFlag {
            fact: name,
            from: from.into_iter().collect(),
            values: values.keys().map(|value| (*value).clone()).collect(),
        }
    })
}

/// Keeps the first alternatives of too many, and makes the contradiction last until the evidence is put in order: were
/// those that are kept to expire, those that are not would be forgotten.
fn bound(facts: &mut PartyFacts, flags: &[RedFlag]) {
    if facts.also.len() <= ALTERNATIVES_MAX {
        return;
    }
    let kept: BTreeSet<Alternative> = std::mem::take(&mut facts.also)
        .into_iter()
        .map(|other| Alternative {
            expires: None,
            ..other
        })
        .collect();
    facts.also = kept.into_iter().take(ALTERNATIVES_MAX).collect();
    for flag in flags {
        facts.expires.remove(&flag.fact);
    }
}

/// What can be said of a record without the others.
fn check_alone(record: &PartyRecord, recorded: Tick, mut report: impl FnMut(PartyFault)) {
    let fits = |text: &Arc<str>| (1..=TEXT_BYTES_MAX).contains(&text.len());
    if !fits(&record.id) {
        report(PartyFault::Name(record.id.clone()));
    }
    for piece in &record.evidence {
        let (fact, kind_min) = (piece.value.fact(), piece.value.kind_min());
        if piece.obtained > recorded {
            report(PartyFault::ObtainedInFuture(fact.clone()));
        }
        if piece.expires.is_some_and(|at| at <= piece.obtained) {
            report(PartyFault::ExpiresBeforeObtained(fact.clone()));
        }
        if piece.kind < kind_min {
            report(PartyFault::TooWeak {
                fact,
                kind: piece.kind,
                kind_min,
            });
        }
        if !fits(&piece.issuer) {
            report(PartyFault::Name(piece.issuer.clone()));
        }
    }
    if record.evidence.len() > EVIDENCE_MAX {
        report(PartyFault::TooMuchEvidence(record.evidence.len()));
    }
    if record.owners.len() > OWNERS_MAX {
        report(PartyFault::TooManyOwners(record.owners.len()));
    }
    if !record.owners.is_empty() && record.kind != Kind::Organisation {
        report(PartyFault::OwnersOfOther);
    }
    let shares = record.owners.iter().filter_map(|share| share.permille);
    let permille: u32 = shares.map(u32::from).fold(0, u32::saturating_add);
    if permille > 1_000 {
        report(PartyFault::SharesOverWhole(permille));
    }
}

/// Parents that exist and are of a kind that has such children, no circles, no depths.
fn check_tree(
    records: &BTreeMap<Arc<str>, Arc<PartyRecord>>,
    report: &mut impl FnMut(&Arc<str>, PartyFault),
) {
    // How deep each party is; `None` for those on or below a circle, which is reported once for each party on it.
    let mut depths: BTreeMap<&Arc<str>, Option<usize>> = BTreeMap::new();
    for record in records.values() {
        if let Some(id) = &record.parent {
            match records.get(id) {
                None => report(&record.id, PartyFault::UnknownParent(id.clone())),
                Some(parent) if !may_be_below(record.kind, parent.kind) => {
                    let (child, parent) = (record.kind.name(), parent.kind.name());
                    report(&record.id, PartyFault::KindBelowKind { child, parent });
                }
                Some(_) => {}
            }
        }
        let mut path: Vec<&Arc<str>> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(&record.id);
        let mut depth = Some(0);
        while let Some(id) = next {
            if let Some(known) = depths.get(id) {
                depth = *known;
                break;
            }
            if !seen.insert(id) {
                let circle = path.iter().skip_while(|other| **other != id);
                circle.for_each(|other| report(other, PartyFault::Cycle));
                depth = None;
                break;
            }
            let Some(here) = records.get(id) else { break };
            path.push(&here.id);
            next = here.parent.as_ref();
        }
        for id in path.into_iter().rev() {
            depth = depth.map(|above| above + 1);
            // Those below the first that is too deep rise with it.
            if depth == Some(DEPTH_MAX + 1) {
                report(id, PartyFault::TooDeep);
            }
            depths.insert(id, depth);
        }
    }
}

const fn may_be_below(child: Kind, parent: Kind) -> bool {
    match child {
        Kind::Organisation => matches!(parent, Kind::Organisation),
        Kind::Person | Kind::Unit => matches!(parent, Kind::Organisation | Kind::Unit),
        Kind::Service => matches!(parent, Kind::Organisation | Kind::Person | Kind::Unit),
    }
}

// === impl Descent, Support ===

impl Descent {
    const ALL: [Self; 4] = [Self::NearestStated, Self::Organisation, Self::Own, Self::Tree];

    const fn of(fact: &FactName) -> Self {
        match fact {
            FactName::DataCentre | FactName::Jurisdiction => Self::NearestStated,
            FactName::Class | FactName::Headquarters | FactName::Listed => Self::Organisation,
            FactName::ParentHeadquarters => Self::Tree,
            FactName::Clearance(_)
            | FactName::EndUses
            | FactName::Kind
            | FactName::Licence(_)
            | FactName::PersonClass
            | FactName::Statement(_) => Self::Own,
        }
    }
}

impl Support {
    fn new(party: &Arc<str>, piece: &Evidence) -> Self {
        Self {
            expires: piece.expires,
            from: BTreeSet::from([Origin::new(party, piece)]),
            kind: piece.kind,
        }
    }

    /// A value stands as long as any evidence for it does.
    fn add(&mut self, party: &Arc<str>, piece: &Evidence) {
        self.expires = self.expires.zip(piece.expires).map(|(one, other)| one.max(other));
        self.from.insert(Origin::new(party, piece));
        self.kind = self.kind.max(piece.kind);
    }
}

impl Origin {
    fn new(party: &Arc<str>, piece: &Evidence) -> Self {
        Self {
            kind: piece.kind,
            issuer: piece.issuer.clone(),
            party: party.clone(),
            value: piece.value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_with_nine_facts_stays_within_its_memory() {
        // The record, its count of references and its place in the map; an id and two codes of texts of its own.
        let record = size_of::<PartyRecord>() + 2 * size_of::<usize>() + 2 * size_of::<Arc<str>>();
        let texts = 64 + 9 * 32;
        let bytes = record + 9 * size_of::<Evidence>() + texts;
        assert!(bytes <= 2_048, "{bytes}");
    }
}

//! The engine: an [`Epoch`] is an immutable set of packs in force, compiled; [`Epoch::judge`] maps facts to a verdict.
//!
//! The law of combination. A forbid that applies denies, or holds if it says so; no permit that applies denies; a rule
//! that cannot be evaluated holds (Cedar alone would skip it). Deny beats hold beats allow, and a verdict names every
//! rule that forbade, strictest first, then by id; an allow names the permits that applied. The order of packs and rules
//! does not matter. A party whose evidence is contradictory is judged in every world that it leaves open, and the
//! findings of all of them combine by the same law; a party without alternatives is judged once, by the same path as ever.
//!
//! Before that, facts are cut to what counts for the question: a licence or statement outside of its scope is missing.
//! A hold that an officer cleared for the party is no finding. Rules that oblige are a third set beside permits and
//! forbids, and have no part in the ruling. A rule whose guard says that it cannot apply is not evaluated. Of counted
//! licences, a verdict names a smallest set without which it would be stricter.
//!
//! Packs begin and end, and the engine has no clock: the epoch is compiled as eras between those instants, a verdict is
//! made in the era of the `now` it is asked for, and `valid_until` says when it must be made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{Authorizer, Entities, PolicyId, PolicySet, Request};
use serde::{Deserialize, Serialize};
use tieline_core::{Rule, Ruling, Tick, Verdict};
use tieline_note::{Digest, jcs, sha256};

use crate::entity::{Asked, Countries, FactsError, Prepared};
use crate::facts::{Facts, PartyFacts};
use crate::pack::{Pack, PackArchive, PackRule, Status};
use crate::posture::Posture;
use crate::problem::{PackProblem, Problems, Sheet};
use crate::slice::Known;

/// The type tag of version 1 of [`EpochRecord`].
pub const EPOCH_V1: &str = "tieline/epoch/v1";

/// The pack id of the engine's own rules; no pack may have it.
pub const OWN_PACK: &str = "default";

/// The engine's own rule against what no permit applies to, as `<OWN_PACK>/<this>`.
pub(crate) const NO_PERMIT: &str = "no-permit";

/// Packs of one epoch. Seven are planned to be shipped; a company adds a few of its own.
pub const PACKS_MAX: usize = 64;

/// Rules in force in one epoch. At 1.4 µs each, were none of them ruled out, 2,048 take 3 ms a verdict, which is
/// already unusable; the numbers of rules and of `2 × rules + 3` findings stay within 16 bits.
pub const EPOCH_RULES_MAX: usize = 2_048;

/// Eras of one epoch: 64 packs begin and end at 128 instants, and as many again may change the members of a set. An era
/// lists the rules in force in it, so that 256 × 2,048 entries are the most; shipped packs make a dozen eras.
const ERAS_MAX: usize = 256;

/// Combinations of rules that verdicts share. Most verdicts name none or one rule, and those are shared without a table.
/// 4,096 × about 200 bytes is under a megabyte; beyond it a combination is made anew each time.
const COMBINATIONS_MAX: usize = 4_096;

/// Packs in force, compiled.
#[derive(Debug)]
pub struct Epoch {
    /// By the rule's number, the rule alone: those that cannot apply are not evaluated, whichever others are.
    alone: Vec<PolicySet>,
    authorizer: Authorizer,
    combinations: RwLock<Combinations>,
    digest: Digest,
    /// In order of time, without gaps, the first from the beginning of time.
    eras: Vec<Era>,
    number: u64,
    packs: Vec<Pack>,
    record: EpochRecord,
    /// Those that enforce, by id.
    rules: Vec<PackRule>,
    /// For each finding of one rule, the list that names it alone.
    singles: BTreeMap<Finding, Arc<[Rule]>>,
}

/// Findings of more than one rule, and the list that names them.
type Combinations = BTreeMap<Box<[Finding]>, Arc<[Rule]>>;

/// What an epoch is rebuilt from, with the archives of its packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    pub enforce: BTreeSet<Status>,
    /// A decimal string, since it may pass 2^53.
    pub number: String,
    /// Digests of all packs, those included that do not enforce, ascending.
    pub packs: Vec<Digest>,
    /// Always [`EPOCH_V1`].
    pub t: Arc<str>,
}

/// A verdict and the first instant at which the same facts lead to it.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) from: Tick,
    pub(crate) verdict: Verdict,
}

/// A time in which the same rules and sets hold; rules by number.
#[derive(Debug)]
struct Era {
    countries: Countries,
    forbids: Vec<u16>,
    from: Tick,
    obliges: Vec<u16>,
    permits: Vec<u16>,
    until: Option<Tick>,
}

/// All that rules are evaluated over.
struct Case<'a> {
    entities: Entities,
    known: Known<'a>,
    request: Request,
}

/// What one evaluation found.
#[derive(Debug, Default)]
struct Found {
    findings: Vec<Finding>,
    /// Rules that oblige, ascending.
    obligations: Vec<Finding>,
}

/// Why a verdict is what it is. The order is that of a verdict's rules among equally strict ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// The rule of this number applies.
    Applies(u16),
    /// The rule of this number could not be evaluated.
    Fails(u16),
    NoPermit,
    /// Evidence asserts more of the party than is judged.
    Contradictory,
    Unreadable,
}

// === impl Epoch ===

impl Epoch {
    /// Compiles packs. All of them define sets; the rules of those whose status is in `enforce` are in force, each from
    /// its pack's `valid_from` to its `valid_to`. Whoever calls this has made sure that an officer adopted the packs.
    pub fn build(number: u64, packs: Vec<Pack>, enforce: &[Status]) -> Result<Self, Vec<PackProblem>> {
        let enforce: BTreeSet<Status> = enforce.iter().copied().collect();
        let mut problems = Problems::default();
        check_packs(&packs, &mut problems);
        let in_force = || {
            packs
                .iter()
                .filter(|pack| enforce.contains(&pack.manifest().status))
        };
        let mut rules: Vec<PackRule> = in_force().flat_map(|pack| pack.rules().iter().cloned()).collect();
        rules.sort_by(|a, b| a.rule.id.cmp(&b.rule.id));
        if rules.len() > EPOCH_RULES_MAX
            && let Some(pack) = packs.first()
        {
            let says = format!(
                "{} rules would be in force, and {EPOCH_RULES_MAX} are the limit",
                rules.len()
            );
            problems.push(at_manifest(pack, says, "enforce fewer packs"));
        }
        if !problems.is_empty() {
            return Err(problems.into_sorted());
        }
        let eras = boundaries(&packs)
            .map(|(from, until)| Era::build(from, until, &packs, &rules))
            .collect();
        let alone: Result<_, _> = rules.iter().map(alone).collect();
        let mut digests: Vec<Digest> = packs.iter().map(Pack::digest).collect();
        digests.sort();
        let record = EpochRecord {
            enforce,
            number: number.to_string(),
            packs: digests,
            t: Arc::from(EPOCH_V1),
        };
        // Strings, an enum's names and digests always have canonical JSON.
        let digest = sha256(&jcs::to_vec(&record).unwrap_or_default());
        Ok(Self {
            alone: alone.map_err(|problem| vec![problem])?,
            authorizer: Authorizer::new(),
            combinations: RwLock::default(),
            digest,
            eras,
            number,
            packs,
            record,
            singles: singles(&rules),
            rules,
        })
    }

    /// Rebuilds an epoch from its record and the archives of its packs, which may be among others.
    pub fn from_record(record: &EpochRecord, archives: &[PackArchive]) -> Result<Self, Vec<PackProblem>> {
        let refuse = |says: String| {
            vec![PackProblem {
                file: Arc::from("epoch"),
                line: 1,
                col: 1,
                says,
                help: None,
            }]
        };
        if &*record.t != EPOCH_V1 {
            let says = format!(
                "the record is of type `{}`; this version reads `{EPOCH_V1}`",
                record.t
            );
            return Err(refuse(says));
        }
        let number = record
            .number
            .parse()
            .map_err(|_| refuse("the number of the epoch is no number".into()))?;
        let mut packs = Vec::new();
        for archive in archives {
            let pack = Pack::from_archive(archive)?;
            if record.packs.contains(&pack.digest())
                && !packs.iter().any(|p: &Pack| p.digest() == pack.digest())
            {
                packs.push(pack);
            }
        }
        if let Some(missing) = record
            .packs
            .iter()
            .find(|digest| !packs.iter().any(|p| p.digest() == **digest))
        {
            return Err(refuse(format!("the archive of the pack {missing} is missing")));
        }
        Self::build(number, packs, &record.enforce.iter().copied().collect::<Vec<_>>())
    }

    pub const fn number(&self) -> u64 {
        self.number
    }

    /// SHA-256 of the canonical JSON of [`Epoch::record`].
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn record(&self) -> &EpochRecord {
        &self.record
    }

    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// A rule in force by its id (`<pack>/<rule>`, or as verdicts name a confidential one), with its title and remedy.
    /// It has all of the rule's texts, whatever its disclosure: that is for who shows it to obey.
    pub fn rule(&self, id: &str) -> Option<&PackRule> {
        match self.rules.binary_search_by(|rule| (*rule.rule.id).cmp(id)) {
            Ok(at) => self.rules.get(at),
            Err(_) => self.rules.iter().find(|rule| &*rule.told.id == id),
        }
    }

    /// Whether any rule permits anything at `now`; if none does, every call is denied.
    pub fn has_permit(&self, now: Tick) -> bool {
        self.era(now).is_some_and(|era| !era.permits.is_empty())
    }

    /// The same, but that every rule is evaluated.
    #[cfg(test)]
    pub(crate) fn without_guards(mut self) -> Self {
        for rule in &mut self.rules {
            rule.guard = crate::slice::Guard::default();
        }
        self
    }

    /// The rules in force at some time of the epoch, by id.
    pub(crate) fn rules(&self) -> &[PackRule] {
        &self.rules
    }

    /// The verdict on `facts` at `now`, made from nothing; a gateway asks its [`crate::Judge`], which remembers.
    pub fn judge(&self, facts: &Facts, now: Tick) -> Verdict {
        match Whole::new(facts) {
            Ok(whole) => {
                self.judge_prepared(&whole.posture, &whole.asked(facts), now)
                    .verdict
            }
            Err(_) => self.unreadable(now).verdict,
        }
    }

    /// The same from prepared entities.
    pub(crate) fn judge_prepared(&self, posture: &Posture, asked: &Asked<'_>, now: Tick) -> Judged {
        self.judge_party(posture.facts(), asked, now)
    }

    /// The same of facts that have no posture.
    pub(crate) fn judge_party(&self, facts: &PartyFacts, asked: &Asked<'_>, now: Tick) -> Judged {
        let Some(era) = self.era(now) else {
            return self.unreadable(now);
        };
        let (begins, ends) = facts.expiries_around(now);
        let until = [era.until, ends].into_iter().flatten().min();
        let facts = facts.for_question(&asked.subject(), now);
        let mut verdict = self.verdict(self.find(era, &facts, asked, now), until);
        verdict.consumes = self.consumes(era, &facts, asked, now, verdict.ruling);
        if let Some(block) = facts.block(&asked.model_facts.name) {
            verdict = block.over(verdict);
        }
        Judged {
            from: begins.map_or(era.from, |begins| begins.max(era.from)),
            verdict,
        }
    }

    /// The verdict where there are no facts to judge: a posture, model or channel that the tables do not have.
    pub(crate) fn unreadable(&self, now: Tick) -> Judged {
        let (from, until) = self.era(now).map_or((Tick(0), None), |era| (era.from, era.until));
        Judged {
            from,
            verdict: self.verdict(Found::unreadable(), until),
        }
    }

    /// The instants at which rules or sets change, in order, the first the beginning of time.
    pub(crate) fn begins(&self) -> impl Iterator<Item = Tick> + '_ {
        self.eras.iter().map(|era| era.from)
    }

    /// The countries of the sets that hold at `now`.
    pub(crate) fn countries(&self, now: Tick) -> Option<&Countries> {
        self.era(now).map(|era| &era.countries)
    }

    fn era(&self, now: Tick) -> Option<&Era> {
        let after = self.eras.partition_point(|era| era.from <= now);
        self.eras.get(after.checked_sub(1)?)
    }

    /// What is found of a party whose facts are cut to the question.
    fn find(&self, era: &Era, facts: &PartyFacts, asked: &Asked<'_>, now: Tick) -> Found {
        if facts.also.is_empty() {
            self.find_in_one(era, facts, asked)
                .unwrap_or_else(|_| Found::unreadable())
        } else {
            self.find_in_worlds(era, facts, asked, now)
        }
    }

    /// The findings on facts without alternatives.
    fn find_in_one(&self, era: &Era, facts: &PartyFacts, asked: &Asked<'_>) -> Result<Found, FactsError> {
        let (request, entities) = asked.request(&Prepared::of_party(facts)?, &era.countries)?;
        let case = Case {
            entities,
            known: asked.known(facts, &era.countries),
            request,
        };
        let permits = self.evaluate(&era.permits, &case);
        let mut findings = self.evaluate(&era.forbids, &case);
        // A permit that could not be evaluated might have applied: that is for an officer to say.
        if permits.is_empty() {
            findings.push(Finding::NoPermit);
        }
        let (allows, fails): (Vec<_>, Vec<_>) = permits
            .into_iter()
            .partition(|one| matches!(one, Finding::Applies(_)));
        findings.extend(fails);
        if !facts.cleared.is_empty() {
            let model = asked.subject().model;
            findings.retain(|finding| !self.is_cleared(*finding, facts, model));
        }
        // Nothing stands against it: the permits that apply are why.
        if findings.is_empty() {
            findings.extend(allows);
        }
        // A duty that could not be evaluated may be one, and is named as if it were.
        let duties = self.evaluate(&era.obliges, &case).into_iter();
        let mut obligations: Vec<Finding> = duties
            .map(|duty| match duty {
                Finding::Fails(ix) => Finding::Applies(ix),
                other => other,
            })
            .collect();
        obligations.sort();
        Ok(Found {
            findings,
            obligations,
        })
    }

    /// What the rules of these numbers say: which of them apply, and which could not be evaluated.
    fn evaluate(&self, numbers: &[u16], case: &Case<'_>) -> Vec<Finding> {
        let mut out = Vec::new();
        for ix in numbers {
            let at = usize::from(*ix);
            let (Some(rule), Some(alone)) = (self.rules.get(at), self.alone.get(at)) else {
                continue;
            };
            if rule.guard.rules_out(&case.known) {
                continue;
            }
            let response = self
                .authorizer
                .is_authorized(&case.request, alone, &case.entities);
            if response.diagnostics().errors().next().is_some() {
                out.push(Finding::Fails(*ix));
            } else if response.diagnostics().reason().next().is_some() {
                out.push(Finding::Applies(*ix));
            }
        }
        out
    }

    /// Whether an officer cleared it. Only what a rule of a pack holds can be cleared: not a denial, not what the engine
    /// itself holds, and not the failure of a rule that would have permitted or denied.
    fn is_cleared(&self, finding: Finding, facts: &PartyFacts, model: &str) -> bool {
        let (Finding::Applies(ix) | Finding::Fails(ix)) = finding else {
            return false;
        };
        let rule = self.rules.get(usize::from(ix));
        rule.is_some_and(|rule| {
            rule.ruling == Ruling::Hold
                && (facts.clears(&rule.told.id, model) || facts.clears(&rule.rule.id, model))
        })
    }

    /// The findings of every world that contradictory evidence leaves open: whatever forbids in one of them forbids, and
    /// permits are why only if nothing forbids in any. A duty in one of them is a duty.
    fn find_in_worlds(&self, era: &Era, facts: &PartyFacts, asked: &Asked<'_>, now: Tick) -> Found {
        let worlds = facts.worlds(now);
        let mut findings = BTreeSet::new();
        let mut obligations = BTreeSet::new();
        findings.extend(worlds.are_too_many.then_some(Finding::Contradictory));
        for world in &worlds.each {
            match self.find_in_one(era, world, asked) {
                Ok(found) => {
                    findings.extend(found.findings);
                    obligations.extend(found.obligations);
                }
                Err(_) => drop(findings.insert(Finding::Unreadable)),
            }
        }
        if findings.iter().any(|one| self.ruling(*one) != Ruling::Allow) {
            findings.retain(|one| self.ruling(*one) != Ruling::Allow);
        }
        Found {
            findings: findings.into_iter().collect(),
            obligations: obligations.into_iter().collect(),
        }
    }

    /// Counted licences on which the ruling rests. Any one that the others make up for is left out, the last by id first,
    /// so that what is named is never more than is needed, and never less.
    fn consumes(
        &self,
        era: &Era,
        facts: &PartyFacts,
        asked: &Asked<'_>,
        now: Tick,
        ruling: Ruling,
    ) -> Arc<[Arc<str>]> {
        let mut left = facts.clone_if_counted();
        let Some(left) = &mut left else {
            return Arc::default();
        };
        let mut needed = Vec::new();
        for id in facts.counted_held().rev() {
            let less = left.without_licences(std::slice::from_ref(id));
            if self.strictest(&self.find(era, &less, asked, now).findings) > ruling {
                needed.push(id.clone());
            } else {
                *left = less;
            }
        }
        needed.reverse();
        needed.into()
    }

    fn strictest(&self, findings: &[Finding]) -> Ruling {
        let rulings = findings.iter().map(|finding| self.ruling(*finding));
        rulings.max().unwrap_or(Ruling::Allow)
    }

    fn verdict(&self, found: Found, valid_until: Option<Tick>) -> Verdict {
        let mut findings = found.findings;
        findings.sort_by_key(|finding| (std::cmp::Reverse(self.ruling(*finding)), *finding));
        Verdict {
            consumes: Arc::default(),
            epoch: self.number,
            obligations: self.rules_of(&found.obligations),
            ruling: self.strictest(&findings),
            rules: self.rules_of(&findings),
            valid_until,
        }
    }

    fn ruling(&self, finding: Finding) -> Ruling {
        match finding {
            Finding::Applies(ix) => self
                .rules
                .get(usize::from(ix))
                .map_or(Ruling::Hold, |rule| rule.ruling),
            Finding::Contradictory | Finding::Fails(_) | Finding::Unreadable => Ruling::Hold,
            Finding::NoPermit => Ruling::Deny,
        }
    }

    /// The rules of a verdict; the same findings share one list.
    fn rules_of(&self, findings: &[Finding]) -> Arc<[Rule]> {
        match findings {
            [] => return Arc::default(),
            [one] if let Some(list) = self.singles.get(one) => return list.clone(),
            _ => {}
        }
        if let Some(list) = self
            .combinations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(findings)
        {
            return list.clone();
        }
        let single = |finding| self.singles.get(finding).and_then(|list| list.first().cloned());
        let list: Arc<[Rule]> = findings.iter().filter_map(single).collect();
        let mut known = self.combinations.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < COMBINATIONS_MAX {
            known.insert(findings.into(), list.clone());
        }
        list
    }
}

/// A rule as the only one of its set.
fn alone(rule: &PackRule) -> Result<PolicySet, PackProblem> {
    let mut set = PolicySet::new();
    // The first of a set is not known to be refused; but a rule may never be left out in silence.
    set.add(rule.policy.new_id(PolicyId::new("rule"))).map_err(|e| {
        let help = "this is a defect of tieline; please report it";
        at_rule(rule, e.to_string(), help)
    })?;
    Ok(set)
}

fn singles(rules: &[PackRule]) -> BTreeMap<Finding, Arc<[Rule]>> {
    let mut out = BTreeMap::new();
    for (rule, ix) in rules.iter().zip(0..) {
        out.insert(Finding::Applies(ix), Arc::from([rule.told.clone()]));
        let reason = Arc::from("This rule could not be evaluated for the call, so an officer has to decide.");
        out.insert(
            Finding::Fails(ix),
            Arc::from([Rule {
                reason,
                ..rule.told.clone()
            }]),
        );
    }
    let own = |id: &str, reason: &str| {
        let rule = Rule {
            citation: Arc::from("tieline, the default where no pack decides"),
            id: Arc::from(format!("{OWN_PACK}/{id}")),
            reason: Arc::from(reason),
        };
        Arc::from([rule])
    };
    out.insert(
        Finding::NoPermit,
        own(NO_PERMIT, "No rule in force permits this call."),
    );
    let reason =
        "The evidence about the party contradicts itself in too many ways, so an officer has to decide.";
    out.insert(Finding::Contradictory, own("contradictory-facts", reason));
    let reason = "What is known about the party, the model or the channel could not be read, so an officer has to decide.";
    out.insert(Finding::Unreadable, own("unreadable-facts", reason));
    out
}

/// The eras of packs: from each instant at which one begins or ends, or a set of it changes, to the next.
fn boundaries(packs: &[Pack]) -> impl Iterator<Item = (Tick, Option<Tick>)> {
    let ends = packs.iter().filter_map(|pack| pack.manifest().valid_to);
    let instants: BTreeSet<Tick> = packs
        .iter()
        .map(|pack| pack.manifest().valid_from)
        .chain(ends)
        .chain(packs.iter().flat_map(|pack| pack.manifest().set_changes()))
        .collect();
    let from = std::iter::once(Tick(0)).chain(instants.clone());
    from.zip(instants.into_iter().map(Some).chain([None]))
        .filter(|(from, until)| Some(*from) != *until)
}

/// What one pack cannot tell: whether ids are unique among packs, and whether the sets of others are there.
fn check_packs(packs: &[Pack], problems: &mut Problems) {
    let mut by_id = BTreeMap::new();
    for pack in packs {
        let id = &pack.manifest().id;
        if by_id.insert(id, pack).is_some() {
            let says = format!("two packs have the id `{id}`");
            problems.push(at_manifest(pack, says, "an epoch has one version of each pack"));
        }
    }
    if packs.len() > PACKS_MAX
        && let Some(pack) = packs.first()
    {
        let says = format!("{} packs are given, and {PACKS_MAX} are the limit", packs.len());
        problems.push(at_manifest(pack, says, "leave some out"));
    }
    let eras = boundaries(packs).count();
    if eras > ERAS_MAX
        && let Some(pack) = packs.first()
    {
        let says =
            format!("packs and members of sets change at {eras} instants, and {ERAS_MAX} are the limit");
        problems.push(at_manifest(
            pack,
            says,
            "leave out dated members that no decision needs",
        ));
    }
    for pack in packs {
        for rule in pack.rules() {
            for name in &rule.sets {
                if let Some((says, help)) = missing_set(name, rule, pack, &by_id) {
                    problems.push(at_rule(rule, says, help));
                }
            }
        }
    }
}

/// What is wrong with a set that a rule names: a rule about an empty set would forbid nobody.
fn missing_set(
    name: &str,
    rule: &PackRule,
    user: &Pack,
    packs: &BTreeMap<&Arc<str>, &Pack>,
) -> Option<(String, &'static str)> {
    let (pack, set) = name.split_once('/')?;
    let Some(owner) = packs.get(&Arc::from(pack)) else {
        return Some((
            format!("the rule names a set of the pack `{pack}`, which is not loaded"),
            "load it as well",
        ));
    };
    let (owner, user) = (owner.manifest(), user.manifest());
    let Some(found) = owner.sets.get(set) else {
        return Some((
            format!("the pack `{pack}` has no set `{set}`"),
            "look into its pack.toml",
        ));
    };
    if found.unverified.is_some() && rule.ruling != Ruling::Hold && !rule.obliges {
        return Some((
            format!("the set `{name}` is unverified, and the rule does more than hold"),
            "what is unverified may hold, and neither allow nor deny",
        ));
    }
    let outlives = owner
        .valid_to
        .is_none_or(|end| user.valid_to.is_some_and(|user_end| user_end <= end));
    if owner.valid_from > user.valid_from || !outlives {
        let says =
            format!("the rule names the set `{name}`, which does not hold for as long as the rule does");
        return Some((says, "make the validity of one pack cover the other's"));
    }
    None
}

fn at_manifest(pack: &Pack, says: String, help: &str) -> PackProblem {
    let path = Arc::from(format!("{}/pack.toml", pack.manifest().id));
    Sheet {
        path: &path,
        text: "",
    }
    .problem(0, says, Some(help))
}

fn at_rule(rule: &PackRule, says: String, help: &str) -> PackProblem {
    let pack = rule.rule.id.split('/').next().unwrap_or_default();
    let file = Arc::from(format!("{pack}/{}", rule.file));
    PackProblem {
        file,
        line: rule.line,
        col: 1,
        says,
        help: Some(help.to_owned()),
    }
}

// === impl Found ===

impl Found {
    fn unreadable() -> Self {
        Self {
            findings: vec![Finding::Unreadable],
            obligations: Vec::new(),
        }
    }
}

// === impl Era ===

impl Era {
    fn build(from: Tick, until: Option<Tick>, packs: &[Pack], rules: &[PackRule]) -> Self {
        let holds = |pack: &&Pack| {
            let manifest = pack.manifest();
            manifest.valid_from <= from && manifest.valid_to.is_none_or(|end| from < end)
        };
        let sets: Vec<(String, BTreeSet<_>)> = (packs.iter().filter(holds))
            .flat_map(|pack| pack.manifest().sets_at(from))
            .collect();
        let names: Vec<(String, &BTreeSet<_>)> = sets.iter().map(|(name, set)| (name.clone(), set)).collect();
        let current: BTreeSet<&str> = packs
            .iter()
            .filter(holds)
            .map(|pack| &*pack.manifest().id)
            .collect();
        let (mut forbids, mut obliges, mut permits) = (Vec::new(), Vec::new(), Vec::new());
        for (rule, ix) in rules.iter().zip(0_u16..) {
            let pack = rule.rule.id.split('/').next().unwrap_or_default();
            if current.contains(pack) {
                let list = match rule.ruling {
                    Ruling::Allow if rule.obliges => &mut obliges,
                    Ruling::Allow => &mut permits,
                    Ruling::Hold | Ruling::Deny => &mut forbids,
                };
                list.push(ix);
            }
        }
        Self {
            countries: Countries::new(&names),
            forbids,
            from,
            obliges,
            permits,
            until,
        }
    }
}

/// Facts prepared for one verdict.
struct Whole {
    channel: Prepared,
    model: Prepared,
    posture: Posture,
}

impl Whole {
    fn new(facts: &Facts) -> Result<Self, crate::posture::PostureError> {
        Ok(Self {
            channel: Prepared::of_channel(&facts.channel)?,
            model: Prepared::of_model(&facts.model)?,
            posture: Posture::new(facts.party.clone())?,
        })
    }

    fn asked<'a>(&'a self, facts: &'a Facts) -> Asked<'a> {
        Asked::of(facts, &self.channel, &self.model)
    }
}

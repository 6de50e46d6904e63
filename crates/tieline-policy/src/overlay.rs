//! The overlay: the directives in force, laid over an epoch. Every question that no directive touches keeps its base
//! verdict; for the others the strictest of the base verdict and all directives wins, and the verdict names them all.
//!
//! Of two versions of one directive the earlier ends where the later begins, so that an amendment which begins later leaves
//! no gap and needs nobody at that instant.
//!
//! Contract. An overlay never makes a verdict less strict, and the order of its directives does not matter. Without
//! directives the verdicts are those of the epoch, but for the number of the activation. Bounds: [`DIRECTIVES_MAX`]
//! directives, and the parties of which it remembers by which lists they are named.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tieline_core::{ModelIx, Rule, Ruling, Tick};
use tieline_note::{Digest, jcs, sha256};

use crate::directive::{Directive, InFlight, Named, Reach, SignedOrder, Standing, Weighed};
use crate::engine::{Epoch, Judged, NO_PERMIT, OWN_PACK};
use crate::facts::{FactName, Facts, PartyFacts};
use crate::pack::Disclosure;
use crate::problem::{PackProblem, Problems};
use crate::registry::{PARTIES_MAX, Registry};
use crate::representative::Sets;
use crate::targets::Targets;

/// The type tag of version 1 of [`OverlayRecord`].
pub const OVERLAY_V1: &str = "tieline/overlay/v1";

/// Directives in force at once: three weeks of June 2026 saw three, one after the other. Two bits for each fit the 128 in
/// which a party's lists are remembered.
pub const DIRECTIVES_MAX: usize = 64;

/// Names that [`Overlay::strangers`] lists: a letter may name 100,000 parties of which this house knows none.
pub const STRANGERS_MAX: usize = 100;

/// Locks over the parties that are remembered; each entry is a name of some 20 bytes and 24 more.
const SHARDS: usize = 16;

/// Parties that one shard remembers. It is emptied when it is full, which costs those in it one walk up the tree.
const SHARD_MAX: usize = PARTIES_MAX / SHARDS * 2;

/// The ids of a party and of all above it. It gives the same answer for as long as the overlay lives: a tree that changes
/// is a new overlay, which keeps the base verdicts.
pub type Lineage = Arc<dyn Fn(&str) -> Vec<Arc<str>> + Send + Sync>;

/// Directives in force.
#[derive(Clone)]
pub struct Overlay {
    digest: Digest,
    /// By id and version.
    directives: Vec<Arc<Directive>>,
    lineage: Lineage,
    number: Option<u64>,
    record: OverlayRecord,
}

/// What an overlay is rebuilt from, with the notes of its directives and the epoch that it lies over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayRecord {
    /// The digest of the epoch's record.
    pub base: Digest,
    /// Digests of the signed notes, ascending.
    pub directives: Vec<Digest>,
    /// A decimal string, since it may pass 2^53.
    pub number: String,
    /// Always [`OVERLAY_V1`].
    pub t: Arc<str>,
}

/// An overlay as it lies over one epoch and one grid.
pub(crate) struct Laid {
    lists: Lists,
    overlay: Arc<Overlay>,
    rows: Vec<Row>,
    /// By the model's index, the rows that touch it.
    touching: Vec<Box<[u8]>>,
}

struct Row {
    label: Arc<str>,
    weighed: Weighed,
}

/// By which directives' lists a party is named: for each two bits.
#[derive(Debug, Default)]
struct Lists {
    patterns: RwLock<BTreeMap<u128, u16>>,
    shards: [RwLock<HashMap<Arc<str>, Listed>>; SHARDS],
}

/// The lists that name a party.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    bits: u128,
    /// The number of this combination of lists, 0 for none; `None` if there are too many to number.
    pub(crate) number: Option<u16>,
}

// === impl Overlay ===

impl Overlay {
    /// No directive, and no activation of its own: verdicts bear the epoch's number.
    pub fn none() -> Self {
        Self {
            digest: Digest([0; 32]),
            directives: Vec::new(),
            lineage: Arc::new(|party| vec![Arc::from(party)]),
            number: None,
            record: OverlayRecord {
                base: Digest([0; 32]),
                directives: Vec::new(),
                number: "0".to_owned(),
                t: Arc::from(OVERLAY_V1),
            },
        }
    }

    /// The overlay of these directives over `epoch`, as the activation `number`.
    pub fn build(
        number: u64,
        mut directives: Vec<Arc<Directive>>,
        epoch: &Epoch,
        lineage: Lineage,
    ) -> Result<Self, Vec<PackProblem>> {
        directives.sort_by(|a, b| (&a.id, a.version).cmp(&(&b.id, b.version)));
        check(&directives, epoch)?;
        succeed(&mut directives);
        let mut digests: Vec<Digest> = directives.iter().map(|one| one.digest).collect();
        digests.sort();
        let record = OverlayRecord {
            base: epoch.digest(),
            directives: digests,
            number: number.to_string(),
            t: Arc::from(OVERLAY_V1),
        };
        Ok(Self {
            // Strings and digests always have canonical JSON.
            digest: sha256(&jcs::to_vec(&record).unwrap_or_default()),
            directives,
            lineage,
            number: Some(number),
            record,
        })
    }

    /// Rebuilds an overlay from its record and the archived notes of its directives, which may be among others.
    pub fn from_record(
        record: &OverlayRecord,
        notes: &[Arc<str>],
        epoch: &Epoch,
        lineage: Lineage,
    ) -> Result<Self, Vec<PackProblem>> {
        let refuse = |says: String| vec![at_overlay(says)];
        if &*record.t != OVERLAY_V1 {
            let says = format!(
                "the record is of type `{}`; this version reads `{OVERLAY_V1}`",
                record.t
            );
            return Err(refuse(says));
        }
        if record.base != epoch.digest() {
            let says = format!(
                "the overlay lies over the epoch {}, and this is another",
                record.base
            );
            return Err(refuse(says));
        }
        let number = record
            .number
            .parse()
            .map_err(|_| refuse("its number is no number".into()))?;
        let mut directives = Vec::new();
        for digest in &record.directives {
            let note = notes.iter().find(|note| sha256(note.as_bytes()) == *digest);
            let note =
                note.ok_or_else(|| refuse(format!("the note of the directive {digest} is missing")))?;
            let order = SignedOrder::from_archive(note).map_err(|error| refuse(error.to_string()))?;
            let directive = order.directive().cloned();
            directives.push(directive.ok_or_else(|| refuse(format!("the note {digest} is no directive")))?);
        }
        Self::build(number, directives, epoch, lineage)
    }

    /// By id and version.
    pub fn directives(&self) -> &[Arc<Directive>] {
        &self.directives
    }

    /// The directive behind a rule of a verdict, with its title and remedy.
    pub fn directive(&self, rule_id: &str) -> Option<&Arc<Directive>> {
        self.directives.iter().find(|one| *one.rule_id() == *rule_id)
    }

    /// The activation; `None` of [`Overlay::none`].
    pub const fn number(&self) -> Option<u64> {
        self.number
    }

    /// SHA-256 of the canonical JSON of [`Overlay::record`].
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn record(&self) -> &OverlayRecord {
        &self.record
    }

    /// Models and labs that directives name and that the grid does not have, and parties that nobody recorded, as
    /// `<id>@<version>: model x`; at most [`STRANGERS_MAX`]. A directive may name what is not here; whoever misspelt a name
    /// should learn it before somebody is missed.
    pub fn strangers(&self, targets: &Targets, registry: &Registry) -> Vec<String> {
        let mut out = Vec::new();
        for directive in &self.directives {
            let models = directive.scope.models.iter();
            let models = models.filter(|name| targets.models().all(|model| model.name != **name));
            out.extend(models.map(|name| format!("{}: model {name}", directive.label())));
            let labs = directive.scope.labs.iter();
            let labs = labs.filter(|name| targets.models().all(|model| model.lab != **name));
            out.extend(labs.map(|name| format!("{}: lab {name}", directive.label())));
            let selectors = [&directive.who, &directive.exempt].into_iter().flatten();
            let parties = selectors.flat_map(|selector| &selector.parties);
            let parties = parties.filter(|party| registry.record(party).is_none());
            out.extend(parties.map(|name| format!("{}: party {name}", directive.label())));
        }
        out.truncate(STRANGERS_MAX);
        out
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

/// What one directive cannot tell: whether there are too many, two of one id, or none of a set that it names.
fn check(directives: &[Arc<Directive>], epoch: &Epoch) -> Result<(), Vec<PackProblem>> {
    let mut problems = Problems::default();
    if directives.len() > DIRECTIVES_MAX {
        let says = format!(
            "{} directives would be in force, and {DIRECTIVES_MAX} are the limit; revoke some",
            directives.len()
        );
        problems.push(at_overlay(says));
    }
    for (one, next) in directives.iter().zip(directives.iter().skip(1)) {
        if one.id == next.id && one.valid_from >= next.valid_from {
            let says = format!("two versions of the directive `{}` would be in force", one.id);
            problems.push(at_overlay(says));
        }
    }
    for directive in directives {
        for (selector, is_exempt) in [(&directive.who, false), (&directive.exempt, true)] {
            let Some(condition) = selector.as_ref().and_then(|one| one.condition.as_ref()) else {
                continue;
            };
            for name in &condition.sets {
                let set = name.split_once('/').and_then(|(pack, set)| {
                    let owner = epoch.packs().iter().find(|one| *one.manifest().id == *pack)?;
                    owner.manifest().sets.get(set)
                });
                let holds_only = !is_exempt && directive.ruling() == Ruling::Hold;
                match set {
                    None => problems.push(condition.problem(
                        format!("the packs in force have no set `{name}`"),
                        "load the pack that has it, or list the countries",
                    )),
                    Some(set) if set.unverified.is_some() && !holds_only => problems.push(condition.problem(
                        format!("the set `{name}` is unverified"),
                        "what is unverified may hold, and neither deny nor exempt",
                    )),
                    Some(_) => {}
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into_sorted())
    }
}

/// Each version of a directive ends where the next one begins. By id and version.
fn succeed(directives: &mut [Arc<Directive>]) {
    let begins: Vec<Option<Tick>> = (directives.iter().zip(directives.iter().skip(1)))
        .map(|(one, next)| (one.id == next.id).then_some(next.valid_from))
        .collect();
    for (one, begins) in directives.iter_mut().zip(begins) {
        let Some(begins) = begins else { continue };
        if one.valid_to.is_none_or(|to| to > begins) {
            let ended = Directive {
                valid_to: Some(begins),
                ..Directive::clone(one)
            };
            *one = Arc::new(ended);
        }
    }
}

fn at_overlay(says: String) -> PackProblem {
    PackProblem {
        file: Arc::from("overlay"),
        line: 1,
        col: 1,
        says,
        help: None,
    }
}

// === impl Laid ===

impl Laid {
    /// `None` where no directive touches any model.
    pub(crate) fn new(overlay: Arc<Overlay>, epoch: &Epoch, targets: &Targets) -> Option<Self> {
        let eras: Vec<(Tick, Sets)> = epoch
            .begins()
            .map(|from| (from, Sets::at(epoch.packs(), from)))
            .collect();
        let row = |directive: &Arc<Directive>| Row {
            label: directive.label(),
            weighed: Weighed::new(directive.clone(), &eras),
        };
        let rows: Vec<Row> = overlay.directives.iter().map(row).collect();
        let touches = |model| {
            let rows = rows.iter().zip(0_u8..);
            let rows = rows.filter(|(row, _)| row.weighed.directive.scope.reach(model) != Reach::No);
            rows.map(|(_, at)| at).collect()
        };
        let touching: Vec<Box<[u8]>> = targets.models().map(touches).collect();
        touching.iter().any(|rows| !rows.is_empty()).then_some(Self {
            lists: Lists::default(),
            overlay,
            rows,
            touching,
        })
    }

    pub(crate) fn touches(&self, model: ModelIx) -> bool {
        self.touching
            .get(usize::from(model.0))
            .is_some_and(|rows| !rows.is_empty())
    }

    /// By which lists of directives a party is named.
    pub(crate) fn listed(&self, party: &str) -> Listed {
        let lists = |row: &Row| {
            let directive = &row.weighed.directive;
            let mut selectors = [&directive.who, &directive.exempt].into_iter().flatten();
            selectors.any(|one| !one.parties.is_empty())
        };
        if !self.rows.iter().any(lists) {
            return Listed {
                bits: 0,
                number: Some(0),
            };
        }
        self.lists.find(party).unwrap_or_else(|| {
            let mut chain = (self.overlay.lineage)(party);
            chain.push(Arc::from(party));
            let mut bits = 0;
            for (row, at) in self.rows.iter().zip(0..) {
                let names = |selector: &Option<crate::Selector>| {
                    u128::from(selector.as_ref().is_some_and(|one| one.names(&chain)))
                };
                let directive = &row.weighed.directive;
                bits |= (names(&directive.who) | names(&directive.exempt) << 1) << (2 * at);
            }
            self.lists.keep(party, bits)
        })
    }

    /// Every directive with its label, and where the question stands under it.
    pub(crate) fn standings<'a>(
        &'a self,
        facts: &'a Facts,
        party: &'a PartyFacts,
        listed: Listed,
        epoch: &'a Epoch,
        now: Tick,
    ) -> impl Iterator<Item = (&'a Arc<Directive>, &'a Arc<str>, Standing)> {
        self.rows.iter().zip(0_u32..).map(move |(row, at)| {
            let bits = listed.bits >> (2 * at);
            let named = Named {
                exempt: bits & 2 != 0,
                who: bits & 1 != 0,
            };
            let standing = match epoch.countries(now) {
                Some(countries) => row.weighed.standing(facts, party, named, countries, now),
                None => Standing::Undetermined(BTreeSet::new()),
            };
            (&row.weighed.directive, &row.label, standing)
        })
    }

    /// What becomes of a call in flight that directives refuse: the strictest of what they say.
    pub(crate) fn in_flight<'a>(
        refusing: impl Iterator<Item = (&'a Arc<Directive>, &'a Arc<str>, Standing)>,
    ) -> Option<InFlight> {
        refusing
            .filter(|(_, _, standing)| standing.refuses())
            .map(|(directive, _, _)| directive.in_flight)
            .reduce(InFlight::stricter)
    }

    /// The base verdict with the directives laid over.
    pub(crate) fn combine(
        &self,
        base: &Judged,
        facts: &Facts,
        party: &PartyFacts,
        listed: Listed,
        epoch: &Epoch,
        now: Tick,
    ) -> Judged {
        let mut verdict = base.verdict.clone();
        let mut from = base.from;
        for row in self.reaching(facts) {
            let (begins, ends) = row.weighed.directive.instants_around(now);
            from = begins.map_or(from, |begins| begins.max(from));
            verdict.valid_until = [verdict.valid_until, ends].into_iter().flatten().min();
        }
        let mut refusals = self.refusals(facts, party, listed, epoch, now);
        if refusals.is_empty() {
            if verdict.ruling == Ruling::Allow {
                verdict.consumes = self.consumes(&verdict.consumes, facts, party, listed, epoch, now);
            }
            return Judged { from, verdict };
        }
        if verdict.ruling != Ruling::Allow {
            let ruling = |rule: &Rule| base_ruling(epoch, rule, base.verdict.ruling);
            refusals.extend(verdict.rules.iter().map(|rule| (ruling(rule), rule.clone())));
        }
        refusals.sort_by(|a, b| (Reverse(a.0), &a.1.id).cmp(&(Reverse(b.0), &b.1.id)));
        verdict.ruling = refusals.first().map_or(Ruling::Hold, |(strictest, _)| *strictest);
        verdict.rules = refusals.into_iter().map(|(_, rule)| rule).collect();
        Judged { from, verdict }
    }

    fn reaching<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Row> {
        let reaches = |row: &&Row| row.weighed.directive.scope.reach(&facts.model) != Reach::No;
        self.rows.iter().filter(reaches)
    }

    /// What each directive rules against the question, unless an officer cleared a hold.
    fn refusals(
        &self,
        facts: &Facts,
        party: &PartyFacts,
        listed: Listed,
        epoch: &Epoch,
        now: Tick,
    ) -> Vec<(Ruling, Rule)> {
        let cleared = (!party.cleared.is_empty()).then(|| party.at(now));
        let is_cleared = |id: &str| {
            cleared
                .as_ref()
                .is_some_and(|party| party.clears(id, &facts.model.name))
        };
        self.standings(facts, party, listed, epoch, now)
            .filter_map(|(directive, _, standing)| refusal(directive, &standing))
            .filter(|(ruling, rule)| *ruling == Ruling::Deny || !is_cleared(&rule.id))
            .collect()
    }

    /// Counted licences on which an allowed call rests: those of the base verdict, and those without which a directive
    /// would refuse. Any one that the others make up for is left out, the last by id first.
    fn consumes(
        &self,
        base: &Arc<[Arc<str>]>,
        facts: &Facts,
        party: &PartyFacts,
        listed: Listed,
        epoch: &Epoch,
        now: Tick,
    ) -> Arc<[Arc<str>]> {
        let Some(mut left) = party.clone_if_counted() else {
            return base.clone();
        };
        let mut needed: BTreeSet<Arc<str>> = base.iter().cloned().collect();
        for id in party.counted_held().rev().filter(|id| !base.contains(id)) {
            let less = left.without_licences(std::slice::from_ref(id));
            if self.refusals(facts, &less, listed, epoch, now).is_empty() {
                left = less;
            } else {
                needed.insert(id.clone());
            }
        }
        needed.into_iter().collect()
    }
}

impl fmt::Debug for Laid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laid")
            .field("overlay", &self.overlay)
            .finish_non_exhaustive()
    }
}

/// How strict a rule of a refusing base verdict is: a hold at least, and no more than the verdict, since a rule that
/// could not be evaluated only holds.
fn base_ruling(epoch: &Epoch, rule: &Rule, verdict: Ruling) -> Ruling {
    let own = rule
        .id
        .strip_prefix(OWN_PACK)
        .and_then(|rest| rest.strip_prefix('/'));
    let ruling = match own {
        Some(NO_PERMIT) => Ruling::Deny,
        Some(_) => Ruling::Hold,
        None => epoch.rule(&rule.id).map_or(Ruling::Hold, |rule| rule.ruling),
    };
    ruling.max(Ruling::Hold).min(verdict)
}

/// What a directive rules for this standing, as the rule that the verdict names; `None` if nothing.
fn refusal(directive: &Directive, standing: &Standing) -> Option<(Ruling, Rule)> {
    let ruling = match standing {
        Standing::Outside | Standing::Exempt => return None,
        Standing::Undetermined(_) => Ruling::Hold,
        Standing::Inside => directive.ruling(),
    };
    let (citation, reason) = match (directive.disclosure, standing) {
        (Disclosure::Code | Disclosure::Sealed, _) => (Arc::default(), Arc::default()),
        (Disclosure::Public, Standing::Undetermined(facts)) => (
            directive.authority.clone(),
            Arc::from(undetermined(&directive.reason, facts)),
        ),
        (Disclosure::Public, _) => (directive.authority.clone(), directive.reason.clone()),
    };
    let rule = Rule {
        citation,
        id: directive.rule_id(),
        reason,
    };
    Some((ruling, rule))
}

fn undetermined(reason: &str, facts: &BTreeSet<FactName>) -> String {
    if facts.is_empty() {
        return format!(
            "{reason} What is known of the model, the channel or the call does not say whether this concerns it, so an \
             officer has to decide."
        );
    }
    let names: Vec<String> = facts.iter().map(ToString::to_string).collect();
    format!(
        "{reason} Whether this concerns the caller is not known for want of {}, so an officer has to decide.",
        names.join(", ")
    )
}

// === impl Lists ===

impl Lists {
    fn find(&self, party: &str) -> Option<Listed> {
        let shard = self.shard(party)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.get(party).copied()
    }

    fn keep(&self, party: &str, bits: u128) -> Listed {
        let number = self.number(bits);
        let listed = Listed { bits, number };
        let Some(shard) = self.shard(party) else {
            return listed;
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_MAX {
            shard.clear();
        }
        shard.insert(Arc::from(party), listed);
        listed
    }

    /// Each combination of lists has one number for the life of the overlay.
    fn number(&self, bits: u128) -> Option<u16> {
        if bits == 0 {
            return Some(0);
        }
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = patterns.get(&bits) {
            return Some(*number);
        }
        let number = u16::try_from(patterns.len() + 1).ok()?;
        patterns.insert(bits, number);
        Some(number)
    }

    fn shard(&self, party: &str) -> Option<&RwLock<HashMap<Arc<str>, Listed>>> {
        // The last characters of ids differ most; the table hashes all of them.
        let tail = party
            .bytes()
            .rev()
            .take(4)
            .fold(0_usize, |sum, byte| sum * 31 + usize::from(byte));
        self.shards.get(tail % SHARDS)
    }
}

//! What is suspicious about packs that hold together: rules that never apply, permits that something always forbids,
//! rules that another makes superfluous, sets that nothing names or that are empty for a time, what nobody has verified.
//!
//! Cedar's validator finds rules that its types make impossible. The rest is a search over representative facts: for each
//! rule the product of what it can tell apart, at the instants at which its sets differ. A finding says how many
//! combinations were looked at; where the product is larger than [`COMBINATIONS_MAX`] the search is a scattered sample, and
//! a rule that it did not make apply is a note, never a warning. Nothing here decides anything about a call.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::grid::Weights;
use tieline_core::{Ruling, Tick};

use crate::engine::Epoch;
use crate::facts::{Action, ChannelFacts, FactName, Facts, Kind, ModelFacts, PartyFacts};
use crate::pack::{Manifest, Pack, PackRule, Status};
use crate::probe::{Found, Probe};
use crate::problem::PackProblem;
use crate::representative::{Reads, Sets, WORDS_MAX, pack_of};
use crate::schema::Type;

/// Combinations of facts that are tried for one rule: at some 20 µs each, 65,536 are below 1.5 s, and only a rule that
/// never applies takes as long.
pub const COMBINATIONS_MAX: u64 = 65_536;

/// Combinations after which a rule that did apply is left: what more would say differs little.
const COMBINATIONS_ENOUGH: u64 = 4_096;

/// Facts to which a rule applies that are kept to compare it with others.
const HITS_MAX: usize = 64;

/// Steps of the search for a call that a permit lets through: 8,000 × 100 µs with all shipped packs is 0.8 s a permit, and
/// only one that lets nothing through takes as long.
const STEPS_MAX: usize = 8_000;

/// Steps of it that change several facts at once, from one place.
const LEAPS_MAX: u128 = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LintKind {
    /// A permit, and no call was found that only it decides on.
    AlwaysForbidden,
    /// What Cedar's validator warns of.
    Impossible,
    /// No representative facts make the rule apply.
    NeverApplies,
    /// Below here are notes: they need not be wrong.
    EmptySet,
    /// Wherever the rule applies, another that is at least as strict does.
    Implied,
    /// The search was cut off before it found facts to which the rule applies.
    Unsearched,
    UnusedSet,
    Unverified,
}

/// Something suspicious, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lint {
    /// `<pack>/<path>`.
    pub file: Arc<str>,
    /// Counts from 1.
    pub line: u32,
    pub kind: LintKind,
    /// The full id of a rule or the full name of a set; empty for a file.
    pub subject: Arc<str>,
    pub says: String,
}

/// What was found, and how hard it was looked for.
#[derive(Clone, Debug, Default)]
pub struct Lints {
    /// Combinations of facts that were tried.
    pub combinations: u64,
    /// In the order of places.
    pub found: Vec<Lint>,
}

/// Looks for what is suspicious in the packs with an id in `wanted`. `packs` are they and those beside which they are in
/// force; the rules of a status in `enforce` are taken to forbid what a permit permits.
pub fn lint(
    packs: &[Pack],
    wanted: &BTreeSet<Arc<str>>,
    enforce: &[Status],
) -> Result<Lints, Vec<PackProblem>> {
    let whole = Epoch::build(0, packs.to_vec(), &Status::ALL)?;
    let mut out = Lints::default();
    for pack in packs.iter().filter(|pack| wanted.contains(&pack.manifest().id)) {
        let manifest = pack.manifest();
        for warning in pack.warnings() {
            out.found.push(Lint {
                file: format!("{}/{}", manifest.id, warning.file).into(),
                line: warning.line,
                kind: LintKind::Impossible,
                subject: Arc::default(),
                says: warning.says.clone(),
            });
        }
        lint_sets(pack, whole.rules(), &mut out);
        for (subject, why) in pack.unverified() {
            let rule = pack.rules().iter().find(|rule| rule.rule.id == subject);
            let (file, line) =
                rule.map_or((Arc::from("pack.toml"), 1), |rule| (rule.file.clone(), rule.line));
            out.found.push(Lint {
                file: format!("{}/{file}", manifest.id).into(),
                line,
                kind: LintKind::Unverified,
                says: format!("`{subject}` is unverified: {why}"),
                subject,
            });
        }
        for rule in pack.rules() {
            Search::new(packs, pack, rule).lint(enforce, &mut out);
        }
    }
    out.found.sort();
    out.found.dedup();
    Ok(out)
}

fn lint_sets(pack: &Pack, rules: &[PackRule], out: &mut Lints) {
    let manifest = pack.manifest();
    let mut note = |kind, subject: &str, says: String| {
        out.found.push(Lint {
            file: format!("{}/pack.toml", manifest.id).into(),
            line: 1,
            kind,
            subject: Arc::from(subject),
            says,
        });
    };
    for (name, set) in &manifest.sets {
        let full = format!("{}/{name}", manifest.id);
        if rules
            .iter()
            .all(|rule| rule.sets.iter().all(|used| **used != *full))
        {
            note(
                LintKind::UnusedSet,
                &full,
                format!("no rule of the packs that were looked at names the set `{full}`"),
            );
        }
        if instants(manifest).any(|at| set.at(at).is_empty()) {
            note(
                LintKind::EmptySet,
                &full,
                format!("the set `{full}` has no members for a part of the pack's time"),
            );
        }
    }
}

/// The instants at which a pack's own sets differ, the newest first.
fn instants(manifest: &Manifest) -> impl Iterator<Item = Tick> {
    let changes = manifest.set_changes().into_iter().rev();
    changes.chain([manifest.valid_from])
}

/// One way to change facts.
type Choice = Box<dyn Fn(&mut Facts)>;

/// The search about one rule.
struct Search<'a> {
    pack: &'a Pack,
    packs: &'a [Pack],
    rule: &'a PackRule,
    tried: u64,
}

/// What the search for facts to which a rule applies came to.
struct Hits {
    at: Tick,
    facts: Vec<Facts>,
    /// Whether all combinations at all instants were tried.
    is_whole: bool,
}

impl<'a> Search<'a> {
    fn new(packs: &'a [Pack], pack: &'a Pack, rule: &'a PackRule) -> Self {
        Self {
            pack,
            packs,
            rule,
            tried: 0,
        }
    }

    fn lint(mut self, enforce: &[Status], out: &mut Lints) {
        let hits = self.hits();
        let id = &self.rule.rule.id;
        let found = if hits.facts.is_empty() && hits.is_whole {
            let says = format!(
                "`{id}` can never apply: none of the {} combinations of facts that it can tell apart makes it",
                self.tried
            );
            Some((LintKind::NeverApplies, says))
        } else if hits.facts.is_empty() {
            let says = format!(
                "no facts were found to which `{id}` applies, in a sample of {} combinations",
                self.tried
            );
            Some((LintKind::Unsearched, says))
        } else if self.rule.ruling == Ruling::Allow
            && !self.rule.obliges
            && enforce.contains(&self.pack.manifest().status)
        {
            self.always_forbidden(&hits, enforce)
        } else {
            None
        };
        // A duty is not made superfluous by another.
        let implied = if hits.facts.is_empty() || self.rule.obliges {
            None
        } else {
            self.implied(&hits)
        };
        for (kind, says) in found.into_iter().chain(implied) {
            out.found.push(Lint {
                file: format!("{}/{}", self.pack.manifest().id, self.rule.file).into(),
                line: self.rule.line,
                kind,
                subject: id.clone(),
                says,
            });
        }
        out.combinations = out.combinations.saturating_add(self.tried);
    }

    fn reads(&self, rules: &[&PackRule], at: Tick) -> Reads {
        Reads::of(rules, &Sets::at(self.packs, at))
    }

    /// Facts to which the rule applies, at the newest instant at which there are any.
    fn hits(&mut self) -> Hits {
        let mut is_whole = true;
        // The rule may name sets of other packs, whose members change at other instants.
        let mut times: BTreeSet<Tick> = instants(self.pack.manifest()).collect();
        let manifest = self.pack.manifest();
        let named = |pack: &&Pack| {
            let id = &pack.manifest().id;
            self.rule.sets.iter().any(|set| pack_of(set) == &**id)
        };
        let others = self.packs.iter().filter(named);
        times.extend(others.flat_map(|pack| instants(pack.manifest())));
        times.retain(|at| *at >= manifest.valid_from && manifest.valid_to.is_none_or(|end| *at < end));
        for at in times.into_iter().rev() {
            let reads = self.reads(&[self.rule], at);
            let probe = Probe::new(self.packs, &[self.rule], at);
            let (facts, was_whole) = self.hits_at(&probe, &dimensions(&reads), at);
            // Of many words not every subset is tried.
            is_whole &= was_whole && reads.texts.len() <= WORDS_MAX;
            if !facts.is_empty() {
                return Hits { at, facts, is_whole };
            }
        }
        Hits {
            at: manifest.valid_from,
            facts: Vec::new(),
            is_whole,
        }
    }

    fn hits_at(&mut self, probe: &Probe, choices: &[Vec<Choice>], at: Tick) -> (Vec<Facts>, bool) {
        let scatter = Scatter::new(choices);
        let mut facts = Vec::new();
        let limit = scatter.total.min(u128::from(COMBINATIONS_MAX));
        let mut number = 0;
        while number < limit {
            if facts.len() >= HITS_MAX || (!facts.is_empty() && number >= u128::from(COMBINATIONS_ENOUGH)) {
                break;
            }
            let next = scatter.facts(number, choices);
            number += 1;
            self.tried = self.tried.saturating_add(1);
            if applies(probe, &next, at) {
                facts.push(next);
            }
        }
        (facts, scatter.total <= u128::from(COMBINATIONS_MAX))
    }

    /// A permit for which no call was found that nothing forbids.
    fn always_forbidden(&mut self, hits: &Hits, enforce: &[Status]) -> Option<(LintKind, String)> {
        let in_force = self.rules_at(hits.at, |pack| enforce.contains(&pack.manifest().status));
        let probe = Probe::new(self.packs, &in_force, hits.at);
        let own = in_force
            .iter()
            .position(|rule| rule.rule.id == self.rule.rule.id)?;
        let against = |found: &Found| -> BTreeSet<usize> {
            let forbids = |ix: &&usize| {
                in_force
                    .get(**ix)
                    .is_some_and(|rule| rule.ruling != Ruling::Allow)
            };
            found
                .applies
                .union(&found.fails)
                .filter(forbids)
                .copied()
                .collect()
        };
        let mut steps = 0;
        let mut least: Option<BTreeSet<usize>> = None;
        for start in &hits.facts {
            let mut facts = start.clone();
            let mut rest = against(&probe.ask(&facts, hits.at).ok()?);
            while !rest.is_empty() && steps < STEPS_MAX {
                let those: Vec<&PackRule> = rest.iter().filter_map(|ix| in_force.get(*ix).copied()).collect();
                let choices = dimensions(&self.reads(&those, hits.at));
                let better = nearby(&facts, &choices).find_map(|next| {
                    steps += 1;
                    let found = probe.ask(&next, hits.at).ok()?;
                    let left = against(&found);
                    (found.applies.contains(&own) && left.len() < rest.len()).then_some((next, left))
                });
                let Some(better) = better else { break };
                (facts, rest) = better;
            }
            if rest.is_empty() {
                return None;
            }
            if least.as_ref().is_none_or(|known| rest.len() < known.len()) {
                least = Some(rest);
            }
        }
        self.tried = self.tried.saturating_add(steps as u64);
        let least = least?;
        let names = least.iter().filter_map(|ix| in_force.get(*ix));
        let names: Vec<String> = names.map(|rule| format!("`{}`", rule.rule.id)).collect();
        let says = format!(
            "`{}` permits nothing: in a search of {steps} steps, something always held or denied what it permits, at \
             least {}",
            self.rule.rule.id,
            names.join(", ")
        );
        Some((LintKind::AlwaysForbidden, says))
    }

    /// Another rule that applies wherever this one does, and is at least as strict.
    fn implied(&mut self, hits: &Hits) -> Option<(LintKind, String)> {
        let (own, status) = (self.pack.manifest(), self.pack.manifest().status);
        let rules = self.rules_at(hits.at, |pack| {
            let other = pack.manifest();
            let outlives = other
                .valid_to
                .is_none_or(|end| own.valid_to.is_some_and(|own_end| own_end <= end));
            other.status == status && other.valid_from <= own.valid_from && outlives
        });
        let probe = Probe::new(self.packs, &rules, hits.at);
        let is_side = |rule: &PackRule| {
            rule.rule.id != self.rule.rule.id
                && (rule.ruling == Ruling::Allow) == (self.rule.ruling == Ruling::Allow)
                && !rule.obliges
                && rule.ruling >= self.rule.ruling
        };
        let mut left: BTreeSet<usize> = (0..rules.len())
            .filter(|ix| rules.get(*ix).is_some_and(|rule| is_side(rule)))
            .collect();
        for facts in &hits.facts {
            if left.is_empty() {
                return None;
            }
            let found = probe.ask(facts, hits.at).ok()?;
            left.retain(|ix| found.applies.contains(ix));
        }
        let by = left
            .into_iter()
            .filter_map(|ix| rules.get(ix).copied())
            .find(|rule| self.covers(rule, hits))?;
        let says = format!(
            "`{}` adds nothing to `{}`, which applies wherever it does, as far as a search of {} combinations tells",
            self.rule.rule.id, by.rule.id, self.tried
        );
        Some((LintKind::Implied, says))
    }

    /// Whether `other` still applies wherever this rule does when what both read changes: one fact at a time from where
    /// the rule applies, and all of them at once in a scattered sample.
    fn covers(&mut self, other: &PackRule, hits: &Hits) -> bool {
        let probe = Probe::new(self.packs, &[self.rule, other], hits.at);
        let choices = dimensions(&self.reads(&[self.rule, other], hits.at));
        let scatter = Scatter::new(&choices);
        let limit = scatter.total.min(u128::from(COMBINATIONS_ENOUGH));
        let sample = (0..limit).map(|number| scatter.facts(number, &choices));
        let near = hits.facts.iter().take(HITS_MAX / 4).flat_map(|facts| {
            choices.iter().flatten().map(|choice| {
                let mut next = facts.clone();
                choice(&mut next);
                next
            })
        });
        for facts in sample.chain(near) {
            self.tried = self.tried.saturating_add(1);
            let refutes = |found: &Found| found.applies.contains(&0) && !found.applies.contains(&1);
            if probe.ask(&facts, hits.at).map_or(true, |found| refutes(&found)) {
                return false;
            }
        }
        true
    }

    /// The rules at an instant of the packs that are `wanted`.
    fn rules_at(&self, at: Tick, wanted: impl Fn(&Pack) -> bool) -> Vec<&'a PackRule> {
        let holds = |pack: &&Pack| {
            let manifest = pack.manifest();
            manifest.valid_from <= at && manifest.valid_to.is_none_or(|end| at < end)
        };
        let packs = self.packs.iter().filter(holds).filter(|pack| wanted(pack));
        packs.flat_map(Pack::rules).collect()
    }
}

fn applies(probe: &Probe, facts: &Facts, at: Tick) -> bool {
    probe.ask(facts, at).is_ok_and(|found| found.applies.contains(&0))
}

/// The facts with one thing changed, then with all that is read changed at once, in a scattered sample: what takes two
/// facts together is not found by changing one.
fn nearby<'a>(facts: &'a Facts, choices: &'a [Vec<Choice>]) -> impl Iterator<Item = Facts> + 'a {
    let one = choices.iter().flatten().map(|choice| {
        let mut next = facts.clone();
        choice(&mut next);
        next
    });
    let scatter = Scatter::new(choices);
    let limit = scatter.total.min(LEAPS_MAX);
    one.chain((0..limit).map(move |number| scatter.change(facts.clone(), number, choices)))
}

/// An order in which any beginning of the combinations is spread over all of them.
struct Scatter {
    stride: u128,
    total: u128,
}

impl Scatter {
    fn new(choices: &[Vec<Choice>]) -> Self {
        // A product beyond 2^60 is cut off there: nobody sees the end of either.
        let total = choices.iter().fold(1_u128, |product, options| {
            product.saturating_mul(options.len() as u128)
        });
        let total = total.min(1 << 60);
        let mut stride = (total * 618 / 1_000).max(1);
        while gcd(stride, total) != 1 {
            stride += 1;
        }
        Self { stride, total }
    }

    fn facts(&self, number: u128, choices: &[Vec<Choice>]) -> Facts {
        self.change(nothing_known(), number, choices)
    }

    /// Facts with a combination laid over them.
    fn change(&self, mut facts: Facts, number: u128, choices: &[Vec<Choice>]) -> Facts {
        let mut rest = number * self.stride % self.total;
        for options in choices {
            let len = options.len() as u128;
            let at = usize::try_from(rest % len).unwrap_or_default();
            rest /= len;
            if let Some(choice) = options.get(at) {
                choice(&mut facts);
            }
        }
        facts
    }
}

const fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A call about which nothing is known.
fn nothing_known() -> Facts {
    Facts {
        action: Action::Call,
        channel: ChannelFacts {
            components: BTreeSet::new(),
            name: Arc::from(OTHER),
            operator_jurisdiction: None,
            provider: Arc::from(OTHER),
            region: None,
            region_country: None,
        },
        end_use: None,
        model: ModelFacts {
            lab: Arc::from(OTHER),
            lab_jurisdiction: None,
            name: Arc::from(OTHER),
            training_flop: None,
            weights: Weights::Unknown,
        },
        party: PartyFacts::default(),
        region: None,
    }
}

/// Stands for every name that a rule does not name.
const OTHER: &str = "another";

/// For each thing that is read, the values that are told apart, that it is unknown among them.
fn dimensions(reads: &Reads) -> Vec<Vec<Choice>> {
    let mut out = of_party(reads);
    out.extend(of_model(reads));
    out.extend(of_channel(reads));
    if reads.attributes.contains("end_use") {
        let values = texts(reads);
        out.push(
            values
                .map(|text| choice(move |facts| facts.end_use.clone_from(&text)))
                .collect(),
        );
    }
    out.retain(|options| options.len() > 1);
    out
}

fn of_party(reads: &Reads) -> Vec<Vec<Choice>> {
    let mut out = Vec::new();
    let names = reads.attributes.iter();
    for fact in names.filter_map(|name| FactName::try_from(name.clone()).ok()) {
        let forget = fact.clone();
        let mut options = vec![choice(move |facts: &mut Facts| facts.party.forget(&forget))];
        if fact == FactName::Kind {
            options.extend(Kind::ALL.map(|kind| choice(move |facts| facts.party.kind = Some(kind))));
        }
        let values = reads.values(&fact).into_iter();
        options.extend(values.map(|value| choice(move |facts| facts.party.set(value.clone()))));
        out.push(options);
    }
    for paper in &reads.papers {
        let paper = paper.clone();
        let fact = paper.fact();
        out.push(vec![
            choice(move |facts| facts.party.forget(&fact)),
            choice(move |facts| facts.party.set(paper.clone())),
        ]);
    }
    for group in reads.named(Type::Group) {
        let (group, other) = (group.clone(), group.clone());
        out.push(vec![
            choice(move |facts| {
                facts.party.groups.remove(&other);
            }),
            choice(move |facts| {
                facts.party.groups.insert(group.clone());
            }),
        ]);
    }
    out
}

fn of_model(reads: &Reads) -> Vec<Vec<Choice>> {
    let reads_attribute = |name: &str| reads.attributes.contains(name);
    let mut out = Vec::new();
    if reads_attribute("weights") {
        let all = [Weights::Unknown, Weights::Closed, Weights::Open];
        out.push(
            all.map(|weights| choice(move |facts| facts.model.weights = weights))
                .into(),
        );
    }
    if reads_attribute("training_eflop") {
        let around = |n: i64| [n.saturating_sub(1), n, n.saturating_add(1)];
        let counts: BTreeSet<i64> = reads.numbers.iter().copied().flat_map(around).collect();
        let known = counts.into_iter().filter(|n| *n >= 0).map(Some);
        let flop = |n: Option<i64>| n.map(|n| Arc::<str>::from(format!("{n}e18")));
        let values = std::iter::once(None).chain(known).map(flop);
        out.push(
            values
                .map(|text| choice(move |facts| facts.model.training_flop.clone_from(&text)))
                .collect(),
        );
    }
    if reads_attribute("lab_jurisdiction") {
        out.push(countries(reads, |facts| &mut facts.model.lab_jurisdiction));
    }
    out.push(names(reads, Type::Lab, |facts| &mut facts.model.lab));
    out.push(names(reads, Type::Model, |facts| &mut facts.model.name));
    out
}

fn of_channel(reads: &Reads) -> Vec<Vec<Choice>> {
    let reads_attribute = |name: &str| reads.attributes.contains(name);
    let mut out = Vec::new();
    if reads_attribute("operator_jurisdiction") {
        out.push(countries(reads, |facts| &mut facts.channel.operator_jurisdiction));
    }
    if reads_attribute("provider") {
        let values = texts(reads).map(|text| text.unwrap_or_else(|| Arc::from(OTHER)));
        out.push(
            values
                .map(|text| choice(move |facts| facts.channel.provider = text.clone()))
                .collect(),
        );
    }
    if reads_attribute("region") {
        out.push(
            texts(reads)
                .map(|text| choice(move |facts| facts.channel.region.clone_from(&text)))
                .collect(),
        );
        out.push(
            texts(reads)
                .map(|text| choice(move |facts| facts.region.clone_from(&text)))
                .collect(),
        );
    }
    if reads_attribute("cloud") {
        let cloud = |text: Option<Arc<str>>| {
            choice(move |facts: &mut Facts| {
                facts
                    .channel
                    .components
                    .retain(|name| !name.starts_with("cloud:"));
                let name = text.as_ref().map(|text| Arc::from(format!("cloud:{text}")));
                facts.channel.components.extend(name);
            })
        };
        out.push(texts(reads).map(cloud).collect());
    }
    for component in reads.named(Type::Component) {
        let (component, other) = (component.clone(), component.clone());
        out.push(vec![
            choice(move |facts| {
                facts.channel.components.remove(&other);
            }),
            choice(move |facts| {
                facts.channel.components.insert(component.clone());
            }),
        ]);
    }
    if reads_attribute("region_country") {
        // A call has the country of its channel's region if it is processed there.
        let place = |code: crate::country::Country| {
            choice(move |facts: &mut Facts| {
                facts.channel.region_country = Some(code.clone());
                facts.region.clone_from(&facts.channel.region);
            })
        };
        let known = reads.countries.iter().cloned().map(place);
        out.push(std::iter::once(choice(|_| {})).chain(known).collect());
    }
    out.push(names(reads, Type::Channel, |facts| &mut facts.channel.name));
    out
}

/// The texts that a rule names, one that it does not, and none.
fn texts(reads: &Reads) -> impl Iterator<Item = Option<Arc<str>>> {
    let named = reads.texts.iter().cloned().map(Some);
    [None, Some(Arc::from(OTHER))].into_iter().chain(named)
}

fn countries(reads: &Reads, field: fn(&mut Facts) -> &mut Option<crate::country::Country>) -> Vec<Choice> {
    let named = reads.countries.iter().cloned().map(Some);
    let values = std::iter::once(None).chain(named);
    values
        .map(|code| choice(move |facts| field(facts).clone_from(&code)))
        .collect()
}

fn names(reads: &Reads, of: Type, field: fn(&mut Facts) -> &mut Arc<str>) -> Vec<Choice> {
    let values = std::iter::once(Arc::from(OTHER)).chain(reads.named(of).cloned());
    values
        .map(|name: Arc<str>| choice(move |facts| field(facts).clone_from(&name)))
        .collect()
}

fn choice(change: impl Fn(&mut Facts) + 'static) -> Choice {
    Box::new(change)
}

// === impl Lint ===

impl LintKind {
    /// Whether it is more than a note.
    pub const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::AlwaysForbidden | Self::Impossible | Self::NeverApplies
        )
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::AlwaysForbidden => "always_forbidden",
            Self::EmptySet => "empty_set",
            Self::Implied => "implied",
            Self::Impossible => "impossible",
            Self::NeverApplies => "never_applies",
            Self::Unsearched => "unsearched",
            Self::UnusedSet => "unused_set",
            Self::Unverified => "unverified",
        }
    }
}

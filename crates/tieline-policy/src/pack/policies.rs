//! The rules of a pack: each policy parsed, annotated, checked against the schema, and against what a rule may name.
//! All problems of all files are found in one run.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Effect, EntityUid, Policy, PolicyId, PolicySet, ValidationError, ValidationMode};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use tieline_core::{Rule, Ruling};
use tieline_note::{Digest, sha256_parts};

use super::manifest::Manifest;
use super::split::{Fragment, NESTING_MAX, POLICY_BYTES_MAX, guards, operators, split};
use crate::country::Country;
use crate::fields::{ID_HELP, is_id, one_line};
use crate::problem::{PackProblem, Problems, Sheet, place};
use crate::schema::{self, Type};
use crate::slice::Guard;

/// Rules of one pack. Sixty-one policies of the EAR were measured at 85 µs, so 512 would take about 700 µs a verdict;
/// a pack that needs more is several packs.
pub const RULES_MAX: usize = 512;

const ANNOTATIONS: [&str; 8] = [
    "citation",
    "disclosure",
    "effect",
    "id",
    "reason",
    "remedy",
    "title",
    "unverified",
];

/// A rule: one Cedar policy and what people are told about it.
#[derive(Clone, Debug)]
pub struct PackRule {
    pub disclosure: Disclosure,
    /// The file that holds it.
    pub file: Arc<str>,
    /// Where it begins.
    pub line: u32,
    /// Whether it states a duty: when it applies it obliges, and neither allows nor forbids.
    pub obliges: bool,
    pub remedy: Option<Arc<str>>,
    /// Id (`<pack>/<rule>`), citation and reason.
    pub rule: Rule,
    /// What it rules when it applies; [`Ruling::Allow`] for a permit, and for a duty.
    pub ruling: Ruling,
    pub title: Option<Arc<str>>,
    /// The rule as verdicts carry it: what its disclosure leaves.
    pub told: Rule,
    /// Why nobody should rely on what it says; such a rule holds or obliges and nothing else.
    pub unverified: Option<Arc<str>>,
    /// When it certainly does not apply.
    pub(crate) guard: Guard,
    pub(crate) policy: Policy,
    /// Sets that it names, in full.
    pub(crate) sets: Vec<Arc<str>>,
}

/// How much of a rule the caller of a refused call gets; logs and reports obey it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disclosure {
    /// Its id, reason and citation.
    #[default]
    Public,
    /// Its id.
    Code,
    /// Nothing: verdicts have a part of a digest for its id.
    Sealed,
}

/// What reading the `*.cedar` files of a pack gave.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) list: Vec<PackRule>,
    pub(crate) warnings: Vec<PackProblem>,
}

/// Hexadecimal digits in the id of a confidential rule: 64 bits tell the rules of any number of packs apart.
const SEALED_HEX: usize = 16;

/// A policy that parsed, with its place.
struct Parsed<'t> {
    fragment: Fragment<'t>,
    policy: Policy,
    sheet: Sheet<'t>,
}

pub(crate) fn read(sheets: &[Sheet<'_>], manifest: Option<&Manifest>, problems: &mut Problems) -> Rules {
    let mut parsed = Vec::new();
    for sheet in sheets {
        for fragment in split(sheet.text) {
            if parsed.len() >= RULES_MAX {
                let says = format!("more than {RULES_MAX} rules");
                problems.push(sheet.problem(fragment.offset, says, Some("split the pack")));
                return Rules::default();
            }
            if let Some(policy) = parse(*sheet, &fragment, parsed.len(), problems) {
                parsed.push(Parsed {
                    fragment,
                    policy,
                    sheet: *sheet,
                });
            }
        }
    }
    let warnings = validate(&parsed, problems);
    let mut ids = BTreeMap::new();
    let mut list = Vec::new();
    for one in &parsed {
        check_names(one, manifest, problems);
        check_guards(one, problems);
        check_verified(one, manifest, problems);
        let rule = annotate(one, manifest, problems);
        let id = one.policy.annotation("id").unwrap_or_default();
        let line = place(one.sheet.text, one.fragment.offset).0;
        if let Some((file, first)) = ids.insert(id.to_owned(), (one.sheet.path, line))
            && !id.is_empty()
        {
            let help = format!("the other begins at {file}:{first}; ids are unique within a pack");
            problems.push(one.problem("id", format!("the id `{id}` is used twice"), Some(&help)));
        }
        list.extend(rule);
    }
    Rules { list, warnings }
}

fn parse(
    sheet: Sheet<'_>,
    fragment: &Fragment<'_>,
    number: usize,
    problems: &mut Problems,
) -> Option<Policy> {
    if fragment.text.len() > POLICY_BYTES_MAX || fragment.nesting > NESTING_MAX {
        let says = format!(
            "a rule is longer than {POLICY_BYTES_MAX} bytes or nests deeper than {NESTING_MAX} levels"
        );
        problems.push(sheet.problem(
            fragment.offset,
            says,
            Some("write several rules, or name a set of the pack"),
        ));
        return None;
    }
    match Policy::parse(Some(PolicyId::new(number.to_string())), fragment.text) {
        Ok(policy) => Some(policy),
        Err(errors) => {
            for error in errors.iter() {
                problems.push(from_cedar(sheet, fragment, error, &error.to_string()));
            }
            None
        }
    }
}

/// Cedar's strict validation of every policy that parsed; returns its warnings.
fn validate(parsed: &[Parsed<'_>], problems: &mut Problems) -> Vec<PackProblem> {
    let validator = schema::validator();
    let mut set = PolicySet::new();
    for one in parsed {
        // The ids are numbers of our own, so none is known to be refused.
        if let Err(error) = set.add(one.policy.clone()) {
            problems.push(one.problem("id", error.to_string(), None));
        }
    }
    let found = validator.validate(&set, ValidationMode::Strict);
    let owner = |id: &PolicyId| {
        AsRef::<str>::as_ref(id)
            .parse::<usize>()
            .ok()
            .and_then(|ix| parsed.get(ix))
    };
    for error in found.validation_errors() {
        if let Some(one) = owner(error.policy_id()) {
            let mut problem = from_cedar(one.sheet, &one.fragment, error, &error.to_string());
            if matches!(error, ValidationError::UnrecognizedEntityType(_)) {
                // Cedar proposes one of the equally near names in hash order.
                problem.help = Some(format!("types are {}", Type::ALL.map(Type::name).join(", ")));
            }
            problems.push(problem);
        }
    }
    let mut warnings: Vec<_> = found
        .validation_warnings()
        .filter_map(|w| {
            owner(w.policy_id()).map(|one| from_cedar(one.sheet, &one.fragment, w, &w.to_string()))
        })
        .collect();
    warnings.sort();
    warnings
}

/// Cedar's message with our place.
pub(crate) fn from_cedar(
    sheet: Sheet<'_>,
    fragment: &Fragment<'_>,
    error: &dyn Diagnostic,
    says: &str,
) -> PackProblem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let within = label
        .as_ref()
        .map_or(0, miette::LabeledSpan::offset)
        .min(fragment.text.len());
    let hint = error.help().map(|help| plain(&help.to_string()));
    let at_label = label.and_then(|l| l.label().map(plain));
    sheet.problem(
        fragment.offset + within,
        plain(says),
        hint.or(at_label).as_deref(),
    )
}

/// A message on one line, without the number that we gave the policy: it means nothing to the reader.
fn plain(message: &str) -> String {
    let line = one_line(message);
    let numbered = line
        .strip_prefix("for policy `")
        .and_then(|rest| rest.split_once('`'));
    let rest = numbered.map(|(_, rest)| rest.trim_start_matches([',', ':', ' ']).to_owned());
    rest.unwrap_or(line)
}

/// The annotations of a policy as a rule; `None` after a problem.
fn annotate(one: &Parsed<'_>, manifest: Option<&Manifest>, problems: &mut Problems) -> Option<PackRule> {
    for (name, offset) in &one.fragment.annotations {
        if !ANNOTATIONS.contains(name) {
            let help = format!(
                "known annotations are {}",
                ANNOTATIONS.map(|a| format!("@{a}")).join(", ")
            );
            let says = format!("unknown annotation `@{name}`");
            problems.push(one.sheet.problem(one.fragment.offset + offset, says, Some(&help)));
        }
    }
    let id = one.required("id", problems);
    if let Some(id) = id.filter(|id| !is_id(id)) {
        problems.push(one.problem("id", format!("`{id}` is no id of a rule"), Some(ID_HELP)));
    }
    let citation = one.required("citation", problems);
    let reason = one.required("reason", problems);
    let disclosure = one.disclosure(problems)?;
    let ruling = one.ruling(problems)?;
    let pack = manifest.map_or("", |m| &m.id);
    let rule = Rule {
        citation: Arc::from(citation?),
        id: Arc::from(format!("{pack}/{}", id.filter(|id| is_id(id))?)),
        reason: Arc::from(reason?),
    };
    Some(PackRule {
        file: one.sheet.path.clone(),
        disclosure,
        guard: Guard::new(&one.policy, operators(one.fragment.text)),
        line: place(one.sheet.text, one.fragment.offset).0,
        obliges: one.obliges(),
        remedy: one.optional("remedy"),
        told: rule.clone(),
        rule,
        ruling,
        title: one.optional("title"),
        unverified: one.optional("unverified"),
        policy: one.policy.clone(),
        sets: one.set_names(),
    })
}

/// Names that the schema's types allow and that mean nothing: a party by name, a country or a set that does not exist.
fn check_names(one: &Parsed<'_>, manifest: Option<&Manifest>, problems: &mut Problems) {
    for literal in one.policy.entity_literals() {
        let of = literal.type_name().to_string();
        let id: &str = literal.id().as_ref();
        if of == Type::Party.name() {
            let help = "rules see facts, not names; put the party into a group and write `principal in Group::\"…\"`";
            problems.push(one.at_literal(&literal, "a rule cannot name a party", Some(help)));
        } else if of == Type::Country.name() {
            if let Err(bad) = Country::parse(id) {
                problems.push(one.at_literal(&literal, bad.to_string(), None));
            }
        } else if of == Type::CountryGroup.name()
            && let Some(manifest) = manifest
            && let Some((says, help)) = wrong_set(id, manifest)
        {
            problems.push(one.at_literal(&literal, says, Some(&help)));
        }
    }
}

/// Cedar takes `has` of a name that nothing has as false, so that a misspelt guard would switch its rule off.
fn check_guards(one: &Parsed<'_>, problems: &mut Problems) {
    for (at, name) in guards(one.fragment.text) {
        if !schema::is_attribute(name) {
            let says = format!("nothing has an attribute `{name}`");
            let help = "it would never be there, as if nobody knew it";
            problems.push(one.sheet.problem(one.fragment.offset + at, says, Some(help)));
        }
    }
}

/// What nobody has verified may hold a call, and neither allow nor deny it: the rule itself, or a set that it names.
fn check_verified(one: &Parsed<'_>, manifest: Option<&Manifest>, problems: &mut Problems) {
    let is_hold = one.policy.effect() == Effect::Forbid && one.policy.annotation("effect") == Some("hold");
    let may_doubt = is_hold || one.obliges();
    let mark = one.policy.annotation("unverified").map(str::trim);
    if mark == Some("") {
        let help = "say what is not verified, and why";
        problems.push(one.problem("unverified", "`@unverified` is empty", Some(help)));
    }
    if may_doubt {
        return;
    }
    let (says, help) = match one.policy.effect() {
        Effect::Permit => ("allows", "leave the permit out"),
        Effect::Forbid => ("denies", "write `@effect(\"hold\")`, so that an officer decides"),
    };
    if mark.is_some() {
        let says = format!("an unverified rule {says}");
        problems.push(one.problem("unverified", says, Some(help)));
    }
    for name in one.set_names() {
        let own = name
            .split_once('/')
            .zip(manifest)
            .filter(|((pack, _), m)| *pack == &*m.id);
        let set = own.and_then(|((_, set), m)| m.sets.get(set));
        if set.is_some_and(|set| set.unverified.is_some()) {
            let says = format!("a rule {says} by the set `{name}`, which is unverified");
            problems.push(one.problem("id", says, Some(help)));
        }
    }
}

/// What is wrong with a set's name, as far as this pack alone can tell.
fn wrong_set(id: &str, manifest: &Manifest) -> Option<(String, String)> {
    let Some((pack, set)) = id.split_once('/') else {
        return Some((
            format!("`{id}` is no name of a set"),
            format!("write the pack as well: `CountryGroup::\"{}/{id}\"`", manifest.id),
        ));
    };
    if pack != &*manifest.id || manifest.sets.contains_key(set) {
        return None;
    }
    let names: Vec<&str> = manifest.sets.keys().map(|k| &**k).collect();
    Some((
        format!("this pack has no set `{set}`"),
        if names.is_empty() {
            "define it in pack.toml".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        },
    ))
}

// === impl PackRule ===

impl PackRule {
    /// Withholds what the rule's disclosure withholds. The pack's digest is only known once all rules are read.
    pub(crate) fn seal(&mut self, pack: Digest) {
        if self.disclosure == Disclosure::Public {
            return;
        }
        self.told.citation = Arc::from("");
        self.told.reason = Arc::from("");
        if self.disclosure == Disclosure::Sealed {
            let digest = sha256_parts(&[pack.to_string().as_bytes(), b" ", self.rule.id.as_bytes()]);
            let hex: String = digest.to_string().chars().take(SEALED_HEX).collect();
            self.told.id = Arc::from(format!("{}{hex}", Rule::SEALED));
        }
    }
}

// === impl Parsed ===

impl Parsed<'_> {
    /// A problem at an annotation, or at the start of the policy if it lacks that.
    fn problem(&self, annotation: &str, says: impl Into<String>, help: Option<&str>) -> PackProblem {
        let within = self
            .fragment
            .annotations
            .iter()
            .find(|(name, _)| *name == annotation)
            .map_or(0, |(_, at)| *at);
        self.sheet.problem(self.fragment.offset + within, says, help)
    }

    fn at_literal(&self, literal: &EntityUid, says: impl Into<String>, help: Option<&str>) -> PackProblem {
        let within = self.fragment.text.find(&literal.to_string()).unwrap_or(0);
        self.sheet.problem(self.fragment.offset + within, says, help)
    }

    fn required(&self, name: &str, problems: &mut Problems) -> Option<&str> {
        let value = self.policy.annotation(name).map(str::trim);
        match value {
            Some("") => {
                problems.push(self.problem(name, format!("`@{name}` is empty"), Some(annotation_help(name))));
            }
            None => {
                problems.push(self.problem(
                    name,
                    format!("a rule lacks `@{name}`"),
                    Some(annotation_help(name)),
                ));
            }
            Some(_) => return value,
        }
        None
    }

    fn optional(&self, name: &str) -> Option<Arc<str>> {
        self.policy
            .annotation(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(Arc::from)
    }

    fn ruling(&self, problems: &mut Problems) -> Option<Ruling> {
        match (self.policy.effect(), self.policy.annotation("effect")) {
            (Effect::Permit, None | Some("oblige")) => return Some(Ruling::Allow),
            (Effect::Forbid, None | Some("deny")) => return Some(Ruling::Deny),
            (Effect::Forbid, Some("hold")) => return Some(Ruling::Hold),
            (Effect::Permit, Some(_)) => {
                let help = "write `forbid … unless …` with `@effect(\"hold\")`";
                problems.push(self.problem("effect", "a permit cannot hold or deny", Some(help)));
            }
            (Effect::Forbid, Some("oblige")) => {
                let help = "write `permit … when …`: it permits nothing, and says when the duty is there";
                problems.push(self.problem("effect", "a forbid cannot oblige", Some(help)));
            }
            (Effect::Forbid, Some(other)) => {
                let help = "`hold` lets an officer decide; without it the rule denies";
                problems.push(self.problem(
                    "effect",
                    format!("unknown effect `{}`", one_line(other)),
                    Some(help),
                ));
            }
        }
        None
    }

    /// A duty has the shape of a permit, and is evaluated apart from those.
    fn obliges(&self) -> bool {
        self.policy.effect() == Effect::Permit && self.policy.annotation("effect") == Some("oblige")
    }

    fn disclosure(&self, problems: &mut Problems) -> Option<Disclosure> {
        match self.policy.annotation("disclosure") {
            None | Some("public") => Some(Disclosure::Public),
            Some("code") => Some(Disclosure::Code),
            Some("sealed") => Some(Disclosure::Sealed),
            Some(other) => {
                let says = format!("unknown disclosure `{}`", one_line(other));
                let help =
                    "`public` tells the caller the reason and citation, `code` the id, `sealed` nothing";
                problems.push(self.problem("disclosure", says, Some(help)));
                None
            }
        }
    }

    fn set_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = (self.policy.entity_literals().iter())
            .filter(|uid| uid.type_name().to_string() == Type::CountryGroup.name())
            .map(|uid| Arc::from(AsRef::<str>::as_ref(uid.id())))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn annotation_help(name: &str) -> &'static str {
    match name {
        "id" => "verdicts name the rule by it, such as `@id(\"blocked-jurisdictions\")`",
        "citation" => "say which source the rule follows, such as `@citation(\"15 CFR 744.22\")`",
        _ => "say in a sentence, for the caller, why the rule exists",
    }
}

//! A condition of a directive: one Cedar expression over the party, the model and the call, checked as strictly as the
//! rules of a pack. Sets of packs are named in full; whether they exist is known where the epoch is.

use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Expression, Policy, PolicyId, PolicySet, ValidationError, ValidationMode};

use crate::country::Country;
use crate::pack::{Fragment, NESTING_MAX, POLICY_BYTES_MAX, from_cedar, operators, split};
use crate::problem::{PackProblem, Problems, Sheet, place};
use crate::representative::{Reads, Sets};
use crate::schema::{self, Type};
use crate::slice::Guard;

/// What comes before an expression to make it a policy: one line, so that lines count from the second.
const HEAD: &str = "permit (principal, action, resource) when {\n";
const FOOT: &str = "\n};";

/// A checked condition.
#[derive(Clone, Debug)]
pub struct Condition {
    pub text: Arc<str>,
    /// Where it stands, for what only the epoch shows to be wrong.
    pub(crate) at: PackProblem,
    /// When it certainly does not apply.
    pub(crate) guard: Guard,
    pub(crate) policy: Policy,
    /// Sets that it names, in full.
    pub(crate) sets: Vec<Arc<str>>,
}

/// Where an expression stands in a file.
pub(super) struct Site<'a, 't> {
    pub(super) sheet: Sheet<'t>,
    /// The byte at which it begins, or its quotes where it is written with escapes.
    pub(super) offset: usize,
    /// Whether the file holds it letter for letter.
    pub(super) verbatim: bool,
    pub(super) problems: &'a mut Problems,
}

impl Condition {
    /// Reads and checks; `None` after a problem.
    pub(super) fn read(text: &str, mut site: Site<'_, '_>) -> Option<Self> {
        let whole = format!("{HEAD}{text}{FOOT}");
        let fragments = split(&whole);
        let [fragment] = fragments.as_slice() else {
            site.complain("a condition is one expression, without a semicolon", None);
            return None;
        };
        if fragment.text.len() > POLICY_BYTES_MAX || fragment.nesting > NESTING_MAX {
            let says = format!(
                "a condition is longer than {POLICY_BYTES_MAX} bytes or nests deeper than {NESTING_MAX} levels"
            );
            site.complain(&says, Some("name groups or sets of a pack"));
            return None;
        }
        // An expression and nothing else: what closes the braces and opens others is none.
        if Expression::from_str(text).is_err() && Policy::parse(None, &whole).is_ok() {
            site.complain("this is more than one expression", None);
            return None;
        }
        let policy = match Policy::parse(Some(PolicyId::new("condition")), &whole) {
            Ok(policy) => policy,
            Err(errors) => {
                for error in errors.iter() {
                    site.cedar(fragment, error, &error.to_string());
                }
                return None;
            }
        };
        let reads = Reads::of_policy(&policy, &[], &Sets::default());
        // A misspelt attribute makes Cedar find other things wrong, or nothing.
        if !site.check_attributes(&reads) {
            return None;
        }
        let sound = site.validate(fragment, &policy) & site.check_names(&policy);
        let mut sets: Vec<Arc<str>> = (policy.entity_literals().iter())
            .filter(|uid| uid.type_name().to_string() == Type::CountryGroup.name())
            .map(|uid| Arc::from(AsRef::<str>::as_ref(uid.id())))
            .collect();
        sets.sort();
        sets.dedup();
        sound.then(|| Self {
            text: Arc::from(text),
            at: site.sheet.problem(site.offset, "", None),
            guard: Guard::new(&policy, operators(fragment.text)),
            policy,
            sets,
        })
    }

    /// A problem of this condition.
    pub(crate) fn problem(&self, says: String, help: &str) -> PackProblem {
        PackProblem {
            says,
            help: Some(help.to_owned()),
            ..self.at.clone()
        }
    }
}

impl Site<'_, '_> {
    fn complain(&mut self, says: &str, help: Option<&str>) {
        self.problems.push(self.sheet.problem(self.offset, says, help));
    }

    /// Cedar's message, with the place in the file.
    fn cedar(&mut self, fragment: &Fragment<'_>, error: &dyn miette::Diagnostic, says: &str) {
        let policy = Sheet {
            path: self.sheet.path,
            text: fragment.text,
        };
        let mut problem = from_cedar(policy, fragment, error, says);
        let inner = fragment
            .text
            .strip_prefix(HEAD)
            .and_then(|rest| rest.strip_suffix(FOOT));
        let inner = inner.unwrap_or_default();
        // What Cedar does not expect is our own line below: the expression lacks something at its end.
        if u32::try_from(inner.lines().count()).is_ok_and(|lines| problem.line > lines.max(1) + 1) {
            let end = if self.verbatim {
                self.offset + inner.len()
            } else {
                self.offset
            };
            let help = problem.help.as_deref();
            self.problems
                .push(self.sheet.problem(end, "the expression ends too early", help));
            return;
        }
        let (line, col) = place(self.sheet.text, self.offset);
        // Before the expression is our own line; on its first line, columns go on from where it stands.
        let below = problem.line.saturating_sub(2);
        let starts_there = !self.verbatim || below == 0;
        let within = if problem.line == 2 && self.verbatim {
            problem.col - 1
        } else {
            0
        };
        problem.col = if starts_there { col + within } else { problem.col };
        problem.line = if self.verbatim { line + below } else { line };
        self.problems.push(problem);
    }

    fn validate(&mut self, fragment: &Fragment<'_>, policy: &Policy) -> bool {
        let mut set = PolicySet::new();
        if let Err(error) = set.add(policy.clone()) {
            self.complain(&error.to_string(), None);
            return false;
        }
        let found = schema::validator().validate(&set, ValidationMode::Strict);
        let mut sound = true;
        for error in found.validation_errors() {
            sound = false;
            if matches!(error, ValidationError::UnrecognizedEntityType(_)) {
                // Cedar proposes one of the equally near names in hash order.
                let types = format!("types are {}", Type::ALL.map(Type::name).join(", "));
                self.complain("the condition names an unknown type", Some(&types));
            } else {
                self.cedar(fragment, error, &error.to_string());
            }
        }
        for warning in found.validation_warnings() {
            sound = false;
            self.cedar(fragment, warning, &warning.to_string());
        }
        sound
    }

    fn check_attributes(&mut self, reads: &Reads) -> bool {
        let unknown = reads.attributes.iter().filter(|name| !schema::is_attribute(name));
        let unknown: Vec<&String> = unknown.collect();
        for name in &unknown {
            let rest = self.sheet.text.get(self.offset..).unwrap_or_default();
            let at = rest.find(name.as_str()).filter(|_| self.verbatim);
            let says = format!("nothing has an attribute `{name}`");
            let help = "it would never be there, as if nobody knew it";
            let problem = self
                .sheet
                .problem(self.offset + at.unwrap_or(0), says, Some(help));
            self.problems.push(problem);
        }
        unknown.is_empty()
    }

    /// Names that the schema's types allow and that mean nothing.
    fn check_names(&mut self, policy: &Policy) -> bool {
        let mut sound = true;
        for literal in policy.entity_literals() {
            let of = literal.type_name().to_string();
            let id: &str = literal.id().as_ref();
            let wrong = if of == Type::Party.name() {
                let help = "list it under `parties`";
                Some(("a condition cannot name a party".to_owned(), Some(help)))
            } else if of == Type::Country.name() {
                Country::parse(id).err().map(|bad| (bad.to_string(), None))
            } else if of == Type::CountryGroup.name() && !crate::pack::is_long(id) {
                let help = "write the pack as well: `CountryGroup::\"<pack>/<set>\"`";
                Some((format!("`{id}` is no name of a set"), Some(help)))
            } else {
                None
            };
            let Some((says, help)) = wrong else { continue };
            sound = false;
            let rest = self.sheet.text.get(self.offset..).unwrap_or_default();
            let at = rest.find(&literal.to_string()).filter(|_| self.verbatim);
            let offset = self.offset + at.unwrap_or(0);
            self.problems.push(self.sheet.problem(offset, says, help));
        }
        sound
    }
}

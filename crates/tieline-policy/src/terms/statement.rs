//! A statement: what a party signs about what it is and does, after the forms of end-use statements that exist (BIS-711,
//! 15 CFR Part 748, Supplement No. 3). It lasts at most twelve months and can be revoked.
//!
//! It comes as the text of a signed note. A text without a signature is its author's word, which establishes no statement,
//! unless an officer records it and answers for it. Fields about people are counts and classes, never names of
//! those covered.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_note::{Digest, Verifier, jcs, note, sha256};

use super::read;
use crate::fields::{self, Fields, Reported};
use crate::limits::TermScope;
use crate::pack::is_long;
use crate::problem::{PackProblem, Sheet};

/// The type tag of version 1.
pub const STATEMENT_V1: &str = "tieline/statement/v1";

/// Bytes of a statement's file; three pages of text are 10 KB.
pub const STATEMENT_MAX: usize = 64 << 10;

/// Kinds that promise what happens to answers and models, and therefore need all undertakings. Other kinds, such as an
/// `ownership-review`, promise nothing of the sort.
pub const PROMISE_KINDS: [&str; 2] = ["academic-end-use", "end-use"];

/// A statement as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `[a-z0-9-]{1,64}`, unique among statements.
    pub id: Arc<str>,
    pub institution: Institution,
    /// The name by which rules ask for it.
    pub kind: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// The one party for which it speaks.
    pub party: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persons: Option<Persons>,
    pub project: Project,
    /// The officer who answers for a text without a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<Arc<str>>,
    /// From this instant on it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Tick>,
    #[serde(default, skip_serializing_if = "TermScope::is_unrestricted")]
    pub scope: TermScope,
    /// The whole signed note that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Arc<str>>,
    pub signer: StatementSigner,
    /// Names of the known keys that signed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Arc<str>>,
    /// Always [`STATEMENT_V1`].
    pub t: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undertakings: Option<Undertakings>,
    pub valid_from: Tick,
    /// The first instant at which it is no longer valid, at most twelve months later.
    pub valid_to: Tick,
    pub version: u64,
}

/// Who signed, in the name of the institution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementSigner {
    pub name: Arc<str>,
    pub role: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Legal entity identifier (ISO 17442).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lei: Option<Arc<str>>,
    pub name: Arc<str>,
    /// Id in the Research Organization Registry, the last nine characters of its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ror: Option<Arc<str>>,
}

/// What the calls are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Field of research.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub investigator: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
    /// In a sentence.
    pub purpose: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<Arc<str>>,
}

/// What becomes of the results (15 CFR 734.8 asks whether they are meant to be published).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    Intended,
    None,
    Restricted,
}

/// Whose calls it covers, as a number and classes that the institution asserts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persons {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<Arc<str>>,
    pub count: u64,
}

/// What the signer promises; a promise that is not made makes no statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undertakings {
    /// Sets of countries (`<pack>/<set>`) to which nothing is passed on.
    pub no_diversion_to: BTreeSet<Arc<str>>,
    /// Neither military, military-intelligence or weapons use, nor surveillance.
    pub no_military_or_surveillance: bool,
    /// No access, weights or distillates to others.
    pub no_onward_transfer: bool,
}

impl Statement {
    /// Reads a file: a signed note, of which one of `keys` must have signed, or, if an officer answers for it, plain TOML.
    /// On failure, every problem with its place.
    pub fn open(
        path: &Arc<str>,
        file: &str,
        keys: &[Verifier],
        recorded_by: Option<&str>,
    ) -> Result<Self, Vec<PackProblem>> {
        let whole = Sheet { path, text: file };
        let refuse = |says: String, help: &str| Err(vec![whole.problem(0, says, Some(help))]);
        if file.len() > STATEMENT_MAX {
            let says = format!("the file is longer than {STATEMENT_MAX} bytes");
            return refuse(says, "attach what is long elsewhere");
        }
        if note::peek(file).is_ok() {
            return match note::open(file, keys) {
                Ok(opened) => fields::read(path, opened.text, check).map(|statement| Self {
                    recorded_by: recorded_by.map(Arc::from),
                    signature: Some(Arc::from(file)),
                    signers: opened.signers.iter().map(|name| Arc::from(&**name)).collect(),
                    ..statement
                }),
                Err(error) => refuse(error.to_string(), "add the signer's key, or have it signed anew"),
            };
        }
        match recorded_by {
            Some(officer) => fields::read(path, file, check).map(|statement| Self {
                recorded_by: Some(Arc::from(officer)),
                ..statement
            }),
            None => refuse(
                "the statement has no signature".to_owned(),
                "sign it as a note, or have an officer record it and answer for it",
            ),
        }
    }

    /// SHA-256 of the canonical JSON of the statement as it was made: revoking it does not make it another. `None` only for
    /// an instant after the year 2255.
    pub fn digest(&self) -> Option<Digest> {
        let made = Self {
            revoked: None,
            ..self.clone()
        };
        Some(sha256(&jcs::to_vec(&made).ok()?))
    }

    pub(super) const fn is_proven(&self) -> bool {
        self.signature.is_some() || self.recorded_by.is_some()
    }

    /// Whose word it is: the first key that signed it, or the officer who recorded it.
    pub(super) fn vouched_by(&self) -> Arc<str> {
        let by = self.signers.first().or(self.recorded_by.as_ref());
        by.cloned().unwrap_or_else(|| self.party.clone())
    }
}

fn check(fields: &mut Fields<'_, '_>) -> Option<Statement> {
    fields.only(&[
        "id",
        "institution",
        "kind",
        "note",
        "party",
        "persons",
        "project",
        "scope",
        "signer",
        "t",
        "undertakings",
        "valid_from",
        "valid_to",
        "version",
    ]);
    // Each line reads its own field, so that one wrong field does not hide the next.
    let tag = read::tag(fields, STATEMENT_V1);
    let id = read::id(fields, "id");
    let institution = institution(fields);
    let kind = read::id(fields, "kind");
    let note = fields.optional_text("note");
    let party = fields.text("party");
    let persons = persons(fields);
    let project = project(fields);
    let scope = read::scope(fields);
    let signer = signer(fields);
    let undertakings = undertakings(fields, kind.as_deref());
    let times = times(fields);
    let version = read::count(fields, "version");
    tag?;
    let (valid_from, valid_to) = times?;
    Some(Statement {
        id: id?,
        institution: institution?,
        kind: kind?,
        note: note.ok()?,
        party: party?,
        persons: persons.ok()?,
        project: project?,
        recorded_by: None,
        revoked: None,
        scope: scope?,
        signature: None,
        signer: signer?,
        signers: Vec::new(),
        t: Arc::from(STATEMENT_V1),
        undertakings: undertakings.ok()?,
        valid_from,
        valid_to,
        version: version?,
    })
}

fn times(fields: &mut Fields<'_, '_>) -> Option<(Tick, Tick)> {
    let (from, to) = read::times(fields)?;
    let Some(to) = to else {
        fields.required("valid_to");
        return None;
    };
    if read::a_year_after(fields, "valid_from").is_none_or(|end| to > end) {
        let help = "a statement lasts at most twelve months; have a new one signed after that";
        fields.complain(
            "valid_to",
            "`valid_to` lies more than twelve months after `valid_from`",
            Some(help),
        );
        return None;
    }
    Some((from, to))
}

/// A table that must be there.
fn required<'b, 't>(fields: &'b mut Fields<'_, 't>, key: &str) -> Option<Fields<'b, 't>> {
    fields.required(key)?;
    read::nested(fields, key).ok().flatten()
}

fn signer(fields: &mut Fields<'_, '_>) -> Option<StatementSigner> {
    let mut fields = required(fields, "signer")?;
    fields.only(&["name", "role"]);
    let (name, role) = (fields.text("name"), fields.text("role"));
    Some(StatementSigner {
        name: name?,
        role: role?,
    })
}

fn institution(fields: &mut Fields<'_, '_>) -> Option<Institution> {
    let mut fields = required(fields, "institution")?;
    fields.only(&["lei", "name", "ror"]);
    let name = fields.text("name");
    let lei = code(&mut fields, "lei", "20 letters and digits (ISO 17442)", |code| {
        code.len() == 20 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    });
    let ror = code(&mut fields, "ror", "nine characters, such as 05a28rw58", |code| {
        code.len() == 9 && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    Some(Institution {
        lei: lei.ok()?,
        name: name?,
        ror: ror.ok()?,
    })
}

fn code(
    fields: &mut Fields<'_, '_>,
    key: &str,
    shape: &str,
    fits: fn(&str) -> bool,
) -> Result<Option<Arc<str>>, Reported> {
    let code = fields.optional_text(key)?;
    if let Some(code) = code.as_ref().filter(|code| !fits(code)) {
        fields.complain(key, format!("`{code}` is no {key}: {shape}"), None);
        return Err(Reported);
    }
    Ok(code)
}

fn project(fields: &mut Fields<'_, '_>) -> Option<Project> {
    let mut fields = required(fields, "project")?;
    fields.only(&["field", "investigator", "publication", "purpose", "sponsor"]);
    let field = fields.optional_text("field");
    let investigator = fields.optional_text("investigator");
    let publication = publication(&mut fields);
    let purpose = fields.text("purpose");
    let sponsor = fields.optional_text("sponsor");
    Some(Project {
        field: field.ok()?,
        investigator: investigator.ok()?,
        publication: publication.ok()?,
        purpose: purpose?,
        sponsor: sponsor.ok()?,
    })
}

fn publication(fields: &mut Fields<'_, '_>) -> Result<Option<Publication>, Reported> {
    let Some(text) = fields.optional_text("publication")? else {
        return Ok(None);
    };
    match &*text {
        "intended" => Ok(Some(Publication::Intended)),
        "none" => Ok(Some(Publication::None)),
        "restricted" => Ok(Some(Publication::Restricted)),
        _ => {
            let says = format!("unknown publication `{text}`");
            let help = "one of `intended`, `none`, `restricted`";
            fields.complain("publication", says, Some(help));
            Err(Reported)
        }
    }
}

fn persons(fields: &mut Fields<'_, '_>) -> Result<Option<Persons>, Reported> {
    let Some(mut fields) = read::nested(fields, "persons")? else {
        return Ok(None);
    };
    fields.only(&["classes", "count"]);
    let classes = read::names(&mut fields, "classes");
    let count = read::count(&mut fields, "count");
    match (classes, count) {
        (Some(classes), Some(count)) => Ok(Some(Persons { classes, count })),
        _ => Err(Reported),
    }
}

fn undertakings(fields: &mut Fields<'_, '_>, kind: Option<&str>) -> Result<Option<Undertakings>, Reported> {
    let is_needed = kind.is_some_and(|kind| PROMISE_KINDS.contains(&kind));
    if !is_needed && !fields.has("undertakings") {
        return Ok(None);
    }
    promises(fields).map(Some).ok_or(Reported)
}

fn promises(fields: &mut Fields<'_, '_>) -> Option<Undertakings> {
    let mut fields = required(fields, "undertakings")?;
    fields.only(&[
        "no_diversion_to",
        "no_military_or_surveillance",
        "no_onward_transfer",
    ]);
    fields.required("no_diversion_to");
    let sets = read::names(&mut fields, "no_diversion_to");
    if let Some(wrong) = sets.iter().flatten().find(|name| !is_long(name)) {
        let says = format!("`{wrong}` is no set of countries");
        let help = "write the pack and the set, such as `us-ear/d5`";
        fields.complain("no_diversion_to", says, Some(help));
        return None;
    }
    let mut promised = |key: &str| {
        let promise = read::yes_or_no(&mut fields, key)?;
        if !promise {
            let help = "a statement without this promise is none; leave it unsigned";
            fields.complain(key, format!("`{key}` is not promised"), Some(help));
        }
        Some(promise)
    };
    let no_military_or_surveillance = promised("no_military_or_surveillance");
    let no_onward_transfer = promised("no_onward_transfer");
    Some(Undertakings {
        no_diversion_to: sets?,
        no_military_or_surveillance: no_military_or_surveillance?,
        no_onward_transfer: no_onward_transfer?,
    })
}

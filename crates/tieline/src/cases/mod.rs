//! Cases of a pool test: what a file says every model of a pool must be able to do, and whether an answer does.
//!
//! Contract. [`load`] gives [`Cases`] exactly if the file has no mistake; every mistake is reported in one run, with its
//! place. [`Case::judge`] and its neighbours are functions of an answer. Why an answer does not do is said in words of the
//! file alone: no answer, and nothing that could be one, is in what comes out. Bounds: [`FILE_BYTES_MAX`],
//! [`CASES_MAX`] cases, and of expectations what [`expect`] and [`json_schema`] say.

mod check;
mod expect;
mod json_schema;
mod judge;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tieline_core::record::Hex32;
use tieline_note::{JcsError, jcs, sha256};

pub(crate) use expect::{Answer, Called};
pub(crate) use judge::{Judge, Ruled};

use self::expect::Expect;
use crate::diagnose::{Diagnostic, Report, Sink};
use crate::raw::At;
use crate::{check as files, raw};

/// Bytes of a file of cases, and of a schema that it names: 256 cases of 16 KiB each, which is a prompt of eight pages.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

const CASES: files::FileKind = files::FileKind {
    bytes_max: FILE_BYTES_MAX,
    if_absent: "give the path of another; `examples/pool-cases.toml` of the source is one",
    if_folder: "name the file in it, such as `cases.toml`",
    name: "file of cases",
};

/// The cases of a file.
#[derive(Debug)]
pub(crate) struct Cases {
    pub(crate) all: Vec<Case>,
    /// The pool that the file names.
    pub(crate) pool: Option<At<Arc<str>>>,
    source: Source,
}

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) expect: Expect,
    pub(crate) name: Arc<str>,
    /// The members of the request but its model, in the dialect `openai_chat`.
    pub(crate) request: Value,
}

/// The file, for what only its pool and grid can show.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

/// Read and check a file.
pub(crate) fn load(path: &Path) -> Result<Cases, Report> {
    let name = path.display().to_string();
    let text =
        files::text_of(path, &CASES).map_err(|diagnostic| Report::new(&name, "", vec![*diagnostic], 0))?;
    let base = path.parent().unwrap_or(Path::new(""));
    check_text(&name, &text, base, &files::read_start)
}

/// Check a text; `read` stands for the files that it names.
fn check_text(name: &str, text: &str, base: &Path, read: &files::Read) -> Result<Cases, Report> {
    let mut sink = Sink::default();
    let checked = raw::parse_cases(text, &mut sink).map(|raw| {
        let world = check::World { base, read };
        check::cases(&raw, world, &mut sink)
    });
    let is_good = !sink.has_errors();
    let (diagnostics, left_off) = sink.into_sorted();
    match checked {
        Some((pool, cases)) if is_good => Ok(Cases {
            all: cases,
            pool,
            source: Source {
                path: name.to_owned(),
                text: text.to_owned(),
            },
        }),
        _ => Err(Report::new(name, text, diagnostics, left_off)),
    }
}

impl Cases {
    /// SHA-256 of the canonical JSON of the cases as they were read: defaults filled in, schemas that stand in files of
    /// their own included, comments and spelling not.
    pub(crate) fn digest(&self) -> Result<Hex32, JcsError> {
        let cases: Vec<Value> = self.all.iter().map(Case::record).collect();
        let bytes = jcs::to_vec(&cases)?;
        Ok(Hex32(sha256(&bytes).0))
    }

    /// The judges of all cases, by name, with the place at which each is named first.
    pub(crate) fn judges(&self) -> Vec<&At<Arc<str>>> {
        let mut judges: Vec<&At<Arc<str>>> = self
            .all
            .iter()
            .filter_map(Case::judge)
            .map(Judge::model)
            .collect();
        judges.sort_by_key(|at| (at.value.clone(), at.span));
        judges.dedup_by_key(|at| at.value.clone());
        judges
    }

    /// What is wrong with the file in the light of the grid.
    pub(crate) fn report(&self, diagnostics: Vec<Diagnostic>) -> Report {
        Report::new(&self.source.path, &self.source.text, diagnostics, 0)
    }
}

impl Case {
    /// Who judges its answer, if a model does.
    pub(crate) const fn judge(&self) -> Option<&Judge> {
        self.expect.judge.as_ref()
    }

    /// What the answer does not do, in clauses; a judge is not asked.
    pub(crate) fn unmet(&self, answer: &Answer) -> Vec<String> {
        self.expect.unmet(answer)
    }

    /// The request to a model.
    pub(crate) fn request_to(&self, model: &str) -> Value {
        let mut request = self.request.clone();
        if let Value::Object(members) = &mut request {
            members.insert("model".to_owned(), model.into());
        }
        request
    }

    fn record(&self) -> Value {
        json!({ "expect": self.expect.record(), "name": &*self.name, "request": self.request })
    }
}

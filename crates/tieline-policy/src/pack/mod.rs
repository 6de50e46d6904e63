//! A pack: a versioned, cited, dated set of rules and sets. It is a `pack.toml`, any number of `*.cedar` texts, and
//! `cases*.toml` that say what it is meant to rule.
//!
//! A pack with a problem is refused whole, and all its problems are reported in one run. What decides (`pack.toml` and
//! the rules) is archived as text under its digest, so that a verdict can be made again years later; the cases prove
//! something about the pack and are no part of it.

mod manifest;
mod policies;
mod signed;
mod split;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_note::{Digest, jcs, sha256};

pub use manifest::{CountrySet, Manifest, Membership, Status};
pub(crate) use policies::from_cedar;
pub use policies::{Disclosure, PackRule, RULES_MAX};
pub use signed::{PACK_SIGNATURES, PACK_SIGNED_V1};
pub(crate) use split::{Fragment, NESTING_MAX, POLICY_BYTES_MAX, operators, split};

use crate::cases::{self, Case};
use crate::fields::is_id;
use crate::problem::{PackProblem, Problems, Sheet};
use manifest::MANIFEST;

/// The type tag of version 1 of the archived form.
pub const PACK_V1: &str = "tieline/pack/v1";

/// Files of one pack: people split rules by chapter of a law; the longest table of contents described to us has 40.
pub const SOURCES_MAX: usize = 64;

/// Bytes of all files of one pack: 512 rules of 8 KiB would be 4 MiB, but real ones are below 1 KB each.
pub const PACK_BYTES_MAX: usize = 1 << 20;

/// One file of a pack. The path is relative to the pack's folder, with `/` on every system: it is part of the digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub path: Arc<str>,
    pub text: Arc<str>,
}

/// What a pack is rebuilt from: its files as they were, in order of their paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackArchive {
    pub sources: Vec<Source>,
    /// Always [`PACK_V1`].
    pub t: Arc<str>,
}

/// A pack that holds together.
#[derive(Clone, Debug)]
pub struct Pack {
    archive: PackArchive,
    cases: Vec<Case>,
    digest: Digest,
    manifest: Manifest,
    rules: Vec<PackRule>,
    warnings: Vec<PackProblem>,
}

impl Pack {
    /// Reads a pack from its files, in any order.
    pub fn parse(sources: &[Source]) -> Result<Self, Vec<PackProblem>> {
        let mut sorted = sources.to_vec();
        sorted.sort();
        let mut problems = Problems::default();
        let pack = check_files(&sorted, &mut problems).and_then(|()| read(sorted, &mut problems));
        match pack {
            Some(pack) if problems.is_empty() => Ok(pack),
            _ => Err(problems.into_sorted()),
        }
    }

    /// Rebuilds a pack from its archived form.
    pub fn from_archive(archive: &PackArchive) -> Result<Self, Vec<PackProblem>> {
        if &*archive.t == PACK_V1 {
            return Self::parse(&archive.sources);
        }
        let says = format!(
            "the archive is of type `{}`; this version reads `{PACK_V1}`",
            archive.t
        );
        Err(vec![PackProblem {
            file: Arc::from(MANIFEST),
            line: 1,
            col: 1,
            says,
            help: None,
        }])
    }

    /// What to store under [`Pack::digest`].
    pub const fn archive(&self) -> &PackArchive {
        &self.archive
    }

    /// SHA-256 of the canonical JSON of [`Pack::archive`].
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// In the order of files and lines.
    pub fn rules(&self) -> &[PackRule] {
        &self.rules
    }

    /// Ids of the other packs whose sets its rules name.
    pub fn needs(&self) -> BTreeSet<Arc<str>> {
        let sets = self.rules.iter().flat_map(|rule| &rule.sets);
        let packs = sets.filter_map(|name| name.split_once('/')).map(|(pack, _)| pack);
        packs
            .filter(|pack| **pack != *self.manifest.id)
            .map(Arc::from)
            .collect()
    }

    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// What nobody has checked against its source, and why: full names of sets (`<pack>/<set>`) and ids of rules.
    pub fn unverified(&self) -> impl Iterator<Item = (Arc<str>, &str)> {
        let sets = self.manifest.sets.iter().filter_map(|(name, set)| {
            let full = Arc::from(format!("{}/{name}", self.manifest.id));
            Some((full, set.unverified.as_deref()?))
        });
        let rules = self.rules.iter();
        sets.chain(rules.filter_map(|rule| Some((rule.rule.id.clone(), rule.unverified.as_deref()?))))
    }

    /// What is suspicious but no error, such as a rule that can never apply.
    pub fn warnings(&self) -> &[PackProblem] {
        &self.warnings
    }
}

/// Limits and names of the files; `None` after a problem.
fn check_files(sorted: &[Source], problems: &mut Problems) -> Option<()> {
    let whole = Sheet {
        path: &Arc::from(MANIFEST),
        text: "",
    };
    if sorted.len() > SOURCES_MAX || sorted.iter().map(|s| s.text.len()).sum::<usize>() > PACK_BYTES_MAX {
        let says = format!("a pack has more than {SOURCES_MAX} files or {PACK_BYTES_MAX} bytes");
        problems.push(whole.problem(0, says, Some("split the pack")));
        return None;
    }
    let mut seen = BTreeSet::new();
    for source in sorted {
        let sheet = Sheet {
            path: &source.path,
            text: &source.text,
        };
        if !seen.insert(&source.path) {
            problems.push(sheet.problem(0, "the file is given twice", None));
        }
        if kind(&source.path).is_none() {
            let help = "a pack holds pack.toml, *.cedar and cases*.toml";
            problems.push(sheet.problem(0, "this file is no part of a pack", Some(help)));
        }
    }
    if !seen.iter().any(|path| ***path == *MANIFEST) {
        problems.push(whole.problem(
            0,
            "the pack has no pack.toml",
            Some("it names the pack and says when it holds"),
        ));
    }
    Some(())
}

fn read(sorted: Vec<Source>, problems: &mut Problems) -> Option<Pack> {
    let sheets = |wanted: Kind| -> Vec<Sheet<'_>> {
        let of_kind = sorted.iter().filter(|s| kind(&s.path) == Some(wanted));
        of_kind
            .map(|s| Sheet {
                path: &s.path,
                text: &s.text,
            })
            .collect()
    };
    let manifest = sheets(Kind::Manifest)
        .first()
        .and_then(|sheet| manifest::read(*sheet, problems));
    let mut rules = policies::read(&sheets(Kind::Rules), manifest.as_ref(), problems);
    let mut cases = Vec::new();
    for sheet in sheets(Kind::Cases) {
        cases.extend(cases::read(
            sheet,
            manifest.as_ref().map(|m| m.valid_from),
            problems,
        ));
    }
    let decides = |s: &Source| kind(&s.path) != Some(Kind::Cases);
    let archive = PackArchive {
        sources: sorted.into_iter().filter(decides).collect(),
        t: Arc::from(PACK_V1),
    };
    let digest = sha256(&jcs::to_vec(&archive).ok()?);
    for rule in &mut rules.list {
        rule.seal(digest);
    }
    Some(Pack {
        archive,
        cases,
        digest,
        manifest: manifest?,
        rules: rules.list,
        warnings: rules.warnings,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cases,
    Manifest,
    Rules,
}

fn kind(path: &str) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.') {
        _ if path == MANIFEST => Some(Kind::Manifest),
        Some((_, "cedar")) => Some(Kind::Rules),
        Some((stem, "toml")) if stem.starts_with("cases") => Some(Kind::Cases),
        _ => None,
    }
}

/// Whether a text is the full id of a rule, `<pack>/<rule>`.
pub(crate) fn is_long(id: &str) -> bool {
    id.split_once('/')
        .is_some_and(|(pack, rule)| is_id(pack) && is_id(rule))
}

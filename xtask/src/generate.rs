//! Generated documents: what the program knows of itself, as pages and schemas under `docs/`. They are committed, so that
//! a reader needs no build and a change shows in review; `--check` compares and fails with the difference.
//!
//! Sources: the table of error codes in core, and the hidden command `tieline gen <what>` of the binary. The folders of
//! [`OWNED`] hold nothing but generated files: what the generators no longer write is removed.

mod difference;
mod pages;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::repo;

/// Whether to write or to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    Write,
}

const OWNED: [&str; 3] = ["docs/errors/", "docs/reference/", "docs/schemas/"];

/// Path relative to the root, and content.
type Files = BTreeMap<String, String>;

/// Path, then committed and generated content; none where there is no such file.
type Stale = BTreeMap<String, (Option<String>, Option<String>)>;

/// Generates everything; in [`Mode::Check`], whether nothing differs.
pub(crate) fn run(mode: Mode) -> Result<bool> {
    let root = repo::root()?;
    let fresh = fresh(&root)?;
    let stale = stale(&root, &fresh)?;
    match mode {
        Mode::Check => {
            for (path, (committed, generated)) in &stale {
                repo::say(&difference::show(
                    path,
                    committed.as_deref(),
                    generated.as_deref(),
                ));
            }
            repo::say(&format!("gen: {} files, {} stale", fresh.len(), stale.len()));
            if !stale.is_empty() {
                repo::say("gen: run `cargo xtask gen` and commit what it writes");
            }
            Ok(stale.is_empty())
        }
        Mode::Write => {
            for (path, (_, generated)) in &stale {
                put(&root.join(path), generated.as_deref())
                    .with_context(|| format!("cannot write {path}"))?;
                repo::say(&format!("gen: wrote {path}"));
            }
            repo::say(&format!("gen: {} files, {} changed", fresh.len(), stale.len()));
            Ok(true)
        }
    }
}

/// A code of a configuration mistake, as `tieline gen config-codes` lists it.
#[derive(Debug, Deserialize)]
struct ConfigCode {
    advice: String,
    name: String,
    number: String,
    title: String,
}

fn fresh(root: &Path) -> Result<Files> {
    let listed = tieline(root, "config-codes")?;
    let codes: Vec<ConfigCode> = serde_json::from_str(&listed).context("`tieline gen config-codes`")?;
    let mut entries: Vec<pages::Entry> = tieline_core::Code::ALL
        .iter()
        .map(|code| pages::of_call(*code))
        .collect();
    entries.extend(
        codes
            .into_iter()
            .map(|code| pages::of_configuration(code.number, code.name, code.title, code.advice)),
    );
    let mut files = pages::all(entries)?;
    files.insert("docs/reference/cli.md".to_owned(), tieline(root, "cli")?);
    files.insert(
        "docs/reference/configuration.md".to_owned(),
        tieline(root, "config-reference")?,
    );
    files.insert(
        "docs/reference/openapi.json".to_owned(),
        tieline(root, "openapi")?,
    );
    files.insert(
        "docs/schemas/tieline.toml.json".to_owned(),
        tieline(root, "config-schema")?,
    );
    files.insert(
        "docs/reference/scenario.md".to_owned(),
        tieline(root, "scenario-reference")?,
    );
    files.insert(
        "docs/schemas/scenario.toml.json".to_owned(),
        tieline(root, "scenario-schema")?,
    );
    files.extend(schemas(&tieline(root, "json-schemas")?)?);
    Ok(files
        .into_iter()
        .map(|(path, text)| (path, ended(&text)))
        .collect())
}

/// One file for each schema of `--json`; `tieline/grid/v1` becomes `grid-v1.json`.
fn schemas(text: &str) -> Result<Files> {
    let schemas: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).context("`tieline gen json-schemas`")?;
    let mut files = Files::new();
    for (name, schema) in schemas {
        let file = name.strip_prefix("tieline/").unwrap_or(&name).replace('/', "-");
        let plain = file
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        ensure!(plain && !file.is_empty(), "`{name}` gives no name of a file");
        files.insert(
            format!("docs/schemas/{file}.json"),
            serde_json::to_string_pretty(&schema)?,
        );
    }
    Ok(files)
}

/// What the binary prints about itself. `TIELINE_BIN` names one that is built already.
fn tieline(root: &Path, what: &str) -> Result<String> {
    let mut command = if let Some(binary) = std::env::var_os("TIELINE_BIN") {
        Command::new(binary)
    } else {
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "--quiet", "--package", "tieline", "--"]);
        cargo
    };
    repo::output(command.args(["gen", what]).current_dir(root))
}

/// No white space at the end of a line, one newline at the end of the text.
fn ended(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}

/// What differs.
fn stale(root: &Path, fresh: &Files) -> Result<Stale> {
    let mut stale = Stale::new();
    for (path, generated) in fresh {
        let committed = std::fs::read_to_string(root.join(path)).ok();
        if committed.as_ref() != Some(generated) {
            stale.insert(path.clone(), (committed, Some(generated.clone())));
        }
    }
    for path in repo::files(root)? {
        if OWNED.iter().any(|folder| path.starts_with(folder)) && !fresh.contains_key(&path) {
            let committed = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
            stale.insert(path, (Some(committed), None));
        }
    }
    Ok(stale)
}

fn put(path: &Path, content: Option<&str>) -> std::io::Result<()> {
    match content {
        Some(content) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, content)
        }
        None => std::fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_without_white_space() {
        assert_eq!(ended("a \n\n- `b`: \n\n\n"), "a\n\n- `b`:\n");
    }

    #[test]
    fn a_schema_is_named_after_what_it_describes() {
        let files = schemas(r#"{"tieline/grid/v1": {"type": "object"}}"#).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["docs/schemas/grid-v1.json"]);
        assert!(
            schemas(r#"{"tieline/../../x": {}}"#)
                .is_ok_and(|files| files.keys().all(|path| !path.contains("/../")))
        );
        assert!(schemas(r#"{"": {}}"#).is_err());
    }
}

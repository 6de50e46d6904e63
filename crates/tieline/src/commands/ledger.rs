//! `tieline ledger`: everything here reads files alone, whether a server runs or not.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use tieline_ledger::{Finding, LedgerError, Reader, Report, VerifyOptions, Witness};
use tieline_note::Digest;
use tieline_note::{CheckpointError, NoteError};

use super::reports::{BackedUp, EntryShown, Exported, LedgerKey, VerifiedLedger, VerifyReport};
use crate::cli::{Cli, Ledger, Verify};
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, command: &Ledger) -> Result<u8> {
    match command {
        Ledger::Verify(args) => verify(cli, args),
        Ledger::Show(args) => show(cli, parse_range(&args.range)?),
        Ledger::Tail(args) => {
            let size = reader(&cli.dir)?.size().map_err(|error| failed(&error))?;
            show(cli, size.saturating_sub(args.count)..size)
        }
        Ledger::Key => key(cli),
        Ledger::Export(args) => export(cli, &args.out),
        Ledger::Backup(args) => backup(cli, &args.file),
    }
}

fn key(cli: &Cli) -> Result<u8> {
    must_exist(&cli.dir)?;
    let vkey = tieline_ledger::vkey(&cli.dir).map_err(|error| failed(&error))?;
    if cli.json {
        let schema = "tieline/ledger-key/v1";
        output::json(&LedgerKey { schema, vkey })?;
    } else {
        output::line(vkey)?;
    }
    Ok(0)
}

fn export(cli: &Cli, out: &Path) -> Result<u8> {
    must_exist(&cli.dir)?;
    if out.is_file() {
        let message = format!("{} is a file", out.display());
        return Err(Failure::input(message).with_hint("an export is a folder; give another name"));
    }
    let report = tieline_ledger::export_tiles(&cli.dir, out).map_err(|error| failed(&error))?;
    if cli.json {
        output::json(&Exported {
            schema: "tieline/ledger-export/v1",
            bytes: report.bytes,
            files: report.files,
            origin: report.head.origin,
            root: report.head.root.to_string(),
            size: report.head.size,
        })?;
    } else {
        let (size, files, out) = (report.head.size, report.files, out.display());
        output::line(format!("{size} entries in {files} files under {out}"))?;
    }
    Ok(0)
}

fn backup(cli: &Cli, file: &Path) -> Result<u8> {
    must_exist(&cli.dir)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::input(format!("there is no folder {}", folder.display())));
    }
    if file.exists() {
        let message = format!("{} is there already", file.display());
        return Err(Failure::input(message).with_hint("a backup overwrites nothing; give another name"));
    }
    let report = tieline_ledger::backup(&cli.dir, file).map_err(|error| failed(&error))?;
    if cli.json {
        output::json(&BackedUp {
            schema: "tieline/ledger-backup/v1",
            checkpoint: report.checkpoint.display().to_string(),
            file: file.display().to_string(),
            size: report.head.size,
        })?;
    } else {
        let (size, file, checkpoint) = (report.head.size, file.display(), report.checkpoint.display());
        output::line(format!(
            "{size} entries in {file}, their checkpoint in {checkpoint}"
        ))?;
    }
    Ok(0)
}

fn verify(cli: &Cli, args: &Verify) -> Result<u8> {
    let options = options(args)?;
    // A folder without a ledger is wrong input, not a finding.
    reader(&cli.dir)?;
    let bar = bar();
    let result = tieline_ledger::verify(&cli.dir, &options, |progress| {
        bar.set_length(progress.entries_expected);
        bar.set_position(progress.entries);
    });
    bar.finish_and_clear();
    match result {
        Ok(report) => match args.deep.then(|| uncited(cli)).transpose()?.flatten() {
            Some(finding) => found(cli, &finding),
            None => verified(cli, report),
        },
        // A file that is no checkpoint at all says nothing about the ledger.
        Err(Finding::Checkpoint {
            witness: Witness::Against,
            source,
        }) if is_malformed(&source) => {
            let path = args.against.as_deref().unwrap_or(Path::new("")).display();
            Err(Failure::input(format!("{path} is no checkpoint: {source}"))
                .with_hint("give one that `tieline ledger backup` or `export` wrote"))
        }
        Err(finding) => found(cli, &finding),
    }
}

/// The first entry that cites something which is archived nowhere: without its grid or its party's record a decision
/// cannot be made again.
fn uncited(cli: &Cli) -> Result<Option<Finding>> {
    let reader = reader(&cli.dir)?;
    let size = reader.size()?;
    let mut known = BTreeSet::new();
    let mut finding = None;
    reader.for_each(0..size, |index, entry| {
        let value: Value = serde_json::from_slice(entry).unwrap_or(Value::Null);
        for (what, digest) in cited(&value) {
            if finding.is_some() || !known.insert(digest.to_owned()) {
                continue;
            }
            let archived = match digest.parse::<Digest>() {
                Ok(digest) => reader.blob(&digest)?.is_some(),
                Err(_) => false,
            };
            if !archived {
                let why = format!("it cites the {what} {digest}, which is not archived in this ledger");
                finding = Some(Finding::Content {
                    what: format!("entry {index}"),
                    why,
                });
            }
        }
        Ok::<(), Failure>(())
    })?;
    Ok(finding)
}

/// What an entry cites by digest.
fn cited(entry: &Value) -> Vec<(&'static str, &str)> {
    let places = [
        ("grid", "/grid"),
        ("party record", "/intake/party_digest"),
        ("grid", "/body/grid"),
        ("epoch record", "/body/epoch_record"),
        ("record of directives", "/body/overlay"),
    ];
    let single = places
        .iter()
        .filter_map(|(what, at)| Some((*what, entry.pointer(at)?.as_str()?)));
    let packs = entry
        .pointer("/body/packs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    single
        .chain(packs.filter_map(|pack| Some(("pack", pack.as_str()?))))
        .collect()
}

fn options(args: &Verify) -> Result<VerifyOptions> {
    let against = args.against.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::input(format!("cannot read the checkpoint {}: {error}", path.display()))
        })
    });
    let verifier = args.key.as_deref().map(|text| {
        tieline_note::note::Verifier::parse(text).map_err(|error| {
            Failure::input(format!("--key: {error}")).with_hint("`tieline ledger key` prints a ledger's own")
        })
    });
    Ok(VerifyOptions {
        against: against.transpose()?,
        deep: args.deep,
        verifier: verifier.transpose()?,
    })
}

fn verified(cli: &Cli, report: Report) -> Result<u8> {
    if !cli.json {
        output::line(format!(
            "{} entries ({} bytes) hash to the signed root {}",
            report.size, report.bytes, report.root
        ))?;
        output::line(format!("log {}, key {}", report.origin, report.vkey))?;
        return Ok(0);
    }
    let ledger = VerifiedLedger {
        against_size: report.against_size,
        blobs: report.blobs,
        bytes: report.bytes,
        last_size: report.last_size,
        origin: report.origin,
        root: report.root.to_string(),
        size: report.size,
        vkey: report.vkey,
    };
    output::json(&VerifyReport {
        schema: "tieline/ledger-verify/v1",
        finding: None,
        ledger: Some(ledger),
        ok: true,
    })?;
    Ok(0)
}

fn found(cli: &Cli, finding: &Finding) -> Result<u8> {
    if cli.json {
        output::json(&VerifyReport {
            schema: "tieline/ledger-verify/v1",
            finding: Some(finding.to_string()),
            ledger: None,
            ok: false,
        })?;
    } else {
        output::line(format!("the ledger does not verify: {finding}"))?;
        output::line(
            "keep the folder as it is; a backup, an export or a kept checkpoint tells what stood there",
        )?;
    }
    Ok(1)
}

fn show(cli: &Cli, range: Range<u64>) -> Result<u8> {
    let mut shown = 0_u64;
    let reader = reader(&cli.dir)?;
    reader.for_each(range.clone(), |index, entry| {
        shown += 1;
        print_entry(cli, index, entry)
    })?;
    if shown == 0 && !range.is_empty() {
        let size = reader.size().map_err(|error| failed(&error))?;
        let message = format!("the ledger has no entry {}", range.start);
        return Err(Failure::input(message).with_hint(format!("it has {size} entries, counted from 0")));
    }
    Ok(0)
}

fn print_entry(cli: &Cli, index: u64, entry: &[u8]) -> Result<()> {
    let value: Value = serde_json::from_slice(entry)
        .map_err(|error| Failure::found(format!("entry {index} is not JSON: {error}")))?;
    if cli.json {
        return output::json_line(&EntryShown {
            schema: "tieline/ledger-entry/v1",
            entry: value,
            index,
        });
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let at = value
        .get("at")
        .and_then(Value::as_i64)
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    let at = at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let rest = ["result", "code"]
        .iter()
        .filter_map(|name| value.get(*name).and_then(Value::as_str));
    let rest: Vec<&str> = rest.collect();
    let line = format!(
        "{index:>8}  {at:<27}  {:<22}  {}  {}",
        text("t"),
        text("id"),
        rest.join(" ")
    );
    output::line(line.trim_end())
}

fn parse_range(text: &str) -> Result<Range<u64>> {
    let bad = || {
        Failure::input(format!("`{text}` is not an index"))
            .with_hint("give a number such as 7, or a range such as 10..20")
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    match text.split_once("..") {
        None => number(text).map(|index| index..index.saturating_add(1)),
        Some((from, to)) => {
            let from = if from.is_empty() { 0 } else { number(from)? };
            let to = if to.is_empty() { u64::MAX } else { number(to)? };
            if from < to { Ok(from..to) } else { Err(bad()) }
        }
    }
}

pub(super) fn reader(dir: &Path) -> Result<Reader> {
    must_exist(dir)?;
    Reader::open(dir).map_err(|error| failed(&error))
}

fn must_exist(dir: &Path) -> Result<()> {
    if dir.join("ledger.db").exists() {
        return Ok(());
    }
    Err(Failure::input(format!("there is no ledger in {}", dir.display()))
        .with_hint("give the state folder with --dir, or start one with `tieline up`"))
}

/// Whether the text is no signed checkpoint, whoever signed it.
const fn is_malformed(error: &CheckpointError) -> bool {
    use CheckpointError::{Foreign, Lines, Note, Origin, Root, Size};
    match error {
        Lines | Origin | Root | Size => true,
        Note(error) => matches!(
            error,
            NoteError::Malformed(_) | NoteError::TooLong { .. } | NoteError::TooManySignatures
        ),
        Foreign { .. } => false,
    }
}

fn bar() -> indicatif::ProgressBar {
    if !output::is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    indicatif::ProgressBar::new(0)
}

pub(super) fn failed(error: &LedgerError) -> Failure {
    match error {
        // These begin with what was being done, such as `read`.
        LedgerError::Io { .. } | LedgerError::Sqlite { .. } => Failure::found(format!("cannot {error}")),
        LedgerError::NotLedger { .. } => {
            Failure::found(error.to_string()).with_hint("restore the whole state folder from one backup")
        }
        error => Failure::found(error.to_string()),
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        failed(&error)
    }
}

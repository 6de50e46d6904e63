//! `tieline ledger`: everything here reads files alone, whether a server runs or not.

use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use tieline_ledger::{Reader, VerifyOptions};

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
        Ledger::Key => {
            let vkey = tieline_ledger::vkey(&cli.dir).map_err(|error| failed(&error))?;
            if cli.json {
                output::json(&LedgerKey {
                    schema: "tieline/ledger-key/v1",
                    vkey,
                })?;
            } else {
                output::line(vkey)?;
            }
            Ok(0)
        }
        Ledger::Export(args) => {
            let report = tieline_ledger::export_tiles(&cli.dir, &args.out).map_err(|error| failed(&error))?;
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
                let out = args.out.display();
                output::line(format!(
                    "{} entries in {} files under {out}",
                    report.head.size, report.files
                ))?;
            }
            Ok(0)
        }
        Ledger::Backup(args) => {
            let report = tieline_ledger::backup(&cli.dir, &args.file).map_err(|error| failed(&error))?;
            if cli.json {
                output::json(&BackedUp {
                    schema: "tieline/ledger-backup/v1",
                    checkpoint: report.checkpoint.display().to_string(),
                    file: args.file.display().to_string(),
                    size: report.head.size,
                })?;
            } else {
                let (file, checkpoint) = (args.file.display(), report.checkpoint.display());
                output::line(format!(
                    "{} entries in {file}, their checkpoint in {checkpoint}",
                    report.head.size
                ))?;
            }
            Ok(0)
        }
    }
}

fn verify(cli: &Cli, args: &Verify) -> Result<u8> {
    let against = args.against.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::input(format!("cannot read the checkpoint {}: {error}", path.display()))
        })
    });
    let verifier = args.key.as_deref().map(|text| {
        tieline_note::note::Verifier::parse(text).map_err(|error| Failure::input(format!("--key: {error}")))
    });
    let options = VerifyOptions {
        against: against.transpose()?,
        deep: args.deep,
        verifier: verifier.transpose()?,
    };
    // A folder without a ledger is wrong input, not a finding.
    reader(&cli.dir)?;
    let bar = bar();
    let result = tieline_ledger::verify(&cli.dir, &options, |progress| {
        bar.set_length(progress.entries_expected);
        bar.set_position(progress.entries);
    });
    bar.finish_and_clear();
    match result {
        Ok(report) => {
            if cli.json {
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
                let schema = "tieline/ledger-verify/v1";
                output::json(&VerifyReport {
                    schema,
                    finding: None,
                    ledger: Some(ledger),
                    ok: true,
                })?;
            } else {
                output::line(format!(
                    "{} entries ({} bytes) hash to the signed root {}",
                    report.size, report.bytes, report.root
                ))?;
                output::line(format!("log {}, key {}", report.origin, report.vkey))?;
            }
            Ok(0)
        }
        Err(finding) => {
            if cli.json {
                let (schema, finding) = ("tieline/ledger-verify/v1", Some(finding.to_string()));
                output::json(&VerifyReport {
                    schema,
                    finding,
                    ledger: None,
                    ok: false,
                })?;
            } else {
                output::line(format!("the ledger does not verify: {finding}"))?;
            }
            Ok(1)
        }
    }
}

fn show(cli: &Cli, range: Range<u64>) -> Result<u8> {
    let mut shown = 0_u64;
    reader(&cli.dir)?.for_each(range.clone(), |index, entry| {
        shown += 1;
        print_entry(cli, index, entry)
    })?;
    if shown == 0 && !range.is_empty() {
        return Err(Failure::input(format!("the ledger has no entry {}", range.start)));
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
    output::line(format!(
        "{index:>8}  {at:<27}  {:<22}  {}  {}",
        text("t"),
        text("id"),
        rest.join(" ")
    ))
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
    if !dir.join("ledger.db").exists() {
        return Err(Failure::input(format!("there is no ledger in {}", dir.display()))
            .with_hint("give the state folder with --dir, or start one with `tieline up`"));
    }
    Reader::open(dir).map_err(|error| failed(&error))
}

fn bar() -> indicatif::ProgressBar {
    if !output::is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    indicatif::ProgressBar::new(0)
}

pub(super) fn failed(error: &tieline_ledger::LedgerError) -> Failure {
    Failure::found(error.to_string())
}

impl From<tieline_ledger::LedgerError> for Failure {
    fn from(error: tieline_ledger::LedgerError) -> Self {
        failed(&error)
    }
}

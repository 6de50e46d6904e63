//! `tieline drill receipts`: what drills and pool tests left in the ledger; and a drill made again from what its receipt
//! cites, to see whether the same comes out. What is cited and not here any more is said, and is no finding.

use std::fmt::Write as _;
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;
use tieline_core::Snapshot;
use tieline_core::receipt::{
    DrillReceipt, LedgerCited, PoolTestReceipt, RECEIPT_V1, Receipt, ReceiptEntry, TrafficBasis,
};
use tieline_core::record::Hex32;
use tieline_drill::{Downtimes, Receipts, Rehearsal, Side, Traffic, open_grid, structure_digest, table};
use tieline_ledger::{Reader, entry};
use tieline_note::Digest;

use super::facts::Facts;
use super::losses::Inputs;
use super::traffic::{Read, Trust, receipts_of, window_of};
use super::{flush, losses, plan, replay, year};
use crate::cli::{self, Cli};
use crate::commands::grid::World;
use crate::commands::ledger::{failed, reader};
use crate::commands::receipt;
use crate::commands::reports::printed;
use crate::output::{self, Failure, Result};

/// A row of `tieline drill receipts`.
#[derive(Debug, JsonSchema, Serialize)]
struct ReceiptRow {
    /// Always `tieline/drill-receipts/v1`.
    schema: &'static str,
    /// When it was recorded, µs UTC.
    at_us: u64,
    id: String,
    /// Of its entry in the ledger.
    index: u64,
    /// The body of the entry `tieline/receipt/v1`.
    receipt: Value,
}

/// `tieline drill receipts --check`.
#[derive(Debug, JsonSchema, Serialize)]
struct CheckReport {
    /// Always `tieline/drill-receipt-check/v1`.
    schema: &'static str,
    command: String,
    id: String,
    /// SHA-256 of the report that came out.
    result_now: String,
    /// As the receipt cites it.
    result_then: String,
    /// Whether the results are the same.
    same: bool,
    /// Whether it was made again by the same engine.
    same_engine: bool,
}

/// A receipt in its place.
struct Found {
    at_us: u64,
    id: String,
    index: u64,
    receipt: Receipt,
}

pub(in crate::commands) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("drill-receipt-check", printed::<CheckReport>()),
        ("drill-receipts", printed::<ReceiptRow>()),
    ]
}

pub(super) fn run(cli: &Cli, args: &cli::Receipts) -> Result<u8> {
    flush(cli);
    let reader = reader(&cli.dir)?;
    let (all, unread) = found(&reader)?;
    if unread > 0 {
        output::progress(format!(
            "{unread} more are of a form that this program does not read"
        ));
    }
    if let Some(id) = &args.check {
        return check(cli, &reader, &one(all, id)?);
    }
    match &args.id {
        Some(id) => shown(cli, &one(all, id)?)?,
        None => listed(cli, &all)?,
    }
    Ok(0)
}

/// Every receipt, oldest first, and how many could not be read.
fn found(reader: &Reader) -> Result<(Vec<Found>, u64)> {
    let size = reader.size().map_err(|error| failed(&error))?;
    let (mut all, mut unread) = (Vec::new(), 0);
    reader.for_each(0..size, |index, bytes| {
        let is_receipt = entry::head(bytes).is_ok_and(|head| head.t.starts_with("tieline/receipt/"));
        if is_receipt {
            match read(index, bytes) {
                Some(found) => all.push(found),
                None => unread += 1,
            }
        }
        Ok::<(), Failure>(())
    })?;
    Ok((all, unread))
}

fn read(index: u64, bytes: &[u8]) -> Option<Found> {
    let entry: ReceiptEntry = serde_json::from_slice(bytes).ok()?;
    (&*entry.t == RECEIPT_V1 && entry.body.check().is_ok()).then(|| Found {
        at_us: entry.at.0,
        id: entry.id.to_string(),
        index,
        receipt: entry.body,
    })
}

fn one(mut all: Vec<Found>, id: &str) -> Result<Found> {
    let found = if id == "last" {
        all.pop()
    } else {
        all.into_iter().find(|found| found.id == id)
    };
    found.ok_or_else(|| {
        let says = if id == "last" {
            "no receipt is recorded yet".to_owned()
        } else {
            format!("there is no receipt `{id}`")
        };
        Failure::input(says).with_hint("`tieline drill receipts` lists those that there are")
    })
}

// === show ===

fn listed(cli: &Cli, all: &[Found]) -> Result<()> {
    if cli.json {
        return all.iter().try_for_each(|found| output::json_line(&row(found)?));
    }
    if all.is_empty() {
        return output::line("No receipt is recorded yet.");
    }
    let rows = all.iter().map(|found| {
        let (what, result) = match &found.receipt {
            Receipt::Drill(drill) => (format!("drill {}", drill.command), brief(drill.result)),
            Receipt::PoolTest(test) => (format!("pool test {}: {}", test.pool, test.model), passed(test)),
        };
        vec![time(found.at_us), found.id.clone(), what, result]
    });
    let head = ["recorded", "receipt", "of", "result"].map(|name| (name, Side::Left));
    output::line(table(&head, &rows.collect::<Vec<_>>()))
}

fn shown(cli: &Cli, found: &Found) -> Result<()> {
    if cli.json {
        return output::json(&row(found)?);
    }
    let mut text = format!(
        "receipt {}, entry {}, {}\n",
        found.id,
        found.index,
        time(found.at_us)
    );
    let lines = match &found.receipt {
        Receipt::Drill(drill) => drill_lines(drill),
        Receipt::PoolTest(test) => test_lines(test),
    };
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<10}{value}");
    }
    output::line(text)
}

fn drill_lines(drill: &DrillReceipt) -> Vec<(&'static str, String)> {
    let mut lines = vec![("drill", drill.command.to_string())];
    let arguments = drill.arguments.iter();
    lines.extend(arguments.map(|(name, value)| ("option", format!("{name} {value}"))));
    lines.extend(drill.seed.map(|seed| ("seed", seed.to_string())));
    lines.extend(drill.scenario.map(|digest| ("scenario", digest.to_string())));
    lines.extend(drill.grid.map(|digest| ("grid", digest.to_string())));
    lines.extend(drill.ledger.map(|ledger| {
        let LedgerCited { entries, root } = ledger;
        ("ledger", format!("its first {entries} entries, root {root}"))
    }));
    lines.extend(drill.traffic.map(|traffic| {
        let from = match traffic.basis {
            TrafficBasis::Ledger => "of the ledger",
            TrafficBasis::Structure => "of who may ask for what",
            TrafficBasis::Trace => "of a trace",
        };
        ("traffic", format!("{from}, {}", traffic.digest))
    }));
    if let Some(policy) = &drill.policy {
        lines.push(("rules", policy.epoch.to_string()));
        lines.extend(policy.directives.map(|digest| ("orders", digest.to_string())));
    }
    lines.push((
        "engine",
        format!("{}, {}", drill.engine.version, drill.engine.digest),
    ));
    lines.push(("result", drill.result.to_string()));
    lines.extend(drill.by.as_ref().map(|by| ("by", by.to_string())));
    lines
}

fn test_lines(test: &PoolTestReceipt) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("pool", test.pool.to_string()),
        ("model", test.model.to_string()),
        ("result", passed(test)),
    ];
    lines.extend(test.failed.iter().map(|case| ("failed", case.to_string())));
    lines.push(("cases", test.cases.to_string()));
    lines.extend((!test.judges.is_empty()).then(|| ("judged by", test.judges.join(", "))));
    lines.push(("channels", test.channels.join(", ")));
    lines.push(("grid", test.grid.to_string()));
    lines.extend(test.by.as_ref().map(|by| ("by", by.to_string())));
    lines
}

fn row(found: &Found) -> Result<ReceiptRow> {
    Ok(ReceiptRow {
        schema: "tieline/drill-receipts/v1",
        at_us: found.at_us,
        id: found.id.clone(),
        index: found.index,
        receipt: serde_json::to_value(&found.receipt).map_err(|error| Failure::found(error.to_string()))?,
    })
}

fn passed(test: &PoolTestReceipt) -> String {
    let says = if test.is_pass() { "passes" } else { "fails" };
    format!("{says}: {} of {} cases", test.passed, test.total)
}

/// To the microsecond, with its noughts: a column of times is as wide whenever they were.
fn time(at_us: u64) -> String {
    let at = i64::try_from(at_us).ok();
    let at = at.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.6}"))
}

/// Enough of a digest to tell it from others on a screen.
fn brief(digest: Hex32) -> String {
    digest.to_string().chars().take(16).collect()
}

// === check ===

fn check(cli: &Cli, reader: &Reader, found: &Found) -> Result<u8> {
    let Receipt::Drill(drill) = &found.receipt else {
        return Err(Failure::input(format!(
            "{} is of a pool test, and what models say is not made again from a record",
            found.id
        ))
        .with_hint("`tieline pool test` asks them anew"));
    };
    let result_now = made_again(cli, reader, drill)?;
    let report = CheckReport {
        schema: "tieline/drill-receipt-check/v1",
        command: drill.command.to_string(),
        id: found.id.clone(),
        result_now: result_now.to_string(),
        result_then: drill.result.to_string(),
        same: result_now == drill.result,
        same_engine: receipt::engine()? == drill.engine,
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(checked_text(&report, drill))?;
    }
    Ok(u8::from(!report.same))
}

fn checked_text(report: &CheckReport, drill: &DrillReceipt) -> String {
    let by = if report.same_engine {
        "the same engine".to_owned()
    } else {
        format!(
            "another engine than then ({}, {})",
            drill.engine.version,
            brief(drill.engine.digest)
        )
    };
    let (command, id) = (&report.command, &report.id);
    if report.same {
        format!(
            "drill {command} of receipt {id}, made again by {by}: the same result, {}",
            report.result_now
        )
    } else {
        format!(
            "drill {command} of receipt {id}, made again by {by}: another result\n  then {}\n  now  {}",
            report.result_then, report.result_now
        )
    }
}

/// The digest of what comes out now.
fn made_again(cli: &Cli, reader: &Reader, drill: &DrillReceipt) -> Result<Hex32> {
    if let Some(ledger) = drill.ledger {
        still_there(reader, ledger)?;
    }
    if drill.scenario.is_some() {
        return Err(gone(
            "it ran on the files of scenarios or of a directive, and no ledger holds them",
        ));
    }
    match &*drill.command {
        replay::COMMAND => {
            let ledger = drill.ledger.ok_or_else(|| gone("its receipt cites no ledger"))?;
            receipt::result_digest(&replay::replayed(reader, ledger.entries)?)
        }
        losses::ONE => receipt::result_digest(&losses::singles(&inputs_of_losses(cli, reader, drill)?)),
        losses::TWO => receipt::result_digest(&losses::pairs(&inputs_of_losses(cli, reader, drill)?)),
        year::COMMAND => {
            let options = year::options_of(drill);
            let options = options.ok_or_else(|| gone("its options are not known to this program"))?;
            if drill.arguments.contains_key(receipt::PRIORS) {
                return Err(gone("its priors are of a file, which no ledger holds"));
            }
            let inputs = inputs_of_losses(cli, reader, drill)?;
            let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known);
            receipt::result_digest(&year::drawn(&rehearsal, &Downtimes::default(), options)?)
        }
        plan::COMMAND => Err(gone(
            "the catalogue is cited by digest and not kept; plan with the file again, and compare",
        )),
        command => Err(gone(&format!("this program makes no drill `{command}` again"))),
    }
}

/// What an n-1 or n-2 ran on, as it was.
fn inputs_of_losses(cli: &Cli, reader: &Reader, drill: &DrillReceipt) -> Result<Inputs> {
    let assumed = losses::assumed_of(&drill.arguments);
    let (assumed, bars) = assumed.ok_or_else(|| gone("its options are not known to this program"))?;
    let facts = match drill.arguments.get(Facts::ARGUMENT) {
        None => Facts::default(),
        Some(then) => {
            let facts = Facts::of(cli)?;
            if facts.digest()?.as_ref() != Some(then) {
                return Err(gone(
                    "the classes of parties, or how much keys matter, are others by now",
                ));
            }
            facts
        }
    };
    let (snapshot, traffic, receipts) = calls_of_losses(cli, reader, drill, &facts)?;
    Ok(Inputs {
        assumed,
        bars,
        known: facts.known(receipt::within(receipts, &snapshot.record, reader)),
        snapshot,
        traffic,
    })
}

/// Its grid, its calls, and what tests of pools had shown.
fn calls_of_losses(
    cli: &Cli,
    reader: &Reader,
    drill: &DrillReceipt,
    facts: &Facts,
) -> Result<(Arc<Snapshot>, Traffic, Receipts)> {
    let digest = drill.grid.ok_or_else(|| gone("its receipt cites no grid"))?;
    let bytes = reader.blob(&Digest(digest.0)).map_err(|error| failed(&error))?;
    let bytes = bytes.ok_or_else(|| gone(&format!("the grid {digest} is not archived")))?;
    let snapshot = open_grid(digest.0, &bytes).map_err(|why| gone(&format!("the grid {why}")))?;
    let snapshot = Arc::new(snapshot);
    let cited = drill
        .traffic
        .ok_or_else(|| gone("its receipt cites no traffic"))?;
    let is_alone = losses::is_alone(&drill.arguments);
    let mut receipts = Receipts::new();
    let traffic = match (cited.basis, drill.ledger.filter(|_| !is_alone)) {
        (TrafficBasis::Ledger, Some(ledger)) => {
            receipts = receipts_of(reader, ledger.entries)?;
            let read = Read {
                calibrate: true,
                criticality: facts.criticality(),
                entries: Some(ledger.entries),
                trust: Trust::Unasked,
                window: window_of(&drill.arguments)?,
            };
            let mut calls = read.of(reader, ledger.entries)?;
            // Whether to publish it was decided then.
            calls.pass(true)?;
            calls.traffic
        }
        (TrafficBasis::Ledger, None) => return Err(gone("its receipt cites no ledger")),
        (TrafficBasis::Trace, _) => return Err(gone("its calls are of a trace, which no ledger holds")),
        // A configuration alone has no parties, and its rules are not asked.
        (TrafficBasis::Structure, _) if is_alone => {
            same_structure(structure_digest(&snapshot, &[]), cited.digest)?;
            Traffic::synthetic(&snapshot, &[])
        }
        (TrafficBasis::Structure, ledger) => {
            if let Some(ledger) = ledger {
                receipts = receipts_of(reader, ledger.entries)?;
            }
            let world = World::open(cli, None)?;
            if Hex32(world.snapshot.digest) != digest {
                return Err(gone("the grid of the state folder is another by now"));
            }
            world.with_parties(|parties| {
                same_structure(structure_digest(&snapshot, parties), cited.digest)?;
                Ok::<_, Failure>(Traffic::synthetic(&snapshot, parties))
            })?
        }
    };
    Ok((snapshot, traffic, receipts))
}

fn same_structure(now: Option<Hex32>, then: Hex32) -> Result<()> {
    if now == Some(then) {
        return Ok(());
    }
    Err(gone("who may ask for what, by which ways, is another by now"))
}

/// Whether the ledger begins as it did then.
fn still_there(reader: &Reader, cited: LedgerCited) -> Result<()> {
    let size = reader.size().map_err(|error| failed(&error))?;
    if size < cited.entries {
        let says = format!("the ledger has {size} entries, and {} are cited", cited.entries);
        return Err(gone(&says));
    }
    if receipt::first(reader, cited.entries)? == cited {
        return Ok(());
    }
    Err(gone(&format!(
        "the first {} entries of this ledger are others than those cited",
        cited.entries
    )))
}

fn gone(why: &str) -> Failure {
    Failure::input(format!("it cannot be made again: {why}"))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_as_wide_whenever_they_were() {
        let check = |at_us: u64, expected: &str| assert_eq!(time(at_us), expected);
        check(1_781_284_860_123_456, "2026-06-12T17:21:00.123456Z");
        check(1_781_284_860_123_450, "2026-06-12T17:21:00.123450Z");
        check(1_781_284_860_000_000, "2026-06-12T17:21:00.000000Z");
        check(u64::MAX, "-");
    }
}

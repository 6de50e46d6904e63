//! `tieline usage`: what calls used and cost, from the ledger alone. Reads while a server runs.

mod sums;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use tieline_core::Usage;
use tieline_drill::Side;
use tieline_ledger::LedgerError;

pub(crate) use self::sums::By;
use self::sums::{Group, Sum, Sums, TooManyRows};
use super::ledger::{failed, reader};
use super::reports::printed;
use crate::cli::{Cli, UsageArgs};
use crate::output::{self, Failure, Result, csv_field};

/// `tieline usage`.
#[derive(Debug, JsonSchema, Serialize)]
struct UsageReport {
    /// Always `tieline/usage/v1`.
    schema: &'static str,
    /// What the rows are divided by: `party`, `key`, `model`, `channel`, `day`.
    by: Vec<&'static str>,
    /// The first day counted; absent is the first of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Calls whose end is not in the ledger: what they cost is in no sum.
    in_flight: u64,
    /// Calls that were refused before any attempt: they are in no row, and cost nothing.
    refused: u64,
    rows: Vec<UsageRow>,
    /// The last day counted; absent is the last of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    total: UsageSum,
    /// Entries of calls that this version cannot read: what they cost is in no sum.
    unreadable: u64,
}

#[derive(Debug, JsonSchema, Serialize)]
struct UsageRow {
    /// Values of `by`, in that order; `-` where there is none.
    group: Group,
    sum: UsageSum,
}

#[derive(Debug, JsonSchema, Serialize)]
struct UsageSum {
    attempts: u64,
    /// Attempts whose cost nobody knows: `cost_nano` is without them.
    attempts_unknown: u64,
    /// Calls with an attempt here; one with attempts in several rows counts in each.
    calls: u64,
    /// What the attempts whose cost is known cost, in nano-USD as a decimal string.
    cost_nano: String,
    tokens: UsageTokens,
}

/// Disjoint counters: no token is counted twice.
#[derive(Debug, JsonSchema, Serialize)]
struct UsageTokens {
    audio: u64,
    audio_output: u64,
    cache_read: u64,
    cache_write: u64,
    image: u64,
    input: u64,
    output: u64,
    reasoning: u64,
}

/// The columns behind those of the groups.
const COLUMNS: [&str; 13] = [
    "calls",
    "attempts",
    "input",
    "cache_read",
    "cache_write",
    "image",
    "audio",
    "output",
    "reasoning",
    "audio_output",
    "cost_usd",
    "cost_nano",
    "unknown",
];

/// Columns of the table for people: nano-dollars stand in `cost_usd` already, and most calls have neither sound nor
/// pictures.
const SHOWN: [&str; 9] = [
    "calls",
    "attempts",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_usd",
    "unknown",
];

pub(super) fn run(cli: &Cli, args: &UsageArgs) -> Result<u8> {
    let reader = reader(&cli.dir)?;
    let days = days(args)?;
    let mut by = args.by.clone();
    by.dedup();
    let mut sums = Sums::new(&by, days);
    let size = reader.size().map_err(|error| failed(&error))?;
    reader
        .for_each(0..size, |_, bytes| sums.take(bytes).map_err(Stop::from))
        .map_err(Failure::from)?;
    if cli.json {
        output::json(&report(&by, args, sums))?;
    } else if args.csv {
        csv(&by, &sums)?;
    } else {
        table(&by, &sums)?;
    }
    Ok(0)
}

/// Why the ledger was not read to its end.
enum Stop {
    Ledger(LedgerError),
    Rows,
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<TooManyRows> for Stop {
    fn from(TooManyRows: TooManyRows) -> Self {
        Self::Rows
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Ledger(error) => failed(&error),
            Stop::Rows => Self::input("the report would have more than 100,000 rows")
                .with_hint("divide by less with --by, or take fewer days with --from and --to"),
        }
    }
}

/// Days since the Unix epoch, from the first asked for to before the one after the last.
fn days(args: &UsageArgs) -> Result<std::ops::Range<u64>> {
    let day = |text: &str| {
        let date = text
            .parse::<jiff::civil::Date>()
            .ok()
            .filter(|_| text.len() == 10);
        let days = date.and_then(|date| {
            let since = date.since(jiff::civil::Date::constant(1970, 1, 1)).ok()?;
            u64::try_from(since.get_days()).ok()
        });
        days.ok_or_else(|| {
            Failure::input(format!("`{text}` is not a day"))
                .with_hint("write it as 2026-11-27; days are those of UTC")
        })
    };
    let from = args.from.as_deref().map(day).transpose()?.unwrap_or(0);
    let to = args
        .to
        .as_deref()
        .map(day)
        .transpose()?
        .map_or(u64::MAX, |day| day + 1);
    Ok(from..to)
}

// === forms ===

fn report(by: &[By], args: &UsageArgs, sums: Sums) -> UsageReport {
    let in_flight = sums.in_flight() as u64;
    let rows = sums.rows.into_iter().map(|(group, sum)| UsageRow {
        group,
        sum: sum.into(),
    });
    UsageReport {
        schema: "tieline/usage/v1",
        by: by.iter().map(|by| by.name()).collect(),
        from: args.from.clone(),
        in_flight,
        refused: sums.refused,
        rows: rows.collect(),
        to: args.to.clone(),
        total: sums.total.into(),
        unreadable: sums.unreadable,
    }
}

impl From<Sum> for UsageSum {
    fn from(sum: Sum) -> Self {
        let Usage {
            audio,
            audio_output,
            cache_read,
            cache_write,
            image,
            input,
            output,
            reasoning,
        } = sum.usage;
        Self {
            attempts: sum.attempts,
            attempts_unknown: sum.attempts_unknown,
            calls: sum.calls,
            cost_nano: sum.cost_nano.to_string(),
            tokens: UsageTokens {
                audio,
                audio_output,
                cache_read,
                cache_write,
                image,
                input,
                output,
                reasoning,
            },
        }
    }
}

fn cell(sum: &Sum, column: &str) -> String {
    let usage = &sum.usage;
    match column {
        "calls" => sum.calls.to_string(),
        "attempts" => sum.attempts.to_string(),
        "input" => usage.input.to_string(),
        "cache_read" => usage.cache_read.to_string(),
        "cache_write" => usage.cache_write.to_string(),
        "image" => usage.image.to_string(),
        "audio" => usage.audio.to_string(),
        "output" => usage.output.to_string(),
        "reasoning" => usage.reasoning.to_string(),
        "audio_output" => usage.audio_output.to_string(),
        "cost_usd" => usd(sum.cost_nano),
        "cost_nano" => sum.cost_nano.to_string(),
        _ => sum.attempts_unknown.to_string(),
    }
}

fn usd(nano: u128) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

/// RFC 4180, with a head and without a line of totals: a spreadsheet adds up itself.
fn csv(by: &[By], sums: &Sums) -> Result<()> {
    let head: Vec<&str> = by.iter().map(|by| by.name()).chain(COLUMNS).collect();
    output::line(head.join(","))?;
    for (group, sum) in &sums.rows {
        let values = group.iter().map(|value| csv_field(value));
        let cells = COLUMNS.iter().map(|column| cell(sum, column));
        output::line(values.chain(cells).collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

fn table(by: &[By], sums: &Sums) -> Result<()> {
    let names = by.iter().map(|by| (by.name(), Side::Left));
    let head: Vec<_> = names.chain(SHOWN.map(|name| (name, Side::Right))).collect();
    let mut lines = Vec::new();
    let line = |group: Vec<String>, sum: &Sum| -> Vec<String> {
        group
            .into_iter()
            .chain(SHOWN.iter().map(|column| cell(sum, column)))
            .collect()
    };
    for (group, sum) in &sums.rows {
        lines.push(line(group.iter().map(ToString::to_string).collect(), sum));
    }
    if !by.is_empty() {
        let label = |at: usize| if at == 0 { "total" } else { "" }.to_owned();
        lines.push(line((0..by.len()).map(label).collect(), &sums.total));
    }
    output::line(tieline_drill::table(&head, &lines))?;
    let total = &sums.total;
    if total.attempts_unknown > 0 {
        let (count, attempts) = (
            total.attempts_unknown,
            if total.attempts_unknown == 1 {
                "attempt"
            } else {
                "attempts"
            },
        );
        output::line(format!(
            "The cost of {count} {attempts} is unknown, and in no sum."
        ))?;
    }
    if sums.refused > 0 {
        output::line(format!(
            "{} refused before any attempt, and cost nothing.",
            calls_were(sums.refused)
        ))?;
    }
    if sums.in_flight() > 0 {
        output::line(format!(
            "{} in flight, and in no sum.",
            calls_were(sums.in_flight() as u64)
        ))?;
    }
    if sums.unreadable > 0 {
        output::line(format!(
            "{} entries of calls cannot be read by this version.",
            sums.unreadable
        ))?;
    }
    Ok(())
}

fn calls_were(count: u64) -> String {
    if count == 1 {
        "1 call was".into()
    } else {
        format!("{count} calls were")
    }
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![("usage", printed::<UsageReport>())]
}

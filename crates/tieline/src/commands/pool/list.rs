//! `tieline pool list`: the models of each pool, what they take, and their newest receipts. It reads files alone.

use std::fmt::Write as _;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use tieline_core::GridRecord;
use tieline_core::grid::PoolRecord;
use tieline_drill::{ModelLimits, Receipts, Side, Tested, substitutes, table};

use super::named;
use super::report::{LIMITS_HEAD, limits_row};
use crate::cli::Cli;
use crate::commands::receipt;
use crate::commands::reports::printed;
use crate::load;
use crate::output::{self, Result};

/// A row of `tieline pool list`.
#[derive(Debug, JsonSchema, Serialize)]
struct PoolRow {
    /// Always `tieline/pool-list/v1`.
    schema: &'static str,
    /// What it takes less of than the pool's first model, or of which that is not known.
    less: Vec<String>,
    limits: ModelLimits,
    model: String,
    pool: String,
    /// Its newest receipt in this pool; null where it was never tested.
    tested: Option<TestedRow>,
}

/// A receipt.
#[derive(Debug, JsonSchema, Serialize)]
struct TestedRow {
    /// When it was recorded, µs UTC.
    at_us: u64,
    /// SHA-256 of the canonical JSON of the cases.
    cases: String,
    /// Of its entry in the ledger.
    index: u64,
    /// Whether the model met every case.
    ok: bool,
    /// The grid meant another model, or another way to it, by that name: it counts for nothing.
    outdated: bool,
    passed: u32,
    total: u32,
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![("pool-list", printed::<PoolRow>())]
}

pub(super) fn run(cli: &Cli, pool: Option<&str>) -> Result<u8> {
    let grid = load::checked_in(&cli.dir)?.grid;
    let receipts = receipt::tested(&cli.dir, &grid)?;
    let pools: Vec<&PoolRecord> = match pool {
        Some(name) => vec![named(&grid, name)?],
        None => grid.pools.iter().collect(),
    };
    if receipts.unreadable() > 0 {
        output::progress(format!(
            "{} receipts cannot be read, and count for nothing",
            receipts.unreadable()
        ));
    }
    if cli.json {
        for pool in pools {
            rows(&grid, pool, &receipts)
                .iter()
                .try_for_each(output::json_line)?;
        }
        return Ok(0);
    }
    let tables: Vec<String> = pools.iter().map(|pool| listed(&grid, pool, &receipts)).collect();
    output::line(tables.join("\n"))?;
    Ok(0)
}

fn rows(grid: &GridRecord, pool: &PoolRecord, receipts: &Receipts) -> Vec<PoolRow> {
    let row = |of: tieline_drill::Substitute| PoolRow {
        schema: "tieline/pool-list/v1",
        tested: receipts.of(&pool.name, &of.model).map(TestedRow::of),
        less: of.less,
        limits: of.limits,
        model: of.model,
        pool: pool.name.to_string(),
    };
    substitutes(grid, pool).into_iter().map(row).collect()
}

fn listed(grid: &GridRecord, pool: &PoolRecord, receipts: &Receipts) -> String {
    let rows = rows(grid, pool, receipts).into_iter().map(|row| {
        let tested = row
            .tested
            .as_ref()
            .map_or_else(|| "never".to_owned(), TestedRow::text);
        let mut cells = limits_row(&row.model, &row.limits, &row.less);
        cells.insert(1, tested);
        cells
    });
    let mut head = LIMITS_HEAD.to_vec();
    head.insert(1, ("tested", Side::Left));
    let mut text = String::new();
    let _ = write!(
        text,
        "Pool {}\n\n{}",
        pool.name,
        table(&head, &rows.collect::<Vec<_>>())
    );
    text
}

impl TestedRow {
    fn of(tested: &Tested) -> Self {
        Self {
            at_us: tested.at.0,
            cases: tested.receipt.cases.to_string(),
            index: tested.index,
            ok: tested.receipt.is_pass(),
            outdated: tested.is_outdated,
            passed: tested.receipt.passed,
            total: tested.receipt.total,
        }
    }

    fn text(&self) -> String {
        let at = i64::try_from(self.at_us).ok();
        let at = at.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
        let day = at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
        let says = match (self.outdated, self.ok) {
            (true, _) => "OUTDATED",
            (false, true) => "passes",
            (false, false) => "FAILS",
        };
        format!("{says} {} of {}, {day}", self.passed, self.total)
    }
}

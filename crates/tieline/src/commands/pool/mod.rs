//! `tieline pool`: which models may stand in for each other, and whether they were tested to.

mod caller;
mod list;
mod report;
mod test;

use schemars::Schema;
use tieline_core::GridRecord;
use tieline_core::grid::PoolRecord;

use crate::cli::{Cli, Pool};
use crate::output::{Failure, Result};

pub(super) fn run(cli: &Cli, command: &Pool) -> Result<u8> {
    match command {
        Pool::List(args) => list::run(cli, args.pool.as_deref()),
        Pool::Test(args) => test::run(cli, args),
    }
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let mut all = list::schemas();
    all.extend(report::schemas());
    all
}

/// The pool of that name.
fn named<'g>(grid: &'g GridRecord, name: &str) -> Result<&'g PoolRecord> {
    let pool = grid.pools.iter().find(|pool| *pool.name == *name);
    pool.ok_or_else(|| {
        let failure = Failure::input(format!("there is no pool `{name}`"));
        let known: Vec<&str> = grid.pools.iter().map(|pool| &*pool.name).collect();
        match known.as_slice() {
            [] => failure.with_hint("the configuration names no pool"),
            known => failure.with_hint(format!("there are {}", known.join(", "))),
        }
    })
}

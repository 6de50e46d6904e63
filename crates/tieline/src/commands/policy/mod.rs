//! `tieline policy`: one file a verb. Everything but `adopt` and `sign` only reads, whether a server runs or not.

mod adopt;
mod against;
mod bench;
mod check;
mod coverage;
mod diff;
mod explain;
mod matrix;
mod report;
mod sign;
mod test;

pub(super) use bench::overlay;
pub(super) use report::schemas;

use crate::cli::{Cli, Policy};
use crate::output::Result;

pub(super) fn run(cli: &Cli, command: &Policy) -> Result<u8> {
    match command {
        Policy::Adopt(args) => adopt::run(cli, args),
        Policy::Check(args) => check::run(cli, args),
        Policy::Coverage(args) => coverage::run(cli, args),
        Policy::Diff(args) => diff::run(cli, args),
        Policy::Explain(args) => explain::run(cli, args),
        Policy::Matrix(args) => matrix::run(cli, args),
        Policy::Sign(args) => sign::run(args),
        Policy::Test(args) => test::run(cli, args),
    }
}

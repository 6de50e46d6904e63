//! `tieline grid`: what depends on what.
use crate::cli::Cli;
use crate::output::{Failure, Result};

pub(super) fn run(_cli: &Cli, _config: Option<&std::path::Path>) -> Result<u8> {
    Err(Failure::found("unfinished"))
}

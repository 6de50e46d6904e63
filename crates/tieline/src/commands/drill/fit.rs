//! `tieline drill fit`: the law that calls follow, as a file from which calls can be drawn.

use tieline_drill::Law;

use super::flush;
use super::traffic::traffic_alone;
use crate::cli::{Cli, Fit};
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, args: &Fit) -> Result<u8> {
    flush(cli);
    let traffic = traffic_alone(cli, &args.traffic)?;
    let law = Law::fit(&traffic).map_err(|error| Failure::input(format!("cannot fit a law: {error}")))?;
    if cli.json {
        output::json(&law)?;
    } else {
        output::line(law.to_toml())?;
    }
    Ok(0)
}

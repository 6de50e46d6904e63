//! Other gateways' configurations: read, turned into a configuration of tieline's own, and checked like any other. What
//! could not be mapped is said, with its place and what it means ([`mapping`]).
//!
//! Nothing is carried and nothing is called: credentials are left where they are, and names of the environment are not
//! looked up. Bounds: those of [`yaml`], of [`litellm`], and of the configuration that comes out.

pub(crate) mod litellm;
pub(crate) mod mapping;
mod yaml;

#[cfg(test)]
mod tests;

use crate::check::{self, Checked};
use crate::output::{Failure, Result};

/// The grid of a text that an importer wrote. What is wrong with it is a defect of the importer or beyond what a grid
/// holds, so the whole report is the message.
pub(crate) fn checked(name: &str, toml: &str) -> Result<Checked> {
    let set = |_: &str| Some("set".to_owned());
    let none = |_: &std::path::Path, _: u64| Err(std::io::ErrorKind::NotFound.into());
    let (checked, report) = check::check_text(name, toml, std::path::Path::new(""), &set, &none);
    checked.ok_or_else(|| Failure::report(report.render(crate::output::look())))
}

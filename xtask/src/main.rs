//! Generators and checks of the workspace, run as `cargo xtask <name>`.
//!
//! - `floors`: dependencies point down only, pure crates stay pure, the binary stays small.
//! - `tidy`: house rules that no compiler checks.
//! - `gen [--check]`: error pages, references and schemas under `docs/`, from the program itself.
//! - `counts [--write]`: instruction counts against their committed baseline, or a new baseline.
//! - `mutants [NAME…]`: defects put into the core one by one, which the simulator must find.
//!
//! Exit 0: nothing wrong; 1: something was found; 2: the command line is wrong or a tool could not run.

mod counts;
mod floors;
mod generate;
mod mutants;
mod repo;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask floors | tidy | gen [--check] | counts [--write] | mutants [NAME…]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            repo::say(&format!("xtask: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Runs a command; whether all is well.
fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["floors"] => floors::run(),
        ["tidy"] => tidy::run(),
        ["gen"] => generate::run(generate::Mode::Write),
        ["gen", "--check"] => generate::run(generate::Mode::Check),
        ["counts", rest @ ..] => counts::run(rest),
        ["mutants", names @ ..] => mutants::run(names),
        _ => anyhow::bail!("{USAGE}"),
    }
}

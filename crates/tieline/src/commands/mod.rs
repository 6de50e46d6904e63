//! The commands, one file a room. Each reads its arguments, calls the library that does the work, and prints.

mod book;
mod demo;
mod directive;
mod drill;
mod explain;
mod faults;
mod gen_reference;
mod grid;
mod imported;
mod keys;
mod ledger;
mod operate;
mod party;
mod policy;
mod pool;
mod receipt;
mod reports;
mod serve;
mod signing;
mod start;
mod term;
mod usage;

use tieline_policy::Epoch;

use crate::check::Checked;
use crate::cli::{Cli, Command, Demo, Ledger};
use crate::diagnose::{Code, Diagnostic};
use crate::output::{self, Failure, Result};
use crate::{check, folder, load, up};

pub(crate) use self::usage::By as UsageBy;

/// Run a command; the exit code, or why not.
pub(crate) fn run(cli: &Cli) -> Result<u8> {
    if !matches!(&cli.command, Command::Gen(_) | Command::Ledger(Ledger::Export(_))) {
        folder::keep_private();
    }
    match &cli.command {
        Command::Up(args) => start::run(cli, args),
        Command::Serve(args) => serve::run(cli, args),
        Command::Check(args) => checked(cli, args.config.as_deref()),
        Command::Explain(args) => explain::run(cli, &args.call),
        Command::Demo(Demo::June12(args)) => demo::june_12(cli, args),
        Command::Directive(command) => directive::run(cli, command),
        Command::Faults(args) => faults::run(cli, args),
        Command::Grid(args) => grid::run(cli, args),
        Command::Hold(command) => term::hold(cli, command),
        Command::Licence(command) => term::licence(cli, command),
        Command::Ledger(command) => ledger::run(cli, command),
        Command::Drill(command) => drill::run(cli, command),
        Command::Keys(command) => keys::run(cli, command),
        Command::Party(command) => party::run(cli, command),
        Command::Policy(command) => policy::run(cli, command),
        Command::Pool(command) => pool::run(cli, command),
        Command::Usage(args) => usage::run(cli, args),
        Command::Statement(command) => term::statement(cli, command),
        Command::Cut(target) => operate::run(cli, &target.name, true),
        Command::Restore(target) => operate::run(cli, &target.name, false),
        Command::Relay(args) => match serve::runtime(1)?.block_on(up::relay::run(args.port, &args.to)) {
            Ok(()) => Ok(0),
            Err(error) => Err(Failure::found(format!("the relay ended: {error}"))),
        },
        Command::Gen(args) => gen_reference::run(&args.what),
    }
}

fn checked(cli: &Cli, config: Option<&std::path::Path>) -> Result<u8> {
    let config = config.map_or_else(|| folder::config(&cli.dir), std::path::Path::to_path_buf);
    let (checked, mut report) = check::examine(&config);
    if let Some(checked) = &checked {
        for problem in pack_problems(checked) {
            report.push(Diagnostic::error(Code::PackBad, problem));
        }
    }
    if cli.json {
        output::json(&report.json())?;
    } else {
        let rendered = report.render(output::look());
        if rendered.is_empty() {
            // A person who asked gets an answer.
            output::line(format!("{}: nothing is wrong", config.display()))?;
        } else {
            output::report(&rendered)?;
        }
    }
    Ok(if report.errors() == 0 { 0 } else { 2 })
}

/// What is wrong with the packs: each alone, else all of them together.
fn pack_problems(checked: &Checked) -> Vec<String> {
    let (mut packs, mut problems) = (Vec::new(), Vec::new());
    let trusted = load::pack_signers(checked).unwrap_or_else(|error| {
        problems.push(error);
        None
    });
    for folder in &checked.policy.packs {
        match load::trusted_pack(folder, trusted.as_ref()) {
            Ok(pack) => packs.push(pack),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty()
        && let Err(found) = Epoch::build(0, packs, &checked.policy.enforce)
    {
        problems.extend(found.iter().map(ToString::to_string));
    }
    problems
}

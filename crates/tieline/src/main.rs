//! The interconnect for AI models: command line, configuration, diagnostics.
//!
//! This crate reads what people write (arguments, `tieline.toml`, packs), checks it, and hands checked values to the
//! libraries below. Exit codes: 0 done and nothing wrong, 1 it ran and found something, 2 the input is wrong.

mod admin_client;
mod cases;
mod check;
mod cli;
mod commands;
mod diagnose;
mod folder;
mod import;
mod load;
mod output;
mod raw;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

/// A call makes and frees some fifty small pieces, some of them on another thread than made them (the ledger's): what the
/// C library's own allocator takes for that is a tenth of the call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}

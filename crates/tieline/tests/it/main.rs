//! The binary as a person at a shell meets it: arguments in, exit code, standard output and standard error out.
//!
//! Every test has a folder of its own; servers are real processes on free ports in front of scripted channels. Whole
//! transcripts are compared ([`transcript`]), every `--json` object is held against its committed kind of schema
//! ([`schema`]). Nothing waits on a clock: a wait ends when a file is there, a line is logged or a process has exited.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test they serve"
)]

mod calibrating;
mod calls;
mod checking;
mod damage;
mod directives;
mod drilling;
mod faults;
mod folder;
mod help;
mod http;
mod importing;
mod keys;
mod lifecycle;
mod ollama;
mod operating;
mod pages;
mod parties;
mod policy;
mod pools;
mod receipts;
mod reloading;
mod scenarios;
mod schema;
mod terms;
mod traffic;
mod transcript;
mod truth;
mod up;

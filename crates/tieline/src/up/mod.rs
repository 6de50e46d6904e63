//! Everything `tieline up` needs before the gateway listens: a real model, servers for it, and their care.
//!
//! `model` finds a model or sets one up under the user's cache folder; `gguf` checks a model file before any server
//! opens it; `supervise` owns the server processes, restarts those that die and stops those that are cut; `relay` is
//! the process that stands for a channel when the model server is not ours; `ready` writes what scripts read.
//! Refuses to leave a process behind: every child ends when this process does, however it ends.

pub(crate) mod gguf;
pub(crate) mod log_file;
pub(crate) mod model;
pub(crate) mod probe;
pub(crate) mod ready;
pub(crate) mod relay;
pub(crate) mod supervise;
mod venv;
pub(crate) mod verifier;

#[cfg(test)]
mod real_tests;

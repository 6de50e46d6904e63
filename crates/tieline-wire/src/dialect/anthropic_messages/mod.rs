//! Anthropic Messages, `POST /v1/messages` (Anthropic API reference, versions 2023-06-01 and 2026-10-21).

pub mod read;
pub mod stream;
pub(crate) mod wire;
pub mod write;

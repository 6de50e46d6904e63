//! What the crate promises, seen from outside: laws, tables and goldens.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests may fail loudly; clippy exempts only the functions that carry `#[test]`"
)]

mod classify;
mod convert_data;
mod convert_golden;
mod convert_laws;
mod data;
mod endings;
mod exchange;
mod json;
mod render;
mod resume;
mod sse;
mod stream;

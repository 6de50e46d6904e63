//! The scripted channel as a raw TCP client sees it, its canned answers, and the corpora of every fuzz target.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test they serve"
)]

mod answers;
mod client;
mod corpora;
mod faults;
mod serving;

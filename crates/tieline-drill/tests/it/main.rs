//! Ledgers recorded by driving the real `Call` through random worlds, then replayed, cut and read.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test they serve"
)]

mod bench;
mod calibration;
mod data;
mod grids;
mod laws;
mod live;
mod n_minus_1;
mod n_minus_2;
mod pages;
mod plan;
mod random;
mod replay;
mod scenario;
mod scenario_plays;
mod sim;
mod spend;
mod structure;
mod timelines;
mod traces;
mod versions;
mod year;

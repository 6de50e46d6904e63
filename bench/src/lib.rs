//! What `xtask counts` counts: the work of one call in library code, without sockets, clocks or threads.
//!
//! A [`Scenario`] is set up once and run any number of times; the instructions of one run are the difference between a
//! long and a short series divided by the difference of their lengths, so that set-up and cold caches cancel out.
//! Everything is fixed: bodies, seeds, ticks. Bounds: a prompt of 200 KB is the largest thing held.

pub mod bodies;
mod scenario;
mod verdict;
mod world;

pub use scenario::{SCENARIOS, Scenario, Whole, encode, scenario};
pub use world::{SetUp, World};

//! The gateway as its callers, its channels and its ledger see it: real sockets, scripted channels, a state folder of
//! its own for each test. Every test ends with an audit of the ledger ([`house::House::stop`]).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test they serve"
)]

mod access;
mod admin;
mod bad_input;
mod blocks;
mod broken;
mod budgets;
mod caller;
mod certificates;
mod changes;
mod channels;
mod chaos;
mod crossing;
mod directives;
mod draining;
mod failover;
mod gate;
mod geo;
mod holds;
mod house;
mod identity;
mod key_urls;
mod leaving;
mod ledger;
mod limits;
mod oddities;
mod openapi;
mod parties;
mod passing;
mod policy;
mod receipts;
mod records;
mod reloading;
mod resume;
mod secrets;
mod stalling;
mod terms;
mod transport;

//! What the tests of the house stand on: a scripted channel that misbehaves on command, canned answers and
//! errors in both dialects, places of fixtures and data, and one fuzz entry point per parser.
//!
//! The scripted channel is a real HTTP/1.1 server on a loopback port. It decides every byte and every pause of an
//! answer, so that a fault in a test is the fault that was asked for and nothing else. It also ships behind
//! `tieline faults`, so it refuses hostile input instead of panicking.

mod act;
mod answer;
mod auto;
pub mod canned;
mod channel;
pub mod fixtures;
pub mod fuzz;
mod gate;
pub mod mmdb;
mod plan;
mod request;
mod seen;

pub use act::{Act, Cut, Framing, Step};
pub use answer::{Answer, Stop, ToolCall, Usage};
pub use auto::{Auto, Dialect};
pub use channel::{Accept, Channel, Script};
pub use gate::Gate;
pub use request::{Limits, Refusal, Request, RequestReader};
pub use seen::{End, Seen, TooFew};

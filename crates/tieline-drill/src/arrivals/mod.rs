//! Synthetic arrivals: the law that traffic follows, fitted from it ([`Law::fit`]), written and read as TOML, and calls
//! drawn from it ([`Law::draw`]).
//!
//! A law has a group for each party that asks often for the same thing, and one for all others that ask for it. A group has
//! rates by hour of the week (UTC), a family of inter-arrival times, and distributions of sizes and times. What is drawn is
//! a function of law, seed, window and scale: every draw is numbered and belongs to a named stream ([`Chance`]), and
//! logarithms and powers are those of the `libm` crate, so machines of any kind draw the same. Floats stay in here: a call
//! that was drawn is integers.
//!
//! Left out, and said so in every report: dependence between the sizes of one call, between calls of one conversation and
//! between groups; faults of channels; calls that no grid can serve.

mod chance;
mod distribution;
mod draw;
mod family;
mod fit;
mod law;
mod read;
mod week;
mod write;

pub(crate) use self::chance::{Chance, Purpose};
pub use self::distribution::Distribution;
pub(crate) use self::draw::merged;
pub use self::draw::{Drawing, LawError};
pub use self::family::Family;
pub(crate) use self::family::Renewal;
pub(crate) use self::fit::{BYTES_PER_TOKEN, MS_PER_TOKEN_ASSUMED, TTFT_MS_ASSUMED};
pub use self::law::{ArrivalLaw, GroupLaw, LAW_V1, Law, ShareLaw};
pub use self::read::{LAW_BYTES_MAX, is_law};

/// A count as a float; exact below 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) const fn real(n: u64) -> f64 {
    n as f64
}

/// The whole part; what is negative or no number is zero, what is too large the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast saturates, and takes what is no number for zero"
)]
pub(crate) const fn whole(x: f64) -> u64 {
    x as u64
}

/// Six significant digits: what is written of a law is what is drawn from.
pub(crate) fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

//! The values and the pure machines of tieline: the grid, one [`Call`], the [`Fleet`] of channels, the [`Desk`] of
//! limits, and the records from which every decision can be made again.
//!
//! Contract. Nothing here reads a clock, a random source, the environment, a file or a socket: time ([`Tick`]), entropy
//! ([`Seed`]) and configuration ([`Snapshot`]) are arguments. A machine is fed one fact (`handle`, `observe`,
//! `reserve`), and a `Call` is then drained with `poll` until it yields nothing. Therefore
//!
//! `decision = f(grid digest, epoch, party digest, intake, verdicts, views, desk replies, seed, ticks)`
//!
//! and feeding the recorded inputs again ([`call::replay`]) must give the same records. Money and counts are integers;
//! nothing iterates in hash order; unknown is never zero.

pub mod board;
pub mod calendar;
pub mod call;
mod desk;
mod entropy;
mod explain;
mod fault;
mod feature;
mod fleet;
pub mod grid;
mod id;
mod mark;
mod money;
mod price;
mod problem;
pub mod receipt;
pub mod record;
mod resume;
mod subject;
mod time;
mod verdict;

pub use board::Board;
pub use call::{Call, Effect, Input};
pub use desk::{
    Asker, Bucket, BucketOwner, ChannelClaim, Claim, Criticality, Desk, DeskReply, Limits, OWNERS_MAX,
    Payers, Quota, QuotaModel, Remaining, Room, Rooms, Terms,
};
pub use entropy::{Rng, Seed};
pub use explain::explain;
pub use fault::{Fault, FaultKind, Phase, TimeLimit};
pub use feature::{Feature, FeatureSet};
pub use fleet::{CONSECUTIVE_MAX, Fleet, Health, Observation, Row, Seen, View};
pub use grid::{ChannelIx, ComponentIx, ComponentSet, GridRecord, ModelIx, PoolIx, Snapshot};
pub use id::CallId;
pub use mark::{Mark, Stop, Usage};
pub use money::{BadAmount, Nano, PicoPerToken};
pub use price::{Price, Rates, TIERS_MAX, Tier, Tiers};
pub use problem::{Blame, Code, Problem, Retry};
pub use resume::Method;
pub use subject::{Ask, Dialect, Intake, Lapse, Scope, Subject};
pub use time::{Span, Tick};
pub use verdict::{Rule, Ruling, Verdict};

/// The candidates that one call may see: rows of a [`View`], and therefore attempts at most.
///
/// Eight rows of five integers keep a recorded view under 256 bytes, and no pool that people have written so far lists
/// more than eight (model, channel) pairs; the configuration check refuses one that does.
pub const ROWS_MAX: usize = 8;

/// For `skip_serializing_if`.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A SHA-256 digest, as 32 raw bytes; written as 64 lower-case hexadecimal digits.
pub type Digest32 = [u8; 32];

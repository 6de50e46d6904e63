//! Instants and spans as plain integers. There is no clock in this crate: the shell reads one and passes a [`Tick`].
//! A `Tick` is µs since 1970-01-01 UTC, taken from the wall clock at start and advanced by the monotonic clock, so it
//! never goes back within a process.

use serde::{Deserialize, Serialize};

/// An instant: microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(pub u64);

/// A length of time: microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Tick {
    /// This instant moved forward; saturates at the end of time (year 586,524).
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to here, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Whole milliseconds, rounded up, so that a wait computed from it is never too short.
    #[must_use]
    pub const fn as_ms_ceil(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// Whole seconds, rounded up.
    #[must_use]
    pub const fn as_s_ceil(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }
}

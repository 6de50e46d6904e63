//! What becomes of calls, counted.

use schemars::JsonSchema;
use serde::Serialize;

use crate::seen::How;

/// What becomes of calls; the six add up to all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tally {
    /// Same model on the same channel.
    pub kept: u64,
    /// Same model on another channel, or another model that was shown to serve the pool as well.
    pub moved: u64,
    /// Another model.
    pub degraded: u64,
    /// Waiting for an officer.
    pub held: u64,
    /// Unserved, or broken off.
    pub lost: u64,
    /// Unserved with nothing gone, too.
    pub refused_before: u64,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Moved,
    Degraded,
    Held,
    Lost,
    RefusedBefore,
}

impl Fate {
    /// Whether the call is as well off as it was.
    pub(crate) const fn is_well(self) -> bool {
        matches!(self, Self::Kept | Self::Moved)
    }

    /// Whether the caller is without what it had.
    pub(crate) const fn is_unserved(self) -> bool {
        matches!(self, Self::Held | Self::Lost)
    }

    /// Of a call that was served before, and is not now.
    pub(crate) const fn unserved(how: How) -> Self {
        match how {
            How::Held => Self::Held,
            How::Broken | How::Served | How::Unserved => Self::Lost,
        }
    }
}

impl Tally {
    pub(crate) const fn count(&mut self, fate: Fate) {
        self.count_all(fate, 1);
    }

    pub(crate) const fn count_all(&mut self, fate: Fate, calls: u64) {
        let field = match fate {
            Fate::Kept => &mut self.kept,
            Fate::Moved => &mut self.moved,
            Fate::Degraded => &mut self.degraded,
            Fate::Held => &mut self.held,
            Fate::Lost => &mut self.lost,
            Fate::RefusedBefore => &mut self.refused_before,
        };
        *field += calls;
    }

    pub(crate) const fn add(&mut self, other: &Self) {
        self.kept += other.kept;
        self.moved += other.moved;
        self.degraded += other.degraded;
        self.held += other.held;
        self.lost += other.lost;
        self.refused_before += other.refused_before;
    }

    /// All calls.
    pub const fn calls(&self) -> u64 {
        self.served_before() + self.refused_before
    }

    /// The calls that are served with nothing gone.
    pub const fn served_before(&self) -> u64 {
        self.kept + self.moved + self.degraded + self.held + self.lost
    }

    /// The calls that are served with nothing gone, and not now.
    pub const fn unserved(&self) -> u64 {
        self.held + self.lost
    }

    /// Whether anything changes for anyone.
    pub const fn is_touched(&self) -> bool {
        self.moved + self.degraded + self.held + self.lost > 0
    }

    /// What a contingency is ranked by.
    pub(crate) const fn weight(&self) -> [u64; 4] {
        [self.lost, self.held, self.degraded, self.moved]
    }
}

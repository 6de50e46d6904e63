//! The one clock of the process: wall time at start, advanced by the monotonic clock, so that a `Tick` never goes back
//! however the wall clock is set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tieline_core::Tick;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_us: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            started: Instant::now(),
            wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn now(&self) -> Tick {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Tick(self.wall_us.saturating_add(elapsed))
    }

    /// The instant of a tick, for timers.
    pub(crate) fn instant(&self, at: Tick) -> Instant {
        self.started + Duration::from_micros(at.0.saturating_sub(self.wall_us))
    }
}

//! The latency by which equals are compared: a peak-sensitive moving average (Finagle's and Tower's peak EWMA). A sample
//! above it counts at once and fades; one below it counts by how long ago the last was. In integers: the weight of the
//! past halves every [`HALF_LIFE`], linear in between, at most 6 % above the exponential.

use crate::time::{Span, Tick};

/// ln 2 × 10 s, so that the past has the weight 1/e after 10 s.
const HALF_LIFE: Span = Span(6_931_472);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    at: Tick,
    /// None yet.
    us: Option<u32>,
}

impl Peak {
    pub(super) fn take(&mut self, sample_us: u32, now: Tick) {
        let us = match self.us {
            Some(old) if old > sample_us => sample_us + faded(old - sample_us, now.since(self.at)),
            _ => sample_us,
        };
        *self = Self {
            at: now,
            us: Some(us),
        };
    }

    /// What it has faded to; a lane that nobody used for minutes is as good as any.
    pub(super) fn at(&self, now: Tick) -> Option<u32> {
        self.us.map(|us| faded(us, now.since(self.at)))
    }
}

fn faded(us: u32, after: Span) -> u32 {
    let halvings = after.0 / HALF_LIFE.0;
    // Of the running half-life, in 65,536ths: what is left goes from all of it to half of it.
    let part = (after.0 % HALF_LIFE.0) * 65_536 / HALF_LIFE.0;
    let left = u64::from(us) * (131_072 - part) / 131_072;
    u32::try_from(
        left.checked_shr(u32::try_from(halvings).unwrap_or(64))
            .unwrap_or(0),
    )
    .unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(1_781_284_860_000_000);

    fn after(ms: u64) -> Tick {
        START.plus(Span::from_ms(ms))
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut peak = Peak::default();
        assert_eq!(peak.at(START), None);
        peak.take(1_000, START);
        peak.take(9_000, after(1));
        assert_eq!(peak.at(after(1)), Some(9_000));
        peak.take(1_000, after(2));
        assert!((8_990..9_000).contains(&peak.at(after(2)).unwrap()), "{peak:?}");
        peak.take(1_000, after(2 + 6_932));
        assert!((4_900..5_100).contains(&peak.us.unwrap()), "{peak:?}");
        assert_eq!(peak.at(after(3_600_000)), Some(0));
        assert_eq!(peak.at(Tick(u64::MAX)), Some(0));
    }

    #[test]
    fn the_weight_is_near_the_exponential() {
        for ms in (0..40_000).step_by(100) {
            let exact = 1e6 * (-(f64::from(ms)) / 10_000.0).exp();
            let ours = f64::from(faded(1_000_000, Span::from_ms(u64::try_from(ms).unwrap())));
            assert!(
                (exact - 1.0..exact * 1.07 + 1.0).contains(&ours),
                "{ms}: {ours} for {exact}"
            );
        }
    }
}

//! The generic cell rate algorithm (ITU-T I.371) in integers: one number per bucket, the theoretical arrival time in ns.
//! A bucket's burst is its whole limit, so "100 a minute" admits 100 at once and then one each 600 ms.

use super::limit::Bucket;
use crate::time::{Span, Tick};

pub(super) const MINUTE: Span = Span::from_s(60);

/// Theoretical arrival time, ns since the Unix epoch (2^64 ns reach the year 2554).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gcra(u64);

/// One rate: so many units in a period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) limit: u64,
    pub(super) period: Span,
}

/// The fullest of the buckets that are at `permille` of their limit or above, and when it falls below.
pub(super) fn fullest<'g>(
    buckets: impl IntoIterator<Item = (Bucket, &'g mut Gcra, Option<Rate>, u64)>,
    permille: u64,
    now: Tick,
) -> Option<(Bucket, Option<Tick>)> {
    let above = buckets
        .into_iter()
        .filter_map(|(bucket, gcra, rate, _)| Some((bucket, gcra.above(rate?, permille, now)?)));
    let (bucket, until) = above.max_by_key(|(_, until)| *until)?;
    Some((bucket, Some(until)))
}

/// The fullest of the buckets that have a rate, and how full it is, in thousandths.
pub(super) fn most_full<'g>(
    buckets: impl IntoIterator<Item = (Bucket, &'g mut Gcra, Option<Rate>, u64)>,
    now: Tick,
) -> Option<(Bucket, u64)> {
    buckets
        .into_iter()
        .filter_map(|(bucket, gcra, rate, _)| Some((bucket, gcra.fill(rate?, now))))
        .max_by_key(|(_, permille)| *permille)
}

impl Gcra {
    /// Take `units`, or say when they would fit. More units than the whole limit never fit: then there is no time.
    pub(super) fn take(&mut self, rate: Rate, units: u64, now: Tick) -> Result<(), Option<Tick>> {
        if units > rate.limit {
            return Err(None);
        }
        let now_ns = now.0.saturating_mul(1_000);
        let tat = self.0.max(now_ns).saturating_add(rate.cost_ns(units));
        let allowed_at = tat.saturating_sub(rate.period_ns());
        if allowed_at > now_ns {
            return Err(Some(Tick(allowed_at.div_ceil(1_000))));
        }
        self.0 = tat;
        Ok(())
    }

    /// Replace a reservation by what was used: forward for more (a debt of one call at most), back for less. Going back
    /// never saves up capacity, for [`Gcra::take`] starts from now at the earliest.
    pub(super) fn correct(&mut self, rate: Rate, reserved: u64, used: u64, now: Tick) {
        if used >= reserved {
            let now_ns = now.0.saturating_mul(1_000);
            self.0 = self.0.max(now_ns).saturating_add(rate.cost_ns(used - reserved));
        } else {
            self.0 = self.0.saturating_sub(rate.cost_ns(reserved - used));
        }
    }

    /// What could be taken at once, and when the bucket is full again.
    pub(super) fn room(self, rate: Rate, now: Tick) -> (u64, Tick) {
        let now_ns = now.0.saturating_mul(1_000);
        let ahead = self.0.saturating_sub(now_ns).min(rate.period_ns());
        let free = u128::from(rate.period_ns() - ahead) * u128::from(rate.limit);
        let units = free / u128::from(rate.period_ns().max(1));
        let full_at = Tick(self.0.max(now_ns).div_ceil(1_000));
        (u64::try_from(units).unwrap_or(u64::MAX), full_at)
    }
}

impl Gcra {
    /// When the bucket falls below `permille` of its limit, if it is there or above.
    pub(super) fn above(self, rate: Rate, permille: u64, now: Tick) -> Option<Tick> {
        let now_ns = now.0.saturating_mul(1_000);
        let share = u128::from(rate.period_ns()) * u128::from(permille) / 1_000;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        let is_above = self.0.saturating_sub(now_ns) >= share;
        is_above.then(|| Tick((self.0.saturating_sub(share) + 1).div_ceil(1_000)))
    }

    /// How much of the limit is used, in thousandths; above them all, if more was used than reserved.
    pub(super) fn fill(self, rate: Rate, now: Tick) -> u64 {
        let ahead = self.0.saturating_sub(now.0.saturating_mul(1_000));
        let used = u128::from(ahead) * 1_000 / u128::from(rate.period_ns().max(1));
        u64::try_from(used).unwrap_or(u64::MAX)
    }

    /// Somebody who knows says what is left.
    pub(super) fn set_left(&mut self, rate: Rate, left: u64, now: Tick) {
        let used = rate.limit.saturating_sub(left);
        self.0 = now.0.saturating_mul(1_000).saturating_add(rate.cost_ns(used));
    }
}

impl Rate {
    fn period_ns(self) -> u64 {
        self.period.0.saturating_mul(1_000)
    }

    /// The ns that `units` cost, rounded up, exact in 128 bits. A limit of zero admits nothing ([`Gcra::take`] refuses
    /// before it comes here), so the division is safe.
    fn cost_ns(self, units: u64) -> u64 {
        let cost = u128::from(units) * u128::from(self.period_ns());
        u64::try_from(cost.div_ceil(u128::from(self.limit.max(1)))).unwrap_or(u64::MAX)
    }
}

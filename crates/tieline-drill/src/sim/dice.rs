//! The chance of a run. Everything random comes from the run's seed, by streams that do not disturb each other: another
//! draw for a caller leaves the channels as they were.

use tieline_core::{Rng, Seed, Span};

#[derive(Clone, Debug)]
pub(super) struct Dice(Rng);

impl Dice {
    /// The dice of one stream of a seed.
    pub(super) const fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Rng::new(Seed(stream));
        Self(Rng::new(Seed(seed ^ mixed.draw())))
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// One of `0..n`; of nothing, zero.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.draw().checked_rem(n).unwrap_or_default()
    }

    /// One of `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    pub(super) fn small(&mut self, low: u8, high: u8) -> u8 {
        u8::try_from(self.between(low.into(), high.into())).unwrap_or(high)
    }

    /// One of `low..=high`, each order of magnitude as likely as the next.
    pub(super) fn spread(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).max(1).ilog2();
        let least = low << self.below(u64::from(doublings) + 1);
        self.between(least, least.saturating_mul(2).min(high))
    }

    pub(super) fn spread_ms(&mut self, low: u64, high: u64) -> Span {
        Span(self.spread(low * 1_000, high * 1_000))
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the things, each as likely.
    pub(super) fn pick<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let ix = self.below(others.len() as u64 + 1);
        let other = usize::try_from(ix).ok().and_then(|ix| others.get(ix));
        other.copied().unwrap_or(first)
    }

    pub(super) fn perhaps<T>(&mut self, percent: u64, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| of(self))
    }
}

//! The last half minute of a lane, in ten buckets: how many attempts ended well or badly, how many were dialled, and how
//! many of those were not their call's first.

use crate::time::{Span, Tick};

/// Ten buckets of 3 s: long enough for twenty samples of a lane with a call a second, short enough to forget an outage.
const BUCKETS: usize = 10;
const BUCKET: Span = Span::from_s(3);

/// The buckets that count for further attempts: 9 to 12 s.
const BUCKETS_OF_RETRIES: u64 = 4;

/// Fewer ends say nothing about a share.
pub(super) const SAMPLES_MIN: u32 = 20;

/// A lane that serves fewer than four of five is ailing.
const SERVED_PERCENT_MIN: u32 = 80;

/// Of the attempts on a lane, a tenth may be further ones, and three in any case (a retry budget, as Finagle and Envoy
/// have).
const RETRIES_PERCENT: u32 = 10;
const RETRIES_MIN: u32 = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// The number of the newest bucket in which an attempt ended badly: where none did lately, nothing need be summed up.
    bad_newest: u64,
    buckets: [Bucket; BUCKETS],
    /// The number of the newest bucket since 1970.
    newest: u64,
}

/// 16 bits: 65,535 attempts in 3 s are beyond what one process serves; more saturate.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    again: u16,
    bad: u16,
    dialled: u16,
    good: u16,
}

impl Window {
    pub(super) fn dialled(&mut self, again: bool, now: Tick) {
        let bucket = self.bucket(now);
        bucket.dialled = bucket.dialled.saturating_add(1);
        bucket.again = bucket.again.saturating_add(u16::from(again));
    }

    pub(super) fn ended(&mut self, good: bool, now: Tick) {
        let bucket = self.bucket(now);
        let count = if good { &mut bucket.good } else { &mut bucket.bad };
        *count = count.saturating_add(1);
        if !good {
            self.bad_newest = self.newest;
        }
    }

    /// Forget how attempts ended: what is known of the lane begins anew.
    pub(super) fn forget_ends(&mut self) {
        for bucket in &mut self.buckets {
            (bucket.good, bucket.bad) = (0, 0);
        }
    }

    /// Whether enough is known to say that too few attempts end well.
    pub(super) fn is_ailing(&self, now: Tick) -> bool {
        let (good, bad) = self.sum(now, BUCKETS as u64, |bucket| (bucket.good, bucket.bad));
        let ends = good + bad;
        ends >= SAMPLES_MIN && good * 100 < ends * SERVED_PERCENT_MIN
    }

    /// Whether further attempts have used up their share, on a lane that was not spotless: load that moves from a lane
    /// that died to one that serves is no amplification, and has no limit.
    pub(super) fn is_barred(&self, now: Tick) -> bool {
        if (now.0 / BUCKET.0).saturating_sub(self.bad_newest) >= BUCKETS_OF_RETRIES {
            return false;
        }
        let (bad, _) = self.sum(now, BUCKETS_OF_RETRIES, |bucket| (bucket.bad, 0));
        if bad == 0 {
            return false;
        }
        let (dialled, again) = self.sum(now, BUCKETS_OF_RETRIES, |bucket| (bucket.dialled, bucket.again));
        again >= dialled * RETRIES_PERCENT / 100 + RETRIES_MIN
    }

    /// Ten buckets of 65,535 are far from 2^32.
    fn sum(&self, now: Tick, buckets: u64, of: impl Fn(&Bucket) -> (u16, u16)) -> (u32, u32) {
        let current = now.0 / BUCKET.0;
        let numbers = current.saturating_sub(buckets - 1)..=current;
        let kept = self.newest.saturating_sub(BUCKETS as u64 - 1)..=self.newest;
        let counts = numbers
            .filter(|number| kept.contains(number))
            .filter_map(|number| {
                let ix = usize::try_from(number % BUCKETS as u64).ok()?;
                self.buckets.get(ix).map(&of)
            });
        counts.fold((0, 0), |(a, b), (c, d)| (a + u32::from(c), b + u32::from(d)))
    }

    /// The bucket of this instant; those that were passed over begin at nothing.
    fn bucket(&mut self, now: Tick) -> &mut Bucket {
        let current = (now.0 / BUCKET.0).max(self.newest);
        let passed = (current - self.newest).min(BUCKETS as u64);
        for number in current - passed..current {
            let ix = usize::try_from((number + 1) % BUCKETS as u64).unwrap_or_default();
            if let Some(bucket) = self.buckets.get_mut(ix) {
                *bucket = Bucket::default();
            }
        }
        self.newest = current;
        let ix = usize::try_from(current % BUCKETS as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "a remainder by the length is an index")]
        &mut self.buckets[ix % BUCKETS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(1_781_284_860_000_000);

    fn after(s: u64) -> Tick {
        START.plus(Span::from_s(s))
    }

    #[test]
    fn a_share_is_known_from_twenty_ends_of_the_last_half_minute() {
        let mut window = Window::default();
        for n in 0..19 {
            window.ended(n % 2 == 0, START);
        }
        assert!(!window.is_ailing(START), "nineteen are too few");
        window.ended(false, after(20));
        assert!(window.is_ailing(after(20)));
        assert!(!window.is_ailing(after(40)), "the nineteen are forgotten");
        let mut window = Window::default();
        for n in 0..100 {
            window.ended(n % 5 != 0, START);
        }
        assert!(!window.is_ailing(START), "four of five suffice");
        window.ended(false, START);
        assert!(window.is_ailing(START));
        window.forget_ends();
        assert!(!window.is_ailing(START));
    }

    #[test]
    fn further_attempts_have_a_tenth_and_three() {
        let mut window = Window::default();
        for _ in 0..100 {
            window.dialled(true, START);
        }
        assert!(
            !window.is_barred(START),
            "the lane is spotless: load only moved to it"
        );
        window.ended(false, START);
        assert!(window.is_barred(START));
        let mut window = Window::default();
        window.ended(false, START);
        for _ in 0..97 {
            window.dialled(false, START);
        }
        for _ in 0..14 {
            assert!(!window.is_barred(START));
            window.dialled(true, START);
        }
        // Eleven of the 111 that were dialled, and three.
        assert!(window.is_barred(after(6)));
        assert!(!window.is_barred(after(12)));
    }

    #[test]
    fn a_step_back_of_time_counts_in_the_newest_bucket() {
        let mut window = Window::default();
        window.ended(false, after(60));
        window.ended(false, START);
        assert_eq!(window.sum(after(60), 10, |b| (b.bad, b.good)), (2, 0));
    }
}

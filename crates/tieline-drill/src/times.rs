//! A histogram of times in µs, for quantiles of millions of calls in a few kilobytes: exact below 64 µs, above it within a
//! 32nd part of the time. Integers.

use schemars::JsonSchema;
use serde::Serialize;

/// 32 buckets for each power of two from 2^6 to 2^32, and 64 below.
const BUCKETS: usize = 64 + 26 * 32;

/// A time of each rank, in µs; each at most a 32nd part too high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quantiles {
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Times {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Times {
    pub(crate) fn see(&mut self, us: u32) {
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// None of no time at all.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            p50_us: self.quantile(50)?,
            p90_us: self.quantile(90)?,
            p99_us: self.quantile(99)?,
        })
    }

    fn quantile(&self, percent: u64) -> Option<u64> {
        let wanted = (self.total * percent).div_ceil(100);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        found.filter(|_| self.total > 0).map(most)
    }
}

fn bucket(us: u32) -> usize {
    if us < 64 {
        return us as usize;
    }
    let power = us.ilog2();
    // The five bits after the first.
    let part = (us >> (power - 5)) & 31;
    64 + (power - 6) as usize * 32 + part as usize
}

/// The most that a bucket holds.
fn most(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(64) else {
        return bucket as u64;
    };
    let (power, part) = (above / 32, above as u64 % 32);
    ((32 + part + 1) << (power + 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for us in (0..10_000).chain([1 << 20, u32::MAX / 3, u32::MAX]) {
            let (of, us) = (bucket(us), u64::from(us));
            assert!(us <= most(of), "{us} in {of}");
            assert!(of == 0 || us > most(of - 1), "{us} in {of}");
            assert!(most(of) - us <= us / 32, "{us} in {of}");
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn ranks_are_those_of_the_sorted_times() {
        let mut times = Times::default();
        assert_eq!(times.quantiles(), None);
        for us in 1..=60 {
            times.see(us);
        }
        let expected = Quantiles {
            p50_us: 30,
            p90_us: 54,
            p99_us: 60,
        };
        assert_eq!(times.quantiles(), Some(expected));
    }
}

//! How much output the calls of a party have had of a model lately: the 90th percentile of a logarithmic histogram, for
//! reservations of rates. Integers; old calls count half after each [`SEEN_MAX`].
//!
//! Bounds: [`HISTOGRAMS_MAX`] of 128 bytes and their keys, some 3 MB. Beyond it there is no estimate, and the output
//! limit is reserved.

use std::collections::BTreeMap;

use crate::grid::ModelIx;

#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    histograms: Vec<Histogram>,
    /// Indexes of them. Apart, so that a search of many goes through little memory.
    index: BTreeMap<(u32, ModelIx), u16>,
}

/// Two buckets for each power of two: an estimate is at most half too high.
#[derive(Clone, Copy, Debug)]
struct Histogram {
    counts: [u16; BUCKETS],
    seen: u16,
}

const BUCKETS: usize = 64;
const HISTOGRAMS_MAX: usize = 1 << 14;
/// Calls before there is an estimate.
const SEEN_MIN: u16 = 20;
const SEEN_MAX: u16 = 512;

impl Outputs {
    pub(super) fn see(&mut self, party: u32, model: ModelIx, tokens: u64) {
        if let Some(histogram) = self.find(party, model) {
            histogram.see(tokens);
            return;
        }
        let new = u16::try_from(self.histograms.len()).ok();
        if let Some(ix) = new.filter(|ix| usize::from(*ix) < HISTOGRAMS_MAX) {
            let mut histogram = Histogram::default();
            histogram.see(tokens);
            self.histograms.push(histogram);
            self.index.insert((party, model), ix);
        }
    }

    fn find(&mut self, party: u32, model: ModelIx) -> Option<&mut Histogram> {
        let ix = self.index.get(&(party, model))?;
        self.histograms.get_mut(usize::from(*ix))
    }

    /// Nine of ten calls had at most so much; none until enough is known.
    pub(super) fn q90(&self, party: u32, model: ModelIx) -> Option<u64> {
        let ix = self.index.get(&(party, model))?;
        self.histograms.get(usize::from(*ix))?.q90()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            seen: 0,
        }
    }
}

impl Histogram {
    fn see(&mut self, tokens: u64) {
        if self.seen >= SEEN_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.seen = self.counts.iter().sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(tokens)) {
            *count += 1;
            self.seen += 1;
        }
    }

    fn q90(&self) -> Option<u64> {
        let wanted = u32::from(self.seen) * 9;
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += u32::from(*count) * 10;
            below >= wanted
        });
        found.filter(|_| self.seen >= SEEN_MIN).map(most)
    }
}

/// Bucket `2 n` holds 2^n to below 1.5 × 2^n tokens, bucket `2 n + 1` the rest below 2^(n+1). None is counted as one.
fn bucket(tokens: u64) -> usize {
    let tokens = tokens.clamp(1, u32::MAX.into());
    let power = tokens.ilog2();
    let half = power > 0 && tokens & (1 << (power - 1)) != 0;
    2 * power as usize + usize::from(half)
}

/// The most that a bucket holds.
fn most(bucket: usize) -> u64 {
    let power = 1_u64 << (bucket / 2);
    if bucket.is_multiple_of(2) {
        (power + power / 2).max(2) - 1
    } else {
        2 * power - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for tokens in 1..5_000 {
            let bucket = bucket(tokens);
            assert!(tokens <= most(bucket), "{tokens} in {bucket}");
            assert!(
                bucket == 0 || tokens > most(bucket - 1) || most(bucket - 1) == most(bucket),
                "{tokens} in {bucket}"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn nine_of_ten_are_below_the_estimate_and_the_past_fades() {
        let (model, mut outputs) = (ModelIx(0), Outputs::default());
        assert_eq!(outputs.q90(1, model), None);
        for n in 0..100 {
            outputs.see(1, model, if n % 20 == 0 { 4_000 } else { 100 });
        }
        assert_eq!(outputs.q90(1, model), Some(127));
        for _ in 0..600 {
            outputs.see(1, model, 1_000);
        }
        assert_eq!(outputs.q90(1, model), Some(1_023));
        assert_eq!(outputs.q90(2, model), None, "another party");
    }

    #[test]
    fn parties_and_models_are_kept_apart_up_to_the_limit() {
        let mut outputs = Outputs::default();
        for (party, model) in (0..).zip((0..2).cycle()).take(HISTOGRAMS_MAX + 10) {
            for _ in 0..SEEN_MIN {
                outputs.see(party, ModelIx(model), 100 << (party % 3));
            }
        }
        for (party, expected) in [(0, 127), (1, 255), (2, 511), (16_383, 127)] {
            let model = ModelIx(u16::try_from(party % 2).unwrap());
            assert_eq!(outputs.q90(party, model), Some(expected), "{party}");
            assert_eq!(outputs.q90(party, ModelIx(2)), None);
        }
        assert_eq!(outputs.q90(16_384, ModelIx(0)), None, "there is no room");
    }
}

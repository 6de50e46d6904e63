//! What becomes of calls over time: a tally for each bin of the traffic's window, for pictures and for the eye.
//!
//! Bounds: [`BINS_MAX`] bins, whatever the window; a bin is a round length of time.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{Span, Tick};

use crate::tally::{Fate, Tally};

/// Bins of one course: a day of five minutes each.
pub const BINS_MAX: usize = 288;

/// Lengths of a bin, in seconds; of windows beyond the last, doubled until it fits.
const WIDTHS_S: [u64; 10] = [1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800];

/// What becomes of the calls that arrive in each bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Course {
    /// From the first bin on, without gaps.
    pub bins: Vec<Tally>,
    /// When the first begins: µs UTC.
    pub from_us: u64,
    pub width_us: u64,
}

impl Course {
    /// Empty bins over the instants from one to the other.
    pub(crate) fn over(first: Tick, last: Tick) -> Self {
        let window = last.since(first).0 + 1;
        let fits = |width: &u64| window.div_ceil(*width) <= BINS_MAX as u64;
        let widths = WIDTHS_S.iter().map(|s| Span::from_s(*s).0);
        let widest = Span::from_s(604_800).0;
        let doubled = (1..64).map(|n| widest.saturating_mul(1 << n));
        let width_us = widths.chain(doubled).find(fits).unwrap_or(u64::MAX);
        let count = usize::try_from(window.div_ceil(width_us)).unwrap_or(BINS_MAX);
        Self {
            bins: vec![Tally::default(); count],
            from_us: first.0,
            width_us,
        }
    }

    pub(crate) fn count(&mut self, at: Tick, fate: Fate) {
        let bin = at.since(Tick(self.from_us)).0 / self.width_us.max(1);
        if let Some(bin) = usize::try_from(bin).ok().and_then(|bin| self.bins.get_mut(bin)) {
            bin.count(fate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_window_has_its_bin() {
        let check = |window: Span, width: Span, bins: usize| {
            let (first, last) = (Tick(7), Tick(7).plus(window));
            let mut course = Course::over(first, last);
            assert_eq!((course.width_us, course.bins.len()), (width.0, bins));
            course.count(first, Fate::Kept);
            course.count(last, Fate::Lost);
            assert_eq!(course.bins.iter().map(Tally::calls).sum::<u64>(), 2);
            assert_eq!(course.bins.last().unwrap().lost, 1);
        };
        check(Span(0), Span::from_s(1), 1);
        check(Span(999_999), Span::from_s(1), 1);
        check(Span::from_s(1), Span::from_s(1), 2);
        check(Span(Span::from_s(86_400).0 - 1), Span::from_s(300), 288);
        check(Span::from_s(86_400), Span::from_s(900), 97);
        check(Span::from_s(86_400 * 365), Span::from_s(604_800), 53);
        check(Span::from_s(86_400 * 36_500), Span::from_s(604_800 * 32), 163);
    }
}

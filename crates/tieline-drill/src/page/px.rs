//! Lengths of pictures: tenths of a pixel, in whole numbers, so that the same report is the same picture everywhere.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

/// A length or a place, in tenths of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Px(pub(super) i64);

impl Px {
    /// Whole pixels.
    pub(super) const fn whole(pixels: i64) -> Self {
        Self(pixels * 10)
    }

    pub(super) const fn half(self) -> Self {
        Self(self.0 / 2)
    }

    /// `part` of `whole` of this length, rounded down; nothing of nothing.
    pub(super) fn share(self, part: u64, whole: u64) -> Self {
        let length = i128::from(self.0) * i128::from(part.min(whole));
        let length = length.checked_div(i128::from(whole)).unwrap_or_default();
        Self(i64::try_from(length).unwrap_or(self.0))
    }

    /// The same, and what is something is at least `least` long.
    pub(super) fn share_seen(self, part: u64, whole: u64, least: Self) -> Self {
        if part == 0 {
            return Self(0);
        }
        self.share(part, whole).max(least)
    }
}

impl Add for Px {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Px {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Px {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self(0), Self::add)
    }
}

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenths) = (self.0.abs() / 10, self.0.abs() % 10);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write!(f, "{whole}")?;
        if tenths > 0 {
            write!(f, ".{tenths}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_they_are() {
        let check = |px, text: &str| assert_eq!(Px(px).to_string(), text);
        check(0, "0");
        check(7, "0.7");
        check(120, "12");
        check(-125, "-12.5");
    }

    #[test]
    fn shares_stay_within_the_whole() {
        let all = Px::whole(10);
        assert_eq!(all.share(1, 3), Px(33));
        assert_eq!(all.share(5, 3), all);
        assert_eq!(all.share(5, 0), Px(0));
        assert_eq!(all.share(u64::MAX, u64::MAX), all);
        assert_eq!(all.share_seen(1, 1_000_000, Px(10)), Px(10));
        assert_eq!(all.share_seen(0, 7, Px(10)), Px(0));
    }
}

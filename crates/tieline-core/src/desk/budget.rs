//! Money of a calendar period: what was charged and what calls in flight have reserved may not pass the budget together.
//! Days, weeks (from Monday on) and months are those of UTC, from the tick alone.
//!
//! A call belongs to the period in which it reserved. When it ends after that, its money is history: the counter of the
//! period that runs by then began without it.

use crate::calendar::{DAY_US, first_day, month_of};
use crate::money::Nano;
use crate::time::Tick;

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Day,
    Month,
    Week,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    charged: u64,
    /// Number of the period that the other two count in.
    period: u32,
    reserved: u64,
}

/// Why a reservation does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// It is more than the whole budget.
    Never,
    /// It would fit if the calls in flight cost nothing.
    Reserved,
    /// Until the period ends.
    Spent,
}

/// From the Monday before the Unix epoch, a Thursday, to it.
const DAYS_FROM_MONDAY: u64 = 3;

impl Budget {
    pub(super) fn reserve(&mut self, limit: Option<Nano>, nano: Nano, period: u32) -> Result<(), Short> {
        self.roll(period);
        if let Some(limit) = limit {
            let charged = self.charged.saturating_add(nano.0);
            if nano > limit {
                return Err(Short::Never);
            } else if charged > limit.0 {
                return Err(Short::Spent);
            } else if charged.saturating_add(self.reserved) > limit.0 {
                return Err(Short::Reserved);
            }
        }
        self.reserved = self.reserved.saturating_add(nano.0);
        Ok(())
    }

    /// Replace what was reserved in `period` by what was charged.
    pub(super) fn settle(&mut self, reserved: Nano, charged: Nano, period: u32) {
        if period == self.period {
            self.reserved = self.reserved.saturating_sub(reserved.0);
            self.charged = self.charged.saturating_add(charged.0);
        }
    }

    /// What may still be reserved in `period`.
    pub(super) fn left(&self, limit: Nano, period: u32) -> Nano {
        let used = if period > self.period {
            0
        } else {
            self.charged.saturating_add(self.reserved)
        };
        Nano(limit.0.saturating_sub(used))
    }

    /// Begin anew with a later period. A tick that was read just before another call began one counts in that one: its
    /// reservation then stands until that period ends, which is strict and never too much.
    fn roll(&mut self, period: u32) {
        if period > self.period {
            *self = Self {
                period,
                ..Self::default()
            };
        }
    }
}

impl Period {
    /// The number of the period that `at` is in, rising by one.
    pub(super) fn number(self, at: Tick) -> u32 {
        let days = at.0 / DAY_US;
        let number = match self {
            Self::Day => days,
            Self::Month => month_of(days),
            Self::Week => (days + DAYS_FROM_MONDAY) / 7,
        };
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// When the period that `at` is in began.
    pub(super) fn start(self, at: Tick) -> Tick {
        self.first_of(u64::from(self.number(at)))
    }

    /// When the next one begins.
    pub(super) fn end(self, at: Tick) -> Tick {
        self.first_of(u64::from(self.number(at)) + 1)
    }

    fn first_of(self, number: u64) -> Tick {
        let days = match self {
            Self::Day => number,
            Self::Month => first_day(number),
            Self::Week => (number * 7).saturating_sub(DAYS_FROM_MONDAY),
        };
        Tick(days.saturating_mul(DAY_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days since the Unix epoch, from `date -u -d … +%s`.
    fn check(period: Period, day: u64, start: u64, end: u64) {
        let noon = Tick(day * DAY_US + DAY_US / 2);
        let days = |tick: Tick| (tick.0 / DAY_US, tick.0 % DAY_US);
        assert_eq!(
            days(period.start(noon)),
            (start, 0),
            "start of {period:?} at {day}"
        );
        assert_eq!(days(period.end(noon)), (end, 0), "end of {period:?} at {day}");
    }

    #[test]
    fn periods_are_those_of_the_calendar() {
        // 2026-11-27, a Friday: the week from Monday the 23rd, the month from the 1st.
        check(Period::Day, 20_784, 20_784, 20_785);
        check(Period::Week, 20_784, 20_780, 20_787);
        check(Period::Month, 20_784, 20_758, 20_788);
        // 2026-11-29 is a Sunday, 2026-11-30 a Monday.
        check(Period::Week, 20_786, 20_780, 20_787);
        check(Period::Week, 20_787, 20_787, 20_794);
        // A leap day: 2028-02-29, and the day after.
        check(Period::Month, 21_243, 21_215, 21_244);
        check(Period::Month, 21_244, 21_244, 21_275);
        // 2000-02-29 and 2100-02-28.
        check(Period::Month, 11_016, 10_988, 11_017);
        check(Period::Month, 47_540, 47_513, 47_541);
        // The last day of a year, and the first of the next.
        check(Period::Month, 20_818, 20_788, 20_819);
        check(Period::Month, 20_819, 20_819, 20_850);
    }

    #[test]
    fn a_budget_counts_what_is_reserved_and_what_is_charged() {
        let mut budget = Budget::default();
        let limit = Some(Nano(100));
        assert_eq!(budget.reserve(limit, Nano(101), 7), Err(Short::Never));
        assert_eq!(budget.reserve(limit, Nano(60), 7), Ok(()));
        assert_eq!(budget.reserve(limit, Nano(60), 7), Err(Short::Reserved));
        budget.settle(Nano(60), Nano(50), 7);
        assert_eq!(budget.reserve(limit, Nano(50), 7), Ok(()));
        budget.settle(Nano(50), Nano(50), 7);
        assert_eq!(budget.reserve(limit, Nano(1), 7), Err(Short::Spent));
        assert_eq!(budget.left(Nano(100), 7), Nano(0));
        assert_eq!(budget.reserve(limit, Nano(1), 8), Ok(()), "the next period");
        budget.settle(Nano(60), Nano(60), 7);
        assert_eq!(budget.left(Nano(100), 8), Nano(99), "what ends late is history");
    }
}

//! The Gregorian calendar of UTC in integers, as far as budgets and messages need it: days to months and back.
//! Leap seconds do not exist here, as they do not in Unix time. Nothing before the Unix epoch.

use crate::time::Tick;

pub(crate) const DAY_US: u64 = 86_400 * 1_000_000;

/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// Months since the year 0, of a day since the Unix epoch. The year is counted from March, so that the leap day is its
/// last; months then have the lengths that `(153 m + 2) / 5` sums up.
pub fn month_of(days: u64) -> u64 {
    let days = days + EPOCH_DAYS;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    // March is month 2 of the calendar's year.
    (era * 400 + year) * 12 + month + 2
}

/// The day since the Unix epoch on which a month since the year 0 begins; none before the epoch.
pub fn first_day(month: u64) -> u64 {
    let from_march = month.saturating_sub(2);
    let (years, month) = (from_march / 12, from_march % 12);
    let (era, year) = (years / 400, years % 400);
    let day = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    (era * ERA_DAYS + day).saturating_sub(EPOCH_DAYS)
}

impl Tick {
    /// RFC 3339 in whole seconds, rounded up, so that a wait until then is never too short.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let seconds = self.0.div_ceil(1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let month = month_of(days);
        let day = days - first_day(month) + 1;
        format!(
            "{:04}-{:02}-{day:02}T{:02}:{:02}:{:02}Z",
            month / 12,
            month % 12 + 1,
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339() {
        let check = |at: u64, expected: &str| assert_eq!(Tick(at).rfc3339(), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(784_111_777_000_000, "1994-11-06T08:49:37Z");
        check(1_709_208_000_000_000, "2024-02-29T12:00:00Z");
        check(1_781_284_860_000_000, "2026-06-12T17:21:00Z");
        check(1_781_284_860_000_001, "2026-06-12T17:21:01Z");
        check(1_835_481_599_999_999, "2028-03-01T00:00:00Z");
        check(4_107_542_399_000_000, "2100-02-28T23:59:59Z");
    }
}

//! Days and dates of the Gregorian calendar, as replies name them; whole seconds since 1970, no clock.

use tieline_core::calendar::{first_day, month_of};

/// Seconds of a day.
pub(crate) const DAY_S: u64 = 86_400;

/// Days since 1970 of a date; none for one before, or one that no calendar has.
pub(crate) fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(first_day(year * 12 + month - 1) + day - 1)
}

/// Seconds since 1970 of a date as HTTP writes it (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date_s(text: &str) -> Option<u64> {
    let mut words = text.trim().split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = words.next()?;
    let month = months.iter().position(|m| *m == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    Some(days(year, month, day)? * DAY_S + time_of_day_s(words.next()?)?)
}

/// `08:49:37`, or `08:49`.
pub(crate) fn time_of_day_s(text: &str) -> Option<u64> {
    let mut time = text.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    (hour <= 23 && minute <= 59 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
}

/// When the month after that of `now_s` begins, in UTC.
pub(crate) fn next_month_s(now_s: u64) -> Option<u64> {
    let month = month_of(now_s / DAY_S) + 1;
    Some(days(month / 12, month % 12 + 1, 1)? * DAY_S)
}

/// When the next day begins in California.
pub(crate) fn next_pacific_day_s(now_s: u64) -> Option<u64> {
    let local_s = now_s.checked_sub(behind_utc_s(now_s)?)?;
    let midnight_s = (local_s / DAY_S + 1) * DAY_S;
    // The clocks may be changed before it.
    Some(midnight_s + behind_utc_s(midnight_s + PACIFIC_S)?)
}

/// Pacific Standard Time is eight hours behind UTC.
const PACIFIC_S: u64 = 8 * 3_600;

/// By how much California is behind UTC: an hour less from the second Sunday of March to the first of November, at two
/// o'clock of the time that ends (Energy Policy Act of 2005, section 110).
fn behind_utc_s(at_s: u64) -> Option<u64> {
    let year = month_of(at_s / DAY_S) / 12;
    let begins_s = (first_sunday(year, 3)? + 7) * DAY_S + 2 * 3_600 + PACIFIC_S;
    let ends_s = first_sunday(year, 11)? * DAY_S + 3_600 + PACIFIC_S;
    let is_summer = (begins_s..ends_s).contains(&at_s);
    Some(if is_summer { PACIFIC_S - 3_600 } else { PACIFIC_S })
}

/// The first Sunday of a month, in days since 1970, which began on a Thursday.
fn first_sunday(year: u64, month: u64) -> Option<u64> {
    let first = days(year, month, 1)?;
    let weekday = (first + 4) % 7;
    Some(first + (7 - weekday) % 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date_s("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date_s("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_s("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
        ] {
            assert_eq!(http_date_s(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (0..60_000).step_by(13) {
            let month = month_of(day);
            let date = day - first_day(month) + 1;
            assert_eq!(days(month / 12, month % 12 + 1, date), Some(day));
        }
        assert_eq!(next_month_s(u64::MAX), None);
    }

    #[test]
    fn resets_are_found() {
        let at = |text| http_date_s(text).unwrap();
        for (now, month, pacific) in [
            // Winter: midnight in California is 08:00 UTC.
            (
                "Fri, 27 Nov 2026 07:59:59 GMT",
                "Tue, 01 Dec 2026 00:00:00 GMT",
                "Fri, 27 Nov 2026 08:00:00 GMT",
            ),
            (
                "Fri, 27 Nov 2026 08:00:00 GMT",
                "Tue, 01 Dec 2026 00:00:00 GMT",
                "Sat, 28 Nov 2026 08:00:00 GMT",
            ),
            (
                "Thu, 31 Dec 2026 23:00:00 GMT",
                "Fri, 01 Jan 2027 00:00:00 GMT",
                "Fri, 01 Jan 2027 08:00:00 GMT",
            ),
            // Summer: 07:00 UTC.
            (
                "Wed, 01 Jul 2026 12:00:00 GMT",
                "Sat, 01 Aug 2026 00:00:00 GMT",
                "Thu, 02 Jul 2026 07:00:00 GMT",
            ),
            // The days on which the clocks are changed, 8 March and 1 November 2026.
            (
                "Sun, 08 Mar 2026 09:30:00 GMT",
                "Wed, 01 Apr 2026 00:00:00 GMT",
                "Mon, 09 Mar 2026 07:00:00 GMT",
            ),
            (
                "Sun, 01 Nov 2026 07:30:00 GMT",
                "Tue, 01 Dec 2026 00:00:00 GMT",
                "Mon, 02 Nov 2026 08:00:00 GMT",
            ),
        ] {
            assert_eq!(next_month_s(at(now)), Some(at(month)), "{now}");
            assert_eq!(next_pacific_day_s(at(now)), Some(at(pacific)), "{now}");
        }
    }
}

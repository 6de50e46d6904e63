//! Days and dates of the Gregorian calendar, as replies name them; whole seconds since 1970, no clock.

/// Seconds of a day.
pub(crate) const DAY_S: u64 = 86_400;

/// Days of an era of 400 years, and from the first of March of the year 0 to 1970.
const ERA_DAYS: u64 = 146_097;
const EPOCH_DAYS: u64 = 719_468;

/// Days since 1970 of a date (Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is the last).
/// `None` for a date before, or one that no calendar has.
pub(crate) fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(EPOCH_DAYS)
}

/// Year, month and day of a number of days since 1970 (`civil_from_days`).
pub(crate) const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(EPOCH_DAYS);
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
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
    let (year, month, _) = civil(now_s / DAY_S);
    let (year, month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    Some(days(year, month, 1)? * DAY_S)
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
    let (year, ..) = civil(at_s / DAY_S);
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
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(civil(u64::MAX / DAY_S).1.clamp(1, 12), civil(u64::MAX / DAY_S).1);
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

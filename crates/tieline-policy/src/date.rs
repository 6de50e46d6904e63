//! Dates of packs and cases as ticks. TOML has the syntax; this says what a date means in time: days are UTC days.

use tieline_core::Tick;
use toml::value::{Datetime, Offset};

/// Which instant of a day a date without a time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The first instant of the day.
    Begin,
    /// The first instant after the day: `valid_to` names the last day on which something applies.
    End,
}

const DAY_S: i64 = 86_400;

/// The instant of a TOML date (`2026-06-12`) or of a date-time with an offset (`2026-06-12T17:21:00-04:00`).
pub(crate) fn tick(value: &Datetime, edge: Edge) -> Result<Tick, &'static str> {
    let date = value.date.ok_or("a time of day alone names no instant")?;
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let (seconds, micros) = match (value.time, value.offset) {
        (None, _) if edge == Edge::End => (DAY_S, 0),
        (None, _) => (0, 0),
        (Some(_), None) => return Err("a date with a time needs an offset, such as `Z`"),
        (Some(time), Some(offset)) => {
            let of_day = i64::from(time.hour) * 3_600
                + i64::from(time.minute) * 60
                + i64::from(time.second.unwrap_or_default());
            let minutes = match offset {
                Offset::Z => 0,
                Offset::Custom { minutes } => i64::from(minutes),
            };
            (
                of_day - minutes * 60,
                u64::from(time.nanosecond.unwrap_or_default() / 1_000),
            )
        }
    };
    let total = u64::try_from(days * DAY_S + seconds).map_err(|_| "a date before 1970 is out of range")?;
    Ok(Tick(total * 1_000_000 + micros))
}

/// The instant of a date as people write it, `2026-06-12` (its first instant, UTC) or `2026-06-12T17:21:00-04:00`.
pub fn instant_of_date(text: &str) -> Result<Tick, String> {
    let date: Datetime = text
        .parse()
        .map_err(|_| format!("`{text}` is no date such as `2026-06-12` or `2026-06-12T17:21:00Z`"))?;
    tick(&date, Edge::Begin).map_err(|why| format!("`{text}`: {why}"))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counting years from March so that the leap day
/// is the last of its year.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, edge: Edge, expected: Result<u64, ()>) {
        let value: Datetime = text.parse().unwrap();
        assert_eq!(
            tick(&value, edge).map(|t| t.0 / 1_000_000).map_err(|_| ()),
            expected,
            "{text}"
        );
    }

    #[test]
    fn dates_are_instants() {
        check("1970-01-01", Edge::Begin, Ok(0));
        check("2000-02-29", Edge::Begin, Ok(951_782_400));
        check("2026-06-12", Edge::Begin, Ok(1_781_222_400));
        check("2026-06-12", Edge::End, Ok(1_781_222_400 + 86_400));
        check("2026-06-12T17:21:00-04:00", Edge::End, Ok(1_781_299_260));
        check("2026-06-12T21:21:00Z", Edge::Begin, Ok(1_781_299_260));
        check("2026-06-12T21:21:00", Edge::Begin, Err(()));
        check("21:21:00", Edge::Begin, Err(()));
        check("1969-12-31", Edge::Begin, Err(()));
    }
}

//! Instants and decimal numbers as traces write them, read exactly: no float is in between.

use tieline_core::calendar::first_day;
use tieline_core::{Span, Tick};

const DAY_S: u64 = 86_400;

/// An instant such as `2026-06-12T17:21:00.25Z`, `2026-06-12 17:21:00` or `2026-06-12`; without an offset it is UTC, and
/// what is finer than a microsecond is cut off. A reason if it is none.
pub(crate) fn parse(text: &str) -> Result<Tick, &'static str> {
    const NONE: &str = "it is no instant such as `2026-06-12T17:21:00Z`";
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10).ok_or(NONE)?;
    let days = days(date).ok_or(NONE)??;
    if rest.is_empty() {
        return Ok(Tick(days * DAY_S * 1_000_000));
    }
    let rest = rest.strip_prefix(['T', 't', ' ']).ok_or(NONE)?;
    let offset_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at_checked(offset_at).ok_or(NONE)?;
    let of_day = of_day(time).ok_or(NONE)?;
    let (is_ahead, offset_s) = offset_s(offset).ok_or(NONE)?;
    let local = days * DAY_S * 1_000_000 + of_day;
    let offset_us = offset_s * 1_000_000;
    if is_ahead {
        let at = local.checked_sub(offset_us);
        at.map(Tick).ok_or("it is before 1970")
    } else {
        Ok(Tick(local + offset_us))
    }
}

/// Days since 1970 of `YYYY-MM-DD`.
fn days(text: &str) -> Option<Result<u64, &'static str>> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| number(parts.next()?, digits);
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if !(1..=12).contains(&month) || parts.next().is_some() {
        return None;
    }
    if year < 1970 {
        return Some(Err("it is before 1970"));
    }
    let months = year * 12 + month - 1;
    let (first, next) = (first_day(months), first_day(months + 1));
    ((1..=next - first).contains(&day)).then_some(Ok(first + day - 1))
}

/// µs since midnight of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f…`; a leap second is the second after it.
fn of_day(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| number(second, 2))?;
    if hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    Some((hour * 3_600 + minute * 60 + second) * 1_000_000 + fraction_of(fraction, 6)?)
}

/// Whether an offset is ahead of UTC, and by how many seconds.
fn offset_s(text: &str) -> Option<(bool, u64)> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") {
        return Some((true, 0));
    }
    let (is_ahead, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('-')?),
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "00"),
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some((is_ahead, hours * 3_600 + minutes * 60))
}

/// So many digits as a number.
fn number(text: &str, digits: usize) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// The decimals of a fraction as a number of its last place; what is finer is cut off.
fn fraction_of(digits: &str, places: usize) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = digits.bytes().chain(std::iter::repeat(b'0')).take(places);
    Some(kept.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// A decimal number such as `12`, `12.5` or `1.25e1`, in units of so many places; what is finer is cut off.
pub(crate) fn decimal(text: &str, places: usize) -> Option<u64> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i8>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // Digits before the point once it has moved; those behind what is wanted are not looked at.
    let wanted = isize::try_from(whole.len() + places).ok()? + isize::from(exponent);
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat(b'0'));
    let wanted = digits.take(usize::try_from(wanted).unwrap_or_default());
    wanted
        .map(|digit| u64::from(digit - b'0'))
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
}

/// Milliseconds with decimals.
pub(crate) fn millis(text: &str) -> Option<Span> {
    decimal(text, 3).map(Span)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_read_exactly() {
        let letter = 1_781_284_860_000_000;
        for (text, expected) in [
            ("1970-01-01", Ok(0)),
            ("2026-06-12T17:21:00Z", Ok(letter)),
            ("2026-06-12 17:21", Ok(letter)),
            (" 2026-06-12t13:21:00-04:00 ", Ok(letter)),
            ("2026-06-12T19:21:00+0200", Ok(letter)),
            ("2026-06-12T19:21:00+02", Ok(letter)),
            ("2026-06-12 17:21:00.1234567", Ok(letter + 123_456)),
            ("2026-06-12 17:21:00,5", Ok(letter + 500_000)),
            ("2024-02-29", Ok(1_709_164_800_000_000)),
            ("2016-12-31T23:59:60Z", Ok(1_483_228_800_000_000)),
            ("1970-01-01T00:30:00+01:00", Err("it is before 1970")),
            ("1969-12-31T23:59:59Z", Err("it is before 1970")),
        ] {
            assert_eq!(parse(text), expected.map(Tick), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-06-00",
            "2026-06-12T",
            "2026-06-12T25:00:00Z",
            "2026-06-12T17:61:00Z",
            "2026-06-12T17:21:00.Z",
            "2026-06-12T17:21:00+",
            "2026-06-12T17:21:00+2500",
            "2026-06-12T17:21:00 UTC",
            "20260612T172100Z",
            "+026-06-12",
            "2026-06-12\u{e9}17:21",
            "NaN",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        for (text, places, expected) in [
            ("12", 0, Some(12)),
            ("12.0", 0, Some(12)),
            ("12.9999", 3, Some(12_999)),
            ("0.001", 3, Some(1)),
            ("", 0, None),
            (".5", 1, None),
            ("5.", 1, None),
            ("-1", 0, None),
            ("+1", 0, None),
            ("1e3", 0, Some(1_000)),
            ("1.25e-05", 9, Some(12_500)),
            ("1.25E+2", 1, Some(1_250)),
            ("1e-20", 9, Some(0)),
            ("1e99", 0, None),
            ("1e999", 0, None),
            ("e5", 0, None),
            ("1e", 0, None),
            ("1e5e5", 0, None),
            ("NaN", 0, None),
            ("inf", 0, None),
            ("1,000", 0, None),
            ("18446744073709551615", 0, Some(u64::MAX)),
            ("18446744073709551616", 0, None),
            ("18446744073709551615", 1, None),
        ] {
            assert_eq!(decimal(text, places), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_written_is_read(text in ".{0,40}", s in 0_u64..7_000_000_000) {
            let _ = (parse(&text), decimal(&text, 6));
            let at = Tick(s * 1_000_000);
            prop_assert_eq!(parse(&at.rfc3339()), Ok(at));
        }
    }
}

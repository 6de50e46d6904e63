//! JSON numbers: integers within ±(2^53 - 1), floats as ECMAScript's `Number::toString` writes them
//! (ECMA-262 section 6.1.6.1.20, which RFC 8785 section 3.2.2.3 refers to).

use super::text::Word;
use super::{INTEGER_MAX, JcsError};

pub(super) fn write_u64(out: &mut Vec<u8>, value: u64) -> Result<(), JcsError> {
    if value > INTEGER_MAX {
        return Err(JcsError::Integer(value.to_string()));
    }
    append(out, itoa::Buffer::new().format(value));
    Ok(())
}

pub(super) fn write_i64(out: &mut Vec<u8>, value: i64) -> Result<(), JcsError> {
    if value.unsigned_abs() > INTEGER_MAX {
        return Err(JcsError::Integer(value.to_string()));
    }
    append(out, itoa::Buffer::new().format(value));
    Ok(())
}

/// 2^53 - 1 has 16 digits; only a sign makes more.
#[inline]
fn append(out: &mut Vec<u8>, number: &str) {
    match Word::new(number.as_bytes()) {
        Some(word) => word.append(out),
        None => out.extend_from_slice(number.as_bytes()),
    }
}

/// A float that prints as an integer beyond the limit is refused like the integer that a reader would see.
pub(super) fn write_f64(out: &mut Vec<u8>, value: f64) -> Result<(), JcsError> {
    if !value.is_finite() {
        return Err(JcsError::NotFinite);
    }
    let text = ecma(value);
    if value.abs() > LARGEST && !text.contains(['.', 'e']) {
        return Err(JcsError::Integer(text));
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

const LARGEST: f64 = 9_007_199_254_740_991.0;

/// `Number::toString(value)` for a finite value. The standard library's `{:e}` finds how many digits read back as
/// the same value; asked for that many, it gives the closest, and of two equally close the even one.
pub(super) fn ecma(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let shortest = format!("{:e}", value.abs());
    let fraction = shortest
        .bytes()
        .take_while(|&byte| byte != b'e')
        .count()
        .saturating_sub(2);
    let closest = format!("{:.fraction$e}", value.abs());
    let scientific = if closest.parse() == Ok(value.abs()) {
        closest
    } else {
        shortest
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The decimal point stands after this many digits.
    let point = exponent.parse::<i32>().unwrap_or(0).saturating_add(1);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let split = |n: i32| {
        digits
            .split_at_checked(usize::try_from(n).unwrap_or(0))
            .unwrap_or((&digits, ""))
    };
    let body = if (count..=21).contains(&point) {
        format!("{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = split(point);
        format!("{whole}.{fraction}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = split(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{:+}", point - 1)
    };
    if value < 0.0 { format!("-{body}") } else { body }
}

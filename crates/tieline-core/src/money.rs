//! Money in integers. Prices are pico-dollars per token (a list price of 0.075 USD per million tokens is 75,000), costs
//! nano-dollars. The single rounding, from pico to nano, is upwards and happens once per attempt ([`crate::Price`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nano-dollars (1e-9 USD). Written in records as a decimal string, for it may pass 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(pub u64);

/// Pico-dollars (1e-12 USD) per token; `3.00` USD per million tokens is 3,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoPerToken(pub u64);

/// A text that is not a price in USD per million tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a price: a decimal number of USD per million tokens with at most 6 decimals, such as \"3.00\""
)]
pub struct BadPrice(String);

/// 2^53 - 1, the largest integer that every JSON reader keeps exact; no list price comes near it
/// (it would be 9e9 USD per million tokens).
const PICO_MAX: u64 = (1 << 53) - 1;

/// A text that is not an amount in USD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: a decimal number of USD with at most 9 decimals, such as \"250.00\"")]
pub struct BadAmount(String);

impl Nano {
    /// An amount such as `250.00`.
    ///
    /// # Errors
    /// A text that is not one, or more than 2^64 nano-USD (18 billion USD).
    pub fn from_usd(text: &str) -> Result<Self, BadAmount> {
        let amount = decimal(text, 9).map(Self);
        amount.ok_or_else(|| BadAmount(text.chars().take(40).collect()))
    }
}

/// A decimal number in units of its last decimal, of which there are at most `places`.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<places$}").parse().ok()?;
    let unit = 10_u64.checked_pow(u32::try_from(places).ok()?)?;
    whole.checked_mul(unit)?.checked_add(fraction)
}

impl FromStr for PicoPerToken {
    type Err = BadPrice;

    fn from_str(text: &str) -> Result<Self, BadPrice> {
        let bad = || BadPrice(text.chars().take(40).collect());
        let pico = decimal(text, 6).ok_or_else(bad)?;
        if pico > PICO_MAX {
            Err(bad())
        } else {
            Ok(Self(pico))
        }
    }
}

impl fmt::Display for Nano {
    /// USD with nine decimals, such as `0.000012500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl Serialize for Nano {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nano {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_exactly_or_refused() {
        assert_eq!("0.075".parse(), Ok(PicoPerToken(75_000)));
        assert_eq!("15".parse(), Ok(PicoPerToken(15_000_000)));
        for bad in [
            "",
            ".5",
            "-1",
            "1e3",
            "0.1234567",
            "1.2.3",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<PicoPerToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_read_exactly_or_refused() {
        assert_eq!(Nano::from_usd("250"), Ok(Nano(250_000_000_000)));
        assert_eq!(Nano::from_usd("0.000000001"), Ok(Nano(1)));
        for bad in ["", "-1", "1.0000000001", "99999999999", "1,000"] {
            assert!(Nano::from_usd(bad).is_err(), "{bad}");
        }
    }
}

//! The identity of a call: 128 bits, sortable by time of arrival, written as 26 characters of Crockford base32 (the
//! ULID layout: 48 bits of milliseconds, 80 bits of entropy given by the caller).

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Tick;

/// One request of an application, for as long as its records live.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

/// A text that is not 26 characters of lower-case Crockford base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a call id: 26 characters of 0-9 a-z without i, l, o, u are expected")]
pub struct BadCallId;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 128 bits at 5 bits a character: 25.6, hence 26.
const TEXT_LEN: usize = 26;

impl CallId {
    /// `at` gives the upper 48 bits, the lower 80 bits of `entropy` the rest.
    pub const fn new(at: Tick, entropy: u128) -> Self {
        let ms = (at.0 / 1_000) as u128 & 0xffff_ffff_ffff;
        Self((ms << 80) | (entropy & ((1 << 80) - 1)))
    }

    /// Its upper and lower 64 bits, as entropy for choices that need no secret.
    pub(crate) fn halves(self) -> [u64; 2] {
        [self.0 >> 64, self.0 & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
    }

    /// The text form, without allocation.
    pub fn text(self) -> [u8; TEXT_LEN] {
        let mut out = [b'0'; TEXT_LEN];
        let mut rest = self.0;
        // Twelve characters are what 60 bits, hence a register, give.
        for slots in out.rchunks_mut(12) {
            let mut part = u64::try_from(rest & ((1 << 60) - 1)).unwrap_or_default();
            for slot in slots.iter_mut().rev() {
                let digit = (part & 31) as usize;
                *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
                part >>= 5;
            }
            rest >>= 60;
        }
        out
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = BadCallId;

    fn from_str(text: &str) -> Result<Self, BadCallId> {
        if text.len() != TEXT_LEN {
            return Err(BadCallId);
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == byte).ok_or(BadCallId)?;
            value = value
                .checked_mul(32)
                .and_then(|v| v.checked_add(digit as u128))
                .ok_or(BadCallId)?;
        }
        Ok(Self(value))
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_one() {
        let id = CallId::new(Tick(1_781_284_860_000_000), 0x1234_5678_9abc_def0_1234);
        assert_eq!(id.to_string().len(), 26);
        assert_eq!(id.to_string().parse::<CallId>(), Ok(id));
        assert!("il".parse::<CallId>().is_err());
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<CallId>().is_err());
    }

    #[test]
    fn later_calls_sort_after() {
        let early = CallId::new(Tick(1_000_000), u128::MAX);
        let late = CallId::new(Tick(2_000_000), 0);
        assert!(early < late && early.to_string() < late.to_string());
    }
}

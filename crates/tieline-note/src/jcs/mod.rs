//! Canonical JSON by RFC 8785: one value, one byte string, so that digests and signatures can be compared.
//!
//! [`to_vec`] and [`to_writer`] are a serde serializer that writes straight into the buffer: keys that arrive in
//! canonical order (UTF-16 code units) cost nothing, others are sorted when their object ends, and a key that
//! comes twice is an error. [`canonicalize`] does the same to JSON text from outside.
//! Bounds: 128 levels ([`DEPTH_MAX`]); integers within ±(2^53 - 1), larger ones are an error and belong in decimal
//! strings (I-JSON, RFC 7493 section 2.2). Floats are written as ECMAScript does.

mod number;
mod object;
mod parse;
mod ser;
mod text;

use serde::Serialize;

pub use parse::{canonicalize, is_canonical};

/// Levels of nesting that are read or written; the recursion of reader and writer is bounded by it.
pub const DEPTH_MAX: usize = 128;

/// The largest integer that every JSON reader holds exactly: 2^53 - 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The canonical JSON of `value`.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JcsError> {
    // An entry of a call is a little shorter.
    let mut out = Vec::with_capacity(1_024);
    to_writer(&mut out, value)?;
    Ok(out)
}

/// Appends the canonical JSON of `value` to `out`; on an error `out` is as it was before.
pub fn to_writer<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), JcsError> {
    let start = out.len();
    let written = value.serialize(&mut ser::Writer::new(out));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Why a value has no canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JcsError {
    #[error(
        "the integer {0} is beyond ±(2^53 - 1), which not every JSON reader holds; write it as a decimal string"
    )]
    Integer(String),
    #[error("a number that is not finite has no JSON")]
    NotFinite,
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
    #[error("a map key is not a string")]
    KeyNotText,
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    #[error("not JSON at byte {offset}: {what}")]
    Syntax {
        /// Where, in bytes from the start.
        offset: usize,
        what: &'static str,
    },
    #[error("{0}")]
    Custom(String),
}

impl serde::ser::Error for JcsError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

#[cfg(test)]
mod tests;

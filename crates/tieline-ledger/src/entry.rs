//! One entry: canonical JSON of at most 65,535 bytes whose head says what it is, when it was made and its id.
//!
//! The ledger itself looks no deeper than the head. What is larger than [`INLINE_BYTES_MAX`] belongs in a blob that
//! the entry cites by digest.

use std::borrow::Cow;

use serde::Deserialize;
use tieline_note::jcs;

/// The length of an entry must fit the two bytes in front of it (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Above this, a part of an entry is archived once as a blob and cited.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// The fields that every entry has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EntryHead<'e> {
    /// Type and version, such as `tieline/decision/v1`.
    #[serde(borrow)]
    pub t: Cow<'e, str>,
    /// When it was made, in µs UTC.
    pub at: u64,
    /// Names the thing that the entry is about: of a decision and its outcome, the call.
    #[serde(borrow)]
    pub id: Cow<'e, str>,
    /// The call that an entry with an id of its own belongs to.
    #[serde(borrow, default)]
    pub call: Option<Cow<'e, str>>,
}

/// What is wrong with the content of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("the entry is {0} bytes long, more than {ENTRY_BYTES_MAX}; archive its large parts as blobs")]
    TooLong(usize),
    #[error("the entry is empty")]
    Empty,
    #[error("the head cannot be read: {0}")]
    Head(String),
    #[error("the type {0:?} has not the form `tieline/<name>/v<number>`")]
    Type(String),
    #[error("the entry is not in canonical form (RFC 8785): {0}")]
    NotCanonical(String),
}

/// Checks the length only.
pub fn check_length(entry: &[u8]) -> Result<(), EntryError> {
    match entry.len() {
        0 => Err(EntryError::Empty),
        length if length > ENTRY_BYTES_MAX => Err(EntryError::TooLong(length)),
        _ => Ok(()),
    }
}

/// Reads the head; the rest is skipped, but must be JSON.
pub fn head(entry: &[u8]) -> Result<EntryHead<'_>, EntryError> {
    serde_json::from_slice(entry).map_err(|error| EntryError::Head(error.to_string()))
}

/// The type without its version: `decision` of `tieline/decision/v1`.
pub fn type_name(t: &str) -> Option<&str> {
    let (name, version) = t.strip_prefix("tieline/")?.rsplit_once("/v")?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !name.is_empty()).then_some(name)
}

/// Checks everything that the ledger knows about an entry: length, canonical form, head, form of the type.
pub fn check(entry: &[u8]) -> Result<EntryHead<'_>, EntryError> {
    check_length(entry)?;
    match jcs::canonicalize(entry) {
        Ok(canonical) if canonical == entry => {}
        Ok(_) => return Err(EntryError::NotCanonical("keys or spelling".to_owned())),
        Err(error) => return Err(EntryError::NotCanonical(error.to_string())),
    }
    let head = head(entry)?;
    if type_name(&head.t).is_none() {
        return Err(EntryError::Type(head.t.chars().take(80).collect()));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_is_read() {
        let entry =
            br#"{"at":1750000000000000,"call":"c1","id":"o\"1","more":{"t":1},"t":"tieline/outcome/v1"}"#;
        let head = check(entry).unwrap();
        assert_eq!(
            (&*head.t, head.at, &*head.id),
            ("tieline/outcome/v1", 1_750_000_000_000_000, "o\"1")
        );
        assert_eq!(head.call.as_deref(), Some("c1"));
        assert_eq!(type_name(&head.t), Some("outcome"));
    }

    #[test]
    fn wrong_entries() {
        assert_eq!(check(b""), Err(EntryError::Empty));
        assert_eq!(check(&vec![b' '; 65_536]), Err(EntryError::TooLong(65_536)));
        assert!(matches!(
            check(br#"{"at":1,"id":"a","t":"tieline/x/v1" }"#),
            Err(EntryError::NotCanonical(_))
        ));
        assert!(matches!(check(br#"{"at":1,"id":"a"}"#), Err(EntryError::Head(_))));
        assert!(matches!(
            check(br#"{"at":-1,"id":"a","t":"tieline/x/v1"}"#),
            Err(EntryError::Head(_))
        ));
        for t in ["x", "tieline/x", "tieline/x/v", "tieline/x/v1a", "tieline//v1"] {
            let entry = format!(r#"{{"at":1,"id":"a","t":"{t}"}}"#);
            assert!(matches!(check(entry.as_bytes()), Err(EntryError::Type(_))), "{t}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = check(&bytes);
        }
    }
}

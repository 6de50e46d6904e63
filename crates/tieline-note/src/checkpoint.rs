//! The text that a ledger signs: origin, size, root (C2SP tlog-checkpoint v1.0.0), without extension lines.
//!
//! ```text
//! <origin>\n
//! <size, decimal>\n
//! <base64 of the root hash>\n
//! ```
//!
//! One checkpoint has one spelling: what [`Checkpoint::parse`] accepts, `to_string` writes back.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Digest;
use crate::note::{self, NoteError, Signer, Verifier};

/// The signed head of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the ledger; a schema-less URL, also the name of the key that signs.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root hash over them.
    pub root: Digest,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("a checkpoint has three lines: origin, size, root")]
    Lines,
    #[error("the first line, the origin, is empty or holds white space or `+`")]
    Origin,
    #[error("the second line, the size, is no decimal number without leading zeros")]
    Size,
    #[error("the third line, the root, is not the base64 of 32 bytes")]
    Root,
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    Foreign { expected: String, found: String },
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// Parses the text of a note (its signatures taken off and checked).
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        if origin.is_empty()
            || origin
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == '+')
        {
            return Err(CheckpointError::Origin);
        }
        let digits = size.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (size.len() > 1 && size.starts_with('0')) {
            return Err(CheckpointError::Size);
        }
        let size = size.parse().map_err(|_| CheckpointError::Size)?;
        let root = STANDARD
            .decode(root)
            .ok()
            .and_then(|bytes| Digest::from_slice(&bytes));
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root: root.ok_or(CheckpointError::Root)?,
        })
    }

    /// Signs; the key's name must be the origin.
    pub fn sign(&self, signer: &Signer) -> Result<String, CheckpointError> {
        if signer.name() != self.origin {
            let found = signer.name().to_owned();
            return Err(CheckpointError::Foreign {
                expected: self.origin.clone(),
                found,
            });
        }
        Ok(note::sign(&self.to_string(), signer)?)
    }

    /// Checks the signature of the log's own key, then the text, then that the origin is the key's name.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, CheckpointError> {
        let opened = note::open(note, std::slice::from_ref(verifier))?;
        let checkpoint = Self::parse(opened.text)?;
        if checkpoint.origin != verifier.name() {
            let expected = verifier.name().to_owned();
            return Err(CheckpointError::Foreign {
                expected,
                found: checkpoint.origin,
            });
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            STANDARD.encode(self.root.as_bytes())
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::sha256;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "tieline.example/a/1".to_owned(),
            size: 20_852_163,
            root: sha256(b"root"),
        }
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_own_key_only() {
        let signer = Signer::new("tieline.example/a/1", &[7; 32]).unwrap();
        let note = checkpoint().sign(&signer).unwrap();
        assert_eq!(Checkpoint::open(&note, signer.verifier()).unwrap(), checkpoint());
        let other = Signer::new("tieline.example/b/1", &[7; 32]).unwrap();
        assert!(matches!(
            checkpoint().sign(&other),
            Err(CheckpointError::Foreign { .. })
        ));
        assert!(matches!(
            Checkpoint::open(&note, other.verifier()),
            Err(CheckpointError::Note(NoteError::NoKnownSigner { unknown: 1 }))
        ));
        let shrunk = note.replace("20852163", "20852162");
        assert!(matches!(
            Checkpoint::open(&shrunk, signer.verifier()),
            Err(CheckpointError::Note(NoteError::BadSignature { .. }))
        ));
    }

    #[test]
    fn a_log_cannot_sign_for_another() {
        let signer = Signer::new("tieline.example/a/1", &[7; 32]).unwrap();
        let text = Checkpoint {
            origin: "tieline.example/b/1".to_owned(),
            ..checkpoint()
        }
        .to_string();
        let note = note::sign(&text, &signer).unwrap();
        assert!(matches!(
            Checkpoint::open(&note, signer.verifier()),
            Err(CheckpointError::Foreign { .. })
        ));
    }

    #[test]
    fn each_line_is_strict() {
        let text = checkpoint().to_string();
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint());
        let refused = |text: &str, error| assert_eq!(Checkpoint::parse(text), Err(error), "{text:?}");
        refused("", CheckpointError::Lines);
        refused(text.trim_end(), CheckpointError::Lines);
        refused(&format!("{text}extension\n"), CheckpointError::Lines);
        refused(&text.replace("tieline.example/a/1", ""), CheckpointError::Origin);
        refused(
            &text.replace("tieline.example/a/1", "a b"),
            CheckpointError::Origin,
        );
        for size in ["", "01", "+1", "-1", "1 ", "18446744073709551616", "1e3"] {
            refused(&text.replace("20852163", size), CheckpointError::Size);
        }
        refused(&text.replace('=', ""), CheckpointError::Root);
    }

    proptest! {
        #[test]
        fn what_parses_is_written_back_the_same(text in "[a-z./+ ]{0,8}\n[0-9]{0,22}\n[A-Za-z0-9+/]{43}=\n") {
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_answered(text: String) {
            let _ = Checkpoint::parse(&text);
        }
    }
}

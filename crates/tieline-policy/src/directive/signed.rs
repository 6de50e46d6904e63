//! Orders as signed notes: opened only with as many distinct keys under them as the operator demands. Two names of one
//! key, or two signatures of one name, count once, so that four eyes are four eyes.

use std::sync::Arc;

use tieline_core::Tick;
use tieline_note::note::{self, NOTE_BYTES_MAX, NoteError, Verifier};
use tieline_note::{Digest, sha256};

use super::{Directive, Order, Revocation, read};
use crate::problem::PackProblem;

/// Keys that may sign orders, or packs: the officers of one company. Each signature of a note is checked, at some 50 µs.
pub const SIGNERS_MAX: usize = 32;

/// What problems of a signed order cite.
const PATH: &str = "order";

/// Whose signatures count, and how many are needed.
#[derive(Clone, Debug)]
pub struct Signers {
    keys: Vec<Verifier>,
    threshold: usize,
}

/// A note whose signatures were checked and counted.
pub(crate) struct Counted<'n> {
    /// Names of the keys that signed, in the note's order.
    pub(crate) found: Vec<String>,
    pub(crate) text: &'n str,
    /// Names of keys that signed and that nobody configured.
    pub(crate) unknown: Vec<String>,
}

/// An order whose signatures suffice.
#[derive(Clone, Debug)]
pub struct SignedOrder {
    /// SHA-256 of the whole note.
    pub digest: Digest,
    pub order: Order,
    /// Names of the keys that signed, in the note's order.
    pub signers: Vec<String>,
    /// The whole note.
    pub text: Arc<str>,
}

/// Why an order, or the list of who may sign one, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("the order `{id}` was issued after this instant; check its `issued` and this machine's clock")]
    IssuedLater { id: Arc<str> },
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("there is no directive `{id}` in force that could be revoked")]
    NothingToRevoke { id: Arc<str> },
    #[error("the order `{id}` holds no longer: its `valid_to` lies in the past")]
    Over { id: Arc<str> },
    #[error("the order has {} problems, the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Problems(Vec<PackProblem>),
    #[error("of the {needed} signatures that an order needs, it has {}{}", found.len(), unknown_keys(unknown))]
    TooFew {
        found: Vec<String>,
        needed: usize,
        /// Names of keys that signed and are not configured.
        unknown: Vec<String>,
    },
    #[error("the keys that may sign: {0}")]
    Signers(String),
    #[error("the order is no text in UTF-8")]
    Utf8,
    #[error("`{id}` has been at version {last}, and the order is version {version}; an order counts upwards")]
    Version { id: Arc<str>, last: u32, version: u32 },
}

fn unknown_keys(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("; nobody configured the keys of {}", names.join(", "))
}

impl Signers {
    /// `threshold` of these keys have to sign. Names and keys are distinct.
    pub fn new(keys: Vec<Verifier>, threshold: usize) -> Result<Self, OrderError> {
        let refuse = |says: String| Err(OrderError::Signers(says));
        if keys.len() > SIGNERS_MAX {
            return refuse(format!(
                "{} are given, and {SIGNERS_MAX} are the limit",
                keys.len()
            ));
        }
        if threshold == 0 || threshold > keys.len() {
            return refuse(format!("{threshold} of {} cannot be demanded", keys.len()));
        }
        for (at, key) in keys.iter().enumerate() {
            let earlier = || keys.iter().take(at);
            if earlier().any(|other| other.name() == key.name() || other.public_key() == key.public_key()) {
                return refuse(format!(
                    "`{}` stands there twice, by its name or by its key",
                    key.name()
                ));
            }
        }
        Ok(Self { keys, threshold })
    }

    pub fn keys(&self) -> &[Verifier] {
        &self.keys
    }

    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Opens a note, whether or not the keys under it suffice. A signature of one of these that does not fit is an error.
    pub(crate) fn open<'n>(&self, note: &'n str) -> Result<Counted<'n>, NoteError> {
        let (text, names) = note::peek(note)?;
        let found = match note::open(note, &self.keys) {
            Ok(opened) => opened.signers,
            Err(NoteError::NoKnownSigner { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_known = |name: &&str| found.iter().any(|known| known == name);
        let strangers = names.into_iter().filter(|name| !is_known(name));
        let mut unknown: Vec<String> = strangers.map(str::to_owned).collect();
        unknown.sort();
        unknown.dedup();
        Ok(Counted { found, text, unknown })
    }
}

impl SignedOrder {
    /// Checks the signatures, then reads the order; nothing of a note that is not signed enough is looked at.
    pub fn open(bytes: &[u8], signers: &Signers) -> Result<Self, OrderError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { length: bytes.len() }.into());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| OrderError::Utf8)?;
        let opened = signers.open(text)?;
        if opened.found.len() < signers.threshold {
            return Err(OrderError::TooFew {
                found: opened.found,
                needed: signers.threshold,
                unknown: opened.unknown,
            });
        }
        let digest = sha256(bytes);
        let order = read::order(PATH, opened.text, digest).map_err(OrderError::Problems)?;
        Ok(Self {
            digest,
            order,
            signers: opened.found,
            text: Arc::from(text),
        })
    }

    /// Reads an order that was opened before, from an archive whose digest vouches for it: keys change over the years.
    pub fn from_archive(text: &str) -> Result<Self, OrderError> {
        let (inner, names) = note::peek(text)?;
        let digest = sha256(text.as_bytes());
        let order = read::order(PATH, inner, digest).map_err(OrderError::Problems)?;
        Ok(Self {
            digest,
            order,
            signers: names.into_iter().map(str::to_owned).collect(),
            text: Arc::from(text),
        })
    }

    pub fn directive(&self) -> Option<&Arc<Directive>> {
        match &self.order {
            Order::Directive(directive) => Some(directive),
            Order::Revocation(_) => None,
        }
    }

    pub fn revocation(&self) -> Option<&Revocation> {
        match &self.order {
            Order::Directive(_) => None,
            Order::Revocation(revocation) => Some(revocation),
        }
    }

    pub fn issued(&self) -> Tick {
        self.order.issued()
    }
}

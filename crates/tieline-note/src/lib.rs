//! RFC 8785 JSON, SHA-256, Ed25519 and signed notes; pure.
//!
//! What is hashed or signed anywhere in tieline passes through here: [`jcs`] turns a value into the one byte
//! string that stands for it, [`sha256`] names bytes, [`note`] signs text, [`checkpoint`] is the text that a
//! ledger signs. No IO, no clock; seeds are arguments. Hostile bytes give an error, never a panic.

pub mod checkpoint;
pub mod jcs;
pub mod note;

mod digest;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use digest::{Digest, DigestParseError, Hasher, sha256, sha256_parts};
pub use jcs::JcsError;
pub use note::{NoteError, Opened, Signer, Verifier};

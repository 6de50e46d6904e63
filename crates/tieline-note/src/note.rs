//! Signed notes: text with Ed25519 signatures below it, by the C2SP signed-note specification v1.0.0.
//!
//! [`sign`] writes a note, [`cosign`] adds a signature, [`open`] checks one. Signatures by keys that the caller does not
//! know are ignored; a signature that claims a known key and does not verify refuses the whole note. Only type 0x01
//! (Ed25519) is made or checked. Bounds: [`NOTE_BYTES_MAX`], [`SIGNATURES_MAX`]. The seed is an argument.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::digest::sha256_parts;

/// The size of a note: a checkpoint with sixteen cosignatures takes 4 KB; a megabyte is what other verifiers take.
pub const NOTE_BYTES_MAX: usize = 1_000_000;

/// Signature lines of one note.
pub const SIGNATURES_MAX: usize = 100;

/// Signs `text`, which ends with a newline, and returns the note.
pub fn sign(text: &str, signer: &Signer) -> Result<String, NoteError> {
    check_text(text)?;
    let note = format!("{text}\n{}", signer.line(text));
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { length: note.len() });
    }
    Ok(note)
}

/// Adds a signature to a note, whoever signed it before; its other signatures are not checked, and stay. A second
/// signature by the same key is refused: it would say nothing new.
pub fn cosign(note: &str, signer: &Signer) -> Result<String, NoteError> {
    let (text, lines) = split(note)?;
    let own = &signer.verifier;
    if lines
        .iter()
        .any(|line| line.name == own.name && line.id == own.id)
    {
        return Err(NoteError::SignedAlready {
            name: own.name.clone(),
        });
    }
    if lines.len() >= SIGNATURES_MAX {
        return Err(NoteError::TooManySignatures);
    }
    let note = format!("{note}{}", signer.line(text));
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { length: note.len() });
    }
    Ok(note)
}

/// Checks `note` against the keys of `known`: at least one of them signed it, none of them wrongly.
pub fn open<'n>(note: &'n str, known: &[Verifier]) -> Result<Opened<'n>, NoteError> {
    let (text, lines) = split(note)?;
    let mut signers = Vec::new();
    let mut unknown = 0;
    for line in lines {
        let Some(verifier) = known
            .iter()
            .find(|known| known.name == line.name && known.id == line.id)
        else {
            unknown += 1;
            continue;
        };
        if !verifier.verify(text.as_bytes(), &line.signature) {
            return Err(NoteError::BadSignature {
                name: verifier.name.clone(),
            });
        }
        if !signers.contains(&verifier.name) {
            signers.push(verifier.name.clone());
        }
    }
    if signers.is_empty() {
        return Err(NoteError::NoKnownSigner { unknown });
    }
    Ok(Opened {
        text,
        signers,
        unknown,
    })
}

/// The text of a note and the names under it, nothing checked; for messages about a note that did not open.
pub fn peek(note: &str) -> Result<(&str, Vec<&str>), NoteError> {
    let (text, lines) = split(note)?;
    Ok((text, lines.iter().map(|line| line.name).collect()))
}

/// A note whose signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'n> {
    /// The signed text, final newline included.
    pub text: &'n str,
    /// Names of the known keys that signed, in the note's order.
    pub signers: Vec<String>,
    /// Signatures by keys that the caller does not know.
    pub unknown: usize,
}

/// A key that checks: a name and an Ed25519 public key.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

/// A key that signs. Debug shows the name only; the secret is wiped when it is dropped.
pub struct Signer {
    verifier: Verifier,
    key: SigningKey,
}

/// Why a note or a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("the note is {length} bytes long, more than {NOTE_BYTES_MAX}")]
    TooLong { length: usize },
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    #[error("the signature of {name:?} does not fit the text: one of the two was changed")]
    BadSignature { name: String },
    #[error("none of the given keys signed the note (signatures by other keys: {unknown})")]
    NoKnownSigner { unknown: usize },
    #[error("{name:?} has signed the note already")]
    SignedAlready { name: String },
    #[error("{0:?} is no key name: it must not be empty nor hold white space or `+`")]
    Name(String),
    #[error("not a key of the form `<name>+<8 hex digits>+<base64>`: {0}")]
    Key(&'static str),
    #[error("the key has type {0:#04x}; only 0x01 (Ed25519) is known")]
    KeyType(u8),
}

// === impl Verifier ===

impl Verifier {
    /// From 32 bytes of public key.
    pub fn new(name: &str, public_key: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key =
            VerifyingKey::from_bytes(public_key).map_err(|_| NoteError::Key("not a point of the curve"))?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, public_key),
            key,
        })
    }

    /// Parses `<name>+<hex8>+<base64(type ‖ public key)>`.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("two `+` are missing"));
        };
        let key = typed_key(key)?;
        let verifier = Self::new(name, &key)?;
        if hex8(verifier.id) != id {
            return Err(NoteError::Key("the 8 hex digits do not fit the name and the key"));
        }
        Ok(verifier)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half as text; parses back to the same key.
    pub fn vkey(&self) -> String {
        format!(
            "{}+{}+{}",
            self.name,
            hex8(self.id),
            STANDARD.encode(typed(self.key.as_bytes()))
        )
    }

    /// The public key alone, by which two names of one key are told.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// True if `signature` (64 bytes) is this key's signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({})", self.vkey())
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.vkey())
    }
}

// === impl Signer ===

impl Signer {
    /// From 32 bytes of entropy (RFC 8032 private key).
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let verifier = Verifier::new(name, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// Parses `PRIVATE+KEY+<name>+<hex8>+<base64(type ‖ seed)>`, the form that Go's `note` package writes.
    pub fn parse(skey: &str) -> Result<Self, NoteError> {
        let Some(rest) = skey.strip_prefix("PRIVATE+KEY+") else {
            return Err(NoteError::Key("a private key begins with `PRIVATE+KEY+`"));
        };
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("two `+` are missing"));
        };
        let signer = Self::new(name, &typed_key(key)?)?;
        if hex8(signer.verifier.id) != id {
            return Err(NoteError::Key("the 8 hex digits do not fit the name and the key"));
        }
        Ok(signer)
    }

    pub fn name(&self) -> &str {
        &self.verifier.name
    }

    /// The public half.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The secret as text, for a file that only its owner reads; never for a log or a message.
    pub fn skey(&self) -> String {
        let key = STANDARD.encode(typed(self.key.as_bytes()));
        format!(
            "PRIVATE+KEY+{}+{}+{key}",
            self.verifier.name,
            hex8(self.verifier.id)
        )
    }

    /// The bare Ed25519 signature of `message`.
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    fn line(&self, text: &str) -> String {
        let mut signature = Vec::with_capacity(68);
        signature.extend_from_slice(&self.verifier.id);
        signature.extend_from_slice(&self.sign_bytes(text.as_bytes()));
        format!("— {} {}\n", self.verifier.name, STANDARD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier.name)
    }
}

// === helpers ===

const ED25519: u8 = 0x01;

struct Line<'n> {
    name: &'n str,
    id: [u8; 4],
    signature: Vec<u8>,
}

fn split(note: &str) -> Result<(&str, Vec<Line<'_>>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { length: note.len() });
    }
    let Some((above, below)) = note.rsplit_once("\n\n") else {
        return Err(NoteError::Malformed("no blank line between text and signatures"));
    };
    let text = note.get(..above.len() + 1).unwrap_or_default();
    check_text(text)?;
    let Some(below) = below.strip_suffix('\n') else {
        return Err(NoteError::Malformed(
            "no signature, or no newline after the last one",
        ));
    };
    if below.split('\n').count() > SIGNATURES_MAX {
        return Err(NoteError::TooManySignatures);
    }
    let lines = below.split('\n').map(line).collect::<Result<_, _>>()?;
    Ok((text, lines))
}

fn line(line: &str) -> Result<Line<'_>, NoteError> {
    let (name, data) = line
        .strip_prefix("— ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or(NoteError::Malformed("a signature line is `— <name> <base64>`"))?;
    check_name(name)?;
    let data = STANDARD
        .decode(data)
        .map_err(|_| NoteError::Malformed("a signature is not base64"))?;
    match data.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => Ok(Line {
            name,
            id: *id,
            signature: signature.to_vec(),
        }),
        _ => Err(NoteError::Malformed("a signature is shorter than five bytes")),
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end with a newline"));
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed("the text holds a control character"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty()
        || name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
    {
        return Err(NoteError::Name(name.chars().take(80).collect()));
    }
    Ok(())
}

fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let digest = sha256_parts(&[name.as_bytes(), &[b'\n', ED25519], public_key]);
    let [a, b, c, d, ..] = digest.0;
    [a, b, c, d]
}

fn hex8(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

fn typed(key: &[u8; 32]) -> [u8; 33] {
    let mut typed = [ED25519; 33];
    if let Some((_, rest)) = typed.split_first_mut() {
        rest.copy_from_slice(key);
    }
    typed
}

fn typed_key(text: &str) -> Result<[u8; 32], NoteError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| NoteError::Key("the last part is not base64"))?;
    match bytes.split_first() {
        Some((&ED25519, key)) => key
            .try_into()
            .map_err(|_| NoteError::Key("the key is not 32 bytes long")),
        Some((&other, _)) => Err(NoteError::KeyType(other)),
        None => Err(NoteError::Key("the key is empty")),
    }
}

#[cfg(test)]
mod tests;

//! Keys of parties and of administrators. A bearer key is 256 random bits in base32 behind a prefix; only its SHA-256 is
//! stored, so neither the state file nor its backup gives anyone access. Lookup is by the digest, which needs no
//! constant-time comparison: finding a digest's prefix says nothing about a key's.

use std::collections::HashMap;
use std::sync::Arc;

use tieline_core::Subject;
use tieline_note::sha256;

use crate::members::{Member, Members};

/// A fresh secret, shown once.
#[derive(Clone)]
pub struct Token {
    /// SHA-256 of the whole text.
    pub digest: [u8; 32],
    text: String,
}

/// What an administrator may do. Each role may what the next may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, entry bundles of the ledger included.
    Auditor,
    /// Compliance: parties, packs, directives, holds.
    Officer,
    /// Runs the service: keys, cuts, reload.
    Operator,
    /// Status and metrics.
    Reader,
}

/// All live keys; swapped whole when one changes.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    admins: HashMap<[u8; 32], Arc<Admin>>,
    /// Parties that have a live key.
    pub(crate) members: Members,
    parties: HashMap<[u8; 32], Entry>,
}

#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// A live key.
#[derive(Debug)]
pub(crate) struct PartyKey {
    pub(crate) member: Arc<Member>,
    pub(crate) subject: Arc<Subject>,
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Live(Arc<PartyKey>),
    Revoked,
}

/// Prefix of a party's key, so that scanners for leaked secrets can know one.
const PARTY_PREFIX: &str = "tl_";
const ADMIN_PREFIX: &str = "tla_";

impl Token {
    pub fn party(entropy: &[u8; 32]) -> Self {
        Self::with_prefix(PARTY_PREFIX, entropy)
    }

    pub fn admin(entropy: &[u8; 32]) -> Self {
        Self::with_prefix(ADMIN_PREFIX, entropy)
    }

    /// The secret itself; for the one moment in which it is shown.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The digest of a token that someone presents.
    pub fn digest_of(text: &str) -> [u8; 32] {
        sha256(text.as_bytes()).0
    }

    fn with_prefix(prefix: &str, entropy: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(prefix.len() + 52);
        text.push_str(prefix);
        base32(entropy, &mut text);
        Self {
            digest: Self::digest_of(&text),
            text,
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Keys {
    pub(crate) fn insert_party(&mut self, digest: [u8; 32], entry: Entry) {
        self.parties.insert(digest, entry);
    }

    pub(crate) fn insert_admin(&mut self, digest: [u8; 32], admin: Admin) {
        self.admins.insert(digest, Arc::new(admin));
    }

    pub(crate) fn party(&self, token: &str) -> Option<&Entry> {
        self.parties.get(&Token::digest_of(token))
    }

    pub(crate) fn admin(&self, token: &str) -> Option<&Arc<Admin>> {
        self.admins.get(&Token::digest_of(token))
    }
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Officer => "officer",
            Self::Operator => "operator",
            Self::Reader => "reader",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Auditor, Self::Officer, Self::Operator, Self::Reader]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// RFC 4648 base32, lower case, without padding: 256 bits are 52 characters.
fn base32(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            push_digit(ALPHABET, bits >> count, out);
        }
    }
    if count > 0 {
        push_digit(ALPHABET, bits << (5 - count), out);
    }
}

fn push_digit(alphabet: &[u8; 32], value: u32, out: &mut String) {
    if let Some(digit) = alphabet.get((value & 31) as usize) {
        out.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_digest_and_nothing_else_is_kept() {
        let token = Token::party(&[0xff; 32]);
        assert_eq!(token.expose().len(), 3 + 52);
        assert_eq!(token.digest, Token::digest_of(token.expose()));
        assert_ne!(token.digest, Token::party(&[0xfe; 32]).digest);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn base32_follows_rfc_4648() {
        let encode = |text: &str| {
            let mut out = String::new();
            base32(text.as_bytes(), &mut out);
            out
        };
        assert_eq!(encode("f"), "my");
        assert_eq!(encode("fooba"), "mzxw6ytb");
        assert_eq!(encode("foobar"), "mzxw6ytboi");
    }
}

//! A JSON Web Key Set (RFC 7517): the public keys of one issuer, by id, each for one algorithm.
//!
//! Keys that no allowed algorithm can use (encryption, symmetric, other curves) are passed over; a private key, an id that
//! two usable keys share, and a set without a usable key refuse the whole set.
//! Bounds: [`SET_BYTES_MAX`], [`KEYS_MAX`].

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Bytes of a set: 64 keys with certificate chains of 4 KiB each.
pub(super) const SET_BYTES_MAX: usize = 256 << 10;

/// Keys of a set. An issuer that rotates weekly and keeps the keys of a year has 53.
const KEYS_MAX: usize = 64;

/// Signature algorithms that are believed (RFC 7518; RFC 8037). `none` and the symmetric ones are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    EdDsa,
    Es256,
    Rs256,
}

#[derive(Debug, Default)]
pub(super) struct KeySet(BTreeMap<String, Key>);

#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    public: ParsedPublicKey,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    alg: Option<String>,
    crv: Option<String>,
    d: Option<serde::de::IgnoredAny>,
    e: Option<String>,
    kid: Option<String>,
    kty: String,
    n: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

impl KeySet {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > SET_BYTES_MAX {
            return Err(format!("it is larger than {SET_BYTES_MAX} bytes"));
        }
        let set: RawSet = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no JSON Web Key Set (RFC 7517): {error}"))?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("it has more than {KEYS_MAX} keys"));
        }
        let mut keys = BTreeMap::new();
        for raw in set.keys {
            if raw.d.is_some() {
                return Err(
                    "it holds a private key; publish the public half alone, and replace the key".into(),
                );
            }
            let Some((id, key)) = raw.usable()? else { continue };
            if keys.insert(id, key).is_some() {
                return Err("two of its keys have the same `kid`".into());
            }
        }
        if keys.is_empty() {
            return Err("it has no key with a `kid` for RS256, ES256 or EdDSA".into());
        }
        Ok(Self(keys))
    }

    pub(super) fn key(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }
}

impl Key {
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

impl RawKey {
    fn usable(&self) -> Result<Option<(String, Key)>, String> {
        let signs = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("RSA", _) => Algorithm::Rs256,
            _ => return Ok(None),
        };
        let fits = |name: &String| Algorithm::named(name) == Some(algorithm);
        let (true, true, Some(id)) = (signs, self.alg.as_ref().is_none_or(fits), &self.kid) else {
            return Ok(None);
        };
        let part = |text: &Option<String>| {
            let bytes = text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
            bytes.ok_or_else(|| "one of its keys is not whole".to_owned())
        };
        let public = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, part(&self.x)?),
            Algorithm::Es256 => {
                // An uncompressed point (SEC 1, 2.3.3).
                let point = [vec![4], part(&self.x)?, part(&self.y)?].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            Algorithm::Rs256 => RsaPublicKeyComponents {
                n: part(&self.n)?,
                e: part(&self.e)?,
            }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        };
        let public = public.map_err(|_| "one of its keys is none of its kind".to_owned())?;
        Ok(Some((id.clone(), Key { algorithm, public })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8037, appendix A.2.
    const KEY: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    #[test]
    fn a_set_is_taken_whole_or_not() {
        for (set, expected) in [
            (format!(r#"{{"keys":[{{{KEY},"kid":"a"}}]}}"#), ""),
            (
                format!(r#"{{"keys":[{{{KEY},"kid":"a"}},{{"kty":"oct","k":"AA","kid":"a"}}]}}"#),
                "",
            ),
            (
                format!(r#"{{"keys":[{{{KEY},"kid":"a"}},{{{KEY},"kid":"a"}}]}}"#),
                "the same `kid`",
            ),
            (
                format!(r#"{{"keys":[{{{KEY},"kid":"a","d":"AA"}}]}}"#),
                "private key",
            ),
            (format!(r#"{{"keys":[{{{KEY}}}]}}"#), "no key with a `kid`"),
            (
                format!(r#"{{"keys":[{{{KEY},"kid":"a","use":"enc"}}]}}"#),
                "no key with a `kid`",
            ),
            (
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"!","kid":"a"}]}"#.into(),
                "not whole",
            ),
            (
                r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"a"}]}"#.into(),
                "none of its kind",
            ),
            (r#"{"keys":[]}"#.into(), "no key with a `kid`"),
            ("[]".into(), "no JSON Web Key Set"),
        ] {
            let found = KeySet::parse(set.as_bytes()).err().unwrap_or_default();
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{set}: {found}"
            );
        }
    }
}

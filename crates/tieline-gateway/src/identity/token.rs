//! A token about an end user: a JSON Web Token in compact form (RFC 7519, RFC 7515), read and verified as a function of its
//! bytes, one issuer's settings and the instant.
//!
//! The key decides the algorithm, and the header must agree: a public key never serves as a symmetric secret. Nothing that
//! a token says is repeated in a fault. Bounds: [`TOKEN_BYTES_MAX`], [`Tolerance`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use tieline_core::{Span, Tick};

use super::key_set::{Algorithm, KeySet};

/// Bytes of a token: half of what common stacks take for a whole head.
pub(super) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How exact the instants of a token are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// From the verification to the end, at most.
    pub(super) life_max: Span,
    /// Between the issuer's clock and this one.
    pub(super) skew: Span,
}

/// Who a token must be from and for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinned<'a> {
    pub(super) audience: &'a str,
    pub(super) keys: &'a KeySet,
}

/// A token that was read and not verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    algorithm: Algorithm,
    claims: Value,
    key: String,
    signature: Vec<u8>,
    signed: &'a str,
}

/// What a token that was verified says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Value,
    /// From this instant on it asserts nothing; the tolerance for clocks is in it.
    pub(super) expires: Tick,
    pub(super) issued: Tick,
}

/// The check that failed. Each reads after "The token of the end user is refused: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFault {
    #[error("its algorithm (`alg`) is not RS256, ES256 or EdDSA")]
    Algorithm,
    #[error("its algorithm (`alg`) is not that of its key")]
    AlgorithmOfKey,
    #[error("it is for another audience (`aud`)")]
    Audience,
    #[error("the claim for the fact `{0}` has a value that cannot be read as one")]
    Claim(&'static str),
    #[error("its header makes an extension critical (`crit`), and none is known here")]
    Critical,
    #[error("it has expired (`exp`)")]
    Expired,
    #[error("it has no instant of expiry (`exp`) in whole seconds")]
    ExpiryMissing,
    #[error("it expires (`exp`) too far in the future")]
    ExpiryTooFar,
    #[error("its issuer (`iss`) is not one that is configured for this header")]
    Issuer,
    #[error("its key (`kid`) is not in the issuer's key set")]
    Key,
    #[error("the key set of its issuer has not been fetched yet")]
    KeySet,
    #[error("it is larger than {TOKEN_BYTES_MAX} bytes")]
    Large,
    #[error("the call carries more than one")]
    Many,
    #[error("it is not yet valid (`nbf`, `iat`)")]
    NotYet,
    #[error("it is not a signed JSON Web Token in compact form")]
    Shape,
    #[error("its signature is wrong")]
    Signature,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde::de::IgnoredAny>,
    kid: Option<String>,
}

impl<'a> Unverified<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Large);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Shape)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::Shape)?;
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::Shape);
        let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| TokenFault::Shape)?;
        let algorithm = Algorithm::named(&header.alg).ok_or(TokenFault::Algorithm)?;
        if header.crit.is_some() {
            return Err(TokenFault::Critical);
        }
        let claims: Value = serde_json::from_slice(&part(claims)?).map_err(|_| TokenFault::Shape)?;
        if !claims.is_object() {
            return Err(TokenFault::Shape);
        }
        Ok(Self {
            algorithm,
            claims,
            key: header.kid.ok_or(TokenFault::Key)?,
            signature: part(signature)?,
            signed,
        })
    }

    /// Who it says that it is from.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    pub(super) fn verify(
        self,
        pinned: Pinned<'_>,
        now: Tick,
        tolerance: Tolerance,
    ) -> Result<Verified, TokenFault> {
        let key = pinned.keys.key(&self.key).ok_or(TokenFault::Key)?;
        if key.algorithm != self.algorithm {
            return Err(TokenFault::AlgorithmOfKey);
        }
        if !key.has_signed(self.signed.as_bytes(), &self.signature) {
            return Err(TokenFault::Signature);
        }
        let is_for = match self.claims.get("aud") {
            Some(Value::String(one)) => one == pinned.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one == pinned.audience),
            _ => false,
        };
        if !is_for {
            return Err(TokenFault::Audience);
        }
        let expires = self
            .instant("exp", TokenFault::ExpiryMissing)?
            .ok_or(TokenFault::ExpiryMissing)?
            .plus(tolerance.skew);
        if expires <= now {
            return Err(TokenFault::Expired);
        }
        if expires > now.plus(tolerance.life_max) {
            return Err(TokenFault::ExpiryTooFar);
        }
        let begins = self.instant("nbf", TokenFault::NotYet)?;
        let issued = self.instant("iat", TokenFault::NotYet)?;
        let latest = begins.max(issued);
        if latest.is_some_and(|at| at > now.plus(tolerance.skew)) {
            return Err(TokenFault::NotYet);
        }
        Ok(Verified {
            claims: self.claims,
            expires,
            issued: issued.or(begins).unwrap_or(now),
        })
    }

    /// A `NumericDate`, in whole seconds.
    fn instant(&self, name: &str, fault: TokenFault) -> Result<Option<Tick>, TokenFault> {
        let Some(value) = self.claims.get(name) else {
            return Ok(None);
        };
        let ticks = value.as_u64().and_then(|s| s.checked_mul(1_000_000));
        ticks.map(|ticks| Some(Tick(ticks))).ok_or(fault)
    }
}

//! Entry points for fuzzers: each takes any bytes, reads them as one of the formats that come from outside, and
//! checks that what was accepted is written back the same.

use tieline_note::{Checkpoint, Signer, Verifier, jcs, note};

use crate::entry;
use crate::store::pack;
use crate::tile::{self, TilePath};

/// Checkpoint text, notes, keys and tile paths.
///
/// # Panics
///
/// If something accepted is written back otherwise: a finding.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
    }
    if let Ok(verifier) = Verifier::parse(&text) {
        assert_eq!(verifier.vkey(), text);
        let _ = note::open(&text, &[verifier]);
    }
    let _ = (note::peek(&text), Signer::parse(&text));
}

/// Entry bundles.
///
/// # Panics
///
/// If something accepted is written back otherwise: a finding.
pub fn bundle(bytes: &[u8]) {
    let mut written = Vec::new();
    for entry in tile::entries(bytes) {
        let Ok(entry) = entry else { return };
        tile::frame(&mut written, entry);
    }
    assert_eq!(written, bytes);
}

/// Stored rows: whatever is said of their size, they unpack within bounds.
///
/// # Panics
///
/// If what is packed unpacks otherwise: a finding.
pub fn row(bytes: &[u8]) {
    let Some((size, stored)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let mut buffer = Vec::new();
    let _ = pack::unpack(stored, u64::from(u32::from_le_bytes(*size)), &mut buffer);
    let mut packed = Vec::new();
    let packed = pack::pack(stored, &mut packed);
    let unpacked = pack::unpack(packed, stored.len() as u64, &mut buffer);
    assert_eq!((unpacked.entries, unpacked.damage), (stored, None));
}

/// Entries and JSON at large.
///
/// # Panics
///
/// If something accepted is written back otherwise: a finding.
pub fn json(bytes: &[u8]) {
    let _ = entry::check(bytes);
    if let Ok(canonical) = jcs::canonicalize(bytes) {
        assert!(jcs::is_canonical(&canonical));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>, text in "(.{0,20}\n){0,4}(\n— [a-z]{1,3} [A-Za-z0-9+/]{12}\n)?") {
            for bytes in [&bytes[..], text.as_bytes()] {
                super::texts(bytes);
                super::bundle(bytes);
                super::row(bytes);
                super::json(bytes);
            }
        }
    }
}

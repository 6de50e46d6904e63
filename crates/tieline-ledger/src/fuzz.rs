//! Entry points for fuzzers: each takes any bytes, reads them as one of the formats that come from outside, and
//! checks that what was accepted is written back the same. A panic is a finding.

use tieline_note::{Checkpoint, Signer, Verifier, jcs, note};

use crate::entry;
use crate::tile::{self, TilePath};

/// Checkpoint text, notes, keys and tile paths.
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
pub fn bundle(bytes: &[u8]) {
    let mut written = Vec::new();
    for entry in tile::entries(bytes) {
        let Ok(entry) = entry else { return };
        tile::frame(&mut written, entry);
    }
    assert_eq!(written, bytes);
}

/// Entries and JSON at large.
pub fn json(bytes: &[u8]) {
    let _ = entry::check(bytes);
    if let Ok(canonical) = jcs::canonicalize(bytes) {
        assert!(jcs::is_canonical(&canonical));
    }
}

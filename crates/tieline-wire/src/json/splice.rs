//! Edits of a document as spans over its bytes: what is not edited is neither copied nor written anew.
//!
//! Contract: spans are given in rising order and do not overlap; one that does is dropped. A body up to
//! [`JOIN_BYTES_MAX`] is joined into one buffer, because a copy of that size costs less than a second write.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// Pieces of a body that need no allocation: two edits make five.
pub const PIECES: usize = 6;

/// Up to this length the pieces are joined: 16 KiB are copied in under a microsecond, and the whole then fits the write
/// buffer of an HTTP connection.
const JOIN_BYTES_MAX: usize = 16 * 1024;

/// Replacements in one document.
#[derive(Debug, Default)]
pub struct Edits {
    list: SmallVec<[(Range<usize>, Bytes); 2]>,
}

impl Edits {
    /// Replaces `span` (empty to insert) with `bytes`.
    pub fn replace(&mut self, span: Range<usize>, bytes: impl Into<Bytes>) {
        let at = self
            .list
            .iter()
            .position(|(s, _)| s.start > span.start)
            .unwrap_or(self.list.len());
        self.list.insert(at, (span, bytes.into()));
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The edited document as pieces, and its length in bytes.
    pub fn apply(self, body: &Bytes) -> (SmallVec<[Bytes; PIECES]>, u64) {
        let mut pieces = SmallVec::new();
        let mut at = 0;
        for (span, with) in self.list {
            if span.start < at || span.end < span.start || span.end > body.len() {
                continue;
            }
            if span.start > at {
                pieces.push(body.slice(at..span.start));
            }
            if !with.is_empty() {
                pieces.push(with);
            }
            at = span.end;
        }
        if at < body.len() {
            pieces.push(body.slice(at..));
        }
        let len: usize = pieces.iter().map(Bytes::len).sum();
        if pieces.len() > 1 && len <= JOIN_BYTES_MAX {
            pieces = SmallVec::from_iter([joined(&pieces)]);
        }
        (pieces, len as u64)
    }
}

/// The pieces as one.
pub(crate) fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [whole] => whole.clone(),
        pieces => pieces.concat().into(),
    }
}

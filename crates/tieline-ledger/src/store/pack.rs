//! The entries of a row as they are stored: an LZ4 block, or as they are if that is no longer.
//!
//! Unpacking takes bytes that anybody may have changed: it never reads or writes out of bounds, and makes at most
//! [`ENTRIES_BYTES_MAX`]. Damage is reported beside what was unpacked before it, so that a verification can say which
//! entry it begins in.

use std::fmt;

use crate::entry::ENTRY_BYTES_MAX;
use crate::tile::TILE_WIDTH;

/// The longest row: 256 entries of 65,535 bytes, each behind its length in two, 16.8 MB.
pub(crate) const ENTRIES_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_BYTES_MAX + 2);

/// Why the entries of a row cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The row says a size that no row has.
    Size(u64),
    /// The packed bytes do not unpack, or to another size.
    Block,
}

/// What could be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unpacked<'u> {
    pub(crate) entries: &'u [u8],
    pub(crate) damage: Option<Damage>,
}

/// What is stored for `entries`; `buffer` is kept for the next row.
pub(crate) fn pack<'p>(entries: &'p [u8], buffer: &'p mut Vec<u8>) -> &'p [u8] {
    let bound = lz4_flex::block::get_maximum_output_size(entries.len());
    if buffer.len() < bound {
        buffer.resize(bound, 0);
    }
    match lz4_flex::block::compress_into(entries, buffer) {
        Ok(length) if length < entries.len() => buffer.get(..length).unwrap_or(entries),
        _ => entries,
    }
}

/// The `size` bytes of entries that are stored as `stored`; `buffer` is kept for the next row.
pub(crate) fn unpack<'u>(stored: &'u [u8], size: u64, buffer: &'u mut Vec<u8>) -> Unpacked<'u> {
    let known = usize::try_from(size)
        .ok()
        .filter(|&size| size <= ENTRIES_BYTES_MAX);
    let Some(size) = known else {
        return Unpacked {
            entries: &[],
            damage: Some(Damage::Size(size)),
        };
    };
    if stored.len() == size {
        return Unpacked {
            entries: stored,
            damage: None,
        };
    }
    // What an earlier row left must not be taken for what this one holds.
    buffer.clear();
    buffer.resize(size, 0);
    let unpacked = lz4_flex::block::decompress_into(stored, buffer);
    Unpacked {
        damage: (!unpacked.is_ok_and(|length| length == size)).then_some(Damage::Block),
        entries: buffer,
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "no row has {size} bytes of entries"),
            Self::Block => f.write_str("its packed bytes were changed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(entries: &[u8]) -> usize {
        let (mut packing, mut unpacking) = (Vec::new(), b"what was there".to_vec());
        let stored = pack(entries, &mut packing);
        let unpacked = unpack(stored, entries.len() as u64, &mut unpacking);
        assert_eq!((unpacked.entries, unpacked.damage), (entries, None));
        stored.len()
    }

    #[test]
    fn what_repeats_shrinks_and_what_does_not_stays_as_it_is() {
        let entry = br#"{"at":1795372605763984,"fact":{"desk":"granted"}}"#;
        assert!(check(&entry.repeat(256)) < entry.len() * 8);
        let noise: Vec<u8> = (0_u32..)
            .map_while(|n| u8::try_from(n * 167 % 257).ok())
            .take(200)
            .collect();
        assert_eq!(check(&noise), noise.len());
        assert_eq!(check(b""), 0);
    }

    #[test]
    fn a_size_that_no_row_has_allocates_nothing() {
        let mut buffer = Vec::new();
        let unpacked = unpack(b"abc", u64::MAX, &mut buffer);
        assert_eq!(unpacked.damage, Some(Damage::Size(u64::MAX)));
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn damage_leaves_what_stands_before_it() {
        let entries = b"one entry, one entry, one entry, and another entry, one entry, one entry".repeat(9);
        let (mut packing, mut unpacking) = (Vec::new(), Vec::new());
        let stored = pack(&entries, &mut packing);
        let cut = unpack(&stored[..stored.len() - 1], entries.len() as u64, &mut unpacking);
        assert_eq!(cut.damage, Some(Damage::Block));
        assert_eq!(cut.entries[..50], entries[..50]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_bytes_pack_and_unpack(
            entries in prop::collection::vec(prop_oneof![4 => Just(b'a'), 1 => any::<u8>()], 0..3000),
        ) {
            check(&entries);
        }

        #[test]
        fn any_stored_bytes_are_taken(stored in prop::collection::vec(any::<u8>(), 0..300), size in 0_u64..100_000) {
            let mut buffer = Vec::new();
            let unpacked = unpack(&stored, size, &mut buffer);
            prop_assert!(unpacked.damage.is_some() || unpacked.entries.len() as u64 == size);
        }
    }
}

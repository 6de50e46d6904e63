//! Tiles of a log: their paths and the framing of entry bundles (C2SP tlog-tiles v0.1.0, height 8).
//!
//! Hash tiles are `tile/<L>/<N>[.p/<W>]`, up to 256 hashes of 32 bytes; entry bundles `tile/entries/<N>[.p/<W>]`, up
//! to 256 entries, each behind its length in two bytes. A path has one spelling; parsing refuses all others.

use std::fmt;
use std::str::FromStr;

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// The highest level of a tile: 256^8 = 2^64 entries.
pub const LEVEL_MAX: u8 = 7;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of subtrees of 256^level entries.
    Hashes {
        level: u8,
    },
    Entries,
}

/// The place of one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    pub kind: TileKind,
    /// Tiles before it on its level.
    pub number: u64,
    /// Hashes or entries in it, 1..=256; fewer than 256 is a partial tile.
    pub width: u16,
}

/// The text is no path of a tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: expected `tile/<level or entries>/<number>` with an optional `.p/<width>`")]
pub struct TilePathError;

/// A bundle that cannot be cut into entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("entry {0} of the bundle ends beyond the bundle")]
    Cut(usize),
    #[error("the bundle holds more than 256 entries")]
    Wide,
}

/// Appends `entry` to a bundle; the caller checked that its length fits two bytes.
pub(crate) fn frame(bundle: &mut Vec<u8>, entry: &[u8]) {
    let [.., high, low] = entry.len().to_be_bytes();
    bundle.extend_from_slice(&[high, low]);
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle, in order.
pub fn entries(bundle: &[u8]) -> impl Iterator<Item = Result<&[u8], BundleError>> {
    let mut rest = bundle;
    let mut count = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if count == usize::from(TILE_WIDTH) {
            rest = &[];
            return Some(Err(BundleError::Wide));
        }
        let cut = rest
            .split_first_chunk::<2>()
            .and_then(|(length, tail)| tail.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((entry, tail)) = cut else {
            rest = &[];
            return Some(Err(BundleError::Cut(count)));
        };
        rest = tail;
        count += 1;
        Some(Ok(entry))
    })
}

/// Every tile of a log of `size` entries: full ones and the partial one of each level.
pub fn tiles(size: u64) -> impl Iterator<Item = TilePath> {
    let levels = (0..=LEVEL_MAX)
        .map(|level| TileKind::Hashes { level })
        .chain([TileKind::Entries]);
    levels.flat_map(move |kind| {
        let count = kind.count(size);
        let full = (0..count >> 8).map(move |number| TilePath {
            kind,
            number,
            width: TILE_WIDTH,
        });
        let partial = TilePath {
            kind,
            number: count >> 8,
            width: u16::from(low_byte(count)),
        };
        full.chain((partial.width > 0).then_some(partial))
    })
}

/// The lowest byte: how many hashes stand in the partial tile of a level with `count` hashes.
pub(crate) fn low_byte(count: u64) -> u8 {
    let [low, ..] = count.to_le_bytes();
    low
}

impl TileKind {
    /// Hashes (or entries) of this kind in a log of `size` entries.
    pub fn count(self, size: u64) -> u64 {
        match self {
            Self::Entries => size,
            Self::Hashes { level } => size.checked_shr(u32::from(level) * 8).unwrap_or(0),
        }
    }
}

impl TilePath {
    /// Where the tile's first hash (or entry) stands on its level.
    pub fn first(&self) -> u64 {
        self.number.saturating_mul(u64::from(TILE_WIDTH))
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let digits = self.number.to_string();
        let padded = format!("{}{digits}", "0".repeat((3 - digits.len() % 3) % 3));
        let groups: Vec<&str> = padded
            .as_bytes()
            .chunks(3)
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        for (at, group) in groups.iter().enumerate() {
            let lead = if at + 1 < groups.len() { "x" } else { "" };
            let end = if at + 1 < groups.len() { "/" } else { "" };
            write!(f, "{lead}{group}{end}")?;
        }
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes {
                level: level.parse().map_err(|_| TilePathError)?,
            },
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| TilePathError)?),
            None => (rest, TILE_WIDTH),
        };
        // 2^64 has 20 digits, so a number has at most 7 groups of 3 and their marks.
        let digits: String = number
            .chars()
            .filter(|c| !matches!(c, 'x' | '/'))
            .take(22)
            .collect();
        let path = Self {
            kind,
            number: digits.parse().map_err(|_| TilePathError)?,
            width,
        };
        let in_range = matches!(
            kind,
            TileKind::Entries | TileKind::Hashes { level: 0..=LEVEL_MAX }
        );
        // Writing it back settles every other question of spelling.
        if in_range && (1..=TILE_WIDTH).contains(&width) && path.to_string() == text {
            Ok(path)
        } else {
            Err(TilePathError)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_specification() {
        let hashes = |level, number, width| TilePath {
            kind: TileKind::Hashes { level },
            number,
            width,
        };
        for (path, text) in [
            (hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
            (hashes(0, 0, 256), "tile/0/000"),
            (hashes(1, 273, 112), "tile/1/273.p/112"),
            (hashes(7, 1_000, 1), "tile/7/x001/000.p/1"),
            (
                TilePath {
                    kind: TileKind::Entries,
                    number: 999,
                    width: 255,
                },
                "tile/entries/999.p/255",
            ),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/00/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000/",
            "tile/0/1234",
            "tile/0/x1/234",
            "tile/0/x99/x999/x999/x999/x999/x999/999",
            "/tile/0/000",
            "tile/entry/000",
            "tile/0/../000",
            "tile/data/000",
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(TilePathError), "{text}");
        }
    }

    #[test]
    fn tiles_of_sizes_around_the_edges() {
        let paths = |size| tiles(size).map(|path| path.to_string()).collect::<Vec<_>>();
        assert_eq!(paths(0), Vec::<String>::new());
        assert_eq!(paths(255), ["tile/0/000.p/255", "tile/entries/000.p/255"]);
        assert_eq!(paths(256), ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
        assert_eq!(
            paths(257),
            [
                "tile/0/000",
                "tile/0/001.p/1",
                "tile/1/000.p/1",
                "tile/entries/000",
                "tile/entries/001.p/1"
            ]
        );
        let many = paths(65_536);
        assert_eq!(many.len(), 256 + 1 + 1 + 256);
        assert!(many.contains(&"tile/1/000".to_owned()) && many.contains(&"tile/2/000.p/1".to_owned()));
    }

    proptest! {
        #[test]
        fn a_path_reads_back(level in 0..=LEVEL_MAX, number: u64, width in 1..=TILE_WIDTH, is_entries: bool) {
            let kind = if is_entries { TileKind::Entries } else { TileKind::Hashes { level } };
            let path = TilePath { kind, number, width };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn any_text_is_answered(text in "tile/[0-9a-z/.]{0,30}|.{0,40}") {
            if let Ok(path) = text.parse::<TilePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn a_bundle_reads_back(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=256)) {
            let mut bundle = Vec::new();
            for entry in &all {
                frame(&mut bundle, entry);
            }
            let read: Result<Vec<&[u8]>, _> = entries(&bundle).collect();
            prop_assert_eq!(read.unwrap(), all);
        }

        #[test]
        fn any_bundle_is_answered(bundle in prop::collection::vec(0..4_u8, 0..2000)) {
            prop_assert!(entries(&bundle).count() <= 257);
        }
    }
}

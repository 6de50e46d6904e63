//! Checks a model file in GGUF before a server is started on it.
//!
//! Walks the header, the metadata and the tensor table as the GGUF specification (ggml `docs/gguf.md`) and llama.cpp's
//! reader have them, and compares the length of the file with the end of its last tensor. A truncated download or
//! another kind of file is refused with a reason; weights themselves are not read.
//! Bounds: reads forward only, holds one key and one short string at a time; work is linear in the length of the file
//! because every count is checked against the bytes that are left.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// What the header of a model file says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GgufInfo {
    pub(crate) version: u32,
    pub(crate) tensors: u64,
    pub(crate) metadata: u64,
    /// `general.architecture`, such as `llama`.
    pub(crate) architecture: Option<String>,
    /// `general.name`, as its maker wrote it.
    pub(crate) name: Option<String>,
    /// Tokens that the model was trained to attend to.
    pub(crate) context_tokens: Option<u64>,
    /// Length of the file, bytes.
    pub(crate) file_bytes: u64,
}

/// Why a model file is refused; reads after "failed to use the model file".
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub(crate) struct GgufError {
    pub(crate) path: PathBuf,
    pub(crate) problem: Problem,
}

/// What is wrong with a model file.
#[derive(Debug, Error)]
pub(crate) enum Problem {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is a folder, not a file")]
    Folder,
    #[error("is empty")]
    Blank,
    #[error("is not a GGUF file: it begins with {0:02x?}, a GGUF begins with {gguf:02x?} (\"GGUF\")", gguf = MAGIC)]
    Magic(Vec<u8>),
    #[error("has GGUF version {0}; versions 2 and 3 are supported")]
    Version(u32),
    #[error("is truncated: it ends at byte {len}, in {part}")]
    Truncated { part: &'static str, len: u64 },
    #[error("is truncated: it has {len} bytes, its tensors need {needed}")]
    Short { len: u64, needed: u64 },
    #[error("is damaged at byte {at}: {what}")]
    Damaged { at: u64, what: String },
    #[error("holds no tensors, so there is no model in it")]
    Empty,
}

/// Reads the header of the file and checks that the file holds all its tensors.
pub(crate) fn check(path: &Path) -> Result<GgufInfo, GgufError> {
    open(path).map_err(|problem| GgufError {
        path: path.to_path_buf(),
        problem,
    })
}

/// As [`check`], over bytes that are already open; `len` is how many there are.
pub(crate) fn check_reader(reader: impl BufRead, len: u64) -> Result<GgufInfo, Problem> {
    let mut walk = Walk { reader, at: 0, len };
    let (version, tensors, metadata) = walk.header()?;
    let mut info = GgufInfo {
        version,
        tensors,
        metadata,
        architecture: None,
        name: None,
        context_tokens: None,
        file_bytes: len,
    };
    let mut alignment = ALIGNMENT_DEFAULT;
    for _ in 0..metadata {
        walk.entry(&mut info, &mut alignment)?;
    }
    let mut end = 0;
    for _ in 0..tensors {
        end = end.max(walk.tensor(alignment)?);
    }
    let needed = walk.at.next_multiple_of(alignment).saturating_add(end);
    if len < needed {
        Err(Problem::Short { len, needed })
    } else {
        Ok(info)
    }
}

fn open(path: &Path) -> Result<GgufInfo, Problem> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(Problem::Folder);
    }
    check_reader(BufReader::with_capacity(READ_BYTES, file), about.len())
}

struct Walk<R> {
    reader: R,
    at: u64,
    len: u64,
}

impl<R: BufRead> Walk<R> {
    fn header(&mut self) -> Result<(u32, u64, u64), Problem> {
        let magic = self.magic()?;
        if magic.is_empty() {
            return Err(Problem::Blank);
        }
        if magic != *MAGIC {
            return Err(Problem::Magic(magic));
        }
        let version = self.u32(HEADER)?;
        // A file for a big-endian machine has the same magic, but its version reads as a huge number.
        if !(2..=3).contains(&version) {
            return Err(Problem::Version(version));
        }
        let tensors = self.count(HEADER, TENSOR_BYTES_MIN)?;
        let metadata = self.count(HEADER, ENTRY_BYTES_MIN)?;
        if tensors == 0 {
            return Err(Problem::Empty);
        }
        Ok((version, tensors, metadata))
    }

    /// The first four bytes, or all there are.
    fn magic(&mut self) -> Result<Vec<u8>, Problem> {
        let mut magic = Vec::with_capacity(4);
        let read = self.reader.by_ref().take(4).read_to_end(&mut magic)?;
        self.at = read as u64;
        Ok(magic)
    }

    fn entry(&mut self, info: &mut GgufInfo, alignment: &mut u64) -> Result<(), Problem> {
        let key = self.text(METADATA, KEY_BYTES_MAX)?;
        let kind = self.u32(METADATA)?;
        match (key.as_str(), kind) {
            ("general.architecture", KIND_TEXT) => {
                info.architecture = Some(self.text(METADATA, NAME_BYTES_MAX)?);
            }
            ("general.name", KIND_TEXT) => info.name = Some(self.text(METADATA, NAME_BYTES_MAX)?),
            ("general.alignment", KIND_U32) => {
                let value = u64::from(self.u32(METADATA)?);
                if !value.is_power_of_two() {
                    return self.damaged(format!("the alignment is {value}, not a power of two"));
                }
                *alignment = value;
            }
            (_, KIND_U32) if key.ends_with(".context_length") => {
                info.context_tokens = Some(u64::from(self.u32(METADATA)?));
            }
            _ => self.skip_value(kind)?,
        }
        Ok(())
    }

    fn skip_value(&mut self, kind: u32) -> Result<(), Problem> {
        match (kind, kind_bytes(kind)) {
            (_, Some(bytes)) => self.skip(METADATA, bytes),
            (KIND_TEXT, _) => self.skip_text(),
            (KIND_LIST, _) => self.skip_list(),
            _ => self.damaged(format!("value type {kind} does not exist")),
        }
    }

    fn skip_list(&mut self) -> Result<(), Problem> {
        let kind = self.u32(METADATA)?;
        if let Some(bytes) = kind_bytes(kind) {
            let count = self.count(METADATA, bytes)?;
            // `count` bounded the product by the bytes that are left.
            return self.skip(METADATA, count.saturating_mul(bytes));
        }
        // llama.cpp reads no lists of lists either.
        if kind != KIND_TEXT {
            return self.damaged(format!("a list of value type {kind}"));
        }
        for _ in 0..self.count(METADATA, COUNT_BYTES)? {
            self.skip_text()?;
        }
        Ok(())
    }

    /// Reads one row of the tensor table; returns where the tensor ends, counted from the first tensor's start.
    fn tensor(&mut self, alignment: u64) -> Result<u64, Problem> {
        let name = self.text(TENSORS, NAME_BYTES_MAX)?;
        let axes = self.u32(TENSORS)?;
        if axes > AXES_MAX {
            return self.damaged(format!(
                "tensor {name:?} has {axes} axes, at most {AXES_MAX} exist"
            ));
        }
        let mut row = 1;
        let mut rows: u64 = 1;
        for axis in 0..axes {
            let extent = self.u64(TENSORS)?;
            match axis {
                0 => row = extent,
                _ => rows = rows.saturating_mul(extent),
            }
        }
        let kind = self.u32(TENSORS)?;
        let offset = self.u64(TENSORS)?;
        if !offset.is_multiple_of(alignment) {
            return self.damaged(format!(
                "tensor {name:?} begins at {offset}, not at a multiple of {alignment}"
            ));
        }
        // A tensor type newer than this table is left to the server; its start is checked all the same.
        let Some((block, bytes)) = tensor_block(kind) else {
            return Ok(offset);
        };
        if !row.is_multiple_of(block) {
            return self.damaged(format!(
                "rows of tensor {name:?} have {row} values, not a multiple of {block}"
            ));
        }
        Ok((row / block)
            .saturating_mul(bytes)
            .saturating_mul(rows)
            .saturating_add(offset))
    }

    /// A count of things that take at least `each` bytes, and so cannot be more than the rest of the file holds.
    fn count(&mut self, part: &'static str, each: u64) -> Result<u64, Problem> {
        let count = self.u64(part)?;
        if count > self.len.saturating_sub(self.at) / each {
            return Err(Problem::Truncated { part, len: self.len });
        }
        Ok(count)
    }

    fn text(&mut self, part: &'static str, bytes_max: u64) -> Result<String, Problem> {
        let bytes = self.count(part, 1)?;
        if bytes > bytes_max {
            return self.damaged(format!(
                "a text of {bytes} bytes where at most {bytes_max} are allowed"
            ));
        }
        let mut text = Vec::new();
        let read = self.reader.by_ref().take(bytes).read_to_end(&mut text)? as u64;
        self.at += read;
        if read < bytes {
            return Err(Problem::Truncated { part, len: self.len });
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn skip_text(&mut self) -> Result<(), Problem> {
        let bytes = self.count(METADATA, 1)?;
        self.skip(METADATA, bytes)
    }

    fn skip(&mut self, part: &'static str, bytes: u64) -> Result<(), Problem> {
        let skipped = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())?;
        self.at += skipped;
        if skipped < bytes {
            Err(Problem::Truncated { part, len: self.len })
        } else {
            Ok(())
        }
    }

    fn u32(&mut self, part: &'static str) -> Result<u32, Problem> {
        let mut bytes = [0; 4];
        self.exact(part, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self, part: &'static str) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        self.exact(part, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn exact(&mut self, part: &'static str, bytes: &mut [u8]) -> Result<(), Problem> {
        self.reader
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Problem::Truncated { part, len: self.len },
                _ => Problem::Read(error),
            })?;
        // A file that grows while it is read yields more than `len` bytes; `at` stays within it.
        self.at = (self.at + bytes.len() as u64).min(self.len);
        Ok(())
    }

    fn damaged<T>(&self, what: String) -> Result<T, Problem> {
        Err(Problem::Damaged { at: self.at, what })
    }
}

/// Bytes of one metadata value of fixed size, by its type number.
fn kind_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Values in one block of a tensor type and the bytes that the block takes (ggml `type_traits`).
fn tensor_block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        39 => (32, 17),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        _ => return None,
    })
}

const MAGIC: &[u8; 4] = b"GGUF";
const HEADER: &str = "the header";
const METADATA: &str = "the metadata";
const TENSORS: &str = "the tensor table";

const KIND_U32: u32 = 4;
const KIND_TEXT: u32 = 8;
const KIND_LIST: u32 = 9;

/// A length or count.
const COUNT_BYTES: u64 = 8;
/// A key of no bytes (8), its type (4), a value of one byte.
const ENTRY_BYTES_MIN: u64 = 13;
/// A name of no bytes (8), no axes (4), the type (4), the offset (8).
const TENSOR_BYTES_MIN: u64 = 24;
/// The specification's limit of a key.
const KEY_BYTES_MAX: u64 = 65_535;
/// Names that we keep or report; llama.cpp's own limit for tensors is 64.
const NAME_BYTES_MAX: u64 = 4_096;
const AXES_MAX: u32 = 4;
const ALIGNMENT_DEFAULT: u64 = 32;
/// Large enough that a vocabulary of 50,000 short texts (about 1.5 MB) takes two dozen reads.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    /// A file with every kind of metadata value and two tensors, ending where its last tensor ends.
    fn synthetic() -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        out.extend(17_u64.to_le_bytes());
        for (key, value) in [
            ("general.architecture", "llama"),
            ("general.name", "Tiny"),
            ("x.y", "ü"),
        ] {
            text(&mut out, key);
            out.extend(KIND_TEXT.to_le_bytes());
            text(&mut out, value);
        }
        for (key, value) in [("general.alignment", 64_u32), ("llama.context_length", 8192)] {
            text(&mut out, key);
            out.extend(KIND_U32.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        for kind in [0_u32, 1, 2, 3, 5, 6, 7, 10, 11, 12] {
            text(&mut out, "k");
            out.extend(kind.to_le_bytes());
            out.extend(vec![1; usize::try_from(kind_bytes(kind).unwrap()).unwrap()]);
        }
        text(&mut out, "tokens");
        out.extend(KIND_LIST.to_le_bytes());
        out.extend(KIND_TEXT.to_le_bytes());
        out.extend(2_u64.to_le_bytes());
        text(&mut out, "a");
        text(&mut out, "bc");
        text(&mut out, "scores");
        out.extend(KIND_LIST.to_le_bytes());
        out.extend(6_u32.to_le_bytes());
        out.extend(3_u64.to_le_bytes());
        out.extend([0; 12]);
        tensor(&mut out, "a", &[32, 2], 3, 0);
        tensor(&mut out, "b", &[5], 0, 64);
        out.resize(out.len().next_multiple_of(64) + 64 + 20, 0);
        out
    }

    fn tensor(out: &mut Vec<u8>, name: &str, axes: &[u64], kind: u32, offset: u64) {
        text(out, name);
        out.extend(u32::try_from(axes.len()).unwrap().to_le_bytes());
        for axis in axes {
            out.extend(axis.to_le_bytes());
        }
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }

    fn check_bytes(bytes: &[u8]) -> Result<GgufInfo, Problem> {
        check_reader(bytes, bytes.len() as u64)
    }

    #[test]
    fn whole_file_is_described() {
        let bytes = synthetic();
        let info = check_bytes(&bytes).unwrap();
        assert_eq!(
            info,
            GgufInfo {
                version: 3,
                tensors: 2,
                metadata: 17,
                architecture: Some("llama".to_owned()),
                name: Some("Tiny".to_owned()),
                context_tokens: Some(8192),
                file_bytes: bytes.len() as u64,
            }
        );
    }

    #[test]
    fn every_prefix_is_refused() {
        let bytes = synthetic();
        for len in 0..bytes.len() {
            let problem = check_bytes(&bytes[..len]).unwrap_err();
            let expected = match len {
                0 => matches!(problem, Problem::Blank),
                1..4 => matches!(problem, Problem::Magic(_)),
                _ => matches!(problem, Problem::Truncated { .. } | Problem::Short { .. }),
            };
            assert!(expected, "prefix of {len} bytes: {problem}");
        }
    }

    /// The table of problems, each with the words that the user reads.
    #[test]
    fn problems_are_named() {
        let with = |at: usize, patch: &[u8]| {
            let mut bytes = synthetic();
            bytes[at..at + patch.len()].copy_from_slice(patch);
            check_bytes(&bytes).unwrap_err().to_string()
        };
        let find = |needle: &[u8]| {
            synthetic()
                .windows(needle.len())
                .position(|window| window == needle)
                .unwrap()
        };
        let alignment = find(b"general.alignment") + 17;
        insta::assert_snapshot!(
            [
                with(0, b"PK\x03\x04"),
                with(4, &1_u32.to_le_bytes()),
                with(4, &3_u32.to_be_bytes()),
                with(8, &0_u64.to_le_bytes()),
                with(8, &u64::MAX.to_le_bytes()),
                with(alignment + 4, &48_u32.to_le_bytes()),
                with(alignment, &99_u32.to_le_bytes()),
                with(24, &70_000_u64.to_le_bytes()),
            ]
            .join("\n")
        );
    }

    #[test]
    fn folder_and_missing_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            check(folder.path()).unwrap_err().problem,
            Problem::Folder
        ));
        assert!(matches!(
            check(&folder.path().join("none")).unwrap_err().problem,
            Problem::Read(_)
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _outcome = check_bytes(&bytes);
            let mut headed = b"GGUF\x03\0\0\0".to_vec();
            headed.extend(bytes);
            let _outcome = check_bytes(&headed);
        }

        /// Any one byte may be wrong: never a panic, and never a file said to hold more than it does.
        #[test]
        fn flipped_bytes_never_panic(at in 0_usize..700, value in any::<u8>(), len in any::<u64>()) {
            let mut bytes = synthetic();
            let at = at % bytes.len();
            bytes[at] = value;
            let _outcome = check_bytes(&bytes);
            // The length that the file system reports may be a lie, or out of date.
            let _outcome = check_reader(bytes.as_slice(), len);
        }
    }
}

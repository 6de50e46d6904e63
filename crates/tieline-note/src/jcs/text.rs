//! JSON strings: escaping as RFC 8785 section 3.2.2.2 wants it, and the order of keys.
//!
//! Most texts of a record are shorter than a vector register. Those are put together with their quotes in one [`Word`]
//! and appended at once: looking at a byte, escaping it and calling for a copy of a few bytes cost more than all else.

use std::cmp::Ordering;

/// Up to 16 bytes, the first lowest; zeros behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    bytes: u128,
    length: usize,
}

/// What a text has beside its quotes and, as a name, the comma before and the colon behind it.
const QUOTES: usize = 2;
const FIELD: usize = 4;

// === impl Word ===

#[expect(
    clippy::inline_always,
    reason = "the names of fields are constants: inlined, all of this is done by the compiler"
)]
impl Word {
    /// The bytes; nothing if there are more than 16.
    #[inline(always)]
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        Self::checked(bytes).map(|(word, _)| word)
    }

    /// The name of a field that orders as it reads: ASCII, nothing to be escaped, and short enough for what
    /// [`Word::field`] puts around it.
    #[inline(always)]
    pub(super) fn name(name: &str) -> Option<Self> {
        const NO_ASCII: u128 = (u128::MAX / 255) << 7;
        match Self::checked(name.as_bytes()) {
            Some((word, true)) if word.length <= 16 - FIELD && word.bytes & NO_ASCII == 0 => Some(word),
            _ => None,
        }
    }

    /// `"name":`, behind a comma if it is not the first.
    #[inline(always)]
    pub(super) fn field(self, is_first: bool) -> Self {
        let behind = 0x3A22_u128 << (8 * self.length);
        let quoted = (self.bytes | behind) << 8 | 0x22;
        if is_first {
            Self {
                bytes: quoted,
                length: self.length + FIELD - 1,
            }
        } else {
            Self {
                bytes: quoted << 8 | 0x2C,
                length: self.length + FIELD,
            }
        }
    }

    /// How names compare: zeros behind a shorter one are lower than any byte of a name.
    #[inline(always)]
    pub(super) fn compare(self, other: Self) -> Ordering {
        self.bytes.swap_bytes().cmp(&other.bytes.swap_bytes())
    }

    /// Appends the bytes: a copy of 16 that are cut to the length is two stores, one of unknown length a call.
    #[inline(always)]
    pub(super) fn append(self, out: &mut Vec<u8>) {
        let end = out.len() + self.length;
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.truncate(end);
    }

    /// The bytes, and whether none of them must be escaped.
    #[inline(always)]
    fn checked(bytes: &[u8]) -> Option<(Self, bool)> {
        let length = bytes.len();
        // The last eight (or four) may overlap the first: equal bits fall on each other.
        let (bytes, is_plain) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) if length <= 16 => {
                let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
                let is_plain = !(any_escape(first) | any_escape(last));
                (
                    u128::from(first) | u128::from(last) << (8 * (length - 8)),
                    is_plain,
                )
            }
            (Some(_), _) | (_, Some(_)) => return None,
            (None, None) => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
                    let is_plain = !any_escape(u64::from(first) << 32 | u64::from(last));
                    (
                        u128::from(first) | u128::from(last) << (8 * (length - 4)),
                        is_plain,
                    )
                }
                _ => match *bytes {
                    [] => (0, true),
                    [a] => (u128::from(a), !must_escape(a)),
                    [a, b] => (
                        u128::from(u16::from_le_bytes([a, b])),
                        !(must_escape(a) | must_escape(b)),
                    ),
                    [a, b, c, ..] => (
                        u128::from(u32::from_le_bytes([a, b, c, 0])),
                        !(must_escape(a) | must_escape(b) | must_escape(c)),
                    ),
                },
            },
        };
        Some((Self { bytes, length }, is_plain))
    }
}

// === texts ===

/// Appends `text` as a JSON string, quotes included.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    match Word::checked(text.as_bytes()) {
        Some((Word { bytes, length }, true)) if length <= 16 - QUOTES => {
            let bytes = (bytes | 0x22_u128 << (8 * length)) << 8 | 0x22;
            let length = length + QUOTES;
            Word { bytes, length }.append(out);
        }
        _ => write_long(out, text.as_bytes()),
    }
}

/// The same for a text of any length.
#[inline(never)]
pub(super) fn write_long(out: &mut Vec<u8>, bytes: &[u8]) {
    // Room for the quotes, a comma or a colon, and the word of a number or a name behind it.
    out.reserve(bytes.len() + 32);
    out.push(b'"');
    write_inner(out, bytes);
    out.push(b'"');
}

/// Appends the escaped form of `bytes`, a piece of UTF-8 that was not cut inside a character.
pub(super) fn write_inner(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| must_escape(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, tail)) = tail.split_first() else {
            return;
        };
        write_escape(out, byte);
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// Compares two keys by their UTF-16 code units (RFC 8785 section 3.2.3), given as UTF-8.
///
/// The two orders differ in one place only: characters beyond U+FFFF become surrogates, which sort before
/// U+E000..U+FFFF. Those have the lead bytes EE and EF, so lifting these two above F4 makes byte order agree.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |byte: u8| {
        if matches!(byte, 0xEE | 0xEF) {
            byte | 0x10
        } else {
            byte
        }
    };
    // The first difference decides, for `rank` is one to one.
    match left.iter().zip(right).find(|(left, right)| left != right) {
        Some((&left, &right)) => rank(left).cmp(&rank(right)),
        None => left.len().cmp(&right.len()),
    }
}

/// Whether nothing must be escaped, as in most texts. Bytes are looked at eight at a time; the last eight may overlap
/// those before.
fn is_plain(bytes: &[u8]) -> bool {
    let (eights, _) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        Some(last) => {
            !any_escape(u64::from_le_bytes(*last))
                && !eights.iter().any(|eight| any_escape(u64::from_le_bytes(*eight)))
        }
        None => !bytes.iter().any(|&byte| must_escape(byte)),
    }
}

/// Whether one of eight bytes must be escaped: a byte is below `n` (at most 128) if subtracting `n` sets its highest bit,
/// which was not set before; a borrow reaches the next byte only from one that is below.
const fn any_escape(eight: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST: u64 = ONES << 7;
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    let quote = eight ^ (ONES * b'"' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = eight ^ (ONES * b'\\' as u64);
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGHEST != 0
}

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            let digit = byte & 15;
            let low = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

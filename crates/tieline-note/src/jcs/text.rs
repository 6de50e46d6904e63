//! JSON strings: escaping as RFC 8785 section 3.2.2.2 wants it, and the order of keys.

use std::cmp::Ordering;

/// Appends `text` as a JSON string, quotes included.
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_inner(out, text.as_bytes());
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
    if let Some(last) = bytes.last_chunk::<8>() {
        return !any_escape(u64::from_le_bytes(*last))
            && !eights.iter().any(|eight| any_escape(u64::from_le_bytes(*eight)));
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let both = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
            !any_escape(both)
        }
        _ => !bytes.iter().any(|&byte| must_escape(byte)),
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

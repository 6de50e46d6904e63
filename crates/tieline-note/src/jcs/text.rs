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
    left.iter()
        .copied()
        .map(rank)
        .cmp(right.iter().copied().map(rank))
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

//! A JSON string as it stands in the document, read only when somebody asks, and the way back: text to JSON string.

use std::borrow::Cow;

/// The bytes between the quotes of a JSON string whose escapes have been checked for form.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    pub(crate) escaped: bool,
    pub(crate) raw: &'a [u8],
}

impl<'a> Text<'a> {
    /// Whether it is the empty string.
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// Whether it spells exactly `name`, escapes considered.
    #[inline]
    pub fn is(self, name: &str) -> bool {
        if self.escaped {
            self.read().is_some_and(|t| t == name)
        } else {
            self.raw == name.as_bytes()
        }
    }

    /// The text. `None` if it holds half of a surrogate pair (`"\ud800"`): JSON's grammar allows it, Unicode does not.
    pub fn read(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return std::str::from_utf8(self.raw).ok().map(Cow::Borrowed);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            let (plain, tail) = rest.split_at_checked(at)?;
            out.extend_from_slice(plain);
            rest = unescape(tail, &mut out)?;
        }
        out.extend_from_slice(rest);
        String::from_utf8(out).ok().map(Cow::Owned)
    }
}

/// Appends `text` to `out` as a JSON string with its quotes.
pub fn quote_into(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend([other >> 4, other & 15].map(|d| if d < 10 { b'0' + d } else { b'a' + d - 10 }));
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Reads one escape at the start of `bytes`; returns what follows it.
fn unescape<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let [b'\\', kind, rest @ ..] = bytes else {
        return None;
    };
    let plain = match kind {
        b'"' | b'\\' | b'/' => *kind,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unescape_unicode(rest, out),
        _ => return None,
    };
    out.push(plain);
    Some(rest)
}

fn unescape_unicode<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, rest) = hex4(bytes)?;
    let (scalar, rest) = match first {
        0xd800..=0xdbff => {
            let [b'\\', b'u', rest @ ..] = rest else {
                return None;
            };
            let (second, rest) = hex4(rest)?;
            let low = second.checked_sub(0xdc00).filter(|l| *l < 0x400)?;
            (0x1_0000 + ((first - 0xd800) << 10) + low, rest)
        }
        _ => (first, rest),
    };
    let char = char::from_u32(scalar)?;
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

fn hex4(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Option<String> {
        Text {
            escaped: raw.contains('\\'),
            raw: raw.as_bytes(),
        }
        .read()
        .map(Cow::into_owned)
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(read(r"a\u0062\n\/\\").as_deref(), Some("ab\n/\\"));
        assert_eq!(read(r"\ud83d\ude00").as_deref(), Some("😀"));
        assert_eq!(read(r"\ud83d"), None);
        assert_eq!(read(r"\ude00\ud83d"), None);
        assert_eq!(read(r"\ud83d\u0041"), None);
    }

    #[test]
    fn quoting_is_what_serde_json_reads() {
        for text in ["", "plain", "q\"b\\n\n\r\t\u{1}\u{1f}\u{8}é😀"] {
            let mut out = Vec::new();
            quote_into(text, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}

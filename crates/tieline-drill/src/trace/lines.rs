//! Lines of a file that comes in pieces of any size: without their ends, without a byte order mark, none of them longer
//! than a limit.

use memchr::memchr;

/// Bytes of a line: a prompt of a million tokens has 2,000 blocks of prefix, 20 KB of JSON; fifty times that is enough.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Splits bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Lines that have ended.
    ended: u64,
    is_too_long: bool,
}

/// A line, with its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(u64, &'a [u8]),
    /// Its beginning.
    TooLong(u64, &'a [u8]),
}

impl Lines {
    pub(super) fn feed(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            if self.partial.is_empty() && !self.is_too_long && line.len() <= LINE_BYTES_MAX {
                self.ended += 1;
                each(Line::Text(self.ended, trimmed(line, self.ended)));
            } else {
                self.keep(line);
                self.end(each);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    /// The last line, if it has no end.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        if !self.partial.is_empty() || self.is_too_long {
            self.end(each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.partial.len();
        match bytes.get(..room) {
            Some(fits) if fits.len() < bytes.len() => {
                self.partial.extend_from_slice(fits);
                self.is_too_long = true;
            }
            _ => self.partial.extend_from_slice(bytes),
        }
    }

    fn end(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        self.ended += 1;
        let line = trimmed(&self.partial, self.ended);
        each(if self.is_too_long {
            Line::TooLong(self.ended, line)
        } else {
            Line::Text(self.ended, line)
        });
        self.partial.clear();
        self.is_too_long = false;
    }
}

/// The line without a carriage return at its end; the first one without a byte order mark.
fn trimmed(line: &[u8], number: u64) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) if number == 1 => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<(u64, Vec<u8>, bool)> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut each = |line: Line<'_>| match line {
            Line::Text(number, text) => seen.push((number, text.to_vec(), false)),
            Line::TooLong(number, text) => seen.push((number, text.to_vec(), true)),
        };
        for part in parts {
            lines.feed(part, &mut each);
        }
        lines.finish(&mut each);
        seen
    }

    #[test]
    fn ends_marks_and_length_are_dealt_with() {
        let seen = lines(&[b"\xef\xbb\xbfa\r\nb\n\n\xef\xbb\xbfc"]);
        let texts: Vec<&[u8]> = seen.iter().map(|(_, text, _)| text.as_slice()).collect();
        assert_eq!(texts, [&b"a"[..], b"b", b"", b"\xef\xbb\xbfc"]);
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let seen = lines(&[b"a\n", &long, b"yz\nb\n", &long[1..]]);
        let shape: Vec<_> = seen
            .iter()
            .map(|(number, text, long)| (*number, text.len(), *long))
            .collect();
        assert_eq!(
            shape,
            [
                (1, 1, false),
                (2, LINE_BYTES_MAX, true),
                (3, 1, false),
                (4, LINE_BYTES_MAX, false)
            ]
        );
        assert!(lines(&[]).is_empty() && lines(&[b""]).is_empty());
    }

    proptest! {
        #[test]
        fn how_bytes_are_split_does_not_matter(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..64),
            at in 0_usize..64,
        ) {
            let whole = lines(&[&bytes]);
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(&lines(&[left, right]), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&lines(&single), &whole);
        }
    }
}

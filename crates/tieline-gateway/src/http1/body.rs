//! The body of an answer: a known length, chunks, or all until the connection ends (RFC 9112, sections 6 and 7).

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::Malformed;

/// Bytes of a body that are neither data nor the size of a chunk: extensions and trailers, which nobody uses.
const EXTRA_BYTES_MAX: u32 = 16 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked(Chunks),
    /// It ends with the connection.
    Close,
    /// Bytes that are still to come.
    Length(u64),
}

/// Where in a chunked body the next byte stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    extra_bytes: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Data {
        left: u64,
    },
    /// Before the CR, then the LF, behind the data of a chunk.
    DataEnd {
        cr: bool,
    },
    Done,
    /// Behind the size, until CR.
    Extension {
        size: u64,
    },
    /// LF behind the size.
    SizeEnd {
        size: u64,
    },
    /// The digits of the size, of which there must be one.
    Size {
        digits: u8,
        size: u64,
    },
    /// Lines behind the last chunk, until an empty one.
    Trailer {
        cr: bool,
        is_empty: bool,
    },
}

/// What a buffer holds of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Data(Bytes),
    End,
    More,
}

impl Framing {
    pub(super) const fn length(length: u64) -> Self {
        Self::Length(length)
    }

    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunks {
            extra_bytes: 0,
            place: Place::Size { digits: 0, size: 0 },
        })
    }

    /// Takes from the front of `buffer` what is of this body; the data of several chunks as one piece.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Taken, Malformed> {
        match self {
            Self::Length(0) => Ok(Taken::End),
            _ if buffer.is_empty() => Ok(if self.has_ended() { Taken::End } else { Taken::More }),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= count as u64;
                Ok(Taken::Data(buffer.split_to(count).freeze()))
            }
            Self::Close => Ok(Taken::Data(buffer.split().freeze())),
            Self::Chunked(chunks) => chunks.take(buffer),
        }
    }

    /// Whether all of the body was taken.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(
            self,
            Self::Length(0)
                | Self::Chunked(Chunks {
                    place: Place::Done,
                    ..
                })
        )
    }

    /// Whether the end of the connection is the end of the body.
    pub(super) const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::Close)
    }
}

// === impl Chunks ===

impl Chunks {
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Taken, Malformed> {
        let mut data: SmallVec<[Range<usize>; 16]> = SmallVec::new();
        let mut at = 0;
        while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.place {
                Place::Done => break,
                Place::Data { left } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.place = Place::DataEnd { cr: true };
                    }
                    data.push(at..at + count);
                    at += count;
                }
                _ => {
                    let byte = rest.first().copied().unwrap_or_default();
                    self.place = self.framing_byte(byte)?;
                    at += 1;
                }
            }
        }
        let taken = buffer.split_to(at).freeze();
        Ok(match data.as_slice() {
            [] if self.place == Place::Done => Taken::End,
            [] => Taken::More,
            [one] => Taken::Data(taken.slice(one.clone())),
            several => {
                let mut joined = Vec::with_capacity(several.iter().map(Range::len).sum());
                for range in several {
                    joined.extend_from_slice(taken.get(range.clone()).unwrap_or_default());
                }
                Taken::Data(joined.into())
            }
        })
    }

    fn framing_byte(&mut self, byte: u8) -> Result<Place, Malformed> {
        const NEW_LINE: Place = Place::Trailer {
            cr: false,
            is_empty: true,
        };
        let place = match (self.place, byte) {
            (Place::Size { digits: 1.., size } | Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Size { digits: 1.., size }, b';' | b' ' | b'\t') => Place::Extension { size },
            (Place::Size { digits, size }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                let size = size.checked_mul(16).ok_or(Malformed)? + u64::from(digit);
                Place::Size {
                    digits: digits.saturating_add(1),
                    size,
                }
            }
            (
                Place::SizeEnd { size: 0 }
                | Place::Trailer {
                    cr: true,
                    is_empty: false,
                },
                b'\n',
            ) => NEW_LINE,
            (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
            (Place::DataEnd { cr: true }, b'\r') => Place::DataEnd { cr: false },
            (Place::DataEnd { cr: false }, b'\n') => Place::Size { digits: 0, size: 0 },
            (
                Place::Trailer {
                    cr: true,
                    is_empty: true,
                },
                b'\n',
            ) => Place::Done,
            (Place::Trailer { cr: false, is_empty }, b'\r') => Place::Trailer { cr: true, is_empty },
            (Place::Extension { .. } | Place::Trailer { cr: false, .. }, b'\n') => return Err(Malformed),
            (place @ Place::Extension { .. }, _) => self.extra(place)?,
            (Place::Trailer { cr: false, .. }, _) => self.extra(Place::Trailer {
                cr: false,
                is_empty: false,
            })?,
            _ => return Err(Malformed),
        };
        Ok(place)
    }

    fn extra(&mut self, place: Place) -> Result<Place, Malformed> {
        self.extra_bytes += 1;
        if self.extra_bytes > EXTRA_BYTES_MAX {
            Err(Malformed)
        } else {
            Ok(place)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `pieces` one after another; all data, and what is left behind the end.
    fn read(mut framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), Malformed> {
        let (mut buffer, mut data) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Taken::Data(bytes) = framing.take(&mut buffer)? {
                assert!(!bytes.is_empty());
                data.extend_from_slice(&bytes);
            }
        }
        Ok((data, buffer.to_vec(), framing.has_ended()))
    }

    fn check(text: &str, expected: Result<(&str, &str, bool), Malformed>) {
        let expected =
            expected.map(|(data, rest, done)| (data.as_bytes().to_vec(), rest.as_bytes().to_vec(), done));
        assert_eq!(read(Framing::chunked(), &[text.as_bytes()]), expected, "{text:?}");
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        check(
            "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP",
            Ok(("abc0123456789", "HTTP", true)),
        );
        check(
            "003;name=\"v\"\r\nabc\r\n0\r\nx: y\r\nz:\r\n\r\n",
            Ok(("abc", "", true)),
        );
        check("3 \r\nab", Ok(("ab", "", false)));
        check("0\r\n\r\n", Ok(("", "", true)));
        for wrong in [
            "\r\n",
            "x",
            "3\nabc",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3\r\nabc0\r\n",
            "0\r\n\n",
            "3;a\n",
            "0\r\nx\n",
        ] {
            check(wrong, Err(Malformed));
        }
        check("10000000000000000\r\n", Err(Malformed));
        check(
            &format!("1;{}", "x".repeat(EXTRA_BYTES_MAX as usize + 1)),
            Err(Malformed),
        );
        check(
            &format!("0\r\n{}", "x: y\r\n".repeat(EXTRA_BYTES_MAX as usize / 4 + 1)),
            Err(Malformed),
        );
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let ends = |text: &str, data: &str, rest: &str, done| {
            let expected = Ok((data.as_bytes().to_vec(), rest.as_bytes().to_vec(), done));
            assert_eq!(read(Framing::length(3), &[text.as_bytes()]), expected);
        };
        ends("ab", "ab", "", false);
        ends("abcd", "abc", "d", true);
        assert_eq!(
            read(Framing::length(0), &[b"x"]),
            Ok((vec![], b"x".to_vec(), true))
        );
        assert_eq!(
            read(Framing::Close, &[b"x", b"y"]),
            Ok((b"xy".to_vec(), vec![], false))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn cuts_make_no_difference(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in proptest::collection::vec(1..20_usize, 1..60),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (mut pieces, mut rest) = (Vec::new(), wire.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = tail;
            }
            prop_assert_eq!(read(Framing::chunked(), &pieces), Ok((chunks.concat(), vec![], true)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let whole = read(Framing::chunked(), &[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let one_by_one = read(Framing::chunked(), &single);
            prop_assert_eq!(whole.is_err(), one_by_one.is_err());
            if let (Ok(whole), Ok(one_by_one)) = (whole, one_by_one) {
                prop_assert_eq!(whole, one_by_one);
            }
        }
    }
}

//! Reads an HTTP/1.1 answer as far as is needed to know where it ends: status, Content-Length or chunks.
//!
//! Contract: bytes in any pieces; no allocation; anything unexpected is [`Fault::Malformed`].

use memchr::memmem::Finder;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Status(u16),
    Write,
    Incomplete,
    Malformed,
    NoLastEvent,
}

pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

impl Head {
    /// The head and its length, or `None` while bytes are missing.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        thread_local!(static HEAD_END: Finder<'static> = Finder::new(b"\r\n\r\n"));
        let Some(end) = HEAD_END.with(|finder| finder.find(bytes)) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| Fault::Malformed)?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let mut head = Self {
            status: status.ok_or(Fault::Malformed)?,
            framing: Framing::Length(0),
            keep_alive: true,
        };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(Fault::Malformed);
            };
            // The lengths tell most headers apart without comparing them.
            match name.len() {
                14 if name.eq_ignore_ascii_case("content-length") => {
                    head.framing = Framing::Length(value.trim().parse().map_err(|_| Fault::Malformed)?);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => head.framing = Framing::Chunked,
                10 if name.eq_ignore_ascii_case("connection") => {
                    head.keep_alive = !value.trim().eq_ignore_ascii_case("close");
                }
                _ => {}
            }
        }
        Ok(Some((head, end + 4)))
    }
}

/// Where in the body the next byte stands.
pub(crate) enum Body {
    Length(usize),
    Size {
        value: usize,
        has_digits: bool,
        in_extension: bool,
    },
    Data(usize),
    /// CR and LF behind a chunk's data.
    DataEnd(u8),
    /// CR and LF behind the last chunk; trailers are not expected.
    LastEnd(u8),
}

impl Body {
    pub(crate) const CHUNK: Self = Self::Size {
        value: 0,
        has_digits: false,
        in_extension: false,
    };

    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::CHUNK,
        }
    }

    /// Takes the next bytes; true when they end the body.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Fault> {
        if let Self::Length(left) = self {
            *left = left.checked_sub(bytes.len()).ok_or(Fault::Malformed)?;
            return Ok(*left == 0);
        }
        while let Some((first, rest)) = bytes.split_first() {
            if let Self::Data(left) = self {
                let count = bytes.len().min(*left);
                *left -= count;
                if *left == 0 {
                    *self = Self::DataEnd(b'\r');
                }
                bytes = bytes.get(count..).unwrap_or_default();
                continue;
            }
            bytes = rest;
            if self.framing_byte(*first)? {
                return if bytes.is_empty() {
                    Ok(true)
                } else {
                    Err(Fault::Malformed)
                };
            }
        }
        Ok(false)
    }

    pub(crate) fn framing_byte(&mut self, byte: u8) -> Result<bool, Fault> {
        match self {
            Self::Size {
                value,
                has_digits,
                in_extension,
            } => match byte {
                b'\n' if !*has_digits => return Err(Fault::Malformed),
                b'\n' => {
                    *self = if *value == 0 {
                        Self::LastEnd(b'\r')
                    } else {
                        Self::Data(*value)
                    }
                }
                b'\r' => {}
                b';' => *in_extension = true,
                _ if *in_extension => {}
                _ => {
                    let digit = char::from(byte).to_digit(16).ok_or(Fault::Malformed)?;
                    *value = value.checked_mul(16).ok_or(Fault::Malformed)? + digit as usize;
                    *has_digits = true;
                }
            },
            Self::DataEnd(b'\r') if byte == b'\r' => *self = Self::DataEnd(b'\n'),
            Self::DataEnd(b'\n') if byte == b'\n' => *self = Self::CHUNK,
            Self::LastEnd(b'\r') if byte == b'\r' => *self = Self::LastEnd(b'\n'),
            Self::LastEnd(b'\n') if byte == b'\n' => return Ok(true),
            _ => return Err(Fault::Malformed),
        }
        Ok(false)
    }
}

//! JSON text from outside, made canonical.
//!
//! Strict RFC 8259: UTF-8 without a byte order mark, one value, no trailing bytes, no lone surrogates, no key
//! twice. The output is written while reading; nothing is built in between.

use super::object::Object;
use super::{DEPTH_MAX, JcsError, number, text};

/// The canonical form of the JSON text `bytes`.
pub fn canonicalize(bytes: &[u8]) -> Result<Vec<u8>, JcsError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(JcsError::Syntax {
            offset: error.valid_up_to(),
            what: "not UTF-8",
        });
    }
    let mut parser = Parser {
        bytes,
        at: 0,
        depth: 0,
        out: Vec::with_capacity(bytes.len()),
    };
    parser.value()?;
    if parser.peek_token().is_some() {
        return Err(parser.wrong("more after the value"));
    }
    Ok(parser.out)
}

/// True if `bytes` is JSON in canonical form.
pub fn is_canonical(bytes: &[u8]) -> bool {
    canonicalize(bytes).is_ok_and(|canonical| canonical == bytes)
}

struct Parser<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    out: Vec<u8>,
}

impl<'b> Parser<'b> {
    fn value(&mut self) -> Result<(), JcsError> {
        match self.peek_token() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.text(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.wrong("expected a value")),
            None => Err(self.wrong("the text ends where a value should stand")),
        }
    }

    fn object(&mut self) -> Result<(), JcsError> {
        self.descend()?;
        let mut object = Object::open(&mut self.out);
        if self.peek_token() != Some(b'}') {
            loop {
                if self.peek_token() != Some(b'"') {
                    return Err(self.wrong("expected a key in quotes"));
                }
                let start = object.before_key(&mut self.out);
                self.text()?;
                object.after_key(&mut self.out, start)?;
                self.take(b':', "expected `:` after a key")?;
                self.value()?;
                if self.peek_token() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b'}', "expected `,` or `}`")?;
        self.depth -= 1;
        object.close(&mut self.out)
    }

    fn array(&mut self) -> Result<(), JcsError> {
        self.descend()?;
        self.out.push(b'[');
        if self.peek_token() != Some(b']') {
            loop {
                self.value()?;
                if self.peek_token() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.out.push(b',');
            }
        }
        self.take(b']', "expected `,` or `]`")?;
        self.depth -= 1;
        self.out.push(b']');
        Ok(())
    }

    fn descend(&mut self) -> Result<(), JcsError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(JcsError::Depth)
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JcsError> {
        if !self.rest().starts_with(word) {
            return Err(self.wrong("expected true, false or null"));
        }
        self.at += word.len();
        self.out.extend_from_slice(word);
        Ok(())
    }

    fn text(&mut self) -> Result<(), JcsError> {
        self.at += 1;
        self.out.push(b'"');
        loop {
            let rest = self.rest();
            let stop = rest
                .iter()
                .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
            let Some((plain, tail)) = stop.and_then(|stop| rest.split_at_checked(stop)) else {
                return Err(self.wrong("a string without an end"));
            };
            self.out.extend_from_slice(plain);
            self.at += plain.len();
            match tail.first() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
        self.at += 1;
        self.out.push(b'"');
        Ok(())
    }

    fn escape(&mut self) -> Result<(), JcsError> {
        let character = match self.rest().get(1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.wrong("an unknown escape")),
        };
        self.at += 2;
        text::write_inner(&mut self.out, character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), JcsError> {
        let first = self.code_unit(0)?;
        let is_pair = (0xD800..0xDC00).contains(&first);
        let units = [first, if is_pair { self.code_unit(6)? } else { 0 }];
        let units = units.get(..if is_pair { 2 } else { 1 }).unwrap_or_default();
        let Some(Ok(character)) = char::decode_utf16(units.iter().copied()).next() else {
            return Err(self.wrong("half of a surrogate pair"));
        };
        self.at += 6 * units.len();
        text::write_inner(&mut self.out, character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// The unit of the `\uXXXX` that stands `ahead` bytes from here.
    fn code_unit(&self, ahead: usize) -> Result<u16, JcsError> {
        let Some(&[b'\\', b'u', a, b, c, d]) = self.rest().get(ahead..ahead + 6) else {
            return Err(self.wrong("expected \\u and four hex digits"));
        };
        let mut unit = 0;
        for byte in [a, b, c, d] {
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.wrong("expected four hex digits"));
            };
            unit = unit << 4 | u16::try_from(digit).unwrap_or(0);
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JcsError> {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
            .unwrap_or(rest.len());
        let token = rest
            .get(..length)
            .and_then(|token| std::str::from_utf8(token).ok())
            .unwrap_or_default();
        let Some(is_integer) = shape(token) else {
            return Err(self.wrong("a malformed number"));
        };
        if is_integer {
            let value = token
                .parse::<i64>()
                .map_err(|_| JcsError::Integer(shortened(token)))?;
            number::write_i64(&mut self.out, value)?;
        } else {
            let value = token
                .parse::<f64>()
                .map_err(|_| self.wrong("a malformed number"))?;
            number::write_f64(&mut self.out, value)?;
        }
        self.at += length;
        Ok(())
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no white space; moves up to it.
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), JcsError> {
        if self.peek_token() != Some(byte) {
            return Err(self.wrong(what));
        }
        self.at += 1;
        Ok(())
    }

    fn wrong(&self, what: &'static str) -> JcsError {
        JcsError::Syntax {
            offset: self.at,
            what,
        }
    }
}

/// Whether the token is an integer, `None` if it is no JSON number (RFC 8259 section 6).
fn shape(token: &str) -> Option<bool> {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let whole = leading_digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    let mut rest = unsigned.get(whole..)?;
    let is_integer = rest.is_empty();
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = leading_digits(fraction);
        if digits == 0 {
            return None;
        }
        rest = fraction.get(digits..)?;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let digits = leading_digits(exponent);
        if digits == 0 {
            return None;
        }
        rest = exponent.get(digits..)?;
    }
    rest.is_empty().then_some(is_integer)
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A number token may be as long as the text; a message is not.
fn shortened(token: &str) -> String {
    match token.get(..40) {
        Some(head) if token.len() > 40 => format!("{head}…"),
        _ => token.to_owned(),
    }
}

//! A validating reader that walks a JSON document once and hands each key to its caller, who reads the value or skips
//! it. What is skipped is checked as strictly as what is read.
//!
//! Contract: the input is valid UTF-8 where text is wanted; the form of every number, escape and literal is checked;
//! nothing recurses on skipped values, and the caller's own nesting counts towards [`DEPTH_MAX`].

use std::ops::Range;

use super::text::Text;

/// Open containers at most. Readers of JSON that recurse (most of them) have run out of stack beyond a few thousand;
/// 128 is what serde_json allows. The stack of open containers is one `u128`: a bit for each.
pub const DEPTH_MAX: u32 = 128;

/// Why reading stopped, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// More than [`DEPTH_MAX`] containers are open.
    Deep { at: usize },
    /// Not JSON.
    Form { at: usize },
    /// The caller's closure refused what it read.
    Refused,
}

/// A position in a document.
#[derive(Debug)]
pub struct Cursor<'a> {
    at: usize,
    bytes: &'a [u8],
    depth: u32,
}

/// Checks that `bytes` are one JSON value and nothing else.
pub fn check(bytes: &[u8]) -> Result<(), Bad> {
    let mut cursor = Cursor::new(bytes);
    cursor.skip()?;
    cursor.end()
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            at: 0,
            bytes,
            depth: 0,
        }
    }

    /// The offset of the next byte.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the next value, white space skipped; `None` at the end.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at).copied() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Checks that only white space follows.
    pub fn end(&mut self) -> Result<(), Bad> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.form())
        }
    }

    /// Where a string that was just read stood, without its quotes.
    pub fn span_of(&self, text: Text<'_>) -> Range<usize> {
        let end = self.at.saturating_sub(1);
        end.saturating_sub(text.raw.len())..end
    }

    /// Walks the object that starts here. `field` gets each key, and must read or skip exactly one value.
    pub fn object<F>(&mut self, mut field: F) -> Result<(), Bad>
    where
        F: FnMut(&mut Self, Text<'a>) -> Result<(), Bad>,
    {
        self.open(b'{')?;
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(());
        }
        loop {
            let key = self.key()?;
            self.peek();
            field(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.close();
                    return Ok(());
                }
                _ => return Err(self.form()),
            }
        }
    }

    /// Walks the array that starts here. `item` must read or skip exactly one value.
    pub fn array<F>(&mut self, mut item: F) -> Result<(), Bad>
    where
        F: FnMut(&mut Self) -> Result<(), Bad>,
    {
        self.open(b'[')?;
        if self.peek() == Some(b']') {
            self.close();
            return Ok(());
        }
        loop {
            self.peek();
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.close();
                    return Ok(());
                }
                _ => return Err(self.form()),
            }
        }
    }

    /// Walks the object that starts here, or skips a value of another type.
    pub fn object_or_skip<F>(&mut self, field: F) -> Result<(), Bad>
    where
        F: FnMut(&mut Self, Text<'a>) -> Result<(), Bad>,
    {
        if self.peek() == Some(b'{') {
            self.object(field)
        } else {
            self.skip()
        }
    }

    /// Walks the array that starts here, or skips a value of another type.
    pub fn array_or_skip<F>(&mut self, item: F) -> Result<(), Bad>
    where
        F: FnMut(&mut Self) -> Result<(), Bad>,
    {
        if self.peek() == Some(b'[') {
            self.array(item)
        } else {
            self.skip()
        }
    }

    /// Reads a string, or skips a value of another type.
    pub fn text_or_skip(&mut self) -> Result<Option<Text<'a>>, Bad> {
        if self.peek() == Some(b'"') {
            self.text().map(Some)
        } else {
            self.skip().map(|()| None)
        }
    }

    /// Reads an unsigned integer (`12`, also `12.0`), or skips anything else. Saturates at `u64::MAX`.
    pub fn count_or_skip(&mut self) -> Result<Option<u64>, Bad> {
        let span = self.skip_span()?;
        Ok(self.bytes.get(span).and_then(count))
    }

    /// Reads `true` or `false`, or skips anything else.
    pub fn flag_or_skip(&mut self) -> Result<Option<bool>, Bad> {
        let first = self.peek();
        self.skip()?;
        Ok(match first {
            Some(b't') => Some(true),
            Some(b'f') => Some(false),
            _ => None,
        })
    }

    /// Skips a value and tells where it stood.
    pub fn skip_span(&mut self) -> Result<Range<usize>, Bad> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(start..self.at)
    }

    /// Skips a value, checking its form.
    pub fn skip(&mut self) -> Result<(), Bad> {
        let base = self.depth;
        // One bit for each container opened here, the innermost lowest; 1 is an object.
        let mut open: u128 = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.text()?;
                }
                Some(b'{') => {
                    self.open(b'{')?;
                    if self.peek() == Some(b'}') {
                        self.close();
                    } else {
                        self.key()?;
                        open = (open << 1) | 1;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.open(b'[')?;
                    if self.peek() == Some(b']') {
                        self.close();
                    } else {
                        open <<= 1;
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(self.form()),
            }
            if self.after_value(base, &mut open)? {
                return Ok(());
            }
        }
    }

    /// Reads a string.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Bad> {
        if self.peek() != Some(b'"') {
            return Err(self.form());
        }
        self.at += 1;
        let start = self.at;
        let escaped = self.text_body()?;
        let raw = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { escaped, raw })
    }

    /// Moves to the quote that ends a string whose opening quote was passed; tells whether there were escapes.
    #[inline]
    pub fn text_body(&mut self) -> Result<bool, Bad> {
        let mut escaped = false;
        loop {
            self.plain();
            match self.bytes.get(self.at) {
                Some(b'"') => return Ok(escaped),
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.form()),
            }
        }
    }

    /// After a value inside [`Cursor::skip`]: closes what ends here; `true` if the value that was to be skipped ended.
    fn after_value(&mut self, base: u32, open: &mut u128) -> Result<bool, Bad> {
        loop {
            if self.depth == base {
                return Ok(true);
            }
            let object = *open & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if object => self.close(),
                Some(b']') if !object => self.close(),
                _ => return Err(self.form()),
            }
            *open >>= 1;
        }
    }

    #[inline]
    fn open(&mut self, byte: u8) -> Result<(), Bad> {
        if self.peek() != Some(byte) {
            return Err(self.form());
        }
        if self.depth == DEPTH_MAX {
            return Err(Bad::Deep { at: self.at });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    #[inline]
    fn key(&mut self) -> Result<Text<'a>, Bad> {
        let key = self.text()?;
        if self.peek() != Some(b':') {
            return Err(self.form());
        }
        self.at += 1;
        Ok(key)
    }

    /// Moves to the next quote, backslash, control byte or the end: eight bytes at a time, and once a text has proved to
    /// be long, blocks that the compiler compares with vector instructions.
    #[inline]
    fn plain(&mut self) {
        let mut words = 0;
        while let Some(eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let special = special(u64::from_le_bytes(*eight));
            if special != 0 {
                self.at += (special.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
            words += 1;
            if words == 2 {
                self.plain_blocks();
            }
        }
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| *b >= 0x20 && *b != b'"' && *b != b'\\')
        {
            self.at += 1;
        }
    }

    /// Passes blocks without a byte that ends plain text.
    fn plain_blocks(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (blocks, _) = rest.as_chunks::<32>();
        let is_plain = |block: &&[u8; 32]| {
            block.iter().fold(0, |hit, b| {
                hit | u8::from(*b < 0x20) | u8::from(*b == b'"') | u8::from(*b == b'\\')
            }) == 0
        };
        self.at += 32 * blocks.iter().take_while(is_plain).count();
    }

    fn escape(&mut self) -> Result<(), Bad> {
        self.at += 1;
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.form());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.form()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Bad> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.form()),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Bad> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.form())
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Bad> {
        if self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.form())
        }
    }

    const fn form(&self) -> Bad {
        Bad::Form { at: self.at }
    }
}

/// The high bit of each byte that ends a run of plain text: `"`, `\` or a control. Bits above the lowest set one may be
/// wrong (a borrow runs upwards), so only the lowest counts, which in little-endian order is the first byte.
const fn special(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = eight ^ (ONES * b'"' as u64);
    let slash = eight ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (quote | slash | control) & HIGH
}

/// The value of a number in JSON's form, if it is an unsigned integer.
fn count(digits: &[u8]) -> Option<u64> {
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        let add = |sum: u64, d: &u8| sum.saturating_mul(10).saturating_add(u64::from(d - b'0'));
        return Some(digits.iter().fold(0, add));
    }
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let value: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if value.fract() != 0.0 || value.is_infinite() {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "integral, not negative, saturates"
    )]
    Some(value as u64)
}

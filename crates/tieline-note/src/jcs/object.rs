//! The order of an object's members while they are written.
//!
//! The common case is that keys arrive sorted; then only the place of the last key is kept. At the first key out
//! of order the object is marked, and when it ends its bytes, which are canonical but for the order, are cut into
//! members, sorted and written back.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::JcsError;
use super::text::{self, Word};

/// An object that is being written: the buffer holds `{` and the members so far.
#[derive(Debug)]
pub(super) struct Object {
    /// Where the members begin, after the `{`.
    start: usize,
    last: Last,
    is_sorted: bool,
}

/// The key before.
#[derive(Debug, Clone)]
enum Last {
    None,
    /// A field's name, and the same as a word if it is one.
    Field(&'static str, Option<Word>),
    /// A map's key within the buffer, without quotes.
    Written(Range<usize>),
}

impl Object {
    #[inline]
    pub(super) fn open(out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            start: out.len(),
            last: Last::None,
            is_sorted: true,
        }
    }

    /// Writes the name of a struct's field. Names are compared as they are, without a look at the buffer.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "within a struct all names are known, so that comparing them is left to the compiler"
    )]
    pub(super) fn field(&mut self, out: &mut Vec<u8>, name: &'static str) -> Result<(), JcsError> {
        let word = Word::name(name);
        let order = match &self.last {
            Last::None => None,
            Last::Field(_, Some(last)) if let Some(word) = word => Some(last.compare(word)),
            Last::Field(last, _) => Some(text::compare(last.as_bytes(), name.as_bytes())),
            // An object has fields or keys.
            Last::Written(_) => Some(Ordering::Less),
        };
        match order {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => return Err(duplicate(name.as_bytes())),
            Some(Ordering::Greater) => self.is_sorted = false,
        }
        match word {
            Some(word) => word.field(order.is_none()).append(out),
            None => long_field(out, name, order.is_none()),
        }
        self.last = Last::Field(name, word);
        Ok(())
    }

    /// Before a map's key is written; gives the place where it will begin.
    pub(super) fn before_key(&self, out: &mut Vec<u8>) -> usize {
        if !matches!(self.last, Last::None) {
            out.push(b',');
        }
        out.len()
    }

    /// After the key that began at `start` was written, quotes included.
    pub(super) fn after_key(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), JcsError> {
        let range = start + 1..out.len().saturating_sub(1);
        let key = out.get(range.clone()).unwrap_or_default();
        if self.is_sorted
            && let Last::Written(last) = self.last.clone()
        {
            let last = out.get(last).unwrap_or_default();
            if last.contains(&b'\\') || key.contains(&b'\\') {
                self.is_sorted = false;
            } else {
                match text::compare(last, key) {
                    Ordering::Less => {}
                    Ordering::Equal => return Err(duplicate(key)),
                    Ordering::Greater => self.is_sorted = false,
                }
            }
        }
        self.last = Last::Written(range);
        out.push(b':');
        Ok(())
    }

    #[inline]
    pub(super) fn close(self, out: &mut Vec<u8>) -> Result<(), JcsError> {
        if !self.is_sorted {
            sort(out, self.start)?;
        }
        out.push(b'}');
        Ok(())
    }
}

#[inline(never)]
fn long_field(out: &mut Vec<u8>, name: &str, is_first: bool) {
    if !is_first {
        out.push(b',');
    }
    text::write_long(out, name.as_bytes());
    out.push(b':');
}

/// Bring the members that begin at `start` into order.
#[inline(never)]
fn sort(out: &mut Vec<u8>, start: usize) -> Result<(), JcsError> {
    let sorted = sorted(out.get(start..).unwrap_or_default())?;
    out.truncate(start);
    out.extend_from_slice(&sorted);
    Ok(())
}

fn sorted(body: &[u8]) -> Result<Vec<u8>, JcsError> {
    let mut members: Vec<(Cow<'_, [u8]>, &[u8])> = members(body)
        .into_iter()
        .map(|member| (key(member), member))
        .collect();
    members.sort_by(|left, right| text::compare(&left.0, &right.0));
    let mut out = Vec::with_capacity(body.len());
    let mut last: Option<&[u8]> = None;
    for (key, member) in &members {
        if last == Some(key) {
            return Err(duplicate(key));
        }
        if last.is_some() {
            out.push(b',');
        }
        out.extend_from_slice(member);
        last = Some(key);
    }
    Ok(out)
}

/// Cuts the inside of a canonical object at its own commas.
fn members(body: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut is_escaped = false;
    for (at, &byte) in body.iter().enumerate() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                members.extend(body.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    members.extend(body.get(start..));
    members
}

/// The key of a member, without escapes. What is escaped was written by this crate.
fn key(member: &[u8]) -> Cow<'_, [u8]> {
    let inner = member.get(1..).unwrap_or_default();
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                let out = out.get_or_insert_with(|| inner.get(..at).unwrap_or_default().to_vec());
                let (byte, length) = unescape(inner.get(at + 1..).unwrap_or_default());
                out.push(byte);
                at += length;
            }
            _ => {
                if let Some(out) = &mut out {
                    out.push(byte);
                }
                at += 1;
            }
        }
    }
    match out {
        Some(out) => Cow::Owned(out),
        None => Cow::Borrowed(inner.get(..at).unwrap_or_default()),
    }
}

/// The byte that an escape stands for, given what follows the backslash, and the length of the whole.
fn unescape(rest: &[u8]) -> (u8, usize) {
    let digit = |byte: u8| {
        if byte <= b'9' {
            byte.wrapping_sub(b'0')
        } else {
            byte.wrapping_sub(b'a' - 10)
        }
    };
    match *rest {
        [b'b', ..] => (0x08, 2),
        [b't', ..] => (b'\t', 2),
        [b'n', ..] => (b'\n', 2),
        [b'f', ..] => (0x0C, 2),
        [b'r', ..] => (b'\r', 2),
        [b'u', _, _, high, low, ..] => ((digit(high) & 15) << 4 | digit(low) & 15, 6),
        [byte, ..] => (byte, 2),
        [] => (b'\\', 1),
    }
}

fn duplicate(key: &[u8]) -> JcsError {
    JcsError::DuplicateKey(String::from_utf8_lossy(key).into_owned())
}

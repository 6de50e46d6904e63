//! Tool names and call ids that a dialect would not accept, made acceptable and mapped back.
//!
//! Both dialects take `[A-Za-z0-9_-]` in tool names, OpenAI at most 64 of them, Anthropic 128. A name outside that is
//! shortened and gets a fingerprint; [`Names`] remembers the pair, so that the answer calls the tool by the name that
//! the caller gave it. Call ids need no memory: one id always becomes the same other id, and they are only compared
//! with each other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The renamed tools of one request; as many as the request has names that need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    far_by_near: BTreeMap<String, String>,
    near_by_far: BTreeMap<String, String>,
}

impl Names {
    /// The name under which the channel knows the tool, at most `chars_max` long.
    pub fn far(&mut self, near: &str, chars_max: usize) -> String {
        if is_plain(near) && near.len() <= chars_max && !self.near_by_far.contains_key(near) {
            return near.to_owned();
        }
        if let Some(far) = self.far_by_near.get(near) {
            return far.clone();
        }
        let mut print = fingerprint(near);
        let far = loop {
            let far = shorten(near, print, chars_max);
            if !self.near_by_far.contains_key(&far) {
                break far;
            }
            print = print.wrapping_add(1);
        };
        self.far_by_near.insert(near.to_owned(), far.clone());
        self.near_by_far.insert(far.clone(), near.to_owned());
        far
    }

    /// The caller's own name of the tool that the channel calls `far`.
    pub fn near<'a>(&'a self, far: &'a str) -> &'a str {
        self.near_by_far.get(far).map_or(far, String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.near_by_far.is_empty()
    }
}

/// A call id in the alphabet that Anthropic requires (`^[a-zA-Z0-9_-]+$`); other bytes become `_x` and two hex digits.
pub fn plain_id(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && is_plain(id) {
        return Cow::Borrowed(id);
    }
    let mut plain = String::with_capacity(id.len().saturating_add(8));
    for byte in id.bytes() {
        if is_plain_byte(byte) {
            plain.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(plain, "_x{byte:02x}");
        }
    }
    if plain.is_empty() {
        plain.push_str("call");
    }
    Cow::Owned(plain)
}

/// An answer's id with the prefix that the target's clients expect in place of the source's.
pub fn answer_id(id: &str, from_prefix: &str, to_prefix: &str) -> String {
    if id.starts_with(to_prefix) {
        return plain_id(id).into_owned();
    }
    let bare = id.strip_prefix(from_prefix).unwrap_or(id);
    let bare = if bare.is_empty() { "unnamed" } else { bare };
    format!("{to_prefix}{}", plain_id(bare))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn shorten(name: &str, print: u32, chars_max: usize) -> String {
    // Nine characters are the underscore and the fingerprint.
    let head: String = name
        .chars()
        .take(chars_max.saturating_sub(9))
        .map(|c| {
            if c.is_ascii() && is_plain_byte(u8::try_from(c).unwrap_or(b'_')) {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("{head}_{print:08x}")
}

/// FNV-1a with 32 bits.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_comes_back() {
        let mut names = Names::default();
        let long = "mcp__a_server_with_a_long_name__".repeat(3);
        let far = names.far(&long, 64);
        assert!(far.len() <= 64 && is_plain(&far));
        assert_eq!(names.far(&long, 64), far);
        assert_eq!(names.near(&far), long);
        assert_eq!(names.far("weather", 64), "weather");
        assert_eq!(names.near("weather"), "weather");
    }

    #[test]
    fn ids_stay_apart() {
        assert_eq!(plain_id("call_1"), "call_1");
        assert_eq!(plain_id("functions.get:0"), "functions_x2eget_x3a0");
        assert_eq!(answer_id("chatcmpl-abc", "chatcmpl-", "msg_"), "msg_abc");
        assert_eq!(answer_id("", "chatcmpl-", "msg_"), "msg_unnamed");
    }
}

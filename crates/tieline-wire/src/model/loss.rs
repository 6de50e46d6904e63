//! What a translation could not carry, field by field: the report behind the header `x-tieline-loss` and the outcome.
//!
//! A [`Place`] says where in the source document a node stood; it is copied around freely and rendered only for a loss.
//! Field names that we do not know come from outside: they are reported only if they look like names, so that no prompt
//! text and no control character reaches a header or a record by this way.

use std::fmt::{self, Write};

/// Losses reported of one request, and of one answer. 64 lines of at most about 100 bytes stay under the 8 KiB that
/// common HTTP stacks accept for all headers; beyond it one [`LossKind::More`] says that the list goes on.
pub const LOSSES_MAX: usize = 64;

/// Steps of a path that are kept: `messages[2].content[0].content[1].source` has seven. A deeper path names its head.
const STEPS_MAX: usize = 8;

/// The longest unknown field name that is repeated in a report, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// One thing that the translation could not carry as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub kind: LossKind,
    /// Where in the source document, as `messages[2].content[0].cache_control`. ASCII.
    pub path: String,
    /// Why, as a lower-case fragment. ASCII, and never a value of the document.
    pub why: &'static str,
}

/// What happened to the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// The target requires a field that the source does not have; a default was put in.
    Added,
    /// Carried with another value or form.
    Changed,
    /// Gone.
    Dropped,
    /// There are more losses than [`LOSSES_MAX`].
    More,
    /// Carried at another place.
    Moved,
}

/// Where a node stood in the source document. Two places always compare equal: a conversation is the same wherever it
/// was read from.
#[derive(Clone, Copy)]
pub struct Place {
    len: u8,
    steps: [Step; STEPS_MAX],
}

/// A bounded list of losses without repetitions, so that a stream reports a field once and not once per chunk.
#[derive(Debug, Default)]
pub struct Losses {
    list: Vec<Loss>,
    /// How many of `list` were handed out by [`Losses::drain_new`].
    drained: usize,
    is_full: bool,
    /// Fingerprints of what is in `list`, at most [`LOSSES_MAX`].
    seen: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Step {
    Index(u32),
    Key(&'static str),
}

struct Fingerprint(u64);

// === impl Loss ===

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LossKind::More => f.write_str("and more"),
            kind => write!(f, "{} {}: {}", self.path, kind.name(), self.why),
        }
    }
}

impl LossKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::More => "more",
            Self::Moved => "moved",
        }
    }
}

// === impl Losses ===

impl Losses {
    pub fn added(&mut self, at: Place, why: &'static str) {
        self.push(LossKind::Added, at, "", why);
    }

    pub fn changed(&mut self, at: Place, why: &'static str) {
        self.push(LossKind::Changed, at, "", why);
    }

    pub fn dropped(&mut self, at: Place, why: &'static str) {
        self.push(LossKind::Dropped, at, "", why);
    }

    pub fn moved(&mut self, at: Place, why: &'static str) {
        self.push(LossKind::Moved, at, "", why);
    }

    /// A field of the source that the model does not have; `key` is whatever stood in the document.
    pub fn unknown(&mut self, at: Place, key: &str) {
        let is_name = !key.is_empty()
            && key.len() <= KEY_BYTES_MAX
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$'));
        self.push(
            LossKind::Dropped,
            at,
            if is_name { key } else { "?" },
            "no counterpart",
        );
    }

    /// All losses so far.
    pub fn into_vec(self) -> Vec<Loss> {
        self.list
    }

    /// The losses that came since the last call.
    pub fn drain_new(&mut self, into: &mut Vec<Loss>) {
        into.extend(self.list.iter().skip(self.drained).cloned());
        self.drained = self.list.len();
    }

    fn push(&mut self, kind: LossKind, at: Place, key: &str, why: &'static str) {
        if self.is_full {
            return;
        }
        let mut print = Fingerprint(0xcbf2_9ce4_8422_2325);
        // Writing to a fingerprint cannot fail.
        let _ = write!(print, "{kind:?} {at}.{key}: {why}");
        if self.seen.contains(&print.0) {
            return;
        }
        if self.list.len() == LOSSES_MAX {
            self.is_full = true;
            self.list.push(Loss {
                kind: LossKind::More,
                path: String::new(),
                why: "",
            });
            return;
        }
        let mut path = at.to_string();
        if !key.is_empty() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
        self.seen.push(print.0);
        self.list.push(Loss { kind, path, why });
    }
}

// === impl Place ===

impl Place {
    /// The document itself.
    pub const ROOT: Self = Self {
        len: 0,
        steps: [Step::Index(0); STEPS_MAX],
    };

    #[must_use]
    pub fn key(self, key: &'static str) -> Self {
        self.step(Step::Key(key))
    }

    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.step(Step::Index(u32::try_from(index).unwrap_or(u32::MAX)))
    }

    fn step(mut self, step: Step) -> Self {
        if let Some(slot) = self.steps.get_mut(usize::from(self.len)) {
            *slot = step;
            self.len = self.len.saturating_add(1);
        }
        self
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::ROOT
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().take(usize::from(self.len)).enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

// === impl Fingerprint ===

impl Write for Fingerprint {
    /// FNV-1a with 64 bits: a collision would hide one line of a report, no more.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written_in_code() {
        let at = Place::ROOT.key("messages").index(2).key("content").index(0);
        let mut losses = Losses::default();
        losses.unknown(at, "cache_control");
        losses.unknown(at, "cache_control");
        losses.unknown(Place::ROOT, "the patient said\r\nx: y");
        let paths: Vec<_> = losses.into_vec().into_iter().map(|l| l.path).collect();
        assert_eq!(paths, ["messages[2].content[0].cache_control", "?"]);
    }

    #[test]
    fn a_long_list_ends_with_one_more() {
        let mut losses = Losses::default();
        for i in 0..1000 {
            losses.dropped(Place::ROOT.key("tools").index(i), "test");
        }
        let list = losses.into_vec();
        assert_eq!(list.len(), LOSSES_MAX + 1);
        assert_eq!(list.last().map(|l| l.kind), Some(LossKind::More));
    }
}

//! Where the new text joins the delivered one: what it repeats is left out.
//!
//! Two kinds of repetition are known. A server that was given the beginning of a turn may send it back (Mistral does); a
//! model that was asked to go on may begin some words before the end. New text waits for as long as it may still be either,
//! which is at most the length of the delivered text, and after that of [`OVERLAP_CHARS_MAX`].

use super::Method;

/// The longest end of the delivered text that is looked for: two or three sentences.
const OVERLAP_CHARS_MAX: usize = 200;

/// The shortest repetition that is believed. A text that breaks off within `bana` goes on with `na`, which repeats nothing;
/// that eight characters in a row come twice by chance at this very place is rarer than that a model says them twice. White
/// space that was not sent is believed from one character on, for the model writes it again.
const OVERLAP_CHARS_MIN: usize = 8;

/// What became of new text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is not the answer that was begun.
    Abandoned,
    /// It waits, or was known.
    Held,
    Text(String),
}

/// The place where two texts are joined.
#[derive(Debug)]
pub(super) struct Seam {
    held: String,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Abandoned,
    /// It may repeat the sent text from its beginning.
    Echo,
    /// It may repeat the end of the delivered text.
    Overlap,
    /// It must repeat the delivered text; so many bytes of it were met.
    Repeat {
        met: usize,
    },
    Through,
}

/// The text that the caller has, and how much of it was sent to be continued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before<'a> {
    pub(super) sent: &'a str,
    pub(super) text: &'a str,
}

impl Seam {
    /// `echoes` says of a server that it sends back what it was given.
    pub(super) fn new(method: Method, echoes: bool, before: Before<'_>) -> Self {
        let is_long = chars_min(before.sent, OVERLAP_CHARS_MIN);
        let mode = match method {
            _ if before.text.is_empty() => Mode::Through,
            Method::Repeat => Mode::Repeat { met: 0 },
            Method::Prefill | Method::Instruct if before.sent.is_empty() => Mode::Through,
            Method::Prefill | Method::Instruct if echoes || is_long => Mode::Echo,
            Method::Prefill | Method::Instruct => Mode::Overlap,
        };
        Self {
            held: String::new(),
            mode,
        }
    }

    pub(super) const fn is_through(&self) -> bool {
        matches!(self.mode, Mode::Through)
    }

    pub(super) const fn is_abandoned(&self) -> bool {
        matches!(self.mode, Mode::Abandoned)
    }

    pub(super) const fn is_repeating(&self) -> bool {
        matches!(self.mode, Mode::Repeat { .. })
    }

    /// Takes new text.
    pub(super) fn feed(&mut self, before: Before<'_>, delta: String) -> Step {
        match self.mode {
            Mode::Abandoned => Step::Abandoned,
            Mode::Through => Step::Text(delta),
            Mode::Repeat { met } => self.repeat(before.text, met, &delta),
            Mode::Echo | Mode::Overlap => {
                self.held.push_str(&delta);
                self.decide(before, false)
            }
        }
    }

    /// Something else than text comes next: what waits is decided upon.
    pub(super) fn settle(&mut self, before: Before<'_>) -> Step {
        match self.mode {
            Mode::Abandoned | Mode::Repeat { .. } => {
                self.mode = Mode::Abandoned;
                Step::Abandoned
            }
            Mode::Through => Step::Held,
            Mode::Echo | Mode::Overlap => self.decide(before, true),
        }
    }

    fn repeat(&mut self, text: &str, met: usize, delta: &str) -> Step {
        let rest = text.get(met..).unwrap_or_default();
        if let Some(new) = delta.strip_prefix(rest) {
            self.mode = Mode::Through;
            return if new.is_empty() {
                Step::Held
            } else {
                Step::Text(new.to_owned())
            };
        }
        if rest.starts_with(delta) {
            self.mode = Mode::Repeat {
                met: met + delta.len(),
            };
            return Step::Held;
        }
        self.mode = Mode::Abandoned;
        Step::Abandoned
    }

    fn decide(&mut self, before: Before<'_>, is_last: bool) -> Step {
        if matches!(self.mode, Mode::Echo) {
            if !is_last && self.held.len() < before.sent.len() && before.sent.starts_with(&self.held) {
                return Step::Held;
            }
            if let Some(new) = self.held.strip_prefix(before.sent) {
                self.held = new.to_owned();
            }
            self.mode = Mode::Overlap;
        }
        let Some(len) = overlap(before, &self.held, is_last) else {
            return Step::Held;
        };
        self.mode = Mode::Through;
        let mut held = std::mem::take(&mut self.held);
        let new = held.split_off(len.min(held.len()));
        if new.is_empty() {
            Step::Held
        } else {
            Step::Text(new)
        }
    }
}

/// How many bytes of `held` repeat the end of the delivered text; `None` while more text may make it more.
fn overlap(before: Before<'_>, held: &str, is_last: bool) -> Option<usize> {
    let unsent = before.text.len().saturating_sub(before.sent.len());
    // Ends of the delivered text, the longest first.
    let starts: Vec<usize> = before
        .text
        .char_indices()
        .rev()
        .take(OVERLAP_CHARS_MAX)
        .map(|(at, _)| at)
        .collect();
    let ends = || {
        let ends = starts.iter().rev().filter_map(|at| before.text.get(*at..));
        ends.filter(|end| end.len() <= unsent || chars_min(end, OVERLAP_CHARS_MIN))
    };
    if !is_last && ends().any(|end| end.len() > held.len() && end.starts_with(held)) {
        return None;
    }
    Some(ends().find(|end| held.starts_with(end)).map_or(0, str::len))
}

/// Whether `text` has at least `min` characters.
fn chars_min(text: &str, min: usize) -> bool {
    min == 0 || text.chars().nth(min - 1).is_some()
}

/// Entry point for fuzzers: a delivered text and a new one, split by the first zero byte; the first byte says how the new
/// one is cut. What is written is an end of the new text, whatever the cuts.
pub fn fuzz_seam(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (text, new) = (part(), part());
    let before = Before {
        sent: text.trim_end(),
        text: &text,
    };
    for method in [Method::Prefill, Method::Repeat, Method::Instruct] {
        for echoes in [false, true] {
            let whole = join(
                Seam::new(method, echoes, before),
                before,
                std::iter::once(new.as_str()),
            );
            let size = usize::from(*first).max(1);
            let chars: Vec<char> = new.chars().collect();
            let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
            let cut = join(
                Seam::new(method, echoes, before),
                before,
                pieces.iter().map(String::as_str),
            );
            debug_assert!(
                whole == cut,
                "what is written does not hang on how the text was cut"
            );
            if let Some(written) = whole {
                debug_assert!(
                    new.ends_with(&written),
                    "nothing is written but an end of the new text"
                );
                let is_whole = method != Method::Repeat || format!("{text}{written}") == new;
                debug_assert!(is_whole, "a repetition gives the text itself");
            }
        }
    }
}

/// What a seam lets through of a text in pieces; `None` if it is abandoned.
fn join<'t>(mut seam: Seam, before: Before<'_>, pieces: impl Iterator<Item = &'t str>) -> Option<String> {
    let mut out = String::new();
    let mut take = |step: Step| match step {
        Step::Abandoned => false,
        Step::Held => true,
        Step::Text(text) => {
            out.push_str(&text);
            true
        }
    };
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        if !take(seam.feed(before, piece.to_owned())) {
            return None;
        }
    }
    take(seam.settle(before)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of `new` after `text`, fed one character at a time; `None` if it is abandoned.
    fn check(method: Method, echoes: bool, text: &str, new: &str, expected: Option<&str>) {
        let before = Before {
            sent: text.trim_end(),
            text,
        };
        let pieces: Vec<String> = new.chars().map(String::from).collect();
        let seam = Seam::new(method, echoes, before);
        let got = join(seam, before, pieces.iter().map(String::as_str));
        assert_eq!(got.as_deref(), expected, "{method:?} {text:?} {new:?}");
    }

    #[test]
    fn what_is_repeated_is_left_out() {
        use Method::{Instruct, Prefill};
        let text = "The cat sat on the mat";
        for method in [Prefill, Instruct] {
            for (text, new, expected) in [
                (text, " and slept.", " and slept."),
                // The whole, or the end of it.
                (text, "The cat sat on the mat and slept.", " and slept."),
                (text, " the mat and slept.", " and slept."),
                (text, "sat on the mat", ""),
                // What looks like a repetition at first.
                (text, "The cat sat up.", "The cat sat up."),
                (text, "The cat", "The cat"),
                (text, "sat on the roof", "sat on the roof"),
                // Too short to be one.
                (text, "mat", "mat"),
                ("bana", "na", "na"),
                ("ha", "ha!", "ha!"),
                // White space was not sent, so it comes again.
                ("one ", " two", "two"),
                ("one ", "two", "two"),
                ("one\n", "\n\ntwo", "\ntwo"),
                ("one \n", "\ntwo", "two"),
                ("one ", "\ntwo", "\ntwo"),
                ("The cat sat ", "The cat sat on", "on"),
                ("The cat sat\n", "The cat sat\n\non", "\non"),
                (" \n", "x", "x"),
                ("", "x", "x"),
                // Characters, not bytes.
                ("Die Katze saß, läßt grüßen", "läßt grüßen: Öl", ": Öl"),
                ("🐈🐈🐈🐈🐈🐈🐈🐈🐈", "🐈🐈🐈🐈🐈🐈🐈🐈🐈🐕", "🐕"),
            ] {
                check(method, false, text, new, Some(expected));
            }
        }
        // A server that is known to send back what it was given is believed at any length.
        check(Prefill, true, "ha", "ha!", Some("!"));
        check(Prefill, true, "ha ", "ha ho", Some("ho"));
        check(Prefill, true, "ha", "ho", Some("ho"));
    }

    #[test]
    fn a_repetition_is_exact_or_none() {
        for (text, new, expected) in [
            ("one two", "one two three", Some(" three")),
            ("one two", "one two", Some("")),
            ("one two", "one tw", None),
            ("one two", "one too", None),
            ("one two", "", None),
            ("one  ", "one   x", Some(" x")),
            ("one ", "one\u{a0}x", None),
            ("", "x", Some("x")),
        ] {
            check(Method::Repeat, false, text, new, expected);
        }
    }
}

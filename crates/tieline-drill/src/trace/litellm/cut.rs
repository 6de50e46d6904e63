//! Cuts JSON that comes in pieces into the objects that are rows: those of a list, of a list under `data` in an object, or
//! one after the other. What stands between and before them is passed over; what a row holds is for its reader to judge.
//!
//! Bounds: [`ROW_BYTES_MAX`] a row; a longer one is counted and passed over, whatever it holds.

use super::ROW_BYTES_MAX;

/// A row, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut<'c> {
    Row(&'c [u8]),
    TooLong,
}

/// Where rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// At this depth: one after the other, in a list, or in the list under [`LISTED`].
    At(usize),
    /// Nowhere, until the object about the list has ended.
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    /// Behind a backslash.
    Escaped,
    In,
    #[default]
    Out,
}

/// What the object that is looked at said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    /// [`LISTED`] and a colon.
    Key,
    /// [`LISTED`].
    Listed,
    #[default]
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Brackets that are open.
    depth: usize,
    /// An object was a row: no later one is about a list of them.
    has_plain: bool,
    is_too_long: bool,
    /// The row that has begun; empty between rows.
    row: Vec<u8>,
    /// Unknown before the first bracket.
    rows: Option<Rows>,
    said: Said,
    text: Text,
    /// Where in the row the last text began.
    text_at: usize,
}

/// The key under which an object has rows as a list.
const LISTED: &[u8] = b"\"data\"";

/// A key of every row, and of no object about a list of them.
const OF_ROWS: &[u8] = b"\"startTime\"";

impl Cutter {
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Cut<'_>)) {
        for byte in bytes {
            self.byte(*byte, each);
        }
    }

    /// Whether the bytes ended within something.
    pub(super) const fn is_open(&self) -> bool {
        self.depth > 0
    }

    fn byte(&mut self, byte: u8, each: &mut dyn FnMut(Cut<'_>)) {
        if self.rows.is_none() {
            match byte {
                b'[' => self.rows = Some(Rows::At(1)),
                b'{' => self.rows = Some(Rows::At(0)),
                _ => return,
            }
        }
        if byte == b'[' && self.is_list_of_rows() {
            self.rows = Some(Rows::At(2));
            self.row.clear();
            self.is_too_long = false;
        }
        let is_in = matches!(self.rows, Some(Rows::At(at)) if self.depth > at);
        let begins = byte == b'{' && self.text == Text::Out && self.rows == Some(Rows::At(self.depth));
        if is_in || begins {
            if self.row.len() < ROW_BYTES_MAX {
                self.row.push(byte);
            } else {
                self.is_too_long = true;
            }
        }
        self.step(byte);
        if is_in && self.rows == Some(Rows::At(self.depth)) {
            each(if self.is_too_long {
                Cut::TooLong
            } else {
                Cut::Row(&self.row)
            });
            self.row.clear();
            self.is_too_long = false;
            self.has_plain |= self.depth == 0;
        }
        match self.rows {
            Some(Rows::At(2)) if self.depth < 2 => self.rows = Some(Rows::Over),
            Some(Rows::Over) if self.depth == 0 => self.rows = None,
            _ => {}
        }
    }

    /// Whether a list that begins holds rows, and the object about it is none.
    fn is_list_of_rows(&self) -> bool {
        let is_member = self.rows == Some(Rows::At(0)) && self.depth == 1 && self.text == Text::Out;
        let is_listed = is_member && !self.has_plain && !self.is_too_long && self.said == Said::Key;
        is_listed && memchr::memmem::find(&self.row, OF_ROWS).is_none()
    }

    fn step(&mut self, byte: u8) {
        match (self.text, byte) {
            (Text::Escaped, _) => return self.text = Text::In,
            (Text::In, b'\\') => return self.text = Text::Escaped,
            (Text::In, b'"') => {
                self.text = Text::Out;
                if !self.is_too_long && self.row.get(self.text_at..) == Some(LISTED) {
                    self.said = Said::Listed;
                }
                return;
            }
            (Text::In, _) => return,
            (Text::Out, _) => {}
        }
        match byte {
            b'"' => {
                self.text = Text::In;
                self.text_at = self.row.len().saturating_sub(1);
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.said = match (self.said, byte) {
            (said, _) if byte.is_ascii_whitespace() => said,
            (Said::Listed, b':') => Said::Key,
            _ => Said::Other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pieces: &[&str]) -> Vec<String> {
        let (mut cutter, mut rows) = (Cutter::default(), Vec::new());
        for piece in pieces {
            cutter.feed(piece.as_bytes(), &mut |cut| match cut {
                Cut::Row(row) => rows.push(String::from_utf8(row.to_vec()).unwrap()),
                Cut::TooLong => rows.push("too long".to_owned()),
            });
        }
        rows
    }

    #[test]
    fn rows_are_cut_wherever_they_lie() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(rows(&[text]), expected, "{text}");
            let bytes: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<&str> = bytes.iter().map(String::as_str).collect();
            assert_eq!(rows(&pieces), expected, "{text}");
        };
        check(
            r#"[{"a":1},{"b":{"c":[2]}}]"#,
            &[r#"{"a":1}"#, r#"{"b":{"c":[2]}}"#],
        );
        check(r#" { "data" : [ {"a":"}]"} ] , "total": 1 }"#, &[r#"{"a":"}]"}"#]);
        check(
            "{\"a\":1}\n{\"b\":\"\\\"{\"}\n",
            &[r#"{"a":1}"#, r#"{"b":"\"{"}"#],
        );
        check(
            r#"{"total": 2, "page": {"data": [{"x": 1}]}, "data": [{"a":1},{"b":[{}]}], "more": false}"#,
            &[r#"{"a":1}"#, r#"{"b":[{}]}"#],
        );
        check(
            r#"{"data":[{"a":1}],"deleted":[{"b":1}],"meta":{"page":{"x":1},"links":[{"y":1}]}}
               {"keys":[{"c":1}],"data":[{"a":2}]}"#,
            &[r#"{"a":1}"#, r#"{"a":2}"#],
        );
        // A row may have such a list of its own.
        check(
            "{\"a\":1}\n{\"data\":[{\"x\":1}]}\n{\"b\":1}",
            &[r#"{"a":1}"#, r#"{"data":[{"x":1}]}"#, r#"{"b":1}"#],
        );
        check(
            r#"{"startTime":"x","data":[{"x":1}]}"#,
            &[r#"{"startTime":"x","data":[{"x":1}]}"#],
        );
        check(r#"{"a":"data","b":[{}]}"#, &[r#"{"a":"data","b":[{}]}"#]);
        check("\u{feff}[{\"a\":1}]", &[r#"{"a":1}"#]);
        check("\u{feff}{\"data\":[{\"a\":1}]}", &[r#"{"a":1}"#]);
        check(r#"{"a":"\"data\":[{}]"}"#, &[r#"{"a":"\"data\":[{}]"}"#]);
        check(r#"{"d ata":[{"x":1}]}"#, &[r#"{"d ata":[{"x":1}]}"#]);
        check(r#"{"date":[{"x":1}]}"#, &[r#"{"date":[{"x":1}]}"#]);
        check("[]", &[]);
        check("", &[]);
        check("[1,2]", &[]);
        check("]]}}[", &[]);
    }

    #[test]
    fn a_row_without_end_is_passed_over() {
        // Nothing looks back over it, however many lists begin in it.
        let spaces = " ".repeat(2 * ROW_BYTES_MAX);
        for head in ["{\"a\":1,", "{\"a\":1,\"data\":"] {
            let long = format!("{head}{spaces}{}0}}{{\"b\":1}}", "[],".repeat(200_000));
            assert_eq!(rows(&[&long]), ["too long", r#"{"b":1}"#]);
        }
        let long = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(ROW_BYTES_MAX));
        assert_eq!(rows(&[&long]), ["too long", r#"{"b":1}"#]);
        let mut cutter = Cutter::default();
        cutter.feed(b"[{\"a\":", &mut |_| {});
        assert!(cutter.is_open());
    }
}

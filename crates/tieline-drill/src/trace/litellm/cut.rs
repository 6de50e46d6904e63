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

#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Brackets that are open.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    is_too_long: bool,
    /// The row that has begun; empty between rows.
    row: Vec<u8>,
    /// How deep rows lie; unknown before the first bracket.
    rows_at: Option<usize>,
}

/// The key under which an object has rows as a list.
const LISTED: &[u8] = b"\"data\"";

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
        if self.rows_at.is_none() {
            match byte {
                b'[' => self.rows_at = Some(1),
                b'{' => self.rows_at = Some(0),
                _ => return,
            }
        }
        if byte == b'[' && self.is_list_of_rows() {
            self.rows_at = Some(2);
            self.row.clear();
            self.is_too_long = false;
        }
        let is_in = self.rows_at.is_some_and(|at| self.depth > at);
        let begins = byte == b'{' && !self.in_text && self.rows_at == Some(self.depth);
        if is_in || begins {
            if self.row.len() < ROW_BYTES_MAX {
                self.row.push(byte);
            } else {
                self.is_too_long = true;
            }
        }
        self.step(byte);
        if is_in && self.rows_at == Some(self.depth) {
            each(if self.is_too_long {
                Cut::TooLong
            } else {
                Cut::Row(&self.row)
            });
            self.row.clear();
            self.is_too_long = false;
        }
    }

    /// Whether a list that begins holds rows, and the object about it is none: it is the object's `data`.
    fn is_list_of_rows(&self) -> bool {
        let is_member = self.rows_at == Some(0) && self.depth == 1 && !self.in_text;
        let before = || {
            self.row
                .trim_ascii_end()
                .strip_suffix(b":")?
                .trim_ascii_end()
                .strip_suffix(LISTED)
        };
        is_member
            && before().is_some_and(|before| matches!(before.trim_ascii_end().last(), Some(b'{' | b',')))
    }

    fn step(&mut self, byte: u8) {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
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
        let long = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(ROW_BYTES_MAX));
        assert_eq!(rows(&[&long]), ["too long", r#"{"b":1}"#]);
        let mut cutter = Cutter::default();
        cutter.feed(b"[{\"a\":", &mut |_| {});
        assert!(cutter.is_open());
    }
}

//! A `*.cedar` text as its policies, before Cedar parses them: a semicolon outside strings and comments ends a policy,
//! and nothing else in the grammar does. So a mistake in one policy hides no other, and each has a place.
//!
//! Bounds are checked here, because Cedar's parser and its syntax trees recurse: at most [`POLICY_BYTES_MAX`] and
//! [`NESTING_MAX`] per policy.

/// Bytes of one policy. A list of all countries, written out, is 4 KB. What matters is the longest chain of operators
/// that fits, since it becomes a tree of that depth: 8 KiB of `1+1+…` are 4,096 levels.
pub(crate) const POLICY_BYTES_MAX: usize = 8_192;

/// Brackets within brackets. People write fewer than ten.
pub(crate) const NESTING_MAX: usize = 32;

/// One policy as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'t> {
    /// Names and offsets (from the start of the fragment) of `@name`, in order.
    pub(crate) annotations: Vec<(&'t str, usize)>,
    pub(crate) nesting: usize,
    /// Where it begins in the text.
    pub(crate) offset: usize,
    /// Without the comments before it, with its semicolon.
    pub(crate) text: &'t str,
}

/// The policies of a text; the last may lack its semicolon.
pub(crate) fn split(text: &str) -> Vec<Fragment<'_>> {
    let mut out = Vec::new();
    let mut scan = Scan::new(text);
    loop {
        scan.skip_blank();
        if scan.peek().is_none() {
            return out;
        }
        out.push(scan.fragment());
    }
}

/// The attributes that a policy's text asks for with `has`, each segment of a dotted one, and where they begin.
pub(crate) fn guards(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut scan = Scan::new(text);
    while let Some(lexeme) = scan.lexeme() {
        if lexeme == Lexeme::Word("has") {
            scan.guarded(&mut out);
        }
    }
    out
}

/// How many operators a policy's text has, and so how deep its tree can be at most: brackets, accesses, signs, and what
/// stands between two expressions. Those that cannot be chained are left out.
pub(crate) fn operators(text: &str) -> usize {
    let mut scan = Scan::new(text);
    let lexemes = std::iter::from_fn(|| scan.lexeme());
    lexemes
        .filter(|lexeme| match lexeme {
            Lexeme::Word(word) => matches!(*word, "if" | "has"),
            Lexeme::Byte(byte) => b"&|.+-*!([{".contains(byte),
        })
        .count()
}

/// What stands outside strings and comments.
#[derive(Debug, PartialEq, Eq)]
enum Lexeme<'t> {
    Byte(u8),
    /// Letters, digits and underscores; a digit before letters begins no other word.
    Word(&'t str),
}

struct Scan<'t> {
    at: usize,
    bytes: &'t [u8],
    text: &'t str,
}

impl<'t> Scan<'t> {
    const fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        Self { at: 0, bytes, text }
    }

    /// The next one, behind which the cursor then is.
    fn lexeme(&mut self) -> Option<Lexeme<'t>> {
        loop {
            let byte = self.peek()?;
            if byte == b'"' {
                self.skip_string();
            } else if byte.is_ascii_alphanumeric() || byte == b'_' {
                let word = self.name(self.at);
                self.at += word.len();
                return Some(Lexeme::Word(word));
            } else if !self.skip_comment() {
                self.at += 1;
                return Some(Lexeme::Byte(byte));
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// White space and comments.
    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            if byte.is_ascii_whitespace() {
                self.at += 1;
            } else if !self.skip_comment() {
                return;
            }
        }
    }

    fn skip_comment(&mut self) -> bool {
        let is_comment = self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(b"//"));
        if is_comment {
            while self.peek().is_some_and(|b| b != b'\n') {
                self.at += 1;
            }
        }
        is_comment
    }

    /// From the quote under the cursor to behind the one that closes it, or to the end.
    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    fn fragment(&mut self) -> Fragment<'t> {
        let offset = self.at;
        let mut depth = 0_usize;
        let mut nesting = 0;
        let mut annotations = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'/' if self.skip_comment() => continue,
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b'@' if depth == 0 => annotations.push((self.name(self.at + 1), self.at - offset)),
                _ => {}
            }
            nesting = nesting.max(depth);
            self.at += 1;
            if byte == b';' {
                break;
            }
        }
        self.at = self.at.min(self.bytes.len());
        let text = self.text.get(offset..self.at).unwrap_or_default();
        Fragment {
            annotations,
            nesting,
            offset,
            text,
        }
    }

    /// What stands behind a `has`: a path of names, or one name in quotes.
    fn guarded(&mut self, out: &mut Vec<(usize, &'t str)>) {
        self.skip_blank();
        if self.peek() == Some(b'"') {
            let from = self.at + 1;
            self.skip_string();
            let inner = self.text.get(from..self.at.saturating_sub(1));
            out.extend(inner.map(|inner| (from, inner)));
            return;
        }
        loop {
            let name = self.name(self.at);
            out.push((self.at, name));
            self.at += name.len();
            if name.is_empty() || self.peek() != Some(b'.') {
                return;
            }
            self.at += 1;
        }
    }

    fn name(&self, from: usize) -> &'t str {
        let rest = self.text.get(from..).unwrap_or_default();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let found: Vec<_> = split(text).iter().map(|f| (f.offset, f.text)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn semicolons_end_policies_and_nothing_else_does() {
        check("", &[]);
        check(" // only a comment; really\n", &[]);
        check("a;b;", &[(0, "a;"), (2, "b;")]);
        check("a(\";\\\";\");// x;\n b;", &[(0, "a(\";\\\";\");"), (17, "b;")]);
        check("a; b", &[(0, "a;"), (3, "b")]);
        check("a // ;\n;", &[(0, "a // ;\n;")]);
        check("a \"open; \\", &[(0, "a \"open; \\")]);
    }

    #[test]
    fn guards_are_found_outside_strings_and_comments() {
        let text = "@t(\"x has y\") forbid(principal) when { principal has class && // a has b\n context has\n channel.region \
                    || resource has \"lab\" || hash has_x has 9has };";
        let names: Vec<&str> = guards(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["class", "channel", "region", "lab", "9has"]);
        for (at, name) in guards(text) {
            assert_eq!(text.get(at..at + name.len()), Some(name));
        }
        assert_eq!(guards("has"), [(3, "")]);
        assert_eq!(guards("has \"open"), [(5, "ope")]);
    }

    #[test]
    fn annotations_and_nesting_are_seen() {
        let text = "@id(\"@x\") @effect(\"hold\") forbid(principal) when {[(1)]};";
        let found = split(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].annotations, vec![("id", 0), ("effect", 10)]);
        assert_eq!(found[0].nesting, 3);
    }
}

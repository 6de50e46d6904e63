//! Markup that cannot be broken by what it says: elements are closed by their structure, and everything between and in
//! them is escaped here and nowhere else. What comes out is HTML and well-formed XML at once.

use std::fmt::{Display, Write as _};

/// Attributes in the order in which they are written.
pub(super) type Attrs<'a> = &'a [(&'static str, &'a dyn Display)];

/// A growing piece of markup.
#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
}

impl Markup {
    /// An element around what `inside` writes.
    pub(super) fn element(&mut self, tag: &'static str, attrs: Attrs<'_>, inside: impl FnOnce(&mut Self)) {
        self.start(tag, attrs);
        self.text.push('>');
        inside(self);
        self.text.push_str("</");
        self.text.push_str(tag);
        self.text.push('>');
        if is_block(tag) {
            self.text.push('\n');
        }
    }

    /// An element around text.
    pub(super) fn leaf(&mut self, tag: &'static str, attrs: Attrs<'_>, text: impl Display) {
        self.element(tag, attrs, |inside| inside.say(text));
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, tag: &'static str, attrs: Attrs<'_>) {
        self.start(tag, attrs);
        self.text.push_str("/>");
        if is_block(tag) {
            self.text.push('\n');
        }
    }

    /// Text.
    pub(super) fn say(&mut self, text: impl Display) {
        escape(&text.to_string(), &mut self.text);
    }

    /// Markup that was written before.
    pub(super) fn append(&mut self, markup: Self) {
        if self.text.is_empty() {
            self.text = markup.text;
        } else {
            self.text.push_str(&markup.text);
        }
    }

    /// What this program wrote and no one else: a style sheet, a doctype.
    pub(super) fn own(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    /// Whether it is a dash: nothing to say.
    pub(super) fn is_nil(&self) -> bool {
        self.text == "–"
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn start(&mut self, tag: &'static str, attrs: Attrs<'_>) {
        self.text.push('<');
        self.text.push_str(tag);
        for (name, value) in attrs {
            let _ = write!(self.text, " {name}=\"");
            escape(&value.to_string(), &mut self.text);
            self.text.push('"');
        }
    }
}

/// A piece of markup of its own.
pub(super) fn markup(write: impl FnOnce(&mut Markup)) -> Markup {
    let mut markup = Markup::default();
    write(&mut markup);
    markup
}

/// Elements after which a line may end without a space showing.
fn is_block(tag: &str) -> bool {
    !matches!(
        tag,
        "a" | "abbr"
            | "b"
            | "code"
            | "em"
            | "small"
            | "span"
            | "strong"
            | "text"
            | "time"
            | "title"
            | "tspan"
    )
}

/// What must not stand in markup as it is, in its place. Characters that a document may not hold, and those that turn the
/// direction of the text around them, are replaced.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(' '),
            c if is_unfit(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// What a document may not hold, and what turns the direction of the text around it or does not show.
const fn is_unfit(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let check = |text: &str, expected: &str| {
            let leaf = markup(|m| m.leaf("b", &[("title", &text)], text)).finish();
            assert_eq!(leaf, format!("<b title=\"{expected}\">{expected}</b>"));
        };
        check(
            "<script>alert(1)</script>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
        );
        check("\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;");
        check("a\nb\u{0}\u{202e}c\u{85}", "a b\u{fffd}\u{fffd}c\u{fffd}");
        check("Ærø 東京 🏔", "Ærø 東京 🏔");
    }
}

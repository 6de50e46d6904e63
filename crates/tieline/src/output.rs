//! What commands print: text or one JSON object on standard output, failures on standard error. A closed pipe
//! (`tieline ledger tail | head`) is not a failure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1: it ran and found something; 2: the input is wrong.
    pub(crate) code: u8,
    /// A lower-case fragment that reads after "error: ".
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the message is a whole report, which names each of its errors itself.
    is_report: bool,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The input is wrong.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(2, message.into())
    }

    /// The input is wrong, as a rendered report says.
    pub(crate) fn report(report: impl Into<String>) -> Self {
        Self {
            is_report: true,
            ..Self::input(report)
        }
    }

    /// It ran and found something.
    pub(crate) fn found(message: impl Into<String>) -> Self {
        Self::new(1, message.into())
    }

    pub(crate) fn new(code: u8, message: String) -> Self {
        Self {
            code,
            hint: None,
            is_report: false,
            message,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn print(&self) {
        let mut err = io::stderr().lock();
        // A report may be coloured, and escapes what it quotes.
        let _ = if self.is_report {
            writeln!(err, "{}", self.message.trim_end())
        } else {
            writeln!(err, "error: {}", visible(self.message.trim_end()))
        };
        if let Some(hint) = &self.hint {
            let _ = writeln!(err, "hint: {}", visible(hint));
        }
    }
}

/// Print a line of text.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    written(writeln!(
        io::stdout().lock(),
        "{}",
        visible(text.as_ref().trim_end_matches('\n'))
    ))
}

/// Print a rendered report, which may be coloured and escapes what it quotes.
pub(crate) fn report(text: &str) -> Result<()> {
    written(writeln!(io::stdout().lock(), "{}", text.trim_end_matches('\n')))
}

/// The text with what would steer a terminal, or turn the reading order of a line, written as JSON writes it: names and ids
/// come from others. A line break, alone or after a carriage return, and a tab stay.
fn visible(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = |c: char| matches!(c, '\n' | '\t');
    if !text.contains(|c| steers(c) && !breaks(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let ends_line = c == '\r' && chars.peek() == Some(&'\n');
        if steers(c) && !breaks(c) && !ends_line {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Print one JSON object.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::found(error.to_string()))?;
    line(text)
}

/// Print one object of JSON Lines.
pub(crate) fn json_line(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Failure::found(error.to_string()))?;
    line(text)
}

/// One field of RFC 4180. A text that a spreadsheet would take for a formula begins with an apostrophe: names come from
/// outside. A dash alone, for what is absent, is none.
pub(crate) fn csv_field(text: &str) -> String {
    let guarded = if text != "-" && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if guarded.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", guarded.replace('"', "\"\""))
    } else {
        guarded
    }
}

/// Print a line of progress, if somebody watches.
pub(crate) fn progress(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Print what a person should know before they believe the rest.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(io::stderr().lock(), "warning: {}", visible(text));
}

pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Colour only for people: a terminal, and no NO_COLOR (no-color.org).
pub(crate) fn is_colored() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal() && !plain
}

pub(crate) fn look() -> crate::diagnose::Look {
    if is_colored() {
        crate::diagnose::Look::Color
    } else {
        crate::diagnose::Look::Plain
    }
}

fn written(result: io::Result<()>) -> Result<()> {
    match result {
        // Whoever read has seen enough, as `head` does. What was found, receipts and files do not hang on that.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::found(format!(
            "cannot write to standard output: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_csv_is_no_formula_and_no_two_fields() {
        let check = |text: &str, expected: &str| assert_eq!(csv_field(text), expected);
        check("gpt-6", "gpt-6");
        check("a,b", "\"a,b\"");
        check("say \"x\"", "\"say \"\"x\"\"\"");
        check("=1+1", "'=1+1");
        check("-1,2", "\"'-1,2\"");
        check("\tx", "'\tx");
        check("-", "-");
        check("", "");
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_obeyed() {
        for (text, expected) in [
            ("p_1\tA name\nüber", "p_1\tA name\nüber"),
            ("a,b\r\nc", "a,b\r\nc"),
            ("\u{1b}[2Jp_1\rp_2", "\\u001b[2Jp_1\\u000dp_2"),
            ("\u{9b}31m\u{7f}", "\\u009b31m\\u007f"),
            ("p_\u{202e}1\u{2069}", "p_\\u202e1\\u2069"),
        ] {
            assert_eq!(visible(text), expected);
        }
        // JSON escapes no more than it must, and stays what it was.
        let value = serde_json::json!({ "id": "\u{9b}31m\u{1b}" });
        let printed = visible(&value.to_string()).into_owned();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&printed).unwrap(),
            value
        );
    }
}

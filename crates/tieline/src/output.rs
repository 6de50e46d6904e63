//! What commands print: text or one JSON object on standard output, failures on standard error. A closed pipe
//! (`tieline ledger tail | head`) is not a failure.

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
        let prefix = if self.is_report { "" } else { "error: " };
        let _ = writeln!(err, "{prefix}{}", self.message.trim_end());
        if let Some(hint) = &self.hint {
            let _ = writeln!(err, "hint: {hint}");
        }
    }
}

/// Print a line of text.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    written(writeln!(
        io::stdout().lock(),
        "{}",
        text.as_ref().trim_end_matches('\n')
    ))
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

/// Print a line of progress, if somebody watches.
pub(crate) fn progress(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
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
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::found(format!(
            "cannot write to standard output: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

//! From text to a TOML table, with the parser's errors as diagnostics: one for each line that has any.

use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::diagnose::{Code, Diagnostic, Sink, Span};

/// The parser's words for a key that is written twice.
const DUPLICATE: &str = "duplicate key";

/// Parse a document. A key written twice is reported and the first kept, so that the rest can be checked; any other
/// error ends the check.
pub(super) fn parse<'t>(text: &'t str, sink: &mut Sink) -> Option<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut is_whole = true;
    // After a table that is written twice each of its keys is a duplicate as well; one message is enough.
    let mut quiet_until = 0;
    let mut line_before = usize::MAX;
    for error in &errors {
        let span = Span::from(error.span().unwrap_or(0..0));
        let line = line_start(text, span.start);
        let is_duplicate = error.message() == DUPLICATE;
        is_whole &= is_duplicate;
        // After an error, the parser takes the second of a list of tables for the first one again.
        let is_of_list = text
            .get(line..)
            .is_some_and(|rest| rest.trim_start().starts_with("[["));
        let is_quiet = span.start < quiet_until || (is_of_list && !is_whole);
        if line == line_before || (is_duplicate && is_quiet) {
            continue;
        }
        line_before = line;
        if is_duplicate {
            let is_header = text
                .get(line..)
                .is_some_and(|rest| rest.trim_start().starts_with('['));
            if is_header {
                quiet_until = next_header(text, span.end);
            }
            sink.push(duplicate(text, span, is_header));
        } else {
            sink.push(syntax(text, error, span));
        }
    }
    is_whole.then(|| Spanned::into_inner(table))
}

fn duplicate(text: &str, span: Span, is_header: bool) -> Diagnostic {
    let key = text.get(span.start..span.end).unwrap_or_default();
    let what = if is_header { "table" } else { "key" };
    let diagnostic = Diagnostic::error(
        Code::NameTwice,
        format!("the {what} `{}` is written twice", crate::diagnose::shown(key)),
    )
    .at(span, "here again");
    let diagnostic = match first_mention(text, span, is_header) {
        Some(first) => diagnostic.also(first, "written here first"),
        None => diagnostic,
    };
    let advice = if is_header {
        "rename one of the two, or merge them into one table"
    } else {
        "keep one of the two"
    };
    diagnostic.hint(advice)
}

fn syntax(text: &str, error: &Error, span: Span) -> Diagnostic {
    let line = text
        .get(line_start(text, span.start)..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    // The parser asks for quotes where there is nothing to put into them.
    let has_value = !line.trim_end().ends_with('=');
    let message = if has_value {
        error.message()
    } else {
        "a value is missing"
    };
    let diagnostic = Diagnostic::error(Code::Syntax, format!("not valid TOML: {message}")).at(span, "");
    if line.contains(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) {
        diagnostic.hint("the line has typographic quotes; TOML wants `\"`")
    } else if message.contains("string") {
        diagnostic.hint("text needs quotes on both sides: `name = \"text\"`")
    } else {
        diagnostic
    }
}

/// Where the table or key was written before, by its text: the parser does not say.
fn first_mention(text: &str, span: Span, is_header: bool) -> Option<Span> {
    let line = line_start(text, span.start);
    let before = text.get(..line)?;
    let wanted = squeezed(text.get(line..)?.lines().next()?, is_header);
    let mut found = None;
    let mut start = 0;
    for candidate in before.split_inclusive('\n') {
        let here = start..start + candidate.trim_end().len();
        start += candidate.len();
        let is_table = candidate.trim_start().starts_with('[');
        if is_table == is_header && squeezed(candidate, is_header) == wanted {
            found.get_or_insert(Span::from(here));
        } else if is_table && !is_header {
            found = None;
        }
    }
    found
}

/// What two lines that name the same thing have in common.
fn squeezed(line: &str, is_header: bool) -> String {
    let end = if is_header { ']' } else { '=' };
    line.chars()
        .take_while(|c| *c != end)
        .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\''))
        .collect()
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1)
}

fn next_header(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find("\n["))
        .map_or(usize::MAX, |offset| at + offset)
}

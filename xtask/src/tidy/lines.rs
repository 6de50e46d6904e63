//! Lines of any text: no space at their end, no tab in front, a last newline; in Rust, not wider than a screen half.

use crate::repo::Finding;

/// Columns of a line of Rust. `rustfmt` keeps code to 110; this is for comments, which it leaves alone. A line with a
/// string literal may be longer, for a string that is broken is not found again.
const COLUMNS_MAX: usize = 124;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rust = super::is_rust(path);
    for (index, line) in text.split('\n').enumerate() {
        let mut add = |says: String| findings.push(Finding::new(path, index + 1, says));
        // Two spaces at the end are a line break in Markdown, which a backslash says visibly.
        if line.ends_with([' ', '\t', '\r']) {
            add("ends in white space".to_owned());
        }
        if rust && line.starts_with('\t') {
            add("starts with a tab".to_owned());
        }
        let columns = line.chars().count();
        let comment = line.trim_start().starts_with("//");
        if rust && columns > COLUMNS_MAX && (comment || !line.contains('"')) && !line.contains("://") {
            add(format!("has {columns} columns, the limit is {COLUMNS_MAX}"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(
            path,
            text.lines().count(),
            "the last line has no newline",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rust(text: &str, expected: usize) {
        assert_eq!(check("a.rs", text).len(), expected, "{text:?}");
    }

    #[test]
    fn white_space_at_the_end_is_found() {
        check_rust("let a = 1; \n", 1);
        check_rust("let a = 1;\r\n", 1);
        check_rust("\tlet a = 1;\n", 1);
        check_rust("let a = 1;", 1);
        check_rust("let a = 1;\n", 0);
        check_rust("", 0);
    }

    #[test]
    fn a_wide_line_is_found_unless_it_is_a_string_or_a_link() {
        let wide = "x".repeat(COLUMNS_MAX);
        check_rust(&format!("// {wide}\n"), 1);
        check_rust(&format!("// a \"quoted\" {wide}\n"), 1);
        check_rust(&format!("// https://{wide}\n"), 0);
        check_rust(&format!("let a = \"{wide}\";\n"), 0);
        assert_eq!(check("a.md", &format!("{wide}{wide}\n")).len(), 0);
    }
}

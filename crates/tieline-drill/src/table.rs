//! Plain-text tables and numbers for a terminal: columns aligned by characters, two spaces apart; the first columns to the
//! left, numbers to the right.

use std::fmt::Write as _;

use tieline_core::Nano;

/// A column's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Rows of cells as aligned lines, the head first; no line ends in a space.
pub fn table(head: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let names: Vec<String> = head.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        for ((cell, (_, side)), width) in row.iter().zip(head).zip(&widths) {
            let padding = " ".repeat(width - cell.chars().count());
            let parts = match side {
                Side::Left => [cell.as_str(), &padding],
                Side::Right => [padding.as_str(), cell],
            };
            line.push_str(parts[0]);
            line.push_str(parts[1]);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A whole number with a comma between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (ix, digit) in digits.chars().enumerate() {
        if ix > 0 && (digits.len() - ix).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Nano-dollars as USD, exact, without trailing zeros beyond the cent.
pub(crate) fn usd(nano: u64) -> String {
    let exact = Nano(nano).to_string();
    let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
    let short = fraction.trim_end_matches('0');
    format!("{whole}.{short:0<2}")
}

/// Basis points as per cent with one decimal, rounded half up.
pub(crate) fn percent(bp: u32) -> String {
    let tenths = bp.saturating_add(5) / 10;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The first few of a list, and how many more there are.
pub(crate) fn few(names: &[String], max: usize) -> String {
    let mut text = names
        .iter()
        .take(max)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > max {
        let _ = write!(text, " and {} more", count((names.len() - max) as u64));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ];
        for (n, expected) in cases {
            assert_eq!(count(n), expected);
        }
        assert_eq!(usd(1_500_000_000), "1.50");
        assert_eq!(usd(1), "0.000000001");
        assert_eq!(percent(3_333), "33.3 %");
        assert_eq!(plural(1, "call"), "1 call");
        assert_eq!(few(&["a".into(), "b".into(), "c".into()], 2), "a, b and 1 more");
    }

    #[test]
    fn columns_align() {
        let rows = vec![
            vec!["é".to_owned(), "10".to_owned()],
            vec!["bb".to_owned(), "9".to_owned()],
        ];
        assert_eq!(
            table(&[("name", Side::Left), ("n", Side::Right)], &rows),
            "name   n\né     10\nbb     9\n"
        );
    }
}

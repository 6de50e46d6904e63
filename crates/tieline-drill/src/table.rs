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

/// A number of parties.
pub(crate) fn plural_parties(n: u64) -> String {
    format!("{} {}", count(n), if n == 1 { "party" } else { "parties" })
}

/// Nano-dollars as USD, exact, without trailing zeros beyond the cent.
pub(crate) fn usd(nano: u64) -> String {
    let exact = Nano(nano).to_string();
    let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
    let short = fraction.trim_end_matches('0');
    format!("{whole}.{short:0<2}")
}

/// A change in nano-dollars as USD with its sign.
pub(crate) fn signed_usd(nano: i128) -> String {
    let sign = if nano < 0 { '-' } else { '+' };
    format!(
        "{sign}{}",
        usd(u64::try_from(nano.unsigned_abs()).unwrap_or(u64::MAX))
    )
}

/// Thousandths as per cent with one decimal.
pub(crate) fn tenths(permille: u64) -> String {
    format!("{}.{} %", count(permille / 10), permille % 10)
}

/// µs as people read times: milliseconds up to ten seconds, then seconds, minutes, hours.
pub(crate) fn span(us: u64) -> String {
    let (ms, s) = (us.div_ceil(1_000), us.div_ceil(1_000_000));
    match s {
        0..10 => format!("{} ms", count(ms)),
        10..120 => format!("{s} s"),
        120..7_200 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", count(s / 3_600), s / 60 % 60),
    }
}

/// Basis points as per cent with one decimal, rounded half up.
pub(crate) fn percent(bp: u32) -> String {
    let tenths = bp.saturating_add(5) / 10;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Columns of a terminal.
const COLUMNS: usize = 100;

/// A paragraph broken into lines between words; the lines after the first are indented by so many spaces more than it.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let first = text.len() - text.trim_start_matches(' ').len();
    let mut lines = String::with_capacity(text.len() + 16);
    lines.push_str(&" ".repeat(first));
    let mut column = first;
    for (ix, word) in text.split_whitespace().enumerate() {
        let wide = word.chars().count();
        if ix > 0 && column + 1 + wide > COLUMNS {
            lines.push('\n');
            lines.push_str(&" ".repeat(first + indent));
            column = first + indent;
        } else if ix > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += wide;
    }
    lines.push('\n');
    lines
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
    fn times_read_well() {
        let cases = [
            (0, "0 ms"),
            (1, "1 ms"),
            (9_000_000, "9,000 ms"),
            (9_000_001, "10 s"),
            (119_000_000, "119 s"),
            (120_000_000, "2 min 0 s"),
            (7_200_000_000, "2 h 0 min"),
            (52_320_000_000, "14 h 32 min"),
        ];
        for (us, expected) in cases {
            assert_eq!(span(us), expected);
        }
        assert_eq!(tenths(1_234), "123.4 %");
        assert_eq!(signed_usd(-1_500_000_000), "-1.50");
    }

    #[test]
    fn paragraphs_break_between_words() {
        let text = format!("  one {}", "word ".repeat(30));
        let lines: Vec<String> = wrapped(&text, 2).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  one word") && lines[0].len() <= COLUMNS && lines[0].len() > 94);
        assert!(lines[1].starts_with("    word"));
        let long = "x".repeat(200);
        assert_eq!(wrapped(&long, 2), format!("{long}\n"), "a long word stays whole");
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

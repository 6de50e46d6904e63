//! Numbers and names as a page says them: shares that never round to nothing or to all, instants, elements, and how sure
//! each number is.

use std::fmt;

use tieline_core::Tick;

use crate::contingency::Label;
use crate::elements::{Element, ElementKind};
use crate::table::count;
use crate::traffic::Basis;

/// How far a number can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sure {
    /// Decided or counted call by call over recorded calls.
    Exact,
    Modelled,
    Assumed,
}

impl Sure {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Modelled => "modelled",
            Self::Assumed => "assumed",
        }
    }

    /// Counts of calls of this basis.
    pub(super) const fn of(basis: Basis) -> Self {
        match basis {
            Basis::Recorded => Self::Exact,
            Basis::Drawn | Basis::Trace => Self::Modelled,
            Basis::Steady | Basis::Structure => Self::Assumed,
        }
    }

    /// The weaker of the two.
    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Assumed, _) | (_, Self::Assumed) => Self::Assumed,
            (Self::Modelled, _) | (_, Self::Modelled) => Self::Modelled,
            (Self::Exact, Self::Exact) => Self::Exact,
        }
    }
}

impl From<Label> for Sure {
    fn from(label: Label) -> Self {
        match label {
            Label::Exact => Self::Exact,
            Label::Modelled => Self::Modelled,
        }
    }
}

/// A part of a whole in per cent. What is something is never nothing, and what is not all is never all.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerCent(pub(super) u64, pub(super) u64);

impl fmt::Display for PerCent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, whole) = (u128::from(self.0), u128::from(self.1));
        let Some(permille) = (part * 1_000 + whole / 2).checked_div(whole) else {
            return f.write_str("–");
        };
        match permille {
            0 if part > 0 => f.write_str("under 0.1 %"),
            0 => f.write_str("0 %"),
            1_000 if part < whole => f.write_str("over 99.9 %"),
            1..100 => write!(f, "{}.{} %", permille / 10, permille % 10),
            _ => {
                let percent = (part * 100 + whole / 2) / whole;
                if percent == 100 && part < whole {
                    return write!(f, "{}.{} %", permille / 10, permille % 10);
                }
                write!(f, "{percent} %")
            }
        }
    }
}

/// An instant to the minute: `2026-06-12 17:21 UTC`.
pub(super) fn minute(us: u64) -> String {
    let text = Tick(us).rfc3339();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or(time))
}

/// The span from one instant to another, the day said once where it is one: `2026-06-12 17:21 to 18:00 UTC`.
pub(super) fn between(from_us: u64, until_us: u64) -> String {
    let (from, until) = (minute(from_us), minute(until_us));
    let start = from.trim_end_matches(" UTC");
    match (from.split_once(' '), until.split_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => format!("{start} to {time}"),
        _ => format!("{start} to {until}"),
    }
}

/// An element as a sentence names it: `channel bedrock-east`, `cloud aws`.
pub(super) fn spoken(element: &Element) -> String {
    match element.kind {
        ElementKind::Channel => format!("channel {}", element.name),
        ElementKind::Component => match element.name.split_once(':') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => format!("{kind} {name}"),
            _ => format!("component {}", element.name),
        },
    }
}

/// What is gone at once, as a sentence names it.
pub(super) fn spoken_all(gone: &[Element]) -> String {
    let names: Vec<String> = gone.iter().map(spoken).collect();
    names.join(" and ")
}

/// A noun in its number.
pub(super) const fn noun<'n>(n: u64, one: &'n str, many: &'n str) -> &'n str {
    if n == 1 { one } else { many }
}

/// A number, or a dash for none.
pub(super) fn or_dash(n: u64) -> String {
    if n == 0 { "–".to_owned() } else { count(n) }
}

/// Nano-dollars as USD to the cent; what is less is not nothing.
pub(super) fn dollars(nano: u64) -> String {
    let cents = nano / 10_000_000 + u64::from(nano % 10_000_000 >= 5_000_000);
    if cents == 0 && nano > 0 {
        return "under 0.01".to_owned();
    }
    format!("{}.{:02}", count(cents / 100), cents % 100)
}

/// At most so many columns of a text, with an ellipsis where it is cut. What is not ASCII may take two.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let wide = |c: char| if c.is_ascii() { 1 } else { 2 };
    if text.chars().map(wide).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let kept = text.chars().take_while(|c| {
        let fits = wide(*c) <= left;
        left = left.saturating_sub(wide(*c));
        fits
    });
    kept.chain(std::iter::once('…')).collect()
}

/// At most so many columns of a name, cut in its middle: names of one kind often begin alike.
pub(super) fn cut_within(name: &str, columns: usize) -> String {
    if cut(name, columns) == name {
        return name.to_owned();
    }
    let head = cut(name, columns.div_ceil(2));
    let backwards: String = name.chars().rev().collect();
    let tail = cut(&backwards, columns / 2 + 1);
    head.chars().chain(tail.chars().rev().skip(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_never_rounded_to_nothing_or_to_all() {
        let check = |part, whole, text: &str| assert_eq!(PerCent(part, whole).to_string(), text);
        check(0, 0, "–");
        check(0, 5, "0 %");
        check(1, 100_000, "under 0.1 %");
        check(1, 1_000, "0.1 %");
        check(999, 10_000, "10 %");
        check(125, 1_000, "13 %");
        check(996, 1_000, "99.6 %");
        check(99_999, 100_000, "over 99.9 %");
        check(u64::MAX, u64::MAX, "100 %");
    }

    #[test]
    fn instants_and_elements_read_well() {
        let at = |minutes: u64| minutes * 60_000_000;
        assert_eq!(minute(at(0)), "1970-01-01 00:00 UTC");
        assert_eq!(between(at(1), at(90)), "1970-01-01 00:01 to 01:30 UTC");
        assert_eq!(
            between(at(1), at(1_440)),
            "1970-01-01 00:01 to 1970-01-02 00:00 UTC"
        );
        let of = |kind, name: &str| Element {
            kind,
            name: name.to_owned(),
        };
        let cases = [
            (of(ElementKind::Channel, "a:b"), "channel a:b"),
            (of(ElementKind::Component, "cloud:aws"), "cloud aws"),
            (
                of(ElementKind::Component, "region:aws/us-east-1"),
                "region aws/us-east-1",
            ),
            (of(ElementKind::Component, "power"), "component power"),
        ];
        for (element, text) in cases {
            assert_eq!(spoken(&element), text);
        }
    }

    #[test]
    fn dollars_are_said_to_the_cent() {
        let check = |nano, text: &str| assert_eq!(dollars(nano), text);
        check(0, "0.00");
        check(1, "under 0.01");
        check(2_200_000_000_000, "2,200.00");
        check(1_995_000_000, "2.00");
    }

    #[test]
    fn long_names_are_cut_with_a_mark() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("東京東京", 5), "東京…");
        assert_eq!(cut("x", 0), "…");
        assert_eq!(cut_within("channel-with-a-name-042", 12), "chann…me-042");
        assert_eq!(cut_within("channel-042", 11), "channel-042");
        assert_eq!(cut_within("東京東京東京", 7), "東…京");
    }
}

//! What becomes of calls as a bar: its parts in one order, each of its own colour, and the worse, the taller, so that it
//! reads without colours too.

use super::markup::{Markup, markup};
use super::px::Px;
use crate::tally::Tally;

const WIDTH: Px = Px::whole(1_000);
const HEIGHT: i64 = 16;
/// What is something is seen.
const PART_MIN: Px = Px::whole(5);

/// A fate, as pictures name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) height: i64,
    pub(super) of: fn(&Tally) -> u64,
}

/// From the least to the worst.
pub(super) const PARTS: [Part; 5] = [
    Part {
        name: "kept",
        height: 4,
        of: |tally| tally.kept,
    },
    Part {
        name: "moved",
        height: 7,
        of: |tally| tally.moved,
    },
    Part {
        name: "degraded",
        height: 10,
        of: |tally| tally.degraded,
    },
    Part {
        name: "held",
        height: 13,
        of: |tally| tally.held,
    },
    Part {
        name: "lost",
        height: 16,
        of: |tally| tally.lost,
    },
];

/// Where the parts of a bar lie: each with its beginning and its length, end to end, the whole width or nothing.
pub(super) fn parts(tally: &Tally) -> Vec<(&'static Part, Px, Px)> {
    let all = tally.served_before();
    let lengths = PARTS.map(|part| WIDTH.share_seen((part.of)(tally), all, PART_MIN));
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let excess = lengths.iter().copied().sum::<Px>() - WIDTH;
    let mut is_taken = all == 0;
    let mut x = Px(0);
    let mut parts = Vec::new();
    for (part, mut length) in PARTS.iter().zip(lengths) {
        // Roundings and least lengths are the longest part's to bear.
        if !is_taken && length == longest {
            length = length - excess;
            is_taken = true;
        }
        if length > Px(0) {
            parts.push((part, x, length));
            x = x + length;
        }
    }
    parts
}

/// The bar.
pub(super) fn bar(tally: &Tally) -> Markup {
    markup(|m| {
        let attrs: &[(&str, &dyn std::fmt::Display)] = &[
            ("class", &"bar"),
            ("viewBox", &"0 0 1000 16"),
            ("preserveAspectRatio", &"none"),
            ("aria-hidden", &"true"),
            ("focusable", &"false"),
        ];
        m.element("svg", attrs, |m| {
            for (part, x, length) in parts(tally) {
                // A gap between two parts, which colours alone might not show.
                let gap = if x > Px(0) { Px::whole(2) } else { Px(0) };
                let attrs: &[(&str, &dyn std::fmt::Display)] = &[
                    ("class", &part.name),
                    ("x", &(x + gap)),
                    ("y", &(HEIGHT - part.height)),
                    ("width", &(length - gap)),
                    ("height", &part.height),
                ];
                m.empty("rect", attrs);
            }
        });
    })
}

/// What the parts mean.
pub(super) fn legend(m: &mut Markup) {
    const SAYS: [&str; 5] = [
        "same channel",
        "another channel of the same model, or a model with a passing receipt",
        "another model",
        "waiting for an officer",
        "unserved, or broken off",
    ];
    m.element("ul", &[("class", &"legend")], |m| {
        for (part, says) in PARTS.iter().zip(SAYS) {
            m.element("li", &[], |m| {
                let attrs: &[(&str, &dyn std::fmt::Display)] = &[
                    ("viewBox", &"0 0 16 16"),
                    ("width", &16),
                    ("height", &16),
                    ("aria-hidden", &"true"),
                ];
                m.element("svg", attrs, |m| {
                    let attrs: &[(&str, &dyn std::fmt::Display)] = &[
                        ("class", &part.name),
                        ("x", &0),
                        ("y", &(HEIGHT - part.height)),
                        ("width", &16),
                        ("height", &part.height),
                    ];
                    m.empty("rect", attrs);
                });
                m.leaf("b", &[], part.name);
                m.say(format!(" {says}"));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0_u64), 1_u64..10, 1_u64..u64::MAX / 8]
    }

    proptest! {
        #[test]
        fn a_bar_is_whole_and_shows_what_is_something(
            [kept, moved, degraded, held, lost] in prop::array::uniform5(some()),
        ) {
            let tally = Tally { kept, moved, degraded, held, lost, refused_before: 0 };
            let parts = parts(&tally);
            let somethings = PARTS.iter().filter(|part| (part.of)(&tally) > 0).count();
            prop_assert_eq!(parts.len(), somethings);
            let mut end = Px(0);
            for (_, x, length) in &parts {
                prop_assert_eq!(*x, end);
                prop_assert!(*length >= Px::whole(3));
                end = end + *length;
            }
            prop_assert_eq!(end, if somethings > 0 { WIDTH } else { Px(0) });
        }
    }
}

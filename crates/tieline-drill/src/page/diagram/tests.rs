//! Laws of the layout, over random diagrams: nothing has a size below nothing, no two rows lie over each other, every line
//! lies within the rows that it joins, and all of it within the picture.

use proptest::prelude::*;

use super::draw::{Moment, draw};
use super::layout::{COLUMNS, Laid, WIDTH};
use super::*;
use crate::page::px::Px;

/// A diagram of so many rows, with calls between some of them.
fn diagram() -> impl Strategy<Value = Diagram> {
    let rows = (1_usize..6, 1_usize..24, 1_usize..16, 1_usize..7);
    let calls = prop_oneof![3 => Just(0_u64), 3 => 1_u64..100, 1 => 1_u64..1_000_000_000_000];
    let link = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        calls.clone(),
        calls.clone(),
    );
    let links = prop::collection::vec(link, 0..60);
    let unserved = prop::collection::vec((calls.clone(), calls), 24);
    (rows, [links.clone(), links.clone(), links], unserved).prop_map(|(rows, links, unserved)| {
        let counts = [rows.0, rows.1, rows.2, rows.3];
        let mut diagram = Diagram::default();
        for (ix, (column, count)) in diagram.columns.iter_mut().zip(counts).enumerate() {
            for (row, (before, after)) in unserved.iter().copied().enumerate().take(count) {
                let (before, after) = if ix > 1 { (before, after) } else { (0, 0) };
                column.push(Node {
                    chokepoint: (row % 3 == 0).then_some(1),
                    gone: row % 4 == 1,
                    group: (ix == 1).then(|| Group {
                        name: format!("cloud {}", row / 3),
                        ..Group::default()
                    }),
                    name: format!("{ix}.{row} <script>\"&"),
                    unserved: Flow { before, after },
                    ..Node::default()
                });
            }
        }
        for (ix, links) in links.into_iter().enumerate() {
            for (from, to, before, after) in links
                .into_iter()
                .filter(|(_, _, before, after)| before + after > 0)
            {
                let flow = Flow { before, after };
                let (from, to) = (from.index(counts[ix]), to.index(counts[ix + 1]));
                diagram.links[ix].entry((from, to)).or_default().add(flow);
                diagram.columns[ix][from].calls.add(flow);
                diagram.columns[ix + 1][to].calls.add(flow);
            }
        }
        diagram
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn everything_has_its_place(diagram in diagram()) {
        let laid = Laid::of(&diagram);
        let zero = Px(0);
        for ((frames, nodes), (x, width)) in laid.boxes.iter().zip(&diagram.columns).zip(COLUMNS) {
            prop_assert_eq!(frames.len(), nodes.len());
            let mut floor = zero;
            for frame in frames {
                prop_assert_eq!((frame.x, frame.width), (x, width));
                prop_assert!(frame.height > zero && frame.y >= floor, "{:?} below {:?}", frame, floor);
                floor = frame.y + frame.height;
            }
            prop_assert!(floor <= laid.height && x + width <= WIDTH);
        }
        for (row, y) in &laid.captions {
            let frame = laid.boxes[1][*row];
            let above = row.checked_sub(1).map_or(zero, |above| laid.boxes[1][above].y + laid.boxes[1][above].height);
            prop_assert!(above < *y && *y < frame.y, "a name stands between its row and the one above");
        }
        for ribbon in &laid.ribbons {
            let (column, from, to) = ribbon.at;
            let (left, right) = (laid.boxes[column][from], laid.boxes[column + 1][to]);
            prop_assert_eq!((ribbon.from.0, ribbon.to.0), (left.x + left.width, right.x));
            for (frame, y) in [(left, ribbon.from.1), (right, ribbon.to.1)] {
                prop_assert!(ribbon.before >= zero && ribbon.after >= zero && ribbon.room() > zero);
                prop_assert!(frame.y <= y && y + ribbon.room() <= frame.y + frame.height);
            }
            prop_assert_eq!(ribbon.before > zero, ribbon.flow.before > 0);
            prop_assert_eq!(ribbon.after > zero, ribbon.flow.after > 0);
        }
        // Nothing of one side of a row lies over another.
        for (column, frames) in laid.boxes.iter().enumerate() {
            for row in 0..frames.len() {
                for is_right in [true, false] {
                    let own = laid.ribbons.iter().filter(|ribbon| if is_right {
                        (ribbon.at.0, ribbon.at.1) == (column, row)
                    } else {
                        (ribbon.at.0 + 1, ribbon.at.2) == (column, row)
                    });
                    let mut spans: Vec<(Px, Px)> = own
                        .map(|ribbon| {
                            let y = if is_right { ribbon.from.1 } else { ribbon.to.1 };
                            (y, y + ribbon.room())
                        })
                        .collect();
                    let band = match (column, is_right) {
                        (2, true) => Some(laid.unserved[0][row]),
                        (3, false) => Some(laid.unserved[1][row]),
                        _ => None,
                    };
                    spans.extend(band.map(|band| (band.y, band.y + band.before.max(band.after))));
                    spans.sort();
                    for pair in spans.windows(2) {
                        prop_assert!(pair[0].1 <= pair[1].0, "{:?}", spans);
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_is_well_formed_and_the_same_twice(diagram in diagram()) {
        let laid = Laid::of(&diagram);
        for moment in [Moment::Before, Moment::After, Moment::Through] {
            let text = draw((&diagram, &laid), moment, "a <b>", "\"c\" & d").finish();
            let parsed = roxmltree::Document::parse(&text);
            let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
            let root = parsed.root_element();
            prop_assert_eq!(root.attribute("role"), Some("img"));
            let named = root.attribute("aria-labelledby").unwrap_or_default().split(' ');
            for id in named {
                prop_assert!(root.children().any(|child| child.attribute("id") == Some(id)));
            }
            prop_assert!(parsed.descendants().all(|node| !node.has_tag_name("script")));
            let again = draw((&diagram, &Laid::of(&diagram)), moment, "a <b>", "\"c\" & d").finish();
            prop_assert_eq!(text, again);
        }
    }
}

#[test]
fn what_is_not_shown_is_counted() {
    let node = |calls: u64, gone: bool| Node {
        calls: Flow {
            before: calls,
            after: calls,
        },
        gone,
        name: format!("of {calls}"),
        ..Node::default()
    };
    let column: Numbered = (0..30).map(|ix| (ix, node(ix as u64 + 1, ix == 0))).collect();
    let mut shown = Vec::new();
    let rows = fold(column, 10, &mut shown);
    assert_eq!(shown.len(), 10);
    assert_eq!((shown[9].name.as_str(), rows[&1]), ("and 21 more", 9));
    assert!(
        shown.iter().any(|node| node.gone && node.name == "of 1"),
        "what is gone is shown"
    );
    assert!(!shown[9].gone, "the others together are not gone");
    let many: Numbered = (0..30).map(|ix| (ix, node(ix as u64 + 1, ix < 20))).collect();
    let mut half = Vec::new();
    fold(many, 11, &mut half);
    assert_eq!(
        half.iter().filter(|node| node.gone).count(),
        5,
        "and so is where its calls go"
    );
    let all: u64 = shown.iter().map(|node| node.calls.before).sum();
    assert_eq!(all, 30 * 31 / 2, "no call is lost");
}

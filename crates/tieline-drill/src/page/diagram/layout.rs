//! Where everything stands. Rows and lines have the same place before and after, so that what is different is what
//! happened: each takes the room of the larger of the two.

use std::collections::BTreeMap;

use super::{Diagram, Flow, Node};
use crate::page::px::Px;

/// The width of the whole.
pub(in crate::page) const WIDTH: Px = Px::whole(1_120);
/// Where each column begins, and how wide it is.
pub(super) const COLUMNS: [(Px, Px); 4] = [
    (Px::whole(0), Px::whole(150)),
    (Px::whole(270), Px::whole(220)),
    (Px::whole(620), Px::whole(180)),
    (Px::whole(930), Px::whole(190)),
];
/// Above the rows: the names of the columns.
const TOP: Px = Px::whole(38);
const BOTTOM: Px = Px::whole(10);
/// Two lines of text fit a row.
const ROW_MIN: Px = Px::whole(42);
const GAP: Px = Px::whole(12);
/// A cloud's name above its channels.
pub(super) const CAPTION: Px = Px::whole(24);
/// All calls together.
const ALL: Px = Px::whole(300);
/// What has any call is seen.
const LINE_MIN: Px = Px(12);

/// A diagram with its places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::page) struct Laid {
    /// The rows of each column.
    pub(in crate::page) boxes: [Vec<Frame>; 4],
    /// Where the name of a cloud stands: the row under it, and its base line.
    pub(in crate::page) captions: Vec<(usize, Px)>,
    pub(in crate::page) height: Px,
    pub(in crate::page) ribbons: Vec<Ribbon>,
    /// What is unserved, at the right of what is asked and at the left of classes.
    pub(in crate::page) unserved: [Vec<Band>; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::page) struct Frame {
    pub(in crate::page) x: Px,
    pub(in crate::page) y: Px,
    pub(in crate::page) width: Px,
    pub(in crate::page) height: Px,
}

/// Calls between a row and one of the next column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::page) struct Ribbon {
    /// The column that it leaves, and the rows that it joins.
    pub(in crate::page) at: (usize, usize, usize),
    pub(in crate::page) before: Px,
    pub(in crate::page) after: Px,
    pub(in crate::page) flow: Flow,
    pub(in crate::page) from: (Px, Px),
    pub(in crate::page) to: (Px, Px),
}

/// A stretch of a bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::page) struct Band {
    pub(in crate::page) y: Px,
    pub(in crate::page) before: Px,
    pub(in crate::page) after: Px,
}

impl Ribbon {
    /// The room that it takes.
    pub(in crate::page) fn room(&self) -> Px {
        self.before.max(self.after)
    }
}

impl Band {
    fn room(&self) -> Px {
        self.before.max(self.after)
    }
}

impl Laid {
    pub(in crate::page) fn of(diagram: &Diagram) -> Self {
        let all = diagram.calls_max();
        let wide = |calls: u64| ALL.share_seen(calls, all, LINE_MIN);
        let band = |flow: Flow| Band {
            y: Px(0),
            before: wide(flow.before),
            after: wide(flow.after),
        };
        let mut laid = Self::default();
        let [_, _, asks, classes] = &diagram.columns;
        for (bands, column) in laid.unserved.iter_mut().zip([asks, classes]) {
            *bands = column.iter().map(|node| band(node.unserved)).collect();
        }
        laid.ribbons = ribbons(diagram, &wide);
        let mut heights = Vec::new();
        for (ix, column) in diagram.columns.iter().enumerate() {
            let rows: Vec<Px> = (0..column.len()).map(|row| laid.height_of(ix, row)).collect();
            let (height, captions) = stacked(column, &rows);
            heights.push((height, rows, captions));
        }
        let tallest = heights
            .iter()
            .map(|(height, ..)| *height)
            .max()
            .unwrap_or_default();
        for (ix, (height, rows, captions)) in heights.into_iter().enumerate() {
            laid.place(ix, TOP + (tallest - height).half(), &rows, &captions);
        }
        laid.height = TOP + tallest + BOTTOM;
        laid.join();
        laid
    }

    /// The room that a row needs.
    fn height_of(&self, column: usize, row: usize) -> Px {
        let bands = column
            .checked_sub(2)
            .and_then(|ix| self.unserved.get(ix)?.get(row));
        let unserved = bands.map_or(Px(0), Band::room);
        let sum = |side: fn(&Ribbon) -> (usize, usize)| -> Px {
            let own = self.ribbons.iter().filter(|ribbon| side(ribbon) == (column, row));
            own.map(Ribbon::room).sum()
        };
        let leaving = sum(|ribbon| (ribbon.at.0, ribbon.at.1));
        let arriving = sum(|ribbon| (ribbon.at.0 + 1, ribbon.at.2));
        ROW_MIN.max(leaving + unserved).max(arriving + unserved)
    }

    fn place(&mut self, column: usize, top: Px, rows: &[Px], captions: &[bool]) {
        let (x, width) = COLUMNS.get(column).copied().unwrap_or_default();
        let mut y = top;
        for (row, (height, has_caption)) in rows.iter().zip(captions).enumerate() {
            if *has_caption {
                self.captions.push((row, y + Px::whole(16)));
                y = y + CAPTION;
            }
            if let Some(boxes) = self.boxes.get_mut(column) {
                boxes.push(Frame {
                    x,
                    y,
                    width,
                    height: *height,
                });
            }
            y = y + *height + GAP;
        }
    }

    /// Join the rows: the lines of each side of a row stand in the middle of it, in the order of the rows at their other
    /// ends, and what is unserved below them.
    fn join(&mut self) {
        let frame = |boxes: &[Vec<Frame>; 4], column: usize, row: usize| {
            let of = boxes.get(column).and_then(|rows| rows.get(row));
            of.copied().unwrap_or_default()
        };
        let boxes = &self.boxes;
        let mut sides: BTreeMap<(usize, usize, bool), Px> = BTreeMap::new();
        for ribbon in &self.ribbons {
            let (column, from, to) = ribbon.at;
            for side in [(column, from, true), (column + 1, to, false)] {
                let sum = sides.entry(side).or_default();
                *sum = *sum + ribbon.room();
            }
        }
        let top = |sum: Px, column: usize, row: usize, unserved: Px| {
            let frame = frame(boxes, column, row);
            frame.y + (frame.height - sum - unserved).half()
        };
        for (ix, bands) in self.unserved.iter_mut().enumerate() {
            let (column, is_right) = (ix + 2, ix == 0);
            for (row, band) in bands.iter_mut().enumerate() {
                let sum = sides.get(&(column, row, is_right)).copied().unwrap_or_default();
                band.y = top(sum, column, row, band.room()) + sum;
            }
        }
        let unserved = |column: usize, row: usize, is_right: bool| match (column, is_right) {
            (2, true) => self.unserved[0].get(row).map_or(Px(0), Band::room),
            (3, false) => self.unserved[1].get(row).map_or(Px(0), Band::room),
            _ => Px(0),
        };
        let mut next: BTreeMap<(usize, usize, bool), Px> = sides
            .iter()
            .map(|((column, row, is_right), sum)| {
                let below = unserved(*column, *row, *is_right);
                ((*column, *row, *is_right), top(*sum, *column, *row, below))
            })
            .collect();
        for ribbon in &mut self.ribbons {
            let (column, from, to) = ribbon.at;
            let room = ribbon.room();
            let mut take = |side| {
                let place = next.entry(side).or_default();
                let y = *place;
                *place = y + room;
                y
            };
            let left = frame(boxes, column, from);
            ribbon.from = (left.x + left.width, take((column, from, true)));
            ribbon.to = (frame(boxes, column + 1, to).x, take((column + 1, to, false)));
        }
    }
}

/// The lines, in the order of the rows that they leave and then of those that they reach.
fn ribbons(diagram: &Diagram, wide: &dyn Fn(u64) -> Px) -> Vec<Ribbon> {
    let links = diagram.links.iter().enumerate();
    links
        .flat_map(|(column, links)| {
            links.iter().map(move |((from, to), flow)| Ribbon {
                at: (column, *from, *to),
                before: wide(flow.before),
                after: wide(flow.after),
                flow: *flow,
                from: (Px(0), Px(0)),
                to: (Px(0), Px(0)),
            })
        })
        .collect()
}

/// How tall a column is, and before which rows the name of a cloud stands.
fn stacked(column: &[Node], rows: &[Px]) -> (Px, Vec<bool>) {
    let mut last = None;
    let captions = column.iter().map(|node| {
        let is_new = node.group.is_some() && node.group != last;
        last.clone_from(&node.group);
        is_new
    });
    let captions: Vec<bool> = captions.collect();
    let named: Px = captions.iter().filter(|is| **is).map(|_| CAPTION).sum();
    let gaps: Px = rows.iter().skip(1).map(|_| GAP).sum();
    (rows.iter().copied().sum::<Px>() + named + gaps, captions)
}

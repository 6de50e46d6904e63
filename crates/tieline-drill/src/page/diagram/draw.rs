//! The diagram as a picture. A line on a bus is a flow; a square where a channel meets its bus is its breaker, closed and
//! full or open and empty; a diamond marks a chokepoint. Nothing is said by colour alone.

use std::fmt::Write as _;

use super::layout::{Band, COLUMNS, Frame, Laid, Ribbon, WIDTH};
use super::{Diagram, Group, Node};
use crate::page::markup::{Markup, markup};
use crate::page::px::Px;
use crate::page::words::{PerCent, cut, cut_within, noun};
use crate::table::count;

/// Which of the two pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::page) enum Moment {
    Before,
    After,
    /// As after, where what is gone comes back.
    Through,
}

impl Moment {
    const fn is_after(self) -> bool {
        matches!(self, Self::After | Self::Through)
    }

    /// What is said of what is gone.
    const fn gone(self) -> &'static str {
        match self {
            Self::Before | Self::After => "gone",
            Self::Through => "out for a time",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After | Self::Through => "after",
        }
    }
}

const HEADS: [&str; 4] = ["labs", "channels, by cloud", "what is asked", "who asks"];
/// Characters of a name and of a detail, by column: what fits its width at 13 and at 11.5 pixels.
const NAME_MAX: [usize; 4] = [17, 25, 20, 21];
const DETAIL_MAX: [usize; 4] = [20, 30, 24, 26];

/// The picture of one moment. `title` and `says` are for who does not see it.
pub(in crate::page) fn draw(
    (diagram, laid): (&Diagram, &Laid),
    moment: Moment,
    title: &str,
    says: &str,
) -> Markup {
    let name = moment.name();
    let view = format!("0 0 {WIDTH} {}", laid.height);
    let (title_id, says_id) = (format!("grid-{name}-title"), format!("grid-{name}-desc"));
    let labelled = format!("{title_id} {says_id}");
    markup(|m| {
        let attrs: &[(&str, &dyn std::fmt::Display)] = &[
            ("class", &"grid"),
            ("viewBox", &view),
            ("width", &WIDTH),
            ("height", &laid.height),
            ("role", &"img"),
            ("aria-labelledby", &labelled),
            ("xmlns", &"http://www.w3.org/2000/svg"),
        ];
        m.element("svg", attrs, |m| {
            m.leaf("title", &[("id", &title_id)], title);
            m.leaf("desc", &[("id", &says_id)], says);
            heads(m);
            for ribbon in &laid.ribbons {
                ribboned(m, ribbon, moment);
            }
            for (column, (nodes, frames)) in diagram.columns.iter().zip(&laid.boxes).enumerate() {
                for (row, (node, frame)) in nodes.iter().zip(frames).enumerate() {
                    let bands = column
                        .checked_sub(2)
                        .and_then(|ix| laid.unserved.get(ix)?.get(row));
                    boxed(m, (column, node, frame), bands.copied(), moment);
                }
            }
            let [_, channels, ..] = &diagram.columns;
            for (row, y) in &laid.captions {
                if let Some(group) = channels.get(*row).and_then(|node| node.group.as_ref()) {
                    caption(m, group, *y, moment);
                }
            }
        });
    })
}

fn heads(m: &mut Markup) {
    for ((x, _), head) in COLUMNS.iter().zip(HEADS) {
        m.leaf("text", &[("class", &"head"), ("x", x), ("y", &14)], head);
    }
}

/// A line: what is as it was, and beside it what is more than before.
fn ribboned(m: &mut Markup, ribbon: &Ribbon, moment: Moment) {
    let calls = ribbon.flow.get(moment.is_after());
    if calls == 0 {
        return;
    }
    let same = match moment {
        Moment::Before => ribbon.before,
        Moment::After | Moment::Through => ribbon.before.min(ribbon.after),
    };
    if same > Px(0) {
        path(m, "flow", ribbon, Px(0), same, calls);
    }
    if moment.is_after() && ribbon.after > ribbon.before {
        path(m, "flow more", ribbon, same, ribbon.after - same, calls);
    }
}

fn path(m: &mut Markup, class: &str, ribbon: &Ribbon, down: Px, thick: Px, calls: u64) {
    let ((x0, y0), (x1, y1)) = (ribbon.from, ribbon.to);
    let (y0, y1) = (y0 + down, y1 + down);
    let mid = (x0 + x1).half();
    let mut d = String::new();
    let (low0, low1) = (y0 + thick, y1 + thick);
    let _ = write!(
        d,
        "M{x0} {y0}C{mid} {y0} {mid} {y1} {x1} {y1}V{low1}C{mid} {low1} {mid} {low0} {x0} {low0}Z"
    );
    m.element("path", &[("class", &class), ("d", &d)], |m| {
        m.leaf("title", &[], format!("{} calls", count(calls)));
    });
}

fn boxed(m: &mut Markup, (column, node, frame): (usize, &Node, &Frame), band: Option<Band>, moment: Moment) {
    let is_gone = moment.is_after() && node.gone;
    let class = match (is_gone, moment) {
        (false, _) => "node",
        (true, Moment::Through) => "node out",
        (true, _) => "node gone",
    };
    m.element("g", &[("class", &class)], |m| {
        m.leaf("title", &[], described(node, moment));
        let attrs: &[(&str, &dyn std::fmt::Display)] = &[
            ("x", &frame.x),
            ("y", &frame.y),
            ("width", &frame.width),
            ("height", &frame.height),
        ];
        m.empty("rect", attrs);
        if column > 0 {
            bus(m, frame.x, frame);
        }
        if column < 3 {
            bus(m, frame.x + frame.width - Px::whole(3), frame);
        }
        if column == 1 {
            breaker(m, frame);
        }
        if let Some(band) = band {
            let x = if column == 2 {
                frame.x + frame.width - Px::whole(7)
            } else {
                frame.x
            };
            unserved(m, x, band, moment);
        }
        words(m, column, node, frame, moment);
        if node.chokepoint.is_some() {
            diamond(m, frame.x + frame.width - Px::whole(18), frame.y + Px::whole(13));
        }
    });
}

fn bus(m: &mut Markup, x: Px, frame: &Frame) {
    let attrs: &[(&str, &dyn std::fmt::Display)] = &[
        ("class", &"bus"),
        ("x", &x),
        ("y", &frame.y),
        ("width", &3),
        ("height", &frame.height),
    ];
    m.empty("rect", attrs);
}

/// The square where a channel meets its bus.
fn breaker(m: &mut Markup, frame: &Frame) {
    let (x, y) = (frame.x - Px(35), frame.y + frame.height.half() - Px::whole(5));
    m.empty(
        "rect",
        &[
            ("class", &"breaker"),
            ("x", &x),
            ("y", &y),
            ("width", &10),
            ("height", &10),
        ],
    );
}

fn unserved(m: &mut Markup, x: Px, band: Band, moment: Moment) {
    let height = if moment.is_after() {
        band.after
    } else {
        band.before
    };
    if height == Px(0) {
        return;
    }
    let attrs: &[(&str, &dyn std::fmt::Display)] = &[
        ("class", &"unserved"),
        ("x", &x),
        ("y", &band.y),
        ("width", &7),
        ("height", &height),
    ];
    m.empty("rect", attrs);
}

fn words(m: &mut Markup, column: usize, node: &Node, frame: &Frame, moment: Moment) {
    let x = frame.x + Px::whole(14);
    let y = frame.y + frame.height.half();
    let room_of = |max: [usize; 4]| max.get(column).copied().unwrap_or(16);
    let name = if node.name.is_empty() { "–" } else { &node.name };
    let room = if node.chokepoint.is_some() { 3 } else { 0 };
    let name = cut_within(name, room_of(NAME_MAX) - room);
    m.leaf(
        "text",
        &[("class", &"name"), ("x", &x), ("y", &(y - Px::whole(3)))],
        name,
    );
    let detail = cut(&detail(column, node, moment), room_of(DETAIL_MAX));
    let class = if moment.is_after() && (node.gone || node.unserved.after > node.unserved.before) {
        "detail hit"
    } else {
        "detail"
    };
    m.leaf(
        "text",
        &[("class", &class), ("x", &x), ("y", &(y + Px::whole(13)))],
        detail,
    );
}

/// The second line of a row.
fn detail(column: usize, node: &Node, moment: Moment) -> String {
    let (served, unserved) = (
        node.calls.get(moment.is_after()),
        node.unserved.get(moment.is_after()),
    );
    if column >= 2 && unserved > 0 {
        let share = PerCent(unserved, served + unserved);
        return format!("{} served · {share} not", count(served));
    }
    let calls = match served {
        0 => "idle".to_owned(),
        _ => format!("{} {}", count(served), noun(served, "call", "calls")),
    };
    let is_gone = moment.is_after() && node.gone;
    let gone = moment.gone().to_owned();
    let first = match (is_gone, served) {
        (true, 0) => gone,
        (true, _) => format!("{gone} · {calls}"),
        (false, _) => calls,
    };
    if column == 1 && !node.detail.is_empty() {
        return format!("{first} · {}", node.detail);
    }
    first
}

/// Everything about a row, for a pointer that rests on it.
fn described(node: &Node, moment: Moment) -> String {
    let is_after = moment.is_after();
    let mut text = format!("{}: {} calls", node.name, count(node.calls.get(is_after)));
    if node.unserved.get(is_after) > 0 {
        let _ = write!(text, ", {} unserved", count(node.unserved.get(is_after)));
    }
    if is_after && node.gone {
        let _ = write!(text, ", {}", moment.gone());
    }
    if let Some(parties) = node.chokepoint {
        let _ = write!(
            text,
            "; a chokepoint of {}",
            crate::table::plural_parties(parties)
        );
    }
    text
}

fn caption(m: &mut Markup, group: &Group, y: Px, moment: Moment) {
    let (x, _) = COLUMNS.get(1).copied().unwrap_or_default();
    let is_gone = moment.is_after() && group.gone;
    let name = if group.name.is_empty() {
        "no cloud stated"
    } else {
        &group.name
    };
    let name = cut_within(name, 26);
    let text = if is_gone {
        format!("{name}, {}", moment.gone())
    } else {
        name.clone()
    };
    let class = if is_gone { "cloud hit" } else { "cloud" };
    let is_choke = group.chokepoint.is_some();
    if is_choke {
        diamond(m, x + Px::whole(5), y - Px::whole(4));
    }
    let x = if is_choke { x + Px::whole(15) } else { x };
    m.leaf("text", &[("class", &class), ("x", &x), ("y", &y)], text);
}

/// A chokepoint.
pub(in crate::page) fn diamond(m: &mut Markup, x: Px, y: Px) {
    let half = Px::whole(5);
    let d = format!(
        "M{x} {}L{} {y}L{x} {}L{} {y}Z",
        y - half,
        x + half,
        y + half,
        x - half
    );
    m.empty("path", &[("class", &"choke"), ("d", &d)]);
}

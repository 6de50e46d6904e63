//! A scenario over time: what becomes of the calls of each bin, stacked, under a lane for each event, on one axis.
//!
//! Bounds: the bins of a [`Course`] (288), [`LANES_MAX`] events in the picture; all stand in the list under it.

use std::fmt::{Display, Write as _};

use tieline_core::{Span, Tick};

use super::bars::PARTS;
use super::markup::{Markup, markup};
use super::px::Px;
use super::words::cut;
use crate::scenario::{Course, EventReport};
use crate::table::count;
use crate::tally::Tally;
use crate::traffic::spelled;

const WIDTH: Px = Px::whole(1_120);
/// Where the axis of time begins and how long it is.
const LEFT: Px = Px::whole(64);
const LENGTH: Px = Px::whole(1_040);
/// The height of the busiest bin.
const TALL: Px = Px::whole(190);
const LANE: Px = Px::whole(20);
/// Events in the picture: 14 lanes of 20 pixels are 280.
pub(super) const LANES_MAX: usize = 14;
const FOOT: Px = Px::whole(30);
/// Marks of time that fit side by side.
const MARKS_MAX: u64 = 9;
/// Between two marks, in seconds.
const STEPS_S: [u64; 18] = [
    1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_419_200, 31_536_000,
];

/// The picture's places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from_us: u64,
    pub(super) length_us: u64,
    /// Calls of the busiest bin.
    pub(super) most: u64,
    pub(super) top: Px,
}

impl Scale {
    pub(super) fn of(course: &Course, lanes: usize) -> Self {
        let lanes = i64::try_from(lanes.min(LANES_MAX)).unwrap_or_default();
        Self {
            from_us: course.from_us,
            length_us: course.width_us.saturating_mul(course.bins.len() as u64).max(1),
            most: course
                .bins
                .iter()
                .map(Tally::served_before)
                .max()
                .unwrap_or_default()
                .max(1),
            top: Px(LANE.0 * lanes) + Px::whole(14),
        }
    }

    /// Where an instant stands; what is outside stands at the edge.
    pub(super) fn x(&self, at_us: u64) -> Px {
        LEFT + LENGTH.share(at_us.saturating_sub(self.from_us), self.length_us)
    }

    /// How high so many calls are.
    pub(super) fn y(&self, calls: u64) -> Px {
        self.top + TALL - TALL.share(calls, self.most)
    }

    fn ground(&self) -> Px {
        self.top + TALL
    }

    fn height(&self) -> Px {
        self.ground() + FOOT
    }
}

/// The picture of a scenario. `id` makes its names unique on the page.
pub(super) fn course(id: usize, title: &str, course: &Course, events: &[EventReport]) -> Markup {
    let scale = Scale::of(course, events.len());
    let view = format!("0 0 {WIDTH} {}", scale.height());
    let (title_id, says_id) = (format!("course-{id}-title"), format!("course-{id}-desc"));
    let labelled = format!("{title_id} {says_id}");
    markup(|m| {
        let attrs: &[(&'static str, &dyn Display)] = &[
            ("class", &"course"),
            ("viewBox", &view),
            ("width", &WIDTH),
            ("height", &scale.height()),
            ("role", &"img"),
            ("aria-labelledby", &labelled),
            ("xmlns", &"http://www.w3.org/2000/svg"),
        ];
        m.element("svg", attrs, |m| {
            m.leaf("title", &[("id", &title_id)], title);
            m.leaf("desc", &[("id", &says_id)], said(course));
            axes(m, &scale);
            for part in (0..PARTS.len()).rev() {
                area(m, course, &scale, part);
            }
            for (lane, event) in events.iter().take(LANES_MAX).enumerate() {
                happening(m, &scale, lane, event);
            }
        });
    })
}

fn said(course: &Course) -> String {
    let sum = |of: fn(&Tally) -> u64| count(course.bins.iter().map(of).sum());
    let parts: Vec<String> = PARTS
        .iter()
        .map(|part| format!("{} {}", sum(part.of), part.name))
        .collect();
    let bins = course.bins.len();
    format!(
        "Calls in {bins} bins of {} each: {}.",
        spelled(Span(course.width_us)),
        parts.join(", ")
    )
}

/// One part of all bins and everything under it, so that the parts before it cover what is theirs.
fn area(m: &mut Markup, course: &Course, scale: &Scale, part: usize) {
    let Some(own) = PARTS.get(part) else { return };
    if course.bins.iter().all(|bin| (own.of)(bin) == 0) {
        return;
    }
    let sum = |bin: &Tally| {
        PARTS
            .iter()
            .take(part + 1)
            .map(|part| (part.of)(bin))
            .sum::<u64>()
    };
    let mut d = format!("M{LEFT} {}", scale.ground());
    let mut at = course.from_us;
    let mut last = None;
    for bin in &course.bins {
        let y = scale.y(sum(bin));
        if last != Some(y) {
            let _ = write!(d, "H{}V{y}", scale.x(at));
            last = Some(y);
        }
        at = at.saturating_add(course.width_us);
    }
    let _ = write!(d, "H{}V{}Z", LEFT + LENGTH, scale.ground());
    m.empty("path", &[("class", &own.name), ("d", &d)]);
}

fn axes(m: &mut Markup, scale: &Scale) {
    let right = LEFT + LENGTH;
    for calls in heights(scale.most) {
        let y = scale.y(calls);
        m.empty(
            "path",
            &[("class", &"line"), ("d", &format!("M{LEFT} {y}H{right}"))],
        );
        let attrs: &[(&'static str, &dyn Display)] = &[
            ("class", &"mark end"),
            ("x", &(LEFT - Px::whole(8))),
            ("y", &(y + Px::whole(4))),
        ];
        m.leaf("text", attrs, count(calls));
    }
    for at in instants(scale.from_us, scale.length_us) {
        let x = scale.x(at);
        let (from, to) = (scale.ground(), scale.ground() + Px::whole(5));
        m.empty("path", &[("class", &"line"), ("d", &format!("M{x} {from}V{to}"))]);
        let is_last = x > right - Px::whole(30);
        let class = if is_last { "mark end" } else { "mark mid" };
        let attrs: &[(&'static str, &dyn Display)] =
            &[("class", &class), ("x", &x), ("y", &(to + Px::whole(15)))];
        m.leaf("text", attrs, clock(at));
    }
}

/// Three or four round numbers of calls, from 0 on.
pub(super) fn heights(most: u64) -> Vec<u64> {
    let mut step = 1_u64;
    let mut factors = [2, 5, 10].into_iter().cycle();
    let mut unit = 1_u64;
    while most / step > 3 {
        let factor = factors.next().unwrap_or(10);
        step = unit.saturating_mul(factor);
        if factor == 10 {
            unit = unit.saturating_mul(10);
        }
    }
    let multiples = (0..=most / step).map(|n| n.saturating_mul(step));
    multiples.collect()
}

/// Round instants of a span, at most [`MARKS_MAX`] + 1.
pub(super) fn instants(from_us: u64, length_us: u64) -> Vec<u64> {
    let fits = |step: &u64| length_us / step <= MARKS_MAX;
    let mut steps = STEPS_S.iter().map(|s| s * 1_000_000);
    let longest = length_us.div_ceil(MARKS_MAX).max(1);
    let step = steps.find(fits).unwrap_or(longest);
    let first = from_us.div_ceil(step).saturating_mul(step);
    let until = from_us.saturating_add(length_us);
    let instants = (0..=MARKS_MAX).map(|n| first.saturating_add(n.saturating_mul(step)));
    instants.filter(|at| *at <= until).collect()
}

/// The time of a day, or at midnight the day.
fn clock(at_us: u64) -> String {
    let text = Tick(at_us).rfc3339();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    match (part(11..16).as_str(), part(17..19).as_str()) {
        ("00:00", "00") => part(5..10),
        (_, "00") => part(11..16),
        _ => part(11..19),
    }
}

/// The lane of an event: how long it lasts, and its number.
fn happening(m: &mut Markup, scale: &Scale, lane: usize, event: &EventReport) {
    let end = scale.from_us.saturating_add(scale.length_us);
    let (from, until) = (scale.x(event.from_us), scale.x(event.until_us.unwrap_or(end)));
    let y = Px(LANE.0 * i64::try_from(lane).unwrap_or_default()) + Px::whole(3);
    m.element("g", &[("class", &"event")], |m| {
        m.leaf("title", &[], &event.says);
        let down = format!("M{from} {}V{}", y + Px::whole(12), scale.ground());
        m.empty("path", &[("class", &"since"), ("d", &down)]);
        let attrs: &[(&'static str, &dyn Display)] = &[
            ("x", &from),
            ("y", &y),
            ("width", &(until - from).max(Px::whole(3))),
            ("height", &12),
        ];
        m.empty("rect", attrs);
        let attrs: &[(&'static str, &dyn Display)] = &[
            ("class", &"mark end"),
            ("x", &(LEFT - Px::whole(8))),
            ("y", &(y + Px::whole(10))),
        ];
        m.leaf("text", attrs, lane + 1);
        // Beside the bar, on the side where there is more room.
        let is_right = until - LEFT < LENGTH.half();
        let room = if is_right {
            LEFT + LENGTH - until
        } else {
            from - LEFT
        };
        let columns = usize::try_from(room.0 / 66).unwrap_or_default();
        if columns > 12 {
            let x = if is_right {
                until + Px::whole(6)
            } else {
                from - Px::whole(6)
            };
            let class = if is_right { "mark" } else { "mark end" };
            let attrs: &[(&'static str, &dyn Display)] =
                &[("class", &class), ("x", &x), ("y", &(y + Px::whole(10)))];
            m.leaf("text", attrs, cut(&event.says, columns));
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(heights(0), [0]);
        assert_eq!(heights(1), [0, 1]);
        assert_eq!(heights(64), [0, 20, 40, 60]);
        assert_eq!(heights(1_999), [0, 500, 1_000, 1_500]);
        let hour = 3_600_000_000;
        let day = instants(hour / 2, 24 * hour);
        assert_eq!(day, [3, 6, 9, 12, 15, 18, 21, 24].map(|h| h * hour));
        assert_eq!(
            (clock(3 * hour), clock(24 * hour)),
            ("03:00".to_owned(), "01-02".to_owned())
        );
        assert_eq!(clock(1_000_000), "00:00:01");
    }

    fn event() -> impl Strategy<Value = EventReport> {
        (any::<u32>(), prop::option::of(any::<u32>()), ".{0,40}").prop_map(|(from, lasts, says)| {
            EventReport {
                from_us: from.into(),
                says,
                until_us: lasts.map(|lasts| u64::from(from) + u64::from(lasts)),
            }
        })
    }

    proptest! {
        #[test]
        fn a_course_lies_within_its_picture(
            counts in prop::collection::vec((0_u64..1_000, 0_u64..u64::from(u32::MAX)), 1..288),
            (from_us, width_us) in (any::<u32>(), 1_u64..1_u64 << 50),
            events in prop::collection::vec(event(), 0..30),
        ) {
            let bins = counts.iter().map(|(kept, lost)| Tally { kept: *kept, lost: *lost, ..Tally::default() });
            let of = Course { bins: bins.collect(), from_us: from_us.into(), width_us };
            let scale = Scale::of(&of, events.len());
            let right = LEFT + LENGTH;
            for at in instants(scale.from_us, scale.length_us) {
                prop_assert!(LEFT <= scale.x(at) && scale.x(at) <= right);
            }
            prop_assert!(heights(scale.most).len() <= 4);
            for event in &events {
                let (from, until) = (scale.x(event.from_us), scale.x(event.until_us.unwrap_or(u64::MAX)));
                prop_assert!(LEFT <= from && from <= until && until <= right && right <= WIDTH);
            }
            for calls in [0, scale.most] {
                prop_assert!(Px(0) < scale.y(calls) && scale.y(calls) <= scale.ground());
            }
            let text = course(0, "<x>", &of, &events).finish();
            let parsed = roxmltree::Document::parse(&text);
            prop_assert!(parsed.is_ok(), "{:?}: {}", parsed, text);
        }
    }
}

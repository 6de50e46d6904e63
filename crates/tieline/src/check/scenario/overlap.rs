//! Two events on one thing at one time would leave open which counts; different things may overlap, and add up.

use std::collections::BTreeMap;

use tieline_core::Tick;

use super::event::Placed;
use crate::diagnose::{Code, Diagnostic, Sink};

/// Report each event that begins before another on the same thing is over.
pub(super) fn check(events: &[Placed], sink: &mut Sink) {
    let mut by_thing: BTreeMap<&str, Vec<&Placed>> = BTreeMap::new();
    for placed in events {
        for thing in &placed.things {
            by_thing.entry(thing).or_default().push(placed);
        }
    }
    for (thing, mut events) in by_thing {
        events.sort_by_key(|placed| (placed.event.from, placed.number));
        // The event that lasts longest of those so far: whatever begins before its end overlaps with it.
        let mut longest: Option<&Placed> = None;
        for placed in events {
            let end = |of: &Placed| of.event.until.unwrap_or(Tick(u64::MAX));
            if let Some(before) = longest.filter(|before| placed.event.from < end(before)) {
                let message = format!("two events change {thing} at the same time");
                sink.push(
                    Diagnostic::error(Code::EventsOverlap, message)
                        .at(placed.span, "begins before the other is over")
                        .also(before.span, "this one lasts")
                        .hint("end the first with `for` or `until`, or make one event of both"),
                );
            }
            if longest.is_none_or(|before| end(placed) > end(before)) {
                longest = Some(placed);
            }
        }
    }
}

//! Streams with a flaw that an application should not notice: one event that is no JSON, an end that is not told, events
//! that are too long or come twice, usage that is missing or always there.

use bytes::Bytes;
use tieline_core::{Dialect, FaultKind};
use tieline_testkit::{Act, Cut, Step};

use super::super::scenario::{Bill, Expect, Scenario};
use super::super::script::{
    Cue, PIECES, answer, content_at, events, frames, gated, give, good, plain, stop_at, text,
};

pub(super) fn flawed() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("oddity", name, says, first, expect);
    vec![
        new(
            "bad-json-extra",
            "One event of the stream is no JSON: a line that a proxy threw in. It is left out.",
            |cue| gated(cue, frames(cue)).before_frame(content_at(cue.far, 2), bad_event()),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "bad-json-extra-early",
            "The same before the first content.",
            |cue| good(cue).before_frame(content_at(cue.far, 0), bad_event()),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "bad-json-first-content",
            "The first content stands in an event that is no JSON: another channel answers.",
            |cue| good(cue).malform_frame(content_at(cue.far, 0)),
            |_| Expect::served_after(&[FaultKind::Garbage]),
        )
        .only_streams(),
        new(
            "bad-json-content",
            "Content in mid-stream stands in an event that is no JSON: an answer with a hole is not shown as whole.",
            |cue| gated(cue, frames(cue)).malform_frame(content_at(cue.far, 3)),
            |_| Expect::broken(FaultKind::Garbage),
        )
        .resumes(),
        new(
            "no-terminator",
            "The answer says how it stopped, and the connection closes without the terminator.",
            |cue| unterminated(cue, Cut::Close),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "no-terminator-reset",
            "The same, and the connection is reset.",
            |cue| unterminated(cue, Cut::Reset),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
    ]
}

/// Events that are too long, come in pieces, or come twice; an end that is not told in another way.
pub(super) fn misshapen() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("oddity", name, says, first, expect);
    vec![
        new(
            "no-terminator-silent",
            "The answer says how it stopped, and the connection stays open in silence.",
            |cue| unterminated(cue, Cut::Silence),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "oversized-event",
            "The first content stands in an event of 9 MB, over the limit: another channel answers.",
            |cue| good(cue).oversize_frame(content_at(cue.far, 0), 9 << 20),
            |_| Expect::served_after(&[FaultKind::Garbage]),
        )
        .only_streams(),
        new(
            "oversized-event-late",
            "An event of 9 MB comes after content.",
            |cue| gated(cue, frames(cue)).oversize_frame(content_at(cue.far, 2), 9 << 20),
            |_| Expect::broken(FaultKind::Garbage),
        )
        .resumes(),
        new(
            "long-event",
            "An event of 1.5 MB, with content, is no fault.",
            |cue| good(cue).oversize_frame(content_at(cue.far, 0), 3 << 19),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "in-many-pieces",
            "The answer comes seven bytes at a time.",
            |cue| good(cue).drip(7, std::time::Duration::ZERO),
            |_| Expect::served_after(&[]),
        ),
        new(
            "duplicate-events",
            "The events that end the answer come twice; it is counted once.",
            |cue| {
                let last = frames(cue).len() - 1;
                good(cue).duplicate_frame(stop_at(cue.far)).duplicate_frame(last)
            },
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
    ]
}

pub(super) fn usage() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("oddity", name, says, first, expect);
    vec![
        new(
            "usage-missing",
            "The answer reports no usage: its cost is unknown, which is not zero.",
            |cue| {
                if cue.stream {
                    Act::stream(frames(cue).iter().filter_map(without_usage))
                } else {
                    let body = if cue.far == Dialect::OpenaiChat {
                        plain().openai_json()
                    } else {
                        plain().anthropic_json()
                    };
                    Act::json(without_usage(&body).unwrap_or_default())
                }
            },
            |_| Expect::served_after(&[]).bill(Bill::Unknown),
        ),
        new(
            "usage-in-every-event",
            "Every event reports the usage so far; the last counts.",
            |cue| {
                let frames = frames(cue);
                let end = content_at(cue.far, PIECES.len());
                let counted = frames.iter().enumerate().map(|(place, frame)| {
                    if place >= content_at(cue.far, 0) && place < end {
                        with_usage(cue.far, frame, place)
                    } else {
                        frame.clone()
                    }
                });
                Act::stream(counted)
            },
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "one-long-piece",
            "The whole text comes in one event.",
            |cue| give(cue, &answer(vec![text()])),
            |_| Expect::served_after(&[]),
        ),
        new(
            "comments-and-blank-lines",
            "Comments, blank lines and unknown events stand between the events.",
            |cue| {
                let noise =
                    "\n\n: still here\n\nevent: vendor_note\ndata: {\"type\":\"vendor_note\",\"note\":1}\n\n";
                let noise = Bytes::from(if cue.far == Dialect::OpenaiChat {
                    "\n\n: still here\n\n"
                } else {
                    noise
                });
                let mixed = events(cue.far, &plain())
                    .into_iter()
                    .flat_map(|frame| [frame, noise.clone()]);
                Act::stream(mixed)
            },
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
    ]
}

/// An event whose data is no JSON, and in which no content could stand.
fn bad_event() -> Step {
    Step::Frame(Bytes::from_static(b"data: proxy: timed out\n\n"))
}

/// The stream without its terminator; usage came.
fn unterminated(cue: &Cue<'_>, how: Cut) -> Act {
    let frames = frames(cue);
    let last = frames.len() - 1;
    gated(cue, frames).cut_before_frame(last, how)
}

/// An event or an answer without its usage; nothing where it has nothing else to say.
fn without_usage(bytes: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, data) = text.split_at(text.find('{').unwrap_or(text.len()));
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(data.trim_end()) else {
        return Some(bytes.clone());
    };
    let holders = [
        value.get("usage").is_some(),
        value.pointer("/message/usage").is_some(),
    ];
    if let Some(object) = value.as_object_mut() {
        object.remove("usage");
    }
    if let Some(message) = value
        .get_mut("message")
        .and_then(serde_json::Value::as_object_mut)
    {
        message.remove("usage");
    }
    let is_empty = value
        .get("choices")
        .and_then(serde_json::Value::as_array)
        .is_some_and(Vec::is_empty);
    if is_empty {
        return None;
    }
    let is_event = !head.is_empty();
    let end = if is_event { "\n\n" } else { "" };
    Some(if holders.contains(&true) {
        Bytes::from(format!("{head}{value}{end}"))
    } else {
        bytes.clone()
    })
}

/// A content event that also says what was used so far.
fn with_usage(far: Dialect, frame: &Bytes, place: usize) -> Bytes {
    let text = String::from_utf8_lossy(frame);
    let Some(open) = text.trim_end().strip_suffix('}') else {
        return frame.clone();
    };
    let open = open.strip_suffix(",\"usage\":null").unwrap_or(open);
    let usage = match far {
        Dialect::OpenaiChat => {
            format!(
                "\"usage\":{{\"prompt_tokens\":12,\"completion_tokens\":{place},\"total_tokens\":{}}}",
                12 + place
            )
        }
        Dialect::AnthropicMessages => format!("\"usage\":{{\"output_tokens\":{place}}}"),
    };
    Bytes::from(format!("{open},{usage}}}\n\n"))
}

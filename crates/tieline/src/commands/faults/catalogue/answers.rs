//! Answers that do not begin in time, and answers that are spoiled before any of them left.

use std::io::Write as _;

use bytes::Bytes;
use tieline_core::{Dialect, FaultKind};
use tieline_testkit::{Act, Cut};

use super::super::scenario::{Bill, Expect, Scenario, Wait};
use super::super::script::{Cue, content_at, frames, give, good, ms, plain, replaced, server_error};

/// Nothing comes, or nothing that says anything.
pub(super) fn silent() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("silence", name, says, first, expect);
    vec![
        new(
            "no-answer",
            "The first channel reads the request and says nothing.",
            |_| Act::silent(),
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        ),
        new(
            "headers-then-silence",
            "The first channel answers 200 and sends no body.",
            |cue| {
                if cue.stream {
                    Act::stream([Bytes::new()]).silence()
                } else {
                    Act::status(200).header("content-length", "400").silence()
                }
            },
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        ),
        new(
            "slow-first-token",
            "The first channel begins a stream, and its first token comes after the limit.",
            |cue| good(cue).wait_before_frame(content_at(cue.far, 0), ms(cue.settings.first_content_ms) * 6),
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        )
        .only_streams(),
        new(
            "pings-only",
            "The first channel keeps its stream alive and says nothing.",
            |cue| {
                good(cue)
                    .before_frame(content_at(cue.far, 0), pings())
                    .cut_before_frame(content_at(cue.far, 0), Cut::Silence)
            },
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        )
        .only_streams(),
        new(
            "slow-in-time",
            "The first token comes within the limit; nobody else is asked.",
            |cue| good(cue).wait_before_frame(content_at(cue.far, 0), ms(cue.settings.first_content_ms) / 4),
            |_| Expect::served_after(&[]),
        )
        .only_streams(),
        new(
            "all-silent",
            "No channel answers.",
            |_| Act::silent(),
            |_| {
                Expect::error(502, "channels_failed", 2, &[FaultKind::Timeout])
                    .bill(Bill::Any)
                    .wait(Wait::First(3))
            },
        )
        .everywhere(),
    ]
}

/// What came is no answer, or not the whole of one.
pub(super) fn spoiled() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("answer", name, says, first, expect);
    vec![
        new(
            "reset-in-body",
            "The first channel resets the connection within a whole answer.",
            |cue| good(cue).cut_at_body_byte(40, Cut::Reset),
            |_| Expect::served_after(&[FaultKind::Reset]),
        )
        .only_whole(),
        new(
            "closed-in-body",
            "The first channel closes the connection within a whole answer.",
            |cue| good(cue).cut_at_body_byte(40, Cut::Close),
            |_| Expect::served_after(&[FaultKind::Reset]),
        )
        .only_whole(),
        new(
            "stalled-in-body",
            "The first channel falls silent within a whole answer.",
            |cue| good(cue).cut_at_body_byte(40, Cut::Silence),
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        )
        .only_whole(),
        new(
            "cut-before-content",
            "The first channel's stream is cut before its first content.",
            |cue| good(cue).cut_before_frame(content_at(cue.far, 0), Cut::Reset),
            |_| Expect::served_after(&[FaultKind::Reset]),
        )
        .only_streams(),
        new(
            "error-event-at-once",
            "The first channel answers 200 and reports an error in the stream, before any content.",
            |cue| replaced(cue, 0, server_error(cue).frame()),
            |_| Expect::served_after(&[FaultKind::Transient]),
        )
        .only_streams(),
    ]
}

/// What came is not what was asked for, or cannot be read.
pub(super) fn misread() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("answer", name, says, first, expect);
    vec![
        new(
            "empty-answer",
            "The first channel answers 200 with nothing in it.",
            |cue| {
                if cue.stream {
                    Act::stream([Bytes::new()])
                } else {
                    Act::json("{}")
                }
            },
            |_| Expect::served_after(&[FaultKind::Garbage]),
        ),
        new(
            "wrong-type",
            "The first channel answers 200 with a page of HTML.",
            |_| {
                Act::status(200)
                    .content_type("text/html")
                    .body("<html>hello</html>")
            },
            |_| Expect::served_after(&[FaultKind::Garbage]),
        ),
        new(
            "whole-for-stream",
            "The first channel answers a request for a stream in one piece, and one for a whole answer with a stream.",
            |cue| {
                let other = Cue {
                    stream: !cue.stream,
                    ..*cue
                };
                give(&other, &plain())
            },
            |_| Expect::served_after(&[FaultKind::Garbage]),
        ),
        new(
            "gzip",
            "The first channel sends gzip, which was not asked for.",
            |cue| {
                let body = match (cue.far, cue.stream) {
                    (_, true) => frames(cue).concat().into(),
                    (Dialect::OpenaiChat, false) => plain().openai_json(),
                    (Dialect::AnthropicMessages, false) => plain().anthropic_json(),
                };
                let act = if cue.stream {
                    Act::stream([gzip(&body)])
                } else {
                    Act::json(gzip(&body))
                };
                act.claim_gzip()
            },
            |_| Expect::served_after(&[FaultKind::Garbage]),
        ),
    ]
}

/// A hundred comments, which every stream may have.
fn pings() -> tieline_testkit::Step {
    tieline_testkit::Step::Frame(Bytes::from(": ping\n\n".repeat(100)))
}

/// `body` in gzip (RFC 1952), as stored blocks.
fn gzip(body: &[u8]) -> Bytes {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut left = body.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = left.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(left.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(body).to_le_bytes());
    let _ = out.write_all(&u32::try_from(body.len()).unwrap_or(0).to_le_bytes());
    Bytes::from(out)
}

fn crc32(body: &[u8]) -> u32 {
    !body.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

//! Streams that break after the caller has had some of them: the setting `resume` says what happens then.

use tieline_core::FaultKind;
use tieline_testkit::Cut;

use super::super::scenario::{Expect, Scenario, Wait};
use super::super::script::{
    PIECES, content_at, cut, frames, gated, good, no_prefill, overloaded, replaced, server_error,
};

pub(super) fn all() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("stream", name, says, first, expect).resumes();
    vec![
        new(
            "cut-early",
            "The first channel resets the connection after the first content.",
            |cue| cut(cue, 1, Cut::Reset),
            |_| Expect::broken(FaultKind::Reset),
        ),
        new(
            "cut-late",
            "The first channel resets the connection before the last content.",
            |cue| cut(cue, PIECES.len() - 1, Cut::Reset),
            |_| Expect::broken(FaultKind::Reset),
        ),
        new(
            "closed-late",
            "The first channel closes the connection before the last content.",
            |cue| cut(cue, PIECES.len() - 1, Cut::Close),
            |_| Expect::broken(FaultKind::Reset),
        ),
        new(
            "ended-without-stop",
            "The first channel's stream ends in good order, and never says that the answer is whole.",
            |cue| {
                let mut frames = frames(cue);
                frames.truncate(content_at(cue.far, PIECES.len() - 1));
                gated(cue, frames)
            },
            |_| Expect::broken(FaultKind::Reset),
        ),
        new(
            "half-event",
            "The first channel closes the connection within an event.",
            |cue| gated(cue, frames(cue)).half_frame(content_at(cue.far, 2), Cut::Close),
            |_| Expect::broken(FaultKind::Reset),
        ),
        new(
            "stall-early",
            "The first channel falls silent after the first content.",
            |cue| cut(cue, 1, Cut::Silence),
            |_| Expect::broken(FaultKind::Timeout).wait(Wait::Idle),
        ),
    ]
}

/// The channel says what is wrong, or several channels break.
pub(super) fn told() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("stream", name, says, first, expect).resumes();
    vec![
        new(
            "stall-late",
            "The first channel falls silent before the last content.",
            |cue| cut(cue, PIECES.len() - 1, Cut::Silence),
            |_| Expect::broken(FaultKind::Timeout).wait(Wait::Idle),
        ),
        new(
            "error-event-late",
            "The first channel reports an error in the stream, after content.",
            |cue| replaced(cue, 3, server_error(cue).frame()),
            |_| Expect::broken(FaultKind::Transient),
        ),
        new(
            "overload-event-late",
            "The first channel reports in the stream, after content, that it is overloaded.",
            |cue| replaced(cue, 3, overloaded(cue).frame()),
            |form| {
                Expect::broken(match form.dialect {
                    // OpenAI's dialect says so by its status alone, which an event has not.
                    tieline_core::Dialect::OpenaiChat => FaultKind::Transient,
                    tieline_core::Dialect::AnthropicMessages => FaultKind::Overload,
                })
            },
        ),
        new(
            "cut-then-prefill-refused",
            "The first channel cuts the stream; the next one's model takes no prefill, and another's does.",
            |cue| cut(cue, 3, Cut::Reset),
            |_| Expect::broken(FaultKind::Reset).not_resumed(),
        )
        .rest(|cue| if cue.role == 1 { no_prefill(cue) } else { good(cue) }),
        new(
            "cut-everywhere",
            "Every channel resets the connection after some content.",
            |cue| cut(cue, 2, Cut::Reset),
            |_| Expect::broken(FaultKind::Reset).not_resumed(),
        )
        .everywhere(),
    ]
}

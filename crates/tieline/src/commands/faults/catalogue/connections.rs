//! Channels whose connection fails before any of an answer comes.

use tieline_core::FaultKind;
use tieline_testkit::Act;

use super::super::scenario::{Expect, Scenario, Tries, Wait, World};
use super::super::script::good;

pub(super) fn all() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("connection", name, says, first, expect);
    vec![
        new("refused", "The first channel refuses connections.", good, |_| {
            Expect::served_after(&[FaultKind::Connect])
        })
        .world(World::FirstDown),
        new(
            "reset-at-once",
            "The first channel takes the connection and resets it at once.",
            good,
            // Whether the reset meets the connection or the request on it is a race of the kernel's.
            |_| Expect::served_after(&[FaultKind::Reset]).tries(Tries::Any),
        )
        .world(World::FirstResets),
        new(
            "never-reads",
            "The first channel takes the connection and never reads from it.",
            good,
            |_| Expect::served_after(&[FaultKind::Timeout]).wait(Wait::First(1)),
        )
        .world(World::FirstMute),
        new(
            "reset-before-headers",
            "The first channel reads the request and resets the connection.",
            |_| Act::refuse(),
            |_| Expect::served_after(&[FaultKind::Reset]),
        ),
        new(
            "closed-before-headers",
            "The first channel reads the request and closes the connection.",
            |_| Act::steps(Vec::new()).close(),
            |_| Expect::served_after(&[FaultKind::Reset]),
        ),
        new(
            "not-http",
            "The first channel answers in bytes that are no HTTP.",
            |_| Act::raw("SSH-2.0-OpenSSH_9.9\r\n").close(),
            |_| Expect::served_after(&[FaultKind::Reset]),
        ),
        new("all-down", "Every channel refuses connections.", good, |_| {
            Expect::error(502, "channels_failed", 2, &[FaultKind::Connect])
        })
        .world(World::AllDown),
        new(
            "all-reset",
            "Every channel resets the connection before it answers.",
            |_| Act::refuse(),
            |_| Expect::error(502, "channels_failed", 2, &[FaultKind::Reset]),
        )
        .everywhere(),
    ]
}

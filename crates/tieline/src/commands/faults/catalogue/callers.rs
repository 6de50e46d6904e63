//! Callers who leave or read slowly, and rules that change while a call is under way.

use tieline_core::FaultKind;
use tieline_testkit::Act;

use super::super::scenario::{Bill, Caller, Expect, Scenario, Told, Tries, Wait};
use super::super::script::{answer, bare, content_at, frames, gated, give, good, server_error};

pub(super) fn all() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("caller", name, says, first, expect);
    vec![
        new(
            "gone-waiting",
            "The caller leaves before the first byte; the channel's work is stopped, and nobody else is asked.",
            |cue| good(cue).gate_before_head(cue.gate),
            |_| left(),
        )
        .caller(Caller::LeavesWaiting),
        new(
            "gone-in-mid-stream",
            "The caller leaves within a stream; the channel's work is stopped.",
            |cue| {
                // Nobody opens this gate.
                let gate = tieline_testkit::Gate::new();
                Act::stream(frames(cue)).gate_before_frame(content_at(cue.far, 4), &gate)
            },
            |_| left(),
        )
        .only_streams()
        .caller(Caller::LeavesReading),
        new(
            "slow-caller",
            "The caller stops reading for twice the limit of silence, in an answer of 1.5 MB; it loses nothing.",
            |cue| give(cue, &answer(vec!["x".repeat(LONG_PIECE); LONG_PIECES])),
            |_| {
                Expect::served_after(&[])
                    .text(&"x".repeat(LONG_PIECE * LONG_PIECES))
                    .wait(Wait::Reading)
            },
        )
        .only_streams()
        .caller(Caller::Slow),
        new(
            "rules-change-in-mid-stream",
            "A reload brings rules that deny the call while its answer comes: that answer ends as it began, the next call is denied.",
            |cue| gated(cue, frames(cue)),
            |_| Expect::error(403, "denied", 0, &[]).told(Told::Error(403, "denied")),
        )
        .only_streams()
        .caller(Caller::UnderNewRulesReading),
        new(
            "rules-change-between-attempts",
            "A reload brings rules that deny the call while the first channel is waited for; that one fails, and no other is asked.",
            |cue| bare(server_error(cue), 500).gate_before_head(cue.gate),
            |_| Expect::error(502, "channels_failed", 1, &[FaultKind::Transient]),
        )
        .caller(Caller::UnderNewRulesWaiting),
    ]
}

/// The caller left, and no fault was found with the channel.
fn left() -> Expect {
    Expect {
        told: Told::Left,
        tries: Tries::Each(vec![(0, None)]),
        ..Expect::served_after(&[]).bill(Bill::Any)
    }
}

/// 96 pieces of 16 KiB are 1.5 MB.
const LONG_PIECE: usize = 16 << 10;
const LONG_PIECES: usize = 96;

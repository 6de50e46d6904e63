//! Traffic where none is recorded and time matters: what each party may ask for, asked over and over at an even pace.

use tieline_core::{Snapshot, Span, Tick};

use crate::party::PartyView;
use crate::traffic::{Basis, CALLS_MAX, Traffic, TrafficCall};

/// How long an assumed answer takes, and its first content: 500 tokens at 50 a second.
const TOOK: Span = Span::from_s(10);
const FIRST: Span = Span::from_s(1);

impl Traffic {
    /// One call for each thing that each party may ask for, again `every` so often over `length`, from `from` on; those of
    /// one round are spread over it. Bounds: [`CALLS_MAX`].
    pub fn steady(
        snapshot: &Snapshot,
        parties: &[PartyView<'_>],
        from: Tick,
        length: Span,
        every: Span,
    ) -> Self {
        let round = Self::synthetic(snapshot, parties);
        let asked = round.calls.len().max(1) as u64;
        // A round that is longer than the whole is the whole.
        let every = Span(every.0.min(length.0).max(1));
        let rounds = length.0.checked_div(every.0).unwrap_or(1).max(1);
        let starts = (0..rounds).map(|k| from.plus(Span(every.0.saturating_mul(k))));
        let calls = starts.flat_map(|start| {
            let calls = round.calls.iter().zip(0_u64..);
            calls.map(move |(call, ix)| TrafficCall {
                at: start.plus(Span(every.0.saturating_mul(ix) / asked)),
                took_us: micros(TOOK),
                ttft_us: micros(FIRST),
                ..*call
            })
        });
        let mut traffic = round.with_calls(calls.take(CALLS_MAX).collect());
        traffic.basis = Basis::Steady;
        traffic
    }
}

fn micros(span: Span) -> u32 {
    u32::try_from(span.0).unwrap_or(u32::MAX)
}

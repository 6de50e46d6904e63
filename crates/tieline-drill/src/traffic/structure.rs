//! Traffic where nothing is recorded: one call for each thing that each party may ask for. It asks what can serve, not how
//! much.

use tieline_core::grid::Candidate;
use tieline_core::record::Outcome;
use tieline_core::{Dialect, Ruling, Snapshot, Span, Tick};

use super::{Asked, Basis, Builder, Kind, NO_LANE, NONE, STREAMED, Traffic, TrafficCall, USAGE_KNOWN};
use crate::party::{PartyView, askings, or_anyone};

/// Prompt and answer of a call where nothing is recorded: a page and half a page. They set the scale of the cost, not
/// who is served.
const ASSUMED_TOKENS: [u32; 5] = [1_000, 500, 0, 0, 0];

/// Bytes of an assumed request: a token of English text is about four.
const ASSUMED_BYTES: u32 = 4_000;

/// Calls come a day apart, so that no limit of a channel binds: they ask what can serve, not how much.
const APART: Span = Span::from_s(86_400);

impl Traffic {
    /// One call for each thing that each party may ask for; without parties, for each pool (and each model in none).
    pub fn synthetic(snapshot: &Snapshot, parties: &[PartyView<'_>]) -> Self {
        let mut builder = Builder::new(Basis::Structure, None);
        let mut at = Tick(0);
        for view in or_anyone(parties) {
            for asking in askings(snapshot, &view) {
                let candidates = snapshot.candidates(&asking.ask).map_or(&[][..], |(list, _)| list);
                let kind = Kind {
                    ask: if asking.is_pool {
                        Asked::Pool(asking.name.clone())
                    } else {
                        Asked::Model(asking.name.clone())
                    },
                    criticality: None,
                    dialect: Dialect::OpenaiChat,
                    end_use: None,
                    in_scope: true,
                    key_denied: None,
                    party: builder.party(&view.party),
                    rulings: rulings(&mut builder, snapshot, candidates, &asking.ways),
                };
                at = at.plus(APART);
                if builder.has_room() {
                    let kind = builder.kind(kind);
                    builder.push(assumed(kind, at));
                }
            }
        }
        builder.finish()
    }
}

fn rulings(
    builder: &mut Builder<'_>,
    snapshot: &Snapshot,
    all: &[Candidate],
    ways: &[Candidate],
) -> Vec<(u16, Ruling)> {
    let named = |c: &Candidate| Some((&snapshot.channel(c.channel)?.name, &snapshot.model(c.model)?.name));
    let judged = all.iter().filter_map(|candidate| {
        let (channel, model) = named(candidate)?;
        let ruling = if ways.contains(candidate) {
            Ruling::Allow
        } else {
            Ruling::Deny
        };
        Some((builder.lane(channel, model), ruling))
    });
    judged.collect()
}

const fn assumed(kind: u32, at: Tick) -> TrafficCall {
    TrafficCall {
        at,
        cost_nano: 0,
        tokens: ASSUMED_TOKENS,
        body_bytes: ASSUMED_BYTES,
        failures: NONE,
        kind,
        output_max: NONE,
        took_us: 0,
        ttft_us: 0,
        lane: NO_LANE,
        flags: USAGE_KNOWN | STREAMED,
        result: Outcome::Served,
    }
}

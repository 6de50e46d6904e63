//! What the loss of elements may do at most.

use tieline_drill::Bars;

use super::checked::BarSettings;
use super::value::number;
use crate::diagnose::Sink;
use crate::raw::At;
use crate::raw::shape::{RawBar, RawBars};

/// A thousand times what there was: more is no bar.
const COST_PERMILLE_MAX: u64 = 1_000_000;
/// More parties than any registry has.
const PARTIES_MAX: u64 = 1_000_000_000;

pub(super) fn check(raw: Option<&At<RawBars>>, sink: &mut Sink) -> BarSettings {
    let raw = raw.map(|at| &at.value);
    BarSettings {
        n_1: bars(raw.and_then(|raw| raw.n_1.as_ref()), sink),
        n_2: bars(raw.and_then(|raw| raw.n_2.as_ref()), sink),
    }
}

fn bars(raw: Option<&At<RawBar>>, sink: &mut Sink) -> Bars {
    let Some(At { value: raw, .. }) = raw else {
        return Bars::default();
    };
    let mut stated = |at: &Option<At<u64>>, key: &str, max: u64| {
        let at = at.as_ref()?;
        // What is out of range was reported, so that no bar is used in its place.
        Some(number(Some(at), key, 0, 0, max, sink))
    };
    Bars {
        cost_permille_max: stated(&raw.cost_permille_max, "cost_permille_max", COST_PERMILLE_MAX),
        critical_parties_lost_max: stated(
            &raw.critical_parties_lost_max,
            "critical_parties_lost_max",
            PARTIES_MAX,
        ),
        degraded_permille_max: stated(&raw.degraded_permille_max, "degraded_permille_max", 1_000),
        lost_permille_max: stated(&raw.lost_permille_max, "lost_permille_max", 1_000),
    }
}

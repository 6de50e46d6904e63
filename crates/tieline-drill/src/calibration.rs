//! Calibration: whether the first half of recorded calls predicts the second, as a what-if would play it. Nothing is gone;
//! so what comes out has to be what was recorded, or the engine's other answers are worth nothing here.
//!
//! *Given* are the calls of both halves (when, whose, what for, how large, what policy said), the grids that were in force,
//! what operators had cut, and the faults that channels threw: no traffic determines those. *Learnt* from the first half,
//! for each channel × model, are times and lengths of answers. *Played* by the drill's engine: who is dialled, how it ends,
//! what it costs, when the first content comes. The play of the first half warms breakers, latencies and limits up.
//!
//! Compared with the record, over the second half:
//! - decisions: the same ending (served, broken off, held, unserved), and the same first choice: the channel where the pool
//!   asks its channels in order, and the model where chance and load choose among equals. Left out are calls that a channel
//!   had failed shortly before ([`SETTLED_AFTER`]), for how long a breaker waits is drawn; and those that ended by what no
//!   drill is told of: the caller left, a budget, a full ledger, the end of the process.
//! - cost: with answers as long as they were, and with answers as long as in the first half.
//! - time from arrival to first content: three quantiles, in all and by channel × model.
//!
//! What is learnt from few calls is off by chance. A prediction that misses its bar by no more than chance explains is
//! neither passed nor missed: it cannot be judged.
//!
//! Bounds: the newest [`CALIBRATED_MAX`] calls; of what they share, as much as traffic has; [`LANES_MAX`] rows.

mod noted;
mod play;
mod text;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{Nano, Span};

pub(crate) use self::noted::Calibrator;

/// Calls that are played, the newest: at 400,000 a second a quarter of a second, and 100,000 × 200 bytes are 20 MB.
pub const CALIBRATED_MAX: usize = 100_000;

/// Calls of the second half that must be comparable, and calls of the first: of fewer, one call is more than half a per
/// cent.
pub const CALLS_MIN: u64 = 200;

/// Decisions that must agree, in 10,000.
const DECISIONS_BAR: u64 = 9_990;
/// What costs may be off by, in 10,000.
const COST_BAR: u64 = 100;
/// What quantiles may be off by, in 10,000.
const TTFT_BAR: u64 = 1_000;

/// So long after a fault a channel's breaker is surely as it would be without: its longest wait is 16 s, a row of faults
/// ends after 30 s without one, a probe takes at most 60 s.
const SETTLED_AFTER: Span = Span::from_s(60);

/// Times that differ by less are the same: no channel answers so fast that it mattered, and a machine's own pauses are
/// longer.
const TTFT_NOISE_US: u64 = 1_000;

/// Channels × models with a row of their own, those with most calls.
const LANES_MAX: usize = 64;

/// Differences that are named; all are counted.
const NAMED_MAX: usize = 10;

/// What calibration found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Calibration {
    /// Calls of the second half.
    pub calls: u64,
    /// With answers as long as they were: who answers, at which price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostRow>,
    /// With answers as long as in the first half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_learnt: Option<CostRow>,
    pub decisions: Decisions,
    /// Calls of the first half, which were learnt from.
    pub learnt_from: u64,
    /// Time from arrival to first content: of all calls, then by channel × model, those with most calls first.
    pub ttft: Vec<TtftRow>,
    pub verdict: Verdict,
    /// What was missed, or why it cannot be judged.
    pub why: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// Too few calls to tell.
    CannotBeJudged,
    Missed,
}

/// Decisions that were compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Decisions {
    /// Not compared: a channel that the call may use had failed shortly before.
    pub after_faults: u64,
    /// Of those compared, the calls whose first channel the inputs determine; of the others it is the first model.
    pub by_channel: u64,
    pub compared: u64,
    /// The first that differ.
    pub differences: Vec<Differs>,
    /// Not compared: they ended by what no drill is told of.
    pub not_told: u64,
    pub same: u64,
    pub verdict: Verdict,
}

/// A call whose decision differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Differs {
    pub call: String,
    pub played: String,
    pub recorded: String,
}

/// What calls cost, over those whose cost is known in the record and in the play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CostRow {
    pub calls: u64,
    /// What chance alone may make of the difference, in nano-dollars; absent where nothing is learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub chance_nano: Option<Nano>,
    /// How far the prediction is off, in 10,000 of the record.
    pub off: u64,
    #[schemars(with = "String")]
    pub predicted_nano: Nano,
    #[schemars(with = "String")]
    pub recorded_nano: Nano,
    pub verdict: Verdict,
}

/// Times to first content, of all calls or of those that one model on one channel answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TtftRow {
    pub calls: u64,
    /// Absent: of all calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub p50: QuantileRow,
    pub p90: QuantileRow,
    pub p99: QuantileRow,
}

/// One quantile, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuantileRow {
    /// How far the prediction is off, in 10,000 of the record.
    pub off: u64,
    pub predicted_us: u64,
    pub recorded_us: u64,
    pub verdict: Verdict,
}

// === impl Calibration ===

impl Calibration {
    /// Nothing could be played, and why.
    pub(crate) fn unjudged(learnt_from: u64, calls: u64, why: String) -> Self {
        Self {
            calls,
            cost: None,
            cost_learnt: None,
            decisions: Decisions {
                after_faults: 0,
                by_channel: 0,
                compared: 0,
                differences: Vec::new(),
                not_told: 0,
                same: 0,
                verdict: Verdict::CannotBeJudged,
            },
            learnt_from,
            ttft: Vec::new(),
            verdict: Verdict::CannotBeJudged,
            why: vec![why],
        }
    }

    pub fn is_missed(&self) -> bool {
        self.verdict == Verdict::Missed
    }
}

impl TtftRow {
    pub fn quantiles(&self) -> [(&'static str, QuantileRow); 3] {
        [("p50", self.p50), ("p90", self.p90), ("p99", self.p99)]
    }
}

/// How far `predicted` is from `recorded`, in 10,000 of it, rounded up so that a bar is never met by rounding.
fn off(predicted: u64, recorded: u64) -> u64 {
    if predicted == recorded {
        return 0;
    }
    let parts = u128::from(predicted.abs_diff(recorded)) * 10_000;
    u64::try_from(parts.div_ceil(u128::from(recorded.max(1)))).unwrap_or(u64::MAX)
}

//! Calls out of a ledger, entry by entry and in its order. Only those of a window are kept; an entry that cannot be used is
//! counted, never fatal.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::call::Fact;
use tieline_core::record::{AskRecord, AttemptRecord, DecisionEntry, Outcome};
use tieline_core::{Bucket, Code, Criticality, DeskReply, Usage};

use super::{
    Asked, Basis, Builder, COST_KNOWN, Failure, Kind, NO_LANE, NONE, STREAMED, Traffic, TrafficCall,
    USAGE_KNOWN, Window, flag, narrow,
};
use crate::archive::Blobs;
use crate::calibration::{Calibration, Calibrator};
use crate::pairs::{Pair, Pairs, Taken};

/// Reads calls out of a ledger, entry by entry and in order.
#[derive(Debug)]
pub struct TrafficReader {
    builder: Builder<'static>,
    calibrator: Option<Calibrator>,
    /// How much calls matter by their key, by the key's public id.
    criticality: BTreeMap<Arc<str>, Criticality>,
    pairs: Pairs,
    window: Window,
}

impl Default for TrafficReader {
    fn default() -> Self {
        Self::new()
    }
}

impl TrafficReader {
    pub fn new() -> Self {
        Self::within(Window::default())
    }

    /// Only the calls that began within the window.
    pub fn within(window: Window) -> Self {
        Self {
            builder: Builder::new(Basis::Recorded, None),
            calibrator: None,
            criticality: BTreeMap::new(),
            pairs: Pairs::new(),
            window,
        }
    }

    /// Take the keys' own criticality as it is, by their public ids: the ledger does not say it.
    #[must_use]
    pub fn with_criticality(mut self, of_keys: BTreeMap<Arc<str>, Criticality>) -> Self {
        self.criticality = of_keys;
        self
    }

    /// Calibrate on the newest calls, whatever the window; [`TrafficReader::finish_calibrated`] says what came out.
    #[must_use]
    pub fn calibrating(mut self) -> Self {
        self.calibrator = Some(Calibrator::new());
        self
    }

    /// Take the next entry of the ledger.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        match self.pairs.take(index, bytes) {
            Taken::Bad { is_unknown, .. } => {
                self.builder.traffic.unreadable += 1;
                self.builder.traffic.unknown += u64::from(is_unknown);
            }
            Taken::Call(pair) => self.call(&pair),
            Taken::Open | Taken::Other => {}
        }
    }

    /// The calls read, those without an outcome included.
    pub fn finish(mut self) -> Traffic {
        self.rest();
        self.builder.finish()
    }

    /// The same, and what calibration found; nothing, where it was not asked for.
    pub fn finish_calibrated(mut self, blobs: &Blobs<'_>) -> (Traffic, Option<Calibration>) {
        self.rest();
        let calibration = self.calibrator.map(|calibrator| calibrator.finish(blobs));
        (self.builder.finish(), calibration)
    }

    fn rest(&mut self) {
        for pair in self.pairs.rest() {
            self.call(&pair);
        }
    }

    fn call(&mut self, pair: &Pair) {
        if let Some(calibrator) = &mut self.calibrator {
            calibrator.see(pair);
        }
        if self.window.holds(pair.decision.began) && self.builder.has_room() {
            let call = Reading {
                builder: &mut self.builder,
                criticality: &self.criticality,
            }
            .call(pair);
            self.builder.push(call);
        }
    }
}

/// Reads one call, and interns what it shares with others.
pub(crate) struct Reading<'r> {
    pub(crate) builder: &'r mut Builder<'static>,
    pub(crate) criticality: &'r BTreeMap<Arc<str>, Criticality>,
}

impl Reading<'_> {
    pub(crate) fn call(&mut self, pair: &Pair) -> TrafficCall {
        let decision = &*pair.decision;
        let kind = self.kind(decision);
        let kind = self.builder.kind(kind);
        let outcome = pair.outcome.as_deref();
        let attempts = outcome.map_or(&[][..], |outcome| outcome.attempts.as_slice());
        let last = attempts.last();
        let result = outcome.map_or(Outcome::Lost, |outcome| outcome.result);
        let answered = matches!(result, Outcome::Abandoned | Outcome::Broken | Outcome::Served);
        let lane = last
            .filter(|_| answered)
            .map(|attempt| self.builder.lane(&attempt.channel, &attempt.model));
        let met_limit = outcome.is_some_and(|outcome| outcome.code == Some(Code::CallTimeout));
        let (took, ttft) = last.map_or((0, 0), |attempt| timing(attempt, met_limit));
        // Sound and pictures that a channel counts apart have no place in the five counters: such usage is unknown here.
        let usage = outcome.and_then(|outcome| outcome.usage);
        let usage = usage.filter(|usage| usage.audio + usage.audio_output + usage.image == 0);
        let cost = outcome.and_then(|outcome| outcome.cost_nano);
        TrafficCall {
            at: decision.began,
            cost_nano: cost.unwrap_or_default().0,
            tokens: usage.map_or([0; 5], tokens),
            body_bytes: narrow(decision.intake.body_bytes),
            failures: self.failures(attempts),
            kind,
            output_max: decision.intake.output_tokens_max.unwrap_or(NONE),
            took_us: took,
            ttft_us: ttft,
            lane: lane.unwrap_or(NO_LANE),
            flags: flag(COST_KNOWN, cost.is_some())
                | flag(USAGE_KNOWN, usage.is_some())
                | flag(STREAMED, decision.intake.stream),
            result,
        }
    }

    fn kind(&mut self, decision: &DecisionEntry) -> Kind {
        let intake = &decision.intake;
        let judged = decision.inputs.iter().find_map(|step| match &step.fact {
            Fact::Verdicts(verdicts) => Some(verdicts.as_slice()),
            _ => None,
        });
        let rows = decision.plan.iter().zip(judged.unwrap_or_default());
        let rulings =
            rows.map(|(row, judged)| (self.builder.lane(&row.channel, &row.model), judged.0.ruling));
        let rulings = rulings.collect();
        Kind {
            ask: match &intake.ask {
                AskRecord::Model(name) => Asked::Model(name.clone()),
                AskRecord::Pool(name) => Asked::Pool(name.clone()),
                AskRecord::Unknown(_) | AskRecord::Unreadable(_) => Asked::Nothing,
            },
            criticality: self.criticality.get(&intake.key).copied(),
            dialect: intake.dialect,
            end_use: intake.end_use.clone(),
            in_scope: intake.in_scope,
            key_denied: key_denied(decision),
            party: self.builder.party(&intake.party),
            rulings,
        }
    }

    fn failures(&mut self, attempts: &[AttemptRecord]) -> u32 {
        let failed = attempts.iter().filter_map(|attempt| {
            Some(Failure {
                after: attempt.ended_at.since(attempt.dialled_at),
                fault: attempt.fault?,
                lane: self.builder.lane(&attempt.channel, &attempt.model),
                ttft: attempt.ttft_us,
            })
        });
        let failed: Box<[Failure]> = failed.collect();
        if failed.is_empty() {
            return NONE;
        }
        let failures = &mut self.builder.traffic.failures;
        failures.push(failed);
        narrow(failures.len() as u64 - 1)
    }
}

/// How long an answer takes, and its first content, in µs. An attempt that met the call's limit of time is taken to need
/// a moment longer than it got, so that it meets the limit again.
fn timing(attempt: &AttemptRecord, met_limit: bool) -> (u32, u32) {
    let took = attempt.ended_at.since(attempt.dialled_at).0 + u64::from(met_limit);
    (narrow(took), narrow(attempt.ttft_us.map_or(took, |ttft| ttft.0)))
}

/// The bucket of the key's denial, if that is why the call was refused at admission.
fn key_denied(decision: &DecisionEntry) -> Option<Bucket> {
    let by_key = matches!(
        decision.code,
        Some(Code::RequestLimit | Code::TokenLimit | Code::ConcurrencyLimit)
    );
    let replies = decision.inputs.iter().rev().filter_map(|step| match step.fact {
        Fact::Desk(DeskReply::Denied { bucket, .. }) => Some(bucket),
        _ => None,
    });
    replies.take(usize::from(by_key)).next()
}

fn tokens(usage: Usage) -> [u32; 5] {
    let Usage {
        cache_read,
        cache_write,
        input,
        output,
        reasoning,
        ..
    } = usage;
    [input, output, cache_read, cache_write, reasoning].map(narrow)
}

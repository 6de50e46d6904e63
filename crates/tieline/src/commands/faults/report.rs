//! What is shown: a row for each run as JSON, a line for each scenario as text.

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Resume;

use super::client::Got;
use super::judge::{self, Evidence, Saw, Verdict};

/// One run of a scenario of `tieline faults`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct FaultRow {
    /// Always `tieline/faults/v1`.
    pub(in crate::commands) schema: &'static str,
    /// What each call of the run was to its caller, in order.
    pub(in crate::commands) calls: Vec<CallRow>,
    pub(in crate::commands) channels: Vec<ChannelRow>,
    pub(in crate::commands) dialect: &'static str,
    /// What the settings of a configuration of one's own make otherwise than the catalogue expects.
    pub(in crate::commands) differs: Vec<String>,
    /// What is not as it must be; empty is good.
    pub(in crate::commands) failures: Vec<String>,
    pub(in crate::commands) group: &'static str,
    /// `off`, `same_model` or `pool`.
    pub(in crate::commands) resume: &'static str,
    /// Whether the setting `resume` can make a difference here.
    pub(in crate::commands) resumes: bool,
    /// What the channels or the caller do, in one sentence.
    pub(in crate::commands) says: &'static str,
    pub(in crate::commands) scenario: &'static str,
    pub(in crate::commands) stream: bool,
}

/// What a caller saw, when, and what the ledger says of it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct CallRow {
    pub(in crate::commands) attempts: Vec<AttemptRow>,
    /// The channel that the answer names.
    pub(in crate::commands) channel: Option<String>,
    /// Of an error, or of an error event.
    pub(in crate::commands) code: Option<String>,
    /// What the ledger has as the call's cost, in nano-USD; null is unknown, never zero.
    pub(in crate::commands) cost_nano: Option<u64>,
    pub(in crate::commands) first_byte_ms: Option<u64>,
    pub(in crate::commands) first_content_ms: Option<u64>,
    /// The longest time between two pieces.
    pub(in crate::commands) gap_ms_max: u64,
    /// The model that the answer names.
    pub(in crate::commands) model: Option<String>,
    /// The ledger's word for its end: `served`, `broken`, `refused`, `relayed`, `abandoned`.
    pub(in crate::commands) result: Option<String>,
    /// `retry-after-ms` as the caller was told.
    pub(in crate::commands) retry_after_ms: Option<u64>,
    /// `whole`, `broken`, `error`, `left` or `nothing`.
    pub(in crate::commands) saw: &'static str,
    pub(in crate::commands) status: u16,
    pub(in crate::commands) text_bytes: u64,
    pub(in crate::commands) total_ms: u64,
    /// Tokens as the ledger has them; null is unknown.
    pub(in crate::commands) usage: Option<UsageRow>,
    /// In a few words.
    pub(in crate::commands) words: String,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct UsageRow {
    pub(in crate::commands) input: u64,
    pub(in crate::commands) output: u64,
}

/// One attempt as the ledger has it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct AttemptRow {
    pub(in crate::commands) channel: String,
    /// Content events received.
    pub(in crate::commands) content_events: u64,
    /// The kind of its fault; null where there was none.
    pub(in crate::commands) fault: Option<&'static str>,
    pub(in crate::commands) model: String,
    pub(in crate::commands) took_ms: u64,
}

/// What a channel saw.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct ChannelRow {
    pub(in crate::commands) channel: String,
    pub(in crate::commands) requests: Vec<RequestRow>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct RequestRow {
    /// From the begin of the run's first call.
    pub(in crate::commands) at_ms: u64,
    /// `complete`, `closed`, `reset`, `client_gone` or `killed`.
    pub(in crate::commands) end: Option<&'static str>,
    pub(in crate::commands) sent_bytes: u64,
    pub(in crate::commands) status: Option<u16>,
}

/// Runs of one scenario under one setting of `resume`, for the table.
#[derive(Debug, Default)]
pub(super) struct Tally {
    failures: Vec<String>,
    runs: usize,
    slowest_ms: u64,
    words: Vec<(String, Vec<String>)>,
}

pub(super) fn row(evidence: &Evidence, verdict: Verdict) -> FaultRow {
    let Verdict { differs, failures } = verdict;
    // What is expected under the catalogue's own settings has to be.
    let (differs, failures) = if evidence.is_own {
        (Vec::new(), [failures, differs].concat())
    } else {
        (differs, failures)
    };
    let outcomes = evidence.outcomes();
    let began = evidence.got.first().map(|got| got.asked);
    let request = |seen: &tieline_testkit::Seen| RequestRow {
        at_ms: began.map_or(0, |began| millis(seen.arrived.saturating_duration_since(began))),
        end: seen.end.map(end_name),
        sent_bytes: seen.sent_bytes,
        status: seen.status,
    };
    let channels = evidence.channels.iter().map(|(name, seen)| ChannelRow {
        channel: name.to_string(),
        requests: seen.iter().map(request).collect(),
    });
    FaultRow {
        schema: "tieline/faults/v1",
        calls: evidence
            .got
            .iter()
            .enumerate()
            .map(|(place, got)| call(evidence, got, outcomes.get(place).copied()))
            .collect(),
        channels: channels.collect(),
        dialect: evidence.form.dialect.name(),
        differs,
        failures,
        group: evidence.scenario.group,
        resume: resume_name(evidence.form.resume),
        resumes: evidence.scenario.resumes,
        says: evidence.scenario.says,
        scenario: evidence.scenario.name,
        stream: evidence.form.stream,
    }
}

fn call(evidence: &Evidence, got: &Got, outcome: Option<&tieline_core::record::OutcomeEntry>) -> CallRow {
    let reading = got.reading(evidence.form.dialect);
    let header = |name| got.header(name).map(str::to_owned);
    let attempts = outcome
        .map(|outcome| outcome.attempts.as_slice())
        .unwrap_or_default();
    CallRow {
        attempts: attempts
            .iter()
            .map(|attempt| AttemptRow {
                channel: attempt.channel.to_string(),
                content_events: attempt.content_events,
                fault: attempt.fault.map(|fault| fault.kind.name()),
                model: attempt.model.to_string(),
                took_ms: attempt.ended_at.since(attempt.dialled_at).0 / 1_000,
            })
            .collect(),
        channel: header("x-tieline-channel"),
        code: reading.code.clone(),
        cost_nano: outcome.and_then(|outcome| outcome.cost_nano).map(|nano| nano.0),
        first_byte_ms: got.first_byte.map(millis),
        first_content_ms: got.first_content.map(millis),
        gap_ms_max: millis(got.gap_max),
        model: header("x-tieline-model"),
        result: outcome.map(|outcome| format!("{:?}", outcome.result).to_lowercase()),
        retry_after_ms: got.header("retry-after-ms").and_then(|ms| ms.parse().ok()),
        saw: match judge::saw(got, &reading, evidence.form.stream) {
            Saw::Broken => "broken",
            Saw::Error => "error",
            Saw::Left => "left",
            Saw::Nothing => "nothing",
            Saw::Whole => "whole",
        },
        status: got.status,
        text_bytes: reading.text.len() as u64,
        total_ms: millis(got.total),
        usage: outcome.and_then(|outcome| outcome.usage).map(|usage| UsageRow {
            input: usage.input,
            output: usage.output,
        }),
        words: judge::phrase(got, &reading, evidence.form.stream),
    }
}

impl Tally {
    pub(super) fn add(&mut self, row: &FaultRow) {
        self.runs += 1;
        let form = format!(
            "{}{}",
            row.dialect,
            if row.stream { ", streamed" } else { ", whole" }
        );
        let slowest = row.calls.iter().map(|call| call.total_ms).max();
        self.slowest_ms = self.slowest_ms.max(slowest.unwrap_or_default());
        let words = words(row);
        match self.words.iter_mut().find(|(known, _)| *known == words) {
            Some((_, forms)) => forms.push(form.clone()),
            None => self.words.push((words, vec![form.clone()])),
        }
        let of = |mark: &str, says: &String| format!("{mark} ({form}) {says}");
        self.failures
            .extend(row.failures.iter().map(|says| of("FAILED", says)));
        self.failures
            .extend(row.differs.iter().map(|says| of("differs", says)));
    }

    /// The lines of the table.
    pub(super) fn text(&self, row: &FaultRow) -> String {
        let name = if row.resumes {
            format!("{} [resume {}]", row.scenario, row.resume)
        } else {
            row.scenario.to_owned()
        };
        let mut out = format!("{name:<44} {:>6} ms  ", self.slowest_ms);
        for (place, (words, forms)) in self.words.iter().enumerate() {
            if place > 0 {
                let _ = write!(out, "\n{:<56}", "");
            }
            out.push_str(words);
            if self.words.len() > 1 {
                let _ = write!(out, " [{}]", forms.join("; "));
            }
        }
        for says in &self.failures {
            let _ = write!(out, "\n    {says}");
        }
        out
    }
}

/// What the callers of a run saw; the last one's, and how many before it saw the same.
fn words(row: &FaultRow) -> String {
    let Some(last) = row.calls.last() else {
        return "no call".to_owned();
    };
    let same = row.calls.iter().filter(|call| call.saw == last.saw).count();
    let tried: Vec<String> = last
        .attempts
        .iter()
        .map(|attempt| format!("{} {}", attempt.channel, attempt.fault.unwrap_or("ok")))
        .collect();
    let tried = if tried.is_empty() {
        "none asked".to_owned()
    } else {
        tried.join(", ")
    };
    match row.calls.len() {
        1 => format!("{} <- {tried}", last.words),
        all => format!("{same} of {all} calls: {} <- {tried}", last.words),
    }
}

const fn end_name(end: tieline_testkit::End) -> &'static str {
    use tieline_testkit::End;
    match end {
        End::Complete => "complete",
        End::Close => "closed",
        End::Reset => "reset",
        End::ClientGone => "client_gone",
        End::Killed => "killed",
    }
}

pub(super) const fn resume_name(resume: Resume) -> &'static str {
    match resume {
        Resume::Off => "off",
        Resume::Pool => "pool",
        Resume::SameModel => "same_model",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

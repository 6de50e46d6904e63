//! What a test of a pool prints: models by cases, why what did not do did not, and what each model takes less of than the
//! pool's first. No prompt, no answer.

use std::fmt::Write as _;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use tieline_drill::{ModelLimits, Side, Substitute, table};

use crate::commands::reports::printed;

/// `tieline pool test`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct PoolTestReport {
    /// Always `tieline/pool-test/v1`.
    pub(super) schema: &'static str,
    /// SHA-256 of the canonical JSON of the cases.
    pub(super) cases: String,
    /// SHA-256 of the grid in force.
    pub(super) grid: String,
    /// The pool's first model, against which `less` holds the others.
    pub(super) held_against: String,
    /// Models that judged answers.
    pub(super) judges: Vec<String>,
    /// In the order of the pool.
    pub(super) models: Vec<ModelReport>,
    pub(super) notes: Vec<String>,
    /// Whether every model met every case.
    pub(super) ok: bool,
    pub(super) pool: String,
}

/// One model of the pool.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ModelReport {
    /// In the order of the file.
    pub(super) cases: Vec<CaseReport>,
    /// The channels that answered.
    pub(super) channels: Vec<String>,
    pub(super) failed: u32,
    /// What it takes less of than the pool's first model, or of which that is not known.
    pub(super) less: Vec<String>,
    pub(super) limits: ModelLimits,
    pub(super) model: String,
    /// Whether it met every case.
    pub(super) ok: bool,
    pub(super) passed: u32,
    /// The id of its receipt; null where none was recorded.
    pub(super) receipt: Option<String>,
    pub(super) total: u32,
    /// Cases that nobody could judge. Without an answer to each there is no receipt.
    pub(super) unanswered: u32,
}

/// One case of one model.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct CaseReport {
    /// The id of the call, for `tieline explain`.
    pub(super) call: Option<String>,
    /// The channel that answered.
    pub(super) channel: Option<String>,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// Why it is no pass.
    pub(super) why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Fail,
    /// There was no answer to judge, or nobody judged it.
    None,
    Pass,
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![("pool-test", printed::<PoolTestReport>())]
}

impl ModelReport {
    pub(super) fn new(of: Substitute, cases: Vec<CaseReport>) -> Self {
        let count = |verdict| {
            let of = cases.iter().filter(|case| case.verdict == verdict).count();
            u32::try_from(of).unwrap_or(u32::MAX)
        };
        let mut channels: Vec<String> = cases.iter().filter_map(|case| case.channel.clone()).collect();
        channels.sort();
        channels.dedup();
        let (failed, passed, unanswered) = (count(Verdict::Fail), count(Verdict::Pass), count(Verdict::None));
        Self {
            cases,
            channels,
            failed,
            less: of.less,
            limits: of.limits,
            model: of.model,
            ok: failed + unanswered == 0,
            passed,
            receipt: None,
            total: failed + passed + unanswered,
            unanswered,
        }
    }
}

impl PoolTestReport {
    pub(super) fn text(&self) -> String {
        let mut text = self.matrix();
        if !self.ok {
            text.push('\n');
        }
        for model in &self.models {
            for case in &model.cases {
                if let Some(why) = &case.why {
                    let call = case
                        .call
                        .as_ref()
                        .map_or_else(String::new, |call| format!(" (call {call})"));
                    let _ = writeln!(text, "{}, {}: {why}{call}", model.model, case.name);
                }
            }
        }
        let _ = writeln!(
            text,
            "\nWhat each model takes, held against {}",
            self.held_against
        );
        let rows = self
            .models
            .iter()
            .map(|model| limits_row(&model.model, &model.limits, &model.less));
        text.push_str(&table(&LIMITS_HEAD, &rows.collect::<Vec<_>>()));
        text.push('\n');
        for model in &self.models {
            let _ = writeln!(text, "{}", model.standing());
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    fn matrix(&self) -> String {
        let mut head = vec![("case", Side::Left)];
        head.extend(self.models.iter().map(|model| (model.model.as_str(), Side::Left)));
        let cases = self.models.first().map_or(&[][..], |model| &model.cases);
        let mut rows: Vec<Vec<String>> = (0..)
            .zip(cases)
            .map(|(ix, case)| {
                let cell = |model: &ModelReport| {
                    model
                        .cases
                        .get(ix)
                        .map_or("", |case| case.verdict.word())
                        .to_owned()
                };
                std::iter::once(case.name.clone())
                    .chain(self.models.iter().map(cell))
                    .collect()
            })
            .collect();
        let sums = self
            .models
            .iter()
            .map(|model| format!("{} of {}", model.passed, model.total));
        rows.push(std::iter::once("passed".to_owned()).chain(sums).collect());
        format!("Pool {}\n\n{}", self.pool, table(&head, &rows))
    }
}

impl ModelReport {
    /// What the test means for the model, in one sentence.
    fn standing(&self) -> String {
        let receipt = match &self.receipt {
            Some(id) => format!("receipt {id}"),
            None if self.unanswered > 0 => "no receipt, for not every case was answered".to_owned(),
            None => "no receipt".to_owned(),
        };
        let stands = if self.ok {
            "may stand in"
        } else {
            "may not stand in"
        };
        format!("{} {stands}: {receipt}", self.model)
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::None => "none",
            Self::Pass => "pass",
        }
    }
}

/// The columns of what models take.
pub(super) const LIMITS_HEAD: [(&str, Side); 7] = [
    ("model", Side::Left),
    ("context", Side::Right),
    ("reads", Side::Left),
    ("tools", Side::Left),
    ("weights", Side::Left),
    ("licence", Side::Left),
    ("less than the first", Side::Left),
];

pub(super) fn limits_row(model: &str, limits: &ModelLimits, less: &[String]) -> Vec<String> {
    let mut row = vec![model.to_owned()];
    row.extend(limits.cells());
    row.push(less.join("; "));
    row
}

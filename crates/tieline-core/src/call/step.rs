//! The recorded inputs of a call. Content marks are merged into one step, and only marks that change the call's state are
//! kept, so an attempt records a handful of steps however long its answer is.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::desk::DeskReply;
use crate::fault::Fault;
use crate::fleet::View;
use crate::mark::Mark;
use crate::time::Tick;
use crate::verdict::{Rule, Ruling, Verdict};

/// Marks recorded of one attempt. First content, tool, thinking, merged content, usage (first and last), stop: seven;
/// sixteen leaves room, and what is over does not change a decision.
pub const MARKS_MAX: usize = 16;

/// One input, and when it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub at: Tick,
    pub fact: Fact,
}

/// An input as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    ClientGone,
    Desk(DeskReply),
    Durable,
    End { complete: bool },
    Fault(Fault),
    Loss(Arc<[Loss]>),
    Mark(Mark),
    Opened { status: u16 },
    Timer,
    Verdicts(ArrayVec<Judged, ROWS_MAX>),
    View(View),
}

/// A verdict as it is recorded: an allow keeps its rules' ids, a hold or deny also what the caller was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged(pub Arc<Verdict>);

/// Something that a translation could not carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Where it stood, such as `messages[2].content[0].cache_control`.
    pub path: Cow<'static, str>,
    /// Why it could not be carried.
    pub why: Cow<'static, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgedRecord {
    epoch: u64,
    rules: Vec<RuleRecord>,
    ruling: Ruling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<Tick>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    citation: Option<Arc<str>>,
    id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
}

/// The steps of a call, with content marks merged.
#[derive(Debug)]
pub(crate) struct Steps {
    buffer: Vec<Step>,
    content: Option<(Tick, u32)>,
    marks: usize,
}

// === impl Steps ===

impl Steps {
    pub(crate) fn new(buffer: Vec<Step>) -> Self {
        Self {
            buffer,
            content: None,
            marks: 0,
        }
    }

    /// Record a fact that changes the call's state. Content that flowed since comes first, as one mark.
    pub(crate) fn push(&mut self, at: Tick, fact: Fact) {
        self.flush();
        if matches!(fact, Fact::Opened { .. }) {
            self.marks = 0;
        }
        self.buffer.push(Step { at, fact });
    }

    /// Record a mark, within the bound.
    pub(crate) fn push_mark(&mut self, at: Tick, mark: Mark) {
        self.flush();
        if self.marks < MARKS_MAX {
            self.marks += 1;
            self.buffer.push(Step {
                at,
                fact: Fact::Mark(mark),
            });
        }
    }

    /// Content after the first changes only how long the call may idle: merged until the next fact.
    pub(crate) fn merge_content(&mut self, at: Tick, events: u32) {
        let before = self.content.map_or(0, |(_, n)| n);
        self.content = Some((at, before.saturating_add(events)));
    }

    pub(crate) fn as_slice(&self) -> &[Step] {
        &self.buffer
    }

    pub(crate) fn into_buffer(self) -> Vec<Step> {
        self.buffer
    }

    fn flush(&mut self) {
        // Merged content is outside the marks' bound: at most one for each other step.
        if let Some((at, events)) = self.content.take() {
            self.buffer.push(Step {
                at,
                fact: Fact::Mark(Mark::Content(events)),
            });
        }
    }
}

// === impl Judged ===

impl Serialize for Judged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = &*self.0;
        let told = verdict.ruling != Ruling::Allow;
        let rules = verdict.rules.iter().map(|rule| RuleRecord {
            citation: told.then(|| rule.citation.clone()),
            id: rule.id.clone(),
            reason: told.then(|| rule.reason.clone()),
        });
        JudgedRecord {
            epoch: verdict.epoch,
            rules: rules.collect(),
            ruling: verdict.ruling,
            valid_until: verdict.valid_until,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Judged {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = JudgedRecord::deserialize(deserializer)?;
        let rules = record.rules.into_iter().map(|rule| Rule {
            citation: rule.citation.unwrap_or_else(|| "".into()),
            id: rule.id,
            reason: rule.reason.unwrap_or_else(|| "".into()),
        });
        Ok(Self(Arc::new(Verdict {
            epoch: record.epoch,
            rules: rules.collect(),
            ruling: record.ruling,
            valid_until: record.valid_until,
        })))
    }
}

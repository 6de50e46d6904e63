//! The recorded inputs of a call. What flows after the first content is merged into at most three marks before the next
//! fact, so an attempt records a handful of steps however long its answer is. Merging is idempotent: feeding the merged
//! marks again gives the same marks, which is what makes a replayed outcome equal the recorded one.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::desk::DeskReply;
use crate::fault::Fault;
use crate::fleet::View;
use crate::mark::{Mark, Stop, Usage};
use crate::time::Tick;
use crate::verdict::{Rule, Ruling, Verdict};

/// Marks recorded of one attempt, at most: the first content, the first that is more than text, and merged progress before
/// each of the facts that an attempt can meet: of two (usage and stop) before it opened and before its first content, of
/// three before it is durable, before one loss report of the answer and before the end. 1 + 1 + 2 × 2 + 3 × 3 = 15.
pub const MARKS_MAX: usize = 16;

/// One input, and when it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub at: Tick,
    pub fact: Fact,
}

/// A call records a dozen, and each is moved a few times: what is larger has a place of its own.
const _: () = assert!(size_of::<Step>() <= 96);

/// An input as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    ClientGone,
    Desk(DeskReply),
    Durable,
    End {
        complete: bool,
    },
    Fault(Fault),
    Loss(Arc<[Loss]>),
    Mark(Mark),
    /// The decision's entry, which was waited for, could not be made durable.
    NotDurable,
    Opened {
        status: u16,
    },
    /// An order that came into force had the attempt stopped.
    Ordered(Judged),
    /// The ledger took the decision's entry. What follows was decided and timed from here.
    Recorded,
    Timer,
    Verdicts(ArrayVec<Judged, ROWS_MAX>),
    /// In a place of its own, for it is several times the size of everything else.
    View(Box<View>),
}

/// A verdict as it is recorded: an allow keeps its rules' ids, a hold or deny also what the caller was told. Of
/// obligations the ids are kept: their texts stand in the archived packs, and a call records up to eight verdicts at once.
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

/// A verdict as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgedRecord {
    #[serde(default)]
    consumes: Vec<Arc<str>>,
    epoch: u64,
    #[serde(default)]
    obligations: Vec<Arc<str>>,
    rules: Vec<RuleRecord>,
    ruling: Ruling,
    #[serde(default)]
    valid_until: Option<Tick>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleRecord {
    #[serde(default)]
    citation: Option<Arc<str>>,
    id: Arc<str>,
    #[serde(default)]
    reason: Option<Arc<str>>,
}

/// The same as it is written: from where it stands, for a call writes several.
#[derive(Serialize)]
struct JudgedWritten<'v> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    consumes: &'v [Arc<str>],
    epoch: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "ids")]
    obligations: &'v [Rule],
    rules: RulesWritten<'v>,
    ruling: Ruling,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Tick>,
}

struct RulesWritten<'v> {
    rules: &'v [Rule],
    /// Whether the caller was told of them.
    told: bool,
}

#[derive(Serialize)]
struct RuleWritten<'v> {
    #[serde(skip_serializing_if = "Option::is_none")]
    citation: Option<&'v str>,
    id: &'v str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'v str>,
}

/// Room for the steps of a call, to be used again.
#[derive(Default)]
pub struct Buffers {
    steps: Vec<Step>,
    view: Option<Box<View>>,
}

/// The steps of a call, with marks merged.
#[derive(Debug)]
pub(crate) struct Steps {
    /// The steps, and room for a view.
    buffers: Buffers,
    progress: Option<Progress>,
}

/// Marks since the last step. Only the sum of content, the last usage and the last stop reason matter, and when the last
/// of them came: the call may idle from then.
#[derive(Debug)]
struct Progress {
    at: Tick,
    /// A call of a tool or a thought, the first that was told.
    bar: Option<Mark>,
    events: u32,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

// === impl Steps ===

impl Steps {
    /// None yet, in these buffers, and room for so many.
    pub(crate) fn new(buffers: Buffers, room: usize) -> Self {
        let mut steps = Self {
            buffers,
            progress: None,
        };
        steps.renew(room);
        steps
    }

    /// None of them any more, and room for so many.
    pub(crate) fn renew(&mut self, room: usize) {
        self.buffers.clear();
        self.buffers.reserve(room);
        self.progress = None;
    }

    /// Room for a view to come.
    pub(crate) fn view(&mut self) -> Box<View> {
        self.buffers.view.take().unwrap_or_default()
    }

    /// Record a fact that changes the call's state. What flowed since comes first.
    pub(crate) fn push(&mut self, at: Tick, fact: Fact) {
        self.flush();
        self.buffers.steps.push(Step { at, fact });
    }

    /// Keep a mark that changes no more than sums and last values, until the next fact. A mark that `bars` the answer from
    /// being continued is kept for itself.
    pub(crate) fn merge(&mut self, at: Tick, mark: Mark, bars: bool) {
        let progress = self.progress.get_or_insert(Progress {
            at,
            bar: None,
            events: 0,
            stop: None,
            usage: None,
        });
        progress.at = at;
        match mark {
            Mark::Content(events) => progress.events = progress.events.saturating_add(events),
            Mark::Stop(stop) => progress.stop = Some(stop),
            Mark::Usage(usage) => progress.usage = Some(usage),
            Mark::Thinking | Mark::Tool if bars => progress.bar = Some(mark),
            Mark::Thinking | Mark::Tool => {}
        }
    }

    pub(crate) fn as_slice(&self) -> &[Step] {
        &self.buffers.steps
    }

    pub(crate) fn take_buffers(&mut self) -> Buffers {
        std::mem::take(&mut self.buffers)
    }

    fn flush(&mut self) {
        let Some(progress) = self.progress.take() else {
            return;
        };
        // Progress without a sum or a value is still written: the idle limit runs from it.
        let bare = progress.bar.is_none() && progress.usage.is_none() && progress.stop.is_none();
        let content = (progress.events > 0 || bare).then_some(Mark::Content(progress.events));
        let usage = progress.usage.map(Mark::Usage);
        let stop = progress.stop.map(Mark::Stop);
        for mark in [content, progress.bar, usage, stop].into_iter().flatten() {
            self.buffers.steps.push(Step {
                at: progress.at,
                fact: Fact::Mark(mark),
            });
        }
    }
}

// === impl Buffers ===

impl std::fmt::Debug for Buffers {
    /// What they hold, and not the room.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.steps).finish()
    }
}

impl Buffers {
    /// Drop what they hold, and keep the room.
    pub fn clear(&mut self) {
        for step in self.steps.drain(..) {
            if let Fact::View(view) = step.fact {
                self.view = Some(view);
            }
        }
    }

    /// How many steps there is room for.
    pub const fn capacity(&self) -> usize {
        self.steps.capacity()
    }

    /// Make room for so many steps more.
    pub fn reserve(&mut self, steps: usize) {
        self.steps.reserve(steps);
    }
}

// === impl Judged ===

impl Serialize for Judged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = &*self.0;
        JudgedWritten {
            consumes: &verdict.consumes,
            epoch: verdict.epoch,
            obligations: &verdict.obligations,
            rules: RulesWritten {
                rules: &verdict.rules,
                told: verdict.ruling != Ruling::Allow,
            },
            ruling: verdict.ruling,
            valid_until: verdict.valid_until,
        }
        .serialize(serializer)
    }
}

impl Serialize for RulesWritten<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rules.iter().map(|rule| RuleWritten {
            citation: self.told.then_some(&*rule.citation),
            id: &rule.id,
            reason: self.told.then_some(&*rule.reason),
        }))
    }
}

fn ids<S: serde::Serializer>(rules: &[Rule], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(|rule| &*rule.id))
}

impl<'de> Deserialize<'de> for Judged {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = JudgedRecord::deserialize(deserializer)?;
        let rules = record.rules.into_iter().map(|rule| Rule {
            citation: rule.citation.unwrap_or_else(|| "".into()),
            id: rule.id,
            reason: rule.reason.unwrap_or_else(|| "".into()),
        });
        let obligations = record.obligations.into_iter().map(|id| Rule {
            citation: "".into(),
            id,
            reason: "".into(),
        });
        Ok(Self(Arc::new(Verdict {
            consumes: record.consumes.into(),
            epoch: record.epoch,
            obligations: obligations.collect(),
            rules: rules.collect(),
            ruling: record.ruling,
            valid_until: record.valid_until,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &Verdict) {
        let judged: Judged = serde_json::from_str(text).unwrap();
        assert_eq!(&*judged.0, expected);
        assert_eq!(serde_json::to_string(&judged).unwrap(), text);
    }

    fn rule(id: &str, reason: &str, citation: &str) -> Rule {
        Rule {
            citation: citation.into(),
            id: id.into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn verdicts_recorded_before_there_were_licences_and_duties_read() {
        let mut verdict = Verdict {
            consumes: Arc::default(),
            epoch: 7,
            obligations: Arc::default(),
            ruling: Ruling::Hold,
            rules: Arc::new([rule("p/r", "So it is.", "15 CFR 744")]),
            valid_until: Some(Tick(9)),
        };
        check(
            r#"{"epoch":7,"rules":[{"citation":"15 CFR 744","id":"p/r","reason":"So it is."}],"ruling":"hold","valid_until":9}"#,
            &verdict,
        );
        verdict.consumes = Arc::new(["licence-1".into()]);
        verdict.obligations = Arc::new([rule("eu/logs", "", "")]);
        verdict.rules = Arc::new([rule("p/all", "", "")]);
        verdict.ruling = Ruling::Allow;
        verdict.valid_until = None;
        check(
            r#"{"consumes":["licence-1"],"epoch":7,"obligations":["eu/logs"],"rules":[{"id":"p/all"}],"ruling":"allow"}"#,
            &verdict,
        );
    }
}

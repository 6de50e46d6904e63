//! Going on with an answer that broke off after part of it was delivered.
//!
//! Where the pool wants it, and only for text: not once a call of a tool, a thought or a stop was seen, nor where the
//! answer has to fit a form. The next attempt is an attempt like any other (judged, reserved, recorded), that is asked
//! for the rest: by prefill where model and channel are known to take it, else by the same request where the call is
//! deterministic and the model the same, else by an instruction. What a channel says against such a request is no fault
//! of the caller's.

use super::machine::{answer_cut, legal_block};
use super::{Call, Ending};
use crate::fault::{Fault, FaultKind};
use crate::feature::Feature;
use crate::grid::Resume;
use crate::mark::Usage;
use crate::resume::Method;

impl Call {
    /// An answer under way broke off on `row`.
    pub(super) fn resume_or_break(&mut self, fault: Fault, row: u8) {
        if fault.kind == FaultKind::Legal {
            return self.finish(Ending::Broken(legal_block()));
        }
        if !self.may_resume(fault) {
            return self.finish(Ending::Broken(answer_cut()));
        }
        if fault.kind == FaultKind::Context {
            self.keep_larger(row);
        }
        self.differs |= fault.kind == FaultKind::Differs;
        let by_prefill = self
            .attempts
            .last()
            .is_some_and(|a| a.method == Some(Method::Prefill));
        let refused = by_prefill && fault.feature == Some(Feature::Prefill);
        if refused || fault.kind == FaultKind::Differs {
            self.plan.again(row, self.now);
        }
        if self.plan.open() == 0 {
            return self.finish(Ending::Broken(answer_cut()));
        }
        self.ask_for_verdicts();
    }

    fn may_resume(&self, fault: Fault) -> bool {
        let is_text = self.intake.stream
            && self.intake.answers <= 1
            && !self.bars_resume
            && !self.intake.features.contains(Feature::Structured);
        self.settings.resume != Resume::Off && is_text && fault.kind != FaultKind::Content && !self.is_spent()
    }

    /// Rule out the rows that cannot go on with the answer.
    pub(super) fn keep_what_can_resume(&mut self) {
        let rows = (0_u8..).take(self.candidates.len());
        let fits = rows
            .filter(|row| self.method(*row).is_some())
            .fold(0_u8, |bits, row| bits | 1 << row);
        self.plan.keep(|row| fits & (1 << row) != 0);
    }

    /// How the candidate of `row` is asked for the rest; none if it cannot be.
    pub(super) fn method(&self, row: u8) -> Option<Method> {
        let first = self.answered.and_then(|row| self.candidate(row))?;
        let is_same = self.candidate(row)?.model == first.model;
        if self.settings.resume == Resume::SameModel && !is_same {
            return None;
        }
        let seen = self.plan.rows.get(usize::from(row))?.seen;
        let is_refused = seen.is_some_and(|seen| seen.lacks.contains(Feature::Prefill));
        let takes_prefill = self.intake.prefill & (1 << row) != 0 && !is_refused;
        let repeats = self.intake.is_deterministic && is_same && !self.differs;
        [
            (Method::Prefill, takes_prefill),
            (Method::Repeat, repeats),
            (Method::Instruct, true),
        ]
        .into_iter()
        .find(|(method, can)| *can && method.suits(self.intake.features))
        .map(|(method, _)| method)
    }

    /// Whether several attempts gave the answer.
    pub(super) fn is_put_together(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.method.is_some())
    }

    /// Usage of the attempt that answered, or of all that gave a part of the answer; unknown if it is of one of them.
    pub fn usage(&self) -> Option<Usage> {
        if !self.is_put_together() {
            return self.attempts.last().and_then(|attempt| attempt.usage);
        }
        let parts = self.attempts.iter().filter(|a| a.first_content_at.is_some());
        parts
            .map(|attempt| attempt.usage)
            .try_fold(Usage::default(), |sum, usage| Some(sum.plus(&usage?)))
    }
}

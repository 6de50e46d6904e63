//! Why nobody can be tried, in the words that the caller gets.

use super::machine::{answer_cut, verdict_problem};
use super::{AttemptEnd, Call, Ending};
use crate::fault::{Fault, FaultKind};
use crate::problem::{Code, Problem, Retry};
use crate::time::Span;
use crate::verdict::Ruling;

impl Call {
    /// Nothing more can be tried: say what was in the way.
    pub(super) fn refuse_for_want_of_candidates(&mut self) {
        if self.released {
            return self.finish(Ending::Broken(answer_cut()));
        }
        let last = self.attempts.last().and_then(|attempt| attempt.ended);
        let problem = match (self.plan.blocking_verdict(), last) {
            (Some(verdict), _) => verdict_problem(verdict),
            // Every candidate says that it cannot do this request: so it is the request, in the words of the last.
            (None, Some((_, AttemptEnd::Fault(fault)))) if self.all_faults(FaultKind::Incapable) => {
                if fault.status.is_some() {
                    return self.finish(Ending::Relayed);
                }
                Problem::plain(Code::TranslationImpossible)
            }
            (None, Some((_, AttemptEnd::Fault(fault)))) => self.attempts_problem(fault),
            _ => self.admission_problem(),
        };
        self.refuse(problem);
    }

    fn admission_problem(&self) -> Problem {
        if !self.plan.any_allowed()
            && let Some(verdict) = self.plan.refusing_verdict()
        {
            return verdict_problem(verdict);
        }
        if self.plan.any_limited() {
            let free_at = self.plan.limited_until();
            let retry = free_at.map_or(Retry::Free, |at| Retry::After(at.since(self.now)));
            return Problem::plain(Code::ChannelsBusy).with_retry(retry);
        }
        if self.plan.any_unpriced() {
            return Problem::plain(Code::PriceUnknown);
        }
        // What is allowed is cut, and a cut lasts: if an officer could open another way, that is the one to ask.
        match (self.plan.next_at(self.now), self.plan.refusing_verdict()) {
            (None, Some(verdict)) if verdict.ruling == Ruling::Hold => verdict_problem(verdict),
            (next_at, _) => {
                let wait = next_at.map_or(Span::default(), |at| at.since(self.now));
                Problem::plain(Code::NoChannel).with_retry(Retry::After(wait.max(Span::from_s(1))))
            }
        }
    }

    fn attempts_problem(&self, last: Fault) -> Problem {
        if self.all_faults(FaultKind::Rate) {
            let wait = Span::from_ms(last.retry_after_ms.unwrap_or(1_000));
            return Problem::plain(Code::ChannelsBusy).with_retry(Retry::After(wait));
        }
        // Where the attempts are spent, another round of the caller's would only multiply them.
        let retry = if self.is_spent() || self.plan.any_barred() {
            Retry::Never
        } else {
            Retry::Free
        };
        if self.all_faults(FaultKind::Garbage) {
            return Problem::plain(Code::AnswerUnreadable).with_retry(retry);
        }
        let tried = self.attempts.len();
        let plural = if tried == 1 {
            "attempt was"
        } else {
            "attempts were"
        };
        let limit = last
            .limit
            .map_or_else(String::new, |limit| format!(" (`{}` passed)", limit.setting()));
        let says = format!(
            "{tried} {plural} made and failed; the last fault was `{}`{limit}.",
            last.kind.name()
        );
        Problem::new(Code::ChannelsFailed, says).with_retry(retry)
    }

    /// Whether every attempt that failed did so in this way.
    fn all_faults(&self, kind: FaultKind) -> bool {
        self.attempts.iter().all(|attempt| match attempt.ended {
            Some((_, AttemptEnd::Fault(fault))) => fault.kind == kind,
            _ => true,
        })
    }
}

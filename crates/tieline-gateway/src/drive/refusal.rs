//! What a caller who is refused is told: more than the record keeps where a request could not be read, and the ticket of a
//! hold, which the core cannot know.

use http::HeaderValue;
use tieline_core::{Code, Problem};

use super::Drive;
use crate::holds;

impl Drive {
    /// The problem in more words than its record keeps.
    pub(super) fn in_full(&mut self, problem: Problem) -> Problem {
        if let Some(unreadable) = self.unreadable.take() {
            return unreadable;
        }
        match self.unprepared.take() {
            Some(why) if problem.code == Code::TranslationImpossible => Problem {
                says: why.says,
                ..problem
            },
            _ => self.ticketed(problem),
        }
    }

    /// A hold goes to the officer's queue, and the caller gets its ticket.
    pub(super) fn ticketed(&mut self, problem: Problem) -> Problem {
        let Some((candidate, verdict)) = self.call.held() else {
            return problem;
        };
        // What an officer grants, the whole party has: it must not rest on the token of one person.
        let lapse = self.call.intake().subject.lapse;
        if lapse.is_some_and(|lapse| lapse.is_of_person) {
            return problem;
        }
        let snapshot = self.call.snapshot();
        let model = snapshot.model(candidate.model).map_or("", |model| &model.name);
        let hold = holds::hold(&self.call.intake().subject.party, model, verdict, self.now);
        let says = format!(
            "{} Ticket {}: quote it to the compliance officer.",
            problem.says, hold.ticket
        );
        self.ticket = HeaderValue::from_str(&hold.ticket).ok();
        if !self.shared.holds.put(hold) {
            self.shared.metrics.holds_lost.inc();
        }
        Problem {
            says: says.into(),
            ..problem
        }
    }
}

//! What a caller who is refused is told: more than the record keeps where a request could not be read, and the ticket of a
//! hold, which the core cannot know.

use http::HeaderValue;
use tieline_core::grid::Candidate;
use tieline_core::{Code, Problem, Rule};

use super::Drive;
use crate::state::{HoldRow, LegalRefusal};
use crate::{blocks, holds};

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
        if let Some(block) = self.legal_block() {
            // It went to the queue when the channel refused.
            return self.quoting(&block.ticket, problem);
        }
        let Some((candidate, verdict)) = self.call.held() else {
            return problem;
        };
        // What an officer grants, the whole party has: it must not rest on the token of one person. A legal block rests on
        // none.
        let lapse = self.call.intake().subject.lapse;
        let is_block = verdict.rules.iter().any(|rule| &*rule.id == Rule::LEGAL_BLOCK);
        if lapse.is_some_and(|lapse| lapse.is_of_person) && !is_block {
            return problem;
        }
        let model = self.model_name(candidate);
        let hold = holds::hold(&self.call.intake().subject.party, model, verdict, self.now);
        let problem = self.quoting(&hold.ticket, problem);
        if !self.shared.holds.put(hold) {
            self.shared.metrics.holds_lost.inc();
        }
        problem
    }

    /// Have the party blocked on the model, if that is how the call ended.
    pub(super) fn block_if_told(&mut self) {
        if let Some(block) = self.legal_block() {
            let call = self.call.intake().call.to_string();
            self.block = blocks::put(&self.shared, block, call);
        }
    }

    fn legal_block(&self) -> Option<HoldRow> {
        let (candidate, fault) = self.call.blocked()?;
        let channel = self.call.snapshot().channel(candidate.channel)?;
        let refusal = LegalRefusal {
            at_us: self.now.0,
            channel: channel.name.to_string(),
            status: fault.status,
        };
        let party = &self.call.intake().subject.party;
        Some(holds::legal_block(party, self.model_name(candidate), refusal))
    }

    fn model_name(&self, candidate: Candidate) -> &str {
        let model = self.call.snapshot().model(candidate.model);
        model.map_or("", |model| &model.name)
    }

    fn quoting(&mut self, ticket: &str, mut problem: Problem) -> Problem {
        self.ticket = HeaderValue::from_str(ticket).ok();
        let says = format!(
            "{} Ticket {ticket}: quote it to the compliance officer.",
            problem.says
        );
        problem.says = says.into();
        problem
    }
}

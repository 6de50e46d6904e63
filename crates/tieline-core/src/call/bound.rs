//! What a call may cost: the bound that is reserved before its first byte leaves, and what is charged at its end.
//!
//! The bound counts each byte of the body as a token of input (no tokenizer makes more tokens than bytes), adds what a
//! channel puts around a request and the most that each picture, sound or document can be counted as, and takes the output
//! limit as reached. It sums over as many of the dearest tries as there may be, for a channel that timed out may send its
//! bill all the same.

use arrayvec::ArrayVec;

use super::plan::TRIES_MAX;
use super::{Attempt, AttemptEnd, Call};
use crate::ROWS_MAX;
use crate::desk::{Asker, ChannelClaim, Claim};
use crate::fault::{Fault, FaultKind, Phase};
use crate::grid::{Candidate, Resume, UnknownPrice};
use crate::money::Nano;
use crate::subject::Ask;

/// Tokens that a channel may put around a request: the prompts of labs that go with offered tools have up to some 700.
const TEMPLATE_TOKENS_MAX: u64 = 1_024;

/// Tokens of one picture, sound or document where neither its channel nor its model's context window says a limit: the
/// largest context windows that are sold.
const MEDIA_TOKENS_MAX: u64 = 1 << 20;

/// Tries of one call that may be billed: each candidate as often as it may be asked.
const BILLS_MAX: usize = ROWS_MAX * TRIES_MAX as usize;

impl Fault {
    /// Whether the channel may have counted tokens for the attempt, so that unknown usage is unknown and not nothing.
    pub(crate) fn may_have_used(&self) -> bool {
        match self.kind {
            FaultKind::Timeout => true,
            FaultKind::Reset => self.phase == Phase::Body,
            _ => false,
        }
    }

    /// Whether the channel may send a bill for the attempt: it had the request, and did not say that it refused.
    fn may_be_billed(&self) -> bool {
        match self.kind {
            FaultKind::Garbage => true,
            FaultKind::Reset | FaultKind::Timeout => self.phase != Phase::Connect,
            // An error within a stream whose head said 200.
            FaultKind::Content | FaultKind::Transient => self.status.is_none(),
            _ => false,
        }
    }
}

impl Attempt {
    fn may_be_billed(&self) -> bool {
        let ended = match self.ended {
            Some((_, AttemptEnd::Fault(fault))) => fault.may_be_billed(),
            _ => true,
        };
        ended || self.first_content_at.is_some()
    }
}

impl Call {
    /// Whether anybody who pays has a budget.
    pub(crate) fn is_budgeted(&self) -> bool {
        let of_pool = match &self.intake.ask {
            Ask::Pool(ix) => self.snapshot.pool(*ix),
            _ => None,
        };
        self.intake.is_budgeted || of_pool.is_some_and(|pool| pool.limits.has_budget())
    }

    /// The output limit that the request is given because it states none and a budget is in force.
    pub fn output_tokens_injected(&self) -> Option<u32> {
        let is_open = self.intake.output_tokens_max.is_none() && self.is_budgeted();
        is_open.then_some(self.settings.output_tokens_max)
    }

    /// Keep from the plan what has no price, where that matters.
    pub(super) fn price_rows(&mut self) {
        let unpriced = if self.is_budgeted() {
            UnknownPrice::Refuse
        } else {
            self.settings.unknown_price
        };
        for (candidate, row) in self.candidates.iter().zip(&mut self.plan.rows) {
            let served = self.snapshot.served(*candidate);
            row.unpriced = served
                .is_none_or(|served| served.price.is_none())
                .then_some(unpriced)
                .filter(|unpriced| *unpriced != UnknownPrice::Record);
        }
    }

    /// What is asked of everybody who pays.
    pub(super) fn claim(&self) -> Claim {
        Claim {
            at: self.now,
            nano: if self.is_budgeted() { self.bound() } else { Nano(0) },
            tokens: self.tokens_estimate(),
        }
    }

    /// What an attempt asks of its channel; the desk may know a better estimate of the output.
    pub fn channel_claim(&self) -> ChannelClaim {
        let output = self.output_tokens(ChannelClaim::OUTPUT_ASSUMED);
        ChannelClaim::of_request(self.intake.body_bytes, output)
    }

    /// Who asks a channel: the lower of what the pool and the key say that it matters.
    pub fn asker(&self) -> Asker {
        let of_pool = self.settings.criticality;
        let of_key = self.intake.subject.limits.criticality;
        Asker {
            class: of_key.map_or(of_pool, |of_key| of_key.min(of_pool)),
            party: self.intake.subject.party_desk_ix,
        }
    }

    /// Tokens to reserve: an estimate of the input, and the stated or assumed limit of the output.
    pub(super) fn tokens_estimate(&self) -> u64 {
        self.channel_claim().tokens()
    }

    fn output_tokens(&self, otherwise: u64) -> u64 {
        let stated = self.intake.output_tokens_max.or(self.output_tokens_injected());
        stated
            .map_or(otherwise, u64::from)
            .saturating_mul(u64::from(self.intake.answers.max(1)))
    }

    /// The most that the call can cost.
    fn bound(&self) -> Nano {
        let each = self
            .candidates
            .iter()
            .filter_map(|candidate| self.bound_of(*candidate));
        let mut bounds: ArrayVec<Nano, BILLS_MAX> = each
            .flat_map(|bound| std::iter::repeat_n(bound, TRIES_MAX.into()))
            .collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        let tried = bounds.iter().take(self.settings.attempts_max.into());
        Nano(tried.fold(0, |sum, bound| sum.saturating_add(bound.0)))
    }

    /// The most that one attempt on a candidate can cost; none if its price is unknown.
    fn bound_of(&self, candidate: Candidate) -> Option<Nano> {
        let price = self.snapshot.served(candidate)?.price?;
        let context = self
            .snapshot
            .model(candidate.model)
            .and_then(|model| model.context_tokens);
        let per_medium = self
            .snapshot
            .channel(candidate.channel)
            .and_then(|channel| channel.media_tokens_max)
            .map_or(MEDIA_TOKENS_MAX, u64::from);
        let media = u64::from(self.intake.media).saturating_mul(per_medium);
        let output = self.output_tokens(self.settings.output_tokens_max.into());
        // An attempt that goes on with an answer is given what was delivered of it.
        let delivered = if self.settings.resume == Resume::Off {
            0
        } else {
            output
        };
        let input = [TEMPLATE_TOKENS_MAX, media, delivered]
            .into_iter()
            .fold(self.intake.body_bytes, u64::saturating_add);
        let input = context.map_or(input, |context| input.min(context.into()));
        Some(price.bound(input, output))
    }

    /// What the budgets are charged for the call, once it is over.
    pub(crate) fn charged(&self) -> Nano {
        let charges = self.attempts.iter().map(|attempt| self.charge(attempt));
        Nano(charges.fold(0, |sum, charge| sum.saturating_add(charge.0)))
    }

    /// An answer that came whole costs what it says that it used. Of one that did not, or that does not say, nobody knows
    /// how far the channel had come: under a budget it is taken to cost what it can. A channel that refused charges
    /// nothing.
    fn charge(&self, attempt: &Attempt) -> Nano {
        let candidate = self.candidate(attempt.row);
        let price = candidate.and_then(|candidate| self.snapshot.served(candidate)?.price);
        let cost = price
            .zip(attempt.usage)
            .and_then(|(price, usage)| price.cost(&usage));
        let is_whole = matches!(attempt.ended, Some((_, AttemptEnd::Done)));
        match cost {
            _ if !attempt.may_be_billed() => Nano(0),
            Some(cost) if is_whole || !self.is_budgeted() => cost,
            _ if !self.is_budgeted() => Nano(0),
            cost => {
                let bound = candidate.and_then(|candidate| self.bound_of(candidate));
                bound.unwrap_or_default().max(cost.unwrap_or_default())
            }
        }
    }
}

//! Quotas of channels as their operators count them: which tokens, whether `max_tokens` is reserved up front, how output
//! weighs, over which window. What the response headers say corrects the local view.
//!
//! What is reserved is an estimate, for operators count what was used; Azure and OpenAI count on arrival, and there nothing
//! is given back.

use serde::{Deserialize, Serialize};

use super::gcra::{Gcra, MINUTE, Rate, fullest, most_full};
use super::limit::Bucket;
use crate::mark::Usage;
use crate::time::{Span, Tick};

/// Whose rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaModel {
    /// Input without what is read from the cache, and output, each by its own limit, as used.
    Anthropic,
    /// Prompt and output limit together on arrival; requests over 10 s.
    Azure,
    /// Prompt and output limit together on arrival, corrected to what was used, where output weighs `output_burn` times.
    Bedrock,
    /// The larger of prompt and output limit, on arrival.
    Openai,
    /// Prompt and output limit of all calls in flight: the tokens that the server has memory for.
    SelfHosted,
    /// Shared capacity without a fixed quota: nothing is counted.
    Vertex,
}

/// What the operator of a channel allows; absent is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_minute: Option<u64>,
    pub model: QuotaModel,
    /// What a token of output weighs, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_burn: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_in_flight: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

/// What one attempt asks of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelClaim {
    pub input: u64,
    /// An estimate, at most `output_max`.
    pub output: u64,
    pub output_max: u64,
}

/// What a channel's response headers say is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuotaState {
    input: Gcra,
    output: Gcra,
    pub(super) tokens_in_flight: u64,
    requests: Gcra,
    tokens: Gcra,
}

/// Units of one attempt in each bucket.
#[derive(Clone, Copy, Default)]
struct Units {
    input: u64,
    output: u64,
    tokens: u64,
}

/// Bytes of request body per input token that an estimate assumes: English text has about four.
const BODY_BYTES_PER_TOKEN: u64 = 4;

impl ChannelClaim {
    /// The output tokens that an estimate assumes where the request states no limit. A guess: half of recorded chat answers
    /// are shorter than a quarter of it; settling corrects it.
    pub const OUTPUT_ASSUMED: u64 = 1_024;

    /// What a request of that length asks, whose answers have at most so many tokens together.
    pub const fn of_request(body_bytes: u64, output_max: u64) -> Self {
        Self {
            input: body_bytes / BODY_BYTES_PER_TOKEN,
            output: output_max,
            output_max,
        }
    }

    /// What limits of tokens without further rules count.
    pub const fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl Quota {
    fn reserved(&self, claim: &ChannelClaim) -> Units {
        let most = claim.input.saturating_add(claim.output_max);
        let tokens = match self.model {
            QuotaModel::Anthropic => claim.tokens(),
            QuotaModel::Openai => claim.input.max(claim.output_max),
            QuotaModel::Azure | QuotaModel::Bedrock | QuotaModel::SelfHosted => most,
            QuotaModel::Vertex => 0,
        };
        Units {
            input: claim.input,
            output: claim.output,
            tokens,
        }
    }

    /// What was used, as the operator counts it; none where nothing is given back.
    fn used(&self, usage: &Usage) -> Option<Units> {
        let answer = usage.answer();
        let input = usage.prompt().saturating_sub(usage.cache_read);
        let tokens = match self.model {
            QuotaModel::Anthropic => input.saturating_add(answer),
            QuotaModel::Bedrock => {
                let burn = u64::from(self.output_burn.unwrap_or(1));
                usage.prompt().saturating_add(answer.saturating_mul(burn))
            }
            QuotaModel::Azure | QuotaModel::Openai | QuotaModel::Vertex | QuotaModel::SelfHosted => {
                return None;
            }
        };
        Some(Units {
            input,
            output: answer,
            tokens,
        })
    }

    /// Azure counts requests over windows of 1 to 10 s, so that a minute's worth at once is refused.
    fn request_rate(&self) -> Option<Rate> {
        let per_minute = u64::from(self.requests_per_minute?);
        Some(match self.model {
            QuotaModel::Azure => Rate {
                limit: per_minute.div_ceil(6),
                period: Span::from_s(10),
            },
            _ => Rate {
                limit: per_minute,
                period: MINUTE,
            },
        })
    }
}

impl QuotaState {
    /// Reserve, or say which bucket is full and when it frees; after an error, `self` is to be forgotten.
    pub(super) fn reserve(
        &mut self,
        quota: &Quota,
        claim: &ChannelClaim,
        now: Tick,
    ) -> Result<(), (Bucket, Option<Tick>)> {
        let units = quota.reserved(claim);
        for (bucket, gcra, rate, units) in self.buckets(quota, units) {
            if let Some(rate) = rate {
                // A call that is larger than a whole limit is the operator's to refuse, once the bucket is empty.
                gcra.take(rate, units.min(rate.limit), now)
                    .map_err(|free_at| (bucket, free_at))?;
            }
        }
        let in_flight = self.tokens_in_flight.saturating_add(units.tokens);
        let is_full = quota.tokens_in_flight.is_some_and(|max| in_flight > max);
        if is_full && self.tokens_in_flight > 0 {
            return Err((Bucket::TokensInFlight, None));
        }
        self.tokens_in_flight = in_flight;
        Ok(())
    }

    pub(super) fn settle(&mut self, quota: &Quota, claim: &ChannelClaim, used: Option<&Usage>, now: Tick) {
        let reserved = quota.reserved(claim);
        self.tokens_in_flight = self.tokens_in_flight.saturating_sub(reserved.tokens);
        let Some(used) = used.and_then(|used| quota.used(used)) else {
            return;
        };
        let before = self.buckets(quota, reserved).map(|(_, _, _, units)| units);
        for ((bucket, gcra, rate, used), reserved) in self.buckets(quota, used).into_iter().zip(before) {
            if let Some(rate) = rate.filter(|_| bucket != Bucket::RequestsPerMinute) {
                gcra.correct(rate, reserved.min(rate.limit), used, now);
            }
        }
    }

    /// The operator's own count replaces ours.
    pub(super) fn correct(&mut self, quota: &Quota, left: &Remaining, now: Tick) {
        let left = [left.requests, left.tokens, left.input_tokens, left.output_tokens];
        for ((_, gcra, rate, _), left) in self.buckets(quota, Units::default()).into_iter().zip(left) {
            if let (Some(rate), Some(left)) = (rate, left) {
                gcra.set_left(rate, left, now);
            }
        }
    }

    /// The fullest bucket of those that are at `permille` of their limit or above, and when it falls below.
    pub(super) fn above(
        &mut self,
        quota: &Quota,
        permille: u64,
        now: Tick,
    ) -> Option<(Bucket, Option<Tick>)> {
        if let Some(max) = quota.tokens_in_flight
            && self.tokens_in_flight.saturating_mul(1_000) >= max.saturating_mul(permille)
        {
            return Some((Bucket::TokensInFlight, None));
        }
        fullest(self.buckets(quota, Units::default()), permille, now)
    }

    /// The fullest of the buckets, and how full it is, in thousandths; none where nothing is limited.
    pub(super) fn fill(mut self, quota: &Quota, now: Tick) -> Option<(Bucket, u64)> {
        let of_max = |max: u64| self.tokens_in_flight.saturating_mul(1_000) / max.max(1);
        let in_flight = quota
            .tokens_in_flight
            .map(|max| (Bucket::TokensInFlight, of_max(max)));
        let rates = most_full(self.buckets(quota, Units::default()), now);
        in_flight
            .into_iter()
            .chain(rates)
            .max_by_key(|(_, permille)| *permille)
    }

    fn buckets(&mut self, quota: &Quota, units: Units) -> [(Bucket, &mut Gcra, Option<Rate>, u64); 4] {
        let per_minute = |limit: Option<u64>| {
            let limit = limit.filter(|_| quota.model != QuotaModel::Vertex);
            limit.map(|limit| Rate {
                limit,
                period: MINUTE,
            })
        };
        [
            (
                Bucket::RequestsPerMinute,
                &mut self.requests,
                quota.request_rate().filter(|_| quota.model != QuotaModel::Vertex),
                1,
            ),
            (
                Bucket::TokensPerMinute,
                &mut self.tokens,
                per_minute(quota.tokens_per_minute),
                units.tokens,
            ),
            (
                Bucket::InputTokensPerMinute,
                &mut self.input,
                per_minute(quota.input_tokens_per_minute),
                units.input,
            ),
            (
                Bucket::OutputTokensPerMinute,
                &mut self.output,
                per_minute(quota.output_tokens_per_minute),
                units.output,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(1_781_284_860_000_000);

    fn quota(model: QuotaModel) -> Quota {
        Quota {
            input_tokens_per_minute: None,
            model,
            output_burn: None,
            output_tokens_per_minute: None,
            requests_per_minute: None,
            tokens_in_flight: None,
            tokens_per_minute: Some(10_000),
        }
    }

    /// How many calls of 100 tokens with a limit of 900 and an estimate of 50 fit at once, and how many more after one
    /// of them has used 100 (60 of them from the cache) and 20.
    fn check(quota: Quota, first: u64, then: u64) {
        let claim = ChannelClaim {
            input: 100,
            output: 50,
            output_max: 900,
        };
        let used = Usage {
            cache_read: 60,
            input: 40,
            output: 20,
            ..Usage::default()
        };
        let mut state = QuotaState::default();
        let admit = |state: &mut QuotaState| {
            (0..1_000)
                .take_while(|_| state.reserve(&quota, &claim, START).is_ok())
                .count()
        };
        assert_eq!(admit(&mut state) as u64, first, "{quota:?}");
        for _ in 0..first.min(1_000) {
            state.settle(&quota, &claim, Some(&used), START);
        }
        assert_eq!(admit(&mut state) as u64, then, "{quota:?} after settling");
    }

    #[test]
    fn each_operator_counts_in_its_own_way() {
        // 150 of 10,000 each, and 60 when it is over: what is read from the cache is free.
        check(quota(QuotaModel::Anthropic), 66, 40);
        // 1,000 each, and 100 + 5 × 20 when it is over.
        let bedrock = Quota {
            output_burn: Some(5),
            ..quota(QuotaModel::Bedrock)
        };
        check(bedrock, 10, 8);
        // Counted on arrival: nothing comes back.
        check(quota(QuotaModel::Azure), 10, 0);
        check(quota(QuotaModel::Openai), 11, 0);
        check(quota(QuotaModel::Vertex), 1_000, 1_000);
        let memory = Quota {
            tokens_in_flight: Some(3_000),
            tokens_per_minute: None,
            ..quota(QuotaModel::SelfHosted)
        };
        check(memory, 3, 3);
    }

    #[test]
    fn azure_refuses_a_minute_s_requests_at_once() {
        let azure = Quota {
            requests_per_minute: Some(60),
            tokens_per_minute: None,
            ..quota(QuotaModel::Azure)
        };
        check(azure, 10, 0);
    }

    #[test]
    fn the_operator_s_own_count_replaces_ours() {
        let quota = quota(QuotaModel::Anthropic);
        let mut state = QuotaState::default();
        let said = Remaining {
            tokens: Some(1_500),
            ..Remaining::default()
        };
        state.correct(&quota, &said, START);
        let claim = ChannelClaim {
            input: 1_000,
            output: 0,
            output_max: 0,
        };
        assert_eq!(state.reserve(&quota, &claim, START), Ok(()));
        let denied = state.reserve(&quota, &claim, START);
        // 500 are missing, and 10,000 come back in a minute.
        assert_eq!(
            denied,
            Err((Bucket::TokensPerMinute, Some(START.plus(Span::from_s(3)))))
        );
        assert!(state.above(&quota, 940, START).is_some());
        assert!(state.above(&quota, 960, START).is_none());
    }
}

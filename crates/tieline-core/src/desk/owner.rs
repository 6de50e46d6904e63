//! The buckets of one owner.

use super::budget::{Budget, Period, Short};
use super::gcra::{Gcra, MINUTE, Rate, fullest, most_full};
use super::{Bucket, BucketOwner, Claim, DeskReply, Limits};
use crate::money::Nano;
use crate::time::{Span, Tick};

const DAY: Span = Span::from_s(86_400);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owner {
    day: Budget,
    pub(super) in_flight: u32,
    month: Budget,
    requests_day: Gcra,
    requests_minute: Gcra,
    tokens_day: Gcra,
    tokens_minute: Gcra,
    week: Budget,
}

/// What is left of one limit, as the dialects' rate-limit headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub left: u64,
    pub limit: u64,
    /// When all of it is there again.
    pub reset_at: Tick,
}

/// What is left of requests and of tokens, where they are limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    pub requests: Option<Room>,
    pub tokens: Option<Room>,
}

/// A reservation that does not fit.
pub(super) struct Denied {
    pub(super) bucket: Bucket,
    pub(super) free_at: Option<Tick>,
    pub(super) in_flight: bool,
}

impl Denied {
    pub(super) const fn of(self, owner: BucketOwner) -> DeskReply {
        DeskReply::Denied {
            bucket: self.bucket,
            free_at: self.free_at,
            in_flight: self.in_flight,
            owner,
            shed: false,
        }
    }
}

impl Owner {
    /// Reserve all or nothing: after an error, `self` is to be forgotten.
    pub(super) fn reserve(&mut self, limits: &Limits, claim: &Claim) -> Result<(), Denied> {
        if limits.concurrency.is_some_and(|max| self.in_flight >= max) {
            return Err(Denied {
                bucket: Bucket::Concurrency,
                free_at: None,
                in_flight: true,
            });
        }
        for (bucket, gcra, rate, units) in self.rates(limits, claim.tokens) {
            let Some(rate) = rate else { continue };
            gcra.take(rate, units, claim.at).map_err(|free_at| Denied {
                bucket,
                free_at,
                in_flight: false,
            })?;
        }
        for (bucket, budget, period, limit) in self.budgets(limits) {
            let reserved = budget.reserve(limit, claim.nano, period.number(claim.at));
            reserved.map_err(|short| Denied {
                bucket,
                free_at: (short == Short::Spent).then(|| period.end(claim.at)),
                in_flight: short == Short::Reserved,
            })?;
        }
        self.in_flight = self.in_flight.saturating_add(1);
        Ok(())
    }

    pub(super) fn restore(&mut self, limits: &Limits, claim: &Claim) {
        for (_, gcra, rate, units) in self.rates(limits, claim.tokens) {
            if let Some(rate) = rate {
                gcra.correct(rate, 0, units, claim.at);
            }
        }
        for (_, budget, period, _) in self.budgets(limits) {
            // Without a limit it always fits.
            let _ = budget.reserve(None, claim.nano, period.number(claim.at));
        }
        self.in_flight = self.in_flight.saturating_add(1);
    }

    pub(super) fn settle(
        &mut self,
        limits: &Limits,
        claim: &Claim,
        charged: Nano,
        used: Option<u64>,
        now: Tick,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for (_, budget, period, _) in self.budgets(limits) {
            budget.settle(claim.nano, charged, period.number(claim.at));
        }
        let Some(used) = used else { return };
        for (bucket, gcra, rate, _) in self.rates(limits, 0) {
            let tokens = matches!(bucket, Bucket::TokensPerDay | Bucket::TokensPerMinute);
            if let (true, Some(rate)) = (tokens, rate) {
                gcra.correct(rate, claim.tokens, used, now);
            }
        }
    }

    /// The fullest bucket of those that are at `permille` of their limit or above, and when it falls below.
    pub(super) fn above(
        &mut self,
        limits: &Limits,
        permille: u64,
        now: Tick,
    ) -> Option<(Bucket, Option<Tick>)> {
        let in_flight = u64::from(self.in_flight).saturating_mul(1_000);
        if limits
            .concurrency
            .is_some_and(|max| in_flight >= u64::from(max).saturating_mul(permille))
        {
            return Some((Bucket::Concurrency, None));
        }
        fullest(self.rates(limits, 0), permille, now)
    }

    /// The fullest of the buckets, and how full it is, in thousandths; none where nothing is limited.
    pub(super) fn fill(mut self, limits: &Limits, now: Tick) -> Option<(Bucket, u64)> {
        let of_max = |max: u32| u64::from(self.in_flight) * 1_000 / u64::from(max.max(1));
        let in_flight = limits.concurrency.map(|max| (Bucket::Concurrency, of_max(max)));
        let rates = most_full(self.rates(limits, 0), now);
        in_flight
            .into_iter()
            .chain(rates)
            .max_by_key(|(_, permille)| *permille)
    }

    pub(super) fn rooms(mut self, limits: &Limits, now: Tick) -> Rooms {
        let mut rooms = Rooms::default();
        for (bucket, gcra, rate, _) in self.rates(limits, 0) {
            let Some(rate) = rate else { continue };
            let (left, reset_at) = gcra.room(rate, now);
            let room = Room {
                left,
                limit: rate.limit,
                reset_at,
            };
            let of_one = match bucket {
                Bucket::TokensPerDay | Bucket::TokensPerMinute => Rooms {
                    requests: None,
                    tokens: Some(room),
                },
                _ => Rooms {
                    requests: Some(room),
                    tokens: None,
                },
            };
            rooms = rooms.least(of_one);
        }
        rooms
    }

    pub(super) fn money_left(mut self, limits: &Limits, now: Tick) -> [Option<Nano>; 3] {
        self.budgets(limits)
            .map(|(_, budget, period, limit)| limit.map(|limit| budget.left(limit, period.number(now))))
    }

    /// The rate buckets in the order in which they are checked: short periods first, for their waits are short.
    fn rates(&mut self, limits: &Limits, tokens: u64) -> [(Bucket, &mut Gcra, Option<Rate>, u64); 4] {
        let per = |limit: Option<u64>, period| limit.map(|limit| Rate { limit, period });
        [
            (
                Bucket::RequestsPerMinute,
                &mut self.requests_minute,
                per(limits.requests_per_minute.map(u64::from), MINUTE),
                1,
            ),
            (
                Bucket::TokensPerMinute,
                &mut self.tokens_minute,
                per(limits.tokens_per_minute, MINUTE),
                tokens,
            ),
            (
                Bucket::RequestsPerDay,
                &mut self.requests_day,
                per(limits.requests_per_day.map(u64::from), DAY),
                1,
            ),
            (
                Bucket::TokensPerDay,
                &mut self.tokens_day,
                per(limits.tokens_per_day, DAY),
                tokens,
            ),
        ]
    }

    /// All are counted, also where no limit stands: a budget that is given in the middle of a period counts from its start.
    fn budgets(&mut self, limits: &Limits) -> [(Bucket, &mut Budget, Period, Option<Nano>); 3] {
        [
            (
                Bucket::BudgetPerDay,
                &mut self.day,
                Period::Day,
                limits.nano_per_day,
            ),
            (
                Bucket::BudgetPerWeek,
                &mut self.week,
                Period::Week,
                limits.nano_per_week,
            ),
            (
                Bucket::BudgetPerMonth,
                &mut self.month,
                Period::Month,
                limits.nano_per_month,
            ),
        ]
    }
}

impl Rooms {
    /// Of each the lesser.
    pub(super) fn least(self, other: Self) -> Self {
        let least = |a: Option<Room>, b: Option<Room>| match (a, b) {
            (Some(a), Some(b)) => Some(if b.left < a.left { b } else { a }),
            (a, b) => a.or(b),
        };
        Self {
            requests: least(self.requests, other.requests),
            tokens: least(self.tokens, other.tokens),
        }
    }
}

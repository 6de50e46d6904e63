//! The auditor's own account of limits: what is reserved and in flight for each owner, and how full its buckets are. A
//! reply of the desk that lets more through than the limits allow is wrong, and so is one that refuses what fits.
//!
//! Debts are kept as time, in ns with 20 binary places, so that they outlive a change of the limit as the desk's do.

use std::collections::BTreeMap;

use tieline_core::{Bucket, BucketOwner, Claim, DeskReply, Limits, Nano, Tick};

/// Whose limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Channel(u8),
    Key(u8),
    Party(u8),
    Pool(u8),
}

#[derive(Debug, Default)]
pub(super) struct Desks(BTreeMap<Owner, Account>);

#[derive(Debug, Default)]
struct Account {
    /// Of each kind of budget and period: what is reserved, and what was charged.
    money: BTreeMap<(Bucket, u64), (u64, u64)>,
    debts: [Debt; 4],
    in_flight: u32,
    operations: u128,
}

#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    at: Tick,
    fixed: u128,
}

const MINUTE_NS: u128 = 60 * 1_000_000_000;
const DAY_NS: u128 = 86_400 * 1_000_000_000;
const PLACES: u32 = 20;

/// The desk rounds each charge up to a ns, and an instant to a µs.
const ROUNDING: u128 = 1 << PLACES;
const INSTANT: u128 = 2_000 << PLACES;

const BUDGETS: [Bucket; 2] = [Bucket::BudgetPerDay, Bucket::BudgetPerWeek];

const BUCKETS: [Bucket; 4] = [
    Bucket::RequestsPerMinute,
    Bucket::TokensPerMinute,
    Bucket::RequestsPerDay,
    Bucket::TokensPerDay,
];

impl Desks {
    /// What is wrong with a reply of the desk to a claim on all of these, if anything is. A granted one is kept.
    pub(super) fn replied(
        &mut self,
        owners: &[(Owner, Limits)],
        claim: &Claim,
        reply: &DeskReply,
        now: Tick,
    ) -> Option<String> {
        let mut wrong = None;
        for (owner, limits) in owners {
            let account = self.0.entry(*owner).or_default();
            let slack = (account.operations + 1) * ROUNDING;
            let says = match reply {
                DeskReply::Granted => {
                    let over = account.overdrawn(limits, claim, slack, now);
                    account.grant(limits, claim, now);
                    over.map(|bucket| format!("more is granted than its {bucket:?} allows"))
                }
                DeskReply::Denied {
                    bucket,
                    free_at,
                    owner: of,
                    ..
                } if owner.is(*of) => account.wrongly_denied(limits, claim, (*bucket, *free_at), slack, now),
                DeskReply::Denied { .. } => None,
            };
            wrong = wrong.or(says.map(|says| format!("{owner:?}: {says} ({claim:?})")));
        }
        wrong
    }

    pub(super) fn settled(
        &mut self,
        owners: &[(Owner, Limits)],
        claim: &Claim,
        charged: Nano,
        used: Option<u64>,
        now: Tick,
    ) {
        for (owner, limits) in owners {
            let account = self.0.entry(*owner).or_default();
            account.settle(limits, claim, charged, used, now);
        }
    }

    pub(super) fn in_flight(&self, owner: Owner) -> u32 {
        self.0.get(&owner).map_or(0, |account| account.in_flight)
    }

    /// A reload: channels that the new grid does not name are forgotten.
    pub(super) fn keep(&mut self, has_channel: impl Fn(u8) -> bool) {
        self.0.retain(|owner, _| match owner {
            Owner::Channel(channel) => has_channel(*channel),
            Owner::Key(_) | Owner::Party(_) | Owner::Pool(_) => true,
        });
    }
}

impl Owner {
    const fn is(self, kind: BucketOwner) -> bool {
        matches!(
            (self, kind),
            (Self::Channel(_), BucketOwner::Channel)
                | (Self::Key(_), BucketOwner::Key)
                | (Self::Party(_), BucketOwner::Party)
                | (Self::Pool(_), BucketOwner::Pool)
        )
    }
}

impl Account {
    fn settle(&mut self, limits: &Limits, claim: &Claim, charged: Nano, used: Option<u64>, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for bucket in BUDGETS {
            let (reserved, sum) = self.money.entry((bucket, period(bucket, claim.at))).or_default();
            *reserved = reserved.saturating_sub(claim.nano.0);
            *sum += charged.0;
        }
        let Some(used) = used else { return };
        self.operations += 1;
        let reserved = claim.tokens;
        for (bucket, debt) in BUCKETS.into_iter().zip(&mut self.debts) {
            let tokens = matches!(bucket, Bucket::TokensPerDay | Bucket::TokensPerMinute);
            if let Some((limit, period)) = rate(bucket, limits).filter(|_| tokens) {
                let change = cost(used.abs_diff(reserved), limit, period);
                let left = debt.left(now);
                let fixed = if used >= reserved {
                    left + change
                } else {
                    left.saturating_sub(change)
                };
                *debt = Debt { at: now, fixed };
            }
        }
    }

    fn overdrawn(&self, limits: &Limits, claim: &Claim, slack: u128, now: Tick) -> Option<Bucket> {
        let tokens = claim.tokens;
        let over = BUDGETS.into_iter().find(|bucket| {
            let (reserved, charged) = self
                .money
                .get(&(*bucket, period(*bucket, claim.at)))
                .copied()
                .unwrap_or_default();
            budget(*bucket, limits, claim.at)
                .is_some_and(|(limit, _)| reserved + charged + claim.nano.0 > limit.0)
        });
        if over.is_some() {
            return over;
        }
        if limits.concurrency.is_some_and(|max| self.in_flight >= max) {
            return Some(Bucket::Concurrency);
        }
        let mut each = BUCKETS.into_iter().zip(&self.debts);
        let over = each.find(|(bucket, debt)| {
            rate(*bucket, limits).is_some_and(|(limit, period)| {
                let units = units(*bucket, tokens);
                units > limit || debt.left(now) + cost(units, limit, period) > (period << PLACES) + slack
            })
        });
        over.map(|(bucket, _)| bucket)
    }

    fn grant(&mut self, limits: &Limits, claim: &Claim, now: Tick) {
        let tokens = claim.tokens;
        for bucket in BUDGETS {
            let (reserved, _) = self.money.entry((bucket, period(bucket, claim.at))).or_default();
            *reserved += claim.nano.0;
        }
        self.in_flight += 1;
        self.operations += 1;
        for (bucket, debt) in BUCKETS.into_iter().zip(&mut self.debts) {
            if let Some((limit, period)) = rate(bucket, limits) {
                let fixed = debt.left(now) + cost(units(bucket, tokens), limit, period);
                *debt = Debt { at: now, fixed };
            }
        }
    }

    fn wrongly_denied(
        &self,
        limits: &Limits,
        claim: &Claim,
        (bucket, free_at): (Bucket, Option<Tick>),
        slack: u128,
        now: Tick,
    ) -> Option<String> {
        let tokens = claim.tokens;
        if let Some((limit, period)) = budget(bucket, limits, claim.at) {
            let (reserved, charged) = self.money.get(&(bucket, period)).copied().unwrap_or_default();
            let fits = reserved + charged + claim.nano.0 <= limit.0;
            return fits
                .then(|| format!("{bucket:?} is denied with {reserved} reserved and {charged} charged"));
        }
        if bucket == Bucket::Concurrency {
            let fits = limits.concurrency.is_none_or(|max| self.in_flight < max);
            return fits.then(|| format!("denied with {} in flight", self.in_flight));
        }
        let (limit, period) = rate(bucket, limits)?;
        let units = units(bucket, tokens);
        if units > limit {
            return free_at.map(|_| format!("{bucket:?} never has room for {units} of {limit}"));
        }
        let debts = BUCKETS.into_iter().zip(&self.debts);
        let left = debts
            .filter(|(of, _)| *of == bucket)
            .map(|(_, debt)| debt.left(now))
            .sum::<u128>();
        let over = (left + cost(units, limit, period)).saturating_sub(period << PLACES);
        let told = free_at.map(|at| (u128::from(at.since(now).0) * 1_000) << PLACES);
        let honest = told.is_some_and(|told| told.abs_diff(over) <= slack + INSTANT);
        (!honest).then(|| {
            let ms = |fixed: u128| (fixed >> PLACES) / 1_000_000;
            let told = told.map(ms);
            format!(
                "{bucket:?} is denied for {told:?} ms where {} ms are right",
                ms(over)
            )
        })
    }
}

impl Debt {
    fn left(self, now: Tick) -> u128 {
        self.fixed
            .saturating_sub((u128::from(now.since(self.at).0) * 1_000) << PLACES)
    }
}

fn rate(bucket: Bucket, limits: &Limits) -> Option<(u64, u128)> {
    match bucket {
        Bucket::RequestsPerMinute => limits.requests_per_minute.map(|limit| (limit.into(), MINUTE_NS)),
        Bucket::TokensPerMinute => limits.tokens_per_minute.map(|limit| (limit, MINUTE_NS)),
        Bucket::RequestsPerDay => limits.requests_per_day.map(|limit| (limit.into(), DAY_NS)),
        Bucket::TokensPerDay => limits.tokens_per_day.map(|limit| (limit, DAY_NS)),
        Bucket::BudgetPerDay | Bucket::BudgetPerMonth | Bucket::BudgetPerWeek | Bucket::Concurrency => None,
    }
}

/// The budget of a kind, and the number of the period that the instant is in.
fn budget(bucket: Bucket, limits: &Limits, at: Tick) -> Option<(Nano, u64)> {
    let limit = match bucket {
        Bucket::BudgetPerDay => limits.nano_per_day,
        Bucket::BudgetPerWeek => limits.nano_per_week,
        _ => None,
    };
    limit.map(|limit| (limit, period(bucket, at)))
}

/// Days since 1970, or weeks from the Monday before it; months are not drawn.
const fn period(bucket: Bucket, at: Tick) -> u64 {
    let days = at.0 / 86_400_000_000;
    if matches!(bucket, Bucket::BudgetPerWeek) {
        (days + 3) / 7
    } else {
        days
    }
}

fn units(bucket: Bucket, tokens: u64) -> u64 {
    match bucket {
        Bucket::TokensPerDay | Bucket::TokensPerMinute => tokens,
        _ => 1,
    }
}

fn cost(units: u64, limit: u64, period_ns: u128) -> u128 {
    ((u128::from(units) * period_ns) << PLACES) / u128::from(limit.max(1))
}

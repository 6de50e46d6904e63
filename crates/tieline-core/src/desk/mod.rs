//! The desk: limits of keys, parties, pools and channels by requests, tokens, calls in flight and money. A call reserves
//! before it is sent, settles with what was really used, or releases; reserve is all or nothing, over all who pay.
//!
//! Rates are integer GCRA ([`gcra`]): an estimate is reserved and corrected. Money ([`budget`]) is an upper bound, so that
//! what is charged never passes a budget by more than an answer passes what was asked for.
//! Bounds: buckets exist only for owners that the shell registered, at most [`OWNERS_MAX`] of each kind.

mod budget;
mod gcra;
mod limit;
mod output;
mod owner;
mod quota;
mod share;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;

use self::output::Outputs;
use self::owner::{Denied, Owner};
use self::quota::QuotaState;
use self::share::Shares;
use crate::grid::{ChannelIx, ModelIx, PoolIx, Snapshot};
use crate::mark::Usage;
use crate::money::Nano;
use crate::time::Tick;

pub use self::limit::{Bucket, BucketOwner, Claim, DeskReply, Limits};
pub use self::owner::{Room, Rooms};
pub use self::quota::{ChannelClaim, Quota, QuotaModel, Remaining};
pub use self::share::{Asker, Criticality};

/// Owners of one kind with live buckets: 128 bytes each, 2^17 of them 16 MiB, enough for 10,000 parties with ten keys.
pub const OWNERS_MAX: usize = 1 << 17;

/// Who pays for one call, each with its limits.
#[derive(Clone, Copy, Debug)]
pub struct Payers<'a> {
    pub key: (u32, &'a Limits),
    pub party: (u32, &'a Limits),
    /// Absent for a call that names a model.
    pub pool: Option<(PoolIx, &'a Limits)>,
}

/// What a channel's operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub limits: &'a Limits,
    pub quota: Option<&'a Quota>,
}

/// What a channel has beside its limits.
#[derive(Clone, Debug, Default)]
struct Line {
    quota: QuotaState,
    shares: Shares,
}

/// A key, a party and a pool.
const PAYERS_MAX: usize = 3;

/// All buckets. Owned by the shell, one per process.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    channels: Vec<Owner>,
    keys: Vec<Owner>,
    lines: Vec<Line>,
    outputs: Outputs,
    parties: Vec<Owner>,
    pools: Vec<Owner>,
}

// === impl Desk ===

impl Desk {
    /// Reserve one request and the claim for everybody who pays: for all of them, or for none.
    pub fn reserve(&mut self, payers: &Payers<'_>, claim: &Claim) -> DeskReply {
        let mut granted = ArrayVec::<Owner, PAYERS_MAX>::new();
        for (whose, ix, limits) in payers.each() {
            let mut next = *self.owner(whose, ix);
            match next.reserve(limits, claim) {
                Ok(()) => granted.push(next),
                Err(denied) => return denied.of(whose),
            }
        }
        for ((whose, ix, _), next) in payers.each().into_iter().zip(granted) {
            *self.owner(whose, ix) = next;
        }
        DeskReply::Granted
    }

    /// Count a call of the past, whatever the limits are by now: it was made.
    pub fn restore(&mut self, payers: &Payers<'_>, claim: &Claim) {
        for (whose, ix, limits) in payers.each() {
            self.owner(whose, ix).restore(limits, claim);
        }
    }

    /// A call ended: correct the token buckets from what was reserved to what was used, and the budgets to what was
    /// charged. Unknown usage leaves the reservation of tokens standing, for unknown is not zero.
    pub fn settle(
        &mut self,
        payers: &Payers<'_>,
        claim: &Claim,
        charged: Nano,
        used: Option<&Usage>,
        now: Tick,
    ) {
        for (whose, ix, limits) in payers.each() {
            self.owner(whose, ix)
                .settle(limits, claim, charged, used.map(Usage::total), now);
        }
    }

    /// Reserve one request and the claim on a channel, unless it is kept for others.
    pub fn reserve_channel(
        &mut self,
        channel: ChannelIx,
        terms: &Terms<'_>,
        asker: Asker,
        claim: &ChannelClaim,
        now: Tick,
    ) -> DeskReply {
        let ix = usize::from(channel.0);
        let (owner, line) = (owner_at(&mut self.channels, ix), owner_at(&mut self.lines, ix));
        if let Some((bucket, free_at)) = line.kept(*owner, terms, asker, now) {
            return DeskReply::Denied {
                bucket,
                free_at,
                in_flight: false,
                owner: BucketOwner::Channel,
                shed: true,
            };
        }
        let (mut next, mut quota) = (*owner, line.quota);
        let limited = next.reserve(terms.limits, &Claim::of_tokens(claim.tokens(), now));
        let limited = limited.and_then(|()| {
            let Some(terms) = terms.quota else { return Ok(()) };
            let reserved = quota.reserve(terms, claim, now);
            reserved.map_err(|(bucket, free_at)| Denied {
                bucket,
                free_at,
                in_flight: false,
            })
        });
        match limited {
            Ok(()) => {
                (*owner, line.quota) = (next, quota);
                line.shares.granted(asker, claim);
                DeskReply::Granted
            }
            Err(denied) => {
                line.shares.waits(asker, now);
                denied.of(BucketOwner::Channel)
            }
        }
    }

    /// An attempt on a channel ended. An attempt that never reached the channel gives everything back
    /// (`used` = `Some(zero)`).
    pub fn settle_channel(
        &mut self,
        channel: ChannelIx,
        terms: &Terms<'_>,
        asker: Asker,
        claim: &ChannelClaim,
        used: Option<&Usage>,
        now: Tick,
    ) {
        let ix = usize::from(channel.0);
        let of_limits = Claim::of_tokens(claim.tokens(), now);
        let total = used.map(Usage::total);
        owner_at(&mut self.channels, ix).settle(terms.limits, &of_limits, Nano(0), total, now);
        let line = owner_at(&mut self.lines, ix);
        line.shares.settle(asker, claim, used);
        if let Some(quota) = terms.quota {
            line.quota.settle(quota, claim, used, now);
        }
    }

    /// What a channel's response headers say is left replaces what was counted here.
    pub fn correct_channel(&mut self, channel: ChannelIx, quota: &Quota, left: &Remaining, now: Tick) {
        owner_at(&mut self.lines, usize::from(channel.0))
            .quota
            .correct(quota, left, now);
    }

    /// The claim with its output estimated from what the party's calls of the model had lately, where enough is known.
    pub fn estimated(&self, party: u32, model: ModelIx, claim: ChannelClaim) -> ChannelClaim {
        let lately = self.outputs.q90(party, model);
        ChannelClaim {
            output: lately.map_or(claim.output, |q90| q90.min(claim.output_max)),
            ..claim
        }
    }

    /// A call of the party had so much output.
    pub fn had_output(&mut self, party: u32, model: ModelIx, tokens: u64) {
        self.outputs.see(party, model, tokens);
    }

    /// What is left of requests and tokens: of each the least among all who pay.
    pub fn rooms(&self, payers: &Payers<'_>, now: Tick) -> Rooms {
        let mut rooms = Rooms::default();
        for (whose, ix, limits) in payers.each() {
            let owner = self.owners(whose).get(ix).copied().unwrap_or_default();
            rooms = rooms.least(owner.rooms(limits, now));
        }
        rooms
    }

    /// What is left of the budgets of an owner: day, week, month, as far as each is limited.
    pub fn money_left(&self, whose: BucketOwner, ix: u32, limits: &Limits, now: Tick) -> [Option<Nano>; 3] {
        let owner = self.owners(whose).get(ix as usize).copied().unwrap_or_default();
        owner.money_left(limits, now)
    }

    /// Move the buckets of channels and pools to another grid, by name.
    pub fn carry(&mut self, old: &Snapshot, new: &Snapshot) {
        let kept = |owners: &[Owner], before: Option<u16>| {
            let owner = before.and_then(|ix| owners.get(usize::from(ix)));
            owner.copied().unwrap_or_default()
        };
        let channels = new.channels.iter().map(|channel| {
            let before = old.channel_named(&channel.name).map(|ix| ix.0);
            kept(&self.channels, before)
        });
        let pools = new.pools.iter().map(|pool| {
            let before = old.pool_named(&pool.name).map(|ix| ix.0);
            kept(&self.pools, before)
        });
        let lines = new.channels.iter().map(|channel| {
            let before = old.channel_named(&channel.name).map(|ix| usize::from(ix.0));
            let line = before.and_then(|ix| self.lines.get(ix));
            line.cloned().unwrap_or_default()
        });
        let lines = lines.collect();
        (self.channels, self.pools) = (channels.collect(), pools.collect());
        self.lines = lines;
        // Models have other numbers in another grid; estimates come again within a few calls.
        self.outputs = Outputs::default();
    }

    /// Calls of a key in flight.
    pub fn key_in_flight(&self, desk_ix: u32) -> u32 {
        self.keys.get(desk_ix as usize).map_or(0, |owner| owner.in_flight)
    }

    /// Attempts on a channel in flight.
    pub fn channel_in_flight(&self, channel: ChannelIx) -> u32 {
        self.channels
            .get(usize::from(channel.0))
            .map_or(0, |owner| owner.in_flight)
    }

    /// The fullest limit of a channel, and how much of it is used, in thousandths; none where it has no limit.
    pub fn channel_fill(&self, channel: ChannelIx, terms: &Terms<'_>, now: Tick) -> Option<(Bucket, u64)> {
        if terms.limits.is_none() && terms.quota.is_none() {
            return None;
        }
        let ix = usize::from(channel.0);
        let owner = self.channels.get(ix).copied().unwrap_or_default();
        let quota = self.lines.get(ix).map(|line| line.quota).unwrap_or_default();
        let of_quota = terms.quota.and_then(|terms| quota.fill(terms, now));
        let fills = [owner.fill(terms.limits, now), of_quota];
        fills.into_iter().flatten().max_by_key(|(_, permille)| *permille)
    }

    fn owner(&mut self, whose: BucketOwner, ix: usize) -> &mut Owner {
        let owners = match whose {
            BucketOwner::Channel => &mut self.channels,
            BucketOwner::Key => &mut self.keys,
            BucketOwner::Party => &mut self.parties,
            BucketOwner::Pool => &mut self.pools,
        };
        owner_at(owners, ix)
    }

    fn owners(&self, whose: BucketOwner) -> &[Owner] {
        match whose {
            BucketOwner::Channel => &self.channels,
            BucketOwner::Key => &self.keys,
            BucketOwner::Party => &self.parties,
            BucketOwner::Pool => &self.pools,
        }
    }
}

/// The owner at `ix`, grown on first use. An index past [`OWNERS_MAX`] shares the last slot: stricter, never unlimited.
fn owner_at<T: Clone + Default>(owners: &mut Vec<T>, ix: usize) -> &mut T {
    let ix = ix.min(OWNERS_MAX - 1);
    if owners.len() <= ix {
        owners.resize(ix + 1, T::default());
    }
    // The vector was just grown to hold `ix`.
    #[expect(clippy::indexing_slicing, reason = "grown to ix + 1 two lines above")]
    &mut owners[ix]
}

impl Line {
    /// What is kept for others: for calls that matter more, or for a party whose turn it is.
    fn kept(
        &mut self,
        mut owner: Owner,
        terms: &Terms<'_>,
        asker: Asker,
        now: Tick,
    ) -> Option<(Bucket, Option<Tick>)> {
        if terms.limits.is_none() && terms.quota.is_none() {
            return None;
        }
        let turn = self.shares.is_others_turn(asker, now);
        let shed = asker.class.shed_permille().and_then(|permille| {
            let of_quota = terms
                .quota
                .and_then(|quota| self.quota.above(quota, permille, now));
            of_quota.or_else(|| owner.above(terms.limits, permille, now))
        });
        shed.or_else(|| turn.map(|at| (Bucket::FairShare, Some(at))))
    }
}

impl Claim {
    /// A claim on a channel, which limits no money.
    const fn of_tokens(tokens: u64, at: Tick) -> Self {
        Self {
            at,
            nano: Nano(0),
            tokens,
        }
    }
}

impl<'a> Payers<'a> {
    /// In the order in which they are asked: the key is told of its own limit before its party's.
    fn each(&self) -> ArrayVec<(BucketOwner, usize, &'a Limits), PAYERS_MAX> {
        let mut each = ArrayVec::new();
        each.push((BucketOwner::Key, self.key.0 as usize, self.key.1));
        each.push((BucketOwner::Party, self.party.0 as usize, self.party.1));
        if let Some((pool, limits)) = self.pool {
            each.push((BucketOwner::Pool, usize::from(pool.0), limits));
        }
        each
    }
}

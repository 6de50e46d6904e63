//! The desk: limits of keys and channels by requests, tokens and calls in flight. A call reserves before it is sent,
//! settles with what was really used, or releases; reserve is all or nothing.
//!
//! Rates are the generic cell rate algorithm (ITU-T I.371) in integers: one number per bucket, the theoretical arrival
//! time in ns. A bucket's burst is its whole limit, so "100 a minute" admits 100 at once and then one each 600 ms.
//! Bounds: buckets exist only for owners that the shell registered, at most [`OWNERS_MAX`].

use serde::{Deserialize, Serialize};

use crate::grid::{ChannelIx, Snapshot};
use crate::mark::Usage;
use crate::time::{Span, Tick};

/// Limits of one owner; absent is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BucketOwner {
    Channel,
    Key,
}

/// Which limit of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    Concurrency,
    RequestsPerDay,
    RequestsPerMinute,
    TokensPerDay,
    TokensPerMinute,
}

/// The desk's answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeskReply {
    /// Nothing was reserved. `free_at` is when the same reservation would fit; absent where only another call's end can
    /// tell.
    Denied {
        bucket: Bucket,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free_at: Option<Tick>,
    },
    Granted,
}

/// Keys and channels with live buckets: 128 bytes each, 2^17 of them 16 MiB, enough for 10,000 parties with ten keys.
pub const OWNERS_MAX: usize = 1 << 17;

const MINUTE: Span = Span::from_s(60);
const DAY: Span = Span::from_s(86_400);

/// All buckets. Owned by the shell, one per process.
#[derive(Debug, Default)]
pub struct Desk {
    channels: Vec<Owner>,
    keys: Vec<Owner>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    in_flight: u32,
    requests_day: Gcra,
    requests_minute: Gcra,
    tokens_day: Gcra,
    tokens_minute: Gcra,
}

/// Theoretical arrival time, ns since the Unix epoch (2^64 ns reach the year 2554).
#[derive(Clone, Copy, Debug, Default)]
struct Gcra(u64);

/// One rate: so many units in a period.
#[derive(Clone, Copy)]
struct Rate {
    limit: u64,
    period: Span,
}

// === impl Desk ===

impl Desk {
    /// Reserve one request and `tokens` for a key.
    pub fn reserve_key(&mut self, desk_ix: u32, limits: &Limits, tokens: u64, now: Tick) -> DeskReply {
        owner(&mut self.keys, desk_ix as usize).reserve(limits, tokens, now)
    }

    /// Reserve one request and `tokens` on a channel.
    pub fn reserve_channel(
        &mut self,
        channel: ChannelIx,
        limits: &Limits,
        tokens: u64,
        now: Tick,
    ) -> DeskReply {
        owner(&mut self.channels, usize::from(channel.0)).reserve(limits, tokens, now)
    }

    /// The call of a key ended: correct the token buckets from what was reserved to what was used. Unknown usage
    /// leaves the reservation standing, for unknown is not zero.
    pub fn settle_key(
        &mut self,
        desk_ix: u32,
        limits: &Limits,
        reserved: u64,
        used: Option<&Usage>,
        now: Tick,
    ) {
        owner(&mut self.keys, desk_ix as usize).settle(limits, reserved, used.map(Usage::total), now);
    }

    /// An attempt on a channel ended. An attempt that never reached the channel gives everything back
    /// (`used` = `Some(zero)`).
    pub fn settle_channel(
        &mut self,
        channel: ChannelIx,
        limits: &Limits,
        reserved: u64,
        used: Option<&Usage>,
        now: Tick,
    ) {
        owner(&mut self.channels, usize::from(channel.0)).settle(
            limits,
            reserved,
            used.map(Usage::total),
            now,
        );
    }

    /// Move the channels' buckets to another grid, by name.
    pub fn carry(&mut self, old: &Snapshot, new: &Snapshot) {
        let moved = new.channels.iter().map(|channel| {
            let before = old.channel_named(&channel.name).map(|ix| usize::from(ix.0));
            before
                .and_then(|ix| self.channels.get(ix))
                .copied()
                .unwrap_or_default()
        });
        self.channels = moved.collect();
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
}

/// The owner at `ix`, grown on first use. An index past [`OWNERS_MAX`] shares the last slot: stricter, never unlimited.
fn owner(owners: &mut Vec<Owner>, ix: usize) -> &mut Owner {
    let ix = ix.min(OWNERS_MAX - 1);
    if owners.len() <= ix {
        owners.resize(ix + 1, Owner::default());
    }
    // The vector was just grown to hold `ix`.
    #[expect(clippy::indexing_slicing, reason = "grown to ix + 1 two lines above")]
    &mut owners[ix]
}

// === impl Owner ===

impl Owner {
    fn reserve(&mut self, limits: &Limits, tokens: u64, now: Tick) -> DeskReply {
        if limits.concurrency.is_some_and(|max| self.in_flight >= max) {
            return DeskReply::Denied {
                bucket: Bucket::Concurrency,
                free_at: None,
            };
        }
        let mut next = *self;
        for (bucket, gcra, rate, units) in next.rates(limits, tokens) {
            let Some(rate) = rate else { continue };
            if let Err(free_at) = gcra.take(rate, units, now) {
                return DeskReply::Denied { bucket, free_at };
            }
        }
        next.in_flight = next.in_flight.saturating_add(1);
        *self = next;
        DeskReply::Granted
    }

    fn settle(&mut self, limits: &Limits, reserved: u64, used: Option<u64>, now: Tick) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(used) = used else { return };
        for (bucket, gcra, rate, _) in self.rates(limits, 0) {
            let tokens = matches!(bucket, Bucket::TokensPerDay | Bucket::TokensPerMinute);
            if let (true, Some(rate)) = (tokens, rate) {
                gcra.correct(rate, reserved, used, now);
            }
        }
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
}

// === impl Gcra ===

impl Gcra {
    /// Take `units`, or say when they would fit. More units than the whole limit never fit: then there is no time.
    fn take(&mut self, rate: Rate, units: u64, now: Tick) -> Result<(), Option<Tick>> {
        if units > rate.limit {
            return Err(None);
        }
        let now_ns = now.0.saturating_mul(1_000);
        let period_ns = rate.period.0.saturating_mul(1_000);
        let tat = self.0.max(now_ns).saturating_add(rate.cost_ns(units));
        let allowed_at = tat.saturating_sub(period_ns);
        if allowed_at > now_ns {
            return Err(Some(Tick(allowed_at.div_ceil(1_000))));
        }
        self.0 = tat;
        Ok(())
    }

    /// Replace a reservation by what was used: forward for more (a debt of one call at most), back for less. Going back
    /// never saves up capacity, for [`Gcra::take`] starts from now at the earliest.
    fn correct(&mut self, rate: Rate, reserved: u64, used: u64, now: Tick) {
        let now_ns = now.0.saturating_mul(1_000);
        if used >= reserved {
            self.0 = self.0.max(now_ns).saturating_add(rate.cost_ns(used - reserved));
        } else {
            self.0 = self.0.saturating_sub(rate.cost_ns(reserved - used));
        }
    }
}

impl Rate {
    /// The ns that `units` cost, rounded up, exact in 128 bits. A limit of zero admits nothing ([`Gcra::take`] refuses
    /// before it comes here), so the division is safe.
    fn cost_ns(self, units: u64) -> u64 {
        let period_ns = u128::from(self.period.0) * 1_000;
        u64::try_from((u128::from(units) * period_ns).div_ceil(u128::from(self.limit.max(1))))
            .unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Tick = Tick(1_781_284_860_000_000);

    fn per_minute(requests: u32) -> Limits {
        Limits {
            requests_per_minute: Some(requests),
            ..Limits::default()
        }
    }

    #[test]
    fn a_limit_admits_its_number_at_once_and_then_one_per_share() {
        let mut desk = Desk::default();
        let limits = per_minute(3);
        for _ in 0..3 {
            assert_eq!(desk.reserve_key(0, &limits, 0, START), DeskReply::Granted);
        }
        let freed = START.plus(Span::from_s(20));
        assert_eq!(
            desk.reserve_key(0, &limits, 0, START),
            DeskReply::Denied {
                bucket: Bucket::RequestsPerMinute,
                free_at: Some(freed)
            }
        );
        assert_eq!(desk.reserve_key(0, &limits, 0, freed), DeskReply::Granted);
        assert_eq!(
            desk.reserve_key(1, &limits, 0, START),
            DeskReply::Granted,
            "another key has its own bucket"
        );
    }

    #[test]
    fn a_denied_reservation_leaves_nothing_behind() {
        let mut desk = Desk::default();
        let limits = Limits {
            tokens_per_minute: Some(100),
            requests_per_minute: Some(2),
            ..Limits::default()
        };
        let denied = desk.reserve_key(0, &limits, 101, START);
        assert_eq!(
            denied,
            DeskReply::Denied {
                bucket: Bucket::TokensPerMinute,
                free_at: None
            }
        );
        assert_eq!(desk.reserve_key(0, &limits, 50, START), DeskReply::Granted);
        assert_eq!(
            desk.reserve_key(0, &limits, 50, START),
            DeskReply::Granted,
            "the denied one took no request"
        );
        assert_eq!(desk.key_in_flight(0), 2);
    }

    #[test]
    fn settling_gives_back_what_was_not_used() {
        let mut desk = Desk::default();
        let limits = Limits {
            tokens_per_minute: Some(100),
            ..Limits::default()
        };
        assert_eq!(desk.reserve_key(0, &limits, 100, START), DeskReply::Granted);
        let used = Usage {
            input: 10,
            ..Usage::default()
        };
        desk.settle_key(0, &limits, 100, Some(&used), START);
        assert_eq!(desk.reserve_key(0, &limits, 90, START), DeskReply::Granted);
        assert!(matches!(
            desk.reserve_key(0, &limits, 1, START),
            DeskReply::Denied { .. }
        ));
    }

    #[test]
    fn unknown_usage_keeps_the_reservation() {
        let mut desk = Desk::default();
        let limits = Limits {
            tokens_per_minute: Some(100),
            concurrency: Some(1),
            ..Limits::default()
        };
        assert_eq!(
            desk.reserve_channel(ChannelIx(0), &limits, 100, START),
            DeskReply::Granted
        );
        assert!(matches!(
            desk.reserve_channel(ChannelIx(0), &limits, 0, START),
            DeskReply::Denied {
                bucket: Bucket::Concurrency,
                ..
            }
        ));
        desk.settle_channel(ChannelIx(0), &limits, 100, None, START);
        assert_eq!(desk.channel_in_flight(ChannelIx(0)), 0);
        assert!(matches!(
            desk.reserve_channel(ChannelIx(0), &limits, 1, START),
            DeskReply::Denied { .. }
        ));
    }

    proptest! {
        /// Over any window of a minute, no more than twice the limit is admitted (a full burst and its refill), and a
        /// denial's `free_at` is honest: the same reservation fits then, and not a moment earlier.
        #[test]
        fn a_bucket_keeps_its_rate(limit in 1_u32..50, gaps in prop::collection::vec(0_u64..5_000_000, 1..200)) {
            let mut desk = Desk::default();
            let limits = per_minute(limit);
            let (mut now, mut granted) = (START, Vec::new());
            for gap in gaps {
                now = now.plus(Span(gap));
                match desk.reserve_key(0, &limits, 0, now) {
                    DeskReply::Granted => granted.push(now),
                    DeskReply::Denied { free_at, .. } => {
                        let free_at = free_at.unwrap();
                        prop_assert!(free_at > now);
                        let probe = Desk { keys: desk.keys.clone(), channels: Vec::new() };
                        let mut early = Desk { keys: probe.keys.clone(), channels: Vec::new() };
                        prop_assert_ne!(early.reserve_key(0, &limits, 0, Tick(free_at.0 - 1)), DeskReply::Granted);
                        let mut late = probe;
                        prop_assert_eq!(late.reserve_key(0, &limits, 0, free_at), DeskReply::Granted);
                    }
                }
            }
            for start in &granted {
                let within = granted.iter().filter(|t| *t >= start && t.since(*start) < MINUTE).count();
                prop_assert!(within <= 2 * limit as usize);
            }
        }
    }
}

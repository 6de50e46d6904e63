use proptest::prelude::*;

use super::*;
use crate::time::Span;

const START: Tick = Tick(1_781_284_860_000_000);

const NONE: Limits = Limits {
    concurrency: None,
    criticality: None,
    nano_per_day: None,
    nano_per_month: None,
    nano_per_week: None,
    requests_per_day: None,
    requests_per_minute: None,
    tokens_per_day: None,
    tokens_per_minute: None,
};

/// A call that only its key limits.
fn key(ix: u32, limits: &Limits) -> Payers<'_> {
    Payers {
        key: (ix, limits),
        party: (0, &NONE),
        pool: None,
    }
}

fn claim(tokens: u64, at: Tick) -> Claim {
    Claim::of_tokens(tokens, at)
}

fn reserve_key(desk: &mut Desk, ix: u32, limits: &Limits, tokens: u64, now: Tick) -> DeskReply {
    desk.reserve(&key(ix, limits), &claim(tokens, now))
}

fn denied(bucket: Bucket, free_at: Option<Tick>) -> DeskReply {
    DeskReply::Denied {
        bucket,
        free_at,
        in_flight: false,
        owner: BucketOwner::Key,
        shed: false,
    }
}

fn terms(limits: &Limits) -> Terms<'_> {
    Terms { limits, quota: None }
}

fn of_channel(tokens: u64) -> ChannelClaim {
    ChannelClaim {
        input: tokens,
        output: 0,
        output_max: 0,
    }
}

fn reserve_channel(desk: &mut Desk, limits: &Limits, tokens: u64) -> DeskReply {
    let asker = Asker::default();
    desk.reserve_channel(ChannelIx(0), &terms(limits), asker, &of_channel(tokens), START)
}

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
        assert_eq!(reserve_key(&mut desk, 0, &limits, 0, START), DeskReply::Granted);
    }
    let freed = START.plus(Span::from_s(20));
    assert_eq!(
        reserve_key(&mut desk, 0, &limits, 0, START),
        denied(Bucket::RequestsPerMinute, Some(freed))
    );
    assert_eq!(reserve_key(&mut desk, 0, &limits, 0, freed), DeskReply::Granted);
    assert_eq!(
        reserve_key(&mut desk, 1, &limits, 0, START),
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
    let too_much = reserve_key(&mut desk, 0, &limits, 101, START);
    assert_eq!(too_much, denied(Bucket::TokensPerMinute, None));
    assert_eq!(reserve_key(&mut desk, 0, &limits, 50, START), DeskReply::Granted);
    assert_eq!(
        reserve_key(&mut desk, 0, &limits, 50, START),
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
    assert_eq!(reserve_key(&mut desk, 0, &limits, 100, START), DeskReply::Granted);
    let used = Usage {
        input: 10,
        ..Usage::default()
    };
    desk.settle(&key(0, &limits), &claim(100, START), Nano(0), Some(&used), START);
    assert_eq!(reserve_key(&mut desk, 0, &limits, 90, START), DeskReply::Granted);
    assert!(matches!(
        reserve_key(&mut desk, 0, &limits, 1, START),
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
    assert_eq!(reserve_channel(&mut desk, &limits, 100), DeskReply::Granted);
    assert!(matches!(
        reserve_channel(&mut desk, &limits, 0),
        DeskReply::Denied {
            bucket: Bucket::Concurrency,
            ..
        }
    ));
    desk.settle_channel(
        ChannelIx(0),
        &terms(&limits),
        Asker::default(),
        &of_channel(100),
        None,
        START,
    );
    assert_eq!(desk.channel_in_flight(ChannelIx(0)), 0);
    assert!(matches!(
        reserve_channel(&mut desk, &limits, 1),
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
            match reserve_key(&mut desk, 0, &limits, 0, now) {
                DeskReply::Granted => granted.push(now),
                DeskReply::Denied { free_at, .. } => {
                    let free_at = free_at.unwrap();
                    prop_assert!(free_at > now);
                    let mut early = desk.clone();
                    prop_assert_ne!(reserve_key(&mut early, 0, &limits, 0, Tick(free_at.0 - 1)), DeskReply::Granted);
                    let mut late = desk.clone();
                    prop_assert_eq!(reserve_key(&mut late, 0, &limits, 0, free_at), DeskReply::Granted);
                }
            }
        }
        for start in &granted {
            let within = granted.iter().filter(|t| *t >= start && t.since(*start) < Span::from_s(60)).count();
            prop_assert!(within <= 2 * limit as usize);
        }
    }
}

// === several who pay ===

fn budget_of_a_day(nano: u64) -> Limits {
    Limits {
        nano_per_day: Some(Nano(nano)),
        ..NONE
    }
}

#[test]
fn a_reservation_is_made_for_all_who_pay_or_for_none() {
    let mut desk = Desk::default();
    let (of_key, of_party, of_pool) = (per_minute(5), per_minute(9), budget_of_a_day(100));
    let payers = Payers {
        key: (3, &of_key),
        party: (1, &of_party),
        pool: Some((PoolIx(2), &of_pool)),
    };
    let claim = |nano| Claim {
        at: START,
        nano: Nano(nano),
        tokens: 0,
    };
    let short = DeskReply::Denied {
        bucket: Bucket::BudgetPerDay,
        free_at: None,
        in_flight: false,
        owner: BucketOwner::Pool,
        shed: false,
    };
    for _ in 0..20 {
        assert_eq!(desk.reserve(&payers, &claim(101)), short, "more than all of it");
    }
    assert_eq!(
        desk.reserve(&payers, &claim(60)),
        DeskReply::Granted,
        "the denied ones took no request"
    );
    assert!(matches!(
        desk.reserve(&payers, &claim(60)),
        DeskReply::Denied {
            in_flight: true,
            free_at: None,
            owner: BucketOwner::Pool,
            ..
        }
    ));
    desk.settle(&payers, &claim(60), Nano(55), None, START);
    let DeskReply::Denied {
        free_at, in_flight, ..
    } = desk.reserve(&payers, &claim(60))
    else {
        panic!("spent");
    };
    assert_eq!(
        (free_at, in_flight),
        (Some(Tick(1_781_308_800_000_000)), false),
        "midnight"
    );
    assert_eq!(
        desk.money_left(BucketOwner::Pool, 2, &of_pool, START)[0],
        Some(Nano(45))
    );
    assert_eq!(desk.key_in_flight(3), 0);
}

#[test]
fn a_budget_that_comes_late_counts_from_the_start_of_its_period() {
    let mut desk = Desk::default();
    let claim = Claim::of_tokens(0, START);
    assert_eq!(desk.reserve(&key(0, &NONE), &claim), DeskReply::Granted);
    desk.settle(&key(0, &NONE), &claim, Nano(70), None, START);
    let limits = budget_of_a_day(100);
    assert_eq!(
        desk.money_left(BucketOwner::Key, 0, &limits, START)[0],
        Some(Nano(30))
    );
}

#[test]
fn room_is_the_least_among_all_who_pay() {
    let mut desk = Desk::default();
    let (of_key, of_party) = (per_minute(10), per_minute(4));
    let payers = Payers {
        key: (0, &of_key),
        party: (0, &of_party),
        pool: None,
    };
    assert_eq!(desk.reserve(&payers, &claim(0, START)), DeskReply::Granted);
    let expected = Room {
        left: 3,
        limit: 4,
        reset_at: START.plus(Span::from_s(15)),
    };
    let rooms = desk.rooms(&payers, START);
    assert_eq!((rooms.requests, rooms.tokens), (Some(expected), None));
}

/// One call of the property below.
#[derive(Clone, Debug)]
struct Spender {
    /// What it costs in thousandths of what was reserved: above 1,000 its answer overran what was asked for.
    cost_permille: u64,
    /// Calls that begin while it is in flight.
    lasts: usize,
    nano: u64,
    party: u32,
}

fn spenders() -> impl Strategy<Value = Vec<Spender>> {
    let one = (
        prop_oneof![4 => 0_u64..=1_000, 1 => 1_001_u64..3_000],
        0_usize..12,
        1_u64..400,
        0_u32..2,
    );
    let one = one.prop_map(|(cost_permille, lasts, nano, party)| Spender {
        cost_permille,
        lasts,
        nano,
        party,
    });
    prop::collection::vec(one, 1..80)
}

proptest! {
    /// With any number of calls in flight at once, what is charged passes no budget by more than answers passed what was
    /// reserved for them; and where none did, by nothing.
    #[test]
    fn a_budget_is_never_overspent(spenders in spenders(), budget in 100_u64..2_000) {
        let mut desk = Desk::default();
        let (of_key, of_party, of_pool) = (NONE, budget_of_a_day(budget), budget_of_a_day(2 * budget));
        let payers = |spender: &Spender| Payers {
            key: (spender.party, &of_key),
            party: (spender.party, &of_party),
            pool: Some((PoolIx(0), &of_pool)),
        };
        let claim = |spender: &Spender| Claim { at: START, nano: Nano(spender.nano), tokens: 0 };
        let (mut charged, mut overrun) = ([0; 3], [0; 3]);
        let mut in_flight: Vec<(usize, Spender)> = Vec::new();
        for spender in spenders.into_iter().map(Some).chain(std::iter::repeat_n(None, 12)) {
            let ended: Vec<Spender> = in_flight.extract_if(.., |(left, _)| *left == 0).map(|(_, s)| s).collect();
            for spender in ended {
                let cost = spender.nano * spender.cost_permille / 1_000;
                desk.settle(&payers(&spender), &claim(&spender), Nano(cost), None, START);
                for ix in [spender.party as usize, 2] {
                    charged[ix] += cost;
                    overrun[ix] += cost.saturating_sub(spender.nano);
                }
                let limits = [budget, budget, 2 * budget];
                for ix in 0..3 {
                    prop_assert!(charged[ix] <= limits[ix] + overrun[ix], "{charged:?} {overrun:?} {limits:?}");
                }
            }
            for (left, _) in &mut in_flight {
                *left -= 1;
            }
            if let Some(spender) = spender
                && desk.reserve(&payers(&spender), &claim(&spender)) == DeskReply::Granted
            {
                in_flight.push((spender.lasts, spender));
            }
        }
        prop_assert!(in_flight.is_empty());
        let left = desk.money_left(BucketOwner::Pool, 0, &of_pool, START)[0];
        prop_assert_eq!(left, Some(Nano((2 * budget).saturating_sub(charged[2]))), "nothing leaks");
    }
}

// === scarcity ===

#[test]
fn classes_are_shed_in_order_as_the_quota_runs_out() {
    let mut desk = Desk::default();
    let limits = per_minute(100);
    let mut admitted = Vec::new();
    for class in [
        Criticality::Sheddable,
        Criticality::SheddablePlus,
        Criticality::Critical,
        Criticality::CriticalPlus,
    ] {
        let asker = Asker { class, party: 0 };
        let ask = |desk: &mut Desk, at| {
            desk.reserve_channel(ChannelIx(0), &terms(&limits), asker, &of_channel(0), at)
        };
        let count = (0..200)
            .take_while(|_| ask(&mut desk, START) == DeskReply::Granted)
            .count();
        admitted.push(count);
        let DeskReply::Denied {
            bucket,
            free_at,
            shed,
            ..
        } = ask(&mut desk, START)
        else {
            panic!("all that is left is for others");
        };
        assert_eq!(
            (bucket, shed),
            (Bucket::RequestsPerMinute, class != Criticality::CriticalPlus)
        );
        // It is told when it would be admitted.
        let free_at = free_at.unwrap();
        let mut early = desk.clone();
        assert_ne!(ask(&mut early, Tick(free_at.0 - 1)), DeskReply::Granted);
        assert_eq!(ask(&mut desk.clone(), free_at), DeskReply::Granted);
    }
    assert_eq!(admitted, [80, 10, 8, 2]);
}

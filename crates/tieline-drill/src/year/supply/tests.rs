//! Flows for each set of channels that are out, against every set of classes counted: of some classes, what the channels
//! that any of them may use cannot carry goes unserved, and the worst such set says how much (Gale's theorem).

use proptest::prelude::*;

use super::*;

const HOUR: u16 = 30;

/// Calls of no size that ask `rates` an hour, and channels that carry so many calls a minute.
fn supply(limits: &[Option<u32>], classes: &[(Vec<u16>, u8, u64)]) -> Supply {
    let classes: Vec<Class> = classes
        .iter()
        .map(|(channels, rank, rate)| Class {
            calls: 1,
            channels: channels.clone(),
            groups: [1, 0, 0, 0, 0, 0, 0],
            rates: vec![rate * MICRO; usize::from(HOURS)],
            rank: *rank,
            size: super::super::demand::Size::default(),
        })
        .collect();
    let limits: Vec<Limits> = limits
        .iter()
        .map(|limit| Limits {
            burn: 1,
            requests_per_minute: limit.map(u64::from),
            ..Limits::default()
        })
        .collect();
    let demand = Arc::new(Asked {
        kinds: vec![Vec::new(); classes.len()],
        classes,
        known_hours: HOURS,
    });
    Supply {
        base: (0..HOURS).map(|_| OnceLock::new()).collect(),
        like: like(&demand),
        limits_left: limits.clone(),
        sets: Mutex::new(BTreeMap::new()),
        sets_max: 8,
        demand,
        used: (0..u16::try_from(limits.len()).unwrap()).collect(),
        limits,
    }
}

/// What the classes up to a rank lack together, in millionths of calls an hour.
fn counted(limits: &[Option<u32>], classes: &[(Vec<u16>, u8, u64)], gone: u64, rank: u8) -> u64 {
    let mut most = 0;
    for some in 0_u32..1 << classes.len() {
        let some = |ix: usize| some & (1 << ix) != 0;
        let of: Vec<_> = classes
            .iter()
            .enumerate()
            .filter(|(ix, class)| some(*ix) && class.1 <= rank)
            .map(|(_, class)| class)
            .collect();
        let asked: u64 = of.iter().map(|class| class.2).sum();
        let mut carried = Some(0);
        for (channel, limit) in (0_u16..).zip(limits) {
            let is_open = gone & (1 << channel) == 0 && of.iter().any(|class| class.0.contains(&channel));
            if is_open {
                carried = carried
                    .zip(*limit)
                    .map(|(sum, limit)| sum + u64::from(limit) * 60);
            }
        }
        most = most.max(carried.map_or(0, |carried| asked.saturating_sub(carried)));
    }
    most * MICRO
}

#[test]
fn who_goes_short_for_the_same_sum_makes_no_loss() {
    // Two channels carry 60 calls an hour each. One call of 121 goes unserved with nothing out, and which one is left to
    // the flows; with a channel out 61 do. Taken class by class that could be more than the 60 that the channel carried.
    let classes = [(vec![1], 1, 1), (vec![0, 1], 1, 120)];
    let supply = supply(&[Some(1), Some(1)], &classes);
    let unserved = supply.unserved(&supply.set(&vec![0b01].into()), HOUR);
    // Dividing rounds down.
    assert!((60 * MICRO).abs_diff(unserved.total) < 2, "{unserved:?}");
    assert_eq!(unserved.groups[0], unserved.total);
    let nothing = supply.set(&vec![0].into());
    assert_eq!(*supply.unserved(&nothing, HOUR), Unserved::default());
}

proptest! {
    #[test]
    fn flows_are_those_of_every_set_counted(
        limits in prop::collection::vec(prop::option::weighted(0.8, 1_u32..6), 1..5),
        classes in prop::collection::vec((prop::collection::btree_set(0_u16..4, 0..4), 0_u8..3, 1_u64..300), 1..6),
        gone in 1_u64..16,
    ) {
        let channels = limits.len();
        let gone = gone & ((1 << channels) - 1);
        let classes: Vec<(Vec<u16>, u8, u64)> = classes
            .into_iter()
            .map(|(set, rank, rate)| {
                let set = set.into_iter().filter(|channel| usize::from(*channel) < channels);
                (set.collect(), rank, rate)
            })
            .collect();
        let supply = supply(&limits, &classes);
        let shed = supply.solved(&vec![gone].into(), HOUR, &supply.limits);
        for rank in 0..3 {
            let of = classes.iter().zip(&shed).filter(|(class, _)| class.1 <= rank);
            // Dividing what alike classes lack rounds down: a millionth of a call each.
            let found: u64 = of.map(|(_, shed)| shed).sum();
            let expected = counted(&limits, &classes, gone, rank);
            prop_assert!(found <= expected && found + 8 > expected, "rank {rank}: {found} and not {expected}");
        }
        let unserved = supply.unserved(&supply.set(&vec![gone].into()), HOUR);
        let lost = counted(&limits, &classes, gone, 2).saturating_sub(counted(&limits, &classes, 0, 2));
        prop_assert!(unserved.total.abs_diff(lost) < 24, "{} and not {lost}", unserved.total);
        let sum: u64 = unserved.classes.iter().map(|(_, calls)| calls).sum();
        prop_assert_eq!(sum, unserved.total);
        prop_assert!(unserved.total == 0 || gone != 0);
    }
}

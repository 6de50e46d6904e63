//! Who owns whom, as far as rules ask: shares added up along the graph, and the ultimate parent along control.
//!
//! Two tests that no rule may confuse: [`Test::AtLeastHalf`] (OFAC's 50 percent rule and the affiliates rule of BIS) and
//! [`Test::MoreThanHalf`] (providers' terms). Both are fixpoints, not products: an entity that meets the test counts
//! as a whole owner of what it owns in turn. A share that nobody knows is not zero: where it could tip the answer, the
//! answer is [`Owned::Unknown`]. The headquarters test asks for no percentage and is [`Ownership::ultimate_parent`].
//!
//! Pure and bounded: [`HOLDINGS_MAX`] holdings and as many controls. Building is O(m log n), an aggregate O(n log n + m)
//! for m holdings among n entities: each entity is reached once, so cycles end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Holdings of one graph, and controls of one graph. 100,000 parties with five owners each; at about 60 bytes a holding
/// with its share of names that is 30 MB.
pub const HOLDINGS_MAX: usize = 500_000;

/// A whole, in the unit of shares.
const WHOLE_PERMILLE: u16 = 1_000;

/// A direct share of one entity in another. An owner may hold several, which add up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    pub owner: Arc<str>,
    pub owned: Arc<str>,
    /// 0 to 1,000, rounded up where the record is finer; `None` is a share of unknown size.
    pub permille: Option<u16>,
}

/// Who controls an entity, if that is established at all: no percentage is needed for control.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Control {
    pub child: Arc<str>,
    /// `None`: it is established that nobody controls it. What is not established has no `Control`.
    pub parent: Option<Arc<str>>,
}

/// Which share of marked owners counts, taken together, directly or indirectly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// 50 percent or more: OFAC's 50 percent rule, the affiliates rule of BIS.
    AtLeastHalf,
    /// More than 50 percent: the terms of providers.
    MoreThanHalf,
}

/// Whether marked owners own an entity in the sense of a [`Test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// Not even if every unknown share is as large as it can be.
    No,
    /// Some unknown shares, at some size, make the difference.
    Unknown,
    /// Even if every unknown share is zero. Marked entities are owned in this sense.
    Yes,
}

/// Where the walk along control ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Entities that control each other in a ring: a defect of the records, and never a reason to permit.
    Cycle,
    /// The entity that nobody controls; the one asked about if nobody controls that.
    Known(Arc<str>),
    /// For some entity on the way nobody has established who controls it.
    Unknown,
}

/// A graph of holdings and controls that holds together.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// By entity.
    controllers: Vec<Controller>,
    entities: BTreeMap<Arc<str>, u32>,
    /// By owner: what it owns.
    holdings: Vec<Vec<(u32, Option<u16>)>>,
    /// By entity: the sum of its shares of known size.
    known_permille: Vec<u16>,
    names: Vec<Arc<str>>,
}

/// Why records are no graph of ownership.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    #[error("the share of `{owner}` in `{owned}` brings the shares of `{owned}` to {permille} permille")]
    OverWhole {
        owned: Arc<str>,
        owner: Arc<str>,
        permille: u32,
    },
    #[error("{0} holdings or controls, and {HOLDINGS_MAX} are the limit")]
    TooMany(usize),
    #[error("`{child}` has two controllers, {} and {}", name(first.as_ref()), name(second.as_ref()))]
    TwoControllers {
        child: Arc<str>,
        first: Option<Arc<str>>,
        second: Option<Arc<str>>,
    },
}

// === impl Ownership ===

impl Ownership {
    /// Builds the graph; of several defects the first in the order of entities and records is reported.
    pub fn new(holdings: &[Holding], controls: &[Control]) -> Result<Self, OwnershipError> {
        let records = holdings.len().max(controls.len());
        if records > HOLDINGS_MAX {
            return Err(OwnershipError::TooMany(records));
        }
        let distinct: BTreeSet<&Arc<str>> = (holdings.iter())
            .flat_map(|holding| [&holding.owner, &holding.owned])
            .chain(controls.iter().flat_map(|control| {
                [Some(&control.child), control.parent.as_ref()]
                    .into_iter()
                    .flatten()
            }))
            .collect();
        let names: Vec<Arc<str>> = distinct.into_iter().cloned().collect();
        let entities: BTreeMap<Arc<str>, u32> = names.iter().cloned().zip(0..).collect();
        let mut graph = Self {
            controllers: vec![Controller::Unknown; entities.len()],
            holdings: vec![Vec::new(); entities.len()],
            known_permille: vec![0; entities.len()],
            entities,
            names,
        };
        for holding in holdings {
            graph.hold(holding)?;
        }
        for control in controls {
            graph.control(control, controls)?;
        }
        Ok(graph)
    }

    /// For every entity of the graph, and every marked one, whether the marked ones own it together.
    pub fn aggregate(&self, marked: &BTreeSet<Arc<str>>, test: Test) -> BTreeMap<Arc<str>, Owned> {
        let least = self.reach(marked, test, Unknown::Nothing);
        let most = self.reach(marked, test, Unknown::All);
        let outside = marked.iter().map(|name| (name.clone(), Owned::Yes));
        let entities = self.entities.iter().map(|(name, ix)| {
            let is_in = |reached: &[bool]| at(reached, *ix).is_some_and(|found| *found);
            let owned = match (is_in(&least), is_in(&most)) {
                (true, _) => Owned::Yes,
                (false, true) => Owned::Unknown,
                (false, false) => Owned::No,
            };
            (name.clone(), owned)
        });
        outside.chain(entities).collect()
    }

    /// Whom the marked ones would own if, beside their own shares, they held all that nobody is recorded to hold in
    /// what they hold shares of. Where a listed owner is known, owners whom nobody named are a doubt.
    pub fn suspected(&self, marked: &BTreeSet<Arc<str>>, test: Test) -> BTreeSet<Arc<str>> {
        let reached = self.reach(marked, test, Unknown::AllAndUndisclosed);
        let entities = self.entities.iter();
        entities
            .filter(|(_, ix)| at(&reached, **ix) == Some(&true))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The entity at the end of the chain of control above `entity`.
    pub fn ultimate_parent(&self, entity: &str) -> Parent {
        let Some(mut here) = self.ix(entity) else {
            return Parent::Unknown;
        };
        // A chain without a repetition has at most as many links as there are entities.
        for _ in 0..=self.entities.len() {
            match at(&self.controllers, here) {
                Some(Controller::Is(parent)) => here = *parent,
                Some(Controller::Nobody) => {
                    return at(&self.names, here).map_or(Parent::Unknown, |name| Parent::Known(name.clone()));
                }
                Some(Controller::Unknown) | None => return Parent::Unknown,
            }
        }
        Parent::Cycle
    }

    /// What is left of a whole once every holding of an entity is counted, where that is more than nothing and none of
    /// the holdings is of unknown size: owners whom nobody named. It is for the caller to say whether that is a flag.
    pub fn undisclosed_permille(&self) -> BTreeMap<Arc<str>, u16> {
        let open: BTreeSet<u32> = (self.holdings.iter().flatten())
            .filter(|(_, permille)| permille.is_none())
            .map(|(owned, _)| *owned)
            .collect();
        let owned: BTreeSet<u32> = self.holdings.iter().flatten().map(|(owned, _)| *owned).collect();
        (self.entities.iter())
            .filter(|(_, ix)| owned.contains(ix) && !open.contains(ix))
            .filter_map(|(name, ix)| Some((name.clone(), self.rest_permille(*ix)?)))
            .filter(|(_, rest)| *rest > 0)
            .collect()
    }

    fn hold(&mut self, holding: &Holding) -> Result<(), OwnershipError> {
        let (Some(from), Some(to)) = (self.ix(&holding.owner), self.ix(&holding.owned)) else {
            return Ok(());
        };
        if let Some(known) = at_mut(&mut self.known_permille, to) {
            let permille = u32::from(*known) + u32::from(holding.permille.unwrap_or_default());
            match u16::try_from(permille) {
                Ok(sum) if sum <= WHOLE_PERMILLE => *known = sum,
                _ => {
                    return Err(OwnershipError::OverWhole {
                        owned: holding.owned.clone(),
                        owner: holding.owner.clone(),
                        permille,
                    });
                }
            }
        }
        if let Some(list) = at_mut(&mut self.holdings, from) {
            list.push((to, holding.permille));
        }
        Ok(())
    }

    fn control(&mut self, control: &Control, all: &[Control]) -> Result<(), OwnershipError> {
        let parent = (control.parent.as_ref())
            .and_then(|name| self.ix(name))
            .map_or(Controller::Nobody, Controller::Is);
        let Some(slot) = self
            .ix(&control.child)
            .and_then(|child| at_mut(&mut self.controllers, child))
        else {
            return Ok(());
        };
        if *slot != Controller::Unknown && *slot != parent {
            let first = all.iter().find(|other| other.child == control.child);
            return Err(OwnershipError::TwoControllers {
                child: control.child.clone(),
                first: first.and_then(|first| first.parent.clone()),
                second: control.parent.clone(),
            });
        }
        *slot = parent;
        Ok(())
    }

    /// Which entities the marked ones own, by entity: the least set that holds the marked and every entity whose shares
    /// in the hands of the set meet the test.
    fn reach(&self, marked: &BTreeSet<Arc<str>>, test: Test, unknown: Unknown) -> Vec<bool> {
        let mut reached = vec![false; self.entities.len()];
        let mut permille = vec![0_u16; self.entities.len()];
        let mut open = vec![false; self.entities.len()];
        let mut queue: Vec<u32> = marked.iter().filter_map(|name| self.ix(name)).collect();
        for ix in &queue {
            put(&mut reached, *ix, true);
        }
        while let Some(owner) = queue.pop() {
            for (owned, share) in at(&self.holdings, owner).into_iter().flatten() {
                match share {
                    Some(share) => {
                        // Bounded by the whole, as every sum of shares of one entity is.
                        let sum = at(&permille, *owned).copied().unwrap_or_default();
                        put(&mut permille, *owned, sum.saturating_add(*share));
                        if unknown == Unknown::AllAndUndisclosed {
                            put(&mut open, *owned, true);
                        }
                    }
                    None => put(&mut open, *owned, unknown != Unknown::Nothing),
                }
                let rest = if at(&open, *owned) == Some(&true) {
                    self.rest_permille(*owned).unwrap_or_default()
                } else {
                    0
                };
                let sum = at(&permille, *owned).copied().unwrap_or_default() + rest;
                if test.is_met(sum) && at(&reached, *owned) == Some(&false) {
                    put(&mut reached, *owned, true);
                    queue.push(*owned);
                }
            }
        }
        reached
    }

    /// All that shares of unknown size in one entity can come to.
    fn rest_permille(&self, ix: u32) -> Option<u16> {
        at(&self.known_permille, ix).map(|known| WHOLE_PERMILLE.saturating_sub(*known))
    }

    fn ix(&self, name: &str) -> Option<u32> {
        self.entities.get(name).copied()
    }
}

/// What the records say of who controls an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Is(u32),
    Nobody,
    Unknown,
}

/// What shares of unknown size are taken to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// As large as the known shares leave room for.
    All,
    /// The same, and owners whom nobody named are among the marked.
    AllAndUndisclosed,
    Nothing,
}

impl Test {
    const fn is_met(self, permille: u16) -> bool {
        match self {
            Self::AtLeastHalf => permille >= WHOLE_PERMILLE / 2,
            Self::MoreThanHalf => permille > WHOLE_PERMILLE / 2,
        }
    }
}

fn at<T>(list: &[T], ix: u32) -> Option<&T> {
    list.get(usize::try_from(ix).ok()?)
}

fn at_mut<T>(list: &mut [T], ix: u32) -> Option<&mut T> {
    list.get_mut(usize::try_from(ix).ok()?)
}

fn put<T>(list: &mut [T], ix: u32, value: T) {
    if let Some(slot) = at_mut(list, ix) {
        *slot = value;
    }
}

fn name(of: Option<&Arc<str>>) -> String {
    of.map_or_else(|| "nobody".to_owned(), |name| format!("`{name}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding(by: &str, of: &str, permille: Option<u16>) -> Holding {
        Holding {
            owner: Arc::from(by),
            owned: Arc::from(of),
            permille,
        }
    }

    fn control(child: &str, parent: Option<&str>) -> Control {
        Control {
            child: Arc::from(child),
            parent: parent.map(Arc::from),
        }
    }

    fn marked(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// What `marked` entities `a` and `b` make of `x`, under both tests.
    fn check(holdings: &[(&str, &str, Option<u16>)], at_least_half: Owned, more_than_half: Owned) {
        let holdings: Vec<_> = holdings.iter().map(|(a, b, p)| holding(a, b, *p)).collect();
        let graph = Ownership::new(&holdings, &[]).unwrap();
        for (test, expected) in [
            (Test::AtLeastHalf, at_least_half),
            (Test::MoreThanHalf, more_than_half),
        ] {
            let found = graph.aggregate(&marked(&["a", "b"]), test);
            assert_eq!(found.get("x"), Some(&expected), "{test:?} {holdings:?}");
        }
    }

    #[test]
    fn the_two_tests_differ_at_exactly_half() {
        use Owned::{No, Unknown, Yes};
        check(&[("a", "x", Some(500))], Yes, No);
        check(&[("a", "x", Some(501))], Yes, Yes);
        check(&[("a", "x", Some(499))], No, No);
        check(&[("a", "x", Some(250)), ("b", "x", Some(250))], Yes, No);
        check(&[("a", "x", None), ("c", "x", Some(500))], Unknown, No);
        check(&[("a", "x", None), ("c", "x", Some(501))], No, No);
        check(&[("c", "x", None)], No, No);
    }

    #[test]
    fn an_owner_that_meets_the_test_counts_whole_further_down() {
        use Owned::{No, Unknown, Yes};
        // 60 % of 60 % is 36 %: a product would let it pass.
        check(&[("a", "m", Some(600)), ("m", "x", Some(600))], Yes, Yes);
        check(&[("a", "m", Some(400)), ("m", "x", Some(1_000))], No, No);
        check(
            &[
                ("a", "m", Some(500)),
                ("m", "x", Some(300)),
                ("b", "x", Some(200)),
            ],
            Yes,
            No,
        );
        check(&[("a", "m", None), ("m", "x", Some(900))], Unknown, Unknown);
    }

    #[test]
    fn cycles_end() {
        use Owned::{No, Yes};
        let ring = [("x", "y", Some(900)), ("y", "x", Some(500))];
        check(&ring, No, No);
        let fed = [
            ("x", "y", Some(900)),
            ("y", "x", Some(400)),
            ("a", "x", Some(600)),
        ];
        check(&fed, Yes, Yes);
        check(&[("x", "x", Some(1_000))], No, No);
    }

    #[test]
    fn shares_over_a_whole_are_refused_and_both_are_named() {
        let holdings = [
            holding("a", "x", Some(600)),
            holding("b", "x", None),
            holding("c", "x", Some(401)),
        ];
        let error = Ownership::new(&holdings, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the share of `c` in `x` brings the shares of `x` to 1001 permille"
        );
        let single = Ownership::new(&[holding("a", "x", Some(u16::MAX))], &[]);
        assert!(matches!(single, Err(OwnershipError::OverWhole { .. })));
    }

    #[test]
    fn control_is_walked_to_its_end() {
        let controls = [
            control("shop", Some("group")),
            control("group", Some("holding")),
            control("holding", None),
            control("p", Some("q")),
            control("q", Some("p")),
            control("r", Some("s")),
        ];
        let graph = Ownership::new(&[], &controls).unwrap();
        let known = Parent::Known(Arc::from("holding"));
        for (entity, expected) in [
            ("shop", &known),
            ("holding", &known),
            ("p", &Parent::Cycle),
            ("r", &Parent::Unknown),
            ("s", &Parent::Unknown),
            ("nobody-heard-of-it", &Parent::Unknown),
        ] {
            assert_eq!(&graph.ultimate_parent(entity), expected, "{entity}");
        }
        let two = [control("x", Some("a")), control("x", None)];
        assert_eq!(
            Ownership::new(&[], &two).unwrap_err().to_string(),
            "`x` has two controllers, `a` and nobody"
        );
    }

    #[test]
    fn owners_whom_nobody_named_are_reported() {
        let holdings = [
            holding("a", "x", Some(300)),
            holding("a", "y", Some(1_000)),
            holding("a", "z", None),
        ];
        let graph = Ownership::new(&holdings, &[]).unwrap();
        assert_eq!(
            graph.undisclosed_permille(),
            BTreeMap::from([(Arc::from("x"), 700)])
        );
    }

    #[test]
    fn a_hundred_thousand_holdings_in_one_chain_are_walked_once() {
        let names: Vec<Arc<str>> = (0..=100_000).map(|n| Arc::from(format!("e{n}"))).collect();
        let holdings: Vec<_> = names
            .windows(2)
            .map(|pair| Holding {
                owner: pair[0].clone(),
                owned: pair[1].clone(),
                permille: Some(500),
            })
            .collect();
        let graph = Ownership::new(&holdings, &[]).unwrap();
        let found = graph.aggregate(&marked(&["e0"]), Test::AtLeastHalf);
        assert!(found.values().all(|owned| *owned == Owned::Yes));
        let none = graph.aggregate(&marked(&["e0"]), Test::MoreThanHalf);
        assert_eq!(none.values().filter(|owned| **owned == Owned::Yes).count(), 1);
    }

    const ENTITIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    /// At most one holding for each pair, none over a whole; one in four of unknown size.
    fn any_holdings() -> impl Strategy<Value = Vec<Holding>> {
        let share = prop_oneof![
            3 => prop::sample::select(vec![0_u16, 100, 250, 400, 499, 500, 501, 600, 1_000]).prop_map(Some),
            1 => Just(None),
        ];
        let entity = || prop::sample::select(ENTITIES.to_vec());
        prop::collection::vec((entity(), entity(), share), 0..14).prop_map(|raw| {
            let mut kept: Vec<Holding> = Vec::new();
            for (owner, owned, permille) in raw {
                let next = holding(owner, owned, permille);
                kept.push(next);
                if Ownership::new(&kept, &[]).is_err() {
                    kept.pop();
                }
            }
            kept
        })
    }

    fn any_marked() -> impl Strategy<Value = BTreeSet<Arc<str>>> {
        prop::sample::subsequence(ENTITIES.to_vec(), 0..=2).prop_map(|names| marked(&names))
    }

    fn any_test() -> impl Strategy<Value = Test> {
        prop::sample::select(vec![Test::AtLeastHalf, Test::MoreThanHalf])
    }

    /// The definition, without an order of work: until nothing changes, whoever is owned enough joins.
    fn naive(holdings: &[Holding], marked: &BTreeSet<Arc<str>>, test: Test) -> BTreeSet<Arc<str>> {
        let mut owned = marked.clone();
        loop {
            let before = owned.len();
            for name in ENTITIES {
                let shares = holdings
                    .iter()
                    .filter(|h| &*h.owned == name && owned.contains(&h.owner));
                let sum: u16 = shares.map(|h| h.permille.unwrap()).sum();
                let is_met = match test {
                    Test::AtLeastHalf => sum >= 500,
                    Test::MoreThanHalf => sum >= 501,
                };
                if is_met {
                    owned.insert(Arc::from(name));
                }
            }
            if owned.len() == before {
                return owned;
            }
        }
    }

    /// Every way to give what is left of each entity to one of its holdings of unknown size, or to nobody.
    fn resolutions(holdings: &[Holding]) -> Vec<Vec<Holding>> {
        let mut all = vec![holdings.to_vec()];
        for name in ENTITIES {
            let rest = 1_000
                - holdings
                    .iter()
                    .filter(|h| &*h.owned == name)
                    .filter_map(|h| h.permille)
                    .sum::<u16>();
            let open: Vec<usize> = (holdings.iter().enumerate())
                .filter(|(_, h)| &*h.owned == name && h.permille.is_none())
                .map(|(ix, _)| ix)
                .collect();
            if open.is_empty() {
                continue;
            }
            let winners = open.iter().copied().map(Some).chain([None]);
            all = winners
                .flat_map(|winner| all.iter().map(move |one| (winner, one)))
                .map(|(winner, one)| {
                    let mut resolved = one.clone();
                    for ix in &open {
                        resolved[*ix].permille = Some(if winner == Some(*ix) { rest } else { 0 });
                    }
                    resolved
                })
                .collect();
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn unknown_is_said_exactly_where_the_unknown_shares_decide(
            holdings in any_holdings(), marked in any_marked(), test in any_test()
        ) {
            let found = Ownership::new(&holdings, &[]).unwrap().aggregate(&marked, test);
            let ways: Vec<_> = resolutions(&holdings).iter().map(|one| naive(one, &marked, test)).collect();
            for (name, owned) in &found {
                let count = ways.iter().filter(|way| way.contains(name)).count();
                let expected = match count {
                    0 => Owned::No,
                    n if n == ways.len() => Owned::Yes,
                    _ => Owned::Unknown,
                };
                prop_assert_eq!(*owned, expected, "{}", name);
            }
        }

        #[test]
        fn another_holding_makes_nobody_less_owned(
            holdings in any_holdings(), marked in any_marked(), test in any_test()
        ) {
            let Some((_, fewer)) = holdings.split_last() else { return Ok(()) };
            let after = Ownership::new(&holdings, &[]).unwrap().aggregate(&marked, test);
            let before = Ownership::new(fewer, &[]).unwrap().aggregate(&marked, test);
            for (name, owned) in before {
                prop_assert!(owned != Owned::Yes || after[&name] == Owned::Yes, "{}", name);
            }
        }

        #[test]
        fn more_than_half_is_the_stricter_test(holdings in any_holdings(), marked in any_marked()) {
            let graph = Ownership::new(&holdings, &[]).unwrap();
            let at_least = graph.aggregate(&marked, Test::AtLeastHalf);
            for (name, owned) in graph.aggregate(&marked, Test::MoreThanHalf) {
                prop_assert!(owned <= at_least[&name], "{}", name);
            }
        }
    }
}

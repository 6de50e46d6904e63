//! Small networks against enumeration of everything that could flow.

use proptest::prelude::*;

use super::*;

fn transport(capacity: &[Option<i64>], demand: &[(i64, u8)], links: &[(usize, usize, i64)]) -> Transport {
    Transport {
        capacity: capacity.to_vec(),
        demand: demand
            .iter()
            .map(|(amount, rank)| Demand {
                amount: *amount,
                rank: *rank,
            })
            .collect(),
        links: links
            .iter()
            .map(|(class, channel, cost)| Link {
                channel: *channel,
                class: *class,
                cost: *cost,
            })
            .collect(),
    }
}

#[test]
fn who_is_served_by_what() {
    type Expected<'a> = (&'a [i64], &'a [i64], i128, &'a [usize]);
    let check = |transport: &Transport, (shed, flow, cost, binding): Expected<'_>| {
        let expected = Flows {
            binding: binding.to_vec(),
            cost,
            flow: flow.to_vec(),
            shed: shed.to_vec(),
        };
        assert_eq!(transport.solve(), Ok(expected), "{transport:?}");
    };
    check(&Transport::default(), (&[], &[], 0, &[]));
    // The cheaper channel first, the rest by the other.
    let two = transport(&[Some(6), None], &[(10, 0)], &[(0, 0, 1), (0, 1, 5)]);
    check(&two, (&[0], &[6, 4], 26, &[]));
    // Both contracts bind.
    let both = transport(&[Some(6), Some(3)], &[(10, 0)], &[(0, 0, 1), (0, 1, 5)]);
    check(&both, (&[1], &[6, 3], 21, &[0, 1]));
    // The class that can go elsewhere does, though the first channel is cheaper for it.
    let moved = transport(
        &[Some(5), Some(5)],
        &[(5, 0), (5, 0)],
        &[(0, 0, 1), (0, 1, 9), (1, 0, 3)],
    );
    check(&moved, (&[0, 0], &[0, 5, 5], 60, &[]));
    // Rank decides who is shed, not cost; only the channel that the second class could use binds.
    let ranked = transport(
        &[Some(5), Some(9)],
        &[(4, 1), (4, 0), (2, 0)],
        &[(0, 0, 1), (1, 0, 7), (2, 1, 1)],
    );
    check(&ranked, (&[3, 0, 0], &[1, 4, 2], 31, &[0]));
    // What no channel may serve is shed, and no contract would change that.
    check(&transport(&[None], &[(3, 0)], &[]), (&[3], &[], 0, &[]));
    check(
        &transport(&[Some(0)], &[(3, 0)], &[(0, 0, 1)]),
        (&[3], &[0], 0, &[0]),
    );
}

#[test]
fn what_is_wrong_is_refused() {
    let check = |transport: &Transport, expected| assert_eq!(transport.solve(), Err(expected));
    check(&transport(&[], &[(-1, 0)], &[]), FlowError::Beyond(-1));
    check(
        &transport(&[], &[(AMOUNT_MAX + 1, 0)], &[]),
        FlowError::Beyond(AMOUNT_MAX + 1),
    );
    check(&transport(&[Some(-2)], &[], &[]), FlowError::Beyond(-2));
    check(
        &transport(&[Some(1)], &[(1, 0)], &[(0, 0, -3)]),
        FlowError::Beyond(-3),
    );
    check(
        &transport(&[Some(1)], &[(1, 0)], &[(0, 1, 0)]),
        FlowError::Missing(1),
    );
    check(
        &transport(&[Some(1)], &[(1, 0)], &[(4, 0, 0)]),
        FlowError::Missing(4),
    );
    check(
        &transport(&vec![None; NODES_MAX], &[], &[]),
        FlowError::TooManyNodes,
    );
    let mut network = Network::new(2).unwrap();
    for _ in 0..ARCS_MAX {
        network.arc(0, 1, 1, 1).unwrap();
    }
    assert_eq!(network.arc(0, 1, 1, 1), Err(FlowError::TooManyArcs));
    assert_eq!(network.push(0, 2, 1), Err(FlowError::Missing(2)));
    assert_eq!(network.push(0, 0, 1), Ok(Pushed::default()));
}

#[test]
fn the_largest_numbers_add_up() {
    let links: Vec<_> = (0..40)
        .flat_map(|class| [(class, 0, COST_MAX), (class, 1, COST_MAX)])
        .collect();
    let demand = vec![(AMOUNT_MAX, 3); 40];
    let flows = transport(&[Some(AMOUNT_MAX), Some(1)], &demand, &links)
        .solve()
        .unwrap();
    assert_eq!(flows.shed.iter().sum::<i64>(), 39 * AMOUNT_MAX - 1);
    assert_eq!(flows.cost, (i128::from(AMOUNT_MAX) + 1) * i128::from(COST_MAX));
    let first: Vec<_> = links.into_iter().step_by(2).collect();
    let open = transport(&[None], &demand, &first);
    assert_eq!(
        open.solve().unwrap().cost,
        40 * i128::from(AMOUNT_MAX) * i128::from(COST_MAX)
    );
}

/// Every vector with entries from zero to these, inclusive.
fn vectors(most: &[i64]) -> Vec<Vec<i64>> {
    most.iter().fold(vec![Vec::new()], |all, most| {
        let longer = all
            .iter()
            .flat_map(|start| (0..=*most).map(|next| [start.as_slice(), &[next]].concat()));
        longer.collect()
    })
}

/// The best that can be: what is served of each rank, and the least cost of that.
fn best(transport: &Transport) -> (Vec<i64>, i64) {
    let most: Vec<i64> = transport
        .links
        .iter()
        .map(|link| transport.demand[link.class].amount)
        .collect();
    let sum = |flow: &[i64], of: &dyn Fn(&Link) -> bool| -> i64 {
        transport
            .links
            .iter()
            .zip(flow)
            .filter(|(link, _)| of(link))
            .map(|(_, units)| units)
            .sum()
    };
    let fits = |flow: &Vec<i64>| {
        let classes = transport.demand.iter().enumerate();
        let channels = transport.capacity.iter().enumerate();
        classes
            .clone()
            .all(|(ix, class)| sum(flow, &|link| link.class == ix) <= class.amount)
            && channels
                .clone()
                .all(|(ix, room)| room.is_none_or(|room| sum(flow, &|link| link.channel == ix) <= room))
    };
    let value = |flow: &Vec<i64>| {
        let served = (0..3).map(|rank| sum(flow, &|link| transport.demand[link.class].rank == rank));
        let cost: i64 = transport
            .links
            .iter()
            .zip(flow)
            .map(|(link, units)| link.cost * units)
            .sum();
        (served.collect::<Vec<_>>(), -cost)
    };
    let best = vectors(&most)
        .into_iter()
        .filter(fits)
        .map(|flow| value(&flow))
        .max()
        .unwrap();
    (best.0, -best.1)
}

fn transports() -> impl Strategy<Value = Transport> {
    let capacity = prop::collection::vec(prop::option::weighted(0.8, 0_i64..4), 1..4);
    let demand = prop::collection::vec((0_i64..4, 0_u8..3), 1..4);
    let links = prop::collection::vec((0..9_usize, 0..9_usize, 0_i64..5), 0..6);
    (capacity, demand, links).prop_map(|(capacity, demand, links)| {
        let links = links
            .iter()
            .map(|(class, channel, cost)| (class % demand.len(), channel % capacity.len(), *cost));
        transport(&capacity, &demand, &links.collect::<Vec<_>>())
    })
}

/// From, to, capacity, cost.
type Row = (usize, usize, i64, i64);

fn laid(arcs: &[Row]) -> (Network, Vec<ArcIx>) {
    let mut network = Network::new(5).unwrap();
    let ixs = arcs
        .iter()
        .map(|(from, to, room, cost)| network.arc(*from, *to, *room, *cost).unwrap())
        .collect();
    (network, ixs)
}

/// Arcs among five nodes; from node 0 to node 4 it flows.
fn networks() -> impl Strategy<Value = Vec<Row>> {
    let arc = (0..5_usize, 0..5_usize, 0_i64..3, 0_i64..4);
    prop::collection::vec(
        arc.prop_filter("no arc to itself", |(from, to, ..)| from != to),
        0..8,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_other_flow_serves_more_or_costs_less(transport in transports()) {
        let flows = transport.solve().unwrap();
        let (served, cost) = best(&transport);
        let (mut ours, mut by_links) = (vec![0; 3], vec![0; transport.demand.len()]);
        for (class, shed) in transport.demand.iter().zip(&flows.shed) {
            prop_assert!((0..=class.amount).contains(shed));
            ours[usize::from(class.rank)] += class.amount - shed;
        }
        let (mut on_channels, mut sum) = (vec![0; transport.capacity.len()], 0);
        for (link, units) in transport.links.iter().zip(&flows.flow) {
            prop_assert!(*units >= 0);
            by_links[link.class] += units;
            on_channels[link.channel] += units;
            sum += i128::from(link.cost * units);
        }
        prop_assert_eq!(ours, served);
        prop_assert_eq!((flows.cost, sum), (i128::from(cost), i128::from(cost)));
        for ((class, shed), units) in transport.demand.iter().zip(&flows.shed).zip(by_links) {
            prop_assert_eq!(class.amount - shed, units);
        }
        for (room, units) in transport.capacity.iter().zip(&on_channels) {
            prop_assert!(room.is_none_or(|room| *units <= room));
        }
        for channel in &flows.binding {
            prop_assert_eq!(Some(on_channels[*channel]), transport.capacity[*channel], "what binds is full");
        }
    }

    #[test]
    fn the_binding_contracts_are_the_ones_that_would_serve_more(transport in transports()) {
        let flows = transport.solve().unwrap();
        let shed = |transport: &Transport| transport.solve().unwrap().shed.iter().sum::<i64>();
        let with = |wider: &dyn Fn(usize) -> bool| {
            let mut with = transport.clone();
            for (ix, room) in with.capacity.iter_mut().enumerate() {
                *room = room.map(|room| if wider(ix) { room + 9 } else { room });
            }
            shed(&with)
        };
        let now = shed(&transport);
        if flows.binding.is_empty() {
            prop_assert_eq!(with(&|_| true), now, "without a binding contract, capacity is of no use");
        } else {
            prop_assert!(with(&|ix| flows.binding.contains(&ix)) < now);
        }
        prop_assert_eq!(with(&|ix| !flows.binding.contains(&ix)), now, "the others do not help");
    }

    #[test]
    fn the_largest_flow_is_the_smallest_cut_at_the_least_cost(arcs in networks()) {
        let (mut network, ixs) = laid(&arcs);
        let pushed = network.push(0, 4, 100).unwrap();
        let cut = |inside: &dyn Fn(usize) -> bool| -> i64 {
            arcs.iter().filter(|(from, to, ..)| inside(*from) && !inside(*to)).map(|(_, _, room, _)| room).sum()
        };
        let least = (0_u32..32).filter(|set| set & 17 == 1).map(|set| cut(&|node| set & (1 << node) != 0)).min().unwrap();
        prop_assert_eq!(pushed.amount, least);
        let reached = network.reachable([0]);
        prop_assert!(!reached[4]);
        prop_assert_eq!(cut(&|node| reached[node]), least);
        // What flows is a flow, and no flow of that amount is cheaper.
        let most: Vec<i64> = arcs.iter().map(|(_, _, room, _)| *room).collect();
        let value = |flow: &[i64]| {
            let into = |node: usize| -> i64 {
                arcs.iter().zip(flow).map(|((from, to, ..), units)| match node {
                    node if node == *to => *units,
                    node if node == *from => -units,
                    _ => 0,
                }).sum()
            };
            let cost: i64 = arcs.iter().zip(flow).map(|((.., cost), units)| cost * units).sum();
            ((1..4).all(|node| into(node) == 0) && into(4) == least).then_some(cost)
        };
        let ours: Vec<i64> = ixs.iter().map(|ix| network.on(*ix)).collect();
        prop_assert_eq!(value(&ours).map(i128::from), Some(pushed.cost));
        let cheapest = vectors(&most).iter().filter_map(|flow| value(flow)).min();
        prop_assert_eq!(cheapest.map(i128::from), Some(pushed.cost));
    }

    #[test]
    fn pushes_one_after_the_other_cost_as_much_as_one(arcs in networks(), first in 0_i64..4) {
        let (mut once, mut twice) = (laid(&arcs).0, laid(&arcs).0);
        let whole = once.push(0, 4, 6).unwrap();
        let (a, b) = (twice.push(0, 4, first).unwrap(), twice.push(0, 4, 6 - first).unwrap());
        prop_assert_eq!(whole, Pushed { amount: a.amount + b.amount, cost: a.cost + b.cost });
    }
}

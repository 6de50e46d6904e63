//! The flow problem of a grid: classes of demand, channels with what their contracts let through, and what each class pays
//! where. As much of rank 0 is served as can be, then of rank 1, and so on; among all ways to do that, the cheapest.

use std::collections::BTreeMap;

use super::{AMOUNT_MAX, ArcIx, FlowError, Network, within};

/// Demand, capacities, and who may use what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// What each channel carries, in units; `None` is as much as anyone wants.
    pub capacity: Vec<Option<i64>>,
    pub demand: Vec<Demand>,
    pub links: Vec<Link>,
}

/// What one class wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// In units, such as tokens in five minutes.
    pub amount: i64,
    /// Lower ranks are served first.
    pub rank: u8,
}

/// A class may use a channel, at a cost for each unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub channel: usize,
    pub class: usize,
    pub cost: i64,
}

/// Who is served by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// The channels that stand between the classes that shed and more service: the minimum cut. Any larger capacity of all
    /// of these, or a link to another channel with room, would serve more; larger ones of all others would not. In
    /// ascending order; empty if nothing is shed, or if no channel could serve what is.
    pub binding: Vec<usize>,
    pub cost: i128,
    /// Units on each link.
    pub flow: Vec<i64>,
    /// What each class does not get.
    pub shed: Vec<i64>,
}

/// The node to which all flows.
const SINK: usize = 0;

impl Transport {
    pub fn solve(&self) -> Result<Flows, FlowError> {
        let laid = Laid::new(self)?;
        let Laid {
            mut network,
            demand,
            links,
            ranks,
        } = laid;
        let mut cost = 0;
        let mut short = Vec::new();
        for (source, wanted) in ranks {
            let pushed = network.push(source, SINK, wanted)?;
            cost += pushed.cost;
            if pushed.amount < wanted {
                short.push(source);
            }
        }
        let reached = network.reachable(short);
        let bound = |channel: usize| reached.get(channel_node(channel)).copied().unwrap_or_default();
        let shed = self.demand.iter().zip(demand);
        Ok(Flows {
            binding: (0..self.capacity.len()).filter(|ix| bound(*ix)).collect(),
            cost,
            flow: links.into_iter().map(|arc| network.on(arc)).collect(),
            shed: shed.map(|(class, arc)| class.amount - network.on(arc)).collect(),
        })
    }
}

/// The sink, then the channels, then the classes, then a source for each rank.
struct Laid {
    /// The arc that brings each class its demand.
    demand: Vec<ArcIx>,
    links: Vec<ArcIx>,
    network: Network,
    /// The source of each rank, in order, and what it wants.
    ranks: Vec<(usize, i64)>,
}

const fn channel_node(channel: usize) -> usize {
    channel + 1
}

impl Laid {
    fn new(transport: &Transport) -> Result<Self, FlowError> {
        let (channels, classes) = (transport.capacity.len(), transport.demand.len());
        let mut wanted: BTreeMap<u8, i64> = BTreeMap::new();
        for class in &transport.demand {
            within(class.amount, AMOUNT_MAX)?;
            let sum = wanted.entry(class.rank).or_default();
            *sum = sum.saturating_add(class.amount);
        }
        let class_node = |class: usize| 1 + channels + class;
        let mut network = Network::new(1 + channels + classes + wanted.len())?;
        // At most 2^13 classes × 2^45.
        let all: i64 = wanted.values().fold(0, |sum, more| sum.saturating_add(*more));
        for (channel, capacity) in transport.capacity.iter().enumerate() {
            let node = channel_node(channel);
            match capacity {
                Some(room) => network.arc(node, SINK, *room, 0)?,
                None => network.any_arc(node, SINK, all, 0)?,
            };
        }
        let first = class_node(classes);
        let sources: BTreeMap<u8, usize> = wanted.keys().copied().zip(first..).collect();
        let mut demand = Vec::with_capacity(classes);
        for (ix, class) in transport.demand.iter().enumerate() {
            let source = sources.get(&class.rank).copied().unwrap_or(first);
            demand.push(network.arc(source, class_node(ix), class.amount, 0)?);
        }
        let mut links = Vec::with_capacity(transport.links.len());
        for link in &transport.links {
            if link.channel >= channels {
                return Err(FlowError::Missing(link.channel));
            }
            let room = transport
                .demand
                .get(link.class)
                .ok_or(FlowError::Missing(link.class))?;
            let (from, to) = (class_node(link.class), channel_node(link.channel));
            links.push(network.arc(from, to, room.amount, link.cost)?);
        }
        Ok(Self {
            demand,
            links,
            network,
            ranks: sources.into_values().zip(wanted.into_values()).collect(),
        })
    }
}

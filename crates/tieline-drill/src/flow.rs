//! Flows through channels of limited capacity: how much of a demand can be served, at which least cost, and which
//! contracts stand in the way of more. What the analyses that look at many hours or losses screen with.
//!
//! [`Network`] is the plain problem: successive shortest paths, with potentials that keep every reduced cost at or above
//! zero, so that each path is found by Dijkstra's algorithm (Ahuja, Magnanti, Orlin: Network Flows, 1993, section 9.7).
//! [`Transport`] is the one that a grid poses: classes of demand, channels, and which class may use which. Integers alone;
//! ties go to the lower index; the same problem has the same answer. No cost is negative.
//!
//! Bounds: [`NODES_MAX`], [`ARCS_MAX`], [`AMOUNT_MAX`], [`COST_MAX`], [`PATHS_MAX`]; beyond them the answer is an error.

mod transport;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub use self::transport::{Demand, Flows, Link, Transport};

/// Nodes of one network: every channel that a grid may have, and as many classes.
pub const NODES_MAX: usize = 1 << 13;

/// Arcs of one network: 8,192 nodes × 16; both directions of one take 48 bytes, so 6 MiB.
pub const ARCS_MAX: usize = 1 << 17;

/// Units that one arc carries: 2^17 arcs × 2^45 units stay below 2^63. 35 million million tokens.
pub const AMOUNT_MAX: i64 = 1 << 45;

/// Cost of one unit: a path of 2^13 nodes × 2^45 stays below 2^58, and so does a potential. In nano-dollars, 35,184 USD.
pub const COST_MAX: i64 = 1 << 45;

/// Paths of one push. Each fills an arc; no network of the sizes above that was met needed more than a few times its arcs,
/// and one made to need more is refused instead of waited for.
pub const PATHS_MAX: usize = 4 * ARCS_MAX;

/// What is wrong with a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowError {
    /// An amount or a cost is negative, or beyond [`AMOUNT_MAX`] or [`COST_MAX`].
    Beyond(i64),
    /// A node, class or channel that there is not.
    Missing(usize),
    TooManyArcs,
    TooManyNodes,
    TooManyPaths,
}

/// Nodes, and arcs with a capacity and a cost for each unit.
#[derive(Clone, Debug)]
pub struct Network {
    /// Arcs and their reverses in turn: the reverse of `ix` is `ix ^ 1`.
    arcs: Vec<Half>,
    /// The arcs that leave each node.
    from: Vec<Vec<u32>>,
    potential: Vec<i64>,
}

/// An arc of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArcIx(u32);

/// What one [`Network::push`] added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Units; less than asked for if no more fit.
    pub amount: i64,
    pub cost: i128,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    cost: i64,
    /// Units that still fit.
    left: i64,
    to: u32,
}

impl std::fmt::Display for FlowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Beyond(value) => write!(f, "{value} is negative or too large"),
            Self::Missing(ix) => write!(f, "there is no number {ix}"),
            Self::TooManyArcs => write!(f, "there are more than {ARCS_MAX} arcs"),
            Self::TooManyNodes => write!(f, "there are more than {NODES_MAX} nodes"),
            Self::TooManyPaths => write!(f, "it takes more than {PATHS_MAX} paths"),
        }
    }
}

impl std::error::Error for FlowError {}

impl Network {
    pub fn new(nodes: usize) -> Result<Self, FlowError> {
        if nodes > NODES_MAX {
            return Err(FlowError::TooManyNodes);
        }
        Ok(Self {
            arcs: Vec::new(),
            from: vec![Vec::new(); nodes],
            potential: vec![0; nodes],
        })
    }

    /// Add an arc, before anything is pushed.
    pub fn arc(&mut self, from: usize, to: usize, capacity: i64, cost: i64) -> Result<ArcIx, FlowError> {
        within(capacity, AMOUNT_MAX)?;
        self.any_arc(from, to, capacity, cost)
    }

    /// As [`Network::arc`], for a capacity that is the sum of what other arcs bring.
    fn any_arc(&mut self, from: usize, to: usize, capacity: i64, cost: i64) -> Result<ArcIx, FlowError> {
        within(cost, COST_MAX)?;
        if self.arcs.len() >= 2 * ARCS_MAX {
            return Err(FlowError::TooManyArcs);
        }
        // Both fit: there are at most 2^18 halves and 2^13 nodes.
        let ix = u32::try_from(self.arcs.len()).map_err(|_| FlowError::TooManyArcs)?;
        for (at, towards, left, cost, half) in [(from, to, capacity, cost, ix), (to, from, 0, -cost, ix + 1)]
        {
            let to = u32::try_from(towards).map_err(|_| FlowError::Missing(towards))?;
            if towards >= self.from.len() {
                return Err(FlowError::Missing(towards));
            }
            let leaving = self.from.get_mut(at).ok_or(FlowError::Missing(at))?;
            leaving.push(half);
            self.arcs.push(Half { cost, left, to });
        }
        Ok(ArcIx(ix))
    }

    /// Send up to `amount` more from `source` to `sink`, by the cheapest ways; what was sent before is sent by other ways
    /// where that is cheaper together. Each push may have another source; the sink must be the same.
    pub fn push(&mut self, source: usize, sink: usize, amount: i64) -> Result<Pushed, FlowError> {
        let mut pushed = Pushed::default();
        for node in [source, sink] {
            self.from.get(node).ok_or(FlowError::Missing(node))?;
        }
        for _ in 0..PATHS_MAX {
            let wanted = amount - pushed.amount;
            if wanted <= 0 || source == sink {
                return Ok(pushed);
            }
            let Some(path) = self.shortest(source, sink) else {
                return Ok(pushed);
            };
            let half = |ix: &u32| self.arcs.get(*ix as usize);
            let fits = path.iter().filter_map(half).map(|half| half.left);
            let sent = fits.fold(wanted, i64::min);
            let cost: i64 = path.iter().filter_map(half).map(|half| half.cost).sum();
            for ix in path {
                self.shift(ix, sent);
            }
            pushed.amount += sent;
            pushed.cost += i128::from(cost) * i128::from(sent);
        }
        Err(FlowError::TooManyPaths)
    }

    /// Units on an arc.
    pub fn on(&self, arc: ArcIx) -> i64 {
        self.arcs.get(arc.0 as usize ^ 1).map_or(0, |back| back.left)
    }

    /// The nodes to which more could be sent from these. Where a push fell short, the arcs that lead out of the set of its
    /// source are full: they are the minimum cut.
    pub fn reachable(&self, sources: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut reached = vec![false; self.from.len()];
        let mut open: Vec<usize> = sources.into_iter().collect();
        while let Some(node) = open.pop() {
            let Some(mark) = reached.get_mut(node) else {
                continue;
            };
            if std::mem::replace(mark, true) {
                continue;
            }
            open.extend(self.leaving(node).map(|(_, half)| half.to as usize));
        }
        reached
    }

    /// The arcs with room that leave a node.
    fn leaving(&self, node: usize) -> impl Iterator<Item = (u32, Half)> + '_ {
        let all = self.from.get(node).into_iter().flatten();
        let with_room = all.filter_map(|ix| Some((*ix, *self.arcs.get(*ix as usize)?)));
        with_room.filter(|(_, half)| half.left > 0)
    }

    /// The arcs of the cheapest path with room, the last first. Updates the potentials: a node's grows by its distance, or
    /// by the sink's where that is nearer, which keeps the reduced cost of every arc with room at or above zero.
    fn shortest(&mut self, source: usize, sink: usize) -> Option<Vec<u32>> {
        let mut distance = vec![i64::MAX; self.from.len()];
        let mut by: Vec<Option<u32>> = vec![None; self.from.len()];
        *distance.get_mut(source)? = 0;
        let mut open = BinaryHeap::from([Reverse((0, source))]);
        while let Some(Reverse((so_far, node))) = open.pop() {
            if node == sink {
                break;
            }
            if distance.get(node).is_none_or(|known| so_far > *known) {
                continue;
            }
            let here = self.potential.get(node).copied().unwrap_or_default();
            for (ix, half) in self.leaving(node) {
                let to = half.to as usize;
                let reduced = half.cost + here - self.potential.get(to).copied().unwrap_or_default();
                let Some(known) = distance.get_mut(to) else {
                    continue;
                };
                if so_far + reduced < *known {
                    *known = so_far + reduced;
                    if let Some(by) = by.get_mut(to) {
                        *by = Some(ix);
                    }
                    open.push(Reverse((so_far + reduced, to)));
                }
            }
        }
        let to_sink = distance.get(sink).copied().filter(|far| *far < i64::MAX)?;
        for (potential, far) in self.potential.iter_mut().zip(&distance) {
            *potential += to_sink.min(*far);
        }
        let mut path = Vec::new();
        let mut node = sink;
        while node != source {
            let ix = by.get(node).copied().flatten()?;
            path.push(ix);
            node = self.arcs.get(ix as usize ^ 1)?.to as usize;
        }
        Some(path)
    }

    fn shift(&mut self, ix: u32, amount: i64) {
        if let Some(half) = self.arcs.get_mut(ix as usize) {
            half.left -= amount;
        }
        if let Some(back) = self.arcs.get_mut(ix as usize ^ 1) {
            back.left += amount;
        }
    }
}

fn within(value: i64, max: i64) -> Result<(), FlowError> {
    if (0..=max).contains(&value) {
        Ok(())
    } else {
        Err(FlowError::Beyond(value))
    }
}

#[cfg(test)]
mod tests;

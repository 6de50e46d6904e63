//! The one-line diagram: labs, channels, what is asked, and the classes of parties, with the calls between them as widths.
//! Here is what it shows; [`layout`] says where, [`draw`] how.
//!
//! Bounds: [`SHOWN_MAX`] of each; what is beyond is one row together, and the page says how many that is. What is gone or a
//! chokepoint comes first, in half of the rows where there is more, and then what has most calls.

mod draw;
mod layout;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use tieline_core::Snapshot;
use tieline_core::grid::Channel;

use super::chokepoints::Chokepoints;
use super::streams::{Asks, Stream, Streams};
use crate::elements::{Element, ElementKind};
use crate::known::PartyClass;

pub(super) use self::draw::{Moment, draw};
pub(super) use self::layout::Laid;

/// Rows of each column: labs, channels, what is asked, classes. 24 channels of 54 pixels are 1,300: a screen and a half.
const SHOWN_MAX: [usize; 4] = [12, 24, 16, 6];

/// What the diagram shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diagram {
    /// Labs, channels, what is asked, classes.
    pub(super) columns: [Vec<Node>; 4],
    /// Between each column and the next, by row: the calls before and after.
    pub(super) links: [BTreeMap<(usize, usize), Flow>; 3],
}

/// Calls before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) before: u64,
    pub(super) after: u64,
}

/// One row of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) calls: Flow,
    /// Parties that have calls with no way without it.
    pub(super) chokepoint: Option<u64>,
    /// Its region.
    pub(super) detail: String,
    pub(super) gone: bool,
    /// Its cloud, whose rows stand together.
    pub(super) group: Option<Group>,
    pub(super) name: String,
    pub(super) unserved: Flow,
}

/// A cloud above its channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) chokepoint: Option<u64>,
    pub(super) gone: bool,
}

/// What a diagram is made of.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) after: &'s Streams,
    pub(super) asks: &'s Asks,
    pub(super) before: &'s Streams,
    pub(super) chokepoints: &'s Chokepoints,
    pub(super) gone: &'s [Element],
    pub(super) snapshot: &'s Snapshot,
}

/// A node under its number in the grid.
type Numbered = BTreeMap<usize, Node>;

impl Diagram {
    pub(super) fn of(source: &Source<'_>) -> Self {
        let mut columns = [(); 4].map(|()| Numbered::new());
        let mut links = [(); 3].map(|()| BTreeMap::<(usize, usize), Flow>::new());
        for (streams, is_after) in [(source.before, false), (source.after, true)] {
            for (stream, sum) in &streams.rows {
                let places = source.places(stream);
                for (column, place) in columns.iter_mut().zip(places) {
                    let calls = &mut column.entry(place).or_default().calls;
                    *calls.at(is_after) += sum.calls;
                }
                let pairs = places.iter().zip(places.iter().skip(1));
                for (link, (a, b)) in links.iter_mut().zip(pairs) {
                    *link.entry((*a, *b)).or_default().at(is_after) += sum.calls;
                }
            }
            let [_, _, asks, classes] = &mut columns;
            for ((ask, class), calls) in &streams.unserved {
                *asks.entry(*ask).or_default().unserved.at(is_after) += calls;
                *classes.entry(place_of(*class)).or_default().unserved.at(is_after) += calls;
            }
        }
        source.add_gone(&mut columns);
        let [mut labs, mut channels, mut asks, mut classes] = columns;
        for (ix, node) in &mut labs {
            source.lab(*ix, node);
        }
        for (ix, node) in &mut channels {
            source.channel(*ix, node);
        }
        for (ix, node) in &mut asks {
            let name = source.asks.names.get(*ix);
            node.name = name.map_or_else(String::new, ToString::to_string);
        }
        for (ix, node) in &mut classes {
            let class = PartyClass::ALL.get(*ix).copied().unwrap_or_default();
            class.name().clone_into(&mut node.name);
        }
        folded([labs, channels, asks, classes], links)
    }

    /// The most calls that pass from one side to the other.
    fn calls_max(&self) -> u64 {
        let sum = |of: fn(&Node) -> u64| {
            let columns = self.columns.iter();
            let sums = columns.map(|column| column.iter().map(of).sum::<u64>());
            sums.max().unwrap_or_default()
        };
        sum(|node| node.calls.before + node.unserved.before)
            .max(sum(|node| node.calls.after + node.unserved.after))
    }
}

fn place_of(class: PartyClass) -> usize {
    PartyClass::ALL
        .iter()
        .position(|one| *one == class)
        .unwrap_or_default()
}

// === impl Flow, Node ===

impl Flow {
    fn at(&mut self, is_after: bool) -> &mut u64 {
        if is_after {
            &mut self.after
        } else {
            &mut self.before
        }
    }

    fn add(&mut self, other: Self) {
        self.before += other.before;
        self.after += other.after;
    }

    pub(super) const fn get(self, is_after: bool) -> u64 {
        if is_after { self.after } else { self.before }
    }

    pub(super) fn max(self) -> u64 {
        self.before.max(self.after)
    }
}

impl Node {
    fn weight(&self) -> u64 {
        self.calls.max() + self.unserved.max()
    }

    fn is_marked(&self) -> bool {
        self.gone || self.chokepoint.is_some()
    }
}

// === impl Source ===

impl Source<'_> {
    /// Where a stream passes each column.
    fn places(&self, stream: &Stream) -> [usize; 4] {
        let (channel, model) = stream.way;
        let model = self.snapshot.models.get(usize::from(model));
        let lab = model.map_or(0, |model| usize::from(model.lab));
        [lab, usize::from(channel), stream.ask, place_of(stream.class)]
    }

    /// Channels that are gone are shown though they carry nothing.
    fn add_gone(&self, columns: &mut [Numbered; 4]) {
        let [_, channels, ..] = columns;
        for (ix, channel) in self.snapshot.channels.iter().enumerate() {
            if self
                .gone
                .iter()
                .any(|gone| gone.takes_out(self.snapshot, channel))
            {
                channels.entry(ix).or_default().gone = true;
            }
        }
    }

    fn lab(&self, ix: usize, node: &mut Node) {
        let Some(lab) = self.snapshot.labs.get(ix) else {
            return;
        };
        node.name = lab.to_string();
        let component = format!("lab:{lab}");
        node.chokepoint = self.chokepoint(ElementKind::Component, &component);
        node.gone = self.is_gone(&component);
    }

    fn channel(&self, ix: usize, node: &mut Node) {
        let Some(channel) = self.snapshot.channels.get(ix) else {
            return;
        };
        node.name = channel.name.to_string();
        node.chokepoint = self.chokepoint(ElementKind::Channel, &channel.name);
        let regions = self.needs(channel, "region:");
        node.chokepoint = regions.iter().fold(node.chokepoint, |most, name| {
            most.max(self.chokepoint(ElementKind::Component, &format!("region:{name}")))
        });
        node.detail = regions.join(", ");
        let clouds = self.needs(channel, "cloud:");
        let of_cloud = clouds.iter().map(|name| format!("cloud:{name}"));
        let of_cloud: Vec<String> = of_cloud.collect();
        let chokepoints = of_cloud
            .iter()
            .map(|name| self.chokepoint(ElementKind::Component, name));
        node.group = Some(Group {
            chokepoint: chokepoints.max().flatten(),
            gone: of_cloud.iter().any(|name| self.is_gone(name)),
            name: clouds.join(" and "),
        });
    }

    /// The components of a kind that a channel needs.
    fn needs(&self, channel: &Channel, prefix: &str) -> Vec<String> {
        let names = channel.components.iter();
        let names = names.filter_map(|ix| self.snapshot.components.get(usize::from(ix.0)));
        names
            .filter_map(|name| name.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    fn chokepoint(&self, kind: ElementKind, name: &str) -> Option<u64> {
        self.chokepoints.find(kind, name).map(|row| row.parties)
    }

    fn is_gone(&self, component: &str) -> bool {
        let mut gone = self.gone.iter();
        gone.any(|one| one.kind == ElementKind::Component && one.name == component)
    }
}

/// The rows that are shown, in their order, and those that are not as one row.
fn folded(columns: [Numbered; 4], links: [BTreeMap<(usize, usize), Flow>; 3]) -> Diagram {
    let mut diagram = Diagram::default();
    let mut rows: Vec<BTreeMap<usize, usize>> = Vec::new();
    for ((column, shown), max) in columns.into_iter().zip(&mut diagram.columns).zip(SHOWN_MAX) {
        rows.push(fold(column, max, shown));
    }
    let pairs = rows.iter().zip(rows.iter().skip(1));
    for ((links, shown), (from, to)) in links.into_iter().zip(&mut diagram.links).zip(pairs) {
        for ((a, b), flow) in links {
            if let Some((a, b)) = from.get(&a).zip(to.get(&b)) {
                shown.entry((*a, *b)).or_default().add(flow);
            }
        }
    }
    diagram
}

/// The nodes that are shown, and the row of each node by its number.
fn fold(column: Numbered, max: usize, shown: &mut Vec<Node>) -> BTreeMap<usize, usize> {
    let mut nodes: Vec<(usize, Node)> = column.into_iter().collect();
    nodes.sort_by_key(|(ix, node)| (std::cmp::Reverse(node.weight()), *ix));
    // One row is kept for the others together.
    let whole = if nodes.len() > max { max - 1 } else { nodes.len() };
    let (marked, plain): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(_, node)| node.is_marked());
    // What is marked comes first, but for half of the rows, where there is more: where its calls go must be seen too.
    let first = marked.len().min(whole - plain.len().min(whole / 2));
    let mut nodes = marked;
    let rest_of_marked = nodes.split_off(first);
    nodes.extend(plain);
    nodes.extend(rest_of_marked);
    let rest = nodes.split_off(whole);
    let groups: BTreeSet<Group> = nodes.iter().filter_map(|(_, node)| node.group.clone()).collect();
    let weight_of = |group: &Group| -> u64 {
        let own = nodes
            .iter()
            .filter(|(_, node)| node.group.as_ref() == Some(group));
        own.map(|(_, node)| node.calls.max()).sum()
    };
    let mut order: Vec<(u64, Group)> = groups
        .into_iter()
        .map(|group| (weight_of(&group), group))
        .collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let place = |node: &Node| {
        order
            .iter()
            .position(|(_, group)| Some(group) == node.group.as_ref())
    };
    nodes.sort_by_key(|(ix, node)| (place(node), std::cmp::Reverse(node.weight()), *ix));
    let mut rows = BTreeMap::new();
    for (ix, node) in nodes {
        rows.insert(ix, shown.len());
        shown.push(node);
    }
    if !rest.is_empty() {
        let mut others = Node {
            name: format!("and {} more", crate::table::count(rest.len() as u64)),
            ..Node::default()
        };
        for (ix, node) in rest {
            rows.insert(ix, shown.len());
            others.calls.add(node.calls);
            others.unserved.add(node.unserved);
        }
        shown.push(others);
    }
    rows
}

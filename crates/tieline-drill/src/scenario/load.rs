//! What each channel carries where nothing happens: which is the largest, and how much it carries in its busiest minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::Snapshot;

use crate::concentration::{By, Weights, largest, way};
use crate::rehearsal::Rehearsal;

const MINUTE_US: u64 = 60_000_000;

/// The load of a grid where nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub by_channel: BTreeMap<Arc<str>, ChannelLoad>,
    /// Calls that are answered, by party.
    by_party: BTreeMap<Arc<str>, u64>,
    weights: Weights,
}

/// The load of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelLoad {
    /// Calls that it answers in the minute in which it answers most.
    pub busiest_minute: u32,
    pub calls: u64,
}

impl Load {
    /// From who answers each call with nothing gone.
    pub fn of(rehearsal: &Rehearsal<'_>) -> Self {
        let (snapshot, traffic) = (rehearsal.snapshot(), rehearsal.traffic());
        let mut load = Self::default();
        // Calls come in order, so that a minute's calls are neighbours.
        let mut minutes: BTreeMap<Arc<str>, (u64, u32)> = BTreeMap::new();
        for (call, ix) in traffic.calls.iter().zip(0..) {
            let end = rehearsal.answered(ix);
            let Some((end, channel)) = end.and_then(|end| Some((end, snapshot.channel(end.channel)?))) else {
                continue;
            };
            *load.weights.entry(way(end)).or_default() += 1;
            let kind = traffic.kinds.get(call.kind as usize);
            if let Some(party) = kind.and_then(|kind| traffic.parties.get(kind.party as usize)) {
                *load.by_party.entry(party.clone()).or_default() += 1;
            }
            let (minute, count) = minutes.entry(channel.name.clone()).or_default();
            if *minute != call.at.0 / MINUTE_US {
                (*minute, *count) = (call.at.0 / MINUTE_US, 0);
            }
            *count += 1;
            let of = load.by_channel.entry(channel.name.clone()).or_default();
            of.calls += 1;
            of.busiest_minute = of.busiest_minute.max(*count);
        }
        load
    }

    /// The channel, cloud, lab or region that answers most calls, ties by name; none where nothing is answered.
    pub fn largest(&self, snapshot: &Snapshot, by: By) -> Option<String> {
        largest(snapshot, by, &self.weights)
    }

    /// The party whose calls are answered most, ties by name.
    pub fn largest_party(&self) -> Option<&str> {
        let most = self.by_party.iter().rev().max_by_key(|(_, calls)| **calls);
        most.map(|(name, _)| &**name)
    }

    /// The model that answers most calls, ties by name.
    pub fn largest_model(&self, snapshot: &Snapshot) -> Option<String> {
        let mut models: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        for ((_, model), weight) in &self.weights {
            if let Some(model) = snapshot.models.get(usize::from(*model)) {
                *models.entry(&model.name).or_default() += weight;
            }
        }
        let most = models.into_iter().rev().max_by_key(|(_, weight)| *weight);
        most.map(|(name, _)| name.to_string())
    }
}

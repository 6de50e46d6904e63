//! The grid at rest: what depends on what, which losses alone would leave a party with nothing, and how concentrated the
//! supply is. It needs a grid and no traffic; with traffic the concentration is measured, without it is assumed.
//!
//! A channel works if all components that it needs work; a party is served if any of its ways works. So what alone leaves
//! it nothing is the intersection of what its ways need. Bounds: parties with the same chokepoints share a row.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::record::Hex32;
use tieline_core::{ComponentIx, ComponentSet, Snapshot};

use crate::concentration::{By, Concentration, Of, Weights, concentration, way};
use crate::laid::Laid;
use crate::party::{Asking, PartyView, askings, or_anyone};
use crate::traffic::Traffic;

/// The schema of [`GridReport`].
pub const GRID_REPORT_V1: &str = "tieline/grid-report/v1";

/// The grid, and what it hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GridReport {
    pub channels: Vec<ChannelNeeds>,
    pub components: Vec<ComponentLoad>,
    pub concentration: Vec<Concentration>,
    /// Whether `concentration` is measured on recorded calls or assumes one call for each thing that each party may ask
    /// for, answered by the first of its ways.
    pub concentration_basis: ConcentrationBasis,
    /// SHA-256 of the grid's record.
    pub grid: String,
    /// Parties with what they may ask for and what alone would leave them nothing; equal parties share a row.
    pub parties: Vec<PartyGroup>,
    /// Always [`GRID_REPORT_V1`].
    pub schema: &'static str,
    /// Recorded calls whose spend is not known; they are not part of the concentration of spend.
    pub spend_unknown_calls: u64,
    /// Recorded calls whose tokens are not known; they are not part of the concentration of tokens.
    pub tokens_unknown_calls: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConcentrationBasis {
    /// One call for each thing that each party may ask for.
    Assumed,
    /// Recorded calls.
    Exact,
    /// The shares that the configuration states for channels: assumed too, but by whoever wrote it.
    Stated,
}

/// A channel and everything that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChannelNeeds {
    pub channel: String,
    pub models: Vec<String>,
    /// Components, closed transitively, by name.
    pub needs: Vec<String>,
    pub provider: String,
}

/// A component and everything that falls with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ComponentLoad {
    /// The channels that need it.
    pub channels: Vec<String>,
    pub component: String,
    /// Models that no channel would serve without it.
    pub models_lost: Vec<String>,
    /// The components that it needs itself.
    pub needs: Vec<String>,
}

/// Parties to which the same holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartyGroup {
    pub asks: Vec<AskWays>,
    /// What alone would leave them nothing at all.
    pub chokepoints: Chokepoints,
    pub parties: Vec<String>,
}

/// One thing that a party may ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct AskWays {
    /// The pool or model.
    pub ask: String,
    /// What alone would leave it unserved.
    pub chokepoints: Chokepoints,
    /// The ways that are open to the party, in the order in which they are tried; none: it is never served.
    pub ways: Vec<Way>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Way {
    pub channel: String,
    pub model: String,
}

/// Elements whose loss alone leaves nothing; empty also where nothing can be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Chokepoints {
    pub channels: Vec<String>,
    pub components: Vec<String>,
}

/// Read the grid. Without parties, everyone is one party that may use everything; without traffic, concentration is
/// assumed.
pub fn structure(snapshot: &Snapshot, parties: &[PartyView<'_>], traffic: Option<&Traffic>) -> GridReport {
    structure_with_shares(snapshot, parties, traffic, &BTreeMap::new())
}

/// As [`structure`]; without traffic, concentration follows the relative `shares` of calls that are stated for channels.
pub fn structure_with_shares(
    snapshot: &Snapshot,
    parties: &[PartyView<'_>],
    traffic: Option<&Traffic>,
    shares: &BTreeMap<Arc<str>, u32>,
) -> GridReport {
    let parties = or_anyone(parties);
    let mut groups: BTreeMap<(Vec<AskWays>, Chokepoints), Vec<String>> = BTreeMap::new();
    let mut assumed = Weights::new();
    for view in &parties {
        let asks = askings(snapshot, view);
        for first in asks.iter().filter_map(|asking| asking.ways.first()) {
            *assumed.entry(way(*first)).or_default() += 1;
        }
        let all: Vec<Candidate> = asks
            .iter()
            .flat_map(|asking| asking.ways.iter().copied())
            .collect();
        let rows = asks.iter().map(|asking| ask_ways(snapshot, asking)).collect();
        let key = (rows, chokepoints(snapshot, &all));
        groups.entry(key).or_default().push(view.party.to_string());
    }
    let mut groups: Vec<PartyGroup> = groups
        .into_iter()
        .map(|((asks, chokepoints), parties)| PartyGroup {
            asks,
            chokepoints,
            parties,
        })
        .collect();
    groups.sort_by(|a, b| a.parties.cmp(&b.parties));
    let measured = traffic.filter(|traffic| !traffic.calls.is_empty());
    let measured = measured.map(|traffic| Measured::new(snapshot, traffic));
    let (basis, spend_unknown, tokens_unknown, list) = match measured {
        Some(m) => (
            ConcentrationBasis::Exact,
            m.spend_unknown,
            m.tokens_unknown,
            m.list(snapshot),
        ),
        None if !shares.is_empty() => (
            ConcentrationBasis::Stated,
            0,
            0,
            by_all(snapshot, Of::Calls, &stated(snapshot, shares)),
        ),
        None => (
            ConcentrationBasis::Assumed,
            0,
            0,
            by_all(snapshot, Of::Calls, &assumed),
        ),
    };
    GridReport {
        channels: channels(snapshot),
        components: components(snapshot),
        concentration: list,
        concentration_basis: basis,
        grid: Hex32(snapshot.digest).to_string(),
        parties: groups,
        schema: GRID_REPORT_V1,
        spend_unknown_calls: spend_unknown,
        tokens_unknown_calls: tokens_unknown,
    }
}

/// A multiple of every number of models up to eight, so that a channel's share divides among its models exactly; beyond
/// eight the rounding is under one part in a hundred.
const SHARE_UNITS: u64 = 840;

/// Stated shares of channels as weights, each channel's divided evenly among the models that it serves.
fn stated(snapshot: &Snapshot, shares: &BTreeMap<Arc<str>, u32>) -> Weights {
    let mut weights = Weights::new();
    for (channel, ix) in snapshot.channels.iter().zip(0_u16..) {
        let share = shares.get(&channel.name).copied().map_or(0, u64::from);
        let models = channel.served.len().max(1) as u64;
        for served in &channel.served {
            *weights.entry((ix, served.model.0)).or_default() += share * SHARE_UNITS / models;
        }
    }
    weights
}

fn channels(snapshot: &Snapshot) -> Vec<ChannelNeeds> {
    let needs = snapshot.channels.iter().map(|channel| ChannelNeeds {
        channel: channel.name.to_string(),
        models: channel
            .served
            .iter()
            .filter_map(|served| Some(snapshot.model(served.model)?.name.to_string()))
            .collect(),
        needs: component_names(snapshot, &channel.components),
        provider: channel.provider.to_string(),
    });
    needs.collect()
}

fn components(snapshot: &Snapshot) -> Vec<ComponentLoad> {
    let loads = snapshot.components.iter().zip((0..).map(ComponentIx));
    let loads = loads.map(|(name, ix)| {
        let out = |candidate: &Candidate| {
            let channel = snapshot.channel(candidate.channel);
            channel.is_some_and(|channel| channel.components.contains(ix))
        };
        let dead = snapshot
            .models
            .iter()
            .filter(|model| !model.candidates.is_empty() && model.candidates.iter().all(out));
        let mut own = snapshot
            .component_closures
            .get(usize::from(ix.0))
            .copied()
            .unwrap_or_default();
        own.remove(ix);
        let on_it = snapshot
            .channels
            .iter()
            .filter(|channel| channel.components.contains(ix));
        ComponentLoad {
            channels: on_it.map(|channel| channel.name.to_string()).collect(),
            component: name.to_string(),
            models_lost: dead.map(|model| model.name.to_string()).collect(),
            needs: component_names(snapshot, &own),
        }
    });
    loads.collect()
}

fn ask_ways(snapshot: &Snapshot, asking: &Asking) -> AskWays {
    let ways = asking.ways.iter().filter_map(|candidate| {
        Some(Way {
            channel: snapshot.channel(candidate.channel)?.name.to_string(),
            model: snapshot.model(candidate.model)?.name.to_string(),
        })
    });
    AskWays {
        ask: asking.name.to_string(),
        chokepoints: chokepoints(snapshot, &asking.ways),
        ways: ways.collect(),
    }
}

/// What every way needs.
fn chokepoints(snapshot: &Snapshot, ways: &[Candidate]) -> Chokepoints {
    let Some(first) = ways.first() else {
        return Chokepoints::default();
    };
    let needs = |candidate: &Candidate| {
        let channel = snapshot.channel(candidate.channel);
        channel.map_or_else(ComponentSet::default, |channel| channel.components)
    };
    let shared = ways
        .iter()
        .fold(needs(first), |set, way| set.intersection(&needs(way)));
    let one_channel = ways.iter().all(|way| way.channel == first.channel);
    let channel = snapshot.channel(first.channel).filter(|_| one_channel);
    Chokepoints {
        channels: channel.iter().map(|channel| channel.name.to_string()).collect(),
        components: component_names(snapshot, &shared),
    }
}

fn component_names(snapshot: &Snapshot, set: &ComponentSet) -> Vec<String> {
    let names = set
        .iter()
        .filter_map(|ix| snapshot.components.get(usize::from(ix.0)));
    names.map(ToString::to_string).collect()
}

fn by_all(snapshot: &Snapshot, of: Of, weights: &Weights) -> Vec<Concentration> {
    By::ALL.map(|by| concentration(snapshot, by, of, weights)).into()
}

/// What recorded calls weigh, by who answered them.
struct Measured {
    calls: Weights,
    spend: Weights,
    spend_unknown: u64,
    tokens: Weights,
    tokens_unknown: u64,
}

impl Measured {
    fn new(snapshot: &Snapshot, traffic: &Traffic) -> Self {
        let lanes = Laid::lanes_on(snapshot, traffic);
        let mut measured = Self {
            calls: Weights::new(),
            spend: Weights::new(),
            spend_unknown: 0,
            tokens: Weights::new(),
            tokens_unknown: 0,
        };
        for call in &traffic.calls {
            // A call that no channel of this grid answered has no supplier here.
            let Some(lane) = lanes.get(usize::from(call.lane)).copied().flatten() else {
                continue;
            };
            *measured.calls.entry(way(lane)).or_default() += 1;
            match call.usage() {
                Some(usage) => *measured.tokens.entry(way(lane)).or_default() += usage.total(),
                None => measured.tokens_unknown += 1,
            }
            match call.cost_nano() {
                Some(cost) => *measured.spend.entry(way(lane)).or_default() += cost,
                None => measured.spend_unknown += 1,
            }
        }
        measured
    }

    fn list(&self, snapshot: &Snapshot) -> Vec<Concentration> {
        let of = [
            (Of::Calls, &self.calls),
            (Of::Tokens, &self.tokens),
            (Of::Spend, &self.spend),
        ];
        of.into_iter()
            .flat_map(|(of, weights)| by_all(snapshot, of, weights))
            .collect()
    }
}

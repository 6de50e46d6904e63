//! The grid at rest: what depends on what, which losses would leave a party with nothing, how much of the time to expect
//! that, and how concentrated the supply is, before and after each loss. It needs a grid and no traffic; with traffic the
//! weights are measured, without it they are assumed.
//!
//! A channel works if all components that it needs work; a party is served if any of its ways works. So what alone leaves
//! it nothing is the intersection of what its ways need, and a pair does if each way needs one of the two. Chances rest on
//! priors ([`Downtimes`]) and on the arithmetic of [`chance`]; everything else is exact.
//!
//! Bounds: parties with the same ways share a row, sets of channels are looked at once; [`PAIRS_MAX`], [`DRAWS`].

mod chance;
mod cuts;
mod downtime;
mod exposure;
mod stakes;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::record::Hex32;
use tieline_core::{ComponentIx, ComponentSet, Snapshot};

use self::chance::{Chances, Risk};
use self::cuts::Cuts;
use self::exposure::Elements;
use self::stakes::{Risks, Stakes};
use crate::concentration::{Concentration, IndexAfter, Suppliers, Way as WayIx, way};
use crate::figure::Figure;
use crate::n_minus_1::{Element, ElementKind};
use crate::party::{Asking, PartyView, askings, or_anyone};
use crate::traffic::Traffic;

pub use self::chance::{Chance, DRAWS, Method};
pub use self::cuts::{CutPair, PAIRS_MAX};
pub use self::downtime::{Downtime, DowntimeBasis, Downtimes};

/// The schema of [`GridReport`].
pub const GRID_REPORT_V1: &str = "tieline/grid-report/v1";

/// The grid, and what it hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GridReport {
    pub channels: Vec<ChannelNeeds>,
    pub components: Vec<ComponentLoad>,
    pub concentration: Vec<Concentration>,
    /// Whether shares of calls are measured on recorded calls, or assume one call for each thing that each party may ask
    /// for, answered by the first of its ways.
    pub concentration_basis: ConcentrationBasis,
    /// Every component and channel, and what its loss comes to; those whose loss leaves most calls unserved first.
    pub elements: Vec<ElementRow>,
    /// SHA-256 of the grid's record.
    pub grid: String,
    /// Parties with what they may ask for and what would leave them nothing; equal parties share a row.
    pub parties: Vec<PartyGroup>,
    /// Always [`GRID_REPORT_V1`].
    pub schema: &'static str,
    /// Recorded calls whose spend is not known; they are not part of the concentration of spend.
    pub spend_unknown_calls: u64,
    /// Recorded calls whose tokens are not known; they are not part of the concentration of tokens.
    pub tokens_unknown_calls: u64,
    /// The share of calls that is expected to be unserved, by the priors; absent where there are no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unserved: Option<Figure>,
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

/// The loss of one element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ElementRow {
    /// Calls that would be answered by another way, in basis points.
    pub calls_moved_bp: u32,
    /// The channels that it takes out.
    pub channels_out: Vec<String>,
    /// Concentration of what would still be served.
    pub concentration_after: Vec<IndexAfter>,
    pub element: Element,
    /// By the priors; absent where there are no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<Importance>,
    /// What hangs on it alone.
    pub lost: LostShares,
    pub downtime: DowntimeRow,
    /// Calls that would still be served, and whose spend would not be known.
    pub spend_unknown_calls: u64,
}

/// Shares, of what is known, for which no way would be left, in basis points; absent where nothing of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostShares {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_bp: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_bp: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_bp: Option<u32>,
}

/// Measures of importance, of the expected share of unserved calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Importance {
    /// Birnbaum: the share with the element out, less the share with it up.
    pub birnbaum: Figure,
    /// Fussell-Vesely: the part of the share that would be gone if the element never failed.
    pub fussell_vesely: Figure,
    /// Risk achievement worth: by what the share is multiplied while the element is out.
    pub raw: Figure,
}

/// How much of the time an element is taken to be out of its own accord.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DowntimeRow {
    pub basis: DowntimeBasis,
    pub out: Figure,
    pub source: String,
}

/// Parties to which the same holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartyGroup {
    pub asks: Vec<AskWays>,
    /// What alone would leave them nothing at all, the likeliest first.
    pub chokepoints: Chokepoints,
    /// How much of the time nothing at all is left; absent where nothing ever is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<Chance>,
    /// Pairs that would leave them nothing at all, the likeliest first; at most [`PAIRS_MAX`].
    pub pairs: Arc<[CutPair]>,
    /// How many pairs of elements there are.
    pub pairs_count: u64,
    pub parties: Vec<String>,
}

/// One thing that a party may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AskWays {
    /// The pool or model.
    pub ask: String,
    /// What alone would leave it unserved, the likeliest first.
    pub chokepoints: Chokepoints,
    /// How much of the time it is unserved; absent where it always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<Chance>,
    /// Pairs that would leave it unserved, the likeliest first; at most [`PAIRS_MAX`].
    pub pairs: Arc<[CutPair]>,
    /// How many pairs of elements there are.
    pub pairs_count: u64,
    /// The ways that are open to the party, in the order in which they are tried; none: it is never served.
    pub ways: Vec<Way>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Way {
    pub channel: String,
    pub model: String,
}

/// Elements whose loss alone leaves nothing; empty also where nothing can be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Chokepoints {
    pub channels: Vec<String>,
    pub components: Vec<String>,
}

/// What an analysis starts from beside the grid and its parties.
#[derive(Clone, Copy, Debug)]
pub struct Given<'g> {
    pub downtimes: &'g Downtimes,
    /// Assumed relative shares of calls, by channel, where no traffic is recorded.
    pub shares: &'g BTreeMap<Arc<str>, u32>,
    pub traffic: Option<&'g Traffic>,
}

/// Read the grid. Without parties, everyone is one party that may use everything; without traffic, shares are assumed.
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
    let downtimes = &Downtimes::default();
    structure_given(
        snapshot,
        parties,
        &Given {
            downtimes,
            shares,
            traffic,
        },
    )
}

/// As [`structure`], from everything that can be given.
pub fn structure_given(snapshot: &Snapshot, parties: &[PartyView<'_>], given: &Given<'_>) -> GridReport {
    let elements = Elements::new(snapshot, given.downtimes);
    let mut known = Known::new(snapshot, &elements);
    let (groups, assumed) = groups(snapshot, parties);
    let groups: Vec<PartyGroup> = groups.into_iter().map(|group| known.group(group)).collect();
    let measured = given.traffic.filter(|traffic| !traffic.calls.is_empty());
    let (basis, stakes) = match measured {
        Some(traffic) => (ConcentrationBasis::Exact, Stakes::recorded(snapshot, traffic)),
        None if !given.shares.is_empty() => {
            (ConcentrationBasis::Stated, Stakes::stated(snapshot, given.shares))
        }
        None => (ConcentrationBasis::Assumed, Stakes::assumed(assumed)),
    };
    let suppliers = Suppliers::all(snapshot);
    let concentration = stakes.concentration(&suppliers);
    let risks = stakes.risks(&elements, &mut |ways| known.set(distinct(ways)));
    GridReport {
        channels: channels(snapshot),
        components: components(snapshot),
        elements: element_rows(snapshot, &elements, &stakes, (&suppliers, &concentration), &risks),
        concentration,
        concentration_basis: basis,
        grid: Hex32(snapshot.digest).to_string(),
        parties: groups,
        schema: GRID_REPORT_V1,
        spend_unknown_calls: stakes.spend_unknown(),
        tokens_unknown_calls: stakes.tokens_unknown(),
        unserved: (risks.unserved > 0.0).then(|| Figure::new(risks.unserved)),
    }
}

/// Parties that may ask for the same things by the same ways.
struct Group {
    asks: Vec<Asking>,
    parties: Vec<String>,
}

/// Things asked for, by their ways: how many times.
type Assumed = BTreeMap<Vec<WayIx>, (Vec<Candidate>, u64)>;

/// Parties by what they may ask for, the first party's name first; and one call for each thing that each may ask for.
fn groups(snapshot: &Snapshot, parties: &[PartyView<'_>]) -> (Vec<Group>, Assumed) {
    let mut groups: BTreeMap<Vec<(Arc<str>, Vec<WayIx>)>, Group> = BTreeMap::new();
    let mut assumed = Assumed::new();
    for view in or_anyone(parties) {
        let asks = askings(snapshot, &view);
        let ways = |asking: &Asking| asking.ways.iter().copied().map(way).collect::<Vec<_>>();
        for asking in &asks {
            assumed
                .entry(ways(asking))
                .or_insert_with(|| (asking.ways.clone(), 0))
                .1 += 1;
        }
        let key = asks
            .iter()
            .map(|asking| (asking.name.clone(), ways(asking)))
            .collect();
        let group = groups.entry(key).or_insert_with(|| Group {
            asks,
            parties: Vec::new(),
        });
        group.parties.push(view.party.to_string());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| a.parties.cmp(&b.parties));
    (groups, assumed)
}

/// What was found out about sets of channels, so that each is looked at once.
struct Known<'e, 's> {
    chances: Chances<'e, 's>,
    elements: &'e Elements<'s>,
    sets: BTreeMap<Vec<u16>, Arc<SetRow>>,
    snapshot: &'s Snapshot,
}

/// What would leave a set of channels empty.
struct SetRow {
    chokepoints: Chokepoints,
    out: Option<Chance>,
    pairs: Arc<[CutPair]>,
    pairs_count: u64,
    risk: Risk,
}

impl<'e, 's> Known<'e, 's> {
    fn new(snapshot: &'s Snapshot, elements: &'e Elements<'s>) -> Self {
        Self {
            chances: Chances::new(elements),
            elements,
            sets: BTreeMap::new(),
            snapshot,
        }
    }

    fn group(&mut self, group: Group) -> PartyGroup {
        let all = distinct(group.asks.iter().flat_map(|asking| &asking.ways));
        let set = self.set(all);
        PartyGroup {
            asks: group.asks.iter().map(|asking| self.ask_ways(asking)).collect(),
            chokepoints: set.chokepoints.clone(),
            out: set.out.clone(),
            pairs: set.pairs.clone(),
            pairs_count: set.pairs_count,
            parties: group.parties,
        }
    }

    fn ask_ways(&mut self, asking: &Asking) -> AskWays {
        let set = self.set(distinct(&asking.ways));
        let ways = asking.ways.iter().filter_map(|candidate| {
            Some(Way {
                channel: self.snapshot.channel(candidate.channel)?.name.to_string(),
                model: self.snapshot.model(candidate.model)?.name.to_string(),
            })
        });
        AskWays {
            ask: asking.name.to_string(),
            chokepoints: set.chokepoints.clone(),
            out: set.out.clone(),
            pairs: set.pairs.clone(),
            pairs_count: set.pairs_count,
            ways: ways.collect(),
        }
    }

    fn set(&mut self, channels: Vec<u16>) -> Arc<SetRow> {
        if let Some(known) = self.sets.get(&channels) {
            return known.clone();
        }
        let exposure = self.elements.exposure(&channels);
        let cuts = Cuts::of(self.elements, &exposure);
        let mut chokepoints = Chokepoints::default();
        for element in cuts.singles {
            let Element { kind, name } = self.elements.named(element);
            match kind {
                ElementKind::Channel => chokepoints.channels.push(name),
                ElementKind::Component => chokepoints.components.push(name),
            }
        }
        let risk = Risk::of(self.elements, &exposure);
        let row = Arc::new(SetRow {
            chokepoints,
            out: self.chances.all_out(&exposure, &risk),
            pairs: cuts.pairs.into(),
            pairs_count: cuts.pairs_count,
            risk,
        });
        self.sets.insert(channels, row.clone());
        row
    }
}

/// The channels of some ways, each once, ascending.
fn distinct<'w>(ways: impl IntoIterator<Item = &'w Candidate>) -> Vec<u16> {
    let mut channels: Vec<u16> = ways.into_iter().map(|way| way.channel.0).collect();
    channels.sort_unstable();
    channels.dedup();
    channels
}

fn element_rows(
    snapshot: &Snapshot,
    elements: &Elements<'_>,
    stakes: &Stakes,
    (suppliers, now): (&[Suppliers; 4], &[Concentration]),
    risks: &Risks,
) -> Vec<ElementRow> {
    let mut lefts = BTreeMap::new();
    let channels = || (0_u16..).zip(&snapshot.channels);
    let row = |element: u16| {
        let out: Vec<bool> = channels()
            .map(|(ix, _)| elements.takes_out(element, ix))
            .collect();
        let named = channels().zip(&out).filter(|(_, out)| **out);
        let channels_out = named.map(|((_, channel), _)| channel.name.to_string()).collect();
        let left = lefts.entry(out).or_insert_with_key(|out| {
            stakes.without(suppliers, now, &|ix| {
                out.get(usize::from(ix)).copied().unwrap_or_default()
            })
        });
        let [calls_bp, tokens_bp, spend_bp] = left.lost_bp;
        let row = ElementRow {
            calls_moved_bp: left.moved_bp,
            channels_out,
            concentration_after: left.concentration.clone(),
            element: elements.named(element),
            importance: importance(elements, risks, element),
            lost: LostShares {
                calls_bp,
                spend_bp,
                tokens_bp,
            },
            downtime: downtime_row(elements, element),
            spend_unknown_calls: left.spend_unknown,
        };
        (
            risks.rises.get(usize::from(element)).copied().unwrap_or_default(),
            row,
        )
    };
    let mut rows: Vec<(f64, ElementRow)> = (0..elements.len()).map(row).collect();
    rows.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.element.cmp(&right.element)));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn importance(elements: &Elements<'_>, risks: &Risks, element: u16) -> Option<Importance> {
    let rise = risks.rises.get(usize::from(element)).copied()?;
    let (out, all) = (elements.out_of(element), risks.unserved);
    (all > 0.0).then(|| Importance {
        birnbaum: Figure::new(rise),
        fussell_vesely: Figure::new(out * rise / all),
        raw: Figure::new((all + (1.0 - out) * rise) / all),
    })
}

fn downtime_row(elements: &Elements<'_>, element: u16) -> DowntimeRow {
    let prior = elements.downtimes.get(usize::from(element));
    DowntimeRow {
        basis: prior.map_or(DowntimeBasis::Assumed, |prior| prior.basis),
        out: Figure::new(elements.out_of(element)),
        source: prior.map_or_else(String::new, |prior| prior.source.to_string()),
    }
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

fn component_names(snapshot: &Snapshot, set: &ComponentSet) -> Vec<String> {
    let names = set
        .iter()
        .filter_map(|ix| snapshot.components.get(usize::from(ix.0)));
    names.map(ToString::to_string).collect()
}

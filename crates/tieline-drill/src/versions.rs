//! Which version of a model reached which channel when, and who waits how long: from the grids that a ledger archived, each
//! in force from its activation on, and from the grid of the present configuration.
//!
//! A version is what the configuration says (`version` of a channel's model), else the date or number in the model's name
//! on the channel, else in the model's own name. A name with neither says nothing, and nothing is concluded from it about
//! dated ones: who has such a channel is listed as unknown, not as waiting. When a lab released what, no ledger knows.
//!
//! Bounds: [`ROWS_MAX`] rows of model, version and channel; parties that wait alike share a row.

mod name;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::grid::GridRecord;
use tieline_core::record::Hex32;
use tieline_core::{Digest32, Snapshot, Span, Tick};

use self::name::version_in;
use crate::archive::{Archive, Blobs};
use crate::pairs::{Pair, Pairs, Taken};
use crate::party::{PartyView, askings, or_anyone};

/// The schema of [`VersionsReport`].
pub const VERSIONS_V1: &str = "tieline/grid-versions/v1";

/// Rows of model, version and channel: 64 channels × 16 models × 64 versions of each. About 200 bytes each, 13 MiB.
pub const ROWS_MAX: usize = 1 << 16;

/// What was reached when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VersionsReport {
    /// Different grids that were read.
    pub grids: u64,
    /// Rows beyond [`ROWS_MAX`].
    pub left_out: u64,
    /// By name.
    pub models: Vec<ModelVersions>,
    /// Until when is counted how long somebody waits, µs UTC.
    pub now_us: u64,
    /// Always [`VERSIONS_V1`].
    pub schema: &'static str,
    /// The first activation of a grid, µs UTC: what was reached before it is not known. Absent without a ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// Entries and grids that could not be used.
    pub unreadable: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelVersions {
    pub lab: String,
    pub model: String,
    /// The newest first, by when the first channel had it.
    pub versions: Vec<VersionRow>,
}

/// A version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VersionRow {
    pub basis: VersionBasis,
    /// In the order in which they had it.
    pub channels: Vec<Reach>,
    /// Whether the first channel had it when the record begins: since when, is not known, and what is behind it is so by at
    /// least what is said.
    pub is_from_start: bool,
    /// Absent if nothing says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parties that did not have it with the first channel, the longest wait first.
    pub waits: Vec<Wait>,
}

/// What says which version it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionBasis {
    /// A date or number in a name.
    Named,
    /// The configuration.
    Stated,
    /// Nothing.
    Unknown,
}

/// A version on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reach {
    /// The first answer of it that the ledger has, µs UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_us: Option<u64>,
    /// How long after the first channel, µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_us: Option<u64>,
    pub channel: String,
    /// What the channel calls the model.
    pub name: String,
    /// From when the channel had it, µs UTC; absent if it is configured and was never in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_us: Option<u64>,
    /// From when the channel had it no longer, µs UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
}

/// Parties for which the same holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Wait {
    /// The channels by which they have the model, or will.
    pub channels: Vec<String>,
    pub parties: Vec<String>,
    pub state: WaitState,
    /// How long it took or takes; absent where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitState {
    /// A channel of theirs has it by now.
    Over,
    /// No channel of theirs ever had it, or one that came after it.
    Still,
    /// A channel of theirs does not say which version it has.
    Unknown,
}

/// Reads the grids and the answers out of a ledger, entry by entry and in order.
pub struct VersionsReader<'b> {
    archive: Archive<'b>,
    /// The grid of the newest activation.
    in_force: Option<Digest32>,
    labs: BTreeMap<Arc<str>, Arc<str>>,
    left_out: u64,
    pairs: Pairs,
    rows: BTreeMap<Key, Spell>,
    since: Option<Tick>,
    unreadable: u64,
}

/// A model, a version of it if that is known, a channel.
type Key = (Arc<str>, Option<Arc<str>>, Arc<str>);

/// A version on a channel, in time.
#[derive(Clone, Debug)]
struct Spell {
    answered: Option<Tick>,
    basis: VersionBasis,
    name: Arc<str>,
    /// Absent for what is configured only.
    since: Option<Tick>,
    until: Option<Tick>,
}

/// Of the entry `tieline/activation/v1`, what is looked for.
#[derive(Deserialize)]
struct Activation {
    at: Tick,
    body: ActivationBody,
}

#[derive(Deserialize)]
struct Head {
    t: String,
}

#[derive(Deserialize)]
struct ActivationBody {
    grid: Hex32,
}

const ACTIVATION_V1: &str = "tieline/activation/v1";

// === impl VersionsReader ===

impl std::fmt::Debug for VersionsReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VersionsReader")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<'b> VersionsReader<'b> {
    /// Grids are looked up in `blobs`.
    pub fn new(blobs: &'b Blobs<'b>) -> Self {
        Self {
            archive: Archive::new(blobs),
            in_force: None,
            labs: BTreeMap::new(),
            left_out: 0,
            pairs: Pairs::new(),
            rows: BTreeMap::new(),
            since: None,
            unreadable: 0,
        }
    }

    /// Take the next entry of the ledger.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        match self.pairs.take(index, bytes) {
            Taken::Bad { .. } => self.unreadable += 1,
            Taken::Call(pair) => self.call(&pair),
            Taken::Open => {}
            Taken::Other => self.other(bytes),
        }
    }

    fn other(&mut self, bytes: &[u8]) {
        // Entries of other types have other bodies.
        let is_activation = serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.t == ACTIVATION_V1);
        if !is_activation {
            return;
        }
        match serde_json::from_slice::<Activation>(bytes) {
            Ok(activation) => self.activated(activation.body.grid.0, activation.at),
            Err(_) => self.unreadable += 1,
        }
    }

    /// A grid is in force from `at` on.
    fn activated(&mut self, digest: Digest32, at: Tick) {
        self.since.get_or_insert(at);
        if self.in_force == Some(digest) {
            return;
        }
        self.in_force = Some(digest);
        let Ok(grid) = self.archive.grid(digest) else {
            self.unreadable += 1;
            return;
        };
        let had: BTreeSet<Key> = self.observe(&grid.record, Some(at));
        for (key, spell) in &mut self.rows {
            if !had.contains(key) && spell.until.is_none() {
                spell.until = Some(at);
            }
        }
    }

    /// What a grid's channels have, from `at` on or only by configuration; the keys of it.
    fn observe(&mut self, record: &GridRecord, at: Option<Tick>) -> BTreeSet<Key> {
        self.labs.extend(
            record
                .models
                .iter()
                .map(|model| (model.name.clone(), model.lab.clone())),
        );
        let mut had = BTreeSet::new();
        for channel in &record.channels {
            for served in &channel.models {
                let (version, basis) = version_of(served);
                let key = (served.model.clone(), version, channel.name.clone());
                had.insert(key.clone());
                if let Some(spell) = self.rows.get_mut(&key) {
                    spell.until = spell.until.filter(|_| at.is_none());
                    spell.since = spell.since.or(at);
                    continue;
                }
                if self.rows.len() >= ROWS_MAX {
                    self.left_out += 1;
                    continue;
                }
                let spell = Spell {
                    answered: None,
                    basis,
                    name: served.name.clone(),
                    since: at,
                    until: None,
                };
                self.rows.insert(key, spell);
            }
        }
        had
    }

    fn call(&mut self, pair: &Pair) {
        let digest = pair.decision.grid.0;
        let attempts = pair.outcome.iter().flat_map(|outcome| &outcome.attempts);
        let answers: Vec<_> = attempts.filter(|attempt| attempt.fault.is_none()).collect();
        // Every grid stands in an activation before its first decision; where that is missing, the decision tells.
        if self.since.is_some() && answers.is_empty() {
            return;
        }
        let Ok(grid) = self.archive.grid(digest) else {
            self.unreadable += 1;
            return;
        };
        if self.since.is_none() {
            self.observe(&grid.record, Some(pair.decision.began));
        }
        for attempt in answers {
            let channel = grid
                .record
                .channels
                .iter()
                .find(|channel| channel.name == attempt.channel);
            let served =
                channel.and_then(|channel| channel.models.iter().find(|one| one.model == attempt.model));
            let Some(served) = served else {
                continue;
            };
            let key = (
                attempt.model.clone(),
                version_of(served).0,
                attempt.channel.clone(),
            );
            if let Some(spell) = self.rows.get_mut(&key) {
                let first = spell
                    .answered
                    .map_or(attempt.ended_at, |first| first.min(attempt.ended_at));
                spell.answered = Some(first);
            }
        }
    }

    /// The report, with the present configuration and what its parties may use of it.
    pub fn finish(mut self, present: &Snapshot, parties: &[PartyView<'_>], now: Tick) -> VersionsReport {
        for pair in self.pairs.rest() {
            self.call(&pair);
        }
        self.observe(&present.record, None);
        let waits = Waits::new(present, parties, (self.since, now));
        let mut models: BTreeMap<Arc<str>, BTreeMap<Option<Arc<str>>, Vec<(&Arc<str>, &Spell)>>> =
            BTreeMap::new();
        for ((model, version, channel), spell) in &self.rows {
            let versions = models.entry(model.clone()).or_default();
            versions
                .entry(version.clone())
                .or_default()
                .push((channel, spell));
        }
        let models = models.into_iter().map(|(model, versions)| ModelVersions {
            lab: self
                .labs
                .get(&model)
                .map_or_else(String::new, ToString::to_string),
            versions: waits.rows(&model, versions),
            model: model.to_string(),
        });
        VersionsReport {
            grids: self.archive.seen(),
            left_out: self.left_out,
            models: models.collect(),
            now_us: now.0,
            schema: VERSIONS_V1,
            since_us: self.since.map(|since| since.0),
            unreadable: self.unreadable,
        }
    }
}

fn version_of(served: &tieline_core::grid::ServedRecord) -> (Option<Arc<str>>, VersionBasis) {
    if let Some(version) = &served.version {
        return (Some(version.clone()), VersionBasis::Stated);
    }
    let named = version_in(&served.name).or_else(|| version_in(&served.model));
    let basis = if named.is_some() {
        VersionBasis::Named
    } else {
        VersionBasis::Unknown
    };
    (named.map(Arc::from), basis)
}

// === who waits ===

/// A version and the channels that have it.
type Spells<'r> = Vec<(&'r Arc<str>, &'r Spell)>;

struct Waits {
    /// The first activation of a grid.
    begin: Option<Tick>,
    now: Tick,
    /// By model: the channels by which parties may have it, and the parties for which these are the same.
    reaches: BTreeMap<Arc<str>, BTreeMap<BTreeSet<Arc<str>>, BTreeSet<Arc<str>>>>,
}

impl Waits {
    fn new(present: &Snapshot, parties: &[PartyView<'_>], (begin, now): (Option<Tick>, Tick)) -> Self {
        let mut reaches: BTreeMap<Arc<str>, BTreeMap<BTreeSet<Arc<str>>, BTreeSet<Arc<str>>>> =
            BTreeMap::new();
        for view in or_anyone(parties) {
            let mut own: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
            for way in askings(present, &view).iter().flat_map(|asking| &asking.ways) {
                let named = present.model(way.model).zip(present.channel(way.channel));
                if let Some((model, channel)) = named {
                    own.entry(model.name.clone())
                        .or_default()
                        .insert(channel.name.clone());
                }
            }
            for (model, channels) in own {
                let alike = reaches.entry(model).or_default().entry(channels).or_default();
                alike.insert(view.party.clone());
            }
        }
        Self { begin, now, reaches }
    }

    fn rows(&self, model: &Arc<str>, versions: BTreeMap<Option<Arc<str>>, Spells<'_>>) -> Vec<VersionRow> {
        let first = |spells: &Spells<'_>| spells.iter().filter_map(|(_, spell)| spell.since).min();
        let mut all: Vec<_> = versions
            .iter()
            .map(|(version, spells)| (first(spells), version, spells))
            .collect();
        // What was never in force is the newest.
        all.sort_by(|a, b| (b.0.is_none(), b.0, b.1).cmp(&(a.0.is_none(), a.0, a.1)));
        let row = |(first, version, spells): &(Option<Tick>, &Option<Arc<str>>, &Spells<'_>)| {
            let later: Vec<&Spells<'_>> = all
                .iter()
                .filter(|(other, named, _)| other > first && named.is_some())
                .map(|(_, _, spells)| *spells)
                .collect();
            let unsaid = versions.get(&None).filter(|_| version.is_some());
            VersionRow {
                basis: spells
                    .iter()
                    .map(|(_, spell)| spell.basis)
                    .max_by_key(|basis| *basis == VersionBasis::Stated)
                    .unwrap_or(VersionBasis::Unknown),
                channels: reached(spells, *first),
                is_from_start: first.is_some() && *first == self.begin,
                version: version.as_ref().map(ToString::to_string),
                waits: first.map_or_else(Vec::new, |first| self.waits(model, first, spells, &later, unsaid)),
            }
        };
        all.iter().map(row).collect()
    }

    fn waits(
        &self,
        model: &Arc<str>,
        first: Tick,
        spells: &Spells<'_>,
        later: &[&Spells<'_>],
        unsaid: Option<&Spells<'_>>,
    ) -> Vec<Wait> {
        let mut waits = Vec::new();
        for (channels, parties) in self.reaches.get(model).into_iter().flatten() {
            let among = |spells: &Spells<'_>| {
                let own = spells.iter().filter(|(channel, _)| channels.contains(*channel));
                own.filter_map(|(_, spell)| spell.since).min()
            };
            let is_unsaid = || {
                let own = unsaid
                    .into_iter()
                    .flatten()
                    .filter(|(channel, _)| channels.contains(*channel));
                own.clone().any(|(_, spell)| spell.until.is_none())
            };
            let (state, waited) = match among(spells) {
                Some(had) if had == first => continue,
                Some(had) => (WaitState::Over, Some(had.since(first))),
                None if later.iter().any(|spells| among(spells).is_some()) => continue,
                None if is_unsaid() => (WaitState::Unknown, None),
                None => (WaitState::Still, Some(self.now.since(first))),
            };
            waits.push(Wait {
                channels: channels.iter().map(ToString::to_string).collect(),
                parties: parties.iter().map(ToString::to_string).collect(),
                state,
                waited_us: waited.map(|Span(us)| us),
            });
        }
        waits.sort_by(|a, b| {
            b.waited_us
                .cmp(&a.waited_us)
                .then_with(|| a.channels.cmp(&b.channels))
        });
        waits
    }
}

/// The channels in the order in which they had it.
fn reached(spells: &Spells<'_>, first: Option<Tick>) -> Vec<Reach> {
    let mut rows: Vec<Reach> = spells
        .iter()
        .map(|(channel, spell)| Reach {
            answered_us: spell.answered.map(|at| at.0),
            behind_us: spell.since.zip(first).map(|(since, first)| since.since(first).0),
            channel: channel.to_string(),
            name: spell.name.to_string(),
            since_us: spell.since.map(|at| at.0),
            until_us: spell.until.map(|at| at.0),
        })
        .collect();
    rows.sort_by(|a, b| {
        let order = |row: &Reach| (row.since_us.is_none(), row.since_us);
        order(a).cmp(&order(b)).then_with(|| a.channel.cmp(&b.channel))
    });
    rows
}

//! The resolved grid: dense vectors, small integer indexes, components as bit sets closed transitively, and for every
//! pool and model the candidates in the order in which they are tried. Immutable; a reload builds another.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::record::{GridRecord, Settings, Weights};
use crate::desk::{Limits, Quota, Terms};
use crate::price::Price;
use crate::subject::{Ask, Dialect};
use crate::{Digest32, ROWS_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelIx(pub u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelIx(pub u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentIx(pub u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIx(pub u16);

/// Components of one grid. Clouds × regions × labs × licences of the largest grids described to us stay below 100;
/// 256 bits are four words, so an intersection is four ANDs.
pub const COMPONENTS_MAX: usize = 256;

/// Channels of one grid: 4,096 keeps an index in 16 bits and every per-channel table below a megabyte.
pub const CHANNELS_MAX: usize = 4_096;

/// A set of components: 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ComponentSet([u64; COMPONENTS_MAX / 64]);

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub channels: Vec<Channel>,
    pub components: Vec<Arc<str>>,
    /// What each component needs, transitively, itself included.
    pub component_closures: Vec<ComponentSet>,
    /// SHA-256 of the record's canonical JSON.
    pub digest: Digest32,
    pub labs: Vec<Arc<str>>,
    pub models: Vec<Model>,
    pub pools: Vec<Pool>,
    pub record: Arc<GridRecord>,
    pub settings: Settings,
    names: BTreeMap<Arc<str>, Target>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub candidates: ArrayVec<Candidate, ROWS_MAX>,
    /// Context window in tokens, if known.
    pub context_tokens: Option<u32>,
    pub lab: u16,
    pub name: Arc<str>,
    pub weights: Weights,
}

#[derive(Clone, Debug)]
pub struct Channel {
    /// Everything it depends on, transitively.
    pub components: ComponentSet,
    pub dialect: Dialect,
    pub limits: Limits,
    pub media_tokens_max: Option<u32>,
    pub name: Arc<str>,
    pub provider: Arc<str>,
    pub quota: Option<Quota>,
    pub region: Option<Arc<str>>,
    pub served: Vec<Served>,
}

#[derive(Clone, Debug)]
pub struct Served {
    pub model: ModelIx,
    /// What the channel calls the model.
    pub name: Arc<str>,
    pub price: Option<Price>,
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub candidates: ArrayVec<Candidate, ROWS_MAX>,
    pub limits: Limits,
    pub models: Vec<ModelIx>,
    pub name: Arc<str>,
    pub settings: Settings,
}

/// One way to serve a call: a model on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub channel: ChannelIx,
    pub model: ModelIx,
    /// Index into the channel's `served`.
    pub served: u16,
}

/// A record that does not hold together. The configuration check reports all of these with their places first; here
/// they guard against a damaged archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    #[error("{what} `{name}` is named twice")]
    Twice { what: &'static str, name: Arc<str> },
    #[error("{place} names the {what} `{name}`, which the grid does not have")]
    Unknown {
        what: &'static str,
        name: Arc<str>,
        place: String,
    },
    #[error("the grid has more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "{place} has more than {ROWS_MAX} candidates (models × channels), and a call sees at most that many"
    )]
    TooManyCandidates { place: String },
    #[error("the grid record is of type `{0}`; this version reads `tieline/grid/v1`")]
    Version(Arc<str>),
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Model(ModelIx),
    Pool(PoolIx),
}

// === impl Snapshot ===

impl Snapshot {
    /// Resolve a record. `digest` is the SHA-256 of its canonical JSON, computed by whoever archives it.
    pub fn build(record: Arc<GridRecord>, digest: Digest32) -> Result<Self, GridError> {
        if &*record.t != super::record::GRID_V1 {
            return Err(GridError::Version(record.t.clone()));
        }
        let mut build = Build::default();
        build.labs(&record)?;
        build.components(&record)?;
        build.models(&record)?;
        build.channels(&record)?;
        build.model_candidates()?;
        build.pools(&record)?;
        let names = build.names()?;
        Ok(Self {
            channels: build.channels,
            components: build.components,
            component_closures: build.closures,
            digest,
            labs: build.labs,
            models: build.models,
            pools: build.pools,
            settings: record.settings,
            record,
            names,
        })
    }

    /// What `name` in a request's `model` field stands for.
    pub fn resolve(&self, name: &str) -> Ask {
        match self.names.get(name) {
            Some(Target::Model(ix)) => Ask::Model(*ix),
            Some(Target::Pool(ix)) => Ask::Pool(*ix),
            None => Ask::Unknown(printable_name(name).then(|| Arc::from(name))),
        }
    }

    /// Every name that a request may ask for, with whether it is a pool.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.names
            .iter()
            .map(|(name, target)| (name, matches!(target, Target::Pool(_))))
    }

    pub fn model(&self, ix: ModelIx) -> Option<&Model> {
        self.models.get(usize::from(ix.0))
    }

    pub fn channel(&self, ix: ChannelIx) -> Option<&Channel> {
        self.channels.get(usize::from(ix.0))
    }

    pub fn pool(&self, ix: PoolIx) -> Option<&Pool> {
        self.pools.get(usize::from(ix.0))
    }

    pub fn served(&self, candidate: Candidate) -> Option<&Served> {
        self.channel(candidate.channel)?
            .served
            .get(usize::from(candidate.served))
    }

    pub fn channel_named(&self, name: &str) -> Option<ChannelIx> {
        index_of(self.channels.iter().map(|c| &c.name), name).map(ChannelIx)
    }

    pub fn pool_named(&self, name: &str) -> Option<PoolIx> {
        index_of(self.pools.iter().map(|p| &p.name), name).map(PoolIx)
    }

    pub fn model_named(&self, name: &str) -> Option<ModelIx> {
        index_of(self.models.iter().map(|m| &m.name), name).map(ModelIx)
    }

    pub fn component_named(&self, name: &str) -> Option<ComponentIx> {
        index_of(self.components.iter(), name).map(ComponentIx)
    }

    /// The candidates and settings of what a call asks for; none for an unknown name.
    pub fn candidates(&self, ask: &Ask) -> Option<(&[Candidate], &Settings)> {
        match ask {
            Ask::Model(ix) => Some((&self.model(*ix)?.candidates, &self.settings)),
            Ask::Pool(ix) => self
                .pool(*ix)
                .map(|pool| (pool.candidates.as_slice(), &pool.settings)),
            Ask::Unknown(_) | Ask::Unreadable(_) => None,
        }
    }

    /// The name of what a call asks for.
    pub fn ask_name<'a>(&'a self, ask: &'a Ask) -> Option<&'a Arc<str>> {
        match ask {
            Ask::Model(ix) => self.model(*ix).map(|m| &m.name),
            Ask::Pool(ix) => self.pool(*ix).map(|p| &p.name),
            Ask::Unknown(name) => name.as_ref(),
            Ask::Unreadable(_) => None,
        }
    }
}

/// Whether a name from a request may stand in a record: it looks like a model's name and not like prose.
fn printable_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b))
}

fn index_of<'a>(names: impl Iterator<Item = &'a Arc<str>>, name: &str) -> Option<u16> {
    names
        .zip(0..)
        .find(|(candidate, _)| &***candidate == name)
        .map(|(_, ix)| ix)
}

impl Channel {
    /// What its operator allows.
    pub const fn terms(&self) -> Terms<'_> {
        Terms {
            limits: &self.limits,
            quota: self.quota.as_ref(),
        }
    }
}

// === impl ComponentSet ===

impl ComponentSet {
    pub fn insert(&mut self, ix: ComponentIx) {
        if let Some(word) = self.0.get_mut(usize::from(ix.0) / 64) {
            *word |= 1 << (ix.0 % 64);
        }
    }

    pub fn remove(&mut self, ix: ComponentIx) {
        if let Some(word) = self.0.get_mut(usize::from(ix.0) / 64) {
            *word &= !(1 << (ix.0 % 64));
        }
    }

    pub fn contains(&self, ix: ComponentIx) -> bool {
        self.0
            .get(usize::from(ix.0) / 64)
            .is_some_and(|word| word & (1 << (ix.0 % 64)) != 0)
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = *self;
        for (word, more) in out.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        out
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = *self;
        for (word, more) in out.0.iter_mut().zip(other.0) {
            *word &= more;
        }
        out
    }

    /// The members that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut out = *self;
        for (word, less) in out.0.iter_mut().zip(other.0) {
            *word &= !less;
        }
        out
    }

    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ComponentIx> + '_ {
        (0..)
            .map(ComponentIx)
            .take(COMPONENTS_MAX)
            .filter(|ix| self.contains(*ix))
    }
}

// === the build ===

#[derive(Default)]
struct Build {
    channels: Vec<Channel>,
    closures: Vec<ComponentSet>,
    component_ix: BTreeMap<Arc<str>, ComponentIx>,
    components: Vec<Arc<str>>,
    labs: Vec<Arc<str>>,
    models: Vec<Model>,
    pools: Vec<Pool>,
}

impl Build {
    fn labs(&mut self, record: &GridRecord) -> Result<(), GridError> {
        for lab in &record.labs {
            if self.labs.contains(&lab.name) {
                return Err(GridError::Twice {
                    what: "lab",
                    name: lab.name.clone(),
                });
            }
            self.labs.push(lab.name.clone());
        }
        Ok(())
    }

    /// Intern every component in name order, then close over what each needs.
    fn components(&mut self, record: &GridRecord) -> Result<(), GridError> {
        let of_channels = record.channels.iter().flat_map(|c| &c.components);
        let of_components = record
            .components
            .iter()
            .flat_map(|(name, needs)| std::iter::once(name).chain(needs));
        let names: std::collections::BTreeSet<&Arc<str>> = of_channels.chain(of_components).collect();
        if names.len() > COMPONENTS_MAX {
            return Err(GridError::TooMany {
                what: "components",
                limit: COMPONENTS_MAX,
            });
        }
        for (name, ix) in names.into_iter().zip(0..) {
            self.component_ix.insert(name.clone(), ComponentIx(ix));
            self.components.push(name.clone());
            let mut own = ComponentSet::default();
            own.insert(ComponentIx(ix));
            self.closures.push(own);
        }
        // A fixpoint: each round adds at least one bit to at least one of at most 256 sets of at most 256 bits.
        loop {
            let mut grew = false;
            for (name, needs) in &record.components {
                grew |= self.close(name, needs);
            }
            if !grew {
                return Ok(());
            }
        }
    }

    fn close(&mut self, name: &Arc<str>, needs: &[Arc<str>]) -> bool {
        let Some(own) = self.component_ix.get(name).copied() else {
            return false;
        };
        let before = self.closure(own);
        let after = needs
            .iter()
            .filter_map(|need| self.component_ix.get(need))
            .fold(before, |set, need| set.union(&self.closure(*need)));
        if let Some(slot) = self.closures.get_mut(usize::from(own.0)) {
            *slot = after;
        }
        after != before
    }

    fn closure(&self, ix: ComponentIx) -> ComponentSet {
        self.closures.get(usize::from(ix.0)).copied().unwrap_or_default()
    }

    fn models(&mut self, record: &GridRecord) -> Result<(), GridError> {
        for model in &record.models {
            if self.models.iter().any(|m| m.name == model.name) {
                return Err(GridError::Twice {
                    what: "model",
                    name: model.name.clone(),
                });
            }
            let lab = index_of(self.labs.iter(), &model.lab).ok_or_else(|| GridError::Unknown {
                what: "lab",
                name: model.lab.clone(),
                place: format!("model `{}`", model.name),
            })?;
            self.models.push(Model {
                candidates: ArrayVec::new(),
                context_tokens: model.context_tokens,
                lab,
                name: model.name.clone(),
                weights: model.weights,
            });
        }
        if self.models.len() > usize::from(u16::MAX) {
            return Err(GridError::TooMany {
                what: "models",
                limit: usize::from(u16::MAX),
            });
        }
        Ok(())
    }

    fn channels(&mut self, record: &GridRecord) -> Result<(), GridError> {
        if record.channels.len() > CHANNELS_MAX {
            return Err(GridError::TooMany {
                what: "channels",
                limit: CHANNELS_MAX,
            });
        }
        for channel in &record.channels {
            if self.channels.iter().any(|c| c.name == channel.name) {
                return Err(GridError::Twice {
                    what: "channel",
                    name: channel.name.clone(),
                });
            }
            let components = channel
                .components
                .iter()
                .filter_map(|name| self.component_ix.get(name))
                .fold(ComponentSet::default(), |set, ix| set.union(&self.closure(*ix)));
            let mut served = Vec::with_capacity(channel.models.len());
            for entry in &channel.models {
                let model = self.model_ix(&entry.model, || format!("channel `{}`", channel.name))?;
                served.push(Served {
                    model,
                    name: entry.name.clone(),
                    price: entry.price,
                });
            }
            self.channels.push(Channel {
                components,
                dialect: channel.dialect,
                limits: channel.limits,
                media_tokens_max: channel.media_tokens_max,
                name: channel.name.clone(),
                provider: channel.provider.clone(),
                quota: channel.quota,
                region: channel.region.clone(),
                served,
            });
        }
        Ok(())
    }

    fn model_ix(&self, name: &Arc<str>, place: impl FnOnce() -> String) -> Result<ModelIx, GridError> {
        index_of(self.models.iter().map(|m| &m.name), name)
            .map(ModelIx)
            .ok_or_else(|| GridError::Unknown {
                what: "model",
                name: name.clone(),
                place: place(),
            })
    }

    /// A model's candidates are the channels that serve it, in the order of the configuration.
    fn model_candidates(&mut self) -> Result<(), GridError> {
        for (channel, channel_ix) in self.channels.iter().zip(0..) {
            for (served, served_ix) in channel.served.iter().zip(0..) {
                let Some(model) = self.models.get_mut(usize::from(served.model.0)) else {
                    continue;
                };
                let candidate = Candidate {
                    channel: ChannelIx(channel_ix),
                    model: served.model,
                    served: served_ix,
                };
                model
                    .candidates
                    .try_push(candidate)
                    .map_err(|_| GridError::TooManyCandidates {
                        place: format!("model `{}`", model.name),
                    })?;
            }
        }
        Ok(())
    }

    /// A pool's candidates are its models' in the pool's order: first every channel of the first model.
    fn pools(&mut self, record: &GridRecord) -> Result<(), GridError> {
        for pool in &record.pools {
            if self.pools.iter().any(|p| p.name == pool.name) {
                return Err(GridError::Twice {
                    what: "pool",
                    name: pool.name.clone(),
                });
            }
            let mut candidates = ArrayVec::new();
            let mut models = Vec::with_capacity(pool.models.len());
            for name in &pool.models {
                let ix = self.model_ix(name, || format!("pool `{}`", pool.name))?;
                models.push(ix);
                let more = self
                    .models
                    .get(usize::from(ix.0))
                    .map_or(&[][..], |m| m.candidates.as_slice());
                candidates
                    .try_extend_from_slice(more)
                    .map_err(|_| GridError::TooManyCandidates {
                        place: format!("pool `{}`", pool.name),
                    })?;
            }
            self.pools.push(Pool {
                candidates,
                limits: pool.limits,
                models,
                name: pool.name.clone(),
                settings: pool.settings,
            });
        }
        if self.pools.len() > usize::from(u16::MAX) {
            return Err(GridError::TooMany {
                what: "pools",
                limit: usize::from(u16::MAX),
            });
        }
        Ok(())
    }

    fn names(&self) -> Result<BTreeMap<Arc<str>, Target>, GridError> {
        let mut names = BTreeMap::new();
        for (model, ix) in self.models.iter().zip(0..) {
            names.insert(model.name.clone(), Target::Model(ModelIx(ix)));
        }
        for (pool, ix) in self.pools.iter().zip(0..) {
            if names
                .insert(pool.name.clone(), Target::Pool(PoolIx(ix)))
                .is_some()
            {
                return Err(GridError::Twice {
                    what: "pool or model",
                    name: pool.name.clone(),
                });
            }
        }
        Ok(names)
    }
}

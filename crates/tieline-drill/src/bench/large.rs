//! A grid of 256 components and 64 channels, to measure the analysis of a grid at rest on: parties of which no two are
//! alike, and pools whose calls have the eight ways that a call can have at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::{
    Candidate, ChannelRecord, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::{Dialect, GridRecord, Limits, Rng, Seed};

const CHANNELS: usize = 64;
const COMPONENTS: usize = 256;
/// Each on four channels; two of them make a pool.
const MODELS: usize = 32;

/// Which components a channel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// As grids have them: regions on clouds, clouds on identities.
    Layered,
    /// Forty, at random.
    Random,
}

impl Needs {
    fn of(self, channel: usize) -> Vec<usize> {
        match self {
            Self::Layered => layered(channel),
            Self::Random => random(channel),
        }
    }
}

/// Each party is kept from a quarter of the channels.
pub fn may(party: u32) -> Box<dyn Fn(Candidate) -> bool> {
    let mut rng = Rng::new(Seed(party.into()));
    let barred: Vec<bool> = (0..CHANNELS).map(|_| rng.draw().is_multiple_of(4)).collect();
    Box::new(move |candidate| {
        !barred
            .get(usize::from(candidate.channel.0))
            .copied()
            .unwrap_or_default()
    })
}

/// The grid, with what each channel needs.
pub fn large(needs: Needs) -> GridRecord {
    const KINDS: [&str; 8] = [
        "machine", "region", "lab", "edge", "account", "cloud", "identity", "payment",
    ];
    let name = |ix: usize| -> Arc<str> { format!("{}:{ix}", KINDS.get(ix / 32).unwrap_or(&"other")).into() };
    let model = |ix: usize| -> Arc<str> { format!("model-{ix}").into() };
    let served = |ix: usize| ServedRecord {
        model: model(ix),
        name: model(ix),
        price: None,
        price_list: None,
        version: None,
    };
    let channel = |ix: usize| ChannelRecord {
        components: needs.of(ix).into_iter().map(name).collect(),
        dialect: Dialect::OpenaiChat,
        limits: Limits::default(),
        media_tokens_max: None,
        models: vec![served(ix % MODELS), served((ix * 5 + 1) % MODELS)],
        name: format!("channel-{ix}").into(),
        operator_jurisdiction: None,
        provider: "openai".into(),
        quota: None,
        region: None,
        region_country: None,
    };
    // Regions need one of eight clouds, and a cloud the identity of its customers; what else there is, needs nothing.
    let regions = (64..104).map(|ix| (name(ix), vec![name(224 + ix % 8)]));
    let clouds = (224..232).map(|ix| (name(ix), vec![name(ix + 8)]));
    let others = (0..COMPONENTS).map(|ix| (name(ix), Vec::new()));
    let mut components: BTreeMap<Arc<str>, Vec<Arc<str>>> = others.collect();
    components.extend(regions.chain(clouds));
    let labs = (0..8).map(|ix| LabRecord {
        jurisdiction: None,
        name: format!("lab-{ix}").into(),
    });
    let models = (0..MODELS).map(|ix| ModelRecord {
        context_tokens: None,
        lab: format!("lab-{}", ix % 8).into(),
        licence: None,
        modalities: None,
        name: model(ix),
        tools: None,
        training_flop: None,
        weights: Weights::Closed,
    });
    let pools = (0..MODELS / 2).map(|ix| PoolRecord {
        limits: Limits::default(),
        models: vec![model(ix), model(ix + MODELS / 2)],
        name: format!("pool-{ix}").into(),
        settings: Settings::default(),
    });
    GridRecord {
        channels: (0..CHANNELS).map(channel).collect(),
        components,
        labs: labs.collect(),
        models: models.collect(),
        pools: pools.collect(),
        settings: Settings::default(),
        t: GRID_V1.into(),
        ..GridRecord::default()
    }
}

/// The components of a channel: itself a machine, in a region, of a lab, behind an edge, by an account.
fn layered(channel: usize) -> Vec<usize> {
    vec![
        channel,
        64 + channel % 40,
        128 + channel % 8,
        136 + channel / 8,
        144 + channel % 16,
        160 + channel,
    ]
}

fn random(channel: usize) -> Vec<usize> {
    let mut rng = Rng::new(Seed(7 + channel as u64));
    let mut needs = vec![channel, 64 + channel, 128 + channel, 192 + channel];
    needs.extend((0..36).map(|_| usize::try_from(rng.draw() % COMPONENTS as u64).unwrap_or_default()));
    needs
}

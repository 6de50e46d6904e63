//! Measures the analysis of a grid at rest: `structure [PARTIES]` looks at 256 components, 64 channels and 1,000 parties of
//! which no two are alike, once with components as grids have them (regions on clouds, clouds on identities) and once with
//! each channel on 40 of them at random, and prints what that takes.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tieline_core::grid::{
    Candidate, ChannelRecord, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::{Dialect, GridRecord, Limits, Rng, Scope, Seed, Snapshot};
use tieline_drill::{GridReport, Method, PartyView, structure};

const CHANNELS: usize = 64;
const COMPONENTS: usize = 256;
/// Each on four channels; two of them make a pool, so that a call has the eight ways that it can have at most.
const MODELS: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000), |word| word.parse())?;
    for (name, needs) in [
        ("as grids are", layered as fn(usize) -> Vec<usize>),
        ("at random", random),
    ] {
        let snapshot = snapshot(needs)?;
        let allowed: Vec<Box<dyn Fn(Candidate) -> bool>> = (0..count).map(bars).collect();
        let parties = (0..count).zip(&allowed).map(|(ix, allowed)| PartyView {
            allowed: &**allowed,
            party: format!("p_{ix:06}").into(),
            scope: Scope::All,
        });
        let parties: Vec<PartyView<'_>> = parties.collect();
        let begun = Instant::now();
        let report = structure(&snapshot, &parties, None);
        println!(
            "components {name}: {} components, {} channels, {} parties in {} groups: {:?}",
            snapshot.components.len(),
            snapshot.channels.len(),
            parties.len(),
            report.parties.len(),
            begun.elapsed()
        );
        println!("  {}", sums(&report));
    }
    Ok(())
}

fn sums(report: &GridReport) -> String {
    let asks = || report.parties.iter().flat_map(|group| &group.asks);
    let pairs: u64 = asks().map(|ask| ask.pairs_count).sum();
    let drawn = report.parties.iter().filter_map(|group| group.out.as_ref());
    let drawn = drawn.filter(|out| out.method == Method::Drawn).count();
    format!(
        "{} things asked for, {pairs} pairs, {} elements, chance of everything at once drawn for {drawn} groups",
        asks().count(),
        report.elements.len()
    )
}

/// Each party is kept from a quarter of the channels.
fn bars(party: usize) -> Box<dyn Fn(Candidate) -> bool> {
    let mut rng = Rng::new(Seed(party as u64));
    let barred: Vec<bool> = (0..CHANNELS).map(|_| rng.draw() % 4 == 0).collect();
    Box::new(move |candidate| {
        !barred
            .get(usize::from(candidate.channel.0))
            .copied()
            .unwrap_or_default()
    })
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

fn snapshot(needs: fn(usize) -> Vec<usize>) -> Result<Snapshot, Box<dyn std::error::Error>> {
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
        components: needs(ix).into_iter().map(name).collect(),
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
        name: model(ix),
        training_flop: None,
        weights: Weights::Closed,
    });
    let pools = (0..MODELS / 2).map(|ix| PoolRecord {
        limits: Limits::default(),
        models: vec![model(ix), model(ix + MODELS / 2)],
        name: format!("pool-{ix}").into(),
        settings: Settings::default(),
    });
    let record = GridRecord {
        channels: (0..CHANNELS).map(channel).collect(),
        components,
        labs: labs.collect(),
        models: models.collect(),
        pools: pools.collect(),
        settings: Settings::default(),
        t: GRID_V1.into(),
        ..GridRecord::default()
    };
    Ok(Snapshot::build(Arc::new(record), [0; 32])?)
}

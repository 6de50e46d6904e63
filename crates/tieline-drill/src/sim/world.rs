//! The world of a run, drawn from its seed: the grids that reloads move among, keys, the moods of channels, and what
//! happens around the calls. Each seed switches some features on and others off, so that rare things meet each other
//! often.
//!
//! Things are known by number, and their names are made of it: channel `c3`, model `m0`, pool `p1`, key `k2`.
//! Bounds: [`CHANNELS_MAX`], [`MODELS_MAX`], [`TURNS_MAX`] of each kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::{
    ChannelRecord, Choice, GRID_V1, LabRecord, ModelRecord, PoolRecord, RecordMode, Resume, ServedRecord,
    Settings, Weights,
};
use tieline_core::{
    Dialect, Digest32, GridRecord, Limits, Nano, PicoPerToken, Price, ROWS_MAX, Ruling, Scope, Snapshot,
    Span, Subject, Tick,
};
use tieline_note::jcs;

use super::dice::Dice;
use super::faults::Moods;
use super::load::{self, Arrival};

/// 2026-06-12 17:21 UTC.
pub(super) const START: Tick = Tick(1_781_284_860_000_000);

/// A call sees at most eight candidates, so a model is on at most eight channels.
pub(super) const CHANNELS_MAX: u8 = 8;
pub(super) const MODELS_MAX: u8 = 4;
const POOLS_MAX: u8 = 3;
const KEYS_MAX: u8 = 5;
pub(super) const PARTIES_MAX: u8 = 3;

/// Cuts, orders, reloads and the like, of each kind.
const TURNS_MAX: u64 = 8;

/// What a seed switches on.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the swarm")]
pub(super) struct Features {
    pub(super) budgets: bool,
    pub(super) crashes: bool,
    pub(super) cuts: bool,
    pub(super) hurry: bool,
    pub(super) jumps: bool,
    pub(super) key_limits: bool,
    pub(super) channel_limits: bool,
    pub(super) leaving: bool,
    pub(super) ledger: bool,
    pub(super) orders: bool,
    pub(super) reloads: bool,
    /// Answers to what a call asks of the gateway take time, as they do where locks are waited for.
    pub(super) slow: bool,
    pub(super) strict: bool,
    /// Percent of the moods of channels that are bad ones.
    pub(super) troubled: u64,
    pub(super) channels: u8,
    pub(super) keys: u8,
    pub(super) models: u8,
    pub(super) pools: u8,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) features: Features,
    /// What reloads move among; the first is that of the start.
    pub(super) grids: Vec<Arc<Snapshot>>,
    pub(super) moods: Vec<Moods>,
    /// What each channel depends on, transitively.
    pub(super) needs: Vec<Vec<Arc<str>>>,
    pub(super) seed: u64,
    pub(super) subjects: Vec<Arc<Subject>>,
    pub(super) turns: Vec<(Tick, Turn)>,
}

/// Something that happens around the calls.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Crash,
    Cut(Part, bool),
    Jump(Span),
    Ledger(LedgerMood),
    Order(Order),
    Reload(usize),
}

/// A channel or a component, to be cut (`true`) or restored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Channel(u8),
    Component(Arc<str>),
}

/// What is permitted changes for a party on a model or on all, over a channel or over all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) channel: Option<u8>,
    pub(super) in_flight: InFlight,
    pub(super) model: Option<u8>,
    pub(super) party: Option<u8>,
    pub(super) ruling: Ruling,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum InFlight {
    Cut,
    Drain(Span),
    Finish,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LedgerMood {
    /// It takes entries that will never be durable, until the process is started anew.
    Dead,
    /// Its queue takes nothing.
    Full,
    /// An entry is durable after so long.
    Keeps(Span),
}

/// The number in a name such as `c3`.
pub(super) fn number(name: &str) -> u8 {
    name.get(1..)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(u8::MAX)
}

// === impl Features ===

impl Features {
    fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        Self {
            budgets: dice.chance(30),
            crashes: dice.chance(25),
            cuts: dice.chance(40),
            hurry: dice.chance(40),
            jumps: dice.chance(25),
            key_limits: dice.chance(40),
            channel_limits: dice.chance(40),
            leaving: dice.chance(40),
            ledger: dice.chance(35),
            orders: dice.chance(60),
            reloads: dice.chance(50),
            slow: dice.chance(15),
            strict: dice.chance(50),
            troubled: dice.pick(50, &[0, 10, 25, 80, 100]),
            channels: dice.small(1, CHANNELS_MAX),
            keys: dice.small(1, KEYS_MAX),
            models: dice.small(1, MODELS_MAX),
            pools: dice.small(1, POOLS_MAX),
        }
    }
}

// === impl World ===

impl World {
    pub(super) fn draw(seed: u64) -> Self {
        let features = Features::draw(seed);
        let arrivals = load::arrivals(seed, &features);
        let moments: Vec<Tick> = arrivals.iter().map(|arrival| arrival.at).collect();
        let needs = needs(&mut Dice::new(seed, 2), features.channels);
        let grids = grids(&mut Dice::new(seed, 3), &features, &needs);
        let moods = (0..features.channels).map(|ix| {
            Moods::draw(
                &mut Dice::new(seed, 100 + u64::from(ix)),
                &moments,
                features.troubled,
            )
        });
        Self {
            features,
            moods: moods.collect(),
            subjects: subjects(&mut Dice::new(seed, 4), &features),
            turns: turns(&mut Dice::new(seed, 5), &features, &moments, &needs, grids.len()),
            arrivals,
            grids,
            needs,
            seed,
        }
    }
}

/// Clouds, a region of each, and a network edge that some channels share.
fn needs(dice: &mut Dice, channels: u8) -> Vec<Vec<Arc<str>>> {
    let mut each = Vec::new();
    for _ in 0..channels {
        let cloud = dice.below(3);
        let mut needs: Vec<Arc<str>> = vec![
            format!("region:{cloud}/{}", dice.below(2)).into(),
            format!("cloud:{cloud}").into(),
        ];
        if dice.chance(30) {
            needs.push("edge:one".into());
        }
        each.push(needs);
    }
    each
}

// === grids ===

/// The first grid, and what edits of its configuration make of it.
fn grids(dice: &mut Dice, features: &Features, needs: &[Vec<Arc<str>>]) -> Vec<Arc<Snapshot>> {
    let first = grid(dice, features, needs);
    let mut records = vec![first.clone()];
    for _ in 0..if features.reloads { dice.between(1, 3) } else { 0 } {
        records.push(edited(dice, features, first.clone()));
    }
    records.into_iter().filter_map(opened).collect()
}

/// A record as the gateway would archive and open it. The generator makes none that does not hold together.
fn opened(record: GridRecord) -> Option<Arc<Snapshot>> {
    let digest: Digest32 = tieline_note::sha256(&jcs::to_vec(&record).ok()?).0;
    Snapshot::build(Arc::new(record), digest).ok().map(Arc::new)
}

fn grid(dice: &mut Dice, features: &Features, needs: &[Vec<Arc<str>>]) -> GridRecord {
    let channels: Vec<ChannelRecord> = (0_u8..)
        .zip(needs)
        .map(|(ix, needs)| channel(dice, features, ix, needs))
        .collect();
    let models = (0..features.models).map(|ix| ModelRecord {
        context_tokens: dice.perhaps(70, |dice| dice.pick(4_096, &[32_768, 200_000])),
        lab: "lab".into(),
        name: format!("m{ix}").into(),
        weights: Weights::Closed,
        ..ModelRecord::default()
    });
    let models = models.collect();
    let pools = (0..features.pools).map(|ix| pool(dice, features, ix, &channels));
    GridRecord {
        pools: pools.collect(),
        channels,
        components: components(),
        labs: vec![LabRecord {
            jurisdiction: None,
            name: "lab".into(),
        }],
        models,
        prices: BTreeMap::new(),
        settings: settings(dice, features),
        t: GRID_V1.into(),
    }
}

fn components() -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let regions = (0..3).flat_map(|cloud| (0..2).map(move |region| (cloud, region)));
    regions
        .map(|(cloud, region)| {
            let needs = vec![format!("cloud:{cloud}").into()];
            (format!("region:{cloud}/{region}").into(), needs)
        })
        .collect()
}

fn channel(dice: &mut Dice, features: &Features, ix: u8, needs: &[Arc<str>]) -> ChannelRecord {
    let mut served: Vec<u8> = (0..features.models).filter(|_| dice.chance(60)).collect();
    if served.is_empty() {
        served.push(dice.small(0, features.models - 1));
    }
    // The cloud follows from the region.
    let direct = needs.iter().filter(|need| !need.starts_with("cloud:"));
    ChannelRecord {
        components: direct.cloned().collect(),
        dialect: dice.pick(Dialect::OpenaiChat, &[Dialect::AnthropicMessages]),
        limits: limits(dice, features.channel_limits),
        media_tokens_max: None,
        models: served.into_iter().map(|model| serves(dice, model)).collect(),
        name: format!("c{ix}").into(),
        operator_jurisdiction: None,
        provider: "openai-compatible".into(),
        quota: None,
        region: None,
        region_country: None,
    }
}

fn serves(dice: &mut Dice, model: u8) -> ServedRecord {
    let price = dice.perhaps(80, |dice| Price {
        cache_read: PicoPerToken(dice.below(500_000)),
        input: PicoPerToken(dice.below(5_000_001)),
        output: PicoPerToken(dice.below(25_000_001)),
        ..Price::default()
    });
    ServedRecord {
        model: format!("m{model}").into(),
        name: format!("x-m{model}").into(),
        price,
        price_list: None,
        version: None,
    }
}

/// As many models as leave it at eight candidates.
fn pool(dice: &mut Dice, features: &Features, ix: u8, channels: &[ChannelRecord]) -> PoolRecord {
    let (mut models, mut rows) = (Vec::<Arc<str>>::new(), 0);
    for _ in 0..dice.small(1, features.models) {
        let name: Arc<str> = format!("m{}", dice.small(0, features.models - 1)).into();
        let on = channels
            .iter()
            .filter(|channel| channel.models.iter().any(|served| served.model == name));
        let on = on.count();
        if !models.contains(&name) && rows + on <= ROWS_MAX {
            rows += on;
            models.push(name);
        }
    }
    PoolRecord {
        limits: paying(dice, features, 20),
        models,
        name: format!("p{ix}").into(),
        settings: settings(dice, features),
    }
}

fn settings(dice: &mut Dice, features: &Features) -> Settings {
    let mut ms = |low, high| u32::try_from(dice.spread(low, high)).unwrap_or(u32::MAX);
    let (call_ms, first_content_ms, head_ms) = (ms(1_000, 600_000), ms(300, 20_000), ms(300, 20_000));
    let (idle_ms, whole_ms) = (ms(500, 15_000), ms(1_000, 120_000));
    Settings {
        attempts_max: dice.pick(3, &[1, 2, 3, 4, 6, 8]),
        call_ms,
        choice: dice.pick(Choice::Balanced, &[Choice::InOrder]),
        first_content_ms,
        head_ms,
        hold_ms: dice.pick(0, &[0, 200, 2_000]),
        hold_tokens: dice.pick(0, &[0, 3]),
        idle_ms,
        record: if features.strict && dice.chance(60) {
            RecordMode::Strict
        } else {
            RecordMode::Async
        },
        resume: dice.pick(Resume::Off, &[Resume::SameModel, Resume::Pool]),
        whole_ms,
        ..Settings::default()
    }
}

fn limits(dice: &mut Dice, on: bool) -> Limits {
    if !on {
        return Limits::default();
    }
    let mut small =
        |percent, low, high| dice.perhaps(percent, |dice| u32::try_from(dice.spread(low, high)).unwrap_or(1));
    let (concurrency, requests_per_day, requests_per_minute) =
        (small(40, 1, 20), small(20, 5, 200), small(40, 2, 100));
    Limits {
        concurrency,
        requests_per_day,
        requests_per_minute,
        tokens_per_day: dice.perhaps(20, |dice| dice.spread(5_000, 2_000_000)),
        tokens_per_minute: dice.perhaps(40, |dice| dice.spread(1_000, 200_000)),
        ..Limits::default()
    }
}

/// The limits of one who pays, which may be of money.
fn paying(dice: &mut Dice, features: &Features, percent: u64) -> Limits {
    let on = features.key_limits && dice.chance(percent);
    let budget = if features.budgets { percent / 2 } else { 0 };
    let nano_per_day = dice.perhaps(budget, |dice| Nano(dice.spread(1_000_000, 20_000_000_000)));
    Limits {
        nano_per_day,
        nano_per_week: dice.perhaps(budget / 2, |dice| Nano(dice.spread(10_000_000, 50_000_000_000))),
        ..limits(dice, on)
    }
}

/// An edit of a configuration: channels that go, other limits and prices, another order, other settings.
fn edited(dice: &mut Dice, features: &Features, mut record: GridRecord) -> GridRecord {
    if dice.chance(50) {
        record.channels.reverse();
    }
    if dice.chance(40) && record.channels.len() > 1 {
        let gone = usize::try_from(dice.below(record.channels.len() as u64)).unwrap_or_default();
        record.channels.remove(gone);
    }
    for channel in &mut record.channels {
        if dice.chance(20) {
            channel.limits = limits(dice, features.channel_limits);
        }
        if dice.chance(20) && channel.models.len() > 1 {
            channel.models.remove(0);
        }
        if let Some(served) = channel.models.first_mut().filter(|_| dice.chance(30)) {
            *served = serves(dice, number(&served.model));
        }
    }
    for pool in &mut record.pools {
        if dice.chance(40) {
            pool.settings = settings(dice, features);
        }
        if dice.chance(30) {
            pool.models.reverse();
        }
    }
    record
}

// === keys ===

fn subjects(dice: &mut Dice, features: &Features) -> Vec<Arc<Subject>> {
    let parties: Vec<Limits> = (0..PARTIES_MAX).map(|_| paying(dice, features, 30)).collect();
    let subject = |ix: u8| {
        let party = ix % PARTIES_MAX;
        let scope = if dice.chance(15) {
            Scope::Names(Arc::new(["p0".into()]))
        } else {
            Scope::All
        };
        Arc::new(Subject {
            desk_ix: ix.into(),
            key: format!("k{ix}").into(),
            lapse: None,
            limits: paying(dice, features, 100),
            party: format!("o{party}").into(),
            party_desk_ix: party.into(),
            party_limits: parties.get(usize::from(party)).copied().unwrap_or_default(),
            party_digest: [party; 32],
            posture: party.into(),
            scope,
        })
    };
    (0..features.keys).map(subject).collect()
}

// === what happens ===

fn turns(
    dice: &mut Dice,
    features: &Features,
    moments: &[Tick],
    needs: &[Vec<Arc<str>>],
    grids: usize,
) -> Vec<(Tick, Turn)> {
    let mut turns = Vec::new();
    let mut some = |dice: &mut Dice, on: bool, draw: &dyn Fn(&mut Dice) -> Turn| {
        for _ in 0..if on { dice.between(1, TURNS_MAX) } else { 0 } {
            let ix = usize::try_from(dice.below(moments.len() as u64)).unwrap_or_default();
            let at = moments.get(ix).copied().unwrap_or(START);
            turns.push((at.plus(dice.spread_ms(1, 4_000)), draw(dice)));
        }
    };
    some(dice, features.crashes, &|_| Turn::Crash);
    some(dice, features.cuts, &|dice| {
        Turn::Cut(part(dice, needs), dice.chance(60))
    });
    some(dice, features.jumps, &|dice| {
        Turn::Jump(dice.spread_ms(10, 3_600_000))
    });
    some(dice, features.ledger, &|dice| Turn::Ledger(ledger_mood(dice)));
    some(dice, features.orders, &|dice| Turn::Order(order(dice, features)));
    some(dice, features.reloads && grids > 1, &|dice| {
        Turn::Reload(usize::try_from(dice.below(grids as u64)).unwrap_or_default())
    });
    turns.sort_by_key(|(at, _)| *at);
    turns
}

fn part(dice: &mut Dice, needs: &[Vec<Arc<str>>]) -> Part {
    let channel = dice.below(needs.len() as u64);
    let ix = usize::try_from(channel).unwrap_or_default();
    let components = needs.get(ix).map_or(&[][..], |needs| needs);
    let which = usize::try_from(dice.below(components.len() as u64)).unwrap_or_default();
    match components.get(which).filter(|_| dice.chance(40)) {
        Some(component) => Part::Component(component.clone()),
        None => Part::Channel(u8::try_from(channel).unwrap_or_default()),
    }
}

fn ledger_mood(dice: &mut Dice) -> LedgerMood {
    match dice.below(10) {
        0 => LedgerMood::Dead,
        1..4 => LedgerMood::Full,
        4..6 => LedgerMood::Keeps(dice.spread_ms(500, 20_000)),
        _ => LedgerMood::Keeps(dice.spread_ms(1, 40)),
    }
}

fn order(dice: &mut Dice, features: &Features) -> Order {
    Order {
        channel: dice.perhaps(60, |dice| dice.small(0, features.channels - 1)),
        in_flight: match dice.below(3) {
            0 => InFlight::Cut,
            1 => InFlight::Drain(dice.spread_ms(10, 5_000)),
            _ => InFlight::Finish,
        },
        model: dice.perhaps(60, |dice| dice.small(0, features.models - 1)),
        party: dice.perhaps(60, |dice| dice.small(0, PARTIES_MAX - 1)),
        ruling: dice.pick(Ruling::Allow, &[Ruling::Allow, Ruling::Hold, Ruling::Deny]),
    }
}

//! A world of stated size to measure a drill on: a grid, parties and a day of calls, all made from the size alone.
//!
//! Each model is served by [`CHANNELS_PER_MODEL`] channels and each pool has two models, so that every call has the eight
//! candidates that a call may have; every channel has a quota, so that the desk does its work. Bounds: those of a grid and
//! of [`Traffic`].

mod large;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use tieline_core::grid::{
    ChannelRecord, GRID_V1, GridRecord, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::record::Outcome;
use tieline_core::{
    Dialect, Limits, PicoPerToken, Price, Quota, QuotaModel, Rng, Ruling, Seed, Snapshot, Span, Tick,
};

use crate::traffic::{Asked, Basis, CALLS_MAX, Kind, NONE, STREAMED, Traffic, TrafficCall, USAGE_KNOWN};

pub use self::large::{Needs, large, may};

const CHANNELS_PER_MODEL: usize = 4;
const LABS: usize = 4;

/// The first instant of every such day.
const START: Tick = Tick(1_781_222_400_000_000);

/// How large the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// At most ten million.
    pub calls: usize,
    /// In steps of four; a channel needs five of 40 components.
    pub channels: usize,
    pub parties: u32,
    /// How long the calls take to arrive.
    pub span: Span,
    /// What the quotas of a model's channels are worth together, in thousandths of what is asked of the model.
    pub worth: u64,
}

impl Size {
    /// Sixty-four channels, ten thousand parties, and a million calls a day.
    pub const DAY: Self = Self {
        calls: 1_000_000,
        channels: 64,
        parties: 10_000,
        span: Span::from_s(86_400),
        worth: 6_000,
    };

    /// So many calls as they come on that day, one after the other, and no more.
    #[must_use]
    pub const fn of_day(calls: usize) -> Self {
        Self {
            calls,
            span: Span(Self::DAY.span.0 / Self::DAY.calls as u64 * calls as u64),
            ..Self::DAY
        }
    }

    fn models(self) -> usize {
        (self.channels / CHANNELS_PER_MODEL).max(1)
    }
}

/// The grid of that size.
pub fn bench_grid(size: Size) -> GridRecord {
    let models = size.models();
    let model = |ix: usize| ModelRecord {
        context_tokens: Some(200_000),
        lab: format!("lab{}", ix % LABS).into(),
        licence: None,
        modalities: None,
        name: format!("m{ix}").into(),
        tools: None,
        training_flop: Some("3e24".into()),
        weights: Weights::Open,
    };
    let pool = |ix: usize| PoolRecord {
        limits: Limits::default(),
        models: [ix % models, (ix + 5) % models]
            .into_iter()
            .take(models)
            .map(|model| format!("m{model}").into())
            .collect(),
        name: format!("p{ix}").into(),
        settings: Settings::default(),
    };
    GridRecord {
        channels: (0..models * CHANNELS_PER_MODEL)
            .map(|ix| channel(ix, size))
            .collect(),
        components: BTreeMap::new(),
        labs: (0..LABS)
            .map(|ix| LabRecord {
                jurisdiction: Some("US".into()),
                name: format!("lab{ix}").into(),
            })
            .collect(),
        models: (0..models).map(model).collect(),
        pools: (0..pools(size)).map(pool).collect(),
        prices: BTreeMap::new(),
        settings: Settings::default(),
        t: GRID_V1.into(),
    }
}

/// The same as a snapshot.
pub fn bench_snapshot(record: GridRecord) -> Result<Arc<Snapshot>, String> {
    let bytes = tieline_note::jcs::to_vec(&record).map_err(|error| error.to_string())?;
    let digest = tieline_note::sha256(&bytes).0;
    let snapshot = Snapshot::build(Arc::new(record), digest);
    snapshot.map(Arc::new).map_err(|error| error.to_string())
}

/// A day of calls on that grid. `ruled` is what policy rules on a party's use of a channel's model.
pub fn bench_traffic(size: Size, snapshot: &Snapshot, ruled: &dyn Fn(u32, &str, &str) -> Ruling) -> Traffic {
    let lanes: Vec<(Arc<str>, Arc<str>)> = (snapshot.models.iter())
        .flat_map(|model| model.candidates.iter().map(move |candidate| (candidate, model)))
        .filter_map(|(candidate, model)| {
            let channel = snapshot.channel(candidate.channel)?;
            Some((channel.name.clone(), model.name.clone()))
        })
        .collect();
    let kinds = (0..size.parties.max(1)).map(|party| kind(size, party, snapshot, &lanes, ruled));
    let kinds: Vec<Kind> = kinds.collect();
    let calls = size.calls.min(CALLS_MAX);
    let apart = size.span.0 / (calls.max(1) as u64);
    let call = |ix: usize| call(ix, apart, kinds.len() as u64);
    Traffic {
        basis: Basis::Recorded,
        calls: (0..calls).map(call).collect(),
        classes: vec![None; kinds.len()],
        failures: Vec::new(),
        left_out: 0,
        parties: (0..size.parties.max(1)).map(bench_party).collect(),
        remarks: Vec::new(),
        unknown: 0,
        unreadable: 0,
        warnings: Vec::new(),
        kinds,
        lanes,
    }
}

/// The same calls as the CSV of one's own, in pieces that are made as they are handed out, each with how many calls are in
/// it; so many calls take no memory here.
pub fn bench_lines(size: Size, snapshot: &Snapshot, each: &mut dyn FnMut(&[u8], u64)) {
    let none = Size { calls: 0, ..size };
    let traffic = bench_traffic(none, snapshot, &|_, _, _| Ruling::Allow);
    let calls = size.calls.min(CALLS_MAX);
    let apart = size.span.0 / (calls.max(1) as u64);
    let count = Cell::new(0);
    let calls = (0..calls).map(|ix| {
        count.set(count.get() + 1);
        call(ix, apart, traffic.kinds.len() as u64)
    });
    let _ = traffic.write_those::<Infallible>(calls, &mut |piece| {
        each(piece, count.take());
        Ok(())
    });
}

/// The name of a party of such a day.
pub fn bench_party(ix: u32) -> Arc<str> {
    format!("p_{ix:05}").into()
}

fn pools(size: Size) -> usize {
    size.models() * 2
}

fn channel(ix: usize, size: Size) -> ChannelRecord {
    let model = ix / CHANNELS_PER_MODEL;
    // On average 1,500 tokens of input and 300 of output a call, and as many calls for each model as for any other; each
    // model is the first of two pools.
    let per_minute = (size.calls as u64).saturating_mul(60_000_000) / size.span.0.max(1);
    let of_model = per_minute / (size.models() as u64);
    let worth = |calls: u64| (calls * size.worth / 1_000 / (CHANNELS_PER_MODEL as u64)).max(1);
    ChannelRecord {
        components: vec![
            format!("cloud:{}", ix % 8).into(),
            format!("region:{}", ix % 16).into(),
            format!("lab:{}", model % LABS).into(),
            format!("edge:{}", ix % 4).into(),
            format!("account:{}", (ix / 2) % 8).into(),
        ],
        dialect: Dialect::OpenaiChat,
        limits: Limits::default(),
        media_tokens_max: None,
        models: vec![ServedRecord {
            model: format!("m{model}").into(),
            name: format!("m{model}").into(),
            price: Some(price(ix as u64)),
            price_list: None,
            version: None,
        }],
        name: format!("c{ix}").into(),
        operator_jurisdiction: Some("US".into()),
        provider: "openai-compatible".into(),
        quota: Some(Quota {
            input_tokens_per_minute: Some(worth(of_model * 1_500)),
            model: QuotaModel::Anthropic,
            output_burn: None,
            output_tokens_per_minute: Some(worth(of_model * 1_024)),
            requests_per_minute: u32::try_from(worth(of_model)).ok(),
            tokens_in_flight: None,
            tokens_per_minute: None,
        }),
        region: Some(format!("region-{}", ix % 16).into()),
        region_country: Some("US".into()),
    }
}

fn price(ix: u64) -> Price {
    let usd = 1 + ix % 4;
    Price {
        cache_read: PicoPerToken(usd * 100_000),
        cache_write: PicoPerToken(usd * 1_000_000),
        input: PicoPerToken(usd * 1_000_000),
        output: PicoPerToken(usd * 5_000_000),
        ..Price::default()
    }
}

/// A party asks for one pool.
fn kind(
    size: Size,
    party: u32,
    snapshot: &Snapshot,
    lanes: &[(Arc<str>, Arc<str>)],
    ruled: &dyn Fn(u32, &str, &str) -> Ruling,
) -> Kind {
    let name: Arc<str> = format!("p{}", party as usize % pools(size)).into();
    let asked = snapshot.pool_named(&name).and_then(|ix| snapshot.pool(ix));
    let models: Vec<&Arc<str>> = asked
        .into_iter()
        .flat_map(|pool| pool.models.iter())
        .filter_map(|ix| Some(&snapshot.model(*ix)?.name))
        .collect();
    let of_pool = lanes
        .iter()
        .zip(0_u16..)
        .filter(|((_, model), _)| models.contains(&model));
    Kind {
        ask: Asked::Pool(name),
        criticality: None,
        dialect: Dialect::OpenaiChat,
        end_use: None,
        in_scope: true,
        key_denied: None,
        party,
        rulings: of_pool
            .map(|((channel, model), lane)| (lane, ruled(party, channel, model)))
            .collect(),
    }
}

fn call(ix: usize, apart: u64, kinds: u64) -> TrafficCall {
    let mut draw = Rng::new(Seed(ix as u64));
    let mut below = |n: u64| u32::try_from(draw.draw() % n.max(1)).unwrap_or_default();
    let ttft_us = 200_000 + below(1_000_000);
    let (input, output) = (500 + below(2_000), 50 + below(500));
    TrafficCall {
        at: START.plus(Span(apart * ix as u64 + u64::from(below(apart)))),
        body_bytes: input * 4,
        cost_nano: 0,
        failures: NONE,
        flags: USAGE_KNOWN | STREAMED,
        kind: below(kinds),
        lane: crate::traffic::NO_LANE,
        output_max: NONE,
        result: Outcome::Served,
        tokens: [input, output, 0, 0, 0],
        took_us: ttft_us + output * 20_000,
        ttft_us,
    }
}

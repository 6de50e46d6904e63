//! Grids for tests, and the archive and ledger that hold what is recorded under them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::{
    ChannelRecord, Choice, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::record::{DecisionEntry, OutcomeEntry};
use tieline_core::{Dialect, Digest32, GridRecord, Limits, PicoPerToken, Price, Snapshot};
use tieline_note::jcs;

/// Grids under their digests, and entries in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) blobs: BTreeMap<Digest32, Vec<u8>>,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Ledger {
    /// Archive a grid and open it.
    pub(crate) fn archive(&mut self, record: &GridRecord) -> Arc<Snapshot> {
        let bytes = jcs::to_vec(record).unwrap();
        let digest = tieline_note::sha256(&bytes).0;
        let snapshot = tieline_drill::open_grid(digest, &bytes).unwrap();
        self.blobs.insert(digest, bytes);
        Arc::new(snapshot)
    }

    pub(crate) fn decision(&mut self, entry: &DecisionEntry) {
        self.entries.push(jcs::to_vec(entry).unwrap());
    }

    pub(crate) fn outcome(&mut self, entry: &OutcomeEntry) {
        self.entries.push(jcs::to_vec(entry).unwrap());
    }

    pub(crate) fn replay(&self) -> tieline_drill::ReplayReport {
        let entries = self.entries.iter().cloned();
        let entries = (0..).zip(entries).map(Ok::<_, std::convert::Infallible>);
        tieline_drill::replay(entries, &|digest| self.blobs.get(digest).cloned()).unwrap()
    }

    pub(crate) fn traffic(&self) -> tieline_drill::Traffic {
        let mut reader = tieline_drill::TrafficReader::new();
        for (index, entry) in (0..).zip(&self.entries) {
            reader.entry(index, entry);
        }
        reader.finish()
    }
}

pub(crate) fn channel(name: &str, components: &[&str], models: &[(&str, Option<u64>)]) -> ChannelRecord {
    ChannelRecord {
        components: components.iter().map(|name| Arc::from(*name)).collect(),
        dialect: Dialect::OpenaiChat,
        limits: Limits::default(),
        media_tokens_max: None,
        quota: None,
        models: models.iter().map(|(model, usd)| served(model, *usd)).collect(),
        name: name.into(),
        provider: "openai-compatible".into(),
        region: None,
        operator_jurisdiction: None,
        region_country: None,
    }
}

/// A model at so many USD per million tokens, five times that for output.
fn served(model: &str, usd: Option<u64>) -> ServedRecord {
    ServedRecord {
        price_list: None,
        model: model.into(),
        name: model.into(),
        price: usd.map(|usd| Price {
            cache_read: PicoPerToken(usd * 100_000),
            cache_write: PicoPerToken(usd * 1_000_000),
            input: PicoPerToken(usd * 1_000_000),
            output: PicoPerToken(usd * 5_000_000),
            ..Price::default()
        }),
        version: None,
    }
}

pub(crate) fn model(name: &str, lab: &str) -> ModelRecord {
    ModelRecord {
        lab: lab.into(),
        name: name.into(),
        weights: Weights::Closed,
        ..ModelRecord::default()
    }
}

/// The channels of a model are asked as they stand, so that a loss moves calls to the next.
pub(crate) fn in_order() -> Settings {
    Settings {
        choice: Choice::InOrder,
        ..Settings::default()
    }
}

pub(crate) fn pool(name: &str, models: &[&str]) -> PoolRecord {
    PoolRecord {
        limits: Limits::default(),
        models: models.iter().map(|name| Arc::from(*name)).collect(),
        name: name.into(),
        settings: in_order(),
    }
}

pub(crate) fn lab(name: &str) -> LabRecord {
    LabRecord {
        jurisdiction: None,
        name: name.into(),
    }
}

pub(crate) fn component(name: &str, needs: &[&str]) -> (Arc<str>, Vec<Arc<str>>) {
    (name.into(), needs.iter().map(|name| Arc::from(*name)).collect())
}

/// Two labs on two clouds and a machine of one's own. `sonnet` on three channels, two of them on one cloud; `gpt` on one
/// channel of the other cloud; `small` on one's own machine. `frontier` prefers `sonnet` and falls back to `gpt`;
/// `cheap` is `small` alone. Everything needs the network edge but the own machine; nothing needs `region:spare`.
pub(crate) fn small_grid() -> GridRecord {
    GridRecord {
        channels: vec![
            channel(
                "direct",
                &["lab:anthropic", "edge:cloudflare", "cloud:aws"],
                &[("sonnet", Some(3))],
            ),
            channel(
                "bedrock",
                &["lab:anthropic", "region:aws/us-east-1"],
                &[("sonnet", Some(4))],
            ),
            channel(
                "vertex",
                &["lab:anthropic", "region:gcp/us"],
                &[("sonnet", Some(3))],
            ),
            channel("openai", &["lab:openai", "region:azure/us"], &[("gpt", None)]),
            channel("own", &["host:rack"], &[("small", Some(0))]),
            channel("unused", &["cloud:other"], &[("unasked", Some(9))]),
        ],
        components: BTreeMap::from([
            component("region:aws/us-east-1", &["cloud:aws"]),
            component("region:azure/us", &["cloud:azure"]),
            component("region:gcp/us", &["cloud:gcp", "edge:cloudflare"]),
            component("region:spare", &["cloud:aws"]),
        ]),
        labs: vec![lab("anthropic"), lab("openai"), lab("open")],
        models: vec![
            model("sonnet", "anthropic"),
            model("gpt", "openai"),
            model("small", "open"),
            model("unasked", "open"),
        ],
        pools: vec![
            pool("frontier", &["sonnet", "gpt"]),
            pool("sonnet-only", &["sonnet"]),
            pool("cheap", &["small"]),
        ],
        settings: in_order(),
        prices: std::collections::BTreeMap::new(),
        t: GRID_V1.into(),
    }
}

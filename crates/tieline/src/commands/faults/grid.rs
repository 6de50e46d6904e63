//! The grid of a run: the catalogue's own, or the user's pool with scripted channels where its real ones stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::{
    ChannelRecord, Choice, GRID_V1, LabRecord, ModelRecord, PoolRecord, Resume, ServedRecord, Settings,
    Weights,
};
use tieline_core::{Dialect, GridRecord, Limits, PicoPerToken, Price, ROWS_MAX};

use super::scenario::Form;
use crate::output::{Failure, Result};

/// What the catalogue is run over.
#[derive(Clone, Debug)]
pub(super) struct Base {
    grid: GridRecord,
    /// Whether it is the catalogue's own, for which each expectation is written.
    pub(super) is_own: bool,
}

/// The catalogue's own pool.
const POOL: &str = "work";

/// Limits of time under `--fast`, in ms: what waits ends at once, and what answers on a loaded machine does in time.
const FAST_FIRST_CONTENT_MS: u32 = 500;
const FAST_IDLE_MS: u32 = 500;
const FAST_WHOLE_MS: u32 = 900;
const FAST_CALL_MS: u32 = 30_000;

impl Base {
    /// Two channels of one model, and a third of another model with a larger context.
    pub(super) fn own() -> Self {
        let price = Price {
            input: PicoPerToken(1_000_000),
            output: PicoPerToken(2_000_000),
            ..Price::default()
        };
        let settings = Settings {
            choice: Choice::InOrder,
            ..Settings::default()
        };
        let served = |model: &str| ServedRecord {
            price_list: None,
            model: model.into(),
            name: model.into(),
            price: Some(price),
            version: None,
        };
        let channel = |name: &str, model: &str| ChannelRecord {
            media_tokens_max: None,
            quota: None,
            components: vec![format!("cloud:{name}").into()],
            dialect: Dialect::OpenaiChat,
            limits: Limits::default(),
            models: vec![served(model)],
            name: name.into(),
            operator_jurisdiction: None,
            provider: provider(Dialect::OpenaiChat).into(),
            region: None,
            region_country: None,
        };
        let grid = GridRecord {
            prices: BTreeMap::new(),
            channels: vec![
                channel("first", "model-1"),
                channel("second", "model-1"),
                channel("third", "model-2"),
            ],
            components: BTreeMap::new(),
            labs: vec![LabRecord {
                jurisdiction: Some("FR".into()),
                name: "lab".into(),
            }],
            models: vec![
                model("model-1", Some(8_192), "lab"),
                model("model-2", Some(200_000), "lab"),
            ],
            pools: vec![PoolRecord {
                limits: Limits::default(),
                models: vec!["model-1".into(), "model-2".into()],
                name: POOL.into(),
                settings,
            }],
            settings,
            t: GRID_V1.into(),
        };
        Self { grid, is_own: true }
    }

    /// The user's pool: its models, the first channels that serve them, and its settings.
    pub(super) fn of(theirs: &GridRecord, pool: Option<&str>) -> Result<Self> {
        let named = |record: &&PoolRecord| pool.is_none_or(|name| &*record.name == name);
        let pools: Vec<&str> = theirs.pools.iter().map(|pool| &*pool.name).collect();
        let Some(pool) = theirs.pools.iter().find(named) else {
            return Err(Failure::input("the configuration has no such pool")
                .with_hint(format!("its pools are: {}", pools.join(", "))));
        };
        let mut grid = GridRecord {
            // Numbers of calls, and what they cost, are not what is tried here.
            pools: vec![PoolRecord {
                limits: Limits::default(),
                ..pool.clone()
            }],
            settings: pool.settings,
            ..theirs.clone()
        };
        let is_of_pool = |served: &ServedRecord| pool.models.contains(&served.model);
        for channel in &mut grid.channels {
            channel.models.retain(is_of_pool);
            channel.limits = Limits::default();
            channel.provider = provider(channel.dialect).into();
        }
        grid.channels.retain(|channel| !channel.models.is_empty());
        grid.channels.truncate(ROWS_MAX);
        for model in &mut grid.models {
            // Neither are rules about models.
            model.weights = Weights::Open;
        }
        if grid.channels.is_empty() {
            return Err(Failure::input(format!(
                "no channel serves a model of the pool `{}`",
                pool.name
            )));
        }
        Ok(Self { grid, is_own: false })
    }

    /// The grid of one run.
    pub(super) fn grid(&self, form: Form) -> GridRecord {
        let mut grid = self.grid.clone();
        for pool in &mut grid.pools {
            pool.settings.resume = form.resume;
        }
        if self.is_own {
            for channel in &mut grid.channels {
                channel.dialect = form.dialect;
                channel.provider = provider(form.dialect).into();
            }
        }
        grid
    }

    #[must_use]
    pub(super) fn fast(mut self) -> Self {
        for pool in &mut self.grid.pools {
            pool.settings = fast(pool.settings);
        }
        self
    }

    pub(super) fn pool(&self) -> &str {
        self.grid.pools.first().map_or(POOL, |pool| &pool.name)
    }

    pub(super) fn settings(&self) -> Settings {
        self.grid
            .pools
            .first()
            .map_or(self.grid.settings, |pool| pool.settings)
    }

    pub(super) fn resume(&self) -> Resume {
        self.settings().resume
    }
}

/// A provider of scripted channels for each dialect.
pub(super) const fn provider(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "openai-compatible",
        Dialect::AnthropicMessages => "anthropic-compatible",
    }
}

fn model(name: &str, context_tokens: Option<u32>, lab: &str) -> ModelRecord {
    ModelRecord {
        context_tokens,
        lab: lab.into(),
        name: Arc::from(name),
        weights: Weights::Open,
        ..ModelRecord::default()
    }
}

fn fast(settings: Settings) -> Settings {
    Settings {
        call_ms: settings.call_ms.min(FAST_CALL_MS),
        first_content_ms: settings.first_content_ms.min(FAST_FIRST_CONTENT_MS),
        head_ms: settings.head_ms.min(FAST_FIRST_CONTENT_MS),
        idle_ms: settings.idle_ms.min(FAST_IDLE_MS),
        whole_ms: settings.whole_ms.min(FAST_WHOLE_MS),
        ..settings
    }
}

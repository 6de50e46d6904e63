//! LiteLLM's proxy: `config.yaml` as a configuration of tieline's.
//!
//! A deployment is a channel, a group a pool, a fallback a later model of the pool ([`plan`]); what a channel hangs on is
//! told from its provider, region and address ([`way`], [`provider`]), its model from the names ([`model`]). Models that
//! LiteLLM keeps in its database are in the answer of `GET /model/info`, which may be given as a second file. Bounds:
//! those of [`file`] and [`deployment`] for what is read, and of a grid for what comes out.

mod chain;
mod deployment;
mod diverse;
mod file;
mod model;
mod plan;
mod price;
mod provider;
mod settings;
mod way;
mod write;

use std::collections::BTreeSet;
use std::path::Path;

pub(crate) use file::Read;
pub(crate) use write::Observed;

use self::file::Raw;
use self::plan::Plan;
use super::mapping::{MappedChannel, MappedPool, Mapping, Remarks, short, shown_place};
use crate::diagnose::shown;
use crate::output::{Failure, Result};

/// LiteLLM's files, laid out as a grid.
#[derive(Debug)]
pub(crate) struct Import {
    plan: Plan,
    raw: Raw,
    remarks: Remarks,
}

/// A configuration of tieline's own, and what it was made of.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) mapping: Mapping,
    pub(crate) toml: String,
}

impl Import {
    /// Read the files. `asked` are the names that a log asks for: those that only a pattern of the files knows become pools
    /// too.
    pub(crate) fn open(paths: &[&Path], asked: &BTreeSet<String>, read: &Read<'_>) -> Result<Self> {
        let mut remarks = Remarks::default();
        let raw = file::read(paths, read, &mut remarks)?;
        let plan = plan::plan(&raw, asked, &mut remarks);
        if plan.channels.is_empty() {
            return Err(Failure::input(format!(
                "nothing of {} could be mapped: no deployment stands for a model that can be asked for",
                raw.files.join(", ")
            ))
            .with_hint("a configuration of patterns alone (`model_name: \"*\"`) needs the spend log: --traffic spend.csv"));
        }
        Ok(Self { plan, raw, remarks })
    }

    /// Write the configuration, with the prices that a log's calls agree on where the files state none.
    pub(crate) fn convert(mut self, observed: &Observed) -> Converted {
        let (toml, prices) = write::toml(&self.raw, &self.plan, observed, &mut self.remarks);
        let files = &short(&self.raw.files);
        let model = |ix: usize| self.plan.models.get(ix).map(|model| model.name.clone());
        self.plan.remark_twins(&self.raw, &mut self.remarks);
        let channels = self
            .plan
            .channels
            .iter()
            .zip(prices)
            .map(|(channel, price)| MappedChannel {
                channel: channel.name.clone(),
                components: channel.components.clone(),
                models: channel
                    .served
                    .iter()
                    .filter_map(|served| model(served.model))
                    .collect(),
                place: self
                    .raw
                    .deployments
                    .get(channel.deployment)
                    .map_or_else(String::new, |deployment| shown_place(deployment.place, files)),
                price,
            });
        let pools = self.plan.pools.iter().map(|pool| MappedPool {
            asked: shown(&pool.asked).into_owned(),
            models: pool.models.iter().filter_map(|ix| model(*ix)).collect(),
            place: shown_place(pool.place, files),
            pool: pool.name.clone(),
            ways: pool.ways,
        });
        let (channels, pools) = (channels.collect(), pools.collect());
        let (assumed, not_mapped) = self.remarks.finish(files);
        Converted {
            mapping: Mapping {
                assumed,
                channels,
                files: self.raw.files,
                gateway: "LiteLLM",
                not_mapped,
                pools,
                traffic: None,
            },
            toml,
        }
    }
}

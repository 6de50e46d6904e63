//! What can be bought, and a grid with some of it in it. An offered channel is asked after those of the grid that serve
//! the same model, where they are asked in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::ChannelRecord;
use tieline_core::{GridRecord, Limits, Nano, Quota, Snapshot};

/// Offers, and the components that they bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Components that the grid does not have, and what they need.
    pub components: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    pub offers: Vec<Offer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub change: Change,
    pub cost_nano_per_month: Nano,
    /// The day of the source, such as `2026-11-20`.
    pub date: Arc<str>,
    pub kind: OfferKind,
    /// From the order to the first call.
    pub lead_days: u32,
    pub name: Arc<str>,
    pub source: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferKind {
    Contract,
    Quota,
    SelfHosted,
    Standby,
}

/// What an offer adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Channel(Box<ChannelRecord>),
    Raise(Box<Raise>),
}

/// Limits of a channel of the grid, as they would be; those that are absent stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    pub channel: Arc<str>,
    pub limits: Limits,
    pub quota: Option<Quota>,
}

impl OfferKind {
    /// As it reads in a table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Quota => "quota",
            Self::SelfHosted => "self-hosted",
            Self::Standby => "standby",
        }
    }
}

impl Catalogue {
    /// The models of the offered channels, by the names of channel and model.
    pub fn lanes(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let channels = self.offers.iter().filter_map(|offer| match &offer.change {
            Change::Channel(channel) => Some(channel),
            Change::Raise(_) => None,
        });
        let lanes = channels.flat_map(|channel| {
            let served = channel.models.iter();
            served.map(|served| (channel.name.clone(), served.model.clone()))
        });
        lanes.collect()
    }

    /// A grid with the offers at these places in it; the error says why it cannot hold them.
    pub fn with(&self, grid: &GridRecord, set: &[usize]) -> Result<Snapshot, String> {
        let mut record = grid.clone();
        for offer in set.iter().filter_map(|ix| self.offers.get(*ix)) {
            match &offer.change {
                Change::Channel(channel) => {
                    self.bring(&mut record, &channel.components);
                    record.channels.push((**channel).clone());
                }
                Change::Raise(raise) => raise.apply(&mut record),
            }
        }
        let bytes = tieline_note::jcs::to_vec(&record).map_err(|error| error.to_string())?;
        let digest = tieline_note::sha256(&bytes).0;
        Snapshot::build(Arc::new(record), digest).map_err(|error| error.to_string())
    }

    /// Add what components need, as far as the catalogue says it. Each of its entries is added once.
    fn bring(&self, record: &mut GridRecord, components: &[Arc<str>]) {
        let mut open = components.to_vec();
        while let Some(name) = open.pop() {
            let needs = self.components.get(&name);
            let Some(needs) = needs.filter(|_| !record.components.contains_key(&name)) else {
                continue;
            };
            open.extend(needs.iter().cloned());
            record.components.insert(name, needs.clone());
        }
    }
}

impl Raise {
    /// Of two raises of one limit the higher counts.
    fn apply(&self, record: &mut GridRecord) {
        let mut channels = record.channels.iter_mut();
        let Some(channel) = channels.find(|channel| channel.name == self.channel) else {
            return;
        };
        let (limits, to) = (&mut channel.limits, &self.limits);
        raise(&mut limits.concurrency, to.concurrency);
        raise(&mut limits.requests_per_day, to.requests_per_day);
        raise(&mut limits.requests_per_minute, to.requests_per_minute);
        raise(&mut limits.tokens_per_day, to.tokens_per_day);
        raise(&mut limits.tokens_per_minute, to.tokens_per_minute);
        if let (Some(quota), Some(to)) = (&mut channel.quota, &self.quota) {
            raise(&mut quota.input_tokens_per_minute, to.input_tokens_per_minute);
            raise(&mut quota.output_tokens_per_minute, to.output_tokens_per_minute);
            raise(&mut quota.requests_per_minute, to.requests_per_minute);
            raise(&mut quota.tokens_in_flight, to.tokens_in_flight);
            raise(&mut quota.tokens_per_minute, to.tokens_per_minute);
        }
    }
}

/// A limit that is not stated does not bind, and stays so.
fn raise<T: Copy + Ord>(limit: &mut Option<T>, to: Option<T>) {
    if let (Some(limit), Some(to)) = (limit.as_mut(), to) {
        *limit = (*limit).max(to);
    }
}

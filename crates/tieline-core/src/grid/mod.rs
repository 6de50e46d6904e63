//! The grid: labs, models, channels, what they depend on, and the pools that applications ask for. [`GridRecord`] is the
//! archived form by names, [`Snapshot`] the resolved form by indexes that decisions read.

mod record;
mod snapshot;

pub use record::{
    ChannelRecord, Choice, GRID_V1, GridRecord, LabRecord, Modality, ModelRecord, PoolRecord,
    PriceListRecord, RecordMode, Resume, ServedRecord, Settings, UnknownPrice, Weights,
};
pub use snapshot::{
    CHANNELS_MAX, COMPONENTS_MAX, Candidate, Channel, ChannelIx, ComponentIx, ComponentSet, GridError, Model,
    ModelIx, Pool, PoolIx, Served, Snapshot,
};

#[cfg(test)]
pub(crate) mod tests;

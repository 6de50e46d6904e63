//! The tables of a catalogue for `tieline drill plan`: what can be bought.

use toml::de::DeTable;

use super::reader::{At, Entries, raw_choice, raw_table, read_fields};
use super::shape::{RawChannel, RawComponent, RawLimits, RawQuota};
use crate::diagnose::Sink;

/// Read the tables of a document.
pub(super) fn read(table: &DeTable<'_>, sink: &mut Sink) -> RawCatalogue {
    read_fields(table, sink)
}

raw_table! {
    /// What can be bought, each with what it costs and who says so.
    RawCatalogue {
        /// Components that the grid does not have, as in the configuration. What an offer names must be in one of the two.
        components: Entries<RawComponent>,
        /// The offers, by name.
        offers: Entries<RawOffer>,
    }

    RawOffer {
        /// What it is. Default: `quota` for a raise, else `contract`.
        kind: RawOfferKind,
        /// USD a month, whether used or not, as a decimal string such as "2500.00". Calls are paid beside it.
        cost_per_month: String,
        /// Days from the order to the first call; 0 to 3,650.
        lead_days: u64,
        /// Where the offer is from: a quotation, a URL, an estimate.
        source: String,
        /// The day of the source, such as "2026-11-20".
        date: String,
        /// A channel, as it would stand under `[channels]`; it is called as the offer is. Either this or `raise`.
        channel: RawChannel,
        /// Higher limits of a channel of the grid.
        raise: RawRaise,
    }

    RawRaise {
        /// The channel.
        channel: String,
        /// Its `limits` as they would be; those that are left out stay.
        limits: RawLimits,
        /// Its `quota` as it would be, by the same rules; what is left out stays.
        quota: RawQuota,
    }
}

raw_choice! {
    RawOfferKind {
        /// A contract with whoever runs the channel.
        Contract "contract",
        /// A higher limit.
        Quota "quota",
        /// Machines of one's own.
        SelfHosted "self_hosted",
        /// Capacity that is kept for the day it is needed.
        Standby "standby",
    }
}

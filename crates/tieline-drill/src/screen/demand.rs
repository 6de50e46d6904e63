//! What calls ask of channels, period by period: of each class of calls the busiest minute of each bin, and the sum of each
//! day. A period holds the most that any minute in it asks, so a longer period only sees more.
//!
//! Bounds: [`CELLS_MAX`] cells; bins grow longer until they fit.

use std::collections::BTreeMap;

use tieline_core::{ChannelClaim, Quota, QuotaModel, Snapshot};

use crate::traffic::{NONE, Traffic, TrafficCall};

/// What is counted of calls, and limited of channels.
pub(super) const RESOURCES: usize = 8;
pub(super) const REQUESTS: usize = 0;
const TOKENS: usize = 1;
const INPUT: usize = 2;
const OUTPUT: usize = 3;
const IN_FLIGHT: usize = 4;
const TOKENS_IN_FLIGHT: usize = 5;
const REQUESTS_OF_DAY: usize = 6;
const TOKENS_OF_DAY: usize = 7;

pub(super) type Amounts = [u64; RESOURCES];

/// Five minutes.
const BIN_MINUTES: u64 = 5;
const DAY_MINUTES: u64 = 24 * 60;
const MINUTE_US: u64 = 60_000_000;

/// Cells of one screen: 2^20 of 72 bytes are 72 MiB. A day has 288 bins, so 3,640 classes of calls fit.
const CELLS_MAX: u64 = 1 << 20;

/// What one class asks in one period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) class: u32,
    pub(super) amounts: Amounts,
}

/// What all classes ask, period by period.
pub(super) struct Demand(pub(super) Vec<Vec<Cell>>);

impl Demand {
    /// `class` says of which class a call is, if any channel is asked for it; `output_max` what its answers may have.
    pub(super) fn new(
        traffic: &Traffic,
        classes: usize,
        burn_max: u64,
        class: &dyn Fn(&TrafficCall) -> Option<u32>,
        output_max: &dyn Fn(&TrafficCall) -> Option<u64>,
    ) -> Self {
        let minute = |us: u64| us / MINUTE_US;
        let first = traffic.calls.first().map_or(0, |call| minute(call.at.0));
        let last = traffic.calls.last().map_or(0, |call| minute(call.at.0));
        let bins_max = (CELLS_MAX / (classes.max(1) as u64)).max(1);
        let bin_minutes = BIN_MINUTES.max((last - first + 1).div_ceil(bins_max));
        let mut gather = Gather {
            bin_minutes,
            bins: BTreeMap::new(),
            days: BTreeMap::new(),
            first,
            minutes: BTreeMap::new(),
        };
        for call in &traffic.calls {
            let begun = minute(call.at.0);
            gather.close(begun);
            if let Some(class) = class(call) {
                let ended = minute(call.at.0.saturating_add(call.took_us.into()));
                gather.take(class, begun..=ended, asks(call, burn_max, output_max(call)));
            }
        }
        gather.close(u64::MAX);
        let mut periods: BTreeMap<(u8, u64), Vec<Cell>> = BTreeMap::new();
        let bins = gather.bins.into_iter().map(|(at, amounts)| ((0, at), amounts));
        let days = gather.days.into_iter().map(|(at, amounts)| ((1, at), amounts));
        for ((kind, (period, class)), amounts) in bins.chain(days) {
            let cells = periods.entry((kind, period)).or_default();
            cells.push(Cell { class, amounts });
        }
        Self(periods.into_values().collect())
    }
}

/// Sums on their way into periods.
struct Gather {
    bin_minutes: u64,
    bins: BTreeMap<(u64, u32), Amounts>,
    days: BTreeMap<(u64, u32), Amounts>,
    first: u64,
    /// The minutes that calls may still fall into: an answer lasts 71 minutes at most.
    minutes: BTreeMap<(u64, u32), Amounts>,
}

impl Gather {
    /// A call began in the first of these minutes and was under way in all of them.
    fn take(&mut self, class: u32, minutes: std::ops::RangeInclusive<u64>, asks: Amounts) {
        let begun = *minutes.start();
        for minute in minutes {
            let amounts = self.minutes.entry((minute, class)).or_default();
            for (ix, (sum, ask)) in amounts.iter_mut().zip(asks).enumerate() {
                // What flows is asked for once, what is held for as long as the call lasts.
                if minute == begun || ix >= IN_FLIGHT {
                    *sum = sum.saturating_add(ask);
                }
            }
        }
    }

    /// Nothing falls into the minutes before this one any more.
    fn close(&mut self, minute: u64) {
        while let Some(entry) = self.minutes.first_entry().filter(|entry| entry.key().0 < minute) {
            let (at, class) = *entry.key();
            let amounts = entry.remove();
            let since = at.saturating_sub(self.first);
            let bin = self.bins.entry((since / self.bin_minutes, class)).or_default();
            for (most, amount) in bin.iter_mut().zip(amounts).take(REQUESTS_OF_DAY) {
                *most = (*most).max(amount);
            }
            let day = self.days.entry((since / DAY_MINUTES, class)).or_default();
            let [requests, tokens, ..] = amounts;
            for (ix, amount) in [(REQUESTS_OF_DAY, requests), (TOKENS_OF_DAY, tokens)] {
                if let Some(sum) = day.get_mut(ix) {
                    *sum = sum.saturating_add(amount);
                }
            }
        }
    }
}

/// The most that one call asks of any channel: what is reserved for it or what it used, whichever is more.
fn asks(call: &TrafficCall, burn_max: u64, output_max: Option<u64>) -> Amounts {
    let output_max = (call.output_max != NONE)
        .then(|| u64::from(call.output_max))
        .or(output_max);
    let output_max = output_max.unwrap_or(ChannelClaim::OUTPUT_ASSUMED);
    let claim = ChannelClaim::of_request(call.body_bytes.into(), output_max);
    let used = call.usage().unwrap_or_default();
    let input = claim.input.max(used.prompt());
    let output = output_max.max(used.answer());
    let burnt = used
        .prompt()
        .saturating_add(used.answer().saturating_mul(burn_max));
    let tokens = input.saturating_add(output).max(burnt);
    [1, tokens, input, output, 1, input.saturating_add(output), 0, 0]
}

/// What each channel of a grid can take of each resource; none where it states no limit. A channel that counts requests
/// over ten seconds has a sixth of its minute's.
pub(super) fn capacities(snapshot: &Snapshot) -> Vec<[Option<u64>; RESOURCES]> {
    let of_channel = |channel: &tieline_core::grid::Channel| {
        let limits = &channel.limits;
        let mut capacity = [None; RESOURCES];
        let mut limit = |resource: usize, most: Option<u64>| {
            if let (Some(place), Some(most)) = (capacity.get_mut(resource), most) {
                *place = Some(place.map_or(most, |known: u64| known.min(most)));
            }
        };
        limit(REQUESTS, limits.requests_per_minute.map(u64::from));
        limit(TOKENS, limits.tokens_per_minute);
        limit(IN_FLIGHT, limits.concurrency.map(u64::from));
        limit(REQUESTS_OF_DAY, limits.requests_per_day.map(u64::from));
        limit(TOKENS_OF_DAY, limits.tokens_per_day);
        if let Some(quota) = channel.quota.filter(|quota| quota.model != QuotaModel::Vertex) {
            let per_window = if quota.model == QuotaModel::Azure { 6 } else { 1 };
            let requests = quota.requests_per_minute.map(u64::from);
            limit(REQUESTS, requests.map(|requests| requests / per_window));
            limit(TOKENS, quota.tokens_per_minute);
            limit(INPUT, quota.input_tokens_per_minute);
            limit(OUTPUT, quota.output_tokens_per_minute);
            limit(TOKENS_IN_FLIGHT, quota.tokens_in_flight);
        }
        capacity
    };
    snapshot.channels.iter().map(of_channel).collect()
}

/// What a token of output weighs at most.
pub(super) fn burn_max(snapshot: &Snapshot) -> u64 {
    let burn = |quota: Quota| quota.output_burn;
    let burns = snapshot
        .channels
        .iter()
        .filter_map(|channel| channel.quota.and_then(burn));
    burns.max().map_or(1, u64::from)
}

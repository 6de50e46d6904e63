//! Another grid: prices multiplied, quotas changed, models withdrawn. Each change is made on the record, and the record is
//! resolved as any other.

use std::sync::Arc;

use tieline_core::grid::{ChannelRecord, ServedRecord};
use tieline_core::{GridRecord, Limits, PicoPerToken, Price, Quota, Rates, Snapshot, Tier, Tiers};

use super::{Allowance, QuotaChange, ServedOf, scaled};
use crate::timeline::Permille;

/// One change of the record.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Price { of: ServedOf, times: Permille },
    Quota { channel: Arc<str>, change: QuotaChange },
    Withdraw(ServedOf),
}

/// The (channel, model) pairs of a selection, by name.
pub fn served_by(base: &Snapshot, of: &ServedOf) -> Vec<(Arc<str>, Arc<str>)> {
    let channels = base.record.channels.iter();
    channels
        .flat_map(|channel| {
            let models = channel
                .models
                .iter()
                .filter(|served| selects(base, of, channel, served));
            models.map(|served| (channel.name.clone(), served.model.clone()))
        })
        .collect()
}

/// Those of a selection whose price is not known.
pub(super) fn unpriced(base: &Snapshot, of: &ServedOf) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    let all = served_by(base, of).into_iter();
    all.filter(|(channel, model)| {
        let on = base.record.channels.iter().find(|record| record.name == *channel);
        let mut served = on.iter().flat_map(|record| &record.models);
        served.any(|served| served.model == *model && served.price.is_none())
    })
}

/// The record of `base` with these changes, in their order.
pub(super) fn changed(base: &Snapshot, changes: &[&Change]) -> GridRecord {
    let mut record = GridRecord::clone(&base.record);
    for channel in &mut record.channels {
        for change in changes {
            apply(base, channel, change);
        }
    }
    record
}

fn apply(base: &Snapshot, channel: &mut ChannelRecord, change: &Change) {
    match change {
        Change::Price { of, times } => {
            let ours: Vec<bool> = channel
                .models
                .iter()
                .map(|s| selects(base, of, channel, s))
                .collect();
            for (served, _) in channel.models.iter_mut().zip(ours).filter(|(_, ours)| *ours) {
                served.price = served.price.as_ref().map(|price| dearer(price, *times));
                served.price_list = None;
            }
        }
        Change::Quota {
            channel: name,
            change,
        } if *name == channel.name => {
            (channel.limits, channel.quota) = allowed(channel.limits, channel.quota, *change);
        }
        Change::Quota { .. } => {}
        Change::Withdraw(of) => {
            let kept = channel.models.iter().filter(|s| !selects(base, of, channel, s));
            channel.models = kept.cloned().collect();
        }
    }
}

fn selects(base: &Snapshot, of: &ServedOf, channel: &ChannelRecord, served: &ServedRecord) -> bool {
    let is = |wanted: &Option<Arc<str>>, name: &Arc<str>| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let needs = |component: &Arc<str>| {
        let ix = base.component_named(component);
        let on = base.channel_named(&channel.name).and_then(|ix| base.channel(ix));
        ix.zip(on).is_some_and(|(ix, on)| on.components.contains(ix))
    };
    let by_lab = |lab: &Arc<str>| {
        let model = base.record.models.iter().find(|model| model.name == served.model);
        model.is_some_and(|model| model.lab == *lab)
    };
    is(&of.channel, &channel.name)
        && (of.models.is_empty() || of.models.contains(&served.model))
        && of.lab.as_ref().is_none_or(by_lab)
        && of.component.as_ref().is_none_or(needs)
}

/// Every rate multiplied. A rate beyond what a price can be stays at that: no list price comes near it.
fn dearer(price: &Price, times: Permille) -> Price {
    const PICO_MAX: u64 = (1 << 53) - 1;
    let rate = |rate: PicoPerToken| PicoPerToken(scaled(rate.0, times).min(PICO_MAX));
    let tier = |tier: &Tier| Tier {
        over: tier.over,
        rates: Rates {
            audio: tier.rates.audio.map(rate),
            audio_output: tier.rates.audio_output.map(rate),
            cache_read: rate(tier.rates.cache_read),
            cache_write: rate(tier.rates.cache_write),
            image: tier.rates.image.map(rate),
            input: rate(tier.rates.input),
            output: rate(tier.rates.output),
            reasoning: tier.rates.reasoning.map(rate),
        },
    };
    // As many tiers as before, with the thresholds that they had.
    let tiers = Tiers::new(price.tiers.iter().map(tier).collect()).unwrap_or(price.tiers);
    Price {
        audio: price.audio.map(rate),
        audio_output: price.audio_output.map(rate),
        cache_read: rate(price.cache_read),
        cache_write: rate(price.cache_write),
        image: price.image.map(rate),
        input: rate(price.input),
        output: rate(price.output),
        reasoning: price.reasoning.map(rate),
        tiers,
    }
}

fn allowed(limits: Limits, quota: Option<Quota>, change: QuotaChange) -> (Limits, Option<Quota>) {
    match change {
        QuotaChange::Set(allowance) => (
            set(limits, allowance),
            quota.map(|quota| without(quota, allowance)),
        ),
        QuotaChange::Times(times) => {
            let small = |number: u32| u32::try_from(scaled(number.into(), times).max(1)).unwrap_or(u32::MAX);
            let large = |number: u64| scaled(number, times).max(1);
            let limits = Limits {
                concurrency: limits.concurrency.map(small),
                requests_per_day: limits.requests_per_day.map(small),
                requests_per_minute: limits.requests_per_minute.map(small),
                tokens_per_day: limits.tokens_per_day.map(large),
                tokens_per_minute: limits.tokens_per_minute.map(large),
                ..limits
            };
            let quota = quota.map(|quota| Quota {
                input_tokens_per_minute: quota.input_tokens_per_minute.map(large),
                output_tokens_per_minute: quota.output_tokens_per_minute.map(large),
                requests_per_minute: quota.requests_per_minute.map(small),
                tokens_in_flight: quota.tokens_in_flight.map(large),
                tokens_per_minute: quota.tokens_per_minute.map(large),
                ..quota
            });
            (limits, quota)
        }
    }
}

fn set(limits: Limits, allowance: Allowance) -> Limits {
    Limits {
        concurrency: allowance.concurrency.or(limits.concurrency),
        requests_per_minute: allowance.requests_per_minute.or(limits.requests_per_minute),
        tokens_per_minute: allowance.tokens_per_minute.or(limits.tokens_per_minute),
        ..limits
    }
}

/// The operator's quota without what is set elsewhere, so that one number counts and not the lesser of two.
const fn without(quota: Quota, allowance: Allowance) -> Quota {
    Quota {
        requests_per_minute: match allowance.requests_per_minute {
            Some(_) => None,
            None => quota.requests_per_minute,
        },
        tokens_per_minute: match allowance.tokens_per_minute {
            Some(_) => None,
            None => quota.tokens_per_minute,
        },
        ..quota
    }
}

/// Whether a channel states how much it may carry.
pub(super) fn is_limited(channel: &ChannelRecord) -> bool {
    let limits = &channel.limits;
    let counted = [
        limits.requests_per_day,
        limits.requests_per_minute,
        limits.concurrency,
    ];
    let tokens = [limits.tokens_per_day, limits.tokens_per_minute];
    let quota = channel.quota.iter().any(|quota| {
        let of_tokens = [
            quota.input_tokens_per_minute,
            quota.output_tokens_per_minute,
            quota.tokens_in_flight,
            quota.tokens_per_minute,
        ];
        quota.requests_per_minute.is_some() || of_tokens.iter().any(Option::is_some)
    });
    quota || counted.iter().any(Option::is_some) || tokens.iter().any(Option::is_some)
}

//! A grid whose channels are worth less than they state: what is left of a cloud in an hour in which everybody moves to it.

use std::sync::Arc;

use tieline_core::{Limits, Quota, Snapshot};

use crate::timeline::Permille;

/// The grid with every limit of a channel at so many thousandths; a limit does not fall to nothing by it. None if the grid
/// cannot be written, which a grid that was read can.
pub(crate) fn derated(snapshot: &Snapshot, permille: Permille) -> Option<Arc<Snapshot>> {
    let mut record = (*snapshot.record).clone();
    for channel in &mut record.channels {
        limits(&mut channel.limits, permille);
        if let Some(quota) = &mut channel.quota {
            limits_of_quota(quota, permille);
        }
    }
    let bytes = tieline_note::jcs::to_vec(&record).ok()?;
    let digest = tieline_note::sha256(&bytes).0;
    Snapshot::build(Arc::new(record), digest).ok().map(Arc::new)
}

fn limits(limits: &mut Limits, permille: Permille) {
    narrow(&mut limits.concurrency, permille);
    narrow(&mut limits.requests_per_day, permille);
    narrow(&mut limits.requests_per_minute, permille);
    wide(&mut limits.tokens_per_day, permille);
    wide(&mut limits.tokens_per_minute, permille);
}

fn limits_of_quota(quota: &mut Quota, permille: Permille) {
    wide(&mut quota.input_tokens_per_minute, permille);
    wide(&mut quota.output_tokens_per_minute, permille);
    narrow(&mut quota.requests_per_minute, permille);
    wide(&mut quota.tokens_in_flight, permille);
    wide(&mut quota.tokens_per_minute, permille);
}

fn wide(limit: &mut Option<u64>, permille: Permille) {
    *limit = limit.map(|limit| part(limit, permille));
}

fn narrow(limit: &mut Option<u32>, permille: Permille) {
    *limit = limit.map(|limit| u32::try_from(part(limit.into(), permille)).unwrap_or(u32::MAX));
}

fn part(limit: u64, permille: Permille) -> u64 {
    let part = u128::from(limit) * u128::from(permille) / 1_000;
    // A limit of nothing was stated as one.
    u64::try_from(part).unwrap_or(u64::MAX).max(limit.min(1))
}

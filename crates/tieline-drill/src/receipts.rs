//! Receipts of pool tests, read out of a ledger: which model may stand in for the others of its pool, because it was
//! tested there. A call that moves to a model without a passing receipt for its pool is degraded.
//!
//! The newest receipt of a model in a pool counts, whatever it says; older ones are history. A pool or model that the grid
//! does not have any more counts for nothing. An entry that cannot be read is counted, and stands for no receipt: unknown
//! is never a pass. Bounds: one line of some hundred bytes for each (pool, model) that was ever tested, at most
//! [`TESTED_MAX`] of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::receipt::{PoolTestReceipt, RECEIPT_V1, Receipt, ReceiptEntry};
use tieline_core::{GridRecord, Tick};

/// Pairs of pool and model: 4,096 pools of 8 models each are 32,768; twice that, for those that were renamed.
pub const TESTED_MAX: usize = 1 << 16;

/// The newest receipt of each model in each pool.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    newest: BTreeMap<(Arc<str>, Arc<str>), Tested>,
    /// Receipts that could not be read, or were beyond [`TESTED_MAX`].
    unreadable: u64,
}

/// A receipt and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    pub at: Tick,
    /// Index of its entry in the ledger.
    pub index: u64,
    pub receipt: PoolTestReceipt,
}

#[derive(Deserialize)]
struct Head<'e> {
    #[serde(borrow)]
    t: Cow<'e, str>,
}

impl Receipts {
    pub fn new() -> Self {
        Self::default()
    }

    /// Take the next entry of the ledger; entries of other types change nothing.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        let Ok(Head { t }) = serde_json::from_slice(bytes) else {
            return;
        };
        if t != RECEIPT_V1 {
            self.unreadable += u64::from(t.starts_with("tieline/receipt/"));
            return;
        }
        match serde_json::from_slice::<ReceiptEntry>(bytes) {
            Ok(entry) if entry.body.check().is_ok() => {
                if let Receipt::PoolTest(receipt) = entry.body {
                    self.put(entry.at, index, receipt);
                }
            }
            _ => self.unreadable += 1,
        }
    }

    /// Only what this grid still has: pools, and models that are in them.
    #[must_use]
    pub fn within(mut self, grid: &GridRecord) -> Self {
        self.newest.retain(|(pool, model), _| {
            let pool = grid.pools.iter().find(|known| known.name == *pool);
            pool.is_some_and(|pool| pool.models.contains(model))
        });
        self
    }

    /// Whether the newest receipt of this model in this pool says that it met every case.
    pub fn passes(&self, pool: &str, model: &str) -> bool {
        self.of(pool, model)
            .is_some_and(|tested| tested.receipt.is_pass())
    }

    /// The newest receipt of this model in this pool.
    pub fn of(&self, pool: &str, model: &str) -> Option<&Tested> {
        if self.newest.is_empty() {
            return None;
        }
        self.newest.get(&(pool.into(), model.into()))
    }

    /// Receipts that could not be read.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// In the order of the ledger, so the later one replaces the earlier: its time is that of a clock, and may step back.
    fn put(&mut self, at: Tick, index: u64, receipt: PoolTestReceipt) {
        let key = (receipt.pool.clone(), receipt.model.clone());
        if self.newest.len() >= TESTED_MAX && !self.newest.contains_key(&key) {
            self.unreadable += 1;
            return;
        }
        self.newest.insert(key, Tested { at, index, receipt });
    }
}

#[cfg(test)]
mod tests {
    use tieline_core::CallId;
    use tieline_core::grid::{GRID_V1, PoolRecord};
    use tieline_core::record::Hex32;

    use super::*;

    fn tested(pool: &str, model: &str, failed: &[&str]) -> PoolTestReceipt {
        PoolTestReceipt {
            by: None,
            cases: Hex32([1; 32]),
            channels: vec!["east".into()],
            failed: failed.iter().map(|name| Arc::from(*name)).collect(),
            grid: Hex32([2; 32]),
            judges: Vec::new(),
            model: model.into(),
            passed: 3,
            pool: pool.into(),
            total: 3 + u32::try_from(failed.len()).unwrap(),
        }
    }

    fn bytes(receipt: PoolTestReceipt) -> Vec<u8> {
        let entry = ReceiptEntry {
            at: Tick(7),
            body: Receipt::PoolTest(receipt),
            id: CallId::new(Tick(7), 7),
            t: RECEIPT_V1.into(),
        };
        serde_json::to_vec(&entry).unwrap()
    }

    fn grid(pools: &[(&str, &[&str])]) -> GridRecord {
        let pool = |(name, models): &(&str, &[&str])| PoolRecord {
            limits: tieline_core::Limits::default(),
            models: models.iter().map(|model| Arc::from(*model)).collect(),
            name: (*name).into(),
            settings: tieline_core::grid::Settings::default(),
        };
        GridRecord {
            pools: pools.iter().map(pool).collect(),
            t: GRID_V1.into(),
            ..GridRecord::default()
        }
    }

    /// `+pool/model` is a receipt that passes, `-pool/model` one that fails; then what passes.
    #[track_caller]
    fn check(ledger: &[&str], expected: &[(&str, bool)]) {
        let mut receipts = Receipts::new();
        for (index, line) in (0..).zip(ledger) {
            let (sign, of) = line.split_at(1);
            let (pool, model) = of.split_once('/').unwrap();
            let failed: &[&str] = if sign == "+" { &[] } else { &["sum"] };
            receipts.entry(index, &bytes(tested(pool, model, failed)));
        }
        let receipts = receipts.within(&grid(&[("chat", &["a", "b"]), ("code", &["b"])]));
        for (of, passes) in expected {
            let (pool, model) = of.split_once('/').unwrap();
            assert_eq!(receipts.passes(pool, model), *passes, "{of} after {ledger:?}");
        }
    }

    #[test]
    fn the_newest_receipt_of_a_model_in_its_pool_counts() {
        check(&[], &[("chat/a", false)]);
        check(
            &["+chat/a"],
            &[("chat/a", true), ("chat/b", false), ("code/b", false)],
        );
        check(&["+chat/a", "-chat/a"], &[("chat/a", false)]);
        check(
            &["-chat/a", "-chat/b", "+chat/a"],
            &[("chat/a", true), ("chat/b", false)],
        );
        check(&["+chat/b", "-code/b"], &[("chat/b", true), ("code/b", false)]);
    }

    #[test]
    fn what_the_grid_does_not_have_counts_for_nothing() {
        check(
            &["+chat/c", "+gone/a", "+code/a"],
            &[("chat/c", false), ("gone/a", false), ("code/a", false)],
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_pass() {
        let good = String::from_utf8(bytes(tested("chat", "a", &[]))).unwrap();
        for (text, unreadable) in [
            (good.clone(), 0),
            (good.replace("receipt/v1", "receipt/v2"), 1),
            (good.replace(r#""total":3"#, r#""total":4"#), 1),
            (good.replace(r#""kind":"pool_test""#, r#""kind":"else""#), 1),
            (good.replace("tieline/receipt/v1", "tieline/start/v1"), 0),
            ("no JSON".to_owned(), 0),
        ] {
            let mut receipts = Receipts::new();
            receipts.entry(0, text.as_bytes());
            assert_eq!(receipts.unreadable(), unreadable, "{text}");
            assert_eq!(receipts.passes("chat", "a"), text == good, "{text}");
        }
    }
}

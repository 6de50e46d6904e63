//! Receipts of pool tests, read out of a ledger: which model may stand in for the others of its pool, because it was
//! tested there. A call that moves to a model without a passing receipt for its pool is degraded.
//!
//! The newest receipt of a model in a pool counts, whatever it says; older ones are history. A pool or model that the grid
//! does not have any more counts for nothing, and so does a receipt of what the grid then called by that name: see
//! [`Receipts::within`]. An entry that cannot be read is counted, and stands for no receipt: unknown is never a pass.
//! Bounds: one line of some hundred bytes for each (pool, model) that was ever tested, at most [`TESTED_MAX`] of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::grid::ChannelRecord;
use tieline_core::receipt::{PoolTestReceipt, RECEIPT_V1, Receipt, ReceiptEntry};
use tieline_core::record::Hex32;
use tieline_core::{Dialect, GridRecord, Tick};

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
    /// The model was another then, or nobody can say what it was: it has to be tested again.
    pub is_outdated: bool,
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

    /// Only what this grid still has: pools, and models that are in them. What was tested under a grid that is not
    /// archived, or that states the model or a channel of it otherwise, is outdated. Each archived grid is asked for once.
    #[must_use]
    pub fn within(
        mut self,
        grid: &GridRecord,
        mut archived: impl FnMut(Hex32) -> Option<Arc<GridRecord>>,
    ) -> Self {
        self.newest.retain(|(pool, model), _| {
            let pool = grid.pools.iter().find(|known| known.name == *pool);
            pool.is_some_and(|pool| pool.models.contains(model))
        });
        let mut tested: Vec<&mut Tested> = self.newest.values_mut().collect();
        tested.sort_by_key(|tested| tested.receipt.grid.0);
        let mut open: Option<(Hex32, Option<Arc<GridRecord>>)> = None;
        for tested in tested {
            let digest = tested.receipt.grid;
            if open.as_ref().is_none_or(|(of, _)| *of != digest) {
                open = Some((digest, archived(digest)));
            }
            let then = open.as_ref().and_then(|(_, then)| then.as_deref());
            tested.is_outdated = !then.is_some_and(|then| is_as_tested(then, grid, &tested.receipt));
        }
        self
    }

    /// Whether the newest receipt of this model in this pool says that it met every case, and is not outdated.
    pub fn passes(&self, pool: &str, model: &str) -> bool {
        self.of(pool, model)
            .is_some_and(|tested| !tested.is_outdated && tested.receipt.is_pass())
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
        let tested = Tested {
            at,
            index,
            is_outdated: false,
            receipt,
        };
        self.newest.insert(key, tested);
    }
}

/// Whether a grid still means by the model what the one meant that it was tested under: stated alike, under the same name
/// and version on each channel that both have it on, and still on one of the channels that answered.
fn is_as_tested(then: &GridRecord, now: &GridRecord, receipt: &PoolTestReceipt) -> bool {
    let model = |grid: &GridRecord| {
        let model = grid.models.iter().find(|model| model.name == receipt.model)?;
        let takes = (model.context_tokens, model.modalities.clone(), model.tools);
        Some((model.lab.clone(), model.weights, takes))
    };
    let (before, after) = (served(then, &receipt.model), served(now, &receipt.model));
    let is_alike = |(channel, of): (&&str, &Served<'_>)| before.get(channel).is_none_or(|was| was == of);
    let is_there = |name: &Arc<str>| before.contains_key(&**name) && after.contains_key(&**name);
    model(then).is_some()
        && model(then) == model(now)
        && after.iter().all(is_alike)
        && receipt.channels.iter().any(is_there)
}

/// Provider, dialect, the name that the channel has for a model, and its version if one is stated.
type Served<'g> = (&'g str, Dialect, &'g str, Option<&'g str>);

/// How each channel serves a model, by the channel's name.
fn served<'g>(grid: &'g GridRecord, model: &str) -> BTreeMap<&'g str, Served<'g>> {
    let of = |channel: &'g ChannelRecord| {
        let served = channel.models.iter().find(|served| *served.model == *model)?;
        let how = (
            &*channel.provider,
            channel.dialect,
            &*served.name,
            served.version.as_deref(),
        );
        Some((&*channel.name, how))
    };
    grid.channels.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use tieline_core::CallId;
    use tieline_core::grid::{GRID_V1, ModelRecord, PoolRecord, ServedRecord};

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
        let served = |model: &str| ServedRecord {
            model: model.into(),
            name: model.into(),
            price: None,
            price_list: None,
            version: None,
        };
        let model = |name: &str| ModelRecord {
            lab: "acme".into(),
            name: name.into(),
            ..ModelRecord::default()
        };
        let channel = |name: &str| ChannelRecord {
            components: Vec::new(),
            dialect: Dialect::OpenaiChat,
            limits: tieline_core::Limits::default(),
            media_tokens_max: None,
            models: ["a", "b"].map(served).into(),
            name: name.into(),
            operator_jurisdiction: None,
            provider: "openai".into(),
            quota: None,
            region: None,
            region_country: None,
        };
        GridRecord {
            channels: ["east", "west"].map(channel).into(),
            models: ["a", "b"].map(model).into(),
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
        let grid = grid(&[("chat", &["a", "b"]), ("code", &["b"])]);
        let receipts = receipts.within(&grid, |_| Some(Arc::new(grid.clone())));
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

    /// Whether a receipt of model `a`, answered by `east`, still counts once the grid was changed like this.
    #[track_caller]
    fn check_change(what: &str, change: impl FnOnce(&mut GridRecord), passes: bool) {
        let then = grid(&[("chat", &["a", "b"])]);
        let mut now = then.clone();
        change(&mut now);
        let mut receipts = Receipts::new();
        receipts.entry(0, &bytes(tested("chat", "a", &[])));
        let receipts = receipts.within(&now, |digest| {
            assert_eq!(digest, Hex32([2; 32]));
            Some(Arc::new(then.clone()))
        });
        assert_eq!(receipts.passes("chat", "a"), passes, "{what}");
        assert_eq!(receipts.of("chat", "a").unwrap().is_outdated, !passes, "{what}");
    }

    #[test]
    fn a_model_that_became_another_has_to_be_tested_again() {
        check_change("nothing", |_| (), true);
        check_change("a price of another", |grid| grid.settings.call_ms = 1, true);
        check_change(
            "the other model",
            |grid| grid.channels[0].models[1].name = "x".into(),
            true,
        );
        check_change("a channel less", |grid| drop(grid.channels.pop()), true);
        check_change(
            "the one that answered gone",
            |grid| drop(grid.channels.remove(0)),
            false,
        );
        check_change(
            "no model there any more",
            |grid| drop(grid.channels[0].models.remove(0)),
            false,
        );
        check_change(
            "another name",
            |grid| grid.channels[0].models[0].name = "x".into(),
            false,
        );
        check_change(
            "another name elsewhere",
            |grid| grid.channels[1].models[0].name = "x".into(),
            false,
        );
        check_change(
            "a version",
            |grid| grid.channels[0].models[0].version = Some("2".into()),
            false,
        );
        check_change(
            "another provider",
            |grid| grid.channels[0].provider = "azure".into(),
            false,
        );
        check_change(
            "less context",
            |grid| grid.models[0].context_tokens = Some(9),
            false,
        );
        check_change("no tools", |grid| grid.models[0].tools = Some(false), false);
        let added = |grid: &mut GridRecord| {
            let mut channel = grid.channels[0].clone();
            channel.name = "north".into();
            grid.channels.push(channel);
        };
        check_change("a channel more", added, true);
    }

    #[test]
    fn a_receipt_of_a_grid_that_is_gone_is_no_pass() {
        let mut receipts = Receipts::new();
        receipts.entry(0, &bytes(tested("chat", "a", &[])));
        let receipts = receipts.within(&grid(&[("chat", &["a"])]), |_| None);
        assert!(!receipts.passes("chat", "a"));
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

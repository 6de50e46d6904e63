//! The meter of counted licences: how many calls each still covers.
//!
//! A call takes one unit of each licence on which the verdict of a candidate rests, before that candidate may be tried,
//! and keeps it once it is dialled, however often it is tried again; what it did not need it gives back when it ends.
//! Counts are exact among the calls of this process, so that no two calls share the last unit. They are written behind, as
//! soon as they change: a crash forgets what was kept within the last moments, as the ledger does under `record = "async"`.
//! A licence that the meter does not know is spent. Bounds: one count for each counted licence of the terms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tieline_core::{Ruling, Verdict};
use tieline_policy::Terms;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Meter {
    changed: Notify,
    counts: Mutex<BTreeMap<Arc<str>, Count>>,
}

/// Units of one licence.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Kept by calls that were dialled, ever.
    kept: u64,
    limit: u64,
    /// Those kept, and those taken by calls that are not dialled yet.
    taken: u64,
    /// Kept, as far as the state file knows.
    written: u64,
}

/// The units of one call.
#[derive(Debug)]
pub(crate) struct Units {
    meter: Arc<Meter>,
    /// What the verdict on each row rests on, if it rests on anything.
    rows: Vec<(u8, Arc<[Arc<str>]>)>,
    /// Each licence of which the call has a unit, and whether it keeps that.
    taken: Vec<(Arc<str>, bool)>,
}

// === impl Meter ===

impl Meter {
    /// For the counted licences of `terms`, of which `uses` were used before.
    pub(crate) fn new(terms: &Terms, uses: &[(String, u64)]) -> Self {
        let meter = Self::default();
        meter.learn(terms, uses);
        meter
    }

    /// Take up the counted licences of `terms` that are new. Of one that is known, the count here is the later one.
    pub(crate) fn learn(&self, terms: &Terms, uses: &[(String, u64)]) {
        let mut counts = self.counts();
        for licence in terms.licences() {
            let Some(quantity) = licence.quantity else {
                continue;
            };
            let limit = quantity.calls;
            if let Some(known) = counts.get_mut(&licence.id) {
                known.limit = limit;
                continue;
            }
            let before = uses.iter().find(|(id, _)| **id == *licence.id);
            let kept = before.map_or(0, |(_, kept)| *kept);
            let count = Count {
                kept,
                limit,
                taken: kept,
                written: kept,
            };
            counts.insert(licence.id.clone(), count);
        }
    }

    /// Units that calls kept, ever; none of a licence that is not counted.
    pub(crate) fn used(&self, id: &str) -> Option<u64> {
        self.counts().get(id).map(|count| count.kept)
    }

    /// Returns when units were kept that are not written.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is to be written: licences, and how many units of each were kept in all.
    pub(crate) fn unwritten(&self) -> Vec<(Arc<str>, u64)> {
        let counts = self.counts();
        let due = counts.iter().filter(|(_, count)| count.kept > count.written);
        due.map(|(id, count)| (id.clone(), count.kept)).collect()
    }

    pub(crate) fn written(&self, id: &str, kept: u64) {
        if let Some(count) = self.counts().get_mut(id) {
            count.written = count.written.max(kept);
        }
    }

    fn take(&self, id: &str) -> bool {
        match self.counts().get_mut(id) {
            Some(count) if count.taken < count.limit => {
                count.taken += 1;
                true
            }
            _ => false,
        }
    }

    fn keep(&self, id: &str) {
        if let Some(count) = self.counts().get_mut(id) {
            count.kept += 1;
        }
        self.changed.notify_one();
    }

    fn give_back(&self, id: &str) {
        if let Some(count) = self.counts().get_mut(id) {
            count.taken = count.taken.saturating_sub(1);
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Count>> {
        // A panic while holding the lock would have been between two integer updates.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Units ===

impl Units {
    pub(crate) const fn new(meter: Arc<Meter>) -> Self {
        Self {
            meter,
            rows: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// The verdict on `row` that the licences which are left bear out, and those that turned out to be spent. `without`
    /// judges without those that are spent; it is asked as often as one more of the party's licences turns out to be.
    pub(crate) fn cover(
        &mut self,
        row: u8,
        verdict: Arc<Verdict>,
        without: impl Fn(&[Arc<str>]) -> Arc<Verdict>,
    ) -> (Arc<Verdict>, Vec<Arc<str>>) {
        self.forget(row);
        let mut verdict = verdict;
        let mut spent: Vec<Arc<str>> = Vec::new();
        while verdict.ruling == Ruling::Allow && !verdict.consumes.is_empty() {
            let before = spent.len();
            for id in verdict.consumes.iter() {
                if !self.take(id) {
                    spent.push(id.clone());
                }
            }
            if spent.len() == before {
                self.rows.push((row, verdict.consumes.clone()));
                break;
            }
            verdict = without(&spent);
        }
        (verdict, spent)
    }

    /// The row is judged anew: what its earlier verdict rested on says nothing.
    pub(crate) fn forget(&mut self, row: u8) {
        self.rows.retain(|(other, _)| *other != row);
    }

    /// The row is dialled: what its verdict rests on is used.
    pub(crate) fn keep(&mut self, row: u8) {
        let ids = self.rows.iter().find(|(other, _)| *other == row);
        for id in ids.iter().flat_map(|(_, ids)| ids.iter()) {
            let unit = self.taken.iter_mut().find(|(taken, _)| taken == id);
            if let Some((id, kept)) = unit
                && !std::mem::replace(kept, true)
            {
                self.meter.keep(id);
            }
        }
    }

    fn take(&mut self, id: &Arc<str>) -> bool {
        if self.taken.iter().any(|(taken, _)| taken == id) {
            return true;
        }
        let has = self.meter.take(id);
        if has {
            self.taken.push((id.clone(), false));
        }
        has
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        for (id, _) in self.taken.iter().filter(|(_, kept)| !kept) {
            self.meter.give_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(limits: &[(&str, u64)]) -> Arc<Meter> {
        let count = |limit| Count {
            limit,
            ..Count::default()
        };
        let counts = limits.iter().map(|(id, limit)| (Arc::from(*id), count(*limit)));
        Arc::new(Meter {
            changed: Notify::new(),
            counts: Mutex::new(counts.collect()),
        })
    }

    fn verdict(consumes: &[&str], ruling: Ruling) -> Arc<Verdict> {
        Arc::new(Verdict {
            consumes: consumes.iter().map(|id| Arc::from(*id)).collect(),
            epoch: 1,
            obligations: Arc::default(),
            ruling,
            rules: Arc::default(),
            valid_until: None,
        })
    }

    /// Rests on the first of `held` that is not spent.
    fn judge(held: &[&str], spent: &[Arc<str>]) -> Arc<Verdict> {
        let left = held.iter().find(|id| spent.iter().all(|other| **other != ***id));
        left.map_or_else(|| verdict(&[], Ruling::Deny), |id| verdict(&[id], Ruling::Allow))
    }

    fn cover(units: &mut Units, row: u8, held: &[&str]) -> Arc<Verdict> {
        units.cover(row, judge(held, &[]), |spent| judge(held, spent)).0
    }

    #[test]
    fn the_last_unit_is_nobody_elses() {
        let meter = meter(&[("l", 2)]);
        let mut calls: Vec<Units> = (0..3).map(|_| Units::new(meter.clone())).collect();
        let rulings: Vec<Ruling> = calls
            .iter_mut()
            .map(|units| cover(units, 0, &["l"]).ruling)
            .collect();
        assert_eq!(rulings, [Ruling::Allow, Ruling::Allow, Ruling::Deny]);
        // One is dialled, twice over; the other never is, and its unit is free again.
        calls[0].keep(0);
        assert_eq!(cover(&mut calls[0], 0, &["l"]).ruling, Ruling::Allow);
        calls[0].keep(0);
        drop(calls);
        assert_eq!(meter.unwritten(), [(Arc::from("l"), 1)]);
        meter.written("l", 1);
        assert_eq!(meter.unwritten(), []);
        let mut next = Units::new(meter.clone());
        assert_eq!(cover(&mut next, 0, &["l"]).ruling, Ruling::Allow);
        next.keep(0);
        drop(next);
        assert_eq!(cover(&mut Units::new(meter), 0, &["l"]).ruling, Ruling::Deny);
    }

    #[test]
    fn a_licence_that_comes_while_serving_is_taken_up_and_known_counts_stay() {
        let licence = |id: &str, calls: u64| {
            let body = serde_json::json!({
                "authority": "a", "id": id, "issuer": "i", "kind": "k", "parties": [{ "id": "p" }],
                "quantity": { "calls": calls }, "t": "tieline/licence/v1", "valid_from": 1,
            });
            serde_json::from_value(body).unwrap()
        };
        let terms = |licences| Terms::new(licences, Vec::new(), Vec::new()).unwrap();
        let meter = Arc::new(Meter::new(&terms(vec![licence("a", 2)]), &[]));
        let mut units = Units::new(meter.clone());
        cover(&mut units, 0, &["a"]);
        units.keep(0);
        let uses = [("a".to_owned(), 0), ("b".to_owned(), 4)];
        meter.learn(&terms(vec![licence("a", 1), licence("b", 5)]), &uses);
        assert_eq!(
            (meter.used("a"), meter.used("b"), meter.used("c")),
            (Some(1), Some(4), None)
        );
        let rulings = ["a", "b", "c"].map(|id| cover(&mut Units::new(meter.clone()), 0, &[id]).ruling);
        assert_eq!(rulings, [Ruling::Deny, Ruling::Allow, Ruling::Deny]);
    }

    #[test]
    fn a_call_keeps_what_the_row_that_it_dialled_rests_on() {
        let meter = meter(&[("a", 1), ("b", 1)]);
        let mut units = Units::new(meter.clone());
        cover(&mut units, 0, &["a"]);
        cover(&mut units, 1, &["b"]);
        units.keep(1);
        // A row that rests on nothing keeps nothing.
        units.keep(2);
        drop(units);
        assert_eq!(meter.unwritten(), [(Arc::from("b"), 1)]);
    }

    #[test]
    fn one_licence_after_the_other_is_spent() {
        let meter = meter(&[("a", 1), ("b", 1)]);
        let held = ["a", "unknown", "b"];
        let served = (0..4).filter(|_| {
            let mut units = Units::new(meter.clone());
            let is_allowed = cover(&mut units, 0, &held).ruling == Ruling::Allow;
            units.keep(0);
            is_allowed
        });
        assert_eq!(served.count(), 2);
    }
}

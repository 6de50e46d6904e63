//! The plan of a call: for each candidate what is known of it and why it is or is not to be tried, and the choice of the
//! next one.
//!
//! The order is the pool's. A candidate is passed over if policy does not allow it, an operator cut it, its limit is used
//! up, or it was tried; one whose breaker is open only while another is not. When every breaker is open, breakers are
//! ignored (panic), policy and cuts never are.

use std::sync::Arc;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use crate::ROWS_MAX;
use crate::desk::Bucket;
use crate::fleet::{Health, View};
use crate::grid::UnknownPrice;
use crate::time::Tick;
use crate::verdict::{Rule, Ruling, Verdict};

/// Why a candidate is where it is in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is tried next.
    Chosen,
    Denied,
    Held,
    /// Its limit is used up.
    Limited,
    /// Its breaker is open.
    Open,
    /// An operator cut it, or something it depends on.
    Out,
    /// It may serve; another comes first.
    Standby,
    /// It was tried.
    Tried,
    /// Nothing was asked about it, for the call was refused before.
    Unasked,
    /// Its price is unknown, and a budget or the configuration wants it known.
    Unpriced,
}

/// All candidates of a call.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rows: ArrayVec<PlanRow, ROWS_MAX>,
}

#[derive(Clone, Debug)]
pub struct PlanRow {
    /// The limit that is used up, and when it frees.
    pub limited: Option<(Bucket, Option<Tick>)>,
    pub tried: bool,
    /// What follows from its unknown price, where that keeps it from being tried.
    pub unpriced: Option<UnknownPrice>,
    pub verdict: Option<Arc<Verdict>>,
    pub why: Why,
}

impl Plan {
    pub(crate) fn new(rows: usize) -> Self {
        let row = || PlanRow {
            limited: None,
            tried: false,
            unpriced: None,
            verdict: None,
            why: Why::Unasked,
        };
        Self {
            rows: (0..rows.min(ROWS_MAX)).map(|_| row()).collect(),
        }
    }

    /// The rows that may still be tried, as bits.
    pub(crate) fn untried(&self) -> u8 {
        let bits = self.rows.iter().zip(0_u8..).filter(|(row, _)| !row.tried);
        bits.fold(0, |mask, (_, ix)| mask | 1 << ix)
    }

    /// Take the verdicts on the rows of `mask`, in order. A row asked for and not answered has none: an earlier allow does
    /// not outlive the question.
    pub(crate) fn judge(&mut self, mask: u8, verdicts: &[Arc<Verdict>]) {
        let asked = self
            .rows
            .iter_mut()
            .zip(0_u8..)
            .filter(|(_, ix)| mask & (1 << ix) != 0);
        let mut verdicts = verdicts.iter();
        for (row, _) in asked {
            row.verdict = verdicts.next().cloned();
            if row.unpriced == Some(UnknownPrice::Hold) && row.is_allowed() {
                row.verdict = row.verdict.as_deref().map(held_for_price);
            }
        }
    }

    /// Whether any untried row is allowed.
    pub(crate) fn any_allowed(&self) -> bool {
        self.rows.iter().any(|row| !row.tried && row.is_allowed())
    }

    /// The verdict that decides a call that nothing is allowed for: a hold if an officer could still open a way, else the
    /// first deny.
    pub(crate) fn refusing_verdict(&self) -> Option<&Arc<Verdict>> {
        let verdicts = || self.rows.iter().filter_map(|row| row.verdict.as_ref());
        let with = |ruling| verdicts().find(move |verdict| verdict.ruling == ruling);
        with(Ruling::Hold).or_else(|| with(Ruling::Deny))
    }

    /// The first row that is held, and by which verdict.
    pub(crate) fn first_hold(&self) -> Option<(u8, &Arc<Verdict>)> {
        self.rows.iter().zip(0_u8..).find_map(|(row, ix)| {
            let verdict = row.verdict.as_ref()?;
            (verdict.ruling == Ruling::Hold).then_some((ix, verdict))
        })
    }

    /// Say of each row why it is where it is.
    pub(crate) fn look(&mut self, view: &View) {
        for (row, seen) in self.rows.iter_mut().zip(&view.rows) {
            row.why = match row.verdict.as_ref().map(|v| v.ruling) {
                _ if row.tried => Why::Tried,
                None => Why::Unasked,
                Some(Ruling::Deny) => Why::Denied,
                Some(Ruling::Hold) => Why::Held,
                Some(Ruling::Allow) if row.unpriced.is_some() => Why::Unpriced,
                Some(Ruling::Allow) if seen.out => Why::Out,
                Some(Ruling::Allow) if row.limited.is_some() => Why::Limited,
                Some(Ruling::Allow) if seen.health == Health::Open => Why::Open,
                Some(Ruling::Allow) => Why::Standby,
            };
        }
    }

    /// Say of each row what the verdicts alone say; for a call that nothing is allowed for.
    pub(crate) fn look_at_verdicts(&mut self) {
        for row in &mut self.rows {
            row.why = match row.verdict.as_ref().map(|v| v.ruling) {
                _ if row.tried => Why::Tried,
                None => Why::Unasked,
                Some(Ruling::Deny) => Why::Denied,
                Some(Ruling::Hold) => Why::Held,
                Some(Ruling::Allow) => Why::Standby,
            };
        }
    }

    /// The next row to try: the first on standby, else (panic) the first that is only kept back by its breaker.
    pub(crate) fn choose(&self) -> Option<u8> {
        let first = |why: Why| {
            self.rows
                .iter()
                .zip(0_u8..)
                .find(|(row, _)| row.why == why)
                .map(|(_, ix)| ix)
        };
        first(Why::Standby).or_else(|| first(Why::Open))
    }

    pub(crate) fn limit(&mut self, row: u8, bucket: Bucket, free_at: Option<Tick>) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.limited = Some((bucket, free_at));
            row.why = Why::Limited;
        }
    }

    pub(crate) fn mark(&mut self, row: u8, why: Why) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.why = why;
            row.tried |= why == Why::Tried;
        }
    }

    /// The verdict of an order on a row that was tried: it outranks the one under which the row was dialled.
    pub(crate) fn order(&mut self, row: u8, verdict: Arc<Verdict>) {
        if let Some(row) = self.rows.get_mut(usize::from(row)) {
            row.verdict = Some(verdict);
        }
    }

    /// Whether an unknown price is all that keeps a row from being tried.
    pub(crate) fn any_unpriced(&self) -> bool {
        self.rows.iter().any(|row| row.why == Why::Unpriced)
    }

    pub(crate) fn any_limited(&self) -> bool {
        self.rows.iter().any(|row| row.limited.is_some())
    }

    /// When the first of the limited rows frees, if anybody can tell.
    pub(crate) fn limited_until(&self) -> Option<Tick> {
        let limits = self.rows.iter().filter_map(|row| row.limited);
        limits.filter_map(|(_, free_at)| free_at).min()
    }
}

/// An allowed candidate whose unknown price holds it. Only a stated price opens it.
fn held_for_price(verdict: &Verdict) -> Arc<Verdict> {
    let rule = Rule {
        citation: "configuration in force".into(),
        id: "default/unknown-price".into(),
        reason: "The price of this model on this channel is unknown, and such calls are held.".into(),
    };
    Arc::new(Verdict {
        rules: Arc::new([rule]),
        ruling: Ruling::Hold,
        ..verdict.clone()
    })
}

impl PlanRow {
    fn is_allowed(&self) -> bool {
        self.verdict
            .as_ref()
            .is_some_and(|verdict| verdict.ruling == Ruling::Allow)
    }
}

//! All else, where nothing at all secures what some parties ask for: the search is made again without these calls.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Ruling;

use super::why::left;
use super::{Fix, PlanReport, PlanSearch, Sets, Threat, Unsecured};

/// What secures the calls of critical parties but for those that nothing secures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rest {
    /// Sets that serve, in the order of [`PlanReport::fixes`].
    pub fixes: Vec<Fix>,
    /// Whether these are secure without any offer.
    pub is_secure: bool,
    pub sets: Sets,
    /// Where nothing serves: whom, and why.
    pub unsecured: Vec<Unsecured>,
    pub unsecured_count: u64,
}

impl PlanSearch<'_> {
    /// The search for all else: without the calls that nothing can serve in one of the losses. None where there are
    /// no such calls, or no others.
    #[must_use]
    pub fn rest(&self, threats: &[Threat]) -> Option<Self> {
        let all = self.with_each();
        let is_hopeless = |kind: usize| {
            let mut gone = threats.iter().map(|threat| &threat.gone);
            gone.any(|gone| !left(&all, kind, gone).contains(&Ruling::Allow))
        };
        let critical = (0..self.critical.len()).map(|kind| self.is_critical(kind) && !is_hopeless(kind));
        let critical: Vec<bool> = critical.collect();
        if critical == self.critical || !critical.contains(&true) {
            return None;
        }
        let (snapshot, traffic) = (self.rehearsal.snapshot(), self.rehearsal.traffic());
        let mut rest = Self::new(
            snapshot,
            traffic,
            self.known.clone(),
            self.assumed,
            self.catalogue,
        );
        let is_out = |kind: usize| !critical.get(kind).copied().unwrap_or_default();
        rest.rehearsal.disregard(|_, call| is_out(call.kind as usize));
        rest.critical = critical;
        Some(rest)
    }
}

impl PlanReport {
    /// Say what serves for all else: `rest` is the report of [`PlanSearch::rest`].
    pub fn add_rest(&mut self, rest: Self) {
        self.rest = Some(Rest {
            fixes: rest.fixes,
            is_secure: rest.threats.is_empty(),
            sets: rest.sets,
            unsecured: rest.unsecured,
            unsecured_count: rest.unsecured_count,
        });
    }
}

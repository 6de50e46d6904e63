//! A stochastic year: what goes out of its own accord by the priors, what is then left for whom, and how much of service a
//! year is expected to cost, with its tails. Many years are drawn from one seed; each is flows of calls by the set of
//! channels that are out and the hour of the week, and the worst episodes are then decided call by call by the live core.
//!
//! Years are independent, so whoever has cores spreads them: [`Year::run`] for each of [`Year::runs`], [`Year::gather`],
//! [`Year::episode`] for each of [`Year::episodes`], [`Year::report`]. Sums are integers, so that no order of threads
//! shows; statistics are made at the end, year by year. Bounds: [`RUNS_MAX`], [`EPISODES`], and those of the parts.

mod causes;
mod demand;
mod episode;
mod report;
mod run;
mod stats;
mod supply;
mod text;

use std::fmt;
use std::sync::Arc;

use tieline_core::Snapshot;

use self::causes::{Behaviour, CAUSES_MAX, OUTAGES_A_YEAR_MAX};
use self::demand::{CLASSES_MAX, Demand};
use self::run::Sums;
use self::supply::Supply;
use crate::contingency::Assumed;
use crate::rehearsal::Rehearsal;
use crate::structure::Downtimes;
use crate::timeline::Permille;

pub use self::episode::{EPISODE_CALLS_MAX, EPISODE_HOURS_MAX, Episode};
pub use self::report::{
    CauseKind, CauseRow, Decided, NoLoss, OutRow, PriorRow, WorstRow, YEAR_V1, YearClass, YearParty,
    YearReport,
};
pub use self::run::Run;
pub use self::stats::{Mean, Quantile, Spread, Tail};

/// Years of one drill: 10,000 of some 2 KiB are 20 MB. At 2,000 the mean of most grids is known to a few per cent.
pub const RUNS_MAX: u32 = 10_000;

/// Years whose worst episode is decided call by call.
pub const EPISODES: usize = 20;

/// What is assumed of the years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearOptions {
    pub assumed: Assumed,
    /// Of a channel's own failures, how many strike all channels of the same operator and labs.
    pub common: Permille,
    pub runs: u32,
    pub seed: u64,
}

/// Why no year can be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum YearError {
    /// Nothing is served with nothing gone, so nothing can be lost.
    NothingServed,
    /// No years, or more than [`RUNS_MAX`].
    Runs(u32),
    /// Not between nothing and all.
    Common(Permille),
    TooManyCauses,
    TooManyClasses(usize),
    /// What is out this often in a thousand years.
    TooOften(String, u32),
}

/// A grid and its calls, ready for years.
pub struct Year<'r, 't> {
    causes: Vec<Behaviour>,
    demand: Arc<Demand>,
    /// The grid while something is out, if that is another.
    left: Option<Arc<Snapshot>>,
    names: Vec<String>,
    options: YearOptions,
    rehearsal: &'r Rehearsal<'t>,
    supply: Supply,
    /// The channels that calls may use.
    used: Vec<u16>,
}

/// The sums of all years, and which are the worst.
#[derive(Debug)]
pub struct Years {
    runs: Vec<Run>,
    sums: Sums,
    /// Indexes of runs, the worst first.
    worst: Vec<usize>,
}

impl<'r, 't> Year<'r, 't> {
    pub fn new(
        rehearsal: &'r Rehearsal<'t>,
        downtimes: &Downtimes,
        options: YearOptions,
    ) -> Result<Self, YearError> {
        if options.runs == 0 || options.runs > RUNS_MAX {
            return Err(YearError::Runs(options.runs));
        }
        if options.common > 1_000 {
            return Err(YearError::Common(options.common));
        }
        let snapshot = rehearsal.snapshot();
        let demand = Arc::new(Demand::of(rehearsal));
        if demand.classes.len() > CLASSES_MAX {
            return Err(YearError::TooManyClasses(demand.classes.len()));
        }
        let used = demand.used();
        if used.is_empty() {
            return Err(YearError::NothingServed);
        }
        let causes = causes::causes(snapshot, downtimes, &used, options.common);
        if causes.len() > CAUSES_MAX {
            return Err(YearError::TooManyCauses);
        }
        let is_often = |cause: &&Behaviour| cause.prior.per_1000_years > OUTAGES_A_YEAR_MAX * 1_000;
        if let Some(cause) = causes.iter().find(is_often) {
            return Err(YearError::TooOften(cause.named(), cause.prior.per_1000_years));
        }
        let left = options.assumed.left(snapshot);
        let supply = Supply::new(
            snapshot,
            left.as_ref().unwrap_or(snapshot),
            demand.clone(),
            used.clone(),
        );
        Ok(Self {
            names: causes.iter().map(Behaviour::draws_name).collect(),
            causes,
            demand,
            left,
            options,
            rehearsal,
            supply,
            used,
        })
    }

    /// How many years there are.
    pub const fn runs(&self) -> usize {
        self.options.runs as usize
    }

    /// One of them.
    pub fn run(&self, ix: usize) -> Run {
        run::run(self, ix)
    }

    /// All of them together, given in their order.
    pub fn gather(&self, runs: Vec<Run>) -> Years {
        let sums = Sums::of(self, &runs);
        let mut worst: Vec<usize> = (0..runs.len()).collect();
        let unserved = |ix: &usize| runs.get(*ix).map_or(0, |run| run.unserved);
        worst.retain(|ix| unserved(ix) > 0);
        worst.sort_by_key(|ix| (std::cmp::Reverse(unserved(ix)), *ix));
        worst.truncate(EPISODES);
        Years { runs, sums, worst }
    }

    /// How many episodes are to be decided call by call.
    pub fn episodes(&self, years: &Years) -> usize {
        years.worst.len()
    }

    /// The worst episode of one of the worst years, decided call by call.
    pub fn episode(&self, years: &Years, ix: usize) -> Option<Episode> {
        let run = *years.worst.get(ix)?;
        episode::episode(self, run, years.runs.get(run)?)
    }

    /// The report, from the episodes in their order.
    pub fn report(&self, years: &Years, episodes: Vec<Option<Episode>>) -> YearReport {
        report::report(self, years, episodes)
    }
}

impl fmt::Display for YearError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingServed => write!(f, "with nothing gone no call is served, so no year can lose any"),
            Self::Runs(runs) => write!(f, "{runs} years are wanted, and 1 to {RUNS_MAX} can be drawn"),
            Self::Common(common) => write!(f, "{common} thousandths of common causes are more than all"),
            Self::TooManyCauses => write!(f, "more than {CAUSES_MAX} things can go out"),
            Self::TooManyClasses(classes) => write!(
                f,
                "calls differ in what may serve them in {classes} ways, and {CLASSES_MAX} can be computed"
            ),
            Self::TooOften(name, per_1000_years) => write!(
                f,
                "{name} would go out {} times a year, more than {OUTAGES_A_YEAR_MAX}",
                per_1000_years / 1_000
            ),
        }
    }
}

impl std::error::Error for YearError {}

impl fmt::Debug for Year<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Year")
            .field("options", &self.options)
            .field("causes", &self.causes.len())
            .finish_non_exhaustive()
    }
}

//! Outages drawn from priors: each element alternates between working and not, and a share of the failures (the beta
//! factor) strikes all elements of the group at once.
//!
//! Contract. The times between incidents are exponential, their lengths lognormal; one in so many takes the element out,
//! the others make it fail now and then. Everything is a function of the seed, the names and the span. Bounds:
//! [`INCIDENTS_MAX`] incidents of one element, [`GROUP_MAX`] elements.

use tieline_core::{Span, Tick};

use super::draw::{Draws, Purpose, exp};
use crate::elements::Element;
use crate::timeline::Permille;

/// Incidents of one element: ten a day over a year, fifteen times what the busiest of the priors has.
pub const INCIDENTS_MAX: usize = 3_650;

/// Elements of a group: as many as a grid has components. 256 × 3,650 incidents of some 80 bytes are 75 MB.
pub const GROUP_MAX: usize = tieline_core::grid::COMPONENTS_MAX;

const YEAR_US: f64 = 365.25 * 86_400.0 * 1e6;
const MINUTE_US: f64 = 60.0 * 1e6;

/// The longest incident that is drawn: a month. A lognormal has no end, a supplier's incident does.
const INCIDENT_US_MAX: f64 = 30.0 * 86_400.0 * 1e6;

/// How often and how long a kind of supplier fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// Mean of the natural logarithm of the length in minutes, in thousandths.
    pub log_minutes_mean: u32,
    /// Its standard deviation, in thousandths.
    pub log_minutes_deviation: u32,
    pub name: &'static str,
    /// Thousandths of incidents in a year; none where the source says how long and not how often.
    pub per_year: Option<u32>,
    /// Where the numbers are from.
    pub source: &'static str,
}

const FAILS: &str = "Chu et al., ICPE 2025 (arXiv:2501.12469) and its data set FAILS (arXiv:2503.12185): incidents of impact \
                     minor and above on status pages, 2023-07-11 to 2025-01-08; lengths fitted to a lognormal";
const CLOUDS: &str = "incidents of clouds with times labelled by people; lengths fitted to a lognormal, of all services and \
                      regions together, so that it says nothing of how often one region fails";

/// The priors that a scenario may name.
pub const PRIORS: &[Prior] = &[
    Prior {
        log_minutes_mean: 4_290,
        log_minutes_deviation: 1_470,
        name: "anthropic",
        per_year: Some(74_800),
        source: FAILS,
    },
    Prior {
        log_minutes_mean: 4_950,
        log_minutes_deviation: 1_010,
        name: "aws",
        per_year: None,
        source: CLOUDS,
    },
    Prior {
        log_minutes_mean: 5_840,
        log_minutes_deviation: 1_240,
        name: "azure",
        per_year: None,
        source: CLOUDS,
    },
    // Median 111 min and upper quartile 272 min: ln 111, and ln(272 / 111) / 0.6745.
    Prior {
        log_minutes_mean: 4_710,
        log_minutes_deviation: 1_329,
        name: "gcp",
        per_year: None,
        source: CLOUDS,
    },
    Prior {
        log_minutes_mean: 4_400,
        log_minutes_deviation: 1_240,
        name: "openai",
        per_year: Some(78_800),
        source: FAILS,
    },
];

/// Outages to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outages {
    /// The share of failures that strike the whole group.
    pub beta: Permille,
    /// Share of attempts that fail in an incident that takes nothing out.
    pub errors: Permille,
    /// Elements that may fail together.
    pub group: Vec<Element>,
    /// Share of incidents that take the element out.
    pub hard: Permille,
    /// Thousandths of incidents of one element in a year.
    pub per_year: u32,
    pub prior: Prior,
    pub seed: u64,
}

/// One incident of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) element: Element,
    pub(super) from: Tick,
    pub(super) is_hard: bool,
    pub(super) until: Tick,
}

impl Prior {
    pub fn named(name: &str) -> Option<Self> {
        PRIORS.iter().copied().find(|prior| prior.name == name)
    }
}

impl Outages {
    /// The incidents that begin in `from..until`, those of one element in order; they may reach beyond its end.
    pub(super) fn drawn(&self, from: Tick, until: Tick) -> Vec<Incident> {
        let names: Vec<&str> = self.group.iter().map(|element| element.name.as_str()).collect();
        let together = Draws::for_name(self.seed, &format!("group {}", names.join(" ")));
        let shared = self.alternating(together, self.beta, from, until);
        let mut incidents = Vec::new();
        for element in self.group.iter().take(GROUP_MAX) {
            let alone = Draws::for_name(self.seed, &element.name);
            let own = self.alternating(alone, 1_000 - self.beta.min(1_000), from, until);
            let all = own.into_iter().chain(shared.iter().copied());
            incidents.extend(all.map(|(from, until, is_hard)| Incident {
                element: element.clone(),
                from,
                is_hard,
                until,
            }));
        }
        incidents
    }

    /// Incidents one after the other, at a share of the rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "lengths are positive, and a cast saturates"
    )]
    fn alternating(&self, draws: Draws, share: Permille, from: Tick, until: Tick) -> Vec<(Tick, Tick, bool)> {
        let per_year = f64::from(self.per_year) / 1_000.0 * f64::from(share) / 1_000.0;
        let mut incidents = Vec::new();
        let mut now = from;
        for k in 0..INCIDENTS_MAX as u64 {
            if per_year <= 0.0 {
                break;
            }
            let gap = draws.exponential(Purpose::Gap, k) / per_year * YEAR_US;
            now = now.plus(Span(gap as u64));
            if now >= until {
                break;
            }
            let end = now.plus(Span(self.length(draws, k) as u64));
            incidents.push((now, end, draws.chance(Purpose::Severity, k, self.hard)));
            now = end;
        }
        incidents
    }

    fn length(&self, draws: Draws, k: u64) -> f64 {
        let mean = f64::from(self.prior.log_minutes_mean) / 1_000.0;
        let deviation = f64::from(self.prior.log_minutes_deviation) / 1_000.0;
        let minutes = exp(mean + deviation * draws.normal(Purpose::Duration, k));
        (minutes * MINUTE_US).min(INCIDENT_US_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::ElementKind;

    const DAY: u64 = 86_400;

    fn outages(beta: Permille, seed: u64) -> Outages {
        let element = |name: &str| Element {
            kind: ElementKind::Component,
            name: name.to_owned(),
        };
        Outages {
            beta,
            errors: 250,
            group: vec![element("lab:a"), element("lab:b")],
            hard: 100,
            per_year: 78_800,
            prior: Prior::named("openai").unwrap(),
            seed,
        }
    }

    /// Incidents and minutes of `lab:a` in so many years.
    fn of_a(outages: &Outages, years: u64) -> (Vec<Incident>, u64) {
        let (from, until) = (Tick(0), Tick(0).plus(Span::from_s(DAY * 365 * years)));
        let mut all = outages.drawn(from, until);
        all.retain(|incident| incident.element.name == "lab:a");
        let minutes = all
            .iter()
            .map(|one| one.until.since(one.from).0 / 60_000_000)
            .sum();
        (all, minutes)
    }

    #[test]
    fn a_year_is_like_the_years_that_were_observed() {
        let (incidents, minutes) = of_a(&outages(0, 3), 40);
        let per_year = incidents.len() / 40;
        assert!((70..85).contains(&per_year), "{per_year} a year");
        // The observed share of time in an incident is 1.94 per cent; the mean of the fitted lognormal is a little larger.
        let share_bp = minutes * 10_000 / (40 * 365 * 1_440);
        assert!((170..300).contains(&share_bp), "{share_bp} basis points");
        let hard = incidents.iter().filter(|one| one.is_hard).count() * 1_000 / incidents.len();
        assert!((70..130).contains(&hard), "{hard} in a thousand are hard");
    }

    #[test]
    fn what_strikes_both_strikes_both_at_once() {
        let until = Tick(0).plus(Span::from_s(DAY * 3_650));
        let common = |beta| {
            let all = outages(beta, 1).drawn(Tick(0), until);
            let times = |name: &str| -> std::collections::BTreeSet<(Tick, Tick, bool)> {
                let own = all.iter().filter(|one| one.element.name == name);
                own.map(|one| (one.from, one.until, one.is_hard)).collect()
            };
            let (a, b) = (times("lab:a"), times("lab:b"));
            a.intersection(&b).count() * 1_000 / a.len()
        };
        assert_eq!(common(0), 0);
        assert!((420..580).contains(&common(500)), "{}", common(500));
        assert_eq!(common(1_000), 1_000);
    }

    #[test]
    fn one_seed_is_one_history() {
        let until = Tick(0).plus(Span::from_s(DAY * 365));
        let drawn = |seed| outages(100, seed).drawn(Tick(0), until);
        assert_eq!(drawn(9), drawn(9));
        assert_ne!(drawn(9), drawn(10));
        // Another element in the group leaves what strikes the first alone as it was.
        let mut more = outages(0, 9);
        let alone = of_a(&more, 1).0;
        more.group.push(Element {
            kind: ElementKind::Component,
            name: "lab:c".to_owned(),
        });
        assert_eq!(of_a(&more, 1).0, alone);
    }
}

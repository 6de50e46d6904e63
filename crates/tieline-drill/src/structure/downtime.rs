//! How often each element of a grid is out of its own accord, and for how long: priors, from which an analysis starts where
//! nobody stated better. Every row says whether it was measured or assumed, and from what. None is zero: what was never
//! seen to fail may.
//!
//! A component's row is about its own failures, not those of what it needs, which the grid knows. Bounds: at most half of
//! the time, so that a mistyped row is found.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// How often something is out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downtime {
    pub basis: DowntimeBasis,
    /// How long, on average.
    pub minutes: u32,
    /// Outages in a thousand years.
    pub per_1000_years: u32,
    pub source: Cow<'static, str>,
}

/// What a prior rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DowntimeBasis {
    /// A round number for what nobody publishes, or a count of a single event.
    Assumed,
    /// From published times of outages.
    Measured,
    /// Said by whoever runs the analysis.
    Stated,
}

/// Downtimes by name: of one component (`cloud:aws`) or channel (`channel:bedrock-east`), of a kind (`cloud`, `channel`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downtimes {
    own: BTreeMap<String, Downtime>,
}

/// Minutes of a year: 365.25 days.
const YEAR_MINUTES: u32 = 525_960;

/// Outages in a thousand years, minutes of one on average.
type Row = (&'static str, DowntimeBasis, u32, u32, &'static str);

/// Channels by provider, then kinds.
#[rustfmt::skip]
const SHIPPED: &[Row] = &[
    ("provider:anthropic", DowntimeBasis::Measured, 10_400, 141,
     "status page 2023-07 to 2025-01 (FAILS, arXiv 2503.12185): partial and major outage 0.28 % of the time, lasting as \
      incidents of the API do"),
    ("provider:openai", DowntimeBasis::Measured, 16_600, 133,
     "status page 2023-07 to 2025-01 (FAILS, arXiv 2503.12185): partial and major outage 0.42 % of the time, lasting as \
      incidents of the API do"),
    ("channel", DowntimeBasis::Assumed, 7_700, 137,
     "0.2 % of the time, as hard outages of the two APIs with a public history; no cloud publishes those of its models"),
    ("cloud", DowntimeBasis::Assumed, 333, 180,
     "one outage of a whole cloud in three cloud-years: Google Cloud, 2025-06-12, three hours at its core"),
    ("region", DowntimeBasis::Assumed, 1_000, 238,
     "once a year, for as long as 149 incidents of AWS took on average (atlarge-research/llm-cloud-incident-extraction)"),
    ("edge", DowntimeBasis::Assumed, 1_000, 346,
     "one outage in a year of a network: Cloudflare, 2025-11-18, 11:20 to 17:06"),
    ("lab", DowntimeBasis::Assumed, 42, 25_920,
     "models withdrawn everywhere once in 24 lab-years: the directive of 2026-06-12, for 18 days"),
    ("account", DowntimeBasis::Assumed, 200, 2_880, "a person must act: once in five years, for two days"),
    ("licence", DowntimeBasis::Assumed, 200, 2_880, "a person must act: once in five years, for two days"),
    ("payment", DowntimeBasis::Assumed, 200, 2_880, "a person must act: once in five years, for two days"),
];

/// What has no row: a machine, a network, an identity provider, a name server, and kinds of one's own.
const OTHERS: Row = (
    "other",
    DowntimeBasis::Assumed,
    1_000,
    240,
    "nobody publishes a series: once a year, for four hours",
);

impl Downtime {
    /// The share of the time that it is out: above 0, at most a half.
    pub fn out(&self) -> f64 {
        let minutes = f64::from(self.per_1000_years) / 1_000.0 * f64::from(self.minutes);
        minutes / f64::from(YEAR_MINUTES)
    }

    /// The share as a threshold for a number drawn from all of 64 bits.
    pub(crate) fn threshold(&self) -> u64 {
        let minutes = u128::from(self.per_1000_years) * u128::from(self.minutes);
        let threshold = (minutes << 64) / (1_000 * u128::from(YEAR_MINUTES));
        u64::try_from(threshold).unwrap_or(u64::MAX)
    }

    /// Whether [`Downtime::out`] is above nothing and at most a half.
    fn is_sound(&self) -> bool {
        let minutes = u64::from(self.per_1000_years) * u64::from(self.minutes);
        minutes > 0 && minutes <= 500 * u64::from(YEAR_MINUTES)
    }

    fn shipped((_, basis, per_1000_years, minutes, source): Row) -> Self {
        Self {
            basis,
            minutes,
            per_1000_years,
            source: Cow::Borrowed(source),
        }
    }
}

impl Downtimes {
    /// State a prior for a component, a channel or a kind; false, and nothing is stated, if it is out never or more than
    /// half of the time.
    #[must_use]
    pub fn state(&mut self, name: &str, prior: Downtime) -> bool {
        let is_sound = prior.is_sound();
        if is_sound {
            self.own.insert(name.to_owned(), prior);
        }
        is_sound
    }

    /// The names that priors were stated for.
    pub fn stated(&self) -> impl Iterator<Item = &str> {
        self.own.keys().map(String::as_str)
    }

    /// What is expected of a component: what was stated for it or for its kind, else what is shipped for its kind.
    pub fn component(&self, name: &str) -> Downtime {
        let kind = name.split_once(':').map_or(name, |(kind, _)| kind);
        self.first([name, kind], kind)
    }

    /// What is expected of a channel itself, apart from what it needs.
    pub fn channel(&self, name: &str, provider: &str) -> Downtime {
        let own = [&*format!("channel:{name}"), "channel"];
        let provider = format!("provider:{provider}");
        let is_known = SHIPPED.iter().any(|row| row.0 == provider);
        self.first(own, if is_known { &provider } else { "channel" })
    }

    fn first(&self, own: [&str; 2], shipped: &str) -> Downtime {
        let stated = own.into_iter().find_map(|name| self.own.get(name).cloned());
        stated.unwrap_or_else(|| {
            let row = SHIPPED.iter().find(|row| row.0 == shipped);
            Downtime::shipped(*row.unwrap_or(&OTHERS))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_is_as_the_sources_say() {
        let check = |prior: &Downtime, percent: f64| {
            let ours = prior.out() * 100.0;
            assert!((ours - percent).abs() < percent / 100.0, "{ours} {prior:?}");
        };
        let priors = Downtimes::default();
        check(&priors.channel("mine", "openai"), 0.42);
        check(&priors.channel("mine", "anthropic"), 0.28);
        check(&priors.channel("mine", "bedrock"), 0.2);
        check(&priors.component("lab:openai"), 18.0 / (24.0 * 365.25) * 100.0);
        check(&priors.component("cloud:aws"), 0.0114);
        check(&priors.component("power"), 0.0456);
        for row in SHIPPED.iter().chain([&OTHERS]) {
            let prior = Downtime::shipped(*row);
            assert!(prior.is_sound() && !prior.source.is_empty(), "{row:?}");
            let share = prior.threshold() as f64 / 2_f64.powi(64);
            assert!((share - prior.out()).abs() < 1e-12, "{row:?}");
        }
    }

    #[test]
    fn what_is_stated_comes_first_and_the_name_before_the_kind() {
        let mut priors = Downtimes::default();
        let lasts = |minutes| Downtime {
            basis: DowntimeBasis::Stated,
            minutes,
            per_1000_years: 1_000,
            source: "us".into(),
        };
        for (name, minutes) in [("cloud", 7), ("cloud:aws", 9), ("channel", 11), ("channel:a", 13)] {
            assert!(priors.state(name, lasts(minutes)));
        }
        assert_eq!(priors.component("cloud:aws").minutes, 9);
        assert_eq!(priors.component("cloud:gcp").minutes, 7);
        assert_eq!(priors.channel("a", "openai").minutes, 13);
        assert_eq!(priors.channel("b", "openai").minutes, 11);
        assert_eq!(priors.component("edge:x").basis, DowntimeBasis::Assumed);
        let never = Downtime {
            per_1000_years: 0,
            ..lasts(1)
        };
        assert!(!priors.state("never", never), "unknown is not zero");
        assert!(!priors.state("always", lasts(YEAR_MINUTES)));
        assert!(priors.state("half", lasts(YEAR_MINUTES / 2)));
    }
}

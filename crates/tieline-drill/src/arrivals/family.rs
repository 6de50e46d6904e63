//! Families of inter-arrival times with mean 1: exponential, gamma and Weibull, which measurements of model serving find
//! (ServeGen, NSDI 2026), and which of them some gaps follow, by likelihood.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chance::Draw;
use super::{real, rounded};

/// Shapes beyond these are taken as these. At a cv of 14 (gamma) and 430 (Weibull) nearly all calls come at once, and
/// below it the means of Weibull leave the range of floats; at 1,000 calls come like a clock.
const GAMMA_MIN: f64 = 0.005;
const WEIBULL_MIN: f64 = 0.1;
const SHAPE_MAX: f64 = 1_000.0;

/// Gaps that a fit looks at, evenly chosen: its error is then 0.5 % of the shape, below that of any rate.
const GAPS_MAX: usize = 100_000;

/// Gaps without which nothing is known about their family.
const GAPS_MIN: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Shape 1: arrivals that know nothing of each other.
    Exponential,
    /// Shape below 1: bursts; above: regular.
    Gamma,
    /// The same with a heavier tail.
    Weibull,
}

/// Arrivals one after the other with independent gaps of mean 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Renewal {
    pub(crate) family: Family,
    pub(crate) shape: f64,
}

// === impl Family ===

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::Exponential, Self::Gamma, Self::Weibull];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Gamma => "gamma",
            Self::Weibull => "weibull",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|family| family.name() == name)
    }
}

// === impl Renewal ===

impl Renewal {
    pub(crate) const POISSON: Self = Self {
        family: Family::Exponential,
        shape: 1.0,
    };

    pub(crate) fn new(family: Family, shape: f64) -> Self {
        let shape = match family {
            Family::Exponential => 1.0,
            Family::Gamma => shape.clamp(GAMMA_MIN, SHAPE_MAX),
            Family::Weibull => shape.clamp(WEIBULL_MIN, SHAPE_MAX),
        };
        Self { family, shape }
    }

    /// The time between two arrivals.
    pub(crate) fn gap(self, draw: &mut Draw) -> f64 {
        match self.family {
            Family::Exponential => -libm::log(draw.unit()),
            Family::Gamma => draw.gamma(self.shape) / self.shape,
            Family::Weibull => libm::pow(-libm::log(draw.unit()), 1.0 / self.shape) / self.weibull_mean(),
        }
    }

    /// The time from any instant to the next arrival: a part of a gap that is more likely to be a long one. With it the
    /// number of arrivals in a span has the mean that its length says.
    pub(crate) fn first(self, draw: &mut Draw) -> f64 {
        let part = draw.unit();
        let gap = match self.family {
            Family::Exponential => return -libm::log(part),
            Family::Gamma => draw.gamma(self.shape + 1.0) / self.shape,
            Family::Weibull => {
                let power = 1.0 / self.shape;
                libm::pow(draw.gamma(1.0 + power), power) / self.weibull_mean()
            }
        };
        part * gap
    }

    /// Standard deviation over mean.
    pub(crate) fn cv(self) -> f64 {
        match self.family {
            Family::Exponential => 1.0,
            Family::Gamma => 1.0 / libm::sqrt(self.shape),
            Family::Weibull => {
                let one = libm::lgamma(1.0 + 1.0 / self.shape);
                let two = libm::lgamma(1.0 + 2.0 / self.shape);
                libm::sqrt((libm::exp(two - 2.0 * one) - 1.0).max(0.0))
            }
        }
    }

    /// The family and shape under which these gaps are most likely, each parameter paid for (the Bayesian criterion); too
    /// few gaps are taken as Poisson. Gaps of zero, which no clock measured, count as half the smallest other.
    pub(crate) fn fit(gaps: &[f64]) -> Self {
        let Some(sample) = Sample::of(gaps) else {
            return Self::POISSON;
        };
        let exponential = -1.0;
        let gamma = sample.gamma();
        let weibull = sample.weibull();
        // The mean likelihood by which one more parameter pays for itself.
        let price = 0.5 * libm::log(sample.n) / sample.n;
        let (best, family, shape) = if gamma.0 >= weibull.0 {
            (gamma.0, Family::Gamma, gamma.1)
        } else {
            (weibull.0, Family::Weibull, weibull.1)
        };
        if best - exponential > price {
            Self::new(family, rounded(shape))
        } else {
            Self::POISSON
        }
    }

    fn weibull_mean(self) -> f64 {
        libm::exp(libm::lgamma(1.0 + 1.0 / self.shape))
    }
}

/// Gaps with mean 1, none of them zero.
struct Sample {
    gaps: Vec<f64>,
    /// Mean of their logarithms.
    log: f64,
    n: f64,
}

impl Sample {
    fn of(all: &[f64]) -> Option<Self> {
        let step = all.len().div_ceil(GAPS_MAX).max(1);
        let mut gaps: Vec<f64> = all.iter().copied().step_by(step).collect();
        let n = real(gaps.len() as u64);
        let positive = gaps.iter().copied().filter(|gap| *gap > 0.0);
        let least = positive.fold(f64::INFINITY, f64::min) / 2.0;
        if gaps.len() < GAPS_MIN || !least.is_finite() {
            return None;
        }
        for gap in &mut gaps {
            *gap = gap.max(least);
        }
        let mean = gaps.iter().sum::<f64>() / n;
        for gap in &mut gaps {
            *gap /= mean;
        }
        let log = gaps.iter().map(|gap| libm::log(*gap)).sum::<f64>() / n;
        Some(Self { gaps, log, n })
    }

    /// Mean log likelihood and shape of the most likely gamma distribution.
    fn gamma(&self) -> (f64, f64) {
        // For a mean of 1 the shape solves ln k - digamma(k) = -mean ln x, whose left side falls.
        let target = -self.log;
        let shape = bisected(GAMMA_MIN, |shape| libm::log(shape) - digamma(shape) > target);
        let likelihood = shape * libm::log(shape) - libm::lgamma(shape) + (shape - 1.0) * self.log - shape;
        (likelihood, shape)
    }

    /// Mean log likelihood and shape of the most likely Weibull distribution.
    fn weibull(&self) -> (f64, f64) {
        let powers = |shape: f64| {
            self.gaps.iter().fold((0.0, 0.0), |(sum, logs), gap| {
                let log = libm::log(*gap);
                let power = libm::exp((shape * log).min(600.0));
                (sum + power, logs + power * log)
            })
        };
        // The shape solves 1/k = Σ x^k ln x / Σ x^k - mean ln x, whose right side grows.
        let shape = bisected(WEIBULL_MIN, |shape| {
            let (sum, logs) = powers(shape);
            1.0 / shape > logs / sum - self.log
        });
        let scale = powers(shape).0 / self.n;
        let likelihood = libm::log(shape) - libm::log(scale) + (shape - 1.0) * self.log - 1.0;
        (likelihood, shape)
    }
}

/// The shape from `min` on up to which something holds, to six digits.
fn bisected(min: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (libm::log(min), libm::log(SHAPE_MAX));
    // 12.2 halved 24 times is 7e-7.
    for _ in 0..24 {
        let middle = 0.5 * (low + high);
        if holds(libm::exp(middle)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    libm::exp(0.5 * (low + high))
}

/// The derivative of the logarithm of the gamma function: moved up to 8, then its asymptotic series.
fn digamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 8.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = inverse * (1.0 / 12.0 - inverse * (1.0 / 120.0 - inverse * (1.0 / 252.0 - inverse / 240.0)));
    sum + libm::log(x) - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, Purpose};
    use super::*;

    fn gaps(renewal: Renewal, n: u64) -> Vec<f64> {
        let chance = Chance::new(11).of(renewal.family.name());
        (0..n)
            .map(|k| renewal.gap(&mut chance.at(Purpose::Gap, k)))
            .collect()
    }

    const RENEWALS: [(Family, f64); 8] = [
        (Family::Exponential, 1.0),
        (Family::Gamma, 0.2),
        (Family::Gamma, 0.6),
        (Family::Gamma, 4.0),
        (Family::Weibull, 0.4),
        (Family::Weibull, 0.7),
        (Family::Weibull, 2.0),
        (Family::Gamma, 0.05),
    ];

    #[test]
    fn gaps_have_mean_one_and_their_cv() {
        for (family, shape) in RENEWALS {
            let renewal = Renewal::new(family, shape);
            let drawn = gaps(renewal, 50_000);
            let n = real(drawn.len() as u64);
            let mean = drawn.iter().sum::<f64>() / n;
            let square = drawn.iter().map(|gap| gap * gap).sum::<f64>() / n;
            let cv = (square - mean * mean).sqrt() / mean;
            let error = 4.0 * renewal.cv() / n.sqrt();
            assert!((mean - 1.0).abs() < error, "{renewal:?}: mean {mean}");
            assert!((cv / renewal.cv() - 1.0).abs() < 0.12, "{renewal:?}: cv {cv}");
        }
    }

    #[test]
    fn the_family_and_shape_of_drawn_gaps_are_found() {
        for (family, shape) in RENEWALS {
            let renewal = Renewal::new(family, shape);
            let found = Renewal::fit(&gaps(renewal, 20_000));
            assert_eq!(found.family, family, "{renewal:?}: {found:?}");
            assert!((found.shape / shape - 1.0).abs() < 0.03, "{renewal:?}: {found:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_poisson() {
        for gaps in [&[][..], &[1.0; 19], &[0.0; 100], &[f64::NAN; 100]] {
            assert_eq!(Renewal::fit(gaps), Renewal::POISSON, "{gaps:?}");
        }
        // The heaviest of tails, and a clock.
        let heavy = Renewal::new(Family::Weibull, 0.0);
        let gap = heavy.gap(&mut Chance::new(1).at(Purpose::Gap, 1));
        assert!(heavy.cv().is_finite() && gap > 0.0 && gap.is_finite(), "{gap}");
        assert!(Renewal::fit(&[2.5; 100]).cv() < 0.05);
    }

    /// However long the span and wherever it begins, the mean number of arrivals is its length.
    #[test]
    fn a_span_has_as_many_arrivals_as_it_is_long() {
        for (family, shape) in RENEWALS {
            let renewal = Renewal::new(family, shape);
            let (mut arrivals, worlds, span) = (0_u64, 4_000, 5.0);
            for world in 0..worlds {
                let chance = Chance::new(world);
                let mut at = renewal.first(&mut chance.at(Purpose::Count, 0));
                let mut k = 0;
                while at < span {
                    arrivals += 1;
                    at += renewal.gap(&mut chance.at(Purpose::Gap, k));
                    k += 1;
                }
            }
            let mean = real(arrivals) / real(worlds) / span;
            let error = 4.0 * renewal.cv().max(1.0) / (real(worlds) * span).sqrt();
            assert!(
                (mean - 1.0).abs() < error,
                "{renewal:?}: {mean}, at most {error} off"
            );
        }
    }

    #[test]
    fn the_digamma_function_has_its_known_values() {
        for (x, expected) in [
            (1.0, -0.577_215_664_901_533),
            (0.5, -1.963_510_026_021_423),
            (10.0, 2.251_752_589_066_721),
        ] {
            assert!((digamma(x) - expected).abs() < 1e-9, "{x}");
        }
    }
}

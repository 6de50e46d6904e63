//! Statistics over years: means with intervals, quantiles with theirs, tails. Floats, for they are estimates; summed in the
//! order of the years, with operations that every machine rounds alike.

use schemars::JsonSchema;
use serde::Serialize;

use crate::contingency::Label;
use crate::figure::Figure;

/// Standard errors on either side of 95 per cent.
const Z: f64 = 1.96;

/// A mean over years.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mean {
    /// Half of the interval at 95 per cent, by the normal law; absent where all years are the same, a single one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_width: Option<Figure>,
    pub mean: Figure,
}

/// What a share of years stays at or below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quantile {
    /// The interval at 95 per cent, by ranks; an end is absent where there are too few years to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<Figure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<Figure>,
    /// Of a hundred years, how many.
    pub of_100: u8,
    pub value: Figure,
}

/// The worst years.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tail {
    /// What it is in those of the worst years on average (conditional value at risk).
    pub mean: Mean,
    /// Of a hundred years, how many are the worst.
    pub of_100: u8,
    /// How many of the drawn years that is.
    pub years: u32,
}

/// A quantity over years.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spread {
    pub label: Label,
    pub max: Figure,
    pub mean: Mean,
    /// The middle year, then 90, 95 (value at risk), 99 of a hundred.
    pub quantiles: Vec<Quantile>,
    pub worst: Tail,
}

const QUANTILES: [u8; 4] = [50, 90, 95, 99];
const TAIL_OF_100: u8 = 5;

/// A whole number as a float; what is beyond 2^53 loses digits that no estimate has.
#[expect(clippy::cast_precision_loss, reason = "an estimate has four digits")]
pub(super) const fn real(value: u64) -> f64 {
    value as f64
}

impl Mean {
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (n, mean, variance) = moments(values);
        Self::scattering(n, mean, variance)
    }

    /// Of so many values, by their variance; values that are all the same say nothing of how they scatter.
    fn scattering(n: f64, mean: f64, variance: Option<f64>) -> Self {
        let variance = variance.filter(|variance| *variance > 0.0);
        Self {
            half_width: variance.map(|variance| Figure::new(Z * (variance / n).sqrt())),
            mean: Figure::new(mean),
        }
    }

    /// As people read it: with its interval, where it has one.
    pub(crate) fn short(&self) -> String {
        self.said(Figure::short)
    }

    /// The same of a share.
    pub(crate) fn percent(&self) -> String {
        self.said(Figure::percent)
    }

    fn said(&self, say: fn(&Figure) -> String) -> String {
        match &self.half_width {
            Some(half) => format!("{} ± {}", say(&self.mean), say(half)),
            None => say(&self.mean),
        }
    }
}

impl Spread {
    /// Of values in the order of their years.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let years = sorted.len();
        let worst = (years * usize::from(TAIL_OF_100)).div_ceil(100).max(1);
        Self {
            label: Label::Modelled,
            max: Figure::new(sorted.last().copied().unwrap_or_default()),
            mean: Mean::of(values.iter().copied()),
            quantiles: QUANTILES.map(|of_100| quantile(&sorted, of_100)).to_vec(),
            worst: Tail {
                mean: tail_mean(&sorted, worst),
                of_100: TAIL_OF_100,
                years: u32::try_from(worst).unwrap_or(u32::MAX),
            },
        }
    }
}

impl Spread {
    /// The part of all years' sum that is the worst years'.
    pub(super) fn in_the_worst(&self, years: u32) -> f64 {
        let all = self.mean.mean.value() * f64::from(years);
        let worst = self.worst.mean.mean.value() * f64::from(self.worst.years);
        if all > 0.0 { worst / all } else { 0.0 }
    }
}

/// The mean of the worst. Where they begin is estimated, too, which adds to its scatter: the asymptotic variance of an
/// estimated conditional value at risk, `(s² + p (mean − q)²) / n` with `q` the quantile `p` where they begin.
fn tail_mean(sorted: &[f64], worst: usize) -> Mean {
    let (n, mean, variance) = moments(sorted.iter().rev().take(worst).copied());
    let p = 1.0 - f64::from(TAIL_OF_100) / 100.0;
    let begin = sorted.iter().rev().nth(worst);
    let variance = variance
        .zip(begin)
        .map(|(variance, begin)| variance + p * (mean - begin) * (mean - begin));
    Mean::scattering(n, mean, variance)
}

/// How many values, their mean, and the variance of what they are drawn from; none of a single one.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64, Option<f64>) {
    let n = real(values.clone().count() as u64).max(1.0);
    let mean = values.clone().sum::<f64>() / n;
    let squares = values.map(|value| (value - mean) * (value - mean)).sum::<f64>();
    (n, mean, (n > 1.0).then(|| squares / (n - 1.0)))
}

/// The least value that so many of a hundred years do not exceed, and the ranks between which the true one lies.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are small, and a negative one is none"
)]
fn quantile(sorted: &[f64], of_100: u8) -> Quantile {
    let (n, share) = (real(sorted.len() as u64), f64::from(of_100) / 100.0);
    let rank = (sorted.len() * usize::from(of_100)).div_ceil(100).max(1);
    let at = |rank: usize| rank.checked_sub(1).and_then(|ix| sorted.get(ix)).copied();
    let deviation = Z * (n * share * (1.0 - share)).sqrt();
    Quantile {
        high: at((n * share + deviation).ceil() as usize + 1).map(Figure::new),
        low: at((n * share - deviation).floor().max(0.0) as usize).map(Figure::new),
        of_100,
        value: Figure::new(at(rank).unwrap_or_default()),
    }
}

/// The share of years that had something, with its interval at 95 per cent (Wilson); where none had, three in the number
/// of years at most, where all had, as many less than all.
pub(super) fn share(part: u64, whole: u64) -> (f64, f64, f64) {
    let (n, p) = (real(whole).max(1.0), real(part) / real(whole).max(1.0));
    if part == 0 {
        return (0.0, 0.0, (3.0 / n).min(1.0));
    }
    if part == whole {
        return (1.0, (1.0 - 3.0 / n).max(0.0), 1.0);
    }
    let square = Z * Z;
    let middle = (p + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt() / (1.0 + square / n);
    (p, (middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_textbook() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let spread = Spread::of(&values);
        assert_eq!(spread.mean.mean, Figure::new(50.5));
        // The deviation of 1 to 100 is 29.01; 1.96 × 29.01 / 10.
        assert_eq!(spread.mean.half_width, Some(Figure::new(5.686)));
        let values: Vec<String> = spread.quantiles.iter().map(|one| one.value.short()).collect();
        assert_eq!(values, ["50", "90", "95", "99"]);
        assert_eq!(spread.quantiles[0].low, Some(Figure::new(40.0)));
        assert_eq!(spread.quantiles[0].high, Some(Figure::new(61.0)));
        assert_eq!(
            spread.quantiles[3].high, None,
            "a hundred years do not bound the hundredth"
        );
        assert_eq!(spread.worst.mean.mean, Figure::new(98.0));
        // 1.96 × √((2.5 + 0.95 × (98 − 95)²) / 5).
        assert_eq!(spread.worst.mean.half_width, Some(Figure::new(2.914)));
        // 96 to 100, of 5,050.
        assert!((spread.in_the_worst(100) - 490.0 / 5_050.0).abs() < 1e-3);
        assert!(Spread::of(&[0.0, 0.0]).in_the_worst(2) == 0.0);
        assert_eq!((spread.worst.years, spread.max.short()), (5, "100".to_owned()));
        assert_eq!(Spread::of(&[7.0]).mean.half_width, None);
        let never = Spread::of(&[0.0; 40]);
        assert_eq!((never.mean.half_width, never.worst.mean.half_width), (None, None));
    }

    #[test]
    fn a_share_never_claims_to_be_certain() {
        assert_eq!(share(0, 300), (0.0, 0.0, 0.01));
        assert_eq!(share(300, 300), (1.0, 0.99, 1.0));
        assert_eq!(share(0, 2), (0.0, 0.0, 1.0));
        let (p, low, high) = share(50, 100);
        assert!(
            (p, low, high) > (0.499, 0.40, 0.59) && low < 0.41 && high < 0.60,
            "{low} {high}"
        );
    }
}

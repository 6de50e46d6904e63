//! Sizes and times as distributions: one value, a lognormal with clamps, or a table of quantiles; drawn from, and fitted.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::chance::Draw;
use super::{real, rounded, whole};

/// Rows of a table of quantiles: more than a fit writes.
const QUANTILES_MAX: usize = 128;

/// Above 5 the mean of a lognormal is 268,000 times its median: nothing that is counted in tokens is like that.
const SIGMA_MAX: f64 = 5.0;

/// The quantiles that a fit writes at least, in per mille; flat runs are left out.
const PERMILLES: [u16; 24] = [
    0, 10, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900, 950, 990,
    999, 1000,
];

/// A fit adds quantiles where two of them do not carry the mean between them, up to this many …
const QUANTILES_FITTED_MAX: usize = 48;
/// … or until none of them is off by more than this part of the whole mean.
const MEAN_ERROR: f64 = 0.001;

/// How a number is distributed.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Distribution {
    Constant {
        value: f64,
    },
    /// The logarithm is normal; what is drawn below `min` or above `max` is taken as that.
    Lognormal {
        max: f64,
        median: f64,
        min: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    Quantiles {
        /// Per mille of the draws that are at most this, and this; from 0 to 1,000, both rising. Between two rows the
        /// logarithm is even.
        quantiles: Vec<(u16, f64)>,
    },
}

// === impl Distribution ===

impl Distribution {
    pub(crate) const fn constant(value: f64) -> Self {
        Self::Constant { value }
    }

    pub(crate) fn draw(&self, draw: &mut Draw) -> f64 {
        match self {
            Self::Constant { value } => *value,
            Self::Lognormal {
                max,
                median,
                min,
                sigma,
            } => (median * libm::exp(sigma * draw.normal())).clamp(*min, *max),
            Self::Quantiles { quantiles } => quantile(quantiles, draw.unit() * 1_000.0),
        }
    }

    /// A draw as a whole number, of which the largest is not one: it stands for unknown.
    pub(crate) fn draw_whole(&self, draw: &mut Draw) -> u32 {
        let drawn = whole(self.draw(draw) + 0.5);
        u32::try_from(drawn).unwrap_or(u32::MAX).min(u32::MAX - 1)
    }

    /// What these numbers are like; of no number, nothing. Sorts them.
    pub(crate) fn fit(numbers: &mut [f64]) -> Option<Self> {
        numbers.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        if min >= max {
            return Some(Self::constant(rounded(min)));
        }
        if let Some(lognormal) = lognormal(numbers, min, max) {
            return Some(lognormal);
        }
        Some(Self::Quantiles {
            quantiles: table(numbers),
        })
    }

    /// What is wrong with it, if anything is.
    fn problem(&self) -> Option<String> {
        let is_size = |x: &f64| x.is_finite() && *x >= 0.0;
        match self {
            Self::Constant { value } => {
                (!is_size(value)).then(|| format!("{value} is no size: a number from 0 on is expected"))
            }
            Self::Lognormal {
                max,
                median,
                min,
                sigma,
            } => {
                if !is_size(median) || *median <= 0.0 {
                    return Some("`median` is not above 0".to_owned());
                }
                if !is_size(sigma) || *sigma > SIGMA_MAX {
                    return Some(format!("`sigma` is not between 0 and {SIGMA_MAX}"));
                }
                (!is_size(min) || max.is_nan() || min > max).then(|| "`min` is above `max`".to_owned())
            }
            Self::Quantiles { quantiles } => {
                let rising = quantiles.iter().zip(quantiles.iter().skip(1));
                let rises = rising.fold(true, |so_far, (a, b)| so_far && a.0 < b.0 && a.1 <= b.1);
                let ends = [quantiles.first(), quantiles.last()].map(|row| row.map(|row| row.0));
                if ends != [Some(0), Some(1_000)] || !rises || quantiles.len() > QUANTILES_MAX {
                    return Some(format!(
                        "`quantiles` is not a list of at most {QUANTILES_MAX} rows [per mille, value] that rise from 0 \
                         to 1000"
                    ));
                }
                let sizes = quantiles.iter().all(|(_, value)| is_size(value));
                (!sizes).then(|| "`quantiles` has a value that is no size".to_owned())
            }
        }
    }
}

/// The value at a place between 0 and 1,000 of a table.
fn quantile(table: &[(u16, f64)], at: f64) -> f64 {
    let above = table.partition_point(|(permille, _)| f64::from(*permille) < at);
    let high = table.get(above).or(table.last());
    let low = table.get(above.saturating_sub(1));
    let (Some((from, low)), Some((to, high))) = (low, high) else {
        return 0.0;
    };
    if to <= from {
        return *high;
    }
    let part = (at - f64::from(*from)) / f64::from(to - from);
    if *low > 0.0 {
        low * libm::pow(high / low, part)
    } else {
        low + (high - low) * part
    }
}

/// The order statistic at so many per mille of sorted numbers, between two of them by even parts.
fn order(sorted: &[f64], permille: u16) -> f64 {
    let place = real(sorted.len() as u64 - 1) * f64::from(permille) / 1_000.0;
    let below = usize::try_from(whole(place)).unwrap_or_default();
    let low = sorted.get(below).copied().unwrap_or_default();
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    low + (high - low) * (place - real(below as u64))
}

/// The quantiles of sorted numbers: those of [`PERMILLES`], and halves between two that are off in the mean.
fn table(sorted: &[f64]) -> Vec<(u16, f64)> {
    let row = |permille: u16| (permille, rounded(order(sorted, permille)));
    let mut rows: Vec<(u16, f64)> = PERMILLES.map(row).to_vec();
    let mut errors: Vec<f64> = pairs(&rows)
        .map(|(low, high)| mean_error(sorted, low, high))
        .collect();
    let mean = sorted.iter().sum::<f64>() / real(sorted.len() as u64);
    while rows.len() < QUANTILES_FITTED_MAX {
        let splits = errors.iter().enumerate().zip(pairs(&rows));
        let splits =
            splits.filter(|((_, error), (low, high))| **error > MEAN_ERROR * mean && high.0 - low.0 > 1);
        let worst = splits.max_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        let Some(((ix, _), (low, high))) = worst else {
            break;
        };
        let middle = row(low.0.midpoint(high.0));
        errors.splice(
            ix..=ix,
            [mean_error(sorted, low, middle), mean_error(sorted, middle, high)],
        );
        rows.insert(ix + 1, middle);
    }
    let is_flat = |ix: usize| {
        let value = |ix: usize| rows.get(ix).map(|row: &(u16, f64)| row.1.to_bits());
        ix > 0 && value(ix - 1) == value(ix) && value(ix) == value(ix + 1)
    };
    let kept = rows.iter().enumerate().filter(|(ix, _)| !is_flat(*ix));
    kept.map(|(_, row)| *row).collect()
}

fn pairs(rows: &[(u16, f64)]) -> impl Iterator<Item = ((u16, f64), (u16, f64))> {
    rows.iter().copied().zip(rows.iter().copied().skip(1))
}

/// By how much draws between two quantiles miss the mean of the numbers there, as a part of all numbers.
fn mean_error(sorted: &[f64], (from, low): (u16, f64), (to, high): (u16, f64)) -> f64 {
    let rank = |permille: u16| sorted.len() * usize::from(permille) / 1_000;
    let numbers = sorted.get(rank(from)..rank(to)).unwrap_or_default();
    if numbers.is_empty() {
        return 0.0;
    }
    let found = numbers.iter().sum::<f64>() / real(numbers.len() as u64);
    let drawn = if low > 0.0 && high > low {
        (high - low) / libm::log(high / low)
    } else {
        0.5 * (low + high)
    };
    (found - drawn).abs() * f64::from(to - from) / 1_000.0
}

/// The lognormal of sorted numbers, if they do not refute it: the largest distance of their distribution from it is below
/// 1.36/√n (Kolmogorov and Smirnov at 5 %), or one in a hundred, which no rehearsal feels.
fn lognormal(sorted: &[f64], min: f64, max: f64) -> Option<Distribution> {
    if min <= 0.0 {
        return None;
    }
    let n = real(sorted.len() as u64);
    let logs = || sorted.iter().map(|x| libm::log(*x));
    let mean = logs().sum::<f64>() / n;
    let variance = logs().map(|log| (log - mean) * (log - mean)).sum::<f64>() / n;
    let sigma = libm::sqrt(variance);
    if !(sigma > 0.0 && sigma <= SIGMA_MAX) {
        return None;
    }
    let distances = logs().zip(1_u64..).map(|(log, rank)| {
        let expected = 0.5 * libm::erfc((mean - log) / (sigma * core::f64::consts::SQRT_2));
        (expected - real(rank) / n)
            .abs()
            .max((expected - real(rank - 1) / n).abs())
    });
    let distance = distances.fold(0.0, f64::max);
    (distance <= (1.36 / libm::sqrt(n)).max(0.01)).then(|| Distribution::Lognormal {
        max: rounded(max),
        median: rounded(libm::exp(mean)),
        min: rounded(min),
        sigma: rounded(sigma),
    })
}

/// A number alone stands for itself; else a table with `value`, with `median` and `sigma` (and `min`, `max`), or with
/// `quantiles`.
impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = deserializer.deserialize_any(Reader)?;
        match read.problem() {
            Some(problem) => Err(de::Error::custom(problem)),
            None => Ok(read),
        }
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Distribution;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, { median, sigma }, or { quantiles }")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Distribution, E> {
        Ok(Distribution::Constant { value })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Distribution, E> {
        let size =
            u64::try_from(value).map_err(|_| E::custom(format!("{value} is no size: it is negative")))?;
        self.visit_u64(size)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Distribution, E> {
        Ok(Distribution::constant(real(value)))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Distribution, M::Error> {
        let (mut min, mut max) = (0.0, f64::from(u32::MAX));
        let (mut value, mut median, mut sigma, mut quantiles) = (None, None, None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "max" => max = map.next_value()?,
                "median" => median = Some(map.next_value()?),
                "min" => min = map.next_value()?,
                "quantiles" => quantiles = Some(map.next_value()?),
                "sigma" => sigma = Some(map.next_value()?),
                "value" => value = Some(map.next_value()?),
                other => {
                    let known = &["max", "median", "min", "quantiles", "sigma", "value"];
                    return Err(de::Error::unknown_field(other, known));
                }
            }
        }
        match (value, median, sigma, quantiles) {
            (Some(value), None, None, None) => Ok(Distribution::Constant { value }),
            (None, Some(median), Some(sigma), None) => Ok(Distribution::Lognormal {
                max,
                median,
                min,
                sigma,
            }),
            (None, None, None, Some(quantiles)) => Ok(Distribution::Quantiles { quantiles }),
            _ => Err(de::Error::custom(
                "a distribution has `value`, or `median` and `sigma`, or `quantiles`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::{Chance, Purpose};
    use super::*;

    fn drawn(distribution: &Distribution, n: u64) -> Vec<f64> {
        let chance = Chance::new(5);
        (0..n)
            .map(|k| distribution.draw(&mut chance.at(Purpose::Input, k)))
            .collect()
    }

    fn mean(numbers: &[f64]) -> f64 {
        numbers.iter().sum::<f64>() / real(numbers.len() as u64)
    }

    #[test]
    fn a_lognormal_is_found_again() {
        let law = Distribution::Lognormal {
            max: 30_000.0,
            median: 900.0,
            min: 2.0,
            sigma: 1.1,
        };
        let mut numbers = drawn(&law, 20_000);
        let Some(Distribution::Lognormal { median, sigma, .. }) = Distribution::fit(&mut numbers) else {
            panic!("no lognormal");
        };
        assert!((median / 900.0 - 1.0).abs() < 0.03, "{median}");
        assert!((sigma / 1.1 - 1.0).abs() < 0.03, "{sigma}");
    }

    #[test]
    fn what_is_no_lognormal_becomes_a_table_that_keeps_mean_and_median() {
        // Two kinds of prompts in one.
        let mut numbers: Vec<f64> = (0..4_000).map(|k| f64::from(20 + k % 30)).collect();
        numbers.extend((0..1_000).map(|k| f64::from(6_000 + k)));
        let before = mean(&numbers);
        let table = Distribution::fit(&mut numbers).unwrap();
        assert!(matches!(table, Distribution::Quantiles { .. }), "{table:?}");
        let mut again = drawn(&table, 40_000);
        assert!(
            (mean(&again) / before - 1.0).abs() < 0.03,
            "{} {before}",
            mean(&again)
        );
        again.sort_unstable_by(f64::total_cmp);
        assert!((order(&again, 500) - order(&numbers, 500)).abs() < 2.0);
        assert_eq!(
            Distribution::fit(&mut [7.0, 7.0]),
            Some(Distribution::constant(7.0))
        );
        assert_eq!(Distribution::fit(&mut []), None);
    }

    #[test]
    fn distributions_are_read_or_refused() {
        #[derive(Debug, Deserialize)]
        struct Table {
            d: Distribution,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.d);
        assert_eq!(read("d = 5").unwrap(), Distribution::constant(5.0));
        assert_eq!(read("d = { value = 0.5 }").unwrap(), Distribution::constant(0.5));
        assert!(matches!(
            read("d = { median = 10, sigma = 1 }").unwrap(),
            Distribution::Lognormal { .. }
        ));
        for (text, expected) in [
            ("d = -1", "negative"),
            ("d = nan", "no size"),
            ("d = 'x'", "a number, { median, sigma }, or { quantiles }"),
            ("d = {}", "has `value`"),
            ("d = { median = 1 }", "has `value`"),
            ("d = { value = 1, median = 1, sigma = 1 }", "has `value`"),
            ("d = { median = 0, sigma = 1 }", "above 0"),
            ("d = { median = 1, sigma = 9 }", "between 0 and 5"),
            ("d = { median = 1, sigma = inf }", "between 0 and 5"),
            ("d = { median = 1, sigma = 1, min = 3, max = 2 }", "above `max`"),
            ("d = { mean = 1 }", "unknown field `mean`"),
            ("d = { quantiles = [] }", "rise from 0"),
            ("d = { quantiles = [[0, 1], [1000, 0]] }", "rise from 0"),
            ("d = { quantiles = [[0, 1], [500, 2]] }", "rise from 0"),
            ("d = { quantiles = [[0, 1], [1000, inf]] }", "no size"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

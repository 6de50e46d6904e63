//! What a deployment charges, as a log's calls agree on it: two calls make two equations, and the prices that most others
//! bear out are the prices. LiteLLM writes what it computed with its own list, so that what it knew stands in its log.
//!
//! Only calls without cached or reasoning tokens are looked at, for these have prices of their own. Bounds:
//! [`SAMPLES_MAX`] calls of each of [`LANES_MAX`] deployments, [`PAIRS_MAX`] pairs.

use std::collections::BTreeMap;

/// Calls of one deployment that are looked at.
const SAMPLES_MAX: usize = 256;

/// Deployments that are looked at: 4,096 × 256 × 16 bytes are 16 MB.
const LANES_MAX: usize = 4_096;

/// Pairs of calls that are solved.
const PAIRS_MAX: usize = 64;

/// Calls that must agree, and how many of a hundred: fewer are a coincidence.
const AGREE_MIN: usize = 5;
const AGREE_PERCENT: usize = 90;

/// Prices are round: multiples of these, in pico-dollars a token, the roundest first.
const GRIDS: [u64; 5] = [100_000, 10_000, 2_500, 500, 1];

/// Price of a token of input and of output, in pico-dollars.
pub type Rates = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct Sample {
    cost_nano: u64,
    input: u32,
    output: u32,
}

/// Calls by deployment.
#[derive(Debug, Default)]
pub(super) struct Samples {
    lanes: BTreeMap<u16, Vec<Sample>>,
}

impl Samples {
    pub(super) fn take(
        &mut self,
        lane: u16,
        [input, output, read, written, reasoning]: [u32; 5],
        cost_nano: u64,
    ) {
        if [read, written, reasoning] != [0; 3]
            || (!self.lanes.contains_key(&lane) && self.lanes.len() >= LANES_MAX)
        {
            return;
        }
        let samples = self.lanes.entry(lane).or_default();
        if samples.len() < SAMPLES_MAX {
            samples.push(Sample {
                cost_nano,
                input,
                output,
            });
        }
    }

    /// The prices that are agreed on.
    pub(super) fn agreed(&self) -> BTreeMap<u16, Rates> {
        self.lanes
            .iter()
            .filter_map(|(lane, samples)| Some((*lane, agreed(samples)?)))
            .collect()
    }
}

fn agreed(samples: &[Sample]) -> Option<Rates> {
    let need = (samples.len() * AGREE_PERCENT).div_ceil(100).max(AGREE_MIN);
    let firsts = samples.iter().take(8);
    let pairs = firsts.flat_map(|a| samples.iter().map(move |b| (a, b)));
    let solved = pairs.filter_map(|(a, b)| solve(*a, *b)).take(PAIRS_MAX);
    let rates = solved.filter_map(|rates| rounded(rates, samples, need));
    rates.max_by_key(|(agree, _)| *agree).map(|(_, rates)| rates)
}

/// The two prices that make two calls cost what they did, unrounded.
fn solve(a: Sample, b: Sample) -> Option<(i128, i128)> {
    let wide = |sample: Sample| {
        (
            i128::from(sample.input),
            i128::from(sample.output),
            i128::from(sample.cost_nano) * 1_000,
        )
    };
    let ((ai, ao, ac), (bi, bo, bc)) = (wide(a), wide(b));
    let det = ai * bo - bi * ao;
    // Calls of nearly the same shape say nothing of the two prices apart.
    if det.abs() < 1_000 {
        return None;
    }
    let near = |n: i128| (n * det.signum() + det.abs() / 2).div_euclid(det.abs());
    let (input, output) = (near(ac * bo - bc * ao), near(ai * bc - bi * ac));
    // What was lost in rounding may make a price of nothing less than nothing.
    let of_rounding = |n: i128| (n > -1_000).then_some(n.max(0));
    Some((of_rounding(input)?, of_rounding(output)?))
}

/// The roundest prices near these that enough calls bear out, and how many do.
fn rounded((input, output): (i128, i128), samples: &[Sample], need: usize) -> Option<(usize, Rates)> {
    GRIDS.iter().find_map(|grid| {
        let grid = i128::from(*grid);
        let round = |n: i128| u64::try_from((n + grid / 2) / grid * grid).ok();
        let rates = (round(input)?, round(output)?);
        let agree = samples.iter().filter(|sample| sample.costs(rates)).count();
        (agree >= need).then_some((agree, rates))
    })
}

impl Sample {
    /// Whether it cost what it does at these prices, but for what was lost in rounding.
    fn costs(&self, (input, output): Rates) -> bool {
        let pico = u128::from(self.input) * u128::from(input) + u128::from(self.output) * u128::from(output);
        let recorded = u128::from(self.cost_nano) * 1_000;
        pico.abs_diff(recorded) <= 1_000 + recorded / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(rates: Rates, sizes: &[(u32, u32)]) -> Samples {
        let mut samples = Samples::default();
        for (input, output) in sizes {
            let pico = u64::from(*input) * rates.0 + u64::from(*output) * rates.1;
            samples.take(0, [*input, *output, 0, 0, 0], (pico + 500) / 1_000);
        }
        samples
    }

    const SIZES: [(u32, u32); 6] = [
        (812, 120),
        (40, 900),
        (1_500, 33),
        (210, 210),
        (2_048, 512),
        (77, 5),
    ];

    #[test]
    fn calls_that_agree_make_a_price() {
        let check = |rates: Rates, sizes: &[(u32, u32)], expected: Option<Rates>| {
            assert_eq!(
                samples(rates, sizes).agreed().get(&0).copied(),
                expected,
                "{rates:?} {sizes:?}"
            );
        };
        check((2_500_000, 10_000_000), &SIZES, Some((2_500_000, 10_000_000)));
        check((75_000, 300_000), &SIZES, Some((75_000, 300_000)));
        check((37_500, 150_000), &SIZES, Some((37_500, 150_000)));
        check((2_500_000, 10_000_000), &SIZES[..4], None);
        check((2_500_000, 10_000_000), &[(100, 50); 9], None);
    }

    #[test]
    fn one_call_that_cost_otherwise_does_not_matter_and_many_do() {
        let mut mostly = samples((3_000_000, 15_000_000), &[SIZES, SIZES].concat());
        mostly.take(0, [100, 100, 0, 0, 0], 1);
        assert_eq!(mostly.agreed().get(&0), Some(&(3_000_000, 15_000_000)));
        for _ in 0..4 {
            mostly.take(0, [100, 100, 0, 0, 0], 1);
        }
        assert_eq!(mostly.agreed().get(&0), None);
        mostly.take(1, [100, 100, 1, 0, 0], 1);
        mostly.take(1, [100, 100, u32::MAX, u32::MAX, u32::MAX], 1);
        assert!(!mostly.agreed().contains_key(&1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn round_prices_are_found_again(
            input in 0_u64..1_000, output in 0_u64..4_000,
            sizes in prop::collection::vec((1_u32..20_000, 0_u32..4_000), 8..40),
        ) {
            let rates = (input * 12_500, output * 12_500);
            let found = samples(rates, &sizes).agreed().get(&0).copied();
            // Sizes that all have one shape tell no price; a price that is found is one that the calls bear out.
            if let Some(found) = found {
                for (input, output) in &sizes {
                    let cost = |rates: Rates| u64::from(*input) * rates.0 + u64::from(*output) * rates.1;
                    prop_assert!(cost(found).abs_diff(cost(rates)) <= 2_000 + cost(rates) / 500_000 || found == rates);
                }
            }
        }
    }
}

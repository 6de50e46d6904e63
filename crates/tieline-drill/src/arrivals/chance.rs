//! Chance by counter: a draw is a function of seed, stream, purpose and number, so that another call more or less
//! changes no other draw, and two runs that differ in one thing differ in nothing else.

use tieline_core::{Rng, Seed};
use tieline_note::sha256;

use super::real;

/// A stream of draws: of a seed, and of a name within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chance(u64);

/// What a draw is for: draws for one thing do not disturb those for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    CacheRead = 1,
    CacheWrite,
    Count,
    Gap,
    Group,
    Input,
    Output,
    OutputMax,
    Party,
    PerToken,
    Reasoning,
    Stream,
    Ttft,
}

/// One numbered draw: as many bits as its use needs.
#[derive(Clone, Debug)]
pub(crate) struct Draw(Rng);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    /// The stream of a name.
    pub(crate) fn of(self, name: &str) -> Self {
        let digest = sha256(name.as_bytes());
        let bytes = digest.as_bytes().iter().take(8);
        let name = bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        Self(mixed(self.0 ^ name))
    }

    /// Draw number `k` for a purpose.
    pub(crate) const fn at(self, purpose: Purpose, k: u64) -> Draw {
        let stream = mixed(self.0.wrapping_add(purpose as u64));
        Draw(Rng::new(Seed(mixed(stream ^ k))))
    }
}

impl Draw {
    /// A number between 0 and 1, neither of them: the middle of one of 2^53 equal parts.
    pub(crate) const fn unit(&mut self) -> f64 {
        let parts = self.0.draw() >> 11;
        (real(parts) + 0.5) / real(1 << 53)
    }

    /// A number of the standard normal distribution, by the polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * libm::sqrt(-2.0 * libm::log(square) / square);
            }
        }
    }

    /// A number of the gamma distribution with this shape and scale 1 (Marsaglia and Tsang 2000).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // A power of a uniform number brings a larger shape down to the one that is wanted.
            let power = libm::pow(self.unit(), 1.0 / shape);
            return self.gamma(shape + 1.0) * power;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let cube = 1.0 + c * x;
            if cube <= 0.0 {
                continue;
            }
            let v = cube * cube * cube;
            if libm::log(self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}

/// A number without visible relation to the one that it is made of.
const fn mixed(x: u64) -> u64 {
    Rng::new(Seed(x)).draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_a_function_of_its_place() {
        let chance = Chance::new(7).of("p1");
        let first = chance.at(Purpose::Gap, 3).unit();
        assert_eq!(first.to_bits(), chance.at(Purpose::Gap, 3).unit().to_bits());
        for other in [
            chance.at(Purpose::Gap, 4),
            chance.at(Purpose::Input, 3),
            Chance::new(7).of("p2").at(Purpose::Gap, 3),
            Chance::new(8).of("p1").at(Purpose::Gap, 3),
        ] {
            assert_ne!(other.clone().unit().to_bits(), first.to_bits());
        }
        // As on any machine, in any year.
        assert_eq!(first.to_bits(), 4_601_824_098_371_706_825);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let chance = Chance::new(1);
        let check = |name: &str, draw: &dyn Fn(&mut Draw) -> f64, mean: f64, variance: f64| {
            let n = 40_000;
            let drawn: Vec<f64> = (0..n)
                .map(|k| draw(&mut chance.of(name).at(Purpose::Gap, k)))
                .collect();
            let found = drawn.iter().sum::<f64>() / real(n);
            let spread = drawn.iter().map(|x| (x - found).powi(2)).sum::<f64>() / real(n);
            assert!((found - mean).abs() < 0.03 * variance.sqrt(), "{name}: {found}");
            assert!((spread / variance - 1.0).abs() < 0.1, "{name}: {spread}");
        };
        check("unit", &Draw::unit, 0.5, 1.0 / 12.0);
        check("normal", &Draw::normal, 0.0, 1.0);
        check("gamma 3", &|draw| draw.gamma(3.0), 3.0, 3.0);
        check("gamma 0.4", &|draw| draw.gamma(0.4), 0.4, 0.4);
    }
}

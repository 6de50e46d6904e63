//! Draws by counter: each is a hash of the seed, of what it is drawn for, and of a counter, never the next of a stream. So
//! two runs that differ in one event draw alike everywhere else, and their difference is that event's.
//!
//! The functions of real numbers are made of additions, multiplications and divisions alone, which every machine rounds
//! the same: the system's own logarithm may differ in the last bit, and with it a report's digest.

use tieline_core::{Rng, Seed};

/// What a draw is for. Two purposes never share a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whether a call has a further copy.
    Copy,
    /// How long an incident lasts.
    Duration,
    /// How long nothing happens.
    Gap,
    /// When a copy arrives.
    Jitter,
    /// Whether an incident takes an element out or makes it fail now and then.
    Severity,
}

/// The draws for one entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn for_name(seed: u64, name: &str) -> Self {
        // FNV-1a, 64 bits: names are few, and the mixing comes after.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mixed(mixed(seed) ^ hash))
    }

    pub(super) const fn for_number(seed: u64, number: u64) -> Self {
        Self(mixed(mixed(seed).wrapping_add(number)))
    }

    pub(super) const fn draw(self, purpose: Purpose, counter: u64) -> u64 {
        mixed(mixed(self.0 ^ (purpose as u64 + 1)).wrapping_add(counter))
    }

    /// True for `permille` of a thousand.
    pub(super) const fn chance(self, purpose: Purpose, counter: u64, permille: u32) -> bool {
        self.draw(purpose, counter) % 1_000 < permille as u64
    }

    /// In `(0, 1)`, in steps of 2^-53; never an end.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn fraction(self, purpose: Purpose, counter: u64) -> f64 {
        ((self.draw(purpose, counter) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// From the exponential distribution of mean one.
    pub(super) fn exponential(self, purpose: Purpose, counter: u64) -> f64 {
        -ln(self.fraction(purpose, counter))
    }

    /// From the standard normal distribution, by Marsaglia's polar method.
    pub(super) fn normal(self, purpose: Purpose, counter: u64) -> f64 {
        // A try fails with probability 1 - π/4; after 64 of them, once in 10^42 draws, the median does.
        for attempt in 0..64 {
            let place = counter.wrapping_mul(128).wrapping_add(attempt * 2);
            let u = 2.0 * self.fraction(purpose, place) - 1.0;
            let v = 2.0 * self.fraction(purpose, place.wrapping_add(1)) - 1.0;
            let s = u * u + v * v;
            if s < 1.0 && s > 0.0 {
                return u * (-2.0 * ln(s) / s).sqrt();
            }
        }
        0.0
    }
}

const fn mixed(value: u64) -> u64 {
    Rng::new(Seed(value)).draw()
}

/// The natural logarithm of a positive number.
fn ln(x: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let (mut mantissa, mut doublings) = (x, 0.0);
    // At most 1,100 halvings or doublings of a finite number, and each is exact.
    while mantissa > 1.5 {
        mantissa *= 0.5;
        doublings += 1.0;
    }
    while mantissa < 0.75 {
        mantissa *= 2.0;
        doublings -= 1.0;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), where the fraction is at most a fifth: 11 terms leave less than 2^-53.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let (square, mut power, mut sum, mut odd) = (z * z, z, 0.0, 1.0);
    for _ in 0..12 {
        sum += power / odd;
        power *= square;
        odd += 2.0;
    }
    2.0 * sum + doublings * LN_2
}

/// The exponential function, up to e^700.
pub(super) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    // e^x = (e^(x / 1024))^1024, and the inner exponent is below one.
    let small = x / 1_024.0;
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    for _ in 0..20 {
        term *= small / n;
        sum += term;
        n += 1.0;
    }
    for _ in 0..10 {
        sum *= sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_those_of_the_textbook() {
        for x in [1e-16_f64, 0.001, 0.5, 0.75, 1.0, 1.5, 2.0, 10.0, 1e300] {
            let expected = x.ln();
            assert!(
                (ln(x) - expected).abs() <= 1e-14 * expected.abs().max(1.0),
                "ln {x}"
            );
        }
        for x in [-20.0, -1.0, 0.0, 0.1, 1.0, 4.4, 30.0, 700.0_f64] {
            let expected = x.exp();
            assert!((exp(x) - expected).abs() <= 1e-11 * expected, "exp {x}");
        }
        assert_eq!(ln(1.0).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn draws_follow_their_laws() {
        let n = 20_000_u32;
        let draws = Draws::for_name(7, "cloud:aws");
        let mean = |of: &dyn Fn(u64) -> f64| (0..u64::from(n)).map(of).sum::<f64>() / f64::from(n);
        let normal = |k| draws.normal(Purpose::Duration, k);
        assert!(mean(&normal).abs() < 0.03);
        assert!((mean(&|k| normal(k) * normal(k)) - 1.0).abs() < 0.05);
        let beyond_two = mean(&|k| if normal(k) > 2.0 { 1.0 } else { 0.0 });
        assert!((beyond_two - 0.022_75).abs() < 0.005, "{beyond_two}");
        assert!((mean(&|k| draws.exponential(Purpose::Gap, k)) - 1.0).abs() < 0.03);
        let share = mean(&|k| {
            if draws.chance(Purpose::Copy, k, 300) {
                1.0
            } else {
                0.0
            }
        });
        assert!((share - 0.3).abs() < 0.015, "{share}");
    }

    #[test]
    fn a_draw_is_its_counter_and_nothing_else() {
        let (a, b) = (Draws::for_name(1, "a"), Draws::for_name(1, "b"));
        assert_eq!(
            a.draw(Purpose::Gap, 3),
            Draws::for_name(1, "a").draw(Purpose::Gap, 3)
        );
        let all = [
            a.draw(Purpose::Gap, 3),
            a.draw(Purpose::Gap, 4),
            a.draw(Purpose::Copy, 3),
            b.draw(Purpose::Gap, 3),
            Draws::for_name(2, "a").draw(Purpose::Gap, 3),
            Draws::for_number(1, 0).draw(Purpose::Gap, 3),
            Draws::for_number(1, 1).draw(Purpose::Gap, 3),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}

//! Randomness as an argument. A [`Seed`] is drawn by the shell for each call and recorded with it; everything random
//! in a decision comes from it through [`Rng`], so a replay draws the same.

use serde::{Deserialize, Serialize};

/// The entropy of one call: 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub u64);

/// A small deterministic generator, splitmix64 (Steele, Lea, Flood 2014): statistical quality for choices among
/// channels, not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: Seed) -> Self {
        Self(seed.0)
    }

    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

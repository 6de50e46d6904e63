//! What a channel charges for a model: a rate for each disjoint counter of tokens, and other rates for long prompts.
//!
//! Unknown is not zero. A counter that usually has no rate of its own falls back to the one that it is part of (reasoning
//! to the answer, pictures to the prompt); sound, which everywhere costs more than text, has no fallback: without its
//! rate the cost is unknown.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::mark::Usage;
use crate::money::{Nano, PicoPerToken};

/// What a channel charges for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<PicoPerToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PicoPerToken>,
    pub cache_read: PicoPerToken,
    pub cache_write: PicoPerToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoPerToken>,
    pub input: PicoPerToken,
    pub output: PicoPerToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PicoPerToken>,
    #[serde(default, skip_serializing_if = "Tiers::is_empty")]
    pub tiers: Tiers,
}

/// The rates of a whole call whose prompt is longer than `over` tokens, caches included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub over: u64,
    pub rates: Rates,
}

/// As those of a [`Price`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<PicoPerToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PicoPerToken>,
    pub cache_read: PicoPerToken,
    pub cache_write: PicoPerToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoPerToken>,
    pub input: PicoPerToken,
    pub output: PicoPerToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PicoPerToken>,
}

/// Tiers of one price, ascending by `over`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tiers([Option<Tier>; TIERS_MAX]);

/// The longest published price list has four steps, so three beside the first.
pub const TIERS_MAX: usize = 4;

impl Price {
    pub const fn new(rates: Rates, tiers: Tiers) -> Self {
        Self {
            audio: rates.audio,
            audio_output: rates.audio_output,
            cache_read: rates.cache_read,
            cache_write: rates.cache_write,
            image: rates.image,
            input: rates.input,
            output: rates.output,
            reasoning: rates.reasoning,
            tiers,
        }
    }

    /// The cost of `usage`, in pico-dollars summed exactly, then rounded up to a nano-dollar; none if it has sound and the
    /// price of sound is unknown.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<Nano> {
        let rates = self.rates_of(usage.prompt());
        let sound = |tokens: u64, rate: Option<PicoPerToken>| match (tokens, rate) {
            (0, _) => Some((PicoPerToken(0), 0)),
            (tokens, rate) => Some((rate?, tokens)),
        };
        let parts = [
            (rates.input, usage.input),
            (rates.cache_read, usage.cache_read),
            (rates.cache_write, usage.cache_write),
            (rates.output, usage.output),
            (rates.reasoning.unwrap_or(rates.output), usage.reasoning),
            (rates.image.unwrap_or(rates.input), usage.image),
            sound(usage.audio, rates.audio)?,
            sound(usage.audio_output, rates.audio_output)?,
        ];
        Some(nano(
            parts
                .iter()
                .map(|(rate, tokens)| u128::from(rate.0) * u128::from(*tokens))
                .sum(),
        ))
    }

    /// The most that this many tokens can cost, however they are counted.
    #[must_use]
    pub fn bound(&self, input_tokens: u64, output_tokens: u64) -> Nano {
        let all = || std::iter::once(self.rates()).chain(self.tiers.iter().map(|tier| tier.rates));
        let input = all().map(|rates| rates.dearest_input().0).max().unwrap_or(0);
        let output = all().map(|rates| rates.dearest_output().0).max().unwrap_or(0);
        nano(u128::from(input) * u128::from(input_tokens) + u128::from(output) * u128::from(output_tokens))
    }

    /// The rates of a call with this many tokens of prompt.
    fn rates_of(&self, prompt_tokens: u64) -> Rates {
        let tiers = self.tiers.iter().filter(|tier| prompt_tokens > tier.over);
        tiers.last().map_or_else(|| self.rates(), |tier| tier.rates)
    }

    const fn rates(&self) -> Rates {
        Rates {
            audio: self.audio,
            audio_output: self.audio_output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            image: self.image,
            input: self.input,
            output: self.output,
            reasoning: self.reasoning,
        }
    }
}

fn nano(pico: u128) -> Nano {
    Nano(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX))
}

impl Rates {
    fn dearest_input(&self) -> PicoPerToken {
        let own = [self.audio, self.image].into_iter().flatten();
        own.fold(
            self.input.max(self.cache_read).max(self.cache_write),
            PicoPerToken::max,
        )
    }

    fn dearest_output(&self) -> PicoPerToken {
        let own = [self.audio_output, self.reasoning].into_iter().flatten();
        own.fold(self.output, PicoPerToken::max)
    }
}

// === impl Tiers ===

impl Tiers {
    /// In the order of `over`; none if there are more than [`TIERS_MAX`], or two with one threshold.
    pub fn new(mut tiers: Vec<Tier>) -> Option<Self> {
        tiers.sort_by_key(|tier| tier.over);
        let is_twice = tiers
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.over == b.over));
        if tiers.len() > TIERS_MAX || is_twice {
            return None;
        }
        let mut out = Self::default();
        for (slot, tier) in out.0.iter_mut().zip(tiers) {
            *slot = Some(tier);
        }
        Some(out)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.0.iter().flatten()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Serialize for Tiers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tiers = Vec::<Tier>::deserialize(deserializer)?;
        let many = || {
            serde::de::Error::custom(format_args!(
                "at most {TIERS_MAX} tiers, each with its own `over`"
            ))
        };
        Self::new(tiers).ok_or_else(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(input: u64, output: u64) -> Rates {
        Rates {
            cache_read: PicoPerToken(input),
            cache_write: PicoPerToken(input),
            input: PicoPerToken(input),
            output: PicoPerToken(output),
            ..Rates::default()
        }
    }

    #[test]
    fn a_long_prompt_has_the_rates_of_its_tier_throughout() {
        let tier = |over, input, output| Tier {
            over,
            rates: flat(input, output),
        };
        let tiers = Tiers::new(vec![tier(200, 6_000, 9_000), tier(100, 2_000, 5_000)]).unwrap();
        let price = Price::new(flat(1_000, 4_000), tiers);
        let check = |input, cache_read, expected| {
            let usage = Usage {
                cache_read,
                input,
                output: 1,
                ..Usage::default()
            };
            assert_eq!(
                price.cost(&usage),
                Some(Nano(expected)),
                "{input} and {cache_read}"
            );
        };
        check(100, 0, 104);
        check(101, 0, 207);
        check(1, 100, 207);
        check(201, 0, 1_215);
        assert_eq!(price.bound(10, 1), Nano(69), "the dearest, whatever the length");
        let json = serde_json::to_string(&price).unwrap();
        assert_eq!(serde_json::from_str::<Price>(&json).unwrap(), price);
        assert_eq!(Tiers::new(vec![tier(1, 1, 1), tier(1, 2, 2)]), None);
    }

    #[test]
    fn sound_without_a_price_makes_the_cost_unknown_and_never_zero() {
        let mut price = Price::new(flat(1_000, 2_000), Tiers::default());
        let usage = Usage {
            audio: 3,
            image: 2,
            input: 1,
            reasoning: 1,
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), None);
        price.audio = Some(PicoPerToken(40_000));
        assert_eq!(price.cost(&usage), Some(Nano(1 + 2 + 120 + 2)));
        price.image = Some(PicoPerToken(5_000));
        price.reasoning = Some(PicoPerToken(7_000));
        assert_eq!(price.cost(&usage), Some(Nano(1 + 10 + 120 + 7)));
        assert_eq!(price.bound(1, 1), Nano(47));
    }

    #[test]
    fn a_price_that_was_written_before_there_were_more_counters_reads_and_writes_the_same() {
        let old = r#"{"cache_read":1,"cache_write":2,"input":3,"output":4}"#;
        let price: Price = serde_json::from_str(old).unwrap();
        assert_eq!((price.reasoning, price.tiers.is_empty()), (None, true));
        assert_eq!(serde_json::to_string(&price).unwrap(), old);
    }

    #[test]
    fn each_counter_has_its_price_and_reasoning_is_output() {
        let price = Price {
            cache_read: PicoPerToken(1_000),
            cache_write: PicoPerToken(20_000),
            input: PicoPerToken(300_000),
            output: PicoPerToken(4_000_000),
            ..Price::default()
        };
        let usage = Usage {
            cache_read: 1,
            cache_write: 1,
            input: 1,
            output: 1,
            reasoning: 2,
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), Some(Nano(12_321)));
    }

    #[test]
    fn cost_rounds_up_once() {
        let price = Price {
            input: PicoPerToken(75_000),
            output: PicoPerToken(300_000),
            ..Price::default()
        };
        let usage = Usage {
            input: 1,
            output: 1,
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), Some(Nano(375)));
        let third = Price {
            input: PicoPerToken(333),
            ..Price::default()
        };
        assert_eq!(
            third.cost(&Usage {
                input: 1,
                ..Usage::default()
            }),
            Some(Nano(1))
        );
        assert_eq!(
            third.cost(&Usage {
                input: 3,
                ..Usage::default()
            }),
            Some(Nano(1))
        );
        assert_eq!(Nano(1_234_567_890).to_string(), "1.234567890");
    }
}

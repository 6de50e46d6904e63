//! Costs as LiteLLM's files state them, in USD a token, as prices in USD a million tokens. The keys are those of
//! `CustomPricingLiteLLMParams` in `litellm/types/utils.py` and of their `model_prices_and_context_window.json`.
//!
//! A price needs input and output; with one of them alone it is unknown, and not zero. An answer of `GET /model/info` shows
//! 0 for both where their list has no price (`litellm/utils.py`, `_get_model_info_helper`), so two zeros of it are unknown.
//! Decimals are read as they are written, without floating point. Bounds: the tiers of a price are the core's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use tieline_core::{PicoPerToken, TIERS_MAX};

use super::super::yaml::Node;

/// Decimal digits that are kept of a number, far beyond any price or limit.
const DIGITS_MAX: usize = 30;

/// What one model costs on one deployment, in pico-dollars a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    base: Rates,
    /// It is charged by time: nothing that tokens could be priced by.
    pub(super) is_by_time: bool,
    /// Other rates from this many tokens of the prompt on.
    tiers: BTreeMap<u64, Rates>,
    /// Keys of rates whose values are none.
    pub(super) unread: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rates {
    audio: Option<u64>,
    audio_output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
}

impl Costs {
    /// The costs of a deployment: its own, then those that are known of its model. `is_answer`: the latter are from an
    /// answer of `GET /model/info`.
    pub(super) fn read(params: &Node, info: Option<&Arc<Node>>, is_answer: bool) -> Self {
        let mut costs = Self::default();
        if let Some(info) = info {
            costs.take(info);
            if is_answer && costs.base.input.unwrap_or(0) == 0 && costs.base.output.unwrap_or(0) == 0 {
                costs = Self {
                    unread: costs.unread,
                    ..Self::default()
                };
            }
        }
        costs.take(params);
        costs
    }

    fn take(&mut self, node: &Node) {
        for (key, value) in node.entries().iter().filter(|(_, value)| !value.is_null()) {
            let pico = value
                .text()
                .and_then(decimal)
                .and_then(|number| number.scaled(12));
            let (rate, over) = match tier(key) {
                Some((rate, over)) => (rate, Some(over)),
                None => (&**key, None),
            };
            self.is_by_time |= rate.ends_with("_cost_per_second") && pico > Some(0);
            let mut unused = Rates::default();
            let rates = match over {
                None => &mut self.base,
                Some(over) if self.tiers.contains_key(&over) || self.tiers.len() < TIERS_MAX => {
                    self.tiers.entry(over).or_default()
                }
                Some(_) => &mut unused,
            };
            let Some(rate) = rates.of(rate) else {
                continue;
            };
            match pico.filter(|pico| per_million(*pico).parse::<PicoPerToken>().is_ok()) {
                Some(pico) => {
                    *rate = Some(pico);
                    self.unread.remove(key);
                }
                None => {
                    self.unread.insert(key.clone());
                }
            }
        }
        self.tiers.retain(|_, rates| *rates != Rates::default());
    }

    /// The price as a table of TOML; none where it is not known. Embeddings have no output.
    pub(super) fn toml(&self, is_embedding: bool) -> Option<String> {
        let base = self.base.toml(&Rates::default(), is_embedding)?;
        let tiers = self.tiers.iter().filter_map(|(over, rates)| {
            let rates = rates.toml(&self.base, is_embedding)?;
            Some(format!("{{ over = {over}, {rates} }}"))
        });
        let tiers: Vec<String> = tiers.collect();
        Some(if tiers.is_empty() {
            format!("{{ {base} }}")
        } else {
            format!("{{ {base}, tiers = [{}] }}", tiers.join(", "))
        })
    }
}

impl Rates {
    /// The rate that a key states.
    fn of(&mut self, key: &str) -> Option<&mut Option<u64>> {
        Some(match key {
            "input_cost_per_token" => &mut self.input,
            "output_cost_per_token" => &mut self.output,
            "cache_read_input_token_cost" => &mut self.cache_read,
            "cache_creation_input_token_cost" => &mut self.cache_write,
            "output_cost_per_reasoning_token" => &mut self.reasoning,
            "input_cost_per_audio_token" => &mut self.audio,
            "output_cost_per_audio_token" => &mut self.audio_output,
            _ => return None,
        })
    }

    fn toml(&self, base: &Self, is_embedding: bool) -> Option<String> {
        let input = self.input.or(base.input)?;
        let output = self.output.or(base.output).or(is_embedding.then_some(0))?;
        let mut text = format!(
            "input = \"{}\", output = \"{}\"",
            per_million(input),
            per_million(output)
        );
        for (key, own, base) in [
            ("cache_read", self.cache_read, base.cache_read),
            ("cache_write", self.cache_write, base.cache_write),
            ("reasoning", self.reasoning, base.reasoning),
            ("audio", self.audio, base.audio),
            ("audio_output", self.audio_output, base.audio_output),
        ] {
            if let Some(pico) = own.or(base) {
                let _ = write!(text, ", {key} = \"{}\"", per_million(pico));
            }
        }
        Some(text)
    }
}

/// The key without `_above_200k_tokens`, and how many tokens that is.
fn tier(key: &str) -> Option<(&str, u64)> {
    let (key, rest) = key.split_once("_above_")?;
    let thousands: u64 = rest.strip_suffix("k_tokens")?.parse().ok()?;
    let over = thousands
        .checked_mul(1_000)
        .filter(|over| (1..=1_000_000_000).contains(over))?;
    Some((key, over))
}

/// Pico-dollars a token as USD a million tokens.
pub(super) fn per_million(pico: u64) -> String {
    let (whole, fraction) = (pico / 1_000_000, pico % 1_000_000);
    let fraction = format!("{fraction:06}");
    let kept = fraction.trim_end_matches('0');
    format!("{whole}.{kept:0<2}")
}

/// A decimal number that is not negative: `digits` × 10^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u128,
    exponent: i32,
}

/// `0.000003`, `3e-06`, `3`, `+3.0`; none for anything else.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 64)?;
    Some(Decimal {
        digits: digits.parse().ok()?,
        exponent: exponent - i32::try_from(fraction.len()).ok()?,
    })
}

impl Decimal {
    /// The number × 10^`places`, to the nearest whole number; half goes up.
    pub(super) fn scaled(self, places: i32) -> Option<u64> {
        let exponent = self.exponent + places;
        let value = match u32::try_from(exponent) {
            Ok(up) => self.digits.checked_mul(10_u128.checked_pow(up)?)?,
            Err(_) => match 10_u128.checked_pow(exponent.unsigned_abs()) {
                Some(unit) => self.digits.checked_add(unit / 2)? / unit,
                None => 0,
            },
        };
        u64::try_from(value).ok()
    }

    /// The number if it is whole.
    pub(super) fn whole(self) -> Option<u64> {
        let value = self.scaled(0)?;
        let exact = |n: u64| {
            if self.exponent >= 0 {
                return true;
            }
            let unit = 10_u128.checked_pow(self.exponent.unsigned_abs());
            unit.and_then(|unit| unit.checked_mul(n.into())) == Some(self.digits)
        };
        exact(value).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml;
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let check = |text: &str, pico: Option<u64>| {
            assert_eq!(decimal(text).and_then(|number| number.scaled(12)), pico, "{text}");
        };
        check("0.000003", Some(3_000_000));
        check("3e-06", Some(3_000_000));
        check("2.5E-6", Some(2_500_000));
        check("1.25e-07", Some(125_000));
        check("0", Some(0));
        check("7.5e-13", Some(1));
        check("4e-13", Some(0));
        check("1e-64", Some(0));
        for bad in [
            "",
            "-1",
            "e",
            "1e",
            "1e99",
            ".",
            "NaN",
            "0x1",
            "1,5",
            "os.environ/X",
        ] {
            check(bad, None);
        }
        for (text, whole) in [
            ("100000", Some(100_000)),
            ("1e5", Some(100_000)),
            ("1.5", None),
            ("2.0", Some(2)),
        ] {
            assert_eq!(decimal(text).unwrap().whole(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_named() {
        let check = |params: &str, expected: &[&str]| {
            let costs = Costs::read(&yaml::parse(params, 0).unwrap().unwrap(), None, false);
            let unread: Vec<&str> = costs.unread.iter().map(|key| &**key).collect();
            assert_eq!(unread, expected, "{params}");
        };
        check(
            "{input_cost_per_token: 3e-06, output_cost_per_token: null, input_cost_per_second: x}",
            &[],
        );
        check(
            "{input_cost_per_token: three, output_cost_per_token: -1, cache_read_input_token_cost: [1]}",
            &[
                "cache_read_input_token_cost",
                "input_cost_per_token",
                "output_cost_per_token",
            ],
        );
        check(
            "{input_cost_per_token_above_200k_tokens: 9e99}",
            &["input_cost_per_token_above_200k_tokens"],
        );
    }

    #[test]
    fn a_price_is_stated_or_unknown() {
        let check = |params: &str, info: &str, is_answer: bool, expected: Option<&str>| {
            let node = |text: &str| yaml::parse(text, 0).unwrap().unwrap();
            let costs = Costs::read(&node(params), Some(&node(info)), is_answer);
            assert_eq!(costs.toml(false).as_deref(), expected, "{params} {info}");
        };
        let own = "{input_cost_per_token: 0.0000025, output_cost_per_token: 1e-05}";
        let known = "{input_cost_per_token: 3e-06, output_cost_per_token: 1.5e-05, cache_read_input_token_cost: 3e-07}";
        check(own, "{}", false, Some("{ input = \"2.50\", output = \"10.00\" }"));
        check(
            own,
            known,
            false,
            Some("{ input = \"2.50\", output = \"10.00\", cache_read = \"0.30\" }"),
        );
        check("{input_cost_per_token: 1e-06}", "{}", false, None);
        check("{output_cost_per_second: 0.01}", "{}", false, None);
        let zeros = "{input_cost_per_token: 0, output_cost_per_token: 0}";
        check(
            "{}",
            zeros,
            false,
            Some("{ input = \"0.00\", output = \"0.00\" }"),
        );
        check("{}", zeros, true, None);
        check(zeros, "{}", true, Some("{ input = \"0.00\", output = \"0.00\" }"));
        check(
            "{input_cost_per_token: 1e-06, output_cost_per_token: 2e-06, input_cost_per_token_above_200k_tokens: 4e-06}",
            "{}",
            false,
            Some(
                "{ input = \"1.00\", output = \"2.00\", tiers = [{ over = 200000, input = \"4.00\", output = \"2.00\" }] }",
            ),
        );
    }
}

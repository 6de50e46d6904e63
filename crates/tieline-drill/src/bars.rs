//! Bars: what a configuration says that the loss of an element may do at most, so that a drill can fail a build.
//!
//! What cannot be known misses its bar: a bar that nobody can show to be kept is not kept.

use schemars::JsonSchema;
use serde::Serialize;

use crate::consequence::CostChange;
use crate::contingency::Contingency;
use crate::elements::Element;
use crate::rehearsal::Base;
use crate::table::{count, few, tenths, wrapped};

/// The most that any contingency may do; what is not stated is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    /// Thousandths by which the calls served either way may cost more than they do with nothing gone.
    pub cost_permille_max: Option<u64>,
    /// Parties that may lose calls that are critical.
    pub critical_parties_lost_max: Option<u64>,
    /// Of the calls served with nothing gone, thousandths that may move to another model.
    pub degraded_permille_max: Option<u64>,
    /// Of the calls served with nothing gone, thousandths that may be held or lost.
    pub lost_permille_max: Option<u64>,
}

/// A bar that a contingency misses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Miss {
    /// Its name in the configuration.
    pub bar: &'static str,
    /// What it comes to, rounded up; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// What is gone.
    pub gone: Vec<Element>,
    pub max: u64,
}

impl Bars {
    /// As the configuration names them.
    const NAMES: [&'static str; 4] = [
        "cost_permille_max",
        "critical_parties_lost_max",
        "degraded_permille_max",
        "lost_permille_max",
    ];

    /// The bars that are stated, by name.
    pub fn stated(mut self) -> Vec<(&'static str, u64)> {
        let each = Self::NAMES.into_iter();
        let stated = each.filter_map(|name| Some((name, (*self.named(name)?)?)));
        stated.collect()
    }

    /// The bar of that name, if there is one.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<u64>> {
        match name {
            "cost_permille_max" => Some(&mut self.cost_permille_max),
            "critical_parties_lost_max" => Some(&mut self.critical_parties_lost_max),
            "degraded_permille_max" => Some(&mut self.degraded_permille_max),
            "lost_permille_max" => Some(&mut self.lost_permille_max),
            _ => None,
        }
    }

    /// Every bar that a contingency misses, bar by bar.
    pub fn missed(&self, base: &Base, contingencies: &[Contingency]) -> Vec<Miss> {
        type Measure = fn(&Base, &Contingency) -> Option<u64>;
        let bars: [(&'static str, Option<u64>, Measure); 4] = [
            (
                "critical_parties_lost_max",
                self.critical_parties_lost_max,
                |_, c| Some(c.consequence.critical.parties_losing),
            ),
            ("lost_permille_max", self.lost_permille_max, |_, c| {
                let tally = c.consequence.tally;
                permille_of(tally.unserved().into(), tally.served_before().into())
            }),
            ("degraded_permille_max", self.degraded_permille_max, |_, c| {
                let tally = c.consequence.tally;
                permille_of(tally.degraded.into(), tally.served_before().into())
            }),
            ("cost_permille_max", self.cost_permille_max, |base, c| {
                match c.consequence.cost_change_nano {
                    CostChange::Nano(change) if change <= 0 => Some(0),
                    CostChange::Nano(change) => permille_of(change.unsigned_abs(), base.cost_nano.0.into()),
                    CostChange::Unknown => None,
                }
            }),
        ];
        let stated = bars
            .into_iter()
            .filter_map(|(bar, max, measure)| Some((bar, max?, measure)));
        let missed = stated.flat_map(|(bar, max, measure)| {
            contingencies.iter().filter_map(move |contingency| {
                let found = measure(base, contingency);
                found.is_none_or(|found| found > max).then(|| Miss {
                    bar,
                    found,
                    gone: contingency.gone.clone(),
                    max,
                })
            })
        });
        missed.collect()
    }
}

/// `part` of `whole` in thousandths, rounded up, so that a bar of nothing is missed by anything; nothing of nothing is
/// nothing, and something of nothing is not known.
fn permille_of(part: u128, whole: u128) -> Option<u64> {
    if part == 0 {
        return Some(0);
    }
    let permille = (whole > 0).then(|| (part * 1_000).div_ceil(whole))?;
    u64::try_from(permille).ok()
}

/// Contingencies named of one bar.
const NAMED_MAX: usize = 5;

/// The bars that are missed, a line each.
pub(crate) fn text(table: &str, missed: &[Miss]) -> String {
    let mut text = String::new();
    let mut rest = missed;
    while let Some(first) = rest.first() {
        let (of_bar, after) = rest.split_at(rest.iter().take_while(|miss| miss.bar == first.bar).count());
        rest = after;
        let named: Vec<String> = of_bar.iter().map(named).collect();
        let (bar, max, few) = (first.bar, first.max, few(&named, NAMED_MAX));
        let line = format!("Bar missed: {bar} = {max} in [bars.{table}], by {few}");
        text.push_str(&wrapped(&line, 2));
    }
    text
}

fn named(miss: &Miss) -> String {
    let found = match miss.found {
        None => "unknown".to_owned(),
        Some(found) if miss.bar.contains("permille") => tenths(found),
        Some(found) => count(found),
    };
    format!("{} ({found})", crate::elements::named(&miss.gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        let cases = [
            ((0, 0), Some(0)),
            ((1, 0), None),
            ((1, 1_000_000), Some(1)),
            ((1, 1_000), Some(1)),
            ((1, 999), Some(2)),
            ((2, 1), Some(2_000)),
        ];
        for ((part, whole), expected) in cases {
            assert_eq!(permille_of(part, whole), expected, "{part} of {whole}");
        }
    }
}

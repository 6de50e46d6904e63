//! How concentrated the supply is: the Herfindahl-Hirschman index (HHI, the sum of squared shares in per cent; 10,000 is
//! one supplier) of calls, tokens and spend by cloud, lab, region and channel, and the effective number of suppliers
//! (10,000 / HHI).
//!
//! Clouds and regions are the components `cloud:…` and `region:…` that a channel needs; what needs several is divided among
//! them equally; what states none is left out and its share reported. All arithmetic is in integers; each result is
//! rounded half up once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Snapshot;
use tieline_core::grid::Candidate;

/// By what supply is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Cloud,
    Lab,
    Region,
    Channel,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    Calls,
    Tokens,
    /// In USD.
    Spend,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Concentration {
    pub by: By,
    /// 0 to 10,000; absent where nothing can be attributed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hhi: Option<u32>,
    pub of: Of,
    /// The suppliers, largest first, ties by name.
    pub shares: Vec<Share>,
    /// Hundredths of the effective number of suppliers; 250 is two and a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppliers_hundredths: Option<u32>,
    /// Share of what is counted that states no supplier of this kind, in basis points; it is not part of the index.
    pub unattributed_bp: u32,
}

/// The share of one supplier in what can be attributed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Share {
    pub name: String,
    /// Basis points.
    pub share_bp: u32,
}

/// The weights that an index is made of, by way.
pub(crate) type Weights = BTreeMap<Way, u64>;

/// A candidate as a key: (channel, model).
pub(crate) type Way = (u16, u16);

pub(crate) const fn way(candidate: Candidate) -> Way {
    (candidate.channel.0, candidate.model.0)
}

impl By {
    pub(crate) const ALL: [Self; 4] = [Self::Cloud, Self::Lab, Self::Region, Self::Channel];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Lab => "lab",
            Self::Region => "region",
            Self::Channel => "channel",
        }
    }
}

/// The HHI of some weights, rounded half up; `None` where they sum to nothing.
pub fn hhi(weights: impl IntoIterator<Item = u128>) -> Option<u32> {
    let mut weights: Vec<u128> = weights.into_iter().collect();
    // The square of the sum times 10,000 must fit 128 bits, so the sum 57 bits; larger weights lose their lowest bits.
    while weights.iter().fold(0_u128, |sum, w| sum.saturating_add(*w)) >= 1 << 56 {
        for weight in &mut weights {
            *weight >>= 1;
        }
    }
    let sum: u128 = weights.iter().sum();
    let squares: u128 = weights.iter().map(|w| w * w).sum();
    let total = sum * sum;
    (squares * 10_000 + total / 2)
        .checked_div(total)
        .and_then(|hhi| u32::try_from(hhi).ok())
}

pub(crate) fn concentration(snapshot: &Snapshot, by: By, of: Of, weights: &Weights) -> Concentration {
    let (groups, unattributed) = grouped(snapshot, by, weights);
    let attributed: u128 = groups.values().sum();
    let hhi = hhi(groups.values().copied());
    let mut shares: Vec<Share> = groups
        .into_iter()
        .map(|(name, weight)| Share {
            name,
            share_bp: basis_points(weight, attributed),
        })
        .collect();
    shares.sort_by(|a, b| b.share_bp.cmp(&a.share_bp).then_with(|| a.name.cmp(&b.name)));
    Concentration {
        by,
        hhi,
        of,
        shares,
        suppliers_hundredths: hhi.filter(|hhi| *hhi > 0).map(|hhi| (1_000_000 + hhi / 2) / hhi),
        unattributed_bp: basis_points(unattributed, attributed + unattributed),
    }
}

/// The HHI by one grouping over several grids, whose suppliers of one name are one.
pub(crate) fn hhi_across(grids: &[(&Snapshot, Weights)], by: By) -> Option<u32> {
    let mut all: BTreeMap<String, u128> = BTreeMap::new();
    for (snapshot, weights) in grids {
        for (name, weight) in grouped(snapshot, by, weights).0 {
            *all.entry(name).or_default() += weight;
        }
    }
    hhi(all.into_values())
}

/// 2,520 has every divisor up to ten, so a weight divides exactly among up to ten suppliers.
const DIVISIBLE: u128 = 2_520;

/// Weights by supplier, and what has none.
fn grouped(snapshot: &Snapshot, by: By, weights: &Weights) -> (BTreeMap<String, u128>, u128) {
    let (mut groups, mut unattributed) = (BTreeMap::new(), 0);
    for (way, weight) in weights {
        let weight = u128::from(*weight) * DIVISIBLE;
        let names = suppliers(snapshot, by, *way);
        let Some(each) = weight.checked_div(names.len() as u128) else {
            unattributed += weight;
            continue;
        };
        for name in names {
            *groups.entry(name).or_default() += each;
        }
    }
    (groups, unattributed)
}

fn suppliers(snapshot: &Snapshot, by: By, (channel, model): Way) -> Vec<String> {
    let channel = snapshot.channels.get(usize::from(channel));
    let of_prefix = |prefix: &str| -> Vec<String> {
        let needs = channel.iter().flat_map(|channel| channel.components.iter());
        let names = needs.filter_map(|ix| snapshot.components.get(usize::from(ix.0)));
        names
            .filter_map(|name| name.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    };
    match by {
        By::Cloud => of_prefix("cloud:"),
        By::Region => of_prefix("region:"),
        By::Channel => channel.iter().map(|channel| channel.name.to_string()).collect(),
        By::Lab => {
            let model = snapshot.models.get(usize::from(model));
            let lab = model.and_then(|model| snapshot.labs.get(usize::from(model.lab)));
            lab.iter().map(ToString::to_string).collect()
        }
    }
}

/// `part` of `whole` in basis points, rounded half up; zero of nothing.
fn basis_points(part: u128, whole: u128) -> u32 {
    let bp = (part * 10_000 + whole / 2).checked_div(whole).unwrap_or_default();
    u32::try_from(bp).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_index_of_known_markets() {
        assert_eq!(hhi([]), None);
        assert_eq!(hhi([0, 0]), None);
        assert_eq!(hhi([7]), Some(10_000));
        assert_eq!(hhi([1, 1]), Some(5_000));
        assert_eq!(hhi([1, 1, 1]), Some(3_333));
        // The worked example of the horizontal merger guidelines: shares of 30, 30, 20 and 20 per cent.
        assert_eq!(hhi([30, 30, 20, 20]), Some(2_600));
        assert_eq!(hhi([u128::from(u64::MAX) * DIVISIBLE; 4]), Some(2_500));
    }

    proptest! {
        #[test]
        fn the_index_lies_between_an_even_market_and_one_supplier(
            weights in prop::collection::vec(1_u128..1_000_000, 1..20),
        ) {
            let index = hhi(weights.iter().copied()).unwrap();
            let even = u32::try_from(10_000 / weights.len()).unwrap();
            prop_assert!((even..=10_000).contains(&index));
            let scaled = hhi(weights.iter().map(|w| w * 1_000_000)).unwrap();
            prop_assert_eq!(index, scaled, "it does not depend on the unit");
        }
    }
}

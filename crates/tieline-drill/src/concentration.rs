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
    /// What the index counts as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<Band>,
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

/// What an index counts as, by the bands of the merger guidelines of the US Department of Justice and the Federal Trade
/// Commission of 2023 (guideline 1) and, for the lower bound, of 2010 (section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// Below 1,000.
    Unconcentrated,
    /// 1,000 to 1,800.
    Moderate,
    /// Above 1,800.
    High,
}

/// An index after a loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IndexAfter {
    pub by: By,
    /// Above the index before; absent where one of the two is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<i64>,
    /// 0 to 10,000; absent where nothing is left that can be attributed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hhi: Option<u32>,
    /// Whether the guidelines would presume harm, were it a merger: it rises by more than 100, and is then above 1,800 or
    /// has a supplier with more than 30 per cent.
    pub is_flagged: bool,
    /// The largest supplier that is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<Share>,
    pub of: Of,
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

impl Of {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Spend => "spend",
        }
    }
}

impl Band {
    pub const fn of(hhi: u32) -> Self {
        match hhi {
            ..1_000 => Self::Unconcentrated,
            1_000..=HIGH => Self::Moderate,
            _ => Self::High,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unconcentrated => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
        }
    }
}

/// Above it an index counts as highly concentrated.
const HIGH: u32 = 1_800;
/// By more than this an index rises so that it matters.
const RISE: i64 = 100;
/// A supplier with more than this share, in basis points, matters at any index.
const LEADER_BP: u32 = 3_000;

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

// === suppliers ===

/// 2,520 has every divisor up to ten, so a weight divides exactly among up to ten suppliers.
const DIVISIBLE: u128 = 2_520;

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

/// The supplier with the largest weight, ties by name.
pub(crate) fn largest(snapshot: &Snapshot, by: By, weights: &Weights) -> Option<String> {
    let groups = grouped(snapshot, by, weights).0;
    let most = groups.into_iter().rev().max_by_key(|(_, weight)| *weight);
    most.map(|(name, _)| name)
}

/// Weights by supplier, and what has none.
fn grouped(snapshot: &Snapshot, by: By, weights: &Weights) -> (BTreeMap<String, u128>, u128) {
    let suppliers = Suppliers::new(snapshot, by);
    let weights = weights.iter().map(|(way, weight)| (*way, *weight));
    let Sums {
        groups, unattributed, ..
    } = suppliers.sums(weights);
    let named = suppliers.names.into_iter().zip(groups);
    (named.filter(|(_, weight)| *weight > 0).collect(), unattributed)
}

/// Who supplies each way, by one grouping.
pub(crate) struct Suppliers {
    by: By,
    names: Vec<String>,
    /// Indexes into `names`: of each model by lab, of each channel else.
    of: Vec<Vec<usize>>,
}

/// Weights by supplier, and what has none.
pub(crate) struct Sums<'s> {
    groups: Vec<u128>,
    suppliers: &'s Suppliers,
    unattributed: u128,
}

impl Suppliers {
    pub(crate) fn all(snapshot: &Snapshot) -> [Self; 4] {
        By::ALL.map(|by| Self::new(snapshot, by))
    }

    pub(crate) const fn by(&self) -> By {
        self.by
    }

    fn new(snapshot: &Snapshot, by: By) -> Self {
        let mut suppliers = Self {
            by,
            names: Vec::new(),
            of: Vec::new(),
        };
        match by {
            By::Lab => {
                suppliers.names = snapshot.labs.iter().map(ToString::to_string).collect();
                let labs = snapshot.models.iter().map(|model| vec![usize::from(model.lab)]);
                suppliers.of = labs.collect();
            }
            By::Channel => {
                let names = snapshot.channels.iter().map(|channel| channel.name.to_string());
                suppliers.names = names.collect();
                suppliers.of = (0..snapshot.channels.len()).map(|ix| vec![ix]).collect();
            }
            By::Cloud => suppliers.of_kind(snapshot, "cloud:"),
            By::Region => suppliers.of_kind(snapshot, "region:"),
        }
        suppliers
    }

    /// The components of a kind that each channel needs.
    fn of_kind(&mut self, snapshot: &Snapshot, prefix: &str) {
        let mut number = vec![None; snapshot.components.len()];
        for (number, name) in number.iter_mut().zip(&snapshot.components) {
            if let Some(own) = name.strip_prefix(prefix) {
                *number = Some(self.names.len());
                self.names.push(own.to_owned());
            }
        }
        let of = snapshot.channels.iter().map(|channel| {
            let needs = channel.components.iter();
            needs
                .filter_map(|ix| number.get(usize::from(ix.0)).copied().flatten())
                .collect()
        });
        self.of = of.collect();
    }

    pub(crate) fn sums(&self, weights: impl Iterator<Item = (Way, u64)>) -> Sums<'_> {
        let mut sums = Sums {
            groups: vec![0; self.names.len()],
            suppliers: self,
            unattributed: 0,
        };
        for ((channel, model), weight) in weights {
            let weight = u128::from(weight) * DIVISIBLE;
            let at = if self.by == By::Lab { model } else { channel };
            let of = self.of.get(usize::from(at)).map_or(&[][..], Vec::as_slice);
            let Some(each) = weight.checked_div(of.len() as u128) else {
                sums.unattributed += weight;
                continue;
            };
            for ix in of {
                if let Some(group) = sums.groups.get_mut(*ix) {
                    *group += each;
                }
            }
        }
        sums
    }
}

impl Sums<'_> {
    fn hhi(&self) -> Option<u32> {
        hhi(self.groups.iter().copied())
    }

    pub(crate) fn concentration(&self, of: Of) -> Concentration {
        let attributed: u128 = self.groups.iter().sum();
        let hhi = self.hhi();
        let named = self.suppliers.names.iter().zip(&self.groups);
        let mut shares: Vec<Share> = named
            .filter(|(_, weight)| **weight > 0)
            .map(|(name, weight)| share(name, *weight, attributed))
            .collect();
        shares.sort_by(|a, b| b.share_bp.cmp(&a.share_bp).then_with(|| a.name.cmp(&b.name)));
        Concentration {
            band: hhi.map(Band::of),
            by: self.suppliers.by,
            hhi,
            of,
            shares,
            suppliers_hundredths: hhi.filter(|hhi| *hhi > 0).map(|hhi| (1_000_000 + hhi / 2) / hhi),
            unattributed_bp: basis_points(self.unattributed, attributed + self.unattributed),
        }
    }

    /// The index, against what it was before.
    pub(crate) fn after(&self, of: Of, before: Option<u32>) -> IndexAfter {
        let hhi = self.hhi();
        let change = hhi
            .zip(before)
            .map(|(after, before)| i64::from(after) - i64::from(before));
        let named = self.suppliers.names.iter().zip(&self.groups);
        // The first of the largest: names of one kind stand in their order.
        let largest = named.reduce(|most, next| if next.1 > most.1 { next } else { most });
        let largest = largest.filter(|(_, weight)| **weight > 0);
        let largest = largest.map(|(name, weight)| share(name, *weight, self.groups.iter().sum()));
        let is_led = largest
            .as_ref()
            .is_some_and(|largest| largest.share_bp > LEADER_BP);
        IndexAfter {
            by: self.suppliers.by,
            change,
            hhi,
            is_flagged: change.is_some_and(|change| change > RISE)
                && (is_led || hhi.is_some_and(|hhi| hhi > HIGH)),
            largest,
            of,
        }
    }
}

fn share(name: &str, weight: u128, all: u128) -> Share {
    Share {
        name: name.to_owned(),
        share_bp: basis_points(weight, all),
    }
}

/// `part` of `whole` in basis points, rounded half up; zero of nothing.
pub(crate) fn basis_points(part: u128, whole: u128) -> u32 {
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

    #[test]
    fn the_bands_of_the_guidelines() {
        let check = |hhi, expected| assert_eq!(Band::of(hhi), expected, "{hhi}");
        check(0, Band::Unconcentrated);
        check(999, Band::Unconcentrated);
        check(1_000, Band::Moderate);
        check(1_800, Band::Moderate);
        check(1_801, Band::High);
        check(10_000, Band::High);
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

//! What leaves a set of channels empty: elements whose loss alone does (order 1), and pairs whose loss does where neither
//! alone would (order 2). Complete up to that order.
//!
//! Every pair takes out the channel of the set that the fewest classes take out, so one of the pair is among those: the
//! needs of one channel, times all classes of at most 256 components and 4,096 channels, at one AND for 64 channels.

use schemars::JsonSchema;
use serde::Serialize;

use super::exposure::{Class, Elements, Exposure};
use crate::figure::Figure;
use crate::n_minus_1::Element;

/// Cut sets of two classes that are reported of one set of channels, the likeliest first: what a person reads. All are
/// counted.
pub const PAIRS_MAX: usize = 12;

/// Pairs of elements whose loss together leaves nothing, while neither alone does: any one of `first` with any one of
/// `second`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CutPair {
    /// The share of the time that one of `first` and one of `second` are out, by the priors.
    pub both_out: Figure,
    pub first: Vec<Element>,
    pub second: Vec<Element>,
}

/// Everything of order 1 and 2.
pub(super) struct Cuts {
    /// The likeliest first.
    pub(super) pairs: Vec<CutPair>,
    /// Pairs of elements, those beyond [`PAIRS_MAX`] included.
    pub(super) pairs_count: u64,
    /// The likeliest first.
    pub(super) singles: Vec<u16>,
}

impl Cuts {
    pub(super) fn of(elements: &Elements<'_>, exposure: &Exposure) -> Self {
        let mut singles = Vec::new();
        let mut rest = Vec::new();
        for class in exposure.classes() {
            if exposure.takes_all(&class) {
                singles.extend_from_slice(class.members);
            } else {
                rest.push((class, elements.any_out(class.members)));
            }
        }
        likeliest_first(&mut singles, elements);
        let mut found = pairs(exposure, &rest);
        let pairs_count = found
            .iter()
            .map(|(a, b, _)| (a.members.len() * b.members.len()) as u64)
            .sum();
        found.sort_by(|a, b| {
            let by_name = || (a.0.members, a.1.members).cmp(&(b.0.members, b.1.members));
            b.2.total_cmp(&a.2).then_with(by_name)
        });
        let pairs = found
            .into_iter()
            .take(PAIRS_MAX)
            .map(|(first, second, both)| CutPair {
                both_out: Figure::new(both),
                first: named(elements, &first),
                second: named(elements, &second),
            });
        Self {
            pairs: pairs.collect(),
            pairs_count,
            singles,
        }
    }
}

/// Pairs of classes, the one with the lower element first, and how much of the time both are out.
fn pairs<'e>(exposure: &Exposure, classes: &[(Class<'e>, f64)]) -> Vec<(Class<'e>, Class<'e>, f64)> {
    let takers = |place: &usize| classes.iter().filter(|(class, _)| class.takes(*place)).count();
    let Some(scarce) = (0..exposure.width).min_by_key(takers) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (at, (one, one_out)) in classes
        .iter()
        .enumerate()
        .filter(|(_, (class, _))| class.takes(scarce))
    {
        for (other_at, (other, other_out)) in classes.iter().enumerate() {
            // A pair of which both take it is met from either side.
            let met_before = other_at <= at && other.takes(scarce);
            if !met_before && exposure.take_all(one, other) {
                let (first, second) = if at < other_at {
                    (*one, *other)
                } else {
                    (*other, *one)
                };
                found.push((first, second, one_out * other_out));
            }
        }
    }
    found
}

pub(super) fn likeliest_first(list: &mut [u16], elements: &Elements<'_>) {
    list.sort_by(|a, b| {
        elements
            .out_of(*b)
            .total_cmp(&elements.out_of(*a))
            .then_with(|| a.cmp(b))
    });
}

fn named(elements: &Elements<'_>, class: &Class<'_>) -> Vec<Element> {
    let mut members = class.members.to_vec();
    likeliest_first(&mut members, elements);
    members
        .into_iter()
        .map(|element| elements.named(element))
        .collect()
}

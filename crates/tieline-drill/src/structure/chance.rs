//! How much of the time every channel of a set is out, if each element is out of its own accord as its prior says and
//! independently of the others: what they share, the grid says.
//!
//! Exact by conditioning: classes that take out several channels are decided one by one, over the sets of channels that
//! are out so far; what is left takes out one channel each, and multiplies. Up to [`SMALL_MAX`] channels all sets are
//! tabulated, and the derivative by each class comes with the result; beyond, only those that can occur, at most
//! [`SETS_MAX`]. Where they are more, losses are drawn: the same ones for every set, by a hash of the element's name and
//! the draw's number, so that two sets, and two grids, are compared under the same luck. A draw that never happened is
//! reported by its bound (3 in n, at 95 per cent), not as zero.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{ROWS_MAX, Rng, Seed};

use super::exposure::{Class, Elements, Exposure};
use crate::figure::Figure;

/// Channels that one thing asked for can have at most, and one that answered it under an earlier grid.
const SMALL_MAX: usize = ROWS_MAX + 1;

/// Sets of channels that are out, of one larger set of channels: 16,384 × 16 bytes is 256 KiB.
const SETS_MAX: usize = 1 << 14;

/// Decisions over such sets, of a whole analysis: some 100 ns each, so a tenth of a second. What comes later is drawn.
const STEPS_MAX: usize = 1 << 20;

/// Draws: at this many, what has a chance of 1 in 1,000 is known to 9 per cent (one standard error). 320 elements × 2^17
/// draws are 42 million hashes of 2 ns.
pub const DRAWS: u32 = 1 << 17;

/// A share of the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Chance {
    /// An upper bound at 95 per cent, where the draws had no such loss beside those of single elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Figure>,
    /// Absent where no draw had the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Figure>,
    pub method: Method,
    /// Of the estimate, where it rests on draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<Figure>,
}

/// How a chance was computed from the priors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By [`DRAWS`] draws.
    Drawn,
    /// Without an error beside rounding.
    Exact,
}

/// Of a small set: how much of the time all are out, and by how much that rises with each element.
#[derive(Clone, Debug, Default)]
pub(super) struct Risk {
    pub(super) all_out: f64,
    /// All out with the element out, less all out with it up (Birnbaum's importance).
    pub(super) by_element: Vec<(u16, f64)>,
}

/// A class of an exposure of at most 64 channels.
#[derive(Clone, Copy)]
struct Bits<'c> {
    class: Class<'c>,
    mask: u64,
    out: f64,
}

/// The classes apart: those that take out all, several, or one.
struct Split<'c> {
    all: Option<Bits<'c>>,
    one: Vec<Bits<'c>>,
    several: Vec<Bits<'c>>,
    width: usize,
}

impl Chance {
    pub(super) fn exact(value: f64) -> Self {
        Self {
            at_most: None,
            // The product of many small shares may be too small for a number of this kind, and is not zero.
            estimate: Some(Figure::new(value.max(f64::MIN_POSITIVE))),
            method: Method::Exact,
            standard_error: None,
        }
    }
}

// === exact ===

impl<'c> Split<'c> {
    fn new(elements: &Elements<'_>, exposure: &'c Exposure) -> Self {
        let mut split = Self {
            all: None,
            one: Vec::new(),
            several: Vec::new(),
            width: exposure.width,
        };
        for class in exposure.classes() {
            let mask = class.mask.first().copied().unwrap_or_default();
            let bits = Bits {
                class,
                mask,
                out: elements.any_out(class.members),
            };
            match mask.count_ones() {
                _ if exposure.takes_all(&class) => split.all = Some(bits),
                1 => split.one.push(bits),
                _ => split.several.push(bits),
            }
        }
        // Those that take out most come first, for then fewer sets can occur.
        split
            .several
            .sort_by_key(|bits| std::cmp::Reverse(bits.mask.count_ones()));
        split
    }

    /// How much of the time something is out that takes out all.
    fn all_at_once(&self) -> f64 {
        self.all.map_or(0.0, |bits| bits.out)
    }

    /// How much of the time the channels that are not in `gone` are out by what takes out one.
    fn left(&self, gone: u64) -> f64 {
        let wanted = ones(self.width) & !gone;
        let met = self.one.iter().filter(|bits| bits.mask & wanted != 0);
        let (seen, product) = met.fold((0, 1.0), |(seen, product), bits| {
            (seen | bits.mask, product * bits.out)
        });
        if seen == wanted { product } else { 0.0 }
    }
}

impl Risk {
    /// Of at most [`SMALL_MAX`] channels; of more, nothing.
    pub(super) fn of(elements: &Elements<'_>, exposure: &Exposure) -> Self {
        if exposure.width == 0 || exposure.width > SMALL_MAX {
            return Self::default();
        }
        let split = Split::new(elements, exposure);
        let sets = 1_usize << split.width;
        let mut reached = vec![0.0; sets];
        if let Some(none) = reached.first_mut() {
            *none = 1.0;
        }
        // How much of the time each set is out after each class; then, from the last class back, how much of the time all
        // are out in the end, given the set.
        let mut layers = Vec::with_capacity(split.several.len() + 1);
        for bits in &split.several {
            let next = after(&reached, bits);
            layers.push(std::mem::replace(&mut reached, next));
        }
        let mut ends: Vec<f64> = (0..sets as u64).map(|gone| split.left(gone)).collect();
        let at = |ends: &[f64], gone: u64| {
            usize::try_from(gone)
                .ok()
                .and_then(|gone| ends.get(gone).copied())
                .unwrap_or_default()
        };
        let all_at_once = split.all_at_once();
        let others_up = 1.0 - all_at_once;
        let mut risk = Self::default();
        for bits in &split.one {
            let rise = reached
                .iter()
                .zip(0_u64..)
                .filter(|(_, gone)| gone & bits.mask == 0);
            let rise: f64 = rise
                .map(|(share, gone)| share * at(&ends, gone | bits.mask))
                .sum();
            risk.rises(elements, bits, others_up * rise);
        }
        for (bits, before) in split.several.iter().zip(&layers).rev() {
            let rise = before.iter().zip(0_u64..);
            let rise: f64 = rise
                .map(|(share, gone)| share * (at(&ends, gone | bits.mask) - at(&ends, gone)))
                .sum();
            risk.rises(elements, bits, others_up * rise);
            let earlier = (0..sets as u64).map(|gone| {
                let (out, up) = (at(&ends, gone | bits.mask), at(&ends, gone));
                bits.out * out + (1.0 - bits.out) * up
            });
            ends = earlier.collect();
        }
        let rest = ends.first().copied().unwrap_or_default();
        if let Some(bits) = &split.all {
            risk.rises(elements, bits, 1.0 - rest);
        }
        risk.all_out = all_at_once + others_up * rest;
        risk
    }

    /// The class raises the risk by so much; each of its members does while the others are up.
    fn rises(&mut self, elements: &Elements<'_>, bits: &Bits<'_>, rise: f64) {
        for element in bits.class.members {
            let others_up = (1.0 - bits.out) / (1.0 - elements.out_of(*element));
            self.by_element.push((*element, rise * others_up));
        }
    }
}

/// How much of the time each set is out, once a class is decided too.
fn after(reached: &[f64], bits: &Bits<'_>) -> Vec<f64> {
    let mut next: Vec<f64> = reached.iter().map(|share| share * (1.0 - bits.out)).collect();
    for (share, gone) in reached.iter().zip(0_u64..) {
        let with = usize::try_from(gone | bits.mask).unwrap_or_default();
        if let Some(place) = next.get_mut(with) {
            *place += share * bits.out;
        }
    }
    next
}

const fn ones(width: usize) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

// === sets of any size ===

/// Chances of one analysis; what they may cost together is bounded.
pub(super) struct Chances<'e, 's> {
    draws: Option<Draws>,
    elements: &'e Elements<'s>,
    steps_left: usize,
}

impl<'e, 's> Chances<'e, 's> {
    pub(super) fn new(elements: &'e Elements<'s>) -> Self {
        Self {
            draws: None,
            elements,
            steps_left: STEPS_MAX,
        }
    }

    /// How much of the time all channels of a set are out, with the set's risk if it is small; `None` for no channels.
    pub(super) fn all_out(&mut self, exposure: &Exposure, risk: &Risk) -> Option<Chance> {
        match exposure.width {
            0 => return None,
            1..=SMALL_MAX => return Some(Chance::exact(risk.all_out)),
            _ => {}
        }
        if exposure.width <= 64
            && let Some(exact) = self.by_conditioning(exposure)
        {
            return Some(Chance::exact(exact));
        }
        Some(self.by_drawing(exposure))
    }

    fn by_drawing(&mut self, exposure: &Exposure) -> Chance {
        let elements = self.elements;
        let draws = self.draws.get_or_insert_with(|| Draws::new(elements));
        let hits = draws.hits(elements, exposure);
        let alone = exposure.classes().find(|class| exposure.takes_all(class));
        drawn(alone.map_or(0.0, |class| elements.any_out(class.members)), hits)
    }

    fn by_conditioning(&mut self, exposure: &Exposure) -> Option<f64> {
        let split = Split::new(self.elements, exposure);
        let mut reached: BTreeMap<u64, f64> = BTreeMap::from([(0, 1.0)]);
        for bits in &split.several {
            self.steps_left = self.steps_left.checked_sub(reached.len())?;
            let mut next = BTreeMap::new();
            for (gone, share) in reached {
                *next.entry(gone).or_default() += share * (1.0 - bits.out);
                *next.entry(gone | bits.mask).or_default() += share * bits.out;
            }
            reached = next;
            if reached.len() > SETS_MAX {
                return None;
            }
        }
        let rest: f64 = reached
            .iter()
            .map(|(gone, share)| share * split.left(*gone))
            .sum();
        let all_at_once = split.all_at_once();
        Some(all_at_once + (1.0 - all_at_once) * rest)
    }
}

/// The chance, from what is out alone and how many draws were all out without that.
fn drawn(alone: f64, hits: u32) -> Chance {
    let all = f64::from(DRAWS);
    let share = f64::from(hits) / all;
    let estimate = alone + (1.0 - alone) * share;
    let is_met = hits > 0;
    Chance {
        at_most: (!is_met).then(|| Figure::new(alone + (1.0 - alone) * 3.0 / all)),
        estimate: (estimate > 0.0).then(|| Figure::new(estimate)),
        method: Method::Drawn,
        standard_error: is_met.then(|| Figure::new((1.0 - alone) * (share * (1.0 - share) / all).sqrt())),
    }
}

/// The elements that are out together in each draw with two or more: one alone decides nothing that is not known.
struct Draws {
    /// Where each draw ends in `out`.
    ends: Vec<usize>,
    out: Vec<u16>,
}

impl Draws {
    fn new(elements: &Elements<'_>) -> Self {
        let dice = (0..elements.len())
            .zip(&elements.downtimes)
            .map(|(element, prior)| {
                let name = elements.named(element);
                let hash = tieline_note::sha256(format!("{:?} {}", name.kind, name.name).as_bytes()).0;
                let own = hash
                    .iter()
                    .take(8)
                    .fold(0_u64, |own, byte| own << 8 | u64::from(*byte));
                (element, own, prior.threshold())
            });
        let dice: Vec<_> = dice.collect();
        let mut draws = Self {
            ends: Vec::new(),
            out: Vec::new(),
        };
        for draw in 0..DRAWS {
            let begun = draws.out.len();
            for (element, own, threshold) in &dice {
                if Rng::new(Seed(own ^ u64::from(draw))).draw() < *threshold {
                    draws.out.push(*element);
                }
            }
            if draws.out.len() < begun + 2 {
                draws.out.truncate(begun);
            } else {
                draws.ends.push(draws.out.len());
            }
        }
        draws
    }

    /// In how many draws all channels are out, by elements of which none takes out all.
    fn hits(&self, elements: &Elements<'_>, exposure: &Exposure) -> u32 {
        // By word, then by element: a draw is over at the first word that is not all out, and most are over at the first.
        let (count, words) = (usize::from(elements.len()), exposure.width.div_ceil(64));
        let mut masks = vec![0_u64; count * words];
        for class in exposure.classes().filter(|class| !exposure.takes_all(class)) {
            for (word, bits) in class.mask.iter().enumerate() {
                for element in class.members {
                    if let Some(place) = masks.get_mut(word * count + usize::from(*element)) {
                        *place = *bits;
                    }
                }
            }
        }
        let (mut begin, mut hits) = (0, 0);
        for end in &self.ends {
            let out = self.out.get(begin..*end).unwrap_or_default();
            let mut left = exposure.width;
            let is_hit = masks.chunks_exact(count).all(|masks| {
                let gone = out.iter().filter_map(|element| masks.get(usize::from(*element)));
                let wanted = ones(left);
                left = left.saturating_sub(64);
                gone.fold(0, |gone, mask| gone | mask) == wanted
            });
            hits += u32::from(is_hit);
            begin = *end;
        }
        hits
    }
}

#[cfg(test)]
mod tests;

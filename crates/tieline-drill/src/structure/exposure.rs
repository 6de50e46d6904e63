//! What a set of channels is exposed to: which of them each element takes out, as bits. Elements that take out the same are
//! one class, for they count alike in every cut set and in every chance, and a grid has far fewer classes than elements.
//!
//! Elements are numbered: the components of the grid, then its channels.

use tieline_core::Snapshot;

use super::downtime::{Downtime, Downtimes};
use crate::n_minus_1::{Element, ElementKind};

/// The elements of a grid.
pub(super) struct Elements<'s> {
    /// The components that each channel needs, transitively.
    needs: Vec<Vec<u16>>,
    /// The share of the time that each is out of its own accord.
    pub(super) out: Vec<f64>,
    pub(super) downtimes: Vec<Downtime>,
    snapshot: &'s Snapshot,
}

/// A set of channels with what they are exposed to. Thousands are made in one analysis, so it is three lists and no more.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    /// Where the members of each class begin and end.
    classes: Vec<(usize, usize)>,
    /// Of each class, in turn: bits of channels by their place in the set, 64 to a word.
    masks: Vec<u64>,
    members: Vec<u16>,
    /// How many channels.
    pub(super) width: usize,
}

/// Elements that take out the same channels of a set, in ascending order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class<'e> {
    pub(super) mask: &'e [u64],
    pub(super) members: &'e [u16],
}

impl<'s> Elements<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, known: &Downtimes) -> Self {
        let channels = &snapshot.channels;
        let needs = channels
            .iter()
            .map(|channel| channel.components.iter().map(|ix| ix.0).collect());
        let of_components = snapshot.components.iter().map(|name| known.component(name));
        let of_channels = channels
            .iter()
            .map(|channel| known.channel(&channel.name, &channel.provider));
        let downtimes: Vec<Downtime> = of_components.chain(of_channels).collect();
        Self {
            needs: needs.collect(),
            out: downtimes.iter().map(Downtime::out).collect(),
            downtimes,
            snapshot,
        }
    }

    pub(super) fn len(&self) -> u16 {
        // At most 256 components and 4,096 channels.
        u16::try_from(self.out.len()).unwrap_or(u16::MAX)
    }

    /// The element that is a channel itself.
    pub(super) fn of_channel(&self, channel: u16) -> u16 {
        u16::try_from(self.snapshot.components.len())
            .unwrap_or(u16::MAX)
            .saturating_add(channel)
    }

    pub(super) fn named(&self, element: u16) -> Element {
        let components = &self.snapshot.components;
        match components.get(usize::from(element)) {
            Some(name) => Element {
                kind: ElementKind::Component,
                name: name.to_string(),
            },
            None => {
                let channel = self
                    .snapshot
                    .channels
                    .get(usize::from(element) - components.len());
                Element {
                    kind: ElementKind::Channel,
                    name: channel.map_or_else(String::new, |channel| channel.name.to_string()),
                }
            }
        }
    }

    /// Whether a channel is out when an element is.
    pub(super) fn takes_out(&self, element: u16, channel: u16) -> bool {
        let needs = self.needs.get(usize::from(channel));
        element == self.of_channel(channel)
            || needs.is_some_and(|needs| needs.binary_search(&element).is_ok())
    }

    pub(super) fn out_of(&self, element: u16) -> f64 {
        self.out.get(usize::from(element)).copied().unwrap_or_default()
    }

    /// The share of the time that at least one of these is out.
    pub(super) fn any_out(&self, members: &[u16]) -> f64 {
        let each = members.iter().map(|element| self.out_of(*element));
        // Sums of what is positive keep their digits, where 1 - (1 - a) (1 - b) would lose those of small shares.
        each.fold(0.0, |any, out| any + (1.0 - any) * out)
    }

    /// What a set of distinct channels is exposed to; the classes in the order of their first members.
    pub(super) fn exposure(&self, channels: &[u16]) -> Exposure {
        let words = channels.len().div_ceil(64);
        let mut masks = vec![0_u64; usize::from(self.len()) * words];
        for (place, channel) in channels.iter().enumerate() {
            let needs = self
                .needs
                .get(usize::from(*channel))
                .map_or(&[][..], Vec::as_slice);
            for element in needs.iter().copied().chain([self.of_channel(*channel)]) {
                if let Some(word) = masks.get_mut(usize::from(element) * words + place / 64) {
                    *word |= 1 << (place % 64);
                }
            }
        }
        let mask = |element: u16| {
            let begin = usize::from(element) * words;
            masks.get(begin..begin + words).unwrap_or_default()
        };
        let mut members: Vec<u16> = (0..self.len())
            .filter(|ix| mask(*ix).iter().any(|word| *word != 0))
            .collect();
        members.sort_by(|a, b| mask(*a).cmp(mask(*b)).then_with(|| a.cmp(b)));
        let mut exposure = Exposure {
            width: channels.len(),
            ..Exposure::default()
        };
        let mut begin = 0;
        for class in members.chunk_by(|a, b| mask(*a) == mask(*b)) {
            exposure.classes.push((begin, begin + class.len()));
            begin += class.len();
        }
        exposure
            .classes
            .sort_by_key(|(begin, _)| members.get(*begin).copied());
        for (begin, _) in &exposure.classes {
            let first = members.get(*begin).copied().unwrap_or_default();
            exposure.masks.extend_from_slice(mask(first));
        }
        exposure.members = members;
        exposure
    }
}

impl Exposure {
    pub(super) fn classes(&self) -> impl Iterator<Item = Class<'_>> {
        let masks = self.masks.chunks_exact(self.width.div_ceil(64).max(1));
        self.classes.iter().zip(masks).map(|((begin, end), mask)| Class {
            mask,
            members: self.members.get(*begin..*end).unwrap_or_default(),
        })
    }

    /// Whether these bits are all channels.
    fn is_all(&self, mask: impl Iterator<Item = u64>) -> bool {
        let ones: u32 = mask.map(u64::count_ones).sum();
        self.width > 0 && ones as usize == self.width
    }

    pub(super) fn takes_all(&self, class: &Class<'_>) -> bool {
        self.is_all(class.mask.iter().copied())
    }

    pub(super) fn take_all(&self, a: &Class<'_>, b: &Class<'_>) -> bool {
        self.is_all(a.mask.iter().zip(b.mask).map(|(a, b)| a | b))
    }
}

impl Class<'_> {
    pub(super) fn takes(&self, place: usize) -> bool {
        let word = self.mask.get(place / 64).copied().unwrap_or_default();
        word & (1 << (place % 64)) != 0
    }
}

//! Lanes by where they are: a call looks at those of each of its candidates, so a channel is found by its index, and a
//! model among the few of its channel.

use super::lane::Lane;
use crate::{ChannelIx, ModelIx};

/// At most channels × models of one grid: 4,096 channels with a few models each, 200 bytes a lane.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// Of each channel, by model.
    channels: Vec<Vec<(ModelIx, Lane)>>,
}

impl Lanes {
    pub(super) fn get(&self, channel: ChannelIx, model: ModelIx) -> Option<&Lane> {
        let lanes = self.channels.get(usize::from(channel.0))?;
        lanes.iter().find(|(ix, _)| *ix == model).map(|(_, lane)| lane)
    }

    /// The lane; a new one, if nothing is known of it.
    pub(super) fn of(&mut self, channel: ChannelIx, model: ModelIx) -> &mut Lane {
        let channel = usize::from(channel.0);
        if self.channels.len() <= channel {
            self.channels.resize_with(channel + 1, Vec::new);
        }
        #[expect(clippy::indexing_slicing, reason = "there is room for it since above")]
        let lanes = &mut self.channels[channel];
        let place = lanes.partition_point(|(ix, _)| *ix < model);
        if lanes.get(place).is_none_or(|(ix, _)| *ix != model) {
            lanes.insert(place, (model, Lane::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "it is there, or was put there")]
        let (_, lane) = &mut lanes[place];
        lane
    }

    pub(super) fn of_channel(&mut self, channel: ChannelIx) -> impl Iterator<Item = &mut Lane> {
        let lanes = self.channels.get_mut(usize::from(channel.0)).into_iter();
        lanes.flatten().map(|(_, lane)| lane)
    }

    /// Those of the same places on another grid; where one has no place there, it is left out.
    pub(super) fn moved(
        &self,
        channel: impl Fn(ChannelIx) -> Option<ChannelIx>,
        model: impl Fn(ModelIx) -> Option<ModelIx>,
    ) -> Self {
        let mut moved = Self::default();
        for (lanes, ix) in self.channels.iter().zip(0_u16..) {
            let Some(there) = channel(ChannelIx(ix)) else {
                continue;
            };
            for (ix, lane) in lanes {
                if let Some(model) = model(*ix) {
                    *moved.of(there, model) = *lane;
                }
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_found_and_moved() {
        let mut lanes = Lanes::default();
        let (a, b) = (ChannelIx(7), ChannelIx(2));
        for (at, (channel, model)) in [(a, 3), (a, 1), (b, 1), (a, 2)].into_iter().enumerate() {
            let at = crate::Tick(1 + at as u64);
            lanes.of(channel, ModelIx(model)).done(at, at);
            lanes.of(channel, ModelIx(model)).content(u32::from(model), at);
        }
        let ttft = |lanes: &Lanes, channel, model| lanes.get(channel, ModelIx(model))?.ttft_us();
        assert_eq!(
            [1, 2, 3, 4].map(|model| ttft(&lanes, a, model)),
            [Some(1), Some(2), Some(3), None]
        );
        assert_eq!([1, 2].map(|model| ttft(&lanes, b, model)), [Some(1), None]);
        assert_eq!(ttft(&lanes, ChannelIx(8), 1), None);
        assert_eq!(
            [7, 2, 0, 9].map(|ix| lanes.of_channel(ChannelIx(ix)).count()),
            [3, 1, 0, 0]
        );
        let moved = lanes.moved(
            |ix| (ix == a).then_some(ChannelIx(0)),
            |ix| (ix.0 != 2).then_some(ModelIx(10 - ix.0)),
        );
        assert_eq!(ttft(&moved, ChannelIx(0), 9), Some(1));
        assert_eq!(ttft(&moved, ChannelIx(0), 7), Some(3));
        assert_eq!(ttft(&moved, ChannelIx(0), 8), None);
        assert!(moved.channels.len() == 1, "{moved:?}");
    }
}

//! The calls in flight of a play, each in a slot that stays its own until the call is over: a call is some 4 KiB, so it is
//! made where it stays. Bounds: as many slots as calls were ever in flight at once, and as many buffers of steps.

use tieline_core::call::Step;
use tieline_core::{Call, Span};

use crate::attempt::Attempt;
use crate::traffic::TrafficCall;

/// A call between two events.
pub(crate) struct Flight<'w> {
    pub(crate) attempt: Attempt,
    pub(crate) call: Call,
    /// The number of the event that it waits for.
    pub(crate) event: u64,
    pub(crate) first_content: Option<Span>,
    pub(crate) grid: usize,
    pub(crate) ix: usize,
    pub(crate) record: &'w TrafficCall,
}

#[derive(Default)]
pub(crate) struct Flights<'w> {
    /// Slots that are empty.
    free: Vec<usize>,
    slots: Vec<Option<Flight<'w>>>,
    /// Step buffers of calls that are over.
    spare: Vec<Vec<Step>>,
}

impl<'w> Flights<'w> {
    /// An empty slot with its number, and a buffer for the steps of the call that comes into it.
    pub(crate) fn room(&mut self) -> Option<(usize, &mut Option<Flight<'w>>, Vec<Step>)> {
        let steps = self.spare.pop().unwrap_or_default();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        Some((slot, self.slots.get_mut(slot)?, steps))
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Flight<'w>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// How many slots there are, empty ones among them.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The call in the slot is over.
    pub(crate) fn end(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot)
            && let Some(flight) = place
        {
            self.spare.push(flight.call.take_steps());
            *place = None;
            self.free.push(slot);
        }
    }
}

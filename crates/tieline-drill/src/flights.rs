//! The calls in flight of a play, each in a slot that stays its own until the call is over: a call is some 4 KiB, so it is
//! begun anew where the one before it ended. Bounds: as many slots as calls were ever in flight at once.

use std::sync::Arc;

use tieline_core::{Call, Intake, Seed, Snapshot, Span};

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
    is_over: bool,
    pub(crate) ix: usize,
    pub(crate) record: &'w TrafficCall,
}

/// A call that arrives: its index in the traffic, and the grid that it is decided under.
pub(crate) struct Arrival<'w> {
    pub(crate) grid: usize,
    pub(crate) intake: Intake,
    pub(crate) ix: usize,
    pub(crate) record: &'w TrafficCall,
    pub(crate) seed: Seed,
    pub(crate) snapshot: Arc<Snapshot>,
}

#[derive(Default)]
pub(crate) struct Flights<'w> {
    /// Slots whose calls are over.
    free: Vec<usize>,
    slots: Vec<Flight<'w>>,
}

impl<'w> Flights<'w> {
    /// The call in a slot of its own, begun, and the number of that.
    pub(crate) fn begin(&mut self, arrival: Arrival<'w>) -> Option<(usize, &mut Flight<'w>)> {
        let Arrival {
            grid,
            intake,
            ix,
            record,
            seed,
            snapshot,
        } = arrival;
        let Some(slot) = self.free.pop() else {
            self.slots.push(Flight {
                attempt: Attempt::default(),
                call: Call::new(snapshot, intake, seed, record.at),
                event: 0,
                first_content: None,
                grid,
                is_over: false,
                ix,
                record,
            });
            let slot = self.slots.len() - 1;
            return Some((slot, self.slots.last_mut()?));
        };
        let flight = self.slots.get_mut(slot)?;
        flight.call.renew(snapshot, intake, seed, record.at);
        flight.attempt = Attempt::default();
        (flight.event, flight.first_content, flight.is_over) = (0, None, false);
        (flight.grid, flight.ix, flight.record) = (grid, ix, record);
        Some((slot, flight))
    }

    /// The call in the slot, unless it is over.
    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Flight<'w>> {
        self.slots.get_mut(slot).filter(|flight| !flight.is_over)
    }

    /// How many slots there are, those of calls that are over among them.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The call in the slot is over.
    pub(crate) fn end(&mut self, slot: usize) {
        if let Some(flight) = self.get(slot) {
            flight.is_over = true;
            self.free.push(slot);
        }
    }
}

//! What happens to the world while calls are decided again: elements go and come back, channels slow down or fail, the
//! grid is another from then on, an order rules. The engine applies each at its instant; what is laid over the traffic
//! itself (a surge) was done before.
//!
//! Elements are named, not indexed: a happening may change the grid, and with it every index. Bounds:
//! [`HAPPENINGS_MAX`] happenings of a timeline, [`GRIDS_MAX`] of them grids.

use std::fmt;
use std::sync::Arc;

use tieline_core::{Ruling, Snapshot, Tick};

use crate::elements::Element;

/// Happenings of one timeline: a year of 80 incidents for each of 256 components, begun and ended, is 40,960.
pub const HAPPENINGS_MAX: usize = 1 << 16;

/// Grids of one timeline: prices, quotas and models change a few times in a scenario. The traffic is laid on each, and 64
/// grids with 10,000 kinds of calls of some 400 bytes are 256 MB.
pub const GRIDS_MAX: usize = 64;

/// One thousandth parts; 1,000 is the whole.
pub type Permille = u32;

/// What an order rules on a party's use of a model over a channel: (party, channel, model), by name.
pub type Ordered<'o> = dyn Fn(&str, &str, &str) -> Ruling + Sync + 'o;

/// Happenings in their order.
#[derive(Default)]
pub struct Timeline<'o> {
    happenings: Vec<(Tick, Happening)>,
    orders: Vec<Box<Ordered<'o>>>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An element stops working: who dials a channel that needs it meets the failure, and learns of it no other way.
    Out(Element, Failure),
    /// It works again.
    Back(Element),
    /// An operator takes an element out: nothing is dialled over it.
    Cut(Element),
    Restore(Element),
    /// A channel's answers take so much of their time; 1,000 is as recorded.
    Slow {
        channel: Arc<str>,
        time: Permille,
    },
    /// So many of a channel's attempts fail, drawn by call; 0 is none.
    Failing {
        channel: Arc<str>,
        share: Permille,
    },
    /// Calls that arrive from here on are decided under another grid: other prices, quotas, models.
    Grid(Arc<Snapshot>),
    /// An order of [`Timeline::order`] is in force, strictest wins.
    Order(OrderIx),
    /// It is no more.
    Revoke(OrderIx),
}

/// How an element that is out shows itself.
///
/// Of several that fail one channel at once the last of these holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// An answer with status 503.
    Errors,
    /// Connections are refused, at once.
    #[default]
    Refused,
    /// Nothing answers until a limit of time passes.
    Silent,
}

/// Place of an order in its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderIx(pub usize);

/// A timeline of more than [`HAPPENINGS_MAX`] happenings, or [`GRIDS_MAX`] grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl<'o> Timeline<'o> {
    /// Add what happens at an instant; of one instant, in the order in which it was added.
    pub fn at(&mut self, at: Tick, happening: Happening) -> Result<(), TooMany> {
        let is_grid = matches!(happening, Happening::Grid(_));
        if self.happenings.len() >= HAPPENINGS_MAX || (is_grid && self.grids().count() >= GRIDS_MAX) {
            return Err(TooMany);
        }
        let place = self.happenings.partition_point(|(other, _)| *other <= at);
        self.happenings.insert(place, (at, happening));
        Ok(())
    }

    /// Keep an order for [`Happening::Order`]; it is not in force by that.
    pub fn order(&mut self, ruled: Box<Ordered<'o>>) -> OrderIx {
        self.orders.push(ruled);
        OrderIx(self.orders.len() - 1)
    }

    pub fn happenings(&self) -> &[(Tick, Happening)] {
        &self.happenings
    }

    /// The grids that come into force.
    pub(crate) fn grids(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.happenings
            .iter()
            .filter_map(|(_, happening)| match happening {
                Happening::Grid(snapshot) => Some(snapshot),
                _ => None,
            })
    }

    /// What the order rules; an order that this timeline does not have rules nothing.
    pub fn ruled(&self, order: OrderIx, party: &str, channel: &str, model: &str) -> Ruling {
        let ruled = self.orders.get(order.0);
        ruled.map_or(Ruling::Allow, |ruled| ruled(party, channel, model))
    }
}

impl fmt::Debug for Timeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("happenings", &self.happenings)
            .field("orders", &self.orders.len())
            .finish()
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than {HAPPENINGS_MAX} happenings in one timeline, or {GRIDS_MAX} grids"
        )
    }
}

impl std::error::Error for TooMany {}

//! The page of a drill: one self-contained file that a board reads. It opens with the answer, shows the grid as a one-line
//! diagram before and after the worst, ranks what may happen, says who loses what and how concentrated supply is, and how
//! sure each number is.
//!
//! Pictures are SVG in whole tenths of a pixel: the same report is the same bytes. Whatever names of parties and components
//! say is escaped by [`markup`] and nowhere else. The page has no script, loads nothing, and says so to the browser in its
//! policy for content. Bounds: those of its parts ([`diagram`], [`ranking`], [`course`], [`classes`]); what is cut is
//! counted on the page. At its largest (40 courses of 15 kB, two diagrams of 200 kB, tables) it
//! stays under 2 MB.

mod answer;
mod bars;
mod board;
mod chokepoints;
mod classes;
mod course;
mod diagram;
mod directive;
mod document;
mod losses;
mod markup;
mod plan;
mod px;
mod ranking;
mod scenarios;
mod sections;
mod sources;
mod streams;
mod supply;
mod words;
mod year;

pub use self::board::{Rehearsed, board_page};
pub use self::directive::{DirectiveShown, directive_page};
pub use self::document::PAGE_START;
pub use self::losses::{n_minus_1_page, n_minus_2_page, worst};
pub use self::plan::plan_page;
pub use self::scenarios::{ScenarioShown, scenarios_page};
pub(crate) use self::streams::StreamCounter;
pub use self::streams::Streams;
pub use self::year::year_page;

use self::chokepoints::Chokepoints;
use self::streams::Asks;
use crate::rehearsal::Rehearsal;

/// What a page rests on beside its report.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'g> {
    /// Why the traffic is not to be relied on: the ledger does not verify.
    pub doubt: Option<&'g str>,
    /// What else is to be said of the inputs, in sentences.
    pub remarks: &'g [String],
    pub rehearsal: &'g Rehearsal<'g>,
}

/// What every page says of its ground.
struct Known<'g> {
    asks: Asks,
    before: Streams,
    chokepoints: Chokepoints,
    /// Critical calls that are served with nothing gone.
    critical: u64,
    ground: Ground<'g>,
}

impl<'g> Known<'g> {
    fn of(ground: Ground<'g>) -> Self {
        let rehearsal = ground.rehearsal;
        let calls = rehearsal.traffic().calls.iter().enumerate();
        let critical =
            calls.filter(|(ix, call)| rehearsal.is_served(*ix) && rehearsal.is_critical(call.kind as usize));
        Self {
            asks: Asks::of(rehearsal),
            before: rehearsal.streams(),
            chokepoints: Chokepoints::of(rehearsal),
            critical: critical.count() as u64,
            ground,
        }
    }
}

//! Replay, contingencies and reports over recorded decisions; no sockets, no clock.
//!
//! Entries come in as bytes, one by one and in the ledger's order ([`Replay::entry`], [`TrafficReader::entry`]), archived
//! grids through a lookup by digest ([`Blobs`]), so this crate knows neither files nor stores. What comes out are reports:
//! serialisable structs with a `schema`, each with a `text` for a terminal.
//!
//! *Replay* feeds the recorded inputs to the live core and must agree exactly. *What-if* ([`n_minus_1`]) lets the live
//! `Call`, `Fleet` and `Desk` decide again under a cut. *Structure* ([`structure`]) reads the grid alone. Every number is
//! exact, or labelled with what it assumes; an unknown is never zero. *Simulation* ([`simulate`]) plays random worlds
//! around the same machines, and audits them.

mod archive;
mod arrivals;
mod concentration;
mod difference;
mod engine;
pub mod fuzz;
mod instant;
mod laid;
mod n_minus_1;
mod order;
mod pairs;
mod party;
mod problem;
mod receipts;
mod replay;
mod sim;
mod structure;
mod substitutes;
mod table;
mod timeline;
mod trace;
mod traffic;

pub use archive::{Blobs, open_grid};
pub use arrivals::{
    ArrivalLaw, Distribution, Drawing, Family, GroupLaw, LAW_BYTES_MAX, LAW_V1, Law, LawError, ShareLaw,
    is_law,
};
pub use concentration::{By, Concentration, Of, Share, hhi};
pub use n_minus_1::{
    Base, Contingency, CostChange, Element, ElementKind, HhiAfter, N_MINUS_1_V1, NMinus1Report,
    PARTY_ROWS_MAX, PartyRow, Tally, n_minus_1,
};
pub use order::{OrderReport, asked, order};
pub use pairs::CALLS_OPEN_MAX;
pub use party::{PartyView, structure_digest};
pub use problem::{PROBLEMS_MAX, Problem, Problems};
pub use receipts::{Receipts, TESTED_MAX, Tested};
pub use replay::{DIFFERENCES_MAX, DifferenceRow, REPLAY_V1, Replay, ReplayReport, replay};
pub use sim::{
    Run as SimRun, SIM_V1, SimReport, TallyReport as SimTally, Violation as SimViolation, simulate,
};
pub use structure::{
    AskWays, ChannelNeeds, Chokepoints, ComponentLoad, ConcentrationBasis, GRID_REPORT_V1, GridReport,
    PartyGroup, Way, structure, structure_with_shares,
};
pub use substitutes::{ModelLimits, Substitute, substitutes};
pub use table::{Side, table};
pub use timeline::{Failure, HAPPENINGS_MAX, Happening, OrderIx, Ordered, Permille, Timeline, TooMany};
pub use trace::{Format, LINE_BYTES_MAX, MAPPING_BYTES_MAX, Mapping, TraceOptions, TraceReader};
pub use traffic::{Basis, CALLS_MAX, Class, Onto, Traffic, TrafficCall, TrafficReader, Window};

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
mod concentration;
mod difference;
mod engine;
mod figure;
mod flow;
mod laid;
mod n_minus_1;
mod order;
mod pairs;
mod party;
mod receipts;
mod replay;
mod sim;
mod structure;
mod substitutes;
mod table;
mod timeline;
mod traffic;
mod versions;

pub use archive::{Blobs, open_grid};
pub use concentration::{Band, By, Concentration, IndexAfter, Of, Share, hhi};
pub use figure::Figure;
pub use flow::{
    AMOUNT_MAX, ARCS_MAX, ArcIx, COST_MAX, Demand, FlowError, Flows, Link, NODES_MAX, Network, PATHS_MAX,
    Pushed, Transport,
};
pub use n_minus_1::{
    Base, Contingency, CostChange, Element, ElementKind, HhiAfter, N_MINUS_1_V1, NMinus1Report,
    PARTY_ROWS_MAX, PartyRow, Tally, n_minus_1,
};
pub use order::{OrderReport, asked, order};
pub use pairs::CALLS_OPEN_MAX;
pub use party::{PartyView, structure_digest};
pub use receipts::{Receipts, TESTED_MAX, Tested};
pub use replay::{DIFFERENCES_MAX, DifferenceRow, REPLAY_V1, Replay, ReplayReport, replay};
pub use sim::{
    Run as SimRun, SIM_V1, SimReport, TallyReport as SimTally, Violation as SimViolation, simulate,
};
pub use structure::{
    AskWays, Chance, ChannelNeeds, Chokepoints, ComponentLoad, ConcentrationBasis, CutPair, DRAWS, Downtime,
    DowntimeBasis, DowntimeRow, Downtimes, ElementRow, GRID_REPORT_V1, Given, GridReport, Importance,
    LostShares, Method, PAIRS_MAX, PartyGroup, Way, structure, structure_given, structure_with_shares,
};
pub use substitutes::{ModelLimits, Substitute, substitutes};
pub use table::{Side, table};
pub use timeline::{Failure, HAPPENINGS_MAX, Happening, OrderIx, Ordered, Permille, Timeline, TooMany};
pub use traffic::{Basis, CALLS_MAX, Traffic, TrafficCall, TrafficReader};
pub use versions::{
    ModelVersions, ROWS_MAX as VERSION_ROWS_MAX, Reach, VERSIONS_V1, VersionBasis, VersionRow,
    VersionsReader, VersionsReport, Wait, WaitState,
};

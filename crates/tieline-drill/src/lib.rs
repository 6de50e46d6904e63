//! Replay, contingencies and reports over recorded decisions; no sockets, no clock.
//!
//! Entries come in as bytes, one by one and in the ledger's order ([`Replay::entry`], [`TrafficReader::entry`]), archived
//! grids through a lookup by digest ([`Blobs`]), so this crate knows neither files nor stores. What comes out are reports:
//! serialisable structs with a `schema`, each with a `text` for a terminal.
//!
//! *Replay* feeds the recorded inputs to the live core and must agree exactly. *What-if* ([`Rehearsal`]) lets the live
//! `Call`, `Fleet` and `Desk` decide again while a [`Timeline`] plays. *Structure* ([`structure`]) reads the grid alone.
//! Every number is exact, or labelled with what it assumes; an unknown is never zero. *Simulation* ([`simulate`]) plays
//! random worlds around the same machines, and audits them.

mod archive;
mod arrivals;
mod attempt;
mod bars;
mod bench;
mod calibration;
mod concentration;
mod consequence;
mod contingency;
mod derate;
mod difference;
mod elements;
mod engine;
mod fates;
mod figure;
mod fill;
mod flights;
mod flow;
pub mod fuzz;
mod instant;
mod known;
mod laid;
mod n_minus_1;
mod n_minus_2;
mod order;
mod page;
mod pairs;
mod party;
mod plan;
mod problem;
mod receipts;
mod rehearsal;
mod replay;
mod scenario;
mod screen;
mod seen;
mod sim;
mod structure;
mod substitutes;
mod table;
mod tally;
mod timeline;
mod times;
mod trace;
mod traffic;
mod under_order;
mod versions;
mod world;
mod year;

pub use archive::{Blobs, open_grid};
pub use arrivals::{
    ArrivalLaw, Distribution, Drawing, Family, GroupLaw, LAW_BYTES_MAX, LAW_V1, Law, LawError, ShareLaw,
    is_law,
};
pub use bars::{Bars, Miss};
pub use bench::{
    Needs as BenchNeeds, Size as BenchSize, bench_grid, bench_lines, bench_party, bench_snapshot,
    bench_traffic, large as bench_large, may as bench_may,
};
pub use calibration::{
    CALIBRATED_MAX, CALLS_MIN, Calibration, CostRow, Decisions, TtftRow, Verdict as CalibrationVerdict,
};
pub use concentration::{Band, By, Concentration, IndexAfter, Of, Share, hhi};
pub use consequence::{
    ClassRow, Consequence, CostChange, Critical, FirstContent, FlowChange, PARTY_ROWS_MAX, PartyRow,
    Recovery, Return,
};
pub use contingency::{Assumed, Contingencies, Contingency, Label, Loss};
pub use elements::{Element, ElementKind};
pub use fates::{Fate, FateKind, Forecast};
pub use figure::Figure;
pub use fill::Tightest;
pub use flow::{
    AMOUNT_MAX, ARCS_MAX, ArcIx, COST_MAX, Demand, FlowError, Flows, Link, NODES_MAX, Network, PATHS_MAX,
    Pushed, Transport,
};
pub use known::{Known, PartyClass};
pub use n_minus_1::{N_MINUS_1_V1, NMinus1Report};
pub use n_minus_2::{N_MINUS_2_V1, NMinus2Report, Pairs, Plan, Single, WORST_OF_THE_REST};
pub use order::{OrderReport, asked, candidate_named, order, order_shown};
pub use page::{
    DirectiveShown, Ground, PAGE_START, Rehearsed, ScenarioShown, Streams, board_page, directive_page,
    n_minus_1_page, n_minus_2_page, plan_page, scenarios_page, worst, year_page,
};
pub use pairs::CALLS_OPEN_MAX;
pub use party::{PartyView, structure_digest};
pub use plan::{
    Alone, Catalogue, Change, Fix, OFFERS_MAX, Offer, OfferKind, OfferRow, PLAN_V1, PlanReport, PlanSearch,
    Raise, Rest, RulesCost, Sets, Threat, Trial, Unsecured, Why,
};
pub use problem::{PROBLEMS_MAX, Problem, Problems};
pub use receipts::{Receipts, TESTED_MAX, Tested};
pub use rehearsal::{Base, Flow, HhiAfter, Rehearsal};
pub use replay::{DIFFERENCES_MAX, DifferenceRow, REPLAY_V1, Replay, ReplayReport, replay};
pub use scenario::{
    Allowance, BINS_MAX, CallsOf, ChannelLoad, Course, EVENTS_MAX, Event, EventReport, FACTOR_MAX, GROUP_MAX,
    INCIDENTS_MAX, LayError, Laying, Load, Outages, PRIORS, Prior, QuotaChange, SCENARIO_V1, Scenario,
    ScenarioReport, ScenariosReport, ServedOf, Source, Staged, SurgeOver, Surged, What, lay, play_scenario,
    play_scenario_shown, served_by, surge,
};
pub use screen::Judged;
pub use sim::{
    Recording as SimRecording, Run as SimRun, SIM_V1, SimReport, TallyReport as SimTally,
    Violation as SimViolation, recording, simulate,
};
pub use structure::{
    AskWays, Chance, ChannelNeeds, Chokepoints, ComponentLoad, ConcentrationBasis, CutPair, DRAWS, Downtime,
    DowntimeBasis, DowntimeRow, Downtimes, ElementRow, GRID_REPORT_V1, Given, GridReport, Importance,
    LostShares, Method, PAIRS_MAX, PartyGroup, Way, structure, structure_given, structure_with_shares,
};
pub use substitutes::{ModelLimits, Substitute, substitutes};
pub use table::{Side, table};
pub use tally::Tally;
pub use timeline::{
    Failure, GRIDS_MAX, HAPPENINGS_MAX, Happening, OrderIx, Ordered, Permille, Timeline, TooMany,
};
pub use times::Quantiles;
pub use trace::{
    Deployed, Format, LINE_BYTES_MAX, LeftOut, MAPPING_BYTES_MAX, Mapping, NoLog, PartyKind, Rates, SpendLog,
    SpendReader, SpendTraffic, TraceOptions, TraceReader, is_spend_log,
};
pub use traffic::{
    Basis, CALLS_MAX, Class, Onto, Rules, Rulings, Traffic, TrafficCall, TrafficReader, Window,
};
pub use under_order::{LossUnderOrder, Toll, under_order, under_order_text};
pub use versions::{
    ModelVersions, ROWS_MAX as VERSION_ROWS_MAX, Reach, VERSIONS_V1, VersionBasis, VersionRow,
    VersionsReader, VersionsReport, Wait, WaitState,
};
pub use year::{
    CauseKind, CauseRow, Decided, EPISODE_CALLS_MAX, EPISODE_HOURS_MAX, EPISODES, Episode, Mean, NoLoss,
    OutRow, PriorRow, Quantile, RUNS_MAX, Run, Spread, Tail, WorstRow, YEAR_V1, Year, YearClass, YearError,
    YearOptions, YearParty, YearReport, Years,
};

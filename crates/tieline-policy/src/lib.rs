//! Who may use what: packs of cited rules, and the engine that maps facts to a [`tieline_core::Verdict`].
//!
//! - [`Pack`]: texts in, a checked set of rules out, or every problem with its place. [`PackArchive`] is its stored form.
//! - [`Epoch`]: packs in force, compiled; [`Epoch::judge`] is the whole of policy as a function of [`Facts`] and a tick.
//! - [`Judge`]: an epoch, a grid's [`Targets`], the process's [`Postures`], and a cache; what a gateway holds and swaps.
//! - [`SignedOrder`] and [`Overlay`]: directives, signed and revocable, laid over an epoch.
//! - [`Registry`]: parties as a tree, and the evidence about each; resolved, their [`PartyFacts`] and contradictions.
//! - [`cases`]: what a pack is meant to rule, run through the same engine.
//!
//! Contract. No clock, no file, no socket: text and ticks come in. Missing is never favourable: a fact that is not
//! known, or has expired, is an absent attribute; a rule that cannot be evaluated holds; what the engine cannot read
//! holds; what no rule permits is denied. Equal inputs give equal verdicts, whatever the order of packs and rules.
//!
//! Nothing here is legal advice, and every pack must say so of itself.

mod alternative;
mod cache;
pub mod cases;
mod country;
mod coverage;
mod date;
mod diff;
mod directive;
mod engine;
mod entity;
mod evidence;
mod explain;
mod facts;
mod fields;
mod fuzz;
mod limits;
mod lint;
mod matrix;
mod names;
mod overlay;
mod ownership;
mod ownership_facts;
mod pack;
mod party_change;
mod posture;
mod probe;
mod problem;
mod registry;
mod representative;
mod schema;
mod slice;
mod targets;
mod terms;
mod texts;

pub use alternative::{ALTERNATIVES_MAX, Alternative, FactValue, WORLDS_MAX};
pub use cache::{Judge, Question, VERDICTS_MAX};
pub use cases::{Case, CaseOutcome};
pub use country::{BadCountry, Country};
pub use coverage::{Consumer, Coverage, CoverageError, Missing, Tally, Use, coverage, share_permille};
pub use date::instant_of_date;
pub use diff::{Change, ChangeKind, Reach, change_kind, diff};
pub use directive::{
    ASSIGNMENTS_MAX, Condition, DIRECTIVE_V1, DRAIN_S_MAX, Directive, Effect, InFlight, Order, OrderError,
    REVOCATION_V1, Revocation, SIGNERS_MAX, Scope, Selector, SignedOrder, Signers, Standing,
};
pub use engine::{EPOCH_RULES_MAX, EPOCH_V1, Epoch, EpochRecord, OWN_PACK, PACKS_MAX};
pub use entity::FactsError;
pub use evidence::{Evidence, EvidenceKind};
pub use explain::{Chain, ChainRule, Deciding, Opening, Stands, chain, chain_under};
pub use facts::{Action, BadFactName, ChannelFacts, Class, FactName, Facts, Kind, ModelFacts, PartyFacts};
pub use fuzz::{fuzz_order, fuzz_pack};
pub use limits::{Block, COUNTED_MAX, Clearance, Limit, TermScope};
pub use lint::{COMBINATIONS_MAX, Lint, LintKind, Lints, lint};
pub use matrix::{Cell, Column, Matrix};
pub use names::Names;
pub use overlay::{DIRECTIVES_MAX, Lineage, OVERLAY_V1, Overlay, OverlayRecord, STRANGERS_MAX};
pub use ownership::{Control, HOLDINGS_MAX, Holding, Owned, Ownership, OwnershipError, Parent, Test};
pub use ownership_facts::{OWNERSHIP_RULES, OwnershipRule};
pub use pack::{
    CountrySet, Disclosure, Manifest, Membership, PACK_BYTES_MAX, PACK_SIGNATURES, PACK_SIGNED_V1, PACK_V1,
    Pack, PackArchive, PackRule, RULES_MAX, SOURCES_MAX, Source, Status,
};
pub use posture::{FACTS_BYTES_MAX, POSTURES_MAX, Posture, PostureError, Postures};
pub use problem::{PROBLEMS_MAX, PackProblem};
pub use registry::{
    DEPTH_MAX, EVIDENCE_MAX, OWNERS_MAX, Origin, PARTIES_MAX, PartyFault, PartyProblem, PartyRecord, RedFlag,
    Registry, Resolved, Share,
};
pub use schema::SCHEMA_TEXT;
pub use targets::{CODES_MAX, EndUseIx, RegionIx, Targets, TargetsError};
pub use terms::{
    Grant, Institution, LICENCE_V1, Licence, PROMISE_KINDS, Persons, Project, Publication, Quantity,
    STATEMENT_MAX, STATEMENT_V1, Statement, StatementSigner, TERMS_MAX, TermFault, TermParty, TermProblem,
    Terms, Undertakings,
};
pub use texts::Texts;

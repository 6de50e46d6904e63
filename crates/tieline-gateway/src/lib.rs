//! The shell: sockets, clocks and files around the pure machines of `tieline-core`.
//!
//! It makes no choices. An accepted request becomes an `Intake`, the drive loop executes the effects of its `Call` and
//! feeds back what happened; whatever can be decided is decided in core. It owns one `Fleet` and one `Desk`, the live
//! snapshot that a reload swaps, and the single writer of the ledger.

mod admin;
mod answer;
mod asked;
mod blocks;
mod change;
mod clock;
mod config;
mod connector;
mod directives;
mod drive;
mod holds;
mod http1;
mod identity;
mod intake;
mod keys;
mod members;
mod meter;
mod metrics;
mod orders;
mod outgoing;
mod parties;
mod recorder;
mod recount;
mod reload;
mod run;
mod serve;
mod shared;
mod spare;
mod state;
mod streams;
mod terms;
mod tls;

pub use admin::openapi::document as openapi;
pub use admin::orders::DirectiveLine;
pub use admin::parties::{EvidenceLine, PartyLine, PartyShown};
pub use config::{
    ChannelWiring, ClientAuth, Endpoint, GatewaySettings, LedgerSettings, Load, Loaded, OnFull, Secret,
    TlsFiles,
};
pub use directives::{Does, OrderApplied, misfit};
pub use identity::{
    CertificateRule, ClaimFact, ClaimRule, DATABASE_BYTES_MAX, GeoDatabase, GeoSettings, Identity,
    IdentitySettings, IssuerSettings, KeySource, KeyUrl, NamePattern, REFRESH_S, REFRESH_S_MIN,
};
pub use ipnetwork::IpNetwork;
pub use keys::{Role, Token};
pub use parties::{
    Amended, CSV_COLUMNS, ChangeError, EvidenceExpiry, IMPORT_BYTES_MAX, IMPORT_PARTIES_MAX, Import,
    ImportFormat, ImportProblem, ImportProblems, NewEvidence, PROBLEMS_SHOWN, PartyChange, PartyEdit,
    read_shares,
};
pub use run::{Gateway, StartError, Started};
pub use shared::{ChildControl, ChildStatus};
pub use state::{
    AdminKeyRow, AdoptionRow, DirectiveRow, Disposition, HoldRow, KeyRow, LegalRefusal, LicenceRow, Lock,
    OutRow, PartyRow, State, StateError, StatementRow, in_force,
};
pub use terms::{Disposal, GRANT_SPAN, LicenceLine, StatementLine, TermChange, TermDone, TermError};
pub use tls::{admin_connector, client_config};

//! The arguments of `tieline licence`, `tieline statement` and `tieline hold`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Signing;

#[derive(Debug, Subcommand)]
pub(crate) enum Licence {
    /// Record a licence from its file: it counts for the next call.
    #[command(after_help = "\
Examples:
  tieline licence add bis-2026-41.toml

The file:
  t = \"tieline/licence/v1\"
  id = \"bis-2026-41\"                 given once; a licence that changes gets another id
  kind = \"bis-licence\"               the name by which rules ask for it; the id if absent
  issuer = \"Bureau of Industry and Security\"
  authority = \"15 CFR 748\"
  valid_from = 2026-06-26
  valid_to = 2027-06-25              may be absent
  quantity = { calls = 1000 }        may be absent; calls of all its parties together
  scope = { models = [\"m1\"] }        also labs, end_uses, places; what is absent restricts nothing
  [[parties]]
  id = \"p_0123456789abcdef\"
  with_members = true                whether those below it have it too

Every mistake is named by line and column; with one, nothing is recorded.")]
    Add(TermFile),
    /// Show a licence, what it covers, and how much of it was used.
    Show(TermId),
    /// List licences, those that have ended included.
    List,
    /// Revoke a licence: it counts for no call any more.
    Revoke(TermId),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Statement {
    /// Write an end-use statement to start from, with every field explained.
    New(TermFile),
    /// Check a statement and sign it, as the party that makes it.
    #[command(after_help = "\
Examples:
  tieline directive key dean.key --name university.example/dean
  tieline statement sign end-use.toml --key dean.key --out end-use.signed

The key's verifier key stands under [policy.statements] in the configuration of whoever relies on it.")]
    Sign(Signing),
    /// Record a statement: signed by a known key, or in the name of the officer who records it.
    #[command(after_help = "\
Examples:
  tieline statement add end-use.signed
  tieline statement add end-use.toml               nobody signed it: your key's id stands as who answers for it

It lasts twelve months at most. A later `version` of it replaces it. Every mistake is named by line and column; with one, \
nothing is recorded.")]
    Add(TermFile),
    /// Show a statement as it was made.
    Show(TermId),
    /// List statements, those that have ended included.
    List,
    /// Revoke a statement: it counts for no call any more.
    Revoke(TermId),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// List what waits for an officer, and what was disposed of.
    List {
        /// Only those that nobody has disposed of.
        #[arg(long)]
        open: bool,
    },
    /// Show a hold: whose, which model, which rules, and what was said of it.
    Show {
        /// The ticket that the caller was given.
        ticket: String,
    },
    /// Grant or refuse a hold, with a reason that is kept.
    #[command(after_help = "\
Examples:
  tieline hold dispose h_0123456789abcdef --grant --reason 'Registration seen, file 12.' --until 2026-12-31
  tieline hold dispose h_0123456789abcdef --refuse --reason 'No answer to two letters.'

A grant clears these rules for this party on this model, and nothing else; the caller's next call works. It lasts 30 days \
if nothing is said, and a year at most. A denial is never lifted.")]
    Dispose(HoldDispose),
}

#[derive(Args, Debug)]
pub(crate) struct TermFile {
    /// The file.
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct TermId {
    /// Its id.
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct HoldDispose {
    /// The ticket that the caller was given.
    pub(crate) ticket: String,
    /// Let the calls through that these rules hold.
    #[arg(long, conflicts_with = "refuse", required_unless_present = "refuse")]
    pub(crate) grant: bool,
    /// Leave them held.
    #[arg(long)]
    pub(crate) refuse: bool,
    /// Why, for whoever asks in years; it stays in the state folder.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// When a grant ends: 2026-12-31 or 2026-12-31T12:00:00Z. One of a legal block has no end.
    #[arg(long, value_name = "DATE", conflicts_with = "refuse")]
    pub(crate) until: Option<String>,
    /// Replace what was said before.
    #[arg(long)]
    pub(crate) again: bool,
}

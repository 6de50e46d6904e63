//! The arguments of `tieline directive` and `tieline demo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tieline_core::Tick;
use tieline_policy::instant_of_date;

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// The letter of 12 June 2026, its exemption and its withdrawal, on a gateway under load.
    #[command(
        name = "june-12",
        after_help = "\
Examples:
  tieline demo june-12                             on the running gateway, or on one of the demo's own
  tieline demo june-12 --keep june-12              on one of its own, whose folder and log stay
  tieline demo june-12 --json                      in_force_seconds, refused, held, bystanders, undetermined

Three parties call two models and a pool, over and over: one that the letter does not concern, one that it does, and \
one of which nobody knows. Exit code 1: something was not as it should be, and it is named."
    )]
    June12(June12),
}

#[derive(Args, Debug)]
pub(crate) struct June12 {
    /// Play on a gateway of the demo's own, in this folder, and leave it there.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keep: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Directive {
    /// Make a key that signs directives; prints the verifier key for `[policy.orders]`.
    Key(DirectiveKey),
    /// Write a directive to start from, with every field explained.
    #[command(after_help = "\
Examples:
  tieline directive new letter.toml                a directive to fill in
  tieline directive new --revoke us-bis-1 end.toml a revocation of the directive us-bis-1")]
    New(DirectiveNew),
    /// Check a directive and sign it; each signer runs this once.
    #[command(after_help = "\
Examples:
  tieline directive sign letter.toml --key officer.key > letter.signed
  tieline directive sign letter.signed --key counsel.key > letter.signed2   a second signature on the same text")]
    Sign(Signing),
    /// Check a signed directive against the keys and the configuration, without applying it.
    Verify(DirectiveFile),
    /// Lay a directive over recorded calls: who would be refused, who held for which missing fact, what it costs.
    #[command(after_help = "\
Examples:
  tieline directive rehearse letter.toml           over every recorded call; need not be signed
  tieline directive rehearse letter.toml --since 2026-06-11T00:00:00Z --json

Exit code 1: somebody outside its scope would be hit, or somebody would be held for want of a fact, or it names a party \
or model that is not here.")]
    Rehearse(DirectiveRehearse),
    /// Bring a signed directive into force, at once and for exactly those it names.
    Apply(DirectiveFile),
    /// Replace a directive in force by a new version of it.
    Amend(DirectiveFile),
    /// End a directive, by a signed revocation.
    Revoke(DirectiveFile),
    /// List directives, those that have ended included.
    List,
    /// Show a directive as it was signed.
    Show {
        /// Its id, or `id@version`; the newest version by default.
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct DirectiveKey {
    /// The new key's file; it must not exist.
    pub(crate) file: PathBuf,
    /// Who signs with it: a name without spaces, such as `example.org/officer`.
    #[arg(long)]
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct DirectiveNew {
    /// The new file; it must not exist.
    pub(crate) file: PathBuf,
    /// Write a revocation of this directive.
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

/// A text to be signed.
#[derive(Args, Debug)]
pub(crate) struct Signing {
    /// The text, or the same with signatures.
    pub(crate) file: PathBuf,
    /// A key that `tieline directive key` made.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Write it here instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DirectiveFile {
    /// The signed directive.
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct DirectiveRehearse {
    /// The directive, signed or not.
    pub(crate) file: PathBuf,
    /// Only calls that began at this instant or later, such as `2026-06-12` or `2026-06-12T17:21:00Z`.
    #[arg(long, value_name = "INSTANT", value_parser = instant_of_date)]
    pub(crate) since: Option<Tick>,
    /// Only calls that began before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = instant_of_date)]
    pub(crate) until: Option<Tick>,
    /// Use a ledger that does not verify, or holds what this program does not read; the report says so.
    #[arg(long)]
    pub(crate) unverified: bool,
}

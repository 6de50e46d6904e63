//! `tieline policy`: names, defaults and help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Adopt packs for a legal entity; only then may they enforce.
    #[command(after_help = "\
Examples:
  tieline policy adopt packs/company --officer \"A. Officer\" --entity \"Example GmbH\"

Adopted is exactly this text, by its digest: a pack that changes is adopted anew. Who adopted what is kept in the \
state folder, and that it was, in the log. Nothing here is legal advice.")]
    Adopt(PolicyAdopt),
    /// Look for mistakes in packs: what is refused, never applies, is superfluous or unverified.
    #[command(after_help = "\
Examples:
  tieline policy check                             the configuration's packs
  tieline policy check packs/us-ear packs/own      these, beside each other

Rules are searched with facts that stand for all that they can tell apart; each finding says how many \
combinations were tried. Exit code 0: at most notes; 1: a rule does nothing; 2: a pack is refused.")]
    Check(PolicyCheck),
    /// Put a signature under a pack.
    #[command(after_help = "\
Examples:
  tieline policy sign packs/company --key officer.key
  tieline policy sign packs/company --key counsel.key   a second signature

The signature stands in the pack's folder, in `pack.sig`, and vouches for the pack by its digest: a pack that changes is \
signed anew. Whoever relies on it names the verifier keys as `trusted_keys` under [policy], and refuses the pack without \
enough of them.")]
    Sign(PolicySign),
    /// Run the cases of packs through the engine.
    #[command(after_help = "\
Examples:
  tieline policy test                              the configuration's packs
  tieline policy test packs/us-ear --verbose       each case of one, with its line

A case also fails if taking a fact away would let its call through. Exit code 1: a case failed.")]
    Test(PolicyTest),
    /// Show the whole chain behind a ruling: facts, evidence, every rule, what is missing.
    #[command(after_help = "\
Examples:
  tieline policy explain --party p_1 --model m1
  tieline policy explain --party p_1 --model m1 --channel us --at 2026-06-12

For officers: it shows what callers are not told.")]
    Explain(PolicyExplain),
    /// Show who can reach what: parties by models.
    #[command(after_help = "\
Examples:
  tieline policy matrix                            now, as text
  tieline policy matrix --format csv > matrix.csv  a line for each party and model
  tieline policy matrix --all-statuses             and what the rules that do not enforce would do

A model counts as reachable by its best channel.")]
    Matrix(PolicyMatrix),
    /// Show what changes for whom from one set of rules to another.
    #[command(after_help = "\
Examples:
  tieline policy diff packs/own packs/own-next     one pack in place of another
  tieline policy diff old.toml new.toml            two configurations
  tieline policy diff 3 4                          two epochs of the ledger's archive
  tieline policy diff 3 new.toml --against .       and each past call that would be ruled otherwise
  tieline policy diff then tieline.toml --against . --since 2026-06-12
                                                   what was decided then, and what should have been

`then` is each call's own past: the packs as they were recorded when it was decided. Rules that were recorded later and \
hold from earlier rule the past calls of the other side. Past calls are ruled under the directives that were in force for \
them. Exit code 0: nothing changes; 1: something does.")]
    Diff(PolicyDiff),
    /// Show how much can be decided with the facts there are, and which facts would help most.
    #[command(after_help = "\
Examples:
  tieline policy coverage
  tieline policy coverage --at 2027-01-01

A rule or directive is only as granular as the facts: this says so beforehand.")]
    Coverage(PolicyCoverage),
}

#[derive(Args, Debug)]
pub(crate) struct PolicyAdopt {
    /// Folders of packs.
    #[arg(value_name = "PACK", required = true)]
    pub(crate) packs: Vec<PathBuf>,
    /// Who adopts them.
    #[arg(long, value_name = "NAME")]
    pub(crate) officer: String,
    /// The legal entity for which they are adopted.
    #[arg(long, value_name = "NAME")]
    pub(crate) entity: String,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyCheck {
    /// Folders of packs; by default those of the configuration.
    #[arg(value_name = "PACK")]
    pub(crate) packs: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PolicySign {
    /// The folder of the pack.
    #[arg(value_name = "PACK")]
    pub(crate) pack: PathBuf,
    /// A key that `tieline directive key` made.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyTest {
    /// Folders of packs; by default those of the configuration.
    #[arg(value_name = "PACK")]
    pub(crate) packs: Vec<PathBuf>,
    /// Print the cases that passed too.
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyExplain {
    /// The party's id.
    #[arg(long, value_name = "ID")]
    pub(crate) party: String,
    /// The model's name in the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,
    /// One channel; by default every channel that serves the model, the best one in full.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
    /// What the call says that it is for.
    #[arg(long, value_name = "CODE")]
    pub(crate) end_use: Option<String>,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyMatrix {
    /// Show rules of every status, those that do not enforce as "would".
    #[arg(long)]
    pub(crate) all_statuses: bool,
    /// What calls say that they are for.
    #[arg(long, value_name = "CODE")]
    pub(crate) end_use: Option<String>,
    /// How to print it; `json` is a line for each party.
    #[arg(long, default_value = "table", value_parser = ["table", "csv", "json"])]
    pub(crate) format: String,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyDiff {
    /// The folder of a pack, a configuration or state folder, the number of an epoch, or `then`.
    pub(crate) old: String,
    /// The same, of what comes after.
    pub(crate) new: String,
    /// A state folder with a ledger, each call of which is ruled by both.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// Of the past calls only this one, by its id.
    #[arg(long, value_name = "ID", requires = "against")]
    pub(crate) call: Option<String>,
    /// Past calls from this instant on, as 2026-06-12 or 2026-06-12T21:21:00Z.
    #[arg(long, value_name = "TIME", requires = "against")]
    pub(crate) since: Option<String>,
    /// Past calls before this instant.
    #[arg(long, value_name = "TIME", requires = "against")]
    pub(crate) until: Option<String>,
    /// Take every status as one that enforces, in both.
    #[arg(long)]
    pub(crate) all_statuses: bool,
    /// How to print it.
    #[arg(long, default_value = "table", value_parser = ["table", "csv", "json"])]
    pub(crate) format: String,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyCoverage {
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Args, Debug)]
pub(crate) struct At {
    /// The instant, as 2026-06-12 or 2026-06-12T21:21:00Z; by default now.
    #[arg(long = "at", value_name = "TIME")]
    pub(crate) text: Option<String>,
}

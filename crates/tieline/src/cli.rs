//! The command line as clap reads it: names, defaults and help texts, no behaviour.

mod directive;
mod drill;
mod party;
mod policy;
mod pool;
mod term;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tieline_core::{Criticality, Limits, Nano};

pub(crate) use self::directive::{
    Demo, Directive, DirectiveKey, DirectiveNew, DirectiveRehearse, June12, Signing,
};
pub(crate) use self::drill::*;
pub(crate) use self::party::*;
pub(crate) use self::policy::*;
pub(crate) use self::pool::*;
pub(crate) use self::term::*;

/// The interconnect for AI models: carries calls over any channel, admits them under cited rules, records every decision
/// in a log that outsiders can verify, and rehearses what breaks when a supplier is gone.
///
/// Start with `tieline up`: it sets up a small real model behind two channels, a gateway in front of them, and prints what
/// to try. Everything it writes stands in one folder (`--dir`).
#[derive(Debug, Parser)]
#[command(name = "tieline", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The state folder: configuration, keys, ledger.
    #[arg(
        long,
        global = true,
        env = "TIELINE_DIR",
        default_value = "tieline-data",
        value_name = "DIR"
    )]
    pub(crate) dir: PathBuf,
    /// Print one JSON object (or JSON Lines for rows) instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything on a fresh machine: a real model on two channels, the gateway, the ledger.
    #[command(after_help = "\
Examples:
  tieline up                                       set up a small model, then serve it
  tieline up --model-file model.gguf               serve your own, with llama-server on the PATH
  tieline up --ollama http://127.0.0.1:11434       use the models of a running Ollama
  tieline up --listen 127.0.0.1:0 --ready-file r   pick a free port and write it to the file r

A second run uses what the first one wrote, and overwrites nothing. Ctrl-C ends it in order; a second one at \
once, without waiting for calls in flight.")]
    Up(Up),
    /// Serve the configuration of a state folder.
    #[command(after_help = "\
Examples:
  tieline serve                                    tieline-data/tieline.toml
  tieline --dir /var/lib/tieline serve --config /etc/tieline.toml

The first run makes a party and a key (party.key) and an operator's key (admin.key) in the state folder. \
SIGHUP, or a change of the file, reads the configuration again: it is swapped whole, or the old one stays in \
force and the log says why. SIGTERM or Ctrl-C lets calls in flight end, then \
closes the ledger; a second one cuts them off.")]
    Serve(Serve),
    /// Check a configuration and report every mistake in one run.
    #[command(after_help = "\
Examples:
  tieline check                                    tieline-data/tieline.toml
  tieline check my.toml --json                     one object with every finding
  tieline explain TL0122                           what a finding's number means

Exit code 0: it can be served, perhaps with warnings; 2: it cannot.")]
    Check(Check),
    /// Say in sentences what was decided about a call, and why.
    #[command(after_help = "\
Examples:
  tieline explain last                             the newest call
  tieline explain 01hv3zq8x2r9k4n7w5t0c6m1ye       the id in the reply header x-tieline-call
  tieline explain TL5001                           what an error's number means, and what to do")]
    Explain(Explain),
    /// Play a story on a gateway under load, to see what it does.
    #[command(subcommand)]
    Demo(Demo),
    /// Write, sign, rehearse and apply orders that change who may use what.
    #[command(subcommand)]
    Directive(Directive),
    /// Let scripted channels misbehave in every known way, and show what callers, channels and the ledger see of it.
    #[command(after_help = "\
Examples:
  tieline faults --fast                            the whole catalogue, with limits of half a second
  tieline faults --only cut --resume off           scenarios with `cut` in their name
  tieline faults --config tieline.toml --fast      with the settings of your own pool, over scripted channels

Each scenario runs in both dialects, streamed and whole where it makes sense, on a gateway of its own in a temporary \
folder; nothing is sent anywhere. Without --fast it waits as long as the limits of time say, which takes minutes. \
With --config, what your settings make otherwise than the catalogue expects is shown and is no failure; what must hold \
under any settings is: no answer that is cut and looks whole, no call that hangs, an error in the caller's own dialect, \
one decision and one outcome for each call.

Exit code 0: everything is as it must be; 1: something is not, and it is named.")]
    Faults(Faults),
    /// Show what depends on what: chokepoints, what hangs on each element, concentration.
    #[command(after_help = "\
Examples:
  tieline grid                                     the state folder's, and its recorded calls
  tieline grid --config examples/public-grid.toml  a configuration alone
  tieline grid --litellm config.yaml               another gateway's configuration
  tieline grid --priors priors.toml                with outages as you know them
  tieline grid versions                            which version of a model reached which channel when

A chokepoint of a party is a component or channel whose loss alone leaves it nothing; a pair leaves it nothing where \
neither alone does. How much of the time that is expected rests on priors, mostly assumed, which --json gives with their \
sources. A row of the file of priors names a component, a kind, `channel` or `channel:NAME`:

  [\"cloud:aws\"]
  per_year = \"0.5\"                                outages in a year
  minutes = 240                                    of one, on average
  source = \"our own record, 2024 to 2026\"")]
    Grid(Grid),
    /// List what waits for an officer's word, and dispose of it.
    #[command(subcommand)]
    Hold(Hold),
    /// Record and revoke licences: permissions of an authority, for parties, models and calls.
    #[command(subcommand)]
    Licence(Licence),
    /// Read, verify, export and back up the log.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Rehearse: decide recorded calls again, as they were or with something gone; simulate what nobody recorded.
    #[command(subcommand)]
    Drill(Box<Drill>),
    /// Add, list and revoke the keys of parties.
    #[command(subcommand)]
    Keys(Keys),
    /// Say who parties are and what is known about them, by whose word and until when.
    #[command(subcommand)]
    Party(Party),
    /// Write, sign, record and revoke end-use statements.
    #[command(subcommand)]
    Statement(Statement),
    /// Check, test, explain and compare rules: the tools of whoever answers for them.
    #[command(subcommand)]
    Policy(Policy),
    /// Show which models may stand in for each other, and test whether they can.
    #[command(subcommand)]
    Pool(Pool),
    /// Sum up what calls used and cost, from the ledger.
    #[command(after_help = "\
Examples:
  tieline usage                                    by party
  tieline usage --by day --by model --from 2026-11-01 --to 2026-11-30
  tieline usage --by key --csv > november.csv

A call counts on the day, UTC, on which it was decided. Sums are those of the ledger to the nano-dollar; attempts \
whose cost nobody knows are counted apart, and never as zero.")]
    Usage(UsageArgs),
    /// Take a channel or a component out; a channel's model server is stopped for real.
    #[command(after_help = "\
Examples:
  tieline cut local-a                              one channel
  tieline cut cloud:aws                            every channel that depends on it

With a server running it holds at once, for calls that begin from here on; otherwise from the next start on. \
Only the cut of a channel stops its model server: that of a component, such as process:local-a, keeps calls \
away from the channels that need it, and stops no process.")]
    Cut(Target),
    /// Put a channel or a component that was cut back in.
    #[command(after_help = "\
Examples:
  tieline restore local-a
  tieline restore cloud:aws

A channel whose model server was stopped is in again once that has loaded its model and answers.")]
    Restore(Target),
    /// Stand between the gateway and a model server that another program owns.
    #[command(hide = true)]
    Relay(Relay),
    /// Print reference material that is committed with the source.
    #[command(hide = true)]
    Gen(Gen),
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Serve this GGUF file instead of the small model that is set up otherwise.
    #[arg(long, value_name = "GGUF")]
    pub(crate) model_file: Option<PathBuf>,
    /// Use the models of a running Ollama, such as `http://127.0.0.1:11434`.
    #[arg(long, value_name = "URL", conflicts_with = "model_file")]
    pub(crate) ollama: Option<String>,
    /// Use nothing from the network: what is not set up yet is an error that says what to do.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The configuration; by default `tieline.toml` of the state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

#[derive(Args, Debug)]
pub(crate) struct Listen {
    /// Where applications connect; port 0 picks one.
    #[arg(long = "listen", value_name = "ADDRESS")]
    pub(crate) public: Option<SocketAddr>,
    /// Where administrators connect; port 0 picks one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// Write URLs and keys as JSON to this file once ready, for scripts.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The configuration; by default `tieline.toml` of the state folder.
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The call's id, as the reply header `x-tieline-call` gave it; `last` is the newest call. Or an error's number, such
    /// as TL5001.
    pub(crate) call: String,
}

#[derive(Args, Debug)]
pub(crate) struct Faults {
    /// A configuration whose pool's settings are tried: limits of time, attempts, choice of channels, resume.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Limits of time of half a second, so that the whole catalogue takes less than a minute.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Only scenarios with this in their name or group.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// The pool of the configuration; by default its first.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) pool: Option<String>,
    /// What happens to an answer that breaks off after content. By default both, where it makes a difference; with
    /// --config, what the pool says.
    #[arg(long, value_name = "SETTING", value_parser = ["off", "same_model", "pool"])]
    pub(crate) resume: Option<String>,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Grid {
    #[command(subcommand)]
    pub(crate) view: Option<GridView>,
    /// A configuration to look at without a state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) foreign: Foreign,
    /// LiteLLM's spend log: `LiteLLM_SpendLogs` as CSV with a header, or as JSON. May be given several times.
    #[arg(long, value_name = "FILE", requires = "litellm")]
    pub(crate) traffic: Vec<PathBuf>,
    /// How often and how long elements are out, as TOML, where you know better than what is assumed.
    #[arg(long, value_name = "FILE")]
    pub(crate) priors: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GridView {
    /// Show which version of a model reached which channel when, and who waits how long.
    #[command(after_help = "\
Examples:
  tieline grid versions                            from the grids that the ledger archived
  tieline grid versions --json

A version is `version` of the channel's model in the configuration, else the date in the model's name there or in its own. \
When a lab released it is not recorded: the first channel is the first that this gateway had.")]
    Versions(GridVersions),
}

#[derive(Args, Debug)]
pub(crate) struct GridVersions {
    /// A configuration to look at without a state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Recompute every hash from the files alone and name the first entry that is wrong.
    #[command(after_help = "\
Examples:
  tieline ledger verify                            against the folder's key and checkpoint.last
  tieline ledger verify --against kept.checkpoint --key VKEY
                                                   against what was kept elsewhere: proves most

Exit code 0: nothing is wrong; 1: something is, and it is named; 2: there is no ledger to verify.")]
    Verify(Verify),
    /// Print entries.
    #[command(after_help = "\
Examples:
  tieline ledger show 7                            one entry
  tieline ledger show 10..20                       10 up to 19
  tieline ledger show 0.. --json                   everything, as JSON Lines")]
    Show(Show),
    /// Print the newest entries, oldest first.
    Tail(Tail),
    /// Print the log's verifier key (a signed-note vkey).
    Key,
    /// Write the log as files that other projects' tools read.
    #[command(after_help = "\
Examples:
  tieline ledger export public                     public/checkpoint and public/tile/…

Run it again to bring the folder up to date.")]
    Export(Export),
    /// Copy the ledger while it is in use, with its checkpoint.
    #[command(after_help = "\
Examples:
  tieline ledger backup ledger-2026-11.db          and ledger-2026-11.db.checkpoint beside it")]
    Backup(Backup),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A checkpoint that was kept elsewhere; the ledger must continue it.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Also parse every entry and hash every archived blob.
    #[arg(long)]
    pub(crate) deep: bool,
    /// The log's verifier key, got by another way than from this folder.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Index of the entry, or a range such as 10..20.
    #[arg(value_name = "INDEX")]
    pub(crate) range: String,
}

#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// How many.
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) count: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The layout; `tiles` is that of C2SP tlog-tiles.
    #[arg(long, default_value = "tiles", value_parser = ["tiles"])]
    pub(crate) format: String,
    /// Where to write.
    #[arg(value_name = "FOLDER")]
    pub(crate) out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The copy; it must not exist.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key; it is shown once.
    #[command(after_help = "\
Examples:
  tieline keys add                                 all pools, no limits
  tieline keys add --allow chat --requests-per-minute 60 --concurrency 4

A limit that is reached is answered with 429 and a Retry-After.")]
    Add(KeysAdd),
    /// List keys by their public ids.
    List,
    /// Revoke a key at once.
    Revoke {
        /// The key's public id.
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct KeysAdd {
    /// The party's id; by default the only party there is.
    #[arg(long)]
    pub(crate) party: Option<String>,
    /// A pool or model that the key may ask for; may be repeated. Without it, all.
    #[arg(long = "allow", value_name = "NAME")]
    pub(crate) allow: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// What is not named is unlimited.
#[derive(Args, Debug)]
pub(crate) struct LimitArgs {
    /// Calls that may begin in a minute.
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_minute: Option<u32>,
    /// Calls that may begin in 24 hours.
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_day: Option<u32>,
    /// Tokens, of prompts and answers together, that may be used in a minute.
    #[arg(long, value_name = "N")]
    pub(crate) tokens_per_minute: Option<u64>,
    /// Tokens, of prompts and answers together, that may be used in 24 hours.
    #[arg(long, value_name = "N")]
    pub(crate) tokens_per_day: Option<u64>,
    /// Calls that may be in flight at one time.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// How much its calls matter when not all can be served; the lower of this and what the pool says counts.
    #[arg(long, value_parser = ["critical_plus", "critical", "sheddable_plus", "sheddable"])]
    pub(crate) criticality: Option<String>,
    /// USD that may be spent in a day, UTC. What a call can cost at most is reserved before it is sent.
    #[arg(long, value_name = "USD", value_parser = Nano::from_usd)]
    pub(crate) budget_per_day: Option<Nano>,
    /// USD that may be spent in a week from Monday on, UTC.
    #[arg(long, value_name = "USD", value_parser = Nano::from_usd)]
    pub(crate) budget_per_week: Option<Nano>,
    /// USD that may be spent in a calendar month, UTC.
    #[arg(long, value_name = "USD", value_parser = Nano::from_usd)]
    pub(crate) budget_per_month: Option<Nano>,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            concurrency: self.concurrency,
            criticality: self.criticality.as_deref().map(|word| match word {
                "sheddable" => Criticality::Sheddable,
                "sheddable_plus" => Criticality::SheddablePlus,
                "critical" => Criticality::Critical,
                _ => Criticality::CriticalPlus,
            }),
            nano_per_day: self.budget_per_day,
            nano_per_month: self.budget_per_month,
            nano_per_week: self.budget_per_week,
            requests_per_day: self.requests_per_day,
            requests_per_minute: self.requests_per_minute,
            tokens_per_day: self.tokens_per_day,
            tokens_per_minute: self.tokens_per_minute,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct UsageArgs {
    /// What to divide the sums by; may be repeated.
    #[arg(long, value_enum, default_values = ["party"])]
    pub(crate) by: Vec<crate::commands::UsageBy>,
    /// The first day, UTC, such as 2026-11-01.
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// The last day, UTC.
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,
    /// Print CSV with every counter, instead of a table.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Target {
    /// The channel's or component's name, as `tieline grid` shows it.
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Relay {
    #[arg(long)]
    pub(crate) port: u16,
    #[arg(long)]
    pub(crate) to: String,
}

#[derive(Args, Debug)]
pub(crate) struct Gen {
    #[arg(value_parser = ["cli", "config-reference", "config-schema", "json-schemas", "config-codes", "openapi", "scenario-reference",
        "scenario-schema"])]
    pub(crate) what: String,
}

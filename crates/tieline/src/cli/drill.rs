//! Arguments of `tieline drill`.

use std::path::PathBuf;

use clap::{Arg, Args, Subcommand, ValueEnum};
use tieline_core::Tick;
use tieline_drill::RUNS_MAX;
use tieline_policy::instant_of_date;

#[derive(Debug, Subcommand)]
pub(crate) enum Drill {
    /// Rehearse each loss, scenarios, years of outages and what to buy, on one page.
    #[command(
        mut_arg("seed", |_| seed_of_years()),
        mut_arg("set", |arg| arg.requires("scenarios")),
        mut_arg("skip_absent", |arg| arg.requires("scenarios")),
        mut_arg("start", |arg| arg.requires("scenarios")),
        after_help = "\
Examples:
  tieline drill board --html board.html            each loss and 1,000 years, over the recorded calls
  tieline drill board --html board.html --scenario aws-us-east-1-2025-10-19 --scenario price-times-3 --skip-absent
  tieline drill board --html board.html --catalogue offers.toml
  tieline drill board --html board.html --litellm config.yaml --traffic spend.csv

It does what `drill n-1`, `scenario`, `year` and `plan` do over the same calls, and leaves the receipts that they leave. \
As there, a scenario knows nothing of --how and --survivors, and without calls it is played over calls at an even pace. A \
missed bar of [bars.n_1], or a critical party that no offer secures, is a finding (exit 1)."
    )]
    Board(BoardArgs),
    /// Write the law that calls follow: rates by hour of the week, gaps, sizes and times. Calls can be drawn from it.
    #[command(after_help = "\
Examples:
  tieline drill fit > law.toml                     of the recorded calls
  tieline drill fit --since 2026-06-01 --json      of those from June on, as one JSON object
  tieline drill fit --traffic calls.csv > law.toml

A law names parties, pools and models, and may be edited. `drill n-1 --traffic law.toml` draws calls from it: the same \
calls for the same seed.")]
    Fit(Fit),
    /// Lay a directive over recorded calls: who loses, who is a bystander, who is undetermined, and which losses of
    /// channels and components it makes worse.
    #[command(after_help = "\
Examples:
  tieline drill directive letter.toml              over every recorded call; need not be signed
  tieline drill directive letter.toml --since 2026-06-11T00:00:00Z --json
  tieline drill directive letter.toml --traffic calls.csv --mapping mapping.toml

The first part is that of `tieline directive rehearse`; the second takes each channel and component out in turn, without \
the directive and under it. It leaves a receipt, as n-1 does.

Exit code 1: somebody outside its scope would be hit, or somebody would be held for want of a fact, or it names a party \
or model that is not here.")]
    Directive(DrillDirective),
    /// Say whether the recorded calls predict themselves, and decide every one again; any difference is a finding (exit 1).
    #[command(after_help = "\
Examples:
  tieline drill replay                             each call under the grid it was decided by
  tieline drill replay --json                      each difference by call and field

First it says whether the first half of the newest calls predicts the second, as n-1 and its like play them: decisions \
(the bar is 99.9 %), cost (1 %), quantiles of the time to first content (10 %). A miss is a finding (exit 1), and then \
they publish nothing unless --uncalibrated is given. Of fewer than 200 calls in a half it cannot be judged. What is \
compared is in docs/calibration.md.

It leaves a receipt in the ledger: digests of what was decided and of what came out. Where calls differ it leaves none, \
and the ledger as it is.")]
    Replay(Recorded),
    /// Take each channel and each component out in turn: calls kept, moved, degraded, lost, and what it costs.
    #[command(
        name = "n-1",
        after_help = "\
Examples:
  tieline drill n-1                                over the recorded calls, if there are any
  tieline drill n-1 --since 2026-06-01 --until 2026-07-01
  tieline drill n-1 --config plan.toml             what a configuration would make of it
  tieline drill n-1 --config plan.toml --traffic calls.csv --mapping mapping.toml
  tieline drill n-1 --traffic law.toml --seed 7    over calls that are drawn from a law
  tieline drill n-1 --litellm config.yaml --traffic spend.csv
                                                   over another gateway's configuration and spend log
  tieline drill n-1 --how silent --survivors 0.5   what is gone stays silent, and the rest is worth half
  tieline drill n-1 --html n-1.html                and a page for people, with the grid before and after

What a configuration states under [bars.n_1] is judged: a contingency that misses a bar is a finding (exit 1).

Without recorded calls, one call of assumed size stands for each thing that each party may ask for. The formats of \
traces, mappings and laws are in docs/traffic.md.

It leaves a receipt in the ledger of the state folder, if there is one: digests of grid, traffic, options, engine and \
result. `tieline drill receipts` lists them."
    )]
    NMinus1 {
        #[command(flatten)]
        losses: Losses,
        #[command(flatten)]
        page: Paged,
    },
    /// Take every two of them out at once. What may shed load is decided call by call, and so are the tightest others.
    #[command(
        name = "n-2",
        after_help = "\
Examples:
  tieline drill n-2                                over the recorded calls, if there are any
  tieline drill n-2 --json                         every pair, and which rows are exact and which modelled

What a configuration states under [bars.n_2] is judged: a contingency that misses a bar is a finding (exit 1). It leaves \
a receipt, as n-1 does."
    )]
    NMinus2 {
        #[command(flatten)]
        losses: Losses,
        #[command(flatten)]
        page: Paged,
    },
    /// Find the cheapest offers of a catalogue with which no single loss leaves a critical party without service.
    #[command(after_help = "\
Examples:
  tieline drill plan --catalogue offers.toml       each offer alone, and the pairs that would be cheaper
  tieline drill plan --catalogue offers.toml --pairs --json
                                                   every pair of offers that do not serve alone

Rules are input: an offered channel is judged as any other, and no plan goes around a rule. Every set that is printed was \
played, each loss, call by call. A critical party that nothing secures is a finding (exit 1).

It leaves a receipt, as n-1 does, with the digest of the catalogue.")]
    Plan(Plan),
    /// Measure how fast a drill is and how much memory it takes, in a world that is made for it.
    #[command(after_help = "\
Examples:
  tieline drill bench                              64 channels, 10,000 parties, a day of a million calls
  tieline drill bench --n-1 --n-2 --json           and how long the loss of each element, and of every two, takes
  tieline drill bench --calls 1000 --structure     and the structure of a large grid
  tieline drill bench --calls 1000 --memory        and the memory for ten million calls

It reads no state folder. Every pack that is shipped is in force. Each figure comes with what it is to be on two cores.")]
    Bench(Bench),
    /// List the receipts of drills and pool tests, show one, or make a drill again and compare.
    #[command(after_help = "\
Examples:
  tieline drill receipts                           all, oldest first
  tieline drill receipts last                      the newest, with everything that it cites
  tieline drill receipts --check last              run it again on the same entries of the ledger

Exit code 0: the same came out; 1: something else did; 2: what it ran on is not here any more, so it cannot be made again.")]
    Receipts(Receipts),
    /// Play scenarios over the recorded calls: outages, prices, quotas, directives, surges as they come and go.
    #[command(after_help = "\
Examples:
  tieline drill scenario --list                    those that are shipped, with their parameters
  tieline drill scenario aws-us-east-1-2025-10-19  over the recorded calls
  tieline drill scenario cloud-withdraws-lab --set cloud=aws --set lab=anthropic
  tieline drill scenario mine.toml price-times-3 --json
  tieline drill scenario gcp-2025-06-12 --config examples/public-grid.toml

Several scenarios get a row each, the worst first. Without recorded calls, calls at an even pace are assumed. What a \
scenario file may hold is in docs/scenarios.md. It leaves a receipt, as n-1 does.")]
    Scenario(Scenarios),
    /// Play random worlds around the live decision code, and audit every call of them; a broken law is a finding (exit 1).
    #[command(after_help = "\
Examples:
  tieline drill sim --seeds 1000                   a thousand worlds: faults, orders, reloads, crashes
  tieline drill sim --seed 7                       the world of one seed, with what its calls did if a law is broken

It reads no state folder and reaches no channel. A seed is a whole run: the same seed gives the same calls, and each is \
made twice.")]
    Sim(Sim),
    /// Draw years of outages from the priors: hours and calls that are lost, with tails; the worst decided call by call.
    #[command(
        mut_arg("seed", |_| seed_of_years()),
        after_help = "\
Examples:
  tieline drill year                               1,000 years over the recorded calls, if there are any
  tieline drill year --runs 2000 --seed 7 --json   every cause with its prior, where that is from, and what it costs
  tieline drill year --priors priors.toml          with outages as you know them, in the form that `tieline grid` takes
  tieline drill year --common 0                    channels of one operator fail independently

The years are modelled: flows of calls by what is out and the hour of the week. The worst episode of each of the 20 worst \
years is decided call by call. The same seed gives the same bytes. It leaves a receipt, as n-1 does."
    )]
    Year(YearArgs),
}

#[derive(Args, Debug)]
pub(crate) struct BoardArgs {
    /// A scenario to play: a file, or the name of one that is shipped; may be repeated.
    #[arg(long = "scenario", value_name = "FILE")]
    pub(crate) scenarios: Vec<String>,
    #[command(flatten)]
    pub(crate) years: Years,
    /// What can be bought, as TOML (see `tieline drill plan --help`).
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) chosen: ScenarioArgs,
    #[command(flatten)]
    pub(crate) losses: Losses,
    #[command(flatten)]
    pub(crate) page: Paged,
}

/// Years that are drawn.
#[derive(Args, Debug)]
pub(crate) struct Years {
    /// Years to draw, 1 to 10,000.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(RUNS_MAX)))]
    pub(crate) runs: u32,
    /// Of what a channel fails by itself, the share that strikes all channels of the same operator and labs, 0 to 1.
    /// Assumed.
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = part)]
    pub(crate) common: u32,
    /// Outages as you know them: how often and how long, by name or kind (see `tieline grid --help`).
    #[arg(long, value_name = "FILE")]
    pub(crate) priors: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct YearArgs {
    #[command(flatten)]
    pub(crate) years: Years,
    /// A configuration to rehearse instead of the state folder's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How what is out shows itself, where calls are decided one by one.
    #[arg(long, value_enum, default_value_t = How::Refused)]
    pub(crate) how: How,
    /// What the limits of the channels that are left are worth, 0.001 to 1: in an outage everybody moves to them. Assumed.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = share)]
    pub(crate) survivors: u32,
    #[command(flatten)]
    pub(crate) page: Paged,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
}

#[derive(Args, Debug)]
pub(crate) struct DrillDirective {
    /// The directive, signed or not.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) page: Paged,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Scenarios {
    /// Files, or names of scenarios that are shipped.
    #[arg(value_name = "FILE", required_unless_present = "list")]
    pub(crate) files: Vec<String>,
    /// A configuration to rehearse instead of the state folder's, over calls at an even pace.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// List the scenarios that are shipped.
    #[arg(long, conflicts_with_all = ["files", "config", "html", "set", "skip_absent", "start", "traffic"])]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) chosen: ScenarioArgs,
    #[command(flatten)]
    pub(crate) page: Paged,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
}

/// What is chosen of scenarios.
#[derive(Args, Debug)]
pub(crate) struct ScenarioArgs {
    /// Choose a parameter of the scenarios; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Leave out events about what is not here, with a note, instead of refusing the scenario.
    #[arg(long)]
    pub(crate) skip_absent: bool,
    /// When scenarios start, in the place of what they say: `first call`, a time after it such as `2h`, or an instant.
    #[arg(long, value_name = "WHEN")]
    pub(crate) start: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// The first seed.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Runs, one for each seed from the first on; by default 100, or one where a seed is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) seeds: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Losses {
    /// A configuration to rehearse instead of the state folder's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How what is gone shows itself.
    #[arg(long, value_enum, default_value_t = How::Refused)]
    pub(crate) how: How,
    /// What the limits of the channels that are left are worth, 0.001 to 1: in an outage everybody moves to them. Assumed.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = share)]
    pub(crate) survivors: u32,
    #[command(flatten)]
    pub(crate) foreign: Foreign,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) recorded: Recorded,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    #[command(flatten)]
    pub(crate) spend: SpendArgs,
}

/// What becomes of LiteLLM's spend log, which --traffic names.
#[derive(Args, Debug)]
pub(crate) struct SpendArgs {
    /// Write the calls of the spend log as a trace, with the parties' ids and the names of that configuration.
    #[arg(long, value_name = "FILE", requires = "litellm", requires = "traffic")]
    pub(crate) write_trace: Option<PathBuf>,
    /// Write which team, user or key each party's id stands for, readable by you alone.
    #[arg(long, value_name = "FILE", requires = "litellm", requires = "traffic")]
    pub(crate) write_parties: Option<PathBuf>,
    /// A file of random bytes that goes into the parties' ids, so that nobody can tell them by trying names; it is made if
    /// it is not there. The same salt gives the same ids.
    #[arg(long, value_name = "FILE", requires = "litellm", requires = "traffic")]
    pub(crate) salt: Option<PathBuf>,
}

/// Another gateway's files, instead of the state folder's.
#[derive(Args, Debug)]
pub(crate) struct Foreign {
    /// LiteLLM's `config.yaml`; once more for the answer of its `GET /model/info`, if it keeps models in its database.
    /// Nothing of it is called, and no credential is read.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) litellm: Vec<PathBuf>,
    /// Write the configuration that it is taken to be, to correct it and go on with --config.
    #[arg(long, value_name = "FILE", requires = "litellm")]
    pub(crate) write_config: Option<PathBuf>,
}

/// A page beside what is printed.
#[derive(Args, Debug)]
pub(crate) struct Paged {
    /// Also write a page for people: one file with pictures that loads nothing. It replaces a page, and nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// What can be bought, as TOML; `examples/plan-catalogue.toml` of the source is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: PathBuf,
    /// Also try the pairs that cost no less than the cheapest offer that serves alone.
    #[arg(long)]
    pub(crate) pairs: bool,
    #[command(flatten)]
    pub(crate) losses: Losses,
    #[command(flatten)]
    pub(crate) page: Paged,
}

/// What a ledger must show before a what-if over it is published.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Gate {
    /// Go on where the first half of the recorded calls does not predict the second (see `tieline drill replay`); every
    /// report says so.
    #[arg(long, conflicts_with = "traffic")]
    pub(crate) uncalibrated: bool,
}

/// Whether a run leaves a receipt.
#[derive(Args, Debug)]
pub(crate) struct Recorded {
    /// Leave no receipt in the ledger.
    #[arg(long)]
    pub(crate) no_receipt: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Receipts {
    /// Make a drill again from what it ran on, and compare the results.
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    pub(crate) check: Option<String>,
    /// Show one receipt; `last` is the newest.
    pub(crate) id: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Calls, as they come on a day of a million.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = calls)]
    pub(crate) calls: usize,
    /// Also measure the loss of each channel and component in turn, on all cores.
    #[arg(long = "n-1")]
    pub(crate) n_1: bool,
    /// Also measure the loss of every two components at once, on all cores.
    #[arg(long = "n-2")]
    pub(crate) n_2: bool,
    /// Also measure the analysis of a grid of 256 components and 64 channels at rest.
    #[arg(long, value_name = "PARTIES", num_args = 0..=1, default_missing_value = "1000", value_parser = large_parties())]
    pub(crate) structure: Option<u32>,
    /// Also measure the most memory that so many calls take, streamed in, with their base and a loss on each core.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10000000", value_parser = calls)]
    pub(crate) memory: Option<usize>,
}

/// Of the grid at rest: each is a row of the analysis.
fn large_parties() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

fn calls(text: &str) -> Result<usize, String> {
    let calls = text.parse().ok().filter(|calls| (1..=10_000_000).contains(calls));
    calls.ok_or_else(|| "wants a number from 1 to 10000000".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// An operator has cut it: nobody dials it.
    Cut,
    /// It answers with errors.
    Errors,
    /// It refuses connections.
    Refused,
    /// It stays silent until a limit of time passes.
    Silent,
}

/// Of the years, and of calls that are drawn: beside other arguments it needs no calls from elsewhere.
fn seed_of_years() -> Arg {
    Arg::new("seed")
        .long("seed")
        .value_name("S")
        .value_parser(clap::value_parser!(u64))
        .help(
            "Of what is drawn, the years and the calls of a law: the same seed, the same bytes [default: 0]",
        )
}

/// A share of one as thousandths, nothing among them.
fn part(text: &str) -> Result<u32, String> {
    let zeros = text.strip_prefix('0').unwrap_or(text);
    let is_nothing = zeros.is_empty() || matches!(zeros, ".0" | ".00" | ".000");
    if is_nothing && !text.is_empty() {
        return Ok(0);
    }
    share(text).map_err(|_| "wants a share from 0 to 1, with at most three decimals".to_owned())
}

/// A share of one as thousandths.
fn share(text: &str) -> Result<u32, String> {
    let wants = || "wants a share from 0.001 to 1, with at most three decimals".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if part.len() > 3 || whole.len() > 1 || !digits(whole) || !digits(part) {
        return Err(wants());
    }
    let permille = format!("{whole}{part:0<3}").parse().map_err(|_| wants())?;
    if (1..=1_000).contains(&permille) {
        Ok(permille)
    } else {
        Err(wants())
    }
}

#[derive(Args, Debug)]
pub(crate) struct Fit {
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
}

/// Where the calls of a rehearsal come from: the ledger, if nothing else is said.
#[derive(Args, Debug)]
pub(crate) struct TrafficArgs {
    /// Calls from elsewhere: a trace (CSV, JSON Lines), a folder of them, or a law (`.toml`); beside --litellm,
    /// where a command has that, LiteLLM's spend log (`LiteLLM_SpendLogs` as CSV or JSON) too. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) traffic: Vec<PathBuf>,
    /// Whose the calls of a trace are, what they ask for, and what the trace does not say.
    #[arg(long, value_name = "FILE", requires = "traffic")]
    pub(crate) mapping: Option<PathBuf>,
    /// Only calls that began at this instant or later, such as `2026-06-12` or `2026-06-12T17:21:00Z`.
    #[arg(long, value_name = "INSTANT", value_parser = instant_of_date)]
    pub(crate) since: Option<Tick>,
    /// Only calls that began before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = instant_of_date)]
    pub(crate) until: Option<Tick>,
    /// Of what is drawn (arrivals of a law or a client series, what a mapping leaves to chance): the same seed, the same
    /// calls.
    #[arg(long, value_name = "S", requires = "traffic")]
    pub(crate) seed: Option<u64>,
    /// Every rate of arrivals that are drawn, times this.
    #[arg(long, value_name = "X", requires = "traffic")]
    pub(crate) scale: Option<f64>,
    /// Take the calls of a trace in the order of their times, whatever the order of its lines.
    #[arg(long, requires = "traffic")]
    pub(crate) sort: bool,
    /// Use a ledger that does not verify, or holds what this program does not read; every report says so.
    #[arg(long, conflicts_with = "traffic")]
    pub(crate) unverified: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_may_be_nothing() {
        let cases = [
            ("0", Some(0)),
            ("0.0", Some(0)),
            (".000", Some(0)),
            ("0.5", Some(500)),
            ("1", Some(1_000)),
            ("0.0000", None),
            ("1.001", None),
            ("00", None),
            ("", None),
            ("half", None),
        ];
        for (text, expected) in cases {
            assert_eq!(part(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_share_is_read_exactly() {
        let cases = [
            ("1", Some(1_000)),
            ("1.000", Some(1_000)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("0.001", Some(1)),
            ("0", None),
            ("0.0005", None),
            ("1.001", None),
            ("2", None),
            ("-1", None),
            ("0.5.5", None),
            ("", None),
            (".", None),
            ("50%", None),
        ];
        for (text, expected) in cases {
            assert_eq!(share(text).ok(), expected, "{text}");
        }
    }
}

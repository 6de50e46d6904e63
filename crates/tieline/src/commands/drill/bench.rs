//! `tieline drill bench`: how many whole calls a second the drill decides on one core, and how long the single losses of a
//! day take. The world is made from its size alone, so that two machines measure the same.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{Ruling, Snapshot, Tick};
use tieline_drill::{
    Assumed, BenchSize, Contingencies, ElementKind, Known, Rehearsal, Timeline, Traffic, bench_grid,
    bench_snapshot, bench_traffic,
};
use tieline_policy::{Epoch, Judge, Pack, PartyFacts, Postures, Source, Targets};

use super::losses::watched;
use crate::cli::{Bench, Cli};
use crate::commands::grid::World;
use crate::output::{self, Failure, Result};

/// Every pack that is shipped: its id, its head and its rules.
const PACKS: [(&str, &str, &str); 13] = [
    (
        "agency",
        include_str!("../../../../../packs/agency/pack.toml"),
        include_str!("../../../../../packs/agency/rules.cedar"),
    ),
    (
        "demo",
        include_str!("../../../../../packs/demo/pack.toml"),
        include_str!("../../../../../packs/demo/rules.cedar"),
    ),
    (
        "eu-ai-act",
        include_str!("../../../../../packs/eu-ai-act/pack.toml"),
        include_str!("../../../../../packs/eu-ai-act/rules.cedar"),
    ),
    (
        "eu-ai-act-high-risk",
        include_str!("../../../../../packs/eu-ai-act-high-risk/pack.toml"),
        include_str!("../../../../../packs/eu-ai-act-high-risk/rules.cedar"),
    ),
    (
        "provider-terms",
        include_str!("../../../../../packs/provider-terms/pack.toml"),
        include_str!("../../../../../packs/provider-terms/rules.cedar"),
    ),
    (
        "research",
        include_str!("../../../../../packs/research/pack.toml"),
        include_str!("../../../../../packs/research/rules.cedar"),
    ),
    (
        "residency",
        include_str!("../../../../../packs/residency/pack.toml"),
        include_str!("../../../../../packs/residency/rules.cedar"),
    ),
    (
        "sanctions",
        include_str!("../../../../../packs/sanctions/pack.toml"),
        include_str!("../../../../../packs/sanctions/rules.cedar"),
    ),
    (
        "us-ear",
        include_str!("../../../../../packs/us-ear/pack.toml"),
        include_str!("../../../../../packs/us-ear/rules.cedar"),
    ),
    (
        "us-ear-4e091",
        include_str!("../../../../../packs/us-ear-4e091/pack.toml"),
        include_str!("../../../../../packs/us-ear-4e091/rules.cedar"),
    ),
    (
        "us-ear-affiliates-2025",
        include_str!("../../../../../packs/us-ear-affiliates-2025/pack.toml"),
        include_str!("../../../../../packs/us-ear-affiliates-2025/rules.cedar"),
    ),
    (
        "us-ear-affiliates-2026",
        include_str!("../../../../../packs/us-ear-affiliates-2026/pack.toml"),
        include_str!("../../../../../packs/us-ear-affiliates-2026/rules.cedar"),
    ),
    (
        "us-ear-affiliates-suspended",
        include_str!("../../../../../packs/us-ear-affiliates-suspended/pack.toml"),
        include_str!("../../../../../packs/us-ear-affiliates-suspended/rules.cedar"),
    ),
];

/// Plays of which the fastest counts: the rest is noise of the machine.
const PLAYS: usize = 5;

/// The instant at which policy is asked.
const NOW: Tick = Tick(1_781_222_400_000_000);

/// Where the parties of the world are.
const COUNTRIES: [&str; 8] = ["US", "DE", "FR", "GB", "JP", "CA", "AU", "NL"];

/// `tieline drill bench`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchReport {
    /// Always `tieline/drill-bench/v1`.
    pub(super) schema: &'static str,
    /// Attempts of all calls with nothing gone.
    pub(super) attempts: u64,
    /// Bytes of a call as it is played.
    pub(super) bytes_per_call: u64,
    pub(super) calls: u64,
    /// Whole calls that one core decides in a second, from arrival to end, what becomes of each counted; the best of five
    /// plays with nothing gone.
    pub(super) calls_per_second_per_core: u64,
    /// Calls that are served with nothing gone.
    pub(super) carried: u64,
    pub(super) channels: u64,
    pub(super) components: u64,
    /// The loss of each element in turn; null without `--n-1`.
    pub(super) n_1: Option<BenchLosses>,
    /// Packs in force.
    pub(super) packs: u64,
    pub(super) parties: u64,
    /// Rules of these packs.
    pub(super) rules: u64,
}

/// The loss of each element in turn.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchLosses {
    pub(super) channels: BenchPlays,
    pub(super) components: BenchPlays,
    pub(super) cores: u64,
}

/// What the losses of one kind of element took.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct BenchPlays {
    pub(super) ms: u64,
    /// Elements that take out the same channels are one play.
    pub(super) plays: u64,
}

/// A world to measure on.
struct Measured {
    rules: u64,
    snapshot: Arc<Snapshot>,
    traffic: Traffic,
}

pub(super) fn run(cli: &Cli, args: &Bench) -> Result<u8> {
    let size = BenchSize::of_day(args.calls);
    let world = measured(size)?;
    let rehearsal = Rehearsal::new(&world.snapshot, &world.traffic, Known::default());
    let nothing = Timeline::default();
    let play = || {
        let begun = Instant::now();
        std::hint::black_box(rehearsal.play(&nothing));
        begun.elapsed().as_nanos().max(1)
    };
    let best = (0..PLAYS).map(|_| play()).min().unwrap_or(1);
    let a_second = world.traffic.calls.len() as u128 * 1_000_000_000 / best;
    let base = rehearsal.base();
    let report = BenchReport {
        schema: "tieline/drill-bench/v1",
        attempts: base.attempts,
        bytes_per_call: size_of_val(world.traffic.calls.as_slice()) as u64 / base.calls.max(1),
        calls: base.calls,
        calls_per_second_per_core: u64::try_from(a_second).unwrap_or(u64::MAX),
        carried: base.carried,
        channels: world.snapshot.channels.len() as u64,
        components: world.snapshot.components.len() as u64,
        n_1: args.n_1.then(|| losses(&rehearsal)),
        packs: PACKS.len() as u64,
        parties: size.parties.into(),
        rules: world.rules,
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(text(&report))?;
    }
    Ok(0)
}

/// The loss of each component, and of each channel, in turn.
fn losses(rehearsal: &Rehearsal<'_>) -> BenchLosses {
    let of = |kind| {
        let begun = Instant::now();
        let contingencies = Contingencies::single_of(rehearsal, Assumed::default(), kind);
        let plays = watched(contingencies.plays(), "decided", &|play| contingencies.play(play));
        BenchPlays {
            ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            plays: plays.len() as u64,
        }
    };
    BenchLosses {
        channels: of(ElementKind::Channel),
        components: of(ElementKind::Component),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as u64,
    }
}

/// The world of that size, and what every shipped pack rules in it.
fn measured(size: BenchSize) -> Result<Measured> {
    let snapshot = bench_snapshot(bench_grid(size)).map_err(Failure::found)?;
    let parse = |(id, head, rules): &(&str, &str, &str)| {
        let file = |path: &str, text: &str| Source {
            path: path.into(),
            text: text.into(),
        };
        let pack = Pack::parse(&[file("pack.toml", head), file("rules.cedar", rules)]);
        pack.map_err(|problems| Failure::found(format!("the pack {id} does not hold: {problems:?}")))
    };
    let packs: Vec<Pack> = PACKS.iter().map(parse).collect::<Result<_>>()?;
    let statuses: Vec<_> = packs.iter().map(|pack| pack.manifest().status).collect();
    let rules = packs.iter().map(|pack| pack.rules().len() as u64).sum();
    let epoch = Epoch::build(0, packs, &statuses)
        .map_err(|problems| Failure::found(format!("the packs do not hold together: {problems:?}")))?;
    let targets = Targets::of_grid(&snapshot, &[]).map_err(|error| Failure::found(error.to_string()))?;
    let postures = Arc::new(Postures::new());
    let of_countries: Vec<u32> = COUNTRIES
        .iter()
        .map(|country| {
            let facts = facts(country)?;
            let posture = postures.intern(&facts);
            posture.map_err(|error| Failure::found(error.to_string()))
        })
        .collect::<Result<_>>()?;
    let judge = Judge::new(Arc::new(epoch), Arc::new(targets), postures);
    let ruled = |party: u32, channel: &str, model: &str| {
        let posture = of_countries.get(party as usize % of_countries.len()).copied();
        let model = snapshot.model_named(model).and_then(|ix| snapshot.model(ix));
        let channel = snapshot.channel_named(channel);
        let candidates = model.map(|model| model.candidates.iter());
        let candidate = candidates.and_then(|mut all| all.find(|c| Some(c.channel) == channel));
        match (posture, candidate) {
            (Some(posture), Some(candidate)) => {
                judge
                    .verdict(World::question(posture, *candidate), "p", NOW)
                    .ruling
            }
            _ => Ruling::Deny,
        }
    };
    let traffic = bench_traffic(size, &snapshot, &ruled);
    Ok(Measured {
        rules,
        snapshot,
        traffic,
    })
}

/// An enterprise of which everything is known, and which may have its data processed elsewhere.
fn facts(country: &str) -> Result<PartyFacts> {
    let text = format!(
        r#"{{"class":"enterprise","data_centre":"{country}","end_uses":["research"],"headquarters":"{country}",
            "jurisdiction":"{country}","kind":"organisation","licences":["data-transfer"],"listed":[],
            "parent_headquarters":"{country}","person_class":[],"statements":["ownership-review"]}}"#
    );
    serde_json::from_str(&text).map_err(|error| Failure::found(error.to_string()))
}

fn text(report: &BenchReport) -> String {
    let mut text = format!(
        "{} calls a second on one core: {} calls of {} parties over {} channels, {} of them carried, in {} attempts, under \
         {} rules of {} packs; {} bytes a call.\n",
        report.calls_per_second_per_core,
        report.calls,
        report.parties,
        report.channels,
        report.carried,
        report.attempts,
        report.rules,
        report.packs,
        report.bytes_per_call
    );
    if let Some(losses) = &report.n_1 {
        let _ = writeln!(
            text,
            "Each of {} components gone in turn: {} plays in {} ms on {} cores; each of {} channels: {} plays in {} ms.",
            report.components,
            losses.components.plays,
            losses.components.ms,
            losses.cores,
            report.channels,
            losses.channels.plays,
            losses.channels.ms
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_pack_is_in_force() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs");
        let folders = std::fs::read_dir(folder).unwrap();
        let mut shipped: Vec<String> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        shipped.sort();
        assert_eq!(shipped, PACKS.map(|(id, _, _)| id));
    }

    #[test]
    fn the_measured_world_is_mostly_served() {
        let world = measured(BenchSize::of_day(500)).unwrap();
        let rehearsal = Rehearsal::new(&world.snapshot, &world.traffic, Known::default());
        let base = rehearsal.base();
        assert!(base.carried * 10 >= base.calls * 9, "{base:?}");
        assert!(base.attempts >= base.carried);
    }
}

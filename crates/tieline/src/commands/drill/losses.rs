//! `tieline drill n-1` and `n-2`: each channel and each component gone in turn, and every two of them at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::Snapshot;
use tieline_core::receipt::{LedgerCited, TrafficCited};
use tieline_drill::{
    Assumed, Bars, Basis, Contingencies, Known, Loss, NMinus1Report, NMinus2Report, Pairs, Rehearsal,
    Traffic, WORST_OF_THE_REST,
};

use super::facts::Facts;
use super::traffic::traffic;
use super::{flush, in_parallel, progress};
use crate::cli::{Cli, How, Losses};
use crate::commands::grid::World;
use crate::commands::imported::{self, LossesImported};
use crate::commands::receipt::{self, Ran};
use crate::import::mapping::Mapping;
use crate::output::{self, Result};

/// As they are typed, and as their receipts say them.
pub(super) const ONE: &str = "n-1";
pub(super) const TWO: &str = "n-2";

/// Names of arguments in receipts.
const HOW: &str = "how";
const SURVIVORS: &str = "survivors_permille";
const BARS: &str = "bars.";

/// What losses are rehearsed on.
pub(super) struct Inputs {
    pub(super) assumed: Assumed,
    pub(super) bars: Bars,
    pub(super) known: Known,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) traffic: Traffic,
}

/// The same, as a receipt cites it.
pub(super) struct Cited {
    arguments: BTreeMap<Arc<str>, Arc<str>>,
    /// Why there can be no receipt.
    doubt: Option<String>,
    ledger: Option<LedgerCited>,
    /// What another gateway's files are taken to be, if it is theirs.
    mapping: Option<Mapping>,
    seed: Option<u64>,
    traffic: TrafficCited,
}

/// `n-1`.
pub(super) fn one(cli: &Cli, args: &Losses) -> Result<u8> {
    let (world, inputs, cited) = open(cli, args, |world| world.bars.n_1)?;
    let report = singles(&inputs);
    let report = cited.show(cli, "tieline/drill-n-1-litellm/v1", report, NMinus1Report::text)?;
    if !args.recorded.no_receipt {
        cited.record(cli, ONE, (&world, &inputs), &report);
    }
    Ok(u8::from(!report.bars_missed.is_empty()))
}

/// `n-2`.
pub(super) fn two(cli: &Cli, args: &Losses) -> Result<u8> {
    let (world, inputs, cited) = open(cli, args, |world| world.bars.n_2)?;
    let report = pairs(&inputs);
    let report = cited.show(cli, "tieline/drill-n-2-litellm/v1", report, NMinus2Report::text)?;
    if !args.recorded.no_receipt {
        cited.record(cli, TWO, (&world, &inputs), &report);
    }
    Ok(u8::from(!report.bars_missed.is_empty()))
}

/// Every single loss, on all cores.
pub(super) fn singles(inputs: &Inputs) -> NMinus1Report {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let contingencies = Contingencies::single(&rehearsal, inputs.assumed);
    let plays = watched(contingencies.plays(), "decided", &|play| contingencies.play(play));
    contingencies.n_minus_1(&plays, &inputs.bars)
}

/// Every pair, on all cores.
pub(super) fn pairs(inputs: &Inputs) -> NMinus2Report {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let pairs = Pairs::new(&rehearsal, inputs.assumed);
    let singles = watched(pairs.singles(), "single losses", &|play| pairs.single(play));
    let judged = watched(pairs.plays(), "pairs screened", &|play| pairs.judge(play));
    let plan = pairs.plan(&singles, &judged, WORST_OF_THE_REST);
    let chosen = watched(plan.chosen(), "pairs decided", &|ix| pairs.play(&plan, ix));
    pairs.n_minus_2(&plan, &singles, chosen, &inputs.bars)
}

/// What losses are rehearsed on by these arguments, and how a receipt cites it.
pub(super) fn open(cli: &Cli, args: &Losses, bars: fn(&World) -> Bars) -> Result<(World, Inputs, Cited)> {
    flush(cli);
    let foreign = args.foreign.litellm.first();
    let config = args.config.as_deref();
    let (world, mapping) = match foreign {
        Some(_) => {
            let imported = imported::open(&args.foreign)?;
            (imported.world, Some(imported.mapping))
        }
        None => (World::open(cli, config)?, None),
    };
    let alone = foreign.map(PathBuf::as_path).or(config);
    let facts = Facts::of(cli, alone)?;
    let calls = traffic(cli, alone, &args.traffic, &world, &facts)?;
    let mut arguments = calls.arguments;
    if foreign.is_some() {
        arguments.insert("litellm".into(), imported::digest(&args.foreign)?);
    }
    if let Some(config) = config {
        arguments.insert("config".into(), receipt::file_digest(config)?);
    }
    arguments.extend(facts.digest()?.map(|digest| (Facts::ARGUMENT.into(), digest)));
    let cited = Cited {
        arguments,
        doubt: calls.doubt,
        ledger: calls.ledger,
        mapping,
        seed: calls.seed,
        traffic: calls.cited,
    };
    let inputs = Inputs {
        assumed: assumed(args),
        bars: bars(&world),
        known: facts.known(calls.receipts),
        snapshot: world.snapshot.clone(),
        traffic: calls.traffic,
    };
    Ok((world, inputs, cited))
}

/// Makes so many things on all cores, and shows how far it is.
pub(super) fn watched<T: Send>(
    count: usize,
    what: &'static str,
    make: &(dyn Fn(usize) -> T + Sync),
) -> Vec<T> {
    let bar = progress(count as u64, what);
    let made = in_parallel(count, &|ix| {
        let one = make(ix);
        bar.inc(1);
        one
    });
    bar.finish_and_clear();
    made
}

// === what receipts say ===

impl Cited {
    /// Cite an argument of this drill alone.
    pub(super) fn say(&mut self, name: &str, value: Arc<str>) {
        self.arguments.insert(name.into(), value);
    }

    /// Print the report; beside what it rests on, where that is another gateway's.
    pub(super) fn show<R: Serialize>(
        &self,
        cli: &Cli,
        schema: &'static str,
        report: R,
        text: impl Fn(&R) -> String,
    ) -> Result<R> {
        match &self.mapping {
            Some(mapping) => {
                let said = text(&report);
                let object = LossesImported {
                    schema,
                    mapping: mapping.clone(),
                    report,
                };
                imported::print(cli.json, &object, &object.mapping, &said)?;
                return Ok(object.report);
            }
            None if cli.json => output::json(&report)?,
            None => output::line(text(&report))?,
        }
        Ok(report)
    }

    /// Leave a receipt of the report, or say why not.
    pub(super) fn record(
        self,
        cli: &Cli,
        command: &'static str,
        (world, inputs): (&World, &Inputs),
        report: &impl Serialize,
    ) {
        if let Some(doubt) = self.doubt {
            return output::progress(format!("no receipt: {doubt}"));
        }
        // A plan asks about channels that no recorded call met.
        let is_asked = inputs.traffic.basis != Basis::Recorded || command == super::plan::COMMAND;
        let asks_policy = is_asked && !world.parties.is_empty();
        let mut arguments = self.arguments;
        arguments.insert(HOW.into(), inputs.assumed.loss.name().into());
        arguments.insert(SURVIVORS.into(), inputs.assumed.survivors.to_string().into());
        for (bar, max) in inputs.bars.stated() {
            arguments.insert(format!("{BARS}{bar}").into(), max.to_string().into());
        }
        let ran = Ran {
            arguments,
            command,
            grid: Some(world.snapshot.clone()),
            ledger: self.ledger,
            policy: asks_policy.then(|| receipt::policy(world.judge())),
            seed: self.seed,
            traffic: Some(self.traffic),
            ..Ran::default()
        };
        receipt::record(cli, ran, report);
    }
}

/// What a receipt's arguments say of how losses show and which bars there are; none where it says what is not known here.
pub(super) fn assumed_of(arguments: &BTreeMap<Arc<str>, Arc<str>>) -> Option<(Assumed, Bars)> {
    let loss = arguments.get(HOW).and_then(|name| Loss::named(name))?;
    let survivors = arguments.get(SURVIVORS)?.parse().ok()?;
    let mut bars = Bars::default();
    for (name, max) in arguments {
        if let Some(bar) = name.strip_prefix(BARS) {
            *bars.named(bar)? = Some(max.parse().ok()?);
        }
    }
    Some((Assumed { loss, survivors }, bars))
}

const fn assumed(args: &Losses) -> Assumed {
    Assumed {
        loss: match args.how {
            How::Cut => Loss::Cut,
            How::Errors => Loss::Errors,
            How::Refused => Loss::Refused,
            How::Silent => Loss::Silent,
        },
        survivors: args.survivors,
    }
}

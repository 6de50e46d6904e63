//! `tieline drill n-1` and `n-2`: each channel and each component gone in turn, and every two of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::Snapshot;
use tieline_core::receipt::{LedgerCited, TrafficBasis, TrafficCited};
use tieline_drill::{
    Assumed, Bars, Basis, Contingencies, Known, Loss, NMinus1Report, NMinus2Report, Pairs, Receipts,
    Rehearsal, Traffic, WORST_OF_THE_REST, structure_digest,
};

use super::facts::Facts;
use super::{flush, in_parallel, progress};
use crate::cli::{Cli, How, Losses};
use crate::commands::grid::{World, calls_of};
use crate::commands::ledger::reader;
use crate::commands::receipt::{self, Ran};
use crate::output::{self, Failure, Result};

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
    config: Option<Arc<str>>,
    facts: Option<Arc<str>>,
    ledger: Option<LedgerCited>,
    traffic: TrafficCited,
}

/// `n-1`.
pub(super) fn one(cli: &Cli, args: &Losses) -> Result<u8> {
    let (world, inputs, cited) = open(cli, args, |world| world.bars.n_1)?;
    let report = singles(&inputs);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if !args.recorded.no_receipt {
        receipt::record(cli, cited.ran(ONE, &world, &inputs), &report);
    }
    Ok(u8::from(!report.bars_missed.is_empty()))
}

/// `n-2`.
pub(super) fn two(cli: &Cli, args: &Losses) -> Result<u8> {
    let (world, inputs, cited) = open(cli, args, |world| world.bars.n_2)?;
    let report = pairs(&inputs);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if !args.recorded.no_receipt {
        receipt::record(cli, cited.ran(TWO, &world, &inputs), &report);
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
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let facts = Facts::of(cli, config)?;
    let ledger = receipt::ledger(&cli.dir)?;
    let read = ledger.filter(|_| config.is_none());
    let (traffic, receipts, cited) = traffic(cli, &world, &facts, read)?;
    let cited = Cited {
        config: config.map(receipt::file_digest).transpose()?,
        facts: facts.digest()?,
        ledger,
        traffic: cited,
    };
    let inputs = Inputs {
        assumed: assumed(args),
        bars: bars(&world),
        known: facts.known(receipts),
        snapshot: world.snapshot.clone(),
        traffic,
    };
    Ok((world, inputs, cited))
}

/// The calls of the first entries of a ledger; where there are none, one for each thing that each party may ask for.
fn traffic(
    cli: &Cli,
    world: &World,
    facts: &Facts,
    ledger: Option<LedgerCited>,
) -> Result<(Traffic, Receipts, TrafficCited)> {
    let mut receipts = Receipts::new();
    if let Some(ledger) = ledger {
        let reader = reader(&cli.dir)?;
        let (traffic, found) = calls_of(&reader, ledger.entries, facts.criticality())?;
        if !traffic.calls.is_empty() {
            let found = receipt::within(found, &world.snapshot.record, &reader);
            return Ok((traffic, found, receipt::of_ledger(ledger)));
        }
        receipts = receipt::within(found, &world.snapshot.record, &reader);
    }
    let (traffic, digest) = world.with_parties(|parties| {
        let digest = structure_digest(&world.snapshot, parties);
        (Traffic::synthetic(&world.snapshot, parties), digest)
    });
    let digest = digest.ok_or_else(|| Failure::found("the grid has no canonical form"))?;
    let basis = TrafficBasis::Structure;
    Ok((traffic, receipts, TrafficCited { basis, digest }))
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
    pub(super) fn ran(self, command: &'static str, world: &World, inputs: &Inputs) -> Ran {
        let asks_policy = inputs.traffic.basis == Basis::Structure && !world.parties.is_empty();
        let mut arguments: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        arguments.insert(HOW.into(), inputs.assumed.loss.name().into());
        arguments.insert(SURVIVORS.into(), inputs.assumed.survivors.to_string().into());
        for (bar, max) in inputs.bars.stated() {
            arguments.insert(format!("{BARS}{bar}").into(), max.to_string().into());
        }
        arguments.extend(self.config.map(|digest| ("config".into(), digest)));
        arguments.extend(self.facts.map(|digest| (Facts::ARGUMENT.into(), digest)));
        Ran {
            arguments,
            command,
            grid: Some(world.snapshot.clone()),
            ledger: self.ledger,
            policy: asks_policy.then(|| receipt::policy(world.judge())),
            traffic: Some(self.traffic),
            ..Ran::default()
        }
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

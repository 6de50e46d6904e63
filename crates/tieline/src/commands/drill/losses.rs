//! `tieline drill n-1` and `n-2`: each channel and each component gone in turn, and every two of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::Snapshot;
use tieline_drill::{
    Assumed, Bars, Contingencies, Known, Loss, NMinus1Report, NMinus2Report, Pairs, Rehearsal, Traffic,
    WORST_OF_THE_REST, n_minus_1_page, n_minus_2_page,
};

use super::cited::{CONFIG, Cited, HOW, SURVIVORS};
use super::page::Page;
use super::traffic::{Calls, Origin, traffic};
use super::{flush, in_parallel, progress};
use crate::cli::{Cli, How, Losses, Paged};
use crate::commands::grid::World;
use crate::commands::imported::{self, LossesImported};
use crate::import::mapping::Mapping;
use crate::output::{self, Result};

/// As they are typed, and as their receipts say them.
pub(super) const ONE: &str = "n-1";
pub(super) const TWO: &str = "n-2";

/// Names of arguments in receipts: another gateway's configuration, and what the names of bars begin with.
const LITELLM: &str = "litellm";
const BARS: &str = "bars.";

/// What losses are rehearsed on.
pub(super) struct Inputs {
    pub(super) assumed: Assumed,
    pub(super) bars: Bars,
    pub(super) known: Known,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) traffic: Traffic,
}

/// The inputs, with whose they are.
pub(super) struct Opened {
    pub(super) cited: Cited,
    pub(super) inputs: Inputs,
    /// What another gateway's files were taken to be.
    pub(super) mapping: Option<Mapping>,
    pub(super) world: World,
}

/// `n-1`.
pub(super) fn one(cli: &Cli, args: &Losses, paged: &Paged) -> Result<u8> {
    let mut page = Page::of(paged)?;
    let opened = open(cli, args, |world| world.bars.n_1)?;
    opened.ground(page.as_mut());
    let (report, html) = singles_shown(&opened.inputs, page.as_ref());
    let (code, text) = (u8::from(!report.bars_missed.is_empty()), report.text());
    opened.tell(cli, args, ("tieline/drill-n-1-litellm/v1", ONE), (report, &text))?;
    written(page.as_ref(), html)?;
    Ok(code)
}

/// `n-2`.
pub(super) fn two(cli: &Cli, args: &Losses, paged: &Paged) -> Result<u8> {
    let mut page = Page::of(paged)?;
    let opened = open(cli, args, |world| world.bars.n_2)?;
    opened.ground(page.as_mut());
    let (report, html) = pairs_shown(&opened.inputs, page.as_ref());
    let (code, text) = (u8::from(!report.bars_missed.is_empty()), report.text());
    opened.tell(cli, args, ("tieline/drill-n-2-litellm/v1", TWO), (report, &text))?;
    written(page.as_ref(), html)?;
    Ok(code)
}

/// Every single loss, on all cores.
pub(super) fn singles(inputs: &Inputs) -> NMinus1Report {
    singles_shown(inputs, None).0
}

/// Every pair, on all cores.
pub(super) fn pairs(inputs: &Inputs) -> NMinus2Report {
    pairs_shown(inputs, None).0
}

/// Every single loss, and its page if one is asked for.
fn singles_shown(inputs: &Inputs, page: Option<&Page<'_>>) -> (NMinus1Report, Option<String>) {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let contingencies = Contingencies::single(&rehearsal, inputs.assumed);
    let report = decided(&contingencies, &inputs.bars);
    let html = page.map(|page| {
        n_minus_1_page(page.ground(&rehearsal), &report, &|gone| {
            contingencies.streams(gone)
        })
    });
    (report, html)
}

/// These losses, on all cores.
pub(super) fn decided(contingencies: &Contingencies<'_, '_>, bars: &Bars) -> NMinus1Report {
    let plays = watched(contingencies.plays(), "decided", &|play| contingencies.play(play));
    contingencies.n_minus_1(&plays, bars)
}

/// Every pair, and its page if one is asked for.
fn pairs_shown(inputs: &Inputs, page: Option<&Page<'_>>) -> (NMinus2Report, Option<String>) {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let pairs = Pairs::new(&rehearsal, inputs.assumed);
    let report = paired(&pairs, &inputs.bars);
    let html = page.map(|page| n_minus_2_page(page.ground(&rehearsal), &report, &|gone| pairs.streams(gone)));
    (report, html)
}

/// These pairs, on all cores.
pub(super) fn paired(pairs: &Pairs<'_, '_>, bars: &Bars) -> NMinus2Report {
    let singles = watched(pairs.singles(), "single losses", &|play| pairs.single(play));
    let judged = watched(pairs.plays(), "pairs screened", &|play| pairs.judge(play));
    let plan = pairs.plan(&singles, &judged, WORST_OF_THE_REST);
    let chosen = watched(plan.chosen(), "pairs decided", &|ix| pairs.play(&plan, ix));
    pairs.n_minus_2(&plan, &singles, chosen, bars)
}

/// The page as a file, if one is asked for.
pub(super) fn written(page: Option<&Page<'_>>, html: Option<String>) -> Result<()> {
    match page.zip(html) {
        Some((page, html)) => page.write(&html),
        None => Ok(()),
    }
}

/// What losses are rehearsed on by these arguments, and how a receipt cites it.
pub(super) fn open(cli: &Cli, args: &Losses, bars: fn(&World) -> Bars) -> Result<Opened> {
    flush(cli);
    let (world, origin, mapping) = if args.foreign.litellm.is_empty() {
        let config = args.config.as_deref();
        let origin = config.map_or(Origin::Folder, |_| Origin::Alone);
        (World::open(cli, config)?, origin, None)
    } else {
        let log = imported::Log {
            files: &args.traffic.traffic,
            kept: Some(&args.spend),
            window: args.traffic.window(),
        };
        let imported = imported::open(&args.foreign, &log)?;
        let origin = Origin::Foreign(imported.traffic.map(Box::new));
        (imported.world, origin, Some(imported.mapping))
    };
    let Calls {
        mut cited,
        known,
        traffic,
    } = traffic(cli, origin, (&args.traffic, args.gate), &world)?;
    cited.file(CONFIG, args.config.as_deref())?;
    if mapping.is_some() {
        cited.say(LITELLM, imported::digest(&args.foreign)?);
    }
    let inputs = Inputs {
        assumed: assumed(args.how, args.survivors),
        bars: bars(&world),
        known,
        snapshot: world.snapshot.clone(),
        traffic,
    };
    Ok(Opened {
        cited,
        inputs,
        mapping,
        world,
    })
}

impl Opened {
    /// What a page has to say of what it rests on.
    pub(super) fn ground(&self, page: Option<&mut Page<'_>>) {
        if let Some(page) = page {
            page.doubting(self.cited.doubt.as_ref());
            for says in self.mapping.iter().flat_map(Mapping::sentences) {
                page.remark(says);
            }
        }
    }

    /// What a receipt of losses cites: the inputs, how they show, what survivors are worth, and these bars.
    pub(super) fn cited(&self, bars: &Bars) -> Cited {
        let mut cited = self.cited.clone();
        cited.assume(self.inputs.assumed);
        for (bar, max) in bars.stated() {
            cited.say(&format!("{BARS}{bar}"), max.to_string());
        }
        cited
    }

    /// Whether a receipt is left. Whoever looks at another gateway has no ledger, and need not be told so.
    pub(super) const fn wants_receipt(&self, args: &Losses) -> bool {
        !args.recorded.no_receipt && (self.mapping.is_none() || self.cited.ledger.is_some())
    }

    /// Print the report, with the mapping if there is one, and leave a receipt of it.
    pub(super) fn tell<R: Serialize>(
        self,
        cli: &Cli,
        args: &Losses,
        (schema, command): (&'static str, &'static str),
        (report, text): (R, &str),
    ) -> Result<()> {
        let cited = self.wants_receipt(args).then(|| self.cited(&self.inputs.bars));
        let report = match self.mapping {
            Some(mapping) => {
                let object = LossesImported {
                    schema,
                    mapping,
                    report,
                };
                imported::print(cli.json, &object, &object.mapping, text)?;
                object.report
            }
            None if cli.json => {
                output::json(&report)?;
                report
            }
            None => {
                output::line(text)?;
                report
            }
        };
        if let Some(cited) = cited {
            cited.record(cli, command, &self.world, &report);
        }
        Ok(())
    }
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

/// Whether a receipt's arguments say that the grid was not the state folder's.
pub(super) fn is_alone(arguments: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
    [CONFIG, LITELLM].iter().any(|name| arguments.contains_key(*name))
}

/// What is assumed by these arguments.
pub(super) const fn assumed(how: How, survivors: u32) -> Assumed {
    Assumed {
        loss: match how {
            How::Cut => Loss::Cut,
            How::Errors => Loss::Errors,
            How::Refused => Loss::Refused,
            How::Silent => Loss::Silent,
        },
        survivors,
    }
}

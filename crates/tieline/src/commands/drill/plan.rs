//! `tieline drill plan`: the cheapest offers of a catalogue that make every critical party N-1 secure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Snapshot, Tick};
use tieline_drill::{
    Bars, Basis, Catalogue, Contingencies, PlanReport, PlanSearch, Rehearsal, Trial, plan_page,
};
use tieline_policy::Judge;

use super::losses::{self, Inputs, Opened, watched};
use super::page::Page;
use crate::check;
use crate::cli::{Cli, Plan};
use crate::commands::grid::World;
use crate::commands::receipt;
use crate::commands::serve::now_us;
use crate::output::{self, Failure, Result};

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "plan";

/// Of a plan for another gateway's configuration.
const SCHEMA_IMPORTED: &str = "tieline/drill-plan-litellm/v1";

pub(super) fn run(cli: &Cli, args: &Plan) -> Result<u8> {
    let mut page = Page::of(&args.page)?;
    let mut opened = losses::open(cli, &args.losses, |_| Bars::default())?;
    opened.ground(page.as_mut());
    let catalogue = catalogue(&opened.world, &args.catalogue)?;
    let report = planned(&mut opened, (&args.catalogue, &catalogue), args.pairs)?;
    let html = page.as_ref().map(|page| shown(page, &opened.inputs, &report));
    let (code, text) = (u8::from(!report.is_good()), report.text());
    opened.tell(cli, &args.losses, (SCHEMA_IMPORTED, COMMAND), (report, &text))?;
    losses::written(page.as_ref(), html)?;
    Ok(code)
}

/// What can be bought.
pub(super) fn catalogue(world: &World, file: &Path) -> Result<Catalogue> {
    check::catalogue::load(file, world.config(), &world.snapshot.record)
        .map_err(|report| Failure::report(report.render(output::look())))
}

/// Plan with the catalogue of a file, and say so in what a receipt cites. The traffic knows afterwards what is ruled on
/// offers.
pub(super) fn planned(
    opened: &mut Opened,
    (file, catalogue): (&Path, &Catalogue),
    all_pairs: bool,
) -> Result<PlanReport> {
    let (world, inputs) = (&opened.world, &mut opened.inputs);
    opened.cited.file(receipt::CATALOGUE, Some(file))?;
    opened.cited.say("pairs", all_pairs.to_string());
    // Also of recorded calls: about channels that none of them met.
    opened.cited.asks_policy = !world.parties.is_empty();
    let rules = Rules::of(world, inputs.traffic.basis, catalogue)?;
    let lanes = catalogue.lanes();
    inputs.traffic.judge(&lanes, &|party, end_use, channel, model| {
        rules.ruling(party, end_use, channel, model)
    });
    let search = search(inputs, catalogue);
    let mut report = searched(&search, all_pairs);
    let is_unfixed = report.fixes.is_empty() && !report.threats.is_empty();
    if let Some(rest) = is_unfixed.then(|| search.rest(&report.threats)).flatten() {
        report.add_rest(searched(&rest, all_pairs));
    }
    if !report.threats.is_empty() && search.is_ruled() {
        inputs.traffic.judge(&lanes, &|_, _, _, _| Ruling::Allow);
        report.price_rules(&searched(&self::search(inputs, catalogue), false));
    }
    Ok(report)
}

/// The page of a report. What rules say of offered channels is nothing to a grid that has none.
fn shown(page: &Page<'_>, inputs: &Inputs, report: &PlanReport) -> String {
    let rehearsal = Rehearsal::new(&inputs.snapshot, &inputs.traffic, inputs.known.clone());
    let today = Contingencies::single(&rehearsal, inputs.assumed);
    plan_page(page.ground(&rehearsal), report, &|gone| today.streams(gone))
}

fn search<'a>(inputs: &'a Inputs, catalogue: &'a Catalogue) -> PlanSearch<'a> {
    PlanSearch::new(
        &inputs.snapshot,
        &inputs.traffic,
        inputs.known.clone(),
        inputs.assumed,
        catalogue,
    )
}

/// Every set of offers worth trying, on all cores.
fn searched(search: &PlanSearch<'_>, all_pairs: bool) -> PlanReport {
    let today = search.today();
    let plays = watched(today.plays(), "losses today", &|play| today.play(play));
    let threats = search.threats(&plays);
    if threats.is_empty() {
        return search.report(threats, &[], &[], 0);
    }
    let try_all = |sets: &[Vec<usize>], what| -> Vec<Trial> {
        watched(sets.len(), what, &|ix| {
            search.attempt(sets.get(ix).map_or(&[], Vec::as_slice), &threats)
        })
    };
    let singles = try_all(&search.singles(), "offers");
    let (pairs, left_out) = search.pairs(&singles, all_pairs);
    let pairs = try_all(&pairs, "pairs of offers");
    search.report(threats, &singles, &pairs, left_out)
}

/// What policy says of the offered channels: the rules and orders of now, over a grid in which the channel stands.
struct Rules<'w> {
    /// By channel and model.
    asked: BTreeMap<(Arc<str>, Arc<str>), (usize, Candidate)>,
    /// A configuration alone has no parties, and its rules are not asked.
    is_open: bool,
    judges: Vec<Judge>,
    now: Tick,
    world: &'w World,
}

impl<'w> Rules<'w> {
    fn of(world: &'w World, basis: Basis, catalogue: &Catalogue) -> Result<Self> {
        let mut rules = Self {
            asked: BTreeMap::new(),
            is_open: basis != Basis::Recorded && world.parties.is_empty(),
            judges: Vec::new(),
            now: Tick(now_us()),
            world,
        };
        let lanes = catalogue.lanes();
        for ix in 0..catalogue.offers.len() {
            let snapshot = catalogue
                .with(&world.snapshot.record, &[ix])
                .map_err(Failure::input)?;
            let judge = rules.judges.len();
            rules.judges.push(world.judge_of(&snapshot)?);
            for (channel, model) in &lanes {
                let found = candidate(&snapshot, channel, model);
                let name = (channel.clone(), model.clone());
                rules.asked.extend(found.map(|found| (name, (judge, found))));
            }
        }
        Ok(rules)
    }

    /// What policy cannot be asked about is not allowed: a party without a key denies, an end use that the configuration
    /// does not have holds.
    fn ruling(&self, party: &str, end_use: Option<&str>, channel: &str, model: &str) -> Ruling {
        if self.is_open {
            return Ruling::Allow;
        }
        let asked = self.asked.get(&(Arc::from(channel), Arc::from(model)));
        let asked = asked.and_then(|(judge, candidate)| Some((self.judges.get(*judge)?, *candidate)));
        let (Some((judge, candidate)), Some(posture)) = (asked, self.world.posture(party)) else {
            return Ruling::Deny;
        };
        let mut question = World::question(posture, candidate);
        if let Some(stated) = end_use {
            let Some(known) = judge.targets().end_use(stated) else {
                return Ruling::Hold;
            };
            question.end_use = known;
        }
        judge.verdict(question, party, self.now).ruling
    }
}

/// A channel's model as a candidate of a grid.
fn candidate(snapshot: &Snapshot, channel: &str, model: &str) -> Option<Candidate> {
    let channel = snapshot.channel_named(channel)?;
    let model = snapshot.model(snapshot.model_named(model)?)?;
    model
        .candidates
        .iter()
        .copied()
        .find(|way| way.channel == channel)
}

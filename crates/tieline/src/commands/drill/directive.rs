//! `tieline drill directive`: what `tieline directive rehearse` says, and which losses the directive makes worse: N-1 under
//! it, compared with N-1 without it.

use std::fmt::Write as _;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Ruling;
use tieline_core::record::Hex32;
use tieline_drill::{
    Assumed, Basis, Consequence, Contingencies, DirectiveShown, Known, LossUnderOrder, NMinus1Report,
    Rehearsal, Streams, Traffic, candidate_named, directive_page, order_shown, under_order, under_order_text,
};

use super::flush;
use super::losses::watched;
use super::page::Page;
use super::traffic::{Origin, traffic};
use crate::cli::{Cli, DrillDirective};
use crate::commands::directive::RehearsalReport;
use crate::commands::directive::rehearse::{self, Lay};
use crate::commands::grid::World;
use crate::output::{self, Result};

/// As it is typed, and as its receipts say it.
const COMMAND: &str = "directive";

/// `tieline drill directive`.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::commands) struct DirectiveDrill {
    /// Always `tieline/drill-directive/v1`.
    schema: &'static str,
    /// What the losses were rehearsed on.
    basis: Basis,
    /// Each loss without the directive and under it, those first that it makes worse.
    losses: Vec<LossUnderOrder>,
    /// As `tieline directive rehearse` prints it, without how long it took.
    rehearsal: RehearsalReport,
    /// How many losses leave more calls unserved under it than without it.
    worse: u64,
}

pub(super) fn run(cli: &Cli, args: &DrillDirective) -> Result<u8> {
    let directive = rehearse::directive(&args.file)?;
    let page = Page::of(&args.page)?;
    flush(cli);
    let world = World::open(cli, None)?;
    let lay = Lay::new(&directive, &world, &Arc::new(World::registry(cli)?))?;
    let calls = traffic(cli, Origin::Folder, (&args.traffic, args.gate), &world)?;
    let (mut cited, known) = (calls.cited, calls.known);
    // Where parties stand is asked of the rules in force.
    (cited.asks_policy, cited.scenario) = (true, Some(Hex32(directive.digest.0)));
    let traffic = &calls.traffic;
    let made = (traffic.basis != Basis::Structure).then_some(traffic);
    let rehearsal = lay.rehearsal(made, known.clone()).untimed();
    let ordered = |party: &str, channel: &str, model: &str| {
        let candidate = candidate_named(&world.snapshot, channel, model);
        candidate.map_or(Ruling::Allow, |candidate| lay.ruling(party, candidate))
    };
    let without = losses(&world, traffic, &known);
    let under = losses(&world, &traffic.under(&ordered), &known);
    let losses = under_order(&without, &under);
    let report = DirectiveDrill {
        schema: "tieline/drill-directive/v1",
        basis: traffic.basis,
        worse: losses.iter().filter(|loss| loss.is_worse()).count() as u64,
        losses,
        rehearsal,
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if let Some(mut page) = page {
        page.doubting(cited.doubt.as_ref());
        let rehearsal = Rehearsal::new(&world.snapshot, traffic, known);
        let (consequence, after) = order_shown(&rehearsal, Box::new(ordered));
        let shown = report.shown(&consequence, &after);
        page.write(&directive_page(page.ground(&rehearsal), &shown))?;
    }
    if !args.recorded.no_receipt {
        cited.record(cli, COMMAND, &world, &report);
    }
    Ok(u8::from(!report.rehearsal.findings.is_empty()))
}

/// Each channel and each component gone in turn.
fn losses(world: &World, traffic: &Traffic, known: &Known) -> NMinus1Report {
    let rehearsal = Rehearsal::new(&world.snapshot, traffic, known.clone());
    let contingencies = Contingencies::single(&rehearsal, Assumed::default());
    let plays = watched(contingencies.plays(), "decided", &|play| contingencies.play(play));
    contingencies.n_minus_1(&plays, &world.bars.n_1)
}

impl DirectiveDrill {
    fn shown<'d>(&'d self, consequence: &'d Consequence, after: &'d Streams) -> DirectiveShown<'d> {
        let rehearsal = &self.rehearsal;
        DirectiveShown {
            after,
            bystanders: &rehearsal.bystanders,
            consequence,
            findings: &rehearsal.findings,
            id: format!("{} (version {})", rehearsal.id, rehearsal.version),
            losses: &self.losses,
            notes: &rehearsal.notes,
            undetermined: &rehearsal.undetermined,
        }
    }

    fn text(&self) -> String {
        let mut text = self.rehearsal.text();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&under_order_text(&self.losses));
        if self.basis == Basis::Structure {
            let _ = writeln!(
                text,
                "No traffic is recorded: the losses are those of one call for each thing that each party may ask for."
            );
        }
        text
    }
}

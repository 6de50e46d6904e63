//! What the receipt of a drill cites of what it ran on, and the receipt itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::receipt::{LedgerCited, TrafficCited};
use tieline_core::record::Hex32;
use tieline_drill::Assumed;

use crate::cli::Cli;
use crate::commands::grid::World;
use crate::commands::receipt::{self, Ran};
use crate::output::{self, Result};

/// Names of arguments in receipts.
pub(super) const HOW: &str = "how";
pub(super) const SURVIVORS: &str = "survivors_permille";
/// A configuration that is not the state folder's.
pub(super) const CONFIG: &str = "config";

/// What a drill ran on, by digest.
#[derive(Clone)]
pub(super) struct Cited {
    /// The options, by name.
    pub(super) arguments: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether the rules of now were asked: of calls that were not recorded here, and of what a drill asks them itself.
    pub(super) asks_policy: bool,
    /// Why there can be no receipt.
    pub(super) doubt: Option<String>,
    /// What of the ledger there was.
    pub(super) ledger: Option<LedgerCited>,
    /// The files of scenarios, or a directive.
    pub(super) scenario: Option<Hex32>,
    /// Of what was drawn.
    pub(super) seed: Option<u64>,
    pub(super) traffic: TrafficCited,
}

impl Cited {
    pub(super) fn say(&mut self, name: &str, value: impl Into<Arc<str>>) {
        self.arguments.insert(name.into(), value.into());
    }

    /// Cite a file by its bytes, if one was given.
    pub(super) fn file(&mut self, name: &str, file: Option<&Path>) -> Result<()> {
        if let Some(file) = file {
            self.say(name, receipt::file_digest(file)?);
        }
        Ok(())
    }

    pub(super) fn assume(&mut self, assumed: Assumed) {
        self.say(HOW, assumed.loss.name());
        self.say(SURVIVORS, assumed.survivors.to_string());
    }

    /// Leave a receipt of the report, or say why not.
    pub(super) fn record(self, cli: &Cli, command: &'static str, world: &World, report: &impl Serialize) {
        if let Some(doubt) = self.doubt {
            return output::progress(format!("no receipt: {doubt}"));
        }
        let ran = Ran {
            arguments: self.arguments,
            command,
            grid: Some(world.snapshot.clone()),
            ledger: self.ledger,
            policy: self.asks_policy.then(|| receipt::policy(world.judge())),
            scenario: self.scenario,
            seed: self.seed,
            traffic: Some(self.traffic),
        };
        receipt::record(cli, ran, report);
    }
}

//! `tieline grid`: what depends on what, the chokepoints of each party, what hangs on each element, concentration. Works on
//! a configuration alone, and on the traffic of a ledger if there is one.

pub(super) mod priors;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Scope, Snapshot, Tick};
use tieline_drill::{Downtimes, Given, GridReport, PartyView, Traffic, Window, structure_given};
use tieline_gateway::State;
use tieline_policy::{Action, EndUseIx, Epoch, Judge, Postures, Question, RegionIx, Registry, Targets};

use crate::check::{BarSettings, Checked};
use crate::cli::{Cli, Grid, GridView};
use crate::output::{self, Failure, Result};
use crate::{folder, load};

use super::drill::{Trust, recorded};
use super::imported::{self, GridImported};

/// A grid with what policy lets each party use of it.
pub(super) struct World {
    /// What the configuration says that losses may do at most.
    pub(super) bars: BarSettings,
    /// The text of the configuration: list prices stand in it alone.
    config: Box<str>,
    end_uses: Vec<Arc<str>>,
    judge: Judge,
    pub(super) parties: Vec<Member>,
    postures: Arc<Postures>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Assumed relative shares of calls, by channel.
    weights: BTreeMap<Arc<str>, u32>,
}

/// A key of a party, as structure sees it.
#[derive(PartialEq)]
pub(super) struct Member {
    pub(super) party: Arc<str>,
    posture: u32,
    scope: Scope,
}

pub(super) fn run(cli: &Cli, args: &Grid) -> Result<u8> {
    if let Some(GridView::Versions(args)) = &args.view {
        return versions::run(cli, args.config.as_deref());
    }
    if !args.foreign.litellm.is_empty() {
        let log = imported::Log {
            files: &args.traffic,
            kept: None,
            window: Window::default(),
        };
        let imported = imported::open(&args.foreign, &log)?;
        if imported.traffic.is_none() && !args.traffic.is_empty() {
            return Err(imported::no_spend_log(&args.traffic));
        }
        let report = structure(&imported.world, imported.traffic.as_ref(), args.priors.as_deref())?;
        let text = report.text();
        let object = GridImported {
            schema: "tieline/grid-litellm/v1",
            mapping: imported.mapping,
            report,
        };
        imported::print(cli.json, &object, &object.mapping, &text)?;
        return Ok(0);
    }
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let traffic = match config {
        Some(_) => None,
        None => recorded(cli, Window::default(), Trust::Unasked)?,
    };
    let report = structure(&world, traffic.as_ref(), args.priors.as_deref())?;
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(0)
}

fn structure(world: &World, traffic: Option<&Traffic>, priors: Option<&Path>) -> Result<GridReport> {
    let downtimes = match priors {
        Some(file) => priors::read(file, &world.snapshot)?,
        None => Downtimes::default(),
    };
    let given = Given {
        downtimes: &downtimes,
        shares: &world.weights,
        traffic,
    };
    Ok(world.with_parties(|parties| structure_given(&world.snapshot, parties, &given)))
}

impl World {
    /// The grid of `config`, or of the state folder with its parties.
    pub(super) fn open(cli: &Cli, config: Option<&Path>) -> Result<Self> {
        let path = config.map_or_else(|| folder::config(&cli.dir), Path::to_path_buf);
        if config.is_none() && !path.exists() {
            return Err(
                Failure::input(format!("there is no configuration in {}", cli.dir.display()))
                    .with_hint("give one with --config, or a state folder with --dir"),
            );
        }
        let text = load::text(&path)?;
        Self::of(&load::checked(&path)?, &text, config.is_none().then_some(cli))
    }

    /// The grid of a checked configuration, which was read from `text`, with the parties of a state folder.
    pub(super) fn of(checked: &Checked, text: &str, with_parties: Option<&Cli>) -> Result<Self> {
        let bytes =
            tieline_note::jcs::to_vec(&*checked.grid).map_err(|error| Failure::found(error.to_string()))?;
        let digest = tieline_note::sha256(&bytes).0;
        let snapshot = Snapshot::build(checked.grid.clone(), digest)
            .map_err(|error| Failure::input(error.to_string()))?;
        let snapshot = Arc::new(snapshot);
        let packs: Vec<_> = checked
            .policy
            .packs
            .iter()
            .map(|folder| load::pack(folder).map_err(|problems| Failure::input(problems.join("\n"))))
            .collect::<Result<_>>()?;
        let epoch = Epoch::build(0, packs, &checked.policy.enforce).map_err(|problems| {
            Failure::input(
                problems
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })?;
        let targets = Targets::of_grid(&snapshot, &[]).map_err(|error| Failure::input(error.to_string()))?;
        let postures = Arc::new(Postures::new());
        let kept = postures.clone();
        let parties = match with_parties {
            Some(cli) => members(cli, &postures)?,
            None => Vec::new(),
        };
        let epoch = Arc::new(epoch);
        let mut judge = Judge::new(epoch.clone(), Arc::new(targets), postures);
        if let Some(cli) = with_parties.filter(|_| !parties.is_empty()) {
            let now = Tick(super::serve::now_us());
            judge = judge.with_overlay(super::policy::overlay(&cli.dir, &epoch, now)?);
        }
        Ok(Self {
            bars: checked.bars,
            config: text.into(),
            end_uses: checked.policy.end_uses.clone(),
            judge,
            parties,
            postures: kept,
            snapshot,
            weights: checked.weights.clone(),
        })
    }

    /// Run `with` on the parties' views: what policy allows each of them now.
    pub(super) fn with_parties<T>(&self, with: impl FnOnce(&[PartyView<'_>]) -> T) -> T {
        let now = Tick(super::serve::now_us());
        let allowed: Vec<Box<dyn Fn(Candidate) -> bool + '_>> = self
            .parties
            .iter()
            .map(|member| {
                let allowed = move |candidate: Candidate| self.allows(member, candidate, now);
                Box::new(allowed) as Box<dyn Fn(Candidate) -> bool + '_>
            })
            .collect();
        let views: Vec<PartyView<'_>> = self
            .parties
            .iter()
            .zip(&allowed)
            .map(|(member, allowed)| PartyView {
                allowed: &**allowed,
                party: member.party.clone(),
                scope: member.scope.clone(),
            })
            .collect();
        with(&views)
    }

    /// The text that the grid was made of.
    pub(super) fn config(&self) -> &str {
        &self.config
    }

    /// The same rules and orders, asked about another grid; calls may state the end uses of the configuration.
    pub(super) fn judge_of(&self, snapshot: &Snapshot) -> Result<Judge> {
        let targets = Targets::of_grid(snapshot, &self.end_uses);
        let targets = targets.map_err(|error| Failure::input(error.to_string()))?;
        let judge = Judge::new(
            self.judge.epoch().clone(),
            Arc::new(targets),
            self.postures.clone(),
        );
        Ok(judge.with_overlay(self.judge.overlay().clone()))
    }

    pub(super) const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The posture of a party that has a key.
    pub(super) fn posture(&self, party: &str) -> Option<u32> {
        let member = self.parties.iter().find(|member| *member.party == *party)?;
        Some(member.posture)
    }

    /// The state folder's parties and the evidence about them.
    pub(super) fn registry(cli: &Cli) -> Result<Registry> {
        let failed = |error: tieline_gateway::StateError| Failure::found(error.to_string());
        let state = State::read(&cli.dir).map_err(failed)?;
        state.registry(Tick(super::serve::now_us())).map_err(failed)
    }

    pub(super) const fn question(posture: u32, candidate: Candidate) -> Question {
        Question {
            action: Action::Call,
            channel: candidate.channel,
            end_use: EndUseIx::UNSTATED,
            model: candidate.model,
            posture,
            region: RegionIx::OWN,
        }
    }

    fn allows(&self, member: &Member, candidate: Candidate, now: Tick) -> bool {
        let question = Self::question(member.posture, candidate);
        self.judge.verdict(question, &member.party, now).ruling == tieline_core::Ruling::Allow
    }
}

/// The parties of a state folder, one for each live key.
fn members(cli: &Cli, postures: &Postures) -> Result<Vec<Member>> {
    if !cli.dir.join("state.db").exists() {
        return Ok(Vec::new());
    }
    let state = State::read(&cli.dir).map_err(|error| Failure::found(error.to_string()))?;
    let registry = state
        .registry(Tick(super::serve::now_us()))
        .map_err(|error| Failure::found(error.to_string()))?;
    let keys = state.keys().map_err(|error| Failure::found(error.to_string()))?;
    let mut members = Vec::new();
    for key in keys.into_iter().filter(|key| key.revoked_us.is_none()) {
        let Some(party) = registry.resolve_party(&key.party) else {
            continue;
        };
        let member = Member {
            party: key.party.into(),
            posture: postures
                .intern(&party.facts)
                .map_err(|error| Failure::found(error.to_string()))?,
            scope: key.scope.map_or(Scope::All, |names| {
                Scope::Names(names.iter().map(|name| Arc::from(name.as_str())).collect())
            }),
        };
        // Two keys that may ask for the same are one party to the grid.
        if !members.contains(&member) {
            members.push(member);
        }
    }
    Ok(members)
}

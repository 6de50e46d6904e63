//! `tieline grid`: what depends on what, the chokepoints of each party, what hangs on each element, concentration. Works on
//! a configuration alone, and on the traffic of a ledger if there is one.

mod priors;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::{Criticality, Scope, Snapshot, Tick};
use tieline_drill::{Downtimes, Given, PartyView, Receipts, Traffic, TrafficReader, structure_given};
use tieline_gateway::State;
use tieline_ledger::Reader;
use tieline_policy::{Action, EndUseIx, Epoch, Judge, Postures, Question, RegionIx, Registry, Targets};

use crate::check::BarSettings;
use crate::cli::{Cli, Grid, GridView};
use crate::output::{self, Failure, Result};
use crate::{folder, load};

use super::ledger::{failed, reader};

/// A grid with what policy lets each party use of it.
pub(super) struct World {
    /// What the configuration says that losses may do at most.
    pub(super) bars: BarSettings,
    config: PathBuf,
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
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let traffic = recorded(cli, config)?;
    let downtimes = match &args.priors {
        Some(file) => priors::read(file, &world.snapshot)?,
        None => Downtimes::default(),
    };
    let given = Given {
        downtimes: &downtimes,
        shares: &world.weights,
        traffic: traffic.as_ref(),
    };
    let report = world.with_parties(|parties| structure_given(&world.snapshot, parties, &given));
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(0)
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
        let checked = load::checked(&path)?;
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
        let parties = if config.is_none() {
            members(cli, &postures)?
        } else {
            Vec::new()
        };
        let epoch = Arc::new(epoch);
        let mut judge = Judge::new(epoch.clone(), Arc::new(targets), postures);
        if !parties.is_empty() {
            let now = Tick(super::serve::now_us());
            judge = judge.with_overlay(super::policy::overlay(&cli.dir, &epoch, now)?);
        }
        Ok(Self {
            bars: checked.bars,
            config: path,
            end_uses: checked.policy.end_uses.clone(),
            judge,
            parties,
            postures: kept,
            snapshot,
            weights: checked.weights,
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

    /// The file that the grid was made of.
    pub(super) fn config(&self) -> &Path {
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

/// The recorded traffic of a state folder; none for a configuration alone, or a ledger without calls.
fn recorded(cli: &Cli, config: Option<&Path>) -> Result<Option<Traffic>> {
    if config.is_some() {
        return Ok(None);
    }
    recorded_between(cli, None, None)
}

/// The recorded calls that began from `since` on and before `until`.
pub(super) fn recorded_between(
    cli: &Cli,
    since: Option<jiff::Timestamp>,
    until: Option<jiff::Timestamp>,
) -> Result<Option<Traffic>> {
    if !cli.dir.join("ledger.db").exists() {
        return Ok(None);
    }
    let reader = reader(&cli.dir)?;
    let size = reader.size().map_err(|error| failed(&error))?;
    let (mut traffic, _) = calls_of(&reader, size, &BTreeMap::new())?;
    let tick = |at: jiff::Timestamp| Tick(u64::try_from(at.as_microsecond()).unwrap_or(0));
    let (since, until) = (since.map(tick), until.map(tick));
    traffic.keep(|at| since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until));
    Ok((!traffic.calls.is_empty()).then_some(traffic))
}

/// The calls of the first entries of a ledger, and the receipts of pool tests among them; `criticality` is what keys say by
/// their public ids.
pub(super) fn calls_of(
    reader: &Reader,
    entries: u64,
    criticality: &BTreeMap<Arc<str>, Criticality>,
) -> Result<(Traffic, Receipts)> {
    let mut traffic = TrafficReader::new().with_criticality(criticality.clone());
    let mut receipts = Receipts::new();
    reader.for_each(0..entries, |index, entry| {
        traffic.entry(index, entry);
        receipts.entry(index, entry);
        Ok::<(), Failure>(())
    })?;
    Ok((traffic.finish(), receipts))
}

//! What all verbs work on: packs, the grid, parties and an instant, as the state folder and its configuration have them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_core::{GridRecord, Ruling, Snapshot, Tick};
use tieline_gateway::{PartyRow, State, StateError, in_force};
use tieline_policy::{
    Column, DEPTH_MAX, Epoch, Evidence, Overlay, Pack, PackProblem, PartyFacts, RedFlag, Registry, Status,
    Targets,
};

use crate::cli::At;
use crate::folder;
use crate::load;
use crate::output::{Failure, Result};

/// A party as the state file has it, resolved.
#[derive(Clone, Debug)]
pub(super) struct Party {
    /// Of the party and of those above it, expired or not.
    pub(super) evidence: Vec<Evidence>,
    pub(super) facts: PartyFacts,
    pub(super) flags: Vec<RedFlag>,
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
}

/// A grid as policy sees it.
pub(super) struct Field {
    pub(super) columns: Vec<Column>,
    pub(super) snapshot: Snapshot,
    pub(super) targets: Targets,
}

/// The parties of a state folder, by id, as their evidence stands at `now`.
pub(super) fn parties(dir: &Path, now: Tick) -> Result<Vec<Party>> {
    let failed = |error: StateError| Failure::input(error.to_string());
    folder::must_have_state(dir)?;
    let state = State::read(dir).map_err(failed)?;
    let registry = state.registry(now).map_err(failed)?;
    let rows = state.parties().map_err(failed)?;
    let party = |row: PartyRow| {
        let id = row.id().to_owned();
        let resolved = registry.resolve_party(&id)?;
        Some(Party {
            evidence: evidence(&registry, &id),
            facts: resolved.facts,
            flags: resolved.flags,
            id,
            name: row.name,
        })
    };
    Ok(rows.into_iter().filter_map(party).collect())
}

/// The directives in force at `now`, as the state folder has them, over an epoch.
pub(in super::super) fn overlay(dir: &Path, epoch: &Epoch, now: Tick) -> Result<Arc<Overlay>> {
    let failed = |error: StateError| Failure::input(error.to_string());
    let state = State::read(dir).map_err(failed)?;
    let registry = state.registry(now).map_err(failed)?;
    let rows = state.directives().map_err(failed)?;
    let orders = in_force(&rows, now)
        .map_err(|error| Failure::found(format!("a directive of the state file cannot be read: {error}")))?;
    if orders.is_empty() {
        return Ok(Arc::new(Overlay::none()));
    }
    let directives = orders.iter().filter_map(|order| order.directive().cloned());
    Overlay::build(0, directives.collect(), epoch, Arc::new(registry).into_lineage())
        .map(Arc::new)
        .map_err(|problems| Failure::found(lines(&problems)))
}

/// What is recorded about a party and those above it, and what follows from terms.
fn evidence(registry: &Registry, id: &str) -> Vec<Evidence> {
    let mut out = registry.term_evidence(id);
    let mut next = registry.record(id);
    for _ in 0..=DEPTH_MAX {
        let Some(record) = next else { break };
        out.extend(record.evidence.iter().cloned());
        next = record.parent.as_ref().and_then(|parent| registry.record(parent));
    }
    out
}

/// The instant that is asked about; by default now.
pub(super) fn instant(at: &At) -> Result<Tick> {
    match &at.text {
        None => Ok(Tick(super::super::serve::now_us())),
        Some(text) => instant_of(text),
    }
}

/// An instant as people write it.
pub(super) fn instant_of(text: &str) -> Result<Tick> {
    let day = text.parse::<jiff::civil::Date>().ok();
    let of_day = day.and_then(|day| Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()));
    let whole = text.parse::<jiff::Timestamp>().ok();
    whole
        .or(of_day)
        .and_then(|at| u64::try_from(at.as_microsecond()).ok())
        .map(Tick)
        .ok_or_else(|| {
            Failure::input(format!("`{text}` is no instant since 1970"))
                .with_hint("write a day, 2026-06-12, or a time with its offset, 2026-06-12T21:21:00Z")
        })
}

pub(super) fn time(at: Tick) -> String {
    let stamp = i64::try_from(at.0)
        .ok()
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    stamp.map_or_else(|| format!("{} µs", at.0), |stamp| stamp.to_string())
}

/// Packs from folders; the error is every problem of each.
pub(super) fn packs(folders: &[PathBuf]) -> Result<Vec<Pack>> {
    let (mut packs, mut problems) = (Vec::new(), Vec::new());
    for folder in folders {
        match load::pack(folder) {
            Ok(pack) => packs.push(pack),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(packs)
    } else {
        Err(Failure::input(problems.join("\n")))
    }
}

pub(super) fn epoch(packs: Vec<Pack>, enforce: &[Status]) -> Result<Epoch> {
    Epoch::build(0, packs, enforce).map_err(|problems| Failure::input(lines(&problems)))
}

pub(super) fn lines(problems: &[PackProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The packs in `folders`, and those that they name sets of: from `known`, else from the folder of that name beside them.
pub(super) fn with_library(folders: &[PathBuf], known: &[PathBuf]) -> Result<(Vec<Pack>, Vec<Pack>)> {
    let wanted = packs(folders)?;
    let has = |all: &[Pack], id: &str| all.iter().any(|pack| &*pack.manifest().id == id);
    let known: Vec<Pack> = known
        .iter()
        .filter_map(|folder| load::pack(folder).ok())
        .collect();
    let mut library: Vec<Pack> = Vec::new();
    let mut needs: BTreeSet<Arc<str>> = wanted.iter().flat_map(Pack::needs).collect();
    while let Some(id) = needs.pop_first() {
        if has(&wanted, &id) || has(&library, &id) {
            continue;
        }
        let beside = || {
            let places = folders.iter().filter_map(|folder| folder.parent());
            places
                .filter_map(|parent| load::pack(&parent.join(&*id)).ok())
                .find(|pack| pack.manifest().id == id)
        };
        let found = known.iter().find(|pack| pack.manifest().id == id).cloned();
        // What is not found is said by the engine, at the rule that names it.
        let Some(pack) = found.or_else(beside) else {
            continue;
        };
        needs.extend(pack.needs());
        library.push(pack);
    }
    Ok((wanted, library))
}

impl Field {
    pub(super) fn new(grid: &Arc<GridRecord>) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Failure::input(error.to_string());
        let bytes = tieline_note::jcs::to_vec(&**grid).map_err(|error| failed(&error))?;
        let digest = tieline_note::sha256(&bytes).0;
        let snapshot = Snapshot::build(grid.clone(), digest).map_err(|error| failed(&error))?;
        Self::of(snapshot)
    }

    pub(super) fn of(snapshot: Snapshot) -> Result<Self> {
        let targets = Targets::of_grid(&snapshot, &[]).map_err(|error| Failure::input(error.to_string()))?;
        let models = snapshot.models.iter().filter_map(|model| {
            Some(Column {
                channels: model
                    .candidates
                    .iter()
                    .map(|candidate| candidate.channel)
                    .collect(),
                model: snapshot.model_named(&model.name)?,
            })
        });
        Ok(Self {
            columns: models.collect(),
            targets,
            snapshot,
        })
    }
}

/// Makes something of each item, on all cores, in order.
pub(super) fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    make: &(impl Fn(&I) -> Result<T> + Sync),
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(1);
    let parts: Vec<Result<Vec<T>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(make).collect()))
            .collect();
        let joined = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(Failure::found("a part of the work was given up")))
        });
        joined.collect()
    });
    let mut out = Vec::with_capacity(items.len());
    for part in parts {
        out.extend(part?);
    }
    Ok(out)
}

pub(super) const fn ruling(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Allow => "allow",
        Ruling::Deny => "deny",
        Ruling::Hold => "hold",
    }
}

/// A number and its noun.
pub(super) fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

//! Past calls under two epochs: each recorded decision is ruled by both, with the party's archived facts, over the grid
//! that it cites, at the instant at which it was made.
//!
//! A call's ruling is the best over its candidates. Bounds: [`GRIDS_MAX`] open grids, [`GROUPS_MAX`] groups, the first
//! [`CALLS_SHOWN`] calls of each; all are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::record::{AskRecord, DECISION_V1, DecisionEntry};
use tieline_core::{Digest32, Tick};
use tieline_drill::open_grid;
use tieline_ledger::{Reader, entry};
use tieline_note::Digest;
use tieline_policy::{Epoch, Facts, PartyFacts, Reach, change_kind};

use super::super::ledger::{failed, reader};
use super::bench::Field;
use super::report::{CallsDiffered, CallsGroup, ReachShown, kind};
use crate::output::{Failure, Result};

/// Grids that are open at a time, of at most a few MiB each.
const GRIDS_MAX: usize = 16;

/// Groups that are told apart; calls of further ones are counted alone.
const GROUPS_MAX: usize = 10_000;

/// Ids of calls that a group lists.
const CALLS_SHOWN: usize = 20;

/// Party records and rulings that are kept: 65,536 × some 300 bytes is 20 MB.
const KEPT_MAX: usize = 65_536;

/// Sees each call that would be ruled otherwise: its id, what it asked for, the kind of the change, from, to.
pub(super) type Row<'a> = dyn Fn(&str, &str, &str, &ReachShown, &ReachShown) -> Result<()> + 'a;

/// What an archived party's record says that matters here.
#[derive(Deserialize)]
struct Record {
    facts: PartyFacts,
}

/// What calls share that are ruled alike: facts of the party, grid, candidates.
type Question = (Digest32, Digest32, Vec<(Arc<str>, Arc<str>)>);

/// Two rulings, and until when both hold.
type Ruled = (Reach, Reach, Tick, Option<Tick>);

struct Against<'a> {
    epochs: [&'a Epoch; 2],
    grids: BTreeMap<Digest32, Option<Arc<Field>>>,
    groups: BTreeMap<(Digest32, String, Reach, Reach), CallsGroup>,
    parties: BTreeMap<Digest32, Option<Arc<PartyFacts>>>,
    reader: Reader,
    report: CallsDiffered,
    ruled: BTreeMap<Question, Ruled>,
}

pub(super) fn run(dir: &Path, old: &Epoch, new: &Epoch, row: &Row<'_>) -> Result<CallsDiffered> {
    let reader = reader(dir)?;
    let size = reader.size().map_err(|error| failed(&error))?;
    let mut against = Against {
        epochs: [old, new],
        grids: BTreeMap::new(),
        groups: BTreeMap::new(),
        parties: BTreeMap::new(),
        reader,
        report: CallsDiffered {
            differ: 0,
            groups: Vec::new(),
            ruled: 0,
            unruled: 0,
        },
        ruled: BTreeMap::new(),
    };
    // The reader that walks is another one than that which looks up blobs.
    super::super::ledger::reader(dir)?.for_each(0..size, |_, bytes| {
        let is_decision = entry::head(bytes).is_ok_and(|head| head.t == DECISION_V1);
        if is_decision {
            match serde_json::from_slice::<DecisionEntry>(bytes) {
                Ok(decision) => against.call(&decision, row)?,
                Err(_) => against.report.unruled += 1,
            }
        }
        Ok::<(), Failure>(())
    })?;
    let mut report = against.report;
    report.groups = against.groups.into_values().collect();
    report.groups.sort_by_key(|group| std::cmp::Reverse(group.calls));
    Ok(report)
}

impl Against<'_> {
    fn call(&mut self, decision: &DecisionEntry, row: &Row<'_>) -> Result<()> {
        let asked = match &decision.intake.ask {
            AskRecord::Model(name) | AskRecord::Pool(name) => name.to_string(),
            AskRecord::Unknown(_) | AskRecord::Unreadable(_) => {
                self.report.unruled += 1;
                return Ok(());
            }
        };
        let Some((from, to)) = self.rule(decision) else {
            self.report.unruled += 1;
            return Ok(());
        };
        self.report.ruled += 1;
        let Some(change) = change_kind(Some(&from), Some(&to)) else {
            return Ok(());
        };
        self.report.differ += 1;
        let id = decision.id.to_string();
        let shown = [ReachShown::new(&from), ReachShown::new(&to)];
        let [from_shown, to_shown] = &shown;
        row(&id, &asked, kind(change), from_shown, to_shown)?;
        let key = (decision.intake.party_digest.0, asked.clone(), from, to);
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            return Ok(());
        }
        let [from, to] = shown;
        let group = self.groups.entry(key).or_insert_with(|| CallsGroup {
            asked,
            calls: 0,
            first_calls: Vec::new(),
            from,
            kind: kind(change),
            parties: Vec::new(),
            to,
        });
        group.calls += 1;
        if group.first_calls.len() < CALLS_SHOWN {
            group.first_calls.push(id);
        }
        if !group.parties.contains(&decision.intake.party) && group.parties.len() < CALLS_SHOWN {
            group.parties.push(decision.intake.party.clone());
        }
        Ok(())
    }

    /// What both epochs rule; `None` where what the call cites cannot be had.
    fn rule(&mut self, decision: &DecisionEntry) -> Option<(Reach, Reach)> {
        let lanes: Vec<_> = decision
            .plan
            .iter()
            .map(|plan| (plan.channel.clone(), plan.model.clone()))
            .collect();
        let question = (decision.intake.party_digest.0, decision.grid.0, lanes);
        if let Some((from, to, since, until)) = self.ruled.get(&question)
            && *since <= decision.at
            && until.is_none_or(|until| decision.at < until)
        {
            return Some((from.clone(), to.clone()));
        }
        let party = self.party(question.0)?;
        let field = self.field(question.1)?;
        let [old, new] = self.epochs;
        let (from, until_from) = best(old, &field, &party, &question.2, decision.at)?;
        let (to, until_to) = best(new, &field, &party, &question.2, decision.at)?;
        if self.ruled.len() >= KEPT_MAX {
            self.ruled.clear();
        }
        // From when it holds is not asked: a verdict is used for later calls alone.
        let until = [until_from, until_to].into_iter().flatten().min();
        let ruled = (from.clone(), to.clone(), decision.at, until);
        self.ruled.insert(question, ruled);
        Some((from, to))
    }

    fn party(&mut self, digest: Digest32) -> Option<Arc<PartyFacts>> {
        if self.parties.len() >= KEPT_MAX {
            self.parties.clear();
        }
        let reader = &self.reader;
        let open = || {
            let bytes = reader.blob(&Digest(digest)).ok().flatten()?;
            // Fields of newer records that are not facts do not matter here.
            let record: Record = serde_json::from_slice(&bytes).ok()?;
            Some(Arc::new(record.facts))
        };
        self.parties.entry(digest).or_insert_with(open).clone()
    }

    fn field(&mut self, digest: Digest32) -> Option<Arc<Field>> {
        if self.grids.len() >= GRIDS_MAX && !self.grids.contains_key(&digest) {
            self.grids.clear();
        }
        let reader = &self.reader;
        let open = || {
            let bytes = reader.blob(&Digest(digest)).ok().flatten()?;
            Field::of(open_grid(digest, &bytes).ok()?).ok().map(Arc::new)
        };
        self.grids.entry(digest).or_insert_with(open).clone()
    }
}

/// The best ruling over the candidates of a call, and until when it holds; `None` without a candidate.
fn best(
    epoch: &Epoch,
    field: &Field,
    party: &PartyFacts,
    lanes: &[(Arc<str>, Arc<str>)],
    at: Tick,
) -> Option<(Reach, Option<Tick>)> {
    let mut until: Option<Tick> = None;
    let mut reach: Option<Reach> = None;
    for (channel, model) in lanes {
        let channel_ix = field.snapshot.channel_named(channel)?;
        let question = field
            .targets
            .question(field.snapshot.model_named(model)?, channel_ix, None)?;
        let facts = Facts {
            party: party.clone(),
            ..question
        };
        let verdict = epoch.judge(&facts, at);
        until = [until, verdict.valid_until].into_iter().flatten().min();
        let rules: BTreeSet<Arc<str>> = verdict.rules.iter().map(|rule| rule.id.clone()).collect();
        let lane: Arc<str> = format!("{model}@{channel}").into();
        match &mut reach {
            Some(known) if known.ruling < verdict.ruling => {}
            Some(known) if known.ruling == verdict.ruling => {
                known.channels.push(lane);
                let all = known.rules.iter().cloned().chain(rules).collect::<BTreeSet<_>>();
                known.rules = all.into_iter().collect();
            }
            _ => {
                reach = Some(Reach {
                    channels: vec![lane],
                    rules: rules.into_iter().collect(),
                    ruling: verdict.ruling,
                });
            }
        }
    }
    Some((reach?, until))
}

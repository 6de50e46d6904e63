//! Past calls under two sets of rules: each recorded decision is ruled by both, with the party's archived facts, over the
//! grid that it cites, at the instant at which it was made, under the directives that were in force for it.
//!
//! Either set may be the one that ruled then: the packs of the activation that the call's verdicts cite, as they were
//! recorded. What was decided then and what should have been decided, by what is known of the law today, are so two
//! sides of one comparison; and where the packs of then do not lead to what was recorded, that is counted.
//!
//! A call's ruling is the best over its candidates. A directive that lists parties names those below them by the tree of
//! the state folder, as it is. Bounds: [`GRIDS_MAX`] open grids, [`BENCHES_MAX`] open activations, [`GROUPS_MAX`] groups,
//! the first [`CALLS_SHOWN`] calls of each; all are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::call::Fact;
use tieline_core::record::{AskRecord, DECISION_V1, DecisionEntry};
use tieline_core::{Digest32, Ruling, Tick};
use tieline_drill::open_grid;
use tieline_gateway::State;
use tieline_ledger::{Reader, entry};
use tieline_note::Digest;
use tieline_policy::{
    Action, Directive, EndUseIx, Epoch, Judge, Lineage, Overlay, PartyFacts, Postures, Question, Reach,
    RegionIx, SignedOrder, Targets, change_kind,
};

use super::super::book::Book;
use super::super::ledger::{failed, reader};
use super::bench::Field;
use super::report::{CallsDiffered, CallsGroup, ReachShown, kind};
use crate::output::{Failure, Result};

/// Grids that are open at a time, of at most a few MiB each.
const GRIDS_MAX: usize = 16;

/// Activations that are open at a time, each with two sets of verdicts of 16 MiB at most; most have a few hundred KiB.
const BENCHES_MAX: usize = 16;

/// Groups that are told apart; calls of further ones are counted alone.
const GROUPS_MAX: usize = 10_000;

/// Ids of calls that a group lists.
const CALLS_SHOWN: usize = 20;

/// Party records that are kept: 65,536 × some 300 bytes is 20 MB.
const KEPT_MAX: usize = 65_536;

/// Sees each call that would be ruled otherwise: its id, what it asked for, the kind of the change, from, to.
pub(super) type Row<'a> = dyn Fn(&str, &str, &str, &ReachShown, &ReachShown) -> Result<()> + 'a;

/// A set of rules that past calls are ruled by.
#[derive(Clone, Debug)]
pub(super) enum Rules {
    Epoch(Arc<Epoch>),
    /// Those of the activation under which each call was decided.
    Then,
}

/// Which calls are looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) call: Option<String>,
    pub(super) since: Option<Tick>,
    /// The first instant that is outside.
    pub(super) until: Option<Tick>,
}

/// What an archived party's record says that matters here.
#[derive(Deserialize)]
struct Record {
    facts: PartyFacts,
}

/// Where one call's verdicts are asked for again.
struct Bench {
    /// Of the old rules and of the new ones.
    judges: [Judge; 2],
    targets: Arc<Targets>,
}

/// Activation, grid and end use: what the calls of one bench share.
type BenchKey = (u64, Digest32, Option<Arc<str>>);

struct Against<'a> {
    benches: BTreeMap<BenchKey, Option<Arc<Bench>>>,
    book: Book,
    grids: BTreeMap<Digest32, Option<Arc<Field>>>,
    groups: BTreeMap<(Digest32, String, Reach, Reach), CallsGroup>,
    lineage: Lineage,
    /// Notes of the state folder, for directives that the ledger does not archive.
    notes: BTreeMap<Digest, String>,
    parties: BTreeMap<Digest32, Option<Arc<PartyFacts>>>,
    postures: Arc<Postures>,
    reader: Reader,
    report: CallsDiffered,
    rules: [&'a Rules; 2],
}

pub(super) fn run(dir: &Path, rules: [&Rules; 2], window: &Window, row: &Row<'_>) -> Result<CallsDiffered> {
    let reader = reader(dir)?;
    let size = reader.size().map_err(|error| failed(&error))?;
    let (lineage, notes) = of_state(dir);
    let mut against = Against {
        benches: BTreeMap::new(),
        book: Book::open(dir)?,
        grids: BTreeMap::new(),
        groups: BTreeMap::new(),
        lineage,
        notes,
        parties: BTreeMap::new(),
        postures: Arc::new(Postures::new()),
        reader,
        report: CallsDiffered::default(),
        rules,
    };
    // The reader that walks is another one than that which looks up blobs.
    super::super::ledger::reader(dir)?.for_each(0..size, |_, bytes| {
        let is_decision = entry::head(bytes).is_ok_and(|head| head.t == DECISION_V1);
        if is_decision {
            match serde_json::from_slice::<DecisionEntry>(bytes) {
                Ok(decision) if !window.holds(&decision) => {}
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

/// The tree of parties and the notes of all directives, as far as there is a state folder beside the ledger.
fn of_state(dir: &Path) -> (Lineage, BTreeMap<Digest, String>) {
    let alone: Lineage = Arc::new(|party| vec![Arc::from(party)]);
    let Ok(state) = State::read(dir) else {
        return (alone, BTreeMap::new());
    };
    let now = Tick(super::super::serve::now_us());
    let registry = state
        .registry(now)
        .ok()
        .map(|registry| Arc::new(registry).into_lineage());
    let rows = state.directives().unwrap_or_default().into_iter();
    let notes = rows.map(|row| (Digest(row.digest), row.note)).collect();
    (registry.unwrap_or(alone), notes)
}

impl Window {
    fn holds(&self, decision: &DecisionEntry) -> bool {
        self.since.is_none_or(|since| decision.at >= since)
            && self.until.is_none_or(|until| decision.at < until)
            && self
                .call
                .as_ref()
                .is_none_or(|call| *call == decision.id.to_string())
    }
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
        let Some((from, to)) = self.rule(decision)? else {
            self.report.unruled += 1;
            return Ok(());
        };
        self.report.ruled += 1;
        for (rules, reach) in self.rules.into_iter().zip([&from, &to]) {
            let is_other = recorded(decision)
                .is_some_and(|(_, ruling)| ruling.is_some_and(|ruling| ruling != reach.ruling));
            if matches!(rules, Rules::Then) && is_other {
                self.report.not_reproduced += 1;
            }
        }
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

    /// What both sets of rules rule; `None` where what the call cites cannot be had.
    fn rule(&mut self, decision: &DecisionEntry) -> Result<Option<(Reach, Reach)>> {
        let Some((activation, _)) = recorded(decision) else {
            return Ok(None);
        };
        let grid = decision.grid.0;
        let key = (activation, grid, decision.intake.end_use.clone());
        let (Some(party), Some(field)) = (self.party(decision.intake.party_digest.0), self.field(grid))
        else {
            return Ok(None);
        };
        let Some(bench) = self.bench(&key, &field)? else {
            return Ok(None);
        };
        let Ok(posture) = self.postures.intern(&party) else {
            return Ok(None);
        };
        let [old, new] = &bench.judges;
        let best = |judge| best(judge, &bench.targets, &field, posture, decision);
        Ok(best(old).zip(best(new)))
    }

    /// Both sets of rules under the directives of an activation; `None` if one of them is not there to be read.
    fn bench(&mut self, key: &BenchKey, field: &Field) -> Result<Option<Arc<Bench>>> {
        if let Some(known) = self.benches.get(key) {
            return Ok(known.clone());
        }
        if self.benches.len() >= BENCHES_MAX {
            self.benches.clear();
        }
        let bench = self.open(key, field)?.map(Arc::new);
        self.benches.insert(key.clone(), bench.clone());
        Ok(bench)
    }

    fn open(&self, (activation, _, end_use): &BenchKey, field: &Field) -> Result<Option<Bench>> {
        let end_uses: Vec<Arc<str>> = end_use.iter().cloned().collect();
        let Ok(targets) = Targets::of_grid(&field.snapshot, &end_uses) else {
            return Ok(None);
        };
        let Some(directives) = self.directives(*activation)? else {
            return Ok(None);
        };
        let targets = Arc::new(targets);
        let mut judges = Vec::with_capacity(2);
        for rules in self.rules {
            let epoch = match rules {
                Rules::Epoch(epoch) => Some(epoch.clone()),
                Rules::Then => self.epoch(*activation)?,
            };
            let Some(epoch) = epoch else {
                return Ok(None);
            };
            let judge = Judge::new(epoch.clone(), targets.clone(), self.postures.clone());
            if directives.is_empty() {
                judges.push(judge);
                continue;
            }
            // A directive may name a set of a pack that these rules do not have.
            match Overlay::build(*activation, directives.clone(), &epoch, self.lineage.clone()) {
                Ok(overlay) => judges.push(judge.with_overlay(Arc::new(overlay))),
                Err(_) => return Ok(None),
            }
        }
        let judges = <[Judge; 2]>::try_from(judges).ok();
        Ok(judges.map(|judges| Bench { judges, targets }))
    }

    /// The packs of an activation as they were recorded with it.
    fn epoch(&self, activation: u64) -> Result<Option<Arc<Epoch>>> {
        let Some(found) = self.book.activation(activation)? else {
            return Ok(None);
        };
        let epoch = Epoch::from_record(&found.record, &found.packs);
        Ok(epoch.ok().map(Arc::new))
    }

    /// The directives of an activation; `None` if one of them is neither archived nor in the state folder.
    fn directives(&self, activation: u64) -> Result<Option<Vec<Arc<Directive>>>> {
        let Some(notes) = self.book.directive_notes(activation)? else {
            return Ok(Some(Vec::new()));
        };
        let read = |(digest, note): (Digest, Option<String>)| {
            let note = note.as_ref().or_else(|| self.notes.get(&digest))?;
            SignedOrder::from_archive(note).ok()?.directive().cloned()
        };
        Ok(notes.into_iter().map(read).collect())
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

/// The activation under which a call was decided, and the best ruling on its candidates if all of them were judged; `None`
/// of a call that was refused before anybody was asked.
fn recorded(decision: &DecisionEntry) -> Option<(u64, Option<Ruling>)> {
    let verdicts = decision.inputs.iter().find_map(|step| match &step.fact {
        Fact::Verdicts(verdicts) => Some(verdicts),
        _ => None,
    })?;
    let is_whole = verdicts.len() == decision.plan.len();
    let best = verdicts.iter().map(|judged| judged.0.ruling).min();
    Some((verdicts.first()?.0.epoch, best.filter(|_| is_whole)))
}

/// The best ruling over the candidates of a call; `None` without a candidate.
fn best(
    judge: &Judge,
    targets: &Targets,
    field: &Field,
    posture: u32,
    decision: &DecisionEntry,
) -> Option<Reach> {
    let mut reach: Option<Reach> = None;
    let end_use = match &decision.intake.end_use {
        Some(name) => targets.end_use(name)?,
        None => EndUseIx::UNSTATED,
    };
    for plan in &decision.plan {
        let question = Question {
            action: Action::Call,
            channel: field.snapshot.channel_named(&plan.channel)?,
            end_use,
            model: field.snapshot.model_named(&plan.model)?,
            posture,
            region: RegionIx::OWN,
        };
        let verdict = judge.verdict(question, &decision.intake.party, decision.at);
        let rules: BTreeSet<Arc<str>> = verdict.rules.iter().map(|rule| rule.id.clone()).collect();
        let lane: Arc<str> = format!("{}@{}", plan.model, plan.channel).into();
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
    reach
}

//! `tieline policy coverage`: what can be decided with the facts there are, weighted by the calls and spend of the ledger.
//!
//! A call counts for the channel and model that answered it, else for the first candidate of its plan. Bounds: calls
//! between decision and outcome, [`OPEN_MAX`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tieline_core::record::{DECISION_V1, DecisionEntry, OUTCOME_V1, OutcomeEntry};
use tieline_core::{CallId, Tick};
use tieline_policy::{Consumer, Coverage, Facts, Matrix, Tally, Use, coverage};

use super::super::ledger::reader;
use super::bench::{Field, Party, epoch, instant, packs, parties, time};
use super::report::{MissingShown, PolicyCovered, TallyShown};
use crate::cli::{Cli, PolicyCoverage};
use crate::load;
use crate::output::{self, Failure, Result};

/// Calls whose outcome is awaited: as many as a gateway has in flight, and some that were lost.
const OPEN_MAX: usize = 1 << 18;

/// A call between its decision and its outcome.
struct Open {
    party: Arc<str>,
    question: Option<usize>,
}

/// Calls and spend by party and question.
#[derive(Default)]
struct Traffic {
    left_out: u64,
    uses: BTreeMap<Arc<str>, BTreeMap<usize, (u64, u128)>>,
}

/// What parties may ask, by channel and model.
struct Questions {
    by_name: BTreeMap<(Arc<str>, Arc<str>), usize>,
    list: Vec<Facts>,
}

pub(super) fn run(cli: &Cli, args: &PolicyCoverage) -> Result<u8> {
    let now = instant(&args.at)?;
    let checked = load::checked_in(&cli.dir)?;
    let epoch = epoch(packs(&checked.policy.packs)?, &checked.policy.enforce)?;
    let field = Field::new(&checked.grid)?;
    let parties = parties(&cli.dir, now)?;
    let matrix = Matrix::new(&epoch, &field.targets, &field.columns, None, now);
    let by_names = parties.iter().any(|party| Matrix::tells_names(&party.facts));
    let questions = Questions::new(&field, &matrix, by_names);
    let mut traffic = Traffic::default();
    if cli.dir.join("ledger.db").exists() {
        traffic.read(cli, &questions)?;
    }
    let consumers: Vec<Consumer> = parties.iter().map(|party| traffic.consumer(party)).collect();
    // What is left were calls of parties that are no more.
    let gone = traffic
        .uses
        .values()
        .flat_map(BTreeMap::values)
        .map(|(calls, _)| calls);
    let left_out = traffic.left_out + gone.sum::<u64>();
    let found = coverage(&epoch, &consumers, &questions.list, now)
        .map_err(|error| Failure::found(error.to_string()))?;
    let report = report(&found, left_out, now);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(text(&report))?;
    }
    Ok(0)
}

impl Questions {
    /// One question for each kind of model and channel that rules tell apart; for parties whose facts tell names, one for
    /// each pair.
    fn new(field: &Field, matrix: &Matrix<'_>, by_names: bool) -> Self {
        let mut out = Self {
            by_name: BTreeMap::new(),
            list: Vec::new(),
        };
        let (kinds, _) = matrix.kinds();
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for (column, kinds) in field.columns.iter().zip(kinds) {
            for (channel, kind) in column.channels.iter().zip(kinds) {
                let Some(facts) = field.targets.question(column.model, *channel, None) else {
                    continue;
                };
                let name = (facts.channel.name.clone(), facts.model.name.clone());
                let next = out.list.len();
                let number = if by_names {
                    next
                } else {
                    *numbers.entry(*kind).or_insert(next)
                };
                if number == next {
                    out.list.push(facts);
                }
                out.by_name.insert(name, number);
            }
        }
        out
    }

    fn of(&self, channel: &Arc<str>, model: &Arc<str>) -> Option<usize> {
        self.by_name.get(&(channel.clone(), model.clone())).copied()
    }
}

impl Traffic {
    fn read(&mut self, cli: &Cli, questions: &Questions) -> Result<()> {
        let reader = reader(&cli.dir)?;
        let size = reader
            .size()
            .map_err(|error| super::super::ledger::failed(&error))?;
        let mut open: BTreeMap<CallId, Open> = BTreeMap::new();
        reader.for_each(0..size, |_, bytes| {
            match tieline_ledger::entry::head(bytes).map(|head| head.t) {
                Ok(t) if t == DECISION_V1 => match serde_json::from_slice::<DecisionEntry>(bytes) {
                    Ok(decision) => {
                        let first = decision.plan.first();
                        let question = first.and_then(|plan| questions.of(&plan.channel, &plan.model));
                        let call = Open {
                            party: decision.intake.party,
                            question,
                        };
                        if open.len() >= OPEN_MAX
                            && let Some((_, oldest)) = open.pop_first()
                        {
                            self.count(&oldest, 0);
                        }
                        open.insert(decision.id, call);
                    }
                    Err(_) => self.left_out += 1,
                },
                Ok(t) if t == OUTCOME_V1 => {
                    if let Ok(outcome) = serde_json::from_slice::<OutcomeEntry>(bytes)
                        && let Some(mut call) = open.remove(&outcome.id)
                    {
                        let last = outcome.attempts.last();
                        let answered = last.and_then(|last| questions.of(&last.channel, &last.model));
                        call.question = answered.or(call.question);
                        self.count(&call, outcome.cost_nano.unwrap_or_default().0.into());
                    }
                }
                _ => {}
            }
            Ok::<(), Failure>(())
        })?;
        for call in open.values() {
            self.count(call, 0);
        }
        Ok(())
    }

    fn count(&mut self, call: &Open, spend_nano: u128) {
        let Some(question) = call.question else {
            self.left_out += 1;
            return;
        };
        let uses = self.uses.entry(call.party.clone()).or_default();
        let (calls, spend) = uses.entry(question).or_default();
        *calls += 1;
        *spend = spend.saturating_add(spend_nano);
    }

    /// A party with what it asked for, which is taken out.
    fn consumer(&mut self, party: &Party) -> Consumer {
        let uses = self.uses.remove(party.id.as_str()).unwrap_or_default();
        Consumer {
            facts: party.facts.clone(),
            uses: uses
                .into_iter()
                .map(|(question, (calls, spend_nano))| Use {
                    calls,
                    question,
                    spend_nano,
                })
                .collect(),
        }
    }
}

fn report(found: &Coverage, calls_left_out: u64, now: Tick) -> PolicyCovered {
    let whole = found.whole;
    let less = |part: Tally| Tally {
        calls: whole.calls.saturating_sub(part.calls),
        parties: whole.parties.saturating_sub(part.parties),
        spend_nano: whole.spend_nano.saturating_sub(part.spend_nano),
    };
    let missing = |one: &tieline_policy::Missing| MissingShown {
        alone: TallyShown::new(one.alone, whole),
        decidable: TallyShown::new(less(one.waiting), whole),
        fact: one.fact.to_string(),
        waiting: TallyShown::new(one.waiting, whole),
    };
    PolicyCovered {
        schema: "tieline/policy-coverage/v1",
        at_us: now.0,
        calls_left_out,
        decidable: TallyShown::new(found.decidable, whole),
        missing: found.missing.iter().map(missing).collect(),
        packs: found
            .packs
            .iter()
            .map(|(id, tally)| (id.clone(), TallyShown::new(*tally, whole)))
            .collect(),
        whole: TallyShown::new(whole, whole),
    }
}

fn text(report: &PolicyCovered) -> String {
    let mut text = format!(
        "Decidable at {} with the facts there are:\n",
        time(Tick(report.at_us))
    );
    let _ = writeln!(text, "  all rules: {}", tally(&report.decidable, &report.whole));
    for (pack, part) in &report.packs {
        let _ = writeln!(text, "  {pack}: {}", tally(part, &report.whole));
    }
    if report.missing.is_empty() {
        text.push_str("No missing fact would decide more.\n");
    } else {
        text.push_str("Missing facts, the most helpful first:\n");
    }
    for one in &report.missing {
        let _ = writeln!(
            text,
            "  {}: {} wait for it; alone it would decide {}",
            one.fact,
            tally(&one.waiting, &report.whole),
            tally(&one.alone, &report.whole)
        );
    }
    if report.calls_left_out > 0 {
        let _ = writeln!(
            text,
            "{} calls are left out: of parties or for models that are no more, or unreadable.",
            report.calls_left_out
        );
    }
    text
}

fn tally(part: &TallyShown, whole: &TallyShown) -> String {
    let share = |permille: Option<u16>| {
        permille.map_or_else(|| "nothing".to_owned(), |n| format!("{}.{} %", n / 10, n % 10))
    };
    let mut text = format!(
        "{} of parties ({}/{})",
        share(part.parties_permille),
        part.parties,
        whole.parties
    );
    if whole.calls > 0 {
        let _ = write!(
            text,
            ", {} of calls ({}/{}), {} of spend",
            share(part.calls_permille),
            part.calls,
            whole.calls,
            share(part.spend_permille)
        );
    }
    text
}

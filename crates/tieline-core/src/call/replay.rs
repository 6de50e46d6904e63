//! Decide a recorded call again. The recorded inputs are fed to a fresh [`Call`] under the archived grid; the entries
//! that come out must equal the recorded ones in every field.

use std::sync::Arc;

use super::{Call, Effect, Fact, Input};
use crate::desk::Limits;
use crate::grid::Snapshot;
use crate::record::{AskRecord, DecisionEntry, Hex32, Outcome, OutcomeEntry};
use crate::subject::{Ask, Intake, Scope, Subject};

/// How a replay departs from the record. The replayed entries are handed out whole, so that a report can say which
/// field differs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Difference {
    /// Absent: the recorded inputs lead to no decision at all.
    #[error("the decision differs")]
    Decision { replayed: Option<Box<DecisionEntry>> },
    #[error("the decision cites grid {cited}, but the grid given is {given}")]
    Grid { cited: Hex32, given: Hex32 },
    #[error("the recorded inputs end before the call does")]
    InputsEnd,
    #[error("the outcome differs")]
    Outcome { replayed: Box<OutcomeEntry> },
    #[error("the grid has no {0}")]
    Unknown(String),
}

/// Decide again. `outcome` is absent for a call whose end is not recorded yet; a lost call's outcome is not replayed,
/// for its inputs died with the process.
pub fn replay(
    snapshot: &Arc<Snapshot>,
    decision: &DecisionEntry,
    outcome: Option<&OutcomeEntry>,
) -> Result<(), Difference> {
    let given = Hex32(snapshot.digest);
    if decision.grid != given {
        return Err(Difference::Grid {
            cited: decision.grid,
            given,
        });
    }
    let mut call = Call::new(
        snapshot.clone(),
        intake(snapshot, decision)?,
        decision.seed,
        decision.began,
    );
    let mut recorded = drain(&mut call);
    for step in &decision.inputs {
        call.handle(input(&step.fact), step.at);
        recorded |= drain(&mut call);
    }
    let again = recorded.then(|| call.decision_entry());
    if again.as_ref() != Some(decision) {
        return Err(Difference::Decision {
            replayed: again.map(Box::new),
        });
    }
    let Some(outcome) = outcome.filter(|outcome| outcome.result != Outcome::Lost) else {
        return Ok(());
    };
    for step in &outcome.inputs {
        call.handle(input(&step.fact), step.at);
        drain(&mut call);
    }
    if !call.is_over() {
        return Err(Difference::InputsEnd);
    }
    let again = call.outcome_entry();
    if &again == outcome {
        Ok(())
    } else {
        Err(Difference::Outcome {
            replayed: Box::new(again),
        })
    }
}

/// Drop the effects; say whether the decision was among them.
fn drain(call: &mut Call) -> bool {
    let mut recorded = false;
    while let Some(effect) = call.poll() {
        recorded |= matches!(effect, Effect::Record { .. });
    }
    recorded
}

fn intake(snapshot: &Snapshot, decision: &DecisionEntry) -> Result<Intake, Difference> {
    let record = &decision.intake;
    let ask = match &record.ask {
        AskRecord::Model(name) => Ask::Model(
            snapshot
                .model_named(name)
                .ok_or_else(|| Difference::Unknown(format!("model `{name}`")))?,
        ),
        AskRecord::Pool(name) => match snapshot.resolve(name) {
            ask @ Ask::Pool(_) => ask,
            _ => return Err(Difference::Unknown(format!("pool `{name}`"))),
        },
        AskRecord::Unknown(name) => Ask::Unknown(name.clone()),
        AskRecord::Unreadable(code) => Ask::Unreadable(*code),
    };
    let subject = Subject {
        desk_ix: 0,
        key: record.key.clone(),
        lapse: None,
        limits: Limits::default(),
        party: record.party.clone(),
        party_desk_ix: 0,
        party_digest: record.party_digest.0,
        party_limits: Limits::default(),
        posture: record.posture,
        scope: if record.in_scope {
            Scope::All
        } else {
            Scope::Names(Arc::new([]))
        },
    };
    Ok(Intake {
        affinity: record.affinity,
        answers: record.answers,
        ask,
        body_bytes: record.body_bytes,
        call: decision.id,
        deadline: record.deadline_us,
        dialect: record.dialect,
        end_use: record.end_use.clone(),
        features: record.features,
        is_budgeted: record.is_budgeted,
        is_deterministic: record.is_deterministic,
        media: record.media,
        output_tokens_max: record.output_tokens_max,
        patience: record.patience_us,
        prefill: record.prefill,
        stream: record.stream,
        subject: Arc::new(subject),
    })
}

fn input(fact: &Fact) -> Input {
    match fact {
        Fact::ClientGone => Input::ClientGone,
        Fact::Desk(reply) => Input::Desk(*reply),
        Fact::Durable => Input::Durable,
        Fact::End { complete } => Input::End { complete: *complete },
        Fact::Fault(fault) => Input::Fault(*fault),
        Fact::Loss(losses) => Input::Loss(losses.clone()),
        Fact::Mark(mark) => Input::Mark(*mark),
        Fact::NotDurable => Input::NotDurable,
        Fact::Opened { status } => Input::Opened { status: *status },
        Fact::Ordered(judged) => Input::Ordered(judged.0.clone()),
        Fact::Recorded => Input::Recorded { taken: true },
        Fact::Timer => Input::Timer,
        Fact::Verdicts(verdicts) => Input::Verdicts(verdicts.iter().map(|judged| judged.0.clone()).collect()),
        Fact::View(view) => Input::View(view.clone()),
    }
}

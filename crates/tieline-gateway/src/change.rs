//! One change of what is permitted: in the state file and told in the ledger, or neither.
//!
//! No transaction spans two files, so a change goes in steps. It is begun in the state file under an id ([`BegunRow`]); it
//! is written in a transaction that also takes that row away; while the transaction is open, its entries go to the
//! ledger, durably, under the same id; then the transaction is committed, and only then the change comes into force. A
//! failure between two steps leaves the row, and the row says that the change is not in the state file: then an entry of
//! type [`UNDONE_V1`] with the same id takes back what the ledger says, at once or else at the next start. So what the
//! ledger tells and does not take back is what the state file has, and what is in force follows from the state file.
//!
//! Bounds: changes go one after the other, under the lock of the state file; rows are left only by changes that failed
//! while the file could not be written either, and are gone with the next start.

use serde::Serialize;
use tieline_core::Tick;
use tieline_ledger::{Index, LedgerError, PushError, Reader, entry};

use crate::recorder::{Event, Recorder};
use crate::shared::Shared;
use crate::state::{BegunRow, State, StateError};

/// The type of the entry that takes back what was told under the same id.
pub(crate) const UNDONE_V1: &str = "tieline/undone/v1";

const SAYS: &str = "The change that is told under this id was not carried out. Nothing of it was in force up to this \
                    entry; what was in force before stays so.";

const STOPPED: &str = "the process ended before the change was in the state file";

/// When a change is made, and the number of the activation that comes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) at: Tick,
    pub(crate) epoch: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Undone<'a> {
    /// The activation that was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    says: &'static str,
    why: &'a str,
}

/// Make a change. `write` puts it into the state file, `tell` queues its entries under an id and says whether there were
/// any; what changes nothing is not told.
pub(crate) fn carry_out<T, E>(
    shared: &Shared,
    state: &State,
    when: When,
    write: impl FnOnce(&State) -> Result<T, E>,
    tell: impl FnOnce(&T, &str) -> Result<bool, PushError>,
) -> Result<T, E>
where
    E: From<PushError> + From<StateError> + std::fmt::Display,
{
    let begun = BegunRow {
        at_us: when.at.0,
        epoch: when.epoch,
        id: shared.new_call(when.at).0.to_string(),
    };
    state.begin_change(&begun)?;
    let mut may_be_told = false;
    let done = state.atomically(|state| {
        let done = write(state)?;
        state.end_change(&begun.id)?;
        may_be_told = true;
        may_be_told = tell(&done, &begun.id)?;
        if may_be_told {
            shared.recorder.flush()?;
        }
        Ok::<_, E>(done)
    });
    if let Err(why) = &done {
        let undone = undo(shared, state, &begun, &why.to_string(), may_be_told);
        if let Err(error) = undone {
            tracing::error!(
                id = begun.id,
                %error,
                "a change failed, and the ledger could not be told; the next start tells it"
            );
        }
    }
    done
}

/// A change failed: its row stays until the ledger says so.
fn undo(
    shared: &Shared,
    state: &State,
    begun: &BegunRow,
    why: &str,
    may_be_told: bool,
) -> Result<(), UndoError> {
    if !may_be_told {
        return Ok(state.end_change(&begun.id)?);
    }
    if state.renew_change(&begun.id)? {
        take_back(&shared.recorder, begun, why, shared.now())?;
        shared.recorder.flush()?;
        state.end_change(&begun.id)?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum UndoError {
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    State(#[from] StateError),
}

fn take_back(recorder: &Recorder, begun: &BegunRow, why: &str, now: Tick) -> Result<(), PushError> {
    recorder.event(&Event {
        at: now,
        body: Undone {
            epoch: begun.epoch,
            says: SAYS,
            why,
        },
        id: &begun.id,
        t: UNDONE_V1,
    })
}

/// Of the changes that an earlier process left begun, those that the ledger tells and does not take back.
pub(crate) fn told<'a>(
    begun: &'a [BegunRow],
    index: &Index,
    reader: &Reader,
) -> Result<Vec<&'a BegunRow>, LedgerError> {
    let mut out = Vec::new();
    for row in begun {
        let mut is_told = false;
        for at in index.entries_of(&row.id)? {
            let bytes = reader.entry(at)?.unwrap_or_default();
            is_told = entry::head(&bytes).is_ok_and(|head| head.t != UNDONE_V1);
        }
        if is_told {
            out.push(row);
        }
    }
    Ok(out)
}

/// Take back what an earlier process told and did not carry out.
pub(crate) fn settle(recorder: &Recorder, told: &[&BegunRow], now: Tick) -> Result<(), PushError> {
    for begun in told {
        take_back(recorder, begun, STOPPED, now)?;
        tracing::warn!(
            id = begun.id,
            "a change was told and not carried out; the ledger says so"
        );
    }
    Ok(())
}

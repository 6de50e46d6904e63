//! Legal blocks: what a channel refuses to a party on legal grounds is held for it over every channel.
//!
//! A block is a fact about the party. It is in the state file and in the ledger before the call that met it is answered,
//! and in force from then on for whatever is judged, by the same gate as every change of facts. Bounds: [`BLOCKS_MAX`]
//! stand in the state file; a call waits [`WAIT_MAX`] for its block, which goes on without it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tieline_core::{Code, Tick};
use tieline_ledger::PushError;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::change::{self, When};
use crate::members::MemberError;
use crate::recorder::Event;
use crate::shared::Shared;
use crate::state::{HoldRow, State, StateError};

/// Blocks in the state file, beside other holds: of some 500 bytes each, 32 MB. What is beyond holds until the next start.
const BLOCKS_MAX: u64 = 65_536;

/// How long a call waits until its block is durable: a commit on a busy disk takes tens of ms, and no caller is worse off
/// for one that takes seconds, since it is refused either way.
const WAIT_MAX: Duration = Duration::from_secs(5);

const LEGAL_BLOCK_V1: &str = "tieline/legal-block/v1";

/// The entry of a block.
#[derive(Debug, Serialize)]
struct Blocked<'a> {
    /// The call that met it.
    call: &'a str,
    channel: &'a str,
    code: &'static str,
    model: &'a str,
    party: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    ticket: &'a str,
}

#[derive(Debug, thiserror::Error)]
enum BlockError {
    #[error("{BLOCKS_MAX} legal blocks stand, which is the limit; dispose of what waits")]
    Full,
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Put a block into force. The task ends once it is, or when the wait for it is over; it needs nobody to wait for it.
pub(crate) fn put(shared: &Arc<Shared>, hold: HoldRow, call: String) -> Option<JoinHandle<()>> {
    let shared = shared.clone();
    let Ok(runtime) = Handle::try_current() else {
        // A call that is dropped while the process ends has no runtime to go on with.
        lay(&shared, &hold, &call);
        return None;
    };
    let laid = runtime.spawn_blocking(move || lay(&shared, &hold, &call));
    Some(runtime.spawn(async move {
        let _ = tokio::time::timeout(WAIT_MAX, laid).await;
    }))
}

fn lay(shared: &Shared, hold: &HoldRow, call: &str) {
    let state = shared.state();
    let registry = shared.registry.load_full();
    if registry.terms().block(&hold.party, &hold.model).is_some() {
        // Another call of the party met it a moment ago.
        if !shared.holds.put(hold.clone()) {
            shared.metrics.holds_lost.inc();
        }
        return;
    }
    if let Err(why) = write(shared, &state, hold, call) {
        tracing::error!(
            ticket = hold.ticket,
            %why,
            "a legal block was not recorded; it holds in this process, and is written with the holds"
        );
        keep(shared, &state, hold);
    }
}

/// In the state file and in the ledger, and then in force.
fn write(shared: &Shared, state: &State, hold: &HoldRow, call: &str) -> Result<(), BlockError> {
    let registry = shared.registry.load_full();
    let when = When {
        at: Tick(hold.opened_us),
        epoch: None,
    };
    let (registry, keys) = change::carry_out(
        shared,
        state,
        when,
        |state| {
            if !state.block(hold, BLOCKS_MAX)? {
                return Err(BlockError::Full);
            }
            let next = (*registry).clone().with_terms(Arc::new(state.terms()?));
            let keys = shared.read_keys(state, &next)?;
            Ok((next, keys))
        },
        |_, id| tell(shared, hold, call, id).map(|()| true),
    )?;
    shared.swap_facts(registry, keys);
    Ok(())
}

fn tell(shared: &Shared, hold: &HoldRow, call: &str, id: &str) -> Result<(), PushError> {
    let refusal = hold.refusal.as_ref();
    shared.recorder.event(&Event {
        at: Tick(hold.opened_us),
        body: Blocked {
            call,
            channel: refusal.map_or("", |refusal| &refusal.channel),
            code: Code::Held.name(),
            model: &hold.model,
            party: &hold.party,
            status: refusal.and_then(|refusal| refusal.status),
            ticket: &hold.ticket,
        },
        id,
        t: LEGAL_BLOCK_V1,
    })
}

/// What could not be written holds in memory all the same, and waits with the holds to be written.
fn keep(shared: &Shared, state: &State, hold: &HoldRow) {
    let registry = shared.registry.load_full();
    let (party, block) = hold.block();
    let terms = registry.terms().as_ref().clone().with_block(party, block);
    let next = (*registry).clone().with_terms(Arc::new(terms));
    match shared.read_keys(state, &next) {
        Ok(keys) => shared.swap_facts(next, keys),
        Err(why) => tracing::error!(ticket = hold.ticket, %why, "a legal block is not in force"),
    }
    if !shared.holds.put(hold.clone()) {
        shared.metrics.holds_lost.inc();
    }
}

//! The desk's counters after a start, from the ledger: a crash loses nothing that was charged, and leaves nothing reserved.
//!
//! Each call since the earliest period that any limit counts in is reserved and settled again, at the instants of its
//! entries. A call that the crash cut off was closed as lost: nobody knows what its channel will bill, so it counts what
//! was reserved for it. Under a budget a decision is durable before its request leaves, so no call is missing; without
//! one, the last milliseconds of calls may be, and limits of requests and tokens forgive that.
//!
//! Bounds: calls whose outcome is still to be read, at most as many as were in flight at once. A budget that is first given
//! while the process runs counts from the start of its period or of the process, whichever is later.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::record::{AskRecord, DECISION_V1, OUTCOME_V1, OutcomeEntry};
use tieline_core::{CallId, Claim, Desk, Limits, Nano, Payers, PoolIx, Snapshot, Span, Tick};
use tieline_ledger::{LedgerError, Reader, entry};

use crate::members::numbered;
use crate::state::{State, StateError};

/// Rates count in periods of a day at most.
const RATE_DAY: Span = Span::from_s(86_400);

/// Who may have paid for the calls of the past, revoked keys included.
#[derive(Debug)]
pub(crate) struct Known {
    keys: HashMap<String, Owner>,
    snapshot: Arc<Snapshot>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    key: (u32, Limits),
    party: (u32, Limits),
}

/// Of a decision, what was reserved for whom.
#[derive(Deserialize)]
struct Decided {
    at: Tick,
    id: CallId,
    intake: Intake,
    #[serde(default)]
    reserved_nano: Option<Nano>,
    /// Absent where nothing was granted.
    #[serde(default)]
    reserved_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Intake {
    ask: AskRecord,
    key: String,
}

/// A call whose outcome is still to be read.
struct Open {
    claim: Claim,
    owner: Owner,
    pool: Option<(PoolIx, Limits)>,
    reserved_nano: Option<Nano>,
}

impl Known {
    pub(crate) fn new(state: &State, snapshot: &Arc<Snapshot>) -> Result<Self, StateError> {
        let keys = numbered(state)?.map(|(row, desk_ix, party)| {
            let key = (desk_ix, row.limits);
            (row.id, Owner { key, party })
        });
        Ok(Self {
            keys: keys.collect(),
            snapshot: snapshot.clone(),
        })
    }

    /// From when on calls count in any limit; `now` if there are no limits that outlive a call.
    fn since(&self, now: Tick) -> Tick {
        let of_keys = self.keys.values().flat_map(|owner| [owner.key.1, owner.party.1]);
        let of_pools = self.snapshot.pools.iter().map(|pool| pool.limits);
        let each = of_keys.chain(of_pools).map(|limits| {
            let is_rated = Limits {
                concurrency: None,
                ..limits
            } != Limits::default();
            let rates = if is_rated {
                Tick(now.0.saturating_sub(RATE_DAY.0))
            } else {
                now
            };
            limits.money_since(now).min(rates)
        });
        each.min().unwrap_or(now)
    }

    fn open(&self, decided: &Decided) -> Option<(CallId, Open)> {
        let tokens = decided.reserved_tokens?;
        let owner = *self.keys.get(&decided.intake.key)?;
        let pool = match &decided.intake.ask {
            AskRecord::Pool(name) => self.snapshot.pool_named(name),
            _ => None,
        };
        let pool = pool.and_then(|ix| Some((ix, self.snapshot.pool(ix)?.limits)));
        let claim = Claim {
            at: decided.at,
            nano: decided.reserved_nano.unwrap_or_default(),
            tokens,
        };
        let open = Open {
            claim,
            owner,
            pool,
            reserved_nano: decided.reserved_nano,
        };
        Some((decided.id, open))
    }
}

/// Count the calls of the periods that run at `now`. Every call in the ledger has its outcome, or is to be closed as lost
/// before.
pub(crate) fn recount(dir: &Path, known: &Known, desk: &mut Desk, now: Tick) -> Result<(), LedgerError> {
    let since = known.since(now);
    if since >= now {
        return Ok(());
    }
    let reader = Reader::open(dir)?;
    let size = reader.size()?;
    let start = first_since(&reader, size, since)?;
    let mut open = HashMap::new();
    reader.for_each(start..size, |_, bytes| {
        let Ok(head) = entry::head(bytes) else {
            return Ok::<(), LedgerError>(());
        };
        match &*head.t {
            DECISION_V1 => {
                let decision = serde_json::from_slice::<Decided>(bytes).ok();
                if let Some((id, call)) = decision.and_then(|decision| known.open(&decision)) {
                    call.paid(|payers| desk.restore(payers, &call.claim));
                    open.insert(id, call);
                }
            }
            OUTCOME_V1 => {
                let outcome = serde_json::from_slice::<OutcomeEntry>(bytes).ok();
                let ended = outcome.and_then(|outcome| Some((open.remove(&outcome.id)?, outcome)));
                if let Some((call, outcome)) = ended {
                    call.settle(desk, &outcome);
                }
            }
            _ => {}
        }
        Ok(())
    })
}

impl Open {
    fn paid<T>(&self, with: impl FnOnce(&Payers<'_>) -> T) -> T {
        with(&Payers {
            key: (self.owner.key.0, &self.owner.key.1),
            party: (self.owner.party.0, &self.owner.party.1),
            pool: self.pool.as_ref().map(|(ix, limits)| (*ix, limits)),
        })
    }

    fn settle(&self, desk: &mut Desk, outcome: &OutcomeEntry) {
        let charged = outcome.counted(self.reserved_nano);
        let used = outcome.used();
        self.paid(|payers| desk.settle(payers, &self.claim, charged, used.as_ref(), outcome.at));
    }
}

/// The first entry that is not older than `since`. Entries stand in the order in which they were queued, which is that of
/// their instants but for calls that ended within the same moment; a minute's margin is far more than that.
fn first_since(reader: &Reader, size: u64, since: Tick) -> Result<u64, LedgerError> {
    let since = since.0.saturating_sub(MARGIN.0);
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let bytes = reader.entry(middle)?.unwrap_or_default();
        // An entry that cannot be read says nothing; the search then goes to the older side.
        let is_older = entry::head(&bytes).is_ok_and(|head| head.at < since);
        (low, high) = if is_older {
            (middle + 1, high)
        } else {
            (low, middle)
        };
    }
    Ok(low)
}

const MARGIN: Span = Span::from_s(60);

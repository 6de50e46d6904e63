//! Directives in force: applied, amended and revoked while the gateway serves.
//!
//! An order is verified, compiled over the epoch in force, written to the ledger durably, written to the state file, and
//! swapped in, in this order and under one lock: what fails leaves everything as it was. From the return of [`apply`] on,
//! no request of whom the order concerns goes out on any listener of this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::Tick;
use tieline_note::Digest;
use tieline_policy::{
    Disclosure, Epoch, Judge, Order, OrderError, Overlay, PackProblem, Registry, SignedOrder,
};
use tokio::sync::watch;

use crate::keys::Admin;
use crate::recorder::{Event, Recorder};
use crate::reload;
use crate::shared::Shared;
use crate::state::{DirectiveRow, State, StateError, standing};

/// What applying an order did.
#[derive(Clone, Debug, schemars::JsonSchema, Serialize)]
pub struct OrderApplied {
    /// The activation that it began.
    pub epoch: u64,
    pub id: String,
    /// Directives that are in force with it, as `id@version`.
    pub in_force: Vec<String>,
    /// Always `tieline/directive-applied/v1`.
    pub schema: &'static str,
    /// Names of the keys that signed.
    pub signers: Vec<String>,
    /// Models, labs and parties that directives name and that are not here.
    pub strangers: Vec<String>,
    /// From the arrival of the order until nothing went out any more that it concerns, µs.
    pub took_us: u64,
    pub version: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(
        "it begins later, and until then nothing would stand in the place of `{0}`, which it replaces; apply it once it \
         has begun, or let it begin now"
    )]
    Gap(Arc<str>),
    #[error("the ledger cannot record the order, so it is not applied: {0}")]
    Ledger(#[from] tieline_ledger::PushError),
    #[error(
        "nobody may sign directives here: name verifier keys under `[policy.orders]` (`tieline directive key FILE` \
         makes one), and reload"
    )]
    NoSigners,
    #[error("{0}")]
    Order(#[from] OrderError),
    #[error("{}", crate::reload::render(.0))]
    Overlay(Vec<PackProblem>),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The entry of an order that was applied. An order that is sealed stands in it by its digest alone.
#[derive(Debug, Serialize)]
struct Applied<'a> {
    /// The id of the key through which it came.
    admin: &'a str,
    digest: Digest,
    /// `apply`, `amend` or `revoke`.
    done: &'static str,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// The digest of the record of what is in force with it.
    overlay: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signers: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
}

const DIRECTIVE_V1: &str = "tieline/directive/v1";

/// Bring a signed order into force.
pub(crate) fn apply(shared: &Shared, note: &str, admin: &Admin) -> Result<OrderApplied, ApplyError> {
    let began = shared.now();
    // One change at a time: nothing that is read here moves before it is swapped.
    let state = shared.state();
    let live = shared.live.load_full();
    let signers = live.signers.as_ref().ok_or(ApplyError::NoSigners)?;
    let signed = SignedOrder::open(note.as_bytes(), signers)?;
    // As late as can be: whatever waited for the lock comes after what had it.
    let now = shared.now();
    let next = Next::after(signed, &state.directives()?, now)?;
    let judge = live.judge.load_full();
    let registry = shared.registry.load_full();
    // An order that cannot be laid over takes no number. One that is taken is never given again, even if the order then
    // fails or the process dies, for the ledger may have it already.
    lay(0, &next.directives, judge.epoch(), &registry)?;
    let (number, _) = state.epoch(&activation_digest(&live.packs_digest, &next.digests()))?;
    let overlay = lay(number, &next.directives, judge.epoch(), &registry)?;
    state.atomically(|state| {
        next.keep(state, now)?;
        next.log(
            shared,
            admin,
            (&live.snapshot.digest, judge.epoch()),
            &overlay,
            now,
        )
        .map_err(ApplyError::from)
    })?;
    let overlay = Arc::new(overlay);
    live.judge.store(Arc::new(judge.with_overlay(overlay.clone())));
    shared.orders.changed();
    let label = |one: &Arc<tieline_policy::Directive>| format!("{}@{}", one.id, one.version);
    Ok(OrderApplied {
        epoch: overlay.number().unwrap_or_default(),
        id: next.signed.order.id().to_string(),
        in_force: overlay.directives().iter().map(label).collect(),
        schema: "tieline/directive-applied/v1",
        signers: next.signed.signers.clone(),
        strangers: strangers(&overlay, &judge, &shared.registry.load()),
        took_us: shared.now().since(began).0,
        version: next.signed.order.version(),
    })
}

/// What directives name and nobody here knows: whoever misspelt a name should learn it before it is missed.
fn strangers(overlay: &Overlay, judge: &Judge, registry: &Registry) -> Vec<String> {
    let mut out = overlay.strangers(judge.targets());
    for directive in overlay.directives() {
        let selectors = [&directive.who, &directive.exempt].into_iter().flatten();
        let named = selectors.flat_map(|selector| &selector.parties);
        let unknown = named.filter(|party| registry.record(party).is_none());
        out.extend(unknown.map(|party| format!("{}: party {party}", directive.label())));
    }
    out.truncate(STRANGERS_MAX);
    out
}

/// Names that an answer lists: a letter may name 100,000 parties of which this house knows none.
const STRANGERS_MAX: usize = 100;

/// An order that may be applied, and what is in force with it.
struct Next {
    directives: BTreeMap<Arc<str>, SignedOrder>,
    done: &'static str,
    /// Whether outsiders may not learn what the order is.
    is_sealed: bool,
    signed: SignedOrder,
}

impl Next {
    fn after(signed: SignedOrder, rows: &[DirectiveRow], now: Tick) -> Result<Self, ApplyError> {
        let order = &signed.order;
        let of_id = || rows.iter().filter(|row| *row.id == **order.id());
        let version = of_id()
            .filter(|row| row.revoked_us.is_none())
            .map(|row| row.version)
            .max();
        order.check(now, version, of_id().map(|row| row.version).max())?;
        let mut directives = standing(rows, now)?;
        let done = match order {
            Order::Directive(directive) => {
                let earlier = directives.get(&directive.id).and_then(SignedOrder::directive);
                if directive.valid_from > now
                    && let Some(earlier) = earlier.filter(|earlier| earlier.holds(now))
                {
                    return Err(ApplyError::Gap(earlier.label()));
                }
                directives.insert(directive.id.clone(), signed.clone());
                if version.is_some() { "amend" } else { "apply" }
            }
            Order::Revocation(revocation) => {
                directives.remove(&revocation.id);
                "revoke"
            }
        };
        Ok(Self {
            directives,
            done,
            is_sealed: is_sealed(order, rows),
            signed,
        })
    }

    fn digests(&self) -> Vec<Digest> {
        self.directives.values().map(|signed| signed.digest).collect()
    }

    fn keep(&self, state: &State, now: Tick) -> Result<(), StateError> {
        match &self.signed.order {
            Order::Directive(_) => state.put_directive(&row(&self.signed, now)),
            Order::Revocation(revocation) => state.revoke_directive(&revocation.id, now.0).map(drop),
        }
    }

    /// What is in force is in the log first, and durable.
    fn log(
        &self,
        shared: &Shared,
        admin: &Admin,
        (grid, epoch): (&[u8; 32], &Epoch),
        overlay: &Overlay,
        now: Tick,
    ) -> Result<(), tieline_ledger::PushError> {
        let recorder = &shared.recorder;
        archive(recorder, overlay, self.directives.values())?;
        let is_told = !self.is_sealed;
        if is_told {
            recorder.archive_bytes(self.signed.text.as_bytes().to_vec())?;
        }
        reload::activated(recorder, grid, epoch, overlay, now)?;
        let order = &self.signed.order;
        let body = Applied {
            admin: &admin.id,
            digest: self.signed.digest,
            done: self.done,
            epoch: overlay.number().unwrap_or_default(),
            id: is_told.then(|| &**order.id()),
            overlay: overlay.digest().to_string(),
            signers: is_told.then_some(self.signed.signers.as_slice()),
            version: is_told.then(|| order.version()),
        };
        let (id, _) = shared.new_call(now);
        recorder.event(&Event {
            at: now,
            body,
            id: &id.to_string(),
            t: DIRECTIVE_V1,
        })?;
        recorder.flush().map(drop)
    }
}

/// The judge of a configuration with the directives of the state file laid over, and their digests.
pub(crate) fn lay_over(
    judge: Judge,
    number: u64,
    state: &State,
    registry: &Arc<Registry>,
    recorder: &Recorder,
    now: Tick,
) -> Result<Judge, String> {
    let rows = state.directives().map_err(|error| error.to_string())?;
    let directives = standing(&rows, now).map_err(|error| error.to_string())?;
    if directives.is_empty() {
        return Ok(judge);
    }
    let overlay = lay(number, &directives, judge.epoch(), registry).map_err(|error| error.to_string())?;
    archive(recorder, &overlay, directives.values())
        .map_err(|error| format!("cannot archive the directives: {error}"))?;
    Ok(judge.with_overlay(Arc::new(overlay)))
}

/// Lay the same directives over again, for the tree of parties has changed.
pub(crate) fn lay_again(shared: &Shared, registry: &Arc<Registry>) {
    let live = shared.live.load();
    let judge = live.judge.load_full();
    let overlay = judge.overlay();
    let Some(number) = overlay.number() else { return };
    let directives = overlay.directives().to_vec();
    match Overlay::build(number, directives, judge.epoch(), registry.clone().into_lineage()) {
        Ok(again) => live.judge.store(Arc::new(judge.with_overlay(Arc::new(again)))),
        // The same directives over the same epoch were built before; the older tree stays in force.
        Err(problems) => tracing::error!(
            problems = crate::reload::render(&problems),
            "directives not laid again"
        ),
    }
}

/// Directives begin and end by their dates too: at each such instant, calls under way are judged again as if an order had
/// just been applied.
pub(crate) async fn keep_dates(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        // Listens before it looks, so that no order is missed.
        let told = shared.orders.told();
        let now = shared.now();
        let next = next_date(&shared, now);
        let wake = tokio::time::Instant::from_std(shared.clock.instant(next));
        let has_come = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = told => false,
            () = tokio::time::sleep_until(wake) => true,
        };
        if has_come {
            let shared = shared.clone();
            // It waits for writes to sockets, as an order does.
            let _ = tokio::task::spawn_blocking(move || shared.orders.changed()).await;
        }
    }
}

/// The first instant after `now` at which a directive begins or ends, or a day on, which is sooner than timers overflow.
fn next_date(shared: &Shared, now: Tick) -> Tick {
    let judge = shared.live.load().judge.load_full();
    let dates = judge.overlay().directives().iter();
    let dates = dates
        .flat_map(|one| [Some(one.valid_from), one.valid_to])
        .flatten();
    let day = now.plus(tieline_core::Span(86_400_000_000));
    dates.filter(|at| *at > now).fold(day, Tick::min)
}

/// The digests of the directives that are in force, for the number of an activation.
pub(crate) fn digests(state: &State, now: Tick) -> Result<Vec<Digest>, ApplyError> {
    let directives = standing(&state.directives()?, now)?;
    Ok(directives.values().map(|signed| signed.digest).collect())
}

/// What an activation's number stands for: packs, what of them enforces, and directives.
pub(crate) fn activation_digest(packs: &[u8; 32], directives: &[Digest]) -> [u8; 32] {
    let mut bytes = packs.to_vec();
    let mut sorted = directives.to_vec();
    sorted.sort();
    for digest in sorted {
        bytes.extend_from_slice(&digest.0);
    }
    // Without directives it is what it was before there were any.
    if directives.is_empty() {
        *packs
    } else {
        tieline_note::sha256(&bytes).0
    }
}

fn lay(
    number: u64,
    directives: &BTreeMap<Arc<str>, SignedOrder>,
    epoch: &Epoch,
    registry: &Arc<Registry>,
) -> Result<Overlay, ApplyError> {
    let directives = directives
        .values()
        .filter_map(|signed| signed.directive().cloned());
    Overlay::build(
        number,
        directives.collect(),
        epoch,
        registry.clone().into_lineage(),
    )
    .map_err(ApplyError::Overlay)
}

/// What decisions under the overlay cite. The note of a sealed directive stays in the state file.
fn archive<'a>(
    recorder: &Recorder,
    overlay: &Overlay,
    directives: impl Iterator<Item = &'a SignedOrder>,
) -> Result<(), tieline_ledger::PushError> {
    for signed in directives {
        if signed
            .directive()
            .is_some_and(|one| one.disclosure != Disclosure::Sealed)
        {
            recorder.archive_bytes(signed.text.as_bytes().to_vec())?;
        }
    }
    recorder.archive(overlay.record())?;
    Ok(())
}

/// Whether outsiders may not learn what the order is: it is sealed, or it revokes what is.
fn is_sealed(order: &Order, rows: &[DirectiveRow]) -> bool {
    match order {
        Order::Directive(directive) => directive.disclosure == Disclosure::Sealed,
        Order::Revocation(revocation) => {
            let newest = rows.iter().rfind(|row| *row.id == *revocation.id);
            let signed = newest.and_then(|row| SignedOrder::from_archive(&row.note).ok());
            let directive = signed.and_then(|signed| signed.directive().cloned());
            directive.is_none_or(|directive| directive.disclosure == Disclosure::Sealed)
        }
    }
}

fn row(signed: &SignedOrder, now: Tick) -> DirectiveRow {
    DirectiveRow {
        applied_us: now.0,
        digest: signed.digest.0,
        id: signed.order.id().to_string(),
        note: signed.text.to_string(),
        revoked_us: None,
        version: signed.order.version(),
    }
}

//! Directives in force: applied, amended and revoked while the gateway serves.
//!
//! An order is verified, compiled over the epoch in force, told to the ledger durably and put into the state file
//! ([`change::carry_out`]), and swapped in, in this order and under one lock: what fails leaves everything as it was, and
//! the ledger says so. From the return of [`apply`] on, no request of whom the order concerns goes out on any listener of
//! this process.
//!
//! Dates need nobody: a directive begins and ends by its own instants, and one that gives way to a later version does so
//! at the instant at which that begins. What is left of the directives then is an activation of its own.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_note::Digest;
use tieline_policy::{
    Directive, Disclosure, Epoch, Judge, Order, OrderError, Overlay, PackProblem, Registry, SignedOrder,
};
use tokio::sync::watch;

use crate::change::{self, When};
use crate::keys::Admin;
use crate::recorder::{Event, Recorder};
use crate::reload;
use crate::shared::{Live, Shared};
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

/// What an order must be for whoever hands it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    Amend,
    Apply,
    Revoke,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
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
    /// The id of the key through which it came; none of what a date did.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<&'a str>,
    digest: Digest,
    /// `apply`, `amend` or `revoke`; `end` where its date came, or that of a later version.
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
    let ready = Ready::new(shared, &state, &live, &next.directives)?;
    change::carry_out(
        shared,
        &state,
        ready.when(now),
        |state| next.keep(state, now).map_err(ApplyError::from),
        |(), id| next.tell(&ready, shared, admin, now, id).map(|()| true),
    )?;
    let (overlay, judge) = ready.swap(&live);
    shared.orders.changed();
    let label = |one: &Arc<Directive>| format!("{}@{}", one.id, one.version);
    Ok(OrderApplied {
        epoch: overlay.number().unwrap_or_default(),
        id: next.signed.order.id().to_string(),
        in_force: overlay.directives().iter().map(label).collect(),
        schema: "tieline/directive-applied/v1",
        signers: next.signed.signers.clone(),
        strangers: overlay.strangers(judge.targets(), &shared.registry.load()),
        took_us: shared.now().since(began).0,
        version: next.signed.order.version(),
    })
}

/// Why an order is not what was meant, among these versions of directives; none if it is. An amendment replaces what is in
/// force, and a directive that is new replaces nothing.
pub fn misfit(order: &Order, does: Does, rows: &[DirectiveRow]) -> Option<&'static str> {
    let is_in_force = rows
        .iter()
        .any(|row| row.revoked_us.is_none() && *row.id == **order.id());
    match (does, order, is_in_force) {
        (Does::Revoke, Order::Directive(_), _) => Some("this is a directive; a revocation ends one"),
        (Does::Apply | Does::Amend, Order::Revocation(_), _) => {
            Some("this is a revocation; `revoke` carries it out")
        }
        (Does::Apply, _, true) => Some("a version of this directive is in force; `amend` replaces it"),
        (Does::Amend, _, false) => Some("no version of this directive is in force; `apply` begins one"),
        _ => None,
    }
}

/// What a change of directives brings into force, compiled and numbered.
struct Ready {
    judge: Arc<Judge>,
    overlay: Overlay,
    /// The grid of the configuration in force.
    snapshot: Arc<tieline_core::Snapshot>,
}

impl Ready {
    fn new(
        shared: &Shared,
        state: &State,
        live: &Live,
        directives: &[SignedOrder],
    ) -> Result<Self, ApplyError> {
        let judge = live.judge.load_full();
        let registry = shared.registry.load_full();
        // Directives that cannot be laid take no number. One that is taken for a change that then fails, or that the
        // process does not live to make, stands for the same directives or for none.
        lay(0, directives, judge.epoch(), &registry)?;
        let digests: Vec<Digest> = directives.iter().map(|signed| signed.digest).collect();
        let (number, _) = state.epoch(&activation_digest(&live.packs_digest, &digests))?;
        Ok(Self {
            overlay: lay(number, directives, judge.epoch(), &registry)?,
            judge,
            snapshot: live.snapshot.clone(),
        })
    }

    fn when(&self, at: Tick) -> When {
        When {
            at,
            epoch: self.overlay.number(),
        }
    }

    /// What is in force is in the log first.
    fn tell<'a>(
        &self,
        recorder: &Recorder,
        directives: impl Iterator<Item = &'a SignedOrder>,
        now: Tick,
    ) -> Result<(), tieline_ledger::PushError> {
        archive(recorder, &self.overlay, directives)?;
        let grid = &self.snapshot.digest;
        reload::activated(recorder, grid, self.judge.epoch(), &self.overlay, now)
    }

    fn swap(self, live: &Live) -> (Arc<Overlay>, Arc<Judge>) {
        let overlay = Arc::new(self.overlay);
        let judge = Arc::new(self.judge.with_overlay(overlay.clone()));
        live.judge.store(judge.clone());
        (overlay, judge)
    }
}

/// An order that may be applied, and what is in force with it.
struct Next {
    directives: Vec<SignedOrder>,
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
        // What the state file says once the order is in it.
        let mut after = rows.to_vec();
        let done = match order {
            Order::Directive(_) => {
                after.push(row(&signed, now));
                if version.is_some() { "amend" } else { "apply" }
            }
            Order::Revocation(revocation) => {
                for row in after.iter_mut().filter(|row| *row.id == *revocation.id) {
                    row.revoked_us.get_or_insert(now.0);
                }
                "revoke"
            }
        };
        Ok(Self {
            directives: standing(&after, now)?,
            done,
            is_sealed: is_sealed(order, rows),
            signed,
        })
    }

    fn keep(&self, state: &State, now: Tick) -> Result<(), StateError> {
        match &self.signed.order {
            Order::Directive(_) => state.put_directive(&row(&self.signed, now)),
            Order::Revocation(revocation) => state.revoke_directive(&revocation.id, now.0).map(drop),
        }
    }

    fn tell(
        &self,
        ready: &Ready,
        shared: &Shared,
        admin: &Admin,
        now: Tick,
        id: &str,
    ) -> Result<(), tieline_ledger::PushError> {
        let recorder = &shared.recorder;
        ready.tell(recorder, self.directives.iter(), now)?;
        let is_told = !self.is_sealed;
        if is_told {
            recorder.archive_bytes(self.signed.text.as_bytes().to_vec())?;
        }
        let order = &self.signed.order;
        let body = Applied {
            admin: Some(&admin.id),
            digest: self.signed.digest,
            done: self.done,
            epoch: ready.overlay.number().unwrap_or_default(),
            id: is_told.then(|| &**order.id()),
            overlay: ready.overlay.digest().to_string(),
            signers: is_told.then_some(self.signed.signers.as_slice()),
            version: is_told.then(|| order.version()),
        };
        recorder.event(&Event {
            at: now,
            body,
            id,
            t: DIRECTIVE_V1,
        })
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
    archive(recorder, &overlay, directives.iter())
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
            // It waits for the ledger and for writes to sockets, as an order does.
            let came = tokio::task::spawn_blocking(move || {
                let renewed = renew(&shared);
                shared.orders.changed();
                renewed
            });
            if let Ok(Err(error)) = came.await {
                tracing::error!(
                    %error,
                    "the date of a directive has come, and verdicts keep to it; the ledger is told at the next activation"
                );
            }
        }
    }
}

/// Take out the directives that are over, if any is. Verdicts keep to dates by themselves; this says so in the ledger, and
/// makes room for others.
fn renew(shared: &Shared) -> Result<(), ApplyError> {
    let state = shared.state();
    let live = shared.live.load_full();
    let now = shared.now();
    let directives = standing(&state.directives()?, now)?;
    let before = live.judge.load_full();
    let stays = |one: &Directive| directives.iter().any(|signed| signed.digest == one.digest);
    let ended: Vec<Arc<Directive>> = (before.overlay().directives().iter())
        .filter(|one| !stays(one))
        .cloned()
        .collect();
    if ended.is_empty() {
        return Ok(());
    }
    let ready = Ready::new(shared, &state, &live, &directives)?;
    let tell = |(): &(), id: &str| {
        ready.tell(&shared.recorder, directives.iter(), now)?;
        for one in &ended {
            let is_told = one.disclosure != Disclosure::Sealed;
            let body = Applied {
                admin: None,
                digest: one.digest,
                done: "end",
                epoch: ready.overlay.number().unwrap_or_default(),
                id: is_told.then_some(&*one.id),
                overlay: ready.overlay.digest().to_string(),
                signers: None,
                version: is_told.then_some(one.version),
            };
            let t = DIRECTIVE_V1;
            shared.recorder.event(&Event { at: now, body, id, t })?;
        }
        Ok(true)
    };
    change::carry_out(shared, &state, ready.when(now), |_| Ok::<_, ApplyError>(()), tell)?;
    ready.swap(&live);
    Ok(())
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
    Ok(directives.iter().map(|signed| signed.digest).collect())
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
    directives: &[SignedOrder],
    epoch: &Epoch,
    registry: &Arc<Registry>,
) -> Result<Overlay, ApplyError> {
    let directives = directives.iter().filter_map(|signed| signed.directive().cloned());
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

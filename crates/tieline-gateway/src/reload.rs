//! Building a configuration in force from a checked one, and swapping it: check, then swap whole, or keep the old one and
//! say why. What decisions cite (grid, packs, epoch) is archived before anything is decided under it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tieline_core::{Snapshot, Tick};
use tieline_note::{jcs, sha256};
use tieline_policy::{Epoch, Judge, Overlay, Pack, PackProblem, Postures, Registry, Status, Targets};

use crate::config::{ChannelWiring, Loaded};
use crate::connector::Connector;
use crate::directives;
use crate::metrics::ReloadLabel;
use crate::recorder::{Event, Recorder};
use crate::run::apply_out;
use crate::shared::{Live, Names, Shared};
use crate::state::State;

/// What an activation entry says.
#[derive(Debug, Serialize)]
struct Activation {
    epoch: u64,
    epoch_record: String,
    grid: String,
    /// The record of the directives that are in force with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<String>,
    packs: Vec<String>,
}

/// What a configuration meets when it comes into force.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) now: Tick,
    pub(crate) recorder: &'a Recorder,
    pub(crate) registry: &'a Arc<Registry>,
    pub(crate) state: &'a State,
}

pub(crate) const ACTIVATION_V1: &str = "tieline/activation/v1";

/// Make a checked configuration ready, and archive what decisions under it will cite.
pub(crate) fn build(
    loaded: Loaded,
    postures: Arc<Postures>,
    standing: &Standing<'_>,
) -> Result<Live, String> {
    let Standing {
        now,
        recorder,
        registry,
        state,
    } = *standing;
    let record = jcs::to_vec(&*loaded.grid).map_err(|error| error.to_string())?;
    let digest = sha256(&record).0;
    let snapshot = Snapshot::build(loaded.grid, digest).map_err(|error| error.to_string())?;
    let wirings = in_grid_order(&snapshot, &loaded.channels)?;
    let connector = Connector::new(&wirings)?;
    adopted(state, &loaded.packs, &loaded.enforce)?;
    let packs_digest = epoch_digest(&loaded.packs, &loaded.enforce)?;
    let ordered = directives::digests(state, now).map_err(|error| error.to_string())?;
    let epoch_digest = directives::activation_digest(&packs_digest, &ordered);
    let packs: Vec<_> = loaded
        .packs
        .iter()
        .map(|pack| (pack.digest(), pack.archive().clone()))
        .collect();
    // Compile before the number is taken, so that a pack that fails takes none.
    Epoch::build(0, loaded.packs.clone(), &loaded.enforce).map_err(|problems| render(&problems))?;
    let (number, _) = state.epoch(&epoch_digest).map_err(|error| error.to_string())?;
    let epoch = Epoch::build(number, loaded.packs, &loaded.enforce).map_err(|problems| render(&problems))?;
    if !epoch.has_permit(now) {
        tracing::warn!(
            "no rule in force permits anything, so every call will be denied; name a pack with a permit under [policy], and \
             its status under `enforce`"
        );
    }
    let targets = Targets::of_grid(&snapshot, &loaded.end_uses).map_err(|error| error.to_string())?;
    let archive = |error: tieline_ledger::PushError| format!("cannot archive the configuration: {error}");
    recorder.archive_bytes(record).map_err(archive)?;
    for (_, pack) in &packs {
        recorder.archive(pack).map_err(archive)?;
    }
    recorder.archive(epoch.record()).map_err(archive)?;
    let judge = Judge::new(Arc::new(epoch), Arc::new(targets), postures);
    let judge = directives::lay_over(judge, number, state, registry, recorder, now)?;
    activated(recorder, &digest, judge.epoch(), judge.overlay(), now).map_err(archive)?;
    Ok(Live {
        connector,
        identity: loaded.identity,
        judge: ArcSwap::from_pointee(judge),
        names: Names::of(&snapshot),
        packs_digest,
        settings: loaded.settings,
        signers: loaded.signers,
        snapshot: Arc::new(snapshot),
        statement_keys: loaded.statement_keys,
        wirings,
    })
}

/// Log what is in force from here on, under the number that verdicts bear.
pub(crate) fn activated(
    recorder: &Recorder,
    grid: &[u8; 32],
    epoch: &Epoch,
    overlay: &Overlay,
    now: Tick,
) -> Result<(), tieline_ledger::PushError> {
    let number = overlay.number().unwrap_or(epoch.number());
    let body = Activation {
        epoch: number,
        epoch_record: epoch.digest().to_string(),
        grid: tieline_core::record::Hex32(*grid).to_string(),
        overlay: overlay.number().map(|_| overlay.digest().to_string()),
        packs: epoch
            .packs()
            .iter()
            .map(|pack| pack.digest().to_string())
            .collect(),
    };
    recorder.event(&Event {
        at: now,
        body,
        id: &number.to_string(),
        t: ACTIVATION_V1,
    })
}

/// Read the configuration again and swap it in. Listeners, threads and the ledger's settings stay as they were started.
pub(crate) fn reload(shared: &Shared) -> Result<(), String> {
    let result = reload_quietly(shared);
    let label = ReloadLabel {
        result: if result.is_ok() { "swapped" } else { "kept" },
    };
    shared.metrics.reloads.get_or_create(&label).inc();
    match &result {
        Ok(()) => tracing::info!("the configuration was reloaded"),
        Err(why) => tracing::error!(%why, "the configuration was not reloaded; the old one stays in force"),
    }
    result
}

fn reload_quietly(shared: &Shared) -> Result<(), String> {
    // The state lock makes this the only reload under way.
    let state = shared.state();
    let loaded = (shared.load)()?;
    // Before the activation is logged, after which nothing may fail.
    let outs = state.outs().map_err(|error| error.to_string())?;
    let before = shared.live.load_full();
    if let (Some(next), Some(before)) = (&loaded.identity, &before.identity) {
        next.carry(before);
    }
    let live = build(
        loaded,
        before.judge.load().postures().clone(),
        &Standing {
            now: shared.now(),
            recorder: &shared.recorder,
            registry: &shared.registry.load_full(),
            state: &state,
        },
    )?;
    let waiting = before.settings.waiting_for_start(&live.settings);
    {
        let mut board = shared.board();
        board.carry(live.snapshot.clone(), live.uncarried());
        // What the grid did not have for a while is as cut as it was.
        for out in &outs {
            apply_out(&mut board, out, true);
        }
        shared.live.store(Arc::new(live));
    }
    shared.orders.changed();
    shared.fetches.notify_one();
    if !waiting.is_empty() {
        tracing::warn!(
            settings = waiting.join(", "),
            "some changed settings take effect at the next start"
        );
    }
    Ok(())
}

/// Nothing enforces that no officer has adopted for a legal entity: by its digest, so that a changed pack is another one.
fn adopted(state: &State, packs: &[Pack], enforce: &[Status]) -> Result<(), String> {
    let adoptions = state.adoptions().map_err(|error| error.to_string())?;
    let enforcing = packs
        .iter()
        .filter(|pack| enforce.contains(&pack.manifest().status));
    let missing: Vec<String> = enforcing
        .filter(|pack| !adoptions.iter().any(|adoption| adoption.digest == pack.digest()))
        .map(|pack| {
            let manifest = pack.manifest();
            let earlier = adoptions.iter().any(|adoption| *adoption.pack == *manifest.id);
            let why = if earlier { "another text of it was adopted" } else { "nobody has adopted it" };
            format!(
                "the pack `{}` {} ({}) would enforce, and {why}; `tieline policy adopt FOLDER --officer NAME --entity NAME` \
                 adopts it",
                manifest.id,
                manifest.version,
                pack.digest()
            )
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("\n"))
    }
}

/// The wirings by channel index.
fn in_grid_order(snapshot: &Snapshot, wirings: &[ChannelWiring]) -> Result<Vec<ChannelWiring>, String> {
    let named = |name: &str| wirings.iter().find(|wiring| &*wiring.name == name).cloned();
    let ordered = snapshot.channels.iter().map(|channel| {
        named(&channel.name).ok_or_else(|| format!("channel `{}` has no endpoint", channel.name))
    });
    ordered.collect()
}

fn epoch_digest(packs: &[Pack], enforce: &[Status]) -> Result<[u8; 32], String> {
    let mut digests: Vec<String> = packs.iter().map(|pack| pack.digest().to_string()).collect();
    let mut enforce: Vec<&str> = enforce.iter().map(|status| status.name()).collect();
    digests.sort();
    enforce.sort_unstable();
    let bytes = jcs::to_vec(&(digests, enforce)).map_err(|error| error.to_string())?;
    Ok(sha256(&bytes).0)
}

pub(crate) fn render(problems: &[PackProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

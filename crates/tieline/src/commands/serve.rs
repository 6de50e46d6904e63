//! `tieline serve`, and what it shares with `up`: the runtime, logging, signals, the small files that say where it listens.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_gateway::{ChildControl, Gateway, Lock, StartError, State};
use tieline_ledger::LedgerError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::check::Checked;
use crate::check::checked::KeySource;
use crate::cli::{Cli, Listen, Serve};
use crate::folder::{self, Server};
use crate::output::{self, Failure, Result};
use crate::{load, up};

/// What serving needs, however it was started.
pub(super) struct Plan<'a> {
    pub(super) checked: &'a Checked,
    pub(super) children: Option<Arc<dyn ChildControl>>,
    pub(super) config: PathBuf,
    pub(super) dir: &'a Path,
    pub(super) listen: &'a Listen,
    pub(super) lock: Lock,
}

pub(super) fn run(cli: &Cli, args: &Serve) -> Result<u8> {
    let config = args.config.clone().unwrap_or_else(|| folder::config(&cli.dir));
    let checked = load::checked(&config)?;
    folder::make(&cli.dir)?;
    let lock = Lock::take(&cli.dir).map_err(|error| Failure::input(error.to_string()))?;
    log_to_stderr(&checked);
    {
        let state = State::open(&cli.dir).map_err(|error| Failure::input(error.to_string()))?;
        let party = folder::organisation("first party", "tieline serve", now_us(), Vec::new())?;
        folder::ensure_keys(&cli.dir, &state, &party, now_us())?;
    }
    runtime(checked.gateway.threads)?.block_on(async {
        let plan = Plan {
            checked: &checked,
            children: None,
            config,
            dir: &cli.dir,
            listen: &args.listen,
            lock,
        };
        serve(plan, |server| async move {
            output::progress(format!(
                "serving on {}, admin on {}",
                server.gateway, server.admin
            ));
            Vec::new()
        })
        .await
    })
}

/// Serve until a signal; `ready` runs once when the listeners are up and gives the supervised channels for the ready file.
pub(super) async fn serve<F, W>(plan: Plan<'_>, ready: F) -> Result<u8>
where
    F: FnOnce(Server) -> W,
    W: Future<Output = Vec<up::ready::ReadyChannel>>,
{
    let (listen, admin) = (plan.listen.public, plan.listen.admin);
    let config = plan.config.clone();
    let gateway = Gateway {
        children: plan.children,
        dir: plan.dir.to_owned(),
        load: Box::new(move || {
            let mut loaded = load::load(&config)?;
            loaded.settings.listen = listen.unwrap_or(loaded.settings.listen);
            if let Some(admin) = admin {
                loaded.settings.admin = admin;
                loaded.settings.admin_is_tls = is_private(admin, loaded.settings.tls.is_some())?;
            }
            Ok(loaded)
        }),
        lock: plan.lock,
        watched: watched(&plan.config, plan.checked),
    };
    // Signals are taken before the ready file says that anybody may send one.
    let failed = |error: std::io::Error| Failure::found(format!("cannot wait for signals: {error}"));
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt()).map_err(failed)?,
        signal(SignalKind::terminate()).map_err(failed)?,
    );
    // Before anything serves: a ready file without its key would be a failure with a server running.
    let admin_key = match &plan.listen.ready_file {
        Some(_) => folder::admin_key(plan.dir)?,
        None => String::new(),
    };
    let started = gateway.start().await.map_err(|error| cannot_start(&error))?;
    let server = || Server {
        admin: url(started.admin, started.admin_pin.is_some()),
        admin_certificate: started.admin_pin,
        gateway: url(started.listen, started.listen_is_tls),
        pid: std::process::id(),
    };
    folder::write_server(plan.dir, &server())?;
    let channels = ready(server()).await;
    if let Some(path) = &plan.listen.ready_file {
        let ready = up::ready::ReadyFile {
            admin: server().admin,
            admin_key,
            channels,
            gateway: server().gateway,
            key: folder::party_key(plan.dir).unwrap_or_default(),
        };
        up::ready::write(path, &ready)
            .map_err(|error| Failure::found(format!("cannot write {}: {error}", path.display())))?;
    }
    signalled(&mut interrupt, &mut terminate).await;
    output::progress(
        "draining: calls in flight may end, then the ledger is closed; a second signal cuts them off",
    );
    let enough = async {
        signalled(&mut interrupt, &mut terminate).await;
        output::progress("second signal: calls in flight are cut off, and the ledger is closed");
    };
    let stopped = started.stop_until(enough).await;
    folder::remove_server(plan.dir);
    stopped.map_err(|error| Failure::found(error.to_string()))?;
    Ok(0)
}

fn url(address: SocketAddr, is_tls: bool) -> String {
    format!("{}://{address}", if is_tls { "https" } else { "http" })
}

/// Whether the admin listener at `admin` speaks TLS; an error where admin keys would cross a network in clear text.
fn is_private(admin: SocketAddr, has_tls: bool) -> std::result::Result<bool, String> {
    match (admin.ip().is_loopback(), has_tls) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err(format!(
            "the admin listener at {admin} would be open to other machines without TLS, and admin keys cross the \
             network in clear text; listen on 127.0.0.1, or set `tls` under `[gateway]`"
        )),
    }
}

fn cannot_start(error: &StartError) -> Failure {
    let failure = Failure::input(error.to_string());
    match error {
        // It may hold a rendered report, with its colours.
        StartError::Config(report) => Failure::report(format!("error: {report}")),
        StartError::Ledger(LedgerError::NotLedger { .. }) => failure.with_hint(
            "give another state folder with --dir, or restore the whole folder from one backup; where nothing of it is \
             worth keeping, move ledger.db and checkpoint.last away, and a new ledger is begun",
        ),
        _ => failure,
    }
}

/// Wait for a signal that asks for an end.
async fn signalled(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The configuration, every file of its packs, every key set and the database of countries, as they stand at the start: a
/// change of any of them means a reload.
fn watched(config: &Path, checked: &Checked) -> Vec<PathBuf> {
    let packs = checked.policy.packs.iter();
    let files = packs.filter_map(|folder| std::fs::read_dir(folder).ok());
    let files = files.flatten().flatten().map(|entry| entry.path());
    let sets = checked.identity.iter().filter_map(|issuer| match &issuer.jwks {
        KeySource::File(path) => Some(path.clone()),
        KeySource::Url(_) => None,
    });
    std::iter::once(config.to_owned())
        .chain(files)
        .chain(sets)
        .chain(checked.geoip.iter().map(|geoip| geoip.database.clone()))
        .collect()
}

pub(super) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = if threads == 1 {
        // One thread needs no work stealing, and a call then never crosses threads.
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::found(format!("cannot start threads: {error}")))
}

/// Structured logs on standard error, as the configuration says; `RUST_LOG` goes first.
pub(super) fn log_to_stderr(checked: &Checked) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(checked.log.level));
    let builder = tracing_subscriber::fmt()
        .with_ansi(output::is_colored())
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _ = if checked.log.is_json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
}

pub(super) fn now_us() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0)
}

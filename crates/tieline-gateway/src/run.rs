//! Start to stop: take the state folder, open the ledger and close what a crash left open, build the configuration, bind
//! the listeners, serve, reload on SIGHUP and on file change, drain, close.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tieline_core::record::OutcomeEntry;
use tieline_core::{Board, CallId};
use tieline_ledger::{Index, LedgerError, Log, Writer, WriterConfig};
use tieline_note::Digest;
use tieline_policy::Postures;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::config::{GatewaySettings, Load, Loaded, OnFull};
use crate::members::{self, MemberError};
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::recorder::{Event, Recorder};
use crate::shared::{ChildControl, Entropy, Shared};
use crate::state::{BegunRow, Lock, OutRow, State, StateError};
use crate::streams::Streams;
use crate::{admin, change, directives, holds, identity, recount, reload, serve, tls};

/// A gateway that is being put together.
pub struct Gateway {
    pub children: Option<Arc<dyn ChildControl>>,
    pub dir: PathBuf,
    pub load: Load,
    pub lock: Lock,
    /// Files whose change means a reload.
    pub watched: Vec<PathBuf>,
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Started {
    pub admin: SocketAddr,
    /// SHA-256 of the certificate that the admin listener shows, if it speaks TLS.
    pub admin_pin: Option<Digest>,
    pub listen: SocketAddr,
    /// Whether `listen` speaks TLS.
    pub listen_is_tls: bool,
    /// Tells the public listener to wait no longer for calls to end.
    cut: watch::Sender<bool>,
    public: JoinHandle<()>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(String),
    #[error("cannot listen on {address}: {source}; {hint}")]
    Listen {
        address: SocketAddr,
        hint: &'static str,
        source: std::io::Error,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("cannot write to the ledger: {0}")]
    Push(#[from] tieline_ledger::PushError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the operating system gives no randomness: {0}")]
    Entropy(getrandom::Error),
    #[error("cannot listen for signals: {0}")]
    Signal(std::io::Error),
}

impl From<MemberError> for StartError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::State(error) => Self::State(error),
            MemberError::Posture { .. } => Self::Config(error.to_string()),
        }
    }
}

/// How often watched files are looked at. A poll costs a `stat`; a file system without notifications is no exception.
const WATCH: Duration = Duration::from_secs(1);

/// How long entries that nobody waits for gather before a commit: a loss window of 10 ms at a crash, for 100 commits a
/// second at most instead of one for each call.
const LINGER: Duration = Duration::from_millis(10);

/// Bytes of entries that may wait for the writer.
const QUEUE_BYTES_MAX: usize = 16 << 20;

impl Gateway {
    /// Start serving. Must be called within a tokio runtime.
    pub async fn start(mut self) -> Result<Started, StartError> {
        let clock = Clock::start();
        // What changes from here on is not in what is loaded.
        let watched = Watched::new(std::mem::take(&mut self.watched));
        let loaded = (self.load)().map_err(StartError::Config)?;
        let settings = loaded.settings.clone();
        let (listen, admin) = (bind(settings.listen).await?, bind(settings.admin).await?);
        let (acceptor, admin_acceptor) = acceptors(&settings).map_err(StartError::Config)?;
        let files = settings.tls.as_ref().filter(|_| settings.admin_is_tls);
        let admin_pin = files.map(tls::pin).transpose().map_err(StartError::Config)?;
        let shared = self.open(loaded, clock)?;
        note(&shared, "tieline/start/v1")?;
        let (stop, stopped) = watch::channel(false);
        let (cut, is_cut) = watch::channel(false);
        let addresses = (
            address(&listen, settings.listen)?,
            address(&admin, settings.admin)?,
        );
        let until = serve::Until {
            cut: is_cut,
            stop: stopped.clone(),
        };
        // Heard from before anybody is told that this process serves: until then a hangup ends it.
        let hangup = signal(SignalKind::hangup()).map_err(StartError::Signal)?;
        let public = tokio::spawn(serve::public(shared.clone(), listen, acceptor, until));
        let tasks = vec![
            tokio::spawn(admin::serve(
                shared.clone(),
                admin,
                admin_acceptor,
                stopped.clone(),
            )),
            tokio::spawn(watch_files(shared.clone(), watched, hangup, stopped.clone())),
            tokio::spawn(write_uses(shared.clone(), stopped.clone())),
            tokio::spawn(holds::write(shared.clone(), stopped.clone())),
            tokio::spawn(identity::keep(shared.clone(), stopped.clone())),
            tokio::spawn(directives::keep_dates(shared.clone(), stopped)),
        ];
        Ok(Started {
            admin: addresses.1,
            admin_pin,
            cut,
            listen: addresses.0,
            listen_is_tls: settings.tls.is_some(),
            public,
            shared,
            stop,
            tasks,
        })
    }

    /// Everything that the listeners share: the state folder, the ledger, the configuration in force.
    fn open(self, loaded: Loaded, clock: Clock) -> Result<Arc<Shared>, StartError> {
        let state = State::open(&self.dir)?;
        let begun = state.begun_changes()?;
        let recorder = open_ledger(&self.dir, &loaded.settings, clock, &begun)?;
        for change in &begun {
            state.end_change(&change.id)?;
        }
        let postures = Arc::new(Postures::new());
        let registry = Arc::new(state.registry(clock.now())?);
        let keys = members::read_keys(&state, &registry, &postures, None)?;
        let meter = Meter::new(registry.terms(), &state.licence_uses()?);
        let standing = reload::Standing {
            now: clock.now(),
            recorder: &recorder,
            registry: &registry,
            state: &state,
        };
        let live = reload::build(loaded, postures, &standing).map_err(StartError::Config)?;
        let mut board = Board::new(live.snapshot.clone(), live.uncarried());
        let payers = recount::Known::new(&state, &live.snapshot)?;
        recount::recount(&self.dir, &payers, &mut board.desk, clock.now())?;
        for out in state.outs()? {
            apply_out(&mut board, &out, true);
        }
        Ok(Arc::new(Shared {
            affinity: std::hash::RandomState::new(),
            board: board.into(),
            calls: AtomicUsize::new(0),
            children: self.children,
            clock,
            dir: self.dir,
            draining: AtomicBool::new(false),
            entropy: Entropy::from_os().map_err(StartError::Entropy)?,
            facts: AtomicU64::default(),
            fetches: Notify::new(),
            holds: holds::Holds::default(),
            keys: ArcSwap::from_pointee(keys),
            live: ArcSwap::from_pointee(live),
            load: self.load,
            meter: Arc::new(meter),
            metrics: Metrics::new(),
            orders: Arc::default(),
            recorder,
            registry: ArcSwap::new(registry),
            state: state.into(),
            streams: Streams::default(),
            _lock: self.lock,
        }))
    }
}

/// What ends TLS on the public and on the admin listener.
fn acceptors(settings: &GatewaySettings) -> Result<(Option<TlsAcceptor>, Option<TlsAcceptor>), String> {
    let Some(files) = &settings.tls else {
        return Ok((None, None));
    };
    let acceptor = |config| TlsAcceptor::from(Arc::new(config));
    let admin = (settings.admin_is_tls)
        .then(|| tls::admin_config(files))
        .transpose()?;
    Ok((Some(acceptor(tls::server_config(files)?)), admin.map(acceptor)))
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Started {
    /// Read the configuration again.
    pub fn reload(&self) -> Result<(), String> {
        reload::reload(&self.shared)
    }

    /// Stop accepting, let calls end within the configured time, close the ledger.
    pub async fn stop(self) -> Result<(), StartError> {
        self.stop_until(std::future::pending()).await
    }

    /// As [`Started::stop`], but once `enough` has come, calls still in flight are cut off and closed in the ledger at
    /// once.
    pub async fn stop_until(mut self, enough: impl Future<Output = ()>) -> Result<(), StartError> {
        self.shared
            .draining
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.stop.send(true);
        let limit = Duration::from_millis(self.shared.live.load().settings.drain_ms);
        let ended = async {
            // The public listener keeps to its own limit, after which no call is in flight; the rest gets as long.
            let _ = (&mut self.public).await;
            for task in &mut self.tasks {
                let _ = tokio::time::timeout(limit, task).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = enough => {
                let _ = self.cut.send(true);
                if !self.public.is_finished() {
                    let _ = self.public.await;
                }
            }
        }
        for task in self.tasks {
            task.abort();
        }
        put_uses(&self.shared).await;
        holds::flush(&self.shared).await;
        note(&self.shared, "tieline/stop/v1")?;
        let shared = self.shared;
        let closed = tokio::task::spawn_blocking(move || shared.recorder.close()).await;
        closed.unwrap_or(Ok(())).map_err(StartError::Ledger)
    }
}

/// An entry that the service started or stopped.
fn note(shared: &Shared, t: &str) -> Result<(), tieline_ledger::PushError> {
    #[derive(Serialize)]
    struct Body {
        version: &'static str,
    }
    let now = shared.now();
    let (id, _) = shared.new_call(now);
    let body = Body {
        version: env!("CARGO_PKG_VERSION"),
    };
    shared.recorder.event(&Event {
        at: now,
        body,
        id: &id.to_string(),
        t,
    })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| {
        let hint = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has the port: stop it, or choose another port (0 picks one)"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose another port",
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "check the address",
        };
        StartError::Listen {
            address,
            hint,
            source,
        }
    })
}

fn address(listener: &TcpListener, wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    let hint = "the listener has no address";
    listener.local_addr().map_err(|source| StartError::Listen {
        address: wanted,
        hint,
        source,
    })
}

/// Open the ledger, close the calls that a crash left open, and take back the changes that were begun and never made.
fn open_ledger(
    dir: &Path,
    settings: &GatewaySettings,
    clock: Clock,
    begun: &[BegunRow],
) -> Result<Recorder, StartError> {
    let origin = &settings.ledger.origin;
    let signer = if let Some(signer) = tieline_ledger::load_key(dir)? {
        signer
    } else {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(StartError::Entropy)?;
        tieline_ledger::create_key(dir, origin, &seed)?
    };
    let log = Log::open(dir, origin, signer)?;
    let mut index = Index::open(dir)?;
    index.catch_up(log.reader())?;
    let open = index.undecided()?;
    let told = change::told(begun, &index, log.reader())?;
    let config = WriterConfig {
        linger: LINGER,
        on_full: match settings.ledger.on_full {
            OnFull::Gap => tieline_ledger::OnFull::Gap,
            OnFull::Refuse => tieline_ledger::OnFull::Refuse,
        },
        queue_bytes_max: QUEUE_BYTES_MAX,
        queue_entries_max: settings.ledger.queue_entries_max,
    };
    let recorder = Recorder::new(Writer::spawn(log, config, move || clock.now().0)?);
    for call in open {
        if let Ok(id) = call.id.parse::<CallId>() {
            recorder.outcome(&OutcomeEntry::lost(id, clock.now()));
        }
    }
    change::settle(&recorder, &told, clock.now())?;
    // However many were owed, the queue is empty for what follows.
    recorder.flush()?;
    Ok(recorder)
}

/// Apply a cut or its end to the fleet; false if the grid does not have the name.
pub(crate) fn apply_out(board: &mut Board, out: &OutRow, is_out: bool) -> bool {
    let known = if out.kind == "channel" {
        let Some(ix) = board.snapshot.channel_named(&out.name) else {
            return false;
        };
        if is_out {
            board.fleet.cut_channel(ix);
        } else {
            board.fleet.restore_channel(ix);
        }
        true
    } else {
        let Some(ix) = board.snapshot.component_named(&out.name) else {
            return false;
        };
        if is_out {
            board.fleet.cut_component(ix);
        } else {
            board.fleet.restore_component(ix);
        }
        true
    };
    board.hold_out_uncarried();
    known
}

/// Write what calls use of counted licences, as soon as they do.
async fn write_uses(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        let goes_on = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => false,
            () = shared.meter.changed() => true,
        };
        if !goes_on {
            return;
        }
        put_uses(&shared).await;
    }
}

/// What cannot be written stays due, and is written with the next unit or at the stop.
async fn put_uses(shared: &Arc<Shared>) {
    let shared = shared.clone();
    let put = move || {
        for (id, used) in shared.meter.unwritten() {
            match shared.state().put_licence_use(&id, used) {
                Ok(()) => shared.meter.written(&id, used),
                Err(why) => {
                    tracing::error!(licence = &*id, %why, "what was used of a licence was not written");
                }
            }
        }
    };
    let _ = tokio::task::spawn_blocking(put).await;
}

/// Reload on SIGHUP, and when a watched file's time or size changes.
async fn watch_files(
    shared: Arc<Shared>,
    mut files: Watched,
    mut hangup: Signal,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(WATCH);
    loop {
        let changed = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = hangup.recv() => true,
            _ = ticks.tick() => {
                shared.live.load().connector.sweep();
                shared.streams.sweep(shared.now());
                false
            }
        };
        if files.have_changed() | changed {
            let shared = shared.clone();
            let _ = tokio::task::spawn_blocking(move || reload::reload(&shared)).await;
        }
    }
}

/// Files, and what they were when they were last read.
struct Watched {
    files: Vec<PathBuf>,
    stamps: Vec<Option<(std::time::SystemTime, u64)>>,
}

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        let stamps = files.iter().map(|file| file_stamp(file)).collect();
        Self { files, stamps }
    }

    fn have_changed(&mut self) -> bool {
        let before = std::mem::replace(
            &mut self.stamps,
            self.files.iter().map(|file| file_stamp(file)).collect(),
        );
        before != self.stamps
    }
}

fn file_stamp(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

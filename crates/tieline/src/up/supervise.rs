//! The supervised model servers: each a child process with a loopback port of its own that it keeps for life.
//!
//! One task owns one child. It starts it, asks its health until it is ready, restarts it with growing pauses when it
//! dies unasked or hangs, stops it when its channel is cut, and starts it again when the channel is restored. Commands
//! reach the task through a queue of [`COMMANDS_MAX`]; its state is published and never waits for anybody.
//! No orphans: a child holds the reading end of a pipe whose other end is ours, and ends when the pipe does, even if
//! this process is killed. No zombies: whoever starts a child waits for it.
//! Bounds: [`CHILDREN_MAX`] children; the output of each goes to a [`LogFile`].

use std::{
    ffi::OsString,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::log_file::{self, LogFile};
use child::Keeper;

mod child;

/// How to start a server. In `args`, `{port}` stands for the port that it shall listen on at 127.0.0.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Path that answers 200 as soon as the server can serve.
    pub(crate) health: String,
    /// Whether the program takes no notice of the end of its standard input, so that a shell has to, on its behalf.
    pub(crate) guarded: bool,
}

/// What a child is doing, for people and for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ChildStatus {
    pub(crate) name: String,
    /// `http://127.0.0.1:PORT`; the same for as long as the supervisor lives.
    pub(crate) url: String,
    pub(crate) pid: Option<u32>,
    #[serde(flatten)]
    pub(crate) state: ChildState,
}

/// Down lasts until the restarted server is ready again, so a `pid` may be there already.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum ChildState {
    /// Started, not ready yet.
    Starting,
    /// Answers on its port.
    Ready,
    /// Died or hung unasked.
    Down {
        #[serde(serialize_with = "rfc3339")]
        since: Timestamp,
        /// Starts after the first, since it was put in.
        restarts: u32,
        /// How it ended, such as `signal 9`.
        last_exit: String,
    },
    /// Stopped on purpose.
    Cut,
}

/// Why the supervisor could not do as asked.
#[derive(Debug, Error)]
pub(crate) enum SuperviseError {
    #[error("no server is called {0}")]
    Unknown(String),
    #[error(
        "{0:?} cannot be the name of a server: a-z, 0-9 and - only, at most {NAME_BYTES_MAX} of them, each name once"
    )]
    Name(String),
    #[error("at most {CHILDREN_MAX} servers can be supervised")]
    Full,
    #[error("port {port} of 127.0.0.1 cannot be used: {source}")]
    Port { port: u16, source: io::Error },
    #[error("the log {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("{name} is not ready: {reason}; the end of {}:\n{tail}", log.display())]
    NotReady {
        name: String,
        reason: String,
        log: PathBuf,
        tail: String,
    },
    #[error("the supervisor has been shut down")]
    Closed,
}

/// How long things may take; the defaults are for a model of some hundred MB on two busy cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From start to ready; then the child counts as hung.
    pub(crate) ready: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) stop: Duration,
    /// First pause before a restart; each further one is twice as long…
    pub(crate) pause_min: Duration,
    /// …up to this.
    pub(crate) pause_max: Duration,
    /// A child that was ready for so long begins with the first pause again.
    pub(crate) settled: Duration,
    /// Between two questions for the health of a child that is not ready.
    pub(crate) ask_starting: Duration,
    /// Between two questions for the health of a child that is ready.
    pub(crate) ask_ready: Duration,
    /// No healthy answer for so long means hung.
    pub(crate) hung: Duration,
    /// Size at which a log is turned over; twice as much is on disk.
    pub(crate) log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready: Duration::from_mins(2),
            stop: Duration::from_secs(5),
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(15),
            settled: Duration::from_secs(30),
            ask_starting: Duration::from_millis(50),
            ask_ready: Duration::from_secs(5),
            hung: Duration::from_mins(1),
            log_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Owns the children. Dropping it, or the runtime, kills them without ceremony; [`Supervisor::shutdown`] is gentler.
#[derive(Debug)]
pub(crate) struct Supervisor {
    folder: PathBuf,
    limits: Limits,
    children: Mutex<Vec<Handle>>,
}

#[derive(Debug)]
struct Handle {
    name: String,
    port: u16,
    log: PathBuf,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<ChildStatus>,
    task: JoinHandle<()>,
}

/// What a child's task may be told; the reply says that it is done.
#[derive(Debug)]
enum Command {
    Cut(oneshot::Sender<()>),
    Restore(oneshot::Sender<()>),
    Quit(oneshot::Sender<()>),
}

// === impl Supervisor ===

impl Supervisor {
    /// `folder` is where the logs go, as `NAME.log`; it must exist.
    pub(crate) fn new(folder: &Path, limits: Limits) -> Self {
        Self {
            folder: folder.to_path_buf(),
            limits,
            children: Mutex::default(),
        }
    }

    /// Begins to care for a server and returns its URL at once; it is ready later. `port` is the port that it had
    /// before, if it had one; nothing picks a free one. Must be called within a tokio runtime.
    pub(crate) fn start(
        &self,
        name: &str,
        launch: Launch,
        port: Option<u16>,
    ) -> Result<String, SuperviseError> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if !name_fits(name) || children.iter().any(|child| child.name == name) {
            return Err(SuperviseError::Name(name.to_owned()));
        }
        if children.len() >= CHILDREN_MAX {
            return Err(SuperviseError::Full);
        }
        let port = pick_port(port, &children)?;
        let log = self.folder.join(format!("{name}.log"));
        let file = LogFile::open(&log, self.limits.log_bytes);
        let file = file.map_err(|source| SuperviseError::Log {
            path: log.clone(),
            source,
        })?;
        let url = format!("http://127.0.0.1:{port}");
        let first = ChildStatus {
            name: name.to_owned(),
            url: url.clone(),
            pid: None,
            state: ChildState::Starting,
        };
        let (publish, status) = watch::channel(first);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let keeper = Keeper::new(
            launch,
            port,
            self.limits,
            Arc::new(Mutex::new(file)),
            publish,
            inbox,
        );
        let task = tokio::spawn(keeper.run());
        children.push(Handle {
            name: name.to_owned(),
            port,
            log,
            commands,
            status,
            task,
        });
        Ok(url)
    }

    /// Stops the server and leaves it stopped until [`Supervisor::restore`]; returns when it has ended.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), SuperviseError> {
        self.tell(name, Command::Cut).await
    }

    /// Starts a stopped server again, on its port; returns when it is starting, not when it is ready. A server that
    /// runs is left alone; one that waits to be restarted is started at once.
    pub(crate) async fn restore(&self, name: &str) -> Result<(), SuperviseError> {
        self.tell(name, Command::Restore).await
    }

    /// What every server is doing, in the order in which they were started.
    pub(crate) fn status(&self) -> Vec<ChildStatus> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children
            .iter()
            .map(|child| child.status.borrow().clone())
            .collect()
    }

    /// The state of one server and each change of it.
    pub(crate) fn watch(&self, name: &str) -> Result<watch::Receiver<ChildStatus>, SuperviseError> {
        self.with(name, |child| child.status.clone())
    }

    /// Waits until every server is ready; an error if one is cut, has died [`DEATHS_MAX`] times, or `limit` has passed.
    pub(crate) async fn all_ready(&self, limit: Duration) -> Result<(), SuperviseError> {
        let deadline = Instant::now() + limit;
        for status in self.status() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.settled(&status.name, left, DEATHS_MAX).await?;
        }
        Ok(())
    }

    /// Waits until a server is ready; an error if it is cut, dies [`DEATHS_MAX`] times from here on, or `limit` has
    /// passed.
    pub(crate) async fn ready(&self, name: &str, limit: Duration) -> Result<(), SuperviseError> {
        let before = match self.watch(name)?.borrow().state {
            ChildState::Down { restarts, .. } => restarts,
            _ => 0,
        };
        self.settled(name, limit, before.saturating_add(DEATHS_MAX)).await
    }

    async fn settled(&self, name: &str, limit: Duration, deaths_max: u32) -> Result<(), SuperviseError> {
        let mut changes = self.watch(name)?;
        let settled = changes.wait_for(|status| match &status.state {
            ChildState::Ready | ChildState::Cut => true,
            ChildState::Down { restarts, .. } => *restarts >= deaths_max,
            ChildState::Starting => false,
        });
        let reason = match tokio::time::timeout(limit, settled).await {
            Err(_) => format!("it has not become ready within {} s", limit.as_secs_f32()),
            Ok(Err(_)) => return Err(SuperviseError::Closed),
            Ok(Ok(status)) => match &status.state {
                ChildState::Down {
                    last_exit, restarts, ..
                } => {
                    format!("it has ended {restarts} times, at last with {last_exit}")
                }
                ChildState::Cut => "it is cut".to_owned(),
                ChildState::Ready | ChildState::Starting => return Ok(()),
            },
        };
        let log = self.with(name, |child| child.log.clone())?;
        let tail = log_file::tail(&log, TAIL_LINES);
        Err(SuperviseError::NotReady {
            name: name.to_owned(),
            reason,
            log,
            tail,
        })
    }

    /// Stops all servers, side by side, and waits until the last has ended. Later commands answer `Closed`.
    pub(crate) async fn shutdown(&self) {
        let (senders, tasks) = {
            let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
            let senders: Vec<_> = children.iter().map(|child| child.commands.clone()).collect();
            let spent = || tokio::spawn(async {});
            let tasks: Vec<_> = children
                .iter_mut()
                .map(|child| std::mem::replace(&mut child.task, spent()))
                .collect();
            (senders, tasks)
        };
        for sender in senders {
            let (reply, _) = oneshot::channel();
            // A task that has ended already has no child either.
            let _told = sender.send(Command::Quit(reply)).await;
        }
        for task in tasks {
            let _ended = task.await;
        }
    }

    async fn tell(
        &self,
        name: &str,
        command: fn(oneshot::Sender<()>) -> Command,
    ) -> Result<(), SuperviseError> {
        let sender = self.with(name, |child| child.commands.clone())?;
        let (reply, done) = oneshot::channel();
        sender
            .send(command(reply))
            .await
            .map_err(|_| SuperviseError::Closed)?;
        done.await.map_err(|_| SuperviseError::Closed)
    }

    fn with<T>(&self, name: &str, take: impl FnOnce(&Handle) -> T) -> Result<T, SuperviseError> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = children.iter().find(|child| child.name == name);
        child
            .map(take)
            .ok_or_else(|| SuperviseError::Unknown(name.to_owned()))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for child in self.children.get_mut().unwrap_or_else(PoisonError::into_inner) {
            child.task.abort();
        }
    }
}

/// A name is a file name, a channel name and a word on a command line.
fn name_fits(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) && !name.starts_with('-')
}

/// Checks that the port is free, or picks one that is and that no other child has.
fn pick_port(wanted: Option<u16>, children: &[Handle]) -> Result<u16, SuperviseError> {
    let taken = |port: u16| children.iter().any(|child| child.port == port);
    let wanted = wanted.unwrap_or(0);
    let failed = |source| SuperviseError::Port { port: wanted, source };
    for _ in 0..PICKS_MAX {
        let port = TcpListener::bind(("127.0.0.1", wanted)).and_then(|listener| listener.local_addr());
        let port = port.map_err(failed)?.port();
        if !taken(port) {
            return Ok(port);
        }
    }
    Err(failed(io::ErrorKind::AddrInUse.into()))
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// Two channels for a demonstration, and room for who wants to try more; each may be a process of 350 MB.
const CHILDREN_MAX: usize = 16;
/// Commands come from people and from tests, one at a time.
const COMMANDS_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 64;
/// A free port is another child's only while that child is down; sixteen of those would be odd.
const PICKS_MAX: usize = CHILDREN_MAX * 2;
/// A server that dies so often before it is ever ready will not become ready.
const DEATHS_MAX: u32 = 3;
const TAIL_LINES: usize = 12;

#[cfg(test)]
mod tests;

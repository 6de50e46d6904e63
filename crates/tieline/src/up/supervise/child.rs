//! The task that keeps one child: start, watch, restart, stop.
//!
//! Contract: publishes every change of state; answers every command; when it ends, the child has ended and was waited
//! for. A child leads a process group of its own, so that Ctrl-C in a terminal reaches only us, and we decide when.

use std::{
    ffi::{OsStr, OsString},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Child,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{ChildState, ChildStatus, Command, Launch, Limits};
use crate::up::{log_file::LogFile, probe};

type SharedLog = Arc<Mutex<LogFile>>;

#[derive(Debug)]
pub(super) struct Keeper {
    launch: Launch,
    port: u16,
    limits: Limits,
    log: SharedLog,
    status: watch::Sender<ChildStatus>,
    commands: mpsc::Receiver<Command>,
    starts: u32,
    pause: Duration,
}

/// What the task does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Start,
    Pause,
    StayCut,
    Quit,
}

/// Why a child is no longer watched.
enum Event {
    Ready,
    Ended(String),
    Hung(&'static str),
    Told(Command),
    /// Nobody is left who could tell anything.
    Alone,
}

impl Keeper {
    pub(super) fn new(
        launch: Launch,
        port: u16,
        limits: Limits,
        log: SharedLog,
        status: watch::Sender<ChildStatus>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            launch,
            port,
            limits,
            log,
            status,
            commands,
            starts: 0,
            pause: limits.pause_min,
        }
    }

    pub(super) async fn run(mut self) {
        let mut next = Next::Start;
        while next != Next::Quit {
            next = match next {
                Next::Start => self.start().await,
                Next::Pause => self.rest().await,
                Next::StayCut | Next::Quit => self.stay_cut().await,
            };
        }
    }

    /// One life of the child.
    async fn start(&mut self) -> Next {
        self.starts = self.starts.saturating_add(1);
        match spawn(&self.launch, self.port) {
            Ok(mut child) => {
                let pumps = self.pump(&mut child);
                // Waiting for a child closes its standard input first, if it can find it; ours stays open.
                let lifeline = child.stdin.take();
                self.publish(child.id(), None);
                let next = self.watch(&mut child).await;
                drop(lifeline);
                finish(pumps).await;
                next
            }
            Err(error) => {
                self.down(format!("no start: {}: {error}", self.launch.program.display()));
                Next::Pause
            }
        }
    }

    async fn watch(&mut self, child: &mut Child) -> Next {
        let started = Instant::now();
        let mut ready_since = None;
        loop {
            match self.event(child, started, ready_since.is_some()).await {
                Event::Ready => {
                    ready_since = Some(Instant::now());
                    self.publish(child.id(), Some(ChildState::Ready));
                }
                Event::Ended(how) => {
                    self.settle(ready_since);
                    self.down(how);
                    return Next::Pause;
                }
                Event::Hung(what) => {
                    let how = end(child, Duration::ZERO).await;
                    self.settle(ready_since);
                    self.down(format!("{what}, so it was killed ({how})"));
                    return Next::Pause;
                }
                Event::Told(Command::Restore(reply)) => {
                    let _heard = reply.send(());
                }
                Event::Told(Command::Cut(reply)) => {
                    end(child, self.limits.stop).await;
                    self.publish(None, Some(ChildState::Cut));
                    let _heard = reply.send(());
                    return Next::StayCut;
                }
                Event::Told(Command::Quit(reply)) => {
                    end(child, self.limits.stop).await;
                    self.publish(None, Some(ChildState::Cut));
                    let _heard = reply.send(());
                    return Next::Quit;
                }
                Event::Alone => {
                    end(child, self.limits.stop).await;
                    return Next::Quit;
                }
            }
        }
    }

    /// The next thing that happens to a running child. The question for its health begins anew after a command, which
    /// costs nothing but time.
    async fn event(&mut self, child: &mut Child, started: Instant, ready: bool) -> Event {
        let url = format!("http://127.0.0.1:{}{}", self.port, self.launch.health);
        let limits = self.limits;
        tokio::select! {
            // A child that has ended is not ready, even if somebody else answers on its port.
            biased;
            exit = child.wait() => Event::Ended(exit.map_or_else(|error| error.to_string(), describe)),
            command = self.commands.recv() => command.map_or(Event::Alone, Event::Told),
            healthy = timeout_at(started + limits.ready, healthy(&url, &limits)), if !ready => match healthy {
                Ok(()) => Event::Ready,
                Err(_) => Event::Hung("it did not become ready in time"),
            },
            () = silent(&url, &limits), if ready => Event::Hung("it did not answer any more"),
        }
    }

    /// Waits before the next start; longer each time.
    async fn rest(&mut self) -> Next {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.limits.pause_max);
        tokio::select! {
            () = sleep(pause) => Next::Start,
            command = self.commands.recv() => match command {
                Some(Command::Restore(reply)) => {
                    let _heard = reply.send(());
                    Next::Start
                }
                Some(Command::Cut(reply)) => {
                    self.publish(None, Some(ChildState::Cut));
                    let _heard = reply.send(());
                    Next::StayCut
                }
                Some(Command::Quit(reply)) => {
                    self.publish(None, Some(ChildState::Cut));
                    let _heard = reply.send(());
                    Next::Quit
                }
                None => Next::Quit,
            },
        }
    }

    async fn stay_cut(&mut self) -> Next {
        loop {
            match self.commands.recv().await {
                Some(Command::Cut(reply)) => {
                    let _heard = reply.send(());
                }
                Some(Command::Restore(reply)) => {
                    self.pause = self.limits.pause_min;
                    self.starts = 0;
                    self.publish(None, Some(ChildState::Starting));
                    let _heard = reply.send(());
                    return Next::Start;
                }
                Some(Command::Quit(reply)) => {
                    let _heard = reply.send(());
                    return Next::Quit;
                }
                None => return Next::Quit,
            }
        }
    }

    /// A child that served for a while did not die of what killed the one before.
    fn settle(&mut self, ready_since: Option<Instant>) {
        if ready_since.is_some_and(|since| since.elapsed() >= self.limits.settled) {
            self.pause = self.limits.pause_min;
        }
    }

    fn down(&self, how: String) {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(format!("tieline: {how}\n").as_bytes());
        let restarts = self.starts;
        self.status.send_modify(|status| {
            // An outage began with the first death of a row.
            let since = match status.state {
                ChildState::Down { since, .. } => since,
                _ => Timestamp::now(),
            };
            status.pid = None;
            status.state = ChildState::Down {
                since,
                restarts,
                last_exit: how,
            };
        });
    }

    fn publish(&self, pid: Option<u32>, state: Option<ChildState>) {
        self.status.send_modify(|status| {
            status.pid = pid;
            status.state = state.unwrap_or_else(|| status.state.clone());
        });
    }

    /// Carries what the child prints to its log.
    fn pump(&self, child: &mut Child) -> Vec<JoinHandle<()>> {
        let mut pumps = Vec::new();
        pumps.extend(
            child
                .stdout
                .take()
                .map(|stream| tokio::spawn(pump(stream, Arc::clone(&self.log)))),
        );
        pumps.extend(
            child
                .stderr
                .take()
                .map(|stream| tokio::spawn(pump(stream, Arc::clone(&self.log)))),
        );
        pumps
    }
}

/// Starts the child with an environment that holds none of our secrets.
fn spawn(launch: &Launch, port: u16) -> std::io::Result<Child> {
    let port = port.to_string();
    let mut command = if launch.guarded {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell.args(["-c", GUARD, "guard"]).arg(&launch.program);
        shell
    } else {
        tokio::process::Command::new(&launch.program)
    };
    command
        .args(launch.args.iter().map(|arg| with_port(arg, &port)))
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| passes(name)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn with_port(arg: &OsStr, port: &str) -> OsString {
    if arg == "{port}" {
        OsString::from(port)
    } else {
        arg.to_owned()
    }
}

/// What a model server needs from our environment: to find programs, libraries and devices. Nothing with a key in it.
fn passes(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    ENVIRONMENT.contains(&name) || ENVIRONMENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Resolves when the server answers 200.
async fn healthy(url: &str, limits: &Limits) {
    while !answers(url, limits).await {
        sleep(limits.ask_starting).await;
    }
}

/// Resolves when the server has not answered 200 for too long.
async fn silent(url: &str, limits: &Limits) {
    let mut heard = Instant::now();
    while heard.elapsed() < limits.hung {
        sleep(limits.ask_ready).await;
        if answers(url, limits).await {
            heard = Instant::now();
        }
    }
}

async fn answers(url: &str, limits: &Limits) -> bool {
    let limit = limits.hung.min(ANSWER_LIMIT);
    probe::fetch(url, limit)
        .await
        .is_ok_and(|reply| reply.status == 200)
}

/// Ends the child: SIGTERM to it, after the limit SIGKILL to its whole group. Returns how it ended.
async fn end(child: &mut Child, limit: Duration) -> String {
    // While it has not been waited for, its number cannot be another process's.
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| !limit.is_zero()) {
        let _sent = kill(pid, Signal::SIGTERM);
    }
    if let Ok(exit) = timeout(limit, child.wait()).await {
        return exit.map_or_else(|error| error.to_string(), describe);
    }
    if let Some(pid) = pid {
        let _sent = killpg(pid, Signal::SIGKILL);
    }
    child
        .wait()
        .await
        .map_or_else(|error| error.to_string(), describe)
}

fn describe(exit: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (exit.code(), exit.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => exit.to_string(),
    }
}

async fn pump(mut stream: impl AsyncRead + Unpin, log: SharedLog) {
    let mut buffer = vec![0; PUMP_BYTES];
    while let Ok(read) = stream.read(&mut buffer).await {
        match buffer.get(..read) {
            Some([]) | None => return,
            Some(bytes) => log.lock().unwrap_or_else(PoisonError::into_inner).write(bytes),
        }
    }
}

/// Lets the pumps drain; a grandchild that lives on may hold the pipes open forever.
async fn finish(pumps: Vec<JoinHandle<()>>) {
    for mut task in pumps {
        if timeout(DRAIN_LIMIT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Runs a program that takes no notice of its standard input, and ends it when ours ends or on SIGTERM. The inner
/// shell waits for the end of input; the outer one for the program, again after each signal that it passed on.
const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM
( trap - TERM; while read -r _; do :; done <&3; kill -TERM "$child" 2>/dev/null ) &
watch=$!
exec 3<&-
while :; do
  wait "$child"; code=$?
  kill -0 "$child" 2>/dev/null || break
done
kill -KILL "$watch" 2>/dev/null
exit "$code"
"#;

const ENVIRONMENT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "SYSTEMROOT",
];
const ENVIRONMENT_PREFIXES: [&str; 6] = ["CUDA_", "HIP_", "ROCR_", "GGML_", "OMP_", "VK_"];

/// A health answer takes about a millisecond, even while a call is being served.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const DRAIN_LIMIT: Duration = Duration::from_millis(500);
const PUMP_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_pass() {
        let passing = [
            "PATH",
            "HOME",
            "CUDA_VISIBLE_DEVICES",
            "GGML_METAL_PATH_RESOURCES",
        ];
        let stopped = [
            "ANTHROPIC_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "LLAMA_API_KEY",
            "HF_TOKEN",
            "PYTHONPATH",
            "",
        ];
        assert!(passing.iter().all(|name| passes(OsStr::new(name))));
        assert!(!stopped.iter().any(|name| passes(OsStr::new(name))));
    }
}

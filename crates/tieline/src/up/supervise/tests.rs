use std::{fs, net::TcpStream, time::Instant};

use tempfile::TempDir;

use super::*;

/// A server that answers 200 to everything, on the port it is given, until its standard input ends.
const SERVER: &str = r"
import http.server, os, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *rest):
        pass
def follow():
    sys.stdin.read()
    os._exit(0)
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answer)
print('serving', os.getpid(), flush=True)
threading.Thread(target=follow, daemon=True).start()
server.serve_forever()
";

/// The same server, deaf to its standard input, as a foreign program is.
const DEAF: &str = "def follow(): pass";

const LIMIT: Duration = Duration::from_secs(30);

fn python(source: &str) -> Launch {
    Launch {
        program: PathBuf::from("/usr/bin/env"),
        args: ["python3", "-c", source, "{port}"].map(OsString::from).to_vec(),
        health: "/health".to_owned(),
        guarded: false,
    }
}

fn deaf() -> Launch {
    let source = SERVER.replace("def follow():\n    sys.stdin.read()\n    os._exit(0)", DEAF);
    assert_ne!(source, SERVER);
    Launch {
        guarded: true,
        ..python(&source)
    }
}

fn shell(script: &str) -> Launch {
    Launch {
        program: PathBuf::from("/bin/sh"),
        args: ["-c", script].map(OsString::from).to_vec(),
        health: "/".to_owned(),
        guarded: false,
    }
}

/// Patient with a busy machine, but quick to restart.
fn limits() -> Limits {
    Limits {
        pause_min: Duration::from_millis(5),
        pause_max: Duration::from_millis(40),
        ask_starting: Duration::from_millis(10),
        ask_ready: Duration::from_millis(20),
        stop: Duration::from_secs(20),
        ..Limits::default()
    }
}

fn supervisor() -> (TempDir, Supervisor) {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(folder.path(), limits());
    (folder, supervisor)
}

async fn wait(supervisor: &Supervisor, name: &str, fits: impl FnMut(&ChildStatus) -> bool) -> ChildStatus {
    let mut changes = supervisor.watch(name).unwrap();
    let found = tokio::time::timeout(LIMIT, changes.wait_for(fits)).await;
    found
        .unwrap_or_else(|_| panic!("{:?}", supervisor.status()))
        .unwrap()
        .clone()
}

async fn ready(supervisor: &Supervisor, name: &str) -> ChildStatus {
    wait(supervisor, name, |status| status.state == ChildState::Ready).await
}

/// Whether a process of that number runs; one that has ended and that nobody waited for does not.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Looks again and again until the condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

fn connects(url: &str) -> bool {
    TcpStream::connect(url.trim_start_matches("http://")).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_child_is_restarted_on_its_port_and_leaves_no_zombie() {
    let (folder, supervisor) = supervisor();
    let url = supervisor.start("local-a", python(SERVER), None).unwrap();
    let first = ready(&supervisor, "local-a").await;
    assert_eq!(first.url, url);
    let pid = first.pid.unwrap();

    signal(pid, nix::sys::signal::Signal::SIGKILL);
    let down = wait(&supervisor, "local-a", |status| {
        matches!(status.state, ChildState::Down { .. })
    })
    .await;
    let ChildState::Down {
        restarts, last_exit, ..
    } = down.state
    else {
        panic!("{down:?}")
    };
    assert_eq!((restarts, last_exit.as_str()), (1, "signal 9"));
    let second = ready(&supervisor, "local-a").await;
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.url, url);
    assert!(connects(&url));
    assert!(!exists(pid), "the dead child was not waited for");

    supervisor.shutdown().await;
    assert!(!exists(second.pid.unwrap()));
    let log = fs::read_to_string(folder.path().join("local-a.log")).unwrap();
    assert!(
        log.contains(&format!("serving {pid}\n")) && log.contains("tieline: signal 9\n"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_child_stays_down_until_it_is_restored() {
    let (_folder, supervisor) = supervisor();
    let url = supervisor.start("local-a", python(SERVER), None).unwrap();
    let other = supervisor.start("local-b", python(SERVER), None).unwrap();
    assert_ne!(url, other);
    supervisor.all_ready(LIMIT).await.unwrap();
    let pid = supervisor.status()[0].pid.unwrap();

    supervisor.stop("local-a").await.unwrap();
    supervisor.stop("local-a").await.unwrap();
    assert!(!exists(pid));
    assert!(!connects(&url) && connects(&other));
    let cut = &supervisor.status()[0];
    assert_eq!((cut.pid, &cut.state), (None, &ChildState::Cut));
    assert!(matches!(
        supervisor.all_ready(LIMIT).await,
        Err(SuperviseError::NotReady { .. })
    ));

    supervisor.restore("local-a").await.unwrap();
    supervisor.restore("local-a").await.unwrap();
    assert_eq!(ready(&supervisor, "local-a").await.url, url);
    assert!(connects(&url));
    supervisor.shutdown().await;
    assert!(matches!(
        supervisor.stop("local-a").await,
        Err(SuperviseError::Closed)
    ));
    assert!(!connects(&other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_ignores_sigterm_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        stop: Duration::from_millis(50),
        ..limits()
    };
    let supervisor = Supervisor::new(folder.path(), limits);
    let log = folder.path().join("deaf.log");
    supervisor
        .start(
            "deaf",
            shell("trap '' TERM; echo deaf; while :; do sleep 1; done"),
            None,
        )
        .unwrap();
    let pid = wait(&supervisor, "deaf", |status| status.pid.is_some())
        .await
        .pid
        .unwrap();
    until("the trap is set", || {
        fs::read_to_string(&log).is_ok_and(|text| text == "deaf\n")
    });
    supervisor.stop("deaf").await.unwrap();
    assert!(!exists(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_cannot_serve_is_reported_with_its_last_words() {
    let (_folder, supervisor) = supervisor();
    supervisor
        .start("broken", shell("echo no such model >&2; exit 3"), None)
        .unwrap();
    let error = supervisor.all_ready(LIMIT).await.unwrap_err();
    let SuperviseError::NotReady {
        name, reason, tail, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(name, "broken");
    assert!(reason.contains("exit status 3"), "{reason}");
    assert!(tail.contains("no such model"), "{tail}");
    // A child that waits to be restarted can be cut.
    supervisor.stop("broken").await.unwrap();
    assert_eq!(supervisor.status()[0].state, ChildState::Cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program_that_does_not_exist_is_reported() {
    let (_folder, supervisor) = supervisor();
    let launch = Launch {
        program: PathBuf::from("/nowhere/llama-server"),
        ..shell("")
    };
    supervisor.start("none", launch, None).unwrap();
    let error = supervisor.all_ready(LIMIT).await.unwrap_err().to_string();
    assert!(
        error.contains("no start: /nowhere/llama-server: No such file"),
        "{error}"
    );
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_hangs_is_killed_and_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(
        folder.path(),
        Limits {
            hung: Duration::from_millis(400),
            ..limits()
        },
    );
    supervisor.start("local-a", python(SERVER), None).unwrap();
    let pid = ready(&supervisor, "local-a").await.pid.unwrap();
    signal(pid, nix::sys::signal::Signal::SIGSTOP);
    let down = wait(&supervisor, "local-a", |status| {
        matches!(status.state, ChildState::Down { .. })
    })
    .await;
    let ChildState::Down { last_exit, .. } = down.state else {
        panic!("{down:?}")
    };
    assert_eq!(
        last_exit,
        "it did not answer any more, so it was killed (signal 9)"
    );
    assert_ne!(ready(&supervisor, "local-a").await.pid, Some(pid));
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_never_answers_is_killed_and_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(
        folder.path(),
        Limits {
            ready: Duration::from_millis(50),
            ..limits()
        },
    );
    supervisor.start("mute", shell("exec sleep 1000"), None).unwrap();
    let down = wait(
        &supervisor,
        "mute",
        |status| matches!(&status.state, ChildState::Down { restarts, .. } if *restarts >= 2),
    );
    let ChildState::Down { last_exit, .. } = down.await.state else {
        panic!()
    };
    assert_eq!(
        last_exit,
        "it did not become ready in time, so it was killed (signal 9)"
    );
    supervisor.shutdown().await;
}

#[tokio::test]
async fn names_and_ports_are_checked() {
    let (_folder, supervisor) = supervisor();
    for name in ["", "a/b", "A", "-a", "..", &"a".repeat(65)] {
        assert!(
            matches!(
                supervisor.start(name, shell(""), None),
                Err(SuperviseError::Name(_))
            ),
            "{name}"
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = supervisor.start("local-a", shell(""), Some(port)).unwrap_err();
    assert!(
        matches!(error, SuperviseError::Port { port: found, .. } if found == port),
        "{error}"
    );
    drop(taken);
    assert_eq!(
        supervisor
            .start("local-a", shell("exec sleep 1000"), Some(port))
            .unwrap(),
        format!("http://127.0.0.1:{port}")
    );
    assert!(matches!(
        supervisor.start("local-a", shell(""), None),
        Err(SuperviseError::Name(_))
    ));
    assert!(matches!(
        supervisor.start("local-b", shell(""), Some(port)),
        Err(SuperviseError::Port { .. })
    ));
    assert!(matches!(
        supervisor.stop("local-c").await,
        Err(SuperviseError::Unknown(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_program_ends_with_its_guard() {
    let (folder, supervisor) = supervisor();
    supervisor.start("local-a", deaf(), None).unwrap();
    let guard = ready(&supervisor, "local-a").await.pid.unwrap();
    let served = served_by(&folder.path().join("local-a.log"), 0);
    assert_ne!(guard, served);

    // The guard passes SIGTERM on and waits for the program.
    supervisor.stop("local-a").await.unwrap();
    assert!(!exists(guard) && !runs(served));

    // If the guard is killed, its pipe ends, and with it the program.
    supervisor.restore("local-a").await.unwrap();
    let guard = ready(&supervisor, "local-a").await.pid.unwrap();
    let served = served_by(&folder.path().join("local-a.log"), 1);
    signal(guard, nix::sys::signal::Signal::SIGKILL);
    until("the program ends", || !runs(served));
    ready(&supervisor, "local-a").await;

    // If the program dies, the guard says how.
    let served = served_by(&folder.path().join("local-a.log"), usize::MAX);
    signal(served, nix::sys::signal::Signal::SIGKILL);
    let down = wait(&supervisor, "local-a", |status| {
        matches!(&status.state, ChildState::Down { .. })
    })
    .await;
    let ChildState::Down { last_exit, .. } = down.state else {
        panic!("{down:?}")
    };
    assert_eq!(last_exit, "exit status 137");
    supervisor.shutdown().await;
}

/// The number of the process that printed the given `serving` line, or the last one.
fn served_by(log: &Path, line: usize) -> u32 {
    let mut found = None;
    until("the server has said that it serves", || {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<u32> = text
            .lines()
            .filter_map(|text| text.strip_prefix("serving ")?.parse().ok())
            .collect();
        found = if line == usize::MAX {
            lines.last().copied()
        } else {
            lines.get(line).copied()
        };
        found.is_some()
    });
    found.unwrap()
}

/// Set for [`orphan_host`] only: the folder in which it says what it has started.
const HOST_FOLDER: &str = "TIELINE_TEST_HOST_FOLDER";

/// Not a test of its own: the process that the next one kills. Without the variable it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphan_host() {
    let Some(folder) = std::env::var_os(HOST_FOLDER).map(PathBuf::from) else {
        return;
    };
    let supervisor = Supervisor::new(&folder, limits());
    supervisor.start("own", python(SERVER), None).unwrap();
    supervisor.start("foreign", deaf(), None).unwrap();
    supervisor.all_ready(LIMIT).await.unwrap();
    let pids: Vec<String> = supervisor
        .status()
        .iter()
        .map(|status| status.pid.unwrap().to_string())
        .collect();
    fs::write(folder.join("pids.new"), pids.join(" ")).unwrap();
    fs::rename(folder.join("pids.new"), folder.join("pids")).unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn no_child_outlives_a_killed_parent() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "up::supervise::tests::orphan_host"])
        .env(HOST_FOLDER, folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pids = folder.path().join("pids");
    until("the host has started its children", || pids.exists());
    let mut pids: Vec<u32> = fs::read_to_string(&pids)
        .unwrap()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    pids.push(served_by(&folder.path().join("foreign.log"), 0));
    assert!(pids.iter().all(|pid| runs(*pid)), "{pids:?}");
    host.kill().unwrap();
    host.wait().unwrap();
    until("all children have ended", || !pids.iter().any(|pid| runs(*pid)));
}

#[test]
fn status_reads_well_as_json() {
    let status = |state| ChildStatus {
        name: "local-a".to_owned(),
        url: "http://127.0.0.1:9001".to_owned(),
        pid: None,
        state,
    };
    let down = ChildState::Down {
        since: Timestamp::from_microsecond(1_781_284_860_000_000).unwrap(),
        restarts: 2,
        last_exit: "signal 9".to_owned(),
    };
    let rows: Vec<String> = [ChildState::Starting, ChildState::Ready, down, ChildState::Cut]
        .map(|state| serde_json::to_string(&status(state)).unwrap())
        .to_vec();
    insta::assert_snapshot!(rows.join("\n"));
}

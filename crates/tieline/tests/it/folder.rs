//! A state folder with a configuration, commands that run on it, and a server that serves it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tieline_testkit::{Channel, Script, fixtures};

use crate::http::{self, Reply};
use crate::schema;
use crate::transcript::{Transcript, text};

/// Far beyond any wait of a passing test.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

const OPEN_PACK: &str = r#"
id = "open"
version = "1.0.0"
title = "Who has a key may call"
status = "company"
valid_from = 2026-01-01
recorded_at = 2026-01-01
notice = "For tests. It is not legal advice, and it implements no law."
covers = ["callers with a key"]
does_not_cover = ["everything else"]
"#;

const OPEN_RULES: &str = r#"
@id("base")
@title("Known callers may call models")
@citation("Test policy, section 1")
@reason("Callers with a key may call models.")
permit (principal, action == Action::"call", resource);
"#;

/// A folder, its channels, and what was said so far.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) dir: TempDir,
    /// `left` speaks openai_chat, `right` anthropic_messages.
    pub(crate) left: Channel,
    pub(crate) right: Channel,
    pub(crate) said: Transcript,
}

/// A server of a folder; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) gateway: String,
    pub(crate) key: String,
    lines: Arc<Lines>,
}

/// What a server wrote to standard error so far.
#[derive(Debug, Default)]
struct Lines {
    more: Condvar,
    text: Mutex<(String, bool)>,
}

pub(crate) fn tieline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    // What a person's shell may hold must not change what is tested.
    for name in [
        "TIELINE_DIR",
        "TIELINE_ADMIN_KEY",
        "RUST_LOG",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "COLUMNS",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A folder with nothing in it.
pub(crate) fn empty() -> TempDir {
    tempfile::Builder::new().prefix("tieline-it-").tempdir().unwrap()
}

/// Run `tieline` in `dir` and take it down.
#[track_caller]
pub(crate) fn run(said: &mut Transcript, dir: &Path, args: &[&str]) -> Output {
    let output = tieline().current_dir(dir).args(args).output().unwrap();
    if args.contains(&"--json") && !output.stdout.is_empty() {
        schema::check(args, &text(&output.stdout));
    }
    said.say(&format!("tieline {}", args.join(" ")), &output);
    output
}

pub(crate) fn configuration(left: &Channel, right: &Channel) -> String {
    let (left, right) = (left.url(), right.url());
    format!(
        r#"[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[labs.acme]

[models.m1]
lab = "acme"
weights = "open"
price = {{ input = "1", output = "2" }}

[pool.chat]
models = ["m1"]

[policy]
packs = ["packs/open"]
enforce = ["company"]

[channels.left]
provider = "openai_compatible"
url = "{left}"
components = ["cloud:east", "lab:acme"]
models = {{ m1 = {{ name = "left-m1", price = "list" }} }}

[channels.right]
provider = "anthropic_compatible"
url = "{right}"
components = ["cloud:west", "lab:acme"]
models = {{ m1 = {{ name = "right-m1", price = {{ input = "3", output = "6" }} }} }}
"#
    )
}

impl Folder {
    /// Two channels that answer rightly, under one rule that permits.
    pub(crate) fn new() -> Self {
        Self::with(Script::new(), Script::new())
    }

    pub(crate) fn with(left: Script, right: Script) -> Self {
        let dir = empty();
        let (left, right) = (Channel::start(left).unwrap(), Channel::start(right).unwrap());
        let folder = Self {
            dir,
            left,
            right,
            said: Transcript::default(),
        };
        folder.write("packs/open/pack.toml", OPEN_PACK);
        folder.write("packs/open/rules.cedar", OPEN_RULES);
        folder.write("tieline.toml", &configuration(&folder.left, &folder.right));
        let demo = fixtures::workspace_dir().join("packs/demo");
        for name in ["pack.toml", "rules.cedar", "cases.toml"] {
            folder.write(
                &format!("packs/demo/{name}"),
                &std::fs::read_to_string(demo.join(name)).unwrap(),
            );
        }
        folder
    }

    /// The same under the demo pack, which says who may call: known places, but for a few, and these with a licence.
    pub(crate) fn demo() -> Self {
        let folder = Self::new();
        folder.edit("tieline.toml", "packs/open", "packs/demo");
        folder
    }

    /// The id of the party that `serve` made.
    #[track_caller]
    pub(crate) fn first_party(&self) -> String {
        self.json(&["party", "list"])["id"].as_str().unwrap().to_owned()
    }

    /// A signing key `NAME.key` of `example.org/NAME`; its verifier key.
    #[track_caller]
    pub(crate) fn signing_key(&self, name: &str) -> String {
        let (file, of) = (format!("{name}.key"), format!("example.org/{name}"));
        let made = self.json(&["directive", "key", &file, "--name", &of]);
        made["vkey"].as_str().unwrap().to_owned()
    }

    /// Have `[policy.TABLE]` trust these verifier keys.
    #[track_caller]
    pub(crate) fn trust(&self, table: &str, keys: &[String], more: &str) {
        let trusted = format!("[policy.{table}]\nkeys = {keys:?}\n{more}\n[channels.left]");
        self.edit("tieline.toml", "[channels.left]", &trusted);
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    /// Put `to` where `from` stands, once, in a file.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let before = self.read(name);
        assert_eq!(before.matches(from).count(), 1, "{from} in {before}");
        self.write(name, &before.replace(from, to));
    }

    /// An officer adopts the packs of the folder as they stand: only then may they enforce.
    pub(crate) fn adopt(&self) {
        let folders = std::fs::read_dir(self.at("packs")).unwrap();
        let packs = folders.map(|entry| entry.unwrap().path());
        let whole = packs.filter(|pack| pack.join("pack.toml").exists());
        let output = tieline()
            .current_dir(self.path())
            .args(["--dir", ".", "policy", "adopt"])
            .args(whole)
            .args(["--officer", "An officer", "--entity", "Example GmbH"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Run a command on this folder, and take it down for the golden.
    #[track_caller]
    pub(crate) fn run(&mut self, args: &[&str]) -> Output {
        let dir = self.dir.path().to_owned();
        let args: Vec<&str> = ["--dir", "."].iter().chain(args).copied().collect();
        let output = tieline().current_dir(&dir).args(&args).output().unwrap();
        if args.contains(&"--json") && !output.stdout.is_empty() {
            schema::check(&args, &text(&output.stdout));
        }
        self.said
            .say(&format!("tieline {}", args[2..].join(" ")), &output);
        output
    }

    /// Run a command beside the transcript and hand back its `--json`.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--dir", "."]
            .iter()
            .chain(args)
            .chain(&["--json"])
            .copied()
            .collect();
        let output = tieline().current_dir(self.path()).args(&args).output().unwrap();
        let said = text(&output.stdout);
        assert!(!said.is_empty(), "{args:?}: {}", text(&output.stderr));
        schema::check(&args, &said);
        serde_json::from_str(&said).unwrap()
    }

    /// Run a command beside the transcript; it must succeed.
    #[track_caller]
    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = tieline().current_dir(self.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Run a command beside the transcript; it must fail, and this is what it said to standard error.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let args: Vec<&str> = ["--dir", "."].iter().chain(args).copied().collect();
        let output = tieline().current_dir(self.path()).args(&args).output().unwrap();
        assert!(!output.status.success(), "{args:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Compare what was said with the golden.
    #[track_caller]
    pub(crate) fn check(self, name: &str) {
        self.said.check(name, self.dir.path());
    }

    /// Serve the folder.
    #[track_caller]
    pub(crate) fn serve(&self) -> Server {
        self.adopt();
        self.start(&["--dir", ".", "serve", "--ready-file", "ready.json"])
    }

    /// Begin a server that writes `ready.json`, and wait until it does.
    #[track_caller]
    pub(crate) fn start(&self, args: &[&str]) -> Server {
        self.start_by(tieline().args(args))
    }

    #[track_caller]
    pub(crate) fn start_by(&self, command: &mut Command) -> Server {
        let ready = self.at("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut child = command
            .current_dir(self.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Lines::follow(child.stderr.take().unwrap());
        let until = Instant::now() + LIMIT;
        // The file appears whole, by a rename; there is no notice of it, so it is looked for.
        while !ready.exists() {
            let exited = child.try_wait().unwrap();
            assert!(
                exited.is_none() && Instant::now() < until,
                "not ready: {exited:?} {}",
                lines.all()
            );
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let ready: Value = serde_json::from_str(&self.read("ready.json")).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Server {
            child,
            gateway: text("gateway"),
            key: text("key"),
            lines,
        }
    }
}

impl Server {
    /// A call of the pool in dialect openai_chat, with the first party's key.
    pub(crate) fn chat(&self) -> Reply {
        self.chat_with(&self.key)
    }

    pub(crate) fn chat_with(&self, key: &str) -> Reply {
        let body = r#"{"model":"chat","messages":[{"role":"user","content":"What is a tie line?"}]}"#;
        let authorization = format!("Bearer {key}");
        http::post(
            &self.gateway,
            "/v1/chat/completions",
            &[("authorization", &authorization)],
            body,
        )
    }

    /// A call of the pool in dialect anthropic_messages.
    pub(crate) fn messages(&self) -> Reply {
        let body = r#"{"model":"chat","max_tokens":64,"messages":[{"role":"user","content":"What is a tie line?"}]}"#;
        http::post(&self.gateway, "/v1/messages", &[("x-api-key", &self.key)], body)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Wait until standard error has `text` `count` times in all.
    #[track_caller]
    pub(crate) fn wait_said(&self, text: &str, count: usize) {
        let until = Instant::now() + LIMIT;
        let mut state = self.lines.text.lock().unwrap();
        while state.0.matches(text).count() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.1,
                "`{text}` was not said {count} times: {}",
                state.0
            );
            state = self.lines.more.wait_timeout(state, left).unwrap().0;
        }
    }

    /// How often standard error has `text` so far.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.lines.all().matches(text).count()
    }

    /// End it as a service manager does; exit code 0, and everything it wrote to standard error.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (status, said) = self.wait();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Wait until it has ended.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        // Standard error ends when the process does: only then is there nothing more to read.
        let until = Instant::now() + LIMIT;
        let mut state = self.lines.text.lock().unwrap();
        while !state.1 {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end: {}", state.0);
            state = self.lines.more.wait_timeout(state, left).unwrap().0;
        }
        let said = state.0.clone();
        drop(state);
        (self.child.wait().unwrap(), said)
    }

    /// End it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn follow(stderr: ChildStderr) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let for_thread = lines.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr).take(1 << 20);
            let mut line = String::new();
            loop {
                line.clear();
                let read = reader.read_line(&mut line).unwrap_or(0);
                let mut state = for_thread.text.lock().unwrap();
                state.0.push_str(&line);
                state.1 = read == 0;
                for_thread.more.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        lines
    }

    fn all(&self) -> String {
        self.text.lock().unwrap().0.clone()
    }
}

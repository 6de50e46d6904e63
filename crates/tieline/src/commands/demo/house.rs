//! The gateway on which the story plays: the one that runs in the state folder, or one of the demo's own in a folder that
//! it makes, in front of scripted channels.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tieline_gateway::State;
use tieline_note::Signer;
use tieline_testkit::{Act, Auto, Channel};

use crate::output::{Failure, Result};
use crate::{admin_client, folder, load};

/// A debug build under load starts within seconds.
const START_MAX: Duration = Duration::from_mins(1);

/// To end in order, with the streams of the demo still open.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Pieces of an answer that is to be in flight for a while: 200 of some 200 bytes, one every 40 ms, are 8 s.
const PIECES: usize = 200;
const PIECE_BYTES: usize = 200;
const PIECE_EVERY: Duration = Duration::from_millis(40);

/// A gateway, and what the story needs to know of it.
#[derive(Debug)]
pub(super) struct House {
    pub(super) dir: PathBuf,
    pub(super) gateway: String,
    /// Whether it was started for the demo.
    pub(super) is_own: bool,
    /// The models that the letter names: the first two that the pool holds, or its only one.
    pub(super) models: Vec<String>,
    pub(super) pool: String,
    pub(super) signer: Signer,
    server: folder::Server,
    /// Ends with the house.
    _own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    child: Child,
    _channels: Vec<Channel>,
    _folder: Option<tempfile::TempDir>,
}

impl House {
    /// The running gateway of `dir`; else one of the demo's own, in `keep` if that is given.
    pub(super) fn open(dir: &Path, keep: Option<&Path>) -> Result<Self> {
        match (folder::server(dir), keep) {
            (Some(server), None) => Self::of(dir.to_owned(), server, None),
            _ => Self::start(keep),
        }
    }

    /// Ask the admin API.
    pub(super) fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        admin_client::send(&self.dir, &self.server, method, path, body)
    }

    /// A new party with a key; the party's id and the key.
    pub(super) fn party(&self, name: &str, kind: &str, facts: &[Value]) -> Result<(String, String)> {
        let id = folder::random_id("p")?;
        let now = now_us();
        let evidence: Vec<Value> = facts
            .iter()
            .map(|value| json!({ "issuer": "demo", "kind": "registration", "obtained": now, "value": value }))
            .collect();
        let record = json!({ "evidence": evidence, "id": id, "kind": kind });
        let body = json!({ "name": name, "record": record });
        self.admin("POST", "/admin/v1/parties", Some(&body))?;
        let made = self.admin("POST", "/admin/v1/keys", Some(&json!({ "party": id })))?;
        let key = made.get("key").and_then(Value::as_str).unwrap_or_default();
        Ok((id, key.to_owned()))
    }

    fn of(dir: PathBuf, server: folder::Server, own: Option<Own>) -> Result<Self> {
        let checked = load::checked_in(&dir)?;
        let Some(pool) = checked.grid.pools.first() else {
            return Err(Failure::input("the configuration has no pool to put under load"));
        };
        let models = pool.models.iter().take(2).map(ToString::to_string).collect();
        let signer = folder::orders_key(&dir)?;
        if !checked.policy.orders.keys.contains(&signer.verifier().vkey()) {
            let hint = format!(
                "add this to {} and reload:\n[policy.orders]\nkeys = [\"{}\"]",
                folder::config(&dir).display(),
                signer.verifier().vkey()
            );
            return Err(Failure::input(
                "the running gateway does not accept directives that this folder's key signs",
            )
            .with_hint(hint));
        }
        Ok(Self {
            dir,
            gateway: server.gateway.clone(),
            is_own: own.is_some(),
            models,
            pool: pool.name.to_string(),
            signer,
            server,
            _own: own,
        })
    }

    fn start(keep: Option<&Path>) -> Result<Self> {
        let failed = |error: std::io::Error| Failure::found(format!("cannot set up the demo: {error}"));
        let temporary = match keep {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("tieline-demo-")
                    .tempdir()
                    .map_err(failed)?,
            ),
        };
        let dir = match (keep, &temporary) {
            (Some(keep), _) if folder::config(keep).exists() => {
                let says = format!("{} holds a configuration already", keep.display());
                return Err(Failure::input(says).with_hint("give a folder of its own with --keep"));
            }
            (Some(keep), _) => keep.to_owned(),
            (None, Some(made)) => made.path().to_owned(),
            (None, None) => return Err(Failure::found("there is no folder for the demo")),
        };
        folder::make(&dir)?;
        let channels = [scripted().map_err(failed)?, scripted().map_err(failed)?];
        folder::write_demo_pack(&dir)?;
        {
            let state = State::open(&dir).map_err(|error| Failure::found(error.to_string()))?;
            folder::adopt_demo_pack(&state, "tieline demo", now_us())?;
        }
        let signer = folder::ensure_orders_key(&dir)?;
        let text = configuration(&channels, &signer.verifier().vkey());
        std::fs::write(folder::config(&dir), text).map_err(failed)?;
        let ready = dir.join("ready.json");
        let log = std::fs::File::create(dir.join("serve.log")).map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let child = Command::new(program)
            .arg("--dir")
            .arg(&dir)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--ready-file",
            ])
            .arg(&ready)
            .env_remove("TIELINE_ADMIN_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut own = Own {
            child,
            _channels: channels.into(),
            _folder: temporary,
        };
        own.wait_ready(&ready, &dir)?;
        let server =
            folder::server(&dir).ok_or_else(|| Failure::found("the demo's gateway did not start"))?;
        Self::of(dir, server, Some(own))
    }
}

impl Own {
    fn wait_ready(&mut self, ready: &Path, dir: &Path) -> Result<()> {
        let begun = Instant::now();
        while !ready.exists() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > START_MAX {
                let log = std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default();
                return Err(Failure::found(format!(
                    "the demo's gateway did not start:\n{log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Own {
    /// End it as an operator would; what does not end then is killed.
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        if let Ok(pid) = pid {
            let _ = kill(pid, Signal::SIGTERM);
            let _ = kill(pid, Signal::SIGTERM);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP_MAX {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A channel that answers at once, and streams slowly.
fn scripted() -> std::io::Result<Channel> {
    Channel::start(Act::from_call(|seen| {
        let request = seen.json();
        let is_stream = request.and_then(|request| request.get("stream").and_then(Value::as_bool));
        if is_stream == Some(true) {
            Act::from(Auto::saying("one two three four ").chunks(PIECES)).drip(PIECE_BYTES, PIECE_EVERY)
        } else {
            Act::auto()
        }
    }))
}

/// Two models that the letter names, and one that it does not, over two channels.
fn configuration(channels: &[Channel; 2], vkey: &str) -> String {
    let [east, west] = channels.each_ref().map(Channel::url);
    format!(
        r#"# Written by `tieline demo`: a lab's two largest models and an open one, over two scripted channels.

[gateway]
drain_ms = 2000

[gateway.log]
level = "warn"

[labs.lab-a]
jurisdiction = "US"

[labs.lab-b]
jurisdiction = "FR"

[models.large-1]
lab = "lab-a"
weights = "closed"
training_flop = "9e25"

[models.large-2]
lab = "lab-a"
weights = "closed"
training_flop = "9e25"

[models.open-1]
lab = "lab-b"
weights = "open"
training_flop = "4e24"

[pool.work]
models = ["large-1", "large-2", "open-1"]

[channels.east]
provider = "openai-compatible"
url = "{east}"
components = ["cloud:east", "lab:lab-a"]
models = {{ large-1 = {{ name = "large-1", price = "unknown" }}, large-2 = {{ name = "large-2", price = "unknown" }} }}

[channels.west]
provider = "openai-compatible"
url = "{west}"
components = ["cloud:west"]
models = {{ large-1 = {{ name = "large-1", price = "unknown" }}, open-1 = {{ name = "open-1", price = "unknown" }} }}

[policy]
packs = ["packs/demo"]
enforce = ["company"]

[policy.orders]
keys = ["{vkey}"]
"#
    )
}

fn now_us() -> u64 {
    crate::commands::serve::now_us()
}

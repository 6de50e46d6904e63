//! `tieline up`: from nothing to a gateway in front of a real model on two channels, and what to try.
//!
//! Everything that it writes stands in the state folder and is written once: a second run reuses what is there and never
//! touches what a person may have edited.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tieline_gateway::{ChildControl, ChildStatus, Lock, PartyRow, State};
use tieline_policy::{Class, Country, FactValue};

use super::serve::{Plan, log_to_stderr, now_us, runtime, serve};
use crate::cli::{Cli, Up};
use crate::folder::{self, Server};
use crate::output::{self, Failure, Result};
use crate::up::model::{self, ModelSource, Options, Progress};
use crate::up::ready::ReadyChannel;
use crate::up::supervise::{ChildState, Limits, Supervisor};
use crate::{load, up};

/// The two channels, and the dialect that each is spoken to in: one of each, so that calls of either dialect cross to the
/// other when a channel is cut.
const CHANNELS: [(&str, &str); 2] = [("local-a", "openai_chat"), ("local-b", "anthropic_messages")];

/// Loading a few hundred MB on a busy machine.
const READY: Duration = Duration::from_mins(3);

pub(super) fn run(cli: &Cli, args: &Up) -> Result<u8> {
    folder::make(&cli.dir)?;
    let lock = Lock::take(&cli.dir).map_err(|error| Failure::input(error.to_string()))?;
    let model = set_up(args)?;
    output::progress(format!("model: {}", model.describe()));
    let config = folder::config(&cli.dir);
    if !config.exists() {
        write_folder(&cli.dir, &model)?;
        output::progress(format!("wrote {}", config.display()));
    }
    let checked = load::checked(&config)?;
    log_to_stderr(&checked);
    {
        let state = State::open(&cli.dir).map_err(|error| Failure::input(error.to_string()))?;
        folder::ensure_keys(&cli.dir, &state, &party()?, now_us())?;
        folder::adopt_demo_pack(&state, "tieline up", now_us())?;
    }
    runtime(checked.gateway.threads)?.block_on(async {
        let supervisor = Arc::new(Supervisor::new(&cli.dir, Limits::default()));
        let result = up(cli, args, &supervisor, &model, &checked, lock).await;
        supervisor.shutdown().await;
        result
    })
}

async fn up(
    cli: &Cli,
    args: &Up,
    supervisor: &Arc<Supervisor>,
    model: &ModelSource,
    checked: &crate::check::Checked,
    lock: Lock,
) -> Result<u8> {
    start_models(&cli.dir, supervisor, model, checked).await?;
    let handle = tokio::runtime::Handle::current();
    let children: Arc<dyn ChildControl> = Arc::new(Children {
        handle,
        supervisor: supervisor.clone(),
    });
    let plan = Plan {
        checked,
        children: Some(children),
        config: folder::config(&cli.dir),
        dir: &cli.dir,
        listen: &args.listen,
        lock,
    };
    let pool = checked
        .grid
        .pools
        .first()
        .map_or_else(|| model.name().into(), |pool| pool.name.clone());
    serve(plan, |server| async move {
        print_what_to_try(&cli.dir, &server, &pool);
        let ready = |status: up::supervise::ChildStatus| ReadyChannel {
            name: status.name,
            pid: status.pid,
            url: status.url,
        };
        supervisor.status().into_iter().map(ready).collect()
    })
    .await
}

/// Start a server for each channel of ours that the configuration still has, on the port that it names; those that were
/// cut stay down.
async fn start_models(
    dir: &Path,
    supervisor: &Supervisor,
    model: &ModelSource,
    checked: &crate::check::Checked,
) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::found(format!("cannot start a model server: {error}"));
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    for (name, _) in CHANNELS {
        let wiring = checked.channels.iter().find(|channel| &*channel.name == name);
        let Some(wiring) = wiring.filter(|wiring| wiring.endpoint.is_loopback()) else {
            continue;
        };
        supervisor
            .start(name, model.launch(&program), Some(wiring.endpoint.port))
            .map_err(|error| failed(&error))?;
    }
    output::progress("waiting for the model servers");
    supervisor
        .all_ready(READY)
        .await
        .map_err(|error| failed(&error))?;
    let outs = State::open(dir)
        .and_then(|state| state.outs())
        .map_err(|error| failed(&error))?;
    for out in outs
        .iter()
        .filter(|out| CHANNELS.iter().any(|(name, _)| *name == out.name))
    {
        supervisor.stop(&out.name).await.map_err(|error| failed(&error))?;
        output::progress(format!(
            "{} is cut; `tieline restore {}` starts it",
            out.name, out.name
        ));
    }
    Ok(())
}

fn set_up(args: &Up) -> Result<ModelSource> {
    let cache_folder = model::cache_folder(|name| std::env::var_os(name)).ok_or_else(|| {
        Failure::input("there is no folder for caches").with_hint("set HOME or XDG_CACHE_HOME")
    })?;
    let options = Options {
        cache_folder,
        model_file: args.model_file.clone(),
        offline: args.offline,
        ollama: args.ollama.clone(),
        search_path: std::env::var_os("PATH").unwrap_or_default(),
    };
    let mut show = |progress: Progress| match progress {
        Progress::Step(text) => output::progress(text),
        Progress::Detail(text) => output::progress(format!("  {text}")),
    };
    model::find_or_set_up(&options, &mut show)
        .map_err(|error| Failure::input(format!("failed to set up a model: {error}")).with_hint(error.hint()))
}

fn party() -> Result<PartyRow> {
    let place = Country::parse("DE").map_err(|error| Failure::found(error.to_string()))?;
    let values = vec![
        FactValue::Class(Class::Enterprise),
        FactValue::Jurisdiction(place),
    ];
    folder::organisation(
        "Example GmbH (made by `tieline up`)",
        "tieline up",
        now_us(),
        values,
    )
}

/// The configuration and its pack, written once.
fn write_folder(dir: &Path, model: &ModelSource) -> Result<()> {
    let failed =
        |error: std::io::Error| Failure::found(format!("cannot write to {}: {error}", dir.display()));
    folder::write_demo_pack(dir)?;
    let vkey = folder::ensure_orders_key(dir)?.verifier().vkey();
    let ports = [free_port().map_err(failed)?, free_port().map_err(failed)?];
    std::fs::write(folder::config(dir), configuration(model, ports, &vkey)).map_err(failed)
}

/// A port that nothing listens on at this moment.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

fn configuration(model: &ModelSource, ports: [u16; 2], vkey: &str) -> String {
    let name = model.name();
    let relayed = matches!(model, ModelSource::Ollama { .. });
    let mut text = format!(
        r#"# Written by `tieline up`; yours to edit. `tieline check` says what is wrong with it.

[gateway]
listen = "127.0.0.1:8080"
admin = "127.0.0.1:8081"

[gateway.log]
level = "warn"

[labs.local]

[models."{name}"]
lab = "local"
weights = "open"
# What a call costs on your own machine is not zero, but nobody bills it by the token.
price = {{ input = "0", output = "0" }}

# The models of a pool may stand in for each other; applications ask for the pool by its name.
[pool.chat]
models = ["{name}"]
resume = "same_model"
# One server after the other, so that it is plain to see which answers; `balanced` spreads load.
choice = "in_order"

[policy]
packs = ["packs/demo"]
enforce = ["company"]
# What a call may say that it is for, in the header x-tieline-end-use.
end_uses = ["citizen-services", "research", "translation"]

# Who may sign directives: the key in orders.key. With several keys, `signatures_min` says how many must sign.
[policy.orders]
keys = ["{vkey}"]

[components."process:local-a"]
needs = ["machine:this"]

[components."process:local-b"]
needs = ["machine:this"]
"#
    );
    for ((channel, dialect), port) in CHANNELS.into_iter().zip(ports) {
        let dialect = if relayed { "openai_chat" } else { dialect };
        let _ = write!(
            text,
            r#"
[channels.{channel}]
provider = "llamacpp"
dialect = "{dialect}"
url = "http://127.0.0.1:{port}"
components = ["process:{channel}", "lab:local"]
models = {{ "{name}" = {{ name = "{name}", price = "list" }} }}
"#
        );
    }
    text
}

/// At most 15 lines, each to be pasted.
fn print_what_to_try(dir: &Path, server: &Server, pool: &str) {
    let key = folder::party_key(dir).unwrap_or_else(|| "KEY".into());
    let at = if dir == Path::new("tieline-data") {
        String::new()
    } else {
        format!(" --dir {}", dir.display())
    };
    let url = &server.gateway;
    let lines = [
        format!("ready: {url} (admin {}), pool `{pool}`. Try:", server.admin),
        format!(
            r#"curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' -d '{{"model":"{pool}","messages":[{{"role":"user","content":"What is a tie line?"}}]}}' -i"#
        ),
        format!(
            r#"curl {url}/v1/messages -H 'x-api-key: {key}' -d '{{"model":"{pool}","max_tokens":64,"messages":[{{"role":"user","content":"What is a tie line?"}}]}}' -i"#
        ),
        format!("export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={key}"),
        format!("export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={key}"),
        format!(
            "tieline{at} cut local-a            # stop one supplier; calls go on. Back: tieline{at} restore local-a"
        ),
        format!("tieline{at} explain last           # why, for the newest call; or the id in x-tieline-call"),
        format!("tieline{at} grid                   # what depends on what, and the chokepoints"),
        format!("tieline{at} ledger verify          # recompute every hash of the log"),
        format!("tieline{at} drill replay           # decide every recorded call again"),
        format!("tieline{at} drill n-1              # what breaks when each thing is gone"),
        "Ctrl-C stops everything.".to_owned(),
    ];
    for line in lines {
        let _ = output::line(line);
    }
}

/// The supervisor, as the gateway's admin API sees it.
struct Children {
    handle: tokio::runtime::Handle,
    supervisor: Arc<Supervisor>,
}

impl ChildControl for Children {
    fn cut(&self, channel: &str) -> bool {
        let supervised = self.supervisor.watch(channel).is_ok();
        supervised && self.handle.block_on(self.supervisor.stop(channel)).is_ok()
    }

    fn restore(&self, channel: &str) -> std::result::Result<bool, String> {
        if self.supervisor.watch(channel).is_err() {
            return Ok(false);
        }
        let serving = async {
            self.supervisor.restore(channel).await?;
            self.supervisor.ready(channel, READY).await
        };
        self.handle.block_on(serving).map(|()| true).map_err(|error| {
            format!(
                "{channel} stays out, for its model server does not serve: {error}\n`tieline restore {channel}` tries again"
            )
        })
    }

    fn status(&self) -> Vec<ChildStatus> {
        let child = |status: up::supervise::ChildStatus| ChildStatus {
            name: status.name,
            pid: status.pid,
            state: match status.state {
                ChildState::Starting => "starting".into(),
                ChildState::Ready => "ready".into(),
                ChildState::Down { restarts, .. } => format!("down, restarted {restarts} times"),
                ChildState::Cut => "cut".into(),
            },
            url: status.url,
        };
        self.supervisor.status().into_iter().map(child).collect()
    }
}

//! `tieline cut` and `tieline restore`: through the admin API of a running server, else in the state file, so that the next
//! start finds it.

use serde_json::Value;
use tieline_gateway::{Lock, OutRow, State};

use super::reports::CutReport;
use crate::cli::Cli;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder, load};

pub(super) fn run(cli: &Cli, name: &str, cut: bool) -> Result<u8> {
    let verb = if cut { "cut" } else { "restored" };
    let value = match folder::server(&cli.dir) {
        Some(server) => {
            let body = serde_json::json!({ "name": name });
            if cut {
                admin_client::send(&cli.dir, &server, "POST", "/admin/v1/cut", Some(&body))?
            } else {
                say_what_it_waits_for(cli, &server, name)?;
                let wait = admin_client::LOAD_WAIT;
                admin_client::send_within(wait, &cli.dir, &server, "POST", "/admin/v1/restore", Some(&body))?
            }
        }
        None => offline(cli, name, cut)?,
    };
    let text = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (changed, kind, process) = (flag("changed"), text("kind"), flag("process"));
    if cli.json {
        let schema = "tieline/cut/v1";
        output::json(&CutReport {
            schema,
            changed,
            kind,
            name: text("name"),
            out: cut,
            process,
        })?;
        return Ok(0);
    }
    let what = match (changed, cut, process) {
        (false, true, _) => "was out already",
        (false, false, _) => "was not out",
        (true, true, true) => "is out, and its model server was stopped",
        (true, true, false) => "is out",
        (true, false, true) => "is back in, and its model server answers",
        (true, false, false) => "is back in",
    };
    output::line(format!("{verb}: {kind} {name} {what}"))?;
    Ok(0)
}

/// A channel whose model server is supervised is in only once that has loaded its model.
fn say_what_it_waits_for(cli: &Cli, server: &folder::Server, name: &str) -> Result<()> {
    let status = admin_client::send(&cli.dir, server, "GET", "/admin/v1/status", None)?;
    let children = status.get("children").and_then(Value::as_array);
    let child = children
        .into_iter()
        .flatten()
        .find(|child| child.get("name").and_then(Value::as_str) == Some(name));
    let state = child.and_then(|child| child.get("state")).and_then(Value::as_str);
    if state.is_some_and(|state| state != "ready") {
        output::progress(format!(
            "waiting until the model server of {name} has loaded its model and answers"
        ));
    }
    Ok(())
}

/// No server runs: write the state file. The ledger learns of it from the running server only, so this is for a folder
/// that is not in use.
fn offline(cli: &Cli, name: &str, cut: bool) -> Result<Value> {
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    let checked = load::checked_in(&cli.dir)?;
    let _lock = Lock::take(&cli.dir).map_err(failed)?;
    let is_channel = checked.grid.channels.iter().any(|channel| &*channel.name == name);
    let mut components = checked
        .grid
        .channels
        .iter()
        .flat_map(|channel| &channel.components);
    let mut needs = checked
        .grid
        .components
        .iter()
        .flat_map(|(name, needs)| std::iter::once(name).chain(needs));
    let is_component = components.any(|component| &**component == name) || needs.any(|need| &**need == name);
    if !is_channel && !is_component {
        let message = format!("the grid has no channel or component `{name}`");
        return Err(Failure::input(message).with_hint("`tieline grid` lists both"));
    }
    let kind = if is_channel { "channel" } else { "component" };
    let state = State::open(&cli.dir).map_err(failed)?;
    let now = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0);
    let out = OutRow {
        kind: kind.into(),
        name: name.into(),
        since_us: now,
    };
    let changed = if cut {
        state.put_out(&out)
    } else {
        state.remove_out(kind, name)
    }
    .map_err(failed)?;
    Ok(serde_json::json!({ "changed": changed, "kind": kind, "name": name, "process": false }))
}

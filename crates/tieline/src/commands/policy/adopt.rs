//! `tieline policy adopt`: a named officer adopts packs for a legal entity, each by its digest. Before that nothing of them
//! enforces; a pack that changes is another pack.

use serde_json::json;
use tieline_gateway::{AdoptionRow, Lock, State};
use tieline_policy::Pack;

use super::report::AdoptReport;
use crate::cli::{Cli, PolicyAdopt};
use crate::commands::serve::now_us;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder, load};

pub(super) fn run(cli: &Cli, args: &PolicyAdopt) -> Result<u8> {
    let packs: Vec<Pack> = args
        .packs
        .iter()
        .map(|folder| load::pack(folder).map_err(|problems| Failure::report(problems.join("\n"))))
        .collect::<Result<_>>()?;
    let server = folder::server(&cli.dir);
    for pack in &packs {
        let changed = match &server {
            Some(server) => online(cli, server, pack, args)?,
            None => offline(cli, pack, args)?,
        };
        let report = AdoptReport {
            schema: "tieline/policy-adopt/v1",
            changed,
            digest: pack.digest().to_string(),
            entity: args.entity.clone(),
            pack: pack.manifest().id.to_string(),
            unverified: pack.unverified().map(|(what, _)| what.to_string()).collect(),
        };
        if cli.json {
            output::json_line(&report)?;
        } else {
            output::line(report.text(&pack.manifest().notice))?;
        }
    }
    if server.is_some() && !cli.json {
        output::progress("what was adopted may enforce from the next reload on");
    }
    Ok(0)
}

fn online(cli: &Cli, server: &folder::Server, pack: &Pack, args: &PolicyAdopt) -> Result<bool> {
    let body = json!({
        "digest": pack.digest().to_string(),
        "entity": args.entity,
        "officer": args.officer,
        "pack": &*pack.manifest().id,
    });
    let done = admin_client::send(&cli.dir, server, "POST", "/admin/v1/adoptions", Some(&body))?;
    Ok(done
        .get("changed")
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(false))
}

/// No server runs: the first start finds it, and a state folder is made if there is none.
fn offline(cli: &Cli, pack: &Pack, args: &PolicyAdopt) -> Result<bool> {
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    folder::make(&cli.dir)?;
    let _lock = Lock::take(&cli.dir).map_err(failed)?;
    let state = State::open(&cli.dir).map_err(failed)?;
    let row = AdoptionRow {
        adopted_us: now_us(),
        digest: pack.digest(),
        entity: args.entity.clone(),
        officer: args.officer.clone(),
        pack: pack.manifest().id.to_string(),
    };
    state.put_adoption(&row).map_err(failed)
}

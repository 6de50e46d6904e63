//! `tieline party`: changes go through the admin API of a running server, else into the state file under its lock; what
//! only reads, reads the state file.

mod edit;
mod report;
mod show;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tieline_core::Tick;
use tieline_gateway::{
    ChangeError, EvidenceExpiry, IMPORT_BYTES_MAX, Import, ImportFormat, Lock, PartyChange, PartyEdit, State,
};
use tieline_policy::FactName;

use self::report::PartyChanged;
use super::serve::now_us;
use crate::cli::{Cli, Party, PartyExpire, PartyImport, PartyLimit};
use crate::folder::Server;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) use report::schemas;

/// An import of 10,000 parties takes some seconds on a small machine.
const IMPORT_WAIT: Duration = Duration::from_mins(2);

pub(super) fn run(cli: &Cli, command: &Party) -> Result<u8> {
    folder::must_have_state(&cli.dir)?;
    match command {
        Party::Add(args) => {
            let id = match &args.id {
                Some(id) => id.clone(),
                None => folder::random_id("p")?,
            };
            let edit = edit::read(id, true, &args.edit)?;
            told(cli, &edited(cli, edit)?, "added")
        }
        Party::Change(args) => {
            let edit = edit::read(args.id.clone(), false, &args.edit)?;
            if edit::is_nothing(&edit) {
                let hint = "`tieline party change --help` lists what may be said";
                return Err(Failure::input("nothing is to be changed").with_hint(hint));
            }
            told(cli, &edited(cli, edit)?, "changed")
        }
        Party::Expire(args) => told(cli, &expired(cli, args)?, "expired"),
        Party::Import(args) => told(cli, &imported(cli, args)?, "imported"),
        Party::Limit(args) => {
            limited(cli, args)?;
            told(cli, &(1, Some(args.id.clone())), "limited")
        }
        Party::List => show::list(cli),
        Party::Show(args) => show::one(cli, &args.id),
    }
}

fn edited(cli: &Cli, edit: PartyEdit) -> Result<(usize, Option<String>)> {
    let id = edit.id.clone();
    let count = match folder::server(&cli.dir) {
        Some(server) => post(cli, &server, "/admin/v1/parties/edit", &edit)?,
        None => offline(cli, PartyChange::Edit(edit))?,
    };
    Ok((count, Some(id)))
}

fn expired(cli: &Cli, args: &PartyExpire) -> Result<(usize, Option<String>)> {
    let fact = FactName::try_from(args.fact.clone()).map_err(|error| Failure::input(error.to_string()))?;
    let expiry = EvidenceExpiry {
        fact,
        id: args.id.clone(),
        issuer: args.issuer.clone(),
    };
    let count = match folder::server(&cli.dir) {
        Some(server) => post(cli, &server, "/admin/v1/parties/expire", &expiry)?,
        None => offline(cli, PartyChange::Expire(expiry))?,
    };
    Ok((count, Some(args.id.clone())))
}

fn limited(cli: &Cli, args: &PartyLimit) -> Result<()> {
    let (party, limits) = (&args.id, args.limits.limits());
    if let Some(server) = folder::server(&cli.dir) {
        let body = json!({ "limits": limits, "party": party });
        admin_client::send(&cli.dir, &server, "POST", "/admin/v1/parties/limits", Some(&body))?;
        return Ok(());
    }
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    let _lock = Lock::take(&cli.dir).map_err(failed)?;
    let state = State::open(&cli.dir).map_err(failed)?;
    if state.party(party).map_err(failed)?.is_none() {
        return Err(Failure::input(format!("there is no party `{party}`")));
    }
    state.put_party_limits(party, &limits).map_err(failed)
}

fn imported(cli: &Cli, args: &PartyImport) -> Result<(usize, Option<String>)> {
    let format = match args.format.as_deref() {
        Some("csv") => Some(ImportFormat::Csv),
        Some("json") => Some(ImportFormat::Json),
        Some(_) => Some(ImportFormat::JsonLines),
        None => args.file.to_str().and_then(ImportFormat::of_file),
    };
    let Some(format) = format else {
        let message = format!("the name {} does not say what the file is", args.file.display());
        return Err(Failure::input(message).with_hint("give --format csv, json or jsonl"));
    };
    let bytes = content(&args.file)?;
    let count = if let Some(server) = folder::server(&cli.dir) {
        let path = "/admin/v1/parties/import";
        let content = (format.media_type(), bytes);
        let done = admin_client::send_content(IMPORT_WAIT, &cli.dir, &server, path, content)?;
        count(&done)
    } else {
        let import = Import::read(&bytes, format, Tick(now_us()));
        let import = import.map_err(|problems| Failure::input(problems.to_string()))?;
        offline(cli, PartyChange::Import(import))?
    };
    Ok((count, None))
}

/// A file, or standard input, up to what an import may be.
fn content(file: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Failure::input(format!("cannot read {}: {error}", file.display()));
    let limit = u64::try_from(IMPORT_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(limit).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    if bytes.len() > IMPORT_BYTES_MAX {
        let message = format!(
            "{} is larger than {} MiB; split it",
            file.display(),
            IMPORT_BYTES_MAX >> 20
        );
        return Err(Failure::input(message));
    }
    Ok(bytes)
}

fn post(cli: &Cli, server: &Server, path: &str, body: &impl Serialize) -> Result<usize> {
    let body = serde_json::to_value(body).map_err(|error| Failure::found(error.to_string()))?;
    let value = admin_client::send(&cli.dir, server, "POST", path, Some(&body))?;
    Ok(count(&value))
}

fn count(value: &Value) -> usize {
    let count = value.get("count").and_then(Value::as_u64).unwrap_or_default();
    usize::try_from(count).unwrap_or_default()
}

/// No server runs: write the state file. The ledger learns of changes from the running server only.
fn offline(cli: &Cli, change: PartyChange) -> Result<usize> {
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    let _lock = Lock::take(&cli.dir).map_err(failed)?;
    let mut state = State::open(&cli.dir).map_err(failed)?;
    let now = Tick(now_us());
    let registry = state.registry(now).map_err(failed)?;
    let amended = change
        .amend(&state, &registry, now)
        .map_err(|error: ChangeError| Failure::input(error.to_string()))?;
    state.put_parties(&amended.rows).map_err(failed)?;
    Ok(amended.count)
}

fn told(cli: &Cli, (count, id): &(usize, Option<String>), done: &'static str) -> Result<u8> {
    if cli.json {
        output::json(&PartyChanged {
            schema: "tieline/party-change/v1",
            count: *count,
            done,
            id: id.clone(),
        })?;
        return Ok(0);
    }
    let noun = |one: &'static str, many: &'static str| if *count == 1 { one } else { many };
    output::line(match id {
        Some(id) if done == "expired" => {
            let pieces = noun("piece", "pieces");
            format!("party {id}: {count} {pieces} of evidence expired")
        }
        Some(id) => format!("party {id} is {done}"),
        None => format!("{count} {} imported", noun("party", "parties")),
    })?;
    Ok(0)
}

//! `tieline keys`: through the admin API of a running server, else in the state file.

use serde_json::{Value, json};
use tieline_core::Limits;
use tieline_gateway::{KeyRow, Lock, State, StateError, Token};

use super::reports::{KeyAdded, KeyListed, KeyRevoked};
use crate::cli::{Cli, Keys, KeysAdd};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) fn run(cli: &Cli, command: &Keys) -> Result<u8> {
    folder::must_have_state(&cli.dir)?;
    match command {
        Keys::Add(args) => add(cli, args),
        Keys::List => list(cli),
        Keys::Revoke { id } => revoke(cli, id),
    }
}

fn add(cli: &Cli, args: &KeysAdd) -> Result<u8> {
    let party = match &args.party {
        Some(party) => party.clone(),
        None => only_party(cli)?,
    };
    let limits = args.limits.limits();
    let scope = (!args.allow.is_empty()).then(|| args.allow.clone());
    let value = match folder::server(&cli.dir) {
        Some(server) => {
            let body = json!({ "limits": limits, "party": party, "scope": scope });
            admin_client::send(&cli.dir, &server, "POST", "/admin/v1/keys", Some(&body))?
        }
        None => add_offline(cli, &party, limits, scope)?,
    };
    let text = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let added = KeyAdded {
        schema: "tieline/keys-add/v1",
        id: text("id"),
        key: text("key"),
        party: text("party"),
    };
    if cli.json {
        output::json(&added)?;
        return Ok(0);
    }
    output::line(format!(
        "key {} of party {}, shown this once:",
        text("id"),
        text("party")
    ))?;
    output::line(text("key"))?;
    Ok(0)
}

fn add_offline(cli: &Cli, party: &str, limits: Limits, scope: Option<Vec<String>>) -> Result<Value> {
    names_are_known(cli, scope.as_deref().unwrap_or_default())?;
    let _lock = Lock::take(&cli.dir).map_err(|error| failed(&error))?;
    let state = State::open(&cli.dir).map_err(|error| failed(&error))?;
    if state.party(party).map_err(|error| failed(&error))?.is_none() {
        return Err(Failure::input(format!("there is no party `{party}`")));
    }
    let token = Token::party(&folder::entropy()?);
    let row = KeyRow {
        created_us: now_us(),
        digest: token.digest,
        id: folder::random_id("k")?,
        limits,
        party: party.to_owned(),
        revoked_us: None,
        scope,
    };
    state.put_key(&row).map_err(|error| failed(&error))?;
    Ok(json!({ "id": row.id, "party": party, "key": token.expose() }))
}

/// A scope of names that the grid does not have would make a key that every call is refused with. Where there is no
/// configuration that could tell, one is taken at its word.
fn names_are_known(cli: &Cli, names: &[String]) -> Result<()> {
    let config = folder::config(&cli.dir);
    let (checked, _) = crate::check::examine(&config);
    let Some(checked) = checked else {
        if !names.is_empty() {
            let config = config.display();
            output::progress(format!(
                "warning: {config} cannot tell whether the names of --allow are known"
            ));
        }
        return Ok(());
    };
    let grid = &checked.grid;
    let known = grid.pools.iter().map(|pool| &*pool.name);
    let known: Vec<&str> = known
        .chain(grid.models.iter().map(|model| &*model.name))
        .collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "--allow {name}: {} has no pool or model `{name}`",
                config.display()
            );
            Err(Failure::input(message).with_hint(
                "a key for it could ask for nothing; name a pool or model that is there, or add it to the configuration \
                 first",
            ))
        }
    }
}

fn only_party(cli: &Cli) -> Result<String> {
    let parties = State::read(&cli.dir)
        .and_then(|state| state.parties())
        .map_err(|error| failed(&error))?;
    match parties.as_slice() {
        [party] => Ok(party.id().to_owned()),
        parties => Err(Failure::input(format!(
            "there are {} parties; say which with --party",
            parties.len()
        ))),
    }
}

fn list(cli: &Cli) -> Result<u8> {
    let keys = State::read(&cli.dir)
        .and_then(|state| state.keys())
        .map_err(|error| failed(&error))?;
    for key in keys {
        let scope = key
            .scope
            .as_ref()
            .map_or_else(|| "all".to_owned(), |names| names.join(","));
        if cli.json {
            output::json_line(&KeyListed {
                schema: "tieline/keys/v1",
                created_us: key.created_us,
                id: key.id,
                limits: json!(key.limits),
                party: key.party,
                revoked_us: key.revoked_us,
                scope: key.scope,
            })?;
        } else {
            let state = if key.revoked_us.is_some() {
                "revoked"
            } else {
                "live"
            };
            output::line(format!(
                "{}  party {}  {state}  may ask for {scope}",
                key.id, key.party
            ))?;
        }
    }
    Ok(0)
}

fn revoke(cli: &Cli, id: &str) -> Result<u8> {
    let value = if let Some(server) = folder::server(&cli.dir) {
        let body = json!({ "id": id });
        admin_client::send(&cli.dir, &server, "POST", "/admin/v1/keys/revoke", Some(&body))?
    } else {
        let _lock = Lock::take(&cli.dir).map_err(|error| failed(&error))?;
        let state = State::open(&cli.dir).map_err(|error| failed(&error))?;
        json!({ "id": id, "changed": state.revoke_key(id, now_us()).map_err(|error| failed(&error))? })
    };
    let changed = value.get("changed").and_then(Value::as_bool) == Some(true);
    if cli.json {
        output::json(&KeyRevoked {
            schema: "tieline/keys-revoke/v1",
            changed,
            id: id.into(),
        })?;
    } else if changed {
        output::line(format!("key {id} is revoked"))?;
    } else {
        output::line(format!("key {id} was revoked before"))?;
    }
    Ok(0)
}

fn now_us() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0)
}

fn failed(error: &StateError) -> Failure {
    Failure::input(error.to_string())
}

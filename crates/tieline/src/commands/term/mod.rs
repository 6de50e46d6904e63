//! `tieline licence`, `tieline statement` and `tieline hold`: changes go through the admin API of a running server, else
//! into the state file under its lock; what only reads, reads the state file.

mod hold;
mod report;
mod template;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tieline_core::Tick;
use tieline_gateway::{LicenceLine, Lock, Role, State, StateError, StatementLine, TermChange, TermDone};
use tieline_note::{Verifier, note};
use tieline_policy::PackProblem;

use self::report::{LicenceReport, StatementReport, TermReport};
use super::serve::now_us;
use super::signing;
use crate::cli::{Cli, Licence, Statement};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder, load};

pub(super) use self::hold::run as hold;
pub(super) use self::report::schemas;

/// What a change of a term did.
#[derive(Debug)]
struct Done {
    changed: bool,
    digest: Option<String>,
    id: String,
    strangers: Vec<String>,
}

pub(super) fn licence(cli: &Cli, command: &Licence) -> Result<u8> {
    match command {
        Licence::Add(args) => {
            let text = read(&args.file)?;
            let licence = tieline_policy::Licence::read(&path(&args.file), &text)
                .map_err(|problems| placed(&problems))?;
            let change = TermChange::AddLicence(Box::new(licence));
            let done = changed(cli, "/admin/v1/licences", &json!({ "text": text }), |_| {
                Ok(change)
            })?;
            told(cli, "licence", "recorded", done)
        }
        Licence::Show(args) => {
            let lines = licences(cli)?;
            let line = lines.into_iter().find(|line| line.id == args.id);
            let line = line.ok_or_else(|| missing("licence", &args.id))?;
            if cli.json {
                output::json(&LicenceReport::of(line))?;
            } else {
                output::line(report::licence_text(&line))?;
            }
            Ok(0)
        }
        Licence::List => {
            for line in licences(cli)? {
                if cli.json {
                    output::json_line(&LicenceReport::of(line))?;
                } else {
                    output::line(report::licence_line(&line))?;
                }
            }
            Ok(0)
        }
        Licence::Revoke(args) => {
            let body = json!({ "id": args.id });
            let change = TermChange::RevokeLicence(args.id.clone());
            let done = changed(cli, "/admin/v1/licences/revoke", &body, |_| Ok(change))?;
            told(cli, "licence", "revoked", done)
        }
    }
}

pub(super) fn statement(cli: &Cli, command: &Statement) -> Result<u8> {
    match command {
        Statement::New(args) => new(&args.file),
        Statement::Sign(args) => signing::sign(args, checked),
        Statement::Add(args) => add_statement(cli, &args.file),
        Statement::Show(args) => {
            let lines = statements(cli)?;
            let line = lines.into_iter().find(|line| line.id == args.id);
            let line = line.ok_or_else(|| missing("statement", &args.id))?;
            if cli.json {
                output::json(&StatementReport::of(line))?;
            } else {
                output::line(report::statement_text(&line))?;
            }
            Ok(0)
        }
        Statement::List => {
            for line in statements(cli)? {
                if cli.json {
                    output::json_line(&StatementReport::of(line))?;
                } else {
                    output::line(report::statement_line(&line))?;
                }
            }
            Ok(0)
        }
        Statement::Revoke(args) => {
            let body = json!({ "id": args.id });
            let change = TermChange::RevokeStatement(args.id.clone());
            let done = changed(cli, "/admin/v1/statements/revoke", &body, |_| Ok(change))?;
            told(cli, "statement", "revoked", done)
        }
    }
}

fn new(file: &Path) -> Result<u8> {
    use std::io::Write as _;
    let made = std::fs::File::create_new(file)
        .and_then(|mut file| file.write_all(template::statement(jiff::Timestamp::now()).as_bytes()));
    made.map_err(|error| Failure::input(format!("cannot make {}: {error}", file.display())))?;
    output::progress(format!(
        "wrote {}; `tieline statement sign` checks and signs it",
        file.display()
    ));
    Ok(0)
}

fn add_statement(cli: &Cli, file: &Path) -> Result<u8> {
    let text = read(file)?;
    let is_signed = note::peek(&text).is_ok();
    checked(file, note::peek(&text).map_or(text.as_str(), |(inner, _)| inner))?;
    let body = json!({ "text": text });
    let done = changed(cli, "/admin/v1/statements", &body, |officer| {
        let keys = statement_keys(cli)?;
        let recorded_by = (!is_signed).then_some(officer);
        let statement = tieline_policy::Statement::open(&path(file), &text, &keys, recorded_by);
        let statement = statement.map_err(|problems| placed(&problems))?;
        Ok(TermChange::AddStatement(Box::new(statement)))
    })?;
    told(cli, "statement", "recorded", done)
}

/// Whether the text of a statement is right, whoever signs it.
fn checked(file: &Path, text: &str) -> Result<()> {
    tieline_policy::Statement::open(&path(file), text, &[], Some("-"))
        .map(drop)
        .map_err(|problems| placed(&problems))
}

fn statement_keys(cli: &Cli) -> Result<Vec<Verifier>> {
    load::statement_keys(&load::checked_in(&cli.dir)?).map_err(Failure::input)
}

/// Make a change, through the server if one runs; `offline` is asked for it otherwise, and told whose key it is.
fn changed(
    cli: &Cli,
    path: &str,
    body: &Value,
    offline: impl FnOnce(&str) -> Result<TermChange>,
) -> Result<Done> {
    folder::must_have_state(&cli.dir)?;
    let Some(server) = folder::server(&cli.dir) else {
        let done = carried_out(cli, offline)?;
        return Ok(Done {
            changed: done.changed,
            digest: done.digest.map(|digest| digest.to_string()),
            id: done.id,
            strangers: done.strangers,
        });
    };
    let value = admin_client::send(&cli.dir, &server, "POST", path, Some(body))?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let strangers = value.get("strangers").and_then(Value::as_array);
    let strangers = strangers.into_iter().flatten().filter_map(Value::as_str);
    Ok(Done {
        changed: value.get("changed").and_then(Value::as_bool).unwrap_or_default(),
        digest: text("digest"),
        id: text("id").unwrap_or_default(),
        strangers: strangers.map(str::to_owned).collect(),
    })
}

/// No server runs: the next start finds it. The ledger learns of changes from a running server only.
fn carried_out(cli: &Cli, change: impl FnOnce(&str) -> Result<TermChange>) -> Result<TermDone> {
    let _lock = Lock::take(&cli.dir).map_err(|error| failed(&error))?;
    let state = State::open(&cli.dir).map_err(|error| failed(&error))?;
    let officer = officer(cli, &state)?;
    let done = change(&officer)?.carry_out(&state, Tick(now_us()), &officer);
    done.map_err(|error| Failure::input(error.to_string()))
}

/// The id of the admin key at hand, which must be that of an officer or operator: what is recorded names it.
fn officer(cli: &Cli, state: &State) -> Result<String> {
    let may = |role: &str| matches!(Role::named(role), Some(Role::Officer | Role::Operator));
    match folder::admin(&cli.dir, state)? {
        Some(key) if may(&key.role) => Ok(key.id),
        _ => Err(Failure::input(
            "the admin key at hand is not that of an officer or operator of this state folder",
        )
        .with_hint("set TIELINE_ADMIN_KEY to such a key")),
    }
}

fn licences(cli: &Cli) -> Result<Vec<LicenceLine>> {
    let (state, now) = opened(cli)?;
    let uses = state.licence_uses().map_err(|error| failed(&error))?;
    let rows = state.licences().map_err(|error| failed(&error))?;
    let line = |row: tieline_gateway::LicenceRow| {
        let known = uses.iter().find(|(id, _)| *id == row.id);
        let calls = known.map(|(_, calls)| *calls);
        LicenceLine::new(row, calls, now)
    };
    Ok(rows.into_iter().filter_map(line).collect())
}

fn statements(cli: &Cli) -> Result<Vec<StatementLine>> {
    let (state, now) = opened(cli)?;
    let rows = state.statements().map_err(|error| failed(&error))?;
    let lines = rows.into_iter().filter_map(|row| StatementLine::new(row, now));
    Ok(lines.collect())
}

fn opened(cli: &Cli) -> Result<(State, Tick)> {
    folder::must_have_state(&cli.dir)?;
    let state = State::read(&cli.dir).map_err(|error| failed(&error))?;
    Ok((state, Tick(now_us())))
}

fn told(cli: &Cli, what: &'static str, done: &'static str, outcome: Done) -> Result<u8> {
    if cli.json {
        output::json(&TermReport {
            schema: "tieline/term-change/v1",
            changed: outcome.changed,
            digest: outcome.digest,
            done,
            id: outcome.id,
            strangers: outcome.strangers,
            term: what,
        })?;
        return Ok(0);
    }
    let before = if outcome.changed { "" } else { ", as it was before" };
    output::line(format!("{what} {} is {done}{before}", outcome.id))?;
    if !outcome.strangers.is_empty() {
        let names = outcome.strangers.join(", ");
        output::progress(format!("not recorded here, so it waits for them: {names}"));
    }
    Ok(0)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", file.display())))
}

fn path(file: &Path) -> Arc<str> {
    Arc::from(file.display().to_string())
}

fn placed(problems: &[PackProblem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::report(lines.join("\n"))
}

fn missing(what: &str, id: &str) -> Failure {
    Failure::input(format!("there is no {what} `{id}`")).with_hint(format!("`tieline {what} list` has all"))
}

fn failed(error: &StateError) -> Failure {
    Failure::input(error.to_string())
}

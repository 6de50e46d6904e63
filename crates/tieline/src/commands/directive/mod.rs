//! `tieline directive`: orders are written, signed, rehearsed and brought into force. What changes a running server goes
//! through its admin API; without one, the state file is changed under its lock, and the next start finds it.

pub(super) mod rehearse;
mod report;
mod template;

use std::path::Path;

use serde_json::{Value, json};
use tieline_core::Tick;
use tieline_gateway::{DirectiveLine, DirectiveRow, Does, Lock, State, misfit};
use tieline_policy::{Order, OrderError, SignedOrder};

use self::report::{AppliedReport, DirectiveReport, KeyReport};
use super::signing;
use crate::cli::{Cli, Directive, DirectiveKey, DirectiveNew};
use crate::output::{self, Failure, Result};
use crate::{admin_client, check, folder, load};

pub(super) use self::report::{RehearsalReport, schemas};

pub(super) fn run(cli: &Cli, command: &Directive) -> Result<u8> {
    match command {
        Directive::Key(args) => key(cli, args),
        Directive::New(args) => new(args),
        Directive::Sign(args) => signing::sign(args, |file, text| parse(file, text).map(drop)),
        Directive::Verify(args) => verify(cli, &args.file),
        Directive::Rehearse(args) => rehearse::run(cli, args),
        Directive::Apply(args) => apply(cli, &args.file, Does::Apply),
        Directive::Amend(args) => apply(cli, &args.file, Does::Amend),
        Directive::Revoke(args) => apply(cli, &args.file, Does::Revoke),
        Directive::List => list(cli),
        Directive::Show { id } => show(cli, id),
    }
}

fn key(cli: &Cli, args: &DirectiveKey) -> Result<u8> {
    let signer = folder::make_signing_key(&args.file, &args.name)?;
    let vkey = signer.verifier().vkey();
    if cli.json {
        let file = args.file.display().to_string();
        let schema = "tieline/directive-key/v1";
        output::json(&KeyReport { schema, file, vkey })?;
    } else {
        output::line(&vkey)?;
        output::progress(format!(
            "{} holds the key that signs, for its owner only; name the line above under [policy.orders]: keys = [\"…\"]",
            args.file.display()
        ));
    }
    Ok(0)
}

fn new(args: &DirectiveNew) -> Result<u8> {
    use std::io::Write as _;
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let text = match &args.revoke {
        Some(id) => template::revocation(id, now),
        None => template::directive(now),
    };
    let made = std::fs::File::create_new(&args.file).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| {
        Failure::input(format!(
            "cannot make {}: {}",
            args.file.display(),
            check::kind(&error)
        ))
    })?;
    output::progress(format!(
        "wrote {}; `tieline directive sign` checks and signs it",
        args.file.display()
    ));
    Ok(0)
}

fn verify(cli: &Cli, file: &Path) -> Result<u8> {
    let (signed, _) = open(cli, file)?;
    let report = DirectiveReport::of(&signed, None, None);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(format!(
            "{}: signed by {}; it may be applied",
            report.label(),
            report.signers.join(", ")
        ))?;
    }
    Ok(0)
}

fn apply(cli: &Cli, file: &Path, does: Does) -> Result<u8> {
    let text = read(file)?;
    let value = match folder::server(&cli.dir) {
        Some(server) => {
            let does = match does {
                Does::Amend => "amend",
                Does::Apply => "apply",
                Does::Revoke => "revoke",
            };
            let body = json!({ "does": does, "note": text });
            admin_client::send(&cli.dir, &server, "POST", "/admin/v1/directives", Some(&body))?
        }
        None => offline(cli, file, does)?,
    };
    let report = AppliedReport::of(&value);
    if cli.json {
        output::json(&report)?;
        return Ok(0);
    }
    output::line(report.text())?;
    Ok(0)
}

/// No server runs: the next start finds it.
fn offline(cli: &Cli, file: &Path, does: Does) -> Result<Value> {
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    folder::must_have_state(&cli.dir)?;
    let _lock = Lock::take(&cli.dir).map_err(failed)?;
    let state = State::open(&cli.dir).map_err(failed)?;
    let (signed, rows) = open_against(cli, file, state.directives().map_err(failed)?)?;
    let id = signed.order.id().to_string();
    let now = super::serve::now_us();
    if let Some(why) = misfit(&signed.order, does, &rows) {
        return Err(Failure::input(format!("`{id}`: {why}")));
    }
    if let Order::Directive(directive) = &signed.order {
        // A start must not fail over what was accepted before.
        rehearse::lays(cli, directive)?;
    }
    match &signed.order {
        Order::Directive(_) => state.put_directive(&DirectiveRow {
            applied_us: now,
            digest: signed.digest.0,
            id: id.clone(),
            note: signed.text.to_string(),
            revoked_us: None,
            version: signed.order.version(),
        }),
        Order::Revocation(_) => state.revoke_directive(&id, now).map(drop),
    }
    .map_err(failed)?;
    Ok(json!({ "id": id, "signers": signed.signers, "version": signed.order.version() }))
}

fn list(cli: &Cli) -> Result<u8> {
    let rows = lines(cli)?;
    if cli.json {
        for row in rows {
            output::json_line(&DirectiveReport::of_line(&row)?)?;
        }
        return Ok(0);
    }
    if rows.is_empty() {
        return output::line("no directive was ever applied here").map(|()| 0);
    }
    for row in rows {
        let state = match row.revoked_us {
            Some(_) => "revoked",
            None => "applied",
        };
        output::line(format!("{}@{}  {state}  {}", row.id, row.version, row.title))?;
    }
    Ok(0)
}

fn show(cli: &Cli, id: &str) -> Result<u8> {
    let (name, version): (&str, Option<u32>) = match id.split_once('@') {
        Some((name, version)) => (name, version.parse().ok()),
        None => (id, None),
    };
    let rows = lines(cli)?;
    let found = rows
        .iter()
        .filter(|row| row.id == name && version.is_none_or(|version| row.version == version))
        .max_by_key(|row| row.version);
    let Some(row) = found else {
        return Err(Failure::input(format!("there is no directive `{id}`"))
            .with_hint("`tieline directive list` lists them"));
    };
    if cli.json {
        output::json(&DirectiveReport::of_line(row)?)?;
    } else {
        output::line(&row.note)?;
    }
    Ok(0)
}

/// Every version of every directive of the state folder.
fn lines(cli: &Cli) -> Result<Vec<DirectiveLine>> {
    folder::must_have_state(&cli.dir)?;
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    let rows = State::read(&cli.dir)
        .and_then(|state| state.directives())
        .map_err(failed)?;
    Ok(rows.into_iter().filter_map(DirectiveLine::new).collect())
}

/// A signed order, checked against the configuration's keys and what was applied before.
fn open(cli: &Cli, file: &Path) -> Result<(SignedOrder, Vec<DirectiveRow>)> {
    let failed = |error: tieline_gateway::StateError| Failure::input(error.to_string());
    let rows = if cli.dir.join("state.db").exists() {
        State::read(&cli.dir)
            .and_then(|state| state.directives())
            .map_err(failed)?
    } else {
        Vec::new()
    };
    open_against(cli, file, rows)
}

fn open_against(cli: &Cli, file: &Path, rows: Vec<DirectiveRow>) -> Result<(SignedOrder, Vec<DirectiveRow>)> {
    let text = read(file)?;
    let checked = load::checked_in(&cli.dir)?;
    let signers = load::signers(&checked).map_err(Failure::input)?.ok_or_else(|| {
        Failure::input("nobody may sign directives here").with_hint(
            "name verifier keys under [policy.orders]: keys = [\"…\"]; `tieline directive key FILE` makes one",
        )
    })?;
    let signed = SignedOrder::open(text.as_bytes(), &signers).map_err(|error| refused(file, error))?;
    let of_id = || rows.iter().filter(|row| *row.id == **signed.order.id());
    let in_force = of_id()
        .filter(|row| row.revoked_us.is_none())
        .map(|row| row.version)
        .max();
    let last = of_id().map(|row| row.version).max();
    let now = Tick(super::serve::now_us());
    signed
        .order
        .check(now, in_force, last)
        .map_err(|error| refused(file, error))?;
    Ok((signed, rows))
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", file.display())))
}

/// The order of a file, signed or not, with every problem at its place.
fn parse(file: &Path, text: &str) -> Result<Order> {
    Order::parse(&file.display().to_string(), text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::report(lines.join("\n"))
    })
}

fn refused(file: &Path, error: OrderError) -> Failure {
    match error {
        OrderError::Problems(problems) => {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| format!("{}: {problem}", file.display()))
                .collect();
            Failure::report(lines.join("\n"))
        }
        other => Failure::input(format!("{}: {other}", file.display())),
    }
}

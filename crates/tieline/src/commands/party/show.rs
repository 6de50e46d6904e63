//! Parties as people read them.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tieline_core::Tick;
use tieline_gateway::{EvidenceLine, PartyLine, PartyShown, State, StateError};
use tieline_policy::{FactName, RedFlag, Registry};

use super::super::serve::now_us;
use super::report::{PartyListed, PartyReport};
use crate::cli::Cli;
use crate::output::{self, Failure, Result};

pub(super) fn list(cli: &Cli) -> Result<u8> {
    let (state, registry, now) = open(cli)?;
    for row in state.parties().map_err(|error| failed(&error))? {
        let line = PartyLine::new(row, &registry, now);
        let flags: Vec<String> = line.flags.iter().map(ToString::to_string).collect();
        if cli.json {
            output::json_line(&PartyListed {
                schema: "tieline/parties/v1",
                evidence: line.evidence,
                flags,
                id: line.id,
                kind: line.kind.name(),
                missing: line.missing,
                name: line.name,
                parent: line.parent,
            })?;
            continue;
        }
        let mut text = format!("{}  {}  {}", line.id, line.kind.name(), line.name);
        if let Some(parent) = line.parent {
            let _ = write!(text, "  below {parent}");
        }
        if !flags.is_empty() {
            let _ = write!(text, "  red flags: {}", flags.join(", "));
        }
        if !line.missing.is_empty() {
            let _ = write!(text, "  unknown: {}", line.missing.join(", "));
        }
        output::line(text)?;
    }
    Ok(0)
}

pub(super) fn one(cli: &Cli, id: &str) -> Result<u8> {
    let (state, registry, now) = open(cli)?;
    let row = state.party(id).map_err(|error| failed(&error))?;
    let Some(shown) = row.and_then(|row| PartyShown::new(row, &registry, now)) else {
        let failure = Failure::input(format!("there is no party `{id}`"));
        return Err(failure.with_hint("`tieline party list` has all"));
    };
    if cli.json {
        output::json(&PartyReport {
            schema: "tieline/party/v1",
            digest: shown.digest,
            evidence: shown.evidence,
            facts: json!(shown.facts),
            flags: json!(shown.flags),
            name: shown.name,
            record: json!(shown.record),
        })?;
    } else {
        output::line(text(&shown, now))?;
    }
    Ok(0)
}

fn open(cli: &Cli) -> Result<(State, Registry, Tick)> {
    let now = Tick(now_us());
    let state = State::read(&cli.dir).map_err(|error| failed(&error))?;
    let registry = state.registry(now).map_err(|error| failed(&error))?;
    Ok((state, registry, now))
}

fn failed(error: &StateError) -> Failure {
    Failure::input(error.to_string())
}

fn text(shown: &PartyShown, now: Tick) -> String {
    let record = &shown.record;
    let mut out = format!("party {} ({}): {}\n", record.id, record.kind.name(), shown.name);
    if let Some(parent) = &record.parent {
        let _ = writeln!(out, "below: {parent}");
    }
    if !record.owners.is_empty() {
        let owner = |share: &tieline_policy::Share| match share.permille {
            Some(permille) => format!("{} {permille}/1000", share.owner),
            None => format!("{} of unknown share", share.owner),
        };
        let owners: Vec<String> = record.owners.iter().map(owner).collect();
        let _ = writeln!(out, "owners: {}", owners.join(", "));
    }
    let facts = shown.facts.at(now);
    let known: Vec<String> = facts.names().iter().map(ToString::to_string).collect();
    let missing: Vec<&str> = FactName::fields()
        .filter(|name| !known.iter().any(|known| known == name))
        .collect();
    out.push_str("facts:\n");
    if let Ok(Value::Object(members)) = serde_json::to_value(&facts) {
        for (name, value) in members.iter().filter(|(name, _)| *name != "expires") {
            let _ = writeln!(out, "  {name}: {}", plain(value));
        }
    }
    let _ = writeln!(out, "unknown: {}", or_none(&missing.join(", ")));
    for flag in &shown.flags {
        let _ = writeln!(out, "red flag: {}", flag_text(flag));
    }
    out.push_str("evidence:\n");
    for piece in &shown.evidence {
        let _ = writeln!(out, "  {}", evidence_text(piece));
    }
    let _ = write!(out, "cited as: {}", shown.digest);
    out
}

fn flag_text(flag: &RedFlag) -> String {
    let values: Vec<String> = flag
        .values
        .iter()
        .filter_map(|value| serde_json::to_value(value).ok())
        .map(|value| inner(&value))
        .collect();
    let from: Vec<String> = flag
        .from
        .iter()
        .map(|origin| format!("{} ({})", origin.issuer, origin.kind.name()))
        .collect();
    let from = if from.is_empty() {
        "recorded owners".to_owned()
    } else {
        from.join(", ")
    };
    format!("{} is {}, as {from} say", flag.fact, values.join(" or "))
}

fn evidence_text(piece: &EvidenceLine) -> String {
    let value = serde_json::to_value(&piece.value).map_or_else(|_| String::new(), |value| inner(&value));
    let until = match (piece.expires, piece.in_force) {
        (None, _) => "without end".to_owned(),
        (Some(at), true) => format!("until {}", moment(at)),
        (Some(at), false) => format!("expired {}", moment(at)),
    };
    let (fact, kind, issuer) = (&piece.fact, &piece.kind, &piece.issuer);
    format!(
        "{fact}: {value}  {kind} by {issuer}, {}, {until}",
        moment(piece.obtained)
    )
}

/// The value of an object with one member.
fn inner(value: &Value) -> String {
    let only = value.as_object().and_then(|members| members.values().next());
    only.map_or_else(String::new, plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let names: Vec<String> = items.iter().map(plain).collect();
            or_none(&names.join(", ")).to_owned()
        }
        other => other.to_string(),
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn moment(us: u64) -> String {
    let at = i64::try_from(us)
        .ok()
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(|| us.to_string(), |at| at.to_string())
}

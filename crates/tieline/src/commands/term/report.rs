//! Licences, statements and holds as they are printed.

use std::fmt::Write as _;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;
use tieline_gateway::{Disposition, HoldRow, LegalRefusal, LicenceLine, StatementLine};

use super::super::reports::printed;

/// `tieline licence add` and `revoke`, `tieline statement add` and `revoke`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct TermReport {
    /// Always `tieline/term-change/v1`.
    pub(super) schema: &'static str,
    /// False if it was so before.
    pub(super) changed: bool,
    /// SHA-256, as decisions cite it.
    pub(super) digest: Option<String>,
    /// `recorded` or `revoked`.
    pub(super) done: &'static str,
    pub(super) id: String,
    /// Parties that it names and that are not recorded: it waits for them.
    pub(super) strangers: Vec<String>,
    /// `licence` or `statement`.
    pub(super) term: &'static str,
}

/// `tieline licence show`, and a row of `tieline licence list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct LicenceReport {
    /// Always `tieline/licence-report/v1`.
    schema: &'static str,
    /// SHA-256, as decisions cite it.
    digest: String,
    id: String,
    /// Whether it counts at the moment of asking.
    in_force: bool,
    /// As it was recorded; instants are µs UTC.
    licence: Value,
    /// µs UTC.
    revoked_us: Option<u64>,
    /// Calls that used a unit of it, where it is counted.
    used: Option<u64>,
}

/// `tieline statement show`, and a row of `tieline statement list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StatementReport {
    /// Always `tieline/statement-report/v1`.
    schema: &'static str,
    /// SHA-256, as decisions cite it.
    digest: String,
    id: String,
    /// Whether it counts at the moment of asking.
    in_force: bool,
    party: String,
    /// µs UTC.
    revoked_us: Option<u64>,
    /// As it was recorded; instants are µs UTC.
    statement: Value,
}

/// `tieline hold show` and `dispose`, and a row of `tieline hold list`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct HoldReport {
    /// Always `tieline/hold/v1`.
    schema: &'static str,
    /// Calls that were held under this ticket.
    calls: u64,
    /// What was said last; null while it waits.
    disposition: Option<Disposition>,
    model: String,
    /// µs UTC.
    opened_us: u64,
    party: String,
    /// Of a legal block, what the channel said; else null.
    refusal: Option<LegalRefusal>,
    /// Ids of the rules that hold.
    rules: Vec<String>,
    ticket: String,
}

pub(in crate::commands) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("hold", printed::<HoldReport>()),
        ("licence-report", printed::<LicenceReport>()),
        ("statement-report", printed::<StatementReport>()),
        ("term-change", printed::<TermReport>()),
    ]
}

impl LicenceReport {
    pub(super) fn of(line: LicenceLine) -> Self {
        Self {
            schema: "tieline/licence-report/v1",
            digest: line.digest,
            id: line.id,
            in_force: line.in_force,
            licence: line.licence,
            revoked_us: line.revoked_us,
            used: line.used,
        }
    }
}

impl StatementReport {
    pub(super) fn of(line: StatementLine) -> Self {
        Self {
            schema: "tieline/statement-report/v1",
            digest: line.digest,
            id: line.id,
            in_force: line.in_force,
            party: line.party,
            revoked_us: line.revoked_us,
            statement: line.statement,
        }
    }
}

impl HoldReport {
    pub(super) fn of(hold: HoldRow) -> Self {
        Self {
            schema: "tieline/hold/v1",
            calls: hold.calls,
            disposition: hold.disposition,
            model: hold.model,
            opened_us: hold.opened_us,
            party: hold.party,
            refusal: hold.refusal,
            rules: hold.rules,
            ticket: hold.ticket,
        }
    }
}

pub(super) fn licence_line(line: &LicenceLine) -> String {
    let kind = text(&line.licence, "/kind");
    let mut out = format!("{}  {kind}  {}", line.id, state(line.in_force, line.revoked_us));
    if let Some(used) = line.used {
        let calls = line.licence.pointer("/quantity/calls").and_then(Value::as_u64);
        let _ = write!(out, "  {used} of {} calls used", calls.unwrap_or_default());
    }
    out
}

pub(super) fn licence_text(line: &LicenceLine) -> String {
    let licence = &line.licence;
    let mut out = format!("licence {}\n", licence_line(line));
    let (issuer, authority) = (text(licence, "/issuer"), text(licence, "/authority"));
    let _ = writeln!(out, "issued by: {issuer} ({authority})");
    let parties = licence.get("parties").and_then(Value::as_array);
    for party in parties.into_iter().flatten() {
        let with_members = party.get("with_members").and_then(Value::as_bool) == Some(true);
        let below = if with_members { ", with those below it" } else { "" };
        let _ = writeln!(out, "party: {}{below}", text(party, "/id"));
    }
    let conditions = licence.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(out, "condition: {condition}");
    }
    terms(&mut out, licence, line.revoked_us, &line.digest);
    out
}

pub(super) fn statement_line(line: &StatementLine) -> String {
    let kind = text(&line.statement, "/kind");
    let state = state(line.in_force, line.revoked_us);
    format!("{}  {kind}  {}  {state}", line.id, line.party)
}

pub(super) fn statement_text(line: &StatementLine) -> String {
    let statement = &line.statement;
    let mut out = format!("statement {}\n", statement_line(line));
    let (name, role) = (text(statement, "/signer/name"), text(statement, "/signer/role"));
    let institution = text(statement, "/institution/name");
    let _ = writeln!(out, "made by: {name}, {role}, {institution}");
    let _ = writeln!(out, "for: {}", text(statement, "/project/purpose"));
    let signers = statement.get("signers").and_then(Value::as_array);
    for signer in signers.into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(out, "signed with: {signer}");
    }
    if let Some(officer) = statement.get("recorded_by").and_then(Value::as_str) {
        let _ = writeln!(out, "recorded by: {officer}, who answers for it");
    }
    terms(&mut out, statement, line.revoked_us, &line.digest);
    out
}

pub(super) fn hold_line(hold: &HoldRow) -> String {
    let state = match &hold.disposition {
        None => "waits",
        Some(said) if said.grant => "granted",
        Some(_) => "refused",
    };
    format!(
        "{}  {state}  {}  {}  {}",
        hold.ticket,
        hold.party,
        hold.model,
        hold.rules.join(", ")
    )
}

pub(super) fn hold_text(hold: &HoldRow) -> String {
    let mut out = format!("hold {}\n", hold_line(hold));
    let _ = writeln!(out, "calls: {}, first {}", hold.calls, moment(hold.opened_us));
    if let Some(refusal) = &hold.refusal {
        let status = refusal
            .status
            .map_or_else(String::new, |status| format!(" (status {status})"));
        let at = moment(refusal.at_us);
        let _ = writeln!(
            out,
            "refused on legal grounds by the channel {}{status} at {at}",
            refusal.channel
        );
    }
    if let Some(said) = &hold.disposition {
        let done = if said.grant { "granted" } else { "refused" };
        let at = moment(said.decided_us);
        let _ = writeln!(out, "{done} by {} at {at}: {}", said.officer, said.reason);
        if said.grant && hold.is_legal_block() {
            out.push_str("the block is over\n");
        } else if said.grant {
            let _ = writeln!(out, "until: {}", moment(said.until_us));
        }
    }
    out
}

/// Scope, validity, revocation, digest: what licences and statements have in common.
fn terms(out: &mut String, term: &Value, revoked_us: Option<u64>, digest: &str) {
    if let Some(scope) = term.get("scope").and_then(Value::as_object) {
        for (name, values) in scope {
            let values: Vec<&str> = values
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let _ = writeln!(out, "only {name}: {}", values.join(", "));
        }
    }
    let at = |name: &str| term.get(name).and_then(Value::as_u64).map(moment);
    let _ = writeln!(out, "valid from: {}", at("valid_from").unwrap_or_default());
    let _ = writeln!(
        out,
        "valid to: {}",
        at("valid_to").unwrap_or("without end".into())
    );
    if let Some(us) = revoked_us {
        let _ = writeln!(out, "revoked: {}", moment(us));
    }
    let _ = writeln!(out, "cited as: {digest}");
}

const fn state(in_force: bool, revoked_us: Option<u64>) -> &'static str {
    match (in_force, revoked_us) {
        (_, Some(_)) => "revoked",
        (true, None) => "in force",
        (false, None) => "not in force",
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn moment(us: u64) -> String {
    let at = i64::try_from(us)
        .ok()
        .and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(|| us.to_string(), |at| at.to_string())
}

//! `tieline explain`: a call from its two entries, or an error from its number.

use serde_json::json;
use tieline_core::record::{DecisionEntry, OutcomeEntry};
use tieline_core::{CallId, Code};
use tieline_ledger::Index;

use super::ledger::{failed, reader};
use super::reports::{CodeReport, ExplainReport};
use crate::cli::Cli;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) fn run(cli: &Cli, call: &str) -> Result<u8> {
    if let Some(code) = Code::ALL
        .iter()
        .find(|code| code.number().eq_ignore_ascii_case(call))
    {
        return explain_code(cli, *code);
    }
    // What a running server has queued becomes durable first, so that a call just made is there.
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
    let reader = reader(&cli.dir)?;
    let mut index = Index::open(&cli.dir).map_err(|error| failed(&error))?;
    index.catch_up(&reader).map_err(|error| failed(&error))?;
    let id = if call == "last" {
        let latest = index.latest(1).map_err(|error| failed(&error))?.pop();
        latest
            .ok_or_else(|| Failure::input("the ledger has no call yet"))?
            .id
    } else {
        let id: CallId = call
            .parse()
            .map_err(|error| Failure::input(format!("`{call}`: {error}")))?;
        id.to_string()
    };
    let (mut decision, mut outcome) = (None, None);
    for at in index.entries_of(&id).map_err(|error| failed(&error))? {
        let Some(bytes) = reader.entry(at).map_err(|error| failed(&error))? else {
            continue;
        };
        if let Ok(entry) = serde_json::from_slice::<DecisionEntry>(&bytes) {
            decision = Some(entry);
        } else if let Ok(entry) = serde_json::from_slice::<OutcomeEntry>(&bytes) {
            outcome = Some(entry);
        }
    }
    let Some(decision) = decision else {
        return Err(Failure::input(format!("the ledger has no call {id}"))
            .with_hint("a request without a valid key is no call and has no record"));
    };
    let lines = tieline_core::explain(&decision, outcome.as_ref());
    if cli.json {
        let schema = "tieline/explain/v1";
        let (decision, outcome) = (json!(decision), outcome.map(|outcome| json!(outcome)));
        output::json(&ExplainReport {
            schema,
            call: id,
            decision,
            lines,
            outcome,
        })?;
    } else {
        for line in lines {
            output::line(line)?;
        }
    }
    Ok(0)
}

fn explain_code(cli: &Cli, code: Code) -> Result<u8> {
    if cli.json {
        output::json(&CodeReport {
            schema: "tieline/explain-code/v1",
            advice: code.advice(),
            name: code.name(),
            number: code.number(),
            status: code.status(),
            title: code.title(),
        })?;
    } else {
        output::line(format!(
            "{} {} (HTTP {})",
            code.number(),
            code.name(),
            code.status()
        ))?;
        output::line(code.title())?;
        output::line(code.advice())?;
    }
    Ok(0)
}

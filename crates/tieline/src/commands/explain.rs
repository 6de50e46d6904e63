//! `tieline explain`: a call from its two entries, or an error from its number.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tieline_core::call::Fact;
use tieline_core::record::{DecisionEntry, OutcomeEntry};
use tieline_core::{CallId, Code, Ruling};
use tieline_policy::Pack;

use super::book::Book;
use super::reports::{CodeReport, ExplainReport};
use crate::cli::Cli;
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(super) fn run(cli: &Cli, call: &str) -> Result<u8> {
    if let Some(number) = call.get(..2).filter(|start| start.eq_ignore_ascii_case("TL")) {
        let code = code(call).ok_or_else(|| {
            Failure::input(format!(
                "there is no error {number}{}",
                call.get(2..).unwrap_or_default()
            ))
            .with_hint("numbers are those that a refused call or `tieline check` shows, such as TL5001")
        })?;
        return explain_code(cli, &code);
    }
    // What a running server has queued becomes durable first, so that a call just made is there.
    if let Some(server) = folder::server(&cli.dir) {
        let _ = admin_client::send(&cli.dir, &server, "POST", "/admin/v1/flush", None);
    }
    let book = Book::open(&cli.dir)?;
    let id = if call == "last" {
        book.last()?
            .ok_or_else(|| Failure::input("the ledger has no call yet"))?
    } else {
        let id: CallId = call.to_ascii_lowercase().parse().map_err(|error| {
            Failure::input(format!("`{call}`: {error}")).with_hint(
                "give the id from the reply header `x-tieline-call`, `last` for the newest call, or an error's number \
                 such as TL5001",
            )
        })?;
        id.to_string()
    };
    let (mut decision, mut outcome) = (None, None);
    for bytes in book.naming(&id)? {
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
    let mut lines = tieline_core::explain(&decision, outcome.as_ref());
    lines.extend(remedies(&book, &decision, outcome.as_ref())?);
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

/// What a caller can do about each rule that held or denied, from the packs as they were then.
fn remedies(book: &Book, decision: &DecisionEntry, outcome: Option<&OutcomeEntry>) -> Result<Vec<String>> {
    let steps = decision
        .inputs
        .iter()
        .chain(outcome.into_iter().flat_map(|outcome| &outcome.inputs));
    let mut rules = BTreeSet::new();
    for step in steps {
        let Fact::Verdicts(verdicts) = &step.fact else {
            continue;
        };
        for verdict in verdicts.iter().map(|judged| &judged.0) {
            if verdict.ruling != Ruling::Allow {
                rules.extend(verdict.rules.iter().map(|rule| (verdict.epoch, rule.id.clone())));
            }
        }
    }
    let mut lines = Vec::new();
    let mut packs = BTreeMap::new();
    for (epoch, id) in rules {
        let packs: &Vec<Pack> = match packs.entry(epoch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(book.packs(epoch)?),
        };
        let rule = packs.iter().flat_map(Pack::rules).find(|rule| rule.rule.id == id);
        let remedy = if let Some(rule) = rule {
            rule.remedy.clone()
        } else {
            let directives = book.directives(epoch)?;
            let of_rule = directives.iter().find(|directive| directive.rule_id() == id);
            of_rule.and_then(|directive| directive.remedy.clone())
        };
        let Some(remedy) = remedy else { continue };
        let line = format!("The way out of rule {id}: {remedy}");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// The error of this number: one of a call's, else one of a configuration's.
fn code(number: &str) -> Option<CodeReport> {
    let schema = "tieline/explain-code/v1";
    let of_call = Code::ALL
        .iter()
        .find(|code| code.number().eq_ignore_ascii_case(number))
        .map(|code| CodeReport {
            schema,
            advice: code.advice(),
            name: code.name(),
            number: code.number(),
            status: Some(code.status()),
            title: code.title(),
        });
    let of_config = crate::diagnose::Code::ALL
        .iter()
        .find(|code| code.number().eq_ignore_ascii_case(number))
        .map(|code| CodeReport {
            schema,
            advice: code.advice(),
            name: code.name(),
            number: code.number(),
            status: None,
            title: code.title(),
        });
    of_call.or(of_config)
}

fn explain_code(cli: &Cli, code: &CodeReport) -> Result<u8> {
    if cli.json {
        output::json(code)?;
        return Ok(0);
    }
    let place = code.status.map_or_else(
        || "in a configuration".to_owned(),
        |status| format!("HTTP {status}"),
    );
    output::line(format!("{} {} ({place})", code.number, code.name))?;
    output::line(code.title)?;
    output::line(code.advice)?;
    Ok(0)
}

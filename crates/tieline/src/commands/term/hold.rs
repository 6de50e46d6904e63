//! `tieline hold`: what waits for an officer.

use serde_json::json;
use tieline_core::Tick;
use tieline_gateway::{Disposal, HoldRow, TermChange};
use tieline_policy::instant_of_date;

use super::report::{HoldReport, hold_line, hold_text};
use super::{carried_out, failed, missing, opened};
use crate::cli::{Cli, Hold, HoldDispose};
use crate::output::{self, Failure, Result};
use crate::{admin_client, folder};

pub(in crate::commands) fn run(cli: &Cli, command: &Hold) -> Result<u8> {
    match command {
        Hold::List { open } => list(cli, *open),
        Hold::Show { ticket } => {
            let (state, _) = opened(cli)?;
            let hold = state.hold(ticket).map_err(|error| failed(&error))?;
            shown(cli, hold.ok_or_else(|| missing("hold", ticket))?)
        }
        Hold::Dispose(args) => dispose(cli, args),
    }
}

fn list(cli: &Cli, open: bool) -> Result<u8> {
    let (state, _) = opened(cli)?;
    let holds = state.holds().map_err(|error| failed(&error))?;
    for hold in holds
        .into_iter()
        .filter(|hold| !open || hold.disposition.is_none())
    {
        if cli.json {
            output::json_line(&HoldReport::of(hold))?;
        } else {
            output::line(hold_line(&hold))?;
        }
    }
    Ok(0)
}

fn dispose(cli: &Cli, args: &HoldDispose) -> Result<u8> {
    folder::must_have_state(&cli.dir)?;
    let until = args.until.as_deref().map(instant_of_date).transpose();
    let until: Option<Tick> = until.map_err(|says| Failure::input(format!("--until: {says}")))?;
    let hold = if let Some(server) = folder::server(&cli.dir) {
        let body = json!({
            "again": args.again,
            "grant": args.grant,
            "reason": args.reason,
            "ticket": args.ticket,
            "until": until.map(|at| at.0),
        });
        let path = "/admin/v1/holds/dispose";
        let value = admin_client::send(&cli.dir, &server, "POST", path, Some(&body))?;
        serde_json::from_value(value).map_err(|error| Failure::found(error.to_string()))?
    } else {
        let change = TermChange::Dispose(Disposal {
            again: args.again,
            grant: args.grant,
            reason: args.reason.clone(),
            ticket: args.ticket.clone(),
            until,
        });
        let done = carried_out(cli, |_| Ok(change))?;
        done.hold.ok_or_else(|| missing("hold", &args.ticket))?
    };
    shown(cli, hold)
}

fn shown(cli: &Cli, hold: HoldRow) -> Result<u8> {
    if cli.json {
        output::json(&HoldReport::of(hold))?;
    } else {
        output::line(hold_text(&hold))?;
    }
    Ok(0)
}

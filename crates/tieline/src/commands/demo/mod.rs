//! `tieline demo june-12`: a letter, an exemption and a withdrawal on a gateway under steady load, with a party that they
//! do not concern, one that they do, and one of which nobody knows; who was refused, who was held for which missing fact,
//! how fast, and a log that another project's verifier accepts.

mod house;
mod letters;
mod load;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tieline_ledger::VerifyOptions;

use self::house::House;
use self::letters::Case;
use self::load::{Ask, Got, Load, Record, Stream, StreamEnd};
use self::report::{FlightReport, LogReport, PartyReport, PhaseReport};
use crate::cli::{Cli, June12};
use crate::output::{self, Failure, Result};
use crate::{folder, up};

pub(in crate::commands) use self::report::JuneReport;

/// Calls of each loop that make a phase.
const CALLS_A_PHASE: usize = 25;

/// With a real model on a slow machine a loop of 25 calls takes a minute.
const PHASE_MAX: Duration = Duration::from_mins(5);

/// How long an answer in flight is watched for its end; one that is cut ends at once.
const FLIGHT_WATCH: Duration = Duration::from_millis(800);

/// Index of each party of the story.
const ELIGIBLE: usize = 0;
const CONTROLLED: usize = 1;
const ROLES: [&str; 3] = ["eligible", "controlled", "unknown"];

/// The parties and their keys, by index.
struct Cast {
    ids: [String; 3],
    keys: [String; 3],
}

pub(super) fn june_12(cli: &Cli, args: &June12) -> Result<u8> {
    let house = House::open(&cli.dir, args.keep.as_deref())?;
    if !cli.json {
        output::progress(if house.is_own {
            "no gateway runs in the state folder: started one of the demo's own, over scripted channels"
        } else {
            "playing on the gateway that runs in the state folder"
        });
    }
    let cast = cast(&house)?;
    let runtime = super::serve::runtime(2)?;
    let (phases, mut findings) = runtime.block_on(play(cli, &house, &cast))?;
    let log = log(&house, args.keep.as_deref())?;
    if !log.verifies {
        findings.push("the log does not verify".to_owned());
    }
    if log.other_verifier_accepts == Some(false) {
        findings.push("another project's verifier refuses the log".to_owned());
    }
    let report = JuneReport {
        schema: "tieline/demo-june-12/v1",
        findings,
        log,
        models: house.models.clone(),
        phases,
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(u8::from(!report.findings.is_empty()))
}

/// An organisation in the United States; one in Germany, which the letter means and the second letter exempts; and a
/// person in the United States of whom nobody has asserted whether she is a US person.
fn cast(house: &House) -> Result<Cast> {
    let place = |code: &str| json!({ "jurisdiction": code });
    let class = json!({ "class": "enterprise" });
    let parties = [
        house.party("demo: eligible", "organisation", &[place("US"), class.clone()])?,
        house.party("demo: controlled", "organisation", &[place("DE"), class])?,
        house.party(
            "demo: unknown",
            "person",
            &[place("US"), json!({ "class": "consumer" })],
        )?,
    ];
    let [a, b, c] = parties;
    Ok(Cast {
        ids: [a.0, b.0, c.0],
        keys: [a.1, b.1, c.1],
    })
}

async fn play(cli: &Cli, house: &House, cast: &Cast) -> Result<(Vec<PhaseReport>, Vec<String>)> {
    let mut asks = vec![(Ask::Pool, house.pool.clone())];
    let kinds = [Ask::First, Ask::Second];
    asks.extend(kinds.into_iter().zip(house.models.iter().cloned()));
    let load = Load::start(&house.gateway, &cast.keys, &asks);
    if !load.wait_each(CALLS_A_PHASE, Instant::now(), PHASE_MAX).await {
        return Err(Failure::found("the gateway does not answer under load"));
    }
    let run = folder::random_id("r")?;
    let papers = Case {
        models: &house.models,
        partner: &cast.ids[CONTROLLED],
        signer: &house.signer,
        run: run.trim_start_matches("r_"),
    };
    let mut phases = Vec::new();
    for (phase, notes) in [
        ("letter", papers.letter()?),
        ("exemption", papers.exemption()?),
        ("withdrawal", papers.withdrawal()?),
    ] {
        let report = play_phase(house, cast, &load, phase, &notes).await?;
        if !cli.json {
            output::progress(format!(
                "the {phase} is signed and applied: in force after {:.3} s",
                report.in_force_seconds
            ));
        }
        phases.push(report);
    }
    let failed = load.records().into_iter().find_map(|record| match record.got {
        Got::Failed(why) => Some(format!("a call failed: {why}")),
        _ => None,
    });
    load.stop().await;
    let mut findings = findings(&phases, house.models.len());
    findings.extend(failed);
    Ok((phases, findings))
}

async fn play_phase(
    house: &House,
    cast: &Cast,
    load: &Load,
    phase: &'static str,
    notes: &[String],
) -> Result<PhaseReport> {
    let first = house.models.first().map_or("", String::as_str);
    let mut streams = Vec::new();
    for key in &cast.keys {
        streams.extend(Stream::open(&house.gateway, key, first).await);
    }
    let asked = Instant::now();
    tokio::task::block_in_place(|| apply(house, notes))?;
    let applied = Instant::now();
    if !load.wait_each(CALLS_A_PHASE, applied, PHASE_MAX).await {
        return Err(Failure::found("the gateway does not answer under load"));
    }
    let records = load.records();
    let mut flight = FlightReport { cut: 0, went_on: 0 };
    for stream in streams {
        match stream.end(FLIGHT_WATCH).await {
            StreamEnd::Cut => flight.cut += 1,
            StreamEnd::Finished | StreamEnd::Running => flight.went_on += 1,
        }
    }
    let since: Vec<&Record> = records.iter().filter(|record| record.asked >= applied).collect();
    let parties: Vec<PartyReport> = (0..ROLES.len())
        .map(|party| tally(party, &cast.ids, &since, house))
        .collect();
    let sum = |of: fn(&PartyReport) -> u64| parties.iter().map(of).sum();
    let troubled = |party: &&PartyReport| party.refused + party.held > 0;
    let count = |role: usize| parties.get(role).iter().copied().filter(troubled).count();
    Ok(PhaseReport {
        bystanders: u32::try_from(count(ELIGIBLE)).unwrap_or(u32::MAX),
        calls_in_flight: flight,
        held: sum(|party| party.held),
        in_force_seconds: in_force(&records, asked, applied).as_secs_f64(),
        moved: sum(|party| party.moved),
        undetermined: u32::try_from(parties.iter().filter(|party| party.held > 0).count())
            .unwrap_or(u32::MAX),
        refused: sum(|party| party.refused),
        parties,
        phase,
    })
}

/// Every paper of the phase, one after the other, as `tieline directive apply` does.
fn apply(house: &House, notes: &[String]) -> Result<()> {
    for note in notes {
        house.admin("POST", "/admin/v1/directives", Some(&json!({ "note": note })))?;
    }
    Ok(())
}

/// From `asked` until nobody is treated as before: at least until the papers were applied, and until the last call that
/// was asked after that and yet got what it would have got before.
fn in_force(records: &[Record], asked: Instant, applied: Instant) -> Duration {
    let key = |record: &Record| (record.party, record.ask);
    let late = records
        .iter()
        .filter(|record| record.asked >= applied)
        .filter(|record| {
            // What the same loop got in the end is what the paper means for it.
            let last = records.iter().rev().find(|other| key(other) == key(record));
            last.is_some_and(|last| std::mem::discriminant(&last.got) != std::mem::discriminant(&record.got))
        });
    let last = late.map(|record| record.asked).max();
    last.map_or(applied, |last| last.max(applied))
        .duration_since(asked)
}

fn tally(party: usize, ids: &[String; 3], records: &[&Record], house: &House) -> PartyReport {
    let first = house.models.first().map_or("", String::as_str);
    let of_party = || records.iter().filter(|record| record.party == party);
    let is_other = |got: &Got| matches!(got, Got::Served(model) if **model != *first);
    let is_moved = |record: &&&Record| record.ask == Ask::Pool && is_other(&record.got);
    let count = |is: fn(&Got) -> bool| of_party().filter(|record| is(&record.got)).count() as u64;
    let moved = of_party().filter(is_moved).count() as u64;
    PartyReport {
        held: count(|got| matches!(got, Got::Held(_))),
        held_for: of_party().find_map(|record| match &record.got {
            Got::Held(why) => Some(why.to_string()),
            _ => None,
        }),
        moved,
        party: ids.get(party).cloned().unwrap_or_default(),
        refused: count(|got| matches!(got, Got::Denied)),
        role: ROLES.get(party).copied().unwrap_or_default(),
        served: count(|got| matches!(got, Got::Served(_))) - moved,
    }
}

/// What the story has to come to.
fn findings(phases: &[PhaseReport], models: usize) -> Vec<String> {
    let mut findings = Vec::new();
    let mut must = |is: bool, says: String| {
        if !is {
            findings.push(says);
        }
    };
    for phase in phases {
        let name = phase.phase;
        must(
            phase.in_force_seconds <= 1.0,
            format!(
                "the {name} was in force after {:.3} s, and a second is the limit",
                phase.in_force_seconds
            ),
        );
        must(
            phase.bystanders == 0,
            format!("the {name} hit a party that it does not concern"),
        );
        let [eligible, controlled, unknown] = phase.parties.as_slice() else {
            continue;
        };
        must(
            eligible.served > 0,
            format!("under the {name} the eligible party was not served"),
        );
        let concerned = match name {
            "letter" => true,
            // With one model there is none for which the partner is not exempt.
            "exemption" => models > 1,
            _ => false,
        };
        must(
            (controlled.refused > 0) == concerned && controlled.held == 0,
            format!(
                "under the {name} the controlled party was refused {} times",
                controlled.refused
            ),
        );
        must(
            (unknown.held > 0) == (name != "withdrawal") && unknown.refused == 0,
            format!(
                "under the {name} the unknown party was held {} times",
                unknown.held
            ),
        );
    }
    findings
}

/// Make the log durable, export it, and have it verified by us and by others.
fn log(house: &House, keep: Option<&Path>) -> Result<LogReport> {
    house.admin("POST", "/admin/v1/flush", None)?;
    let failed = |error: tieline_ledger::LedgerError| Failure::found(error.to_string());
    let out = house.dir.join("june-12-log");
    let exported = tieline_ledger::export_tiles(&house.dir, &out).map_err(failed)?;
    let verifies = tieline_ledger::verify(&house.dir, &VerifyOptions::default(), |_| ()).is_ok();
    let vkey = tieline_ledger::vkey(&house.dir).map_err(failed)?;
    let (accepts, missing) = match up::verifier::run(&out, &vkey) {
        Ok(accepts) => (Some(accepts), None),
        Err(why) => (None, Some(why)),
    };
    let is_kept = keep.is_some() || !house.is_own;
    Ok(LogReport {
        entries: exported.head.size,
        export: is_kept.then(|| out.display().to_string()),
        other_verifier_accepts: accepts,
        other_verifier_missing: missing,
        verifies,
    })
}

//! `tieline faults`: the catalogue of faults. Scripted channels misbehave, a gateway of its own stands before them, and a
//! caller notes what it sees; every run is judged by what must always hold and by what its scenario expects.
//!
//! Bounds: [`RUNS_MAX`] gateways at one time, each with its folder and its channels, and a limit of time for each call.

mod catalogue;
mod client;
mod grid;
mod house;
mod judge;
mod report;
mod scenario;
mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tieline_core::Dialect;
use tieline_core::grid::{Resume, Settings};
use tokio::sync::Semaphore;

use self::client::{Ask, Got, Manner};
use self::grid::Base;
use self::house::House;
use self::judge::Evidence;
use self::report::Tally;
use self::scenario::{Caller, Form, Forms, Scenario};
use crate::cli::{Cli, Faults};
use crate::load;
use crate::output::{self, Failure, Result};

pub(in crate::commands) use self::report::FaultRow;

/// Each has a handful of threads and is mostly waiting; more would make each other late on a small machine.
const RUNS_MAX: usize = 4;

/// A call that lasts this much longer than its limits of time hangs.
const HANG: Duration = Duration::from_secs(30);

/// For the channel that is waited for to be asked.
const ASKED_MAX: Duration = Duration::from_secs(20);

pub(super) fn run(cli: &Cli, args: &Faults) -> Result<u8> {
    let base = match &args.config {
        Some(config) => Base::of(&load::checked(config)?.grid, args.pool.as_deref())?,
        None => Base::own(),
    };
    let base = if args.fast { base.fast() } else { base };
    let scenarios = chosen(args.only.as_deref())?;
    let runs = runs(&scenarios, args.resume.as_deref(), &base);
    let began = Instant::now();
    let rows = super::serve::runtime(RUNS_MAX)?.block_on(play(cli, runs, &base))?;
    let failed = rows.iter().filter(|row| !row.failures.is_empty()).count();
    let differs = rows.iter().filter(|row| !row.differs.is_empty()).count();
    if !cli.json {
        let other = if base.is_own {
            String::new()
        } else {
            format!(", {differs} otherwise than by the catalogue's settings")
        };
        output::line(format!(
            "{} scenarios, {} runs, {failed} failed{other}; {:.1} s",
            scenarios.len(),
            rows.len(),
            began.elapsed().as_secs_f64()
        ))?;
    }
    Ok(u8::from(failed > 0))
}

fn chosen(pattern: Option<&str>) -> Result<Vec<Scenario>> {
    let all = catalogue::all();
    let fits = |scenario: &Scenario| {
        pattern.is_none_or(|pattern| scenario.name.contains(pattern) || scenario.group.contains(pattern))
    };
    let chosen: Vec<Scenario> = all.iter().filter(|scenario| fits(scenario)).copied().collect();
    if chosen.is_empty() {
        let mut groups: Vec<&str> = all.iter().map(|scenario| scenario.group).collect();
        groups.dedup();
        return Err(Failure::input("no scenario has that in its name or group")
            .with_hint(format!("the groups are: {}", groups.join(", "))));
    }
    Ok(chosen)
}

/// Every run, in order: each scenario under each setting of `resume` that matters, then by dialect and form.
fn runs(scenarios: &[Scenario], resume: Option<&str>, base: &Base) -> Vec<(Scenario, Form)> {
    let asked = match resume {
        Some("off") => Some(Resume::Off),
        Some("pool") => Some(Resume::Pool),
        Some(_) => Some(Resume::SameModel),
        None => (!base.is_own).then(|| base.resume()),
    };
    let mut runs = Vec::new();
    for scenario in scenarios {
        let settings = match asked {
            Some(resume) => vec![resume],
            None if scenario.resumes => vec![Resume::Off, Resume::SameModel],
            None => vec![Resume::Off],
        };
        let streams: &[bool] = match scenario.forms {
            Forms::Both => &[true, false],
            Forms::Stream => &[true],
            Forms::Whole => &[false],
        };
        for resume in settings {
            for dialect in [Dialect::OpenaiChat, Dialect::AnthropicMessages] {
                runs.extend(streams.iter().map(|stream| {
                    let form = Form {
                        dialect,
                        resume,
                        stream: *stream,
                    };
                    (*scenario, form)
                }));
            }
        }
    }
    runs
}

/// Make the runs, a few at a time, and show each in its turn.
async fn play(cli: &Cli, runs: Vec<(Scenario, Form)>, base: &Base) -> Result<Vec<FaultRow>> {
    let bar = if output::is_terminal() {
        indicatif::ProgressBar::new(runs.len() as u64)
    } else {
        indicatif::ProgressBar::hidden()
    };
    let (slots, base) = (Arc::new(Semaphore::new(RUNS_MAX)), Arc::new(base.clone()));
    let begin = |(scenario, form): (Scenario, Form)| {
        let (slots, base, bar) = (slots.clone(), base.clone(), bar.clone());
        tokio::spawn(async move {
            let _slot = slots.acquire_owned().await;
            let row = Box::pin(one(&scenario, &form, &base)).await;
            bar.inc(1);
            row
        })
    };
    let tasks: Vec<_> = runs.into_iter().map(begin).collect();
    let mut rows: Vec<FaultRow> = Vec::with_capacity(tasks.len());
    let mut tally = Tally::default();
    for task in tasks {
        let row = task
            .await
            .map_err(|error| Failure::found(format!("a run ended early: {error}")))??;
        if cli.json {
            bar.suspend(|| output::json_line(&row))?;
        } else if let Some(last) = rows
            .last()
            .filter(|last| (last.scenario, last.resume) != (row.scenario, row.resume))
        {
            bar.suspend(|| output::line(tally.text(last)))?;
            tally = Tally::default();
        }
        tally.add(&row);
        rows.push(row);
    }
    bar.finish_and_clear();
    if let Some(last) = rows.last().filter(|_| !cli.json) {
        output::line(tally.text(last))?;
    }
    Ok(rows)
}

/// One run, from an empty folder to the verdict.
async fn one(scenario: &Scenario, form: &Form, base: &Base) -> Result<FaultRow> {
    let grid = base.grid(*form);
    let settings = base.settings();
    let house = House::start(&grid, scenario, form.stream).await?;
    let ask = Ask {
        dialect: form.dialect,
        key: house.key.clone(),
        listen: house.listen,
        longest: longest(&settings),
        manner: match scenario.caller {
            Caller::LeavesReading => Manner::Leaves,
            Caller::Slow => Manner::Pauses(Duration::from_millis(settings.idle_ms.into()) * 2),
            _ => Manner::Reads,
        },
        pool: base.pool().to_owned(),
        stream: form.stream,
    };
    let got = act(scenario, &house, &ask).await?;
    let (channels, book) = house.stop().await?;
    let evidence = Evidence {
        book,
        channels: channels
            .iter()
            .map(|(name, channel)| (name.clone(), channel.seen()))
            .collect(),
        form: *form,
        got,
        is_own: base.is_own,
        scenario: *scenario,
        settings,
    };
    let verdict = judge::judge(&evidence);
    Ok(report::row(&evidence, verdict))
}

/// What the caller does.
async fn act(scenario: &Scenario, house: &House, ask: &Ask) -> Result<Vec<Got>> {
    let open = || async { house.gate.open() };
    let deny = || tokio::task::block_in_place(|| house.deny_all());
    Ok(match scenario.caller {
        Caller::Once | Caller::LeavesReading | Caller::Slow => vec![client::call(ask, open).await],
        Caller::Times(times) => {
            let mut got = Vec::new();
            for _ in 0..times {
                got.push(client::call(ask, open).await);
            }
            got
        }
        Caller::LeavesWaiting => vec![leave_waiting(house, ask).await],
        Caller::UnderNewRules => {
            deny()?;
            vec![client::call(ask, open).await]
        }
        Caller::UnderNewRulesReading => {
            let mut denied = Ok(());
            let first = client::call(ask, || {
                denied = deny();
                open()
            })
            .await;
            denied?;
            vec![first, client::call(ask, open).await]
        }
        Caller::UnderNewRulesWaiting => {
            let meanwhile = async {
                let _ = house.gate.wait_reached(1, ASKED_MAX).await;
                let denied = deny();
                house.gate.open();
                denied
            };
            let (got, denied) = tokio::join!(client::call(ask, open), meanwhile);
            denied?;
            vec![got]
        }
    })
}

/// Leaves once the channel has been asked.
async fn leave_waiting(house: &House, ask: &Ask) -> Got {
    let asked = Instant::now();
    tokio::select! {
        got = client::call(ask, || async {}) => got,
        _ = house.gate.wait_reached(1, ASKED_MAX) => Got::left(asked),
    }
}

/// All of a call's time by its settings: each attempt's, and what it may wait for between them.
fn longest(settings: &Settings) -> Duration {
    let attempt = settings
        .first_content_ms
        .max(settings.whole_ms)
        .saturating_add(settings.idle_ms);
    let all = attempt
        .saturating_mul(settings.attempts_max.into())
        .min(settings.call_ms);
    Duration::from_millis(all.into()) + HANG
}

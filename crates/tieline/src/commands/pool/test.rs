//! `tieline pool test`: every case against each model of a pool, through the gateway that runs, under the grid in force.
//! A model that was answered for in every case has a receipt, whatever it came to.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::Value;
use tieline_core::grid::PoolRecord;
use tieline_core::receipt::{ARGUMENTS_MAX, PoolTestReceipt, Receipt};
use tieline_core::record::Hex32;
use tieline_core::{Ask, Snapshot};
use tieline_drill::{Substitute, open_grid, substitutes};
use tieline_gateway::{State, Token};
use tieline_note::Digest;
use tokio::task::JoinSet;

use super::caller::{Caller, Got, Reply};
use super::named;
use super::report::{CaseReport, ModelReport, PoolTestReport, Verdict};
use crate::cases::{self, Answer, Case, Cases, Ruled};
use crate::cli::{Cli, PoolTest};
use crate::commands::ledger::{failed, reader};
use crate::commands::{receipt, serve};
use crate::diagnose::{Code, Diagnostic, shown};
use crate::folder::{self, Server};
use crate::output::{self, Failure, Result};
use crate::{admin_client, raw};

pub(super) fn run(cli: &Cli, args: &PoolTest) -> Result<u8> {
    let cases = cases::load(&args.cases).map_err(|report| Failure::report(report.render(output::look())))?;
    let server = folder::server(&cli.dir).ok_or_else(|| {
        Failure::input(format!("no server runs in {}", cli.dir.display())).with_hint(
            "start it with `tieline serve` or `tieline up`: cases go through the gateway, as any call does",
        )
    })?;
    let grid = grid_in_force(cli, &server)?;
    let pool = pool(&grid, &cases, args.pool.as_deref())?;
    let models = models(&grid, pool, &args.models)?;
    judges_are_known(&cases, &grid)?;
    let key = key(cli, args.key_file.as_deref())?;
    let judges: Vec<String> = cases.judges().iter().map(|at| at.value.to_string()).collect();
    let asked: Vec<&str> = models
        .iter()
        .map(|of| of.model.as_str())
        .chain(judges.iter().map(String::as_str))
        .collect();
    may_ask(&cli.dir, &key, &asked)?;
    let url = args.url.as_deref().unwrap_or(&server.gateway);
    let caller = Caller::new(url, args.ca.as_deref(), key, Duration::from_secs(args.timeout))?;
    let digest = cases
        .digest()
        .map_err(|error| Failure::found(error.to_string()))?;
    let names: Vec<String> = models.iter().map(|of| of.model.clone()).collect();
    let results = asked_all(caller, cases, names, args.concurrency)?;
    let cited = (digest, Hex32(grid.digest));
    let mut report = report(pool, cited, models.into_iter().zip(results), judges);
    let unrecorded = if args.recorded.no_receipt {
        None
    } else {
        record(cli, &mut report, cited).err()
    };
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    match unrecorded {
        Some(why) => Err(Failure::found(format!(
            "the receipt was not recorded: {}",
            why.message
        ))),
        None => Ok(u8::from(!report.ok)),
    }
}

// === what is tested ===

/// The grid that the server decides by, which need not be that of a file that was changed since.
fn grid_in_force(cli: &Cli, server: &Server) -> Result<Snapshot> {
    let status = admin_client::send(&cli.dir, server, "GET", "/admin/v1/status", None)?;
    // What was archived with it may still wait to be written.
    admin_client::send(&cli.dir, server, "POST", "/admin/v1/flush", None)?;
    let digest: Option<Digest> = status
        .get("grid")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    let digest = digest.ok_or_else(|| Failure::found("the server does not say which grid is in force"))?;
    let bytes = reader(&cli.dir)?.blob(&digest).map_err(|error| failed(&error))?;
    let bytes = bytes.ok_or_else(|| Failure::found(format!("the grid {digest} is not archived")))?;
    open_grid(digest.0, &bytes).map_err(|why| Failure::found(format!("the grid {why}")))
}

/// The pool that the command names, else the file, else the only one there is.
fn pool<'g>(grid: &'g Snapshot, cases: &Cases, asked: Option<&str>) -> Result<&'g PoolRecord> {
    let pools = &grid.record.pools;
    match (asked, &cases.pool) {
        (Some(name), _) => named(&grid.record, name),
        (None, Some(at)) => pools.iter().find(|pool| pool.name == at.value).ok_or_else(|| {
            let known = pools.iter().map(|pool| &*pool.name);
            let diagnostic =
                Diagnostic::error(Code::CaseBad, format!("there is no pool `{}`", shown(&at.value)));
            let diagnostic = diagnostic
                .at(at.span, "unknown pool")
                .did_you_mean(raw::nearest(&at.value, known));
            Failure::report(cases.report(vec![diagnostic]).render(output::look()))
        }),
        (None, None) => match pools.as_slice() {
            [only] => Ok(only),
            pools => {
                let names: Vec<&str> = pools.iter().map(|pool| &*pool.name).collect();
                let failure =
                    Failure::input(format!("the grid has {} pools, and none is named", pools.len()));
                Err(failure.with_hint(format!("name one with --pool: {}", names.join(", "))))
            }
        },
    }
}

/// The models to test, in the order of the pool.
fn models(grid: &Snapshot, pool: &PoolRecord, only: &[String]) -> Result<Vec<Substitute>> {
    let all = substitutes(&grid.record, pool);
    if let Some(stranger) = only
        .iter()
        .find(|name| !pool.models.iter().any(|model| **model == ***name))
    {
        let known: Vec<&str> = pool.models.iter().map(|model| &**model).collect();
        let failure = Failure::input(format!("the pool `{}` has no model `{stranger}`", pool.name));
        return Err(failure.with_hint(format!("it has {}", known.join(", "))));
    }
    let is_wanted = |of: &Substitute| only.is_empty() || only.contains(&of.model);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// Whether the grid has every judge that the file names.
fn judges_are_known(cases: &Cases, grid: &Snapshot) -> Result<()> {
    let judges = cases.judges();
    let unknown = judges
        .iter()
        .filter(|at| matches!(grid.resolve(&at.value), Ask::Unknown(_)));
    let diagnostics: Vec<Diagnostic> = unknown
        .map(|at| {
            let message = format!("the grid has no model or pool `{}`", shown(&at.value));
            let known = grid.names().map(|(name, _)| &**name);
            let diagnostic = Diagnostic::error(Code::CaseBad, message).at(at.span, "who judges");
            diagnostic.did_you_mean(raw::nearest(&at.value, known))
        })
        .collect();
    if diagnostics.is_empty() {
        return Ok(());
    }
    Err(Failure::report(cases.report(diagnostics).render(output::look())))
}

// === who asks ===

fn key(cli: &Cli, file: Option<&Path>) -> Result<String> {
    match file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text =
                text.map_err(|error| Failure::input(format!("cannot read {}: {error}", file.display())))?;
            Ok(text.trim().to_owned())
        }
        None => folder::party_key(&cli.dir).ok_or_else(|| {
            Failure::input(format!("there is no party.key in {}", cli.dir.display()))
                .with_hint("give a key with --key-file; `tieline keys add` makes one")
        }),
    }
}

/// A key whose scope leaves out what is to be asked for would only be refused, case by case. A key that this folder does
/// not know is the gateway's to refuse.
fn may_ask(dir: &Path, key: &str, asked: &[&str]) -> Result<()> {
    let Ok(keys) = State::read(dir).and_then(|state| state.keys()) else {
        return Ok(());
    };
    let digest = Token::digest_of(key);
    let scope = keys
        .into_iter()
        .find(|row| row.digest == digest)
        .and_then(|row| row.scope);
    let Some(scope) = scope else { return Ok(()) };
    let left_out: Vec<&str> = asked
        .iter()
        .copied()
        .filter(|name| !scope.iter().any(|may| may == name))
        .collect();
    if left_out.is_empty() {
        return Ok(());
    }
    let says = format!(
        "the key may ask for {} alone, and a test asks for each model by its name: {}",
        scope.join(", "),
        left_out.join(", ")
    );
    let allow: Vec<String> = left_out.iter().map(|name| format!("--allow {name}")).collect();
    Err(Failure::input(says).with_hint(format!(
        "`tieline keys add {}` makes one that may; give it with --key-file",
        allow.join(" ")
    )))
}

// === asking ===

/// What all calls of a test share.
struct Run {
    bar: ProgressBar,
    caller: Caller,
    cases: Cases,
    models: Vec<String>,
    next: AtomicUsize,
    results: Mutex<Vec<(usize, CaseReport)>>,
}

/// Ask every model every case; the results by model, then case.
fn asked_all(
    caller: Caller,
    cases: Cases,
    models: Vec<String>,
    concurrency: u32,
) -> Result<Vec<Vec<CaseReport>>> {
    let (count_models, count_cases) = (models.len(), cases.all.len());
    let bar = if output::is_terminal() {
        ProgressBar::new((count_models * count_cases) as u64)
    } else {
        ProgressBar::hidden()
    };
    let run = Arc::new(Run {
        bar,
        caller,
        cases,
        models,
        next: AtomicUsize::new(0),
        results: Mutex::new(Vec::new()),
    });
    serve::runtime(2)?.block_on(async {
        let mut workers = JoinSet::new();
        for _ in 0..concurrency {
            workers.spawn(work(run.clone()));
        }
        while workers.join_next().await.is_some() {}
    });
    run.bar.finish_and_clear();
    let asked = count_models * count_cases;
    let mut results = std::mem::take(&mut *run.results.lock().unwrap_or_else(PoisonError::into_inner));
    // A case that got lost must not make a receipt that knows nothing of it.
    if results.len() != asked {
        return Err(Failure::found(format!(
            "{} of {asked} answers got lost in this program; nothing is recorded",
            asked.saturating_sub(results.len())
        )));
    }
    results.sort_by_key(|(place, _)| *place);
    let mut by_model: Vec<Vec<CaseReport>> = (0..count_models).map(|_| Vec::new()).collect();
    for (place, result) in results {
        if let Some(of) = by_model.get_mut(place / count_cases.max(1)) {
            of.push(result);
        }
    }
    Ok(by_model)
}

async fn work(run: Arc<Run>) {
    loop {
        // Case by case, so that the models share the load and not one after the other has it all.
        let turn = run.next.fetch_add(1, Ordering::Relaxed);
        let models = run.models.len().max(1);
        let (Some(case), Some(model)) = (run.cases.all.get(turn / models), run.models.get(turn % models))
        else {
            return;
        };
        let place = (turn % models) * run.cases.all.len() + turn / models;
        let result = held_to(&run.caller, case, model).await;
        run.results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((place, result));
        run.bar.inc(1);
    }
}

/// Ask a model, and hold its answer to the case.
async fn held_to(caller: &Caller, case: &Case, model: &str) -> CaseReport {
    let Reply {
        call,
        channel,
        got,
        model: by,
    } = caller.ask(&case.request_to(model)).await;
    let is_other = by.as_ref().is_some_and(|by| by != model);
    let (verdict, why) = match got {
        Got::Nothing(why) => (Verdict::None, Some(why)),
        Got::Refused(why) => (Verdict::Fail, Some(why)),
        Got::Answer(_) if is_other => (Verdict::None, Some("another model answered".to_owned())),
        Got::Answer(answer) => judged(caller, case, &answer).await,
    };
    CaseReport {
        call,
        channel: channel.filter(|_| verdict != Verdict::None),
        name: case.name.to_string(),
        verdict,
        why,
    }
}

/// What the case makes of an answer; a judge is asked about what meets all the rest.
async fn judged(caller: &Caller, case: &Case, answer: &Answer) -> (Verdict, Option<String>) {
    let unmet = case.unmet(answer);
    if !unmet.is_empty() {
        return (Verdict::Fail, Some(unmet.join("; ")));
    }
    let Some(judge) = case.judge() else {
        return (Verdict::Pass, None);
    };
    match caller.ask(&judge.request(&case.request, answer)).await.got {
        Got::Answer(reply) => match judge.ruled(&reply) {
            Ruled::Pass => (Verdict::Pass, None),
            Ruled::Fail => (Verdict::Fail, Some("the judge does not let it pass".to_owned())),
            Ruled::Neither => (
                Verdict::None,
                Some("the judge said neither of its two words".to_owned()),
            ),
        },
        Got::Nothing(why) | Got::Refused(why) => {
            (Verdict::None, Some(format!("the judge did not answer: {why}")))
        }
    }
}

// === what came out ===

fn report(
    pool: &PoolRecord,
    (cases, grid): (Hex32, Hex32),
    models: impl Iterator<Item = (Substitute, Vec<CaseReport>)>,
    judges: Vec<String>,
) -> PoolTestReport {
    let models: Vec<ModelReport> = models.map(|(of, cases)| ModelReport::new(of, cases)).collect();
    let own = models.iter().filter(|model| judges.contains(&model.model));
    let notes = own.map(|model| format!("{} judged its own answers where it is the judge.", model.model));
    PoolTestReport {
        schema: "tieline/pool-test/v1",
        cases: cases.to_string(),
        grid: grid.to_string(),
        held_against: pool.models.first().map_or_else(String::new, ToString::to_string),
        notes: notes.collect(),
        ok: models.iter().all(|model| model.ok),
        judges,
        models,
        pool: pool.name.to_string(),
    }
}

/// A receipt for each model that was answered for in every case.
fn record(cli: &Cli, report: &mut PoolTestReport, (cases, grid): (Hex32, Hex32)) -> Result<()> {
    let names = |list: &[String]| {
        list.iter()
            .take(ARGUMENTS_MAX)
            .map(|name| Arc::from(name.as_str()))
            .collect()
    };
    for model in report.models.iter_mut().filter(|model| model.unanswered == 0) {
        let failed = model.cases.iter().filter(|case| case.verdict == Verdict::Fail);
        let receipt = Receipt::PoolTest(PoolTestReceipt {
            by: None,
            cases,
            channels: names(&model.channels),
            failed: failed.map(|case| Arc::from(case.name.as_str())).collect(),
            grid,
            judges: names(&report.judges),
            model: Arc::from(model.model.as_str()),
            passed: model.passed,
            pool: Arc::from(report.pool.as_str()),
            total: model.total,
        });
        model.receipt = Some(receipt::send(cli, receipt, None)?);
    }
    Ok(())
}

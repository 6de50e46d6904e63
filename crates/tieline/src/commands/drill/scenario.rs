//! `tieline drill scenario`: what happens to calls while a scenario plays, compared with the same calls where nothing
//! happens; of several, one row each, the worst first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_core::record::Hex32;
use tieline_core::{Span, Tick};
use tieline_drill::{
    Basis, Event, Known, Load, PartyClass, Rehearsal, ScenarioReport, ScenarioShown, ScenariosReport, Staged,
    Traffic, play_scenario_shown, scenarios_page,
};
use tieline_note::jcs;
use tieline_policy::Registry;

use super::cited::{CONFIG, Cited};
use super::orders::Order;
use super::page::Page;
use super::traffic::{Origin, traffic};
use super::{flush, losses, shipped};
use crate::check;
use crate::check::scenario::{CheckedScenario, Choices, Ground, SCENARIO_BYTES_MAX};
use crate::cli::{Cli, ScenarioArgs, Scenarios};
use crate::commands::grid::World;
use crate::commands::serve::now_us;
use crate::output::{self, Failure, Result};
use crate::raw;

/// As it is typed, and as its receipts say it.
pub(super) const COMMAND: &str = "scenario";

/// Calls of a steady traffic: enough for a strip of 288 bins of 70 each, decided again in a second or two.
const STEADY_CALLS_MAX: u64 = 20_000;

/// The shortest pace of a steady traffic: a call a minute for each thing that each party may ask for.
const STEADY_EVERY: Span = Span::from_s(60);

/// How long what has no end is watched, where no traffic ends.
const WATCHED: Span = Span::from_s(86_400);

/// A scenario as it was found.
struct Found {
    /// Where paths in it start from.
    base: PathBuf,
    /// What messages call it.
    name: String,
    text: String,
}

/// Scenarios, and what is chosen of them.
pub(super) struct Script {
    found: Vec<Found>,
    /// Parameters by name.
    set: BTreeMap<String, String>,
    skip_absent: bool,
    start: Option<String>,
}

/// Scenarios that were played over calls.
pub(super) struct Played {
    pub(super) report: ScenariosReport,
    pub(super) shown: Vec<ScenarioShown>,
}

/// What scenarios are held against, beside traffic.
pub(super) struct Here<'w> {
    licences: BTreeSet<String>,
    parties: BTreeMap<Arc<str>, Option<PartyClass>>,
    registry: Arc<Registry>,
    world: &'w World,
}

pub(super) fn run(cli: &Cli, args: &Scenarios) -> Result<u8> {
    if args.list {
        return shipped::list(cli.json);
    }
    let mut page = Page::of(&args.page)?;
    flush(cli);
    let script = Script::open(&args.files, &args.chosen)?;
    let config = args.config.as_deref();
    let world = World::open(cli, config)?;
    let here = Here::of(cli, &world, config.is_some())?;
    let origin = config.map_or(Origin::Folder, |_| Origin::Alone);
    let calls = traffic(cli, origin, (&args.traffic, args.gate), &world)?;
    let mut cited = calls.cited;
    let steady = here.steady(&calls.traffic, &script)?;
    let traffic = steady.unwrap_or(calls.traffic);
    script.cite(&mut cited, &traffic)?;
    cited.file(CONFIG, config)?;
    let rehearsal = Rehearsal::new(&world.snapshot, &traffic, calls.known.clone());
    let Played { report, shown } = here.played(&rehearsal, &calls.known, &script)?;
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    if let Some(page) = &mut page {
        page.doubting(cited.doubt.as_ref());
        page.write(&scenarios_page(page.ground(&rehearsal), &report, &shown))?;
    }
    if !args.recorded.no_receipt {
        cited.record(cli, COMMAND, &world, &report);
    }
    Ok(0)
}

/// Play each scenario on a thread of its own.
fn play(
    here: &Here<'_>,
    rehearsal: &Rehearsal<'_>,
    load: &Load,
    checked: &[CheckedScenario],
) -> Result<Vec<(ScenarioReport, ScenarioShown)>> {
    let mut all = Vec::with_capacity(checked.len());
    for one in checked {
        let orders = one
            .orders
            .iter()
            .map(|spec| Order::new(spec, here.world, &here.registry));
        all.push(orders.collect::<Result<Vec<_>>>()?);
    }
    let reports = losses::watched(checked.len(), "scenarios played", &|ix| {
        let (Some(one), Some(orders)) = (checked.get(ix), all.get(ix)) else {
            return Err(Failure::found("a scenario is missing"));
        };
        let mut notes = one.notes.clone();
        notes.extend(orders.iter().flat_map(Order::notes));
        let staged = Staged {
            notes,
            orders: orders.iter().map(|order| order.ordered(here.world)).collect(),
            scenario: one.scenario.clone(),
            set: one.set.clone(),
        };
        let report = play_scenario_shown(rehearsal, load, staged);
        report.map_err(|error| Failure::input(format!("the scenario {}: {error}", one.scenario.id)))
    });
    reports.into_iter().collect()
}

/// Check every scenario; the report on all that is wrong, if anything is.
fn checked(
    here: &Here<'_>,
    script: &Script,
    load: &Load,
    window: (Tick, Tick),
) -> Result<Vec<CheckedScenario>> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for one in &script.found {
        let ground = Ground {
            base: &one.base,
            licences: &here.licences,
            load,
            parties: &here.parties,
            read: &check::scenario::read_directive,
            snapshot: &here.world.snapshot,
            window,
        };
        match check::scenario::check_text(&one.name, &one.text, ground, script.choices()) {
            (Some(checked), _) => all.push(checked),
            (None, report) => wrong.push(report.render(output::look())),
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::report(wrong.join("\n\n")));
    }
    let mut ids = BTreeSet::new();
    match all.iter().find(|one| !ids.insert(&one.scenario.id)) {
        Some(twice) => Err(Failure::input(format!(
            "two scenarios have the id `{}`",
            twice.scenario.id
        ))),
        None => Ok(all),
    }
}

/// Calls at an even pace, over the whole of the scenarios and a tenth of it before the first that has an instant of its own
/// and after the last.
fn steady(here: &Here<'_>, script: &Script) -> Result<Traffic> {
    let (snapshot, whole) = (&here.world.snapshot, (Tick(0), Tick(u64::MAX / 2)));
    let once = here
        .world
        .with_parties(|parties| Traffic::synthetic(snapshot, parties));
    let asked = once.calls.len() as u64;
    if asked == 0 {
        return Err(
            Failure::input("nobody may ask for anything here, so there is nothing to rehearse")
                .with_hint("give the configuration a pool, or a party a key"),
        );
    }
    let load = Load::of(&Rehearsal::new(snapshot, &once, Known::default()));
    let checked = checked(here, script, &load, whole)?;
    let events = || checked.iter().flat_map(|one| &one.scenario.events);
    let starts = checked.iter().map(|one| one.scenario.start);
    let first = events()
        .map(|event| event.from)
        .chain(starts)
        .min()
        .unwrap_or_default();
    let end = |event: &Event| event.until.unwrap_or(event.from.plus(WATCHED));
    let last = events().map(end).max().unwrap_or_default();
    let margin = Span(last.since(first).0 / 10);
    let from = Tick(first.0.saturating_sub(margin.0));
    let length = last.plus(margin).since(from);
    let every = Span((length.0.saturating_mul(asked) / STEADY_CALLS_MAX).max(STEADY_EVERY.0));
    Ok(here
        .world
        .with_parties(|parties| Traffic::steady(snapshot, parties, from, length, every)))
}

/// What `--set` says, by name; each name is a parameter of one of the scenarios.
fn parameters(set: &[String], found: &[Found]) -> Result<BTreeMap<String, String>> {
    let known: BTreeSet<String> = found
        .iter()
        .flat_map(|one| check::scenario::parameter_names(&one.text))
        .collect();
    let mut out = BTreeMap::new();
    for text in set {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::input(format!("`{text}` is not NAME=VALUE")).with_hint("for example `--set cloud=aws`")
        })?;
        if !known.contains(name) {
            let near = raw::nearest(name, known.iter().map(String::as_str));
            let hint = match (near, known.is_empty()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, true) => "none of the scenarios has parameters".to_owned(),
                (None, false) => {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    format!("known here are {}", known.join(", "))
                }
            };
            let message = format!("no scenario has a parameter `{name}`");
            return Err(Failure::input(message).with_hint(hint));
        }
        if out.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::input(format!("the parameter `{name}` is set twice")));
        }
    }
    Ok(out)
}

impl Script {
    pub(super) fn open(names: &[String], chosen: &ScenarioArgs) -> Result<Self> {
        let found: Vec<Found> = names
            .iter()
            .map(|name| Found::open(name))
            .collect::<Result<_>>()?;
        Ok(Self {
            set: parameters(&chosen.set, &found)?,
            found,
            skip_absent: chosen.skip_absent,
            start: chosen.start.clone(),
        })
    }

    fn choices(&self) -> Choices<'_> {
        Choices {
            set: &self.set,
            skip_absent: self.skip_absent,
            start: self.start.as_deref(),
        }
    }

    /// Say in what a receipt cites what is played, and over which calls.
    pub(super) fn cite(&self, cited: &mut Cited, traffic: &Traffic) -> Result<()> {
        if traffic.basis == Basis::Steady {
            cited.traffic.digest = Hex32(traffic.digest().0);
        }
        for (name, value) in &self.set {
            cited.say(&format!("set.{name}"), value.as_str());
        }
        if let Some(start) = &self.start {
            cited.say("start", start.as_str());
        }
        if self.skip_absent {
            cited.say("skip_absent", "true");
        }
        let texts: Vec<&str> = self.found.iter().map(|one| one.text.as_str()).collect();
        let texts = jcs::to_vec(&texts).map_err(|error| Failure::found(error.to_string()))?;
        cited.scenario = Some(Hex32(tieline_note::sha256(&texts).0));
        Ok(())
    }
}

impl Found {
    /// A file, or the name of a scenario that is shipped.
    fn open(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if let (false, Some(shipped)) = (path.exists(), shipped::find(name)) {
            return Ok(Self {
                base: PathBuf::new(),
                name: format!("{name}.toml"),
                text: shipped.text.to_owned(),
            });
        }
        let bytes = check::read_start(path, SCENARIO_BYTES_MAX).map_err(|error| {
            let failure = Failure::input(format!("cannot read {name}: {}", check::kind(&error)));
            let names = shipped::ALL.iter().map(|shipped| shipped.name);
            failure.with_hint(match raw::nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`tieline drill scenario --list` lists those that are shipped".to_owned(),
            })
        })?;
        if bytes.len() as u64 > SCENARIO_BYTES_MAX {
            return Err(Failure::input(format!(
                "{name} is larger than {} MiB",
                SCENARIO_BYTES_MAX >> 20
            )));
        }
        let text = String::from_utf8(bytes).map_err(|_| Failure::input(format!("{name} is not UTF-8")))?;
        Ok(Self {
            base: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            name: name.to_owned(),
            text,
        })
    }
}

impl<'w> Here<'w> {
    /// What is known beside a world, which is the state folder's or that of a configuration alone.
    pub(super) fn of(cli: &Cli, world: &'w World, is_alone: bool) -> Result<Self> {
        let registry = if !is_alone && cli.dir.join("state.db").exists() {
            World::registry(cli)?
        } else {
            Registry::new(Tick(now_us()), Vec::new())
                .map_err(|_| Failure::found("an empty registry cannot be made"))?
        };
        Ok(Self {
            licences: registry
                .terms()
                .licences()
                .iter()
                .map(|one| one.id.to_string())
                .collect(),
            parties: BTreeMap::new(),
            registry: Arc::new(registry),
            world,
        })
    }

    /// Calls at an even pace, if there are none but one for each thing that may be asked for.
    pub(super) fn steady(&self, traffic: &Traffic, script: &Script) -> Result<Option<Traffic>> {
        (traffic.basis == Basis::Structure)
            .then(|| steady(self, script))
            .transpose()
    }

    /// Play scenarios over calls.
    pub(super) fn played(
        mut self,
        rehearsal: &Rehearsal<'_>,
        known: &Known,
        script: &Script,
    ) -> Result<Played> {
        self.parties(known, rehearsal.traffic());
        let load = Load::of(rehearsal);
        let window = rehearsal.traffic().window().unwrap_or_default();
        let checked = checked(&self, script, &load, window)?;
        let played = play(&self, rehearsal, &load, &checked)?;
        let (reports, shown): (Vec<_>, Vec<_>) = played.into_iter().unzip();
        let report = ScenariosReport::new(rehearsal, reports);
        Ok(Played { report, shown })
    }

    /// Everybody who is known, has a key or calls.
    fn parties(&mut self, known: &Known, traffic: &Traffic) {
        let members = self.world.parties.iter().map(|member| member.party.clone());
        let all = members
            .chain(tieline_drill::asked(traffic).into_keys())
            .chain(known.classes.keys().cloned());
        self.parties = all
            .map(|party| {
                let class = known
                    .classes
                    .get(&party)
                    .copied()
                    .filter(|class| *class != PartyClass::Unknown);
                (party, class)
            })
            .collect();
    }
}

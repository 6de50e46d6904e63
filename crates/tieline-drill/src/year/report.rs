//! The report of a stochastic year, and how its rows come of the sums.

use schemars::JsonSchema;
use serde::Serialize;

use super::causes::{Cause, YEAR_S};
use super::demand::{CRITICAL, MICRO};
use super::episode::{Episode, whole};
use super::run::Run;
use super::stats::{Mean, Spread, real, share};
use super::{Year, Years};
use crate::consequence::{Critical, PARTY_ROWS_MAX};
use crate::contingency::{Label, Loss};
use crate::figure::Figure;
use crate::known::PartyClass;
use crate::n_minus_1;
use crate::rehearsal::Base;
use crate::structure::DowntimeBasis;
use crate::table::{count, tenths};
use crate::tally::Tally;
use crate::timeline::Permille;
use crate::traffic::Basis;

/// The schema of [`YearReport`].
pub const YEAR_V1: &str = "tieline/drill-year/v1";

/// The part of all losses from which the worst years are said to hold most of it.
const FEW_YEARS: f64 = 0.5;

/// Parties named of what is critical.
const CRITICAL_PARTIES_MAX: usize = 50;

/// What a year is expected to cost in service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct YearReport {
    pub base: Base,
    pub basis: Basis,
    /// Calls that are asked in a year and served with nothing out.
    pub calls: Figure,
    /// What goes out of its own accord and takes calls' channels with it; what costs most calls first.
    pub causes: Vec<CauseRow>,
    /// By the class of the calls' parties, those classes that have calls.
    pub classes: Vec<YearClass>,
    /// Of a channel's own failures, in thousandths, what strikes all channels of the same operator and labs; assumed.
    pub common_permille: Permille,
    /// Of calls that matter by their pool and their key; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<YearClass>,
    /// The parties with critical calls that lose most, those first; at most 50.
    pub critical_parties: Vec<String>,
    /// Times without a break in which some calls go unserved, in a year.
    pub episodes: Mean,
    /// Hours of a year in which some calls go unserved (loss-of-service hours).
    pub hours: Spread,
    /// Hours of the week that the calls were seen in, of 168; the others have the mean of those.
    pub hours_of_week_known: u16,
    /// How what is out shows itself, in the episodes that are decided call by call.
    pub loss: Loss,
    pub no_loss: NoLoss,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// The parties that lose most calls, those first; at most 50.
    pub parties: Vec<YearParty>,
    /// How many parties lost any in any year.
    pub parties_losing: u64,
    pub runs: u32,
    /// Always [`YEAR_V1`].
    pub schema: &'static str,
    /// As a decimal.
    pub seed: String,
    /// What the limits of the channels that are left are worth, in thousandths.
    pub survivors_permille: Permille,
    /// Calls of a year that go unserved.
    pub unserved: Spread,
    /// The same as a share of the calls.
    pub unserved_share: Mean,
    /// The worst episodes of the worst years, decided call by call; the worst year first.
    pub worst: Vec<WorstRow>,
}

/// Years without any loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoLoss {
    /// The interval of the share at 95 per cent.
    pub high: Figure,
    pub low: Figure,
    pub share: Figure,
    pub years: u32,
}

/// One class of parties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct YearClass {
    /// In a year.
    pub calls: Figure,
    /// Absent for what is critical, which is of all classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<PartyClass>,
    /// Hours of a year in which some of its calls go unserved.
    pub hours: Mean,
    pub label: Label,
    /// Its calls of a year that go unserved.
    pub unserved: Mean,
}

/// One party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct YearParty {
    pub class: PartyClass,
    pub label: Label,
    pub party: String,
    /// Its calls of a year that go unserved, on average; what goes unserved of calls that are alike is divided among their
    /// parties as the calls are.
    pub unserved: Figure,
}

/// What kind of thing goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    Channel,
    /// All channels of one operator and the same labs at once.
    CommonCause,
    Component,
}

/// Something that goes out, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CauseRow {
    /// Calls of a year that would be served if it alone never went out, on average; modelled.
    pub because: Figure,
    /// The channels that it takes out and that calls may use.
    pub channels_out: Vec<String>,
    /// Hours of a year in which it is out, as drawn.
    pub hours_out: Figure,
    pub kind: CauseKind,
    pub name: String,
    pub prior: PriorRow,
    /// Calls of a year that go unserved while it is out, on average; modelled. What several are out for counts for each.
    pub while_out: Figure,
}

/// How often and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PriorRow {
    pub basis: DowntimeBasis,
    /// The standard deviation of the logarithm of the length, in thousandths: lengths are lognormal.
    pub log_deviation_permille: u32,
    pub log_deviation_source: String,
    /// Of an outage, on average.
    pub minutes: u32,
    /// Outages of a year.
    pub per_year: Figure,
    pub source: String,
}

/// The worst episode of one of the worst years.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorstRow {
    /// Calls that the live core decided for it; absent where the episode has too many for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// Hours of the year at which it began.
    pub from_hour: Figure,
    /// The hour of the week at which it began, in UTC; Monday 00:00 is 0.
    pub hour_of_week: u16,
    pub hours: Figure,
    /// What was out in it at some time; what cost most first.
    pub out: Vec<OutRow>,
    /// The number of the year, from 0: with the seed it says everything that was drawn.
    pub run: u32,
    /// Of the whole episode, by the flows; modelled.
    pub unserved: Figure,
    /// Of the whole year; modelled.
    pub unserved_year: Figure,
}

/// Something that was out in an episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OutRow {
    /// Calls of the episode that would be served if it alone were not out; modelled.
    pub because: Figure,
    pub name: String,
}

/// An episode decided call by call, beside what the flows made of the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Decided {
    pub critical: Critical,
    /// Calls that the flows expect in this time.
    pub flow_calls: u64,
    /// Of these, unserved.
    pub flow_unserved: u64,
    /// Of the episode, from its beginning.
    pub hours: Figure,
    pub label: Label,
    pub tally: Tally,
}

pub(super) fn report(year: &Year<'_, '_>, years: &Years, episodes: Vec<Option<Episode>>) -> YearReport {
    let (runs, options) = (&years.runs, year.options);
    let asked = calls(year.asked());
    let unserved: Vec<f64> = runs.iter().map(|run| calls(run.unserved)).collect();
    let lost = Spread::of(&unserved);
    let seconds: Vec<f64> = runs.iter().map(|run| hours(run.seconds)).collect();
    let of_asked = unserved
        .iter()
        .map(|calls| if asked > 0.0 { calls / asked } else { 0.0 });
    let without = runs.iter().filter(|run| run.unserved == 0).count() as u64;
    let (part, low, high) = share(without, runs.len() as u64);
    let (parties, parties_losing, critical_parties) = parties(year, years);
    YearReport {
        base: year.rehearsal.base().clone(),
        basis: year.rehearsal.basis(),
        calls: Figure::new(asked),
        causes: causes(year, years),
        classes: classes(year, runs),
        common_permille: options.common,
        critical: class(year, runs, CRITICAL, None),
        critical_parties,
        episodes: Mean::of(runs.iter().map(|run| f64::from(run.episodes))),
        hours: Spread::of(&seconds),
        hours_of_week_known: year.demand.known_hours,
        loss: options.assumed.loss,
        no_loss: NoLoss {
            high: Figure::new(high),
            low: Figure::new(low),
            share: Figure::new(part),
            years: u32::try_from(without).unwrap_or(u32::MAX),
        },
        notes: notes(year, &lost),
        parties,
        parties_losing,
        runs: options.runs,
        schema: YEAR_V1,
        seed: options.seed.to_string(),
        survivors_permille: options.assumed.survivors,
        unserved: lost,
        unserved_share: Mean::of(of_asked),
        worst: worst(year, years, episodes),
    }
}

fn calls(micro: u64) -> f64 {
    real(micro) / real(MICRO)
}

fn hours(seconds: u64) -> f64 {
    real(seconds) / 3_600.0
}

/// A sum over all years in parts of a unit, as the mean of a year in units.
#[expect(clippy::cast_precision_loss, reason = "an estimate has four digits")]
fn of_year(sum: u128, runs: u32, unit: f64) -> f64 {
    sum as f64 / f64::from(runs.max(1)) / unit
}

fn classes(year: &Year<'_, '_>, runs: &[Run]) -> Vec<YearClass> {
    let each = PartyClass::ALL.iter().enumerate();
    each.filter_map(|(ix, of)| class(year, runs, ix, Some(*of)))
        .collect()
}

/// None of a group without calls.
fn class(year: &Year<'_, '_>, runs: &[Run], group: usize, of: Option<PartyClass>) -> Option<YearClass> {
    let calls_of = |class: &super::demand::Class| class.groups.get(group).copied().unwrap_or_default();
    if year.demand.classes.iter().all(|class| calls_of(class) == 0) {
        return None;
    }
    let week = year.demand.classes.iter().map(|class| {
        let rates: u64 = class.rates.iter().fold(0, |sum, rate| sum.saturating_add(*rate));
        calls(rates) * real(calls_of(class)) / real(class.calls.max(1))
    });
    let weeks = real(YEAR_S) / real(7 * 86_400);
    let group = |run: &Run| run.groups.get(group).copied().unwrap_or_default();
    Some(YearClass {
        calls: Figure::new(week.sum::<f64>() * weeks),
        class: of,
        hours: Mean::of(runs.iter().map(|run| hours(group(run).1))),
        label: Label::Modelled,
        unserved: Mean::of(runs.iter().map(|run| calls(group(run).0))),
    })
}

/// The parties that lose most, how many lose any, and those that lose what is critical.
fn parties(year: &Year<'_, '_>, years: &Years) -> (Vec<YearParty>, u64, Vec<String>) {
    let traffic = year.rehearsal.traffic();
    let mut sums = vec![(0_u128, 0_u128); traffic.parties.len()];
    let classes = year
        .demand
        .classes
        .iter()
        .zip(&year.demand.kinds)
        .zip(&years.sums.classes);
    for ((class, kinds), unserved) in classes {
        for (kind, calls) in kinds {
            let party = traffic.kinds.get(*kind).map(|kind| kind.party as usize);
            if let Some((all, critical)) = party.and_then(|party| sums.get_mut(party)) {
                let part = unserved / u128::from(class.calls.max(1)) * u128::from(*calls);
                *all += part;
                *critical += if year.rehearsal.is_critical(*kind) {
                    part
                } else {
                    0
                };
            }
        }
    }
    let most = |of: &dyn Fn(&(u128, u128)) -> u128| {
        let mut rows: Vec<(u128, usize)> = sums.iter().map(of).zip(0..).filter(|(sum, _)| *sum > 0).collect();
        rows.sort_by_key(|(sum, party)| (std::cmp::Reverse(*sum), *party));
        rows
    };
    let named = |party: usize| {
        year.rehearsal
            .laid()
            .party(u32::try_from(party).unwrap_or(u32::MAX))
    };
    let all = most(&|(all, _)| *all);
    let rows = all.iter().take(PARTY_ROWS_MAX).map(|(sum, party)| YearParty {
        class: year.rehearsal.class(*party),
        label: Label::Modelled,
        party: named(*party),
        unserved: Figure::new(of_year(*sum, year.options.runs, real(MICRO))),
    });
    let critical = most(&|(_, critical)| *critical);
    let critical = critical.iter().take(CRITICAL_PARTIES_MAX);
    (
        rows.collect(),
        all.len() as u64,
        critical.map(|(_, party)| named(*party)).collect(),
    )
}

fn causes(year: &Year<'_, '_>, years: &Years) -> Vec<CauseRow> {
    let mut rows: Vec<([u128; 3], CauseRow)> = Vec::new();
    for ((ix, cause), sums) in year.causes.iter().enumerate().zip(&years.sums.causes) {
        let [while_out, because, seconds] = *sums;
        let of = |sum: u128, unit: f64| Figure::new(of_year(sum, year.options.runs, unit));
        let (kind, name) = match &cause.cause {
            Cause::Alone(element) => (element.kind.into(), element.name.clone()),
            Cause::Common(name) => (CauseKind::CommonCause, name.clone()),
        };
        let channels = year.used.iter().enumerate();
        let channels = channels.filter(|(place, _)| super::supply::is_in(&cause.mask, *place));
        let snapshot = year.rehearsal.snapshot();
        let channels = channels.filter_map(|(_, ix)| snapshot.channels.get(usize::from(*ix)));
        let row = CauseRow {
            because: of(because, real(MICRO)),
            channels_out: channels.map(|channel| channel.name.to_string()).collect(),
            hours_out: of(seconds, 3_600.0),
            kind,
            name,
            prior: PriorRow {
                basis: cause.prior.basis,
                log_deviation_permille: cause.deviation,
                log_deviation_source: cause.deviation_source.to_owned(),
                minutes: cause.prior.minutes,
                per_year: Figure::new(f64::from(cause.prior.per_1000_years) / 1_000.0 * cause.share),
                source: cause.prior.source.to_string(),
            },
            while_out: of(while_out, real(MICRO)),
        };
        // Equal ones stay in the order of the grid.
        rows.push(([because, while_out, u128::MAX - ix as u128], row));
    }
    rows.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    rows.into_iter().map(|(_, row)| row).collect()
}

impl From<crate::elements::ElementKind> for CauseKind {
    fn from(kind: crate::elements::ElementKind) -> Self {
        match kind {
            crate::elements::ElementKind::Channel => Self::Channel,
            crate::elements::ElementKind::Component => Self::Component,
        }
    }
}

fn worst(year: &Year<'_, '_>, years: &Years, episodes: Vec<Option<Episode>>) -> Vec<WorstRow> {
    let mut rows = Vec::with_capacity(episodes.len());
    for (run_ix, episode) in years.worst.iter().zip(episodes) {
        let Some((run, worst)) = years.runs.get(*run_ix).and_then(|run| Some((run, run.worst?))) else {
            continue;
        };
        let Some(episode) = episode else { continue };
        let out = episode.causes.iter().filter_map(|(cause, because)| {
            Some(OutRow {
                because: Figure::new(calls(*because)),
                name: year.named(*cause)?,
            })
        });
        let decided = episode.decided.as_ref().map(|played| Decided {
            critical: played.consequence.critical.clone(),
            flow_calls: whole(played.flow.0),
            flow_unserved: whole(played.flow.1),
            hours: Figure::new(hours(played.seconds)),
            label: Label::Exact,
            tally: played.consequence.tally,
        });
        rows.push(WorstRow {
            decided,
            from_hour: Figure::new(hours(worst.from)),
            hour_of_week: episode.hour,
            hours: Figure::new(hours(worst.until - worst.from)),
            out: out.collect(),
            run: u32::try_from(*run_ix).unwrap_or(u32::MAX),
            unserved: Figure::new(calls(worst.unserved)),
            unserved_year: Figure::new(calls(run.unserved)),
        });
    }
    rows
}

fn notes(year: &Year<'_, '_>, lost: &Spread) -> Vec<String> {
    let rehearsal = year.rehearsal;
    let mut notes = vec![
        "Modelled: what goes out when is drawn from the priors below; what it costs is flows of calls, evenly over each \
         hour of the week, through the limits of the channels that are left. Calls that fail before the breakers have \
         found out are in the episodes that are decided call by call, and not in the flows."
            .to_owned(),
    ];
    let of_worst = Figure::new(lost.in_the_worst(year.options.runs));
    if lost.worst.years < year.options.runs && of_worst.value() > FEW_YEARS {
        notes.push(format!(
            "{} of what is lost in all years is lost in the worst {} of {} years: the mean hangs on few years, and its \
             interval is rough. More --runs narrow it.",
            of_worst.percent(),
            count(lost.worst.years.into()),
            count(year.options.runs.into())
        ));
    }
    if year.options.common > 0 {
        notes.push(format!(
            "Assumed: {} of a channel's own outages strike all channels of the same operator and labs; `tieline grid` \
             takes them as independent.",
            tenths(year.options.common.into())
        ));
    }
    match (rehearsal.basis(), year.demand.known_hours) {
        (Basis::Structure, _) => notes.push(
            "Assumed: one call an hour for each thing that each party may ask for, in every hour of the week.".to_owned(),
        ),
        (_, known) if known < 168 => notes.push(format!(
            "Assumed: the calls are of {known} of the 168 hours of a week, and the other hours have their mean."
        )),
        _ => {}
    }
    notes.extend(n_minus_1::notes(
        rehearsal.base(),
        rehearsal.traffic(),
        year.options.assumed,
    ));
    notes
}

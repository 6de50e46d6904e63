//! `tieline policy diff`: what changes for whom from one set of rules to another, and which past calls it would have
//! changed. For parties rules alone are compared, without directives: `tieline directive rehearse` is for those. Past calls
//! are ruled by both sides under the directives that were in force for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_core::{GridRecord, Tick};
use tieline_policy::{Change, Epoch, Matrix, Pack, PartyFacts, Status, diff};

use super::super::book::Book;
use super::against::{self, Rules, Window};
use super::bench::{Field, Party, epoch, in_parallel, instant, instant_of, packs, parties, plural, time};
use super::report::{CallsDiffered, ChangeShown, GroupDiffered, PolicyDiffered, ReachShown, reach_text};
use crate::cli::{Cli, PolicyDiff};
use crate::output::{self, Failure, Result, csv_field};
use crate::{folder, load};

/// What names the rules of each call's own past.
const THEN: &str = "then";

/// One of the two that are compared.
struct Side {
    /// Of the rules of each call's past there is none: they rule no party today.
    field: Option<Field>,
    rules: Rules,
}

/// Parties for which the same changes.
type Groups = BTreeMap<Vec<Change>, Vec<String>>;

pub(super) fn run(cli: &Cli, args: &PolicyDiff) -> Result<u8> {
    let now = instant(&args.at)?;
    let ledger = args.against.as_deref().unwrap_or(&cli.dir);
    let [old, new] = sides(cli, args, ledger)?;
    let format = if cli.json { "json" } else { &args.format };
    if format == "csv" {
        output::line("what,id,subject,kind,from,from_rules,from_channels,to,to_rules,to_channels")?;
    }
    let parties = if folder::must_have_state(&cli.dir).is_ok() || args.against.is_none() {
        parties(&cli.dir, now)?
    } else {
        Vec::new()
    };
    let groups = groups(&parties, &old, &new, now)?;
    if format == "csv" {
        output::line(csv_groups(&groups))?;
    }
    let calls = match &args.against {
        None => None,
        Some(dir) => {
            let row = |call: &str, asked: &str, kind: &str, from: &ReachShown, to: &ReachShown| {
                if format == "csv" {
                    return output::line(csv_row("call", call, asked, kind, Some(from), Some(to)));
                }
                Ok(())
            };
            Some(against::run(dir, [&old.rules, &new.rules], &window(args)?, &row)?)
        }
    };
    let changes = groups
        .iter()
        .map(|(changes, parties)| changes.len() * parties.len());
    let report = PolicyDiffered {
        schema: "tieline/policy-diff/v1",
        at_us: now.0,
        changes: changes.sum::<usize>() as u64,
        calls,
        groups: groups
            .into_iter()
            .map(|(changes, parties)| GroupDiffered {
                changes: changes.iter().map(ChangeShown::new).collect(),
                parties,
            })
            .collect(),
        new: args.new.clone(),
        old: args.old.clone(),
        parties: parties.len() as u64,
    };
    match format {
        "json" => output::json(&report)?,
        "csv" => {}
        _ => output::line(text(&report))?,
    }
    let differ = report.calls.as_ref().map_or(0, |calls| calls.differ);
    Ok(u8::from(report.changes > 0 || differ > 0))
}

fn window(args: &PolicyDiff) -> Result<Window> {
    let instant = |text: &Option<String>| text.as_deref().map(instant_of).transpose();
    Ok(Window {
        call: args.call.as_ref().map(|id| id.to_ascii_lowercase()),
        since: instant(&args.since)?,
        until: instant(&args.until)?,
    })
}

fn sides(cli: &Cli, args: &PolicyDiff, ledger: &Path) -> Result<[Side; 2]> {
    let ids = [pack_at(&args.old)?, pack_at(&args.new)?];
    // A pack is compared in place of the other, beside the rest of the configuration.
    let replaced: Vec<Arc<str>> = ids
        .iter()
        .flatten()
        .map(|pack| pack.manifest().id.clone())
        .collect();
    let side = |name: &str, pack: &Option<Pack>| match pack {
        _ if name == THEN && args.against.is_none() => {
            let says = "`then` is what past calls were ruled by, and no past calls are named";
            Err(Failure::input(says).with_hint("name the folder of their ledger with --against"))
        }
        _ if name == THEN => Ok(Side {
            field: None,
            rules: Rules::Then,
        }),
        Some(pack) => {
            let checked = load::checked_in(&cli.dir)?;
            let mut all = packs(&checked.policy.packs)?;
            all.retain(|other| !replaced.contains(&other.manifest().id));
            all.push(pack.clone());
            Side::new(all, &checked.policy.enforce, &checked.grid, args.all_statuses)
        }
        None if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
            Side::archived(ledger, name, args.all_statuses)
        }
        None => {
            let path = PathBuf::from(name);
            let checked = if path.is_dir() {
                load::checked_in(&path)?
            } else {
                load::checked(&path)?
            };
            let packs = packs(&checked.policy.packs)?;
            Side::new(packs, &checked.policy.enforce, &checked.grid, args.all_statuses)
        }
    };
    Ok([side(&args.old, &ids[0])?, side(&args.new, &ids[1])?])
}

/// The pack in a folder, if it is the folder of one.
fn pack_at(name: &str) -> Result<Option<Pack>> {
    let path = PathBuf::from(name);
    if !path.join("pack.toml").exists() {
        return Ok(None);
    }
    Ok(packs(&[path])?.into_iter().next())
}

fn groups(parties: &[Party], old: &Side, new: &Side, now: Tick) -> Result<Groups> {
    let (Some((old_epoch, old)), Some((new_epoch, new))) = (old.today(), new.today()) else {
        return Ok(Groups::new());
    };
    let old = Matrix::new(old_epoch, &old.targets, &old.columns, None, now);
    let new = Matrix::new(new_epoch, &new.targets, &new.columns, None, now);
    let mut distinct: Vec<&Party> = parties.iter().collect();
    distinct.sort_by(|a, b| a.facts.cmp(&b.facts));
    distinct.dedup_by(|a, b| a.facts == b.facts);
    let changes = in_parallel(&distinct, &|party: &&Party| {
        diff(&old, &new, &party.id, &party.facts)
            .map_err(|error| Failure::found(format!("party {}: {error}", party.id)))
    })?;
    let by_facts: BTreeMap<&PartyFacts, Vec<Change>> =
        distinct.iter().map(|party| &party.facts).zip(changes).collect();
    let mut groups = Groups::new();
    for party in parties {
        if let Some(changes) = by_facts.get(&party.facts).filter(|changes| !changes.is_empty()) {
            groups.entry(changes.clone()).or_default().push(party.id.clone());
        }
    }
    Ok(groups)
}

impl Side {
    fn new(packs: Vec<Pack>, enforce: &[Status], grid: &Arc<GridRecord>, all: bool) -> Result<Self> {
        let enforce = if all { &Status::ALL[..] } else { enforce };
        Ok(Self {
            field: Some(Field::new(grid)?),
            rules: Rules::Epoch(Arc::new(epoch(packs, enforce)?)),
        })
    }

    /// What rules parties today, if anything.
    const fn today(&self) -> Option<(&Arc<Epoch>, &Field)> {
        match (&self.rules, &self.field) {
            (Rules::Epoch(epoch), Some(field)) => Some((epoch, field)),
            _ => None,
        }
    }

    /// An epoch of the ledger's archive, over the grid with which it was activated.
    fn archived(ledger: &Path, name: &str, all: bool) -> Result<Self> {
        let missing = |what: &str| {
            Failure::input(format!(
                "the archive of {} has no {what} {name}",
                ledger.display()
            ))
            .with_hint("`tieline ledger show 0..` lists activations; give the number of one")
        };
        let number = name.parse().map_err(|_| missing("epoch"))?;
        let activation = Book::open(ledger)?
            .activation(number)?
            .ok_or_else(|| missing("epoch"))?;
        let grid: GridRecord =
            serde_json::from_slice(&activation.grid).map_err(|_| missing("readable grid of the epoch"))?;
        let enforce: Vec<Status> = activation.record.enforce.iter().copied().collect();
        let packs = activation
            .packs
            .iter()
            .map(Pack::from_archive)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|problems| Failure::input(super::bench::lines(&problems)))?;
        Self::new(packs, &enforce, &Arc::new(grid), all)
    }
}

fn csv_groups(groups: &Groups) -> String {
    let mut text = String::new();
    for (changes, parties) in groups {
        for change in changes.iter().map(ChangeShown::new) {
            for party in parties {
                let (from, to) = (change.from.as_ref(), change.to.as_ref());
                let _ = writeln!(
                    text,
                    "{}",
                    csv_row("party", party, &change.model, change.kind, from, to)
                );
            }
        }
    }
    text
}

fn csv_row(
    what: &str,
    id: &str,
    subject: &str,
    kind: &str,
    from: Option<&ReachShown>,
    to: Option<&ReachShown>,
) -> String {
    let reach = |reach: Option<&ReachShown>| match reach {
        None => "none,,".to_owned(),
        Some(reach) => {
            let (rules, channels) = (
                csv_field(&reach.rules.join(" ")),
                csv_field(&reach.channels.join(" ")),
            );
            format!("{},{rules},{channels}", reach.ruling)
        }
    };
    format!(
        "{what},{},{},{kind},{},{}",
        csv_field(id),
        csv_field(subject),
        reach(from),
        reach(to)
    )
}

/// Names that are listed before the rest is counted.
const NAMES_SHOWN: usize = 10;

fn few<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(AsRef::as_ref).collect();
    let mut text = shown.join(", ");
    if names.len() > NAMES_SHOWN {
        let _ = write!(text, " and {} more", names.len() - NAMES_SHOWN);
    }
    text
}

fn text(report: &PolicyDiffered) -> String {
    let mut text = String::new();
    for group in &report.groups {
        let count = match group.parties.len() {
            1 => "1 party".to_owned(),
            n => format!("{n} parties"),
        };
        let _ = writeln!(text, "{count}: {}", few(&group.parties));
        for change in &group.changes {
            let (from, to) = (reach_text(change.from.as_ref()), reach_text(change.to.as_ref()));
            let via = match (change.kind, &change.from, &change.to) {
                ("channels", Some(from), Some(to)) => {
                    format!(" (via {} → {})", from.channels.join(", "), to.channels.join(", "))
                }
                _ => String::new(),
            };
            let _ = writeln!(text, "  {}: {from} → {to}{via}", change.model);
        }
    }
    if let Some(calls) = &report.calls {
        text_of_calls(&mut text, calls);
    }
    let _ = writeln!(
        text,
        "{} → {} at {}: {} of {} parties change, in {}.",
        report.old,
        report.new,
        time(Tick(report.at_us)),
        report
            .groups
            .iter()
            .map(|group| group.parties.len())
            .sum::<usize>(),
        report.parties,
        plural(usize::try_from(report.changes).unwrap_or(usize::MAX), "ruling"),
    );
    if let Some(calls) = &report.calls {
        let _ = writeln!(
            text,
            "{} of {} past calls would be ruled otherwise; {} could not be ruled.",
            calls.differ, calls.ruled, calls.unruled
        );
        if calls.not_reproduced > 0 {
            let _ = writeln!(
                text,
                "{} do not follow from what was in force then: a counted licence was used up, or the record is wrong.",
                plural(
                    usize::try_from(calls.not_reproduced).unwrap_or(usize::MAX),
                    "ruling"
                )
            );
        }
    }
    text
}

fn text_of_calls(text: &mut String, calls: &CallsDiffered) {
    for group in &calls.groups {
        let count = plural(usize::try_from(group.calls).unwrap_or(usize::MAX), "call");
        let _ = writeln!(text, "{count} for {} by {}", group.asked, few(&group.parties));
        let _ = writeln!(text, "  {} → {}", group.from.text(), group.to.text());
        let _ = writeln!(text, "  first: {}", few(&group.first_calls));
    }
}

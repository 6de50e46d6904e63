//! `tieline directive rehearse`: a directive laid over the rules in force and the calls that were recorded, before anybody
//! signs it. Parties stand as their facts are today, for that is how it would meet them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Tick};
use tieline_drill::{Known, OrderReport, Tally, Traffic, Window};
use tieline_note::note;
use tieline_policy::{Directive, FactName, Judge, Order, Overlay, Registry, Standing};

use super::report::{MissingFact, PartyStanding, RehearsalReport};
use super::{parse, read};
use crate::cli::{Cli, DirectiveRehearse};
use crate::commands::drill::facts::Facts;
use crate::commands::drill::{Trust, recorded};
use crate::commands::grid::World;
use crate::commands::receipt;
use crate::commands::serve::now_us;
use crate::output::{self, Failure, Result};

/// Where each party stands in the strictest case.
type Standings = BTreeMap<Arc<str>, Standing>;

pub(super) fn run(cli: &Cli, args: &DirectiveRehearse) -> Result<u8> {
    let directive = directive(&args.file)?;
    let world = World::open(cli, None)?;
    let lay = Lay::new(&directive, &world, &Arc::new(World::registry(cli)?))?;
    let traffic = of_ledger(cli, args)?;
    let tested = receipt::tested(&cli.dir, &world.snapshot.record)?;
    let known = Facts::of(cli, None)?.known(tested);
    let report = lay.rehearsal(traffic.as_ref(), known);
    if cli.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    Ok(u8::from(!report.findings.is_empty()))
}

/// The recorded calls that the arguments choose.
fn of_ledger(cli: &Cli, args: &DirectiveRehearse) -> Result<Option<Traffic>> {
    let window = Window {
        since: args.since,
        until: args.until,
    };
    let trust = if args.unverified {
        Trust::Unverified
    } else {
        Trust::Verified
    };
    recorded(cli, window, trust)
}

/// Whether a directive can be laid over the rules of the configuration.
pub(super) fn lays(cli: &Cli, directive: &Arc<Directive>) -> Result<()> {
    let world = World::open(cli, None)?;
    let registry = Arc::new(World::registry(cli)?);
    overlay(directive, &world, &registry).map(drop)
}

/// The directive of a file, signed or not.
pub(in crate::commands) fn directive(file: &Path) -> Result<Arc<Directive>> {
    let text = read(file)?;
    let inner = note::peek(&text).map_or(text.as_str(), |(inner, _)| inner);
    match parse(file, inner)? {
        Order::Directive(directive) => Ok(directive),
        Order::Revocation(revocation) => Err(Failure::input(format!(
            "{} revokes `{}`; a revocation gives back what the directive took, and there is nothing to rehearse",
            file.display(),
            revocation.id
        ))),
    }
}

fn overlay(directive: &Arc<Directive>, world: &World, registry: &Arc<Registry>) -> Result<Overlay> {
    let epoch = world.judge().epoch();
    Overlay::build(
        epoch.number() + 1,
        vec![directive.clone()],
        epoch,
        registry.clone().into_lineage(),
    )
    .map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::report(lines.join("\n"))
    })
}

/// A directive as it would lie.
pub(in crate::commands) struct Lay<'w> {
    /// To compile it and lay it over the rules in force, µs.
    compiled_us: u64,
    directive: Arc<Directive>,
    judge: Judge,
    now: Tick,
    registry: Arc<Registry>,
    world: &'w World,
}

impl<'w> Lay<'w> {
    pub(in crate::commands) fn new(
        directive: &Arc<Directive>,
        world: &'w World,
        registry: &Arc<Registry>,
    ) -> Result<Self> {
        let begun = Instant::now();
        let overlay = overlay(directive, world, registry)?;
        let judge = world.judge().with_overlay(Arc::new(overlay));
        let now = Tick(now_us());
        Ok(Self {
            compiled_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            directive: directive.clone(),
            judge,
            // One that is over, or not yet begun, is looked at as it is when it begins.
            now: if directive.holds(now) {
                now
            } else {
                directive.valid_from
            },
            registry: registry.clone(),
            world,
        })
    }

    /// Where everybody with a key or calls stands, and what becomes of the calls.
    pub(in crate::commands) fn rehearsal(&self, traffic: Option<&Traffic>, known: Known) -> RehearsalReport {
        let members = self.world.parties.iter();
        let mut parties: BTreeSet<Arc<str>> = members.map(|member| member.party.clone()).collect();
        let replay = traffic.map(|traffic| {
            parties.extend(tieline_drill::asked(traffic).into_keys());
            let ruled = |party: &str, candidate: Candidate| self.ruling(party, candidate);
            tieline_drill::order(&self.world.snapshot, traffic, known, &ruled)
        });
        RehearsalReport {
            notes: traffic.map(Traffic::notes).unwrap_or_default(),
            ..report(self, &self.standings(&parties), replay, self.strangers())
        }
    }

    /// Models, labs and parties that it names and that are not here.
    pub(in crate::commands) fn strangers(&self) -> Vec<String> {
        self.judge
            .overlay()
            .strangers(self.judge.targets(), &self.registry)
    }

    fn standing(&self, party: &str, candidate: Candidate) -> Standing {
        let Some(posture) = self.world.posture(party).or_else(|| self.without_key(party)) else {
            return Standing::Undetermined(BTreeSet::new());
        };
        let question = World::question(posture, candidate);
        let standings = self.judge.standings(question, party, self.now);
        standings
            .into_iter()
            .next()
            .map_or(Standing::Outside, |(_, standing)| standing)
    }

    /// The posture of a party that has no key any more: what is recorded of it, which may be nothing.
    fn without_key(&self, party: &str) -> Option<u32> {
        let facts = self.registry.resolve_party(party).map(|resolved| resolved.facts);
        self.judge.postures().intern(&facts.unwrap_or_default()).ok()
    }

    /// What it alone rules on a party's use of a candidate.
    pub(in crate::commands) fn ruling(&self, party: &str, candidate: Candidate) -> Ruling {
        match self.standing(party, candidate) {
            Standing::Outside | Standing::Exempt => Ruling::Allow,
            Standing::Inside => self.directive.ruling(),
            Standing::Undetermined(_) => Ruling::Hold,
        }
    }

    /// The strictest standing of each party over every way to every model.
    fn standings(&self, parties: &BTreeSet<Arc<str>>) -> Standings {
        let models = &self.world.snapshot.models;
        let candidates: Vec<Candidate> = models
            .iter()
            .flat_map(|model| model.candidates.iter().copied())
            .collect();
        let strictest = |party: &Arc<str>| {
            let each = candidates
                .iter()
                .map(|candidate| self.standing(party, *candidate));
            let worst = each.reduce(|one, other| if weight(&other) > weight(&one) { other } else { one });
            (party.clone(), worst.unwrap_or(Standing::Outside))
        };
        parties.iter().map(strictest).collect()
    }
}

/// From what changes nothing to what changes most.
const fn weight(standing: &Standing) -> u8 {
    match standing {
        Standing::Outside => 0,
        Standing::Exempt => 1,
        Standing::Undetermined(_) => 2,
        Standing::Inside => 3,
    }
}

const fn name(standing: &Standing) -> &'static str {
    match standing {
        Standing::Exempt => "exempt",
        Standing::Inside => "inside",
        Standing::Outside => "outside",
        Standing::Undetermined(_) => "undetermined",
    }
}

fn report(
    lay: &Lay<'_>,
    standings: &Standings,
    replay: Option<OrderReport>,
    strangers: Vec<String>,
) -> RehearsalReport {
    let tally = |party: &str| {
        let rows = replay.iter().flat_map(|replay| &replay.parties);
        rows.into_iter()
            .find(|row| row.party == party)
            .map(|row| row.tally)
    };
    let of = |wanted: &str| {
        let parties = standings.iter().filter(|(_, standing)| name(standing) == wanted);
        parties
            .map(|(party, _)| party.to_string())
            .collect::<Vec<String>>()
    };
    let bystanders: Vec<String> = of("outside")
        .into_iter()
        .filter(|party| tally(party).is_some())
        .collect();
    let undetermined = of("undetermined");
    let mut findings = Vec::new();
    if !bystanders.is_empty() {
        findings.push(format!(
            "{} parties outside its scope would be hit",
            bystanders.len()
        ));
    }
    if !undetermined.is_empty() {
        findings.push(format!(
            "{} parties would be held because their facts do not say",
            undetermined.len()
        ));
    }
    findings.extend(
        strangers
            .iter()
            .map(|stranger| format!("it names what is not here: {stranger}")),
    );
    let parties = rows(standings, &tally);
    RehearsalReport {
        schema: "tieline/directive-rehearse/v1",
        bystanders,
        compiled_us: Some(lay.compiled_us),
        findings,
        id: lay.directive.id.to_string(),
        missing: missing(standings),
        notes: Vec::new(),
        parties,
        replay,
        strangers,
        undetermined,
        version: lay.directive.version,
    }
}

/// The facts for want of which parties are undetermined, those first that would help most of them.
fn missing(standings: &Standings) -> Vec<MissingFact> {
    let mut counts: BTreeMap<FactName, u64> = BTreeMap::new();
    for standing in standings.values() {
        if let Standing::Undetermined(facts) = standing {
            for fact in facts {
                *counts.entry(fact.clone()).or_default() += 1;
            }
        }
    }
    let mut missing: Vec<MissingFact> = counts
        .into_iter()
        .map(|(fact, parties)| MissingFact {
            fact: fact.to_string(),
            parties,
        })
        .collect();
    missing.sort_by(|a, b| (b.parties, &a.fact).cmp(&(a.parties, &b.fact)));
    missing
}

/// Every party, those first for whom most changes.
fn rows(standings: &Standings, tally: &dyn Fn(&str) -> Option<Tally>) -> Vec<PartyStanding> {
    let mut rows: Vec<(u8, PartyStanding)> = standings
        .iter()
        .map(|(party, standing)| {
            let row = PartyStanding {
                missing: match standing {
                    Standing::Undetermined(facts) => facts.iter().map(ToString::to_string).collect(),
                    _ => Vec::new(),
                },
                party: party.to_string(),
                standing: name(standing),
                tally: tally(party),
            };
            (weight(standing), row)
        })
        .collect();
    rows.sort_by(|a, b| (b.0, &a.1.party).cmp(&(a.0, &b.1.party)));
    rows.into_iter().map(|(_, row)| row).collect()
}

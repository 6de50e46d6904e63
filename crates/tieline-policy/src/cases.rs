//! Cases: facts and the ruling that they must lead to, in `cases*.toml` beside the rules. They are run through the real
//! engine. Each also tests the law that a missing fact is never favourable: what is not allowed stays so when any one
//! fact of the party, or the end use, is taken away.
//!
//! A body of law only forbids, so alone it denies everything. Its cases run on [`bench()`], where a neutral base permits
//! what no rule of the pack forbids: an expected allow says that the pack lets the call through, not that it may be made.
//!
//! A case may lay orders over that, which `[directives.NAME]` tables of the file hold in the form of an order's text. What
//! is in force is what an operator would have who applied each on the day it was issued: of each id the last version that
//! is issued by then, and nothing where that is a revocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tieline_core::{Rule, Ruling, Tick, Verdict};
use tieline_note::sha256;
use toml::Spanned;
use toml::value::Datetime;

use crate::date::{self, Edge};
use crate::directive::{Order, order_of_table};
use crate::engine::{Epoch, Judged};
use crate::facts::{Action, ChannelFacts, FactName, Facts, ModelFacts, PartyFacts};
use crate::fields::{self, Fields};
use crate::overlay::{Laid, Lineage, Overlay};
use crate::pack::{Pack, Source, is_long};
use crate::problem::{PackProblem, Problems, Sheet, place};
use crate::targets::Targets;

/// Cases of one file.
pub const CASES_MAX: usize = 10_000;

/// Facts, and what is expected of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// When the call comes.
    pub at: Tick,
    /// Counted licences that the verdict must rest on, ascending, if the case says.
    pub consumes: Option<Vec<Arc<str>>>,
    pub expect: Ruling,
    pub facts: Facts,
    pub file: Arc<str>,
    pub line: u32,
    /// Ids of all duties that the verdict must name, ascending, if the case says.
    pub obligations: Option<Vec<Arc<str>>>,
    /// Orders that are laid over the epoch as far as they are issued.
    pub orders: Vec<Order>,
    /// The party's id and those of all above it, which lists of orders name.
    pub lineage: Vec<Arc<str>>,
    /// Ids of all rules that the verdict must name, ascending; none for an allow, of which any permit will do.
    pub rules: Vec<Arc<str>>,
    /// What the case shows, in a sentence.
    pub says: Arc<str>,
}

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The verdict rests on other counted licences, or obliges to other things.
    BringsElse {
        consumes: Vec<Arc<str>>,
        obligations: Vec<Arc<str>>,
    },
    /// The verdict is another one.
    Differs {
        found: Ruling,
        rules: Vec<Arc<str>>,
    },
    /// Without this fact (`end_use` is the call's own) the call would be allowed.
    FavoursMissing {
        fact: Arc<str>,
    },
    Pass,
}

/// The epoch on which the cases of `pack` run: its rules enforce, whatever its status, beside those of `library` with the
/// same status. `library` holds the packs whose sets it names. If none of the rules in force permits, a base that
/// permits every call at every time is added.
pub fn bench(pack: &Pack, library: &[Pack]) -> Result<Epoch, Vec<PackProblem>> {
    let status = pack.manifest().status;
    let mut packs = vec![pack.clone()];
    packs.extend(library.iter().cloned());
    let permits = |pack: &Pack| {
        pack.manifest().status == status
            && pack
                .rules()
                .iter()
                .any(|rule| rule.ruling == Ruling::Allow && !rule.obliges)
    };
    if !packs.iter().any(permits) {
        let text = BASE_MANIFEST.replace("STATUS", status.name());
        let source = |path: &str, text: &str| Source {
            path: Arc::from(path),
            text: Arc::from(text),
        };
        packs.push(Pack::parse(&[
            source("pack.toml", &text),
            source("base.cedar", BASE_RULES),
        ])?);
    }
    Epoch::build(0, packs, &[status])
}

/// Runs one case against an epoch.
pub fn run(epoch: &Epoch, case: &Case) -> CaseOutcome {
    let verdict = judge(epoch, case, &case.facts);
    let rules = full_ids(epoch, &verdict.rules);
    // Which permits apply to what is allowed, a case does not say.
    let are_named = verdict.ruling == Ruling::Allow || rules == case.rules;
    if verdict.ruling != case.expect || !are_named {
        return CaseOutcome::Differs {
            found: verdict.ruling,
            rules,
        };
    }
    let obligations = full_ids(epoch, &verdict.obligations);
    let consumes = verdict.consumes.to_vec();
    if case.obligations.as_ref().is_some_and(|ids| *ids != obligations)
        || case.consumes.as_ref().is_some_and(|ids| *ids != consumes)
    {
        return CaseOutcome::BringsElse {
            consumes,
            obligations,
        };
    }
    if verdict.ruling == Ruling::Allow {
        return CaseOutcome::Pass;
    }
    let allows = |(_, facts): &(Arc<str>, Facts)| judge(epoch, case, facts).ruling == Ruling::Allow;
    match poorer(&case.facts).find(allows) {
        Some((fact, _)) => CaseOutcome::FavoursMissing { fact },
        None => CaseOutcome::Pass,
    }
}

/// The verdict on `facts` in place of the case's own.
fn judge(epoch: &Epoch, case: &Case, facts: &Facts) -> Verdict {
    let verdict = epoch.judge(facts, case.at);
    if case.orders.is_empty() {
        return verdict;
    }
    // What cannot be laid over holds by a rule that no case expects.
    laid(epoch, case, facts, verdict).unwrap_or_else(|| epoch.unreadable(case.at).verdict)
}

fn laid(epoch: &Epoch, case: &Case, facts: &Facts, verdict: Verdict) -> Option<Verdict> {
    let mut last: BTreeMap<&Arc<str>, &Order> = BTreeMap::new();
    for order in case.orders.iter().filter(|order| order.issued() <= case.at) {
        let known = last.entry(order.id()).or_insert(order);
        if known.version() < order.version() {
            *known = order;
        }
    }
    let in_force = last.into_values().filter_map(|order| match order {
        Order::Directive(directive) => Some(directive.clone()),
        Order::Revocation(_) => None,
    });
    let lineage = case.lineage.clone();
    let lineage: Lineage = Arc::new(move |_| lineage.clone());
    let overlay = Overlay::build(1, in_force.collect(), epoch, lineage).ok()?;
    let targets = Targets::new(vec![facts.model.clone()], vec![facts.channel.clone()], &[], &[]).ok()?;
    let Some(laid) = Laid::new(Arc::new(overlay), epoch, &targets) else {
        return Some(verdict);
    };
    let party = case.lineage.first()?;
    let base = Judged {
        from: Tick(0),
        verdict,
    };
    let judged = laid.combine(&base, facts, &facts.party, laid.listed(party), epoch, case.at);
    Some(judged.verdict)
}

/// The ids by which a pack knows its rules, whatever they disclose, ascending.
fn full_ids(epoch: &Epoch, rules: &[Rule]) -> Vec<Arc<str>> {
    let full = |rule: &Rule| {
        epoch
            .rule(&rule.id)
            .map_or_else(|| rule.id.clone(), |known| known.rule.id.clone())
    };
    let mut ids: Vec<Arc<str>> = rules.iter().map(full).collect();
    ids.sort();
    ids
}

/// The same facts with one of them missing, for each that is known.
pub fn poorer(facts: &Facts) -> impl Iterator<Item = (Arc<str>, Facts)> + '_ {
    let party = facts.party.names().into_iter().map(|name| {
        let mut less = facts.clone();
        less.party.forget(&name);
        (Arc::from(name.to_string()), less)
    });
    let call = facts.end_use.is_some().then(|| {
        (
            Arc::from("end_use"),
            Facts {
                end_use: None,
                ..facts.clone()
            },
        )
    });
    party.chain(call)
}

/// Reads one file of cases. `default_at` is when a case comes that does not say.
pub(crate) fn read(sheet: Sheet<'_>, default_at: Option<Tick>, problems: &mut Problems) -> Vec<Case> {
    let raw: RawCases = match toml::from_str(sheet.text) {
        Ok(raw) => raw,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            problems.push(sheet.problem(offset, crate::fields::one_line(error.message()), None));
            return Vec::new();
        }
    };
    if raw.case.len() > CASES_MAX {
        problems.push(sheet.problem(
            0,
            format!("more than {CASES_MAX} cases"),
            Some("use several files"),
        ));
        return Vec::new();
    }
    let orders = orders(sheet, problems);
    raw.case
        .iter()
        .filter_map(|case| raw.check(case, &orders, sheet, default_at, problems))
        .collect()
}

/// The orders that the file defines, by their names in it, read as those of a file of their own are.
fn orders(sheet: Sheet<'_>, problems: &mut Problems) -> BTreeMap<String, Order> {
    let mut out = BTreeMap::new();
    let Some(root) = fields::parse(sheet, problems) else {
        return out;
    };
    let Some(value) = root.get_ref().get("directives") else {
        return out;
    };
    let Some(tables) = value.get_ref().as_table() else {
        problems.push(sheet.problem(value.span().start, "`directives` is a table of tables", None));
        return out;
    };
    for (name, value) in tables {
        let Some(table) = value.get_ref().as_table() else {
            problems.push(sheet.problem(value.span().start, "a directive is a table", None));
            continue;
        };
        let mut fields = Fields {
            sheet,
            table,
            place: value.span(),
            problems,
        };
        let digest = sha256(format!("{}\n{}", name.get_ref(), sheet.text).as_bytes());
        if let Some(order) = order_of_table(&mut fields, digest) {
            out.insert(name.get_ref().to_string(), order);
        }
    }
    out
}

/// The neutral base of [`bench()`]; it is never in force outside of it.
const BASE_MANIFEST: &str = r#"
id = "neutral-base"
version = "1"
title = "What is not forbidden is permitted, for cases only"
status = "STATUS"
valid_from = 1970-01-01
recorded_at = 1970-01-01
notice = "This is not legal advice."
covers = []
does_not_cover = []
"#;

const BASE_RULES: &str = r#"
@id("all")
@citation("none")
@reason("Nothing forbids the call.")
permit (principal, action, resource);
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCases {
    /// The ids of parties above each, which lists of orders may name.
    #[serde(default)]
    above: BTreeMap<String, Vec<Arc<str>>>,
    #[serde(default)]
    case: Vec<Spanned<RawCase>>,
    #[serde(default)]
    channels: BTreeMap<String, ChannelFacts>,
    /// Orders, which [`orders`] reads with their places.
    #[serde(default, rename = "directives")]
    _directives: serde::de::IgnoredAny,
    #[serde(default)]
    models: BTreeMap<String, ModelFacts>,
    #[serde(default)]
    parties: BTreeMap<String, PartyFacts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    #[serde(default)]
    action: Action,
    at: Option<Spanned<Datetime>>,
    channel: Spanned<String>,
    consumes: Option<Vec<Arc<str>>>,
    /// Names of orders of the file.
    #[serde(default)]
    directives: Vec<Spanned<String>>,
    end_use: Option<Arc<str>>,
    expect: Ruling,
    #[serde(default)]
    expires: BTreeMap<FactName, Spanned<Datetime>>,
    model: Spanned<String>,
    obligations: Option<Vec<Arc<str>>>,
    party: Spanned<String>,
    region: Option<Arc<str>>,
    rules: Option<Spanned<Vec<Arc<str>>>>,
    says: Spanned<Arc<str>>,
    /// Licences of the party whose quantity is used up.
    #[serde(default)]
    spent: Vec<Arc<str>>,
}

impl RawCases {
    fn check(
        &self,
        case: &Spanned<RawCase>,
        orders: &BTreeMap<String, Order>,
        sheet: Sheet<'_>,
        default_at: Option<Tick>,
        problems: &mut Problems,
    ) -> Option<Case> {
        let raw = case.get_ref();
        let party = find(&self.parties, &raw.party, "party", sheet, problems);
        let model = find(&self.models, &raw.model, "model", sheet, problems);
        let channel = find(&self.channels, &raw.channel, "channel", sheet, problems);
        let at = match &raw.at {
            Some(at) => tick(at, sheet, problems),
            None => default_at,
        };
        let mut party = party?.clone();
        for (name, at) in &raw.expires {
            party.expires.insert(name.clone(), tick(at, sheet, problems)?);
        }
        let party = party.without_licences(&raw.spent);
        let channel = channel?.clone();
        let rules = raw.rules(case.span().start, sheet, problems)?;
        let named = |name| find(orders, name, "directive", sheet, problems).cloned();
        let orders: Option<Vec<Order>> = raw.directives.iter().map(named).collect();
        let above = self.above.get(raw.party.get_ref()).into_iter().flatten();
        let own: Arc<str> = Arc::from(raw.party.get_ref().as_str());
        Some(Case {
            at: at?,
            consumes: raw.consumes.clone().map(sorted),
            expect: raw.expect,
            facts: Facts {
                action: raw.action,
                end_use: raw.end_use.clone(),
                model: model?.clone(),
                party,
                region: raw.region.clone().or_else(|| channel.region.clone()),
                channel,
            },
            file: sheet.path.clone(),
            lineage: std::iter::once(own).chain(above.cloned()).collect(),
            obligations: raw.obligations.clone().map(sorted),
            orders: orders?,
            line: place(sheet.text, raw.says.span().start).0,
            rules,
            says: raw.says.get_ref().clone(),
        })
    }
}

impl RawCase {
    /// The rules that the verdict must name, ascending.
    fn rules(&self, place: usize, sheet: Sheet<'_>, problems: &mut Problems) -> Option<Vec<Arc<str>>> {
        let place = self.rules.as_ref().map_or(place, |rules| rules.span().start);
        let rules = self.rules.as_ref().map(|rules| rules.get_ref().clone());
        let rules = sorted(rules.unwrap_or_default());
        if rules.is_empty() != (self.expect == Ruling::Allow) {
            let help = "name the rules that forbid, all of them; an allow names none";
            let says = "the rules do not fit the ruling that the case expects";
            problems.push(sheet.problem(place, says, Some(help)));
            return None;
        }
        let is_order = |id: &str| !self.directives.is_empty() && id.starts_with("directive/");
        if let Some(short) = rules.iter().find(|id| !is_long(id) && !is_order(id)) {
            let says = format!("`{short}` is no id of a rule in an epoch");
            problems.push(sheet.problem(place, says, Some("write it as `pack/rule`")));
            return None;
        }
        Some(rules)
    }
}

fn sorted(mut ids: Vec<Arc<str>>) -> Vec<Arc<str>> {
    ids.sort();
    ids
}

fn find<'a, T>(
    all: &'a BTreeMap<String, T>,
    name: &Spanned<String>,
    what: &str,
    sheet: Sheet<'_>,
    problems: &mut Problems,
) -> Option<&'a T> {
    let found = all.get(name.get_ref());
    if found.is_none() {
        let says = format!("the file has no {what} `{}`", name.get_ref());
        problems.push(sheet.problem(name.span().start, says, None));
    }
    found
}

fn tick(date: &Spanned<Datetime>, sheet: Sheet<'_>, problems: &mut Problems) -> Option<Tick> {
    date::tick(date.get_ref(), Edge::Begin)
        .map_err(|why| problems.push(sheet.problem(date.span().start, why, None)))
        .ok()
}

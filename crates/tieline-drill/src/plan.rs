//! The plan: which offers of a catalogue, alone or two together, make every critical party N-1 secure, the cheapest first.
//!
//! A set of offers serves if, with it in the grid, no single loss (of the offered channels and what they need too) leaves
//! a critical call unserved that is served without it, and none of these is refused with nothing gone. Every set that is
//! printed was played: each loss, each call, by the live core, with what calls that move do to the limits of others. Before
//! that, a set is screened: of each thing that critical calls ask for, some way that the rules allow must be left in each
//! loss. That is necessary, so the screen drops no set that would serve. A pair that holds an offer which serves alone is
//! never cheaper, and is not tried.
//!
//! Rules are input: an offered channel is judged like any other, and what policy was not asked about is not taken as
//! allowed. Bounds: [`OFFERS_MAX`] offers; of one trial those of [`Rehearsal`].

mod offers;
mod rest;
mod text;
mod why;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::{ChannelIx, Nano, Ruling, Snapshot};

pub use self::offers::{Catalogue, Change, Offer, OfferKind, Raise};
pub use self::rest::Rest;
pub use self::why::{Unsecured, Why};

use crate::consequence::{Consequence, CostChange};
use crate::contingency::{Assumed, Contingencies, Label, Loss};
use crate::elements::Element;
use crate::known::Known;
use crate::laid::Laid;
use crate::n_minus_1::notes;
use crate::rehearsal::{Base, Rehearsal};
use crate::timeline::Permille;
use crate::traffic::{Basis, Traffic};

/// The schema of [`PlanReport`].
pub const PLAN_V1: &str = "tieline/drill-plan/v1";

/// Offers of one catalogue: 32 alone and 32 × 31 / 2 = 496 pairs are 528 sets. A grid of 40 elements plays each at most 41
/// times, 21,648 plays; a set that is screened takes none, and one that fails stops at the first loss that shows it.
pub const OFFERS_MAX: usize = 32;

/// What to buy, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanReport {
    /// Without any offer, with nothing gone.
    pub base: Base,
    pub basis: Basis,
    /// The sets that serve, cheapest first; then by fewer offers, by lead time, by name.
    pub fixes: Vec<Fix>,
    /// How what is gone shows itself.
    pub loss: Loss,
    /// What is modelled or assumed, in sentences.
    pub notes: Vec<String>,
    /// Each offer, in the order of the catalogue, and what it does alone.
    pub offers: Vec<OfferRow>,
    /// What serves for all else, where nothing secures what some party asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// What the rules cost here; absent where no rule stands against an offered channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesCost>,
    /// Always [`PLAN_V1`].
    pub schema: &'static str,
    pub sets: Sets,
    /// What the limits of the channels that are left are worth, in thousandths.
    pub survivors_permille: Permille,
    /// The losses that leave critical calls unserved without any offer, the worst first.
    pub threats: Vec<Threat>,
    /// Where nothing serves: who cannot be secured against what, and why; at most 50.
    pub unsecured: Vec<Unsecured>,
    /// How many rows that is; of those for whom ways are left and do not suffice, the parties that a threat names.
    pub unsecured_count: u64,
}

/// Offers that make every critical party N-1 secure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fix {
    /// What the calls would cost more or less with nothing gone, over the span of the traffic.
    pub base_cost_change_nano: CostChange,
    #[schemars(with = "String")]
    pub cost_nano_per_month: Nano,
    /// Always exact: every loss was played.
    pub label: Label,
    /// The longest of its offers.
    pub lead_days: u32,
    pub offers: Vec<String>,
    /// Losses that were played; those that take out the same channels are one.
    pub plays: u64,
}

/// An offer, and what it does alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OfferRow {
    pub alone: Alone,
    #[schemars(with = "String")]
    pub cost_nano_per_month: Nano,
    /// The day of the source.
    pub date: String,
    pub kind: OfferKind,
    pub lead_days: u32,
    pub name: String,
    pub source: String,
}

/// What a set does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Alone {
    /// A loss leaves critical calls of so many parties unserved; nothing gone, if there is no element: with the offers,
    /// calls are refused that are served without.
    Fails {
        gone: Vec<Element>,
        parties: u64,
    },
    /// Nobody was unserved before, so it was not tried.
    NotNeeded,
    /// No way is left in a loss that the rules allow the party; no call had to be played to see it.
    Screened {
        gone: Vec<Element>,
        party: String,
    },
    Serves,
    /// The grid cannot hold it.
    Unfit {
        says: String,
    },
}

/// A loss that leaves critical calls unserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Threat {
    pub calls: u64,
    pub gone: Vec<Element>,
    /// At most 50.
    pub parties: Vec<String>,
    pub parties_losing: u64,
}

/// How many sets were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sets {
    /// Pairs that were tried.
    pub pairs: u64,
    /// Pairs that cost at least as much as an offer that serves alone, and pairs that hold such an offer.
    pub pairs_dearer: u64,
    /// Sets that failed when they were played.
    pub played_and_failed: u64,
    pub screened: u64,
    pub singles: u64,
    /// Sets that the grid cannot hold.
    pub unfit: u64,
}

/// The price of the rules that stand against offered channels. It is a figure: the rules stand, and nothing here is offered
/// without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RulesCost {
    /// By how much the cheapest fix would cost less a month were offered channels free of rules; absent where there is no
    /// fix with the rules, or none without.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_nano_per_month: Option<Nano>,
    /// Always modelled: no gateway decides so.
    pub label: Label,
    /// Whether offers would serve without the rules and none does with them.
    pub stands_between: bool,
}

/// A search for sets that serve.
pub struct PlanSearch<'t> {
    assumed: Assumed,
    catalogue: &'t Catalogue,
    /// Kinds with critical calls that are served without any offer.
    critical: Vec<bool>,
    known: Known,
    rehearsal: Rehearsal<'t>,
}

/// What was found of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    pub outcome: Alone,
    /// Of a set that serves.
    base_cost_change: CostChange,
    plays: u64,
    /// Places of its offers in the catalogue.
    set: Vec<usize>,
}

impl<'t> PlanSearch<'t> {
    /// Decide every call without any offer. `traffic` was told what policy says of the offered channels:
    /// [`Traffic::judge`].
    pub fn new(
        snapshot: &Arc<Snapshot>,
        traffic: &'t Traffic,
        known: Known,
        assumed: Assumed,
        catalogue: &'t Catalogue,
    ) -> Self {
        let rehearsal = Rehearsal::new(snapshot, traffic, known.clone());
        let mut critical = vec![false; traffic.kinds.len()];
        for (ix, call) in traffic.calls.iter().enumerate() {
            let kind = call.kind as usize;
            let is_served = rehearsal.is_served(ix);
            if let (true, Some(place)) = (is_served, critical.get_mut(kind)) {
                *place = *place || rehearsal.is_critical(kind);
            }
        }
        Self {
            assumed,
            catalogue,
            critical,
            known,
            rehearsal,
        }
    }

    /// The single losses without any offer, to be played.
    pub fn today(&self) -> Contingencies<'_, 't> {
        Contingencies::single(&self.rehearsal, self.assumed)
    }

    /// The losses that leave critical calls unserved without any offer.
    pub fn threats(&self, today: &[Consequence]) -> Vec<Threat> {
        let rows = self.today().rows(today).into_iter().filter_map(|row| {
            let critical = row.consequence.critical;
            (critical.parties_losing > 0).then_some(Threat {
                calls: critical.calls_unserved,
                gone: row.gone,
                parties: critical.parties,
                parties_losing: critical.parties_losing,
            })
        });
        let mut rows: Vec<Threat> = rows.collect();
        rows.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.gone.cmp(&b.gone)));
        rows
    }

    /// Each offer alone.
    pub fn singles(&self) -> Vec<Vec<usize>> {
        (0..self.catalogue.offers.len().min(OFFERS_MAX))
            .map(|ix| vec![ix])
            .collect()
    }

    /// The pairs worth trying: of offers that do not serve alone; unless `all`, only those that cost less than the cheapest
    /// that does. And how many are left out.
    pub fn pairs(&self, singles: &[Trial], all: bool) -> (Vec<Vec<usize>>, u64) {
        let serves = |ix: usize| singles.get(ix).is_some_and(Trial::is_fix);
        let fixes = singles.iter().filter(|trial| trial.is_fix());
        let cheapest = fixes.map(|trial| self.cost(&trial.set)).min();
        let offers = singles.len();
        let pairs = (0..offers).flat_map(|a| (a + 1..offers).map(move |b| vec![a, b]));
        let mut left_out = 0;
        let tried = pairs.filter(|set| {
            let is_cheaper = all || cheapest.is_none_or(|cheapest| self.cost(set) < cheapest);
            let is_tried = is_cheaper && !set.iter().any(|ix| serves(*ix));
            left_out += u64::from(!is_tried);
            is_tried
        });
        (tried.collect(), left_out)
    }

    /// What a set does. `threats` are played first, for they show soonest that it does not serve.
    pub fn attempt(&self, set: &[usize], threats: &[Threat]) -> Trial {
        let mut trial = Trial {
            base_cost_change: CostChange::Unknown,
            outcome: Alone::Serves,
            plays: 0,
            set: set.to_vec(),
        };
        let snapshot = match self.catalogue.with(&self.rehearsal.snapshot().record, set) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(says) => {
                trial.outcome = Alone::Unfit { says };
                return trial;
            }
        };
        if let Some((gone, party)) = self.screened(&snapshot) {
            trial.outcome = Alone::Screened { gone, party };
            return trial;
        }
        let mut rehearsal = Rehearsal::new(&snapshot, self.rehearsal.traffic(), self.known.clone());
        let refused = self.refused_by(&rehearsal);
        if refused > 0 {
            trial.outcome = Alone::Fails {
                gone: Vec::new(),
                parties: refused,
            };
            return trial;
        }
        trial.base_cost_change = cost_change(self.rehearsal.base(), rehearsal.base());
        // What nobody serves without the offers is not theirs to secure.
        rehearsal.disregard(|ix, call| !(self.is_critical(call.kind as usize) && self.serves(ix)));
        let losses = Contingencies::single(&rehearsal, self.assumed);
        for play in first_those(&losses, threats) {
            let critical = losses.play(play).critical;
            trial.plays += 1;
            if critical.parties_losing > 0 {
                let mut cases = losses.cases().iter();
                let case = cases.find(|case| case.play == play);
                trial.outcome = Alone::Fails {
                    gone: case.map(|case| case.gone.clone()).unwrap_or_default(),
                    parties: critical.parties_losing,
                };
                break;
            }
        }
        trial
    }

    /// The report; `pairs_left_out` is what [`PlanSearch::pairs`] said.
    pub fn report(
        &self,
        threats: Vec<Threat>,
        singles: &[Trial],
        pairs: &[Trial],
        pairs_left_out: u64,
    ) -> PlanReport {
        let traffic = self.rehearsal.traffic();
        let base = self.rehearsal.base().clone();
        let all = || singles.iter().chain(pairs);
        let mut fixes: Vec<Fix> = all()
            .filter(|trial| trial.is_fix())
            .map(|t| self.fix(t))
            .collect();
        fixes.sort_by(|a, b| {
            let key = |fix: &Fix| (fix.cost_nano_per_month, fix.offers.len(), fix.lead_days);
            key(a).cmp(&key(b)).then_with(|| a.offers.cmp(&b.offers))
        });
        let mut unsecured = if fixes.is_empty() {
            self.unsecured(&threats)
        } else {
            Vec::new()
        };
        let unsecured_count = unsecured.len() as u64;
        unsecured.truncate(why::ROWS_MAX);
        let of = |is: fn(&Alone) -> bool| all().filter(|trial| is(&trial.outcome)).count() as u64;
        let mut says = notes(&base, traffic, self.assumed);
        says.push(why::note(traffic.basis).to_owned());
        PlanReport {
            notes: says,
            base,
            basis: traffic.basis,
            fixes,
            loss: self.assumed.loss,
            offers: self.rows(singles),
            rest: None,
            rules: None,
            schema: PLAN_V1,
            sets: Sets {
                pairs: pairs.len() as u64,
                pairs_dearer: pairs_left_out,
                played_and_failed: of(|alone| matches!(alone, Alone::Fails { .. })),
                screened: of(|alone| matches!(alone, Alone::Screened { .. })),
                singles: singles.len() as u64,
                unfit: of(|alone| matches!(alone, Alone::Unfit { .. })),
            },
            survivors_permille: self.assumed.survivors,
            threats,
            unsecured,
            unsecured_count,
        }
    }

    fn rows(&self, singles: &[Trial]) -> Vec<OfferRow> {
        let offers = self.catalogue.offers.iter().enumerate();
        let rows = offers.map(|(ix, offer)| OfferRow {
            alone: singles
                .get(ix)
                .map_or(Alone::NotNeeded, |trial| trial.outcome.clone()),
            cost_nano_per_month: offer.cost_nano_per_month,
            date: offer.date.to_string(),
            kind: offer.kind,
            lead_days: offer.lead_days,
            name: offer.name.to_string(),
            source: offer.source.to_string(),
        });
        rows.collect()
    }

    fn fix(&self, trial: &Trial) -> Fix {
        let offers = || trial.set.iter().filter_map(|ix| self.catalogue.offers.get(*ix));
        Fix {
            base_cost_change_nano: trial.base_cost_change,
            cost_nano_per_month: self.cost(&trial.set),
            label: Label::Exact,
            lead_days: offers().map(|offer| offer.lead_days).max().unwrap_or_default(),
            offers: offers().map(|offer| offer.name.to_string()).collect(),
            plays: trial.plays,
        }
    }

    fn cost(&self, set: &[usize]) -> Nano {
        let offers = set.iter().filter_map(|ix| self.catalogue.offers.get(*ix));
        Nano(offers.fold(0, |sum, offer| {
            u64::saturating_add(sum, offer.cost_nano_per_month.0)
        }))
    }

    /// A loss in which nothing is left that the rules allow to somebody critical, and to whom.
    fn screened(&self, snapshot: &Arc<Snapshot>) -> Option<(Vec<Element>, String)> {
        let laid = Laid::new(snapshot, self.rehearsal.traffic());
        Element::all(snapshot).into_iter().find_map(|element| {
            let out = element.channels(snapshot);
            let mut kinds = (0..self.critical.len()).filter(|kind| self.is_critical(*kind));
            let kind = kinds.find(|kind| !has_way(&laid, *kind, &out))?;
            Some((vec![element], self.party(kind)))
        })
    }

    /// Parties with critical calls that are served without the offers and refused with them.
    fn refused_by(&self, with: &Rehearsal<'_>) -> u64 {
        let traffic = self.rehearsal.traffic();
        let calls = traffic.calls.iter().enumerate();
        let refused = calls.filter(|(ix, call)| {
            self.is_critical(call.kind as usize) && self.serves(*ix) && !with.is_served(*ix)
        });
        let mut parties: Vec<u32> = refused
            .filter_map(|(_, call)| Some(traffic.kinds.get(call.kind as usize)?.party))
            .collect();
        parties.sort_unstable();
        parties.dedup();
        parties.len() as u64
    }

    /// Whether a call is served without any offer.
    fn serves(&self, call: usize) -> bool {
        self.rehearsal.is_served(call)
    }

    fn is_critical(&self, kind: usize) -> bool {
        self.critical.get(kind).copied().unwrap_or_default()
    }

    fn party(&self, kind: usize) -> String {
        let kind = self.rehearsal.traffic().kinds.get(kind);
        kind.map_or_else(String::new, |kind| self.rehearsal.laid().party(kind.party))
    }
}

impl Trial {
    fn is_fix(&self) -> bool {
        self.outcome == Alone::Serves
    }
}

impl PlanReport {
    /// Whether every critical party is secure, or can be made so by an offer.
    pub fn is_good(&self) -> bool {
        self.threats.is_empty() || !self.fixes.is_empty()
    }

    /// Say what the rules cost: `without` is the report of the same search were no rule against an offered channel.
    pub fn price_rules(&mut self, without: &Self) {
        let cheapest = |of: &Self| of.fixes.first().map(|fix| fix.cost_nano_per_month.0);
        let (with, without) = (cheapest(self), cheapest(without));
        let saved = with
            .zip(without)
            .map(|(with, without)| with.saturating_sub(without));
        self.rules = Some(RulesCost {
            cost_nano_per_month: saved.map(Nano),
            label: Label::Modelled,
            stands_between: with.is_none() && without.is_some(),
        });
    }
}

/// Whether the rules allow the calls of a kind a way over a channel that is left.
fn has_way(laid: &Laid<'_>, kind: usize, out: &[ChannelIx]) -> bool {
    let ways = laid.grid(0).candidates_of(kind).iter();
    let mut ways = ways.zip(laid.grid(0).rulings_of(kind));
    ways.any(|(way, ruling)| *ruling == Ruling::Allow && !out.contains(&way.channel))
}

/// The plays, those of the threats first.
fn first_those(losses: &Contingencies<'_, '_>, threats: &[Threat]) -> Vec<usize> {
    let is_threat = |gone: &Vec<Element>| threats.iter().any(|threat| threat.gone == *gone);
    let mut order: Vec<usize> = losses
        .cases()
        .iter()
        .filter(|case| is_threat(&case.gone))
        .map(|case| case.play)
        .collect();
    order.extend(0..losses.plays());
    let mut seen = vec![false; losses.plays()];
    order.retain(|play| {
        seen.get_mut(*play)
            .is_some_and(|seen| !std::mem::replace(seen, true))
    });
    order
}

fn cost_change(before: &Base, after: &Base) -> CostChange {
    if before.cost_unknown_calls + after.cost_unknown_calls > 0 {
        return CostChange::Unknown;
    }
    CostChange::Nano(i128::from(after.cost_nano.0) - i128::from(before.cost_nano.0))
}

impl std::fmt::Debug for PlanSearch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanSearch")
            .field("rehearsal", &self.rehearsal)
            .finish_non_exhaustive()
    }
}

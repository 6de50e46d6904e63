//! Why a party cannot be secured: what is left of the grid and of every offer in a loss, and what the rules say of it.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::Ruling;

use super::{PlanSearch, Threat};
use crate::elements::Element;
use crate::laid::Laid;
use crate::traffic::{Asked, Basis};

/// Rows of a report.
pub(super) const ROWS_MAX: usize = 50;

/// A party that no set of offers secures against a loss.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Unsecured {
    pub party: String,
    pub gone: Vec<Element>,
    pub why: Why,
    /// The pool or model that it asks for.
    pub asks: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Neither the grid nor an offer has a model that it asks for, outside of what is gone.
    NoOffer,
    /// Ways are left, and the rules deny each, or hold it for an officer.
    Rules,
    /// The rules allow ways that are left, and no one offer and no two that were tried suffice: limits, the attempts of a
    /// call, or it takes more offers.
    NotEnough,
}

pub(super) const fn note(basis: Basis) -> &'static str {
    match basis {
        Basis::Recorded => {
            "Rules on offered channels are those of now, for the end use that a call stated; what evidence single calls \
             brought with them is left out. An offered channel is modelled by the recorded usage and timing."
        }
        Basis::Drawn | Basis::Trace => {
            "Rules on offered channels are those of now, and without parties none are asked."
        }
        Basis::Steady | Basis::Structure => {
            "Rules on offered channels are those of now, and without parties none are asked. Limits do not bind calls that \
             are assumed: bring calls to see whether there is room."
        }
    }
}

impl PlanSearch<'_> {
    /// Whether the rules deny or hold somebody critical a use of an offered channel.
    pub fn is_ruled(&self) -> bool {
        let (traffic, today) = (self.rehearsal.traffic(), self.rehearsal.snapshot());
        let mut offered = self.singles().into_iter().filter_map(|set| {
            let snapshot = self.catalogue.with(&today.record, &set).ok()?;
            Some(Laid::new(&snapshot.into(), traffic))
        });
        offered.any(|laid| {
            let grid = laid.grid(0);
            let is_new = |channel| {
                let channel = grid.snapshot.channel(channel);
                channel.is_some_and(|channel| today.channel_named(&channel.name).is_none())
            };
            let mut kinds = (0..self.critical.len()).filter(|kind| self.is_critical(*kind));
            kinds.any(|kind| {
                let mut ways = grid.candidates_of(kind).iter().zip(grid.rulings_of(kind));
                ways.any(|(way, ruling)| *ruling != Ruling::Allow && is_new(way.channel))
            })
        })
    }

    /// The traffic laid on the grid, and on the grid with each offer.
    pub(super) fn with_each(&self) -> Vec<Laid<'_>> {
        let (traffic, record) = (self.rehearsal.traffic(), &self.rehearsal.snapshot().record);
        let offered = self.singles().into_iter().filter_map(|set| {
            let snapshot = self.catalogue.with(record, &set).ok()?;
            Some(Laid::new(&snapshot.into(), traffic))
        });
        let mut all = vec![self.rehearsal.laid().clone()];
        all.extend(offered);
        all
    }

    /// Of every threat and everyone whom it leaves without: why. Where some can be secured by nothing at all, only these;
    /// they are why no set serves.
    pub(super) fn unsecured(&self, threats: &[Threat]) -> Vec<Unsecured> {
        let (traffic, all) = (self.rehearsal.traffic(), self.with_each());
        let mut rows = Vec::new();
        for threat in threats {
            for kind in (0..self.critical.len()).filter(|kind| self.is_critical(*kind)) {
                let left = left(&all, kind, &threat.gone);
                let party = self.party(kind);
                let why = if !left.contains(&Ruling::Allow) {
                    if left.is_empty() { Why::NoOffer } else { Why::Rules }
                } else if threat.parties.contains(&party) {
                    Why::NotEnough
                } else {
                    continue;
                };
                let asks = match traffic.kinds.get(kind).map(|kind| &kind.ask) {
                    Some(Asked::Model(name) | Asked::Pool(name)) => name.to_string(),
                    Some(Asked::Nothing) | None => continue,
                };
                rows.push(Unsecured {
                    asks,
                    gone: threat.gone.clone(),
                    party,
                    why,
                });
            }
        }
        rows.sort();
        rows.dedup();
        if rows.iter().any(|row| row.why != Why::NotEnough) {
            rows.retain(|row| row.why != Why::NotEnough);
        }
        rows
    }
}

/// What the rules say of every way that is left to a kind, over the grid and each offer.
pub(super) fn left(all: &[Laid<'_>], kind: usize, gone: &[Element]) -> Vec<Ruling> {
    let of_grid = |laid: &Laid<'_>| {
        let grid = laid.grid(0);
        let is_left = |channel| {
            let mut out = gone.iter().flat_map(|element| element.channels(&grid.snapshot));
            !out.any(|ix| ix == channel)
        };
        let ways = grid.candidates_of(kind).iter().zip(grid.rulings_of(kind));
        let left = ways.filter(|(way, _)| is_left(way.channel));
        left.map(|(_, ruling)| *ruling).collect::<Vec<_>>()
    };
    all.iter().flat_map(of_grid).collect()
}

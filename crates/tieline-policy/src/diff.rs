//! The difference between two matrices, party by party: what changes, from what to what, by which rules.
//!
//! Models and channels are the same if their names are, so that matrices of different grids compare. An allow by another
//! permit is no change; a hold or a denial by other rules is one, because another remedy follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::{Rule, Ruling};

use crate::facts::PartyFacts;
use crate::matrix::{Cell, Matrix};
use crate::posture::PostureError;

/// A cell by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reach {
    /// The channels with this ruling.
    pub channels: Vec<Arc<str>>,
    /// Ids of the rules that determine it.
    pub rules: Vec<Arc<str>>,
    pub ruling: Ruling,
}

/// What a change is about, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The ruling, or that the model is served at all.
    Ruling,
    /// The channels alone.
    Channels,
    /// The rules alone that hold or deny.
    Rules,
}

/// A model that a party reaches in another way. `None`: no channel serves it, or the grid does not have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    pub model: Arc<str>,
    pub kind: ChangeKind,
    pub from: Option<Reach>,
    pub to: Option<Reach>,
}

/// What changes for a party between two matrices, by model.
pub fn diff(
    old: &Matrix<'_>,
    new: &Matrix<'_>,
    party: &str,
    facts: &PartyFacts,
) -> Result<Vec<Change>, PostureError> {
    let mut pairs: BTreeMap<Arc<str>, (Option<Cell>, Option<Cell>)> = BTreeMap::new();
    for (column, cell) in old.columns().iter().zip(old.row(party, facts)?) {
        pairs.entry(old.model_name(column.model)).or_default().0 = cell;
    }
    for (column, cell) in new.columns().iter().zip(new.row(party, facts)?) {
        pairs.entry(new.model_name(column.model)).or_default().1 = cell;
    }
    let change = |(model, (from, to)): (Arc<str>, (Option<Cell>, Option<Cell>))| {
        let from = from.map(|cell| old.reach(&cell));
        let to = to.map(|cell| new.reach(&cell));
        let kind = change_kind(from.as_ref(), to.as_ref())?;
        Some(Change {
            model,
            kind,
            from,
            to,
        })
    };
    Ok(pairs.into_iter().filter_map(change).collect())
}

/// How two cells differ, if they do.
pub fn change_kind(from: Option<&Reach>, to: Option<&Reach>) -> Option<ChangeKind> {
    let (from, to) = match (from, to) {
        (None, None) => return None,
        (Some(from), Some(to)) => (from, to),
        _ => return Some(ChangeKind::Ruling),
    };
    if from.ruling != to.ruling {
        return Some(ChangeKind::Ruling);
    }
    if from.channels != to.channels {
        return Some(ChangeKind::Channels);
    }
    (from.ruling != Ruling::Allow && from.rules != to.rules).then_some(ChangeKind::Rules)
}

impl Matrix<'_> {
    /// A cell by names; channels and rules are sorted, so that equal sets compare equal.
    pub fn reach(&self, cell: &Cell) -> Reach {
        let mut channels: Vec<Arc<str>> = cell.channels.iter().map(|ix| self.channel_name(*ix)).collect();
        channels.sort();
        let mut rules: Vec<Arc<str>> = cell.rules.iter().map(|rule: &Rule| rule.id.clone()).collect();
        rules.sort();
        Reach {
            channels,
            rules,
            ruling: cell.ruling,
        }
    }
}

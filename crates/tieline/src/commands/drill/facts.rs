//! What a rehearsal is told beside calls and grids, from the state folder: of what class each party is, and how much calls
//! matter by their key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tieline_core::{Criticality, Tick};
use tieline_drill::{Known, PartyClass, Receipts};
use tieline_gateway::{State, StateError};
use tieline_note::jcs;
use tieline_policy::FactName;

use crate::cli::Cli;
use crate::commands::serve::now_us;
use crate::output::{Failure, Result};

/// Facts of parties and keys, as they are now.
#[derive(Debug, Default, Serialize)]
pub(in crate::commands) struct Facts {
    classes: BTreeMap<Arc<str>, PartyClass>,
    /// Of the keys that say it, by their public ids: the ledger does not.
    criticality: BTreeMap<Arc<str>, Criticality>,
}

impl Facts {
    /// By what name a receipt cites their digest.
    pub(in crate::commands) const ARGUMENT: &str = "facts";

    /// What the state folder knows.
    pub(in crate::commands) fn of(cli: &Cli) -> Result<Self> {
        let mut facts = Self::default();
        if !cli.dir.join("state.db").exists() {
            return Ok(facts);
        }
        let state = State::read(&cli.dir).map_err(|error| failed(&error))?;
        let now = Tick(now_us());
        let registry = state.registry(now).map_err(|error| failed(&error))?;
        for (party, resolved) in registry.resolve() {
            // Of two classes that disagree, neither is known.
            let is_flagged = resolved.flags.iter().any(|flag| flag.fact == FactName::Class);
            let class = resolved.facts.at(now).class.filter(|_| !is_flagged);
            let class = class.and_then(|class| PartyClass::named(class.name()));
            facts.classes.extend(class.map(|class| (party, class)));
        }
        for key in state.keys().map_err(|error| failed(&error))? {
            let stated = key.limits.criticality;
            facts
                .criticality
                .extend(stated.map(|stated| (key.id.into(), stated)));
        }
        Ok(facts)
    }

    /// SHA-256 of their canonical JSON; none of nothing.
    pub(in crate::commands) fn digest(&self) -> Result<Option<Arc<str>>> {
        if self.classes.is_empty() && self.criticality.is_empty() {
            return Ok(None);
        }
        let bytes = jcs::to_vec(self).map_err(|error| Failure::found(error.to_string()))?;
        Ok(Some(tieline_note::sha256(&bytes).to_string().into()))
    }

    pub(in crate::commands) const fn criticality(&self) -> &BTreeMap<Arc<str>, Criticality> {
        &self.criticality
    }

    /// What a rehearsal is told.
    pub(in crate::commands) fn known(self, receipts: Receipts) -> Known {
        Known {
            classes: self.classes,
            receipts,
            ..Known::default()
        }
    }
}

fn failed(error: &StateError) -> Failure {
    Failure::found(error.to_string())
}

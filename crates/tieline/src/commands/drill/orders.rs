//! What the orders of a scenario rule: a directive as it would lie over the rules in force, or the rules in force as they
//! are for those whose licence has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::{Ruling, Tick};
use tieline_drill::{Ordered, candidate_named};
use tieline_policy::{Judge, Licence, Registry, Terms};

use crate::check::scenario::OrderSpec;
use crate::commands::directive::rehearse::Lay;
use crate::commands::grid::World;
use crate::commands::serve::now_us;
use crate::output::{Failure, Result};

/// An order that can be asked.
pub(super) enum Order<'w> {
    Directive(Box<Lay<'w>>),
    Lapse(Lapse<'w>),
}

/// The rules in force where a licence has ended.
pub(super) struct Lapse<'w> {
    judge: &'w Judge,
    now: Tick,
    /// Of the parties that have it, without it.
    postures: BTreeMap<Arc<str>, u32>,
}

impl<'w> Order<'w> {
    pub(super) fn new(spec: &OrderSpec, world: &'w World, registry: &Arc<Registry>) -> Result<Self> {
        Ok(match spec {
            OrderSpec::Directive(directive) => {
                Self::Directive(Box::new(Lay::new(directive, world, registry)?))
            }
            OrderSpec::Lapse { licence, party } => {
                Self::Lapse(Lapse::new(licence, party.as_ref(), world, registry)?)
            }
        })
    }

    /// What laying it here should be said about, in sentences.
    pub(super) fn notes(&self) -> Vec<String> {
        match self {
            Self::Directive(lay) => {
                let strangers = lay.strangers().into_iter();
                strangers
                    .map(|stranger| format!("A directive names what is not here: {stranger}."))
                    .collect()
            }
            Self::Lapse(lapse) if lapse.postures.is_empty() => {
                vec!["Nobody with a key has the licence that expires: that changes nothing.".to_owned()]
            }
            Self::Lapse(_) => Vec::new(),
        }
    }

    pub(super) fn ordered<'o>(&'o self, world: &'o World) -> Box<Ordered<'o>> {
        Box::new(move |party, channel, model| {
            let Some(candidate) = candidate_named(&world.snapshot, channel, model) else {
                return Ruling::Allow;
            };
            match self {
                Self::Directive(lay) => lay.ruling(party, candidate),
                Self::Lapse(lapse) => match lapse.postures.get(party) {
                    Some(posture) => {
                        let question = World::question(*posture, candidate);
                        lapse.judge.verdict(question, party, lapse.now).ruling
                    }
                    None => Ruling::Allow,
                },
            }
        })
    }
}

impl<'w> Lapse<'w> {
    fn new(
        licence: &str,
        party: Option<&Arc<str>>,
        world: &'w World,
        registry: &Arc<Registry>,
    ) -> Result<Self> {
        let terms = registry.terms();
        let kept: Vec<Licence> = terms
            .licences()
            .iter()
            .filter(|one| *one.id != *licence)
            .cloned()
            .collect();
        let terms = Terms::new(kept, terms.statements().to_vec(), terms.grants().to_vec());
        let terms = terms.map_err(|problems| {
            Failure::found(
                problems
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        })?;
        let without = Registry::clone(registry).with_terms(Arc::new(terms));
        let mut postures = BTreeMap::new();
        let members = world.parties.iter().map(|member| &member.party);
        for member in members.filter(|member| party.is_none_or(|party| party == *member)) {
            let (Some(before), Some(after)) = (registry.resolve_party(member), without.resolve_party(member))
            else {
                continue;
            };
            if before.facts != after.facts {
                let posture = world.judge().postures().intern(&after.facts);
                let posture = posture.map_err(|error| Failure::found(error.to_string()))?;
                postures.insert(member.clone(), posture);
            }
        }
        Ok(Self {
            judge: world.judge(),
            now: Tick(now_us()),
            postures,
        })
    }
}

//! Postures: the sets of facts of all parties, each interned to a number. Ten thousand parties of one kind are one
//! posture, and share their verdicts.
//!
//! The table only grows, so that a number means the same facts for the life of the process, across epochs and grids. It
//! is bounded by [`POSTURES_MAX`] and [`FACTS_BYTES_MAX`]; a party that does not fit gets an error, never other facts.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::entity::{FactsError, Prepared};
use crate::facts::PartyFacts;

/// Distinct sets of facts. 100,000 parties, all distinct, with room for a quarter of them to change before a restart.
/// Measured at 1.2 KB each with nine facts known: 160 MB when full, 12 MB for ten thousand.
pub const POSTURES_MAX: usize = 131_072;

/// Text in one set of facts. 8 KiB are a hundred licences of 80 characters.
pub const FACTS_BYTES_MAX: usize = 8_192;

/// Facts that were interned.
#[derive(Debug)]
pub struct Posture {
    facts: Arc<PartyFacts>,
}

/// Every posture of the process.
#[derive(Debug, Default)]
pub struct Postures(RwLock<Table>);

/// Why facts have no posture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostureError {
    #[error(
        "there are already {POSTURES_MAX} distinct sets of facts; a restart drops those that no party has"
    )]
    Full,
    #[error(transparent)]
    Unreadable(#[from] FactsError),
    #[error("the facts of a party take {bytes} bytes of text, and at most {FACTS_BYTES_MAX} are read")]
    TooLarge { bytes: usize },
}

#[derive(Debug, Default)]
struct Table {
    by_facts: BTreeMap<Arc<PartyFacts>, u32>,
    rows: Vec<Arc<Posture>>,
}

impl Postures {
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a set of facts, the same for equal facts.
    pub fn intern(&self, facts: &PartyFacts) -> Result<u32, PostureError> {
        if let Some(ix) = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_facts
            .get(facts)
        {
            return Ok(*ix);
        }
        let posture = Posture::new(facts.clone())?;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ix) = table.by_facts.get(facts) {
            return Ok(*ix);
        }
        let ix = u32::try_from(table.rows.len()).map_err(|_| PostureError::Full)?;
        if table.rows.len() >= POSTURES_MAX {
            return Err(PostureError::Full);
        }
        table.by_facts.insert(posture.facts.clone(), ix);
        table.rows.push(Arc::new(posture));
        Ok(ix)
    }

    pub fn posture(&self, ix: u32) -> Option<Arc<Posture>> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.rows.get(usize::try_from(ix).ok()?).cloned()
    }

    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Posture {
    pub(crate) fn new(facts: PartyFacts) -> Result<Self, PostureError> {
        let bytes = text_bytes(&facts);
        if bytes > FACTS_BYTES_MAX {
            return Err(PostureError::TooLarge { bytes });
        }
        // Facts that rules cannot read are refused here, not at each call.
        Prepared::of_party(&facts)?;
        Ok(Self {
            facts: Arc::new(facts),
        })
    }

    /// Whether facts can have a posture; nothing is kept of them.
    pub fn check(facts: &PartyFacts) -> Result<(), PostureError> {
        Self::new(facts.clone()).map(drop)
    }

    pub const fn facts(&self) -> &Arc<PartyFacts> {
        &self.facts
    }
}

fn text_bytes(facts: &PartyFacts) -> usize {
    let optional = [&facts.end_uses, &facts.listed, &facts.person_class]
        .into_iter()
        .flatten();
    let sets = [&facts.counted, &facts.groups, &facts.licences, &facts.statements]
        .into_iter()
        .chain(optional);
    // An expiry names a fact: at most 32 bytes beyond the name of a licence or statement, which is counted once more.
    let expiries: usize = facts.expires.keys().map(|name| name.to_string().len()).sum();
    let limits: usize = (facts.limits.iter())
        .map(|(name, limits)| {
            let texts = limits.iter().flat_map(|limit| limit.scope.texts());
            name.to_string().len() + texts.map(|text| text.len()).sum::<usize>()
        })
        .sum();
    let cleared = facts
        .cleared
        .iter()
        .map(|one| one.model.as_ref().map_or(0, |model| model.len()) + one.rule.len() + one.ticket.len());
    let blocked = facts
        .blocked
        .iter()
        .map(|one| one.channel.len() + one.model.len() + one.ticket.len());
    let kinds: usize = facts.licence_kinds.values().map(|kind| kind.len()).sum();
    let also: usize = facts.also.iter().map(|other| other.value.text_bytes()).sum();
    sets.flatten().map(|text| text.len()).sum::<usize>()
        + expiries
        + also
        + kinds
        + limits
        + blocked.sum::<usize>()
        + cleared.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_facts_have_one_number() {
        let postures = Postures::new();
        let german: PartyFacts = serde_json::from_str(r#"{"jurisdiction":"DE"}"#).unwrap();
        let french: PartyFacts = serde_json::from_str(r#"{"jurisdiction":"FR"}"#).unwrap();
        let first = postures.intern(&german).unwrap();
        assert_ne!(postures.intern(&french).unwrap(), first);
        assert_eq!(postures.intern(&german.clone()).unwrap(), first);
        assert_eq!(postures.len(), 2);
        assert_eq!(**postures.posture(first).unwrap().facts(), german);
        assert!(postures.posture(2).is_none());
    }

    #[test]
    fn facts_beyond_the_bound_are_refused() {
        let facts = PartyFacts {
            groups: [Arc::from("x".repeat(FACTS_BYTES_MAX + 1))].into(),
            ..Default::default()
        };
        assert!(matches!(
            Postures::new().intern(&facts),
            Err(PostureError::TooLarge { .. })
        ));
    }
}

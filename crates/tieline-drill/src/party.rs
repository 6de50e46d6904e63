//! Who may ask for what, and by which ways it can be served: the view of parties on which structure and synthetic traffic
//! rest. Policy stays outside: the caller passes whether a party may use a candidate.

use std::sync::Arc;

use tieline_core::grid::Candidate;
use tieline_core::record::Hex32;
use tieline_core::{Ask, Scope, Snapshot};
use tieline_note::{jcs, sha256};

/// A party, or a key of one where its keys differ.
#[derive(Clone)]
pub struct PartyView<'a> {
    /// Whether policy lets the party use this candidate (an allow; a hold is none).
    pub allowed: &'a dyn Fn(Candidate) -> bool,
    /// Its opaque id.
    pub party: Arc<str>,
    /// What its keys may ask for.
    pub scope: Scope,
}

impl std::fmt::Debug for PartyView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartyView")
            .field("party", &self.party)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Something that a party may ask for, with the ways that are open to it, in the order in which they are tried.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) ask: Ask,
    pub(crate) is_pool: bool,
    pub(crate) name: Arc<str>,
    pub(crate) ways: Vec<Candidate>,
}

/// The party that stands for everyone where none is given.
pub(crate) const ANYONE: &str = "anyone";

/// What a party may ask for: the pools of its scope, the models that its scope names, and, where its scope is everything,
/// the models that no pool holds.
pub(crate) fn askings(snapshot: &Snapshot, view: &PartyView<'_>) -> Vec<Asking> {
    let in_a_pool = |name: &Arc<str>| {
        let model = snapshot.model_named(name);
        model.is_some_and(|ix| snapshot.pools.iter().any(|pool| pool.models.contains(&ix)))
    };
    let asked = snapshot.names().filter(|(name, is_pool)| match &view.scope {
        Scope::All => *is_pool || !in_a_pool(name),
        Scope::Names(_) => view.scope.allows(name),
    });
    asked
        .map(|(name, is_pool)| {
            let ask = snapshot.resolve(name);
            let candidates = snapshot
                .candidates(&ask)
                .map_or(&[][..], |(candidates, _)| candidates);
            let ways = candidates.iter().copied().filter(|c| (view.allowed)(*c));
            Asking {
                ways: ways.collect(),
                ask,
                is_pool,
                name: name.clone(),
            }
        })
        .collect()
}

/// SHA-256 of who may ask for what, and of the ways that are open to each: all that traffic rests on which nobody
/// recorded. None if a name of the grid has no canonical JSON.
pub fn structure_digest(snapshot: &Snapshot, parties: &[PartyView<'_>]) -> Option<Hex32> {
    let named = |way: &Candidate| {
        let (channel, model) = (snapshot.channel(way.channel)?, snapshot.model(way.model)?);
        Some((channel.name.clone(), model.name.clone()))
    };
    let row = |asking: Asking| {
        let ways: Vec<_> = asking.ways.iter().filter_map(named).collect();
        (asking.name, asking.is_pool, ways)
    };
    let views = or_anyone(parties).into_iter().map(|view| {
        let rows: Vec<_> = askings(snapshot, &view).into_iter().map(row).collect();
        (view.party, rows)
    });
    let bytes = jcs::to_vec(&views.collect::<Vec<_>>()).ok()?;
    Some(Hex32(sha256(&bytes).0))
}

/// `parties`, or everyone as one party where there is none.
pub(crate) fn or_anyone<'a>(parties: &[PartyView<'a>]) -> Vec<PartyView<'a>> {
    if parties.is_empty() {
        vec![PartyView {
            allowed: &|_| true,
            party: ANYONE.into(),
            scope: Scope::All,
        }]
    } else {
        parties.to_vec()
    }
}

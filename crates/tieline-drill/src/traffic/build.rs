//! Puts traffic together: names are interned, what calls share is kept once, and what was not recorded on a grid is judged
//! there. Room for many calls is taken once, as address space, so that ten million calls never have twice their room.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::{Ask, Dialect, Ruling, Scope};

use super::{Asked, Basis, CALLS_MAX, Class, Kind, NO_LANE, Onto, Traffic, TrafficCall};
use crate::party::{ANYONE, PartyView};

/// Calls for which room is made at first, and up to which it doubles: 64 MiB.
const CALLS_FIRST: usize = 4_096;
const CALLS_DOUBLED: usize = 1 << 20;

/// Parties times what they ask for, of calls that were not recorded here: at some 1.4 KB each, laid on a grid, 140 MB.
pub(crate) const KINDS_MAX: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Builder<'g> {
    kind_ix: BTreeMap<Kind, u32>,
    lane_ix: BTreeMap<(Arc<str>, Arc<str>), u16>,
    onto: Option<Onto<'g>>,
    party_ix: BTreeMap<Arc<str>, u32>,
    pub(crate) traffic: Traffic,
    /// The views of each party of `onto`.
    views: BTreeMap<&'g str, Vec<&'g PartyView<'g>>>,
}

/// Why a call cannot be laid onto the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// The grid has neither a pool nor a model of that name.
    Ask,
    /// There are more kinds of calls than [`KINDS_MAX`].
    Kinds,
    /// The state folder does not know the party, or it has no live key.
    Party,
}

/// Put a call behind the others.
pub(crate) fn push(calls: &mut Vec<TrafficCall>, call: TrafficCall) {
    if calls.len() == calls.capacity() {
        grow(calls);
    }
    calls.push(call);
}

fn grow(calls: &mut Vec<TrafficCall>) {
    let len = calls.len();
    if len < CALLS_DOUBLED {
        return calls.reserve_exact(len.max(CALLS_FIRST));
    }
    // Room for all that may come: the system gives memory for what of it is written. Where it does not promise that much,
    // room grows by eighths, and what there is moves each time.
    if calls.try_reserve_exact(CALLS_MAX.saturating_sub(len)).is_err() {
        calls.reserve_exact(len / 8);
    }
}

impl<'g> Builder<'g> {
    pub(crate) fn new(basis: Basis, onto: Option<Onto<'g>>) -> Self {
        let mut views: BTreeMap<&'g str, Vec<&'g PartyView<'g>>> = BTreeMap::new();
        for view in onto.map_or(&[][..], |onto| onto.parties) {
            views.entry(&view.party).or_default().push(view);
        }
        Self {
            kind_ix: BTreeMap::new(),
            lane_ix: BTreeMap::new(),
            onto,
            party_ix: BTreeMap::new(),
            traffic: Traffic::empty(basis),
            views,
        }
    }

    pub(crate) const fn onto(&self) -> Option<Onto<'g>> {
        self.onto
    }

    /// Whether another call fits; where none does, it is counted as left out.
    pub(crate) const fn has_room(&mut self) -> bool {
        let fits = self.traffic.calls.len() < CALLS_MAX;
        if !fits {
            self.traffic.left_out += 1;
        }
        fits
    }

    pub(crate) fn push(&mut self, call: TrafficCall) {
        push(&mut self.traffic.calls, call);
    }

    /// The traffic in order of arrival; of calls that came at once, in the order in which they were read.
    pub(crate) fn finish(mut self) -> Traffic {
        self.traffic.calls.sort_by_key(|call| call.at);
        self.traffic
    }

    pub(crate) fn party(&mut self, name: &Arc<str>) -> u32 {
        let known = self.traffic.parties.len();
        let ix = intern(&mut self.party_ix, &mut self.traffic.parties, name);
        if self.traffic.parties.len() > known {
            self.traffic.classes.push(None);
        }
        ix
    }

    pub(crate) fn known_party(&self, name: &str) -> Option<u32> {
        self.party_ix.get(name).copied()
    }

    /// The same for a name that is not shared yet.
    pub(crate) fn party_named(&mut self, name: &str) -> u32 {
        match self.known_party(name) {
            Some(ix) => ix,
            None => self.party(&Arc::from(name)),
        }
    }

    /// State a party's class; the class that it has already, if that is another.
    pub(crate) fn classify(&mut self, party: u32, class: Class) -> Result<(), Class> {
        match self.traffic.classes.get_mut(party as usize) {
            Some(Some(known)) if *known != class => Err(*known),
            Some(known) => {
                *known = Some(class);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn kind(&mut self, kind: Kind) -> u32 {
        if let Some(ix) = self.kind_ix.get(&kind) {
            return *ix;
        }
        let ix = narrow(self.traffic.kinds.len() as u64);
        self.traffic.kinds.push(kind.clone());
        self.kind_ix.insert(kind, ix);
        ix
    }

    pub(crate) fn lane(&mut self, channel: &Arc<str>, model: &Arc<str>) -> u16 {
        let lane = (channel.clone(), model.clone());
        if let Some(ix) = self.lane_ix.get(&lane) {
            return *ix;
        }
        // 65,535 pairs of channel and model: beyond them a pair has no lane, and counts as one that did not answer.
        let Some(ix) = u16::try_from(self.traffic.lanes.len())
            .ok()
            .filter(|ix| *ix != NO_LANE)
        else {
            return NO_LANE;
        };
        self.traffic.lanes.push(lane.clone());
        self.lane_ix.insert(lane, ix);
        ix
    }

    /// The kind of a call that was not recorded on this grid, judged by what policy lets the party use now. A party with
    /// several keys may use what any of them may.
    pub(crate) fn judged(&mut self, party: u32, ask: &Asked, dialect: Dialect) -> Result<u32, Unserved> {
        if self.traffic.kinds.len() >= KINDS_MAX {
            return Err(Unserved::Kinds);
        }
        let (in_scope, rulings) = match self.onto {
            Some(onto) => self.rulings(onto, party, ask)?,
            None => (true, Vec::new()),
        };
        Ok(self.kind(Kind {
            ask: ask.clone(),
            criticality: None,
            dialect,
            end_use: None,
            in_scope,
            key_denied: None,
            party,
            rulings,
        }))
    }

    fn rulings(
        &mut self,
        onto: Onto<'g>,
        party: u32,
        ask: &Asked,
    ) -> Result<(bool, Vec<(u16, Ruling)>), Unserved> {
        let (name, ask) = match ask {
            Asked::Model(name) => (name, onto.snapshot.model_named(name).map(Ask::Model)),
            Asked::Pool(name) => (
                name,
                Some(onto.snapshot.resolve(name)).filter(|ask| matches!(ask, Ask::Pool(_))),
            ),
            Asked::Nothing => return Ok((true, Vec::new())),
        };
        let ask = ask.ok_or(Unserved::Ask)?;
        let everyone = PartyView {
            allowed: &|_| true,
            party: ANYONE.into(),
            scope: Scope::All,
        };
        let party = self.traffic.parties.get(party as usize).map_or("", |party| party);
        let views = if onto.parties.is_empty() {
            vec![&everyone]
        } else {
            self.views.get(party).cloned().ok_or(Unserved::Party)?
        };
        let able: Vec<_> = views.into_iter().filter(|view| view.scope.allows(name)).collect();
        let candidates = onto.snapshot.candidates(&ask).map_or(&[][..], |(list, _)| list);
        let mut rulings = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let channel = onto.snapshot.channel(candidate.channel);
            let model = onto.snapshot.model(candidate.model);
            let (Some(channel), Some(model)) = (channel, model) else {
                continue;
            };
            let ruling = if able.iter().any(|view| (view.allowed)(*candidate)) {
                Ruling::Allow
            } else {
                Ruling::Deny
            };
            rulings.push((self.lane(&channel.name, &model.name), ruling));
        }
        Ok((!able.is_empty(), rulings))
    }
}

fn intern(index: &mut BTreeMap<Arc<str>, u32>, list: &mut Vec<Arc<str>>, value: &Arc<str>) -> u32 {
    if let Some(ix) = index.get(value) {
        return *ix;
    }
    // Never more values than calls, and calls are bounded.
    let ix = narrow(list.len() as u64);
    list.push(value.clone());
    index.insert(value.clone(), ix);
    ix
}

pub(crate) const fn flag(bit: u8, set: bool) -> u8 {
    if set { bit } else { 0 }
}

pub(crate) fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

//! Parties as the calls of their keys see them: facts resolved from the registry, interned as a posture, cited by a
//! digest. Only parties that have a key are resolved, each once, and again only when a record that its facts follow from
//! has changed.
//!
//! Memory: 64 bytes beside the posture, which equal parties share; the cited record is written anew when it is archived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tieline_core::{Limits, Scope, Subject};
use tieline_ledger::PushError;
use tieline_policy::{Evidence, FactName, PartyFacts, PostureError, Postures, Registry};

use crate::keys::{Admin, Entry, Keys, PartyKey, Role};
use crate::recorder::Recorder;
use crate::state::{KeyRow, State, StateError};

/// A party that has a key.
#[derive(Debug)]
pub(crate) struct Member {
    /// Whether this process has archived the party's record.
    archived: AtomicBool,
    pub(crate) digest: [u8; 32],
    pub(crate) id: Arc<str>,
    pub(crate) posture: u32,
}

/// By id.
pub(crate) type Members = BTreeMap<Arc<str>, Arc<Member>>;

/// Why keys cannot be taken into use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("party `{party}`: {error}")]
    Posture { party: Arc<str>, error: PostureError },
    #[error(transparent)]
    State(#[from] StateError),
}

/// What keys there were, and the registry that their parties were resolved from.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) registry: &'a Registry,
}

impl Member {
    /// A party as of the registry; none if it does not have the party.
    pub(crate) fn resolve(
        registry: &Registry,
        postures: &Postures,
        id: &str,
    ) -> Result<Option<Self>, MemberError> {
        let Some(resolved) = registry.resolve_party(id) else {
            return Ok(None);
        };
        let id: Arc<str> = Arc::from(id);
        let posture = postures
            .intern(&resolved.facts)
            .map_err(|error| MemberError::Posture {
                party: id.clone(),
                error,
            })?;
        Ok(Some(Self {
            archived: AtomicBool::new(false),
            digest: tieline_note::sha256(&party_record(&id, &resolved.facts, &[], &[])).0,
            id,
            posture,
        }))
    }

    /// Archive the party's record as decisions cite it, the first time that this process cites it.
    ///
    /// # Errors
    /// The record could not be archived: the next call tries again.
    pub(crate) fn archive(&self, postures: &Postures, recorder: &Recorder) -> Result<(), PushError> {
        let Some(record) = self.to_archive(postures) else {
            return Ok(());
        };
        let archived = recorder.archive_bytes(record).map(drop);
        archived.inspect_err(|_| self.archived.store(false, Ordering::Relaxed))
    }

    fn to_archive(&self, postures: &Postures) -> Option<Vec<u8>> {
        let first = !self.archived.load(Ordering::Relaxed) && !self.archived.swap(true, Ordering::Relaxed);
        if !first {
            return None;
        }
        let posture = postures.posture(self.posture)?;
        Some(party_record(&self.id, posture.facts(), &[], &[]))
    }
}

/// All keys, with their parties' postures. A party whose records are those of `before` is not resolved again.
pub(crate) fn read_keys(
    state: &State,
    registry: &Registry,
    postures: &Postures,
    before: Option<Before<'_>>,
) -> Result<Keys, MemberError> {
    let mut keys = Keys::default();
    for (key, desk_ix, of_party) in numbered(state)? {
        if key.revoked_us.is_some() {
            keys.insert_party(key.digest, Entry::Revoked);
            continue;
        }
        let member = match keys.members.get(key.party.as_str()) {
            Some(member) => member.clone(),
            None => match find(&key.party, registry, postures, before)? {
                Some(member) => member,
                None => continue,
            },
        };
        keys.members.insert(member.id.clone(), member.clone());
        let digest = key.digest;
        let subject = subject(key, desk_ix, &member, of_party);
        keys.insert_party(
            digest,
            Entry::Live(Arc::new(PartyKey {
                member,
                subject: Arc::new(subject),
            })),
        );
    }
    for admin in state.admin_keys()? {
        if admin.revoked_us.is_none()
            && let Some(role) = Role::named(&admin.role)
        {
            let (id, name) = (admin.id, admin.name);
            keys.insert_admin(admin.digest, Admin { id, name, role });
        }
    }
    Ok(keys)
}

/// All keys in their order, revoked ones too, each with its place on the desk, and that of its party with the party's
/// limits.
pub(crate) fn numbered(
    state: &State,
) -> Result<impl Iterator<Item = (KeyRow, u32, (u32, Limits))> + use<>, StateError> {
    let limits = state.party_limits()?;
    // A party is counted where its first key is: keys stay in their order, and revoked ones stay.
    let mut firsts = BTreeMap::<String, u32>::new();
    Ok(state.keys()?.into_iter().zip(0_u32..).map(move |(key, desk_ix)| {
        let party_desk_ix = *firsts.entry(key.party.clone()).or_insert(desk_ix);
        let limits = limits.get(&key.party).copied().unwrap_or_default();
        (key, desk_ix, (party_desk_ix, limits))
    }))
}

fn find(
    party: &str,
    registry: &Registry,
    postures: &Postures,
    before: Option<Before<'_>>,
) -> Result<Option<Arc<Member>>, MemberError> {
    let kept = before.filter(|before| registry.is_same_for(before.registry, party));
    match kept.and_then(|before| before.keys.members.get(party)) {
        Some(member) => Ok(Some(member.clone())),
        None => Ok(Member::resolve(registry, postures, party)?.map(Arc::new)),
    }
}

fn subject(
    key: KeyRow,
    desk_ix: u32,
    member: &Member,
    (party_desk_ix, party_limits): (u32, Limits),
) -> Subject {
    Subject {
        desk_ix,
        key: Arc::from(key.id),
        lapse: None,
        limits: key.limits,
        party: member.id.clone(),
        party_desk_ix,
        party_digest: member.digest,
        party_limits,
        posture: member.posture,
        scope: key.scope.map_or(Scope::All, |names| {
            Scope::Names(names.into_iter().map(Arc::from).collect())
        }),
    }
}

/// A party's record as decisions cite it: its opaque id and facts, without its name, and the evidence that came with the
/// call, with the facts about which it and the records disagree. Of what stands in the records, no issuer: it may be the
/// number of a register, which is a name.
pub(crate) fn party_record(
    id: &str,
    facts: &PartyFacts,
    evidence: &[Evidence],
    flags: &[FactName],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Record<'a> {
        #[serde(skip_serializing_if = "<[Evidence]>::is_empty")]
        evidence: &'a [Evidence],
        facts: &'a PartyFacts,
        #[serde(skip_serializing_if = "<[FactName]>::is_empty")]
        flags: &'a [FactName],
        id: &'a str,
        t: &'static str,
    }
    let record = Record {
        evidence,
        facts,
        flags,
        id,
        t: "tieline/party-record/v1",
    };
    tieline_note::jcs::to_vec(&record).unwrap_or_default()
}

//! Evidence that arrives with a call: a token about its end user, sent beside the key, from an issuer that the operator
//! believes.
//!
//! What the token asserts is laid beside the facts of the key's party ([`tieline_policy::Registry::resolve_below`]), for as
//! long as the token is valid and for this call alone. Of the token, its issuer, its digest and its instants are recorded;
//! of the person, the facts that the operator mapped: no subject, name or address.
//!
//! Bounds: [`BEARERS_MAX`] verified tokens are remembered, so that the calls of one end user cost one verification; a new
//! configuration begins with none, and a key or registry that changes makes each be resolved anew.

mod claims;
mod key_set;
mod token;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use tieline_core::{Code, Lapse, Problem, Span, Subject, Tick};
use tieline_note::{Digest, sha256};
use tieline_policy::{Evidence, EvidenceKind, Kind, POSTURES_MAX, PartyRecord, Postures, Registry};

pub use claims::{ClaimFact, ClaimRule};

use crate::keys::PartyKey;
use crate::members::party_record;
use crate::recorder::Recorder;
use key_set::KeySet;
use token::{Pinned, TokenFault, Tolerance, Unverified, Verified};

/// Between the clocks of an issuer and of this machine: what identity providers themselves recommend.
const SKEW: Span = Span::from_s(60);

/// The furthest end of a token: a year and a day. A mistake of units (milliseconds for seconds) is beyond it.
const LIFE_MAX: Span = Span::from_s(366 * 86_400);

/// Verified tokens that are remembered: 16,384 × some 1.5 KB with the record that decisions cite are 24 MB.
const BEARERS_MAX: usize = 16_384;

/// Distinct sets of facts beyond which tokens bring no new ones, so that room is left for parties on record.
const POSTURES_WITH_TOKENS_MAX: usize = POSTURES_MAX / 2;

/// One issuer of tokens, as it is configured.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// What `aud` must name.
    pub audience: String,
    pub claims: Vec<ClaimRule>,
    /// The request header that carries the token.
    pub header: String,
    /// Whether it asserts of identities that were proofed at IAL2 or above (NIST SP 800-63A).
    pub is_proofed: bool,
    /// What `iss` must be.
    pub issuer: String,
    /// Its JSON Web Key Set, whole.
    pub jwks: Vec<u8>,
}

/// Whose tokens are believed.
#[derive(Debug)]
pub struct Identity {
    bearers: Mutex<BTreeMap<BearerId, Arc<Bearer>>>,
    /// Each once.
    headers: Vec<HeaderName>,
    issuers: Vec<Issuer>,
}

#[derive(Debug)]
struct Issuer {
    audience: String,
    claims: Vec<ClaimRule>,
    header: HeaderName,
    keys: KeySet,
    kind: EvidenceKind,
    /// What `iss` must be.
    name: Arc<str>,
}

/// The digest of a token, and the public id of the key that it came with.
type BearerId = (Digest, Arc<str>);

/// An end user who was identified: the subject of calls.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// Whether this process has archived the record.
    archived: AtomicBool,
    /// Compared by place: keys and registry are as they were as long as it is the same.
    key: Arc<PartyKey>,
    record: Vec<u8>,
    pub(crate) subject: Arc<Subject>,
    until: Tick,
}

/// What a token meets.
pub(crate) struct World<'a> {
    pub(crate) now: Tick,
    pub(crate) postures: Arc<Postures>,
    /// Loaded after the key was, so that it is at least as new.
    pub(crate) registry: &'a ArcSwap<Registry>,
}

impl Identity {
    /// None for no issuers. The error names the issuer and what is wrong with its key set or header.
    pub fn new(settings: Vec<IssuerSettings>) -> Result<Option<Self>, String> {
        let issuers: Vec<Issuer> = settings.into_iter().map(Issuer::new).collect::<Result<_, _>>()?;
        let mut headers: Vec<HeaderName> = Vec::new();
        for issuer in &issuers {
            if !headers.contains(&issuer.header) {
                headers.push(issuer.header.clone());
            }
        }
        Ok((!issuers.is_empty()).then(|| Self {
            bearers: Mutex::default(),
            headers,
            issuers,
        }))
    }

    /// What is wrong with a key set, if anything is.
    pub fn check_keys(jwks: &[u8]) -> Result<(), String> {
        KeySet::parse(jwks).map(drop)
    }

    /// The end user of a call; none if it brings no token.
    pub(crate) fn bearer(
        &self,
        headers: &HeaderMap,
        key: &Arc<PartyKey>,
        world: &World<'_>,
    ) -> Result<Option<Arc<Bearer>>, Problem> {
        let mut tokens = (self.headers.iter())
            .flat_map(|name| headers.get_all(name).into_iter().map(move |value| (name, value)));
        let Some((header, value)) = tokens.next() else {
            return Ok(None);
        };
        if tokens.next().is_some() {
            return Err(refused(TokenFault::Many));
        }
        let token = value.to_str().map_err(|_| refused(TokenFault::Shape))?;
        let id = (sha256(token.as_bytes()), key.subject.key.clone());
        if let Some(bearer) = self.known(&id, key, world.now) {
            return Ok(Some(bearer));
        }
        let (evidence, until) = self.evidence(header, token, id.0, world.now).map_err(refused)?;
        let bearer = Arc::new(Bearer::new(key, &evidence, until, world)?);
        self.remember(id, bearer.clone(), world.now);
        Ok(Some(bearer))
    }

    /// What a token asserts, and until when.
    fn evidence(
        &self,
        header: &HeaderName,
        token: &str,
        digest: Digest,
        now: Tick,
    ) -> Result<(Vec<Evidence>, Tick), TokenFault> {
        let unverified = Unverified::read(token)?;
        let issuer = (self.issuers.iter())
            .find(|issuer| issuer.header == *header && unverified.issuer() == Some(&*issuer.name))
            .ok_or(TokenFault::Issuer)?;
        let pinned = Pinned {
            audience: &issuer.audience,
            keys: &issuer.keys,
        };
        let tolerance = Tolerance {
            life_max: LIFE_MAX,
            skew: SKEW,
        };
        let verified = unverified.verify(pinned, now, tolerance)?;
        Ok((issuer.evidence(&verified, digest)?, verified.expires))
    }

    fn known(&self, id: &BearerId, key: &Arc<PartyKey>, now: Tick) -> Option<Arc<Bearer>> {
        let bearers = self.bearers.lock().unwrap_or_else(PoisonError::into_inner);
        let bearer = bearers.get(id)?;
        (Arc::ptr_eq(&bearer.key, key) && now < bearer.until).then(|| bearer.clone())
    }

    /// A full table is rid of tokens that have expired, or else of all.
    fn remember(&self, id: BearerId, bearer: Arc<Bearer>, now: Tick) {
        let mut bearers = self.bearers.lock().unwrap_or_else(PoisonError::into_inner);
        if bearers.len() >= BEARERS_MAX {
            bearers.retain(|_, bearer| now < bearer.until);
        }
        if bearers.len() >= BEARERS_MAX {
            bearers.clear();
        }
        bearers.insert(id, bearer);
    }
}

impl Issuer {
    fn new(settings: IssuerSettings) -> Result<Self, String> {
        let named = |why: String| format!("the issuer `{}`: {why}", settings.issuer);
        let keys = KeySet::parse(&settings.jwks).map_err(|why| named(format!("its key set: {why}")))?;
        let header = HeaderName::try_from(settings.header.as_str())
            .map_err(|_| named("its header has a name that no header can have".into()))?;
        Ok(Self {
            audience: settings.audience,
            claims: settings.claims,
            header,
            keys,
            kind: if settings.is_proofed {
                EvidenceKind::ProofedIdentity
            } else {
                EvidenceKind::EmployerAssertion
            },
            name: settings.issuer.into(),
        })
    }

    fn evidence(&self, verified: &Verified, digest: Digest) -> Result<Vec<Evidence>, TokenFault> {
        let mut out = Vec::new();
        for rule in &self.claims {
            for value in rule.values(&verified.claims)? {
                out.push(Evidence {
                    digest: Some(digest),
                    expires: Some(verified.expires),
                    issuer: self.name.clone(),
                    kind: self.kind,
                    obtained: verified.issued,
                    value,
                });
            }
        }
        Ok(out)
    }
}

impl Bearer {
    fn new(
        key: &Arc<PartyKey>,
        evidence: &[Evidence],
        until: Tick,
        world: &World<'_>,
    ) -> Result<Self, Problem> {
        let party = &key.member.id;
        let below = PartyRecord {
            evidence: evidence.to_vec(),
            groups: [].into(),
            id: party.clone(),
            kind: Kind::Person,
            owners: Vec::new(),
            parent: Some(party.clone()),
        };
        let resolved = world.registry.load().resolve_below(party, &below);
        let facts = resolved.ok_or(Problem::plain(Code::KeyUnknown))?.facts;
        let full = || {
            let says =
                "Tokens of end users have brought more distinct sets of facts than this gateway keeps.";
            Problem::new(Code::Overloaded, says)
        };
        if world.postures.len() >= POSTURES_WITH_TOKENS_MAX {
            return Err(full());
        }
        let intern = |facts| world.postures.intern(&facts).map_err(|_| full());
        let lapse = Lapse {
            at: until,
            posture: intern(facts.at(until))?,
        };
        let record = party_record(party, &facts, evidence);
        let of_key = &key.subject;
        let subject = Subject {
            desk_ix: of_key.desk_ix,
            key: of_key.key.clone(),
            lapse: Some(lapse),
            limits: of_key.limits,
            party: party.clone(),
            party_desk_ix: of_key.party_desk_ix,
            party_digest: sha256(&record).0,
            party_limits: of_key.party_limits,
            posture: intern(facts.lasting_until(until))?,
            scope: of_key.scope.clone(),
        };
        Ok(Self {
            archived: AtomicBool::new(false),
            key: key.clone(),
            record,
            subject: Arc::new(subject),
            until,
        })
    }

    /// The record as decisions cite it, the first time that this process cites it.
    pub(crate) fn archive(&self, recorder: &Recorder) -> Result<(), tieline_ledger::PushError> {
        if self.archived.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let archived = recorder.archive_bytes(self.record.clone());
        if archived.is_err() {
            self.archived.store(false, Ordering::Relaxed);
        }
        archived.map(drop)
    }
}

fn refused(fault: TokenFault) -> Problem {
    let says = format!("The token of the end user is refused: {fault}.");
    Problem::new(Code::IdentityRefused, says)
}

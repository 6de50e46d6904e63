//! Evidence that arrives with a call: a token about its end user, sent beside the key, from an issuer that the operator
//! believes; the verified certificate of the workload that connected; the country that its address belongs to.
//!
//! What they assert is laid beside the facts of the key's party ([`tieline_policy::Registry::resolve_below`]), for as
//! long as it lasts and for this call alone. Of token and certificate, issuer, digest and instants are recorded; of the
//! person, the facts that the operator mapped: no subject, name or address. What is wrong with evidence refuses the
//! call, for a call without it might have the more favourable facts.
//!
//! Bounds: what [`BEARERS_MAX`] combinations of key and evidence come to is remembered, so that the calls of one end user,
//! workload or country cost one verification; a new configuration begins with none, and a key, key set or registry that
//! changes makes each be resolved anew.

mod certificate;
mod claims;
mod fetch;
mod geo;
mod key_set;
mod token;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use tieline_core::{Code, Lapse, Problem, Retry, Span, Subject, Tick};
use tieline_note::{Digest, sha256};
use tieline_policy::{
    Country, Evidence, EvidenceKind, FactName, Kind, Names, POSTURES_MAX, PartyRecord, Postures, Registry,
};
use tokio::sync::Notify;

pub use certificate::{CertificateRule, NamePattern};
pub use claims::{ClaimFact, ClaimRule};
pub use fetch::{KeyUrl, REFRESH_S, REFRESH_S_MIN};
pub use geo::{DATABASE_BYTES_MAX, GeoDatabase, GeoSettings};

pub(crate) use certificate::ClientCertificate;
pub(crate) use fetch::keep;

use crate::keys::PartyKey;
use crate::members::party_record;
use crate::recorder::Recorder;
use fetch::Remote;
use key_set::KeySet;
use token::{Pinned, TokenFault, Tolerance, Unverified, Verified};

/// Between the clocks of an issuer and of this machine: what identity providers themselves recommend.
const SKEW: Span = Span::from_s(60);

/// The furthest end of a token: a year and a day. A mistake of units (milliseconds for seconds) is beyond it.
const LIFE_MAX: Span = Span::from_s(366 * 86_400);

/// Combinations of key and evidence that are remembered: 16,384 × some 1.5 KB with the record that decisions cite are
/// 24 MB. Of addresses there are 250 countries for each key, so that 65 keys which are used from everywhere fit.
const BEARERS_MAX: usize = 16_384;

/// Distinct sets of facts beyond which calls bring no new ones, so that room is left for parties on record.
const POSTURES_WITH_CALLS_MAX: usize = POSTURES_MAX / 2;

/// When to come back while a key set is on its way: the pause after the first fetch that fails.
const KEY_SET_SOON: Retry = Retry::After(Span::from_s(5));

/// Whose evidence is believed, as it is configured.
#[derive(Clone, Debug, Default)]
pub struct IdentitySettings {
    pub certificates: Vec<CertificateRule>,
    pub geo: Option<GeoSettings>,
    pub issuers: Vec<IssuerSettings>,
}

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
    pub jwks: KeySource,
}

/// Where an issuer's JSON Web Key Set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The set itself, whole.
    Set(Vec<u8>),
    Url(KeyUrl),
}

/// Whose evidence is believed.
#[derive(Debug)]
pub struct Identity {
    bearers: Mutex<BTreeMap<BearerId, Arc<Bearer>>>,
    certificates: Vec<certificate::Rule>,
    geo: Option<GeoSettings>,
    /// Each once.
    headers: Vec<HeaderName>,
    issuers: Vec<Issuer>,
}

#[derive(Debug)]
struct Issuer {
    audience: String,
    claims: Vec<ClaimRule>,
    header: HeaderName,
    keys: Keys,
    kind: EvidenceKind,
    /// What `iss` must be.
    name: Arc<str>,
}

#[derive(Debug)]
enum Keys {
    Remote(Arc<Remote>),
    Set(Arc<KeySet>),
}

/// What two calls have in common whose facts are the same: the public id of the key, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BearerId {
    certificate: Option<Digest>,
    country: Option<Country>,
    key: Arc<str>,
    token: Option<Digest>,
}

/// Somebody whom evidence that came with a call says more of: the subject of calls.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// Whether this process has archived the record.
    archived: AtomicBool,
    /// Of key sets, when its token was verified.
    generation: u64,
    /// Compared by place: keys and registry are as they were as long as it is the same.
    key: Arc<PartyKey>,
    record: Vec<u8>,
    pub(crate) subject: Arc<Subject>,
    /// None if no part of the evidence ends.
    until: Option<Tick>,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Verified in the handshake.
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A call as far as it bears evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) key: &'a Arc<PartyKey>,
    pub(crate) peer: &'a Peer,
}

/// A token as it was sent.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    digest: Digest,
    header: &'a HeaderName,
    text: &'a str,
}

/// What comes of all evidence of a call.
#[derive(Debug, Default)]
struct Gathered {
    evidence: Vec<Evidence>,
    /// A person's is among it.
    is_of_person: bool,
    /// When the first part of it ends.
    until: Option<Tick>,
}

/// What evidence meets.
pub(crate) struct World<'a> {
    /// Told where a key set is wanted.
    pub(crate) fetches: &'a Notify,
    pub(crate) now: Tick,
    pub(crate) postures: Arc<Postures>,
    /// Loaded after the key was, so that it is at least as new.
    pub(crate) registry: &'a ArcSwap<Registry>,
}

impl Identity {
    /// None where nothing is configured. The error names what cannot be used, and why.
    pub fn new(settings: IdentitySettings) -> Result<Option<Self>, String> {
        let issuers: Vec<Issuer> = (settings.issuers.into_iter())
            .map(Issuer::new)
            .collect::<Result<_, _>>()?;
        let certificates: Vec<certificate::Rule> = (settings.certificates.into_iter())
            .map(certificate::Rule::new)
            .collect::<Result<_, _>>()?;
        let mut headers: Vec<HeaderName> = Vec::new();
        for issuer in &issuers {
            if !headers.contains(&issuer.header) {
                headers.push(issuer.header.clone());
            }
        }
        let geo = settings.geo;
        let is_any = !issuers.is_empty() || !certificates.is_empty() || geo.is_some();
        Ok(is_any.then(|| Self {
            bearers: Mutex::default(),
            certificates,
            geo,
            headers,
            issuers,
        }))
    }

    /// What is wrong with a key set, if anything is.
    pub fn check_keys(jwks: &[u8]) -> Result<(), String> {
        KeySet::parse(jwks).map(drop)
    }

    /// Go on from the key sets that an earlier configuration had fetched.
    pub(crate) fn carry(&self, before: &Self) {
        for remote in self.remotes() {
            for earlier in before.remotes() {
                remote.carry(earlier);
            }
        }
    }

    /// The key sets that are fetched.
    fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Remote(remote) => Some(remote),
            Keys::Set(_) => None,
        })
    }

    /// Goes up whenever a key set replaces another.
    fn generation(&self) -> u64 {
        self.remotes().map(|remote| remote.generation()).sum()
    }

    /// Whom the evidence of a call is about; none if it brings none.
    pub(crate) fn bearer(
        &self,
        brought: Brought<'_>,
        world: &World<'_>,
    ) -> Result<Option<Arc<Bearer>>, Problem> {
        let Brought { headers, key, peer } = brought;
        let token = self.token(headers).map_err(refused)?;
        let certificate = self.certificate(peer, world.now)?;
        let country = self
            .geo
            .as_ref()
            .and_then(|geo| geo.country(peer.address, headers));
        if token.is_none() && certificate.is_none() && country.is_none() {
            return Ok(None);
        }
        let id = BearerId {
            certificate: certificate.map(|certificate| certificate.digest),
            country: country.clone(),
            key: key.subject.key.clone(),
            token: token.map(|token| token.digest),
        };
        let generation = self.generation();
        if let Some(bearer) = self.known(&id, key, generation, world.now) {
            return Ok(Some(bearer));
        }
        let mut gathered = Gathered::default();
        if let Some(token) = token {
            self.verify(token, &mut gathered, world).map_err(refused)?;
        }
        if let Some(certificate) = certificate {
            self.compare(certificate, &mut gathered, key, world)?;
        }
        if let (Some(geo), Some(country)) = (&self.geo, country) {
            gathered.evidence.push(geo.evidence(country));
        }
        let bearer = Arc::new(Bearer::new(key, &gathered, generation, world)?);
        self.remember(id, bearer.clone(), world.now);
        Ok(Some(bearer))
    }

    fn token<'a>(&'a self, headers: &'a HeaderMap) -> Result<Option<Sent<'a>>, TokenFault> {
        let mut tokens = (self.headers.iter())
            .flat_map(|name| headers.get_all(name).into_iter().map(move |value| (name, value)));
        let Some((header, value)) = tokens.next() else {
            return Ok(None);
        };
        if tokens.next().is_some() {
            return Err(TokenFault::Many);
        }
        let text = value.to_str().map_err(|_| TokenFault::Shape)?;
        let digest = sha256(text.as_bytes());
        Ok(Some(Sent { digest, header, text }))
    }

    /// The certificate of the connection, if it asserts anything or is limited to some parties.
    fn certificate<'a>(&self, peer: &'a Peer, now: Tick) -> Result<Option<&'a ClientCertificate>, Problem> {
        let Some(certificate) = &peer.certificate else {
            return Ok(None);
        };
        // A connection may outlive what it began with.
        if certificate.expires <= now {
            return Err(certificate_refused("it has expired; connect again with another"));
        }
        let is_known = self.certificates.iter().any(|rule| rule.matches(certificate));
        Ok(is_known.then_some(certificate))
    }

    /// What a token asserts, and until when.
    fn verify(&self, token: Sent<'_>, into: &mut Gathered, world: &World<'_>) -> Result<(), TokenFault> {
        let unverified = Unverified::read(token.text)?;
        let issuer = (self.issuers.iter())
            .find(|issuer| issuer.header == *token.header && unverified.issuer() == Some(&*issuer.name))
            .ok_or(TokenFault::Issuer)?;
        let keys = match &issuer.keys {
            Keys::Remote(remote) => remote.set().ok_or(TokenFault::KeySet)?,
            Keys::Set(keys) => keys.clone(),
        };
        let pinned = Pinned {
            audience: &issuer.audience,
            keys: &keys,
        };
        let tolerance = Tolerance {
            life_max: LIFE_MAX,
            skew: SKEW,
        };
        let verified = unverified.verify(pinned, world.now, tolerance);
        if let (Err(TokenFault::Key), Keys::Remote(remote)) = (&verified, &issuer.keys) {
            remote.want();
            world.fetches.notify_one();
        }
        let verified = verified?;
        into.evidence.extend(issuer.evidence(&verified, token.digest)?);
        into.is_of_person = true;
        into.ends(verified.expires);
        Ok(())
    }

    /// What a certificate asserts, if it may come with the key.
    fn compare(
        &self,
        certificate: &ClientCertificate,
        into: &mut Gathered,
        key: &PartyKey,
        world: &World<'_>,
    ) -> Result<(), Problem> {
        let line = world.registry.load().lineage(&key.member.id);
        for rule in self.certificates.iter().filter(|rule| rule.matches(certificate)) {
            if !rule.parties.is_empty() && !line.iter().any(|party| rule.parties.contains(party)) {
                return Err(certificate_refused("it may not come with this key"));
            }
            into.evidence.extend(rule.evidence(certificate));
        }
        into.ends(certificate.expires);
        Ok(())
    }

    fn known(&self, id: &BearerId, key: &Arc<PartyKey>, generation: u64, now: Tick) -> Option<Arc<Bearer>> {
        let bearers = self.bearers.lock().unwrap_or_else(PoisonError::into_inner);
        let bearer = bearers.get(id)?;
        let is_same = Arc::ptr_eq(&bearer.key, key) && bearer.generation == generation;
        (is_same && bearer.lasts(now)).then(|| bearer.clone())
    }

    /// A full table is rid of what has ended, or else of all.
    fn remember(&self, id: BearerId, bearer: Arc<Bearer>, now: Tick) {
        let mut bearers = self.bearers.lock().unwrap_or_else(PoisonError::into_inner);
        if bearers.len() >= BEARERS_MAX {
            bearers.retain(|_, bearer| bearer.lasts(now));
        }
        if bearers.len() >= BEARERS_MAX {
            bearers.clear();
        }
        bearers.insert(id, bearer);
    }
}

impl Gathered {
    fn ends(&mut self, at: Tick) {
        self.until = Some(self.until.map_or(at, |until| until.min(at)));
    }
}

impl Issuer {
    fn new(settings: IssuerSettings) -> Result<Self, String> {
        let named = |why: String| format!("the issuer `{}`: {why}", settings.issuer);
        let name: Arc<str> = settings.issuer.as_str().into();
        let keys = match &settings.jwks {
            KeySource::Set(bytes) => KeySet::parse(bytes).map(|set| Keys::Set(set.into())),
            KeySource::Url(url) => Remote::new(url, name.clone()).map(|remote| Keys::Remote(remote.into())),
        };
        let keys = keys.map_err(|why| named(format!("its key set: {why}")))?;
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
            name,
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
        gathered: &Gathered,
        generation: u64,
        world: &World<'_>,
    ) -> Result<Self, Problem> {
        let party = &key.member.id;
        let registry = world.registry.load();
        let unknown = || Problem::plain(Code::KeyUnknown);
        let kind = if gathered.is_of_person {
            Kind::Person
        } else {
            registry.record(party).ok_or_else(unknown)?.kind
        };
        let below = PartyRecord {
            evidence: gathered.evidence.clone(),
            groups: Names::default(),
            id: party.clone(),
            kind,
            owners: Vec::new(),
            parent: Some(party.clone()),
        };
        let resolved = registry.resolve_below(party, &below).ok_or_else(unknown)?;
        let facts = resolved.facts;
        let full = || {
            let says = "Calls have brought more distinct sets of facts than this gateway keeps.";
            Problem::new(Code::Overloaded, says)
        };
        if world.postures.len() >= POSTURES_WITH_CALLS_MAX {
            return Err(full());
        }
        let intern = |facts| world.postures.intern(&facts).map_err(|_| full());
        let lapse = match gathered.until {
            None => None,
            Some(at) => Some(Lapse {
                at,
                is_of_person: gathered.is_of_person,
                posture: intern(facts.at(at))?,
            }),
        };
        let flags: Vec<FactName> = resolved.flags.into_iter().map(|flag| flag.fact).collect();
        if !flags.is_empty() {
            tracing::warn!(
                party = &**party,
                facts = ?flags,
                "red flag: evidence disagrees about a party, with what came with a call; all of it is judged, and the strictest wins"
            );
        }
        let record = party_record(party, &facts, &gathered.evidence, &flags);
        let of_key = &key.subject;
        let subject = Subject {
            desk_ix: of_key.desk_ix,
            key: of_key.key.clone(),
            lapse,
            limits: of_key.limits,
            party: party.clone(),
            party_desk_ix: of_key.party_desk_ix,
            party_digest: sha256(&record).0,
            party_limits: of_key.party_limits,
            posture: intern(
                gathered
                    .until
                    .map_or_else(|| facts.clone(), |at| facts.lasting_until(at)),
            )?,
            scope: of_key.scope.clone(),
        };
        Ok(Self {
            archived: AtomicBool::new(false),
            generation,
            key: key.clone(),
            record,
            subject: Arc::new(subject),
            until: gathered.until,
        })
    }

    fn lasts(&self, now: Tick) -> bool {
        self.until.is_none_or(|until| now < until)
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
    match fault {
        TokenFault::KeySet => Problem::new(Code::KeySetMissing, says).with_retry(KEY_SET_SOON),
        _ => Problem::new(Code::IdentityRefused, says),
    }
}

fn certificate_refused(why: &str) -> Problem {
    let says = format!("The client certificate of the connection is refused: {why}.");
    Problem::new(Code::IdentityRefused, says)
}

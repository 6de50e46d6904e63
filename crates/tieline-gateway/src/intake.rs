//! From an HTTP request to an `Intake`: who asks (key), for what (body), within limits of size and time. What cannot be
//! read is refused in the caller's dialect; with a valid key it is recorded as a call all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tieline_core::{Call, Code, Dialect, Problem, Retry, Ruling, Span, Subject, Tick};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::drive::Drive;
use crate::identity::{Bearer, Brought, Peer, World};
use crate::keys::{Entry, PartyKey};
use crate::outgoing::{self, Near};
use crate::shared::{Facing, Live, Place, Shared};
use crate::spare;

/// When to come back to a gateway that has no room.
const SOON: Retry = Retry::After(Span::from_s(1));

/// Serve one call.
pub(crate) async fn call(
    shared: Arc<Shared>,
    peer: &Peer,
    dialect: Dialect,
    request: Request<Incoming>,
) -> Response<Answer> {
    let began = shared.now();
    // Before the key is looked up: facts that change from here on are looked up again.
    let facts = shared.facts.load(Ordering::SeqCst);
    let limits = shared.live.load_full();
    let refuse = |problem: &Problem| {
        let (id, _) = shared.new_call(began);
        outgoing::refusal(dialect, problem, id)
    };
    let asked = asker(&shared, &limits, peer, request.headers(), began);
    let (subject, refused) = match asked {
        Ok(asked) => asked,
        Err(problem) => return refuse(&problem),
    };
    let Some(place) = Place::take(&shared, limits.settings.calls_max) else {
        return refuse(&Problem::plain(Code::Overloaded).with_retry(SOON));
    };
    let (head, body) = request.into_parts();
    let read = async {
        if let Some(problem) = refused {
            return Err(Unread::Problem(problem));
        }
        plain(&head.headers)?;
        read(body, &limits).await
    };
    let body = match read.await {
        Ok(body) => Ok(body),
        // Nothing was asked yet, and there is nobody to tell.
        Err(Unread::Gone) => return refuse(&Problem::plain(Code::BodyTimeout)),
        Err(Unread::Problem(problem)) => Err(problem),
    };
    // The body may have taken its time: the call begins in the grid of this moment.
    let live = shared.live.load_full();
    let read = body.and_then(|body| {
        let end_use = end_use(&live, &head.headers)?;
        Ok((tieline_wire::scan(dialect, &body)?, end_use, body))
    });
    let (scanned, end_use, body, problem) = match read {
        Ok((scanned, end_use, body)) => (Some(scanned), end_use, body, None),
        Err(problem) => (None, None, Bytes::new(), Some(problem)),
    };
    let (id, seed) = shared.new_call(began);
    let asked = Asked {
        body: &body,
        dialect,
        head: scanned.as_ref(),
        headers: &head.headers,
        live: &live,
        shared: &shared,
    };
    let unreadable = problem.as_ref().map(|problem| problem.code);
    let intake = asked.intake(id, subject, end_use, unreadable);
    let near = Near {
        began,
        body,
        dialect,
        stream: intake.stream,
        head: scanned,
        headers: head.headers,
    };
    // Made where it stays: it is some 4 KiB, and on its way to the task it would be copied at each step.
    let call = Box::new(Call::with_buffers(
        live.snapshot.clone(),
        intake,
        seed,
        began,
        spare::buffers(),
    ));
    Box::new(Drive::new(place, live, (call, facts), near, problem))
        .run()
        .await
}

/// The list of what a key may ask for, or what it says of one name. What policy denies its party on every channel is not
/// there, for no call of it would be served; what an officer may still let through is. Costs a look into the cache of
/// verdicts for each name, two where the first way is denied.
pub(crate) fn models(
    shared: &Shared,
    peer: &Peer,
    headers: &HeaderMap,
    one: Option<&str>,
) -> Response<Answer> {
    let dialect = if headers.contains_key("anthropic-version") {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenaiChat
    };
    let refuse = |problem: &Problem| {
        let (id, _) = shared.new_call(shared.now());
        outgoing::refusal(dialect, problem, id)
    };
    let live = shared.live.load_full();
    let now = shared.now();
    let asked = key(shared, headers)
        .and_then(|key| {
            let brought = Brought {
                headers,
                key: &key,
                peer,
            };
            let bearer = bearer(shared, &live, brought, now)?;
            Ok(bearer.map_or_else(|| key.subject.clone(), |bearer| bearer.subject.clone()))
        })
        .and_then(|subject| Ok((subject, end_use(&live, headers)?)));
    let (subject, end_use) = match asked {
        Ok(asked) => asked,
        Err(problem) => return refuse(&problem),
    };
    let facing = Facing::new(&live, &subject, end_use.as_deref(), now);
    let names = live
        .snapshot
        .names()
        .filter(|(name, _)| subject.scope.allows(name) && !is_denied(&live, name, &facing));
    let mut names = names.map(|(name, _)| &**name);
    let created_s = now.0 / 1_000_000;
    let body = match one {
        None => tieline_wire::models_list(dialect, &names.collect::<Vec<_>>(), created_s),
        Some(one) => match names.find(|name| *name == one) {
            Some(name) => tieline_wire::model_card(dialect, name, created_s),
            // Of what exists but is not for this key, no more is said.
            None => return refuse(&Problem::plain(Code::PoolUnknown)),
        },
    };
    let mut response = Response::new(Answer::whole(body));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Whether policy denies every way to serve a name. A name that no channel serves is denied by nobody.
fn is_denied(live: &Live, name: &str, facing: &Facing<'_>) -> bool {
    let is_denied = |way| live.verdict(way, facing).ruling == Ruling::Deny;
    let ask = live.snapshot.resolve(name);
    let ways = live.snapshot.candidates(&ask);
    ways.is_some_and(|(ways, _)| !ways.is_empty() && ways.iter().copied().all(is_denied))
}

/// Whose key it is.
fn key(shared: &Shared, headers: &HeaderMap) -> Result<Arc<PartyKey>, Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let nobody = |code| {
        shared.metrics.unauthenticated.inc();
        Err(Problem::plain(code))
    };
    let Some(token) = tieline_wire::auth_from_headers(&header) else {
        return nobody(Code::KeyMissing);
    };
    match shared.keys.load().party(token) {
        Some(Entry::Live(key)) => Ok(key.clone()),
        Some(Entry::Revoked) => nobody(Code::KeyRevoked),
        None => nobody(Code::KeyUnknown),
    }
}

/// The header in which a call says what it is for.
static END_USE: HeaderName = HeaderName::from_static("x-tieline-end-use");

/// What the call says that it is for: one of the operator's codes, so that no text of a caller's reaches a record.
fn end_use(live: &Live, headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let Some(stated) = headers.get(&END_USE) else {
        return Ok(None);
    };
    let judge = live.judge.load();
    let codes = judge.targets().end_uses();
    let found = stated
        .to_str()
        .ok()
        .and_then(|stated| codes.iter().find(|code| ***code == *stated));
    if let Some(code) = found {
        return Ok(Some(code.clone()));
    }
    let known: Vec<&str> = codes.iter().map(|code| &**code).collect();
    let says = if known.is_empty() {
        format!("`{END_USE}` states an end use, and this gateway has agreed on none; leave it out.")
    } else {
        format!(
            "`{END_USE}` states an end use that nobody agreed on; those agreed on: {}.",
            known.join(", ")
        )
    };
    Err(Problem::new(Code::FieldWrong, says))
}

/// Who asks, by the key and what else the call brings.
fn asker(
    shared: &Shared,
    live: &Live,
    peer: &Peer,
    headers: &HeaderMap,
    now: Tick,
) -> Result<(Arc<Subject>, Option<Problem>), Problem> {
    let brought = Brought {
        headers,
        key: &key(shared, headers)?,
        peer,
    };
    evidenced(shared, live, brought, now)
}

/// Who asks, with what evidence; and why the evidence is refused, if it is: the call is then the key's alone, and is
/// recorded as refused. The record of the facts is archived the first time that a call will cite it.
fn evidenced(
    shared: &Shared,
    live: &Live,
    brought: Brought<'_>,
    now: Tick,
) -> Result<(Arc<Subject>, Option<Problem>), Problem> {
    let key = brought.key;
    let bearer = bearer(shared, live, brought, now);
    let full = |_| Problem::plain(Code::LedgerFull).with_retry(SOON);
    if let Ok(Some(bearer)) = bearer {
        bearer.archive(&shared.recorder).map_err(full)?;
        return Ok((bearer.subject.clone(), None));
    }
    let archived = key.member.archive(live.judge.load().postures(), &shared.recorder);
    archived.map_err(full)?;
    Ok((key.subject.clone(), bearer.err()))
}

/// Who is to be identified by what came with a request beside its key; nobody if nothing did.
fn bearer(
    shared: &Shared,
    live: &Live,
    brought: Brought<'_>,
    now: Tick,
) -> Result<Option<Arc<Bearer>>, Problem> {
    let Some(identity) = &live.identity else {
        return Ok(None);
    };
    let world = World {
        fetches: &shared.fetches,
        now,
        postures: live.judge.load().postures().clone(),
        registry: &shared.registry,
    };
    identity.bearer(brought, &world)
}

/// A body is read as it came: nothing here decompresses, and what is small on the wire could be of any size.
fn plain(headers: &HeaderMap) -> Result<(), Unread> {
    let codings = headers.get_all(http::header::CONTENT_ENCODING).into_iter();
    let mut codings = codings.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let coded = codings.find(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    });
    let Some(coding) = coded else { return Ok(()) };
    let coding = String::from_utf8_lossy(coding.trim_ascii());
    let shown: String = coding.chars().filter(char::is_ascii_graphic).take(32).collect();
    let says =
        format!("The request body is encoded as `{shown}`; send it as it is, without `content-encoding`.");
    Err(Unread::Problem(Problem::new(Code::BodyEncoded, says)))
}

/// The whole body, within the limits of size and time.
async fn read(body: Incoming, live: &Live) -> Result<Bytes, Unread> {
    let limit = live.settings.body_bytes_max;
    let too_large = || {
        let says = format!("The request body is larger than {limit} bytes.");
        Unread::Problem(Problem::new(Code::BodyTooLarge, says))
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let time = Duration::from_millis(live.settings.body_ms);
    match tokio::time::timeout(time, collect(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Broken::TooLarge)) => Err(too_large()),
        Ok(Err(Broken::Connection)) => Err(Unread::Gone),
        Ok(Err(Broken::Framing)) => {
            let says = "The framing of the request body is broken.";
            Err(Unread::Problem(Problem::new(Code::BodyNotJson, says)))
        }
        Err(_) => Err(Unread::Problem(Problem::plain(Code::BodyTimeout))),
    }
}

/// A body that is not there.
enum Unread {
    /// The caller left before it had said all.
    Gone,
    Problem(Problem),
}

enum Broken {
    Connection,
    Framing,
    TooLarge,
}

impl Broken {
    fn of(error: &hyper::Error) -> Self {
        let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
        let is_framing = io.is_some_and(|io| {
            matches!(
                io.kind(),
                std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData
            )
        });
        if is_framing {
            Self::Framing
        } else {
            Self::Connection
        }
    }
}

/// One frame is passed on as it is; more are joined.
async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Broken> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Broken::of(&error))?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Broken::TooLarge);
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                // Room for the whole body at once, as far as it is announced.
                let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit);
                rest.reserve(first.len() + data.len() + announced);
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

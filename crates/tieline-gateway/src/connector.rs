//! Ways to channels: kept-alive connections bounded by the channel's own limit, TCP_NODELAY, no redirects, no
//! decompression. TLS verifies against the public roots, or the channel's own authority.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use smallvec::SmallVec;
use tieline_core::{Fault, FaultKind, Phase, TimeLimit};

use crate::config::ChannelWiring;
use crate::http1::{self, Lost, Pieces, Pool};
use crate::orders::Gate;
use crate::tls;

/// Ways by channel index.
pub(crate) struct Connector {
    channels: Vec<Channel>,
}

/// How to reach one channel, as far as it is the same for every call.
struct Channel {
    /// The credential, as the header that carries it.
    auth: Option<(HeaderName, HeaderValue)>,
    authority: HeaderValue,
    way: Way,
}

enum Way {
    Plain(Arc<Pool>),
    Tls(Box<Client<HttpsConnector<HttpConnector>, Slices>>),
}

/// A request for a channel, but for its host and credential.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) body: Slices,
    /// A name may come several times, for a list in several lines.
    pub(crate) headers: SmallVec<[(HeaderName, HeaderValue); 6]>,
    /// The path, with the query if there is one.
    pub(crate) path: Cow<'static, str>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NotSent {
    Fault(Fault),
    /// Something changed since the request was judged, and it did not leave.
    Superseded,
}

/// A channel's answer.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) body: Incoming,
    pub(crate) headers: HeaderMap,
    pub(crate) status: StatusCode,
}

/// The body of a channel's answer.
#[derive(Debug)]
pub(crate) enum Incoming {
    Plain(http1::Arriving),
    Tls(hyper::body::Incoming),
}

/// A request body as slices of the caller's own bytes around the spliced ones: nothing is copied.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    /// What the first piece has to pass.
    gate: Option<Gate>,
    left: u64,
    next: usize,
    pieces: SmallVec<[Bytes; 6]>,
}

/// A body that did not pass its gate.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("what is permitted has changed since the request was judged")]
pub(crate) struct Superseded;

/// Bodies up to this size are copied behind their head, so that one buffer is written; copying 16 KiB takes a microsecond,
/// as does each further buffer of a write.
const COPY_BYTES_MAX: u64 = 16 << 10;

impl Connector {
    /// `connect_max` is the longest that any call waits for a connection.
    pub(crate) fn new(wirings: &[ChannelWiring], connect_max: Duration) -> Result<Self, String> {
        let channels = wirings.iter().map(|wiring| Channel::new(wiring, connect_max));
        Ok(Self {
            channels: channels.collect::<Result<_, _>>()?,
        })
    }

    /// Send a request, and wait for the head of the answer. If no connection is there, `connect` is the time to open one,
    /// TLS included. Its body leaves only through `gate`.
    pub(crate) async fn send(
        &self,
        channel: u16,
        mut request: Outbound,
        connect: Duration,
        gate: Gate,
    ) -> Result<Inbound, NotSent> {
        let unknown = Fault::new(FaultKind::Connect, Phase::Connect);
        let channel = self.channels.get(usize::from(channel)).ok_or(unknown)?;
        match &channel.way {
            Way::Plain(pool) => {
                let bytes = channel.plain(request)?;
                let (status, headers, body) = pool.send(bytes, connect, &gate).await.map_err(lost)?;
                Ok(Inbound {
                    body: Incoming::Plain(body),
                    headers,
                    status,
                })
            }
            Way::Tls(client) => {
                request.body.gate = Some(gate);
                let response = send_tls(client, channel.tls(request)?, connect).await?;
                let (head, body) = response.into_parts();
                Ok(Inbound {
                    body: Incoming::Tls(body),
                    headers: head.headers,
                    status: head.status,
                })
            }
        }
    }

    /// Close connections that have been idle for too long, or that their channel has closed.
    pub(crate) fn sweep(&self) {
        for channel in &self.channels {
            // The other client does it by itself.
            if let Way::Plain(pool) = &channel.way {
                pool.sweep();
            }
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("channels", &self.channels.len())
            .finish()
    }
}

// === impl Channel ===

impl Channel {
    fn new(wiring: &ChannelWiring, connect_max: Duration) -> Result<Self, String> {
        let authority = &wiring.endpoint.authority;
        Ok(Self {
            auth: wiring.secret.as_ref().map(|_| auth(wiring)).transpose()?,
            authority: HeaderValue::from_str(authority).map_err(|_| format!("`{authority}` is no host"))?,
            way: if wiring.endpoint.tls {
                Way::Tls(Box::new(client(wiring, connect_max)?))
            } else {
                // An authority that nothing is verified with is read all the same: a wrong path is a mistake.
                wiring
                    .ca
                    .as_deref()
                    .map(|ca| tls::client_config(Some(ca)))
                    .transpose()?;
                Way::Plain(Arc::new(Pool::new(authority, wiring.connections_max)))
            },
        })
    }

    /// The bytes of a request (RFC 9112, section 3).
    fn plain(&self, request: Outbound) -> Result<Pieces, Fault> {
        let Outbound { body, headers, path } = request;
        // What is no visible ASCII could end the line.
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::new(FaultKind::Incapable, Phase::Connect));
        }
        let is_copied = body.left <= COPY_BYTES_MAX;
        let room = if is_copied { body.left } else { 0 };
        let mut head = BytesMut::with_capacity(512 + path.len() + usize::try_from(room).unwrap_or(0));
        for part in [b"POST ", path.as_bytes(), b" HTTP/1.1"] {
            head.extend_from_slice(part);
        }
        let host = (&header::HOST, &self.authority);
        let auth = self.auth.as_ref().map(|(name, value)| (name, value));
        let others = headers.iter().map(|(name, value)| (name, value));
        for (name, value) in [host].into_iter().chain(others).chain(auth) {
            for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\ncontent-length: ");
        head.extend_from_slice(itoa::Buffer::new().format(body.left).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        if is_copied {
            for piece in &body.pieces {
                head.extend_from_slice(piece);
            }
            return Ok(Pieces::from_iter([head.freeze()]));
        }
        let pieces = body.pieces.into_iter().filter(|piece| !piece.is_empty());
        Ok([head.freeze()].into_iter().chain(pieces).collect())
    }

    fn tls(&self, request: Outbound) -> Result<Request<Slices>, Fault> {
        let incapable = |_| Fault::new(FaultKind::Incapable, Phase::Connect);
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.authority.as_bytes());
        let uri = uri.path_and_query(&*request.path).build().map_err(incapable)?;
        let mut out = Request::new(request.body);
        *out.method_mut() = Method::POST;
        *out.uri_mut() = uri;
        let headers = out.headers_mut();
        for (name, value) in request.headers {
            headers.append(name, value);
        }
        headers.insert(header::HOST, self.authority.clone());
        headers.extend(self.auth.clone());
        Ok(out)
    }
}

fn auth(wiring: &ChannelWiring) -> Result<(HeaderName, HeaderValue), String> {
    let secret = wiring.secret.as_ref().map_or("", |secret| secret.expose());
    let (name, value) = tieline_wire::auth_header(wiring.provider, wiring.dialect, secret);
    let wrong = |_| {
        format!(
            "the credential of channel `{}` holds bytes that no header may",
            wiring.name
        )
    };
    let mut value = HeaderValue::from_str(&value).map_err(wrong)?;
    value.set_sensitive(true);
    Ok((HeaderName::from_static(name), value))
}

fn client(
    wiring: &ChannelWiring,
    connect_max: Duration,
) -> Result<Client<HttpsConnector<HttpConnector>, Slices>, String> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect_max));
    http.set_keepalive(Some(Duration::from_secs(30)));
    let tls = tls::client_config(wiring.ca.as_deref())?;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_all_versions();
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(http1::IDLE)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(wiring.connections_max)
        .set_host(false)
        .build(https.wrap_connector(http)))
}

/// The client's own limit is the same for all calls and for each address; the call's is kept here.
async fn send_tls(
    client: &Client<HttpsConnector<HttpConnector>, Slices>,
    mut request: Request<Slices>,
    connect: Duration,
) -> Result<Response<hyper::body::Incoming>, NotSent> {
    let mut captured = capture_connection(&mut request);
    let mut sent = std::pin::pin!(client.request(request));
    let sent = tokio::select! {
        biased;
        sent = &mut sent => sent,
        waited = tokio::time::timeout(connect, async { captured.wait_for_connection_metadata().await.is_some() }) => {
            if waited.is_err() {
                return Err(Fault::timeout(TimeLimit::Connect).into());
            }
            sent.await
        }
    };
    sent.map_err(|error| send_fault(&error))
}

/// What failed before there was an answer.
fn send_fault(error: &hyper_util::client::legacy::Error) -> NotSent {
    let first: &dyn std::error::Error = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    if causes.any(<dyn std::error::Error>::is::<Superseded>) {
        NotSent::Superseded
    } else if error.is_connect() {
        Fault::new(FaultKind::Connect, Phase::Connect).into()
    } else {
        Fault::new(FaultKind::Reset, Phase::Head).into()
    }
}

fn lost(lost: Lost) -> NotSent {
    match lost {
        Lost::Connect => Fault::new(FaultKind::Connect, Phase::Connect).into(),
        Lost::ConnectTimeout => Fault::timeout(TimeLimit::Connect).into(),
        Lost::Malformed | Lost::Reset => Fault::new(FaultKind::Reset, Phase::Head).into(),
        Lost::Superseded => NotSent::Superseded,
    }
}

impl From<Fault> for NotSent {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

// === impl Incoming ===

impl Incoming {
    /// The next piece of the body; `None` at its end, an error if the connection ended before.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        match self {
            Self::Plain(body) => body.poll_data(cx),
            Self::Tls(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(Lost::Reset))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }
}

// === impl Slices ===

impl Slices {
    pub(crate) fn new(slices: SmallVec<[Bytes; 6]>) -> Self {
        let left = slices.iter().map(|slice| slice.len() as u64).sum();
        Self {
            gate: None,
            left,
            next: 0,
            pieces: slices,
        }
    }
}

impl Body for Slices {
    type Data = Bytes;
    type Error = Superseded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(gate) = self.gate.take()
            && gate.enter().is_none()
        {
            return Poll::Ready(Some(Err(Superseded)));
        }
        let next = self.next;
        let Some(slice) = self.pieces.get_mut(next).map(std::mem::take) else {
            return Poll::Ready(None);
        };
        self.next += 1;
        self.left = self.left.saturating_sub(slice.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

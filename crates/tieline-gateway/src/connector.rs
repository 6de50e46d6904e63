//! Ways to channels: kept-alive connections bounded by the channel's own limit, TCP_NODELAY, no redirects, no
//! decompression. TLS verifies against the public roots, or the channel's own authority.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;
use tieline_core::{Fault, FaultKind, Phase, TimeLimit};

use crate::config::ChannelWiring;
use crate::http1::{Arriving, Lost, Pieces, Pool, Trust};
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
    pool: Arc<Pool>,
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
    pub(crate) body: Arriving,
    pub(crate) headers: HeaderMap,
    pub(crate) status: StatusCode,
}

/// A request body as slices of the caller's own bytes around the spliced ones: nothing is copied.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    length: u64,
    pieces: SmallVec<[Bytes; 6]>,
}

/// Bodies up to this size are copied behind their head, so that one buffer is written; copying 16 KiB takes a microsecond,
/// as does each further buffer of a write.
const COPY_BYTES_MAX: u64 = 16 << 10;

impl Connector {
    pub(crate) fn new(wirings: &[ChannelWiring]) -> Result<Self, String> {
        let channels = wirings.iter().map(Channel::new);
        Ok(Self {
            channels: channels.collect::<Result<_, _>>()?,
        })
    }

    /// Send a request, and wait for the head of the answer. If no connection is there, `connect` is the time to open one,
    /// TLS included. It leaves only through `gate`.
    pub(crate) async fn send(
        &self,
        channel: u16,
        request: Outbound,
        connect: Duration,
        gate: Gate,
    ) -> Result<Inbound, NotSent> {
        let unknown = Fault::new(FaultKind::Connect, Phase::Connect);
        let channel = self.channels.get(usize::from(channel)).ok_or(unknown)?;
        let bytes = channel.bytes(request)?;
        let sent = channel.pool.send(bytes, connect, &gate).await;
        let (status, headers, body) = sent.map_err(lost)?;
        Ok(Inbound {
            body,
            headers,
            status,
        })
    }

    /// Close connections that have been idle for too long, or that their channel has closed.
    pub(crate) fn sweep(&self) {
        for channel in &self.channels {
            channel.pool.sweep();
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
    fn new(wiring: &ChannelWiring) -> Result<Self, String> {
        let authority = &wiring.endpoint.authority;
        // An authority that nothing is verified with is read all the same: a wrong path is a mistake.
        let config = (wiring.endpoint.tls || wiring.ca.is_some())
            .then(|| tls::client_config(wiring.ca.as_deref()))
            .transpose()?;
        let config = config.filter(|_| wiring.endpoint.tls);
        let trust = config.map(|config| Trust::new(config, authority)).transpose()?;
        Ok(Self {
            auth: wiring.secret.as_ref().map(|_| auth(wiring)).transpose()?,
            authority: HeaderValue::from_str(authority).map_err(|_| format!("`{authority}` is no host"))?,
            pool: Arc::new(Pool::new(authority, wiring.connections_max, trust)),
        })
    }

    /// The bytes of a request (RFC 9112, section 3).
    fn bytes(&self, request: Outbound) -> Result<Pieces, Fault> {
        let Outbound { body, headers, path } = request;
        // What is no visible ASCII could end the line.
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::new(FaultKind::Incapable, Phase::Connect));
        }
        let is_copied = body.length <= COPY_BYTES_MAX;
        let room = if is_copied { body.length } else { 0 };
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
        head.extend_from_slice(itoa::Buffer::new().format(body.length).as_bytes());
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

// === impl Slices ===

impl Slices {
    pub(crate) fn new(slices: SmallVec<[Bytes; 6]>) -> Self {
        Self {
            length: slices.iter().map(|slice| slice.len() as u64).sum(),
            pieces: slices,
        }
    }
}

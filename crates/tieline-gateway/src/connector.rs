//! Connections to channels: one client per channel, kept-alive connections bounded by the channel's own limit,
//! TCP_NODELAY, no redirects, no decompression. TLS verifies against the public roots, or the channel's own authority.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use smallvec::SmallVec;

use crate::config::ChannelWiring;
use crate::tls;

/// Clients by channel index.
pub(crate) struct Connector {
    clients: Vec<Client<HttpsConnector<HttpConnector>, Slices>>,
}

/// A request body as slices of the caller's own bytes around the spliced ones: nothing is copied.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    left: u64,
    next: usize,
    pieces: SmallVec<[Bytes; 6]>,
}

/// How long an idle connection to a channel is kept: below the 60 s after which common load balancers close it.
const IDLE: Duration = Duration::from_secs(50);

impl Connector {
    pub(crate) fn new(wirings: &[ChannelWiring], connect_ms: u32) -> Result<Self, String> {
        let clients = wirings.iter().map(|wiring| client(wiring, connect_ms));
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) async fn send(
        &self,
        channel: u16,
        request: http::Request<Slices>,
    ) -> Option<Result<http::Response<Incoming>, hyper_util::client::legacy::Error>> {
        let client = self.clients.get(usize::from(channel))?;
        Some(client.request(request).await)
    }
}

fn client(
    wiring: &ChannelWiring,
    connect_ms: u32,
) -> Result<Client<HttpsConnector<HttpConnector>, Slices>, String> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(Duration::from_millis(connect_ms.into())));
    http.set_keepalive(Some(Duration::from_secs(30)));
    let tls = tls::client_config(wiring.ca.as_deref())?;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions();
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(wiring.connections_max)
        .set_host(false)
        .build(https.wrap_connector(http)))
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("channels", &self.clients.len())
            .finish()
    }
}

// === impl Slices ===

impl Slices {
    pub(crate) fn new(slices: SmallVec<[Bytes; 6]>) -> Self {
        let left = slices.iter().map(|slice| slice.len() as u64).sum();
        Self {
            left,
            next: 0,
            pieces: slices,
        }
    }
}

impl Body for Slices {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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

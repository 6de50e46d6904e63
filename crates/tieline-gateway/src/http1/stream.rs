//! The bytes of a connection, with TLS or without.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// When the kernel begins to ask whether a silent peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Whom a channel must prove to be, and by which authorities.
#[derive(Clone)]
pub(crate) struct Trust {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Trust {
    /// `authority` is `host` or `host:port`.
    pub(crate) fn new(mut config: ClientConfig, authority: &str) -> Result<Self, String> {
        // HTTP/2 would put requests of many calls into one queue of frames, in which none can be held back any more.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = http::uri::Authority::try_from(authority).map_err(|_| no_host(authority))?;
        let host = host.host().trim_matches(['[', ']']).to_owned();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(host).map_err(|_| no_host(authority))?,
        })
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn no_host(authority: &str) -> String {
    format!(
        "`{authority}` names no host whose certificate could be verified; write a host name or an IP address"
    )
}

// === impl Stream ===

impl Stream {
    pub(super) async fn open(address: SocketAddr, trust: Option<&Trust>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        let Some(trust) = trust else {
            return Ok(Self::Plain(stream));
        };
        let stream = trust.connector.connect(trust.name.clone(), stream).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Whether what was handed over may be on its way even if handing it over failed: a record may be part of it.
    pub(super) const fn keeps_what_fails(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether nothing, an end of the connection included, waits to be read.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            // No system call, unless there was news of the connection since its last read.
            Self::Plain(stream) => {
                let read = stream.try_read(&mut [0]);
                matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What waits may be a ticket for the next session, which is nobody's answer. Nobody else reads meanwhile, so
            // no waker is lost; without the limit on a task's work, which would look like silence.
            Self::Tls(stream) => {
                let mut byte = [0];
                let mut byte = ReadBuf::new(&mut byte);
                let read = std::future::poll_fn(|cx| Pin::new(&mut **stream).poll_read(cx, &mut byte));
                let mut cx = Context::from_waker(Waker::noop());
                pin!(tokio::task::unconstrained(read)).poll(&mut cx).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

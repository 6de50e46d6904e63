//! The admin listener under TLS. Handshakes run beside each other, each within a limit of time, and the connections that
//! come of them are handed to the server one by one: who connects and says nothing keeps nobody else out.
//!
//! Bounds: [`HANDSHAKES_MAX`] handshakes at a time; further connections wait in the kernel's queue.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// An operator's tools open a few; each handshake takes about 40 KiB, so 2.5 MiB.
const HANDSHAKES_MAX: usize = 64;

/// After an error of accepting, which is most often that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct TlsListener {
    accepting: AbortHandle,
    address: SocketAddr,
    ready: mpsc::Receiver<Ready>,
}

type Ready = (TlsStream<TcpStream>, SocketAddr);

impl TlsListener {
    /// Accepts from here on; `limit` is for one handshake.
    pub(super) fn new(listener: TcpListener, tls: TlsAcceptor, limit: Duration) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (done, ready) = mpsc::channel(HANDSHAKES_MAX);
        let accepting = tokio::spawn(accept(listener, tls, limit, done)).abort_handle();
        Ok(Self {
            accepting,
            address,
            ready,
        })
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, limit: Duration, done: mpsc::Sender<Ready>) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, done) = (tls.clone(), done.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(limit, tls.accept(stream)).await {
                // Nobody is there to take it once the server has ended.
                let _ = done.send((stream, address)).await;
            }
            drop(slot);
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

//! The connections to one channel: those that wait for the next call, newest first, and new ones.
//!
//! Bounds: idle connections by the channel's own limit; one that has waited for [`IDLE`] is closed.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::body::Framing;
use super::connection::{Connection, Failure, Pieces};
use super::stream::{Stream, Trust};
use crate::orders::Gate;

/// How long an idle connection is kept: below the 60 s after which common load balancers close it.
const IDLE: Duration = Duration::from_secs(50);

#[derive(Debug)]
pub(crate) struct Pool {
    /// `host:port`.
    authority: String,
    /// Oldest first.
    idle: Mutex<Vec<(Instant, Box<Connection>)>>,
    idle_max: usize,
    /// Of channels with TLS.
    trust: Option<Trust>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// There was no connection to send it on.
    Connect,
    /// None opened in time.
    ConnectTimeout,
    /// What came is no HTTP/1.1.
    Malformed,
    /// The connection ended.
    Reset,
    /// Something changed since the request was judged; nothing of it was written.
    Superseded,
}

/// The body of an answer. Read to its end, it gives the connection back; dropped before, it closes it.
#[derive(Debug)]
pub(crate) struct Arriving {
    connection: Option<Box<Connection>>,
    framing: Framing,
    is_reusable: bool,
    pool: Arc<Pool>,
}

impl Pool {
    /// `authority` is `host` or `host:port`.
    pub(crate) fn new(authority: &str, idle_max: usize, trust: Option<Trust>) -> Self {
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:{}", if trust.is_some() { 443 } else { 80 })
        };
        Self {
            authority,
            idle: Mutex::default(),
            idle_max,
            trust,
        }
    }

    /// Send a request, given as its bytes, and wait for the head of the answer. A new connection has `connect` to open,
    /// TLS included.
    ///
    /// A kept connection may turn out to be closed when the request is to be written: then it goes out on another one, the
    /// last of which is new. A request of which anything was written is never sent again from here: the channel may have
    /// begun to work, and to charge; whether to try again is the core's decision. Nothing is begun once `gate` is closed.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: Pieces,
        connect: Duration,
        gate: &Gate,
    ) -> Result<(StatusCode, HeaderMap, Arriving), Lost> {
        loop {
            let mut connection = match self.take() {
                Some(connection) => connection,
                None => self.connect(connect).await.map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => Lost::ConnectTimeout,
                    _ => Lost::Connect,
                })?,
            };
            connection.begin(request.clone());
            let head = poll_fn(|cx| {
                if connection.has_sent() {
                    return connection.poll_head(cx).map(Some);
                }
                // Held around the write, so that whoever closes the gate waits for it.
                let Some(_passing) = gate.enter() else {
                    return Poll::Ready(None);
                };
                connection.poll_head(cx).map(Some)
            });
            // A task that has done much would be told that nothing can be written, with its bytes taken by the TLS layer.
            // What this may do beyond its share is one write and the reading of one head.
            let Some(head) = tokio::task::unconstrained(head).await else {
                return Err(Lost::Superseded);
            };
            match head {
                Ok(head) => {
                    let pool = self.clone();
                    let (framing, is_reusable) = (head.framing, head.is_reusable);
                    let body = Arriving {
                        connection: Some(connection),
                        framing,
                        is_reusable,
                        pool,
                    };
                    return Ok((head.status, head.headers, body));
                }
                Err(Failure::Unsent) if connection.is_used => {}
                Err(Failure::Closed | Failure::Unsent) => return Err(Lost::Reset),
                Err(Failure::Malformed) => return Err(Lost::Malformed),
            }
        }
    }

    /// Close what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.idle()
            .retain_mut(|(since, connection)| now.duration_since(*since) < IDLE && connection.is_idle());
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Box<Connection>)>> {
        // A panic while holding the lock would have been between whole entries.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Box<Connection>> {
        let now = Instant::now();
        loop {
            let (since, mut connection) = self.idle().pop()?;
            if now.duration_since(since) < IDLE && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, mut connection: Box<Connection>) {
        connection.is_used = true;
        let mut idle = self.idle();
        if idle.len() < self.idle_max {
            idle.push((Instant::now(), connection));
        }
    }

    /// A new connection to the first address that takes one; all of them share the limit.
    async fn connect(&self, limit: Duration) -> io::Result<Box<Connection>> {
        let resolve = async {
            tokio::net::lookup_host(&self.authority)
                .await
                .map(Iterator::collect::<Vec<_>>)
        };
        let addresses = tokio::time::timeout(limit, resolve).await??;
        let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match tokio::time::timeout(share, Stream::open(address, self.trust.as_ref())).await {
                Ok(Ok(stream)) => return Ok(Box::new(Connection::new(stream))),
                Ok(Err(error)) => last = error,
                Err(elapsed) => last = elapsed.into(),
            }
        }
        Err(last)
    }
}

// === impl Arriving ===

impl Arriving {
    /// The next piece of the body; `None` at its end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        let Some(connection) = &mut self.connection else {
            return Poll::Ready(None);
        };
        let data = ready!(connection.poll_data(&mut self.framing, cx));
        match data {
            Some(Ok(data)) => {
                // The last piece ends the body: its connection need not wait for another look.
                if self.framing.has_ended() {
                    self.end();
                }
                Poll::Ready(Some(Ok(data)))
            }
            Some(Err(failure)) => {
                self.connection = None;
                let lost = if failure == Failure::Malformed {
                    Lost::Malformed
                } else {
                    Lost::Reset
                };
                Poll::Ready(Some(Err(lost)))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn end(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.is_reusable
        {
            self.pool.give_back(connection);
        }
    }
}

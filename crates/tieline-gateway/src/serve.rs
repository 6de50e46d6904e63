//! The listeners: accept, TLS, HTTP/1.1 and HTTP/2, limits, drain.
//!
//! Bounds: connections by a semaphore (more wait in the kernel's queue), the head of a request by bytes and time, calls in
//! flight by `calls_max`, the drain by `drain_ms`.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tieline_core::{Code, Dialect, Problem, Retry, Span};
use tieline_wire::Surface;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::answer::Answer;
use crate::config::GatewaySettings;
use crate::identity::{ClientCertificate, Peer};
use crate::shared::Shared;
use crate::{intake, outgoing};

/// The pause after a failed accept (usually: no file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// No call may be configured to last longer, so that nobody who still reads an answer is cut off.
const UNREAD_MAX: Duration = Duration::from_hours(1);

/// How long calls have to end once their connections are gone, and how often that is looked at: an outcome takes
/// microseconds to hand over.
const CUT_MAX: Duration = Duration::from_secs(2);
const CUT_POLL: Duration = Duration::from_millis(1);

/// Streams of one HTTP/2 connection; the specification recommends no fewer than 100 (RFC 9113, 6.5.2).
const H2_STREAMS_MAX: u32 = 256;

/// When the public listener ends.
pub(crate) struct Until {
    /// Calls that have not ended are cut off.
    pub(crate) cut: watch::Receiver<bool>,
    /// Nothing more is accepted, and calls get time to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// The public listener: accept until told to stop, then let calls end.
pub(crate) async fn public(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut until: Until,
) {
    let settings = shared.live.load().settings.clone();
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder(&settings));
    let head = Duration::from_millis(settings.header_ms);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            _ = until.stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, address, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        give_up_unread(&stream, UNREAD_MAX);
        let (shared, tls, builder, watcher) =
            (shared.clone(), tls.clone(), builder.clone(), graceful.watcher());
        connections.spawn(async move {
            let address = address.ip();
            match tls {
                None => {
                    let peer = Peer {
                        address,
                        certificate: None,
                    };
                    connection(shared, peer, stream, &builder, head, watcher).await;
                }
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(head, tls.accept(stream)).await
                        && let Some(peer) = peer(address, &stream)
                    {
                        connection(shared, peer, stream, &builder, head, watcher).await;
                    }
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    let limit = Duration::from_millis(shared.live.load().settings.drain_ms);
    let is_drained = tokio::select! {
        drained = tokio::time::timeout(limit, graceful.shutdown()) => drained.is_ok(),
        Ok(_) = until.cut.wait_for(|cut| *cut) => false,
    };
    if !is_drained {
        tracing::warn!(
            calls = shared.calls.load(Ordering::Relaxed),
            "calls were still in flight at the end of the drain"
        );
    }
    cut(&shared, connections).await;
}

/// Have the kernel end a connection whose peer has taken nothing for so long: a peer that keeps its connection open and
/// reads nothing would keep one of `connections_max` for good.
fn give_up_unread(stream: &TcpStream, limit: Duration) {
    // What is not there on other systems bounds nothing there.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit));
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, limit);
}

/// A connection and its slot. Waiting for either can be given up without losing one.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>)> {
    let permit = slots.clone().acquire_owned().await.ok();
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, permit))
}

/// Who is at the other end; none if the client's certificate, which was verified, says what cannot be read here: it might
/// be one that is limited to other parties.
fn peer(address: IpAddr, stream: &TlsStream<TcpStream>) -> Option<Peer> {
    let (_, session) = stream.get_ref();
    let certificate = match session.peer_certificates().and_then(<[_]>::first) {
        None => None,
        Some(der) => {
            let read = ClientCertificate::read(der);
            if read.is_none() {
                tracing::warn!(
                    "a client certificate was verified and cannot be read; its connection is closed"
                );
            }
            Some(read?)
        }
    };
    Some(Peer { address, certificate })
}

/// End what the drain did not, so that every call has its outcome before the ledger is closed. Streams of HTTP/2 are
/// tasks of their own, which end when their connection has.
async fn cut(shared: &Shared, mut connections: JoinSet<()>) {
    connections.shutdown().await;
    let ended = async {
        while shared.calls.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(CUT_POLL).await;
        }
    };
    if tokio::time::timeout(CUT_MAX, ended).await.is_err() {
        tracing::error!("calls did not end with their connections; the next start closes them as lost");
    }
}

/// Serve one connection. It has `head` to begin its first request: hyper's own limit starts only once it knows which
/// version of HTTP is spoken.
async fn connection<S>(
    shared: Arc<Shared>,
    peer: Peer,
    stream: S,
    builder: &Builder<TokioExecutor>,
    head: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let has_begun = Arc::new(AtomicBool::new(false));
    let begin = has_begun.clone();
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        begin.store(true, Ordering::Relaxed);
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<_, Infallible>(serve(shared, peer, request).await) }
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let silent = async {
        tokio::time::sleep(head).await;
        if has_begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        // An error here is the peer's: a broken connection, a malformed head. There is no one to tell.
        _ = watcher.watch(connection) => {}
        () = silent => {}
    }
}

fn builder(settings: &GatewaySettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_ms))
        // hyper wants at least 8 KiB.
        .max_buf_size(settings.header_bytes_max.max(8 << 10))
        .pipeline_flush(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(Duration::from_secs(30)));
    builder
}

/// One request of the public listener.
fn serve(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Answer>> {
    let surface = tieline_wire::surface(request.method().as_str(), request.uri().path());
    let is_head = request.method() == http::Method::HEAD;
    async move {
        let response = match surface {
            Surface::Call(dialect) if shared.draining.load(Ordering::Relaxed) => {
                let problem = Problem::plain(Code::Draining).with_retry(Retry::After(Span::from_s(1)));
                plain(&shared, dialect, &problem)
            }
            Surface::Call(dialect) => intake::call(shared, &peer, dialect, request).await,
            Surface::Models(_) => intake::models(&shared, &peer, request.headers(), None),
            Surface::Model => {
                // A name that is not UTF-8 is nobody's, and so is the empty one.
                let name = tieline_wire::model_asked(request.uri().path()).unwrap_or_default();
                intake::models(&shared, &peer, request.headers(), Some(&name))
            }
            Surface::Root => status(StatusCode::OK, "tieline\n"),
            Surface::MethodWrong { allow } => method_wrong(&shared, &request, allow),
            Surface::Alive => status(StatusCode::OK, "ok\n"),
            Surface::Ready => readiness(&shared),
            Surface::CountTokens | Surface::PathUnknown => plain(
                &shared,
                guess_dialect(&request),
                &Problem::plain(Code::PathUnknown),
            ),
        };
        if is_head { head_alone(response) } else { response }
    }
}

/// The answer to HEAD: what GET would answer, its length too, without the content.
fn head_alone(mut response: Response<Answer>) -> Response<Answer> {
    let content = std::mem::replace(response.body_mut(), Answer::Whole(None));
    if let Some(length) = http_body::Body::size_hint(&content).exact() {
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
    }
    response
}

/// Ready to serve: not draining, and the ledger takes entries.
pub(crate) fn readiness(shared: &Shared) -> Response<Answer> {
    if shared.draining.load(Ordering::Relaxed) {
        return status(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match shared.recorder.health().stopped {
        Some(_) => status(StatusCode::SERVICE_UNAVAILABLE, "the ledger has stopped\n"),
        None => status(StatusCode::OK, "ready\n"),
    }
}

fn status(code: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(text));
    *response.status_mut() = code;
    response
}

fn plain(shared: &Shared, dialect: Dialect, problem: &Problem) -> Response<Answer> {
    let (id, _) = shared.new_call(shared.now());
    outgoing::refusal(dialect, problem, id)
}

fn method_wrong(shared: &Shared, request: &Request<Incoming>, allow: &'static str) -> Response<Answer> {
    let says = format!("This path takes {allow}, not {}.", request.method());
    let mut response = plain(
        shared,
        guess_dialect(request),
        &Problem::new(Code::MethodWrong, says),
    );
    response
        .headers_mut()
        .insert(http::header::ALLOW, http::HeaderValue::from_static(allow));
    response
}

/// The dialect of a request whose path says nothing: Anthropic's SDKs always send their version header.
fn guess_dialect(request: &Request<Incoming>) -> Dialect {
    let anthropic =
        request.headers().contains_key("anthropic-version") || request.uri().path().contains("/messages");
    if anthropic {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenaiChat
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_nobody_reads_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let reader = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        give_up_unread(&stream, Duration::from_millis(500));
        let piece = vec![0; 1 << 16];
        let write = async { while stream.write_all(&piece).await.is_ok() {} };
        tokio::time::timeout(Duration::from_mins(1), write)
            .await
            .expect("the kernel gives up");
        let error = stream.write_all(&piece).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::TimedOut),
            "{error}"
        );
        drop(reader);
    }
}

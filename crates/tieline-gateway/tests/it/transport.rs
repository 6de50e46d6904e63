//! HTTP/2, with prior knowledge and by TLS, and TLS on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tieline_core::Dialect::OpenaiChat;
use tieline_core::FaultKind;
use tieline_core::record::Outcome;
use tieline_gateway::TlsFiles;
use tieline_note::sha256;
use tieline_testkit::{Act, Auto, Channel, End, Gate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::caller::{Ask, CHAT, CHAT_STREAM, Caller, said_in};
use crate::directives::{GERMANS, applied, letter, plan, send, signed};
use crate::house::{self, House, LIMIT, Plan, key};
use crate::ledger::{attempts, ended};

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/data")
        .join(name)
}

fn files() -> TlsFiles {
    TlsFiles {
        cert: data("server.pem"),
        client: None,
        key: data("server.key.pem"),
    }
}

async fn handshake<S>(stream: S) -> SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn plain_h2(house: &House) -> SendRequest<Full<Bytes>> {
    handshake(TcpStream::connect(house.listen).await.unwrap()).await
}

pub(crate) fn post(body: &str) -> Request<Full<Bytes>> {
    Request::post("http://gateway.example/v1/chat/completions")
        .header("authorization", format!("Bearer {}", key(house::ALLOWED)))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Vec<u8> {
    let body = tokio::time::timeout(LIMIT, response.into_body().collect());
    body.await.unwrap().unwrap().to_bytes().to_vec()
}

async fn tls(house: &House, alpn: &[u8]) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(data("authority.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(house.listen).await.unwrap();
    let name = ServerName::try_from("gateway.example").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_with_prior_knowledge_serves_whole_and_streamed_answers() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut sender = plain_h2(&house).await;
    let response = sender.send_request(post(CHAT)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, http::Version::HTTP_2)
    );
    assert!(response.headers().contains_key("x-tieline-call"));
    let body: serde_json::Value = serde_json::from_slice(&read(response).await).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hello there");
    let response = sender.send_request(post(CHAT_STREAM)).await.unwrap();
    assert_eq!(said_in(&read(response).await), "Hello there");
    let response = sender.send_request(post("nonsense")).await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    drop(sender);
    let book = house.stop().await;
    assert_eq!(
        book.results(),
        [Outcome::Served, Outcome::Served, Outcome::Refused]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_http2_connection_do_not_wait_for_each_other() {
    let gate = Gate::new();
    let channel =
        Channel::start(tieline_testkit::Script::new().then(Act::auto().gate_before_head(&gate))).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut sender = plain_h2(&house).await;
    let first = tokio::spawn(sender.send_request(post(CHAT)));
    assert!(gate.wait_reached(1, LIMIT).await);
    let second = sender.send_request(post(CHAT)).await.unwrap();
    assert_eq!(second.status().as_u16(), 200);
    read(second).await;
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().status().as_u16(), 200);
    drop(sender);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_http2_that_is_reset_cancels_its_attempt_and_no_other() {
    let gate = Gate::new();
    let channel =
        Channel::start(tieline_testkit::Script::new().then(Act::auto().gate_before_head(&gate))).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let mut sender = plain_h2(&house).await;
    let first = tokio::spawn(sender.send_request(post(CHAT)));
    assert!(gate.wait_reached(1, LIMIT).await);
    first.abort();
    let seen = channel.wait_ended(1, LIMIT).await.unwrap();
    assert_eq!(seen[0].end, Some(End::ClientGone));
    let second = sender.send_request(post(CHAT)).await.unwrap();
    assert_eq!(second.status().as_u16(), 200);
    read(second).await;
    drop(sender);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Abandoned, Outcome::Served]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_http2_that_goes_away_cancels_all_its_attempts() {
    let gate = Gate::new();
    let channel = Channel::start(Act::auto().gate_before_frame(0, &gate)).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let stream = std::net::TcpStream::connect(house.listen).unwrap();
    let handle = stream.try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut sender = handshake(TcpStream::from_std(stream).unwrap()).await;
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(sender.send_request(post(CHAT))))
        .collect();
    assert!(gate.wait_reached(3, LIMIT).await);
    handle.shutdown(std::net::Shutdown::Both).unwrap();
    let seen = channel.wait_ended(3, LIMIT).await.unwrap();
    assert!(
        seen.iter().all(|seen| seen.end == Some(End::ClientGone)),
        "{seen:?}"
    );
    drop(calls);
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Abandoned; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_http2_over_the_limit_is_refused() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan
        .gateway(|gateway| gateway.header_bytes_max = 16 << 10)
        .start()
        .await;
    let mut sender = plain_h2(&house).await;
    let mut request = post(CHAT);
    let long = http::HeaderValue::from_str(&"x".repeat(17 << 10)).unwrap();
    request.headers_mut().insert("x-long", long);
    let refused = sender.send_request(request).await;
    assert!(refused.map_or(true, |response| response.status().as_u16() == 431));
    let mut sender = plain_h2(&house).await;
    assert_eq!(
        sender.send_request(post(CHAT)).await.unwrap().status().as_u16(),
        200
    );
    drop(sender);
    house.stop().await;
    assert_eq!(channel.seen_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_serves_both_versions_of_http() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = Plan::new(vec![house::openai("a", &channel)]);
    let house = plan.gateway(|gateway| gateway.tls = Some(files())).start().await;
    let stream = tls(&house, b"http/1.1").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut caller = Caller::over(stream);
    caller.send(&Ask::plain(OpenaiChat, true)).await;
    assert_eq!(caller.reply().await.said(), "Hello there");
    drop(caller);
    let stream = tls(&house, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = handshake(stream).await;
    let response = sender.send_request(post(CHAT)).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    read(response).await;
    drop(sender);
    // Plain HTTP on a port of TLS is refused.
    let mut bare = Caller::connect(house.listen).await;
    bare.send(&Ask::plain(OpenaiChat, false)).await;
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut bare.stream, &mut rest);
    let _ = tokio::time::timeout(LIMIT, ended)
        .await
        .expect("the connection ends");
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    let book = house.stop().await;
    assert_eq!(book.results(), [Outcome::Served; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_cannot_be_used_are_an_error_of_the_start() {
    for files in [
        TlsFiles {
            cert: data("nothing.pem"),
            client: None,
            ..files()
        },
        TlsFiles {
            cert: data("authority.pem"),
            client: None,
            ..files()
        },
        TlsFiles {
            key: data("server.pem"),
            ..files()
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::new(Vec::new()).gateway(|gateway| gateway.tls = Some(files.clone()));
        let error = plan.start_in(dir).await.unwrap_err().to_string();
        let named = [&files.cert, &files.key]
            .into_iter()
            .any(|path| error.contains(&*path.to_string_lossy()));
        assert!(named, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_by_tls_waits_for_nobody_who_says_nothing() {
    let plan = Plan::new(Vec::new()).gateway(|gateway| {
        gateway.tls = Some(files());
        gateway.admin_is_tls = true;
    });
    let house = plan.start().await;
    // More than as many as may be in their handshakes would keep others out until their time is over; one does not.
    let _silent = TcpStream::connect(house.admin).await.unwrap();
    let pin = sha256(&CertificateDer::from_pem_file(data("server.pem")).unwrap());
    let ready = async |pin| {
        let connector = tieline_gateway::admin_connector(pin).unwrap();
        let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let url = format!("https://{}/readyz", house.admin).parse().unwrap();
        let answer = tokio::time::timeout(LIMIT, client.get(url))
            .await
            .expect("in time");
        answer.map(|answer| answer.status().as_u16())
    };
    assert_eq!(ready(Some(pin)).await.unwrap(), 200);
    assert!(
        ready(Some(sha256(b"another"))).await.is_err(),
        "another certificate"
    );
    assert!(ready(None).await.is_err(), "no authority of the web signed it");
    house.stop_now().await;
}

/// The same way, by TLS.
pub(crate) async fn by_tls(mut way: house::Way, channel: &Channel) -> house::Way {
    let address = tls_relay(channel, Arc::default()).await;
    (way.address, way.tls, way.ca) = (address, true, Some(data("authority.pem")));
    way
}

/// Where handshakes wait, if they are to.
#[derive(Debug, Default)]
struct Handshakes {
    go: Notify,
    reached: Notify,
    wait: bool,
}

/// A relay that ends TLS in front of a channel.
async fn tls_relay(channel: &Channel, handshakes: Arc<Handshakes>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cert = CertificateDer::from_pem_file(data("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(data("server.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let to = channel.address();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, handshakes) = (acceptor.clone(), handshakes.clone());
            tokio::spawn(async move {
                if handshakes.wait {
                    handshakes.reached.notify_one();
                    handshakes.go.notified().await;
                }
                let Ok(mut near) = acceptor.accept(stream).await else {
                    return;
                };
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_reached_by_tls_only_if_its_authority_is_trusted() {
    let (a, b) = (
        Channel::start(Auto::saying("From a")).unwrap(),
        Channel::start(Auto::saying("From b")).unwrap(),
    );
    let trusted = by_tls(house::openai("b", &b), &b).await;
    let mut unknown = house::openai("a", &a);
    (unknown.address, unknown.tls) = (tls_relay(&a, Arc::default()).await, true);
    let house = Plan::new(vec![unknown, trusted]).start().await;
    for stream in [false, true] {
        assert_eq!(house.ask(Ask::plain(OpenaiChat, stream)).await.said(), "From b");
    }
    assert_eq!(a.seen_count(), 0);
    let book = house.stop().await;
    for outcome in book.outcomes.values() {
        assert_eq!(ended(outcome), (Outcome::Served, None));
        assert_eq!(attempts(outcome), [("a", Some(FaultKind::Connect)), ("b", None)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_order_overtakes_during_the_handshake_does_not_leave() {
    let channel = Channel::start(Auto::default()).unwrap();
    let handshakes = Arc::new(Handshakes {
        wait: true,
        ..Handshakes::default()
    });
    let mut plan = plan(&channel);
    let address = tls_relay(&channel, handshakes.clone()).await;
    let way = &mut plan.ways[0];
    (way.address, way.tls, way.ca) = (address, true, Some(data("authority.pem")));
    let house = plan.start().await;
    let mut caller = Caller::connect(house.listen).await;
    caller.send(&Ask::plain(OpenaiChat, false)).await;
    tokio::time::timeout(LIMIT, handshakes.reached.notified())
        .await
        .unwrap();
    // Whatever was judged before may finish, and has not begun.
    applied(&send(&house, &signed(&letter("us-1", 1, "finish", GERMANS))).await);
    handshakes.go.notify_one();
    let reply = caller.reply().await;
    assert_eq!(reply.problem(OpenaiChat).2.as_deref(), Some("denied"));
    let book = house.stop().await;
    assert_eq!(channel.seen_count(), 0);
    assert!(book.only().1.attempts[0].is_ordered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_by_tls_is_kept_and_carries_bodies_of_any_size() {
    let channel = Channel::start(Auto::saying("Hello there")).unwrap();
    let way = by_tls(house::openai("a", &channel), &channel).await;
    let house = Plan::new(vec![way]).start().await;
    for length in [10, 20 << 10, 1 << 20] {
        for stream in [false, true] {
            let content = "x".repeat(length);
            let body = serde_json::json!({
                "messages": [{ "content": content, "role": "user" }], "model": house::MODEL, "stream": stream,
            });
            let reply = house
                .ask(Ask::post(OpenaiChat, body.to_string()).key(house::ALLOWED))
                .await;
            assert_eq!(reply.said(), "Hello there", "{length}");
            let seen = channel.seen().pop().unwrap();
            let found: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(found["messages"][0]["content"].as_str().unwrap().len(), length);
        }
    }
    assert_eq!(channel.accepted_count(), 1, "one connection carries all of them");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new(Vec::new()).gateway(|gateway| gateway.listen = address);
    let error = plan.start_in(dir).await.unwrap_err().to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("choose another port"),
        "{error}"
    );
}

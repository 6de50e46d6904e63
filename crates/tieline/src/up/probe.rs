//! One GET to a plain HTTP server, with a limit on its time and on the length of the answer.
//!
//! For questions to model servers that run on this machine or beside it: are you ready, what do you serve. No TLS, no
//! redirects, no pool; traffic goes through the gateway's channel clients, never through here.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};

/// Status and body of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there was no answer; reads after "failed to ask http://…".
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    #[error("the address is not of the form http://HOST[:PORT][/PATH]")]
    Address,
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no answer: {0}")]
    Answer(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
}

/// Sends `GET url` and reads the whole answer, at most [`BODY_BYTES_MAX`], within `limit`.
pub(crate) async fn fetch(url: &str, limit: Duration) -> Result<Reply, ProbeError> {
    let uri: Uri = url.parse().map_err(|_| ProbeError::Address)?;
    match timeout(limit, exchange(uri)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ProbeError::Late(limit)),
    }
}

/// As [`fetch`], for code outside a runtime or on a thread of one: asks from a thread of its own.
pub(crate) fn fetch_blocking(url: &str, limit: Duration) -> Result<Reply, ProbeError> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(ProbeError::Connect)?.block_on(fetch(url, limit))
    };
    std::thread::scope(|scope| scope.spawn(ask).join())
        .unwrap_or_else(|_| Err(ProbeError::Answer("the thread that asked has died".to_owned())))
}

async fn exchange(uri: Uri) -> Result<Reply, ProbeError> {
    let authority = uri.authority().ok_or(ProbeError::Address)?.clone();
    if uri.scheme_str() != Some("http") {
        return Err(ProbeError::Address);
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(ProbeError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| ProbeError::Answer(error.to_string()))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| ProbeError::Address)?;
    let ask = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| ProbeError::Answer(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body
            .map_err(|error| ProbeError::Answer(error.to_string()))?
            .to_bytes();
        Ok(Reply { status, body })
    };
    // The connection carries nothing by itself; it is driven beside the question and dropped with it.
    let drive = async {
        let _ended = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! { reply = ask => reply, () = drive => Err(ProbeError::Answer("closed".to_owned())) }
}

/// A list of 1,000 models at about 1 KiB each; health answers have 20 bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// Serves `answer` to one connection and returns the URL.
    fn serve_once(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x?y=1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let read = socket.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /x?y=1 HTTP/1.1\r\n"));
            socket.write_all(answer).unwrap();
        });
        url
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn answers_are_read_whole() {
        let url = serve_once(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nwait");
        let reply = fetch_blocking(&url, LIMIT).unwrap();
        assert_eq!((reply.status, &reply.body[..]), (503, &b"wait"[..]));
    }

    #[test]
    fn answers_end_with_the_connection() {
        let reply = fetch_blocking(&serve_once(b"HTTP/1.1 200 OK\r\n\r\nall of it"), LIMIT).unwrap();
        assert_eq!(&reply.body[..], b"all of it");
    }

    #[test]
    fn bad_servers_are_errors() {
        for answer in [
            &b"garbage\r\n\r\n"[..],
            b"",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        ] {
            assert!(matches!(
                fetch_blocking(&serve_once(answer), LIMIT),
                Err(ProbeError::Answer(_))
            ));
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(
            fetch_blocking(&format!("http://{closed}/"), LIMIT),
            Err(ProbeError::Connect(_))
        ));
        for address in ["https://127.0.0.1/", "127.0.0.1:80", "http://", "/path", ""] {
            assert!(
                matches!(fetch_blocking(address, LIMIT), Err(ProbeError::Address)),
                "{address}"
            );
        }
    }

    #[test]
    fn silence_ends_at_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        assert!(matches!(
            fetch_blocking(&url, Duration::from_millis(50)),
            Err(ProbeError::Late(_))
        ));
    }
}

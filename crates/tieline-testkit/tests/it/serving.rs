//! The channel as a server: keep-alive, limits, stop and resume, what it remembers.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tieline_testkit::{Act, Auto, Channel, Cut, End, Gate, Limits, Script};

use crate::client::{Ending, HELLO, LIMIT, chat, connect, once, post, read_response, read_to_end, start};

#[test]
fn one_connection_serves_many_requests() {
    let channel = start(Script::new());
    let mut stream = connect(&channel);
    for index in 0..200 {
        stream.write_all(&chat(HELLO)).unwrap();
        let (head, body) = read_response(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains(&format!("chatcmpl-{index:08}"))
        );
    }
    assert_eq!(
        (
            channel.seen_count(),
            channel.accepted_count(),
            channel.open_count()
        ),
        (200, 1, 1)
    );
}

#[test]
fn acts_are_taken_in_order_and_then_the_default() {
    let channel = start(Script::new().then(Act::status(429)).otherwise(Auto::saying("b")));
    channel.push(Act::status(503));
    let mut stream = connect(&channel);
    let statuses: Vec<String> = (0..4)
        .map(|_| {
            stream.write_all(&chat(HELLO)).unwrap();
            read_response(&mut stream).0.split(' ').nth(1).unwrap().to_owned()
        })
        .collect();
    assert_eq!(statuses, ["429", "503", "200", "200"]);
    assert_eq!(channel.acts_left(), 0);
    channel.set_default(Act::status(418));
    stream.write_all(&chat(HELLO)).unwrap();
    assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 418 "));
}

#[test]
fn what_came_is_remembered() {
    let channel = start(Act::json("{}"));
    let mut stream = connect(&channel);
    stream
        .write_all(
            b"POST /v1/messages?beta=true HTTP/1.1\r\nX-Api-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .unwrap();
    stream
        .write_all(b"5;ext=1\r\n{\"a\":\r\n2\r\n1}\r\n0\r\nTrailer: x\r\n\r\n")
        .unwrap();
    read_response(&mut stream);
    let seen = channel.wait_ended_blocking(1, LIMIT).unwrap().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/v1/messages?beta=true")
    );
    assert_eq!(seen.route(), "/v1/messages");
    assert_eq!(seen.header("x-api-key"), Some("k"));
    assert_eq!(seen.headers[0].0, "X-Api-Key");
    assert_eq!(seen.json(), Some(serde_json::json!({"a": 1})));
    assert_eq!((seen.status, seen.end), (Some(200), Some(End::Complete)));
    assert!(seen.sent_bytes > 0);
}

#[test]
fn a_wait_that_ends_too_early_says_what_was_seen() {
    let channel = start(Script::new());
    once_and_leave(&channel);
    let error = channel
        .wait_seen_blocking(2, Duration::from_millis(5))
        .unwrap_err();
    assert_eq!((error.saw, error.wanted), (1, 2));
    assert!(error.to_string().contains("POST /v1/chat/completions"), "{error}");
}

fn once_and_leave(channel: &Channel) {
    let mut stream = connect(channel);
    stream.write_all(&chat(HELLO)).unwrap();
    read_response(&mut stream);
}

#[test]
fn async_callers_wait_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let gate = Gate::new();
    let channel = start(Act::auto().gate_before_head(&gate));
    let mut stream = connect(&channel);
    runtime.block_on(async {
        stream.write_all(&chat(HELLO)).unwrap();
        assert_eq!(channel.wait_seen(1, LIMIT).await.unwrap().len(), 1);
        assert!(gate.wait_reached(1, LIMIT).await);
        gate.open();
        assert_eq!(
            channel.wait_ended(1, LIMIT).await.unwrap()[0].end,
            Some(End::Complete)
        );
        assert!(channel.wait_seen(2, Duration::from_millis(5)).await.is_err());
    });
}

#[test]
fn a_stopped_channel_refuses_connects_and_resumes_on_its_port() {
    let channel = start(Script::new());
    let mut idle = connect(&channel);
    idle.write_all(&chat(HELLO)).unwrap();
    read_response(&mut idle);
    for _ in 0..20 {
        channel.stop().unwrap();
        let refused = TcpStream::connect(channel.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        channel.resume().unwrap();
        channel.resume().unwrap();
        once_and_leave(&channel);
    }
    assert_eq!(
        read_to_end(&mut idle),
        (Vec::new(), Ending::Fin),
        "the idle connection was closed"
    );
}

#[test]
fn a_stop_lets_calls_in_flight_end_and_a_kill_does_not() {
    let gate = Gate::new();
    let channel = start(Act::json("{}").gate_before_head(&gate));
    let mut stream = connect(&channel);
    stream.write_all(&chat(HELLO)).unwrap();
    assert!(gate.wait_reached_blocking(1, LIMIT));
    channel.stop().unwrap();
    gate.step();
    assert_eq!(read_response(&mut stream).1, b"{}");
    assert_eq!(read_to_end(&mut stream).1, Ending::Fin);

    channel.resume().unwrap();
    let mut stream = connect(&channel);
    stream.write_all(&chat(HELLO)).unwrap();
    assert!(gate.wait_reached_blocking(2, LIMIT));
    channel.kill().unwrap();
    assert_eq!(read_to_end(&mut stream), (Vec::new(), Ending::Rst));
    assert_eq!(
        channel.wait_ended_blocking(2, LIMIT).unwrap()[1].end,
        Some(End::Killed)
    );
}

#[test]
fn a_dropped_channel_frees_its_port() {
    let channel = start(Script::new());
    let address = channel.address();
    let _held = connect(&channel);
    drop(channel);
    let again = Channel::start_at(address, Script::new()).unwrap();
    assert_eq!(again.address(), address);
    assert_eq!(again.url(), format!("http://{address}"));
}

#[test]
fn requests_over_their_limits_are_refused() {
    let limits = Limits {
        head_bytes_max: 300,
        body_bytes_max: 10,
    };
    let script = || Script::new().limits(limits);
    let check = |request: &[u8], status: &str| {
        let (bytes, ending) = once(&start(script()), request);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {text}"
        );
        assert_eq!(ending, Ending::Fin);
    };
    check(
        b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 10\r\n\r\n0123456789",
        "404",
    );
    check(&post("/", "0123456789a"), "413");
    check(
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n67890\r\n",
        "413",
    );
    check(
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "413",
    );
    check(
        format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(400)).as_bytes(),
        "431",
    );
    check(b"not http\r\n\r\n", "400");
    check(
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "400",
    );
    check(
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "400",
    );
    check(b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "400");
    check(b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", "400");
    check(
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        "400",
    );
}

#[test]
fn a_large_body_over_the_limit_still_gets_its_answer() {
    let channel = start(Script::new().limits(Limits {
        body_bytes_max: 1000,
        ..Limits::default()
    }));
    let (bytes, ending) = once(&channel, &post("/", &"x".repeat(8_000_000)));
    assert!(bytes.starts_with(b"HTTP/1.1 413 "));
    assert_eq!(ending, Ending::Fin);
}

#[test]
fn a_client_that_waits_for_continue_gets_it() {
    let channel = start(Act::json("{}"));
    let mut stream = connect(&channel);
    stream
        .write_all(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .unwrap();
    assert_eq!(read_response(&mut stream).0, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let channel = start(Act::json("{}"));
    let (bytes, ending) = once(&channel, b"GET /v1/models HTTP/1.0\r\n\r\n");
    assert!(bytes.ends_with(b"\r\n\r\n{}"));
    assert_eq!(ending, Ending::Fin);
    let mut stream = connect(&channel);
    for _ in 0..2 {
        stream
            .write_all(b"GET /v1/models HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            .unwrap();
        assert_eq!(read_response(&mut stream).1, b"{}");
    }
}

#[test]
fn an_act_can_look_at_its_call() {
    let channel = start(Act::from_call(|seen| match seen.header("x-fault") {
        Some("reset") => Act::auto().cut_at_byte(5, Cut::Reset),
        _ => Act::auto(),
    }));
    let faulty = format!(
        "POST /v1/messages HTTP/1.1\r\nx-fault: reset\r\ncontent-length: {}\r\n\r\n{HELLO}",
        HELLO.len()
    );
    assert_eq!(
        once(&channel, faulty.as_bytes()),
        (b"HTTP/".to_vec(), Ending::Rst)
    );
    once_and_leave(&channel);
    let ends: Vec<_> = channel
        .wait_ended_blocking(2, LIMIT)
        .unwrap()
        .iter()
        .map(|seen| seen.end)
        .collect();
    assert_eq!(ends, [Some(End::Reset), Some(End::Complete)]);
}

#[test]
fn a_witness_is_told_of_each_answer_that_ended() {
    let (told, ends) = std::sync::mpsc::channel();
    let script = Script::new()
        .then(Act::json("{}"))
        .then(Act::json("0123456789").cut_at_body_byte(4, Cut::Reset))
        .on_end(move |seen| told.send((seen.index, seen.end, seen.sent_bytes)).unwrap());
    let channel = start(script);
    once(&channel, &chat(HELLO).repeat(2));
    let first = ends.recv_timeout(LIMIT).unwrap();
    assert_eq!((first.0, first.1), (0, Some(End::Complete)));
    let second = ends.recv_timeout(LIMIT).unwrap();
    assert_eq!((second.0, second.1), (1, Some(End::Reset)));
    assert!(second.2 > 4, "head and four bytes: {}", second.2);
}

//! Every misbehaviour, as the bytes and the ending that the client gets.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tieline_testkit::{Accept, Act, Auto, Channel, Cut, End, Framing, Gate, Step};

use crate::client::{
    Ending, HELLO, HELLO_STREAM, LIMIT, answer_to_chat, chat, connect, once, read_response, read_to_end,
    start, wire_bytes,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";

#[test]
fn a_reset_comes_after_exactly_the_bytes_asked_for() {
    for byte in [0, 1, 17, HEAD.len(), HEAD.len() + 3, HEAD.len() + 10] {
        let whole = format!("{HEAD}0123456789");
        let (bytes, ending) = answer_to_chat(Act::json("0123456789").cut_at_byte(byte, Cut::Reset));
        assert_eq!(
            (bytes.as_slice(), ending),
            (&whole.as_bytes()[..byte], Ending::Rst),
            "at {byte}"
        );
    }
}

#[test]
fn a_cut_in_the_body_counts_from_the_end_of_the_head() {
    let (bytes, ending) = answer_to_chat(Act::json("0123456789").cut_at_body_byte(4, Cut::Close));
    assert_eq!((bytes, ending), (format!("{HEAD}0123").into_bytes(), Ending::Fin));
}

#[test]
fn a_close_leaves_the_chunked_body_without_its_end() {
    let (bytes, ending) = answer_to_chat(Act::stream(["data: 1\n\n"]).close());
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(ending, Ending::Fin);
    assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n"), "{text}");
}

#[test]
fn a_whole_chunked_body_has_its_end() {
    let text = String::from_utf8(wire_bytes(Act::stream(["data: 1\n\n", "data: 2\n\n"]))).unwrap();
    assert!(
        text.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        "{text}"
    );
}

#[test]
fn a_refused_call_gets_no_byte() {
    assert_eq!(answer_to_chat(Act::refuse()), (Vec::new(), Ending::Rst));
}

#[test]
fn raw_bytes_go_out_as_they_are() {
    let act = Act::raw("HTTP/9.9 garbage\0\r\n\r\n").close();
    assert_eq!(
        answer_to_chat(act),
        (b"HTTP/9.9 garbage\0\r\n\r\n".to_vec(), Ending::Fin)
    );
}

#[test]
fn a_body_until_close_says_so_and_closes() {
    let head = Step::Head {
        status: 200,
        headers: Vec::new(),
        framing: Framing::UntilClose,
    };
    let (bytes, ending) = answer_to_chat(Act::steps(vec![head]).body("to the end"));
    assert_eq!(
        (bytes, ending),
        (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end".to_vec(),
            Ending::Fin
        )
    );
}

#[test]
fn headers_may_lie() {
    let act = Act::json("plain")
        .claim_gzip()
        .content_type("text/html")
        .header("Content-Length", "99")
        .close();
    let (bytes, ending) = answer_to_chat(act);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(ending, Ending::Fin);
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/html\r\nContent-Length: 99\r\n\r\nplain"
    );
}

#[test]
fn silence_lasts_until_the_client_leaves() {
    let channel = start(Act::json("0123456789").cut_at_body_byte(2, Cut::Silence));
    let mut stream = connect(&channel);
    stream.write_all(&chat(HELLO)).unwrap();
    let mut part = vec![0; HEAD.len() + 2];
    stream.read_exact(&mut part).unwrap();
    assert_eq!(part, format!("{HEAD}01").as_bytes());
    assert_eq!(channel.seen()[0].end, None);
    drop(stream);
    let seen = channel.wait_ended_blocking(1, LIMIT).unwrap();
    assert_eq!(
        (seen[0].end, seen[0].sent_bytes),
        (Some(End::ClientGone), HEAD.len() as u64 + 2)
    );
}

#[test]
fn a_client_that_leaves_before_the_head_is_seen_leaving() {
    let gate = Gate::new();
    let channel = start(Act::auto().gate_before_head(&gate));
    let mut stream = connect(&channel);
    stream.write_all(&chat(HELLO)).unwrap();
    assert!(gate.wait_reached_blocking(1, LIMIT));
    drop(stream);
    let seen = channel.wait_ended_blocking(1, LIMIT).unwrap();
    assert_eq!((seen[0].end, seen[0].sent_bytes), (Some(End::ClientGone), 0));
}

#[test]
fn a_gate_holds_the_next_frame_until_it_opens() {
    let gate = Gate::new();
    let channel = start(Act::stream(["one", "two", "three"]).gate_before_frame(1, &gate));
    let mut stream = connect(&channel);
    stream.write_all(&chat(HELLO)).unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"3\r\none\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        first.push(byte[0]);
    }
    assert!(gate.wait_reached_blocking(1, LIMIT));
    stream.set_nonblocking(true).unwrap();
    assert!(
        stream
            .read(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    );
    stream.set_nonblocking(false).unwrap();
    gate.open();
    let mut rest = vec![0; b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n".len()];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(rest, b"3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n");
}

#[test]
fn a_gate_lets_one_through_at_each_step() {
    let gate = Gate::new();
    let channel = start(Act::json("{}").gate_before_head(&gate));
    let mut streams = [connect(&channel), connect(&channel)];
    for stream in &mut streams {
        stream.write_all(&chat(HELLO)).unwrap();
    }
    assert!(gate.wait_reached_blocking(2, LIMIT));
    gate.step();
    channel.wait_ended_blocking(1, LIMIT).unwrap();
    assert_eq!(channel.seen().iter().filter(|seen| seen.end.is_some()).count(), 1);
    gate.step();
    let seen = channel.wait_ended_blocking(2, LIMIT).unwrap();
    assert!(seen.iter().all(|seen| seen.end == Some(End::Complete)));
}

#[test]
fn pauses_are_at_least_as_long_as_asked_for() {
    let pause = Duration::from_millis(30);
    let begin = Instant::now();
    wire_bytes(
        Act::json("0123456789")
            .wait_before_head(pause)
            .split_at_bytes(&[5, HEAD.len()], Some(pause)),
    );
    assert!(begin.elapsed() >= 3 * pause);
    let begin = Instant::now();
    let bytes = wire_bytes(Act::json("0123456789").drip(4, pause));
    assert!(begin.elapsed() >= 3 * pause);
    assert_eq!(bytes, format!("{HEAD}0123456789").into_bytes());
}

#[test]
fn faults_on_frames_change_that_frame_alone() {
    let frames = ["data: {\"a\":1}\n\n", "data: {\"b\":2}\n\n", "data: [DONE]\n\n"];
    let body = |act: Act| {
        let channel = start(act);
        let mut stream = connect(&channel);
        stream.write_all(&chat(HELLO)).unwrap();
        String::from_utf8(read_response(&mut stream).1).unwrap()
    };
    let act = || Act::stream(frames);
    assert_eq!(body(act()), frames.concat());
    assert_eq!(
        body(act().duplicate_frame(1)),
        [frames[0], frames[1], frames[1], frames[2]].concat()
    );
    assert_eq!(body(act().drop_frame(2)), frames[..2].concat());
    assert_eq!(
        body(act().malform_frame(0)),
        ["data: {\"a\":1\n\n", frames[1], frames[2]].concat()
    );
    assert_eq!(
        body(act().oversize_frame(1, 4)),
        [frames[0], "data: {\"b\":2,\"padding\":\"xxxx\"}\n\n", frames[2]].concat()
    );
    assert_eq!(
        body(act().oversize_frame(2, 3)),
        [frames[0], frames[1], ": xxx\n\n", frames[2]].concat()
    );
    assert_eq!(
        body(act().before_frame(3, Step::Frame("late".into()))),
        [&frames.concat(), "late"].concat()
    );
}

#[test]
fn half_a_frame_ends_the_answer_in_good_framing() {
    let (bytes, ending) =
        answer_to_chat(Act::stream(["data: 1\n\n", "data: 23456\n\n"]).half_frame(1, Cut::Close));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(ending, Ending::Fin);
    assert!(
        text.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n6\r\ndata: \r\n"),
        "{text}"
    );
}

#[test]
fn an_oversized_event_is_as_large_as_asked_for() {
    let body = Act::from(Auto::default()).oversize_frame(1, 3_000_000);
    assert!(wire_bytes(body).len() > 3_000_000);
}

#[test]
fn a_fault_on_a_frame_that_is_not_there_is_an_error_and_not_left_out() {
    for act in [
        Act::stream(["one"]).half_frame(1, Cut::Reset),
        Act::stream(["one"]).before_frame(2, Step::Reset),
        Act::auto().drop_frame(99),
    ] {
        let text = String::from_utf8(wire_bytes(act)).unwrap();
        assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
        assert!(text.contains("the script asks for frame"), "{text}");
    }
}

#[test]
fn faults_lie_over_answers_that_are_made_on_the_spot() {
    let whole = wire_bytes(Act::auto());
    let (bytes, ending) = once(
        &start(Act::auto().cut_at_byte(300, Cut::Reset)),
        &chat(HELLO_STREAM),
    );
    assert_eq!((bytes.as_slice(), ending), (&whole[..300], Ending::Rst));
    let relabelled = wire_bytes(Act::auto().with_status(503).header("retry-after", "7"));
    let text = String::from_utf8(relabelled).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
    assert!(text.contains("retry-after: 7\r\n"), "{text}");
}

#[test]
fn an_accepted_connection_may_be_reset_or_ignored() {
    let channel = start(Act::auto());
    channel.set_accept(Accept::Reset);
    assert_eq!(read_to_end(&mut connect(&channel)), (Vec::new(), Ending::Rst));
    channel.set_accept(Accept::Silence);
    let mut ignored = connect(&channel);
    ignored.write_all(&chat(HELLO)).unwrap();
    assert!(channel.wait_accepted_blocking(2, LIMIT));
    channel.set_accept(Accept::Serve);
    assert!(once_ok(&channel).starts_with("HTTP/1.1 200"));
    assert_eq!(channel.seen_count(), 1);
}

fn once_ok(channel: &Channel) -> String {
    let mut stream = connect(channel);
    stream.write_all(&chat(HELLO)).unwrap();
    read_response(&mut stream).0
}

#[test]
fn a_pipelined_request_is_answered_after_the_one_before() {
    let gate = Gate::new();
    let channel = start(tieline_testkit::Script::new().then(Act::json("1").gate_before_head(&gate)));
    channel.push(Act::json("2"));
    let mut stream = connect(&channel);
    stream.write_all(&[chat(HELLO), chat(HELLO)].concat()).unwrap();
    assert!(gate.wait_reached_blocking(1, LIMIT));
    gate.open();
    assert_eq!(read_response(&mut stream).1, b"1");
    assert_eq!(read_response(&mut stream).1, b"2");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_writes_are_split_the_bytes_are_the_same(
        points in prop::collection::vec(0_usize..2_000, 0..20),
        drip in prop::option::of(1_usize..50),
    ) {
        let whole = wire_bytes(Act::auto());
        let mut act = Act::auto().split_at_bytes(&points, None);
        if let Some(bytes) = drip {
            act = act.drip(bytes, Duration::ZERO);
        }
        prop_assert_eq!(wire_bytes(act), whole);
    }

    #[test]
    fn however_a_body_is_cut_its_pieces_add_up(
        body in prop::collection::vec(any::<u8>(), 0..500),
        points in prop::collection::vec(0_usize..600, 0..20),
    ) {
        for base in [Act::status(200), Act::stream::<Vec<u8>>([])] {
            let channel = start(base.pieces(body.clone(), &points, None));
            let mut stream = connect(&channel);
            stream.write_all(&chat(HELLO)).unwrap();
            prop_assert_eq!(&read_response(&mut stream).1, &body);
        }
    }

    #[test]
    fn a_cut_anywhere_gives_that_much_and_no_more(byte in 0_usize..2_500, is_reset in any::<bool>()) {
        let whole = wire_bytes(Act::auto());
        let (cut, wanted) = if is_reset { (Cut::Reset, Ending::Rst) } else { (Cut::Close, Ending::Fin) };
        let channel = start(Act::auto().cut_at_byte(byte, cut));
        let (bytes, ending) = once(&channel, &chat(HELLO_STREAM));
        prop_assert_eq!(bytes.as_slice(), &whole[..byte.min(whole.len())]);
        prop_assert_eq!(ending, wanted);
        let seen = channel.wait_ended_blocking(1, LIMIT).unwrap();
        prop_assert_eq!(seen[0].sent_bytes, bytes.len() as u64);
    }
}

//! Framing of server-sent events: any split gives the same frames, and the frames are the stream.

use bytes::Bytes;
use proptest::prelude::*;
use tieline_wire::frame::sse::{Cut, EVENT_BYTES_MAX, Frames, event};

/// The frames of a stream that arrives in these chunks, and the rest.
fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut frames = Frames::default();
    let mut list = Vec::new();
    for chunk in chunks {
        frames.feed(chunk, |cut| {
            list.push(match cut {
                Cut::Joined(frame) => frame.to_vec(),
                Cut::Oversize => panic!("oversize"),
                Cut::Within(range) => chunk[range].to_vec(),
            });
            true
        });
    }
    let rest = frames.rest().to_vec();
    (list, rest)
}

/// What each event says.
fn read(stream: &str) -> Vec<(Option<String>, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (frames, _) = frames([stream.as_bytes()]);
    frames
        .iter()
        .enumerate()
        .filter_map(|(i, f)| event(f, i == 0).map(|e| (e.name.map(text), text(&e.data))))
        .collect()
}

#[test]
fn events_are_read_as_the_specification_says() {
    let data = |list: &[&str]| list.iter().map(|d| (None, (*d).to_owned())).collect::<Vec<_>>();
    assert_eq!(read("data: a\n\ndata:b\n\n"), data(&["a", "b"]));
    assert_eq!(
        read("data: a\r\n\r\ndata: b\r\rdata: c\n\n"),
        data(&["a", "b", "c"])
    );
    assert_eq!(read("\u{feff}data: a\n\n"), data(&["a"]));
    assert_eq!(read("data: a\ndata: b\ndata\n\n"), data(&["a\nb\n"]));
    assert_eq!(read(": comment\n\n:\n\ndata:  a\n\n"), data(&[" a"]));
    assert_eq!(
        read("id: 1\nretry: 5\ndata: a\nother: x\ndatax: y\n\n"),
        data(&["a"])
    );
    assert_eq!(read("\n\n\ndata: a\n\n\n"), data(&["a"]));
    assert_eq!(read("data: a\n\ndata: not ended\n"), data(&["a"]));
    assert_eq!(read("event: x\n\n"), data(&[]));
    let named = |name: &str, data: &str| (Some(name.to_owned()), data.to_owned());
    assert_eq!(read("event: x\ndata: a\n\n"), [named("x", "a")]);
    assert_eq!(read("data: a\r\nevent:x\r\n\r\n"), [named("x", "a")]);
    assert_eq!(read("event: x\nevent:\ndata: a\n\n"), data(&["a"]));
}

#[test]
fn an_event_over_the_limit_is_given_up() {
    let mut frames = Frames::default();
    let piece = Bytes::from(vec![b'x'; 1024 * 1024]);
    let mut oversize = 0;
    for _ in 0..=EVENT_BYTES_MAX / piece.len() {
        frames.feed(&piece, |cut| {
            assert_eq!(cut, Cut::Oversize);
            oversize += 1;
            false
        });
    }
    assert_eq!(oversize, 1);
    assert!(frames.rest().len() <= EVENT_BYTES_MAX);
}

fn stream() -> impl Strategy<Value = String> {
    "(data: ?|event: |:|é😀|[a-c]{1,4}|\n|\r|\r\n|\n\n|\r\n\r\n|\u{feff}){0,40}"
}

/// Cuts `bytes` at these places.
pub(crate) fn split<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = at.iter().map(|i| i.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_split_gives_the_same_stream_and_the_same_events(
        stream in stream(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = stream.as_bytes();
        let (whole, rest) = frames([bytes]);
        let joined: Vec<u8> = whole.concat().into_iter().chain(rest).collect();
        prop_assert_eq!(&joined, bytes);
        let events = |list: &[Vec<u8>]| {
            list.iter().enumerate()
                .filter_map(|(i, f)| event(f, i == 0).map(|e| (e.name.map(<[u8]>::to_vec), e.data.to_vec())))
                .collect::<Vec<_>>()
        };
        for chunks in [split(bytes, &at), bytes.chunks(1).collect()] {
            let (parts, rest) = frames(chunks);
            prop_assert_eq!(events(&parts), events(&whole));
            let joined: Vec<u8> = parts.concat().into_iter().chain(rest).collect();
            prop_assert_eq!(&joined, bytes);
        }
    }
}

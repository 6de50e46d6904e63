//! Entry points for fuzzers and for the replay of their corpora: each takes any bytes, and holds if it returns. What is
//! asserted beyond "no panic" is a law of the parser, not an expectation about the input.

use bytes::Bytes;
use tieline_core::Dialect;

use crate::exchange::{Far, prepare};
use crate::frame::sse::{self, Cut, Frames};
use crate::pass::{self, Out, Pass};
use crate::provider::Provider;
use crate::{classify, json};

const DIALECTS: [Dialect; 2] = [Dialect::AnthropicMessages, Dialect::OpenaiChat];

/// Request bodies.
pub fn fuzz_scan(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for dialect in DIALECTS {
        if let Ok(head) = json::scan(dialect, &body) {
            let span = body.get(head.model_span.clone()).unwrap_or_default();
            debug_assert!(
                span.starts_with(b"\"") && span.ends_with(b"\""),
                "the span of model is a string"
            );
        }
    }
    let _ = json::check(data);
}

/// Server-sent events; the first byte says how the rest is split.
pub fn fuzz_sse(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    let mut frames = Frames::default();
    let mut len = 0;
    for chunk in stream.chunks(usize::from(*first).max(1)) {
        frames.feed(chunk, |cut| {
            match cut {
                Cut::Joined(frame) => {
                    let _ = sse::event(&frame, len == 0);
                    len += frame.len();
                }
                Cut::Oversize => {}
                Cut::Within(range) => {
                    let _ = sse::event(chunk.get(range.clone()).unwrap_or_default(), len == 0);
                    len += range.len();
                }
            }
            true
        });
    }
    debug_assert_eq!(len + frames.rest().len(), stream.len(), "frames are the stream");
}

/// Streams on the verbatim path; the first byte says how the rest is split.
pub fn fuzz_tap(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    for dialect in DIALECTS {
        let mut pass = Pass::new(dialect, false);
        let mut out = Out::default();
        for chunk in stream.chunks(usize::from(*first).max(1)) {
            pass.feed(Bytes::copy_from_slice(chunk), &mut out);
        }
        pass.end(&mut out);
        let passed: usize = out.bytes.iter().map(Bytes::len).sum();
        debug_assert!(passed <= stream.len(), "nothing is added");
        debug_assert!(
            out.complete || out.fault.is_some(),
            "a stream that is not complete ends with a fault"
        );
    }
}

/// Whole answers.
pub fn fuzz_buffered(data: &[u8]) {
    for dialect in DIALECTS {
        let _ = pass::buffered(dialect, data);
    }
}

/// Error bodies; the first two bytes are the status.
pub fn fuzz_classify(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else {
        return;
    };
    let text = std::str::from_utf8(body).ok();
    for provider in Provider::ALL {
        let _ = classify::classify(*provider, u16::from_be_bytes(*status), &|_| text, body);
    }
}

/// Streams on their way between dialects; the first byte says how the rest is split.
pub fn fuzz_exchange(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    let request = Bytes::from_static(
        br#"{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"a"}]}"#,
    );
    for [near, far] in [DIALECTS, [Dialect::OpenaiChat, Dialect::AnthropicMessages]] {
        let provider = Provider::OpenaiCompatible;
        let far = Far {
            dialect: far,
            model_name: "f",
            output_tokens_injected: None,
            provider,
        };
        let prepared = json::scan(near, &request).and_then(|head| prepare(near, &request, &head, &far));
        let Ok((_, mut exchange)) = prepared else { continue };
        let mut out = Out::default();
        for chunk in stream.chunks(usize::from(*first).max(1)) {
            exchange.feed(Bytes::copy_from_slice(chunk), &mut out);
        }
        exchange.end(&mut out);
        debug_assert!(
            out.complete || out.fault.is_some(),
            "a stream that is not complete ends with a fault"
        );
    }
}

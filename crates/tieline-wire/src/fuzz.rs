//! Entry points for fuzzers and for the replay of their corpora: each takes any bytes, and holds if it returns. What is
//! asserted beyond "no panic" is a law of the parser, not an expectation about the input.

use bytes::Bytes;
use tieline_core::{Dialect, Fault, FaultKind, Phase};

use crate::exchange::{Far, prepare};
use crate::frame::sse::{self, Cut, Frames};
use crate::pass::{self, Out, Pass};
use crate::provider::Provider;
use crate::resume::{self, Delivered, Method};
use crate::{ChannelKind, classify, json};

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
        debug_assert!(
            passed <= stream.len() + END_BYTES_MAX,
            "nothing is added but a terminator"
        );
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

/// Error replies; the first two bytes are the status, the rest is the body and the value of every header.
pub fn fuzz_classify(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else {
        return;
    };
    let status = u16::from_be_bytes(*status);
    let text = std::str::from_utf8(body).ok();
    for channel in ChannelKind::ALL {
        for phase in [Phase::Connect, Phase::Head, Phase::Body] {
            for status in [None, Some(status)] {
                let fault = classify(*channel, phase, status, &|_| text, body);
                check_fault(&fault, body);
            }
        }
    }
}

/// The laws of faults, whatever the bytes.
fn check_fault(fault: &Fault, body: &[u8]) {
    let is_trouble = fault.status.is_some_and(|status| (500..=599).contains(&status));
    debug_assert!(
        !(is_trouble && matches!(fault.kind, FaultKind::Content | FaultKind::Legal)),
        "a server in trouble judges no content and no party"
    );
    debug_assert!(
        !(fault.kind.is_callers() && fault.kind.hurts()),
        "what the caller did is not held against the channel"
    );
    debug_assert!(
        fault.feature.is_none() || fault.kind == FaultKind::Incapable,
        "only who is incapable names a feature"
    );
    debug_assert!(
        fault.retry_after_ms.is_none_or(|ms| ms <= 31 * 86_400_000),
        "a wait is bounded"
    );
    let said = String::from_utf8_lossy(body).to_lowercase();
    let is_said = LEGAL_WORDS.iter().any(|word| said.contains(word));
    // An escape in JSON may spell any of them.
    let is_spelt = is_said || said.contains("\\u");
    debug_assert!(
        fault.kind != FaultKind::Legal || fault.status == Some(451) || is_spelt,
        "a legal block has its evidence"
    );
}

/// All that proves a legal block beside its own status.
const LEGAL_WORDS: [&str; 6] = [
    "country, region, or territory",
    "embargo",
    "export control",
    "sanction",
    "unsupported countries, regions, or territories",
    "unsupported_country_region_territory",
];

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

/// Streams that go on with an answer; the first byte says how the rest is split. Half of the bytes come before the cut.
pub fn fuzz_resume(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else {
        return;
    };
    let request = Bytes::from_static(
        br#"{"model":"m","max_tokens":1,"stream":true,"messages":[{"role":"user","content":"a"}]}"#,
    );
    let (before, after) = stream.split_at(stream.len() / 2);
    for near in DIALECTS {
        for far in DIALECTS {
            for method in [Method::Prefill, Method::Repeat, Method::Instruct] {
                let Ok(head) = json::scan(near, &request) else {
                    return;
                };
                let mut delivered = Delivered::new(near, &head);
                let mut out = Out::default();
                out.bytes.push(Bytes::copy_from_slice(before));
                delivered.note(&out);
                out.clear();
                let far = Far {
                    dialect: far,
                    model_name: "f",
                    output_tokens_injected: None,
                    provider: Provider::OpenaiCompatible,
                };
                let prepared = resume::prepare(method, &request, &head, &far, &mut delivered, None);
                let Ok((outgoing, mut continuation)) = prepared else {
                    continue;
                };
                debug_assert!(
                    json::check(&outgoing.body.concat()).is_ok(),
                    "the request is still JSON"
                );
                for chunk in after.chunks(usize::from(*first).max(1)) {
                    continuation.feed(&Bytes::copy_from_slice(chunk), &delivered, &mut out);
                    delivered.note(&out);
                    out.bytes.clear();
                }
                continuation.end(&delivered, &mut out);
                debug_assert!(
                    out.complete || out.fault.is_some(),
                    "a stream that is not complete ends with a fault"
                );
            }
        }
    }
}

/// A blank line, and the longer of the two terminators: `event: message_stop` with its data.
const END_BYTES_MAX: usize = 2 + 51;

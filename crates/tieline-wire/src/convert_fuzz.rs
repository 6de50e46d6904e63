//! Fuzz entry points of the path between dialects. Each takes arbitrary bytes, must not panic, and checks what must hold
//! of any output: what was written can be read again, and a complete stream ends as its dialect requires.

use tieline_core::Dialect;

use crate::convert::{BridgeOut, Context, StreamBridge, request, response};
use crate::dialect;
use crate::model::{Losses, Names};

const WAYS: [(Dialect, Dialect); 4] = [
    (Dialect::OpenaiChat, Dialect::AnthropicMessages),
    (Dialect::AnthropicMessages, Dialect::OpenaiChat),
    (Dialect::OpenaiChat, Dialect::OpenaiChat),
    (Dialect::AnthropicMessages, Dialect::AnthropicMessages),
];

/// A request body in either dialect, for either.
pub fn fuzz_convert_request(data: &[u8]) {
    for (near, far) in WAYS {
        if let Ok((body, _, _)) = request(near, far, data, "far-model") {
            let mut losses = Losses::default();
            let again = dialect::read_ask(far, &body, &mut losses);
            assert!(again.is_ok(), "what was written cannot be read: {again:?}");
        }
    }
}

/// An answer body in either dialect, for either.
pub fn fuzz_convert_response(data: &[u8]) {
    for (near, far) in WAYS {
        if let Ok(converted) = response(&context(near, far), data) {
            let mut losses = Losses::default();
            let again = dialect::read_answer(near, &converted.body, &mut losses);
            assert!(again.is_ok(), "what was written cannot be read: {again:?}");
        }
    }
}

/// A stream in either dialect: the data of one event on each line.
pub fn fuzz_bridge(data: &[u8]) {
    for (near, far) in WAYS {
        let mut bridge = StreamBridge::new(&context(near, far));
        let mut out = BridgeOut::default();
        for line in data.split(|byte| *byte == b'\n') {
            bridge.feed_event(None, line, &mut out);
        }
        bridge.end(&mut out);
        assert!(
            out.complete != out.fault.is_some(),
            "a stream is either whole or at fault"
        );
        let end: &[u8] = match near {
            Dialect::OpenaiChat => b"data: [DONE]\n\n",
            Dialect::AnthropicMessages => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        };
        assert_eq!(
            out.complete,
            out.bytes.ends_with(end),
            "the terminator is written once, at the end"
        );
    }
}

fn context(near: Dialect, far: Dialect) -> Context {
    Context {
        created_unix_s: 0,
        far,
        include_usage: true,
        model_asked: "near-model".to_owned(),
        model_shown: "far-model".to_owned(),
        names: Names::default(),
        near,
        stream: true,
    }
}

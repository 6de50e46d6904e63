//! Requests and answers of fixed bytes.

use bytes::Bytes;

/// Content events of a streamed answer.
pub const CHUNKS: usize = 50;

/// A chat request of OpenAI's dialect of about `bytes` bytes, for `pool`.
pub fn openai_request(pool: &str, bytes: usize, is_stream: bool) -> Bytes {
    let stream = if is_stream { r#","stream":true"# } else { "" };
    let open =
        format!(r#"{{"model":"{pool}"{stream},"max_tokens":256,"messages":[{{"role":"user","content":""#);
    let close = r#""}]}"#;
    let sentence = "What holds two grids together? It is \\\"tied\\\" by a line.\\n";
    let room = bytes.saturating_sub(open.len() + close.len());
    let content = sentence.repeat(room / sentence.len());
    format!("{open}{content}{close}").into()
}

/// A whole answer of OpenAI's dialect of about 1 KB.
pub fn openai_answer() -> Bytes {
    let text = "A tie line joins two grids so that each can carry the other. ".repeat(12);
    let usage = r#"{"prompt_tokens":256,"completion_tokens":180,"total_tokens":436}"#;
    let choice = format!(
        r#"{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"logprobs":null,"finish_reason":"stop"}}"#
    );
    let head = r#""id":"chatcmpl-1","object":"chat.completion","created":1781284860,"model":"far-m""#;
    format!(r#"{{{head},"choices":[{choice}],"usage":{usage}}}"#).into()
}

/// A whole answer of Anthropic's dialect of about 1 KB.
pub fn anthropic_answer() -> Bytes {
    let text = "A tie line joins two grids so that each can carry the other. ".repeat(12);
    let head = r#""id":"msg_1","type":"message","role":"assistant","model":"far-n""#;
    let tail =
        r#""stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":256,"output_tokens":180}"#;
    format!(r#"{{{head},"content":[{{"type":"text","text":"{text}"}}],{tail}}}"#).into()
}

/// A streamed answer of OpenAI's dialect, one piece for each read of a channel's connection: a role event, [`CHUNKS`]
/// content events, and the end with usage.
pub fn openai_stream() -> Vec<Bytes> {
    let event = |choices: &str, usage: &str| {
        let head =
            r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1781284860,"model":"far-m""#;
        format!("data: {{{head},\"choices\":[{choices}],\"usage\":{usage}}}\n\n")
    };
    let delta = |delta: &str, finish: &str| {
        let choice = format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#);
        event(&choice, "null")
    };
    let role = delta(r#"{"role":"assistant","content":""}"#, "null");
    let content = (0..CHUNKS).map(|n| delta(&format!(r#"{{"content":" token {n}"}}"#), "null"));
    let usage = r#"{"prompt_tokens":256,"completion_tokens":50,"total_tokens":306}"#;
    let end = delta("{}", "\"stop\"") + &event("", usage) + "data: [DONE]\n\n";
    std::iter::once(role)
        .chain(content)
        .chain([end])
        .map(Bytes::from)
        .collect()
}

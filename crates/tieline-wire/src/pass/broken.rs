//! Events whose data is no JSON: whether a piece of the answer may stand in one, or begin there.
//!
//! It errs on the side of content: what begins as an event of the dialect does, and says nothing else of itself, may have
//! been one. Text that a proxy threw in does not begin so.

use tieline_core::Dialect;

use crate::frame::sse::Event;

/// What may be missed: no application is lost without it.
const ANTHROPIC_SPARE: [&[u8]; 4] = [b"ping", b"content_block_stop", b"message_delta", b"message_stop"];

/// Parts of OpenAI's events that have no content: the usage, and the end of a choice.
const OPENAI_SPARE: [&[u8]; 4] = [
    br#""choices":[]"#,
    br#""choices": []"#,
    br#""delta":{}"#,
    br#""delta": {}"#,
];

pub(super) fn may_hold_content(dialect: Dialect, event: &Event<'_>) -> bool {
    let data = event.data.trim_ascii();
    // An object that has begun to name its members.
    let is_begun = data
        .strip_prefix(b"{")
        .is_some_and(|rest| rest.trim_ascii_start().first() == Some(&b'"'));
    match dialect {
        Dialect::AnthropicMessages => match event.name {
            Some(name) if ANTHROPIC_SPARE.contains(&name) => false,
            Some(b"content_block_delta" | b"content_block_start" | b"message_start") => true,
            Some(_) => false,
            None => is_begun && !ANTHROPIC_SPARE.iter().any(|word| holds(data, word)),
        },
        Dialect::OpenaiChat => is_begun && !OPENAI_SPARE.iter().any(|part| holds(data, part)),
    }
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(data, part).is_some()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn check(dialect: Dialect, name: Option<&str>, data: &str, expected: bool) {
        let event = Event {
            data: Cow::Borrowed(data.as_bytes()),
            name: name.map(str::as_bytes),
        };
        assert_eq!(may_hold_content(dialect, &event), expected, "{name:?} {data}");
    }

    #[test]
    fn what_may_be_a_piece_of_the_answer_is_not_taken_for_noise() {
        for (data, expected) in [
            ("", false),
            ("proxy: timed out", false),
            ("<html>", false),
            ("{oops", false),
            (r#"{"choices":[{"index":0,"delta":{"content":"Hel"#, true),
            (r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]"#, true),
            (r#"{"id":"chatcmpl-1","obj"#, true),
            (r#"{"choices":[],"usage":{"prompt_tokens":1"#, false),
            (
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop""#,
                false,
            ),
        ] {
            check(Dialect::OpenaiChat, None, data, expected);
        }
        for (name, data, expected) in [
            (Some("ping"), r#"{"type":"pi"#, false),
            (Some("content_block_delta"), r#"{"type":"#, true),
            (Some("content_block_start"), "{", true),
            (Some("message_start"), "", true),
            (Some("message_delta"), r#"{"type":"message_del"#, false),
            (Some("vendor"), r#"{"a"#, false),
            (None, r#"{"type":"content_block_delta""#, true),
            (None, r#"{"type":"message_stop""#, false),
            (None, "not JSON", false),
        ] {
            check(Dialect::AnthropicMessages, name, data, expected);
        }
    }
}

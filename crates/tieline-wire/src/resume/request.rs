//! The request for the rest of an answer: the request as the channel would get it anew, with turns at its end.

use tieline_core::{Code, Dialect, Feature, FeatureSet, Problem};

use super::Method;
use super::delivered::Delivered;
use crate::exchange::{Far, Outgoing};
use crate::json::{Bad, Cursor, Edits, joined, quote_into};
use crate::provider::Provider;

/// What the user's turn says where the model is asked to go on.
const INSTRUCTION: &str = "Your answer was cut off. Go on exactly where it ends, even within a word. \
                           Repeat nothing of it, do not begin anew, and say nothing about this.";

/// How a server is told that the last turn is to be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// vLLM and SGLang: `continue_final_message` in place of `add_generation_prompt`.
    ContinueFinal,
    /// The turn alone says it: Anthropic, llama.cpp's server.
    Plain,
    /// Mistral: `prefix` in the turn.
    Prefix,
}

impl Form {
    const fn of(far: &Far<'_>) -> Self {
        match (far.provider, far.dialect) {
            (Provider::Mistral, Dialect::OpenaiChat) => Self::Prefix,
            // An operator who says of another server that it takes a prefill speaks of SGLang or its like.
            (Provider::OpenaiCompatible | Provider::Vllm, Dialect::OpenaiChat) => Self::ContinueFinal,
            _ => Self::Plain,
        }
    }
}

/// Appends the turns to a request in the channel's dialect, and lowers its limit of output tokens.
pub(super) fn extend(
    method: Method,
    far: &Far<'_>,
    features: FeatureSet,
    delivered: &Delivered,
    outgoing: &mut Outgoing,
) -> Result<(), Problem> {
    let body = joined(&outgoing.body);
    let Ok(found) = Found::read(&body) else {
        return Err(impossible());
    };
    let Some(end) = found.messages_end else {
        return Err(impossible());
    };
    let form = Form::of(far);
    let mut edits = Edits::default();
    edits.replace(end..end, turns(method, form, found.is_empty, delivered.sent()));
    if (method, form) == (Method::Prefill, Form::ContinueFinal) {
        let flags = b"\"continue_final_message\":true,\"add_generation_prompt\":false,".as_slice();
        edits.replace(found.open_at..found.open_at, flags);
    }
    let thinks = features.contains(Feature::Thinking) || features.contains(Feature::Effort);
    for (span, limit) in found.limits.into_iter().flatten().filter(|_| !thinks) {
        let rest = limit.saturating_sub(delivered.contents()).max(1);
        edits.replace(span, rest.to_string());
    }
    (outgoing.body, outgoing.body_len) = edits.apply(&body);
    Ok(())
}

/// What stands where in the request.
#[derive(Default)]
struct Found {
    /// `max_tokens` and `max_completion_tokens`.
    limits: [Option<(std::ops::Range<usize>, u64)>; 2],
    /// Where the bracket stands that closes `messages`.
    messages_end: Option<usize>,
    is_empty: bool,
    /// Right after the brace that opens the document.
    open_at: usize,
}

impl Found {
    fn read(body: &[u8]) -> Result<Self, Bad> {
        let mut cursor = Cursor::new(body);
        cursor.peek();
        let mut found = Self {
            open_at: cursor.at() + 1,
            ..Self::default()
        };
        cursor.object(|cursor, key| {
            let [tokens, completion_tokens] = &mut found.limits;
            if key.is("messages") && cursor.peek() == Some(b'[') {
                found.is_empty = true;
                cursor.array(|cursor| {
                    found.is_empty = false;
                    cursor.skip()
                })?;
                found.messages_end = cursor.at().checked_sub(1);
            } else if key.is("max_tokens") {
                *tokens = limit(cursor)?;
            } else if key.is("max_completion_tokens") {
                *completion_tokens = limit(cursor)?;
            } else {
                cursor.skip()?;
            }
            Ok(())
        })?;
        cursor.end()?;
        Ok(found)
    }
}

/// The span and the value of a limit; `None` if it is none.
fn limit(cursor: &mut Cursor<'_>) -> Result<Option<(std::ops::Range<usize>, u64)>, Bad> {
    cursor.peek();
    let start = cursor.at();
    let count = cursor.count_or_skip()?;
    Ok(count
        .filter(|count| *count > 0)
        .map(|count| (start..cursor.at(), count)))
}

fn turns(method: Method, form: Form, is_empty: bool, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8 + 256);
    if !is_empty {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":");
    quote_into(text, &mut out);
    match (method, form) {
        (Method::Prefill, Form::Prefix) => out.extend_from_slice(b",\"prefix\":true}"),
        (Method::Instruct, _) => {
            out.extend_from_slice(b"},{\"role\":\"user\",\"content\":");
            quote_into(INSTRUCTION, &mut out);
            out.push(b'}');
        }
        (Method::Prefill | Method::Repeat, _) => out.push(b'}'),
    }
    out
}

fn impossible() -> Problem {
    let says = "The answer cannot be continued: `messages` of the request is no list.";
    Problem::new(Code::TranslationImpossible, says)
}

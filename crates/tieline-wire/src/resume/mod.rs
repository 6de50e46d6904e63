//! Going on with an answer that broke off: what the caller has ([`Delivered`]), the request that asks another channel for
//! the rest ([`prepare`]), and the reader of that channel's stream, which writes only what is new ([`Continuation`]).
//!
//! Contract. Only text is continued: never after a call, thinking, a refusal or structured output, which another model
//! would begin anew and the caller would have twice ([`Delivered::may_resume`]). The caller sees one stream: the first id
//! and `model`, one start, one end, blocks numbered on. What repeats delivered text is not written again. A continuation
//! that must repeat and does not is abandoned before a byte of it is written. What leaves after the seam is written from
//! canonical events, so that fields which only the far dialect has are lost there, and reported.
//!
//! Bounds: at most [`DELIVERED_BYTES_MAX`] of text are kept, of calls whose pool allows it, for as long as the call lasts.

mod continuation;
mod delivered;
mod request;
mod seam;

use bytes::Bytes;
use serde::Deserialize;
pub use tieline_core::Method;
use tieline_core::{Code, Dialect, Problem};

pub use self::continuation::{Announce, Continuation, Splice};
pub use self::delivered::{Bar, DELIVERED_BYTES_MAX, Delivered};
#[doc(hidden)]
pub use self::seam::fuzz_seam;
use crate::exchange::{self, Far, Outgoing};
use crate::json::Head;
use crate::provider::Provider;

/// Whether the model at this channel is known to go on with an assistant's turn that the request ends with. What is not
/// known is no: a model that answers anew would say the beginning twice.
pub fn accepts_prefill(far: &Far<'_>) -> bool {
    match (far.provider, far.dialect) {
        // Claude up to 4.5; from 4.6 on, 400 "This model does not support assistant message prefill."
        (Provider::Anthropic, Dialect::AnthropicMessages) => {
            claude_version(far.model_name).is_some_and(|version| version <= (4, 5))
        }
        (Provider::Llamacpp | Provider::Mistral | Provider::Vllm, Dialect::OpenaiChat) => true,
        _ => false,
    }
}

/// Whether the caller asks for the most likely answer, so that the same request has, as far as servers can, the same.
pub fn is_deterministic(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Sampling {
        temperature: Option<f64>,
    }
    serde_json::from_slice(body).is_ok_and(|s: Sampling| s.temperature == Some(0.0))
}

/// Prepares the attempt that continues an answer on the channel `far`, as [`exchange::prepare`] does a first one. The
/// caller's `body` was scanned as `head`. Marks that `delivered` notes from here on are those of the new attempt.
///
/// Of the caller's limit of output tokens as many are left out as events of text were delivered, for an event has at least
/// one token: the rest is never cut short by that, and the whole can be longer than the limit by what came several to an
/// event. The limit stays as it is where the answer is repeated from its beginning, and where the model thinks within it.
///
/// # Errors
/// As [`exchange::prepare`]; `TranslationImpossible` also where the method does not suit the request, or the answer must
/// not be continued.
pub fn prepare(
    method: Method,
    body: &Bytes,
    head: &Head,
    far: &Far<'_>,
    delivered: &mut Delivered,
    announce: Option<Announce<'_>>,
) -> Result<(Outgoing, Continuation), Problem> {
    let refuse = |why: &str| {
        let says = format!("The answer cannot be continued: {why}.");
        Err(Problem::new(Code::TranslationImpossible, says))
    };
    if let Err(bar) = delivered.may_resume() {
        return refuse(bar.name());
    }
    if !method.suits(head.features) {
        return refuse("the method does not suit the request");
    }
    let (mut outgoing, exchange) = exchange::prepare(delivered.near(), body, head, far)?;
    if method != Method::Repeat && !delivered.sent().is_empty() {
        request::extend(method, far, head.features, delivered, &mut outgoing)?;
    }
    delivered.begin_attempt();
    let echoes = method == Method::Prefill && far.provider == Provider::Mistral;
    let continuation = Continuation::new(method, echoes, exchange.into_names(), far, head, delivered);
    Ok((outgoing, continuation.announcing(announce)))
}

/// Major and minor version in a name of Anthropic's: `claude-3-5-sonnet-20241022`, `claude-sonnet-4-20250514`. Numbers of
/// more than two digits are dates.
fn claude_version(name: &str) -> Option<(u8, u8)> {
    let rest = name.strip_prefix("claude-")?;
    let is_number = |word: &&str| word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
    let mut words = rest.split('-').skip_while(|word| !is_number(word));
    let major = words.next()?.parse().ok()?;
    let minor = words.next().filter(is_number).and_then(|word| word.parse().ok());
    Some((major, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_a_prefill_is_known() {
        use Dialect::{AnthropicMessages, OpenaiChat};
        for (provider, dialect, model_name, expected) in [
            (
                Provider::Anthropic,
                AnthropicMessages,
                "claude-3-5-sonnet-20241022",
                true,
            ),
            (
                Provider::Anthropic,
                AnthropicMessages,
                "claude-3-haiku-20240307",
                true,
            ),
            (
                Provider::Anthropic,
                AnthropicMessages,
                "claude-sonnet-4-20250514",
                true,
            ),
            (Provider::Anthropic, AnthropicMessages, "claude-opus-4-1", true),
            (
                Provider::Anthropic,
                AnthropicMessages,
                "claude-haiku-4-5-20251001",
                true,
            ),
            (Provider::Anthropic, AnthropicMessages, "claude-opus-4-6", false),
            (Provider::Anthropic, AnthropicMessages, "claude-sonnet-5", false),
            (Provider::Anthropic, AnthropicMessages, "claude-mythos", false),
            (Provider::Anthropic, AnthropicMessages, "sonnet", false),
            (
                Provider::AnthropicCompatible,
                AnthropicMessages,
                "claude-3-haiku-20240307",
                false,
            ),
            (Provider::Vllm, OpenaiChat, "qwen", true),
            (Provider::Vllm, AnthropicMessages, "qwen", false),
            (Provider::Llamacpp, OpenaiChat, "qwen", true),
            (Provider::Mistral, OpenaiChat, "mistral-large", true),
            (Provider::Openai, OpenaiChat, "gpt-4o", false),
            (Provider::OpenaiCompatible, OpenaiChat, "qwen", false),
        ] {
            let far = Far {
                dialect,
                model_name,
                output_tokens_injected: None,
                provider,
            };
            assert_eq!(accepts_prefill(&far), expected, "{far:?}");
        }
    }

    #[test]
    fn what_is_deterministic_says_so() {
        for (body, expected) in [
            (r#"{"temperature":0}"#, true),
            (r#"{"temperature":0.0,"top_p":1}"#, true),
            (r#"{"temperature":0.2}"#, false),
            (r#"{"temperature":null}"#, false),
            (r#"{"temperature":"0"}"#, false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(is_deterministic(body.as_bytes()), expected, "{body}");
        }
    }
}

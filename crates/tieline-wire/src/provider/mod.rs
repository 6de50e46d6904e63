//! Who speaks which dialect where: a value and a few pure functions. What differs between providers of one dialect is a
//! path, a header and a handful of quirks, so a provider is a row of a table and not a type.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tieline_core::Dialect;

/// The operator's kind of API, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    Anthropic,
    /// Any server that speaks Anthropic Messages.
    AnthropicCompatible,
    /// Azure OpenAI and Foundry, in their version 1 paths.
    Azure,
    Deepseek,
    Groq,
    Llamacpp,
    Mistral,
    Ollama,
    Openai,
    /// Any server that speaks OpenAI Chat Completions.
    OpenaiCompatible,
    Openrouter,
    Vllm,
    Xai,
}

use Dialect::{AnthropicMessages, OpenaiChat};

impl Provider {
    pub const ALL: &'static [Self] = &[
        Self::Anthropic,
        Self::AnthropicCompatible,
        Self::Azure,
        Self::Deepseek,
        Self::Groq,
        Self::Llamacpp,
        Self::Mistral,
        Self::Ollama,
        Self::Openai,
        Self::OpenaiCompatible,
        Self::Openrouter,
        Self::Vllm,
        Self::Xai,
    ];

    /// The name in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::AnthropicCompatible => "anthropic-compatible",
            Self::Azure => "azure",
            Self::Deepseek => "deepseek",
            Self::Groq => "groq",
            Self::Llamacpp => "llamacpp",
            Self::Mistral => "mistral",
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::OpenaiCompatible => "openai-compatible",
            Self::Openrouter => "openrouter",
            Self::Vllm => "vllm",
            Self::Xai => "xai",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == name)
    }

    /// The dialects it speaks; the first is the one to use unless the configuration says otherwise.
    pub const fn dialects(self) -> &'static [Dialect] {
        match self {
            Self::Anthropic | Self::AnthropicCompatible => &[AnthropicMessages],
            Self::Azure | Self::Deepseek | Self::Llamacpp | Self::Ollama | Self::Openrouter | Self::Vllm => {
                &[OpenaiChat, AnthropicMessages]
            }
            Self::Groq | Self::Mistral | Self::Openai | Self::OpenaiCompatible | Self::Xai => &[OpenaiChat],
        }
    }

    pub fn speaks(self, dialect: Dialect) -> bool {
        self.dialects().contains(&dialect)
    }

    /// Where it is found unless the configuration names an endpoint. `None` where the endpoint is the operator's own.
    pub const fn endpoint(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Deepseek => Some("https://api.deepseek.com"),
            Self::Groq => Some("https://api.groq.com"),
            Self::Llamacpp => Some("http://127.0.0.1:8080"),
            Self::Mistral => Some("https://api.mistral.ai"),
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Openai => Some("https://api.openai.com"),
            Self::Openrouter => Some("https://openrouter.ai"),
            Self::Vllm => Some("http://127.0.0.1:8000"),
            Self::Xai => Some("https://api.x.ai"),
            Self::AnthropicCompatible | Self::Azure | Self::OpenaiCompatible => None,
        }
    }

    /// The path of a call, to be appended to the endpoint with [`url_path`].
    pub const fn path(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Azure | Self::Deepseek, AnthropicMessages) => "/anthropic/v1/messages",
            (Self::Azure | Self::Groq, OpenaiChat) => "/openai/v1/chat/completions",
            (Self::Openrouter, AnthropicMessages) => "/api/v1/messages",
            (Self::Openrouter, OpenaiChat) => "/api/v1/chat/completions",
            (_, AnthropicMessages) => "/v1/messages",
            (_, OpenaiChat) => "/v1/chat/completions",
        }
    }

    /// Whether `stream_options.include_usage` may be written into a request. Mistral reports usage without being asked
    /// and has refused fields that it does not know.
    pub const fn takes_stream_options(self) -> bool {
        !matches!(self, Self::Mistral)
    }

    /// Whether a call needs a credential at all; servers of one's own often have none.
    pub const fn wants_credential(self) -> bool {
        !matches!(
            self,
            Self::AnthropicCompatible | Self::Llamacpp | Self::Ollama | Self::OpenaiCompatible | Self::Vllm
        )
    }
}

/// The header that carries a channel's credential: its name in lower case, and its value.
pub fn auth_header(provider: Provider, dialect: Dialect, secret: &str) -> (&'static str, String) {
    match (provider, dialect) {
        (
            Provider::Anthropic | Provider::AnthropicCompatible | Provider::Azure | Provider::Deepseek,
            AnthropicMessages,
        ) => ("x-api-key", secret.to_owned()),
        (Provider::Azure, OpenaiChat) => ("api-key", secret.to_owned()),
        _ => ("authorization", format!("Bearer {secret}")),
    }
}

/// The path of an endpoint's URL followed by `path`, where what both name is written once: people give
/// `https://api.groq.com`, `…/openai` and `…/openai/v1`, and mean the same.
pub fn url_path<'p>(endpoint_path: &str, path: &'p str) -> Cow<'p, str> {
    let base = endpoint_path.trim_end_matches('/');
    if base.is_empty() {
        return Cow::Borrowed(path);
    }
    // The longest tail of the base, from a slash on, that the path begins with.
    let shared = base
        .match_indices('/')
        .filter_map(|(at, _)| base.get(at..))
        .find(|tail| path.strip_prefix(tail).is_some_and(|rest| rest.starts_with('/')))
        .unwrap_or_default();
    let base = base.strip_suffix(shared).unwrap_or(base);
    Cow::Owned(format!("{base}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_configuration_s() {
        for provider in Provider::ALL {
            assert_eq!(Provider::from_name(provider.name()), Some(*provider));
            let json = serde_json::to_string(provider).unwrap();
            assert_eq!(json, format!("\"{}\"", provider.name()));
            assert!(!provider.dialects().is_empty());
        }
    }

    #[test]
    fn endpoints_and_paths_join() {
        let groq = Provider::Groq.path(OpenaiChat);
        for (base, expected) in [
            ("", "/openai/v1/chat/completions"),
            ("/", "/openai/v1/chat/completions"),
            ("/openai", "/openai/v1/chat/completions"),
            ("/openai/v1/", "/openai/v1/chat/completions"),
            ("/proxy/openai/v1", "/proxy/openai/v1/chat/completions"),
            ("/proxy", "/proxy/openai/v1/chat/completions"),
            ("/xopenai", "/xopenai/openai/v1/chat/completions"),
        ] {
            assert_eq!(url_path(base, groq), expected, "{base}");
        }
    }

    #[test]
    fn credentials_go_where_they_are_looked_for() {
        assert_eq!(
            auth_header(Provider::Anthropic, AnthropicMessages, "k"),
            ("x-api-key", "k".to_owned())
        );
        assert_eq!(
            auth_header(Provider::Azure, OpenaiChat, "k"),
            ("api-key", "k".to_owned())
        );
        assert_eq!(
            auth_header(Provider::Openai, OpenaiChat, "k"),
            ("authorization", "Bearer k".to_owned())
        );
        assert_eq!(
            auth_header(Provider::Ollama, AnthropicMessages, "k"),
            ("authorization", "Bearer k".to_owned())
        );
    }
}

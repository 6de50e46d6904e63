//! The kinds of channel that error replies are told apart by.

use crate::provider::Provider;

/// Who words the error. Those of Bedrock, Gemini and Vertex are classified although no provider of a configuration is one
/// of these yet: the gateway does not carry calls in their own dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChannelKind {
    Anthropic,
    Azure,
    /// The runtime of Amazon Bedrock: error names in `x-amzn-errortype`, or in the headers of an exception frame.
    Bedrock,
    /// Google's API for keys (AI Studio).
    Gemini,
    Groq,
    Mistral,
    Openai,
    /// Every other server that speaks OpenAI's dialect, one's own and others': llama.cpp, vLLM, Ollama, DeepSeek.
    OpenaiCompatible,
    Openrouter,
    /// Google Cloud, its own models and those of others there.
    Vertex,
    Xai,
}

impl ChannelKind {
    pub const ALL: &'static [Self] = &[
        Self::Anthropic,
        Self::Azure,
        Self::Bedrock,
        Self::Gemini,
        Self::Groq,
        Self::Mistral,
        Self::Openai,
        Self::OpenaiCompatible,
        Self::Openrouter,
        Self::Vertex,
        Self::Xai,
    ];

    /// The kind of a channel of this provider, by the name that configurations give it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "bedrock" => Some(Self::Bedrock),
            "gemini" => Some(Self::Gemini),
            "vertex" => Some(Self::Vertex),
            _ => Provider::from_name(name).map(Self::from),
        }
    }
}

impl From<Provider> for ChannelKind {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Anthropic | Provider::AnthropicCompatible => Self::Anthropic,
            Provider::Azure => Self::Azure,
            Provider::Groq => Self::Groq,
            Provider::Mistral => Self::Mistral,
            Provider::Openai => Self::Openai,
            Provider::Openrouter => Self::Openrouter,
            Provider::Xai => Self::Xai,
            Provider::Deepseek
            | Provider::Llamacpp
            | Provider::Ollama
            | Provider::OpenaiCompatible
            | Provider::Vllm => Self::OpenaiCompatible,
        }
    }
}

//! The providers that a channel can name: which dialects each speaks, where it listens, whether it wants a credential.
//! One table; what a provider's bytes look like is `tieline_wire`'s part.

use tieline_core::Dialect;

/// A provider as the configuration sees it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    /// The dialects that it speaks, the default first.
    pub(crate) dialects: &'static [Dialect],
    pub(crate) url: UrlDefault,
    /// The environment variable that its own tools read, if it wants a credential.
    pub(crate) credential_env: Option<&'static str>,
    /// Whether the gateway can carry calls over it.
    pub(crate) is_carried: bool,
}

/// Where a provider listens if the channel does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UrlDefault {
    Fixed(&'static str),
    /// There is no default; the text is an example for the message.
    Needed(&'static str),
    /// `{}` stands for the channel's region.
    OfRegion(&'static str),
}

const CHAT: Dialect = Dialect::OpenaiChat;
const MESSAGES: Dialect = Dialect::AnthropicMessages;

/// All providers.
pub(crate) const PROVIDERS: &[Provider] = &[
    Provider {
        name: "anthropic",
        dialects: &[MESSAGES],
        url: UrlDefault::Fixed("https://api.anthropic.com"),
        credential_env: Some("ANTHROPIC_API_KEY"),
        is_carried: true,
    },
    Provider {
        name: "anthropic_compatible",
        dialects: &[MESSAGES],
        url: UrlDefault::Needed("https://models.example.org"),
        credential_env: None,
        is_carried: true,
    },
    Provider {
        name: "azure",
        dialects: &[CHAT],
        url: UrlDefault::Needed("https://NAME.openai.azure.com/openai"),
        credential_env: Some("AZURE_OPENAI_API_KEY"),
        is_carried: true,
    },
    Provider {
        name: "bedrock",
        dialects: &[MESSAGES, CHAT],
        url: UrlDefault::OfRegion("https://bedrock-runtime.{}.amazonaws.com"),
        credential_env: Some("AWS_BEARER_TOKEN_BEDROCK"),
        is_carried: false,
    },
    Provider {
        name: "llamacpp",
        dialects: &[CHAT, MESSAGES],
        url: UrlDefault::Needed("http://127.0.0.1:8090"),
        credential_env: None,
        is_carried: true,
    },
    Provider {
        name: "ollama",
        dialects: &[CHAT, MESSAGES],
        url: UrlDefault::Fixed("http://127.0.0.1:11434"),
        credential_env: None,
        is_carried: true,
    },
    Provider {
        name: "openai",
        dialects: &[CHAT],
        url: UrlDefault::Fixed("https://api.openai.com"),
        credential_env: Some("OPENAI_API_KEY"),
        is_carried: true,
    },
    Provider {
        name: "openai_compatible",
        dialects: &[CHAT],
        url: UrlDefault::Needed("https://models.example.org"),
        credential_env: None,
        is_carried: true,
    },
    Provider {
        name: "vertex",
        dialects: &[MESSAGES, CHAT],
        url: UrlDefault::OfRegion("https://{}-aiplatform.googleapis.com"),
        credential_env: Some("GOOGLE_OAUTH_ACCESS_TOKEN"),
        is_carried: false,
    },
];

pub(crate) fn names() -> Vec<&'static str> {
    PROVIDERS.iter().map(|provider| provider.name).collect()
}

pub(crate) fn find(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

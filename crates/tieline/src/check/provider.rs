//! The providers that a channel can name: those that `tieline_wire` can call, and a few that it cannot, which still belong
//! into a grid. Names are compared without regard to `-` and `_`, for people mix them.

use tieline_core::Dialect;
use tieline_wire::Provider as Carrier;

/// A provider as the configuration sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    /// Whether the gateway can carry calls over it.
    pub(crate) is_carried: bool,
    /// The environment variable that its own tools read, if it wants a credential.
    pub(crate) credential_env: Option<&'static str>,
    /// The dialects that it speaks, the default first.
    pub(crate) dialects: &'static [Dialect],
    pub(crate) url: UrlDefault,
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

/// Services whose framing or signing tieline does not speak.
const UNCARRIED: &[Provider] = &[
    Provider {
        name: "bedrock",
        is_carried: false,
        credential_env: Some("AWS_BEARER_TOKEN_BEDROCK"),
        dialects: &[Dialect::AnthropicMessages, Dialect::OpenaiChat],
        url: UrlDefault::OfRegion("https://bedrock-runtime.{}.amazonaws.com"),
    },
    Provider {
        name: "gemini",
        is_carried: false,
        credential_env: Some("GEMINI_API_KEY"),
        dialects: &[Dialect::OpenaiChat],
        url: UrlDefault::Fixed("https://generativelanguage.googleapis.com"),
    },
    Provider {
        name: "vertex",
        is_carried: false,
        credential_env: Some("GOOGLE_OAUTH_ACCESS_TOKEN"),
        dialects: &[Dialect::OpenaiChat, Dialect::AnthropicMessages],
        url: UrlDefault::OfRegion("https://{}-aiplatform.googleapis.com"),
    },
];

/// Every provider, sorted by name.
pub(crate) fn all() -> Vec<Provider> {
    let mut all: Vec<Provider> = Carrier::ALL.iter().map(|carrier| carried(*carrier)).collect();
    all.extend(UNCARRIED);
    all.sort_by_key(|provider| provider.name);
    all
}

pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|provider| provider.name).collect()
}

pub(crate) fn find(name: &str) -> Option<Provider> {
    let is_same = |known: &str| known.bytes().map(folded).eq(name.bytes().map(folded));
    all().into_iter().find(|provider| is_same(provider.name))
}

const fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

fn carried(carrier: Carrier) -> Provider {
    let example = match carrier {
        Carrier::Azure => "https://NAME.openai.azure.com",
        _ => "https://models.example.org",
    };
    let credential_env = match carrier {
        Carrier::Anthropic => "ANTHROPIC_API_KEY",
        Carrier::Azure => "AZURE_OPENAI_API_KEY",
        Carrier::Deepseek => "DEEPSEEK_API_KEY",
        Carrier::Groq => "GROQ_API_KEY",
        Carrier::Mistral => "MISTRAL_API_KEY",
        Carrier::Openai => "OPENAI_API_KEY",
        Carrier::Openrouter => "OPENROUTER_API_KEY",
        Carrier::Xai => "XAI_API_KEY",
        _ => "CHANNEL_API_KEY",
    };
    Provider {
        name: carrier.name(),
        is_carried: true,
        credential_env: carrier.wants_credential().then_some(credential_env),
        dialects: carrier.dialects(),
        url: carrier
            .endpoint()
            .map_or(UrlDefault::Needed(example), UrlDefault::Fixed),
    }
}

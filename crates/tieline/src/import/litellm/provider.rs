//! Whom LiteLLM's prefixes mean (`litellm/types/utils.py`, `LlmProviders`; which prefix a bare name gets is from
//! `get_llm_provider_logic.py`), what tieline calls them, and what a channel of theirs hangs on.
//!
//! What a channel hangs on is public knowledge and no measurement: whose cloud, whose lab, whose edge network. Where the
//! own interfaces of labs run is not public, so their channels name no cloud. Whoever is not in the table, and every
//! address of one's own, is a machine of that name.

/// A row: LiteLLM's prefix, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator {
    pub(super) prefix: &'static str,
    /// tieline's provider.
    pub(super) provider: &'static str,
    /// Where it listens, for providers of which tieline knows no place of its own; empty: it does, or it is anywhere.
    pub(super) url: &'static str,
    pub(super) seat: Seat,
    /// Whether its addresses are answered by Cloudflare.
    pub(super) is_behind_cloudflare: bool,
}

/// Who operates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// Someone who sells models of others on machines of theirs.
    Cloud(&'static str),
    /// The lab itself.
    Lab(&'static str),
    /// Whoever put up the address.
    Own,
}

use Seat::{Cloud, Lab, Own};

const fn row(
    prefix: &'static str,
    provider: &'static str,
    url: &'static str,
    seat: Seat,
    is_behind_cloudflare: bool,
) -> Operator {
    Operator {
        prefix,
        provider,
        url,
        seat,
        is_behind_cloudflare,
    }
}

const COMPATIBLE: &str = "openai-compatible";

/// Sorted by prefix.
const OPERATORS: &[Operator] = &[
    row(
        "ai21",
        COMPATIBLE,
        "https://api.ai21.com/studio",
        Lab("ai21"),
        false,
    ),
    row(
        "ai21_chat",
        COMPATIBLE,
        "https://api.ai21.com/studio",
        Lab("ai21"),
        false,
    ),
    row("aiohttp_openai", COMPATIBLE, "", Own, false),
    row("anthropic", "anthropic", "", Lab("anthropic"), true),
    row(
        "anyscale",
        COMPATIBLE,
        "https://api.endpoints.anyscale.com",
        Cloud("anyscale"),
        false,
    ),
    row("azure", "azure", "", Cloud("azure"), false),
    row("azure_ai", "azure", "", Cloud("azure"), false),
    row("azure_text", "azure", "", Cloud("azure"), false),
    row(
        "baseten",
        COMPATIBLE,
        "https://inference.baseten.co",
        Cloud("baseten"),
        false,
    ),
    row("bedrock", "bedrock", "", Cloud("aws"), false),
    row("bedrock_converse", "bedrock", "", Cloud("aws"), false),
    row(
        "cerebras",
        COMPATIBLE,
        "https://api.cerebras.ai",
        Cloud("cerebras"),
        false,
    ),
    row(
        "cloudflare",
        COMPATIBLE,
        "https://api.cloudflare.com",
        Cloud("cloudflare"),
        true,
    ),
    row("codestral", "mistral", "", Lab("mistral"), true),
    row(
        "cohere",
        COMPATIBLE,
        "https://api.cohere.com/compatibility",
        Lab("cohere"),
        false,
    ),
    row(
        "cohere_chat",
        COMPATIBLE,
        "https://api.cohere.com/compatibility",
        Lab("cohere"),
        false,
    ),
    row("custom_openai", COMPATIBLE, "", Own, false),
    row(
        "dashscope",
        COMPATIBLE,
        "https://dashscope-intl.aliyuncs.com/compatible-mode",
        Lab("alibaba"),
        false,
    ),
    row("databricks", COMPATIBLE, "", Cloud("databricks"), false),
    row(
        "deepinfra",
        COMPATIBLE,
        "https://api.deepinfra.com/v1/openai",
        Cloud("deepinfra"),
        false,
    ),
    row("deepseek", "deepseek", "", Lab("deepseek"), false),
    row(
        "fireworks_ai",
        COMPATIBLE,
        "https://api.fireworks.ai/inference",
        Cloud("fireworks"),
        false,
    ),
    row(
        "friendliai",
        COMPATIBLE,
        "https://api.friendli.ai/serverless",
        Cloud("friendli"),
        false,
    ),
    row("gemini", "gemini", "", Lab("google"), false),
    row(
        "github",
        COMPATIBLE,
        "https://models.github.ai/inference",
        Cloud("github"),
        false,
    ),
    row(
        "github_copilot",
        COMPATIBLE,
        "https://api.githubcopilot.com",
        Cloud("github"),
        false,
    ),
    row("groq", "groq", "", Cloud("groq"), true),
    row("hosted_vllm", "vllm", "", Own, false),
    row(
        "huggingface",
        COMPATIBLE,
        "https://router.huggingface.co",
        Cloud("huggingface"),
        false,
    ),
    row(
        "hyperbolic",
        COMPATIBLE,
        "https://api.hyperbolic.xyz",
        Cloud("hyperbolic"),
        false,
    ),
    row("infinity", COMPATIBLE, "", Own, false),
    row("jina_ai", COMPATIBLE, "https://api.jina.ai", Lab("jina"), false),
    row(
        "lambda_ai",
        COMPATIBLE,
        "https://api.lambda.ai",
        Cloud("lambda"),
        false,
    ),
    row("litellm_proxy", COMPATIBLE, "", Own, false),
    row("llamafile", COMPATIBLE, "", Own, false),
    row("lm_studio", COMPATIBLE, "", Own, false),
    row(
        "meta_llama",
        COMPATIBLE,
        "https://api.llama.com/compat",
        Lab("meta"),
        false,
    ),
    row(
        "minimax",
        COMPATIBLE,
        "https://api.minimax.io",
        Lab("minimax"),
        false,
    ),
    row("mistral", "mistral", "", Lab("mistral"), true),
    row(
        "moonshot",
        COMPATIBLE,
        "https://api.moonshot.ai",
        Lab("moonshot"),
        false,
    ),
    row(
        "nebius",
        COMPATIBLE,
        "https://api.studio.nebius.ai",
        Cloud("nebius"),
        false,
    ),
    row(
        "novita",
        COMPATIBLE,
        "https://api.novita.ai/v3/openai",
        Cloud("novita"),
        false,
    ),
    row(
        "nscale",
        COMPATIBLE,
        "https://inference.api.nscale.com",
        Cloud("nscale"),
        false,
    ),
    row(
        "nvidia_nim",
        COMPATIBLE,
        "https://integrate.api.nvidia.com",
        Cloud("nvidia"),
        false,
    ),
    row("oci", COMPATIBLE, "", Cloud("oracle"), false),
    row("ollama", "ollama", "", Own, false),
    row("ollama_chat", "ollama", "", Own, false),
    row("oobabooga", COMPATIBLE, "", Own, false),
    row("openai", "openai", "", Lab("openai"), true),
    row("openai_like", COMPATIBLE, "", Own, false),
    row("openrouter", "openrouter", "", Cloud("openrouter"), true),
    row(
        "perplexity",
        COMPATIBLE,
        "https://api.perplexity.ai",
        Lab("perplexity"),
        true,
    ),
    row(
        "predibase",
        COMPATIBLE,
        "https://serving.app.predibase.com",
        Cloud("predibase"),
        false,
    ),
    row(
        "replicate",
        COMPATIBLE,
        "https://api.replicate.com",
        Cloud("replicate"),
        true,
    ),
    row("sagemaker", COMPATIBLE, "", Cloud("aws"), false),
    row("sagemaker_chat", COMPATIBLE, "", Cloud("aws"), false),
    row(
        "sambanova",
        COMPATIBLE,
        "https://api.sambanova.ai",
        Cloud("sambanova"),
        false,
    ),
    row("snowflake", COMPATIBLE, "", Cloud("snowflake"), false),
    row("text-completion-openai", "openai", "", Lab("openai"), true),
    row(
        "together_ai",
        COMPATIBLE,
        "https://api.together.xyz",
        Cloud("together"),
        true,
    ),
    row("triton", COMPATIBLE, "", Own, false),
    row("vertex_ai", "vertex", "", Cloud("gcp"), false),
    row("vertex_ai_beta", "vertex", "", Cloud("gcp"), false),
    row("vllm", "vllm", "", Own, false),
    row(
        "volcengine",
        COMPATIBLE,
        "https://ark.cn-beijing.volces.com/api",
        Cloud("volcengine"),
        false,
    ),
    row(
        "voyage",
        COMPATIBLE,
        "https://api.voyageai.com",
        Lab("voyage"),
        false,
    ),
    row("watsonx", COMPATIBLE, "", Cloud("ibm"), false),
    row("watsonx_text", COMPATIBLE, "", Cloud("ibm"), false),
    row("xai", "xai", "", Lab("xai"), true),
    row("xinference", COMPATIBLE, "", Own, false),
    row(
        "zai",
        COMPATIBLE,
        "https://api.z.ai/api/paas",
        Lab("zhipu"),
        false,
    ),
];

/// A provider that is not in the table.
pub(super) const OTHER: Operator = row("", COMPATIBLE, "", Own, false);

/// The row of one of LiteLLM's prefixes.
pub(super) fn find(prefix: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.prefix == prefix)
}

/// The row of whoever listens at a host, for addresses that are given beside another prefix.
pub(super) fn at(host: &str) -> Option<&'static Operator> {
    let known = |operator: &&Operator| {
        let own = ours(operator.provider).unwrap_or(operator.url);
        !own.is_empty() && self::host(own).as_deref() == Some(host)
    };
    OPERATORS.iter().find(known)
}

/// The place that tieline knows of a provider.
fn ours(provider: &str) -> Option<&'static str> {
    match crate::check::provider::find(provider)?.url {
        crate::check::provider::UrlDefault::Fixed(url) if url.starts_with("https://") => Some(url),
        _ => None,
    }
}

/// Whose a bare name is: one without a prefix.
pub(super) fn of_bare(name: &str) -> Option<&'static Operator> {
    let lab = super::model::maker(name)?.lab;
    find(match lab {
        "anthropic" => "anthropic",
        "cohere" => "cohere",
        "google" => "vertex_ai",
        "openai" => "openai",
        _ => return None,
    })
}

/// The host of an address, with its port if it has one; credentials and query are left behind.
pub(super) fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.to_ascii_lowercase();
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(fit)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_hold_together() {
        assert!(OPERATORS.is_sorted_by_key(|operator| operator.prefix));
        for operator in OPERATORS {
            assert!(
                crate::check::provider::find(operator.provider).is_some(),
                "{}",
                operator.prefix
            );
            assert!(
                operator.url.is_empty() || host(operator.url).is_some(),
                "{}",
                operator.prefix
            );
        }
        assert_eq!(
            at("api.together.xyz").map(|operator| operator.prefix),
            Some("together_ai")
        );
        assert_eq!(
            at("api.openai.com").map(|operator| operator.prefix),
            Some("openai")
        );
        assert!(at("models.example.org").is_none());
        assert_eq!(of_bare("gpt-4o").map(|operator| operator.prefix), Some("openai"));
        assert!(of_bare("main").is_none());
    }

    #[test]
    fn a_host_is_what_stands_between() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(host(url).as_deref(), expected, "{url}");
        check(
            "https://A.openai.azure.com/openai?key=secret",
            Some("a.openai.azure.com"),
        );
        check(
            "https://user:secret@host.example:8443/v1",
            Some("host.example:8443"),
        );
        check("localhost:8000/v1", Some("localhost:8000"));
        check("http://[::1]:8000", Some("[::1]:8000"));
        check("https://", None);
        check("https://a b/", None);
    }
}

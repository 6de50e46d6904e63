//! Which model a name means, whoever sells it: `bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0`,
//! `vertex_ai/claude-sonnet-4@20250514` and `anthropic/claude-sonnet-4-20250514` are one. And which lab made it, whether
//! its weights can be taken back, and under whose law the lab is.
//!
//! Names are all there is to go by. A name that means nothing here belongs to no lab (`unknown`), which loses the drill
//! the question "what if that lab stops", and nothing else.

use crate::diagnose::looks_secret;

/// Who made a model, by how its names begin; the longest beginning counts.
const MAKERS: &[(&str, &str, Weights)] = &[
    ("bge-", "baai", Weights::Open),
    ("chatgpt-", "openai", Weights::Closed),
    ("claude", "anthropic", Weights::Closed),
    ("codestral", "mistral", Weights::Unknown),
    ("codex-", "openai", Weights::Closed),
    ("command", "cohere", Weights::Unknown),
    ("computer-use-", "openai", Weights::Closed),
    ("dall-e", "openai", Weights::Closed),
    ("dbrx", "databricks", Weights::Open),
    ("deepseek", "deepseek", Weights::Open),
    ("devstral", "mistral", Weights::Unknown),
    ("doubao", "bytedance", Weights::Closed),
    ("embed-", "cohere", Weights::Closed),
    ("ernie", "baidu", Weights::Unknown),
    ("falcon", "tii", Weights::Open),
    ("gemini", "google", Weights::Closed),
    ("gemma", "google", Weights::Open),
    ("glm-", "zhipu", Weights::Unknown),
    ("gpt-", "openai", Weights::Closed),
    ("gpt-oss", "openai", Weights::Open),
    ("granite", "ibm", Weights::Open),
    ("grok", "xai", Weights::Closed),
    ("hunyuan", "tencent", Weights::Unknown),
    ("imagen", "google", Weights::Closed),
    ("jamba", "ai21", Weights::Unknown),
    ("jina-", "jina", Weights::Open),
    ("kimi", "moonshot", Weights::Open),
    ("llama", "meta", Weights::Open),
    ("magistral", "mistral", Weights::Unknown),
    ("meta-llama", "meta", Weights::Open),
    ("minimax", "minimax", Weights::Unknown),
    ("ministral", "mistral", Weights::Unknown),
    ("mistral", "mistral", Weights::Unknown),
    ("mixtral", "mistral", Weights::Open),
    ("moonshot", "moonshot", Weights::Unknown),
    ("nemotron", "nvidia", Weights::Open),
    ("nova-", "amazon", Weights::Closed),
    ("o1", "openai", Weights::Closed),
    ("o3", "openai", Weights::Closed),
    ("o4", "openai", Weights::Closed),
    ("omni-moderation", "openai", Weights::Closed),
    ("phi-", "microsoft", Weights::Open),
    ("pixtral", "mistral", Weights::Unknown),
    ("qwen", "alibaba", Weights::Open),
    ("qwen-max", "alibaba", Weights::Closed),
    ("qwen-plus", "alibaba", Weights::Closed),
    ("qwen-turbo", "alibaba", Weights::Closed),
    ("qwq", "alibaba", Weights::Open),
    ("rerank-", "cohere", Weights::Closed),
    ("sonar", "perplexity", Weights::Closed),
    ("stable-diffusion", "stability", Weights::Open),
    ("text-embedding-", "openai", Weights::Closed),
    ("text-embedding-004", "google", Weights::Closed),
    ("text-embedding-005", "google", Weights::Closed),
    ("text-multilingual-embedding", "google", Weights::Closed),
    ("textembedding-gecko", "google", Weights::Closed),
    ("titan-", "amazon", Weights::Closed),
    ("tts-", "openai", Weights::Closed),
    ("veo-", "google", Weights::Closed),
    ("voxtral", "mistral", Weights::Unknown),
    ("voyage-", "voyage", Weights::Closed),
    ("whisper", "openai", Weights::Open),
    ("yi-", "01-ai", Weights::Open),
];

/// Where labs have their seat (ISO 3166-1).
const SEATS: &[(&str, &str)] = &[
    ("01-ai", "CN"),
    ("ai21", "IL"),
    ("alibaba", "CN"),
    ("amazon", "US"),
    ("anthropic", "US"),
    ("baai", "CN"),
    ("baidu", "CN"),
    ("bytedance", "CN"),
    ("cohere", "CA"),
    ("databricks", "US"),
    ("deepseek", "CN"),
    ("google", "US"),
    ("ibm", "US"),
    ("jina", "DE"),
    ("meta", "US"),
    ("microsoft", "US"),
    ("minimax", "CN"),
    ("mistral", "FR"),
    ("moonshot", "CN"),
    ("nvidia", "US"),
    ("openai", "US"),
    ("perplexity", "US"),
    ("stability", "GB"),
    ("tencent", "CN"),
    ("tii", "AE"),
    ("voyage", "US"),
    ("xai", "US"),
    ("zhipu", "CN"),
];

/// Names of vendors before the model's own, as Bedrock and others write them, and what they call the lab's models.
const VENDORS: &[&str] = &[
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "xai",
    "zai",
];

/// Geographies of Bedrock's inference profiles.
const GEOGRAPHIES: &[&str] = &["apac", "au", "ca", "eu", "global", "jp", "us", "us-gov"];

/// Words of OpenAI's names, for the names that Azure's customers give: what is not one of them is a place or a purpose.
const OPENAI_WORDS: &[&str] = &[
    "3",
    "3.5",
    "35",
    "4",
    "4.1",
    "4.5",
    "4o",
    "5",
    "5.1",
    "5.2",
    "ada",
    "audio",
    "chat",
    "codex",
    "embedding",
    "gpt",
    "image",
    "instruct",
    "large",
    "max",
    "mini",
    "nano",
    "o1",
    "o3",
    "o4",
    "oss",
    "preview",
    "pro",
    "realtime",
    "search",
    "small",
    "text",
    "transcribe",
    "tts",
    "turbo",
    "whisper",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    Closed,
    Open,
    Unknown,
}

impl Weights {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// Who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maker {
    pub(super) lab: &'static str,
    pub(super) weights: Weights,
}

pub(super) const UNKNOWN: Maker = Maker {
    lab: "unknown",
    weights: Weights::Unknown,
};

/// Who made the model of a canonical name.
pub(super) fn maker(name: &str) -> Option<Maker> {
    let name = name.strip_prefix("ft-").unwrap_or(name);
    let made = MAKERS.iter().filter(|(begins, ..)| name.starts_with(begins));
    let (_, lab, weights) = made.max_by_key(|(begins, ..)| begins.len())?;
    Some(Maker {
        lab,
        weights: *weights,
    })
}

/// The seat of a lab.
pub(super) fn seat(lab: &str) -> Option<&'static str> {
    let found = SEATS.iter().find(|(name, _)| *name == lab);
    found.map(|(_, country)| *country)
}

/// The canonical name of a model, from its name with a provider (without LiteLLM's prefix).
pub(super) fn canonical(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit('/').next().unwrap_or_default();
    let last = last.strip_prefix("ft:").map_or(last, |tuned| tuned);
    let (geography, rest) = last.split_once('.').unwrap_or(("", last));
    let last = if GEOGRAPHIES.contains(&geography) {
        rest
    } else {
        last
    };
    let (vendor, own) = match last.split_once('.') {
        Some((vendor, own)) if VENDORS.contains(&vendor) => (vendor, own),
        _ => ("", last),
    };
    let own = without_revision(own, vendor).replace(['@', ' '], "-");
    let own = own.strip_suffix("-maas").unwrap_or(&own);
    let own = own.strip_suffix("-default").unwrap_or(own);
    let own = llama(own);
    // Bedrock calls DeepSeek's R1 `deepseek.r1-v1:0`.
    if vendor == "deepseek" && !own.starts_with(vendor) {
        format!("{vendor}-{own}")
    } else {
        own
    }
}

/// Bedrock's names end in the revision of its own interface: `-v1:0`, `-1:0`. With Titan and Cohere `v3` is the model's.
fn without_revision<'n>(own: &'n str, vendor: &str) -> &'n str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((head, tail)) = own.split_once(':') else {
        return own;
    };
    if vendor.is_empty() {
        return own;
    }
    if !tail.split(':').next().is_some_and(digits) {
        return head;
    }
    let keeps = vendor == "cohere" || head.starts_with("titan-");
    match head.rsplit_once('-') {
        Some((name, revision)) if !keeps && digits(revision.strip_prefix('v').unwrap_or(revision)) => name,
        _ => head,
    }
}

/// `llama3-1-70b` as `llama-3.1-70b`, which all others write.
fn llama(own: &str) -> String {
    let Some(rest) = own.strip_prefix("llama3-") else {
        return own.to_owned();
    };
    match rest.split_once('-') {
        Some((minor, rest)) if minor.len() == 1 && minor.bytes().all(|b| b.is_ascii_digit()) => {
            format!("llama-3.{minor}-{rest}")
        }
        _ => format!("llama-3-{rest}"),
    }
}

/// The model that a deployment of Azure is probably named after; none if its name tells nothing.
pub(super) fn of_azure(deployment: &str) -> Option<String> {
    let name = canonical(deployment);
    let dated = version(&name).map(|(_, date)| date);
    let known = name.split(['-', '_']).filter(|word| OPENAI_WORDS.contains(word));
    let known: Vec<&str> = known
        .map(|word| if word == "35" { "3.5" } else { word })
        .collect();
    let mut name = known.join("-");
    let says_enough = name.starts_with("gpt-") && known.len() > 1
        || ["o1", "o3", "o4"].iter().any(|word| known.first() == Some(word))
        || name.starts_with("text-embedding-")
        || known.first() == Some(&"whisper");
    if let Some(date) = dated {
        name = format!("{name}-{date}");
    }
    says_enough.then_some(name)
}

/// A name without its version, and the version: `gpt-4o` and `2024-08-06`.
pub(super) fn version(name: &str) -> Option<(&str, &str)> {
    let is = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(b, p)| if p == b'0' { b.is_ascii_digit() } else { b == p })
    };
    ["-0000-00-00", "-00000000", "-0000", "-000"]
        .iter()
        .find_map(|pattern| {
            let (head, tail) = name.split_at_checked(name.len().checked_sub(pattern.len())?)?;
            let date = tail.strip_prefix('-')?;
            (is(tail, pattern) && !head.is_empty()).then_some((head, date))
        })
}

/// A text with only what the names of a grid may have; nothing of one that looks like a secret.
pub(super) fn as_name(text: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    if text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .any(looks_secret)
    {
        return "hidden".to_owned();
    }
    let name: String = text.chars().map(|c| if fit(c) { c } else { '-' }).collect();
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Characters that are kept of a name, so that something can be added to tell two apart: a grid's have 128.
const NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_one_name_whoever_sells_it() {
        let check = |name: &str, expected: &str| assert_eq!(canonical(name), expected, "{name}");
        for name in [
            "claude-sonnet-4-20250514",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            "anthropic.claude-sonnet-4-20250514-v1:0",
            "global.anthropic.claude-sonnet-4-20250514-v1:0",
            "converse/us.anthropic.claude-sonnet-4-20250514-v1:0",
            "claude-sonnet-4@20250514",
            "anthropic/claude-sonnet-4-20250514",
        ] {
            check(name, "claude-sonnet-4-20250514");
        }
        check("meta.llama3-1-70b-instruct-v1:0", "llama-3.1-70b-instruct");
        check("meta/llama-3.1-405b-instruct-maas", "llama-3.1-405b-instruct");
        check("accounts/fireworks/models/deepseek-v3", "deepseek-v3");
        check("deepseek.r1-v1:0", "deepseek-r1");
        check("openai.gpt-oss-120b-1:0", "gpt-oss-120b");
        check("amazon.titan-embed-text-v2:0", "titan-embed-text-v2");
        check("amazon.nova-pro-v1:0", "nova-pro");
        check("cohere.embed-english-v3", "embed-english-v3");
        check("gpt-4.1-mini", "gpt-4.1-mini");
        check("gemini-2.5-pro", "gemini-2.5-pro");
        check("llama3:8b", "llama3:8b");
        check("Qwen/Qwen2.5-72B-Instruct", "qwen2.5-72b-instruct");
        check("", "");
    }

    #[test]
    fn names_of_azures_deployments_tell_what_they_can() {
        let check =
            |name: &str, expected: Option<&str>| assert_eq!(of_azure(name).as_deref(), expected, "{name}");
        check("gpt-4o-eu", Some("gpt-4o"));
        check("prod-gpt-4o-mini-swedencentral", Some("gpt-4o-mini"));
        check("gpt-35-turbo", Some("gpt-3.5-turbo"));
        check("gpt-4o-2024-08-06", Some("gpt-4o-2024-08-06"));
        check("o3-mini", Some("o3-mini"));
        check("text-embedding-3-large", Some("text-embedding-3-large"));
        check("chatgpt-v-2", None);
        check("main", None);
        check("gpt", None);
    }

    #[test]
    fn labs_are_told_by_the_longest_beginning() {
        let check =
            |name: &str, lab: Option<&str>| assert_eq!(maker(name).map(|maker| maker.lab), lab, "{name}");
        check("gpt-4o", Some("openai"));
        check("text-embedding-3-small", Some("openai"));
        check("text-embedding-005", Some("google"));
        check("ft-gpt-4o-mini", Some("openai"));
        check("my-own", None);
        assert_eq!(
            maker("gpt-oss-20b").map(|maker| maker.weights),
            Some(Weights::Open)
        );
        for (_, lab, _) in MAKERS {
            assert!(seat(lab).is_some(), "{lab}");
        }
        assert!(MAKERS.is_sorted_by_key(|(begins, ..)| *begins));
    }

    #[test]
    fn versions_end_names() {
        let check =
            |name: &str, expected: Option<(&str, &str)>| assert_eq!(version(name), expected, "{name}");
        check("gpt-4o-2024-08-06", Some(("gpt-4o", "2024-08-06")));
        check("claude-sonnet-4-20250514", Some(("claude-sonnet-4", "20250514")));
        check("gpt-4-0613", Some(("gpt-4", "0613")));
        check("gemini-1.5-pro-002", Some(("gemini-1.5-pro", "002")));
        check("gpt-4o", None);
        check("llama-3.1-70b", None);
    }
}

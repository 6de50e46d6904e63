//! Which feature a channel says that it lacks.

use tieline_core::Feature;

use super::words::Words;

/// The feature that an incapable channel names. `None` where it names none of ours, or takes the feature and refuses the
/// value that the request gave it: another request with it would be served.
pub(super) fn of(words: &Words) -> Option<Feature> {
    let is_of_value = words.says(OF_VALUES) || words.is_any(&["invalid_function_parameters"]);
    if is_of_value {
        return None;
    }
    let by_param = BY_PARAM
        .iter()
        .find(|(_, names)| names.iter().any(|name| is_within(&words.param, name)));
    let by_phrase = || BY_PHRASE.iter().find(|(_, phrases)| words.says(phrases));
    by_param.or_else(by_phrase).map(|(feature, _)| *feature)
}

/// `tools[0].function.parameters` is within `tools`, `tools_x` is not.
fn is_within(param: &str, name: &str) -> bool {
    param
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Phrases of channels that take the feature, but not so.
const OF_VALUES: &[&str] = &[
    "both be specified",
    "cannot be specified together",
    "invalid schema for function",
    "supported levels",
    "supported values are",
    "thinking.type",
];

type Table = &'static [(Feature, &'static [&'static str])];

/// The names of parameters, as OpenAI and its imitators give them in `param`.
const BY_PARAM: Table = &[
    (
        Feature::Sampling,
        &[
            "frequency_penalty",
            "logit_bias",
            "presence_penalty",
            "seed",
            "temperature",
            "top_k",
            "top_p",
        ],
    ),
    (Feature::Logprobs, &["logprobs", "top_logprobs"]),
    (
        Feature::Tools,
        &["functions", "parallel_tool_calls", "tool_choice", "tools"],
    ),
    (Feature::Structured, &["output_format", "response_format"]),
    (Feature::Effort, &["reasoning_effort"]),
    (Feature::Thinking, &["thinking"]),
    (Feature::Stop, &["stop", "stop_sequences"]),
    (Feature::Streaming, &["stream"]),
    (Feature::SeveralAnswers, &["n"]),
];

/// Phrases in messages; the more particular first.
const BY_PHRASE: Table = &[
    (
        Feature::Prefill,
        &["prefill", "conversation must end with a user message"],
    ),
    (
        Feature::Sampling,
        &[
            "penalty is not enabled",
            "sampling parameter",
            "temperature",
            "top_k",
            "top_p",
        ],
    ),
    (
        Feature::Tools,
        &[
            "--jinja",
            "auto-tool-choice",
            "function calling",
            "support tools",
            "tool calling",
            "tool choice",
            "tool use",
            "tool_choice",
        ],
    ),
    (
        Feature::Structured,
        &[
            "json mode",
            "json_schema",
            "output_format",
            "response_format",
            "structured output",
        ],
    ),
    (Feature::Effort, &["effort"]),
    (Feature::Thinking, &["reasoning", "thinking"]),
    (Feature::Logprobs, &["logprobs"]),
    (Feature::Audio, &["audio"]),
    (Feature::Images, &["image", "multimodal", "vision"]),
    (Feature::Files, &["document", "pdf"]),
    (
        Feature::Stop,
        &["stop sequence", "stop_sequences", "stopsequences", "'stop'"],
    ),
    (Feature::Streaming, &["streaming"]),
];

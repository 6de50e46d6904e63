//! What proves a fault: words that stand for it as type, code, detail or name of an error, and phrases of messages where no
//! code does. The tables are read from the top; the more particular stands first.

use tieline_core::FaultKind;

use super::words::Words;

/// Evidence for a fault: any of the words, or any of the phrases in the message.
pub(super) struct Evidence {
    pub(super) kind: FaultKind,
    phrases: &'static [&'static str],
    words: &'static [&'static str],
}

/// The fault that the first of `list` proves.
pub(super) fn proven(list: &[Evidence], words: &Words) -> Option<FaultKind> {
    let proves = |e: &&Evidence| words.is_any(e.words) || words.says(e.phrases);
    list.iter().find(proves).map(|e| e.kind)
}

/// Evidence that holds whatever the status.
pub(super) const ALWAYS: &[Evidence] = &[
    Evidence {
        kind: FaultKind::Spend,
        phrases: &[
            "credit balance is too low",
            "insufficient balance",
            "insufficient credits",
            "specified api usage limits",
            "specified workspace api usage limits",
            "spend limit",
            "used all available credits",
        ],
        words: &[
            "BILLING_DISABLED",
            "ServiceQuotaExceededException",
            "billing_error",
            "billing_hard_limit_reached",
            "credit_balance_exhausted",
            "enforced_spend_limit_reached",
            "insufficient_quota",
            "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "project_spend_limit_exceeded",
            "quota_exceeded",
        ],
    },
    Evidence {
        kind: FaultKind::Legal,
        phrases: &[],
        words: &["unsupported_country_region_territory"],
    },
    Evidence {
        kind: FaultKind::Content,
        phrases: &[
            "content management policy",
            "output blocked by content filtering policy",
        ],
        words: &[
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "ResponsibleAIPolicyViolation",
        ],
    },
    Evidence {
        kind: FaultKind::NotReady,
        phrases: &[
            "is currently loading",
            "loading model",
            "model is loading",
            "warming up",
        ],
        words: &["model_not_ready", "ModelNotReadyException"],
    },
    Evidence {
        kind: FaultKind::Overload,
        phrases: &[],
        words: &[
            "MODEL_CAPACITY_EXHAUSTED",
            "ServiceUnavailableException",
            "engine_overloaded",
            "engine_overloaded_error",
            "overloaded_error",
            "service_unavailable_error",
        ],
    },
];

/// Evidence in a refusal of the request (400, 403, 404, 413, 422).
pub(super) const REQUEST: &[Evidence] = &[
    Evidence {
        kind: FaultKind::Context,
        phrases: &[
            "context window",
            "exceed context limit",
            "exceeds the available context size",
            "exceeds the maximum number of tokens allowed",
            "input is too long for requested model",
            "maximum context length",
            "maximum prompt length",
            "prompt is too long",
        ],
        words: &[
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
        ],
    },
    Evidence {
        kind: FaultKind::Auth,
        phrases: &[
            "api key not valid",
            "end of its life",
            "incorrect api key",
            "invalid api key",
            "is not allowed to use publisher model",
            "model identifier is invalid",
            "on-demand throughput",
            "organization has been disabled",
            "use case details have not been submitted",
            "use-case form",
        ],
        words: &[
            "API_KEY_INVALID",
            "DeploymentNotFound",
            "OperationNotSupported",
            "invalid_api_key",
            "invalid_model",
            "model_decommissioned",
            "model_not_found",
        ],
    },
    Evidence {
        kind: FaultKind::Incapable,
        phrases: &[
            "both be specified",
            "cannot be specified together",
            "does not support",
            "doesn't support",
            "extra inputs are not permitted",
            "invalid schema for function",
            "is deprecated",
            "is not a multimodal model",
            "is not enabled for",
            "isn't supported",
            "not supported",
            "prefill",
            "requires --enable-auto-tool-choice",
            "requires --jinja",
            "unsupported parameter",
            "unsupported value",
        ],
        words: &[
            "invalid_function_parameters",
            "unsupported_parameter",
            "unsupported_value",
        ],
    },
];

/// The sentence of Bedrock about the lab's own list of countries. It comes as a refusal of the request (400), so that the
/// whole beginning is asked for, which no echo of a prompt has.
pub(super) fn is_bedrock_legal(words: &Words) -> bool {
    let begins = words.message.starts_with("access to ");
    begins && words.says(&["not allowed from unsupported countries, regions, or territories"])
}

/// A legal block stops the party everywhere, so phrases prove it only together with the status that such a block has.
pub(super) fn is_legal(status: u16, words: &Words) -> bool {
    status == 403
        && words.says(&[
            "country, region, or territory",
            "embargo",
            "export control",
            "sanction",
            "unsupported countries, regions, or territories",
        ])
}

/// What this channel does not offer in a region another may. Google's "User location" is of this kind: it is said of its
/// API for keys, and its own documentation names Vertex as the way from other countries.
pub(super) fn is_regional(words: &Words) -> bool {
    if words.says(&["user location is not supported"]) {
        return true;
    }
    words.says(&[
        "in the region",
        "in this region",
        "in your country",
        "in your region",
    ]) && words.says(&[
        "isn't available",
        "not available",
        "not offered",
        "not supported",
        "unavailable",
    ])
}

/// Whether the model is not there, by that name.
pub(super) fn is_no_model(words: &Words) -> bool {
    words.message.contains("model")
        && words.says(&[
            "does not exist",
            "invalid model",
            "is not a valid model",
            "not found",
            "unknown model",
        ])
}

/// Google's reasons to hold an answer back, of the prompt and of the answer.
pub(super) const BLOCKED: &[&str] = &[
    "BLOCKLIST",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_SAFETY",
    "JAILBREAK",
    "MODEL_ARMOR",
    "PROHIBITED_CONTENT",
    "RECITATION",
    "SAFETY",
    "SPII",
];

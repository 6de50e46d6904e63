//! Errors as the providers send them: status, headers and body, one constant each, all in [`ALL`].
//!
//! Sources: the providers' error references and recorded replies. Bodies are whole and constant; where a provider
//! puts a request id or a count into its text, a fixed one stands here.

use bytes::Bytes;

use crate::act::Act;
use crate::auto::Dialect;

/// One error reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canned {
    /// Dialect and kind in words, for the name of a test case.
    pub name: &'static str,
    pub dialect: Dialect,
    pub status: u16,
    /// Besides Content-Type and Content-Length.
    pub headers: &'static [(&'static str, &'static str)],
    pub body: &'static str,
}

impl Canned {
    /// The whole reply.
    pub fn act(&self) -> Act {
        let act = Act::status(self.status).body(self.body);
        self.headers
            .iter()
            .fold(act, |act, (name, value)| act.header(name, value))
    }

    /// The same error as an event within a stream that began with a 200.
    pub fn frame(&self) -> Bytes {
        match self.dialect {
            Dialect::OpenAi => Bytes::from(format!("data: {}\n\n", self.body)),
            Dialect::Anthropic => Bytes::from(format!("event: error\ndata: {}\n\n", self.body)),
        }
    }
}

// === OpenAI ===

pub const OPENAI_RATE_LIMIT: Canned = Canned {
    name: "openai rate limit",
    dialect: Dialect::OpenAi,
    status: 429,
    headers: &[
        ("retry-after", "2"),
        ("retry-after-ms", "1500"),
        ("x-ratelimit-limit-requests", "500"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1.5s"),
        ("x-request-id", "req_openai_rate"),
    ],
    body: r#"{"error":{"message":"Rate limit reached for gpt-6 in organization org-1 on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 1.5s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
};

pub const OPENAI_QUOTA: Canned = Canned {
    name: "openai insufficient quota",
    dialect: Dialect::OpenAi,
    status: 429,
    headers: &[("x-request-id", "req_openai_quota")],
    body: r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
};

pub const OPENAI_SERVER_ERROR: Canned = Canned {
    name: "openai server error",
    dialect: Dialect::OpenAi,
    status: 500,
    headers: &[("x-request-id", "req_openai_500")],
    body: r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}"#,
};

pub const OPENAI_OVERLOADED: Canned = Canned {
    name: "openai overloaded",
    dialect: Dialect::OpenAi,
    status: 503,
    headers: &[("retry-after", "1"), ("x-request-id", "req_openai_503")],
    body: r#"{"error":{"message":"The engine is currently overloaded, please try again later.","type":"server_error","param":null,"code":"overloaded"}}"#,
};

pub const OPENAI_CONTEXT_LENGTH: Canned = Canned {
    name: "openai context length",
    dialect: Dialect::OpenAi,
    status: 400,
    headers: &[("x-request-id", "req_openai_context")],
    body: r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
};

pub const OPENAI_INVALID_REQUEST: Canned = Canned {
    name: "openai invalid request",
    dialect: Dialect::OpenAi,
    status: 400,
    headers: &[("x-request-id", "req_openai_400")],
    body: r#"{"error":{"message":"Invalid type for 'messages': expected an array of objects, but got a string instead.","type":"invalid_request_error","param":"messages","code":"invalid_type"}}"#,
};

pub const OPENAI_KEY: Canned = Canned {
    name: "openai invalid key",
    dialect: Dialect::OpenAi,
    status: 401,
    headers: &[("x-request-id", "req_openai_401")],
    body: r#"{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
};

pub const OPENAI_MODEL: Canned = Canned {
    name: "openai unknown model",
    dialect: Dialect::OpenAi,
    status: 404,
    headers: &[("x-request-id", "req_openai_404")],
    body: r#"{"error":{"message":"The model `gpt-0` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
};

/// A legal block: where the caller stands, the provider does not serve.
pub const OPENAI_REGION: Canned = Canned {
    name: "openai region unsupported",
    dialect: Dialect::OpenAi,
    status: 403,
    headers: &[("x-request-id", "req_openai_403")],
    body: r#"{"error":{"message":"Country, region, or territory not supported","type":"request_forbidden","param":null,"code":"unsupported_country_region_territory"}}"#,
};

/// Azure's filter refuses the prompt before a model sees it.
pub const OPENAI_CONTENT_FILTER: Canned = Canned {
    name: "openai content filter",
    dialect: Dialect::OpenAi,
    status: 400,
    headers: &[("x-request-id", "req_openai_filter")],
    body: r#"{"error":{"message":"The response was filtered due to the prompt triggering the content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
};

/// A llama.cpp server that still loads its model; its `code` is a number.
pub const LLAMA_LOADING: Canned = Canned {
    name: "llama.cpp loading",
    dialect: Dialect::OpenAi,
    status: 503,
    headers: &[],
    body: r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#,
};

// === Anthropic ===

pub const ANTHROPIC_RATE_LIMIT: Canned = Canned {
    name: "anthropic rate limit",
    dialect: Dialect::Anthropic,
    status: 429,
    headers: &[
        ("retry-after", "2"),
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:02Z"),
        ("request-id", "req_anthropic_rate"),
    ],
    body: r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50 requests per minute."},"request_id":"req_anthropic_rate"}"#,
};

/// No `retry-after`: the limit falls with the calendar month.
pub const ANTHROPIC_SPEND_LIMIT: Canned = Canned {
    name: "anthropic spend limit",
    dialect: Dialect::Anthropic,
    status: 429,
    headers: &[("request-id", "req_anthropic_spend")],
    body: r#"{"type":"error","error":{"type":"rate_limit_error","message":"Your organization has reached its spend limit.","details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_anthropic_spend"}"#,
};

pub const ANTHROPIC_OVERLOADED: Canned = Canned {
    name: "anthropic overloaded",
    dialect: Dialect::Anthropic,
    status: 529,
    headers: &[("request-id", "req_anthropic_529")],
    body: r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_anthropic_529"}"#,
};

pub const ANTHROPIC_SERVER_ERROR: Canned = Canned {
    name: "anthropic server error",
    dialect: Dialect::Anthropic,
    status: 500,
    headers: &[("request-id", "req_anthropic_500")],
    body: r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"},"request_id":"req_anthropic_500"}"#,
};

pub const ANTHROPIC_INVALID_REQUEST: Canned = Canned {
    name: "anthropic invalid request",
    dialect: Dialect::Anthropic,
    status: 400,
    headers: &[("request-id", "req_anthropic_400")],
    body: r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"},"request_id":"req_anthropic_400"}"#,
};

pub const ANTHROPIC_CONTEXT_LENGTH: Canned = Canned {
    name: "anthropic context length",
    dialect: Dialect::Anthropic,
    status: 400,
    headers: &[("request-id", "req_anthropic_context")],
    body: r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_anthropic_context"}"#,
};

pub const ANTHROPIC_KEY: Canned = Canned {
    name: "anthropic invalid key",
    dialect: Dialect::Anthropic,
    status: 401,
    headers: &[("request-id", "req_anthropic_401")],
    body: r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"},"request_id":"req_anthropic_401"}"#,
};

pub const ANTHROPIC_MODEL: Canned = Canned {
    name: "anthropic unknown model",
    dialect: Dialect::Anthropic,
    status: 404,
    headers: &[("request-id", "req_anthropic_404")],
    body: r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-0"},"request_id":"req_anthropic_404"}"#,
};

/// A legal block, told without a code of its own.
pub const ANTHROPIC_REGION: Canned = Canned {
    name: "anthropic region unsupported",
    dialect: Dialect::Anthropic,
    status: 403,
    headers: &[("request-id", "req_anthropic_403")],
    body: r#"{"type":"error","error":{"type":"forbidden","message":"Access to Anthropic models is not allowed from unsupported countries, regions, or territories."},"request_id":"req_anthropic_403"}"#,
};

pub const ANTHROPIC_PREFILL: Canned = Canned {
    name: "anthropic prefill unsupported",
    dialect: Dialect::Anthropic,
    status: 400,
    headers: &[("request-id", "req_anthropic_prefill")],
    body: r#"{"type":"error","error":{"type":"invalid_request_error","message":"This model does not support assistant message prefill. The conversation must end with a user message."},"request_id":"req_anthropic_prefill"}"#,
};

/// Every canned error, for tests that go through all of them.
pub const ALL: &[Canned] = &[
    OPENAI_RATE_LIMIT,
    OPENAI_QUOTA,
    OPENAI_SERVER_ERROR,
    OPENAI_OVERLOADED,
    OPENAI_CONTEXT_LENGTH,
    OPENAI_INVALID_REQUEST,
    OPENAI_KEY,
    OPENAI_MODEL,
    OPENAI_REGION,
    OPENAI_CONTENT_FILTER,
    LLAMA_LOADING,
    ANTHROPIC_RATE_LIMIT,
    ANTHROPIC_SPEND_LIMIT,
    ANTHROPIC_OVERLOADED,
    ANTHROPIC_SERVER_ERROR,
    ANTHROPIC_INVALID_REQUEST,
    ANTHROPIC_CONTEXT_LENGTH,
    ANTHROPIC_KEY,
    ANTHROPIC_MODEL,
    ANTHROPIC_REGION,
    ANTHROPIC_PREFILL,
];

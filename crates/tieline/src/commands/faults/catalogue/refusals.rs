//! Channels that answer with an error: those that pass, those that last, and those that no other channel may undo.

use tieline_core::{Dialect, FaultKind};
use tieline_testkit::{Act, canned};

use super::super::scenario::{Bill, Caller, Expect, Scenario, Told, Tries};
use super::super::script::{
    bad_key, bare, error, give, good, no_prefill, overloaded, rate_limit, refusal, server_error, spent,
    too_long,
};

/// One channel refuses; the next one serves.
pub(super) fn passing() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("refusal", name, says, first, expect);
    vec![
        new(
            "rate-limit",
            "The first channel answers 429 with Retry-After.",
            |cue| rate_limit(cue).act(),
            |_| Expect::served_after(&[FaultKind::Rate]),
        ),
        new(
            "rate-limit-bare",
            "The first channel answers 429 without Retry-After.",
            |cue| bare(rate_limit(cue), 429),
            |_| Expect::served_after(&[FaultKind::Rate]),
        ),
        new(
            "server-error",
            "The first channel answers 500.",
            |cue| server_error(cue).act(),
            |_| Expect::served_after(&[FaultKind::Transient]),
        ),
        new(
            "bad-gateway-page",
            "The first channel answers 502 with a proxy's page.",
            |_| Act::status(502).content_type("text/html").body("<html>bad gateway</html>"),
            |_| Expect::served_after(&[FaultKind::Transient]),
        ),
        new(
            "unavailable",
            "The first channel answers 503.",
            |cue| bare(overloaded(cue), 503),
            |_| Expect::served_after(&[FaultKind::Overload]),
        ),
        new(
            "overloaded",
            "The first channel answers 529.",
            |cue| bare(overloaded(cue), 529),
            |_| Expect::served_after(&[FaultKind::Overload]),
        ),
        new(
            "key-refused",
            "The first channel answers 401: the operator's credential there is not valid.",
            |cue| bad_key(cue).act(),
            |_| Expect::served_after(&[FaultKind::Auth]),
        ),
        new(
            "model-unknown",
            "The first channel answers 404: it does not know the model.",
            |cue| error(cue, canned::OPENAI_MODEL, canned::ANTHROPIC_MODEL).act(),
            |_| Expect::served_after(&[FaultKind::Auth]),
        ),
        new(
            "spend-limit",
            "The account at the first channel is spent.",
            |cue| spent(cue).act(),
            |_| Expect::served_after(&[FaultKind::Spend]),
        ),
        new(
            "other-model",
            "Both channels of the first model answer 500; a channel of the pool's other model serves, and is named.",
            |cue| server_error(cue).act(),
            |_| Expect::served_after(&[FaultKind::Transient, FaultKind::Transient]),
        )
        .rest(|cue| if cue.role == 1 { bare(canned::ANTHROPIC_SERVER_ERROR, 500) } else { good(cue) }),
    ]
}

/// The trouble goes on, at one channel or at all.
pub(super) fn lasting() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("lasting", name, says, first, expect);
    vec![
        new(
            "unavailable-for-long",
            "The first channel answers 503 to every call of eight; each is served by another.",
            |cue| bare(overloaded(cue), 503),
            |_| Expect::served_after(&[FaultKind::Overload]).tries(Tries::Any),
        )
        .caller(Caller::Times(8)),
        new(
            "dead-for-long",
            "The first channel resets every connection of eight calls; each is served by another.",
            |_| Act::refuse(),
            |_| Expect::served_after(&[FaultKind::Reset]).tries(Tries::Any),
        )
        .caller(Caller::Times(8)),
        new(
            "flapping",
            "The first channel fails every second time that it is asked; each of eight calls is served.",
            |cue| {
                if cue.nth % 2 == 0 {
                    bare(canned::OPENAI_SERVER_ERROR, 500)
                } else {
                    good(cue)
                }
            },
            |_| Expect::served_after(&[FaultKind::Transient]).tries(Tries::Any),
        )
        .caller(Caller::Times(8)),
        new(
            "rate-limit-everywhere",
            "Every channel answers 429 with Retry-After.",
            |cue| rate_limit(cue).act(),
            |_| Expect::error(429, "channels_busy", 2, &[FaultKind::Rate]),
        )
        .everywhere(),
    ]
}

/// The trouble is everywhere.
pub(super) fn everywhere() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("lasting", name, says, first, expect);
    vec![
        new(
            "rate-limit-bare-everywhere",
            "Every channel answers 429 without Retry-After.",
            |cue| bare(rate_limit(cue), 429),
            |_| Expect::error(429, "channels_busy", 2, &[FaultKind::Rate]),
        )
        .everywhere(),
        new(
            "server-error-everywhere",
            "Every channel answers 500.",
            |cue| server_error(cue).act(),
            |_| Expect::error(502, "channels_failed", 2, &[FaultKind::Transient]),
        )
        .everywhere(),
        new(
            "unavailable-everywhere",
            "Every channel answers 503.",
            |cue| bare(overloaded(cue), 503),
            |_| Expect::error(502, "channels_failed", 2, &[FaultKind::Overload]),
        )
        .everywhere(),
        new(
            "spent-everywhere",
            "The accounts at all channels are spent.",
            |cue| spent(cue).act(),
            |_| Expect::error(502, "channels_failed", 2, &[FaultKind::Spend]),
        )
        .everywhere(),
        new(
            "forbidden-everywhere",
            "Every channel answers 401 to the operator's credential.",
            |cue| bad_key(cue).act(),
            |_| Expect::error(502, "channels_failed", 2, &[FaultKind::Auth]),
        )
        .everywhere(),
    ]
}

/// What is the request's own fault, or must not be routed around.
pub(super) fn final_ones() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("final", name, says, first, expect);
    vec![
        new(
            "request-refused",
            "The first channel answers 400: the request is wrong, and would be everywhere.",
            |cue| {
                error(
                    cue,
                    canned::OPENAI_INVALID_REQUEST,
                    canned::ANTHROPIC_INVALID_REQUEST,
                )
                .act()
            },
            |_| Expect::relayed(400, FaultKind::Client),
        ),
        new(
            "context-overflow",
            "The prompt overflows the first model; the pool has a model with a larger context.",
            |cue| too_long(cue).act(),
            |_| Expect::served_after(&[FaultKind::Context]),
        ),
        new(
            "context-overflow-everywhere",
            "The prompt overflows every model.",
            |cue| too_long(cue).act(),
            |_| {
                let each = vec![(0, Some(FaultKind::Context)), (1, Some(FaultKind::Context))];
                Expect::relayed(400, FaultKind::Context).tries(Tries::Each(each))
            },
        )
        .everywhere(),
        new(
            "content-refused",
            "The first channel's filter refuses the prompt; no other filter is tried.",
            |cue| match cue.far {
                Dialect::OpenaiChat => canned::OPENAI_CONTENT_FILTER.act(),
                Dialect::AnthropicMessages => give(cue, &refusal()),
            },
            |form| match form.dialect {
                Dialect::OpenaiChat => Expect::relayed(400, FaultKind::Content),
                Dialect::AnthropicMessages => Expect::served_after(&[]).text(""),
            },
        ),
    ]
}

/// What no other model may or can do.
pub(super) fn incapable() -> Vec<Scenario> {
    let new = |name, says, first, expect| Scenario::new("final", name, says, first, expect);
    vec![
        new(
            "content-refused-in-answer",
            "The first channel's answer ends as refused; no other model is tried.",
            |cue| give(cue, &refusal()),
            |_| Expect::served_after(&[]).text(""),
        ),
        new(
            "legal-refusal",
            "The first channel answers 403 on legal grounds; no other channel is tried.",
            |cue| error(cue, canned::OPENAI_REGION, canned::ANTHROPIC_REGION).act(),
            |_| Expect::error(403, "held", 1, &[FaultKind::Legal]),
        ),
        new(
            "prefill-refused",
            "The first channel's model takes no prefill; another's does.",
            no_prefill,
            |_| Expect::served_after(&[FaultKind::Incapable]),
        ),
        new(
            "prefill-refused-everywhere",
            "No channel's model can do what the request asks for; the caller is told in the words of the last.",
            no_prefill,
            |_| {
                let all = Tries::All(2, &[FaultKind::Incapable]);
                Expect::relayed(400, FaultKind::Incapable).bill(Bill::Nothing).tries(all)
            },
        )
        .everywhere(),
        new(
            "rules-deny",
            "Rules in force deny the call on every channel; none is asked.",
            good,
            |_| Expect::error(403, "denied", 0, &[]).told(Told::Error(403, "denied")),
        )
        .caller(Caller::UnderNewRules),
    ]
}

//! Limits of channels and pools. Those of keys and parties are no part of the configuration.

use tieline_core::{Criticality, Limits, Nano, Quota, QuotaModel};

use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::At;
use crate::raw::shape::{RawCriticality, RawPoolLimits, RawQuota, RawQuotaModel};

/// 2^53 - 1, the largest integer that every reader of the grid's JSON keeps exact.
pub(super) const TOKENS_MAX: u64 = (1 << 53) - 1;

/// The rates and the calls in flight of a table; two tables have these keys.
macro_rules! limits {
    ($raw:expr, $sink:expr) => {{
        let (raw, sink) = ($raw, &mut *$sink);
        let mut number = |at: &Option<crate::raw::At<u64>>, key: &str, max: u64| {
            crate::check::value::number_if_stated(at.as_ref(), key, max, sink)
        };
        let small = u64::from(u32::MAX);
        let fit = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok());
        let tokens_max = crate::check::limits::TOKENS_MAX;
        tieline_core::Limits {
            concurrency: fit(number(&raw.concurrency, "concurrency", small)),
            requests_per_day: fit(number(&raw.requests_per_day, "requests_per_day", small)),
            requests_per_minute: fit(number(&raw.requests_per_minute, "requests_per_minute", small)),
            tokens_per_day: number(&raw.tokens_per_day, "tokens_per_day", tokens_max),
            tokens_per_minute: number(&raw.tokens_per_minute, "tokens_per_minute", tokens_max),
            ..tieline_core::Limits::default()
        }
    }};
}
pub(super) use limits;

/// A channel's quota; none after an error that leaves none to go on with.
pub(super) fn quota(raw: Option<&At<RawQuota>>, sink: &mut Sink) -> Option<Quota> {
    let at = raw?;
    let raw = &at.value;
    if !raw.seen.contains(&"model") {
        sink.push(
            Diagnostic::error(Code::KeyMissing, "the quota has no `model`")
                .at(at.span, "wants `model`")
                .hint("say whose rules count, such as `model = \"bedrock\"`"),
        );
    }
    let mut number = |at: &Option<At<u64>>, key: &str, max: u64| {
        super::value::number_if_stated(at.as_ref(), key, max, sink)
    };
    let requests = number(&raw.requests_per_minute, "requests_per_minute", u32::MAX.into());
    let burn = number(&raw.output_burn, "output_burn", 100);
    let fit = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok());
    Some(Quota {
        input_tokens_per_minute: number(
            &raw.input_tokens_per_minute,
            "input_tokens_per_minute",
            TOKENS_MAX,
        ),
        output_burn: fit(burn),
        output_tokens_per_minute: number(
            &raw.output_tokens_per_minute,
            "output_tokens_per_minute",
            TOKENS_MAX,
        ),
        requests_per_minute: fit(requests),
        tokens_in_flight: number(&raw.tokens_in_flight, "tokens_in_flight", TOKENS_MAX),
        tokens_per_minute: number(&raw.tokens_per_minute, "tokens_per_minute", TOKENS_MAX),
        model: match raw.model.as_ref()?.value {
            RawQuotaModel::Anthropic => QuotaModel::Anthropic,
            RawQuotaModel::Azure => QuotaModel::Azure,
            RawQuotaModel::Bedrock => QuotaModel::Bedrock,
            RawQuotaModel::Openai => QuotaModel::Openai,
            RawQuotaModel::SelfHosted => QuotaModel::SelfHosted,
            RawQuotaModel::Vertex => QuotaModel::Vertex,
        },
    })
}

pub(super) const fn criticality(raw: RawCriticality) -> Criticality {
    match raw {
        RawCriticality::Critical => Criticality::Critical,
        RawCriticality::CriticalPlus => Criticality::CriticalPlus,
        RawCriticality::Sheddable => Criticality::Sheddable,
        RawCriticality::SheddablePlus => Criticality::SheddablePlus,
    }
}

/// The limits of a pool; none stated are none.
pub(super) fn of_pool(raw: Option<&At<RawPoolLimits>>, sink: &mut Sink) -> Limits {
    let Some(At { value: raw, .. }) = raw else {
        return Limits::default();
    };
    let limits = limits!(raw, sink);
    Limits {
        nano_per_day: amount(raw.budget_per_day.as_ref(), sink),
        nano_per_month: amount(raw.budget_per_month.as_ref(), sink),
        nano_per_week: amount(raw.budget_per_week.as_ref(), sink),
        ..limits
    }
}

fn amount(raw: Option<&At<String>>, sink: &mut Sink) -> Option<Nano> {
    let at = raw?;
    let amount = Nano::from_usd(&at.value);
    if amount.is_err() {
        sink.push(
            Diagnostic::error(
                Code::BudgetBad,
                format!("`{}` is not an amount of money", shown(&at.value)),
            )
            .at(at.span, "wants USD")
            .hint("a decimal number with at most 9 decimals and without currency or separators, such as \"250.00\""),
        );
    }
    amount.ok()
}

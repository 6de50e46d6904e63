//! Prometheus metrics. Label values come from the configuration (channels, models, pools) or from closed lists (outcomes,
//! fault kinds, codes), never from a request, so their number is bounded by the grid.

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tieline_core::record::OutcomeEntry;

#[derive(Debug)]
pub(crate) struct Metrics {
    attempts: Family<AttemptLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    /// Holds that no officer will see.
    pub(crate) holds_lost: Counter,
    in_flight: Gauge,
    pub(crate) key_set_fetches: Family<FetchLabels, Counter>,
    registry: Registry,
    /// Requests that had no valid key.
    pub(crate) unauthenticated: Counter,
    seconds: Family<ChannelLabel, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    ttft: Family<ChannelLabel, Histogram>,
    pub(crate) reloads: Family<ReloadLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    code: &'static str,
    dialect: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    channel: Arc<str>,
    fault: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    channel: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReloadLabel {
    pub(crate) result: &'static str,
}

/// The issuer as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FetchLabels {
    pub(crate) issuer: String,
    pub(crate) result: &'static str,
}

/// Seconds: from a local model's first token to a long answer.
const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0,
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tieline");
        let seconds = || Histogram::new(BUCKETS);
        let metrics = Self {
            attempts: Family::default(),
            calls: Family::default(),
            holds_lost: Counter::default(),
            in_flight: Gauge::default(),
            key_set_fetches: Family::default(),
            registry: Registry::default(),
            reloads: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            ttft: Family::new_with_constructor(seconds),
            unauthenticated: Counter::default(),
        };
        registry.register("calls", "Calls that ended", metrics.calls.clone());
        registry.register("attempts", "Attempts that ended", metrics.attempts.clone());
        registry.register("calls_in_flight", "Calls in flight", metrics.in_flight.clone());
        registry.register(
            "unauthenticated",
            "Requests without a valid key",
            metrics.unauthenticated.clone(),
        );
        registry.register(
            "call_seconds",
            "From arrival to end of a call",
            metrics.seconds.clone(),
        );
        registry.register(
            "first_content_seconds",
            "From dial to first content",
            metrics.ttft.clone(),
        );
        registry.register(
            "tokens",
            "Tokens by kind, as channels report them",
            metrics.tokens.clone(),
        );
        registry.register(
            "holds_lost",
            "Holds that were not written for want of room",
            metrics.holds_lost.clone(),
        );
        registry.register(
            "key_set_fetches",
            "Fetches of issuers' key sets by result",
            metrics.key_set_fetches.clone(),
        );
        registry.register("reloads", "Reloads by result", metrics.reloads.clone());
        Self { registry, ..metrics }
    }

    pub(crate) fn call_began(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn call_ended(&self) {
        self.in_flight.dec();
    }

    /// Count an ended call by its outcome's entry.
    pub(crate) fn outcome<I>(
        &self,
        dialect: &'static str,
        began: tieline_core::Tick,
        outcome: &OutcomeEntry<I>,
    ) {
        let labels = CallLabels {
            code: outcome.code.map_or("none", tieline_core::Code::name),
            dialect,
            outcome: outcome_name(outcome.result),
        };
        self.calls.get_or_create(&labels).inc();
        for attempt in &outcome.attempts {
            let channel = ChannelLabel {
                channel: attempt.channel.clone(),
            };
            let fault = attempt.fault.map_or("none", |fault| fault.kind.name());
            self.attempts
                .get_or_create(&AttemptLabels {
                    channel: channel.channel.clone(),
                    fault,
                })
                .inc();
            if let Some(ttft) = attempt.ttft_us {
                self.ttft.get_or_create(&channel).observe(seconds(ttft));
            }
            if let Some(usage) = attempt.usage {
                let kinds = [
                    ("input", usage.input),
                    ("output", usage.output),
                    ("cache_read", usage.cache_read),
                ];
                let more = [("cache_write", usage.cache_write), ("reasoning", usage.reasoning)];
                for (kind, tokens) in kinds.into_iter().chain(more).filter(|(_, tokens)| *tokens > 0) {
                    let labels = TokenLabels {
                        channel: channel.channel.clone(),
                        kind,
                    };
                    self.tokens.get_or_create(&labels).inc_by(tokens);
                }
            }
        }
        let last = outcome.attempts.last();
        let last = last.map_or_else(|| "".into(), |attempt| attempt.channel.clone());
        self.seconds
            .get_or_create(&ChannelLabel { channel: last })
            .observe(seconds(outcome.at.since(began)));
    }

    /// The exposition text, with the gauges of the ledger and the breakers appended by the caller.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
            let _ = writeln!(text, "# the metrics could not be encoded");
        }
        text
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram's seconds are approximate by nature"
)]
fn seconds(span: tieline_core::Span) -> f64 {
    span.0 as f64 / 1e6
}

const fn outcome_name(outcome: tieline_core::record::Outcome) -> &'static str {
    use tieline_core::record::Outcome;
    match outcome {
        Outcome::Abandoned => "abandoned",
        Outcome::Broken => "broken",
        Outcome::Lost => "lost",
        Outcome::Refused => "refused",
        Outcome::Relayed => "relayed",
        Outcome::Served => "served",
    }
}

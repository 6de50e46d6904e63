//! The faults of channels. Each has one kind that says whose fault it is, whether another channel may be tried, and
//! whether it counts against the channel's health; the wire classifies, the core obeys.

use serde::{Deserialize, Serialize};

use crate::feature::Feature;

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 401, 403 or 404 that says our credential or the model's name there is wrong.
    Auth,
    /// Another 4xx: the caller's request is at fault, and would be everywhere.
    Client,
    /// The connection was refused, or the name did not resolve.
    Connect,
    /// The channel refused the content. Not routed around: a gateway is no device for shopping among filters.
    Content,
    /// The request does not fit the model's context.
    Context,
    /// An answer that was to be given again came out differently; nothing of it was used.
    Differs,
    /// The answer is not what the dialect allows: bad framing, not JSON, wrong type.
    Garbage,
    /// The channel cannot do what was asked (prefill, a sampling parameter, a tool schema).
    Incapable,
    /// A legal block: this party, this model, every channel.
    Legal,
    /// The channel is starting up.
    NotReady,
    /// The channel is overloaded (503, 529).
    Overload,
    /// Our own rate limit there is used up (429).
    Rate,
    /// This channel does not offer the model in this region; another may.
    Region,
    /// The connection broke before the answer was whole.
    Reset,
    /// The money or quota of the account there is spent.
    Spend,
    /// A limit of time passed.
    Timeout,
    /// 500, 502, 504, or an error event in a stream.
    Transient,
}

/// Where in an attempt the fault came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Connect,
    Head,
    Body,
}

/// Which limit of time passed, by the name of its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    Connect,
    FirstContent,
    Head,
    Idle,
    Whole,
}

/// One classified fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What an incapable channel refuses as such. `None` where it does not say, or refuses only a value of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
    pub kind: FaultKind,
    /// The limit of time that passed, if that is the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<TimeLimit>,
    pub phase: Phase,
    /// What the channel asked us to wait before the next attempt there, in ms; of a spent account, the time to its reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The HTTP status, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Fault {
    pub const fn new(kind: FaultKind, phase: Phase) -> Self {
        Self {
            feature: None,
            kind,
            limit: None,
            phase,
            retry_after_ms: None,
            status: None,
        }
    }

    /// A limit of time passed.
    pub const fn timeout(limit: TimeLimit) -> Self {
        let (kind, phase) = match limit {
            TimeLimit::Connect => (FaultKind::Connect, Phase::Connect),
            TimeLimit::Head => (FaultKind::Timeout, Phase::Head),
            TimeLimit::FirstContent | TimeLimit::Idle | TimeLimit::Whole => (FaultKind::Timeout, Phase::Body),
        };
        Self {
            limit: Some(limit),
            ..Self::new(kind, phase)
        }
    }

    #[must_use]
    pub const fn with_feature(mut self, feature: Option<Feature>) -> Self {
        self.feature = feature;
        self
    }

    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub const fn with_retry_after_ms(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }
}

impl TimeLimit {
    /// The setting's name.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect_ms",
            Self::FirstContent => "first_content_ms",
            Self::Head => "head_ms",
            Self::Idle => "idle_ms",
            Self::Whole => "whole_ms",
        }
    }
}

impl FaultKind {
    /// The name in records, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Client => "client",
            Self::Connect => "connect",
            Self::Content => "content",
            Self::Context => "context",
            Self::Differs => "differs",
            Self::Garbage => "garbage",
            Self::Incapable => "incapable",
            Self::Legal => "legal",
            Self::NotReady => "not_ready",
            Self::Overload => "overload",
            Self::Rate => "rate",
            Self::Region => "region",
            Self::Reset => "reset",
            Self::Spend => "spend",
            Self::Timeout => "timeout",
            Self::Transient => "transient",
        }
    }

    /// Whether another channel may be tried for the same call.
    pub const fn fails_over(self) -> bool {
        match self {
            Self::Auth
            | Self::Connect
            | Self::Differs
            | Self::Garbage
            | Self::Incapable
            | Self::NotReady
            | Self::Overload
            | Self::Rate
            | Self::Region
            | Self::Reset
            | Self::Spend
            | Self::Timeout
            | Self::Transient => true,
            Self::Client | Self::Content | Self::Context | Self::Legal => false,
        }
    }

    /// Whether the fault counts towards the channel's consecutive failures.
    pub const fn hurts(self) -> bool {
        match self {
            Self::Auth
            | Self::Connect
            | Self::Garbage
            | Self::NotReady
            | Self::Reset
            | Self::Timeout
            | Self::Transient => true,
            Self::Client
            | Self::Content
            | Self::Context
            | Self::Differs
            | Self::Incapable
            | Self::Legal
            | Self::Overload
            | Self::Rate
            | Self::Region
            | Self::Spend => false,
        }
    }

    /// Whether it counts against the share of attempts that end well: what hurts, and an overload.
    pub const fn ails(self) -> bool {
        self.hurts() || matches!(self, Self::Overload)
    }

    /// Whether the same channel may be asked once more for the same call, after a wait, if no other can serve it: nothing
    /// was done, or what was begun came to nothing. A timeout has used up its time, and what else is refused stays refused.
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::NotReady | Self::Overload | Self::Rate | Self::Reset | Self::Transient
        )
    }

    /// Whether the channel's own error reply is what the caller should see, for the request itself is at fault.
    pub const fn is_callers(self) -> bool {
        matches!(self, Self::Client | Self::Content | Self::Context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records from before faults named a feature are read, and a fault without one is written as it was then.
    #[test]
    fn old_records_are_read() {
        let old = r#"{"kind":"incapable","phase":"head","status":400}"#;
        let fault: Fault = serde_json::from_str(old).unwrap();
        assert_eq!(
            fault,
            Fault::new(FaultKind::Incapable, Phase::Head).with_status(400)
        );
        assert_eq!(serde_json::to_string(&fault).unwrap(), old);
        let new = serde_json::to_string(&fault.with_feature(Some(Feature::Prefill))).unwrap();
        assert!(new.contains(r#""feature":"prefill""#), "{new}");
        assert_eq!(
            serde_json::from_str::<Fault>(&new).unwrap().feature,
            Some(Feature::Prefill)
        );
    }
}

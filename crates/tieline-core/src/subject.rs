//! Who asks, and for what: the part of a call's inputs that the shell knows before any decision.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Digest32;
use crate::desk::{Limits, Payers};
use crate::feature::FeatureSet;
use crate::grid::{ModelIx, PoolIx};
use crate::id::CallId;
use crate::problem::Code;
use crate::time::{Span, Tick};

/// The API dialects that applications and channels speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI Chat Completions, `POST /v1/chat/completions`.
    OpenaiChat,
    /// Anthropic Messages, `POST /v1/messages`.
    AnthropicMessages,
}

/// A key and its party, as the decision sees them. Shared by all calls of the key.
#[derive(Debug, PartialEq, Eq)]
pub struct Subject {
    /// Index of the key's buckets at the [`crate::Desk`].
    pub desk_ix: u32,
    /// The key's public id (never its secret).
    pub key: Arc<str>,
    /// When evidence that came with the call lapses; none came, or it does not lapse.
    pub lapse: Option<Lapse>,
    pub limits: Limits,
    /// The party's opaque id.
    pub party: Arc<str>,
    /// Index of the party's buckets at the [`crate::Desk`].
    pub party_desk_ix: u32,
    /// Digest of the party's record at the time.
    pub party_digest: Digest32,
    /// Limits of all the party's keys together.
    pub party_limits: Limits,
    /// Interned set of the party's facts, as policy numbered it.
    pub posture: u32,
    /// The pools and models that the key may ask for.
    pub scope: Scope,
}

/// The end of evidence that came with a call. It stands beside the posture and not in it, so that the tokens of a
/// thousand end users with equal facts are one set of facts, each with its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// From this instant on it asserts nothing.
    pub at: Tick,
    /// Whether a person's is among it: what an officer grants on such facts, the whole party would have.
    pub is_of_person: bool,
    /// Interned set of the facts that are left then.
    pub posture: u32,
}

/// What a key may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Exactly these pool or model names.
    Names(Arc<[Arc<str>]>),
}

/// What a request names in `model`, resolved against the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Model(ModelIx),
    Pool(PoolIx),
    /// A name that is neither pool nor model. The name is kept only if it looks like one (`[A-Za-z0-9._:/@-]{1,128}`),
    /// so that no prompt text reaches a record by this way.
    Unknown(Option<Arc<str>>),
    /// The request could not be read at all.
    Unreadable(Code),
}

/// One call as it arrived.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Which of equal channels has the prompt in its cache, as a number that says nothing of the prompt: absent for prompts
    /// that are too short to be cached.
    pub affinity: Option<u16>,
    /// Answers asked for at once; each has the whole output limit.
    pub answers: u32,
    pub ask: Ask,
    /// Length of the request body, in bytes.
    pub body_bytes: u64,
    pub call: CallId,
    /// The caller's own limit of time for the whole call, from its arrival.
    pub deadline: Option<Span>,
    /// The dialect that the application speaks.
    pub dialect: Dialect,
    /// What the call says that it is for: one of the operator's codes.
    pub end_use: Option<Arc<str>>,
    /// What the request asks of a channel beyond text.
    pub features: FeatureSet,
    /// Whether the key or its party has a budget.
    pub is_budgeted: bool,
    /// Whether the same request has the same answer, as far as channels can.
    pub is_deterministic: bool,
    /// Pictures, sounds and documents in the request.
    pub media: u32,
    /// The output limit that the request states, in tokens.
    pub output_tokens_max: Option<u32>,
    /// How long the caller waits for the first byte.
    pub patience: Option<Span>,
    /// The candidates that are known to go on with an answer that the request ends with, as bits.
    pub prefill: u8,
    pub stream: bool,
    pub subject: Arc<Subject>,
}

impl Subject {
    /// Who pays for a call: the key, its party, and the pool if it asks for one.
    pub const fn payers<'a>(&'a self, pool: Option<(PoolIx, &'a Limits)>) -> Payers<'a> {
        Payers {
            key: (self.desk_ix, &self.limits),
            party: (self.party_desk_ix, &self.party_limits),
            pool,
        }
    }

    pub const fn has_budget(&self) -> bool {
        self.limits.has_budget() || self.party_limits.has_budget()
    }

    /// The facts that hold at `now`.
    pub fn posture_at(&self, now: Tick) -> u32 {
        self.lapse
            .filter(|lapse| lapse.at <= now)
            .map_or(self.posture, |lapse| lapse.posture)
    }
}

impl Scope {
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|n| &**n == name),
        }
    }
}

impl Dialect {
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::AnthropicMessages => "anthropic_messages",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_came_with_a_call_end_at_their_instant() {
        let subject = Subject {
            desk_ix: 0,
            key: "k".into(),
            lapse: Some(Lapse {
                at: Tick(10),
                is_of_person: true,
                posture: 1,
            }),
            limits: Limits::default(),
            party: "p".into(),
            party_desk_ix: 0,
            party_digest: [0; 32],
            party_limits: Limits::default(),
            posture: 2,
            scope: Scope::All,
        };
        assert_eq!([9, 10, 11].map(|now| subject.posture_at(Tick(now))), [2, 1, 1]);
    }
}

//! Who asks, and for what: the part of a call's inputs that the shell knows before any decision.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Digest32;
use crate::desk::Limits;
use crate::grid::{ModelIx, PoolIx};
use crate::id::CallId;
use crate::problem::Code;

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
    pub limits: Limits,
    /// The party's opaque id.
    pub party: Arc<str>,
    /// Digest of the party's record at the time.
    pub party_digest: Digest32,
    /// Interned set of the party's facts, as policy numbered it.
    pub posture: u32,
    /// The pools and models that the key may ask for.
    pub scope: Scope,
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
    pub ask: Ask,
    /// Length of the request body, in bytes.
    pub body_bytes: u64,
    pub call: CallId,
    /// The dialect that the application speaks.
    pub dialect: Dialect,
    /// What the call says that it is for: one of the operator's codes.
    pub end_use: Option<Arc<str>>,
    /// The output limit that the request states, in tokens.
    pub output_tokens_max: Option<u32>,
    pub stream: bool,
    pub subject: Arc<Subject>,
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

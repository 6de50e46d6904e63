//! Going on with an answer that broke off after part of it was delivered: how the rest is asked for, and of whom.

use serde::{Deserialize, Serialize};

use crate::feature::{Feature, FeatureSet};

/// How the rest of an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The delivered text is the assistant's turn, and the user's next asks to go on from its end.
    Instruct,
    /// The delivered text is the beginning of the assistant's turn, and the model goes on with it.
    Prefill,
    /// The same request once more, of a call whose answer is the same each time.
    Repeat,
}

impl Method {
    /// Whether a request with these features can be continued so. Two turns of the assistant in a row are joined by some
    /// servers, refused by others, so that a caller's own prefill bars adding another; a model that was asked to think
    /// begins its turn with a thought, which a prefill would leave out.
    pub const fn suits(self, features: FeatureSet) -> bool {
        match self {
            Self::Prefill => !features.contains(Feature::Prefill) && !features.contains(Feature::Thinking),
            Self::Repeat => true,
            Self::Instruct => !features.contains(Feature::Prefill),
        }
    }

    /// The name in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instruct => "instruct",
            Self::Prefill => "prefill",
            Self::Repeat => "repeat",
        }
    }
}

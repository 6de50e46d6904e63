//! What the core may know of an answer: text-free marks. The wire reads a stream or a body, the core sees that content
//! flowed, that a tool call began, what was used, how it stopped; never a word of it.

use serde::{Deserialize, Serialize};

/// Tokens of one answer in disjoint counters: nothing is counted twice, whatever the dialect's convention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Sound of the prompt, neither read from nor written to a cache.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub audio: u64,
    /// Sound of the answer.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub audio_output: u64,
    /// Prompt tokens read from the channel's cache.
    pub cache_read: u64,
    /// Prompt tokens written to the channel's cache.
    pub cache_write: u64,
    /// Pictures of the prompt that the channel counts apart.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub image: u64,
    /// Prompt tokens neither read from nor written to a cache.
    pub input: u64,
    /// Answer tokens without reasoning.
    pub output: u64,
    /// Reasoning tokens that the dialect counts apart from the answer.
    pub reasoning: u64,
}

/// Why an answer stopped, in the canonical words that every dialect maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The model finished.
    End,
    /// A stop sequence of the caller.
    Sequence,
    /// The output limit.
    Length,
    /// The context window is full.
    Context,
    /// The model calls a tool.
    Tool,
    /// The model or the channel refused the content.
    Refusal,
    /// A server-side tool paused the turn.
    Pause,
    /// A reason that this dialect has and we do not model.
    Other,
}

/// One fact about an answer in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mark {
    /// Content flowed: `n` content events (text, thinking or tool arguments) since the last mark.
    Content(u32),
    /// The answer said how it stopped.
    Stop(Stop),
    /// A thinking block began.
    Thinking,
    /// A tool call began.
    Tool,
    /// Usage as known so far; the last one counts.
    Usage(Usage),
}

impl Usage {
    /// The tokens of two attempts: both were asked for, and both are billed.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            audio: self.audio.saturating_add(other.audio),
            audio_output: self.audio_output.saturating_add(other.audio_output),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            image: self.image.saturating_add(other.image),
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }

    /// All tokens, prompt and answer.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.prompt().saturating_add(self.answer())
    }

    /// All tokens of the prompt.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.cache_read
            .saturating_add(self.cache_write)
            .saturating_add(self.input)
            .saturating_add(self.audio)
            .saturating_add(self.image)
    }

    /// All tokens of the answer.
    #[must_use]
    pub const fn answer(&self) -> u64 {
        self.output
            .saturating_add(self.reasoning)
            .saturating_add(self.audio_output)
    }
}

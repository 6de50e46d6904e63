//! The canonical request: what is asked of a model, in the terms that all dialects share.

use super::loss::Place;
use super::value::{Number, Raw};

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub choice: Option<Choice>,
    pub effort: Option<Effort>,
    /// Whether a stream's caller wants the usage at its end (OpenAI only sends it when asked).
    pub include_usage: bool,
    pub model: String,
    pub output_tokens_max: Option<u64>,
    /// Whether the model may call several tools at once; `None` leaves the dialect's default, which is yes.
    pub parallel: Option<bool>,
    pub sampling: Sampling,
    pub shape: Shape,
    pub stops: Vec<String>,
    pub stream: bool,
    /// The instructions that come before the conversation.
    pub system: Vec<Text>,
    pub tools: Vec<Tool>,
    pub turns: Vec<Turn>,
    /// The caller's own opaque id of its end user.
    pub user: Option<String>,
}

/// Which tool the model must, may or must not call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Auto,
    Named(String),
    None,
    /// Some tool, whichever.
    Required,
}

/// How hard the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub at: Place,
    /// OpenAI's resolution hint.
    pub detail: Option<String>,
    pub source: ImageSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// `data` is base64, as both dialects have it.
    Bytes {
        data: String,
        media_type: String,
    },
    Url(String),
}

/// One piece of a turn or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Call(ToolCall),
    Image(Image),
    /// The model's own words of refusal, where the dialect keeps them apart.
    Refusal(Text),
    Result(ToolResult),
    Text(Text),
    Thought(Thought),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Assistant,
    /// An instruction in the middle of a conversation.
    System,
    User,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    pub frequency_penalty: Option<Number>,
    pub presence_penalty: Option<Number>,
    pub seed: Option<Number>,
    pub temperature: Option<Number>,
    pub top_k: Option<u64>,
    pub top_p: Option<Number>,
}

/// The form that the answer must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Free,
    /// Some JSON object.
    Json,
    Schema {
        description: Option<String>,
        name: Option<String>,
        schema: Raw,
        strict: Option<bool>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub at: Place,
    pub text: String,
}

/// Reasoning that a model showed. Without a signature no channel takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thought {
    pub at: Place,
    pub signature: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    pub at: Place,
    pub description: Option<String>,
    pub name: String,
    /// JSON Schema of the arguments.
    pub parameters: Option<Raw>,
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// JSON as the model wrote it, which may be cut off or empty; empty stands for `{}`.
    pub arguments: String,
    pub at: Place,
    pub id: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    pub at: Place,
    /// The id of the call that it answers.
    pub call: String,
    pub is_error: bool,
    /// Texts and images.
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub at: Place,
    pub parts: Vec<Part>,
    pub role: Role,
}

impl Effort {
    /// The name that OpenAI gives it; Anthropic has the same from `low` upwards.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::None,
            Self::Minimal,
            Self::Low,
            Self::Medium,
            Self::High,
            Self::Xhigh,
            Self::Max,
        ];
        all.into_iter().find(|effort| effort.name() == name)
    }
}

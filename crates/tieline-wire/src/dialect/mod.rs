//! The dialects: one folder each, with the same files. `wire` is the shape on the wire, `read` turns it into the
//! canonical model, `write` turns the model into it, `stream` does both event by event.
//!
//! Dispatch is a match over [`Dialect`]: a new dialect is found missing by the compiler.

pub mod anthropic_messages;
pub(crate) mod object;
pub mod openai_chat;

use tieline_core::{Dialect, FaultKind, Problem, Usage};

use crate::model::{Answer, Ask, Event, Halt, Losses, Names};

/// What a writer of requests must know of the channel beyond its dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub dialect: Dialect,
    /// Whether the model takes a level of effort (`reasoning_effort`, `output_config.effort`).
    pub has_effort: bool,
    /// Whether the model takes sampling parameters. Anthropic's 2026-10-21 version refuses them, even at their defaults.
    pub has_sampling: bool,
    /// Whether the server knows `stream_options`, without which some streams say nothing of usage.
    pub has_stream_options: bool,
    /// What OpenAI Chat Completions calls the output limit.
    pub limit_field: LimitField,
    /// The model's name at the channel.
    pub model: String,
    /// The output limit sent where the dialect requires one and the caller gave none.
    pub output_tokens_default: u64,
}

/// The two names of the output limit in OpenAI Chat Completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitField {
    /// OpenAI's own reasoning models require it.
    MaxCompletionTokens,
    /// Every compatible server knows it.
    MaxTokens,
}

/// What a writer of answers must know of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Seconds since 1970, for a dialect that dates its answers and a source that does not.
    pub created_unix_s: u64,
    pub include_usage: bool,
    /// The model's name as the caller is told it.
    pub model: String,
    pub names: Names,
}

/// A reader of a stream.
#[derive(Debug)]
pub enum StreamReader {
    AnthropicMessages(anthropic_messages::stream::Reader),
    OpenaiChat(openai_chat::stream::Reader),
}

/// A writer of a stream.
#[derive(Debug)]
pub enum StreamWriter {
    AnthropicMessages(anthropic_messages::stream::Writer),
    OpenaiChat(openai_chat::stream::Writer),
}

/// Output tokens asked for where Anthropic requires a number and the caller gave none. OpenAI's default is the model's
/// own limit; 8,192 is within the limit of every Claude model since 3.5, and ten times a usual answer.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 8192;

/// Reads a request body.
pub fn read_ask(dialect: Dialect, body: &[u8], losses: &mut Losses) -> Result<Ask, Problem> {
    match dialect {
        Dialect::AnthropicMessages => anthropic_messages::read::ask(body, losses),
        Dialect::OpenaiChat => openai_chat::read::ask(body, losses),
    }
}

/// Writes a request body; the names it had to change are remembered in `names`.
pub fn write_ask(
    target: &Target,
    ask: &Ask,
    names: &mut Names,
    losses: &mut Losses,
) -> Result<Vec<u8>, Problem> {
    match target.dialect {
        Dialect::AnthropicMessages => anthropic_messages::write::ask(target, ask, names, losses),
        Dialect::OpenaiChat => openai_chat::write::ask(target, ask, names, losses),
    }
}

/// Reads an answer that arrived whole.
pub fn read_answer(dialect: Dialect, body: &[u8], losses: &mut Losses) -> Result<Answer, FaultKind> {
    match dialect {
        Dialect::AnthropicMessages => anthropic_messages::read::answer(body, losses),
        Dialect::OpenaiChat => openai_chat::read::answer(body, losses),
    }
}

/// Writes an answer.
pub fn write_answer(dialect: Dialect, reply: &Reply, answer: &Answer, losses: &mut Losses) -> Vec<u8> {
    match dialect {
        Dialect::AnthropicMessages => anthropic_messages::write::answer(reply, answer, losses),
        Dialect::OpenaiChat => openai_chat::write::answer(reply, answer, losses),
    }
}

impl Target {
    /// A channel of which only the dialect and the model's name are known.
    pub fn new(dialect: Dialect, model: &str) -> Self {
        Self {
            dialect,
            has_effort: true,
            has_sampling: true,
            has_stream_options: true,
            limit_field: LimitField::of(model),
            model: model.to_owned(),
            output_tokens_default: OUTPUT_TOKENS_DEFAULT,
        }
    }
}

impl LimitField {
    /// The name that the model takes, guessed from its own: all of OpenAI's (`gpt-…`, `chatgpt-…`, `o3…`) know the new
    /// one; open-weight `gpt-oss` is served by others.
    fn of(model: &str) -> Self {
        let is_o = model
            .strip_prefix('o')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_gpt = model.starts_with("gpt-") && !model.starts_with("gpt-oss");
        if is_o || is_gpt || model.starts_with("chatgpt-") {
            Self::MaxCompletionTokens
        } else {
            Self::MaxTokens
        }
    }
}

impl StreamReader {
    pub fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::AnthropicMessages => {
                Self::AnthropicMessages(anthropic_messages::stream::Reader::default())
            }
            Dialect::OpenaiChat => Self::OpenaiChat(openai_chat::stream::Reader::default()),
        }
    }

    /// Reads the data of one server-sent event. An error ends the stream.
    pub fn read(
        &mut self,
        data: &[u8],
        events: &mut Vec<Event>,
        losses: &mut Losses,
    ) -> Result<(), FaultKind> {
        match self {
            Self::AnthropicMessages(reader) => reader.read(data, events, losses),
            Self::OpenaiChat(reader) => reader.read(data, events, losses),
        }
    }
}

impl StreamWriter {
    pub fn new(dialect: Dialect, reply: Reply) -> Self {
        match dialect {
            Dialect::AnthropicMessages => {
                Self::AnthropicMessages(anthropic_messages::stream::Writer::new(reply))
            }
            Dialect::OpenaiChat => Self::OpenaiChat(openai_chat::stream::Writer::new(reply)),
        }
    }

    /// A writer that goes on with an answer that another began: by its id, the number of its next block, and that of the
    /// block which is open.
    pub(crate) fn resumed(dialect: Dialect, reply: Reply, id: &str, next: u32, open: Option<u32>) -> Self {
        match dialect {
            Dialect::AnthropicMessages => {
                Self::AnthropicMessages(anthropic_messages::stream::Writer::resumed(reply, next, open))
            }
            Dialect::OpenaiChat => Self::OpenaiChat(openai_chat::stream::Writer::resumed(reply, id)),
        }
    }

    /// Appends the frames of one event. An error ends the stream.
    pub fn write(&mut self, event: Event, out: &mut Vec<u8>, losses: &mut Losses) -> Result<(), FaultKind> {
        match self {
            Self::AnthropicMessages(writer) => writer.write(event, out, losses),
            Self::OpenaiChat(writer) => writer.write(event, out, losses),
        }
    }

    /// Appends the end of a whole answer.
    pub fn finish(&mut self, halt: &Halt, usage: Option<Usage>, out: &mut Vec<u8>, losses: &mut Losses) {
        match self {
            Self::AnthropicMessages(writer) => writer.finish(halt, usage, out, losses),
            Self::OpenaiChat(writer) => writer.finish(halt, usage, out, losses),
        }
    }
}

/// What an error inside an answer means, from the words that both dialects and their imitators use for it.
pub(crate) fn fault_of(kind: &str, code: &str, says: &str) -> FaultKind {
    let says = says.to_ascii_lowercase();
    let is = |word: &str| kind == word || code == word;
    if is("context_length_exceeded") || says.contains("prompt is too long") || says.contains("context length")
    {
        FaultKind::Context
    } else if is("content_filter") || is("content_policy_violation") {
        FaultKind::Content
    } else if is("overloaded_error") || is("unavailable_error") {
        FaultKind::Overload
    } else if is("insufficient_quota") || is("billing_error") {
        FaultKind::Spend
    } else if is("rate_limit_error") || is("rate_limit_exceeded") || is("tokens") || is("requests") {
        FaultKind::Rate
    } else if is("authentication_error") || is("permission_error") || is("invalid_api_key") {
        FaultKind::Auth
    } else if is("timeout_error") {
        FaultKind::Timeout
    } else if is("invalid_request_error") || is("request_too_large") {
        FaultKind::Client
    } else {
        FaultKind::Transient
    }
}

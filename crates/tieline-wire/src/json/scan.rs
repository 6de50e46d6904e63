//! The head of a request: what admission, choice of channel and the splices need to know, read in one validating pass
//! that copies nothing but the model's name.
//!
//! Refused, because two readers might disagree about it: a body that is not UTF-8 or not exactly one JSON object, more
//! than [`super::DEPTH_MAX`] levels, a field that we read and that stands there twice (escapes considered), and a field
//! that differs from one that we read in case only, for servers exist that take `Model` for `model`. Every other field
//! is checked for form and left to the channel.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use tieline_core::{Code, Dialect, Feature, FeatureSet, Problem};

use super::cursor::{Bad, Cursor, DEPTH_MAX};
use super::text::Text;

/// What one pass over a request body found.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each named where it is read"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Answers asked for (`n`); 1 unless the request says otherwise.
    pub answers: u32,
    /// A message carries sound.
    pub audio: bool,
    /// What the request asks for beyond text, as far as channels are known to differ in it. A hint: a field that is only
    /// read for it may stand there twice.
    pub features: FeatureSet,
    /// A message carries a document or another file.
    pub files: bool,
    /// A message carries a picture.
    pub images: bool,
    /// Pictures, sounds, documents and other files in the messages.
    pub media: u32,
    /// The caller asks for the usage of a stream itself (OpenAI's `stream_options.include_usage`).
    pub include_usage: bool,
    /// `model`, unescaped.
    pub model: String,
    /// `max_completion_tokens`, else `max_tokens`.
    pub output_tokens_max: Option<u32>,
    pub stream: bool,
    /// The request offers tools.
    pub tools: bool,
    /// The value of `model` with its quotes.
    pub(crate) model_span: Range<usize>,
    /// `null` where `max_completion_tokens` and `max_tokens` stand with it.
    pub(crate) null_limits: [Option<Range<usize>>; 2],
    /// Right after the brace that opens the document.
    pub(crate) open_at: usize,
    pub(crate) stream_options: StreamOptions,
}

/// Where `include_usage` could be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum StreamOptions {
    #[default]
    Absent,
    /// `include_usage` stands here with a value that is not `true`.
    Flag(Range<usize>),
    /// An object without `include_usage`, which opens before `at`.
    Object { at: usize, empty: bool },
    /// `null`.
    Value(Range<usize>),
}

/// Reads the head of a request of `dialect`.
///
/// # Errors
/// `BodyNotUtf8`, `BodyNotJson` and `BodyTooDeep` with the byte at which reading stopped; `KeyTwice`, `FieldMissing`
/// (only `model`) and `FieldWrong` with the field's name.
pub fn scan(dialect: Dialect, body: &Bytes) -> Result<Head, Problem> {
    if let Err(error) = std::str::from_utf8(body) {
        let says = format!(
            "The request body is not valid UTF-8 at byte {}.",
            error.valid_up_to()
        );
        return Err(Problem::new(Code::BodyNotUtf8, says));
    }
    let mut cursor = Cursor::new(body);
    if cursor.peek() != Some(b'{') {
        return Err(not_json(cursor.at()));
    }
    let mut reader = Reader {
        dialect,
        head: Head {
            answers: 1,
            open_at: cursor.at() + 1,
            ..Head::default()
        },
        is_assistant: false,
        max_completion_tokens: None,
        problem: None,
        seen: 0,
    };
    let walked = cursor
        .object(|cursor, key| reader.field(cursor, key))
        .and_then(|()| cursor.end());
    match walked {
        Ok(()) => reader.finish(),
        Err(Bad::Deep { at }) => {
            let says = format!("The request body nests more than {DEPTH_MAX} levels at byte {at}.");
            Err(Problem::new(Code::BodyTooDeep, says))
        }
        Err(Bad::Form { at }) => Err(not_json(at)),
        Err(Bad::Refused) => Err(reader.problem.unwrap_or(Problem::plain(Code::FieldWrong))),
    }
}

struct Reader {
    dialect: Dialect,
    head: Head,
    /// Whether the message read last is the assistant's.
    is_assistant: bool,
    max_completion_tokens: Option<u32>,
    problem: Option<Problem>,
    /// A bit for each field that was met.
    seen: u16,
}

#[derive(Clone, Copy)]
enum Field {
    MaxCompletionTokens,
    MaxTokens,
    Messages,
    Model,
    N,
    Stream,
    StreamOptions,
    Tools,
}

/// A field that is read for no more than whether it is there.
#[derive(Clone, Copy)]
enum Hint {
    /// The feature is asked for by any value but `null`.
    Asks(Feature),
    /// Anthropic's `output_config`: an effort, a format, or both.
    OutputConfig,
    /// An object that asks for the feature unless its `type` is this one, which is the default.
    Unless(Feature, &'static str),
}

impl Hint {
    fn of(dialect: Dialect, name: &[u8]) -> Option<Self> {
        use Dialect::{AnthropicMessages, OpenaiChat};
        Some(match (dialect, name) {
            (_, b"temperature" | b"top_p" | b"top_k") => Self::Asks(Feature::Sampling),
            (OpenaiChat, b"frequency_penalty" | b"logit_bias" | b"presence_penalty" | b"seed") => {
                Self::Asks(Feature::Sampling)
            }
            (OpenaiChat, b"logprobs" | b"top_logprobs") => Self::Asks(Feature::Logprobs),
            (OpenaiChat, b"reasoning_effort") => Self::Asks(Feature::Effort),
            (OpenaiChat, b"response_format") => Self::Unless(Feature::Structured, "text"),
            (OpenaiChat, b"stop") | (AnthropicMessages, b"stop_sequences") => Self::Asks(Feature::Stop),
            (AnthropicMessages, b"output_config") => Self::OutputConfig,
            (AnthropicMessages, b"output_format") => Self::Asks(Feature::Structured),
            // Servers of one's own take it in OpenAI's dialect as well.
            (_, b"thinking") => Self::Unless(Feature::Thinking, "disabled"),
            _ => return None,
        })
    }
}

/// What a key of the request names.
enum Known {
    Field(Field),
    Hint(Hint),
    Other,
}

/// The longest name below; a key that is longer, even with two-byte letters in place of one-byte ones, is not ours.
const NAME_BYTES_MAX: usize = 2 * "max_completion_tokens".len();

impl Field {
    fn of(dialect: Dialect, name: &[u8]) -> Option<Self> {
        Some(match (dialect, name) {
            (_, b"max_tokens") => Self::MaxTokens,
            (_, b"messages") => Self::Messages,
            (_, b"model") => Self::Model,
            (_, b"stream") => Self::Stream,
            (_, b"tools") => Self::Tools,
            (Dialect::OpenaiChat, b"max_completion_tokens") => Self::MaxCompletionTokens,
            (Dialect::OpenaiChat, b"n") => Self::N,
            (Dialect::OpenaiChat, b"stream_options") => Self::StreamOptions,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxTokens => "max_tokens",
            Self::Messages => "messages",
            Self::Model => "model",
            Self::N => "n",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::Tools => "tools",
        }
    }
}

impl Reader {
    fn finish(mut self) -> Result<Head, Problem> {
        if self.seen & (1 << Field::Model as u16) == 0 {
            return Err(Problem::new(Code::FieldMissing, "`model` is missing."));
        }
        if self.max_completion_tokens.is_some() {
            self.head.output_tokens_max = self.max_completion_tokens;
        }
        self.head.features = self
            .head
            .features
            .with_if(Feature::Audio, self.head.audio)
            .with_if(Feature::Files, self.head.files)
            .with_if(Feature::Images, self.head.images)
            .with_if(Feature::Prefill, self.is_assistant)
            .with_if(Feature::SeveralAnswers, self.head.answers > 1)
            .with_if(Feature::Streaming, self.head.stream)
            .with_if(Feature::Tools, self.head.tools);
        Ok(self.head)
    }

    fn field(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>) -> Result<(), Bad> {
        let field = match self.known(key)? {
            Known::Field(field) => field,
            Known::Hint(hint) => return self.hint(cursor, hint),
            Known::Other => return cursor.skip(),
        };
        let bit = 1 << field as u16;
        if self.seen & bit != 0 {
            return self.twice(field.name());
        }
        self.seen |= bit;
        match field {
            Field::MaxCompletionTokens => self.max_completion_tokens = self.limit(cursor, field)?,
            Field::MaxTokens => self.head.output_tokens_max = self.limit(cursor, field)?,
            Field::Messages => cursor.array_or_skip(|cursor| self.message(cursor))?,
            Field::Model => self.model(cursor)?,
            Field::N => self.head.answers = self.limit(cursor, field)?.unwrap_or(1).max(1),
            Field::Stream => self.head.stream = self.flag(cursor, "stream")?,
            Field::StreamOptions => self.stream_options(cursor)?,
            Field::Tools => {
                cursor.array_or_skip(|cursor| {
                    self.head.tools = true;
                    cursor.skip()
                })?;
            }
        }
        Ok(())
    }

    /// Which of our fields `key` names; refuses one that names it in another case.
    fn known(&mut self, key: Text<'_>) -> Result<Known, Bad> {
        let read;
        let name: &[u8] = if key.escaped {
            // Half a surrogate pair is no letter of a name of ours, in any case.
            let Some(text) = key.read() else {
                return Ok(Known::Other);
            };
            read = text;
            read.as_bytes()
        } else {
            key.raw
        };
        if let Some(field) = Field::of(self.dialect, name) {
            return Ok(Known::Field(field));
        }
        if let Some(hint) = Hint::of(self.dialect, name) {
            return Ok(Known::Hint(hint));
        }
        if name.len() > NAME_BYTES_MAX {
            return Ok(Known::Other);
        }
        let Some(field) = Field::of(self.dialect, fold(name, &mut [0; NAME_BYTES_MAX])) else {
            return Ok(Known::Other);
        };
        let name = field.name();
        self.refuse(
            Code::FieldWrong,
            format!("A field differs from `{name}` in case only; write `{name}`."),
        )
        .map(|()| Known::Other)
    }

    /// Reads what a hint says. Whatever its form, it is no reason to refuse the request.
    fn hint(&mut self, cursor: &mut Cursor<'_>, hint: Hint) -> Result<(), Bad> {
        let is_null = cursor.peek() == Some(b'n');
        let features = &mut self.head.features;
        match hint {
            Hint::Asks(feature) => {
                *features = features.with_if(feature, !is_null);
                cursor.skip()
            }
            Hint::OutputConfig => cursor.object_or_skip(|cursor, key| {
                let is_null = cursor.peek() == Some(b'n');
                if key.is("effort") {
                    *features = features.with_if(Feature::Effort, !is_null);
                } else if key.is("format") {
                    *features = features.with_if(Feature::Structured, !is_null);
                }
                cursor.skip()
            }),
            Hint::Unless(feature, default) => {
                *features = features.with_if(feature, !is_null);
                cursor.object_or_skip(|cursor, key| {
                    if !key.is("type") {
                        return cursor.skip();
                    }
                    if cursor.text_or_skip()?.is_some_and(|kind| kind.is(default)) {
                        features.remove(feature);
                    }
                    Ok(())
                })
            }
        }
    }

    fn model(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Bad> {
        let start = cursor.at();
        let Some(text) = cursor.text_or_skip()? else {
            return self.refuse(Code::FieldWrong, "`model` must be a string.");
        };
        self.head.model_span = start..cursor.at();
        match text.read() {
            Some(model) => self.head.model = model.into_owned(),
            None => return self.refuse(Code::FieldWrong, "`model` holds half of a surrogate pair."),
        }
        Ok(())
    }

    /// An unsigned integer or `null`.
    fn limit(&mut self, cursor: &mut Cursor<'_>, field: Field) -> Result<Option<u32>, Bad> {
        let first = cursor.peek();
        let start = cursor.at();
        match cursor.count_or_skip()? {
            Some(count) => Ok(Some(u32::try_from(count).unwrap_or(u32::MAX))),
            None if first == Some(b'n') => {
                let [new, old] = &mut self.head.null_limits;
                match field {
                    Field::MaxCompletionTokens => *new = Some(start..cursor.at()),
                    Field::MaxTokens => *old = Some(start..cursor.at()),
                    _ => {}
                }
                Ok(None)
            }
            None => {
                let says = format!("`{}` must be an integer that is not negative.", field.name());
                self.refuse(Code::FieldWrong, says).map(|()| None)
            }
        }
    }

    /// A truth value or `null`.
    fn flag(&mut self, cursor: &mut Cursor<'_>, name: &str) -> Result<bool, Bad> {
        let first = cursor.peek();
        match cursor.flag_or_skip()? {
            Some(flag) => Ok(flag),
            None if first == Some(b'n') => Ok(false),
            None => self
                .refuse(Code::FieldWrong, format!("`{name}` must be true or false."))
                .map(|()| false),
        }
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Bad> {
        let start = cursor.at();
        if cursor.peek() != Some(b'{') {
            let first = cursor.peek();
            let span = cursor.skip_span()?;
            if first != Some(b'n') {
                return self.refuse(Code::FieldWrong, "`stream_options` must be an object.");
            }
            self.head.stream_options = StreamOptions::Value(span);
            return Ok(());
        }
        let mut empty = true;
        let mut found = None;
        cursor.object(|cursor, key| {
            empty = false;
            if !key.is("include_usage") {
                return cursor.skip();
            }
            let at = cursor.at();
            self.head.include_usage = self.flag(cursor, "stream_options.include_usage")?;
            match found.replace(at..cursor.at()) {
                Some(_) => self.twice("stream_options.include_usage"),
                None => Ok(()),
            }
        })?;
        self.head.stream_options = match found {
            Some(span) => StreamOptions::Flag(span),
            None => StreamOptions::Object { at: start + 1, empty },
        };
        Ok(())
    }

    fn message(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Bad> {
        self.is_assistant = false;
        cursor.object_or_skip(|cursor, key| {
            if key.is("content") {
                cursor.array_or_skip(|cursor| self.part(cursor, true))
            } else if key.is("role") {
                self.is_assistant = cursor.text_or_skip()?.is_some_and(|role| role.is("assistant"));
                Ok(())
            } else {
                cursor.skip()
            }
        })
    }

    /// A part of a message's content, or of a tool's result in it.
    fn part(&mut self, cursor: &mut Cursor<'_>, outer: bool) -> Result<(), Bad> {
        cursor.object_or_skip(|cursor, key| {
            if key.is("type") {
                if let Some(kind) = cursor.text_or_skip()? {
                    let (image, audio) = (kind.is("image_url") || kind.is("image"), kind.is("input_audio"));
                    let file = kind.is("file") || kind.is("document");
                    self.head.images |= image;
                    self.head.audio |= audio;
                    self.head.files |= file;
                    self.head.media = (self.head.media).saturating_add((image || audio || file).into());
                }
                Ok(())
            } else if outer && key.is("content") {
                cursor.array_or_skip(|cursor| self.part(cursor, false))
            } else {
                cursor.skip()
            }
        })
    }

    fn twice(&mut self, name: &str) -> Result<(), Bad> {
        self.refuse(Code::KeyTwice, format!("`{name}` stands there twice."))
    }

    fn refuse(&mut self, code: Code, says: impl Into<Cow<'static, str>>) -> Result<(), Bad> {
        self.problem = Some(Problem::new(code, says));
        Err(Bad::Refused)
    }
}

/// Lower case as servers fold it that compare names without regard to case (Go's encoding/json among them): ASCII, and
/// the two letters outside ASCII that fold into it, the long s and the Kelvin sign.
fn fold<'b>(name: &[u8], out: &'b mut [u8; NAME_BYTES_MAX]) -> &'b [u8] {
    let mut rest = name;
    let mut len = 0;
    while let (Some((byte, tail)), Some(slot)) = (rest.split_first(), out.get_mut(len)) {
        (*slot, rest) = match rest {
            [0xc5, 0xbf, tail @ ..] => (b's', tail),
            [0xe2, 0x84, 0xaa, tail @ ..] => (b'k', tail),
            _ => (byte.to_ascii_lowercase(), tail),
        };
        len += 1;
    }
    out.get(..len).unwrap_or_default()
}

fn not_json(at: usize) -> Problem {
    Problem::new(
        Code::BodyNotJson,
        format!("The request body is not one valid JSON object at byte {at}."),
    )
}

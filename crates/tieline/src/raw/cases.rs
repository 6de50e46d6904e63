//! The tables of a file of cases for `tieline pool test`. The guide `docs/pool-tests.md` says what each key means.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{At, List, Read, raw_table, read_fields, wrong_type};
use crate::diagnose::{Code, Diagnostic, Sink};

/// Read the tables of a document.
pub(super) fn read(table: &DeTable<'_>, sink: &mut Sink) -> RawCases {
    read_fields(table, sink)
}

raw_table! {
    /// Cases that every model of a pool is held to.
    RawCases {
        /// The pool, where the command names none.
        pool: String,
        /// What a case has that does not say so itself.
        defaults: RawCaseDefaults,
        /// The cases, in their order.
        case: List<RawCase>,
    }

    RawCaseDefaults {
        /// The system prompt. Default: none.
        system: String,
        /// Tokens of an answer, at most; 1 to 1,000,000. Default 512.
        max_tokens: u64,
        /// 0 to 2, or "unset" for models that take none. Default 0.
        temperature: Temperature,
    }

    RawCase {
        /// What receipts and reports call it: letters, digits and `._:/@-`.
        name: String,
        /// The system prompt.
        system: String,
        /// The user's message. Either this or `messages`.
        prompt: String,
        /// The messages, as the dialect `openai_chat` has them.
        messages: List<Json>,
        /// Tools that the model may call.
        tools: List<RawTool>,
        /// Tokens of the answer, at most.
        max_tokens: u64,
        /// 0 to 2, or "unset".
        temperature: Temperature,
        /// Further members of the request, as the dialect `openai_chat` has them, such as `response_format`.
        request: Json,
        /// What the answer must be. All that is named must hold.
        expect: RawExpect,
    }

    RawTool {
        name: String,
        description: String,
        /// A JSON Schema, as a table or as JSON text.
        parameters: Json,
    }

    RawExpect {
        /// What the text of the answer must be.
        text: RawText,
        /// The schema that the text of the answer must meet, as JSON.
        json_schema: RawSchema,
        /// The tool that the answer must call.
        tool: RawToolCall,
        /// The model that judges the answer.
        judge: RawJudge,
    }

    /// All that is named must hold. White space around the answer does not count.
    RawText {
        /// The whole text.
        equals: String,
        /// Parts that stand in the text.
        contains: List<String>,
        /// A regular expression that matches somewhere in the text.
        regex: String,
    }

    /// One of the two.
    RawSchema {
        /// A file with the schema, relative to the folder of the cases.
        file: String,
        /// The schema itself, as a table or as JSON text.
        schema: Json,
    }

    RawToolCall {
        name: String,
        /// Arguments that the call must have, with these values; it may have more.
        arguments: Json,
    }

    RawJudge {
        /// A model or pool of the grid.
        model: String,
        /// What a good answer is.
        rubric: String,
        /// The word with which the judge lets an answer pass. Default "PASS".
        pass: String,
        /// Tokens of the judge's reply, at most, with its reasoning; 1 to 1,000,000. Default 1,024.
        max_tokens: u64,
        /// 0 to 2, or "unset". Default 0.
        temperature: Temperature,
    }
}

/// A temperature, or none at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Temperature {
    Number(f64),
    Unset,
}

/// Any value, as JSON has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Json(pub(crate) Value);

// === impl Read ===

impl Read for Temperature {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) if text == "unset" => Some(Self::Unset),
            DeValue::Integer(_) | DeValue::Float(_) => {
                let Json(number) = Json::read(value, key, sink)?;
                number.as_f64().map(Self::Number)
            }
            _ => wrong_type(value, key, "a number or \"unset\"", None, sink),
        }
    }
}

impl Read for Json {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        json(value, key, sink).map(Self)
    }
}

/// What cannot be written as JSON is reported, and leaves nothing of the value. The parser bounds the nesting.
fn json(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Value> {
    match value.get_ref() {
        DeValue::String(text) => Some(Value::String(text.as_ref().to_owned())),
        DeValue::Boolean(is) => Some(Value::Bool(*is)),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            number
                .ok()
                .map(Value::from)
                .or_else(|| out_of_range(value, key, sink))
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            number
                .map(Value::Number)
                .or_else(|| out_of_range(value, key, sink))
        }
        DeValue::Datetime(_) => wrong_type(value, key, "a value of JSON", Some("put it in quotes"), sink),
        DeValue::Array(items) => items.iter().map(|item| json(item, key, sink)).collect(),
        DeValue::Table(table) => {
            let members = table.iter().map(|(name, member)| {
                let name = name.get_ref().as_ref();
                Some((name.to_owned(), json(member, name, sink)?))
            });
            members.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
    }
}

fn out_of_range<T>(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<T> {
    let message = format!("`{key}` is no number that JSON can carry");
    sink.push(Diagnostic::error(Code::OutOfRange, message).at(value.span().into(), "out of range"));
    None
}

// === impl JsonSchema ===

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

impl JsonSchema for Temperature {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Temperature".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number" }, { "const": "unset" }] })
    }
}

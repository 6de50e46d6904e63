//! From what stands in a file of cases to what is asked and expected; every mistake is reported with its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tieline_core::receipt::CASES_MAX;
use tieline_note::jcs;

use super::expect::{Expect, Text, ToolCall};
use super::json_schema::{self, JsonSchema};
use super::judge::{FAIL, Judge};
use super::{Case, FILE_BYTES_MAX};
use crate::check::{Read, kind, value};
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::cases::{
    Json, RawCase, RawCaseDefaults, RawCases, RawExpect, RawJudge, RawSchema, RawText, RawTool, RawToolCall,
    Temperature,
};
use crate::raw::{At, quoted};

/// An answer that is judged is rarely longer.
const MAX_TOKENS: u64 = 512;

/// A judge says one word; one that reasons needs room before it.
const JUDGE_MAX_TOKENS: u64 = 1_024;

/// Far beyond any answer: a mistyped limit is found all the same.
const MAX_TOKENS_MAX: u64 = 1_000_000;

/// Messages, tools or parts of one case: a conversation that nobody reads any more.
const LIST_MAX: usize = 256;

/// Bytes of a judge's word.
const PASS_BYTES_MAX: usize = 32;

/// What a case says in keys of its own, and `request` therefore may not.
const OWN_MEMBERS: [&str; 7] = [
    "max_tokens",
    "messages",
    "model",
    "n",
    "stream",
    "temperature",
    "tools",
];

/// What a check may ask of the world.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    /// The folder that relative paths start from.
    pub(super) base: &'a Path,
    pub(super) read: &'a Read,
}

/// The pool that the file names, and its cases.
pub(super) fn cases(raw: &RawCases, world: World<'_>, sink: &mut Sink) -> (Option<At<Arc<str>>>, Vec<Case>) {
    let pool = raw.pool.as_ref().and_then(|at| named(at, "pool", sink));
    let none = RawCaseDefaults::default();
    let defaults = raw.defaults.as_ref().map_or(&none, |at| &at.value);
    let list = raw.case.as_ref().map_or(&[][..], |at| &at.value);
    if list.is_empty() && !raw.seen.contains(&"case") {
        let diagnostic = Diagnostic::error(Code::KeyMissing, "the file has no case");
        sink.push(diagnostic.hint("add `[[case]]` with `name`, `prompt` and `expect`"));
    }
    if let Some(beyond) = list.get(CASES_MAX) {
        let message = format!("the file has {} cases", list.len());
        let label = format!("a test has {CASES_MAX}");
        sink.push(Diagnostic::error(Code::TooMany, message).at(beyond.span, label));
    }
    let mut names = BTreeMap::new();
    let mut out = Vec::new();
    for at in list {
        let name = name_of(at, &mut names, sink);
        let request = request(at, defaults, sink);
        let expect = expect(at, world, sink);
        if let (Some(name), Some(request), Some(expect)) = (name, request, expect) {
            let case = Case {
                expect,
                name,
                request,
            };
            // A digest is made of it.
            match jcs::to_vec(&case.record()) {
                Ok(_) => out.push(case),
                Err(error) => sink.push(bad(at.span, "the case cannot be recorded", error.to_string())),
            }
        }
    }
    (pool, out)
}

fn bad(span: Span, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::CaseBad, message).at(span, label)
}

fn missing(span: Span, key: &str, hint: &str, sink: &mut Sink) {
    let diagnostic = Diagnostic::error(Code::KeyMissing, format!("a case has no `{key}`"));
    sink.push(diagnostic.at(span, format!("wants `{key}`")).hint(hint));
}

fn named(at: &At<String>, what: &str, sink: &mut Sink) -> Option<At<Arc<str>>> {
    Some(At {
        span: at.span,
        value: value::name(at, what, sink)?,
    })
}

fn name_of(at: &At<RawCase>, names: &mut BTreeMap<Arc<str>, Span>, sink: &mut Sink) -> Option<Arc<str>> {
    let Some(name) = &at.value.name else {
        if !at.value.seen.contains(&"name") {
            missing(at.span, "name", "receipts and reports call the case by it", sink);
        }
        return None;
    };
    let checked = value::name(name, "case", sink)?;
    if let Some(first) = names.get(&checked) {
        let message = format!("two cases are called `{checked}`");
        sink.push(
            Diagnostic::error(Code::NameTwice, message)
                .at(name.span, "here again")
                .also(*first, "here first"),
        );
        return None;
    }
    names.insert(checked.clone(), name.span);
    Some(checked)
}

// === the request ===

fn request(at: &At<RawCase>, defaults: &RawCaseDefaults, sink: &mut Sink) -> Option<Value> {
    let raw = &at.value;
    let mut members = match &raw.request {
        None => Map::new(),
        Some(more) => more_members(more, sink)?,
    };
    let max_tokens = raw.max_tokens.as_ref().or(defaults.max_tokens.as_ref());
    let temperature = raw.temperature.as_ref().or(defaults.temperature.as_ref());
    members.extend(limits(max_tokens, MAX_TOKENS, temperature, sink));
    members.insert("messages".to_owned(), messages(at, defaults, sink)?);
    if let Some(tools) = &raw.tools {
        members.insert("tools".to_owned(), tools_of(tools, sink)?);
    }
    Some(Value::Object(members))
}

/// Members as the dialect has them, but for those that a case says in keys of its own.
fn more_members(at: &At<Json>, sink: &mut Sink) -> Option<Map<String, Value>> {
    let Json(Value::Object(members)) = &at.value else {
        sink.push(bad(
            at.span,
            "`request` is no table",
            "wants members of the request",
        ));
        return None;
    };
    let own = OWN_MEMBERS.iter().find(|name| members.contains_key(**name));
    if let Some(own) = own {
        let message = format!("`request` cannot say `{own}`");
        let hint = match *own {
            "model" => "the test asks every model of the pool",
            "n" | "stream" => "an answer is asked for once, in one piece",
            _ => "it is a key of the case",
        };
        sink.push(bad(at.span, message, "it is set elsewhere").hint(hint));
        return None;
    }
    Some(members.clone())
}

/// `max_tokens` and `temperature` of a request.
fn limits(
    max_tokens: Option<&At<u64>>,
    default: u64,
    temperature: Option<&At<Temperature>>,
    sink: &mut Sink,
) -> Map<String, Value> {
    let tokens = value::number(max_tokens, "max_tokens", default, 1, MAX_TOKENS_MAX, sink);
    let mut members = Map::new();
    members.insert("max_tokens".to_owned(), tokens.into());
    let stated = temperature.map_or(Temperature::Number(0.0), |at| at.value);
    if let Temperature::Number(number) = stated {
        if let Some(at) = temperature.filter(|_| !(0.0..=2.0).contains(&number)) {
            let diagnostic = Diagnostic::error(Code::OutOfRange, "`temperature` is out of range");
            sink.push(diagnostic.at(at.span, "wants 0 to 2"));
        }
        members.insert("temperature".to_owned(), json!(number));
    }
    members
}

fn messages(at: &At<RawCase>, defaults: &RawCaseDefaults, sink: &mut Sink) -> Option<Value> {
    let raw = &at.value;
    let mut out = Vec::new();
    if let Some(system) = raw.system.as_ref().or(defaults.system.as_ref()) {
        out.push(json!({ "content": system.value, "role": "system" }));
    }
    match (&raw.prompt, &raw.messages) {
        (Some(prompt), None) => out.push(json!({ "content": prompt.value, "role": "user" })),
        (None, Some(list)) => {
            few(list.span, "messages", list.value.len(), sink)?;
            for message in &list.value {
                out.push(self::message(message, sink)?);
            }
        }
        (Some(prompt), Some(list)) => {
            let diagnostic = bad(
                list.span,
                "a case has both `prompt` and `messages`",
                "one of the two",
            );
            sink.push(diagnostic.also(prompt.span, "the other"));
            return None;
        }
        (None, None) => {
            if !raw.seen.contains(&"prompt") && !raw.seen.contains(&"messages") {
                missing(at.span, "prompt", "or `messages`, for more than one turn", sink);
            }
            return None;
        }
    }
    Some(Value::Array(out))
}

/// A message as the dialect has it; what else is wrong with it, the gateway says.
fn message(at: &At<Json>, sink: &mut Sink) -> Option<Value> {
    const ROLES: [&str; 5] = ["assistant", "developer", "system", "tool", "user"];
    let role = at.value.0.get("role").and_then(Value::as_str);
    if role.is_some_and(|role| ROLES.contains(&role)) {
        return Some(at.value.0.clone());
    }
    let label = format!("wants `role`, one of {}", quoted(&ROLES));
    sink.push(bad(at.span, "a message has no role", label));
    None
}

fn tools_of(at: &At<Vec<At<RawTool>>>, sink: &mut Sink) -> Option<Value> {
    few(at.span, "tools", at.value.len(), sink)?;
    let mut out = Vec::new();
    for tool in &at.value {
        let raw = &tool.value;
        let Some(name) = &raw.name else {
            let diagnostic = Diagnostic::error(Code::KeyMissing, "a tool has no `name`");
            sink.push(diagnostic.at(tool.span, "wants `name`"));
            return None;
        };
        let parameters = match &raw.parameters {
            None => json!({ "properties": {}, "type": "object" }),
            Some(given) => document(given, "parameters", sink)?,
        };
        let mut function = json!({ "name": name.value, "parameters": parameters });
        if let (Some(description), Value::Object(members)) = (&raw.description, &mut function) {
            members.insert("description".to_owned(), description.value.as_str().into());
        }
        out.push(json!({ "function": function, "type": "function" }));
    }
    Some(Value::Array(out))
}

fn few(span: Span, what: &str, count: usize, sink: &mut Sink) -> Option<()> {
    if (1..=LIST_MAX).contains(&count) {
        return Some(());
    }
    let message = format!("a case has {count} {what}");
    sink.push(Diagnostic::error(Code::OutOfRange, message).at(span, format!("wants 1 to {LIST_MAX}")));
    None
}

/// A JSON document that was written as a table, or as text.
fn document(at: &At<Json>, key: &str, sink: &mut Sink) -> Option<Value> {
    let Value::String(text) = &at.value.0 else {
        return Some(at.value.0.clone());
    };
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) => {
            let message = format!("`{key}` is not JSON");
            sink.push(bad(
                at.span,
                message,
                format!("in line {} of the text", error.line()),
            ));
            None
        }
    }
}

// === the expectation ===

fn expect(at: &At<RawCase>, world: World<'_>, sink: &mut Sink) -> Option<Expect> {
    let Some(raw) = &at.value.expect else {
        if !at.value.seen.contains(&"expect") {
            missing(
                at.span,
                "expect",
                "such as `expect.text.contains = [\"Paris\"]`",
                sink,
            );
        }
        return None;
    };
    let RawExpect {
        judge,
        json_schema,
        seen,
        text,
        tool,
    } = &raw.value;
    // Each is looked at, so that each mistake is reported.
    let judge = judge.as_ref().map(|at| self::judge(at, sink));
    let schema = json_schema.as_ref().map(|at| schema(at, world, sink));
    let text = text.as_ref().map(|at| self::text(at, sink));
    let tool = tool.as_ref().map(|raw| tool_call(raw, at, sink));
    let expect = Expect {
        judge: match judge {
            Some(read) => Some(read?),
            None => None,
        },
        schema: match schema {
            Some(read) => Some(read?),
            None => None,
        },
        text: match text {
            Some(read) => Some(read?),
            None => None,
        },
        tool: match tool {
            Some(read) => Some(read?),
            None => None,
        },
    };
    if expect.is_empty() {
        if seen.is_empty() {
            let label = "wants `text`, `json_schema`, `tool` or `judge`";
            sink.push(bad(raw.span, "a case expects nothing", label));
        }
        return None;
    }
    Some(expect)
}

fn text(at: &At<RawText>, sink: &mut Sink) -> Option<Text> {
    let raw = &at.value;
    let contains = raw.contains.as_ref().map_or(&[][..], |list| &list.value);
    if raw.equals.is_none() && contains.is_empty() && raw.regex.is_none() {
        // What could not be read was reported.
        if raw.seen.is_empty() || raw.contains.is_some() {
            let label = "wants `equals`, `contains` or `regex`";
            sink.push(bad(at.span, "a case expects no text", label));
        }
        return None;
    }
    if let Some(empty) = contains.iter().find(|part| part.value.is_empty()) {
        sink.push(bad(empty.span, "every text contains this", "empty"));
        return None;
    }
    if let Some(list) = &raw.contains {
        few(list.span, "parts", contains.len(), sink)?;
    }
    let regex = match &raw.regex {
        None => None,
        Some(at) => match json_schema::pattern(&at.value) {
            Ok(regex) => Some(regex),
            Err(why) => {
                sink.push(bad(at.span, "`regex` cannot be used", why));
                return None;
            }
        },
    };
    Some(Text {
        contains: contains.iter().map(|part| part.value.clone()).collect(),
        equals: raw.equals.as_ref().map(|at| at.value.clone()),
        regex,
    })
}

fn schema(at: &At<RawSchema>, world: World<'_>, sink: &mut Sink) -> Option<JsonSchema> {
    let raw = &at.value;
    let (span, value) = match (&raw.file, &raw.schema) {
        (Some(file), None) => (file.span, schema_of_file(file, world, sink)?),
        (None, Some(given)) => (given.span, document(given, "schema", sink)?),
        (Some(file), Some(given)) => {
            let diagnostic = bad(
                given.span,
                "a schema is both in a file and here",
                "one of the two",
            );
            sink.push(diagnostic.also(file.span, "the other"));
            return None;
        }
        (None, None) => {
            if raw.seen.is_empty() {
                sink.push(bad(
                    at.span,
                    "a case expects no schema",
                    "wants `file` or `schema`",
                ));
            }
            return None;
        }
    };
    match JsonSchema::new(value) {
        Ok(schema) => Some(schema),
        Err(flaw) => {
            let diagnostic = bad(span, "the schema cannot be decided", flaw.says);
            sink.push(diagnostic.note(format!("at `#{}`", shown(&flaw.at))));
            None
        }
    }
}

fn schema_of_file(at: &At<String>, world: World<'_>, sink: &mut Sink) -> Option<Value> {
    let path = world.base.join(&at.value);
    let says = match (world.read)(&path, FILE_BYTES_MAX) {
        Ok(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => {
            format!("larger than {} MiB", FILE_BYTES_MAX >> 20)
        }
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => return Some(value),
            Err(error) => format!("not JSON in line {}, column {}", error.line(), error.column()),
        },
        Err(error) => kind(&error),
    };
    sink.push(
        Diagnostic::error(Code::FileUnreadable, "the file of a schema cannot be used").at(at.span, says),
    );
    None
}

fn tool_call(at: &At<RawToolCall>, case: &At<RawCase>, sink: &mut Sink) -> Option<ToolCall> {
    let Some(name) = &at.value.name else {
        if !at.value.seen.contains(&"name") {
            let diagnostic = Diagnostic::error(Code::KeyMissing, "the expected tool has no `name`");
            sink.push(diagnostic.at(at.span, "wants `name`"));
        }
        return None;
    };
    let offered = case.value.tools.as_ref().map_or(&[][..], |list| &list.value);
    let offered: Vec<&str> = offered
        .iter()
        .filter_map(|tool| tool.value.name.as_ref())
        .map(|name| name.value.as_str())
        .collect();
    if !offered.contains(&name.value.as_str()) {
        let message = format!("the case does not offer the tool `{}`", shown(&name.value));
        let diagnostic = bad(name.span, message, "no such tool");
        sink.push(match offered.as_slice() {
            [] => diagnostic.hint("offer it under `tools`"),
            offered => diagnostic.hint(format!("it offers {}", quoted(offered).replace(" or ", " and "))),
        });
        return None;
    }
    let arguments = match &at.value.arguments {
        None => Map::new(),
        Some(given) => {
            let Value::Object(members) = document(given, "arguments", sink)? else {
                sink.push(bad(
                    given.span,
                    "`arguments` is no table",
                    "wants arguments by name",
                ));
                return None;
            };
            members
        }
    };
    Some(ToolCall {
        arguments,
        name: name.value.clone(),
    })
}

fn judge(at: &At<RawJudge>, sink: &mut Sink) -> Option<Judge> {
    let raw = &at.value;
    let mut stated = |what: &Option<At<String>>, key: &'static str| {
        if what.is_none() && !raw.seen.contains(&key) {
            let diagnostic = Diagnostic::error(Code::KeyMissing, format!("a judge has no `{key}`"));
            sink.push(diagnostic.at(at.span, format!("wants `{key}`")));
        }
        what.clone()
    };
    let (model, rubric) = (stated(&raw.model, "model"), stated(&raw.rubric, "rubric"));
    let pass = match &raw.pass {
        Some(pass) => word(pass, sink)?,
        None => "PASS".to_owned(),
    };
    let limits = limits(
        raw.max_tokens.as_ref(),
        JUDGE_MAX_TOKENS,
        raw.temperature.as_ref(),
        sink,
    );
    let rubric = rubric?;
    if rubric.value.trim().is_empty() {
        sink.push(bad(rubric.span, "a judge has no rubric", "empty"));
        return None;
    }
    Some(Judge {
        limits: Value::Object(limits),
        model: named(&model?, "model", sink)?,
        pass,
        rubric: rubric.value,
    })
}

/// A judge's word of passing.
fn word(at: &At<String>, sink: &mut Sink) -> Option<String> {
    let text = &at.value;
    let label =
        if text.is_empty() || text.len() > PASS_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            format!("wants one word of at most {PASS_BYTES_MAX} letters and digits")
        } else if text.eq_ignore_ascii_case(FAIL) {
            format!("{FAIL} is the word that lets no answer pass")
        } else {
            return Some(text.clone());
        };
    sink.push(bad(at.span, "`pass` cannot be the word of passing", label));
    None
}
